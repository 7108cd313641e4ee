//! A part of the row cache: rows in a ring, found by a table.
//!
//! Room is made at the ring's old end. What was used since it was written, or last came there, is written again at the new end, the
//! rest is forgotten: CLOCK, with no list to keep. An entry whose key was given a newer one is forgotten there, too.
//! Invariant: every place in the table is that of an entry in the ring with the same hash.

use smallvec::SmallVec;

use super::entry::{Entry, is_used, set_used};
use super::ring::{Ring, UNIT};
use super::table::{Place, Table};
use super::{RowBytes, RowOrigin};
use crate::memtable::BranchTree;

/// A part is large enough for evictions to be about its own rows only, and small enough for few to wait for its lock.
const PART_BYTES: u64 = 4 << 20;
const PARTS_MAX: u64 = 64;
const BLOCK_BYTES_MIN: u64 = 64 << 10;
const BLOCK_BYTES_MAX: u64 = 1 << 20;
/// A slot of the table for so many bytes of the ring: entries are hardly ever smaller.
const BYTES_A_SLOT: usize = 64;
/// So many used entries are written again for one that enters; beyond that they go: whoever reads must not pay for all of them.
const AGAIN_MAX: usize = 8;

/// How large the parts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    block_bytes: usize,
    blocks: usize,
}

impl Sizes {
    /// How many parts, and how large each: together about `capacity_bytes`, tables included.
    pub fn of(capacity_bytes: u64) -> (usize, Sizes) {
        let parts = (capacity_bytes / PART_BYTES).clamp(1, PARTS_MAX);
        let parts = if parts.is_power_of_two() { parts } else { parts.next_power_of_two() / 2 };
        // The table takes an eighth of what the rows take.
        let rows = capacity_bytes / parts / 9 * 8;
        let block = (rows / 16).clamp(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX) / UNIT as u64 * UNIT as u64;
        let most = u64::from(u32::MAX) / 2 * UNIT as u64;
        let blocks = (rows.min(most) / block).max(1);
        (parts as usize, Sizes { block_bytes: block as usize, blocks: blocks as usize })
    }
}

#[derive(Debug)]
pub(super) struct Part {
    table: Table,
    ring: Ring,
    scratch: Vec<u8>,
}

impl Part {
    pub fn new(sizes: Sizes) -> Part {
        let Sizes { block_bytes, blocks } = sizes;
        let table = Table::new(block_bytes * blocks / BYTES_A_SLOT);
        Part { table, ring: Ring::new(blocks, block_bytes), scratch: Vec::new() }
    }

    fn entry(&self, hash: u32, tree: BranchTree, key: &[u8]) -> Option<(Place, Entry<'_>)> {
        let mut found = None;
        let is_it = |place: Place| {
            found = Entry::decode(self.ring.at(place)).filter(|entry| entry.key == key && entry.tree == tree);
            found.is_some()
        };
        let place = self.table.find(hash, is_it)?;
        Some((place, found?))
    }

    /// Puts the row of a key into `row`, if it is wanted; then it counts as used.
    pub fn find(
        &mut self,
        hash: u32,
        tree: BranchTree,
        key: &[u8],
        row: &mut RowBytes,
        is_wanted: impl FnOnce(&RowOrigin) -> bool,
    ) -> Option<RowOrigin> {
        let (place, entry) = self.entry(hash, tree, key).filter(|(_, entry)| is_wanted(&entry.origin))?;
        row.clear();
        row.extend_from_slice(entry.bytes);
        let origin = entry.origin;
        if !is_used(self.ring.at(place))
            && let Some(bytes) = self.ring.bytes_mut(place)
        {
            set_used(bytes, true);
        }
        Some(origin)
    }

    /// Keeps a row. Says how much more memory the part has now.
    pub fn insert(&mut self, entry: &Entry<'_>) -> u64 {
        let bytes = entry.byte_len();
        if bytes > self.ring.block_bytes() / 4 || entry.key.len() > usize::from(u16::MAX) {
            return 0;
        }
        if let Some((before, _)) = self.entry(entry.hash, entry.tree, entry.key) {
            self.table.remove(entry.hash, before);
        }
        let mut written = std::mem::take(&mut self.scratch);
        written.clear();
        // Where each of them ends, and its hash.
        let mut ends: SmallVec<[(usize, u32); AGAIN_MAX + 1]> = SmallVec::new();
        // All that is written is less than a block, so it meets one block's end and leaves one gap there, smaller than a row.
        let gap = self.ring.block_bytes() / 4;
        while self.table.room() <= ends.len()
            || self.ring.free_bytes() < written.len() + bytes + (ends.len() + 1) * UNIT + gap
        {
            self.make_room(&mut written, &mut ends);
        }
        entry.encode(&mut written);
        ends.push((written.len(), entry.hash));
        let (mut start, mut grown) = (0, 0);
        for (end, hash) in ends {
            let (place, made) = self.ring.push(written.get(start..end).unwrap_or(&[]));
            self.table.insert(hash, place);
            grown += if made { self.ring.block_bytes() + self.ring.block_bytes() / 8 } else { 0 };
            start = end;
        }
        self.scratch = written;
        grown as u64
    }

