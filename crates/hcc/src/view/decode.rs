//! Ranges of rows back to Arrow arrays, and the assembly of arrays from parts that decode and take share.
//!
//! Strings come out as views: of the block itself where it holds them plain, over one shared buffer otherwise.
#![allow(unsafe_code)]

use std::ops::Range;
use std::sync::Arc;

use arrow_array::builder::make_view;
use arrow_array::{ArrayRef, BinaryViewArray, BooleanArray, StringViewArray, make_array, new_null_array};
use arrow_buffer::{ArrowNativeType, Buffer, NullBuffer, ScalarBuffer};
use arrow_data::ArrayData;
use heliosdb_types::{Error, PhysicalType, Result};

use super::{BlockView, Body, FsstBody};
use crate::kind::{Kind, arrow_type};
use crate::layout::corrupt;
use crate::packed::Packed;

/// Views of the strings between consecutive `bounds` of `data`, which is the array's only buffer.
pub(super) fn views_of(bounds: &[usize], data: &Buffer) -> Vec<u128> {
    let data = data.as_slice();
    let view = |pair: &[usize]| match *pair {
        [start, end] => make_view(data.get(start..end).unwrap_or(&[]), 0, start as u32),
        _ => 0,
    };
    bounds.windows(2).map(view).collect()
}

/// Checks that the data is UTF-8 and that every bound falls between characters.
pub(super) fn check_text(data: &[u8], mut bounds: impl Iterator<Item = usize>) -> Result<()> {
    let text = std::str::from_utf8(data).map_err(|_| corrupt("text is not UTF-8"))?;
    if bounds.all(|bound| text.is_char_boundary(bound)) {
        Ok(())
    } else {
        Err(corrupt("text is cut inside a character"))
    }
}

/// An array of views over one buffer. For text the caller has checked every viewed piece to be UTF-8.
pub(super) fn string_array(
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

/// An array of fixed-width values.
pub(super) fn fixed_array(
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

/// Unpacks `range` and maps every distance.
pub(super) fn unpack<T>(packed: &Packed, range: Range<usize>, map: impl Fn(u64) -> T) -> Vec<T> {
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

/// Values of a dictionary by code, as typed words.
pub(super) fn dictionary_values<T: ArrowNativeType>(values: &Buffer) -> ScalarBuffer<T> {
    ScalarBuffer::new(values.clone(), 0, values.len() / size_of::<T>())
}

impl BlockView {
    /// The rows of `range` (cut to the block) as an array of [`crate::arrow_type`]'s type.
    pub fn decode(&self, range: Range<usize>) -> Result<ArrayRef> {
        let range = range.start.min(self.rows)..range.end.min(self.rows);
        let range = range.start..range.end.max(range.start);
        let rows = range.len();
        let physical = self.physical;
        let nulls = self.nulls.as_ref().map(|nulls| nulls.slice(range.start, rows)).filter(|n| n.null_count() > 0);
        match &self.body {
            Body::AllNull => Ok(new_null_array(&arrow_type(physical), rows)),
            Body::Bits(bits) => Ok(Arc::new(BooleanArray::new(bits.slice(range.start, rows), nulls))),
            Body::Frame { reference, distances } => self.frame_array(
                *reference,
                nulls,
                |out| match out {
                    Out::I16(low) => Buffer::from_vec(unpack(distances, range, |d| low.wrapping_add(d as i16))),
                    Out::I32(low) => Buffer::from_vec(unpack(distances, range, |d| low.wrapping_add(d as i32))),
                    Out::I64(low) => Buffer::from_vec(unpack(distances, range, |d| low.wrapping_add(d as i64))),
                    Out::I128(low) => Buffer::from_vec(unpack(distances, range, |d| low.wrapping_add(i128::from(d)))),
                },
                rows,
            ),
            Body::FixedDictionary { values, codes } => {
                let width = Kind::of(physical).width();
                let buffer = match width {
                    2 => by_code::<i16>(values, codes, range),
                    4 => by_code::<i32>(values, codes, range),
                    8 => by_code::<i64>(values, codes, range),
                    _ => by_code::<i128>(values, codes, range),
                };
                fixed_array(buffer, rows, nulls, physical)
            }
            Body::PlainFixed(values) => {
                let width = Kind::of(physical).width();
                fixed_array(values.slice_with_length(range.start * width, rows * width), rows, nulls, physical)
            }
            Body::VarDictionary { words, codes } => {
                let views = unpack(codes, range, |code| words.views.get(code as usize).copied().unwrap_or(0));
                string_array(views, words.data.clone(), nulls, physical)
            }
            Body::PlainVar { offsets, data } => {
                let views = views_of(&offsets.decode(range), data);
                string_array(views, data.clone(), nulls, physical)
            }
            Body::Fsst(body) => {
                let (data, bounds) = body.expand(range, self.rows)?;
                if physical == PhysicalType::Text {
                    check_text(data.as_slice(), bounds.iter().copied())?;
                }
                string_array(views_of(&bounds, &data), data, nulls, physical)
            }
        }
    }

    /// Builds an array of whole numbers: `fill` gets the reference in the type of the values.
    pub(super) fn frame_array(
        &self,
        reference: i128,
        nulls: Option<NullBuffer>,
        fill: impl FnOnce(Out) -> Buffer,
        rows: usize,
    ) -> Result<ArrayRef> {
        let out = match Kind::of(self.physical) {
            Kind::Bool => {
                let bits = if reference == 0 {
                    arrow_buffer::BooleanBuffer::new_unset(rows)
                } else {
                    arrow_buffer::BooleanBuffer::new_set(rows)
                };
                return Ok(Arc::new(BooleanArray::new(bits, nulls)));
            }
            Kind::Int { width: 2 } => Out::I16(reference as i16),
            Kind::Int { width: 4 } => Out::I32(reference as i32),
            Kind::Wide => Out::I128(reference),
            _ => Out::I64(reference as i64),
        };
        fixed_array(fill(out), rows, nulls, self.physical)
    }
}

/// The frame's reference in the type of the column's values.
pub(super) enum Out {
    I16(i16),
    I32(i32),
    I64(i64),
    I128(i128),
}

fn by_code<T: ArrowNativeType>(values: &Buffer, codes: &Packed, range: Range<usize>) -> Buffer {
    let values = dictionary_values::<T>(values);
    let values: &[T] = &values;
    Buffer::from_vec(unpack(codes, range, |code| values.get(code as usize).copied().unwrap_or_default()))
}

impl FsstBody {
    /// The strings of `range` one after the other, and their bounds.
    pub(super) fn expand(&self, range: Range<usize>, rows: usize) -> Result<(Buffer, Vec<usize>)> {
        let starts = self.offsets.decode(range.clone());
        let whole = range == (0..rows);
        let codes_len = starts.last().copied().unwrap_or(0) - starts.first().copied().unwrap_or(0);
        let capacity = if whole { self.expanded_len } else { self.expanded_len.min(codes_len * 8) };
        let mut data = vec![0; capacity + 8];
        let mut bounds = Vec::with_capacity(starts.len());
        let mut at = 0;
        bounds.push(0);
        for pair in starts.windows(2) {
            if let [start, end] = *pair {
                at = self.table.expand(self.codes.as_slice().get(start..end).unwrap_or(&[]), &mut data, at)?;
                bounds.push(at);
            }
        }
        if whole && at != self.expanded_len {
            return Err(corrupt("compressed strings do not have the declared length"));
        }
        data.truncate(at);
        Ok((Buffer::from_vec(data), bounds))
    }
}
