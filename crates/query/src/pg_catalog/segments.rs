//! `helios_segments` and `helios_relations`: what tables and indexes are made of on disk.
//!
//! Who sees what: a relation's owner and whoever has `pg_read_all_stats` see its sizes; bounds of values and keys are data,
//! so they are shown to who may read the column.

use heliosdb_contracts::{ColumnFacts, SegmentFacts, StoredColumn, TreeKey};
use heliosdb_types::{Datum, Oid, Result, SqlType, TreeRef, decode_key, write_text};

use super::Facts;
use super::objects::schema_name;
use super::statements::may_see;
use super::table::{Rows, Source, oid, text};
use crate::access::Rights;
use crate::catalog::{Column, IndexInfo, Privileges, Relation, TableInfo};

/// A tree that the catalog names: a table's, or an index' of it.
struct Stored<'a> {
    oid: Oid,
    name: &'a str,
    table: &'a Relation,
    info: &'a TableInfo,
    index: Option<&'a IndexInfo>,
    tree: TreeRef,
}

/// Every tree whose sizes the user may see, tables before their indexes.
fn stored(facts: &Facts) -> Vec<Stored<'_>> {
    let mut out = Vec::new();
    for table in facts.catalog.relations.values() {
        let Some(info) = table.table() else { continue };
        if !may_see(facts, table.owner) {
            continue;
        }
        out.push(Stored { oid: table.oid, name: &table.name, table, info, index: None, tree: info.tree.tree });
        for index in &info.indexes {
            let tree = info.index_tree(index);
            out.push(Stored { oid: index.oid, name: &index.name, table, info, index: Some(index), tree });
        }
    }
    out
}

impl Stored<'_> {
    fn common(&self, facts: &Facts) -> Vec<(&'static str, Datum)> {
        vec![
            ("relid", oid(self.oid)),
            ("schemaname", text(schema_name(facts, self.table))),
            ("relname", text(self.name)),
            ("relkind", text(if self.index.is_some() { "i" } else { "r" })),
            ("tablename", text(&self.table.name)),
        ]
    }

    /// Whether a segment holds rows, not pieces of large values of theirs.
    fn holds_rows(&self, segment: &SegmentFacts) -> bool {
        segment.tree == self.tree
    }

    fn column(&self, stored: StoredColumn) -> Option<&Column> {
        match stored {
            StoredColumn::User(id) if self.index.is_none() => self.table.columns.iter().find(|column| column.id == id),
            _ => None,
        }
    }

    fn column_name(&self, stored: StoredColumn) -> String {
        match (stored, self.column(stored)) {
            (_, Some(column)) => column.name.clone(),
            (StoredColumn::User(id), None) if self.index.is_some() => {
                if id == crate::exec::ENTRY_ROW {
                    "(row)".to_owned()
                } else {
                    "(key)".to_owned()
                }
            }
            // A column that was dropped since the segment was written.
            (StoredColumn::User(id), None) => format!("(dropped {id})"),
            (hidden, None) => hidden.to_string(),
        }
    }

    /// Whether the user may read every column of the key.
    fn may_read_key(&self, rights: &Rights<'_>) -> bool {
        self.table.columns.iter().all(|column| self.may_read(rights, column))
    }

    fn may_read(&self, rights: &Rights<'_>, column: &Column) -> bool {
        rights.has_on_column(self.table, column.attribute, Privileges::SELECT)
    }

    /// A tree key for people: `(1, abc)`; of an index, in hexadecimal.
    fn key_text(&self, facts: &Facts, key: &[u8]) -> Datum {
        let of_table = match &self.info.tree.key {
            _ if self.index.is_some() => None,
            TreeKey::RowId => key.try_into().ok().map(|id| format!("({})", u64::from_be_bytes(id))),
            TreeKey::Columns(ids) => {
                let columns: Option<Vec<&Column>> = ids.iter().map(|id| self.column(StoredColumn::User(*id))).collect();
                columns.and_then(|columns| {
                    let types: Option<Vec<_>> = columns.iter().map(|column| column.sql_type.physical()).collect();
                    let values = decode_key(&types?, key).ok()?;
                    let shown = values.iter().zip(columns).map(|(value, column)| shown(facts, value, &column.sql_type));
                    Some(format!("({})", shown.collect::<Vec<_>>().join(", ")))
                })
            }
        };
        text(of_table.unwrap_or_else(|| {
            let hex: String = key.iter().take(32).map(|byte| format!("{byte:02x}")).collect();
            format!("\\x{hex}{}", if key.len() > 32 { "..." } else { "" })
        }))
    }
}

