//! `to_char`: dates, times, intervals and numbers by template.

use heliosdb_types::datetime::{
    CivilTime, DateField, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, days_from_civil, extract_timestamp,
    is_finite_timestamp, timestamptz_to_timestamp,
};
use heliosdb_types::{Datum, DatumRef, Error, Result, TextContext};

use super::super::value::text_of_datum;
use super::{invalid_parameter, wrong_arguments};

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(super) const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const ROMAN: [&str; 12] = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];

/// One piece of a date template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    /// A keyword as written (its case matters for names), with FM before it and TH after it.
    Key {
        key: &'static str,
        written: String,
        fill: bool,
        ordinal: Option<bool>,
    },
    Literal(String),
}

/// Keywords, longest first where one begins another.
const KEYS: [&str; 52] = [
    "SSSSS", "SSSS", "IYYY", "YYYY", "Y,YYY", "MONTH", "HH24", "HH12", "IDDD", "A.M.", "P.M.", "A.D.", "B.C.", "IYY",
    "YYY", "DAY", "MON", "DDD", "TZH", "TZM", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6", "HH", "MI", "MM", "MS", "SS",
    "US", "IY", "YY", "DY", "DD", "ID", "IW", "WW", "CC", "AM", "PM", "AD", "BC", "RM", "TZ", "OF", "I", "Y", "D", "W",
    "Q",
];

pub(super) fn pieces(template: &str) -> Result<Vec<Piece>> {
    let mut out: Vec<Piece> = Vec::new();
    let mut rest = template;
    let mut fill = true;
    let literal = |out: &mut Vec<Piece>, c: char| match out.last_mut() {
        Some(Piece::Literal(text)) => text.push(c),
        _ => out.push(Piece::Literal(c.to_string())),
    };
    while let Some(c) = rest.chars().next() {
        let starts = |key: &str| rest.get(..key.len()).is_some_and(|head| head.eq_ignore_ascii_case(key));
        if starts("FM") {
            (fill, rest) = (false, &rest[2..]);
            continue;
        }
        if starts("FX") || starts("TM") {
            return Err(Error::unsupported(format!("template modifier {}", &rest[..2])));
        }
        if c == '"' {
            rest = &rest[1..];
            while let Some(c) = rest.chars().next() {
                rest = &rest[c.len_utf8()..];
                match c {
                    '"' => break,
                    '\\' => {
                        if let Some(escaped) = rest.chars().next() {
                            rest = &rest[escaped.len_utf8()..];
                            literal(&mut out, escaped);
                        }
                    }
                    c => literal(&mut out, c),
                }
            }
            continue;
        }
        let found = KEYS.iter().copied().chain(["J"]).find(|key| starts(key));
        match found {
            Some(key) => {
                let (written, tail) = rest.split_at(key.len());
                let ordinal = tail.get(..2).filter(|th| th.eq_ignore_ascii_case("th")).map(|th| th.starts_with('T'));
                rest = if ordinal.is_some() { &tail[2..] } else { tail };
                out.push(Piece::Key { key, written: written.to_owned(), fill, ordinal });
                fill = true;
            }
            None => {
                rest = &rest[c.len_utf8()..];
                literal(&mut out, c);
            }
        }
    }
    Ok(out)
}

/// What the keywords read.
struct Moment {
    civil: CivilTime,
    /// Microseconds since 1970 for calendar fields; `None` for an interval.
    local: Option<i64>,
    /// Hours of an interval are not limited to a day.
    hours: i64,
    /// -1 for the months, the days, the time of an interval that counts backwards.
    signs: [i64; 3],
    offset: Option<(i32, String)>,
}

