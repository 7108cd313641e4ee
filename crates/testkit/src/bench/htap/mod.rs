//! Transactions and analytics at once: the TPC-C-like mix beside streams of 22 analytical queries over the same rows, ours and
//! PostgreSQL in its durable default, in turns.
//!
//! Every answer is compared on the fresh load; while writers run, statements whose answer is known at every commit are asked
//! between the queries, and the consistency conditions after every measurement. A pace is a schedule of due times, and a
//! latency counts from the due time.

mod attach;
mod phase;
mod report;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;
use tokio_postgres::Client;

use self::phase::{Load, Measured, Side};
use super::history;
use crate::htap;
use crate::peer::{Postgres, PostgresVersion};
use crate::server::{Server, ServerOptions};
use crate::tpcc::Scale;

#[derive(Clone, Debug)]
pub struct HtapOptions {
    pub scale: Scale,
    /// Seconds of one measurement, at least: streams end their round of queries.
    pub seconds: f64,
    /// Of a last measurement at the pace beside a stream, before the queries are timed again; ours only.
    pub minutes: f64,
    pub clients: i32,
    /// Numbers of streams to plot against, beside unthrottled terminals.
    pub streams: Vec<usize>,
    pub seed: u64,
    /// Answers, invariants and freshness; no figures, no history.
    pub check_only: bool,
    /// Draw `docs/plots/htap-*.svg`.
    pub plots: bool,
    /// Measure the server at this port instead, and nothing beside it.
    pub attach: Option<u16>,
    /// Transactions a second then; without: no think time.
    pub rate: Option<f64>,
    pub work_dir: PathBuf,
}

/// Of the peak without analytics.
const PACE: f64 = 0.5;
const FRESHNESS_TRIES: u32 = 300;

/// What is measured of one server.
struct Figures {
    /// Seconds of each query.
    fresh: Vec<f64>,
    after: Vec<f64>,
    /// Of each query over the rows of the end, loaded anew; ours only.
    anew: Option<Vec<f64>>,
    /// Order lines then and in the end.
    lines: [u64; 2],
    peak: Measured,
    paced: Measured,
    stream: Measured,
    /// The same pace beside a stream; PostgreSQL at ours, if it holds it.
    both: Measured,
    rate: f64,
    unthrottled: Measured,
    freshness: u32,
    by_streams: Vec<(usize, Measured)>,
    long: Option<Measured>,
}

pub async fn run(options: &HtapOptions) -> Result<(), String> {
    if let Some(port) = options.attach {
        return attach::measure(options, port, options.rate).await;
    }
    let place = std::env::temp_dir().join(format!("heliosdb-htap-{}", std::process::id()));
    std::fs::create_dir_all(&place).map_err(|error| error.to_string())?;
    let done = measure(options, &place).await;
    let _ = std::fs::remove_dir_all(&place);
    done
}

async fn measure(options: &HtapOptions, place: &Path) -> Result<(), String> {
    let fail = |error: io::Error| error.to_string();
    let start = ServerOptions::new(place.join("ours")).env("HELIOSDB_LOG", "warn");
    let server = Server::start(&start).await.map_err(fail)?;
    let version = PostgresVersion::find(&options.work_dir.join("postgres18")).map_err(fail)?;
    let quarter = super::oltp::memory_bytes() / 4 / (1 << 20);
    let settings = [format!("shared_buffers={quarter}MB"), "max_connections=200".to_owned()];
    let peer = Postgres::start(&version, &place.join("peer"), &settings).await.map_err(fail)?;
    let mut ours = Side::new("HeliosDB", server.pg_port, options.scale, options.seed);
    let mut theirs = Side::new("PostgreSQL", peer.port, options.scale, options.seed);
    (ours.other, theirs.other) = (Some(peer.pid()), Some(server.pid()));
    for side in [&ours, &theirs] {
        let _alone = side.alone();
        let client = side.client().await?;
        let began = Instant::now();
        htap::load(&client, options.scale, options.seed).await.map_err(|why| format!("{}: {why}", side.name))?;
        let loaded = began.elapsed().as_secs_f64();
        settle(&client).await?;
        println!("{}: loaded in {loaded:.1} s", side.name);
    }
    compare(&ours, &theirs, "fresh load").await?;
    if options.check_only {
        return check(options, &mut ours, &theirs).await;
    }
    let [ours, theirs] = phases(options, &mut ours, &mut theirs, place).await?;
    report::print(options, &version.version, &ours, &theirs);
    if options.plots {
        report::draw(&ours, &theirs)?;
    }
    let Scale { warehouses, items, .. } = options.scale;
    let result = json!({"warehouses": warehouses, "items": items, "seconds": options.seconds, "minutes": options.minutes,
        "clients": options.clients, "peer": format!("PostgreSQL {}", version.version),
        "judged": report::to_json(&ours, &theirs), "ours": ours.to_json(), "theirs": theirs.to_json()});
    history::append("htap", result).map_err(fail)
}

