//! Frame of reference with bit-packing: whole numbers as `reference + step * distance`.
//!
//! ```text
//! reference i128 | step u64 | padding | packed distances | patches (row, distance)
//! ```
//! `step` is a common divisor (cents of whole dollars, microseconds of whole seconds). Distances that would need many more
//! bits than the rest are patches; their packed slot is 0. Distances are packed in the FastLanes layout, whose unpacking
//! vectorises (Afroozeh, Boncz, "The FastLanes Compression Layout", VLDB 2023); frames are Goldstein's, Ramakrishnan's and
//! Shaft's. Read in O(1); ranges are moved into the space of distances and compared there.

use std::ops::Range;

use arrow_array::ArrayRef;
use arrow_buffer::{Buffer, NullBuffer};
use heliosdb_types::{Error, PhysicalType, Result};

use crate::Bitmap;
use crate::arrays::{Lane, fixed_array, unpack, with_lane};
use crate::cell::Cell;
use crate::encoded::{Encoded, Wanted, misplaced};
use crate::filter::{Test, in_ranges};
use crate::filtering::{filter_each, filter_packed};
use crate::kind::Kind;
use crate::layout::{Reader, Writer, corrupt};
use crate::order::int_datum;
use crate::packed::{Packed, packed_bytes, width_of, write_packed};
use crate::patches::{Patches, patch_bytes, write_patches};
use crate::search::search;

#[derive(Debug)]
pub(crate) struct Frame {
    physical: PhysicalType,
    reference: i128,
    step: u64,
    distances: Packed,
    patches: Patches,
}

/// How a frame is laid out: decided before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub reference: i128,
    pub step: u64,
    /// Distances above this are patches.
    pub packed_max: u64,
    /// How many are.
    pub patches: usize,
}

/// Bytes of the body.
pub(crate) fn size(layout: &Layout, rows: usize, widest: u64) -> usize {
    48 + packed_bytes(rows, width_of(layout.packed_max)) + patch_bytes(layout.patches, rows, width_of(widest))
}

/// `distances` are of the reference, in steps.
pub(crate) fn write(writer: &mut Writer, layout: &Layout, distances: &[u64]) {
    writer.i128(layout.reference);
    writer.u64(layout.step);
    writer.align();
    let fits = |distance: u64| distance <= layout.packed_max;
    let patches: Vec<(u32, u64)> =
        (0_u32..).zip(distances.iter().copied()).filter(|(_, distance)| !fits(*distance)).collect();
    write_packed(
        writer,
        distances.len(),
        layout.packed_max,
        |row| if fits(distances[row]) { distances[row] } else { 0 },
    );
    write_patches(writer, &patches);
}

pub(crate) fn read(reader: &mut Reader, physical: PhysicalType, rows: usize) -> Result<Frame> {
    let kind = Kind::of(physical);
    let reference = reader.i128()?;
    let step = reader.u64()?;
    reader.align();
    let distances = Packed::read(reader, rows)?;
    let patches = Patches::read(reader, rows)?;
    if step == 0 || distances.width() > kind.width() * 8 || (kind != Kind::Wide && i64::try_from(reference).is_err()) {
        return Err(corrupt("frame of reference is wider than the type"));
    }
    Ok(Frame { physical, reference, step, distances, patches })
}

impl Frame {
    fn distance(&self, row: usize) -> u64 {
        self.patches.get(row).unwrap_or_else(|| self.distances.get(row))
    }

    fn place(&self, distance: u64) -> i128 {
        self.reference.wrapping_add(i128::from(distance).wrapping_mul(i128::from(self.step)))
    }

    /// As the type's values are: a damaged frame may exceed them.
    fn value(&self, distance: u64) -> i128 {
        let value = self.place(distance);
        with_lane!(self.physical, L => L::cut(value).wide())
    }

    fn values<L: Lane>(&self, range: Range<usize>) -> Vec<L> {
        let (low, step) = (L::cut(self.reference), L::cut64(self.step));
        let mut out = match self.step {
            1 => unpack(&self.distances, range.clone(), |distance| low.plus(L::cut64(distance))),
            _ => unpack(&self.distances, range.clone(), |distance| low.plus(L::cut64(distance).times(step))),
        };
        self.patches.put(range, &mut out, |distance| low.plus(L::cut64(distance).times(step)));
        out
    }

