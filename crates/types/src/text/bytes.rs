//! bytea and uuid as text.

use super::number::invalid_syntax;
use crate::{Error, Result, SqlState};

const HEX: &[u8; 16] = b"0123456789abcdef";

fn put_hex(byte: u8, out: &mut String) {
    out.push(char::from(HEX[usize::from(byte >> 4)]));
    out.push(char::from(HEX[usize::from(byte & 15)]));
}

pub(super) fn write_bytea(bytes: &[u8], out: &mut String) {
    out.reserve(2 + 2 * bytes.len());
    out.push_str("\\x");
    bytes.iter().for_each(|&byte| put_hex(byte, out));
}

pub(super) fn write_uuid(bytes: &[u8; 16], out: &mut String) {
    for (i, &byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        put_hex(byte, out);
    }
}

fn hex_digit(c: char) -> Option<u8> {
    c.to_digit(16).map(|digit| digit as u8)
}

/// Hex (`\x0aff`, white space between pairs) or escape format (`a\000b\\`).
pub(super) fn parse_bytea(text: &str) -> Result<Vec<u8>> {
    match text.strip_prefix("\\x") {
        Some(hex) => parse_hex(hex),
        None => parse_escape(text),
    }
}

fn parse_hex(hex: &str) -> Result<Vec<u8>> {
    let odd = || Error::invalid(SqlState::INVALID_PARAMETER_VALUE, "invalid hexadecimal data: odd number of digits");
    let digit = |c: char| {
        let invalid =
            || Error::invalid(SqlState::INVALID_PARAMETER_VALUE, format!("invalid hexadecimal digit: \"{c}\""));
        hex_digit(c).ok_or_else(invalid)
    };
    let mut out = Vec::with_capacity(hex.len() / 2);
    let mut chars = hex.chars();
    while let Some(c) = chars.next() {
        if matches!(c, ' ' | '\n' | '\t' | '\r') {
            continue;
        }
        let high = digit(c)?;
        let low = digit(chars.next().ok_or_else(odd)?)?;
        out.push(high << 4 | low);
    }
    Ok(out)
}

fn parse_escape(text: &str) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte != b'\\' {
            out.push(byte);
            rest = tail;
            continue;
        }
        match tail {
            [b'\\', after @ ..] => {
                out.push(b'\\');
                rest = after;
            }
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                return Err(Error::invalid(
                    SqlState::INVALID_TEXT_REPRESENTATION,
                    "invalid input syntax for type bytea",
                ));
            }
        }
    }
    Ok(out)
}

/// 32 hex digits, hyphens allowed after every four, braces allowed around.
pub(super) fn parse_uuid(text: &str) -> Result<[u8; 16]> {
    let invalid = || invalid_syntax("uuid", text);
    let body = match text.strip_prefix('{') {
        Some(inner) => inner.strip_suffix('}').ok_or_else(invalid)?,
        None => text,
    };
    let mut out = [0u8; 16];
    let mut digits = 0;
    let mut hyphen_ok = false;
    for c in body.chars() {
        if c == '-' {
            if !hyphen_ok {
                return Err(invalid());
            }
            hyphen_ok = false;
            continue;
        }
        let digit = hex_digit(c).ok_or_else(invalid)?;
        let byte = out.get_mut(digits / 2).ok_or_else(invalid)?;
        *byte = *byte << 4 | digit;
        digits += 1;
        hyphen_ok = digits % 4 == 0 && digits < 32;
    }
    if digits == 32 && !body.ends_with('-') { Ok(out) } else { Err(invalid()) }
}
