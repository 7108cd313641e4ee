//! Interval input: PostgreSQL's verbose form, SQL's `1-2` and `3 4:05:06`, ISO 8601's `P...`.

use super::calendar::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND};
use crate::{Error, Interval, Result, SqlState};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Unit {
    Microsecond,
    Millisecond,
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
}

impl Unit {
    /// By PostgreSQL's spellings and abbreviations (lower case).
    pub fn from_name(name: &str) -> Option<Unit> {
        Some(match name {
            "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsecon" | "microsecond" | "microseconds" => {
                Unit::Microsecond
            }
            "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisecon" | "millisecond" | "milliseconds" => {
                Unit::Millisecond
            }
            "s" | "sec" | "secs" | "second" | "seconds" => Unit::Second,
            "m" | "min" | "mins" | "minute" | "minutes" => Unit::Minute,
            "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Hour,
            "d" | "day" | "days" => Unit::Day,
            "w" | "week" | "weeks" => Unit::Week,
            "mon" | "mons" | "month" | "months" => Unit::Month,
            "qtr" | "quarter" => Unit::Quarter,
            "y" | "yr" | "yrs" | "year" | "years" => Unit::Year,
            "dec" | "decs" | "decade" | "decades" => Unit::Decade,
            "c" | "cent" | "century" | "centuries" => Unit::Century,
            "mil" | "mils" | "millennia" | "millennium" => Unit::Millennium,
            _ => return None,
        })
    }
}

/// A signed decimal number: whole part and fraction of a unit, both with the number's sign.
#[derive(Clone, Copy, Debug)]
struct Amount {
    whole: i64,
    fraction: f64,
}

enum Refusal {
    Syntax,
    Range,
}

type Read<T> = std::result::Result<T, Refusal>;

pub fn parse_interval(text: &str) -> Result<Interval> {
    let trimmed = text.trim_matches(crate::text::is_space).to_ascii_lowercase();
    let body = trimmed.as_bytes();
    let read = if body.first() == Some(&b'p') { read_iso(&trimmed) } else { read_verbose(&trimmed) };
    read.map_err(|refusal| match refusal {
        Refusal::Syntax => Error::invalid(
            SqlState::INVALID_DATETIME_FORMAT,
            format!("invalid input syntax for type interval: \"{text}\""),
        ),
        Refusal::Range => {
            Error::invalid(SqlState::INTERVAL_FIELD_OVERFLOW, format!("interval field value out of range: \"{text}\""))
        }
    })
}

/// Collects parts wide enough that only the end is checked.
#[derive(Default)]
struct Sum {
    months: i64,
    days: i64,
    micros: i128,
}

impl Sum {
    fn add(&mut self, amount: Amount, unit: Unit) -> Read<()> {
        let Amount { whole, fraction } = amount;
        let times = |factor: i64| whole.checked_mul(factor).ok_or(Refusal::Range);
        match unit {
            Unit::Microsecond => self.time(amount, 1),
            Unit::Millisecond => self.time(amount, 1000),
            Unit::Second => self.time(amount, MICROS_PER_SECOND),
            Unit::Minute => self.time(amount, MICROS_PER_MINUTE),
            Unit::Hour => self.time(amount, MICROS_PER_HOUR),
            Unit::Day => {
                self.add_days(whole)?;
                self.time(Amount { whole: 0, fraction }, MICROS_PER_DAY)
            }
            Unit::Week => {
                self.add_days(times(7)?)?;
                self.fraction_of_days(fraction * 7.0)
            }
            Unit::Month => {
                self.add_months(whole)?;
                self.fraction_of_days(fraction * 30.0)
            }
            Unit::Quarter => Err(Refusal::Syntax),
            Unit::Year => self.years(whole, fraction, 1),
            Unit::Decade => self.years(whole, fraction, 10),
            Unit::Century => self.years(whole, fraction, 100),
            Unit::Millennium => self.years(whole, fraction, 1000),
        }
    }

    fn time(&mut self, amount: Amount, micros: i64) -> Read<()> {
        self.micros += i128::from(amount.whole) * i128::from(micros);
        self.micros += (amount.fraction * micros as f64).round_ties_even() as i128;
        Ok(())
    }

