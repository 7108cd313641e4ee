//! Waiting, fairness, timeouts, cancellation, deadlocks, escalation.

use super::*;
use heliosdb_contracts::{LockPolicy, TreeDescriptor, TreeKey};
use heliosdb_types::{ErrorKind, SqlState, TreeId};

#[test]
fn a_writer_waits_for_the_row_and_then_sees_the_newest() {
    let bench = Bench::holding(&["a", "b"]);
    let (one, two) = (bench.begin(), bench.begin());
    assert!(matches!(now(bench.exclusive(one, &["a"])).unwrap()[..], [LockedRow::Unchanged]));
    bench.update(one, "a", "changed").unwrap();
    let mut waiter = bench.exclusive(two, &["b", "a"]);
    assert!(waits(&mut waiter));
    bench.commit(one);
    let rows = now(waiter).unwrap();
    match &rows[..] {
        [LockedRow::Unchanged, LockedRow::Newer { row, .. }] => assert_eq!(&row[..], b"changed"),
        other => panic!("{other:?}"),
    }
    bench.update(two, "a", "again").unwrap();
    bench.commit(two);
    assert_eq!(bench.store.value("a").unwrap(), "again");
}

#[test]
fn a_row_that_was_rolled_back_is_unchanged_and_a_deleted_one_gone() {
    let bench = Bench::holding(&["a", "b"]);
    let (one, two, three) = (bench.begin(), bench.begin(), bench.begin());
    now(bench.exclusive(one, &["a"])).unwrap();
    bench.update(one, "a", "never").unwrap();
    let mut waiter = bench.exclusive(two, &["a"]);
    assert!(waits(&mut waiter));
    bench.shard.rollback(one);
    assert!(matches!(now(waiter).unwrap()[..], [LockedRow::Unchanged]));
    bench.delete(two, "a").unwrap();
    assert!(matches!(now(bench.exclusive(two, &["a"])).unwrap()[..], [LockedRow::Gone]), "deleted by itself");
    let mut waiter = bench.exclusive(three, &["a"]);
    assert!(waits(&mut waiter));
    bench.commit(two);
    assert!(matches!(now(waiter).unwrap()[..], [LockedRow::Gone]));
    bench.commit(three);
}

#[test]
fn sharers_share_and_a_writer_between_them_is_not_starved() {
    let bench = Bench::holding(&["a"]);
    let [one, two, three, four] = std::array::from_fn(|_| bench.begin());
    let share = |txn| bench.lock(txn, &["a"], RowLockMode::Share, FOREVER);
    now(share(one)).unwrap();
    now(share(two)).unwrap();
    let mut writer = bench.exclusive(three, &["a"]);
    assert!(waits(&mut writer));
    let mut late = share(four);
    assert!(waits(&mut late), "behind the writer");
    bench.commit(one);
    assert!(waits(&mut writer));
    bench.commit(two);
    now(writer).unwrap();
    assert!(waits(&mut late));
    bench.commit(three);
    now(late).unwrap();
    bench.commit(four);
}

#[test]
fn writers_are_served_in_the_order_they_came() {
    let bench = Bench::holding(&["a"]);
    let holder = bench.begin();
    now(bench.exclusive(holder, &["a"])).unwrap();
    let line: Vec<TxnId> = (0..10).map(|_| bench.begin()).collect();
    let mut waiters: Vec<_> = line.iter().map(|txn| bench.exclusive(*txn, &["a"])).collect();
    assert!(waiters.iter_mut().all(waits));
    assert_eq!(bench.shard.lock_stats().waiting, 10);
    bench.commit(holder);
    for (at, txn) in line.iter().enumerate() {
        now(&mut waiters[at]).unwrap();
        assert!(waiters[at + 1..].iter_mut().all(waits), "after {at}");
        bench.commit(*txn);
    }
}

