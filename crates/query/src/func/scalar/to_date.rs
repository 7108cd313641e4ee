//! `to_date` and `to_timestamp`: text read by template.

use heliosdb_types::datetime::{
    MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, make_date, timestamp_to_timestamptz,
};
use heliosdb_types::{Datum, DatumRef, Error, Result, SqlState, TextContext};

use super::super::value::text_of_datum;
use super::to_char::{DAYS, MONTHS, Piece, pieces};
use super::wrong_arguments;

#[derive(Default)]
struct Read {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    julian: Option<i64>,
    hour: i64,
    twelve_hour: bool,
    pm: Option<bool>,
    minute: i64,
    second: i64,
    micros: i64,
    bc: bool,
    offset_hours: Option<i64>,
    offset_minutes: i64,
}

pub(super) fn to_date(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let [text, template] = args else { return Err(wrong_arguments("to_date")) };
    let text = text_of_datum(*text)?;
    let read = read(text, text_of_datum(*template)?)?;
    read.date(text).map(Datum::Date)
}

pub(super) fn to_timestamp(args: &[DatumRef<'_>], context: &TextContext) -> Result<Datum> {
    let [text, template] = args else { return Err(wrong_arguments("to_timestamp")) };
    let text = text_of_datum(*text)?;
    let read = read(text, text_of_datum(*template)?)?;
    let days = i64::from(read.date(text)?);
    let range = || out_of_range(text);
    let time = read.time(text)?;
    let local = days.checked_mul(24 * MICROS_PER_HOUR).and_then(|day| day.checked_add(time)).ok_or_else(range)?;
    let utc = match read.offset_hours {
        Some(hours) => local - hours * MICROS_PER_HOUR - hours.signum() * read.offset_minutes * MICROS_PER_MINUTE,
        None => timestamp_to_timestamptz(local, context.time_zone.as_ref())?,
    };
    Ok(Datum::TimestampTz(utc))
}

fn out_of_range(text: &str) -> Error {
    Error::invalid(SqlState::DATETIME_FIELD_OVERFLOW, format!("date/time field value out of range: \"{text}\""))
}

impl Read {
    fn date(&self, text: &str) -> Result<i32> {
        if let Some(julian) = self.julian {
            return i32::try_from(julian - 2_440_588).map_err(|_| out_of_range(text));
        }
        // Nothing given means 1 BC, January, the first, as in PostgreSQL.
        let year = match (self.year, self.bc) {
            (Some(year), true) => -year,
            (Some(0) | None, false) | (None, true) => -1,
            (Some(year), false) => year,
        };
        let narrow = |value: i64| i32::try_from(value).map_err(|_| out_of_range(text));
        if let Some(ordinal) = self.day_of_year {
            let first = make_date(narrow(year)?, 1, 1)?;
            return Ok(first + narrow(ordinal)? - 1);
        }
        // Zero is as good as not given.
        let given = |field: Option<i64>| field.filter(|value| *value != 0).unwrap_or(1);
        make_date(narrow(year)?, narrow(given(self.month))?, narrow(given(self.day))?).map_err(|_| out_of_range(text))
    }

    fn time(&self, text: &str) -> Result<i64> {
        let mut hour = self.hour;
        if self.twelve_hour {
            if !(1..=12).contains(&hour) {
                let message = format!("hour \"{hour}\" is invalid for the 12-hour clock");
                return Err(Error::invalid(SqlState::INVALID_DATETIME_FORMAT, message)
                    .with_hint("Use the 24-hour clock, or give an hour between 1 and 12."));
            }
            hour = match self.pm {
                Some(true) => hour % 12 + 12,
                Some(false) => hour % 12,
                None => hour,
            };
        }
        if !(0..24).contains(&hour) || !(0..60).contains(&self.minute) || !(0..60).contains(&self.second) {
            return Err(out_of_range(text));
        }
        Ok(hour * MICROS_PER_HOUR + self.minute * MICROS_PER_MINUTE + self.second * MICROS_PER_SECOND + self.micros)
    }
}

/// Keywords that stand for no digits.
const WORDS: [&str; 16] =
    ["MONTH", "MON", "DAY", "DY", "AM", "PM", "A.M.", "P.M.", "AD", "BC", "A.D.", "B.C.", "RM", "TZ", "TZH", "OF"];

fn read(text: &str, template: &str) -> Result<Read> {
    let pieces = pieces(template)?;
    let mut out = Read::default();
    let mut rest = text.trim_start();
    for (at, piece) in pieces.iter().enumerate() {
        match piece {
            // Separators match any separators, or nothing.
            Piece::Literal(separators) => {
                for c in separators.chars() {
                    rest = if c.is_alphanumeric() { rest } else { rest.trim_start() };
                    let next = rest.chars().next();
                    // A sign that belongs to a zone follows its field directly, so any other mark separates.
                    if c.is_alphanumeric() || next.is_some_and(|next| !next.is_alphanumeric()) {
                        rest = rest.get(next.map_or(0, char::len_utf8)..).unwrap_or_default();
                    }
                }
                rest = rest.trim_start();
            }
            Piece::Key { key, ordinal, .. } => {
                // Digits run together: each field takes only its width if another number follows directly.
                let adjacent = match pieces.get(at + 1) {
                    Some(Piece::Key { key, .. }) => !WORDS.contains(key),
                    Some(Piece::Literal(next)) => next.starts_with(|c: char| c.is_ascii_digit()),
                    None => false,
                };
                rest = rest.trim_start();
                rest = field(key, rest, adjacent, &mut out, text)?;
                if ordinal.is_some() {
                    rest = rest.get(2..).unwrap_or_default();
                }
            }
        }
    }
    Ok(out)
}

/// Takes up to `width` digits and a sign.
fn digits<'a>(key: &str, rest: &'a str, width: usize) -> Result<(i64, usize, &'a str)> {
    let sign = usize::from(rest.starts_with(['-', '+']));
    let len = sign + rest.bytes().skip(sign).take(width.saturating_sub(sign)).take_while(u8::is_ascii_digit).count();
    let (number, tail) = rest.split_at(len);
    let value = number.parse().map_err(|_| {
        let shown: String = rest.chars().take(width).collect();
        Error::invalid(SqlState::INVALID_DATETIME_FORMAT, format!("invalid value \"{shown}\" for \"{key}\""))
            .with_detail("Value must be an integer.")
    })?;
    Ok((value, len, tail))
}

