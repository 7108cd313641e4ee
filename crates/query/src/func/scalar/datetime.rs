//! Functions of dates and times.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{ArrayRef, PrimitiveArray};
use datafusion::logical_expr::Expr;
use heliosdb_contracts::arrow_type;
use heliosdb_types::datetime::{
    self, DateField, MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, is_finite_timestamp,
    timestamp_to_timestamptz, timestamptz_to_timestamp, trunc_interval, trunc_timestamp, trunc_timestamptz,
};
use heliosdb_types::{Datum, DatumRef, Error, FixedOffset, Interval, PhysicalType, Result, SqlState, TextContext};

use super::super::udf::Function;
use super::super::value::{float_of, int_of, text_of_datum};
use super::T::Interval as Span;
use super::T::{Bool, Date, F8, Int4, Text, Time, Ts, Tstz};
use super::{Overload, Run, invalid_parameter, to_char, to_date, wrong_arguments, zone_named};

pub(super) const FUNCTIONS: &[Overload] = &[
    ("date_trunc", &[Text, Tstz], Tstz, date_trunc),
    ("date_trunc", &[Text, Ts], Ts, date_trunc),
    ("date_trunc", &[Text, Span], Span, date_trunc),
    ("date_trunc", &[Text, Tstz, Text], Tstz, date_trunc),
    ("date_bin", &[Span, Ts, Ts], Ts, date_bin),
    ("date_bin", &[Span, Tstz, Tstz], Tstz, date_bin),
    ("age", &[Tstz, Tstz], Span, age),
    ("age", &[Ts, Ts], Span, age),
    ("isfinite", &[Tstz], Bool, IS_FINITE),
    ("isfinite", &[Ts], Bool, IS_FINITE),
    ("isfinite", &[Date], Bool, IS_FINITE),
    ("isfinite", &[Span], Bool, |_, _| Ok(Datum::Bool(true))),
    ("make_date", &[Int4, Int4, Int4], Date, make_date),
    ("make_time", &[Int4, Int4, F8], Time, make_time),
    ("make_timestamp", &[Int4, Int4, Int4, Int4, Int4, F8], Ts, make_timestamp),
    ("make_timestamptz", &[Int4, Int4, Int4, Int4, Int4, F8], Tstz, make_timestamptz),
    ("make_timestamptz", &[Int4, Int4, Int4, Int4, Int4, F8, Text], Tstz, make_timestamptz),
    ("make_interval", &[], Span, make_interval),
    ("make_interval", &[Int4], Span, make_interval),
    ("make_interval", &[Int4, Int4], Span, make_interval),
    ("make_interval", &[Int4, Int4, Int4], Span, make_interval),
    ("make_interval", &[Int4, Int4, Int4, Int4], Span, make_interval),
    ("make_interval", &[Int4, Int4, Int4, Int4, Int4], Span, make_interval),
    ("make_interval", &[Int4, Int4, Int4, Int4, Int4, Int4], Span, make_interval),
    ("make_interval", &[Int4, Int4, Int4, Int4, Int4, Int4, F8], Span, make_interval),
    ("justify_days", &[Span], Span, |a, _| interval(a)?.justify_days().map(Datum::Interval)),
    ("justify_hours", &[Span], Span, |a, _| interval(a)?.justify_hours().map(Datum::Interval)),
    ("justify_interval", &[Span], Span, |a, _| interval(a)?.justify().map(Datum::Interval)),
    ("timezone", &[Text, Tstz], Ts, timezone),
    ("timezone", &[Text, Ts], Tstz, timezone),
    ("timezone", &[Span, Tstz], Ts, timezone),
    ("timezone", &[Span, Ts], Tstz, timezone),
    ("to_timestamp", &[F8], Tstz, to_timestamp),
    ("to_timestamp", &[Text, Text], Tstz, to_date::to_timestamp),
    ("to_date", &[Text, Text], Date, to_date::to_date),
    ("to_char", &[Tstz, Text], Text, to_char::moment),
    ("to_char", &[Ts, Text], Text, to_char::moment),
    ("to_char", &[Span, Text], Text, to_char::moment),
];

const IS_FINITE: Run = |a, _| {
    Ok(Datum::Bool(match a {
        [DatumRef::Date(v)] => *v != datetime::DATE_INFINITY && *v != datetime::DATE_NEGATIVE_INFINITY,
        [DatumRef::Timestamp(v) | DatumRef::TimestampTz(v)] => is_finite_timestamp(*v),
        _ => return Err(wrong_arguments("isfinite")),
    }))
};

