//! Small batches put together above what makes them and below what keeps them.
//!
//! A cross join gives a batch for each row of one side and batch of the other. A sort by several columns makes each batch it has a run of
//! its own, with a task and a place in the merge that no budget counts: of 196,020 batches of 20 rows it held 11 GB. So cross
//! joins' batches are put together, and those of whatever else is below a sort.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, SchemaRef};
use arrow_select::coalesce::BatchCoalescer;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::joins::CrossJoinExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use futures::{Stream, StreamExt};

use super::above::{Above, Step};
use super::each_node::EachNode;

/// Long values that wait; more of them go on by themselves, however few rows they are.
const LONG_BYTES: usize = 1 << 20;

/// How others know the node.
pub(super) const TOGETHER: &str = "TogetherExec";

/// Puts the node where it belongs.
pub(super) const PUT_TOGETHER: EachNode = EachNode::new("put_together", put_together);

fn put_together(plan: &Arc<dyn ExecutionPlan>) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
    if plan.is::<CrossJoinExec>() {
        return Ok(Some(Arc::new(TogetherExec::new(Coalesce, Arc::clone(plan)))));
    }
    // With a limit it keeps rows, not batches.
    match plan.downcast_ref::<SortExec>().filter(|sort| sort.fetch().is_none()).map(SortExec::input) {
        Some(input) if !input.is::<TogetherExec>() => {
            let input = Arc::new(TogetherExec::new(Coalesce, Arc::clone(input)));
            replace_children_if_necessary(Arc::clone(plan), vec![input]).map(Some)
        }
        _ => Ok(None),
    }
}

/// Its input in batches that are worth their price; large ones pass as they are.
#[derive(Debug)]
struct Coalesce;

type TogetherExec = Above<Coalesce>;

impl Step for Coalesce {
    const NAME: &'static str = TOGETHER;

    fn anew(&self) -> Coalesce {
        Coalesce
    }

    fn execute(
        &self,
        input: &Arc<dyn ExecutionPlan>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DfResult<SendableRecordBatchStream> {
        let rows = context.session_config().batch_size();
        let input = input.execute(partition, context)?;
        let waiting = BatchCoalescer::new(input.schema(), rows).with_biggest_coalesce_batch_size(Some(rows / 2));
        Ok(Box::pin(Together { input, waiting, long_bytes: 0, ended: false }))
    }
}

struct Together {
    input: SendableRecordBatchStream,
    waiting: BatchCoalescer,
    /// Of the batches that wait.
    long_bytes: usize,
    ended: bool,
}

/// Bytes of a batch's rows, of slices too.
pub(super) fn batch_bytes(batch: &RecordBatch) -> usize {
    let column = |array: &ArrayRef| {
        let width = match array.data_type() {
            DataType::Utf8View | DataType::BinaryView => 16,
            kind => kind.primitive_width().unwrap_or_else(|| usize::from(*kind == DataType::Boolean)),
        };
        array.len() * width + long_bytes(array)
    };
    batch.columns().iter().map(column).sum()
}

/// Bytes of values that have no width.
fn long_bytes(array: &ArrayRef) -> usize {
    match array.data_type() {
        DataType::Utf8View => array.as_string_view().total_buffer_bytes_used(),
        DataType::BinaryView => array.as_binary_view().total_buffer_bytes_used(),
        kind if kind.primitive_width().is_some() => 0,
        DataType::Boolean | DataType::Null => 0,
        _ => array.to_data().get_slice_memory_size().unwrap_or(0),
    }
}

impl Together {
    fn push(&mut self, batch: RecordBatch) -> DfResult<()> {
        self.long_bytes += batch.columns().iter().map(long_bytes).sum::<usize>();
        self.waiting.push_batch(batch)?;
        if self.long_bytes >= LONG_BYTES {
            self.waiting.finish_buffered_batch()?;
        }
        if self.waiting.has_completed_batch() {
            self.long_bytes = 0;
        }
        Ok(())
    }
}

impl Stream for Together {
    type Item = DfResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<DfResult<RecordBatch>>> {
        loop {
            if let Some(batch) = self.waiting.next_completed_batch() {
                return Poll::Ready(Some(Ok(batch)));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            let done = match std::task::ready!(self.input.poll_next_unpin(context)) {
                Some(Ok(batch)) => self.push(batch),
                Some(Err(error)) => Err(error),
                None => {
                    self.ended = true;
                    self.waiting.finish_buffered_batch().map_err(DataFusionError::from)
                }
            };
            if let Err(error) = done {
                self.ended = true;
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}

impl RecordBatchStream for Together {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{Int32Array, StringViewArray};
    use arrow_schema::{Field, Schema};
    use datafusion::config::ConfigOptions;
    use datafusion::datasource::memory::MemorySourceConfig;
    use datafusion::physical_expr::PhysicalExpr;
    use datafusion::physical_optimizer::PhysicalOptimizerRule;
    use datafusion::physical_plan::collect;

    use super::*;

    fn source(name: &str, values: Vec<ArrayRef>) -> Arc<dyn ExecutionPlan> {
        let schema = Arc::new(Schema::new(vec![Field::new(name, values[0].data_type().clone(), false)]));
        let batch = |values| RecordBatch::try_new(Arc::clone(&schema), vec![values]).unwrap();
        let batches: Vec<RecordBatch> = values.into_iter().map(batch).collect();
        MemorySourceConfig::try_new_exec(&[batches], schema, None).unwrap()
    }

    fn numbers(name: &str, rows: i32) -> Arc<dyn ExecutionPlan> {
        source(name, vec![Arc::new(Int32Array::from_iter_values(0..rows))])
    }

    fn run(plan: Arc<dyn ExecutionPlan>) -> Vec<RecordBatch> {
        let plan = PUT_TOGETHER.optimize(plan, &ConfigOptions::default()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(collect(plan, Arc::new(TaskContext::default()))).unwrap()
    }

    #[test]
    fn a_cross_join_gives_few_batches_with_all_rows_in_order() {
        let batches = run(Arc::new(CrossJoinExec::new(numbers("a", 10_000), numbers("b", 3))));
        assert!(batches.len() <= 4, "{} batches", batches.len());
        let pairs = batches.iter().flat_map(|batch| {
            let column = |at: usize| batch.column(at).as_primitive::<arrow_array::types::Int32Type>().values().to_vec();
            column(0).into_iter().zip(column(1))
        });
        assert!(pairs.eq((0..10_000).flat_map(|a| (0..3).map(move |b| (a, b)))));
    }

    #[test]
    fn a_cross_join_without_columns_keeps_its_rows() {
        let none = |name, rows| {
            let plan = numbers(name, rows);
            let none = Vec::<(Arc<dyn PhysicalExpr>, String)>::new();
            Arc::new(datafusion::physical_plan::projection::ProjectionExec::try_new(none, plan).unwrap())
        };
        let batches = run(Arc::new(CrossJoinExec::new(none("a", 1_000), none("b", 3))));
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 3_000);
    }

    #[test]
    fn long_values_do_not_wait_for_many_rows() {
        let text = |_| Arc::new(StringViewArray::from_iter_values(["x".repeat(400 << 10)])) as ArrayRef;
        let input = source("t", (0..30).map(text).collect());
        let batches = run(Arc::new(CrossJoinExec::new(numbers("a", 1), input)));
        assert_eq!(batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [3; 10]);
    }
}
