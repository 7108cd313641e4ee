//! HeliosDB's own files, written and read through the storage crate as the server does.

use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;
use futures::executor::block_on;
use heliosdb_contracts::{
    ColumnDescriptor, ColumnPredicate, CompareOp, IsolationLevel, KeyedRow, PredicateOp, ReadContext, RowHint, RowSink,
    ScanRequest, ShardStore, TreeDescriptor, TreeDescriptorRef, TreeKey, datum_at,
};
use heliosdb_hcc::{ColumnEncoder, EncodeOptions, Temperature, collect_stats};
use heliosdb_runtime::{RealClock, RealDisk, RealEntropy, Spawner};
use heliosdb_storage::{Shard, ShardOptions, ShardParts};
use heliosdb_types::{
    BranchId, ColumnId, CommandId, DatabaseId, Datum, DatumRef, Result, SchemaVersion, TreeId, TreeRef, encode_key,
    encode_row,
};

use crate::answer::{Answer, SCAN_FROM, column, q6};
use crate::measure::{directory_bytes, median_ns};
use crate::tables::Table;

pub struct Ours {
    shard: Arc<Shard>,
    descriptor: TreeDescriptorRef,
    pub bytes: u64,
}

fn open(dir: &Path, options: ShardOptions) -> Result<Arc<Shard>> {
    let parts = ShardParts {
        disk: Arc::new(RealDisk::new(dir)?),
        clock: Arc::new(RealClock::new()),
        entropy: Arc::new(RealEntropy),
        spawner: Spawner::threads(),
    };
    Shard::open(parts, options).map(|(shard, _)| shard)
}

fn descriptor(table: &Table) -> TreeDescriptorRef {
    let columns = table.columns.iter().enumerate().map(|(at, (_, physical))| ColumnDescriptor {
        id: ColumnId(at as u32 + 1),
        physical: *physical,
        nullable: true,
        missing: None,
    });
    Arc::new(TreeDescriptor {
        tree: TreeRef::new(DatabaseId(1), TreeId(2000)),
        version: SchemaVersion(1),
        columns: columns.collect(),
        key: TreeKey::Columns(table.key.iter().map(|at| ColumnId(*at as u32 + 1)).collect()),
        sort: None,
    })
}

fn keyed(table: &Table, batch: usize, row: usize) -> Result<KeyedRow> {
    let batch = &table.batches[batch];
    let types: Vec<_> = table.columns.iter().map(|(_, physical)| *physical).collect();
    let values =
        (0..types.len()).map(|at| datum_at(batch.column(at), row, types[at])).collect::<Result<Vec<DatumRef<'_>>>>()?;
    let (mut key, mut encoded) = (Vec::new(), Vec::new());
    table.key.iter().for_each(|at| encode_key(&mut key, values[*at], false));
    encode_row(&types, &values, &mut encoded)?;
    Ok(KeyedRow { key: Bytes::from(key), row: Bytes::from(encoded) })
}

/// Loads a table. Young: small transactions through the memtable, frozen, never merged. Settled: one bulk load, merged.
pub fn load(table: &Table, dir: &Path, temperature: Temperature) -> Result<Ours> {
    let settled = temperature == Temperature::Settled;
    let options = ShardOptions {
        background: false,
        txn_spill_bytes: if settled { 16 << 20 } else { usize::MAX },
        young_segments_max: if settled { 1 } else { usize::MAX },
        ..ShardOptions::default()
    };
    let shard = open(dir, options)?;
    let descriptor = descriptor(table);
    let define = shard.begin(BranchId(0))?;
    shard.define_tree(define, CommandId(0), descriptor.clone())?;
    block_on(shard.durable(shard.commit(define)?.lsn))?;
    let mut txn = shard.begin(BranchId(0))?;
    let mut staged = 0;
    for batch in 0..table.batches.len() {
        let rows =
            (0..table.batches[batch].num_rows()).map(|row| keyed(table, batch, row)).collect::<Result<Vec<_>>>()?;
        staged += rows.iter().map(|row| row.row.len() + row.key.len()).sum::<usize>();
        shard.stage_inserts(txn, CommandId(batch as u32), descriptor.clone(), rows)?;
        if !settled && staged > 48 << 20 {
            block_on(shard.durable(shard.commit(txn)?.lsn))?;
            block_on(shard.checkpoint(false))?;
            txn = shard.begin(BranchId(0))?;
            staged = 0;
        }
    }
    block_on(shard.durable(shard.commit(txn)?.lsn))?;
    block_on(shard.checkpoint(settled))?;
    let bytes = directory_bytes(&dir.join("segments"));
    Ok(Ours { shard, descriptor, bytes })
}

/// What [`load`] wrote, with an empty cache of this size. Nothing is merged any more.
pub fn open_loaded(table: &Table, dir: &Path, cache_bytes: u64) -> Result<Ours> {
    let options =
        ShardOptions { background: false, young_segments_max: usize::MAX, cache_bytes, ..ShardOptions::default() };
    let bytes = directory_bytes(&dir.join("segments"));
    Ok(Ours { shard: open(dir, options)?, descriptor: descriptor(table), bytes })
}

/// Keeps a row, to look at it.
#[derive(Default)]
struct Kept(Vec<Datum>);

impl RowSink for Kept {
    fn row(&mut self, values: &[DatumRef<'_>], _: RowHint) -> Result<()> {
        self.0.extend(values.iter().map(|value| value.to_owned()));
        Ok(())
    }
}

struct Count(usize);

impl RowSink for Count {
    fn row(&mut self, values: &[DatumRef<'_>], _: RowHint) -> Result<()> {
        self.0 += values.len();
        Ok(())
    }
}

impl Ours {
    fn context(&self) -> ReadContext {
        ReadContext {
            txn: None,
            command: CommandId(0),
            snapshot: self.shard.snapshot(BranchId(0)),
            isolation: IsolationLevel::ReadCommitted,
        }
    }

