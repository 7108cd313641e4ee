//! Floats that were decimals and wander (gauges, prices over time): whole numbers as `Alp` has them, written as `Jumps`.
//!
//! ```text
//! exponent u64 | factor u64 | body of Jumps, of the numbers | patches (row, bits of the float)
//! ```
//! A gauge that moves by up to a unit from one row to the next and covers a hundred takes 8 bits where `Alp` takes 14. The
//! first patches, within `Jumps`, are differences far from the others (the next series begins); the second are floats that are
//! no decimals, whose number repeats the one before. ALP (SIGMOD 2024) packs frames only; FastLanes (VLDB 2023) puts
//! differences below it in the same way. A row adds up to 31 differences; filters compare numbers, not floats.

use std::ops::Range;

use arrow_array::ArrayRef;
use arrow_buffer::{Buffer, NullBuffer};
use heliosdb_types::{Error, PhysicalType, Result};

use crate::Bitmap;
use crate::arrays::fixed_array;
use crate::cell::Cell;
use crate::decimals::{Float, Scale, Scaled};
use crate::encoded::{Encoded, Wanted, misplaced};
use crate::encoding::delta::{self, Delta, Jumps, Layout};
use crate::filter::{Test, in_ranges};
use crate::filtering::filter_between;
use crate::layout::{Reader, Writer};
use crate::order::{float_datum, float_key_of};
use crate::packed::GROUP;
use crate::patches::{Patches, patch_bytes, write_patches};
use crate::search::search;

/// How the numbers' differences are best laid out, and bytes of the body. `width` of the type in bits, `one_in` as
/// [`delta::jumps`] has it; `None` unless it comes below `limit` bytes.
pub(crate) fn layout(scaled: &Scaled, width: u8, limit: usize, one_in: usize) -> Option<(Layout, usize)> {
    let rows = scaled.numbers.len();
    let plain = delta::layout(&scaled.numbers, scaled.low, scaled.high)?;
    let around = 32 + patch_bytes(scaled.patches.len(), rows, width);
    let all = Jumps::none(plain);
    let most = delta::jumps_size(&all, rows).min(limit.saturating_sub(around));
    let jumps = delta::jumps(&scaled.numbers, &plain, most, one_in).unwrap_or(all);
    let bytes = delta::jumps_size(&jumps, rows) + around;
    (bytes < limit).then_some((jumps.layout, bytes))
}

pub(crate) fn write(writer: &mut Writer, layout: &Layout, scaled: &Scaled) {
    scaled.scale.write(writer);
    delta::write_jumps(writer, layout, &scaled.numbers);
    write_patches(writer, &scaled.patches);
}

pub(crate) fn read(reader: &mut Reader, physical: PhysicalType, rows: usize) -> Result<AlpDelta> {
    let scale = Scale::read(reader)?;
    let numbers = delta::read_jumps(reader, PhysicalType::Int64, rows)?;
    let patches = Patches::read(reader, rows)?;
    Ok(AlpDelta { physical, rows, scale, numbers, patches })
}

#[derive(Debug)]
pub(crate) struct AlpDelta {
    physical: PhysicalType,
    rows: usize,
    scale: Scale,
    numbers: Delta,
    patches: Patches,
}

impl AlpDelta {
    fn bits(&self, row: usize) -> u64 {
        let scaled = || self.scale.bits(self.numbers.value(row), self.physical);
        self.patches.get(row).unwrap_or_else(scaled)
    }

    fn values<F: Float>(&self, range: Range<usize>) -> Vec<F> {
        let mut out = Vec::with_capacity(range.len());
        self.numbers.values(range.clone(), &mut out, self.scale.down::<F>());
        self.patches.put(range, &mut out, F::of_bits);
        out
    }

    fn gather<F: Float>(&self, rows: &[u32]) -> Vec<F> {
        // Adding up a group for each of many rows costs more than decoding them all.
        let all = if rows.len() > self.rows / GROUP { self.values(0..self.rows) } else { Vec::new() };
        let value = |row: &u32| match all.get(*row as usize) {
            Some(value) => *value,
            None => F::of_bits(self.bits(*row as usize)),
        };
        rows.iter().map(value).collect()
    }
}

impl Encoded for AlpDelta {
    fn cell<'a>(&'a self, row: usize, _: &mut Vec<u8>) -> Result<Cell<'a>> {
        Ok(Cell::Ready(float_datum(self.bits(row), self.physical)))
    }

    fn decode(&self, range: Range<usize>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let rows = range.len();
        let values = match self.physical {
            PhysicalType::Float32 => Buffer::from_vec(self.values::<f32>(range)),
            _ => Buffer::from_vec(self.values::<f64>(range)),
        };
        fixed_array(values, rows, nulls, self.physical)
    }

    fn take(&self, rows: &[u32], nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let values = match self.physical {
            PhysicalType::Float32 => Buffer::from_vec(self.gather::<f32>(rows)),
            _ => Buffer::from_vec(self.gather::<f64>(rows)),
        };
        fixed_array(values, rows.len(), nulls, self.physical)
    }

    fn filter(&self, test: &Test, selection: &mut Bitmap) -> Result<()> {
        let Test::Ranges(ranges) = test else { return Err(misplaced("strings")) };
        // Damaged differences may add up to any number, so all of them are distances from the smallest.
        let local = self.scale.moved(ranges, i64::MIN, u64::MAX, self.physical);
        let distances = |range: Range<usize>, out: &mut Vec<u64>| {
            self.numbers.values(range, out, |number| number.wrapping_sub(i64::MIN) as u64);
        };
        let matches = |bits| in_ranges(ranges, float_key_of(bits, self.physical).into());
        self.patches.filter(selection, matches, |rest| filter_between(self.rows, rest, &local, distances));
        Ok(())
    }

    fn equal_range(&self, range: Range<usize>, wanted: &Wanted<'_>) -> Result<Option<Range<usize>>> {
        let Wanted::Key(key) = wanted else { return Err(Error::internal("a string was looked for among numbers")) };
        Ok(Some(search(range, |row| i128::from(float_key_of(self.bits(row), self.physical)).cmp(key))))
    }
}
