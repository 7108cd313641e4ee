//! The logical node behind INSERT, UPDATE, DELETE and MERGE.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_schema::SchemaRef;
use datafusion::common::{DFSchemaRef, Result as DfResult};
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use heliosdb_types::Oid;

use crate::catalog::Relation;
use crate::exec::foreign::ForeignWrite;
use crate::exec::index::IndexWrite;
use crate::exec::recheck::Recheck;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RowWriteOp {
    Insert,
    Update,
    Delete,
    /// Rows of a source joined with the target; each row is updated, deleted, inserted or left as the WHEN clauses say.
    Merge,
}

/// Writes the rows its input describes.
///
/// Input columns: for INSERT anything `new_row` needs. For UPDATE and DELETE: the hidden row reference at `row_ref`, every
/// live column of the table (its old image) at `old_row`, and whatever else the statement uses (FROM/USING columns,
/// values of subqueries). After a lock wait under READ COMMITTED, the old image is replaced by the newest version and
/// `predicate` and `new_row` are evaluated again; the other columns keep the statement's snapshot, but for what `recheck`
/// computes.
///
/// Output: with `returning`, the table's columns (the new row; for DELETE the old one) followed by the input columns that are
/// neither row reference nor old image; otherwise one row with one Int64 column, the number of rows written.
#[derive(Clone, Debug)]
pub struct RowWriteNode {
    pub op: RowWriteOp,
    pub table: Arc<Relation>,
    pub input: Arc<LogicalPlan>,
    pub row_ref: Option<usize>,
    /// Input positions of the table's live columns, in `Relation::columns` order. Empty for INSERT.
    pub old_row: Vec<usize>,
    /// WHERE over the input's columns, re-evaluated after a lock wait. `None`: every row qualifies.
    pub predicate: Option<Expr>,
    /// How rows are looked at again where `predicate` and `new_row` use subqueries, or WHERE has tests that are not in `predicate`.
    pub recheck: Option<Recheck>,
    /// One expression per live column over the input's columns; casts and defaults applied. Empty for DELETE.
    pub new_row: Vec<Expr>,
    /// (constraint name, condition) over columns named as the table's, qualified by nothing. NULL passes.
    pub checks: Vec<(String, Expr)>,
    /// Stored generated columns: (position, value over the table's columns, named as the checks name them). Computed after
    /// `new_row`, which has NULL in their places.
    pub generated: Vec<(usize, Expr)>,
    /// The table's indexes, over columns named as the table's.
    pub indexes: Vec<IndexWrite>,
    pub foreign: ForeignWrite,
    /// ON CONFLICT.
    pub conflict: Option<ConflictWrite>,
    /// WHEN clauses of MERGE, in order. A source row without a target has NULL for the row reference; `predicate` is ON.
    pub merge: Vec<MergeClause>,
    pub returning: bool,
    pub schema: DFSchemaRef,
}

/// WHEN [NOT] MATCHED [AND condition] THEN ..., over the input's columns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MergeClause {
    pub matched: bool,
    pub condition: Option<Expr>,
    pub action: MergeAction,
}

/// What a WHEN clause does; rows as [`RowWriteNode::new_row`] has them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MergeAction {
    Nothing,
    Delete,
    Update(Vec<Expr>),
    Insert(Vec<Expr>),
}

impl MergeClause {
    fn expressions(&self) -> impl Iterator<Item = &Expr> {
        let row = match &self.action {
            MergeAction::Update(row) | MergeAction::Insert(row) => row.as_slice(),
            MergeAction::Nothing | MergeAction::Delete => &[],
        };
        self.condition.iter().chain(row)
    }

    fn with_expressions(&self, exprs: &mut impl Iterator<Item = Expr>) -> MergeClause {
        let condition = self.condition.as_ref().and_then(|_| exprs.next());
        let action = match &self.action {
            MergeAction::Update(row) => MergeAction::Update(exprs.take(row.len()).collect()),
            MergeAction::Insert(row) => MergeAction::Insert(exprs.take(row.len()).collect()),
            MergeAction::Nothing => MergeAction::Nothing,
            MergeAction::Delete => MergeAction::Delete,
        };
        MergeClause { matched: self.matched, condition, action }
    }
}

