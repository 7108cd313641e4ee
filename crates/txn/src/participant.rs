//! The participant: a shard's transactions in front of its storage.
//!
//! Commit, in order: (1) the transaction leaves the active set, so it ends once; (2) storage assigns timestamp and LSN,
//! appends and applies; (3) its locks are released, so hot rows are not held through the sync; (4) the record is durable and
//! visible; (5) success is returned. Steps 1 to 3 happen when `commit` is called, not when its future is polled: dropping
//! the future cannot leave a transaction half ended.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use heliosdb_contracts::{
    AdvisoryKey, AppendedCommit, AwaitedWriters, BackupSource, Checked, InsertOutcome, IsolationLevel, KeyedRow,
    LockInfo, LockOwner, LockWait, LockedRow, PatchBatch, RangeCursor, RangeRequest, RangeSink, ReadContext, ReadLocks,
    RowHint, RowLockMode, RowSink, Savepoint, ScanRequest, SegmentFacts, ShardClient, ShardStore, Snapshot, TableScan,
    TreeDescriptor, TreeDescriptorRef, TreeLockMode, TreeSize, WriteBatch,
};
use heliosdb_runtime::Clock;
use heliosdb_types::{
    BranchId, ColumnId, CommandId, CommitTs, Error, Lsn, Result, SequenceId, SqlState, TreeId, TreeRef, TxnId,
};

use crate::active::{Active, Txn};
use crate::advisory::Advisory;
use crate::held::Undo;
use crate::lock_table::{LockStats, LockTable};
use crate::readers::Slot;
use crate::resource::Resource;
use crate::ssi::{Mark, Ssi, scanned};

/// Settings.
#[derive(Clone, Copy, Debug)]
pub struct TxnOptions {
    /// Row locks of one transaction in one tree from which a tree lock is preferred, if nobody else writes the tree.
    pub escalate_rows: usize,
    /// Row locks of all transactions (about 200 bytes each) beyond which escalation is insisted on.
    pub row_locks_max: u64,
    /// Advisory locks of all sessions.
    pub advisory_locks_max: usize,
}

impl Default for TxnOptions {
    fn default() -> TxnOptions {
        TxnOptions { escalate_rows: 65_536, row_locks_max: 4_000_000, advisory_locks_max: 1_000_000 }
    }
}

/// Implements [`ShardClient`] over a [`ShardStore`].
pub struct Participant {
    pub(crate) store: Arc<dyn ShardStore>,
    pub(crate) locks: Arc<LockTable>,
    pub(crate) options: TxnOptions,
    pub(crate) advisory: Advisory,
    pub(crate) ssi: Ssi,
    pub(crate) active: Active,
    next_session: AtomicU64,
}

impl Participant {
    pub fn new(store: Arc<dyn ShardStore>, clock: Arc<dyn Clock>, options: TxnOptions) -> Participant {
        Participant {
            store,
            locks: Arc::new(LockTable::new(clock)),
            options,
            advisory: Advisory::default(),
            ssi: Ssi::default(),
            active: Active::default(),
            next_session: AtomicU64::new(1),
        }
    }

    pub fn lock_stats(&self) -> LockStats {
        self.locks.stats()
    }

    pub fn active_transactions(&self) -> usize {
        self.active.len()
    }

    /// No transaction is running and nothing is locked.
    pub fn is_quiet(&self) -> bool {
        self.active.len() == 0 && self.locks.is_empty() && self.ssi.is_empty(self.store.visible_ts())
    }

    fn release(&self, txn: &Txn) {
        let held = std::mem::take(&mut *txn.held.lock());
        let mut rows = 0;
        for (tree, keys) in held.into_trees() {
            for key in keys {
                self.locks.unlock(txn.owner, &Resource::row(txn.branch, tree, key));
                rows += 1;
            }
            self.locks.unlock(txn.owner, &Resource::tree(txn.branch, tree));
        }
        self.locks.counters().row_locks.fetch_sub(rows, Ordering::Relaxed);
        txn.ended.store(true, Ordering::Release);
    }

    /// Sets locks back to what was held of them.
    fn give_up(&self, txn: &Txn, undo: Vec<Undo>) {
        let mut rows = 0;
        for Undo { tree, key, to } in undo {
            rows += u64::from(key.is_some() && to.is_empty());
            let resource = match key {
                Some(key) => Resource::row(txn.branch, tree, key),
                None => Resource::tree(txn.branch, tree),
            };
            self.locks.restore(txn.owner, &resource, to);
        }
        self.locks.counters().row_locks.fetch_sub(rows, Ordering::Relaxed);
    }

