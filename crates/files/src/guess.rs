//! What type a column of text has: the narrowest every value fits.

use heliosdb_types::SqlType;

/// A type's name, and what fits it.
type Kind = (&'static str, fn(&str) -> bool);

/// From narrow to wide; a value is tested against each until one is left.
const KINDS: [Kind; 9] = [
    ("boolean", is_boolean),
    ("integer", is_integer),
    ("bigint", is_bigint),
    ("numeric", is_numeric),
    ("double precision", is_float),
    ("date", is_date),
    ("timestamp with time zone", is_timestamptz),
    ("timestamp", is_timestamp),
    ("uuid", is_uuid),
];

/// What a column may be, as values are seen.
#[derive(Clone, Debug)]
pub struct Guess {
    possible: [bool; KINDS.len()],
    seen: bool,
    json: bool,
}

impl Default for Guess {
    fn default() -> Guess {
        Guess { possible: [true; KINDS.len()], seen: false, json: false }
    }
}

impl Guess {
    pub fn see(&mut self, value: &str) {
        self.seen = true;
        for (possible, (_, fits)) in self.possible.iter_mut().zip(KINDS) {
            *possible = *possible && fits(value);
        }
    }

    /// A value that can be text only, whatever it looks like.
    pub fn see_text(&mut self) {
        self.seen = true;
        self.possible = [false; KINDS.len()];
    }

    /// An object or an array.
    pub fn see_json(&mut self) {
        self.see_text();
        self.json = true;
    }

    /// The type in SQL. A column without values is text.
    pub fn name(&self) -> &'static str {
        let found = KINDS.iter().zip(self.possible).find(|(_, possible)| self.seen && *possible);
        match found {
            Some(((name, _), _)) => name,
            None if self.json => "jsonb",
            None => "text",
        }
    }
}

/// The type a name of [`Guess::name`] stands for.
pub(crate) fn type_of(name: &str) -> SqlType {
    match name {
        "boolean" => SqlType::Bool,
        "integer" => SqlType::Int4,
        "bigint" => SqlType::Int8,
        "numeric" => SqlType::Numeric(None),
        "double precision" => SqlType::Float8,
        "date" => SqlType::Date,
        "timestamp with time zone" => SqlType::Timestamptz(None),
        "timestamp" => SqlType::Timestamp(None),
        "uuid" => SqlType::Uuid,
        "jsonb" => SqlType::Jsonb,
        _ => SqlType::Text,
    }
}

fn is_boolean(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "true" | "false" | "t" | "f" | "yes" | "no")
}

/// Digits without a leading zero, which would be lost: those are codes, not numbers.
fn digits(value: &str) -> bool {
    let value = value.strip_prefix('-').unwrap_or(value);
    !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) && (value == "0" || !value.starts_with('0'))
}

fn is_integer(value: &str) -> bool {
    digits(value) && value.parse::<i32>().is_ok()
}

fn is_bigint(value: &str) -> bool {
    digits(value) && value.parse::<i64>().is_ok()
}

fn is_numeric(value: &str) -> bool {
    match value.split_once('.') {
        Some((whole, part)) => {
            (digits(whole) || whole == "-0" || whole.is_empty())
                && part.bytes().all(|b| b.is_ascii_digit())
                && !part.is_empty()
        }
        None => digits(value),
    }
}

fn is_float(value: &str) -> bool {
    let plain = value.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
    let leading = value.trim_start_matches('-');
    let code =
        leading.len() > 1 && leading.starts_with('0') && !leading.starts_with("0.") && !leading.starts_with("0e");
    (plain && !code && value.parse::<f64>().is_ok_and(f64::is_finite))
        || matches!(value, "NaN" | "Infinity" | "-Infinity")
}

/// `pattern`: `9` a digit, anything else itself.
fn like(value: &str, pattern: &str) -> bool {
    value.len() == pattern.len()
        && value.bytes().zip(pattern.bytes()).all(|(b, p)| if p == b'9' { b.is_ascii_digit() } else { b == p })
}

fn is_date(value: &str) -> bool {
    let in_range = |from: usize, most: u32| {
        value
            .get(from..from + 2)
            .and_then(|part| part.parse::<u32>().ok())
            .is_some_and(|part| part >= 1 && part <= most)
    };
    like(value, "9999-99-99") && in_range(5, 12) && in_range(8, 31)
}

fn is_timestamp(value: &str) -> bool {
    let Some((date, time)) = value.split_once(['T', ' ']) else { return false };
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let clock_fits = like(clock, "99:99:99") || like(clock, "99:99");
    is_date(date) && clock_fits && !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit())
}

fn is_timestamptz(value: &str) -> bool {
    let zone = value.rfind(['+', '-', 'Z']).filter(|&at| at > 10);
    let Some((local, zone)) = zone.and_then(|at| value.split_at_checked(at)) else { return false };
    let offset = zone.get(1..).unwrap_or_default();
    is_timestamp(local) && (zone == "Z" || ["99", "99:99", "9999"].iter().any(|pattern| like(offset, pattern)))
}

fn is_uuid(value: &str) -> bool {
    value.len() == 36
        && value.bytes().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_type_that_holds_all() {
        for (values, name) in [
            (&["1", "-5", "0"][..], "integer"),
            (&["1", "3000000000"], "bigint"),
            (&["1", "2.50", "-0.5", ".5"], "numeric"),
            (&["1", "99999999999999999999"], "numeric"),
            (&["1", "2e5", "NaN"], "double precision"),
            (&["007", "1"], "text"),
            (&["true", "f"], "boolean"),
            (&["2024-02-29", "1999-12-31"], "date"),
            (&["2024-02-29", "2024-13-01"], "text"),
            (&["2024-02-29 12:00:00", "2024-02-29T12:00:00.123"], "timestamp"),
            (&["2024-02-29T12:00:00Z", "2024-02-29 12:00:00.5+02:00"], "timestamp with time zone"),
            (&["2024-02-29", "2024-02-29 12:00:00"], "text"),
            (&["6ba7b810-9dad-11d1-80b4-00c04fd430c8"], "uuid"),
            (&["1", "x"], "text"),
            (&[], "text"),
        ] {
            let mut guess = Guess::default();
            values.iter().for_each(|value| guess.see(value));
            assert_eq!(guess.name(), name, "{values:?}");
        }
    }
}
