//! information_schema: tables, columns, constraints as the standard describes them. A user sees what it owns or has a privilege on.

use std::sync::Arc;

use heliosdb_types::{Datum, Oid, Result, SqlType};

use super::constraints::{Constraint, action_name, constraints_of};
use super::relations::sorted;
use super::table::{Rows, Source, text};
use super::{Facts, functions};
use crate::access::Rights;
use crate::catalog::{Column, FIRST_USER_OID, Identity, Privileges, Relation, RelationKind};

fn schema_name<'a>(facts: &'a Facts, relation: &Relation) -> &'a str {
    facts.catalog.schemas.get(&relation.schema).map_or("", |schema| schema.name.as_str())
}

fn yes_no(value: bool) -> Datum {
    text(if value { "YES" } else { "NO" })
}

fn count(value: i64) -> Datum {
    Datum::Int32(i32::try_from(value).unwrap_or(i32::MAX))
}

/// Relations the user may see anything of, without sequences.
fn visible(facts: &Facts) -> Vec<&Arc<Relation>> {
    let rights = Rights::of(&facts.catalog, facts.user.oid);
    let shown =
        |relation: &&Arc<Relation>| !matches!(relation.kind, RelationKind::Sequence(_)) && sees(&rights, relation);
    sorted(&facts.catalog).into_iter().filter(shown).collect()
}

fn sees(rights: &Rights<'_>, relation: &Relation) -> bool {
    rights.owns(relation.owner)
        || !rights.on_relation(relation).is_empty()
        || relation.access.columns.keys().any(|column| !rights.on_column(relation, *column).is_empty())
}

/// Constraints are shown to those who may do more than read.
fn changes(rights: &Rights<'_>, relation: &Relation) -> bool {
    rights.owns(relation.owner) || !(rights.on_relation(relation) & !Privileges::SELECT).is_empty()
}

pub(super) fn information_schema_catalog_name(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    rows.add(&[("catalog_name", text(&source.facts.database.name))])
}

pub(super) fn character_sets(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    rows.add(&[
        ("character_set_name", text("UTF8")),
        ("character_repertoire", text("UCS")),
        ("form_of_use", text("UTF8")),
        ("default_collate_catalog", text(&source.facts.database.name)),
        ("default_collate_schema", text("pg_catalog")),
        ("default_collate_name", text("C")),
    ])
}

pub(super) fn collations(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    for name in ["default", "C", "POSIX"] {
        rows.add(&[
            ("collation_catalog", text(&source.facts.database.name)),
            ("collation_schema", text("pg_catalog")),
            ("collation_name", text(name)),
            ("pad_attribute", text("NO PAD")),
        ])?;
    }
    Ok(())
}

pub(super) fn schemata(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    let rights = Rights::of(&facts.catalog, facts.user.oid);
    let mut schemas: Vec<_> = facts.catalog.schemas.values().collect();
    schemas.sort_by_key(|schema| schema.oid);
    for schema in schemas {
        if !rights.owns(schema.owner) && rights.on_schema(schema).is_empty() {
            continue;
        }
        rows.add(&[
            ("catalog_name", text(&facts.database.name)),
            ("schema_name", text(&schema.name)),
            ("schema_owner", text(facts.catalog.role_name(schema.owner))),
        ])?;
    }
    Ok(())
}

pub(super) fn tables(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    for relation in visible(facts) {
        let temporary = super::relations::persistence(facts, relation) == "t";
        let kind = match &relation.kind {
            RelationKind::Table(_) if temporary => "LOCAL TEMPORARY",
            RelationKind::Table(_) => "BASE TABLE",
            RelationKind::Virtual(_) if !super::shown_as_view(relation) => "BASE TABLE",
            RelationKind::View(_) | RelationKind::Virtual(_) => "VIEW",
            RelationKind::Sequence(_) => continue,
        };
        let insertable = relation.table().is_some_and(|table| !table.tree.tree.is_system());
        rows.add(&[
            ("table_catalog", text(&facts.database.name)),
            ("table_schema", text(schema_name(facts, relation))),
            ("table_name", text(&relation.name)),
            ("table_type", text(kind)),
            ("is_insertable_into", yes_no(insertable)),
            ("is_typed", text("NO")),
            ("commit_action", if temporary { text("PRESERVE") } else { Datum::Null }),
        ])?;
    }
    Ok(())
}

