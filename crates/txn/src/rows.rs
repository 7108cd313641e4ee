//! Locking rows, comparing them with the snapshot, and inserting under unique keys.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use heliosdb_contracts::{
    InsertOutcome, IsolationLevel, KeyedRow, LockPolicy, LockWait, LockedRow, NewestRow, ReadContext, RowLockMode,
    RowSink, TreeDescriptor, TreeKey, TreeLockMode,
};
use heliosdb_types::{
    ColumnId, CommandId, CommitTs, Datum, DatumRef, Error, Result, RowLayout, RowView, SqlState, TreeRef,
};
use rustc_hash::FxHashSet;

use crate::active::Txn;
use crate::mode::row_mode;
use crate::participant::Participant;
use crate::resource::Resource;

impl Participant {
    pub(crate) async fn lock_tree_of(
        &self,
        txn: &Txn,
        tree: TreeRef,
        mode: TreeLockMode,
        wait: LockWait,
    ) -> Result<()> {
        if txn.held.lock().covers_tree(tree, mode) {
            return Ok(());
        }
        self.locks.lock(txn.owner, &Resource::tree(txn.branch, tree), mode, wait).await?;
        txn.held.lock().add_tree(tree, mode);
        Ok(())
    }

    /// Takes a tree lock only if nobody is in the way.
    pub(crate) fn try_lock_tree(&self, txn: &Txn, tree: TreeRef, mode: TreeLockMode) -> bool {
        let mut held = txn.held.lock();
        let free =
            held.covers_tree(tree, mode) || self.locks.try_lock(txn.owner, &Resource::tree(txn.branch, tree), mode);
        if free {
            held.add_tree(tree, mode);
        }
        free
    }

    /// Locks one row; the caller has the tree's RowShare lock or a stronger one. False: it is not free, and `wait` says
    /// not to wait.
    async fn lock_row(&self, txn: &Txn, tree: TreeRef, key: &Bytes, mode: RowLockMode, wait: LockWait) -> Result<bool> {
        if txn.held.lock().covers_row(tree, key, mode) {
            return Ok(true);
        }
        let resource = Resource::row(txn.branch, tree, key.clone());
        if wait.policy == LockPolicy::Wait {
            self.locks.lock(txn.owner, &resource, row_mode(mode), wait).await?;
        } else if !self.locks.try_lock(txn.owner, &resource, row_mode(mode)) {
            return Ok(false);
        }
        let threshold = self.options.escalate_rows;
        let (new, escalate) = txn.held.lock().add_row(tree, key.clone(), mode, threshold);
        let counter = &self.locks.counters().row_locks;
        let total = if new { counter.fetch_add(1, Ordering::Relaxed) + 1 } else { 0 };
        if escalate && self.try_lock_tree(txn, tree, TreeLockMode::Exclusive) {
            self.escalated(txn, tree);
        } else if total > self.options.row_locks_max {
            // Out of memory for locks: from here on wait for the whole tree, as long as this statement would wait.
            let wait = LockWait { policy: LockPolicy::Wait, ..wait };
            self.lock_tree_of(txn, tree, TreeLockMode::Exclusive, wait).await?;
            self.escalated(txn, tree);
        }
        Ok(true)
    }

    /// The tree lock excludes every other writer, so the row locks under it can go.
    fn escalated(&self, txn: &Txn, tree: TreeRef) {
        let rows = {
            let mut held = txn.held.lock();
            held.escalate(tree, TreeLockMode::Exclusive);
            held.take_rows(tree)
        };
        let counters = self.locks.counters();
        counters.row_locks.fetch_sub(rows.len() as u64, Ordering::Relaxed);
        counters.escalations.fetch_add(1, Ordering::Relaxed);
        for key in rows.into_keys() {
            self.locks.unlock(txn.owner, &Resource::row(txn.branch, tree, key));
        }
    }

    /// Locks rows in order and says what each is, compared with what a snapshot at `seen` saw.
    pub(crate) async fn lock_and_compare(
        &self,
        txn: &Txn,
        seen: CommitTs,
        tree: TreeRef,
        keys: Vec<Bytes>,
        mode: RowLockMode,
        wait: LockWait,
    ) -> Result<Vec<LockedRow>> {
        let for_tree = LockWait { policy: LockPolicy::Wait, ..wait };
        self.lock_tree_of(txn, tree, TreeLockMode::RowShare, for_tree).await?;
        let mut rows = Vec::with_capacity(keys.len());
        for key in &keys {
            if !self.lock_row(txn, tree, key, mode, wait).await? {
                rows.push(LockedRow::Busy);
                if wait.policy == LockPolicy::NoWait {
                    // The statement fails anyway.
                    rows.resize_with(keys.len(), || LockedRow::Busy);
                    return Ok(rows);
                }
                continue;
            }
            rows.push(self.compare(txn, seen, tree, key)?);
        }
        Ok(rows)
    }

