//! Rows next to each other in the order of a key: those of its first columns that a statement fixes or bounds, or all of a table.
//!
//! How many there are is not known when the statement is compiled. They are read up to a number; beyond it the statement takes the
//! full path, and what was read is forgotten. Where nothing is fixed it takes that at once, unless the table is small or the
//! first rows in the key's order are all that is wanted (`ORDER BY id LIMIT 10`, `WHERE id > 7 ORDER BY id LIMIT 10`).

use std::sync::Arc;

use arrow_array::RecordBatch;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::TableScan;
use heliosdb_contracts::{
    ColumnPredicate, CompareOp, KeyRange, PredicateOp, RangeRequest, RowHint, ShardClient, TreeSize,
};
use heliosdb_types::{ColumnId, CommitTs, DatumRef, Error, Oid, Result, TreeRef};

use super::compile::Condition;
use super::key::{KeyValue, compared};
use super::order::OrderedBy;
use super::shape::{RowShape, Rows};
use crate::catalog::Relation;
use crate::exec::index::{ENTRY_ROW, KeyPart, TableKey, entry_range, ranges, serves};
use crate::exec::parameters::Turn;
use crate::exec::scope::StatementScope;
use crate::exec::table::HeliosTable;
use crate::statistics::index_oid;

/// More rows than this are the analytics pool's work.
pub(super) const ROWS_MAX: usize = 128;
/// Tables of no more rows in no more bytes are read whole: that is less than planning would be.
const SMALL_ROWS: usize = 1_024;
const SMALL_BYTES: u64 = 4 << 20;
/// Keys of so few rows, and so many bytes of them, are collected in one allocation each.
const KEYS_FEW: usize = 16;
const KEYS_BYTES: usize = 256;

pub(super) struct RangeRows {
    relation: Arc<Relation>,
    tree: TreeRef,
    by: ByKey,
    /// Where nothing is fixed: other keys that all rows may be read by.
    others: Vec<ByKey>,
    /// Columns of the key that are fixed to one value each.
    fixed: usize,
    conditions: Vec<(ColumnId, CompareOp, KeyValue)>,
    shape: RowShape,
    reverse: bool,
    /// No more rows than this are wanted.
    limit: Option<usize>,
    /// With more rows than this the statement takes the full path.
    most: usize,
}

/// A tree that has the rows in the order of a key.
struct ByKey {
    /// The index; `None`: the table's own tree.
    index: Option<TreeRef>,
    parts: Vec<KeyPart>,
    readable_from: CommitTs,
    /// Where its use is counted; `None`: as a scan of the table.
    counted: Option<Oid>,
}

impl ByKey {
    fn of(key: &TableKey, relation: &Relation) -> ByKey {
        ByKey {
            index: key.entries.then_some(key.tree),
            parts: key.parts.clone(),
            readable_from: key.readable_from(),
            counted: index_oid(relation, &key.name),
        }
    }

    /// The table as it lies there.
    fn whole() -> ByKey {
        ByKey { index: None, parts: Vec::new(), readable_from: CommitTs::ZERO, counted: None }
    }
}

/// The range a scan comes down to. Marks those of `filters` that it fulfils. Compiled for any snapshot, an index says from which on
/// it may be read; for a known one it may be or not.
pub(super) fn range(scan: &TableScan, filters: &mut [Condition], snapshot: Option<CommitTs>) -> Option<RangeRows> {
    if !scan.filters.is_empty() || scan.fetch.is_some() {
        return None;
    }
    let provider = source_as_provider(&scan.source).ok()?;
    let table = (provider.as_ref() as &dyn std::any::Any).downcast_ref::<HeliosTable>()?;
    let relation = table.relation();
    let own = relation.table()?;
    let readable = |key: &&TableKey| key.predicate.is_empty() && snapshot.is_none_or(|at| key.is_readable(at));
    let of_all: Vec<&TableKey> = table.keys().keys.iter().filter(readable).collect();
    // Of keys that fix as much the first: the table's own.
    let fixed = of_all.iter().map(|key| (*key, leading(key, relation, filters)));
    let bounded = || of_all.iter().find(|key| bounds_first(key, relation, filters)).map(|key| (*key, 0));
    let key = fixed.filter(|(_, fixed)| *fixed > 0).rev().max_by_key(|(_, fixed)| *fixed).or_else(bounded);
    let mut rows = RangeRows {
        relation: Arc::clone(relation),
        tree: own.tree.tree,
        by: key.map_or_else(ByKey::whole, |(key, _)| ByKey::of(key, relation)),
        others: Vec::new(),
        fixed: key.map_or(0, |(_, fixed)| fixed),
        conditions: Vec::new(),
        shape: RowShape::of(scan, table)?,
        reverse: false,
        limit: None,
        most: if key.is_some_and(|(_, fixed)| fixed > 0) { ROWS_MAX } else { SMALL_ROWS },
    };
    match key {
        Some((key, fixed)) => rows.conditions = conditions(key, fixed, relation, filters),
        None => rows.others = of_all.into_iter().map(|key| ByKey::of(key, relation)).collect(),
    }
    Some(rows)
}

