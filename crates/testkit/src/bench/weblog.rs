//! The wide web log: ours beside DuckDB's native table; every answer compared.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use bytes::Bytes;
use futures::SinkExt;
use serde_json::json;
use tokio_postgres::Client;

use super::beside::{self, chosen, describe};
use super::history;
use crate::peer::{DuckDb, install_duckdb};
use crate::server::{Server, ServerOptions, folder_bytes};
use crate::weblog::{Log, SCHEMA, queries};

/// Rows made, sent and forgotten at a time: what is on disk between the engines.
const PART_ROWS: u64 = 500_000;
/// Rows of a message to us.
const MESSAGE_ROWS: u64 = 500;
/// Rows if only answers are compared.
const CHECK_ROWS: u64 = 40_000;

/// Times DuckDB's: all queries, and the worst of them.
const TOTAL_MAX: f64 = 1.8;
const WORST_MAX: f64 = 4.0;

#[derive(Clone, Debug)]
pub struct WeblogOptions {
    pub rows: u64,
    /// Hot runs of each query, interleaved with the peer's.
    pub runs: usize,
    pub threads: usize,
    /// Where databases and packages are kept between runs.
    pub work_dir: PathBuf,
    /// Compare answers over few rows, time nothing, write no history: what CI does.
    pub check_only: bool,
    /// Only these queries (`W01`); empty: all.
    pub only: Vec<String>,
}

/// Runs the benchmark; the error lists every answer that differs.
pub async fn run(options: &WeblogOptions) -> Result<(), String> {
    let fail = |error: io::Error| error.to_string();
    let packages = install_duckdb(&options.work_dir).map_err(fail)?;
    let place = options.work_dir.join(format!("weblog-{}", std::process::id()));
    std::fs::create_dir_all(&place).map_err(fail)?;
    let result = compare(options, &packages, &place).await;
    let _ = std::fs::remove_dir_all(&place);
    result
}

async fn compare(options: &WeblogOptions, packages: &Path, place: &Path) -> Result<(), String> {
    let start = ServerOptions::new(place.join("ours"))
        .env("HELIOSDB_LOG", "warn")
        .arg("--worker-threads")
        .arg(options.threads.to_string());
    let server = Server::start(&start).await.map_err(|error| error.to_string())?;
    let client = server.connect().await.map_err(|error| error.to_string())?;
    let mut duck =
        DuckDb::open(packages, &place.join("peer.duckdb"), options.threads).map_err(|error| error.to_string())?;
    let rows = if options.check_only { CHECK_ROWS } else { options.rows };
    let (our_load, peer_load) = load(rows, &client, &mut duck, &place.join("part.csv")).await?;
    client.batch_execute("CHECKPOINT; ANALYZE hits").await.map_err(|error| describe("CHECKPOINT", &error))?;
    let our_bytes = folder_bytes(&place.join("ours/shard-0/segments"));
    let peer_bytes = std::fs::metadata(place.join("peer.duckdb")).map_err(|error| error.to_string())?.len();
    println!("web log of {rows} rows: HeliosDB beside DuckDB {}, {} threads each", duck.version, options.threads);
    println!("load      {our_load:>8.2} s   {peer_load:>8.2} s   {:>6.2}x", our_load / peer_load);
    println!(
        "segments  {:>8.1} MB  {:>8.1} MB  {:>6.2}x",
        our_bytes as f64 / 1e6,
        peer_bytes as f64 / 1e6,
        our_bytes as f64 / peer_bytes as f64
    );
    let queries = chosen(queries(), &options.only);
    let runs = if options.check_only { 0 } else { options.runs };
    let (timings, mut wrong) = beside::compare(&queries, runs, &client, &mut duck).await?;
    // An answer without rows would agree with any other one.
    wrong.extend(timings.iter().filter(|t| t.rows == 0).map(|t| format!("{}: no rows", t.name)));
    if !options.check_only {
        beside::report(&timings, "DuckDB", TOTAL_MAX, WORST_MAX);
        let (total, each) = beside::as_json(&timings);
        let result = json!({
            "rows": rows, "threads": options.threads, "runs": options.runs, "peer": format!("DuckDB {}", duck.version),
            "load_seconds": {"ours": our_load, "peer": peer_load},
            "bytes": {"segments": our_bytes, "peer": peer_bytes},
            "total_seconds": total, "queries": each, "wrong": wrong.len(),
        });
        if options.only.is_empty() {
            history::append("weblog", result).map_err(|error| error.to_string())?;
        }
    }
    beside::verdict("DuckDB", timings.len(), &wrong)
}

/// Makes the rows part by part; each part goes to us by COPY and to DuckDB through a file that is removed afterwards. Seconds of
/// the COPYs, ours and the peer's.
async fn load(rows: u64, client: &Client, duck: &mut DuckDb, file: &Path) -> Result<(f64, f64), String> {
    client.batch_execute(SCHEMA).await.map_err(|error| describe("schema", &error))?;
    duck.execute(SCHEMA).map_err(|error| error.to_string())?;
    let mut log = Log::new(rows);
    let (mut ours, mut peer) = (0.0, 0.0);
    loop {
        let mut messages = Vec::new();
        while (messages.len() as u64) < PART_ROWS / MESSAGE_ROWS {
            let mut message = String::new();
            if !log.append(&mut message, MESSAGE_ROWS) {
                break;
            }
            messages.push(Bytes::from(message));
        }
        if messages.is_empty() {
            break;
        }
        std::fs::write(file, messages.concat()).map_err(|error| error.to_string())?;
        let began = Instant::now();
        copy(client, messages).await.map_err(|error| describe("COPY", &error))?;
        ours += began.elapsed().as_secs_f64();
        let sql = format!("COPY hits FROM '{}' (FORMAT csv, HEADER false, NULLSTR '\\N')", file.display());
        peer += duck.execute(&sql).map_err(|error| error.to_string())?;
    }
    std::fs::remove_file(file).map_err(|error| error.to_string())?;
    peer += duck.execute("CHECKPOINT").map_err(|error| error.to_string())?;
    Ok((ours, peer))
}

async fn copy(client: &Client, messages: Vec<Bytes>) -> Result<(), tokio_postgres::Error> {
    let sink = client.copy_in("COPY hits FROM STDIN (FORMAT csv, NULL '\\N')").await?;
    let mut sink = std::pin::pin!(sink);
    for message in messages {
        sink.send(message).await?;
    }
    sink.close().await
}
