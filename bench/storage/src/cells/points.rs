//! Point reads and short ranges by primary key, beside fjall holding the same rows as encoded values.
//!
//! *Memory*: rows still in the memtable, fjall's too. *Again*: few rows of segments, read over and over. *Warm*: all rows in
//! segments and every block of them in the cache, keys at random. *Larger*: rows of four times the memory either may use.
//! Processor time of the reading thread; files are in the page cache.

use futures::executor::block_on;
use heliosdb_contracts::{KeyRange, ShardStore};
use heliosdb_storage::{Shard, ShardOptions};

use crate::Options;
use crate::measure::{Contender, cpu_seconds, turns};
use crate::peer::Peer;
use crate::report::{Bar, Report};
use crate::rows::Rng;
use crate::{ours, peer, rows};

const RANGE_ROWS: u64 = 100;

struct Both<'a> {
    shard: &'a Shard,
    peer: &'a Peer,
    /// Keys are `0..rows`.
    rows: u64,
    reads: u64,
    rounds: usize,
}

pub fn run(options: &Options, report: &mut Report) {
    let rows = options.rows.unwrap_or(if options.quick { 200_000 } else { 10_000_000 });
    let (reads, rounds) = if options.quick { (20_000, 3) } else { (200_000, 5) };
    in_memory(options, reads, rounds, report);
    let dir = options.fresh("points");
    let descriptor = rows::descriptor();
    let all = || (0..rows).map(|n| rows::row(n, 0));
    let data_bytes: u64 = all().take(1000).map(|row| (row.key.len() + row.row.len()) as u64).sum::<u64>() * rows / 1000;
    {
        let (shard, _) = ours::open(&dir.join("ours"), ShardOptions::default()).expect("open");
        ours::define(&shard, &descriptor).expect("define");
        ours::load(&shard, &descriptor, all()).expect("load");
        shard.close().expect("close");
        let peer = peer::open(&dir.join("fjall"), 64 << 20, 64 << 20);
        peer.load(all());
        peer.rows.major_compact().expect("compact");
    }
    let on_disk = |name: &str| crate::measure::directory_bytes(&dir.join(name)) as f64 / 1e6;
    report.note("points", "encoded rows", "MB", data_bytes as f64 / 1e6);
    report.note("points", "ours on disk, log included", "MB", on_disk("ours"));
    report.note("points", "fjall on disk", "MB", on_disk("fjall"));
    for (budget, warm) in [(data_bytes * 2 + (256 << 20), true), (data_bytes / 4, false)] {
        let settings = ShardOptions { cache_bytes: budget, background: false, ..ShardOptions::default() };
        let (shard, _) = ours::open(&dir.join("ours"), settings).expect("open");
        let peer = peer::open(&dir.join("fjall"), budget, 64 << 20);
        let both = Both { shard: &shard, peer: &peer, rows, reads, rounds };
        if warm {
            both.warm();
            both.again(report);
            both.points("one row, warm segment", 3.0, report);
            both.ranges("100 rows, warm segment", report);
        } else {
            both.points("one row, data 4x the memory", 2.0, report);
            both.ranges("100 rows, data 4x the memory", report);
        }
    }
}

/// A memtable's worth of rows, nothing frozen.
fn in_memory(options: &Options, reads: u64, rounds: usize, report: &mut Report) {
    let dir = options.fresh("points-memory");
    let rows = if options.quick { 20_000 } else { 150_000 };
    let settings = ShardOptions { memtable_bytes: 1 << 30, background: false, ..ShardOptions::default() };
    let (shard, _) = ours::open(&dir.join("ours"), settings).expect("open");
    let descriptor = rows::descriptor();
    ours::define(&shard, &descriptor).expect("define");
    let peer = peer::open(&dir.join("fjall"), 64 << 20, 1 << 30);
    // In no order, as rows come.
    let mut order: Vec<u64> = (0..rows).collect();
    order.sort_unstable_by_key(|n| rows::mix(*n));
    for part in order.chunks(100) {
        let part: Vec<_> = part.iter().map(|n| rows::row(*n, 0)).collect();
        peer.write(&part, false);
        block_on(shard.durable(ours::insert(&shard, &descriptor, part).expect("insert"))).expect("durable");
    }
    Both { shard: &shard, peer: &peer, rows, reads, rounds }.points("one row, memtable", 1.2, report);
}

