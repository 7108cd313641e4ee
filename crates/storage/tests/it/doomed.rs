//! Transactions that delete or replace so many rows that they remember them by position: nobody may tell the difference.

use heliosdb_contracts::{
    KeyRange, KeyedRow, NewestRow, RangeRequest, ReadContext, RowHint, ShardStore, TreeDescriptorRef, WriteBatch,
};
use heliosdb_runtime::{Entropy, SeededEntropy};
use heliosdb_storage::ShardOptions;
use heliosdb_types::{CommandId, DatumRef};

use crate::support::*;

const SPILL_BYTES: usize = 4_000;

fn options() -> ShardOptions {
    // What is not doomed is logged by key.
    ShardOptions { txn_spill_bytes: SPILL_BYTES, mask_rows_min: 1 << 20, ..small_options() }
}

/// A world with rows `0..count` of a tree in segments, each with its key as value.
fn frozen(options: ShardOptions, count: i64) -> (World, TreeDescriptorRef) {
    let world = World::with(1, options);
    let tree = world.create(1);
    let mut txn = world.begin();
    let rows: Vec<KeyedRow> = (0..count).map(|key| keyed(&tree, key, key)).collect();
    txn.shard.stage_inserts(txn.id, CommandId(0), tree.clone(), rows).unwrap();
    txn.command = 1;
    txn.commit().unwrap();
    freeze(&world, false);
    (world, tree)
}

fn freeze(world: &World, compact: bool) {
    futures::executor::block_on(world.shard.checkpoint(compact)).unwrap();
}

fn doomed_rows(world: &World) -> u64 {
    world.shard.metrics().doomed_rows
}

/// One statement's deletes, in batches, as a participant stages them.
fn delete(txn: &Txn<'_>, tree: &TreeDescriptorRef, command: u32, keys: std::ops::Range<i64>) {
    for first in keys.clone().step_by(20) {
        let some = first..(first + 20).min(keys.end);
        let deletes = some.map(|key| (key_bytes(key), hint(&txn.newest(tree, key)))).collect();
        let batch = WriteBatch { descriptor: tree.clone(), updates: vec![], deletes };
        txn.shard.stage_writes(txn.id, CommandId(command), batch).unwrap();
    }
}

/// One statement's updates to `value`.
fn replace(txn: &Txn<'_>, tree: &TreeDescriptorRef, command: u32, keys: std::ops::Range<i64>, value: i64) {
    for first in keys.clone().step_by(20) {
        let some = first..(first + 20).min(keys.end);
        let updates = some.map(|key| (keyed(tree, key, value), hint(&txn.newest(tree, key)))).collect();
        let batch = WriteBatch { descriptor: tree.clone(), updates, deletes: vec![] };
        txn.shard.stage_writes(txn.id, CommandId(command), batch).unwrap();
    }
}

fn view(world: &World, txn: &Txn<'_>, command: u32) -> ReadContext {
    context(Some(txn.id), command, &world.snapshot())
}

#[test]
fn what_a_transaction_deletes_and_replaces_takes_little_memory() {
    const ROWS: i64 = 20_000;
    let limit = 100_000;
    for background in [false, true] {
        let options = ShardOptions { txn_spill_bytes: limit, background, segment_rows: 4096, ..options() };
        let (world, tree) = frozen(options, ROWS);
        let mut txn = world.begin();
        let held = |what: &str| {
            let held = world.shard.metrics().transaction_bytes as usize;
            // By key it would be some 40 times the limit; by position, of segments as small as these, it is 8 bytes a row.
            assert!(held < limit * 5, "{what}: {held} bytes of a transaction in memory, background {background}");
        };
        // Twice, so that the transaction's own rows are replaced, too.
        for value in [1, 2] {
            for first in (0..ROWS).step_by(500) {
                replace(&txn, &tree, txn.command, first..first + 500, value);
                held("update");
            }
            txn.command += 1;
        }
        for first in (0..ROWS).step_by(500) {
            delete(&txn, &tree, txn.command, first..first + 500);
            held("delete");
        }
        txn.command += 1;
        assert_eq!(txn.rows(&tree), Rows::new());
        txn.commit().unwrap();
        assert_eq!(world.rows(&tree), Rows::new());
        let world = world.crash();
        assert_eq!(world.rows(&tree), Rows::new());
    }
}

