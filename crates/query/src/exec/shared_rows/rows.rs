//! The rows of shared queries of one statement: in memory as long as there is some, in files beyond.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::{DataFusionError, Result as DfResult};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, SpillFile, TaskContext};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, SpillMetrics};
use datafusion::physical_plan::spill::get_record_batch_memory_size;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, SpillManager};
use futures::future::{BoxFuture, Shared};
use futures::{FutureExt, StreamExt, stream};
use parking_lot::Mutex;

/// A query's number, how many partitions it comes in, and which of them.
pub(super) type Place = (u64, usize, usize);

type Kept = Shared<BoxFuture<'static, Result<Arc<Rows>, Arc<DataFusionError>>>>;

/// What the shared queries of a statement gave.
#[derive(Default)]
pub(crate) struct SharedRows(Mutex<HashMap<Place, Kept>>);

impl fmt::Debug for SharedRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedRows")
    }
}

impl SharedRows {
    /// The rows of a place, computed by whoever asks first.
    pub(super) fn at(&self, place: Place, input: &Arc<dyn ExecutionPlan>, context: &Arc<TaskContext>) -> Kept {
        let compute = || {
            let (input, context) = (Arc::clone(input), Arc::clone(context));
            // A task of its own: it goes on while the one who asked does something else. It begins when somebody waits for it,
            // for it may look for other shared rows itself.
            let rows = async move {
                let collected = SpawnedTask::spawn(collect(input, place.2, context)).join().await;
                let collected = collected.map_err(|error| DataFusionError::External(Box::new(error)));
                collected.and_then(|rows| rows).map(Arc::new).map_err(Arc::new)
            };
            rows.boxed().shared()
        };
        self.0.lock().entry(place).or_insert_with(compute).clone()
    }
}

/// One partition's.
pub(super) struct Rows {
    batches: Vec<RecordBatch>,
    _memory: MemoryReservation,
    /// What did not fit, after the batches.
    file: Option<Arc<dyn SpillFile>>,
    manager: SpillManager,
}

async fn collect(input: Arc<dyn ExecutionPlan>, partition: usize, context: Arc<TaskContext>) -> DfResult<Rows> {
    let mut input = input.execute(partition, Arc::clone(&context))?;
    let memory = MemoryConsumer::new("SharedRows").with_can_spill(true).register(context.memory_pool());
    let metrics = SpillMetrics::new(&ExecutionPlanMetricsSet::new(), 0);
    let manager = SpillManager::new(context.runtime_env(), metrics, input.schema());
    let manager = manager.with_compression_type(context.session_config().spill_compression());
    let (mut batches, mut file) = (Vec::new(), None);
    while let Some(batch) = input.next().await {
        let batch = batch?;
        if batch.num_rows() == 0 {
            continue;
        }
        if file.is_none() && memory.try_grow(get_record_batch_memory_size(&batch)).is_ok() {
            batches.push(batch);
            continue;
        }
        let writer = match &mut file {
            Some(writer) => writer,
            None => file.insert(manager.create_in_progress_file("shared rows")?),
        };
        writer.append_batch(&batch)?;
    }
    let file = match file {
        Some(mut writer) => writer.finish()?,
        None => None,
    };
    Ok(Rows { batches, _memory: memory, file, manager })
}

impl Rows {
    /// All of them, once more.
    pub fn read(self: &Arc<Self>) -> DfResult<SendableRecordBatchStream> {
        let spilled = match &self.file {
            Some(file) => Some(self.manager.read_spill_as_stream_unbuffered(Arc::clone(file), None)?),
            None => None,
        };
        let (rows, count) = (Arc::clone(self), self.batches.len());
        let batches = (0..count).filter_map(move |at| rows.batches.get(at).cloned()).map(Ok);
        let all = stream::iter(batches).chain(stream::iter(spilled).flatten());
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(self.manager.schema()), all)))
    }
}