    /// Steps 1 to 3 of a commit. `None`: there was nothing to write.
    fn append(&self, id: TxnId) -> Result<(Option<AppendedCommit>, Lsn)> {
        let txn = self.active.remove(id)?;
        let serializable = txn.serializable.load(Ordering::Acquire);
        let allowed = if serializable { self.ssi.prepare(id) } else { Ok(()) };
        let appended = match allowed {
            Ok(()) if self.store.has_writes(id) => self.store.commit(id).map(Some),
            Ok(()) => {
                self.store.rollback(id);
                Ok(None)
            }
            Err(error) => Err(error),
        };
        if appended.is_err() {
            self.store.rollback(id);
        }
        if serializable {
            let visible = self.store.visible_ts();
            match &appended {
                Ok(commit) => self.ssi.committed(id, commit.map_or(visible, |commit| commit.ts), visible),
                Err(_) => self.ssi.rolled_back(id, visible),
            }
        }
        self.release(&txn);
        // What undoes itself leaves no record.
        let appended = appended?.filter(|commit| commit.lsn > Lsn(0));
        assert!(
            appended.is_none_or(|commit| commit.lsn > txn.depends_on()),
            "a commit is logged after everything it was built on"
        );
        Ok((appended, txn.depends_on()))
    }

    /// Before a read of a serializable transaction.
    fn watch_read(&self, context: &ReadContext, tree: TreeRef, mark: impl FnOnce() -> Mark) -> Result<()> {
        match context.txn {
            Some(txn) if context.isolation == IsolationLevel::Serializable && !tree.is_system() => {
                self.ssi.read(txn, tree, &mark())
            }
            _ => Ok(()),
        }
    }

    /// Before writes of a transaction.
    fn watch_write(&self, txn: &Txn, tree: TreeRef, marks: impl Iterator<Item = Mark>) -> Result<()> {
        if txn.serializable.load(Ordering::Acquire) && !tree.is_system() {
            return self.ssi.write(txn.id, tree, marks);
        }
        Ok(())
    }

    /// Rows that are overwritten must be locked, and the tree so that nobody needs it unchanged; a defect above must not
    /// become a lost update.
    fn check_locked<'a>(
        &self,
        txn: &Txn,
        tree: TreeRef,
        updated: impl Iterator<Item = &'a Bytes>,
        deleted: impl Iterator<Item = &'a Bytes>,
    ) -> Result<()> {
        if !self.try_lock_tree(txn, tree, TreeLockMode::RowExclusive) {
            return Err(Error::internal(format!("transaction {} writes tree {tree} without having locked it", txn.id)));
        }
        let held = txn.held.lock();
        let updated = updated.map(|key| (key, RowLockMode::NoKeyUpdate));
        let deleted = deleted.map(|key| (key, RowLockMode::Update));
        match updated.chain(deleted).find(|(key, mode)| !held.covers_row(tree, key, *mode)) {
            None => Ok(()),
            Some((key, _)) => {
                let row = Resource::row(txn.branch, tree, key.clone());
                Err(Error::internal(format!("transaction {} writes {row} without having locked it", txn.id)))
            }
        }
    }

    /// A tree's shape changes only under AccessExclusive; for a tree nobody knows yet that is free.
    fn check_exclusive(&self, txn: &Txn, tree: TreeRef) -> Result<()> {
        if self.try_lock_tree(txn, tree, TreeLockMode::AccessExclusive) {
            return Ok(());
        }
        Err(Error::internal(format!("transaction {} changes tree {tree} without having locked it", txn.id)))
    }
}

impl ShardClient for Participant {
    fn begin(&self, branch: BranchId) -> Result<TxnId> {
        let id = self.store.begin(branch)?;
        self.active.insert(id, LockOwner::transaction(id), branch);
        Ok(id)
    }

    fn open_session(&self, pid: i32) -> LockOwner {
        LockOwner::session(self.next_session.fetch_add(1, Ordering::Relaxed), pid)
    }

    fn read_locks(&self, branch: BranchId, session: LockOwner) -> Arc<dyn ReadLocks> {
        Slot::open(&self.locks, branch, session)
    }