impl Both<'_> {
    fn keys(&self, seed: u64) -> Vec<bytes::Bytes> {
        let mut rng = Rng(seed);
        (0..self.reads).map(|_| rows::key(rng.below(self.rows))).collect()
    }

    /// Brings everything into the caches.
    fn warm(&self) {
        let (layout, context) = (rows::layout(), ours::context(self.shard));
        let descriptor = rows::descriptor();
        let everything = KeyRange { lower: rows::key(0), upper: Some(rows::key(self.rows)), reverse: false };
        let ours = ours::range(self.shard, &context, descriptor.tree, everything, &rows::columns(&descriptor));
        let its = self.peer.range(&rows::key(0), &rows::key(self.rows), &layout);
        assert_eq!(ours, its, "both hold the same rows");
    }

    fn points(&self, what: &str, bar: f64, report: &mut Report) {
        self.compare(what, bar, &self.keys(7), report);
    }

    /// The same thousand rows again and again.
    fn again(&self, report: &mut Report) {
        let few = self.keys(11);
        let keys: Vec<_> = (0..self.reads as usize).map(|n| few[n % 1000].clone()).collect();
        self.compare("one row, read before (row cache)", 1.2, &keys, report);
    }

    fn compare(&self, what: &str, bar: f64, keys: &[bytes::Bytes], report: &mut Report) {
        let (layout, context) = (rows::layout(), ours::context(self.shard));
        let descriptor = rows::descriptor();
        let columns = rows::columns(&descriptor);
        let ours = |key: &bytes::Bytes| ours::get(self.shard, &context, descriptor.tree, key, &columns);
        for key in keys.iter().take(1000) {
            assert_eq!(ours(key), self.peer.get_values(key, &layout), "both give the same row");
        }
        let each = |read: &dyn Fn(&bytes::Bytes) -> u64| {
            let mut sum = 0_u64;
            let took = cpu_seconds(|| keys.iter().for_each(|key| sum = sum.wrapping_add(read(key))));
            std::hint::black_box(sum);
            took * 1e6 / keys.len() as f64
        };
        let mut contenders: [Contender<'_>; 3] = [
            ("ours", Box::new(|| each(&ours))),
            ("fjall", Box::new(|| each(&|key| self.peer.get(key)))),
            ("fjall, values", Box::new(|| each(&|key| self.peer.get_values(key, &layout)))),
        ];
        let figures = turns(self.rounds, &mut contenders);
        report.note("points", &format!("{what}: fjall, get and decode"), "us", figures[2]);
        report.compare("points", what, "us", figures[0], ("fjall get", figures[1]), Bar::RatioAtMost(bar));
    }

    fn ranges(&self, what: &str, report: &mut Report) {
        let (layout, context) = (rows::layout(), ours::context(self.shard));
        let descriptor = rows::descriptor();
        let columns = rows::columns(&descriptor);
        let mut rng = Rng(13);
        let starts: Vec<u64> = (0..self.reads / 50).map(|_| rng.below(self.rows - RANGE_ROWS)).collect();
        let ours = |from: u64| {
            let (lower, upper) = (rows::key(from), rows::key(from + RANGE_ROWS));
            let keys = KeyRange { lower, upper: Some(upper), reverse: false };
            ours::range(self.shard, &context, descriptor.tree, keys, &columns)
        };
        let its = |from: u64| self.peer.range(&rows::key(from), &rows::key(from + RANGE_ROWS), &layout);
        let each = |read: &dyn Fn(u64) -> (usize, u64)| {
            let took = cpu_seconds(|| starts.iter().for_each(|from| assert_eq!(read(*from).0, RANGE_ROWS as usize)));
            took * 1e6 / starts.len() as f64
        };
        assert_eq!(ours(starts[0]), its(starts[0]), "both give the same rows");
        let mut contenders: [Contender<'_>; 2] =
            [("ours", Box::new(|| each(&ours))), ("fjall", Box::new(|| each(&its)))];
        let figures = turns(self.rounds, &mut contenders);
        report.compare("points", what, "us", figures[0], ("fjall range", figures[1]), Bar::RatioAtMost(2.0));
    }
}
