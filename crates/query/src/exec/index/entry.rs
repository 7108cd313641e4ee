//! What an index' tree holds.
//!
//! An entry is two byte strings: its key and the key of its row. The key is the index' columns, encoded so that bytes order as
//! the index does (direction and place of NULLs included), followed by the row's key; a unique index leaves the row's key
//! away unless a column is NULL, so that two rows with equal columns want the same entry, and the tree's own key lock and
//! check make them unique. The entry's key is the tree's key: a range of columns is a range of the tree.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch};
use bytes::Bytes;
use datafusion::common::{DFSchema, Result as DfResult};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;
use heliosdb_contracts::{ColumnDescriptor, KeyedRow, TreeDescriptor, TreeDescriptorRef, TreeKey, datum_at};
use heliosdb_types::{
    ColumnId, DatumRef, Error, PhysicalType, Result, SchemaVersion, SqlState, SqlType, TextContext, TreeRef,
    encode_key, encode_row, write_text,
};

use crate::catalog::{IndexInfo, Relation, TableInfo};
use crate::exec::error::{from_datafusion, to_datafusion};
use crate::exec::places::add_places;

/// The entry's key.
pub(crate) const ENTRY_KEY: ColumnId = ColumnId(1);
/// The key of the entry's row.
pub(crate) const ENTRY_ROW: ColumnId = ColumnId(2);

const ENTRY_TYPES: [PhysicalType; 2] = [PhysicalType::Bytes, PhysicalType::Bytes];

/// PostgreSQL's limit is a third of a page; ours keeps keys well below what a log record or a block is made for.
const ENTRY_BYTES_MAX: usize = 8191;

/// An index over expressions of unqualified table columns, bound for one statement.
#[derive(Clone, Debug)]
pub struct IndexWrite {
    pub info: Arc<IndexInfo>,
    /// What each key column is called in messages, its type, its value, and what of it is compared.
    pub keys: Vec<(String, SqlType, Expr, Expr)>,
    pub predicate: Option<Expr>,
}

/// The shape of every index' tree.
pub(crate) fn entry_tree(tree: TreeRef) -> TreeDescriptor {
    let column = |id| ColumnDescriptor { id, physical: PhysicalType::Bytes, nullable: false, missing: None };
    TreeDescriptor {
        tree,
        version: SchemaVersion(1),
        columns: vec![column(ENTRY_KEY), column(ENTRY_ROW)],
        key: TreeKey::Columns(vec![ENTRY_KEY]),
        sort: None,
    }
}

/// The tree key of an entry's key, or (without its two last bytes) of every entry's key that begins with it.
pub(crate) fn tree_key(entry_key: &[u8]) -> Bytes {
    let mut key = Vec::with_capacity(entry_key.len() + 8);
    encode_key(&mut key, DatumRef::Bytes(entry_key), false);
    key.into()
}

/// One column of an entry's key. NULLs come last or first whatever the direction.
pub(crate) fn encode_part(out: &mut Vec<u8>, value: DatumRef<'_>, descending: bool, nulls_first: bool) {
    if value.is_null() {
        // A value's first byte is 0x01, or 0xFE descending.
        out.push(if nulls_first { 0x00 } else { 0xFF });
    } else {
        encode_key(out, value, descending);
    }
}

#[derive(Clone)]
struct KeyPart {
    name: String,
    sql_type: SqlType,
    /// The value, to be shown.
    value: Arc<dyn PhysicalExpr>,
    /// What is compared, and its type.
    key: Arc<dyn PhysicalExpr>,
    physical: PhysicalType,
    descending: bool,
    nulls_first: bool,
}

/// An index with physical expressions.
#[derive(Clone)]
pub(crate) struct IndexSpec {
    pub info: Arc<IndexInfo>,
    pub tree: TreeDescriptorRef,
    parts: Vec<KeyPart>,
    predicate: Option<Arc<dyn PhysicalExpr>>,
}

impl fmt::Debug for IndexSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IndexSpec({})", self.info.name)
    }
}

