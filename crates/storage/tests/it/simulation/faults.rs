//! Bad days: disks that fail, fill up, flip bits or lose power, and processes that are killed, at any moment.

use heliosdb_contracts::ShardStore;
use heliosdb_runtime::{Disk, Fault, FaultKind, FaultOp, OpenMode};
use heliosdb_types::{BranchId, Error, ErrorKind, Result, SqlState};
use rand::Rng;
use rand::seq::IndexedRandom;

use super::Simulation;
use super::interlude::outcome;
use super::machine::Stop;

/// What may go wrong just now, and so which errors are honest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    Calm,
    /// Calls fail with EIO.
    Failing,
    Full,
    /// Bits are flipped, in what is read or on the platter.
    Flipping,
    /// Power goes, or the process is killed.
    Ending,
}

const OPS: [FaultOp; 7] =
    [FaultOp::Open, FaultOp::Read, FaultOp::Write, FaultOp::Sync, FaultOp::Rename, FaultOp::Remove, FaultOp::SyncDir];
/// The calls everything stands on, the weightiest more than once.
const DELICATE: [(FaultOp, &str); 10] = [
    (FaultOp::Sync, "wal"),
    (FaultOp::Sync, "wal"),
    (FaultOp::SyncDir, "."),
    (FaultOp::SyncDir, "."),
    (FaultOp::Rename, "CURRENT"),
    (FaultOp::Rename, "wal"),
    (FaultOp::SyncDir, "wal"),
    (FaultOp::Sync, "segments"),
    (FaultOp::SyncDir, "segments"),
    (FaultOp::Remove, ""),
];
const PLACES: [&str; 6] = ["", "wal", "segments", "deletes", "manifest", "CURRENT"];

impl Weather {
    fn explains(self, error: &Error) -> bool {
        let names_a_place = || error.message().contains('"') && error.message().contains("offset");
        match self {
            Weather::Calm => false,
            Weather::Failing | Weather::Ending => error.state() == SqlState::IO_ERROR,
            Weather::Full => error.state() == SqlState::DISK_FULL,
            Weather::Flipping => error.kind() == ErrorKind::Corrupt && names_a_place(),
        }
    }
}

impl Simulation {
    /// Whether it worked. What did not must be the weather's fault.
    pub fn weather_allows(&mut self, outcome: Result<()>) -> bool {
        let Err(error) = outcome else { return true };
        assert!(self.weather.explains(&error), "in {:?} weather: {:?} {error}", self.weather, error.kind());
        self.counts.add(match self.weather {
            Weather::Calm => "",
            Weather::Failing => "refused for EIO",
            Weather::Full => "refused for ENOSPC",
            Weather::Flipping => "refused for flipped bits",
            Weather::Ending => "cut off",
        });
        false
    }

    /// Steps in bad weather. Says whether all of them worked.
    fn brave(&mut self, steps: usize) -> bool {
        let mut fine = true;
        for _ in 0..steps {
            let stepped = self.step();
            fine &= self.weather_allows(stepped);
            self.settle_visible();
            let checked = self.check();
            fine &= self.weather_allows(checked);
        }
        fine
    }

    pub fn storm(&mut self) {
        match self.rng.random_range(0..100) {
            0..8 => self.cut_at_swap(),
            8..40 => self.cut(),
            40..65 => self.failing(),
            65..78 => self.full(),
            78..88 => self.flipping(),
            _ => self.rot(),
        }
    }

    fn some_stop(&mut self) -> Stop {
        if self.rng.random_bool(0.5) { Stop::PowerLoss } else { Stop::Kill }
    }

    /// The process ends in the middle of whatever it does.
    fn cut(&mut self) {
        let how = self.some_stop();
        if self.rng.random_bool(0.5) {
            let changes = self.rng.random_range(0..80);
            self.note(&format!("{how:?} after {changes} changes"));
            self.machine.disk.power_off_after(changes);
        } else {
            let (op, place) = *DELICATE.choose(&mut self.rng).expect("not empty");
            let skip = self.rng.random_range(0..3);
            let fault = Fault { op, path: place.into(), skip, times: 1, kind: FaultKind::PowerOff };
            self.note(&format!("{how:?} at {fault:?}"));
            self.machine.disk.inject(fault);
        }
        self.weather = Weather::Ending;
        for _ in 0..8 {
            // Where names and manifests change it matters most.
            let stepped = match self.rng.random_range(0..4) {
                0 => self.checkpoint(),
                1 => self.merge(),
                _ => Ok(()),
            };
            if !self.weather_allows(stepped) || !self.brave(1) {
                break;
            }
        }
        self.weather = Weather::Calm;
        self.restart(how);
    }

