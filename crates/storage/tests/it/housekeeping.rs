//! Checks that name what is wrong, facts of segments, and online copies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use futures::executor::block_on;
use heliosdb_contracts::{BackupPart, Checked, Finding, ShardStore, StoredColumn};
use heliosdb_runtime::{Disk, SimDisk};
use heliosdb_storage::{ShardOptions, check_dir, inspect_dir};
use heliosdb_types::{CommitTs, Datum, ErrorKind};

use crate::support::*;

/// A shard with segments of two levels, deletes of both kinds and a log to replay.
fn furnished(seed: u64) -> World {
    let world = World::new(seed);
    let tree = world.create(2000);
    let other = world.create(2001);
    for round in 0..4 {
        let mut txn = world.begin();
        (0..100).for_each(|key| _ = txn.put(&tree, key * 4 + round, round));
        (0..10).for_each(|key| _ = txn.put(&other, key * 7, round));
        txn.commit().unwrap();
        block_on(world.shard.checkpoint(round == 1)).unwrap();
    }
    let mut txn = world.begin();
    (0..30).for_each(|key| _ = txn.delete(&tree, key));
    (100..140).for_each(|key| _ = txn.put(&tree, key, -key));
    txn.commit().unwrap();
    block_on(world.shard.checkpoint(false)).unwrap();
    let mut txn = world.begin();
    (200..220).for_each(|key| _ = txn.put(&tree, key, -key));
    txn.commit().unwrap();
    world
}

fn check(disk: &Arc<SimDisk>) -> Checked {
    let disk: Arc<dyn Disk> = disk.clone();
    check_dir(&disk, &|| Ok(())).unwrap()
}

fn damage(checked: &Checked) -> Vec<&Finding> {
    checked.findings.iter().filter(|finding| !finding.harmless).collect()
}

#[test]
fn a_sound_shard_has_no_findings_running_or_stopped() {
    let world = furnished(31);
    let running = block_on(world.shard.check(Arc::new(|| Ok(())))).unwrap();
    assert_eq!(running.findings, []);
    assert!(running.files >= 5 && running.rows >= 400, "{running:?}");
    let stopped = check(&world.disk);
    assert_eq!(stopped.findings, []);
    assert_eq!(stopped.rows, running.rows);
    world.shard.close().unwrap();
    assert_eq!(check(&world.disk).findings, []);
    // After a power cut, what was being written is no damage.
    let world = furnished(32);
    let disk = Arc::new(world.disk.crash());
    assert_eq!(damage(&check(&disk)), Vec::<&Finding>::new());
}

#[test]
fn a_check_can_be_stopped() {
    let world = furnished(33);
    let stop = || Err(heliosdb_types::Error::internal("enough"));
    let error = block_on(world.shard.check(Arc::new(stop))).unwrap_err();
    assert_eq!(error.message(), "enough");
}

/// Bytes all over every kind of file, flipped: named with their file, or outside of what is used.
#[test]
fn flipped_bytes_are_named() {
    let world = furnished(34);
    let World { disk, shard, .. } = world;
    drop(shard);
    let whole = check(&disk);
    assert_eq!(whole.findings, []);
    let mut named = 0;
    for dir in ["manifest", "segments", "deletes", "wal", ""] {
        let current = disk.read("CURRENT").unwrap();
        let current = String::from_utf8(current).unwrap().split_whitespace().nth(1).unwrap().to_owned();
        for name in disk.list(dir).unwrap() {
            let path = if dir.is_empty() { name.clone() } else { format!("{dir}/{name}") };
            if (dir == "manifest" && !name.ends_with(&current)) || (dir.is_empty() && name != "CURRENT") {
                continue;
            }
            let bytes = disk.read(&path).unwrap();
            // A log file's end is zeros that nobody reads.
            let used = bytes.len() - bytes.iter().rev().take_while(|byte| **byte == 0).count();
            let step = if dir == "segments" { 1_009 } else { 61 };
            for at in (0..used).step_by(step) {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << (at % 8);
                disk.write_atomic(&path, &flipped).unwrap();
                let checked = check(&disk);
                let found = checked.findings.iter().find(|finding| {
                    let file = finding.file.as_deref().unwrap_or_default();
                    file.ends_with(&name) || finding.problem.contains(&name)
                });
                // Bytes 12 to 15 of a log file and of a segment's header mean nothing; the latter are under a checksum.
                let unused =
                    (dir == "wal" && (44..512).contains(&at)) || checked == whole && dir == "wal" && used - at < 60;
                assert!(found.is_some() || unused, "{path} at {at} of {used}: {checked:?}");
                named += usize::from(found.is_some());
            }
            disk.write_atomic(&path, &bytes).unwrap();
        }
    }
    assert!(named > 60, "{named}");
    assert_eq!(check(&disk).findings, []);
}