/// What the conditions say of the first columns of a key, of which so many are fixed.
fn conditions(
    key: &TableKey,
    fixed: usize,
    relation: &Relation,
    filters: &mut [Condition],
) -> Vec<(ColumnId, CompareOp, KeyValue)> {
    let mut conditions = Vec::new();
    for (at, part) in key.parts.iter().take(fixed + 1).enumerate() {
        let Some(column) = relation.columns.iter().find(|column| column.id == part.column) else { break };
        let Some(physical) = column.sql_type.physical() else { break };
        for filter in filters.iter_mut() {
            let Some((op, value)) = compared(&filter.expr, &column.name, physical) else { continue };
            if (op == CompareOp::Eq) != (at < fixed) {
                continue;
            }
            // A bound lets NULLs through that lie on its open side.
            filter.fulfilled |= at < fixed || column.not_null || !key.entries;
            conditions.push((column.id, op, value));
            if op == CompareOp::Eq {
                // Another value of the column is for the filter to refuse.
                break;
            }
        }
    }
    conditions
}

/// What a condition compares the column of a part with.
fn comparisons<'a>(
    part: &KeyPart,
    relation: &'a Relation,
    filters: &'a [Condition],
) -> impl Iterator<Item = CompareOp> + 'a {
    let column = relation.columns.iter().find(|column| column.id == part.column);
    let known = column.and_then(|column| Some((column, column.sql_type.physical()?)));
    let of_column = move |filter: &'a Condition| {
        let (column, physical) = known?;
        compared(&filter.expr, &column.name, physical).map(|(op, _)| op)
    };
    filters.iter().filter_map(of_column)
}

/// Whether conditions bound the first column of a key.
fn bounds_first(key: &TableKey, relation: &Relation, filters: &[Condition]) -> bool {
    key.parts.first().is_some_and(|part| comparisons(part, relation, filters).any(|op| op != CompareOp::Eq))
}

/// How many of a key's first columns are each fixed to one value.
fn leading(key: &TableKey, relation: &Relation, filters: &[Condition]) -> usize {
    let is_fixed = |part: &&KeyPart| comparisons(part, relation, filters).any(|op| op == CompareOp::Eq);
    key.parts.iter().take_while(is_fixed).count()
}

impl RangeRows {
    pub fn readable_from(&self) -> CommitTs {
        self.by.readable_from
    }

    pub fn shape(&self) -> &RowShape {
        &self.shape
    }

    pub fn shape_mut(&mut self) -> &mut RowShape {
        &mut self.shape
    }

    /// Gives the rows in this order, if it is the key's.
    pub fn order_by(&mut self, order: &[OrderedBy]) -> bool {
        let nullable = |id: ColumnId| self.relation.columns.iter().any(|column| column.id == id && !column.not_null);
        let order: Vec<_> = order.iter().map(|by| by.of_column(!nullable(by.column))).collect();
        let fixed = self.fixed;
        let served = |by: &ByKey| by.parts.get(fixed..).and_then(|rest| serves(rest, &order));
        if let Some(reverse) = served(&self.by) {
            self.reverse = reverse;
            return true;
        }
        let other = self.others.iter().enumerate().find_map(|(at, by)| Some((at, served(by)?)));
        if let Some((at, reverse)) = other {
            (self.by, self.reverse) = (self.others.swap_remove(at), reverse);
        }
        other.is_some()
    }

    /// Whether they are few, as far as that can be known without reading them.
    pub fn suits(&self, shard: &dyn ShardClient) -> bool {
        !self.is_open() || is_small(shard.tree_size(self.tree))
    }

    /// Whether only the table's size says how many rows there are.
    pub fn is_open(&self) -> bool {
        self.fixed == 0 && self.limit.is_none()
    }

    /// Makes sure that no execution finds too many; false if that cannot be known.
    pub fn settle(&mut self, scope: &StatementScope) -> bool {
        // What the transaction itself has written nobody counts.
        let few = scope.read.txn.is_none() && is_small(scope.shard.tree_size(self.tree));
        if few {
            self.most = usize::MAX;
        }
        few || self.limit.is_some()
    }

    /// Lets so many rows through.
    pub fn allow(&mut self, most: usize) {
        self.most = most;
    }

