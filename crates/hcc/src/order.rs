//! Order keys: every fixed-width value as an `i128` whose integer order is PostgreSQL's order of the type.

use heliosdb_types::{Datum, DatumRef, Error, Interval, PhysicalType, Result};

/// -0 equals 0; every NaN is the same and largest.
pub(crate) fn float_key(value: f64) -> i64 {
    if value.is_nan() {
        return i64::MAX;
    }
    // Adding zero turns -0 into 0.
    let bits = (value + 0.0).to_bits() as i64;
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

/// Months count thirty days, days 24 hours, as PostgreSQL compares intervals.
pub(crate) fn interval_key(value: Interval) -> i128 {
    const DAY: i128 = 86_400_000_000;
    (i128::from(value.months) * 30 + i128::from(value.days)) * DAY + i128::from(value.micros)
}

pub(crate) fn uuid_key(value: [u8; 16]) -> i128 {
    (u128::from_be_bytes(value) ^ 1 << 127) as i128
}

/// An interval as Arrow lays it out in memory.
pub(crate) fn interval_from_bytes(bytes: [u8; 16]) -> Interval {
    let [a, b, c, d, e, f, g, h, rest @ ..] = bytes;
    Interval {
        months: i32::from_le_bytes([a, b, c, d]),
        days: i32::from_le_bytes([e, f, g, h]),
        micros: i64::from_le_bytes(rest) / 1000,
    }
}

/// The order key of a literal for a column of type `physical`; `None` for NULL. Strings have no key.
pub(crate) fn datum_key(datum: &Datum, physical: PhysicalType) -> Result<Option<i128>> {
    let mismatch = || Error::internal(format!("predicate value {datum:?} does not fit a column of type {physical:?}"));
    let key = match (physical, datum) {
        (_, Datum::Null) => return Ok(None),
        (PhysicalType::Bool, Datum::Bool(v)) => i128::from(*v),
        (PhysicalType::Int16 | PhysicalType::Int32 | PhysicalType::Int64, Datum::Int16(v)) => i128::from(*v),
        (PhysicalType::Int16 | PhysicalType::Int32 | PhysicalType::Int64, Datum::Int32(v)) => i128::from(*v),
        (PhysicalType::Int16 | PhysicalType::Int32 | PhysicalType::Int64, Datum::Int64(v)) => i128::from(*v),
        (PhysicalType::Float32 | PhysicalType::Float64, Datum::Float32(v)) => float_key(f64::from(*v)).into(),
        (PhysicalType::Float32 | PhysicalType::Float64, Datum::Float64(v)) => float_key(*v).into(),
        (
            PhysicalType::Decimal64 { scale, .. } | PhysicalType::Decimal128 { scale, .. },
            Datum::Decimal { unscaled, scale: literal },
        ) if scale == *literal => *unscaled,
        (PhysicalType::Date, Datum::Date(v)) => i128::from(*v),
        (PhysicalType::Time, Datum::Time(v)) => i128::from(*v),
        (PhysicalType::Timestamp, Datum::Timestamp(v)) => i128::from(*v),
        (PhysicalType::TimestampTz, Datum::TimestampTz(v)) => i128::from(*v),
        (PhysicalType::Interval, Datum::Interval(v)) => interval_key(*v),
        (PhysicalType::Uuid, Datum::Uuid(v)) => uuid_key(*v),
        _ => return Err(mismatch()),
    };
    Ok(Some(key))
}

/// The bytes strings are compared by. A numeric's last two bytes are its display scale, which 1.0 and 1.00 do not share.
pub(crate) fn comparable_bytes(bytes: &[u8], physical: PhysicalType) -> &[u8] {
    match physical {
        PhysicalType::Numeric => bytes.get(..bytes.len().saturating_sub(2)).unwrap_or(bytes),
        _ => bytes,
    }
}

/// A literal's comparable bytes; `None` for NULL.
pub(crate) fn datum_bytes(datum: &Datum, physical: PhysicalType) -> Result<Option<&[u8]>> {
    Ok(Some(match (physical, datum) {
        (_, Datum::Null) => return Ok(None),
        (PhysicalType::Text, Datum::Text(v)) => v.as_bytes(),
        (PhysicalType::Bytes, Datum::Bytes(v)) => v,
        (PhysicalType::Numeric, Datum::Numeric(v)) => comparable_bytes(v.as_bytes(), physical),
        _ => {
            return Err(Error::internal(format!(
                "predicate value {datum:?} does not fit a column of type {physical:?}"
            )));
        }
    }))
}

/// A whole number as the value of its type.
pub(crate) fn int_datum(value: i128, physical: PhysicalType) -> DatumRef<'static> {
    match physical {
        PhysicalType::Bool => DatumRef::Bool(value != 0),
        PhysicalType::Int16 => DatumRef::Int16(value as i16),
        PhysicalType::Int32 => DatumRef::Int32(value as i32),
        PhysicalType::Decimal64 { scale, .. } | PhysicalType::Decimal128 { scale, .. } => {
            DatumRef::Decimal { unscaled: value, scale }
        }
        PhysicalType::Date => DatumRef::Date(value as i32),
        PhysicalType::Time => DatumRef::Time(value as i64),
        PhysicalType::Timestamp => DatumRef::Timestamp(value as i64),
        PhysicalType::TimestampTz => DatumRef::TimestampTz(value as i64),
        _ => DatumRef::Int64(value as i64),
    }
}

