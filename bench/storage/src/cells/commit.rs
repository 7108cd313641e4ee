//! Group commit: a transaction of one row, by one client and by 32, beside a bare write and fdatasync of as many bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::executor::block_on;
use heliosdb_contracts::{ShardStore, TreeDescriptorRef};
use heliosdb_runtime::Pool;
use heliosdb_storage::{Shard, ShardOptions};

use crate::Options;
use crate::measure::{SyncProbe, turns};
use crate::report::{Bar, Report};
use crate::{ours, peer, rows};

const CLIENTS: usize = 32;
/// A record's head and the row's tree, key length and schema.
const RECORD_OVERHEAD: usize = 96;

pub fn run(options: &Options, report: &mut Report) {
    let slice = Duration::from_millis(if options.quick { 300 } else { 2000 });
    let rounds = if options.quick { 3 } else { 5 };
    let dir = options.fresh("commit");
    let (shard, _) = ours::open(&dir.join("ours"), ShardOptions::default()).expect("open");
    let descriptor = rows::descriptor();
    ours::define(&shard, &descriptor).expect("define");
    let bytes = rows::row(1, 0).row.len() + 9 + RECORD_OVERHEAD;
    let mut probe = SyncProbe::new(&dir.join("probe"));
    let peer = peer::open(&dir.join("fjall"), 64 << 20, 64 << 20);
    let next = Arc::new(AtomicU64::new(0));
    let pool = Pool::new("clients", 2).expect("a pool");
    let one = || {
        per_second(slice, || {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let lsn = ours::insert(&shard, &descriptor, vec![rows::row(n, 0)]).expect("commit");
            block_on(shard.durable(lsn)).expect("durable");
        })
    };
    let many = || clients(&pool, &shard, &descriptor, &next, slice);
    let bare = || per_second(slice, || _ = probe.once(bytes));
    let fjall = || {
        per_second(slice, || peer.write(&[rows::row(next.fetch_add(1, Ordering::Relaxed), 0)], true));
        per_second(slice, || peer.write(&[rows::row(next.fetch_add(1, Ordering::Relaxed), 0)], true))
    };
    let figures = turns(
        rounds,
        &mut [("bare", Box::new(bare)), ("one", Box::new(one)), ("many", Box::new(many)), ("fjall", Box::new(fjall))],
    );
    let [bare, one, many, fjall] = figures[..] else { unreachable!("four contenders") };
    report.note("commit", "fjall, one client", "commits/s", fjall);
    report.compare("commit", "one client", "us", 1e6 / one, ("bare fdatasync", 1e6 / bare), Bar::RatioAtMost(1.2));
    report.compare("commit", "32 clients", "commits/s", many, ("one client", one), Bar::RatioAtLeast(10.0));
}

fn per_second(slice: Duration, mut run: impl FnMut()) -> f64 {
    let (begun, mut count) = (Instant::now(), 0);
    while begun.elapsed() < slice {
        run();
        count += 1;
    }
    count as f64 / begun.elapsed().as_secs_f64()
}

/// Commits per second of many clients, tasks as the server's sessions are.
fn clients(
    pool: &Pool,
    shard: &Arc<Shard>,
    descriptor: &TreeDescriptorRef,
    next: &Arc<AtomicU64>,
    slice: Duration,
) -> f64 {
    let stop = Arc::new(AtomicBool::new(false));
    let client = || {
        let (shard, descriptor, next, stop) = (shard.clone(), descriptor.clone(), next.clone(), stop.clone());
        async move {
            let mut count = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let lsn = ours::insert(&shard, &descriptor, vec![rows::row(n, 0)]).expect("commit");
                shard.durable(lsn).await.expect("durable");
                count += 1;
            }
            count
        }
    };
    let begun = Instant::now();
    let tasks: Vec<_> = (0..CLIENTS).map(|_| pool.spawner().task(client())).collect();
    std::thread::sleep(slice);
    stop.store(true, Ordering::Relaxed);
    let count: u64 = tasks.into_iter().map(|task| pool.block_on(task).expect("a client")).sum();
    count as f64 / begun.elapsed().as_secs_f64()
}
