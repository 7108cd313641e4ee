//! TPC-H beside plain DataFusion on Parquet: what storage and operators of our own are worth.

use std::path::Path;

use serde_json::json;

use super::{OlapOptions, load_ours, load_peer, start};
use crate::bench::beside::{self, chosen, describe};
use crate::bench::history;
use crate::peer::{DataFusion, DuckDb, install_datafusion};
use crate::tpch;

/// Times DataFusion's, in total, at scale 10.
const TOTAL_MAX: f64 = 0.4;

pub(super) async fn run(options: &OlapOptions, data: &Path, packages: &Path, place: &Path) -> Result<(), String> {
    let fail = |error: std::io::Error| error.to_string();
    let plain = install_datafusion(&options.work_dir).map_err(fail)?;
    let parquet = place.join("parquet");
    std::fs::create_dir_all(&parquet).map_err(fail)?;
    write_parquet(packages, data, place, &parquet, options.threads).map_err(fail)?;
    let server = start(options, &place.join("ours")).await?;
    let client = server.connect().await.map_err(|error| error.to_string())?;
    load_ours(&client, data).await?;
    client.batch_execute("CHECKPOINT; ANALYZE").await.map_err(|error| describe("CHECKPOINT", &error))?;
    let mut peer = DataFusion::open(&plain, &parquet, options.threads).map_err(fail)?;
    println!(
        "TPC-H scale {}: HeliosDB beside DataFusion {} on Parquet, {} threads each",
        options.scale, peer.version, options.threads
    );
    let queries = chosen(tpch::QUERIES, &options.only);
    let runs = if options.check_only { 0 } else { options.runs };
    let (timings, wrong) = beside::compare(&queries, runs, &client, &mut peer).await?;
    if !options.check_only {
        beside::report(&timings, "DataFusion", TOTAL_MAX, f64::INFINITY);
        let (total, each) = beside::as_json(&timings);
        if options.only.is_empty() {
            let result = json!({
                "scale": options.scale, "threads": options.threads, "runs": options.runs,
                "peer": format!("DataFusion {}", peer.version), "total_seconds": total, "queries": each, "wrong": wrong.len(),
            });
            history::append("olap-datafusion", result).map_err(fail)?;
        }
    }
    beside::verdict("DataFusion", timings.len(), &wrong)
}

/// A file a table, written by DuckDB with what it compresses Parquet with by default.
fn write_parquet(packages: &Path, data: &Path, place: &Path, to: &Path, threads: usize) -> std::io::Result<()> {
    let file = place.join("writer.duckdb");
    let mut duck = DuckDb::open(packages, &file, threads)?;
    load_peer(&mut duck, data)?;
    for table in tpch::TABLES {
        let path = to.join(format!("{table}.parquet"));
        duck.execute(&format!("COPY {table} TO '{}' (FORMAT parquet)", path.display()))?;
    }
    drop(duck);
    std::fs::remove_file(file)
}
