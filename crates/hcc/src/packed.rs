//! Bit-packed unsigned integers with O(1) access.
//!
//! Full chunks of 1,024 values use the FastLanes layout (vector unpacking); the rest, which would waste up to a whole
//! chunk, is packed one value after the other. Widths up to 32 bits use 32-bit words, wider ones 64-bit words.
#![allow(unsafe_code)]

use arrow_buffer::ScalarBuffer;
use fastlanes::BitPacking;
use heliosdb_types::Result;

use crate::layout::{Reader, Writer, corrupt};

pub(crate) const CHUNK: usize = 1024;
/// Values that lie side by side in a chunk of 32-bit words.
pub(crate) const GROUP: usize = 32;

/// In which order FastLanes keeps the groups of 16 among 128 values; its own inverse.
const ORDER: [usize; 8] = [0, 4, 2, 6, 1, 5, 3, 7];

/// Where value `at` of a chunk of `BITS`-bit words begins: the word, and the bit in it. What does not fit continues one row of
/// words (1024 / `BITS`) later.
fn place<const BITS: usize>(width: usize, at: usize) -> (usize, usize) {
    let lanes = CHUNK / BITS;
    let row = ORDER.get(at % 128 / lanes * (lanes / 16)).copied().unwrap_or(0) * 8 + at / 128;
    let bit = row * width;
    (bit / BITS * lanes + at % lanes, bit % BITS)
}

/// Unpacking a chunk costs about as much as this many single reads.
const GATHER_MIN: usize = 48;

/// Bits needed for values up to `max`.
pub(crate) fn width_of(max: u64) -> u8 {
    (64 - max.leading_zeros()) as u8
}

/// Bytes [`write_packed`] takes for `rows` values of `width` bits, headers aside.
pub(crate) fn packed_bytes(rows: usize, width: u8) -> usize {
    rows / CHUNK * 128 * usize::from(width) + (rows % CHUNK * usize::from(width)).div_ceil(64) * 8
}

/// Writes `width | padding | chunks | tail`. `value(i)` must fit the width that `max` needs; it is not asked where that is 0.
pub(crate) fn write_packed(writer: &mut Writer, rows: usize, max: u64, value: impl Fn(usize) -> u64) {
    let width = width_of(max);
    writer.u64(u64::from(width));
    writer.align();
    let full = rows / CHUNK;
    if width > 0 && width <= 32 {
        let mut input = [0_u32; CHUNK];
        let mut output = vec![0_u32; 32 * usize::from(width)];
        for chunk in 0..full {
            for (i, slot) in input.iter_mut().enumerate() {
                *slot = value(chunk * CHUNK + i) as u32;
            }
            // SAFETY: the input has 1,024 values and the output 1024 * width / 32 words.
            unsafe { u32::unchecked_pack(usize::from(width), &input, &mut output) };
            writer.words(&output);
        }
    } else if width > 32 {
        let mut input = [0_u64; CHUNK];
        let mut output = vec![0_u64; 16 * usize::from(width)];
        for chunk in 0..full {
            for (i, slot) in input.iter_mut().enumerate() {
                *slot = value(chunk * CHUNK + i);
            }
            // SAFETY: the input has 1,024 values and the output 1024 * width / 64 words.
            unsafe { u64::unchecked_pack(usize::from(width), &input, &mut output) };
            writer.words(&output);
        }
    }
    writer.words(&pack_tail(full * CHUNK..rows, width, value));
    writer.align();
}

fn pack_tail(rows: std::ops::Range<usize>, width: u8, value: impl Fn(usize) -> u64) -> Vec<u64> {
    let width = usize::from(width);
    let mut words = vec![0_u64; (rows.len() * width).div_ceil(64)];
    if width == 0 {
        return words;
    }
    for (i, row) in rows.enumerate() {
        let (word, shift) = (i * width / 64, i * width % 64);
        let bits = u128::from(value(row)) << shift;
        words[word] |= bits as u64;
        if shift + width > 64 {
            words[word + 1] |= (bits >> 64) as u64;
        }
    }
    words
}

