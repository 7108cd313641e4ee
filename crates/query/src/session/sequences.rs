//! Sequences: values handed out from ranges reserved at the shard.
//!
//! A counter at the shard counts steps from the sequence's first possible value (`min` ascending, `max` descending), so
//! that 0, what a new counter says, is the start of most sequences. A range of 32 values is reserved at a time and shared
//! by all sessions: values come out in order, and a crash skips at most one range.

use std::collections::HashMap;
use std::sync::Arc;

use heliosdb_contracts::ShardClient;
use heliosdb_types::{Error, Oid, Result, SequenceId, SqlState};
use parking_lot::Mutex;

use crate::access::{Rights, denied};
use crate::catalog::{CatalogSnapshot, Privileges, Relation, RelationKind, SequenceInfo};
use crate::func::SequenceSource;

/// Values reserved at once, as PostgreSQL logs them.
const RANGE: u64 = 32;

/// Steps reserved and not yet handed out.
#[derive(Clone, Copy, Debug, Default)]
struct Range {
    next: u64,
    end: u64,
}

/// Every sequence's reserved range; one per engine.
#[derive(Default)]
pub(crate) struct SequenceCache {
    ranges: Mutex<HashMap<SequenceId, Arc<Mutex<Range>>>>,
}

impl SequenceInfo {
    /// Steps from the first possible value to `value`.
    pub(crate) fn steps_to(&self, value: i64) -> u64 {
        if self.increment > 0 { value.abs_diff(self.min) } else { value.abs_diff(self.max) }
    }

    fn value_at(&self, steps: u64) -> Option<i64> {
        let value = if self.increment > 0 {
            i128::from(self.min) + i128::from(steps)
        } else {
            i128::from(self.max) - i128::from(steps)
        };
        i64::try_from(value).ok().filter(|value| (self.min..=self.max).contains(value))
    }
}

impl SequenceCache {
    fn range(&self, sequence: SequenceId) -> Arc<Mutex<Range>> {
        Arc::clone(self.ranges.lock().entry(sequence).or_default())
    }

    fn next(&self, shard: &dyn ShardClient, name: &str, info: &SequenceInfo) -> Result<i64> {
        let range = self.range(info.id);
        let mut range = range.lock();
        let step = info.increment.unsigned_abs();
        if range.next >= range.end {
            let count = step.saturating_mul(RANGE.max(info.cache.unsigned_abs()));
            range.next = shard.reserve_sequence(info.id, count)?;
            range.end = range.next.saturating_add(count);
        }
        if let Some(value) = info.value_at(range.next) {
            range.next = range.next.saturating_add(step);
            return Ok(value);
        }
        if !info.cycle {
            // Given back, so that failing again and again does not run the counter away.
            shard.set_sequence(info.id, range.next)?;
            range.end = range.next;
            let (bound, limit) = if info.increment > 0 { ("maximum", info.max) } else { ("minimum", info.min) };
            return Err(Error::invalid(
                SqlState::SEQUENCE_LIMIT_EXCEEDED,
                format!("nextval: reached {bound} value of sequence \"{name}\" ({limit})"),
            ));
        }
        shard.set_sequence(info.id, step)?;
        *range = Range { next: step, end: step };
        Ok(if info.increment > 0 { info.min } else { info.max })
    }

    /// Makes `value` the next one (or the last one, if `is_called`).
    pub(crate) fn set(&self, shard: &dyn ShardClient, info: &SequenceInfo, value: i64, is_called: bool) -> Result<()> {
        let range = self.range(info.id);
        let mut range = range.lock();
        let step = if is_called { info.increment.unsigned_abs() } else { 0 };
        let next = info.steps_to(value).saturating_add(step);
        shard.set_sequence(info.id, next)?;
        *range = Range { next, end: next };
        Ok(())
    }

    /// Values held to be handed out that the shard does not know of; `None` if all is as it must be.
    pub(crate) fn unreserved(&self, shard: &dyn ShardClient, info: &SequenceInfo) -> Result<Option<u64>> {
        let range = self.range(info.id);
        let range = range.lock();
        let reserved = shard.reserve_sequence(info.id, 0)?;
        let beyond = if range.next < range.end { range.end.saturating_sub(reserved) } else { 0 };
        Ok(Some(beyond / info.increment.unsigned_abs().max(1)).filter(|values| *values > 0))
    }

    /// The last value handed out and whether there was one, as `SELECT last_value, is_called FROM seq` shows them.
    pub(crate) fn last(&self, shard: &dyn ShardClient, info: &SequenceInfo) -> Result<(i64, bool)> {
        let range = self.range(info.id);
        let range = range.lock();
        let next = if range.next < range.end { range.next } else { shard.reserve_sequence(info.id, 0)? };
        let step = info.increment.unsigned_abs();
        if next == info.steps_to(info.start) {
            return Ok((info.start, false));
        }
        match next.checked_sub(step).and_then(|steps| info.value_at(steps)) {
            Some(value) => Ok((value, true)),
            // Set to a value that has none before it.
            None => Ok((info.value_at(next).unwrap_or(info.start), false)),
        }
    }
}

