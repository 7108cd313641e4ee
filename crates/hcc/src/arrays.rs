//! Assembly of Arrow arrays from parts, shared by all encodings.
//!
//! Strings come out as views: of the block itself where it holds them plain, over one shared buffer otherwise.
#![allow(unsafe_code)]

use std::ops::Range;
use std::sync::Arc;

use arrow_array::builder::make_view;
use arrow_array::{Array, ArrayRef, BinaryViewArray, StringViewArray, make_array};
use arrow_buffer::{ArrowNativeType, Buffer, NullBuffer, ScalarBuffer};
use arrow_data::ArrayData;
use heliosdb_types::{Error, PhysicalType, Result};

use crate::kind::arrow_type;
use crate::layout::corrupt;
use crate::packed::Packed;

/// A fixed-width value as it lies in an array: whole numbers, and the bits of everything else.
pub(crate) trait Lane: ArrowNativeType {
    /// The low bits.
    fn cut(value: i128) -> Self;
    fn cut64(value: u64) -> Self;
    fn wide(self) -> i128;
    /// The low 64 bits, sign extended.
    fn wide64(self) -> i64;
    fn plus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
}

macro_rules! lane {
    ($($int:ty),*) => { $(
        impl Lane for $int {
            fn cut(value: i128) -> $int {
                value as $int
            }

            fn cut64(value: u64) -> $int {
                value as $int
            }

            fn wide(self) -> i128 {
                self as i128
            }

            fn wide64(self) -> i64 {
                self as i64
            }

            fn plus(self, other: $int) -> $int {
                self.wrapping_add(other)
            }

            fn times(self, other: $int) -> $int {
                self.wrapping_mul(other)
            }
        }
    )* };
}

lane!(i16, i32, i64, i128);

/// Evaluates an expression with `$lane` standing for the integer as wide as the type's values.
macro_rules! with_lane {
    ($physical:expr, $lane:ident => $body:expr) => {
        match $crate::kind::Kind::of($physical).width() {
            2 => {
                type $lane = i16;
                $body
            }
            4 => {
                type $lane = i32;
                $body
            }
            8 => {
                type $lane = i64;
                $body
            }
            _ => {
                type $lane = i128;
                $body
            }
        }
    };
}
pub(crate) use with_lane;

/// Views of the strings between consecutive `bounds` of `data`, which is the array's only buffer.
pub(crate) fn views_of(bounds: &[usize], data: &Buffer) -> Vec<u128> {
    let data = data.as_slice();
    let view = |pair: &[usize]| match *pair {
        [start, end] => make_view(data.get(start..end).unwrap_or(&[]), 0, start as u32),
        _ => 0,
    };
    bounds.windows(2).map(view).collect()
}

/// Checks that the data is UTF-8 and that every bound falls between characters.
pub(crate) fn check_text(data: &[u8], mut bounds: impl Iterator<Item = usize>) -> Result<()> {
    if data.is_ascii() {
        return if bounds.all(|bound| bound <= data.len()) { Ok(()) } else { Err(corrupt("text is cut off")) };
    }
    let text = std::str::from_utf8(data).map_err(|_| corrupt("text is not UTF-8"))?;
    if bounds.all(|bound| text.is_char_boundary(bound)) {
        Ok(())
    } else {
        Err(corrupt("text is cut inside a character"))
    }
}

/// An array of views over one buffer. For text the caller has checked every viewed piece to be UTF-8.
pub(crate) fn string_array(
    views: Vec<u128>,
    data: Buffer,
    nulls: Option<NullBuffer>,
    physical: PhysicalType,
) -> Result<ArrayRef> {
    if nulls.as_ref().is_some_and(|nulls| nulls.len() != views.len()) {
        return Err(Error::internal("validity and values differ in length"));
    }
    let views = ScalarBuffer::from(views);
    let buffers: Arc<[Buffer]> = if data.is_empty() { Arc::from([]) } else { Arc::from([data]) };
    // SAFETY: every view was made by `make_view` from a slice of the one buffer at the offset it names; text was checked
    // to be UTF-8 with views cut between characters; nulls has the same length as views.
    Ok(unsafe {
        match physical {
            PhysicalType::Text => Arc::new(StringViewArray::new_unchecked(views, buffers, nulls)),
            _ => Arc::new(BinaryViewArray::new_unchecked(views, buffers, nulls)) as ArrayRef,
        }
    })
}

