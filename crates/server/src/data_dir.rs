//! Whose directory it is: ours, empty, or somebody else's. Asked before anything in it is touched.
//!
//! The file `HELIOSDB` says it: `heliosdb data <format>`. The format counts what an older program could not open safely;
//! what it can tell by itself (log, segments, manifest have versions of their own) does not raise it.

use std::path::Path;

use heliosdb_runtime::{Disk, DiskLock, RealDisk};
use heliosdb_types::{Error, ErrorKind, Result, SqlState};

use crate::config::Config;
use crate::exit::{ExitCode, Failure};

const IDENTITY_FILE: &str = "HELIOSDB";
const MAGIC: &str = "heliosdb data";
/// The newest this program writes and reads.
const FORMAT: u32 = 1;
const LOCK_FILE: &str = "LOCK";
/// What file systems put into their root.
const HARMLESS: [&str; 1] = ["lost+found"];
/// What databases written before there was an identity file have.
const OLDER: [&str; 2] = [LOCK_FILE, "shard-0"];

/// Opens the data directory, making it when missing, and locks it. Nothing of somebody else's is touched.
pub(crate) fn open(config: &Config) -> Result<(RealDisk, Box<dyn DiskLock>), Failure> {
    let disk = RealDisk::new(&config.data_dir).map_err(|error| unusable(error, config))?;
    let known = identify(&disk).map_err(|error| unusable(error, config))?;
    let lock = lock(&disk, config)?;
    if !known {
        claim(&disk).map_err(|error| unusable(error, config))?;
    }
    Ok((disk, lock))
}

/// Opens a data directory that exists, and locks it: for tools, which make none.
pub(crate) fn open_existing(path: &Path) -> Result<(RealDisk, Box<dyn DiskLock>), Failure> {
    let shown = path.display();
    if !path.is_dir() {
        return Err(Failure::usage(not_ours(format!("there is no directory {shown}"))));
    }
    let config = Config::new(path);
    let disk = RealDisk::new(path).map_err(|error| unusable(error, &config))?;
    let known = identify(&disk).map_err(|error| unusable(error, &config))?;
    if !known && disk.list("").map_err(|error| unusable(error, &config))?.len() <= 1 {
        return Err(Failure::data(not_ours(format!("directory {shown} is empty: there is no database in it"))));
    }
    let lock = lock(&disk, &config)?;
    Ok((disk, lock))
}

/// Says that a directory is a database: the last step of making one.
pub(crate) fn claim(disk: &dyn Disk) -> Result<()> {
    disk.write_atomic(IDENTITY_FILE, format!("{MAGIC} {FORMAT}\n").as_bytes())
}

/// Whether nothing of anybody's is in a directory.
pub(crate) fn is_empty(disk: &dyn Disk) -> Result<bool> {
    Ok(disk.list("")?.iter().all(|name| HARMLESS.contains(&name.as_str())))
}

/// Whether the directory says that it is ours; false if it may become so.
fn identify(disk: &dyn Disk) -> Result<bool> {
    let names = disk.list("")?;
    let shown = disk.describe("");
    if names.iter().any(|name| name == IDENTITY_FILE) {
        let text = String::from_utf8(disk.read(IDENTITY_FILE)?).unwrap_or_default();
        return check(&text, &shown, &disk.describe(IDENTITY_FILE)).map(|()| true);
    }
    if OLDER.iter().all(|name| names.iter().any(|found| found == name)) {
        return Ok(false);
    }
    let temporary = format!("{IDENTITY_FILE}.tmp");
    let foreign =
        |name: &&String| !HARMLESS.contains(&name.as_str()) && name.as_str() != LOCK_FILE && name.as_str() != temporary;
    let Some(first) = names.iter().find(foreign) else { return Ok(false) };
    let what = match names.iter().any(|name| name == "PG_VERSION") {
        true => "It is a data directory of PostgreSQL.".to_owned(),
        false => format!("It holds \"{first}\" and no file {IDENTITY_FILE}."),
    };
    Err(not_ours(format!("directory {shown} is not empty and not a HeliosDB data directory"))
        .with_detail(what)
        .with_hint("Give an empty or a new directory with --data-dir."))
}

