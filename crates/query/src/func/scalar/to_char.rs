//! `to_char`: dates, times, intervals and numbers by template.

use heliosdb_types::datetime::{
    CivilTime, DateField, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, extract_timestamp,
    is_finite_timestamp, timestamptz_to_timestamp,
};
use heliosdb_types::{Datum, DatumRef, Error, Numeric, Result, SqlState, TextContext};

use super::super::value::{numeric_of, text_of_datum};
use super::T::{F8, Int4, Int8, Num, Text};
use super::{Overload, invalid_parameter, wrong_arguments};

pub(super) const NUMBERS: &[Overload] = &[
    ("to_char", &[Int4, Text], Text, number),
    ("to_char", &[Int8, Text], Text, number),
    ("to_char", &[Num, Text], Text, number),
    ("to_char", &[F8, Text], Text, number),
    ("to_number", &[Text, Text], Num, to_number),
];

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
        "J" => numeric(field(moment, DateField::Julian)?, 0),
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

/// How a number template says the sign.
#[derive(Clone, Copy, PartialEq)]
enum Sign {
    /// A minus (or blank) right before the number.
    Anchored,
    /// S, MI, PL, SG, PR stand where they are written.
    Placed,
}

fn number(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let [value, template] = args else { return Err(wrong_arguments("to_char")) };
    let template = text_of_datum(*template)?;
    let upper = template.to_ascii_uppercase();
    // What stands in quotes is no keyword.
    if upper.contains("RN") && !template.contains('"') {
        let numeral = roman(roman_number(*value)?, upper.contains("FM"), !template.contains("RN"));
        return Ok(Datum::Text(numeral));
    }
    format_any(&numeric_of(*value)?, template).map(Datum::Text)
}

/// What is written in Roman numerals: a float to the nearest even, anything else as an integer, which it has to be.
fn roman_number(value: DatumRef<'_>) -> Result<i64> {
    if let DatumRef::Float64(float) = value {
        return Ok(if float.is_nan() { 0 } else { float.round_ties_even() as i64 });
    }
    let value = numeric_of(value)?;
    if !value.is_finite() {
        let word = if value.is_nan() { "NaN" } else { "infinity" };
        let message = format!("cannot convert {word} to integer");
        return Err(Error::invalid(SqlState::FEATURE_NOT_SUPPORTED, message));
    }
    let out_of_range = || Error::invalid(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "integer out of range");
    value.round(0)?.to_i64().filter(|number| i32::try_from(*number).is_ok()).ok_or_else(out_of_range)
}

/// EEEE and V make another kind of number of the template.
fn format_any(value: &Numeric, template: &str) -> Result<String> {
    let upper = template.to_ascii_uppercase();
    // What stands in quotes is no keyword.
    if template.contains('"') {
        return format_number(value, template);
    }
    if let Some(at) = upper.find("EEEE") {
        return scientific(value, &upper[..at]);
    }
    match upper.find('V') {
        Some(at) => {
            // Digits after V multiply by powers of ten.
            let (whole, rest) = (&template[..at], &template[at + 1..]);
            let places = rest.chars().filter(|c| matches!(c, '0' | '9')).count();
            let factor = Numeric::parse(&format!("1e{places}"))?;
            format_number(&value.mul(&factor)?.round(0)?, &format!("{whole}{rest}"))
        }
        None => format_number(value, template),
    }
}

/// 1 to 3999 in fifteen places; `#` beyond.
fn roman(number: i64, trimmed: bool, lower: bool) -> String {
    const NUMERALS: [(i64, &str); 13] = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    if !(1..=3999).contains(&number) {
        return "#".repeat(15);
    }
    let mut number = number;
    let mut out = String::new();
    for (worth, numeral) in NUMERALS {
        while number >= worth {
            out.push_str(numeral);
            number -= worth;
        }
    }
    if lower {
        out.make_ascii_lowercase();
    }
    if trimmed { out } else { format!("{out:>15}") }
}

