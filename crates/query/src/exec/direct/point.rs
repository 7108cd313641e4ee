//! One row of a table by its primary key or a unique index, or few: a column of the key may have one of several values.

use arrow_array::RecordBatch;
use bytes::Bytes;
use datafusion::datasource::source_as_provider;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::TableScan;
use heliosdb_contracts::{CompareOp, TreeKey};
use heliosdb_types::{CommitTs, Oid, Result, TreeRef, encode_key};

use super::compile::Condition;
use super::key::{KeyValue, compared, one_of};
use super::range::ROWS_MAX;
use super::shape::{RowShape, Rows};
use crate::catalog::{Column, IndexInfo, Relation};
use crate::exec::foreign::FirstBytes;
use crate::exec::index::{ENTRY_ROW, encode_part, tree_key};
use crate::exec::parameters::Turn;
use crate::exec::scope::StatementScope;
use crate::exec::table::HeliosTable;

/// A key column's value, or several of which one column of a key may have one each.
struct KeyPart {
    values: Vec<KeyValue>,
    /// Descending and nulls first, in an index.
    order: Option<(bool, bool)>,
}

/// Rows of a table by its primary key, or a unique one.
pub(super) struct Point {
    tree: TreeRef,
    key: Vec<KeyPart>,
    /// The unique index the key is of; `None`: the table's primary key.
    index: Option<TreeRef>,
    /// Table and index, where they are counted.
    counted: (Oid, Oid),
    /// Snapshots before this do not see all of the index.
    pub readable_from: CommitTs,
    shape: RowShape,
}

impl Point {
    pub fn shape(&self) -> &RowShape {
        &self.shape
    }

    pub fn shape_mut(&mut self) -> &mut RowShape {
        &mut self.shape
    }

    pub fn read(&self, turn: &Turn, scope: &StatementScope) -> Result<RecordBatch> {
        let mut rows = self.shape.rows(self.most());
        self.read_into(turn, scope, &mut rows)?;
        self.count(scope, self.most() as i64, rows.count);
        rows.finish()
    }

    /// So many rows at most.
    fn most(&self) -> usize {
        self.key.iter().map(|part| part.values.len()).product()
    }

    /// Tells who counts of so many reads and what they found.
    pub fn count(&self, scope: &StatementScope, reads: i64, found: usize) {
        let (table, index) = self.counted;
        scope.tier.tally().found(table, index, reads, found as i64);
    }

    pub fn read_into(&self, turn: &Turn, scope: &StatementScope, rows: &mut Rows<'_>) -> Result<()> {
        if self.most() == 1 {
            return self.key(turn, 0).map_or(Ok(()), |key| self.read_key(key, scope, rows));
        }
        let mut keys: Vec<Vec<u8>> = (0..self.most()).filter_map(|at| self.key(turn, at)).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter().try_for_each(|key| self.read_key(key, scope, rows))
    }

    fn read_key(&self, key: Vec<u8>, scope: &StatementScope, rows: &mut Rows<'_>) -> Result<()> {
        let key = match self.index {
            Some(index) => {
                let mut row = FirstBytes(None);
                scope.shard.get(&scope.read, index, &tree_key(&key), &[ENTRY_ROW], &mut row)?;
                row.0
            }
            None => Some(Bytes::from(key)),
        };
        if let Some(key) = &key {
            scope.shard.get(&scope.read, self.tree, key, &self.shape.columns, &mut rows.of_key(key))?;
        }
        Ok(())
    }

    /// The key with this one of the several values a column may have. `None`: a value is NULL, which equals nothing.
    fn key(&self, turn: &Turn, at: usize) -> Option<Vec<u8>> {
        let mut key = Vec::new();
        for part in &self.key {
            let value = if part.values.len() > 1 { part.values.get(at) } else { part.values.first() };
            let value = value?.get(turn)?;
            match part.order {
                None => encode_key(&mut key, value.as_ref().as_ref(), false),
                Some((descending, nulls_first)) => {
                    encode_part(&mut key, value.as_ref().as_ref(), descending, nulls_first);
                }
            }
        }
        Some(key)
    }
}

