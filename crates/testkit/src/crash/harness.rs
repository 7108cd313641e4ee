//! The cycle: start, check, work, kill.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_postgres::Client;

use super::bulk::{self, BulkModel};
use super::ddl::{self, DdlModel};
use super::mix::{self, MixModel};
use super::model::WriterModel;
use super::{check, writer};
use crate::server::{Server, ServerOptions};
use crate::tpcc::LEVELS;

/// Points inside the storage engine where a cycle may die instead of at a random moment.
const FAILPOINTS: &[&str] = &[
    "commit.appended",
    "compaction.begin",
    "compaction.done",
    "compaction.segments_written",
    "doom.begin",
    "freeze.begin",
    "freeze.done",
    "freeze.segments_written",
    "manifest.swapped",
    "manifest.written",
    "spill.begin",
    "spill.done",
    "swap.deletes_written",
    "swap.manifest_swapped",
    "wal.after_sync",
    "wal.before_sync",
    "wal.before_write",
    "wal.retire",
    "wal.roll",
];

#[derive(Clone, Debug)]
pub struct CrashOptions {
    pub data_dir: PathBuf,
    pub cycles: u32,
    pub seed: u64,
    pub writers: usize,
}

/// What a run saw.
#[derive(Clone, Copy, Debug, Default)]
pub struct CrashReport {
    pub cycles: u32,
    /// Of the bank's writers.
    pub commits: u64,
    /// The same, at READ COMMITTED, REPEATABLE READ and SERIALIZABLE.
    pub commits_by_level: [u64; 3],
    /// New orders and payments of the mix at each level.
    pub mix_by_level: [u64; 3],
    /// Batches loaded, rewritten or removed as a whole.
    pub bulk_commits: u64,
    /// Tables made, widened or dropped.
    pub ddl_commits: u64,
    /// Cycles that died inside a failpoint.
    pub failpoint_deaths: u32,
    /// Clean stops (SIGTERM) mixed in.
    pub clean_stops: u32,
    pub longest_recovery_ms: u64,
}

/// What all clients know.
#[derive(Clone)]
struct Models {
    writers: Vec<WriterModel>,
    bulk: BulkModel,
    ddl: DdlModel,
    mix: MixModel,
    /// What has run since it was last checked.
    bank_is_due: bool,
    mix_is_due: bool,
}

/// What a cycle's clients do, at which of [`LEVELS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    level: usize,
    /// The TPC-C-like mix rather than the bank.
    mix: bool,
}

fn plan(cycle: u32) -> Plan {
    Plan { level: (cycle / 3) as usize % LEVELS.len(), mix: cycle % 3 == 2 }
}

/// Runs the cycles; the error tells the seed and the cycle and how to repeat them.
pub async fn run(options: &CrashOptions) -> Result<CrashReport, String> {
    let mut rng = StdRng::seed_from_u64(options.seed);
    let mut models = Models {
        writers: vec![WriterModel::default(); options.writers],
        bulk: BulkModel::default(),
        ddl: DdlModel::default(),
        mix: MixModel::default(),
        bank_is_due: true,
        mix_is_due: false,
    };
    let mut report = CrashReport::default();
    for cycle in 0..options.cycles {
        let outcome = one_cycle(options, cycle, &mut rng, &mut models, &mut report).await;
        outcome.map_err(|why| {
            format!(
                "crash cycle {cycle} of seed {}: {why}\nrepeat: cargo xtask crash --seed {} --cycles {}",
                options.seed,
                options.seed,
                cycle + 1
            )
        })?;
        report.cycles += 1;
    }
    let last = Server::start(&ServerOptions::new(&options.data_dir).env("HELIOSDB_LOG", "warn")).await;
    let last = last.map_err(|error| format!("could not start after the last cycle: {error}"))?;
    (models.bank_is_due, models.mix_is_due) = (true, true);
    let verdict = verify(&last, &mut models).await;
    verdict.map_err(|why| format!("after the last cycle of seed {}: {why}", options.seed))?;
    report.commits = models.writers.iter().map(|model| model.commits).sum();
    report.bulk_commits = models.bulk.commits;
    report.ddl_commits = models.ddl.commits;
    Ok(report)
}