fn interval(args: &[DatumRef<'_>]) -> Result<Interval> {
    match args.first() {
        Some(DatumRef::Interval(v)) => Ok(*v),
        _ => Err(wrong_arguments("a function of intervals")),
    }
}

fn field(name: &str, type_name: &str) -> Result<DateField> {
    DateField::from_name(name).ok_or_else(|| {
        invalid_parameter(format!("unit \"{}\" not recognized for type {type_name}", name.to_ascii_lowercase()))
    })
}

fn date_trunc(args: &[DatumRef<'_>], context: &TextContext) -> Result<Datum> {
    match args {
        [DatumRef::Text(unit), DatumRef::Timestamp(v)] => {
            trunc_timestamp(field(unit, "timestamp without time zone")?, *v).map(Datum::Timestamp)
        }
        [DatumRef::Text(unit), DatumRef::TimestampTz(v)] => {
            let unit = field(unit, "timestamp with time zone")?;
            trunc_timestamptz(unit, *v, context.time_zone.as_ref()).map(Datum::TimestampTz)
        }
        // Infinity is the same everywhere, even in zones that do not exist.
        [_, DatumRef::TimestampTz(v), _] if !is_finite_timestamp(*v) => Ok(Datum::TimestampTz(*v)),
        [DatumRef::Text(unit), DatumRef::TimestampTz(v), DatumRef::Text(zone)] => {
            let zone = zone_named(zone, context)?;
            trunc_timestamptz(field(unit, "timestamp with time zone")?, *v, zone.as_ref()).map(Datum::TimestampTz)
        }
        [DatumRef::Text(unit), DatumRef::Interval(v)] => {
            trunc_interval(field(unit, "interval")?, *v).map(Datum::Interval)
        }
        _ => Err(wrong_arguments("date_trunc")),
    }
}

/// `date_trunc` of timestamps to a constant unit, computed a column at a time.
pub(super) fn trunc_column(args: &[Expr]) -> Option<Expr> {
    let [Expr::Literal(unit, _), value] = args else { return None };
    let unit = DateField::from_name(unit.try_as_str()??)?;
    trunc_timestamp(unit, 0).ok()?;
    let arrow = arrow_type(PhysicalType::Timestamp);
    let key = format!("date_trunc {}", unit.name());
    let function = Function::arrays("date_trunc", key, arrow, move |args, _| {
        let [_, values] = args else { return Err(wrong_arguments("date_trunc")) };
        let values = values.as_primitive::<TimestampMicrosecondType>().iter();
        let truncated = values.map(|value| value.map(|value| trunc_timestamp(unit, value)).transpose());
        Ok(Arc::new(truncated.collect::<Result<PrimitiveArray<TimestampMicrosecondType>>>()?) as ArrayRef)
    });
    Some(function.strict_columns().call(vec![args.first()?.clone(), value.clone()]))
}

fn date_bin(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let (stride, value, origin, zoned) = match args {
        [DatumRef::Interval(stride), DatumRef::Timestamp(v), DatumRef::Timestamp(o)] => (stride, *v, *o, false),
        [DatumRef::Interval(stride), DatumRef::TimestampTz(v), DatumRef::TimestampTz(o)] => (stride, *v, *o, true),
        _ => return Err(wrong_arguments("date_bin")),
    };
    if !is_finite_timestamp(value) {
        return Ok(if zoned { Datum::TimestampTz(value) } else { Datum::Timestamp(value) });
    }
    let out_of_range = |what| Error::invalid(SqlState::DATETIME_FIELD_OVERFLOW, format!("{what} out of range"));
    if !is_finite_timestamp(origin) {
        return Err(out_of_range("origin"));
    }
    if stride.months != 0 {
        let message = "timestamps cannot be binned into intervals containing months or years";
        return Err(Error::invalid(SqlState::FEATURE_NOT_SUPPORTED, message));
    }
    let overflow = || out_of_range("interval");
    let width = i64::from(stride.days).checked_mul(MICROS_PER_DAY).and_then(|days| days.checked_add(stride.micros));
    let width = width.ok_or_else(overflow)?;
    if width <= 0 {
        return Err(Error::invalid(SqlState::DATETIME_FIELD_OVERFLOW, "stride must be greater than zero"));
    }
    let from_origin = value.checked_sub(origin).ok_or_else(overflow)?;
    let binned = value.checked_sub(from_origin.rem_euclid(width)).ok_or_else(|| out_of_range("timestamp"))?;
    Ok(if zoned { Datum::TimestampTz(binned) } else { Datum::Timestamp(binned) })
}

fn age(args: &[DatumRef<'_>], context: &TextContext) -> Result<Datum> {
    match args {
        [DatumRef::Timestamp(a), DatumRef::Timestamp(b)] => datetime::age(*a, *b).map(Datum::Interval),
        [DatumRef::TimestampTz(a), DatumRef::TimestampTz(b)] => {
            datetime::age_in_zone(*a, *b, context.time_zone.as_ref()).map(Datum::Interval)
        }
        _ => Err(wrong_arguments("age")),
    }
}

/// Leading int4 arguments.
fn ints<const N: usize>(args: &[DatumRef<'_>]) -> Result<[i32; N]> {
    let mut out = [0; N];
    for (slot, arg) in out.iter_mut().zip(args) {
        *slot = int_of(*arg)? as i32;
    }
    Ok(out)
}

fn second_at(args: &[DatumRef<'_>], at: usize) -> Result<f64> {
    args.get(at).copied().map_or(Ok(0.0), float_of)
}

fn make_date(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let [year, month, day] = ints(args)?;
    datetime::make_date(year, month, day).map(Datum::Date)
}

fn make_time(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let [hour, minute] = ints(args.get(..2).unwrap_or_default())?;
    datetime::make_time(hour, minute, second_at(args, 2)?).map(Datum::Time)
}

fn local_timestamp(args: &[DatumRef<'_>]) -> Result<i64> {
    let [year, month, day, hour, minute] = ints(args.get(..5).unwrap_or_default())?;
    datetime::make_timestamp(year, month, day, hour, minute, second_at(args, 5)?)
}

fn make_timestamp(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    local_timestamp(args).map(Datum::Timestamp)
}

fn make_timestamptz(args: &[DatumRef<'_>], context: &TextContext) -> Result<Datum> {
    let zone = match args.get(6) {
        Some(zone) => datetime::parse_sane_zone(text_of_datum(*zone)?, context)?,
        None => context.time_zone.clone(),
    };
    timestamp_to_timestamptz(local_timestamp(args)?, zone.as_ref()).map(Datum::TimestampTz)
}

fn make_interval(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let [years, months, weeks, days, hours, minutes] = ints(args.get(..args.len().min(6)).unwrap_or_default())?;
    let overflow = || Error::invalid(SqlState::DATETIME_FIELD_OVERFLOW, "interval out of range");
    let months = years.checked_mul(12).and_then(|m| m.checked_add(months)).ok_or_else(overflow)?;
    let days = weeks.checked_mul(7).and_then(|d| d.checked_add(days)).ok_or_else(overflow)?;
    let seconds = (second_at(args, 6)? * MICROS_PER_SECOND as f64).round_ties_even();
    let micros = i128::from(hours) * i128::from(MICROS_PER_HOUR)
        + i128::from(minutes) * i128::from(MICROS_PER_MINUTE)
        + seconds as i128;
    let micros = i64::try_from(micros).map_err(|_| overflow())?;
    Ok(Datum::Interval(Interval::new(months, days, micros)))
}

/// `AT TIME ZONE`. An interval is an offset east of UTC.
fn timezone(args: &[DatumRef<'_>], context: &TextContext) -> Result<Datum> {
    let [zone, value] = args else { return Err(wrong_arguments("timezone")) };
    // Infinity is the same everywhere, even in zones that do not exist.
    match value {
        DatumRef::TimestampTz(v) if !is_finite_timestamp(*v) => return Ok(Datum::Timestamp(*v)),
        DatumRef::Timestamp(v) if !is_finite_timestamp(*v) => return Ok(Datum::TimestampTz(*v)),
        _ => {}
    }
    let zone = match zone {
        DatumRef::Interval(offset) if offset.months == 0 && offset.days == 0 => {
            let seconds = i32::try_from(offset.micros / MICROS_PER_SECOND).unwrap_or(i32::MAX);
            std::sync::Arc::new(FixedOffset::new("interval", seconds))
        }
        DatumRef::Interval(_) => return Err(invalid_parameter("interval time zone must not include months or days")),
        other => zone_named(text_of_datum(*other)?, context)?,
    };
    match value {
        DatumRef::TimestampTz(v) => timestamptz_to_timestamp(*v, zone.as_ref()).map(Datum::Timestamp),
        DatumRef::Timestamp(v) => timestamp_to_timestamptz(*v, zone.as_ref()).map(Datum::TimestampTz),
        _ => Err(wrong_arguments("timezone")),
    }
}

/// From 1970 to 2000.
const SECONDS_TO_2000: f64 = 946_684_800.0;

fn to_timestamp(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let seconds = args.first().copied().ok_or_else(|| wrong_arguments("to_timestamp")).and_then(float_of)?;
    let out_of_range = || {
        let mut text = String::new();
        heliosdb_types::write_float8(seconds, &mut text);
        Error::invalid(SqlState::DATETIME_FIELD_OVERFLOW, format!("timestamp out of range: \"{text}\""))
    };
    if seconds.is_nan() {
        return Err(Error::invalid(SqlState::DATETIME_FIELD_OVERFLOW, "timestamp cannot be NaN"));
    }
    if seconds.is_infinite() {
        let infinite = if seconds > 0.0 { datetime::TIMESTAMP_INFINITY } else { datetime::TIMESTAMP_NEGATIVE_INFINITY };
        return Ok(Datum::TimestampTz(infinite));
    }
    // Counted from 2000 as PostgreSQL does, so that the same fractions are lost.
    let micros = ((seconds - SECONDS_TO_2000) * 1e6).round_ties_even() + SECONDS_TO_2000 * 1e6;
    if !(-2.108e17..9.223e18).contains(&micros) { Err(out_of_range()) } else { Ok(Datum::TimestampTz(micros as i64)) }
}
