//! Sustained random upserts of rows of four times the memory, durable, beside fjall under the same load.
//!
//! Both are loaded with all rows first, which also says how large a fresh copy is. Then eight clients replace random rows, ten
//! to a transaction, each keys of its own. A probe syncs a file of its own all the while.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::executor::block_on;
use heliosdb_contracts::{KeyedRow, ShardStore};
use heliosdb_storage::{ShardMetrics, ShardOptions};

use crate::Options;
use crate::measure::{SyncProbe, directory_bytes, io, quantile, resident_bytes, trim};
use crate::report::{Bar, Report};
use crate::rows::{Rng, mix};
use crate::{ours, peer, rows};

const CLIENTS: u64 = 8;
const BATCH: u64 = 10;
/// The load's time is cut into as many parts: the third and the last are compared.
const WINDOWS: usize = 10;

/// What clients saw.
struct Load {
    /// Rows a second, by window.
    rates: Vec<f64>,
    /// Microseconds of each transaction, ascending.
    waits: Vec<u64>,
    /// The probe's, likewise.
    probe: Vec<u64>,
    rows: u64,
    resident_max: u64,
    segments_max: u64,
}

pub fn run(options: &Options, report: &mut Report) {
    let seconds = options.seconds.unwrap_or(if options.quick { 20 } else { 600 });
    let memory: u64 = if options.quick { 64 << 20 } else { 256 << 20 };
    let row_bytes = (rows::row(1, 0).row.len() + 9) as u64;
    let count = memory * 4 / row_bytes / CLIENTS * CLIENTS;
    // As the server divides its budget, without the part of queries: not quite a third for four memtables, a seventh for what nobody
    // counts (buffers of freezing and merging), the rest for what is kept of segments.
    let (memtable_bytes, cache_bytes) = ((memory * 31 / 100 / 4) as usize, memory * 54 / 100);
    let dir = options.fresh("upserts");
    report.note("upserts", "rows", "", count as f64);
    report.note("upserts", "memory for tables and cache", "MB", memory as f64 / 1e6);
    trim();
    let before_open = resident_bytes();
    let settings = ShardOptions { memtable_bytes, cache_bytes, ..ShardOptions::default() };
    let (shard, _) = ours::open(&dir.join("ours"), settings).expect("open");
    let descriptor = rows::descriptor();
    ours::define(&shard, &descriptor).expect("define");
    ours::load(&shard, &descriptor, (0..count).map(|n| rows::row(n, 0))).expect("load");
    block_on(shard.checkpoint(true)).expect("settle");
    trim();
    let segments = dir.join("ours/segments");
    let fresh_bytes = directory_bytes(&segments);
    let mut probe = SyncProbe::new(&dir.join("probe"));
    let before = (io(), shard.metrics());
    let ours = load(
        &mut probe,
        seconds,
        count,
        &|some| {
            let lsn = ours::upsert(&shard, &descriptor, some).expect("upsert");
            block_on(shard.durable(lsn)).expect("durable");
        },
        &|| shard.metrics().segments,
    );
    let after = (io(), shard.metrics());
    let user_bytes = (ours.rows * row_bytes) as f64;
    report.note("upserts", "rows replaced", "", ours.rows as f64);
    let grown = |of: fn(&ShardMetrics) -> u64| (of(&after.1) - of(&before.1)) as f64;
    let parts: [(&str, f64); 3] = [
        ("log", grown(|metrics| metrics.log_appended_bytes)),
        ("freezing", grown(|metrics| metrics.freeze_bytes)),
        ("merging", grown(|metrics| metrics.compaction_written_bytes)),
    ];
    parts
        .iter()
        .for_each(|(what, bytes)| report.note("upserts", &format!("bytes written by {what}"), "MB", bytes / 1e6));
    let written: f64 = parts.iter().map(|(_, bytes)| bytes).sum();
    report.note("upserts", "write amplification, beside encoded rows", "x", written / user_bytes);
    let read = grown(|metrics| metrics.compaction_read_bytes);
    report.note("upserts", "read amplification of merging", "x", read / user_bytes);
    // Whole pages, and whatever the file system dirties with them; the probe's are in it.
    report.note(
        "upserts",
        "pages written, as the system counts",
        "MB",
        (after.0.written - before.0.written) as f64 / 1e6,
    );
    report.note("upserts", "commits slowed down", "", grown(|metrics| metrics.delayed_commits));
    let merged = (after.1.compacted_rows - before.1.compacted_rows) as f64;
    report.note("upserts", "rows written by merges a row replaced", "x", merged / ours.rows as f64);
    report.note("upserts", "commits that waited for room", "", after.1.backpressure_waits as f64);
    report.note("upserts", "segments at most", "", ours.segments_max as f64);
    let settle = Instant::now();
    block_on(shard.checkpoint(true)).expect("settle");
    report.note("upserts", "time to settle", "s", settle.elapsed().as_secs_f64());
    let settled = directory_bytes(&segments) as f64;
    let held = ours.resident_max.saturating_sub(before_open) as f64;
    let metrics = &after.1;
    for (what, bytes) in [
        ("memtables", metrics.memtable_bytes + metrics.frozen_bytes),
        ("block cache", metrics.cache_bytes),
        ("row cache", metrics.row_cache_bytes),
        ("open segments", metrics.segment_memory_bytes),
        ("delete vectors", metrics.delete_vector_bytes),
    ] {
        report.note("upserts", &format!("memory of {what} at the end"), "MB", bytes as f64 / 1e6);
    }
    drop(shard);
    trim();
    let peer = peer::open(&dir.join("fjall"), cache_bytes, memtable_bytes as u64);
    peer.load((0..count).map(|n| rows::row(n, 0)));
    let its = load(&mut probe, seconds, count, &|some| peer.write(&some, true), &|| peer.rows.table_count() as u64);
    for (who, load) in [("ours", &ours), ("fjall", &its)] {
        for (window, rate) in load.rates.iter().enumerate() {
            report.note("upserts", &format!("{who}, part {}", window + 1), "rows/s", *rate);
        }
        for (name, share) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999), ("longest", 1.0)] {
            report.note("upserts", &format!("{who}, wait {name}"), "ms", quantile(&load.waits, share) as f64 / 1e3);
        }
    }
    let (third, last) = (ours.rates[2], ours.rates[WINDOWS - 1]);
    report.compare("upserts", "last tenth of the time", "rows/s", last, ("third tenth", third), Bar::RatioAtLeast(0.8));
    let mean = |load: &Load| load.rates.iter().sum::<f64>() / WINDOWS as f64;
    report.compare("upserts", "whole time", "rows/s", mean(&ours), ("fjall", mean(&its)), Bar::RatioAtLeast(0.5));
    let probe = quantile(&ours.probe, 0.9999) as f64 / 1e3;
    let wait = quantile(&ours.waits, 0.9999) as f64 / 1e3;
    let limit = (3.0 * probe).max(50.0);
    report.note("upserts", "fdatasync probe p99.99", "ms", probe);
    report.compare("upserts", "write wait p99.99", "ms", wait, ("limit", limit), Bar::RatioAtMost(1.0));
    report.compare(
        "upserts",
        "settled",
        "MB",
        settled / 1e6,
        ("fresh", fresh_bytes as f64 / 1e6),
        Bar::RatioAtMost(1.3),
    );
    let budget = ("budget", memory as f64 / 1e6);
    report.compare("upserts", "memory held at most", "MB", held / 1e6, budget, Bar::RatioAtMost(1.15));
}