/// What is done with tables that were just loaded.
async fn settle(client: &Client) -> Result<(), String> {
    for housekeeping in ["VACUUM ANALYZE", "CHECKPOINT"] {
        client.batch_execute(housekeeping).await.map_err(|error| format!("{housekeeping}: {error}"))?;
    }
    Ok(())
}

async fn compare(ours: &Side, theirs: &Side, when: &str) -> Result<(), String> {
    let empty = htap::compare(&ours.client().await?, &theirs.client().await?).await;
    let empty = empty.map_err(|why| format!("{when}: {why}"))?;
    println!(
        "{when}: all 22 answers agree{}",
        match empty[..] {
            [] => String::new(),
            _ => format!(", no rows in {}", empty.join(", ")),
        }
    );
    Ok(())
}

/// Writers, a stream and freshness at once; then PostgreSQL gets what ours has, and must answer the same.
async fn check(options: &HtapOptions, ours: &mut Side, theirs: &Side) -> Result<(), String> {
    let load = Load { freshness: Some(FRESHNESS_TRIES), ..unthrottled(options, 1) };
    let measured = ours.measure(load).await?;
    println!(
        "{} transactions beside {} queries: {} invariants held inside statements, {} commits were seen at once",
        measured.committed,
        measured.streams.iter().map(htap::StreamReport::queries).sum::<usize>(),
        measured.invariants(),
        measured.freshness.unwrap_or_default()
    );
    htap::copy_all(&ours.client().await?, &theirs.client().await?).await?;
    compare(ours, theirs, "after the writes").await
}

fn unthrottled(options: &HtapOptions, streams: usize) -> Load {
    Load { terminals: options.clients, rate: None, streams, seconds: options.seconds, freshness: None }
}

