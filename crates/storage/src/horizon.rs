//! Which moments are still being read: the oldest of them is the garbage-collection horizon.

use std::sync::Arc;

use heliosdb_types::CommitTs;
use parking_lot::Mutex;

/// Open snapshots.
#[derive(Default)]
pub(crate) struct Horizon {
    open: Mutex<Open>,
}

/// Timestamps in order, and how many snapshots have each. Every statement comes and goes here, nearly always at the end, and
/// memory stays.
#[derive(Default)]
struct Open(Vec<(CommitTs, usize)>);

impl Open {
    fn place(&self, ts: CommitTs) -> Result<usize, usize> {
        match self.0.last() {
            Some((last, _)) if *last == ts => Ok(self.0.len() - 1),
            Some((last, _)) if *last > ts => self.0.binary_search_by_key(&ts, |(open, _)| *open),
            _ => Err(self.0.len()),
        }
    }

    fn add(&mut self, ts: CommitTs) {
        match self.place(ts) {
            Ok(at) => self.0[at].1 += 1,
            Err(at) => self.0.insert(at, (ts, 1)),
        }
    }

    fn take(&mut self, ts: CommitTs) {
        let Ok(at) = self.place(ts) else { return };
        self.0[at].1 -= 1;
        if self.0[at].1 == 0 {
            self.0.remove(at);
        }
    }

    fn oldest_or(&self, now: CommitTs) -> CommitTs {
        self.0.first().map_or(now, |(oldest, _)| (*oldest).min(now))
    }
}

/// Keeps its moment readable until dropped.
pub(crate) struct Pin {
    horizon: Arc<Horizon>,
    pub ts: CommitTs,
}

impl Horizon {
    /// Registers the moment `now` gives. It is asked under the lock, so no horizon can be computed in between that is later.
    pub fn pin(self: &Arc<Horizon>, now: impl FnOnce() -> CommitTs) -> Pin {
        let mut open = self.open.lock();
        let ts = now();
        open.add(ts);
        drop(open);
        Pin { horizon: self.clone(), ts }
    }

    /// Registers the horizon itself, so that it stays where it is.
    pub fn pin_oldest(self: &Arc<Horizon>, now: impl FnOnce() -> CommitTs) -> Pin {
        let mut open = self.open.lock();
        let ts = open.oldest_or(now());
        open.add(ts);
        drop(open);
        Pin { horizon: self.clone(), ts }
    }

    /// No snapshot older than this is open or can be opened: versions that ended at or before it are invisible for good.
    pub fn oldest(&self, now: impl FnOnce() -> CommitTs) -> CommitTs {
        let open = self.open.lock();
        open.oldest_or(now())
    }

    pub fn open_count(&self) -> usize {
        self.open.lock().0.iter().map(|(_, count)| count).sum()
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.horizon.open.lock().take(self.ts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_open_snapshot_holds_the_horizon() {
        let horizon = Arc::new(Horizon::default());
        let (a, b) = (horizon.pin(|| CommitTs(5)), horizon.pin(|| CommitTs(5)));
        assert_eq!(horizon.oldest(|| CommitTs(9)), CommitTs(5));
        drop(a);
        assert_eq!((horizon.oldest(|| CommitTs(9)), horizon.open_count()), (CommitTs(5), 1));
        drop(b);
        assert_eq!(horizon.oldest(|| CommitTs(9)), CommitTs(9));
    }

    #[test]
    fn snapshots_come_and_go_in_any_order() {
        let horizon = Arc::new(Horizon::default());
        let mut pins: Vec<Pin> = Vec::new();
        let mut random = 7_u64;
        for now in 0..2_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            match random >> 62 {
                0 if !pins.is_empty() => _ = pins.swap_remove((random >> 33) as usize % pins.len()),
                1 => pins.push(horizon.pin_oldest(|| CommitTs(now))),
                _ => pins.push(horizon.pin(|| CommitTs(now / 3))),
            }
            pins.truncate(20);
            let oldest = pins.iter().map(|pin| pin.ts).min().unwrap_or(CommitTs(now));
            assert_eq!((horizon.oldest(|| CommitTs(now)), horizon.open_count()), (oldest, pins.len()));
        }
        drop(pins);
        assert_eq!((horizon.oldest(|| CommitTs(9)), horizon.open_count()), (CommitTs(9), 0));
    }
}
