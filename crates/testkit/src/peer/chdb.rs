//! ClickHouse inside a process, through the Python package chdb.

use std::io;
use std::path::{Path, PathBuf};

use super::lines::{self, Lines, Peer};
use crate::tpch::Answer;

const SCRIPT: &str = include_str!("chdb_peer.py");

/// A process with one session over a folder; tables are MergeTree ones, sorted by their primary keys.
pub struct Chdb {
    process: Lines,
    /// ClickHouse's, e.g. `26.9.2.1`.
    pub version: String,
}

impl Chdb {
    /// Opens (creates) a folder with `threads` threads a query. `packages` holds the Python package, see [`install`].
    pub fn open(packages: &Path, folder: &Path, threads: usize) -> io::Result<Chdb> {
        let mut process = Lines::start("chdb", SCRIPT, packages, |command| {
            command.arg(folder).arg(threads.to_string());
        })?;
        let version = process.version()?;
        Ok(Chdb { process, version })
    }
}

impl Peer for Chdb {
    fn name(&self) -> &'static str {
        "chdb"
    }

    fn query(&mut self, sql: &str) -> io::Result<(Answer, f64)> {
        self.process.query(sql)
    }
}

/// Installs the Python package into a folder of its own (once) and returns that folder.
pub fn install(dir: &Path) -> io::Result<PathBuf> {
    lines::install(dir.join("python-chdb"), "chdb", "4.4.0")
}
