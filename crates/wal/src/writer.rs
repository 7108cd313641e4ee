//! Puts encoded records into files. One writer at a time; it alone knows the current file's end.
//!
//! Steps of a group: (1) records are sealed (salt, durable LSN, crc) for the current file; (2) one write, with a zero
//! terminator behind; (3) one sync. A record never spans files. Rolling: (0) the next file's blocks were reserved before its
//! first record was numbered (`reserve`); (1) the old file is written and synced; (2) the new
//! one gets its header under a spare's name and is synced; (3) it is renamed and the directory synced. So a file with a
//! name proves everything before its `first_lsn` durable, and recovery may take a shorter predecessor for damage.

use std::collections::VecDeque;
use std::sync::Arc;

use heliosdb_runtime::{Canary, DiskFile, failpoint};
use heliosdb_types::{Lsn, Result};
use parking_lot::Mutex;

use crate::file::{FileHeader, HEADER_BYTES, file_path};
use crate::options::WalConfig;
use crate::record::{TERMINATOR, encoded_len, seal};
use crate::reserve::{Prepared, Reserve, prepare};

/// Zeros are written this far ahead in a fresh file, so that most syncs change no metadata.
const ZERO_AHEAD_BYTES: u64 = 1 << 20;

/// A named log file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileMeta {
    pub sequence: u64,
    pub first_lsn: Lsn,
    pub bytes: u64,
}

/// A file given up that waits to be written over.
#[derive(Clone, Debug)]
pub(crate) struct Spare {
    pub path: String,
    /// Below this its blocks have been written. The file is longer than that where it was reserved and never filled: writing
    /// there changes metadata, which makes each sync a commit of the file system's journal.
    pub written: u64,
}

/// Every named file, oldest first, and the spares. Shared by the writer and by who retires files.
#[derive(Debug, Default)]
pub(crate) struct FileSet {
    pub files: VecDeque<FileMeta>,
    pub spares: Vec<Spare>,
    pub next_spare: u64,
}

#[derive(Debug)]
pub(crate) struct Writer {
    config: WalConfig,
    files: Arc<Mutex<FileSet>>,
    reserve: Arc<Reserve>,
    file: Arc<dyn DiskFile>,
    header: FileHeader,
    /// Where the next record goes.
    position: u64,
    capacity: u64,
    /// Below this, blocks have been written before and a sync is cheap.
    initialized: u64,
}

impl Writer {
    /// Starts in a new file that begins with `first_lsn`; everything before must be durable.
    pub fn start(config: WalConfig, files: Arc<Mutex<FileSet>>, sequence: u64, first_lsn: Lsn) -> Result<Writer> {
        let prepared = prepare(&config, &files, 0)?;
        let header = begin_file(&config, &files, &prepared, sequence, first_lsn)?;
        let Prepared { file, capacity, initialized, .. } = prepared;
        let reserve = Arc::new(Reserve::new(config.clone(), files.clone(), capacity));
        Ok(Writer { config, files, reserve, file, header, position: HEADER_BYTES as u64, capacity, initialized })
    }

    /// Where appends plan ahead of this writer.
    pub fn reserve(&self) -> Arc<Reserve> {
        self.reserve.clone()
    }

    /// Writes and syncs whole encoded records. `durable` is everything known durable before them.
    pub fn write_group(&mut self, records: &mut Vec<u8>, first_lsn: Lsn, durable: Lsn) -> Result<()> {
        assert!(durable < first_lsn, "only records that are not yet durable are written");
        let (mut durable, mut lsn) = (durable, first_lsn);
        let (mut start, mut end) = (0, 0);
        while end < records.len() {
            let len = encoded_len(&records[end..]);
            let used = self.position + (end - start + len + TERMINATOR) as u64;
            if used > self.capacity {
                self.write(&records[start..end])?;
                self.sync()?;
                self.roll(lsn)?;
                assert!((HEADER_BYTES + len + TERMINATOR) as u64 <= self.capacity, "planned for this record");
                durable = Lsn(lsn.0 - 1);
                start = end;
            }
            seal(&mut records[end..end + len], self.header.salt, durable);
            end += len;
            lsn = Lsn(lsn.0 + 1);
        }
        // The terminator travels with the group; the buffer is ours to extend.
        records.extend_from_slice(&[0; TERMINATOR]);
        let group = &records[start..];
        failpoint("wal.before_write")?;
        self.put(group)?;
        self.position += (group.len() - TERMINATOR) as u64;
        failpoint("wal.before_sync")?;
        self.sync()?;
        failpoint("wal.after_sync")?;
        self.note_length();
        if self.position > self.capacity / 2 {
            self.reserve.prepare_ahead();
        }
        Ok(())
    }

    /// Writes records without a terminator: the file is complete.
    fn write(&mut self, records: &[u8]) -> Result<()> {
        let mut last = records.to_vec();
        last.extend_from_slice(&[0; TERMINATOR]);
        self.put(&last)?;
        self.position += records.len() as u64;
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let end = self.position + bytes.len() as u64;
        assert!(end <= self.capacity, "a group ends inside its file");
        self.file.write_at(bytes, self.position)?;
        if end > self.initialized {
            let target = end.next_multiple_of(ZERO_AHEAD_BYTES).min(self.capacity);
            self.file.write_at(&vec![0; (target - end) as usize], end)?;
            self.initialized = target;
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        let canary = self.config.options.canary;
        if Canary::AckBeforeSync.sings(canary) {
            return Ok(());
        }
        let synced = self.file.sync_data();
        if synced.is_err() && Canary::RetryFailedSync.sings(canary) {
            return self.file.sync_data();
        }
        synced
    }

    fn note_length(&self) {
        if let Some(last) = self.files.lock().files.back_mut() {
            last.bytes = self.position;
        }
    }

    /// Goes on in the file that was reserved for the next record.
    fn roll(&mut self, first_lsn: Lsn) -> Result<()> {
        failpoint("wal.roll")?;
        self.note_length();
        let prepared = self.reserve.take();
        self.header = begin_file(&self.config, &self.files, &prepared, self.header.sequence + 1, first_lsn)?;
        (self.file, self.capacity, self.initialized) = (prepared.file, prepared.capacity, prepared.initialized);
        self.position = HEADER_BYTES as u64;
        Ok(())
    }
}

/// Gives a reserved file its header and its name, durably.
fn begin_file(
    config: &WalConfig,
    files: &Mutex<FileSet>,
    prepared: &Prepared,
    sequence: u64,
    first_lsn: Lsn,
) -> Result<FileHeader> {
    let header = FileHeader { sequence, salt: config.entropy.next_u64(), first_lsn };
    // The terminator behind the header hides what a recycled file held before.
    let mut bytes = header.encode().to_vec();
    bytes.extend_from_slice(&[0; TERMINATOR]);
    prepared.file.write_at(&bytes, 0)?;
    prepared.file.sync_all()?;
    config.disk.rename(&prepared.path, &file_path(&config.dir, sequence))?;
    config.disk.sync_dir(&config.dir)?;
    files.lock().files.push_back(FileMeta { sequence, first_lsn, bytes: HEADER_BYTES as u64 });
    Ok(header)
}
