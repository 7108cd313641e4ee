//! The keys of a tree in order: what ranges and freezing ask.
//!
//! Where rows keep coming, a skip list takes each key as it comes. What the log was replayed into takes no row afterwards: its
//! keys are sorted when somebody first asks, which is cheaper than to place each of them, and most of it is not waited for.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use crossbeam_skiplist::SkipMap;
use crossbeam_skiplist::map::Range;
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::chunk::{Chunk, VersionId};
use super::tree::at;
use crate::key_beginning::key_beginning;

/// Keys lie in the list's nodes where they are short, as most are: each step of a search then touches one place less.
type ListKey = SmallVec<[u8; 24]>;

/// Both name a key's first version.
pub(super) enum Order {
    Growing(Box<SkipMap<ListKey, VersionId>>),
    Replayed(Replayed),
}

#[derive(Default)]
pub(super) struct Replayed {
    /// Keys that found no place near their hash.
    strays: Mutex<BTreeMap<Bytes, VersionId>>,
    sorted: OnceLock<Box<[VersionId]>>,
}

/// Forgotten between two rests.
const KEYS_AT_ONCE: usize = 8192;

/// The bounds of a range of keys.
pub(super) type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// The first versions of a range's keys, from both ends.
pub(super) enum Keys<'a> {
    Growing(Range<'a, [u8], Bounds<'a>, ListKey, VersionId>),
    Replayed(std::slice::Iter<'a, VersionId>),
}

impl Order {
    pub fn growing() -> Order {
        Order::Growing(Box::default())
    }

    pub fn replayed() -> Order {
        Order::Replayed(Replayed::default())
    }

    pub fn is_replayed(&self) -> bool {
        matches!(self, Order::Replayed(_))
    }

    /// Frees the keys, and calls `rest` after each few thousand.
    pub fn forget(self, rest: &mut impl FnMut()) {
        if let Order::Growing(list) = self {
            for (at, _) in list.into_iter().enumerate() {
                if at % KEYS_AT_ONCE == 0 {
                    rest();
                }
            }
        }
    }

    /// Takes a new key, before its hash does. One caller at a time.
    pub fn insert(&self, key: &[u8], first: VersionId) {
        if let Order::Growing(list) = self {
            list.insert(ListKey::from_slice(key), first);
        }
    }

    /// Takes a key which its hash does not find.
    pub fn stray(&self, key: &Bytes, first: VersionId) {
        if let Order::Replayed(replayed) = self {
            replayed.strays.lock().insert(key.clone(), first);
        }
    }

    /// A key that its hash does not find.
    pub fn find(&self, key: &[u8]) -> Option<VersionId> {
        match self {
            Order::Growing(list) => list.get(key).map(|entry| *entry.value()),
            Order::Replayed(replayed) => replayed.strays.lock().get(key).copied(),
        }
    }

    /// A range's keys; the bounds leave room for some. Of what is replayed the first call sorts all keys of `chunks`.
    pub fn range<'a>(&'a self, chunks: &[Arc<Chunk>], bounds: Bounds<'a>) -> Keys<'a> {
        match self {
            Order::Growing(list) => Keys::Growing(list.range(bounds)),
            Order::Replayed(replayed) => {
                let sorted = replayed.sorted.get_or_init(|| sorted(chunks));
                let key = |id: &VersionId| at(chunks, *id).map_or(&[][..], |version| version.key.as_ref());
                let from = match bounds.0 {
                    Bound::Included(from) => sorted.partition_point(|id| key(id) < from),
                    Bound::Excluded(from) => sorted.partition_point(|id| key(id) <= from),
                    Bound::Unbounded => 0,
                };
                let to = match bounds.1 {
                    Bound::Included(to) => sorted.partition_point(|id| key(id) <= to),
                    Bound::Excluded(to) => sorted.partition_point(|id| key(id) < to),
                    Bound::Unbounded => sorted.len(),
                };
                Keys::Replayed(sorted.get(from..to).unwrap_or_default().iter())
            }
        }
    }
}

impl Iterator for Keys<'_> {
    type Item = VersionId;

    fn next(&mut self) -> Option<VersionId> {
        match self {
            Keys::Growing(range) => range.next().map(|entry| *entry.value()),
            Keys::Replayed(ids) => ids.next().copied(),
        }
    }
}

impl DoubleEndedIterator for Keys<'_> {
    fn next_back(&mut self) -> Option<VersionId> {
        match self {
            Keys::Growing(range) => range.next_back().map(|entry| *entry.value()),
            Keys::Replayed(ids) => ids.next_back().copied(),
        }
    }
}

/// The first versions of all keys, in the keys' order.
fn sorted(chunks: &[Arc<Chunk>]) -> Box<[VersionId]> {
    let versions = chunks.iter().flat_map(|chunk| chunk.versions());
    let first = (0..).map(VersionId).zip(versions).filter(|(_, version)| version.older().is_none());
    // Most keys differ in their first 16 bytes, which are compared without looking for the keys.
    let mut keys: Vec<(u128, VersionId, &Bytes)> =
        first.map(|(id, version)| (key_beginning(&version.key), id, &version.key)).collect();
    keys.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| a.2.cmp(b.2)));
    keys.into_iter().map(|(_, id, _)| id).collect()
}
