//! Indexes made, made again and dropped beside writers, with kill -9. `cargo xtask crash` runs longer.

use heliosdb_testkit::crash::{IndexOptions, run_indexes};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_is_whole_or_not_read_after_a_crash() {
    let place = tempfile::tempdir().unwrap();
    let options = IndexOptions { data_dir: place.path().join("data"), cycles: 8, seed: rand::random(), every: 8 };
    let report = run_indexes(&options).await.unwrap_or_else(|why| panic!("{why}"));
    println!("{report:?}");
    assert!(report.statements > 0 && report.interrupted > 0 && report.checked > 5, "{report:?}");
    assert!(report.not_taken * 5 < report.checked, "valid indexes are read: {report:?}");
}