async fn one_cycle(
    options: &CrashOptions,
    cycle: u32,
    rng: &mut StdRng,
    models: &mut Models,
    report: &mut CrashReport,
) -> Result<(), String> {
    let Plan { level, mix } = plan(cycle);
    // Small limits make freezes, compactions and log recycling happen many times a second.
    let mut start = ServerOptions::new(&options.data_dir)
        .env("HELIOSDB_STORAGE_MEMTABLE_BYTES", "262144")
        .env("HELIOSDB_STORAGE_WAL_FILE_BYTES", "1048576")
        .env("HELIOSDB_STORAGE_TXN_SPILL_BYTES", "65536")
        .env("HELIOSDB_LOG", "warn");
    let failpoint = (rng.random_range(0..3) == 0).then(|| FAILPOINTS[rng.random_range(0..FAILPOINTS.len())]);
    if let Some(name) = failpoint {
        // Not at the first chance: a freeze during recovery would always be the victim.
        start = start.env("HELIOSDB_FAILPOINTS", format!("{name}=crash({:.2})", rng.random_range(0.02..0.5)));
    }
    let began = Instant::now();
    let mut server = match Server::start(&start).await {
        Ok(server) => server,
        // A failpoint may kill the server while it starts; anything else may not.
        Err(_) if failpoint.is_some() => {
            report.failpoint_deaths += 1;
            return Ok(());
        }
        Err(error) => return Err(format!("could not start: {error}")),
    };
    report.longest_recovery_ms = report.longest_recovery_ms.max(began.elapsed().as_millis() as u64);
    let mut verdict = verify(&server, models).await;
    if mix && verdict.is_ok() {
        verdict = mix::prepare(&server, &mut models.mix, rng.random()).await;
    }
    if let Err(why) = verdict {
        if failpoint.is_some() && died_soon(&mut server) {
            report.failpoint_deaths += 1;
            return Ok(());
        }
        return Err(why);
    }
    // A failpoint is given time to be met, and a client that makes freezes and merges happen; the mix, to prepare its
    // statements.
    let work = rng.random_range(50..if failpoint.is_some() { 2000 } else { 700 }) + if mix { 400 } else { 0 };
    let work = Duration::from_millis(work);
    let clean = failpoint.is_none() && rng.random_range(0..12) == 0;
    if mix {
        models.mix_is_due = true;
    } else {
        models.bank_is_due = true;
    }
    let mut tasks = Vec::new();
    let mut terminals = Vec::new();
    for number in 0..if mix { options.writers } else { 0 } {
        let Ok(client) = server.connect().await else { break };
        terminals.push(tokio::spawn(mix::work(client, rng.random(), number as i32, LEVELS[level])));
    }
    for (index, model) in models.writers.iter().enumerate().filter(|_| !mix) {
        let Ok(client) = connect_at(&server, level).await else { break };
        tasks.push((index, tokio::spawn(writer::work(client, index as i32, model.clone(), rng.random()))));
    }
    let bulk = match connect_at(&server, level).await {
        Ok(client) if !mix => Some(tokio::spawn(bulk::work(client, models.bulk.clone(), rng.random()))),
        _ => None,
    };
    let ddl = match connect_at(&server, level).await {
        Ok(client) if !mix => Some(tokio::spawn(ddl::work(client, models.ddl.clone(), rng.random()))),
        _ => None,
    };
    let janitor = match (failpoint, server.connect().await) {
        (Some(_), Ok(client)) => Some(tokio::spawn(keep_house(client))),
        _ => None,
    };
    wait(&mut server, work).await;
    if server.ended().is_some() {
        report.failpoint_deaths += 1;
    }
    if clean && server.ended().is_none() {
        let status = server.stop(Duration::from_secs(60)).map_err(|error| error.to_string())?;
        if !status.success() {
            return Err(format!("SIGTERM gave {status}"));
        }
        report.clean_stops += 1;
    } else {
        server.kill().map_err(|error| error.to_string())?;
    }
    if let Some(janitor) = janitor {
        janitor.await.map_err(|error| error.to_string())?;
    }
    for (index, task) in tasks {
        let model = task.await.map_err(|error| error.to_string())??;
        report.commits_by_level[level] += model.commits - models.writers[index].commits;
        models.writers[index] = model;
    }
    for task in terminals {
        report.mix_by_level[level] += models.mix.merge(task.await.map_err(|error| error.to_string())??);
    }
    if let Some(task) = ddl {
        models.ddl = task.await.map_err(|error| error.to_string())??;
    }
    if let Some(task) = bulk {
        models.bulk = task.await.map_err(|error| error.to_string())??;
    }
    Ok(())
}