#[test]
fn a_wait_times_out_with_postgresqls_words() {
    let bench = Bench::holding(&["a"]);
    let (one, two) = (bench.begin(), bench.begin());
    now(bench.exclusive(one, &["a"])).unwrap();
    let at_once = now(bench.lock(two, &["a"], RowLockMode::Update, within(0))).unwrap_err();
    assert_eq!(at_once.state(), SqlState::LOCK_NOT_AVAILABLE);
    let mut waiter = bench.lock(two, &["a"], RowLockMode::Update, within(1000));
    assert!(waits(&mut waiter));
    bench.clock.advance(Duration::from_millis(999));
    assert!(waits(&mut waiter));
    bench.clock.advance(Duration::from_millis(1));
    let error = now(waiter).unwrap_err();
    assert_eq!((error.kind(), error.state()), (ErrorKind::Retry, SqlState::LOCK_NOT_AVAILABLE));
    assert_eq!(error.message(), "canceling statement due to lock timeout");
    let stats = bench.shard.lock_stats();
    assert_eq!((stats.timeouts, stats.waiting), (2, 0));
    bench.shard.rollback(two);
    bench.commit(one);
}

#[test]
fn a_dropped_wait_leaves_the_line_and_lets_the_next_in() {
    let bench = Bench::holding(&["a"]);
    let [one, two, three] = std::array::from_fn(|_| bench.begin());
    now(bench.lock(one, &["a"], RowLockMode::Share, FOREVER)).unwrap();
    let mut writer = bench.exclusive(two, &["a"]);
    let mut reader = bench.lock(three, &["a"], RowLockMode::Share, FOREVER);
    assert!(waits(&mut writer) && waits(&mut reader));
    drop(writer);
    now(reader).unwrap();
    [one, two, three].into_iter().for_each(|txn| bench.shard.rollback(txn));
}

#[test]
fn a_lock_granted_to_a_dropped_wait_is_given_back() {
    let bench = Bench::holding(&["a"]);
    let [one, two, three] = std::array::from_fn(|_| bench.begin());
    now(bench.exclusive(one, &["a"])).unwrap();
    let mut second = bench.exclusive(two, &["a"]);
    let mut third = bench.exclusive(three, &["a"]);
    assert!(waits(&mut second) && waits(&mut third));
    bench.commit(one);
    drop(second); // granted, never polled again
    now(third).unwrap();
    bench.commit(three);
    bench.shard.rollback(two);
}

#[test]
fn a_transaction_may_wait_in_two_places_at_once() {
    let bench = Bench::holding(&["a", "b"]);
    let (one, two) = (bench.begin(), bench.begin());
    now(bench.exclusive(one, &["a", "b"])).unwrap();
    let mut first = bench.exclusive(two, &["a"]);
    assert!(waits(&mut first));
    let mut second = bench.exclusive(two, &["b"]);
    assert!(waits(&mut second));
    bench.commit(one);
    now(first).unwrap();
    now(second).unwrap();
    bench.commit(two);
    assert!(bench.shard.is_quiet());
}

#[test]
fn two_that_wait_for_each_other_are_a_deadlock() {
    let bench = Bench::holding(&["a", "b"]);
    let (one, two) = (bench.begin(), bench.begin());
    now(bench.exclusive(one, &["a"])).unwrap();
    now(bench.exclusive(two, &["b"])).unwrap();
    let mut first = bench.exclusive(one, &["b"]);
    assert!(waits(&mut first));
    let error = now(bench.exclusive(two, &["a"])).unwrap_err();
    assert_eq!((error.state(), error.message()), (SqlState::DEADLOCK_DETECTED, "deadlock detected"));
    let detail = format!(
        "Transaction {two} waits for AccessExclusiveLock on row \\x61 of tree 1/2000; blocked by transaction {one}.\n\
         Transaction {one} waits for AccessExclusiveLock on row \\x62 of tree 1/2000; blocked by transaction {two}."
    );
    assert_eq!(error.detail(), Some(&*detail));
    assert!(waits(&mut first), "the other one goes on waiting");
    bench.shard.rollback(two);
    now(first).unwrap();
    bench.commit(one);
    assert_eq!(bench.shard.lock_stats().deadlocks, 1);
}

