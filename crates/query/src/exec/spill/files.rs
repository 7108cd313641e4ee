//! Files that operators write what does not fit into memory to, and read once.
//!
//! A file is a row of blocks, `length u32 | crc32c u32 | bytes`, little-endian; what the bytes mean is the operator's. It goes
//! when nobody holds it any more, and all of them go when the server starts. Nothing is synced: after a crash nobody reads them.
//! Commits come first on a disk that fills up, so writing ends while there is still space for them.

use std::fmt;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use datafusion::common::Result as DfResult;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::spill_file::{SpillFile, SpillWriter, TempFileFactory};
use futures::Stream;
use heliosdb_runtime::{Disk, DiskFile, OpenMode};
use heliosdb_types::{Error, Result, SqlState};

use super::super::error::to_datafusion;
use crate::exec::CancelFlag;

const HEAD: usize = 8;
/// Bytes of a block: enough that its price does not count, few enough for one to be held for each open file.
const BLOCK: usize = 256 << 10;
/// Space that is left to others,
const KEPT_FREE: u64 = 256 << 20;
/// and how much is written between two looks at it.
const LOOK_EVERY: u64 = 64 << 20;

/// Makes the files, in one directory of its own.
#[derive(Clone)]
pub(in crate::exec) struct SpillFiles {
    shared: Arc<Shared>,
    /// Of the statement they are made for: an operator that writes does not look up before it has written all it has.
    cancel: Option<CancelFlag>,
}

struct Shared {
    disk: Arc<dyn Disk>,
    next: AtomicU64,
    /// Bytes written since the server started.
    written: AtomicU64,
}

impl SpillFiles {
    /// `disk` is the directory; what lies there is overwritten.
    pub fn new(disk: Arc<dyn Disk>) -> SpillFiles {
        let shared = Shared { disk, next: AtomicU64::new(0), written: AtomicU64::new(0) };
        SpillFiles { shared: Arc::new(shared), cancel: None }
    }

    /// For a statement: nothing more is written once it is cancelled.
    pub fn of_statement(&self, cancel: CancelFlag) -> SpillFiles {
        SpillFiles { shared: Arc::clone(&self.shared), cancel: Some(cancel) }
    }

    /// What operators ask for files.
    pub fn manager(self) -> DiskManagerBuilder {
        DiskManagerBuilder::default().with_mode(DiskManagerMode::Custom(Arc::new(self)))
    }
}

impl TempFileFactory for SpillFiles {
    fn create_temp_file(&self, _description: &str) -> DfResult<Arc<dyn SpillFile>> {
        let name = format!("spill-{}", self.shared.next.fetch_add(1, Ordering::Relaxed));
        let made = self.shared.disk.open(&name, OpenMode::Create).and_then(|file| file.truncate(0).map(|()| file));
        let (shared, cancel) = (Arc::clone(&self.shared), self.cancel.clone());
        let body = Body { shared, cancel, file: made.map_err(to_datafusion)?, name, len: AtomicU64::new(0) };
        Ok(Arc::new(Spilled(Arc::new(body))))
    }
}

/// One file, removed with its last holder.
struct Body {
    shared: Arc<Shared>,
    cancel: Option<CancelFlag>,
    file: Arc<dyn DiskFile>,
    name: String,
    /// Bytes of whole blocks.
    len: AtomicU64,
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Err(error) = self.shared.disk.remove(&self.name) {
            tracing::warn!(%error, file = self.file.path(), "a temporary file stays until the next start");
        }
    }
}

impl Body {
    fn append(&self, bytes: &[u8]) -> Result<()> {
        if let Some(cancel) = &self.cancel {
            cancel.check()?;
        }
        let before = self.shared.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if before / LOOK_EVERY != (before + bytes.len() as u64) / LOOK_EVERY || before == 0 {
            self.shared.check_space()?;
        }
        let at = self.len.load(Ordering::Acquire);
        self.file.write_at(bytes, at)?;
        self.len.store(at + bytes.len() as u64, Ordering::Release);
        Ok(())
    }

    /// The block at an offset and where the next one begins; `None` at the end.
    fn block(&self, at: u64) -> Result<Option<(Bytes, u64)>> {
        let end = self.len.load(Ordering::Acquire);
        if at >= end {
            return Ok(None);
        }
        let damaged = || Error::corrupt(format!("temporary file \"{}\" is damaged at offset {at}", self.file.path()));
        let mut head = [0; HEAD];
        self.file.read_exact_at(&mut head, at)?;
        let word = |from: usize| u32::from_le_bytes([head[from], head[from + 1], head[from + 2], head[from + 3]]);
        let (len, checksum) = (word(0) as usize, word(4));
        let next = at + (HEAD + len) as u64;
        if len > BLOCK || next > end {
            return Err(damaged());
        }
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, at + HEAD as u64)?;
        if crc32c::crc32c(&bytes) != checksum {
            return Err(damaged());
        }
        Ok(Some((bytes.into(), next)))
    }
}

impl Shared {
    fn check_space(&self) -> Result<()> {
        let free = self.disk.available_space()?;
        if free >= KEPT_FREE {
            return Ok(());
        }
        let why = format!("{} MB are free, {} MB are kept for commits.", free >> 20, KEPT_FREE >> 20);
        let error = Error::unavailable(SqlState::DISK_FULL, "no space left for what a statement cannot hold in memory");
        Err(error.with_detail(why).with_hint("Free disk space, give the server more memory, or ask for less at once."))
    }
}

struct Spilled(Arc<Body>);

impl SpillFile for Spilled {
    fn size(&self) -> Option<u64> {
        Some(self.0.len.load(Ordering::Acquire))
    }

