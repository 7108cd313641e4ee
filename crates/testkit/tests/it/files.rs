//! Files of the server's machine, over the wire: what is written is read again, hostile files, cancelled statements, who may.
#![allow(clippy::disallowed_methods)] // files and tasks of the test itself

use std::path::Path;
use std::time::{Duration, Instant};

use heliosdb_testkit::server::{Server, ServerOptions, connect};
use tokio_postgres::{Client, NoTls};

use super::value;

fn names(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

async fn code(client: &Client, sql: &str) -> String {
    let error = client.simple_query(sql).await.expect_err(sql);
    error.code().unwrap_or_else(|| panic!("{sql}: {error}")).code().to_owned()
}

async fn as_role(server: &Server, role: &str) -> Client {
    let config = format!("host=127.0.0.1 port={} user={role} dbname=postgres", server.pg_port);
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_and_files_hold_the_same_rows() {
    let place = tempfile::tempdir().unwrap();
    let server = Server::start(&ServerOptions::new(place.path().join("data"))).await.unwrap();
    let client = connect(server.pg_port).await.unwrap();
    let files = place.path().join("files");
    std::fs::create_dir(&files).unwrap();
    let at = files.to_str().unwrap();
    client
        .batch_execute(&format!(
            "CREATE TABLE t AS SELECT i AS id, 'name ' || i AS name, (i * 1.25)::numeric(12,2) AS price,
                 timestamptz '2026-01-01' + i * interval '1 second' AS at, CASE WHEN i % 7 = 0 THEN NULL ELSE i % 100 END AS n
                 FROM generate_series(1, 100000) i;
             COPY t TO '{at}/one.parquet' (FORMAT parquet);
             COPY (SELECT * FROM t WHERE id <= 50000) TO '{at}/part-1.parquet' (FORMAT parquet, COMPRESSION snappy);
             COPY (SELECT * FROM t WHERE id > 50000) TO '{at}/part-2.parquet' (FORMAT parquet, COMPRESSION none);
             COPY t TO '{at}/one.csv' (FORMAT csv, HEADER);"
        ))
        .await
        .unwrap();
    assert_eq!(names(&files), ["one.csv", "one.parquet", "part-1.parquet", "part-2.parquet"]);
    let question = "count(*), sum(id), sum(price), max(at), count(n), sum(n), min(name)";
    let expected = value(&client, &format!("SELECT row({question})::text FROM t")).await;
    for file in ["one.parquet", "part-?.parquet", "one.csv"] {
        let found = value(&client, &format!("SELECT row({question})::text FROM '{at}/{file}'")).await;
        assert_eq!(found, expected, "{file}");
        let differing =
            format!("SELECT count(*) FROM (SELECT * FROM t EXCEPT SELECT id, name, price, at, n FROM '{at}/{file}') d");
        assert_eq!(value(&client, &differing).await, "0", "{file}");
    }
    client
        .batch_execute(&format!("CREATE TABLE u (LIKE t); COPY u FROM '{at}/one.parquet' (FORMAT parquet)"))
        .await
        .unwrap();
    assert_eq!(value(&client, "SELECT count(*) FROM (SELECT * FROM t EXCEPT SELECT * FROM u) d").await, "0");
    // Of two files the one that cannot have the row is not read.
    let plan =
        client.simple_query(&format!("EXPLAIN SELECT name FROM '{at}/part-*.parquet' WHERE id = 7")).await.unwrap();
    let plan: Vec<&str> = plan
        .iter()
        .filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        })
        .collect();
    assert!(plan.iter().any(|line| line.contains("Row Groups: 1 to read, 1 skipped")), "{plan:?}");
    assert!(plan.iter().any(|line| line.contains("Columns: id, name")), "{plan:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_files_are_errors_and_the_server_lives() {
    let place = tempfile::tempdir().unwrap();
    let mut server = Server::start(&ServerOptions::new(place.path().join("data"))).await.unwrap();
    let client = connect(server.pg_port).await.unwrap();
    let file = place.path().join("x.parquet");
    let path = file.to_str().unwrap();
    let write = format!(
        "COPY (SELECT i, 'text ' || i AS t, ARRAY[i, NULL] AS a, (i * 0.5)::numeric(8,1) AS d FROM generate_series(1, 300) i) TO '{path}' (FORMAT parquet)"
    );
    client.batch_execute(&write).await.unwrap();
    let sound = std::fs::read(&file).unwrap();
    let question = format!("SELECT count(*), sum(i), max(t), max(a::text), sum(d) FROM '{path}'");
    let (mut errors, mut answers) = (0, 0);
    let mut variants: Vec<Vec<u8>> =
        (0..sound.len()).step_by(sound.len() / 60 + 1).map(|cut| sound[..cut].to_vec()).collect();
    for at in (0..sound.len()).step_by(sound.len() / 250 + 1) {
        let mut damaged = sound.clone();
        damaged[at] ^= 1 << (at % 8);
        variants.push(damaged);
    }
    // A footer that says it is longer than the file, and one of nothing.
    let mut long = sound.clone();
    let end = long.len();
    long[end - 8..end - 4].copy_from_slice(&u32::MAX.to_le_bytes());
    variants.extend([long, b"PAR1\0\0\0\0PAR1".to_vec(), b"PAR1".to_vec()]);
    for bytes in &variants {
        std::fs::write(&file, bytes).unwrap();
        match client.simple_query(&question).await {
            Ok(_) => answers += 1,
            Err(error) => {
                let state = error.code().unwrap_or_else(|| panic!("the connection broke: {error}")).code();
                assert!(!state.starts_with("XX"), "{error:?}");
                errors += 1;
            }
        }
    }
    assert!(errors > variants.len() / 5, "{errors} errors, {answers} answers");
    assert!(server.ended().is_none());
    std::fs::write(&file, &sound).unwrap();
    assert_eq!(value(&client, &question).await, "300");
    for (name, bytes, state) in [
        ("a.csv", &b"a,b\n1,\xff\n"[..], "22021"),
        ("b.csv", b"a,b\n1,2,3\n", "22P04"),
        ("c.csv", b"a\n\"never closed\n", "22P04"),
        ("d.json", b"{\"a\": ", "22P02"),
        ("e.json", &[b'['; 5000], "22P02"),
        ("f.csv.gz", b"\x1f\x8b\x08\x00nothing", "22P04"),
        ("g.csv", b"", "22P04"),
    ] {
        let path = place.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(code(&client, &format!("SELECT * FROM '{}'", path.display())).await, state, "{name}");
    }
    // Deep nesting, within an object.
    let deep = place.path().join("deep.json");
    std::fs::write(&deep, format!("{{\"a\": {}", "[".repeat(100_000))).unwrap();
    assert_eq!(code(&client, &format!("SELECT * FROM '{}'", deep.display())).await, "22P02");
    assert!(server.ended().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_statements_are_shown_and_end_when_cancelled() {
    let place = tempfile::tempdir().unwrap();
    let server = Server::start(&ServerOptions::new(place.path().join("data"))).await.unwrap();
    let (client, other) = (connect(server.pg_port).await.unwrap(), connect(server.pg_port).await.unwrap());
    let files = place.path().join("files");
    std::fs::create_dir(&files).unwrap();
    let at = files.to_str().unwrap().to_owned();
    let mut text = "id,name\n".to_owned();
    (0..200_000).for_each(|id| text.push_str(&format!("{id},some name {id}\n")));
    std::fs::write(files.join("big.csv"), &text).unwrap();
    let pid = value(&client, "SELECT pg_backend_pid()").await;
    for (sql, shown) in [
        (
            format!("SELECT count(*) FROM '{at}/big.csv' a JOIN '{at}/big.csv' b ON a.id <> b.id AND a.name < b.name"),
            format!("SELECT bytes_total > 0 AND bytes_processed > 0 FROM helios_progress WHERE pid = {pid}"),
        ),
        (
            format!(
                "COPY (SELECT a.id FROM generate_series(1, 100000) a(id), generate_series(1, 100000) b(id)) TO '{at}/out.parquet' (FORMAT parquet)"
            ),
            format!("SELECT type = 'FILE' AND tuples_processed > 0 FROM pg_stat_progress_copy WHERE pid = {pid}"),
        ),
    ] {
        let cancel = client.cancel_token();
        let running = async { client.simple_query(&sql).await };
        let watch = async {
            let began = Instant::now();
            while value(&other, &shown).await != "t" {
                assert!(began.elapsed() < Duration::from_secs(60), "never shown: {shown}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let asked = Instant::now();
            cancel.cancel_query(NoTls).await.unwrap();
            asked
        };
        let (ended, asked) = tokio::join!(running, watch);
        assert_eq!(ended.unwrap_err().code().unwrap().code(), "57014");
        assert!(asked.elapsed() < Duration::from_secs(5), "cancelled after {:?}", asked.elapsed());
        assert_eq!(value(&other, &format!("SELECT count(*) FROM helios_progress WHERE pid = {pid}")).await, "0");
    }
    let began = Instant::now();
    while names(&files) != ["big.csv"] {
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", names(&files));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_reads_the_directories_that_are_open() {
    let place = tempfile::tempdir().unwrap();
    let (open, closed) = (place.path().join("open"), place.path().join("closed"));
    for dir in [&open, &closed] {
        std::fs::create_dir(dir).unwrap();
        std::fs::write(dir.join("a.csv"), "id\n1\n").unwrap();
    }
    std::os::unix::fs::symlink(closed.join("a.csv"), open.join("link.csv")).unwrap();
    let options = ServerOptions::new(place.path().join("data")).arg("--file-directories").arg(open.to_str().unwrap());
    let server = Server::start(&options).await.unwrap();
    let root = connect(server.pg_port).await.unwrap();
    root.batch_execute("CREATE ROLE bob LOGIN; CREATE TABLE t (id int)").await.unwrap();
    let bob = as_role(&server, "bob").await;
    assert_eq!(value(&bob, "SHOW file_directories").await, open.to_str().unwrap());
    assert_eq!(value(&bob, &format!("SELECT sum(id) FROM '{}/a.csv'", open.display())).await, "1");
    for path in [open.join("link.csv"), open.join("../closed/a.csv"), closed.join("a.csv"), closed.join("none.csv")] {
        assert_eq!(code(&bob, &format!("SELECT * FROM '{}'", path.display())).await, "42501", "{}", path.display());
    }
    assert_eq!(code(&bob, &format!("COPY (SELECT 1) TO '{}/b.csv'", open.display())).await, "42501");
    assert_eq!(code(&bob, "SET file_directories = '/'").await, "42501");
    assert_eq!(value(&root, &format!("SELECT count(*) FROM '{}/a.csv'", closed.display())).await, "1");
}
