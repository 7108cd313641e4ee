//! One value of one row.

use std::ops::Range;

use heliosdb_types::{DatumRef, PhysicalType, Result};

use crate::layout::corrupt;

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
    /// The value; `scratch` is the buffer given to [`crate::BlockView::cell`].
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

impl Cell<'_> {
    /// What was appended to `scratch` from `start` on, checked.
    pub(crate) fn scratch(scratch: &[u8], start: usize, physical: PhysicalType) -> Result<Cell<'static>> {
        let range = start..scratch.len();
        string_ref(scratch.get(range.clone()).unwrap_or(&[]), physical)?;
        Ok(Cell::Scratch { range, physical })
    }
}

pub(crate) fn string_ref(bytes: &[u8], physical: PhysicalType) -> Result<DatumRef<'_>> {
    Ok(match physical {
        PhysicalType::Text => DatumRef::Text(std::str::from_utf8(bytes).map_err(|_| corrupt("text is not UTF-8"))?),
        PhysicalType::Numeric => DatumRef::Numeric(bytes),
        _ => DatumRef::Bytes(bytes),
    })
}
