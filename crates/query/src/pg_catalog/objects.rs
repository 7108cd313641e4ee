//! Databases, schemas, roles, settings, sessions, and the friendly views over relations.

use heliosdb_types::{Datum, Oid, Result, SqlType};

use super::relations::{key_columns, keys, sorted};
use super::table::{Rows, Source, oid, text};
use super::{Facts, functions, quote_identifier};
use crate::catalog::{POSTGRES_ROLE, Relation, RelationKind, Role};
use crate::session::PARAMETERS;

const DEFAULT_TABLESPACE: Oid = Oid(1663);

pub(super) fn pg_namespace(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let mut schemas: Vec<_> = source.facts.catalog.schemas.values().collect();
    schemas.sort_by_key(|schema| schema.oid);
    for schema in schemas {
        rows.add(&[("oid", oid(schema.oid)), ("nspname", text(&schema.name)), ("nspowner", oid(schema.owner))])?;
    }
    Ok(())
}

pub(super) fn pg_database(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    for database in source.facts.catalog.databases.values() {
        rows.add(&[
            ("oid", oid(database.oid)),
            ("datname", text(&database.name)),
            ("datdba", oid(database.owner)),
            ("encoding", Datum::Int32(6)),
            ("datlocprovider", text("c")),
            ("datallowconn", Datum::Bool(true)),
            ("datconnlimit", Datum::Int32(-1)),
            ("dattablespace", oid(DEFAULT_TABLESPACE)),
            ("datcollate", text("C.UTF-8")),
            ("datctype", text("C.UTF-8")),
        ])?;
    }
    Ok(())
}

fn roles(facts: &Facts) -> Vec<&Role> {
    let mut roles: Vec<&Role> = facts.catalog.roles.values().map(|role| &**role).collect();
    roles.sort_by_key(|role| role.oid);
    roles
}

/// Columns pg_authid and pg_roles share. What only CREATE ROLE options of PostgreSQL give, the first superuser has.
fn role_values(role: &Role) -> Vec<(&'static str, Datum)> {
    let first = Datum::Bool(role.oid == POSTGRES_ROLE);
    vec![
        ("oid", oid(role.oid)),
        ("rolname", text(&role.name)),
        ("rolsuper", Datum::Bool(role.superuser)),
        ("rolinherit", Datum::Bool(true)),
        ("rolcreaterole", first.clone()),
        ("rolcreatedb", first.clone()),
        ("rolcanlogin", Datum::Bool(role.can_login)),
        ("rolreplication", first.clone()),
        ("rolconnlimit", Datum::Int32(-1)),
        ("rolbypassrls", first),
    ]
}

pub(super) fn pg_authid(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    for role in roles(source.facts) {
        let mut values = role_values(role);
        values.push(("rolpassword", role.password.as_ref().map_or(Datum::Null, text)));
        rows.add(&values)?;
    }
    Ok(())
}

pub(super) fn pg_roles(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    for role in roles(source.facts) {
        let mut values = role_values(role);
        values.push(("rolpassword", text("********")));
        rows.add(&values)?;
    }
    Ok(())
}

pub(super) fn pg_user(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    for role in roles(source.facts).into_iter().filter(|role| role.can_login) {
        let first = Datum::Bool(role.oid == POSTGRES_ROLE);
        rows.add(&[
            ("usename", text(&role.name)),
            ("usesysid", oid(role.oid)),
            ("usecreatedb", first.clone()),
            ("usesuper", Datum::Bool(role.superuser)),
            ("userepl", first.clone()),
            ("usebypassrls", first),
            ("passwd", text("********")),
        ])?;
    }
    Ok(())
}

pub(super) fn pg_am(_source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    rows.add(&[("oid", oid(Oid(2))), ("amname", text("heap")), ("amtype", text("t"))])?;
    rows.add(&[("oid", oid(Oid(403))), ("amname", text("btree")), ("amtype", text("i"))])
}