/// The columns that describe a type, for columns and for array elements.
fn type_facts(facts: &Facts, sql_type: &SqlType) -> Vec<(&'static str, Datum)> {
    let (length, octets) = match sql_type {
        SqlType::Varchar(Some(n)) | SqlType::Char(Some(n)) => (count(i64::from(*n)), count(i64::from(*n) * 4)),
        SqlType::Text | SqlType::Varchar(None) | SqlType::Char(None) => (Datum::Null, count(1 << 30)),
        _ => (Datum::Null, Datum::Null),
    };
    let (precision, radix, scale) = match sql_type {
        SqlType::Int2 => (count(16), count(2), count(0)),
        SqlType::Int4 => (count(32), count(2), count(0)),
        SqlType::Int8 => (count(64), count(2), count(0)),
        SqlType::Float4 => (count(24), count(2), Datum::Null),
        SqlType::Float8 => (count(53), count(2), Datum::Null),
        SqlType::Numeric(Some((p, s))) => (count(i64::from(*p)), count(10), count(i64::from(*s))),
        SqlType::Numeric(None) => (Datum::Null, count(10), Datum::Null),
        _ => (Datum::Null, Datum::Null, Datum::Null),
    };
    let fraction = match sql_type {
        SqlType::Date => count(0),
        SqlType::Time(p) | SqlType::Timestamp(p) | SqlType::Timestamptz(p) => count(i64::from(p.unwrap_or(6))),
        SqlType::Interval => count(6),
        _ => Datum::Null,
    };
    let data_type = match sql_type {
        SqlType::Array(_) => "ARRAY".to_owned(),
        SqlType::Enum(_) => "USER-DEFINED".to_owned(),
        SqlType::Char(_) => "character".to_owned(),
        other => crate::ddl::without_modifier(other).name(),
    };
    vec![
        ("data_type", text(data_type)),
        ("character_maximum_length", length),
        ("character_octet_length", octets),
        ("numeric_precision", precision),
        ("numeric_precision_radix", radix),
        ("numeric_scale", scale),
        ("datetime_precision", fraction),
        ("udt_catalog", text(&facts.database.name)),
        ("udt_schema", text(sql_type.enum_type().map_or("pg_catalog", |of| of.schema.as_str()))),
        ("udt_name", text(udt_name(sql_type))),
    ]
}

fn udt_name(sql_type: &SqlType) -> String {
    match sql_type {
        SqlType::Array(element) => format!("_{}", udt_name(element)),
        SqlType::Enum(info) => info.name.clone(),
        other => super::types::TYPES
            .iter()
            .find(|row| row.oid == other.oid().0)
            .map_or_else(String::new, |row| row.name.to_owned()),
    }
}

pub(super) fn columns(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    let rights = Rights::of(&facts.catalog, facts.user.oid);
    for relation in visible(facts) {
        let updatable = relation.table().is_some_and(|table| !table.tree.tree.is_system());
        for column in &relation.columns {
            let whole = !rights.on_relation(relation).is_empty() || rights.owns(relation.owner);
            if !whole && rights.on_column(relation, column.attribute).is_empty() {
                continue;
            }
            let mut values = vec![
                ("table_catalog", text(&facts.database.name)),
                ("table_schema", text(schema_name(facts, relation))),
                ("table_name", text(&relation.name)),
                ("column_name", text(&column.name)),
                ("ordinal_position", Datum::Int32(i32::from(column.attribute))),
                ("is_nullable", yes_no(!column.not_null)),
                ("dtd_identifier", text(column.attribute.to_string())),
                ("is_self_referencing", text("NO")),
                ("is_updatable", yes_no(updatable && !column.generated)),
            ];
            values.extend(type_facts(facts, &column.sql_type));
            values.extend(origin_facts(facts, relation, column));
            rows.add(&values)?;
        }
    }
    Ok(())
}

/// Default, identity and generation of a column.
fn origin_facts(facts: &Facts, relation: &Relation, column: &Column) -> Vec<(&'static str, Datum)> {
    let identity = column.identity != Identity::No;
    let shown = column.default.as_ref().map(|default| {
        let default = crate::ddl::shown_default(default, &column.sql_type);
        text(functions::shown_expression(facts, &default))
    });
    let mut values = vec![
        ("is_identity", yes_no(identity)),
        ("is_generated", text(if column.generated { "ALWAYS" } else { "NEVER" })),
        ("identity_cycle", text("NO")),
    ];
    match shown {
        Some(shown) if column.generated => values.push(("generation_expression", shown)),
        Some(shown) if !identity => values.push(("column_default", shown)),
        _ => {}
    }
    let generation = match column.identity {
        Identity::No => return values,
        Identity::Always => "ALWAYS",
        Identity::ByDefault => "BY DEFAULT",
    };
    values.push(("identity_generation", text(generation)));
    let sequence = facts.catalog.relations.values().find_map(|sequence| match &sequence.kind {
        RelationKind::Sequence(info) if info.owned_by == Some((relation.oid, column.attribute)) => Some(info),
        _ => None,
    });
    if let Some(info) = sequence {
        values.extend([
            ("identity_start", text(info.start.to_string())),
            ("identity_increment", text(info.increment.to_string())),
            ("identity_maximum", text(info.max.to_string())),
            ("identity_minimum", text(info.min.to_string())),
            ("identity_cycle", yes_no(info.cycle)),
        ]);
    }
    values
}

