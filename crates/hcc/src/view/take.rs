//! Chosen rows to an Arrow array: late materialisation.

use std::sync::Arc;

use arrow_array::builder::make_view;
use arrow_array::{ArrayRef, BooleanArray, new_null_array};
use arrow_buffer::{ArrowNativeType, BooleanBuffer, Buffer, NullBuffer};
use heliosdb_types::{Error, PhysicalType, Result};

use super::decode::{Out, check_text, dictionary_values, fixed_array, string_array};
use super::{BlockView, Body};
use crate::kind::{Kind, arrow_type};
use crate::packed::Packed;

impl BlockView {
    /// The rows at these positions, in the order given (ascending is fastest). A position beyond the end is an error.
    pub fn take(&self, rows: &[u32]) -> Result<ArrayRef> {
        if rows.iter().any(|row| *row as usize >= self.rows) {
            return Err(Error::internal("row position beyond the end of its block"));
        }
        if rows.len() == self.rows && rows.iter().enumerate().all(|(i, row)| *row as usize == i) {
            return self.decode(0..self.rows);
        }
        let physical = self.physical;
        let nulls = self.take_nulls(rows);
        match &self.body {
            Body::AllNull => Ok(new_null_array(&arrow_type(physical), rows.len())),
            Body::Bits(bits) => {
                let picked = BooleanBuffer::collect_bool(rows.len(), |i| bits.value(rows[i] as usize));
                Ok(Arc::new(BooleanArray::new(picked, nulls)))
            }
            Body::Frame { reference, distances } => self.frame_array(
                *reference,
                nulls,
                |out| match out {
                    Out::I16(low) => gather(distances, rows, |d| low.wrapping_add(d as i16)),
                    Out::I32(low) => gather(distances, rows, |d| low.wrapping_add(d as i32)),
                    Out::I64(low) => gather(distances, rows, |d| low.wrapping_add(d as i64)),
                    Out::I128(low) => gather(distances, rows, |d| low.wrapping_add(i128::from(d))),
                },
                rows.len(),
            ),
            Body::FixedDictionary { values, codes } => {
                let buffer = match Kind::of(physical).width() {
                    2 => gather_codes::<i16>(values, codes, rows),
                    4 => gather_codes::<i32>(values, codes, rows),
                    8 => gather_codes::<i64>(values, codes, rows),
                    _ => gather_codes::<i128>(values, codes, rows),
                };
                fixed_array(buffer, rows.len(), nulls, physical)
            }
            Body::PlainFixed(values) => {
                let buffer = match Kind::of(physical).width() {
                    2 => pick::<i16>(values, rows),
                    4 => pick::<i32>(values, rows),
                    8 => pick::<i64>(values, rows),
                    _ => pick::<i128>(values, rows),
                };
                fixed_array(buffer, rows.len(), nulls, physical)
            }
            Body::VarDictionary { words, codes } => {
                let mut views = Vec::with_capacity(rows.len());
                codes.gather(rows, |code| views.push(words.views.get(code as usize).copied().unwrap_or(0)));
                string_array(views, words.data.clone(), nulls, physical)
            }
            Body::PlainVar { offsets, data } => {
                // Many rows share the block's bytes; a few are copied, so that they do not keep the block alive.
                let bytes = data.as_slice();
                let bounds = rows.iter().map(|row| offsets.bounds(*row as usize));
                if rows.len() > self.rows / 4 {
                    let views = bounds
                        .map(|(start, end)| make_view(bytes.get(start..end).unwrap_or(&[]), 0, start as u32))
                        .collect();
                    return string_array(views, data.clone(), nulls, physical);
                }
                let mut copied = Vec::new();
                let mut views = Vec::with_capacity(rows.len());
                for (start, end) in bounds {
                    let value = bytes.get(start..end).unwrap_or(&[]);
                    views.push(make_view(value, 0, copied.len() as u32));
                    copied.extend_from_slice(value);
                }
                string_array(views, copied.into(), nulls, physical)
            }
            Body::Fsst(body) => {
                let codes_len: usize = rows.iter().map(|row| body.codes(*row as usize).len()).sum();
                let mut data = Vec::new();
                data.try_reserve(codes_len * 3).map_err(|_| Error::internal("no memory to expand strings"))?;
                let mut bounds = Vec::with_capacity(rows.len() + 1);
                bounds.push(0);
                for row in rows {
                    body.table.append(body.codes(*row as usize), &mut data)?;
                    bounds.push(data.len());
                }
                if i32::try_from(data.len()).is_err() {
                    return Err(Error::internal("the strings of a batch exceed 2 GiB"));
                }
                if physical == PhysicalType::Text {
                    check_text(&data, bounds.iter().copied())?;
                }
                let data = Buffer::from_vec(data);
                string_array(super::decode::views_of(&bounds, &data), data, nulls, physical)
            }
        }
    }

    fn take_nulls(&self, rows: &[u32]) -> Option<NullBuffer> {
        let nulls = self.nulls.as_ref()?;
        let picked = NullBuffer::new(BooleanBuffer::collect_bool(rows.len(), |i| nulls.is_valid(rows[i] as usize)));
        Some(picked).filter(|nulls| nulls.null_count() > 0)
    }
}

fn gather<T: ArrowNativeType>(packed: &Packed, rows: &[u32], map: impl Fn(u64) -> T) -> Buffer {
    let mut out = Vec::with_capacity(rows.len());
    packed.gather(rows, |distance| out.push(map(distance)));
    Buffer::from_vec(out)
}

fn gather_codes<T: ArrowNativeType>(values: &Buffer, codes: &Packed, rows: &[u32]) -> Buffer {
    let values = dictionary_values::<T>(values);
    gather(codes, rows, |code| values.get(code as usize).copied().unwrap_or_default())
}

fn pick<T: ArrowNativeType>(values: &Buffer, rows: &[u32]) -> Buffer {
    let values = dictionary_values::<T>(values);
    let picked: Vec<T> = rows.iter().map(|row| values.get(*row as usize).copied().unwrap_or_default()).collect();
    Buffer::from_vec(picked)
}
