//! A shard in memory: versions per key, private buffers per transaction, locks that never wait.
//!
//! Semantics are those of `ShardClient` for callers that take turns: a row or tree lock held by another transaction fails at
//! once with 55P03, as `lock_timeout` would. Nothing is durable and nothing is collected.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::builder::BinaryViewBuilder;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use heliosdb_contracts::{
    AdvisoryKey, AwaitedWriters, BackupSource, BatchReader, Checked, ColumnPredicate, CompareOp, InsertOutcome,
    IsolationLevel, KeyedRow, LockInfo, LockObject, LockOwner, LockPolicy, LockWait, LockedRow, PatchBatch,
    PredicateOp, ROW_REF_COLUMN, RangeCursor, RangeRequest, RangeSink, ReadContext, ReadLocks, RowHint, RowLockMode,
    RowRef, RowSink, Savepoint, ScanMetrics, ScanRequest, SegmentFacts, ShardClient, Snapshot, TableScan,
    TreeDescriptorRef, TreeLockMode, TreeSize, WriteBatch, arrow_type,
};
use heliosdb_types::{
    BranchId, ColumnId, CommandId, CommitTs, Datum, DatumRef, Error, PhysicalType, Result, RowLayout, RowView,
    SequenceId, SqlState, TreeId, TreeRef, TxnId, encode_key, encode_row,
};
use parking_lot::Mutex;

use crate::exec::array_of;

/// A row with the shape it was encoded with; `None` is a deletion.
type Image = Option<(Bytes, TreeDescriptorRef)>;

#[derive(Default)]
pub(crate) struct MemShard {
    state: Mutex<State>,
    /// How often a transaction was waited for to be durable.
    settled: AtomicU64,
}

impl MemShard {
    /// The keys a tree has now.
    pub fn keys_of(&self, tree: TreeRef) -> Vec<Bytes> {
        let state = self.state.lock();
        let keys = state.keys(None, tree).into_iter();
        keys.filter(|key| state.visible(None, CommitTs::MAX, tree, key).is_some()).collect()
    }

    pub fn settled(&self) -> u64 {
        self.settled.load(Ordering::Relaxed)
    }
}

#[derive(Default)]
struct State {
    clock: u64,
    catalog_ts: u64,
    next_txn: u64,
    next_tree: u64,
    descriptors: HashMap<TreeRef, TreeDescriptorRef>,
    rows: HashMap<TreeRef, BTreeMap<Bytes, Vec<(CommitTs, Image)>>>,
    txns: HashMap<TxnId, Txn>,
    row_locks: HashMap<(TreeRef, Bytes), TxnId>,
    tree_locks: Vec<(TreeRef, TxnId, TreeLockMode)>,
    counters: HashMap<SequenceId, u64>,
    advisory: HashMap<AdvisoryKey, (LockOwner, u64)>,
    row_ids: HashMap<TreeRef, u64>,
}

#[derive(Default)]
struct Txn {
    staged: HashMap<TreeRef, BTreeMap<Bytes, Vec<(CommandId, Image)>>>,
    /// Trees it defined or (`None`) dropped, in order.
    defined: Vec<(CommandId, TreeRef, Option<TreeDescriptorRef>)>,
}

impl State {
    /// The newest image of a key that a reader at `ts` sees, its own transaction's commands before `before` included.
    fn visible(&self, txn: Option<(TxnId, CommandId)>, ts: CommitTs, tree: TreeRef, key: &Bytes) -> Image {
        if let Some((txn, before)) = txn {
            let staged = self.txns.get(&txn).and_then(|t| t.staged.get(&tree)).and_then(|t| t.get(key));
            if let Some((_, image)) = staged.and_then(|v| v.iter().rev().find(|(command, _)| *command < before)) {
                return image.clone();
            }
        }
        let versions = self.rows.get(&tree).and_then(|rows| rows.get(key));
        versions.and_then(|v| v.iter().rev().find(|(at, _)| *at <= ts)).and_then(|(_, image)| image.clone())
    }

