//! ORDER BY ... LIMIT over wide rows: what the order and the conditions need is read of all rows, the rest of the few that are left.
//!
//! The scan below the sort gives the sort's columns and each row's reference; a node above the sort reads the other columns by key,
//! in the statement's snapshot, so it finds the rows the scan saw.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::SchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use futures::StreamExt;
use heliosdb_contracts::{RowHint, RowRef, RowSink};
use heliosdb_types::{ColumnId, DatumRef, Error, PhysicalType, Result, TreeRef};

use super::arrays::ColumnBuilder;
use super::each_node::EachNode;
use super::error::{from_arrow, to_datafusion};
use super::scan::HeliosScanExec;
use super::scope::StatementScope;

/// Larger limits keep their columns: looking rows up one by one would take long.
const LIMIT_MAX: usize = 1_000;
/// Rows of the scan for each row of the limit from which on it pays: a look-up reads a block of each column.
const ROWS_FOR_ONE: u64 = 200;
/// Fewer columns are not worth a look-up.
const COLUMNS_MIN: usize = 2;

/// How others know the node.
pub(super) const LATE_ROWS: &str = "LateRowsExec";

/// Puts the node where it belongs.
pub(super) const LATE_ROWS_RULE: EachNode = EachNode::new("late_rows", late);

/// A scan, what of its columns a plan above it gives, and the conditions in between, over the scan's columns.
struct Below<'a> {
    scan: &'a HeliosScanExec,
    columns: Vec<usize>,
    conditions: Vec<Arc<dyn PhysicalExpr>>,
}

fn below(plan: &Arc<dyn ExecutionPlan>) -> Option<Below<'_>> {
    if let Some(scan) = plan.downcast_ref::<HeliosScanExec>() {
        return Some(Below { scan, columns: (0..scan.schema().fields().len()).collect(), conditions: Vec::new() });
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let mut found = below(projection.input())?;
        let column = |expr: &Arc<dyn PhysicalExpr>| found.columns.get(expr.downcast_ref::<Column>()?.index()).copied();
        found.columns = projection.expr().iter().map(|item| column(&item.expr)).collect::<Option<_>>()?;
        return Some(found);
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        if filter.fetch().is_some() {
            return None;
        }
        let mut found = below(filter.input())?;
        found.conditions.push(moved(filter.predicate(), |at| found.columns.get(at).copied())?);
        if let Some(kept) = filter.projection() {
            found.columns = kept.iter().map(|at| found.columns.get(*at).copied()).collect::<Option<_>>()?;
        }
        return Some(found);
    }
    match (plan.name(), plan.children().as_slice()) {
        ("CooperativeExec", [input]) => below(input),
        _ => None,
    }
}

/// An expression whose columns have other places.
fn moved(expr: &Arc<dyn PhysicalExpr>, place: impl Fn(usize) -> Option<usize>) -> Option<Arc<dyn PhysicalExpr>> {
    let mut known = true;
    let changed = Arc::clone(expr).transform_up(|expr| {
        let Some(column) = expr.downcast_ref::<Column>() else { return Ok(Transformed::no(expr)) };
        Ok(match place(column.index()) {
            Some(at) => Transformed::yes(Arc::new(Column::new(column.name(), at)) as Arc<dyn PhysicalExpr>),
            None => {
                known = false;
                Transformed::no(expr)
            }
        })
    });
    Some(changed.ok()?.data).filter(|_| known)
}

/// The plan that reads late, if the sort is of that kind and it pays.
fn late(plan: &Arc<dyn ExecutionPlan>) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
    let Some(sort) = plan.downcast_ref::<SortExec>() else { return Ok(None) };
    let Some(fetch) = sort.fetch().filter(|fetch| (1..=LIMIT_MAX).contains(fetch)) else { return Ok(None) };
    let Some(below) = below(sort.input()) else { return Ok(None) };
    if !below.scan.can_narrow() || below.scan.estimated_rows() < ROWS_FOR_ONE * fetch as u64 {
        return Ok(None);
    }
    let by = |item: &PhysicalSortExpr| moved(&item.expr, |at| below.columns.get(at).copied());
    let Some(by) = sort.expr().iter().map(by).collect::<Option<Vec<_>>>() else { return Ok(None) };
    let needed: BTreeSet<usize> =
        by.iter().chain(&below.conditions).flat_map(collect_columns).map(|column| column.index()).collect();
    let rest: BTreeSet<usize> = below.columns.iter().filter(|at| !needed.contains(at)).copied().collect();
    if rest.len() < COLUMNS_MIN {
        return Ok(None);
    }
    let needed: Vec<usize> = needed.into_iter().collect();
    let place = |at: usize| needed.iter().position(|known| *known == at);
    let Some(scan) = below.scan.narrowed(&needed).map_err(to_datafusion)? else { return Ok(None) };
    let mut input: Arc<dyn ExecutionPlan> = Arc::new(CooperativeExec::new(Arc::new(scan)));
    if input.output_partitioning().partition_count() != sort.input().output_partitioning().partition_count() {
        return Ok(None);
    }
    for condition in &below.conditions {
        let Some(condition) = moved(condition, place) else { return Ok(None) };
        input = Arc::new(FilterExec::try_new(condition, input)?);
    }
    let order = sort
        .expr()
        .iter()
        .zip(&by)
        .map(|(item, expr)| Some(PhysicalSortExpr { expr: moved(expr, place)?, options: item.options }));
    let Some(order) = order.collect::<Option<Vec<_>>>().and_then(LexOrdering::new) else { return Ok(None) };
    let sorted = SortExec::new(order, input).with_preserve_partitioning(sort.preserve_partitioning());
    let sorted = sorted.with_fetch(Some(fetch));
    let mut read = Read { tree: below.scan.tree().map_err(to_datafusion)?, columns: Vec::new(), types: Vec::new() };
    let mut sources = Vec::with_capacity(below.columns.len());
    for at in &below.columns {
        sources.push(match place(*at) {
            Some(place) => Source::Sorted(place),
            None => Source::Read(read.place_of(below.scan, *at).map_err(to_datafusion)?),
        });
    }
    Ok(Some(Arc::new(LateRowsExec {
        input: Arc::new(sorted),
        sources: sources.into(),
        reference: needed.len(),
        read: Arc::new(read),
        properties: Arc::clone(sort.properties()),
    })))
}

