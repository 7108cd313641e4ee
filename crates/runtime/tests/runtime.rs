//! Both disks keep the same contract; the simulated one also forgets, fails and repeats.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use heliosdb_runtime::{Disk, Fault, FaultKind, FaultOp, OpenMode, RealDisk, SimDisk};
use heliosdb_types::{ErrorKind, SqlState};

/// Runs a check against the real and the simulated disk.
fn on_both(check: impl Fn(Arc<dyn Disk>)) {
    let dir = tempfile::tempdir().unwrap();
    check(Arc::new(RealDisk::new(dir.path()).unwrap()));
    check(Arc::new(SimDisk::new(1)));
}

#[test]
fn files_read_back_what_was_written() {
    on_both(|disk| {
        let file = disk.open("a", OpenMode::CreateNew).unwrap();
        file.write_at(b"world", 6).unwrap();
        file.write_at(b"hello", 0).unwrap();
        let mut buf = [1; 20];
        assert_eq!(file.read_at(&mut buf, 0).unwrap(), 11);
        assert_eq!(&buf[..11], b"hello\0world");
        assert_eq!(file.read_at(&mut buf, 100).unwrap(), 0);
        let short = file.read_exact_at(&mut buf, 0).unwrap_err();
        assert_eq!(short.kind(), ErrorKind::Corrupt);
        file.truncate(5).unwrap();
        file.allocate(8).unwrap();
        assert!(file.len().unwrap() >= 8);
        assert_eq!(&disk.read("a").unwrap()[..8], b"hello\0\0\0");
        file.sync_data().unwrap();
        file.sync_all().unwrap();
    });
}

#[test]
fn what_is_announced_reads_as_ever() {
    on_both(|disk| {
        let file = disk.open("f", OpenMode::CreateNew).unwrap();
        let bytes: Vec<u8> = (0..1_500_000_u32).map(|at| (at / 7) as u8).collect();
        file.write_at(&bytes, 0).unwrap();
        file.sync_all().unwrap();
        file.expect_scattered_reads();
        // Within the file, over its end, behind it, and nothing at all.
        for (offset, len) in [(0, 1_500_000), (1_499_999, 10), (u64::MAX, u64::MAX), (4096, u64::MAX / 2), (7, 0)] {
            file.announce(offset, len.min(1 << 40));
        }
        let mut back = vec![0; bytes.len()];
        file.read_exact_at(&mut back, 0).unwrap();
        assert!(back == bytes);
    });
}

#[test]
fn behind_what_was_written_there_are_only_zeros() {
    on_both(|disk| {
        let file = disk.open("log", OpenMode::CreateNew).unwrap();
        file.allocate(8 << 20).unwrap();
        for (at, written) in [(0, 100), (3 << 20, 5000), ((8 << 20) - 1, 1), (9 << 20, 3)] {
            file.write_at(&vec![7; written], at).unwrap();
            let check = || {
                let (end, len) = (file.written_end().unwrap(), file.len().unwrap());
                assert!(end >= at + written as u64 && end <= len, "{end} of {len}, {written} written at {at}");
                let mut rest = vec![1; (len - end) as usize];
                file.read_exact_at(&mut rest, end).unwrap();
                assert!(rest.iter().all(|byte| *byte == 0));
            };
            check();
            file.sync_all().unwrap();
            check();
        }
        file.truncate(0).unwrap();
        assert_eq!(file.written_end().unwrap(), 0);
    });
}

#[test]
fn names_behave() {
    on_both(|disk| {
        assert!(disk.open("missing", OpenMode::Read).is_err());
        assert!(disk.open("missing", OpenMode::Write).is_err());
        assert!(disk.open("no/dir", OpenMode::Create).is_err());
        disk.create_dir("x/y").unwrap();
        disk.create_dir("x/y").unwrap();
        disk.open("x/y/1", OpenMode::Create).unwrap().write_at(b"one", 0).unwrap();
        disk.open("x/y/2", OpenMode::Create).unwrap();
        assert!(disk.open("x/y/1", OpenMode::CreateNew).is_err());
        assert_eq!(disk.list("x/y").unwrap(), ["1", "2"]);
        assert_eq!(disk.list("x").unwrap(), ["y"]);
        disk.rename("x/y/1", "x/y/2").unwrap();
        assert_eq!(disk.read("x/y/2").unwrap(), b"one");
        assert!(!disk.exists("x/y/1").unwrap() && disk.exists("x/y").unwrap());
        assert!(disk.remove_dir("x/y").is_err(), "not empty");
        disk.remove("x/y/2").unwrap();
        disk.remove_dir("x/y").unwrap();
        assert!(disk.remove("x/y/2").is_err());
        assert!(disk.list("x/y").is_err());
        disk.write_atomic("whole", b"first, longer").unwrap();
        disk.write_atomic("whole", b"second").unwrap();
        assert_eq!(disk.read("whole").unwrap(), b"second");
        assert!(disk.available_space().unwrap() > 0);
    });
}

#[test]
fn a_lock_has_one_holder() {
    on_both(|disk| {
        let held = disk.lock_exclusive("lock").unwrap();
        let refused = disk.lock_exclusive("lock").unwrap_err();
        assert_eq!((refused.kind(), refused.state()), (ErrorKind::Unavailable, SqlState::OBJECT_IN_USE));
        drop(held);
        disk.lock_exclusive("lock").unwrap();
    });
}

