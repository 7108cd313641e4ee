//! One value for every row.
//!
//! ```text
//! fixed: the value's bytes (bool: one)        strings: length u64 | bytes
//! ```
//! Decode repeats it (strings share one copy), a filter tests it once. Data Blocks (Lang et al., SIGMOD 2016) have the same.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::builder::make_view;
use arrow_array::{ArrayRef, BooleanArray};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer};
use heliosdb_types::{DatumRef, Error, PhysicalType, Result};

use crate::Bitmap;
use crate::arrays::{check_text, fixed_array, string_array, with_lane};
use crate::cell::{Cell, string_ref};
use crate::encoded::{Encoded, Wanted, misplaced};
use crate::filter::{Test, in_ranges, member};
use crate::kind::Kind;
use crate::layout::{Reader, Writer};
use crate::order::{comparable_bytes, fixed_datum, fixed_key};

#[derive(Debug)]
pub(crate) struct Constant {
    physical: PhysicalType,
    value: Buffer,
}

/// Bytes of the body.
pub(crate) fn size(value: &[u8], physical: PhysicalType) -> usize {
    if Kind::of(physical) == Kind::Var { 8 + value.len() } else { value.len() }
}

pub(crate) fn write(writer: &mut Writer, value: &[u8], physical: PhysicalType) {
    if Kind::of(physical) == Kind::Var {
        writer.u64(value.len() as u64);
    }
    writer.raw(value);
}

pub(crate) fn read(reader: &mut Reader, physical: PhysicalType) -> Result<Constant> {
    let value = match Kind::of(physical) {
        Kind::Bool => reader.raw(1)?,
        Kind::Var => {
            let len = reader.count(i32::MAX as usize, "a string is longer than 2 GiB")?;
            let value = reader.raw(len)?;
            if physical == PhysicalType::Text {
                check_text(value.as_slice(), std::iter::empty())?;
            }
            value
        }
        kind => reader.raw(kind.width())?,
    };
    Ok(Constant { physical, value })
}

impl Constant {
    fn key(&self) -> i128 {
        match Kind::of(self.physical) {
            Kind::Bool => i128::from(self.value.as_slice() != [0]),
            _ => fixed_key(self.value.as_slice(), self.physical),
        }
    }

    fn repeat(&self, rows: usize, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let bytes = self.value.as_slice();
        match Kind::of(self.physical) {
            Kind::Bool if self.key() != 0 => Ok(Arc::new(BooleanArray::new(BooleanBuffer::new_set(rows), nulls))),
            Kind::Bool => Ok(Arc::new(BooleanArray::new(BooleanBuffer::new_unset(rows), nulls))),
            Kind::Var => string_array(vec![make_view(bytes, 0, 0); rows], self.value.clone(), nulls, self.physical),
            _ => {
                let values = with_lane!(self.physical, L => {
                    let value = bytes.try_into().map(L::from_le_bytes).unwrap_or_default();
                    Buffer::from_vec(vec![value; rows])
                });
                fixed_array(values, rows, nulls, self.physical)
            }
        }
    }

    fn matches(&self, test: &Test) -> Result<bool> {
        match (test, Kind::of(self.physical)) {
            (Test::Bytes(test), Kind::Var) => Ok(test.matches(comparable_bytes(self.value.as_slice(), self.physical))),
            (Test::Ranges(ranges), Kind::Var) if ranges.is_empty() => Ok(false),
            (Test::Ranges(ranges), kind) if kind != Kind::Var => Ok(in_ranges(ranges, self.key())),
            (Test::Member(set), kind) if kind != Kind::Var => Ok(member(set, self.key())),
            _ => Err(misplaced("another type")),
        }
    }
}

impl Encoded for Constant {
    fn cell<'a>(&'a self, _: usize, _: &mut Vec<u8>) -> Result<Cell<'a>> {
        let bytes = self.value.as_slice();
        Ok(Cell::Ready(match Kind::of(self.physical) {
            Kind::Bool => DatumRef::Bool(self.key() != 0),
            Kind::Var => string_ref(bytes, self.physical)?,
            _ => fixed_datum(bytes, self.physical),
        }))
    }

    fn decode(&self, range: Range<usize>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        self.repeat(range.len(), nulls)
    }

    fn take(&self, rows: &[u32], nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        self.repeat(rows.len(), nulls)
    }

    fn filter(&self, test: &Test, selection: &mut Bitmap) -> Result<()> {
        if !self.matches(test)? {
            selection.clear_all();
        }
        Ok(())
    }

    fn equal_range(&self, range: Range<usize>, wanted: &Wanted<'_>) -> Result<Option<Range<usize>>> {
        let ordering = match (wanted, Kind::of(self.physical)) {
            (Wanted::Bytes(bytes), Kind::Var) => comparable_bytes(self.value.as_slice(), self.physical).cmp(bytes),
            (Wanted::Key(key), kind) if kind != Kind::Var => self.key().cmp(key),
            _ => return Err(Error::internal("a key of another type was looked for")),
        };
        Ok(Some(match ordering {
            std::cmp::Ordering::Less => range.end..range.end,
            std::cmp::Ordering::Equal => range,
            std::cmp::Ordering::Greater => range.start..range.start,
        }))
    }
}
