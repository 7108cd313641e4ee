//! Text output of every type.

use std::fmt::Write;

use super::bytes::{write_bytea, write_uuid};
use super::is_space;
use super::number::{write_float4, write_float8};
use crate::datetime::{write_date, write_interval, write_time, write_timestamp, write_timestamptz};
use crate::numeric::write_unscaled;
use crate::{
    DatumRef, Jsonb, Numeric, PhysicalType, RecordField, Result, RowLayout, RowView, SqlType, TextContext, write_array,
    write_jsonb,
};

/// Appends a value's text as PostgreSQL prints it; NULL appends nothing (callers mark it their own way).
///
/// The value's shape decides, except for arrays and jsonb (carried as bytes) and enums (carried as numbers).
pub fn write_text(value: DatumRef<'_>, sql_type: &SqlType, ctx: &TextContext, out: &mut String) {
    match (value, sql_type) {
        (DatumRef::Bytes(bytes), SqlType::Array(element)) => return write_array(element, bytes, ctx, out),
        (DatumRef::Bytes(bytes), SqlType::CatalogVector(element)) if **element == SqlType::Text => {
            return write_array(element, bytes, ctx, out);
        }
        (DatumRef::Bytes(bytes), SqlType::CatalogVector(element)) => {
            let mut array = String::new();
            write_array(element, bytes, ctx, &mut array);
            let elements = array.rsplit('=').next().unwrap_or("");
            out.push_str(&elements.trim_matches(['{', '}']).replace(',', " "));
            return;
        }
        (DatumRef::Bytes(bytes), SqlType::Jsonb) => {
            // Only damaged bytes cannot be shown.
            if let Err(error) = write_jsonb(Jsonb::new(bytes), false, out) {
                let _ = write!(out, "<{error}>");
            }
            return;
        }
        (DatumRef::Bytes(bytes), SqlType::Record(fields)) => {
            if let Err(error) = write_record(bytes, fields, ctx, out) {
                let _ = write!(out, "<{error}>");
            }
            return;
        }
        (DatumRef::Int64(code), SqlType::Enum(of)) => {
            // Another session may have added the label after this statement's types were read.
            match of.label(code) {
                Some(label) => out.push_str(&label.name),
                None => {
                    let _ = write!(out, "<label {code}>");
                }
            }
            return;
        }
        _ => {}
    }
    match value {
        DatumRef::Null => {}
        DatumRef::Bool(v) => out.push(if v { 't' } else { 'f' }),
        DatumRef::Int16(v) => put_integer(i64::from(v), out),
        DatumRef::Int32(v) => put_integer(i64::from(v), out),
        DatumRef::Int64(v) => put_integer(v, out),
        DatumRef::Float32(v) => write_float4(v, out),
        DatumRef::Float64(v) => write_float8(v, out),
        DatumRef::Decimal { unscaled, scale } => {
            let _ = write_unscaled(out, unscaled, i32::from(scale));
        }
        DatumRef::Numeric(bytes) => {
            let _ = write!(out, "{}", Numeric::from_bytes_unchecked(bytes));
        }
        DatumRef::Text(v) => out.push_str(v),
        DatumRef::Bytes(v) => write_bytea(v, out),
        DatumRef::Date(v) => write_date(v, out),
        DatumRef::Time(v) => write_time(v, out),
        DatumRef::Timestamp(v) => write_timestamp(v, out),
        DatumRef::TimestampTz(v) => write_timestamptz(v, ctx.time_zone.as_ref(), out),
        DatumRef::Interval(v) => write_interval(v, out),
        DatumRef::Uuid(v) => write_uuid(&v, out),
    }
}

/// `(1,"a b",)`: quoted where it is needed, nothing for NULL.
fn write_record(bytes: &[u8], fields: &[RecordField], ctx: &TextContext, out: &mut String) -> Result<()> {
    let types: Vec<PhysicalType> = fields.iter().map(|field| field.sql_type.carried()).collect();
    let layout = RowLayout::new(&types);
    let row = RowView::new(&layout, bytes)?;
    out.push('(');
    for (at, field) in fields.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        let value = row.get(at)?;
        if value.is_null() {
            continue;
        }
        let text = text_of(value, &field.sql_type, ctx);
        let special = |c: char| matches!(c, '"' | '\\' | '(' | ')' | ',') || is_space(c);
        if !text.is_empty() && !text.contains(special) {
            out.push_str(&text);
            continue;
        }
        out.push('"');
        for c in text.chars() {
            if matches!(c, '"' | '\\') {
                out.push(c);
            }
            out.push(c);
        }
        out.push('"');
    }
    out.push(')');
    Ok(())
}

/// [`write_text`] into a string of its own.
pub fn text_of(value: DatumRef<'_>, sql_type: &SqlType, ctx: &TextContext) -> String {
    let mut out = String::new();
    write_text(value, sql_type, ctx, &mut out);
    out
}

fn put_integer(value: i64, out: &mut String) {
    let _ = write!(out, "{value}");
}
