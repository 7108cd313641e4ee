//! An analytical stream: the 22 queries round and round on one connection, an invariant after each.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::{QUERIES, check_one, rows};

/// No query takes so long unless something is wrong.
const PATIENCE: &str = "SET statement_timeout = '600s'";

#[derive(Clone, Debug, Default)]
pub struct StreamReport {
    /// Seconds each query took, by query.
    pub seconds: Vec<Vec<f64>>,
    /// Invariants that were asked, and held.
    pub invariants: usize,
}

impl StreamReport {
    pub fn queries(&self) -> usize {
        self.seconds.iter().map(Vec::len).sum()
    }

    /// By the time the queries took, the invariants between them apart.
    pub fn queries_per_hour(&self) -> f64 {
        self.queries() as f64 * 3600.0 / self.seconds.iter().flatten().sum::<f64>()
    }
}

/// Runs whole rounds, so that queries are in equal shares, until so much time has passed; begins at a query of its own.
pub async fn stream(client: &Client, first: usize, time: Duration) -> Result<StreamReport, String> {
    client.batch_execute(PATIENCE).await.map_err(|error| error.to_string())?;
    let mut report = StreamReport { seconds: vec![Vec::new(); QUERIES.len()], invariants: 0 };
    let began = Instant::now();
    loop {
        for step in 0..QUERIES.len() {
            let number = (first + step) % QUERIES.len();
            report.seconds[number].push(timed(client, number).await?);
            check_one(client, first + report.invariants).await?;
            report.invariants += 1;
        }
        if began.elapsed() >= time {
            return Ok(report);
        }
    }
}

/// Seconds of each of the 22 queries, the median of three, nothing between them.
pub async fn run_queries(client: &Client) -> Result<Vec<f64>, String> {
    client.batch_execute(PATIENCE).await.map_err(|error| error.to_string())?;
    let mut seconds = Vec::new();
    for number in 0..QUERIES.len() {
        let mut runs = [timed(client, number).await?, timed(client, number).await?, timed(client, number).await?];
        runs.sort_by(f64::total_cmp);
        seconds.push(runs[1]);
    }
    Ok(seconds)
}

async fn timed(client: &Client, number: usize) -> Result<f64, String> {
    let (name, sql) = QUERIES[number];
    let began = Instant::now();
    rows(client, sql).await.map_err(|why| format!("{name}: {why}"))?;
    Ok(began.elapsed().as_secs_f64())
}
