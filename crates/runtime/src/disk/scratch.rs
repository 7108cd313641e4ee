//! A disk that may be written to without changing anything: what is below is read, what is written stays in memory.
//!
//! For tools that open a stopped database as the server would and must leave it as it is. Durability means nothing here.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use heliosdb_types::{Error, Result};
use parking_lot::{Mutex, RwLock};

use super::{Disk, DiskFile, DiskLock, OpenMode, parent};

/// `None`: removed.
type Names = BTreeMap<String, Option<Arc<MemoryFile>>>;

/// Reads `below`, keeps changes.
#[derive(Debug)]
pub struct ScratchDisk {
    below: Arc<dyn Disk>,
    names: Mutex<Names>,
    dirs: Mutex<BTreeSet<String>>,
}

impl ScratchDisk {
    pub fn new(below: Arc<dyn Disk>) -> ScratchDisk {
        ScratchDisk { below, names: Mutex::default(), dirs: Mutex::default() }
    }

    fn failed(&self, doing: &str, path: &str, kind: io::ErrorKind) -> Error {
        Error::io(format!("{doing} \"{}\"", self.describe(path)), io::Error::from(kind))
    }

    fn fresh(&self, path: &str, bytes: Vec<u8>) -> Arc<MemoryFile> {
        let file = Arc::new(MemoryFile { path: self.describe(path), bytes: RwLock::new(bytes) });
        self.names.lock().insert(path.to_owned(), Some(Arc::clone(&file)));
        file
    }
}

impl Disk for ScratchDisk {
    fn open(&self, path: &str, mode: OpenMode) -> Result<Arc<dyn DiskFile>> {
        let known = self.names.lock().get(path).cloned();
        match (known, mode) {
            (Some(Some(_)), OpenMode::CreateNew) => {
                return Err(self.failed("create file", path, io::ErrorKind::AlreadyExists));
            }
            (Some(Some(file)), _) => return Ok(file),
            (Some(None), OpenMode::Read | OpenMode::Write) => {
                return Err(self.failed("open file", path, io::ErrorKind::NotFound));
            }
            (Some(None), _) => return Ok(self.fresh(path, Vec::new())),
            (None, _) => {}
        }
        match (self.below.exists(path)?, mode) {
            (_, OpenMode::Read) => self.below.open(path, OpenMode::Read),
            (true, OpenMode::CreateNew) => Err(self.failed("create file", path, io::ErrorKind::AlreadyExists)),
            (true, _) => Ok(self.fresh(path, self.below.read(path)?)),
            (false, OpenMode::Write) => Err(self.failed("open file", path, io::ErrorKind::NotFound)),
            (false, _) => Ok(self.fresh(path, Vec::new())),
        }
    }

    fn list(&self, dir: &str) -> Result<Vec<String>> {
        let mut found: BTreeSet<String> = match self.below.exists(dir)? || dir.is_empty() {
            true => self.below.list(dir)?.into_iter().collect(),
            false if self.dirs.lock().contains(dir) => BTreeSet::new(),
            false => return Err(self.failed("list directory", dir, io::ErrorKind::NotFound)),
        };
        let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        for (path, file) in self.names.lock().iter().filter(|(path, _)| parent(path) == dir) {
            match file {
                Some(_) => _ = found.insert(name(path)),
                None => _ = found.remove(&name(path)),
            }
        }
        found.extend(self.dirs.lock().iter().filter(|path| parent(path) == dir).map(|path| name(path)));
        Ok(found.into_iter().collect())
    }

    fn exists(&self, path: &str) -> Result<bool> {
        if let Some(known) = self.names.lock().get(path) {
            return Ok(known.is_some());
        }
        Ok(self.dirs.lock().contains(path) || self.below.exists(path)?)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        if !self.exists(from)? {
            return Err(self.failed("rename file", from, io::ErrorKind::NotFound));
        }
        let known = self.names.lock().get(from).cloned().flatten();
        let file = match known {
            Some(file) => file,
            None => self.fresh(from, self.below.read(from)?),
        };
        let mut names = self.names.lock();
        names.insert(from.to_owned(), None);
        names.insert(to.to_owned(), Some(file));
        Ok(())
    }