    /// The process is killed when `CURRENT` has been replaced but its name is not durable; then power goes. What the new
    /// process shows and does in between must not need the name to stay.
    fn cut_at_swap(&mut self) {
        let fault = Fault { op: FaultOp::SyncDir, path: ".".into(), skip: 0, times: 1, kind: FaultKind::PowerOff };
        self.note(&format!("Kill at {fault:?}, then power loss"));
        self.machine.disk.inject(fault);
        self.weather = Weather::Ending;
        let stepped = self.checkpoint();
        self.weather_allows(stepped);
        self.weather = Weather::Calm;
        self.restart_once(Stop::Kill);
        self.restart_once(Stop::PowerLoss);
    }

    fn some_fault(&mut self) -> Fault {
        let op = *OPS.choose(&mut self.rng).expect("not empty");
        let path = (*PLACES.choose(&mut self.rng).expect("not empty")).to_owned();
        let (skip, times) = (self.rng.random_range(0..12), self.rng.random_range(1..4));
        if self.rng.random_bool(0.4) {
            let (op, place) = *DELICATE.choose(&mut self.rng).expect("not empty");
            return Fault { op, path: place.into(), skip: skip / 4, times: 1, kind: FaultKind::Io };
        }
        Fault { op, path, skip, times, kind: FaultKind::Io }
    }

    fn failing(&mut self) {
        for _ in 0..self.rng.random_range(1..4) {
            let fault = self.some_fault();
            self.note(&format!("EIO: {fault:?}"));
            self.machine.disk.inject(fault);
        }
        self.weather = Weather::Failing;
        self.litter = true;
        let steps = self.rng.random_range(3..10);
        self.brave(steps);
        if self.fenced() {
            self.stays_fenced();
            self.weather = Weather::Calm;
            let how = self.some_stop();
            return self.restart(how);
        }
        self.machine.disk.clear_faults();
        self.weather = Weather::Calm;
        match self.rng.random_range(0..3) {
            0 => self.checkpoint().expect("a shard that is not fenced goes on"),
            1 => self.restart(Stop::PowerLoss),
            _ => {}
        }
    }

    /// After a failed sync nothing more is acknowledged, though the disk works again; what was visible stays readable.
    fn stays_fenced(&mut self) {
        self.note("fenced");
        self.counts.add("fenced");
        self.machine.disk.clear_faults();
        let fenced = |error: Error| assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
        fenced(self.shard().begin(BranchId(0)).expect_err("fenced"));
        // With nothing to freeze there is nothing to refuse.
        futures::executor::block_on(self.shard().checkpoint(true)).err().into_iter().for_each(fenced);
        let before = self.shard().visible_ts();
        while let Some(txn) = self.open.pop() {
            let committed = self.shard().commit(txn.id);
            match committed {
                Ok(appended) => assert_eq!(appended.lsn.0, 0, "only commits of nothing are fine"),
                Err(error) => fenced(error),
            }
        }
        self.check_all().expect("what was visible stays readable");
        assert_eq!(self.shard().visible_ts(), before);
    }

    /// Commits are refused as if they had never been tried, until there is space again.
    fn full(&mut self) {
        let room = self.rng.random_range(0..20_000);
        self.note(&format!("the disk has {room} bytes left"));
        self.machine.disk.set_capacity(self.machine.disk.used() + room);
        self.weather = Weather::Full;
        let steps = self.rng.random_range(4..16);
        self.brave(steps);
        assert!(!self.fenced(), "a full disk fences nothing");
        self.machine.disk.set_capacity(u64::MAX);
        self.weather = Weather::Calm;
        self.checkpoint().expect("there is space again");
    }

    /// What is read arrives with a flipped bit.
    fn flipping(&mut self) {
        let place = *PLACES.choose(&mut self.rng).expect("not empty");
        let (skip, times) = (self.rng.random_range(0..6), self.rng.random_range(1..4));
        let fault = Fault { op: FaultOp::Read, path: place.into(), skip, times, kind: FaultKind::FlipBit };
        self.note(&format!("{fault:?}"));
        self.machine.disk.inject(fault);
        self.weather = Weather::Flipping;
        let steps = self.rng.random_range(3..8);
        self.brave(steps);
        assert!(!self.fenced(), "damaged reads fence nothing");
        self.machine.disk.clear_faults();
        self.weather = Weather::Calm;
        self.check_all().expect("no damage stays behind");
    }

