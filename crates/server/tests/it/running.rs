//! Life of a server: start, health, stop, restart.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::process::{Process, heliosdb};

#[test]
fn a_server_says_where_it_is_serves_and_stops_cleanly() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut server = Process::start(&data, &[]);
    assert!(server.banner.contains("(new)"), "{}", server.banner);
    let connect = format!("psql -h 127.0.0.1 -p {} -U postgres postgres", server.pg_port);
    assert!(server.banner.contains(&connect), "{}", server.banner);
    assert_eq!(server.get("/healthz/live"), (200, "live\n".to_owned()));
    assert_eq!(server.get("/healthz/ready"), (200, "ready\n".to_owned()));
    assert_eq!(server.get("/nothing").0, 404);
    assert!(!server.sql("", "SHOW server_version").unwrap().is_empty());
    let (status, metrics) = server.get("/metrics");
    assert_eq!(status, 200);
    let value = |name: &str| -> u64 {
        let line = metrics.lines().find(|line| line.split(' ').next() == Some(name));
        line.unwrap_or_else(|| panic!("{name} in {metrics}")).rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert_eq!(value("heliosdb_ready"), 1);
    assert_eq!(value("heliosdb_statements_total"), 1);
    assert!(value("heliosdb_commits_total") >= 1);
    assert_eq!(server.stop(), 0);
    let again = Process::start(&data, &[]);
    assert!(again.banner.contains("(clean)"), "a clean stop leaves nothing to replay: {}", again.banner);
}

#[test]
fn a_killed_server_recovers_what_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::start(dir.path(), &[]);
    server.sql("", "ALTER ROLE postgres PASSWORD 'sesame'").unwrap();
    server.kill();
    let server = Process::start(dir.path(), &[]);
    assert!(server.banner.contains("recovered"), "{}", server.banner);
    // The password counts from now on, on loopback too.
    let refused = server.sql("password=wrong", "SHOW server_version").unwrap_err();
    assert_eq!(refused.code(), Some(&tokio_postgres::error::SqlState::INVALID_PASSWORD));
    server.sql("password=sesame", "SHOW server_version").unwrap();
}

#[test]
fn interrupt_stops_as_terminate_does() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Process::start(dir.path(), &[]);
    server.signal("INT");
    assert_eq!(server.wait(), 0);
}

/// A client in the middle of something: a batch of the extended protocol without its Sync.
fn busy(server: &Process) -> TcpStream {
    let mut socket = TcpStream::connect(("127.0.0.1", server.pg_port)).unwrap();
    let startup = b"\0\0\0\x17\0\x03\0\0user\0postgres\0\0";
    socket.write_all(startup).unwrap();
    socket.write_all(b"P\0\0\0\x08\0\0\0\0").unwrap();
    // Until the message has arrived there is nothing to wait for.
    std::thread::sleep(Duration::from_millis(300));
    socket
}

#[test]
fn a_second_signal_ends_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Process::start(dir.path(), &["--shutdown-grace", "50"]);
    let _client = busy(&server);
    let start = Instant::now();
    server.signal("TERM");
    std::thread::sleep(Duration::from_millis(300));
    server.signal("TERM");
    assert_eq!(server.wait(), 130);
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn the_grace_period_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Process::start(dir.path(), &["--shutdown-grace", "1"]);
    let _client = busy(&server);
    let start = Instant::now();
    assert_eq!(server.stop(), 0);
    let took = start.elapsed();
    assert!(took > Duration::from_millis(900) && took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn flags_win_over_environment_over_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("heliosdb.toml");
    let data = dir.path().join("from-file");
    let text =
        format!("data_dir = {:?}\nmemory = \"200MB\"\nworker_threads = 3\npg_port = 1\n", data.display().to_string());
    std::fs::write(&file, text).unwrap();
    let mut command = heliosdb();
    command.arg("start").arg("--config").arg(&file).env("HELIOSDB_WORKER_THREADS", "1").env("HELIOSDB_PG_PORT", "2");
    let server = Process::spawn(command.args(["--pg-port", "0", "--http-port", "0"]));
    assert!(server.banner.contains("200.0 MB, 1 threads"), "{}", server.banner);
    assert!(server.banner.contains(&data.display().to_string()), "{}", server.banner);
}

#[test]
fn spills_of_an_earlier_life_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("HELIOSDB"), "heliosdb data 1\n").unwrap();
    let left = dir.path().join("tmp/query/part");
    std::fs::create_dir_all(left.parent().unwrap()).unwrap();
    std::fs::write(&left, b"x").unwrap();
    let _server = Process::start(dir.path(), &[]);
    assert!(!left.exists());
}

#[test]
fn logs_can_be_json() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let mut command = heliosdb();
    command.arg("start").arg("--data-dir").arg(dir.path().join("data")).args(["--log-format", "json"]);
    command.args(["--pg-port", "0", "--http-port", "0"]).stderr(std::fs::File::create(&log).unwrap());
    let mut server = Process::spawn(&mut command);
    assert_eq!(server.stop(), 0);
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.contains("\"signal\":\"SIGTERM\""), "{text}");
    assert!(text.lines().all(|line| line.starts_with('{') && line.ends_with('}')), "{text}");
}