    fn remove(&self, path: &str) -> Result<()> {
        if !self.exists(path)? {
            return Err(self.failed("remove file", path, io::ErrorKind::NotFound));
        }
        self.names.lock().insert(path.to_owned(), None);
        Ok(())
    }

    fn create_dir(&self, path: &str) -> Result<()> {
        let mut dirs = self.dirs.lock();
        let mut dir = path;
        while !dir.is_empty() {
            dirs.insert(dir.to_owned());
            dir = parent(dir);
        }
        Ok(())
    }

    fn remove_dir(&self, path: &str) -> Result<()> {
        if !self.list(path)?.is_empty() {
            return Err(self.failed("remove directory", path, io::ErrorKind::DirectoryNotEmpty));
        }
        self.dirs.lock().remove(path);
        Ok(())
    }

    fn sync_dir(&self, _dir: &str) -> Result<()> {
        Ok(())
    }

    fn lock_exclusive(&self, _path: &str) -> Result<Box<dyn DiskLock>> {
        // Nobody else has this disk; who has the one below is the caller's to know.
        Ok(Box::new(NoLock))
    }

    fn available_space(&self) -> Result<u64> {
        Ok(u64::MAX)
    }

    fn describe(&self, path: &str) -> String {
        self.below.describe(path)
    }
}

#[derive(Debug)]
struct NoLock;

impl DiskLock for NoLock {}

/// A file in memory.
#[derive(Debug)]
struct MemoryFile {
    path: String,
    bytes: RwLock<Vec<u8>>,
}

impl MemoryFile {
    fn size(&self, len: u64) -> Result<usize> {
        usize::try_from(len).map_err(|_| Error::internal(format!("file \"{}\" is too large for memory", self.path)))
    }
}

impl DiskFile for MemoryFile {
    fn path(&self) -> &str {
        &self.path
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        let bytes = self.bytes.read();
        let from = bytes.get(self.size(offset)?..).unwrap_or_default();
        let count = from.len().min(buf.len());
        buf[..count].copy_from_slice(&from[..count]);
        Ok(count)
    }

    fn write_at(&self, new: &[u8], offset: u64) -> Result<()> {
        let start = self.size(offset)?;
        let mut bytes = self.bytes.write();
        let end = start + new.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[start..end].copy_from_slice(new);
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> Result<()> {
        Ok(())
    }

    fn len(&self) -> Result<u64> {
        Ok(self.bytes.read().len() as u64)
    }

    fn truncate(&self, len: u64) -> Result<()> {
        let len = self.size(len)?;
        self.bytes.write().resize(len, 0);
        Ok(())
    }

    fn allocate(&self, len: u64) -> Result<()> {
        let len = self.size(len)?;
        let mut bytes = self.bytes.write();
        if bytes.len() < len {
            bytes.resize(len, 0);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SimDisk;

    #[test]
    fn changes_are_seen_and_what_is_below_stays() {
        let below: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
        below.create_dir("d").unwrap();
        for name in ["d/a", "d/b"] {
            below.write_atomic(name, name.as_bytes()).unwrap();
        }
        let disk = ScratchDisk::new(Arc::clone(&below));
        disk.open("d/a", OpenMode::Write).unwrap().write_at(b"changed", 1).unwrap();
        disk.rename("d/b", "d/c").unwrap();
        disk.create_dir("e/f").unwrap();
        disk.write_atomic("e/new", b"new").unwrap();
        assert_eq!(disk.read("d/a").unwrap(), b"dchanged");
        assert_eq!(
            (disk.list("d").unwrap(), disk.list("e").unwrap()),
            (vec!["a".into(), "c".into()], vec!["f".into(), "new".to_owned()])
        );
        assert_eq!(disk.read("d/c").unwrap(), b"d/b");
        assert!(!disk.exists("d/b").unwrap() && disk.open("d/b", OpenMode::Read).is_err());
        assert!(disk.open("d/a", OpenMode::CreateNew).is_err() && disk.open("d/b", OpenMode::CreateNew).is_ok());
        disk.remove("d/a").unwrap();
        assert!(disk.remove("d/a").is_err() && disk.rename("d/a", "d/z").is_err());
        assert_eq!((below.read("d/a").unwrap(), below.list("d").unwrap().len()), (b"d/a".to_vec(), 2));
        assert!(!below.exists("e").unwrap());
    }
}