pub(super) fn pg_tablespace(_source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    for (number, name) in [(DEFAULT_TABLESPACE, "pg_default"), (Oid(1664), "pg_global")] {
        rows.add(&[("oid", oid(number)), ("spcname", text(name)), ("spcowner", oid(POSTGRES_ROLE))])?;
    }
    Ok(())
}

pub(super) fn pg_collation(_source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    for (number, name, provider) in [(100, "default", "d"), (950, "C", "c"), (951, "POSIX", "c")] {
        rows.add(&[
            ("oid", oid(Oid(number))),
            ("collname", text(name)),
            ("collnamespace", oid(crate::catalog::PG_CATALOG)),
            ("collowner", oid(POSTGRES_ROLE)),
            ("collprovider", text(provider)),
            ("collisdeterministic", Datum::Bool(true)),
            ("collencoding", Datum::Int32(-1)),
            ("collcollate", if number == 100 { Datum::Null } else { text(name) }),
            ("collctype", if number == 100 { Datum::Null } else { text(name) }),
        ])?;
    }
    Ok(())
}

pub(super) fn pg_language(_source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    for (number, name) in [(12, "internal"), (14, "sql")] {
        rows.add(&[
            ("oid", oid(Oid(number))),
            ("lanname", text(name)),
            ("lanowner", oid(POSTGRES_ROLE)),
            ("lanpltrusted", Datum::Bool(name == "sql")),
        ])?;
    }
    Ok(())
}

pub(super) fn pg_settings(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    for (at, parameter) in PARAMETERS.iter().enumerate() {
        rows.add(&[
            ("name", text(parameter.name)),
            ("setting", text(source.facts.settings.value(at))),
            ("category", text("Preset and Client Connection Defaults")),
            ("short_desc", text(parameter.description)),
            ("context", text(if parameter.is_internal() { "internal" } else { "user" })),
            ("vartype", text(parameter.type_name())),
            ("source", text("default")),
            ("boot_val", text(parameter.default)),
            ("reset_val", text(parameter.default)),
            ("pending_restart", Datum::Bool(false)),
        ])?;
    }
    Ok(())
}

pub(super) fn pg_stat_activity(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let moment = |micros: Option<i64>| micros.map_or(Datum::Null, Datum::TimestampTz);
    let waits = super::activity::waits(source.shard);
    for session in source.facts.engine.sessions.list() {
        let wait = match (waits.get(&session.owner), session.state) {
            (Some(event), _) => Some(("Lock", *event)),
            (None, "active") => None,
            (None, _) => Some(("Client", "ClientRead")),
        };
        let mine = source.facts.user.superuser || session.user.0 == source.facts.user.oid;
        rows.add(&[
            ("datid", oid(session.database.0)),
            ("datname", text(session.database.1)),
            ("pid", Datum::Int32(session.pid)),
            ("usesysid", oid(session.user.0)),
            ("usename", text(session.user.1)),
            ("application_name", text(session.application_name)),
            ("client_addr", session.peer.map_or(Datum::Null, |peer| text(peer.ip().to_string()))),
            ("client_port", Datum::Int32(session.peer.map_or(-1, |peer| i32::from(peer.port())))),
            ("backend_start", moment(Some(session.backend_start_micros))),
            ("xact_start", moment(session.xact_start_micros)),
            ("query_start", moment(session.query_start_micros)),
            ("state_change", moment(Some(session.state_change_micros))),
            ("wait_event_type", wait.map_or(Datum::Null, |(kind, _)| text(kind))),
            ("wait_event", wait.map_or(Datum::Null, |(_, event)| text(event))),
            ("state", text(session.state)),
            ("query", text(if mine { &*session.query } else { "<insufficient privilege>" })),
            ("backend_type", text("client backend")),
        ])?;
    }
    Ok(())
}

fn schema_name<'a>(facts: &'a Facts, relation: &Relation) -> &'a str {
    facts.catalog.schemas.get(&relation.schema).map_or("", |schema| schema.name.as_str())
}

