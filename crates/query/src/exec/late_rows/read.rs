//! The step that reads the columns which were left out, row by row.

use std::fmt;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::SchemaRef;
use bytes::Bytes;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;
use heliosdb_contracts::{RowHint, RowRef, RowSink, datum_at};
use heliosdb_types::{ColumnId, DatumRef, Error, PhysicalType, Result, TreeRef, encode_key};

use crate::exec::above::with_more_columns;
use crate::exec::arrays::ColumnBuilder;
use crate::exec::error::{from_arrow, to_datafusion};
use crate::exec::scan::HeliosScanExec;
use crate::exec::scope::StatementScope;

/// How others know the node.
pub(in crate::exec) const LATE_ROWS: &str = "LateRowsExec";

/// Where an output column comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// A column of the sorted rows.
    Sorted(usize),
    /// One that is read late.
    Read(usize),
}

/// What tells a row's key.
#[derive(Clone, Debug)]
pub(super) enum RowOf {
    /// A column with the rows' references.
    Reference(usize),
    /// The columns of the primary key, in its order.
    Key(Vec<(usize, PhysicalType)>),
}

impl RowOf {
    fn key(&self, batch: &RecordBatch, row: usize) -> Result<Bytes> {
        let column = |at: &usize| batch.columns().get(*at).ok_or_else(|| Error::internal("late rows without keys"));
        match self {
            RowOf::Reference(at) => {
                let references = column(at)?.as_binary_view_opt();
                let references = references.ok_or_else(|| Error::internal("sorted rows without references"))?;
                Ok(Bytes::copy_from_slice(RowRef::decode(references.value(row))?.key))
            }
            RowOf::Key(parts) => {
                let mut key = Vec::new();
                for (at, physical) in parts {
                    encode_key(&mut key, datum_at(column(at)?, row, *physical)?, false);
                }
                Ok(key.into())
            }
        }
    }
}

/// What is read of each row.
#[derive(Debug)]
pub(super) struct Read {
    pub tree: TreeRef,
    pub columns: Vec<ColumnId>,
    pub types: Vec<PhysicalType>,
}

impl Read {
    /// The place of a scan's column among those that are read; it is added if it is not there.
    pub fn place_of(&mut self, scan: &HeliosScanExec, at: usize) -> Result<usize> {
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
    row_of: RowOf,
    read: Arc<Read>,
    properties: Arc<PlanProperties>,
}

impl LateRowsExec {
    /// What stands for a sort whose rows are `input`'s with other columns.
    pub fn of_sort(
        sort: &SortExec,
        input: Arc<dyn ExecutionPlan>,
        sources: Vec<Source>,
        row_of: RowOf,
        read: Read,
    ) -> LateRowsExec {
        let properties = Arc::clone(sort.properties());
        LateRowsExec { input, sources: sources.into(), row_of, read: Arc::new(read), properties }
    }

    /// Adds columns after those of `input`.
    pub fn after(input: Arc<dyn ExecutionPlan>, row_of: RowOf, read: Read, schema: &SchemaRef) -> LateRowsExec {
        let given = (0..input.schema().fields().len()).map(Source::Sorted);
        let sources = given.chain((0..read.columns.len()).map(Source::Read)).collect();
        let properties = with_more_columns(&input, schema);
        LateRowsExec { input, sources, row_of, read: Arc::new(read), properties }
    }
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
        let properties = match &self.row_of {
            // The sort's, whose rows these are.
            RowOf::Reference(_) => Arc::clone(&self.properties),
            RowOf::Key(_) => with_more_columns(&input, &self.schema()),
        };
        let (sources, row_of, read) = (Arc::clone(&self.sources), self.row_of.clone(), Arc::clone(&self.read));
        Ok(Arc::new(LateRowsExec { input, sources, row_of, read, properties }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        let reader = Reader {
            scope: StatementScope::of(context.session_config()).map_err(to_datafusion)?,
            sources: Arc::clone(&self.sources),
            row_of: self.row_of.clone(),
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
    row_of: RowOf,
    read: Arc<Read>,
    schema: SchemaRef,
}

impl Reader {
    fn complete(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let builder = |physical: &PhysicalType| ColumnBuilder::new(*physical, batch.num_rows());
        let mut builders: Vec<ColumnBuilder> = self.read.types.iter().map(builder).collect();
        for row in 0..batch.num_rows() {
            self.scope.cancel.check()?;
            let key = self.row_of.key(batch, row)?;
            let (tree, columns) = (self.read.tree, self.read.columns.as_slice());
            if !self.scope.shard.get(&self.scope.read, tree, &key, columns, &mut Append(&mut builders))? {
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
