//! What is known of a block without reading it: the zone map.

use std::cmp::Ordering;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_buffer::{ArrowNativeType, Buffer, NullBuffer, ScalarBuffer};
use heliosdb_types::{Datum, Error, Numeric, PhysicalType, Result};

use crate::input::{fixed_values, var_values};
use crate::kind::Kind;
use crate::layout::{Writer, corrupt};
use crate::order::{comparable_bytes, datum_key, fixed_datum, fixed_key, float_key};

/// Longer strings are kept as a prefix: cut for `min`, cut and rounded up for `max`.
const PREFIX_BYTES: usize = 32;

/// Bounds of a column's values in one block (or segment).
///
/// Every non-null value v has min <= v <= max. A missing bound is unknown, not absent, unless every row is NULL.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BlockStats {
    pub rows: u32,
    pub null_count: u32,
    pub min: Option<Datum>,
    pub max: Option<Datum>,
}

/// The statistics of an array of [`crate::arrow_type`]'s type.
pub fn collect_stats(array: &ArrayRef, physical: PhysicalType) -> Result<BlockStats> {
    let null_count = array.null_count();
    let mut stats = BlockStats { rows: array.len() as u32, null_count: null_count as u32, min: None, max: None };
    if null_count == array.len() {
        return Ok(stats);
    }
    let live = |row: &usize| array.is_valid(*row);
    match Kind::of(physical) {
        Kind::Bool => {
            let bits = array.as_boolean_opt().ok_or_else(|| Error::internal("column is not boolean"))?;
            let values = || (0..array.len()).filter(live).map(|row| bits.value(row));
            stats.min = values().min().map(Datum::Bool);
            stats.max = values().max().map(Datum::Bool);
        }
        Kind::Int { .. } | Kind::Wide | Kind::Fixed { .. } => {
            let values = fixed_values(array, physical)?;
            let buffer = values.buffer.clone();
            let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
            let (low, high) = match Kind::of(physical) {
                Kind::Int { width: 2 } => extremes(&words::<i16>(buffer), nulls, |v| v),
                Kind::Int { width: 4 } => extremes(&words::<i32>(buffer), nulls, |v| v),
                Kind::Int { .. } => extremes(&words::<i64>(buffer), nulls, |v| v),
                Kind::Wide => extremes(&words::<i128>(buffer), nulls, |v| v),
                Kind::Fixed { width: 4 } => extremes(&words::<f32>(buffer), nulls, |v| float_key(f64::from(v))),
                Kind::Fixed { width: 8 } => extremes(&words::<f64>(buffer), nulls, float_key),
                _ => {
                    let keys: Vec<i128> = (0..array.len()).map(|row| fixed_key(values.value(row), physical)).collect();
                    extremes(&keys, nulls, |v| v)
                }
            };
            stats.min = Some(fixed_datum(values.value(low), physical).to_owned());
            stats.max = Some(fixed_datum(values.value(high), physical).to_owned());
        }
        Kind::Var => {
            let values = var_values(array, physical)?;
            let live = (0..array.len()).filter(live).filter_map(|row| values.get(row).copied());
            if let Some((low, high)) = string_extremes(live, physical) {
                stats.min = lower_bound(low, physical);
                stats.max = upper_bound(high, physical);
            }
        }
    }
    Ok(stats)
}

fn words<T: ArrowNativeType>(buffer: Buffer) -> ScalarBuffer<T> {
    let count = buffer.len() / size_of::<T>();
    ScalarBuffer::new(buffer, 0, count)
}

/// Rows of the smallest and largest value by `key`. There is a non-null row.
fn extremes<T: Copy, K: Ord + Copy>(values: &[T], nulls: Option<&NullBuffer>, key: impl Fn(T) -> K) -> (usize, usize) {
    let find = |low: K, high: K| {
        let is_live = |row: usize| nulls.is_none_or(|nulls| nulls.is_valid(row));
        let row_of =
            |wanted: K| (0..values.len()).find(|row| is_live(*row) && key(values[*row]) == wanted).unwrap_or(0);
        (row_of(low), row_of(high))
    };
    let bounds = match nulls {
        // Free of branches, so that it vectorises; the rows are looked up after.
        None => values.first().map(|first| {
            let first = key(*first);
            values.iter().fold((first, first), |(low, high), v| (low.min(key(*v)), high.max(key(*v))))
        }),
        Some(nulls) => nulls.valid_indices().map(|row| key(values[row])).fold(None, |bounds, v| {
            let (low, high): (K, K) = bounds.unwrap_or((v, v));
            Some((low.min(v), high.max(v)))
        }),
    };
    bounds.map_or((0, 0), |(low, high)| find(low, high))
}

/// A string behind its prefix.
type Prefixed<'a> = (u64, &'a [u8]);

