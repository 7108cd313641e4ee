//! How good estimates of rows are, beside PostgreSQL on the same data after ANALYZE in both.
//!
//! Two sets: every leading part of thirty joins over skewed, correlated data (its estimate against its count), and the results of
//! the 22 TPC-H queries without their LIMIT. A q-error is how many times too high or too low an estimate is; both it and the
//! count are at least one row. Then how long each query takes beside the best of random orders of its joins.

mod data;
mod orders;
mod queries;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use futures::SinkExt;
use serde_json::{Value, json};
use tokio_postgres::{Client, SimpleQueryMessage};

use super::{history, olap};
use crate::peer::{Postgres, PostgresVersion};
use crate::server::{Server, ServerOptions, connect};
use crate::tpch;

#[derive(Clone, Debug)]
pub struct PlansOptions {
    /// Of TPC-H.
    pub tpch_scale: f64,
    /// Of the music service: 1 has half a million plays.
    pub scale: f64,
    /// Random orders of each query's joins; 0: none.
    pub orders: u64,
    /// Say every estimate.
    pub verbose: bool,
    /// Write no history.
    pub no_history: bool,
    pub work_dir: PathBuf,
}

/// One estimated result.
struct Estimated {
    name: String,
    rows: f64,
    ours: f64,
    theirs: f64,
}

impl Estimated {
    fn errors(&self) -> (f64, f64) {
        let error = |estimate: f64| {
            let (estimate, rows) = (estimate.max(1.0), self.rows.max(1.0));
            (estimate / rows).max(rows / estimate)
        };
        (error(self.ours), error(self.theirs))
    }
}

pub async fn run(options: &PlansOptions) -> Result<(), String> {
    let fail = |error: io::Error| error.to_string();
    let place = std::env::temp_dir().join(format!("heliosdb-plans-{}", std::process::id()));
    std::fs::create_dir_all(&place).map_err(fail)?;
    let done = compare(options, &place).await;
    let _ = std::fs::remove_dir_all(&place);
    done
}

async fn compare(options: &PlansOptions, place: &Path) -> Result<(), String> {
    let fail = |error: io::Error| error.to_string();
    let start = ServerOptions::new(place.join("ours")).env("HELIOSDB_LOG", "warn");
    let server = Server::start(&start).await.map_err(fail)?;
    let version = PostgresVersion::find(&options.work_dir.join("postgres18")).map_err(fail)?;
    let peer = Postgres::start(&version, &place.join("peer"), &[]).await.map_err(fail)?;
    let data = tpch::generate(&options.work_dir.join("tpch"), options.tpch_scale).map_err(fail)?;
    let mut clients = Vec::new();
    for port in [server.pg_port, peer.port] {
        let client = connect(port).await.map_err(|error| error.to_string())?;
        load(&client, options.scale).await?;
        olap::load_ours(&client, &data).await?;
        client.batch_execute("ANALYZE").await.map_err(|error| error.to_string())?;
        clients.push(client);
    }
    let [ours, theirs] = &clients[..] else { return Err("a side is missing".into()) };
    let joins = joins(ours, theirs).await?;
    let results = results(ours, theirs).await?;
    let mut lines = Vec::new();
    println!("estimated rows beside PostgreSQL {}: q-errors", peer.version);
    println!("{:<28} {:>6} {:>10} {:>10} {:>10} {:>10}", "", "", "median", "", "95th", "");
    println!("{:<28} {:>6} {:>10} {:>10} {:>10} {:>10}", "set", "plans", "ours", "peer", "ours", "peer");
    for (name, set) in [("parts of 30 joins", &joins), ("results of TPC-H", &results)] {
        lines.push(report(name, set, options.verbose));
    }
    let orders = orders::run(ours, options.orders, options.verbose).await?;
    if options.no_history {
        return Ok(());
    }
    let result = json!({"peer": format!("PostgreSQL {}", peer.version), "tpch_scale": options.tpch_scale,
        "scale": options.scale, "sets": lines, "orders": orders});
    history::append("plans", result).map_err(fail)
}

/// Creates the music service and fills it.
async fn load(client: &Client, scale: f64) -> Result<(), String> {
    let said = |error: tokio_postgres::Error| error.to_string();
    client.batch_execute(data::SCHEMA).await.map_err(said)?;
    for (table, rows) in data::rows(scale) {
        let sink = client.copy_in(&format!("COPY {table} FROM STDIN")).await.map_err(said)?;
        let mut sink = std::pin::pin!(sink);
        let rows = bytes::Bytes::from(rows);
        for from in (0..rows.len()).step_by(1 << 16) {
            sink.send(rows.slice(from..rows.len().min(from + (1 << 16)))).await.map_err(said)?;
        }
        sink.close().await.map_err(said)?;
    }
    Ok(())
}

