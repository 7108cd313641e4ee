//! Floats that were decimals: `19.99` is stored as the whole number 1999 and how to scale it back.
//!
//! ```text
//! exponent u64 | factor u64 | low i64 | padding | packed (number - low) | patches (row, bits of the float)
//! ```
//! How numbers and floats belong together is in `decimals.rs`. Afroozeh, Kuffó, Boncz, "ALP: Adaptive Lossless
//! floating-Point Compression", SIGMOD 2024. Read in O(1); a range of floats becomes a range of packed numbers.

use std::ops::Range;

use arrow_array::ArrayRef;
use arrow_buffer::{Buffer, NullBuffer};
use heliosdb_types::{Error, PhysicalType, Result};

use crate::Bitmap;
use crate::arrays::{fixed_array, unpack};
use crate::cell::Cell;
use crate::decimals::{Float, Scale, Scaled};
use crate::encoded::{Encoded, Wanted, misplaced};
use crate::encoding::frame::widest;
use crate::filter::{Test, in_ranges};
use crate::filtering::filter_packed;
use crate::layout::{Reader, Writer, corrupt};
use crate::order::{float_datum, float_key_of};
use crate::packed::{Packed, packed_bytes, width_of, write_packed};
use crate::patches::{Patches, patch_bytes, write_patches};
use crate::search::search;

/// Bytes of the body; `width` of the type in bits.
pub(crate) fn size(scaled: &Scaled, width: u8) -> usize {
    let rows = scaled.numbers.len();
    48 + packed_bytes(rows, width_of(scaled.high.wrapping_sub(scaled.low) as u64))
        + patch_bytes(scaled.patches.len(), rows, width)
}

pub(crate) fn write(writer: &mut Writer, scaled: &Scaled) {
    scaled.scale.write(writer);
    writer.u64(scaled.low as u64);
    writer.align();
    let distance = |number: i64| number.wrapping_sub(scaled.low) as u64;
    write_packed(writer, scaled.numbers.len(), distance(scaled.high), |row| distance(scaled.numbers[row]));
    write_patches(writer, &scaled.patches);
}

pub(crate) fn read(reader: &mut Reader, physical: PhysicalType, rows: usize) -> Result<Alp> {
    let scale = Scale::read(reader)?;
    let low = reader.u64()? as i64;
    reader.align();
    let distances = Packed::read(reader, rows)?;
    let patches = Patches::read(reader, rows)?;
    if distances.width() > 54 || low.unsigned_abs() > 1 << 53 {
        return Err(corrupt("scaled floats are out of range"));
    }
    Ok(Alp { physical, scale, low, distances, patches })
}

#[derive(Debug)]
pub(crate) struct Alp {
    physical: PhysicalType,
    scale: Scale,
    low: i64,
    distances: Packed,
    patches: Patches,
}

impl Alp {
    fn bits(&self, row: usize) -> u64 {
        let scaled = || self.scale.bits(self.low.wrapping_add(self.distances.get(row) as i64), self.physical);
        self.patches.get(row).unwrap_or_else(scaled)
    }

    fn values<F: Float>(&self, range: Range<usize>) -> Vec<F> {
        let (low, down) = (self.low, self.scale.down::<F>());
        let mut out = unpack(&self.distances, range.clone(), |distance| down(low.wrapping_add(distance as i64)));
        self.patches.put(range, &mut out, F::of_bits);
        out
    }

    fn gather<F: Float>(&self, rows: &[u32]) -> Vec<F> {
        rows.iter().map(|row| F::of_bits(self.bits(*row as usize))).collect()
    }
}

impl Encoded for Alp {
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
        let widest = widest(&self.distances);
        let local = self.scale.moved(ranges, self.low, widest, self.physical);
        let matches = |bits| in_ranges(ranges, float_key_of(bits, self.physical).into());
        self.patches.filter(selection, matches, |rest| filter_packed(&self.distances, &local, widest, rest));
        Ok(())
    }

    fn equal_range(&self, range: Range<usize>, wanted: &Wanted<'_>) -> Result<Option<Range<usize>>> {
        let Wanted::Key(key) = wanted else { return Err(Error::internal("a string was looked for among numbers")) };
        Ok(Some(search(range, |row| i128::from(float_key_of(self.bits(row), self.physical)).cmp(key))))
    }
}
