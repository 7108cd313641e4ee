//! The row cache: rows of segments that were read more than once, whole and in the row codec's form.
//!
//! A row of a segment lies in as many places as it has columns; read again, it is one here. An entry names the segment and the
//! row it was read from, and holds as long as that segment is in the current version and the row is not deleted for who
//! asks: then it is the row that is visible, whatever memtables hold. So nothing has to be taken out when rows change. Who asks
//! brings the segments of the version it reads; an entry holds none of them.
//! Rows enter on their second read: of keys read once each, nothing is kept and nothing is evicted. While there is room, rows whose
//! columns are read for the most part enter on their first.
//!
//! Keys are divided among parts with a lock each, held while a row is copied out or in. Memory is a part's own ([`part`]): an entry is
//! no allocation, and one found is where its key is.

mod entry;
mod part;
mod ring;
mod table;

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use heliosdb_types::{CommitTs, SchemaVersion, SegmentId};
use parking_lot::Mutex;
use rustc_hash::FxBuildHasher;
use smallvec::SmallVec;

use self::entry::Entry;
use self::part::{Part, Sizes};
use crate::memtable::BranchTree;
use crate::segments::Segment;

/// Most rows fit without an allocation.
const INLINE_BYTES: usize = 192;

/// Where a row of a segment is, and what its bytes mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowOrigin {
    pub segment: SegmentId,
    pub row: u32,
    pub begin: CommitTs,
    pub schema: SchemaVersion,
}

/// A row as it is in a segment.
pub(crate) type RowBytes = SmallVec<[u8; INLINE_BYTES]>;

/// Rows this large are not kept: a few would push out thousands.
const ROW_BYTES_MAX: usize = 16 << 10;

pub(crate) struct RowCache {
    parts: Box<[Mutex<Part>]>,
    capacity_bytes: u64,
    /// Memory of all parts.
    held: AtomicU64,
    /// Fingerprints of keys read lately, by hash.
    seen: Vec<AtomicU32>,
    /// What was held when it was last made known.
    told: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl std::fmt::Debug for RowCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RowCache({} of {} bytes)", self.held.load(Ordering::Relaxed), self.capacity_bytes)
    }
}

impl RowCache {
    pub fn new(capacity_bytes: u64) -> RowCache {
        let items = usize::try_from(capacity_bytes / 400).unwrap_or(usize::MAX).clamp(64, 16 << 20);
        let (parts, sizes) = Sizes::of(capacity_bytes);
        RowCache {
            parts: (0..parts).map(|_| Mutex::new(Part::new(sizes))).collect(),
            capacity_bytes,
            held: AtomicU64::new(0),
            seen: (0..items.next_power_of_two()).map(|_| AtomicU32::new(0)).collect(),
            told: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// Puts the row a snapshot sees into `row`; `None` says nothing. `segments` are the tree's, of the version that is read.
    pub fn visible(
        &self,
        tree: BranchTree,
        segments: &[Arc<Segment>],
        key: &[u8],
        snapshot: CommitTs,
        row: &mut RowBytes,
    ) -> Option<RowOrigin> {
        let is_visible = |found: &RowOrigin, segment: &Segment| {
            found.begin <= snapshot && !segment.deletes.is_deleted(found.row, snapshot)
        };
        self.find(tree, segments, key, row, is_visible)
    }

    /// The newest version of a key, if it is not deleted; `None` says nothing. `segments` are the tree's, of the current version.
    pub fn newest(&self, tree: BranchTree, segments: &[Arc<Segment>], key: &[u8]) -> Option<(RowOrigin, RowBytes)> {
        let mut row = RowBytes::new();
        let is_newest = |found: &RowOrigin, segment: &Segment| segment.deletes.deleted_at(found.row).is_none();
        self.find(tree, segments, key, &mut row, is_newest).map(|origin| (origin, row))
    }

    fn find(
        &self,
        tree: BranchTree,
        segments: &[Arc<Segment>],
        key: &[u8],
        row: &mut RowBytes,
        is_wanted: impl FnOnce(&RowOrigin, &Segment) -> bool,
    ) -> Option<RowOrigin> {
        if segments.is_empty() {
            return None;
        }
        let hash = hash_of(tree, key);
        let found = self.part(hash).lock().find(print_of(hash), tree, key, row, |found| {
            let segment = segments.iter().find(|segment| segment.meta.id == found.segment);
            segment.is_some_and(|segment| !segment.is_replaced() && is_wanted(found, segment))
        });
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    fn part(&self, hash: u64) -> &Mutex<Part> {
        // Their number is a power of two.
        &self.parts[hash as usize & (self.parts.len() - 1)]
    }

    /// Whether less than half of the space is used, about.
    pub fn has_room(&self) -> bool {
        self.held.load(Ordering::Relaxed) < self.capacity_bytes / 2
    }

    /// Whether a row that was just read should be kept: its key was read before, not long ago.
    pub fn wants(&self, tree: BranchTree, key: &[u8]) -> bool {
        let hash = hash_of(tree, key);
        let Some(slot) = self.seen.get(hash as usize & (self.seen.len() - 1)) else { return false };
        let print = print_of(hash) | 1;
        if slot.load(Ordering::Relaxed) == print {
            return true;
        }
        slot.store(print, Ordering::Relaxed);
        false
    }

    /// Keeps a row of a segment. Now and then says that it holds noticeably more than when it last did.
    pub fn insert(&self, tree: BranchTree, key: &[u8], origin: RowOrigin, bytes: &[u8]) -> bool {
        if bytes.len() > ROW_BYTES_MAX {
            return false;
        }
        let hash = hash_of(tree, key);
        let entry = Entry { hash: print_of(hash), tree, key, origin, bytes };
        let grown = self.part(hash).lock().insert(&entry);
        if grown == 0 {
            return false;
        }
        let now = self.held.fetch_add(grown, Ordering::Relaxed) + grown;
        let much = now.saturating_sub(self.told.load(Ordering::Relaxed)) > self.capacity_bytes / 16;
        if much {
            self.told.store(now, Ordering::Relaxed);
        }
        much
    }

    /// Bytes held, the fingerprints included.
    pub fn bytes(&self) -> u64 {
        self.held.load(Ordering::Relaxed) + self.seen.len() as u64 * 4
    }

    /// Reads that found their row, and those that did not.
    pub fn counts(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }
}

/// What decides on the part lies below, what is compared with above.
fn hash_of(tree: BranchTree, key: &[u8]) -> u64 {
    FxBuildHasher.hash_one((tree, key))
}

fn print_of(hash: u64) -> u32 {
    (hash >> 32) as u32
}
