//! The TPC-C-like mix: ours beside PostgreSQL in its durable default, on the same disk, interleaved, the consistency conditions
//! checked after every round and after a kill -9.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::stats::at_share;
use super::{history, median};
use crate::peer::{Postgres, PostgresVersion};
use crate::server::{Server, ServerOptions, connect};
use crate::tpcc::{self, Acknowledged, Kind, Mistake, Scale, Terminal, TerminalReport};

#[derive(Clone, Debug)]
pub struct TpccOptions {
    pub scale: Scale,
    /// Seconds of one measurement.
    pub seconds: u32,
    /// Interleaved rounds; medians are reported.
    pub rounds: usize,
    pub clients: i32,
    pub seed: u64,
    /// As BEGIN names it.
    pub level: String,
    /// No peer, no history: whether the mix works and the conditions hold.
    pub check_only: bool,
    pub work_dir: PathBuf,
}

/// One server and what it acknowledged so far.
struct Side {
    name: &'static str,
    port: u16,
    acknowledged: Acknowledged,
    rounds: Vec<TerminalReport>,
}

impl Side {
    fn new(name: &'static str, port: u16) -> Side {
        Side { name, port, acknowledged: Acknowledged::default(), rounds: Vec::new() }
    }

    async fn load(&self, options: &TpccOptions) -> Result<f64, String> {
        let client = connect(self.port).await.map_err(|error| error.to_string())?;
        let began = Instant::now();
        tpcc::load(&client, options.scale, options.seed).await.map_err(|why| format!("{}: {why}", self.name))?;
        let seconds = began.elapsed().as_secs_f64();
        for housekeeping in ["VACUUM ANALYZE", "CHECKPOINT"] {
            client.batch_execute(housekeeping).await.map_err(|error| format!("{housekeeping}: {error}"))?;
        }
        self.check(options).await?;
        Ok(seconds)
    }

    async fn check(&self, options: &TpccOptions) -> Result<(), String> {
        let client = connect(self.port).await.map_err(|error| error.to_string())?;
        let checked = tpcc::check(&client, options.scale, &self.acknowledged).await;
        checked.map_err(|why| format!("{}: {why}", self.name))
    }

    async fn round(&mut self, options: &TpccOptions, round: usize) -> Result<(), String> {
        let mut terminals = Vec::new();
        for number in 0..options.clients {
            let client = connect(self.port).await.map_err(|error| error.to_string())?;
            let seed = options.seed + round as u64;
            terminals.push(Terminal::new(client, options.scale, seed, number, &options.level));
        }
        let time = Duration::from_secs(options.seconds.into());
        let working: Vec<_> = terminals.into_iter().map(|terminal| tokio::spawn(terminal.work(time))).collect();
        let mut whole = TerminalReport::default();
        for terminal in working {
            match terminal.await.map_err(|error| error.to_string())? {
                Ok(report) => whole.merge(report),
                Err(Mistake::Gone(_)) => return Err(format!("{} closed a connection", self.name)),
                Err(Mistake::Wrong(why)) => return Err(format!("{}: {why}", self.name)),
            }
        }
        self.acknowledged.merge(whole.acknowledged.clone());
        self.rounds.push(whole);
        self.check(options).await
    }

    /// Committed new orders a minute, by round.
    fn orders_per_minute(&self, seconds: u32) -> Vec<f64> {
        let of = |round: &TerminalReport| round.kind(Kind::NewOrder).committed as f64 * 60.0 / f64::from(seconds);
        self.rounds.iter().map(of).collect()
    }

    fn kind(&self, kind: Kind) -> Summary {
        let mut latencies: Vec<f64> =
            self.rounds.iter().flat_map(|round| round.kind(kind).latencies_ms.iter().copied()).collect();
        latencies.sort_by(f64::total_cmp);
        let sum = |field: fn(&tpcc::KindReport) -> u64| self.rounds.iter().map(|round| field(round.kind(kind))).sum();
        Summary {
            committed: sum(|kind| kind.committed),
            rolled_back: sum(|kind| kind.rolled_back),
            retries: sum(|kind| kind.retries),
            percentiles: [0.50, 0.95, 0.99].map(|share| at_share(&latencies, share)),
        }
    }

    fn to_json(&self, seconds: u32) -> Value {
        let kinds = Kind::ALL.map(|kind| (kind.name().to_owned(), self.kind(kind).to_json()));
        json!({"orders_per_minute": median(&self.orders_per_minute(seconds)), "kinds": Value::Object(kinds.into_iter().collect())})
    }
}

struct Summary {
    committed: u64,
    rolled_back: u64,
    retries: u64,
    percentiles: [f64; 3],
}

impl Summary {
    fn to_json(&self) -> Value {
        let [p50, p95, p99] = self.percentiles;
        json!({"committed": self.committed, "rolled_back": self.rolled_back, "retries": self.retries,
            "p50_ms": p50, "p95_ms": p95, "p99_ms": p99})
    }

    /// Tries that had to be made again, in a hundred transactions.
    fn retry_percent(&self) -> f64 {
        100.0 * self.retries as f64 / (self.committed + self.rolled_back).max(1) as f64
    }
}

