//! A shard as query and protocols see it. Local today, a remote call tomorrow: nothing here is a file or a pointer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use heliosdb_types::{
    BranchId, ColumnId, CommandId, CommitTs, DatabaseId, DatumRef, Lsn, Result, SequenceId, TreeRef, TxnId,
};

use crate::{
    BackupSource, Checked, RangeCursor, RangeRequest, RangeSink, RowHint, ScanRequest, SegmentFacts, TableScan,
    TreeDescriptorRef,
};

/// A moment reads see: every commit with a timestamp <= `ts`, nothing later. While a clone lives, storage keeps what it needs.
#[derive(Clone)]
pub struct Snapshot {
    pub ts: CommitTs,
    pub branch: BranchId,
    /// Keeps the garbage-collection horizon back; releases on drop.
    pub pin: Arc<dyn Send + Sync>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot({} on branch {})", self.ts, self.branch)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IsolationLevel {
    ReadCommitted,
    RepeatableRead,
    /// RepeatableRead whose outcome equals some serial order of all Serializable transactions.
    Serializable,
}

impl IsolationLevel {
    /// Whether all statements read by the snapshot of the first, so that a row changed since is a conflict.
    pub fn keeps_snapshot(self) -> bool {
        self != IsolationLevel::ReadCommitted
    }
}

/// What every read carries.
#[derive(Clone, Debug)]
pub struct ReadContext {
    /// The transaction whose own writes (of commands before `command`) are visible too.
    pub txn: Option<TxnId>,
    pub command: CommandId,
    pub snapshot: Snapshot,
    pub isolation: IsolationLevel,
}

