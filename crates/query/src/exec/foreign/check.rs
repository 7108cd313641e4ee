//! Looking for parents, and noticing referenced keys that go.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;
use heliosdb_contracts::{LockedRow, RowHint, RowLockMode, RowSink, datum_at};
use heliosdb_types::{
    Datum, DatumRef, Error, PhysicalType, Result, SqlState, TextContext, TreeRef, TxnId, encode_key, write_text,
};

use super::events::{ChildEvent, ParentEvent};
use crate::catalog::{Column, ForeignKey, IndexColumn, Relation};
use crate::exec::index::{ENTRY_ROW, Written, encode_part, tree_key};
use crate::exec::scope::StatementScope;

/// The foreign keys a statement has to do with.
#[derive(Clone, Debug, Default)]
pub struct ForeignWrite {
    /// Of the table written.
    pub checks: Vec<ForeignCheck>,
    /// To the table written.
    pub references: Vec<Referenced>,
}

#[derive(Clone, Debug)]
pub struct ForeignCheck {
    pub key: Arc<ForeignKey>,
    pub parent: Arc<Relation>,
}

#[derive(Clone, Debug)]
pub struct Referenced {
    pub key: Arc<ForeignKey>,
    pub child: Arc<Relation>,
}

/// A column of the parent's key.
struct Part {
    /// Position among the child's columns.
    at: usize,
    from: PhysicalType,
    to: PhysicalType,
    descending: bool,
    nulls_first: bool,
}

/// One foreign key, ready to look for parents.
pub(crate) struct ForeignSpec {
    pub key: Arc<ForeignKey>,
    child: Arc<Relation>,
    parent: Arc<Relation>,
    parent_tree: TreeRef,
    /// The unique index referred to; `None`: the primary key, which is the parent's tree.
    index: Option<TreeRef>,
    /// In the order of the parent's key.
    parts: Vec<Part>,
    /// The child's columns in the constraint's order.
    positions: Vec<usize>,
}

fn broken() -> Error {
    Error::internal("a foreign key names columns that are not there")
}

fn position(relation: &Relation, attribute: i16) -> Result<usize> {
    relation.columns.iter().position(|column| column.attribute == attribute).ok_or_else(broken)
}

fn physical(column: Option<&Column>) -> Result<PhysicalType> {
    column.and_then(|column| column.sql_type.physical()).ok_or_else(broken)
}

impl ForeignSpec {
    pub fn new(check: &ForeignCheck, child: &Arc<Relation>) -> Result<ForeignSpec> {
        let (key, parent) = (&check.key, &check.parent);
        let table = parent.table().ok_or_else(broken)?;
        let primary = table.primary_key.as_ref().filter(|primary| primary.oid == key.parent_index);
        let (order, index) = match primary {
            Some(primary) => (primary.attributes.iter().map(|attribute| (*attribute, false, false)).collect(), None),
            None => {
                let index = table.index(key.parent_index).ok_or_else(broken)?;
                let part = |part: &crate::catalog::IndexKey| match part.column {
                    IndexColumn::Attribute(attribute) => Ok((attribute, part.descending, part.nulls_first)),
                    IndexColumn::Expression { .. } => Err(broken()),
                };
                (index.keys.iter().map(part).collect::<Result<Vec<_>>>()?, Some(table.index_tree(index)))
            }
        };
        let mut parts = Vec::with_capacity(order.len());
        for (attribute, descending, nulls_first) in order {
            let place = key.parent_attributes.iter().position(|other| *other == attribute).ok_or_else(broken)?;
            let at = position(child, *key.attributes.get(place).ok_or_else(broken)?)?;
            let from = physical(child.columns.get(at))?;
            let to = physical(parent.columns.get(position(parent, attribute)?))?;
            parts.push(Part { at, from, to, descending, nulls_first });
        }
        let positions = key.attributes.iter().map(|attribute| position(child, *attribute)).collect::<Result<_>>()?;
        Ok(ForeignSpec {
            key: Arc::clone(key),
            child: Arc::clone(child),
            parent_tree: table.tree.tree,
            parent: Arc::clone(parent),
            index,
            parts,
            positions,
        })
    }

    /// The child's columns.
    pub fn positions(&self) -> &[usize] {
        &self.positions
    }

    /// Whether the table refers to itself: its parents may come later in the same statement.
    pub fn to_itself(&self) -> bool {
        self.child.oid == self.parent.oid
    }