    /// Gives up the oldest entry. If it was used, it is to be written again.
    fn make_room(&mut self, again: &mut Vec<u8>, ends: &mut SmallVec<[(usize, u32); AGAIN_MAX + 1]>) {
        let oldest = self.ring.oldest().expect("a part without entries has room");
        let bytes = self.ring.at(oldest);
        let entry = Entry::decode(bytes).expect("entries are written whole");
        let (hash, len) = (entry.hash, entry.byte_len());
        let kept = is_used(bytes) && ends.len() < AGAIN_MAX && again.len() + len <= self.ring.block_bytes() / 16;
        let start = again.len();
        if kept {
            again.extend_from_slice(bytes.get(..len).unwrap_or(&[]));
        }
        self.ring.give_up(len);
        if !self.table.remove(hash, oldest) {
            // Its key has a newer one.
            again.truncate(start);
        } else if kept {
            set_used(again.get_mut(start..).unwrap_or(&mut []), false);
            ends.push((again.len(), hash));
        }
    }
}

#[cfg(test)]
mod tests {
    use heliosdb_types::{BranchId, CommitTs, DatabaseId, SchemaVersion, SegmentId, TreeId, TreeRef};

    use super::*;

    const TREE: BranchTree = (BranchId(0), TreeRef { database: DatabaseId(1), tree: TreeId(2000) });

    fn origin(row: u32) -> RowOrigin {
        RowOrigin { segment: SegmentId(9), row, begin: CommitTs(1), schema: SchemaVersion(1) }
    }

    fn insert(part: &mut Part, key: u32, row: u32, bytes: &[u8]) -> u64 {
        let (hash, key) = (key.wrapping_mul(0x9e37_79b9), key.to_be_bytes());
        part.insert(&Entry { hash, tree: TREE, key: &key, origin: origin(row), bytes })
    }

    fn find(part: &mut Part, key: u32) -> Option<(u32, Vec<u8>)> {
        let mut row = RowBytes::new();
        let found = part.find(key.wrapping_mul(0x9e37_79b9), TREE, &key.to_be_bytes(), &mut row, |_| true)?;
        Some((found.row, row.to_vec()))
    }

    fn small() -> Part {
        Part::new(Sizes { block_bytes: 16 << 10, blocks: 2 })
    }

    #[test]
    fn sizes_follow_the_capacity() {
        for capacity in [0, 1 << 16, 1 << 20, 10 << 20, 300 << 20, 1 << 30, 1 << 40] {
            let (parts, Sizes { block_bytes, blocks }) = Sizes::of(capacity);
            assert!(parts.is_power_of_two() && block_bytes % UNIT == 0);
            let all = (parts * blocks * block_bytes) as u64 / 8 * 9;
            assert!(all <= capacity.max(BLOCK_BYTES_MIN / 8 * 9), "{all} of {capacity}");
            assert!(all >= capacity / 4 * 3 || !(1 << 18..=1 << 39).contains(&capacity), "{all} of {capacity}");
        }
    }

    #[test]
    fn the_newest_rows_stay_and_memory_ends() {
        let mut part = small();
        let row = |key: u32| vec![key as u8; 20 + key as usize % 90];
        let grown: u64 = (0..10_000).map(|key| insert(&mut part, key, key, &row(key))).sum();
        for key in 9_800..10_000 {
            assert_eq!(find(&mut part, key), Some((key, row(key))));
        }
        assert_eq!(grown, 2 * (18 << 10));
        assert_eq!(find(&mut part, 1), None);
        assert!(insert(&mut part, 1, 1, &[0; 5000]) == 0 && find(&mut part, 1).is_none(), "too large");
    }

    #[test]
    fn rows_in_use_outlive_others() {
        let mut part = small();
        (0..5).for_each(|key| _ = insert(&mut part, key, key, b"used"));
        for key in 5..5_000 {
            insert(&mut part, key, key, b"a row that is read once");
            assert_eq!(find(&mut part, key % 5), Some((key % 5, b"used".to_vec())), "after {key}");
        }
        // All in use: then the oldest go all the same, and those that stay are still found.
        for key in 5_000..10_000 {
            insert(&mut part, key, key, b"a row that is read at once");
            assert!(find(&mut part, key).is_some());
        }
        assert_eq!(find(&mut part, 5_000), None);
    }

    #[test]
    fn a_key_has_its_last_row_and_only_wanted_ones_are_given() {
        let mut part = small();
        for round in 0..2_000 {
            insert(&mut part, 7, round, &round.to_le_bytes());
            assert_eq!(find(&mut part, 7), Some((round, round.to_le_bytes().to_vec())));
            if round % 3 == 0 {
                insert(&mut part, 1_000 + round, round, b"another");
            }
        }
        let hash = 7_u32.wrapping_mul(0x9e37_79b9);
        let mut row = RowBytes::new();
        assert!(part.find(hash, TREE, &7_u32.to_be_bytes(), &mut row, |_| false).is_none());
        let other = (BranchId(1), TREE.1);
        assert!(part.find(hash, other, &7_u32.to_be_bytes(), &mut row, |_| true).is_none(), "of another branch");
    }
}
