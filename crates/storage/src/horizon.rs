//! Which moments are still being read: the oldest of them is the garbage-collection horizon.

use std::collections::BTreeMap;
use std::sync::Arc;

use heliosdb_types::CommitTs;
use parking_lot::Mutex;

/// Open snapshots by timestamp.
#[derive(Default)]
pub(crate) struct Horizon {
    open: Mutex<BTreeMap<CommitTs, usize>>,
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
        *open.entry(ts).or_default() += 1;
        drop(open);
        Pin { horizon: self.clone(), ts }
    }

    /// Registers the horizon itself, so that it stays where it is.
    pub fn pin_oldest(self: &Arc<Horizon>, now: impl FnOnce() -> CommitTs) -> Pin {
        let mut open = self.open.lock();
        let now = now();
        let ts = open.keys().next().map_or(now, |&oldest| oldest.min(now));
        *open.entry(ts).or_default() += 1;
        drop(open);
        Pin { horizon: self.clone(), ts }
    }

    /// No snapshot older than this is open or can be opened: versions that ended at or before it are invisible for good.
    pub fn oldest(&self, now: impl FnOnce() -> CommitTs) -> CommitTs {
        let open = self.open.lock();
        let now = now();
        open.keys().next().map_or(now, |&oldest| oldest.min(now))
    }

    pub fn open_count(&self) -> usize {
        self.open.lock().values().sum()
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut open = self.horizon.open.lock();
        if let Some(count) = open.get_mut(&self.ts) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.ts);
            }
        }
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
}
