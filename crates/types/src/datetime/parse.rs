//! Date, time and timestamp input (DateStyle ISO, MDY).

use std::sync::Arc;

use super::calendar::{
    DATE_INFINITY, DATE_NEGATIVE_INFINITY, JULIAN_EPOCH, MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE,
    MICROS_PER_SECOND, TIMESTAMP_INFINITY, TIMESTAMP_NEGATIVE_INFINITY, check_date, check_timestamp, civil_from_days,
    days_from_civil, days_in_month, join,
};
use super::scan::{Field, scan};
use crate::{Error, Result, SqlState, TextContext, TimeZone};

/// What input means once read.
enum Moment {
    Infinity,
    NegativeInfinity,
    /// 'now' and 'epoch': a moment in UTC.
    Utc(i64),
    Fields(Fields),
}

#[derive(Default)]
struct Fields {
    year: Option<i64>,
    /// The year was written with at most two digits.
    short_year: bool,
    month: Option<u32>,
    day: Option<u32>,
    /// Days since 1970 of 'today' or a Julian day.
    days: Option<i64>,
    time: Option<i64>,
    zone: Option<Zone>,
    bc: bool,
    era_seen: bool,
    pm: Option<bool>,
    /// A word month came first, so a following number is a day.
    month_is_word: bool,
    iso_time_next: bool,
    julian_next: bool,
}

enum Zone {
    Offset(i32),
    Named(Arc<dyn TimeZone>),
}

/// Why input was refused; the message needs the whole text and the type's name.
enum Refusal {
    Syntax,
    FieldRange,
    /// Month or day out of range: perhaps the order is another.
    MonthDayRange,
    ZoneRange,
    UnknownZone(String),
}

impl Refusal {
    fn into_error(self, text: &str, type_name: &str) -> Error {
        let range = || {
            let message = format!("date/time field value out of range: \"{text}\"");
            Error::invalid(SqlState::DATETIME_FIELD_OVERFLOW, message)
        };
        match self {
            Refusal::Syntax => Error::invalid(
                SqlState::INVALID_DATETIME_FORMAT,
                format!("invalid input syntax for type {type_name}: \"{text}\""),
            ),
            Refusal::FieldRange => range(),
            Refusal::MonthDayRange => range().with_hint("Perhaps you need a different \"datestyle\" setting."),
            Refusal::ZoneRange => Error::invalid(
                SqlState::INVALID_TIME_ZONE_DISPLACEMENT,
                format!("time zone displacement out of range: \"{text}\""),
            ),
            Refusal::UnknownZone(name) => {
                Error::invalid(SqlState::INVALID_PARAMETER_VALUE, format!("time zone \"{name}\" not recognized"))
            }
        }
    }
}

type Read<T> = std::result::Result<T, Refusal>;

pub fn parse_date(text: &str, ctx: &TextContext) -> Result<i32> {
    if let Some(days) = plain_date(text.as_bytes()) {
        return Ok(days);
    }
    let refuse = |refusal: Refusal| refusal.into_error(text, "date");
    let range = |_| Error::invalid(SqlState::DATETIME_FIELD_OVERFLOW, format!("date out of range: \"{text}\""));
    match read(text, ctx).map_err(refuse)? {
        Moment::Infinity => Ok(DATE_INFINITY),
        Moment::NegativeInfinity => Ok(DATE_NEGATIVE_INFINITY),
        Moment::Utc(micros) => check_date(local(micros, ctx).div_euclid(MICROS_PER_DAY)),
        Moment::Fields(fields) => check_date(fields.days().map_err(refuse)?).map_err(range),
    }
}

pub fn parse_timestamp(text: &str, precision: Option<u8>, ctx: &TextContext) -> Result<i64> {
    if let Some(micros) = plain_timestamp(text) {
        return super::round_to_precision(micros, precision);
    }
    let refuse = |refusal: Refusal| refusal.into_error(text, "timestamp");
    let micros = match read(text, ctx).map_err(refuse)? {
        Moment::Infinity => return Ok(TIMESTAMP_INFINITY),
        Moment::NegativeInfinity => return Ok(TIMESTAMP_NEGATIVE_INFINITY),
        Moment::Utc(micros) => local(micros, ctx),
        Moment::Fields(fields) => fields.local_micros().map_err(refuse)?.map_err(|_| timestamp_range(text))?,
    };
    super::round_to_precision(micros, precision)
}

