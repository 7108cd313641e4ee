//! Freezing, restarts from segments, damage.

use futures::executor::block_on;
use heliosdb_contracts::ShardStore;
use heliosdb_runtime::{Disk, Fault, FaultKind, FaultOp};
use heliosdb_types::{ErrorKind, SqlState};

use crate::support::*;

#[test]
fn rows_move_to_segments_and_are_found_there() {
    let world = World::new(11);
    let tree = world.create(2000);
    let mut txn = world.begin();
    (0..200).for_each(|key| _ = txn.put(&tree, key, key));
    txn.commit().unwrap();
    let old = world.snapshot();
    let mut txn = world.begin();
    (0..200).step_by(3).for_each(|key| _ = txn.delete(&tree, key));
    txn.commit().unwrap();
    block_on(world.shard.checkpoint(false)).unwrap();
    assert!(world.shard.metrics().segments >= 3 && world.shard.metrics().frozen_memtables == 0);
    let expected: Rows = (0..200).filter(|key| key % 3 != 0).map(|key| (key, key)).collect();
    assert_eq!(world.rows(&tree), expected);
    assert_eq!(world.rows_at(&tree, &old).len(), 200);
    assert_eq!((world.get_at(&tree, 3, &old), world.get_at(&tree, 3, &world.snapshot())), (Some(3), None));
    let mut txn = world.begin();
    assert!(txn.put(&tree, 1, -1) && !txn.put(&tree, 3, -3) && txn.delete(&tree, 2));
    assert_eq!(txn.rows(&tree).len(), expected.len());
    txn.commit().unwrap();
    drop(old);
    let world = world.crash();
    let mut expected = expected;
    expected.extend([(1, -1), (3, -3)]);
    expected.remove(&2);
    assert_eq!(world.rows(&tree), expected);
    block_on(world.shard.checkpoint(false)).unwrap();
    assert_eq!(world.rows(&tree), expected);
    let world = world.restart();
    assert_eq!(world.rows(&tree), expected);
}

#[test]
fn a_clean_stop_leaves_nothing_to_replay() {
    let world = World::new(12);
    let tree = world.create(2000);
    let mut txn = world.begin();
    (0..10).for_each(|key| _ = txn.put(&tree, key, key));
    txn.commit().unwrap();
    world.shard.close().unwrap();
    let world = world.restart();
    assert_eq!(world.rows(&tree).len(), 10);
    assert_eq!(world.shard.metrics().memtable_bytes, 0);
}

#[test]
fn damage_is_refused_or_harmless_never_a_wrong_answer() {
    let world = World::new(13);
    let tree = world.create(2000);
    let mut txn = world.begin();
    (0..40).for_each(|key| _ = txn.put(&tree, key, key));
    txn.commit().unwrap();
    block_on(world.shard.checkpoint(false)).unwrap();
    let mut txn = world.begin();
    (0..5).for_each(|key| _ = txn.delete(&tree, key));
    txn.commit().unwrap();
    block_on(world.shard.checkpoint(false)).unwrap();
    let expected = world.rows(&tree);
    let World { disk, clock, options, shard } = world;
    drop(shard);
    let mut refused = 0;
    for dir in ["manifest", "segments", "deletes"] {
        for name in disk.list(dir).unwrap() {
            let path = format!("{dir}/{name}");
            let whole = disk.read(&path).unwrap();
            for at in (0..whole.len()).step_by(7) {
                let mut damaged = whole.clone();
                damaged[at] ^= 1 << (at % 8);
                disk.write_atomic(&path, &damaged).unwrap();
                match open_on(disk.clone(), &clock, &options) {
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Corrupt, "{path} at {at}: {error}");
                        refused += 1;
                    }
                    Ok(shard) => {
                        // Damage inside a segment's values shows when they are read.
                        let world = World { disk: disk.clone(), clock: clock.clone(), options: options.clone(), shard };
                        let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.rows(&tree)));
                        match read {
                            Ok(rows) => assert_eq!(rows, expected, "{path} at {at}"),
                            Err(_) => refused += 1,
                        }
                    }
                }
            }
            disk.write_atomic(&path, &whole).unwrap();
        }
    }
    assert!(refused > 50, "{refused} damaged files were refused");
}

