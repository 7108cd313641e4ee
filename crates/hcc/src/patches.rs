//! Exceptions: the few rows of a block whose value does not fit its encoding.
//!
//! ```text
//! count u64 | packed positions, ascending | packed values
//! ```
//! After Zukowski et al., "Super-Scalar RAM-CPU Cache Compression" (PFOR), with positions instead of linked lists.

use std::ops::Range;

use heliosdb_types::Result;

use crate::Bitmap;
use crate::layout::{Reader, Writer, corrupt};
use crate::packed::{Packed, packed_bytes, width_of, write_packed};

/// Rows and what they hold, ascending by row.
#[derive(Debug, Default)]
pub(crate) struct Patches {
    rows: Vec<u32>,
    values: Vec<u64>,
}

/// Bytes of `count` patches of up to `width` bits in a block of `rows`.
pub(crate) fn patch_bytes(count: usize, rows: usize, width: u8) -> usize {
    if count == 0 {
        return 16;
    }
    48 + packed_bytes(count, width_of(rows as u64)) + packed_bytes(count, width)
}

pub(crate) fn write_patches(writer: &mut Writer, patches: &[(u32, u64)]) {
    writer.u64(patches.len() as u64);
    writer.align();
    if let Some((last, _)) = patches.last() {
        let widest = patches.iter().map(|(_, value)| *value).max().unwrap_or(0);
        write_packed(writer, patches.len(), u64::from(*last), |i| u64::from(patches[i].0));
        write_packed(writer, patches.len(), widest, |i| patches[i].1);
    }
}

impl Patches {
    pub(crate) fn read(reader: &mut Reader, rows: usize) -> Result<Patches> {
        let count = reader.count(rows, "more exceptions than rows")?;
        reader.align();
        if count == 0 {
            return Ok(Patches::default());
        }
        let positions = Packed::read(reader, count)?;
        let packed = Packed::read(reader, count)?;
        let (mut places, mut values) = (Vec::with_capacity(count), Vec::with_capacity(count));
        positions.slices64(0..count, |part| places.extend(part.iter().map(|place| *place as u32)));
        packed.slices64(0..count, |part| values.extend_from_slice(part));
        let ascending = places.windows(2).all(|pair| pair[0] < pair[1]);
        if positions.width() > 32 || !ascending || places.last().is_some_and(|last| *last as usize >= rows) {
            return Err(corrupt("exceptions are out of order"));
        }
        Ok(Patches { rows: places, values })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn get(&self, row: usize) -> Option<u64> {
        if self.rows.is_empty() {
            return None;
        }
        let at = self.rows.binary_search(&(row as u32)).ok()?;
        self.values.get(at).copied()
    }

    /// The exceptions of a run of rows, as places within it.
    pub(crate) fn within(&self, range: Range<usize>) -> impl Iterator<Item = (usize, u64)> + '_ {
        let from = self.rows.partition_point(|row| (*row as usize) < range.start);
        let pairs = self.rows.iter().zip(&self.values).skip(from);
        pairs
            .take_while(move |(row, _)| (**row as usize) < range.end)
            .map(move |(row, value)| (*row as usize - range.start, *value))
    }

    /// Puts the exceptions of a run of rows into its values.
    pub(crate) fn put<T>(&self, range: Range<usize>, out: &mut [T], value: impl Fn(u64) -> T) {
        for (at, exception) in self.within(range) {
            if let Some(slot) = out.get_mut(at) {
                *slot = value(exception);
            }
        }
    }

    /// Filters the rows that are no exceptions by `rest`, the exceptions by themselves.
    pub(crate) fn filter(&self, selection: &mut Bitmap, matches: impl Fn(u64) -> bool, rest: impl FnOnce(&mut Bitmap)) {
        let selected = self.iter().filter(|(row, value)| selection.get(*row) && matches(*value));
        let kept: Vec<usize> = selected.map(|(row, _)| row).collect();
        rest(selection);
        self.iter().for_each(|(row, _)| selection.clear(row));
        kept.into_iter().for_each(|row| selection.set(row));
    }

    fn iter(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.rows.iter().zip(&self.values).map(|(row, value)| (*row as usize, *value))
    }
}
