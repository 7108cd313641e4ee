//! All statements that are counted, in a few maps so that sessions seldom meet.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use heliosdb_types::{DatabaseId, Oid};
use parking_lot::Mutex;

use super::entry::{Entry, Key};
use super::text::normalised;
use super::usage::LeftUsages;

/// As the extension's default, `pg_stat_statements.max`.
pub(crate) const STATEMENTS_MAX: usize = 5_000;
const SHARDS: usize = 16;
/// What usage is multiplied with when there is no room.
const DECAY: f64 = 0.99;

/// How a database's transactions ended.
#[derive(Debug, Default)]
pub(crate) struct DatabaseCounts {
    pub commits: AtomicI64,
    pub rollbacks: AtomicI64,
    pub deadlocks: AtomicI64,
}

impl DatabaseCounts {
    pub fn add(counter: &AtomicI64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// The counted statements of an engine.
pub(crate) struct Statistics {
    shards: [Mutex<HashMap<Key, Arc<Entry>>>; SHARDS],
    count: AtomicUsize,
    /// One session makes room at a time.
    making_room: Mutex<()>,
    /// How often room was made.
    evictions: AtomicI64,
    reset_micros: AtomicI64,
    databases: Mutex<HashMap<DatabaseId, Arc<DatabaseCounts>>>,
    /// How tables and indexes were used.
    pub usages: LeftUsages,
}

impl Statistics {
    pub fn new(now_micros: i64) -> Statistics {
        Statistics {
            shards: std::array::from_fn(|_| Mutex::default()),
            count: AtomicUsize::new(0),
            making_room: Mutex::new(()),
            evictions: AtomicI64::new(0),
            reset_micros: AtomicI64::new(now_micros),
            databases: Mutex::default(),
            usages: LeftUsages::default(),
        }
    }

    fn shard(&self, key: &Key) -> &Mutex<HashMap<Key, Arc<Entry>>> {
        // The number's bits are mixed already.
        let at = (key.query.cast_unsigned() >> 32) as usize % SHARDS;
        self.shards.get(at).expect("a remainder")
    }

    /// The entry of a statement, made if it is new.
    pub fn entry(&self, key: Key, statement: &str) -> Arc<Entry> {
        if let Some(found) = self.shard(&key).lock().get(&key) {
            return Arc::clone(found);
        }
        if self.count.load(Ordering::Relaxed) >= STATEMENTS_MAX {
            self.make_room();
        }
        let entry = Arc::new(Entry::new(key, &normalised(statement)));
        let mut shard = self.shard(&key).lock();
        let kept = shard.entry(key).or_insert_with(|| {
            self.count.fetch_add(1, Ordering::Relaxed);
            entry
        });
        Arc::clone(kept)
    }

    /// The least used twentieth goes.
    fn make_room(&self) {
        let Some(_alone) = self.making_room.try_lock() else { return };
        let mut used: Vec<(f64, Key)> = Vec::with_capacity(STATEMENTS_MAX);
        for entry in self.list() {
            let mut counts = entry.counts.lock();
            counts.usage *= DECAY;
            used.push((counts.usage, entry.key));
        }
        used.sort_by(|a, b| a.0.total_cmp(&b.0));
        used.truncate((used.len() / 20).max(10));
        self.remove(used.into_iter().map(|(_, key)| key));
        self.evictions.fetch_add(1, Ordering::Relaxed);
    }

    fn remove(&self, keys: impl Iterator<Item = Key>) {
        for key in keys {
            if let Some(entry) = self.shard(&key).lock().remove(&key) {
                entry.remove();
                self.count.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// All entries, in no order.
    pub fn list(&self) -> Vec<Arc<Entry>> {
        self.shards.iter().flat_map(|shard| shard.lock().values().cloned().collect::<Vec<_>>()).collect()
    }

    /// A database's counts; there are as many as databases that were ever connected to.
    pub fn database(&self, database: DatabaseId) -> Arc<DatabaseCounts> {
        Arc::clone(self.databases.lock().entry(database).or_default())
    }

    /// Forgets what fits; 0 fits everything.
    pub fn reset(&self, user: Oid, database: Oid, query: i64, now_micros: i64) {
        let all = user.0 == 0 && database.0 == 0 && query == 0;
        let fits = |key: &Key| {
            (user.0 == 0 || key.user == user)
                && (database.0 == 0 || key.database == database)
                && (query == 0 || key.query == query)
        };
        let keys: Vec<Key> = self.list().iter().map(|entry| entry.key).filter(fits).collect();
        self.remove(keys.into_iter());
        if all {
            self.evictions.store(0, Ordering::Relaxed);
            self.reset_micros.store(now_micros, Ordering::Relaxed);
        }
    }

    /// How often room was made since everything was forgotten, and when that was.
    pub fn info(&self) -> (i64, i64) {
        (self.evictions.load(Ordering::Relaxed), self.reset_micros.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::statistics::{Tier, fingerprint};

    fn entry(statistics: &Statistics, text: &str) -> Arc<Entry> {
        statistics.entry(Key { user: Oid(10), database: Oid(5), query: fingerprint(text) }, text)
    }

    #[test]
    fn the_least_used_go_and_what_is_used_stays() {
        let statistics = Statistics::new(0);
        let used = entry(&statistics, "select used from t");
        for number in 0..3 * STATEMENTS_MAX {
            entry(&statistics, &format!("select column_{number} from t"));
            used.executed(Duration::from_millis(1), 1, Tier::Direct);
        }
        assert!(statistics.list().len() <= STATEMENTS_MAX);
        assert!(statistics.info().0 > 10);
        assert!(used.serves(Oid(10), Oid(5)), "the most used went");
        assert_eq!(entry(&statistics, "SELECT used FROM t").counts().calls.count, 3 * STATEMENTS_MAX as i64);
    }

    #[test]
    fn reset_forgets_what_fits() {
        let statistics = Statistics::new(0);
        let (one, two) = (entry(&statistics, "select 1"), entry(&statistics, "select a, 1"));
        statistics.reset(Oid(0), Oid(0), one.key.query, 9);
        assert!(!one.serves(Oid(10), Oid(5)) && two.serves(Oid(10), Oid(5)));
        assert_eq!(statistics.info().1, 0);
        statistics.reset(Oid(11), Oid(0), 0, 9);
        assert!(two.serves(Oid(10), Oid(5)));
        statistics.reset(Oid(0), Oid(0), 0, 9);
        assert!(statistics.list().is_empty() && statistics.info() == (0, 9));
    }
}
