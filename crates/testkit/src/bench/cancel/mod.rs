//! How long a cancelled statement goes on: statements of many shapes, each cancelled at random moments.
//!
//! Two waits from the request on: until the client has its answer, and until the server's threads have nothing to do any more, since a
//! statement that answers and goes on computing is not cancelled. Processor time is read of each thread of the process; work that was
//! there before the statement (freezing, merging) is waited for. The bar is 100 ms plus one batch; a batch is 8,192 rows.

mod shapes;

use std::time::{Duration, Instant};

use futures::TryStreamExt;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use super::history;
use crate::server::{Server, ServerOptions};
use shapes::{SHAPES, Shape};

#[derive(Clone, Debug)]
pub struct CancelOptions {
    pub rows: u64,
    /// Times each statement is cancelled.
    pub tries: usize,
    pub seed: u64,
    /// Only shapes whose name contains this.
    pub only: String,
    /// Write no history.
    pub no_history: bool,
}

/// The bar, without its batch.
const WAIT_MAX_MS: f64 = 100.0;
/// Moments are drawn from so much of a statement at most.
const LONGEST: Duration = Duration::from_secs(5);
/// Nobody waits longer for the end of a statement.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time over which threads are idle, and what share of a core they may use.
const IDLE: Duration = Duration::from_millis(60);
const IDLE_SHARE: f64 = 0.15;

struct Waits {
    name: &'static str,
    cancelled: usize,
    ended: usize,
    answer_ms: f64,
    idle_ms: f64,
}

pub async fn run(options: &CancelOptions) -> Result<(), String> {
    let place = tempfile::tempdir().map_err(|error| error.to_string())?;
    let start = ServerOptions::new(place.path().join("data")).env("HELIOSDB_LOG", "warn").arg("--memory").arg("3GB");
    let server = Server::start(&start).await.map_err(|error| error.to_string())?;
    let client = server.connect().await.map_err(|error| error.to_string())?;
    for sql in shapes::schema(options.rows) {
        client.batch_execute(&sql).await.map_err(|error| format!("{error:?}: {sql}"))?;
    }
    let mut random = StdRng::seed_from_u64(options.seed);
    let mut all = Vec::new();
    println!("{:<40} {:>9} {:>6} {:>12} {:>12}", "longest waits of", "cancelled", "ended", "answer ms", "idle ms");
    for shape in SHAPES.iter().filter(|shape| shape.name.contains(&options.only)) {
        let waits = measured(&server, &client, shape, options.tries, &mut random).await?;
        println!(
            "{:<40} {:>9} {:>6} {:>12.1} {:>12.1}",
            waits.name, waits.cancelled, waits.ended, waits.answer_ms, waits.idle_ms
        );
        all.push(waits);
    }
    let worst = |of: fn(&Waits) -> f64| all.iter().map(of).fold(0.0, f64::max);
    let (answer, idle) = (worst(|waits| waits.answer_ms), worst(|waits| waits.idle_ms));
    let slow = all.iter().filter(|waits| waits.answer_ms.max(waits.idle_ms) > WAIT_MAX_MS).count();
    println!(
        "longest: answer {answer:.1} ms, idle {idle:.1} ms; {slow} of {} shapes above {WAIT_MAX_MS} ms",
        all.len()
    );
    if options.no_history {
        return Ok(());
    }
    let shapes: Vec<_> = all
        .iter()
        .map(|waits| {
            json!({"name": waits.name, "cancelled": waits.cancelled, "ended": waits.ended,
            "answer_ms": waits.answer_ms, "idle_ms": waits.idle_ms})
        })
        .collect();
    history::append("cancel", json!({"rows": options.rows, "tries": options.tries, "shapes": shapes}))
        .map_err(|error| error.to_string())
}