fn named<'a>(key: &str, rest: &'a str, names: &[&str], short: bool) -> Result<(usize, &'a str)> {
    for (at, name) in names.iter().enumerate() {
        let name = if short { &name[..3] } else { name };
        if rest.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name)) {
            return Ok((at, &rest[name.len()..]));
        }
    }
    let shown: String = rest.chars().take_while(|c| c.is_alphanumeric()).collect();
    Err(Error::invalid(SqlState::INVALID_DATETIME_FORMAT, format!("invalid value \"{shown}\" for \"{key}\""))
        .with_detail("The given value did not match any of the allowed values for this field."))
}

fn field<'a>(key: &str, rest: &'a str, adjacent: bool, out: &mut Read, text: &str) -> Result<&'a str> {
    let wide = |width: usize| if adjacent { width } else { 18 };
    let number = |width: usize| digits(key, rest, wide(width));
    Ok(match key {
        "YYYY" => {
            let (value, _, tail) = number(4)?;
            out.year = Some(value);
            tail
        }
        "YYY" | "YY" | "Y" => {
            let (value, len, tail) = number(key.len())?;
            // The century that brings the year closest to 2020.
            out.year = Some(match len {
                1 | 2 => value + if value < 70 { 2000 } else { 1900 },
                3 => value + if value < 520 { 2000 } else { 1000 },
                _ => value,
            });
            tail
        }
        "MM" => take(number(2)?, |v| out.month = Some(v)),
        "DD" => take(number(2)?, |v| out.day = Some(v)),
        "DDD" => take(number(3)?, |v| out.day_of_year = Some(v)),
        "J" => take(number(18)?, |v| out.julian = Some(v)),
        "HH24" => take(number(2)?, |v| out.hour = v),
        "HH" | "HH12" => {
            out.twelve_hour = true;
            take(number(2)?, |v| out.hour = v)
        }
        "MI" => take(number(2)?, |v| out.minute = v),
        "SS" => take(number(2)?, |v| out.second = v),
        "SSSS" | "SSSSS" => take(number(5)?, |v| (out.hour, out.minute, out.second) = (v / 3600, v / 60 % 60, v % 60)),
        "MS" | "US" | "FF1" | "FF2" | "FF3" | "FF4" | "FF5" | "FF6" => {
            let width = match key {
                "MS" => 3,
                "US" => 6,
                _ => usize::from(key.as_bytes()[2] - b'0'),
            };
            let (value, len, tail) = digits(key, rest, width)?;
            out.micros = value * 10i64.pow(6 - len as u32);
            tail
        }
        "MONTH" | "MON" => {
            let (month, tail) = named(key, rest, &MONTHS, key == "MON")?;
            out.month = Some(month as i64 + 1);
            tail
        }
        "DAY" | "DY" => named(key, rest, &DAYS, key == "DY")?.1,
        "AM" | "PM" => {
            let (pm, tail) = choice(rest, ["am", "pm"], text)?;
            out.pm = Some(pm);
            tail
        }
        "A.M." | "P.M." => {
            let (pm, tail) = choice(rest, ["a.m.", "p.m."], text)?;
            out.pm = Some(pm);
            tail
        }
        "AD" | "BC" => {
            let (bc, tail) = choice(rest, ["ad", "bc"], text)?;
            out.bc = bc;
            tail
        }
        "TZH" => {
            let negative = rest.starts_with('-');
            let (value, _, tail) = digits(key, rest.trim_start_matches(['+', '-']), 2)?;
            out.offset_hours = Some(if negative { -value } else { value });
            tail
        }
        "TZM" => take(number(2)?, |v| out.offset_minutes = v),
        other => return Err(Error::unsupported(format!("reading template keyword {other}"))),
    })
}

fn take((value, _, tail): (i64, usize, &str), set: impl FnOnce(i64)) -> &str {
    set(value);
    tail
}

/// Whether the second of two words stands here.
fn choice<'a>(rest: &'a str, words: [&str; 2], text: &str) -> Result<(bool, &'a str)> {
    for (at, word) in words.iter().enumerate() {
        if rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word)) {
            return Ok((at == 1, &rest[word.len()..]));
        }
    }
    Err(Error::invalid(SqlState::INVALID_DATETIME_FORMAT, format!("invalid value in \"{text}\" for \"{}\"", words[0])))
}
