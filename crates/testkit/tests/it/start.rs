//! `heliosdb start`: ports, locks, signals, health, passwords.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use heliosdb_testkit::server::{Server, ServerOptions, binary, connect};
use tokio_postgres::NoTls;

fn start_by_hand(data: &Path, args: &[&str]) -> Output {
    let mut child = Command::new(binary())
        .args(["start", "--data-dir"])
        .arg(data)
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            let out = child.wait_with_output().unwrap();
            panic!("still running: {}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn http(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_is_refused_and_the_first_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    let server = Server::start(&ServerOptions::new(&data)).await.unwrap();
    let second = start_by_hand(&data, &["--pg-port", "0", "--http-port", "0"]);
    assert!(!second.status.success());
    assert!(said(&second).contains("another"), "{}", said(&second));
    assert!(server.connect().await.is_ok());
}

#[test]
fn a_taken_port_is_named() {
    let place = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = start_by_hand(&place.path().join("data"), &["--pg-port", &port, "--http-port", "0"]);
    assert!(!output.status.success());
    assert!(said(&output).contains(&port) && said(&output).contains("--pg-port"), "{}", said(&output));
}

#[test]
fn a_public_address_without_a_password_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let args = ["--listen", "0.0.0.0", "--pg-port", "0", "--http-port", "0"];
    let output = start_by_hand(&place.path().join("data"), &args);
    assert!(!output.status.success());
    assert!(said(&output).to_lowercase().contains("password"), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_metrics_and_a_clean_stop() {
    let place = tempfile::tempdir().unwrap();
    let options = ServerOptions::new(place.path().join("data"));
    let mut server = Server::start(&options).await.unwrap();
    let client = server.connect().await.unwrap();
    client.batch_execute("CREATE TABLE kept (id int); INSERT INTO kept VALUES (42)").await.unwrap();
    assert!(http(server.http_port, "/healthz/live").starts_with("HTTP/1.1 200"));
    assert!(http(server.http_port, "/healthz/ready").starts_with("HTTP/1.1 200"));
    let metrics = http(server.http_port, "/metrics");
    assert!(metrics.contains("# TYPE heliosdb_") && metrics.contains("commits"), "{metrics}");
    assert!(server.stop(Duration::from_secs(30)).unwrap().success());
    let server = Server::start(&options).await.unwrap();
    let client = server.connect().await.unwrap();
    let row = client.query_one("SELECT id FROM kept", &[]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), 42);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_a_password_is_set_it_is_asked_for() {
    let place = tempfile::tempdir().unwrap();
    let server = Server::start(&ServerOptions::new(place.path().join("data"))).await.unwrap();
    let client = server.connect().await.unwrap();
    client.batch_execute("ALTER ROLE postgres PASSWORD 's3cret'").await.unwrap();
    let config = |password: &str| {
        format!("host=127.0.0.1 port={} user=postgres dbname=postgres password={password}", server.pg_port)
    };
    assert!(connect(server.pg_port).await.is_err(), "no password must not do");
    let wrong = tokio_postgres::connect(&config("wrong"), NoTls).await.err().expect("a wrong password must not do");
    assert_eq!(wrong.as_db_error().map(|error| error.code().code()), Some("28P01"));
    assert!(tokio_postgres::connect(&config("s3cret"), NoTls).await.is_ok());
    let nobody = format!("host=127.0.0.1 port={} user=nobody dbname=postgres password=x", server.pg_port);
    let unknown = tokio_postgres::connect(&nobody, NoTls).await.err().expect("an unknown role must not do");
    assert_eq!(unknown.as_db_error().map(|error| error.code().code()), Some("28P01"));
}

#[test]
fn garbage_and_silence_harm_nobody() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let place = tempfile::tempdir().unwrap();
        let mut server = Server::start(&ServerOptions::new(place.path().join("data"))).await.unwrap();
        let client = server.connect().await.unwrap();
        let silent: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
        for garbage in
            [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 64], &[0, 0, 0, 8, 0, 0], &[0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0]]
        {
            let mut stream = TcpStream::connect(server.address()).unwrap();
            stream.write_all(garbage).unwrap();
            assert_eq!(client.query_one("SELECT 1", &[]).await.unwrap().get::<_, i32>(0), 1);
        }
        // A query message that announces two gigabytes costs nothing until the bytes come.
        let mut stream = TcpStream::connect(server.address()).unwrap();
        let startup = b"\x00\x03\x00\x00user\0postgres\0database\0postgres\0\0";
        stream.write_all(&((startup.len() + 4) as u32).to_be_bytes()).unwrap();
        stream.write_all(startup).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let before = resident_bytes(server.pid());
        stream.write_all(b"Q\x7f\xff\xff\xff").unwrap();
        std::thread::sleep(Duration::from_millis(300));
        assert!(resident_bytes(server.pid()) < before + (64 << 20));
        assert_eq!(client.query_one("SELECT 1", &[]).await.unwrap().get::<_, i32>(0), 1);
        drop(silent);
        assert!(server.ended().is_none());
    });
}

fn resident_bytes(pid: u32) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
