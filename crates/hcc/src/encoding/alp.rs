//! Floats that were decimals: `19.99` is stored as the whole number 1999 and how to scale it back.
//!
//! ```text
//! exponent u64 | factor u64 | low i64 | padding | packed (number - low) | patches (row, bits of the float)
//! ```
//! value = number * 10^factor * 10^-exponent, in 64-bit arithmetic. The writer checks that every value comes back bit for bit; those
//! that do not are patches. Afroozeh, Kuffó, Boncz, "ALP: Adaptive Lossless floating-Point Compression", SIGMOD 2024. Scaling
//! never turns the order around, so a range of floats becomes a range of packed numbers.

use std::ops::Range;

use arrow_array::ArrayRef;
use arrow_buffer::{Buffer, NullBuffer};
use heliosdb_types::{Error, PhysicalType, Result};

use crate::Bitmap;
use crate::arrays::{fixed_array, unpack};
use crate::cell::Cell;
use crate::encoded::{Encoded, Wanted, misplaced};
use crate::encoding::frame::{filter_patched, widest};
use crate::filter::{Test, in_ranges};
use crate::layout::{Reader, Writer, corrupt};
use crate::order::{fixed_datum, float_key};
use crate::packed::{Packed, packed_bytes, width_of, write_packed};
use crate::patches::{Patches, patch_bytes, write_patches};
use crate::search::search;

const EXPONENT_MAX: usize = 18;
const TENS: [f64; EXPONENT_MAX + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];
const TENTHS: [f64; EXPONENT_MAX + 1] = [
    1e0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13, 1e-14, 1e-15, 1e-16, 1e-17,
    1e-18,
];
/// Beyond this, whole numbers and floats part ways.
const NUMBER_MAX: f64 = 4_503_599_627_370_496.0;
/// Values of the sample that exponents are tried on.
const TRIALS: usize = 64;

/// Powers of ten to scale by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scale {
    exponent: usize,
    factor: usize,
}

impl Scale {
    fn up(self, value: f64) -> Option<i64> {
        let number = (value * TENS.get(self.exponent)? * TENTHS.get(self.factor)?).round();
        (number.abs() <= NUMBER_MAX).then_some(number as i64)
    }

    fn down(self, number: i64) -> f64 {
        let (tens, tenths) = (TENS.get(self.factor).unwrap_or(&1.0), TENTHS.get(self.exponent).unwrap_or(&1.0));
        number as f64 * tens * tenths
    }
}

/// A float of the block: `f64`, or `f32` computed with as `f64`.
pub(crate) trait Float: Copy {
    fn wide(self) -> f64;
    fn narrow(value: f64) -> Self;
    fn bits(self) -> u64;
    fn of_bits(bits: u64) -> Self;
}

impl Float for f64 {
    fn wide(self) -> f64 {
        self
    }

    fn narrow(value: f64) -> f64 {
        value
    }

    fn bits(self) -> u64 {
        self.to_bits()
    }

    fn of_bits(bits: u64) -> f64 {
        f64::from_bits(bits)
    }
}

impl Float for f32 {
    fn wide(self) -> f64 {
        f64::from(self)
    }

    fn narrow(value: f64) -> f32 {
        value as f32
    }

    fn bits(self) -> u64 {
        u64::from(self.to_bits())
    }

    fn of_bits(bits: u64) -> f32 {
        f32::from_bits(bits as u32)
    }
}

/// A block's numbers, before they are written.
#[derive(Debug)]
pub(crate) struct Scaled {
    scale: Scale,
    low: i64,
    distances: Vec<u64>,
    widest: u64,
    patches: Vec<(u32, u64)>,
}

/// The number that stands for a value, if it comes back bit for bit.
fn exact<F: Float>(scale: Scale, value: F) -> Option<i64> {
    let number = scale.up(value.wide())?;
    (F::narrow(scale.down(number)).bits() == value.bits()).then_some(number)
}

/// The scale that suits some of the values best: fewest bits, exceptions counted as whole floats.
fn best_scale<F: Float>(values: &[F]) -> Scale {
    let step = (values.len() / TRIALS).max(1);
    let sample: Vec<F> = values.iter().step_by(step).take(TRIALS).copied().collect();
    let mut best = (usize::MAX, Scale { exponent: 0, factor: 0 });
    for exponent in 0..=EXPONENT_MAX {
        for factor in 0..=exponent {
            let scale = Scale { exponent, factor };
            let (mut low, mut high, mut misses) = (i64::MAX, i64::MIN, 0);
            for value in &sample {
                match exact(scale, *value) {
                    Some(number) => (low, high) = (low.min(number), high.max(number)),
                    None => misses += 1,
                }
            }
            let width = if low > high { 0 } else { usize::from(width_of(high.wrapping_sub(low) as u64)) };
            let bits = sample.len() * width + misses * 80;
            if bits < best.0 {
                best = (bits, scale);
            }
        }
    }
    best.1
}

