use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bench_storage::Options;
use bench_storage::cells::CELLS;
use bench_storage::report::Report;

const USAGE: &str = "\
bench storage [--only CELL] [--quick] [--seconds N] [--rows N] [--dir DIR] [--history FILE]
  --only CELL    commit, recover, points, scans, upserts or keys
  --quick        small data and short loads: whether it works, not how fast it is
  --seconds N    how long the upserts go on (600; quick: 20)
  --rows N       rows of points (10,000,000) and keys (100,000,000)
  --dir DIR      where the files go";

fn options() -> Result<(Options, Option<String>, Option<PathBuf>), String> {
    let dir = std::env::temp_dir().join("heliosdb-bench-storage");
    let mut options = Options { quick: false, seconds: None, rows: None, dir };
    let (mut only, mut history) = (None, None);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "--quick" {
            options.quick = true;
            continue;
        }
        let value = words.next().ok_or_else(|| format!("{word} needs a value\n{USAGE}"))?;
        let number = || value.replace('_', "").parse().map_err(|_| format!("{word} {value} is not a number"));
        match word.as_str() {
            "--only" if CELLS.iter().any(|(name, _)| *name == value) => only = Some(value),
            "--seconds" => options.seconds = Some(number()?),
            "--rows" => options.rows = Some(number()?),
            "--dir" => options.dir = value.into(),
            "--history" => history = Some(value.into()),
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok((options, only, history))
}

fn main() -> ExitCode {
    let (options, only, history) = match options() {
        Ok(all) => all,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::from(2);
        }
    };
    let mut report = Report::default();
    for (name, run) in CELLS.iter().filter(|(name, _)| only.as_deref().is_none_or(|only| only == *name)) {
        println!("{name}");
        run(&options, &mut report);
        let _ = std::fs::remove_dir_all(&options.dir);
    }
    let held = report.print();
    if let Some(history) = &history {
        append(history, &options, &report).expect("the history can be written");
    }
    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn append(history: &Path, options: &Options, report: &Report) -> std::io::Result<()> {
    use std::io::Write;
    let commit = std::process::Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output();
    let commit = commit.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned()).unwrap_or_default();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let line = serde_json::json!({
        "bench": "storage", "commit": commit, "unix_seconds": now, "quick": options.quick, "results": report.json(),
    });
    writeln!(std::fs::OpenOptions::new().create(true).append(true).open(history)?, "{line}")
}
