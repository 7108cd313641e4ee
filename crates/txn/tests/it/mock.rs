//! A store in memory: versions by key, staged writes by transaction, and durability that a test can hold back.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use futures::channel::oneshot;
use futures::future::{BoxFuture, FutureExt};
use heliosdb_contracts::{
    AppendedCommit, BackupSource, Checked, KeyedRow, NewestRow, PatchBatch, RangeCursor, RangeRequest, ReadContext,
    RowHint, RowSink, ScanRequest, SegmentFacts, ShardStore, Snapshot, TableScan, TreeDescriptor, TreeDescriptorRef,
    TreeKey, TreeSize, WriteBatch,
};
use heliosdb_types::{
    BranchId, ColumnId, CommandId, CommitTs, DatabaseId, DatumRef, Error, Lsn, Result, SchemaVersion, SequenceId,
    TreeId, TreeRef, TxnId,
};
use parking_lot::Mutex;

pub const TREE: TreeRef = TreeRef { database: DatabaseId(1), tree: TreeId(2000) };

/// A tree with a key of its own.
pub fn descriptor(tree: TreeRef) -> TreeDescriptorRef {
    let key = TreeKey::Columns(vec![ColumnId(1)]);
    Arc::new(TreeDescriptor { tree, version: SchemaVersion(1), columns: Vec::new(), key, sort: None })
}

struct Version {
    ts: CommitTs,
    lsn: Lsn,
    row: Option<Bytes>,
}

#[derive(Default)]
struct State {
    versions: BTreeMap<(TreeRef, Bytes), Vec<Version>>,
    staged: HashMap<TxnId, BTreeMap<(TreeRef, Bytes), Option<Bytes>>>,
    next_txn: u64,
    last: u64,
    durable: u64,
    /// Commits become durable only when a test says so.
    held_back: bool,
    fail_commits: bool,
    waiting: Vec<(Lsn, oneshot::Sender<()>)>,
}

#[derive(Default)]
pub struct MockStore(Mutex<State>);

impl MockStore {
    pub fn hold_back_durability(&self) {
        self.0.lock().held_back = true;
    }

    pub fn fail_commits(&self) {
        self.0.lock().fail_commits = true;
    }

    pub fn make_durable(&self) {
        let mut state = self.0.lock();
        state.durable = state.last;
        state.waiting.drain(..).for_each(|(_, waiter)| waiter.send(()).unwrap_or(()));
    }

    /// The newest committed value of a key in [`TREE`].
    pub fn value(&self, key: &str) -> Option<Bytes> {
        let state = self.0.lock();
        let versions = state.versions.get(&(TREE, Bytes::copy_from_slice(key.as_bytes())))?;
        versions.last()?.row.clone()
    }

    pub fn staged_transactions(&self) -> usize {
        self.0.lock().staged.len()
    }
}

impl ShardStore for MockStore {
    fn visible_ts(&self) -> CommitTs {
        CommitTs(self.0.lock().durable)
    }

    fn snapshot(&self, branch: BranchId) -> Snapshot {
        Snapshot { ts: self.visible_ts(), branch, pin: Arc::new(()) }
    }

    fn begin(&self, _branch: BranchId) -> Result<TxnId> {
        let mut state = self.0.lock();
        state.next_txn += 1;
        let id = TxnId(state.next_txn);
        state.staged.insert(id, BTreeMap::new());
        Ok(id)
    }

    fn get(
        &self,
        context: &ReadContext,
        tree: TreeRef,
        key: &[u8],
        _projection: &[ColumnId],
        sink: &mut dyn RowSink,
    ) -> Result<bool> {
        let row = {
            let state = self.0.lock();
            let name = (tree, Bytes::copy_from_slice(key));
            let own = context.txn.and_then(|txn| state.staged.get(&txn)).and_then(|staged| staged.get(&name));
            let seen = || state.versions.get(&name)?.iter().rfind(|v| v.ts <= context.snapshot.ts)?.row.clone();
            own.cloned().unwrap_or_else(seen)
        };
        match row {
            Some(row) => sink.row(&[DatumRef::Bytes(&row)], RowHint::default()).map(|()| true),
            None => Ok(false),
        }
    }

    fn scan(&self, _context: &ReadContext, _request: &ScanRequest) -> Result<Arc<dyn TableScan>> {
        Err(Error::internal("the mock does not scan"))
    }

    fn range(&self, _context: &ReadContext, _request: &RangeRequest) -> Result<Box<dyn RangeCursor>> {
        Err(Error::internal("the mock has no order"))
    }

    fn applied(&self) -> Lsn {
        Lsn(self.0.lock().last)
    }

    fn descriptor(&self, _txn: Option<TxnId>, tree: TreeRef) -> Option<TreeDescriptorRef> {
        Some(descriptor(tree))
    }

    fn newest(&self, txn: TxnId, tree: TreeRef, key: &[u8], want_row: bool) -> Result<NewestRow> {
        let state = self.0.lock();
        let name = (tree, Bytes::copy_from_slice(key));
        match state.staged.get(&txn).and_then(|staged| staged.get(&name)) {
            Some(Some(_)) => return Ok(NewestRow::Own),
            Some(None) => return Ok(NewestRow::OwnDeleted),
            None => {}
        }
        let pending = |lsn: Lsn| if lsn.0 > state.durable { lsn } else { Lsn(0) };
        Ok(match state.versions.get(&name).and_then(|versions| versions.last()) {
            None => NewestRow::Absent { deleted_at: CommitTs::ZERO, lsn: Lsn(0) },
            Some(Version { ts, lsn, row: None }) => NewestRow::Absent { deleted_at: *ts, lsn: pending(*lsn) },
            Some(Version { ts, lsn, row: Some(row) }) => NewestRow::Committed {
                ts: *ts,
                lsn: pending(*lsn),
                row: if want_row { row.clone() } else { Bytes::new() },
                descriptor: descriptor(tree),
                hint: RowHint::default(),
            },
        })
    }

