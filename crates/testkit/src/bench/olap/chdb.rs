//! TPC-H beside chdb, the embedded ClickHouse: tables sorted by their primary keys, queries as they are.

use std::path::Path;

use super::hot::Beside;
use super::{OlapOptions, hot};
use crate::peer::{Chdb, Peer, install_chdb};
use crate::tpch;

/// Compared with DuckDB's and PostgreSQL's, our answers to these are right.
const OTHERWISE: &[(&str, &str)] = &[
    ("Q06", "for `0.06 + 0.01` is a float there, less than 0.07"),
    ("Q08", "for a quotient of decimals has four digits there"),
];

pub(super) async fn run(options: &OlapOptions, data: &Path, place: &Path) -> Result<(), String> {
    let fail = |error: std::io::Error| error.to_string();
    let packages = install_chdb(&options.work_dir).map_err(fail)?;
    let mut peer = Chdb::open(&packages, &place.join("chdb"), options.threads).map_err(fail)?;
    peer.query(tpch::SCHEMA).map_err(fail)?;
    // It would take a relative path as one below its own folder.
    let data = std::path::absolute(data).map_err(fail)?;
    for table in tpch::TABLES {
        let file = data.join(format!("{table}.csv"));
        peer.query(&format!("INSERT INTO {table} SELECT * FROM file('{}', CSV)", file.display())).map_err(fail)?;
    }
    let version = format!("chdb (ClickHouse {})", peer.version);
    let beside = Beside { version: &version, total_max: f64::INFINITY, otherwise: OTHERWISE };
    hot::run(options, &data, place, &mut peer, beside).await
}
