//! Micro-benchmarks of the shard's parts, through its public face: `cargo bench --manifest-path bench/storage/Cargo.toml`.

use std::sync::Arc;

use bench_storage::{ours, rows};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use futures::executor::block_on;
use heliosdb_contracts::ShardStore;
use heliosdb_runtime::{RealClock, RealEntropy, SimDisk, Spawner};
use heliosdb_storage::{Shard, ShardOptions, ShardParts};
use heliosdb_types::Lsn;
use heliosdb_wal::{NewRecord, RecordKind, ReplayFrom, Wal, WalConfig, WalOptions};

fn parts() -> ShardParts {
    // In memory, so that the processor's part is measured.
    ShardParts {
        disk: Arc::new(SimDisk::new(1)),
        clock: Arc::new(RealClock::new()),
        entropy: Arc::new(RealEntropy),
        spawner: Spawner::threads(),
    }
}

fn shard() -> Arc<Shard> {
    let options = ShardOptions { memtable_bytes: 1 << 30, background: false, ..ShardOptions::default() };
    let (shard, _) = Shard::open(parts(), options).expect("open");
    ours::define(&shard, &rows::descriptor()).expect("define");
    shard
}

/// A thousand rows, ten to a transaction.
fn insert(shard: &Shard, from: u64) -> Lsn {
    let mut last = Lsn(0);
    for from in (from..from + 1000).step_by(10) {
        let some = (from..from + 10).map(|n| rows::row(n, 0)).collect();
        last = ours::insert(shard, &rows::descriptor(), some).expect("insert");
    }
    last
}

fn log_append(c: &mut Criterion) {
    let parts = parts();
    let config = WalConfig {
        disk: parts.disk,
        dir: "wal".into(),
        options: WalOptions::default(),
        clock: parts.clock,
        entropy: parts.entropy,
        spawner: parts.spawner,
    };
    let (wal, _) = Wal::open(config, ReplayFrom::default(), &mut |_| Ok(())).expect("open");
    let ops = [7_u8; 300];
    let mut group = c.benchmark_group("log");
    group.throughput(Throughput::Bytes(300));
    group.bench_function("append 300 bytes", |b| {
        b.iter(|| wal.append(&NewRecord::new(RecordKind(1), &ops)).expect("append"));
        let newest = wal.newest();
        wal.wait_durable_blocking(newest).expect("durable");
        wal.retire(Lsn(newest.0 + 1)).expect("retire");
    });
    group.finish();
}

fn memtable(c: &mut Criterion) {
    let mut group = c.benchmark_group("memtable");
    group.throughput(Throughput::Elements(1000));
    group.bench_function("insert 1,000 rows, 10 a commit", |b| {
        b.iter_batched(shard, |shard| _ = insert(&shard, 0), BatchSize::PerIteration);
    });
    let shard = shard();
    let last = (0..50).map(|n| insert(&shard, n * 1000)).last().expect("some");
    block_on(shard.durable(last)).expect("durable");
    group.throughput(Throughput::Elements(1));
    get(&mut group, "get", &shard, 50_000);
    group.finish();
}

fn get(
    group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
    name: &str,
    shard: &Shard,
    count: u64,
) {
    let (context, descriptor) = (ours::context(shard), rows::descriptor());
    let columns = rows::columns(&descriptor);
    let mut rng = rows::Rng(1);
    group.bench_function(name, |b| {
        b.iter_batched(
            || rows::key(rng.below(count)),
            |key| ours::get(shard, &context, descriptor.tree, &key, &columns),
            BatchSize::SmallInput,
        );
    });
}

fn segment(c: &mut Criterion) {
    let shard = shard();
    let descriptor = rows::descriptor();
    ours::load(&shard, &descriptor, (0..200_000).map(|n| rows::row(n, 0))).expect("load");
    block_on(shard.checkpoint(true)).expect("settle");
    let mut group = c.benchmark_group("segment");
    get(&mut group, "point read, 16 columns", &shard, 200_000);
    let mut next = 0;
    group.throughput(Throughput::Elements(10));
    group.bench_function("delete vector, 10 rows a commit", |b| {
        b.iter_batched(
            || {
                next += 10;
                (next - 10..next).map(|n| rows::key(rows::mix(n) % 200_000)).collect::<Vec<_>>()
            },
            |mut keys| {
                keys.sort_unstable();
                keys.dedup();
                ours::delete(&shard, &descriptor, &keys).expect("delete")
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn compaction(c: &mut Criterion) {
    let mut group = c.benchmark_group("compaction");
    group.sample_size(10);
    group.throughput(Throughput::Elements(40_000));
    let crowded = || {
        let options = ShardOptions { background: false, young_segments_max: 3, ..ShardOptions::default() };
        let (shard, _) = Shard::open(parts(), options).expect("open");
        ours::define(&shard, &rows::descriptor()).expect("define");
        for part in 0..4 {
            let some = (0..10_000).map(|n| rows::row(n * 4 + part, 0)).collect();
            block_on(shard.durable(ours::insert(&shard, &rows::descriptor(), some).expect("insert"))).expect("durable");
            block_on(shard.checkpoint(false)).expect("freeze");
        }
        shard
    };
    group.bench_function("merge 4 overlapping segments of 10,000 rows", |b| {
        b.iter_batched(crowded, |shard| assert!(shard.merge_once().expect("merge")), BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(micro, log_append, memtable, segment, compaction);
criterion_main!(micro);