async fn measured(
    server: &Server,
    client: &Client,
    shape: &Shape,
    tries: usize,
    random: &mut StdRng,
) -> Result<Waits, String> {
    let mut waits = Waits { name: shape.name, cancelled: 0, ended: 0, answer_ms: 0.0, idle_ms: 0.0 };
    // The first try tells how long there is something to cancel.
    let mut whole = LONGEST;
    for turn in 0..=tries {
        until_idle(server, Instant::now()).await?;
        client.batch_execute(shape.before).await.map_err(|error| format!("{error:?}: {}", shape.before))?;
        let after = if turn == 0 { whole } else { whole.mul_f64(random.random_range(0.0..1.0)) };
        let begun = Instant::now();
        let token = client.cancel_token();
        let ask = async {
            tokio::time::sleep(after).await;
            let asked = Instant::now();
            let sent = token.cancel_query(NoTls).await;
            sent.map(|()| asked).map_err(|error| error.to_string())
        };
        let run = async {
            let outcome = execute(client, shape.sql).await;
            (outcome, Instant::now())
        };
        tokio::pin!(ask);
        tokio::pin!(run);
        let (outcome, answered, asked) = tokio::select! {
            (outcome, answered) = &mut run => (outcome, answered, None),
            asked = &mut ask => {
                let asked = asked?;
                let waited = tokio::time::timeout(PATIENCE, &mut run).await;
                let (outcome, answered) = waited.map_err(|_| format!("{} does not end", shape.name))?;
                (outcome, answered, Some(asked))
            }
        };
        match (outcome, asked) {
            (Ok(()), _) => {
                waits.ended += 1;
                whole = whole.min(answered - begun);
            }
            (Err(error), Some(asked)) if error.code() == Some(&SqlState::QUERY_CANCELED) => {
                waits.cancelled += 1;
                let idle = until_idle(server, asked).await?;
                waits.answer_ms = waits.answer_ms.max((answered - asked).as_secs_f64() * 1e3);
                waits.idle_ms = waits.idle_ms.max(idle.as_secs_f64() * 1e3);
            }
            (Err(error), _) => return Err(format!("{}: {error:?}", shape.name)),
        }
        client.batch_execute(shape.after).await.map_err(|error| format!("{error:?}: {}", shape.after))?;
        if shape.sql.starts_with("CREATE ") && shape.sql.contains(" INDEX ") {
            client
                .batch_execute("DROP INDEX IF EXISTS big_word, big_unique")
                .await
                .map_err(|error| error.to_string())?;
        }
    }
    Ok(waits)
}

/// Reads all that a statement gives.
async fn execute(client: &Client, sql: &str) -> Result<(), tokio_postgres::Error> {
    if sql.starts_with("COPY ") {
        let data = client.copy_out(sql).await?;
        return data.try_for_each(|_| async { Ok(()) }).await;
    }
    let rows = client.simple_query_raw(sql).await?;
    rows.try_for_each(|_| async { Ok(()) }).await
}

/// How long after `since` the server's threads began to be idle.
async fn until_idle(server: &Server, since: Instant) -> Result<Duration, String> {
    let mut seen: Vec<(Instant, Duration)> = Vec::new();
    loop {
        let now = Instant::now();
        seen.push((now, processor_time(server.pid())));
        let from = seen.partition_point(|(at, _)| now - *at > IDLE).saturating_sub(1);
        if let (Some((at, before)), Some((_, used))) = (seen.get(from), seen.last())
            && now - *at >= IDLE
            && used.saturating_sub(*before).as_secs_f64() < IDLE_SHARE * (now - *at).as_secs_f64()
        {
            return Ok(at.saturating_duration_since(since));
        }
        if now.saturating_duration_since(since) > PATIENCE {
            return Err("the server does not come to rest".into());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// What the process' living threads have used.
fn processor_time(pid: u32) -> Duration {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Duration::ZERO };
    let used = |thread: std::fs::DirEntry| {
        let line = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    Duration::from_nanos(threads.flatten().filter_map(used).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_of_all_threads() {
        let spin = || {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(30) {
                std::hint::spin_loop();
            }
        };
        let before = processor_time(std::process::id());
        spin();
        assert!(processor_time(std::process::id()) - before >= Duration::from_millis(5));
    }

    #[test]
    fn shapes_have_names_of_their_own() {
        let names: std::collections::BTreeSet<&str> = SHAPES.iter().map(|shape| shape.name).collect();
        assert_eq!(names.len(), SHAPES.len());
    }
}
