//! Rows next to each other in the order of a key whose first columns a statement fixes.
//!
//! How many there are is not known when the statement is compiled. They are read up to a number; beyond it the statement takes the
//! full path, and what was read is forgotten.

use std::sync::Arc;

use arrow_array::RecordBatch;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::TableScan;
use heliosdb_contracts::{ColumnPredicate, CompareOp, KeyRange, PredicateOp, RangeRequest, RowHint};
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
/// Keys of so few rows, and so many bytes of them, are collected in one allocation each.
const KEYS_FEW: usize = 16;
const KEYS_BYTES: usize = 256;

pub(super) struct RangeRows {
    relation: Arc<Relation>,
    tree: TreeRef,
    /// The index the range is of; `None`: the table's own tree.
    index: Option<TreeRef>,
    parts: Vec<KeyPart>,
    /// Columns of the key that are fixed to one value each.
    fixed: usize,
    conditions: Vec<(ColumnId, CompareOp, KeyValue)>,
    readable_from: CommitTs,
    /// Table and index, where they are counted.
    counted: (Oid, Option<Oid>),
    shape: RowShape,
    reverse: bool,
    /// No more rows than this are wanted.
    limit: Option<usize>,
    /// With more rows than this the statement takes the full path.
    most: usize,
}

/// The range a scan comes down to, if `filters` fix the first columns of a key. Marks those that it fulfils.
pub(super) fn range(scan: &TableScan, filters: &mut [Condition]) -> Option<RangeRows> {
    if !scan.filters.is_empty() || scan.fetch.is_some() || filters.is_empty() {
        return None;
    }
    let provider = source_as_provider(&scan.source).ok()?;
    let table = (provider.as_ref() as &dyn std::any::Any).downcast_ref::<HeliosTable>()?;
    let relation = table.relation();
    let own = relation.table()?;
    let of_all = table.keys().keys.iter().filter(|key| key.predicate.is_empty());
    // Of keys that fix as much the first: the table's own.
    let fixed = of_all.map(|key| (key, leading(key, relation, filters)));
    let (key, fixed) = fixed.filter(|(_, fixed)| *fixed > 0).rev().max_by_key(|(_, fixed)| *fixed)?;
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
    Some(RangeRows {
        relation: Arc::clone(relation),
        tree: own.tree.tree,
        index: key.entries.then_some(key.tree),
        parts: key.parts.clone(),
        fixed,
        conditions,
        readable_from: key.readable_from(),
        counted: (relation.oid, index_oid(relation, &key.name)),
        shape: RowShape::of(scan, table)?,
        reverse: false,
        limit: None,
        most: ROWS_MAX,
    })
}

/// How many of a key's first columns are each fixed to one value.
fn leading(key: &TableKey, relation: &Relation, filters: &[Condition]) -> usize {
    let is_fixed = |part: &&KeyPart| {
        let column = relation.columns.iter().find(|column| column.id == part.column);
        let Some((column, physical)) = column.and_then(|column| Some((column, column.sql_type.physical()?))) else {
            return false;
        };
        let mut known = filters.iter().filter_map(|filter| compared(&filter.expr, &column.name, physical));
        known.any(|(op, _)| op == CompareOp::Eq)
    };
    key.parts.iter().take_while(is_fixed).count()
}

impl RangeRows {
    pub fn readable_from(&self) -> CommitTs {
        self.readable_from
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
        match self.parts.get(self.fixed..).and_then(|rest| serves(rest, &order)) {
            Some(reverse) => {
                self.reverse = reverse;
                true
            }
            None => false,
        }
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
        if let (table, Some(index)) = self.counted {
            scope.tier.tally().found(table, index, reads, found as i64);
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
        let mut predicates = Vec::with_capacity(self.conditions.len());
        for (column, op, value) in &self.conditions {
            let Some(value) = value.get(turn) else { return Ok(None) };
            predicates.push(ColumnPredicate { column: *column, op: PredicateOp::Compare(*op, value.into_owned()) });
        }
        let found = ranges(&self.parts, &predicates).map(|(ranges, ..)| ranges);
        let [range] = found.as_deref().unwrap_or(&[]) else { return Err(Error::internal("a key of several ranges")) };
        let range = if self.index.is_some() { entry_range(range) } else { range.clone() };
        Ok(Some(KeyRange { reverse: self.reverse, ..range }))
    }

    /// False if there are too many rows.
    fn read_range(&self, range: KeyRange, scope: &StatementScope, rows: &mut Rows<'_>) -> Result<bool> {
        let most = self.limit.unwrap_or(self.most + 1);
        let (shard, context) = (&*scope.shard, &scope.read);
        let Some(index) = self.index else {
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
