//! Files of the user, read from front to back.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use heliosdb_runtime::{Disk, DiskFile, OpenMode, RealDisk};

use crate::error::Failure;

/// A file being read.
struct FileReader {
    file: Arc<dyn DiskFile>,
    at: u64,
}

fn open(path: &Path) -> Result<FileReader, Failure> {
    let shown = path.display();
    let name = path.file_name().and_then(|name| name.to_str()).filter(|_| path.is_file());
    let name = name.ok_or_else(|| Failure::Usage(format!("{shown} does not exist or is not a file")))?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let open = || {
        let file = RealDisk::new(dir)?.open(name, OpenMode::Read)?;
        Ok::<_, heliosdb_types::Error>(FileReader { file, at: 0 })
    };
    open().map_err(|error| Failure::Usage(error.message().to_owned()))
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

impl Read for FileReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read_at(buf, self.at).map_err(|e| io::Error::other(e.message().to_owned()))?;
        self.at += got as u64;
        Ok(got)
    }
}