pub fn parse_timestamptz(text: &str, precision: Option<u8>, ctx: &TextContext) -> Result<i64> {
    let refuse = |refusal: Refusal| refusal.into_error(text, "timestamp with time zone");
    let micros = match read(text, ctx).map_err(refuse)? {
        Moment::Infinity => return Ok(TIMESTAMP_INFINITY),
        Moment::NegativeInfinity => return Ok(TIMESTAMP_NEGATIVE_INFINITY),
        Moment::Utc(micros) => micros,
        Moment::Fields(fields) => {
            let local = fields.local_micros().map_err(refuse)?.map_err(|_| timestamp_range(text))?;
            let offset = match &fields.zone {
                Some(Zone::Offset(seconds)) => *seconds,
                Some(Zone::Named(zone)) => zone.offset_at_local(local),
                None => ctx.time_zone.offset_at_local(local),
            };
            let utc = local.checked_sub(i64::from(offset) * MICROS_PER_SECOND);
            utc.ok_or_else(|| timestamp_range(text))
                .and_then(|utc| check_timestamp(utc).map_err(|_| timestamp_range(text)))?
        }
    };
    super::round_to_precision(micros, precision)
}

fn timestamp_range(text: &str) -> Error {
    Error::invalid(SqlState::DATETIME_FIELD_OVERFLOW, format!("timestamp out of range: \"{text}\""))
}

/// The common case, `1999-01-08`; anything else, or a date that does not exist, takes the long way to its error.
fn plain_date(text: &[u8]) -> Option<i32> {
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = *text else { return None };
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0u32, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0')))
    };
    let (year, month, day) = (number(&[y0, y1, y2, y3])?, number(&[m0, m1])?, number(&[d0, d1])?);
    let exists = year > 0 && (1..=12).contains(&month) && day >= 1 && day <= days_in_month(i64::from(year), month);
    exists.then(|| days_from_civil(i64::from(year), month, day) as i32)
}

/// The common case, `1999-01-08 04:05:06` with or without a fraction of up to six digits.
fn plain_timestamp(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let (date, rest) = bytes.split_at_checked(10)?;
    let (clock, fraction) = rest.split_at_checked(9)?;
    let [b' ' | b'T', h0, h1, b':', m0, m1, b':', s0, s1] = *clock else { return None };
    let pair = |high: u8, low: u8, limit: i64| {
        let digits = high.is_ascii_digit() && low.is_ascii_digit();
        let value = i64::from(high.wrapping_sub(b'0')) * 10 + i64::from(low.wrapping_sub(b'0'));
        (digits && value < limit).then_some(value)
    };
    let (hour, minute, second) = (pair(h0, h1, 24)?, pair(m0, m1, 60)?, pair(s0, s1, 60)?);
    let micros = match fraction {
        [] => 0,
        [b'.', digits @ ..] if (1..=6).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) => {
            let value = digits.iter().fold(0i64, |sum, byte| sum * 10 + i64::from(byte - b'0'));
            value * 10i64.pow(6 - digits.len() as u32)
        }
        _ => return None,
    };
    let days = i64::from(plain_date(date)?);
    Some(
        days * MICROS_PER_DAY
            + hour * MICROS_PER_HOUR
            + minute * MICROS_PER_MINUTE
            + second * MICROS_PER_SECOND
            + micros,
    )
}

/// Time of day; a date beside it is read and dropped, as is a zone.
pub fn parse_time(text: &str, precision: Option<u8>, ctx: &TextContext) -> Result<i64> {
    let refuse = |refusal: Refusal| refusal.into_error(text, "time");
    let micros = match read_time(text, ctx).map_err(refuse)? {
        Moment::Utc(micros) => local(micros, ctx).rem_euclid(MICROS_PER_DAY),
        Moment::Fields(fields) => match (fields.clock().map_err(refuse)?, fields.days) {
            (Some(time), _) => time,
            (None, _) => return Err(refuse(Refusal::Syntax)),
        },
        _ => return Err(refuse(Refusal::Syntax)),
    };
    Ok(super::round_to_precision(micros, precision)?.min(MICROS_PER_DAY))
}

