//! DuckDB through its Python package, kept open in one process that answers JSON lines.

use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::tpch::Answer;

const SCRIPT: &str = include_str!("duckdb_peer.py");

/// A DuckDB database file and the process that has it open.
pub struct DuckDb {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    pub version: String,
}

impl DuckDb {
    /// Opens (creates) a database file with `threads` threads. `packages` holds the Python package, see [`install`].
    pub fn open(packages: &Path, file: &Path, threads: usize) -> io::Result<DuckDb> {
        let mut child = Command::new("python3")
            .args(["-c", SCRIPT])
            .arg(file)
            .arg(threads.to_string())
            .env("PYTHONPATH", packages)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().expect("stdin is piped");
        let output = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut peer = DuckDb { child, input, output, version: String::new() };
        peer.version = peer.call(&json!({"do": "version"}))?["version"].as_str().unwrap_or_default().to_owned();
        Ok(peer)
    }

    /// Runs statements for their effect; returns seconds.
    pub fn execute(&mut self, sql: &str) -> io::Result<f64> {
        Ok(self.call(&json!({"do": "execute", "sql": sql}))?["seconds"].as_f64().unwrap_or_default())
    }

    /// Runs a query; returns its rows as text and the seconds until the last row was fetched.
    pub fn query(&mut self, sql: &str) -> io::Result<(Answer, f64)> {
        let reply = self.call(&json!({"do": "query", "sql": sql}))?;
        let rows = reply["rows"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let answer = rows.iter().map(|row| row.as_array().into_iter().flatten().map(text).collect()).collect();
        Ok((answer, reply["seconds"].as_f64().unwrap_or_default()))
    }

    fn call(&mut self, request: &Value) -> io::Result<Value> {
        writeln!(self.input, "{request}")?;
        self.input.flush()?;
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(io::Error::other("the DuckDB process ended"));
        }
        let reply: Value = serde_json::from_str(&line)?;
        match reply["error"].as_str() {
            Some(error) => Err(io::Error::other(format!("DuckDB: {error}"))),
            None => Ok(reply),
        }
    }
}

impl Drop for DuckDb {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Installs DuckDB's Python package into a folder of its own (once) and returns that folder.
pub fn install(dir: &Path) -> io::Result<PathBuf> {
    let packages = dir.join("python");
    if packages.join("duckdb").is_dir() {
        return Ok(packages);
    }
    let status = Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"])
        .arg(&packages)
        .arg("duckdb==2.0.0")
        .status()?;
    if !status.success() {
        return Err(io::Error::other("pip could not install duckdb==2.0.0: is python3 with pip on PATH?"));
    }
    Ok(packages)
}
