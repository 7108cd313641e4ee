//! What a damaged log does: a torn tail is cut and reported, damage below the durable LSN refuses to start.

use std::path::{Path, PathBuf};

use heliosdb_testkit::server::{Server, ServerOptions};

async fn filled(data: &Path) -> ServerOptions {
    let options = ServerOptions::new(data);
    let mut server = Server::start(&options).await.unwrap();
    let client = server.connect().await.unwrap();
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY, pad text)").await.unwrap();
    for id in 0..50 {
        client.batch_execute(&format!("INSERT INTO t VALUES ({id}, '{}')", "x".repeat(200))).await.unwrap();
    }
    server.kill().unwrap();
    options
}

/// The log file that holds the rows, with its contents.
fn log_file(data: &Path) -> (PathBuf, Vec<u8>) {
    let files = std::fs::read_dir(data.join("shard-0/wal")).unwrap().flatten().map(|entry| entry.path());
    let needle = [b'x'; 150];
    files
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .filter(|(_, bytes)| find(bytes, &needle).is_some())
        .max_by_key(|(path, _)| path.clone())
        .expect("the rows are in the log")
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

fn rfind(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).rposition(|window| window == needle)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torn_tail_is_cut_and_reported() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    let options = filled(&data).await;
    let (path, mut bytes) = log_file(&data);
    let last = rfind(&bytes, &[b'x'; 150]).unwrap();
    // The last record loses its end, as a power cut would have it.
    bytes[last + 100..last + 400].fill(0);
    std::fs::write(&path, bytes).unwrap();
    let server = Server::start(&options).await.unwrap();
    let client = server.connect().await.unwrap();
    let count: i64 = client.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get(0);
    assert_eq!(count, 49, "the torn record goes, all before it stay");
    client.batch_execute("INSERT INTO t VALUES (1000, 'after')").await.unwrap();
    let log = std::fs::read_to_string(&server.log).unwrap();
    assert!(log.to_lowercase().contains("torn"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_below_the_durable_lsn_refuses_to_start() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    let options = filled(&data).await;
    let (path, mut bytes) = log_file(&data);
    let first = find(&bytes, &[b'x'; 150]).unwrap();
    bytes[first + 10] ^= 0xff;
    std::fs::write(&path, bytes).unwrap();
    let error = Server::start(&options).await.err().expect("damage must be refused").to_string();
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    assert!(error.contains(&name) && error.contains("offset"), "{error}");
}