/// A row's place in an index, without the row's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    columns: Vec<u8>,
    /// The columns alone are the key: no other row may have it.
    pub alone: bool,
    /// No other row may have the columns when the constraint is checked.
    pub later: bool,
}

impl Entry {
    #[cfg(test)]
    pub fn new(columns: Vec<u8>, alone: bool) -> Entry {
        Entry { columns, alone, later: false }
    }

    fn key(&self, row_key: &[u8]) -> Vec<u8> {
        let mut key = Vec::with_capacity(self.columns.len() + row_key.len());
        self.append_key(row_key, &mut key);
        key
    }

    pub fn append_key(&self, row_key: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.columns);
        if !self.alone {
            out.extend_from_slice(row_key);
        }
    }

    pub fn columns(&self) -> Bytes {
        Bytes::copy_from_slice(&self.columns)
    }

    pub fn tree_key(&self, row_key: &[u8]) -> Bytes {
        tree_key(&self.key(row_key))
    }

    pub fn keyed_row(&self, row_key: &[u8]) -> Result<KeyedRow> {
        keyed_row(&self.key(row_key), row_key)
    }
}

/// An entry as its tree stores it.
pub(super) fn keyed_row(key: &[u8], row_key: &[u8]) -> Result<KeyedRow> {
    let mut row = Vec::with_capacity(key.len() + row_key.len() + 16);
    encode_row(&ENTRY_TYPES, &[DatumRef::Bytes(key), DatumRef::Bytes(row_key)], &mut row)?;
    Ok(KeyedRow { key: tree_key(key), row: row.into() })
}

impl IndexSpec {
    /// `physical` plans an expression over `schema`, the table's columns.
    pub fn plan(
        index: &IndexWrite,
        table: &TableInfo,
        schema: &DFSchema,
        physical: impl Fn(&Expr, &DFSchema) -> DfResult<Arc<dyn PhysicalExpr>>,
    ) -> DfResult<IndexSpec> {
        let info = Arc::clone(&index.info);
        let mut parts = Vec::with_capacity(index.keys.len());
        for ((name, sql_type, value, key), of) in index.keys.iter().zip(&info.keys) {
            let compared = physical(key, schema)?;
            let stored = match value == key {
                true => sql_type.physical(),
                false => key_type(&compared.data_type(schema.as_arrow())?),
            };
            let stored = stored.ok_or_else(|| {
                to_datafusion(Error::unsupported(format!("an index on a column of type {}", sql_type.name())))
            })?;
            parts.push(KeyPart {
                name: name.clone(),
                sql_type: sql_type.clone(),
                value: physical(value, schema)?,
                key: compared,
                physical: stored,
                descending: of.descending,
                nulls_first: of.nulls_first,
            });
        }
        let predicate = index.predicate.as_ref().map(|predicate| physical(predicate, schema)).transpose()?;
        let tree = Arc::new(entry_tree(table.index_tree(&info)));
        Ok(IndexSpec { tree, info, parts, predicate })
    }

    /// The table's columns its entries are made of.
    pub fn places(&self) -> impl Iterator<Item = usize> + use<> {
        let mut places = BTreeSet::new();
        let parts = self.parts.iter().flat_map(|part| [&part.key, &part.value]);
        parts.chain(&self.predicate).for_each(|expr| add_places(expr, &mut places));
        places.into_iter()
    }

