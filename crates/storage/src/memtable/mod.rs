//! Rows in memory: generations of row versions, all trees of a shard together.
//!
//! The newest generation takes writes; older ones are frozen and wait to become segments. All trees rotate at one log
//! position, so one replay point covers the shard. Writers append under the commit mutex; readers never wait for them.

mod chunk;
mod fill;
mod hash;
mod image;
mod order;
mod tree;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use heliosdb_types::{BranchId, CommitTs, Lsn, TreeRef};
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;

pub(crate) use chunk::{Chunk, VersionId};
pub(crate) use fill::TreeFill;
pub(crate) use hash::hash_of;
pub(crate) use tree::{TreeMem, is_empty};

/// A tree on a branch.
pub(crate) type BranchTree = (BranchId, TreeRef);

#[derive(Default)]
pub(crate) struct Generation {
    trees: RwLock<FxHashMap<BranchTree, Arc<TreeMem>>>,
    bytes: AtomicUsize,
    /// The log is replayed into it, by one thread; it is frozen before anybody else uses it.
    replaying: bool,
    /// Set once, at rotation.
    rotation: RwLock<Option<Rotation>>,
    /// Versions that ended after the rotation: replayed onto the segments when those are installed.
    late: Mutex<Vec<(BranchTree, VersionId, CommitTs)>>,
}

/// The last record and commit a frozen generation holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rotation {
    pub lsn: Lsn,
    pub ts: CommitTs,
}

impl Generation {
    /// One that the log is replayed into.
    pub fn replaying() -> Generation {
        Generation { replaying: true, ..Generation::default() }
    }

    pub fn tree(&self, tree: BranchTree) -> Option<Arc<TreeMem>> {
        self.trees.read().get(&tree).cloned()
    }

    pub fn tree_or_new(&self, tree: BranchTree) -> Arc<TreeMem> {
        if let Some(found) = self.tree(tree) {
            return found;
        }
        let new = if self.replaying { TreeMem::replaying } else { TreeMem::new };
        self.trees.write().entry(tree).or_insert_with(|| Arc::new(new())).clone()
    }

    /// In order of branch and tree.
    pub fn trees(&self) -> Vec<(BranchTree, Arc<TreeMem>)> {
        let mut trees: Vec<_> = self.trees.read().iter().map(|(&tree, mem)| (tree, mem.clone())).collect();
        trees.sort_by_key(|(tree, _)| *tree);
        trees
    }

    pub fn is_empty(&self) -> bool {
        self.trees.read().is_empty()
    }

    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub fn add_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Frees its rows, and calls `rest` after each few thousand. Those that somebody else still reads are left to them.
    pub fn forget(self: Arc<Generation>, mut rest: impl FnMut()) {
        let Some(generation) = Arc::into_inner(self) else { return };
        for memtable in generation.trees.into_inner().into_values().filter_map(Arc::into_inner) {
            memtable.forget(&mut rest);
        }
    }

    pub fn rotation(&self) -> Option<Rotation> {
        *self.rotation.read()
    }

    pub fn freeze(&self, at: Rotation) {
        let before = self.rotation.write().replace(at);
        assert!(before.is_none(), "a generation is frozen once");
    }

    /// A version of this generation has ended.
    pub fn ended(&self, tree: BranchTree, version: VersionId, ts: CommitTs) {
        if self.rotation.read().is_some() {
            self.late.lock().push((tree, version, ts));
        }
    }

    /// The versions that ended after the rotation, so far, without the first `from`. They stay: a freeze that fails is
    /// tried again and needs them all.
    pub fn late_from(&self, from: usize) -> Vec<(BranchTree, VersionId, CommitTs)> {
        self.late.lock().get(from..).unwrap_or_default().to_vec()
    }
}