/// What an INSERT does about rows that are there.
#[derive(Clone, Debug)]
pub struct ConflictWrite {
    pub arbiters: Vec<Arbiter>,
    /// `None`: DO NOTHING.
    pub update: Option<ConflictUpdate>,
}

/// What makes a row a conflicting one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arbiter {
    PrimaryKey,
    /// A unique index.
    Index(Oid),
}

/// DO UPDATE. Its expressions are over the row that is there, then the row proposed for insertion.
#[derive(Clone, Debug)]
pub struct ConflictUpdate {
    pub predicate: Option<Expr>,
    pub new_row: Vec<Expr>,
    pub schema: DFSchemaRef,
    /// Stands for both where they have subqueries, which see the two rows: they are run as a plan for each row.
    pub program: Option<ConflictProgram>,
}

/// A plan over the row that is there and the row proposed, which waits under `number` in the statement's parts: it gives
/// whether to update, then the new row.
#[derive(Clone, Debug)]
pub struct ConflictProgram {
    pub number: usize,
    /// The two rows' columns.
    pub schema: SchemaRef,
    pub plan: LogicalPlan,
}

impl RowWriteNode {
    /// The plan that DO UPDATE runs, which is no input.
    pub fn conflict_program(&self) -> Option<&LogicalPlan> {
        Some(&self.conflict.as_ref()?.update.as_ref()?.program.as_ref()?.plan)
    }

    pub fn conflict_program_mut(&mut self) -> Option<&mut LogicalPlan> {
        Some(&mut self.conflict.as_mut()?.update.as_mut()?.program.as_mut()?.plan)
    }

    /// Expressions that are not over the input, which a plan's own visitors therefore do not see.
    pub fn other_expressions(&self) -> impl Iterator<Item = &Expr> {
        let checks = self.checks.iter().map(|(_, check)| check);
        let generated = self.generated.iter().map(|(_, value)| value);
        let update = self.conflict.iter().filter_map(|conflict| conflict.update.as_ref());
        checks.chain(generated).chain(update.flat_map(|update| update.predicate.iter().chain(&update.new_row)))
    }

    pub fn other_expressions_mut(&mut self) -> impl Iterator<Item = &mut Expr> {
        let checks = self.checks.iter_mut().map(|(_, check)| check);
        let generated = self.generated.iter_mut().map(|(_, value)| value);
        let update = self.conflict.iter_mut().filter_map(|conflict| conflict.update.as_mut());
        checks.chain(generated).chain(update.flat_map(|update| update.predicate.iter_mut().chain(&mut update.new_row)))
    }

    #[allow(clippy::type_complexity)] // a tuple to compare and hash
    fn identity(&self) -> (RowWriteOp, Oid, &[usize], &Option<Expr>, &[Expr], &[MergeClause], bool) {
        (self.op, self.table.oid, &self.old_row, &self.predicate, &self.new_row, &self.merge, self.returning)
    }
}

impl PartialEq for RowWriteNode {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity() && self.input == other.input
    }
}

impl Eq for RowWriteNode {}

impl Hash for RowWriteNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
        self.input.hash(state);
    }
}

impl PartialOrd for RowWriteNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self.op, self.table.oid).partial_cmp(&(other.op, other.table.oid))
    }
}

impl UserDefinedLogicalNodeCore for RowWriteNode {
    fn name(&self) -> &str {
        "RowWrite"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let clauses = self.merge.iter().flat_map(MergeClause::expressions);
        self.predicate.iter().chain(&self.new_row).chain(clauses).cloned().collect()
    }

    fn necessary_children_exprs(&self, _output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![(0..self.input.schema().fields().len()).collect()])
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} on {}", self.op, self.table.name)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> DfResult<Self> {
        let mut exprs = exprs.into_iter();
        let predicate = self.predicate.as_ref().and_then(|_| exprs.next());
        let new_row = exprs.by_ref().take(self.new_row.len()).collect();
        let merge = self.merge.iter().map(|clause| clause.with_expressions(&mut exprs)).collect();
        let input = Arc::new(inputs.into_iter().next().expect("RowWrite has one input"));
        Ok(RowWriteNode { predicate, new_row, merge, input, ..self.clone() })
    }
}
