//! A shard on a simulated disk, and short ways to write and read it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use bytes::Bytes;
use futures::executor::block_on;
use heliosdb_contracts::{
    ColumnDescriptor, ColumnPredicate, IsolationLevel, KeyRange, KeyedRow, NewestRow, PatchBatch, PredicateOp,
    RangeRequest, ReadContext, RowHint, RowSink, ScanRequest, ShardStore, Snapshot, TreeDescriptor, TreeDescriptorRef,
    TreeKey, WriteBatch,
};
use heliosdb_runtime::{Disk, SeededEntropy, SimClock, SimDisk, Spawner};
use heliosdb_storage::{Shard, ShardOptions, ShardParts};
use heliosdb_types::{
    BranchId, ColumnId, CommandId, DatabaseId, Datum, DatumRef, PhysicalType, Result, SchemaVersion, TreeId, TreeRef,
    TxnId, encode_key, encode_row,
};

pub const KEY: ColumnId = ColumnId(1);
pub const VALUE: ColumnId = ColumnId(2);
pub const TEXT: ColumnId = ColumnId(3);

/// Rows of a tree: key to value.
pub type Rows = BTreeMap<i64, i64>;

pub fn small_options() -> ShardOptions {
    ShardOptions {
        background: false,
        log_inline: true,
        log_file_bytes: 64 << 10,
        segment_rows: 64,
        block_rows: 16,
        cache_bytes: 1 << 20,
        ..ShardOptions::default()
    }
}

pub fn open_on(disk: Arc<dyn Disk>, clock: &SimClock, options: &ShardOptions) -> Result<Arc<Shard>> {
    open_seeded(disk, clock, options, 3)
}

pub fn open_seeded(disk: Arc<dyn Disk>, clock: &SimClock, options: &ShardOptions, entropy: u64) -> Result<Arc<Shard>> {
    let parts = ShardParts {
        disk,
        clock: Arc::new(clock.clone()),
        entropy: Arc::new(SeededEntropy::new(entropy)),
        spawner: Spawner::threads(),
    };
    Shard::open(parts, options.clone()).map(|(shard, _)| shard)
}

pub struct World {
    pub disk: Arc<SimDisk>,
    pub clock: SimClock,
    pub options: ShardOptions,
    pub shard: Arc<Shard>,
}

impl World {
    pub fn new(seed: u64) -> World {
        World::with(seed, small_options())
    }

    pub fn with(seed: u64, options: ShardOptions) -> World {
        let disk = Arc::new(SimDisk::new(seed));
        let clock = SimClock::new(1_800_000_000_000_000);
        let shard = open_on(disk.clone(), &clock, &options).unwrap();
        World { disk, clock, options, shard }
    }

    /// Power loss, then a restart.
    pub fn crash(self) -> World {
        let World { disk, clock, options, shard } = self;
        let disk = Arc::new(disk.crash());
        drop(shard);
        let shard = open_on(disk.clone(), &clock, &options).unwrap();
        World { disk, clock, options, shard }
    }

    /// A restart of the process; the machine stays up.
    pub fn restart(self) -> World {
        let World { disk, clock, options, shard } = self;
        drop(shard);
        let shard = open_on(disk.clone(), &clock, &options).unwrap();
        World { disk, clock, options, shard }
    }

    pub fn begin(&self) -> Txn<'_> {
        Txn { shard: &self.shard, id: self.shard.begin(BranchId(0)).unwrap(), command: 0 }
    }

    pub fn create(&self, tree: u64) -> TreeDescriptorRef {
        let txn = self.begin();
        let descriptor = descriptor(tree);
        self.shard.define_tree(txn.id, CommandId(0), descriptor.clone()).unwrap();
        txn.commit().unwrap();
        descriptor
    }

    pub fn snapshot(&self) -> Snapshot {
        self.shard.snapshot(BranchId(0))
    }

    pub fn rows(&self, tree: &TreeDescriptorRef) -> Rows {
        self.rows_at(tree, &self.snapshot())
    }

    pub fn rows_at(&self, tree: &TreeDescriptorRef, snapshot: &Snapshot) -> Rows {
        scan(&self.shard, &context(None, 0, snapshot), tree, vec![])
    }

    pub fn get_at(&self, tree: &TreeDescriptorRef, key: i64, snapshot: &Snapshot) -> Option<i64> {
        get(&self.shard, &context(None, 0, snapshot), tree, key)
    }
}

