//! Files, reached through a root directory. Paths are relative to it and use `/`; the empty path is the root.
//!
//! Durability follows POSIX, no kinder: a file's bytes are safe after `sync_data`/`sync_all`, its *name* after
//! `sync_dir` of the directory that holds it. The exceptions, because nobody wants them otherwise: `create_dir` and
//! `write_atomic` are durable when they return.

mod files;
mod host;
mod real;
mod scratch;
mod sim;
pub(crate) mod sys;
mod throttle;

use std::fmt;
use std::sync::Arc;

use heliosdb_types::{Error, Result};

pub use host::{HostFiles, HostKind, NewFile};
pub use real::RealDisk;
pub use scratch::ScratchDisk;
pub use sim::{Access, Fault, FaultKind, FaultOp, FlippedBit, Interruption, SimDisk};
pub use throttle::{IoRate, ThrottledDisk};

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// It must exist; read only.
    Read,
    /// It must exist; read and write.
    Write,
    /// Made when missing; read and write.
    Create,
    /// It must not exist; read and write.
    CreateNew,
}

/// Keeps an exclusive lock until dropped.
pub trait DiskLock: Send + Sync + fmt::Debug {}

/// A directory tree. Shared by all threads; every call may block.
pub trait Disk: Send + Sync + fmt::Debug {
    fn open(&self, path: &str, mode: OpenMode) -> Result<Arc<dyn DiskFile>>;

    /// The names in a directory (files and directories, no paths), sorted. A missing directory is an error.
    fn list(&self, dir: &str) -> Result<Vec<String>>;

    fn exists(&self, path: &str) -> Result<bool>;

    /// Renames a file, replacing `to`, atomically. Durable after `sync_dir` of `to`'s directory.
    fn rename(&self, from: &str, to: &str) -> Result<()>;

    /// Removes a file. Open handles stay usable.
    fn remove(&self, path: &str) -> Result<()>;

    /// Makes a directory and those above it, durably; fine when it exists.
    fn create_dir(&self, path: &str) -> Result<()>;

    /// Removes an empty directory.
    fn remove_dir(&self, path: &str) -> Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &str) -> Result<()>;

    /// Takes the lock file `path` for this process, or fails at once: who has it is another process (or handle).
    fn lock_exclusive(&self, path: &str) -> Result<Box<dyn DiskLock>>;

    /// Bytes that can still be written.
    fn available_space(&self) -> Result<u64>;

    /// A path as it should appear in a message.
    fn describe(&self, path: &str) -> String;

    /// A whole file.
    fn read(&self, path: &str) -> Result<Vec<u8>> {
        let file = self.open(path, OpenMode::Read)?;
        let len = usize::try_from(file.len()?).map_err(|_| Error::corrupt(format!("{} is too large", file.path())))?;
        read_large(file.as_ref(), len)
    }

    /// Replaces a small file so that a crash leaves the old or the new content, never a mixture. Durable on return.
    fn write_atomic(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let temporary = format!("{path}.tmp");
        let file = self.open(&temporary, OpenMode::Create)?;
        file.truncate(0)?;
        file.write_at(bytes, 0)?;
        file.sync_all()?;
        self.rename(&temporary, path)?;
        self.sync_dir(parent(path))
    }
}

/// An open file. Positioned I/O only, so that handles can be shared freely.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// The file's path as it should appear in a message.
    fn path(&self) -> &str;

    /// Reads up to `buf.len()` bytes; fewer only at the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize>;

    /// Writes all of `bytes`, extending the file (with zeros in a gap) as needed.
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()>;

    /// Makes written bytes and the length needed to read them durable (fdatasync).
    fn sync_data(&self) -> Result<()>;

    /// Makes bytes and all metadata durable (fsync).
    fn sync_all(&self) -> Result<()>;

    fn len(&self) -> Result<u64>;

    fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts the file, or extends it with zeros.
    fn truncate(&self, len: u64) -> Result<()>;

    /// Reserves space so that the file is at least `len` long and later writes below `len` cannot run out of disk.
    fn allocate(&self, len: u64) -> Result<()>;

    /// Where the last bytes end that were ever written, at most: all that follow, up to the length, are zeros, and reading them tells
    /// nothing. The length where the file system does not say.
    fn written_end(&self) -> Result<u64> {
        self.len()
    }

    /// Says that the bytes will be read soon. The call does not wait for them; the system may fetch them into its own cache, or
    /// not. Advice: no read gives other bytes for it, and nothing fails.
    fn announce(&self, _offset: u64, _len: u64) {}

    /// Says that reads will come from all over the file, and that who reads announces what it will need: bytes beside those
    /// asked for are not worth fetching. Advice.
    fn expect_scattered_reads(&self) {}

    /// Reads exactly `buf.len()` bytes; a file that ends before is damaged.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let got = self.read_at(buf, offset)?;
        if got == buf.len() {
            return Ok(());
        }
        Err(Error::corrupt(format!(
            "file \"{}\" ends {} bytes early while reading {} at offset {offset}",
            self.path(),
            buf.len() - got,
            buf.len()
        )))
    }
}

/// The first `len` bytes of a file, which may be many.
pub fn read_large(file: &dyn DiskFile, len: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    sys::wish_for_large_pages(&mut bytes);
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// The directory part of a path.
pub(crate) fn parent(path: &str) -> &str {
    path.rfind('/').map_or("", |at| &path[..at])
}
