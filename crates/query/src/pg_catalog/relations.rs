//! pg_class, pg_attribute and what else describes relations.

use std::sync::Arc;

use heliosdb_types::{Datum, Oid, Result, SqlType};

use super::constraints::{Constraint, constraints_of};
use super::indexes::indexes_of;
use super::table::{Rows, Source, array_text, oid, text};
use super::types::TYPES;
use super::{Facts, functions};
use crate::catalog::{
    Acl, CLASS_STATISTICS, CatalogSnapshot, Column, FIRST_USER_OID, Identity, Relation, RelationKind, TableInfo,
};
use crate::func::NameLookup;

/// OID of `pg_class` itself, as `pg_depend` and `pg_description` name it.
const PG_CLASS: Oid = Oid(1259);
const PG_NAMESPACE: Oid = Oid(2615);
const PG_ATTRDEF: Oid = Oid(2604);
const PG_REWRITE: Oid = Oid(2618);
const PG_CONSTRAINT: Oid = Oid(2606);
const HEAP: Oid = Oid(2);

/// Relations in a stable order.
pub(super) fn sorted(catalog: &CatalogSnapshot) -> Vec<&Arc<Relation>> {
    let mut relations: Vec<_> = catalog.relations.values().collect();
    relations.sort_by_key(|relation| relation.oid);
    relations
}

fn kind(relation: &Relation) -> &'static str {
    match &relation.kind {
        RelationKind::Table(_) => "r",
        RelationKind::View(_) => "v",
        RelationKind::Sequence(_) => "S",
        RelationKind::Virtual(_) if super::shown_as_view(relation) => "v",
        RelationKind::Virtual(_) => "r",
    }
}

pub(super) fn pg_class(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let catalog = &source.facts.catalog;
    for relation in sorted(catalog) {
        let table = relation.table();
        let size = table.map(|table| source.shard.tree_size(table.tree.tree)).unwrap_or_default();
        // As ANALYZE found it, else as the shard estimates it.
        let analyzed = relation.statistics().and_then(|statistics| statistics.rows);
        let tuples = analyzed.unwrap_or(size.rows as f64) as f32;
        let stored = matches!(kind(relation), "r" | "S");
        rows.add(&[
            ("oid", oid(relation.oid)),
            ("relname", text(&relation.name)),
            ("relnamespace", oid(relation.schema)),
            ("relowner", oid(relation.owner)),
            ("relam", oid(if kind(relation) == "r" { HEAP } else { Oid(0) })),
            ("relfilenode", oid(if stored { relation.oid } else { Oid(0) })),
            ("relpages", Datum::Int32(i32::try_from(size.disk_bytes / 8192).unwrap_or(i32::MAX))),
            ("reltuples", Datum::Float32(if table.is_some() { tuples } else { 0.0 })),
            ("reltype", oid(if kind(relation) == "S" { Oid(0) } else { row_type(relation.oid) })),
            (
                "relhasindex",
                Datum::Bool(table.is_some_and(|table| table.primary_key.is_some() || !table.indexes.is_empty())),
            ),
            (
                "relhastriggers",
                Datum::Bool(
                    table.is_some_and(|table| !table.foreign_keys.is_empty()) || referenced(catalog, relation.oid),
                ),
            ),
            ("relpersistence", text(persistence(source.facts, relation))),
            ("relkind", text(kind(relation))),
            ("relnatts", Datum::Int16(natts(relation, table))),
            ("relchecks", Datum::Int16(table.map_or(0, |table| table.checks.len() as i16))),
            ("relhasrules", Datum::Bool(kind(relation) == "v")),
            ("relispopulated", Datum::Bool(true)),
            ("relreplident", text(if kind(relation) == "r" { "d" } else { "n" })),
            ("relacl", acl(source.facts, relation.access.acl.as_ref())),
        ])?;
    }
    super::indexes::classes(source, rows)
}

