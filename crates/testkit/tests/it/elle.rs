//! Random list-append histories over the wire, with crashes. `cargo xtask elle --minutes N` runs longer.

use std::time::Duration;

use heliosdb_testkit::elle::{ElleOptions, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serializable_histories_over_the_wire_have_a_serial_order() {
    let place = tempfile::tempdir().unwrap();
    let options = ElleOptions {
        data_dir: place.path().join("data"),
        time: Duration::from_secs(8),
        clients: 6,
        crash_every: Duration::from_secs(3),
        weakened: false,
    };
    let report = run(&options).await.unwrap();
    assert!(report.committed > 50 && report.crashes > 0, "{report:?}");
    // The same, with the checks switched off in the server: the checker must notice.
    let options = ElleOptions { data_dir: place.path().join("weak"), weakened: true, ..options };
    let wrong = run(&options).await.unwrap_err();
    assert!(wrong.contains("no serial order"), "{wrong}");
}