/// `9.99EEEE`: one digit before the point, as many after it as the template has.
fn scientific(value: &Numeric, template: &str) -> Result<String> {
    let places = template.split_once(['.', 'D']).map_or(0, |(_, after)| after.matches(['9', '0']).count());
    let whole = template.split(['.', 'D']).next().unwrap_or("").matches(['9', '0']).count();
    let fill = if template.contains("FM") { "" } else { " " };
    if !value.is_finite() {
        return Ok(format!(
            "{fill}{}{}",
            "#".repeat(whole.max(1)),
            if places > 0 { format!(".{}", "#".repeat(places)) } else { String::new() }
        ));
    }
    let float = value.to_f64()?;
    let text = format!("{float:.places$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    let lead = if float < 0.0 { "" } else { fill };
    Ok(format!("{lead}{mantissa}e{sign}{:02}", exponent.unsigned_abs()))
}

/// A number template's tokens.
enum Token {
    Digit { zero: bool },
    Point,
    Comma,
    SignMark(&'static str),
    Ordinal(bool),
    Literal(char),
}

fn number_tokens(template: &str) -> Result<(Vec<Token>, bool)> {
    let mut tokens = Vec::new();
    let (mut rest, mut fill) = (template, true);
    while let Some(c) = rest.chars().next() {
        let starts = |key: &str| rest.get(..key.len()).is_some_and(|head| head.eq_ignore_ascii_case(key));
        if let Some(key) = ["EEEE", "RN"].iter().find(|key| starts(key)) {
            return Err(Error::unsupported(format!("to_char template {key}")));
        }
        if starts("FM") {
            (fill, rest) = (false, &rest[2..]);
        } else if let Some(mark) = ["MI", "PL", "SG", "PR"].into_iter().find(|mark| starts(mark)) {
            tokens.push(Token::SignMark(mark));
            rest = &rest[2..];
        } else if starts("TH") {
            tokens.push(Token::Ordinal(rest.starts_with('T')));
            rest = &rest[2..];
        } else {
            rest = &rest[c.len_utf8()..];
            match c {
                '9' => tokens.push(Token::Digit { zero: false }),
                '0' => tokens.push(Token::Digit { zero: true }),
                '.' | 'D' | 'd' => tokens.push(Token::Point),
                ',' | 'G' | 'g' => tokens.push(Token::Comma),
                'S' | 's' => tokens.push(Token::SignMark("S")),
                'V' | 'v' => return Err(Error::unsupported("to_char template V")),
                'L' | 'l' => tokens.push(Token::Literal(' ')),
                // Blanks for a whole part of zero: what 9 does anyway.
                'B' | 'b' => {}
                '"' => {
                    while let Some(c) = rest.chars().next() {
                        rest = &rest[c.len_utf8()..];
                        if c == '"' {
                            break;
                        }
                        tokens.push(Token::Literal(c));
                    }
                }
                c => tokens.push(Token::Literal(c)),
            }
        }
    }
    Ok((tokens, fill))
}

fn format_number(value: &Numeric, template: &str) -> Result<String> {
    let (tokens, fill) = number_tokens(template)?;
    let point = tokens.iter().position(|token| matches!(token, Token::Point)).unwrap_or(tokens.len());
    let digits = |tokens: &[Token]| tokens.iter().filter(|token| matches!(token, Token::Digit { .. })).count();
    let (whole_places, places) = (digits(&tokens[..point]), digits(&tokens[point..]));
    let rounded = value.round(places as i32)?;
    let negative = rounded.signum() < 0;
    let text = rounded.abs().to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let whole = if whole == "0" { "" } else { whole };
    let overflows = !rounded.is_finite() || whole.len() > whole_places;
    let sign = if tokens.iter().any(|token| matches!(token, Token::SignMark(mark) if *mark != "PL")) {
        Sign::Placed
    } else {
        Sign::Anchored
    };
    // From the first 0 of the template on, every place is shown.
    let first_zero = tokens[..point]
        .iter()
        .filter(|t| matches!(t, Token::Digit { .. }))
        .position(|t| matches!(t, Token::Digit { zero: true }));
    let significant = whole_places - whole.len().min(whole_places);
    // A lone zero is shown where no fraction follows.
    let first_shown = match first_zero {
        Some(zero) => zero.min(significant),
        None if whole.is_empty() && places == 0 && whole_places > 0 => whole_places - 1,
        None => significant,
    };
    let last_zero = tokens[point..]
        .iter()
        .filter(|t| matches!(t, Token::Digit { .. }))
        .enumerate()
        .filter(|(_, t)| matches!(t, Token::Digit { zero: true }))
        .map(|(i, _)| i + 1)
        .last()
        .unwrap_or(0);
    let kept_fraction = if fill { places } else { fraction.trim_end_matches('0').len().max(last_zero) };
    let mut out = String::new();
    let (mut place, mut signed, mut past_point) = (0, sign == Sign::Placed, false);
    let put_sign = |out: &mut String, signed: &mut bool| {
        if !*signed {
            if negative {
                out.push('-');
            } else if fill {
                out.push(' ');
            }
            *signed = true;
        }
    };
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Digit { .. } if !past_point => {
                if place < first_shown && !overflows {
                    if fill {
                        out.push(' ');
                    }
                } else {
                    put_sign(&mut out, &mut signed);
                    let digit = (place.checked_sub(significant))
                        .and_then(|i| whole.as_bytes().get(i))
                        .map_or('0', |b| char::from(*b));
                    out.push(if overflows { '#' } else { digit });
                }
                place += 1;
            }
            Token::Digit { .. } => {
                put_sign(&mut out, &mut signed);
                let index = place - whole_places;
                if overflows {
                    out.push('#');
                } else if index < kept_fraction {
                    out.push(fraction.as_bytes().get(index).map_or('0', |b| char::from(*b)));
                }
                place += 1;
            }
            Token::Point => {
                put_sign(&mut out, &mut signed);
                // Without blanks to fill, a number below one keeps its zero if nothing follows the point.
                if !fill && whole.is_empty() && first_shown >= whole_places && kept_fraction == 0 && whole_places > 0 {
                    out.push('0');
                }
                // A point that nothing follows is not shown.
                if places > 0 {
                    out.push('.');
                }
                past_point = true;
            }
            Token::Comma => {
                if place > first_shown || overflows {
                    out.push(',');
                } else if fill {
                    out.push(' ');
                }
            }
            Token::SignMark(mark) => put_mark(mark, negative, fill, at, &mut out),
            Token::Ordinal(upper) => {
                if !negative && !overflows && places == 0 {
                    out.push_str(&ordinal_suffix(rounded.to_i64().unwrap_or(0), *upper));
                }
            }
            Token::Literal(c) => out.push(*c),
        }
    }
    if tokens.iter().any(|t| matches!(t, Token::SignMark("PR"))) {
        out = bracketed(&out, negative, fill);
    } else if tokens.iter().any(|t| matches!(t, Token::SignMark("S"))) {
        out = leading_sign_moved(out);
    }
    Ok(out)
}

