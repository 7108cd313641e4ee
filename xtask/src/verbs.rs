//! The commands.

use std::collections::BTreeSet;

use crate::build_times;
use crate::install;
use crate::step::{Done, cargo, output, root, run, run_cargo, server_binary, target_dir};

/// Formats, compiles what changed and what is built on it, runs the changed crates' unit tests.
pub fn check(crates: &[String]) -> Done {
    let changed = if crates.is_empty() { changed_crates() } else { crates.iter().cloned().collect() };
    run_cargo(&["fmt", "--all", "--check"])?;
    run_cargo(&["check", "--workspace", "--all-targets", "--quiet"])?;
    let mut tests = cargo();
    tests.args(["test", "--quiet", "--lib"]);
    for name in &changed {
        tests.args(["-p", &format!("heliosdb-{name}")]);
    }
    if changed.is_empty() {
        println!("nothing changed since the last commit");
        return Ok(());
    }
    run(&mut tests)
}

/// Crates with uncommitted changes.
fn changed_crates() -> BTreeSet<String> {
    let status = output("git", &["status", "--porcelain", "--untracked-files=all"]).unwrap_or_default();
    let paths = status.lines().filter_map(|line| line.get(3..));
    paths.filter_map(|path| path.strip_prefix("crates/")?.split('/').next()).map(str::to_owned).collect()
}

/// Everything CI runs.
pub fn test() -> Done {
    install::toolchain_components()?;
    install::postgres()?;
    run_cargo(&["fmt", "--all", "--check"])?;
    run_cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "-D", "warnings"])?;
    run_cargo(&["build", "--workspace", "--bins", "--locked"])?;
    run(cargo()
        .args(["test", "--workspace", "--locked", "--no-fail-fast"])
        .env("HELIOSDB_BIN", server_binary("debug")))?;
    both_paths("100000")?;
    simulate_storage(None, Some("300"))?;
    // With the binaries that are there: building them on their own would build DataFusion again, see `testkit`.
    run_clients("debug", &[])?;
    run_testkit("debug", "crash", &["--cycles".into(), "200".into()])?;
    run_testkit("debug", "olap", &["--sf".into(), "0.05".into(), "--check".into()])?;
    run_testkit("debug", "weblog", &["--check".into()])?;
    // The first 1,000 random statements and the golden files beside PostgreSQL: rates may not fall.
    run_testkit(
        "debug",
        "compat",
        &["--random".into(), "1000".into(), "--seed".into(), "1".into(), "--shrink".into(), "5".into()],
    )
}

/// So many statements of the generator on the short and the full path.
fn both_paths(statements: &str) -> Done {
    let test = "session::test::both_paths::both_paths_give_the_same_rows_types_errors_and_locks";
    let mut command = cargo();
    command.args(["test", "-p", "heliosdb-query", "--lib", "--locked", "--", "--exact", test]);
    run(command.env("HELIOSDB_STATEMENTS", statements))
}

/// The client programs of `crates/testkit/clients` against a fresh server (or, with `--postgres`, against PostgreSQL).
pub fn clients(arguments: &[String]) -> Done {
    build_for_testkit("debug")?;
    run_clients("debug", arguments)
}

fn run_clients(profile: &str, arguments: &[String]) -> Done {
    let installed = install::clients()?;
    let mut all = vec!["--installed".to_owned(), installed.display().to_string()];
    all.extend_from_slice(arguments);
    run_testkit(profile, "clients", &all)
}

/// The golden transcripts.
pub fn sql(filter: &[String]) -> Done {
    run_cargo(&["build", "--bins"])?;
    let mut command = cargo();
    command.args(["test", "-p", "heliosdb-testkit", "--test", "it", "golden", "--", "--nocapture"]);
    if let Some(filter) = filter.first() {
        command.env("HELIOSDB_GOLDEN", filter);
    }
    run(command.env("HELIOSDB_BIN", server_binary("debug")))
}

/// The simulators: `[storage] [--seeds N] [--seed N]`, or a seed alone.
pub fn sim(arguments: &[String]) -> Done {
    let (mut seed, mut seeds) = (None, None);
    let mut words = arguments.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "storage" => {}
            "--seed" => seed = words.next(),
            "--seeds" => seeds = words.next(),
            word if word.parse::<u64>().is_ok() && seed.is_none() => seed = Some(word),
            word => {
                return Err(format!("\"{word}\" is not a simulator, --seeds N or --seed N; the simulator is: storage"));
            }
        }
    }
    simulate_storage(seed, seeds.or(if seed.is_some() { None } else { Some("100") }))
}

/// One seed, telling what it does, or so many from it on (or from 0), in an optimised build with debug assertions.
fn simulate_storage(seed: Option<&str>, seeds: Option<&str>) -> Done {
    let mut command = cargo();
    command.args(["test", "--profile", "sim", "-p", "heliosdb-storage", "--test", "it"]);
    match seed {
        Some(_) => command.args(["--", "--exact", "simulation::acknowledged_commits_survive_by_seed"]),
        // All of it: the canaries and that a seed repeats, too.
        None => command.args(["--", "simulation::", "--include-ignored"]),
    };
    command.arg("--nocapture");
    seed.map(|seed| command.env("HELIOSDB_SEED", seed));
    seeds.map(|seeds| command.env("HELIOSDB_SEEDS", seeds));
    run(&mut command)
}