    fn keys(&self, txn: Option<TxnId>, tree: TreeRef) -> Vec<Bytes> {
        let mut keys: Vec<Bytes> = self.rows.get(&tree).map(|rows| rows.keys().cloned().collect()).unwrap_or_default();
        if let Some(staged) = txn.and_then(|t| self.txns.get(&t)).and_then(|t| t.staged.get(&tree)) {
            keys.extend(staged.keys().cloned());
        }
        keys.sort();
        keys.dedup();
        keys
    }

    fn lock_row(&mut self, txn: TxnId, tree: TreeRef, key: &Bytes) -> Result<()> {
        if !self.txns.contains_key(&txn) {
            // A statement that was cancelled may come to its next row when its transaction is gone.
            return Err(Error::internal("no such transaction"));
        }
        let holder = *self.row_locks.entry((tree, key.clone())).or_insert(txn);
        if holder == txn { Ok(()) } else { Err(not_available()) }
    }

    fn stage(&mut self, txn: TxnId, command: CommandId, tree: TreeRef, key: Bytes, image: Image) -> Result<()> {
        let txn = self.txns.get_mut(&txn).ok_or_else(|| Error::internal("no such transaction"))?;
        txn.staged.entry(tree).or_default().entry(key).or_default().push((command, image));
        Ok(())
    }
}

/// Readers go on with their snapshots here: whoever took turns with a definition would wait for ever.
struct NoReadLocks;

impl ReadLocks for NoReadLocks {
    fn try_lock(&self, _tree: TreeRef) -> bool {
        true
    }

    fn lock(&self, _tree: TreeRef, _wait: LockWait) -> BoxFuture<'_, Result<()>> {
        async { Ok(()) }.boxed()
    }

    fn mark(&self) -> usize {
        0
    }

    fn back_to(&self, _mark: usize) {}
}

fn not_available() -> Error {
    Error::retry(SqlState::LOCK_NOT_AVAILABLE, "canceling statement due to lock timeout")
}

/// The values of `columns` in an encoded row; missing values filled in.
fn decode(image: &(Bytes, TreeDescriptorRef), newest: &TreeDescriptorRef, columns: &[ColumnId]) -> Result<Vec<Datum>> {
    let (row, descriptor) = image;
    let layout = RowLayout::new(&descriptor.physical_types());
    let view = RowView::new(&layout, row)?;
    let value = |id: &ColumnId| match descriptor.position(*id) {
        Some(at) => Ok(view.get(at)?.to_owned()),
        None => {
            let column = newest.column(*id).ok_or_else(|| Error::internal(format!("no column {id}")))?;
            Ok(column.missing.clone().unwrap_or(Datum::Null))
        }
    };
    columns.iter().map(value).collect()
}

fn key_bytes(value: DatumRef<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    encode_key(&mut out, value, false);
    out
}

fn matches(predicate: &PredicateOp, value: DatumRef<'_>) -> bool {
    match predicate {
        PredicateOp::IsNull => return value.is_null(),
        PredicateOp::IsNotNull => return !value.is_null(),
        _ if value.is_null() => return false,
        _ => {}
    }
    match (predicate, value) {
        (PredicateOp::Compare(_, to), _) if to.is_null() => false,
        (PredicateOp::Compare(op, to), _) => {
            let order = key_bytes(value).cmp(&key_bytes(to.as_ref()));
            match op {
                CompareOp::Eq => order.is_eq(),
                CompareOp::NotEq => order.is_ne(),
                CompareOp::Lt => order.is_lt(),
                CompareOp::LtEq => order.is_le(),
                CompareOp::Gt => order.is_gt(),
                CompareOp::GtEq => order.is_ge(),
            }
        }
        (PredicateOp::In(list), _) => list.iter().any(|to| key_bytes(value) == key_bytes(to.as_ref())),
        (PredicateOp::Member(set), _) => set.holds(&value),
        (PredicateOp::StartsWith(prefix), DatumRef::Text(text)) => text.starts_with(prefix.as_str()),
        (PredicateOp::Contains(part), DatumRef::Text(text)) => text.contains(part.as_str()),
        _ => false,
    }
}

