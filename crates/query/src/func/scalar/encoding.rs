//! Bytes to text and back, digests.

use base64::Engine;
use heliosdb_types::{Datum, DatumRef, Result, SqlType, TextContext, parse_text, text_of};
use sha2::Digest;

use super::super::value::{int_of, text_of_datum};
use super::T::{Bytea, Int4, Text};
use super::{Overload, invalid_parameter, wrong_arguments};

pub(super) const FUNCTIONS: &[Overload] = &[
    ("encode", &[Bytea, Text], Text, encode),
    ("decode", &[Text, Text], Bytea, decode),
    ("sha224", &[Bytea], Bytea, |a, _| Ok(Datum::Bytes(sha2::Sha224::digest(bytes(a)?).to_vec()))),
    ("sha256", &[Bytea], Bytea, |a, _| Ok(Datum::Bytes(sha2::Sha256::digest(bytes(a)?).to_vec()))),
    ("sha384", &[Bytea], Bytea, |a, _| Ok(Datum::Bytes(sha2::Sha384::digest(bytes(a)?).to_vec()))),
    ("sha512", &[Bytea], Bytea, |a, _| Ok(Datum::Bytes(sha2::Sha512::digest(bytes(a)?).to_vec()))),
    ("get_byte", &[Bytea, Int4], Int4, get_byte),
    ("convert_to", &[Text, Text], Bytea, convert_to),
    ("convert_from", &[Bytea, Text], Text, convert_from),
];

fn bytes<'a>(args: &[DatumRef<'a>]) -> Result<&'a [u8]> {
    match args.first() {
        Some(DatumRef::Bytes(bytes)) => Ok(bytes),
        _ => Err(wrong_arguments("a function of bytea")),
    }
}

fn second<'a>(args: &[DatumRef<'a>]) -> Result<&'a str> {
    args.get(1).copied().ok_or_else(|| wrong_arguments("a function of bytea")).and_then(text_of_datum)
}

fn encode(args: &[DatumRef<'_>], context: &TextContext) -> Result<Datum> {
    let value = bytes(args)?;
    let format = second(args)?;
    Ok(Datum::Text(match format.to_ascii_lowercase().as_str() {
        "hex" => text_of(DatumRef::Bytes(value), &SqlType::Bytea, context)[2..].to_owned(),
        "base64" => {
            // Lines of 76 characters, as MIME has them.
            let text = base64::engine::general_purpose::STANDARD.encode(value);
            let lines: Vec<&str> =
                text.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap_or_default()).collect();
            lines.join("\n")
        }
        "escape" => {
            let mut out = String::new();
            for &byte in value {
                match byte {
                    b'\\' => out.push_str("\\\\"),
                    0 | 0x80.. => out.push_str(&format!("\\{byte:03o}")),
                    _ => out.push(char::from(byte)),
                }
            }
            out
        }
        _ => return Err(invalid_parameter(format!("unrecognized encoding: \"{format}\""))),
    }))
}

fn decode(args: &[DatumRef<'_>], context: &TextContext) -> Result<Datum> {
    let text = args.first().copied().ok_or_else(|| wrong_arguments("decode")).and_then(text_of_datum)?;
    let format = second(args)?;
    match format.to_ascii_lowercase().as_str() {
        "hex" => parse_text(&SqlType::Bytea, &format!("\\x{text}"), context),
        "base64" => {
            let body: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            let decoded = base64::engine::general_purpose::STANDARD.decode(body);
            decoded.map(Datum::Bytes).map_err(|_| invalid_parameter("invalid base64 end sequence"))
        }
        "escape" if text.starts_with("\\x") => Err(invalid_parameter("invalid input syntax for type bytea")),
        "escape" => parse_text(&SqlType::Bytea, text, context),
        _ => Err(invalid_parameter(format!("unrecognized encoding: \"{format}\""))),
    }
}

fn get_byte(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let value = bytes(args)?;
    let at = args.get(1).copied().map(int_of).transpose()?.unwrap_or(-1);
    let byte = usize::try_from(at).ok().and_then(|at| value.get(at));
    byte.map(|byte| Datum::Int32(i32::from(*byte))).ok_or_else(|| {
        let message = format!("index {at} out of valid range, 0..{}", value.len() as i64 - 1);
        heliosdb_types::Error::invalid(heliosdb_types::SqlState(*b"2202E"), message)
    })
}

fn is_utf8(name: &str) -> bool {
    matches!(name.to_ascii_lowercase().as_str(), "utf8" | "utf-8" | "unicode")
}

fn is_latin1(name: &str) -> bool {
    matches!(name.to_ascii_lowercase().as_str(), "latin1" | "iso-8859-1" | "iso88591" | "iso_8859_1")
}

fn convert_to(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let text = args.first().copied().ok_or_else(|| wrong_arguments("convert_to")).and_then(text_of_datum)?;
    if is_latin1(second(args)?) {
        let byte = |c: char| {
            u8::try_from(u32::from(c)).map_err(|_| {
                let message =
                    "character with byte sequence in encoding \"UTF8\" has no equivalent in encoding \"LATIN1\"";
                heliosdb_types::Error::invalid(heliosdb_types::SqlState::UNTRANSLATABLE_CHARACTER, message)
            })
        };
        return text.chars().map(byte).collect::<Result<Vec<u8>>>().map(Datum::Bytes);
    }
    if !is_utf8(second(args)?) {
        return Err(heliosdb_types::Error::unsupported("an encoding other than UTF8 and LATIN1"));
    }
    Ok(Datum::Bytes(text.as_bytes().to_vec()))
}

fn convert_from(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    if is_latin1(second(args)?) {
        return Ok(Datum::Text(bytes(args)?.iter().map(|byte| char::from(*byte)).collect()));
    }
    if !is_utf8(second(args)?) {
        return Err(heliosdb_types::Error::unsupported("an encoding other than UTF8 and LATIN1"));
    }
    if bytes(args)?.contains(&0) {
        let message = "invalid byte sequence for encoding \"UTF8\": 0x00";
        return Err(heliosdb_types::Error::invalid(heliosdb_types::SqlState::CHARACTER_NOT_IN_REPERTOIRE, message));
    }
    String::from_utf8(bytes(args)?.to_vec()).map(Datum::Text).map_err(|_| {
        let message = "invalid byte sequence for encoding \"UTF8\"";
        heliosdb_types::Error::invalid(heliosdb_types::SqlState::CHARACTER_NOT_IN_REPERTOIRE, message)
    })
}
