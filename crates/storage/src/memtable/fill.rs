//! Filling a tree from the log: one thread, and nobody reads before it is done. So what each row needs is kept at hand, where a
//! commit has to ask for it again, and searches come in runs whose misses of the processor's caches overlap. Its keys are not put in
//! order: that is for trees which replay made, whose order is made when somebody asks.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use heliosdb_types::{CommitTs, SchemaVersion};

use super::chunk::{Chunk, RowVersion, VersionId};
use super::hash::{Hashed, PARTS, Part, part_of};
use super::tree::{TreeMem, capacity, id_of, place};

/// Rows for a tree that is empty and that nobody reads before [`TreeFill::settle`].
pub(crate) struct TreeFill {
    mem: Arc<TreeMem>,
    /// Full ones...
    chunks: Vec<Arc<Chunk>>,
    /// ...and the versions of the next one.
    last: Vec<OnceLock<RowVersion>>,
    parts: [Arc<Part>; PARTS],
    bytes: usize,
    live: usize,
}

/// A key's first and newest version.
pub(crate) type Found = (VersionId, VersionId);

impl TreeFill {
    pub fn new(mem: Arc<TreeMem>) -> TreeFill {
        assert!(
            mem.len() == 0 && mem.order.is_replayed(),
            "a tree is filled once, and its keys are put in order later"
        );
        TreeFill {
            chunks: Vec::new(),
            last: Vec::with_capacity(capacity(0)),
            parts: std::array::from_fn(|part| mem.hashes.load_part(part)),
            bytes: 0,
            live: 0,
            mem,
        }
    }

    /// Gives the tree its rows.
    pub fn settle(mut self) {
        let full: usize = self.chunks.iter().map(|chunk| chunk.len()).sum();
        let len = full + self.last.len();
        if !self.last.is_empty() {
            self.close_chunk();
        }
        self.mem.chunks.store(Arc::new(self.chunks));
        self.mem.bytes.store(self.bytes, Ordering::Relaxed);
        self.mem.live.store(self.live, Ordering::Relaxed);
        self.mem.len.store(u32::try_from(len).expect("versions are numbered by 32 bits"), Ordering::Release);
    }

    fn at(&self, id: VersionId) -> Option<&RowVersion> {
        let (chunk, at) = place(id);
        match self.chunks.get(chunk) {
            Some(chunk) => chunk.get(at),
            None => self.last.get(at).and_then(OnceLock::get),
        }
    }

    /// Reads what [`TreeFill::find`] reads first. Of many calls one after another none waits for the one before; the sum of what
    /// they return must be used, or they are left out.
    pub fn touch(&self, hash: u64) -> u64 {
        self.parts.get(part_of(hash)).map_or(0, |part| part.first_slot(hash))
    }

    pub fn find(&self, key: &[u8], hash: u64) -> Option<Found> {
        let is_it = |id| self.at(id).is_some_and(|version| version.key == key);
        let first = match self.parts.get(part_of(hash))?.find(hash, is_it) {
            Hashed::Found(first) => first,
            Hashed::Absent => return None,
            Hashed::Unknown => self.mem.order.find(key)?,
        };
        Some((first, self.at(first).and_then(RowVersion::newest).unwrap_or(first)))
    }

    /// Ends a version if it is live and began before `ts`; says whether it did.
    pub fn end(&mut self, id: VersionId, ts: CommitTs) -> bool {
        let (chunk, at) = place(id);
        let ended = self.at(id).is_some_and(|row| row.is_live() && row.begin < ts)
            && match self.chunks.get(chunk) {
                Some(chunk) => chunk.finish(at, ts),
                None => self.last.get(at).and_then(OnceLock::get).is_some_and(|row| row.finish(ts)),
            };
        self.live -= usize::from(ended);
        ended
    }

    /// When a version ends.
    pub fn end_of(&self, id: VersionId) -> CommitTs {
        self.at(id).map_or(CommitTs::MAX, RowVersion::end)
    }

    /// Adds the newest version of a key, of which `before` are those there are. Returns the bytes it takes.
    pub fn push(
        &mut self,
        (key, hash): (Bytes, u64),
        row: Bytes,
        schema: SchemaVersion,
        begin: CommitTs,
        before: Option<Found>,
    ) -> usize {
        let id = id_of(self.chunks.len(), self.last.len());
        let version = RowVersion::new(key, row, schema, begin, before.map(|(_, newest)| newest));
        let bytes = version.bytes();
        self.bytes += bytes;
        self.live += 1;
        self.last.push(OnceLock::from(version));
        match before {
            Some((first, _)) => _ = self.at(first).map(|first| first.set_newest(id)),
            None => self.index(hash, id),
        }
        if self.last.len() == capacity(self.chunks.len()) {
            self.close_chunk();
        }
        bytes
    }

