//! `cargo xtask bench formats`: segment files beside Vortex, Parquet and DuckDB, on the same rows, in the same run.
//!
//! Ours are the files of a shard, loaded, frozen, merged and read through the storage engine's public face, as the server
//! does it: *young* is many small transactions through the memtable, frozen and never merged; *settled* is one bulk load,
//! merged. Every format answers the same questions and must give the same answers. CPU time of one thread, the contenders
//! taking turns, medians. What has no bar is printed as it comes; bars are judged at the end, and a line is appended to
//! `bench/history/formats.jsonl`.

mod answer;
mod encodings;
mod measure;
mod ours;
mod parquet_file;
mod peers;
mod postgres;
mod report;
mod tables;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use heliosdb_hcc::Temperature;

use measure::{Contender, interleaved, timed};
use peers::{COMPACT, DEFAULT, DUCKDB, Peers};
use report::{Bar, Report};
use tables::Table;

struct Options {
    scale: f64,
    rows: usize,
    rounds: usize,
    reads: usize,
    only: Option<String>,
    dir: PathBuf,
    history: Option<PathBuf>,
    columns: bool,
    encodings: bool,
}

const USAGE: &str = "\
bench formats [--sf N] [--rows N] [--rounds N] [--reads N] [--only lineitem|web_log|metrics] [--dir DIR] [--history FILE] [--columns] [--encodings]
  --sf N       scale of lineitem (1)
  --rows N     rows of the web log and the metrics (2,000,000)
  --rounds N   rounds of each question (9)
  --columns    bytes and encodings of each column, and nothing else
  --encodings  what each encoding costs beside the library it is built on or competes with, and nothing else";

fn options() -> Result<Options, String> {
    let dir = std::env::temp_dir().join("heliosdb-bench-formats");
    let mut options = Options {
        scale: 1.0,
        rows: 2_000_000,
        rounds: 9,
        reads: 20_000,
        only: None,
        dir,
        history: None,
        columns: false,
        encodings: false,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--columns" => options.columns = true,
            "--encodings" => options.encodings = true,
            _ => {}
        }
        if matches!(word.as_str(), "--columns" | "--encodings") {
            continue;
        }
        let value = words.next().ok_or_else(|| format!("{word} needs a value\n{USAGE}"))?;
        let bad = || format!("{word} {value} is not a number");
        match word.as_str() {
            "--sf" => options.scale = value.parse().map_err(|_| bad())?,
            "--rows" => options.rows = value.parse().map_err(|_| bad())?,
            "--rounds" => options.rounds = value.parse().map_err(|_| bad())?,
            "--reads" => options.reads = value.parse().map_err(|_| bad())?,
            "--only" => options.only = Some(value),
            "--dir" => options.dir = value.into(),
            "--history" => options.history = Some(value.into()),
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::from(2);
        }
    };
    if options.encodings {
        encodings::print_all();
        return ExitCode::SUCCESS;
    }
    let wanted = |name: &str| options.only.as_deref().is_none_or(|only| only == name);
    let mut report = Report::default();
    let tables: [(&str, &dyn Fn() -> Table); 3] = [
        ("lineitem", &|| tables::lineitem(options.scale)),
        ("web_log", &|| tables::web_log(options.rows)),
        ("metrics", &|| tables::metrics(options.rows)),
    ];
    for (name, make) in tables.iter().filter(|(name, _)| wanted(name)) {
        let table = make();
        println!("{name}: {} rows, {:.1} MB as Arrow", table.rows(), table.arrow_bytes() as f64 / 1e6);
        if options.columns {
            print_columns(&table);
            continue;
        }
        // What a run that was ended left behind.
        let _ = std::fs::remove_dir_all(&options.dir);
        std::fs::create_dir_all(&options.dir).expect("a folder for the files");
        measure(&table, &options, &mut report);
        let _ = std::fs::remove_dir_all(&options.dir);
    }
    if options.columns {
        return ExitCode::SUCCESS;
    }
    let held = report.print();
    if let Some(history) = &options.history {
        append(history, &options, &report).expect("the history can be written");
    }
    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print_columns(table: &Table) {
    for temperature in [Temperature::Young, Temperature::Settled, Temperature::Cold] {
        for (name, bytes, how) in ours::by_column(table, temperature) {
            println!("  {temperature:?} {name:<16} {:>7.3} B/row  {how}", bytes as f64 / table.rows() as f64);
        }
    }
}