/// The OID of a table's row type. The catalog keeps none: it follows from the table's, out of the counter's reach.
pub(super) fn row_type(relation: Oid) -> Oid {
    Oid(relation.0 | 0x8000_0000)
}

/// Of the arrays of it.
pub(super) fn row_array_type(relation: Oid) -> Oid {
    Oid(relation.0 | 0xc000_0000)
}

fn referenced(catalog: &CatalogSnapshot, relation: Oid) -> bool {
    catalog.references_to(relation).iter().any(|(child, _)| child.oid != relation)
}

pub(super) fn persistence(facts: &Facts, relation: &Relation) -> &'static str {
    let schema = facts.catalog.schemas.get(&relation.schema);
    if schema.is_some_and(|schema| schema.name.starts_with("pg_temp_")) { "t" } else { "p" }
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
            let grants = relation.access.columns.get(&column.attribute);
            let grants = grants.map(|grants| acl(source.facts, Some(grants)));
            let targets = relation.statistics().map(|statistics| &statistics.targets);
            let target = targets.and_then(|targets| targets.get(&column.attribute)).copied().unwrap_or(-1);
            attribute_of(rows, relation.oid, column.attribute, column, grants, target)?;
        }
        for number in 1..=relation.table().map_or(0, |table| table.last_attribute) {
            if !relation.columns.iter().any(|column| column.attribute == number) {
                dropped(rows, relation.oid, number)?;
            }
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
                attribute_of(rows, relation.oid, attribute_number, &column, None, -1)?;
            }
        }
    }
    super::indexes::attributes(source, rows)
}

/// The place a dropped column leaves.
fn dropped(rows: &mut Rows, relation: Oid, number: i16) -> Result<()> {
    rows.add(&[
        ("attrelid", oid(relation)),
        ("attname", text(format!("........pg.dropped.{number}........"))),
        ("attnum", Datum::Int16(number)),
        ("attcacheoff", Datum::Int32(-1)),
        ("atttypmod", Datum::Int32(-1)),
        ("attalign", text("i")),
        ("attstorage", text("p")),
        ("attisdropped", Datum::Bool(true)),
        ("attislocal", Datum::Bool(true)),
    ])
}

/// The collation of a type's values; 0 for those without.
pub(super) fn collation(sql_type: &SqlType) -> Oid {
    let described = TYPES.iter().find(|row| row.oid == sql_type.oid().0);
    Oid(described.map_or(0, |row| row.collation))
}

pub(super) fn attribute_of(
    rows: &mut Rows,
    relation: Oid,
    number: i16,
    column: &Column,
    grants: Option<Datum>,
    target: i32,
) -> Result<()> {
    let described = TYPES.iter().find(|row| row.oid == column.sql_type.oid().0);
    let array = matches!(column.sql_type, SqlType::Array(_));
    let (by_value, align, storage) = match described {
        Some(row) => (row.by_value, row.align, row.storage),
        None => super::user_types::storage(&column.sql_type).unwrap_or((false, 'i', if array { 'x' } else { 'p' })),
    };
    rows.add(&[
        ("attrelid", oid(relation)),
        ("attname", text(&column.name)),
        ("atttypid", oid(column.sql_type.oid())),
        ("attstattarget", Datum::Int32(target)),
        ("attlen", Datum::Int16(column.sql_type.wire_len())),
        ("attnum", Datum::Int16(number)),
        ("attndims", Datum::Int32(i32::from(array))),
        ("attcacheoff", Datum::Int32(-1)),
        ("atttypmod", Datum::Int32(column.sql_type.typmod())),
        ("attbyval", Datum::Bool(by_value)),
        ("attalign", text(align)),
        ("attstorage", text(storage)),
        ("attnotnull", Datum::Bool(column.not_null)),
        ("atthasdef", Datum::Bool(has_default(column))),
        ("attgenerated", text(if column.generated { "s" } else { "" })),
        (
            "attidentity",
            text(match column.identity {
                Identity::No => "",
                Identity::Always => "a",
                Identity::ByDefault => "d",
            }),
        ),
        ("attislocal", Datum::Bool(true)),
        ("attcollation", oid(collation(&column.sql_type))),
        ("attacl", grants.unwrap_or(Datum::Null)),
    ])
}

