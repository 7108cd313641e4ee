//! Vortex and DuckDB through their Python packages, kept open in one process that answers JSON lines (`peers.py`): the
//! makers' own builds, and nothing to compile. The process measures its own CPU time.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::answer::{Answer, SCAN_FROM, q6};

const SCRIPT: &str = include_str!("peers.py");

/// A process each, so that neither pays for what the other keeps in memory.
pub struct Peers {
    vortex: Process,
    duckdb: Process,
}

struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    version: String,
}

/// A file of a peer's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Written {
    pub bytes: f64,
    pub cpu_ms: f64,
}

/// Nanoseconds of reading a row.
#[derive(Clone, Copy, Debug)]
pub struct RowTimes {
    pub take: f64,
    pub value: f64,
}

/// What the peers' files are called.
pub const DEFAULT: &str = "default";
pub const COMPACT: &str = "compact";
pub const DUCKDB: &str = "duckdb";

impl Peers {
    /// `None` if Python or its packages are not there; it says why on standard error.
    pub fn start() -> Option<Peers> {
        Some(Peers { vortex: Process::start("vortex")?, duckdb: Process::start("duckdb")? })
    }

    pub fn versions(&self) -> String {
        format!("{}, {}", self.vortex.version, self.duckdb.version)
    }

    fn ask(&mut self, file: &str, question: Value) -> Value {
        if file == DUCKDB { self.duckdb.ask(&question) } else { self.vortex.ask(&question) }
    }

    /// Writes the rows of a Parquet file as the peer's `file`.
    pub fn write(&mut self, file: &str, parquet: &Path, dir: &Path) -> Written {
        let what = if file == DUCKDB { "duckdb" } else { "vortex" };
        let written = self.ask(file, json!({"do": what, "file": file, "parquet": parquet, "dir": dir}));
        Written { bytes: number(&written, "bytes"), cpu_ms: number(&written, "cpu_ms") }
    }

    fn scan(&mut self, file: &str, question: &str) -> (Answer, f64) {
        let bounds = if question == "q6" {
            json!({"from": q6::FROM, "to": q6::TO, "low": q6::DISCOUNT.0, "high": q6::DISCOUNT.1, "quantity": q6::QUANTITY})
        } else {
            json!({"from": SCAN_FROM})
        };
        let found = self.ask(file, json!({"do": "scan", "file": file, "question": question, "bounds": bounds}));
        let answer = Answer {
            rows: found["rows"].as_u64().expect("a number of rows") as usize,
            sum: found["sum"].as_i64().expect("a sum"),
        };
        (answer, number(&found, "cpu_ms"))
    }

    pub fn q6(&mut self, file: &str) -> (Answer, f64) {
        self.scan(file, "q6")
    }

    pub fn scan3(&mut self, file: &str) -> (Answer, f64) {
        self.scan(file, "scan3")
    }

    /// Reads rows of all columns by position; `keys` are their order keys.
    pub fn rows(&mut self, file: &str, rows: &[usize], keys: &[i64]) -> RowTimes {
        let found = self.ask(file, json!({"do": "rows", "file": file, "rows": rows}));
        assert_eq!(found["keys"], json!(keys), "Vortex gives other rows than asked for");
        RowTimes { take: number(&found, "take_ns"), value: number(&found, "value_ns") }
    }
}

fn number(answer: &Value, name: &str) -> f64 {
    answer[name].as_f64().expect("a number")
}

impl Process {
    fn start(peer: &str) -> Option<Process> {
        let mut child = Command::new("python3")
            .args(["-c", SCRIPT, peer])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let (input, output) = (child.stdin.take()?, BufReader::new(child.stdout.take()?));
        let mut process = Process { child, input, output, version: String::new() };
        process.version = process.answer()?.as_str()?.to_owned();
        Some(process)
    }

    fn answer(&mut self) -> Option<Value> {
        let mut line = String::new();
        self.output.read_line(&mut line).ok()?;
        serde_json::from_str(&line).ok()
    }

    fn ask(&mut self, question: &Value) -> Value {
        let sent = writeln!(self.input, "{question}").and_then(|()| self.input.flush());
        match self.answer().filter(|_| sent.is_ok()) {
            Some(answer) => answer,
            None => {
                // What it has to say is on standard error.
                let _ = self.child.kill();
                panic!("{} was asked {question} and did not answer: {:?}", self.version, self.child.wait())
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