/// Every measurement of both, in turns.
async fn phases(
    options: &HtapOptions,
    ours: &mut Side,
    theirs: &mut Side,
    place: &Path,
) -> Result<[Figures; 2], String> {
    let mut figures = Vec::new();
    let alone = Load { terminals: 0, ..unthrottled(options, 1) };
    for side in [&mut *ours, &mut *theirs] {
        let (fresh, lines) = {
            let _alone = side.alone();
            (htap::run_queries(&side.client().await?).await?, order_lines(side).await?)
        };
        let stream = side.measure(alone).await?;
        told(side, "one stream alone", &stream);
        figures.push((fresh, lines, stream));
    }
    let mut peaks = Vec::new();
    for side in [&mut *ours, &mut *theirs] {
        let peak = side.measure(unthrottled(options, 0)).await?;
        told(side, "terminals alone, unthrottled", &peak);
        peaks.push(peak);
    }
    let our_rate = peaks[0].tps() * PACE;
    // PostgreSQL at our rate, or at the highest it holds.
    let rates = [our_rate, our_rate.min(peaks[1].tps() * 0.9)];
    let mut rest = Vec::new();
    for (side, rate) in [&mut *ours, &mut *theirs].into_iter().zip(rates) {
        let at_pace = |streams| Load { rate: Some(rate), ..unthrottled(options, streams) };
        let paced = side.measure(at_pace(0)).await?;
        told(side, &format!("terminals alone at {rate:.0} a second"), &paced);
        let both = side.measure(at_pace(1)).await?;
        told(side, &format!("{rate:.0} a second beside one stream"), &both);
        rest.push((paced, both));
    }
    let mut last = Vec::new();
    for side in [&mut *ours, &mut *theirs] {
        let unthrottled_beside = side.measure(unthrottled(options, 1)).await?;
        told(side, "unthrottled beside one stream", &unthrottled_beside);
        let mut by_streams = Vec::new();
        for streams in options.streams.iter().copied().filter(|streams| *streams > 1) {
            let measured = side.measure(unthrottled(options, streams)).await?;
            told(side, &format!("unthrottled beside {streams} streams"), &measured);
            by_streams.push((streams, measured));
        }
        last.push((unthrottled_beside, by_streams));
    }
    let mut whole = Vec::new();
    let sides = [ours, theirs].into_iter().zip(rates);
    for ((((side, rate), (fresh, lines, stream)), (peak, (paced, both))), (unthrottled_beside, by_streams)) in
        sides.zip(figures).zip(peaks.into_iter().zip(rest)).zip(last)
    {
        let mut load = Load { rate: Some(rate), freshness: Some(FRESHNESS_TRIES), ..unthrottled(options, 1) };
        let freshness = side.measure(load).await?.freshness.unwrap_or_default();
        let mut long = None;
        if options.minutes > 0.0 && whole.is_empty() {
            (load.freshness, load.seconds) = (None, options.minutes * 60.0);
            let measured = side.measure(load).await?;
            told(side, &format!("{rate:.0} a second beside one stream, {} minutes", options.minutes), &measured);
            long = Some(measured);
        }
        let _alone = side.alone();
        let after = htap::run_queries(&side.client().await?).await?;
        let anew = if whole.is_empty() { Some(anew(options, side, place).await?) } else { None };
        let lines = [lines, order_lines(side).await?];
        let unthrottled = unthrottled_beside;
        whole.push(Figures {
            fresh,
            after,
            anew,
            lines,
            peak,
            paced,
            stream,
            both,
            rate,
            unthrottled,
            freshness,
            by_streams,
            long,
        });
    }
    <[Figures; 2]>::try_from(whole).map_err(|_| "a side is missing".into())
}

/// Seconds of each query over the rows that a server has now, in another one that was just loaded with them: tables grow while
/// writers work, and what the queries then take more is not all for the way the rows came.
async fn anew(options: &HtapOptions, side: &Side, place: &Path) -> Result<Vec<f64>, String> {
    let start = ServerOptions::new(place.join("anew")).env("HELIOSDB_LOG", "warn");
    let server = Server::start(&start).await.map_err(|error| error.to_string())?;
    let (worn, client) =
        (side.client().await?, Side::new("anew", server.pg_port, options.scale, options.seed).client().await?);
    // For the definitions; the rows are replaced.
    htap::load(&client, Scale::small(1), options.seed).await?;
    htap::copy_all(&worn, &client).await?;
    settle(&client).await?;
    htap::compare(&worn, &client).await?;
    htap::run_queries(&client).await
}

async fn order_lines(side: &Side) -> Result<u64, String> {
    let client = side.client().await?;
    let row = client.query_one("SELECT count(*) FROM order_line", &[]).await.map_err(|error| error.to_string())?;
    Ok(row.get::<_, i64>(0).unsigned_abs())
}

fn told(side: &Side, what: &str, measured: &Measured) {
    let mut words = Vec::new();
    if !measured.latencies.is_empty() {
        words.push(format!(
            "{:.0} transactions a second, p50 {:.2} ms, p99 {:.2} ms",
            measured.tps(),
            measured.percentile(0.5),
            measured.percentile(0.99)
        ));
    }
    if measured.left > 0 {
        words.push(format!("{} that were due had not begun", measured.left));
    }
    if !measured.streams.is_empty() {
        words.push(format!(
            "{:.0} queries an hour, {} invariants held",
            measured.queries_per_hour(),
            measured.invariants()
        ));
    }
    println!("{:<10} {what}: {} ({:.1} s)", side.name, words.join("; "), measured.seconds);
}
