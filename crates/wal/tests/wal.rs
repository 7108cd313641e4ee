//! The log on real and simulated disks: what was acknowledged survives, damage is refused, torn tails are cut.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // the fixture is read with std

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use heliosdb_runtime::{
    Canary, Clock, Disk, Entropy, Fault, FaultKind, FaultOp, OpenMode, Pool, RealClock, RealDisk, SeededEntropy,
    SimClock, SimDisk, Spawner,
};
use heliosdb_types::{BranchId, CommitTs, ErrorKind, Lsn, Result, SchemaVersion, SqlState, TxnId};
use heliosdb_wal::{NewRecord, Record, RecordKind, ReplayFrom, ReplayReport, Wal, WalConfig, WalOptions};

#[path = "../../../fuzz/driver.rs"]
mod driver;

const DIR: &str = "wal";

fn config(disk: Arc<dyn Disk>, options: &WalOptions, seed: u64) -> WalConfig {
    let (clock, entropy) = (Arc::new(SimClock::new(0)), Arc::new(SeededEntropy::new(seed)));
    WalConfig { disk, dir: DIR.into(), options: options.clone(), entropy, clock, spawner: Spawner::threads() }
}

fn small() -> WalOptions {
    WalOptions { file_bytes: 4096, ..WalOptions::default() }
}

fn open(disk: &SimDisk, options: &WalOptions, from: ReplayFrom) -> Result<(Wal, ReplayReport, Vec<Record>)> {
    let mut records = Vec::new();
    let config = config(Arc::new(disk.clone()), options, 7);
    let (wal, report) = Wal::open(config, from, &mut |record: Record| {
        records.push(record);
        Ok(())
    })?;
    Ok((wal, report, records))
}

fn reopen(disk: &SimDisk) -> (Wal, ReplayReport, Vec<Record>) {
    open(disk, &small(), ReplayFrom::default()).unwrap()
}

fn from(start: u64) -> ReplayFrom {
    ReplayFrom { start: Lsn(start), known_durable: Lsn(start - 1) }
}

/// What record `n` carries: its length and bytes follow from `n`.
fn ops(n: u64) -> Vec<u8> {
    (0..(n * 37 % 300)).map(|i| (n + i) as u8).collect()
}

fn put(wal: &Wal, n: u64) -> Result<Lsn> {
    let ops = ops(n);
    wal.append(&NewRecord { commit_ts: CommitTs(n), ..NewRecord::new(RecordKind(1), &ops) })
}

/// Appends and waits, `count` times, one sync each.
fn commit(wal: &Wal, first: u64, count: u64) {
    for n in first..first + count {
        assert_eq!(put(wal, n).unwrap(), Lsn(n));
        wal.wait_durable_blocking(Lsn(n)).unwrap();
    }
}

#[track_caller]
fn check(records: &[Record], first: u64) {
    for (record, n) in records.iter().zip(first..) {
        assert_eq!((record.lsn, record.commit_ts, &record.ops[..]), (Lsn(n), CommitTs(n), &ops(n)[..]));
    }
}

fn log_files(disk: &dyn Disk) -> Vec<String> {
    disk.list(DIR).unwrap().into_iter().filter(|name| !name.starts_with("spare")).collect()
}

#[test]
fn records_come_back_over_many_files_and_restarts() {
    let disk = SimDisk::new(1);
    for round in 0..4 {
        let (wal, report, records) = reopen(&disk);
        assert_eq!((records.len() as u64, report.torn), (round * 50, None));
        check(&records, 1);
        commit(&wal, round * 50 + 1, 50);
        assert_eq!((wal.newest(), wal.durable()), (Lsn(round * 50 + 50), Lsn(round * 50 + 50)));
    }
    assert!(log_files(&disk).len() > 8);
}

