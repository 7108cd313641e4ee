//! One value that most rows hold, and a block of the others.
//!
//! ```text
//! others u64 | packed rows of the others, ascending | length u64 | padding | constant block of the common value
//!            | length u64 | padding | a block of the others
//! ```
//! A row looks itself up among the others by binary search; a filter tests the common value once. Raman et al. call it
//! frequency encoding, BtrBlocks (Kuschewski et al., SIGMOD 2023) too. NULLs that are left out of a block need no common
//! value: see `view.rs`.

use std::ops::Range;

use arrow_array::ArrayRef;
use arrow_buffer::NullBuffer;
use heliosdb_types::{Error, PhysicalType, Result};

use crate::arrays::{pick, with_nulls};
use crate::cell::Cell;
use crate::encoded::{Encoded, Wanted};
use crate::filter::Test;
use crate::layout::{Reader, Writer, corrupt};
use crate::packed::{Packed, packed_bytes, width_of, write_packed};
use crate::view::BlockView;
use crate::{Bitmap, Shared};

#[derive(Debug)]
pub(crate) struct Sparse {
    rows: usize,
    others: Vec<u32>,
    common: Box<BlockView>,
    inner: Box<BlockView>,
}

/// Bytes of the body around blocks of these lengths.
pub(crate) fn size(others: &[u32], common_len: usize, inner_len: usize) -> usize {
    let last = others.last().copied().unwrap_or(0);
    64 + packed_bytes(others.len(), width_of(u64::from(last))) + common_len + inner_len
}

pub(crate) fn write(writer: &mut Writer, others: &[u32], common: &[u8], inner: &[u8]) {
    writer.u64(others.len() as u64);
    writer.align();
    let last = others.last().copied().unwrap_or(0);
    write_packed(writer, others.len(), u64::from(last), |i| u64::from(others[i]));
    for block in [common, inner] {
        writer.u64(block.len() as u64);
        writer.align();
        writer.raw(block);
        writer.align();
    }
}

pub(crate) fn read(
    reader: &mut Reader,
    physical: PhysicalType,
    rows: usize,
    shared: &Shared,
    depth: usize,
) -> Result<Sparse> {
    let count = reader.count(rows, "more exceptions than rows")?;
    reader.align();
    let packed = Packed::read(reader, count)?;
    let mut others = Vec::with_capacity(count);
    packed.slices64(0..count, |part| others.extend(part.iter().map(|row| *row as u32)));
    let ascending = others.windows(2).all(|pair| pair[0] < pair[1]);
    if count == 0 || packed.width() > 32 || !ascending || others.last().is_some_and(|last| *last as usize >= rows) {
        return Err(corrupt("exceptions are out of order"));
    }
    let mut nested = |rows: usize| {
        let len = reader.count(u32::MAX as usize, "a nested block is too long")?;
        reader.align();
        let block = BlockView::open_nested(reader.raw(len)?, physical, rows, shared, depth)?;
        reader.align();
        if block.null_count() > 0 { Err(corrupt("exceptions without values")) } else { Ok(Box::new(block)) }
    };
    let common = nested(1)?;
    let inner = nested(count)?;
    Ok(Sparse { rows, others, common, inner })
}

impl Sparse {
    fn place(&self, row: usize) -> Option<usize> {
        self.others.binary_search(&(row as u32)).ok()
    }

    /// The array of rows whose places among the others are given; `None`: the common value.
    fn assemble(
        &self,
        others: &ArrayRef,
        places: impl Iterator<Item = Option<u32>>,
        nulls: Option<NullBuffer>,
    ) -> Result<ArrayRef> {
        let common = self.common.decode(0..1)?;
        let joined = arrow_select::concat::concat(&[common.as_ref(), others.as_ref()])
            .map_err(|error| Error::internal(format!("could not join column parts: {error}")))?;
        with_nulls(pick(&joined, places.map(|place| place.map_or(0, |place| place + 1)).collect())?, nulls)
    }
}

impl Encoded for Sparse {
    fn cell<'a>(&'a self, row: usize, scratch: &mut Vec<u8>) -> Result<Cell<'a>> {
        match self.place(row) {
            Some(place) => self.inner.cell(place, scratch),
            None => self.common.cell(0, scratch),
        }
    }

    fn decode(&self, range: Range<usize>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let from = self.others.partition_point(|row| (*row as usize) < range.start);
        let to = self.others.partition_point(|row| (*row as usize) < range.end);
        let others = self.inner.decode(from..to)?;
        let mut places = vec![None; range.len()];
        for (place, row) in self.others.iter().skip(from).take(to - from).enumerate() {
            if let Some(slot) = places.get_mut(*row as usize - range.start) {
                *slot = Some(place as u32);
            }
        }
        self.assemble(&others, places.into_iter(), nulls)
    }

    fn take(&self, rows: &[u32], nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let found: Vec<Option<usize>> = rows.iter().map(|row| self.place(*row as usize)).collect();
        let wanted: Vec<u32> = found.iter().flatten().map(|place| *place as u32).collect();
        let others = self.inner.take(&wanted)?;
        let mut next = 0;
        let places = found.into_iter().map(|place| {
            place.map(|_| {
                next += 1;
                next - 1
            })
        });
        self.assemble(&others, places, nulls)
    }

    fn filter(&self, test: &Test, selection: &mut Bitmap) -> Result<()> {
        let mut common = Bitmap::all_set(1);
        self.common.filter_values(test, &mut common)?;
        let mut others = Bitmap::all_set(self.others.len());
        self.inner.filter_values(test, &mut others)?;
        let mut kept = if common.none() { Bitmap::all_clear(self.rows) } else { Bitmap::all_set(self.rows) };
        for (place, row) in self.others.iter().enumerate() {
            if others.get(place) {
                kept.set(*row as usize);
            } else {
                kept.clear(*row as usize);
            }
        }
        selection.and(&kept);
        Ok(())
    }

    fn equal_range(&self, _: Range<usize>, _: &Wanted<'_>) -> Result<Option<Range<usize>>> {
        // Sorted rows come in runs, which are the better encoding for them.
        Ok(None)
    }
}
