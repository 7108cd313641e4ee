//! Freezing and merging compute on threads that give way, and what is done under locks is done on threads that do not.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::executor::block_on;
use futures::future::BoxFuture;
use heliosdb_contracts::ShardStore;
use heliosdb_runtime::{Clock, RealClock, SeededEntropy, SimDisk, Spawner};
use heliosdb_storage::{Shard, ShardOptions, ShardParts};
use heliosdb_types::{BranchId, CommandId};
use parking_lot::Mutex;

use crate::support::{descriptor, keyed, small_options};

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

#[test]
fn freezing_and_merging_give_way() {
    let clock = Arc::new(Sleepers::default());
    let options = ShardOptions {
        background: true,
        log_inline: false,
        young_segments_max: 1,
        background_io_rate: 1,
        background_niceness: 7,
        ..small_options()
    };
    let parts = ShardParts {
        disk: Arc::new(SimDisk::new(5)),
        clock: clock.clone(),
        entropy: Arc::new(SeededEntropy::new(3)),
        spawner: Spawner::threads(),
    };
    let (shard, _) = Shard::open(parts, options).unwrap();
    let tree = descriptor(2000);
    for round in 0..4 {
        let txn = shard.begin(BranchId(0)).unwrap();
        if round == 0 {
            shard.define_tree(txn, CommandId(0), tree.clone()).unwrap();
        }
        let rows = (0..200).map(|key| keyed(&tree, key * 4 + round, key)).collect();
        shard.stage_inserts(txn, CommandId(1), tree.clone(), rows).unwrap();
        block_on(shard.durable(shard.commit(txn).unwrap().lsn)).unwrap();
        block_on(shard.checkpoint(true)).unwrap();
    }
    let metrics = shard.metrics();
    assert!(metrics.freezes >= 4 && metrics.compactions >= 1, "{metrics:?}");
    let (_, before) = this_thread();
    let nice = (before + 7).min(19);
    let expected = BTreeSet::from(["freeze rows", "merge rows"].map(|name| (name.to_owned(), nice)));
    assert_eq!(*clock.seen.lock(), expected);
}
