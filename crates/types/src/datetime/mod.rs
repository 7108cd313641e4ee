//! Dates, times and intervals as PostgreSQL computes, reads and prints them.
//!
//! A date is days, a timestamp microseconds since 1970-01-01 (proleptic Gregorian); the extremes of the integer are the
//! infinities. Microseconds since 1970 end in January 294247, 30 years before PostgreSQL's last year (it counts from
//! 2000); later timestamps are out of range (22008). Time zones are injected ([`crate::TimeZone`]).

mod arith;
mod calendar;
mod extract;
mod format;
mod interval;
mod interval_parse;
mod parse;
mod scan;
mod trunc;

pub use arith::{
    age, age_in_zone, date_add_days, date_to_timestamp, interval_between, make_date, make_time, make_timestamp,
    round_to_precision, time_add_interval, timestamp_add_interval, timestamp_to_date, timestamp_to_timestamptz,
    timestamptz_add_interval, timestamptz_to_timestamp,
};
pub use calendar::{
    CivilTime, DATE_INFINITY, DATE_NEGATIVE_INFINITY, MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE,
    MICROS_PER_SECOND, TIMESTAMP_INFINITY, TIMESTAMP_NEGATIVE_INFINITY, civil_from_days, days_from_civil,
    days_in_month, is_finite_timestamp, time_of_day,
};
pub use extract::{
    DateField, Extracted, extract_date, extract_interval, extract_time, extract_timestamp, extract_timestamptz,
};
pub use format::{write_date, write_interval, write_time, write_timestamp, write_timestamptz};
pub use interval_parse::parse_interval;
pub use parse::{parse_date, parse_sane_zone, parse_time, parse_timestamp, parse_timestamptz, parse_zone};
pub use trunc::{trunc_interval, trunc_timestamp, trunc_timestamptz};
