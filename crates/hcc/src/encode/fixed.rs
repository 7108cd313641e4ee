//! Numbers, dates, floats, uuids, intervals: constant, frame of reference, dictionary, plain.

use std::hash::Hash;

use arrow_array::{Array, ArrayRef};
use arrow_buffer::{ArrowNativeType, ScalarBuffer, ToByteSlice};
use heliosdb_types::{PhysicalType, Result};
use rustc_hash::FxHashMap;

use super::{ColumnEncoder, EncodedBlock, Rows};
use crate::input::fixed_values;
use crate::kind::{Encoding, Kind};
use crate::layout::Writer;
use crate::order::fixed_key;
use crate::packed::{packed_bytes, width_of, write_packed};

/// Values below this many bits gain nothing from a dictionary.
const DICTIONARY_WIDTH_MIN: u8 = 4;

/// A value as it lies in an array. Whole numbers also have a distance.
pub(super) trait Value: ArrowNativeType + Eq + Hash + Ord {
    /// Whether subtraction means anything; floats, uuids and intervals are opaque bits.
    const WHOLE: bool;

    fn to_i128(self) -> i128;

    /// `self - low` for `low <= self`; `None` if it needs more than 64 bits.
    fn distance(self, low: Self) -> Option<u64>;
}

macro_rules! whole {
    ($($int:ty => $unsigned:ty),*) => { $(
        impl Value for $int {
            const WHOLE: bool = true;

            fn to_i128(self) -> i128 {
                self as i128
            }

            fn distance(self, low: $int) -> Option<u64> {
                Some((self as $unsigned).wrapping_sub(low as $unsigned) as u64)
            }
        }
    )* };
}

whole!(i16 => u16, i32 => u32, i64 => u64);

impl Value for i128 {
    const WHOLE: bool = true;

    fn to_i128(self) -> i128 {
        self
    }

    fn distance(self, low: i128) -> Option<u64> {
        u64::try_from((self as u128).wrapping_sub(low as u128)).ok()
    }
}

macro_rules! opaque {
    ($($int:ty),*) => { $(
        impl Value for $int {
            const WHOLE: bool = false;

            fn to_i128(self) -> i128 {
                0
            }

            fn distance(self, low: $int) -> Option<u64> {
                (self == low).then_some(0)
            }
        }
    )* };
}

opaque!(u32, u64, u128);

/// Writes `reference i128 | packed distances`.
pub(super) fn write_frame(
    writer: &mut Writer,
    reference: i128,
    rows: usize,
    max: u64,
    distance: impl FnMut(usize) -> u64,
) {
    writer.i128(reference);
    write_packed(writer, rows, max, distance);
}

/// Rows after which a column that has hardly repeated itself is taken for one that will not.
const SAMPLE_ROWS: usize = 1024;

/// Distinct values in order of first appearance and each row's place among them; `None` beyond `limit`, or when most of
/// the first rows differ.
pub(super) fn distinct<T: Copy + Eq + Hash>(values: &[T], rows: &Rows<'_>, limit: usize) -> Option<(Vec<T>, Vec<u32>)> {
    let mut places: FxHashMap<T, u32> = FxHashMap::default();
    let hopeless = if limit == usize::MAX { usize::MAX } else { SAMPLE_ROWS / 4 * 3 };
    let (mut found, mut codes) = (Vec::new(), Vec::with_capacity(values.len()));
    for (row, value) in values.iter().enumerate() {
        if !rows.is_valid(row) {
            codes.push(0);
            continue;
        }
        let next = found.len() as u32;
        let place = *places.entry(*value).or_insert(next);
        if place == next {
            if found.len() == limit || (row < SAMPLE_ROWS && found.len() == hopeless) {
                return None;
            }
            found.push(*value);
        }
        codes.push(place);
    }
    Some((found, codes))
}

/// Sorts the distinct values by `key` and renumbers the codes to match.
pub(super) fn sort_dictionary<T: Copy, K: Ord>(found: &mut Vec<T>, codes: &mut [u32], key: impl Fn(&T) -> K) {
    let mut order: Vec<u32> = (0..found.len() as u32).collect();
    order.sort_by_cached_key(|place| key(&found[*place as usize]));
    let mut renumber = vec![0_u32; found.len()];
    for (new, old) in order.iter().enumerate() {
        renumber[*old as usize] = new as u32;
    }
    *found = order.iter().map(|old| found[*old as usize]).collect();
    codes.iter_mut().for_each(|code| *code = renumber[*code as usize]);
}