/// Writing takes seconds, so few rounds do.
const ENCODE_ROUNDS: usize = 3;

/// Writes a table in every format and asks what there is to ask of it.
fn measure(table: &Table, options: &Options, report: &mut Report) {
    let name = table.name;
    let rows = table.rows() as f64;
    let (young_dir, settled_dir) = (options.dir.join("young"), options.dir.join("settled"));
    let young = ours::load(table, &young_dir, Temperature::Young).expect("load");
    let settled = ours::load(table, &settled_dir, Temperature::Settled).expect("load");
    let parquet = parquet_file::write(table);
    let parquet_path = options.dir.join("peer.parquet");
    std::fs::write(&parquet_path, &parquet.file).expect("a copy for the peers");
    let mut peers = Peers::start();
    match &peers {
        Some(peers) => println!("  peers: {}", peers.versions()),
        None => report.missing("Vortex and DuckDB (python3 with the packages vortex-data, pyarrow and duckdb)"),
    }
    let megabytes = table.arrow_bytes() as f64 / 1e6;
    let mut sizes = vec![("young", young.bytes as f64 / rows), ("settled", settled.bytes as f64 / rows)];
    sizes.push(("Parquet zstd-3", parquet.file.len() as f64 / rows));
    let mut writers: Vec<Contender<'_, ()>> = vec![
        ("young", Box::new(|| timed(|| ours::encode(table, Temperature::Young)))),
        ("settled", Box::new(|| timed(|| ours::encode(table, Temperature::Settled)))),
        ("Parquet zstd-3", Box::new(|| timed(|| drop(parquet_file::write(table))))),
    ];
    let speed = |(who, ms): (&'static str, f64)| (who, megabytes / ms * 1e3);
    let mut encode: Vec<(&str, f64)> =
        interleaved("encode", ENCODE_ROUNDS, &mut writers).into_iter().map(speed).collect();
    drop(writers);
    // These write once: their processes are slow to start over.
    for (who, file) in [("Vortex default", DEFAULT), ("Vortex compact", COMPACT), ("DuckDB", DUCKDB)] {
        if let Some(peers) = &mut peers {
            let written = peers.write(file, &parquet_path, &options.dir);
            sizes.push((who, written.bytes / rows));
            encode.push((who, megabytes / written.cpu_ms * 1e3));
        }
    }
    sizes.iter().for_each(|(who, bytes)| report.note(&format!("{name} bytes a row"), who, "B", *bytes));
    encode.iter().for_each(|(who, speed)| report.note(&format!("{name} encode"), who, "MB/s", *speed));
    let of = |figures: &[(&str, f64)], who: &str| {
        figures.iter().find(|(name, _)| *name == who).map_or(f64::NAN, |(_, figure)| *figure)
    };
    if name == "lineitem" {
        drop((young, settled));
        let parquet_size = of(&sizes, "Parquet zstd-3");
        let aim = Bar::RatioAtMost(of(&sizes, "Vortex compact") / parquet_size);
        let peer = ("Parquet zstd-3", parquet_size);
        report.compare("on disk, settled", "B/row", of(&sizes, "settled"), peer, Bar::RatioAtMost(1.0), aim);
        let peer = ("Vortex default", of(&sizes, "Vortex default"));
        report.compare(
            "on disk, young",
            "B/row",
            of(&sizes, "young"),
            peer,
            Bar::RatioAtMost(1.1),
            Bar::RatioAtMost(1.0),
        );
        questions(table, options, [&young_dir, &settled_dir], peers, &parquet, report);
        for (which, peer) in [("young", "Vortex default"), ("settled", "Vortex compact")] {
            let parquet = of(&encode, "Parquet zstd-3");
            let aim = Bar::RatioAtLeast(of(&encode, peer) / parquet);
            let (what, peer) = (format!("encode, {which}"), ("Parquet zstd-3", parquet));
            report.compare(&what, "MB/s", of(&encode, which), peer, Bar::RatioAtLeast(1.0), aim);
        }
        return;
    }
    let settled_size = of(&sizes, "settled");
    drop((young, settled));
    match postgres::size(table, &options.dir.join("postgres")) {
        Some(bytes) => {
            let bytes = bytes as f64 / rows;
            report.note(&format!("{name} bytes a row"), "PostgreSQL", "B", bytes);
            let peer = ("a tenth of PostgreSQL", bytes / 10.0);
            let what = format!("{name} on disk, settled");
            report.compare(&what, "B/row", settled_size, peer, Bar::RatioAtMost(1.0), Bar::RatioAtMost(10.0 / 15.0));
        }
        None => report.missing("PostgreSQL's heap and index (no server in /usr/lib/postgresql)"),
    }
    let peer = ("Parquet zstd-3", of(&sizes, "Parquet zstd-3"));
    let what = format!("{name} on disk, settled");
    report.compare(&what, "B/row", settled_size, peer, Bar::RatioAtMost(1.0), Bar::RatioAtMost(1.0));
}