    /// Gives the first rows only, if they are few.
    pub fn limit(&mut self, rows: usize) -> bool {
        if rows <= ROWS_MAX {
            self.limit = Some(rows);
        }
        rows <= ROWS_MAX
    }

    /// `None`: there are too many.
    pub fn read(&self, turn: &Turn, scope: &StatementScope) -> Result<Option<RecordBatch>> {
        let mut rows = self.shape.rows(8);
        if !self.read_into(turn, scope, &mut rows)? {
            return Ok(None);
        }
        self.count(scope, 1, rows.count);
        rows.finish().map(Some)
    }

    /// Tells who counts of so many reads and what they found.
    pub fn count(&self, scope: &StatementScope, reads: i64, found: usize) {
        match self.by.counted {
            Some(index) => scope.tier.tally().found(self.relation.oid, index, reads, found as i64),
            None => scope.tier.tally().scanned(self.relation.oid, reads, found as i64),
        }
    }

    /// False if there are too many rows.
    pub fn read_into(&self, turn: &Turn, scope: &StatementScope, rows: &mut Rows<'_>) -> Result<bool> {
        match self.range(turn)? {
            Some(range) => self.read_range(range, scope, rows),
            None => Ok(true),
        }
    }

    /// `None`: a value is NULL, so that no row can match.
    fn range(&self, turn: &Turn) -> Result<Option<KeyRange>> {
        if self.conditions.is_empty() {
            let all = KeyRange::prefix(&[]);
            let all = if self.by.index.is_some() { entry_range(&all) } else { all };
            return Ok(Some(KeyRange { reverse: self.reverse, ..all }));
        }
        let mut predicates = Vec::with_capacity(self.conditions.len());
        for (column, op, value) in &self.conditions {
            let Some(value) = value.get(turn) else { return Ok(None) };
            predicates.push(ColumnPredicate { column: *column, op: PredicateOp::Compare(*op, value.into_owned()) });
        }
        let found = ranges(&self.by.parts, &predicates).map(|(ranges, ..)| ranges);
        let [range] = found.as_deref().unwrap_or(&[]) else { return Err(Error::internal("a key of several ranges")) };
        let range = if self.by.index.is_some() { entry_range(range) } else { range.clone() };
        Ok(Some(KeyRange { reverse: self.reverse, ..range }))
    }

    /// False if there are too many rows.
    fn read_range(&self, range: KeyRange, scope: &StatementScope, rows: &mut Rows<'_>) -> Result<bool> {
        let most = self.limit.unwrap_or(self.most.saturating_add(1));
        let (shard, context) = (&*scope.shard, &scope.read);
        let Some(index) = self.by.index else {
            let (projection, keys) = (self.shape.columns.clone(), self.shape.has_reference());
            let request = RangeRequest { tree: self.tree, range, projection, keys };
            let mut cursor = shard.range(context, &request)?;
            let mut sink = |key: &[u8], values: &[DatumRef<'_>], hint: RowHint| rows.push(key, values, hint);
            let mut count = 0;
            while count < most && cursor.next(&mut sink)? {
                count += 1;
            }
            return Ok(count <= self.most);
        };
        // The rows' keys, one behind the other, and where each ends.
        let (mut joined, mut ends) = (Vec::with_capacity(KEYS_BYTES), Vec::with_capacity(KEYS_FEW));
        let request = RangeRequest { tree: index, range, projection: vec![ENTRY_ROW], keys: false };
        let mut cursor = shard.range(context, &request)?;
        let mut sink = |_: &[u8], values: &[DatumRef<'_>], _: RowHint| match values.first() {
            Some(DatumRef::Bytes(row)) => {
                joined.extend_from_slice(row);
                ends.push(joined.len());
                Ok(())
            }
            _ => Err(Error::corrupt("an index entry without its row")),
        };
        let mut count = 0;
        while count < most && cursor.next(&mut sink)? {
            count += 1;
        }
        if count > self.most {
            return Ok(false);
        }
        let mut start = 0;
        let key = |end: usize| joined.get(std::mem::replace(&mut start, end)..end).unwrap_or(&[]);
        let keys: Vec<&[u8]> = ends.into_iter().map(key).collect();
        let mut sink = |key: &[u8], values: &[DatumRef<'_>], hint: RowHint| rows.push(key, values, hint);
        shard.get_rows(context, self.tree, &keys, &self.shape.columns, &mut sink)?;
        Ok(true)
    }
}

fn is_small(size: TreeSize) -> bool {
    size.rows <= SMALL_ROWS as u64 && size.memory_bytes + size.disk_bytes <= SMALL_BYTES
}
