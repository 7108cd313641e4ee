//! Lock modes: one table of conflicts for trees, rows and advisory locks. A row's four modes are four of a tree's eight that
//! exclude each other in the same way, as PostgreSQL maps them too.

use heliosdb_contracts::{RowLockMode, TreeLockMode};

/// Whether two transactions cannot hold these modes at once (PostgreSQL's table).
pub fn conflicts(a: TreeLockMode, b: TreeLockMode) -> bool {
    excluded_by(a).contains(b)
}

/// All modes, in PostgreSQL's order.
pub(crate) const ALL_MODES: [TreeLockMode; 8] = [
    TreeLockMode::AccessShare,
    TreeLockMode::RowShare,
    TreeLockMode::RowExclusive,
    TreeLockMode::ShareUpdateExclusive,
    TreeLockMode::Share,
    TreeLockMode::ShareRowExclusive,
    TreeLockMode::Exclusive,
    TreeLockMode::AccessExclusive,
];

const fn excluded_by(mode: TreeLockMode) -> ModeSet {
    ModeSet(mode.excluded())
}

/// The mode of a row lock in the common table.
pub(crate) fn row_mode(mode: RowLockMode) -> TreeLockMode {
    match mode {
        RowLockMode::KeyShare => TreeLockMode::AccessShare,
        RowLockMode::Share => TreeLockMode::RowShare,
        RowLockMode::NoKeyUpdate => TreeLockMode::Exclusive,
        RowLockMode::Update => TreeLockMode::AccessExclusive,
    }
}

/// Modes one transaction holds on one thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ModeSet(u8);

const fn bit(mode: TreeLockMode) -> u8 {
    1 << mode as u8
}

impl ModeSet {
    pub fn of(modes: &[TreeLockMode]) -> ModeSet {
        ModeSet(modes.iter().fold(0, |set, mode| set | bit(*mode)))
    }

    /// The modes in it, weakest first.
    pub fn modes(self) -> impl Iterator<Item = TreeLockMode> {
        ALL_MODES.into_iter().filter(move |mode| self.contains(*mode))
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

    pub fn intersection(self, other: ModeSet) -> ModeSet {
        ModeSet(self.0 & other.0)
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
        let wanted = excluded_by(mode).0;
        self.modes().any(|held| excluded_by(held).0 & wanted == wanted)
    }

    /// Whether who waits for `before` and conflicts with something also waits for `mode`'s conflicts.
    pub fn covers_conflicts(before: TreeLockMode, mode: TreeLockMode) -> bool {
        ModeSet::of(&[before]).covers(mode)
    }

    /// Whether rows of a tree so locked need no locks of their own.
    pub fn covers_rows(self) -> bool {
        self.covers(TreeLockMode::Exclusive)
    }
}

#[cfg(test)]
mod tests {
    use TreeLockMode::{AccessExclusive, AccessShare, Exclusive, RowExclusive, RowShare, Share, ShareRowExclusive};

    use super::*;

    #[test]
    fn conflicts_are_symmetric_and_as_postgresql_has_them() {
        let table = [".......x", "......xx", "....xxxx", "...xxxxx", "..xx.xxx", "..xxxxxx", ".xxxxxxx", "xxxxxxxx"];
        for (a, row) in ALL_MODES.iter().zip(table) {
            for (b, cell) in ALL_MODES.iter().zip(row.chars()) {
                assert_eq!(conflicts(*a, *b), cell == 'x', "{a:?} {b:?}");
                assert_eq!(conflicts(*a, *b), conflicts(*b, *a));
            }
        }
    }

    #[test]
    fn row_modes_exclude_each_other_as_postgresqls_do() {
        use RowLockMode::{KeyShare, NoKeyUpdate, Share, Update};
        let all = [KeyShare, Share, NoKeyUpdate, Update];
        for (a, row) in all.into_iter().zip(["...x", "..xx", ".xxx", "xxxx"]) {
            for (b, cell) in all.into_iter().zip(row.chars()) {
                assert_eq!(conflicts(row_mode(a), row_mode(b)), cell == 'x', "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn stronger_modes_cover_weaker_ones() {
        let covers = |held: &[TreeLockMode], mode| ModeSet::of(held).covers(mode);
        assert!(covers(&[AccessExclusive], Exclusive) && covers(&[Exclusive], RowExclusive));
        assert!(covers(&[Exclusive], Share) && covers(&[Share], AccessShare) && covers(&[RowExclusive], AccessShare));
        assert!(covers(&[RowExclusive], RowShare) && covers(&[ShareRowExclusive], Share));
        assert!(!covers(&[RowExclusive], Share) && !covers(&[Share], RowExclusive));
        assert!(!covers(&[Share, RowExclusive], Exclusive), "Share excludes writers but not readers' row locks");
        assert!(!covers(&[], AccessShare));
        assert!(ModeSet::of(&[Exclusive]).covers_rows() && !ModeSet::of(&[RowExclusive]).covers_rows());
    }
}
