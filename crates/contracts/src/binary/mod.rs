//! Values in PostgreSQL's binary format, both ways. Big-endian; dates and times count from 2000-01-01.

mod array;
mod decimal;
mod text;

use bytes::{BufMut, BytesMut};
use heliosdb_types::{
    Datum, DatumRef, Error, Interval, Jsonb, Numeric, RecordField, Result, RowLayout, RowView, SqlState, SqlType,
    TextContext,
};

pub use decimal::{put_decimal, put_decimal_binary, put_integer as put_integer_text, put_unsigned};
pub use text::utf8;

/// Days from 1970-01-01 to 2000-01-01.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * DAY_MICROS;
const DAY_MICROS: i64 = 86_400_000_000;

pub fn put_integer(value: i64, sql_type: &SqlType, out: &mut BytesMut) -> Result<()> {
    let out_of_range = |_| Error::internal(format!("{value} as {}", sql_type.name()));
    match sql_type {
        SqlType::Int2 => out.put_i16(i16::try_from(value).map_err(out_of_range)?),
        SqlType::Int4 => out.put_i32(i32::try_from(value).map_err(out_of_range)?),
        SqlType::Int8 => out.put_i64(value),
        SqlType::Oid | SqlType::Reg(_) => out.put_u32(u32::try_from(value).map_err(out_of_range)?),
        SqlType::Numeric(_) => put_decimal_binary(i128::from(value), 0, out),
        other => return Err(mismatch("an integer", other)),
    }
    Ok(())
}

/// Days since 1970; the infinities are the same extremes on both sides.
pub fn put_date(days: i32, out: &mut BytesMut) {
    out.put_i32(match days {
        i32::MIN | i32::MAX => days,
        days => days.saturating_sub(EPOCH_DAYS),
    });
}

/// Microseconds since 1970; the infinities are the same extremes on both sides.
pub fn put_timestamp(micros: i64, out: &mut BytesMut) {
    out.put_i64(match micros {
        i64::MIN | i64::MAX => micros,
        micros => micros.saturating_sub(EPOCH_MICROS),
    });
}

pub fn put_interval(interval: &Interval, out: &mut BytesMut) {
    out.put_i64(interval.micros);
    out.put_i32(interval.days);
    out.put_i32(interval.months);
}

pub fn put_numeric(numeric: &[u8], out: &mut BytesMut) {
    let mut bytes = Vec::new();
    Numeric::from_bytes_unchecked(numeric).write_wire(&mut bytes);
    out.extend_from_slice(&bytes);
}

/// Values that are carried as text, whatever their type.
pub fn put_text(text: &str, sql_type: &SqlType, out: &mut BytesMut) -> Result<()> {
    match sql_type {
        SqlType::QuotedChar => out.put_u8(quoted_char_byte(text)),
        SqlType::Reg(_) => {
            let oid: u32 =
                text.parse().map_err(|_| Error::unsupported(format!("{} in binary format", sql_type.name())))?;
            out.put_u32(oid);
        }
        SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_) | SqlType::Name | SqlType::Unknown | SqlType::Json => {
            out.extend_from_slice(text.as_bytes());
        }
        // Nothing, in no bytes.
        SqlType::Void => {}
        other => return Err(mismatch("text", other)),
    }
    Ok(())
}

/// Values that are carried as bytes: bytea, arrays, jsonb.
pub fn put_bytes(value: &[u8], sql_type: &SqlType, context: &TextContext, out: &mut BytesMut) -> Result<()> {
    match sql_type {
        SqlType::Array(element) | SqlType::CatalogVector(element) => {
            array::put_binary(value, element, context, out)?;
        }
        SqlType::Jsonb => put_jsonb(value, out)?,
        SqlType::Record(fields) => put_record(value, fields, context, out)?,
        _ => out.extend_from_slice(value),
    }
    Ok(())
}

pub fn mismatch(carried: &str, sql_type: &SqlType) -> Error {
    Error::internal(format!("a value of type {} is carried as {carried}", sql_type.name()))
}