#[test]
fn a_statement_sees_its_own_deletes_no_more_than_before() {
    let (world, tree) = frozen(options(), 400);
    let all = world.rows(&tree);
    let mut txn = world.begin();
    delete(&txn, &tree, 3, 0..200);
    assert!(doomed_rows(&world) > 100, "{} rows doomed", doomed_rows(&world));
    txn.command = 3;
    assert_eq!(txn.rows(&tree), all, "a statement does not see what it deletes");
    assert_eq!(txn.get(&tree, 10), Some(10));
    // A younger statement does; one that reads on meanwhile, as a cursor does, sees what its command saw.
    replace(&txn, &tree, 7, 200..400, -7);
    for command in [4, 7, 8] {
        let expected: Rows =
            all.iter().filter(|(key, _)| **key >= 200).map(|(k, v)| (*k, if command > 7 { -7 } else { *v })).collect();
        assert_eq!(scan(&world.shard, &view(&world, &txn, command), &tree, vec![]), expected, "command {command}");
        for key in [0, 199, 200, 399] {
            let got = get(&world.shard, &view(&world, &txn, command), &tree, key);
            assert_eq!(got, expected.get(&key).copied(), "command {command}, key {key}");
        }
    }
    assert_eq!(scan(&world.shard, &view(&world, &txn, 3), &tree, vec![]), all);
    assert_eq!(world.rows(&tree), all, "nobody else sees any of it");
    txn.rollback();
    assert_eq!(world.rows(&tree), all);
}

#[test]
fn a_doomed_key_may_be_inserted_again() {
    for again in [0..50, 0..400] {
        let (world, tree) = frozen(options(), 400);
        let mut txn = world.begin();
        delete(&txn, &tree, 0, 0..400);
        assert!(doomed_rows(&world) > 300);
        txn.command = 1;
        assert!(matches!(txn.newest(&tree, 5), NewestRow::OwnDeleted), "its key is free for this transaction");
        let mut other = world.begin();
        assert!(matches!(other.newest(&tree, 5), NewestRow::Committed { .. }), "and for no other");
        other.command = 1;
        other.rollback();
        let rows = again.clone().map(|key| keyed(&tree, key, key + 1000)).collect();
        world.shard.stage_inserts(txn.id, CommandId(1), tree.clone(), rows).unwrap();
        txn.command = 2;
        let expected: Rows = again.map(|key| (key, key + 1000)).collect();
        assert_eq!(txn.rows(&tree), expected);
        assert!(matches!(txn.newest(&tree, 5), NewestRow::Own));
        assert_eq!(txn.get(&tree, 5), Some(1005));
        txn.commit().unwrap();
        assert_eq!(world.rows(&tree), expected);
        assert_eq!(world.shard.tree_size(tree.tree).rows, expected.len() as u64);
        let world = world.crash();
        assert_eq!(world.rows(&tree), expected, "replayed");
        freeze(&world, true);
        let world = world.restart();
        assert_eq!(world.rows(&tree), expected, "merged");
    }
}

#[test]
fn a_merge_between_a_delete_and_its_commit_moves_doomed_rows() {
    for read_between in [false, true] {
        let options = ShardOptions { young_segments_max: 1, ..options() };
        let (world, tree) = frozen(options, 400);
        let mut txn = world.begin();
        delete(&txn, &tree, 0, 0..150);
        replace(&txn, &tree, 1, 150..300, -1);
        let before = doomed_rows(&world);
        assert!(before > 200);
        for round in 0..3 {
            let mut other = world.begin();
            for key in (300..400).step_by(7) {
                other.put(&tree, key, 5000 + round);
            }
            other.commit().unwrap();
            freeze(&world, true);
            // Rows doomed before and after the merge, of one statement.
            delete(&txn, &tree, 4 + round as u32, 150 + round * 50..200 + round * 50);
        }
        assert!(world.shard.metrics().compactions > 0 && doomed_rows(&world) > before);
        txn.command = 9;
        let expected: Rows = world.rows(&tree).into_iter().filter(|(key, _)| *key >= 300).collect();
        if read_between {
            assert_eq!(txn.rows(&tree), expected);
            let updated: Rows = world.rows(&tree).into_iter().filter(|(key, _)| *key >= 150).collect();
            let updated: Rows = updated.into_iter().map(|(key, v)| (key, if key < 300 { -1 } else { v })).collect();
            assert_eq!(scan(&world.shard, &view(&world, &txn, 4), &tree, vec![]), updated);
        }
        assert_eq!(world.rows(&tree).len(), 400);
        txn.commit().unwrap();
        assert_eq!(world.rows(&tree), expected);
        let world = world.crash();
        assert_eq!(world.rows(&tree), expected);
        freeze(&world, true);
        assert_eq!(world.rows(&tree), expected);
    }
}