/// Receives rows one at a time, values in projection order; what a point read writes into. Return an error to stop.
pub trait RowSink {
    fn row(&mut self, values: &[DatumRef<'_>], reference: RowHint) -> Result<()>;
}

/// Tells a sink of many rows the key of one.
pub(crate) struct OfKey<'a, 'b> {
    pub key: &'a [u8],
    pub sink: &'a mut RangeSink<'b>,
}

impl RowSink for OfKey<'_, '_> {
    fn row(&mut self, values: &[DatumRef<'_>], reference: RowHint) -> Result<()> {
        (self.sink)(self.key, values, reference)
    }
}

/// The answer of a read that hits memory almost always: no boxed future per hit.
pub enum MaybePending<T> {
    Ready(T),
    Pending(BoxFuture<'static, T>),
}

/// A row to be written: its tree key and its values as `heliosdb_types::encode_row` of the descriptor `version`.
#[derive(Clone, Debug)]
pub struct KeyedRow {
    pub key: Bytes,
    pub row: Bytes,
}

/// Writes to one tree within one command. Rows of `updates` and `deletes` must be locked by the transaction; their hints
/// spare storage a probe. An update keeps its key (a changed key is a delete and an insert).
#[derive(Clone, Debug)]
pub struct WriteBatch {
    /// The shape the rows were encoded with.
    pub descriptor: TreeDescriptorRef,
    pub updates: Vec<(KeyedRow, RowHint)>,
    pub deletes: Vec<(Bytes, RowHint)>,
}

/// Updates of some columns within one command; the others stay as they are in the rows' newest versions. Rows must be locked by
/// the transaction, and keep their keys.
#[derive(Clone, Debug)]
pub struct PatchBatch {
    /// The shape the rows get.
    pub descriptor: TreeDescriptorRef,
    /// Positions in the descriptor of the columns that change, ascending; none of the key.
    pub columns: Arc<[usize]>,
    /// Each row's key and `heliosdb_types::encode_row` of those columns alone.
    pub rows: Vec<(KeyedRow, RowHint)>,
}

/// Row-level locks, PostgreSQL's four, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RowLockMode {
    /// The key stays as it is: what a foreign key check takes. Excludes Update.
    KeyShare,
    /// The row stays as it is. Excludes NoKeyUpdate and Update.
    Share,
    /// Changes anything but the key. Excludes all but KeyShare.
    NoKeyUpdate,
    /// Deletes the row or changes its key. Excludes everything.
    Update,
}

/// Table-level locks, PostgreSQL's eight, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TreeLockMode {
    /// Readers; excludes AccessExclusive.
    AccessShare,
    /// SELECT FOR UPDATE and its kin; excludes Exclusive and AccessExclusive.
    RowShare,
    /// Writers of rows; excludes Share and everything above it.
    RowExclusive,
    /// Maintenance beside writers (VACUUM, CREATE INDEX CONCURRENTLY); excludes itself and everything above it.
    ShareUpdateExclusive,
    /// Stable contents; excludes writers.
    Share,
    /// Stable contents for one; excludes writers and itself.
    ShareRowExclusive,
    /// Everything but readers; lock escalation takes it.
    Exclusive,
    /// DDL; excludes everything.
    AccessExclusive,
}

impl TreeLockMode {
    /// The modes nobody else may hold beside this one, as bits in the order above.
    pub const fn excluded(self) -> u8 {
        match self {
            TreeLockMode::AccessShare => 0b1000_0000,
            TreeLockMode::RowShare => 0b1100_0000,
            TreeLockMode::RowExclusive => 0b1111_0000,
            TreeLockMode::ShareUpdateExclusive => 0b1111_1000,
            TreeLockMode::Share => 0b1110_1100,
            TreeLockMode::ShareRowExclusive => 0b1111_1100,
            TreeLockMode::Exclusive => 0b1111_1110,
            TreeLockMode::AccessExclusive => 0b1111_1111,
        }
    }

    /// PostgreSQL's name, as `pg_locks` has it.
    pub const fn name(self) -> &'static str {
        match self {
            TreeLockMode::AccessShare => "AccessShareLock",
            TreeLockMode::RowShare => "RowShareLock",
            TreeLockMode::RowExclusive => "RowExclusiveLock",
            TreeLockMode::ShareUpdateExclusive => "ShareUpdateExclusiveLock",
            TreeLockMode::Share => "ShareLock",
            TreeLockMode::ShareRowExclusive => "ShareRowExclusiveLock",
            TreeLockMode::Exclusive => "ExclusiveLock",
            TreeLockMode::AccessExclusive => "AccessExclusiveLock",
        }
    }

    pub const fn excludes(self, other: TreeLockMode) -> bool {
        self.excluded() & (1 << other as u8) != 0
    }
}

/// How long to wait for a lock, and what to do instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockWait {
    /// `None`: as long as it takes (deadlocks are still found).
    pub timeout: Option<Duration>,
    pub policy: LockPolicy,
    /// How long a wait lasts before it is checked for a deadlock.
    pub deadlock_after: Duration,
}

/// What to do about a lock that is not free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LockPolicy {
    #[default]
    Wait,
    /// 55P03 for a tree; [`LockedRow::Busy`] for a row, and no row after it is locked.
    NoWait,
    /// [`LockedRow::Busy`] for a row, and on with the next. Trees are waited for.
    SkipLocked,
}

impl LockWait {
    /// As long as it takes.
    pub const FOREVER: LockWait =
        LockWait { timeout: None, policy: LockPolicy::Wait, deadlock_after: Duration::from_secs(1) };
}

impl Default for LockWait {
    fn default() -> LockWait {
        LockWait::FOREVER
    }
}

/// Who holds locks: a session across its transactions, or a transaction by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LockOwner(pub u64);

impl LockOwner {
    const TRANSACTION: u64 = 1 << 63;

    /// The `n`th session opened, with the process id its client knows.
    pub fn session(n: u64, pid: i32) -> LockOwner {
        LockOwner((n << 32 | u64::from(pid.cast_unsigned())) & !LockOwner::TRANSACTION)
    }

    pub fn transaction(txn: TxnId) -> LockOwner {
        LockOwner(txn.0 | LockOwner::TRANSACTION)
    }

    /// The process id of a session.
    pub fn pid(self) -> Option<i32> {
        (self.0 & LockOwner::TRANSACTION == 0).then_some((self.0 as u32).cast_signed())
    }
}

impl fmt::Display for LockOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid() {
            Some(pid) => write!(f, "process {pid}"),
            None => write!(f, "transaction {}", self.0 & !LockOwner::TRANSACTION),
        }
    }
}

