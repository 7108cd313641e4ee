//! A shard's state, and the small questions everything else asks of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use heliosdb_contracts::{KeyedRow, Snapshot, TreeDescriptorRef, TreeSize, WriteBatch};
use heliosdb_runtime::{Clock, Disk, IoRate, Spawner, ThrottledDisk};
use heliosdb_types::{BranchId, CommandId, CommitTs, Error, Lsn, Result, SequenceId, TreeId, TreeRef, TxnId};
use heliosdb_wal::{NewRecord, RecordKind, Wal};
use parking_lot::{Condvar, Mutex, RwLock};
use rustc_hash::FxHashMap;

use crate::cache::BlockCache;
use crate::horizon::{Horizon, Pin};
use crate::large;
use crate::log::{KIND_COUNTER, encode_counter};
use crate::manifest::Manifest;
use crate::memtable::{BranchTree, Generation};
use crate::metrics::{Counters, ShardMetrics};
use crate::options::{ShardOptions, row_cache_bytes};
use crate::pace::{Hurry, Scans};
use crate::row_cache::RowCache;
use crate::segments::Segment;
use crate::shape::TreeState;
use crate::tree_writer::SegmentTarget;
use crate::txnbuf::TxnBuffer;
use crate::version::Version;
use crate::visibility::Visibility;

/// Microseconds from 1970 to 2000, where commit timestamps begin.
const EPOCH_2000_MICROS: i64 = 946_684_800_000_000;

pub(crate) struct Core {
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    pub spawner: Spawner,
    pub options: ShardOptions,
    pub wal: Wal,
    pub visibility: Arc<Visibility>,
    pub horizon: Arc<Horizon>,
    /// Replaced under `commit` only.
    pub version: ArcSwap<Version>,
    /// The commit mutex: log order, timestamp order and the order of application are one.
    pub commit: Mutex<CommitState>,
    pub counters: Counters,
    pub next_txn: AtomicU64,
    pub next_tree: AtomicU64,
    pub next_segment: Arc<AtomicU64>,
    pub cache: Arc<BlockCache>,
    pub row_cache: RowCache,
    /// What freezing and merging may read and write...
    pub background_io: Arc<IoRate>,
    /// ...and the disk as they write it.
    background_disk: Arc<dyn Disk>,
    /// The manifest that counts; held while it is replaced.
    pub manifest: Mutex<Manifest>,
    /// Its replay point, for those who must not wait for a swap.
    pub manifest_replay_lsn: AtomicU64,
    /// What freezing and merging make room for...
    pub scans: Arc<Scans>,
    /// ...unless somebody waits for them.
    pub hurry: Hurry,
    /// Held while a memtable is frozen.
    pub freezing: Mutex<()>,
    /// Memtables that are in segments by now: freed when nobody reads them any more.
    pub outdated: Mutex<Vec<Arc<Generation>>>,
    /// Held while segments are merged: whose were last.
    pub compacting: Mutex<Option<BranchTree>>,
    /// Told when frozen memtables have become segments.
    pub room: Condvar,
    pub room_lock: Mutex<()>,
    pub wake_freezer: Condvar,
    pub wake_compactor: Condvar,
    /// Why the last freeze failed, until one succeeds.
    pub freeze_failure: Mutex<Option<String>>,
    /// How long writing a byte of memory out took, last time...
    pub freeze_picos_per_byte: AtomicU64,
    /// ...and what commits have yet to wait for theirs.
    pub owed_micros: AtomicU64,
    pub stopping: AtomicBool,
    /// When the active memtable began: monotonic microseconds.
    generation_began: AtomicU64,
    txns: RwLock<FxHashMap<TxnId, Arc<Mutex<TxnBuffer>>>>,
    pub row_ids: Mutex<FxHashMap<TreeRef, u64>>,
    /// Whether any tree has had large values: most databases need not ask further.
    pub any_large: AtomicBool,
}

/// What changes with each log record, under the commit mutex.
#[derive(Default)]
pub(crate) struct CommitState {
    pub last_ts: CommitTs,
    pub counters: FxHashMap<SequenceId, u64>,
    /// Bulk loads whose records a restart may still replay.
    pub loads: Vec<Lsn>,
}

/// What recovery found, to begin with.
pub(crate) struct Beginning {
    pub version: Version,
    pub state: CommitState,
    pub next_tree: u64,
    pub next_segment: u64,
    pub manifest: Manifest,
    pub cache: Arc<BlockCache>,
    pub row_ids: FxHashMap<TreeRef, u64>,
}