fn owner_name(facts: &Facts, owner: Oid) -> Datum {
    facts.catalog.roles.get(&owner).map_or(Datum::Null, |role| text(&role.name))
}

pub(super) fn pg_tables(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    for relation in sorted(&facts.catalog) {
        let stored = match &relation.kind {
            RelationKind::Table(_) => true,
            RelationKind::Virtual(_) => {
                relation.schema == crate::catalog::PG_CATALOG && !super::is_view(&relation.name)
            }
            _ => false,
        };
        if !stored {
            continue;
        }
        let indexed = relation.table().is_some_and(|table| table.primary_key.is_some());
        rows.add(&[
            ("schemaname", text(schema_name(facts, relation))),
            ("tablename", text(&relation.name)),
            ("tableowner", owner_name(facts, relation.owner)),
            ("hasindexes", Datum::Bool(indexed)),
            ("hasrules", Datum::Bool(false)),
            ("hastriggers", Datum::Bool(false)),
            ("rowsecurity", Datum::Bool(false)),
        ])?;
    }
    Ok(())
}

pub(super) fn pg_views(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    for relation in sorted(&facts.catalog) {
        let RelationKind::View(_) = &relation.kind else { continue };
        rows.add(&[
            ("schemaname", text(schema_name(facts, relation))),
            ("viewname", text(&relation.name)),
            ("viewowner", owner_name(facts, relation.owner)),
            ("definition", functions::view_definition(facts, relation.oid).map_or(Datum::Null, text)),
        ])?;
    }
    Ok(())
}

pub(super) fn pg_indexes(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    for (relation, key) in keys(&facts.catalog) {
        rows.add(&[
            ("schemaname", text(schema_name(facts, relation))),
            ("tablename", text(&relation.name)),
            ("indexname", text(&key.name)),
            ("indexdef", text(index_definition(facts, relation, &key.name, false))),
        ])?;
    }
    Ok(())
}

/// CREATE INDEX as it would make a primary key's index.
pub(super) fn index_definition(facts: &Facts, relation: &Relation, name: &str, short: bool) -> String {
    let key = relation.table().and_then(|table| table.primary_key.as_ref());
    let columns: Vec<String> = key
        .map(|key| key_columns(relation, key).into_iter().map(|column| quote_identifier(&column.name)).collect())
        .unwrap_or_default();
    let schema = quote_identifier(schema_name(facts, relation));
    let table = quote_identifier(&relation.name);
    let visible = short.then(|| facts.shown_name(relation.oid)).flatten();
    let table = visible.unwrap_or_else(|| format!("{schema}.{table}"));
    format!("CREATE UNIQUE INDEX {} ON {table} USING btree ({})", quote_identifier(name), columns.join(", "))
}

pub(super) fn pg_sequences(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    for relation in sorted(&facts.catalog) {
        let RelationKind::Sequence(info) = &relation.kind else { continue };
        let (last, called) = facts.engine.sequences.last(source.shard, info)?;
        rows.add(&[
            ("schemaname", text(schema_name(facts, relation))),
            ("sequencename", text(&relation.name)),
            ("sequenceowner", owner_name(facts, relation.owner)),
            ("data_type", oid(info.data_type.oid())),
            ("start_value", Datum::Int64(info.start)),
            ("min_value", Datum::Int64(info.min)),
            ("max_value", Datum::Int64(info.max)),
            ("increment_by", Datum::Int64(info.increment)),
            ("cycle", Datum::Bool(info.cycle)),
            ("cache_size", Datum::Int64(1)),
            ("last_value", if called { Datum::Int64(last) } else { Datum::Null }),
        ])?;
    }
    Ok(())
}