    fn stage_inserts(
        &self,
        txn: TxnId,
        _command: CommandId,
        descriptor: TreeDescriptorRef,
        rows: Vec<KeyedRow>,
    ) -> Result<()> {
        let mut state = self.0.lock();
        let staged = state.staged.get_mut(&txn).expect("running");
        staged.extend(rows.into_iter().map(|row| ((descriptor.tree, row.key), Some(row.row))));
        Ok(())
    }

    fn stage_writes(&self, txn: TxnId, _command: CommandId, batch: WriteBatch) -> Result<()> {
        let mut state = self.0.lock();
        let tree = batch.descriptor.tree;
        let staged = state.staged.get_mut(&txn).expect("running");
        staged.extend(batch.updates.into_iter().map(|(row, _)| ((tree, row.key), Some(row.row))));
        staged.extend(batch.deletes.into_iter().map(|(key, _)| ((tree, key), None)));
        Ok(())
    }

    fn stage_patches(&self, txn: TxnId, command: CommandId, batch: PatchBatch) -> Result<()> {
        // Rows of one column: what changes is all of them.
        let PatchBatch { descriptor, rows: updates, .. } = batch;
        self.stage_writes(txn, command, WriteBatch { descriptor, updates, deletes: Vec::new() })
    }

    fn define_tree(&self, _txn: TxnId, _command: CommandId, _descriptor: TreeDescriptorRef) -> Result<()> {
        Ok(())
    }

    fn drop_tree(&self, _txn: TxnId, _command: CommandId, _tree: TreeRef) -> Result<()> {
        Ok(())
    }

    fn has_writes(&self, txn: TxnId) -> bool {
        self.0.lock().staged.get(&txn).is_some_and(|staged| !staged.is_empty())
    }

    fn commit(&self, txn: TxnId) -> Result<AppendedCommit> {
        let mut state = self.0.lock();
        if state.fail_commits {
            return Err(Error::fenced("on purpose"));
        }
        state.last += 1;
        let (ts, lsn) = (CommitTs(state.last), Lsn(state.last));
        for (name, row) in state.staged.remove(&txn).expect("running") {
            state.versions.entry(name).or_default().push(Version { ts, lsn, row });
        }
        if !state.held_back {
            state.durable = state.last;
        }
        Ok(AppendedCommit { ts, lsn })
    }

    fn rollback(&self, txn: TxnId) {
        self.0.lock().staged.remove(&txn);
    }

    fn savepoint(&self, _txn: TxnId, _command: CommandId) -> Result<()> {
        Ok(())
    }

    fn rollback_to(&self, _txn: TxnId, _from: CommandId) -> Result<()> {
        Ok(())
    }

    fn release_savepoint(&self, _txn: TxnId, _from: CommandId) -> Result<()> {
        Ok(())
    }

    fn durable(&self, lsn: Lsn) -> BoxFuture<'static, Result<()>> {
        let mut state = self.0.lock();
        if state.durable >= lsn.0 {
            return futures::future::ready(Ok(())).boxed();
        }
        let (sender, receiver) = oneshot::channel();
        state.waiting.push((lsn, sender));
        receiver.map(|told| told.map_err(|_| Error::fenced("the store went away"))).boxed()
    }

    fn allocate_row_ids(&self, _tree: TreeRef, _count: u64) -> Result<u64> {
        Err(Error::internal("not in the mock"))
    }

    fn allocate_tree_id(&self) -> Result<TreeId> {
        Err(Error::internal("not in the mock"))
    }

    fn reserve_sequence(&self, _sequence: SequenceId, _count: u64) -> Result<u64> {
        Err(Error::internal("not in the mock"))
    }

    fn set_sequence(&self, _sequence: SequenceId, _value: u64) -> Result<()> {
        Err(Error::internal("not in the mock"))
    }

    fn catalog_ts(&self) -> CommitTs {
        CommitTs::ZERO
    }

    fn checkpoint(&self, _compact: bool) -> BoxFuture<'_, Result<()>> {
        futures::future::ready(Ok(())).boxed()
    }

    fn tree_size(&self, _tree: TreeRef) -> TreeSize {
        TreeSize::default()
    }

    fn segments(&self, _tree: TreeRef) -> Result<Vec<SegmentFacts>> {
        Ok(Vec::new())
    }

    fn trees(&self) -> Vec<TreeRef> {
        Vec::new()
    }

    fn check(&self, _stop: Arc<dyn Fn() -> Result<()> + Send + Sync>) -> BoxFuture<'_, Result<Checked>> {
        futures::future::ready(Ok(Checked::default())).boxed()
    }

    fn backup(&self) -> BoxFuture<'_, Result<Box<dyn BackupSource>>> {
        futures::future::ready(Err(Error::unsupported("a backup of a shard without files"))).boxed()
    }
}