    fn add_days(&mut self, days: i64) -> Read<()> {
        self.days = self.days.checked_add(days).ok_or(Refusal::Range)?;
        Ok(())
    }

    fn add_months(&mut self, months: i64) -> Read<()> {
        self.months = self.months.checked_add(months).ok_or(Refusal::Range)?;
        Ok(())
    }

    fn fraction_of_days(&mut self, days: f64) -> Read<()> {
        self.add_days(days.trunc() as i64)?;
        self.time(Amount { whole: 0, fraction: days.fract() }, MICROS_PER_DAY)
    }

    fn years(&mut self, whole: i64, fraction: f64, years: i64) -> Read<()> {
        self.add_months(whole.checked_mul(years * 12).ok_or(Refusal::Range)?)?;
        self.add_months((fraction * years as f64 * 12.0).round_ties_even() as i64)
    }

    fn finish(self) -> Read<Interval> {
        Ok(Interval {
            months: i32::try_from(self.months).map_err(|_| Refusal::Range)?,
            days: i32::try_from(self.days).map_err(|_| Refusal::Range)?,
            micros: i64::try_from(self.micros).map_err(|_| Refusal::Range)?,
        })
    }
}

/// Digits with an optional fraction, after `negative`'s sign.
fn amount(digits: &str, negative: bool) -> Read<Amount> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let digits = whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits {
        return Err(Refusal::Syntax);
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| Refusal::Range)? };
    let fraction: f64 =
        if fraction.is_empty() { 0.0 } else { format!("0.{fraction}").parse().map_err(|_| Refusal::Syntax)? };
    Ok(if negative { Amount { whole: -whole, fraction: -fraction } } else { Amount { whole, fraction } })
}

fn read_verbose(text: &str) -> Read<Interval> {
    let mut sum = Sum::default();
    let (mut rest, mut ago, mut any) = (text, false, false);
    // A number that waits for its unit.
    let mut pending: Option<Amount> = None;
    while let Some(first) = rest.chars().next() {
        if ago && !crate::text::is_space(first) {
            return Err(Refusal::Syntax);
        }
        match first {
            '@' | ',' => rest = &rest[1..],
            c if crate::text::is_space(c) => rest = &rest[1..],
            '0'..='9' | '+' | '-' | '.' => {
                let (token, tail) = split_number(rest);
                rest = tail;
                any = true;
                if let Some(value) = pending.take() {
                    // `3 4:05:06`: days before a time; anything else lacks its unit.
                    let clock = token.contains(':');
                    sum.add(value, if clock { Unit::Day } else { return Err(Refusal::Syntax) })?;
                }
                pending = read_token(token, &mut sum)?;
            }
            'a'..='z' => {
                let len = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
                let (word, tail) = rest.split_at(len);
                rest = tail;
                if word == "ago" {
                    ago = true;
                    continue;
                }
                let unit = Unit::from_name(word).ok_or(Refusal::Syntax)?;
                sum.add(pending.take().ok_or(Refusal::Syntax)?, unit)?;
            }
            _ => return Err(Refusal::Syntax),
        }
    }
    if let Some(value) = pending {
        sum.add(value, Unit::Second)?;
    }
    if !any {
        return Err(Refusal::Syntax);
    }
    if ago {
        (sum.months, sum.days, sum.micros) = (-sum.months, -sum.days, -sum.micros);
    }
    sum.finish()
}

/// A sign (blanks may follow it), digits, points, colons and inner hyphens.
fn split_number(text: &str) -> (&str, &str) {
    let signed = text.starts_with(['+', '-']);
    let mut at = usize::from(signed);
    let bytes = text.as_bytes();
    while signed && bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    while let Some(byte) = bytes.get(at) {
        let inner_hyphen = *byte == b'-'
            && bytes.get(at + 1).is_some_and(u8::is_ascii_digit)
            && at > 0
            && bytes[at - 1].is_ascii_digit();
        if !(byte.is_ascii_digit() || matches!(byte, b'.' | b':') || inner_hyphen) {
            break;
        }
        at += 1;
    }
    text.split_at(at)
}

