//! pgbench: ours beside PostgreSQL in its durable default, on the same disk, interleaved.

mod cells;
mod connections;
mod pgbench;
mod probe;

use std::io;
use std::path::PathBuf;

use serde_json::{Value, json};
use tokio_postgres::Client;

use self::cells::{CELLS, Cell, Work};
use self::pgbench::{Pgbench, Sample};
use super::{history, median, spread};
use crate::peer::{Postgres, PostgresVersion};
use crate::server::{Server, ServerOptions, connect, connect_to, proc_kilobytes};

#[derive(Clone, Debug)]
pub struct OltpOptions {
    /// pgbench's scale; the cell of the large table has its own.
    pub scale: u32,
    /// Seconds of one measurement.
    pub seconds: u32,
    /// Interleaved rounds; medians are reported.
    pub rounds: usize,
    /// Only cells whose name contains this.
    pub only: Option<String>,
    pub work_dir: PathBuf,
}

/// What measures many clients, as `--only` names it.
const CONNECTIONS: &str = "connections";
/// The 99th percentile may be this multiple of PostgreSQL's.
const P99_MUST: f64 = 1.1;

pub async fn run(options: &OltpOptions) -> Result<(), String> {
    let fail = |error: io::Error| error.to_string();
    let wanted = |cell: &&Cell| options.only.as_ref().is_none_or(|only| cell.name.contains(only.as_str()));
    let chosen: Vec<&Cell> = CELLS.iter().filter(wanted).collect();
    let many_clients = options.only.as_ref().is_none_or(|only| CONNECTIONS.contains(only.as_str()));
    if chosen.is_empty() && !many_clients {
        let names: Vec<&str> = CELLS.iter().map(|cell| cell.name).collect();
        return Err(format!("no such cell; there are {} and {CONNECTIONS}", names.join(", ")));
    }
    let version = PostgresVersion::find(&options.work_dir.join("postgres18")).map_err(fail)?;
    let place = std::env::temp_dir().join(format!("heliosdb-oltp-{}", std::process::id()));
    std::fs::create_dir_all(&place).map_err(fail)?;
    open_to_server_user(&place).map_err(fail)?;
    let mut pgbench = Pgbench::find(&place).map_err(fail)?;
    let quarter = memory_bytes() / 4 / (1 << 20);
    let settings = [format!("shared_buffers={quarter}MB"), "max_connections=400".to_owned()];
    let peer = Postgres::start(&version, &place.join("peer"), &settings).await.map_err(fail)?;
    let start = ServerOptions::new(place.join("ours")).env("HELIOSDB_LOG", "warn").arg("--max-connections=6000");
    let ours = Server::start(&start).await.map_err(fail)?;
    for port in [ours.pg_port, peer.port] {
        load(port, options.scale, &chosen).await?;
    }
    println!(
        "pgbench scale {}: HeliosDB beside PostgreSQL {}, both durable (fsync on, synchronous commit);",
        options.scale, version.version
    );
    println!(
        "PostgreSQL shared_buffers {quarter} MB; {} rounds of {} s, interleaved, medians",
        options.rounds, options.seconds
    );
    if !chosen.is_empty() {
        println!("| cell | ours tps | PG tps | ratio | p99 ours ms | p99 PG ms | CPU ours us | CPU PG us | must | |");
        println!("|---|---|---|---|---|---|---|---|---|---|");
    }
    let mut results = serde_json::Map::new();
    for cell in chosen {
        let mut samples = [Vec::new(), Vec::new()];
        for _ in 0..options.rounds {
            let one = pgbench.run(cell, options.seconds, ours.pg_port, || ours.cpu_seconds());
            samples[0].push(one.map_err(|error| format!("{} here: {error}", cell.name))?);
            let one = pgbench.run(cell, options.seconds, peer.port, || peer.cpu_seconds());
            samples[1].push(one.map_err(|error| format!("{} on PostgreSQL: {error}", cell.name))?);
        }
        let disk_bound = cell.bar.as_ref().is_some_and(|bar| bar.disk_bound);
        let ceiling = if disk_bound { Some(probe::ceiling(&place, cell.clients).map_err(fail)?) } else { None };
        results.insert(cell.name.to_owned(), judged(cell, &samples, ceiling));
    }
    let many = match many_clients {
        true => {
            pgbench.logged = 1.0;
            Some(connections::measure(&pgbench, options.seconds, options.rounds, &ours, &peer).await?)
        }
        false => None,
    };
    let result = json!({"scale": options.scale, "seconds": options.seconds, "rounds": options.rounds,
        "peer": format!("PostgreSQL {}", version.version), "cells": results, CONNECTIONS: many});
    drop((ours, peer));
    let _ = std::fs::remove_dir_all(&place);
    if options.only.is_none() { history::append("oltp", result).map_err(fail) } else { Ok(()) }
}