/// An identity column's sequence is no default of its own.
pub(super) fn has_default(column: &Column) -> bool {
    column.default.is_some() && column.identity == Identity::No
}

/// A default's OID. The catalog keeps none: it follows from its table and column.
fn default_oid(relation: Oid, attribute: i16) -> Oid {
    // FNV-1a over both, kept out of the counter's reach.
    let bytes = relation.0.to_le_bytes().into_iter().chain(attribute.to_le_bytes());
    let hash = bytes.fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    Oid(hash | 0x4000_0000)
}

pub(super) fn pg_attrdef(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    for relation in sorted(&source.facts.catalog) {
        for column in relation.columns.iter().filter(|column| has_default(column)) {
            let Some(default) = &column.default else { continue };
            rows.add(&[
                ("oid", oid(default_oid(relation.oid, column.attribute))),
                ("adrelid", oid(relation.oid)),
                ("adnum", Datum::Int16(column.attribute)),
                ("adbin", text(crate::ddl::shown_default(default, &column.sql_type))),
            ])?;
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
            ("seqcache", Datum::Int64(info.cache)),
            ("seqcycle", Datum::Bool(info.cycle)),
        ])?;
    }
    Ok(())
}

/// One row of `pg_depend`: (class, object, part) on (class, object, part).
fn depends(rows: &mut Rows, from: (Oid, Oid, i32), on: (Oid, Oid, i32), kind: &str) -> Result<()> {
    rows.add(&[
        ("classid", oid(from.0)),
        ("objid", oid(from.1)),
        ("objsubid", Datum::Int32(from.2)),
        ("refclassid", oid(on.0)),
        ("refobjid", oid(on.1)),
        ("refobjsubid", Datum::Int32(on.2)),
        ("deptype", text(kind)),
    ])
}

/// Which column owns a sequence, what a default and a view read, what belongs to a table.
pub(super) fn pg_depend(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let catalog = &source.facts.catalog;
    for relation in sorted(catalog) {
        let this = (PG_CLASS, relation.oid, 0);
        if relation.oid >= FIRST_USER_OID {
            depends(rows, this, (PG_NAMESPACE, relation.schema, 0), "n")?;
        }
        for column in relation.columns.iter().filter(|column| has_default(column)) {
            let default = (PG_ATTRDEF, default_oid(relation.oid, column.attribute), 0);
            depends(rows, default, (PG_CLASS, relation.oid, i32::from(column.attribute)), "a")?;
            let sequence = column.default.as_deref().and_then(functions::sequence_of_default);
            let sequence = sequence.and_then(|name| NameLookup::relation_oid(source.facts, &name).ok());
            if let Some(sequence) = sequence {
                depends(rows, default, (PG_CLASS, sequence, 0), "n")?;
            }
        }
        match &relation.kind {
            RelationKind::Sequence(info) => {
                let Some((table, attribute)) = info.owned_by else { continue };
                let column = catalog
                    .relations
                    .get(&table)
                    .and_then(|table| table.columns.iter().find(|column| column.attribute == attribute));
                let identity = column.is_some_and(|column| column.identity != Identity::No);
                depends(rows, this, (PG_CLASS, table, i32::from(attribute)), if identity { "i" } else { "a" })?;
            }
            RelationKind::View(view) => {
                let rule = (PG_REWRITE, rule_oid(relation.oid), 0);
                depends(rows, rule, this, "i")?;
                for read in &view.depends_on {
                    depends(rows, rule, (PG_CLASS, *read, 0), "n")?;
                }
                for (read, attribute) in &view.uses {
                    depends(rows, rule, (PG_CLASS, *read, i32::from(*attribute)), "n")?;
                }
            }
            RelationKind::Table(_) | RelationKind::Virtual(_) => {}
        }
        for constraint in constraints_of(relation) {
            let own = (PG_CONSTRAINT, constraint.oid(), 0);
            for attribute in constraint.attributes(relation) {
                depends(rows, own, (PG_CLASS, relation.oid, i32::from(attribute)), "a")?;
            }
            match &constraint {
                Constraint::Key(index) => depends(rows, (PG_CLASS, index.oid, 0), own, "i")?,
                Constraint::Foreign(key) => {
                    for attribute in &key.parent_attributes {
                        depends(rows, own, (PG_CLASS, key.parent, i32::from(*attribute)), "n")?;
                    }
                    depends(rows, own, (PG_CLASS, key.parent_index, 0), "n")?;
                }
                Constraint::Check(_) => {}
            }
        }
        for index in indexes_of(relation).iter().filter(|index| index.constraint.is_none()) {
            depends(rows, (PG_CLASS, index.oid, 0), this, "a")?;
        }
        for extended in relation.table().map_or(&[][..], |table| &table.extended) {
            let own = (CLASS_STATISTICS, extended.oid, 0);
            depends(rows, own, (PG_NAMESPACE, extended.schema, 0), "n")?;
            for attribute in &extended.attributes {
                depends(rows, own, (PG_CLASS, relation.oid, i32::from(*attribute)), "a")?;
            }
        }
    }
    Ok(())
}

