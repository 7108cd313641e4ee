//! Freezing and merging compute on threads that give way, and what is done under locks is done on threads that do not.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::executor::block_on;
use futures::future::BoxFuture;
use heliosdb_contracts::{ShardStore, TreeDescriptorRef};
use heliosdb_runtime::{Clock, RealClock, SeededEntropy, SimDisk, Spawner};
use heliosdb_storage::{Shard, ShardOptions, ShardParts};
use heliosdb_types::{BranchId, CommandId};
use parking_lot::Mutex;

use crate::support::{context, descriptor, keyed, scan, small_options};

/// Tells who sleeps, which with next to no bytes a second are those that read and write in the background; nobody sleeps long.
#[derive(Debug, Default)]
struct Sleepers {
    real: RealClock,
    seen: Mutex<BTreeSet<(String, i32)>>,
}

impl Clock for Sleepers {
    fn now_micros(&self) -> i64 {
        self.real.now_micros()
    }

    fn monotonic(&self) -> Duration {
        self.real.monotonic()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.real.sleep(duration)
    }

    fn sleep_blocking(&self, _: Duration) {
        self.seen.lock().insert(this_thread());
    }
}

/// The thread's name and niceness: the second and the 19th field; a name may hold spaces.
fn this_thread() -> (String, i32) {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    let (before, after) = stat.rsplit_once(')').unwrap();
    let name = before.split_once('(').unwrap().1;
    (name.to_owned(), after.split_ascii_whitespace().nth(16).unwrap().parse().unwrap())
}

/// A shard that freezes and merges on threads of their own.
fn open(clock: &Arc<Sleepers>, options: ShardOptions) -> Arc<Shard> {
    let parts = ShardParts {
        disk: Arc::new(SimDisk::new(5)),
        clock: clock.clone(),
        entropy: Arc::new(SeededEntropy::new(3)),
        spawner: Spawner::threads(),
    };
    let options = ShardOptions { background: true, log_inline: false, young_segments_max: 1, ..options };
    Shard::open(parts, options).unwrap().0
}

/// So many rows more, which lie between all others; the first round makes the tree.
fn write(shard: &Shard, tree: &TreeDescriptorRef, rows: i64, round: i64) {
    let txn = shard.begin(BranchId(0)).unwrap();
    if round == 0 {
        shard.define_tree(txn, CommandId(0), tree.clone()).unwrap();
    }
    let rows = (0..rows).map(|key| keyed(tree, key * 10_000 + round, key)).collect();
    shard.stage_inserts(txn, CommandId(1), tree.clone(), rows).unwrap();
    block_on(shard.durable(shard.commit(txn).unwrap().lsn)).unwrap();
}

#[test]
fn freezing_and_merging_give_way() {
    let clock = Arc::new(Sleepers::default());
    let shard = open(&clock, ShardOptions { background_io_rate: 1, background_niceness: 7, ..small_options() });
    let tree = descriptor(2000);
    for round in 0..4 {
        write(&shard, &tree, 200, round);
        block_on(shard.checkpoint(true)).unwrap();
    }
    let metrics = shard.metrics();
    assert!(metrics.freezes >= 4 && metrics.compactions >= 1, "{metrics:?}");
    let (_, before) = this_thread();
    let nice = (before + 7).min(19);
    let expected = BTreeSet::from(["freeze rows", "merge rows"].map(|name| (name.to_owned(), nice)));
    assert_eq!(*clock.seen.lock(), expected);
}

#[test]
fn freezing_and_merging_rest_while_tables_are_scanned() {
    let clock = Arc::new(Sleepers::default());
    let shard = open(&clock, ShardOptions { memtable_bytes: 8 << 10, background_niceness: 1, ..small_options() });
    let tree = descriptor(2000);
    let rested = || {
        let seen = clock.seen.lock();
        let name = |wanted: &'static str| seen.iter().any(|(name, _)| name == wanted).then_some(wanted);
        ["freeze rows", "merge rows"].into_iter().filter_map(name).collect::<Vec<_>>()
    };
    let mut round = 0;
    while shard.metrics().compactions < 2 {
        write(&shard, &tree, 20, round);
        round += 1;
        assert!(round < 5000);
    }
    assert_eq!(rested(), [""; 0], "nobody reads");
    let all = context(None, 0, &shard.snapshot(BranchId(0)));
    while rested().len() < 2 {
        scan(&shard, &all, &tree, vec![]);
        write(&shard, &tree, 20, round);
        round += 1;
        assert!(round < 5000, "{:?}", rested());
    }
    block_on(shard.checkpoint(true)).unwrap();
    clock.seen.lock().clear();
    // Too few to be frozen before the checkpoint, which is waited for.
    write(&shard, &tree, 20, round);
    scan(&shard, &all, &tree, vec![]);
    block_on(shard.checkpoint(true)).unwrap();
    assert_eq!(rested(), [""; 0], "somebody waits");
}