pub fn descriptor(tree: u64) -> TreeDescriptorRef {
    let column = |id, physical| ColumnDescriptor { id, physical, nullable: true, missing: None };
    Arc::new(TreeDescriptor {
        tree: TreeRef::new(DatabaseId(1), TreeId(tree)),
        version: SchemaVersion(1),
        columns: vec![
            column(KEY, PhysicalType::Int64),
            column(VALUE, PhysicalType::Int64),
            column(TEXT, PhysicalType::Text),
        ],
        key: TreeKey::Columns(vec![KEY]),
        sort: None,
    })
}

/// What rows hold in a column added after them.
pub const MISSING: i64 = -777;

/// The next version of a tree, with one more column.
pub fn widened(descriptor: &TreeDescriptorRef) -> TreeDescriptorRef {
    let mut next = TreeDescriptor::clone(descriptor);
    next.version = SchemaVersion(next.version.0 + 1);
    next.columns.push(ColumnDescriptor {
        id: ColumnId(next.columns.len() as u32 + 1),
        physical: PhysicalType::Int64,
        nullable: true,
        missing: Some(Datum::Int64(MISSING)),
    });
    Arc::new(next)
}

pub fn key_bytes(key: i64) -> Bytes {
    let mut out = Vec::new();
    encode_key(&mut out, DatumRef::Int64(key), false);
    out.into()
}

/// Values from here on make large rows: of as many kilobytes as the value has of these.
pub const LARGE: i64 = 1 << 40;