impl Core {
    pub fn new(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        spawner: Spawner,
        options: ShardOptions,
        wal: Wal,
        beginning: Beginning,
    ) -> Core {
        let visibility = Arc::new(Visibility::new(options.canary));
        let row_cache = RowCache::new(row_cache_bytes(&options));
        let background_io = Arc::new(IoRate::new(clock.clone(), options.background_io_rate));
        let background_disk = ThrottledDisk::over(disk.clone(), background_io.clone());
        let scans = Arc::new(Scans::new(clock.clone()));
        let generation_began = AtomicU64::new(clock.monotonic().as_micros() as u64);
        let any_large = beginning.version.trees.keys().any(|(_, tree)| large::is_pieces_tree(*tree));
        Core {
            disk,
            clock,
            spawner,
            options,
            wal,
            visibility,
            horizon: Arc::default(),
            version: ArcSwap::from_pointee(beginning.version),
            commit: Mutex::new(beginning.state),
            counters: Counters::default(),
            next_txn: AtomicU64::new(1),
            next_tree: AtomicU64::new(beginning.next_tree),
            next_segment: Arc::new(AtomicU64::new(beginning.next_segment)),
            cache: beginning.cache,
            row_cache,
            background_io,
            background_disk,
            manifest_replay_lsn: AtomicU64::new(beginning.manifest.replay_lsn.0),
            manifest: Mutex::new(beginning.manifest),
            scans,
            hurry: Hurry::default(),
            freezing: Mutex::default(),
            outdated: Mutex::default(),
            compacting: Mutex::default(),
            room: Condvar::new(),
            room_lock: Mutex::default(),
            wake_freezer: Condvar::new(),
            wake_compactor: Condvar::new(),
            freeze_failure: Mutex::default(),
            freeze_picos_per_byte: AtomicU64::new(0),
            owed_micros: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            generation_began,
            txns: RwLock::default(),
            row_ids: Mutex::new(beginning.row_ids),
            any_large: AtomicBool::new(any_large),
        }
    }

    pub fn begin(&self, branch: BranchId) -> Result<TxnId> {
        if branch != BranchId(0) {
            return Err(Error::unsupported("writing to a branch"));
        }
        self.wal.check_fence()?;
        let id = TxnId(self.next_txn.fetch_add(1, Ordering::Relaxed));
        self.txns.write().insert(id, Arc::new(Mutex::new(TxnBuffer::new(branch))));
        self.wal.writer_began();
        Ok(id)
    }

    pub fn txn(&self, id: TxnId) -> Result<Arc<Mutex<TxnBuffer>>> {
        let found = self.txns.read().get(&id).cloned();
        found.ok_or_else(|| Error::internal(format!("transaction {id} is not open")))
    }

    pub fn stage_inserts(
        &self,
        txn: TxnId,
        command: CommandId,
        descriptor: &TreeDescriptorRef,
        rows: Vec<KeyedRow>,
    ) -> Result<()> {
        let buffer = self.txn(txn)?;
        let mut buffer = buffer.lock();
        let tree = (buffer.branch, descriptor.tree);
        buffer.insert(command, descriptor, rows, &|key| self.is_just_deleted(tree, key))?;
        self.spill_if_large(&mut buffer)
    }

    pub fn stage_writes(&self, txn: TxnId, command: CommandId, batch: WriteBatch) -> Result<()> {
        let buffer = self.txn(txn)?;
        let mut buffer = buffer.lock();
        buffer.write(command, batch)?;
        self.spill_if_large(&mut buffer)
    }

    pub fn end_txn(&self, id: TxnId) -> Option<Arc<Mutex<TxnBuffer>>> {
        let ended = self.txns.write().remove(&id);
        if ended.is_some() {
            self.wal.writer_ended();
        }
        ended
    }

    pub fn snapshot(&self, branch: BranchId) -> Snapshot {
        let pin = self.pin();
        Snapshot { ts: pin.ts, branch, pin: Arc::new(pin) }
    }

    /// Keeps this moment readable.
    pub fn pin(&self) -> Pin {
        self.horizon.pin(|| self.visibility.visible_ts())
    }

    /// Versions that ended at or before this are invisible to every snapshot, present and future.
    pub fn gc_horizon(&self) -> CommitTs {
        self.horizon.oldest(|| self.visibility.visible_ts())
    }

