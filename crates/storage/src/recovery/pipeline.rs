//! Two threads replay: the one that opens the shard reads, checks and decodes records, another applies them, in the same order.
//!
//! What is on the way between them is bounded. A log of a batch or less, and every log in a simulation, is applied by the thread that
//! reads it: then nothing depends on which of two threads comes first.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::time::Duration;

use heliosdb_runtime::{Clock, Spawner, Thread};
use heliosdb_types::{Error, Result};
use heliosdb_wal::{Record, Replay};

use super::applier::Applier;
use super::batch::Batch;

/// Bytes of the log in a batch: enough that handing it over costs nothing beside it.
const BATCH_BYTES: usize = 256 << 10;
/// Batches on the way: about what is applied while the next file of the log is read, which gives no batches meanwhile.
const BATCHES_AHEAD: usize = 128;

pub(super) struct Pipeline {
    batch: Batch,
    batch_bytes: usize,
    /// Starts the second thread, if there may be one.
    beside: Option<Spawner>,
    stage: Stage,
    clock: Arc<dyn Clock>,
    began: Duration,
    /// Set when all has been applied.
    took: Duration,
}

enum Stage {
    Here(Box<Applier>),
    // Dropped in this order: the thread ends when nothing more can come, and is waited for.
    There {
        batches: SyncSender<Batch>,
        emptied: Receiver<Batch>,
        applied: Receiver<Result<Box<Applier>>>,
        thread: Thread,
    },
    /// With an error, which has been told.
    Failed,
}

impl Pipeline {
    /// `beside` starts the thread that applies; without it there is only one.
    pub fn new(applier: Applier, log_file_bytes: u64, clock: Arc<dyn Clock>, beside: Option<Spawner>) -> Pipeline {
        // Several batches a file, however small files are.
        let batch_bytes = usize::try_from(log_file_bytes / 8).map_or(BATCH_BYTES, |bytes| bytes.min(BATCH_BYTES));
        let (began, stage) = (clock.monotonic(), Stage::Here(Box::new(applier)));
        Pipeline { batch: Batch::default(), batch_bytes, beside, stage, clock, began, took: Duration::ZERO }
    }

    /// What all records have made of the manifest, once [`Replay::complete`] has succeeded, and how long that took.
    pub fn end(self) -> Result<(Applier, Duration)> {
        match self.stage {
            Stage::Here(applier) => Ok((*applier, self.took)),
            _ => Err(Error::internal("a log was opened and not replayed to its end")),
        }
    }

    /// Why applying failed, if it did and nobody has been told yet.
    pub fn failure(self) -> Option<Error> {
        match self.stage {
            Stage::There { batches, applied, thread, .. } => wait(batches, applied, thread).err(),
            Stage::Here(_) | Stage::Failed => None,
        }
    }

    /// Applies the batch, or hands it over. Blocks while too many are on the way.
    fn pass(&mut self) -> Result<()> {
        self.stage = match (std::mem::replace(&mut self.stage, Stage::Failed), &self.beside) {
            (Stage::Here(applier), Some(beside)) => start(applier, beside)?,
            (stage, _) => stage,
        };
        match &mut self.stage {
            Stage::Here(applier) => applier.apply(&mut self.batch),
            Stage::There { batches, emptied, .. } => {
                let next = emptied.try_recv().unwrap_or_default();
                match batches.send(std::mem::replace(&mut self.batch, next)) {
                    Ok(()) => Ok(()),
                    // It ends early only with an error.
                    Err(_) => self.complete_there(),
                }
            }
            Stage::Failed => Err(Error::internal("a failed replay goes on")),
        }
    }

    fn complete_there(&mut self) -> Result<()> {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Failed) {
            Stage::There { batches, applied, thread, .. } => Stage::Here(wait(batches, applied, thread)?),
            stage => stage,
        };
        Ok(())
    }
}

impl Replay for Pipeline {
    fn record(&mut self, record: Record) -> Result<()> {
        self.batch.add(record)?;
        if self.batch.bytes >= self.batch_bytes { self.pass() } else { Ok(()) }
    }

    fn complete(&mut self) -> Result<()> {
        if !matches!(self.stage, Stage::There { .. }) {
            // Too little for a thread, or all but the last of it has been applied here.
            self.beside = None;
        }
        self.pass()?;
        self.complete_there()?;
        self.took = self.clock.monotonic().saturating_sub(self.began);
        Ok(())
    }
}

fn start(mut applier: Box<Applier>, beside: &Spawner) -> Result<Stage> {
    let (batches, queue) = sync_channel::<Batch>(BATCHES_AHEAD);
    let (empty, emptied) = channel();
    let (done, applied) = channel();
    let thread = beside.thread("replay", move || {
        let all = queue.iter().try_for_each(|mut batch| {
            applier.apply(&mut batch)?;
            // To be filled again; nobody wants it any more when the log ends.
            let _ = empty.send(batch);
            Ok(())
        });
        // Whoever does not wait for it has failed itself.
        let _ = done.send(all.map(|()| applier));
    })?;
    Ok(Stage::There { batches, emptied, applied, thread })
}

/// Waits until all is applied.
fn wait(batches: SyncSender<Batch>, applied: Receiver<Result<Box<Applier>>>, thread: Thread) -> Result<Box<Applier>> {
    drop(batches);
    let applier = applied.recv();
    thread.join()?;
    applier.map_err(|_| Error::internal("the log was not applied to its end"))?
}
