//! Scans: lineitem after updates and deletes beside a fresh copy of the same rows, zone maps, two threads.

use std::sync::Arc;

use bytes::Bytes;
use futures::executor::block_on;
use heliosdb_contracts::{
    BatchReader, ColumnDescriptor, ColumnPredicate, CompareOp, KeyedRow, PredicateOp, ScanRequest, ShardStore,
    TableScan, TreeDescriptor, TreeDescriptorRef, TreeKey, datum_at, row_id_key,
};
use heliosdb_storage::{Shard, ShardOptions};
use heliosdb_types::{ColumnId, DatabaseId, Datum, DatumRef, SchemaVersion, TreeId, TreeRef, encode_key, encode_row};

use crate::measure::{cpu_seconds, seconds, turns};
use crate::report::{Bar, Report};
use crate::rows::mix;
use crate::tables::{Table, lineitem};
use crate::{Options, ours};

/// Days since 1970.
const FROM: i32 = 8766; // 1994-01-01
const YEAR: i32 = 365;
const MONTH: i32 = 31;
const SHIPDATE: usize = 10;

pub fn run(options: &Options, report: &mut Report) {
    let table = lineitem(if options.quick { 0.05 } else { 1.0 });
    let rounds = if options.quick { 3 } else { 9 };
    let dir = options.fresh("scans");
    let descriptor = descriptor(&table, TreeKey::Columns(table.key.iter().map(|at| column(*at)).collect()));
    // Merging would hide what is measured: the state between a change and the next merge.
    let settings = || ShardOptions { background: false, cache_bytes: 2 << 30, ..ShardOptions::default() };
    let (fresh, _) = ours::open(&dir.join("fresh"), settings()).expect("open");
    let (changed, _) = ours::open(&dir.join("changed"), settings()).expect("open");
    for shard in [&fresh, &changed] {
        ours::define(shard, &descriptor).expect("define");
    }
    let whole = |round: u64| rows(&table, &descriptor, round);
    ours::load(&changed, &descriptor, whole(0).map(|(_, row)| row)).expect("load");
    change(&changed, &descriptor, whole(1));
    ours::load(&fresh, &descriptor, whole(1).filter(|(_, row)| !is_deleted(&row.key)).map(|(_, row)| row))
        .expect("load");
    let frozen = dir.join("frozen");
    copy(&dir.join("changed"), &frozen);
    let (frozen, _) = ours::open(&frozen, settings()).expect("open");
    block_on(frozen.checkpoint(false)).expect("freeze");
    let year = |shard: &Shard, threads| scan(shard, &descriptor, FROM, FROM + YEAR, threads);
    let expected = year(&fresh, 1);
    assert_eq!(expected, year(&changed, 1), "the same rows either way");
    assert_eq!(expected, year(&frozen, 1), "the same rows either way");
    let ms = |shard: &Arc<Shard>, threads: usize| {
        let (shard, year) = (shard.clone(), &year);
        let run = move || assert!(year(&shard, threads).0 > 0);
        // Two threads are worth what the clock on the wall says.
        Box::new(move || if threads == 0 { cpu_seconds(&run) } else { seconds(&run) } * 1e3) as Box<dyn FnMut() -> f64>
    };
    let figures = turns(
        rounds,
        &mut [
            ("fresh", ms(&fresh, 0)),
            ("changed", ms(&changed, 0)),
            ("frozen", ms(&frozen, 0)),
            ("fresh, one thread", ms(&fresh, 1)),
            ("fresh, two threads", ms(&fresh, 2)),
        ],
    );
    let of_fresh = ("freshly loaded", figures[0]);
    report.compare("scans", "5 % updated, 1 % deleted, in memory", "ms", figures[1], of_fresh, Bar::RatioAtMost(1.2));
    report.compare("scans", "the same, frozen", "ms", figures[2], of_fresh, Bar::RatioAtMost(1.2));
    let speed = figures[3] / figures[4];
    report.judge("scans", "two threads, times as fast as one", "", speed, Bar::AtLeast(1.8));
    drop((fresh, changed, frozen));
    zones(options, &table, report);
}

/// One month of rows that came in the order of their ship dates, without a key of their own.
fn zones(options: &Options, table: &Table, report: &mut Report) {
    let dir = options.fresh("scans-zones");
    let (shard, _) = ours::open(&dir, ShardOptions { background: false, ..ShardOptions::default() }).expect("open");
    let hidden = descriptor(table, TreeKey::RowId);
    ours::define(&shard, &hidden).expect("define");
    let mut order: Vec<(i32, KeyedRow)> = rows(table, &hidden, 0).map(|(date, row)| (date, row)).collect();
    // Arrival is nearly in order: a few days of jitter.
    order.sort_by_key(|(date, row)| date + (mix(row.row.len() as u64 ^ u64::from(row.row[10])) % 5) as i32);
    let arrived = order.into_iter().enumerate().map(|(n, (_, row))| {
        let key = Bytes::copy_from_slice(&row_id_key(n as u64 + 1));
        KeyedRow { key, row: row.row }
    });
    ours::load(&shard, &hidden, arrived).expect("load");
    let request = request(&hidden, FROM, FROM + MONTH, 1);
    let scan = shard.scan(&ours::context(&shard), &request).expect("scan");
    assert!(drain(scan.as_ref(), 0).0 > 0);
    let counters = scan.metrics().counters();
    let of = |name: &str| counters.iter().find(|(known, _)| *known == name).map_or(0, |(_, n)| *n) as f64;
    // A segment that is skipped skips all its blocks.
    let blocks = (table.rows() as f64 / ShardOptions::default().block_rows as f64).ceil();
    let skipped = 100.0 * (1.0 - of("blocks_read") / blocks);
    report.judge("scans", "blocks skipped for a month, keys follow arrival", "%", skipped, Bar::AtLeast(90.0));
}