    /// The next commit timestamp: later than every other, and not before the clock.
    pub fn next_ts(&self, last: CommitTs) -> CommitTs {
        let micros = self.clock.now_micros().saturating_sub(EPOCH_2000_MICROS).max(0) as u64;
        CommitTs::from_micros(micros).max(last.next())
    }

    /// A tree as a reader sees it: committed shapes, then the transaction's own.
    pub fn tree_state(
        &self,
        version: &Version,
        txn: Option<TxnId>,
        snapshot: CommitTs,
        branch: BranchId,
        tree: TreeRef,
    ) -> Result<Arc<TreeState>> {
        let committed = version.tree((branch, tree), snapshot).cloned();
        let Some(txn) = txn else { return committed };
        let buffer = self.txn(txn)?;
        let buffer = buffer.lock();
        with_own(committed, buffer.descriptors(tree))
    }

    pub fn descriptor(&self, txn: Option<TxnId>, tree: TreeRef) -> Option<TreeDescriptorRef> {
        let mut branch = BranchId(0);
        if let Some(buffer) = txn.and_then(|txn| self.txn(txn).ok()) {
            let buffer = buffer.lock();
            branch = buffer.branch;
            if let Some(own) = buffer.descriptor(tree) {
                return own.cloned();
            }
        }
        let version = self.version.load();
        let state = version.trees.get(&(branch, tree)).filter(|state| state.dropped.is_none())?;
        Some(state.newest().descriptor.clone())
    }

    pub fn allocate_row_ids(&self, tree: TreeRef, count: u64) -> Result<u64> {
        let mut ids = self.row_ids.lock();
        let next = ids.entry(tree).or_insert(1);
        let first = *next;
        *next = first.checked_add(count).ok_or_else(|| Error::internal("row ids are used up"))?;
        Ok(first)
    }

    pub fn allocate_tree_id(&self) -> TreeId {
        TreeId(self.next_tree.fetch_add(1, Ordering::Relaxed))
    }

    /// Moves a counter and logs where it is; returns its value before.
    pub fn move_counter(&self, sequence: SequenceId, to: impl FnOnce(u64) -> Option<u64>) -> Result<u64> {
        let mut state = self.commit.lock();
        let before = state.counters.get(&sequence).copied().unwrap_or(0);
        let after = to(before).ok_or_else(|| Error::internal(format!("counter {sequence} is used up")))?;
        let ops = encode_counter(sequence, after);
        let lsn = self.wal.append(&NewRecord::new(RecordKind(KIND_COUNTER), &ops))?;
        state.counters.insert(sequence, after);
        self.visibility.applied(lsn, None);
        Ok(before)
    }

    pub fn replay_lsn(&self) -> Lsn {
        Lsn(self.manifest_replay_lsn.load(Ordering::Relaxed))
    }

    pub fn generation_began(&self, at: Duration) {
        self.generation_began.store(at.as_micros() as u64, Ordering::Relaxed);
    }

    pub fn generation_age(&self) -> Duration {
        let began = Duration::from_micros(self.generation_began.load(Ordering::Relaxed));
        self.clock.monotonic().saturating_sub(began)
    }

    /// No more acknowledgements, ever; what is visible stays readable.
    pub fn fence(&self, why: &str) {
        tracing::error!(why, "the shard is fenced");
        self.wal.fence(why);
        self.visibility.fence(why);
        self.room.notify_all();
    }

    pub fn segment_target(&self) -> SegmentTarget {
        SegmentTarget {
            disk: self.disk.clone(),
            ids: self.next_segment.clone(),
            segment_rows: self.options.segment_rows,
            block_rows: self.options.block_rows,
            canary: self.options.canary,
        }
    }

    /// As `segment_target`, at the rate of background work.
    pub fn background_target(&self) -> SegmentTarget {
        SegmentTarget { disk: self.background_disk.clone(), ..self.segment_target() }
    }

    /// Computes for long, on a thread that gives way: the caller keeps its share of the processors for what it does under locks.
    pub fn giving_way<T: Send>(&self, name: &str, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let niceness = if self.options.background { self.options.background_niceness } else { 0 };
        self.spawner.giving_way(name, niceness, work)?
    }

    /// Memory of what cannot be evicted of segments: filters, fences and zone maps, and delete vectors.
    fn segments_memory(version: &Version) -> (u64, u64) {
        let add = |(open, deletes): (u64, u64), segment: &Arc<Segment>| {
            (open + segment.reader.memory_bytes(), deletes + segment.deletes.memory_bytes())
        };
        version.all_segments().fold((0, 0), add)
    }