fn keeps(predicates: &[ColumnPredicate], columns: &[ColumnId], values: &[Datum]) -> bool {
    predicates.iter().all(|p| {
        let at = columns.iter().position(|c| *c == p.column);
        at.and_then(|at| values.get(at)).is_some_and(|value| matches(&p.op, value.as_ref()))
    })
}

struct MemRange(std::vec::IntoIter<(Bytes, Vec<Datum>)>);

impl RangeCursor for MemRange {
    fn next(&mut self, sink: &mut RangeSink<'_>) -> Result<bool> {
        let Some((key, values)) = self.0.next() else { return Ok(false) };
        sink(&key, &values.iter().map(Datum::as_ref).collect::<Vec<_>>(), RowHint::default())?;
        Ok(true)
    }
}

impl ShardClient for MemShard {
    fn begin(&self, _branch: BranchId) -> Result<TxnId> {
        let mut state = self.state.lock();
        state.next_txn += 1;
        let txn = TxnId(state.next_txn);
        state.txns.insert(txn, Txn::default());
        Ok(txn)
    }

    fn read_locks(&self, _branch: BranchId, _session: LockOwner) -> Arc<dyn ReadLocks> {
        Arc::new(NoReadLocks)
    }

    fn open_session(&self, pid: i32) -> LockOwner {
        let mut state = self.state.lock();
        state.next_txn += 1;
        LockOwner::session(state.next_txn, pid)
    }

    fn begin_in(&self, branch: BranchId, _session: LockOwner) -> Result<TxnId> {
        self.begin(branch)
    }

    fn begin_serializable(&self, _txn: TxnId, _read_only: bool) -> Result<Snapshot> {
        Ok(self.snapshot(BranchId(0)))
    }

