//! One tree's part of a memtable: chunks of versions, and two indexes of keys: by hash for one key, in order for ranges.
//!
//! Both name a key's first version, which knows the newest. So a row that is replaced changes no index.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use heliosdb_contracts::KeyRange;
use heliosdb_types::CommitTs;

use super::chunk::{Chunk, RowVersion, VersionId};
use super::hash::{Hashed, KeyHashes, hash_of};
use super::order::Order;

/// Chunks grow so that a tree of few rows stays small: 16, 64, 256, 1,024, then 4,096 rows each.
const CAPACITY_MAX: usize = 4096;
const GROWTH: [usize; 5] = [16, 64, 256, 1024, CAPACITY_MAX];

pub(crate) struct TreeMem {
    pub(super) chunks: ArcSwap<Vec<Arc<Chunk>>>,
    pub(super) hashes: KeyHashes,
    pub(super) order: Order,
    pub(super) len: AtomicU32,
    pub(super) bytes: AtomicUsize,
    /// Versions that have not ended.
    pub(super) live: AtomicUsize,
}

/// Whether bounds exclude every key; a map would panic on them.
pub(crate) fn is_empty(from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    match (from, to) {
        (Bound::Included(from), Bound::Excluded(to)) | (Bound::Excluded(from), Bound::Excluded(to)) => from >= to,
        _ => false,
    }
}

pub(super) fn capacity(chunk: usize) -> usize {
    GROWTH.get(chunk).copied().unwrap_or(CAPACITY_MAX)
}

/// The chunk of a version and its place in it.
pub(super) fn place(id: VersionId) -> (usize, usize) {
    let mut at = id.0 as usize;
    for (chunk, &capacity) in GROWTH.iter().enumerate() {
        if at < capacity {
            return (chunk, at);
        }
        at -= capacity;
    }
    (GROWTH.len() + at / CAPACITY_MAX, at % CAPACITY_MAX)
}

/// The version at a place of a chunk.
pub(super) fn id_of(chunk: usize, at: usize) -> VersionId {
    let before: usize = (0..chunk.min(GROWTH.len())).map(capacity).sum();
    let id = before + chunk.saturating_sub(GROWTH.len()) * CAPACITY_MAX + at;
    VersionId(u32::try_from(id).expect("versions are numbered by 32 bits"))
}

/// A version, if it was there when the chunks were listed.
pub(super) fn at(chunks: &[Arc<Chunk>], id: VersionId) -> Option<&RowVersion> {
    let (chunk, at) = place(id);
    chunks.get(chunk).and_then(|chunk| chunk.get(at))
}

/// The newest version of the key whose first version is `first`.
pub(super) fn newest_of(chunks: &[Arc<Chunk>], first: VersionId) -> VersionId {
    at(chunks, first).and_then(RowVersion::newest).unwrap_or(first)
}

impl TreeMem {
    pub fn new() -> TreeMem {
        TreeMem::of(Order::growing())
    }

    /// One that the log is replayed into by one thread, and that takes no row once others use it.
    pub fn replaying() -> TreeMem {
        TreeMem::of(Order::replayed())
    }

    fn of(order: Order) -> TreeMem {
        TreeMem {
            chunks: ArcSwap::from_pointee(Vec::new()),
            hashes: KeyHashes::new(),
            order,
            len: AtomicU32::new(0),
            bytes: AtomicUsize::new(0),
            live: AtomicUsize::new(0),
        }
    }