/// A row that was replaced after the snapshot, and then doomed: the snapshot must not see its older version instead.
#[test]
fn a_doomed_row_hides_its_older_versions_too() {
    let (world, tree) = frozen(options(), 100);
    let old = world.snapshot();
    let mut other = world.begin();
    for key in 0..100 {
        other.put(&tree, key, key + 500);
    }
    other.commit().unwrap();
    freeze(&world, false);
    let txn = world.begin();
    delete(&txn, &tree, 0, 0..60);
    assert!(doomed_rows(&world) > 30);
    let expected: Rows = (60..100).map(|key| (key, key)).collect();
    let context = context(Some(txn.id), 1, &old);
    assert_eq!(scan(&world.shard, &context, &tree, vec![]), expected);
    assert_eq!((get(&world.shard, &context, &tree, 3), get(&world.shard, &context, &tree, 63)), (None, Some(63)));
    txn.rollback();
}

#[test]
fn the_wrong_use_of_a_doomed_row_is_refused() {
    let (world, tree) = frozen(options(), 100);
    let txn = world.begin();
    let place = hint(&txn.newest(&tree, 3));
    delete(&txn, &tree, 0, 0..100);
    let batch = WriteBatch { descriptor: tree.clone(), updates: vec![], deletes: vec![(key_bytes(3), place)] };
    let twice = world.shard.stage_writes(txn.id, CommandId(1), batch).and_then(|()| world.shard.commit(txn.id));
    assert!(twice.unwrap_err().message().contains("delete"), "a row is deleted once");
    assert_eq!(world.rows(&tree).len(), 100, "nothing of it has happened");
}

/// A cursor gives rows as its command saw them, wherever they go while it reads.
#[test]
fn a_cursor_reads_on_while_rows_leave_memory() {
    for reverse in [false, true] {
        let (world, tree) = frozen(ShardOptions { txn_spill_bytes: 50_000, ..options() }, 200);
        let mut txn = world.begin();
        replace(&txn, &tree, 0, 0..100, -1);
        let rows = (200..240).map(|key| keyed(&tree, key, -2)).collect();
        world.shard.stage_inserts(txn.id, CommandId(1), tree.clone(), rows).unwrap();
        delete(&txn, &tree, 2, 50..60);
        assert_eq!((world.shard.metrics().spills, doomed_rows(&world)), (0, 0));
        txn.command = 3;
        let mut expected: Vec<(i64, i64)> = txn.rows(&tree).into_iter().collect();
        let range = KeyRange { lower: key_bytes(0), upper: Some(key_bytes(1000)), reverse };
        let request = RangeRequest { tree: tree.tree, range, projection: vec![KEY, VALUE], keys: true };
        let mut cursor = world.shard.range(&view(&world, &txn, 3), &request).unwrap();
        let mut found = Vec::new();
        let mut sink = |_: &[u8], values: &[DatumRef<'_>], _: RowHint| {
            let [DatumRef::Int64(key), DatumRef::Int64(value)] = values else { panic!("{values:?}") };
            found.push((*key, *value));
            Ok(())
        };
        for _ in 0..20 {
            assert!(cursor.next(&mut sink).unwrap());
        }
        replace(&txn, &tree, 3, 60..200, -3);
        let rows = (300..400).map(|key| keyed(&tree, key, -4)).collect();
        world.shard.stage_inserts(txn.id, CommandId(4), tree.clone(), rows).unwrap();
        delete(&txn, &tree, 5, 0..50);
        delete(&txn, &tree, 5, 60..240);
        assert!(world.shard.metrics().spills > 0 && doomed_rows(&world) > 0);
        while cursor.next(&mut sink).unwrap() {}
        if reverse {
            expected.reverse();
        }
        assert_eq!(found, expected, "reverse {reverse}");
        txn.rollback();
    }
}

