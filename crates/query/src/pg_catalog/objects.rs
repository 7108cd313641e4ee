//! Schemas, settings, sessions, and the friendly views over relations.

use std::sync::atomic::Ordering::Relaxed;

use heliosdb_types::{Datum, Oid, Result};

use super::indexes::indexes;
use super::relations::{acl, sorted};
use super::table::{Rows, Source, oid, text};
use super::{Facts, functions};
use crate::catalog::{POSTGRES_ROLE, Relation, RelationKind};
use crate::session::PARAMETERS;
use crate::statistics::{Usage, Usages};

const DEFAULT_TABLESPACE: Oid = Oid(1663);

pub(super) fn pg_namespace(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let mut schemas: Vec<_> = source.facts.catalog.schemas.values().collect();
    schemas.sort_by_key(|schema| schema.oid);
    for schema in schemas {
        rows.add(&[
            ("oid", oid(schema.oid)),
            ("nspname", text(&schema.name)),
            ("nspowner", oid(schema.owner)),
            ("nspacl", acl(source.facts, schema.facts.acl.as_ref())),
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
        let context = match parameter.needs_superuser() {
            true => "superuser",
            false if parameter.is_internal() => "internal",
            false => "user",
        };
        rows.add(&[
            ("name", text(parameter.name)),
            ("setting", text(source.facts.settings.value(at))),
            ("category", text("Preset and Client Connection Defaults")),
            ("short_desc", text(parameter.description)),
            ("context", text(context)),
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
            (None, "active") if session.tier.is_queued() => Some(("IPC", "QueryAdmission")),
            (None, "active") => None,
            (None, _) => Some(("Client", "ClientRead")),
        };
        let mut row = vec![
            ("datid", oid(session.database.0)),
            ("datname", text(session.database.1)),
            ("pid", Datum::Int32(session.pid)),
            ("usesysid", oid(session.user.0)),
            ("usename", text(session.user.1)),
            ("application_name", text(session.application_name)),
        ];
        if !super::statements::may_see(source.facts, session.user.0) {
            // Who is there, not what they do.
            row.push(("query", text("<insufficient privilege>")));
            rows.add(&row)?;
            continue;
        }
        row.extend([
            ("client_addr", session.peer.map_or(Datum::Null, |peer| text(peer.ip().to_string()))),
            ("client_port", Datum::Int32(session.peer.map_or(-1, |peer| i32::from(peer.port())))),
            ("backend_start", moment(Some(session.backend_start_micros))),
            ("xact_start", moment(session.xact_start_micros)),
            ("query_start", moment(session.query_start_micros)),
            ("state_change", moment(Some(session.state_change_micros))),
            ("wait_event_type", wait.map_or(Datum::Null, |(kind, _)| text(kind))),
            ("wait_event", wait.map_or(Datum::Null, |(_, event)| text(event))),
            ("state", text(session.state)),
            ("backend_xid", session.xid.map_or(Datum::Null, |txn| oid(Oid(txn.0 as u32)))),
            ("query_id", session.query_id.map_or(Datum::Null, Datum::Int64)),
            ("query", text(&*session.query)),
            ("backend_type", text("client backend")),
        ]);
        rows.add(&row)?;
    }
    Ok(())
}

pub(super) fn schema_name<'a>(facts: &'a Facts, relation: &Relation) -> &'a str {
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
                relation.schema == crate::catalog::PG_CATALOG && !super::shown_as_view(relation)
            }
            _ => false,
        };
        if !stored {
            continue;
        }
        let indexed = relation.table().is_some_and(|table| table.primary_key.is_some() || !table.indexes.is_empty());
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
            ("cache_size", Datum::Int64(info.cache)),
            ("last_value", if called { Datum::Int64(last) } else { Datum::Null }),
        ])?;
    }
    Ok(())
}

fn usages_here(facts: &Facts) -> Usages {
    facts.engine.usages(facts.database.id, facts.database.oid)
}