/// A time or year-month goes into the sum; a plain number is returned to wait for its unit.
fn read_token(token: &str, sum: &mut Sum) -> Read<Option<Amount>> {
    let negative = token.starts_with('-');
    let digits = token.trim_start_matches(['+', '-']).trim_start();
    if digits.contains(':') {
        return read_clock(digits, negative, sum).map(|()| None);
    }
    if let Some((years, months)) = digits.split_once('-') {
        let (years, months) = (amount(years, negative)?, amount(months, negative)?);
        if months.whole.abs() >= 12 {
            return Err(Refusal::Range);
        }
        sum.add(years, Unit::Year)?;
        sum.add(months, Unit::Month)?;
        return Ok(None);
    }
    amount(digits, negative).map(Some)
}

/// `h:mm`, `h:mm:ss.f`, or `mm:ss.f` (a fraction after two parts); no digits after a colon are zero.
fn read_clock(digits: &str, negative: bool, sum: &mut Sum) -> Read<()> {
    let part = |(at, part): (usize, &'_ str)| if at > 0 && part.is_empty() { "0".to_owned() } else { part.to_owned() };
    let parts: Vec<String> = digits.split(':').enumerate().map(part).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (hour, minute, second) = match parts.as_slice() {
        [minute, second] if second.contains('.') => ("0", *minute, *second),
        [hour, minute] => (*hour, *minute, "0"),
        [hour, minute, second] => (*hour, *minute, *second),
        _ => return Err(Refusal::Syntax),
    };
    let (hour, minute, second) = (amount(hour, negative)?, amount(minute, negative)?, amount(second, negative)?);
    if minute.whole.abs() > 59 || second.whole.abs() > 60 {
        return Err(Refusal::Range);
    }
    if hour.fraction != 0.0 || minute.fraction != 0.0 {
        return Err(Refusal::Syntax);
    }
    sum.add(hour, Unit::Hour)?;
    sum.add(minute, Unit::Minute)?;
    sum.add(second, Unit::Second)
}

/// ISO 8601: with designators (`P1Y2M3DT4H5M6S`) or alternative (`P0001-02-03T04:05:06`).
fn read_iso(text: &str) -> Read<Interval> {
    let (date, time) = match text[1..].split_once('t') {
        Some((_, "")) => return Err(Refusal::Syntax),
        Some((date, time)) => (date, time),
        None => (&text[1..], ""),
    };
    if date.is_empty() && time.is_empty() {
        return Err(Refusal::Syntax);
    }
    let mut sum = Sum::default();
    let alternative = |part: &str, separator: char| {
        !part.is_empty()
            && part.trim_start_matches('-').contains(separator)
            && !part.bytes().any(|b| b.is_ascii_alphabetic())
    };
    if alternative(date, '-') {
        let parts: Vec<&str> = date.split('-').collect();
        for (part, unit) in parts.iter().zip([Unit::Year, Unit::Month, Unit::Day]) {
            sum.add(amount(part, false)?, unit)?;
        }
        if parts.len() > 3 {
            return Err(Refusal::Syntax);
        }
    } else {
        read_designators(date, false, &mut sum)?;
    }
    if alternative(time, ':') {
        if time.split(':').any(str::is_empty) {
            return Err(Refusal::Syntax);
        }
        read_clock(time.trim_start_matches(['-', '+']), time.starts_with('-'), &mut sum)?;
    } else {
        read_designators(time, true, &mut sum)?;
    }
    sum.finish()
}

fn read_designators(text: &str, time: bool, sum: &mut Sum) -> Read<()> {
    let mut rest = text;
    while !rest.is_empty() {
        let signed = rest.starts_with(['-', '+']);
        let negative = rest.starts_with('-');
        let digits = &rest[usize::from(signed)..];
        let len = digits.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let value = amount(&digits[..len], negative)?;
        let unit = match (digits.as_bytes().get(len), time) {
            (Some(b'y'), false) => Unit::Year,
            (Some(b'm'), false) => Unit::Month,
            (Some(b'w'), false) => Unit::Week,
            (Some(b'd'), false) => Unit::Day,
            (Some(b'h'), true) => Unit::Hour,
            (Some(b'm'), true) => Unit::Minute,
            (Some(b's'), true) => Unit::Second,
            _ => return Err(Refusal::Syntax),
        };
        sum.add(value, unit)?;
        rest = &digits[len + 1..];
    }
    Ok(())
}
