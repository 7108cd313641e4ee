//! Append-only runs of row versions: one writer at a time, readers that never wait.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use heliosdb_hcc::BlockView;
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

    /// Ends the version; false when it had ended already.
    pub fn finish(&self, ts: CommitTs) -> bool {
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
    /// Columns some scan has wanted; only of a full chunk.
    pub(super) images: RwLock<FxHashMap<ColumnId, Arc<BlockView>>>,
}

impl Chunk {
    pub fn new(capacity: usize) -> Chunk {
        let slots = (0..capacity).map(|_| OnceLock::new()).collect();
        Chunk { slots, len: AtomicUsize::new(0), images: RwLock::default() }
    }

    /// One that was filled before anybody could see it: these versions, and room for more up to `capacity`.
    pub fn filled(mut versions: Vec<OnceLock<RowVersion>>, capacity: usize) -> Chunk {
        let len = versions.len();
        assert!(len <= capacity && versions.iter().all(|slot| slot.get().is_some()), "no slot is left out");
        versions.resize_with(capacity, OnceLock::new);
        Chunk { slots: versions.into_boxed_slice(), len: AtomicUsize::new(len), images: RwLock::default() }
    }

    /// Appends; false when full. One caller at a time (the commit mutex).
    pub fn push(&self, version: RowVersion) -> bool {
        let at = self.len.load(Ordering::Relaxed);
        let Some(slot) = self.slots.get(at) else { return false };
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

    /// The versions appended so far.
    pub fn versions(&self) -> impl Iterator<Item = &RowVersion> {
        self.slots.iter().take(self.len()).map_while(OnceLock::get)
    }
}