/// What arrays are of.
pub(super) fn element_types(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    for relation in visible(facts) {
        for column in &relation.columns {
            let SqlType::Array(element) = &column.sql_type else { continue };
            let udt = type_facts(facts, &crate::ddl::without_modifier(element));
            let known = |name: &str| udt.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
            let kind = if super::shown_as_view(relation) { "VIEW" } else { "TABLE" };
            rows.add(&[
                ("object_catalog", text(&facts.database.name)),
                ("object_schema", text(schema_name(facts, relation))),
                ("object_name", text(&relation.name)),
                ("object_type", text(if matches!(relation.kind, RelationKind::View(_)) { "VIEW" } else { kind })),
                ("collection_type_identifier", text(column.attribute.to_string())),
                ("data_type", known("data_type").unwrap_or(Datum::Null)),
                ("udt_catalog", text(&facts.database.name)),
                ("udt_schema", known("udt_schema").unwrap_or(Datum::Null)),
                ("udt_name", known("udt_name").unwrap_or(Datum::Null)),
                ("dtd_identifier", text(format!("a{}", column.attribute))),
            ])?;
        }
    }
    Ok(())
}

pub(super) fn views(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    let rights = Rights::of(&facts.catalog, facts.user.oid);
    for relation in visible(facts) {
        let RelationKind::View(_) = &relation.kind else { continue };
        let definition = functions::view_definition(facts, relation.oid).filter(|_| rights.owns(relation.owner));
        rows.add(&[
            ("table_catalog", text(&facts.database.name)),
            ("table_schema", text(schema_name(facts, relation))),
            ("table_name", text(&relation.name)),
            ("view_definition", definition.map_or(Datum::Null, text)),
            ("check_option", text("NONE")),
            ("is_updatable", text("NO")),
            ("is_insertable_into", text("NO")),
            ("is_trigger_updatable", text("NO")),
            ("is_trigger_deletable", text("NO")),
            ("is_trigger_insertable_into", text("NO")),
        ])?;
    }
    Ok(())
}

fn view_uses(source: &Source<'_>, mut show: impl FnMut(&Relation, &Relation, Option<i16>) -> Result<()>) -> Result<()> {
    let catalog = &source.facts.catalog;
    let rights = Rights::of(catalog, source.facts.user.oid);
    for view in sorted(catalog) {
        let RelationKind::View(info) = &view.kind else { continue };
        for read in info.depends_on.iter().filter_map(|oid| catalog.relations.get(oid)) {
            if !rights.owns(read.owner) {
                continue;
            }
            show(view, read, None)?;
            for (_, attribute) in info.uses.iter().filter(|(oid, _)| *oid == read.oid) {
                show(view, read, Some(*attribute))?;
            }
        }
    }
    Ok(())
}

pub(super) fn view_table_usage(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    view_uses(source, |view, read, column| match column {
        Some(_) => Ok(()),
        None => rows.add(&[
            ("view_catalog", text(&facts.database.name)),
            ("view_schema", text(schema_name(facts, view))),
            ("view_name", text(&view.name)),
            ("table_catalog", text(&facts.database.name)),
            ("table_schema", text(schema_name(facts, read))),
            ("table_name", text(&read.name)),
        ]),
    })
}

pub(super) fn view_column_usage(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    view_uses(source, |view, read, attribute| {
        let column = read.columns.iter().find(|column| Some(column.attribute) == attribute);
        let Some(column) = column else { return Ok(()) };
        rows.add(&[
            ("view_catalog", text(&facts.database.name)),
            ("view_schema", text(schema_name(facts, view))),
            ("view_name", text(&view.name)),
            ("table_catalog", text(&facts.database.name)),
            ("table_schema", text(schema_name(facts, read))),
            ("table_name", text(&read.name)),
            ("column_name", text(&column.name)),
        ])
    })
}

