//! Files of the machine that are not the database's own: those a user names in a statement or on a command line.
//!
//! Who may name which is somebody else's to decide; here paths become canonical (so that neither `..` nor a link leads past
//! that decision), what is not a regular file is refused (a pipe would be waited for without end), and a new file appears under
//! its name only when it is complete and on disk.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // this is the seam the ban points to

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use heliosdb_types::{Error, Result, SqlState};

use super::{Disk, DiskFile, OpenMode, RealDisk};

/// What a path of the machine leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostKind {
    File {
        bytes: u64,
    },
    Directory,
    /// A device, a pipe, a socket.
    Other,
}

/// The machine's files by their paths.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostFiles;

/// The system's words, as PostgreSQL passes them on.
fn failed(what: &str, path: &str, why: &str, error: io::Error) -> Error {
    let state = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => SqlState::UNDEFINED_FILE,
        io::ErrorKind::PermissionDenied => SqlState::INSUFFICIENT_PRIVILEGE,
        io::ErrorKind::IsADirectory => SqlState::WRONG_OBJECT_TYPE,
        io::ErrorKind::InvalidInput => SqlState::INVALID_NAME,
        _ => return Error::io(format!("{what} \"{path}\"{why}"), error),
    };
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    Error::invalid(state, format!("could not {what} \"{path}\"{why}: {text}"))
}

impl HostFiles {
    /// The one path of something that exists: whole, without links, `.` and `..`. A relative one counts from the process's working directory.
    pub fn canonical(self, path: &str) -> Result<String> {
        let found = fs::canonicalize(path).map_err(|error| failed("open file", path, " for reading", error))?;
        let not_text = || Error::invalid(SqlState::INVALID_NAME, format!("the path of \"{path}\" is not UTF-8"));
        found.into_os_string().into_string().map_err(|_| not_text())
    }

    pub fn kind(self, path: &str) -> Result<HostKind> {
        let found = fs::metadata(path).map_err(|error| failed("open file", path, " for reading", error))?;
        Ok(match found.file_type() {
            kind if kind.is_file() => HostKind::File { bytes: found.len() },
            kind if kind.is_dir() => HostKind::Directory,
            _ => HostKind::Other,
        })
    }

    /// The names in a directory, sorted; those that are not UTF-8 cannot be named in a statement.
    pub fn names(self, dir: &str) -> Result<Vec<String>> {
        let wrong = |error| failed("open directory", dir, "", error);
        let mut names = Vec::new();
        for entry in fs::read_dir(dir).map_err(wrong)? {
            names.extend(entry.map_err(wrong)?.file_name().into_string().ok());
        }
        names.sort();
        Ok(names)
    }

    /// A regular file for reading.
    pub fn open(self, path: &str) -> Result<Arc<dyn DiskFile>> {
        match self.kind(path)? {
            HostKind::File { .. } => {}
            HostKind::Directory => {
                return Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, format!("\"{path}\" is a directory")));
            }
            HostKind::Other => {
                return Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, format!("\"{path}\" is not a regular file")));
            }
        }
        let (disk, name) = place(path)?;
        disk.open(name, OpenMode::Read)
    }

    /// Begins a file that will be at `path`, or replace what is there.
    pub fn create(self, path: &str) -> Result<NewFile> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        match fs::metadata(path) {
            Ok(found) if !found.is_file() => {
                let message = format!("could not open file \"{path}\" for writing: it is not a regular file");
                return Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, message));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("open file", path, " for writing", error)),
        }
        let above = Path::new(path).parent().and_then(Path::to_str).unwrap_or("/");
        if !Path::new(above).is_dir() {
            return Err(failed("open file", path, " for writing", io::Error::from_raw_os_error(libc::ENOENT)));
        }
        let (disk, name) = place(path)?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let temporary = format!(".{name}.{}-{number}.tmp", std::process::id());
        let file = disk.open(&temporary, OpenMode::CreateNew)?;
        Ok(NewFile { disk, file, temporary, name: name.to_owned(), at: 0, kept: false })
    }
}

/// The directory of a path, which exists, and the name in it.
fn place(path: &str) -> Result<(RealDisk, &str)> {
    let (dir, name) = match path.rfind('/') {
        Some(0) => ("/", path.get(1..).unwrap_or_default()),
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        None => (".", path),
    };
    Ok((RealDisk::new(dir)?, name))
}

/// A file being written, front to back, under a name of its own until [`NewFile::keep`]. Dropped before that, nothing is left of it.
#[derive(Debug)]
pub struct NewFile {
    disk: RealDisk,
    file: Arc<dyn DiskFile>,
    temporary: String,
    name: String,
    at: u64,
    kept: bool,
}

impl NewFile {
    pub fn bytes(&self) -> u64 {
        self.at
    }

    /// Makes the file durable, and then visible under its name.
    pub fn keep(mut self) -> Result<()> {
        self.file.sync_all()?;
        self.disk.rename(&self.temporary, &self.name)?;
        self.kept = true;
        self.disk.sync_dir("")
    }
}

impl io::Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(bytes, self.at).map_err(io::Error::other)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = self.disk.remove(&self.temporary)
        {
            tracing::warn!(%error, "an unfinished file could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_new_file_appears_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.bin").to_str().unwrap().to_owned();
        let mut file = HostFiles.create(&path).unwrap();
        file.write_all(b"half").unwrap();
        assert!(HostFiles.kind(&path).is_err());
        drop(file);
        assert!(HostFiles.names(dir.path().to_str().unwrap()).unwrap().is_empty(), "nothing is left");
        let mut file = HostFiles.create(&path).unwrap();
        file.write_all(b"whole").unwrap();
        file.keep().unwrap();
        assert_eq!(HostFiles.names(dir.path().to_str().unwrap()).unwrap(), ["x.bin"]);
        assert_eq!(HostFiles.kind(&path).unwrap(), HostKind::File { bytes: 5 });
        assert_eq!(HostFiles.create("/nowhere/at/all").unwrap_err().state(), SqlState::UNDEFINED_FILE);
    }

    #[test]
    fn paths_are_canonical_and_only_regular_files_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        let root = HostFiles.canonical(dir.path().to_str().unwrap()).unwrap();
        fs::create_dir(dir.path().join("in")).unwrap();
        fs::write(dir.path().join("secret"), b"s").unwrap();
        std::os::unix::fs::symlink(dir.path().join("secret"), dir.path().join("in/link")).unwrap();
        assert_eq!(HostFiles.canonical(&format!("{root}/in/../secret")).unwrap(), format!("{root}/secret"));
        assert_eq!(HostFiles.canonical(&format!("{root}/in/link")).unwrap(), format!("{root}/secret"));
        assert_eq!(HostFiles.canonical(&format!("{root}/none")).unwrap_err().state(), SqlState::UNDEFINED_FILE);
        assert_eq!(HostFiles.open(&root).unwrap_err().state(), SqlState::WRONG_OBJECT_TYPE);
        assert!(HostFiles.open("/dev/zero").unwrap_err().message().contains("not a regular file"));
        assert_eq!(HostFiles.open(&format!("{root}/secret")).unwrap().len().unwrap(), 1);
    }
}