fn check(text: &str, directory: &str, file: &str) -> Result<()> {
    let format = text.trim_end().strip_prefix(MAGIC).map(str::trim);
    match format.and_then(|format| format.parse::<u32>().ok()) {
        Some(FORMAT) => Ok(()),
        Some(newer) if newer > FORMAT => Err(not_ours(format!(
            "data directory {directory} was written by a newer HeliosDB: format {newer}, this program knows {FORMAT}"
        ))
        .with_hint("Start it with the program that wrote it, or a newer one.")),
        _ => {
            Err(Error::corrupt(format!("file \"{file}\" is damaged at offset 0: it does not say \"{MAGIC} {FORMAT}\"")))
        }
    }
}

fn not_ours(message: String) -> Error {
    Error::new(ErrorKind::Unavailable, SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
}

fn unusable(error: Error, config: &Config) -> Failure {
    let message = error.message();
    let dir = config.data_dir.display();
    let hint = if message.contains("Permission denied") {
        Some(format!("The directory must belong to the user who runs the server: chown -R USER {dir}"))
    } else if message.contains("Read-only file system") {
        Some(
            "The database writes at every start; give a directory on a writable file system with --data-dir."
                .to_owned(),
        )
    } else {
        None
    };
    Failure::data(match hint {
        Some(hint) if error.hint().is_none() => error.with_hint(hint),
        _ => error,
    })
}

fn lock(disk: &dyn Disk, config: &Config) -> Result<Box<dyn DiskLock>, Failure> {
    disk.lock_exclusive(LOCK_FILE).map_err(|error| {
        if error.state() != SqlState::OBJECT_IN_USE {
            return unusable(error, config);
        }
        let wrong = format!("another process uses the data directory {}", config.data_dir.display());
        let error = Error::new(ErrorKind::Unavailable, SqlState::OBJECT_IN_USE, wrong)
            .with_hint("Stop it first, or give this one a directory of its own with --data-dir.");
        Failure { code: ExitCode::Locked, error }
    })
}

#[cfg(test)]
mod tests {
    use heliosdb_runtime::SimDisk;

    use super::*;

    fn with(files: &[(&str, &str)]) -> Result<bool> {
        let disk = SimDisk::new(1);
        for (name, text) in files {
            disk.write_atomic(name, text.as_bytes()).unwrap();
        }
        identify(&disk)
    }

    #[test]
    fn only_our_directories_and_empty_ones_are_taken() {
        assert!(!with(&[]).unwrap());
        assert!(!with(&[("lost+found", "")]).unwrap());
        assert!(!with(&[("LOCK", "")]).unwrap(), "a first start that was cut short");
        assert!(!with(&[("LOCK", ""), ("shard-0", "")]).unwrap(), "from before the file");
        assert!(with(&[("HELIOSDB", "heliosdb data 1\n"), ("whatever", "")]).unwrap());
        let newer = with(&[("HELIOSDB", "heliosdb data 7\n")]).unwrap_err();
        assert!(newer.message().contains("newer HeliosDB: format 7"), "{newer}");
        for damaged in ["", "heliosdb data", "heliosdb data 0\n", "heliosdb data x\n", "hello"] {
            assert_eq!(with(&[("HELIOSDB", damaged)]).unwrap_err().kind(), ErrorKind::Corrupt, "{damaged}");
        }
        let foreign = with(&[("thesis.doc", "")]).unwrap_err();
        assert!(foreign.detail().unwrap().contains("thesis.doc"));
        let postgres = with(&[("PG_VERSION", "15\n"), ("base", "")]).unwrap_err();
        assert!(postgres.detail().unwrap().contains("PostgreSQL"));
    }
}
