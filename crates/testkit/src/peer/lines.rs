//! A peer that runs in a Python process and answers one JSON line for each JSON line.

use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::tpch::Answer;

/// What scripts begin with.
const COMMON: &str = include_str!("lines.py");

/// Something that answers queries.
pub trait Peer {
    fn name(&self) -> &'static str;

    /// Runs a query; returns its rows as text and the seconds until the last row was there.
    fn query(&mut self, sql: &str) -> io::Result<(Answer, f64)>;
}

/// The process. Dropped: killed.
pub(super) struct Lines {
    name: &'static str,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Lines {
    /// Starts a script behind [`COMMON`]; `packages` is where its packages are.
    pub fn start(
        name: &'static str,
        script: &str,
        packages: &Path,
        prepare: impl FnOnce(&mut Command),
    ) -> io::Result<Lines> {
        let mut command = Command::new("python3");
        command
            .args(["-c", &format!("{COMMON}\n{script}")])
            .env("PYTHONPATH", packages)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        prepare(&mut command);
        let mut child = command.spawn()?;
        let input = child.stdin.take().expect("stdin is piped");
        let output = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Ok(Lines { name, child, input, output })
    }

    pub fn version(&mut self) -> io::Result<String> {
        Ok(self.call(&json!({"do": "version"}))?["version"].as_str().unwrap_or_default().to_owned())
    }

    pub fn query(&mut self, sql: &str) -> io::Result<(Answer, f64)> {
        let reply = self.call(&json!({"do": "query", "sql": sql}))?;
        let rows = reply["rows"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let answer = rows.iter().map(|row| row.as_array().into_iter().flatten().map(text).collect()).collect();
        Ok((answer, reply["seconds"].as_f64().unwrap_or_default()))
    }

    pub fn call(&mut self, request: &Value) -> io::Result<Value> {
        writeln!(self.input, "{request}")?;
        self.input.flush()?;
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(io::Error::other(format!("the {} process ended", self.name)));
        }
        let reply: Value = serde_json::from_str(&line)?;
        match reply["error"].as_str() {
            Some(error) => Err(io::Error::other(format!("{}: {error}", self.name))),
            None => Ok(reply),
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Installs a Python package of a version into a folder of its own (once) and returns that folder.
pub(super) fn install(packages: PathBuf, module: &str, version: &str) -> io::Result<PathBuf> {
    if packages.join(module).is_dir() {
        return Ok(packages);
    }
    let wanted = format!("{module}=={version}");
    let status = Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"])
        .arg(&packages)
        .arg(&wanted)
        .status()?;
    if !status.success() {
        return Err(io::Error::other(format!("pip could not install {wanted}: is python3 with pip on PATH?")));
    }
    Ok(packages)
}
