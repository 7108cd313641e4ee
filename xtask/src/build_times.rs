//! Build seconds are a benchmark too: cold builds, and the loop after one changed line.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Instant, SystemTime};

use serde_json::json;

use crate::step::{Done, cargo, output, root, server_binary};

const CRATES: &[&str] = &[
    "types",
    "runtime",
    "contracts",
    "hcc",
    "wal",
    "storage",
    "txn",
    "query",
    "gateway",
    "client",
    "server",
    "testkit",
];

/// Measures and appends to `bench/history/build.jsonl`; without cold builds with `--loops`.
pub fn run(arguments: &[String]) -> Done {
    let mut results = serde_json::Map::new();
    if !arguments.iter().any(|argument| argument == "--loops") {
        cold_builds(&mut results)?;
    }
    crate::verbs::check(&CRATES.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
    for name in CRATES {
        let seconds = one_line_loop(name)?;
        println!("check_after_one_line/{name:<20} {seconds:>8.1}");
        results.insert(format!("check_after_one_line/{name}"), json!(seconds));
    }
    append(results)
}

/// In a target folder of their own.
fn cold_builds(results: &mut serde_json::Map<String, serde_json::Value>) -> Done {
    let cold = root().join("target/cold-build");
    for (name, arguments) in
        [("cold_debug_seconds", &["build"][..]), ("cold_release_seconds", &["build", "--release"][..])]
    {
        let _ = fs::remove_dir_all(&cold);
        let seconds = timed(cargo().args(arguments).arg("--quiet").env("CARGO_TARGET_DIR", &cold))?;
        println!("{name:<28} {seconds:>8.1}");
        results.insert(name.into(), json!(seconds));
    }
    let binary = cold.join("release").join(server_binary("release").file_name().expect("a binary has a name"));
    let megabytes = fs::metadata(binary).map(|meta| meta.len() as f64 / 1e6).map_err(|error| error.to_string())?;
    println!("{:<28} {megabytes:>8.1}", "release_binary_megabytes");
    results.insert("release_binary_megabytes".into(), json!(megabytes));
    let _ = fs::remove_dir_all(&cold);
    Ok(())
}

/// `cargo xtask check` after a changed line in a crate's lib.rs, which is put back afterwards.
fn one_line_loop(name: &str) -> Result<f64, String> {
    let file = root().join(format!("crates/{name}/src/lib.rs"));
    let original = fs::read_to_string(&file).map_err(|error| error.to_string())?;
    fs::write(&file, format!("{original}\n// changed\n")).map_err(|error| error.to_string())?;
    let began = Instant::now();
    let checked = crate::verbs::check(&[name.to_owned()]);
    let seconds = began.elapsed().as_secs_f64();
    fs::write(&file, original).map_err(|error| error.to_string())?;
    // A trailing comment is not formatted away, but rustfmt may complain of the blank line: time counts, not its verdict.
    checked.map(|()| seconds)
}

fn timed(command: &mut std::process::Command) -> Result<f64, String> {
    let began = Instant::now();
    let status = command.status().map_err(|error| error.to_string())?;
    if status.success() { Ok(began.elapsed().as_secs_f64()) } else { Err(format!("{command:?} ended with {status}")) }
}

fn append(results: serde_json::Map<String, serde_json::Value>) -> Done {
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map(|d| d.as_secs()).unwrap_or_default();
    let commit = output("git", &["rev-parse", "--short=12", "HEAD"]).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let line = json!({"unix_seconds": seconds, "commit": commit.trim(), "cores": cores, "result": results});
    let path = root().join("bench/history/build.jsonl");
    fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(|error| error.to_string())?;
    let mut file = fs::File::options().create(true).append(true).open(path).map_err(|error| error.to_string())?;
    writeln!(file, "{line}").map_err(|error| error.to_string())
}