#[test]
fn a_large_transaction_goes_through_private_segments() {
    let world = World::with(14, heliosdb_storage::ShardOptions { txn_spill_bytes: 20_000, ..small_options() });
    let tree = world.create(2000);
    let mut txn = world.begin();
    (0..10).for_each(|part| insert_on(&world, &tree, &mut txn, part * 100..(part + 1) * 100));
    assert!(world.shard.metrics().spills > 3);
    assert!(txn.put(&tree, 5, -5) && txn.delete(&tree, 6) && txn.delete(&tree, 999));
    assert!(!txn.put(&tree, 6, -6));
    let mut expected: Rows = (0..999).map(|key| (key, key)).collect();
    expected.extend([(5, -5), (6, -6)]);
    assert_eq!(txn.rows(&tree), expected);
    assert_eq!((txn.get(&tree, 4), txn.get(&tree, 5), txn.get(&tree, 999)), (Some(4), Some(-5), None));
    assert!(world.rows(&tree).is_empty());
    txn.commit().unwrap();
    assert_eq!(world.rows(&tree), expected);
    let world = world.crash();
    assert_eq!(world.rows(&tree), expected);
    block_on(world.shard.checkpoint(false)).unwrap();
    let before = world.disk.list("segments").unwrap().len();
    let mut undone = world.begin();
    (20..30).for_each(|part| insert_on(&world, &tree, &mut undone, part * 100..(part + 1) * 100));
    assert!(world.disk.list("segments").unwrap().len() > before);
    undone.rollback();
    assert_eq!(world.disk.list("segments").unwrap().len(), before);
    let mut lost = world.begin();
    (20..30).for_each(|part| insert_on(&world, &tree, &mut lost, part * 100..(part + 1) * 100));
    assert!(world.disk.list("segments").unwrap().len() > before);
    let world = world.crash();
    assert_eq!(world.disk.list("segments").unwrap().len(), before);
    assert_eq!(world.rows(&tree), expected);
}

fn insert_on(
    world: &World,
    tree: &heliosdb_contracts::TreeDescriptorRef,
    txn: &mut Txn<'_>,
    keys: std::ops::Range<i64>,
) {
    let rows = keys.map(|key| keyed(tree, key, key)).collect();
    world.shard.stage_inserts(txn.id, heliosdb_types::CommandId(txn.command), tree.clone(), rows).unwrap();
    txn.command += 1;
}

#[test]
fn merging_keeps_what_snapshots_see_and_bounds_what_probes_meet() {
    let world = World::new(15);
    let tree = world.create(2000);
    let mut held = Vec::new();
    let mut expected = Rows::new();
    for round in 0..14 {
        let mut txn = world.begin();
        for key in (round % 3..60).step_by(3) {
            txn.put(&tree, key, key * 100 + round);
            expected.insert(key, key * 100 + round);
        }
        txn.commit().unwrap();
        if round % 5 == 0 {
            held.push((world.snapshot(), expected.clone()));
        }
        block_on(world.shard.checkpoint(round > 8)).unwrap();
        assert_eq!(world.rows(&tree), expected);
    }
    assert!(world.shard.metrics().compactions > 0);
    assert!(world.shard.metrics().segments <= 20, "{:?}", world.shard.metrics());
    for (snapshot, rows) in &held {
        assert_eq!(&world.rows_at(&tree, snapshot), rows);
    }
    drop(held);
    let mut txn = world.begin();
    (0..50).for_each(|key| assert!(txn.delete(&tree, key)));
    txn.commit().unwrap();
    block_on(world.shard.checkpoint(true)).unwrap();
    expected.retain(|key, _| *key >= 50);
    assert_eq!(world.rows(&tree), expected);
    let files = world.disk.list("segments").unwrap().len() as u64;
    assert_eq!(files, world.shard.metrics().segments, "files of merged segments are gone");
    assert_eq!(world.crash().rows(&tree), expected);
}

