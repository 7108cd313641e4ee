//! A disk that fails to sync: nothing more is acknowledged, reads go on, a restart has everything acknowledged.

use heliosdb_testkit::server::{Server, ServerOptions};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_sync_stops_writes_for_good_and_loses_nothing_acknowledged() {
    let place = tempfile::tempdir().unwrap();
    let options = ServerOptions::new(place.path().join("data"));
    let mut server = Server::start(&options).await.unwrap();
    let client = server.connect().await.unwrap();
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY)").await.unwrap();
    server.kill().unwrap();

    let failing = options.clone().env("HELIOSDB_FAILPOINTS", "wal.before_sync=error(0.05)");
    let server = loop {
        // Starting commits too, so the first failure may strike before anybody can connect.
        match Server::start(&failing).await {
            Ok(server) if server.connect().await.is_ok() => break server,
            _ => {}
        }
    };
    let client = server.connect().await.unwrap();
    let mut acknowledged = 0;
    let error = loop {
        assert!(acknowledged < 10_000, "a twentieth of the syncs fail");
        match client.execute(&format!("INSERT INTO t VALUES ({acknowledged})"), &[]).await {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    let code = |error: &tokio_postgres::Error| error.code().map(|code| code.code().to_owned());
    assert_eq!(code(&error).as_deref(), Some("58030"), "{error:?}");
    for client in [&client, &server.connect().await.unwrap()] {
        let error = client.execute("INSERT INTO t VALUES (-1)", &[]).await.unwrap_err();
        assert_eq!(code(&error).as_deref(), Some("58030"), "for good, and for everybody: {error:?}");
        let row = client.query_one("SELECT count(*) FROM t WHERE id >= 0", &[]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), acknowledged, "reads go on, and see what was acknowledged");
    }
    drop(server);

    let server = Server::start(&options).await.unwrap();
    let client = server.connect().await.unwrap();
    let row = client.query_one("SELECT count(*), max(id) FROM t", &[]).await.unwrap();
    let (count, newest) = (row.get::<_, i64>(0), row.get::<_, Option<i32>>(1));
    // The insert that failed may have reached the disk, or not: nobody was told.
    assert!(count == acknowledged || count == acknowledged + 1, "{count} rows of {acknowledged} acknowledged");
    assert_eq!(newest.map_or(0, |id| i64::from(id) + 1), count);
    client.batch_execute("INSERT INTO t VALUES (100000)").await.unwrap();
}
