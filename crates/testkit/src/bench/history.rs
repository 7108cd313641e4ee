//! `bench/history/<name>.jsonl`: one line a run, never rewritten.

use std::fs::File;
use std::io::{self, Write};
use std::process::Command;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::tidy::root;

/// Appends a run with its date, commit and machine size.
pub fn append(name: &str, result: Value) -> io::Result<()> {
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map(|d| d.as_secs()).unwrap_or_default();
    let line = json!({
        "unix_seconds": seconds,
        "commit": command_line(&["git", "rev-parse", "--short=12", "HEAD"]),
        "cores": std::thread::available_parallelism().map(usize::from).unwrap_or(1),
        "result": result,
    });
    let folder = root().join("bench/history");
    std::fs::create_dir_all(&folder)?;
    let mut file = File::options().create(true).append(true).open(folder.join(format!("{name}.jsonl")))?;
    writeln!(file, "{line}")
}

fn command_line(words: &[&str]) -> String {
    let output = Command::new(words[0]).args(&words[1..]).current_dir(root()).output();
    output.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned()).unwrap_or_default()
}
