//! Recovery: replaying the log beside reading the same files, and opening a large database beside a small one.

use std::path::Path;
use std::time::Instant;

use futures::executor::block_on;
use heliosdb_contracts::{ShardStore, TreeDescriptorRef};
use heliosdb_storage::ShardOptions;

use crate::Options;
use crate::measure::{median, process_cpu_seconds, seconds};
use crate::report::{Bar, Report};
use crate::{ours, rows};

const ROUNDS: usize = 7;

pub fn run(options: &Options, report: &mut Report) {
    replay(options, report);
    open(options, report);
}

/// Nothing is frozen, so that all is in the log.
fn only_log() -> ShardOptions {
    ShardOptions {
        memtable_bytes: usize::MAX / 4,
        log_bytes_max: u64::MAX / 4,
        background: false,
        ..ShardOptions::default()
    }
}

fn replay(options: &Options, report: &mut Report) {
    let dir = options.fresh("replay");
    let count: u64 = options.rows.unwrap_or(if options.quick { 100_000 } else { 2_000_000 }).min(4_000_000);
    let descriptor = rows::descriptor();
    for (what, inserted) in [("inserts", 1.0), ("inserts and updates", 0.5)] {
        let dir = dir.join(what.replace(' ', "-"));
        write_log(&dir, &descriptor, count, (count as f64 * inserted) as u64);
        let log = dir.join("wal");
        let (mut read, mut replayed, mut cpu, mut bytes) = (f64::INFINITY, f64::INFINITY, f64::INFINITY, 0);
        // In turns, each from the disk. Two threads replay, so what counts is time on the wall, without the few syncs that opening
        // costs besides; of each the least, for whatever else the machine does only adds to it.
        for round in 0..=ROUNDS {
            forget(&log);
            let reading = seconds(|| read_all(&log));
            forget(&log);
            let mut opened = None;
            let opening_cpu = process_cpu_seconds(|| opened = Some(ours::open(&dir, only_log()).expect("open")));
            let (shard, found) = opened.expect("opened");
            assert!(found.replayed_records > 0);
            bytes = found.replayed_bytes;
            let replaying = found.replay_time.as_secs_f64();
            let rows = shard.tree_size(descriptor.tree).rows;
            assert_eq!(rows, (count as f64 * inserted) as u64, "every row comes back");
            // The first opening cuts the log's end; from then on the files are the same.
            if round > 0 {
                (read, replayed, cpu) = (read.min(reading), replayed.min(replaying), cpu.min(opening_cpu));
            }
        }
        let rate = |seconds: f64| bytes as f64 / 1e6 / seconds;
        report.note("recover", &format!("log of {what}"), "MB", bytes as f64 / 1e6);
        report.note("recover", &format!("replay of {what}, a second of processor time"), "MB", rate(cpu));
        let what = format!("replay of {what}, from the disk");
        let peer = ("reading the same files", rate(read));
        report.compare("recover", &what, "MB/s", rate(replayed), peer, Bar::RatioAtLeast(0.3));
    }
}

fn write_log(dir: &Path, descriptor: &TreeDescriptorRef, count: u64, inserted: u64) {
    let (shard, _) = ours::open(dir, only_log()).expect("open");
    ours::define(&shard, descriptor).expect("define");
    let mut last = heliosdb_types::Lsn(0);
    for from in (0..inserted).step_by(10) {
        let some = (from..(from + 10).min(inserted)).map(|n| rows::row(rows::mix(n) >> 1, 0)).collect();
        last = ours::insert(&shard, descriptor, some).expect("insert");
    }
    for from in (inserted..count).step_by(10) {
        let some = (from..(from + 10).min(count)).map(|n| rows::row(rows::mix(n % inserted) >> 1, 1)).collect();
        last = ours::upsert(&shard, descriptor, some).expect("update");
    }
    block_on(shard.durable(last)).expect("durable");
    // Dropped without being closed: a crash.
}

/// Has the page cache forget a folder's files.
fn forget(dir: &Path) {
    use std::os::fd::AsRawFd;
    for entry in std::fs::read_dir(dir).expect("the log").flatten() {
        let file = std::fs::File::open(entry.path()).expect("a log file");
        file.sync_all().expect("synced");
        // SAFETY: takes and returns plain numbers, of a file that is open.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    }
}

fn read_all(dir: &Path) {
    use std::io::Read;
    let mut buffer = vec![0; 1 << 20];
    for entry in std::fs::read_dir(dir).expect("the log").flatten() {
        let mut file = std::fs::File::open(entry.path()).expect("a log file");
        while let Ok(1..) = file.read(&mut buffer) {}
    }
}

fn open(options: &Options, report: &mut Report) {
    let dir = options.fresh("open");
    let (small, large): (u64, u64) = if options.quick { (10 << 20, 200 << 20) } else { (100 << 20, 10 << 30) };
    let descriptor = rows::large::descriptor();
    let mut times = [Vec::new(), Vec::new()];
    let dirs = [dir.join("small"), dir.join("large")];
    for (dir, bytes) in dirs.iter().zip([small, large]) {
        let (shard, _) = ours::open(dir, ShardOptions::default()).expect("open");
        ours::define(&shard, &descriptor).expect("define");
        let rows = bytes / rows::large::BYTES as u64;
        ours::load(&shard, &descriptor, (0..rows).map(rows::large::row)).expect("load");
        shard.close().expect("close");
    }
    for _ in 0..9 {
        for (dir, times) in dirs.iter().zip(&mut times) {
            let begun = Instant::now();
            let (shard, found) = ours::open(dir, ShardOptions::default()).expect("open");
            times.push(begun.elapsed().as_secs_f64() * 1e3);
            assert_eq!(found.replayed_records, 0, "a clean stop leaves nothing to replay");
            assert!(shard.tree_size(descriptor.tree).rows > 0);
        }
    }
    let [small_ms, large_ms] = times.map(|mut times| median(&mut times));
    let name = |bytes: u64| format!("{:.0} MB", bytes as f64 / (1 << 20) as f64);
    let what = format!("open {} after a clean stop", name(large));
    report.compare("recover", &what, "ms", large_ms, (&name(small), small_ms), Bar::RatioAtMost(2.0));
    // Ten gigabytes are not left lying about.
    let _ = std::fs::remove_dir_all(&dir);
}
