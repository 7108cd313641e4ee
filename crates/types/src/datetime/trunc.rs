//! `date_trunc`.

use super::arith::{timestamp_to_timestamptz, timestamptz_to_timestamp};
use super::calendar::{
    MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, civil_from_days, days_from_civil,
    is_finite_timestamp, join,
};
use super::extract::DateField;
use crate::{Error, Interval, Result, SqlState, TimeZone};

fn not_supported(field: DateField, type_name: &str) -> Error {
    let message = format!("unit \"{}\" not supported for type {type_name}", field.name());
    Error::invalid(SqlState::FEATURE_NOT_SUPPORTED, message)
}

/// Microseconds a field of the clock lasts.
fn clock_unit(field: DateField) -> Option<i64> {
    Some(match field {
        DateField::Microseconds => 1,
        DateField::Milliseconds => 1000,
        DateField::Second => MICROS_PER_SECOND,
        DateField::Minute => MICROS_PER_MINUTE,
        DateField::Hour => MICROS_PER_HOUR,
        DateField::Day => MICROS_PER_DAY,
        _ => return None,
    })
}

pub fn trunc_timestamp(field: DateField, micros: i64) -> Result<i64> {
    trunc_local(field, micros, "timestamp without time zone")
}

fn trunc_local(field: DateField, micros: i64, type_name: &str) -> Result<i64> {
    if let Some(unit) = clock_unit(field) {
        return Ok(if is_finite_timestamp(micros) { micros - micros.rem_euclid(unit) } else { micros });
    }
    let days = micros.div_euclid(MICROS_PER_DAY);
    let (year, month, _) = civil_from_days(days);
    let first_year = |span: i64| {
        if year > 0 { (year - 1).div_euclid(span) * span + 1 } else { -((span - 1 - (year - 1)) / span * span) + 1 }
    };
    let start = match field {
        DateField::Week => days - (days + 3).rem_euclid(7),
        DateField::Month => days_from_civil(year, month, 1),
        DateField::Quarter => days_from_civil(year, (month - 1) / 3 * 3 + 1, 1),
        DateField::Year => days_from_civil(year, 1, 1),
        DateField::Decade => days_from_civil(year.div_euclid(10) * 10, 1, 1),
        DateField::Century => days_from_civil(first_year(100), 1, 1),
        DateField::Millennium => days_from_civil(first_year(1000), 1, 1),
        _ => return Err(not_supported(field, type_name)),
    };
    if is_finite_timestamp(micros) { join(start, 0) } else { Ok(micros) }
}

/// Truncated in a zone's wall-clock time.
pub fn trunc_timestamptz(field: DateField, utc: i64, zone: &dyn TimeZone) -> Result<i64> {
    if !is_finite_timestamp(utc) {
        return trunc_local(field, utc, "timestamp with time zone");
    }
    let local = timestamptz_to_timestamp(utc, zone)?;
    let truncated = trunc_local(field, local, "timestamp with time zone")?;
    if clock_unit(field).is_some_and(|unit| unit < MICROS_PER_DAY) {
        // Within an hour the offset stays, even where the wall clock repeats.
        return Ok(utc - (local - truncated));
    }
    timestamp_to_timestamptz(truncated, zone)
}

pub fn trunc_interval(field: DateField, interval: Interval) -> Result<Interval> {
    let Interval { months, days, micros } = interval;
    if let Some(unit) = clock_unit(field) {
        return Ok(Interval { months, days, micros: micros / unit * if unit == MICROS_PER_DAY { 0 } else { unit } });
    }
    let whole = |span: i32| Ok(Interval { months: months / span * span, days: 0, micros: 0 });
    match field {
        DateField::Month => whole(1),
        DateField::Quarter => whole(3),
        DateField::Year => whole(12),
        DateField::Decade => whole(120),
        DateField::Century => whole(1200),
        DateField::Millennium => whole(12_000),
        DateField::Week => Err(not_supported(field, "interval").with_detail("Months usually have fractional weeks.")),
        _ => Err(not_supported(field, "interval")),
    }
}
