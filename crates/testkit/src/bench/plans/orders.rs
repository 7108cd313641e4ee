//! How good chosen join orders are: each query in its own order, then in orders drawn at random (`join_order_seed`).
//!
//! The bar: no query takes more than three times as long as the best of a hundred drawn orders of itself. Orders that make the
//! same plan are run once, and none longer than the query's own order takes: what is slower decides nothing.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::{Value, json};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::lines;
use super::queries::JOINS;
use crate::tpch;

/// The bar.
const WORST_MAX: f64 = 3.0;
/// Times a query is run before the median is taken.
const RUNS: usize = 3;

struct Timed {
    name: String,
    own_ms: f64,
    best_ms: f64,
    /// Different plans among the drawn orders.
    plans: usize,
    /// The seed of the best.
    seed: Option<u64>,
}

impl Timed {
    fn ratio(&self) -> f64 {
        self.own_ms / self.best_ms.min(self.own_ms)
    }
}

/// Prints the comparison; what goes into history.
pub(super) async fn run(client: &Client, orders: u64, verbose: bool) -> Result<Value, String> {
    if orders == 0 {
        return Ok(Value::Null);
    }
    let mut all = Vec::new();
    let joins = JOINS.iter().filter_map(|join| Some((join.name, join.parts().pop()?)));
    let joins = joins.map(|(name, from)| (name, format!("SELECT count(*) FROM {from}")));
    let tpch = tpch::QUERIES.iter().map(|(name, sql)| (*name, sql.trim().trim_end_matches(';').to_owned()));
    for (name, sql) in joins.chain(tpch) {
        if let Some(timed) = timed(client, name, &sql, orders).await? {
            all.push(timed);
        }
    }
    all.sort_by(|a, b| b.ratio().total_cmp(&a.ratio()));
    let worst = all.first().map_or(1.0, Timed::ratio);
    let said = if worst <= WORST_MAX { "holds" } else { "misses" };
    println!("own order beside the best of {orders} random ones, {} queries: worst {worst:.2}x   {said}", all.len());
    for timed in all.iter().take(if verbose { usize::MAX } else { 5 }) {
        let (own, best, ratio, plans) = (timed.own_ms, timed.best_ms, timed.ratio(), timed.plans);
        let seed = timed.seed.map_or(String::new(), |seed| format!(" (seed {seed})"));
        println!("  {:<6} {own:>9.1} ms {best:>9.1} ms {ratio:>6.2}x of {plans} plans{seed}", timed.name);
    }
    Ok(json!({"orders": orders, "worst": worst, "queries": all.iter().map(|timed| {
        json!({"name": timed.name, "own_ms": timed.own_ms, "best_ms": timed.best_ms, "plans": timed.plans})
    }).collect::<Vec<_>>()}))
}

/// `None`: its joins have one order only.
async fn timed(client: &Client, name: &str, sql: &str, orders: u64) -> Result<Option<Timed>, String> {
    set(client, "join_order_seed", 0).await?;
    set(client, "statement_timeout", 0).await?;
    let mut seen = BTreeSet::from([plan(client, sql).await?]);
    let mut different = Vec::new();
    for seed in 1..=orders {
        set(client, "join_order_seed", seed).await?;
        if seen.insert(plan(client, sql).await?) {
            different.push(seed);
        }
    }
    if different.is_empty() {
        return Ok(None);
    }
    set(client, "join_order_seed", 0).await?;
    once(client, sql).await?;
    let own_ms = median(client, sql).await?.ok_or("a statement without a limit ran out of time")?;
    let mut best: Option<(f64, u64)> = None;
    for seed in &different {
        set(client, "join_order_seed", *seed).await?;
        let limit = best.map_or(own_ms, |(ms, _)| ms);
        set(client, "statement_timeout", (limit.ceil() as u64).max(1)).await?;
        // What looks better is measured as the query's own order was.
        let quick = once(client, sql).await?.is_some_and(|ms| ms < limit);
        if quick
            && let Some(ms) = median(client, sql).await?
            && ms < limit
        {
            best = Some((ms, *seed));
        }
    }
    set(client, "statement_timeout", 0).await?;
    let seed = best.map(|(_, seed)| seed);
    let (own_ms, best_ms) = match seed {
        None => (own_ms, own_ms),
        Some(seed) => in_turns(client, sql, seed).await?,
    };
    set(client, "join_order_seed", 0).await?;
    Ok(Some(Timed { name: name.to_owned(), own_ms, best_ms, plans: different.len() + 1, seed }))
}

/// Medians of the own order and a drawn one, measured in turns: what else the machine did disturbs both.
async fn in_turns(client: &Client, sql: &str, seed: u64) -> Result<(f64, f64), String> {
    let mut times = [Vec::with_capacity(RUNS), Vec::with_capacity(RUNS)];
    for _ in 0..RUNS {
        for (times, seed) in times.iter_mut().zip([0, seed]) {
            set(client, "join_order_seed", seed).await?;
            times.extend(once(client, sql).await?);
        }
    }
    let [own, drawn] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times.get(RUNS / 2).copied().unwrap_or(f64::INFINITY)
    });
    Ok((own, drawn))
}

async fn set(client: &Client, setting: &str, value: u64) -> Result<(), String> {
    client.batch_execute(&format!("SET {setting} = {value}")).await.map_err(|error| error.to_string())
}

async fn plan(client: &Client, sql: &str) -> Result<String, String> {
    Ok(lines(client, &format!("EXPLAIN (COSTS OFF) {sql}")).await?.join("\n"))
}

/// Milliseconds; `None` if it ran out of time.
async fn once(client: &Client, sql: &str) -> Result<Option<f64>, String> {
    let start = Instant::now();
    match client.simple_query(sql).await {
        Ok(_) => Ok(Some(start.elapsed().as_secs_f64() * 1e3)),
        Err(error) if error.code() == Some(&SqlState::QUERY_CANCELED) => Ok(None),
        Err(error) => Err(format!("{error}: {sql}")),
    }
}

async fn median(client: &Client, sql: &str) -> Result<Option<f64>, String> {
    let mut times = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let Some(ms) = once(client, sql).await? else { return Ok(None) };
        times.push(ms);
    }
    times.sort_by(f64::total_cmp);
    Ok(times.get(RUNS / 2).copied())
}
