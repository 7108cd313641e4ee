//! `cargo xtask <command>`: the developer commands, in Rust so that a fresh machine has them.
//!
//! Each is a list of ordinary commands, printed before it runs, so that any of them can be repeated by hand.
#![allow(
    clippy::disallowed_methods,
    reason = "a build tool runs outside the database: files and clocks are the system's"
)]

mod build_times;
mod install;
mod step;
mod verbs;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask <command>

  check [CRATE...]     the one-minute loop: the crates you changed (or name) and what is built on them
  test                 everything CI runs; installs what it needs
  sql [FEATURE]        golden SQL transcripts and sqllogictest files against a fresh server: all, a folder, or a file
  sim storage [--seeds N] [--seed N]
                       a shard on a simulated disk: so many seeds (100), or one with everything it does
  elle [--minutes N] [--clients N] [--weakened]
                       random transactions with crashes, checked for a serial order
  crash [--cycles N] [--seed N] [--writers N]
                       kill -9 a real server again and again
  long-haul [--minutes N] [--kill-every N] [--backup-every N] [--warehouses N] [--rate N] [--scale-down] [--plots]
                       transactions and analytical queries with kill -9 and backups; minutes
  clients [--only NAME] [--postgres]
                       drivers and ORMs of every ecosystem against a fresh server (or against PostgreSQL)
  compat [--random N] [--seed N] [--files NAME] [--write]
                       the golden scripts and random statements beside PostgreSQL
  slt [--corpus sqlite|datafusion|duckdb] [--dir DIR] [--only TEXT] [--all] [--write] [--verbose]
                       other engines' sqllogictest files, fetched, with PostgreSQL as the arbiter
  fuzz [--minutes N] [--only TARGET]
                       mutated inputs for the decoders; finds go to fuzz/corpus
  bench olap [--sf N] [--runs N] [--only Q01] [--cold | --after-updates | --datafusion | --postgres | --chdb]
                       TPC-H beside DuckDB: hot, or after starts with an empty page cache; or ours after changes beside ours as
                       loaded; or hot beside DataFusion on Parquet, PostgreSQL or chdb (embedded ClickHouse)
  bench weblog [--rows N] [--runs N] [--only W01] [--check]
                       43 queries over a wide web log beside DuckDB
  bench plans [--sf N] [--scale N] [--orders N] [--verbose]
                       estimates of rows beside PostgreSQL's, and own join orders beside random ones
  bench cancel [--rows N] [--tries N] [--only SHAPE]
                       how long cancelled statements go on
  bench oltp [--scale N] [--seconds N] [--rounds N] [--only CELL]
                       pgbench beside PostgreSQL
  bench tpcc [--warehouses N] [--seconds N] [--rounds N] [--clients N] [--level L] [--scale-down] [--check]
                       a mix like TPC-C's beside PostgreSQL, with its consistency conditions
  bench htap [--warehouses N] [--seconds N] [--minutes N] [--clients N] [--streams 0,1,2,4] [--scale-down] [--check] [--plots]
                       that mix and 22 analytical queries at once beside PostgreSQL, with invariants inside the statements
  bench load [--sf N] [--rounds N]                COPY of lineitem with its primary key beside PostgreSQL
  bench formats [--sf N] [--rows N] [--rounds N] [--only lineitem|web_log|metrics] [--columns] [--encodings]
                       our segment files beside Vortex, Parquet, DuckDB and PostgreSQL
  bench storage [--only commit|recover|points|scans|upserts|keys] [--quick] [--seconds N] [--rows N]
                        the shard beside fjall and the bare disk
  bench build [--loops]
                       how long builds take: cold (not with --loops), and after one changed line in each crate
  tidy                 the source tree's own rules";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let verb = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let done = match verb.as_str() {
        "check" => verbs::check(&rest),
        "test" | "ci" => verbs::test(),
        "sql" => verbs::sql(&rest),
        "sim" => verbs::sim(&rest),
        "crash" => verbs::testkit("debug", "crash", &rest),
        "long-haul" => verbs::testkit(&verbs::profile("release"), "long-haul", &rest),
        "elle" => verbs::testkit("debug", "elle", &rest),
        "clients" => verbs::clients(&rest),
        "compat" => verbs::testkit(&verbs::profile("debug"), "compat", &rest),
        "slt" => verbs::slt(&rest),
        "fuzz" => verbs::fuzz(&rest),
        "bench" => verbs::bench(&rest),
        "tidy" => verbs::tidy(),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nxtask {verb}: {error}");
            ExitCode::FAILURE
        }
    }
}
