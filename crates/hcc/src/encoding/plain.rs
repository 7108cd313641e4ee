//! Values as they are: bits, fixed-width words, or strings one after the other.
//!
//! ```text
//! bool: one bit a row        fixed: rows * width bytes        strings: length u64 | spans | bytes
//! ```
//! Decoding shares the block's bytes. What cannot be compressed ends here, and so do the memtable's images, for speed. Strings
//! come out as views, whose first bytes lie beside their place: Neumann, Freitag, "Umbra", CIDR 2020.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::builder::make_view;
use arrow_array::{ArrayRef, BooleanArray};
use arrow_buffer::{ArrowNativeType, BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use heliosdb_types::{DatumRef, Error, KeySet, PhysicalType, Result};

use crate::Bitmap;
use crate::arrays::{check_text, fixed_array, string_array, typed, views_of, with_lane};
use crate::cell::{Cell, string_ref};
use crate::encoded::{Encoded, Wanted, misplaced};
use crate::filter::{BytesTest, Test, in_ranges};
use crate::filtering::{filter_plain, filter_strings, narrowed, search_all, within};
use crate::kind::Kind;
use crate::layout::{Reader, Writer};
use crate::offsets::{Spans, span_bytes, write_spans};
use crate::order::{comparable_bytes, fixed_datum, fixed_key, float_key};
use crate::search::{partition, search};

/// Booleans.
#[derive(Debug)]
pub(crate) struct Bits(BooleanBuffer);

/// Words of a fixed width.
#[derive(Debug)]
pub(crate) struct Words {
    physical: PhysicalType,
    values: Buffer,
}

/// Strings.
#[derive(Debug)]
pub(crate) struct Strings {
    physical: PhysicalType,
    rows: usize,
    spans: Spans,
    data: Buffer,
}

/// Bytes of a body of strings.
pub(crate) fn strings_size(ends: &[u64]) -> usize {
    8 + span_bytes(ends) + ends.last().copied().unwrap_or(0) as usize
}

pub(crate) fn write_strings(writer: &mut Writer, values: &[&[u8]], ends: &[u64]) {
    writer.u64(ends.last().copied().unwrap_or(0));
    write_spans(writer, ends);
    values.iter().for_each(|value| writer.raw(value));
}

pub(crate) fn read_bits(reader: &mut Reader, rows: usize) -> Result<BooleanBuffer> {
    let words: ScalarBuffer<u64> = reader.words(rows.div_ceil(64))?;
    reader.align();
    Ok(BooleanBuffer::new(words.into_inner(), 0, rows))
}

/// Spans and bytes of strings; text is checked.
pub(crate) fn read_strings(reader: &mut Reader, rows: usize, physical: PhysicalType) -> Result<(Spans, Buffer)> {
    // Arrow views address 32 bits.
    let len = reader.count(i32::MAX as usize, "strings are longer than 2 GiB")?;
    let spans = Spans::read(reader, rows, len)?;
    let data = reader.raw(len)?;
    if physical == PhysicalType::Text {
        check_text(data.as_slice(), spans.decode(0..rows).into_iter())?;
    }
    Ok((spans, data))
}

pub(crate) fn read(reader: &mut Reader, physical: PhysicalType, rows: usize) -> Result<Box<dyn Encoded>> {
    Ok(match Kind::of(physical) {
        Kind::Bool => Box::new(Bits(read_bits(reader, rows)?)),
        Kind::Var => {
            let (spans, data) = read_strings(reader, rows, physical)?;
            Box::new(Strings { physical, rows, spans, data })
        }
        kind => Box::new(Words { physical, values: reader.raw(rows * kind.width())? }),
    })
}

impl Encoded for Bits {
    fn cell<'a>(&'a self, row: usize, _: &mut Vec<u8>) -> Result<Cell<'a>> {
        Ok(Cell::Ready(DatumRef::Bool(self.0.value(row))))
    }

    fn decode(&self, range: Range<usize>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        Ok(Arc::new(BooleanArray::new(self.0.slice(range.start, range.len()), nulls)))
    }

    fn take(&self, rows: &[u32], nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let picked = BooleanBuffer::collect_bool(rows.len(), |i| self.0.value(rows[i] as usize));
        Ok(Arc::new(BooleanArray::new(picked, nulls)))
    }

    fn filter(&self, test: &Test, selection: &mut Bitmap) -> Result<()> {
        let Test::Ranges(ranges) = test else { return Err(misplaced("strings")) };
        let words = Bitmap::from_bits(&self.0);
        match (in_ranges(ranges, 0), in_ranges(ranges, 1)) {
            (true, true) => {}
            (false, true) => selection.and(&words),
            (true, false) => selection.and_not(&words),
            (false, false) => selection.clear_all(),
        }
        Ok(())
    }

    fn equal_range(&self, range: Range<usize>, wanted: &Wanted<'_>) -> Result<Option<Range<usize>>> {
        let Wanted::Key(key) = wanted else { return Err(Error::internal("a string was looked for among bits")) };
        Ok(Some(search(range, |row| i128::from(self.0.value(row)).cmp(key))))
    }
}