    /// What a row refers to, as its parent's key; `None` if to nothing. A key no parent can have is empty.
    fn wanted(&self, rows: &RecordBatch, row: usize) -> Result<Option<Bytes>> {
        let (mut key, mut nulls, mut impossible) = (Vec::new(), 0, false);
        for part in &self.parts {
            let array = rows.columns().get(part.at).ok_or_else(broken)?;
            let value = datum_at(array, row, part.from)?;
            if value.is_null() {
                nulls += 1;
                continue;
            }
            match convert(value, part.to) {
                Some(value) if self.index.is_some() => {
                    encode_part(&mut key, value.as_ref(), part.descending, part.nulls_first);
                }
                Some(value) => encode_key(&mut key, value.as_ref(), false),
                None => impossible = true,
            }
        }
        if nulls == 0 {
            let key = if self.index.is_some() { tree_key(&key) } else { Bytes::from(key) };
            return Ok(Some(if impossible { Bytes::new() } else { key }));
        }
        if self.key.match_full && nulls < self.parts.len() {
            return Err(self.violated("MATCH FULL does not allow mixing of null and nonnull key values.".to_owned()));
        }
        Ok(None)
    }

    fn violated(&self, detail: String) -> Error {
        let (child, name) = (&self.child.name, &self.key.name);
        let message = format!("insert or update on table \"{child}\" violates foreign key constraint \"{name}\"");
        Error::conflict(SqlState::FOREIGN_KEY_VIOLATION, message)
            .with_detail(detail)
            .with_table(child.as_str())
            .with_constraint(name.as_str())
    }

    fn missing(&self, rows: &RecordBatch, row: usize, text: &TextContext) -> Result<Error> {
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for &at in &self.positions {
            let (Some(column), Some(array)) = (self.child.columns.get(at), rows.columns().get(at)) else {
                return Err(broken());
            };
            let mut shown = String::new();
            write_text(datum_at(array, row, physical(Some(column))?)?, &column.sql_type, text, &mut shown);
            names.push(crate::pg_catalog::quote_identifier(&column.name));
            values.push(shown);
        }
        let detail = format!(
            "Key ({})=({}) is not present in table \"{}\".",
            names.join(", "),
            values.join(", "),
            self.parent.name
        );
        Ok(self.violated(detail))
    }

    /// Rows that refer to another parent than before.
    pub fn changed(&self, old: &RecordBatch, new: &RecordBatch) -> Result<Vec<usize>> {
        let mut changed = Vec::new();
        for row in 0..new.num_rows() {
            let same = |at: &usize| {
                let (Some(before), Some(after), Some(column)) =
                    (old.columns().get(*at), new.columns().get(*at), self.child.columns.get(*at))
                else {
                    return Err(broken());
                };
                let physical = physical(Some(column))?;
                let (mut a, mut b) = (Vec::new(), Vec::new());
                encode_key(&mut a, datum_at(before, row, physical)?, false);
                encode_key(&mut b, datum_at(after, row, physical)?, false);
                Ok(a == b)
            };
            let mut all = true;
            for at in &self.positions {
                all &= same(at)?;
            }
            if !all {
                changed.push(row);
            }
        }
        Ok(changed)
    }

    /// Rows whose parents are looked for later: when the constraint says, or at the end of the statement.
    pub fn defer(&self, scope: &StatementScope, written: Written<'_>, rows: &[usize], at_end: bool) -> Result<()> {
        for &row in rows {
            let Some(key) = written.keys.get(row) else { continue };
            let (child, constraint, command) = (self.child.oid, self.key.oid, scope.read.command);
            let event = ChildEvent { child, constraint, row: key.clone(), command };
            match at_end {
                true => scope.references.child_at_end(event)?,
                false => scope.references.child(event)?,
            }
        }
        Ok(())
    }

    /// Finds and holds the parents of rows; 23503 for the first row without one.
    pub async fn check(&self, scope: &StatementScope, txn: TxnId, rows: &RecordBatch, which: &[usize]) -> Result<()> {
        let mut seen = HashSet::new();
        for &row in which {
            let Some(key) = self.wanted(rows, row)? else { continue };
            if seen.contains(&key) {
                continue;
            }
            if key.is_empty() || !self.hold(scope, txn, &key).await? {
                return Err(self.missing(rows, row, &scope.text)?);
            }
            seen.insert(key);
        }
        Ok(())
    }

    /// Locks the parent with this key; false if there is none.
    async fn hold(&self, scope: &StatementScope, txn: TxnId, key: &Bytes) -> Result<bool> {
        loop {
            scope.cancel.check()?;
            let Some(row) = self.parent_row(scope, txn, key)? else { return Ok(false) };
            let locking = scope.shard.lock_rows(
                &scope.read,
                self.parent_tree,
                vec![row.clone()],
                RowLockMode::KeyShare,
                scope.lock_wait,
            );
            let held = !matches!(locking.await?.first(), Some(LockedRow::Gone) | None);
            // Whoever held it may have changed its key, or removed it and put another in its place.
            if held && self.parent_row(scope, txn, key)?.as_ref() == Some(&row) {
                return Ok(true);
            }
        }
    }

