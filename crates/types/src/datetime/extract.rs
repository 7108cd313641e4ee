//! `extract(field from value)` and `date_part`.

use super::calendar::{
    DATE_INFINITY, DATE_NEGATIVE_INFINITY, JULIAN_EPOCH, MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE,
    MICROS_PER_SECOND, TIMESTAMP_NEGATIVE_INFINITY, civil_from_days, days_from_civil, is_finite_timestamp,
};
use super::interval_parse::Unit;
use crate::{Error, Interval, Numeric, Result, SqlState, TimeZone};

/// A field's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DateField {
    Microseconds,
    Milliseconds,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
    Julian,
    IsoYear,
    Dow,
    IsoDow,
    Doy,
    Epoch,
    Timezone,
    TimezoneHour,
    TimezoneMinute,
}

impl DateField {
    /// By PostgreSQL's spellings, any case.
    pub fn from_name(name: &str) -> Option<DateField> {
        let lower = name.to_ascii_lowercase();
        Some(match lower.as_str() {
            "julian" | "jd" | "j" => DateField::Julian,
            "isoyear" => DateField::IsoYear,
            "dow" => DateField::Dow,
            "isodow" => DateField::IsoDow,
            "doy" => DateField::Doy,
            "epoch" => DateField::Epoch,
            "timezone" => DateField::Timezone,
            "timezone_hour" | "timezone_h" => DateField::TimezoneHour,
            "timezone_minute" | "timezone_m" => DateField::TimezoneMinute,
            _ => match Unit::from_name(&lower)? {
                Unit::Microsecond => DateField::Microseconds,
                Unit::Millisecond => DateField::Milliseconds,
                Unit::Second => DateField::Second,
                Unit::Minute => DateField::Minute,
                Unit::Hour => DateField::Hour,
                Unit::Day => DateField::Day,
                Unit::Week => DateField::Week,
                Unit::Month => DateField::Month,
                Unit::Quarter => DateField::Quarter,
                Unit::Year => DateField::Year,
                Unit::Decade => DateField::Decade,
                Unit::Century => DateField::Century,
                Unit::Millennium => DateField::Millennium,
            },
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            DateField::Microseconds => "microseconds",
            DateField::Milliseconds => "milliseconds",
            DateField::Second => "second",
            DateField::Minute => "minute",
            DateField::Hour => "hour",
            DateField::Day => "day",
            DateField::Week => "week",
            DateField::Month => "month",
            DateField::Quarter => "quarter",
            DateField::Year => "year",
            DateField::Decade => "decade",
            DateField::Century => "century",
            DateField::Millennium => "millennium",
            DateField::Julian => "julian",
            DateField::IsoYear => "isoyear",
            DateField::Dow => "dow",
            DateField::IsoDow => "isodow",
            DateField::Doy => "doy",
            DateField::Epoch => "epoch",
            DateField::Timezone => "timezone",
            DateField::TimezoneHour => "timezone_hour",
            DateField::TimezoneMinute => "timezone_minute",
        }
    }

    /// Grows without bound as time does, so infinity has one.
    fn is_monotonic(self) -> bool {
        use DateField::{Century, Decade, Epoch, IsoYear, Julian, Millennium, Year};
        matches!(self, Year | Decade | Century | Millennium | Julian | IsoYear | Epoch)
    }
}

/// What a field holds; `extract` returns it as numeric, `date_part` as double.
#[derive(Clone, Debug, PartialEq)]
pub enum Extracted {
    /// `unscaled * 10^-scale`.
    Value {
        unscaled: i64,
        scale: i8,
    },
    /// Only julian days have more digits.
    Numeric(Numeric),
    Infinity,
    NegativeInfinity,
    /// A field infinity does not have.
    Null,
}

impl Extracted {
    fn int(value: i64) -> Extracted {
        Extracted::Value { unscaled: value, scale: 0 }
    }