    fn begin_in(&self, branch: BranchId, session: LockOwner) -> Result<TxnId> {
        let id = self.store.begin(branch)?;
        self.active.insert(id, session, branch);
        Ok(id)
    }

    fn begin_serializable(&self, txn: TxnId, read_only: bool) -> Result<Snapshot> {
        let state = self.active.get(txn)?;
        state.serializable.store(true, Ordering::Release);
        Ok(self.ssi.begin(txn, read_only, || self.store.snapshot(state.branch)))
    }

    fn safe_snapshot(&self, txn: TxnId) -> BoxFuture<'_, Result<Snapshot>> {
        async move {
            loop {
                let snapshot = self.begin_serializable(txn, true)?;
                let safe = match self.ssi.await_safety(txn) {
                    None => true,
                    Some(safe) => safe.await.unwrap_or(false),
                };
                // If it is safe nothing can go wrong with it any more; if not, the next one starts anew.
                self.ssi.unwatch(txn, self.store.visible_ts());
                if safe {
                    return Ok(snapshot);
                }
            }
        }
        .boxed()
    }

    fn snapshot(&self, branch: BranchId) -> Snapshot {
        self.store.snapshot(branch)
    }

    fn get(
        &self,
        context: &ReadContext,
        tree: TreeRef,
        key: &[u8],
        projection: &[ColumnId],
        sink: &mut dyn RowSink,
    ) -> Result<bool> {
        self.watch_read(context, tree, || Mark::Key(Bytes::copy_from_slice(key)))?;
        self.store.get(context, tree, key, projection, sink)
    }

    fn get_rows(
        &self,
        context: &ReadContext,
        tree: TreeRef,
        keys: &[&[u8]],
        projection: &[ColumnId],
        sink: &mut RangeSink<'_>,
    ) -> Result<()> {
        for key in keys {
            self.watch_read(context, tree, || Mark::Key(Bytes::copy_from_slice(key)))?;
        }
        self.store.get_rows(context, tree, keys, projection, sink)
    }

    fn scan(&self, context: &ReadContext, request: &ScanRequest) -> Result<Arc<dyn TableScan>> {
        self.watch_read(context, request.tree, || {
            let descriptor = self.store.descriptor(context.txn, request.tree);
            scanned(descriptor.as_deref(), &request.predicates)
        })?;
        self.store.scan(context, request)
    }

    fn range(&self, context: &ReadContext, request: &RangeRequest) -> Result<Box<dyn RangeCursor>> {
        self.watch_read(context, request.tree, || Mark::Range(request.range.clone()))?;
        self.store.range(context, request)
    }

    fn descriptor(&self, txn: Option<TxnId>, tree: TreeRef) -> Option<TreeDescriptorRef> {
        self.store.descriptor(txn, tree)
    }

    fn lock_rows<'a>(
        &'a self,
        context: &'a ReadContext,
        tree: TreeRef,
        keys: Vec<Bytes>,
        mode: RowLockMode,
        wait: LockWait,
    ) -> BoxFuture<'a, Result<Vec<LockedRow>>> {
        async move {
            let id = context.txn.ok_or_else(|| {
                Error::invalid(SqlState::NO_ACTIVE_SQL_TRANSACTION, "rows can only be locked in a transaction")
            })?;
            let txn = self.active.get(id)?;
            self.lock_and_compare(&txn, context.snapshot.ts, tree, keys, mode, wait).await
        }
        .boxed()
    }

    fn lock_tree<'a>(
        &'a self,
        txn: TxnId,
        tree: TreeRef,
        mode: TreeLockMode,
        wait: LockWait,
    ) -> BoxFuture<'a, Result<()>> {
        async move { self.lock_tree_of(&*self.active.get(txn)?, tree, mode, wait).await }.boxed()
    }

    fn lock_advisory<'a>(
        &'a self,
        session: LockOwner,
        key: AdvisoryKey,
        exclusive: bool,
        wait: LockWait,
    ) -> BoxFuture<'a, Result<bool>> {
        self.take_advisory(session, key, exclusive, wait).boxed()
    }

    fn unlock_advisory(&self, session: LockOwner, key: AdvisoryKey, exclusive: bool) -> bool {
        self.give_up_advisory(session, key, exclusive)
    }

    fn await_writers<'a>(
        &'a self,
        tree: TreeRef,
        session: LockOwner,
        wait: LockWait,
        told: &'a (dyn Fn(AwaitedWriters) + Send + Sync),
    ) -> BoxFuture<'a, Result<()>> {
        self.wait_for_writers(tree, session, wait, told).boxed()
    }

    fn locks(&self, most: usize) -> Vec<LockInfo> {
        self.locks.list(most)
    }

    fn blockers(&self, session: LockOwner) -> Vec<LockOwner> {
        self.locks.blockers(session)
    }

    fn insert<'a>(
        &'a self,
        txn: TxnId,
        command: CommandId,
        descriptor: TreeDescriptorRef,
        rows: Vec<KeyedRow>,
        wait: LockWait,
    ) -> BoxFuture<'a, Result<InsertOutcome>> {
        async move {
            let state = self.active.get(txn)?;
            let outcome = self.claim_keys(&state, &descriptor, &rows, wait).await?;
            match outcome {
                InsertOutcome::Inserted => {
                    self.watch_write(&state, descriptor.tree, rows.iter().map(|row| Mark::Key(row.key.clone())))?;
                    self.store.stage_inserts(txn, command, descriptor, rows)?;
                }
                // An error will be reported about a row that a crash may still take back: not before it is safe.
                InsertOutcome::Duplicate { .. } => self.store.durable(state.depends_on()).await?,
            }
            Ok(outcome)
        }
        .boxed()
    }

    fn newest(
        &self,
        txn: TxnId,
        tree: TreeRef,
        key: &[u8],
        projection: &[ColumnId],
        sink: &mut dyn RowSink,
    ) -> Result<bool> {
        self.newest_row(&*self.active.get(txn)?, tree, key, projection, sink)
    }

    fn claim<'a>(&'a self, txn: TxnId, tree: TreeRef, key: Bytes, wait: LockWait) -> BoxFuture<'a, Result<bool>> {
        async move { self.claim_key(&*self.active.get(txn)?, tree, key, wait).await }.boxed()
    }

    fn write_entries(
        &self,
        txn: TxnId,
        command: CommandId,
        descriptor: TreeDescriptorRef,
        puts: Vec<KeyedRow>,
        deletes: Vec<Bytes>,
    ) -> Result<()> {
        let state = self.active.get(txn)?;
        let keys = puts.iter().map(|row| &row.key).chain(&deletes);
        self.watch_write(&state, descriptor.tree, keys.map(|key| Mark::Key(key.clone())))?;
        if !deletes.is_empty() {
            let deletes = deletes.into_iter().map(|key| (key, RowHint::default())).collect();
            let batch = WriteBatch { descriptor: descriptor.clone(), updates: Vec::new(), deletes };
            self.store.stage_writes(txn, command, batch)?;
        }
        if puts.is_empty() { Ok(()) } else { self.store.stage_inserts(txn, command, descriptor, puts) }
    }

    fn write(&self, txn: TxnId, command: CommandId, batch: WriteBatch) -> Result<()> {
        let state = self.active.get(txn)?;
        let (updated, deleted) =
            (batch.updates.iter().map(|(row, _)| &row.key), batch.deletes.iter().map(|(key, _)| key));
        self.check_locked(&state, batch.descriptor.tree, updated.clone(), deleted.clone())?;
        let marks = updated.chain(deleted).map(|key| Mark::Key(key.clone()));
        self.watch_write(&state, batch.descriptor.tree, marks)?;
        self.store.stage_writes(txn, command, batch)
    }

    fn patch(&self, txn: TxnId, command: CommandId, batch: PatchBatch) -> Result<()> {
        let state = self.active.get(txn)?;
        let keys = batch.rows.iter().map(|(row, _)| &row.key);
        self.check_locked(&state, batch.descriptor.tree, keys.clone(), std::iter::empty())?;
        self.watch_write(&state, batch.descriptor.tree, keys.map(|key| Mark::Key(key.clone())))?;
        self.store.stage_patches(txn, command, batch)
    }

    fn define_tree(&self, txn: TxnId, command: CommandId, descriptor: TreeDescriptorRef) -> Result<()> {
        let state = self.active.get(txn)?;
        let same_shape = |before: &TreeDescriptor| before.columns == descriptor.columns && before.key == descriptor.key;
        let renumbered = self.store.descriptor(Some(txn), descriptor.tree).is_some_and(|before| same_shape(&before));
        if !(renumbered && state.held.lock().covers_tree(descriptor.tree, TreeLockMode::ShareUpdateExclusive)) {
            self.check_exclusive(&state, descriptor.tree)?;
        }
        self.store.define_tree(txn, command, descriptor)
    }

    fn drop_tree(&self, txn: TxnId, command: CommandId, tree: TreeRef) -> Result<()> {
        let state = self.active.get(txn)?;
        self.check_exclusive(&state, tree)?;
        self.watch_write(&state, tree, std::iter::once(Mark::Tree))?;
        self.store.drop_tree(txn, command, tree)
    }

    fn commit(&self, txn: TxnId) -> BoxFuture<'_, Result<CommitTs>> {
        let appended = self.append(txn);
        async move {
            match appended? {
                (Some(commit), _) => {
                    self.store.durable(commit.lsn).await?;
                    Ok(commit.ts)
                }
                (None, depends_on) => {
                    self.store.durable(depends_on).await?;
                    Ok(self.store.visible_ts())
                }
            }
        }
        .boxed()
    }

    fn rollback(&self, txn: TxnId) {
        // One that has ended already (a commit that failed) needs nothing more.
        if let Ok(state) = self.active.remove(txn) {
            self.store.rollback(txn);
            if state.serializable.load(Ordering::Acquire) {
                self.ssi.rolled_back(txn, self.store.visible_ts());
            }
            self.release(&state);
        }
    }

    fn savepoint(&self, txn: TxnId, command: CommandId) -> Result<Savepoint> {
        let state = self.active.get(txn)?;
        self.store.savepoint(txn, command)?;
        state.savepoints.lock().push(command);
        let locks = state.held.lock().savepoint();
        Ok(Savepoint { command, locks })
    }

    fn rollback_to(&self, txn: TxnId, savepoint: Savepoint) -> Result<()> {
        let state = self.active.get(txn)?;
        self.store.rollback_to(txn, savepoint.command)?;
        let nested = state.forget_savepoints(savepoint.command, true)?;
        let undo = state.held.lock().rollback_to(savepoint.locks, nested);
        self.give_up(&state, undo);
        Ok(())
    }

    fn release_savepoint(&self, txn: TxnId, savepoint: Savepoint) -> Result<()> {
        let state = self.active.get(txn)?;
        self.store.release_savepoint(txn, savepoint.command)?;
        let nested = state.forget_savepoints(savepoint.command, false)?;
        state.held.lock().release_savepoint(nested);
        Ok(())
    }

    fn settle(&self, txn: TxnId) -> BoxFuture<'_, Result<()>> {
        match self.active.get(txn) {
            Ok(state) if state.depends_on() > Lsn(0) => self.store.durable(state.depends_on()),
            Ok(_) => futures::future::ready(Ok(())).boxed(),
            Err(error) => futures::future::ready(Err(error)).boxed(),
        }
    }

    fn settle_all(&self) -> BoxFuture<'_, Result<()>> {
        self.store.durable(self.store.applied())
    }

    fn allocate_row_ids(&self, tree: TreeRef, count: u64) -> Result<u64> {
        self.store.allocate_row_ids(tree, count)
    }

    fn allocate_tree_id(&self) -> Result<TreeId> {
        self.store.allocate_tree_id()
    }

    fn reserve_sequence(&self, sequence: SequenceId, count: u64) -> Result<u64> {
        self.store.reserve_sequence(sequence, count)
    }

    fn set_sequence(&self, sequence: SequenceId, value: u64) -> Result<()> {
        self.store.set_sequence(sequence, value)
    }

    fn catalog_ts(&self) -> CommitTs {
        self.store.catalog_ts()
    }

    fn checkpoint(&self, compact: bool) -> BoxFuture<'_, Result<()>> {
        self.store.checkpoint(compact)
    }

    fn tree_size(&self, tree: TreeRef) -> TreeSize {
        self.store.tree_size(tree)
    }

    fn segments(&self, tree: TreeRef) -> Result<Vec<SegmentFacts>> {
        self.store.segments(tree)
    }

    fn trees(&self) -> Vec<TreeRef> {
        self.store.trees()
    }

    fn check(&self, stop: Arc<dyn Fn() -> Result<()> + Send + Sync>) -> BoxFuture<'_, Result<Checked>> {
        self.store.check(stop)
    }

    fn backup(&self) -> BoxFuture<'_, Result<Box<dyn BackupSource>>> {
        self.store.backup()
    }
}

impl fmt::Debug for Participant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Participant({} transactions, {:?})", self.active.len(), self.lock_stats())
    }
}
