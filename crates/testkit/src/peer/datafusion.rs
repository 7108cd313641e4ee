//! Plain DataFusion on Parquet files, through its Python package: the library we are built on, as it comes.

use std::io;
use std::path::{Path, PathBuf};

use super::lines::{self, Lines, Peer};
use crate::tpch::Answer;

const SCRIPT: &str = include_str!("datafusion_peer.py");

/// A process with one session over a folder of Parquet files.
pub struct DataFusion {
    process: Lines,
    pub version: String,
}

impl DataFusion {
    /// Every `<table>.parquet` of the folder is a table. `packages` holds the Python package, see [`install`].
    pub fn open(packages: &Path, folder: &Path, threads: usize) -> io::Result<DataFusion> {
        let mut process = Lines::start("DataFusion", SCRIPT, packages, |command| {
            command.arg(folder).arg(threads.to_string()).env("TOKIO_WORKER_THREADS", threads.to_string());
        })?;
        let version = process.version()?;
        Ok(DataFusion { process, version })
    }
}

impl Peer for DataFusion {
    fn name(&self) -> &'static str {
        "DataFusion"
    }

    fn query(&mut self, sql: &str) -> io::Result<(Answer, f64)> {
        self.process.query(sql)
    }
}

/// Installs the Python package of the version we are built on into a folder of its own (once) and returns that folder.
pub fn install(dir: &Path) -> io::Result<PathBuf> {
    lines::install(dir.join("python-datafusion"), "datafusion", "55.0.0")
}
