//! pgbench: ours beside PostgreSQL in its durable default, on the same disk, interleaved.

use std::io;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tokio_postgres::Client;

use super::{history, median, spread};
use crate::peer::{Postgres, PostgresVersion};
use crate::server::{Server, ServerOptions};

#[derive(Clone, Debug)]
pub struct OltpOptions {
    pub scale: u32,
    /// Seconds of one measurement.
    pub seconds: u32,
    /// Interleaved rounds; medians are reported.
    pub rounds: usize,
    pub clients: Vec<u32>,
    /// Only cells whose name contains this.
    pub only: Option<String>,
    pub work_dir: PathBuf,
}

/// What pgbench runs: its name here, pgbench's flag, and protocol.
const WORKLOADS: &[(&str, &[&str])] =
    &[("select", &["-S"]), ("simple-update", &["-N"]), ("tpcb", &["-b", "tpcb-like"])];
const PROTOCOLS: &[&str] = &["prepared", "simple"];

#[derive(Clone, Debug, Default)]
struct Sample {
    tps: f64,
    latency_ms: f64,
    cpu_us: f64,
}

enum Target<'a> {
    Ours(&'a Server),
    Peer(&'a Postgres),
}

impl Target<'_> {
    fn port(&self) -> u16 {
        match self {
            Target::Ours(server) => server.pg_port,
            Target::Peer(server) => server.port,
        }
    }

    fn cpu_seconds(&self) -> f64 {
        match self {
            Target::Ours(server) => server.cpu_seconds(),
            Target::Peer(server) => server.cpu_seconds(),
        }
    }
}

pub async fn run(options: &OltpOptions) -> Result<(), String> {
    let fail = |error: io::Error| error.to_string();
    let pgbench = find_pgbench().map_err(fail)?;
    let version = PostgresVersion::find(&options.work_dir.join("postgres18")).map_err(fail)?;
    let place = std::env::temp_dir().join(format!("heliosdb-oltp-{}", std::process::id()));
    std::fs::create_dir_all(&place).map_err(fail)?;
    open_to_server_user(&place).map_err(fail)?;
    let quarter = memory_bytes() / 4 / (1 << 20);
    let settings = [format!("shared_buffers={quarter}MB"), "max_connections=200".to_owned()];
    let peer = Postgres::start(&version, &place.join("peer"), &settings).await.map_err(fail)?;
    let start = ServerOptions::new(place.join("ours")).env("HELIOSDB_LOG", "warn");
    let ours = Server::start(&start).await.map_err(fail)?;
    for port in [ours.pg_port, peer.port] {
        let client = crate::server::connect(port).await.map_err(|error| error.to_string())?;
        load(&client, options.scale).await?;
    }
    println!(
        "pgbench scale {}: HeliosDB beside PostgreSQL {}, both durable (fsync on, synchronous commit);",
        options.scale, version.version
    );
    println!(
        "PostgreSQL shared_buffers {quarter} MB; {} rounds of {} s, interleaved, medians",
        options.rounds, options.seconds
    );
    println!(
        "{:<28} {:>9} {:>9} {:>7} {:>10} {:>10} {:>9} {:>9}",
        "cell", "ours tps", "PG tps", "ratio", "ours ms", "PG ms", "ours CPU", "PG CPU us"
    );
    let mut cells = serde_json::Map::new();
    for (workload, flags) in WORKLOADS {
        for protocol in PROTOCOLS {
            for clients in &options.clients {
                let name = format!("{workload}/{protocol}/{clients}");
                if options.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
                    continue;
                }
                let cell = measure(options, &pgbench, &ours, &peer, (flags, protocol, *clients)).map_err(fail)?;
                cells.insert(name.clone(), print_cell(&name, &cell));
            }
        }
    }
    let result = json!({"scale": options.scale, "seconds": options.seconds, "rounds": options.rounds,
        "peer": format!("PostgreSQL {}", version.version), "cells": cells});
    drop((ours, peer));
    let _ = std::fs::remove_dir_all(&place);
    if options.only.is_none() { history::append("oltp", result).map_err(fail) } else { Ok(()) }
}

fn measure(
    options: &OltpOptions,
    pgbench: &PathBuf,
    ours: &Server,
    peer: &Postgres,
    cell: (&[&str], &str, u32),
) -> io::Result<[Vec<Sample>; 2]> {
    let mut samples = [Vec::new(), Vec::new()];
    for _ in 0..options.rounds {
        for (target, into) in [Target::Ours(ours), Target::Peer(peer)].iter().zip(&mut samples) {
            into.push(one_run(options, pgbench, target, cell)?);
        }
    }
    Ok(samples)
}

