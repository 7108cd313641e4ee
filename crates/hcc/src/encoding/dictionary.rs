//! The distinct values of a block, sorted, and bit-packed codes into them.
//!
//! ```text
//! fixed:   count u64 | padding | values | padding | packed codes
//! strings: count u64 | length u64 | spans | bytes | padding | packed codes
//! ```
//! Sorted, so that a comparison keeps a run of codes and a key is searched among the values once. Decoded strings are views
//! of one copy of each. Data Blocks (Lang et al., SIGMOD 2016) do the same.

use std::cmp::Ordering;
use std::ops::Range;

use arrow_array::ArrayRef;
use arrow_buffer::{ArrowNativeType, Buffer, NullBuffer};
use heliosdb_types::{Error, PhysicalType, Result};

use crate::Bitmap;
use crate::arrays::{fixed_array, string_array, typed, unpack, views_of, with_lane};
use crate::cell::{Cell, string_ref};
use crate::encoded::{Encoded, Wanted, misplaced};
use crate::encoding::plain;
use crate::filter::{Test, in_ranges, member};
use crate::filtering::filter_codes;
use crate::kind::Kind;
use crate::layout::{Reader, Writer, corrupt};
use crate::order::{comparable_bytes, fixed_datum, fixed_key};
use crate::packed::{Packed, packed_bytes, width_of, write_packed};
use crate::search::search;

/// Bytes of the body of `count` fixed values.
pub(crate) fn size(count: usize, width: usize, rows: usize) -> usize {
    32 + count * width + packed_bytes(rows, width_of(count as u64 - 1))
}

/// Bytes of the body of strings that end at `ends`.
pub(crate) fn strings_size(ends: &[u64], rows: usize) -> usize {
    32 + plain::strings_size(ends) + packed_bytes(rows, width_of(ends.len() as u64 - 1))
}

/// Sorts the distinct values by `key` and renumbers the codes to match.
pub(crate) fn sort<T: Copy, K: Ord>(found: &mut Vec<T>, codes: &mut [u32], key: impl Fn(&T) -> K) {
    let mut order: Vec<u32> = (0..found.len() as u32).collect();
    order.sort_by_cached_key(|place| key(&found[*place as usize]));
    let mut renumber = vec![0_u32; found.len()];
    for (new, old) in order.iter().enumerate() {
        renumber[*old as usize] = new as u32;
    }
    *found = order.iter().map(|old| found[*old as usize]).collect();
    codes.iter_mut().for_each(|code| *code = renumber[*code as usize]);
}

pub(crate) fn write<T: ArrowNativeType>(writer: &mut Writer, values: &[T], codes: &[u32]) {
    writer.u64(values.len() as u64);
    writer.align();
    writer.words(values);
    writer.align();
    write_packed(writer, codes.len(), values.len() as u64 - 1, |row| u64::from(codes[row]));
}

pub(crate) fn write_strings(writer: &mut Writer, words: &[&[u8]], ends: &[u64], codes: &[u32]) {
    writer.u64(words.len() as u64);
    plain::write_strings(writer, words, ends);
    writer.align();
    write_packed(writer, codes.len(), words.len() as u64 - 1, |row| u64::from(codes[row]));
}

pub(crate) fn read(reader: &mut Reader, physical: PhysicalType, rows: usize) -> Result<Box<dyn Encoded>> {
    // A dictionary never has more values than rows; a larger count could cost memory no byte of the block backs.
    let count = reader.count(rows, "dictionary size is out of range")?;
    if count == 0 {
        return Err(corrupt("dictionary size is out of range"));
    }
    match Kind::of(physical) {
        Kind::Bool => Err(corrupt("encoding does not fit the column's type")),
        Kind::Var => {
            let (spans, data) = plain::read_strings(reader, count, physical)?;
            reader.align();
            let bounds = spans.decode(0..count);
            let views = views_of(&bounds, &data);
            let codes = read_codes(reader, rows, count)?;
            Ok(Box::new(Strings { physical, words: WordList { bounds, views, data }, codes }))
        }
        kind => {
            reader.align();
            let values = reader.raw(count * kind.width())?;
            reader.align();
            Ok(Box::new(Fixed { physical, values, codes: read_codes(reader, rows, count)? }))
        }
    }
}

/// Codes, checked to be below `count`.
pub(crate) fn read_codes(reader: &mut Reader, rows: usize, count: usize) -> Result<Packed> {
    let codes = Packed::read(reader, rows)?;
    if !codes.is_narrow() || codes.max() >= count as u64 {
        return Err(corrupt("dictionary code is beyond the dictionary"));
    }
    Ok(codes)
}

/// Fixed-width values.
#[derive(Debug)]
struct Fixed {
    physical: PhysicalType,
    values: Buffer,
    codes: Packed,
}

impl Fixed {
    fn at(&self, row: usize) -> &[u8] {
        let (width, code) = (Kind::of(self.physical).width(), self.codes.get(row) as usize);
        self.values.as_slice().get(code * width..(code + 1) * width).unwrap_or(&[0; 16])
    }
}

fn decode<T: ArrowNativeType>(values: &Buffer, codes: &Packed, range: Range<usize>) -> Buffer {
    let values = typed::<T>(values);
    let values: &[T] = &values;
    Buffer::from_vec(unpack(codes, range, |code| values.get(code as usize).copied().unwrap_or_default()))
}

