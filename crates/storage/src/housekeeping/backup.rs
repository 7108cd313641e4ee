//! An online copy: everything up to one commit, nothing after, while the shard goes on.
//!
//! The manifest and the applied end of the log are taken together; a restart from the copy replays the log from the
//! manifest's replay point to that end, as after a crash at that moment. The log comes first, so that it is not kept for
//! longer than it takes to copy it; segments are immutable and stay as long as somebody holds them.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use heliosdb_contracts::{BackupPart, BackupSource};
use heliosdb_runtime::{DiskFile, OpenMode};
use heliosdb_types::{CommitTs, Error, Lsn, Result};
use heliosdb_wal::{LogPin, end_of_record};

use crate::core::Core;
use crate::manifest::{current_text, deletes_path, encode_manifest, manifest_path, segment_path};
use crate::metrics::Counters;
use crate::segments::Segment;

/// Bytes of a part.
const PART_BYTES: usize = 1 << 20;

enum Source {
    Memory(Bytes),
    Open(Arc<dyn DiskFile>),
    /// Opened when its turn comes. The segment's owner keeps the file.
    Segment(Arc<Segment>),
}

struct Entry {
    name: String,
    bytes: u64,
    source: Source,
    /// Of the log: nothing after it needs the pin.
    log: bool,
}

struct Reading {
    file: Arc<dyn DiskFile>,
    name: String,
    offset: u64,
    bytes: u64,
    checksum: u32,
    /// What the manifest says the checksum is.
    expected: Option<u32>,
}

pub(super) struct Backup {
    core: Arc<Core>,
    end: (Lsn, CommitTs),
    bytes_total: u64,
    entries: VecDeque<Entry>,
    reading: Option<Reading>,
    memory: Option<Bytes>,
    pin: Option<LogPin>,
}

impl Core {
    /// Takes everything that belongs to one moment. Waits for a manifest swap that is under way, and for durability.
    pub fn begin_backup(self: &Arc<Core>) -> Result<Box<dyn BackupSource>> {
        let manifest = self.manifest.lock();
        let (version, end, ts) = {
            let state = self.commit.lock();
            (self.version.load_full(), self.applied_lsn(), state.last_ts)
        };
        let start = Lsn(manifest.replay_lsn.0 + 1);
        let pin = self.wal.pin(start);
        self.wal.wait_durable_blocking(end)?;
        let mut entries = self.log_entries(start, end)?;
        let memory = |name: &str, bytes: Vec<u8>| Entry {
            name: name.to_owned(),
            bytes: bytes.len() as u64,
            source: Source::Memory(bytes.into()),
            log: false,
        };
        entries.push(memory("CURRENT", current_text(manifest.number).into_bytes()));
        entries.push(memory(&manifest_path(manifest.number), encode_manifest(&manifest)));
        let mut deletes: Vec<u64> =
            manifest.segments.iter().filter_map(|entry| entry.deletes).map(|place| place.file).collect();
        deletes.sort_unstable();
        deletes.dedup();
        for number in deletes {
            let name = deletes_path(number);
            if !self.disk.exists(&name)? {
                // Of a tree dropped before the last restart, which swept it; a restart of the copy skips it too.
                continue;
            }
            let file = self.disk.open(&name, OpenMode::Read)?;
            entries.push(Entry { name, bytes: file.len()?, source: Source::Open(file), log: false });
        }
        let mut segments: Vec<_> = version.all_segments().cloned().collect();
        drop(manifest);
        segments.sort_by_key(|segment| segment.meta.id);
        entries.extend(segments.into_iter().map(|segment| Entry {
            name: segment_path(segment.meta.id),
            bytes: segment.meta.file_bytes,
            source: Source::Segment(segment),
            log: false,
        }));
        let bytes_total = entries.iter().map(|entry| entry.bytes).sum();
        Counters::add(&self.counters.backups_begun, 1);
        Ok(Box::new(Backup {
            core: self.clone(),
            end: (end, ts),
            bytes_total,
            entries: entries.into(),
            reading: None,
            memory: None,
            pin: Some(pin),
        }))
    }

    /// The log files with records from `start` to `end`, the last one cut after `end`.
    fn log_entries(&self, start: Lsn, end: Lsn) -> Result<Vec<Entry>> {
        let kept = self.wal.kept(start, end);
        let mut entries = Vec::with_capacity(kept.len());
        for (at, kept_file) in kept.iter().enumerate() {
            let file = self.disk.open(&kept_file.path, OpenMode::Read)?;
            let bytes = if at + 1 == kept.len() {
                let whole = Bytes::from(self.disk.read(&kept_file.path)?);
                end_of_record(&whole, &self.disk.describe(&kept_file.path), kept_file.sequence, end)?
            } else {
                kept_file.bytes
            };
            entries.push(Entry { name: kept_file.path.clone(), bytes, source: Source::Open(file), log: true });
        }
        Ok(entries)
    }
}

impl Backup {
    fn begin(&mut self, entry: Entry) -> Result<BackupPart> {
        let Entry { name, bytes, source, log } = entry;
        if !log {
            self.pin = None;
        }
        let (file, expected) = match source {
            Source::Memory(bytes) => {
                self.memory = Some(bytes.clone());
                return Ok(BackupPart::File { name, bytes: bytes.len() as u64 });
            }
            Source::Open(file) => (file, None),
            Source::Segment(segment) => {
                let file = self.core.disk.open(&name, OpenMode::Read)?;
                // From here on the open file keeps the bytes.
                (file, Some(segment.meta.file_checksum as u32))
            }
        };
        self.reading = Some(Reading { file, name: name.clone(), offset: 0, bytes, checksum: 0, expected });
        Ok(BackupPart::File { name, bytes })
    }
}

impl Reading {
    /// The next bytes; `None` at the end, where the checksum must be the expected one.
    fn next(&mut self) -> Result<Option<Bytes>> {
        let left = usize::try_from(self.bytes - self.offset).unwrap_or(usize::MAX).min(PART_BYTES);
        if left == 0 {
            return match self.expected {
                Some(expected) if expected != self.checksum => Err(Error::corrupt(format!(
                    "file \"{}\" fails its checksum at offset 0; it cannot be copied",
                    self.file.path()
                ))),
                _ => Ok(None),
            };
        }
        let mut bytes = vec![0; left];
        self.file.read_exact_at(&mut bytes, self.offset)?;
        self.offset += left as u64;
        self.checksum = crc32c::crc32c_append(self.checksum, &bytes);
        Ok(Some(bytes.into()))
    }
}

impl BackupSource for Backup {
    fn end(&self) -> (Lsn, CommitTs) {
        self.end
    }

    fn bytes_total(&self) -> u64 {
        self.bytes_total
    }

    fn next_part(&mut self) -> Result<Option<BackupPart>> {
        if let Some(bytes) = self.memory.take() {
            Counters::add(&self.core.counters.backup_bytes, bytes.len() as u64);
            return Ok(Some(BackupPart::Data(bytes)));
        }
        if let Some(reading) = &mut self.reading {
            if let Some(bytes) = reading.next().map_err(|error| error.context(format!("copy \"{}\"", reading.name)))? {
                Counters::add(&self.core.counters.backup_bytes, bytes.len() as u64);
                return Ok(Some(BackupPart::Data(bytes)));
            }
            self.reading = None;
        }
        match self.entries.pop_front() {
            Some(entry) => self.begin(entry).map(Some),
            None => {
                Counters::add(&self.core.counters.backups, 1);
                Ok(None)
            }
        }
    }
}
