//! `RANGE BETWEEN x PRECEDING AND y FOLLOWING`: the key and its distances in one type that can be added to without overflow.
//!
//! DataFusion adds a distance to a key only if both have the same type, and takes the partition's edge for what it cannot add. So:
//! whole numbers, decimals, times and what is a fixed number of microseconds travel as decimals of 38 digits, in which nothing
//! overflows and infinity is a number beyond all others; floats as `double precision` without the zero below zero;
//! months, whose length depends on where they are, as timestamps.

use std::sync::Arc;

use arrow_schema::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use heliosdb_types::datetime::{MICROS_PER_DAY, date_to_timestamp, is_finite_timestamp};
use heliosdb_types::{Datum, DatumRef, Error, Interval, PhysicalType, Result, SqlState, SqlType};

use super::common::base_name;
use super::udf::Function;
use super::value::{float_of, int_of, wrong_shape};
use super::{CastKind, FuncContext, Typed, cast};
use crate::exec::from_datafusion;

/// Beyond every time, and far enough from it that no distance reaches it.
const INFINITE: i128 = 10i128.pow(37);
const DIGITS: u8 = 38;
const DECIMAL_DIGITS_MAX: i16 = 36;

/// A key and its distances, ready for a frame.
pub struct RangeKey {
    pub key: Expr,
    pub distances: Vec<ScalarValue>,
}

/// Which type a distance from keys of a type has.
fn distance_type(key: &SqlType, distance: &SqlType) -> Option<SqlType> {
    use SqlType::{Date, Float4, Float8, Int2, Int4, Int8, Interval, Numeric, Time, Timestamp, Timestamptz, Unknown};
    match (key, distance) {
        (Int2 | Int4 | Int8, Int2 | Int4 | Int8) => Some(Int8),
        (Int2 | Int4 | Int8, Unknown) => Some(key.clone()),
        (Float4 | Float8, Int2 | Int4 | Int8 | Float4 | Float8 | Numeric(_) | Unknown) => Some(Float8),
        (Numeric(_), Int2 | Int4 | Int8 | Numeric(_) | Unknown) => Some(Numeric(None)),
        (Date | Timestamp(_) | Timestamptz(_) | Time(_), Interval | Unknown) => Some(Interval),
        _ => None,
    }
}

fn has_distances(key: &SqlType) -> bool {
    distance_type(key, &SqlType::Unknown).is_some() || *key == SqlType::Interval
}

/// Keys of dates and times are apart by intervals.
pub fn has_interval_distances(key: &SqlType) -> bool {
    distance_type(key, &SqlType::Interval).is_some()
}

fn unsupported(message: String) -> Error {
    Error::invalid(SqlState::FEATURE_NOT_SUPPORTED, message)
}

/// A distance as the key's type wants it. 0A000 where PostgreSQL has none for the pair.
pub fn range_distance(key: &Typed, distance: Typed, ctx: &FuncContext) -> Result<Typed> {
    let column = base_name(&key.sql_type);
    let prefix = "RANGE with offset PRECEDING/FOLLOWING is not supported for column type";
    if !has_distances(&key.sql_type) {
        return Err(unsupported(format!("{prefix} {column}")));
    }
    let Some(wanted) = distance_type(&key.sql_type, &distance.sql_type) else {
        let message = format!("{prefix} {column} and offset type {}", base_name(&distance.sql_type));
        return Err(unsupported(message).with_hint("Cast the offset value to an appropriate type."));
    };
    cast(distance, &wanted, CastKind::Implicit, ctx)
}

