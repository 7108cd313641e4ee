//! Dropping the rows of an array that are not selected, where most are: every row is written, and the next over it if it does not stay,
//! so that nothing depends on what a branch was guessed to do.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::ByteViewType;
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanArray, GenericByteViewArray, PrimitiveArray, downcast_primitive_array,
};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_schema::DataType;
use heliosdb_types::{Error, Result};

use crate::Bitmap;

/// The rows of `array` that are in `keep`, `count` of them. Both have the same length.
pub(crate) fn compact(array: &ArrayRef, keep: &Bitmap, count: usize) -> Result<ArrayRef> {
    if array.len() != keep.len() || keep.count() != count {
        return Err(Error::internal("a selection is of other rows than the array it is for"));
    }
    let nulls = array.nulls().map(|nulls| NullBuffer::new(bits(nulls.inner(), keep, count)));
    let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
    let array = array.as_ref();
    Ok(downcast_primitive_array!(
        array => primitive(array, keep, count, nulls),
        DataType::Utf8View => views(array.as_string_view(), keep, count, nulls),
        DataType::BinaryView => views(array.as_binary_view(), keep, count, nulls),
        DataType::Boolean => Arc::new(BooleanArray::new(bits(array.as_boolean().values(), keep, count), nulls)),
        _ => arrow_select::filter::filter(array, &BooleanArray::new(keep.to_bits(), None))
            .map_err(|error| Error::internal("drop rows that are not selected").with_source(error))?,
    ))
}

fn primitive<T: ArrowPrimitiveType>(
    array: &PrimitiveArray<T>,
    keep: &Bitmap,
    count: usize,
    nulls: Option<NullBuffer>,
) -> ArrayRef {
    let values = kept(array.values(), keep, count);
    Arc::new(PrimitiveArray::<T>::new(values.into(), nulls).with_data_type(array.data_type().clone()))
}

fn views<T: ByteViewType>(
    array: &GenericByteViewArray<T>,
    keep: &Bitmap,
    count: usize,
    nulls: Option<NullBuffer>,
) -> ArrayRef {
    let values = kept(array.views(), keep, count);
    // SAFETY: the views are the array's own, of the same buffers, and NULLs are as many as they are.
    Arc::new(unsafe { GenericByteViewArray::<T>::new_unchecked(values.into(), array.data_buffers().to_vec(), nulls) })
}

const WORD: usize = 64;

fn kept<T: Copy>(values: &[T], keep: &Bitmap, count: usize) -> Vec<T> {
    // A word's rows are written where the word before ended, all of them.
    let mut out: Vec<T> = Vec::with_capacity(count + WORD);
    let room = out.spare_capacity_mut();
    let mut at = 0;
    for (&word, values) in keep.words().iter().zip(values.chunks(WORD)) {
        let Some(room) = room.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<WORD>()) else { break };
        match values.first_chunk::<WORD>() {
            Some(all) if word == u64::MAX => *room = all.map(MaybeUninit::new),
            _ => {
                let mut next = 0;
                for (bit, value) in values.iter().enumerate() {
                    room[next % WORD].write(*value);
                    next += (word >> bit & 1) as usize;
                }
            }
        }
        at += word.count_ones() as usize;
    }
    assert_eq!(at, count, "a selection is as long as what it is of");
    // SAFETY: of each word as many values were written as it has bits, one after the other from 0 on, `count` in all; what was written
    // beyond them lies in the capacity, and values are plain (`Copy`).
    unsafe { out.set_len(count) };
    out
}

fn bits(values: &BooleanBuffer, keep: &Bitmap, count: usize) -> BooleanBuffer {
    let values = Bitmap::from_bits(values);
    let mut out = Vec::with_capacity(count.div_ceil(WORD) + 1);
    // What is not yet in `out`, and how many bits it has.
    let (mut open, mut used) = (0_u64, 0);
    for (&value, &keep) in values.words().iter().zip(keep.words()) {
        let (bits, more) = (gathered(value, keep), keep.count_ones());
        open |= bits << used;
        if used + more >= 64 {
            out.push(open);
            open = bits.checked_shr(64 - used).unwrap_or(0);
            used = used + more - 64;
        } else {
            used += more;
        }
    }
    out.push(open);
    BooleanBuffer::new(out.into(), 0, count)
}

/// The bits of `value` that `keep` has, side by side.
fn gathered(value: u64, keep: u64) -> u64 {
    let kept = value & keep;
    if kept == keep {
        // Usually none is NULL.
        return 1_u64.checked_shl(keep.count_ones()).map_or(u64::MAX, |end| end - 1);
    }
    let (mut out, mut rest, mut next) = (0, keep, 0);
    while rest != 0 {
        let lowest = rest & rest.wrapping_neg();
        out |= u64::from(kept & lowest != 0) << next;
        rest ^= lowest;
        next += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use arrow_array::{
        BinaryViewArray, Decimal128Array, FixedSizeBinaryArray, Int16Array, Int64Array, StringViewArray,
    };

    use super::*;

    #[test]
    fn what_stays_is_what_arrow_keeps() {
        for rows in [0_usize, 1, 63, 64, 65, 127, 128, 1000, 8192] {
            let null = |row: usize| row % 7 == 3;
            let number = |row: usize| (!null(row)).then_some(row as i64 * 7919);
            let text = |row: usize| (!null(row)).then(|| "value ".repeat(row % 5) + &row.to_string());
            let texts: Vec<Option<String>> = (0..rows).map(text).collect();
            let uuids = (0..rows).map(|row| (!null(row)).then_some([row as u8; 16]));
            let arrays: Vec<ArrayRef> = vec![
                Arc::new((0..rows).map(number).collect::<Int64Array>()),
                Arc::new(
                    (0..rows).map(|row| row as i16).collect::<Vec<_>>().into_iter().map(Some).collect::<Int16Array>(),
                ),
                Arc::new((0..rows).map(|row| number(row).map(i128::from)).collect::<Decimal128Array>()),
                Arc::new((0..rows).map(|row| (!null(row)).then_some(row % 3 == 0)).collect::<BooleanArray>()),
                Arc::new(StringViewArray::from_iter(texts.iter().map(Option::as_deref))),
                Arc::new(BinaryViewArray::from_iter(texts.iter().map(|text| text.as_deref().map(str::as_bytes)))),
                Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(uuids, 16).unwrap()),
            ];
            for every in [1, 2, 3, 10, 64, 100, 5000] {
                let mut keep = Bitmap::all_set(rows);
                (0..rows).step_by(every).for_each(|row| keep.clear(row));
                for array in &arrays {
                    let by_arrow =
                        arrow_select::filter::filter(array, &BooleanArray::new(keep.to_bits(), None)).unwrap();
                    let kept = compact(array, &keep, keep.count()).unwrap();
                    assert_eq!(kept.data_type(), array.data_type());
                    assert_eq!(&kept, &by_arrow, "{rows} rows without each {every}th");
                    if rows > 9 {
                        let (part, some) =
                            (array.slice(5, rows - 9), Bitmap::from_bits(&keep.to_bits().slice(5, rows - 9)));
                        let kept = compact(&part, &some, some.count()).unwrap();
                        assert_eq!(kept.len(), some.count());
                        assert!(compact(&part, &keep, keep.count()).is_err());
                    }
                }
            }
        }
    }
}
