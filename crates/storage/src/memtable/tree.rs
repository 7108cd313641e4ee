//! One tree's part of a memtable: chunks of versions, and an index from key to the newest version.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use crossbeam_skiplist::SkipMap;
use heliosdb_contracts::KeyRange;
use heliosdb_types::CommitTs;
use smallvec::SmallVec;

use super::chunk::{Chunk, RowVersion, VersionId};

/// Chunks grow so that a tree of few rows stays small: 16, 64, 256, 1,024, then 4,096 rows each.
const CAPACITY_MAX: usize = 4096;
const GROWTH: [usize; 5] = [16, 64, 256, 1024, CAPACITY_MAX];

/// Keys lie in the index's nodes where they are short, as most are: each step of a search then touches one place less.
type IndexKey = SmallVec<[u8; 24]>;

pub(crate) struct TreeMem {
    chunks: ArcSwap<Vec<Arc<Chunk>>>,
    index: SkipMap<IndexKey, AtomicU32>,
    len: AtomicU32,
    bytes: AtomicUsize,
    /// Versions that have not ended.
    live: AtomicUsize,
}

/// Whether bounds exclude every key; a map would panic on them.
pub(crate) fn is_empty(from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    match (from, to) {
        (Bound::Included(from), Bound::Excluded(to)) | (Bound::Excluded(from), Bound::Excluded(to)) => from >= to,
        _ => false,
    }
}

fn capacity(chunk: usize) -> usize {
    GROWTH.get(chunk).copied().unwrap_or(CAPACITY_MAX)
}

/// The chunk of a version and its place in it.
fn place(id: VersionId) -> (usize, usize) {
    let mut at = id.0 as usize;
    for (chunk, &capacity) in GROWTH.iter().enumerate() {
        if at < capacity {
            return (chunk, at);
        }
        at -= capacity;
    }
    (GROWTH.len() + at / CAPACITY_MAX, at % CAPACITY_MAX)
}

impl TreeMem {
    pub fn new() -> TreeMem {
        TreeMem {
            chunks: ArcSwap::from_pointee(Vec::new()),
            index: SkipMap::new(),
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
        let ended = self.with(id, |version| version.finish(ts)) == Some(true);
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
        let index_key = IndexKey::from_slice(&key);
        let version = RowVersion::new(key, row, schema, begin);
        let bytes = version.bytes();
        self.append(version);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.live.fetch_add(1, Ordering::Relaxed);
        self.len.store(id.0 + 1, Ordering::Release);
        // One search, whether the key is new or not.
        let entry = self.index.get_or_insert(index_key, AtomicU32::new(id.0));
        let before = entry.value().load(Ordering::Acquire);
        if before != id.0 {
            self.with(id, |version| version.set_older(VersionId(before)));
            entry.value().store(id.0, Ordering::Release);
        }
        bytes
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

    /// Calls `read` with the newest version of a key.
    pub fn newest<T>(&self, key: &[u8], read: impl FnOnce(VersionId, &RowVersion) -> T) -> Option<T> {
        let id = VersionId(self.index.get(key)?.value().load(Ordering::Acquire));
        self.with(id, |version| read(id, version))
    }

    /// Calls `read` with a version.
    pub fn with<T>(&self, id: VersionId, read: impl FnOnce(&RowVersion) -> T) -> Option<T> {
        let (chunk, at) = place(id);
        let chunks = self.chunks.load();
        chunks.get(chunk).and_then(|chunk| chunk.get(at)).map(read)
    }

    /// Calls `read` with the version of a key that a snapshot sees, if any.
    pub fn visible<T>(&self, key: &[u8], snapshot: CommitTs, read: impl FnOnce(&RowVersion) -> T) -> Option<T> {
        self.visible_from(VersionId(self.index.get(key)?.value().load(Ordering::Acquire)), snapshot, read)
    }

    /// As [`TreeMem::visible`], from a key's newest version on.
    fn visible_from<T>(&self, newest: VersionId, snapshot: CommitTs, read: impl FnOnce(&RowVersion) -> T) -> Option<T> {
        let mut id = newest;
        let chunks = self.chunks.load();
        loop {
            let (chunk, at) = place(id);
            let version = chunks.get(chunk).and_then(|chunk| chunk.get(at))?;
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
        let mut entries = self.index.range::<[u8], _>((from, to));
        let mut reached = None;
        for _ in 0..count {
            let entry = if range.reverse { entries.next_back() } else { entries.next() };
            let Some(entry) = entry else { return (None, true) };
            self.visible_from(VersionId(entry.value().load(Ordering::Acquire)), snapshot, |version| {
                visit(&version.key, &version.row, version.schema);
            });
            reached = Some(entry);
        }
        (reached.map(|entry| Bytes::copy_from_slice(entry.key())), false)
    }

    /// Every version, by key ascending, newest first within a key. Only for memtables that no longer grow.
    pub fn for_each_sorted<E>(&self, mut visit: impl FnMut(VersionId, &RowVersion) -> Result<(), E>) -> Result<(), E> {
        let chunks = self.chunks.load();
        for entry in &self.index {
            let mut next = Some(VersionId(entry.value().load(Ordering::Acquire)));
            while let Some(id) = next {
                let (chunk, at) = place(id);
                let Some(version) = chunks.get(chunk).and_then(|chunk| chunk.get(at)) else { break };
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
}
