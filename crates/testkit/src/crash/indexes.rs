//! kill -9 while indexes are made, made again and dropped beside writers.
//!
//! After each restart: what CREATE INDEX acknowledged is there and valid, what it was about is there, listed as invalid, or not at
//! all; an invalid index is not read, goes by DROP INDEX and can be made anew; of a valid one every row is found by its key,
//! and nothing else is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_postgres::Client;

use super::check::{describe, rows};
use crate::server::{Server, ServerOptions};

/// Points on the way of an index where a cycle may die.
pub(super) const FAILPOINTS: &[&str] =
    &["index.completed", "index.dropping", "index.filled", "index.filling", "index.listed", "index.swapped"];
/// And where its commits may.
const LOG_FAILPOINTS: &[&str] = &["commit.appended", "freeze.segments_written", "wal.after_sync", "wal.before_sync"];

const ROWS: i64 = 1500;
const WRITERS: u64 = 3;

struct Index {
    name: &'static str,
    unique: bool,
    /// What stands after ON t.
    on: &'static str,
    /// What it finds rows by, and what a query has to say besides.
    key: &'static str,
    besides: &'static str,
}

const INDEXES: [Index; 4] = [
    Index { name: "t_k", unique: false, on: "(k)", key: "k", besides: "" },
    Index { name: "t_u", unique: true, on: "(u)", key: "u", besides: "" },
    Index { name: "t_s", unique: false, on: "(lower(s))", key: "lower(s)", besides: "" },
    Index { name: "t_p", unique: false, on: "(p) WHERE p IS NOT NULL", key: "p", besides: " AND p IS NOT NULL" },
];

#[derive(Clone, Debug)]
pub struct IndexOptions {
    pub data_dir: PathBuf,
    pub cycles: u32,
    pub seed: u64,
    /// Looks at each so manieth key of an index only.
    pub every: usize,
}

/// What a run saw.
#[derive(Clone, Copy, Debug, Default)]
pub struct IndexReport {
    pub cycles: u32,
    pub statements: u64,
    pub failpoint_deaths: u32,
    /// Restarts with a build or a drop in flight.
    pub interrupted: u32,
    pub left_invalid: u32,
    /// Indexes whose entries were looked at.
    pub checked: u32,
    /// Indexes that the planner did not take for a key that one row has: where zone maps leave few rows of the table, reading
    /// those is cheaper than the index. What is looked up then says nothing about the index.
    pub not_taken: u32,
}

impl IndexReport {
    fn count(&mut self, taken: bool) {
        if taken {
            self.checked += 1;
        } else {
            self.not_taken += 1;
        }
    }
}

