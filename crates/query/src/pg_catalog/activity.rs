//! What goes on: sessions, locks, who waits for whom.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use heliosdb_contracts::{AdvisoryKey, LockInfo, LockObject, LockOwner, ShardClient};
use heliosdb_types::{Datum, Error, Oid, Result, SqlState, TreeRef};

use super::Facts;
use super::table::{Rows, Source, array_text};
use crate::index_builds;
use crate::session::Activity;

/// Locks shown at most.
const LOCKS_MAX: usize = 100_000;

fn text(value: impl Into<String>) -> Datum {
    Datum::Text(value.into())
}

fn oid(oid: Oid) -> Datum {
    Datum::Int64(i64::from(oid.0))
}

/// What each waiting session waits for.
pub(super) fn waits(shard: &dyn ShardClient) -> HashMap<LockOwner, &'static str> {
    let waiting = shard.locks(LOCKS_MAX).into_iter().filter(|lock| !lock.granted);
    let event = |lock: LockInfo| match lock.object {
        LockObject::Tree(_) => (lock.owner, "relation"),
        LockObject::Row(..) => (lock.owner, "tuple"),
        LockObject::Advisory(_) => (lock.owner, "advisory"),
    };
    waiting.map(event).collect()
}

pub(super) fn pg_stat_progress_create_index(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let count = |value: u64| Datum::Int64(i64::try_from(value).unwrap_or(i64::MAX));
    let builds = source.facts.engine.index_builds.lock().clone();
    for (pid, build) in builds.into_iter().filter(|(_, build)| build.command != index_builds::DROP) {
        let lockers = build.writers();
        let done = build.rows.rows_done.load(Ordering::Relaxed);
        // The total is an estimate.
        let total = build.rows.rows_total.load(Ordering::Relaxed).max(done);
        rows.add(&[
            ("pid", Datum::Int32(pid)),
            ("datid", oid(build.database.0)),
            ("datname", text(build.database.1)),
            ("relid", oid(build.table)),
            ("index_relid", oid(build.index)),
            ("command", text(build.command)),
            ("phase", text(build.phase)),
            ("lockers_total", count(lockers.0)),
            ("lockers_done", count(lockers.1)),
            ("current_locker_pid", Datum::Int64(0)),
            ("blocks_total", Datum::Int64(0)),
            ("blocks_done", Datum::Int64(0)),
            ("tuples_total", count(total)),
            ("tuples_done", count(done)),
            ("partitions_total", Datum::Int64(0)),
            ("partitions_done", Datum::Int64(0)),
        ])?;
    }
    Ok(())
}

pub(super) fn pg_stat_progress_basebackup(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let count = |value: u64| Datum::Int64(i64::try_from(value).unwrap_or(i64::MAX));
    let backups = source.facts.engine.backups.lock().clone();
    for (pid, backup) in backups {
        let mut row = vec![("pid", Datum::Int32(pid))];
        let session = source.facts.engine.sessions.find(pid);
        if session.is_some_and(|session| super::statements::may_see(source.facts, session.user.0)) {
            row.extend([
                ("phase", text("streaming database files")),
                ("backup_total", count(backup.total)),
                ("backup_streamed", count(backup.streamed.load(Ordering::Relaxed))),
                // There are no tablespaces beside the one.
                ("tablespaces_total", Datum::Int64(1)),
                ("tablespaces_streamed", Datum::Int64(0)),
            ]);
        }
        rows.add(&row)?;
    }
    Ok(())
}

/// How far running statements are with the files they read.
pub(super) fn helios_progress(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let count = |value: u64| Datum::Int64(i64::try_from(value).unwrap_or(i64::MAX));
    for session in source.facts.engine.sessions.list() {
        let progress = session.tier.progress().get();
        if session.state != "active" || progress.bytes_total == 0 {
            continue;
        }
        let mut row = vec![
            ("pid", Datum::Int32(session.pid)),
            ("datid", oid(session.database.0)),
            ("datname", text(&session.database.1)),
        ];
        if super::statements::may_see(source.facts, session.user.0) {
            row.extend([
                ("bytes_processed", count(progress.bytes)),
                ("bytes_total", count(progress.bytes_total)),
                ("tuples_processed", count(progress.rows)),
            ]);
        }
        rows.add(&row)?;
    }
    Ok(())
}

pub(super) fn pg_stat_progress_copy(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let count = |value: u64| Datum::Int64(i64::try_from(value).unwrap_or(i64::MAX));
    let copies = source.facts.engine.copies.lock().clone();
    for (pid, copy) in copies {
        let [bytes, tuples, excluded] = copy.counts();
        let mut row =
            vec![("pid", Datum::Int32(pid)), ("datid", oid(copy.database.0)), ("datname", text(&copy.database.1))];
        let session = source.facts.engine.sessions.find(pid);
        // As in PostgreSQL: others see that there is one, and no more.
        if session.is_some_and(|session| super::statements::may_see(source.facts, session.user.0)) {
            row.extend([
                ("relid", oid(copy.table)),
                ("command", text(copy.command)),
                ("type", text(copy.kind())),
                ("bytes_processed", count(bytes)),
                // A client does not say how much it will send.
                ("bytes_total", count(copy.total())),
                ("tuples_processed", count(tuples)),
                ("tuples_excluded", count(excluded)),
            ]);
        }
        rows.add(&row)?;
    }
    Ok(())
}

