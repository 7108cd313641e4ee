//! Bulk load: COPY of TPC-H's lineitem over the wire into a table with its primary key, ours beside PostgreSQL in its durable
//! default, on the same disk, in turns.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::olap::copy_table;
use super::{history, median, spread};
use crate::peer::{Postgres, PostgresVersion};
use crate::server::{Server, ServerOptions, connect, folder_bytes};
use crate::tpch;

/// What the ratio of times must stay under.
const MUST: f64 = 0.7;

#[derive(Clone, Debug)]
pub struct LoadOptions {
    pub scale: f64,
    /// Loads of each, in turns; medians are reported.
    pub rounds: usize,
    pub work_dir: PathBuf,
}

pub async fn run(options: &LoadOptions) -> Result<(), String> {
    let fail = |error: io::Error| error.to_string();
    let data = tpch::generate(&options.work_dir.join("tpch"), options.scale).map_err(fail)?;
    let place = std::env::temp_dir().join(format!("heliosdb-load-{}", std::process::id()));
    std::fs::create_dir_all(&place).map_err(fail)?;
    let done = compare(options, &data, &place).await;
    let _ = std::fs::remove_dir_all(&place);
    done
}

async fn compare(options: &LoadOptions, data: &Path, place: &Path) -> Result<(), String> {
    let fail = |error: io::Error| error.to_string();
    let server =
        Server::start(&ServerOptions::new(place.join("ours")).env("HELIOSDB_LOG", "warn")).await.map_err(fail)?;
    let version = PostgresVersion::find(&options.work_dir.join("postgres18")).map_err(fail)?;
    let quarter = super::oltp::memory_bytes() / 4 / (1 << 20);
    let settings = [format!("shared_buffers={quarter}MB")];
    let peer = Postgres::start(&version, &place.join("peer"), &settings).await.map_err(fail)?;
    let mut ratios = Vec::new();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..options.rounds {
        // Who goes first changes from round to round.
        let mut seconds = [0.0; 2];
        for turn in 0..2 {
            let which = (round + turn) % 2;
            seconds[which] = load(if which == 0 { server.pg_port } else { peer.port }, data).await?;
        }
        let [our_seconds, their_seconds] = seconds;
        println!("round {}: {our_seconds:.2} s beside {their_seconds:.2} s", round + 1);
        ours.push(our_seconds);
        theirs.push(their_seconds);
        ratios.push(our_seconds / their_seconds);
    }
    let (ratio, (low, high)) = (median(&ratios), spread(&ratios));
    println!(
        "COPY lineitem, scale {}, with its primary key: {:.2} s beside PostgreSQL {} {:.2} s, {ratio:.2}x ({low:.2}-{high:.2}); must {MUST}x: {}; {:.1} MB of segments",
        options.scale,
        median(&ours),
        peer.version,
        median(&theirs),
        if ratio <= MUST { "holds" } else { "misses" },
        folder_bytes(&place.join("ours/shard-0/segments")) as f64 / 1e6,
    );
    let result = json!({
        "scale": options.scale, "rounds": options.rounds, "peer": format!("PostgreSQL {}", peer.version),
        "seconds": {"ours": ours, "peer": theirs}, "ratio": ratio,
    });
    history::append("load", result).map_err(fail)
}

/// Seconds of the COPY into a fresh table.
async fn load(port: u16, data: &Path) -> Result<f64, String> {
    let client = connect(port).await.map_err(|error| error.to_string())?;
    let ddl = tpch::SCHEMA.split(';').find(|ddl| ddl.contains("CREATE TABLE lineitem")).ok_or("no lineitem")?;
    for sql in ["DROP TABLE IF EXISTS lineitem", ddl, "CHECKPOINT"] {
        client.batch_execute(sql).await.map_err(|error| format!("{sql}: {error}"))?;
    }
    let began = std::time::Instant::now();
    copy_table(&client, data, "lineitem").await?;
    Ok(began.elapsed().as_secs_f64())
}