#[derive(Debug)]
enum Words {
    None,
    Narrow(ScalarBuffer<u32>),
    Wide(ScalarBuffer<u64>),
}

/// Packed values of an opened block.
#[derive(Debug)]
pub(crate) struct Packed {
    width: usize,
    rows: usize,
    chunks: Words,
    tail: ScalarBuffer<u64>,
}

impl Packed {
    pub(crate) fn read(reader: &mut Reader, rows: usize) -> Result<Packed> {
        let width = reader.u64()?;
        if width > 64 {
            return Err(corrupt("values are packed wider than 64 bits"));
        }
        let width = width as usize;
        reader.align();
        let full = rows / CHUNK;
        let chunks = match width {
            0 => Words::None,
            1..=32 => Words::Narrow(reader.words(full * 32 * width)?),
            _ => Words::Wide(reader.words(full * 16 * width)?),
        };
        let tail = reader.words((rows % CHUNK * width).div_ceil(64))?;
        reader.align();
        Ok(Packed { width, rows, chunks, tail })
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Whether values fit 32 bits, so that [`Packed::chunk32`] may be used.
    pub(crate) fn is_narrow(&self) -> bool {
        self.width <= 32
    }

    fn mask(&self) -> u64 {
        if self.width == 64 { u64::MAX } else { (1 << self.width) - 1 }
    }

    fn tail_value(&self, at: usize) -> u64 {
        let (word, shift) = (at * self.width / 64, at * self.width % 64);
        let low = self.tail.get(word).copied().unwrap_or(0) >> shift;
        let high =
            if shift + self.width > 64 { self.tail.get(word + 1).copied().unwrap_or(0) << (64 - shift) } else { 0 };
        (low | high) & self.mask()
    }

    /// One value; 0 beyond the end.
    pub(crate) fn get(&self, row: usize) -> u64 {
        if self.width == 0 || row >= self.rows {
            return 0;
        }
        let (chunk, at) = (row / CHUNK, row % CHUNK);
        if chunk == self.rows / CHUNK {
            return self.tail_value(at);
        }
        match &self.chunks {
            Words::None => 0,
            Words::Narrow(words) => {
                let (word, shift) = place::<32>(self.width, at);
                let word = chunk * 32 * self.width + word;
                let low = words.get(word).copied().unwrap_or(0) >> shift;
                let spills = shift + self.width > 32;
                let high = if spills { words.get(word + 32).copied().unwrap_or(0) << (32 - shift) } else { 0 };
                u64::from(low | high) & self.mask()
            }
            Words::Wide(words) => {
                let (word, shift) = place::<64>(self.width, at);
                let word = chunk * 16 * self.width + word;
                let low = words.get(word).copied().unwrap_or(0) >> shift;
                let spills = shift + self.width > 64;
                let high = if spills { words.get(word + 16).copied().unwrap_or(0) << (64 - shift) } else { 0 };
                (low | high) & self.mask()
            }
        }
    }

    /// The values of an aligned group of 32, those beyond the end being 0. Narrow ones lie side by side, so that all of them
    /// cost little more than one.
    pub(crate) fn group(&self, group: usize) -> [u64; GROUP] {
        let mut out = [0; GROUP];
        let (chunk, at) = (group * GROUP / CHUNK, group * GROUP % CHUNK);
        match &self.chunks {
            Words::Narrow(words) if chunk < self.rows / CHUNK => {
                let (word, shift) = place::<32>(self.width, at);
                let words = words.get(chunk * 32 * self.width + word..).unwrap_or(&[]);
                let mask = self.mask();
                out.iter_mut().zip(words).for_each(|(slot, low)| *slot = u64::from(low >> shift) & mask);
                if shift + self.width > 32 {
                    let next = words.get(GROUP..).unwrap_or(&[]);
                    let high = |high: &u32| u64::from(*high) << (32 - shift) & mask;
                    out.iter_mut().zip(next).for_each(|(slot, next)| *slot |= high(next));
                }
            }
            _ => out.iter_mut().zip(group * GROUP..).for_each(|(slot, row)| *slot = self.get(row)),
        }
        out
    }

    /// Calls `emit` with the values of a short range in order, up to [`GROUP`] at a time.
    pub(crate) fn groups(&self, range: std::ops::Range<usize>, mut emit: impl FnMut(&[u64])) {
        let end = range.end.min(self.rows);
        let mut at = range.start;
        while at < end {
            if at / CHUNK == self.rows / CHUNK {
                emit(&[self.tail_value(at % CHUNK)]);
                at += 1;
                continue;
            }
            let first = at / GROUP * GROUP;
            let stop = end.min(first + GROUP);
            emit(self.group(at / GROUP).get(at - first..stop - first).unwrap_or(&[]));
            at = stop;
        }
    }

    /// How many values chunk `chunk` has.
    fn chunk_len(&self, chunk: usize) -> usize {
        (self.rows - chunk * CHUNK).min(CHUNK)
    }

    /// Unpacks one chunk of narrow values and returns how many there are. Values must be narrow.
    pub(crate) fn chunk32(&self, chunk: usize, out: &mut [u32; CHUNK]) -> usize {
        debug_assert!(self.is_narrow());
        let len = self.chunk_len(chunk);
        if self.width == 0 {
            out.fill(0);
        } else if len < CHUNK {
            for (at, slot) in out.iter_mut().enumerate().take(len) {
                *slot = self.tail_value(at) as u32;
            }
        } else if let Words::Narrow(words) = &self.chunks {
            let words = &words[chunk * 32 * self.width..(chunk + 1) * 32 * self.width];
            // SAFETY: `words` is exactly one packed chunk of this width and the output has 1,024 slots.
            unsafe { u32::unchecked_unpack(self.width, words, out) };
        }
        len
    }

    /// Unpacks one chunk of values of any width and returns how many there are.
    pub(crate) fn chunk64(&self, chunk: usize, out: &mut [u64; CHUNK]) -> usize {
        let len = self.chunk_len(chunk);
        match &self.chunks {
            _ if len < CHUNK => {
                for (at, slot) in out.iter_mut().enumerate().take(len) {
                    *slot = self.tail_value(at);
                }
            }
            Words::Wide(words) => {
                let words = &words[chunk * 16 * self.width..(chunk + 1) * 16 * self.width];
                // SAFETY: `words` is exactly one packed chunk of this width and the output has 1,024 slots.
                unsafe { u64::unchecked_unpack(self.width, words, out) };
            }
            Words::Narrow(_) | Words::None => {
                let mut narrow = [0_u32; CHUNK];
                self.chunk32(chunk, &mut narrow);
                for (slot, value) in out.iter_mut().zip(narrow) {
                    *slot = u64::from(value);
                }
            }
        }
        len
    }

    /// Calls `emit` with the values of `range` in order, a slice at a time; narrow values only.
    pub(crate) fn slices32(&self, range: std::ops::Range<usize>, mut emit: impl FnMut(&[u32])) {
        let mut out = [0_u32; CHUNK];
        self.each_chunk(range, |chunk, part| {
            self.chunk32(chunk, &mut out);
            emit(&out[part]);
        });
    }

    /// Calls `emit` with the values of `range` in order, a slice at a time.
    pub(crate) fn slices64(&self, range: std::ops::Range<usize>, mut emit: impl FnMut(&[u64])) {
        let mut out = [0_u64; CHUNK];
        self.each_chunk(range, |chunk, part| {
            self.chunk64(chunk, &mut out);
            emit(&out[part]);
        });
    }

    fn each_chunk(&self, range: std::ops::Range<usize>, mut visit: impl FnMut(usize, std::ops::Range<usize>)) {
        let end = range.end.min(self.rows);
        let mut at = range.start;
        while at < end {
            let chunk = at / CHUNK;
            let stop = end.min((chunk + 1) * CHUNK);
            visit(chunk, at - chunk * CHUNK..stop - chunk * CHUNK);
            at = stop;
        }
    }

    /// The values of `rows` in the order given; 0 for rows beyond the end. Unpacks a chunk where that is cheaper than
    /// reading its rows one by one.
    pub(crate) fn gather(&self, rows: &[u32], mut emit: impl FnMut(u64)) {
        if self.width == 0 || !rows.is_sorted() {
            return rows.iter().for_each(|row| emit(self.get(*row as usize)));
        }
        let (mut narrow, mut wide) = ([0_u32; CHUNK], [0_u64; CHUNK]);
        let mut rest = rows;
        while let Some(row) = rest.first() {
            let chunk = *row as usize / CHUNK;
            let end = ((chunk + 1) * CHUNK).min(self.rows);
            let count = rest.partition_point(|row| (*row as usize) < end);
            // The rest lies beyond the end.
            let (part, after) = rest.split_at(if count == 0 { rest.len() } else { count });
            rest = after;
            if count < GATHER_MIN {
                part.iter().for_each(|row| emit(self.get(*row as usize)));
            } else if self.is_narrow() {
                self.chunk32(chunk, &mut narrow);
                part.iter().for_each(|row| emit(u64::from(narrow[*row as usize % CHUNK])));
            } else {
                self.chunk64(chunk, &mut wide);
                part.iter().for_each(|row| emit(wide[*row as usize % CHUNK]));
            }
        }
    }

    pub(crate) fn max(&self) -> u64 {
        let mut max = 0;
        if self.width == 0 {
            return 0;
        }
        if self.is_narrow() {
            self.slices32(0..self.rows, |values| max = max.max(u64::from(values.iter().copied().max().unwrap_or(0))));
        } else {
            self.slices64(0..self.rows, |values| max = max.max(values.iter().copied().max().unwrap_or(0)));
        }
        max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_and_odd_lengths() {
        for width in 0..=64_u32 {
            for rows in [1_usize, 63, 1023, 1024, 1025, 3000] {
                let mask = if width == 64 { u64::MAX } else { (1 << width) - 1 };
                let value = |i: usize| (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17) & mask;
                let mut writer = Writer::default();
                write_packed(&mut writer, rows, mask, value);
                let bytes = writer.finish();
                assert_eq!(bytes.len(), 16 + packed_bytes(rows, width as u8).next_multiple_of(16));
                let packed = Packed::read(&mut Reader::new(bytes.into()), rows).unwrap();
                let expected: Vec<u64> = (0..rows).map(value).collect();
                assert_eq!((0..rows).map(|i| packed.get(i)).collect::<Vec<_>>(), expected, "width {width}");
                let groups: Vec<u64> = (0..rows.div_ceil(GROUP)).flat_map(|group| packed.group(group)).collect();
                assert_eq!(groups.get(..rows).unwrap(), expected, "width {width}");
                assert!(groups.iter().skip(rows).all(|beyond| *beyond == 0));
                for range in [0..1, 5..40, 31..33, 900..rows, 1020..1030, rows..rows + 9] {
                    let mut some = Vec::new();
                    packed.groups(range.clone(), |values| some.extend_from_slice(values));
                    let there = expected.iter().skip(range.start).take(range.len());
                    assert!(some.iter().eq(there), "width {width}, {range:?}");
                }
                let mut all = Vec::new();
                packed.slices64(0..rows, |values| all.extend_from_slice(values));
                assert_eq!(all, expected, "width {width}");
                let picks: Vec<u32> = (0..rows as u32).step_by(3).collect();
                let mut gathered = Vec::new();
                packed.gather(&picks, |value| gathered.push(value));
                assert_eq!(gathered, picks.iter().map(|i| expected[*i as usize]).collect::<Vec<_>>());
                // Many of a chunk, few of the next, some beyond the end.
                let picks: Vec<u32> = (0..400).chain([1030, 2990, 2999, 3000, 5000, 5001]).collect();
                let mut gathered = Vec::new();
                packed.gather(&picks, |value| gathered.push(value));
                let wanted = picks.iter().map(|i| expected.get(*i as usize).copied().unwrap_or(0));
                assert!(gathered.iter().copied().eq(wanted), "width {width}");
                assert_eq!(packed.max(), expected.iter().copied().max().unwrap());
            }
        }
    }
}