pub(super) fn pg_locks(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let catalog = &source.facts.catalog;
    let here = source.facts.database.id;
    let tree_of = |relation: &std::sync::Arc<crate::catalog::Relation>| {
        let tree = relation.table().map(|table| table.tree.tree).or_else(|| relation.lock_tree(here))?;
        Some((tree, relation.oid))
    };
    let relations: HashMap<TreeRef, Oid> = catalog.relations.values().filter_map(tree_of).collect();
    let databases: HashMap<_, Oid> = catalog.databases.values().map(|database| (database.id, database.oid)).collect();
    for LockInfo { owner, object, mode, granted, fast } in source.shard.locks(LOCKS_MAX) {
        let pid = owner.pid();
        let mut row = vec![
            ("pid", pid.map_or(Datum::Null, Datum::Int32)),
            ("virtualtransaction", text(pid.map_or_else(|| owner.to_string(), |pid| format!("{pid}/0")))),
            ("mode", text(mode.name())),
            ("granted", Datum::Bool(granted)),
            ("fastpath", Datum::Bool(fast)),
        ];
        let database = |id| databases.get(&id).map_or(Datum::Null, |found| oid(*found));
        match object {
            LockObject::Tree(tree) | LockObject::Row(tree, _) => {
                let kind = if matches!(object, LockObject::Tree(_)) { "relation" } else { "tuple" };
                row.push(("locktype", text(kind)));
                row.push(("database", database(tree.database)));
                row.push(("relation", relations.get(&tree).map_or(Datum::Null, |found| oid(*found))));
            }
            LockObject::Advisory(AdvisoryKey { database: id, class, object, kind }) => {
                row.push(("locktype", text("advisory")));
                row.push(("database", database(id)));
                row.push(("classid", oid(Oid(class))));
                row.push(("objid", oid(Oid(object))));
                row.push(("objsubid", Datum::Int16(kind.cast_signed())));
            }
        }
        rows.add(&row)?;
    }
    let builds = source.facts.engine.index_builds.lock().clone();
    for (pid, _) in builds.into_iter().filter(|(_, build)| build.waits()) {
        rows.add(&[
            ("locktype", text("virtualxid")),
            ("virtualtransaction", text(format!("{pid}/0"))),
            ("pid", Datum::Int32(pid)),
            ("mode", text("ShareLock")),
            ("granted", Datum::Bool(false)),
            ("fastpath", Datum::Bool(false)),
        ])?;
    }
    Ok(())
}

pub(super) fn pg_cursors(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    for (name, cursor) in source.facts.cursors.lock().iter() {
        rows.add(&[
            ("name", text(name)),
            ("statement", text(&*cursor.statement)),
            ("is_holdable", Datum::Bool(cursor.hold)),
            ("is_binary", Datum::Bool(cursor.binary)),
            ("is_scrollable", Datum::Bool(cursor.scroll)),
            ("creation_time", Datum::TimestampTz(cursor.created_micros)),
        ])?;
    }
    Ok(())
}

/// `{1,2}`: the process ids a session waits for.
pub(super) fn blocking_pids(facts: &Facts, pid: i32) -> Datum {
    let session = facts.engine.sessions.find(pid);
    let blockers = session.map(|session| facts.engine.shard.blockers(session.owner)).unwrap_or_default();
    let pids = blockers.into_iter().filter_map(LockOwner::pid).map(|pid| pid.to_string());
    text(array_text(pids))
}

fn target(facts: &Facts, pid: i32, doing: &str) -> Result<Option<Activity>> {
    let Some(session) = facts.engine.sessions.find(pid) else {
        // PostgreSQL warns and says false.
        return Ok(None);
    };
    if facts.user.superuser || session.user.0 == facts.user.oid {
        return Ok(Some(session));
    }
    let message = format!("must be a member of the role whose {doing} or member of pg_signal_backend");
    Err(Error::invalid(SqlState::INSUFFICIENT_PRIVILEGE, message))
}

pub(super) fn cancel_backend(facts: &Facts, pid: i32) -> Result<Datum> {
    let session = target(facts, pid, "query is being canceled")?;
    if let Some(session) = &session {
        heliosdb_contracts::Canceller::cancel(&*session.canceller);
    }
    Ok(Datum::Bool(session.is_some()))
}

pub(super) fn terminate_backend(facts: &Facts, pid: i32) -> Result<Datum> {
    let session = target(facts, pid, "process is being terminated")?;
    if let Some(session) = &session {
        session.canceller.terminate();
    }
    Ok(Datum::Bool(session.is_some()))
}