    /// A bit of a file is flipped on the platter, and some time later back.
    fn rot(&mut self) {
        let Some((path, len)) = self.some_file() else { return };
        let (offset, bit) = (self.rng.random_range(0..len), self.rng.random_range(0..8));
        self.note(&format!("flip bit {bit} at offset {offset} of {path}, of {len} bytes"));
        let flipped = self.machine.disk.flip_bit(&path, offset, bit).expect("the file exists");
        self.weather = Weather::Flipping;
        let in_log = path.starts_with("wal");
        if !in_log {
            let steps = self.rng.random_range(1..6);
            self.brave(steps);
            let checked = self.check_all();
            self.weather_allows(checked);
            assert!(!self.fenced(), "damage fences nothing");
        }
        if in_log || self.rng.random_bool(0.5) {
            let how = self.some_stop();
            self.end(how);
            let started = self.machine.start();
            self.note(&format!("start with the damage: {}", outcome(&started)));
            if self.weather_allows(started) {
                self.weather = Weather::Calm;
                self.machine.disk.flip_back(flipped);
                return self.recovered(in_log);
            }
            self.machine.disk.flip_back(flipped);
            self.weather = Weather::Calm;
            self.machine.stop(Stop::Kill);
            self.machine.start().expect("the damage is repaired");
            return self.recovered(false);
        }
        self.machine.disk.flip_back(flipped);
        self.weather = Weather::Calm;
        self.check_all().expect("the damage is repaired");
    }

    fn some_file(&mut self) -> Option<(String, u64)> {
        let dir = *["wal", "segments", "segments", "deletes", "manifest", ""].choose(&mut self.rng)?;
        let names = self.machine.disk.list(dir).ok()?;
        let name = names.choose(&mut self.rng)?;
        let path = if dir.is_empty() { name.clone() } else { format!("{dir}/{name}") };
        let len = self.machine.disk.open(&path, OpenMode::Read).ok()?.len().ok()?;
        // Log files are mostly space for records to come.
        let len = if dir == "wal" { len.min(2048) } else { len };
        (len > 0).then_some((path, len))
    }

    /// The process is gone; what its clients held with it.
    fn end(&mut self, how: Stop) {
        self.settle_visible();
        self.snapshots.clear();
        self.open.clear();
        self.machine.stop(how);
    }

    /// The process ends and starts again. What it shows then must be durable: power may go at once.
    pub fn restart(&mut self, how: Stop) {
        self.restart_once(how);
        while self.rng.random_bool(0.4) {
            self.restart_once(Stop::PowerLoss);
        }
    }

    /// Often enough the start fails, too.
    fn restart_once(&mut self, how: Stop) {
        self.note(&format!("restart after {how:?}"));
        self.end(how);
        for _ in 0..4 {
            let weather = match self.rng.random_range(0..10) {
                0..6 => break,
                6 | 7 => Weather::Ending,
                8 => Weather::Failing,
                _ => Weather::Flipping,
            };
            match weather {
                Weather::Ending => self.machine.disk.power_off_after(self.rng.random_range(0..25)),
                Weather::Failing => {
                    let fault = self.some_fault();
                    self.machine.disk.inject(fault);
                }
                _ => {
                    let (skip, times) = (self.rng.random_range(0..8), self.rng.random_range(1..3));
                    let fault = Fault { op: FaultOp::Read, path: "".into(), skip, times, kind: FaultKind::FlipBit };
                    self.machine.disk.inject(fault);
                }
            }
            self.weather = weather;
            let started = self.machine.start().and_then(|()| self.machine.disk.exists("CURRENT")).map(|_| ());
            self.note(&format!("  start in {weather:?} weather: {}", outcome(&started)));
            self.counts.add("started in bad weather");
            if self.weather_allows(started) {
                self.machine.disk.clear_faults();
                self.machine.disk.power_stays();
                self.weather = Weather::Calm;
                return self.recovered(false);
            }
            let how = self.some_stop();
            self.machine.stop(how);
        }
        self.weather = Weather::Calm;
        self.machine.start().unwrap_or_else(|error| panic!("could not start: {error}"));
        self.litter = false;
        self.recovered(false);
    }

    /// The shard is open again and must hold what was acknowledged.
    fn recovered(&mut self, damaged_end: bool) {
        let mut model = std::mem::take(&mut self.model);
        let found = model.recovered(damaged_end, |state| self.holds(state).expect("no fault is active"));
        self.model = model;
        found.unwrap_or_else(|why| panic!("{why}"));
        self.check_all().expect("no fault is active");
    }
}
