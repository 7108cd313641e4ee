//! Functions whose frames end with their row or soon after it: rows go on as they come, and those that are kept are counted.
//!
//! Kept are rows that have come in and not gone out, which are many where many have the same place in the order, and those that
//! frames reach back to: so many in ROWS, what [`Reach`] says in RANGE and GROUPS.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion::common::ScalarValue;
use datafusion::error::Result as DfResult;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{WindowFrameBound, WindowFrameUnits};
use datafusion::physical_expr::window::WindowExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::InputOrderMode;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, Gauge, MetricBuilder, MetricsSet};
use datafusion::physical_plan::windows::BoundedWindowAggExec;
use futures::{Stream, StreamExt};
use parking_lot::Mutex;

use super::COUNTED_WINDOWS;
use super::budgeted::{Budgeted, Way};
use super::reach::Reach;
use crate::exec::spill::{Given, Handover};
use crate::exec::together::batch_bytes;

/// DataFusion's streaming window functions within the budget.
pub(super) type CountedWindows = Budgeted<Counting>;

#[derive(Debug)]
pub(super) struct Counting {
    /// The stage over `input`, which passes the child on.
    running: Arc<dyn ExecutionPlan>,
    input: Arc<Handover>,
    /// Rows before a row that its frame may have.
    back: usize,
    metrics: ExecutionPlanMetricsSet,
}

fn rows_back(call: &Arc<dyn WindowExpr>) -> usize {
    let frame = call.get_window_frame();
    match (&frame.start_bound, frame.units) {
        (WindowFrameBound::Preceding(ScalarValue::UInt64(Some(rows))), WindowFrameUnits::Rows) => {
            usize::try_from(*rows).unwrap_or(usize::MAX)
        }
        _ => 0,
    }
}

/// Rows that the functions keep.
#[derive(Debug)]
struct Kept {
    memory: MemoryReservation,
    most: Gauge,
    back: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    rows_in: usize,
    bytes_in: usize,
    rows_out: usize,
    /// Of frames that begin at a distance.
    reach: Option<Reach>,
    reached: usize,
}

impl Kept {
    fn change(&self, change: impl FnOnce(&mut Counts) -> DfResult<()>) -> DfResult<()> {
        let mut counts = self.counts.lock();
        change(&mut counts)?;
        let back = self.back.min(counts.rows_out).max(counts.reached);
        let kept = counts.rows_in.saturating_sub(counts.rows_out) + back;
        // By themselves, and in their partition.
        let bytes = 2.0 * kept as f64 * counts.bytes_in as f64 / counts.rows_in.max(1) as f64;
        self.most.set_max(bytes as usize);
        self.memory.try_resize(bytes as usize)
    }
}

/// The functions' input or output, counted.
struct Counted {
    rows: SendableRecordBatchStream,
    kept: Arc<Kept>,
    is_input: bool,
}

impl Stream for Counted {
    type Item = DfResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<DfResult<RecordBatch>>> {
        let next = ready!(self.rows.poll_next_unpin(context));
        let Some(Ok(batch)) = &next else { return Poll::Ready(next) };
        let change = |counts: &mut Counts| {
            if self.is_input {
                counts.rows_in += batch.num_rows();
                counts.bytes_in += batch_bytes(batch);
                return counts.reach.as_mut().map_or(Ok(()), |reach| reach.push(batch));
            }
            counts.rows_out += batch.num_rows();
            if let Some(reach) = &mut counts.reach {
                counts.reached = reach.back(counts.rows_out)?;
            }
            Ok(())
        };
        match self.kept.change(change) {
            Ok(()) => Poll::Ready(next),
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }
}

impl RecordBatchStream for Counted {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}

impl Way for Counting {
    type Stage = BoundedWindowAggExec;
    const NAME: &'static str = COUNTED_WINDOWS;

    fn new(stage: &BoundedWindowAggExec) -> DfResult<Counting> {
        let input = Arc::new(Handover::new(Arc::clone(stage.input())));
        let running = replace_children_if_necessary(Arc::new(stage.clone()), vec![Arc::clone(&input) as _])?;
        let back = stage.window_expr().iter().map(rows_back).max().unwrap_or(0);
        Ok(Counting { running, input, back, metrics: ExecutionPlanMetricsSet::new() })
    }

    fn execute(
        &self,
        stage: &BoundedWindowAggExec,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DfResult<SendableRecordBatchStream> {
        // Where partitions come one after the other.
        let sorted = stage.input_order_mode == InputOrderMode::Sorted;
        let reach = sorted.then(|| Reach::new(stage.window_expr())).flatten();
        let kept = Arc::new(Kept {
            memory: MemoryConsumer::new(format!("Window[{partition}]")).register(context.memory_pool()),
            most: MetricBuilder::new(&self.metrics).gauge("peak_mem_used", partition),
            back: self.back,
            counts: Mutex::new(Counts { reach, ..Counts::default() }),
        });
        let rows = stage.input().execute(partition, Arc::clone(&context))?;
        let rows = Counted { rows, kept: Arc::clone(&kept), is_input: true };
        self.input.give(partition, Given::Stream(Box::pin(rows)));
        let rows = self.running.execute(partition, context)?;
        Ok(Box::pin(Counted { rows, kept, is_input: false }))
    }

    fn metrics(&self) -> MetricsSet {
        let mut all = self.running.metrics().unwrap_or_default();
        self.metrics.clone_inner().iter().for_each(|metric| all.push(Arc::clone(metric)));
        all
    }
}
