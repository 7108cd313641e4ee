//! Where each string of a block starts: distances from a straight line, bit-packed.
//!
//! Strings of similar lengths end near `row * average`, so a distance takes a few bits where an offset takes seventeen, and
//! unlike lengths it is readable in O(1).

use heliosdb_types::Result;

use crate::layout::{Reader, Writer, corrupt};
use crate::packed::{Packed, packed_bytes, width_of, write_packed};

const SLOPE_BITS: u32 = 16;

fn predicted(slope: u64, index: usize) -> i64 {
    ((u128::from(slope) * index as u128) >> SLOPE_BITS) as i64
}

struct Line {
    slope: u64,
    lowest: i64,
    max: u64,
}

fn fit(ends: &[u64]) -> Line {
    let rows = ends.len().max(1) as u64;
    let slope = (ends.last().copied().unwrap_or(0) << SLOPE_BITS) / rows;
    let (mut low, mut high) = (0_i64, 0_i64);
    for (i, end) in ends.iter().enumerate() {
        let distance = *end as i64 - predicted(slope, i + 1);
        (low, high) = (low.min(distance), high.max(distance));
    }
    Line { slope, lowest: low, max: (high - low) as u64 }
}

/// Bytes the offsets of these ends will take.
pub(crate) fn offset_bytes(ends: &[u64]) -> usize {
    32 + packed_bytes(ends.len() + 1, width_of(fit(ends).max))
}

/// Writes the offsets of strings that end at `ends` (the first starts at 0).
pub(crate) fn write_offsets(writer: &mut Writer, ends: &[u64]) {
    let line = fit(ends);
    writer.u64(line.slope);
    writer.u64(line.lowest as u64);
    write_packed(writer, ends.len() + 1, line.max, |i| {
        let offset = if i == 0 { 0 } else { ends[i - 1] };
        (offset as i64 - predicted(line.slope, i) - line.lowest) as u64
    });
}

/// Offsets of an opened block. Invariant: ascending, the last is the length of the data.
#[derive(Debug)]
pub(crate) struct Offsets {
    slope: u64,
    lowest: i64,
    distances: Packed,
}

impl Offsets {
    pub(crate) fn read(reader: &mut Reader, rows: usize, data_len: usize) -> Result<Offsets> {
        let slope = reader.u64()?;
        let lowest = reader.u64()? as i64;
        let distances = Packed::read(reader, rows + 1)?;
        if slope >> 48 != 0 || distances.width() > 40 || lowest.unsigned_abs() >> 40 != 0 {
            return Err(corrupt("string offsets are out of range"));
        }
        let offsets = Offsets { slope, lowest, distances };
        let (mut last, mut ascending) = (0, true);
        offsets.each(0..rows + 1, |offset| {
            ascending &= offset >= last;
            last = offset;
        });
        if !ascending || offsets.at(0) != 0 || last != data_len {
            return Err(corrupt("string offsets do not ascend to the length of the data"));
        }
        Ok(offsets)
    }

    fn at(&self, index: usize) -> usize {
        self.place(index, self.distances.get(index))
    }

    fn place(&self, index: usize, distance: u64) -> usize {
        predicted(self.slope, index).wrapping_add(self.lowest).wrapping_add(distance as i64).max(0) as usize
    }

    /// Start and end of a row's bytes.
    pub(crate) fn bounds(&self, row: usize) -> (usize, usize) {
        (self.at(row), self.at(row + 1))
    }

    fn each(&self, range: std::ops::Range<usize>, mut visit: impl FnMut(usize)) {
        let mut index = range.start;
        self.distances.slices64(range, |values| {
            for value in values {
                visit(self.place(index, *value));
                index += 1;
            }
        });
    }

    /// Offsets `range.start ..= range.end`: one more than there are rows.
    pub(crate) fn decode(&self, range: std::ops::Range<usize>) -> Vec<usize> {
        let mut out = Vec::with_capacity(range.len() + 1);
        self.each(range.start..range.end + 1, |offset| out.push(offset));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lengths_need_no_bits() {
        let ends: Vec<u64> = (1..=5000).map(|i| i * 25).collect();
        assert_eq!(offset_bytes(&ends), 32);
    }

    #[test]
    fn uneven_lengths() {
        for rows in [0_usize, 1, 7, 1024, 2500] {
            let mut end = 0;
            let ends: Vec<u64> = (0..rows)
                .map(|i| {
                    end += (i as u64 * 7919) % 50 + if i == 3 { 100_000 } else { 0 };
                    end
                })
                .collect();
            let mut writer = Writer::default();
            write_offsets(&mut writer, &ends);
            let offsets = Offsets::read(&mut Reader::new(writer.finish().into()), rows, end as usize).unwrap();
            for row in 0..rows {
                let start = if row == 0 { 0 } else { ends[row - 1] as usize };
                assert_eq!(offsets.bounds(row), (start, ends[row] as usize));
            }
            assert_eq!(offsets.decode(0..rows).len(), rows + 1);
        }
    }
}
