//! What of a segment will be read soon, said to the disk before it is waited for.
//!
//! A column of a block takes a few kilobytes, so a cold scan that reads one after the other waits for the disk's latency each
//! time. Announced, they are on their way together; and the system reads nothing beside them.

use std::ops::Range;

use super::SegmentReader;
use super::format::Place;

/// Places this close are announced as one: a request costs the disk about what these bytes do.
const GAP_BYTES: u64 = 32 << 10;

impl SegmentReader {
    /// Announces chunks, by block and number, that the cache does not have, and what their columns' blocks share. Their bytes.
    pub fn announce(&self, wanted: impl Iterator<Item = (usize, usize)>) -> u64 {
        // Not before: who reads a segment's keys from one end to the other without announcing is better off with the kernel's guess.
        self.announced.call_once(|| self.file.expect_scattered_reads());
        let mut places: Vec<Place> = Vec::new();
        let mut columns: Vec<usize> = Vec::new();
        for (block, chunk) in wanted {
            if self.cache.holds(&self.key(block, chunk)) {
                continue;
            }
            let found = self.info.blocks.get(block).and_then(|block| block.chunks.get(chunk));
            places.extend(found.map(|chunk| chunk.place));
            if !columns.contains(&chunk) {
                columns.push(chunk);
            }
        }
        let bytes = places.iter().map(|place| u64::from(place.len)).sum();
        for column in columns {
            let shared = self.info.shared.get(column).map_or(&[][..], Vec::as_slice);
            if !shared.is_empty() && !self.cache.holds_shared(&(self.id, column as u32)) {
                places.extend(shared);
            }
        }
        together(places).for_each(|range| self.file.announce(range.start, range.end - range.start));
        bytes
    }

    /// Announces all chunks of a block, for who reads a segment as a whole.
    pub(super) fn announce_block(&self, block: usize) {
        self.announce((0..self.types.len()).map(|chunk| (block, chunk)));
    }
}

/// Places as ranges of the file, in order, those close to each other as one.
fn together(mut places: Vec<Place>) -> impl Iterator<Item = Range<u64>> {
    places.sort_unstable_by_key(|place| place.offset);
    let mut places = places.into_iter().map(|place| place.offset..place.offset + u64::from(place.len)).peekable();
    std::iter::from_fn(move || {
        let mut range = places.next()?;
        while let Some(next) = places.next_if(|next| next.start <= range.end + GAP_BYTES) {
            range.end = range.end.max(next.end);
        }
        Some(range)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_close_to_each_other_are_one_range() {
        let place = |offset, len| Place { offset, len, crc: 0 };
        let places = vec![place(900_000, 10), place(16, 100), place(2_000, 500), place(2_200, 50), place(35_268, 1)];
        let ranges: Vec<_> = together(places).collect();
        assert_eq!(ranges, [16..35_269, 900_000..900_010]);
        assert_eq!(together(Vec::new()).count(), 0);
    }
}
