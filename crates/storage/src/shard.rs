//! The shard as its participant uses it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::FutureExt;
use futures::future::BoxFuture;
use heliosdb_contracts::{
    AppendedCommit, BackupSource, Checked, KeyedRow, NewestRow, PatchBatch, RangeCursor, RangeRequest, RangeSink,
    ReadContext, RowSink, ScanRequest, SegmentFacts, ShardStore, Snapshot, TableScan, TreeDescriptorRef, TreeSize,
    WriteBatch,
};
use heliosdb_runtime::Thread;
use heliosdb_types::{
    BranchId, ColumnId, CommandId, CommitTs, Lsn, Result, SequenceId, SqlState, TreeId, TreeRef, TxnId,
};
use parking_lot::Mutex;

use crate::core::Core;
use crate::large::{is_pieces_tree, open_range, open_scan, pieces_owner, pieces_tree};
use crate::metrics::{Counters, ShardMetrics};
use crate::options::ShardOptions;
use crate::recovery::{RecoveryReport, ShardParts, open};

/// What a transaction held beyond this is given back where nobody waits for it.
const MUCH_BYTES: usize = 1 << 20;
/// So are more writes than these, undone.
const MANY_WRITES: usize = 10_000;

/// One shard of storage. Dropping it without [`Shard::close`] is a crash that loses nothing acknowledged.
pub struct Shard {
    core: Arc<Core>,
    /// Joined when dropped.
    threads: Mutex<Vec<Thread>>,
}

impl Shard {
    /// Opens the shard in the disk's root, or begins one. Damage is an error naming file and offset.
    pub fn open(parts: ShardParts, options: ShardOptions) -> Result<(Arc<Shard>, RecoveryReport)> {
        let (core, report) = open(parts, options)?;
        let core = Arc::new(core);
        let mut threads = Vec::new();
        if core.options.background {
            let freezer = core.clone();
            threads.push(core.spawner.thread("freeze", move || freezer.run_freezer())?);
            let compactor = core.clone();
            threads.push(core.spawner.thread("merge", move || compactor.run_compactor())?);
        }
        Ok((Arc::new(Shard { core, threads: Mutex::new(threads) }), report))
    }

    /// A clean end: everything in segments, the log closed. The next start replays nothing.
    pub fn close(&self) -> Result<()> {
        self.stop();
        match self.core.settle(false) {
            // The log has it all; the next start replays it.
            Err(error) if error.state() == SqlState::DISK_FULL => {
                tracing::warn!(%error, "could not put memory into segments; the next start replays the log");
            }
            settled => settled?,
        }
        self.core.wal.close()
    }

    /// Runs the next merge that pays, on this thread and without freezing first. False if there is none.
    pub fn merge_once(&self) -> Result<bool> {
        self.core.compact_once()
    }

    fn stop(&self) {
        self.core.stopping.store(true, Ordering::Release);
        self.core.wake_freezer.notify_all();
        self.core.wake_compactor.notify_all();
        self.threads.lock().clear();
    }

    /// What the shard has done and holds.
    pub fn metrics(&self) -> ShardMetrics {
        self.core.metrics()
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        self.stop();
    }
}

impl ShardStore for Shard {
    fn visible_ts(&self) -> CommitTs {
        self.core.visibility.visible_ts()
    }

    fn snapshot(&self, branch: BranchId) -> Snapshot {
        self.core.snapshot(branch)
    }

    fn begin(&self, branch: BranchId) -> Result<TxnId> {
        self.core.begin(branch)
    }

    fn get(
        &self,
        context: &ReadContext,
        tree: TreeRef,
        key: &[u8],
        projection: &[ColumnId],
        sink: &mut dyn RowSink,
    ) -> Result<bool> {
        self.core.get_large(context, tree, key, projection, sink)
    }

    fn get_rows(
        &self,
        context: &ReadContext,
        tree: TreeRef,
        keys: &[&[u8]],
        projection: &[ColumnId],
        sink: &mut RangeSink<'_>,
    ) -> Result<()> {
        self.core.get_rows_large(context, tree, keys, projection, sink)
    }

    fn scan(&self, context: &ReadContext, request: &ScanRequest) -> Result<Arc<dyn TableScan>> {
        open_scan(&self.core, context, request)
    }

    fn range(&self, context: &ReadContext, request: &RangeRequest) -> Result<Box<dyn RangeCursor>> {
        open_range(&self.core, context, request)
    }

    fn applied(&self) -> Lsn {
        self.core.applied_lsn()
    }

    fn descriptor(&self, txn: Option<TxnId>, tree: TreeRef) -> Option<TreeDescriptorRef> {
        self.core.descriptor(txn, tree)
    }

    fn newest(&self, txn: TxnId, tree: TreeRef, key: &[u8], want_row: bool) -> Result<NewestRow> {
        self.core.newest_large(txn, tree, key, want_row)
    }

    fn stage_inserts(
        &self,
        txn: TxnId,
        command: CommandId,
        descriptor: TreeDescriptorRef,
        rows: Vec<KeyedRow>,
    ) -> Result<()> {
        self.core.insert_large(txn, command, &descriptor, rows)
    }