/// The OID of a view's rule, in PostgreSQL's sense.
fn rule_oid(view: Oid) -> Oid {
    Oid(view.0 | 0x2000_0000)
}

pub(super) fn pg_rewrite(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    for relation in sorted(&source.facts.catalog) {
        let RelationKind::View(_) = &relation.kind else { continue };
        rows.add(&[
            ("oid", oid(rule_oid(relation.oid))),
            ("rulename", text("_RETURN")),
            ("ev_class", oid(relation.oid)),
            ("ev_type", text("1")),
            ("ev_enabled", text("O")),
            ("is_instead", Datum::Bool(true)),
        ])?;
    }
    Ok(())
}

/// Built-in types, and the row types of relations with the arrays of them.
pub(super) fn pg_type(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    super::fixed::pg_type_builtin(source, rows)?;
    for relation in sorted(&source.facts.catalog) {
        if matches!(relation.kind, RelationKind::Sequence(_)) {
            continue;
        }
        let common = |own: Oid, name: String| {
            [
                ("oid", oid(own)),
                ("typname", text(name)),
                ("typnamespace", oid(relation.schema)),
                ("typowner", oid(relation.owner)),
                ("typlen", Datum::Int16(-1)),
                ("typisdefined", Datum::Bool(true)),
                ("typdelim", text(",")),
                ("typalign", text("d")),
                ("typstorage", text("x")),
                ("typtypmod", Datum::Int32(-1)),
            ]
        };
        let mut row = common(row_type(relation.oid), relation.name.clone()).to_vec();
        row.extend([
            ("typtype", text("c")),
            ("typcategory", text("C")),
            ("typrelid", oid(relation.oid)),
            ("typarray", oid(row_array_type(relation.oid))),
            ("typinput", oid(Oid(2290))),
            ("typoutput", oid(Oid(2291))),
            ("typreceive", oid(Oid(2402))),
            ("typsend", oid(Oid(2403))),
        ]);
        rows.add(&row)?;
        let mut array = common(row_array_type(relation.oid), format!("_{}", relation.name)).to_vec();
        array.extend([
            ("typtype", text("b")),
            ("typcategory", text("A")),
            ("typelem", oid(row_type(relation.oid))),
            ("typinput", oid(Oid(750))),
            ("typoutput", oid(Oid(751))),
            ("typreceive", oid(Oid(2400))),
            ("typsend", oid(Oid(2401))),
        ]);
        rows.add(&array)?;
    }
    super::user_types::pg_type(source, rows)
}
