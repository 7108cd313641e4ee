//! One value from one type to another.

use heliosdb_types::datetime::{
    self, MICROS_PER_DAY, date_to_timestamp, round_to_precision, timestamp_to_date, timestamp_to_timestamptz,
    timestamptz_to_timestamp,
};
use heliosdb_types::{
    Datum, DatumRef, Error, Interval, Jsonb, JsonbKind, Numeric, PhysicalType, Result, SqlState, SqlType, TextContext,
    fit_text, parse_jsonb, parse_text, precision_overflow, text_of,
};

use super::super::array::convert_array;
use super::super::value::{float_of, int_of, numeric_of, wrong_shape};
use super::rules::{is_number, is_text};

/// Converts a value that is not NULL. The pair of types is one the rules allow.
pub(crate) fn convert(value: DatumRef<'_>, from: &SqlType, to: &SqlType, context: &TextContext) -> Result<Datum> {
    if is_text(to) {
        return to_text(value, from, to, context).map(Datum::Text);
    }
    if is_text(from) || *from == SqlType::Unknown {
        let DatumRef::Text(text) = value else { return Err(wrong_shape("text", value)) };
        return parse_text(to, text, context);
    }
    match (from, to, value) {
        (SqlType::Json, SqlType::Jsonb, DatumRef::Text(text)) => return parse_jsonb(text).map(Datum::Bytes),
        (SqlType::Jsonb, SqlType::Json, value) => return Ok(Datum::Text(text_of(value, from, context))),
        (SqlType::Jsonb, _, DatumRef::Bytes(bytes)) => return jsonb_to_scalar(Jsonb::new(bytes), to),
        _ => {}
    }
    if is_number(from) && is_number(to) {
        return convert_number(value, to);
    }
    if let (SqlType::Array(from), SqlType::Array(to)) = (from, to) {
        return convert_array(value, from, to, context);
    }
    match (value, to) {
        (DatumRef::Bool(v), SqlType::Int4) => Ok(Datum::Int32(i32::from(v))),
        (DatumRef::Int32(v), SqlType::Bool) => Ok(Datum::Bool(v != 0)),
        (DatumRef::Int16(_) | DatumRef::Int32(_) | DatumRef::Int64(_), SqlType::Oid | SqlType::Reg(_)) => {
            let v = int_of(value)?;
            // Negative int4 wraps, as in PostgreSQL; int8 must be in range.
            match (value, u32::try_from(v)) {
                (DatumRef::Int64(_), Err(_)) => Err(out_of_range("OID")),
                _ => Ok(Datum::Int64(i64::from(v as u32))),
            }
        }
        (DatumRef::Int64(v), SqlType::Int4) => Ok(Datum::Int32(v as u32 as i32)),
        _ => convert_datetime(value, to, context),
    }
}

fn to_text(value: DatumRef<'_>, from: &SqlType, to: &SqlType, context: &TextContext) -> Result<String> {
    let text = match value {
        DatumRef::Bool(v) => (if v { "true" } else { "false" }).to_owned(),
        // char(n) loses its padding on the way to any other string type.
        DatumRef::Text(text) if matches!(from, SqlType::Char(_)) && !matches!(to, SqlType::Char(_)) => {
            text.trim_end_matches(' ').to_owned()
        }
        DatumRef::Text(text) => text.to_owned(),
        other => text_of(other, from, context),
    };
    fit_text(to, &text, context.explicit_cast)
}

/// A jsonb number or boolean as a SQL one.
fn jsonb_to_scalar(value: Jsonb<'_>, to: &SqlType) -> Result<Datum> {
    match (value.kind()?, to) {
        (JsonbKind::Bool, SqlType::Bool) => Ok(Datum::Bool(value.is_true())),
        (JsonbKind::Number, to) if is_number(to) => convert_number(DatumRef::Numeric(value.number()?.as_bytes()), to),
        (kind, to) => {
            let name = super::super::common::base_name(to);
            let message = format!("cannot cast jsonb {} to type {name}", kind.name());
            Err(Error::invalid(SqlState::INVALID_PARAMETER_VALUE, message))
        }
    }
}

