//! How long syncs take, for whoever watches: counts by upper bound.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds in microseconds; one more bucket takes the rest.
pub const SYNC_BOUNDS_MICROS: [u64; 14] =
    [50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000];

/// Counts of writes with their sync, by how long they took.
#[derive(Debug, Default)]
pub(crate) struct SyncCounters {
    buckets: [AtomicU64; SYNC_BOUNDS_MICROS.len() + 1],
    micros: AtomicU64,
}

/// What [`SyncCounters`] have counted: buckets as [`SYNC_BOUNDS_MICROS`] has them, and the sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncTimes {
    pub buckets: [u64; SYNC_BOUNDS_MICROS.len() + 1],
    pub micros: u64,
}

impl SyncCounters {
    pub fn add(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let at = SYNC_BOUNDS_MICROS.partition_point(|bound| *bound < micros);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub fn read(&self) -> SyncTimes {
        SyncTimes {
            buckets: std::array::from_fn(|at| self.buckets.get(at).map_or(0, |count| count.load(Ordering::Relaxed))),
            micros: self.micros.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_fall_into_their_buckets() {
        let counters = SyncCounters::default();
        for micros in [0, 50, 51, 1_000_000, 1_000_001] {
            counters.add(Duration::from_micros(micros));
        }
        let read = counters.read();
        assert_eq!((read.buckets[0], read.buckets[1], read.buckets[13], read.buckets[14]), (2, 1, 1, 1));
        assert_eq!(read.micros, 2_000_102);
    }
}
