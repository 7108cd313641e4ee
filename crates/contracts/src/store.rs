//! A shard's storage as its transaction participant sees it: no locks here, the participant holds them.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use heliosdb_types::{BranchId, ColumnId, CommandId, CommitTs, Lsn, Result, SequenceId, TreeId, TreeRef, TxnId};

use crate::shard::OfKey;
use crate::{
    AppendedCommit, BackupSource, Checked, KeyedRow, PatchBatch, RangeCursor, RangeRequest, RangeSink, ReadContext,
    RowHint, RowSink, ScanRequest, SegmentFacts, Snapshot, TableScan, TreeDescriptorRef, TreeSize, WriteBatch,
};

/// The newest version of a key: committed (perhaps not yet durable) or the asking transaction's own.
#[derive(Clone, Debug)]
pub enum NewestRow {
    /// Never existed, or its last version was deleted at `deleted_at` (ZERO if never seen).
    Absent {
        deleted_at: CommitTs,
        lsn: Lsn,
    },
    Committed {
        ts: CommitTs,
        lsn: Lsn,
        row: Bytes,
        descriptor: TreeDescriptorRef,
        hint: RowHint,
    },
    /// Staged by the asking transaction.
    Own,
    /// Deleted by the asking transaction.
    OwnDeleted,
}

/// One shard's storage. Conflicts are prevented by the participant's locks; storage trusts them and asserts what it can.
pub trait ShardStore: Send + Sync + 'static {
    /// Newest timestamp with every commit up to it durable and applied.
    fn visible_ts(&self) -> CommitTs;

    fn snapshot(&self, branch: BranchId) -> Snapshot;

    fn begin(&self, branch: BranchId) -> Result<TxnId>;

    fn get(
        &self,
        context: &ReadContext,
        tree: TreeRef,
        key: &[u8],
        projection: &[ColumnId],
        sink: &mut dyn RowSink,
    ) -> Result<bool>;

    /// As [`crate::ShardClient::get_rows`].
    fn get_rows(
        &self,
        context: &ReadContext,
        tree: TreeRef,
        keys: &[&[u8]],
        projection: &[ColumnId],
        sink: &mut RangeSink<'_>,
    ) -> Result<()> {
        for key in keys {
            self.get(context, tree, key, projection, &mut OfKey { key, sink: &mut *sink })?;
        }
        Ok(())
    }

    fn scan(&self, context: &ReadContext, request: &ScanRequest) -> Result<Arc<dyn TableScan>>;

    fn range(&self, context: &ReadContext, request: &RangeRequest) -> Result<Box<dyn RangeCursor>>;

    fn descriptor(&self, txn: Option<TxnId>, tree: TreeRef) -> Option<TreeDescriptorRef>;

    /// The newest version of a key. `lsn` tells which record must be durable before a reply may be built on it
    /// (ZERO when it already is). With `want_row` false, `row` of the answer is empty.
    fn newest(&self, txn: TxnId, tree: TreeRef, key: &[u8], want_row: bool) -> Result<NewestRow>;

    fn stage_inserts(
        &self,
        txn: TxnId,
        command: CommandId,
        descriptor: TreeDescriptorRef,
        rows: Vec<KeyedRow>,
    ) -> Result<()>;

    fn stage_writes(&self, txn: TxnId, command: CommandId, batch: WriteBatch) -> Result<()>;

    fn stage_patches(&self, txn: TxnId, command: CommandId, batch: PatchBatch) -> Result<()>;

    fn define_tree(&self, txn: TxnId, command: CommandId, descriptor: TreeDescriptorRef) -> Result<()>;

    fn drop_tree(&self, txn: TxnId, command: CommandId, tree: TreeRef) -> Result<()>;

    /// Whether the transaction has staged anything.
    fn has_writes(&self, txn: TxnId) -> bool;

    /// Assigns timestamp and LSN together, appends to the log, applies to memory. Not visible, not durable yet.
    fn commit(&self, txn: TxnId) -> Result<AppendedCommit>;

    fn rollback(&self, txn: TxnId);

    /// `command` begins a part of the transaction that may be undone by itself.
    fn savepoint(&self, txn: TxnId, command: CommandId) -> Result<()>;

    /// Undoes what `from` and later commands staged; savepoints after it are forgotten.
    fn rollback_to(&self, txn: TxnId, from: CommandId) -> Result<()>;

    /// Forgets savepoints from this command on; what was staged stays.
    fn release_savepoint(&self, txn: TxnId, from: CommandId) -> Result<()>;

    /// Resolves when the record is durable and, if a commit, visible. Fails for good once the shard is fenced.
    fn durable(&self, lsn: Lsn) -> BoxFuture<'static, Result<()>>;

    /// The last record appended and applied.
    fn applied(&self) -> Lsn;

    fn allocate_row_ids(&self, tree: TreeRef, count: u64) -> Result<u64>;

    fn allocate_tree_id(&self) -> Result<TreeId>;

    fn reserve_sequence(&self, sequence: SequenceId, count: u64) -> Result<u64>;

    fn set_sequence(&self, sequence: SequenceId, value: u64) -> Result<()>;

    fn catalog_ts(&self) -> CommitTs;

    fn checkpoint(&self, compact: bool) -> BoxFuture<'_, Result<()>>;

    fn tree_size(&self, tree: TreeRef) -> TreeSize;

    fn segments(&self, tree: TreeRef) -> Result<Vec<SegmentFacts>>;

    fn trees(&self) -> Vec<TreeRef>;

    fn check(&self, stop: Arc<dyn Fn() -> Result<()> + Send + Sync>) -> BoxFuture<'_, Result<Checked>>;

    fn backup(&self) -> BoxFuture<'_, Result<Box<dyn BackupSource>>>;
}
