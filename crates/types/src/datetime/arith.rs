//! Arithmetic on dates and timestamps: months clamp to the month's last day, 22008 beyond the range.

use super::calendar::{
    CivilTime, DATE_INFINITY, DATE_NEGATIVE_INFINITY, MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE,
    MICROS_PER_SECOND, TIMESTAMP_INFINITY, TIMESTAMP_NEGATIVE_INFINITY, check_date, check_timestamp, civil_from_days,
    date_out_of_range, days_from_civil, days_in_month, is_finite_timestamp, join, timestamp_out_of_range,
};
use super::interval::interval_out_of_range;
use crate::{Error, Interval, Result, SqlState, TimeZone};

pub fn date_add_days(date: i32, days: i32) -> Result<i32> {
    if date == DATE_INFINITY || date == DATE_NEGATIVE_INFINITY {
        return Ok(date);
    }
    check_date(i64::from(date) + i64::from(days))
}

/// Midnight of a date.
pub fn date_to_timestamp(date: i32) -> Result<i64> {
    match date {
        DATE_INFINITY => Ok(TIMESTAMP_INFINITY),
        DATE_NEGATIVE_INFINITY => Ok(TIMESTAMP_NEGATIVE_INFINITY),
        days => join(i64::from(days), 0)
            .map_err(|_| Error::invalid(SqlState::DATETIME_FIELD_OVERFLOW, "date out of range for timestamp")),
    }
}

pub fn timestamp_to_date(micros: i64) -> Result<i32> {
    match micros {
        TIMESTAMP_INFINITY => Ok(DATE_INFINITY),
        TIMESTAMP_NEGATIVE_INFINITY => Ok(DATE_NEGATIVE_INFINITY),
        micros => i32::try_from(micros.div_euclid(MICROS_PER_DAY)).map_err(|_| date_out_of_range()),
    }
}

/// Reads a wall-clock time in a zone.
pub fn timestamp_to_timestamptz(local: i64, zone: &dyn TimeZone) -> Result<i64> {
    if !is_finite_timestamp(local) {
        return Ok(local);
    }
    let shift = i64::from(zone.offset_at_local(local)) * MICROS_PER_SECOND;
    local.checked_sub(shift).ok_or_else(timestamp_out_of_range).and_then(check_timestamp)
}

/// The wall-clock time of a moment in a zone.
pub fn timestamptz_to_timestamp(utc: i64, zone: &dyn TimeZone) -> Result<i64> {
    if !is_finite_timestamp(utc) {
        return Ok(utc);
    }
    let shift = i64::from(zone.offset_at_utc(utc)) * MICROS_PER_SECOND;
    utc.checked_add(shift).ok_or_else(timestamp_out_of_range).and_then(check_timestamp)
}

/// Adds months (clamped to the month's end), then days, to a wall-clock time.
fn add_calendar(local: i64, interval: Interval) -> Result<i64> {
    let mut days = local.div_euclid(MICROS_PER_DAY);
    let time = local.rem_euclid(MICROS_PER_DAY);
    if interval.months != 0 {
        let (year, month, day) = civil_from_days(days);
        let months = year * 12 + i64::from(month) - 1 + i64::from(interval.months);
        let (year, month) = (months.div_euclid(12), months.rem_euclid(12) as u32 + 1);
        days = days_from_civil(year, month, day.min(days_in_month(year, month)));
    }
    join(days + i64::from(interval.days), time)
}

pub fn timestamp_add_interval(timestamp: i64, interval: Interval) -> Result<i64> {
    if !is_finite_timestamp(timestamp) {
        return Ok(timestamp);
    }
    let moved = add_calendar(timestamp, interval)?;
    moved.checked_add(interval.micros).ok_or_else(timestamp_out_of_range).and_then(check_timestamp)
}

/// Months and days move the zone's wall clock, microseconds the moment.
pub fn timestamptz_add_interval(utc: i64, interval: Interval, zone: &dyn TimeZone) -> Result<i64> {
    if !is_finite_timestamp(utc) {
        return Ok(utc);
    }
    let mut moved = utc;
    if interval.months != 0 || interval.days != 0 {
        let local = add_calendar(timestamptz_to_timestamp(utc, zone)?, interval)?;
        moved = timestamp_to_timestamptz(local, zone)?;
    }
    moved.checked_add(interval.micros).ok_or_else(timestamp_out_of_range).and_then(check_timestamp)
}

/// A time of day plus an interval's time part, modulo 24 hours.
pub fn time_add_interval(time: i64, interval: Interval) -> i64 {
    (time + interval.micros % MICROS_PER_DAY).rem_euclid(MICROS_PER_DAY)
}

