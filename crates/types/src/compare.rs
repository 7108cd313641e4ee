//! PostgreSQL's order of two values of one type.

use std::cmp::Ordering;

use crate::numeric::sort_bytes;
use crate::{DatumRef, Numeric};

/// Compares as `ORDER BY ... ASC` does: NULL last (and equal to NULL), NaN above every number and equal to itself, text
/// bytewise, intervals by their total with 30-day months. Integers of different widths, decimals of different scales,
/// decimals and numeric, and the two float widths compare by value; other mixed types by their type's place.
pub fn compare(a: DatumRef<'_>, b: DatumRef<'_>) -> Ordering {
    use DatumRef as D;
    match (a, b) {
        (D::Null, D::Null) => Ordering::Equal,
        (D::Null, _) => Ordering::Greater,
        (_, D::Null) => Ordering::Less,
        (D::Bool(a), D::Bool(b)) => a.cmp(&b),
        (D::Text(a), D::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (D::Bytes(a), D::Bytes(b)) => a.cmp(b),
        (D::Date(a), D::Date(b)) => a.cmp(&b),
        (D::Time(a), D::Time(b)) => a.cmp(&b),
        (D::Timestamp(a), D::Timestamp(b)) | (D::TimestampTz(a), D::TimestampTz(b)) => a.cmp(&b),
        (D::Interval(a), D::Interval(b)) => a.total_micros().cmp(&b.total_micros()),
        (D::Uuid(a), D::Uuid(b)) => a.cmp(&b),
        (D::Numeric(a), D::Numeric(b)) => sort_bytes(a).cmp(sort_bytes(b)),
        (D::Decimal { unscaled: a, scale: s }, D::Decimal { unscaled: b, scale: t }) => compare_decimals(a, s, b, t),
        (D::Decimal { unscaled, scale }, D::Numeric(b)) => {
            Numeric::from_unscaled(unscaled, scale).sort_bytes().cmp(sort_bytes(b))
        }
        (D::Numeric(a), D::Decimal { unscaled, scale }) => {
            sort_bytes(a).cmp(Numeric::from_unscaled(unscaled, scale).sort_bytes())
        }
        _ => match (integer(a), integer(b), float(a), float(b)) {
            (Some(a), Some(b), _, _) => a.cmp(&b),
            (_, _, Some(a), Some(b)) => compare_floats(a, b),
            _ => type_rank(a).cmp(&type_rank(b)),
        },
    }
}

/// PostgreSQL's order of floats: NaN is the largest and equals NaN; -0 equals 0.
pub fn compare_floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

fn compare_decimals(a: i128, a_scale: i8, b: i128, b_scale: i8) -> Ordering {
    if a_scale == b_scale {
        return a.cmp(&b);
    }
    let lift = |value: i128, by: i32| value.checked_mul(10i128.checked_pow(u32::try_from(by).ok()?)?);
    let difference = i32::from(a_scale) - i32::from(b_scale);
    let lifted = if difference > 0 { (Some(a), lift(b, difference)) } else { (lift(a, -difference), Some(b)) };
    match lifted {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => Numeric::from_unscaled(a, a_scale).compare(&Numeric::from_unscaled(b, b_scale)),
    }
}

fn integer(value: DatumRef<'_>) -> Option<i64> {
    match value {
        DatumRef::Int16(v) => Some(i64::from(v)),
        DatumRef::Int32(v) => Some(i64::from(v)),
        DatumRef::Int64(v) => Some(v),
        _ => None,
    }
}

fn float(value: DatumRef<'_>) -> Option<f64> {
    match value {
        DatumRef::Float32(v) => Some(f64::from(v)),
        DatumRef::Float64(v) => Some(v),
        _ => None,
    }
}

fn type_rank(value: DatumRef<'_>) -> u8 {
    match value {
        DatumRef::Bool(_) => 0,
        DatumRef::Int16(_) | DatumRef::Int32(_) | DatumRef::Int64(_) => 1,
        DatumRef::Float32(_) | DatumRef::Float64(_) => 2,
        DatumRef::Decimal { .. } | DatumRef::Numeric(_) => 3,
        DatumRef::Text(_) => 4,
        DatumRef::Bytes(_) => 5,
        DatumRef::Date(_) => 6,
        DatumRef::Time(_) => 7,
        DatumRef::Timestamp(_) => 8,
        DatumRef::TimestampTz(_) => 9,
        DatumRef::Interval(_) => 10,
        DatumRef::Uuid(_) => 11,
        DatumRef::Null => 12,
    }
}
