//! Memory for rows: a ring of blocks, written at one end and given up at the other.
//!
//! A row is bytes beside each other inside one block, at a multiple of [`UNIT`]; the rest of a block that the next row does not fit
//! into is a gap. Blocks are made when the ring first comes to them, and stay. So rows that come and go neither ask the allocator nor
//! leave holes, and a row costs the pages it lies in.

/// Rows begin at multiples of this.
pub(super) const UNIT: usize = 16;

/// Stands for a row's length where a gap begins.
const GAP: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Ring {
    blocks: Vec<Box<[u8]>>,
    blocks_max: usize,
    block_units: u32,
    /// Where the next row goes, and where the oldest one is.
    head: u32,
    tail: u32,
    used: u32,
}

impl Ring {
    pub fn new(blocks_max: usize, block_bytes: usize) -> Ring {
        let block_units = (block_bytes / UNIT) as u32;
        assert!(blocks_max > 0 && block_units > 1 && blocks_max as u64 * u64::from(block_units) < u64::from(u32::MAX));
        Ring { blocks: Vec::new(), blocks_max, block_units, head: 0, tail: 0, used: 0 }
    }

    /// Bytes of a block.
    pub fn block_bytes(&self) -> usize {
        self.block_units as usize * UNIT
    }

    fn units(&self) -> u32 {
        self.blocks_max as u32 * self.block_units
    }

    fn units_of(bytes: usize) -> u32 {
        bytes.div_ceil(UNIT) as u32
    }

    /// What is left of the block that `place` is in.
    fn rest(&self, place: u32) -> u32 {
        self.block_units - place % self.block_units
    }

    /// What older rows leave.
    pub fn free_bytes(&self) -> usize {
        (self.units() - self.used) as usize * UNIT
    }

    /// Whether so many bytes can be written without giving up older ones.
    pub fn has_room(&self, bytes: usize) -> bool {
        let (units, rest) = (Ring::units_of(bytes), self.rest(self.head));
        let gap = if units > rest { rest } else { 0 };
        self.units() - self.used >= units + gap
    }

    /// Writes a row, whose first four bytes are not [`GAP`], where there is room. Says where, and whether a block was made for it.
    pub fn push(&mut self, row: &[u8]) -> (u32, bool) {
        assert!(self.has_room(row.len()) && row.len() <= self.block_bytes(), "the caller has made room");
        assert!(row.first_chunk() != Some(&GAP.to_le_bytes()), "a length that no row has");
        let (units, rest) = (Ring::units_of(row.len()), self.rest(self.head));
        if units > rest {
            if let Some(gap) = self.bytes_mut(self.head).and_then(|bytes| bytes.first_chunk_mut()) {
                *gap = GAP.to_le_bytes();
            }
            self.go_on(rest);
        }
        let place = self.head;
        let made = (place / self.block_units) as usize >= self.blocks.len();
        if made {
            self.blocks.push(vec![0; self.block_bytes()].into_boxed_slice());
        }
        if let Some(bytes) = self.bytes_mut(place).and_then(|bytes| bytes.get_mut(..row.len())) {
            bytes.copy_from_slice(row);
        }
        self.go_on(units);
        (place, made)
    }

    fn go_on(&mut self, units: u32) {
        self.head = (self.head + units) % self.units();
        self.used += units;
    }

    /// Where the oldest row is.
    pub fn oldest(&mut self) -> Option<u32> {
        if self.used > 0 && self.at(self.tail).first_chunk() == Some(&GAP.to_le_bytes()) {
            self.give_up_units(self.rest(self.tail));
        }
        (self.used > 0).then_some(self.tail)
    }

    /// Gives up the oldest row, of so many bytes.
    pub fn give_up(&mut self, bytes: usize) {
        self.give_up_units(Ring::units_of(bytes));
    }

    fn give_up_units(&mut self, units: u32) {
        assert!(units <= self.used, "no more is given up than was written");
        self.tail = (self.tail + units) % self.units();
        self.used -= units;
    }

    /// The bytes from a place to the end of its block.
    pub fn at(&self, place: u32) -> &[u8] {
        let block = self.blocks.get((place / self.block_units) as usize);
        block.and_then(|block| block.get((place % self.block_units) as usize * UNIT..)).unwrap_or(&[])
    }

    pub fn bytes_mut(&mut self, place: u32) -> Option<&mut [u8]> {
        let block = self.blocks.get_mut((place / self.block_units) as usize)?;
        block.get_mut((place % self.block_units) as usize * UNIT..)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    #[test]
    fn rows_are_kept_in_their_order_until_they_are_given_up() {
        let mut ring = Ring::new(3, 256);
        let mut model: VecDeque<(u32, Vec<u8>)> = VecDeque::new();
        let mut blocks = 0;
        for n in 0..2_000_usize {
            let mut row = vec![n as u8; 8 + n * 31 % 120];
            row[3] = 0;
            while !ring.has_room(row.len()) {
                let (place, oldest) = model.pop_front().unwrap();
                assert_eq!(ring.oldest(), Some(place));
                ring.give_up(oldest.len());
            }
            let (place, made) = ring.push(&row);
            blocks += usize::from(made);
            model.push_back((place, row));
            for (place, row) in &model {
                assert_eq!(&ring.at(*place)[..row.len()], row, "at {place} after {n}");
            }
        }
        assert_eq!(blocks, 3);
        assert!(model.len() >= 5, "{} rows in 768 bytes", model.len());
        while let Some((place, row)) = model.pop_front() {
            assert_eq!(ring.oldest(), Some(place));
            ring.give_up(row.len());
        }
        assert_eq!((ring.oldest(), ring.used), (None, 0));
    }
}
