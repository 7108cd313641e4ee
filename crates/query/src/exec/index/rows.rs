//! Rows found through an index: which they are, and reading them.
//!
//! Choosing is reading: the entries of a path are read up to the number at which a scan of everything would be cheaper. If the path
//! ends before, it names the rows; if not, that was a small part of what the scan costs anyway. Where segments know that there
//! are far more, nothing is read. No statistics are needed and none can be wrong.

use std::sync::Arc;

use arrow_array::builder::BinaryViewBuilder;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use heliosdb_contracts::{
    BatchReader, ColumnPredicate, CompareOp, KeyRange, PredicateOp, ROW_REF_COLUMN, RangeRequest, ReadContext, RowHint,
    RowRef, RowSink, ScanMetrics, ScanRequest, ShardClient, TableScan, arrow_type,
};
use heliosdb_types::{ColumnId, DatumRef, Error, PhysicalType, Result, compare};
use parking_lot::Mutex;

use super::entry::ENTRY_ROW;
use super::path::{KeyPart, Path, Wanted, entry_range, paths};
use crate::catalog::Relation;
use crate::exec::arrays::ColumnBuilder;
use crate::exec::error::from_arrow;

/// Tables below this size are scanned: a lookup saves nothing.
const TABLE_ROWS_MIN: u64 = 128;
/// A row by its key costs about as much as this many rows of a scan.
const LOOKUP_COST: u64 = 30;
/// Keys kept in memory for one scan.
const KEYS_MAX: usize = 100_000;

/// Rows to be looked at instead of all.
pub(crate) struct Found {
    pub index: String,
    pub keys: Vec<Bytes>,
}

/// The rows of the cheapest path, if it is cheaper than reading `total` rows.
pub(crate) fn find(
    shard: &dyn ShardClient,
    context: &ReadContext,
    wanted: &Wanted<'_>,
    total: u64,
) -> Result<Option<Found>> {
    if total < TABLE_ROWS_MIN || (wanted.conditions.is_empty() && wanted.conjuncts.is_empty()) {
        return Ok(None);
    }
    let most = usize::try_from(total / LOOKUP_COST).unwrap_or(usize::MAX).min(KEYS_MAX);
    cheapest(shard, context, wanted, most)
}

/// The rows of the best path that has no more than `most`.
pub(crate) fn cheapest(
    shard: &dyn ShardClient,
    context: &ReadContext,
    wanted: &Wanted<'_>,
    most: usize,
) -> Result<Option<Found>> {
    for path in paths(wanted).into_iter().take(3) {
        if path.unique && path.ranges.len() > most {
            continue;
        }
        if let Some(keys) = read(shard, context, &path, most)? {
            return Ok(Some(Found { index: path.name, keys }));
        }
    }
    Ok(None)
}

/// The keys of a path's rows; `None` if there are more than `most`.
fn read(shard: &dyn ShardClient, context: &ReadContext, path: &Path, most: usize) -> Result<Option<Vec<Bytes>>> {
    if path.unique && !path.entries {
        // Whole keys of the table's own tree: whoever reads the rows will see which there are.
        return Ok(Some(path.ranges.iter().map(|range| range.lower.clone()).collect()));
    }
    let mut keys = Vec::new();
    for range in &path.ranges {
        let mut cursor = open(shard, context, path, range.clone())?;
        // Half of them may be deleted; of more than that there is no need to count.
        if cursor.cursor.rows_ahead() / 2 > most as u64 {
            return Ok(None);
        }
        while let Some(key) = cursor.next()? {
            if keys.len() >= most {
                return Ok(None);
            }
            keys.push(key);
        }
    }
    Ok(Some(keys))
}

/// Row keys in the order of a tree.
struct Keys {
    cursor: Box<dyn heliosdb_contracts::RangeCursor>,
    entries: bool,
}

fn open(shard: &dyn ShardClient, context: &ReadContext, path: &Path, range: KeyRange) -> Result<Keys> {
    let projection = if path.entries { vec![ENTRY_ROW] } else { Vec::new() };
    let request = RangeRequest { tree: path.tree, range, projection, keys: !path.entries };
    Ok(Keys { cursor: shard.range(context, &request)?, entries: path.entries })
}

