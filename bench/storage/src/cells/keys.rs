//! Random UUID keys: does inserting stay fast as the table grows, and how many Bloom filters does a uniqueness probe ask?

use std::time::Instant;

use futures::executor::block_on;
use heliosdb_contracts::ShardStore;
use heliosdb_storage::ShardOptions;

use crate::Options;
use crate::measure::directory_bytes;
use crate::report::{Bar, Report};
use crate::{ours, rows};

const BATCH: u64 = 1000;

pub fn run(options: &Options, report: &mut Report) {
    let total = options.rows.unwrap_or(if options.quick { 300_000 } else { 100_000_000 });
    // The first tenth is what the end is compared with: 10 M of 100 M.
    let window = (total / 10).max(BATCH);
    let dir = options.fresh("keys");
    let memtable_bytes = if options.quick { 4 << 20 } else { 64 << 20 };
    let (shard, _) = ours::open(&dir, ShardOptions { memtable_bytes, ..ShardOptions::default() }).expect("open");
    let descriptor = rows::uuid::descriptor();
    ours::define(&shard, &descriptor).expect("define");
    let mut rates = Vec::new();
    let (mut at, mut segments_max) = (0, 0);
    while at < total {
        let (begun, end) = (Instant::now(), (at + window).min(total));
        let from = at;
        while at < end {
            let some = (at..(at + BATCH).min(end)).map(rows::uuid::row).collect();
            let lsn = ours::insert_unique(&shard, &descriptor, some).expect("insert");
            block_on(shard.durable(lsn)).expect("durable");
            at += BATCH;
        }
        let rate = (end - from) as f64 / begun.elapsed().as_secs_f64();
        let metrics = shard.metrics();
        segments_max = segments_max.max(metrics.segments);
        let what = format!("{:.1} M rows, {} segments", end as f64 / 1e6, metrics.segments);
        report.note("keys", &what, "rows/s", rate);
        rates.push(rate);
    }
    let metrics = shard.metrics();
    report.note("keys", "segments at most", "", segments_max as f64);
    report.note("keys", "rows written by merges a row inserted", "", metrics.compacted_rows as f64 / total as f64);
    report.note("keys", "bytes on disk a row", "B", directory_bytes(&dir.join("segments")) as f64 / total as f64);
    let (first, last) = (rates[0], rates[rates.len() - 1]);
    let what = format!("inserts at {:.0} M", total as f64 / 1e6);
    let beside = format!("at {:.1} M", window as f64 / 1e6);
    report.compare("keys", &what, "rows/s", last, (&beside, first), Bar::RatioAtLeast(0.5));
    let probes = metrics.key_probes.max(1) as f64;
    let blooms = metrics.key_blooms as f64 / probes;
    report.judge("keys", "Bloom filters asked a uniqueness probe", "", blooms, Bar::AtMost(11.0));
    report.note("keys", "most of one probe", "", metrics.key_blooms_max as f64);
}