#[test]
fn missing_and_superfluous_files_are_named() {
    let world = furnished(35);
    let World { disk, shard, clock, options } = world;
    drop(shard);
    let rules = |disk: &Arc<SimDisk>| -> Vec<(String, bool)> {
        check(disk).findings.into_iter().map(|finding| (finding.rule, finding.harmless)).collect()
    };
    for (dir, rule) in [("segments", "segment_exists"), ("deletes", "delete_vector_exists")] {
        let path = format!("{dir}/{}", disk.list(dir).unwrap()[0]);
        let bytes = disk.read(&path).unwrap();
        disk.remove(&path).unwrap();
        assert!(rules(&disk).contains(&(rule.to_owned(), false)), "{path}: {:?}", rules(&disk));
        disk.write_atomic(&path, &bytes).unwrap();
    }
    disk.write_atomic("segments/000000009999.seg", b"left behind").unwrap();
    disk.write_atomic("deletes/000000009999.del", b"left behind").unwrap();
    assert_eq!(rules(&disk), vec![("every_file_is_named".to_owned(), true); 2]);
    // The next start removes them, and counts them.
    let shard = open_on(disk.clone(), &clock, &options).unwrap();
    assert_eq!(shard.metrics().orphans_removed, 2);
    drop(shard);
    assert_eq!(rules(&disk), []);
}

#[test]
fn segments_say_what_they_hold() {
    let world = World::new(36);
    let tree = world.create(2000);
    let mut txn = world.begin();
    (0..60).for_each(|key| _ = txn.put(&tree, key, key % 3));
    txn.commit().unwrap();
    assert_eq!(world.shard.segments(tree.tree).unwrap(), []);
    block_on(world.shard.checkpoint(false)).unwrap();
    let mut txn = world.begin();
    assert!(txn.delete(&tree, 5));
    txn.commit().unwrap();
    let facts = world.shard.segments(tree.tree).unwrap();
    let [segment] = facts.as_slice() else { panic!("one segment, not {facts:?}") };
    assert_eq!((segment.rows, segment.deletes, segment.blocks, segment.level), (60, 1, 4, 0));
    assert_eq!((&segment.min_key, &segment.max_key), (&key_bytes(0), &key_bytes(59)));
    let column = |id| segment.columns.iter().find(|column| column.column == StoredColumn::User(id)).unwrap();
    let key = column(KEY);
    assert_eq!((&key.min, &key.max, key.nulls), (&Some(Datum::Int64(0)), &Some(Datum::Int64(59)), 0));
    assert_eq!(key.plain_bytes, 60 * 8);
    assert!(key.stored_bytes < key.plain_bytes, "{key:?}");
    let text = column(TEXT);
    let plain: usize = (0..60).map(|key| format!("row {key} holds {}", key % 3).len() + 4).sum();
    assert!(text.plain_bytes.abs_diff(plain as u64) < 60, "{} beside {plain}", text.plain_bytes);
    assert_eq!(text.encodings.iter().map(|(_, blocks)| blocks).sum::<u32>(), 4);
    assert!(segment.columns.iter().any(|column| column.column == StoredColumn::CommitTime));
    let stored: u64 = segment.columns.iter().map(|column| column.stored_bytes).sum();
    assert!(stored + segment.bloom_bytes < segment.stored_bytes);
    assert!(world.shard.trees().contains(&tree.tree));
    // The same from the files alone; the delete is still in the log.
    let World { disk, shard, .. } = world;
    drop(shard);
    let disk: Arc<dyn Disk> = disk;
    let found = inspect_dir(&disk).unwrap();
    let of_tree = found.trees.iter().find(|of| of.tree == tree.tree).unwrap();
    assert_eq!((of_tree.segments.len(), of_tree.segments[0].rows, of_tree.segments[0].deletes), (1, 60, 0));
    assert_eq!(of_tree.segments[0].columns, segment.columns);
    assert!(found.log.files.iter().any(|file| file.last_lsn >= file.first_lsn));
}