    fn scan(
        &self,
        projection: &[usize],
        predicates: Vec<ColumnPredicate>,
        mut visit: impl FnMut(&RecordBatch),
    ) -> Result<()> {
        let request = ScanRequest {
            tree: self.descriptor.tree,
            projection: projection.iter().map(|at| ColumnId(*at as u32 + 1)).collect(),
            predicates,
            row_refs: false,
            limit: None,
            target_partitions: 1,
            batch_rows: 8192,
        };
        let scan = self.shard.scan(&self.context(), &request)?;
        for partition in 0..scan.partition_count() {
            let mut reader = scan.open(partition)?;
            while let Some(batch) = reader.next_batch()? {
                visit(&batch);
            }
        }
        Ok(())
    }

    pub fn q6(&self) -> Answer {
        let money = |cents: i64| Datum::Decimal { unscaled: cents.into(), scale: 2 };
        let predicates = vec![
            compare(column::SHIPDATE, CompareOp::GtEq, Datum::Date(q6::FROM)),
            compare(column::SHIPDATE, CompareOp::Lt, Datum::Date(q6::TO)),
            compare(column::DISCOUNT, CompareOp::GtEq, money(q6::DISCOUNT.0)),
            compare(column::DISCOUNT, CompareOp::LtEq, money(q6::DISCOUNT.1)),
            compare(column::QUANTITY, CompareOp::Lt, money(q6::QUANTITY)),
        ];
        let mut answer = Answer::default();
        self.scan(&[column::PRICE, column::DISCOUNT], predicates, |batch| {
            answer.revenue(batch.column(0), batch.column(1))
        })
        .expect("scan");
        answer
    }

    pub fn scan3(&self) -> Answer {
        let late = compare(column::SHIPDATE, CompareOp::GtEq, Datum::Date(SCAN_FROM));
        let mut answer = Answer::default();
        self.scan(&[column::ORDERKEY, column::PRICE, column::DISCOUNT], vec![late], |batch| {
            answer.scanned(batch.column(0), batch.column(1), batch.column(2));
        })
        .expect("scan");
        answer
    }

    /// Median nanoseconds of reading a row of all columns by its primary key, as the server does.
    pub fn random_row(&self, table: &Table, reads: usize) -> f64 {
        let columns: Vec<ColumnId> = self.descriptor.columns.iter().map(|column| column.id).collect();
        let context = self.context();
        let places = (0..reads).map(|n| {
            let batch = n.wrapping_mul(7919) % table.batches.len();
            (batch, n.wrapping_mul(104_729) % table.batches[batch].num_rows())
        });
        let rows: Vec<(usize, usize)> = places.collect();
        let keys: Vec<Bytes> = rows.iter().map(|(batch, row)| keyed(table, *batch, *row).expect("a row").key).collect();
        // Warm: everything is in the cache before the clock starts; and every row is the one that was loaded.
        for (key, (batch, row)) in keys.iter().zip(&rows) {
            let mut got = Kept::default();
            assert!(
                self.shard.get(&context, self.descriptor.tree, key, &columns, &mut got).expect("get"),
                "a row is lost"
            );
            let wanted = table.columns.iter().enumerate().map(|(at, (_, physical))| {
                datum_at(table.batches[*batch].column(at), *row, *physical).expect("a value").to_owned()
            });
            assert!(got.0.iter().cloned().eq(wanted), "a row comes back changed");
        }
        median_ns(&keys, |key| {
            let mut count = Count(0);
            let found = self.shard.get(&context, self.descriptor.tree, key, &columns, &mut count).expect("get");
            assert!(found && count.0 == columns.len());
        })
    }
}

fn compare(column: usize, op: CompareOp, literal: Datum) -> ColumnPredicate {
    ColumnPredicate { column: ColumnId(column as u32 + 1), op: PredicateOp::Compare(op, literal) }
}

/// What a segment's writer does with columns: statistics, encoding, checksums.
pub fn encode(table: &Table, temperature: Temperature) {
    // As segments do, encoders start anew every 64 blocks.
    for part in table.batches.chunks(64) {
        for (at, (_, physical)) in table.columns.iter().enumerate() {
            let options = EncodeOptions { temperature, ..EncodeOptions::default() };
            let mut encoder = ColumnEncoder::new(*physical, options);
            for batch in part {
                std::hint::black_box(collect_stats(batch.column(at), *physical).expect("statistics"));
                let block = encoder.encode(batch.column(at)).expect("encode");
                std::hint::black_box(crc32c::crc32c(&block.bytes));
            }
            std::hint::black_box(encoder.finish());
        }
    }
}

/// Bytes of each column, for finding out where they go.
pub fn by_column(table: &Table, temperature: Temperature) -> Vec<(&'static str, u64, String)> {
    let column = |at: usize| {
        let (name, physical) = table.columns[at];
        let (mut bytes, mut counts) = (0, std::collections::BTreeMap::new());
        for part in table.batches.chunks(64) {
            let mut encoder = ColumnEncoder::new(physical, EncodeOptions { temperature, ..EncodeOptions::default() });
            for batch in part {
                let block = encoder.encode(batch.column(at)).expect("encode");
                bytes += block.bytes.len() as u64;
                *counts.entry(block.encoding).or_insert(0) += 1;
            }
            bytes += encoder.finish().iter().map(|section| section.len() as u64).sum::<u64>();
        }
        let counts: Vec<String> = counts.iter().map(|(encoding, count)| format!("{encoding:?} {count}")).collect();
        (name, bytes, counts.join(", "))
    };
    (0..table.columns.len()).map(column).collect()
}