/// Builds server and testkit in a profile and runs one of testkit's commands.
pub fn testkit(profile: &str, verb: &str, arguments: &[String]) -> Done {
    build_for_testkit(profile)?;
    run_testkit(profile, verb, arguments)
}

fn build_for_testkit(profile: &str) -> Done {
    let name = |profile| if profile == "debug" { "dev" } else { profile };
    // Two builds, not one: the server may be wanted in another profile than the tool.
    run_cargo(&["build", "--profile", name(profile), "-p", "heliosdb-server", "--bins"])?;
    run_cargo(&["build", "--profile", name(tool_profile(profile)), "-p", "heliosdb-testkit", "--bins"])
}

/// The profile of the tool beside a server of `profile`: clients share the cores with an optimised server, so they are optimised too.
fn tool_profile(profile: &str) -> &'static str {
    if profile == "debug" { "debug" } else { "release" }
}

/// Runs one of testkit's commands with the server of a profile.
fn run_testkit(profile: &str, verb: &str, arguments: &[String]) -> Done {
    let binary = server_binary(profile);
    let tool = target_dir().join(tool_profile(profile)).join(format!("testkit{}", std::env::consts::EXE_SUFFIX));
    let mut command = std::process::Command::new(tool);
    command.arg(verb).args(arguments).current_dir(root()).env("HELIOSDB_BIN", &binary);
    run(&mut command)
}

/// The profile to build the server with: `HELIOSDB_PROFILE`, or else the command's own.
pub fn profile(otherwise: &str) -> String {
    std::env::var("HELIOSDB_PROFILE").unwrap_or_else(|_| otherwise.into())
}

/// Benchmarks of `testkit`.
const TESTKIT: [&str; 8] = ["olap", "weblog", "oltp", "tpcc", "htap", "load", "plans", "cancel"];

pub fn bench(arguments: &[String]) -> Done {
    let profile = profile("dist");
    match arguments.split_first() {
        Some((name, rest)) if TESTKIT.contains(&name.as_str()) => testkit(&profile, name, rest),
        Some((name, rest)) if name == "build" => build_times::run(rest),
        Some((name, rest)) if name == "formats" => bench_formats(rest),
        Some((name, rest)) if name == "storage" => bench_storage(rest),
        _ => {
            Err("which benchmark? olap, weblog, oltp, tpcc, htap, load, plans, cancel, formats, storage or build"
                .into())
        }
    }
}

/// Our files beside Vortex, Parquet, DuckDB and PostgreSQL, in a workspace of its own.
fn bench_formats(arguments: &[String]) -> Done {
    install::postgres()?;
    let python = install::format_peers()?;
    let mut command = cargo();
    command.args(["run", "--release", "--locked", "--manifest-path", "bench/formats/Cargo.toml", "--"]);
    command.args(["--history", "bench/history/formats.jsonl"]).args(arguments);
    run(command.env("PYTHONPATH", python))
}

/// The shard beside fjall and the bare disk, in a workspace of its own.
fn bench_storage(arguments: &[String]) -> Done {
    let mut command = cargo();
    command.args(["run", "--release", "--locked", "--manifest-path", "bench/storage/Cargo.toml", "--"]);
    run(command.args(["--history", "bench/history/storage.jsonl"]).args(arguments))
}

/// Other engines' sqllogictest files beside PostgreSQL.
pub fn slt(arguments: &[String]) -> Done {
    install::postgres()?;
    testkit(&profile("release"), "slt", arguments)
}

pub fn tidy() -> Done {
    run_cargo(&["test", "-p", "heliosdb-testkit", "--test", "it", "tidy"])
}

/// Crate, where its tests are, and the test `fuzz_<target>`.
const FUZZ_TARGETS: &[(&str, &[&str], &str)] = &[
    ("gateway", &["--lib"], "wire"),
    ("types", &["--lib"], "text"),
    ("wal", &["--test", "wal"], "log"),
    ("storage", &["--lib"], "log_ops"),
    ("storage", &["--lib"], "deletes"),
    ("storage", &["--lib"], "manifest"),
    ("storage", &["--lib"], "segment"),
    ("hcc", &["--test", "hcc"], "encoding"),
    ("query", &["--lib"], "sql"),
];

/// Gives each fuzz target some minutes; what it finds is kept in `fuzz/corpus`.
pub fn fuzz(arguments: &[String]) -> Done {
    let after = |name: &str| arguments.iter().position(|word| word == name).and_then(|at| arguments.get(at + 1));
    let minutes: f64 = match after("--minutes") {
        Some(text) => text.parse().map_err(|_| format!("--minutes {text} is not a number"))?,
        None => 1.0,
    };
    for (name, scope, target) in FUZZ_TARGETS {
        if after("--only").is_some_and(|only| only != *target) {
            continue;
        }
        let package = format!("heliosdb-{name}");
        let mut tests = cargo();
        tests.args(["test", "--quiet", "-p", &package]).args(*scope);
        tests.args([&format!("fuzz_{target}"), "--", "--nocapture"]);
        run(tests.env("HELIOSDB_FUZZ_SECONDS", ((minutes * 60.0) as u64).to_string()))?;
    }
    Ok(())
}
