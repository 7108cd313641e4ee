//! A backup's archive becomes a directory: each file durable before the next, `BACKUP` last.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use heliosdb_runtime::{Disk, DiskFile, OpenMode, RealDisk};
use heliosdb_types::Error;

use crate::backup_list::{BACKUP_FILE, BEGUN_FILE, BackupList};
use crate::error::Failure;
use crate::tar::TarSink;

/// Longer ones of our own are not ours.
const LIST_BYTES_MAX: usize = 256 << 20;

struct Writing {
    file: Arc<dyn DiskFile>,
    name: String,
    offset: u64,
    checksum: u32,
}

/// Unpacks into a directory that is empty.
pub struct Unpack {
    disk: RealDisk,
    writing: Option<Writing>,
    /// `BACKUP` itself, once it has come.
    list: Option<Vec<u8>>,
    own: bool,
    /// What was read: length and checksum by name.
    read: BTreeMap<String, (u64, u32)>,
    dirs: BTreeSet<String>,
    /// Leave `BACKUP` and `BACKUP.begun` out: the directory becomes a database, not a backup.
    as_database: bool,
    /// Told of each piece.
    told: Box<dyn FnMut(u64)>,
}

/// An error of the local disk.
pub fn local(error: &Error) -> Failure {
    Failure::Usage(error.message().to_owned())
}

impl Unpack {
    pub fn new(disk: RealDisk, as_database: bool, told: Box<dyn FnMut(u64)>) -> Unpack {
        let (writing, list, own, read, dirs) = Default::default();
        Unpack { disk, writing, list, own, read, dirs, as_database, told }
    }

    /// Checks that all of the backup came, and that it is what was sent.
    pub fn finish(self) -> Result<BackupList, Failure> {
        let Some(list) = &self.list else {
            return Err(Failure::Usage(format!("the backup is incomplete: it ends without {BACKUP_FILE}")));
        };
        let list = BackupList::parse(list)?;
        list.compare(&self.read)?;
        let sync = || self.dirs.iter().map(String::as_str).chain([""]).try_for_each(|dir| self.disk.sync_dir(dir));
        sync().map_err(|error| local(&error))?;
        Ok(list)
    }

    fn open(&mut self, name: &str) -> Result<Arc<dyn DiskFile>, Error> {
        if let Some((dir, _)) = name.rsplit_once('/') {
            self.disk.create_dir(dir)?;
            self.dirs.insert(dir.to_owned());
        }
        self.disk.open(name, OpenMode::CreateNew)
    }
}

impl TarSink for Unpack {
    fn file(&mut self, name: &str, bytes: u64) -> Result<(), Failure> {
        self.own = name == BACKUP_FILE || name == BEGUN_FILE;
        if self.own && bytes > LIST_BYTES_MAX as u64 {
            return Err(Failure::Usage(format!("the backup is damaged: {name} is too long")));
        }
        if name == BACKUP_FILE {
            self.list = Some(Vec::new());
        }
        if self.own && self.as_database {
            return Ok(());
        }
        let file = self.open(name).map_err(|error| local(&error))?;
        self.writing = Some(Writing { file, name: name.to_owned(), offset: 0, checksum: 0 });
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.own
            && let Some(list) = &mut self.list
        {
            list.extend_from_slice(bytes);
        }
        if let Some(writing) = &mut self.writing {
            writing.file.write_at(bytes, writing.offset).map_err(|error| local(&error))?;
            writing.offset += bytes.len() as u64;
            writing.checksum = crc32c::crc32c_append(writing.checksum, bytes);
        }
        if !self.own {
            (self.told)(bytes.len() as u64);
        }
        Ok(())
    }

    fn file_end(&mut self) -> Result<(), Failure> {
        let Some(Writing { file, name, offset, checksum }) = self.writing.take() else { return Ok(()) };
        file.sync_all().map_err(|error| local(&error))?;
        if !self.own {
            self.read.insert(name, (offset, checksum));
        }
        Ok(())
    }
}
