//! The window functions of one step over the rows of whole partitions, in memory or in a file.

use std::collections::BTreeSet;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use arrow_array::{ArrayRef, NullArray, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::concat::{concat, concat_batches};
use datafusion::common::{Result as DfResult, ScalarValue};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{Accumulator, WindowFrameBound, WindowFrameUnits};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::window::{PlainAggregateWindowExpr, SlidingAggregateWindowExpr, WindowExpr};
use datafusion::physical_expr_common::utils::evaluate_expressions_to_arrays;
use futures::{Stream, StreamExt};

use super::by_row;
use crate::exec::spill::{Files, WriteFile};
use crate::exec::together::batch_bytes;

/// Bytes of a function's value, about.
const VALUE_BYTES: usize = 16;

/// The functions of one step: they have the same partitions, in the same order.
#[derive(Debug)]
pub(super) struct Calls {
    calls: Vec<Call>,
    /// PARTITION BY.
    keys: Vec<Arc<dyn PhysicalExpr>>,
    /// Of what comes out.
    schema: SchemaRef,
    /// Columns of the input that those look at whose value is not the same in a whole partition; `None`: it is not known which.
    needed: Option<BTreeSet<usize>>,
}

#[derive(Debug)]
struct Call {
    function: Arc<dyn WindowExpr>,
    /// It is an aggregate of all rows of the partition, so that they need not be there at once.
    of_all: bool,
}

impl Calls {
    pub fn new(functions: &[Arc<dyn WindowExpr>], schema: SchemaRef) -> Calls {
        let keys = functions.first().map(|function| function.partition_by().to_vec()).unwrap_or_default();
        let call =
            |function: &Arc<dyn WindowExpr>| Call { function: Arc::clone(function), of_all: is_of_all(function) };
        let calls: Vec<Call> = functions.iter().map(call).collect();
        let mut needed = Some(BTreeSet::new());
        for call in calls.iter().filter(|call| !call.of_all) {
            match (&mut needed, columns(&call.function)) {
                (Some(needed), Some(columns)) => needed.extend(columns),
                _ => needed = None,
            }
        }
        Calls { calls, keys, schema, needed }
    }

    /// The partitions of a batch, and the values of PARTITION BY.
    pub fn partitions(&self, batch: &RecordBatch) -> DfResult<(Vec<Range<usize>>, Vec<ArrayRef>)> {
        let keys = evaluate_expressions_to_arrays(&self.keys, batch)?;
        let ranges = match keys.as_slice() {
            [] => std::iter::once(0..batch.num_rows()).collect(),
            keys => arrow_ord::partition::partition(keys)?.ranges(),
        };
        Ok((ranges, keys))
    }

    /// Whether the rows that these begin with are of the partition that those end with.
    pub fn same(those: &[ArrayRef], these: &[ArrayRef]) -> DfResult<bool> {
        let both = |(a, b): (&ArrayRef, &ArrayRef)| concat(&[&a.slice(a.len() - 1, 1), &b.slice(0, 1)]);
        let both = those.iter().zip(these).map(both).collect::<Result<Vec<_>, _>>()?;
        Ok(both.is_empty() || arrow_ord::partition::partition(&both)?.ranges().len() == 1)
    }

    /// What rows cost that wait to be completed: they are copied, and values are added.
    pub fn bytes(&self, batch: &RecordBatch) -> usize {
        2 * batch_bytes(batch) + batch.num_rows() * self.calls.len() * VALUE_BYTES
    }

    /// Rows of whole partitions, with their values.
    pub fn completed(&self, rows: &[RecordBatch]) -> DfResult<Option<RecordBatch>> {
        let Some(first) = rows.first() else { return Ok(None) };
        let batch = concat_batches(first.schema_ref(), rows)?;
        let mut values = vec![Vec::new(); self.calls.len()];
        for range in self.partitions(&batch)?.0 {
            let partition = batch.slice(range.start, range.len());
            for (call, values) in self.calls.iter().zip(&mut values) {
                values.push(by_row::values(&call.function, &partition)?);
            }
        }
        let values = values.iter().map(|values| match values.as_slice() {
            [one] => Ok(Arc::clone(one)),
            many => concat(&many.iter().map(|value| value.as_ref()).collect::<Vec<_>>()),
        });
        let mut columns = batch.columns().to_vec();
        columns.extend(values.collect::<Result<Vec<_>, _>>()?);
        Ok(Some(RecordBatch::try_new(Arc::clone(&self.schema), columns)?))
    }

    /// Whether anything must be known of all rows of a partition at once.
    fn look_at_rows(&self) -> bool {
        self.calls.iter().any(|call| !call.of_all)
    }

    /// A batch without the values of columns that nothing looks at.
    fn narrowed(&self, batch: &RecordBatch) -> DfResult<RecordBatch> {
        let Some(needed) = &self.needed else { return Ok(batch.clone()) };
        let nothing: ArrayRef = Arc::new(NullArray::new(batch.num_rows()));
        let schema = batch.schema();
        let column = |(at, column): (usize, &ArrayRef)| match (needed.contains(&at), schema.fields().get(at)) {
            (true, Some(field)) => (Arc::clone(field), Arc::clone(column)),
            _ => (Arc::new(Field::new(at.to_string(), DataType::Null, true)), Arc::clone(&nothing)),
        };
        let (fields, columns): (Vec<_>, Vec<_>) = batch.columns().iter().enumerate().map(column).unzip();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
    }
}

/// Whether a function is an aggregate without FILTER whose frame is the partition.
pub(super) fn is_of_all(function: &Arc<dyn WindowExpr>) -> bool {
    let frame = function.get_window_frame();
    let peers_are_all = frame.units == WindowFrameUnits::Range && function.order_by().is_empty();
    let open = |bound: &WindowFrameBound| match bound {
        WindowFrameBound::CurrentRow => peers_are_all,
        bound => bound.is_unbounded(),
    };
    function.as_any().is::<PlainAggregateWindowExpr>()
        && open(&frame.start_bound)
        && open(&frame.end_bound)
        && !may_have_filter(function)
}

/// The columns a function looks at, if that can be known.
fn columns(function: &Arc<dyn WindowExpr>) -> Option<BTreeSet<usize>> {
    if may_have_filter(function) {
        return None;
    }
    let all = function.all_expressions();
    let all = all.args.iter().chain(&all.partition_by_exprs).chain(&all.order_by_exprs);
    Some(all.flat_map(collect_columns).map(|column| column.index()).collect())
}

/// Whether an aggregate has a FILTER, which it shows nowhere but in its debugging form: the same without one is compared.
pub(super) fn may_have_filter(function: &Arc<dyn WindowExpr>) -> bool {
    let (by, order, frame) = (function.partition_by(), function.order_by(), function.get_window_frame());
    let any = function.as_any();
    let without: Arc<dyn WindowExpr> = if let Some(plain) = any.downcast_ref::<PlainAggregateWindowExpr>() {
        let aggregate = Arc::new(plain.get_aggregate_expr().clone());
        Arc::new(PlainAggregateWindowExpr::new(aggregate, by, order, Arc::clone(frame), None))
    } else if let Some(sliding) = any.downcast_ref::<SlidingAggregateWindowExpr>() {
        let aggregate = Arc::new(sliding.get_aggregate_expr().clone());
        Arc::new(SlidingAggregateWindowExpr::new(aggregate, by, order, Arc::clone(frame), None))
    } else {
        return false;
    };
    format!("{function:?}") != format!("{without:?}")
}

/// The rows of one partition in a file, and what the functions need of them.
pub(super) struct InFile {
    calls: Arc<Calls>,
    file: WriteFile,
    files: Files,
    /// Of functions of all rows.
    running: Vec<Option<Box<dyn Accumulator>>>,
    /// What the others look at.
    narrow: Vec<RecordBatch>,
    narrow_bytes: usize,
}

impl InFile {
    pub fn new(calls: &Arc<Calls>, files: &Files) -> DfResult<InFile> {
        let running = |call: &Call| {
            let plain = call.function.as_any().downcast_ref::<PlainAggregateWindowExpr>().filter(|_| call.of_all);
            plain.map(|plain| plain.get_aggregate_expr().create_accumulator()).transpose()
        };
        Ok(InFile {
            calls: Arc::clone(calls),
            file: files.create("window")?,
            files: files.clone(),
            running: calls.calls.iter().map(running).collect::<DfResult<_>>()?,
            narrow: Vec::new(),
            narrow_bytes: 0,
        })
    }

    pub fn push(&mut self, batch: &RecordBatch) -> DfResult<()> {
        for (call, running) in self.calls.calls.iter().zip(&mut self.running) {
            if let Some(running) = running {
                running.update_batch(&call.function.evaluate_args(batch)?)?;
            }
        }
        if self.calls.look_at_rows() {
            let narrow = self.calls.narrowed(batch)?;
            self.narrow_bytes += self.calls.bytes(&narrow);
            self.narrow.push(narrow);
        }
        (self.file)(Some(batch)).map(|_| ())
    }

    /// What is in memory.
    pub fn bytes(&self) -> usize {
        self.narrow_bytes + self.running.iter().flatten().map(|running| running.size()).sum::<usize>()
    }

    /// The partition's rows with their values.
    pub fn complete(mut self) -> DfResult<Completed> {
        let file = (self.file)(None)?;
        let narrow = match self.narrow.first() {
            Some(first) => Some(concat_batches(first.schema_ref(), &self.narrow)?),
            None => None,
        };
        let mut values = Vec::with_capacity(self.running.len());
        for (call, running) in self.calls.calls.iter().zip(self.running) {
            values.push(match (running, &narrow) {
                (Some(mut running), _) => Values::Same(running.evaluate()?),
                (None, Some(narrow)) => Values::Each(by_row::values(&call.function, narrow)?),
                (None, None) => Values::Same(ScalarValue::Null),
            });
        }
        Ok(Completed { rows: self.files.read(vec![file]), values, at: 0, schema: Arc::clone(&self.calls.schema) })
    }
}

/// A function's values in one partition.
enum Values {
    Same(ScalarValue),
    Each(ArrayRef),
}

/// A partition read from its file.
pub(super) struct Completed {
    rows: SendableRecordBatchStream,
    values: Vec<Values>,
    /// Rows given so far.
    at: usize,
    schema: SchemaRef,
}

impl Completed {
    fn complete(&mut self, batch: &RecordBatch) -> DfResult<RecordBatch> {
        let (at, rows) = (self.at, batch.num_rows());
        self.at += rows;
        let values = self.values.iter().map(|values| match values {
            Values::Same(value) => value.to_array_of_size(rows),
            Values::Each(values) => Ok(values.slice(at, rows)),
        });
        let mut columns = batch.columns().to_vec();
        columns.extend(values.collect::<DfResult<Vec<_>>>()?);
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

impl Stream for Completed {
    type Item = DfResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<DfResult<RecordBatch>>> {
        let next = ready!(self.rows.poll_next_unpin(context));
        Poll::Ready(next.map(|batch| self.complete(&batch?)))
    }
}
