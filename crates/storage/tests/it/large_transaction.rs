//! One transaction of many rows, while others commit small ones: they must not wait for it, and it must not fill memory.
//!
//! A scaled-down run is part of the tests. At full size, optimised, on a real disk, with a table of what was measured:
//! `HELIOSDB_LARGE_TXN_ROWS=10000000 cargo test --profile sim -p heliosdb-storage --test it large_transaction -- --nocapture`

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::executor::block_on;
use heliosdb_contracts::{ShardStore, WriteBatch};
use heliosdb_runtime::{RealClock, RealDisk, SeededEntropy, Spawner, resident_bytes};
use heliosdb_storage::{Shard, ShardOptions, ShardParts};
use heliosdb_types::{BranchId, CommandId, TxnId};

use crate::support::*;

const BATCH: usize = 1000;

struct Folder(std::path::PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn open(folder: &Folder, options: ShardOptions) -> Arc<Shard> {
    let parts = ShardParts {
        disk: Arc::new(RealDisk::new(&folder.0).unwrap()),
        clock: Arc::new(RealClock::new()),
        entropy: Arc::new(SeededEntropy::new(1)),
        spawner: Spawner::threads(),
    };
    Shard::open(parts, options).unwrap().0
}

/// How long small commits took, in microseconds, and what else was seen meanwhile.
#[derive(Default)]
struct Seen {
    micros: Vec<u64>,
    transaction_bytes_max: u64,
    resident_max: u64,
}

impl Seen {
    fn percentile(&mut self, share: f64) -> u64 {
        self.micros.sort_unstable();
        let at = ((self.micros.len() as f64 * share) as usize).min(self.micros.len().saturating_sub(1));
        self.micros.get(at).copied().unwrap_or(0)
    }
}

/// Commits one row after another to a tree of its own until told to stop.
fn small_commits(shard: &Shard, stop: &AtomicBool) -> Seen {
    let tree = descriptor(3000);
    let mut seen = Seen::default();
    let mut key = 0;
    while !stop.load(Ordering::Relaxed) {
        key += 1;
        let began = Instant::now();
        let mut txn = Txn { shard, id: shard.begin(BranchId(0)).unwrap(), command: 0 };
        txn.put(&tree, key % 1000, key);
        txn.commit().unwrap();
        seen.micros.push(began.elapsed().as_micros() as u64);
        if key % 64 == 0 {
            seen.transaction_bytes_max = seen.transaction_bytes_max.max(shard.metrics().transaction_bytes);
            seen.resident_max = seen.resident_max.max(resident_bytes());
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    seen
}

/// Runs `large` beside small commits; gives how long it took, its commit alone, and what the small ones saw.
fn beside(shard: &Arc<Shard>, large: impl FnOnce(TxnId)) -> (Duration, Duration, Seen) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let small = scope.spawn(|| small_commits(shard, &stop));
        let began = Instant::now();
        let id = shard.begin(BranchId(0)).unwrap();
        large(id);
        let staged = began.elapsed();
        let appended = shard.commit(id).unwrap();
        block_on(shard.durable(appended.lsn)).unwrap();
        let total = began.elapsed();
        stop.store(true, Ordering::Relaxed);
        (total, total - staged, small.join().unwrap())
    })
}

