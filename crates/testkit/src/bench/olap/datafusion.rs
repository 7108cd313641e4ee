//! TPC-H beside plain DataFusion on Parquet: what storage and operators of our own are worth.

use std::path::Path;

use super::hot::Beside;
use super::{OlapOptions, hot, load_peer};
use crate::peer::{DataFusion, DuckDb, install_datafusion, install_duckdb};
use crate::tpch;

/// Times DataFusion's, in total, at scale 10.
const TOTAL_MAX: f64 = 0.4;

pub(super) async fn run(options: &OlapOptions, data: &Path, place: &Path) -> Result<(), String> {
    let fail = |error: std::io::Error| error.to_string();
    let writer = install_duckdb(&options.work_dir).map_err(fail)?;
    let plain = install_datafusion(&options.work_dir).map_err(fail)?;
    let parquet = place.join("parquet");
    std::fs::create_dir_all(&parquet).map_err(fail)?;
    write_parquet(&writer, data, place, &parquet, options.threads).map_err(fail)?;
    let mut peer = DataFusion::open(&plain, &parquet, options.threads).map_err(fail)?;
    let version = format!("DataFusion {} on Parquet", peer.version);
    let beside = Beside { version: &version, total_max: TOTAL_MAX, otherwise: &[] };
    hot::run(options, data, place, &mut peer, beside).await
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
