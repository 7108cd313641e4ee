//! The short path: a statement about one key, or about values it brings along, runs on the session's own task.
//!
//! Eligible is a chain of projections, filters, limits and at most one write over a single leaf: literal rows, or a table whose
//! primary key or unique index the filter fixes. Such a chain needs no optimiser, no physical planner and no other thread. Its expressions
//! are the same physical expressions over one-row batches, its writes the same writer, so both paths answer alike; whatever
//! does not fit exactly takes the full path.

use std::sync::Arc;

use arrow_array::builder::BinaryViewBuilder;
use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{Field, Schema};
use arrow_select::filter::filter_record_batch;
use bytes::Bytes;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, Result as DfResult, ScalarValue};
use datafusion::datasource::source_as_provider;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{
    BinaryExpr, Expr, Extension, FetchType, LogicalPlan, Operator, SkipType, TableScan, Values,
};
use datafusion::physical_expr::PhysicalExpr;
use heliosdb_contracts::{RowHint, RowRef, RowSink, TreeKey};
use heliosdb_types::{ColumnId, CommitTs, DatumRef, Error, PhysicalType, Result, TreeRef, encode_key};

use super::arrays::array_of;
use super::direct_found::{FoundRows, found_rows};
use super::error::{from_arrow, from_datafusion};
use super::foreign::FirstBytes;
use super::index::{ENTRY_ROW, encode_part, tree_key};
use super::lock_rows::{LockRowsNode, LockSpec, Locker, plan_locks};
use super::pushdown::datum;
use super::row_write::{RowWriteNode, WriteSpec, Writer, plan_write};
use super::scope::StatementScope;
use super::table::HeliosTable;
use crate::catalog::{IndexInfo, Relation};

/// More literal rows than this are the analytics pool's work.
const VALUES_ROWS_MAX: usize = 256;

/// A statement ready to run on the session's task.
pub(super) struct Direct {
    leaf: Leaf,
    steps: Vec<Step>,
}

enum Leaf {
    /// Evaluated when the statement runs, cell by cell.
    Rows(Vec<Vec<Arc<dyn PhysicalExpr>>>),
    Point(Point),
    /// Few rows an index names.
    Found(FoundRows),
}

/// One row of a table by its primary key.
struct Point {
    relation: Arc<Relation>,
    key: Bytes,
    /// The unique index the key is of; `None`: the table's primary key.
    index: Option<TreeRef>,
    /// Positions in the table's columns; one past them is the row reference.
    projection: Vec<usize>,
}

enum Step {
    Filter(Arc<dyn PhysicalExpr>),
    Project(Vec<Arc<dyn PhysicalExpr>>),
    Slice { skip: usize, fetch: usize },
    Lock(Arc<LockSpec>),
    Write(Arc<WriteSpec>),
}

impl Direct {
    /// `plan` has no placeholders any more. `None`: not eligible.
    pub(super) fn compile(plan: &LogicalPlan, session: &SessionState) -> Result<Option<Direct>> {
        let mut steps = Vec::new();
        let compiler = Compiler { session };
        let leaf = compiler.node(plan, &mut Vec::new(), &mut steps).map_err(from_datafusion)?;
        Ok(leaf.map(|leaf| Direct { leaf, steps }))
    }

    pub(super) async fn run(self, scope: Arc<StatementScope>) -> Result<Vec<RecordBatch>> {
        scope.cancel.check()?;
        let mut batches = vec![match &self.leaf {
            Leaf::Rows(rows) => literal_rows(rows)?,
            Leaf::Point(point) => point.read(&scope)?,
            Leaf::Found(found) => found.read(&scope)?,
        }];
        for step in &self.steps {
            batches = match step {
                Step::Write(spec) => {
                    let mut writer = Writer::new(Arc::clone(spec), Arc::clone(&scope))?;
                    for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
                        writer.batch(batch).await?;
                    }
                    writer.finish().await?;
                    writer.into_output()?
                }
                Step::Lock(spec) => {
                    let mut locker = Locker::new(Arc::clone(spec), Arc::clone(&scope))?;
                    let mut locked = Vec::new();
                    for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
                        locked.extend(locker.batch(batch).await?);
                    }
                    locked
                }
                step => batches.iter().map(|batch| step.apply(batch)).collect::<Result<_>>()?,
            };
        }
        batches.retain(|batch| batch.num_rows() > 0);
        Ok(batches)
    }
}

