//! The short path: a statement about one key, or about values it brings along, runs on the session's own task.
//!
//! Eligible is a chain of projections, filters, limits and at most one write over a single leaf: literal rows, or a table whose
//! primary key or unique index the filter fixes. Such a chain needs no optimiser, no physical planner and no other thread. Its expressions
//! are the same physical expressions over one-row batches, its writes the same writer, so both paths answer alike; whatever
//! does not fit exactly takes the full path.
//!
//! A statement is compiled once, with [`parameters`](super::parameters) where its values will be; only if that is not possible
//! (`LIMIT $1`) each execution compiles anew with its values in place.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::{Arc, OnceLock};

use arrow_array::builder::BinaryViewBuilder;
use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use bytes::Bytes;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, Result as DfResult, ScalarValue};
use datafusion::datasource::source_as_provider;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, Expr, Extension, FetchType, LogicalPlan, Operator, SkipType, TableScan, Values,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::lit as physical_lit;
use heliosdb_contracts::{RowHint, RowRef, RowSink, TreeKey, arrow_type};
use heliosdb_types::{
    ColumnId, CommitTs, Datum, DatumRef, Error, Oid, PhysicalType, Result, SqlType, TreeRef, encode_key,
};

use super::arrays::array_of;
use super::direct_found::{FoundRows, found_rows};
use super::error::{from_arrow, from_datafusion};
use super::foreign::FirstBytes;
use super::index::{ENTRY_ROW, encode_part, tree_key};
use super::lock_rows::{LockRowsNode, LockSpec, Locker, plan_locks};
use super::parameters::{Parameters, Slots, Turn, read_slots, slot_of};
use super::pushdown::datum;
use super::row_write::{RowWriteNode, WriteSpec, Writer, plan_write};
use super::scope::StatementScope;
use super::table::HeliosTable;
use crate::catalog::{Column, IndexInfo, Relation};

/// More literal rows than this are the analytics pool's work.
const VALUES_ROWS_MAX: usize = 256;

/// A statement ready to run on the session's task, as often as wanted.
pub(super) struct Direct {
    leaf: Leaf,
    steps: Vec<Step>,
    parameters: Parameters,
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
    tree: TreeRef,
    key: Vec<KeyPart>,
    /// The unique index the key is of; `None`: the table's primary key.
    index: Option<TreeRef>,
    /// Table and index, where they are counted.
    counted: (Oid, Oid),
    /// Snapshots before this do not see all of the index.
    readable_from: CommitTs,
    columns: Vec<ColumnId>,
    types: Vec<PhysicalType>,
    /// Where the row reference goes.
    reference: Option<usize>,
    schema: SchemaRef,
}

/// A key column's value.
struct KeyPart {
    value: KeyValue,
    physical: PhysicalType,
    /// Descending and nulls first, in an index.
    order: Option<(bool, bool)>,
}

enum KeyValue {
    Known(Datum),
    Slot(usize),
}

enum Step {
    Filter(Arc<dyn PhysicalExpr>),
    Project(Projection),
    Slice { skip: usize, fetch: usize },
    Lock(Arc<LockSpec>),
    Write(Arc<WriteSpec>),
}

impl Direct {
    /// `None`: not eligible.
    pub(super) fn compile(plan: &LogicalPlan, session: &SessionState) -> Result<Option<Direct>> {
        let mut steps = Vec::new();
        let compiler = Compiler { session, slots: Slots::default() };
        let leaf = compiler.node(plan, &mut Vec::new(), &mut steps).map_err(from_datafusion)?;
        Ok(leaf.map(|leaf| Direct { leaf, steps, parameters: compiler.slots.finish() }))
    }

    /// `None`: it is running already, or was not compiled for so old a snapshot.
    pub(super) fn take_turn(
        &self,
        parameters: &[Datum],
        types: &[SqlType],
        scope: &StatementScope,
    ) -> Result<Option<Turn>> {
        match &self.leaf {
            Leaf::Point(point) if scope.read.snapshot.ts < point.readable_from => Ok(None),
            _ => self.parameters.take_turn(parameters, types, scope.now_micros),
        }
    }