    fn stage_writes(&self, txn: TxnId, command: CommandId, batch: WriteBatch) -> Result<()> {
        self.core.write_large(txn, command, batch)
    }

    fn stage_patches(&self, txn: TxnId, command: CommandId, batch: PatchBatch) -> Result<()> {
        self.core.patch_rows(txn, command, batch)
    }

    fn define_tree(&self, txn: TxnId, command: CommandId, descriptor: TreeDescriptorRef) -> Result<()> {
        self.core.txn(txn)?.lock().define(command, descriptor);
        Ok(())
    }

    fn drop_tree(&self, txn: TxnId, command: CommandId, tree: TreeRef) -> Result<()> {
        let buffer = self.core.txn(txn)?;
        let mut buffer = buffer.lock();
        self.core.drop_pieces(&mut buffer, command, tree);
        buffer.drop_tree(command, tree);
        Ok(())
    }

    fn has_writes(&self, txn: TxnId) -> bool {
        self.core.txn(txn).is_ok_and(|buffer| !buffer.lock().is_empty())
    }

    fn commit(&self, txn: TxnId) -> Result<AppendedCommit> {
        self.core.commit(txn)
    }

    fn rollback(&self, txn: TxnId) {
        let Some(buffer) = self.core.end_txn(txn) else { return };
        Counters::add(&self.core.counters.rollbacks, 1);
        // Giving back a million rows takes a quarter of a second, and other sessions wait for this thread.
        if buffer.lock().held_bytes() > MUCH_BYTES {
            self.core.spawner.dispose(buffer);
        }
    }

    fn savepoint(&self, txn: TxnId, command: CommandId) -> Result<()> {
        self.core.txn(txn)?.lock().savepoint(command);
        Ok(())
    }

    fn rollback_to(&self, txn: TxnId, from: CommandId) -> Result<()> {
        let undone = self.core.txn(txn)?.lock().rollback_to(from)?;
        if undone.len() > MANY_WRITES {
            self.core.spawner.dispose(undone);
        }
        Ok(())
    }

    fn release_savepoint(&self, txn: TxnId, _from: CommandId) -> Result<()> {
        // Nothing is kept for it.
        self.core.txn(txn).map(|_| ())
    }

    fn durable(&self, lsn: Lsn) -> BoxFuture<'static, Result<()>> {
        if lsn == Lsn(0) {
            return futures::future::ready(Ok(())).boxed();
        }
        let (log, visibility) = (self.core.wal.wait_durable(lsn), self.core.visibility.clone());
        async move {
            log.await?;
            // What is durable is mostly applied by then, and so visible before anybody waiting for the log wakes.
            if visibility.is_visible(lsn) {
                return Ok(());
            }
            visibility.wait(lsn).await
        }
        .boxed()
    }

    fn allocate_row_ids(&self, tree: TreeRef, count: u64) -> Result<u64> {
        self.core.allocate_row_ids(tree, count)
    }

    fn allocate_tree_id(&self) -> Result<TreeId> {
        Ok(self.core.allocate_tree_id())
    }

    fn reserve_sequence(&self, sequence: SequenceId, count: u64) -> Result<u64> {
        self.core.move_counter(sequence, |before| before.checked_add(count))
    }

    fn set_sequence(&self, sequence: SequenceId, value: u64) -> Result<()> {
        self.core.move_counter(sequence, |_| Some(value)).map(|_| ())
    }

    fn catalog_ts(&self) -> CommitTs {
        self.core.visibility.catalog_ts()
    }

    fn checkpoint(&self, compact: bool) -> BoxFuture<'_, Result<()>> {
        self.core.clone().checkpoint(compact)
    }

    fn tree_size(&self, tree: TreeRef) -> TreeSize {
        self.core.tree_size(tree)
    }

    fn segments(&self, tree: TreeRef) -> Result<Vec<SegmentFacts>> {
        let version = self.core.version.load_full();
        let mut segments: Vec<_> = version.segments((BranchId(0), tree)).to_vec();
        segments.extend_from_slice(version.segments((BranchId(0), pieces_tree(tree))));
        segments.sort_by_key(|segment| segment.meta.id);
        segments.iter().map(|segment| segment.facts()).collect()
    }

    fn trees(&self) -> Vec<TreeRef> {
        let version = self.core.version.load();
        let exists = |tree| version.trees.get(&(BranchId(0), tree)).is_some_and(|state| state.dropped.is_none());
        let all = version.trees.keys().map(|&(_, tree)| tree).filter(|&tree| exists(tree));
        // Pieces of large values are part of their table's tree.
        let mut trees: Vec<_> = all.filter(|&tree| !is_pieces_tree(tree) || !exists(pieces_owner(tree))).collect();
        trees.sort_unstable();
        trees
    }

    fn check(&self, stop: Arc<dyn Fn() -> Result<()> + Send + Sync>) -> BoxFuture<'_, Result<Checked>> {
        self.core.clone().on_a_thread("check", move |core| core.check(&*stop))
    }

    fn backup(&self) -> BoxFuture<'_, Result<Box<dyn BackupSource>>> {
        self.core.clone().on_a_thread("backup", |core| core.begin_backup())
    }
}
