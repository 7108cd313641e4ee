//! Random list-append histories over the wire, with crashes. `cargo xtask elle --minutes N` runs longer.

use std::time::Duration;

use heliosdb_testkit::elle::{ElleOptions, run};
use heliosdb_testkit::tpcc::LEVELS;

/// What a level promises holds; with its checks switched off in the server the checker must notice.
async fn histories_are_right(level: &'static str, wrong: &str) {
    let place = tempfile::tempdir().unwrap();
    let options = ElleOptions {
        data_dir: place.path().join("data"),
        time: Duration::from_secs(5),
        clients: 6,
        crash_every: Duration::from_secs(3),
        level,
        weakened: false,
    };
    let report = run(&options).await.unwrap();
    assert!(report.committed > 30 && report.crashes > 0, "{report:?}");
    let options = ElleOptions { data_dir: place.path().join("weak"), weakened: true, ..options };
    let found = run(&options).await.unwrap_err();
    assert!(found.contains(wrong), "{found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_committed_histories_lose_nothing() {
    histories_are_right(LEVELS[0], "an acknowledged append is lost").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeatable_read_histories_have_snapshots() {
    histories_are_right(LEVELS[1], "read past another that comes before it").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serializable_histories_have_a_serial_order() {
    histories_are_right(LEVELS[2], "no serial order").await;
}
