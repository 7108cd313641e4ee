//! What only the whole shows: a client library's protocol against the real engine.

use std::time::{Duration, Instant};

use futures::{SinkExt, TryStreamExt};
use std::pin::pin;
use tokio_postgres::error::SqlState;

use crate::process::Process;

fn server() -> (tempfile::TempDir, Process) {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::start(dir.path(), &[]);
    (dir, server)
}

#[tokio::test]
async fn values_of_every_type_come_back_in_binary() {
    let (_dir, server) = server();
    let client = server.client().await;
    let sql = "CREATE TABLE kinds (id int8 PRIMARY KEY, b bool, i2 int2, i4 int4, f4 float4, f8 float8, t text,
               v varchar(10), y bytea)";
    client.batch_execute(sql).await.unwrap();
    let insert = client.prepare("INSERT INTO kinds VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)").await.unwrap();
    let bytes: &[u8] = &[0, 1, 255];
    let some: [&(dyn tokio_postgres::types::ToSql + Sync); 9] =
        [&i64::MIN, &true, &i16::MIN, &i32::MAX, &1.5_f32, &f64::MAX, &"grüße", &"0123456789", &bytes];
    assert_eq!(client.execute(&insert, &some).await.unwrap(), 1);
    let none = None::<&str>;
    let nulls: [&(dyn tokio_postgres::types::ToSql + Sync); 9] =
        [&1_i64, &None::<bool>, &None::<i16>, &None::<i32>, &None::<f32>, &None::<f64>, &none, &none, &None::<&[u8]>];
    client.execute(&insert, &nulls).await.unwrap();
    let rows = client.query("SELECT * FROM kinds ORDER BY id", &[]).await.unwrap();
    assert_eq!(rows.len(), 2);
    let row = &rows[0];
    assert_eq!((row.get::<_, i64>(0), row.get::<_, bool>(1), row.get::<_, i16>(2)), (i64::MIN, true, i16::MIN));
    assert_eq!((row.get::<_, i32>(3), row.get::<_, f32>(4), row.get::<_, f64>(5)), (i32::MAX, 1.5, f64::MAX));
    assert_eq!((row.get::<_, &str>(6), row.get::<_, &str>(7), row.get::<_, &[u8]>(8)), ("grüße", "0123456789", bytes));
    let row = &rows[1];
    assert_eq!((row.get::<_, Option<bool>>(1), row.get::<_, Option<i16>>(2)), (None, None));
    assert_eq!((row.get::<_, Option<i32>>(3), row.get::<_, Option<f64>>(5)), (None, None));
    assert_eq!((row.get::<_, Option<&str>>(6), row.get::<_, Option<&[u8]>>(8)), (None, None));
    let row = client.query_one("SELECT i4 FROM kinds WHERE id = $1", &[&i64::MIN]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), i32::MAX);
}

#[tokio::test]
async fn portals_are_read_piece_by_piece_while_other_statements_run() {
    let (_dir, server) = server();
    let mut client = server.client().await;
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2), (3), (4), (5)")
        .await
        .unwrap();
    let transaction = client.transaction().await.unwrap();
    let portal = transaction.bind("SELECT id FROM t ORDER BY id", &[]).await.unwrap();
    let ids = |rows: Vec<tokio_postgres::Row>| rows.iter().map(|row| row.get::<_, i32>(0)).collect::<Vec<_>>();
    assert_eq!(ids(transaction.query_portal(&portal, 2).await.unwrap()), [1, 2]);
    // The portal keeps the snapshot of its start.
    assert_eq!(transaction.execute("DELETE FROM t WHERE id > 3", &[]).await.unwrap(), 2);
    assert_eq!(ids(transaction.query_portal(&portal, 2).await.unwrap()), [3, 4]);
    assert_eq!(ids(transaction.query_portal(&portal, 2).await.unwrap()), [5]);
    transaction.commit().await.unwrap();
    assert_eq!(ids(client.query("SELECT id FROM t ORDER BY id", &[]).await.unwrap()), [1, 2, 3]);
}

