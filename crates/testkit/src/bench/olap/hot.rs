//! TPC-H hot, beside a peer that has its tables already.

use std::path::Path;

use serde_json::json;

use super::{OlapOptions, load_ours, start};
use crate::bench::beside::{self, chosen, describe};
use crate::bench::history;
use crate::peer::Peer;
use crate::tpch;

/// Loads ours and runs the queries in turns; `version` describes the peer and how it was set up. A total bar that is not finite
/// is none: then the figures are a report.
pub(super) async fn run(
    options: &OlapOptions,
    data: &Path,
    place: &Path,
    peer: &mut impl Peer,
    version: &str,
    total_max: f64,
) -> Result<(), String> {
    let server = start(options, &place.join("ours")).await?;
    let client = server.connect().await.map_err(|error| error.to_string())?;
    load_ours(&client, data).await?;
    client.batch_execute("CHECKPOINT; ANALYZE").await.map_err(|error| describe("CHECKPOINT", &error))?;
    println!("TPC-H scale {}: HeliosDB beside {version}, {} threads each", options.scale, options.threads);
    let queries = chosen(tpch::QUERIES, &options.only);
    let runs = if options.check_only { 0 } else { options.runs };
    let (timings, wrong) = beside::compare(&queries, runs, &client, peer).await?;
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
    beside::verdict(peer.name(), timings.len(), &wrong)
}