#[test]
fn a_ring_of_three_is_broken_by_the_last() {
    let bench = Bench::holding(&["a", "b", "c"]);
    let [one, two, three] = std::array::from_fn(|_| bench.begin());
    for (txn, key) in [(one, "a"), (two, "b"), (three, "c")] {
        now(bench.exclusive(txn, &[key])).unwrap();
    }
    let mut first = bench.exclusive(one, &["b"]);
    let mut second = bench.exclusive(two, &["c"]);
    assert!(waits(&mut first) && waits(&mut second));
    let error = now(bench.exclusive(three, &["a"])).unwrap_err();
    assert_eq!(error.detail().unwrap().lines().count(), 3);
    bench.shard.rollback(three);
    now(second).unwrap();
    bench.commit(two);
    now(first).unwrap();
    bench.commit(one);
}

#[test]
fn two_sharers_that_both_want_more_are_a_deadlock() {
    let bench = Bench::holding(&["a"]);
    let (one, two) = (bench.begin(), bench.begin());
    now(bench.lock(one, &["a"], RowLockMode::Share, FOREVER)).unwrap();
    now(bench.lock(two, &["a"], RowLockMode::Share, FOREVER)).unwrap();
    let mut first = bench.exclusive(one, &["a"]);
    assert!(waits(&mut first));
    assert_eq!(now(bench.exclusive(two, &["a"])).unwrap_err().state(), SqlState::DEADLOCK_DETECTED);
    bench.shard.rollback(two);
    now(first).unwrap();
    bench.commit(one);
}

/// A cycle that runs through a place in line, not through a holder: 3 waits behind 2, 2 waits for 1, 1 for 3.
#[test]
fn waiting_behind_somebody_counts_as_waiting_for_them() {
    let bench = Bench::holding(&["a", "b"]);
    let [one, two, three] = std::array::from_fn(|_| bench.begin());
    now(bench.lock(one, &["a"], RowLockMode::Share, FOREVER)).unwrap();
    now(bench.exclusive(three, &["b"])).unwrap();
    let mut second = bench.exclusive(two, &["a"]);
    let mut third = bench.lock(three, &["a"], RowLockMode::Share, FOREVER);
    assert!(waits(&mut second) && waits(&mut third));
    let error = now(bench.exclusive(one, &["b"])).unwrap_err();
    assert_eq!(error.state(), SqlState::DEADLOCK_DETECTED);
    bench.shard.rollback(one);
    now(second).unwrap();
    bench.commit(two);
    now(third).unwrap();
    bench.commit(three);
}

#[test]
fn a_deadlock_between_a_tree_and_a_row_is_found() {
    let bench = Bench::holding(&["a"]);
    let (one, two) = (bench.begin(), bench.begin());
    now(bench.exclusive(one, &["a"])).unwrap();
    let mut other = TREE;
    other.tree = TreeId(3000);
    now(bench.lock_tree(two, other, TreeLockMode::AccessExclusive, FOREVER)).unwrap();
    let mut ddl = bench.lock_tree(two, TREE, TreeLockMode::AccessExclusive, FOREVER);
    assert!(waits(&mut ddl));
    let error = now(bench.lock_tree(one, other, TreeLockMode::AccessShare, FOREVER)).unwrap_err();
    assert_eq!(error.state(), SqlState::DEADLOCK_DETECTED);
    bench.shard.rollback(one);
    now(ddl).unwrap();
    bench.commit(two);
}