async fn joins(ours: &Client, theirs: &Client) -> Result<Vec<Estimated>, String> {
    let (mut seen, mut out) = (BTreeSet::new(), Vec::new());
    for join in queries::JOINS {
        for (at, part) in join.parts().into_iter().enumerate() {
            if seen.insert(part.clone()) {
                let name = format!("{} of {}: {part}", join.name, at + 1);
                out.push(estimated(ours, theirs, name, &format!("SELECT 1 FROM {part}")).await?);
            }
        }
    }
    Ok(out)
}

async fn results(ours: &Client, theirs: &Client) -> Result<Vec<Estimated>, String> {
    let mut out = Vec::new();
    for (name, sql) in tpch::QUERIES {
        let sql = sql.trim().trim_end_matches(';');
        // All rows: what a LIMIT gives is no estimate.
        let whole = match sql.to_ascii_lowercase().rfind("\nlimit ") {
            Some(at) => &sql[..at],
            None => sql,
        };
        out.push(estimated(ours, theirs, name.to_owned(), whole).await?);
    }
    Ok(out)
}

async fn estimated(ours: &Client, theirs: &Client, name: String, sql: &str) -> Result<Estimated, String> {
    let counted = lines(ours, &format!("SELECT count(*) FROM ({sql}) AS counted")).await?;
    let rows = counted.first().and_then(|count| count.parse().ok()).ok_or_else(|| format!("no count of {name}"))?;
    let (our_rows, their_rows) = (estimate(ours, sql).await?, estimate(theirs, sql).await?);
    // A plan without an estimate is as good as one row.
    let their_rows = their_rows.ok_or_else(|| format!("PostgreSQL estimates nothing of {name}"))?;
    Ok(Estimated { name, rows, ours: our_rows.unwrap_or(1.0), theirs: their_rows })
}

/// The rows of the topmost step that has an estimate.
async fn estimate(client: &Client, sql: &str) -> Result<Option<f64>, String> {
    let text = lines(client, &format!("EXPLAIN (FORMAT JSON) {sql}")).await?.join("\n");
    let plans: Value = serde_json::from_str(&text).map_err(|error| format!("{error} in {text}"))?;
    let mut plan = &plans[0]["Plan"];
    loop {
        if let Some(rows) = plan["Plan Rows"].as_f64() {
            return Ok(Some(rows));
        }
        match plan["Plans"].as_array().map(Vec::as_slice) {
            Some([only]) => plan = only,
            _ => return Ok(None),
        }
    }
}

async fn lines(client: &Client, sql: &str) -> Result<Vec<String>, String> {
    let messages = client.simple_query(sql).await.map_err(|error| format!("{error}: {sql}"))?;
    let row = |message: SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    };
    Ok(messages.into_iter().filter_map(row).collect())
}

/// Prints a set; what goes into history.
fn report(name: &str, set: &[Estimated], verbose: bool) -> Value {
    let (mut ours, mut theirs): (Vec<f64>, Vec<f64>) = set.iter().map(Estimated::errors).unzip();
    ours.sort_by(f64::total_cmp);
    theirs.sort_by(f64::total_cmp);
    let at = |errors: &[f64], share: f64| super::stats::at_share(errors, share);
    let figures = [at(&ours, 0.5), at(&theirs, 0.5), at(&ours, 0.95), at(&theirs, 0.95)];
    let [our_median, their_median, our_95th, their_95th] = figures;
    println!(
        "{name:<28} {:>6} {our_median:>10.2} {their_median:>10.2} {our_95th:>10.2} {their_95th:>10.2}   {}",
        set.len(),
        if our_median <= their_median && our_95th <= their_95th { "holds" } else { "misses" }
    );
    if verbose {
        for one in set {
            let (ours, theirs) = one.errors();
            println!("  {:>12} {:>12} {:>12}  {ours:>9.2} {theirs:>9.2}  {}", one.rows, one.ours, one.theirs, one.name);
        }
    }
    json!({"set": name, "plans": set.len(), "median": {"ours": our_median, "peer": their_median},
        "p95": {"ours": our_95th, "peer": their_95th}})
}