impl Step {
    fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        match self {
            Step::Filter(predicate) => {
                let keep = evaluate(predicate, batch)?;
                let keep = keep.as_boolean_opt().ok_or_else(|| Error::internal("a filter is not boolean"))?;
                filter_record_batch(batch, keep).map_err(from_arrow)
            }
            Step::Project(exprs) => {
                let columns = exprs.iter().map(|expr| evaluate(expr, batch)).collect::<Result<_>>()?;
                assemble(columns, batch.num_rows())
            }
            Step::Slice { skip, fetch } => {
                let skip = (*skip).min(batch.num_rows());
                Ok(batch.slice(skip, (*fetch).min(batch.num_rows() - skip)))
            }
            Step::Write(_) | Step::Lock(_) => Err(Error::internal("not a step on one batch alone")),
        }
    }
}

fn evaluate(expr: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<ArrayRef> {
    let value = expr.evaluate(batch).map_err(from_datafusion)?;
    value.into_array(batch.num_rows()).map_err(from_datafusion)
}

/// A batch of columns known by position only.
pub(super) fn assemble(columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let fields: Vec<Field> = columns.iter().map(|column| Field::new("", column.data_type().clone(), true)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options).map_err(from_arrow)
}

fn literal_rows(rows: &[Vec<Arc<dyn PhysicalExpr>>]) -> Result<RecordBatch> {
    let nothing = assemble(Vec::new(), 1)?;
    let width = rows.first().map_or(0, Vec::len);
    let mut columns = Vec::with_capacity(width);
    for at in 0..width {
        let cell = |row: &Vec<Arc<dyn PhysicalExpr>>| {
            let expr = row.get(at).ok_or_else(|| Error::internal("VALUES rows of different widths"))?;
            match expr.evaluate(&nothing).map_err(from_datafusion)? {
                datafusion::logical_expr::ColumnarValue::Scalar(value) => Ok(value),
                datafusion::logical_expr::ColumnarValue::Array(array) => {
                    ScalarValue::try_from_array(&array, 0).map_err(from_datafusion)
                }
            }
        };
        let cells = rows.iter().map(cell).collect::<Result<Vec<_>>>()?;
        columns.push(ScalarValue::iter_to_array(cells).map_err(from_datafusion)?);
    }
    assemble(columns, rows.len())
}

impl Point {
    fn read(&self, scope: &StatementScope) -> Result<RecordBatch> {
        let table = self.relation.table().ok_or_else(|| Error::internal("a read of no table"))?;
        let stored = self.projection.iter().filter_map(|&at| self.relation.columns.get(at));
        let ids: Vec<ColumnId> = stored.clone().map(|column| column.id).collect();
        let types = stored.map(|column| column.sql_type.physical());
        let types: Vec<PhysicalType> =
            types.collect::<Option<_>>().ok_or_else(|| Error::internal("a column has no storage"))?;
        let mut sink = OneRow { types: &types, columns: Vec::new(), hint: RowHint::default() };
        let key = match self.index {
            None => Some(self.key.clone()),
            Some(index) => {
                let mut row = FirstBytes(None);
                scope.shard.get(&scope.read, index, &self.key, &[ENTRY_ROW], &mut row)?;
                row.0
            }
        };
        let found = match &key {
            Some(key) => scope.shard.get(&scope.read, table.tree.tree, key, &ids, &mut sink)?,
            None => false,
        };
        let OneRow { columns, hint, .. } = sink;
        let mut columns = if found {
            columns
        } else {
            types.iter().map(|physical| array_of(*physical, [])).collect::<Result<_>>()?
        };
        if let Some(place) = self.projection.iter().position(|&at| at >= self.relation.columns.len()) {
            let mut reference = BinaryViewBuilder::with_capacity(1);
            if found {
                let mut bytes = Vec::new();
                RowRef { hint, key: key.as_ref().unwrap_or(&self.key) }.encode(&mut bytes);
                reference.append_value(bytes);
            }
            columns.insert(place, Arc::new(reference.finish()));
        }
        assemble(columns, usize::from(found))
    }
}

/// Takes the row a point read finds.
struct OneRow<'a> {
    types: &'a [PhysicalType],
    columns: Vec<ArrayRef>,
    hint: RowHint,
}

impl RowSink for OneRow<'_> {
    fn row(&mut self, values: &[DatumRef<'_>], reference: RowHint) -> Result<()> {
        if values.len() != self.types.len() {
            return Err(Error::internal("a point read gave another row than asked for"));
        }
        let columns = values.iter().zip(self.types).map(|(value, physical)| array_of(*physical, [*value]));
        self.columns = columns.collect::<Result<_>>()?;
        self.hint = reference;
        Ok(())
    }
}

struct Compiler<'a> {
    session: &'a SessionState,
}