    /// The key of the row that has the wanted key now.
    fn parent_row(&self, scope: &StatementScope, txn: TxnId, key: &Bytes) -> Result<Option<Bytes>> {
        let mut row = FirstBytes(None);
        match self.index {
            Some(index) => {
                let found = scope.shard.newest(txn, index, key, &[ENTRY_ROW], &mut row)?;
                Ok(row.0.filter(|_| found))
            }
            None => Ok(scope.shard.newest(txn, self.parent_tree, key, &[], &mut row)?.then(|| key.clone())),
        }
    }
}

/// Takes the first column's bytes.
pub(crate) struct FirstBytes(pub Option<Bytes>);

impl RowSink for FirstBytes {
    fn row(&mut self, values: &[DatumRef<'_>], _reference: RowHint) -> Result<()> {
        if let Some(DatumRef::Bytes(bytes)) = values.first() {
            self.0 = Some(Bytes::copy_from_slice(bytes));
        }
        Ok(())
    }
}

/// A value in the parent's type; `None` if that type has no such value.
fn convert(value: DatumRef<'_>, to: PhysicalType) -> Option<Datum> {
    let integer = match value {
        DatumRef::Int16(v) => Some(i64::from(v)),
        DatumRef::Int32(v) => Some(i64::from(v)),
        DatumRef::Int64(v) => Some(v),
        _ => None,
    };
    match (integer, to) {
        (Some(v), PhysicalType::Int16) => i16::try_from(v).ok().map(Datum::Int16),
        (Some(v), PhysicalType::Int32) => i32::try_from(v).ok().map(Datum::Int32),
        (Some(v), PhysicalType::Int64) => Some(Datum::Int64(v)),
        _ => Some(value.to_owned()),
    }
}

/// Whether a child's column can refer to a parent's.
pub(crate) fn can_refer(child: PhysicalType, parent: PhysicalType) -> bool {
    use PhysicalType::{Int16, Int32, Int64};
    let integer = |physical| matches!(physical, Int16 | Int32 | Int64);
    child == parent || (integer(child) && integer(parent))
}

/// A foreign key to the table that is written.
pub(crate) struct ReferencedSpec {
    key: Arc<ForeignKey>,
    parent: Arc<Relation>,
    child: Arc<Relation>,
    positions: Vec<usize>,
}

impl ReferencedSpec {
    pub fn new(reference: &Referenced, parent: &Arc<Relation>) -> Result<ReferencedSpec> {
        let attributes = reference.key.parent_attributes.iter();
        Ok(ReferencedSpec {
            positions: attributes.map(|attribute| position(parent, *attribute)).collect::<Result<_>>()?,
            key: Arc::clone(&reference.key),
            parent: Arc::clone(parent),
            child: Arc::clone(&reference.child),
        })
    }

    /// The parent's columns.
    pub fn positions(&self) -> &[usize] {
        &self.positions
    }

    /// Notes the keys that go (`new` is `None`) or change.
    pub fn note(&self, scope: &StatementScope, old: &RecordBatch, new: Option<&RecordBatch>) -> Result<()> {
        for row in 0..old.num_rows() {
            let Some(before) = self.values(old, row)? else { continue };
            let after = match new {
                None => None,
                Some(new) => Some(self.any_values(new, row)?),
            };
            if after.as_ref().is_some_and(|after| same(&before, after)) {
                continue;
            }
            scope.references.parent(ParentEvent {
                parent: self.parent.oid,
                child: self.child.oid,
                constraint: self.key.oid,
                old: before,
                new: after,
                command: scope.read.command,
            })?;
        }
        Ok(())
    }

    /// The key's values, unless one is NULL: then nothing refers to it.
    fn values(&self, rows: &RecordBatch, row: usize) -> Result<Option<Vec<Datum>>> {
        let values = self.any_values(rows, row)?;
        Ok((!values.iter().any(Datum::is_null)).then_some(values))
    }

    fn any_values(&self, rows: &RecordBatch, row: usize) -> Result<Vec<Datum>> {
        let value = |at: &usize| {
            let array = rows.columns().get(*at).ok_or_else(broken)?;
            Ok(datum_at(array, row, physical(self.parent.columns.get(*at))?)?.to_owned())
        };
        self.positions.iter().map(value).collect()
    }
}

fn same(a: &[Datum], b: &[Datum]) -> bool {
    let encoded = |values: &[Datum]| {
        let mut out = Vec::new();
        values.iter().for_each(|value| encode_key(&mut out, value.as_ref(), false));
        out
    };
    encoded(a) == encoded(b)
}
