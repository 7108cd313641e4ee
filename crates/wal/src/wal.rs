//! The log as its one user, storage, sees it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use heliosdb_runtime::{Thread, failpoint};
use heliosdb_types::{Lsn, Result, SqlState};
use parking_lot::Mutex;

use crate::file::{file_path, spare_path};
use crate::group::{DurableFuture, Group};
use crate::options::{ReplayFrom, WalConfig};
use crate::record::{NewRecord, RecordKind};
use crate::recover::{Replay, ReplayReport, recover};
use crate::times::SyncTimes;
use crate::writer::{FileMeta, FileSet, Spare, Writer};

/// An open log. Share it by `Arc`; dropping the last one writes what is buffered and ends the thread.
pub struct Wal {
    config: WalConfig,
    group: Arc<Group>,
    files: Arc<Mutex<FileSet>>,
    pins: Arc<Mutex<Pins>>,
    thread: Mutex<Option<Thread>>,
}

impl Wal {
    /// Opens (or begins) a log and replays it: `replay` gets each record from `from.start` on, in order.
    ///
    /// Errors: `Corrupt`, naming file and offset, when records known to have been durable cannot be read; and whatever
    /// `replay` returns. A torn tail is cut, reported and logged. New records go to a new file, so nothing behind the cut
    /// can be read again.
    pub fn open(config: WalConfig, from: ReplayFrom, replay: &mut dyn Replay) -> Result<(Wal, ReplayReport)> {
        config.disk.create_dir(&config.dir)?;
        let recovered = recover(config.disk.as_ref(), &config.dir, from, config.options.canary, replay)?;
        let last = recovered.report.last;
        let files = Arc::new(Mutex::new(recovered.files));
        let next_file = files.lock().files.back().map_or(1, |file| file.sequence + 1);
        let writer = Writer::start(config.clone(), files.clone(), next_file, Lsn(last.0 + 1))?;
        let group = Group::new(config.options.clone(), config.clock.clone(), writer, last);
        let thread = if config.options.inline {
            None
        } else {
            let group = group.clone();
            Some(config.spawner.thread("wal", move || group.run())?)
        };
        let pins = Arc::default();
        Ok((Wal { config, group, files, pins, thread: Mutex::new(thread) }, recovered.report))
    }

    /// Numbers a record and buffers it; returns before it is durable. Records are written in the order of these calls, so
    /// whoever assigns commit timestamps calls under the lock that assigns them. Blocks while the buffer is full.
    /// Errors: 53100 when the disk has no space for the record; then the log is as before.
    pub fn append(&self, record: &NewRecord<'_>) -> Result<Lsn> {
        self.group.append(|_| *record)
    }