    fn close_chunk(&mut self) {
        let next = Vec::with_capacity(capacity(self.chunks.len() + 1));
        let chunk = Chunk::filled(std::mem::replace(&mut self.last, next), capacity(self.chunks.len()));
        self.chunks.push(Arc::new(chunk));
    }

    fn index(&mut self, hash: u64, id: VersionId) {
        let Some(part) = self.parts.get_mut(part_of(hash)) else { return };
        if part.is_crowded() {
            *part = self.mem.hashes.grow(part_of(hash));
        }
        if !part.add(hash, id)
            && let Some(version) = self.last.last().and_then(OnceLock::get)
        {
            self.mem.order.stray(&version.key, id);
        }
    }
}

#[cfg(test)]
mod tests {
    use heliosdb_contracts::KeyRange;

    use super::super::hash::hash_of;
    use super::*;

    fn key(n: u64) -> Bytes {
        Bytes::from([&[1][..], &n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()].concat())
    }

    /// What a commit does, and what a replay does, with the newest row of a key.
    fn write(tree: &TreeMem, fill: &mut TreeFill, n: u64, ts: CommitTs, row: Option<Bytes>) {
        let (key, hash) = (key(n), hash_of(&key(n)));
        if let Some((id, true)) = tree.newest(&key, |id, row| (id, row.is_live())) {
            assert!(tree.finish(id, ts));
        }
        let before = fill.find(&key, hash);
        if let Some((_, newest)) = before {
            fill.end(newest, ts);
        }
        if let Some(row) = row {
            let bytes = tree.push(key.clone(), row.clone(), SchemaVersion(1), ts);
            assert_eq!(fill.push((key, hash), row, SchemaVersion(1), ts, before), bytes);
        }
    }

    /// Keys and rows a snapshot sees, in order.
    fn rows(tree: &TreeMem, at: u64) -> Vec<(Bytes, Bytes)> {
        let range = KeyRange { lower: Bytes::new(), upper: None, reverse: false };
        let mut rows = Vec::new();
        let visit = |key: &Bytes, row: &Bytes, _| rows.push((key.clone(), row.clone()));
        tree.visible_range(None, &range, CommitTs(at), usize::MAX, visit);
        rows
    }

    #[test]
    fn a_filled_tree_is_one_that_commits_wrote() {
        let (tree, filled) = (TreeMem::new(), Arc::new(TreeMem::replaying()));
        let mut fill = TreeFill::new(filled.clone());
        let steps = 30_000_u64;
        for n in 0..steps {
            // New keys, and older ones again: replaced, deleted, written anew.
            let (of, deletes) = if n % 3 == 0 { (n / 7, n % 5 == 0) } else { (n, false) };
            let row = (!deletes).then(|| Bytes::from(n.to_be_bytes().to_vec()));
            write(&tree, &mut fill, of, CommitTs(n + 1), row);
        }
        fill.settle();
        let facts = |tree: &TreeMem| (tree.len(), tree.live_rows(), tree.bytes(), tree.chunks().len());
        assert_eq!(facts(&tree), facts(&filled));
        for at in [1, 500, steps / 2, steps] {
            let expected = rows(&tree, at);
            assert!(at < 500 || expected.len() > 300);
            assert_eq!(expected, rows(&filled, at), "at {at}");
        }
        for n in 0..steps {
            let newest = |tree: &TreeMem| tree.newest(&key(n), |id, row| (id, row.begin, row.end(), row.older()));
            assert_eq!(newest(&tree), newest(&filled), "key {n}");
        }
    }

    #[test]
    fn a_version_that_began_with_a_commit_is_not_ended_by_it() {
        let mut fill = TreeFill::new(Arc::new(TreeMem::replaying()));
        let hash = hash_of(&key(1));
        fill.push((key(1), hash), Bytes::new(), SchemaVersion(1), CommitTs(5), None);
        let (_, newest) = fill.find(&key(1), hash).unwrap();
        assert!(!fill.end(newest, CommitTs(5)));
        assert!(fill.end(newest, CommitTs(6)) && !fill.end(newest, CommitTs(7)));
        assert_eq!(fill.end_of(newest), CommitTs(6));
    }
}
