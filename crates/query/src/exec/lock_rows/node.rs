//! The logical node.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::common::{DFSchemaRef, Result as DfResult};
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use heliosdb_contracts::{LockPolicy, RowLockMode};

use crate::catalog::Relation;
use crate::exec::recheck::Recheck;

/// A table of the input whose rows are locked.
#[derive(Clone, Debug)]
pub struct LockTarget {
    pub table: Arc<Relation>,
    /// Input position of its hidden row reference.
    pub row_ref: usize,
    /// Input positions of its live columns, in `Relation::columns` order.
    pub old_row: Vec<usize>,
    pub mode: RowLockMode,
    pub policy: LockPolicy,
}

/// Locks its input's rows in order, no more than `skip` + `fetch` of them, and computes `output` over those it got. After a
/// lock wait under READ COMMITTED a target's columns are those of its newest version, and `predicate` is evaluated again.
#[derive(Clone, Debug)]
pub struct LockRowsNode {
    pub input: Arc<LogicalPlan>,
    pub targets: Vec<LockTarget>,
    pub predicate: Option<Expr>,
    /// How rows are looked at again where subqueries have a say.
    pub recheck: Option<Recheck>,
    pub output: Vec<Expr>,
    /// OFFSET and LIMIT: constants when the statement runs.
    pub skip: Option<Expr>,
    pub fetch: Option<Expr>,
    pub schema: DFSchemaRef,
}

type Identity<'a> = (Vec<(u32, usize, RowLockMode)>, &'a Option<Expr>, &'a [Expr], &'a Option<Expr>, &'a Option<Expr>);

impl LockRowsNode {
    fn identity(&self) -> Identity<'_> {
        let target = |target: &LockTarget| (target.table.oid.0, target.row_ref, target.mode);
        (self.targets.iter().map(target).collect(), &self.predicate, &self.output, &self.skip, &self.fetch)
    }
}

impl PartialEq for LockRowsNode {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity() && self.input == other.input
    }
}

impl Eq for LockRowsNode {}

impl Hash for LockRowsNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for target in &self.targets {
            (target.table.oid, target.row_ref).hash(state);
        }
        (&self.predicate, &self.output, &self.skip, &self.fetch).hash(state);
        self.input.hash(state);
    }
}

impl PartialOrd for LockRowsNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        if self == other { Some(Ordering::Equal) } else { None }
    }
}

impl UserDefinedLogicalNodeCore for LockRowsNode {
    fn name(&self) -> &str {
        "LockRows"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.predicate.iter().chain(&self.output).chain(&self.skip).chain(&self.fetch).cloned().collect()
    }

    fn necessary_children_exprs(&self, _output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![(0..self.input.schema().fields().len()).collect()])
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.targets.iter().map(|target| target.table.name.as_str()).collect();
        write!(f, "LockRows on {}", names.join(", "))
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> DfResult<Self> {
        let mut exprs = exprs.into_iter();
        let predicate = self.predicate.as_ref().and_then(|_| exprs.next());
        let output = exprs.by_ref().take(self.output.len()).collect();
        let skip = self.skip.as_ref().and_then(|_| exprs.next());
        let fetch = self.fetch.as_ref().and_then(|_| exprs.next());
        let input = Arc::new(inputs.into_iter().next().expect("LockRows has one input"));
        Ok(LockRowsNode { predicate, output, skip, fetch, input, ..self.clone() })
    }
}