#[test]
fn a_transaction_may_rewrite_a_whole_tree() {
    let options = heliosdb_storage::ShardOptions { txn_spill_bytes: 20_000, mask_rows_min: 50, ..small_options() };
    let world = World::with(16, options);
    let tree = world.create(2000);
    let mut txn = world.begin();
    (0..400).for_each(|key| _ = txn.put(&tree, key, key));
    txn.commit().unwrap();
    block_on(world.shard.checkpoint(false)).unwrap();
    let before = world.snapshot();
    let mut txn = world.begin();
    (0..400).for_each(|key| assert!(txn.put(&tree, key, key + 1000)));
    assert!(world.shard.metrics().spills > 1);
    (0..400).step_by(10).for_each(|key| assert!(txn.delete(&tree, key)));
    (0..400).step_by(20).for_each(|key| assert!(!txn.put(&tree, key, 7)));
    let mut expected: Rows = (0..400).map(|key| (key, key + 1000)).collect();
    (0..400).step_by(10).for_each(|key| _ = expected.remove(&key));
    expected.extend((0..400).step_by(20).map(|key| (key, 7)));
    assert_eq!(txn.rows(&tree), expected);
    assert_eq!((txn.get(&tree, 3), txn.get(&tree, 10), txn.get(&tree, 20)), (Some(1003), None, Some(7)));
    txn.commit().unwrap();
    assert_eq!(world.rows(&tree), expected);
    assert_eq!(world.rows_at(&tree, &before), (0..400).map(|key| (key, key)).collect());
    drop(before);
    let world = world.crash();
    assert_eq!(world.rows(&tree), expected);
    block_on(world.shard.checkpoint(true)).unwrap();
    assert_eq!(world.rows(&tree), expected);
    let mut txn = world.begin();
    expected.keys().for_each(|key| assert!(txn.delete(&tree, *key)));
    txn.commit().unwrap();
    assert!(world.rows(&tree).is_empty());
    assert!(world.crash().rows(&tree).is_empty());
}

fn fail(world: &World, op: FaultOp, path: &str, kind: FaultKind) {
    world.disk.inject(Fault { op, path: path.into(), skip: 0, times: 1, kind });
}

#[test]
fn a_failed_sync_of_the_log_fences_the_shard_and_reads_go_on() {
    let world = World::new(21);
    let tree = world.create(2000);
    let mut txn = world.begin();
    txn.put(&tree, 1, 1);
    txn.commit().unwrap();
    fail(&world, FaultOp::Sync, "wal", FaultKind::Io);
    let mut txn = world.begin();
    txn.put(&tree, 2, 2);
    assert!(txn.commit().is_err());
    assert_eq!(world.rows(&tree), Rows::from([(1, 1)]), "what was visible stays readable, the rest unseen");
    assert_eq!(world.shard.begin(heliosdb_types::BranchId(0)).unwrap_err().kind(), ErrorKind::Fenced);
    assert!(world.shard.metrics().fenced);
    assert!(block_on(world.shard.checkpoint(false)).is_err());
    let rows = world.crash().rows(&tree);
    assert!(rows == Rows::from([(1, 1)]) || rows == Rows::from([(1, 1), (2, 2)]), "{rows:?}");
}

#[test]
fn a_full_disk_delays_freezing_and_loses_nothing() {
    let world = World::new(22);
    let tree = world.create(2000);
    let mut txn = world.begin();
    (0..100).for_each(|key| _ = txn.put(&tree, key, key));
    txn.commit().unwrap();
    let expected = world.rows(&tree);
    for (op, path) in [
        (FaultOp::Write, "segments"),
        (FaultOp::Sync, "segments"),
        (FaultOp::Write, "deletes"),
        (FaultOp::Write, "manifest"),
        (FaultOp::Write, "CURRENT"),
    ] {
        let mut txn = world.begin();
        txn.put(&tree, 0, 0);
        txn.commit().unwrap();
        if path == "deletes" {
            block_on(world.shard.checkpoint(false)).unwrap();
            let mut txn = world.begin();
            txn.put(&tree, 0, 0);
            txn.commit().unwrap();
        }
        fail(&world, op, path, FaultKind::NoSpace);
        assert!(block_on(world.shard.checkpoint(false)).is_err(), "{op:?} {path}");
        assert!(!world.shard.metrics().fenced);
        assert_eq!(world.rows(&tree), expected);
        world.disk.clear_faults();
        block_on(world.shard.checkpoint(true)).unwrap();
        assert_eq!(world.rows(&tree), expected);
    }
    let files = world.disk.list("segments").unwrap().len() as u64;
    assert_eq!(files, world.shard.metrics().segments, "unfinished files are gone");
    assert_eq!(world.crash().rows(&tree), expected);
}

