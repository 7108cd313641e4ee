//! Backup and restore beside writers, checks that name damage, and what a COPY that was cut short leaves behind.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{SinkExt, TryStreamExt};
use heliosdb_testkit::server::{Server, ServerOptions, binary};
use tokio_postgres::Client;

use crate::value;

fn heliosdb(args: &[&str]) -> Output {
    // No command leaves anything in the folder of temporary files.
    let temporary = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary());
    let output = command.args(args).env("TMPDIR", temporary.path()).stdin(Stdio::null()).output().unwrap();
    let left = std::fs::read_dir(temporary.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    assert!(left.is_empty(), "{args:?} left {left:?}");
    output
}

fn said(output: &Output) -> String {
    format!(
        "exit {:?}\n{}{}",
        output.status.code(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn backup(server: &Server, to: &Path) -> Output {
    heliosdb(&["backup", "--quiet", "--port", &server.pg_port.to_string(), text(to)])
}

/// Accounts, tellers and a history, as pgbench has them, and a counter that tells which transactions are in.
const TABLES: &str = "CREATE TABLE accounts (aid int PRIMARY KEY, bid int, abalance int, filler text);
    CREATE INDEX accounts_balance ON accounts (abalance);
    CREATE TABLE branches (bid int PRIMARY KEY, bbalance int);
    CREATE TABLE history (id bigint PRIMARY KEY, aid int REFERENCES accounts, bid int, delta int, mtime timestamptz);
    INSERT INTO accounts SELECT i, i % 5, 0, repeat('x', 84) FROM generate_series(0, 1999) i;
    INSERT INTO branches SELECT i, 0 FROM generate_series(0, 4) i;";

/// Transfers until told to stop; `acknowledged` is the newest that was.
async fn transfers(client: Client, writer: i64, stop: Arc<AtomicBool>, acknowledged: Arc<AtomicI64>) {
    let update = client.prepare("UPDATE accounts SET abalance = abalance + $1 WHERE aid = $2").await.unwrap();
    let branch = client.prepare("UPDATE branches SET bbalance = bbalance + $1 WHERE bid = $2").await.unwrap();
    let note = client.prepare("INSERT INTO history VALUES ($1, $2, $3, $4, now())").await.unwrap();
    let mut n = 0_i64;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        let id = writer * 1_000_000 + n;
        let (aid, delta) = (((id * 7919) % 2000) as i32, ((id * 31) % 2001 - 1000) as i32);
        let bid = aid % 5;
        client.batch_execute("BEGIN").await.unwrap();
        client.execute(&update, &[&delta, &aid]).await.unwrap();
        client.execute(&branch, &[&delta, &bid]).await.unwrap();
        client.execute(&note, &[&id, &aid, &bid, &delta]).await.unwrap();
        client.batch_execute("COMMIT").await.unwrap();
        acknowledged.store(n, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn backups_beside_writers_restore_to_whole_transactions() {
    let place = tempfile::tempdir().unwrap();
    let options = ServerOptions::new(place.path().join("data"))
        .arg("--storage-memtable-bytes=1000000")
        .arg("--storage-wal-file-bytes=1000000");
    let server = Server::start(&options).await.unwrap();
    let client = server.connect().await.unwrap();
    client.batch_execute(TABLES).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let mut acknowledged = Vec::new();
    let mut writers = Vec::new();
    for writer in 0..3 {
        let newest = Arc::new(AtomicI64::new(0));
        let client = server.connect().await.unwrap();
        writers.push(tokio::spawn(transfers(client, writer, stop.clone(), newest.clone())));
        acknowledged.push(newest);
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    for round in 0..3 {
        let to = place.path().join(format!("backup{round}"));
        let before: Vec<i64> = acknowledged.iter().map(|newest| newest.load(Ordering::SeqCst)).collect();
        let done = backup(&server, &to);
        assert!(done.status.success(), "{}", said(&done));
        let after: Vec<i64> = acknowledged.iter().map(|newest| newest.load(Ordering::SeqCst)).collect();
        assert!(to.join("BACKUP").is_file() && after > before, "writers went on: {before:?} {after:?}");
        let restored = place.path().join(format!("restored{round}"));
        let done = heliosdb(&["restore", text(&to), text(&restored)]);
        assert!(done.status.success(), "{}", said(&done));
        let checked = heliosdb(&["check", text(&restored)]);
        assert_eq!(checked.status.code(), Some(0), "{}", said(&checked));
        let copy = Server::start(&ServerOptions::new(&restored)).await.unwrap();
        let copy_client = copy.connect().await.unwrap();
        for (sums, what) in [
            ("SELECT (SELECT sum(abalance) FROM accounts) = (SELECT sum(delta) FROM history)", "accounts"),
            ("SELECT (SELECT sum(bbalance) FROM branches) = (SELECT sum(delta) FROM history)", "branches"),
            ("SELECT count(*) = 2000 FROM accounts", "all accounts"),
        ] {
            assert_eq!(value(&copy_client, sums).await, "t", "{what}");
        }
        for (writer, newest) in before.iter().enumerate() {
            // Everything acknowledged before is in, and no gap: a writer's transactions came one after the other.
            let range = format!("id / 1000000 = {writer}");
            let max = value(&copy_client, &format!("SELECT max(id) % 1000000 FROM history WHERE {range}")).await;
            let count = value(&copy_client, &format!("SELECT count(*) FROM history WHERE {range}")).await;
            let max: i64 = max.parse().unwrap();
            assert!(max >= *newest && max <= after[writer] + 1, "{newest} <= {max} <= {}", after[writer] + 1);
            assert_eq!(count, max.to_string(), "no gaps");
        }
        // It is a database like any other.
        copy_client.batch_execute("INSERT INTO history VALUES (-1, 1, 1, 0, now())").await.unwrap();
        copy_client.batch_execute("VACUUM").await.unwrap();
        let running = heliosdb(&["check", "--port", &copy.pg_port.to_string()]);
        assert_eq!(running.status.code(), Some(0), "{}", said(&running));
    }
    let running = heliosdb(&["check", "--port", &server.pg_port.to_string()]);
    assert_eq!(running.status.code(), Some(0), "{}", said(&running));
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_whole_backup_is_not_restored() {
    let place = tempfile::tempdir().unwrap();
    let server = Server::start(&ServerOptions::new(place.path().join("data"))).await.unwrap();
    let client = server.connect().await.unwrap();
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, string_agg(md5((i * 20 + j)::text), '') FROM generate_series(1, 10000) i, generate_series(1, 20) j GROUP BY i")
        .await
        .unwrap();
    client.batch_execute("CHECKPOINT").await.unwrap();
    let to = place.path().join("backup");
    assert!(backup(&server, &to).status.success());
    let again = backup(&server, &to);
    assert!(said(&again).contains("is not empty") && again.status.code() == Some(1), "{}", said(&again));
    let restore = |from: &Path, to: &str| heliosdb(&["restore", text(from), text(&place.path().join(to))]);
    // Into somebody's directory.
    let refused = restore(&to, "data");
    assert!(refused.status.code() == Some(7) && said(&refused).contains("not empty"), "{}", said(&refused));
    // A byte of a file.
    let damaged = copied(&to, &place.path().join("damaged"));
    let segment = std::fs::read_dir(damaged.join("shard-0/segments")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let refused = restore(&damaged, "r1");
    let name = segment.file_name().unwrap().to_str().unwrap();
    assert!(refused.status.code() == Some(5) && said(&refused).contains(name), "{}", said(&refused));
    let start =
        heliosdb(&["start", "--data-dir", text(&place.path().join("r1")), "--pg-port", "0", "--http-port", "0"]);
    assert_eq!(start.status.code(), Some(7), "half a restore is not started: {}", said(&start));
    // A file, the list, and both lists.
    std::fs::remove_file(&segment).unwrap();
    assert!(said(&restore(&damaged, "r2")).contains("is missing"));
    std::fs::remove_file(damaged.join("BACKUP")).unwrap();
    let refused = restore(&damaged, "r3");
    assert!(refused.status.code() == Some(5) && said(&refused).contains("incomplete"), "{}", said(&refused));
    assert!(said(&restore(&place.path().join("nowhere"), "r4")).contains("there is no backup"));
    // A client that was killed half-way: what it has written is no backup. The server forgets about it.
    let port = server.pg_port.to_string();
    let cut = place.path().join("cut");
    for _ in 0..50 {
        let _ = std::fs::remove_dir_all(&cut);
        let mut child = Command::new(binary())
            .args(["backup", "--quiet", "--port", &port, text(&cut)])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while !cut.join("shard-0/segments").is_dir() && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        if !cut.join("BACKUP").is_file() {
            break;
        }
    }
    let refused = restore(&cut, "r5");
    assert!(refused.status.code() == Some(5) && said(&refused).contains("incomplete"), "{}", said(&refused));
    let deadline = Instant::now() + Duration::from_secs(10);
    while value(&client, "SELECT count(*) FROM pg_stat_progress_basebackup").await != "0" {
        assert!(Instant::now() < deadline, "the server still shows the backup");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // As an archive, through a pipe; and cut off.
    let archive = heliosdb(&["backup", "--quiet", "--port", &port, "-"]);
    assert!(archive.status.success());
    let tar = place.path().join("backup.tar");
    std::fs::write(&tar, &archive.stdout).unwrap();
    let listed = Command::new("tar").args(["-tf", text(&tar)]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.starts_with("BACKUP.begun\n") && listed.ends_with("\nBACKUP\n"), "{listed}");
    assert!(restore(&tar, "r6").status.success());
    let copy = Server::start(&ServerOptions::new(place.path().join("r6"))).await.unwrap();
    let sum = "SELECT count(*) || md5(string_agg(v, '' ORDER BY id)) FROM t";
    assert_eq!(value(&copy.connect().await.unwrap(), sum).await, value(&client, sum).await);
    std::fs::write(&tar, &archive.stdout[..archive.stdout.len() - 3000]).unwrap();
    let refused = restore(&tar, "r7");
    assert!(refused.status.code() == Some(5) && said(&refused).contains("incomplete"), "{}", said(&refused));
    // Who may not.
    client.batch_execute("CREATE ROLE bob LOGIN; CREATE ROLE carol LOGIN REPLICATION").await.unwrap();
    let bob = heliosdb(&["backup", "--port", &port, "--user", "bob", text(&place.path().join("b"))]);
    assert!(
        bob.status.code() == Some(3) && said(&bob).contains("must be superuser or replication role"),
        "{}",
        said(&bob)
    );
    let carol = heliosdb(&["backup", "--port", &port, "--user", "carol", text(&place.path().join("c"))]);
    assert!(carol.status.success() && said(&carol).contains("checksums hold"), "{}", said(&carol));
}

fn copied(from: &Path, to: &Path) -> PathBuf {
    let done = Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap();
    assert!(done.success());
    to.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_database_is_checked_and_inspected() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    let mut server = Server::start(&ServerOptions::new(&data)).await.unwrap();
    let client = server.connect().await.unwrap();
    // One by one: a script is one transaction.
    for statement in [
        "CREATE TABLE t (id int PRIMARY KEY, v text)",
        "CREATE INDEX t_v ON t (v)",
        "INSERT INTO t SELECT i, 'value ' || i FROM generate_series(1, 5000) i",
        "CHECKPOINT",
        "DELETE FROM t WHERE id % 10 = 0",
        "CHECKPOINT",
        "CREATE DATABASE other",
    ] {
        client.batch_execute(statement).await.unwrap();
    }
    let busy = heliosdb(&["check", text(&data)]);
    assert_eq!(busy.status.code(), Some(3), "{}", said(&busy));
    client.batch_execute("INSERT INTO t VALUES (10, 'in the log')").await.unwrap();
    server.kill().unwrap();
    let before = files_of(&data);
    let sound = heliosdb(&["check", text(&data)]);
    assert!(sound.status.code() == Some(0) && said(&sound).contains("sound"), "{}", said(&sound));
    let all = heliosdb(&["inspect", text(&data)]);
    let shown = said(&all);
    for part in ["== manifest ==", "== formats ==", "== log ==", "== relations ==", "delete vectors", "t_v"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let table = heliosdb(&["inspect", text(&data), "--table", "public.t", "--json"]);
    let object: serde_json::Value = serde_json::from_slice(&table.stdout).unwrap();
    let columns = object["segments"].as_array().unwrap();
    let id = columns.iter().find(|row| row["column"] == "id").unwrap_or_else(|| panic!("{object:#}"));
    assert_eq!((&id["min"], &id["max"], &id["deletes"]), (&1.into(), &5000.into(), &500.into()), "{object:#}");
    assert!(id["ratio"].as_f64().unwrap() > 1.0 && id["encodings"].as_str().is_some(), "{id}");
    let segment = std::fs::read_dir(data.join("shard-0/segments")).unwrap().next().unwrap().unwrap().path();
    let one = heliosdb(&["inspect", text(&segment)]);
    assert!(said(&one).contains("== columns =="), "{}", said(&one));
    assert_eq!(files_of(&data), before, "looking changes nothing");
    for missing in ["check", "inspect"] {
        let refused = heliosdb(&[missing, text(&place.path().join("nowhere"))]);
        assert!(said(&refused).contains("there is no directory"), "{}", said(&refused));
    }
    // Damage in each kind of file is named with it.
    for (dir, rule) in [("segments", "segment_"), ("deletes", "delete_vector_reads"), ("manifest", "current_names")] {
        let newest =
            std::fs::read_dir(data.join("shard-0").join(dir)).unwrap().map(|e| e.unwrap().path()).max().unwrap();
        let whole = std::fs::read(&newest).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 3] ^= 0x10;
        std::fs::write(&newest, &flipped).unwrap();
        let found = heliosdb(&["check", text(&data), "--json"]);
        assert_eq!(found.status.code(), Some(5), "{dir}: {}", said(&found));
        let rows: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
        let name = newest.file_name().unwrap().to_str().unwrap();
        let named = rows.as_array().unwrap().iter().any(|row| {
            row["rule"].as_str().unwrap().starts_with(rule)
                && row.to_string().contains(name)
                && row["severity"] == "error"
        });
        assert!(named, "{dir}: {rows:#}");
        std::fs::write(&newest, &whole).unwrap();
    }
    let sound = heliosdb(&["check", text(&data)]);
    assert_eq!(sound.status.code(), Some(0), "{}", said(&sound));
}

/// Every file with its bytes.
fn files_of(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        match entry.path() {
            path if path.is_dir() => out.extend(files_of(&path)),
            path => out.push((path.clone(), std::fs::read(&path).unwrap())),
        }
    }
    out.sort();
    out
}

fn segments(data: &Path) -> usize {
    std::fs::read_dir(data.join("shard-0/segments")).unwrap().count()
}

/// Sends rows until told to stop, and never ends the COPY.
async fn endless_copy(client: &Client, rows: i64) -> std::pin::Pin<Box<tokio_postgres::CopyInSink<Bytes>>> {
    let mut sink = Box::pin(client.copy_in("COPY big FROM STDIN").await.unwrap());
    let mut sent = 0;
    while sent < rows {
        let mut chunk = String::new();
        for id in sent..sent + 1000 {
            chunk.push_str(&format!("{id}\t{}\n", "abcdefghij".repeat(20)));
        }
        sent += 1000;
        sink.send(Bytes::from(chunk)).await.unwrap();
    }
    sink
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_cut_short_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    let options = ServerOptions::new(&data).arg("--storage-txn-spill-bytes=1000000");
    let mut server = Server::start(&options).await.unwrap();
    let client = server.connect().await.unwrap();
    client.batch_execute("CREATE TABLE big (id int PRIMARY KEY, v text)").await.unwrap();
    client.batch_execute("CHECKPOINT").await.unwrap();
    let before = segments(&data);
    // The client goes away.
    let loader = server.connect().await.unwrap();
    let sink = endless_copy(&loader, 60_000).await;
    let progress = "SELECT command || ' ' || type || ' ' || (relid = 'big'::regclass) || ' ' || (tuples_processed > 0) || ' ' || (bytes_processed > 1000000) FROM pg_stat_progress_copy";
    let deadline = Instant::now() + Duration::from_secs(30);
    while value(&client, progress).await != "COPY FROM PIPE true true true" || segments(&data) == before {
        assert!(Instant::now() < deadline, "{} with {} files", value(&client, progress).await, segments(&data));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(sink);
    drop(loader);
    let deadline = Instant::now() + Duration::from_secs(30);
    while value(&client, "SELECT count(*) FROM pg_stat_progress_copy").await != "0" || segments(&data) > before {
        assert!(Instant::now() < deadline, "{} files where {before} were", segments(&data));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(value(&client, "SELECT count(*) FROM big").await, "0");
    // The server goes away.
    let loader = server.connect().await.unwrap();
    let sink = endless_copy(&loader, 60_000).await;
    let deadline = Instant::now() + Duration::from_secs(30);
    while segments(&data) == before {
        assert!(Instant::now() < deadline, "nothing was spilled");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.kill().unwrap();
    drop(sink);
    assert!(segments(&data) > before, "files of the dead transaction");
    let checked = heliosdb(&["check", text(&data)]);
    let shown = said(&checked);
    assert!(checked.status.code() == Some(0) && shown.contains("every_file_is_named"), "{shown}");
    let server = Server::start(&options).await.unwrap();
    let client = server.connect().await.unwrap();
    assert_eq!((segments(&data), value(&client, "SELECT count(*) FROM big").await), (before, "0".to_owned()));
    let metrics = http_get(server.http_port, "/metrics").await;
    let removed = metric(&metrics, "heliosdb_orphan_files_removed_total");
    assert!(removed >= 1, "{removed}");
    client.batch_execute("INSERT INTO big SELECT i, 'x' FROM generate_series(0, 59999) i").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copy_out_shows_how_far_it_is() {
    let place = tempfile::tempdir().unwrap();
    let server = Server::start(&ServerOptions::new(place.path().join("data"))).await.unwrap();
    let client = server.connect().await.unwrap();
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY, v text)").await.unwrap();
    client.batch_execute("INSERT INTO t SELECT i, repeat('x', 200) FROM generate_series(1, 100000) i").await.unwrap();
    let reader = server.connect().await.unwrap();
    let mut rows = Box::pin(reader.copy_out("COPY t TO STDOUT").await.unwrap());
    let first = rows.try_next().await.unwrap().unwrap();
    assert!(first.starts_with(b"1\t"));
    let shown = "SELECT command || ' ' || type || ' ' || relid::regclass || ' ' || (bytes_processed BETWEEN 200 AND 20600000) || ' ' || (tuples_processed BETWEEN 1 AND 99999) FROM pg_stat_progress_copy";
    assert_eq!(value(&client, shown).await, "COPY TO PIPE t true true");
    while rows.try_next().await.unwrap().is_some() {}
    let deadline = Instant::now() + Duration::from_secs(10);
    while value(&client, "SELECT count(*) FROM pg_stat_progress_copy").await != "0" {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copy_out_comes_in_the_order_of_the_table() {
    let place = tempfile::tempdir().unwrap();
    let server = Server::start(&ServerOptions::new(place.path().join("data"))).await.unwrap();
    let client = server.connect().await.unwrap();
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY, v text)").await.unwrap();
    for from in [1, 20_001, 40_001] {
        let rows = format!("INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series({from}, {from} + 19999) i");
        client.batch_execute(&rows).await.unwrap();
        if from < 40_000 {
            client.batch_execute("CHECKPOINT").await.unwrap();
        }
    }
    let mut rows = Box::pin(client.copy_out("COPY t TO STDOUT").await.unwrap());
    let mut text = Vec::new();
    while let Some(bytes) = rows.try_next().await.unwrap() {
        text.extend_from_slice(&bytes);
    }
    let text = String::from_utf8(text).unwrap();
    let ids: Vec<i32> = text.lines().map(|line| line.split('\t').next().unwrap().parse().unwrap()).collect();
    assert!(ids.iter().copied().eq(1..=60_000));
}

async fn http_get(port: u16, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn metric(text: &str, name: &str) -> i64 {
    let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
    line.and_then(|line| line.rsplit(' ').next()).and_then(|number| number.parse().ok()).unwrap_or_else(|| {
        panic!("no metric {name}");
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_follow_what_storage_does() {
    let place = tempfile::tempdir().unwrap();
    let server = Server::start(&ServerOptions::new(place.path().join("data"))).await.unwrap();
    let client = server.connect().await.unwrap();
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY, v text)").await.unwrap();
    for round in 0..10 {
        let rows = format!("INSERT INTO t SELECT i * 10 + {round}, md5(i::text) FROM generate_series(1, 3000) i");
        client.batch_execute(&rows).await.unwrap();
        client.batch_execute("CHECKPOINT").await.unwrap();
    }
    client.batch_execute("VACUUM").await.unwrap();
    assert!(backup(&server, &place.path().join("backup")).status.success());
    let metrics = http_get(server.http_port, "/metrics").await;
    for name in [
        "heliosdb_freezes_total",
        "heliosdb_freeze_bytes_total",
        "heliosdb_compactions_total",
        "heliosdb_compaction_read_bytes_total",
        "heliosdb_compaction_written_bytes_total",
        "heliosdb_log_appended_bytes_total",
        "heliosdb_log_files",
        "heliosdb_log_sync_seconds_count",
        "heliosdb_backups_total",
        "heliosdb_backup_bytes_total",
        "heliosdb_segment_bytes",
        "heliosdb_memory_budget_bytes",
    ] {
        assert!(metric(&metrics, name) > 0, "{name}");
    }
    for name in
        ["heliosdb_backpressure_microseconds_total", "heliosdb_orphan_files_removed_total", "heliosdb_log_spare_files"]
    {
        assert!(metric(&metrics, name) >= 0);
    }
    assert!(metrics.contains("heliosdb_log_sync_seconds_bucket{le=\"+Inf\"}"), "{metrics}");
    assert!(metrics.contains("heliosdb_tier_segments{tier=\"0\"}"), "{metrics}");
    let count = metric(&metrics, "heliosdb_log_sync_seconds_count");
    assert_eq!(metric(&metrics, "heliosdb_log_sync_seconds_bucket{le=\"+Inf\"}"), count);
    assert!(
        metric(&metrics, "heliosdb_compaction_written_bytes_total")
            <= 2 * metric(&metrics, "heliosdb_compaction_read_bytes_total")
    );
}
