//! What one transaction holds, so that it can be released, asserted and escalated without searching the lock table.

use bytes::Bytes;
use heliosdb_contracts::{RowLockMode, TreeLockMode};
use heliosdb_types::TreeRef;
use rustc_hash::FxHashMap;

use crate::mode::ModeSet;

#[derive(Debug, Default)]
pub(crate) struct Held {
    trees: FxHashMap<TreeRef, HeldTree>,
}

#[derive(Debug, Default)]
struct HeldTree {
    modes: ModeSet,
    rows: FxHashMap<Bytes, RowLockMode>,
    /// Number of row locks at which escalation is tried next; 0: not decided yet.
    escalate_at: usize,
}

impl Held {
    pub fn covers_tree(&self, tree: TreeRef, mode: TreeLockMode) -> bool {
        self.trees.get(&tree).is_some_and(|held| held.modes.covers(mode))
    }

    pub fn covers_row(&self, tree: TreeRef, key: &[u8], mode: RowLockMode) -> bool {
        self.trees.get(&tree).is_some_and(|held| {
            let row = held.rows.get(key);
            held.modes.covers_rows() || row.is_some_and(|held| *held == mode || *held == RowLockMode::Exclusive)
        })
    }

    pub fn add_tree(&mut self, tree: TreeRef, mode: TreeLockMode) {
        self.trees.entry(tree).or_default().modes.add(mode);
    }

    /// Notes a row lock. Returns whether the row is new here, and whether escalation should be tried now.
    pub fn add_row(&mut self, tree: TreeRef, key: Bytes, mode: RowLockMode, threshold: usize) -> (bool, bool) {
        let held = self.trees.entry(tree).or_default();
        let new = held.rows.insert(key, mode).is_none();
        if held.escalate_at == 0 {
            held.escalate_at = threshold;
        }
        let escalate = held.rows.len() >= held.escalate_at;
        if escalate {
            // If it fails now, others write the tree too; it is tried again after another quarter.
            held.escalate_at = held.rows.len() + threshold / 4 + 1;
        }
        (new, escalate)
    }

    /// Forgets a row lock; false if there is none of its own.
    pub fn remove_row(&mut self, tree: TreeRef, key: &[u8]) -> bool {
        self.trees.get_mut(&tree).is_some_and(|held| held.rows.remove(key).is_some())
    }

    /// Takes a tree's row locks, which its tree lock has made pointless.
    pub fn take_rows(&mut self, tree: TreeRef) -> FxHashMap<Bytes, RowLockMode> {
        self.trees.get_mut(&tree).map(|held| std::mem::take(&mut held.rows)).unwrap_or_default()
    }

    /// Every tree with its locked rows.
    pub fn into_trees(self) -> impl Iterator<Item = (TreeRef, impl Iterator<Item = Bytes>)> {
        self.trees.into_iter().map(|(tree, held)| (tree, held.rows.into_keys()))
    }
}

#[cfg(test)]
mod tests {
    use heliosdb_types::{DatabaseId, TreeId};

    use super::*;

    #[test]
    fn rows_are_covered_by_their_own_lock_or_their_tree() {
        let tree = TreeRef::new(DatabaseId(1), TreeId(2000));
        let mut held = Held::default();
        held.add_tree(tree, TreeLockMode::RowExclusive);
        assert!(held.covers_tree(tree, TreeLockMode::AccessShare) && !held.covers_tree(tree, TreeLockMode::Share));
        held.add_row(tree, Bytes::from_static(b"a"), RowLockMode::Share, 10);
        assert!(
            held.covers_row(tree, b"a", RowLockMode::Share) && !held.covers_row(tree, b"a", RowLockMode::Exclusive)
        );
        held.add_row(tree, Bytes::from_static(b"a"), RowLockMode::Exclusive, 10);
        assert!(held.covers_row(tree, b"a", RowLockMode::Share) && !held.covers_row(tree, b"b", RowLockMode::Share));
        held.add_tree(tree, TreeLockMode::Exclusive);
        assert!(held.covers_row(tree, b"b", RowLockMode::Exclusive));
        assert_eq!(held.take_rows(tree).len(), 1);
    }

    #[test]
    fn escalation_is_tried_at_the_threshold_and_again_later() {
        let tree = TreeRef::default();
        let mut held = Held::default();
        let tried: Vec<u32> = (1..=20u32)
            .filter(|n| held.add_row(tree, Bytes::copy_from_slice(&n.to_be_bytes()), RowLockMode::Exclusive, 8).1)
            .collect();
        assert_eq!(tried, [8, 11, 14, 17, 20]);
    }
}