/// `a - b` of two timestamps: days and time.
pub fn interval_between(a: i64, b: i64) -> Result<Interval> {
    if !is_finite_timestamp(a) || !is_finite_timestamp(b) {
        return Err(Error::invalid(SqlState::DATETIME_FIELD_OVERFLOW, "cannot subtract infinite timestamps"));
    }
    let micros = a.checked_sub(b).ok_or_else(interval_out_of_range)?;
    Interval { months: 0, days: 0, micros }.justify_hours()
}

/// `age(a, b)`: the difference in years, months, days and time.
pub fn age(a: i64, b: i64) -> Result<Interval> {
    if !is_finite_timestamp(a) || !is_finite_timestamp(b) {
        return Err(timestamp_out_of_range());
    }
    let (from, to, negative) = if a >= b { (b, a, false) } else { (a, b, true) };
    let (x, y) = (CivilTime::from_micros(to), CivilTime::from_micros(from));
    let mut micros = x.micros_of_day() - y.micros_of_day();
    let mut days = i64::from(x.day) - i64::from(y.day);
    let mut months = (x.year - y.year) * 12 + i64::from(x.month) - i64::from(y.month);
    if micros < 0 {
        (micros, days) = (micros + MICROS_PER_DAY, days - 1);
    }
    if days < 0 {
        // PostgreSQL borrows the days of the earlier date's month, whichever argument that is.
        days += i64::from(days_in_month(y.year, y.month));
        months -= 1;
    }
    let sign = if negative { -1 } else { 1 };
    let narrow = |value: i64| i32::try_from(value * i64::from(sign)).map_err(|_| interval_out_of_range());
    Ok(Interval { months: narrow(months)?, days: narrow(days)?, micros: micros * i64::from(sign) })
}

/// `age` of two moments, in a zone's wall-clock time.
pub fn age_in_zone(a: i64, b: i64, zone: &dyn TimeZone) -> Result<Interval> {
    age(timestamptz_to_timestamp(a, zone)?, timestamptz_to_timestamp(b, zone)?)
}

/// `make_date(year, month, day)`; a negative year is BC.
pub fn make_date(year: i32, month: i32, day: i32) -> Result<i32> {
    let astronomical = if year < 0 { i64::from(year) + 1 } else { i64::from(year) };
    let valid =
        year != 0 && (1..=12).contains(&month) && day >= 1 && day as u32 <= days_in_month(astronomical, month as u32);
    if !valid {
        let message = format!("date field value out of range: {year}-{month:02}-{day:02}");
        return Err(Error::invalid(SqlState::DATETIME_FIELD_OVERFLOW, message));
    }
    check_date(days_from_civil(astronomical, month as u32, day as u32)).map_err(|_| {
        Error::invalid(SqlState::DATETIME_FIELD_OVERFLOW, format!("date out of range: {year}-{month:02}-{day:02}"))
    })
}

/// `make_time(hour, minute, second)`.
pub fn make_time(hour: i32, minute: i32, second: f64) -> Result<i64> {
    let micros = (second * 1e6).round_ties_even();
    let total = i64::from(hour) * MICROS_PER_HOUR + i64::from(minute) * MICROS_PER_MINUTE + micros as i64;
    let valid = (0..=24).contains(&hour)
        && (0..60).contains(&minute)
        && (0.0..=60e6).contains(&micros)
        && total <= MICROS_PER_DAY;
    if !valid {
        let message = format!("time field value out of range: {hour}:{minute:02}:{second:02}");
        return Err(Error::invalid(SqlState::DATETIME_FIELD_OVERFLOW, message));
    }
    Ok(total)
}

/// `make_timestamp(year, month, day, hour, minute, second)`.
pub fn make_timestamp(year: i32, month: i32, day: i32, hour: i32, minute: i32, second: f64) -> Result<i64> {
    join(i64::from(make_date(year, month, day)?), make_time(hour, minute, second)?)
}

/// Rounds microseconds to `precision` fractional digits, half away from zero.
pub fn round_to_precision(micros: i64, precision: Option<u8>) -> Result<i64> {
    let Some(unit) = precision.filter(|p| *p < 6).map(|p| 10i64.pow(6 - u32::from(p))) else { return Ok(micros) };
    if !is_finite_timestamp(micros) {
        return Ok(micros);
    }
    // Halves go away from PostgreSQL's epoch, 2000-01-01, as its integers do.
    let epoch = if micros.unsigned_abs() > MICROS_PER_DAY.unsigned_abs() { 946_684_800_000_000 } else { 0 };
    let value = micros - epoch;
    let half = unit / 2;
    let rounded = if value >= 0 { (value + half) / unit * unit } else { -((half - value) / unit * unit) };
    check_timestamp(rounded + epoch)
}
