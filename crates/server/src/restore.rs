//! `heliosdb restore`: a backup becomes a data directory.
//!
//! The file that says whose the directory is comes last, so that what was cut short cannot be started.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use heliosdb_client::{BACKUP_FILE, BEGUN_FILE, BackupList, Failure as ClientFailure, TarReader, TarSink, Unpack};
use heliosdb_runtime::{Disk, DiskFile, OpenMode, RealDisk};
use heliosdb_types::{Error, ErrorKind, SqlState};

use crate::data_dir;
use crate::exit::{ExitCode, Failure};
use crate::memory::show;

/// Read at once.
const PIECE_BYTES: usize = 1 << 20;

#[derive(Args, Clone, Debug)]
pub(crate) struct RestoreArgs {
    /// The backup: a directory that heliosdb backup made, a tar archive, or - for an archive on standard input
    backup: PathBuf,

    /// Where the database goes: a directory that is empty or does not exist
    data_dir: PathBuf,
}

pub(crate) fn restore(args: &RestoreArgs) -> Result<(), Failure> {
    let target = RealDisk::new(&args.data_dir).map_err(Failure::data)?;
    if !data_dir::is_empty(&target).map_err(Failure::data)? {
        let wrong = format!("directory {} is not empty; nothing was restored", args.data_dir.display());
        let error = Error::new(ErrorKind::Unavailable, SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, wrong);
        return Err(Failure::data(error.with_hint("Give an empty or a new directory.")));
    }
    let mut unpack = Unpack::new(target, true, Box::new(|_| ()));
    if args.backup == Path::new("-") {
        archive(&mut io::stdin().lock(), &mut unpack)?;
    } else if args.backup.is_dir() {
        directory(&args.backup, &mut unpack)?;
    } else {
        archive(&mut OpenArchive::open(&args.backup)?, &mut unpack)?;
    }
    let list = unpack.finish().map_err(damaged)?;
    let target = RealDisk::new(&args.data_dir).map_err(Failure::data)?;
    data_dir::claim(&target).map_err(Failure::data)?;
    println!(
        "restored {} files, {}, everything committed up to record {}; start it with: heliosdb start --data-dir {}",
        list.files.len(),
        show(list.bytes()),
        list.end.0,
        args.data_dir.display()
    );
    Ok(())
}

/// What is wrong with a backup is damage, whoever notices it.
fn damaged(failure: ClientFailure) -> Failure {
    let message = failure.to_string();
    let code = if message.contains("backup") { ExitCode::Damaged } else { ExitCode::Failed };
    Failure { code, error: Error::corrupt(message) }
}

fn archive(from: &mut dyn Read, unpack: &mut Unpack) -> Result<(), Failure> {
    let mut reader = TarReader::default();
    let mut piece = vec![0; PIECE_BYTES];
    while !reader.ended() {
        match from.read(&mut piece) {
            Ok(0) => break,
            Ok(got) => reader.feed(piece.get(..got).unwrap_or_default(), unpack).map_err(damaged)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Failure::data(Error::io("read the backup", error))),
        }
    }
    Ok(())
}

/// A file read from front to back.
struct OpenArchive {
    file: std::sync::Arc<dyn DiskFile>,
    at: u64,
}

impl OpenArchive {
    fn open(path: &Path) -> Result<OpenArchive, Failure> {
        let name = path.file_name().and_then(|name| name.to_str()).filter(|_| path.is_file());
        let missing = || {
            let message = format!("there is no backup {}", path.display());
            Failure::usage(Error::invalid(SqlState::INVALID_PARAMETER_VALUE, message))
        };
        let name = name.ok_or_else(missing)?;
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = RealDisk::new(dir).and_then(|disk| disk.open(name, OpenMode::Read)).map_err(Failure::data)?;
        Ok(OpenArchive { file, at: 0 })
    }
}

impl Read for OpenArchive {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read_at(buffer, self.at).map_err(|error| io::Error::other(error.to_string()))?;
        self.at += got as u64;
        Ok(got)
    }
}

fn directory(path: &Path, unpack: &mut Unpack) -> Result<(), Failure> {
    let disk = RealDisk::new(path).map_err(Failure::data)?;
    let exists = |name: &str| disk.exists(name).map_err(Failure::data);
    if !exists(BACKUP_FILE)? {
        let shown = path.display();
        let message = match exists(BEGUN_FILE)? {
            true => format!("the backup in {shown} is incomplete: it was cut short"),
            false => format!("{shown} is not a backup: it has no file {BACKUP_FILE}"),
        };
        return Err(Failure { code: ExitCode::Damaged, error: Error::corrupt(message) });
    }
    let list = disk.read(BACKUP_FILE).map_err(Failure::data)?;
    // Whole before anything is written.
    let names = BackupList::parse(&list).map_err(damaged)?.files;
    let mut piece = vec![0; PIECE_BYTES];
    for name in names.keys() {
        if !exists(name)? {
            return Err(damaged(ClientFailure::Usage(format!("the backup is damaged: {name} is missing"))));
        }
        let file = disk.open(name, OpenMode::Read).map_err(Failure::data)?;
        let len = file.len().map_err(Failure::data)?;
        unpack.file(name, len).map_err(damaged)?;
        let mut at = 0;
        while at < len {
            let got = file.read_at(&mut piece, at).map_err(Failure::data)?;
            unpack.data(piece.get(..got).unwrap_or_default()).map_err(damaged)?;
            at += got.max(1) as u64;
        }
        unpack.file_end().map_err(damaged)?;
    }
    unpack.file(BACKUP_FILE, list.len() as u64).map_err(damaged)?;
    unpack.data(&list).map_err(damaged)?;
    unpack.file_end().map_err(damaged)
}
