//! docs/troubleshooting.md, row by row: each message there is provoked here, so that the page says what the program says. A
//! row that nothing here knows fails the test.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tokio_postgres::{Client, Config, NoTls};

use crate::authority::Authority;
use crate::process::{Process, heliosdb, run};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// The first cells of a section's table.
fn rows(heading: &str) -> Vec<String> {
    let page = std::fs::read_to_string(root().join("docs/troubleshooting.md")).unwrap();
    let section =
        page.split("\n## ").find(|section| section.starts_with(heading)).unwrap_or_else(|| panic!("{heading}"));
    let cells = section.lines().filter(|line| line.starts_with('|')).skip(2);
    let cells: Vec<String> = cells.map(|line| line.split(" | ").next().unwrap()[1..].trim().to_owned()).collect();
    assert!(!cells.is_empty(), "{heading} has a table");
    cells
}

/// What stands in backticks in a cell: the message.
fn message(cell: &str) -> &str {
    cell.split('`').nth(1).unwrap_or_else(|| panic!("{cell} quotes a message"))
}

/// Where another test provokes what would take too much here.
fn shown_by(file: &str, words: &[&str]) {
    let text = std::fs::read_to_string(root().join(file)).unwrap();
    words.iter().for_each(|word| assert!(text.contains(word), "{file} no longer has {word}"));
}

/// Starts a server that must not start; what it says and its exit code.
fn start(data_dir: &Path, more: &[&str]) -> (String, i32) {
    let mut command = heliosdb();
    command.arg("start").arg("--data-dir").arg(data_dir).args(more);
    command.env("HELIOSDB_PG_PORT", "0").env("HELIOSDB_HTTP_PORT", "0");
    let output = run(&mut command);
    (String::from_utf8_lossy(&output.stderr).into_owned(), output.status.code().unwrap_or(-1))
}

/// Turns some bits in the middle of the newest manifest around, and starts on that.
fn damaged(place: &Path) -> (String, i32) {
    let mut server = Process::start(place, &[]);
    server.sql("", "CREATE TABLE t (v text); INSERT INTO t VALUES (repeat('x', 3000)); CHECKPOINT").unwrap();
    assert_eq!(server.stop(), 0);
    let manifests = place.join("shard-0/manifest");
    let newest = std::fs::read_dir(manifests).unwrap().flatten().map(|entry| entry.path()).max().unwrap();
    let mut bytes = std::fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    std::fs::write(newest, bytes).unwrap();
    start(place, &[])
}

/// A folder that may not be opened, by a user who is not root.
fn forbidden(place: &Path) -> Option<(String, i32)> {
    let mine = place.join("mine");
    std::fs::create_dir(&mine).unwrap();
    assert!(Command::new("chmod").arg("000").arg(&mine).status().unwrap().success());
    if std::fs::read_dir(&mine).is_ok() {
        return None; // root may do anything; `refusals.rs` goes another way
    }
    Some(start(&mine, &[]))
}

#[test]
fn what_keeps_the_server_from_starting_is_as_written() {
    for cell in rows("The server does not start") {
        let dir = tempfile::tempdir().unwrap();
        let exit: i32 = cell.split("(exit ").nth(1).unwrap().split(')').next().unwrap().parse().unwrap();
        let (said, code) = match message(&cell) {
            "another process uses the data directory" => {
                let _first = Process::start(dir.path(), &[]);
                start(dir.path(), &[])
            }
            "could not listen on 127.0.0.1:5432" => {
                let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
                let port = taken.local_addr().unwrap().port().to_string();
                let (said, code) = start(dir.path(), &["--pg-port", &port]);
                assert!(said.contains("--pg-port"), "{said}");
                (said.replace(&port, "5432"), code)
            }
            "refusing to listen on a public address" => start(dir.path(), &["--listen", "0.0.0.0"]),
            "at offset" => damaged(dir.path()),
            "was written by a newer HeliosDB" => {
                std::fs::write(dir.path().join("HELIOSDB"), "heliosdb data 99\n").unwrap();
                start(dir.path(), &[])
            }
            "is not empty and not a HeliosDB data directory" => {
                std::fs::write(dir.path().join("PG_VERSION"), "15\n").unwrap();
                start(dir.path(), &[])
            }
            "Permission denied" => match forbidden(dir.path()) {
                Some(found) => found,
                None => {
                    let test = "fn a_data_directory_without_permission_or_that_cannot_be_written";
                    shown_by("crates/server/tests/it/refusals.rs", &[test, "Permission denied"]);
                    continue;
                }
            },
            other => panic!("nothing here provokes {other:?}"),
        };
        assert!(said.contains(message(&cell)), "{cell}\n{said}");
        assert_eq!(code, exit, "{cell}\n{said}");
    }
}

