//! Indexes made while others write: in the end index and table agree.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use heliosdb_testkit::server::{Server, ServerOptions};
use tokio_postgres::Client;

use crate::{code, value};

const ROWS: i64 = 3000;

/// Small pseudo-random numbers.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % limit as u64) as i64
    }
}

/// Writes until told to stop. Keys are unique but for a writer's mistakes, which a unique index may or may not refuse.
async fn write(client: Client, seed: u64, stop: Arc<AtomicBool>, written: Arc<AtomicU64>) {
    let mut numbers = Numbers(seed);
    let mut next = 1_000_000 * (seed as i64 + 1);
    while !stop.load(Ordering::Relaxed) {
        let (id, other) = (numbers.below(ROWS), numbers.below(ROWS));
        next += 1;
        let sql = match numbers.below(6) {
            0 => format!("INSERT INTO t VALUES ({next}, {next}, 'new{next}')"),
            1 => format!("DELETE FROM t WHERE id = {id}"),
            2 => format!("UPDATE t SET s = s || 'x' WHERE id = {id}"),
            3 => format!("INSERT INTO t VALUES ({id}, {id}, 'again') ON CONFLICT (id) DO UPDATE SET k = {next}"),
            4 => format!(
                "BEGIN; UPDATE t SET k = {next} WHERE id = {id}; UPDATE t SET k = -{next} WHERE id = {other}; COMMIT"
            ),
            _ => format!("BEGIN; UPDATE t SET k = {next}, id = {next} WHERE id = {id}; ROLLBACK"),
        };
        match client.batch_execute(&sql).await {
            Ok(()) => {
                written.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                // Deadlocks of the writers among themselves, and keys that are taken.
                assert!(["40P01", "23505"].contains(&code(&error)), "{sql}: {error}");
                client.batch_execute("ROLLBACK").await.unwrap();
            }
        }
    }
}

/// Every row is found by its key through the index, and nothing else is.
async fn agree(client: &Client, index: &str) {
    let plan = value(client, "EXPLAIN SELECT id FROM t WHERE k = 1").await;
    assert!(plan.contains(&format!("Index Scan using {index}")), "{plan}");
    let rows = client.query("SELECT id, k FROM t", &[]).await.unwrap();
    let by_key: BTreeMap<i64, i64> = rows.iter().map(|row| (row.get::<_, i64>(1), row.get::<_, i64>(0))).collect();
    assert_eq!(by_key.len(), rows.len(), "keys are unique");
    let find = client.prepare("SELECT id FROM t WHERE k = $1").await.unwrap();
    for (key, id) in &by_key {
        let found: Vec<i64> = client.query(&find, &[key]).await.unwrap().iter().map(|row| row.get(0)).collect();
        assert_eq!(found, [*id], "key {key}");
    }
    let in_order = client.query("SELECT k FROM t ORDER BY k LIMIT 60", &[]).await.unwrap();
    let in_order: Vec<i64> = in_order.iter().map(|row| row.get(0)).collect();
    assert_eq!(in_order, by_key.keys().copied().take(60).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unique_index_made_beside_writers_has_every_row() {
    let place = tempfile::tempdir().unwrap();
    let server = Server::start(&ServerOptions::new(place.path().join("data"))).await.unwrap();
    let client = server.connect().await.unwrap();
    let fill = format!("INSERT INTO t SELECT g, g, 's' || g FROM generate_series(0, {}) g", ROWS - 1);
    client.batch_execute("CREATE TABLE t (id bigint PRIMARY KEY, k bigint, s text)").await.unwrap();
    client.batch_execute(&fill).await.unwrap();
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut writers = Vec::new();
    for seed in 0..4 {
        let writer = server.connect().await.unwrap();
        writers.push(tokio::spawn(write(writer, seed, Arc::clone(&stop), Arc::clone(&written))));
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    for round in 0..3 {
        let before = written.load(Ordering::Relaxed);
        // `again` rows may share a key with another for a while: then the index stays invalid and is made once more.
        let mut made = false;
        for _ in 0..20 {
            match client.batch_execute("CREATE UNIQUE INDEX CONCURRENTLY i ON t (k)").await {
                Ok(()) => made = true,
                Err(error) => {
                    assert_eq!(code(&error), "23505", "{error}");
                    client.batch_execute("DROP INDEX CONCURRENTLY i").await.unwrap();
                    client
                        .batch_execute("DELETE FROM t a USING t b WHERE a.k = b.k AND a.id > b.id")
                        .await
                        .unwrap_or_else(|error| assert_eq!(code(&error), "40P01", "{error}"));
                    continue;
                }
            }
            break;
        }
        assert!(made, "no attempt of round {round} met unique keys");
        assert!(written.load(Ordering::Relaxed) > before, "writers went on");
        if round == 1 {
            client.batch_execute("REINDEX INDEX CONCURRENTLY i").await.unwrap();
        }
        if round < 2 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            client.batch_execute("DROP INDEX CONCURRENTLY i").await.unwrap();
        }
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    agree(&client, "i").await;
    let duplicate = client.batch_execute("INSERT INTO t SELECT 77, k FROM t WHERE id <> 77 LIMIT 1").await;
    assert!(duplicate.is_err(), "the index is enforced");
    assert_eq!(value(&client, "SELECT count(*) FROM pg_stat_progress_create_index").await, "0");
}