/// A plain fixed-width value (its little-endian bytes) as the value of its type. `bytes` has the type's width.
pub(crate) fn fixed_datum(bytes: &[u8], physical: PhysicalType) -> DatumRef<'static> {
    let wide: [u8; 16] = widen(bytes);
    match physical {
        PhysicalType::Float32 => DatumRef::Float32(f32::from_bits(u128::from_le_bytes(wide) as u32)),
        PhysicalType::Float64 => DatumRef::Float64(f64::from_bits(u128::from_le_bytes(wide) as u64)),
        PhysicalType::Uuid => DatumRef::Uuid(wide),
        PhysicalType::Interval => DatumRef::Interval(interval_from_bytes(wide)),
        _ => int_datum(sign_extended(wide, bytes.len()), physical),
    }
}

/// The order key of a float given as bits.
pub(crate) fn float_key_of(bits: u64, physical: PhysicalType) -> i64 {
    match physical {
        PhysicalType::Float32 => float_key(f64::from(f32::from_bits(bits as u32))),
        _ => float_key(f64::from_bits(bits)),
    }
}

/// A float given as bits.
pub(crate) fn float_datum(bits: u64, physical: PhysicalType) -> DatumRef<'static> {
    match physical {
        PhysicalType::Float32 => DatumRef::Float32(f32::from_bits(bits as u32)),
        _ => DatumRef::Float64(f64::from_bits(bits)),
    }
}

/// The order key of a plain fixed-width value.
pub(crate) fn fixed_key(bytes: &[u8], physical: PhysicalType) -> i128 {
    let wide: [u8; 16] = widen(bytes);
    match physical {
        PhysicalType::Float32 => float_key(f64::from(f32::from_bits(u128::from_le_bytes(wide) as u32))).into(),
        PhysicalType::Float64 => float_key(f64::from_bits(u128::from_le_bytes(wide) as u64)).into(),
        PhysicalType::Uuid => uuid_key(wide),
        PhysicalType::Interval => interval_key(interval_from_bytes(wide)),
        _ => sign_extended(wide, bytes.len()),
    }
}

fn widen(bytes: &[u8]) -> [u8; 16] {
    let mut wide = [0; 16];
    for (to, from) in wide.iter_mut().zip(bytes) {
        *to = *from;
    }
    wide
}

fn sign_extended(wide: [u8; 16], width: usize) -> i128 {
    let shift = 128 - 8 * width.clamp(1, 16) as u32;
    i128::from_le_bytes(wide) << shift >> shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_order_as_postgresql() {
        let ascending =
            [f64::NEG_INFINITY, f64::MIN, -1.5, -f64::MIN_POSITIVE, 0.0, 1e-300, 2.0, f64::INFINITY, f64::NAN];
        assert!(ascending.windows(2).all(|pair| float_key(pair[0]) < float_key(pair[1])));
        assert_eq!(float_key(-0.0), float_key(0.0));
        assert_eq!(float_key(-f64::NAN), float_key(f64::NAN));
    }

    #[test]
    fn narrow_values_keep_their_sign() {
        assert_eq!(fixed_datum(&(-7_i16).to_le_bytes(), PhysicalType::Int16), DatumRef::Int16(-7));
        assert_eq!(fixed_key(&i64::MIN.to_le_bytes(), PhysicalType::Time), i128::from(i64::MIN));
        assert!(uuid_key([0; 16]) < uuid_key([0x80; 16]) && uuid_key([0x7f; 16]) < uuid_key([0x80; 16]));
    }
}
