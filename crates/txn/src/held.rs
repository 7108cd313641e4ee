//! What one transaction holds, so that it can be released, asserted and escalated without searching the lock table.
//!
//! While a savepoint is open every change is noted, so that going back to it gives up exactly what was taken since. What an
//! escalation did is not undone: the tree lock stays, which is more than needed and never less.

use bytes::Bytes;
use heliosdb_contracts::{RowLockMode, TreeLockMode};
use heliosdb_types::TreeRef;
use rustc_hash::FxHashMap;

use crate::mode::{ModeSet, row_mode};

#[derive(Debug, Default)]
pub(crate) struct Held {
    trees: FxHashMap<TreeRef, HeldTree>,
    savepoints: usize,
    changes: Vec<Change>,
}

#[derive(Debug, Default)]
struct HeldTree {
    modes: ModeSet,
    rows: FxHashMap<Bytes, ModeSet>,
    /// Number of row locks at which escalation is tried next; 0: not decided yet.
    escalate_at: usize,
}

/// A lock (on a row, or without key on the tree) and what was held of it before.
#[derive(Debug)]
struct Change {
    tree: TreeRef,
    key: Option<Bytes>,
    before: ModeSet,
}

/// A lock to be set back to what was held of it.
#[derive(Debug, PartialEq)]
pub(crate) struct Undo {
    pub tree: TreeRef,
    pub key: Option<Bytes>,
    pub to: ModeSet,
}

impl Held {
    pub fn covers_tree(&self, tree: TreeRef, mode: TreeLockMode) -> bool {
        self.trees.get(&tree).is_some_and(|held| held.modes.covers(mode))
    }

    pub fn covers_row(&self, tree: TreeRef, key: &[u8], mode: RowLockMode) -> bool {
        self.trees.get(&tree).is_some_and(|held| {
            held.modes.covers_rows() || held.rows.get(key).is_some_and(|held| held.covers(row_mode(mode)))
        })
    }

    pub fn add_tree(&mut self, tree: TreeRef, mode: TreeLockMode) {
        let modes = &mut self.trees.entry(tree).or_default().modes;
        if self.savepoints > 0 && !modes.contains(mode) {
            self.changes.push(Change { tree, key: None, before: *modes });
        }
        modes.add(mode);
    }

    /// Notes a tree lock that no savepoint gives back.
    pub fn escalate(&mut self, tree: TreeRef, mode: TreeLockMode) {
        self.trees.entry(tree).or_default().modes.add(mode);
        for change in self.changes.iter_mut().filter(|change| change.tree == tree && change.key.is_none()) {
            change.before.add(mode);
        }
    }

    /// Notes a row lock. Returns whether the row is new here, and whether escalation should be tried now.
    pub fn add_row(&mut self, tree: TreeRef, key: Bytes, mode: RowLockMode, threshold: usize) -> (bool, bool) {
        let held = self.trees.entry(tree).or_default();
        let before = held.rows.get(&key).copied().unwrap_or_default();
        if self.savepoints > 0 {
            self.changes.push(Change { tree, key: Some(key.clone()), before });
        }
        let mut modes = before;
        modes.add(row_mode(mode));
        held.rows.insert(key, modes);
        if held.escalate_at == 0 {
            held.escalate_at = threshold;
        }
        let escalate = held.rows.len() >= held.escalate_at;
        if escalate {
            // If it fails now, others write the tree too; it is tried again after another quarter.
            held.escalate_at = held.rows.len() + threshold / 4 + 1;
        }
        (before.is_empty(), escalate)
    }

    /// What is held of a row by itself.
    pub fn row_modes(&self, tree: TreeRef, key: &[u8]) -> ModeSet {
        self.trees.get(&tree).and_then(|held| held.rows.get(key)).copied().unwrap_or_default()
    }

    /// Notes that a row lock is back to what it was; false if it was no more than that.
    pub fn set_row_back(&mut self, tree: TreeRef, key: &Bytes, before: ModeSet) -> bool {
        let Some(held) = self.trees.get_mut(&tree) else { return false };
        match held.rows.get(key) {
            None => return false,
            Some(modes) if *modes == before => return false,
            Some(_) if before.is_empty() => _ = held.rows.remove(key),
            Some(_) => _ = held.rows.insert(key.clone(), before),
        }
        true
    }