#[test]
fn a_real_disk_works_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(dir.path()).unwrap());
    for round in 0..3u64 {
        let mut seen = 0;
        let (wal, report) =
            Wal::open(config(disk.clone(), &small(), round), ReplayFrom::default(), &mut |record: Record| {
                seen += 1;
                assert_eq!((record.lsn, &record.ops[..]), (Lsn(seen), &ops(seen)[..]));
                Ok(())
            })
            .unwrap();
        assert_eq!((seen, report.last, report.torn), (round * 100, Lsn(round * 100), None));
        commit(&wal, round * 100 + 1, 100);
        wal.retire(Lsn(0)).unwrap();
    }
}

#[test]
fn replay_starts_where_told_and_needs_what_was_durable() {
    let disk = SimDisk::new(1);
    commit(&reopen(&disk).0, 1, 60);
    let (_, report, records) = open(&disk, &small(), from(41)).unwrap();
    check(&records, 41);
    assert_eq!((report.records, records.len()), (20, 20));
    let beyond = ReplayFrom { start: Lsn(41), known_durable: Lsn(61) };
    assert_eq!(open(&disk, &small(), beyond).unwrap_err().kind(), ErrorKind::Corrupt);
    let emptied = SimDisk::new(1);
    assert_eq!(open(&emptied, &small(), from(41)).unwrap().1.last, Lsn(40), "an empty log goes on where told");
    let lost = ReplayFrom { start: Lsn(41), known_durable: Lsn(45) };
    assert_eq!(open(&SimDisk::new(1), &small(), lost).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn all_fields_survive() {
    let disk = SimDisk::new(1);
    let (wal, ..) = reopen(&disk);
    let new = NewRecord {
        branch: BranchId(3),
        txn: TxnId(9),
        commit_ts: CommitTs(77),
        schema: SchemaVersion(2),
        kind: RecordKind(200),
        ops: b"ops",
    };
    let lsn = wal.append_with(|lsn| NewRecord { txn: TxnId(lsn.0 + 8), ..new }).unwrap();
    wal.wait_durable_blocking(lsn).unwrap();
    drop(wal);
    let expected = Record {
        lsn: Lsn(1),
        durable_lsn: Lsn(0),
        branch: new.branch,
        txn: new.txn,
        commit_ts: new.commit_ts,
        schema: new.schema,
        kind: new.kind,
        ops: Bytes::from_static(b"ops"),
    };
    assert_eq!(reopen(&disk).2, [expected]);
}

#[test]
fn a_record_larger_than_a_file_gets_one_of_its_size() {
    let disk = SimDisk::new(1);
    let (wal, ..) = reopen(&disk);
    let big = vec![5; 20_000];
    for _ in 0..3 {
        wal.append(&NewRecord::new(RecordKind(1), b"small")).unwrap();
        let lsn = wal.append(&NewRecord::new(RecordKind(2), &big)).unwrap();
        wal.wait_durable_blocking(lsn).unwrap();
    }
    drop(wal);
    let (_, report, records) = reopen(&disk.crash());
    assert_eq!(records.iter().map(|r| r.ops.len()).collect::<Vec<_>>(), [5, 20_000, 5, 20_000, 5, 20_000]);
    assert_eq!(report.torn, None);
}

#[test]
fn what_was_never_written_of_a_recycled_file_is_filled_before_records_come_there() {
    let disk = SimDisk::new(1);
    let options = WalOptions { file_bytes: 64 << 10, spare_files_max: 2, ..small() };
    let (wal, ..) = open(&disk, &options, from(1)).unwrap();
    commit(&wal, 1, 10);
    drop(wal);
    // The file of the first run is reserved to its end, and all but empty.
    let (wal, ..) = open(&disk, &options, from(1)).unwrap();
    commit(&wal, 11, 10);
    assert_eq!(wal.retire(Lsn(11)).unwrap(), 1);
    let begun = log_files(&disk).len();
    let mut next = 21;
    while log_files(&disk).len() == begun {
        commit(&wal, next, 1);
        next += 1;
    }
    // In the recycled file: behind what the first run wrote, one commit fills the rest, and the others write and sync.
    let mut changes = Vec::new();
    for _ in 0..40 {
        let before = disk.changes();
        commit(&wal, next, 1);
        changes.push(disk.changes() - before);
        next += 1;
    }
    let usual = changes[changes.len() - 1];
    let more: Vec<_> = changes.iter().enumerate().filter(|(_, n)| **n != usual).collect();
    assert!(matches!(more[..], [(at, n)] if at > 2 && at < 20 && *n == usual + 1), "{changes:?}");
}

#[test]
fn retired_files_are_recycled_and_their_old_records_stay_dead() {
    let disk = SimDisk::new(1);
    let options = WalOptions { spare_files_max: 2, ..small() };
    let (wal, ..) = open(&disk, &options, from(1)).unwrap();
    commit(&wal, 1, 120);
    let before = log_files(&disk).len();
    let bytes = wal.bytes_since(Lsn(1));
    assert!(before > 4 && bytes > 10_000 && wal.bytes_since(Lsn(119)) <= 8192);
    let retired = wal.retire(Lsn(100)).unwrap();
    assert!(retired > 3 && wal.oldest() <= Lsn(100) && wal.oldest() > Lsn(50));
    assert_eq!(log_files(&disk).len(), before - retired);
    assert_eq!(disk.list(DIR).unwrap().len(), before - retired + 3, "two spares and the next file, the rest removed");
    commit(&wal, 121, 60);
    assert!(wal.bytes_since(Lsn(1)) < bytes + 60 * 300);
    drop(wal);
    let (_, report, records) = open(&disk.crash(), &options, from(100)).unwrap();
    assert_eq!((report.last, report.torn), (Lsn(180), None));
    check(&records, 100);
    let gone = open(&disk.crash(), &options, from(1)).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::Corrupt);
}

#[test]
fn one_client_pays_one_sync_a_commit_and_many_share() {
    let disk = SimDisk::new(1);
    let (wal, ..) = open(&disk, &WalOptions::default(), from(1)).unwrap();
    let before = disk.syncs();
    commit(&wal, 1, 20);
    assert_eq!(disk.syncs() - before, 20);
    for n in 21..=120 {
        put(&wal, n).unwrap();
    }
    let before = disk.syncs();
    wal.flush().unwrap();
    assert!(disk.syncs() - before <= 1, "a hundred records, one sync");
    assert_eq!(wal.durable(), Lsn(120));
}

/// A clock on a machine whose processors are always taken.
#[derive(Debug)]
struct Busy(RealClock);

impl Clock for Busy {
    fn now_micros(&self) -> i64 {
        self.0.now_micros()
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.0.sleep(duration)
    }

    fn sleep_blocking(&self, duration: Duration) {
        self.0.sleep_blocking(duration);
    }

    fn processor_waits(&self) -> Option<Duration> {
        Some(self.monotonic())
    }
}

#[test]
fn commits_wait_for_each_other_while_processors_are_short() {
    const THREADS: u64 = 8;
    const EACH: u64 = 100;
    let disk = SimDisk::new(4);
    let options = WalOptions { gather_max: Duration::from_millis(100), ..WalOptions::default() };
    let clock = Arc::new(Busy(RealClock::new()));
    let config = WalConfig { clock: clock.clone(), ..config(Arc::new(disk), &options, 7) };
    let (wal, _) = Wal::open(config, ReplayFrom::default(), &mut |_: Record| Ok(())).unwrap();
    // Two at a time: where commits come one by one, nobody waits for another.
    let put_two = |n| {
        put(&wal, n).unwrap();
        let lsn = put(&wal, n).unwrap();
        wal.wait_durable_blocking(lsn).unwrap();
        assert!(wal.durable() >= lsn);
    };
    // Far enough apart to learn that processors are short.
    put_two(1);
    clock.sleep_blocking(Duration::from_millis(30));
    put_two(1);
    // As many have written and not ended.
    (0..8).for_each(|_| wal.writer_began());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..EACH).for_each(put_two));
        }
    });
    assert_eq!(wal.durable(), Lsn(THREADS * EACH * 2 + 4));
    let syncs: u64 = wal.sync_times().buckets.iter().sum();
    assert!(syncs < THREADS * EACH / 2, "{syncs} syncs for {} waits", THREADS * EACH);
}