    fn read_stream(&self) -> DfResult<Pin<Box<dyn Stream<Item = DfResult<Bytes>> + Send>>> {
        Ok(Box::pin(Blocks { body: Arc::clone(&self.0), at: 0 }))
    }

    fn open_writer(&self) -> DfResult<Box<dyn SpillWriter>> {
        Ok(Box::new(Writer { body: Arc::clone(&self.0), block: vec![0; HEAD] }))
    }
}

impl fmt::Debug for Spilled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Spilled({})", self.0.name)
    }
}

/// Reads to the end of what is there; asked again, it goes on with what was written since.
struct Blocks {
    body: Arc<Body>,
    at: u64,
}

impl Stream for Blocks {
    type Item = DfResult<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<DfResult<Bytes>>> {
        // On threads for queries, which may wait for a disk.
        Poll::Ready(match self.body.block(self.at) {
            Ok(Some((bytes, next))) => {
                self.at = next;
                Some(Ok(bytes))
            }
            Ok(None) => None,
            Err(error) => {
                self.at = u64::MAX;
                Some(Err(to_datafusion(error)))
            }
        })
    }
}

/// Gathers a block, behind space for its head.
struct Writer {
    body: Arc<Body>,
    block: Vec<u8>,
}

impl Writer {
    fn write_block(&mut self) -> io::Result<()> {
        let bytes = &self.block[HEAD..];
        if bytes.is_empty() {
            return Ok(());
        }
        let (len, checksum) = (bytes.len() as u32, crc32c::crc32c(bytes));
        self.block[..4].copy_from_slice(&len.to_le_bytes());
        self.block[4..HEAD].copy_from_slice(&checksum.to_le_bytes());
        self.body.append(&self.block).map_err(io::Error::other)?;
        self.block.truncate(HEAD);
        Ok(())
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(BLOCK + HEAD - self.block.len());
        self.block.extend_from_slice(&bytes[..taken]);
        if self.block.len() == BLOCK + HEAD {
            self.write_block()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_block()
    }
}

impl SpillWriter for Writer {
    fn finish(&mut self) -> DfResult<()> {
        Ok(self.write_block()?)
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use heliosdb_runtime::RealDisk;

    use super::*;
    use crate::exec::error::from_datafusion;

    fn files() -> (Arc<dyn Disk>, tempfile::TempDir, SpillFiles) {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(dir.path()).unwrap());
        let files = SpillFiles::new(Arc::clone(&disk));
        (disk, dir, files)
    }

    fn read(file: &Arc<dyn SpillFile>) -> Result<Vec<u8>> {
        let blocks: Vec<DfResult<Bytes>> = futures::executor::block_on(file.read_stream().unwrap().collect());
        let mut all = Vec::new();
        for block in blocks {
            all.extend_from_slice(&block.map_err(from_datafusion)?);
        }
        Ok(all)
    }

    #[test]
    fn a_cancelled_statement_writes_no_more() {
        let (_disk, _dir, files) = files();
        let cancel = CancelFlag::default();
        let file = files.of_statement(cancel.clone()).create_temp_file("sort").unwrap();
        let mut writer = file.open_writer().unwrap();
        writer.write_all(&vec![1; 2 * BLOCK]).unwrap();
        cancel.cancel();
        let error = writer.write_all(&vec![2; 2 * BLOCK]).unwrap_err();
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
        assert_eq!(cause.map(Error::state), Some(SqlState::QUERY_CANCELED));
    }

    #[test]
    fn what_was_written_comes_back_and_the_file_goes_with_its_holder() {
        let (disk, _dir, files) = files();
        let file = files.create_temp_file("sort").unwrap();
        let bytes: Vec<u8> = (0..3 * BLOCK as u32 + 17).map(|n| (n % 251) as u8).collect();
        let mut writer = file.open_writer().unwrap();
        for piece in bytes.chunks(10_007) {
            writer.write_all(piece).unwrap();
        }
        writer.finish().unwrap();
        drop(writer);
        assert!(read(&file).unwrap() == bytes);
        assert_eq!(disk.list("").unwrap().len(), 1);
        drop(file);
        assert!(disk.list("").unwrap().is_empty());
    }

    #[test]
    fn a_reader_goes_on_with_what_is_written_later() {
        let (_disk, _dir, files) = files();
        let file = files.create_temp_file("exchange").unwrap();
        let mut writer = file.open_writer().unwrap();
        let mut reader = file.read_stream().unwrap();
        let mut next = || futures::executor::block_on(reader.next()).map(|block| block.unwrap());
        assert!(next().is_none());
        writer.write_all(b"one").unwrap();
        assert!(next().is_none(), "not flushed yet");
        writer.flush().unwrap();
        assert_eq!(next().unwrap(), "one");
        assert!(next().is_none());
        writer.write_all(b"two").unwrap();
        writer.finish().unwrap();
        assert_eq!(next().unwrap(), "two");
    }

    #[test]
    fn damage_is_noticed_wherever_it_is() {
        let (disk, _dir, files) = files();
        let file = files.create_temp_file("sort").unwrap();
        let mut writer = file.open_writer().unwrap();
        writer.write_all(&[7; 100]).unwrap();
        writer.finish().unwrap();
        let name = disk.list("").unwrap().remove(0);
        let whole = disk.read(&name).unwrap();
        let on_disk = disk.open(&name, OpenMode::Write).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << (at % 8);
            on_disk.write_at(&damaged, 0).unwrap();
            let error = read(&file).unwrap_err();
            assert_eq!(error.state(), SqlState::DATA_CORRUPTED, "{at}: {error}");
        }
        on_disk.write_at(&whole, 0).unwrap();
        on_disk.truncate(50).unwrap();
        assert_eq!(read(&file).unwrap_err().state(), SqlState::DATA_CORRUPTED);
    }
}