pub async fn run(options: &TpccOptions) -> Result<(), String> {
    let fail = |error: io::Error| error.to_string();
    let place = std::env::temp_dir().join(format!("heliosdb-tpcc-{}", std::process::id()));
    std::fs::create_dir_all(&place).map_err(fail)?;
    let done = compare(options, &place).await;
    let _ = std::fs::remove_dir_all(&place);
    done
}

async fn compare(options: &TpccOptions, place: &std::path::Path) -> Result<(), String> {
    let fail = |error: io::Error| error.to_string();
    let start = ServerOptions::new(place.join("ours")).env("HELIOSDB_LOG", "warn");
    let mut server = Server::start(&start).await.map_err(fail)?;
    let peer = if options.check_only {
        None
    } else {
        let version = PostgresVersion::find(&options.work_dir.join("postgres18")).map_err(fail)?;
        let quarter = super::oltp::memory_bytes() / 4 / (1 << 20);
        let settings = [format!("shared_buffers={quarter}MB"), "max_connections=200".to_owned()];
        Some(Postgres::start(&version, &place.join("peer"), &settings).await.map_err(fail)?)
    };
    let mut sides = vec![Side::new("HeliosDB", server.pg_port)];
    sides.extend(peer.as_ref().map(|peer| Side::new("PostgreSQL", peer.port)));
    let mut loads = Vec::new();
    for side in &sides {
        loads.push(side.load(options).await?);
        println!("{}: loaded in {:.1} s", side.name, loads.last().copied().unwrap_or_default());
    }
    for round in 0..options.rounds {
        for side in &mut sides {
            side.round(options, round).await?;
        }
    }
    crash_while_working(options, &mut server, &start, &mut sides[0]).await?;
    let peer_version = peer.as_ref().map_or_else(String::new, |peer| peer.version.clone());
    report(options, &sides, &peer_version);
    if options.check_only {
        return Ok(());
    }
    let [ours, theirs] = &sides[..] else { return Err("a side is missing".into()) };
    let Scale { warehouses, items, .. } = options.scale;
    let result = json!({"warehouses": warehouses, "items": items, "seconds": options.seconds, "rounds": options.rounds,
        "clients": options.clients, "level": options.level, "peer": format!("PostgreSQL {peer_version}"),
        "load_seconds": {"ours": loads[0], "peer": loads[1]},
        "ours": ours.to_json(options.seconds), "theirs": theirs.to_json(options.seconds)});
    history::append("tpcc", result).map_err(fail)
}

/// kill -9 in the middle of the mix; the conditions must hold after the restart.
async fn crash_while_working(
    options: &TpccOptions,
    server: &mut Server,
    start: &ServerOptions,
    side: &mut Side,
) -> Result<(), String> {
    let mut working = Vec::new();
    for number in 0..options.clients {
        let client = connect(side.port).await.map_err(|error| error.to_string())?;
        let seed = options.seed + options.rounds as u64;
        let terminal = Terminal::new(client, options.scale, seed, number, &options.level);
        working.push(tokio::spawn(terminal.work(Duration::from_secs(60))));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    server.kill().map_err(|error| error.to_string())?;
    for terminal in working {
        match terminal.await.map_err(|error| error.to_string())? {
            Ok(report) => side.acknowledged.merge(report.acknowledged),
            Err(Mistake::Gone(report)) => side.acknowledged.merge(report.acknowledged),
            Err(Mistake::Wrong(why)) => return Err(why),
        }
    }
    let began = Instant::now();
    *server = Server::start(start).await.map_err(|error| error.to_string())?;
    side.port = server.pg_port;
    let seconds = began.elapsed().as_secs_f64();
    side.check(options).await.map_err(|why| format!("after kill -9: {why}"))?;
    println!("kill -9: ready again after {seconds:.2} s, all conditions hold");
    Ok(())
}

fn report(options: &TpccOptions, sides: &[Side], peer_version: &str) {
    let Scale { warehouses, items, .. } = options.scale;
    println!(
        "TPC-C-like mix, {warehouses} warehouses of {items} items, {} clients, {}: HeliosDB{}; {} rounds of {} s, interleaved",
        options.clients,
        options.level,
        if peer_version.is_empty() {
            String::new()
        } else {
            format!(" beside PostgreSQL {peer_version}, both durable")
        },
        options.rounds,
        options.seconds
    );
    println!(
        "{:<14} {:<12} {:>9} {:>9} {:>9} {:>9} {:>9} {:>10}",
        "transaction", "server", "a minute", "p50 ms", "p95 ms", "p99 ms", "retried %", "rolled back"
    );
    let minutes = f64::from(options.seconds) * options.rounds as f64 / 60.0;
    for kind in Kind::ALL {
        for side in sides {
            let of = side.kind(kind);
            let [p50, p95, p99] = of.percentiles;
            println!(
                "{:<14} {:<12} {:>9.0} {p50:>9.2} {p95:>9.2} {p99:>9.2} {:>9.2} {:>10}",
                kind.name(),
                side.name,
                of.committed as f64 / minutes,
                of.retry_percent(),
                of.rolled_back
            );
        }
    }
    let medians: Vec<f64> = sides.iter().map(|side| median(&side.orders_per_minute(options.seconds))).collect();
    match medians[..] {
        [ours, theirs] => println!("new orders a minute (median): {ours:.0} beside {theirs:.0}, {:.2}x", ours / theirs),
        _ => println!("new orders a minute (median): {:.0}", medians.first().copied().unwrap_or_default()),
    }
}
