//! Limits as a client meets them: each with PostgreSQL's SQLSTATE, and the session (or the next one) goes on.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::process::Process;

fn server() -> (tempfile::TempDir, Process) {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::start(&dir.path().join("data"), &[]);
    (dir, server)
}

/// SQLSTATE and message of a refusal.
fn refusal(error: &tokio_postgres::Error) -> (String, String) {
    let db = error.as_db_error().unwrap_or_else(|| panic!("{error:?}"));
    (db.code().code().to_owned(), db.message().to_owned())
}

/// WITH queries that each ask something of the one before.
fn with(count: usize, next: impl Fn(usize) -> String) -> String {
    let more: String = (1..count).map(|n| format!(", w{n} AS ({})", next(n - 1))).collect();
    format!("WITH w0 AS (SELECT 1 AS i){more} SELECT * FROM w{}", count - 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_nested_too_deep_are_refused_and_the_session_goes_on() {
    let (_dir, server) = server();
    let client = server.client().await;
    let nested = |open: &str, middle: &str, close: &str, times: usize| {
        format!("SELECT {}{middle}{}", open.repeat(times), close.repeat(times))
    };
    for sql in [
        nested("(", "1", ")", 100_000),
        nested("(SELECT ", "1", ")", 20_000),
        nested("NOT ", "true", "", 100_000),
        nested("- ", "1", "", 100_000),
        nested("abs(", "1", ")", 50_000),
        nested("ARRAY[", "1", "]", 50_000),
        nested("CASE WHEN true THEN ", "1", " END", 50_000),
        format!("SELECT 1{}", " + 1".repeat(100_000)),
        format!("SELECT 1 WHERE true{}", " AND true".repeat(100_000)),
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(50_000)),
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(1_500)),
        format!("SELECT 1{}", " EXCEPT SELECT 2".repeat(1_500)),
        with(2_000, |n| format!("SELECT * FROM w{n}")),
        with(40, |n| format!("SELECT a.* FROM w{n} a JOIN w{n} b USING (i)")),
    ] {
        let error = client.simple_query(&sql).await.err().map(|error| refusal(&error));
        let shown: String = sql.chars().take(40).collect();
        match error {
            Some((code, message)) => assert_eq!(code, "54001", "{shown}: {message}"),
            None => panic!("{shown}...: so many levels cannot be bound"),
        }
        client.simple_query("SELECT 1").await.unwrap();
    }
    // What people do write is far below.
    for sql in [
        nested("(", "1", ")", 200),
        format!("SELECT 1{}", " + 1".repeat(100)),
        format!("SELECT 'a'{}", " || 'b'".repeat(1000)),
        format!("SELECT count(*) FROM pg_class WHERE oid = 1{}", " OR oid = 2".repeat(1000)),
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(300)),
        with(100, |n| format!("SELECT * FROM w{n}")),
        with(8, |n| format!("SELECT a.* FROM w{n} a JOIN w{n} b USING (i)")),
    ] {
        let shown: String = sql.chars().take(60).collect();
        client.simple_query(&sql).await.unwrap_or_else(|error| panic!("{shown}: {error:?}"));
    }
}

/// A session by hand, for messages that no client library would send.
struct Raw(TcpStream);

impl Raw {
    fn login(port: u16) -> Raw {
        let mut raw = Raw(TcpStream::connect(("127.0.0.1", port)).unwrap());
        raw.0.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let body = [&196_608_i32.to_be_bytes()[..], b"user\0postgres\0\0"].concat();
        raw.0.write_all(&[&(body.len() as u32 + 4).to_be_bytes()[..], &body].concat()).unwrap();
        raw.until_ready();
        raw
    }