/// Reads a copy onto a disk of its own, as a restore does.
fn copied(shard: &heliosdb_storage::Shard, disk: &Arc<dyn Disk>) -> CommitTs {
    let mut source = block_on(shard.backup()).unwrap();
    let (mut path, mut offset, mut total) = (String::new(), 0, 0);
    for dir in ["manifest", "segments", "deletes", "wal"] {
        disk.create_dir(dir).unwrap();
    }
    while let Some(part) = source.next_part().unwrap() {
        match part {
            BackupPart::File { name, bytes } => {
                disk.write_atomic(&name, b"").unwrap();
                (path, offset) = (name, 0);
                total += bytes;
            }
            BackupPart::Data(bytes) => {
                let file = disk.open(&path, heliosdb_runtime::OpenMode::Write).unwrap();
                file.write_at(&bytes, offset).unwrap();
                offset += bytes.len() as u64;
            }
        }
    }
    assert_eq!(total, source.bytes_total());
    source.end().1
}

#[test]
fn a_copy_holds_what_was_committed_when_it_began() {
    let world = furnished(37);
    let tree = descriptor(2000);
    let mut source = block_on(world.shard.backup()).unwrap();
    let expected = world.rows(&tree);
    let copy: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    for dir in ["manifest", "segments", "deletes", "wal"] {
        copy.create_dir(dir).unwrap();
    }
    let (mut path, mut offset, mut step) = (String::new(), 0, 0);
    // Between two parts everything changes: rows, segments, delete vectors, manifests, log files.
    while let Some(part) = source.next_part().unwrap() {
        match part {
            BackupPart::File { name, .. } => {
                copy.write_atomic(&name, b"").unwrap();
                (path, offset) = (name, 0);
            }
            BackupPart::Data(bytes) => {
                copy.open(&path, heliosdb_runtime::OpenMode::Write).unwrap().write_at(&bytes, offset).unwrap();
                offset += bytes.len() as u64;
            }
        }
        step += 1;
        let mut txn = world.begin();
        (0..40).for_each(|key| _ = txn.put(&tree, key * 3 + step, 1000 + step));
        (0..5).for_each(|key| _ = txn.delete(&tree, key * 11 + step));
        txn.commit().unwrap();
        block_on(world.shard.checkpoint(step % 2 == 0)).unwrap();
    }
    assert!(step > 8);
    drop(source);
    assert_eq!(check_dir(&copy, &|| Ok(())).unwrap().findings, []);
    let shard = open_on(copy, &world.clock, &world.options).unwrap();
    let snapshot = shard.snapshot(heliosdb_types::BranchId(0));
    assert_eq!(scan(&shard, &context(None, 0, &snapshot), &tree, vec![]), expected);
    // The original is none the worse for it.
    let world = world.crash();
    assert_eq!(check(&world.disk).findings, []);
    assert_eq!((world.shard.metrics().backups, world.rows(&tree).is_empty()), (0, false));
}

/// Of a clean stop nothing is replayed, and a shard without deletes has no file of them.
#[test]
fn a_copy_may_lack_whole_directories() {
    let world = World::new(40);
    let tree = world.create(2000);
    let mut txn = world.begin();
    (0..60).for_each(|key| _ = txn.put(&tree, key, key));
    txn.commit().unwrap();
    block_on(world.shard.checkpoint(false)).unwrap();
    let copy: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    let mut source = block_on(world.shard.backup()).unwrap();
    let mut path = String::new();
    while let Some(part) = source.next_part().unwrap() {
        match part {
            BackupPart::File { name, .. } => {
                copy.create_dir(name.rsplit_once('/').map_or("", |(dir, _)| dir)).unwrap();
                path = name;
            }
            BackupPart::Data(bytes) => copy.write_atomic(&path, &bytes).unwrap(),
        }
    }
    assert!(!copy.exists("wal").unwrap() && !copy.exists("deletes").unwrap());
    assert_eq!(check_dir(&copy, &|| Ok(())).unwrap().findings, []);
    assert_eq!(inspect_dir(&copy).unwrap().log.files, []);
    let shard = open_on(copy, &world.clock, &world.options).unwrap();
    let snapshot = shard.snapshot(heliosdb_types::BranchId(0));
    assert_eq!(scan(&shard, &context(None, 0, &snapshot), &tree, vec![]), world.rows(&tree));
}

