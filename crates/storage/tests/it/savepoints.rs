//! Going back inside a transaction, in memory and after its rows have been spilled.

use heliosdb_contracts::ShardStore;
use heliosdb_runtime::{Disk, Entropy, SeededEntropy};
use heliosdb_storage::ShardOptions;
use heliosdb_types::CommandId;

use crate::support::{Rows, Txn, World, small_options};

fn savepoint(txn: &mut Txn<'_>) -> CommandId {
    let command = CommandId(txn.command);
    txn.shard.savepoint(txn.id, command).unwrap();
    txn.command += 1;
    command
}

/// A random transaction with nested savepoints; a stack of maps knows what it must see.
fn random_transaction(seed: u64, options: ShardOptions) -> u64 {
    let world = World::with(seed, options);
    let tree = world.create(1);
    let rng = SeededEntropy::new(seed);
    let mut setup = world.begin();
    for key in 0..40 {
        setup.put(&tree, key, key);
    }
    setup.commit().unwrap();
    let mut txn = world.begin();
    let mut now: Rows = world.rows(&tree);
    let mut stack: Vec<(CommandId, Rows)> = Vec::new();
    for step in 0..400 {
        let key = (rng.next_u64() % 60) as i64;
        match rng.next_u64() % 12 {
            0..=5 => {
                assert_eq!(txn.put(&tree, key, step), now.insert(key, step).is_some());
            }
            6..=7 => assert_eq!(txn.delete(&tree, key), now.remove(&key).is_some()),
            8..=9 => {
                let before = now.clone();
                stack.push((savepoint(&mut txn), before));
            }
            10 if !stack.is_empty() => {
                let at = rng.next_u64() as usize % stack.len();
                stack.truncate(at + 1);
                let (command, before) = stack.last().cloned().unwrap();
                txn.shard.rollback_to(txn.id, command).unwrap();
                now = before;
            }
            11 if !stack.is_empty() => {
                let at = rng.next_u64() as usize % stack.len();
                txn.shard.release_savepoint(txn.id, stack[at].0).unwrap();
                stack.truncate(at);
            }
            _ => {}
        }
        if step % 7 == 0 {
            assert_eq!(txn.rows(&tree), now, "seed {seed}, step {step}");
            assert_eq!(txn.get(&tree, key), now.get(&key).copied(), "seed {seed}, step {step}");
        }
    }
    txn.commit().unwrap();
    assert_eq!(world.rows(&tree), now, "seed {seed}: committed");
    let spills = world.shard.metrics().spills;
    let world = world.restart();
    assert_eq!(world.rows(&tree), now, "seed {seed}: after a restart");
    spills
}

#[test]
fn going_back_undoes_exactly_what_came_after() {
    for seed in 0..20 {
        assert_eq!(random_transaction(seed, small_options()), 0);
    }
}

#[test]
fn going_back_undoes_spilled_rows_too() {
    let mut spills = 0;
    for seed in 0..20 {
        let background = seed % 2 == 1;
        let options = ShardOptions { txn_spill_bytes: 3000, background, ..small_options() };
        spills += random_transaction(seed, options);
    }
    assert!(spills > 100, "only {spills} spills");
}

#[test]
fn what_is_undone_while_it_spills_leaves_no_file() {
    for kept in [0, 300] {
        let options =
            ShardOptions { txn_spill_bytes: 200_000, background: true, segment_rows: 4096, ..small_options() };
        let world = World::with(7, options);
        let tree = world.create(1);
        let files = || world.disk.list("segments").unwrap().len();
        let before = files();
        let mut txn = world.begin();
        for key in 0..kept {
            txn.put(&tree, key, key);
        }
        let command = savepoint(&mut txn);
        for key in 0..10_000 {
            txn.put(&tree, 1_000 + key * 7 % 10_000, key);
        }
        assert!(world.shard.metrics().spills > 0);
        txn.shard.rollback_to(txn.id, command).unwrap();
        assert_eq!(txn.rows(&tree).len() as i64, kept);
        if kept == 0 {
            assert_eq!(files(), before, "no file of it is left");
        }
        // What stayed, and what comes, may spill as if nothing had been.
        for key in 2_000..6_000 {
            txn.put(&tree, key, key);
        }
        txn.commit().unwrap();
        assert_eq!(world.rows(&tree).len() as i64, kept + 4_000);
        assert_eq!(world.restart().rows(&tree).len() as i64, kept + 4_000);
    }
}

#[test]
fn ten_thousand_savepoints_cost_little() {
    let world = World::new(1);
    let tree = world.create(1);
    let mut txn = world.begin();
    let mut first = None;
    for key in 0..10_000 {
        let command = savepoint(&mut txn);
        first.get_or_insert(command);
        txn.put(&tree, key, key);
        if key % 3 == 0 {
            txn.shard.rollback_to(txn.id, command).unwrap();
        }
    }
    assert_eq!(txn.rows(&tree).len(), 6666);
    txn.shard.rollback_to(txn.id, first.unwrap()).unwrap();
    assert_eq!(txn.rows(&tree).len(), 0);
    assert!(!txn.shard.has_writes(txn.id));
    txn.rollback();
}
