//! The real disk: std files under a root directory. The only place in the project that touches them.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // this is the seam the ban points to

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use heliosdb_types::{Error, ErrorKind, Result, SqlState};

use super::{Disk, DiskFile, DiskLock, OpenMode, parent, sys};

/// Files below one directory of the machine.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
}

impl RealDisk {
    /// Uses `root`, making it (and those above it) durably when missing.
    pub fn new(root: impl Into<PathBuf>) -> Result<RealDisk> {
        let root = root.into();
        make_durably(&root).map_err(|e| Error::io(format!("create directory \"{}\"", root.display()), e))?;
        Ok(RealDisk { root })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A path below the root. One that leaves it is a defect of ours (or hostile input that got this far).
    fn full(&self, path: &str) -> Result<PathBuf> {
        if Path::new(path).components().all(|part| matches!(part, Component::Normal(_))) {
            return Ok(self.root.join(path));
        }
        Err(Error::internal(format!("path \"{path}\" leaves the data directory")))
    }

    fn failed(&self, doing: &str, path: &str) -> impl FnOnce(io::Error) -> Error {
        let doing = format!("{doing} \"{}\"", self.describe(path));
        move |source| Error::io(doing, source)
    }
}

/// A new directory's name is only safe once the directory above it is synced.
fn make_durably(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let above = dir.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_durably(above)?;
    match fs::create_dir(dir) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists || !dir.is_dir() => Err(e),
        _ => File::open(above)?.sync_all(),
    }
}

impl Disk for RealDisk {
    fn open(&self, path: &str, mode: OpenMode) -> Result<Arc<dyn DiskFile>> {
        let full = self.full(path)?;
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => &mut options,
            OpenMode::Write => options.write(true),
            OpenMode::Create => options.write(true).create(true),
            OpenMode::CreateNew => options.write(true).create_new(true),
        };
        let file = options.open(&full).map_err(self.failed("open file", path))?;
        Ok(Arc::new(RealFile { file, path: self.describe(path) }))
    }

    fn list(&self, dir: &str) -> Result<Vec<String>> {
        let entries = fs::read_dir(self.full(dir)?).map_err(self.failed("list directory", dir))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(self.failed("list directory", dir))?;
            // A name that is not UTF-8 cannot be ours.
            if let Ok(name) = entry.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn exists(&self, path: &str) -> Result<bool> {
        fs::exists(self.full(path)?).map_err(self.failed("look for", path))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        fs::rename(self.full(from)?, self.full(to)?).map_err(self.failed("rename file", from))
    }

    fn remove(&self, path: &str) -> Result<()> {
        fs::remove_file(self.full(path)?).map_err(self.failed("remove file", path))
    }

    fn create_dir(&self, path: &str) -> Result<()> {
        if path.is_empty() || self.exists(path)? {
            return Ok(());
        }
        self.create_dir(parent(path))?;
        match fs::create_dir(self.full(path)?) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(self.failed("create directory", path)(e)),
            _ => self.sync_dir(parent(path)),
        }
    }

    fn remove_dir(&self, path: &str) -> Result<()> {
        fs::remove_dir(self.full(path)?).map_err(self.failed("remove directory", path))
    }

    fn sync_dir(&self, dir: &str) -> Result<()> {
        let full = self.full(dir)?;
        File::open(full).and_then(|handle| handle.sync_all()).map_err(self.failed("sync directory", dir))
    }

    fn lock_exclusive(&self, path: &str) -> Result<Box<dyn DiskLock>> {
        let full = self.full(path)?;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(full);
        let file = file.map_err(self.failed("open lock file", path))?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(RealLock { _file: file })),
            Err(TryLockError::WouldBlock) => Err(in_use(&self.describe(path))),
            Err(TryLockError::Error(e)) => Err(self.failed("lock file", path)(e)),
        }
    }

    fn available_space(&self) -> Result<u64> {
        sys::available_space(&self.root).map_err(self.failed("ask for the free space of", ""))
    }

    fn describe(&self, path: &str) -> String {
        if path.is_empty() { self.root.display().to_string() } else { self.root.join(path).display().to_string() }
    }
}

pub(super) fn in_use(path: &str) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        SqlState::OBJECT_IN_USE,
        format!("lock file \"{path}\" is held by another process"),
    )
    .with_hint("Is another server running on this data directory?")
}

/// flock: the system drops it when the process ends, however it ends.
#[derive(Debug)]
struct RealLock {
    _file: File,
}

impl DiskLock for RealLock {}

#[derive(Debug)]
struct RealFile {
    file: File,
    path: String,
}

impl RealFile {
    fn failed(&self, doing: &str) -> impl FnOnce(io::Error) -> Error {
        let doing = format!("{doing} file \"{}\"", self.path);
        move |source| Error::io(doing, source)
    }
}

impl DiskFile for RealFile {
    fn path(&self) -> &str {
        &self.path
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.file.read_at(&mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.failed("read")(e)),
            }
        }
        Ok(done)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.file.write_all_at(bytes, offset).map_err(|e| self.failed("write")(e))
    }

    fn sync_data(&self) -> Result<()> {
        self.file.sync_data().map_err(|e| self.failed("sync")(e))
    }

    fn sync_all(&self) -> Result<()> {
        self.file.sync_all().map_err(|e| self.failed("sync")(e))
    }

    fn len(&self) -> Result<u64> {
        Ok(self.file.metadata().map_err(|e| self.failed("ask for the length of")(e))?.len())
    }

    fn truncate(&self, len: u64) -> Result<()> {
        self.file.set_len(len).map_err(|e| self.failed("truncate")(e))
    }

    fn allocate(&self, len: u64) -> Result<()> {
        sys::allocate(&self.file, len).map_err(|e| self.failed("extend")(e))
    }

    fn written_end(&self) -> Result<u64> {
        sys::written_end(&self.file, self.len()?).map_err(|e| self.failed("look for the end of what was written to")(e))
    }

    fn announce(&self, offset: u64, len: u64) {
        sys::announce(&self.file, offset, len);
    }

    fn expect_scattered_reads(&self) {
        sys::expect_scattered_reads(&self.file);
    }
}