/// What the one who makes indexes knows.
#[derive(Clone, Debug, Default)]
struct Model {
    made: BTreeSet<&'static str>,
    in_flight: Option<Action>,
    statements: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Create(&'static str, bool),
    Drop(&'static str, bool),
    /// What is made again is there, and valid, all the time.
    Again,
}

pub async fn run(options: &IndexOptions) -> Result<IndexReport, String> {
    let mut rng = StdRng::seed_from_u64(options.seed);
    let (mut model, mut report) = (Model::default(), IndexReport::default());
    for cycle in 0..=options.cycles {
        let last = cycle == options.cycles;
        let outcome = one_cycle(options, last, &mut rng, &mut model, &mut report).await;
        outcome.map_err(|why| format!("index cycle {cycle} of seed {}: {why}", options.seed))?;
        report.cycles = cycle;
    }
    report.statements = model.statements;
    Ok(report)
}

async fn one_cycle(
    options: &IndexOptions,
    last: bool,
    rng: &mut StdRng,
    model: &mut Model,
    report: &mut IndexReport,
) -> Result<(), String> {
    let mut start = ServerOptions::new(&options.data_dir)
        .env("HELIOSDB_STORAGE_MEMTABLE_BYTES", "262144")
        .env("HELIOSDB_STORAGE_WAL_FILE_BYTES", "1048576")
        .env("HELIOSDB_LOG", "warn");
    let failpoint = match rng.random_range(0..4) {
        _ if last => None,
        0 => Some((LOG_FAILPOINTS[rng.random_range(0..LOG_FAILPOINTS.len())], 0.01)),
        1 | 2 => Some((FAILPOINTS[rng.random_range(0..FAILPOINTS.len())], rng.random_range(0.1..0.6))),
        _ => None,
    };
    if let Some((name, chance)) = failpoint {
        start = start.env("HELIOSDB_FAILPOINTS", format!("{name}=crash({chance:.2})"));
    }
    let may_die = failpoint.is_some();
    let mut server = match Server::start(&start).await {
        Ok(server) => server,
        Err(_) if may_die => {
            report.failpoint_deaths += 1;
            return Ok(());
        }
        Err(error) => return Err(format!("could not start: {error}")),
    };
    if let Err(why) = verify(&server, model, report, options.every, rng).await {
        tokio::time::sleep(Duration::from_millis(300)).await;
        if may_die && server.ended().is_some() {
            report.failpoint_deaths += 1;
            return Ok(());
        }
        return Err(why);
    }
    if last {
        return Ok(());
    }
    let mut writers = Vec::new();
    for _ in 0..WRITERS {
        let Ok(client) = server.connect().await else { break };
        writers.push(tokio::spawn(write(client, rng.random())));
    }
    let maker = match server.connect().await {
        Ok(client) => Some(tokio::spawn(make(client, model.clone(), rng.random()))),
        Err(_) => None,
    };
    let until = Instant::now() + Duration::from_millis(rng.random_range(30..if may_die { 2500 } else { 900 }));
    while Instant::now() < until && server.ended().is_none() {
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    report.failpoint_deaths += u32::from(server.ended().is_some());
    server.kill().map_err(|error| error.to_string())?;
    for writer in writers {
        writer.await.map_err(|error| error.to_string())??;
    }
    if let Some(maker) = maker {
        *model = maker.await.map_err(|error| error.to_string())??;
    }
    report.interrupted += u32::from(model.in_flight.is_some());
    Ok(())
}

/// Whether an error is one of the server's own rather than its end.
fn answered(client: &Client, error: &tokio_postgres::Error) -> Option<String> {
    let db = error.as_db_error()?;
    (db.code().code() != "57P01" && !client.is_closed()).then(|| db.code().code().to_owned())
}

async fn write(client: Client, seed: u64) -> Result<(), String> {
    let mut rng = StdRng::seed_from_u64(seed);
    loop {
        let (id, other, value) =
            (rng.random_range(0..2 * ROWS), rng.random_range(0..2 * ROWS), rng.random_range(0..i64::from(i32::MAX)));
        let sql = match rng.random_range(0..7) {
            0 => format!("INSERT INTO t VALUES ({id}, {value} % 500, {id}, 'S{value}', NULL)"),
            1 => format!("DELETE FROM t WHERE id = {id}"),
            2 => format!("UPDATE t SET s = 'U{value}', p = {value} % 300 WHERE id = {id}"),
            3 => format!("UPDATE t SET k = {value} % 500 WHERE id IN ({id}, {other})"),
            4 => format!(
                "INSERT INTO t VALUES ({id}, 1, {id}, 'again', 1) ON CONFLICT (id) DO UPDATE SET k = t.k + 1, p = NULL"
            ),
            // Its place among the unique keys stays its own.
            5 => format!("UPDATE t SET u = CASE WHEN u = id THEN id + 100000 ELSE id END WHERE id = {id}"),
            _ => format!(
                "BEGIN; DELETE FROM t WHERE id = {id}; UPDATE t SET k = 7, s = 'no' WHERE id = {other}; ROLLBACK"
            ),
        };
        if let Err(error) = client.batch_execute(&sql).await {
            match answered(&client, &error) {
                None => return Ok(()),
                Some(code) if code == "40P01" || code == "23505" => {
                    if client.batch_execute("ROLLBACK").await.is_err() {
                        return Ok(());
                    }
                }
                Some(_) => return Err(format!("writer: {sql}: {}", describe(&error))),
            }
        }
    }
}

async fn make(client: Client, mut model: Model, seed: u64) -> Result<Model, String> {
    let mut rng = StdRng::seed_from_u64(seed);
    loop {
        let index = &INDEXES[rng.random_range(0..INDEXES.len())];
        let online = rng.random_range(0..3) > 0;
        let concurrently = if online { " CONCURRENTLY" } else { "" };
        let name = index.name;
        let (sql, action) = match (model.made.contains(name), rng.random_range(0..4)) {
            (false, _) => (create(index, online), Action::Create(name, online)),
            (true, 0) => (format!("REINDEX INDEX{concurrently} {name}"), Action::Again),
            (true, 1) => (format!("REINDEX TABLE{concurrently} t"), Action::Again),
            (true, _) => (format!("DROP INDEX{concurrently} {name}"), Action::Drop(name, online)),
        };
        model.in_flight = Some(action.clone());
        match client.batch_execute(&sql).await {
            Ok(()) => {
                model.statements += 1;
                match action {
                    Action::Create(name, _) => _ = model.made.insert(name),
                    Action::Drop(name, _) => _ = model.made.remove(name),
                    Action::Again => {}
                }
                model.in_flight = None;
            }
            Err(error) => match answered(&client, &error) {
                None => return Ok(model),
                // Where a deadlock left it is looked at after the restart.
                Some(code) if code == "40P01" && online && action != Action::Again => return Ok(model),
                Some(code) if code == "40P01" => model.in_flight = None,
                Some(_) => return Err(format!("{sql}: {}", describe(&error))),
            },
        }
    }
}

fn create(index: &Index, online: bool) -> String {
    let Index { name, unique, on, .. } = index;
    let (unique, concurrently) = (if *unique { "UNIQUE " } else { "" }, if online { "CONCURRENTLY " } else { "" });
    format!("CREATE {unique}INDEX {concurrently}{name} ON t {on}")
}

async fn verify(
    server: &Server,
    model: &mut Model,
    report: &mut IndexReport,
    every: usize,
    rng: &mut StdRng,
) -> Result<(), String> {
    let client = server.connect().await.map_err(|error| error.to_string())?;
    if rows(&client, "SELECT 1 FROM pg_class WHERE relname = 't'").await?.is_empty() {
        let script = format!(
            "BEGIN; CREATE TABLE t (id bigint PRIMARY KEY, k bigint NOT NULL, u bigint NOT NULL, s text NOT NULL, p bigint);
             INSERT INTO t SELECT g, g % 500, g, 'S' || g, nullif(g % 300, 0) FROM generate_series(0, {}) g; COMMIT",
            ROWS - 1
        );
        client.batch_execute(&script).await.map_err(|error| describe(&error))?;
    }
    let mut settled = model.clone();
    let listed = rows(
        &client,
        "SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
         WHERE i.indrelid = 't'::regclass AND NOT i.indisprimary",
    )
    .await?;
    let listed: BTreeMap<String, bool> = listed.into_iter().map(|row| (row[0].clone(), row[1] == "t")).collect();
    let in_flight = settled.in_flight.take();
    for index in &INDEXES {
        let name = index.name;
        let (made, found) = (settled.made.contains(name), listed.get(name).copied());
        let allowed = match &in_flight {
            Some(Action::Create(about, online)) if *about == name => found != Some(false) || *online,
            Some(Action::Drop(about, online)) if *about == name => found != Some(false) || *online,
            _ => found == made.then_some(true),
        };
        if !allowed {
            return Err(format!("index {name}: acknowledged {made}, in flight {in_flight:?}, listed as {found:?}"));
        }
        match found {
            Some(true) => _ = settled.made.insert(name),
            Some(false) | None => _ = settled.made.remove(name),
        }
    }
    // Those that are valid are looked at while the others are still there.
    for index in INDEXES.iter().filter(|index| settled.made.contains(index.name)) {
        report.count(check(&client, index, every, rng.random_range(0..every.max(1))).await?);
    }
    for (name, _) in listed.iter().filter(|(name, valid)| !**valid || name.contains("_cc")) {
        let of = INDEXES.iter().find(|index| name.starts_with(index.name));
        let of = of.ok_or_else(|| format!("index {name} is nobody's"))?;
        report.left_invalid += 1;
        let query = format!("EXPLAIN SELECT id FROM t WHERE {} IN ('1'){}", of.key, of.besides);
        let plan = rows(&client, &query).await?;
        if plan.iter().any(|line| line[0].contains(&format!("using {name} "))) {
            return Err(format!("the invalid index {name} is read: {plan:?}"));
        }
        let concurrently = if rng.random() { "CONCURRENTLY " } else { "" };
        let drop = format!("DROP INDEX {concurrently}{name}");
        client.batch_execute(&drop).await.map_err(|error| format!("{drop}: {}", describe(&error)))?;
        if *name == of.name {
            let again = create(of, rng.random());
            client.batch_execute(&again).await.map_err(|error| format!("{again}: {}", describe(&error)))?;
            settled.made.insert(of.name);
            report.count(check(&client, of, every, rng.random_range(0..every.max(1))).await?);
        }
    }
    *model = settled;
    Ok(())
}

/// The index has an entry for each row and no other. False: the planner does not read it.
async fn check(client: &Client, index: &Index, every: usize, from: usize) -> Result<bool, String> {
    let Index { name, key, besides, unique, .. } = index;
    let mut by_key: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows(client, &format!("SELECT {key}, id FROM t ORDER BY id")).await? {
        by_key.entry(row[0].clone()).or_default().push(row[1].clone());
    }
    by_key.remove("NULL");
    let keys: Vec<&String> = by_key.keys().collect();
    // Keys nobody has: an entry that was left behind would give a row.
    let nobody: Vec<String> = (0..300).map(|n| (n * 11).to_string()).filter(|key| !by_key.contains_key(key)).collect();
    let nobody: Vec<&String> = nobody.iter().collect();
    let mut taken = true;
    if let Some((rare, _)) = by_key.iter().min_by_key(|(_, ids)| ids.len()) {
        let query = format!("EXPLAIN SELECT {key}, id FROM t WHERE {key} IN ('{rare}'){besides}");
        let plan = rows(client, &query).await?;
        taken = plan.iter().any(|line| line[0].contains(&format!("using {name}")));
        if !taken {
            println!("{name} is not read of {} keys: {plan:?}", keys.len());
        }
    }
    // Few rows at a time: of more the table would be read as a whole.
    let rows_of_all = by_key.values().map(Vec::len).sum::<usize>();
    let most = (5 * keys.len() / rows_of_all.max(1)).max(1);
    let chunks = keys.chunks(most).chain(nobody.chunks(10));
    for chunk in chunks.skip(from % every.max(1)).step_by(every.max(1)) {
        let list: Vec<String> = chunk.iter().map(|key| format!("'{key}'")).collect();
        let query = format!("SELECT {key}, id FROM t WHERE {key} IN ({}){besides}", list.join(", "));
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in rows(client, &query).await? {
            found.entry(row[0].clone()).or_default().push(row[1].clone());
        }
        found.values_mut().for_each(|ids| ids.sort_by_key(|id| id.parse::<i64>().unwrap_or(-1)));
        for key in chunk {
            let (by_index, by_table) = (found.remove(*key).unwrap_or_default(), by_key.get(*key));
            if Some(&by_index) != by_table && !(by_index.is_empty() && by_table.is_none()) {
                return Err(format!("index {name}: key {key} gives rows {by_index:?}, the table has {by_table:?}"));
            }
        }
        if !found.is_empty() {
            return Err(format!("index {name} gives {found:?}, which was not asked for"));
        }
    }
    if *unique {
        check_unique(client, name, &by_key).await?;
    }
    Ok(taken)
}

/// What is free goes in, what is taken does not.
async fn check_unique(client: &Client, name: &str, by_key: &BTreeMap<String, Vec<String>>) -> Result<(), String> {
    let free = (0..2 * ROWS).flat_map(|n| [n, n + 100_000]).filter(|key| !by_key.contains_key(&key.to_string()));
    let free: Vec<String> = free.map(|key| format!("({}, 0, {key}, '', NULL)", 1_000_000 + key)).collect();
    let insert = format!("BEGIN; INSERT INTO t VALUES {}; ROLLBACK", free.join(", "));
    client.batch_execute(&insert).await.map_err(|error| {
        // The connection is of no use in a failed block, and not needed any more.
        format!("index {name}: keys that no row has are refused: {}", describe(&error))
    })?;
    for taken in by_key.keys().step_by(by_key.len() / 20 + 1) {
        let insert = format!("INSERT INTO t VALUES (2000000, 0, {taken}, '', NULL)");
        match client.batch_execute(&insert).await {
            Ok(()) => return Err(format!("index {name}: key {taken} came in twice")),
            Err(error) if error.as_db_error().is_some_and(|db| db.code().code() == "23505") => {}
            Err(error) => return Err(format!("{insert}: {}", describe(&error))),
        }
    }
    Ok(())
}