pub(super) fn moment(args: &[DatumRef<'_>], context: &TextContext) -> Result<Datum> {
    let [value, template] = args else { return Err(wrong_arguments("to_char")) };
    let template = text_of_datum(*template)?;
    if template.is_empty() {
        return Ok(Datum::Null);
    }
    let moment = match value {
        DatumRef::Timestamp(v) | DatumRef::TimestampTz(v) if !is_finite_timestamp(*v) => return Ok(Datum::Null),
        DatumRef::Timestamp(v) => of_local(*v, None),
        DatumRef::TimestampTz(v) => {
            let zone = context.time_zone.as_ref();
            let offset = zone.offset_at_utc(*v);
            of_local(timestamptz_to_timestamp(*v, zone)?, Some((offset, zone.name().to_owned())))
        }
        DatumRef::Interval(v) => {
            let micros = v.micros;
            let civil = CivilTime {
                year: i64::from(v.months / 12),
                month: (v.months % 12).unsigned_abs(),
                day: v.days.unsigned_abs(),
                hour: 0,
                minute: (micros / MICROS_PER_MINUTE % 60).unsigned_abs() as u32,
                second: (micros / MICROS_PER_SECOND % 60).unsigned_abs() as u32,
                micros: (micros % MICROS_PER_SECOND).unsigned_abs() as u32,
            };
            let sign = |negative: bool| if negative { -1 } else { 1 };
            let signs = [sign(v.months < 0), sign(v.days < 0), sign(micros < 0)];
            Moment { civil, local: None, hours: micros / MICROS_PER_HOUR, signs, offset: None }
        }
        _ => return Err(wrong_arguments("to_char")),
    };
    let mut out = String::new();
    for piece in pieces(template)? {
        match piece {
            Piece::Literal(text) => out.push_str(&text),
            Piece::Key { key, written, fill, ordinal } => put(&moment, key, &written, fill, ordinal, &mut out)?,
        }
    }
    Ok(Datum::Text(out))
}

/// What `timeofday()` shows of a moment.
pub fn time_of_day(micros: i64, context: &TextContext) -> Result<Datum> {
    moment(&[DatumRef::TimestampTz(micros), DatumRef::Text("Dy Mon DD HH24:MI:SS.US YYYY TZ")], context)
}

fn of_local(local: i64, offset: Option<(i32, String)>) -> Moment {
    let civil = CivilTime::from_micros(local);
    Moment { civil, local: Some(local), hours: i64::from(civil.hour), signs: [1; 3], offset }
}

/// A calendar field of a date; intervals have none.
fn field(moment: &Moment, field: DateField) -> Result<i64> {
    let local = moment.local.ok_or_else(|| {
        invalid_parameter("invalid format specification for an interval value")
            .with_hint("Intervals are not tied to specific calendar dates.")
    })?;
    let value = extract_timestamp(field, local)?;
    Ok(value.to_f64().unwrap_or(0.0) as i64)
}

fn put(moment: &Moment, key: &str, written: &str, fill: bool, ordinal: Option<bool>, out: &mut String) -> Result<()> {
    let civil = &moment.civil;
    let [months, days, time] = moment.signs;
    let year = if moment.local.is_some() && civil.year <= 0 { 1 - civil.year } else { civil.year };
    let mut numeric = |value: i64, width: usize| {
        let width = if fill { width + usize::from(value < 0) } else { 0 };
        out.push_str(&format!("{value:0width$}"));
        if let Some(upper) = ordinal {
            out.push_str(&ordinal_suffix(value, upper));
        }
    };
    let twelve = match moment.hours % 12 {
        0 => 12,
        hour => hour,
    };
    match key {
        "HH" | "HH12" => numeric(twelve, 2),
        "HH24" => numeric(moment.hours, 2),
        "MI" => numeric(time * i64::from(civil.minute), 2),
        "SS" => numeric(time * i64::from(civil.second), 2),
        "MS" => numeric(time * i64::from(civil.micros / 1000), 3),
        "US" => numeric(time * i64::from(civil.micros), 6),
        "FF1" | "FF2" | "FF3" | "FF4" | "FF5" | "FF6" => {
            let digits = usize::from(key.as_bytes()[2] - b'0');
            numeric(i64::from(civil.micros) / 10i64.pow(6 - digits as u32), digits);
        }
        "SSSS" | "SSSSS" => {
            numeric(moment.hours * 3600 + time * (i64::from(civil.minute) * 60 + i64::from(civil.second)), 0)
        }
        "YYYY" => numeric(year, 4),
        "YYY" => numeric(year % 1000, 3),
        "YY" => numeric(year % 100, 2),
        "Y" => numeric(year % 10, 1),
        "Y,YYY" => out.push_str(&format!("{},{:03}", year / 1000, year % 1000)),
        "IYYY" => numeric(field(moment, DateField::IsoYear)?.abs(), 4),
        "IYY" => numeric(field(moment, DateField::IsoYear)?.abs() % 1000, 3),
        "IY" => numeric(field(moment, DateField::IsoYear)?.abs() % 100, 2),
        "I" => numeric(field(moment, DateField::IsoYear)?.abs() % 10, 1),
        "MM" => numeric(months * i64::from(civil.month), 2),
        // The one field whose sign takes the place of a digit.
        "DD" => numeric(days * i64::from(civil.day), if days < 0 { 1 } else { 2 }),
        "DDD" => numeric(field(moment, DateField::Doy)?, 3),
        "IDDD" => numeric((field(moment, DateField::Week)? - 1) * 7 + field(moment, DateField::IsoDow)?, 3),
        "D" => numeric(field(moment, DateField::Dow)? + 1, 1),
        "ID" => numeric(field(moment, DateField::IsoDow)?, 1),
        "W" => numeric((i64::from(civil.day) - 1) / 7 + 1, 1),
        "WW" => numeric((field(moment, DateField::Doy)? - 1) / 7 + 1, 2),
        "IW" => numeric(field(moment, DateField::Week)?, 2),
        "CC" => numeric(field(moment, DateField::Century)?, 2),
        "Q" => numeric(field(moment, DateField::Quarter)?, 1),
        // The day's number, whatever the time: 1970-01-01 is 2440588.
        "J" if moment.local.is_none() => numeric(field(moment, DateField::Julian)?, 0),
        "J" => numeric(days_from_civil(civil.year, civil.month, civil.day) + 2_440_588, 0),
        _ => out.push_str(&word(moment, key, written, fill)?),
    }
    Ok(())
}

fn word(moment: &Moment, key: &str, written: &str, fill: bool) -> Result<String> {
    let lower = written.starts_with(|c: char| c.is_ascii_lowercase());
    let cased = |name: &str, width: usize| {
        let second_upper = written.chars().nth(1).is_some_and(|c| c.is_ascii_uppercase());
        let name = match (lower, second_upper) {
            (true, _) => name.to_lowercase(),
            (false, true) => name.to_uppercase(),
            (false, false) => name.to_owned(),
        };
        if fill { format!("{name:width$}") } else { name }
    };
    let month = || -> Result<usize> {
        if moment.local.is_none() {
            return Err(invalid_parameter("invalid format specification for an interval value")
                .with_hint("Intervals are not tied to specific calendar dates."));
        }
        Ok(moment.civil.month as usize - 1)
    };
    let either = |upper: &str| if lower { upper.to_lowercase() } else { upper.to_owned() };
    let afternoon = moment.hours % 24 >= 12;
    Ok(match key {
        "MONTH" => cased(MONTHS[month()?], 9),
        "MON" => cased(&MONTHS[month()?][..3], 0),
        "DAY" => cased(DAYS[field(moment, DateField::Dow)? as usize], 9),
        "DY" => cased(&DAYS[field(moment, DateField::Dow)? as usize][..3], 0),
        "RM" => either(&if fill { format!("{:4}", ROMAN[month()?]) } else { ROMAN[month()?].to_owned() }),
        "AM" | "PM" => either(if afternoon { "PM" } else { "AM" }),
        "A.M." | "P.M." => either(if afternoon { "P.M." } else { "A.M." }),
        "AD" | "BC" => either(if moment.civil.year <= 0 { "BC" } else { "AD" }),
        "A.D." | "B.C." => either(if moment.civil.year <= 0 { "B.C." } else { "A.D." }),
        "TZ" => moment.offset.as_ref().map(|(_, name)| either(name)).unwrap_or_default(),
        "OF" | "TZH" | "TZM" => {
            let (offset, _) = moment.offset.clone().unwrap_or_default();
            let (sign, seconds) = (if offset < 0 { '-' } else { '+' }, offset.unsigned_abs());
            match key {
                "TZH" => format!("{sign}{:02}", seconds / 3600),
                "TZM" => format!("{:02}", seconds / 60 % 60),
                _ if seconds % 3600 == 0 => format!("{sign}{:02}", seconds / 3600),
                _ => format!("{sign}{:02}:{:02}", seconds / 3600, seconds / 60 % 60),
            }
        }
        other => return Err(Error::internal(format!("no template keyword {other}"))),
    })
}

fn ordinal_suffix(value: i64, upper: bool) -> String {
    let suffix = match (value.abs() % 100, value.abs() % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    if upper { suffix.to_uppercase() } else { suffix.to_owned() }
}
