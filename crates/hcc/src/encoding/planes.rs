//! Numbers as planes of bytes under zstd, for cold blocks.
//!
//! ```text
//! form u64 (0: distances from low, 1: zigzag differences from the row before) | low u64 | length u64 | frame
//! ```
//! The frame expands to `width * rows` bytes: the lowest byte of every number, then the next of every number, and so on.
//! Bytes of one plane are alike, which zstd's entropy coder uses where bit-packing cannot (Blosc's shuffle; Parquet's
//! BYTE_STREAM_SPLIT). No random access: a row costs the block. Hence only where data is cold.

use std::ops::Range;

use arrow_array::ArrayRef;
use arrow_buffer::{Buffer, NullBuffer};
use heliosdb_types::{DatumRef, Error, PhysicalType, Result};

use crate::Bitmap;
use crate::arrays::{fixed_array, pick, with_nulls};
use crate::cell::Cell;
use crate::encoded::{Encoded, Wanted, misplaced};
use crate::filter::{Test, in_ranges, member};
use crate::kind::Kind;
use crate::layout::{Reader, Writer, corrupt};
use crate::order::{fixed_datum, fixed_key};
use crate::search::search;

const LEVEL: i32 = 12;
/// zstd shrinks nothing by more than about this; a frame that claims to is damaged.
const RATIO_MAX: usize = 1 << 15;

/// Compressed numbers.
pub(crate) struct Planes {
    form: u64,
    low: u64,
    frame: Vec<u8>,
}

fn shuffled(numbers: impl Iterator<Item = u64> + Clone, width: usize) -> Vec<u8> {
    (0..width).flat_map(|plane| numbers.clone().map(move |number| (number >> (8 * plane)) as u8)).collect()
}

fn zigzag(difference: i64) -> u64 {
    ((difference << 1) ^ (difference >> 63)) as u64
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// Compresses numbers of `width` bytes; floats as their bits, for which only the first form makes sense.
pub(crate) fn compress(numbers: &[u64], width: usize, whole: bool) -> Result<Planes> {
    let fails = |error| Error::internal(format!("zstd could not compress: {error}"));
    let low = if whole { numbers.iter().map(|v| *v as i64).min().unwrap_or(0) as u64 } else { 0 };
    let distances = numbers.iter().map(|number| number.wrapping_sub(low));
    let frame = zstd::bulk::compress(&shuffled(distances, width), LEVEL).map_err(fails)?;
    let mut best = Planes { form: 0, low, frame };
    if whole {
        let before = std::iter::once(low).chain(numbers.iter().copied());
        let differences = numbers.iter().zip(before).map(|(now, before)| zigzag(now.wrapping_sub(before) as i64));
        let differences: Vec<u64> = differences.collect();
        // A difference of narrow numbers may need one bit more than they have.
        let fits = width == 8 || differences.iter().all(|difference| difference >> (8 * width) == 0);
        let frame = zstd::bulk::compress(&shuffled(differences.iter().copied(), width), LEVEL).map_err(fails)?;
        if fits && frame.len() < best.frame.len() {
            best = Planes { form: 1, low, frame };
        }
    }
    Ok(best)
}

/// Bytes of the body.
pub(crate) fn size(planes: &Planes) -> usize {
    24 + planes.frame.len()
}

pub(crate) fn write(writer: &mut Writer, planes: &Planes) {
    writer.u64(planes.form);
    writer.u64(planes.low);
    writer.u64(planes.frame.len() as u64);
    writer.raw(&planes.frame);
}

pub(crate) fn read(reader: &mut Reader, physical: PhysicalType, rows: usize) -> Result<PlaneNumbers> {
    let form = reader.u64()?;
    let low = reader.u64()?;
    let len = reader.count(u32::MAX as usize, "a block is too long")?;
    let frame = reader.raw(len)?;
    if form > 1 || rows * Kind::of(physical).width() / RATIO_MAX > len {
        return Err(corrupt("planes are out of range"));
    }
    Ok(PlaneNumbers { physical, rows, form, low, frame })
}

#[derive(Debug)]
pub(crate) struct PlaneNumbers {
    physical: PhysicalType,
    rows: usize,
    form: u64,
    low: u64,
    frame: Buffer,
}

impl PlaneNumbers {
    fn width(&self) -> usize {
        Kind::of(self.physical).width()
    }

    /// All numbers, as they lie in an array.
    fn values(&self) -> Result<Buffer> {
        let (rows, width) = (self.rows, self.width());
        let planes = zstd::bulk::decompress(self.frame.as_slice(), rows * width).ok();
        let planes = planes.filter(|planes| planes.len() == rows * width);
        let planes = planes.ok_or_else(|| corrupt("a zstd frame is damaged"))?;
        let mut numbers = vec![0_u64; rows];
        for (plane, bytes) in planes.chunks_exact(rows.max(1)).enumerate() {
            for (number, byte) in numbers.iter_mut().zip(bytes) {
                *number |= u64::from(*byte) << (8 * plane);
            }
        }
        if self.form == 0 {
            numbers.iter_mut().for_each(|number| *number = number.wrapping_add(self.low));
        } else {
            let mut last = self.low;
            for number in &mut numbers {
                last = last.wrapping_add(unzigzag(*number) as u64);
                *number = last;
            }
        }
        Ok(match width {
            2 => Buffer::from_vec(numbers.iter().map(|number| *number as u16).collect::<Vec<u16>>()),
            4 => Buffer::from_vec(numbers.iter().map(|number| *number as u32).collect::<Vec<u32>>()),
            _ => Buffer::from_vec(numbers),
        })
    }
}

impl Encoded for PlaneNumbers {
    fn cell<'a>(&'a self, row: usize, _: &mut Vec<u8>) -> Result<Cell<'a>> {
        let values = self.values()?;
        let value = values.as_slice().get(row * self.width()..(row + 1) * self.width());
        Ok(Cell::Ready(value.map_or(DatumRef::Null, |value| fixed_datum(value, self.physical))))
    }

    fn decode(&self, range: Range<usize>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let values = self.values()?.slice_with_length(range.start * self.width(), range.len() * self.width());
        fixed_array(values, range.len(), nulls, self.physical)
    }

    fn take(&self, rows: &[u32], nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let all = fixed_array(self.values()?, self.rows, None, self.physical)?;
        with_nulls(pick(&all, rows.to_vec())?, nulls)
    }

    fn filter(&self, test: &Test, selection: &mut Bitmap) -> Result<()> {
        let (values, width) = (self.values()?, self.width());
        let value = |row: usize| values.as_slice().get(row * width..(row + 1) * width).unwrap_or(&[0; 8]);
        let key = |row| fixed_key(value(row), self.physical);
        match test {
            Test::Ranges(ranges) => selection.retain(|row| Ok(in_ranges(ranges, key(row)))),
            Test::Member(set) => selection.retain(|row| Ok(member(set, key(row)))),
            _ => Err(misplaced("strings")),
        }
    }

    fn equal_range(&self, range: Range<usize>, wanted: &Wanted<'_>) -> Result<Option<Range<usize>>> {
        let Wanted::Key(key) = wanted else { return Err(Error::internal("a string was looked for among numbers")) };
        let (values, width) = (self.values()?, self.width());
        let value = |row: usize| values.as_slice().get(row * width..(row + 1) * width).unwrap_or(&[0; 8]);
        Ok(Some(search(range, |row| fixed_key(value(row), self.physical).cmp(key))))
    }
}
