//! READ COMMITTED as PostgreSQL has it: waits, re-checks, deadlocks, timeouts; cancel.

use std::time::{Duration, Instant};

use heliosdb_testkit::server::{Server, ServerOptions};
use tokio_postgres::NoTls;

use crate::{blocked, code, value};

struct Place {
    _dir: tempfile::TempDir,
    server: Server,
}

async fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&ServerOptions::new(dir.path().join("data"))).await.unwrap();
    let client = server.connect().await.unwrap();
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 10), (2, 20)")
        .await
        .unwrap();
    Place { _dir: dir, server }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_waits_and_re_evaluates_on_the_newest_version() {
    let place = place().await;
    let (a, b) = (place.server.connect().await.unwrap(), place.server.connect().await.unwrap());
    a.batch_execute("BEGIN; UPDATE t SET v = v + 1 WHERE id = 1").await.unwrap();
    let mut waiting = tokio::spawn(async move {
        let count = b.execute("UPDATE t SET v = v * 2 WHERE id = 1 AND v = 10", &[]).await;
        (count, b)
    });
    assert!(blocked(&mut waiting).await);
    a.batch_execute("COMMIT").await.unwrap();
    let (count, b) = waiting.await.unwrap();
    assert_eq!(count.unwrap(), 0, "the newest version no longer matches");
    let mut waiting = {
        a.batch_execute("BEGIN; UPDATE t SET v = 100 WHERE id = 1").await.unwrap();
        tokio::spawn(async move { (b.execute("UPDATE t SET v = v + 5 WHERE v >= 11", &[]).await, b) })
    };
    assert!(blocked(&mut waiting).await);
    a.batch_execute("COMMIT").await.unwrap();
    let (count, b) = waiting.await.unwrap();
    assert_eq!(count.unwrap(), 2);
    assert_eq!(value(&b, "SELECT sum(v) FROM t").await, "130");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_deleted_meanwhile_is_skipped() {
    let place = place().await;
    let (a, b) = (place.server.connect().await.unwrap(), place.server.connect().await.unwrap());
    a.batch_execute("BEGIN; DELETE FROM t WHERE id = 1").await.unwrap();
    let mut waiting = tokio::spawn(async move { b.execute("UPDATE t SET v = 0", &[]).await });
    assert!(blocked(&mut waiting).await);
    a.batch_execute("COMMIT").await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_insert_of_the_same_key_waits_for_the_first() {
    let place = place().await;
    let (a, b) = (place.server.connect().await.unwrap(), place.server.connect().await.unwrap());
    a.batch_execute("BEGIN; INSERT INTO t VALUES (3, 30)").await.unwrap();
    let mut waiting = tokio::spawn(async move { (b.execute("INSERT INTO t VALUES (3, 31)", &[]).await, b) });
    assert!(blocked(&mut waiting).await);
    a.batch_execute("ROLLBACK").await.unwrap();
    let (count, b) = waiting.await.unwrap();
    assert_eq!(count.unwrap(), 1);
    assert_eq!(code(&b.execute("INSERT INTO t VALUES (3, 32)", &[]).await.unwrap_err()), "23505");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshots_are_per_statement_and_uncommitted_rows_are_private() {
    let place = place().await;
    let (a, b) = (place.server.connect().await.unwrap(), place.server.connect().await.unwrap());
    a.batch_execute("BEGIN; INSERT INTO t VALUES (3, 30); UPDATE t SET v = 11 WHERE id = 1").await.unwrap();
    assert_eq!(value(&a, "SELECT sum(v) FROM t").await, "61");
    b.batch_execute("BEGIN").await.unwrap();
    assert_eq!(value(&b, "SELECT sum(v) FROM t").await, "30");
    a.batch_execute("COMMIT").await.unwrap();
    assert_eq!(value(&b, "SELECT sum(v) FROM t").await, "61", "READ COMMITTED sees it in the next statement");
    b.batch_execute("COMMIT; BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    assert_eq!(value(&b, "SELECT sum(v) FROM t").await, "61");
    a.batch_execute("UPDATE t SET v = 0").await.unwrap();
    assert_eq!(value(&b, "SELECT sum(v) FROM t").await, "61");
    assert_eq!(code(&b.execute("UPDATE t SET v = 1 WHERE id = 1", &[]).await.unwrap_err()), "40001");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadlocks_are_broken_and_lock_timeout_is_kept() {
    let place = place().await;
    let (a, b) = (place.server.connect().await.unwrap(), place.server.connect().await.unwrap());
    a.batch_execute("BEGIN; UPDATE t SET v = 1 WHERE id = 1").await.unwrap();
    b.batch_execute("BEGIN; UPDATE t SET v = 2 WHERE id = 2").await.unwrap();
    let first = tokio::spawn(async move { (a.execute("UPDATE t SET v = 1 WHERE id = 2", &[]).await, a) });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let second = tokio::spawn(async move { (b.execute("UPDATE t SET v = 2 WHERE id = 1", &[]).await, b) });
    // Whoever is the victim rolls back, which lets the other go on.
    let (mut victims, mut done) = (0, 0);
    let (second_result, b) = second.await.unwrap();
    if let Err(error) = &second_result {
        assert_eq!(code(error), "40P01");
        victims += 1;
        b.batch_execute("ROLLBACK").await.unwrap();
    }
    let (first_result, a) = first.await.unwrap();
    match &first_result {
        Err(error) => {
            assert_eq!(code(error), "40P01");
            victims += 1;
        }
        Ok(_) => done += 1,
    }
    done += u32::from(second_result.is_ok());
    assert_eq!((victims, done), (1, 1));
    a.batch_execute("ROLLBACK").await.unwrap();
    b.batch_execute("ROLLBACK").await.unwrap();

    a.batch_execute("BEGIN; UPDATE t SET v = 1 WHERE id = 1").await.unwrap();
    let began = Instant::now();
    b.batch_execute("SET lock_timeout = '200ms'").await.unwrap();
    assert_eq!(code(&b.execute("UPDATE t SET v = 2 WHERE id = 1", &[]).await.unwrap_err()), "55P03");
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancel_stops_a_statement_and_a_lock_wait() {
    let place = place().await;
    let a = place.server.connect().await.unwrap();
    let token = a.cancel_token();
    let long = "SELECT count(*) FROM generate_series(1, 100000000) a(x), generate_series(1, 1000) b(y) WHERE x % 7 = y";
    let running = tokio::spawn(async move { (a.simple_query(long).await.map(|_| ()), a) });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    token.cancel_query(NoTls).await.unwrap();
    let (result, a) = running.await.unwrap();
    assert_eq!(code(&result.unwrap_err()), "57014");
    assert!(began.elapsed() < Duration::from_secs(10), "cancel took {:?}", began.elapsed());

    let b = place.server.connect().await.unwrap();
    b.batch_execute("BEGIN; UPDATE t SET v = 1 WHERE id = 1").await.unwrap();
    let token = a.cancel_token();
    let running = tokio::spawn(async move { (a.execute("UPDATE t SET v = 2 WHERE id = 1", &[]).await, a) });
    tokio::time::sleep(Duration::from_millis(300)).await;
    token.cancel_query(NoTls).await.unwrap();
    let (result, a) = running.await.unwrap();
    assert_eq!(code(&result.unwrap_err()), "57014");
    b.batch_execute("COMMIT").await.unwrap();
    assert_eq!(value(&a, "SELECT v FROM t WHERE id = 1").await, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_releases_its_locks() {
    let place = place().await;
    let a = place.server.connect().await.unwrap();
    a.batch_execute("BEGIN; UPDATE t SET v = 1 WHERE id = 1").await.unwrap();
    drop(a);
    let b = place.server.connect().await.unwrap();
    b.batch_execute("SET lock_timeout = '10s'").await.unwrap();
    assert_eq!(b.execute("UPDATE t SET v = v + 2 WHERE id = 1", &[]).await.unwrap(), 1);
    assert_eq!(value(&b, "SELECT v FROM t WHERE id = 1").await, "12");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_idles_in_a_transaction_is_put_out_and_locks_nothing() {
    let place = place().await;
    let (a, b) = (place.server.connect().await.unwrap(), place.server.connect().await.unwrap());
    a.batch_execute("SET idle_in_transaction_session_timeout = '200ms'").await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    a.batch_execute("BEGIN; UPDATE t SET v = 0 WHERE id = 1").await.unwrap();
    let mut waiting = tokio::spawn(async move { (b.execute("UPDATE t SET v = v + 1 WHERE id = 1", &[]).await, b) });
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut waiting).await.is_err(), "it waits for the row");
    let (count, b) = tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap().unwrap();
    assert_eq!(count.unwrap(), 1);
    assert_eq!(value(&b, "SELECT v FROM t WHERE id = 1").await, "11", "what was not committed is gone");
    assert!(a.batch_execute("COMMIT").await.is_err());
    assert!(a.is_closed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_are_seen_waited_for_and_cancelled() {
    let place = place().await;
    let (a, b, c) = (
        place.server.connect().await.unwrap(),
        place.server.connect().await.unwrap(),
        place.server.connect().await.unwrap(),
    );
    a.batch_execute("BEGIN; SELECT * FROM t WHERE id = 1").await.unwrap();
    let held = "SELECT string_agg(mode || ' ' || granted || ' ' || fastpath, ', ' ORDER BY mode, granted)
                FROM pg_locks WHERE relation = 't'::regclass";
    assert_eq!(value(&c, held).await, "AccessShareLock true true");
    let mut alone = tokio::spawn(async move { (b.batch_execute("BEGIN; LOCK TABLE t; SELECT 1").await, b) });
    assert!(blocked(&mut alone).await);
    assert_eq!(value(&c, held).await, "AccessExclusiveLock false false, AccessShareLock true false");
    let blockers = "SELECT pg_blocking_pids(pid)::text = '{' || (SELECT pid FROM pg_locks WHERE granted AND relation = 't'::regclass) || '}'
                    FROM pg_locks WHERE NOT granted";
    assert_eq!(value(&c, blockers).await, "t");
    a.batch_execute("COMMIT").await.unwrap();
    let (locked, b) = alone.await.unwrap();
    locked.unwrap();
    let cancel = a.cancel_token();
    let mut reader = tokio::spawn(async move { (a.batch_execute("SELECT count(*) FROM t").await, a) });
    assert!(blocked(&mut reader).await);
    cancel.cancel_query(NoTls).await.unwrap();
    let (cancelled, a) = reader.await.unwrap();
    assert_eq!(code(&cancelled.unwrap_err()), "57014");
    let began = Instant::now();
    // A cycle through a reader who waits: found after deadlock_timeout.
    a.batch_execute("SET deadlock_timeout = '200ms'; CREATE TABLE u (a int)").await.unwrap();
    a.batch_execute("BEGIN; LOCK TABLE u").await.unwrap();
    let mut reader = tokio::spawn(async move { (b.batch_execute("SELECT count(*) FROM u").await, b) });
    assert!(blocked(&mut reader).await);
    let failed = a.batch_execute("SELECT count(*) FROM t").await.unwrap_err();
    assert_eq!(code(&failed), "40P01");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    a.batch_execute("ROLLBACK").await.unwrap();
    let (read, _b) = reader.await.unwrap();
    read.unwrap();
}