pub(crate) fn scale<F: Float>(values: &[F]) -> Scaled {
    let scale = best_scale(values);
    let mut patches = Vec::new();
    let mut numbers = Vec::with_capacity(values.len());
    for (row, value) in values.iter().enumerate() {
        let number = exact(scale, *value);
        if number.is_none() {
            patches.push((row as u32, value.bits()));
        }
        numbers.push(number);
    }
    let low = numbers.iter().flatten().copied().min().unwrap_or(0);
    let distances: Vec<u64> = numbers.iter().map(|n| n.unwrap_or(low).wrapping_sub(low) as u64).collect();
    let widest = distances.iter().copied().max().unwrap_or(0);
    Scaled { scale, low, distances, widest, patches }
}

/// Bytes of the body; `width` of the type in bits.
pub(crate) fn size(scaled: &Scaled, width: u8) -> usize {
    let rows = scaled.distances.len();
    48 + packed_bytes(rows, width_of(scaled.widest)) + patch_bytes(scaled.patches.len(), rows, width)
}

pub(crate) fn write(writer: &mut Writer, scaled: &Scaled) {
    writer.u64(scaled.scale.exponent as u64);
    writer.u64(scaled.scale.factor as u64);
    writer.u64(scaled.low as u64);
    writer.align();
    write_packed(writer, scaled.distances.len(), scaled.widest, |row| scaled.distances[row]);
    write_patches(writer, &scaled.patches);
}

pub(crate) fn read(reader: &mut Reader, physical: PhysicalType, rows: usize) -> Result<Alp> {
    let exponent = reader.count(EXPONENT_MAX, "exponent is out of range")?;
    let factor = reader.count(exponent, "factor is out of range")?;
    let low = reader.u64()? as i64;
    reader.align();
    let distances = Packed::read(reader, rows)?;
    let patches = Patches::read(reader, rows)?;
    if distances.width() > 54 || low.unsigned_abs() > 1 << 53 {
        return Err(corrupt("scaled floats are out of range"));
    }
    Ok(Alp { physical, scale: Scale { exponent, factor }, low, distances, patches })
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
        self.patches.get(row).unwrap_or_else(|| {
            let value = self.scale.down(self.low.wrapping_add(self.distances.get(row) as i64));
            match self.physical {
                PhysicalType::Float32 => f32::narrow(value).bits(),
                _ => value.bits(),
            }
        })
    }

    fn key_of_bits(&self, bits: u64) -> i128 {
        let value = if self.physical == PhysicalType::Float32 { f32::of_bits(bits).wide() } else { f64::of_bits(bits) };
        i128::from(float_key(value))
    }

    /// The key of what a distance stands for.
    fn key(&self, distance: u64) -> i128 {
        let value = self.scale.down(self.low.wrapping_add(distance as i64));
        let value = if self.physical == PhysicalType::Float32 { f32::narrow(value).wide() } else { value };
        i128::from(float_key(value))
    }

    fn values<F: Float>(&self, range: Range<usize>) -> Vec<F> {
        let (low, scale) = (self.low, self.scale);
        let (tens, tenths) = (TENS.get(scale.factor).unwrap_or(&1.0), TENTHS.get(scale.exponent).unwrap_or(&1.0));
        let value = |distance: u64| F::narrow(low.wrapping_add(distance as i64) as f64 * tens * tenths);
        let mut out = unpack(&self.distances, range.clone(), value);
        for (at, bits) in self.patches.within(range) {
            if let Some(slot) = out.get_mut(at) {
                *slot = F::of_bits(bits);
            }
        }
        out
    }

    fn gather<F: Float>(&self, rows: &[u32]) -> Vec<F> {
        rows.iter().map(|row| F::of_bits(self.bits(*row as usize))).collect()
    }
}

/// The smallest distance up to `widest` for which `reached`; `widest + 1` saturated if there is none.
fn first_distance(widest: u64, reached: impl Fn(u64) -> bool) -> Option<u64> {
    let (mut low, mut high) = (0, widest);
    if !reached(widest) {
        return None;
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if reached(middle) { high = middle } else { low = middle + 1 }
    }
    Some(low)
}

impl Encoded for Alp {
    fn cell<'a>(&'a self, row: usize, _: &mut Vec<u8>) -> Result<Cell<'a>> {
        let bytes = self.bits(row).to_le_bytes();
        let width = if self.physical == PhysicalType::Float32 { 4 } else { 8 };
        Ok(Cell::Ready(fixed_datum(&bytes[..width], self.physical)))
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
        let mut local = Vec::with_capacity(ranges.len());
        for (low, high) in ranges {
            let Some(from) = first_distance(widest, |distance| self.key(distance) >= *low) else { continue };
            let after = first_distance(widest, |distance| self.key(distance) > *high);
            let to = after.map_or(Some(widest), |after| after.checked_sub(1));
            local.extend(to.filter(|to| from <= *to).map(|to| (from, to)));
        }
        filter_patched(&self.distances, &self.patches, &local, selection, |bits| {
            in_ranges(ranges, self.key_of_bits(bits))
        });
        Ok(())
    }

    fn equal_range(&self, range: Range<usize>, wanted: &Wanted<'_>) -> Result<Option<Range<usize>>> {
        let Wanted::Key(key) = wanted else { return Err(Error::internal("a string was looked for among numbers")) };
        Ok(Some(search(range, |row| self.key_of_bits(self.bits(row)).cmp(key))))
    }
}