/// The smallest and largest string. Their first eight bytes, as one number, decide nearly every comparison.
fn string_extremes<'a>(values: impl Iterator<Item = &'a [u8]>, physical: PhysicalType) -> Option<(&'a [u8], &'a [u8])> {
    let comparable = |value: &'a [u8]| comparable_bytes(value, physical);
    let mut bounds = None;
    for value in values {
        let prefix = prefix(comparable(value));
        let (low, high): &mut (Prefixed<'_>, Prefixed<'_>) = bounds.get_or_insert(((prefix, value), (prefix, value)));
        if prefix < low.0 || (prefix == low.0 && comparable(value) < comparable(low.1)) {
            *low = (prefix, value);
        }
        if prefix > high.0 || (prefix == high.0 && comparable(value) > comparable(high.1)) {
            *high = (prefix, value);
        }
    }
    bounds.map(|((_, low), (_, high))| (low, high))
}

fn prefix(value: &[u8]) -> u64 {
    value.first_chunk::<8>().map_or_else(
        || {
            value
                .iter()
                .zip([56, 48, 40, 32, 24, 16, 8])
                .fold(0, |prefix, (byte, shift)| prefix | u64::from(*byte) << shift)
        },
        |bytes| u64::from_be_bytes(*bytes),
    )
}

fn lower_bound(bytes: &[u8], physical: PhysicalType) -> Option<Datum> {
    if bytes.len() <= PREFIX_BYTES {
        return string_datum(bytes, physical);
    }
    match physical {
        // Half a numeric is no number; such long ones are rare.
        PhysicalType::Numeric => None,
        PhysicalType::Text => {
            let text = std::str::from_utf8(bytes).ok()?;
            let end = (0..=PREFIX_BYTES).rev().find(|at| text.is_char_boundary(*at))?;
            Some(Datum::Text(text.get(..end)?.to_owned()))
        }
        _ => string_datum(bytes.get(..PREFIX_BYTES)?, physical),
    }
}

fn upper_bound(bytes: &[u8], physical: PhysicalType) -> Option<Datum> {
    if bytes.len() <= PREFIX_BYTES {
        return string_datum(bytes, physical);
    }
    match lower_bound(bytes, physical)? {
        Datum::Text(prefix) => next_text(&prefix).map(Datum::Text),
        Datum::Bytes(mut prefix) => {
            while let Some(last) = prefix.pop() {
                if last < u8::MAX {
                    prefix.push(last + 1);
                    return Some(Datum::Bytes(prefix));
                }
            }
            None
        }
        _ => None,
    }
}

/// A short text above every text that starts with `prefix`.
fn next_text(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // The successor of a scalar value sorts above it in UTF-8 as well; surrogates are stepped over.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(last as u32 + 1) };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

fn string_datum(bytes: &[u8], physical: PhysicalType) -> Option<Datum> {
    Some(match physical {
        PhysicalType::Text => Datum::Text(std::str::from_utf8(bytes).ok()?.to_owned()),
        PhysicalType::Numeric => Datum::Numeric(Numeric::from_bytes_unchecked(bytes)),
        _ => Datum::Bytes(bytes.to_vec()),
    })
}

impl BlockStats {
    /// Bounds of both blocks together; a bound unknown in one is unknown in the result.
    #[must_use]
    pub fn merge(&self, other: &BlockStats, physical: PhysicalType) -> BlockStats {
        let pick = |a: &Option<Datum>, b: &Option<Datum>, wanted: Ordering| {
            if self.null_count == self.rows {
                return b.clone();
            }
            if other.null_count == other.rows {
                return a.clone();
            }
            let (a, b) = (a.as_ref()?, b.as_ref()?);
            Some(if compare_bounds(a, b, physical)? == wanted { a.clone() } else { b.clone() })
        };
        BlockStats {
            rows: self.rows.saturating_add(other.rows),
            null_count: self.null_count.saturating_add(other.null_count),
            min: pick(&self.min, &other.min, Ordering::Less),
            max: pick(&self.max, &other.max, Ordering::Greater),
        }
    }

    /// Appends a compact form; [`BlockStats::decode`] needs the column's type.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut writer = Writer::default();
        writer.u32(self.rows);
        writer.u32(self.null_count);
        write_bound(&mut writer, &self.min);
        write_bound(&mut writer, &self.max);
        out.extend_from_slice(&writer.into_unaligned());
    }

    /// Reads one from the front of `bytes` and returns how many bytes it took.
    pub fn decode(bytes: &[u8], physical: PhysicalType) -> Result<(BlockStats, usize)> {
        let mut rest = bytes;
        let (rows, null_count) = (read_u32(&mut rest)?, read_u32(&mut rest)?);
        let (min, max) = (read_bound(&mut rest, physical)?, read_bound(&mut rest, physical)?);
        Ok((BlockStats { rows, null_count, min, max }, bytes.len() - rest.len()))
    }
}

fn read<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(len).ok_or_else(|| corrupt("statistics end early"))?;
    *rest = tail;
    Ok(head)
}

fn read_u32(rest: &mut &[u8]) -> Result<u32> {
    let bytes = read(rest, 4)?.try_into().expect("read gives what was asked for");
    Ok(u32::from_le_bytes(bytes))
}