/// The text a row carries, which its key and value determine.
fn text_of(key: i64, value: i64) -> String {
    let text = format!("row {key} holds {value}");
    // Not all alike, so that an encoding cannot make it small.
    (0..value / LARGE * 1024 / 16).fold(text, |mut text, at| {
        let word = (at as u64 ^ value as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        text.push_str(&format!("{word:016x}"));
        text
    })
}

/// Bytes of a row's values, about.
pub fn row_bytes(value: i64) -> u64 {
    40 + (value / LARGE * 1024) as u64
}

pub fn keyed(descriptor: &TreeDescriptorRef, key: i64, value: i64) -> KeyedRow {
    KeyedRow { key: key_bytes(key), row: encoded(descriptor, 0, key, value) }
}

/// A row's columns from the `first` on.
fn encoded(descriptor: &TreeDescriptorRef, first: usize, key: i64, value: i64) -> Bytes {
    let text = text_of(key, value);
    let mut values = vec![DatumRef::Int64(key), DatumRef::Int64(value), DatumRef::Text(&text)];
    values.resize(descriptor.columns.len(), DatumRef::Int64(value));
    let mut row = Vec::new();
    encode_row(&descriptor.physical_types()[first..], &values[first..], &mut row).unwrap();
    row.into()
}

pub fn context(txn: Option<TxnId>, command: u32, snapshot: &Snapshot) -> ReadContext {
    ReadContext {
        txn,
        command: CommandId(command),
        snapshot: snapshot.clone(),
        isolation: IsolationLevel::ReadCommitted,
    }
}

pub fn scan(shard: &Shard, context: &ReadContext, tree: &TreeDescriptorRef, predicates: Vec<ColumnPredicate>) -> Rows {
    try_scan(shard, context, tree, predicates).unwrap()
}

/// Without predicates the rows are also read by range cursors, and some of them by their keys; all must agree.
pub fn try_scan(
    shard: &Shard,
    context: &ReadContext,
    tree: &TreeDescriptorRef,
    predicates: Vec<ColumnPredicate>,
) -> Result<Rows> {
    if predicates.is_empty() {
        let rows = scan_rows(shard, context, tree, predicates)?;
        assert_eq!(
            range(shard, context, tree, i64::MIN, i64::MAX, false)?,
            rows.clone().into_iter().collect::<Vec<_>>()
        );
        let middle = rows.keys().nth(rows.len() / 2).copied().unwrap_or(0);
        let below: Vec<_> = rows.range(..middle).rev().map(|(k, v)| (*k, *v)).collect();
        assert_eq!(range(shard, context, tree, i64::MIN, middle, true)?, below, "backwards, below {middle}");
        let above: Vec<_> = rows.range(middle..).map(|(k, v)| (*k, *v)).collect();
        assert_eq!(range(shard, context, tree, middle, i64::MAX, false)?, above, "from {middle} on");
        // With neighbours of theirs that may not be there, last first.
        let some: Vec<i64> = rows.keys().step_by(7).flat_map(|key| [key.saturating_add(1), *key]).rev().collect();
        let there: Vec<_> = some.iter().filter_map(|key| Some((*key, *rows.get(key)?))).collect();
        assert_eq!(by_keys(shard, context, tree, &some)?, there);
        return Ok(rows);
    }
    scan_rows(shard, context, tree, predicates)
}

/// The rows that there are of these keys.
fn by_keys(shard: &Shard, context: &ReadContext, tree: &TreeDescriptorRef, keys: &[i64]) -> Result<Vec<(i64, i64)>> {
    let keys: Vec<Bytes> = keys.iter().map(|key| key_bytes(*key)).collect();
    let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
    let mut rows = Vec::new();
    let mut sink = |key: &[u8], values: &[DatumRef<'_>], _: RowHint| {
        let [DatumRef::Int64(value), DatumRef::Int64(id)] = values else { panic!("two integers, not {values:?}") };
        assert_eq!(key, key_bytes(*id));
        rows.push((*id, *value));
        Ok(())
    };
    shard.get_rows(context, tree.tree, &keys, &[VALUE, KEY], &mut sink)?;
    Ok(rows)
}

/// Rows with keys in `from..to`, in key order or against it.
fn range(
    shard: &Shard,
    context: &ReadContext,
    tree: &TreeDescriptorRef,
    from: i64,
    to: i64,
    reverse: bool,
) -> Result<Vec<(i64, i64)>> {
    let range = KeyRange { lower: key_bytes(from), upper: Some(key_bytes(to)), reverse };
    let request = RangeRequest { tree: tree.tree, range, projection: vec![KEY, VALUE], keys: true };
    let mut cursor = shard.range(context, &request)?;
    let mut rows = Vec::new();
    let mut sink = |key: &[u8], values: &[DatumRef<'_>], _: RowHint| {
        let [DatumRef::Int64(id), DatumRef::Int64(value)] = values else { panic!("two integers, not {values:?}") };
        assert_eq!(key, key_bytes(*id));
        rows.push((*id, *value));
        Ok(())
    };
    while cursor.next(&mut sink)? {}
    let mut unnamed = Vec::new();
    let mut sink = |_: &[u8], values: &[DatumRef<'_>], _: RowHint| {
        let [DatumRef::Int64(id), DatumRef::Int64(value)] = values else { panic!("two integers, not {values:?}") };
        unnamed.push((*id, *value));
        Ok(())
    };
    let mut cursor = shard.range(context, &RangeRequest { keys: false, ..request })?;
    while cursor.next(&mut sink)? {}
    assert_eq!(unnamed, rows, "without their keys");
    Ok(rows)
}

fn scan_rows(
    shard: &Shard,
    context: &ReadContext,
    tree: &TreeDescriptorRef,
    predicates: Vec<ColumnPredicate>,
) -> Result<Rows> {
    let request = ScanRequest {
        tree: tree.tree,
        projection: [KEY, TEXT, VALUE].into_iter().chain(tree.columns.iter().skip(3).map(|column| column.id)).collect(),
        predicates,
        row_refs: false,
        limit: None,
        target_partitions: 2,
        batch_rows: 10,
    };
    let scan = shard.scan(context, &request)?;
    let mut rows = Rows::new();
    for partition in 0..scan.partition_count() {
        let mut reader = scan.open(partition)?;
        while let Some(batch) = reader.next_batch()? {
            assert!(batch.num_rows() <= 10 && batch.num_rows() > 0);
            let (keys, values) =
                (batch.column(0).as_primitive::<Int64Type>(), batch.column(2).as_primitive::<Int64Type>());
            let texts = batch.column(1).as_string_view();
            for row in 0..batch.num_rows() {
                let (key, value) = (keys.value(row), values.value(row));
                assert_eq!(texts.value(row), text_of(key, value));
                for added in batch.columns().iter().skip(3) {
                    let added = added.as_primitive::<Int64Type>().value(row);
                    assert!(added == value || added == MISSING, "key {key} has {added} in an added column");
                }
                assert!(rows.insert(key, value).is_none(), "key {key} appears twice in a scan");
            }
        }
    }
    // Sets are advice: how much of it is followed depends on what was read before.
    if !request.predicates.iter().any(|predicate| matches!(predicate.op, PredicateOp::Member(_))) {
        let bare = ScanRequest { projection: vec![], ..request };
        assert_eq!(batch_sizes(shard, context, &bare)?.iter().sum::<usize>(), rows.len(), "rows without columns");
    }
    Ok(rows)
}

/// Rows of each batch of a scan.
pub fn batch_sizes(shard: &Shard, context: &ReadContext, request: &ScanRequest) -> Result<Vec<usize>> {
    let scan = shard.scan(context, request)?;
    let mut sizes = Vec::new();
    for partition in 0..scan.partition_count() {
        let mut reader = scan.open(partition)?;
        while let Some(batch) = reader.next_batch()? {
            assert!(batch.num_rows() > 0 && batch.num_columns() == request.projection.len());
            sizes.push(batch.num_rows());
        }
    }
    Ok(sizes)
}

struct First(Option<i64>);

impl RowSink for First {
    fn row(&mut self, values: &[DatumRef<'_>], _reference: RowHint) -> Result<()> {
        let [DatumRef::Int64(value)] = values else { panic!("unexpected row {values:?}") };
        assert!(self.0.replace(*value).is_none());
        Ok(())
    }
}

pub fn get(shard: &Shard, context: &ReadContext, tree: &TreeDescriptorRef, key: i64) -> Option<i64> {
    try_get(shard, context, tree, key).unwrap()
}

pub fn try_get(shard: &Shard, context: &ReadContext, tree: &TreeDescriptorRef, key: i64) -> Result<Option<i64>> {
    let mut sink = First(None);
    let found = shard.get(context, tree.tree, &key_bytes(key), &[VALUE], &mut sink)?;
    assert_eq!(found, sink.0.is_some());
    Ok(sink.0)
}

/// Updates a row: as a whole, or every column but the key.
pub fn update(
    shard: &Shard,
    txn: TxnId,
    command: CommandId,
    tree: &TreeDescriptorRef,
    (key, value): (i64, i64),
    hint: RowHint,
) -> Result<()> {
    let descriptor = tree.clone();
    if (key ^ value) % 2 == 0 {
        let updates = vec![(keyed(tree, key, value), hint)];
        return shard.stage_writes(txn, command, WriteBatch { descriptor, updates, deletes: vec![] });
    }
    let columns = (1..tree.columns.len()).collect();
    let rows = vec![(KeyedRow { key: key_bytes(key), row: encoded(tree, 1, key, value) }, hint)];
    shard.stage_patches(txn, command, PatchBatch { descriptor, columns, rows })
}

/// A transaction that behaves as the participant would: it asks for the newest row before it writes.
pub struct Txn<'a> {
    pub shard: &'a Shard,
    pub id: TxnId,
    pub command: u32,
}

impl Txn<'_> {
    /// Inserts, or updates if the key exists. True if it existed.
    pub fn put(&mut self, tree: &TreeDescriptorRef, key: i64, value: i64) -> bool {
        let (command, newest) = (self.next(), self.newest(tree, key));
        match newest {
            NewestRow::Absent { .. } | NewestRow::OwnDeleted => {
                let row = keyed(tree, key, value);
                self.shard.stage_inserts(self.id, command, tree.clone(), vec![row]).unwrap();
                false
            }
            found => {
                update(self.shard, self.id, command, tree, (key, value), hint(&found)).unwrap();
                true
            }
        }
    }

    pub fn delete(&mut self, tree: &TreeDescriptorRef, key: i64) -> bool {
        let (command, newest) = (self.next(), self.newest(tree, key));
        if matches!(newest, NewestRow::Absent { .. } | NewestRow::OwnDeleted) {
            return false;
        }
        let deletes = vec![(key_bytes(key), hint(&newest))];
        let batch = WriteBatch { descriptor: tree.clone(), updates: vec![], deletes };
        self.shard.stage_writes(self.id, command, batch).unwrap();
        true
    }

    fn next(&mut self) -> CommandId {
        self.command += 1;
        CommandId(self.command - 1)
    }

    pub fn newest(&self, tree: &TreeDescriptorRef, key: i64) -> NewestRow {
        self.shard.newest(self.id, tree.tree, &key_bytes(key), true).unwrap()
    }

    /// What the transaction itself sees.
    pub fn rows(&self, tree: &TreeDescriptorRef) -> Rows {
        let snapshot = self.shard.snapshot(BranchId(0));
        scan(self.shard, &context(Some(self.id), self.command, &snapshot), tree, vec![])
    }

    pub fn get(&self, tree: &TreeDescriptorRef, key: i64) -> Option<i64> {
        let snapshot = self.shard.snapshot(BranchId(0));
        get(self.shard, &context(Some(self.id), self.command, &snapshot), tree, key)
    }

    pub fn commit(self) -> Result<()> {
        let appended = self.shard.commit(self.id)?;
        block_on(self.shard.durable(appended.lsn))
    }

    pub fn rollback(self) {
        self.shard.rollback(self.id);
    }
}

pub fn hint(newest: &NewestRow) -> RowHint {
    match newest {
        NewestRow::Committed { hint, .. } => *hint,
        _ => RowHint::default(),
    }
}
