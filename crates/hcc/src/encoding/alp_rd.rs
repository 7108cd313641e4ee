//! Floats that were no decimals (measurements, coordinates): their left bits vary little, their right bits are noise.
//!
//! ```text
//! right bits u64 | count u64 | left parts u64 each | packed codes | packed right parts | patches (row, left part)
//! ```
//! Up to eight left parts (sign, exponent, first bits of the mantissa) get codes; rows with another left part are patches.
//! "Real doubles" of the ALP paper. Read in O(1); filters put the float together and compare.

use std::ops::Range;

use arrow_array::ArrayRef;
use arrow_buffer::{Buffer, NullBuffer};
use heliosdb_types::{Error, PhysicalType, Result};
use rustc_hash::FxHashMap;

use crate::Bitmap;
use crate::arrays::fixed_array;
use crate::cell::Cell;
use crate::encoded::{Encoded, Wanted, misplaced};
use crate::filter::Test;
use crate::filtering::{filter_between, narrowed};
use crate::layout::{Reader, Writer, corrupt};
use crate::order::{float_datum, float_key_of};
use crate::packed::{Packed, packed_bytes, width_of, write_packed};
use crate::patches::{Patches, patch_bytes, write_patches};
use crate::search::search;

/// Left parts with a code.
const LEFT_MAX: usize = 8;
/// Bits a left part may have.
const LEFT_BITS_MAX: u32 = 16;
const SAMPLE: usize = 512;

/// A block's parts, before they are written.
#[derive(Debug)]
pub(crate) struct Split {
    right_bits: u32,
    lefts: Vec<u64>,
    codes: Vec<u8>,
    rights: Vec<u64>,
    patches: Vec<(u32, u64)>,
}

/// The most frequent left parts of a sample, and how many of its values have another.
fn frequent(sample: &[u64], right_bits: u32) -> (Vec<u64>, usize) {
    let mut counts: FxHashMap<u64, usize> = FxHashMap::default();
    sample.iter().for_each(|bits| *counts.entry(bits >> right_bits).or_default() += 1);
    let mut counts: Vec<(u64, usize)> = counts.into_iter().collect();
    counts.sort_unstable_by_key(|(left, count)| (std::cmp::Reverse(*count), *left));
    counts.truncate(LEFT_MAX);
    let covered: usize = counts.iter().map(|(_, count)| count).sum();
    (counts.into_iter().map(|(left, _)| left).collect(), sample.len() - covered)
}

/// Splits values given as bits, `width` bits each.
pub(crate) fn split(values: &[u64], width: u32) -> Split {
    let step = (values.len() / SAMPLE).max(1);
    let sample: Vec<u64> = values.iter().step_by(step).copied().collect();
    let cuts = (1..=LEFT_BITS_MAX).map(|left| width - left);
    let cost = |right_bits: u32| {
        let (lefts, misses) = frequent(&sample, right_bits);
        let code_bits = u32::from(width_of(lefts.len().saturating_sub(1) as u64));
        sample.len() * (right_bits + code_bits) as usize + misses * 32
    };
    let right_bits = cuts.min_by_key(|cut| cost(*cut)).unwrap_or(width - 1);
    let (lefts, _) = frequent(&sample, right_bits);
    let mut out = Split { right_bits, lefts, codes: Vec::new(), rights: Vec::new(), patches: Vec::new() };
    for (row, bits) in values.iter().enumerate() {
        let left = bits >> right_bits;
        let code = out.lefts.iter().position(|known| *known == left);
        if code.is_none() {
            out.patches.push((row as u32, left));
        }
        out.codes.push(code.unwrap_or(0) as u8);
        out.rights.push(bits & ((1 << right_bits) - 1));
    }
    out
}

/// Bytes of the body.
pub(crate) fn size(split: &Split) -> usize {
    let rows = split.codes.len();
    let code_bits = width_of(split.lefts.len().saturating_sub(1) as u64);
    48 + 8 * split.lefts.len()
        + packed_bytes(rows, code_bits)
        + packed_bytes(rows, split.right_bits as u8)
        + patch_bytes(split.patches.len(), rows, LEFT_BITS_MAX as u8)
}

pub(crate) fn write(writer: &mut Writer, split: &Split) {
    writer.u64(u64::from(split.right_bits));
    writer.u64(split.lefts.len() as u64);
    split.lefts.iter().for_each(|left| writer.u64(*left));
    writer.align();
    let rows = split.codes.len();
    write_packed(writer, rows, split.lefts.len().saturating_sub(1) as u64, |row| u64::from(split.codes[row]));
    write_packed(writer, rows, (1 << split.right_bits) - 1, |row| split.rights[row]);
    write_patches(writer, &split.patches);
}