impl Words {
    /// Keeps the rows whose number is in the set.
    fn filter_members(&self, set: &KeySet, selection: &mut Bitmap) -> Result<()> {
        let values = self.values.as_slice();
        match Kind::of(self.physical) {
            Kind::Int { width: 2 } => {
                filter_plain(values, selection, |v| set.contains(i16::from_le_bytes(*v).into()));
            }
            Kind::Int { width: 4 } => {
                filter_plain(values, selection, |v| set.contains(i32::from_le_bytes(*v).into()));
            }
            Kind::Int { width: 8 } => filter_plain(values, selection, |v| set.contains(i64::from_le_bytes(*v))),
            _ => return Err(misplaced("whole numbers")),
        }
        Ok(())
    }

    fn at(&self, row: usize) -> &[u8] {
        let width = Kind::of(self.physical).width();
        self.values.as_slice().get(row * width..(row + 1) * width).unwrap_or(&[0; 16])
    }
}

fn gather<T: ArrowNativeType>(values: &Buffer, rows: &[u32]) -> Buffer {
    let values = typed::<T>(values);
    let picked: Vec<T> = rows.iter().map(|row| values.get(*row as usize).copied().unwrap_or_default()).collect();
    Buffer::from_vec(picked)
}

/// Keeps the rows whose key lies in one of the ranges.
fn filter_keys<const N: usize>(
    values: &[u8],
    selection: &mut Bitmap,
    ranges: &[(i64, i64)],
    key: impl Fn([u8; N]) -> i64,
) {
    match ranges {
        [one] => filter_plain(values, selection, |bytes| within(one, &key(*bytes))),
        many => filter_plain(values, selection, |bytes| {
            let key = key(*bytes);
            many.iter().any(|range| within(range, &key))
        }),
    }
}

impl Encoded for Words {
    fn cell<'a>(&'a self, row: usize, _: &mut Vec<u8>) -> Result<Cell<'a>> {
        Ok(Cell::Ready(fixed_datum(self.at(row), self.physical)))
    }

    fn decode(&self, range: Range<usize>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let width = Kind::of(self.physical).width();
        let values = self.values.slice_with_length(range.start * width, range.len() * width);
        fixed_array(values, range.len(), nulls, self.physical)
    }

    fn take(&self, rows: &[u32], nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let values = with_lane!(self.physical, L => gather::<L>(&self.values, rows));
        fixed_array(values, rows.len(), nulls, self.physical)
    }

    fn filter(&self, test: &Test, selection: &mut Bitmap) -> Result<()> {
        let ranges = match test {
            Test::Ranges(ranges) => ranges,
            Test::Member(set) => return self.filter_members(set, selection),
            _ => return Err(misplaced("strings")),
        };
        let (values, narrow) = (self.values.as_slice(), narrowed(ranges));
        match (Kind::of(self.physical), self.physical) {
            (_, PhysicalType::Float64) => filter_keys(values, selection, &narrow, |v| float_key(f64::from_le_bytes(v))),
            (_, PhysicalType::Float32) => {
                filter_keys(values, selection, &narrow, |v| float_key(f32::from_le_bytes(v).into()));
            }
            (Kind::Int { width: 2 }, _) => filter_keys(values, selection, &narrow, |v| i16::from_le_bytes(v).into()),
            (Kind::Int { width: 4 }, _) => filter_keys(values, selection, &narrow, |v| i32::from_le_bytes(v).into()),
            (Kind::Int { width: 8 }, _) => filter_keys(values, selection, &narrow, i64::from_le_bytes),
            _ => return selection.retain(|row| Ok(in_ranges(ranges, fixed_key(self.at(row), self.physical)))),
        }
        Ok(())
    }

    fn equal_range(&self, range: Range<usize>, wanted: &Wanted<'_>) -> Result<Option<Range<usize>>> {
        let Wanted::Key(key) = wanted else { return Err(Error::internal("a string was looked for among numbers")) };
        Ok(Some(search(range, |row| fixed_key(self.at(row), self.physical).cmp(key))))
    }
}

