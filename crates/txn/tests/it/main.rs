//! The participant over a store in memory: locks as SQL sees them, commit order, and a storm of concurrent transfers.
#![allow(clippy::unwrap_used)]

mod locking;
mod mock;
mod ordering;
mod readers;
mod serializable;
mod stress;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use heliosdb_contracts::{
    InsertOutcome, IsolationLevel, KeyedRow, LockWait, LockedRow, ReadContext, RowHint, RowLockMode, RowSink,
    ShardClient, TreeLockMode, WriteBatch,
};
use heliosdb_runtime::SimClock;
use heliosdb_txn::{Participant, TxnOptions};
use heliosdb_types::{BranchId, CommandId, DatumRef, Result, TreeRef, TxnId};
use mock::{MockStore, TREE, descriptor};

const TRUNK: BranchId = BranchId(0);
const FOREVER: LockWait = LockWait { deadlock_after: Duration::ZERO, ..LockWait::FOREVER };

fn within(millis: u64) -> LockWait {
    LockWait { timeout: Some(Duration::from_millis(millis)), ..FOREVER }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn keyed(key: &str, row: &str) -> KeyedRow {
    KeyedRow { key: bytes(key), row: bytes(row) }
}

/// A shard with a participant, a store and a clock that stands still.
struct Bench {
    shard: Arc<Participant>,
    store: Arc<MockStore>,
    clock: SimClock,
}

impl Bench {
    fn new() -> Bench {
        Bench::with(TxnOptions::default())
    }

    fn with(options: TxnOptions) -> Bench {
        let (store, clock) = (Arc::new(MockStore::default()), SimClock::new(0));
        let shard = Arc::new(Participant::new(store.clone(), Arc::new(clock.clone()), options));
        Bench { shard, store, clock }
    }

    /// With committed rows whose values are their keys.
    fn holding(keys: &[&str]) -> Bench {
        let bench = Bench::new();
        bench.load(keys);
        bench
    }

    fn load(&self, keys: &[&str]) {
        let txn = self.begin();
        let rows = keys.iter().map(|key| keyed(key, key)).collect();
        assert_eq!(now(self.insert(txn, rows)).unwrap(), InsertOutcome::Inserted);
        now(self.shard.commit(txn)).unwrap();
    }

    fn begin(&self) -> TxnId {
        self.shard.begin(TRUNK).unwrap()
    }

    fn context(&self, txn: TxnId) -> ReadContext {
        ReadContext {
            txn: Some(txn),
            command: CommandId(1),
            snapshot: self.shard.snapshot(TRUNK),
            isolation: IsolationLevel::ReadCommitted,
        }
    }

    /// Locks rows with a snapshot of now.
    fn lock(
        &self,
        txn: TxnId,
        keys: &[&str],
        mode: RowLockMode,
        wait: LockWait,
    ) -> BoxFuture<'static, Result<Vec<LockedRow>>> {
        let (shard, context) = (self.shard.clone(), self.context(txn));
        let keys = keys.iter().map(|key| bytes(key)).collect();
        async move { shard.lock_rows(&context, TREE, keys, mode, wait).await }.boxed()
    }

    fn exclusive(&self, txn: TxnId, keys: &[&str]) -> BoxFuture<'static, Result<Vec<LockedRow>>> {
        self.lock(txn, keys, RowLockMode::Update, FOREVER)
    }

    fn lock_tree(
        &self,
        txn: TxnId,
        tree: TreeRef,
        mode: TreeLockMode,
        wait: LockWait,
    ) -> BoxFuture<'static, Result<()>> {
        let shard = self.shard.clone();
        async move { shard.lock_tree(txn, tree, mode, wait).await }.boxed()
    }

    fn insert(&self, txn: TxnId, rows: Vec<KeyedRow>) -> BoxFuture<'static, Result<InsertOutcome>> {
        let shard = self.shard.clone();
        async move { shard.insert(txn, CommandId(1), descriptor(TREE), rows, FOREVER).await }.boxed()
    }

    fn update(&self, txn: TxnId, key: &str, row: &str) -> Result<()> {
        let updates = vec![(keyed(key, row), RowHint::default())];
        let batch = WriteBatch { descriptor: descriptor(TREE), updates, deletes: Vec::new() };
        self.shard.write(txn, CommandId(1), batch)
    }

    fn delete(&self, txn: TxnId, key: &str) -> Result<()> {
        let deletes = vec![(bytes(key), RowHint::default())];
        let batch = WriteBatch { descriptor: descriptor(TREE), updates: Vec::new(), deletes };
        self.shard.write(txn, CommandId(1), batch)
    }

    fn read(&self, txn: TxnId, key: &str) -> Option<String> {
        struct Sink(Option<String>);
        impl RowSink for Sink {
            fn row(&mut self, values: &[DatumRef<'_>], _reference: RowHint) -> Result<()> {
                if let Some(DatumRef::Bytes(value)) = values.first() {
                    self.0 = Some(String::from_utf8_lossy(value).into_owned());
                }
                Ok(())
            }
        }
        let mut sink = Sink(None);
        self.shard.get(&self.context(txn), TREE, key.as_bytes(), &[], &mut sink).unwrap();
        sink.0
    }

    fn commit(&self, txn: TxnId) {
        now(self.shard.commit(txn)).unwrap();
    }
}

impl Drop for Bench {
    /// Every test ends with nothing locked and nobody waiting.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.shard.is_quiet(), "{:?}", self.shard);
            assert_eq!(self.shard.lock_stats().row_locks, 0);
            assert_eq!(self.store.staged_transactions(), 0);
        }
    }
}

/// The output of a future that must not wait.
#[track_caller]
fn now<F: Future>(future: F) -> F::Output {
    future.now_or_never().expect("it would have to wait")
}

/// Whether a future still waits.
fn waits<F: Future + Unpin>(future: &mut F) -> bool {
    future.now_or_never().is_none()
}