/// Only what is counted: rows as the shard estimates them.
pub(super) fn pg_stat_user_tables(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    for relation in sorted(&facts.catalog) {
        let Some(table) = relation.table().filter(|table| !table.tree.tree.is_system()) else { continue };
        let size = source.shard.tree_size(table.tree.tree);
        rows.add(&[
            ("relid", oid(relation.oid)),
            ("schemaname", text(schema_name(facts, relation))),
            ("relname", text(&relation.name)),
            ("n_live_tup", Datum::Int64(i64::try_from(size.rows).unwrap_or(i64::MAX))),
        ])?;
    }
    Ok(())
}

pub(super) fn schemata(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    for schema in facts.catalog.schemas.values() {
        rows.add(&[
            ("catalog_name", text(&facts.database.name)),
            ("schema_name", text(&schema.name)),
            ("schema_owner", owner_name(facts, schema.owner)),
        ])?;
    }
    Ok(())
}

pub(super) fn tables(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    for relation in sorted(&facts.catalog) {
        let kind = match &relation.kind {
            RelationKind::Table(_) => "BASE TABLE",
            RelationKind::Virtual(_)
                if relation.schema == crate::catalog::PG_CATALOG && !super::is_view(&relation.name) =>
            {
                "BASE TABLE"
            }
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
        ])?;
    }
    Ok(())
}

fn yes_no(value: bool) -> Datum {
    text(if value { "YES" } else { "NO" })
}