impl Keys {
    fn next(&mut self) -> Result<Option<Bytes>> {
        let mut found = None;
        let entries = self.entries;
        let mut sink = |key: &[u8], values: &[DatumRef<'_>], _: RowHint| {
            let row = match (entries, values.first()) {
                (true, Some(DatumRef::Bytes(row))) => row,
                (true, _) => return Err(Error::corrupt("an index entry without its row")),
                (false, _) => key,
            };
            found = Some(Bytes::copy_from_slice(row));
            Ok(())
        };
        self.cursor.next(&mut sink)?;
        Ok(found)
    }
}

/// A column to be ordered by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OrderBy {
    pub column: ColumnId,
    pub descending: bool,
    pub nulls_first: bool,
    /// Rows with NULL in it are not wanted.
    pub not_null: bool,
}

/// The first `count` rows in an order, or as many as there are, if an index gives them cheaply. `predicates` decide which rows
/// count; they are all there is of conditions.
pub(crate) fn first_in_order(
    shard: &dyn ShardClient,
    context: &ReadContext,
    wanted: &Wanted<'_>,
    predicates: &[ColumnPredicate],
    order: &[OrderBy],
    count: usize,
    total: u64,
) -> Result<Option<Found>> {
    if total < TABLE_ROWS_MIN || count > KEYS_MAX {
        return Ok(None);
    }
    let most = usize::try_from(total / LOOKUP_COST).unwrap_or(usize::MAX).min(KEYS_MAX);
    if count > most {
        return Ok(None);
    }
    let known = paths(wanted);
    for key in wanted.usable() {
        let parts = key.parts.as_slice();
        let all = KeyRange { lower: Bytes::new(), upper: None, reverse: false };
        let all = if key.entries { entry_range(&all) } else { all };
        // Columns that are the same in all rows looked at do not matter to the order.
        let fixed = known.iter().find(|path| path.name == key.name && path.ranges.len() == 1);
        let within = fixed.and_then(|path| {
            let reverse = serves(parts.get(path.fixed..)?, order)?;
            Some((reverse, path.ranges.first()?.clone()))
        });
        let Some((reverse, range)) = within.or_else(|| Some((serves(parts, order)?, all))) else { continue };
        let (name, tree, entries) = (key.name.clone(), key.tree, key.entries);
        let path = Path { name, tree, entries, ranges: Vec::new(), fixed: 0, bounded: false, unique: key.unique };
        let mut cursor = open(shard, context, &path, KeyRange { reverse, ..range })?;
        let mut reader = Tester::new(wanted.relation, predicates, order)?;
        let most = if predicates.is_empty() { most } else { most / 4 };
        let (mut keys, mut looked) = (Vec::with_capacity(count.min(1024)), 0);
        loop {
            let Some(key) = cursor.next()? else { return Ok(Some(Found { index: path.name, keys })) };
            looked += 1;
            if reader.keeps(shard, context, &key)? {
                keys.push(key);
                if keys.len() == count {
                    return Ok(Some(Found { index: path.name, keys }));
                }
            }
            if looked >= most {
                break;
            }
        }
    }
    Ok(None)
}

/// Whether a key's columns begin as the order does; true for backwards.
pub(crate) fn serves(parts: &[KeyPart], order: &[OrderBy]) -> Option<bool> {
    if order.is_empty() || order.len() > parts.len() {
        return None;
    }
    let mut reverse = None;
    for (part, by) in parts.iter().zip(order) {
        if part.column != by.column {
            return None;
        }
        let backwards = part.descending != by.descending;
        // Where no NULLs come their place does not matter.
        if let Some(nulls_first) = part.nulls_first
            && !by.not_null
            && (nulls_first != backwards) != by.nulls_first
        {
            return None;
        }
        if reverse.is_some_and(|known| known != backwards) {
            return None;
        }
        reverse = Some(backwards);
    }
    reverse
}

/// Tests rows by key.
struct Tester<'a> {
    tree: heliosdb_types::TreeRef,
    columns: Vec<ColumnId>,
    predicates: &'a [ColumnPredicate],
    not_null: Vec<ColumnId>,
}