fn local(utc: i64, ctx: &TextContext) -> i64 {
    utc.saturating_add(i64::from(ctx.time_zone.offset_at_utc(utc)) * MICROS_PER_SECOND)
}

/// A zone by name, abbreviation or offset (`AT TIME ZONE`, SET TimeZone): `Europe/Berlin`, `+02`, `UTC`.
///
/// A bare offset follows POSIX as PostgreSQL's zone names do: `+02` is two hours *west*.
pub fn parse_zone(name: &str, ctx: &TextContext) -> Result<Arc<dyn TimeZone>> {
    if let Some(zone) = ctx.zones.by_name(name) {
        return Ok(zone);
    }
    let unknown = || Refusal::UnknownZone(name.to_owned()).into_error(name, "");
    if !name.starts_with(['+', '-']) {
        return Err(unknown());
    }
    let offset = read_offset(name).map_err(|_| unknown())?;
    Ok(Arc::new(crate::FixedOffset::new(name, -offset)))
}

/// The same for `make_timestamptz`, to which `+02` is two hours *east*, as in a timestamp's own text.
pub fn parse_sane_zone(name: &str, ctx: &TextContext) -> Result<Arc<dyn TimeZone>> {
    let wrong = |message: String| Error::invalid(SqlState::INVALID_PARAMETER_VALUE, message);
    if name.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(wrong(format!("invalid input syntax for type numeric time zone: \"{name}\""))
            .with_hint("Numeric time zones must have \"-\" or \"+\" as first character."));
    }
    if !name.starts_with(['+', '-']) {
        return parse_zone(name, ctx);
    }
    match read_offset(name) {
        Ok(offset) => Ok(Arc::new(crate::FixedOffset::new(name, offset))),
        Err(Refusal::ZoneRange) => Err(wrong(format!("numeric time zone \"{name}\" out of range"))),
        Err(_) => parse_zone(name, ctx),
    }
}

fn read(text: &str, ctx: &TextContext) -> Read<Moment> {
    read_fields(text, ctx, false)
}

fn read_time(text: &str, ctx: &TextContext) -> Read<Moment> {
    read_fields(text, ctx, true)
}

fn read_fields(text: &str, ctx: &TextContext, time_only: bool) -> Read<Moment> {
    let scanned = scan(text).ok_or(Refusal::Syntax)?;
    if scanned.is_empty() {
        return Err(Refusal::Syntax);
    }
    let mut fields = Fields::default();
    let mut special = None;
    let count = scanned.len();
    for field in scanned {
        if special.is_some() {
            return Err(Refusal::Syntax);
        }
        match field {
            Field::Date(parts) => fields.date(&parts)?,
            Field::Time(time) => fields.set_time(read_clock(&time)?)?,
            Field::Zone(zone) => fields.set_zone(Zone::Offset(read_offset(&zone)?))?,
            Field::Number(number) if time_only && fields.time.is_none() && !fields.has_date() => {
                fields.compact_time(&number)?;
            }
            Field::Number(_) if time_only && fields.has_date() => return Err(Refusal::Syntax),
            Field::Word(word) if time_only && not_in_times(&word, &fields) => return Err(Refusal::Syntax),
            Field::Number(number) => fields.number(&number)?,
            Field::SignedWord(negative, word) if word == "infinity" || word == "inf" => {
                special = Some(if negative { Moment::NegativeInfinity } else { Moment::Infinity });
            }
            Field::SignedWord(..) => return Err(Refusal::Syntax),
            Field::Word(word) => special = fields.word(&word, ctx, count)?,
        }
    }
    if fields.iso_time_next && fields.time.is_none() {
        return Err(Refusal::Syntax);
    }
    Ok(special.unwrap_or(Moment::Fields(fields)))
}

/// What a date has and a time has not: words for days, and `T` between it and a time.
fn not_in_times(word: &str, fields: &Fields) -> bool {
    matches!(word, "epoch" | "today" | "tomorrow" | "yesterday") || (word == "t" && fields.has_date())
}

