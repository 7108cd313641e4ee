//! Uniqueness, references and upserts when several sessions write at once.

use heliosdb_testkit::server::{Server, ServerOptions};

use crate::{blocked, code, value};

struct Place {
    _dir: tempfile::TempDir,
    server: Server,
}

async fn place(setup: &str) -> Place {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&ServerOptions::new(dir.path().join("data"))).await.unwrap();
    server.connect().await.unwrap().batch_execute(setup).await.unwrap();
    Place { _dir: dir, server }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_unique_value_waits_and_then_fails_or_goes_in() {
    let place = place("CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE); INSERT INTO t VALUES (1, 10)").await;
    let (a, b) = (place.server.connect().await.unwrap(), place.server.connect().await.unwrap());
    a.batch_execute("BEGIN; INSERT INTO t VALUES (2, 20)").await.unwrap();
    let mut waiting = tokio::spawn(async move { (b.execute("INSERT INTO t VALUES (3, 20)", &[]).await, b) });
    assert!(blocked(&mut waiting).await);
    a.batch_execute("COMMIT").await.unwrap();
    let (outcome, b) = waiting.await.unwrap();
    assert_eq!(code(&outcome.unwrap_err()), "23505");
    // A rollback lets the other in, and so does the end of a delete.
    a.batch_execute("BEGIN; UPDATE t SET u = 30 WHERE id = 2").await.unwrap();
    let mut waiting = tokio::spawn(async move { (b.execute("INSERT INTO t VALUES (3, 30)", &[]).await, b) });
    assert!(blocked(&mut waiting).await);
    a.batch_execute("ROLLBACK").await.unwrap();
    let (outcome, b) = waiting.await.unwrap();
    assert_eq!(outcome.unwrap(), 1);
    a.batch_execute("BEGIN; DELETE FROM t WHERE u = 10").await.unwrap();
    let mut waiting = tokio::spawn(async move { (b.execute("INSERT INTO t VALUES (4, 10)", &[]).await, b) });
    assert!(blocked(&mut waiting).await);
    a.batch_execute("COMMIT").await.unwrap();
    let (outcome, b) = waiting.await.unwrap();
    assert_eq!(outcome.unwrap(), 1);
    assert_eq!(value(&b, "SELECT string_agg(id || ':' || u, ' ' ORDER BY id) FROM t").await, "2:20 3:30 4:10");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upserts_neither_lose_nor_duplicate_anything() {
    let place = place("CREATE TABLE t (id serial PRIMARY KEY, k int UNIQUE, n int NOT NULL)").await;
    let mut writers = Vec::new();
    for writer in 0..8u32 {
        let client = place.server.connect().await.unwrap();
        writers.push(tokio::spawn(async move {
            let mut added = 0i64;
            for round in 0..40u32 {
                let key = ((writer * 7 + round * 3) % 10) as i32;
                let upsert = "INSERT INTO t (k, n) VALUES ($1, 1) ON CONFLICT (k) DO UPDATE SET n = t.n + 1";
                assert_eq!(client.execute(upsert, &[&key]).await.unwrap(), 1);
                added += 1;
                if round % 10 == 9 {
                    // Rows go and come back while others upsert them.
                    let gone = client.query("DELETE FROM t WHERE k = $1 RETURNING n", &[&key]).await.unwrap();
                    added -= gone.iter().map(|row| i64::from(row.get::<_, i32>(0))).sum::<i64>();
                }
            }
            added
        }));
    }
    let mut total = 0;
    for writer in writers {
        total += writer.await.unwrap();
    }
    let client = place.server.connect().await.unwrap();
    assert_eq!(value(&client, "SELECT sum(n) FROM t").await, total.to_string());
    assert_eq!(value(&client, "SELECT count(*) - count(DISTINCT k) FROM t").await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_left_without_a_parent() {
    let setup = "CREATE TABLE p (id int PRIMARY KEY, v int); CREATE TABLE c (p int REFERENCES p ON DELETE CASCADE); \
                 CREATE TABLE r (p int REFERENCES p); INSERT INTO p SELECT g, 0 FROM generate_series(1, 20) AS g";
    let place = place(setup).await;
    let (a, b) = (place.server.connect().await.unwrap(), place.server.connect().await.unwrap());
    // A child holds its parent, but not what does not touch its key.
    a.batch_execute("BEGIN; INSERT INTO r VALUES (1)").await.unwrap();
    assert_eq!(b.execute("UPDATE p SET v = 1 WHERE id = 1", &[]).await.unwrap(), 1);
    let mut waiting = tokio::spawn(async move { (b.execute("DELETE FROM p WHERE id = 1", &[]).await, b) });
    assert!(blocked(&mut waiting).await);
    a.batch_execute("COMMIT").await.unwrap();
    let (outcome, b) = waiting.await.unwrap();
    assert_eq!(code(&outcome.unwrap_err()), "23503");
    // A parent that goes takes a child that comes with it, or keeps it out.
    a.batch_execute("BEGIN; DELETE FROM p WHERE id = 2").await.unwrap();
    let mut waiting = tokio::spawn(async move { (b.execute("INSERT INTO c VALUES (2)", &[]).await, b) });
    assert!(blocked(&mut waiting).await);
    a.batch_execute("COMMIT").await.unwrap();
    assert_eq!(code(&waiting.await.unwrap().0.unwrap_err()), "23503");
    let mut writers = Vec::new();
    for writer in 0..6u32 {
        let client = place.server.connect().await.unwrap();
        writers.push(tokio::spawn(async move {
            for round in 0..30u32 {
                let id = (3 + (writer * 5 + round * 7) % 18) as i32;
                let sql = match (writer + round) % 3 {
                    0 => "DELETE FROM p WHERE id = $1",
                    1 => "INSERT INTO c VALUES ($1)",
                    _ => "INSERT INTO p VALUES ($1, 0) ON CONFLICT DO NOTHING",
                };
                if let Err(error) = client.execute(sql, &[&id]).await {
                    assert!(matches!(code(&error), "23503" | "40P01"), "{error:?}");
                }
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let orphans = "SELECT count(*) FROM c LEFT JOIN p ON p.id = c.p WHERE p.id IS NULL";
    let client = place.server.connect().await.unwrap();
    assert_eq!(value(&client, orphans).await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_made_beside_writers_has_all_their_rows() {
    let place = place(
        "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT g, g FROM generate_series(1, 500) AS g",
    )
    .await;
    let writer = place.server.connect().await.unwrap();
    let writing = tokio::spawn(async move {
        for id in 1000..1200i32 {
            writer.execute("INSERT INTO t VALUES ($1, $1)", &[&id]).await.unwrap();
        }
    });
    let client = place.server.connect().await.unwrap();
    client.batch_execute("CREATE UNIQUE INDEX i ON t (v)").await.unwrap();
    writing.await.unwrap();
    let error = client.execute("INSERT INTO t SELECT id + 10000, v FROM t WHERE id IN (1001, 1199)", &[]).await;
    assert_eq!(code(&error.unwrap_err()), "23505");
    for id in [1000, 1050, 1100, 1150, 1199] {
        let found = value(&client, &format!("SELECT id FROM t WHERE v = {id}")).await;
        assert_eq!(found, id.to_string());
    }
}