/// SQLSTATE and message of a connection that must fail.
fn refused(server: &Process, settings: &str) -> String {
    let error = server.sql(settings, "SELECT 1").unwrap_err();
    let db = error.as_db_error().unwrap_or_else(|| panic!("{settings}: {error:?}"));
    format!("{} {}", db.code().code(), db.message())
}

fn psql(server: &Process, settings: &str) -> String {
    let to = format!("host=localhost port={} user=postgres {settings}", server.pg_port);
    let output = Command::new("psql").args(["-w", "-c", "SELECT 1"]).arg(to).output().unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_keeps_a_client_from_connecting_is_as_written() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    authority.sign("server");
    let plain = Process::start(&dir.path().join("plain"), &["--max-connections", "2", "--reserved-connections", "1"]);
    let (cert, key) = (authority.show("server.crt"), authority.show("server.key"));
    let tls = ["--tls-cert", &cert, "--tls-key", &key, "--tls-mode", "require"];
    let secure = Process::start(&dir.path().join("secure"), &tls);
    plain.sql("", "CREATE ROLE guest NOLOGIN; CREATE ROLE ann LOGIN PASSWORD 'right'").unwrap();
    let settings = format!("host=127.0.0.1 port={} user=postgres", plain.pg_port).parse::<Config>().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let sit = || {
        runtime.block_on(async {
            let (client, connection) = settings.connect(NoTls).await.unwrap();
            tokio::spawn(connection);
            client
        })
    };
    for cell in rows("A client cannot connect") {
        wait_until_empty(&plain);
        let said = match message(&cell) {
            "password authentication failed" => refused(&plain, "user=ann password=wrong"),
            "is not permitted to log in" => {
                plain.sql("", "ALTER ROLE guest PASSWORD 'right'").unwrap();
                wait_until_empty(&plain);
                refused(&plain, "user=guest password=right dbname=postgres")
            }
            "database \"x\" does not exist" => refused(&plain, "dbname=x"),
            "too many clients already" => {
                let _seats = (sit(), sit());
                refused(&plain, "")
            }
            "remaining connection slots are reserved" => {
                let _seat = sit();
                refused(&plain, "user=ann password=right dbname=postgres")
            }
            "refused, no encryption" => {
                let said = psql(&secure, "sslmode=disable");
                // libpq shows no SQLSTATE here.
                format!("28000 {said}")
            }
            "certificate verify failed" => {
                let stranger = Authority::new();
                psql(&secure, &format!("sslmode=verify-full sslrootcert={}", stranger.show("ca.crt")))
            }
            "server does not support SSL" => psql(&plain, "sslmode=require"),
            "messages that clients are sending" => {
                let test = "fn long_messages_of_all_connections_together_are_bounded";
                shown_by("crates/gateway/tests/it/hostile.rs", &[test]);
                shown_by("crates/gateway/src/postgres/failure.rs", &[message(&cell)]);
                continue;
            }
            other => panic!("nothing here provokes {other:?}"),
        };
        assert!(said.contains(message(&cell)), "{cell}\n{said}");
        let state = cell.split(' ').next().unwrap();
        assert!(state.starts_with('`') || state == "server" || said.starts_with(state), "{cell}\n{said}");
    }
}