#[test]
fn a_real_path_cannot_leave_its_root() {
    let dir = tempfile::tempdir().unwrap();
    let disk = RealDisk::new(dir.path().join("root")).unwrap();
    for path in ["../x", "/etc/passwd", "a/../../x"] {
        assert!(disk.open(path, OpenMode::Create).is_err(), "{path}");
    }
}

#[test]
fn a_root_is_made_with_all_above_it_but_not_over_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("a/b/c");
    RealDisk::new(&deep).unwrap().write_atomic("x", b"1").unwrap();
    assert_eq!(RealDisk::new(&deep).unwrap().read("x").unwrap(), b"1", "fine when it exists");
    assert!(RealDisk::new(deep.join("x")).is_err());
    assert!(RealDisk::new(deep.join("x/y")).is_err());
}

#[test]
fn a_crash_keeps_what_was_synced_and_may_lose_the_rest() {
    let (mut lost, mut kept, mut torn, mut nameless) = (0, 0, 0, 0);
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        let file = disk.open("a", OpenMode::CreateNew).unwrap();
        file.write_at(&[1; 2048], 0).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir("").unwrap();
        file.write_at(&[2; 2048], 1024).unwrap();
        disk.open("b", OpenMode::CreateNew).unwrap().sync_all().unwrap();
        let after = disk.crash();
        assert!(file.write_at(b"x", 0).is_err() && disk.list("").is_err(), "the old machine is off");
        let bytes = after.read("a").unwrap();
        assert_eq!(&bytes[..1024], [1; 1024], "seed {seed}: synced bytes survive");
        let new = bytes[1024..].iter().filter(|byte| **byte == 2).count();
        assert_eq!(new % 512, 0, "seed {seed}: sectors are whole");
        match new {
            0 => lost += 1,
            2048 => kept += 1,
            _ => torn += 1,
        }
        nameless += i32::from(!after.exists("b").unwrap());
    }
    assert!(lost > 20 && kept > 20 && torn > 20, "lost {lost} kept {kept} torn {torn}");
    assert!((40..160).contains(&nameless), "{nameless}");
}

#[test]
fn an_atomic_write_is_all_or_nothing_at_every_cut() {
    let script = |disk: &SimDisk| disk.write_atomic("m", b"new").and_then(|()| disk.write_atomic("m", b"newer"));
    let mut finished = false;
    for cut in 0..100 {
        let disk = SimDisk::new(cut);
        disk.write_atomic("m", b"old").unwrap();
        disk.power_off_after(cut);
        let done = script(&disk);
        finished |= done.is_ok();
        let bytes = disk.crash().read("m").unwrap();
        if done.is_ok() {
            assert_eq!(bytes, b"newer", "cut {cut}");
        }
        assert!([&b"old"[..], b"new", b"newer"].contains(&&bytes[..]), "cut {cut}: {bytes:?}");
    }
    assert!(finished);
}

#[test]
fn crashes_repeat_from_their_seed() {
    let run = |seed| {
        let disk = SimDisk::new(seed);
        for name in ["a", "b", "c", "d"] {
            disk.open(name, OpenMode::CreateNew).unwrap().write_at(&[9; 5000], 0).unwrap();
        }
        let after = disk.crash();
        let names = after.list("").unwrap();
        names.iter().map(|name| after.read(name).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(run(3), run(3));
    assert!((0..10).any(|seed| run(seed) != run(seed + 1)));
}

#[test]
fn faults_strike_where_told() {
    let disk = SimDisk::new(5);
    let fault = |op, kind, skip| Fault { op, path: "wal".into(), skip, times: 1, kind };
    let file = disk.open("wal", OpenMode::Create).unwrap();
    disk.inject(fault(FaultOp::Write, FaultKind::NoSpace, 1));
    file.write_at(b"first", 0).unwrap();
    assert_eq!(file.write_at(b"second", 5).unwrap_err().state(), SqlState::DISK_FULL);
    file.write_at(b"third", 5).unwrap();
    disk.inject(fault(FaultOp::Sync, FaultKind::Io, 0));
    assert_eq!(file.sync_data().unwrap_err().state(), SqlState::IO_ERROR);
    disk.inject(fault(FaultOp::Read, FaultKind::FlipBit, 0));
    let mut flipped = [0; 5];
    file.read_exact_at(&mut flipped, 0).unwrap();
    assert_ne!(&flipped, b"first");
    disk.flip_bit("wal", 0, 0).unwrap();
    assert_eq!(disk.read("wal").unwrap()[0], b'f' ^ 1);
    disk.set_capacity(20);
    assert_eq!(file.write_at(&[0; 30], 0).unwrap_err().state(), SqlState::DISK_FULL);
    assert_eq!(disk.syncs(), 1);
}

/// After a failed sync the cache shows bytes that may never have been written, and the next sync succeeds.
#[test]
fn a_failed_sync_loses_for_good() {
    let mut lost = 0;
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        let file = disk.open("f", OpenMode::Create).unwrap();
        file.write_at(&[0; 4096], 0).unwrap();
        file.sync_all().unwrap();
        disk.sync_dir("").unwrap();
        file.write_at(&[1; 4096], 0).unwrap();
        disk.inject(Fault { op: FaultOp::Sync, path: "f".into(), skip: 0, times: 1, kind: FaultKind::Io });
        assert!(file.sync_all().is_err());
        file.sync_all().unwrap();
        assert_eq!(disk.read("f").unwrap(), [1; 4096]);
        lost += i32::from(disk.crash().read("f").unwrap() != [1; 4096]);
    }
    assert!(lost > 10, "{lost}");
}