pub(super) fn sequences(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    let rights = Rights::of(&facts.catalog, facts.user.oid);
    for relation in sorted(&facts.catalog) {
        let RelationKind::Sequence(info) = &relation.kind else { continue };
        // An identity column's sequence is the column's.
        let identity = info.owned_by.is_some_and(|(table, attribute)| {
            let table = facts.catalog.relations.get(&table);
            let column = table.and_then(|table| table.columns.iter().find(|column| column.attribute == attribute));
            column.is_some_and(|column| column.identity != Identity::No)
        });
        if identity || !sees(&rights, relation) {
            continue;
        }
        let bits = match info.data_type {
            SqlType::Int2 => 16,
            SqlType::Int4 => 32,
            _ => 64,
        };
        rows.add(&[
            ("sequence_catalog", text(&facts.database.name)),
            ("sequence_schema", text(schema_name(facts, relation))),
            ("sequence_name", text(&relation.name)),
            ("data_type", text(info.data_type.name())),
            ("numeric_precision", Datum::Int32(bits)),
            ("numeric_precision_radix", Datum::Int32(2)),
            ("numeric_scale", Datum::Int32(0)),
            ("start_value", text(info.start.to_string())),
            ("minimum_value", text(info.min.to_string())),
            ("maximum_value", text(info.max.to_string())),
            ("increment", text(info.increment.to_string())),
            ("cycle_option", yes_no(info.cycle)),
        ])?;
    }
    Ok(())
}

/// Tables whose constraints the user sees, with them.
fn constrained(facts: &Facts) -> Vec<(&Arc<Relation>, Vec<Constraint<'_>>)> {
    let rights = Rights::of(&facts.catalog, facts.user.oid);
    let tables = sorted(&facts.catalog).into_iter().filter(|relation| changes(&rights, relation));
    tables.map(|relation| (relation, constraints_of(relation))).collect()
}

/// NOT NULL is a check to the standard, with a name made of numbers.
fn not_null_name(relation: &Relation, column: &Column) -> String {
    format!("{}_{}_{}_not_null", relation.schema, relation.oid, column.attribute)
}

fn not_nulls(relation: &Relation) -> impl Iterator<Item = &Column> {
    let stored = relation.table().is_some() && relation.oid >= FIRST_USER_OID;
    relation.columns.iter().filter(move |column| stored && column.not_null)
}

fn constraint_place(facts: &Facts, relation: &Relation, name: &str) -> Vec<(&'static str, Datum)> {
    vec![
        ("constraint_catalog", text(&facts.database.name)),
        ("constraint_schema", text(schema_name(facts, relation))),
        ("constraint_name", text(name)),
    ]
}

fn table_place(facts: &Facts, relation: &Relation) -> Vec<(&'static str, Datum)> {
    vec![
        ("table_catalog", text(&facts.database.name)),
        ("table_schema", text(schema_name(facts, relation))),
        ("table_name", text(&relation.name)),
    ]
}

pub(super) fn table_constraints(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    for (relation, constraints) in constrained(facts) {
        for constraint in &constraints {
            let kind = match constraint.letter() {
                "p" => "PRIMARY KEY",
                "u" => "UNIQUE",
                "f" => "FOREIGN KEY",
                _ => "CHECK",
            };
            let (deferrable, deferred) = match constraint {
                Constraint::Foreign(key) => (key.deferrable, key.initially_deferred),
                Constraint::Key(index) => {
                    (index.deferrable.is_some(), index.deferrable.is_some_and(|kind| kind.initially_deferred))
                }
                _ => (false, false),
            };
            let nulls = match constraint {
                Constraint::Key(index) if !index.primary => yes_no(!index.nulls_not_distinct),
                _ => Datum::Null,
            };
            let mut values = constraint_place(facts, relation, constraint.name());
            values.extend(table_place(facts, relation));
            values.extend([
                ("constraint_type", text(kind)),
                ("is_deferrable", yes_no(deferrable)),
                ("initially_deferred", yes_no(deferred)),
                ("enforced", text("YES")),
                ("nulls_distinct", nulls),
            ]);
            rows.add(&values)?;
        }
        for column in not_nulls(relation) {
            let mut values = constraint_place(facts, relation, &not_null_name(relation, column));
            values.extend(table_place(facts, relation));
            values.extend([
                ("constraint_type", text("CHECK")),
                ("is_deferrable", text("NO")),
                ("initially_deferred", text("NO")),
                ("enforced", text("YES")),
            ]);
            rows.add(&values)?;
        }
    }
    Ok(())
}

