//! Mutated statements: refused or understood, never a panic, an internal error or an hour.

use std::sync::Weak;
use std::time::Duration;

use heliosdb_types::SqlState;

use super::*;

#[path = "../../../../../fuzz/driver.rs"]
mod driver;

/// The statements of the golden transcripts: everything we say that we can do.
fn seeds() -> Vec<String> {
    let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../testkit/golden"))];
    let mut seeds = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "sql") {
                let text = std::fs::read_to_string(path).unwrap();
                let statements = text.split(";\n").map(str::trim).filter(|sql| !sql.is_empty() && sql.len() < 500);
                seeds.extend(statements.filter(|sql| !sql.starts_with('\\')).map(str::to_owned));
            }
        }
    }
    assert!(seeds.len() > 1000);
    seeds
}

const WORDS: [&str; 44] = [
    "SELECT ",
    " FROM ",
    " WHERE ",
    " AND ",
    " NOT ",
    "NULL",
    "(",
    ")",
    ",",
    "'",
    "\"",
    "$1",
    "::int",
    "::text",
    "::numeric",
    "::jsonb",
    "::date",
    "*",
    "+",
    "-",
    "=",
    "t",
    "a",
    "1",
    "0",
    "9223372036854775807",
    "1e400",
    " JOIN ",
    " ON ",
    " GROUP BY ",
    " ORDER BY ",
    " UNION ",
    "count(*)",
    "array[",
    "]",
    " IN (SELECT ",
    " CASE WHEN ",
    " END",
    " OVER (",
    "now()",
    "--",
    "/*",
    "\\",
    ".",
];

/// The transcripts' tables, types and views, as far as they can be made beside one another: names that mean something.
fn server() -> Server {
    let server = Server::new();
    let mut client = server.client();
    for sql in seeds() {
        let words: Vec<&str> = sql.split_whitespace().map(|word| word.trim_matches('(')).take(2).collect();
        if matches!(words[..], ["CREATE", "TABLE" | "TYPE" | "VIEW" | "SEQUENCE" | "SCHEMA" | "INDEX"]) {
            client.run(&sql);
        }
    }
    server
}

/// Time flies, so that what waits (`pg_sleep`, a lock) meets `statement_timeout` soon. Ends with the server.
fn hurry(clock: SimClock, alive: Weak<()>) {
    std::thread::spawn(move || {
        while alive.upgrade().is_some() {
            clock.advance(Duration::from_secs(10));
            std::thread::sleep(Duration::from_millis(1));
        }
    });
}

/// A mutation may ask for more rows than there is time for: what can be large is bound, and not run.
fn may_be_large(sql: &str) -> bool {
    let lower = sql.to_ascii_lowercase();
    let many = ["generate_series", "recursive", "repeat", "pad(", "array_fill", "timeout", "sleep", "vacuum"];
    lower.len() > 200 || many.iter().any(|word| lower.contains(word)) || lower.matches("from").count() > 2
}

#[test]
fn fuzz_sql() {
    let server = server();
    let pool = Arc::clone(&server.pool);
    let alive = Arc::new(());
    hurry(server.clock.clone(), Arc::downgrade(&alive));
    let seeds: Vec<Vec<u8>> = seeds().into_iter().map(String::into_bytes).collect();
    driver::fuzz("sql", &seeds, &WORDS, |bytes| {
        let Ok(sql) = std::str::from_utf8(bytes) else { return };
        // A session of its own, whose statement is never finished: whatever it did, it has not happened.
        let mut client = server.client();
        client.run("SET statement_timeout = '100h'");
        let sql = sql.to_owned();
        let run = async move {
            let session = &mut client.session;
            let outcome = async {
                let mut statements = session.parse_script(&sql)?;
                let alone = statements.len() == 1;
                for statement in statements.drain(..) {
                    let prepared = session.prepare_script(&*statement).await?;
                    if !alone || may_be_large(&sql) {
                        continue;
                    }
                    if let Execution::Rows { mut rows, .. } = session.execute(&prepared, Vec::new()).await? {
                        rows.next().await.transpose()?;
                    }
                }
                Ok::<_, heliosdb_types::Error>(())
            };
            let outcome = outcome.await;
            if let Err(error) = &outcome {
                session.fail(error);
            }
            (outcome, sql)
        };
        // On a worker, whose stack is as large as in the server; a panic there is one here.
        let (outcome, sql) = pool.block_on(async { pool.handle().spawn(run).await }).unwrap();
        if let Err(error) = outcome {
            assert!(error.state() != SqlState::INTERNAL_ERROR, "{error:?} for {sql}");
        }
    });
    drop(alive);
}