    /// The entry of each row, if the index has the row.
    pub fn entries(&self, rows: &RecordBatch) -> Result<Vec<Option<Entry>>> {
        let mut arrays = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            arrays.push(evaluate(&part.key, rows)?);
        }
        let wanted = match &self.predicate {
            Some(predicate) => Some(evaluate(predicate, rows)?),
            None => None,
        };
        let wanted = match &wanted {
            Some(array) => {
                Some(array.as_boolean_opt().ok_or_else(|| Error::internal("an index' predicate is not boolean"))?)
            }
            None => None,
        };
        let mut entries = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            if wanted.is_some_and(|wanted| wanted.is_null(row) || !wanted.value(row)) {
                entries.push(None);
                continue;
            }
            let (mut columns, mut nulls) = (Vec::new(), false);
            for (part, array) in self.parts.iter().zip(&arrays) {
                let value = datum_at(array, row, part.physical)?;
                nulls |= value.is_null();
                encode_part(&mut columns, value, part.descending, part.nulls_first);
            }
            if columns.len() > ENTRY_BYTES_MAX {
                return Err(self.too_large(columns.len()));
            }
            let counts = self.info.nulls_not_distinct || !nulls;
            let (alone, later) = (self.info.unique && counts, self.info.deferrable.is_some() && counts);
            entries.push(Some(Entry { columns, alone, later }));
        }
        Ok(entries)
    }

    fn too_large(&self, bytes: usize) -> Error {
        let message = format!(
            "index row size {bytes} exceeds the maximum of {ENTRY_BYTES_MAX} bytes for index \"{}\"",
            self.info.name
        );
        Error::invalid(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
            .with_hint("Consider a function index of an MD5 hash of the value.")
    }

    /// `(a, b)=(1, x)` of a row, as error details have it.
    pub fn shown(&self, rows: &RecordBatch, row: usize, text: &TextContext) -> Result<String> {
        let one = rows.slice(row, 1);
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for part in &self.parts {
            let physical =
                part.sql_type.physical().ok_or_else(|| Error::internal("an index on a type without values"))?;
            let array = evaluate(&part.value, &one)?;
            let value = datum_at(&array, 0, physical)?;
            let mut shown = String::new();
            match value.is_null() {
                true => shown.push_str("null"),
                false => write_text(value, &part.sql_type, text, &mut shown),
            }
            names.push(part.name.as_str());
            values.push(shown);
        }
        Ok(format!("({})=({})", names.join(", "), values.join(", ")))
    }

    /// 23505 for a row whose entry is taken.
    pub fn duplicate(&self, table: &Relation, rows: &RecordBatch, row: usize, text: &TextContext) -> Result<Error> {
        let name = &self.info.name;
        let message = format!("duplicate key value violates unique constraint \"{name}\"");
        Ok(Error::conflict(SqlState::UNIQUE_VIOLATION, message)
            .with_detail(format!("Key {} already exists.", self.shown(rows, row, text)?))
            .with_table(table.name.as_str())
            .with_constraint(name.as_str()))
    }
}

/// The type a comparison key made by a function has.
fn key_type(data_type: &arrow_schema::DataType) -> Option<PhysicalType> {
    match data_type {
        arrow_schema::DataType::BinaryView => Some(PhysicalType::Bytes),
        arrow_schema::DataType::Utf8View => Some(PhysicalType::Text),
        _ => None,
    }
}

fn evaluate(expr: &Arc<dyn PhysicalExpr>, rows: &RecordBatch) -> Result<ArrayRef> {
    let value = expr.evaluate(rows).map_err(from_datafusion)?;
    value.into_array(rows.num_rows()).map_err(from_datafusion)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_sort_as_their_index_does() {
        let encoded = |value: DatumRef<'_>, descending, nulls_first| {
            let mut out = Vec::new();
            encode_part(&mut out, value, descending, nulls_first);
            tree_key(&out)
        };
        let values = [DatumRef::Null, DatumRef::Int32(-5), DatumRef::Int32(0), DatumRef::Int32(7)];
        let sorted = |descending, nulls_first| {
            let mut order = values;
            order.sort_by_key(|value| encoded(*value, descending, nulls_first));
            order.map(|value| match value {
                DatumRef::Int32(value) => Some(value),
                _ => None,
            })
        };
        assert_eq!(sorted(false, false), [Some(-5), Some(0), Some(7), None]);
        assert_eq!(sorted(false, true), [None, Some(-5), Some(0), Some(7)]);
        assert_eq!(sorted(true, true), [None, Some(7), Some(0), Some(-5)]);
        assert_eq!(sorted(true, false), [Some(7), Some(0), Some(-5), None]);
    }
}