fn put_mark(mark: &str, negative: bool, fill: bool, _at: usize, out: &mut String) {
    match (mark, negative) {
        ("S" | "SG", true) | ("MI", true) => out.push('-'),
        ("S" | "SG", false) | ("PL", false) => out.push('+'),
        ("MI", false) | ("PL", true) if fill => out.push(' '),
        _ => {}
    }
}

/// A leading S stands right before the first digit, not before the blanks.
fn leading_sign_moved(text: String) -> String {
    let sign = match text.chars().next() {
        Some(sign @ ('+' | '-')) => sign,
        _ => return text,
    };
    let rest = &text[1..];
    let blanks = rest.len() - rest.trim_start_matches(' ').len();
    format!("{}{sign}{}", &rest[..blanks], &rest[blanks..])
}

fn bracketed(text: &str, negative: bool, fill: bool) -> String {
    let body = text.trim_start_matches(' ');
    let blanks = text.len() - body.len();
    match (negative, fill) {
        (true, _) => format!("{}<{body}>", " ".repeat(blanks)),
        (false, true) => format!("{} {body} ", " ".repeat(blanks)),
        (false, false) => body.to_owned(),
    }
}

/// `to_number`: the digits of the text; what the template's other characters stand for is skipped.
fn to_number(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let [text, template] = args else { return Err(wrong_arguments("to_number")) };
    let (text, template) = (text_of_datum(*text)?, text_of_datum(*template)?);
    let (tokens, _) = number_tokens(template)?;
    let negative =
        text.contains('-') || (text.contains('<') && tokens.iter().any(|t| matches!(t, Token::SignMark("PR"))));
    let places = tokens.iter().filter(|t| matches!(t, Token::Digit { .. })).count();
    let mut digits = String::new();
    let (mut taken, mut point) = (0, false);
    for c in text.chars() {
        match c {
            '0'..='9' if taken < places => {
                digits.push(c);
                taken += 1;
            }
            '.' if !point && tokens.iter().any(|t| matches!(t, Token::Point)) => {
                digits.push('.');
                point = true;
            }
            '0'..='9' | '.' => break,
            _ => {}
        }
    }
    let number = Numeric::parse(if digits.is_empty() { text } else { &digits })?;
    Ok(Datum::Numeric(if negative { number.neg() } else { number }))
}
