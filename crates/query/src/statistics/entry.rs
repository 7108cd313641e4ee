//! One statement's counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use heliosdb_types::Oid;
use parking_lot::Mutex;

/// Where a statement ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tier {
    /// Without a plan: definitions, settings, transactions, COPY.
    #[default]
    Utility,
    /// On the session's own task.
    Direct,
    /// Vectors, on the pool for queries.
    Analytical,
}

impl Tier {
    pub fn name(self) -> &'static str {
        match self {
            Tier::Utility => "utility",
            Tier::Direct => "direct",
            Tier::Analytical => "analytical",
        }
    }
}

/// Milliseconds: how often, how long.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Timing {
    pub count: i64,
    pub total_ms: f64,
    pub min_ms: f64,
    pub max_ms: f64,
    pub mean_ms: f64,
    /// Sum of squared distances from the mean (Welford).
    squares: f64,
}

impl Timing {
    fn add(&mut self, time: Duration) {
        let ms = time.as_secs_f64() * 1e3;
        self.count += 1;
        self.total_ms += ms;
        self.min_ms = if self.count == 1 { ms } else { self.min_ms.min(ms) };
        self.max_ms = self.max_ms.max(ms);
        let from_old_mean = ms - self.mean_ms;
        self.mean_ms += from_old_mean / self.count as f64;
        self.squares += from_old_mean * (ms - self.mean_ms);
    }

    /// Over all of them, as the extension has it.
    pub fn stddev_ms(&self) -> f64 {
        if self.count > 1 { (self.squares / self.count as f64).sqrt() } else { 0.0 }
    }
}

/// What is known of a statement so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub plans: Timing,
    pub calls: Timing,
    pub rows: i64,
    /// Where it ran last.
    pub tier: Tier,
    /// Decays, so that what was used much once can go.
    pub(super) usage: f64,
}

/// Whose statement, in which database, and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub user: Oid,
    pub database: Oid,
    pub query: i64,
}

/// A statement that is counted.
#[derive(Debug)]
pub(crate) struct Entry {
    pub key: Key,
    pub text: Arc<str>,
    gone: AtomicBool,
    pub(super) counts: Mutex<Counts>,
}

impl Entry {
    pub(super) fn new(key: Key, text: &str) -> Entry {
        let counts = Mutex::new(Counts { usage: 1.0, ..Counts::default() });
        Entry { key, text: Arc::from(text), gone: AtomicBool::new(false), counts }
    }

    /// Whether it may be used for this user's next run.
    pub fn serves(&self, user: Oid, database: Oid) -> bool {
        self.key.user == user && self.key.database == database && !self.gone.load(Ordering::Relaxed)
    }

    pub(super) fn remove(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }

    pub fn planned(&self, time: Duration) {
        self.counts.lock().plans.add(time);
    }

    pub fn executed(&self, time: Duration, rows: u64, tier: Tier) {
        let mut counts = self.counts.lock();
        counts.calls.add(time);
        counts.rows = counts.rows.saturating_add_unsigned(rows);
        counts.tier = tier;
        counts.usage += 1.0;
    }

    pub fn counts(&self) -> Counts {
        *self.counts.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_summed_up() {
        let mut timing = Timing::default();
        for ms in [2, 4, 4, 4, 5, 5, 7, 9] {
            timing.add(Duration::from_millis(ms));
        }
        assert_eq!((timing.count, timing.total_ms, timing.min_ms, timing.max_ms), (8, 40.0, 2.0, 9.0));
        assert!((timing.mean_ms - 5.0).abs() < 1e-9 && (timing.stddev_ms() - 2.0).abs() < 1e-9);
    }
}