    pub(super) async fn run(&self, turn: Turn, scope: &Arc<StatementScope>) -> Result<Vec<RecordBatch>> {
        scope.cancel.check()?;
        let mut batches = vec![match &self.leaf {
            Leaf::Rows(rows) => literal_rows(rows)?,
            Leaf::Point(point) => point.read(&turn, scope)?,
            Leaf::Found(found) => found.read(scope)?,
        }];
        for step in &self.steps {
            batches = match step {
                Step::Write(spec) => {
                    let mut writer = Writer::new(Arc::clone(spec), Arc::clone(scope))?;
                    for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
                        writer.batch(batch).await?;
                    }
                    writer.finish().await?;
                    writer.into_output()?
                }
                Step::Lock(spec) => {
                    let mut locker = Locker::new(Arc::clone(spec), Arc::clone(scope))?;
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
        if batch.num_rows() == 0 {
            // Constants would give a row of their own.
            return Ok(batch.clone());
        }
        match self {
            Step::Filter(predicate) => {
                let keep = evaluate(predicate, batch)?;
                let keep = keep.as_boolean_opt().ok_or_else(|| Error::internal("a filter is not boolean"))?;
                filter_record_batch(batch, keep).map_err(from_arrow)
            }
            Step::Project(projection) => projection.apply(batch),
            Step::Slice { skip, fetch } => {
                let skip = (*skip).min(batch.num_rows());
                Ok(batch.slice(skip, (*fetch).min(batch.num_rows() - skip)))
            }
            Step::Write(_) | Step::Lock(_) => Err(Error::internal("not a step on one batch alone")),
        }
    }
}

/// New columns from a batch's.
struct Projection {
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    /// What the first batch came to; types of later ones differ only where a value decides its own.
    schema: OnceLock<SchemaRef>,
}

impl Projection {
    fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let columns = self.exprs.iter().map(|expr| evaluate(expr, batch)).collect::<Result<Vec<_>>>()?;
        let schema = self.schema.get_or_init(|| unnamed(columns.iter().map(|column| column.data_type().clone())));
        let same = schema.fields().iter().zip(&columns).all(|(field, column)| field.data_type() == column.data_type());
        match same {
            true => with_schema(Arc::clone(schema), columns, batch.num_rows()),
            false => assemble(columns, batch.num_rows()),
        }
    }
}

fn evaluate(expr: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<ArrayRef> {
    let value = expr.evaluate(batch).map_err(from_datafusion)?;
    value.into_array(batch.num_rows()).map_err(from_datafusion)
}

/// Columns known by position only.
fn unnamed(types: impl Iterator<Item = DataType>) -> SchemaRef {
    Arc::new(Schema::new(types.map(|data_type| Field::new("", data_type, true)).collect::<Vec<_>>()))
}

pub(super) fn assemble(columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    with_schema(unnamed(columns.iter().map(|column| column.data_type().clone())), columns, rows)
}

fn with_schema(schema: SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &options).map_err(from_arrow)
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
    fn read(&self, turn: &Turn, scope: &StatementScope) -> Result<RecordBatch> {
        let mut sink = OneRow { types: &self.types, columns: Vec::new(), hint: RowHint::default() };
        let key = match (self.key(turn), self.index) {
            (Some(key), Some(index)) => {
                let mut row = FirstBytes(None);
                scope.shard.get(&scope.read, index, &tree_key(&key), &[ENTRY_ROW], &mut row)?;
                row.0
            }
            (key, None) => key.map(Bytes::from),
            (None, Some(_)) => None,
        };
        let found = match &key {
            Some(key) => scope.shard.get(&scope.read, self.tree, key, &self.columns, &mut sink)?,
            None => false,
        };
        let (table, index) = self.counted;
        scope.tier.tally().found(table, index, 1, i64::from(found));
        let OneRow { columns, hint, .. } = sink;
        let mut columns = if found {
            columns
        } else {
            self.types.iter().map(|physical| array_of(*physical, [])).collect::<Result<_>>()?
        };
        if let Some(place) = self.reference {
            let mut reference = BinaryViewBuilder::with_capacity(1);
            if let (Some(key), true) = (&key, found) {
                let mut bytes = Vec::new();
                RowRef { hint, key }.encode(&mut bytes);
                reference.append_value(bytes);
            }
            columns.insert(place, Arc::new(reference.finish()));
        }
        with_schema(Arc::clone(&self.schema), columns, usize::from(found))
    }

    /// `None`: a value is NULL, which equals nothing.
    fn key(&self, turn: &Turn) -> Option<Vec<u8>> {
        let mut key = Vec::new();
        for part in &self.key {
            let value = match &part.value {
                KeyValue::Known(value) => Cow::Borrowed(value),
                KeyValue::Slot(slot) => Cow::Owned(datum(&turn.value(*slot)?, part.physical)?),
            };
            match part.order {
                None => encode_key(&mut key, value.as_ref().as_ref(), false),
                Some((descending, nulls_first)) => {
                    encode_part(&mut key, value.as_ref().as_ref(), descending, nulls_first);
                }
            }
        }
        Some(key)
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
    slots: Slots,
}

impl Compiler<'_> {
    /// Compiles a node's child, then the node. `filters` are the conditions between here and the leaf's consumer: they decide
    /// whether the leaf is one row, and the leaf marks those that its key fulfils.
    fn node(&self, plan: &LogicalPlan, filters: &mut Vec<Condition>, steps: &mut Vec<Step>) -> DfResult<Option<Leaf>> {
        match plan {
            LogicalPlan::SubqueryAlias(alias) => self.node(&alias.input, filters, steps),
            LogicalPlan::Filter(filter) => {
                let Some(predicate) = self.slots.fill(&filter.predicate)? else { return Ok(None) };
                let above = filters.len();
                let conditions = split_conjunction_owned(predicate).into_iter();
                filters.extend(conditions.map(|expr| Condition { expr, fulfilled: false }));
                let Some(leaf) = self.node(&filter.input, filters, steps)? else { return Ok(None) };
                let rest = filters.drain(above..).filter(|condition| !condition.fulfilled);
                if let Some(rest) = conjunction(rest.map(|condition| condition.expr)) {
                    let Some(predicate) = self.expr(&rest, filter.input.schema())? else { return Ok(None) };
                    steps.push(Step::Filter(predicate));
                }
                Ok(Some(leaf))
            }
            LogicalPlan::Projection(projection) => {
                // Conditions above a projection are over its columns, not the table's.
                let Some(leaf) = self.node(&projection.input, &mut Vec::new(), steps)? else { return Ok(None) };
                let Some(exprs) = self.exprs(&projection.expr, projection.input.schema())? else { return Ok(None) };
                steps.push(Step::Project(Projection { exprs, schema: OnceLock::new() }));
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
                None => {
                    let filters: Vec<&Expr> = filters.iter().map(|condition| &condition.expr).collect();
                    Ok(found_rows(scan, &filters, self.session)?.map(Leaf::Found))
                }
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
        let own = node.predicate.iter().chain(&node.new_row);
        if !own.chain(checks).chain(generated).chain(indexed).chain(others).all(simple) {
            return Ok(None);
        }
        let input = Arc::clone(node.input.schema().inner());
        let typed = Cell::new(true);
        let physical = |expr: &Expr, schema: &DFSchema| self.physical(expr, schema, &typed);
        let spec = plan_write(node, input, Some(self.session), physical)?;
        steps.push(Step::Write(spec));
        Ok(typed.get().then_some(leaf))
    }

    fn lock(&self, node: &LockRowsNode, steps: &mut Vec<Step>) -> DfResult<Option<Leaf>> {
        let Some(leaf) = self.node(&node.input, &mut Vec::new(), steps)? else { return Ok(None) };
        let mut counts = node.skip.iter().chain(&node.fetch);
        // How many rows is asked when the node is compiled.
        let known = counts.all(|count| !count.exists(|e| Ok(matches!(e, Expr::Placeholder(_)))).unwrap_or(true));
        if !known || !node.predicate.iter().chain(&node.output).chain(&node.skip).chain(&node.fetch).all(simple) {
            return Ok(None);
        }
        let typed = Cell::new(true);
        let spec = plan_locks(node, |expr, schema| self.physical(expr, schema, &typed))?;
        steps.push(Step::Lock(spec));
        Ok(typed.get().then_some(leaf))
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
        let typed = Cell::new(true);
        let physical = self.physical(expr, schema, &typed)?;
        Ok(typed.get().then_some(physical))
    }

    /// An expression that reads its parameters when it is evaluated; `typed` becomes false if one has no type yet.
    fn physical(&self, expr: &Expr, schema: &DFSchema, typed: &Cell<bool>) -> DfResult<Arc<dyn PhysicalExpr>> {
        let Some(filled) = self.slots.fill(expr)? else {
            typed.set(false);
            return Ok(physical_lit(ScalarValue::Null));
        };
        read_slots(self.session.create_physical_expr(filled, schema)?)
    }
}

/// A condition on the way to a leaf.
struct Condition {
    expr: Expr,
    /// Whatever the leaf gives meets it.
    fulfilled: bool,
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
                    | Expr::GroupingSet(_)
                    | Expr::Unnest(_)
            )
    };
    !expr.exists(|e| Ok(needs_a_plan(e))).unwrap_or(true)
}

/// The point a scan comes down to, if `filters` fix every column of the key.
fn point(scan: &TableScan, filters: &mut [Condition], session: &SessionState) -> Option<Point> {
    if !scan.filters.is_empty() || scan.fetch.is_some() {
        return None;
    }
    let provider = source_as_provider(&scan.source).ok()?;
    let table = (provider.as_ref() as &dyn std::any::Any).downcast_ref::<HeliosTable>()?;
    let relation = table.relation();
    // Compiled for any snapshot, an index says from which on it may be read; for a known one it may be or not.
    let snapshot = StatementScope::of(session.config()).ok().map(|scope| scope.read.snapshot.ts);
    let by_index = || unique_key(relation, filters, snapshot);
    let (key, index, used) = primary_key(relation, filters).or_else(by_index)?;
    let own_key = || relation.table().and_then(|table| table.primary_key.as_ref()).map(|key| key.oid);
    let counted = (relation.oid, index.map(|(_, oid, _)| oid).or_else(own_key)?);
    for at in used {
        if let Some(condition) = filters.get_mut(at) {
            condition.fulfilled = true;
        }
    }
    let all = || (0..datafusion::catalog::TableProvider::schema(table).fields().len()).collect();
    let projection: Vec<usize> = scan.projection.clone().unwrap_or_else(all);
    let stored = projection.iter().filter_map(|&at| relation.columns.get(at));
    let types = stored.clone().map(|column| column.sql_type.physical()).collect::<Option<Vec<_>>>()?;
    // One past the columns is the row reference.
    let reference = projection.iter().position(|&at| at >= relation.columns.len());
    let mut given: Vec<DataType> = types.iter().map(|physical| arrow_type(*physical)).collect();
    if let Some(place) = reference {
        given.insert(place, DataType::BinaryView);
    }
    Some(Point {
        tree: relation.table()?.tree.tree,
        key,
        readable_from: index.map_or(CommitTs::ZERO, |(.., from)| from),
        index: index.map(|(tree, ..)| tree),
        counted,
        columns: stored.map(|column| column.id).collect(),
        types,
        reference,
        schema: unnamed(given.into_iter()),
    })
}

/// A key's parts, the index it is of, and which conditions it fulfils.
type FixedKey = (Vec<KeyPart>, Option<(TreeRef, Oid, CommitTs)>, Vec<usize>);

fn primary_key(relation: &Relation, conditions: &[Condition]) -> Option<FixedKey> {
    let TreeKey::Columns(columns) = &relation.table()?.tree.key else { return None };
    let (mut parts, mut used) = (Vec::new(), Vec::new());
    for id in columns {
        let column = relation.columns.iter().find(|column| column.id == *id)?;
        let (at, part) = fixed(column, conditions, None)?;
        parts.push(part);
        used.push(at);
    }
    Some((parts, None, used))
}

/// A unique index of all rows whose columns are fixed.
fn unique_key(relation: &Relation, conditions: &[Condition], snapshot: Option<CommitTs>) -> Option<FixedKey> {
    let table = relation.table()?;
    let now = |index: &IndexInfo| index.is_readable(snapshot.unwrap_or(CommitTs::MAX));
    let readable = |index: &&IndexInfo| index.unique && index.predicate.is_none() && now(index);
    let of_all = table.indexes.iter().filter(readable);
    of_all.into_iter().find_map(|index| {
        let (mut parts, mut used) = (Vec::new(), Vec::new());
        for (attribute, part) in index.key_attributes()?.iter().zip(&index.keys) {
            let column = relation.columns.iter().find(|column| column.attribute == *attribute)?;
            if !crate::func::is_its_own_key(&column.sql_type) {
                return None;
            }
            let (at, fixed) = fixed(column, conditions, Some((part.descending, part.nulls_first)))?;
            parts.push(fixed);
            used.push(at);
        }
        Some((parts, Some((table.index_tree(index), index.oid, index.readable_from)), used))
    })
}

/// The value conditions fix a column to, and which of them does.
fn fixed(column: &Column, conditions: &[Condition], order: Option<(bool, bool)>) -> Option<(usize, KeyPart)> {
    let physical = column.sql_type.physical()?;
    conditions.iter().enumerate().find_map(|(at, condition)| {
        let value = fixes(&condition.expr, &column.name, physical)?;
        Some((at, KeyPart { value, physical, order }))
    })
}

/// The value an equality gives a column.
fn fixes(condition: &Expr, column: &str, physical: PhysicalType) -> Option<KeyValue> {
    use PhysicalType::{Float32, Float64, Interval, Numeric};
    // Equal values of these types may have different keys, or are compared by functions.
    if matches!(physical, Float32 | Float64 | Interval | Numeric) {
        return None;
    }
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else { return None };
    let value = match (left.as_ref(), right.as_ref()) {
        (Expr::Column(c), value) | (value, Expr::Column(c)) if c.name == column => value,
        _ => return None,
    };
    if let Expr::Literal(value, _) = value {
        return datum(value, physical).map(KeyValue::Known);
    }
    let (slot, data_type) = slot_of(value)?;
    (*data_type == arrow_type(physical)).then_some(KeyValue::Slot(slot))
}
