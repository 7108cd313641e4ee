//! Functions of byte strings. Positions of bits count from the lowest bit of the first byte.

use heliosdb_types::{Datum, DatumRef, Error, Result, SqlState, TextContext};

use super::super::value::int_of;
use super::T::{Bytea, Int4, Int8};
use super::{Overload, wrong_arguments};

pub(super) const FUNCTIONS: &[Overload] = &[
    ("bit_count", &[Bytea], Int8, |a, _| {
        Ok(Datum::Int64(bytes(a, 0)?.iter().map(|b| i64::from(b.count_ones())).sum()))
    }),
    ("substr", &[Bytea, Int4], Bytea, substring),
    ("substr", &[Bytea, Int4, Int4], Bytea, substring),
    ("overlay", &[Bytea, Bytea, Int4], Bytea, overlay),
    ("overlay", &[Bytea, Bytea, Int4, Int4], Bytea, overlay),
    ("position", &[Bytea, Bytea], Int4, position),
    ("btrim", &[Bytea, Bytea], Bytea, |a, _| trim(a, true, true)),
    ("ltrim", &[Bytea, Bytea], Bytea, |a, _| trim(a, true, false)),
    ("rtrim", &[Bytea, Bytea], Bytea, |a, _| trim(a, false, true)),
    ("set_byte", &[Bytea, Int4, Int4], Bytea, set_byte),
    ("get_bit", &[Bytea, Int8], Int4, get_bit),
    ("set_bit", &[Bytea, Int8, Int4], Bytea, set_bit),
];

fn bytes<'a>(args: &[DatumRef<'a>], at: usize) -> Result<&'a [u8]> {
    match args.get(at) {
        Some(DatumRef::Bytes(bytes)) => Ok(bytes),
        _ => Err(wrong_arguments("a function of bytea")),
    }
}

fn number(args: &[DatumRef<'_>], at: usize) -> Result<i64> {
    args.get(at).copied().ok_or_else(|| wrong_arguments("a function of bytea")).and_then(int_of)
}

fn substring(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let value = bytes(args, 0)?;
    let length = if args.len() > 2 { Some(number(args, 2)?) } else { None };
    let (from, to) = super::string::window(number(args, 1)?, length)?;
    Ok(Datum::Bytes(value.get(from.min(value.len())..to.min(value.len())).unwrap_or_default().to_vec()))
}

fn overlay(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let (value, with, start) = (bytes(args, 0)?, bytes(args, 1)?, number(args, 2)?);
    let length = if args.len() > 3 { number(args, 3)? } else { with.len() as i64 };
    if start <= 0 {
        return Err(Error::invalid(SqlState::SUBSTRING_ERROR, "negative substring length not allowed"));
    }
    let head = value.get(..(start as usize - 1).min(value.len())).unwrap_or_default();
    let from = usize::try_from(start.saturating_add(length) - 1).unwrap_or(0).min(value.len());
    Ok(Datum::Bytes([head, with, value.get(from..).unwrap_or_default()].concat()))
}

fn position(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let (value, part) = (bytes(args, 0)?, bytes(args, 1)?);
    let found = if part.is_empty() { Some(0) } else { value.windows(part.len()).position(|window| window == part) };
    Ok(Datum::Int32(found.map_or(0, |at| at as i32 + 1)))
}

fn trim(args: &[DatumRef<'_>], front: bool, back: bool) -> Result<Datum> {
    let (value, set) = (bytes(args, 0)?, bytes(args, 1)?);
    let kept = |byte: &u8| !set.contains(byte);
    let start = if front { value.iter().position(kept).unwrap_or(value.len()) } else { 0 };
    let end = if back { value.iter().rposition(kept).map_or(start, |at| at + 1) } else { value.len() };
    Ok(Datum::Bytes(value.get(start..end.max(start)).unwrap_or_default().to_vec()))
}

fn out_of_range(at: i64, count: usize) -> Error {
    let message = format!("index {at} out of valid range, 0..{}", count as i64 - 1);
    Error::invalid(SqlState(*b"2202E"), message)
}

fn set_byte(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let (mut value, at) = (bytes(args, 0)?.to_vec(), number(args, 1)?);
    let count = value.len();
    let byte = usize::try_from(at).ok().and_then(|at| value.get_mut(at)).ok_or_else(|| out_of_range(at, count))?;
    *byte = number(args, 2)? as u8;
    Ok(Datum::Bytes(value))
}

fn get_bit(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let (value, at) = (bytes(args, 0)?, number(args, 1)?);
    let byte = usize::try_from(at / 8).ok().filter(|_| at >= 0).and_then(|byte| value.get(byte));
    byte.map(|byte| Datum::Int32(i32::from(byte >> (at % 8) & 1))).ok_or_else(|| out_of_range(at, value.len() * 8))
}

fn set_bit(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let (mut value, at, bit) = (bytes(args, 0)?.to_vec(), number(args, 1)?, number(args, 2)?);
    if !(0..=1).contains(&bit) {
        return Err(super::invalid_parameter("new bit must be 0 or 1"));
    }
    let count = value.len() * 8;
    let place = usize::try_from(at / 8).ok().filter(|_| at >= 0);
    let byte = place.and_then(|byte| value.get_mut(byte)).ok_or_else(|| out_of_range(at, count))?;
    let mask = 1u8 << (at % 8);
    *byte = if bit == 1 { *byte | mask } else { *byte & !mask };
    Ok(Datum::Bytes(value))
}
