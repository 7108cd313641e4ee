//! Sizes as people write them.

use heliosdb_types::{Datum, DatumRef, Numeric, Result, TextContext};

use super::super::value::{int_of, numeric_of, text_of_datum};
use super::T::{Int8, Num, Text};
use super::{Overload, invalid_parameter, wrong_arguments};

pub(super) const FUNCTIONS: &[Overload] = &[
    ("pg_size_bytes", &[Text], Int8, size_bytes),
    ("pg_size_pretty", &[Int8], Text, |args, _| {
        let size = args.first().copied().ok_or_else(|| wrong_arguments("pg_size_pretty")).and_then(int_of)?;
        pretty_size(Numeric::from_i64(size)).map(Datum::Text)
    }),
    ("pg_size_pretty", &[Num], Text, |args, _| {
        let size = args.first().copied().ok_or_else(|| wrong_arguments("pg_size_pretty")).and_then(numeric_of)?;
        pretty_size(size).map(Datum::Text)
    }),
];

const UNITS: [&str; 6] = ["bytes", "kB", "MB", "GB", "TB", "PB"];

/// `1.5 GB` and its like in bytes.
fn size_bytes(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let text = args.first().copied().ok_or_else(|| wrong_arguments("pg_size_bytes")).and_then(text_of_datum)?;
    let invalid = || invalid_parameter(format!("invalid size: \"{text}\""));
    let body = text.trim();
    let end = body.find(|c: char| c.is_ascii_alphabetic() && !matches!(c, 'e' | 'E')).unwrap_or(body.len());
    let (number, unit) = body.split_at(end);
    let number = Numeric::parse(number.trim()).map_err(|_| invalid())?;
    let unit = unit.trim();
    let power = match unit {
        "" | "b" | "B" => 0,
        unit => UNITS.iter().position(|known| known.eq_ignore_ascii_case(unit)).ok_or_else(|| {
            invalid()
                .with_detail(format!("Invalid size unit: \"{unit}\"."))
                .with_hint("Valid units are \"bytes\", \"B\", \"kB\", \"MB\", \"GB\", \"TB\", and \"PB\".")
        })?,
    };
    let bytes = number.mul(&Numeric::from_i64(1i64 << (10 * power)))?;
    bytes.to_i64().map(Datum::Int64).ok_or_else(|| {
        heliosdb_types::Error::invalid(heliosdb_types::SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "bigint out of range")
    })
}

/// The largest unit that leaves at least ten of the next smaller, rounded to nearest.
fn pretty_size(size: Numeric) -> Result<String> {
    let mut size = size;
    let mut unit = 0;
    let mut limit = 10 * 1024;
    while size.abs().compare(&Numeric::from_i64(limit)).is_ge() && unit + 1 < UNITS.len() {
        // One bit more is kept until the last step, so that halves round up once.
        size = size.div_integer(&Numeric::from_i64(if unit == 0 { 1 << 9 } else { 1 << 10 }))?;
        limit = 20 * 1024 - 1;
        unit += 1;
    }
    if unit > 0 {
        let up = Numeric::from_i64(if size.compare(&Numeric::zero()).is_lt() { -1 } else { 1 });
        size = size.add(&up)?.div_integer(&Numeric::from_i64(2))?;
    }
    Ok(format!("{size} {}", UNITS.get(unit).unwrap_or(&"bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_pretty() {
        for (size, pretty) in [
            ("0", "0 bytes"),
            ("8192", "8192 bytes"),
            ("10239", "10239 bytes"),
            ("1000000", "977 kB"),
            ("10485247", "10239 kB"),
            ("10485248", "10 MB"),
            ("1000000000000", "931 GB"),
            ("10239.99", "10239.99 bytes"),
            ("10240.00", "10 kB"),
            ("-10240", "-10 kB"),
            ("12345678.5", "12 MB"),
            ("-1e30", "-888178419700125 PB"),
            ("NaN", "NaN PB"),
            ("Infinity", "Infinity PB"),
            ("9223372036854775807", "8192 PB"),
        ] {
            assert_eq!(pretty_size(Numeric::parse(size).unwrap()).unwrap(), pretty, "{size}");
        }
    }
}