/// A connection whose transactions run at a level.
async fn connect_at(server: &Server, level: usize) -> Result<Client, tokio_postgres::Error> {
    let client = server.connect().await?;
    let set = format!("SET default_transaction_isolation = '{}'", LEVELS[level].to_lowercase());
    client.batch_execute(&set).await?;
    Ok(client)
}

async fn verify(server: &Server, models: &mut Models) -> Result<(), String> {
    let client = server.connect().await.map_err(|error| error.to_string())?;
    check::prepare(&client).await?;
    // A check that is cut short by the server's death must not have settled half of the models.
    let mut settled = models.clone();
    if models.bank_is_due {
        check::check(&client, &mut settled.writers).await?;
        bulk::check(&client, &mut settled.bulk).await?;
        ddl::check(&client, &mut settled.ddl).await?;
    }
    if models.mix_is_due {
        mix::check(&client, &settled.mix).await?;
    }
    (settled.bank_is_due, settled.mix_is_due) = (false, false);
    *models = settled;
    Ok(())
}

/// Asks for freezes and merges until the server is gone.
async fn keep_house(client: Client) {
    while client.batch_execute("CHECKPOINT").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(80)).await;
        if client.batch_execute("VACUUM").await.is_err() {
            return;
        }
    }
}

fn died_soon(server: &mut Server) -> bool {
    let deadline = Instant::now() + Duration::from_secs(2);
    while Instant::now() < deadline {
        if server.ended().is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

async fn wait(server: &mut Server, work: Duration) {
    let deadline = Instant::now() + work;
    while Instant::now() < deadline && server.ended().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::root;

    #[test]
    fn bank_and_mix_run_at_every_level() {
        let plans: Vec<Plan> = (0..9).map(plan).collect();
        for level in 0..LEVELS.len() {
            assert!(plans.contains(&Plan { level, mix: false }) && plans.contains(&Plan { level, mix: true }));
        }
    }

    fn points_in(dir: &std::path::Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                points_in(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let calls = text.split("failpoint(\"").skip(1);
                found.extend(calls.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
            }
        }
    }

    /// A point that was renamed or added would otherwise never be tried.
    #[test]
    fn the_list_is_what_the_engine_has() {
        let mut found = Vec::new();
        for engine in ["wal", "storage", "txn"] {
            points_in(&root().join("crates").join(engine).join("src"), &mut found);
        }
        // The switch that weakens isolation is for another test; nothing dies there.
        found.retain(|point| point != "txn.serializable.unchecked");
        found.sort();
        found.dedup();
        assert_eq!(found, FAILPOINTS);
        let mut found = Vec::new();
        points_in(&root().join("crates/query/src"), &mut found);
        found.retain(|point| point.starts_with("index."));
        found.sort();
        found.dedup();
        assert_eq!(found, crate::crash::indexes::FAILPOINTS);
    }
}
