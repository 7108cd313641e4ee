//! Commit order, durability before acknowledgement, unique keys, ends.

use super::*;
use heliosdb_types::{ErrorKind, SqlState};

#[test]
fn locks_go_at_append_but_success_waits_for_durability() {
    let bench = Bench::holding(&["a"]);
    bench.store.hold_back_durability();
    let (one, two) = (bench.begin(), bench.begin());
    now(bench.exclusive(one, &["a"])).unwrap();
    bench.update(one, "a", "1").unwrap();
    let mut waiter = bench.exclusive(two, &["a"]);
    assert!(waits(&mut waiter));
    let mut commit = bench.shard.commit(one);
    let rows = now(waiter).unwrap();
    assert!(matches!(&rows[..], [LockedRow::Newer { row, .. }] if row == "1"), "the row came free at append");
    assert!(waits(&mut commit), "not acknowledged yet");
    assert_eq!(bench.read(two, "a").as_deref(), Some("a"), "not visible yet");
    let mut settled = bench.shard.settle(two);
    assert!(waits(&mut settled), "a reply built on it must wait");
    bench.store.make_durable();
    now(commit).unwrap();
    now(settled).unwrap();
    assert_eq!(bench.read(two, "a").as_deref(), Some("1"));
    now(bench.shard.settle(two)).unwrap();
    bench.commit(two);
}

#[test]
fn a_reader_that_met_an_unsettled_row_is_acknowledged_after_it() {
    let bench = Bench::holding(&["a"]);
    bench.store.hold_back_durability();
    let (one, two) = (bench.begin(), bench.begin());
    now(bench.exclusive(one, &["a"])).unwrap();
    bench.delete(one, "a").unwrap();
    let mut first = bench.shard.commit(one);
    assert!(matches!(now(bench.exclusive(two, &["a"])).unwrap()[..], [LockedRow::Gone]));
    let mut second = bench.shard.commit(two);
    assert!(waits(&mut first) && waits(&mut second), "the second wrote nothing but knows of the first");
    bench.store.make_durable();
    now(first).unwrap();
    now(second).unwrap();
}

#[test]
fn a_commit_is_whole_even_if_nobody_waits_for_it() {
    let bench = Bench::holding(&["a"]);
    bench.store.hold_back_durability();
    let txn = bench.begin();
    now(bench.exclusive(txn, &["a"])).unwrap();
    bench.update(txn, "a", "kept").unwrap();
    drop(bench.shard.commit(txn));
    assert_eq!(bench.store.value("a").unwrap(), "kept");
    assert!(bench.shard.is_quiet());
    bench.store.make_durable();
}

#[test]
fn a_failed_commit_releases_and_rolls_back() {
    let bench = Bench::holding(&["a"]);
    let txn = bench.begin();
    now(bench.exclusive(txn, &["a"])).unwrap();
    bench.update(txn, "a", "lost").unwrap();
    bench.store.fail_commits();
    assert_eq!(now(bench.shard.commit(txn)).unwrap_err().kind(), ErrorKind::Fenced);
    bench.shard.rollback(txn);
    assert_eq!(bench.store.value("a").unwrap(), "a");
}

#[test]
fn a_transaction_ends_once() {
    let bench = Bench::holding(&["a"]);
    let txn = bench.begin();
    assert_eq!(bench.shard.active_transactions(), 1);
    bench.commit(txn);
    for error in [
        now(bench.shard.commit(txn)).unwrap_err(),
        now(bench.exclusive(txn, &["a"])).unwrap_err(),
        now(bench.insert(txn, vec![keyed("b", "b")])).unwrap_err(),
        now(bench.shard.settle(txn)).unwrap_err(),
        bench.update(txn, "a", "x").unwrap_err(),
    ] {
        assert_eq!(error.state(), SqlState::INVALID_TRANSACTION_STATE);
    }
    bench.shard.rollback(txn);
    let outside = ReadContext { txn: None, ..bench.context(txn) };
    let rows = bench.shard.lock_rows(&outside, TREE, vec![bytes("a")], RowLockMode::Share, FOREVER);
    assert!(now(rows).is_err());
}

#[test]
fn a_key_is_unique_also_against_itself_and_the_own_transaction() {
    let bench = Bench::holding(&["a"]);
    let txn = bench.begin();
    let try_keys = |keys: &[&str]| now(bench.insert(txn, keys.iter().map(|key| keyed(key, "new")).collect())).unwrap();
    assert_eq!(try_keys(&["x", "a"]), InsertOutcome::Duplicate { index: 1 });
    assert_eq!(bench.read(txn, "x"), None, "all or nothing");
    assert_eq!(try_keys(&["x", "y", "x"]), InsertOutcome::Duplicate { index: 2 });
    assert_eq!(try_keys(&["x", "y"]), InsertOutcome::Inserted);
    assert_eq!(try_keys(&["z", "y"]), InsertOutcome::Duplicate { index: 1 });
    now(bench.exclusive(txn, &["a"])).unwrap();
    bench.delete(txn, "a").unwrap();
    assert_eq!(try_keys(&["a"]), InsertOutcome::Inserted, "after its own delete");
    bench.commit(txn);
    assert_eq!(bench.store.value("a").unwrap(), "new");
}

#[test]
fn of_two_that_insert_one_key_the_second_waits_for_the_firsts_fate() {
    for first_commits in [true, false] {
        let bench = Bench::new();
        let (one, two) = (bench.begin(), bench.begin());
        now(bench.insert(one, vec![keyed("k", "1")])).unwrap();
        let mut second = bench.insert(two, vec![keyed("k", "2")]);
        assert!(waits(&mut second));
        if first_commits {
            bench.commit(one);
            assert_eq!(now(second).unwrap(), InsertOutcome::Duplicate { index: 0 });
            bench.shard.rollback(two);
            assert_eq!(bench.store.value("k").unwrap(), "1");
        } else {
            bench.shard.rollback(one);
            assert_eq!(now(second).unwrap(), InsertOutcome::Inserted);
            bench.commit(two);
            assert_eq!(bench.store.value("k").unwrap(), "2");
        }
    }
}

#[test]
fn a_duplicate_of_a_row_that_is_not_durable_settles_first() {
    let bench = Bench::new();
    bench.store.hold_back_durability();
    let (one, two) = (bench.begin(), bench.begin());
    now(bench.insert(one, vec![keyed("k", "1")])).unwrap();
    let mut commit = bench.shard.commit(one);
    let mut second = bench.insert(two, vec![keyed("k", "2")]);
    assert!(waits(&mut second), "23505 must not be reported about a row that may vanish");
    bench.store.make_durable();
    assert_eq!(now(second).unwrap(), InsertOutcome::Duplicate { index: 0 });
    now(&mut commit).unwrap();
    bench.shard.rollback(two);
}

#[test]
fn branches_do_not_lock_each_other() {
    let bench = Bench::new();
    let (trunk, branch) = (bench.begin(), bench.shard.begin(BranchId(1)).unwrap());
    now(bench.insert(trunk, vec![keyed("k", "1")])).unwrap();
    now(bench.insert(branch, vec![keyed("k", "2")])).unwrap();
    bench.shard.rollback(branch);
    bench.commit(trunk);
}