fn one_run(
    options: &OltpOptions,
    pgbench: &PathBuf,
    target: &Target<'_>,
    (flags, protocol, clients): (&[&str], &str, u32),
) -> io::Result<Sample> {
    let cpu_before = target.cpu_seconds();
    let output = Command::new(pgbench)
        .args(["-n", "-h", "127.0.0.1", "-p", &target.port().to_string(), "-U", "postgres"])
        .args(["-M", protocol, "-c", &clients.to_string(), "-j", "1", "-T", &options.seconds.to_string()])
        .args(flags)
        .arg("postgres")
        .output()?;
    let cpu = target.cpu_seconds() - cpu_before;
    let text = String::from_utf8_lossy(&output.stdout);
    let number = |start: &str| {
        let line = text.lines().find(|line| line.starts_with(start));
        line.and_then(|line| {
            line[start.len()..].trim_start_matches([' ', '=', ':']).split_whitespace().next()?.parse::<f64>().ok()
        })
    };
    let (Some(tps), Some(latency_ms)) = (number("tps"), number("latency average")) else {
        return Err(io::Error::other(format!("pgbench said:\n{text}{}", String::from_utf8_lossy(&output.stderr))));
    };
    let done = number("number of transactions actually processed").unwrap_or(tps * f64::from(options.seconds));
    Ok(Sample { tps, latency_ms, cpu_us: cpu * 1e6 / done.max(1.0) })
}

fn print_cell(name: &str, samples: &[Vec<Sample>; 2]) -> Value {
    let of = |side: usize, field: fn(&Sample) -> f64| samples[side].iter().map(field).collect::<Vec<f64>>();
    let middle = |side: usize, field: fn(&Sample) -> f64| median(&of(side, field));
    let ratios: Vec<f64> = samples[0].iter().zip(&samples[1]).map(|(a, b)| a.tps / b.tps).collect();
    let (low, high) = spread(&ratios);
    let (ours, peer) = (middle(0, |s| s.tps), middle(1, |s| s.tps));
    println!(
        "{name:<28} {ours:>9.0} {peer:>9.0} {:>6.2}x {:>10.3} {:>10.3} {:>9.1} {:>9.1}",
        median(&ratios),
        middle(0, |s| s.latency_ms),
        middle(1, |s| s.latency_ms),
        middle(0, |s| s.cpu_us),
        middle(1, |s| s.cpu_us)
    );
    json!({"ours_tps": ours, "peer_tps": peer, "ratio": median(&ratios), "ratio_low": low, "ratio_high": high,
        "ours_latency_ms": middle(0, |s| s.latency_ms), "peer_latency_ms": middle(1, |s| s.latency_ms),
        "ours_cpu_us": middle(0, |s| s.cpu_us), "peer_cpu_us": middle(1, |s| s.cpu_us)})
}

/// pgbench's tables with their keys declared up front; `pgbench -i` adds them by ALTER TABLE afterwards.
async fn load(client: &Client, scale: u32) -> Result<(), String> {
    let accounts = scale * 100_000;
    let script = format!(
        "CREATE TABLE pgbench_branches (bid integer PRIMARY KEY, bbalance integer, filler char(88));
         CREATE TABLE pgbench_tellers (tid integer PRIMARY KEY, bid integer, tbalance integer, filler char(84));
         CREATE TABLE pgbench_accounts (aid integer PRIMARY KEY, bid integer, abalance integer, filler char(84));
         CREATE TABLE pgbench_history (tid integer, bid integer, aid integer, delta integer, mtime timestamp, filler char(22));
         INSERT INTO pgbench_branches SELECT i, 0, '' FROM generate_series(1, {scale}) AS s(i);
         INSERT INTO pgbench_tellers SELECT i, (i - 1) / 10 + 1, 0, '' FROM generate_series(1, {tellers}) AS s(i);
         INSERT INTO pgbench_accounts SELECT i, (i - 1) / 100000 + 1, 0, '' FROM generate_series(1, {accounts}) AS s(i);",
        tellers = scale * 10,
    );
    client.batch_execute(&script).await.map_err(|error| format!("loading pgbench's tables: {error:?}"))?;
    // Statistics and hint bits for PostgreSQL; ours has no VACUUM yet and needs none here.
    let _ = client.batch_execute("VACUUM ANALYZE").await;
    client.batch_execute("CHECKPOINT").await.map_err(|error| error.to_string())
}

fn find_pgbench() -> io::Result<PathBuf> {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&on_path).collect();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    places.extend(versions.map(|entry| entry.path().join("bin")));
    places
        .into_iter()
        .map(|place| place.join("pgbench"))
        .find(|path| path.is_file())
        .ok_or_else(|| io::Error::other("no pgbench: install the package postgresql (Debian: postgresql-15)"))
}

#[cfg(unix)]
fn open_to_server_user(dir: &std::path::Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755))
}

pub(super) fn memory_bytes() -> u64 {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes =
        info.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(4 << 20) * 1024
}
