//! Readers' locks: beside everybody but who wants the tree for itself, whichever of them came first.

use std::sync::atomic::{AtomicI64, Ordering};

use heliosdb_contracts::{LockOwner, ReadLocks};
use heliosdb_runtime::{Entropy, Pool, RealClock, SeededEntropy};
use heliosdb_types::{SqlState, TreeId};

use super::*;

fn tree(n: u64) -> TreeRef {
    TreeRef { tree: TreeId(2000 + n), ..TREE }
}

impl Bench {
    fn reader(&self, n: u64) -> (LockOwner, Arc<dyn ReadLocks>) {
        let owner = self.shard.open_session(n as i32);
        (owner, self.shard.read_locks(TRUNK, owner))
    }

    fn shown(&self) -> Vec<(bool, bool)> {
        self.shard.locks(100).into_iter().map(|lock| (lock.granted, lock.fast)).collect()
    }
}

#[test]
fn who_wants_the_tree_waits_for_readers_and_they_for_it() {
    let bench = Bench::new();
    let ((_, first), (_, second)) = (bench.reader(1), bench.reader(2));
    assert!(first.try_lock(tree(1)) && first.try_lock(tree(2)) && second.try_lock(tree(1)));
    assert_eq!(bench.shown(), [(true, true); 3]);
    let ddl = bench.begin();
    now(bench.lock_tree(ddl, tree(1), TreeLockMode::Exclusive, FOREVER)).unwrap();
    let mut alone = bench.lock_tree(ddl, tree(1), TreeLockMode::AccessExclusive, FOREVER);
    assert!(waits(&mut alone));
    assert_eq!(bench.shown().iter().filter(|(_, fast)| *fast).count(), 1, "who is waited for is in the table");
    assert!(first.try_lock(tree(1)), "held already");
    let (_, third) = bench.reader(3);
    assert!(!third.try_lock(tree(1)), "behind who waits");
    assert!(third.try_lock(tree(3)));
    let mut late = third.lock(tree(1), FOREVER);
    assert!(waits(&mut late));
    first.back_to(1);
    assert!(waits(&mut alone) && waits(&mut late), "the first gave up another");
    first.back_to(0);
    assert!(waits(&mut alone));
    drop(second);
    now(alone).unwrap();
    assert!(waits(&mut late));
    bench.commit(ddl);
    now(late).unwrap();
    third.back_to(0);
    assert!(third.try_lock(tree(1)));
    assert_eq!(bench.shown(), [(true, true)], "and by itself again");
}

#[test]
fn a_wait_that_ends_leaves_readers_alone() {
    let bench = Bench::new();
    let (_, reader) = bench.reader(1);
    assert!(reader.try_lock(tree(1)));
    let ddl = bench.begin();
    let at_once = within(0);
    let refused = now(bench.lock_tree(ddl, tree(1), TreeLockMode::AccessExclusive, at_once)).unwrap_err();
    assert_eq!(refused.state(), SqlState::LOCK_NOT_AVAILABLE);
    let mut dropped = bench.lock_tree(ddl, tree(1), TreeLockMode::AccessExclusive, FOREVER);
    assert!(waits(&mut dropped));
    drop(dropped);
    let (_, other) = bench.reader(2);
    assert!(other.try_lock(tree(1)));
    assert_eq!(bench.shown().iter().filter(|(_, fast)| *fast).count(), 1, "no flag was left up");
    bench.commit(ddl);
}

#[test]
fn a_reader_who_waits_can_be_part_of_a_deadlock() {
    let bench = Bench::new();
    let (owner, reader) = bench.reader(1);
    let (other, second) = bench.reader(2);
    let (one, two) = (bench.shard.begin_in(TRUNK, owner).unwrap(), bench.shard.begin_in(TRUNK, other).unwrap());
    assert!(reader.try_lock(tree(1)) && second.try_lock(tree(2)));
    let mut first = bench.lock_tree(one, tree(2), TreeLockMode::AccessExclusive, FOREVER);
    assert!(waits(&mut first));
    assert_eq!(bench.shard.blockers(owner), [other]);
    let error = now(bench.lock_tree(two, tree(1), TreeLockMode::AccessExclusive, FOREVER)).unwrap_err();
    assert_eq!(error.state(), SqlState::DEADLOCK_DETECTED);
    bench.shard.rollback(two);
    second.back_to(0);
    now(first).unwrap();
    bench.shard.rollback(one);
}

#[test]
fn going_back_to_a_savepoint_keeps_what_was_read_before() {
    let bench = Bench::new();
    let (owner, reader) = bench.reader(1);
    let txn = bench.shard.begin_in(TRUNK, owner).unwrap();
    assert!(reader.try_lock(tree(1)));
    let savepoint = bench.shard.savepoint(txn, CommandId(1)).unwrap();
    now(bench.lock_tree(txn, tree(1), TreeLockMode::AccessExclusive, FOREVER)).unwrap();
    assert!(reader.try_lock(tree(1)));
    bench.shard.rollback_to(txn, savepoint).unwrap();
    let ddl = bench.begin();
    let mut alone = bench.lock_tree(ddl, tree(1), TreeLockMode::AccessExclusive, FOREVER);
    assert!(waits(&mut alone), "the reader is still there");
    bench.shard.rollback(txn);
    reader.back_to(0);
    now(alone).unwrap();
    bench.commit(ddl);
}

/// Readers and changers of a few trees on several threads: never both in one, and nothing is left at the end.
#[test]
fn nobody_reads_what_somebody_has_for_itself() {
    const TREES: u64 = 3;
    const ROUNDS: u64 = 3_000;
    let store = Arc::new(MockStore::default());
    let shard = Arc::new(Participant::new(store.clone(), Arc::new(RealClock::new()), TxnOptions::default()));
    // Readers inside, or -1000 and less for who has it alone.
    let inside: Arc<[AtomicI64; TREES as usize]> = Arc::default();
    let pool = Pool::new("readers", 4).unwrap();
    let mut tasks = Vec::new();
    for n in 0..8u64 {
        let (shard, inside) = (Arc::clone(&shard), Arc::clone(&inside));
        tasks.push(pool.spawner().task(async move {
            let rng = SeededEntropy::new(n);
            let owner = shard.open_session(n as i32);
            let reads = shard.read_locks(TRUNK, owner);
            let mut alone_at_once = 0;
            for _ in 0..ROUNDS {
                let at = rng.next_u64() % TREES;
                let count = &inside[at as usize];
                if n < 6 {
                    reads.lock(tree(at), FOREVER).await.unwrap();
                    assert!(count.fetch_add(1, Ordering::SeqCst) >= 0, "somebody has it for itself");
                    count.fetch_sub(1, Ordering::SeqCst);
                    reads.back_to(0);
                } else {
                    let txn = shard.begin_in(TRUNK, owner).unwrap();
                    shard.lock_tree(txn, tree(at), TreeLockMode::AccessExclusive, FOREVER).await.unwrap();
                    assert_eq!(count.swap(-1000, Ordering::SeqCst), 0, "somebody reads it, or has it");
                    alone_at_once += 1;
                    count.store(0, Ordering::SeqCst);
                    shard.rollback(txn);
                }
            }
            alone_at_once
        }));
    }
    let alone: u64 = tasks.into_iter().map(|task| pool.block_on(task).unwrap()).sum();
    assert_eq!(alone, 2 * ROUNDS);
    assert!(shard.is_quiet(), "{shard:?}");
}
