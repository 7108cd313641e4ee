//! The long haul, made short: kills and backups in the middle of writers and a stream.

use std::time::Duration;

use heliosdb_testkit::long_haul::{self, LongHaulOptions};
use heliosdb_testkit::tpcc::Scale;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_nothing_and_the_last_backup_is_whole() {
    let place = tempfile::tempdir().unwrap();
    let options = LongHaulOptions {
        data_dir: place.path().join("data"),
        scale: Scale { warehouses: 2, items: 60, districts: 3, customers: 20 },
        time: Duration::from_secs(8),
        kill_every: Duration::from_secs(3),
        backup_every: Duration::from_secs(1),
        clients: 3,
        rate: Some(60.0),
        seed: 5,
        plots: false,
    };
    let report = long_haul::run(&options).await.unwrap();
    assert!(report.kills >= 2 && report.committed > 0 && report.backups > 0, "{report:?}");
    assert!(report.samples.iter().all(|sample| sample.resident_bytes > 0 && sample.disk_bytes > 0), "{report:?}");
}
