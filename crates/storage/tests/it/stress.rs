//! Many threads, background freezing and merging, and a power loss in the middle of it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use heliosdb_contracts::TreeDescriptorRef;
use heliosdb_runtime::SimDisk;
use heliosdb_storage::ShardOptions;

use crate::support::*;

const WRITERS: i64 = 3;
const KEYS: i64 = 60;

/// What is known of each key's last write: asked for, acknowledged.
struct Known {
    issued: Vec<AtomicI64>,
    acknowledged: Vec<AtomicI64>,
}

/// Rewrites the writer's own keys, two at a time with opposite signs, so that every snapshot sums to zero.
fn write(world: &World, tree: &TreeDescriptorRef, known: &Known, stop: &AtomicBool, writer: i64) {
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        let pair = (round * 7) % (KEYS / 2 / WRITERS);
        let (a, b) = ((pair * WRITERS + writer) * 2, (pair * WRITERS + writer) * 2 + 1);
        let mut txn = world.begin();
        if round % 5 == 0 {
            txn.delete(tree, a);
            txn.delete(tree, b);
        } else {
            txn.put(tree, a, round);
            txn.put(tree, b, -round);
        }
        known.issued[a as usize].store(round, Ordering::SeqCst);
        match txn.commit() {
            Ok(()) => known.acknowledged[a as usize].store(round, Ordering::SeqCst),
            // The power is gone.
            Err(_) => return,
        }
    }
}

fn read(world: &World, tree: &TreeDescriptorRef, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let snapshot = world.snapshot();
        let rows = world.rows_at(tree, &snapshot);
        assert_eq!(rows.values().sum::<i64>(), 0, "a snapshot saw half a transaction: {rows:?}");
        for key in [0, 7, 31] {
            assert_eq!(world.get_at(tree, key, &snapshot), rows.get(&key).copied());
        }
        assert_eq!(world.rows_at(tree, &snapshot), rows, "a snapshot changed");
        let held = world.shard.metrics();
        assert!(held.memtable_bytes < 40_000 && held.frozen_memtables <= 5, "memory is not bounded: {held:?}");
    }
}

/// A thread may fail of whatever it likes once the power is going, not before.
fn until_off(stop: &AtomicBool, run: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(run))
        && !stop.load(Ordering::SeqCst)
    {
        stop.store(true, Ordering::SeqCst);
        resume_unwind(panic);
    }
}

#[test]
fn power_loss_under_load_keeps_what_was_acknowledged() {
    let options = ShardOptions {
        background: true,
        log_inline: false,
        memtable_bytes: 6_000,
        log_age_max: Duration::from_secs(3600),
        ..small_options()
    };
    let mut world = World::with(77, options);
    let tree = world.create(2000);
    for round in 0..6 {
        let numbers = || (0..KEYS).map(|_| AtomicI64::new(0)).collect();
        let known = Known { issued: numbers(), acknowledged: numbers() };
        let stop = AtomicBool::new(false);
        let (before, lost_power) = std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (world, tree, known, stop) = (&world, &tree, &known, &stop);
                scope.spawn(move || until_off(stop, || write(world, tree, known, stop, writer)));
            }
            scope.spawn(|| until_off(&stop, || read(&world, &tree, &stop)));
            std::thread::sleep(Duration::from_millis(400 + round * 60));
            let before: Vec<i64> = known.acknowledged.iter().map(|at| at.load(Ordering::SeqCst)).collect();
            stop.store(true, Ordering::SeqCst);
            let lost_power: Arc<SimDisk> = Arc::new(world.disk.crash());
            (before, lost_power)
        });
        assert!(world.shard.metrics().freezes > 0, "{:?}", world.shard.metrics());
        let (clock, options) = (world.clock.clone(), world.options.clone());
        let shard = open_on(lost_power.clone(), &clock, &options).unwrap();
        world = World { disk: lost_power, clock, options, shard };
        let rows = world.rows(&tree);
        assert_eq!(rows.values().sum::<i64>(), 0, "half a transaction survived: {rows:?}");
        for key in (0..KEYS).step_by(2) {
            let (acknowledged, issued) = (before[key as usize], known.issued[key as usize].load(Ordering::SeqCst));
            match rows.get(&key) {
                Some(&value) if acknowledged > 0 => assert!(
                    (acknowledged..=issued).contains(&value),
                    "key {key} holds {value}; acknowledged {acknowledged}, issued {issued}"
                ),
                // Deleted by an acknowledged write or a later one.
                None if acknowledged > 0 => {
                    let deleted = (acknowledged..=issued).any(|round| round % 5 == 0);
                    assert!(deleted, "key {key} is gone; acknowledged {acknowledged}, issued {issued}");
                }
                _ => {}
            }
        }
        assert!(before.iter().sum::<i64>() > 0);
    }
    world.shard.close().unwrap();
}

#[test]
fn a_transaction_goes_on_while_it_spills() {
    let options = ShardOptions { background: true, log_inline: false, txn_spill_bytes: 30_000, ..small_options() };
    let world = World::with(78, options);
    let tree = world.create(2000);
    let mut txn = world.begin();
    let mut expected = Rows::new();
    for round in 0..30 {
        let rows = (round * 100..(round + 1) * 100).map(|key| keyed(&tree, key, key)).collect();
        let command = heliosdb_types::CommandId(txn.command);
        heliosdb_contracts::ShardStore::stage_inserts(&*world.shard, txn.id, command, tree.clone(), rows).unwrap();
        txn.command += 1;
        expected.extend((round * 100..(round + 1) * 100).map(|key| (key, key)));
        // Rows that may be on their way to a file right now.
        for key in [round * 100 + 99, round * 50] {
            if key % 3 == 0 {
                assert!(txn.delete(&tree, key));
                expected.remove(&key);
            } else {
                txn.put(&tree, key, -key);
                expected.insert(key, -key);
            }
        }
        if round % 7 == 0 {
            assert_eq!(txn.rows(&tree), expected);
        }
        assert_eq!(txn.get(&tree, round * 100 + 98), Some(round * 100 + 98));
    }
    assert!(world.shard.metrics().spills > 5);
    txn.commit().unwrap();
    assert_eq!(world.rows(&tree), expected);
    assert_eq!(world.crash().rows(&tree), expected);
}