impl Fields {
    fn date(&mut self, parts: &[String]) -> Read<()> {
        if self.iso_time_next || self.has_date() {
            // `19990108T040506-08`: a time without colons and its zone look like a date.
            let [time, zone] = parts else { return Err(Refusal::Syntax) };
            self.compact_time(time)?;
            return self.set_zone(Zone::Offset(read_offset(&format!("-{zone}"))?));
        }
        if self.year.is_some() || self.days.is_some() || self.day.is_some() {
            return Err(Refusal::Syntax);
        }
        if parts.len() > 3 || parts.iter().any(String::is_empty) {
            return Err(Refusal::Syntax);
        }
        // The month's name first, so that the numbers around it find their places.
        for part in parts {
            if let Some(month) = month_of(part) {
                if self.month.replace(month).is_some() {
                    return Err(Refusal::Syntax);
                }
                self.month_is_word = true;
            }
        }
        for part in parts.iter().filter(|part| month_of(part).is_none()) {
            if !part.bytes().all(|b| b.is_ascii_digit()) {
                return Err(Refusal::Syntax);
            }
            if parts.len() == 2 && !self.month_is_word && part.len() == 3 && self.year.is_some() {
                return self.day_of_year(part);
            }
            self.date_number(part)?;
        }
        Ok(())
    }

    fn day_of_year(&mut self, part: &str) -> Read<()> {
        let year = self.year.ok_or(Refusal::Syntax)?;
        let ordinal: i64 = part.parse().map_err(|_| Refusal::FieldRange)?;
        let (_, month, day) = civil_from_days(days_from_civil(year, 1, 1) + ordinal - 1);
        if !(1..=366).contains(&ordinal) {
            return Err(Refusal::FieldRange);
        }
        (self.month, self.day) = (Some(month), Some(day));
        Ok(())
    }

    fn set_year(&mut self, digits: &str) -> Read<()> {
        self.short_year = digits.len() <= 2;
        self.year = Some(digits.parse::<i32>().map_err(|_| Refusal::FieldRange)?.into());
        Ok(())
    }

    fn date_number(&mut self, digits: &str) -> Read<()> {
        let value = || digits.parse::<u32>().map_err(|_| Refusal::FieldRange);
        match (self.year.is_some(), self.month.is_some(), self.day.is_some()) {
            (false, false, false) if digits.len() >= 3 => self.set_year(digits)?,
            (false, false, false) | (true, false, _) | (false, false, true) => self.month = Some(value()?),
            (false, true, false) if self.month_is_word && digits.len() >= 3 => self.set_year(digits)?,
            (_, true, false) => self.day = Some(value()?),
            (false, true, true) => self.set_year(digits)?,
            (true, true, true) => return Err(Refusal::Syntax),
        }
        Ok(())
    }

    fn number(&mut self, number: &str) -> Read<()> {
        if self.julian_next {
            self.julian_next = false;
            return self.julian(number);
        }
        if self.iso_time_next {
            return self.compact_time(number);
        }
        let whole = number.split('.').next().unwrap_or(number);
        let date_open = self.year.is_none() && self.month.is_none() && self.day.is_none() && self.days.is_none();
        match whole.len() {
            8 | 6 if date_open && !number.contains('.') => {
                let (year, rest) = whole.split_at(whole.len() - 4);
                self.set_year(year)?;
                let (month, day) = rest.split_at(2);
                self.month = Some(month.parse().map_err(|_| Refusal::Syntax)?);
                self.day = Some(day.parse().map_err(|_| Refusal::Syntax)?);
                Ok(())
            }
            4 | 6 if self.has_date() && self.time.is_none() => self.compact_time(number),
            _ if number.contains('.') => Err(Refusal::Syntax),
            _ => self.date_number(number),
        }
    }

    fn has_date(&self) -> bool {
        self.days.is_some() || (self.year.is_some() && self.month.is_some() && self.day.is_some())
    }

    fn julian(&mut self, number: &str) -> Read<()> {
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let day: i64 = whole.parse().map_err(|_| Refusal::FieldRange)?;
        self.days = Some(day - JULIAN_EPOCH);
        if !fraction.is_empty() {
            let part: f64 = format!("0.{fraction}").parse().map_err(|_| Refusal::Syntax)?;
            self.time = Some((part * MICROS_PER_DAY as f64).round() as i64);
        }
        Ok(())
    }

