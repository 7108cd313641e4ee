//! TPC-H: ours beside DuckDB's native tables; every answer compared. Hot, cold, or ours after changes beside ours as loaded.
//! On request hot beside DataFusion, PostgreSQL or chdb instead.

mod changed;
mod chdb;
mod cold;
mod datafusion;
mod hot;
mod postgres;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use futures::SinkExt;
use serde_json::json;
use tokio_postgres::Client;

use super::beside::{self, chosen, describe};
use super::history;
use crate::peer::{DuckDb, install_duckdb};
use crate::server::{Server, ServerOptions, folder_bytes};
use crate::tpch;

/// Times DuckDB's: all queries, and the worst of them.
const TOTAL_MAX: f64 = 1.8;
const WORST_MAX: f64 = 4.0;

#[derive(Clone, Debug)]
pub struct OlapOptions {
    pub scale: f64,
    /// Hot runs of each query, interleaved with the peer's.
    pub runs: usize,
    pub threads: usize,
    /// Where data, databases and packages are kept between runs.
    pub work_dir: PathBuf,
    /// Compare answers once, time nothing, write no history: what CI does.
    pub check_only: bool,
    /// Only these queries (`Q01`); empty: all.
    pub only: Vec<String>,
    pub against: Against,
}

/// What is measured, and beside what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Against {
    /// Hot, beside DuckDB.
    #[default]
    DuckDb,
    /// The first query after a start with an empty page cache, beside DuckDB.
    ColdDuckDb,
    /// After updates and deletes, beside ourselves as loaded.
    Fresh,
    /// Hot, beside DataFusion on Parquet.
    DataFusion,
    /// Hot, beside PostgreSQL with indexes on its foreign keys; no bar, a report.
    Postgres,
    /// Hot, beside chdb; no bar, a report.
    Chdb,
}

/// Runs the benchmark; the error lists every answer that differs.
pub async fn run(options: &OlapOptions) -> Result<(), String> {
    let fail = |error: io::Error| error.to_string();
    let data = tpch::generate(&options.work_dir.join("tpch"), options.scale).map_err(fail)?;
    let place = options.work_dir.join(format!("olap-{}", std::process::id()));
    std::fs::create_dir_all(&place).map_err(fail)?;
    let result = match options.against {
        Against::DuckDb => compare(options, &data, &place).await,
        Against::ColdDuckDb => cold::run(options, &data, &place).await,
        Against::Fresh => changed::run(options, &data, &place).await,
        Against::DataFusion => datafusion::run(options, &data, &place).await,
        Against::Postgres => postgres::run(options, &data, &place).await,
        Against::Chdb => chdb::run(options, &data, &place).await,
    };
    let _ = std::fs::remove_dir_all(&place);
    result
}

async fn compare(options: &OlapOptions, data: &Path, place: &Path) -> Result<(), String> {
    let packages = install_duckdb(&options.work_dir).map_err(|error| error.to_string())?;
    let server = start(options, &place.join("ours")).await?;
    let client = server.connect().await.map_err(|error| error.to_string())?;
    let mut duck =
        DuckDb::open(&packages, &place.join("peer.duckdb"), options.threads).map_err(|error| error.to_string())?;

    let our_load = load_ours(&client, data).await?;
    let peer_load = load_peer(&mut duck, data).map_err(|error| error.to_string())?;
    client.batch_execute("CHECKPOINT").await.map_err(|error| describe("CHECKPOINT", &error))?;
    let our_bytes = folder_bytes(&place.join("ours"));
    let segment_bytes = folder_bytes(&place.join("ours/shard-0/segments"));
    let peer_bytes = folder_bytes(place) - our_bytes;
    println!(
        "TPC-H scale {}: HeliosDB beside DuckDB {}, {} threads each",
        options.scale, duck.version, options.threads
    );
    println!("load      {our_load:>8.2} s   {peer_load:>8.2} s   {:>6.2}x", our_load / peer_load);
    println!(
        "size      {:>8.1} MB  {:>8.1} MB  {:>6.2}x   (segments {:.1} MB; the rest is recycled log)",
        our_bytes as f64 / 1e6,
        peer_bytes as f64 / 1e6,
        our_bytes as f64 / peer_bytes as f64,
        segment_bytes as f64 / 1e6
    );

    let queries = chosen(tpch::QUERIES, &options.only);
    let runs = if options.check_only { 0 } else { options.runs };
    let (timings, wrong) = beside::compare(&queries, runs, &client, &mut duck).await?;
    if !options.check_only {
        beside::report(&timings, "DuckDB", TOTAL_MAX, WORST_MAX);
        let (total, each) = beside::as_json(&timings);
        let result = json!({
            "scale": options.scale, "threads": options.threads, "runs": options.runs, "peer": format!("DuckDB {}", duck.version),
            "load_seconds": {"ours": our_load, "peer": peer_load},
            "bytes": {"ours": our_bytes, "segments": segment_bytes, "peer": peer_bytes},
            "total_seconds": total, "queries": each, "wrong": wrong.len(),
        });
        if options.only.is_empty() {
            history::append("olap", result).map_err(|error| error.to_string())?;
        }
    }
    beside::verdict("DuckDB", timings.len(), &wrong)
}

async fn start(options: &OlapOptions, data_dir: &Path) -> Result<Server, String> {
    let start = ServerOptions::new(data_dir)
        .env("HELIOSDB_LOG", "warn")
        .arg("--worker-threads")
        .arg(options.threads.to_string());
    Server::start(&start).await.map_err(|error| error.to_string())
}

/// Creates the tables and copies the files in, as `psql \copy` would; seconds of the COPYs.
pub async fn load_ours(client: &Client, data: &Path) -> Result<f64, String> {
    client.batch_execute(tpch::SCHEMA).await.map_err(|error| describe("schema", &error))?;
    let began = Instant::now();
    for table in tpch::TABLES {
        copy_table(client, data, table).await?;
    }
    Ok(began.elapsed().as_secs_f64())
}

/// Copies a table's file in.
pub async fn copy_table(client: &Client, data: &Path, table: &str) -> Result<(), String> {
    let sql = format!("COPY {table} FROM STDIN (FORMAT csv)");
    let sink = client.copy_in(&sql).await.map_err(|error| describe(&sql, &error))?;
    let mut sink = std::pin::pin!(sink);
    let bytes = std::fs::read(data.join(format!("{table}.csv"))).map_err(|error| error.to_string())?;
    for chunk in tokio_postgres_bytes(bytes) {
        sink.send(chunk).await.map_err(|error| describe(&sql, &error))?;
    }
    sink.close().await.map_err(|error| describe(&sql, &error))?;
    Ok(())
}

fn tokio_postgres_bytes(bytes: Vec<u8>) -> impl Iterator<Item = bytes::Bytes> {
    let whole = bytes::Bytes::from(bytes);
    (0..whole.len()).step_by(1 << 16).map(move |at| whole.slice(at..whole.len().min(at + (1 << 16))))
}

fn load_peer(duck: &mut DuckDb, data: &Path) -> io::Result<f64> {
    duck.execute(tpch::SCHEMA)?;
    let mut seconds = 0.0;
    for table in tpch::TABLES {
        let file = data.join(format!("{table}.csv"));
        seconds += duck.execute(&format!("COPY {table} FROM '{}' (FORMAT csv, HEADER false)", file.display()))?;
    }
    Ok(seconds + duck.execute("CHECKPOINT")?)
}
