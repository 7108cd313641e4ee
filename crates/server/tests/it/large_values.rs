//! One value of a quarter of the server's memory, through the wire and back.

use crate::process::Process;

const BYTES: usize = 64 << 20;

fn metric(server: &Process, name: &str) -> u64 {
    let (_, text) = server.get("/metrics");
    let line = text.lines().find(|line| line.starts_with(&format!("heliosdb_{name} "))).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Bytes of all files below a folder.
fn folder_bytes(path: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(path).unwrap().flatten();
    entries
        .map(|entry| if entry.path().is_dir() { folder_bytes(&entry.path()) } else { entry.metadata().unwrap().len() })
        .sum()
}

/// Bytes that nothing makes smaller.
fn noise() -> Vec<u8> {
    let mut state = 1_u64;
    let mut word = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state ^ (state >> 29)).to_le_bytes()
    };
    (0..BYTES / 8).flat_map(|_| word()).collect()
}

#[tokio::test]
async fn a_value_of_64_mb_is_stored_once_and_comes_back_whole() {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::start(dir.path(), &[]);
    let client = server.client().await;
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY, note text, body bytea)").await.unwrap();
    let body = noise();
    let insert = "INSERT INTO t VALUES ($1, 'first', $2)";
    assert_eq!(client.execute(insert, &[&1_i32, &body]).await.unwrap(), 1);
    client.batch_execute("CHECKPOINT").await.unwrap();
    let written = || metric(&server, "log_appended_bytes_total") + folder_bytes(&dir.path().join("shard-0/segments"));
    let before = written();
    assert!(before > BYTES as u64, "{before} bytes written");
    for round in 0..20 {
        let update = format!("UPDATE t SET note = 'round {round}' WHERE id = 1");
        assert_eq!(client.execute(&update, &[]).await.unwrap(), 1);
    }
    let after = written();
    assert!(after < before + (1 << 20), "{} bytes for twenty notes", after - before);
    server.kill();
    let server = Process::start(dir.path(), &[]);
    let client = server.client().await;
    let row = client.query_one("SELECT note, body FROM t", &[]).await.unwrap();
    assert!(row.get::<_, &[u8]>(1) == body, "not the bytes that were sent");
    assert_eq!(row.get::<_, &str>(0), "round 19");
    let part = client.query_one("SELECT substring(body FROM 33554433 FOR 16) FROM t", &[]).await.unwrap();
    assert_eq!(part.get::<_, &[u8]>(0), &body[32 << 20..][..16]);
}