#[test]
fn many_threads_through_a_small_buffer() {
    let disk = SimDisk::new(1);
    let options = WalOptions { buffer_bytes_max: 600, ..small() };
    let (wal, ..) = open(&disk, &options, from(1)).unwrap();
    let announced = Arc::new(AtomicU64::new(0));
    let seen = announced.clone();
    wal.on_durable(move |lsn| assert!(seen.swap(lsn.0, Ordering::SeqCst) < lsn.0));
    let wal = Arc::new(wal);
    let spawner = Spawner::threads();
    let threads: Vec<_> = (0..8u64)
        .map(|id| {
            let (wal, announced) = (wal.clone(), announced.clone());
            let run = move || {
                for n in 0..100u64 {
                    let body = [id.to_le_bytes(), n.to_le_bytes()].concat();
                    let lsn = wal.append(&NewRecord::new(RecordKind(1), &body)).unwrap();
                    wal.wait_durable_blocking(lsn).unwrap();
                    assert!(wal.durable() >= lsn && announced.load(Ordering::SeqCst) >= lsn.0, "callback first");
                }
            };
            spawner.thread("client", run).unwrap()
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    drop(wal);
    let (_, _, records) = reopen(&disk);
    assert_eq!(records.len(), 800);
    for id in 0..8u64 {
        let own = records.iter().filter(|r| r.ops[..8] == id.to_le_bytes());
        let order: Vec<u64> = own.map(|r| u64::from_le_bytes(r.ops[8..].try_into().unwrap())).collect();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }
}

#[test]
fn async_waiters_wake_and_may_go_away() {
    let pool = Pool::new("test", 2).unwrap();
    let (wal, ..) = open(&SimDisk::new(1), &small(), from(1)).unwrap();
    let wal = Arc::new(wal);
    pool.block_on(async {
        let mut tasks = Vec::new();
        for _ in 0..200 {
            let lsn = wal.append(&NewRecord::new(RecordKind(1), b"x")).unwrap();
            drop(wal.wait_durable(lsn));
            tasks.push(pool.spawner().task(wal.wait_durable(lsn)));
        }
        for task in tasks {
            task.await.unwrap().unwrap();
        }
    });
    assert_eq!(wal.durable(), Lsn(200));
}

#[test]
fn a_record_nobody_waits_for_any_more_is_written_all_the_same() {
    let (wal, ..) = open(&SimDisk::new(1), &small(), from(1)).unwrap();
    let (first, second) = (put(&wal, 1).unwrap(), put(&wal, 2).unwrap());
    drop(wal.wait_durable(first));
    let began = std::time::Instant::now();
    while wal.durable() < second {
        assert!(began.elapsed().as_secs() < 20, "nobody writes it");
        std::thread::yield_now();
    }
}

#[test]
fn a_failure_fences_for_good_and_loses_nothing_acknowledged() {
    for (op, kind) in [
        (FaultOp::Write, FaultKind::Io),
        (FaultOp::Write, FaultKind::NoSpace),
        (FaultOp::Sync, FaultKind::Io),
        (FaultOp::SyncDir, FaultKind::Io),
        (FaultOp::Rename, FaultKind::Io),
    ] {
        let disk = SimDisk::new(3);
        let (wal, ..) = reopen(&disk);
        commit(&wal, 1, 10);
        disk.inject(Fault { op, path: DIR.into(), skip: 0, times: 1, kind });
        let mut acknowledged = 10;
        let error = loop {
            let done = put(&wal, acknowledged + 1).and_then(|lsn| wal.wait_durable_blocking(lsn));
            match done {
                Ok(()) => acknowledged += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::Fenced, "{op:?}");
        assert_eq!(put(&wal, 1).unwrap_err().kind(), ErrorKind::Fenced);
        assert_eq!(wal.flush().unwrap_err().kind(), ErrorKind::Fenced);
        assert_eq!(wal.close().unwrap_err().kind(), ErrorKind::Fenced);
        wal.wait_durable_blocking(Lsn(acknowledged)).unwrap();
        drop(wal);
        let (_, report, records) = reopen(&disk.crash());
        assert!(report.last.0 >= acknowledged, "{op:?}: {} of {acknowledged}", report.last);
        check(&records, 1);
    }
}

#[test]
fn a_full_disk_refuses_appends_and_space_brings_them_back() {
    for (seed, inline) in [(1, true), (2, false)] {
        let disk = SimDisk::new(seed);
        let options = WalOptions { inline, ..small() };
        let (wal, ..) = open(&disk, &options, from(1)).unwrap();
        let mut written = 0;
        for files in [3, 7, 8] {
            disk.set_capacity(files * 4096 + 100);
            let error = loop {
                match put(&wal, written + 1) {
                    Ok(lsn) => {
                        written += 1;
                        assert_eq!(lsn, Lsn(written));
                        if written % 3 == 0 {
                            wal.wait_durable_blocking(lsn).unwrap();
                        }
                    }
                    Err(error) => break error,
                }
            };
            assert_eq!(error.state(), SqlState::DISK_FULL);
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            // Again and again, without a trace; what was taken on is still written.
            for _ in 0..3 {
                assert_eq!(put(&wal, written + 1).unwrap_err().state(), SqlState::DISK_FULL);
            }
            wal.wait_durable_blocking(Lsn(written)).unwrap();
            assert_eq!((wal.newest(), wal.durable()), (Lsn(written), Lsn(written)));
            wal.check_fence().unwrap();
            assert!(log_files(&disk).len() as u64 <= files);
        }
        // A record that needs a larger file than the one made ahead.
        disk.set_capacity(u64::MAX);
        let large = vec![9; 10_000];
        let lsn = wal.append(&NewRecord::new(RecordKind(1), &large)).unwrap();
        wal.wait_durable_blocking(lsn).unwrap();
        disk.set_capacity(0);
        while put(&wal, 1).is_ok() {}
        wal.close().unwrap();
        disk.set_capacity(u64::MAX);
        let (_, report, records) = open(&disk.crash(), &options, from(1)).unwrap();
        assert_eq!(report.torn, None);
        check(&records[..written as usize], 1);
        assert_eq!(records[written as usize].ops, large);
    }
}

#[test]
fn a_fence_wakes_whoever_waits() {
    let disk = SimDisk::new(3);
    let (wal, ..) = reopen(&disk);
    let wal = Arc::new(wal);
    disk.inject(Fault { op: FaultOp::Sync, path: DIR.into(), skip: 0, times: 1, kind: FaultKind::Io });
    let pool = Pool::new("test", 2).unwrap();
    let lsn = put(&wal, 1).unwrap();
    let waiter = pool.spawner().task(wal.wait_durable(lsn));
    assert_eq!(pool.block_on(waiter).unwrap().unwrap_err().kind(), ErrorKind::Fenced);
}

/// Three groups of records, the last of four: the file's bytes, and where the last group begins.
fn damaged_log() -> (SimDisk, String, u64, u64) {
    let disk = SimDisk::new(1);
    let options = WalOptions { inline: true, ..small() };
    let (wal, ..) = open(&disk, &options, from(1)).unwrap();
    commit(&wal, 1, 8);
    let last_group = 512 + (1..=8).map(|n| 49 + ops(n).len() as u64).sum::<u64>();
    for n in 9..=12 {
        put(&wal, n).unwrap();
    }
    wal.flush().unwrap();
    let end = last_group + (9..=12).map(|n| 49 + ops(n).len() as u64).sum::<u64>();
    (disk, format!("{DIR}/{:020}", 1), last_group, end)
}

#[test]
fn every_flipped_bit_is_refused_or_cut_never_read() {
    let (_, _, last_group, end) = damaged_log();
    let (mut refused, mut cut) = (0, 0);
    for offset in 0..end {
        let (disk, path, ..) = damaged_log();
        disk.flip_bit(&path, offset, (offset % 8) as u8).unwrap();
        match open(&disk, &small(), from(1)) {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt);
                assert!(error.message().contains(&path) && error.message().contains("offset"), "{error}");
                assert!(offset < last_group, "offset {offset}: nothing proves the last group durable");
                refused += 1;
            }
            Ok((_, report, records)) if offset < 512 => {
                // The header's zero padding holds nothing.
                assert!((44..512).contains(&offset), "{offset}");
                assert_eq!((records.len(), report.torn), (12, None));
            }
            Ok((_, report, records)) => {
                assert!(offset >= last_group, "offset {offset} was durable");
                check(&records, 1);
                assert!((8..12).contains(&records.len()));
                let torn = report.torn.expect("a cut is reported");
                assert!(torn.offset >= last_group && torn.offset <= offset && torn.file == path);
                assert!(torn.offset + torn.bytes <= end);
                cut += 1;
            }
        }
    }
    assert!(refused > 500 && cut > 300, "{refused} {cut}");
}

#[test]
fn a_refused_log_is_left_as_it_is() {
    let (disk, path, last_group, end) = damaged_log();
    let whole = disk.read(&path).unwrap();
    let known = ReplayFrom { start: Lsn(1), known_durable: Lsn(12) };
    for at in [0, 5, 40] {
        let flipped = disk.flip_bit(&path, last_group + at, 3).unwrap();
        assert_eq!(open(&disk, &small(), known).unwrap_err().kind(), ErrorKind::Corrupt);
        disk.flip_back(flipped);
        assert_eq!(disk.read(&path).unwrap(), whole, "the log can still be repaired");
    }
    // A bit that was only read wrongly does not make the end of the log go, either.
    for skip in 0..4 {
        disk.inject(Fault { op: FaultOp::Read, path: path.clone(), skip, times: 1, kind: FaultKind::FlipBit });
        match open(&disk, &small(), from(1)) {
            Ok((_, report, records)) => assert_eq!((records.len(), report.torn), (12, None)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt),
        }
        disk.clear_faults();
        assert_eq!(disk.read(&path).unwrap()[..end as usize], whole[..end as usize], "nothing was cut");
    }
}

#[test]
fn a_clean_end_proves_its_last_group() {
    let (disk, path, last_group, end) = damaged_log();
    let (wal, ..) = reopen(&disk);
    commit(&wal, 13, 1);
    wal.close().unwrap();
    assert_eq!(put(&wal, 15).unwrap_err().kind(), ErrorKind::Fenced);
    drop(wal);
    let (_, report, records) = reopen(&disk);
    assert_eq!((records.len(), report.last, report.torn), (13, Lsn(14), None), "the mark is not replayed");
    for offset in last_group..end {
        disk.flip_bit(&path, offset, 3).unwrap();
        assert_eq!(open(&disk, &small(), from(1)).unwrap_err().kind(), ErrorKind::Corrupt, "offset {offset}");
        disk.flip_bit(&path, offset, 3).unwrap();
    }
    assert_eq!(reopen(&disk).2.len(), 13, "a refusal changes nothing");
}

#[test]
fn zeroed_sectors_below_the_durable_mark_are_refused() {
    let (disk, path, last_group, _) = damaged_log();
    let file = disk.open(&path, OpenMode::Write).unwrap();
    let sector = last_group / 512 * 512;
    file.write_at(&vec![0; (last_group - sector) as usize], sector).unwrap();
    assert_eq!(open(&disk, &small(), from(1)).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn a_shortened_or_missing_file_is_refused() {
    let disk = SimDisk::new(1);
    commit(&reopen(&disk).0, 1, 60);
    let files = log_files(&disk);
    let cut = |disk: &SimDisk, name: &str, len| {
        disk.open(&format!("{DIR}/{name}"), OpenMode::Write).unwrap().truncate(len).unwrap();
        open(disk, &small(), from(1)).map(|_| ()).unwrap_err().kind()
    };
    assert_eq!(cut(&disk, &files[1], 700), ErrorKind::Corrupt);
    assert_eq!(cut(&disk, &files[1], 100), ErrorKind::Corrupt, "shorter than its header");
    disk.remove(&format!("{DIR}/{}", files[1])).unwrap();
    assert_eq!(open(&disk, &small(), from(1)).unwrap_err().kind(), ErrorKind::Corrupt, "a gap");
}

#[test]
fn garbage_behind_the_end_is_never_read_later() {
    // Record 3 is torn, record 4 behind it is intact; after the cut a new record 3 must not let the old 4 back in.
    let disk = SimDisk::new(1);
    let options = WalOptions { inline: true, ..small() };
    let (wal, ..) = open(&disk, &options, from(1)).unwrap();
    let same = |wal: &Wal, text: &[u8]| wal.append(&NewRecord::new(RecordKind(1), text)).unwrap();
    same(&wal, b"one.");
    same(&wal, b"two.");
    wal.flush().unwrap();
    same(&wal, b"old3");
    same(&wal, b"old4");
    wal.flush().unwrap();
    disk.flip_bit(&format!("{DIR}/{:020}", 1), 512 + 53 * 2 + 50, 0).unwrap();
    for round in 0..2 {
        let (wal, report, records) = open(&disk, &options, from(1)).unwrap();
        let texts: Vec<&[u8]> = records.iter().map(|r| &r.ops[..]).collect();
        if round == 0 {
            assert_eq!(texts, [b"one.", b"two."]);
            assert_eq!(report.torn.unwrap().bytes, 106);
            same(&wal, b"new3");
            wal.flush().unwrap();
        } else {
            assert_eq!(texts, [b"one.", b"two.", b"new3"]);
            assert_eq!(report.torn, None);
        }
    }
}

struct Life {
    acknowledged: u64,
    /// No record beyond was ever appended in this history.
    appended: u64,
    retired: u64,
}

/// Runs one life of the log with a random power cut; what it promised is in `life`.
fn live(disk: &SimDisk, options: &WalOptions, life: &mut Life, rng: &SeededEntropy) -> Result<()> {
    let (wal, report, records) = open(disk, options, from(life.retired + 1))?;
    assert!(report.last.0 >= life.acknowledged, "lost: {} of {} acknowledged", report.last, life.acknowledged);
    assert!(report.last.0 <= life.appended, "invented records");
    check(&records, life.retired + 1);
    // What was replayed is part of the state from now on.
    life.acknowledged = report.last.0;
    life.appended = report.last.0;
    for _ in 0..rng.next_u64() % 60 {
        for _ in 0..rng.next_u64() % 5 {
            life.appended += 1;
            put(&wal, life.appended)?;
        }
        if rng.next_u64().is_multiple_of(3) {
            wal.wait_durable_blocking(Lsn(life.appended))?;
            life.acknowledged = life.appended;
        }
        if rng.next_u64().is_multiple_of(20) {
            life.retired = life.acknowledged * 2 / 3;
            wal.retire(Lsn(life.retired + 1))?;
        }
    }
    Ok(())
}

/// Several lives on one disk, ended by power loss, by kill -9 (the page cache stays) or normally.
fn history(seed: u64, options: &WalOptions) {
    let rng = SeededEntropy::new(seed);
    let mut disk = SimDisk::new(seed);
    let mut life = Life { acknowledged: 0, appended: 0, retired: 0 };
    for _ in 0..6 {
        let power_loss = !rng.next_u64().is_multiple_of(4);
        if power_loss {
            disk.power_off_after(rng.next_u64() % 200);
        }
        match live(&disk, options, &mut life, &rng) {
            Err(error) if error.kind() == ErrorKind::Corrupt => panic!("lost or refused: {error}"),
            _ => {}
        }
        if power_loss {
            disk = disk.crash();
        }
    }
}

#[test]
fn what_was_acknowledged_survives_any_crash() {
    let options = WalOptions { inline: true, spare_files_max: 2, ..small() };
    for seed in 0..500 {
        let run = std::panic::catch_unwind(|| history(seed, &options));
        assert!(run.is_ok(), "failing seed {seed}");
    }
}

/// The canary: a log that acknowledges before syncing must be caught, or the test above proves nothing.
#[test]
fn a_log_that_acknowledges_too_early_is_caught() {
    let options = WalOptions { inline: true, spare_files_max: 2, canary: Some(Canary::AckBeforeSync), ..small() };
    let caught = (0..100).filter(|seed| std::panic::catch_unwind(|| history(*seed, &options)).is_err()).count();
    assert!(caught > 50, "only {caught} of 100 seeds noticed");
}

#[test]
fn threads_lose_nothing_acknowledged_when_power_goes() {
    for seed in 0..30 {
        let disk = SimDisk::new(seed);
        let wal = Arc::new(reopen(&disk).0);
        disk.power_off_after(50 + seed * 7);
        let best = Arc::new(AtomicU64::new(0));
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let (wal, best) = (wal.clone(), best.clone());
                let run = move || {
                    while let Ok(lsn) = wal.append(&NewRecord::new(RecordKind(1), &[1; 40])) {
                        if wal.wait_durable_blocking(lsn).is_ok() {
                            best.fetch_max(lsn.0, Ordering::SeqCst);
                        }
                    }
                };
                Spawner::threads().thread("client", run).unwrap()
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
        let (_, report, _) = reopen(&disk.crash());
        assert!(report.last.0 >= best.load(Ordering::SeqCst), "seed {seed}");
        assert!(best.load(Ordering::SeqCst) > 0);
    }
}

/// The format on disk: a file written by version 1, byte for byte.
#[test]
fn the_first_format_stays_readable() {
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/v1.wal");
    let disk = SimDisk::new(1);
    if std::env::var_os("REWRITE").is_some() {
        let options = WalOptions { inline: true, file_bytes: 1024, ..WalOptions::default() };
        let (wal, ..) = open(&disk, &options, from(1)).unwrap();
        for n in 1..=3 {
            let text = format!("operation {n}");
            let new = NewRecord {
                branch: BranchId(n as u32),
                txn: TxnId(100 + n),
                commit_ts: CommitTs(1000 + n),
                schema: SchemaVersion(n as u32),
                kind: RecordKind(n as u8),
                ops: text.as_bytes(),
            };
            wal.append(&new).unwrap();
            wal.flush().unwrap();
        }
        std::fs::write(fixture, disk.read(&format!("{DIR}/{:020}", 1)).unwrap()).unwrap();
    }
    let bytes = std::fs::read(fixture).unwrap();
    let disk = SimDisk::new(1);
    disk.create_dir(DIR).unwrap();
    disk.open(&format!("{DIR}/{:020}", 1), OpenMode::Create).unwrap().write_at(&bytes, 0).unwrap();
    let (_, report, records) = reopen(&disk);
    assert_eq!((report.last, report.torn), (Lsn(3), None));
    for (record, n) in records.iter().zip(1u64..) {
        assert_eq!((record.lsn, record.durable_lsn), (Lsn(n), Lsn(n - 1)));
        assert_eq!((record.branch, record.txn), (BranchId(n as u32), TxnId(100 + n)));
        assert_eq!((record.commit_ts, record.schema), (CommitTs(1000 + n), SchemaVersion(n as u32)));
        assert_eq!((record.kind, &record.ops[..]), (RecordKind(n as u8), format!("operation {n}").as_bytes()));
    }
}

#[test]
fn fuzz_log() {
    let disk = SimDisk::new(5);
    commit(&reopen(&disk).0, 1, 40);
    let name = log_files(&disk).pop().unwrap();
    let path = format!("{DIR}/{name}");
    let sound = disk.read(&path).unwrap();
    driver::fuzz("log", &[sound], &[], |bytes| {
        let disk = SimDisk::new(6);
        disk.create_dir(DIR).unwrap();
        let file = disk.open(&path, OpenMode::Create).unwrap();
        file.write_at(bytes, 0).unwrap();
        // Damage is told, a torn end is cut; what is read is numbered without gaps.
        if let Ok((_, _, records)) = open(&disk, &WalOptions { inline: true, ..small() }, ReplayFrom::default()) {
            assert!(records.windows(2).all(|pair| pair[0].lsn.0 + 1 == pair[1].lsn.0));
        }
    });
}