    fn gather<L: Lane>(&self, rows: &[u32]) -> Vec<L> {
        let (low, step) = (L::cut(self.reference), L::cut64(self.step));
        let mut out = Vec::with_capacity(rows.len());
        self.distances.gather(rows, |distance| out.push(low.plus(L::cut64(distance).times(step))));
        if !self.patches.is_empty() {
            for (slot, row) in out.iter_mut().zip(rows) {
                if let Some(distance) = self.patches.get(*row as usize) {
                    *slot = low.plus(L::cut64(distance).times(step));
                }
            }
        }
        out
    }
}

/// Moves ranges of keys into the space of distances: disjoint, ascending, at most `widest`.
pub(crate) fn moved(ranges: &[(i128, i128)], reference: i128, step: u64, widest: u64) -> Vec<(u64, u64)> {
    let step = i128::from(step);
    let top = reference.saturating_add(i128::from(widest).saturating_mul(step));
    let mut out = Vec::with_capacity(ranges.len());
    for (low, high) in ranges.iter().filter(|(low, high)| *low <= top && *high >= reference) {
        let low = (*low).max(reference).saturating_sub(reference);
        let low = low / step + i128::from(low % step != 0);
        let high = (*high).min(top).saturating_sub(reference) / step;
        if low <= high {
            out.push((low as u64, high as u64));
        }
    }
    out
}

/// As wide as distances can be.
pub(crate) fn widest(distances: &Packed) -> u64 {
    if distances.width() == 64 { u64::MAX } else { (1 << distances.width()) - 1 }
}

impl Encoded for Frame {
    fn cell<'a>(&'a self, row: usize, _: &mut Vec<u8>) -> Result<Cell<'a>> {
        Ok(Cell::Ready(int_datum(self.value(self.distance(row)), self.physical)))
    }

    fn decode(&self, range: Range<usize>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let rows = range.len();
        let values = with_lane!(self.physical, L => Buffer::from_vec(self.values::<L>(range)));
        fixed_array(values, rows, nulls, self.physical)
    }

    fn take(&self, rows: &[u32], nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let values = with_lane!(self.physical, L => Buffer::from_vec(self.gather::<L>(rows)));
        fixed_array(values, rows.len(), nulls, self.physical)
    }

    fn filter(&self, test: &Test, selection: &mut Bitmap) -> Result<()> {
        let ranges = match test {
            Test::Ranges(ranges) => ranges,
            Test::Member(set) => {
                // Blocks are damaged or hold values of the type: 64 bits are enough of a number.
                let (low, step) = (self.reference as i64, self.step as i64);
                let held = |distance: u64| set.contains(low.wrapping_add((distance as i64).wrapping_mul(step)));
                self.patches.filter(selection, held, |rest| filter_each(&self.distances, rest, held));
                return Ok(());
            }
            _ => return Err(misplaced("strings")),
        };
        let widest = widest(&self.distances);
        let local = moved(ranges, self.reference, self.step, widest);
        let matches = |distance| in_ranges(ranges, self.value(distance));
        self.patches.filter(selection, matches, |rest| filter_packed(&self.distances, &local, widest, rest));
        Ok(())
    }

    fn equal_range(&self, range: Range<usize>, wanted: &Wanted<'_>) -> Result<Option<Range<usize>>> {
        let Wanted::Key(key) = wanted else { return Err(Error::internal("a string was looked for among numbers")) };
        if self.step != 1 || !self.patches.is_empty() {
            return Ok(Some(search(range, |row| self.value(self.distance(row)).cmp(key))));
        }
        Ok(Some(match u64::try_from(key.saturating_sub(self.reference)) {
            Ok(distance) => search(range, |row| self.distances.get(row).cmp(&distance)),
            // Below every value, or beyond what 64 bits of distance reach.
            Err(_) if *key < self.reference => range.start..range.start,
            Err(_) => range.end..range.end,
        }))
    }
}