/// Key and distances, which are constants, in one type.
pub fn range_key(key: &Typed, distances: Vec<Datum>, ctx: &FuncContext) -> Result<RangeKey> {
    let of_day = matches!(key.sql_type, SqlType::Time(_));
    let distances = distances.into_iter().map(|value| not_negative(value, of_day)).collect::<Result<Vec<_>>>()?;
    match &key.sql_type {
        SqlType::Int2 | SqlType::Int4 | SqlType::Int8 => {
            let whole = |value: &Datum| int_of(value.as_ref()).map(|value| linear(i128::from(value), 0));
            let key = decimal(key, 0, |value| int_of(value).map(i128::from));
            Ok(RangeKey { key, distances: distances.iter().map(whole).collect::<Result<_>>()? })
        }
        SqlType::Float4 | SqlType::Float8 => {
            let function = Function::strict(
                "range_key",
                format!("float {:?}", key.physical()),
                vec![key.physical()],
                PhysicalType::Float64,
                |args| {
                    let value = float_of(*args.first().ok_or_else(|| Error::internal("a key"))?)?;
                    Ok(Datum::Float64(if value.is_nan() { f64::NAN } else { value + 0.0 }))
                },
            );
            let floats = distances.iter().map(|value| Ok(ScalarValue::Float64(Some(float_of(value.as_ref())?))));
            Ok(RangeKey { key: function.call(vec![key.expr.clone()]), distances: floats.collect::<Result<_>>()? })
        }
        SqlType::Numeric(_) => numeric(key, &distances),
        SqlType::Time(_) => {
            // Months and days of a distance do not count between times of a day.
            let micros = |value: &Datum| match value {
                Datum::Interval(interval) => Ok(linear(i128::from(interval.micros), 0)),
                other => Err(wrong_shape("an interval", other.as_ref())),
            };
            let key = decimal(key, 0, |value| match value {
                DatumRef::Time(micros) => Ok(i128::from(micros)),
                other => Err(wrong_shape("a time", other)),
            });
            Ok(RangeKey { key, distances: distances.iter().map(micros).collect::<Result<_>>()? })
        }
        SqlType::Date | SqlType::Timestamp(_) | SqlType::Timestamptz(_) => moments(key, &distances, ctx),
        other => Err(Error::unsupported(format!("RANGE with an offset over a key of type {}", other.name()))),
    }
}

/// Negative distances and NaN are none. Between times of a day (`of_day`) only the time of a distance counts.
fn not_negative(value: Datum, of_day: bool) -> Result<Datum> {
    let negative = match &value {
        Datum::Int16(value) => *value < 0,
        Datum::Int32(value) => *value < 0,
        Datum::Int64(value) => *value < 0,
        Datum::Float64(value) => value.is_nan() || *value < 0.0,
        Datum::Decimal { unscaled, .. } => *unscaled < 0,
        Datum::Numeric(value) => value.is_nan() || value.signum() < 0,
        Datum::Interval(interval) if of_day => interval.micros < 0,
        Datum::Interval(interval) => span(*interval) < 0,
        Datum::Null => return Err(Error::internal("a distance is known by now")),
        _ => false,
    };
    if negative {
        let message = "invalid preceding or following size in window function";
        return Err(Error::invalid(SqlState(*b"22013"), message));
    }
    Ok(value)
}

/// Microseconds of an interval, a month being 30 days: for its sign.
fn span(interval: Interval) -> i128 {
    let days = i128::from(interval.months) * 30 + i128::from(interval.days);
    days * i128::from(MICROS_PER_DAY) + i128::from(interval.micros)
}

fn linear(value: i128, scale: i8) -> ScalarValue {
    ScalarValue::Decimal128(Some(value), DIGITS, scale)
}

