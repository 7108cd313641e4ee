//! TPC-H hot, beside a peer that has its tables already.

use std::path::Path;

use serde_json::json;

use super::{OlapOptions, load_ours, start};
use crate::bench::beside::{self, chosen, describe};
use crate::bench::history;
use crate::peer::Peer;
use crate::tpch;

/// How the peer is measured.
pub(super) struct Beside<'a> {
    /// Its name and version, and how it was set up.
    pub version: &'a str,
    /// What our total may be, times the peer's. Not finite: no bar, the figures are a report.
    pub total_max: f64,
    /// Queries that the peer is known to answer otherwise than the standard says, and why: told, and not held against us.
    pub otherwise: &'a [(&'a str, &'a str)],
}

/// Loads ours and runs the queries in turns.
pub(super) async fn run(
    options: &OlapOptions,
    data: &Path,
    place: &Path,
    peer: &mut impl Peer,
    beside: Beside<'_>,
) -> Result<(), String> {
    let Beside { version, total_max, otherwise } = beside;
    let server = start(options, &place.join("ours")).await?;
    let client = server.connect().await.map_err(|error| error.to_string())?;
    load_ours(&client, data).await?;
    client.batch_execute("CHECKPOINT; ANALYZE").await.map_err(|error| describe("CHECKPOINT", &error))?;
    println!("TPC-H scale {}: HeliosDB beside {version}, {} threads each", options.scale, options.threads);
    let queries = chosen(tpch::QUERIES, &options.only);
    let runs = if options.check_only { 0 } else { options.runs };
    let (timings, mut wrong) = beside::compare(&queries, runs, &client, peer).await?;
    let mut compared = timings.len();
    for (name, why) in otherwise {
        let all = wrong.len();
        wrong.retain(|difference| !difference.starts_with(name));
        if wrong.len() < all {
            println!("{name}: {} answers otherwise, {why}", peer.name());
            compared -= 1;
        }
    }
    if !options.check_only {
        beside::report(&timings, peer.name(), total_max, f64::INFINITY);
        let (total, each) = beside::as_json(&timings);
        if options.only.is_empty() {
            let result = json!({
                "scale": options.scale, "threads": options.threads, "runs": options.runs, "peer": version,
                "total_seconds": total, "queries": each, "wrong": wrong.len(),
            });
            let name = format!("olap-{}", peer.name().to_lowercase());
            history::append(&name, result).map_err(|error| error.to_string())?;
        }
    }
    beside::verdict(peer.name(), compared, &wrong)
}