    /// Number of versions.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Acquire) as usize
    }

    /// Rows that nobody has deleted or replaced.
    pub fn live_rows(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// Ends a version; false when it had ended already.
    pub fn finish(&self, id: VersionId, ts: CommitTs) -> bool {
        let (chunk, at) = place(id);
        let ended = self.chunks.load().get(chunk).is_some_and(|chunk| chunk.finish(at, ts));
        if ended {
            self.live.fetch_sub(1, Ordering::Relaxed);
        }
        ended
    }

    /// Memory its rows take, about.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Adds the newest version of a key. One caller at a time (the commit mutex). Returns the bytes it takes.
    pub fn push(&self, key: Bytes, row: Bytes, schema: heliosdb_types::SchemaVersion, begin: CommitTs) -> usize {
        let id = VersionId(self.len.load(Ordering::Relaxed));
        let hash = hash_of(&key);
        let before = self.find(&key, hash);
        let version = RowVersion::new(key, row, schema, begin, before.map(|(_, newest)| newest));
        let bytes = version.bytes();
        self.append(version);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.live.fetch_add(1, Ordering::Relaxed);
        self.len.store(id.0 + 1, Ordering::Release);
        match before {
            Some((first, _)) => _ = self.with(first, |first| first.set_newest(id)),
            None => {
                self.with(id, |version| self.order.insert(&version.key, id));
                if !self.hashes.insert(hash, id) {
                    self.with(id, |version| self.order.stray(&version.key, id));
                }
            }
        }
        bytes
    }

    /// A key's first and newest version.
    fn find(&self, key: &[u8], hash: u64) -> Option<(VersionId, VersionId)> {
        {
            let chunks = self.chunks.load();
            let is_it = |id| at(&chunks, id).is_some_and(|version| version.key == key);
            match self.hashes.part(hash).find(hash, is_it) {
                Hashed::Found(first) => return Some((first, newest_of(&chunks, first))),
                Hashed::Absent => return None,
                Hashed::Unknown => {}
            }
        }
        let first = self.order.find(key)?;
        Some((first, self.newest_of(first)))
    }

    fn append(&self, version: RowVersion) {
        let chunks = self.chunks.load();
        if let Some(last) = chunks.last()
            && !last.is_full()
        {
            assert!(last.push(version), "it is not full");
            return;
        }
        let chunk = Chunk::new(capacity(chunks.len()));
        assert!(chunk.push(version), "it is new");
        let mut more = Vec::with_capacity(chunks.len() + 1);
        more.extend(chunks.iter().cloned());
        more.push(Arc::new(chunk));
        self.chunks.store(Arc::new(more));
    }

    /// The chunks as they are now; later ones hold only later commits.
    pub fn chunks(&self) -> Arc<Vec<Arc<Chunk>>> {
        self.chunks.load_full()
    }

    /// See [`super::Generation::forget`].
    pub fn forget(self, rest: &mut impl FnMut()) {
        let TreeMem { chunks, hashes, order, .. } = self;
        drop(hashes);
        order.forget(rest);
        for chunk in Arc::unwrap_or_clone(chunks.into_inner()) {
            drop(chunk);
            rest();
        }
    }

    /// Calls `read` with the newest version of a key.
    pub fn newest<T>(&self, key: &[u8], read: impl FnOnce(VersionId, &RowVersion) -> T) -> Option<T> {
        let (_, id) = self.find(key, hash_of(key))?;
        self.with(id, |version| read(id, version))
    }

    /// Calls `read` with a version.
    pub fn with<T>(&self, id: VersionId, read: impl FnOnce(&RowVersion) -> T) -> Option<T> {
        at(&self.chunks.load(), id).map(read)
    }

    /// Calls `read` with the version of a key that a snapshot sees, if any.
    pub fn visible<T>(&self, key: &[u8], snapshot: CommitTs, read: impl FnOnce(&RowVersion) -> T) -> Option<T> {
        let (_, newest) = self.find(key, hash_of(key))?;
        self.visible_from(newest, snapshot, read)
    }

    /// The newest version of the key that a version is the first of.
    fn newest_of(&self, first: VersionId) -> VersionId {
        newest_of(&self.chunks.load(), first)
    }

    /// As [`TreeMem::visible`], from a key's newest version on.
    fn visible_from<T>(&self, newest: VersionId, snapshot: CommitTs, read: impl FnOnce(&RowVersion) -> T) -> Option<T> {
        let mut id = newest;
        let chunks = self.chunks.load();
        loop {
            let version = at(&chunks, id)?;
            if version.is_visible(snapshot) {
                return Some(read(version));
            }
            if version.begin <= snapshot {
                return None;
            }
            id = version.older()?;
        }
    }

    /// Gives `visit` the visible rows of a range in its order, looking at no more than `count` keys after `last`. Returns the last
    /// key looked at, and whether the range is used up.
    pub fn visible_range(
        &self,
        last: Option<Bytes>,
        range: &KeyRange,
        snapshot: CommitTs,
        count: usize,
        mut visit: impl FnMut(&Bytes, &Bytes, heliosdb_types::SchemaVersion),
    ) -> (Option<Bytes>, bool) {
        let (mut from, mut to) = (Bound::Included(range.lower.as_ref()), Bound::Unbounded);
        if let Some(upper) = &range.upper {
            to = Bound::Excluded(upper.as_ref());
        }
        match &last {
            Some(last) if range.reverse => to = Bound::Excluded(last.as_ref()),
            Some(last) => from = Bound::Excluded(last.as_ref()),
            None => {}
        }
        if is_empty(from, to) {
            return (None, true);
        }
        let chunks = self.chunks.load();
        let mut keys = self.order.range(&chunks, (from, to));
        let mut reached = None;
        for _ in 0..count {
            let first = if range.reverse { keys.next_back() } else { keys.next() };
            let Some(first) = first else { return (None, true) };
            self.visible_from(self.newest_of(first), snapshot, |version| {
                visit(&version.key, &version.row, version.schema);
            });
            reached = Some(first);
        }
        (reached.and_then(|first| self.with(first, |version| Bytes::copy_from_slice(&version.key))), false)
    }

    /// Every version, by key ascending, newest first within a key. Only for memtables that no longer grow.
    pub fn for_each_sorted<E>(&self, mut visit: impl FnMut(VersionId, &RowVersion) -> Result<(), E>) -> Result<(), E> {
        let chunks = self.chunks.load();
        for first in self.order.range(&chunks, (Bound::Unbounded, Bound::Unbounded)) {
            let mut next = Some(self.newest_of(first));
            while let Some(id) = next {
                let Some(version) = at(&chunks, id) else { break };
                visit(id, version)?;
                next = version.older();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use heliosdb_types::SchemaVersion;

    use super::*;

    fn push(tree: &TreeMem, key: &str, row: &str, ts: u64) {
        let (key, row) = (Bytes::copy_from_slice(key.as_bytes()), Bytes::copy_from_slice(row.as_bytes()));
        if let Some(id) = tree.newest(&key, |id, _| id) {
            tree.finish(id, CommitTs(ts));
        }
        tree.push(key, row, SchemaVersion(1), CommitTs(ts));
    }

    #[test]
    fn each_snapshot_sees_its_own_version() {
        let tree = TreeMem::new();
        push(&tree, "a", "a1", 10);
        push(&tree, "b", "b1", 11);
        push(&tree, "a", "a2", 20);
        let b = tree.newest(b"b", |id, _| id).unwrap();
        assert!(tree.finish(b, CommitTs(25)) && !tree.finish(b, CommitTs(26)));
        let at = |key: &str, ts| tree.visible(key.as_bytes(), CommitTs(ts), |v| v.row.to_vec());
        assert_eq!(at("a", 9), None);
        assert_eq!(
            (at("a", 10), at("a", 19), at("a", 20)),
            (Some(b"a1".into()), Some(b"a1".into()), Some(b"a2".into()))
        );
        assert_eq!((at("b", 24), at("b", 25)), (Some(b"b1".into()), None));
        assert_eq!((tree.len(), tree.live_rows()), (3, 1));
    }

    #[test]
    fn versions_are_found_across_growing_chunks() {
        let tree = TreeMem::new();
        for n in 0..10_000u64 {
            push(&tree, &format!("{:05}", n * 7919 % 10_000), "r", n + 1);
        }
        assert_eq!((tree.len(), tree.chunks().len()), (10_000, 7));
        let mut keys = Vec::new();
        tree.for_each_sorted(|id, version| {
            assert!(tree.with(id, |same| same.key == version.key).unwrap());
            keys.push(version.key.clone());
            Ok::<_, ()>(())
        })
        .unwrap();
        assert!(keys.is_sorted() && keys.len() == 10_000);
    }

    /// Every key with its newest row, in order.
    fn rows(tree: &TreeMem) -> Vec<(Bytes, Bytes)> {
        let range = KeyRange { lower: Bytes::new(), upper: None, reverse: false };
        let mut rows = Vec::new();
        tree.visible_range(None, &range, CommitTs(u64::MAX - 1), usize::MAX, |key, row, _| {
            rows.push((key.clone(), row.clone()))
        });
        rows
    }

    #[test]
    fn keys_put_in_order_late_are_those_put_in_order_at_once() {
        let trees = [TreeMem::new(), TreeMem::replaying()];
        for tree in &trees {
            for n in 0..5_000_u64 {
                // Long common beginnings, keys that begin others, and each third key again.
                let key = format!("{:>width$}", n * 7919 % 3_000, width = 1 + (n % 3_000) as usize % 20);
                push(tree, &key, &n.to_string(), n + 1);
            }
        }
        assert_eq!(rows(&trees[0]), rows(&trees[1]));
        let part = |tree: &TreeMem, reverse: bool| {
            let range =
                KeyRange { lower: Bytes::from_static(b"   1"), upper: Some(Bytes::from_static(b" 27")), reverse };
            let (mut last, mut found) = (None, Vec::new());
            loop {
                let visit = |key: &Bytes, _: &Bytes, _| found.push(key.clone());
                let (reached, done) = tree.visible_range(last, &range, CommitTs(6_000), 7, visit);
                last = reached;
                if done {
                    return found;
                }
            }
        };
        for reverse in [false, true] {
            let found = part(&trees[0], reverse);
            assert!(found.len() > 50 && found == part(&trees[1], reverse), "{} keys", found.len());
        }
        for (key, row) in rows(&trees[0]) {
            assert_eq!(trees[1].visible(&key, CommitTs(6_000), |v| v.row.clone()), Some(row));
        }
    }

    #[test]
    fn every_key_of_a_large_memtable_is_found() {
        let key = |n: u64| Bytes::from([&[1][..], &n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()].concat());
        for tree in [TreeMem::new(), TreeMem::replaying()] {
            for n in 0..200_000 {
                tree.push(key(n), Bytes::from_static(b"row"), SchemaVersion(1), CommitTs(1));
                let before = key(n / 3);
                assert!(tree.newest(&before, |_, found| found.key == before).unwrap(), "key {} of {n}", n / 3);
            }
            assert!((0..200_000).all(|n| tree.newest(&key(n), |_, found| found.key == key(n)) == Some(true)));
            assert_eq!(tree.newest(&key(200_000), |id, _| id), None);
        }
    }

    #[test]
    fn readers_find_every_key_while_one_writes() {
        let tree = TreeMem::new();
        let written = std::sync::atomic::AtomicU64::new(0);
        let key = |n: u64| Bytes::from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes().to_vec());
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut n = 0;
                    while n < 49_999 {
                        let end = written.load(Ordering::Acquire);
                        // Updated keys are found at every moment, too.
                        (end.saturating_sub(50)..end).chain(0..(end % 100)).for_each(|n| {
                            assert!(tree.newest(&key(n), |_, found| found.key == key(n)).unwrap(), "key {n} of {end}");
                        });
                        n = end;
                    }
                });
            }
            for n in 0..50_000 {
                tree.push(key(n), Bytes::from_static(b"row"), SchemaVersion(1), CommitTs(n + 1));
                if n > 200 && n % 3 == 0 {
                    let again = key(n % 100);
                    tree.push(again, Bytes::from_static(b"new"), SchemaVersion(1), CommitTs(n + 1));
                }
                written.store(n + 1, Ordering::Release);
            }
        });
    }
}
