//! Many clients: what idle connections cost, how many work at once, and whether all of them are served.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};

use super::cells::{Cell, Work};
use super::pgbench::{Pgbench, Sample};
use crate::bench::median;
use crate::peer::Postgres;
use crate::server::{Server, connect};

const IDLE: usize = 1_000;
const IDLE_BYTES_MOST: u64 = 100 << 20;
const IDLE_THROUGHPUT_LEAST: f64 = 0.97;
const WORKING: usize = 5_000;
const ACTIVE: u32 = 256;
const ACTIVE_THROUGHPUT_LEAST: f64 = 0.8;
/// The slowest transaction beside the median one.
const SLOWEST_MOST: f64 = 10.0;

const fn select(clients: u32) -> Cell {
    Cell { name: "select", work: Work::Builtin(&["-S"]), protocol: "prepared", clients, bar: None }
}

/// Turns of a round, alone, beside, beside and alone each.
const TURNS: usize = 3;

/// Sessions have begun or ended.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(500)).await;
}

/// Measures both servers, which must take as many connections.
pub async fn measure(
    pgbench: &Pgbench,
    seconds: u32,
    rounds: usize,
    ours: &Server,
    peer: &Postgres,
) -> Result<Value, String> {
    let fail = |error: io::Error| error.to_string();
    let rate = |cell: &Cell| -> io::Result<f64> {
        pgbench.run(cell, seconds, ours.pg_port, || ours.cpu_seconds()).map(|sample| sample.tps)
    };
    println!("| many clients | ours | must | |");
    println!("|---|---|---|---|");

    let bytes_before = ours.resident_bytes();
    let (mut alone, mut beside, mut idle_bytes) = (Vec::new(), Vec::new(), 0);
    // Short turns in both orders: what else the machine does is far more than a few hundredths from one minute to the next.
    for _ in 0..rounds * TURNS {
        let before = rate(&select(8)).map_err(fail)?;
        let idle = open(ours.pg_port, IDLE).await?;
        idle_bytes = ours.resident_bytes().saturating_sub(bytes_before);
        settle().await;
        for _ in 0..2 {
            beside.push(rate(&select(8)).map_err(fail)?);
        }
        drop(idle);
        settle().await;
        alone.extend([before, rate(&select(8)).map_err(fail)?]);
    }
    let ratios = alone.chunks(2).zip(beside.chunks(2)).map(|(a, b)| b.iter().sum::<f64>() / a.iter().sum::<f64>());
    let kept = median(&ratios.collect::<Vec<f64>>());
    let mebibytes = idle_bytes as f64 / f64::from(1 << 20);
    line("memory of 1,000 idle connections", format!("{mebibytes:.0} MB"), "< 100 MB", idle_bytes < IDLE_BYTES_MOST);
    line("throughput beside them", format!("{kept:.3}x"), ">= 0.97x", kept >= IDLE_THROUGHPUT_LEAST);

    let many = open(ours.pg_port, WORKING).await?;
    for client in &many {
        client.simple_query("SELECT 1").await.map_err(|error| format!("one of {WORKING} connections: {error:?}"))?;
    }
    drop(many);
    line("connections that answer", WORKING.to_string(), "5000", true);

    let mut samples: [Vec<(Sample, Sample)>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        let run = |cell: &Cell| pgbench.run(cell, seconds, ours.pg_port, || ours.cpu_seconds());
        samples[0].push((run(&select(32)).map_err(fail)?, run(&select(ACTIVE)).map_err(fail)?));
        let run = |cell: &Cell| pgbench.run(cell, seconds, peer.port, || peer.cpu_seconds());
        samples[1].push((run(&select(32)).map_err(fail)?, run(&select(ACTIVE)).map_err(fail)?));
    }
    let middle = |side: usize, field: fn(&(Sample, Sample)) -> f64| {
        median(&samples[side].iter().map(field).collect::<Vec<f64>>())
    };
    let kept_of = |side| middle(side, |(_, active)| active.tps) / middle(side, |(peak, _)| peak.tps);
    let (ours_kept, peer_kept) = (kept_of(0), kept_of(1));
    let shown = format!("{ours_kept:.2}x (PostgreSQL {peer_kept:.2}x)");
    line("256 active beside 32", shown, ">= 0.8x", ours_kept >= ACTIVE_THROUGHPUT_LEAST);
    let slowest = |side| middle(side, |(_, active)| active.slowest_ms / active.median_ms);
    let (ours_slowest, peer_slowest) = (slowest(0), slowest(1));
    let shown = format!("{ours_slowest:.1}x (PostgreSQL {peer_slowest:.1}x)");
    line("slowest of 256 beside their median", shown, "<= 10x", ours_slowest <= SLOWEST_MOST);
    Ok(json!({"idle_bytes": idle_bytes, "idle_throughput": kept, "answering": WORKING,
        "active_256": {"ours": ours_kept, "peer": peer_kept}, "slowest": {"ours": ours_slowest, "peer": peer_slowest}}))
}

fn line(what: &str, ours: String, must: &str, holds: bool) {
    println!("| {what} | {ours} | {must} | {} |", if holds { "holds" } else { "misses" });
}

async fn open(port: u16, count: usize) -> Result<Vec<tokio_postgres::Client>, String> {
    let mut clients = Vec::with_capacity(count);
    for at in 0..count {
        clients.push(connect(port).await.map_err(|error| format!("connection {at} of {count}: {error:?}"))?);
    }
    Ok(clients)
}