impl Compiler<'_> {
    /// Compiles a node's child, then the node. `filters` are the conditions between here and the leaf's consumer: they decide
    /// whether the leaf is one row.
    fn node<'p>(
        &self,
        plan: &'p LogicalPlan,
        filters: &mut Vec<&'p Expr>,
        steps: &mut Vec<Step>,
    ) -> DfResult<Option<Leaf>> {
        match plan {
            LogicalPlan::SubqueryAlias(alias) => self.node(&alias.input, filters, steps),
            LogicalPlan::Filter(filter) => {
                filters.push(&filter.predicate);
                let Some(leaf) = self.node(&filter.input, filters, steps)? else { return Ok(None) };
                let Some(predicate) = self.expr(&filter.predicate, filter.input.schema())? else { return Ok(None) };
                steps.push(Step::Filter(predicate));
                Ok(Some(leaf))
            }
            LogicalPlan::Projection(projection) => {
                // Conditions above a projection are over its columns, not the table's.
                let Some(leaf) = self.node(&projection.input, &mut Vec::new(), steps)? else { return Ok(None) };
                let Some(exprs) = self.exprs(&projection.expr, projection.input.schema())? else { return Ok(None) };
                steps.push(Step::Project(exprs));
                Ok(Some(leaf))
            }
            LogicalPlan::Limit(limit) => {
                let Some(leaf) = self.node(&limit.input, &mut Vec::new(), steps)? else { return Ok(None) };
                let (SkipType::Literal(skip), FetchType::Literal(fetch)) =
                    (limit.get_skip_type()?, limit.get_fetch_type()?)
                else {
                    return Ok(None);
                };
                steps.push(Step::Slice { skip, fetch: fetch.unwrap_or(usize::MAX) });
                Ok(Some(leaf))
            }
            LogicalPlan::Extension(Extension { node }) => {
                if let Some(lock) = node.as_any().downcast_ref::<LockRowsNode>() {
                    return self.lock(lock, steps);
                }
                let Some(write) = node.as_any().downcast_ref::<RowWriteNode>() else { return Ok(None) };
                self.write(write, steps)
            }
            LogicalPlan::EmptyRelation(empty) if empty.produce_one_row => Ok(Some(Leaf::Rows(vec![Vec::new()]))),
            LogicalPlan::Values(values) => self.values(values),
            LogicalPlan::TableScan(scan) => match point(scan, filters, self.session) {
                Some(point) => Ok(Some(Leaf::Point(point))),
                None => Ok(found_rows(scan, filters, self.session)?.map(Leaf::Found)),
            },
            _ => Ok(None),
        }
    }

    fn write(&self, node: &RowWriteNode, steps: &mut Vec<Step>) -> DfResult<Option<Leaf>> {
        if node.conflict_program().is_some() {
            return Ok(None);
        }
        let Some(leaf) = self.node(&node.input, &mut Vec::new(), steps)? else { return Ok(None) };
        let checks = node.checks.iter().map(|(_, check)| check);
        let generated = node.generated.iter().map(|(_, value)| value);
        let others = node.other_expressions();
        let indexed = node.indexes.iter().flat_map(|index| index.keys.iter().map(|key| &key.3).chain(&index.predicate));
        if !node
            .predicate
            .iter()
            .chain(&node.new_row)
            .chain(checks)
            .chain(generated)
            .chain(indexed)
            .chain(others)
            .all(simple)
        {
            return Ok(None);
        }
        let input = Arc::clone(node.input.schema().inner());
        let spec = plan_write(node, input, Some(self.session), |expr, schema| {
            self.session.create_physical_expr(expr.clone(), schema)
        })?;
        steps.push(Step::Write(spec));
        Ok(Some(leaf))
    }

    fn lock(&self, node: &LockRowsNode, steps: &mut Vec<Step>) -> DfResult<Option<Leaf>> {
        let Some(leaf) = self.node(&node.input, &mut Vec::new(), steps)? else { return Ok(None) };
        if !node.predicate.iter().chain(&node.output).chain(&node.skip).chain(&node.fetch).all(simple) {
            return Ok(None);
        }
        let spec = plan_locks(node, |expr, schema| self.session.create_physical_expr(expr.clone(), schema))?;
        steps.push(Step::Lock(spec));
        Ok(Some(leaf))
    }

    fn values(&self, values: &Values) -> DfResult<Option<Leaf>> {
        if values.values.is_empty() || values.values.len() > VALUES_ROWS_MAX {
            return Ok(None);
        }
        let nothing = DFSchema::empty();
        let rows = values.values.iter().map(|row| self.exprs(row, &nothing));
        Ok(rows.collect::<DfResult<Option<Vec<_>>>>()?.map(Leaf::Rows))
    }

    fn exprs(&self, exprs: &[Expr], schema: &DFSchema) -> DfResult<Option<Vec<Arc<dyn PhysicalExpr>>>> {
        exprs.iter().map(|expr| self.expr(expr, schema)).collect()
    }

    fn expr(&self, expr: &Expr, schema: &DFSchema) -> DfResult<Option<Arc<dyn PhysicalExpr>>> {
        if !simple(expr) {
            return Ok(None);
        }
        self.session.create_physical_expr(expr.clone(), schema).map(Some)
    }
}

