//! Arrays of any element type and up to six dimensions, as one string of bytes.
//!
//! `(key-coded element)* | 0 | dimensions | u32 length each | i32 lower bound each | dimensions | residue`, integers
//! big-endian, lower bounds with the sign flipped. The elements are in row-major order and coded as in a key ([`crate::encode_key`]),
//! so that memcmp orders arrays as PostgreSQL does: element by element (NULL last), then by number of elements, of
//! dimensions, by lengths, by lower bounds.
//!
//! The residue is what a key loses of an element: a numeric's display scale, the sign of a zero, an interval's parts, a
//! char(n)'s padding. Only arrays of such types ([`has_residue`]) have one, as its bytes and then their u32 length; it does
//! not count in comparisons ([`array_sort_bytes`]) and is empty when nothing was lost.
//!
//! Element types do not travel with the bytes: every value is read with the array's SQL type at hand. Elements of
//! `numeric(p, s)` are kept as [`Numeric`], so that all numeric arrays have one form. Reading hostile bytes fails, it never
//! panics.

mod build;
mod literal;
mod view;

use crate::{Datum, DatumRef, Error, PhysicalType, Result, SqlState, SqlType};

pub use build::ArrayBuilder;
pub use literal::{parse_array, put_quoted_element, write_array};
pub use view::{ArrayView, Element};

/// PostgreSQL's MAXDIM.
pub const ARRAY_DIMENSIONS_MAX: usize = 6;
/// The most elements of an array, as in PostgreSQL.
pub const ARRAY_ELEMENTS_MAX: usize = 134_217_727;
/// The most bytes of an array. PostgreSQL stops at 1 GB.
pub const ARRAY_BYTES_MAX: usize = 256 << 20;

/// One dimension: subscripts `lower ..= lower + length - 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dimension {
    pub length: u32,
    pub lower: i32,
}

impl Dimension {
    /// A dimension from 1.
    pub fn of(length: usize) -> Result<Dimension> {
        Dimension::new(length, 1)
    }

    pub fn new(length: usize, lower: i32) -> Result<Dimension> {
        if length > ARRAY_ELEMENTS_MAX {
            return Err(too_large());
        }
        let length = length as u32;
        if i64::from(lower) + i64::from(length) > i64::from(i32::MAX) {
            return Err(Error::invalid(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                format!("array lower bound is too large: {lower}"),
            ));
        }
        Ok(Dimension { length, lower })
    }

    /// The last subscript.
    pub fn upper(self) -> i32 {
        (i64::from(self.lower) + i64::from(self.length) - 1) as i32
    }
}

/// What of an element a key does not keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Residue {
    None,
    /// A bit for each element: it is a zero with a minus.
    ZeroSign,
    /// A u16 for each element: the display scale.
    Scale,
    /// i32 months and i32 days for each element.
    Parts,
    /// A u32 for each element: blanks at the end.
    Blanks,
}

fn residue_of(element: &SqlType) -> Residue {
    match element {
        SqlType::Float4 | SqlType::Float8 => Residue::ZeroSign,
        SqlType::Numeric(_) => Residue::Scale,
        SqlType::Interval => Residue::Parts,
        SqlType::Char(_) => Residue::Blanks,
        _ => Residue::None,
    }
}

/// Whether equal arrays of this element type may differ in bytes.
pub fn has_residue(element: &SqlType) -> bool {
    residue_of(element) != Residue::None
}

/// The form of elements of this type; `None` for types there are no arrays of.
pub fn element_physical(element: &SqlType) -> Option<PhysicalType> {
    match element {
        SqlType::Numeric(_) => Some(PhysicalType::Numeric),
        SqlType::Array(_) => None,
        other => other.physical(),
    }
}

/// The part of an array's bytes that decides comparisons: all of them, less the residue.
pub fn array_sort_bytes<'a>(element: &SqlType, bytes: &'a [u8]) -> &'a [u8] {
    if !has_residue(element) {
        return bytes;
    }
    let sort = bytes.split_last_chunk::<4>().and_then(|(rest, len)| {
        let end = rest.len().checked_sub(u32::from_be_bytes(*len) as usize)?;
        rest.get(..end)
    });
    sort.unwrap_or(bytes)
}

/// The bytes an element compares by, as [`ArrayView::keys`] has them; `None` for NULL.
pub fn element_key(element: &SqlType, value: DatumRef<'_>) -> Result<Option<Vec<u8>>> {
    if value.is_null() {
        return Ok(None);
    }
    let mut builder = ArrayBuilder::new(element)?;
    builder.push(value)?;
    Ok(Some(builder.into_keys()))
}

/// An array of texts.
pub fn text_array<'a>(elements: impl IntoIterator<Item = Option<&'a str>>) -> Result<Datum> {
    let mut builder = ArrayBuilder::new(&SqlType::Text)?;
    for element in elements {
        builder.push(element.map_or(DatumRef::Null, DatumRef::Text))?;
    }
    builder.finish().map(Datum::Bytes)
}

/// How many elements dimensions have.
pub fn element_count(dimensions: &[Dimension]) -> Result<usize> {
    let count = dimensions.iter().try_fold(1usize, |count, dimension| count.checked_mul(dimension.length as usize));
    match count {
        _ if dimensions.is_empty() => Ok(0),
        Some(count) if count <= ARRAY_ELEMENTS_MAX => Ok(count),
        _ => Err(too_large()),
    }
}

pub(crate) fn too_large() -> Error {
    let message = format!("array size exceeds the maximum allowed ({ARRAY_ELEMENTS_MAX})");
    Error::invalid(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
}

/// 54000: more dimensions than there can be.
pub fn too_many_dimensions(count: usize) -> Error {
    let message = format!("number of array dimensions ({count}) exceeds the maximum allowed ({ARRAY_DIMENSIONS_MAX})");
    Error::invalid(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
}

fn damaged(what: &str) -> Error {
    Error::corrupt(format!("damaged array: {what}"))
}

#[cfg(test)]
#[path = "array_test.rs"]
mod tests;