/// A cell's line in the table, and its entry in the history.
fn judged(cell: &Cell, samples: &[Vec<Sample>; 2], ceiling: Option<f64>) -> Value {
    let middle =
        |side: usize, field: fn(&Sample) -> f64| median(&samples[side].iter().map(field).collect::<Vec<f64>>());
    let ratios = |field: fn(&Sample) -> f64| -> Vec<f64> {
        samples[0].iter().zip(&samples[1]).map(|(ours, peer)| field(ours) / field(peer)).collect()
    };
    let throughput = ratios(|sample| sample.tps);
    let (ratio, (low, high)) = (median(&throughput), spread(&throughput));
    let (p99, cpu) = (median(&ratios(|sample| sample.p99_ms)), median(&ratios(|sample| sample.cpu_us)));
    let (ours, peer) = (middle(0, |sample| sample.tps), middle(1, |sample| sample.tps));
    let mut must = String::new();
    let mut missed = Vec::new();
    if let Some(bar) = &cell.bar {
        // As a multiple of PostgreSQL's, whichever asks less.
        let asked = ceiling.map_or(bar.must, |ceiling| bar.must.min(0.8 * ceiling / peer));
        must = format!("{asked:.2}x (aim {}x)", bar.aim);
        if let Some(ceiling) = ceiling {
            must.push_str(&format!(", the disk: {ceiling:.0} tps"));
        }
        if ratio < asked {
            missed.push("throughput");
        }
        if bar.cpu.is_some_and(|most| cpu > most) {
            missed.push("CPU");
        }
        if p99 > P99_MUST {
            missed.push("p99");
        }
    }
    let verdict = match (cell.bar.is_some(), missed.as_slice()) {
        (false, _) => "reported".to_owned(),
        (true, []) => "holds".to_owned(),
        (true, missed) => format!("misses {}", missed.join(", ")),
    };
    println!(
        "| {} | {ours:.0} | {peer:.0} | {ratio:.2}x ({low:.2}-{high:.2}) | {:.3} | {:.3} | {:.1} | {:.1} | {must} | {verdict} |",
        cell.name,
        middle(0, |sample| sample.p99_ms),
        middle(1, |sample| sample.p99_ms),
        middle(0, |sample| sample.cpu_us),
        middle(1, |sample| sample.cpu_us),
    );
    json!({"ours_tps": ours, "peer_tps": peer, "ratio": ratio, "ratio_low": low, "ratio_high": high,
        "ours_latency_ms": middle(0, |s| s.mean_ms), "peer_latency_ms": middle(1, |s| s.mean_ms),
        "ours_p99_ms": middle(0, |s| s.p99_ms), "peer_p99_ms": middle(1, |s| s.p99_ms), "p99_ratio": p99,
        "ours_cpu_us": middle(0, |s| s.cpu_us), "peer_cpu_us": middle(1, |s| s.cpu_us), "cpu_ratio": cpu,
        "ceiling_tps": ceiling, "missed": missed})
}

/// What the chosen cells read and write.
async fn load(port: u16, scale: u32, chosen: &[&Cell]) -> Result<(), String> {
    let client = connect(port).await.map_err(|error| error.to_string())?;
    run_script(&client, &cells::pgbench_tables(scale)).await?;
    if chosen.iter().any(|cell| matches!(cell.work, Work::Script(_))) {
        run_script(&client, &cells::own_tables()).await?;
    }
    settle(&client).await?;
    if chosen.iter().any(|cell| matches!(cell.work, Work::Large(_))) {
        run_script(&client, "CREATE DATABASE large").await?;
        let large = connect_to(port, "large").await.map_err(|error| error.to_string())?;
        run_script(&large, &cells::pgbench_tables(cells::LARGE_SCALE)).await?;
        settle(&large).await?;
    }
    Ok(())
}

async fn run_script(client: &Client, script: &str) -> Result<(), String> {
    client.batch_execute(script).await.map_err(|error| format!("loading: {error:?}"))
}

/// Statistics and hint bits for PostgreSQL, segments for us; both start measured rounds with everything on disk.
async fn settle(client: &Client) -> Result<(), String> {
    run_script(client, "VACUUM ANALYZE").await?;
    run_script(client, "CHECKPOINT").await
}

#[cfg(unix)]
fn open_to_server_user(dir: &std::path::Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755))
}

pub(super) fn memory_bytes() -> u64 {
    proc_kilobytes("/proc/meminfo", "MemTotal:").unwrap_or(4 << 20) * 1024
}