    fn safe_snapshot(&self, _txn: TxnId) -> BoxFuture<'_, Result<Snapshot>> {
        let snapshot = self.snapshot(BranchId(0));
        async move { Ok(snapshot) }.boxed()
    }

    fn lock_advisory<'a>(
        &'a self,
        session: LockOwner,
        key: AdvisoryKey,
        _exclusive: bool,
        wait: LockWait,
    ) -> BoxFuture<'a, Result<bool>> {
        let mut state = self.state.lock();
        let (holder, count) = state.advisory.entry(key).or_insert((session, 0));
        let free = *holder == session;
        *count += u64::from(free);
        let outcome = if free || wait.policy != LockPolicy::Wait { Ok(free) } else { Err(not_available()) };
        async move { outcome }.boxed()
    }

    fn unlock_advisory(&self, session: LockOwner, key: AdvisoryKey, _exclusive: bool) -> bool {
        let mut state = self.state.lock();
        let Some((holder, count)) = state.advisory.get_mut(&key) else { return false };
        if *holder != session {
            return false;
        }
        *count -= 1;
        if *count == 0 {
            state.advisory.remove(&key);
        }
        true
    }

    /// Here nobody waits for locks, so a writer in the way would stay there.
    fn await_writers<'a>(
        &'a self,
        _tree: TreeRef,
        _session: LockOwner,
        _wait: LockWait,
        _told: &'a (dyn Fn(AwaitedWriters) + Send + Sync),
    ) -> BoxFuture<'a, Result<()>> {
        async { Ok(()) }.boxed()
    }

    fn locks(&self, most: usize) -> Vec<LockInfo> {
        let state = self.state.lock();
        let info = |(key, (owner, _)): (&AdvisoryKey, &(LockOwner, u64))| LockInfo {
            owner: *owner,
            object: LockObject::Advisory(*key),
            mode: TreeLockMode::Exclusive,
            granted: true,
            fast: false,
        };
        state.advisory.iter().take(most).map(info).collect()
    }

    fn blockers(&self, _session: LockOwner) -> Vec<LockOwner> {
        Vec::new()
    }

    fn snapshot(&self, branch: BranchId) -> Snapshot {
        Snapshot { ts: CommitTs(self.state.lock().clock), branch, pin: Arc::new(()) }
    }

    fn get(
        &self,
        context: &ReadContext,
        tree: TreeRef,
        key: &[u8],
        projection: &[ColumnId],
        sink: &mut dyn RowSink,
    ) -> Result<bool> {
        let newest = self.descriptor(context.txn, tree).ok_or_else(|| Error::internal("no such tree"))?;
        let state = self.state.lock();
        let own = context.txn.map(|txn| (txn, context.command));
        let Some(image) = state.visible(own, context.snapshot.ts, tree, &Bytes::copy_from_slice(key)) else {
            return Ok(false);
        };
        let values = decode(&image, &newest, projection)?;
        sink.row(&values.iter().map(Datum::as_ref).collect::<Vec<_>>(), RowHint::default())?;
        Ok(true)
    }

    fn scan(&self, context: &ReadContext, request: &ScanRequest) -> Result<Arc<dyn TableScan>> {
        let newest = self.descriptor(context.txn, request.tree).ok_or_else(|| Error::internal("no such tree"))?;
        let state = self.state.lock();
        let own = context.txn.map(|txn| (txn, context.command));
        let columns: Vec<ColumnId> = newest.columns.iter().map(|c| c.id).collect();
        let metrics = Arc::new(ScanMetrics::default());
        let mut rows = Vec::new();
        let mut visible = 0;
        for key in state.keys(context.txn, request.tree) {
            let Some(image) = state.visible(own, context.snapshot.ts, request.tree, &key) else { continue };
            visible += 1;
            ScanMetrics::add(&metrics.memtable_rows, 1);
            if keeps(&request.predicates, &columns, &decode(&image, &newest, &columns)?) {
                rows.push((key, decode(&image, &newest, &request.projection)?));
            }
        }
        let partitions = request.target_partitions.clamp(1, rows.len().max(1));
        let mut parts: Vec<Vec<_>> = (0..partitions).map(|_| Vec::new()).collect();
        let total = rows.len();
        for (at, row) in rows.into_iter().enumerate() {
            parts[at * partitions / total].push(row);
        }
        let parts = parts.into_iter().map(|mut rows| {
            rows.truncate(request.limit.unwrap_or(usize::MAX));
            Mutex::new(Some(rows))
        });
        Ok(Arc::new(MemScan {
            schema: scan_schema(&newest, request)?,
            request: request.clone(),
            newest,
            parts: parts.collect(),
            total: visible,
            metrics,
        }))
    }

    fn range(&self, context: &ReadContext, request: &RangeRequest) -> Result<Box<dyn RangeCursor>> {
        let newest = self.descriptor(context.txn, request.tree).ok_or_else(|| Error::internal("no such tree"))?;
        let state = self.state.lock();
        let own = context.txn.map(|txn| (txn, context.command));
        let mut rows = Vec::new();
        for key in state.keys(context.txn, request.tree).into_iter().filter(|key| request.range.contains(key)) {
            if let Some(image) = state.visible(own, context.snapshot.ts, request.tree, &key) {
                rows.push((key, decode(&image, &newest, &request.projection)?));
            }
        }
        if request.range.reverse {
            rows.reverse();
        }
        Ok(Box::new(MemRange(rows.into_iter())))
    }

    fn newest(
        &self,
        txn: TxnId,
        tree: TreeRef,
        key: &[u8],
        projection: &[ColumnId],
        sink: &mut dyn RowSink,
    ) -> Result<bool> {
        let context = ReadContext {
            txn: Some(txn),
            command: CommandId(u32::MAX),
            snapshot: Snapshot { ts: CommitTs::MAX, branch: BranchId(0), pin: Arc::new(()) },
            isolation: IsolationLevel::ReadCommitted,
        };
        self.get(&context, tree, key, projection, sink)
    }

    fn claim<'a>(&'a self, txn: TxnId, tree: TreeRef, key: Bytes, _wait: LockWait) -> BoxFuture<'a, Result<bool>> {
        let claim = || {
            let mut state = self.state.lock();
            let held = state.row_locks.contains_key(&(tree, key.clone()));
            state.lock_row(txn, tree, &key)?;
            let free = state.visible(Some((txn, CommandId(u32::MAX))), CommitTs::MAX, tree, &key).is_none();
            if !free && !held {
                state.row_locks.remove(&(tree, key.clone()));
            }
            Ok(free)
        };
        let outcome = claim();
        async move { outcome }.boxed()
    }

    fn write_entries(
        &self,
        txn: TxnId,
        command: CommandId,
        descriptor: TreeDescriptorRef,
        puts: Vec<KeyedRow>,
        deletes: Vec<Bytes>,
    ) -> Result<()> {
        let mut state = self.state.lock();
        let all = Some((txn, CommandId(u32::MAX)));
        for key in deletes {
            if state.visible(all, CommitTs::MAX, descriptor.tree, &key).is_none() {
                return Err(Error::internal("an entry that is deleted is not there"));
            }
            state.stage(txn, command, descriptor.tree, key, None)?;
        }
        for put in puts {
            if state.visible(all, CommitTs::MAX, descriptor.tree, &put.key).is_some() {
                return Err(Error::internal("an entry that is put is there"));
            }
            state.stage(txn, command, descriptor.tree, put.key, Some((put.row, Arc::clone(&descriptor))))?;
        }
        Ok(())
    }

    fn settle_all(&self) -> BoxFuture<'_, Result<()>> {
        async { Ok(()) }.boxed()
    }

    fn descriptor(&self, txn: Option<TxnId>, tree: TreeRef) -> Option<TreeDescriptorRef> {
        let state = self.state.lock();
        let own = txn.and_then(|t| state.txns.get(&t));
        match own.and_then(|t| t.defined.iter().rev().find(|(_, defined, _)| *defined == tree)) {
            Some((_, _, own)) => own.clone(),
            None => state.descriptors.get(&tree).cloned(),
        }
    }

    fn lock_rows<'a>(
        &'a self,
        context: &'a ReadContext,
        tree: TreeRef,
        keys: Vec<Bytes>,
        _mode: RowLockMode,
        _wait: LockWait,
    ) -> BoxFuture<'a, Result<Vec<LockedRow>>> {
        let lock = |key: &Bytes| {
            let txn = context.txn.ok_or_else(|| Error::internal("a lock without a transaction"))?;
            let mut state = self.state.lock();
            state.lock_row(txn, tree, key)?;
            let all = CommandId(u32::MAX);
            let newest = state.visible(Some((txn, all)), CommitTs::MAX, tree, key);
            let seen = state.visible(Some((txn, context.command)), context.snapshot.ts, tree, key);
            Ok(match newest {
                None => LockedRow::Gone,
                newest if newest == seen => LockedRow::Unchanged,
                Some((row, descriptor)) => LockedRow::Newer { row, descriptor, hint: RowHint::default() },
            })
        };
        let locked = keys.iter().map(lock).collect();
        async move { locked }.boxed()
    }

    fn lock_tree<'a>(
        &'a self,
        txn: TxnId,
        tree: TreeRef,
        mode: TreeLockMode,
        _wait: LockWait,
    ) -> BoxFuture<'a, Result<()>> {
        let mut state = self.state.lock();
        let held = state.tree_locks.iter().any(|(t, by, m)| *t == tree && *by != txn && m.excludes(mode));
        let outcome = if held { Err(not_available()) } else { Ok(()) };
        if outcome.is_ok() {
            state.tree_locks.push((tree, txn, mode));
        }
        async move { outcome }.boxed()
    }

    fn insert<'a>(
        &'a self,
        txn: TxnId,
        command: CommandId,
        descriptor: TreeDescriptorRef,
        rows: Vec<KeyedRow>,
        _wait: LockWait,
    ) -> BoxFuture<'a, Result<InsertOutcome>> {
        let insert = || {
            let mut state = self.state.lock();
            let mut batch = HashSet::new();
            for (index, row) in rows.iter().enumerate() {
                state.lock_row(txn, descriptor.tree, &row.key)?;
                let own = Some((txn, CommandId(u32::MAX)));
                let exists = state.visible(own, CommitTs::MAX, descriptor.tree, &row.key).is_some();
                if exists || !batch.insert(row.key.clone()) {
                    return Ok(InsertOutcome::Duplicate { index });
                }
            }
            for row in rows {
                state.stage(txn, command, descriptor.tree, row.key, Some((row.row, Arc::clone(&descriptor))))?;
            }
            Ok(InsertOutcome::Inserted)
        };
        let outcome = insert();
        async move { outcome }.boxed()
    }

    fn write(&self, txn: TxnId, command: CommandId, batch: WriteBatch) -> Result<()> {
        let mut state = self.state.lock();
        let tree = batch.descriptor.tree;
        let updates = batch.updates.into_iter().map(|(r, _)| (r.key, Some((r.row, Arc::clone(&batch.descriptor)))));
        let deletes = batch.deletes.into_iter().map(|(key, _)| (key, None));
        for (key, image) in updates.chain(deletes).collect::<Vec<_>>() {
            if state.row_locks.get(&(tree, key.clone())) != Some(&txn) {
                return Err(Error::internal("a write of a row that is not locked"));
            }
            state.stage(txn, command, tree, key, image)?;
        }
        Ok(())
    }

    fn patch(&self, txn: TxnId, command: CommandId, batch: PatchBatch) -> Result<()> {
        let PatchBatch { descriptor, columns: changed, rows } = batch;
        let types = descriptor.physical_types();
        let patched: Vec<PhysicalType> = changed.iter().filter_map(|at| types.get(*at).copied()).collect();
        let layout = RowLayout::new(&patched);
        let columns: Vec<ColumnId> = descriptor.columns.iter().map(|column| column.id).collect();
        let mut updates = Vec::with_capacity(rows.len());
        for (KeyedRow { key, row }, hint) in rows {
            let own = Some((txn, CommandId(u32::MAX)));
            let base = self.state.lock().visible(own, CommitTs::MAX, descriptor.tree, &key);
            let base = base.ok_or_else(|| Error::internal("an update of a row that is not there"))?;
            let mut values = decode(&base, &descriptor, &columns)?;
            let view = RowView::new(&layout, &row)?;
            for (from, to) in changed.iter().enumerate() {
                values[*to] = view.get(from)?.to_owned();
            }
            let mut row = Vec::new();
            encode_row(&types, &values.iter().map(Datum::as_ref).collect::<Vec<_>>(), &mut row)?;
            updates.push((KeyedRow { key, row: row.into() }, hint));
        }
        self.write(txn, command, WriteBatch { descriptor, updates, deletes: Vec::new() })
    }

    fn define_tree(&self, txn: TxnId, command: CommandId, descriptor: TreeDescriptorRef) -> Result<()> {
        let mut state = self.state.lock();
        let txn = state.txns.get_mut(&txn).ok_or_else(|| Error::internal("no such transaction"))?;
        txn.defined.push((command, descriptor.tree, Some(descriptor)));
        Ok(())
    }

    fn drop_tree(&self, txn: TxnId, command: CommandId, tree: TreeRef) -> Result<()> {
        let mut state = self.state.lock();
        let txn = state.txns.get_mut(&txn).ok_or_else(|| Error::internal("no such transaction"))?;
        txn.defined.push((command, tree, None));
        Ok(())
    }

    fn commit(&self, txn: TxnId) -> BoxFuture<'_, Result<CommitTs>> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let Some(done) = state.txns.remove(&txn) else {
            return async { Err(Error::internal("no such transaction")) }.boxed();
        };
        state.clock += 1;
        let ts = CommitTs(state.clock);
        if done.defined.iter().map(|(_, tree, _)| tree).chain(done.staged.keys()).any(|tree| tree.is_system()) {
            state.catalog_ts = state.clock;
        }
        for (_, tree, definition) in done.defined {
            match definition {
                Some(descriptor) => {
                    state.descriptors.insert(tree, descriptor);
                }
                None => {
                    state.descriptors.remove(&tree);
                    state.rows.remove(&tree);
                }
            }
        }
        for (tree, staged) in done.staged {
            for (key, versions) in staged {
                let Some((_, image)) = versions.into_iter().next_back() else { continue };
                state.rows.entry(tree).or_default().entry(key).or_default().push((ts, image));
            }
        }
        release(state, txn);
        async move { Ok(ts) }.boxed()
    }

    fn rollback(&self, txn: TxnId) {
        let mut state = self.state.lock();
        state.txns.remove(&txn);
        release(&mut state, txn);
    }

    fn savepoint(&self, _txn: TxnId, command: CommandId) -> Result<Savepoint> {
        Ok(Savepoint { command, locks: 0 })
    }

    /// Keeps the locks; callers take turns anyway.
    fn rollback_to(&self, txn: TxnId, savepoint: Savepoint) -> Result<()> {
        let mut state = self.state.lock();
        let txn = state.txns.get_mut(&txn).ok_or_else(|| Error::internal("no such transaction"))?;
        txn.defined.retain(|(command, _, _)| *command < savepoint.command);
        for staged in txn.staged.values_mut() {
            staged.values_mut().for_each(|versions| versions.retain(|(command, _)| *command < savepoint.command));
            staged.retain(|_, versions| !versions.is_empty());
        }
        Ok(())
    }

    fn release_savepoint(&self, _txn: TxnId, _savepoint: Savepoint) -> Result<()> {
        Ok(())
    }

    fn settle(&self, _txn: TxnId) -> BoxFuture<'_, Result<()>> {
        self.settled.fetch_add(1, Ordering::Relaxed);
        async { Ok(()) }.boxed()
    }

    fn allocate_row_ids(&self, tree: TreeRef, count: u64) -> Result<u64> {
        let mut state = self.state.lock();
        let next = state.row_ids.entry(tree).or_insert(1);
        *next += count;
        Ok(*next - count)
    }

    fn allocate_tree_id(&self) -> Result<TreeId> {
        let mut state = self.state.lock();
        state.next_tree += 1;
        Ok(TreeId(TreeRef::FIRST_USER_TREE.0 + state.next_tree - 1))
    }

    fn reserve_sequence(&self, sequence: SequenceId, count: u64) -> Result<u64> {
        let mut state = self.state.lock();
        let counter = state.counters.entry(sequence).or_insert(0);
        *counter += count;
        Ok(*counter - count)
    }

    fn set_sequence(&self, sequence: SequenceId, value: u64) -> Result<()> {
        self.state.lock().counters.insert(sequence, value);
        Ok(())
    }

    fn catalog_ts(&self) -> CommitTs {
        CommitTs(self.state.lock().catalog_ts)
    }

    fn checkpoint(&self, _compact: bool) -> BoxFuture<'_, Result<()>> {
        async { Ok(()) }.boxed()
    }

    fn tree_size(&self, tree: TreeRef) -> TreeSize {
        let state = self.state.lock();
        let rows = state.rows.get(&tree).map_or(0, |rows| rows.len() as u64);
        TreeSize { rows, disk_bytes: 0, memory_bytes: rows * 100 }
    }

    fn segments(&self, _tree: TreeRef) -> Result<Vec<SegmentFacts>> {
        Ok(Vec::new())
    }

    fn trees(&self) -> Vec<TreeRef> {
        self.state.lock().descriptors.keys().copied().collect()
    }

    fn check(&self, _stop: Arc<dyn Fn() -> Result<()> + Send + Sync>) -> BoxFuture<'_, Result<Checked>> {
        futures::future::ready(Ok(Checked::default())).boxed()
    }

    fn backup(&self) -> BoxFuture<'_, Result<Box<dyn BackupSource>>> {
        futures::future::ready(Err(Error::unsupported("a backup of a shard without files"))).boxed()
    }
}

