//! How often tables and indexes are read and written: behind `pg_stat_user_tables` and its kin.
//!
//! Each session counts for itself, under a lock nobody else takes but who looks at the views; they add up what all sessions
//! have counted, and what those that have ended left behind. So counts are up to date, include transactions that are
//! running or were rolled back, and are gone after a restart.

use std::collections::HashMap;
use std::ops::AddAssign;

use heliosdb_types::{DatabaseId, Oid};
use parking_lot::Mutex;

use crate::catalog::Relation;

/// Objects that counts are kept of once their sessions have ended; beyond it those of the longest list start anew.
const LEFT_MAX: usize = 200_000;

/// Objects a session counts for itself; what it counted of more is moved to the counts of ended sessions.
const OWN_MAX: usize = 4_096;

/// Of a table, or (the last two) of an index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub seq_scans: i64,
    pub seq_rows: i64,
    pub index_scans: i64,
    pub index_rows: i64,
    pub inserted: i64,
    pub updated: i64,
    pub deleted: i64,
    pub own_scans: i64,
    pub own_rows: i64,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Usage) {
        let Usage { seq_scans, seq_rows, index_scans, index_rows, inserted, updated, deleted, own_scans, own_rows } =
            other;
        self.seq_scans += seq_scans;
        self.seq_rows += seq_rows;
        self.index_scans += index_scans;
        self.index_rows += index_rows;
        self.inserted += inserted;
        self.updated += updated;
        self.deleted += deleted;
        self.own_scans += own_scans;
        self.own_rows += own_rows;
    }
}

/// By tables' and indexes' OIDs.
pub(crate) type Usages = HashMap<Oid, Usage>;

/// What a session has counted.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Usages>);

impl Tally {
    pub fn add(&self, object: Oid, usage: Usage) {
        *self.0.lock().entry(object).or_default() += usage;
    }

    /// A table was read to its end, or as far as anybody wanted.
    pub fn scanned(&self, table: Oid, scans: i64, rows: i64) {
        self.add(table, Usage { seq_scans: scans, seq_rows: rows, ..Usage::default() });
    }

    /// Rows of a table were found through an index.
    pub fn found(&self, table: Oid, index: Oid, scans: i64, rows: i64) {
        let usage = Usage { index_scans: scans, index_rows: rows, ..Usage::default() };
        let mut usages = self.0.lock();
        *usages.entry(table).or_default() += usage;
        *usages.entry(index).or_default() += Usage { own_scans: scans, own_rows: rows, ..Usage::default() };
    }

    pub fn inserted(&self, table: Oid, rows: usize) {
        self.add(table, Usage { inserted: rows as i64, ..Usage::default() });
    }

    pub fn updated(&self, table: Oid, rows: usize) {
        self.add(table, Usage { updated: rows as i64, ..Usage::default() });
    }

    pub fn deleted(&self, table: Oid, rows: usize) {
        self.add(table, Usage { deleted: rows as i64, ..Usage::default() });
    }

    /// Whether it has become so long that it should be moved to [`LeftUsages`]. A single statement adds no more objects than it names.
    pub fn is_long(&self) -> bool {
        self.0.lock().len() > OWN_MAX
    }

    pub fn add_to(&self, usages: &mut Usages) {
        for (object, usage) in self.0.lock().iter() {
            *usages.entry(*object).or_default() += *usage;
        }
    }
}

/// The OID of an index by its name.
pub(crate) fn index_oid(relation: &Relation, name: &str) -> Option<Oid> {
    let table = relation.table()?;
    let key = table.primary_key.as_ref().filter(|key| key.name == name).map(|key| key.oid);
    key.or_else(|| table.indexes.iter().find(|index| index.name == name).map(|index| index.oid))
}

/// What sessions that have ended counted.
#[derive(Debug, Default)]
pub(crate) struct LeftUsages(Mutex<HashMap<DatabaseId, Usages>>);

impl LeftUsages {
    pub fn add(&self, database: DatabaseId, tally: &Tally) {
        let mut left = self.0.lock();
        if left.values().map(HashMap::len).sum::<usize>() > LEFT_MAX
            && let Some(longest) = left.values_mut().max_by_key(|usages| usages.len())
        {
            longest.clear();
        }
        tally.add_to(left.entry(database).or_default());
    }

    /// Moves a tally here. Whoever adds up both meanwhile may miss it, for that moment.
    pub fn take(&self, database: DatabaseId, tally: &Tally) {
        let taken = Tally(Mutex::new(std::mem::take(&mut *tally.0.lock())));
        self.add(database, &taken);
    }

    pub fn of(&self, database: DatabaseId) -> Usages {
        self.0.lock().get(&database).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_sessions_counted_adds_up() {
        let (left, first, second) = (LeftUsages::default(), Tally::default(), Tally::default());
        first.inserted(Oid(20_000), 3);
        first.found(Oid(20_000), Oid(20_001), 1, 2);
        second.inserted(Oid(20_000), 4);
        left.add(DatabaseId(5), &first);
        left.add(DatabaseId(5), &second);
        left.add(DatabaseId(6), &second);
        let usages = left.of(DatabaseId(5));
        assert_eq!(usages[&Oid(20_000)], Usage { inserted: 7, index_scans: 1, index_rows: 2, ..Usage::default() });
        assert_eq!(usages[&Oid(20_001)], Usage { own_scans: 1, own_rows: 2, ..Usage::default() });
        assert_eq!(left.of(DatabaseId(6)).len(), 1);
    }

    #[test]
    fn a_long_tally_is_moved_and_nothing_is_lost() {
        let (left, own) = (LeftUsages::default(), Tally::default());
        for table in 0..10_000 {
            own.inserted(Oid(20_000 + table % 5_000), 1);
            if own.is_long() {
                left.take(DatabaseId(5), &own);
            }
        }
        assert!(own.0.lock().len() <= OWN_MAX);
        let mut usages = left.of(DatabaseId(5));
        own.add_to(&mut usages);
        assert_eq!(usages.len(), 5_000);
        assert!(usages.values().all(|usage| usage.inserted == 2));
    }
}