    /// Takes a tree's row locks, which its tree lock has made pointless.
    pub fn take_rows(&mut self, tree: TreeRef) -> FxHashMap<Bytes, ModeSet> {
        self.trees.get_mut(&tree).map(|held| std::mem::take(&mut held.rows)).unwrap_or_default()
    }

    /// Begins to note changes; the mark to go back to.
    pub fn savepoint(&mut self) -> u64 {
        self.savepoints += 1;
        self.changes.len() as u64
    }

    /// A savepoint is forgotten, with `nested` ones after it.
    pub fn release_savepoint(&mut self, nested: usize) {
        self.savepoints = self.savepoints.saturating_sub(nested + 1);
        if self.savepoints == 0 {
            self.changes = Vec::new();
        }
    }

    /// Goes back to a mark; `nested` savepoints after it are forgotten. What has to be set back, newest first.
    pub fn rollback_to(&mut self, mark: u64, nested: usize) -> Vec<Undo> {
        self.savepoints = self.savepoints.saturating_sub(nested);
        let mut undo = Vec::new();
        while self.changes.len() as u64 > mark
            && let Some(Change { tree, key, before }) = self.changes.pop()
        {
            let Some(held) = self.trees.get_mut(&tree) else { continue };
            match &key {
                None => held.modes = before,
                // Gone with an escalation: the tree lock holds it.
                Some(key) if !held.rows.contains_key(key) => continue,
                Some(key) if before.is_empty() => _ = held.rows.remove(key),
                Some(key) => _ = held.rows.insert(key.clone(), before),
            }
            undo.push(Undo { tree, key, to: before });
        }
        undo
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
        assert!(held.covers_row(tree, b"a", RowLockMode::Share) && !held.covers_row(tree, b"a", RowLockMode::Update));
        held.add_row(tree, Bytes::from_static(b"a"), RowLockMode::Update, 10);
        assert!(held.covers_row(tree, b"a", RowLockMode::Share) && !held.covers_row(tree, b"b", RowLockMode::Share));
        held.add_tree(tree, TreeLockMode::Exclusive);
        assert!(held.covers_row(tree, b"b", RowLockMode::Update));
        assert_eq!(held.take_rows(tree).len(), 1);
    }

    #[test]
    fn escalation_is_tried_at_the_threshold_and_again_later() {
        let tree = TreeRef::default();
        let mut held = Held::default();
        let tried: Vec<u32> = (1..=20u32)
            .filter(|n| held.add_row(tree, Bytes::copy_from_slice(&n.to_be_bytes()), RowLockMode::Update, 8).1)
            .collect();
        assert_eq!(tried, [8, 11, 14, 17, 20]);
    }

    #[test]
    fn going_back_gives_up_what_was_taken_since() {
        let tree = TreeRef::default();
        let key = |name: &'static str| Bytes::from_static(name.as_bytes());
        let mut held = Held::default();
        held.add_tree(tree, TreeLockMode::RowShare);
        held.add_row(tree, key("a"), RowLockMode::KeyShare, 100);
        let outer = held.savepoint();
        held.add_tree(tree, TreeLockMode::RowExclusive);
        held.add_row(tree, key("a"), RowLockMode::Update, 100);
        let inner = held.savepoint();
        held.add_row(tree, key("b"), RowLockMode::Update, 100);
        let undo = held.rollback_to(inner, 0);
        assert_eq!(undo, [Undo { tree, key: Some(key("b")), to: ModeSet::default() }]);
        assert!(
            held.covers_row(tree, b"a", RowLockMode::Update) && !held.covers_row(tree, b"b", RowLockMode::KeyShare)
        );
        assert_eq!(held.rollback_to(outer, 1).len(), 2);
        assert!(held.covers_row(tree, b"a", RowLockMode::KeyShare) && !held.covers_row(tree, b"a", RowLockMode::Share));
        assert!(!held.covers_tree(tree, TreeLockMode::RowExclusive) && held.covers_tree(tree, TreeLockMode::RowShare));
        held.release_savepoint(0);
        assert!(held.changes.is_empty() && held.savepoints == 0);
    }
}