    fn send(&mut self, kind: u8, body: &[u8]) {
        self.0.write_all(&[&[kind][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat()).unwrap();
    }

    /// The fields of errors until the server is ready again.
    fn until_ready(&mut self) -> Vec<String> {
        let mut errors = Vec::new();
        loop {
            let mut head = [0; 5];
            self.0.read_exact(&mut head).unwrap();
            let length = u32::from_be_bytes(head[1..].try_into().unwrap()) as usize - 4;
            let mut body = vec![0; length];
            self.0.read_exact(&mut body).unwrap();
            match head[0] {
                b'E' => errors.extend(body.split(|&b| b == 0).map(|field| String::from_utf8_lossy(field).into_owned())),
                b'Z' => return errors,
                _ => {}
            }
        }
    }
}

#[test]
fn parameters_are_counted() {
    let (_dir, server) = server();
    let mut raw = Raw::login(server.pg_port);
    let bind = |count: u16| {
        let value = [&4_u32.to_be_bytes()[..], b"1234"].concat();
        [&b"\0\0\0\0"[..], &count.to_be_bytes(), &value.repeat(usize::from(count)), b"\0\0"].concat()
    };
    for (sql, count, said) in [
        ("SELECT $1::int", 2, "bind message supplies 2 parameters, but prepared statement \"\" requires 1"),
        ("SELECT $1::int, $2::int", 1, "bind message supplies 1 parameters, but prepared statement \"\" requires 2"),
        ("SELECT 1", 65_535, "bind message supplies 65535 parameters, but prepared statement \"\" requires 0"),
    ] {
        raw.send(b'P', &[&b"\0"[..], sql.as_bytes(), b"\0\0\0"].concat());
        raw.send(b'B', &bind(count));
        raw.send(b'S', b"");
        let errors = raw.until_ready();
        assert!(errors.contains(&"C08P01".to_owned()) && errors.contains(&format!("M{said}")), "{errors:?}");
    }
    // As many as the protocol can carry.
    let list: Vec<String> = (1..=u16::MAX).map(|n| format!("${n}")).collect();
    raw.send(b'P', &[&b"\0"[..], format!("SELECT 1 WHERE 7 IN ({})", list.join(",")).as_bytes(), b"\0\0\0"].concat());
    raw.send(b'B', &bind(u16::MAX));
    raw.send(b'S', b"");
    assert_eq!(raw.until_ready(), Vec::<String>::new());
    // One more has no number.
    raw.send(b'P', b"\0SELECT $65536::int\0\0\0");
    raw.send(b'S', b"");
    assert!(raw.until_ready().contains(&"C42P02".to_owned()));
}

#[test]
fn a_role_has_an_end_and_a_number_of_seats() {
    let (_dir, server) = server();
    server
        .sql(
            "",
            "CREATE ROLE late LOGIN PASSWORD 'right' VALID UNTIL '2020-01-01'; \
             CREATE ROLE early LOGIN PASSWORD 'right' VALID UNTIL '2100-01-01'; \
             CREATE ROLE one LOGIN PASSWORD 'right' CONNECTION LIMIT 1; \
             CREATE ROLE nobody LOGIN PASSWORD 'right' CONNECTION LIMIT 0",
        )
        .unwrap();
    server.sql("", "CREATE DATABASE small CONNECTION LIMIT 1").unwrap();
    let login = |user: &str, database: &str| {
        let settings = format!("host=127.0.0.1 port={} user={user} password=right dbname={database}", server.pg_port);
        settings.parse::<tokio_postgres::Config>().unwrap()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let enter = async |user: &str, database: &str| {
            let (client, connection) = login(user, database).connect(tokio_postgres::NoTls).await?;
            tokio::spawn(connection);
            client.simple_query("SELECT 1").await?;
            Ok::<_, tokio_postgres::Error>(client)
        };
        let refused = async |user: &str, database: &str| refusal(&enter(user, database).await.err().unwrap());
        // An expired password is a wrong one, and nothing says which.
        let (code, message) = refused("late", "postgres").await;
        assert_eq!((code.as_str(), message.as_str()), ("28P01", "password authentication failed for user \"late\""));
        enter("early", "postgres").await.unwrap();
        let first = enter("one", "postgres").await.unwrap();
        let (code, message) = refused("one", "postgres").await;
        assert_eq!((code.as_str(), message.as_str()), ("53300", "too many connections for role \"one\""));
        assert_eq!(refused("nobody", "postgres").await.0, "53300");
        drop(first);
        // The seat is free as soon as the server has seen the end of the first.
        let mut again = enter("one", "postgres").await;
        for _ in 0..200 {
            if again.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            again = enter("one", "postgres").await;
        }
        again.unwrap();
        let _sitting = enter("early", "small").await.unwrap();
        let (code, message) = refused("early", "small").await;
        assert_eq!((code.as_str(), message.as_str()), ("53300", "too many connections for database \"small\""));
        let settings = format!("host=127.0.0.1 port={} user=postgres dbname=small", server.pg_port);
        let entered = tokio_postgres::connect(&settings, tokio_postgres::NoTls).await;
        assert!(entered.is_ok(), "superusers are not counted out");
    });
}

#[test]
fn a_client_that_never_logs_in_is_sent_away() {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::start(&dir.path().join("data"), &["--authentication-timeout", "1", "--max-connections", "5"]);
    let mut silent: Vec<TcpStream> =
        (0..20).map(|_| TcpStream::connect(("127.0.0.1", server.pg_port)).unwrap()).collect();
    for socket in &mut silent {
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut said = Vec::new();
        socket.read_to_end(&mut said).unwrap();
    }
    server.sql("", "SELECT 1").unwrap();
}

/// A cross join gives a batch for each row of its left side, and a sort by several columns makes each batch it gets a run of its own:
/// over these 60,000 batches of 20 rows a release build held 365 MB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sort_over_a_cross_join_stays_within_the_budget() {
    const BUDGET: u64 = 256 << 20;
    let (_dir, server) = server();
    let client = server.client().await;
    let sql = "SELECT count(*), max(a) FROM (SELECT a, b FROM generate_series(1, 60000) a, generate_series(1, 20) b \
               ORDER BY b % 7, a % 11 OFFSET 1) s";
    let messages = client.simple_query(sql).await.unwrap();
    let row = messages.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => {
            Some((row.get(0).unwrap().to_owned(), row.get(1).unwrap().to_owned()))
        }
        _ => None,
    });
    assert_eq!(row, Some(("1199999".into(), "60000".into())));
    assert!(server.peak_bytes() < BUDGET, "{} MB", server.peak_bytes() >> 20);
}
