//! Sizes as people write them.

use heliosdb_types::{Datum, DatumRef, Numeric, Result, TextContext};

use super::super::value::text_of_datum;
use super::T::{Int8, Text};
use super::{Overload, invalid_parameter, wrong_arguments};

pub(super) const FUNCTIONS: &[Overload] = &[("pg_size_bytes", &[Text], Int8, size_bytes)];

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
