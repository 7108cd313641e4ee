//! Text input of every type.

use super::bytes::{parse_bytea, parse_uuid};
use super::is_space;
use super::number::{invalid_syntax, parse_decimal, parse_float4, parse_float8, parse_integer, plain_integer};
use crate::datetime::{parse_date, parse_interval, parse_time, parse_timestamp, parse_timestamptz};
use crate::{
    Datum, Error, Numeric, PhysicalType, Result, SqlState, SqlType, TextContext, check_json, parse_array, parse_jsonb,
};

/// The longest `name`, in bytes.
const NAME_BYTES_MAX: usize = 63;

/// Reads a value of a type from PostgreSQL's text. The datum has the shape of `sql_type.physical()`.
pub fn parse_text(sql_type: &SqlType, text: &str, ctx: &TextContext) -> Result<Datum> {
    let integer = |min: i64, max: i64| match plain_integer(text) {
        Some(value) if (min..=max).contains(&value) => Ok(value),
        // The name is only worth making for a message.
        _ => parse_integer(text, &sql_type.name(), min, max),
    };
    Ok(match sql_type {
        SqlType::Bool => Datum::Bool(parse_bool(text).ok_or_else(|| invalid_syntax("boolean", text))?),
        SqlType::Int2 => Datum::Int16(integer(i64::from(i16::MIN), i64::from(i16::MAX))? as i16),
        SqlType::Int4 => Datum::Int32(integer(i64::from(i32::MIN), i64::from(i32::MAX))? as i32),
        SqlType::Int8 => Datum::Int64(integer(i64::MIN, i64::MAX)?),
        SqlType::Float4 => Datum::Float32(parse_float4(text)?),
        SqlType::Float8 => Datum::Float64(parse_float8(text)?),
        SqlType::Numeric(modifier) => match (sql_type.physical(), modifier) {
            (Some(PhysicalType::Decimal64 { precision, scale } | PhysicalType::Decimal128 { precision, scale }), _) => {
                Datum::Decimal { unscaled: parse_decimal(text, precision, scale)?, scale }
            }
            (_, Some((precision, scale))) => Datum::Numeric(Numeric::parse(text)?.with_typmod(*precision, *scale)?),
            (_, None) => Datum::Numeric(Numeric::parse(text)?),
        },
        SqlType::Text
        | SqlType::Unknown
        | SqlType::Varchar(_)
        | SqlType::Char(_)
        | SqlType::Name
        | SqlType::QuotedChar => Datum::Text(fit_text(sql_type, text, ctx.explicit_cast)?),
        SqlType::Bytea => Datum::Bytes(parse_bytea(text)?),
        SqlType::Date => Datum::Date(parse_date(text, ctx)?),
        SqlType::Time(precision) => Datum::Time(parse_time(text, *precision, ctx)?),
        SqlType::Timestamp(precision) => Datum::Timestamp(parse_timestamp(text, *precision, ctx)?),
        SqlType::Timestamptz(precision) => Datum::TimestampTz(parse_timestamptz(text, *precision, ctx)?),
        SqlType::Interval => Datum::Interval(parse_interval(text)?),
        SqlType::Uuid => Datum::Uuid(parse_uuid(text)?),
        SqlType::Oid => {
            // PostgreSQL takes -1 for 4294967295.
            let value = parse_integer(text, "oid", i64::from(i32::MIN), i64::from(u32::MAX))?;
            Datum::Int64(i64::from(value as u32))
        }
        SqlType::Reg(_) if text == "-" => Datum::Int64(0),
        SqlType::Reg(_) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
            Datum::Int64(parse_integer(text, "oid", 0, i64::from(u32::MAX))?)
        }
        // A name needs the catalog; who has it resolves it before coming here.
        SqlType::Reg(_) => return Err(Error::unsupported(format!("a name as {} here", sql_type.name()))),
        SqlType::Json => {
            check_json(text)?;
            Datum::Text(text.to_owned())
        }
        SqlType::Jsonb => Datum::Bytes(parse_jsonb(text)?),
        SqlType::Array(element) | SqlType::CatalogVector(element) => Datum::Bytes(parse_array(element, text, ctx)?),
        SqlType::Enum(of) => Datum::Int64(of.parse(text)?),
        SqlType::Record(_) => {
            return Err(Error::invalid(
                SqlState::FEATURE_NOT_SUPPORTED,
                "input of anonymous composite types is not implemented",
            ));
        }
        SqlType::Void => return Err(Error::unsupported("a value of type void")),
    })
}

/// PostgreSQL's boolean words and their unambiguous prefixes.
pub fn parse_bool(text: &str) -> Option<bool> {
    let word = text.trim_matches(is_space).to_ascii_lowercase();
    let prefix_of = |full: &str, shortest: usize| word.len() >= shortest && full.starts_with(&word);
    if prefix_of("true", 1) || prefix_of("yes", 1) || word == "on" || word == "1" {
        Some(true)
    } else if prefix_of("false", 1) || prefix_of("no", 1) || prefix_of("off", 2) || word == "0" {
        Some(false)
    } else {
        None
    }
}

/// Fits a string to a character type: checks or (explicitly cast) cuts varchar(n), pads char(n), cuts names.
pub fn fit_text(sql_type: &SqlType, text: &str, explicit_cast: bool) -> Result<String> {
    if text.contains('\0') {
        return Err(Error::invalid(
            SqlState::CHARACTER_NOT_IN_REPERTOIRE,
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        ));
    }
    match sql_type {
        SqlType::Varchar(Some(limit)) => limited(sql_type, text, *limit, explicit_cast).map(str::to_owned),
        SqlType::Char(Some(limit)) => {
            let body = limited(sql_type, text, *limit, explicit_cast)?;
            let missing = (*limit as usize).saturating_sub(body.chars().count());
            let mut padded = String::with_capacity(body.len() + missing);
            padded.push_str(body);
            padded.extend(std::iter::repeat_n(' ', missing));
            Ok(padded)
        }
        SqlType::Name => Ok(text[..text.floor_char_boundary(NAME_BYTES_MAX)].to_owned()),
        SqlType::QuotedChar => Ok(text.chars().next().map(String::from).unwrap_or_default()),
        _ => Ok(text.to_owned()),
    }
}

/// At most `limit` characters; more is an error unless all of the rest is blanks or the cast is explicit.
fn limited<'a>(sql_type: &SqlType, text: &'a str, limit: u32, explicit_cast: bool) -> Result<&'a str> {
    if text.len() <= limit as usize {
        return Ok(text);
    }
    let Some((end, _)) = text.char_indices().nth(limit as usize) else { return Ok(text) };
    let (kept, rest) = text.split_at(end);
    if explicit_cast || rest.bytes().all(|b| b == b' ') {
        return Ok(kept);
    }
    Err(Error::invalid(SqlState::STRING_DATA_RIGHT_TRUNCATION, format!("value too long for type {}", sql_type.name())))
}
