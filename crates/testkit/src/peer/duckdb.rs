//! DuckDB through its Python package, kept open in one process.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::lines::{self, Lines, Peer};
use crate::tpch::Answer;

const SCRIPT: &str = include_str!("duckdb_peer.py");

/// A DuckDB database file and the process that has it open.
pub struct DuckDb {
    process: Lines,
    pub version: String,
}

impl DuckDb {
    /// Opens (creates) a database file with `threads` threads. `packages` holds the Python package, see [`install`].
    pub fn open(packages: &Path, file: &Path, threads: usize) -> io::Result<DuckDb> {
        let mut process = Lines::start("DuckDB", SCRIPT, packages, |command| {
            command.arg(file).arg(threads.to_string());
        })?;
        let version = process.version()?;
        Ok(DuckDb { process, version })
    }

    /// Runs statements for their effect; returns seconds.
    pub fn execute(&mut self, sql: &str) -> io::Result<f64> {
        Ok(self.process.call(&json!({"do": "execute", "sql": sql}))?["seconds"].as_f64().unwrap_or_default())
    }
}

impl Peer for DuckDb {
    fn name(&self) -> &'static str {
        "DuckDB"
    }

    fn query(&mut self, sql: &str) -> io::Result<(Answer, f64)> {
        self.process.query(sql)
    }
}

/// Installs DuckDB's Python package into a folder of its own (once) and returns that folder.
pub fn install(dir: &Path) -> io::Result<PathBuf> {
    lines::install(dir.join("python"), "duckdb", "2.0.0")
}