fn shown(facts: &Facts, value: &Datum, sql_type: &SqlType) -> String {
    let mut out = String::new();
    write_text(value.as_ref(), sql_type, &facts.text, &mut out);
    out
}

/// Whether a bound of this type can be shown: long values are cut, and what is left of a composed one is none.
fn has_shown_bounds(sql_type: &SqlType) -> bool {
    !matches!(sql_type, SqlType::Array(_) | SqlType::Jsonb | SqlType::Record(_) | SqlType::CatalogVector(_))
}

fn count(value: u64) -> Datum {
    Datum::Int64(i64::try_from(value).unwrap_or(i64::MAX))
}

fn ratio(plain: u64, stored: u64) -> Datum {
    match stored {
        0 => Datum::Null,
        _ => Datum::Float64((plain as f64 / stored as f64 * 100.0).round() / 100.0),
    }
}

pub(super) fn helios_segments(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    let rights = Rights::of(&facts.catalog, facts.user.oid);
    for stored in stored(facts) {
        for segment in source.shard.segments(stored.tree)? {
            for column in &segment.columns {
                rows.add(&segment_row(facts, &rights, &stored, &segment, column))?;
            }
        }
    }
    Ok(())
}

fn segment_row(
    facts: &Facts,
    rights: &Rights<'_>,
    stored: &Stored<'_>,
    segment: &SegmentFacts,
    column: &ColumnFacts,
) -> Vec<(&'static str, Datum)> {
    let mut row = stored.common(facts);
    let rows = stored.holds_rows(segment);
    let name = match column.column {
        StoredColumn::User(_) if !rows => "(large values)".to_owned(),
        column => stored.column_name(column),
    };
    let encodings: Vec<String> = column.encodings.iter().map(|(name, blocks)| format!("{name} {blocks}")).collect();
    row.extend([
        ("segment", count(segment.id.0)),
        ("level", Datum::Int32(i32::from(segment.level))),
        ("temperature", text(segment.temperature)),
        ("rows", count(segment.rows)),
        ("deletes", count(segment.deletes)),
        ("blocks", Datum::Int32(i32::try_from(segment.blocks).unwrap_or(i32::MAX))),
        ("segment_bytes", count(segment.stored_bytes)),
        ("attname", text(name)),
        ("stored_bytes", count(column.stored_bytes)),
        ("plain_bytes", count(column.plain_bytes)),
        ("ratio", ratio(column.plain_bytes, column.stored_bytes)),
        ("encodings", text(encodings.join(", "))),
        ("null_count", count(column.nulls)),
    ]);
    if rows && stored.may_read_key(rights) {
        row.push(("min_key", stored.key_text(facts, &segment.min_key)));
        row.push(("max_key", stored.key_text(facts, &segment.max_key)));
    }
    let Some(of_table) = stored.column(column.column).filter(|_| rows) else { return row };
    row.push(("attnum", Datum::Int16(of_table.attribute)));
    row.push(("type", text(of_table.sql_type.name())));
    if stored.may_read(rights, of_table) && has_shown_bounds(&of_table.sql_type) {
        for (name, bound) in [("min_value", &column.min), ("max_value", &column.max)] {
            if let Some(bound) = bound {
                row.push((name, text(shown(facts, bound, &of_table.sql_type))));
            }
        }
    }
    row
}

pub(super) fn helios_relations(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    for stored in stored(facts) {
        let segments = source.shard.segments(stored.tree)?;
        let size = source.shard.tree_size(stored.tree);
        let sum = |of: fn(&SegmentFacts) -> u64| segments.iter().map(of).sum::<u64>();
        let of_rows = |of: fn(&SegmentFacts) -> u64| {
            segments.iter().filter(|segment| stored.holds_rows(segment)).map(of).sum::<u64>()
        };
        let stored_bytes = sum(|segment| segment.stored_bytes);
        let plain_bytes = sum(|segment| segment.columns.iter().map(|column| column.plain_bytes).sum());
        let mut row = stored.common(facts);
        row.extend([
            ("segments", count(segments.len() as u64)),
            ("young_segments", count(segments.iter().filter(|segment| segment.level == 0).count() as u64)),
            ("live_rows", count(size.rows)),
            ("segment_rows", count(of_rows(|segment| segment.rows))),
            ("deletes", count(of_rows(|segment| segment.deletes))),
            ("memory_bytes", count(size.memory_bytes)),
            ("stored_bytes", count(stored_bytes)),
            ("plain_bytes", count(plain_bytes)),
            ("ratio", ratio(plain_bytes, stored_bytes)),
        ]);
        rows.add(&row)?;
    }
    Ok(())
}