impl ColumnEncoder {
    pub(super) fn encode_fixed(&mut self, array: &ArrayRef, rows: &Rows<'_>) -> Result<EncodedBlock> {
        let buffer = fixed_values(array, self.physical)?.buffer;
        let len = array.len();
        match Kind::of(self.physical) {
            Kind::Int { width: 2 } => self.encode_values::<i16>(&ScalarBuffer::new(buffer, 0, len), rows),
            Kind::Int { width: 4 } => self.encode_values::<i32>(&ScalarBuffer::new(buffer, 0, len), rows),
            Kind::Int { .. } => self.encode_values::<i64>(&ScalarBuffer::new(buffer, 0, len), rows),
            Kind::Wide => self.encode_values::<i128>(&ScalarBuffer::new(buffer, 0, len), rows),
            Kind::Fixed { width: 4 } => self.encode_values::<u32>(&ScalarBuffer::new(buffer, 0, len), rows),
            Kind::Fixed { width: 8 } => self.encode_values::<u64>(&ScalarBuffer::new(buffer, 0, len), rows),
            // Uuids and intervals may lie at addresses that are no multiple of 16.
            _ => {
                let words = buffer.as_slice().chunks_exact(16);
                let values: Vec<u128> =
                    words.map(|word| u128::from_le_bytes(word.try_into().expect("chunks of 16"))).collect();
                self.encode_values::<u128>(&values, rows)
            }
        }
    }

    fn encode_values<T: Value>(&mut self, values: &[T], rows: &Rows<'_>) -> Result<EncodedBlock> {
        let (low, high) = bounds(values, rows);
        let plain_bytes = size_of::<T>() * rows.len;
        if low == high && self.options.allows(Encoding::Constant) {
            return Ok(self.write_constant(low, rows));
        }
        let frame = high.distance(low).filter(|_| T::WHOLE);
        let frame_bytes = frame.map_or(usize::MAX, |max| 16 + packed_bytes(rows.len, width_of(max)));
        if self.options.allows(Encoding::Dictionary)
            && let Some(block) = self.try_dictionary(values, rows, frame, frame_bytes.min(plain_bytes))
        {
            return Ok(block);
        }
        match frame {
            // A frame as wide as the type costs as much as plain values and filters just as well.
            Some(max) if self.options.allows(Encoding::ForPacked) => {
                let mut writer = self.start(rows, Encoding::ForPacked);
                write_frame(&mut writer, low.to_i128(), rows.len, max, |row| {
                    if rows.is_valid(row) { values[row].distance(low).unwrap_or(0) } else { 0 }
                });
                Ok(EncodedBlock { encoding: Encoding::ForPacked, bytes: writer.finish() })
            }
            _ if self.options.allows(Encoding::Plain) => {
                let mut writer = self.start(rows, Encoding::Plain);
                writer.words(values);
                Ok(EncodedBlock { encoding: Encoding::Plain, bytes: writer.finish() })
            }
            _ => Err(self.misfit()),
        }
    }

    fn write_constant<T: Value>(&self, value: T, rows: &Rows<'_>) -> EncodedBlock {
        let mut writer = self.start(rows, Encoding::Constant);
        if T::WHOLE {
            write_frame(&mut writer, value.to_i128(), rows.len, 0, |_| 0);
        } else {
            write_dictionary(&mut writer, &[value], &vec![0; rows.len]);
        }
        EncodedBlock { encoding: Encoding::Constant, bytes: writer.finish() }
    }

    /// A dictionary block if that is at least an eighth smaller than `best`, the size of the alternative.
    fn try_dictionary<T: Value>(
        &self,
        values: &[T],
        rows: &Rows<'_>,
        frame: Option<u64>,
        best: usize,
    ) -> Option<EncodedBlock> {
        let forced = self.options.force == Some(Encoding::Dictionary);
        let width = frame.map_or(64, width_of);
        if width <= DICTIONARY_WIDTH_MIN && !forced {
            return None;
        }
        let useful = (1_usize << width.saturating_sub(1).min(30)).min(rows.len / 4);
        let limit = if forced { usize::MAX } else { self.options.dictionary_values_max.min(useful) };
        let (mut found, mut codes) = distinct(values, rows, limit)?;
        let size = 16 + found.len() * size_of::<T>() + packed_bytes(rows.len, width_of(found.len() as u64 - 1));
        if !forced && size > best / 8 * 7 {
            return None;
        }
        let physical = self.physical;
        sort_dictionary(&mut found, &mut codes, |value| (sort_key(*value, physical), *value));
        let mut writer = self.start(rows, Encoding::Dictionary);
        write_dictionary(&mut writer, &found, &codes);
        Some(EncodedBlock { encoding: Encoding::Dictionary, bytes: writer.finish() })
    }
}

fn sort_key<T: Value>(value: T, physical: PhysicalType) -> i128 {
    if T::WHOLE { value.to_i128() } else { fixed_key([value].to_byte_slice(), physical) }
}

/// Writes `count u64 | padding | values | packed codes`.
fn write_dictionary<T: Value>(writer: &mut Writer, values: &[T], codes: &[u32]) {
    writer.u64(values.len() as u64);
    writer.align();
    writer.words(values);
    writer.align();
    write_packed(writer, codes.len(), values.len() as u64 - 1, |row| u64::from(codes[row]));
}

/// Smallest and largest non-null value; there is at least one.
fn bounds<T: Value>(values: &[T], rows: &Rows<'_>) -> (T, T) {
    match rows.nulls {
        None => {
            let first = values.first().copied().unwrap_or_default();
            values.iter().fold((first, first), |(low, high), value| (low.min(*value), high.max(*value)))
        }
        Some(nulls) => {
            let mut live = nulls.valid_indices().map(|row| values[row]);
            let first = live.next().unwrap_or_default();
            live.fold((first, first), |(low, high), value| (low.min(value), high.max(value)))
        }
    }
}