#[test]
fn ddl_excludes_readers_and_writers_and_the_other_way_round() {
    let bench = Bench::holding(&["a"]);
    let [one, two, three] = std::array::from_fn(|_| bench.begin());
    now(bench.lock_tree(one, TREE, TreeLockMode::AccessShare, FOREVER)).unwrap();
    now(bench.exclusive(two, &["a"])).unwrap();
    let mut ddl = bench.lock_tree(three, TREE, TreeLockMode::AccessExclusive, FOREVER);
    assert!(waits(&mut ddl));
    let unlocked = bench.shard.drop_tree(three, CommandId(1), TREE).unwrap_err();
    assert_eq!(unlocked.kind(), ErrorKind::Internal, "not without the lock");
    bench.commit(one);
    assert!(waits(&mut ddl));
    bench.commit(two);
    now(ddl).unwrap();
    bench.shard.drop_tree(three, CommandId(1), TREE).unwrap();
    let late = bench.begin();
    let mut read = bench.lock_tree(late, TREE, TreeLockMode::AccessShare, FOREVER);
    assert!(waits(&mut read));
    bench.commit(three);
    now(read).unwrap();
    bench.commit(late);
}

#[test]
fn many_row_locks_become_a_tree_lock_when_nobody_else_writes() {
    let bench = Bench::with(TxnOptions { escalate_rows: 10, ..TxnOptions::default() });
    let names: Vec<String> = (0..30).map(|n| format!("k{n:02}")).collect();
    let keys: Vec<&str> = names.iter().map(String::as_str).collect();
    bench.load(&keys);
    assert_eq!(bench.shard.lock_stats().escalations, 1, "the load itself");
    let (one, two) = (bench.begin(), bench.begin());
    now(bench.exclusive(one, &keys[..9])).unwrap();
    assert_eq!(bench.shard.lock_stats().row_locks, 9);
    now(bench.exclusive(one, &keys[9..20])).unwrap();
    assert_eq!(bench.shard.lock_stats().row_locks, 0, "one tree lock instead");
    bench.update(one, "k05", "still locked").unwrap();
    let mut waiter = bench.exclusive(two, &["k25"]);
    assert!(waits(&mut waiter), "even a row the first never touched");
    bench.commit(one);
    now(waiter).unwrap();
    bench.commit(two);
}

#[test]
fn escalation_does_not_disturb_other_writers_until_memory_runs_out() {
    let bench = Bench::with(TxnOptions { escalate_rows: 10, row_locks_max: 40, ..TxnOptions::default() });
    let names: Vec<String> = (0..60).map(|n| format!("k{n:02}")).collect();
    let keys: Vec<&str> = names.iter().map(String::as_str).collect();
    bench.load(&keys);
    let (one, two) = (bench.begin(), bench.begin());
    now(bench.exclusive(two, &["k59"])).unwrap();
    now(bench.exclusive(one, &keys[..30])).unwrap();
    assert_eq!(bench.shard.lock_stats().row_locks, 31, "the other writer is left alone");
    let mut more = bench.exclusive(one, &keys[30..50]);
    assert!(waits(&mut more), "past the limit it waits for the tree");
    bench.commit(two);
    now(more).unwrap();
    assert_eq!(bench.shard.lock_stats().row_locks, 0);
    bench.commit(one);
}

#[test]
fn unlocked_rows_are_not_overwritten() {
    let bench = Bench::holding(&["a", "b"]);
    let txn = bench.begin();
    assert_eq!(bench.update(txn, "a", "x").unwrap_err().kind(), ErrorKind::Internal);
    now(bench.lock(txn, &["a"], RowLockMode::Share, FOREVER)).unwrap();
    assert_eq!(bench.delete(txn, "a").unwrap_err().kind(), ErrorKind::Internal, "a shared lock is not enough");
    now(bench.exclusive(txn, &["a"])).unwrap();
    bench.delete(txn, "a").unwrap();
    bench.commit(txn);
    assert_eq!(bench.store.value("a"), None);
}