fn load(
    probe: &mut SyncProbe,
    seconds: u64,
    count: u64,
    write: &(dyn Fn(Vec<KeyedRow>) + Sync),
    segments: &(dyn Fn() -> u64 + Sync),
) -> Load {
    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let waits = Mutex::new(Vec::new());
    let (mut rates, mut resident_max, mut segments_max) = (Vec::new(), 0, 0);
    let mut probe_times = Vec::new();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (stop, written, waits) = (&stop, &written, &waits);
            scope.spawn(move || {
                let mut rng = Rng(mix(client));
                let mut own: Vec<u64> = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let round = rng.next();
                    let mut some: Vec<u64> =
                        (0..BATCH).map(|_| rng.below(count / CLIENTS) * CLIENTS + client).collect();
                    some.sort_unstable();
                    some.dedup();
                    let some: Vec<KeyedRow> = some.into_iter().map(|n| rows::row(n, round)).collect();
                    let rows = some.len() as u64;
                    let begun = Instant::now();
                    write(some);
                    own.push(begun.elapsed().as_micros() as u64);
                    written.fetch_add(rows, Ordering::Relaxed);
                }
                waits.lock().expect("no client panicked").append(&mut own);
            });
        }
        let probing = {
            let stop = &stop;
            scope.spawn(move || {
                let mut times = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    times.push(probe.once(2000).as_micros() as u64);
                    std::thread::sleep(Duration::from_millis(20));
                }
                times
            })
        };
        let window = Duration::from_millis(seconds * 1000 / WINDOWS as u64);
        for _ in 0..WINDOWS {
            let (begun, before) = (Instant::now(), written.load(Ordering::Relaxed));
            while begun.elapsed() < window {
                std::thread::sleep(Duration::from_millis(100).min(window));
                resident_max = resident_max.max(resident_bytes());
                segments_max = segments_max.max(segments());
            }
            let rows = written.load(Ordering::Relaxed) - before;
            rates.push(rows as f64 / begun.elapsed().as_secs_f64());
        }
        stop.store(true, Ordering::Relaxed);
        probe_times = probing.join().expect("the probe");
    });
    let mut waits = waits.into_inner().expect("no client panicked");
    waits.sort_unstable();
    probe_times.sort_unstable();
    let rows = written.load(Ordering::Relaxed);
    Load { rates, waits, probe: probe_times, rows, resident_max, segments_max }
}
