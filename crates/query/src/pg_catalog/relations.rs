//! pg_class, pg_attribute and what else describes relations.

use std::sync::Arc;

use heliosdb_types::{Datum, Oid, Result, SqlType};

use super::Facts;
use super::table::{Rows, Source, array_text, oid, text};
use super::types::TYPES;
use crate::catalog::{Acl, CatalogSnapshot, Column, Identity, PrimaryKey, Relation, RelationKind, TableInfo};

/// OID of `pg_class` itself, as `pg_depend` and `pg_description` name it.
const PG_CLASS: Oid = Oid(1259);
const HEAP: Oid = Oid(2);
const BTREE: Oid = Oid(403);

/// Relations in a stable order.
pub(super) fn sorted(catalog: &CatalogSnapshot) -> Vec<&Arc<Relation>> {
    let mut relations: Vec<_> = catalog.relations.values().collect();
    relations.sort_by_key(|relation| relation.oid);
    relations
}

/// Tables with their primary keys.
pub(super) fn keys(catalog: &CatalogSnapshot) -> Vec<(&Arc<Relation>, &PrimaryKey)> {
    let tables = sorted(catalog).into_iter().filter_map(|relation| Some((relation, relation.table()?)));
    tables.filter_map(|(relation, table)| Some((relation, table.primary_key.as_ref()?))).collect()
}

pub(super) fn key_columns<'a>(relation: &'a Relation, key: &PrimaryKey) -> Vec<&'a Column> {
    let find = |attribute: &i16| relation.columns.iter().find(|column| column.attribute == *attribute);
    key.attributes.iter().filter_map(find).collect()
}

fn kind(relation: &Relation) -> &'static str {
    match &relation.kind {
        RelationKind::Table(_) => "r",
        RelationKind::View(_) => "v",
        RelationKind::Sequence(_) => "S",
        RelationKind::Virtual(_) if super::is_view(&relation.name) || relation.schema != crate::catalog::PG_CATALOG => {
            "v"
        }
        RelationKind::Virtual(_) => "r",
    }
}

pub(super) fn pg_class(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let catalog = &source.facts.catalog;
    for relation in sorted(catalog) {
        let table = relation.table();
        let size = table.map(|table| source.shard.tree_size(table.tree.tree)).unwrap_or_default();
        let stored = matches!(kind(relation), "r" | "S");
        rows.add(&[
            ("oid", oid(relation.oid)),
            ("relname", text(&relation.name)),
            ("relnamespace", oid(relation.schema)),
            ("relowner", oid(relation.owner)),
            ("relam", oid(if kind(relation) == "r" { HEAP } else { Oid(0) })),
            ("relfilenode", oid(if stored { relation.oid } else { Oid(0) })),
            ("relpages", Datum::Int32(i32::try_from(size.disk_bytes / 8192).unwrap_or(i32::MAX))),
            ("reltuples", Datum::Float32(if table.is_some() { size.rows as f32 } else { 0.0 })),
            ("relhasindex", Datum::Bool(table.is_some_and(|table| table.primary_key.is_some()))),
            ("relpersistence", text("p")),
            ("relkind", text(kind(relation))),
            ("relnatts", Datum::Int16(natts(relation, table))),
            ("relchecks", Datum::Int16(table.map_or(0, |table| table.checks.len() as i16))),
            ("relhasrules", Datum::Bool(kind(relation) == "v")),
            ("relispopulated", Datum::Bool(true)),
            ("relreplident", text(if kind(relation) == "r" { "d" } else { "n" })),
            ("relacl", acl(source.facts, relation.access.acl.as_ref())),
        ])?;
    }
    for (relation, key) in keys(catalog) {
        rows.add(&[
            ("oid", oid(key.oid)),
            ("relname", text(&key.name)),
            ("relnamespace", oid(relation.schema)),
            ("relowner", oid(relation.owner)),
            ("relam", oid(BTREE)),
            ("relfilenode", oid(key.oid)),
            ("relpersistence", text("p")),
            ("relkind", text("i")),
            ("relnatts", Datum::Int16(key.attributes.len() as i16)),
            ("relispopulated", Datum::Bool(true)),
            ("relreplident", text("n")),
        ])?;
    }
    Ok(())
}

/// A list of grants as `aclitem[]`; NULL for the default.
pub(super) fn acl(facts: &Facts, acl: Option<&Acl>) -> Datum {
    acl.map_or(Datum::Null, |acl| text(array_text(acl.texts(|role| facts.catalog.role_name(role)))))
}

fn natts(relation: &Relation, table: Option<&TableInfo>) -> i16 {
    match (&relation.kind, table) {
        (RelationKind::Sequence(_), _) => 3,
        (_, Some(table)) => table.last_attribute,
        _ => relation.columns.len() as i16,
    }
}