impl Strings {
    fn at(&self, row: usize) -> &[u8] {
        let (start, end) = self.spans.bounds(row);
        self.data.as_slice().get(start..end).unwrap_or(&[])
    }
}

impl Encoded for Strings {
    fn cell<'a>(&'a self, row: usize, _: &mut Vec<u8>) -> Result<Cell<'a>> {
        Ok(Cell::Ready(string_ref(self.at(row), self.physical)?))
    }

    fn decode(&self, range: Range<usize>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let views = views_of(&self.spans.decode(range), &self.data);
        string_array(views, self.data.clone(), nulls, self.physical)
    }

    fn take(&self, rows: &[u32], nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        // Many rows share the block's bytes; a few are copied, so that they do not keep the block alive.
        let bytes = self.data.as_slice();
        let bounds = rows.iter().map(|row| self.spans.bounds(*row as usize));
        if rows.len() > self.rows / 4 {
            let views =
                bounds.map(|(start, end)| make_view(bytes.get(start..end).unwrap_or(&[]), 0, start as u32)).collect();
            return string_array(views, self.data.clone(), nulls, self.physical);
        }
        let mut copied = Vec::new();
        let mut views = Vec::with_capacity(rows.len());
        for (start, end) in bounds {
            let value = bytes.get(start..end).unwrap_or(&[]);
            if i32::try_from(copied.len() + value.len()).is_err() {
                return Err(Error::internal("the strings of a batch exceed 2 GiB"));
            }
            views.push(make_view(value, 0, copied.len() as u32));
            copied.extend_from_slice(value);
        }
        string_array(views, copied.into(), nulls, self.physical)
    }

    fn filter(&self, test: &Test, selection: &mut Bitmap) -> Result<()> {
        let test = match test {
            Test::Bytes(test) => test,
            // A comparison with NULL, of any type.
            Test::Ranges(ranges) if ranges.is_empty() => {
                selection.clear_all();
                return Ok(());
            }
            _ => return Err(misplaced("numbers")),
        };
        if let BytesTest::Contains(finder) = test
            && selection.count() * 2 > self.rows
        {
            search_all(self.data.as_slice(), &self.spans.decode(0..self.rows), finder, selection);
            return Ok(());
        }
        filter_strings(&self.spans, self.data.as_slice(), selection, |value| {
            test.matches(comparable_bytes(value, self.physical))
        })
    }

    fn equal_range(&self, range: Range<usize>, wanted: &Wanted<'_>) -> Result<Option<Range<usize>>> {
        let Wanted::Bytes(wanted) = wanted else {
            return Err(Error::internal("a number was looked for among strings"));
        };
        Ok(Some(search(range, |row| comparable_bytes(self.at(row), self.physical).cmp(wanted))))
    }

    fn at_least(&self, range: Range<usize>, bytes: &[u8]) -> Result<Option<usize>> {
        Ok(Some(partition(range, |row| self.at(row) < bytes)))
    }
}
