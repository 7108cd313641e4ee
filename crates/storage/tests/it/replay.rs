//! Replaying the log with one thread or two: the same rows, the same errors.

use std::sync::Arc;

use futures::executor::block_on;
use heliosdb_contracts::ShardStore;
use heliosdb_runtime::{Disk, SimDisk};
use heliosdb_storage::ShardOptions;
use heliosdb_types::CommandId;

use crate::support::*;

/// A few kilobytes of the log make a batch, which is what a second thread is given.
fn options() -> ShardOptions {
    ShardOptions { log_file_bytes: 64 << 10, txn_spill_bytes: 20_000, mask_rows_min: 100, ..small_options() }
}

fn with_threads(inline: bool) -> ShardOptions {
    ShardOptions { log_inline: inline, ..options() }
}

/// Inserts, updates and deletes by transactions of a few rows.
fn write(world: &World, tree: &heliosdb_contracts::TreeDescriptorRef, from: i64, expected: &mut Rows) {
    for n in from..from + 300 {
        let mut txn = world.begin();
        for key in [n * 37 % 500, n * 11 % 400 + 1_000, n + 5_000] {
            if (n + key) % 5 == 0 {
                txn.delete(tree, key);
                expected.remove(&key);
            } else {
                txn.put(tree, key, n);
                expected.insert(key, n);
            }
        }
        txn.commit().unwrap();
    }
}

/// Some rows at once, which become a file that the log names.
fn load(world: &World, tree: &heliosdb_contracts::TreeDescriptorRef, keys: std::ops::Range<i64>) {
    let txn = world.begin();
    for (command, first) in keys.clone().step_by(100).enumerate() {
        let rows = (first..(first + 100).min(keys.end)).map(|key| keyed(tree, key, key)).collect();
        world.shard.stage_inserts(txn.id, CommandId(command as u32), tree.clone(), rows).unwrap();
    }
    txn.commit().unwrap();
    assert!(world.shard.metrics().spills > 0);
}

#[test]
fn two_threads_replay_what_one_does() {
    let world = World::with(51, options());
    let (tree, other, gone) = (world.create(2000), world.create(2001), world.create(2002));
    let (mut rows, mut others) = (Rows::new(), Rows::new());
    write(&world, &tree, 0, &mut rows);
    write(&world, &gone, 0, &mut Rows::new());
    block_on(world.shard.checkpoint(false)).unwrap();
    // What the log has from here on is of rows in segments, of rows loaded, and of its own.
    write(&world, &tree, 200, &mut rows);
    load(&world, &tree, 20_000..21_000);
    rows.extend((20_000..21_000).map(|key| (key, key)));
    write(&world, &other, 0, &mut others);
    let mut txn = world.begin();
    for key in 20_100..20_400 {
        assert!(txn.delete(&tree, key));
        rows.remove(&key);
    }
    txn.commit().unwrap();
    let drops = world.begin();
    world.shard.drop_tree(drops.id, CommandId(0), gone.tree).unwrap();
    drops.commit().unwrap();
    let wide = widened(&other);
    let widens = world.begin();
    world.shard.define_tree(widens.id, CommandId(0), wide.clone()).unwrap();
    widens.commit().unwrap();
    write(&world, &wide, 300, &mut others);
    write(&world, &tree, 400, &mut rows);
    assert_eq!((world.rows(&tree), world.rows(&wide)), (rows.clone(), others.clone()));
    let visible = world.shard.visible_ts();
    let World { disk, clock, shard, .. } = world;
    drop(shard);
    let mut sizes = Vec::new();
    for inline in [true, false, true, false] {
        let options = with_threads(inline);
        let shard = open_on(disk.clone(), &clock, &options).unwrap();
        let world = World { disk: disk.clone(), clock: clock.clone(), options, shard };
        assert_eq!((world.rows(&tree), world.rows(&wide)), (rows.clone(), others.clone()), "inline: {inline}");
        assert_eq!((world.shard.visible_ts(), world.shard.descriptor(None, gone.tree)), (visible, None));
        for (key, value) in &rows {
            assert_eq!(world.get_at(&tree, *key, &world.snapshot()), Some(*value), "key {key}");
        }
        let size = |tree| (world.shard.tree_size(tree).rows, world.shard.tree_size(tree).memory_bytes);
        sizes.push((size(tree.tree), size(other.tree)));
    }
    assert!(sizes.iter().all(|size| *size == sizes[0]), "{sizes:?}");
    assert_eq!(sizes[0].0.0, rows.len() as u64);
}

/// The log's files, without those that wait to be reused.
fn log(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let names = disk.list("wal").unwrap().into_iter().filter(|name| !name.starts_with("spare"));
    names.map(|name| (name.clone(), disk.read(&format!("wal/{name}")).unwrap())).collect()
}

#[test]
fn a_log_that_cannot_be_applied_is_left_as_it_is() {
    for (inline, follows) in [(true, 3), (false, 3), (true, 0), (false, 0)] {
        let world = World::with(52, options());
        let tree = world.create(2000);
        write(&world, &tree, 0, &mut Rows::new());
        load(&world, &tree, 20_000..21_000);
        // The record that fails is followed by many, which are read before it is applied; or by none.
        (0..follows).for_each(|part| write(&world, &tree, part * 300, &mut Rows::new()));
        let World { disk, clock, shard, .. } = world;
        drop(shard);
        let lost = disk.list("segments").unwrap().remove(0);
        disk.remove(&format!("segments/{lost}")).unwrap();
        let before = log(&disk);
        let opened = open_on(disk.clone() as Arc<dyn Disk>, &clock, &with_threads(inline));
        let error = opened.err().expect("a file is lost").to_string();
        assert!(error.contains(&lost), "{error}");
        assert!(before == log(&disk), "the log has changed (inline: {inline})");
    }
}
