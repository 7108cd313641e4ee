//! Files of the user, read from front to back.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use heliosdb_runtime::{Disk, DiskFile, OpenMode, RealDisk};

use crate::error::Failure;

/// A file being read.
pub(crate) struct FileReader {
    file: Arc<dyn DiskFile>,
    at: u64,
    pub len: u64,
}

pub(crate) fn open(path: &Path) -> Result<FileReader, Failure> {
    let shown = path.display();
    let name = path.file_name().and_then(|name| name.to_str()).filter(|_| path.is_file());
    let name = name.ok_or_else(|| Failure::Usage(format!("{shown} does not exist or is not a file")))?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let open = || {
        let file = RealDisk::new(dir)?.open(name, OpenMode::Read)?;
        let len = file.len()?;
        Ok::<_, heliosdb_types::Error>(FileReader { file, at: 0, len })
    };
    open().map_err(|error| Failure::Usage(error.message().to_owned()))
}

/// How files begin that hold text in a way nobody reads here: their first bytes, what they are, what to do.
const FOREIGN: [(&[u8], &str, &str); 7] = [
    (b"\x1f\x8b", "is compressed by gzip", "unpack it first: gunzip --keep"),
    (b"PK\x03\x04", "is a zip archive or a spreadsheet", "unpack it first, or save the sheet as CSV"),
    (b"\x28\xb5\x2f\xfd", "is compressed by zstd", "unpack it first: unzstd"),
    (b"BZh", "is compressed by bzip2", "unpack it first: bunzip2 --keep"),
    (b"\xfd7zXZ", "is compressed by xz", "unpack it first: unxz --keep"),
    (b"\xff\xfe", "is UTF-16", "convert it first: iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "is UTF-16", "convert it first: iconv -f UTF-16 -t UTF-8"),
];
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A file of text in UTF-8: without its byte order mark; what is not such a file is said.
pub(crate) fn open_text(path: &Path) -> Result<FileReader, Failure> {
    let mut reader = open(path)?;
    let mut head = [0; 6];
    let mut got = 0;
    while let Some(rest) = head.get_mut(got..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest).map_err(|e| Failure::Usage(format!("{}: {e}", path.display())))? {
            0 => break,
            more => got += more,
        }
    }
    let head = head.get(..got).unwrap_or_default();
    if let Some((_, what, todo)) = FOREIGN.iter().find(|(start, ..)| head.starts_with(start)) {
        return Err(Failure::Usage(format!("{} {what}; {todo}", path.display())));
    }
    reader.at = if head.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() as u64 } else { 0 };
    Ok(reader)
}

pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes).map_err(|e| Failure::Usage(format!("{}: {e}", path.display())))?;
    Ok(bytes)
}

/// Replaces a small file.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> heliosdb_types::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match path.file_name().and_then(|name| name.to_str()) {
        Some(name) => RealDisk::new(dir)?.write_atomic(name, bytes),
        None => Ok(()),
    }
}

/// Text of a file; `-` is standard input.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map_err(|e| Failure::Usage(format!("standard input: {e}")))?;
        return Ok(text);
    }
    String::from_utf8(read_file(path)?).map_err(|_| Failure::Usage(format!("{} is not UTF-8", path.display())))
}

impl FileReader {
    /// The file and its length, to be read anywhere.
    pub fn into_parts(self) -> (Arc<dyn DiskFile>, u64) {
        (self.file, self.len)
    }
}

impl Read for FileReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read_at(buf, self.at).map_err(|e| io::Error::other(e.message().to_owned()))?;
        self.at += got as u64;
        Ok(got)
    }
}