/// A row on the wire: how many columns, then each one's type, length (-1 for NULL) and value.
fn put_record(bytes: &[u8], fields: &[RecordField], context: &TextContext, out: &mut BytesMut) -> Result<()> {
    let types: Vec<_> = fields.iter().map(|field| field.sql_type.carried()).collect();
    let layout = RowLayout::new(&types);
    let row = RowView::new(&layout, bytes)?;
    out.put_i32(fields.len() as i32);
    for (at, field) in fields.iter().enumerate() {
        out.put_u32(field.sql_type.oid().0);
        let value = row.get(at)?;
        if value.is_null() {
            out.put_i32(-1);
            continue;
        }
        let mut written = BytesMut::new();
        put_datum(value, &field.sql_type, context, &mut written)?;
        out.put_i32(written.len() as i32);
        out.extend_from_slice(&written);
    }
    Ok(())
}

/// jsonb on the wire: version 1 and the text.
fn put_jsonb(value: &[u8], out: &mut BytesMut) -> Result<()> {
    let mut text = String::new();
    heliosdb_types::write_jsonb(Jsonb::new(value), false, &mut text)?;
    out.put_u8(JSONB_VERSION);
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn read_jsonb(bytes: &[u8]) -> Result<Datum> {
    match bytes.split_first() {
        Some((&JSONB_VERSION, text)) => heliosdb_types::parse_jsonb(utf8(text)?).map(Datum::Bytes),
        other => {
            let version = other.map_or(0, |(version, _)| *version);
            Err(Error::internal(format!("unsupported jsonb version number {version}")))
        }
    }
}

const JSONB_VERSION: u8 = 1;

/// `"char"` holds one byte; as text, bytes above 127 are written `\ooo`.
fn quoted_char_byte(text: &str) -> u8 {
    match text.as_bytes() {
        [b'\\', octal @ ..] if octal.len() == 3 => u8::from_str_radix(&text[1..], 8).unwrap_or(b'\\'),
        [first, ..] => *first,
        [] => 0,
    }
}

/// One value of any type.
pub fn put_datum(value: DatumRef<'_>, sql_type: &SqlType, context: &TextContext, out: &mut BytesMut) -> Result<()> {
    match value {
        DatumRef::Null => return Err(mismatch("NULL", sql_type)),
        DatumRef::Int64(_) if matches!(sql_type, SqlType::Enum(_)) => {
            out.extend_from_slice(heliosdb_types::text_of(value, sql_type, context).as_bytes());
        }
        DatumRef::Bool(value) => out.put_u8(u8::from(value)),
        DatumRef::Int16(value) => put_integer(i64::from(value), sql_type, out)?,
        DatumRef::Int32(value) => put_integer(i64::from(value), sql_type, out)?,
        DatumRef::Int64(value) => put_integer(value, sql_type, out)?,
        DatumRef::Float32(value) => out.put_f32(value),
        DatumRef::Float64(value) => out.put_f64(value),
        DatumRef::Decimal { unscaled, scale } => put_decimal_binary(unscaled, scale, out),
        DatumRef::Numeric(value) => put_numeric(value, out),
        DatumRef::Text(value) => put_text(value, sql_type, out)?,
        DatumRef::Bytes(value) => put_bytes(value, sql_type, context, out)?,
        DatumRef::Date(value) => put_date(value, out),
        DatumRef::Time(value) => out.put_i64(value),
        DatumRef::Timestamp(value) | DatumRef::TimestampTz(value) => put_timestamp(value, out),
        DatumRef::Interval(value) => put_interval(&value, out),
        DatumRef::Uuid(value) => out.extend_from_slice(&value),
    }
    Ok(())
}

/// Reads a value; `what` names it in errors: "bind parameter 1".
pub fn read(bytes: &[u8], sql_type: &SqlType, context: &TextContext, what: &str) -> Result<Datum> {
    let wrong =
        || Error::invalid(SqlState::INVALID_BINARY_REPRESENTATION, format!("incorrect binary data format in {what}"));
    Ok(match sql_type {
        SqlType::Bool => Datum::Bool(u8::from_be_bytes(fixed(bytes).ok_or_else(wrong)?) != 0),
        SqlType::Int2 => Datum::Int16(i16::from_be_bytes(fixed(bytes).ok_or_else(wrong)?)),
        SqlType::Int4 => Datum::Int32(i32::from_be_bytes(fixed(bytes).ok_or_else(wrong)?)),
        SqlType::Int8 => Datum::Int64(i64::from_be_bytes(fixed(bytes).ok_or_else(wrong)?)),
        SqlType::Oid | SqlType::Reg(_) => Datum::Int64(i64::from(u32::from_be_bytes(fixed(bytes).ok_or_else(wrong)?))),
        SqlType::Float4 => Datum::Float32(f32::from_be_bytes(fixed(bytes).ok_or_else(wrong)?)),
        SqlType::Float8 => Datum::Float64(f64::from_be_bytes(fixed(bytes).ok_or_else(wrong)?)),
        SqlType::Numeric(None) => Datum::Numeric(Numeric::from_wire(bytes)?),
        // A modifier decides how the value is carried; text input knows how.
        SqlType::Numeric(Some(_)) => {
            heliosdb_types::parse_text(sql_type, &Numeric::from_wire(bytes)?.to_string(), context)?
        }
        SqlType::Text | SqlType::Varchar(None) | SqlType::Char(None) | SqlType::Unknown => {
            Datum::Text(utf8(bytes)?.to_owned())
        }
        SqlType::Varchar(Some(_)) | SqlType::Char(Some(_)) | SqlType::Name => {
            heliosdb_types::parse_text(sql_type, utf8(bytes)?, context)?
        }
        SqlType::QuotedChar => match fixed(bytes).ok_or_else(wrong)? {
            [0] => Datum::Text(String::new()),
            [byte] if byte < 128 => Datum::Text(char::from(byte).to_string()),
            [byte] => Datum::Text(format!("\\{byte:03o}")),
        },
        SqlType::Bytea => Datum::Bytes(bytes.to_vec()),
        SqlType::Date => Datum::Date(date(i32::from_be_bytes(fixed(bytes).ok_or_else(wrong)?))?),
        SqlType::Time(_) => Datum::Time(time(i64::from_be_bytes(fixed(bytes).ok_or_else(wrong)?))?),
        SqlType::Timestamp(_) => Datum::Timestamp(timestamp(i64::from_be_bytes(fixed(bytes).ok_or_else(wrong)?))?),
        SqlType::Timestamptz(_) => Datum::TimestampTz(timestamp(i64::from_be_bytes(fixed(bytes).ok_or_else(wrong)?))?),
        SqlType::Interval => Datum::Interval(interval(fixed(bytes).ok_or_else(wrong)?)),
        SqlType::Uuid => Datum::Uuid(fixed(bytes).ok_or_else(wrong)?),
        SqlType::Array(element) | SqlType::CatalogVector(element) => {
            Datum::Bytes(array::read_binary(bytes, element, context, what)?)
        }
        SqlType::Jsonb => read_jsonb(bytes)?,
        // Enums travel as their labels.
        SqlType::Json | SqlType::Enum(_) => heliosdb_types::parse_text(sql_type, utf8(bytes)?, context)?,
        SqlType::Record(_) => {
            let message = "input of anonymous composite types is not implemented";
            return Err(Error::invalid(SqlState::FEATURE_NOT_SUPPORTED, message));
        }
        SqlType::Void => return Err(wrong()),
    })
}

fn fixed<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

fn out_of_range(what: &str) -> Error {
    Error::invalid(SqlState::DATETIME_FIELD_OVERFLOW, format!("{what} out of range"))
}

fn date(days: i32) -> Result<i32> {
    /// 4713-01-01 BC (Julian day 0) and 5874897-12-31, from 2000-01-01.
    const RANGE: std::ops::RangeInclusive<i32> = -2_451_545..=2_145_031_948;
    match days {
        i32::MIN | i32::MAX => Ok(days),
        days if RANGE.contains(&days) => days.checked_add(EPOCH_DAYS).ok_or_else(|| out_of_range("date")),
        _ => Err(out_of_range("date")),
    }
}

fn time(micros: i64) -> Result<i64> {
    if (0..=DAY_MICROS).contains(&micros) { Ok(micros) } else { Err(out_of_range("time")) }
}

fn timestamp(micros: i64) -> Result<i64> {
    /// The start of Julian day 0, from 2000-01-01. The upper end is where our 1970-based microseconds end.
    const FIRST: i64 = -211_813_488_000_000_000;
    match micros {
        i64::MIN | i64::MAX => Ok(micros),
        FIRST.. => match micros.checked_add(EPOCH_MICROS) {
            Some(i64::MAX) | None => Err(out_of_range("timestamp")),
            Some(micros) => Ok(micros),
        },
        _ => Err(out_of_range("timestamp")),
    }
}

fn interval(bytes: [u8; 16]) -> Interval {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
    Interval {
        micros: i64::from_be_bytes([a, b, c, d, e, f, g, h]),
        days: i32::from_be_bytes([i, j, k, l]),
        months: i32::from_be_bytes([m, n, o, p]),
    }
}
