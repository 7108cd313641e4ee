//! Few rows at a time below steps that make much of each.
//!
//! What an expression makes of a batch is all there at once, and no budget knows of it: `repeat(body, 100)` of 8,192 rows would be 8 GB
//! for a body of 10 kB. Batches are cut for such steps; rows come as they came.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result as DfResult;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use futures::{Stream, StreamExt};

use super::above::{Above, Step};
use super::each_node::EachNode;
use super::together::batch_bytes;

/// Functions that are told how long their values are to be,
const TOLD: [&str; 3] = ["lpad", "repeat", "rpad"];
/// and those whose values may be many times as long as long arguments.
const MULTIPLY: [&str; 2] = ["regexp_replace", "replace"];
/// Rows at a time for the former,
const ROWS: usize = 256;
/// and bytes for all, unless one row has more.
const BYTES: usize = 4 << 20;

/// Whether a function may make much of little.
pub(super) fn makes_much(name: &str) -> bool {
    TOLD.contains(&name) || MULTIPLY.contains(&name)
}

/// How others know the node.
pub(super) const SLICES: &str = "SlicesExec";

/// Puts the node where it belongs.
pub(super) const SLICE: EachNode = EachNode::new("slice", sliced);

fn sliced(plan: &Arc<dyn ExecutionPlan>) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
    // The last stage of an aggregate has its arguments' results.
    let aggregates = plan
        .downcast_ref::<AggregateExec>()
        .is_some_and(|step| !matches!(step.mode(), AggregateMode::Final | AggregateMode::FinalPartitioned));
    let by_batch = aggregates || plan.is::<ProjectionExec>() || plan.is::<FilterExec>();
    match plan.children().as_slice() {
        [input] if by_batch => {
            let Some(rows) = rows_for(plan)? else { return Ok(None) };
            let input = Arc::new(Above::new(Slices { rows }, Arc::clone(input)));
            replace_children_if_necessary(Arc::clone(plan), vec![input]).map(Some)
        }
        _ => Ok(None),
    }
}

/// The most rows that a step should get at a time; `None`: what it makes of them is not much.
fn rows_for(plan: &Arc<dyn ExecutionPlan>) -> DfResult<Option<usize>> {
    let mut least = None;
    let mut look = |expr: &Arc<dyn PhysicalExpr>| {
        let name = expr.downcast_ref::<ScalarFunctionExpr>().map_or("", |call| call.fun().name());
        if TOLD.contains(&name) {
            least = Some(ROWS);
        } else if MULTIPLY.contains(&name) {
            least = least.or(Some(usize::MAX));
        }
        Ok(TreeNodeRecursion::Continue)
    };
    plan.apply_expressions(&mut |expr| expr.apply(&mut look))?;
    Ok(least)
}

/// Its input in smaller batches.
#[derive(Debug)]
struct Slices {
    rows: usize,
}

impl Step for Slices {
    const NAME: &'static str = SLICES;

    fn anew(&self) -> Slices {
        Slices { rows: self.rows }
    }

    fn execute(
        &self,
        input: &Arc<dyn ExecutionPlan>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DfResult<SendableRecordBatchStream> {
        let input = input.execute(partition, context)?;
        Ok(Box::pin(Cut { input, rows: self.rows, rest: None }))
    }
}

struct Cut {
    input: SendableRecordBatchStream,
    rows: usize,
    /// What is left of a batch, and its rows at a time.
    rest: Option<(RecordBatch, usize)>,
}

/// So many rows of it at a time, `most` at most.
fn rows_at_a_time(batch: &RecordBatch, most: usize) -> usize {
    let rows_of_bytes = (BYTES * batch.num_rows()).checked_div(batch_bytes(batch)).unwrap_or(most);
    rows_of_bytes.clamp(1, most)
}

impl Stream for Cut {
    type Item = DfResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<DfResult<RecordBatch>>> {
        let (batch, rows) = match self.rest.take() {
            Some(rest) => rest,
            None => match std::task::ready!(self.input.poll_next_unpin(context)) {
                Some(Ok(batch)) => {
                    let rows = rows_at_a_time(&batch, self.rows);
                    (batch, rows)
                }
                end => return Poll::Ready(end),
            },
        };
        if batch.num_rows() <= rows {
            return Poll::Ready(Some(Ok(batch)));
        }
        self.rest = Some((batch.slice(rows, batch.num_rows() - rows), rows));
        Poll::Ready(Some(Ok(batch.slice(0, rows))))
    }
}

impl RecordBatchStream for Cut {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{ArrayRef, StringViewArray};
    use arrow_schema::{DataType, Field, Schema};
    use datafusion::datasource::memory::MemorySourceConfig;
    use datafusion::physical_plan::collect;

    use super::*;

    fn cut(length: usize, rows: usize) -> Vec<usize> {
        let schema = Arc::new(Schema::new(vec![Field::new("body", DataType::Utf8View, false)]));
        let texts: StringViewArray = (0..600).map(|n| Some(format!("{n:0length$}"))).collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(texts) as ArrayRef]).unwrap();
        let source = MemorySourceConfig::try_new_exec(&[vec![batch.clone()]], schema, None).unwrap();
        let plan = Arc::new(Above::new(Slices { rows }, source as Arc<dyn ExecutionPlan>));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let found = runtime.block_on(collect(plan, Arc::new(TaskContext::default()))).unwrap();
        let whole = arrow_select::concat::concat_batches(&batch.schema(), &found).unwrap();
        assert_eq!(whole, batch);
        found.iter().map(RecordBatch::num_rows).collect()
    }

    #[test]
    fn rows_come_as_they_came_few_at_a_time() {
        assert_eq!(cut(20, 256), [256, 256, 88]);
        assert_eq!(cut(20, usize::MAX), [600]);
        assert_eq!(cut(40_000, 256), [104, 104, 104, 104, 104, 80]);
        assert_eq!(cut(40_000, usize::MAX), [104, 104, 104, 104, 104, 80]);
    }
}
