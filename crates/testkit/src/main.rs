//! `testkit`: benchmarks and the crash harness from the command line. `cargo xtask` calls it.
#![allow(clippy::disallowed_methods, reason = "a test tool")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use heliosdb_testkit::bench::{cancel, htap, load, olap, oltp, plans, tpcc, weblog};
use heliosdb_testkit::clients::{self, ClientOptions};
use heliosdb_testkit::compat::{self, CompatOptions};
use heliosdb_testkit::crash::{self, CrashOptions, IndexOptions};
use heliosdb_testkit::elle;
use heliosdb_testkit::long_haul::{self, LongHaulOptions};
use heliosdb_testkit::slt::public::{self, SltOptions};
use heliosdb_testkit::tidy::root;
use heliosdb_testkit::tpcc::{LEVELS, Scale};

#[derive(Parser)]
#[command(about = "Benchmarks and crash tests of a built heliosdb binary (HELIOSDB_BIN says which)")]
struct Arguments {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// TPC-H beside DuckDB
    Olap {
        #[arg(long = "sf", default_value_t = 1.0)]
        scale: f64,
        #[arg(long, default_value_t = 5)]
        runs: usize,
        #[arg(long, default_value_t = 2)]
        threads: usize,
        /// Compare the 22 answers only
        #[arg(long)]
        check: bool,
        /// Only these queries, e.g. Q01
        #[arg(long)]
        only: Vec<String>,
        /// The first query after a start with an empty page cache
        #[arg(long, group = "against")]
        cold: bool,
        /// After 5 % updates and 1 % deletes, beside ours as loaded
        #[arg(long, group = "against")]
        after_updates: bool,
        /// Beside DataFusion on Parquet
        #[arg(long, group = "against")]
        datafusion: bool,
        /// Beside PostgreSQL with indexes on its foreign keys
        #[arg(long, group = "against")]
        postgres: bool,
        /// Beside chdb, the embedded ClickHouse
        #[arg(long, group = "against")]
        chdb: bool,
    },
    /// A wide web log beside DuckDB
    Weblog {
        #[arg(long, default_value_t = 10_000_000)]
        rows: u64,
        #[arg(long, default_value_t = 5)]
        runs: usize,
        #[arg(long, default_value_t = 2)]
        threads: usize,
        /// Compare the 43 answers over few rows only
        #[arg(long)]
        check: bool,
        /// Only these queries, e.g. W01
        #[arg(long)]
        only: Vec<String>,
    },
    /// Estimates of rows beside PostgreSQL's
    Plans {
        /// Of TPC-H
        #[arg(long = "sf", default_value_t = 0.2)]
        tpch_scale: f64,
        /// Of the joins' data: 1 is a million rows
        #[arg(long, default_value_t = 1.0)]
        scale: f64,
        /// Random join orders that each query is run in beside its own; 0 for none
        #[arg(long, default_value_t = 100)]
        orders: u64,
        /// Say every estimate
        #[arg(long)]
        verbose: bool,
        /// Write no history
        #[arg(long)]
        no_history: bool,
    },
    /// How long cancelled statements go on
    Cancel {
        /// Of the table they are about
        #[arg(long, default_value_t = 2_000_000)]
        rows: u64,
        /// Times each statement is cancelled, at random moments
        #[arg(long, default_value_t = 8)]
        tries: usize,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Only shapes whose name contains this
        #[arg(long, default_value = "")]
        only: String,
        /// Write no history
        #[arg(long)]
        no_history: bool,
    },
    /// pgbench beside PostgreSQL
    Oltp {
        #[arg(long, default_value_t = 10)]
        scale: u32,
        #[arg(long, default_value_t = 20)]
        seconds: u32,
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Only cells whose name contains this, e.g. select/prepared
        #[arg(long)]
        only: Option<String>,
    },
    /// COPY of lineitem beside PostgreSQL
    Load {
        #[arg(long = "sf", default_value_t = 1.0)]
        scale: f64,
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
    /// A mix like TPC-C's beside PostgreSQL, with its consistency conditions
    Tpcc {
        #[arg(long, default_value_t = 10)]
        warehouses: i32,
        #[arg(long, default_value_t = 20)]
        seconds: u32,
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        #[arg(long, default_value_t = 8)]
        clients: i32,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// READ COMMITTED, REPEATABLE READ or SERIALIZABLE
        #[arg(long, default_value = LEVELS[0], value_parser = LEVELS, ignore_case = true)]
        level: String,
        /// A hundred items and 120 customers a warehouse
        #[arg(long)]
        scale_down: bool,
        /// Without PostgreSQL: whether the mix works and the conditions hold
        #[arg(long)]
        check: bool,
    },
    /// Transactions and analytical queries at once beside PostgreSQL, with invariants inside the statements
    Htap {
        #[arg(long, default_value_t = 10)]
        warehouses: i32,
        /// Of a measurement, at least: streams end their round
        #[arg(long, default_value_t = 30.0)]
        seconds: f64,
        /// Of writes beside a stream before the queries are timed again
        #[arg(long, default_value_t = 0.0)]
        minutes: f64,
        #[arg(long, default_value_t = 8)]
        clients: i32,
        /// Numbers of streams beside unthrottled terminals
        #[arg(long, value_delimiter = ',', default_value = "0,1")]
        streams: Vec<usize>,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// A hundred items and 120 customers a warehouse
        #[arg(long)]
        scale_down: bool,
        /// Answers, invariants and freshness only
        #[arg(long)]
        check: bool,
        /// Draw docs/plots/htap-*.svg
        #[arg(long)]
        plots: bool,
        /// Measure the server at this port instead (tables are loaded where there are none), and nothing beside it
        #[arg(long)]
        attach: Option<u16>,
        /// Transactions a second with --attach; without it no think time
        #[arg(long, requires = "attach")]
        rate: Option<f64>,
    },
    /// Drivers and ORMs of every ecosystem
    Clients {
        /// Folder of installed packages
        #[arg(long)]
        installed: PathBuf,
        /// Only clients whose name contains this
        #[arg(long)]
        only: Option<String>,
        /// Against the system's PostgreSQL, to show that the scripts are right
        #[arg(long)]
        postgres: bool,
    },
    /// Ours beside PostgreSQL, statement by statement
    Compat {
        /// Random statements beside the files
        #[arg(long, default_value_t = 2000)]
        random: u64,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Only files whose name contains this
        #[arg(long, default_value = "")]
        files: String,
        /// How many differences of a kind are made small
        #[arg(long, default_value_t = 60)]
        shrink: usize,
        /// Write docs/postgres-compatibility.md and the rates to hold
        #[arg(long)]
        write: bool,
    },
    /// Other engines' sqllogictest files, with PostgreSQL as the arbiter
    Slt {
        /// sqlite, datafusion or duckdb; all without it
        #[arg(long)]
        corpus: Vec<String>,
        /// The corpus' folder, if it is there already
        #[arg(long)]
        dir: Option<PathBuf>,
        /// Only files whose path contains this
        #[arg(long, default_value = "")]
        only: String,
        /// All of sqlite's index files, not one a folder
        #[arg(long)]
        all: bool,
        /// Write the lists of outcomes
        #[arg(long)]
        write: bool,
        /// Say every record that is refused
        #[arg(long)]
        verbose: bool,
    },
    /// Random list-append transactions with crashes, checked for a serial order
    Elle {
        #[arg(long, default_value_t = 30.0)]
        minutes: f64,
        #[arg(long, default_value_t = 8)]
        clients: usize,
        /// Switch the server's checks off: anomalies must be found
        #[arg(long)]
        weakened: bool,
        /// READ COMMITTED, REPEATABLE READ or SERIALIZABLE
        #[arg(long, default_value = LEVELS[2], value_parser = LEVELS, ignore_case = true)]
        level: String,
    },
    /// The mix and an analytical stream for hours, with kill -9 and backups
    LongHaul {
        #[arg(long, default_value_t = 120.0)]
        minutes: f64,
        /// Minutes between kills
        #[arg(long, default_value_t = 5.0)]
        kill_every: f64,
        /// Minutes between backups
        #[arg(long, default_value_t = 10.0)]
        backup_every: f64,
        #[arg(long, default_value_t = 2)]
        warehouses: i32,
        #[arg(long, default_value_t = 8)]
        clients: i32,
        /// Transactions a second; 0: as many as there can be
        #[arg(long, default_value_t = 100.0)]
        rate: f64,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// A hundred items and 120 customers a warehouse
        #[arg(long)]
        scale_down: bool,
        /// Draw docs/plots/long-haul-*.svg
        #[arg(long)]
        plots: bool,
    },
    /// kill -9 cycles against a model of what was acknowledged
    Crash {
        #[arg(long, default_value_t = 200)]
        cycles: u32,
        #[arg(long)]
        seed: Option<u64>,
        #[arg(long, default_value_t = 4)]
        writers: usize,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Verb::Olap { scale, runs, threads, check, only, cold, after_updates, datafusion, postgres, chdb } => {
            let said = [
                (cold, olap::Against::ColdDuckDb),
                (after_updates, olap::Against::Fresh),
                (datafusion, olap::Against::DataFusion),
                (postgres, olap::Against::Postgres),
                (chdb, olap::Against::Chdb),
            ];
            let against = said.iter().find(|(said, _)| *said).map_or(olap::Against::DuckDb, |(_, against)| *against);
            let (work_dir, check_only) = (work_dir(), check);
            let options = olap::OlapOptions { scale, runs, threads, work_dir, check_only, only, against };
            olap::run(&options).await
        }
        Verb::Weblog { rows, runs, threads, check, only } => {
            let (work_dir, check_only) = (work_dir(), check);
            weblog::run(&weblog::WeblogOptions { rows, runs, threads, work_dir, check_only, only }).await
        }
        Verb::Plans { tpch_scale, scale, orders, verbose, no_history } => {
            let work_dir = work_dir();
            plans::run(&plans::PlansOptions { tpch_scale, scale, orders, verbose, no_history, work_dir }).await
        }
        Verb::Cancel { rows, tries, seed, only, no_history } => {
            cancel::run(&cancel::CancelOptions { rows, tries, seed, only, no_history }).await
        }
        Verb::Oltp { scale, seconds, rounds, only } => {
            oltp::run(&oltp::OltpOptions { scale, seconds, rounds, only, work_dir: work_dir() }).await
        }
        Verb::Load { scale, rounds } => load::run(&load::LoadOptions { scale, rounds, work_dir: work_dir() }).await,
        Verb::Tpcc { warehouses, seconds, rounds, clients, seed, level, scale_down, check } => {
            let warehouses = warehouses.max(1);
            let scale = if scale_down { Scale::small(warehouses) } else { Scale::full(warehouses) };
            let (check_only, work_dir) = (check, work_dir());
            tpcc::run(&tpcc::TpccOptions { scale, seconds, rounds, clients, seed, level, check_only, work_dir }).await
        }
        Verb::Htap { warehouses, seconds, minutes, clients, streams, seed, scale_down, check, plots, attach, rate } => {
            let warehouses = warehouses.max(1);
            let scale = if scale_down { Scale::small(warehouses) } else { Scale::full(warehouses) };
            let (check_only, work_dir) = (check, work_dir());
            let options = htap::HtapOptions {
                scale,
                seconds,
                minutes,
                clients: clients.max(1),
                streams,
                seed,
                check_only,
                plots,
                work_dir,
                attach,
                rate,
            };
            htap::run(&options).await
        }
        Verb::Clients { installed, only, postgres } => clients::run(&ClientOptions { installed, only, postgres }).await,
        Verb::Compat { random, seed, files, shrink, write } => {
            compat::run(&CompatOptions { random, seed, files, shrink, write }).await
        }
        Verb::Slt { corpus, dir, only, all, write, verbose } => {
            public::run(&SltOptions { corpora: corpus, dir, only, all, write, verbose, cache: work_dir() }).await
        }
        Verb::Elle { minutes, clients, weakened, level } => elle_history(minutes, clients, weakened, &level).await,
        Verb::LongHaul { minutes, kill_every, backup_every, warehouses, clients, rate, seed, scale_down, plots } => {
            let warehouses = warehouses.max(1);
            let of = |minutes: f64| Duration::from_secs_f64(minutes.max(0.0) * 60.0);
            let options = LongHaulOptions {
                data_dir: PathBuf::new(),
                scale: if scale_down { Scale::small(warehouses) } else { Scale::full(warehouses) },
                time: of(minutes),
                kill_every: of(kill_every).max(Duration::from_secs(1)),
                backup_every: of(backup_every),
                clients,
                rate: (rate > 0.0).then_some(rate),
                seed,
                plots,
            };
            long_haul(options).await
        }
        Verb::Crash { cycles, seed, writers } => crash_cycles(cycles, seed.unwrap_or_else(rand::random), writers).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn elle_history(minutes: f64, clients: usize, weakened: bool, level: &str) -> Result<(), String> {
    let level = LEVELS.into_iter().find(|known| known.eq_ignore_ascii_case(level)).unwrap_or(LEVELS[2]);
    let place = tempfile::tempdir().map_err(|error| error.to_string())?;
    let options = elle::ElleOptions {
        data_dir: place.path().join("data"),
        time: Duration::from_secs_f64(minutes * 60.0),
        clients,
        crash_every: Duration::from_secs(10),
        level,
        weakened,
    };
    let report = elle::run(&options).await?;
    println!("elle: {level} holds: {report:?}");
    Ok(())
}

async fn long_haul(mut options: LongHaulOptions) -> Result<(), String> {
    let place = tempfile::tempdir().map_err(|error| error.to_string())?;
    options.data_dir = place.path().join("data");
    let report = match long_haul::run(&options).await {
        Ok(report) => report,
        Err(why) => {
            eprintln!("the data directory is kept: {}", place.keep().display());
            return Err(why);
        }
    };
    println!(
        "long haul: {} kills, {} transactions, {} backups and {} that a kill ended, slowest start {:.2} s; the last quarter's most beside the second's: memory {:.2}x, disk {:.2}x",
        report.kills,
        report.committed,
        report.backups,
        report.cut_backups,
        report.slowest_start.as_secs_f64(),
        report.growth(|sample| sample.resident_bytes),
        report.growth(|sample| sample.disk_bytes)
    );
    Ok(())
}

async fn crash_cycles(cycles: u32, seed: u64, writers: usize) -> Result<(), String> {
    let place = tempfile::tempdir().map_err(|error| error.to_string())?;
    println!("crash: {cycles} cycles, seed {seed}");
    let data_dir = place.path().join("data");
    let report = crash::run(&CrashOptions { data_dir, cycles, seed, writers }).await.inspect_err(|_| {
        // The evidence stays.
        let kept = place.path().to_owned();
        eprintln!("the data directory is kept: {}", kept.display());
    });
    let report = match report {
        Ok(report) => report,
        Err(why) => {
            let _ = place.keep();
            return Err(why);
        }
    };
    println!(
        "crash: {} cycles passed: {} commits (by level {:?}, of the mix {:?}), {} bulk commits, {} definitions acknowledged, {} deaths inside a failpoint, {} clean stops, slowest start {} ms",
        report.cycles,
        report.commits,
        report.commits_by_level,
        report.mix_by_level,
        report.bulk_commits,
        report.ddl_commits,
        report.failpoint_deaths,
        report.clean_stops,
        report.longest_recovery_ms
    );
    let data_dir = place.path().join("indexes");
    let options = IndexOptions { data_dir, cycles: cycles.div_ceil(20), seed, every: 2 };
    let report = crash::run_indexes(&options).await;
    if report.is_err() {
        eprintln!("the data directory is kept: {}", place.keep().display());
    }
    println!("crash: index builds: {:?}", report?);
    Ok(())
}

/// Data, packages and databases of benchmarks; ignored by git, safe to delete.
fn work_dir() -> PathBuf {
    std::env::var_os("HELIOSDB_BENCH_DIR").map_or_else(|| root().join(".bench"), PathBuf::from)
}