#[test]
fn rows_without_a_key_of_their_own_need_no_locks() {
    let bench = Bench::new();
    let txn = bench.begin();
    let keyless = TreeDescriptor { key: TreeKey::RowId, ..(*descriptor(TREE)).clone() };
    let rows = vec![keyed("r1", "x"), keyed("r2", "y")];
    now(bench.shard.insert(txn, CommandId(1), Arc::new(keyless), rows, FOREVER)).unwrap();
    assert_eq!(bench.shard.lock_stats().row_locks, 0);
    bench.commit(txn);
    assert_eq!(bench.store.value("r2").unwrap(), "y");
}

#[test]
fn a_wait_is_checked_for_a_deadlock_when_it_has_lasted() {
    let bench = Bench::holding(&["a", "b"]);
    let (one, two) = (bench.begin(), bench.begin());
    let wait = LockWait { deadlock_after: Duration::from_millis(500), ..FOREVER };
    now(bench.exclusive(one, &["a"])).unwrap();
    now(bench.exclusive(two, &["b"])).unwrap();
    let mut first = bench.lock(one, &["b"], RowLockMode::Update, wait);
    let mut second = bench.lock(two, &["a"], RowLockMode::Update, wait);
    assert!(waits(&mut first) && waits(&mut second));
    bench.clock.advance(Duration::from_millis(499));
    assert!(waits(&mut first) && waits(&mut second), "nobody looks before");
    bench.clock.advance(Duration::from_millis(1));
    assert_eq!(now(second).unwrap_err().state(), SqlState::DEADLOCK_DETECTED);
    bench.shard.rollback(two);
    now(first).unwrap();
    bench.commit(one);
}

#[test]
fn going_back_to_a_savepoint_lets_others_in() {
    let bench = Bench::holding(&["a", "b"]);
    let [one, two, three] = std::array::from_fn(|_| bench.begin());
    now(bench.lock(one, &["a"], RowLockMode::KeyShare, FOREVER)).unwrap();
    let savepoint = bench.shard.savepoint(one, CommandId(2)).unwrap();
    now(bench.exclusive(one, &["a", "b"])).unwrap();
    let mut update = bench.lock(two, &["a"], RowLockMode::NoKeyUpdate, FOREVER);
    let mut other = bench.lock(three, &["b"], RowLockMode::Share, FOREVER);
    assert!(waits(&mut update) && waits(&mut other));
    bench.shard.rollback_to(one, savepoint).unwrap();
    now(update).unwrap();
    now(other).unwrap();
    let mut delete = bench.lock(two, &["a"], RowLockMode::Update, FOREVER);
    assert!(waits(&mut delete), "what was locked before the savepoint stays locked");
    bench.commit(one);
    now(delete).unwrap();
    bench.commit(two);
    bench.commit(three);
    assert!(bench.shard.is_quiet());
}

#[test]
fn locked_rows_are_skipped_or_reported_as_asked() {
    let bench = Bench::holding(&["a", "b", "c"]);
    let (one, two) = (bench.begin(), bench.begin());
    now(bench.exclusive(one, &["b"])).unwrap();
    let skip = LockWait { policy: LockPolicy::SkipLocked, ..FOREVER };
    let rows = now(bench.lock(two, &["a", "b", "c"], RowLockMode::Update, skip)).unwrap();
    assert!(matches!(rows[..], [LockedRow::Unchanged, LockedRow::Busy, LockedRow::Unchanged]), "{rows:?}");
    let at_once = LockWait { policy: LockPolicy::NoWait, ..FOREVER };
    let rows = now(bench.lock(two, &["b"], RowLockMode::Update, at_once)).unwrap();
    assert!(matches!(rows[..], [LockedRow::Busy]));
    let tree = now(bench.lock_tree(two, TREE, TreeLockMode::AccessExclusive, at_once)).unwrap_err();
    assert_eq!(tree.state(), SqlState::LOCK_NOT_AVAILABLE);
    bench.commit(one);
    bench.commit(two);
    assert!(bench.shard.is_quiet());
}