/// Strings that were just expanded can be viewed by 32 bits, and text is text.
fn check_expanded(data: &Buffer, bounds: &[usize], physical: PhysicalType) -> Result<()> {
    if i32::try_from(data.len()).is_err() {
        return Err(Error::internal("the strings of a batch exceed 2 GiB"));
    }
    if physical == PhysicalType::Text {
        check_text(data.as_slice(), bounds.iter().copied())?;
    }
    Ok(())
}

/// An array over strings that were just expanded: checks text, then views them.
pub(crate) fn expanded_array(
    data: Buffer,
    bounds: &[usize],
    nulls: Option<NullBuffer>,
    physical: PhysicalType,
) -> Result<ArrayRef> {
    check_expanded(&data, bounds, physical)?;
    string_array(views_of(bounds, &data), data, nulls, physical)
}

/// The same of some of the strings, all of which were expanded.
pub(crate) fn picked_array(
    data: Buffer,
    bounds: &[usize],
    rows: &[u32],
    nulls: Option<NullBuffer>,
    physical: PhysicalType,
) -> Result<ArrayRef> {
    check_expanded(&data, bounds, physical)?;
    let view = |row: &u32| {
        let (start, end) = match bounds.get(*row as usize..*row as usize + 2) {
            Some(&[start, end]) => (start, end),
            _ => (0, 0),
        };
        make_view(data.as_slice().get(start..end).unwrap_or(&[]), 0, start as u32)
    };
    let views = rows.iter().map(view).collect();
    string_array(views, data, nulls, physical)
}

/// Whether so many rows of a block are better expanded with all others: one by one they cost several times as much, and what is
/// expanded in vain is held as long as they are.
pub(crate) fn is_dense(picked: usize, rows: usize) -> bool {
    picked * 2 >= rows
}

/// An array of fixed-width values.
pub(crate) fn fixed_array(
    values: Buffer,
    rows: usize,
    nulls: Option<NullBuffer>,
    physical: PhysicalType,
) -> Result<ArrayRef> {
    let nulls = nulls.map(|nulls| {
        let bits = nulls.into_inner();
        bits.sliced()
    });
    let data = ArrayData::try_new(arrow_type(physical), rows, nulls, 0, vec![values], vec![])
        .map_err(|error| Error::internal(format!("could not assemble a {physical:?} array: {error}")))?;
    Ok(make_array(data))
}

/// The array with these NULLs instead of its own.
pub(crate) fn with_nulls(array: ArrayRef, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    // Assembling it again would look at every value.
    if nulls.is_none() && array.null_count() == 0 {
        return Ok(array);
    }
    let builder = array.to_data().into_builder().nulls(nulls);
    let data = builder.build().map_err(|error| Error::internal(format!("could not put NULLs in place: {error}")))?;
    Ok(make_array(data))
}

/// The rows of `array` at these places.
pub(crate) fn pick(array: &ArrayRef, places: Vec<u32>) -> Result<ArrayRef> {
    arrow_select::take::take(array.as_ref(), &arrow_array::UInt32Array::from(places), None)
        .map_err(|error| Error::internal(format!("could not pick rows: {error}")))
}

/// Unpacks `range` and maps every distance.
pub(crate) fn unpack<T>(packed: &Packed, range: Range<usize>, map: impl Fn(u64) -> T) -> Vec<T> {
    let mut out = Vec::with_capacity(range.len());
    if packed.width() == 0 {
        out.resize_with(range.len(), || map(0));
    } else if packed.is_narrow() {
        packed.slices32(range, |values| out.extend(values.iter().map(|value| map(u64::from(*value)))));
    } else {
        packed.slices64(range, |values| out.extend(values.iter().map(|value| map(*value))));
    }
    out
}

/// Fixed-width values as typed words.
pub(crate) fn typed<T: ArrowNativeType>(values: &Buffer) -> ScalarBuffer<T> {
    ScalarBuffer::new(values.clone(), 0, values.len() / size_of::<T>())
}