pub(super) fn pg_attribute(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let catalog = &source.facts.catalog;
    for relation in sorted(catalog) {
        for column in &relation.columns {
            attribute(rows, relation.oid, column.attribute, column)?;
        }
        if let RelationKind::Sequence(_) = &relation.kind {
            for (attribute_number, name, sql_type) in
                [(1, "last_value", SqlType::Int8), (2, "log_cnt", SqlType::Int8), (3, "is_called", SqlType::Bool)]
            {
                let column = Column {
                    attribute: attribute_number,
                    id: heliosdb_types::ColumnId(0),
                    name: name.to_owned(),
                    sql_type,
                    not_null: true,
                    default: None,
                    identity: Identity::No,
                    generated: false,
                };
                attribute(rows, relation.oid, attribute_number, &column)?;
            }
        }
    }
    for (relation, key) in keys(catalog) {
        for (column, number) in key_columns(relation, key).into_iter().zip(1i16..) {
            let plain =
                Column { not_null: false, default: None, identity: Identity::No, generated: false, ..column.clone() };
            attribute(rows, key.oid, number, &plain)?;
        }
    }
    Ok(())
}

fn attribute(rows: &mut Rows, relation: Oid, number: i16, column: &Column) -> Result<()> {
    let described = TYPES.iter().find(|row| row.oid == column.sql_type.oid().0);
    let letter = |letter: Option<char>| text(letter.map(String::from).unwrap_or_default());
    let (by_value, align, storage) = match described {
        Some(row) => (row.by_value, Some(row.align), Some(row.storage)),
        None => super::user_types::storage(&column.sql_type)
            .map_or((false, None, None), |(by_value, align, storage)| (by_value, Some(align), Some(storage))),
    };
    rows.add(&[
        ("attrelid", oid(relation)),
        ("attname", text(&column.name)),
        ("atttypid", oid(column.sql_type.oid())),
        ("attstattarget", Datum::Int32(-1)),
        ("attlen", Datum::Int16(column.sql_type.wire_len())),
        ("attnum", Datum::Int16(number)),
        ("attndims", Datum::Int32(i32::from(matches!(column.sql_type, SqlType::Array(_))))),
        ("attcacheoff", Datum::Int32(-1)),
        ("atttypmod", Datum::Int32(column.sql_type.typmod())),
        ("attbyval", Datum::Bool(by_value)),
        ("attalign", letter(align)),
        ("attstorage", letter(storage)),
        ("attnotnull", Datum::Bool(column.not_null)),
        ("atthasdef", Datum::Bool(has_default(column))),
        (
            "attidentity",
            text(match column.identity {
                Identity::No => "",
                Identity::Always => "a",
                Identity::ByDefault => "d",
            }),
        ),
        ("attislocal", Datum::Bool(true)),
        ("attcollation", oid(Oid(described.map_or(0, |row| row.collation)))),
    ])
}

/// An identity column's sequence is no default of its own.
pub(super) fn has_default(column: &Column) -> bool {
    column.default.is_some() && column.identity == Identity::No
}

/// A default has no OID of its own in our catalog; it is named by its table and column.
pub(super) fn pg_attrdef(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    for relation in sorted(&source.facts.catalog) {
        for column in relation.columns.iter().filter(|column| has_default(column)) {
            let Some(default) = &column.default else { continue };
            rows.add(&[
                ("oid", Datum::Int64(i64::from(relation.oid.0) << 16 | i64::from(column.attribute))),
                ("adrelid", oid(relation.oid)),
                ("adnum", Datum::Int16(column.attribute)),
                ("adbin", text(crate::ddl::shown_default(default, &column.sql_type))),
            ])?;
        }
    }
    Ok(())
}

fn vector(numbers: impl Iterator<Item = i64>) -> Datum {
    text(numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(" "))
}

pub(super) fn pg_index(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    for (relation, key) in keys(&source.facts.catalog) {
        let count = Datum::Int16(key.attributes.len() as i16);
        let zeros = || vector(key.attributes.iter().map(|_| 0));
        rows.add(&[
            ("indexrelid", oid(key.oid)),
            ("indrelid", oid(relation.oid)),
            ("indnatts", count.clone()),
            ("indnkeyatts", count),
            ("indisunique", Datum::Bool(true)),
            ("indisprimary", Datum::Bool(true)),
            ("indimmediate", Datum::Bool(true)),
            ("indisvalid", Datum::Bool(true)),
            ("indisready", Datum::Bool(true)),
            ("indislive", Datum::Bool(true)),
            ("indkey", vector(key.attributes.iter().map(|attribute| i64::from(*attribute)))),
            ("indcollation", zeros()),
            ("indclass", zeros()),
            ("indoption", zeros()),
        ])?;
    }
    Ok(())
}