    /// `040506`, `0405`, `040506.789`.
    fn compact_time(&mut self, number: &str) -> Read<()> {
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let part = |range: std::ops::Range<usize>| -> Read<i64> {
            whole.get(range).and_then(|digits| digits.parse().ok()).ok_or(Refusal::Syntax)
        };
        let (hour, minute, second) = match whole.len() {
            6 => (part(0..2)?, part(2..4)?, part(4..6)?),
            4 if fraction.is_empty() => (part(0..2)?, part(2..4)?, 0),
            2 if fraction.is_empty() && self.iso_time_next => (part(0..2)?, 0, 0),
            _ => return Err(Refusal::Syntax),
        };
        let time = clock(hour, minute, second, fraction_micros(fraction)?)?;
        self.set_time(time)
    }

    fn set_time(&mut self, micros: i64) -> Read<()> {
        self.iso_time_next = false;
        if self.time.replace(micros).is_some() { Err(Refusal::Syntax) } else { Ok(()) }
    }

    fn set_zone(&mut self, zone: Zone) -> Read<()> {
        if self.zone.replace(zone).is_some() { Err(Refusal::Syntax) } else { Ok(()) }
    }

    fn word(&mut self, word: &str, ctx: &TextContext, count: usize) -> Read<Option<Moment>> {
        if let Some(month) = month_of(word) {
            // `8 January 1999`: the number read as a month was the day.
            if let (Some(number), false, None) = (self.month, self.month_is_word, self.day) {
                self.day = Some(number);
                self.month = None;
            }
            self.month_is_word = true;
            return if self.month.replace(month).is_some() { Err(Refusal::Syntax) } else { Ok(None) };
        }
        let special = |moment: Moment| if count == 1 { Ok(Some(moment)) } else { Err(Refusal::Syntax) };
        match word {
            "infinity" | "inf" => return special(Moment::Infinity),
            "epoch" => return special(Moment::Utc(0)),
            "now" => return special(Moment::Utc(ctx.now_micros)),
            "today" => self.set_today(ctx, 0)?,
            "tomorrow" => self.set_today(ctx, 1)?,
            "yesterday" => self.set_today(ctx, -1)?,
            "allballs" => self.set_time(0)?,
            "am" => self.pm = Some(false),
            "pm" => self.pm = Some(true),
            "ad" | "ce" => self.era_seen = true,
            "bc" | "bce" => (self.bc, self.era_seen) = (true, true),
            "t" => self.iso_time_next = true,
            "j" | "jd" | "julian" => self.julian_next = true,
            "at" | "on" => {}
            _ if is_week_day(word) => {}
            _ => return self.zone_word(word, ctx).map(|()| None),
        }
        Ok(None)
    }

    fn zone_word(&mut self, word: &str, ctx: &TextContext) -> Read<()> {
        if matches!(word, "z" | "zulu" | "utc" | "gmt" | "ut") {
            return self.set_zone(Zone::Offset(0));
        }
        match ctx.zones.by_name(word) {
            Some(zone) => self.set_zone(Zone::Named(zone)),
            None if word.contains('/') => Err(Refusal::UnknownZone(word.to_owned())),
            None => Err(Refusal::Syntax),
        }
    }

    fn set_today(&mut self, ctx: &TextContext, shift: i64) -> Read<()> {
        if self.days.is_some() || self.year.is_some() || self.month.is_some() {
            return Err(Refusal::Syntax);
        }
        self.days = Some(local(ctx.now_micros, ctx).div_euclid(MICROS_PER_DAY) + shift);
        Ok(())
    }

    /// Days since 1970-01-01.
    fn days(&self) -> Read<i64> {
        if let Some(days) = self.days {
            return Ok(days);
        }
        let (Some(year), Some(month), Some(day)) = (self.year, self.month, self.day) else {
            return Err(Refusal::Syntax);
        };
        // Years are 32 bits wide in PostgreSQL; what follows would overflow with more.
        if i32::try_from(year).is_err() {
            return Err(Refusal::FieldRange);
        }
        let year = match (self.bc, year) {
            (_, 0) if !self.short_year || self.bc => return Err(Refusal::FieldRange),
            (true, year) => 1 - year,
            (false, year) if self.short_year && !self.era_seen => year + if year < 70 { 2000 } else { 1900 },
            (false, year) => year,
        };
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return Err(Refusal::MonthDayRange);
        }
        if day > days_in_month(year, month) {
            return Err(Refusal::FieldRange);
        }
        Ok(days_from_civil(year, month, day))
    }

    /// The time of day with AM/PM applied.
    fn clock(&self) -> Read<Option<i64>> {
        let (Some(time), Some(pm)) = (self.time, self.pm) else { return Ok(self.time) };
        let hour = time / MICROS_PER_HOUR;
        match (pm, hour) {
            (_, 13..) => Err(Refusal::FieldRange),
            (false, 12) => Ok(Some(time - 12 * MICROS_PER_HOUR)),
            (true, 0..=11) => Ok(Some(time + 12 * MICROS_PER_HOUR)),
            _ => Ok(Some(time)),
        }
    }

    fn local_micros(&self) -> Read<Result<i64>> {
        Ok(join(self.days()?, self.clock()?.unwrap_or(0)))
    }
}

