//! A file as the Parquet reader wants it: read anywhere, never beyond its end.

use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use heliosdb_runtime::DiskFile;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

use crate::error::Failure;
use crate::source::open;

pub(super) struct Source {
    file: Arc<dyn DiskFile>,
    pub len: u64,
}

impl Source {
    pub fn open(path: &Path) -> std::result::Result<Source, Failure> {
        let (file, len) = open(path)?.into_parts();
        Ok(Source { file, len })
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