fn gather<T: ArrowNativeType>(values: &Buffer, codes: &Packed, rows: &[u32]) -> Buffer {
    let values = typed::<T>(values);
    let mut out = Vec::with_capacity(rows.len());
    codes.gather(rows, |code| out.push(values.get(code as usize).copied().unwrap_or_default()));
    Buffer::from_vec(out)
}

impl Encoded for Fixed {
    fn cell<'a>(&'a self, row: usize, _: &mut Vec<u8>) -> Result<Cell<'a>> {
        Ok(Cell::Ready(fixed_datum(self.at(row), self.physical)))
    }

    fn decode(&self, range: Range<usize>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let rows = range.len();
        let values = with_lane!(self.physical, L => decode::<L>(&self.values, &self.codes, range));
        fixed_array(values, rows, nulls, self.physical)
    }

    fn take(&self, rows: &[u32], nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let values = with_lane!(self.physical, L => gather::<L>(&self.values, &self.codes, rows));
        fixed_array(values, rows.len(), nulls, self.physical)
    }

    fn filter(&self, test: &Test, selection: &mut Bitmap) -> Result<()> {
        let values = self.values.as_slice().chunks_exact(Kind::of(self.physical).width());
        let keys = values.map(|value| fixed_key(value, self.physical));
        let keep: Vec<bool> = match test {
            Test::Ranges(ranges) => keys.map(|key| in_ranges(ranges, key)).collect(),
            Test::Member(set) => keys.map(|key| member(set, key)).collect(),
            _ => return Err(misplaced("strings")),
        };
        filter_codes(&self.codes, &keep, selection);
        Ok(())
    }

    fn equal_range(&self, range: Range<usize>, wanted: &Wanted<'_>) -> Result<Option<Range<usize>>> {
        let Wanted::Key(key) = wanted else { return Err(Error::internal("a string was looked for among numbers")) };
        Ok(Some(search(range, |row| fixed_key(self.at(row), self.physical).cmp(key))))
    }
}

/// Distinct strings: as bytes with bounds, and as ready-made Arrow views over `data`.
#[derive(Debug)]
pub(crate) struct WordList {
    pub bounds: Vec<usize>,
    pub views: Vec<u128>,
    pub data: Buffer,
}

impl WordList {
    pub(crate) fn len(&self) -> usize {
        self.views.len()
    }

    pub(crate) fn get(&self, index: usize) -> &[u8] {
        match self.bounds.get(index..index + 2) {
            Some(&[start, end]) => self.data.as_slice().get(start..end).unwrap_or(&[]),
            _ => &[],
        }
    }

    /// Which of the first `count` words pass.
    pub(crate) fn keep(&self, test: &Test, count: usize, physical: PhysicalType) -> Result<Vec<bool>> {
        let Test::Bytes(test) = test else { return Err(misplaced("numbers")) };
        Ok((0..count.min(self.len())).map(|word| test.matches(comparable_bytes(self.get(word), physical))).collect())
    }

    pub(crate) fn decode(
        &self,
        codes: &Packed,
        range: Range<usize>,
        nulls: Option<NullBuffer>,
        physical: PhysicalType,
    ) -> Result<ArrayRef> {
        let views = unpack(codes, range, |code| self.views.get(code as usize).copied().unwrap_or(0));
        string_array(views, self.data.clone(), nulls, physical)
    }

    pub(crate) fn take(
        &self,
        codes: &Packed,
        rows: &[u32],
        nulls: Option<NullBuffer>,
        physical: PhysicalType,
    ) -> Result<ArrayRef> {
        let mut views = Vec::with_capacity(rows.len());
        codes.gather(rows, |code| views.push(self.views.get(code as usize).copied().unwrap_or(0)));
        string_array(views, self.data.clone(), nulls, physical)
    }
}

/// Strings.
#[derive(Debug)]
struct Strings {
    physical: PhysicalType,
    words: WordList,
    codes: Packed,
}

impl Encoded for Strings {
    fn cell<'a>(&'a self, row: usize, _: &mut Vec<u8>) -> Result<Cell<'a>> {
        Ok(Cell::Ready(string_ref(self.words.get(self.codes.get(row) as usize), self.physical)?))
    }

    fn decode(&self, range: Range<usize>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        self.words.decode(&self.codes, range, nulls, self.physical)
    }

    fn take(&self, rows: &[u32], nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        self.words.take(&self.codes, rows, nulls, self.physical)
    }

    fn filter(&self, test: &Test, selection: &mut Bitmap) -> Result<()> {
        filter_codes(&self.codes, &self.words.keep(test, usize::MAX, self.physical)?, selection);
        Ok(())
    }

    fn equal_range(&self, range: Range<usize>, wanted: &Wanted<'_>) -> Result<Option<Range<usize>>> {
        let Wanted::Bytes(wanted) = wanted else {
            return Err(Error::internal("a number was looked for among strings"));
        };
        // The words are sorted, so their codes are searched for instead of the value.
        let compare = |word| comparable_bytes(self.words.get(word), self.physical).cmp(wanted);
        let equal = search(0..self.words.len(), compare);
        let (low, high) = (equal.start as u64, equal.end as u64);
        Ok(Some(search(range, |row| match self.codes.get(row) {
            code if code < low => Ordering::Less,
            code if code >= high => Ordering::Greater,
            _ => Ordering::Equal,
        })))
    }
}