fn compare_bounds(a: &Datum, b: &Datum, physical: PhysicalType) -> Option<Ordering> {
    if Kind::of(physical) == Kind::Var {
        return Some(bound_bytes(a, physical)?.cmp(bound_bytes(b, physical)?));
    }
    Some(datum_key(a, physical).ok()??.cmp(&datum_key(b, physical).ok()??))
}

fn bound_bytes(bound: &Datum, physical: PhysicalType) -> Option<&[u8]> {
    crate::order::datum_bytes(bound, physical).ok()?
}

fn write_bound(writer: &mut Writer, bound: &Option<Datum>) {
    let Some(bound) = bound else { return writer.u8(0) };
    let bytes = match bound {
        Datum::Null => return writer.u8(0),
        Datum::Bool(v) => vec![u8::from(*v)],
        Datum::Int16(v) => v.to_le_bytes().to_vec(),
        Datum::Int32(v) | Datum::Date(v) => v.to_le_bytes().to_vec(),
        Datum::Int64(v) | Datum::Time(v) | Datum::Timestamp(v) | Datum::TimestampTz(v) => v.to_le_bytes().to_vec(),
        Datum::Float32(v) => v.to_bits().to_le_bytes().to_vec(),
        Datum::Float64(v) => v.to_bits().to_le_bytes().to_vec(),
        Datum::Decimal { unscaled, .. } => unscaled.to_le_bytes().to_vec(),
        Datum::Numeric(v) => v.as_bytes().to_vec(),
        Datum::Text(v) => v.as_bytes().to_vec(),
        Datum::Bytes(v) => v.clone(),
        Datum::Interval(v) => [&v.months.to_le_bytes()[..], &v.days.to_le_bytes(), &v.micros.to_le_bytes()].concat(),
        Datum::Uuid(v) => v.to_vec(),
    };
    writer.u8(1);
    writer.u32(bytes.len() as u32);
    writer.raw(&bytes);
}

fn read_bound(rest: &mut &[u8], physical: PhysicalType) -> Result<Option<Datum>> {
    if read(rest, 1)? == [0] {
        return Ok(None);
    }
    let len = read_u32(rest)? as usize;
    let bytes = read(rest, len)?;
    let kind = Kind::of(physical);
    if kind == Kind::Var {
        let datum = string_datum(bytes, physical);
        return datum.map(Some).ok_or_else(|| corrupt("statistics of a text column are not UTF-8"));
    }
    let width = match physical {
        PhysicalType::Bool => 1,
        PhysicalType::Decimal64 { .. } => 16,
        _ => kind.width(),
    };
    if len != width {
        return Err(corrupt("statistics have the wrong width"));
    }
    Ok(Some(match physical {
        PhysicalType::Interval => {
            let mut raw = [0; 16];
            raw.copy_from_slice(bytes);
            let [a, b, c, d, e, f, g, h, micros @ ..] = raw;
            Datum::Interval(heliosdb_types::Interval {
                months: i32::from_le_bytes([a, b, c, d]),
                days: i32::from_le_bytes([e, f, g, h]),
                micros: i64::from_le_bytes(micros),
            })
        }
        _ => fixed_datum(bytes, physical).to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{BinaryViewArray, Float64Array, StringViewArray};
    use std::sync::Arc;

    #[test]
    fn long_text_bounds_hold() {
        let long = "é".repeat(40);
        let array: ArrayRef = Arc::new(StringViewArray::from(vec![Some(long.as_str()), Some("b"), None]));
        let stats = collect_stats(&array, PhysicalType::Text).unwrap();
        assert_eq!((stats.rows, stats.null_count), (3, 1));
        assert_eq!(stats.min, Some(Datum::Text("b".into())));
        let Some(Datum::Text(max)) = &stats.max else { panic!("no bound") };
        assert!(max.as_str() > long.as_str() && max.len() <= PREFIX_BYTES);
        let mut bytes = Vec::new();
        stats.encode(&mut bytes);
        assert_eq!(BlockStats::decode(&bytes, PhysicalType::Text).unwrap(), (stats, bytes.len()));
    }

    #[test]
    fn bytes_that_cannot_round_up_have_no_bound() {
        let array: ArrayRef = Arc::new(BinaryViewArray::from(vec![Some(&[0xff_u8; 50][..])]));
        assert_eq!(collect_stats(&array, PhysicalType::Bytes).unwrap().max, None);
    }

    #[test]
    fn nan_is_largest_and_merging_keeps_bounds() {
        let a: ArrayRef = Arc::new(Float64Array::from(vec![1.0, f64::NAN]));
        let b: ArrayRef = Arc::new(Float64Array::from(vec![-2.0, f64::INFINITY]));
        let float = PhysicalType::Float64;
        let (a, b) = (collect_stats(&a, float).unwrap(), collect_stats(&b, float).unwrap());
        let both = a.merge(&b, float);
        assert_eq!(both.min, Some(Datum::Float64(-2.0)));
        assert!(matches!(both.max, Some(Datum::Float64(max)) if max.is_nan()));
        let nulls = BlockStats { rows: 2, null_count: 2, min: None, max: None };
        assert_eq!(nulls.merge(&b, float).max, b.max);
    }
}