impl<'a> Tester<'a> {
    fn new(relation: &Relation, predicates: &'a [ColumnPredicate], order: &[OrderBy]) -> Result<Tester<'a>> {
        let table = relation.table().ok_or_else(|| Error::internal("an index of no table"))?;
        let not_null: Vec<ColumnId> = order.iter().filter(|by| by.not_null).map(|by| by.column).collect();
        let mut columns: Vec<ColumnId> = predicates.iter().map(|predicate| predicate.column).collect();
        columns.extend(&not_null);
        Ok(Tester { tree: table.tree.tree, columns, predicates, not_null })
    }

    fn keeps(&mut self, shard: &dyn ShardClient, context: &ReadContext, key: &[u8]) -> Result<bool> {
        if self.columns.is_empty() {
            return Ok(true);
        }
        let mut test = Test { predicates: self.predicates, not_null: self.not_null.len(), keeps: false };
        shard.get(context, self.tree, key, &self.columns, &mut test)?;
        Ok(test.keeps)
    }
}

struct Test<'a> {
    predicates: &'a [ColumnPredicate],
    not_null: usize,
    keeps: bool,
}

impl RowSink for Test<'_> {
    fn row(&mut self, values: &[DatumRef<'_>], _reference: RowHint) -> Result<()> {
        let tested = self.predicates.iter().zip(values).all(|(predicate, value)| holds(&predicate.op, *value));
        let present = values.iter().rev().take(self.not_null).all(|value| !value.is_null());
        self.keeps = tested && present;
        Ok(())
    }
}

/// Whether a value passes, as the shard's scan decides it: NULL passes nothing but IS NULL.
pub(crate) fn holds(op: &PredicateOp, value: DatumRef<'_>) -> bool {
    match op {
        PredicateOp::IsNull => return value.is_null(),
        PredicateOp::IsNotNull => return !value.is_null(),
        _ if value.is_null() => return false,
        _ => {}
    }
    match (op, value) {
        (PredicateOp::Compare(_, to), _) if to.is_null() => false,
        (PredicateOp::Compare(op, to), _) => {
            let order = compare(value, to.as_ref());
            match op {
                CompareOp::Eq => order.is_eq(),
                CompareOp::NotEq => order.is_ne(),
                CompareOp::Lt => order.is_lt(),
                CompareOp::LtEq => order.is_le(),
                CompareOp::Gt => order.is_gt(),
                CompareOp::GtEq => order.is_ge(),
            }
        }
        (PredicateOp::In(list), _) => list.iter().any(|to| !to.is_null() && compare(value, to.as_ref()).is_eq()),
        (PredicateOp::Member(set), value) => set.holds(&value),
        (PredicateOp::StartsWith(prefix), DatumRef::Text(text)) => text.starts_with(prefix.as_str()),
        (PredicateOp::Contains(part), DatumRef::Text(text)) => text.contains(part.as_str()),
        _ => false,
    }
}

/// A scan of rows whose keys are known.
pub(crate) struct KeyedScan {
    shard: Arc<dyn ShardClient>,
    context: ReadContext,
    request: ScanRequest,
    /// Of the projection, then of the predicates' columns.
    columns: Vec<ColumnId>,
    types: Vec<PhysicalType>,
    schema: SchemaRef,
    keys: Mutex<Option<Vec<Bytes>>>,
    rows: u64,
    metrics: Arc<ScanMetrics>,
}

impl KeyedScan {
    pub fn new(
        shard: Arc<dyn ShardClient>,
        context: &ReadContext,
        relation: &Relation,
        request: &ScanRequest,
        keys: Vec<Bytes>,
    ) -> Result<KeyedScan> {
        let table = relation.table().ok_or_else(|| Error::internal("a scan of no table"))?;
        let mut types = Vec::with_capacity(request.projection.len());
        let mut fields = Vec::with_capacity(request.projection.len() + 1);
        for id in &request.projection {
            let column = table.tree.column(*id).ok_or_else(|| Error::internal(format!("no column {id}")))?;
            types.push(column.physical);
            fields.push(Field::new(id.to_string(), arrow_type(column.physical), true));
        }
        if request.row_refs {
            fields.push(Field::new(ROW_REF_COLUMN, DataType::BinaryView, false));
        }
        let mut columns = request.projection.clone();
        columns.extend(request.predicates.iter().map(|predicate| predicate.column));
        Ok(KeyedScan {
            shard,
            context: context.clone(),
            columns,
            types,
            schema: Arc::new(Schema::new(fields)),
            rows: keys.len() as u64,
            keys: Mutex::new(Some(keys)),
            request: request.clone(),
            metrics: Arc::default(),
        })
    }
}