#[test]
fn others_commit_beside_a_transaction_of_many_rows() {
    let rows: i64 = std::env::var("HELIOSDB_LARGE_TXN_ROWS").map_or(60_000, |rows| rows.parse().unwrap());
    let scaled_down = rows < 1_000_000;
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let name = format!("heliosdb-large-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let folder = Folder(std::env::temp_dir().join(name));
    let options = if scaled_down {
        let (memtable_bytes, txn_spill_bytes) = (4 << 20, 1 << 20);
        ShardOptions { memtable_bytes, txn_spill_bytes, mask_rows_min: 1000, ..ShardOptions::default() }
    } else {
        ShardOptions::default()
    };
    let spill_bytes = options.txn_spill_bytes as u64;
    let shard = open(&folder, options);
    let (tree, small) = (descriptor(2000), descriptor(3000));
    let txn = Txn { shard: &shard, id: shard.begin(BranchId(0)).unwrap(), command: 0 };
    shard.define_tree(txn.id, CommandId(0), tree.clone()).unwrap();
    shard.define_tree(txn.id, CommandId(0), small).unwrap();
    txn.commit().unwrap();
    let idle = {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let small = scope.spawn(|| small_commits(&shard, &stop));
            std::thread::sleep(Duration::from_millis(if scaled_down { 300 } else { 5_000 }));
            stop.store(true, Ordering::Relaxed);
            small.join().unwrap()
        })
    };
    let insert = beside(&shard, |id| {
        for (command, first) in (0..rows).step_by(BATCH).enumerate() {
            let batch = (first..(first + BATCH as i64).min(rows)).map(|key| keyed(&tree, key, key)).collect();
            shard.stage_inserts(id, CommandId(command as u32), tree.clone(), batch).unwrap();
        }
    });
    // Batches of one statement, and batches that are statements.
    let update = beside(&shard, |id| {
        for first in (0..rows).step_by(BATCH) {
            let keys = first..(first + BATCH as i64).min(rows);
            let place = |key: i64| hint(&shard.newest(id, tree.tree, &key_bytes(key), false).unwrap());
            let updates = keys.map(|key| (keyed(&tree, key, key + 1), place(key))).collect();
            let batch = WriteBatch { descriptor: tree.clone(), updates, deletes: vec![] };
            shard.stage_writes(id, CommandId(0), batch).unwrap();
        }
    });
    let delete = beside(&shard, |id| {
        for first in (0..rows).step_by(BATCH) {
            let newest = |key: i64| shard.newest(id, tree.tree, &key_bytes(key), false).unwrap();
            let keys = first..(first + BATCH as i64).min(rows);
            let deletes = keys.map(|key| (key_bytes(key), hint(&newest(key)))).collect();
            let batch = WriteBatch { descriptor: tree.clone(), updates: vec![], deletes };
            shard.stage_writes(id, CommandId((first / BATCH as i64) as u32), batch).unwrap();
        }
    });
    println!("| what | seconds | commit s | small commits | p50 ms | p99.9 ms | max ms | txn MB | resident MB |");
    let idle = (Duration::ZERO, Duration::ZERO, idle);
    let mut steps = [("nothing else", idle), ("insert", insert), ("update", update), ("delete", delete)];
    for (what, (total, commit, seen)) in &mut steps {
        let [p50, p999, max] = [0.5, 0.999, 1.0].map(|share| seen.percentile(share) as f64 / 1e3);
        println!(
            "| {what} | {:.1} | {:.2} | {} | {p50:.2} | {p999:.1} | {max:.1} | {:.0} | {:.0} |",
            total.as_secs_f64(),
            commit.as_secs_f64(),
            seen.micros.len(),
            seen.transaction_bytes_max as f64 / 1e6,
            seen.resident_max as f64 / 1e6,
        );
        let held = seen.transaction_bytes_max;
        assert!(held < spill_bytes * 5 / 2, "{what}: {held} bytes of a transaction in memory");
    }
    let left = shard.tree_size(tree.tree).rows;
    assert_eq!(left, 0, "all rows were deleted");
    for (_, (time, _, seen)) in steps.iter().skip(1) {
        // The large transaction takes seconds; nobody may wait for a good part of it.
        let longest = seen.micros.last().copied().unwrap_or(0);
        let allowed = (time.as_micros() as u64 / 2).max(1_000_000);
        assert!(longest < allowed, "a small commit took {longest} us beside a transaction of {time:?}");
        assert!(seen.micros.len() > 10, "small commits went on");
    }
    drop(shard);
    let shard = open(&folder, ShardOptions::default());
    assert_eq!(shard.tree_size(tree.tree).rows, 0);
}