/// The key as a decimal.
fn decimal(key: &Typed, scale: i8, value: fn(DatumRef<'_>) -> Result<i128>) -> Expr {
    let returns = PhysicalType::Decimal128 { precision: DIGITS, scale };
    let function = Function::strict(
        "range_key",
        format!("decimal {:?} {scale}", key.sql_type),
        vec![key.physical()],
        returns,
        move |args| {
            let unscaled = value(*args.first().ok_or_else(|| Error::internal("a key"))?)?;
            Ok(Datum::Decimal { unscaled, scale })
        },
    );
    function.call(vec![key.expr.clone()])
}

fn numeric(key: &Typed, distances: &[Datum]) -> Result<RangeKey> {
    let refused = || Error::unsupported("RANGE with an offset over a numeric without precision, or of too many digits");
    let (precision, key_scale) = match key.arrow {
        DataType::Decimal64(precision, scale) | DataType::Decimal128(precision, scale) => (precision, scale),
        _ => return Err(refused()),
    };
    let distances: Vec<heliosdb_types::Numeric> =
        distances.iter().map(|value| super::value::numeric_of(value.as_ref())).collect::<Result<_>>()?;
    let scale = distances.iter().filter_map(|value| value.min_scale()).max().unwrap_or(0);
    let scale = i8::try_from(scale).map_err(|_| refused())?.max(key_scale);
    if i16::from(precision) + i16::from(scale) - i16::from(key_scale) > DECIMAL_DIGITS_MAX {
        return Err(refused());
    }
    let scalar = |value: &heliosdb_types::Numeric| {
        let unscaled = value.to_unscaled(scale).filter(|value| value.abs() < INFINITE / 10);
        unscaled.map(|value| linear(value, scale)).ok_or_else(refused)
    };
    let distances = distances.iter().map(scalar).collect::<Result<_>>()?;
    let to = DataType::Decimal128(DIGITS, scale);
    let key = if key.arrow == to { key.expr.clone() } else { datafusion::logical_expr::cast(key.expr.clone(), to) };
    Ok(RangeKey { key, distances })
}

/// Dates and timestamps: microseconds, or timestamps where months count.
fn moments(key: &Typed, distances: &[Datum], ctx: &FuncContext) -> Result<RangeKey> {
    let intervals = distances.iter().map(|value| match value {
        Datum::Interval(interval) => Ok(*interval),
        other => Err(wrong_shape("an interval", other.as_ref())),
    });
    let intervals: Vec<Interval> = intervals.collect::<Result<_>>()?;
    let days = intervals.iter().any(|interval| interval.days != 0 || interval.months != 0);
    if days && matches!(key.sql_type, SqlType::Timestamptz(_)) && !is_utc(ctx) {
        let message =
            "RANGE with days or months over timestamptz in a time zone whose days have not all the same length";
        return Err(Error::unsupported(message).with_hint("Say it in hours, or SET TimeZone = 'UTC'."));
    }
    if intervals.iter().all(|interval| interval.months == 0) {
        let key = decimal(key, 0, |value| micros(value).map(|micros| micros.map_or_else(|end| end, i128::from)));
        return Ok(RangeKey { key, distances: intervals.into_iter().map(|value| linear(span(value), 0)).collect() });
    }
    let function = Function::strict(
        "range_key",
        format!("calendar {:?}", key.sql_type),
        vec![key.physical()],
        PhysicalType::Timestamp,
        |args| match micros(*args.first().ok_or_else(|| Error::internal("a key"))?)? {
            Ok(micros) => Ok(Datum::Timestamp(micros)),
            Err(_) => Err(Error::unsupported("RANGE with months over infinite dates or timestamps")),
        },
    );
    let scalar = |interval: Interval| {
        let nanoseconds = interval.micros.checked_mul(1000);
        let nanoseconds = nanoseconds.ok_or_else(|| Error::unsupported("RANGE with so long an interval"))?;
        let value = arrow_buffer::IntervalMonthDayNano::new(interval.months, interval.days, nanoseconds);
        Ok(ScalarValue::IntervalMonthDayNano(Some(value)))
    };
    let distances = intervals.into_iter().map(scalar).collect::<Result<_>>()?;
    Ok(RangeKey { key: function.call(vec![key.expr.clone()]), distances })
}

/// Since 1970; an infinite one is beyond every other.
fn micros(value: DatumRef<'_>) -> Result<std::result::Result<i64, i128>> {
    let micros = match value {
        DatumRef::Date(days) => date_to_timestamp(days)?,
        DatumRef::Timestamp(micros) | DatumRef::TimestampTz(micros) => micros,
        other => return Err(wrong_shape("a date or timestamp", other)),
    };
    Ok(if is_finite_timestamp(micros) { Ok(micros) } else { Err(if micros > 0 { INFINITE } else { -INFINITE }) })
}

fn is_utc(ctx: &FuncContext) -> bool {
    let zone = Arc::clone(&ctx.text);
    matches!(zone.time_zone.name().to_ascii_uppercase().as_str(), "UTC" | "ETC/UTC" | "GMT" | "Z" | "ZULU")
}

/// The value of a distance, once it is a constant.
pub fn constant_distance(distance: &Typed, folded: &Expr) -> Result<Option<Datum>> {
    let Expr::Literal(value, _) = folded else { return Ok(None) };
    let array = value.to_array().map_err(from_datafusion)?;
    Ok(Some(heliosdb_contracts::datum_at(&array, 0, distance.physical())?.to_owned()))
}
