//! Output in ISO DateStyle and IntervalStyle postgres.

use std::fmt::Write;

use super::calendar::{
    CivilTime, DATE_INFINITY, DATE_NEGATIVE_INFINITY, MICROS_PER_SECOND, TIMESTAMP_INFINITY,
    TIMESTAMP_NEGATIVE_INFINITY, civil_from_days, time_of_day,
};
use crate::{Interval, TimeZone};

/// Writing to a `String` cannot fail.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {{ let _ = write!($out, $($arg)*); }};
}

fn put_padded(out: &mut String, value: u32) {
    out.push(char::from(b'0' + (value / 10 % 10) as u8));
    out.push(char::from(b'0' + (value % 10) as u8));
}

fn put_date(out: &mut String, year: i64, month: u32, day: u32) {
    let printed = if year > 0 { year } else { 1 - year };
    put!(out, "{printed:04}-");
    put_padded(out, month);
    out.push('-');
    put_padded(out, day);
}

fn put_era(out: &mut String, year: i64) {
    if year <= 0 {
        out.push_str(" BC");
    }
}

/// `.ffffff` without trailing zeros; nothing for 0.
fn put_fraction(out: &mut String, micros: u32) {
    if micros == 0 {
        return;
    }
    let (mut value, mut width) = (micros, 6usize);
    while value % 10 == 0 {
        value /= 10;
        width -= 1;
    }
    put!(out, ".{value:0width$}");
}

fn put_time(out: &mut String, hour: u32, minute: u32, second: u32, micros: u32) {
    put_padded(out, hour);
    out.push(':');
    put_padded(out, minute);
    out.push(':');
    put_padded(out, second);
    put_fraction(out, micros);
}

pub fn write_date(days: i32, out: &mut String) {
    match days {
        DATE_INFINITY => out.push_str("infinity"),
        DATE_NEGATIVE_INFINITY => out.push_str("-infinity"),
        days => {
            let (year, month, day) = civil_from_days(i64::from(days));
            put_date(out, year, month, day);
            put_era(out, year);
        }
    }
}

pub fn write_time(micros: i64, out: &mut String) {
    let (hour, minute, second, micros) = time_of_day(micros.max(0));
    put_time(out, hour, minute, second, micros);
}

pub fn write_timestamp(micros: i64, out: &mut String) {
    if !put_infinite(micros, out) {
        let civil = CivilTime::from_micros(micros);
        put_civil(out, &civil);
        put_era(out, civil.year);
    }
}

/// The moment in the zone's local time with its offset.
pub fn write_timestamptz(micros: i64, zone: &dyn TimeZone, out: &mut String) {
    if put_infinite(micros, out) {
        return;
    }
    let offset = zone.offset_at_utc(micros);
    let civil = CivilTime::from_micros(micros.saturating_add(i64::from(offset) * MICROS_PER_SECOND));
    put_civil(out, &civil);
    put_offset(out, offset);
    put_era(out, civil.year);
}

fn put_infinite(micros: i64, out: &mut String) -> bool {
    match micros {
        TIMESTAMP_INFINITY => out.push_str("infinity"),
        TIMESTAMP_NEGATIVE_INFINITY => out.push_str("-infinity"),
        _ => return false,
    }
    true
}

fn put_civil(out: &mut String, civil: &CivilTime) {
    put_date(out, civil.year, civil.month, civil.day);
    out.push(' ');
    put_time(out, civil.hour, civil.minute, civil.second, civil.micros);
}

fn put_offset(out: &mut String, seconds_east: i32) {
    out.push(if seconds_east < 0 { '-' } else { '+' });
    let seconds = seconds_east.unsigned_abs();
    put!(out, "{:02}", seconds / 3600);
    if !seconds.is_multiple_of(3600) {
        put!(out, ":{:02}", seconds / 60 % 60);
    }
    if !seconds.is_multiple_of(60) {
        put!(out, ":{:02}", seconds % 60);
    }
}

/// `1 year 2 mons -3 days +04:05:06.7`: a part after a negative one carries its plus sign.
pub fn write_interval(interval: Interval, out: &mut String) {
    let (years, months) = (interval.months / 12, interval.months % 12);
    let (mut empty, mut after_negative) = (true, false);
    for (value, unit) in [(years, "year"), (months, "mon"), (interval.days, "day")] {
        if value == 0 {
            continue;
        }
        let space = if empty { "" } else { " " };
        let plus = if after_negative && value > 0 { "+" } else { "" };
        put!(out, "{space}{plus}{value} {unit}{}", if value == 1 { "" } else { "s" });
        (empty, after_negative) = (false, value < 0);
    }
    if interval.micros == 0 && !empty {
        return;
    }
    if !empty {
        out.push(' ');
    }
    if interval.micros < 0 {
        out.push('-');
    } else if after_negative {
        out.push('+');
    }
    let micros = interval.micros.unsigned_abs();
    let seconds = micros / 1_000_000;
    put!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    put_fraction(out, (micros % 1_000_000) as u32);
}
