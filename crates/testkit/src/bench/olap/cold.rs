//! Cold starts: both engines stopped, the page cache emptied, both started, one query each; for every query anew.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{OlapOptions, load_ours, load_peer, start};
use crate::bench::beside::{self, Timing, chosen, describe, query, verdict};
use crate::bench::{history, median};
use crate::peer::{DuckDb, Peer, install_duckdb};
use crate::tpch;

/// Times DuckDB's, in total.
const TOTAL_MAX: f64 = 1.0;
const STOP_PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn run(options: &OlapOptions, data: &Path, place: &Path) -> Result<(), String> {
    let packages = install_duckdb(&options.work_dir).map_err(|error| error.to_string())?;
    let (ours, theirs) = (place.join("ours"), place.join("peer.duckdb"));
    let mut server = start(options, &ours).await?;
    let client = server.connect().await.map_err(|error| error.to_string())?;
    load_ours(&client, data).await?;
    client.batch_execute("CHECKPOINT; ANALYZE").await.map_err(|error| describe("CHECKPOINT", &error))?;
    drop(client);
    server.stop(STOP_PATIENCE).map_err(|error| error.to_string())?;
    let mut duck = DuckDb::open(&packages, &theirs, options.threads).map_err(|error| error.to_string())?;
    load_peer(&mut duck, data).map_err(|error| error.to_string())?;
    let version = duck.version.clone();
    drop(duck);

    let (mut timings, mut wrong, mut starts) = (Vec::new(), Vec::new(), Vec::new());
    let mut how = "";
    for (name, sql) in chosen(tpch::QUERIES, &options.only) {
        let (mut our_times, mut peer_times, mut rows) = (Vec::new(), Vec::new(), 0);
        for _ in 0..options.runs.max(1) {
            how = empty_page_cache(place).map_err(|error| error.to_string())?;
            let began = Instant::now();
            let mut server = start(options, &ours).await?;
            let client = server.connect().await.map_err(|error| error.to_string())?;
            starts.push(began.elapsed().as_secs_f64());
            let (answer, seconds) = query(&client, sql).await.map_err(|error| format!("{name}: {error}"))?;
            our_times.push(seconds);
            drop(client);
            server.stop(STOP_PATIENCE).map_err(|error| error.to_string())?;
            empty_page_cache(place).map_err(|error| error.to_string())?;
            let mut duck = DuckDb::open(&packages, &theirs, options.threads).map_err(|error| error.to_string())?;
            let (expected, seconds) = duck.query(sql).map_err(|error| format!("{name}: {error}"))?;
            peer_times.push(seconds);
            rows = expected.len();
            wrong.extend(tpch::differences(&answer, &expected).into_iter().map(|d| format!("{name}: {d}")));
        }
        timings.push(Timing { name, rows, ours: median(&our_times), peer: median(&peer_times) });
    }
    println!(
        "TPC-H scale {}, the first query after a start, page cache emptied by {how}: HeliosDB beside DuckDB {version}, {} threads each",
        options.scale, options.threads
    );
    println!("our start, until a connection is open: {:.0} ms", median(&starts) * 1e3);
    beside::report(&timings, "DuckDB", TOTAL_MAX, f64::INFINITY);
    let (total, each) = beside::as_json(&timings);
    if options.only.is_empty() && !options.check_only {
        let result = json!({
            "scale": options.scale, "threads": options.threads, "runs": options.runs, "peer": format!("DuckDB {version}"),
            "emptied_by": how, "start_seconds": median(&starts), "total_seconds": total, "queries": each, "wrong": wrong.len(),
        });
        history::append("olap-cold", result).map_err(|error| error.to_string())?;
    }
    verdict("DuckDB", timings.len(), &wrong)
}

/// Empties the kernel's page cache, or where that is not allowed, drops the pages of a folder's files; which of them.
fn empty_page_cache(folder: &Path) -> io::Result<&'static str> {
    // Only clean pages are dropped.
    drop_pages(folder)?;
    let everything = File::options().write(true).open("/proc/sys/vm/drop_caches");
    Ok(match everything.and_then(|mut file| file.write_all(b"3")) {
        Ok(()) => "drop_caches",
        Err(_) => "posix_fadvise of both databases' files",
    })
}

#[allow(unsafe_code, reason = "posix_fadvise(2) has no safe wrapper in std")]
fn drop_pages(path: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        if path.is_dir() {
            drop_pages(&path)?;
            continue;
        }
        let file = File::open(&path)?;
        file.sync_all()?;
        // SAFETY: the descriptor is open while `file` lives, and advice changes no memory of ours.
        let status = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        if status != 0 {
            return Err(io::Error::from_raw_os_error(status));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_nested_folders_can_be_dropped_and_read_again() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join("below")).unwrap();
        std::fs::write(place.path().join("below/file"), vec![7; 100_000]).unwrap();
        drop_pages(place.path()).unwrap();
        assert_eq!(std::fs::read(place.path().join("below/file")).unwrap(), vec![7; 100_000]);
        assert!(drop_pages(&place.path().join("nowhere")).is_err());
    }
}