#[test]
fn damage_is_not_copied() {
    let world = furnished(38);
    let name = world.disk.list("segments").unwrap().pop().unwrap();
    let path = format!("segments/{name}");
    let mut bytes = world.disk.read(&path).unwrap();
    bytes[40] ^= 4;
    world.disk.open(&path, heliosdb_runtime::OpenMode::Write).unwrap().write_at(&bytes, 0).unwrap();
    let mut source = block_on(world.shard.backup()).unwrap();
    let failed = loop {
        match source.next_part() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the damage was copied"),
            Err(error) => break error,
        }
    };
    assert_eq!(failed.kind(), ErrorKind::Corrupt);
    assert!(failed.to_string().contains(&name), "{failed}");
}

/// With writers that do not stop: each acknowledged sum is in the copy or came after it.
#[test]
fn copies_beside_writers_are_whole() {
    let options = ShardOptions { memtable_bytes: 40 << 10, log_file_bytes: 64 << 10, ..small_options() };
    let world = World::with(39, ShardOptions { background: true, log_inline: false, ..options });
    let tree = world.create(2000);
    let mut txn = world.begin();
    (0..50).for_each(|key| _ = txn.put(&tree, key, 0));
    txn.put(&tree, 1_000_000, 0);
    txn.commit().unwrap();
    let (stop, done) = (AtomicBool::new(false), AtomicI64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                // One up, one down: any copy of whole transactions adds up to the counter.
                let mut txn = world.begin();
                txn.put(&tree, n % 50, n);
                txn.put(&tree, 100 + n % 500, -n);
                txn.put(&tree, 1_000_000, n);
                txn.commit().unwrap();
                done.store(n, Ordering::SeqCst);
            }
        });
        for round in 0..6 {
            while done.load(Ordering::SeqCst) < (round + 1) * 150 {
                std::thread::yield_now();
            }
            let before = done.load(Ordering::SeqCst);
            let copy: Arc<dyn Disk> = Arc::new(SimDisk::new(round as u64));
            let end = copied(&world.shard, &copy);
            assert_eq!(check_dir(&copy, &|| Ok(())).unwrap().findings, []);
            let shard = open_on(copy, &world.clock, &small_options()).unwrap();
            let snapshot = shard.snapshot(heliosdb_types::BranchId(0));
            assert_eq!(snapshot.ts, end);
            let rows = scan(&shard, &context(None, 0, &snapshot), &tree, vec![]);
            let last = rows[&1_000_000];
            assert!(last >= before, "acknowledged {before}, the copy has {last}");
            assert_eq!((rows[&(last % 50)], rows[&(100 + last % 500)]), (last, -last), "whole transactions");
            assert!(rows.values().all(|value| value.abs() <= last), "nothing later");
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(world.shard.metrics().backups, 6);
    world.shard.close().unwrap();
}

/// A key is looked for in every segment whose range it lies in, and each filter that lets an absent one pass costs a read.
#[test]
fn segments_merged_because_they_overlap_have_filters_that_tell_more() {
    let world = World::with(37, ShardOptions { segment_rows: 4096, block_rows: 1024, ..small_options() });
    let (scattered, ordered) = (world.create(2000), world.create(2001));
    // Gaps, so that a filter is worth having.
    let (parts, each, gap) = (12, 64, 7);
    for part in 0..parts {
        for at in 0..each {
            let mut txn = world.begin();
            txn.put(&scattered, (at * parts + part) * gap, at);
            txn.put(&ordered, (part * each + at) * gap, at);
            txn.commit().unwrap();
        }
        block_on(world.shard.checkpoint(false)).unwrap();
    }
    while world.shard.merge_once().unwrap() {}
    let bits_a_key = |tree| {
        let merged = world.shard.segments(tree).unwrap().into_iter().filter(|segment| segment.level > 0);
        let (bytes, rows) = merged.fold((0, 0), |sum, segment| (sum.0 + segment.bloom_bytes, sum.1 + segment.rows));
        assert!(rows >= 256, "{rows} rows have been merged");
        8.0 * bytes as f64 / rows as f64
    };
    let (scattered_bits, ordered_bits) = (bits_a_key(scattered.tree), bits_a_key(ordered.tree));
    assert!((12.0..13.0).contains(&scattered_bits), "{scattered_bits}");
    assert!((8.0..9.0).contains(&ordered_bits), "{ordered_bits}");
    let expected: Vec<(i64, i64)> = (0..parts * each).map(|at| (at * gap, at / parts)).collect();
    assert_eq!(world.rows(&scattered).into_iter().collect::<Vec<_>>(), expected);
}