impl TableScan for KeyedScan {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn partition_count(&self) -> usize {
        1
    }

    fn open(&self, partition: usize) -> Result<Box<dyn BatchReader>> {
        let keys = self.keys.lock().take().filter(|_| partition == 0);
        let keys = keys.ok_or_else(|| Error::internal(format!("partition {partition} of a scan cannot be opened")))?;
        Ok(Box::new(KeyedReader {
            shard: Arc::clone(&self.shard),
            context: self.context.clone(),
            request: self.request.clone(),
            columns: self.columns.clone(),
            types: self.types.clone(),
            schema: Arc::clone(&self.schema),
            keys: keys.into_iter(),
            left: self.request.limit.unwrap_or(usize::MAX),
            metrics: Arc::clone(&self.metrics),
        }))
    }

    fn metrics(&self) -> Arc<ScanMetrics> {
        Arc::clone(&self.metrics)
    }

    fn estimated_rows(&self) -> u64 {
        self.rows
    }

    fn estimated_bytes(&self) -> u64 {
        0
    }
}

struct KeyedReader {
    shard: Arc<dyn ShardClient>,
    context: ReadContext,
    request: ScanRequest,
    columns: Vec<ColumnId>,
    types: Vec<PhysicalType>,
    schema: SchemaRef,
    keys: std::vec::IntoIter<Bytes>,
    left: usize,
    metrics: Arc<ScanMetrics>,
}

struct Collect<'a> {
    predicates: &'a [ColumnPredicate],
    builders: &'a mut [ColumnBuilder],
    hint: RowHint,
    kept: bool,
}

impl RowSink for Collect<'_> {
    fn row(&mut self, values: &[DatumRef<'_>], reference: RowHint) -> Result<()> {
        let tested = values.get(self.builders.len()..).unwrap_or(&[]);
        self.kept = self.predicates.iter().zip(tested).all(|(predicate, value)| holds(&predicate.op, *value));
        self.hint = reference;
        if self.kept {
            for (builder, value) in self.builders.iter_mut().zip(values) {
                builder.push(*value)?;
            }
        }
        Ok(())
    }
}

impl BatchReader for KeyedReader {
    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let wanted = self.request.batch_rows.max(1).min(self.left);
        let ahead = self.keys.len().min(wanted);
        let mut builders: Vec<ColumnBuilder> =
            self.types.iter().map(|physical| ColumnBuilder::new(*physical, ahead)).collect();
        let mut references = BinaryViewBuilder::with_capacity(ahead);
        let mut rows = 0;
        while rows < wanted {
            let Some(key) = self.keys.next() else { break };
            let mut sink = Collect {
                predicates: &self.request.predicates,
                builders: &mut builders,
                hint: RowHint::default(),
                kept: false,
            };
            self.shard.get(&self.context, self.request.tree, &key, &self.columns, &mut sink)?;
            if sink.kept {
                if self.request.row_refs {
                    let mut bytes = Vec::new();
                    RowRef { hint: sink.hint, key: &key }.encode(&mut bytes);
                    references.append_value(bytes);
                }
                rows += 1;
            }
        }
        if rows == 0 {
            return Ok(None);
        }
        self.left -= rows;
        ScanMetrics::add(&self.metrics.rows_out, rows as u64);
        let mut arrays: Vec<ArrayRef> = builders.into_iter().map(ColumnBuilder::finish).collect();
        if self.request.row_refs {
            arrays.push(Arc::new(references.finish()));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options).map(Some).map_err(from_arrow)
    }
}
