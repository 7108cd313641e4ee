//! A file as the Parquet reader wants it: read anywhere, never beyond its end.

use std::io::{self, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use heliosdb_runtime::{DiskFile, HostFiles};
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

#[derive(Clone, Debug)]
pub(super) struct Source {
    file: Arc<dyn DiskFile>,
    pub len: u64,
    /// Bytes read so far.
    pub read: Arc<AtomicU64>,
}

impl Source {
    pub fn open(path: &str) -> heliosdb_types::Result<Source> {
        let file = HostFiles.open(path)?;
        let len = file.len()?;
        Ok(Source { file, len, read: Arc::default() })
    }

    /// `length` bytes from `start`, if the file has them: nothing is allocated by a length that is not so.
    pub fn bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let end = start.checked_add(length as u64).filter(|&end| end <= self.len);
        if end.is_none() {
            let what = format!("damaged or cut off: {length} bytes from {start} on are not there");
            return Err(ParquetError::EOF(what));
        }
        let mut buffer = vec![0; length];
        self.file
            .read_exact_at(&mut buffer, start)
            .map_err(|error| ParquetError::General(error.message().to_owned()))?;
        self.read.fetch_add(length as u64, Ordering::Relaxed);
        Ok(buffer.into())
    }
}

impl Length for Source {
    fn len(&self) -> u64 {
        self.len
    }
}

/// A reader of its own from some place on.
pub(super) struct From {
    file: Arc<dyn DiskFile>,
    at: u64,
}

impl Read for From {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read_at(buf, self.at).map_err(|e| io::Error::other(e.message().to_owned()))?;
        self.at += got as u64;
        Ok(got)
    }
}

impl ChunkReader for Source {
    type T = BufReader<From>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(BufReader::new(From { file: Arc::clone(&self.file), at: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        self.bytes(start, length)
    }
}
