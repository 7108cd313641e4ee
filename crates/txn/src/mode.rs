//! Lock modes: one table of conflicts for trees and rows. A row's Share and Exclusive are the tree's, which agree.

use heliosdb_contracts::{RowLockMode, TreeLockMode};

/// Whether two transactions cannot hold these modes at once (PostgreSQL's table, the modes we have).
pub fn conflicts(a: TreeLockMode, b: TreeLockMode) -> bool {
    excluded_by(a).contains(b)
}

fn excluded_by(mode: TreeLockMode) -> ModeSet {
    use TreeLockMode::{AccessExclusive, AccessShare, Exclusive, RowExclusive, Share};
    match mode {
        AccessShare => ModeSet::of(&[AccessExclusive]),
        RowExclusive => ModeSet::of(&[Share, Exclusive, AccessExclusive]),
        Share => ModeSet::of(&[RowExclusive, Exclusive, AccessExclusive]),
        Exclusive => ModeSet::of(&[RowExclusive, Share, Exclusive, AccessExclusive]),
        AccessExclusive => ModeSet::of(&[AccessShare, RowExclusive, Share, Exclusive, AccessExclusive]),
    }
}

/// The mode of a row lock in the common table.
pub(crate) fn row_mode(mode: RowLockMode) -> TreeLockMode {
    match mode {
        RowLockMode::Share => TreeLockMode::Share,
        RowLockMode::Exclusive => TreeLockMode::Exclusive,
    }
}

/// PostgreSQL's name, for messages.
pub(crate) fn mode_name(mode: TreeLockMode) -> &'static str {
    match mode {
        TreeLockMode::AccessShare => "AccessShareLock",
        TreeLockMode::RowExclusive => "RowExclusiveLock",
        TreeLockMode::Share => "ShareLock",
        TreeLockMode::Exclusive => "ExclusiveLock",
        TreeLockMode::AccessExclusive => "AccessExclusiveLock",
    }
}

/// Modes one transaction holds on one thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ModeSet(u8);

fn bit(mode: TreeLockMode) -> u8 {
    match mode {
        TreeLockMode::AccessShare => 1,
        TreeLockMode::RowExclusive => 2,
        TreeLockMode::Share => 4,
        TreeLockMode::Exclusive => 8,
        TreeLockMode::AccessExclusive => 16,
    }
}

impl ModeSet {
    fn of(modes: &[TreeLockMode]) -> ModeSet {
        ModeSet(modes.iter().fold(0, |set, mode| set | bit(*mode)))
    }

    pub fn add(&mut self, mode: TreeLockMode) {
        self.0 |= bit(mode);
    }

    pub fn remove(&mut self, mode: TreeLockMode) {
        self.0 &= !bit(mode);
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn contains(self, mode: TreeLockMode) -> bool {
        self.0 & bit(mode) != 0
    }

    /// Whether someone else may not take `mode` while these are held.
    pub fn excludes(self, mode: TreeLockMode) -> bool {
        self.0 & excluded_by(mode).0 != 0
    }

    /// Whether holding these makes holding `mode` pointless: one of them excludes all that `mode` does.
    pub fn covers(self, mode: TreeLockMode) -> bool {
        use TreeLockMode::{AccessExclusive, AccessShare, Exclusive, RowExclusive, Share};
        let wanted = excluded_by(mode).0;
        let all = [AccessShare, RowExclusive, Share, Exclusive, AccessExclusive];
        all.into_iter().any(|held| self.contains(held) && excluded_by(held).0 & wanted == wanted)
    }

    /// Whether rows of a tree so locked need no locks of their own.
    pub fn covers_rows(self) -> bool {
        self.covers(TreeLockMode::Exclusive)
    }
}

#[cfg(test)]
mod tests {
    use TreeLockMode::{AccessExclusive, AccessShare, Exclusive, RowExclusive, Share};

    use super::*;

    const ALL: [TreeLockMode; 5] = [AccessShare, RowExclusive, Share, Exclusive, AccessExclusive];

    #[test]
    fn conflicts_are_symmetric_and_as_postgresql_has_them() {
        let table = ["....x", "..xxx", ".x.xx", ".xxxx", "xxxxx"];
        for (a, row) in ALL.iter().zip(table) {
            for (b, cell) in ALL.iter().zip(row.chars()) {
                assert_eq!(conflicts(*a, *b), cell == 'x', "{a:?} {b:?}");
                assert_eq!(conflicts(*a, *b), conflicts(*b, *a));
            }
        }
    }

    #[test]
    fn stronger_modes_cover_weaker_ones() {
        let covers = |held: &[TreeLockMode], mode| ModeSet::of(held).covers(mode);
        assert!(covers(&[AccessExclusive], Exclusive) && covers(&[Exclusive], RowExclusive));
        assert!(covers(&[Exclusive], Share) && covers(&[Share], AccessShare) && covers(&[RowExclusive], AccessShare));
        assert!(!covers(&[RowExclusive], Share) && !covers(&[Share], RowExclusive));
        assert!(!covers(&[Share, RowExclusive], Exclusive), "Share excludes writers but not a second Share");
        assert!(!covers(&[], AccessShare));
        assert!(ModeSet::of(&[Exclusive]).covers_rows() && !ModeSet::of(&[RowExclusive]).covers_rows());
    }
}