#[tokio::test]
async fn an_error_rolls_back_what_the_string_began() {
    let (_dir, server) = server();
    let client = server.client().await;
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY)").await.unwrap();
    let error = client.batch_execute("INSERT INTO t VALUES (1); INSERT INTO t VALUES (1)").await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::UNIQUE_VIOLATION));
    assert!(client.query("SELECT id FROM t", &[]).await.unwrap().is_empty());
    // BEGIN inside the string takes over what ran before it.
    client.batch_execute("INSERT INTO t VALUES (1); BEGIN; INSERT INTO t VALUES (2); ROLLBACK").await.unwrap();
    assert!(client.query("SELECT id FROM t", &[]).await.unwrap().is_empty());
    let error = client.query("SELECT nothing FROM t", &[]).await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(error.code(), &SqlState::UNDEFINED_COLUMN);
    assert_eq!(error.position(), Some(&tokio_postgres::error::ErrorPosition::Original(8)));
}

#[tokio::test]
async fn a_long_query_is_cancelled() {
    let (_dir, server) = server();
    let client = server.client().await;
    client.batch_execute("CREATE TABLE n (i int)").await.unwrap();
    let sink = client.copy_in("COPY n FROM STDIN").await.unwrap();
    let mut sink = pin!(sink);
    let lines: String = (0..20_000).map(|i| format!("{i}\n")).collect();
    sink.send(bytes::Bytes::from(lines)).await.unwrap();
    assert_eq!(sink.finish().await.unwrap(), 20_000);
    let token = client.cancel_token();
    let start = Instant::now();
    // Three hundred to the fourth: days.
    let query = client.query(
        "SELECT count(*) FROM n a, n b, n c, n d
         WHERE a.i < 300 AND b.i < 300 AND c.i < 300 AND d.i < 300 AND a.i + b.i + c.i + d.i = -1",
        &[],
    );
    let cancel = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        token.cancel_query(tokio_postgres::NoTls).await.unwrap();
    };
    let (result, ()) = tokio::join!(query, cancel);
    assert_eq!(result.unwrap_err().code(), Some(&SqlState::QUERY_CANCELED));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    let chunks: Vec<bytes::Bytes> = client.copy_out("COPY n TO STDOUT").await.unwrap().try_collect().await.unwrap();
    let lines: usize = chunks.iter().map(|chunk| chunk.iter().filter(|&&b| b == b'\n').count()).sum();
    assert_eq!(lines, 20_000);
}

#[tokio::test]
async fn a_client_that_vanishes_releases_its_locks() {
    let (_dir, server) = server();
    let client = server.client().await;
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 0)").await.unwrap();
    {
        let other = server.client().await;
        other.batch_execute("BEGIN; UPDATE t SET v = 1 WHERE id = 1").await.unwrap();
        let blocked = client.batch_execute("SET lock_timeout = '200ms'; UPDATE t SET v = 2 WHERE id = 1").await;
        assert_eq!(blocked.unwrap_err().code(), Some(&SqlState::LOCK_NOT_AVAILABLE));
    }
    client.batch_execute("SET lock_timeout = '20s'; UPDATE t SET v = 2 WHERE id = 1").await.unwrap();
    let row = client.query_one("SELECT v FROM t", &[]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), 2);
}

#[tokio::test]
async fn acknowledged_rows_survive_kill_and_clean_stop() {
    let dir = tempfile::tempdir().unwrap();
    let count = async |server: &Process| {
        let client = server.client().await;
        client.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get::<_, i64>(0)
    };
    let server = Process::start(dir.path(), &[]);
    let client = server.client().await;
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY)").await.unwrap();
    for id in 0..50 {
        client.execute("INSERT INTO t VALUES ($1)", &[&id]).await.unwrap();
    }
    server.kill();
    let mut server = Process::start(dir.path(), &[]);
    assert_eq!(count(&server).await, 50);
    server.client().await.execute("INSERT INTO t VALUES (50)", &[]).await.unwrap();
    assert_eq!(server.stop(), 0);
    let server = Process::start(dir.path(), &[]);
    assert!(server.banner.contains("(clean)"), "{}", server.banner);
    assert_eq!(count(&server).await, 51);
}
