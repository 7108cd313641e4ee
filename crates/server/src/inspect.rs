//! `heliosdb inspect`: what a stopped database is made of.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use heliosdb_contracts::SegmentFacts;
use heliosdb_runtime::{Disk, RealDisk};
use heliosdb_storage::{Inspection, inspect_dir, inspect_segment};
use heliosdb_types::CommitTs;
use serde_json::{Value, json};

use crate::data_dir;
use crate::exit::Failure;
use crate::memory::show;
use crate::offline::{Offline, shard_files};
use crate::table::Table;

/// Seconds from 1970 to 2000, where commit timestamps begin.
const EPOCH_2000_SECONDS: i64 = 946_684_800;

#[derive(Args, Clone, Debug)]
pub(crate) struct InspectArgs {
    /// Data directory of a stopped server, or one segment file (.seg)
    path: PathBuf,

    /// One table (or index) with its columns, segment by segment: name or schema.name
    #[arg(long, short, value_name = "NAME")]
    table: Option<String>,

    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn inspect(args: &InspectArgs) -> Result<(), Failure> {
    let parts = if args.path.is_file() { vec![segment(&args.path)?] } else { database(args)? };
    let text = match args.json {
        true => {
            let object: serde_json::Map<String, Value> =
                parts.into_iter().map(|part| (part.name.to_owned(), part.json())).collect();
            format!("{:#}\n", Value::Object(object))
        }
        false => parts.iter().map(Part::text).collect::<Vec<_>>().join("\n"),
    };
    // Whoever does not read it does not want it.
    let _ = std::io::Write::write_all(&mut std::io::stdout().lock(), text.as_bytes());
    Ok(())
}

/// A titled piece of the answer.
struct Part {
    name: &'static str,
    content: Content,
}

enum Content {
    Facts(Vec<(&'static str, String)>),
    Table(Table),
}

impl Part {
    fn text(&self) -> String {
        let body = match &self.content {
            Content::Facts(facts) => {
                let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
                facts.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
            }
            Content::Table(table) => table.text(),
        };
        format!("== {} ==\n{body}", self.name)
    }

    fn json(self) -> Value {
        match self.content {
            Content::Facts(facts) => {
                Value::Object(facts.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect())
            }
            Content::Table(table) => table.json(),
        }
    }
}

fn database(args: &InspectArgs) -> Result<Vec<Part>, Failure> {
    let (_disk, _lock) = data_dir::open_existing(&args.path)?;
    let files = shard_files(&args.path)?;
    let found = inspect_dir(&files).map_err(Failure::data)?;
    let mut parts = Vec::new();
    if args.table.is_none() {
        parts.extend(summary(&found));
    }
    match Offline::open(files) {
        Ok(offline) => parts.extend(relations(&offline, args.table.as_deref()).map_err(Failure::data)?),
        Err(error) => {
            eprintln!("tables are shown by number, as the database cannot be opened: {error}");
            parts.push(trees(&found));
        }
    }
    Ok(parts)
}

fn summary(found: &Inspection) -> Vec<Part> {
    let manifest = match &found.manifest {
        None => vec![("manifest", "none yet: everything is in the log".to_owned())],
        Some(manifest) => vec![
            ("file", manifest.path.clone()),
            ("number", manifest.number.to_string()),
            ("replay from record", (manifest.replay_lsn.0 + 1).to_string()),
            ("captured up to record", manifest.captured_lsn.to_string()),
            ("last commit", time(manifest.last_ts)),
            ("last change of the catalog", time(manifest.catalog_ts)),
            ("trees", found.trees.len().to_string()),
            ("segments", found.trees.iter().map(|tree| tree.segments.len()).sum::<usize>().to_string()),
            ("branches", manifest.branches.to_string()),
            ("counters", manifest.counters.to_string()),
            ("loads after the replay point", manifest.loads.to_string()),
            ("next segment, next tree", format!("{}, {}", manifest.next_segment, manifest.next_tree)),
        ],
    };
    let formats = found.versions.iter().map(|kind| {
        let row = [kind.kind.to_owned(), kind.version.to_string(), kind.files.to_string(), kind.bytes.to_string()];
        row.map(Some).to_vec()
    });
    let log = found.log.files.iter().map(|file| {
        let name = file.path.rsplit('/').next().unwrap_or_default().to_owned();
        let row = [
            name,
            file.version.to_string(),
            file.first_lsn.to_string(),
            if file.last_lsn >= file.first_lsn { file.last_lsn.to_string() } else { String::new() },
            file.bytes.to_string(),
            file.used_bytes.to_string(),
            if file.last_ts == CommitTs::ZERO { String::new() } else { time(file.last_ts) },
        ];
        row.map(|text| Some(text).filter(|text| !text.is_empty())).to_vec()
    });
    let named = |columns: &[&str]| columns.iter().map(|name| (*name).to_owned()).collect();
    let mut parts = vec![
        Part { name: "manifest", content: Content::Facts(manifest) },
        Part {
            name: "formats",
            content: Content::Table(Table {
                columns: named(&["kind", "version", "files", "bytes"]),
                rows: formats.collect(),
            }),
        },
        Part {
            name: "log",
            content: Content::Table(Table {
                columns: named(&["file", "version", "first record", "last record", "bytes", "used", "last commit"]),
                rows: log.collect(),
            }),
        },
    ];
    let mut notes: Vec<(&'static str, String)> = Vec::new();
    if let Some(torn) = &found.log.torn {
        notes.push(("torn tail", format!("{} at offset {}: the next start cuts it", torn.file, torn.offset)));
    }
    notes.extend(
        found
            .log
            .problems
            .iter()
            .map(|problem| ("problem", format!("{} at offset {}: {}", problem.path, problem.offset, problem.problem))),
    );
    if !notes.is_empty() {
        parts.push(Part { name: "notes", content: Content::Facts(notes) });
    }
    parts
}

/// A commit's moment in UTC: `2026-11-21 18:00:00.000000`.
fn time(ts: CommitTs) -> String {
    let micros = ts.micros();
    let seconds = EPOCH_2000_SECONDS + i64::try_from(micros / 1_000_000).unwrap_or(0);
    let (days, in_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (in_day / 3600, in_day / 60 % 60, in_day % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{:06}", micros % 1_000_000)
}

/// Days since 1970-01-01 as a date (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

const RELATIONS: &str = "SELECT schemaname, relname, relkind, segments, young_segments, live_rows, segment_rows, \
    deletes, memory_bytes, stored_bytes, plain_bytes, ratio FROM helios_relations \
    WHERE segments > 0 OR (live_rows > 0 AND schemaname NOT LIKE 'pg\\_%') ORDER BY 1, tablename, relkind DESC, 2";
const RELATION_COLUMNS: [&str; 13] = [
    "database",
    "schema",
    "relation",
    "kind",
    "segments",
    "young",
    "live rows",
    "segment rows",
    "deletes",
    "log bytes in memory",
    "stored bytes",
    "plain bytes",
    "ratio",
];
const SEGMENTS: &str = "SELECT schemaname, relname, segment, level, temperature, rows, deletes, segment_bytes, attname, \
    type, stored_bytes, plain_bytes, ratio, encodings, null_count, min_value, max_value, min_key, max_key \
    FROM helios_segments WHERE relname = ";
const SEGMENT_COLUMNS: [&str; 20] = [
    "database",
    "schema",
    "relation",
    "segment",
    "level",
    "temperature",
    "rows",
    "deletes",
    "file bytes",
    "column",
    "type",
    "stored bytes",
    "plain bytes",
    "ratio",
    "encodings",
    "nulls",
    "min",
    "max",
    "first key",
    "last key",
];

fn relations(offline: &Offline, table: Option<&str>) -> heliosdb_types::Result<Vec<Part>> {
    let literal = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let (name, columns, sql): (_, Vec<String>, _) = match table {
        None => ("relations", RELATION_COLUMNS.map(str::to_owned).to_vec(), RELATIONS.to_owned()),
        Some(table) => {
            let (schema, relation) = table.split_once('.').map_or((None, table), |(s, r)| (Some(s), r));
            let of_schema = schema.map(|schema| format!(" AND schemaname = {}", literal(schema))).unwrap_or_default();
            let sql = format!("{SEGMENTS}{}{of_schema} ORDER BY segment, attnum", literal(relation));
            ("segments", SEGMENT_COLUMNS.map(str::to_owned).to_vec(), sql)
        }
    };
    let mut rows = Vec::new();
    for database in offline.databases()? {
        for mut row in offline.rows(&database, &sql)? {
            row.insert(0, Some(database.clone()));
            rows.push(row);
        }
    }
    Ok(vec![Part { name, content: Content::Table(Table { columns, rows }) }])
}

/// Trees by number, where the catalog cannot be read.
fn trees(found: &Inspection) -> Part {
    let rows = found.trees.iter().map(|tree| {
        let sum = |of: fn(&SegmentFacts) -> u64| tree.segments.iter().map(of).sum::<u64>().to_string();
        vec![
            Some(tree.tree.to_string()),
            Some(tree.columns.to_string()),
            Some(tree.segments.len().to_string()),
            Some(sum(|segment| segment.rows)),
            Some(sum(|segment| segment.deletes)),
            Some(sum(|segment| segment.stored_bytes)),
            tree.dropped.then(|| "dropped".to_owned()),
        ]
    });
    let columns =
        ["tree", "columns", "segments", "rows", "deletes", "stored bytes", "state"].map(str::to_owned).to_vec();
    Part { name: "trees", content: Content::Table(Table { columns, rows: rows.collect() }) }
}

fn segment(path: &Path) -> Result<Part, Failure> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(dir).map_err(Failure::data)?);
    let facts = inspect_segment(&disk, name).map_err(Failure::data)?;
    eprintln!(
        "segment {} of tree {}: {} rows in {} blocks, {}, bloom filter {}, {}, commits {} to {}",
        facts.id,
        facts.tree,
        facts.rows,
        facts.blocks,
        show(facts.stored_bytes),
        show(facts.bloom_bytes),
        facts.temperature,
        time(facts.min_ts),
        time(facts.max_ts)
    );
    let rows = facts.columns.iter().map(|column| {
        let encodings: Vec<String> = column.encodings.iter().map(|(name, count)| format!("{name} {count}")).collect();
        let bound = |bound: &Option<heliosdb_types::Datum>| bound.as_ref().map(|datum| format!("{datum:?}"));
        vec![
            Some(column.column.to_string()),
            Some(format!("{:?}", column.physical)),
            Some(column.stored_bytes.to_string()),
            Some(column.plain_bytes.to_string()),
            Some(format!("{:.2}", column.plain_bytes as f64 / column.stored_bytes.max(1) as f64)),
            Some(encodings.join(", ")),
            Some(column.nulls.to_string()),
            bound(&column.min),
            bound(&column.max),
        ]
    });
    let columns = ["column", "type", "stored bytes", "plain bytes", "ratio", "encodings", "nulls", "min", "max"];
    let table = Table { columns: columns.map(str::to_owned).to_vec(), rows: rows.collect() };
    Ok(Part { name: "columns", content: Content::Table(table) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commit_times_are_dates() {
        assert_eq!(time(CommitTs::from_micros(0)), "2000-01-01 00:00:00.000000");
        assert_eq!(time(CommitTs::from_micros(848_584_799_000_001)), "2026-11-21 13:59:59.000001");
    }
}
