//! Files of text, read from front to back: UTF-8, perhaps packed by gzip.

use std::io::{self, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;
use heliosdb_runtime::{DiskFile, HostFiles};
use heliosdb_types::{Error, Result, SqlState};

/// The file's own bytes.
struct Raw {
    file: Arc<dyn DiskFile>,
    at: u64,
    read: Arc<AtomicU64>,
}

impl Read for Raw {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read_at(buf, self.at).map_err(|e| io::Error::other(e.message().to_owned()))?;
        self.at += got as u64;
        self.read.fetch_add(got as u64, Ordering::Relaxed);
        Ok(got)
    }
}

enum Packing {
    None(Raw),
    Gzip(Box<MultiGzDecoder<BufReader<Raw>>>),
}

/// A text being read.
pub struct TextInput {
    inner: Packing,
    /// What was read to see what the file is.
    head: io::Cursor<Vec<u8>>,
    read: Arc<AtomicU64>,
    /// Bytes of the file.
    pub len: u64,
}

impl TextInput {
    /// Bytes of the file that have been read so far.
    pub fn consumed(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

impl Read for TextInput {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.head.read(buf)? {
            0 => self.inner.read(buf),
            got => Ok(got),
        }
    }
}

impl Read for Packing {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Packing::None(raw) => raw.read(buf),
            Packing::Gzip(unpacking) => unpacking.read(buf).map_err(|error| {
                let why = format!("cannot be unpacked by gzip ({error}); it may be cut off or damaged: gzip --test");
                io::Error::new(error.kind(), why)
            }),
        }
    }
}

const GZIP: &[u8] = b"\x1f\x8b";
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// How files begin that hold text in a way nobody reads here: their first bytes, what they are, what to do.
const FOREIGN: [(&[u8], &str, &str); 7] = [
    (b"PK\x03\x04", "is a zip archive or a spreadsheet", "unpack it first, or save the sheet as CSV"),
    (b"\x28\xb5\x2f\xfd", "is compressed by zstd", "unpack it first: unzstd"),
    (b"BZh", "is compressed by bzip2", "unpack it first: bunzip2 --keep"),
    (b"\xfd7zXZ", "is compressed by xz", "unpack it first: unxz --keep"),
    (b"\xff\xfe", "is UTF-16", "convert it first: iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "is UTF-16", "convert it first: iconv -f UTF-16 -t UTF-8"),
    (b"PAR1", "is a Parquet file", "name it .parquet"),
];
/// The longest of those beginnings.
const HEAD_BYTES: usize = 6;

/// Opens a text in UTF-8: without its byte order mark, unpacked; what is not such a file is said.
pub fn open_text(path: &str) -> Result<TextInput> {
    let file = HostFiles.open(path)?;
    let len = file.len()?;
    let read = Arc::<AtomicU64>::default();
    let mut inner = Packing::None(Raw { file: Arc::clone(&file), at: 0, read: Arc::clone(&read) });
    let mut head = beginning(&mut inner, path)?;
    if head.starts_with(GZIP) {
        read.store(0, Ordering::Relaxed);
        let raw = Raw { file, at: 0, read: Arc::clone(&read) };
        inner = Packing::Gzip(Box::new(MultiGzDecoder::new(BufReader::with_capacity(64 << 10, raw))));
        head = beginning(&mut inner, path)?;
    }
    if let Some((_, what, todo)) = FOREIGN.iter().find(|(start, ..)| head.starts_with(start)) {
        return Err(Error::invalid(SqlState::BAD_COPY_FILE_FORMAT, format!("{path} {what}; {todo}")));
    }
    if head.starts_with(BYTE_ORDER_MARK) {
        head.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(TextInput { inner, head: io::Cursor::new(head), read, len })
}

fn beginning(input: &mut impl Read, path: &str) -> Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    let read = input.take(HEAD_BYTES as u64).read_to_end(&mut head);
    read.map_err(|error| unreadable(path, &error))?;
    Ok(head)
}

/// A text that could not be read, or was not packed as it should be.
pub(crate) fn unreadable(path: &str, error: &io::Error) -> Error {
    Error::invalid(SqlState::BAD_COPY_FILE_FORMAT, format!("{path}: {error}"))
}

/// An error about a place in a file, with the file.
pub(crate) fn in_file(path: &str, error: Error) -> Error {
    Error::new(error.kind(), error.state(), format!("{path}, {}", error.message()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn marks_packing_and_what_is_no_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.csv").to_str().unwrap().to_owned();
        let put = |bytes: &[u8]| {
            let mut file = HostFiles.create(&path).unwrap();
            file.write_all(bytes).unwrap();
            file.keep().unwrap();
        };
        let read = || {
            let mut text = String::new();
            open_text(&path)?.read_to_string(&mut text).map_err(|e| unreadable(&path, &e))?;
            Ok::<_, Error>(text)
        };
        put(b"\xef\xbb\xbfa,b");
        assert_eq!(read().unwrap(), "a,b");
        put(b"");
        assert_eq!(read().unwrap(), "");
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"\xef\xbb\xbfone\ntwo\n").unwrap();
        let packed = packed.finish().unwrap();
        put(&[&packed[..], &packed[..]].concat());
        assert!(read().unwrap().starts_with("one\ntwo\n"));
        put(&packed[..packed.len() - 9]);
        assert_eq!(read().unwrap_err().state(), SqlState::BAD_COPY_FILE_FORMAT);
        put(b"PK\x03\x04....");
        assert!(read().unwrap_err().message().contains("spreadsheet"));
    }
}
