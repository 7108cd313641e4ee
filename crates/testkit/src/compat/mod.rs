//! Ours beside a real PostgreSQL, statement by statement: names, type OIDs, rows, tags, SQLSTATEs.
//!
//! The files are the golden scripts; beside them, random statements that are made small when they differ.
//! `docs/postgres-compatibility.md` is written from a run; `compat/rates.txt` keeps the rates from falling.

mod files;
mod generate;
mod listed;
mod random;
mod report;
mod verdict;
mod wire;

use crate::peer::{Postgres, PostgresVersion};
use crate::server::{Server, ServerOptions};

/// What to run.
pub struct CompatOptions {
    /// Random statements; their seeds are `seed..seed + random`.
    pub random: u64,
    pub seed: u64,
    /// Only files whose name contains this; "none" runs no file.
    pub files: String,
    /// How many differences of a kind are made small.
    pub shrink: usize,
    /// Write the page and the rates instead of holding against them.
    pub write: bool,
}

/// Runs files and random statements. An error if a rate fell or anything differs silently.
pub async fn run(options: &CompatOptions) -> Result<(), String> {
    let place = tempfile::tempdir().map_err(|error| error.to_string())?;
    let text = |error: std::io::Error| error.to_string();
    let version = PostgresVersion::system().map_err(text)?;
    let theirs =
        Postgres::start(&version, &place.path().join("postgres"), &["fsync=off".into()]).await.map_err(text)?;
    let ours = Server::start(&ServerOptions::new(place.path().join("data"))).await.map_err(text)?;
    println!("beside PostgreSQL {}", theirs.version);
    // The clients block; they get a thread of their own.
    let ports = (ours.pg_port, theirs.port);
    let (random, seed, shrink, filter) = (options.random, options.seed, options.shrink, options.files.clone());
    let work = tokio::task::spawn_blocking(move || {
        let rates = files::run(ports.0, ports.1, &filter)?;
        let mut pair = random::Pair::connect(ports.0, ports.1)?;
        pair.set_up()?;
        let tally = pair.run_seeds(seed..seed + random, shrink)?;
        Ok::<_, String>((rates, tally))
    });
    let (rates, tally) = work.await.map_err(|error| error.to_string())??;
    report::print_files(&rates);
    tally.print();
    if options.write {
        return report::write(&rates, &tally, seed, &theirs.version);
    }
    let fallen = report::fallen(&rates, &tally);
    if !fallen.is_empty() {
        return Err(format!("rates fell (crates/testkit/compat/rates.txt): {}", fallen.join("; ")));
    }
    let total = tally.total();
    if total.statements == random::KEPT_STATEMENTS && !tally.kept.is_empty() {
        // CI's run: no more differences than are known.
        return report::more_than_known(&total).map_or(Ok(()), Err);
    }
    match total.silent + total.errors {
        0 => Ok(()),
        _ => Err(format!(
            "{} random statements differ silently or fail inside, {} fail that should not; repeat one with --files none --random 1 --seed N",
            total.silent, total.errors
        )),
    }
}
