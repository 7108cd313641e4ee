//! What serializable transactions have read and written: key marks, range marks, whole-tree marks.
//!
//! A mark may cover more than was touched, never less: many keys of one transaction in one tree become a mark on the tree.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use heliosdb_contracts::KeyRange;
use heliosdb_types::{TreeRef, TxnId};
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

/// Marks of one transaction in one tree from which it marks the whole tree.
const MARKS_PER_TREE: usize = 2_000;

/// What is read or written.
#[derive(Clone, Debug)]
pub(crate) enum Mark {
    Key(Bytes),
    Range(KeyRange),
    Tree,
}

#[derive(Debug, Default)]
pub(super) struct Marks {
    trees: FxHashMap<TreeRef, TreeMarks>,
    /// What each transaction has marked, to take it away again.
    of: FxHashMap<TxnId, FxHashMap<TreeRef, Own>>,
}

#[derive(Debug, Default)]
struct TreeMarks {
    whole: FxHashSet<TxnId>,
    ranges: Vec<(TxnId, KeyRange)>,
    keys: BTreeMap<Bytes, SmallVec<[TxnId; 2]>>,
}

#[derive(Debug, Default)]
struct Own {
    whole: bool,
    ranges: usize,
    keys: Vec<Bytes>,
}

impl Marks {
    pub fn add(&mut self, txn: TxnId, tree: TreeRef, mark: &Mark) {
        let own = self.of.entry(txn).or_default().entry(tree).or_default();
        if own.whole {
            return;
        }
        let marks = self.trees.entry(tree).or_default();
        match mark {
            Mark::Tree => {}
            Mark::Key(key) => {
                let holders = marks.keys.entry(key.clone()).or_default();
                if holders.contains(&txn) {
                    return;
                }
                holders.push(txn);
                own.keys.push(key.clone());
            }
            Mark::Range(range) => {
                if marks.ranges.iter().any(|(by, known)| *by == txn && covers(known, range)) {
                    return;
                }
                marks.ranges.push((txn, range.clone()));
                own.ranges += 1;
            }
        }
        if matches!(mark, Mark::Tree) || own.keys.len() + own.ranges >= MARKS_PER_TREE {
            self.mark_whole(txn, tree);
        }
    }

    fn mark_whole(&mut self, txn: TxnId, tree: TreeRef) {
        let Some(own) = self.of.get_mut(&txn).and_then(|trees| trees.get_mut(&tree)) else { return };
        let Some(marks) = self.trees.get_mut(&tree) else { return };
        marks.forget(txn, own);
        *own = Own { whole: true, ..Own::default() };
        marks.whole.insert(txn);
    }

    /// Replaces all of a transaction's marks by marks on whole trees.
    pub fn coarsen(&mut self, txn: TxnId) {
        let trees: Vec<TreeRef> = self.of.get(&txn).map(|own| own.keys().copied().collect()).unwrap_or_default();
        trees.into_iter().for_each(|tree| self.mark_whole(txn, tree));
    }

    /// Takes over another transaction's marks, which are on whole trees.
    pub fn merge(&mut self, from: TxnId, into: TxnId) {
        let trees: Vec<TreeRef> = self.of.get(&from).map(|own| own.keys().copied().collect()).unwrap_or_default();
        self.remove(from);
        trees.into_iter().for_each(|tree| self.add(into, tree, &Mark::Tree));
    }

    pub fn remove(&mut self, txn: TxnId) {
        for (tree, own) in self.of.remove(&txn).unwrap_or_default() {
            let Some(marks) = self.trees.get_mut(&tree) else { continue };
            marks.forget(txn, &own);
            if own.whole {
                marks.whole.remove(&txn);
            }
            if marks.whole.is_empty() && marks.ranges.is_empty() && marks.keys.is_empty() {
                self.trees.remove(&tree);
            }
        }
    }

    /// Others whose marks meet this one.
    pub fn meeting(&self, txn: TxnId, tree: TreeRef, mark: &Mark) -> FxHashSet<TxnId> {
        let Some(marks) = self.trees.get(&tree) else { return FxHashSet::default() };
        let mut found = marks.whole.clone();
        match mark {
            Mark::Key(key) => {
                found.extend(marks.keys.get(key).into_iter().flatten());
                found.extend(marks.ranges.iter().filter(|(_, range)| range.contains(key)).map(|(by, _)| *by));
            }
            Mark::Range(range) => {
                let upper = range.upper.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
                let empty = range.upper.as_ref().is_some_and(|upper| *upper <= range.lower);
                if !empty {
                    let keys = marks.keys.range::<Bytes, _>((Bound::Included(&range.lower), upper));
                    found.extend(keys.flat_map(|(_, by)| by));
                }
                found.extend(marks.ranges.iter().filter(|(_, known)| meets(known, range)).map(|(by, _)| *by));
            }
            Mark::Tree => {
                found.extend(marks.keys.values().flatten());
                found.extend(marks.ranges.iter().map(|(by, _)| *by));
            }
        }
        found.remove(&txn);
        found
    }

    pub fn is_empty(&self) -> bool {
        self.trees.is_empty() && self.of.is_empty()
    }
}

impl TreeMarks {
    /// Takes a transaction's keys and ranges out.
    fn forget(&mut self, txn: TxnId, own: &Own) {
        if own.ranges > 0 {
            self.ranges.retain(|(by, _)| *by != txn);
        }
        for key in &own.keys {
            if let Some(holders) = self.keys.get_mut(key) {
                holders.retain(|by| *by != txn);
                if holders.is_empty() {
                    self.keys.remove(key);
                }
            }
        }
    }
}

fn covers(outer: &KeyRange, inner: &KeyRange) -> bool {
    let upper = match (&outer.upper, &inner.upper) {
        (None, _) => true,
        (Some(outer), Some(inner)) => inner <= outer,
        (Some(_), None) => false,
    };
    outer.lower <= inner.lower && upper
}

fn meets(a: &KeyRange, b: &KeyRange) -> bool {
    let below = |a: &KeyRange, b: &KeyRange| a.upper.as_ref().is_none_or(|upper| b.lower < *upper);
    below(a, b) && below(b, a)
}
