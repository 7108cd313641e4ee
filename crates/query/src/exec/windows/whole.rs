//! Functions that need the whole partition: it is given when it is complete.
//!
//! The input comes sorted by PARTITION BY. Rows of partitions that are complete wait until there are enough of them for a batch; the
//! rows of the last one, which is open, wait for its end. When memory does not hold what waits, complete partitions go on at once,
//! and an open one is written to a file, all but what functions look at. What is too much even so fails with 53200.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use datafusion::error::Result as DfResult;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, Gauge, MetricBuilder, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::WindowAggExec;
use futures::{StreamExt, stream};

use super::WHOLE_WINDOWS;
use super::budgeted::{Budgeted, Way};
use super::calls::{Calls, Completed, InFile};
use crate::exec::spill::Files;

/// Window functions over whole partitions.
pub(super) type WholeWindows = Budgeted<Whole>;

#[derive(Debug)]
pub(super) struct Whole {
    metrics: ExecutionPlanMetricsSet,
}

impl Way for Whole {
    type Stage = WindowAggExec;
    const NAME: &'static str = WHOLE_WINDOWS;

    fn new(_stage: &WindowAggExec) -> DfResult<Whole> {
        Ok(Whole { metrics: ExecutionPlanMetricsSet::new() })
    }

    fn execute(
        &self,
        stage: &WindowAggExec,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DfResult<SendableRecordBatchStream> {
        let input = stage.input();
        let calls = Arc::new(Calls::new(stage.window_expr(), stage.schema()));
        let memory = MemoryConsumer::new(format!("Window[{partition}]")).with_can_spill(true);
        let rows = Rows {
            files: Files::new(&context, input.schema(), &self.metrics),
            memory: memory.register(context.memory_pool()),
            most: MetricBuilder::new(&self.metrics).gauge("peak_mem_used", partition),
            metrics: BaselineMetrics::new(&self.metrics, partition),
            batch_rows: context.session_config().batch_size(),
            input: input.execute(partition, context)?,
            ended: false,
            last: None,
            complete: Waiting::default(),
            open: Open::Memory(Waiting::default()),
            out: VecDeque::new(),
            calls,
        };
        let rows = stream::try_unfold(rows, |mut rows| async move {
            let next = rows.next().await?;
            Ok(next.map(|batch| (batch, rows)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(stage.schema(), rows)))
    }

    fn metrics(&self) -> MetricsSet {
        self.metrics.clone_inner()
    }
}

/// Rows in memory.
#[derive(Default)]
struct Waiting {
    batches: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
}

impl Waiting {
    fn push(&mut self, batch: RecordBatch, bytes: usize) {
        self.rows += batch.num_rows();
        self.bytes += bytes;
        self.batches.push(batch);
    }

    fn append(&mut self, mut other: Waiting) {
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.batches.append(&mut other.batches);
    }
}

/// The partition whose end has not come.
enum Open {
    Memory(Waiting),
    File(InFile),
}

impl Open {
    fn bytes(&self) -> usize {
        match self {
            Open::Memory(rows) => rows.bytes,
            Open::File(file) => file.bytes(),
        }
    }
}

/// What goes to the reader next.
enum Piece {
    Batch(RecordBatch),
    File(Completed),
}

/// One partition of the plan at work. Rows go from `open` to `complete` to `out`, in order.
struct Rows {
    calls: Arc<Calls>,
    input: SendableRecordBatchStream,
    ended: bool,
    /// The values of PARTITION BY that the input's last batch had.
    last: Option<Vec<ArrayRef>>,
    complete: Waiting,
    open: Open,
    out: VecDeque<Piece>,
    memory: MemoryReservation,
    files: Files,
    batch_rows: usize,
    metrics: BaselineMetrics,
    most: Gauge,
}

impl Rows {
    async fn next(&mut self) -> DfResult<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.given().await? {
                self.metrics.record_output(batch.num_rows());
                return Ok(Some(batch));
            }
            if self.ended {
                return Ok(None);
            }
            if self.make_room()? {
                continue;
            }
            match self.input.next().await.transpose()? {
                Some(batch) if batch.num_rows() == 0 => {}
                Some(batch) => self.take(&batch)?,
                None => {
                    self.ended = true;
                    self.end_open()?;
                    self.give_complete()?;
                }
            }
        }
    }

    async fn given(&mut self) -> DfResult<Option<RecordBatch>> {
        while let Some(piece) = self.out.pop_front() {
            match piece {
                Piece::Batch(batch) => return Ok(Some(batch)),
                Piece::File(mut file) => {
                    if let Some(batch) = file.next().await.transpose()? {
                        self.out.push_front(Piece::File(file));
                        return Ok(Some(batch));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Brings what waits to what memory holds; true if that gave something to the reader.
    fn make_room(&mut self) -> DfResult<bool> {
        let held = self.complete.bytes + self.open.bytes();
        if self.complete.rows < self.batch_rows && self.memory.try_resize(held).is_ok() {
            self.most.set_max(held);
            return Ok(false);
        }
        if self.complete.rows > 0 {
            self.give_complete()?;
            return Ok(true);
        }
        let _timer = self.metrics.elapsed_compute().timer();
        if let Open::Memory(rows) = &self.open {
            let mut file = InFile::new(&self.calls, &self.files)?;
            rows.batches.iter().try_for_each(|batch| file.push(batch))?;
            self.open = Open::File(file);
        }
        self.memory.try_resize(self.open.bytes())?;
        self.most.set_max(self.open.bytes());
        Ok(false)
    }

    fn take(&mut self, batch: &RecordBatch) -> DfResult<()> {
        let timer = self.metrics.elapsed_compute().clone();
        let _timer = timer.timer();
        let (partitions, keys) = self.calls.partitions(batch)?;
        let [first, .., last] = partitions.as_slice() else {
            return self.take_one(batch.clone(), keys);
        };
        let (first, last) = (first.clone(), last.clone());
        self.take_one(batch.slice(0, first.end), keys.clone())?;
        self.end_open()?;
        let between = batch.slice(first.end, last.start - first.end);
        if between.num_rows() > 0 {
            let bytes = self.calls.bytes(&between);
            self.complete.push(between, bytes);
        }
        self.last = None;
        self.take_one(batch.slice(last.start, last.len()), keys)
    }

    /// Takes rows of one partition, the first of those that have these keys, or the last where that one has ended.
    fn take_one(&mut self, batch: RecordBatch, keys: Vec<ArrayRef>) -> DfResult<()> {
        if let Some(last) = &self.last
            && !Calls::same(last, &keys)?
        {
            self.end_open()?;
        }
        self.last = Some(keys);
        let bytes = self.calls.bytes(&batch);
        match &mut self.open {
            Open::Memory(rows) => rows.push(batch, bytes),
            Open::File(file) => file.push(&batch)?,
        }
        Ok(())
    }

    /// The open partition is complete.
    fn end_open(&mut self) -> DfResult<()> {
        match std::mem::replace(&mut self.open, Open::Memory(Waiting::default())) {
            Open::Memory(rows) => self.complete.append(rows),
            // What was complete before it has been given.
            Open::File(file) => self.out.push_back(Piece::File(file.complete()?)),
        }
        Ok(())
    }

    fn give_complete(&mut self) -> DfResult<()> {
        let timer = self.metrics.elapsed_compute().clone();
        let _timer = timer.timer();
        let waiting = std::mem::take(&mut self.complete);
        let Some(batch) = self.calls.completed(&waiting.batches)? else { return Ok(()) };
        let mut at = 0;
        while at < batch.num_rows() {
            let rows = self.batch_rows.min(batch.num_rows() - at);
            self.out.push_back(Piece::Batch(batch.slice(at, rows)));
            at += rows;
        }
        Ok(())
    }
}