fn out_of_range(name: &str) -> Error {
    Error::invalid(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{name} out of range"))
}

fn convert_number(value: DatumRef<'_>, to: &SqlType) -> Result<Datum> {
    match to {
        SqlType::Int2 => {
            i16::try_from(to_integer(value, "smallint")?).map(Datum::Int16).map_err(|_| out_of_range("smallint"))
        }
        SqlType::Int4 => {
            i32::try_from(to_integer(value, "integer")?).map(Datum::Int32).map_err(|_| out_of_range("integer"))
        }
        SqlType::Int8 => to_integer(value, "bigint").map(Datum::Int64),
        SqlType::Float4 => to_float4(value).map(Datum::Float32),
        SqlType::Float8 => to_float8(value).map(Datum::Float64),
        SqlType::Numeric(modifier) => {
            let mut number = numeric_of(value)?;
            if let Some((precision, scale)) = modifier {
                number = number.with_typmod(*precision, *scale)?;
            }
            to_stored_numeric(number, to)
        }
        _ => Err(wrong_shape("a number type", value)),
    }
}

/// A numeric in the form a column of the type has.
pub(crate) fn to_stored_numeric(number: Numeric, to: &SqlType) -> Result<Datum> {
    match to.physical() {
        Some(PhysicalType::Decimal64 { precision, scale } | PhysicalType::Decimal128 { precision, scale }) => {
            if number.is_nan() {
                return Err(Error::unsupported(format!("NaN in numeric({precision},{scale})")));
            }
            let overflow = || precision_overflow(u16::from(precision), i16::from(scale));
            Ok(Datum::Decimal { unscaled: number.to_unscaled(scale).ok_or_else(overflow)?, scale })
        }
        _ => Ok(Datum::Numeric(number)),
    }
}

/// Floats round half to even, numerics half away from zero, as PostgreSQL does.
fn to_integer(value: DatumRef<'_>, name: &str) -> Result<i64> {
    match value {
        DatumRef::Int16(_) | DatumRef::Int32(_) | DatumRef::Int64(_) => int_of(value),
        DatumRef::Float32(_) | DatumRef::Float64(_) => {
            let rounded = float_of(value)?.round_ties_even();
            // 2^63 is a double; the largest below it fits.
            if rounded.is_nan() || !(-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&rounded) {
                return Err(out_of_range(name));
            }
            Ok(rounded as i64)
        }
        _ => {
            let number = numeric_of(value)?;
            if !number.is_finite() {
                let what = if number.is_nan() { "NaN" } else { "infinity" };
                let message = format!("cannot convert {what} to {name}");
                return Err(Error::invalid(SqlState::FEATURE_NOT_SUPPORTED, message));
            }
            number.to_i64().ok_or_else(|| out_of_range(name))
        }
    }
}

fn to_float8(value: DatumRef<'_>) -> Result<f64> {
    match value {
        DatumRef::Float32(_) | DatumRef::Float64(_) => float_of(value),
        DatumRef::Int16(_) | DatumRef::Int32(_) | DatumRef::Int64(_) => Ok(int_of(value)? as f64),
        _ => numeric_of(value)?.to_f64(),
    }
}

fn to_float4(value: DatumRef<'_>) -> Result<f32> {
    let wide = match value {
        DatumRef::Float32(v) => return Ok(v),
        DatumRef::Int16(_) | DatumRef::Int32(_) | DatumRef::Int64(_) => return Ok(int_of(value)? as f32),
        DatumRef::Float64(wide) => wide,
        _ => return numeric_of(value)?.to_f32(),
    };
    let narrow = wide as f32;
    if narrow.is_infinite() && wide.is_finite() {
        return Err(Error::invalid(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow"));
    }
    if narrow == 0.0 && wide != 0.0 {
        return Err(Error::invalid(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: underflow"));
    }
    Ok(narrow)
}

fn convert_datetime(value: DatumRef<'_>, to: &SqlType, context: &TextContext) -> Result<Datum> {
    let zone = context.time_zone.as_ref();
    Ok(match (value, to) {
        (DatumRef::Date(v), SqlType::Timestamp(_)) => Datum::Timestamp(date_to_timestamp(v)?),
        (DatumRef::Date(v), SqlType::Timestamptz(_)) => {
            Datum::TimestampTz(timestamp_to_timestamptz(date_to_timestamp(v)?, zone)?)
        }
        (DatumRef::Timestamp(v), SqlType::Date) => Datum::Date(timestamp_to_date(v)?),
        (DatumRef::TimestampTz(v), SqlType::Date) => {
            Datum::Date(timestamp_to_date(timestamptz_to_timestamp(v, zone)?)?)
        }
        (DatumRef::Timestamp(v), SqlType::Timestamp(p)) => Datum::Timestamp(round_to_precision(v, *p)?),
        (DatumRef::TimestampTz(v), SqlType::Timestamptz(p)) => Datum::TimestampTz(round_to_precision(v, *p)?),
        (DatumRef::Timestamp(v), SqlType::Timestamptz(p)) => {
            Datum::TimestampTz(round_to_precision(timestamp_to_timestamptz(v, zone)?, *p)?)
        }
        (DatumRef::TimestampTz(v), SqlType::Timestamp(p)) => {
            Datum::Timestamp(round_to_precision(timestamptz_to_timestamp(v, zone)?, *p)?)
        }
        (DatumRef::Timestamp(v), SqlType::Time(p)) => time_of(v, *p)?,
        (DatumRef::TimestampTz(v), SqlType::Time(p)) => time_of(timestamptz_to_timestamp(v, zone)?, *p)?,
        (DatumRef::Time(v), SqlType::Time(p)) => Datum::Time(round_to_precision(v, *p)?),
        (DatumRef::Time(v), SqlType::Interval) => Datum::Interval(Interval::new(0, 0, v)),
        (DatumRef::Interval(v), SqlType::Time(p)) => {
            Datum::Time(round_to_precision(v.micros.rem_euclid(MICROS_PER_DAY), *p)?)
        }
        (value, to) if to.physical().is_some() => {
            return Err(Error::internal(format!("no conversion of {value:?} to {}", to.name())));
        }
        (value, _) => return Err(wrong_shape("a value of a stored type", value)),
    })
}

fn time_of(timestamp: i64, precision: Option<u8>) -> Result<Datum> {
    if !datetime::is_finite_timestamp(timestamp) {
        return Ok(Datum::Null);
    }
    round_to_precision(timestamp.rem_euclid(MICROS_PER_DAY), precision).map(Datum::Time)
}