/// A random transaction beside a map, with savepoints, while other transactions commit and their rows are frozen and merged.
fn random_transaction(seed: u64) -> u64 {
    let rng = SeededEntropy::new(seed);
    let below = |n: u64| (rng.next_u64() % n) as i64;
    let options = ShardOptions {
        txn_spill_bytes: 500 + below(4000) as usize,
        mask_rows_min: [1, 1000][below(2) as usize],
        young_segments_max: 1 + below(3) as usize,
        segment_rows: 8 + below(60) as usize,
        block_rows: 2 + below(14) as usize,
        ..options()
    };
    let (world, tree) = frozen(options, 200);
    let mut txn = world.begin();
    // Others write keys from 1000 on.
    let mut others = 0;
    let mut now = world.rows(&tree);
    let mut marks: Vec<(CommandId, Rows)> = Vec::new();
    let mut past: Vec<(u32, Rows)> = Vec::new();
    for step in 0..120 {
        let (first, count) = (below(200), 1 + below(60));
        let keys = first..(first + count).min(220);
        match below(12) {
            0..=2 => {
                let there: Vec<i64> = keys.filter(|key| now.contains_key(key)).collect();
                let command = txn.command;
                there.iter().for_each(|key| {
                    delete(&txn, &tree, command, *key..key + 1);
                    now.remove(key);
                });
            }
            3..=5 => {
                let there: Vec<i64> = keys.filter(|key| now.contains_key(key)).collect();
                let command = txn.command;
                there.iter().for_each(|key| {
                    replace(&txn, &tree, command, *key..key + 1, step);
                    now.insert(*key, step);
                });
            }
            6..=7 => {
                let new: Vec<i64> = keys.filter(|key| !now.contains_key(key)).collect();
                let rows = new.iter().map(|key| keyed(&tree, *key, -step)).collect();
                world.shard.stage_inserts(txn.id, CommandId(txn.command), tree.clone(), rows).unwrap();
                now.extend(new.into_iter().map(|key| (key, -step)));
            }
            8 => {
                let command = CommandId(txn.command);
                world.shard.savepoint(txn.id, command).unwrap();
                marks.push((command, now.clone()));
            }
            9 if !marks.is_empty() => {
                marks.truncate(below(marks.len() as u64) as usize + 1);
                let (command, before) = marks.last().cloned().unwrap();
                world.shard.rollback_to(txn.id, command).unwrap();
                past.retain(|(past, _)| *past <= command.0);
                now = before;
            }
            _ => {
                let mut other = world.begin();
                for _ in 0..20 {
                    let key = 1000 + below(40);
                    other.put(&tree, key, step);
                    others += 1;
                }
                other.commit().unwrap();
                freeze(&world, below(2) == 0);
            }
        }
        txn.command += 1;
        past.push((txn.command, now.clone()));
        if below(4) == 0 {
            let (command, expected) = past[below(past.len() as u64) as usize].clone();
            let what = format!("seed {seed}, step {step}, command {command}");
            let context = view(&world, &txn, command);
            let mut found = scan(&world.shard, &context, &tree, vec![]);
            found.retain(|key, _| *key < 1000);
            assert_eq!(found, expected, "{what}");
            for key in 0..220 {
                assert_eq!(get(&world.shard, &context, &tree, key), expected.get(&key).copied(), "{what}, key {key}");
            }
        }
    }
    assert!(others > 0);
    let mut expected = now;
    expected.extend(world.rows(&tree).into_iter().filter(|(key, _)| *key >= 1000));
    txn.commit().unwrap();
    assert_eq!(world.rows(&tree), expected, "seed {seed}: committed");
    assert_eq!(world.shard.tree_size(tree.tree).rows, expected.len() as u64, "seed {seed}");
    let doomed = doomed_rows(&world);
    let world = world.crash();
    assert_eq!(world.rows(&tree), expected, "seed {seed}: replayed");
    freeze(&world, true);
    let world = world.restart();
    assert_eq!(world.rows(&tree), expected, "seed {seed}: merged");
    assert_eq!(world.shard.tree_size(tree.tree).rows, expected.len() as u64, "seed {seed}");
    doomed
}

#[test]
fn random_transactions_with_doomed_rows_are_what_they_should_be() {
    let seeds = std::env::var("HELIOSDB_SEEDS").map_or(12, |seeds| seeds.parse().unwrap());
    let doomed: u64 = (0..seeds).map(random_transaction).sum();
    assert!(doomed > seeds * 20, "only {doomed} rows were doomed");
}
