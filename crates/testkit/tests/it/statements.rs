//! Statements in the server's log, and who waits for whom as other sessions see it.

use std::time::Duration;

use heliosdb_testkit::server::{Server, ServerOptions};
use serde_json::Value;

use super::value;

/// The events of a target, as JSON.
fn events(server: &Server, target: &str) -> Vec<Value> {
    let log = std::fs::read_to_string(&server.log).unwrap();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["target"] == target).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_statements_and_failures_are_logged_with_all_about_them() {
    let place = tempfile::tempdir().unwrap();
    let options = ServerOptions::new(place.path().join("data"))
        .arg("--log-format")
        .arg("json")
        .arg("--log")
        .arg("error,errors=info")
        .arg("--log-min-duration-statement")
        .arg("100ms");
    let server = Server::start(&options).await.unwrap();
    let client = server.connect().await.unwrap();
    assert_eq!(value(&client, "SHOW log_min_duration_statement").await, "100ms");
    client.batch_execute("SET application_name = 'shop'; CREATE TABLE t (a int PRIMARY KEY, b text)").await.unwrap();
    client.batch_execute("SELECT 1").await.unwrap();
    client.query("SELECT pg_sleep(0.15), $1::int + 1, $2::text", &[&41, &"it's"]).await.unwrap();
    let slow = events(&server, "statements");
    let [slow] = &slow[..] else { panic!("one statement was slow: {slow:?}") };
    assert!(slow["duration_ms"].as_f64().unwrap() >= 150.0, "{slow}");
    assert_eq!(slow["statement"], "SELECT pg_sleep(0.15), $1::int + 1, $2::text");
    assert_eq!(slow["parameters"], "$1 = '41', $2 = 'it''s'");
    assert_eq!((slow["user"].as_str(), slow["database"].as_str()), (Some("postgres"), Some("postgres")));
    assert_eq!((slow["application_name"].as_str(), slow["rows"].as_u64()), (Some("shop"), Some(1)));
    assert_eq!(slow["pid"].to_string(), value(&client, "SELECT pg_backend_pid()").await);
    // By kind, and the second of a script.
    client.batch_execute("SET log_statement = 'mod'; INSERT INTO t VALUES (1, 'x'); SELECT a FROM t").await.unwrap();
    let logged = events(&server, "statements");
    assert_eq!(logged.len(), 2, "{logged:?}");
    assert_eq!(logged[1]["statement"], "INSERT INTO t VALUES (1, 'x')");
    client.batch_execute("INSERT INTO t VALUES (1, 'y')").await.unwrap_err();
    client.batch_execute("SELEC 1").await.unwrap_err();
    let failed = events(&server, "errors");
    assert_eq!(failed[0]["sqlstate"], "23505");
    assert_eq!(failed[0]["statement"], "INSERT INTO t VALUES (1, 'y')");
    assert_eq!((failed[1]["sqlstate"].as_str(), failed[1]["statement"].as_str()), (Some("42601"), Some("SELEC 1")));
    client.batch_execute("SET log_min_error_statement = 'panic'").await.unwrap();
    client.batch_execute("SELEC 2").await.unwrap_err();
    assert_eq!(events(&server, "errors").len(), failed.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_waits_for_a_lock_is_seen_to() {
    let place = tempfile::tempdir().unwrap();
    let options = ServerOptions::new(place.path().join("data")).env("HELIOSDB_LOG", "warn");
    let server = Server::start(&options).await.unwrap();
    let [holder, waiter, watcher] =
        [server.connect().await.unwrap(), server.connect().await.unwrap(), server.connect().await.unwrap()];
    holder.batch_execute("CREATE TABLE t (a int PRIMARY KEY, b int); INSERT INTO t VALUES (1, 0)").await.unwrap();
    holder.batch_execute("BEGIN; UPDATE t SET b = 1").await.unwrap();
    let pid = value(&waiter, "SELECT pg_backend_pid()").await;
    let waiting = tokio::spawn(async move { waiter.batch_execute("UPDATE t SET b = 2 WHERE a = 1").await });
    let sql = format!(
        "SELECT concat_ws('|', state, wait_event_type, wait_event, xact_start IS NOT NULL, query) FROM pg_stat_activity WHERE pid = {pid}"
    );
    let mut seen = String::new();
    for _ in 0..100 {
        seen = value(&watcher, &sql).await;
        if seen.contains("Lock") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(seen, "active|Lock|tuple|t|UPDATE t SET b = 2 WHERE a = 1");
    let mine = "SELECT concat_ws('|', state, wait_event_type, wait_event) FROM pg_stat_activity WHERE query LIKE 'BEGIN; UPDATE%'";
    assert_eq!(value(&watcher, mine).await, "idle in transaction|Client|ClientRead");
    tokio::time::sleep(Duration::from_millis(50)).await;
    holder.batch_execute("COMMIT").await.unwrap();
    waiting.await.unwrap().unwrap();
    // The wait counts as time of the statement.
    let spent =
        "SELECT calls, max_exec_time >= 20 FROM pg_stat_statements WHERE query = 'UPDATE t SET b = $1 WHERE a = $2'";
    let row = watcher.query_one(spent, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, bool>(1)), (1, true));
}