/// The name of an advisory lock: whatever applications agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AdvisoryKey {
    pub database: DatabaseId,
    /// The high half of a bigint key, or the first of two.
    pub class: u32,
    /// The low half, or the second of two.
    pub object: u32,
    /// 1: one bigint; 2: two integers.
    pub kind: u16,
}

/// How many writers are waited for, and how many of them have ended by now.
#[derive(Clone)]
pub struct AwaitedWriters(pub Arc<dyn Fn() -> (u64, u64) + Send + Sync>);

impl fmt::Debug for AwaitedWriters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AwaitedWriters{:?}", (self.0)())
    }
}

/// What a lock is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockObject {
    Tree(TreeRef),
    Row(TreeRef, Bytes),
    Advisory(AdvisoryKey),
}

/// A lock held or waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockInfo {
    pub owner: LockOwner,
    pub object: LockObject,
    pub mode: TreeLockMode,
    pub granted: bool,
    /// A reader's, which only the reader has noted.
    pub fast: bool,
}

/// The trees a session's statements read: locked against AccessExclusive, in the order taken, until they are given up. They are
/// the session's, whether or not it has a transaction at the shard; dropping this gives up all.
pub trait ReadLocks: Send + Sync + 'static {
    /// Locks a tree if nobody is in the way.
    fn try_lock(&self, tree: TreeRef) -> bool;

    /// Locks a tree, waiting as long as `wait` allows. Errors: 55P03 timed out, 40P01 deadlock.
    fn lock(&self, tree: TreeRef, wait: LockWait) -> BoxFuture<'_, Result<()>>;

    /// How many trees are locked.
    fn mark(&self) -> usize;

    /// Gives up all but the first `mark`.
    fn back_to(&self, mark: usize);
}

/// A moment inside a transaction to which it may be rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Savepoint {
    /// The first command after it.
    pub command: CommandId,
    /// Locks taken by then, as the participant counts them.
    pub locks: u64,
}

/// What a locked row looks like now, beside what the statement's snapshot saw.
#[derive(Clone, Debug)]
pub enum LockedRow {
    /// The newest version is the one the snapshot sees (or the transaction's own).
    Unchanged,
    /// Somebody committed a newer version after the snapshot; here it is, to be re-evaluated (READ COMMITTED).
    Newer { row: Bytes, descriptor: TreeDescriptorRef, hint: RowHint },
    /// Deleted since the snapshot.
    Gone,
    /// Somebody else has it locked, and the request would not wait ([`LockPolicy`]).
    Busy,
}

/// The outcome of inserting a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InsertOutcome {
    Inserted,
    /// `rows[index]`'s key exists (committed, or written by this transaction); nothing of the batch was staged.
    Duplicate {
        index: usize,
    },
}

