//! Append-only runs of row versions: one writer at a time, readers that never wait.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use heliosdb_hcc::{Bitmap, BlockView};
use heliosdb_types::{ColumnId, CommitTs, SchemaVersion};
use parking_lot::RwLock;
use rustc_hash::FxHashMap;

/// A row as one commit wrote it. Visible to snapshots in `begin <= snapshot < end`.
pub(crate) struct RowVersion {
    pub key: Bytes,
    pub row: Bytes,
    pub schema: SchemaVersion,
    pub begin: CommitTs,
    end: AtomicU64,
    /// The version of the same key before this one in the same memtable; `NONE` if there is none.
    older: AtomicU32,
    /// Of a key's first version, which the indexes name: the newest; `NONE` if it is still this one.
    newest: AtomicU32,
}

const NONE: u32 = u32::MAX;

/// Place of a version in its memtable tree, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct VersionId(pub u32);

impl RowVersion {
    pub fn new(key: Bytes, row: Bytes, schema: SchemaVersion, begin: CommitTs, older: Option<VersionId>) -> RowVersion {
        let older = AtomicU32::new(older.map_or(NONE, |older| older.0));
        RowVersion {
            key,
            row,
            schema,
            begin,
            end: AtomicU64::new(CommitTs::MAX.0),
            older,
            newest: AtomicU32::new(NONE),
        }
    }

    pub fn older(&self) -> Option<VersionId> {
        Some(VersionId(self.older.load(Ordering::Acquire))).filter(|id| id.0 != NONE)
    }

    /// The newest version of the key whose first version this is.
    pub fn newest(&self) -> Option<VersionId> {
        Some(VersionId(self.newest.load(Ordering::Acquire))).filter(|id| id.0 != NONE)
    }

    pub fn set_newest(&self, newest: VersionId) {
        self.newest.store(newest.0, Ordering::Release);
    }

    pub fn end(&self) -> CommitTs {
        CommitTs(self.end.load(Ordering::Acquire))
    }

    pub fn is_live(&self) -> bool {
        self.end() == CommitTs::MAX
    }

    pub fn is_visible(&self, snapshot: CommitTs) -> bool {
        self.begin <= snapshot && snapshot < self.end()
    }