/// Larger than the files, and far smaller.
const WARM_CACHE: u64 = 1 << 30;
const NO_CACHE: u64 = 1 << 20;

fn questions(
    table: &Table,
    options: &Options,
    dirs: [&Path; 2],
    peers: Option<Peers>,
    parquet: &parquet_file::Parquet,
    report: &mut Report,
) {
    let open = |cache| dirs.map(|dir| ours::open_loaded(table, dir, cache).expect("open"));
    let ([young, settled], [young_uncached, settled_uncached]) = (open(WARM_CACHE), open(NO_CACHE));
    let all = [
        ("young", &young),
        ("settled", &settled),
        ("young, nothing cached", &young_uncached),
        ("settled, nothing cached", &settled_uncached),
    ];
    let peers = peers.map(RefCell::new);
    let mut scan3: Vec<Contender<'_, answer::Answer>> =
        vec![("Parquet zstd-3", Box::new(|| timed(|| parquet.scan3())))];
    let mut q6: Vec<Contender<'_, answer::Answer>> = vec![("Parquet zstd-3", Box::new(|| timed(|| parquet.q6())))];
    for (who, ours) in all {
        scan3.push((who, Box::new(|| timed(|| ours.scan3()))));
        q6.push((who, Box::new(|| timed(|| ours.q6()))));
    }
    if let Some(peers) = &peers {
        for (who, file) in [("Vortex default", DEFAULT), ("Vortex compact", COMPACT), ("DuckDB", DUCKDB)] {
            scan3.push((who, Box::new(|| peers.borrow_mut().scan3(file))));
            q6.push((who, Box::new(|| peers.borrow_mut().q6(file))));
        }
    }
    for (what, contenders) in [("filter + 3 columns", &mut scan3), ("Q6", &mut q6)] {
        let times = interleaved(what, options.rounds, contenders);
        times.iter().for_each(|(who, ms)| report.note(&format!("{what} CPU"), who, "ms", *ms));
        for (which, peer) in [("young", "Vortex default"), ("settled", "Vortex compact")] {
            let of = |who: &str| times.iter().find(|(name, _)| *name == who).map_or(f64::NAN, |(_, ms)| *ms);
            let what = format!("{what}, {which}");
            report.compare(&what, "ms", of(which), (peer, of(peer)), Bar::RatioAtMost(1.5), Bar::RatioAtMost(1.0));
        }
    }
    drop((scan3, q6));
    let places: Vec<usize> = (0..200).map(|n| n * 1_299_709 % table.rows()).collect();
    let keys: Vec<i64> = places.iter().map(|row| table.key_of(*row)).collect();
    for (which, ours, who, file) in
        [("young", &young, "Vortex default", DEFAULT), ("settled", &settled, "Vortex compact", COMPACT)]
    {
        let ours = ours.random_row(table, options.reads) / 1e3;
        let its = peers.as_ref().map(|peers| peers.borrow_mut().rows(file, &places, &keys));
        report.note("one random row", which, "us", ours);
        if let Some(its) = its {
            report.note("one random row", &format!("{who}, take"), "us", its.take / 1e3);
            report.note("one random row", &format!("{who}, prepared"), "us", its.value / 1e3);
        }
        let its = its.map_or(f64::NAN, |its| its.take / 1e3);
        let (must, aim) = (Bar::RatioAtMost(1.0 / 30.0), Bar::AtMost(3.0));
        report.compare(&format!("one random row, {which}"), "us", ours, (who, its), must, aim);
    }
}

fn append(history: &Path, options: &Options, report: &Report) -> std::io::Result<()> {
    use std::io::Write;
    let commit = std::process::Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output();
    let commit = commit.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned()).unwrap_or_default();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let line = serde_json::json!({
        "bench": "formats", "commit": commit, "unix_seconds": now, "scale": options.scale, "rows": options.rows,
        "rounds": options.rounds, "results": report.json(),
    });
    writeln!(std::fs::OpenOptions::new().create(true).append(true).open(history)?, "{line}")
}
