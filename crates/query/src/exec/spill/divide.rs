//! Dividing rows among files by their join keys: rows that may find each other are in files of one number.

use std::sync::Arc;

use arrow_array::{RecordBatch, UInt32Array};
use arrow_schema::SchemaRef;
use arrow_select::take::take_record_batch;
use datafusion::common::hash_utils::create_hashes;
use datafusion::error::Result as DfResult;
use datafusion::execution::spill_file::SpillFile;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr_common::utils::evaluate_expressions_to_arrays;
use datafusion::physical_plan::SpillManager;
use datafusion::physical_plan::joins::SeededRandomState;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, SpillMetrics};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt, stream};

use super::super::error::to_datafusion;
use super::super::small_batches::SmallBatches;

/// Parts that rows are divided into: so many times less memory is needed for one.
pub(super) const PARTS: usize = 16;
/// Rows are hashed with this and how often they have been divided, so that each time they fall apart anew.
const SEED: u64 = 0x6469_7669_6465;

/// One part's file; `None` if no row is in it.
pub(in crate::exec) type PartFile = Option<Arc<dyn SpillFile>>;

/// Writes rows into the files of their parts.
pub(super) struct Divider {
    keys: Vec<Arc<dyn PhysicalExpr>>,
    seed: SeededRandomState,
    parts: Vec<Part>,
}

struct Part {
    write: WriteFile,
    waiting: SmallBatches,
}

/// Appends a batch to a file, or ends the file and gives it. (The type of an unfinished file has no public name.)
pub(in crate::exec) type WriteFile = Box<dyn FnMut(Option<&RecordBatch>) -> DfResult<PartFile> + Send>;

impl Divider {
    /// `level` says how often these rows have been divided before.
    pub fn new(keys: Vec<Arc<dyn PhysicalExpr>>, level: u64, files: &Files) -> DfResult<Divider> {
        let part = |_| Ok(Part { write: files.create("join")?, waiting: SmallBatches::default() });
        let parts = (0..PARTS).map(part).collect::<DfResult<_>>()?;
        Ok(Divider { keys, seed: SeededRandomState::with_seed(SEED + level), parts })
    }

    pub fn push(&mut self, batch: &RecordBatch) -> DfResult<()> {
        let keys = evaluate_expressions_to_arrays(&self.keys, batch)?;
        let mut hashes = vec![0; batch.num_rows()];
        create_hashes(&keys, self.seed.random_state(), &mut hashes)?;
        let mut rows: Vec<Vec<u32>> = vec![Vec::new(); PARTS];
        for (row, hash) in (0..).zip(&hashes) {
            rows[(*hash % PARTS as u64) as usize].push(row);
        }
        for (part, rows) in self.parts.iter_mut().zip(rows) {
            if rows.is_empty() {
                continue;
            }
            let rows = take_record_batch(batch, &UInt32Array::from(rows))?;
            if let Some(batch) = part.waiting.push(rows).map_err(to_datafusion)? {
                (part.write)(Some(&batch))?;
            }
        }
        Ok(())
    }

    pub fn finish(self) -> DfResult<Vec<PartFile>> {
        let finish = |mut part: Part| {
            if let Some(batch) = part.waiting.finish().map_err(to_datafusion)? {
                (part.write)(Some(&batch))?;
            }
            (part.write)(None)
        };
        self.parts.into_iter().map(finish).collect()
    }
}

/// Where rows of one schema are written to and read from.
#[derive(Clone, Debug)]
pub(in crate::exec) struct Files(SpillManager);

impl Files {
    pub fn new(context: &TaskContext, schema: SchemaRef, metrics: &ExecutionPlanMetricsSet) -> Files {
        let manager = SpillManager::new(context.runtime_env(), SpillMetrics::new(metrics, 0), schema);
        Files(manager.with_compression_type(context.session_config().spill_compression()))
    }

    /// A file to write; `what` is for whom.
    pub fn create(&self, what: &str) -> DfResult<WriteFile> {
        let mut file = self.0.create_in_progress_file(what)?;
        Ok(Box::new(move |batch| match batch {
            Some(batch) => file.append_batch(batch).map(|_| None),
            None => file.finish(),
        }))
    }

    /// The rows of files, one after the other.
    pub fn read(&self, parts: Vec<PartFile>) -> SendableRecordBatchStream {
        let files = self.clone();
        let read = move |file| files.0.read_spill_as_stream_unbuffered(file, None);
        let rows = stream::iter(parts.into_iter().flatten()).map(read).try_flatten();
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(self.0.schema()), rows))
    }
}