pub(super) fn pg_constraint(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let catalog = &source.facts.catalog;
    let letters = [("confupdtype", text(" ")), ("confdeltype", text(" ")), ("confmatchtype", text(" "))];
    for (relation, key) in keys(catalog) {
        let mut values = vec![
            // PostgreSQL gives index and constraint an OID each; ours are one object.
            ("oid", oid(key.oid)),
            ("conname", text(&key.name)),
            ("connamespace", oid(relation.schema)),
            ("contype", text("p")),
            ("convalidated", Datum::Bool(true)),
            ("conrelid", oid(relation.oid)),
            ("conindid", oid(key.oid)),
            ("conislocal", Datum::Bool(true)),
            ("connoinherit", Datum::Bool(true)),
            ("conkey", text(array_text(key.attributes.iter().map(ToString::to_string)))),
        ];
        values.extend(letters.clone());
        rows.add(&values)?;
    }
    for relation in sorted(catalog) {
        for check in relation.table().map_or(&[][..], |table| &table.checks) {
            let mut values = vec![
                ("oid", oid(check.oid)),
                ("conname", text(&check.name)),
                ("connamespace", oid(relation.schema)),
                ("contype", text("c")),
                ("convalidated", Datum::Bool(true)),
                ("conrelid", oid(relation.oid)),
                ("conislocal", Datum::Bool(true)),
                ("conbin", text(&check.expression)),
            ];
            values.extend(letters.clone());
            rows.add(&values)?;
        }
    }
    Ok(())
}

pub(super) fn pg_sequence(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    for relation in sorted(&source.facts.catalog) {
        let RelationKind::Sequence(info) = &relation.kind else { continue };
        rows.add(&[
            ("seqrelid", oid(relation.oid)),
            ("seqtypid", oid(info.data_type.oid())),
            ("seqstart", Datum::Int64(info.start)),
            ("seqincrement", Datum::Int64(info.increment)),
            ("seqmax", Datum::Int64(info.max)),
            ("seqmin", Datum::Int64(info.min)),
            ("seqcache", Datum::Int64(1)),
            ("seqcycle", Datum::Bool(info.cycle)),
        ])?;
    }
    Ok(())
}

/// Which column owns a sequence, what a view reads, which table an index belongs to.
pub(super) fn pg_depend(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let catalog = &source.facts.catalog;
    let mut depends = |object: Oid, on: Oid, column: i16, kind: &str| {
        rows.add(&[
            ("classid", oid(PG_CLASS)),
            ("objid", oid(object)),
            ("refclassid", oid(PG_CLASS)),
            ("refobjid", oid(on)),
            ("refobjsubid", Datum::Int32(i32::from(column))),
            ("deptype", text(kind)),
        ])
    };
    for relation in sorted(catalog) {
        match &relation.kind {
            RelationKind::Sequence(info) => {
                let Some((table, attribute)) = info.owned_by else { continue };
                let column = catalog
                    .relations
                    .get(&table)
                    .and_then(|table| table.columns.iter().find(|column| column.attribute == attribute));
                let identity = column.is_some_and(|column| column.identity != Identity::No);
                depends(relation.oid, table, attribute, if identity { "i" } else { "a" })?;
            }
            RelationKind::View(view) => {
                for read in &view.depends_on {
                    depends(relation.oid, *read, 0, "n")?;
                }
            }
            RelationKind::Table(_) | RelationKind::Virtual(_) => {}
        }
    }
    for (relation, key) in keys(catalog) {
        depends(key.oid, relation.oid, 0, "a")?;
    }
    Ok(())
}

pub(super) fn pg_type(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    for row in TYPES {
        let letter = |letter: char| text(letter);
        rows.add(&[
            ("oid", oid(Oid(row.oid))),
            ("typname", text(row.name)),
            ("typnamespace", oid(crate::catalog::PG_CATALOG)),
            ("typowner", oid(crate::catalog::POSTGRES_ROLE)),
            ("typlen", Datum::Int16(row.len)),
            ("typbyval", Datum::Bool(row.by_value)),
            ("typtype", letter(row.kind)),
            ("typcategory", letter(row.category)),
            ("typispreferred", Datum::Bool(row.preferred)),
            ("typisdefined", Datum::Bool(true)),
            ("typdelim", text(",")),
            ("typelem", oid(Oid(row.element))),
            ("typarray", oid(Oid(row.array))),
            ("typalign", letter(row.align)),
            ("typstorage", letter(row.storage)),
            ("typtypmod", Datum::Int32(-1)),
            ("typcollation", oid(Oid(row.collation))),
        ])?;
    }
    super::user_types::pg_type(source, rows)
}