/// The point a scan comes down to, if `filters` fix every column of the key.
pub(super) fn point(scan: &TableScan, filters: &mut [Condition], session: &SessionState) -> Option<Point> {
    if !scan.filters.is_empty() || scan.fetch.is_some() {
        return None;
    }
    let provider = source_as_provider(&scan.source).ok()?;
    let table = (provider.as_ref() as &dyn std::any::Any).downcast_ref::<HeliosTable>()?;
    let relation = table.relation();
    // Compiled for any snapshot, an index says from which on it may be read; for a known one it may be or not.
    let snapshot = StatementScope::of(session.config()).ok().map(|scope| scope.read.snapshot.ts);
    let by_index = || unique_key(relation, filters, snapshot);
    let (key, index, used) = primary_key(relation, filters).or_else(by_index)?;
    let own_key = || relation.table().and_then(|table| table.primary_key.as_ref()).map(|key| key.oid);
    let counted = (relation.oid, index.map(|(_, oid, _)| oid).or_else(own_key)?);
    for at in used {
        if let Some(condition) = filters.get_mut(at) {
            condition.fulfilled = true;
        }
    }
    Some(Point {
        tree: relation.table()?.tree.tree,
        key,
        readable_from: index.map_or(CommitTs::ZERO, |(.., from)| from),
        index: index.map(|(tree, ..)| tree),
        counted,
        shape: RowShape::of(scan, table)?,
    })
}

/// A key's parts, the index it is of, and which conditions it fulfils.
type FixedKey = (Vec<KeyPart>, Option<(TreeRef, Oid, CommitTs)>, Vec<usize>);

fn primary_key(relation: &Relation, conditions: &[Condition]) -> Option<FixedKey> {
    let TreeKey::Columns(columns) = &relation.table()?.tree.key else { return None };
    let (mut parts, mut used) = (Vec::new(), Vec::new());
    for id in columns {
        let column = relation.columns.iter().find(|column| column.id == *id)?;
        let (at, part) = fixed(column, conditions, None, &parts)?;
        parts.push(part);
        used.push(at);
    }
    Some((parts, None, used))
}

/// A unique index of all rows whose columns are fixed.
fn unique_key(relation: &Relation, conditions: &[Condition], snapshot: Option<CommitTs>) -> Option<FixedKey> {
    let table = relation.table()?;
    let now = |index: &IndexInfo| index.is_readable(snapshot.unwrap_or(CommitTs::MAX));
    let readable = |index: &&IndexInfo| index.unique && index.predicate.is_none() && now(index);
    let of_all = table.indexes.iter().filter(readable);
    of_all.into_iter().find_map(|index| {
        let (mut parts, mut used) = (Vec::new(), Vec::new());
        for (attribute, part) in index.key_attributes()?.iter().zip(&index.keys) {
            let column = relation.columns.iter().find(|column| column.attribute == *attribute)?;
            if !crate::func::is_its_own_key(&column.sql_type) {
                return None;
            }
            let (at, fixed) = fixed(column, conditions, Some((part.descending, part.nulls_first)), &parts)?;
            parts.push(fixed);
            used.push(at);
        }
        Some((parts, Some((table.index_tree(index), index.oid, index.readable_from)), used))
    })
}

/// The value conditions fix a column to, or the values it may have if no column before it has several, and which of them does.
fn fixed(
    column: &Column,
    conditions: &[Condition],
    order: Option<(bool, bool)>,
    before: &[KeyPart],
) -> Option<(usize, KeyPart)> {
    let physical = column.sql_type.physical()?;
    let one = conditions.iter().enumerate().find_map(|(at, condition)| {
        let (op, value) = compared(&condition.expr, &column.name, physical)?;
        (op == CompareOp::Eq).then_some((at, vec![value]))
    });
    let several = || {
        let alone = before.iter().all(|part| part.values.len() == 1);
        let mut found = conditions
            .iter()
            .enumerate()
            .filter(|_| alone)
            .filter_map(|(at, condition)| Some((at, one_of(&condition.expr, &column.name, physical, ROWS_MAX)?)));
        found.next()
    };
    let (at, values) = one.or_else(several)?;
    Some((at, KeyPart { values, order }))
}