/// One session's view of sequences: `currval` and `lastval` are its own.
pub(crate) struct SessionSequences {
    shard: Arc<dyn ShardClient>,
    cache: Arc<SequenceCache>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    catalog: Arc<CatalogSnapshot>,
    values: HashMap<Oid, i64>,
    last: Option<Oid>,
    read_only: bool,
    user: Oid,
}

impl SessionSequences {
    pub fn new(shard: Arc<dyn ShardClient>, cache: Arc<SequenceCache>) -> SessionSequences {
        SessionSequences { shard, cache, seen: Mutex::default() }
    }

    /// The catalog the running statement was bound with.
    pub fn use_catalog(&self, catalog: &Arc<CatalogSnapshot>, user: Oid, read_only: bool) {
        let mut seen = self.seen.lock();
        seen.catalog = Arc::clone(catalog);
        seen.read_only = read_only;
        seen.user = user;
    }

    /// DISCARD SEQUENCES.
    pub fn forget(&self) {
        let mut seen = self.seen.lock();
        seen.values.clear();
        seen.last = None;
    }

    /// The sequence, if the user has one of these privileges on it.
    fn sequence(&self, oid: Oid, any_of: Privileges) -> Result<Arc<Relation>> {
        let seen = self.seen.lock();
        let relation = seen.catalog.relations.get(&oid).ok_or_else(|| {
            Error::invalid(SqlState::UNDEFINED_TABLE, format!("could not open relation with OID {oid}"))
        })?;
        match relation.kind {
            RelationKind::Sequence(_) => {
                let rights = Rights::of(&seen.catalog, seen.user);
                let allowed = !(rights.on_relation(relation) & any_of).is_empty()
                    || serves_inserts(&seen.catalog, &rights, relation);
                if allowed { Ok(Arc::clone(relation)) } else { Err(denied("sequence", &relation.name)) }
            }
            _ => Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, format!("\"{}\" is not a sequence", relation.name))),
        }
    }

    fn may_write(&self, function: &str) -> Result<()> {
        if self.seen.lock().read_only {
            let message = format!("cannot execute {function}() in a read-only transaction");
            return Err(Error::invalid(SqlState::READ_ONLY_SQL_TRANSACTION, message));
        }
        Ok(())
    }
}

/// An identity column's sequence is used by whoever may insert into its table, without a privilege of its own.
fn serves_inserts(catalog: &CatalogSnapshot, rights: &Rights<'_>, sequence: &Relation) -> bool {
    let RelationKind::Sequence(SequenceInfo { owned_by: Some((table, attribute)), .. }) = &sequence.kind else {
        return false;
    };
    let Some(table) = catalog.relations.get(table) else { return false };
    let identity = |column: &&crate::catalog::Column| {
        column.attribute == *attribute && column.identity != crate::catalog::Identity::No
    };
    table.columns.iter().any(|column| identity(&column)) && rights.has_on_any_column(table, Privileges::INSERT)
}

fn info(relation: &Relation) -> Result<&SequenceInfo> {
    match &relation.kind {
        RelationKind::Sequence(info) => Ok(info),
        _ => Err(Error::internal("not a sequence")),
    }
}

impl SequenceSource for SessionSequences {
    fn nextval(&self, sequence: Oid) -> Result<i64> {
        self.may_write("nextval")?;
        let relation = self.sequence(sequence, Privileges::USAGE | Privileges::UPDATE)?;
        let value = self.cache.next(&*self.shard, &relation.name, info(&relation)?)?;
        let mut seen = self.seen.lock();
        seen.values.insert(sequence, value);
        seen.last = Some(sequence);
        Ok(value)
    }

    fn currval(&self, sequence: Oid) -> Result<i64> {
        let relation = self.sequence(sequence, Privileges::USAGE | Privileges::SELECT)?;
        self.seen.lock().values.get(&sequence).copied().ok_or_else(|| {
            Error::invalid(
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("currval of sequence \"{}\" is not yet defined in this session", relation.name),
            )
        })
    }

    fn lastval(&self) -> Result<i64> {
        let seen = self.seen.lock();
        seen.last.and_then(|sequence| seen.values.get(&sequence).copied()).ok_or_else(|| {
            Error::invalid(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "lastval is not yet defined in this session")
        })
    }

    fn setval(&self, sequence: Oid, value: i64, is_called: bool) -> Result<i64> {
        self.may_write("setval")?;
        let relation = self.sequence(sequence, Privileges::UPDATE)?;
        let info = info(&relation)?;
        if !(info.min..=info.max).contains(&value) {
            return Err(Error::invalid(
                SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
                format!(
                    "setval: value {value} is out of bounds for sequence \"{}\" ({}..{})",
                    relation.name, info.min, info.max
                ),
            ));
        }
        self.cache.set(&*self.shard, info, value, is_called)?;
        if is_called {
            self.seen.lock().values.insert(sequence, value);
        }
        Ok(value)
    }
}