fn release(state: &mut State, txn: TxnId) {
    state.row_locks.retain(|_, holder| *holder != txn);
    state.tree_locks.retain(|(_, holder, _)| *holder != txn);
}

fn scan_schema(newest: &TreeDescriptorRef, request: &ScanRequest) -> Result<SchemaRef> {
    let field = |id: &ColumnId| {
        let column = newest.column(*id).ok_or_else(|| Error::internal(format!("no column {id}")))?;
        Ok(Field::new(id.to_string(), arrow_type(column.physical), column.nullable))
    };
    let mut fields = request.projection.iter().map(field).collect::<Result<Vec<_>>>()?;
    if request.row_refs {
        fields.push(Field::new(ROW_REF_COLUMN, DataType::BinaryView, false));
    }
    Ok(Arc::new(Schema::new(fields)))
}

type Rows = Vec<(Bytes, Vec<Datum>)>;

struct MemScan {
    schema: SchemaRef,
    request: ScanRequest,
    newest: TreeDescriptorRef,
    parts: Vec<Mutex<Option<Rows>>>,
    total: u64,
    metrics: Arc<ScanMetrics>,
}

impl TableScan for MemScan {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn partition_count(&self) -> usize {
        self.parts.len()
    }

    fn open(&self, partition: usize) -> Result<Box<dyn BatchReader>> {
        let part = self.parts.get(partition).ok_or_else(|| Error::internal("no such partition"))?;
        let rows = part.lock().take().ok_or_else(|| Error::internal("a partition was opened twice"))?;
        let mut batches = Vec::new();
        for chunk in rows.chunks(self.request.batch_rows.max(1)) {
            batches.push(self.batch(chunk)?);
        }
        Ok(Box::new(MemReader { batches: batches.into_iter(), metrics: self.metrics() }))
    }