pub(crate) fn read(reader: &mut Reader, physical: PhysicalType, rows: usize) -> Result<AlpRd> {
    let width = if physical == PhysicalType::Float32 { 32 } else { 64 };
    let right_bits = reader.count(width - 1, "left bits are out of range")?;
    let count = reader.count(LEFT_MAX, "too many left parts")?;
    let lefts = (0..count).map(|_| reader.u64()).collect::<Result<Vec<u64>>>()?;
    reader.align();
    let codes = Packed::read(reader, rows)?;
    let rights = Packed::read(reader, rows)?;
    let patches = Patches::read(reader, rows)?;
    if right_bits + (LEFT_BITS_MAX as usize) < width || codes.max() >= count as u64 || rights.width() > right_bits {
        return Err(corrupt("parts of floats are out of range"));
    }
    Ok(AlpRd { physical, rows, right_bits: right_bits as u32, lefts, codes, rights, patches })
}

#[derive(Debug)]
pub(crate) struct AlpRd {
    physical: PhysicalType,
    rows: usize,
    right_bits: u32,
    lefts: Vec<u64>,
    codes: Packed,
    rights: Packed,
    patches: Patches,
}

impl AlpRd {
    fn bits(&self, row: usize) -> u64 {
        let left = self.patches.get(row).unwrap_or_else(|| self.left(self.codes.get(row)));
        left << self.right_bits | self.rights.get(row)
    }

    fn left(&self, code: u64) -> u64 {
        self.lefts.get(code as usize).copied().unwrap_or(0)
    }

    /// Appends a run of floats.
    fn values<T>(&self, range: Range<usize>, out: &mut Vec<T>, map: impl Fn(u64) -> T) {
        let from = out.len();
        let mut lefts: Vec<u64> = Vec::with_capacity(range.len());
        self.codes.slices64(range.clone(), |codes| lefts.extend(codes.iter().map(|code| self.left(*code))));
        for (at, left) in self.patches.within(range.clone()) {
            if let Some(slot) = lefts.get_mut(at) {
                *slot = left;
            }
        }
        self.rights.slices64(range, |rights| {
            let done = out.len() - from;
            let lefts = lefts.get(done..).unwrap_or(&[]);
            out.extend(rights.iter().zip(lefts).map(|(right, left)| map(left << self.right_bits | right)));
        });
    }
}

impl Encoded for AlpRd {
    fn cell<'a>(&'a self, row: usize, _: &mut Vec<u8>) -> Result<Cell<'a>> {
        Ok(Cell::Ready(float_datum(self.bits(row), self.physical)))
    }

    fn decode(&self, range: Range<usize>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let rows = range.len();
        let values = if self.physical == PhysicalType::Float32 {
            let mut out: Vec<u32> = Vec::with_capacity(rows);
            self.values(range, &mut out, |bits| bits as u32);
            Buffer::from_vec(out)
        } else {
            let mut out: Vec<u64> = Vec::with_capacity(rows);
            self.values(range, &mut out, |bits| bits);
            Buffer::from_vec(out)
        };
        fixed_array(values, rows, nulls, self.physical)
    }

    fn take(&self, rows: &[u32], nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let bits = rows.iter().map(|row| self.bits(*row as usize));
        let values = match self.physical {
            PhysicalType::Float32 => Buffer::from_vec(bits.map(|bits| bits as u32).collect::<Vec<u32>>()),
            _ => Buffer::from_vec(bits.collect::<Vec<u64>>()),
        };
        fixed_array(values, rows.len(), nulls, self.physical)
    }

    fn filter(&self, test: &Test, selection: &mut Bitmap) -> Result<()> {
        let Test::Ranges(ranges) = test else { return Err(misplaced("strings")) };
        let keys =
            |range: Range<usize>, out: &mut Vec<i64>| self.values(range, out, |bits| float_key_of(bits, self.physical));
        filter_between(self.rows, selection, &narrowed(ranges), keys);
        Ok(())
    }

    fn equal_range(&self, range: Range<usize>, wanted: &Wanted<'_>) -> Result<Option<Range<usize>>> {
        let Wanted::Key(key) = wanted else { return Err(Error::internal("a string was looked for among numbers")) };
        Ok(Some(search(range, |row| i128::from(float_key_of(self.bits(row), self.physical)).cmp(key))))
    }
}