fn wait_until_empty(server: &Process) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !server.get("/metrics").1.contains("heliosdb_sessions 0") {
        assert!(Instant::now() < deadline, "sessions stay");
        std::thread::sleep(Duration::from_millis(10));
    }
}

async fn state(client: &Client, sql: &str) -> String {
    let error = client.batch_execute(sql).await.err().unwrap_or_else(|| panic!("{sql} must fail"));
    let state = error.as_db_error().unwrap_or_else(|| panic!("{sql}: {error:?}")).code().code().to_owned();
    let _ = client.batch_execute("ROLLBACK").await;
    state
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_a_statement_fail_is_as_written() {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::start(dir.path(), &[]);
    let (one, two) = (server.client().await, server.client().await);
    one.batch_execute("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1), (2, 2)").await.unwrap();
    for cell in rows("A statement fails") {
        let found = match cell.as_str() {
            "0A000" => state(&one, "SELECT * FROM t TABLESAMPLE SYSTEM (10)").await,
            "42601" => state(&one, "SELEC 1").await,
            "40P01" => {
                one.batch_execute("BEGIN; UPDATE t SET v = 0 WHERE id = 1").await.unwrap();
                two.batch_execute("BEGIN; UPDATE t SET v = 0 WHERE id = 2").await.unwrap();
                let (a, b) = tokio::join!(
                    one.batch_execute("UPDATE t SET v = 0 WHERE id = 2"),
                    two.batch_execute("UPDATE t SET v = 0 WHERE id = 1")
                );
                let victim = a.err().or(b.err()).expect("one of them");
                one.batch_execute("ROLLBACK").await.unwrap();
                two.batch_execute("ROLLBACK").await.unwrap();
                victim.code().unwrap().code().to_owned()
            }
            "40001" => {
                one.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM t").await.unwrap();
                two.batch_execute("UPDATE t SET v = 7 WHERE id = 1").await.unwrap();
                state(&one, "UPDATE t SET v = 8 WHERE id = 1").await
            }
            "55P03" => {
                two.batch_execute("BEGIN; SELECT * FROM t WHERE id = 1 FOR UPDATE").await.unwrap();
                let found = state(&one, "SELECT * FROM t WHERE id = 1 FOR UPDATE NOWAIT").await;
                one.batch_execute("SET lock_timeout = '50ms'").await.unwrap();
                assert_eq!(state(&one, "UPDATE t SET v = 9 WHERE id = 1").await, found);
                one.batch_execute("RESET lock_timeout").await.unwrap();
                two.batch_execute("ROLLBACK").await.unwrap();
                found
            }
            "57014" => {
                one.batch_execute("SET statement_timeout = '50ms'").await.unwrap();
                let found = state(&one, "SELECT pg_sleep(60)").await;
                one.batch_execute("RESET statement_timeout").await.unwrap();
                found
            }
            "25P02" => {
                one.batch_execute("BEGIN").await.unwrap();
                one.batch_execute("SELECT 1 / 0").await.unwrap_err();
                state(&one, "SELECT 1").await
            }
            "22003" => state(&one, "SELECT 2147483647 + 1").await,
            "53200" => {
                // A share of 256 MB.
                state(&one, "SELECT length(string_agg(repeat('x', 1000000), '')) FROM generate_series(1, 900)").await
            }
            "53000 `admission timeout`" => {
                shown_by(
                    "crates/query/src/session/test/transactions.rs",
                    &["canceling statement due to admission timeout"],
                );
                continue;
            }
            "54001" => state(&one, &format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000))).await,
            "53100" => {
                shown_by("crates/server/tests/it/disk_full.rs", &["53100"]);
                continue;
            }
            "XX001" => {
                shown_by("crates/types/src/sqlstate.rs", &["= b\"XX001\""]);
                shown_by("crates/testkit/tests/it/damage.rs", &["offset"]);
                continue;
            }
            "XX000" => {
                shown_by("crates/gateway/tests/it/hostile.rs", &["fn a_defect_of_the_engine_ends_one_connection"]);
                continue;
            }
            other => panic!("nothing here provokes {other:?}"),
        };
        assert_eq!(found, cell);
    }
}