    fn metrics(&self) -> Arc<ScanMetrics> {
        Arc::clone(&self.metrics)
    }

    fn estimated_rows(&self) -> u64 {
        self.total
    }

    fn estimated_bytes(&self) -> u64 {
        self.total * 100
    }
}

impl MemScan {
    fn batch(&self, rows: &[(Bytes, Vec<Datum>)]) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = Vec::new();
        for (at, id) in self.request.projection.iter().enumerate() {
            let column = self.newest.column(*id).ok_or_else(|| Error::internal(format!("no column {id}")))?;
            columns.push(array_of(column.physical, rows.iter().map(|(_, values)| values[at].as_ref()))?);
        }
        if self.request.row_refs {
            let mut references = BinaryViewBuilder::new();
            for (key, _) in rows {
                let mut bytes = Vec::new();
                RowRef { hint: RowHint::default(), key }.encode(&mut bytes);
                references.append_value(bytes);
            }
            columns.push(Arc::new(references.finish()));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        RecordBatch::try_new_with_options(self.schema(), columns, &options).map_err(|e| Error::internal(e.to_string()))
    }
}

struct MemReader {
    batches: std::vec::IntoIter<RecordBatch>,
    metrics: Arc<ScanMetrics>,
}

impl BatchReader for MemReader {
    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let batch = self.batches.next();
        ScanMetrics::add(&self.metrics.rows_out, batch.as_ref().map_or(0, |b| b.num_rows() as u64));
        Ok(batch)
    }
}