/// Where an output column comes from.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// A column of the sorted rows.
    Sorted(usize),
    /// One that is read late.
    Read(usize),
}

/// What is read of each row.
#[derive(Debug)]
struct Read {
    tree: TreeRef,
    columns: Vec<ColumnId>,
    types: Vec<PhysicalType>,
}

impl Read {
    /// The place of a scan's column among those that are read; it is added if it is not there.
    fn place_of(&mut self, scan: &HeliosScanExec, at: usize) -> Result<usize> {
        let (column, physical) = scan.stored(at).ok_or_else(|| Error::internal("a scan gives a column it lacks"))?;
        Ok(self.columns.iter().position(|known| *known == column).unwrap_or_else(|| {
            self.columns.push(column);
            self.types.push(physical);
            self.columns.len() - 1
        }))
    }
}

/// Gives its input's rows with the columns that were left out; in the order they come.
pub(super) struct LateRowsExec {
    input: Arc<dyn ExecutionPlan>,
    sources: Arc<[Source]>,
    /// The input's column with the rows' references.
    reference: usize,
    read: Arc<Read>,
    /// The sort's it stands for.
    properties: Arc<PlanProperties>,
}

impl fmt::Debug for LateRowsExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LateRowsExec({:?})", self.sources)
    }
}

impl DisplayAs for LateRowsExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LateRowsExec: {} of {} columns", self.read.columns.len(), self.sources.len())
    }
}

impl ExecutionPlan for LateRowsExec {
    fn name(&self) -> &str {
        LATE_ROWS
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn fetch(&self) -> Option<usize> {
        self.input.fetch()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let input = children.pop().ok_or_else(|| DataFusionError::Internal("LateRows needs a child".into()))?;
        Ok(Arc::new(LateRowsExec {
            input,
            sources: Arc::clone(&self.sources),
            reference: self.reference,
            read: Arc::clone(&self.read),
            properties: Arc::clone(&self.properties),
        }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        let reader = Reader {
            scope: StatementScope::of(context.session_config()).map_err(to_datafusion)?,
            sources: Arc::clone(&self.sources),
            reference: self.reference,
            read: Arc::clone(&self.read),
            schema: self.schema(),
        };
        let batches = self.input.execute(partition, context)?;
        let batches = batches.map(move |batch| reader.complete(&batch?).map_err(to_datafusion));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}

struct Reader {
    scope: Arc<StatementScope>,
    sources: Arc<[Source]>,
    reference: usize,
    read: Arc<Read>,
    schema: SchemaRef,
}

impl Reader {
    fn complete(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let references = batch.columns().get(self.reference).and_then(|column| column.as_binary_view_opt());
        let references = references.ok_or_else(|| Error::internal("sorted rows without references"))?;
        let builder = |physical: &PhysicalType| ColumnBuilder::new(*physical, batch.num_rows());
        let mut builders: Vec<ColumnBuilder> = self.read.types.iter().map(builder).collect();
        for row in 0..references.len() {
            self.scope.cancel.check()?;
            let key = RowRef::decode(references.value(row))?.key;
            let (tree, columns) = (self.read.tree, self.read.columns.as_slice());
            if !self.scope.shard.get(&self.scope.read, tree, key, columns, &mut Append(&mut builders))? {
                return Err(Error::internal("a row that was scanned is not there"));
            }
        }
        let late: Vec<ArrayRef> = builders.into_iter().map(ColumnBuilder::finish).collect();
        let column = |source: &Source| match source {
            Source::Sorted(at) => batch.columns().get(*at).cloned(),
            Source::Read(at) => late.get(*at).cloned(),
        };
        let columns = self.sources.iter().map(column).collect::<Option<Vec<_>>>();
        let columns = columns.ok_or_else(|| Error::internal("a column of late rows is missing"))?;
        RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(from_arrow)
    }
}

struct Append<'a>(&'a mut [ColumnBuilder]);

impl RowSink for Append<'_> {
    fn row(&mut self, values: &[DatumRef<'_>], _: RowHint) -> Result<()> {
        self.0.iter_mut().zip(values).try_for_each(|(builder, value)| builder.push(*value))
    }
}
