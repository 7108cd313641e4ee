//! The row cache: rows of segments that were read more than once, whole and in the row codec's form.
//!
//! A row of a segment lies in as many places as it has columns; read again, it is one here. An entry names the segment and the
//! row it was read from, and holds as long as that segment is in the current version and the row is not deleted for who
//! asks: then it is the row that is visible, whatever memtables hold. So nothing has to be taken out when rows change. Who asks
//! brings the segments of the version it reads; an entry holds none of them.
//! Rows enter on their second read: of keys read once each, nothing is kept and nothing is evicted. While there is room, rows whose
//! columns are read for the most part enter on their first.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use heliosdb_types::{CommitTs, SchemaVersion, SegmentId};
use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};
use rustc_hash::FxBuildHasher;

use crate::memtable::BranchTree;
use crate::segments::Segment;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct RowKey {
    tree: BranchTree,
    key: Box<[u8]>,
}

#[derive(Hash)]
struct RowKeyRef<'a> {
    tree: BranchTree,
    key: &'a [u8],
}

impl Equivalent<RowKey> for RowKeyRef<'_> {
    fn equivalent(&self, key: &RowKey) -> bool {
        self.tree == key.tree && self.key == &*key.key
    }
}

/// A row as it is in a segment.
pub(crate) struct CachedRow {
    pub segment: SegmentId,
    pub row: u32,
    pub begin: CommitTs,
    pub schema: SchemaVersion,
    pub bytes: Box<[u8]>,
}

#[derive(Clone, Debug)]
struct ByBytes;

/// What an entry costs beside its bytes: the key's and the row's allocation, the entry's, the map slot.
const ENTRY_OVERHEAD_BYTES: usize = 240;

impl Weighter<RowKey, Arc<CachedRow>> for ByBytes {
    fn weight(&self, key: &RowKey, row: &Arc<CachedRow>) -> u64 {
        (key.key.len() + row.bytes.len() + ENTRY_OVERHEAD_BYTES) as u64
    }
}

/// Rows this large are not kept: a few would push out thousands.
const ROW_BYTES_MAX: usize = 16 << 10;

pub(crate) struct RowCache {
    rows: Cache<RowKey, Arc<CachedRow>, ByBytes, FxBuildHasher>,
    /// Fingerprints of keys read lately, by hash.
    seen: Vec<AtomicU32>,
    /// The weight when it was last made known.
    told: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl std::fmt::Debug for RowCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RowCache({} of {} bytes)", self.rows.weight(), self.rows.capacity())
    }
}

impl RowCache {
    pub fn new(capacity_bytes: u64) -> RowCache {
        let items = usize::try_from(capacity_bytes / 400).unwrap_or(usize::MAX).clamp(64, 16 << 20);
        RowCache {
            rows: Cache::with(items, capacity_bytes, ByBytes, FxBuildHasher, Default::default()),
            seen: (0..items.next_power_of_two()).map(|_| AtomicU32::new(0)).collect(),
            told: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// The row a snapshot sees; `None` says nothing. `segments` are the tree's, of the version that is read.
    pub fn visible(
        &self,
        tree: BranchTree,
        segments: &[Arc<Segment>],
        key: &[u8],
        snapshot: CommitTs,
    ) -> Option<Arc<CachedRow>> {
        let is_visible = |found: &CachedRow, segment: &Segment| {
            found.begin <= snapshot && !segment.deletes.is_deleted(found.row, snapshot)
        };
        self.find(tree, segments, key, is_visible)
    }

    /// The newest version of a key, if it is not deleted; `None` says nothing. `segments` are the tree's, of the current version.
    pub fn newest(&self, tree: BranchTree, segments: &[Arc<Segment>], key: &[u8]) -> Option<Arc<CachedRow>> {
        self.find(tree, segments, key, |found, segment| segment.deletes.deleted_at(found.row).is_none())
    }

    fn find(
        &self,
        tree: BranchTree,
        segments: &[Arc<Segment>],
        key: &[u8],
        is_wanted: impl FnOnce(&CachedRow, &Segment) -> bool,
    ) -> Option<Arc<CachedRow>> {
        if segments.is_empty() {
            return None;
        }
        let cached = self.rows.get(&RowKeyRef { tree, key });
        let found = cached.filter(|cached| {
            let segment = segments.iter().find(|segment| segment.meta.id == cached.segment);
            segment.is_some_and(|segment| !segment.is_replaced() && is_wanted(cached, segment))
        });
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Whether less than half of the space is used, about.
    pub fn has_room(&self) -> bool {
        self.told.load(Ordering::Relaxed) < self.rows.capacity() / 2
    }

    /// Whether a row that was just read should be kept: its key was read before, not long ago.
    pub fn wants(&self, tree: BranchTree, key: &[u8]) -> bool {
        let hash = FxBuildHasher.hash_one(RowKeyRef { tree, key });
        let Some(slot) = self.seen.get(hash as usize & (self.seen.len() - 1)) else { return false };
        let print = (hash >> 32) as u32 | 1;
        if slot.load(Ordering::Relaxed) == print {
            return true;
        }
        slot.store(print, Ordering::Relaxed);
        false
    }

    /// Keeps a row of a segment. Now and then says that it holds noticeably more than when it last did.
    pub fn insert(&self, tree: BranchTree, key: &[u8], row: Arc<CachedRow>) -> bool {
        if row.bytes.len() > ROW_BYTES_MAX {
            return false;
        }
        self.rows.insert(RowKey { tree, key: key.into() }, row);
        let (now, told) = (self.rows.weight(), self.told.load(Ordering::Relaxed));
        let much = now.abs_diff(told) > self.rows.capacity() / 16;
        if much {
            self.told.store(now, Ordering::Relaxed);
        }
        much
    }

    /// Bytes held, the fingerprints included.
    pub fn bytes(&self) -> u64 {
        self.rows.weight() + self.seen.len() as u64 * 4
    }

    /// Reads that found their row, and those that did not.
    pub fn counts(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }
}