pub(super) fn columns(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    use crate::catalog::Identity;
    let facts = source.facts;
    let database = text(&facts.database.name);
    let count = |value: i64| Datum::Int32(i32::try_from(value).unwrap_or(i32::MAX));
    for relation in sorted(&facts.catalog) {
        for column in &relation.columns {
            let sql_type = &column.sql_type;
            let (length, octets) = match sql_type {
                SqlType::Varchar(Some(n)) | SqlType::Char(Some(n)) => (count(i64::from(*n)), count(i64::from(*n) * 4)),
                SqlType::Text | SqlType::Varchar(None) => (Datum::Null, count(1 << 30)),
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
            let row = super::types::TYPES.iter().find(|row| row.oid == sql_type.oid().0);
            let (udt_schema, udt_name) = match (row, sql_type.enum_type()) {
                (Some(row), _) => ("pg_catalog".to_owned(), row.name.to_owned()),
                (None, Some(of)) if matches!(sql_type, SqlType::Array(_)) => {
                    (of.schema.clone(), format!("_{}", of.name))
                }
                (None, Some(of)) => (of.schema.clone(), of.name.clone()),
                (None, None) => ("pg_catalog".to_owned(), String::new()),
            };
            let data_type = match sql_type {
                SqlType::Array(_) => "ARRAY".to_owned(),
                SqlType::Enum(_) => "USER-DEFINED".to_owned(),
                SqlType::Char(_) => "character".to_owned(),
                other => crate::ddl::without_modifier(other).name(),
            };
            rows.add(&[
                ("table_catalog", database.clone()),
                ("table_schema", text(schema_name(facts, relation))),
                ("table_name", text(&relation.name)),
                ("column_name", text(&column.name)),
                ("ordinal_position", Datum::Int32(i32::from(column.attribute))),
                (
                    "column_default",
                    match &column.default {
                        Some(default) if column.identity == Identity::No => {
                            let default = crate::ddl::shown_default(default, &column.sql_type);
                            text(functions::shown_expression(facts, &default))
                        }
                        _ => Datum::Null,
                    },
                ),
                ("is_nullable", yes_no(!column.not_null)),
                ("data_type", text(data_type)),
                ("character_maximum_length", length),
                ("character_octet_length", octets),
                ("numeric_precision", precision),
                ("numeric_precision_radix", radix),
                ("numeric_scale", scale),
                ("datetime_precision", fraction),
                ("udt_catalog", database.clone()),
                ("udt_schema", text(udt_schema)),
                ("udt_name", text(udt_name)),
                ("dtd_identifier", text(column.attribute.to_string())),
                ("is_self_referencing", text("NO")),
                ("is_identity", yes_no(column.identity != Identity::No)),
                (
                    "identity_generation",
                    match column.identity {
                        Identity::No => Datum::Null,
                        Identity::Always => text("ALWAYS"),
                        Identity::ByDefault => text("BY DEFAULT"),
                    },
                ),
                ("identity_cycle", text("NO")),
                ("is_generated", text("NEVER")),
                ("is_updatable", yes_no(relation.table().is_some_and(|table| !table.tree.tree.is_system()))),
            ])?;
        }
    }
    Ok(())
}

pub(super) fn information_views(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    for relation in sorted(&facts.catalog) {
        let RelationKind::View(_) = &relation.kind else { continue };
        rows.add(&[
            ("table_catalog", text(&facts.database.name)),
            ("table_schema", text(schema_name(facts, relation))),
            ("table_name", text(&relation.name)),
            ("view_definition", functions::view_definition(facts, relation.oid).map_or(Datum::Null, text)),
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

pub(super) fn information_sequences(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    for relation in sorted(&facts.catalog) {
        let RelationKind::Sequence(info) = &relation.kind else { continue };
        rows.add(&[
            ("sequence_catalog", text(&facts.database.name)),
            ("sequence_schema", text(schema_name(facts, relation))),
            ("sequence_name", text(&relation.name)),
            ("data_type", text(info.data_type.name())),
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

fn constraint(rows: &mut Rows, facts: &Facts, relation: &Relation, name: &str, kind: &str) -> Result<()> {
    let (database, schema) = (text(&facts.database.name), text(schema_name(facts, relation)));
    rows.add(&[
        ("constraint_catalog", database.clone()),
        ("constraint_schema", schema.clone()),
        ("constraint_name", text(name)),
        ("table_catalog", database),
        ("table_schema", schema),
        ("table_name", text(&relation.name)),
        ("constraint_type", text(kind)),
        ("is_deferrable", text("NO")),
        ("initially_deferred", text("NO")),
        ("enforced", text("YES")),
    ])
}

pub(super) fn table_constraints(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    for relation in sorted(&facts.catalog) {
        let Some(table) = relation.table() else { continue };
        if let Some(key) = &table.primary_key {
            constraint(rows, facts, relation, &key.name, "PRIMARY KEY")?;
        }
        for check in &table.checks {
            constraint(rows, facts, relation, &check.name, "CHECK")?;
        }
    }
    Ok(())
}

pub(super) fn check_constraints(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    for relation in sorted(&facts.catalog) {
        for check in relation.table().map_or(&[][..], |table| &table.checks) {
            rows.add(&[
                ("constraint_catalog", text(&facts.database.name)),
                ("constraint_schema", text(schema_name(facts, relation))),
                ("constraint_name", text(&check.name)),
                ("check_clause", text(format!("({})", check.expression))),
            ])?;
        }
    }
    Ok(())
}

/// `key_column_usage`, and `constraint_column_usage`, whose columns are among its.
fn usage(source: &Source<'_>, rows: &mut Rows, with_position: bool) -> Result<()> {
    let facts = source.facts;
    for (relation, key) in keys(&facts.catalog) {
        let (database, schema) = (text(&facts.database.name), text(schema_name(facts, relation)));
        for (column, position) in key_columns(relation, key).into_iter().zip(1..) {
            let mut values = vec![
                ("constraint_catalog", database.clone()),
                ("constraint_schema", schema.clone()),
                ("constraint_name", text(&key.name)),
                ("table_catalog", database.clone()),
                ("table_schema", schema.clone()),
                ("table_name", text(&relation.name)),
                ("column_name", text(&column.name)),
            ];
            if with_position {
                values.push(("ordinal_position", Datum::Int32(position)));
            }
            rows.add(&values)?;
        }
    }
    Ok(())
}

pub(super) fn key_column_usage(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    usage(source, rows, true)
}

pub(super) fn constraint_column_usage(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    usage(source, rows, false)
}
