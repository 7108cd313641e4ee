//! Measurements of a server that runs already, for whoever works on it: no peer, nothing judged, nothing kept.

use std::time::Instant;

use tokio_postgres::Client;

use super::{HtapOptions, Load, Measured, Side, settle, told, unthrottled};
use crate::bench::stats::at_share;
use crate::htap;

/// Loads the tables where there are none, times the queries, and measures terminals and a stream, each alone and both at once; with
/// `--minutes` both at once for so long, and the queries again.
pub async fn measure(options: &HtapOptions, port: u16, rate: Option<f64>) -> Result<(), String> {
    let mut side = Side::new("server", port, options.scale, options.seed);
    // Of its own, so that a second call chooses other transactions.
    side.measured = u64::from(std::process::id());
    let client = side.client().await?;
    let loaded = client.query_one("SELECT to_regclass('order_line') IS NOT NULL", &[]).await;
    if !loaded.map_err(|error| error.to_string())?.get::<_, bool>(0) {
        let began = Instant::now();
        htap::load(&client, options.scale, options.seed).await?;
        settle(&client).await?;
        println!("loaded in {:.1} s", began.elapsed().as_secs_f64());
    }
    time_queries(&client).await?;
    let paced = |streams| Load { rate, ..unthrottled(options, streams) };
    if options.minutes > 0.0 {
        let measured = side.measure(Load { seconds: options.minutes * 60.0, ..paced(1) }).await?;
        told(&side, "both", &measured);
        tell_stalls(&measured);
        return time_queries(&client).await;
    }
    let loads = [
        ("one stream alone", Load { terminals: 0, ..unthrottled(options, 1) }),
        ("terminals alone", paced(0)),
        ("both", paced(1)),
    ];
    for (what, load) in loads {
        let measured = side.measure(load).await?;
        told(&side, what, &measured);
        tell_stalls(&measured);
        for (number, seconds) in measured.streams.iter().flat_map(|stream| &stream.seconds).enumerate() {
            let mean = seconds.iter().sum::<f64>() / seconds.len().max(1) as f64;
            print!("Q{:02} {:.0}  ", number + 1, mean * 1000.0);
        }
        println!();
    }
    Ok(())
}

async fn time_queries(client: &Client) -> Result<(), String> {
    let seconds = htap::run_queries(client).await?;
    for ((name, _), seconds) in htap::QUERIES.iter().zip(&seconds) {
        print!("{name} {:.0}  ", seconds * 1000.0);
    }
    println!("all {:.0} ms", seconds.iter().sum::<f64>() * 1000.0);
    Ok(())
}

/// The longest times in which no transaction ended, and when: what the last percentile is made of at a pace.
fn tell_stalls(measured: &Measured) {
    let mut ends: Vec<f64> = measured.moments.iter().map(|(at, _)| f64::from(*at)).collect();
    ends.sort_by(f64::total_cmp);
    let mut stalls: Vec<(f64, f64)> = ends.iter().zip(ends.iter().skip(1)).map(|(a, b)| (b - a, *a)).collect();
    stalls.sort_by(|a, b| b.0.total_cmp(&a.0));
    let told: Vec<String> =
        stalls.iter().take(8).map(|(long, at)| format!("{:.0} ms at {at:.2} s", long * 1e3)).collect();
    if !told.is_empty() {
        println!("  nothing ended for {}", told.join(", "));
    }
    tell_bad_times(measured);
}

/// Where the last percentile is far above what it is most of the time, by seconds.
fn tell_bad_times(measured: &Measured) {
    let [_, p99] = measured.over_time(1.0);
    let mut usual: Vec<f64> = p99.iter().map(|(_, p99)| *p99).collect();
    usual.sort_by(f64::total_cmp);
    let usual = at_share(&usual, 0.5);
    let bad = p99.iter().filter(|(_, p99)| *p99 > usual * 3.0);
    let bad: Vec<String> = bad.map(|(at, p99)| format!("{p99:.0} at {}", at.floor())).collect();
    if !p99.is_empty() {
        println!("  p99 of a second {usual:.0} ms in the median, above three times that: {}", bad.join(", "));
    }
}