    fn compare(&self, txn: &Txn, seen: CommitTs, tree: TreeRef, key: &Bytes) -> Result<LockedRow> {
        let probe = self.store.newest(txn.id, tree, key, false)?;
        self.note_dependency(txn, &probe);
        Ok(match probe {
            NewestRow::Own => LockedRow::Unchanged,
            NewestRow::OwnDeleted | NewestRow::Absent { .. } => LockedRow::Gone,
            NewestRow::Committed { ts, .. } if ts <= seen => LockedRow::Unchanged,
            // Rare, so the row is fetched by a second probe; the lock keeps it the same.
            NewestRow::Committed { .. } => match self.store.newest(txn.id, tree, key, true)? {
                NewestRow::Committed { row, descriptor, hint, .. } => LockedRow::Newer { row, descriptor, hint },
                _ => LockedRow::Gone,
            },
        })
    }

    /// The newest version of a key, decoded.
    pub(crate) fn newest_row(
        &self,
        txn: &Txn,
        tree: TreeRef,
        key: &[u8],
        projection: &[ColumnId],
        sink: &mut dyn RowSink,
    ) -> Result<bool> {
        let newest = self.store.newest(txn.id, tree, key, true)?;
        self.note_dependency(txn, &newest);
        match newest {
            NewestRow::Absent { .. } | NewestRow::OwnDeleted => Ok(false),
            NewestRow::Own => {
                let context = ReadContext {
                    txn: Some(txn.id),
                    command: CommandId(u32::MAX),
                    snapshot: self.store.snapshot(txn.branch),
                    isolation: IsolationLevel::ReadCommitted,
                };
                self.store.get(&context, tree, key, projection, sink)
            }
            NewestRow::Committed { row, descriptor, hint, .. } => {
                let layout = RowLayout::new(&descriptor.physical_types());
                let view = RowView::new(&layout, &row)?;
                let shape = self.store.descriptor(Some(txn.id), tree);
                let missing = |id: ColumnId| shape.as_ref()?.column(id)?.missing.as_ref().map(Datum::as_ref);
                let value = |id: &ColumnId| match descriptor.position(*id) {
                    Some(at) => view.get(at),
                    None => Ok(missing(*id).unwrap_or(DatumRef::Null)),
                };
                let values = projection.iter().map(value).collect::<Result<Vec<_>>>()?;
                sink.row(&values, hint).map(|()| true)
            }
        }
    }

    /// Locks a key that nobody has; false if somebody does, and then without a lock that was not there before.
    pub(crate) async fn claim_key(&self, txn: &Txn, tree: TreeRef, key: Bytes, wait: LockWait) -> Result<bool> {
        self.lock_tree_of(txn, tree, TreeLockMode::RowExclusive, wait).await?;
        let before = txn.held.lock().row_modes(tree, &key);
        let wait = LockWait { policy: LockPolicy::Wait, ..wait };
        self.lock_row(txn, tree, &key, RowLockMode::Update, wait).await?;
        let probe = self.store.newest(txn.id, tree, &key, false)?;
        self.note_dependency(txn, &probe);
        let free = matches!(probe, NewestRow::Absent { .. } | NewestRow::OwnDeleted);
        if !free && txn.held.lock().set_row_back(tree, &key, before) {
            self.locks.counters().row_locks.fetch_sub(u64::from(before.is_empty()), Ordering::Relaxed);
            self.locks.restore(txn.owner, &Resource::row(txn.branch, tree, key), before);
        }
        Ok(free)
    }

    fn note_dependency(&self, txn: &Txn, probe: &NewestRow) {
        if let NewestRow::Committed { lsn, .. } | NewestRow::Absent { lsn, .. } = probe {
            txn.depend_on(*lsn);
        }
    }

    /// Locks the keys in order; the first that exists ends it.
    pub(crate) async fn claim_keys(
        &self,
        txn: &Txn,
        descriptor: &TreeDescriptor,
        rows: &[KeyedRow],
        wait: LockWait,
    ) -> Result<InsertOutcome> {
        let tree = descriptor.tree;
        self.lock_tree_of(txn, tree, TreeLockMode::RowExclusive, wait).await?;
        if descriptor.key == TreeKey::RowId {
            // A row id is never given out twice, so nobody else can know these keys before the commit shows them.
            return Ok(InsertOutcome::Inserted);
        }
        // Keys that ascend do not repeat; the others are compared with all before.
        let mut batch: Option<FxHashSet<&Bytes>> = None;
        for (index, row) in rows.iter().enumerate() {
            if !self.lock_row(txn, tree, &row.key, RowLockMode::Update, wait).await? {
                return Err(Error::retry(SqlState::LOCK_NOT_AVAILABLE, "could not obtain lock on a key"));
            }
            let probe = self.store.newest(txn.id, tree, &row.key, false)?;
            self.note_dependency(txn, &probe);
            let exists = matches!(probe, NewestRow::Own | NewestRow::Committed { .. });
            let before = rows.get(..index).unwrap_or_default();
            if batch.is_none() && before.last().is_some_and(|last| last.key >= row.key) {
                batch = Some(before.iter().map(|row| &row.key).collect());
            }
            let repeated = batch.as_mut().is_some_and(|batch| !batch.insert(&row.key));
            if exists || repeated {
                return Ok(InsertOutcome::Duplicate { index });
            }
        }
        Ok(InsertOutcome::Inserted)
    }
}
