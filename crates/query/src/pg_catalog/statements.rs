//! `pg_stat_statements`: what is counted of statements, by their text.

use heliosdb_types::{Datum, Error, Oid, Result, SqlState};

use super::Facts;
use super::table::{Rows, Source, oid, text};
use crate::access::Rights;
use crate::statistics::Timing;

const READ_ALL_STATS: Oid = Oid(3375);

/// Whether the user may see what this one does.
pub(super) fn may_see(facts: &Facts, owner: Oid) -> bool {
    owner == facts.user.oid || {
        let rights = Rights::of(&facts.catalog, facts.user.oid);
        rights.acts_for(READ_ALL_STATS) || rights.acts_for(owner)
    }
}

pub(super) fn pg_stat_statements(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    for entry in facts.engine.statistics.list() {
        let counts = entry.counts();
        if counts.calls.count == 0 {
            // Prepared, never run.
            continue;
        }
        let mine = may_see(facts, entry.key.user);
        let number = |value: f64| Datum::Float64(value);
        let Timing { count, total_ms, min_ms, max_ms, mean_ms, .. } = counts.calls;
        rows.add(&[
            ("userid", oid(entry.key.user)),
            ("dbid", oid(entry.key.database)),
            ("toplevel", Datum::Bool(true)),
            ("queryid", if mine { Datum::Int64(entry.key.query) } else { Datum::Null }),
            ("query", text(if mine { &*entry.text } else { "<insufficient privilege>" })),
            ("plans", Datum::Int64(counts.plans.count)),
            ("total_plan_time", number(counts.plans.total_ms)),
            ("min_plan_time", number(counts.plans.min_ms)),
            ("max_plan_time", number(counts.plans.max_ms)),
            ("mean_plan_time", number(counts.plans.mean_ms)),
            ("stddev_plan_time", number(counts.plans.stddev_ms())),
            ("calls", Datum::Int64(count)),
            ("total_exec_time", number(total_ms)),
            ("min_exec_time", number(min_ms)),
            ("max_exec_time", number(max_ms)),
            ("mean_exec_time", number(mean_ms)),
            ("stddev_exec_time", number(counts.calls.stddev_ms())),
            ("rows", Datum::Int64(counts.rows)),
            ("tier", text(counts.tier.name())),
        ])?;
    }
    Ok(())
}

pub(super) fn pg_stat_statements_info(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let (dealloc, reset) = source.facts.engine.statistics.info();
    rows.add(&[("dealloc", Datum::Int64(dealloc)), ("stats_reset", Datum::TimestampTz(reset))])
}

/// `pg_stat_statements_reset(userid, dbid, queryid)`: 0 stands for all.
pub(super) fn reset(facts: &Facts, user: Oid, database: Oid, query: i64) -> Result<Datum> {
    if !facts.user.superuser {
        let message = "permission denied for function pg_stat_statements_reset";
        return Err(Error::invalid(SqlState::INSUFFICIENT_PRIVILEGE, message));
    }
    facts.engine.statistics.reset(user, database, query, facts.engine.options.clock.now_micros());
    Ok(Datum::Text(String::new()))
}
