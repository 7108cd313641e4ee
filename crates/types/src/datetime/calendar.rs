//! Calendar arithmetic: days since 1970-01-01 to and from year, month, day.

use crate::{Error, Result, SqlState};

pub const MICROS_PER_SECOND: i64 = 1_000_000;
pub const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_SECOND;
pub const MICROS_PER_HOUR: i64 = 60 * MICROS_PER_MINUTE;
pub const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;

pub const DATE_INFINITY: i32 = i32::MAX;
pub const DATE_NEGATIVE_INFINITY: i32 = i32::MIN;
pub const TIMESTAMP_INFINITY: i64 = i64::MAX;
pub const TIMESTAMP_NEGATIVE_INFINITY: i64 = i64::MIN;

/// Julian day number of 1970-01-01.
pub(super) const JULIAN_EPOCH: i64 = 2_440_588;
/// PostgreSQL's first date, 4714-11-24 BC: Julian day 0.
const DATE_MIN: i64 = -JULIAN_EPOCH;
/// One past PostgreSQL's last date, 5874897-12-31.
const DATE_END: i64 = 2_147_483_494 - JULIAN_EPOCH;
const TIMESTAMP_MIN: i64 = DATE_MIN * MICROS_PER_DAY;

/// Days since 1970-01-01 of an astronomical year (0 is 1 BC), a month 1..=12 and a day.
pub fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    // Years begin in March, so that the leap day is the last; 400-year cycles of 146,097 days.
    let y = if month <= 2 { year - 1 } else { year };
    let cycle = y.div_euclid(400);
    let year_of_cycle = y.rem_euclid(400);
    let month_from_march = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_cycle = year_of_cycle * 365 + year_of_cycle / 4 - year_of_cycle / 100 + day_of_year;
    cycle * 146_097 + day_of_cycle - 719_468
}

/// Astronomical year, month and day of days since 1970-01-01.
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let cycle = shifted.div_euclid(146_097);
    let day_of_cycle = shifted.rem_euclid(146_097);
    let year_of_cycle = (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u32;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 } as u32;
    (cycle * 400 + year_of_cycle + i64::from(month <= 2), month, day)
}

pub fn is_leap_year(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

pub fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 if is_leap_year(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

pub fn is_finite_timestamp(micros: i64) -> bool {
    micros != TIMESTAMP_INFINITY && micros != TIMESTAMP_NEGATIVE_INFINITY
}

/// A wall-clock moment taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CivilTime {
    /// Astronomical: 0 is 1 BC.
    pub year: i64,
    pub month: u32,
    pub day: u32,
    pub hour: u32,
    pub minute: u32,
    pub second: u32,
    pub micros: u32,
}

impl CivilTime {
    /// From microseconds since 1970-01-01 (finite).
    pub fn from_micros(timestamp: i64) -> CivilTime {
        let (year, month, day) = civil_from_days(timestamp.div_euclid(MICROS_PER_DAY));
        let (hour, minute, second, micros) = time_of_day(timestamp.rem_euclid(MICROS_PER_DAY));
        CivilTime { year, month, day, hour, minute, second, micros }
    }

    pub fn micros_of_day(&self) -> i64 {
        i64::from(self.hour) * MICROS_PER_HOUR
            + i64::from(self.minute) * MICROS_PER_MINUTE
            + i64::from(self.second) * MICROS_PER_SECOND
            + i64::from(self.micros)
    }

    /// Microseconds since 1970-01-01; 22008 beyond the range.
    pub fn to_micros(&self) -> Result<i64> {
        join(days_from_civil(self.year, self.month, self.day), self.micros_of_day())
    }
}

/// Hour, minute, second, microsecond of microseconds since midnight.
pub fn time_of_day(micros: i64) -> (u32, u32, u32, u32) {
    (
        (micros / MICROS_PER_HOUR) as u32,
        (micros / MICROS_PER_MINUTE % 60) as u32,
        (micros / MICROS_PER_SECOND % 60) as u32,
        (micros % MICROS_PER_SECOND) as u32,
    )
}

pub(super) fn timestamp_out_of_range() -> Error {
    Error::invalid(SqlState::DATETIME_FIELD_OVERFLOW, "timestamp out of range")
}

pub(super) fn date_out_of_range() -> Error {
    Error::invalid(SqlState::DATETIME_FIELD_OVERFLOW, "date out of range")
}

/// A timestamp from days and microseconds of the day.
pub(super) fn join(days: i64, micros: i64) -> Result<i64> {
    let sum = i128::from(days) * i128::from(MICROS_PER_DAY) + i128::from(micros);
    i64::try_from(sum).map_err(|_| timestamp_out_of_range()).and_then(check_timestamp)
}

pub(super) fn check_timestamp(micros: i64) -> Result<i64> {
    if (TIMESTAMP_MIN..TIMESTAMP_INFINITY).contains(&micros) { Ok(micros) } else { Err(timestamp_out_of_range()) }
}

pub(super) fn check_date(days: i64) -> Result<i32> {
    if (DATE_MIN..DATE_END).contains(&days) { Ok(days as i32) } else { Err(date_out_of_range()) }
}
