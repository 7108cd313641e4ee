//! One value of one row, in O(1).

use std::ops::Range;

use heliosdb_types::{DatumRef, PhysicalType, Result};

use super::{BlockView, Body};
use crate::layout::corrupt;
use crate::order::{fixed_datum, int_datum};

/// A value that either lies in the block or was expanded into the caller's scratch buffer.
///
/// Two steps, because several columns of a row share one growing scratch buffer: first read all cells, then resolve them.
#[derive(Clone, Debug)]
pub enum Cell<'a> {
    Ready(DatumRef<'a>),
    /// Text (checked to be UTF-8) or bytes at this range of the scratch buffer.
    Scratch {
        range: Range<usize>,
        physical: PhysicalType,
    },
}

impl<'a> Cell<'a> {
    /// The value; `scratch` is the buffer given to [`BlockView::cell`].
    pub fn resolve(&self, scratch: &'a [u8]) -> DatumRef<'a> {
        match self {
            Cell::Ready(datum) => *datum,
            Cell::Scratch { range, physical } => {
                let bytes = scratch.get(range.clone()).unwrap_or(&[]);
                string_ref(bytes, *physical).unwrap_or(DatumRef::Null)
            }
        }
    }
}

fn string_ref(bytes: &[u8], physical: PhysicalType) -> Result<DatumRef<'_>> {
    Ok(match physical {
        PhysicalType::Text => DatumRef::Text(std::str::from_utf8(bytes).map_err(|_| corrupt("text is not UTF-8"))?),
        PhysicalType::Numeric => DatumRef::Numeric(bytes),
        _ => DatumRef::Bytes(bytes),
    })
}

impl BlockView {
    /// The value of a row; rows beyond the end are NULL. Compressed strings are appended to `scratch`.
    pub fn cell<'a>(&'a self, row: usize, scratch: &mut Vec<u8>) -> Result<Cell<'a>> {
        if self.is_null(row) {
            return Ok(Cell::Ready(DatumRef::Null));
        }
        let physical = self.physical;
        Ok(Cell::Ready(match &self.body {
            Body::AllNull => DatumRef::Null,
            Body::Bits(bits) => DatumRef::Bool(bits.value(row)),
            Body::Frame { reference, distances } => {
                int_datum(reference.wrapping_add(i128::from(distances.get(row))), physical)
            }
            Body::FixedDictionary { values, codes } => {
                fixed_datum(self.fixed_at(values, codes.get(row) as usize), physical)
            }
            Body::PlainFixed(values) => fixed_datum(self.fixed_at(values, row), physical),
            Body::VarDictionary { words, codes } => string_ref(words.get(codes.get(row) as usize), physical)?,
            Body::PlainVar { offsets, data } => {
                let (start, end) = offsets.bounds(row);
                string_ref(data.as_slice().get(start..end).unwrap_or(&[]), physical)?
            }
            Body::Fsst(body) => {
                let start = scratch.len();
                body.table.append(body.codes(row), scratch)?;
                let range = start..scratch.len();
                string_ref(scratch.get(range.clone()).unwrap_or(&[]), physical)?;
                return Ok(Cell::Scratch { range, physical });
            }
        }))
    }

    /// The value of a row by itself. `scratch` is cleared first.
    pub fn get<'a>(&'a self, row: usize, scratch: &'a mut Vec<u8>) -> Result<DatumRef<'a>> {
        scratch.clear();
        let cell = self.cell(row, scratch)?;
        Ok(cell.resolve(scratch))
    }

    /// A plain value's bytes.
    pub(super) fn fixed_at<'a>(&self, values: &'a arrow_buffer::Buffer, index: usize) -> &'a [u8] {
        let width = crate::kind::Kind::of(self.physical).width();
        values.as_slice().get(index * width..(index + 1) * width).unwrap_or(&[0; 16])
    }
}