/// Reads and writes as sessions count them, rows as the shard estimates them.
pub(super) fn pg_stat_user_tables(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    let usages = usages_here(facts);
    for relation in sorted(&facts.catalog) {
        let Some(table) = relation.table().filter(|table| !table.tree.tree.is_system()) else { continue };
        let size = source.shard.tree_size(table.tree.tree);
        let usage = usages.get(&relation.oid).copied().unwrap_or_default();
        let changes = crate::analyze::changes(&usages, relation.oid);
        let modified = facts.engine.changes.since(facts.database.id, relation.oid, changes);
        let statistics = relation.statistics();
        let moment = |micros: Option<i64>| micros.map_or(Datum::Null, Datum::TimestampTz);
        let has_indexes = table.primary_key.is_some() || !table.indexes.is_empty();
        let indexed = |count: i64| if has_indexes { Datum::Int64(count) } else { Datum::Null };
        rows.add(&[
            ("relid", oid(relation.oid)),
            ("schemaname", text(schema_name(facts, relation))),
            ("relname", text(&relation.name)),
            ("n_live_tup", Datum::Int64(i64::try_from(size.rows).unwrap_or(i64::MAX))),
            ("seq_scan", Datum::Int64(usage.seq_scans)),
            ("seq_tup_read", Datum::Int64(usage.seq_rows)),
            ("idx_scan", indexed(usage.index_scans)),
            ("idx_tup_fetch", indexed(usage.index_rows)),
            ("n_tup_ins", Datum::Int64(usage.inserted)),
            ("n_tup_upd", Datum::Int64(usage.updated)),
            ("n_tup_del", Datum::Int64(usage.deleted)),
            ("n_mod_since_analyze", Datum::Int64(modified)),
            ("last_analyze", moment(statistics.and_then(|statistics| statistics.last_analyze))),
            ("last_autoanalyze", moment(statistics.and_then(|statistics| statistics.last_autoanalyze))),
            ("analyze_count", Datum::Int64(statistics.map_or(0, |statistics| statistics.analyze_count))),
            ("autoanalyze_count", Datum::Int64(statistics.map_or(0, |statistics| statistics.autoanalyze_count))),
        ])?;
    }
    Ok(())
}

/// The system's own tables have no counts.
pub(super) fn pg_stat_all_tables(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    pg_stat_user_tables(source, rows)
}

pub(super) fn pg_stat_user_indexes(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    let usages = usages_here(facts);
    for index in indexes(&facts.catalog) {
        let usage = usages.get(&index.oid).copied().unwrap_or_default();
        rows.add(&[
            ("relid", oid(index.table.oid)),
            ("indexrelid", oid(index.oid)),
            ("schemaname", text(schema_name(facts, index.table))),
            ("relname", text(&index.table.name)),
            ("indexrelname", text(index.name)),
            ("idx_scan", Datum::Int64(usage.own_scans)),
            ("idx_tup_read", Datum::Int64(usage.own_rows)),
            ("idx_tup_fetch", Datum::Int64(usage.own_rows)),
        ])?;
    }
    Ok(())
}

/// Sessions of each database, how its transactions ended, and what they read and wrote.
pub(super) fn pg_stat_database(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let sessions = source.facts.engine.sessions.list();
    for database in source.facts.catalog.databases.values() {
        let count = sessions.iter().filter(|session| session.database.0 == database.oid).count();
        let counts = source.facts.engine.statistics.database(database.id);
        let mut usage = Usage::default();
        for (_, of_one) in source.facts.engine.usages(database.id, database.oid) {
            usage += of_one;
        }
        rows.add(&[
            ("datid", oid(database.oid)),
            ("datname", text(&database.name)),
            ("numbackends", Datum::Int32(i32::try_from(count).unwrap_or(i32::MAX))),
            ("xact_commit", Datum::Int64(counts.commits.load(Relaxed))),
            ("xact_rollback", Datum::Int64(counts.rollbacks.load(Relaxed))),
            ("deadlocks", Datum::Int64(counts.deadlocks.load(Relaxed))),
            ("tup_returned", Datum::Int64(usage.seq_rows + usage.index_rows)),
            ("tup_fetched", Datum::Int64(usage.index_rows)),
            ("tup_inserted", Datum::Int64(usage.inserted)),
            ("tup_updated", Datum::Int64(usage.updated)),
            ("tup_deleted", Datum::Int64(usage.deleted)),
            ("stats_reset", Datum::TimestampTz(source.facts.engine.start_micros)),
        ])?;
    }
    Ok(())
}
