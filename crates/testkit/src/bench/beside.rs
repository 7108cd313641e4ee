//! Queries of ours beside a peer's: interleaved, hot, every answer compared.

use std::time::Instant;

use serde_json::{Map, Value, json};
use tokio_postgres::{Client, SimpleQueryMessage};

use super::median;
use crate::peer::Peer;
use crate::tpch::{self, Answer};

/// A query's median seconds.
pub(super) struct Timing {
    pub name: &'static str,
    /// Of the peer's answer.
    pub rows: usize,
    pub ours: f64,
    pub peer: f64,
}

impl Timing {
    fn ratio(&self) -> f64 {
        self.ours / self.peer
    }
}

/// Runs each query once to compare the answers (which also makes it hot), then `runs` times in turns; what was timed, and how
/// answers differ.
pub(super) async fn compare(
    queries: &[(&'static str, &'static str)],
    runs: usize,
    client: &Client,
    peer: &mut impl Peer,
) -> Result<(Vec<Timing>, Vec<String>), String> {
    let mut timings = Vec::new();
    let mut wrong = Vec::new();
    for &(name, sql) in queries {
        let (theirs, _) = peer.query(sql).map_err(|error| format!("{name}: {error}"))?;
        match query(client, sql).await {
            Err(error) => wrong.push(format!("{name}: {error}")),
            Ok((ours, _)) => {
                wrong.extend(tpch::differences(&ours, &theirs).into_iter().map(|d| format!("{name}: {d}")));
            }
        }
        let (mut our_times, mut peer_times) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            if let Ok((_, seconds)) = query(client, sql).await {
                our_times.push(seconds);
            }
            peer_times.push(peer.query(sql).map_err(|error| error.to_string())?.1);
        }
        timings.push(Timing { name, rows: theirs.len(), ours: median(&our_times), peer: median(&peer_times) });
    }
    Ok((timings, wrong))
}

/// Seconds of all queries, ours and the peer's.
pub(super) fn totals(timings: &[Timing]) -> (f64, f64) {
    (timings.iter().map(|t| t.ours).sum(), timings.iter().map(|t| t.peer).sum())
}

/// A line a query, the total, and whether the bars hold that there are: a bar that is not finite is none.
pub(super) fn report(timings: &[Timing], peer_name: &str, total_max: f64, worst_max: f64) {
    println!("{:<8} {:>10} {:>13} {:>8}", "query", "ours ms", format!("{peer_name} ms"), "ratio");
    for t in timings {
        println!("{:<8} {:>10.1} {:>13.1} {:>7.2}x", t.name, t.ours * 1e3, t.peer * 1e3, t.ratio());
    }
    let (ours, peer) = totals(timings);
    println!("{:<8} {:>10.1} {:>13.1} {:>7.2}x", "total", ours * 1e3, peer * 1e3, ours / peer);
    let holds = |ratio: f64, most: f64| if ratio <= most { "holds" } else { "misses" };
    if total_max.is_finite() {
        println!("total {:.2}x, must {total_max}x: {}", ours / peer, holds(ours / peer, total_max));
    }
    let worst = timings.iter().max_by(|a, b| a.ratio().total_cmp(&b.ratio()));
    if let Some(worst) = worst.filter(|_| worst_max.is_finite()) {
        println!(
            "worst {:.2}x ({}), must {worst_max}x: {}",
            worst.ratio(),
            worst.name,
            holds(worst.ratio(), worst_max)
        );
    }
}

/// What history keeps of the timings.
pub(super) fn as_json(timings: &[Timing]) -> (Value, Value) {
    let (ours, peer) = totals(timings);
    let each = timings.iter().map(|t| (t.name.to_owned(), json!({"ours": t.ours, "peer": t.peer})));
    (json!({"ours": ours, "peer": peer, "ratio": ours / peer}), Value::Object(each.collect::<Map<_, _>>()))
}

/// All answers agree, or an error that lists which do not.
pub(super) fn verdict(peer_name: &str, answers: usize, wrong: &[String]) -> Result<(), String> {
    if wrong.is_empty() {
        println!("all {answers} answers agree");
        return Ok(());
    }
    Err(format!("answers differ from {peer_name}'s:\n{}", wrong.join("\n")))
}

/// Runs a query over the simple protocol; rows as text and seconds until the last row.
pub(super) async fn query(client: &Client, sql: &str) -> Result<(Answer, f64), String> {
    let began = Instant::now();
    let messages = client.simple_query(sql).await.map_err(|error| describe("query", &error))?;
    let seconds = began.elapsed().as_secs_f64();
    let rows = messages.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect()),
        _ => None,
    });
    Ok((rows.collect(), seconds))
}

pub(super) fn describe(what: &str, error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{what}: {}: {}", db.code().code(), db.message()),
        None => format!("{what}: {error}"),
    }
}

/// The queries whose names are in `only`; all if it is empty.
pub(super) fn chosen(
    queries: impl IntoIterator<Item = (&'static str, &'static str)>,
    only: &[String],
) -> Vec<(&'static str, &'static str)> {
    let wanted = |name: &str| only.is_empty() || only.iter().any(|only| only.eq_ignore_ascii_case(name));
    queries.into_iter().filter(|(name, _)| wanted(name)).collect()
}