pub(super) fn check_constraints(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    let rights = Rights::of(&facts.catalog, facts.user.oid);
    for relation in sorted(&facts.catalog).into_iter().filter(|relation| rights.owns(relation.owner)) {
        for constraint in constraints_of(relation) {
            let Constraint::Check(check) = &constraint else { continue };
            let mut values = constraint_place(facts, relation, &check.name);
            values.push(("check_clause", text(format!("({})", check.expression))));
            rows.add(&values)?;
        }
        for column in not_nulls(relation) {
            let mut values = constraint_place(facts, relation, &not_null_name(relation, column));
            values.push(("check_clause", text(format!("{} IS NOT NULL", column.name))));
            rows.add(&values)?;
        }
    }
    Ok(())
}

pub(super) fn key_column_usage(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    for (relation, constraints) in constrained(facts) {
        for constraint in constraints.iter().filter(|constraint| !matches!(constraint, Constraint::Check(_))) {
            for (attribute, position) in constraint.attributes(relation).into_iter().zip(1..) {
                let column = relation.columns.iter().find(|column| column.attribute == attribute);
                let Some(column) = column else { continue };
                let in_parent = match constraint {
                    Constraint::Foreign(key) => {
                        position_in_parent(facts, key.parent_index, &key.parent_attributes, position)
                    }
                    _ => Datum::Null,
                };
                let mut values = constraint_place(facts, relation, constraint.name());
                values.extend(table_place(facts, relation));
                values.extend([
                    ("column_name", text(&column.name)),
                    ("ordinal_position", Datum::Int32(position)),
                    ("position_in_unique_constraint", in_parent),
                ]);
                rows.add(&values)?;
            }
        }
    }
    Ok(())
}

/// Where a foreign key's column points in the key it refers to.
fn position_in_parent(facts: &Facts, index: Oid, parent_attributes: &[i16], position: i32) -> Datum {
    let Some(index) = super::indexes::index_named(&facts.catalog, index) else { return Datum::Null };
    let attribute = usize::try_from(position - 1).ok().and_then(|at| parent_attributes.get(at));
    let names = index.key_names();
    let column = index.table.columns.iter().find(|column| Some(&column.attribute) == attribute);
    let at = column.and_then(|column| names.iter().position(|name| *name == column.name));
    at.map_or(Datum::Null, |at| Datum::Int32(at as i32 + 1))
}

pub(super) fn referential_constraints(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    for (relation, constraints) in constrained(facts) {
        for constraint in &constraints {
            let Constraint::Foreign(key) = constraint else { continue };
            let index = super::indexes::index_named(&facts.catalog, key.parent_index);
            let unique = index.as_ref().filter(|index| index.constraint.is_some());
            let mut values = constraint_place(facts, relation, &key.name);
            values.extend([
                ("unique_constraint_catalog", unique.map_or(Datum::Null, |_| text(&facts.database.name))),
                ("unique_constraint_schema", unique.map_or(Datum::Null, |index| text(schema_name(facts, index.table)))),
                ("unique_constraint_name", unique.map_or(Datum::Null, |index| text(index.name))),
                ("match_option", text(if key.match_full { "FULL" } else { "NONE" })),
                ("update_rule", text(action_name(key.on_update))),
                ("delete_rule", text(action_name(key.on_delete))),
            ]);
            rows.add(&values)?;
        }
    }
    Ok(())
}

/// The tables and columns constraints are about: a foreign key's are those it refers to.
fn used(
    source: &Source<'_>,
    mut show: impl FnMut(&Relation, &Constraint<'_>, &Relation, &[i16]) -> Result<()>,
) -> Result<()> {
    let facts = source.facts;
    let rights = Rights::of(&facts.catalog, facts.user.oid);
    for relation in sorted(&facts.catalog) {
        for constraint in constraints_of(relation) {
            let (table, attributes) = match &constraint {
                Constraint::Foreign(key) => {
                    let Some(parent) = facts.catalog.relations.get(&key.parent) else { continue };
                    (parent, key.parent_attributes.clone())
                }
                own => (relation, own.attributes(relation)),
            };
            if rights.owns(table.owner) {
                show(relation, &constraint, table, &attributes)?;
            }
        }
    }
    Ok(())
}

pub(super) fn constraint_column_usage(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    used(source, |relation, constraint, table, attributes| {
        for attribute in attributes {
            let column = table.columns.iter().find(|column| column.attribute == *attribute);
            let Some(column) = column else { continue };
            let mut values = table_place(facts, table);
            values.push(("column_name", text(&column.name)));
            values.extend(constraint_place(facts, relation, constraint.name()));
            rows.add(&values)?;
        }
        Ok(())
    })
}

pub(super) fn constraint_table_usage(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    used(source, |relation, constraint, table, _| {
        if matches!(constraint, Constraint::Check(_)) {
            return Ok(());
        }
        let mut values = table_place(facts, table);
        values.extend(constraint_place(facts, relation, constraint.name()));
        rows.add(&values)
    })
}
