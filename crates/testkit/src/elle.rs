//! Random transactions that append to lists and read them, over the wire, with crashes; and a checker of what they saw.
//!
//! After Kingsbury and Alvaro, "Elle" (VLDB 2020): each list shows in which order its versions were written, so reads-from,
//! overwrites and read-past edges between committed transactions are known, and a cycle of them is an anomaly no serial order
//! explains; of what REPEATABLE READ forbids a cycle has at most one read-past edge, of what READ COMMITTED forbids none. Besides: no aborted append is ever seen, no acknowledged one is lost, and of a transaction whose commit got no
//! answer all is there or nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand::Rng;
use tokio::sync::Mutex;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::server::{Server, ServerOptions, connect};
use crate::tpcc::LEVELS;

/// Keys in use at once; few, so that transactions meet.
const KEYS: u64 = 6;
/// Transactions after which other keys are used, so that lists stay short.
const TURN: u64 = 300;

#[derive(Clone, Debug)]
pub struct ElleOptions {
    pub data_dir: PathBuf,
    pub time: Duration,
    pub clients: usize,
    /// Between two kill -9.
    pub crash_every: Duration,
    /// One of [`LEVELS`].
    pub level: &'static str,
    /// Switches the server's checks off: anomalies must be found.
    pub weakened: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct ElleReport {
    pub committed: usize,
    pub failed: usize,
    pub unknown: usize,
    pub crashes: usize,
    pub edges: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Committed,
    Aborted,
    /// No answer to COMMIT.
    Unknown,
}

#[derive(Debug)]
struct Transaction {
    /// How many crashes had been when it began, and milliseconds into the run of its begin and end.
    crashes: usize,
    during: (u128, u128),
    reads: Vec<(u64, Vec<u64>)>,
    appends: Vec<(u64, u64)>,
    outcome: Outcome,
}

struct Shared {
    began: Instant,
    crashes: AtomicUsize,
    port: AtomicU16,
    next: AtomicU64,
    level: &'static str,
    stop: AtomicBool,
    history: Mutex<Vec<Transaction>>,
}

/// Runs and checks; what is wrong with the history is the error.
pub async fn run(options: &ElleOptions) -> Result<ElleReport, String> {
    let mut server_options = ServerOptions::new(&options.data_dir);
    if options.weakened {
        let check = match LEVELS.iter().position(|level| *level == options.level) {
            Some(0) => "write.newest.unchecked=error",
            Some(1) => "write.snapshot.unchecked=error",
            _ => "txn.serializable.unchecked=error",
        };
        server_options = server_options.env("HELIOSDB_FAILPOINTS", check);
    }
    let start = || async { Server::start(&server_options).await.map_err(|error| error.to_string()) };
    let mut server = start().await?;
    let shared = Arc::new(Shared {
        began: Instant::now(),
        crashes: AtomicUsize::new(0),
        port: AtomicU16::new(server.pg_port),
        next: AtomicU64::new(0),
        level: options.level,
        stop: AtomicBool::new(false),
        history: Mutex::new(Vec::new()),
    });
    let control = server.connect().await.map_err(|error| error.to_string())?;
    let setup = "CREATE TABLE lists (k int PRIMARY KEY, v text NOT NULL);
        INSERT INTO lists SELECT n, '' FROM generate_series(0, 11999) n";
    control.batch_execute(setup).await.map_err(|error| error.to_string())?;
    let clients: Vec<_> = (0..options.clients).map(|_| tokio::spawn(client(Arc::clone(&shared)))).collect();
    let began = shared.began;
    let mut report = ElleReport::default();
    while began.elapsed() < options.time {
        tokio::time::sleep(options.crash_every.min(options.time - began.elapsed().min(options.time))).await;
        if began.elapsed() < options.time {
            server.kill().map_err(|error| error.to_string())?;
            server = start().await?;
            shared.port.store(server.pg_port, Ordering::Release);
            report.crashes += 1;
            shared.crashes.store(report.crashes, Ordering::Release);
        }
    }
    shared.stop.store(true, Ordering::Release);
    for client in clients {
        client.await.map_err(|error| error.to_string())?;
    }
    let control = server.connect().await.map_err(|error| error.to_string())?;
    let last = read(&control, "SELECT k, v FROM lists WHERE v <> '' ORDER BY k").await.map_err(|e| e.to_string())?;
    let history = std::mem::take(&mut *shared.history.lock().await);
    check(&history, &last.into_iter().collect(), options.level, report)
}

async fn client(shared: Arc<Shared>) {
    while !shared.stop.load(Ordering::Acquire) {
        let Ok(client) = connect(shared.port.load(Ordering::Acquire)).await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        while !shared.stop.load(Ordering::Acquire) && !client.is_closed() {
            let transaction = transact(&client, &shared).await;
            shared.history.lock().await.push(transaction);
        }
    }
}

async fn transact(client: &Client, shared: &Shared) -> Transaction {
    let now = || shared.began.elapsed().as_millis();
    let crashes = shared.crashes.load(Ordering::Acquire);
    let (reads, appends) = (Vec::new(), Vec::new());
    let mut done = Transaction { crashes, during: (now(), 0), reads, appends, outcome: Outcome::Aborted };
    if operations(client, shared, &mut done).await.is_err() {
        // Whatever was begun is over; a lost connection loses it as well.
        let _ = client.simple_query("ROLLBACK").await;
        return done;
    }
    done.outcome = match client.simple_query("COMMIT").await {
        Ok(_) => Outcome::Committed,
        Err(error) if error.as_db_error().is_some() => {
            let _ = client.simple_query("ROLLBACK").await;
            Outcome::Aborted
        }
        Err(_) => Outcome::Unknown,
    };
    done.during.1 = now();
    done
}

async fn operations(client: &Client, shared: &Shared, done: &mut Transaction) -> Result<(), tokio_postgres::Error> {
    client.simple_query(&format!("BEGIN ISOLATION LEVEL {}", shared.level)).await?;
    let turn = shared.next.fetch_add(1, Ordering::Relaxed) / TURN;
    let base = turn % 2_000 * KEYS;
    let below = |n: u64| rand::rng().random_range(0..n);
    let count = 1 + below(4);
    for _ in 0..count {
        let (key, kind) = (base + below(KEYS), below(5));
        match kind {
            0 | 1 => {
                done.reads.extend(read(client, &format!("SELECT k, v FROM lists WHERE k = {key}")).await?);
            }
            2 => {
                let range = format!("SELECT k, v FROM lists WHERE k BETWEEN {key} AND {}", key + 2);
                done.reads.extend(read(client, &range).await?);
            }
            _ => {
                let value = shared.next.fetch_add(1, Ordering::Relaxed) + 1_000_000_000;
                done.appends.push((key, value));
                client.simple_query(&format!("UPDATE lists SET v = v || ' {value}' WHERE k = {key}")).await?;
            }
        }
    }
    Ok(())
}

async fn read(client: &Client, sql: &str) -> Result<Vec<(u64, Vec<u64>)>, tokio_postgres::Error> {
    let mut lists = Vec::new();
    for message in client.simple_query(sql).await? {
        if let SimpleQueryMessage::Row(row) = message {
            let numbers = |at| row.get(at).unwrap_or("").split_whitespace().filter_map(|n: &str| n.parse().ok());
            lists.push((numbers(0).next().unwrap_or(0), numbers(1).collect()));
        }
    }
    Ok(lists)
}

/// What the history says, or what is wrong with it.
fn check(
    history: &[Transaction],
    last: &BTreeMap<u64, Vec<u64>>,
    level: &str,
    mut report: ElleReport,
) -> Result<ElleReport, String> {
    let writer: HashMap<u64, usize> = history
        .iter()
        .enumerate()
        .flat_map(|(at, txn)| txn.appends.iter().map(move |(_, value)| (*value, at)))
        .collect();
    let mut seen: BTreeSet<u64> = BTreeSet::new();
    for value in last.values().flatten() {
        if !seen.insert(*value) {
            return Err(format!("{value} is there twice"));
        }
    }
    let mut committed = vec![false; history.len()];
    for (at, txn) in history.iter().enumerate() {
        let there = txn.appends.iter().filter(|(_, value)| seen.contains(value)).count();
        committed[at] = match txn.outcome {
            Outcome::Committed if there < txn.appends.len() => {
                return Err(format!("an acknowledged append is lost: {txn:?}"));
            }
            Outcome::Aborted if there > 0 => return Err(format!("an aborted append is there: {txn:?}")),
            Outcome::Unknown if there > 0 && there < txn.appends.len() => {
                return Err(format!("half a commit: {txn:?}"));
            }
            Outcome::Committed => true,
            Outcome::Aborted => false,
            Outcome::Unknown => there > 0,
        };
        match txn.outcome {
            Outcome::Committed => report.committed += 1,
            Outcome::Aborted => report.failed += 1,
            Outcome::Unknown => report.unknown += 1,
        }
    }
    // Overwrites and reads-from; and read-past.
    let (mut edges, mut past) = (BTreeSet::<(usize, usize)>::new(), BTreeSet::<(usize, usize)>::new());
    for list in last.values() {
        edges.extend(list.windows(2).filter_map(|pair| Some((*writer.get(&pair[0])?, *writer.get(&pair[1])?))));
    }
    for (at, txn) in history.iter().enumerate().filter(|(at, _)| committed[*at]) {
        for (key, list) in &txn.reads {
            let full = last.get(key).map_or(&[][..], Vec::as_slice);
            if full.get(..list.len()) != Some(list.as_slice()) {
                return Err(format!("list {key} was read as {list:?} and is {full:?}"));
            }
            edges.extend(list.last().and_then(|value| writer.get(value)).map(|from| (*from, at)));
            past.extend(full.get(list.len()).and_then(|value| writer.get(value)).map(|to| (at, *to)));
        }
    }
    edges.retain(|(from, to)| from != to);
    past.retain(|(from, to)| from != to);
    report.edges = edges.len() + past.len();
    match LEVELS.iter().position(|known| *known == level) {
        Some(0) => {}
        Some(1) => {
            if let Some((reader, writer)) = past.iter().find(|(reader, writer)| leads_to(&edges, *writer, *reader)) {
                let (reader, writer) = (&history[*reader], &history[*writer]);
                return Err(format!("a transaction read past another that comes before it:\n{reader:?}\n{writer:?}"));
            }
        }
        _ => edges.extend(past),
    }
    let stuck = on_or_behind_cycles(&edges);
    if stuck.is_empty() {
        return Ok(report);
    }
    let told = |txn: &Transaction| {
        let Transaction { crashes, during: (begin, end), reads, appends, outcome } = txn;
        format!("\n  after {crashes} crashes, {begin} to {end} ms, {outcome:?}: read {reads:?}, appended {appends:?}")
    };
    let cycle: String = shortest_cycle(&edges, &stuck).iter().map(|at| told(&history[*at])).collect();
    Err(format!(
        "{} of {} transactions have no serial order, for each comes before the next:{cycle}\n  and the last before the first",
        stuck.len(),
        report.committed
    ))
}

/// Whether there is a way from one node to another.
fn leads_to(edges: &BTreeSet<(usize, usize)>, from: usize, to: usize) -> bool {
    let (mut seen, mut next) = (BTreeSet::from([from]), vec![from]);
    while let Some(node) = next.pop() {
        if node == to {
            return true;
        }
        next.extend(edges.range((node, 0)..=(node, usize::MAX)).map(|(_, to)| *to).filter(|to| seen.insert(*to)));
    }
    false
}

/// The shortest way from one of these nodes back to itself.
fn shortest_cycle(edges: &BTreeSet<(usize, usize)>, among: &BTreeSet<usize>) -> Vec<usize> {
    let back = |start: usize| {
        let mut from: BTreeMap<usize, usize> = BTreeMap::new();
        let mut next = VecDeque::from([start]);
        while let Some(node) = next.pop_front() {
            for (_, to) in edges.range((node, 0)..=(node, usize::MAX)).filter(|(_, to)| among.contains(to)) {
                if *to == start {
                    let mut way = vec![node];
                    while let Some(before) = way.last().and_then(|last| from.get(last)) {
                        way.push(*before);
                    }
                    way.reverse();
                    return Some(way);
                }
                if !from.contains_key(to) {
                    from.insert(*to, node);
                    next.push_back(*to);
                }
            }
        }
        None
    };
    among.iter().filter_map(|start| back(*start)).min_by_key(Vec::len).unwrap_or_default()
}

/// What is left when nodes nothing leads to are taken away, again and again.
fn on_or_behind_cycles(edges: &BTreeSet<(usize, usize)>) -> BTreeSet<usize> {
    let mut into: HashMap<usize, usize> = HashMap::new();
    let mut out: HashMap<usize, Vec<usize>> = HashMap::new();
    for (from, to) in edges {
        *into.entry(*to).or_insert(0) += 1;
        into.entry(*from).or_insert(0);
        out.entry(*from).or_default().push(*to);
    }
    let mut free: Vec<usize> = into.iter().filter(|(_, count)| **count == 0).map(|(node, _)| *node).collect();
    while let Some(node) = free.pop() {
        for to in out.get(&node).into_iter().flatten() {
            let count = into.get_mut(to).expect("counted before");
            *count -= 1;
            if *count == 0 {
                free.push(*to);
            }
        }
    }
    into.into_iter().filter(|(_, count)| *count > 0).map(|(node, _)| node).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn txn(reads: &[(u64, &[u64])], appends: &[(u64, u64)], outcome: Outcome) -> Transaction {
        let reads = reads.iter().map(|(key, list)| (*key, list.to_vec())).collect();
        Transaction { crashes: 0, during: (0, 0), reads, appends: appends.to_vec(), outcome }
    }

    #[test]
    fn write_skew_lost_appends_and_half_commits_are_found() {
        use Outcome::{Aborted, Committed, Unknown};
        let check = |history: &[Transaction], last: &[(u64, &[u64])]| {
            let last = last.iter().map(|(key, list)| (*key, list.to_vec())).collect();
            check(history, &last, LEVELS[2], ElleReport::default())
        };
        let fine = [txn(&[(1, &[])], &[(1, 10)], Committed), txn(&[(1, &[10])], &[(2, 20)], Committed)];
        assert!(check(&fine, &[(1, &[10]), (2, &[20])]).is_ok());
        let skew = [txn(&[(1, &[])], &[(2, 20)], Committed), txn(&[(2, &[])], &[(1, 10)], Committed)];
        let found = check(&skew, &[(1, &[10]), (2, &[20])]).unwrap_err();
        assert!(found.contains("2 of 2") && found.matches("appended").count() == 2, "{found}");
        assert!(check(&fine, &[(2, &[20])]).unwrap_err().contains("lost"));
        assert!(check(&[txn(&[], &[(1, 10)], Aborted)], &[(1, &[10])]).unwrap_err().contains("aborted"));
        let at = |level: &str| {
            let last = BTreeMap::from([(1, vec![10, 20])]);
            // The second overwrites the first without having read it.
            let lost = [txn(&[], &[(1, 10)], Committed), txn(&[(1, &[])], &[(1, 20)], Committed)];
            super::check(&lost, &last, level, ElleReport::default())
        };
        assert!(at(LEVELS[0]).is_ok() && at(LEVELS[1]).unwrap_err().contains("read past") && at(LEVELS[2]).is_err());
        let half = [txn(&[], &[(1, 10), (2, 20)], Unknown)];
        assert!(check(&half, &[(1, &[10])]).unwrap_err().contains("half"));
    }
}