/// Whether an expression needs nothing but its row.
fn simple(expr: &Expr) -> bool {
    let needs_a_plan = |e: &Expr| {
        // A function that waits is awaited by the planner's own operator.
        let waits = matches!(e, Expr::ScalarFunction(call) if call.func.as_async().is_some());
        waits
            || matches!(
                e,
                Expr::AggregateFunction(_)
                    | Expr::WindowFunction(_)
                    | Expr::Exists(_)
                    | Expr::InSubquery(_)
                    | Expr::ScalarSubquery(_)
                    | Expr::SetComparison(_)
                    | Expr::OuterReferenceColumn(..)
                    | Expr::Placeholder(_)
                    | Expr::GroupingSet(_)
                    | Expr::Unnest(_)
            )
    };
    !expr.exists(|e| Ok(needs_a_plan(e))).unwrap_or(true)
}

/// The point a scan comes down to, if `filters` fix every column of the key.
fn point(scan: &TableScan, filters: &[&Expr], session: &SessionState) -> Option<Point> {
    if !scan.filters.is_empty() || scan.fetch.is_some() {
        return None;
    }
    let provider = source_as_provider(&scan.source).ok()?;
    let table = (provider.as_ref() as &dyn std::any::Any).downcast_ref::<HeliosTable>()?;
    let relation = table.relation();
    let mut conditions = Vec::new();
    filters.iter().for_each(|filter| split(filter, &mut conditions));
    let by_index = || unique_key(relation, &conditions, StatementScope::of(session.config()).ok()?.read.snapshot.ts);
    let (key, index) = primary_key(relation, &conditions).or_else(by_index)?;
    let all = || (0..datafusion::catalog::TableProvider::schema(table).fields().len()).collect();
    let projection = scan.projection.clone().unwrap_or_else(all);
    Some(Point { relation: Arc::clone(relation), key, index, projection })
}

/// The value conditions fix a column to.
fn fixed(column: &crate::catalog::Column, conditions: &[&Expr]) -> Option<heliosdb_types::Datum> {
    let physical = column.sql_type.physical()?;
    conditions.iter().find_map(|condition| fixes(condition, &column.name, physical))
}

fn primary_key(relation: &Relation, conditions: &[&Expr]) -> Option<(Bytes, Option<TreeRef>)> {
    let TreeKey::Columns(columns) = &relation.table()?.tree.key else { return None };
    let mut key = Vec::new();
    for id in columns {
        let column = relation.columns.iter().find(|column| column.id == *id)?;
        encode_key(&mut key, fixed(column, conditions)?.as_ref(), false);
    }
    Some((key.into(), None))
}

/// A unique index of all rows whose columns are fixed.
fn unique_key(relation: &Relation, conditions: &[&Expr], snapshot: CommitTs) -> Option<(Bytes, Option<TreeRef>)> {
    let table = relation.table()?;
    let readable = |index: &&IndexInfo| index.unique && index.predicate.is_none() && index.is_readable(snapshot);
    let of_all = table.indexes.iter().filter(readable);
    of_all.into_iter().find_map(|index| {
        let mut key = Vec::new();
        for (attribute, part) in index.key_attributes()?.iter().zip(&index.keys) {
            let column = relation.columns.iter().find(|column| column.attribute == *attribute)?;
            if !crate::func::is_its_own_key(&column.sql_type) {
                return None;
            }
            encode_part(&mut key, fixed(column, conditions)?.as_ref(), part.descending, part.nulls_first);
        }
        Some((tree_key(&key), Some(table.index_tree(index))))
    })
}

fn split<'p>(filter: &'p Expr, out: &mut Vec<&'p Expr>) {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            split(left, out);
            split(right, out);
        }
        other => out.push(other),
    }
}

/// The value an equality gives a column.
fn fixes(condition: &Expr, column: &str, physical: PhysicalType) -> Option<heliosdb_types::Datum> {
    use PhysicalType::{Float32, Float64, Interval, Numeric};
    // Equal values of these types may have different keys, or are compared by functions.
    if matches!(physical, Float32 | Float64 | Interval | Numeric) {
        return None;
    }
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else { return None };
    match (left.as_ref(), right.as_ref()) {
        (Expr::Column(c), Expr::Literal(value, _)) | (Expr::Literal(value, _), Expr::Column(c)) if c.name == column => {
            datum(value, physical)
        }
        _ => None,
    }
}
