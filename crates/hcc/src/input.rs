//! Arrays on their way in: checked for their type, seen as plain values.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_buffer::Buffer;
use heliosdb_types::{Error, PhysicalType, Result};

use crate::kind::{Kind, arrow_type};

/// A fixed-width column's values, NULL slots included (their bytes mean nothing).
pub(crate) struct FixedValues {
    pub(crate) buffer: Buffer,
    width: usize,
}

impl FixedValues {
    pub(crate) fn value(&self, row: usize) -> &[u8] {
        self.buffer.as_slice().get(row * self.width..(row + 1) * self.width).unwrap_or(&[0; 16])
    }
}

pub(crate) fn check_type(array: &ArrayRef, physical: PhysicalType) -> Result<()> {
    if *array.data_type() == arrow_type(physical) {
        return Ok(());
    }
    Err(Error::internal(format!("column of type {physical:?} was given as Arrow {}", array.data_type())))
}

pub(crate) fn fixed_values(array: &ArrayRef, physical: PhysicalType) -> Result<FixedValues> {
    check_type(array, physical)?;
    let width = Kind::of(physical).width();
    let data = array.to_data();
    let buffer = data.buffers().first().ok_or_else(|| Error::internal("fixed-width array without values"))?;
    Ok(FixedValues { buffer: buffer.slice_with_length(data.offset() * width, data.len() * width), width })
}

/// A string column's values; NULL rows are empty.
pub(crate) fn var_values(array: &ArrayRef, physical: PhysicalType) -> Result<Vec<&[u8]>> {
    check_type(array, physical)?;
    let live = |row: usize| array.is_valid(row);
    if let Some(strings) = array.as_string_view_opt() {
        return Ok((0..array.len()).map(|row| if live(row) { strings.value(row).as_bytes() } else { &[] }).collect());
    }
    let bytes = array.as_binary_view_opt().ok_or_else(|| Error::internal("string column is not a view array"))?;
    Ok((0..array.len()).map(|row| if live(row) { bytes.value(row) } else { &[] }).collect())
}