/// `hh:mm`, `hh:mm:ss`, `hh:mm:ss.ffffff`, `mm:ss.ffffff`; no digits after a colon are zero.
fn read_clock(text: &str) -> Read<i64> {
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    let number = |part: &str| if part.is_empty() { Ok(0) } else { part.parse::<i64>().map_err(|_| Refusal::Syntax) };
    let parts = whole.split(':').map(number).collect::<Read<Vec<_>>>()?;
    let (hour, minute, second) = match (parts.as_slice(), fraction) {
        ([minute, second], Some(_)) => (0, *minute, *second),
        ([hour, minute], None) => (*hour, *minute, 0),
        ([hour, minute, second], _) => (*hour, *minute, *second),
        _ => return Err(Refusal::Syntax),
    };
    clock(hour, minute, second, fraction_micros(fraction.unwrap_or_default())?)
}

fn clock(hour: i64, minute: i64, second: i64, micros: i64) -> Read<i64> {
    let valid = (0..=24).contains(&hour) && (0..60).contains(&minute) && (0..=60).contains(&second);
    if !valid || (hour == 24 && (minute > 0 || second > 0 || micros > 0)) {
        return Err(Refusal::FieldRange);
    }
    Ok(hour * MICROS_PER_HOUR + minute * MICROS_PER_MINUTE + second * MICROS_PER_SECOND + micros)
}

/// Microseconds of the digits after a point, rounded half up.
fn fraction_micros(digits: &str) -> Read<i64> {
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Refusal::Syntax);
    }
    let digit = |i: usize| i64::from(digits.as_bytes().get(i).map_or(0, |b| b - b'0'));
    let micros = (0..6).fold(0, |sum, i| sum * 10 + digit(i));
    Ok(micros + i64::from(digit(6) >= 5))
}

/// Seconds east of `+hh`, `-hhmm`, `+hh:mm`, `+hh:mm:ss`.
fn read_offset(text: &str) -> Read<i32> {
    let (sign, body) = match text.as_bytes().first() {
        Some(b'-') => (-1, &text[1..]),
        Some(b'+') => (1, &text[1..]),
        _ => (1, text),
    };
    let number = |part: &str| part.parse::<i32>().map_err(|_| Refusal::Syntax);
    let (hour, minute, second) = if body.contains(':') {
        let mut parts = body.split(':');
        let mut next = || parts.next().map_or(Ok(0), number);
        (next()?, next()?, next()?)
    } else if body.len() > 2 {
        let (hour, minute) = body.split_at(body.len() - 2);
        (number(hour)?, number(minute)?, 0)
    } else {
        (number(body)?, 0, 0)
    };
    // 15:59:59 is the largest displacement PostgreSQL takes.
    if hour > 15 || minute > 59 || second > 59 {
        return Err(Refusal::ZoneRange);
    }
    Ok(sign * (hour * 3600 + minute * 60 + second))
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// 1..=12 for a month's English name or its abbreviation.
pub(super) fn month_of(word: &str) -> Option<u32> {
    if word == "sept" {
        return Some(9);
    }
    let found = MONTHS.iter().position(|name| *name == word || (word.len() == 3 && name.starts_with(word)))?;
    Some(found as u32 + 1)
}

fn is_week_day(word: &str) -> bool {
    const DAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
    matches!(word, "tues" | "weds" | "thur" | "thurs")
        || DAYS.iter().any(|name| *name == word || (word.len() == 3 && name.starts_with(word)))
}