fn column(at: usize) -> ColumnId {
    ColumnId(at as u32 + 1)
}

fn descriptor(table: &Table, key: TreeKey) -> TreeDescriptorRef {
    let columns = table.columns.iter().enumerate().map(|(at, (_, physical))| ColumnDescriptor {
        id: column(at),
        physical: *physical,
        nullable: true,
        missing: None,
    });
    let id = if key == TreeKey::RowId { 2004 } else { 2003 };
    let tree = TreeRef::new(DatabaseId(1), TreeId(id));
    Arc::new(TreeDescriptor { tree, version: SchemaVersion(1), columns: columns.collect(), key, sort: None })
}

fn is_updated(key: &[u8]) -> bool {
    key.iter().fold(17, |hash, byte| mix(hash ^ u64::from(*byte))) % 100 < 5
}

fn is_deleted(key: &[u8]) -> bool {
    key.iter().fold(91, |hash, byte| mix(hash ^ u64::from(*byte))) % 100 == 0
}

/// The table's rows with their ship dates; after round 0, updated ones have another tax.
fn rows<'a>(
    table: &'a Table,
    descriptor: &'a TreeDescriptor,
    round: u64,
) -> impl Iterator<Item = (i32, KeyedRow)> + 'a {
    let types = descriptor.physical_types();
    let places = table.batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| (batch, row)));
    places.map(move |(batch, row)| {
        let mut values: Vec<DatumRef<'_>> =
            (0..types.len()).map(|at| datum_at(batch.column(at), row, types[at]).expect("a value")).collect();
        let (mut key, mut encoded) = (Vec::new(), Vec::new());
        table.key.iter().for_each(|at| encode_key(&mut key, values[*at], false));
        if round > 0 && is_updated(&key) {
            values[7] = DatumRef::Decimal { unscaled: 99, scale: 2 };
        }
        let DatumRef::Date(shipped) = values[SHIPDATE] else { panic!("a ship date") };
        encode_row(&types, &values, &mut encoded).expect("values fit their columns");
        (shipped, KeyedRow { key: key.into(), row: encoded.into() })
    })
}

/// Random updates and deletes, in small transactions.
fn change(shard: &Shard, descriptor: &TreeDescriptorRef, rows: impl Iterator<Item = (i32, KeyedRow)>) {
    let (mut updated, mut deleted) = (Vec::new(), Vec::new());
    for (_, row) in rows {
        if is_deleted(&row.key) {
            deleted.push(row.key);
        } else if is_updated(&row.key) {
            updated.push(row);
        }
    }
    updated.sort_by_key(|row| row.key.iter().fold(5, |hash, byte| mix(hash ^ u64::from(*byte))));
    let mut last = heliosdb_types::Lsn(0);
    for part in updated.chunks(100) {
        last = ours::upsert(shard, descriptor, part.to_vec()).expect("update");
    }
    for part in deleted.chunks(100) {
        last = ours::delete(shard, descriptor, part).expect("delete");
    }
    block_on(shard.durable(last)).expect("durable");
}

fn request(descriptor: &TreeDescriptor, from: i32, to: i32, partitions: usize) -> ScanRequest {
    let date = |op, day| ColumnPredicate { column: column(SHIPDATE), op: PredicateOp::Compare(op, Datum::Date(day)) };
    ScanRequest {
        tree: descriptor.tree,
        // orderkey, extendedprice, discount, tax
        projection: [0, 5, 6, 7].map(column).to_vec(),
        predicates: vec![date(CompareOp::GtEq, from), date(CompareOp::Lt, to)],
        row_refs: false,
        limit: None,
        target_partitions: partitions.max(1),
        batch_rows: 8192,
    }
}

/// Rows and a sum of a scan, on as many threads as asked for; none: on this one.
fn scan(shard: &Shard, descriptor: &TreeDescriptor, from: i32, to: i32, threads: usize) -> (usize, i64) {
    let scan = shard.scan(&ours::context(shard), &request(descriptor, from, to, threads)).expect("scan");
    let parts = scan.partition_count();
    if threads < 2 {
        return (0..parts).map(|part| drain(scan.as_ref(), part)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    }
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..parts)
            .map(|part| {
                scope.spawn({
                    let scan = &scan;
                    move || drain(scan.as_ref(), part)
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("a scan")).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
    })
}

fn drain(scan: &dyn TableScan, part: usize) -> (usize, i64) {
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Decimal64Type, Int64Type};
    let (mut rows, mut sum) = (0, 0_i64);
    let mut reader: Box<dyn BatchReader> = scan.open(part).expect("open");
    while let Some(batch) = reader.next_batch().expect("a batch") {
        rows += batch.num_rows();
        let keys = batch.column(0).as_primitive::<Int64Type>();
        sum += keys.values().iter().sum::<i64>();
        for at in 1..4 {
            sum += batch.column(at).as_primitive::<Decimal64Type>().values().iter().sum::<i64>();
        }
    }
    (rows, sum)
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}
