//! HeliosDB's shard, used as its transaction participant uses it.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::executor::block_on;
use heliosdb_contracts::{
    IsolationLevel, KeyRange, KeyedRow, NewestRow, RangeRequest, ReadContext, RowHint, RowSink, ShardStore,
    TreeDescriptorRef, WriteBatch,
};
use heliosdb_runtime::{RealClock, RealDisk, RealEntropy, Spawner};
use heliosdb_storage::{RecoveryReport, Shard, ShardOptions, ShardParts};
use heliosdb_types::{BranchId, ColumnId, CommandId, DatumRef, Lsn, Result, TreeRef};

pub fn open(dir: &Path, options: ShardOptions) -> Result<(Arc<Shard>, RecoveryReport)> {
    let parts = ShardParts {
        disk: Arc::new(RealDisk::new(dir)?),
        clock: Arc::new(RealClock::new()),
        entropy: Arc::new(RealEntropy),
        spawner: Spawner::threads(),
    };
    Shard::open(parts, options)
}

pub fn define(shard: &Shard, descriptor: &TreeDescriptorRef) -> Result<()> {
    let txn = shard.begin(BranchId(0))?;
    shard.define_tree(txn, CommandId(0), descriptor.clone())?;
    block_on(shard.durable(shard.commit(txn)?.lsn))
}

/// One bulk load: rows go to segments at once, ordered and merged.
pub fn load(shard: &Shard, descriptor: &TreeDescriptorRef, rows: impl Iterator<Item = KeyedRow>) -> Result<()> {
    let txn = shard.begin(BranchId(0))?;
    let mut rows = rows.peekable();
    while rows.peek().is_some() {
        let part: Vec<KeyedRow> = rows.by_ref().take(10_000).collect();
        shard.stage_inserts(txn, CommandId(0), descriptor.clone(), part)?;
    }
    block_on(shard.durable(shard.commit(txn)?.lsn))
}

/// Inserts in one transaction; not yet durable.
pub fn insert(shard: &Shard, descriptor: &TreeDescriptorRef, rows: Vec<KeyedRow>) -> Result<Lsn> {
    let txn = shard.begin(BranchId(0))?;
    shard.stage_inserts(txn, CommandId(0), descriptor.clone(), rows)?;
    Ok(shard.commit(txn)?.lsn)
}

/// Inserts rows after asking, as uniqueness demands, whether their keys are free. Not yet durable.
pub fn insert_unique(shard: &Shard, descriptor: &TreeDescriptorRef, rows: Vec<KeyedRow>) -> Result<Lsn> {
    let txn = shard.begin(BranchId(0))?;
    for row in &rows {
        match shard.newest(txn, descriptor.tree, &row.key, false)? {
            NewestRow::Absent { .. } => {}
            found => panic!("a random key exists already: {found:?}"),
        }
    }
    shard.stage_inserts(txn, CommandId(0), descriptor.clone(), rows)?;
    Ok(shard.commit(txn)?.lsn)
}

/// Updates rows that exist and inserts the others, in one transaction; not yet durable. No other thread writes these keys.
pub fn upsert(shard: &Shard, descriptor: &TreeDescriptorRef, rows: Vec<KeyedRow>) -> Result<Lsn> {
    let txn = shard.begin(BranchId(0))?;
    let (mut updates, mut inserts) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        match shard.newest(txn, descriptor.tree, &row.key, false)? {
            NewestRow::Committed { hint, .. } => updates.push((row, hint)),
            _ => inserts.push(row),
        }
    }
    if !inserts.is_empty() {
        shard.stage_inserts(txn, CommandId(0), descriptor.clone(), inserts)?;
    }
    let batch = WriteBatch { descriptor: descriptor.clone(), updates, deletes: Vec::new() };
    shard.stage_writes(txn, CommandId(0), batch)?;
    Ok(shard.commit(txn)?.lsn)
}

pub fn delete(shard: &Shard, descriptor: &TreeDescriptorRef, keys: &[Bytes]) -> Result<Lsn> {
    let txn = shard.begin(BranchId(0))?;
    let mut deletes = Vec::with_capacity(keys.len());
    for key in keys {
        if let NewestRow::Committed { hint, .. } = shard.newest(txn, descriptor.tree, key, false)? {
            deletes.push((key.clone(), hint));
        }
    }
    let batch = WriteBatch { descriptor: descriptor.clone(), updates: Vec::new(), deletes };
    shard.stage_writes(txn, CommandId(0), batch)?;
    Ok(shard.commit(txn)?.lsn)
}

pub fn context(shard: &Shard) -> ReadContext {
    ReadContext {
        txn: None,
        command: CommandId(0),
        snapshot: shard.snapshot(BranchId(0)),
        isolation: IsolationLevel::ReadCommitted,
    }
}

/// Adds up a row, so that every value is looked at.
#[derive(Default)]
pub struct Sum(pub u64);

impl Sum {
    pub fn add(&mut self, values: &[DatumRef<'_>]) {
        for value in values {
            self.0 = self.0.wrapping_add(match value {
                DatumRef::Int64(v) => *v as u64,
                DatumRef::Int32(v) => *v as u64,
                DatumRef::Decimal { unscaled, .. } => *unscaled as u64,
                DatumRef::Text(v) => v.len() as u64,
                _ => 1,
            });
        }
    }
}

impl RowSink for Sum {
    fn row(&mut self, values: &[DatumRef<'_>], _: RowHint) -> Result<()> {
        self.add(values);
        Ok(())
    }
}

pub fn get(shard: &Shard, context: &ReadContext, tree: TreeRef, key: &[u8], columns: &[ColumnId]) -> u64 {
    let mut sum = Sum::default();
    let found = shard.get(context, tree, key, columns, &mut sum).expect("get");
    assert!(found, "a row is lost");
    sum.0
}

/// The rows of a key range, all their columns; how many, and their sum.
pub fn range(
    shard: &Shard,
    context: &ReadContext,
    tree: TreeRef,
    keys: KeyRange,
    columns: &[ColumnId],
) -> (usize, u64) {
    let request = RangeRequest { tree, range: keys, projection: columns.to_vec() };
    let mut cursor = shard.range(context, &request).expect("range");
    let (mut rows, mut sum) = (0, Sum::default());
    while cursor
        .next(&mut |_, values, _| {
            sum.add(values);
            Ok(())
        })
        .expect("range")
    {
        rows += 1;
    }
    (rows, sum.0)
}
