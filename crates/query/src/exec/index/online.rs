//! Completing an index while others write the table.
//!
//! 1. Every writer keeps the index already (`IndexState::Incomplete`), and those that did not know it have ended. So a row whose
//!    newest version is later than `scope`'s snapshot has its entry, and only rows the snapshot sees may lack theirs.
//! 2. Rows are taken in small transactions of their own. A row is locked against change while its entry is put, so that the
//!    entry is of its newest version; the next writer finds it and keeps it.
//! 3. Whoever is in the way is not waited for with anything locked, so no writer is ever part of a deadlock because of us: the
//!    row is left for later, and one unique entry that is being written makes its batch start over row by row.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow_array::{RecordBatch, UInt32Array};
use arrow_select::take::take_record_batch;
use bytes::Bytes;
use futures::FutureExt;
use heliosdb_contracts::{
    InsertOutcome, KeyedRow, LockPolicy, LockWait, LockedRow, ReadContext, RowLockMode, ShardClient,
};
use heliosdb_runtime::{Clock, failpoint};
use heliosdb_types::{CommandId, Error, Result, SqlState, TxnId};

use super::build::{BuildProgress, Job, duplicated, job, shaped};
use super::entry::{ENTRY_ROW, IndexWrite};
use crate::catalog::Relation;
use crate::exec::error::from_arrow;
use crate::exec::foreign::FirstBytes;
use crate::exec::scope::StatementScope;
use crate::exec::state::Executor;

/// Rows locked at once: writers of these wait for one commit of ours.
const ROWS_AT_ONCE: usize = 512;
/// Commits that may still be on their way to the disk.
const COMMITS_AHEAD: u64 = 16;
/// How long somebody else's lock is left alone before the next look.
const PAUSE: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// Puts an entry for every row that `scope` sees and that nobody has changed since. Runs on the analytics pool.
pub(crate) async fn complete(
    executor: &Executor,
    relation: &Arc<Relation>,
    index: &IndexWrite,
    scope: Arc<StatementScope>,
    clock: Arc<dyn Clock>,
    progress: Arc<BuildProgress>,
) -> Result<()> {
    let mut job = job(executor, relation, index, &scope)?;
    job.request.batch_rows = ROWS_AT_ONCE;
    let task = executor.spawner.task(async move {
        let scan = scope.shard.scan(&scope.read, &job.request)?;
        progress.rows_total.store(scan.estimated_rows(), Ordering::Relaxed);
        let completion = Completion { job, scope, clock, commits: AtomicU64::new(0) };
        for partition in 0..scan.partition_count() {
            let mut reader = scan.open(partition)?;
            while let Some(batch) = reader.next_batch()? {
                let (rows, keys) = shaped(&batch, &completion.job.schema)?;
                let mut from = 0;
                while from < keys.len() {
                    let count = ROWS_AT_ONCE.min(keys.len() - from);
                    completion.rows(&rows.slice(from, count), keys.iter().skip(from).take(count)).await?;
                    from += count;
                    progress.rows_done.fetch_add(count as u64, Ordering::Relaxed);
                }
            }
        }
        completion.scope.shard.settle_all().await
    });
    task.await?
}

struct Completion {
    job: Job,
    scope: Arc<StatementScope>,
    clock: Arc<dyn Clock>,
    commits: AtomicU64,
}

/// What became of some rows.
enum Outcome {
    /// All but these, which are locked by others.
    Done(Vec<u32>),
    /// Somebody is writing an entry of theirs: nothing was done.
    InTheWay,
}

/// A transaction that rolls back unless it was committed.
struct Step<'a> {
    shard: &'a dyn ShardClient,
    txn: TxnId,
    open: bool,
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        if self.open {
            self.shard.rollback(self.txn);
        }
    }
}