    /// Gives the block cache what the budget leaves beside everything else that is kept of segments; an eighth of the budget at
    /// least, without which nothing could be read.
    pub fn balance_memory(&self) {
        let (open, deletes) = Core::segments_memory(&self.version.load());
        let total = self.options.cache_bytes;
        let others = open + deletes + self.row_cache.bytes();
        self.cache.set_capacity(total.saturating_sub(others).max(total / 8));
    }

    /// Newest record whose effects are in memory, and the state it left, for a manifest.
    pub fn applied_lsn(&self) -> Lsn {
        self.visibility.applied_lsn()
    }

    pub fn metrics(&self) -> ShardMetrics {
        let version = self.version.load();
        let cache = self.cache.stats();
        let (segment_memory_bytes, delete_vector_bytes) = Core::segments_memory(&version);
        // One that is being written to right now is left out.
        let transaction_bytes =
            self.txns.read().values().filter_map(|buffer| Some(buffer.try_lock()?.held_bytes() as u64)).sum();
        let (row_cache_hits, row_cache_misses) = self.row_cache.counts();
        let mut tiers: BTreeMap<u8, (u64, u64)> = BTreeMap::new();
        for segment in version.all_segments() {
            let (count, bytes) = tiers.entry(segment.meta.level).or_default();
            *count += 1;
            *bytes += segment.meta.file_bytes;
        }
        let (log_files, log_spare_files) = self.wal.file_counts();
        ShardMetrics {
            tiers: tiers.into_iter().map(|(level, (count, bytes))| (level, count, bytes)).collect(),
            tree_segments_max: version.segments.values().map(|list| list.len() as u64).max().unwrap_or(0),
            log_appended_bytes: self.wal.appended_bytes(),
            log_files: log_files as u64,
            log_spare_files: log_spare_files as u64,
            log_syncs: self.wal.sync_times(),
            cache_capacity_bytes: cache.capacity_bytes,
            memtable_bytes: version.active.bytes() as u64,
            frozen_memtables: version.frozen.len() as u64,
            segments: version.all_segments().count() as u64,
            segment_bytes: version.all_segments().map(|segment| segment.meta.file_bytes).sum(),
            log_bytes: self.wal.bytes_since(Lsn(self.replay_lsn().0 + 1)),
            frozen_bytes: version.frozen.iter().map(|generation| generation.bytes() as u64).sum(),
            segment_memory_bytes,
            delete_vector_bytes,
            transaction_bytes,
            row_cache_hits,
            row_cache_misses,
            row_cache_bytes: self.row_cache.bytes(),
            cache_hits: cache.hits,
            cache_misses: cache.misses,
            cache_bytes: cache.bytes,
            open_snapshots: self.horizon.open_count() as u64,
            open_transactions: self.txns.read().len() as u64,
            fenced: self.wal.check_fence().is_err(),
            ..self.counters.read()
        }
    }

    /// What a tree takes, large values included.
    pub fn tree_size(&self, tree: TreeRef) -> TreeSize {
        let mut size = self.own_size(tree);
        if self.any_large.load(Ordering::Relaxed) {
            let pieces = self.own_size(large::pieces_tree(tree));
            size.memory_bytes += pieces.memory_bytes;
            size.disk_bytes += pieces.disk_bytes;
        }
        size
    }

    fn own_size(&self, tree: TreeRef) -> TreeSize {
        let version = self.version.load();
        let tree = (BranchId(0), tree);
        let mut size = TreeSize::default();
        for memtable in version.memtables().filter_map(|generation| generation.tree(tree)) {
            size.rows += memtable.live_rows() as u64;
            size.memory_bytes += memtable.bytes() as u64;
        }
        for segment in version.segments(tree).iter() {
            size.rows += u64::from(segment.meta.rows).saturating_sub(segment.deletes.count());
            size.disk_bytes += segment.meta.file_bytes;
        }
        size
    }
}

/// A tree's committed shapes, if any, followed by a transaction's own.
pub(crate) fn with_own<'a>(
    committed: Result<Arc<TreeState>>,
    own: impl Iterator<Item = &'a TreeDescriptorRef>,
) -> Result<Arc<TreeState>> {
    let mut state = committed;
    for descriptor in own {
        state = Ok(Arc::new(match state {
            Ok(state) => state.with(descriptor.clone())?,
            Err(_) => TreeState::new(descriptor.clone()),
        }));
    }
    state
}