/// A shard: everything compute may ask of storage.
///
/// A transaction is an id; whoever began it must commit or roll it back. Methods that only touch memory are plain functions.
pub trait ShardClient: Send + Sync + 'static {
    fn begin(&self, branch: BranchId) -> Result<TxnId>;

    /// Opens a session: all its transactions hold their locks as one.
    fn open_session(&self, pid: i32) -> LockOwner;

    /// Where a session's readers lock; one for each session.
    fn read_locks(&self, branch: BranchId, session: LockOwner) -> Arc<dyn ReadLocks>;

    /// Begins a transaction of a session, which has no other.
    fn begin_in(&self, branch: BranchId, session: LockOwner) -> Result<TxnId>;

    /// Makes a transaction that has done nothing yet serializable, and takes its snapshot.
    fn begin_serializable(&self, txn: TxnId, read_only: bool) -> Result<Snapshot>;

    /// The same for a read-only transaction, with a snapshot that needs no watching: waits until there is one.
    fn safe_snapshot(&self, txn: TxnId) -> BoxFuture<'_, Result<Snapshot>>;

    /// A snapshot of everything acknowledged so far.
    fn snapshot(&self, branch: BranchId) -> Snapshot;

    /// One row by key, as `context` sees it. `true` if there was one.
    fn get(
        &self,
        context: &ReadContext,
        tree: TreeRef,
        key: &[u8],
        projection: &[ColumnId],
        sink: &mut dyn RowSink,
    ) -> Result<bool>;

    /// Rows by their keys, in the order of these, as `context` sees them; keys without a row are passed over.
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

    /// Rows in the order of their keys, as `context` sees them.
    fn range(&self, context: &ReadContext, request: &RangeRequest) -> Result<Box<dyn RangeCursor>>;

    /// The newest descriptor of a tree that `txn` sees; `None` if there is no such tree.
    fn descriptor(&self, txn: Option<TxnId>, tree: TreeRef) -> Option<TreeDescriptorRef>;

    /// Locks rows in the order given and reports what each is now, compared with `context.snapshot`.
    fn lock_rows<'a>(
        &'a self,
        context: &'a ReadContext,
        tree: TreeRef,
        keys: Vec<Bytes>,
        mode: RowLockMode,
        wait: LockWait,
    ) -> BoxFuture<'a, Result<Vec<LockedRow>>>;

    /// Locks a whole tree until the transaction ends.
    fn lock_tree<'a>(
        &'a self,
        txn: TxnId,
        tree: TreeRef,
        mode: TreeLockMode,
        wait: LockWait,
    ) -> BoxFuture<'a, Result<()>>;

    /// Takes an advisory lock for a session, shared or not; false if it is not free and `wait` says not to wait. Taken n
    /// times, it is held until it has been given up n times.
    fn lock_advisory<'a>(
        &'a self,
        session: LockOwner,
        key: AdvisoryKey,
        exclusive: bool,
        wait: LockWait,
    ) -> BoxFuture<'a, Result<bool>>;

    /// Gives up an advisory lock once; false if the session does not hold it so.
    fn unlock_advisory(&self, session: LockOwner, key: AdvisoryKey, exclusive: bool) -> bool;

    /// Waits until every transaction that holds a writer's lock on a tree now (other than the session's own) has ended, while
    /// others may come. `told` gets a count of them that goes on. 40P01 if one of them waits for the session.
    fn await_writers<'a>(
        &'a self,
        tree: TreeRef,
        session: LockOwner,
        wait: LockWait,
        told: &'a (dyn Fn(AwaitedWriters) + Send + Sync),
    ) -> BoxFuture<'a, Result<()>>;

    /// What is locked and waited for: trees and advisory locks, and rows somebody waits for. No more than `most`.
    fn locks(&self, most: usize) -> Vec<LockInfo>;

    /// For whom a session waits now, if it does.
    fn blockers(&self, session: LockOwner) -> Vec<LockOwner>;

    /// Locks the keys, checks that none exists, and stages the rows: all or nothing.
    fn insert<'a>(
        &'a self,
        txn: TxnId,
        command: CommandId,
        descriptor: TreeDescriptorRef,
        rows: Vec<KeyedRow>,
        wait: LockWait,
    ) -> BoxFuture<'a, Result<InsertOutcome>>;

    /// The newest version of a key, committed by anybody or written by the transaction itself, whatever any snapshot sees: what
    /// uniqueness and references are checked against. Takes no lock. `true` if there is one.
    fn newest(
        &self,
        txn: TxnId,
        tree: TreeRef,
        key: &[u8],
        projection: &[ColumnId],
        sink: &mut dyn RowSink,
    ) -> Result<bool>;

    /// Locks a key that must not exist, waiting for whoever holds it; false (and no new lock is kept) if it does exist.
    fn claim<'a>(&'a self, txn: TxnId, tree: TreeRef, key: Bytes, wait: LockWait) -> BoxFuture<'a, Result<bool>>;

    /// Stages entries whose keys contain the key of a row that the transaction has locked: they need no locks of their own. A
    /// key that is put does not exist, one that is deleted does.
    fn write_entries(
        &self,
        txn: TxnId,
        command: CommandId,
        descriptor: TreeDescriptorRef,
        puts: Vec<KeyedRow>,
        deletes: Vec<Bytes>,
    ) -> Result<()>;

    /// Stages updates and deletes of rows the transaction has locked.
    fn write(&self, txn: TxnId, command: CommandId, batch: WriteBatch) -> Result<()>;

    /// Stages updates that leave columns as they are, of rows the transaction has locked: these columns need not be read.
    fn patch(&self, txn: TxnId, command: CommandId, batch: PatchBatch) -> Result<()>;

    /// Creates a tree, or gives it a new version; takes effect with the commit. Needs AccessExclusive; a version that only differs
    /// in its number (so that writers look at the catalog again) needs ShareUpdateExclusive.
    fn define_tree(&self, txn: TxnId, command: CommandId, descriptor: TreeDescriptorRef) -> Result<()>;

    fn drop_tree(&self, txn: TxnId, command: CommandId, tree: TreeRef) -> Result<()>;

    /// Makes the transaction durable and visible, then returns. Only after that may success be acknowledged.
    fn commit(&self, txn: TxnId) -> BoxFuture<'_, Result<CommitTs>>;

    fn rollback(&self, txn: TxnId);

    /// Marks a moment: `command` is the first one after it.
    fn savepoint(&self, txn: TxnId, command: CommandId) -> Result<Savepoint>;

    /// Undoes every command from the savepoint on and gives up the locks taken since. The savepoint stays; those after it
    /// are gone. Commands undone are not used again.
    fn rollback_to(&self, txn: TxnId, savepoint: Savepoint) -> Result<()>;

    /// Forgets a savepoint and those after it; what was done since stays.
    fn release_savepoint(&self, txn: TxnId, savepoint: Savepoint) -> Result<()>;

    /// Waits until everything a reply of this transaction may have been built on is durable.
    fn settle(&self, txn: TxnId) -> BoxFuture<'_, Result<()>>;

    /// Waits until every commit that has released its locks by now is visible to new snapshots.
    fn settle_all(&self) -> BoxFuture<'_, Result<()>>;

    /// `count` hidden row ids of a tree, never given out before; returns the first.
    fn allocate_row_ids(&self, tree: TreeRef, count: u64) -> Result<u64>;

    /// A tree id never used before in the shard, >= [`TreeRef::FIRST_USER_TREE`]; durable with the commit that uses it.
    fn allocate_tree_id(&self) -> Result<heliosdb_types::TreeId>;

    /// Durable counters behind sequences and OIDs, outside transactions: reserves `count` steps and returns the counter's value
    /// before (0 the first time). A reservation is logged; a crash may skip values, never repeats one a commit used.
    fn reserve_sequence(&self, sequence: SequenceId, count: u64) -> Result<u64>;

    /// Sets a counter (setval, RESTART); logged as a reservation is.
    fn set_sequence(&self, sequence: SequenceId, value: u64) -> Result<()>;

    /// Timestamp of the last visible commit that touched a system tree: the catalog's version.
    fn catalog_ts(&self) -> CommitTs;

    /// Tells freezing and compaction to settle now (CHECKPOINT, VACUUM): everything durable in segments, merged where it pays.
    fn checkpoint(&self, compact: bool) -> BoxFuture<'_, Result<()>>;

    /// Rows and bytes of a tree, approximately, for planning and `\d+`.
    fn tree_size(&self, tree: TreeRef) -> TreeSize;

    /// What the segments of a tree hold, oldest first, and after them those with pieces of its large values, which say a tree of
    /// their own. Reads a little of each file the first time.
    fn segments(&self, tree: TreeRef) -> Result<Vec<SegmentFacts>>;

    /// Every tree there is, dropped ones aside.
    fn trees(&self) -> Vec<TreeRef>;

    /// Reads every byte that counts and looks whether it is what it must be. `stop` is asked now and then and ends it with
    /// its error.
    fn check<'a>(&'a self, stop: Arc<dyn Fn() -> Result<()> + Send + Sync>) -> BoxFuture<'a, Result<Checked>>;

    /// Begins a copy of everything visible now. Waits for what is being written to the manifest.
    fn backup(&self) -> BoxFuture<'_, Result<Box<dyn BackupSource>>>;
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeSize {
    pub rows: u64,
    pub disk_bytes: u64,
    pub memory_bytes: u64,
}

/// A commit that is in the log's buffer: applied, ordered, not yet durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendedCommit {
    pub ts: CommitTs,
    pub lsn: Lsn,
}