impl Completion {
    async fn rows<'k>(&self, rows: &RecordBatch, keys: impl Iterator<Item = &'k Bytes>) -> Result<()> {
        let keys: Vec<Bytes> = keys.cloned().collect();
        let late = match self.step(rows, &keys).await? {
            Outcome::Done(busy) => busy,
            Outcome::InTheWay => (0..keys.len() as u32).collect(),
        };
        for at in late {
            let row = take_record_batch(rows, &UInt32Array::from(vec![at])).map_err(from_arrow)?;
            let key: Vec<Bytes> = keys.get(at as usize).cloned().into_iter().collect();
            let mut pause = PAUSE;
            while !matches!(self.step(&row, &key).await?, Outcome::Done(busy) if busy.is_empty()) {
                self.scope.cancel.check()?;
                self.clock.sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
        Ok(())
    }

    /// One transaction over some rows.
    async fn step(&self, rows: &RecordBatch, keys: &[Bytes]) -> Result<Outcome> {
        failpoint("index.filling")?;
        let (scope, spec) = (&self.scope, &self.job.spec);
        scope.cancel.check()?;
        let shard = &*scope.shard;
        let txn = shard.begin(scope.read.snapshot.branch)?;
        let mut step = Step { shard, txn, open: true };
        let context = ReadContext { txn: Some(txn), command: CommandId(0), ..scope.read.clone() };
        let skipping = LockWait { policy: LockPolicy::SkipLocked, ..scope.lock_wait };
        let tree = self.job.request.tree;
        let states = shard.lock_rows(&context, tree, keys.to_vec(), RowLockMode::Share, skipping).await?;
        let (mut busy, mut free, mut alone, mut places) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let entries = spec.entries(rows)?;
        for ((at, state), (entry, key)) in (0u32..).zip(&states).zip(entries.iter().zip(keys)) {
            match state {
                LockedRow::Busy => busy.push(at),
                // Its writer knew the index.
                LockedRow::Newer { .. } | LockedRow::Gone => {}
                LockedRow::Unchanged => {
                    let Some(entry) = entry else { continue };
                    let row = entry.keyed_row(key)?;
                    if self.has(txn, &row, key)? {
                        continue;
                    }
                    match entry.alone {
                        true => {
                            alone.push(row);
                            places.push(at as usize);
                        }
                        false => free.push(row),
                    }
                }
            }
        }
        if !free.is_empty() {
            shard.write_entries(txn, CommandId(0), Arc::clone(&spec.tree), free, Vec::new())?;
        }
        if !alone.is_empty() {
            let mut seen = std::collections::HashSet::<&Bytes>::new();
            let twice = alone.iter().position(|row| !seen.insert(&row.key));
            let outcome = match twice {
                Some(index) => Ok(InsertOutcome::Duplicate { index }),
                None => {
                    let at_once = LockWait { policy: LockPolicy::NoWait, ..scope.lock_wait };
                    shard.insert(txn, CommandId(0), Arc::clone(&spec.tree), alone, at_once).await
                }
            };
            match outcome {
                Ok(InsertOutcome::Inserted) => {}
                Ok(InsertOutcome::Duplicate { index }) => {
                    let row = places.get(index).copied().unwrap_or(0);
                    return Err(duplicated(&self.job.relation, spec, scope, rows, row)?);
                }
                Err(error) if error.state() == SqlState::LOCK_NOT_AVAILABLE => return Ok(Outcome::InTheWay),
                Err(error) => return Err(error),
            }
        }
        step.open = false;
        // Appended at once; made durable by one sync for many.
        let durable = shard.commit(txn);
        if self.commits.fetch_add(1, Ordering::Relaxed) % COMMITS_AHEAD == COMMITS_AHEAD - 1 {
            durable.await?;
        } else if let Some(failed) = durable.now_or_never() {
            failed?;
        }
        Ok(Outcome::Done(busy))
    }

    /// Whether the row's entry is there.
    fn has(&self, txn: TxnId, entry: &KeyedRow, key: &Bytes) -> Result<bool> {
        let mut of = FirstBytes(None);
        let found = self.scope.shard.newest(txn, self.job.spec.tree.tree, &entry.key, &[ENTRY_ROW], &mut of)?;
        match of.0 {
            Some(of) => Ok(found && of == key),
            None if found => Err(Error::corrupt("an index entry without its row")),
            None => Ok(false),
        }
    }
}
