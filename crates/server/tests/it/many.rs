//! Many connections: none leaves anything behind, and idle ones are cheap.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::process::Process;

/// Logs in; the socket is idle then.
fn login(port: u16) -> TcpStream {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let body = [&196_608_i32.to_be_bytes()[..], b"user\0postgres\0\0"].concat();
    socket.write_all(&[&(body.len() as u32 + 4).to_be_bytes()[..], &body].concat()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let (mut seen, mut part) = (Vec::new(), [0; 4096]);
    // ReadyForQuery is the last thing said.
    while !seen.ends_with(b"Z\0\0\0\x05I") {
        let got = socket.read(&mut part).unwrap();
        assert!(got > 0, "refused: {}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&part[..got]);
    }
    socket
}

fn descriptors(server: &Process) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.id())).unwrap().count()
}

fn metric(server: &Process, name: &str) -> u64 {
    let (_, text) = server.get("/metrics");
    let line = text.lines().find(|line| line.starts_with(&format!("heliosdb_{name} "))).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn quiet(server: &Process) {
    for _ in 0..500 {
        if metric(server, "connections_active") == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("connections stay");
}

fn churn(server: &Process, each: usize) {
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for round in 0..each {
                    let mut socket = login(server.pg_port);
                    // Every second one just goes away.
                    if round % 2 == 0 {
                        socket.write_all(b"X\0\0\0\x04").unwrap();
                    }
                }
            });
        }
    });
    quiet(server);
}

#[test]
fn ten_thousand_connections_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::start(dir.path(), &[]);
    // Whatever grows once has grown by then.
    churn(&server, 500);
    let before = (descriptors(&server), metric(&server, "resident_bytes"));
    churn(&server, 2500);
    let after = (descriptors(&server), metric(&server, "resident_bytes"));
    assert!(after.0 <= before.0 + 4, "descriptors: {before:?}, then {after:?}");
    assert!(after.1 <= before.1 + (16 << 20), "bytes: {before:?}, then {after:?}");
    assert!(metric(&server, "connections_total") >= 12_000);
    assert_eq!(metric(&server, "sessions"), 0);
}

#[test]
fn idle_connections_are_cheap_and_the_last_seats_are_the_superusers() {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::start(dir.path(), &["--max-connections", "1010", "--reserved-connections", "5"]);
    server.sql("", "CREATE ROLE plain LOGIN").unwrap();
    churn(&server, 20);
    let before = metric(&server, "resident_bytes");
    let idle: Vec<TcpStream> = (0..1000).map(|_| login(server.pg_port)).collect();
    let each = metric(&server, "resident_bytes").saturating_sub(before) / 1000;
    eprintln!("{each} bytes an idle connection");
    assert!(each < 64 << 10, "{each} bytes an idle connection");
    let more: Vec<TcpStream> = (0..5).map(|_| login(server.pg_port)).collect();
    let refused = server.sql("user=plain dbname=postgres", "SELECT 1").unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "53300");
    assert!(refused.as_db_error().unwrap().message().contains("reserved"), "{refused:?}");
    server.sql("", "SELECT 1").unwrap();
    drop((idle, more));
    quiet(&server);
    server.sql("user=plain dbname=postgres", "SELECT 1").unwrap();
}