    /// `None` is NULL.
    pub fn to_numeric(&self) -> Option<Numeric> {
        match self {
            Extracted::Value { unscaled, scale } => Some(Numeric::from_unscaled(i128::from(*unscaled), *scale)),
            Extracted::Numeric(value) => Some(value.clone()),
            Extracted::Infinity => Some(Numeric::infinity()),
            Extracted::NegativeInfinity => Some(Numeric::negative_infinity()),
            Extracted::Null => None,
        }
    }

    /// `None` is NULL.
    pub fn to_f64(&self) -> Option<f64> {
        match self {
            Extracted::Value { unscaled, scale } => Some(*unscaled as f64 / 10f64.powi(i32::from(*scale))),
            Extracted::Numeric(value) => value.to_f64().ok(),
            Extracted::Infinity => Some(f64::INFINITY),
            Extracted::NegativeInfinity => Some(f64::NEG_INFINITY),
            Extracted::Null => None,
        }
    }
}

fn infinite(field: DateField, negative: bool) -> Extracted {
    match (field.is_monotonic(), negative) {
        (false, _) => Extracted::Null,
        (true, false) => Extracted::Infinity,
        (true, true) => Extracted::NegativeInfinity,
    }
}

fn not_supported(field: DateField, type_name: &str) -> Error {
    let message = format!("unit \"{}\" not supported for type {type_name}", field.name());
    Error::invalid(SqlState::FEATURE_NOT_SUPPORTED, message)
}

/// ISO week-numbering year and week of a day.
fn iso_week(days: i64) -> (i64, i64) {
    // The Thursday of the same week decides the year.
    let thursday = days - (days + 3).rem_euclid(7) + 3;
    let (year, _, _) = civil_from_days(thursday);
    (year, (thursday - days_from_civil(year, 1, 1)) / 7 + 1)
}

fn era_year(astronomical: i64) -> i64 {
    if astronomical > 0 { astronomical } else { astronomical - 1 }
}

/// Fields of a day alone.
fn date_field(field: DateField, days: i64) -> Option<i64> {
    let (year, month, day) = civil_from_days(days);
    Some(match field {
        DateField::Day => i64::from(day),
        DateField::Month => i64::from(month),
        DateField::Quarter => i64::from((month - 1) / 3 + 1),
        DateField::Week => iso_week(days).1,
        DateField::Year => era_year(year),
        DateField::IsoYear => era_year(iso_week(days).0),
        DateField::Decade => year.div_euclid(10),
        DateField::Century => {
            if year > 0 {
                (year + 99) / 100
            } else {
                -((99 - (year - 1)) / 100)
            }
        }
        DateField::Millennium => {
            if year > 0 {
                (year + 999) / 1000
            } else {
                -((999 - (year - 1)) / 1000)
            }
        }
        DateField::Dow => (days + 4).rem_euclid(7),
        DateField::IsoDow => (days + 3).rem_euclid(7) + 1,
        DateField::Doy => days - days_from_civil(year, 1, 1) + 1,
        _ => return None,
    })
}

/// Fields of a time of day or an interval's time part.
fn time_field(field: DateField, micros: i64) -> Option<Extracted> {
    let of_minute = micros % MICROS_PER_MINUTE;
    Some(match field {
        DateField::Microseconds => Extracted::int(of_minute),
        DateField::Milliseconds => Extracted::Value { unscaled: of_minute, scale: 3 },
        DateField::Second => Extracted::Value { unscaled: of_minute, scale: 6 },
        DateField::Minute => Extracted::int(micros / MICROS_PER_MINUTE % 60),
        DateField::Hour => Extracted::int(micros / MICROS_PER_HOUR),
        _ => return None,
    })
}

pub fn extract_date(field: DateField, days: i32) -> Result<Extracted> {
    if days == DATE_INFINITY || days == DATE_NEGATIVE_INFINITY {
        return match field {
            DateField::Microseconds
            | DateField::Milliseconds
            | DateField::Second
            | DateField::Minute
            | DateField::Hour
            | DateField::Timezone
            | DateField::TimezoneHour
            | DateField::TimezoneMinute => Err(not_supported(field, "date")),
            _ => Ok(infinite(field, days == DATE_NEGATIVE_INFINITY)),
        };
    }
    let days = i64::from(days);
    match field {
        DateField::Epoch => Ok(Extracted::int(days * 86_400)),
        DateField::Julian => Ok(Extracted::int(days + JULIAN_EPOCH)),
        _ => date_field(field, days).map(Extracted::int).ok_or_else(|| not_supported(field, "date")),
    }
}

pub fn extract_time(field: DateField, micros: i64) -> Result<Extracted> {
    match field {
        DateField::Epoch => Ok(Extracted::Value { unscaled: micros, scale: 6 }),
        _ => time_field(field, micros).ok_or_else(|| not_supported(field, "time without time zone")),
    }
}

pub fn extract_timestamp(field: DateField, micros: i64) -> Result<Extracted> {
    if matches!(field, DateField::Timezone | DateField::TimezoneHour | DateField::TimezoneMinute) {
        return Err(not_supported(field, "timestamp without time zone"));
    }
    local_field(field, micros, micros)
}

pub fn extract_timestamptz(field: DateField, utc: i64, zone: &dyn TimeZone) -> Result<Extracted> {
    if !is_finite_timestamp(utc) {
        return Ok(infinite(field, utc == TIMESTAMP_NEGATIVE_INFINITY));
    }
    let offset = i64::from(zone.offset_at_utc(utc));
    match field {
        DateField::Timezone => Ok(Extracted::int(offset)),
        DateField::TimezoneHour => Ok(Extracted::int(offset / 3600)),
        DateField::TimezoneMinute => Ok(Extracted::int(offset / 60 % 60)),
        _ => local_field(field, utc.saturating_add(offset * MICROS_PER_SECOND), utc),
    }
}

fn local_field(field: DateField, local: i64, epoch: i64) -> Result<Extracted> {
    if !is_finite_timestamp(local) {
        return Ok(infinite(field, local == TIMESTAMP_NEGATIVE_INFINITY));
    }
    let (days, time) = (local.div_euclid(MICROS_PER_DAY), local.rem_euclid(MICROS_PER_DAY));
    match field {
        DateField::Epoch => Ok(Extracted::Value { unscaled: epoch, scale: 6 }),
        DateField::Julian => {
            let part = Numeric::from_i64(time).div(&Numeric::from_i64(MICROS_PER_DAY))?;
            Ok(Extracted::Numeric(Numeric::from_i64(days + JULIAN_EPOCH).add(&part)?))
        }
        _ => {
            let value = date_field(field, days).map(Extracted::int).or_else(|| time_field(field, time));
            value.ok_or_else(|| not_supported(field, "timestamp without time zone"))
        }
    }
}

pub fn extract_interval(field: DateField, interval: Interval) -> Result<Extracted> {
    let years = i64::from(interval.months / 12);
    let months = i64::from(interval.months % 12);
    Ok(Extracted::int(match field {
        DateField::Day => i64::from(interval.days),
        DateField::Month => months,
        DateField::Quarter => months / 3 + 1,
        DateField::Year => years,
        DateField::Decade => years / 10,
        DateField::Century => years / 100,
        DateField::Millennium => years / 1000,
        DateField::Epoch => {
            // Years count 365.25 days, left-over months 30.
            let quarter_days = years * 1461 + months * 120 + i64::from(interval.days) * 4;
            let micros = i128::from(quarter_days) * i128::from(MICROS_PER_DAY / 4) + i128::from(interval.micros);
            return Ok(match i64::try_from(micros) {
                Ok(unscaled) => Extracted::Value { unscaled, scale: 6 },
                Err(_) => Extracted::Numeric(Numeric::from_unscaled(micros, 6)),
            });
        }
        _ => return time_field(field, interval.micros).ok_or_else(|| not_supported(field, "interval")),
    }))
}
