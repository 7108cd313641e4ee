//! COPY's binary format, between our own two ends and beside PostgreSQL's bytes.

use bytes::Bytes;
use futures::{SinkExt, TryStreamExt};
use heliosdb_testkit::server::{Server, ServerOptions, connect};
use tokio_postgres::{Client, SimpleQueryMessage};

async fn out(client: &Client, sql: &str) -> Vec<u8> {
    let stream = client.copy_out(sql).await.unwrap();
    let chunks: Vec<Bytes> = stream.try_collect().await.unwrap();
    chunks.concat()
}

async fn copy_in(client: &Client, sql: &str, data: &[u8], step: usize) -> Result<u64, tokio_postgres::Error> {
    let sink = client.copy_in(sql).await?;
    tokio::pin!(sink);
    for chunk in data.chunks(step) {
        sink.send(Bytes::copy_from_slice(chunk)).await?;
    }
    sink.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn binary_rows_go_out_and_come_back() {
    let place = tempfile::tempdir().unwrap();
    let server = Server::start(&ServerOptions::new(place.path().join("data"))).await.unwrap();
    let client = connect(server.pg_port).await.unwrap();
    let columns =
        "a int PRIMARY KEY, b text, c numeric(8,2), d timestamptz, e float8, f bool, g uuid, h bytea, i date, j int[]";
    client.batch_execute(&format!("CREATE TABLE s ({columns}); CREATE TABLE t ({columns})")).await.unwrap();
    client
        .batch_execute(
            "INSERT INTO s VALUES (1, 'one', 1.25, '2024-05-17 12:30:00Z', 0.5, true, \
             '0b6a0ae0-97a1-4bb5-8bb0-0e8f4d9bd3c1', '\\x00ff', '2024-02-29', '{1,NULL,3}'), \
             (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), \
             (3, '', -99.99, 'infinity', '-Infinity', false, NULL, '', '1970-01-01', '{}')",
        )
        .await
        .unwrap();
    let data = out(&client, "COPY (SELECT * FROM s ORDER BY a) TO STDOUT (FORMAT binary)").await;
    assert!(data.starts_with(b"PGCOPY\n\xff\r\n\0") && data.ends_with(b"\xff\xff"));
    assert_eq!(copy_in(&client, "COPY t FROM STDIN WITH BINARY", &data, 7).await.unwrap(), 3);
    let same = client.query_one("SELECT count(*) FROM (SELECT * FROM s EXCEPT SELECT * FROM t) d", &[]).await.unwrap();
    assert_eq!(same.get::<_, i64>(0), 0);
    // PostgreSQL's own bytes of `COPY (SELECT 1, 'x'::text, NULL::int) TO STDOUT (FORMAT binary)`.
    let theirs = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x03\0\0\0\x04\0\0\0\x01\0\0\0\x01x\xff\xff\xff\xff\xff\xff";
    assert_eq!(out(&client, "COPY (SELECT 1, 'x'::text, NULL::int) TO STDOUT (FORMAT binary)").await, theirs);
    // What is damaged is refused, and nothing of it stays.
    let again = copy_in(&client, "COPY t FROM STDIN (FORMAT binary)", &data, 1000).await.unwrap_err();
    assert_eq!(again.code().unwrap().code(), "23505");
    client.batch_execute("TRUNCATE t").await.unwrap();
    for broken in [&data[..data.len() - 9], &data[4..], b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x02"] {
        let error = copy_in(&client, "COPY t FROM STDIN (FORMAT binary)", broken, 64).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "22P04");
    }
    let left = client.query_one("SELECT count(*) FROM t", &[]).await.unwrap();
    assert_eq!(left.get::<_, i64>(0), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_filtered_and_headers_compared() {
    let place = tempfile::tempdir().unwrap();
    let server = Server::start(&ServerOptions::new(place.path().join("data"))).await.unwrap();
    let client = connect(server.pg_port).await.unwrap();
    client.batch_execute("CREATE TABLE t (a int, b text)").await.unwrap();
    let copied = copy_in(&client, "COPY t FROM STDIN WHERE a % 2 = 0 AND b <> 'no'", b"1\tx\n2\ty\n4\tno\n6\tz\n", 3);
    assert_eq!(copied.await.unwrap(), 2);
    let csv = "COPY t FROM STDIN (FORMAT csv, HEADER match)";
    assert_eq!(copy_in(&client, csv, b"a,b\n8,eight\n", 100).await.unwrap(), 1);
    for (data, message) in [
        (&b"a,c\n9,nine\n"[..], "column name mismatch in header line field 2: got \"c\", expected \"b\""),
        (b"a\n9\n", "wrong number of fields in header line: field count is 1, expected 2"),
    ] {
        let error = copy_in(&client, csv, data, 100).await.unwrap_err();
        let error = error.as_db_error().unwrap();
        assert_eq!((error.code().code(), error.message()), ("22P04", message));
    }
    assert_eq!(out(&client, "COPY (SELECT a FROM t ORDER BY a) TO STDOUT").await, b"2\n6\n8\n");
    let returned =
        out(&client, "COPY (DELETE FROM t WHERE a = 2 RETURNING a, b) TO STDOUT (FORMAT csv, FORCE_QUOTE *)");
    assert_eq!(returned.await, b"\"2\",\"y\"\n");
    client.batch_execute("ALTER TABLE t ADD CONSTRAINT small CHECK (a < 100)").await.unwrap();
    let error = copy_in(&client, "COPY t FROM STDIN", b"1\tx\n1000\ty\n", 100).await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!((error.schema(), error.table(), error.constraint()), (Some("public"), Some("t"), Some("small")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_share_their_names_with_the_protocol() {
    let place = tempfile::tempdir().unwrap();
    let server = Server::start(&ServerOptions::new(place.path().join("data"))).await.unwrap();
    let client = connect(server.pg_port).await.unwrap();
    let statement = client.prepare("SELECT $1::int + 1").await.unwrap();
    // The driver chose the name.
    let listed = client.simple_query("SELECT name FROM pg_prepared_statements WHERE NOT from_sql").await.unwrap();
    let name = listed.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    let name = name.unwrap();
    let rows = client.simple_query(&format!("EXECUTE {name}(41)")).await;
    let names = client.simple_query("PREPARE mine AS SELECT 'kept'").await;
    assert!(names.is_ok() && rows.is_ok(), "{rows:?} {names:?}");
    assert_eq!(client.query_one(&statement, &[&1i32]).await.unwrap().get::<_, i32>(0), 2);
    let error = client.simple_query(&format!("PREPARE {name} AS SELECT 1")).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "42P05");
    client.batch_execute(&format!("DEALLOCATE {name}")).await.unwrap();
    let error = client.query_one(&statement, &[&1i32]).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "26000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn temporary_tables_are_gone_after_a_crash_and_a_disconnect() {
    let place = tempfile::tempdir().unwrap();
    let options = ServerOptions::new(place.path().join("data"));
    let mut server = Server::start(&options).await.unwrap();
    let client = connect(server.pg_port).await.unwrap();
    client
        .batch_execute("CREATE TABLE kept (a int); CREATE TEMP TABLE gone (a int); INSERT INTO gone VALUES (1)")
        .await
        .unwrap();
    server.kill().unwrap();
    drop(client);
    let server = Server::start(&options).await.unwrap();
    let client = connect(server.pg_port).await.unwrap();
    let count = "SELECT count(*) FROM pg_class WHERE relname IN ('kept', 'gone')";
    assert_eq!(client.query_one(count, &[]).await.unwrap().get::<_, i64>(0), 1);
    let other = connect(server.pg_port).await.unwrap();
    other.batch_execute("CREATE TEMP TABLE gone AS SELECT 1 AS a").await.unwrap();
    assert_eq!(client.query_one(count, &[]).await.unwrap().get::<_, i64>(0), 2);
    drop(other);
    for _ in 0..200 {
        if client.query_one(count, &[]).await.unwrap().get::<_, i64>(0) == 1 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("a temporary table outlives its session");
}
