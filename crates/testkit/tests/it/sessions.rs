//! Several sessions step by step: blocked or not, rows, SQLSTATEs, beside PostgreSQL's.

use heliosdb_testkit::golden::difference;
use heliosdb_testkit::sessions::{scripts, transcript};

use super::Oracle;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_wait_and_fail_as_postgresqls_do() {
    let filter = std::env::var("HELIOSDB_GOLDEN").unwrap_or_default();
    let place = tempfile::tempdir().unwrap();
    let oracle = Oracle::start(place.path()).await;
    let (port, rewrite) = (oracle.port, oracle.rewrites);
    let mut wrong = Vec::new();
    for path in &scripts(&filter) {
        let actual = transcript(port, path).await;
        let golden = path.with_extension("out");
        if rewrite {
            std::fs::write(&golden, actual).unwrap();
            continue;
        }
        // What we answer otherwise on purpose has a file of its own; docs/isolation.md says why.
        let own = path.with_extension("ours");
        let expected = if own.exists() { own } else { golden };
        let expected = std::fs::read_to_string(&expected).unwrap_or_default();
        if std::env::var_os("HELIOSDB_SESSIONS_SHOW").is_some() {
            std::fs::write(std::env::temp_dir().join(path.with_extension("actual").file_name().unwrap()), &actual)
                .unwrap();
        }
        wrong.extend(difference(&actual, &expected, "").map(|why| format!("== {}: {why}", path.display())));
    }
    let repeat = "repeat: HELIOSDB_GOLDEN=<name> cargo test -p heliosdb-testkit --test it sessions";
    assert!(wrong.is_empty(), "{}\n{repeat}", wrong.join("\n"));
}