    /// Ends the version; false when it had ended already. Of one in a chunk, the chunk has to know: [`Chunk::finish`].
    pub(super) fn finish(&self, ts: CommitTs) -> bool {
        assert!(ts >= self.begin, "a version ends after it begins");
        self.end.compare_exchange(CommitTs::MAX.0, ts.0, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Memory the version takes, about.
    pub fn bytes(&self) -> usize {
        // Slot, both indexes and the two allocations' headers; measured roughly, for budgets only.
        self.key.len() + self.row.len() + 260
    }
}

pub(crate) struct Chunk {
    slots: Box<[OnceLock<RowVersion>]>,
    len: AtomicUsize,
    /// A bit for each version that has ended: where none has, a scan need not look at the versions.
    ended: Box<[AtomicU64]>,
    /// The last version's begin, and no version began later.
    newest: AtomicU64,
    /// Columns some scan has wanted; only of a full chunk.
    pub(super) images: RwLock<FxHashMap<ColumnId, Arc<BlockView>>>,
}

impl Chunk {
    pub fn new(capacity: usize) -> Chunk {
        Chunk::of((0..capacity).map(|_| OnceLock::new()).collect(), 0)
    }

    /// One that was filled before anybody could see it: these versions, and room for more up to `capacity`.
    pub fn filled(mut versions: Vec<OnceLock<RowVersion>>, capacity: usize) -> Chunk {
        let len = versions.len();
        assert!(len <= capacity && versions.iter().all(|slot| slot.get().is_some()), "no slot is left out");
        versions.resize_with(capacity, OnceLock::new);
        let chunk = Chunk::of(versions.into_boxed_slice(), len);
        for (at, version) in chunk.versions().enumerate() {
            chunk.newest.fetch_max(version.begin.0, Ordering::Relaxed);
            if !version.is_live() {
                chunk.mark_ended(at);
            }
        }
        chunk
    }

    fn of(slots: Box<[OnceLock<RowVersion>]>, len: usize) -> Chunk {
        let ended = (0..slots.len().div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Chunk { slots, len: AtomicUsize::new(len), ended, newest: AtomicU64::new(0), images: RwLock::default() }
    }

    /// Appends; false when full. One caller at a time (the commit mutex).
    pub fn push(&self, version: RowVersion) -> bool {
        let at = self.len.load(Ordering::Relaxed);
        let Some(slot) = self.slots.get(at) else { return false };
        self.newest.fetch_max(version.begin.0, Ordering::Relaxed);
        assert!(slot.set(version).is_ok(), "one writer appends to a memtable");
        self.len.store(at + 1, Ordering::Release);
        true
    }

    pub fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    pub fn is_full(&self) -> bool {
        self.len() == self.slots.len()
    }

    pub fn get(&self, at: usize) -> Option<&RowVersion> {
        self.slots.get(at).and_then(OnceLock::get)
    }

    /// Ends a version; false when it had ended already, or is not there.
    pub fn finish(&self, at: usize, ts: CommitTs) -> bool {
        let ended = self.get(at).is_some_and(|version| version.finish(ts));
        if ended {
            self.mark_ended(at);
        }
        ended
    }

    fn mark_ended(&self, at: usize) {
        if let Some(word) = self.ended.get(at / 64) {
            word.fetch_or(1 << (at % 64), Ordering::Release);
        }
    }

    /// The versions a snapshot sees. Whoever has the snapshot of a commit finds all it ended marked, as its timestamp is published later.
    pub fn visible(&self, snapshot: CommitTs) -> Bitmap {
        let len = self.len();
        let mut visible = Bitmap::all_set(len);
        let is_visible = |at: usize| self.get(at).is_some_and(|version| version.is_visible(snapshot));
        if self.newest.load(Ordering::Relaxed) > snapshot.0 {
            (0..len).filter(|at| !is_visible(*at)).for_each(|at| visible.clear(at));
            return visible;
        }
        for (first, word) in (0..len).step_by(64).zip(&self.ended) {
            let mut ended = word.load(Ordering::Acquire);
            while ended != 0 {
                let at = first + ended.trailing_zeros() as usize;
                ended &= ended - 1;
                if !is_visible(at) {
                    visible.clear(at);
                }
            }
        }
        visible
    }

    /// The versions appended so far.
    pub fn versions(&self) -> impl Iterator<Item = &RowVersion> {
        self.slots.iter().take(self.len()).map_while(OnceLock::get)
    }
}

#[cfg(test)]
mod tests {
    use heliosdb_types::SchemaVersion;

    use super::*;

    fn version(begin: u64) -> RowVersion {
        RowVersion::new(Bytes::from_static(b"k"), Bytes::from_static(b"r"), SchemaVersion(1), CommitTs(begin), None)
    }

    #[test]
    fn all_versions_of_a_chunk_are_seen_as_each_is() {
        let begins: Vec<u64> = (0..200).map(|at| 10 + at / 3).collect();
        let grown = Chunk::new(200);
        assert!(begins.iter().all(|begin| grown.push(version(*begin))) && grown.is_full() && !grown.push(version(99)));
        let slots: Vec<_> = begins.iter().map(|begin| OnceLock::from(version(*begin))).collect();
        slots.iter().step_by(9).for_each(|slot| assert!(slot.get().unwrap().finish(CommitTs(80))));
        let filled = Chunk::filled(slots, 200);
        for chunk in [&grown, &filled] {
            for (at, ts) in (0..200).step_by(5).zip(80..) {
                let ended_before = !chunk.get(at).unwrap().is_live();
                assert_eq!(chunk.finish(at, CommitTs(ts)), !ended_before);
            }
            assert!(!chunk.finish(200, CommitTs(300)) && !chunk.finish(0, CommitTs(300)));
            for snapshot in [0, 10, 40, 75, 76, 79, 80, 90, 200].map(CommitTs) {
                let one_by_one = (0..200).filter(|at| chunk.get(*at).unwrap().is_visible(snapshot));
                assert!(chunk.visible(snapshot).iter().eq(one_by_one), "{snapshot:?}");
            }
        }
    }
}