    /// As `append`, for a record that contains its own number. `make` runs under the log's lock: keep it short.
    pub fn append_with<'a>(&self, make: impl FnOnce(Lsn) -> NewRecord<'a>) -> Result<Lsn> {
        self.group.append(make)
    }

    /// Resolves when the record is durable and `on_durable` has been told.
    pub fn wait_durable(&self, lsn: Lsn) -> DurableFuture {
        self.group.wait(lsn)
    }

    /// As `wait_durable`, blocking the thread.
    pub fn wait_durable_blocking(&self, lsn: Lsn) -> Result<()> {
        self.group.wait_blocking(lsn)
    }

    /// Registers the one callback that learns, in order and before any waiter, how far durability has come. Called on
    /// the writer's thread; it must not wait for the log.
    pub fn on_durable(&self, callback: impl Fn(Lsn) + Send + Sync + 'static) {
        self.group.set_on_durable(Box::new(callback));
    }

    /// Counts a transaction that has begun to write: its commit is worth waiting for when it is one of many.
    pub fn writer_began(&self) {
        self.group.writing.fetch_add(1, Ordering::Relaxed);
    }

    /// It commits or rolls back.
    pub fn writer_ended(&self) {
        self.group.writing.fetch_sub(1, Ordering::Relaxed);
    }

    /// Writes and syncs what is buffered on the calling thread.
    pub fn flush(&self) -> Result<()> {
        self.group.flush()
    }

    /// Refuses every later append and wait, for good.
    pub fn fence(&self, why: &str) {
        self.group.fence(why);
    }

    /// An error once the log is fenced.
    pub fn check_fence(&self) -> Result<()> {
        self.group.check_fence()
    }

    /// The oldest record still kept, or the next one if none is.
    pub fn oldest(&self) -> Lsn {
        self.files.lock().files.front().map_or(Lsn(self.newest().0 + 1), |file| file.first_lsn)
    }

    /// The last record appended.
    pub fn newest(&self) -> Lsn {
        self.group.appended()
    }

    /// Everything up to here is durable.
    pub fn durable(&self) -> Lsn {
        self.group.durable()
    }

    /// Bytes of records appended since the log was opened.
    pub fn appended_bytes(&self) -> u64 {
        self.group.appended_bytes()
    }

    /// How long groups of records took to be written and synced.
    pub fn sync_times(&self) -> SyncTimes {
        self.group.sync_times()
    }

    /// Bytes kept from the file that holds `lsn` on: what replaying from there reads, rounded up to a file.
    pub fn bytes_since(&self, lsn: Lsn) -> u64 {
        let set = self.files.lock();
        let first = set.files.partition_point(|file| file.first_lsn <= lsn).saturating_sub(1);
        set.files.iter().skip(first).map(|file| file.bytes).sum()
    }

    /// Gives up records below `before`: whole files are recycled or removed, oldest first. The caller's manifest must
    /// durably say that replay starts at `before` or later. Returns the number of files given up.
    pub fn retire(&self, before: Lsn) -> Result<usize> {
        assert!(Lsn(before.0.saturating_sub(1)) <= self.durable(), "only durable records are given up");
        let before = self.pins.lock().oldest.values().copied().fold(before, Lsn::min);
        let mut recycled = Vec::new();
        let mut retired = 0;
        while let Some(file) = self.pop_below(before) {
            failpoint("wal.retire")?;
            let path = file_path(&self.config.dir, file.sequence);
            match self.next_spare(recycled.len()) {
                Some(spare) => {
                    self.config.disk.rename(&path, &spare)?;
                    recycled.push(Spare { path: spare, written: file.bytes });
                }
                None => self.config.disk.remove(&path)?,
            }
            retired += 1;
        }
        if retired > 0 {
            // Before a spare may be overwritten its old name must be gone for good.
            self.config.disk.sync_dir(&self.config.dir)?;
            self.files.lock().spares.append(&mut recycled);
        }
        Ok(retired)
    }

    /// Keeps the records from `from` on, whatever is retired meanwhile. They must not have been given up yet.
    pub fn pin(&self, from: Lsn) -> LogPin {
        let mut pins = self.pins.lock();
        pins.next += 1;
        let id = pins.next;
        pins.oldest.insert(id, from);
        LogPin { pins: self.pins.clone(), id }
    }

    /// The files that hold records from `from` to `to`, oldest first. Pin them before.
    pub fn kept(&self, from: Lsn, to: Lsn) -> Vec<KeptFile> {
        let set = self.files.lock();
        let first = set.files.partition_point(|file| file.first_lsn <= from).saturating_sub(1);
        let within = set.files.iter().skip(first).take_while(|file| file.first_lsn <= to && from <= to);
        let kept = within.map(|file| KeptFile {
            path: file_path(&self.config.dir, file.sequence),
            sequence: file.sequence,
            first_lsn: file.first_lsn,
            bytes: file.bytes,
        });
        kept.collect()
    }

    /// Named files, and those that wait to be reused.
    pub fn file_counts(&self) -> (usize, usize) {
        let set = self.files.lock();
        (set.files.len(), set.spares.len())
    }

    /// Takes the oldest file off the list if all its records are below `before`. The current file stays.
    fn pop_below(&self, before: Lsn) -> Option<FileMeta> {
        let mut set = self.files.lock();
        let next = set.files.get(1)?;
        if next.first_lsn <= before { set.files.pop_front() } else { None }
    }

    fn next_spare(&self, taken: usize) -> Option<String> {
        let mut set = self.files.lock();
        if set.spares.len() + taken >= self.config.options.spare_files_max {
            return None;
        }
        set.next_spare += 1;
        Some(spare_path(&self.config.dir, set.next_spare))
    }

    /// A clean end: everything is written and synced, and a last record proves it durable. No appends afterwards.
    pub fn close(&self) -> Result<()> {
        self.flush()?;
        let written = match self.append(&NewRecord::new(RecordKind::MARK, &[])) {
            Ok(mark) => self.wait_durable_blocking(mark),
            // No space for the proof; what it would prove is no less durable.
            Err(error) if error.state() == SqlState::DISK_FULL => Ok(()),
            Err(error) => Err(error),
        };
        self.group.stop();
        self.thread.lock().take();
        written
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        self.group.stop();
        // Joins the thread, which empties the buffer first. Inline there is none: what nobody waited for is lost.
        self.thread.lock().take();
    }
}

/// From where on the log is kept for somebody.
#[derive(Debug, Default)]
struct Pins {
    next: u64,
    oldest: BTreeMap<u64, Lsn>,
}

/// Keeps part of the log until dropped.
#[derive(Debug)]
pub struct LogPin {
    pins: Arc<Mutex<Pins>>,
    id: u64,
}

impl Drop for LogPin {
    fn drop(&mut self) {
        self.pins.lock().oldest.remove(&self.id);
    }
}

/// A log file to be copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptFile {
    /// On the log's disk.
    pub path: String,
    pub sequence: u64,
    pub first_lsn: Lsn,
    /// Of header and records, as far as they are known to be durable.
    pub bytes: u64,
}

impl fmt::Debug for Wal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wal({}, durable {}, appended {})", self.config.dir, self.durable(), self.newest())
    }
}