#[test]
fn a_full_disk_refuses_commits_and_space_brings_them_back() {
    let world = World::new(25);
    let tree = world.create(2000);
    let mut expected = Rows::new();
    let mut key = 0;
    for _ in 0..3 {
        // As much space as is taken now, and no more.
        world.disk.set_capacity(0);
        let error = loop {
            assert!(key < 2_000_000, "the log is finite");
            let mut txn = world.begin();
            (key..key + 200).for_each(|key| _ = txn.put(&tree, key, key));
            match txn.commit() {
                Ok(_) => expected.extend((key..key + 200).map(|key| (key, key))),
                Err(error) => break error,
            }
            key += 200;
        };
        assert_eq!(error.state(), SqlState::DISK_FULL, "{error}");
        assert!(!world.shard.metrics().fenced);
        assert_eq!(world.rows(&tree), expected, "reads go on");
        assert_eq!(block_on(world.shard.checkpoint(false)).unwrap_err().state(), SqlState::DISK_FULL);
        assert!(!world.shard.metrics().fenced);
        world.disk.set_capacity(u64::MAX);
        let mut txn = world.begin();
        txn.put(&tree, key, key);
        txn.commit().unwrap();
        expected.insert(key, key);
        key += 1;
        block_on(world.shard.checkpoint(false)).unwrap();
        assert_eq!(world.rows(&tree), expected);
    }
    assert_eq!(world.crash().rows(&tree), expected);
}

#[test]
fn a_manifest_whose_fate_is_unknown_fences_the_shard() {
    for (op, path) in [(FaultOp::Sync, "manifest"), (FaultOp::Rename, "CURRENT"), (FaultOp::Write, "CURRENT")] {
        let world = World::new(23);
        let tree = world.create(2000);
        let mut txn = world.begin();
        (0..100).for_each(|key| _ = txn.put(&tree, key, key));
        txn.commit().unwrap();
        let expected = world.rows(&tree);
        fail(&world, op, path, FaultKind::Io);
        assert!(block_on(world.shard.checkpoint(false)).is_err(), "{op:?} {path}");
        assert!(world.shard.metrics().fenced, "{op:?} {path}");
        assert_eq!(world.rows(&tree), expected);
        world.disk.clear_faults();
        assert_eq!(world.crash().rows(&tree), expected);
    }
}

#[test]
fn damage_read_later_is_an_error_not_an_answer() {
    let world = World::new(24);
    let tree = world.create(2000);
    let mut txn = world.begin();
    (0..100).for_each(|key| _ = txn.put(&tree, key, key));
    txn.commit().unwrap();
    block_on(world.shard.checkpoint(false)).unwrap();
    let world = world.restart();
    let name = world.disk.list("segments").unwrap().pop().unwrap();
    world.disk.flip_bit(&format!("segments/{name}"), 40, 3).unwrap();
    let rows = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.rows(&tree)));
    assert!(rows.is_err(), "{rows:?}");
}

#[test]
fn a_dropped_tree_leaves_its_files_when_no_snapshot_needs_them() {
    let world = World::new(25);
    let (kept, dropped) = (world.create(2000), world.create(2001));
    for tree in [&kept, &dropped] {
        let mut txn = world.begin();
        (0..100).for_each(|key| _ = txn.put(tree, key, key));
        txn.commit().unwrap();
    }
    block_on(world.shard.checkpoint(false)).unwrap();
    let files = || world.disk.list("segments").unwrap().len();
    let (both, before) = (files(), world.snapshot());
    let txn = world.begin();
    world.shard.drop_tree(txn.id, heliosdb_types::CommandId(0), dropped.tree).unwrap();
    txn.commit().unwrap();
    let mut txn = world.begin();
    txn.put(&kept, 0, 0);
    txn.commit().unwrap();
    block_on(world.shard.checkpoint(false)).unwrap();
    assert_eq!(world.rows_at(&dropped, &before).len(), 100);
    assert_eq!(files(), both + 1);
    drop(before);
    let mut txn = world.begin();
    txn.put(&kept, 0, 0);
    txn.commit().unwrap();
    block_on(world.shard.checkpoint(false)).unwrap();
    assert_eq!(files(), both + 2 - 2, "one more of the kept tree, two fewer of the dropped one");
    let expected = world.rows(&kept);
    let world = world.crash();
    assert_eq!(world.rows(&kept), expected);
    assert!(world.shard.descriptor(None, dropped.tree).is_none());
}
