//! A scan's predicates, compiled once: the same tests for rows in memory and for encoded blocks.

use std::sync::atomic::{AtomicU64, Ordering};

use heliosdb_contracts::{ColumnPredicate, CompareOp, PredicateOp};
use heliosdb_hcc::{Filter, Predicate};
use heliosdb_types::{ColumnId, Error, Result};

use crate::shape::TreeState;

pub(crate) struct ColumnFilter {
    pub column: ColumnId,
    pub filter: Filter,
    pub tally: Tally,
}

/// How a filter does, over all partitions of a scan: which filters are applied first, and whether advice is followed. Counts of
/// several threads are added as they come; nothing depends on them but the time a scan takes.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Whoever asks tests again, so the filter may be left away.
    advice: bool,
    seen: AtomicU64,
    kept: AtomicU64,
}

/// Rows a filter has to have seen before its share counts.
const TRIAL_ROWS: u64 = 32 * 1024;
/// Advice that keeps more than this many of 100 rows costs more than it saves.
const ADVICE_KEEPS_MAX: u64 = 70;
/// Shares are compared in this many steps; within a step, the smaller column goes first.
const SHARE_STEPS: u64 = 8;

impl Tally {
    pub fn of_advice() -> Tally {
        Tally { advice: true, ..Tally::default() }
    }

    pub fn add(&self, seen: usize, kept: usize) {
        self.seen.fetch_add(seen as u64, Ordering::Relaxed);
        self.kept.fetch_add(kept as u64, Ordering::Relaxed);
    }

    /// The step of the share of rows that pass, lower for filters that leave less; a middle one until it is known.
    pub fn rank(&self) -> u64 {
        match self.counts() {
            Some((seen, kept)) => kept * SHARE_STEPS / seen,
            None => SHARE_STEPS / 2,
        }
    }

    pub fn is_worthless(&self) -> bool {
        self.advice && self.counts().is_some_and(|(seen, kept)| kept * 100 > seen * ADVICE_KEEPS_MAX)
    }

    fn counts(&self) -> Option<(u64, u64)> {
        let seen = self.seen.load(Ordering::Relaxed);
        (seen >= TRIAL_ROWS).then(|| (seen, self.kept.load(Ordering::Relaxed)))
    }
}

pub(crate) fn compile(predicates: &[ColumnPredicate], state: &TreeState) -> Result<Vec<ColumnFilter>> {
    let mut compiled: Vec<ColumnFilter> = Vec::with_capacity(predicates.len());
    for predicate in predicates {
        let column = predicate.column;
        let physical =
            state.physical(column).ok_or_else(|| Error::internal(format!("a predicate on unknown column {column}")))?;
        let filter = Filter::compile(&translate(&predicate.op), physical)?;
        // Both ends of a range, say, in one pass over the column.
        let joined = compiled.iter_mut().filter(|known| known.column == column);
        let joined = joined.filter_map(|known| Some((known.filter.and(&filter)?, known))).next();
        match joined {
            Some((both, known)) => known.filter = both,
            None => {
                let tally = Tally { advice: matches!(predicate.op, PredicateOp::Member(_)), ..Tally::default() };
                compiled.push(ColumnFilter { column, filter, tally });
            }
        }
    }
    Ok(compiled)
}

pub(super) fn translate(op: &PredicateOp) -> Predicate<'_> {
    match op {
        PredicateOp::Compare(op, datum) => {
            let op = match op {
                CompareOp::Eq => heliosdb_hcc::CompareOp::Eq,
                CompareOp::NotEq => heliosdb_hcc::CompareOp::NotEq,
                CompareOp::Lt => heliosdb_hcc::CompareOp::Lt,
                CompareOp::LtEq => heliosdb_hcc::CompareOp::LtEq,
                CompareOp::Gt => heliosdb_hcc::CompareOp::Gt,
                CompareOp::GtEq => heliosdb_hcc::CompareOp::GtEq,
            };
            Predicate::Compare(op, datum)
        }
        PredicateOp::In(list) => Predicate::In(list),
        PredicateOp::IsNull => Predicate::IsNull,
        PredicateOp::IsNotNull => Predicate::IsNotNull,
        PredicateOp::StartsWith(prefix) => Predicate::StartsWith(prefix),
        PredicateOp::Contains(part) => Predicate::Contains(part),
        PredicateOp::Member(set) => Predicate::Member(set),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_that_leave_less_go_first_and_worthless_advice_goes() {
        let tally = |advice, seen, kept| {
            let tally = Tally { advice, ..Tally::default() };
            tally.add(seen, kept);
            tally
        };
        let unknown = tally(true, 1000, 1000);
        assert!(!unknown.is_worthless());
        let (strong, weak) = (tally(true, 100_000, 100), tally(true, 100_000, 99_000));
        assert!(strong.rank() < unknown.rank() && unknown.rank() < weak.rank());
        assert!(weak.is_worthless() && !strong.is_worthless() && !tally(false, 100_000, 99_000).is_worthless());
    }
}
