//! What PostgreSQL says, we say: golden transcripts.

use heliosdb_testkit::golden::{deviations, difference, files, name, needless, scripts, transcript};
use heliosdb_testkit::server::connect;
use heliosdb_testkit::slt;

use super::Oracle;

/// The sqllogictest files beside the transcripts; with `HELIOSDB_GOLDEN_REWRITE` PostgreSQL is asked whether they are right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn golden_sqllogictest_files_pass() {
    let filter = std::env::var("HELIOSDB_GOLDEN").unwrap_or_default();
    let place = tempfile::tempdir().unwrap();
    let all = files("slt", &filter);
    assert!(!filter.is_empty() || !all.is_empty(), "there are some");
    let oracle = Oracle::start(place.path()).await;
    let (port, server) = (oracle.port, if oracle.rewrites { "postgresql" } else { "heliosdb" });
    let mut wrong = Vec::new();
    for path in &all {
        let client = connect(port).await.unwrap();
        let schema = format!("slt_{}", path.file_stem().unwrap().to_string_lossy());
        client.batch_execute(&format!("CREATE SCHEMA {schema}; SET search_path = {schema}")).await.unwrap();
        let script = slt::parse(&std::fs::read_to_string(path).unwrap());
        let script = script.unwrap_or_else(|what| panic!("{}: {what}", path.display()));
        let played = slt::run(&client, &script, server).await;
        assert!(played.records > 0, "{} does something", name(path));
        wrong.extend(played.wrong.iter().map(|what| format!("== {}.slt, {what}", name(path))));
    }
    assert!(wrong.is_empty(), "{}\nrepeat: cargo xtask sql <feature or name>", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn golden_transcripts_are_postgresqls() {
    let filter = std::env::var("HELIOSDB_GOLDEN").unwrap_or_default();
    let place = tempfile::tempdir().unwrap();
    let oracle = Oracle::start(place.path()).await;
    let (port, rewrite) = (oracle.port, oracle.rewrites);
    let mut wrong = Vec::new();
    let known = deviations();
    let mut transcripts = Vec::new();
    let all = scripts(&filter);
    assert!(!all.is_empty() || !files("slt", &filter).is_empty(), "no golden script matches {filter:?}");
    for path in &all {
        let client = connect(port).await.unwrap();
        let schema = format!("golden_{}", path.file_stem().unwrap().to_string_lossy());
        let setup = format!("CREATE SCHEMA {schema}; SET search_path = {schema}; SET TimeZone = 'UTC'");
        client.batch_execute(&setup).await.unwrap();
        let actual = transcript(&client, path).await;
        let golden = path.with_extension("out");
        if rewrite {
            std::fs::write(&golden, actual).unwrap();
        } else {
            let expected = std::fs::read_to_string(&golden).unwrap_or_default();
            wrong.extend(difference(&actual, &expected, &known).map(|why| format!("== {}: {why}", name(path))));
            transcripts.push(actual);
        }
    }
    if !rewrite && filter.is_empty() {
        let stale = needless(&known, &transcripts);
        wrong.extend(stale.iter().map(|block| format!("== deviations.txt: no longer so, remove it:\n{block}")));
    }
    let repeat = "repeat: cargo xtask sql <feature or name>";
    assert!(wrong.is_empty(), "{}\n{repeat}", wrong.join("\n"));
}
