//! Literals.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use heliosdb_types::{Datum, Error, Numeric, PhysicalType, Result, SqlType};
use sqlparser::ast::Value;

use super::Typed;
use super::value::{literal_of, text_literal};

/// A literal: int4/int8/numeric by size, `Unknown` for strings and NULL, boolean.
pub fn literal(value: &Value) -> Result<Typed> {
    match value {
        Value::Number(digits, false) => number(digits),
        Value::SingleQuotedString(text)
        | Value::EscapedStringLiteral(text)
        | Value::UnicodeStringLiteral(text)
        | Value::NationalStringLiteral(text) => string(text),
        Value::DollarQuotedString(quoted) => string(&quoted.value),
        Value::Boolean(value) => Ok(Typed::new(Expr::Literal(ScalarValue::Boolean(Some(*value)), None), SqlType::Bool)),
        Value::Null => Ok(Typed::new(Expr::Literal(ScalarValue::Utf8View(None), None), SqlType::Unknown)),
        Value::HexStringLiteral(_) | Value::SingleQuotedByteStringLiteral(_) => {
            Err(Error::unsupported("a bit string literal"))
        }
        other => Err(Error::unsupported(format!("literal {other}"))),
    }
}

fn string(text: &str) -> Result<Typed> {
    heliosdb_types::fit_text(&SqlType::Text, text, false)?;
    Ok(text_literal(text, SqlType::Unknown))
}

fn number(digits: &str) -> Result<Typed> {
    let number = Numeric::parse(digits).map_err(|error| {
        if error.kind() == heliosdb_types::ErrorKind::Invalid && digits.ends_with(|c: char| c.is_ascii_alphabetic()) {
            Error::syntax(format!("trailing junk after numeric literal at or near \"{digits}\""))
        } else {
            error
        }
    })?;
    let integral = !digits.contains(['.', 'e', 'E']) || digits.starts_with("0x") || digits.starts_with("0X");
    if integral && let Some(value) = number.to_i64() {
        return match i32::try_from(value) {
            Ok(value) => literal_of(&Datum::Int32(value), SqlType::Int4, PhysicalType::Int32),
            Err(_) => literal_of(&Datum::Int64(value), SqlType::Int8, PhysicalType::Int64),
        };
    }
    numeric_literal(&number)
}

/// A numeric literal in its smallest exact form: Decimal64, Decimal128, or numeric bytes.
pub(super) fn numeric_literal(number: &Numeric) -> Result<Typed> {
    if let Some(physical) = decimal_form(number) {
        let (PhysicalType::Decimal64 { scale, .. } | PhysicalType::Decimal128 { scale, .. }) = physical else {
            return Err(Error::internal("a decimal form that is not decimal"));
        };
        if let Some(unscaled) = number.to_unscaled(scale) {
            return literal_of(&Datum::Decimal { unscaled, scale }, SqlType::Numeric(None), physical);
        }
    }
    literal_of(&Datum::Numeric(number.clone()), SqlType::Numeric(None), PhysicalType::Numeric)
}

/// The decimal type that shows the number exactly as it is; `None` if it needs more than 38 digits.
fn decimal_form(number: &Numeric) -> Option<PhysicalType> {
    if !number.is_finite() {
        return None;
    }
    let scale = i8::try_from(number.scale()).ok().filter(|scale| *scale <= 38)?;
    let unscaled = number.to_unscaled(scale)?;
    let digits = unscaled.unsigned_abs().checked_ilog10().map_or(1, |log| log as u8 + 1);
    decimal_physical(digits.max(scale.unsigned_abs()).max(1), scale)
}

/// The narrower of the two decimal types; `None` beyond 38 digits.
pub(super) fn decimal_physical(precision: u8, scale: i8) -> Option<PhysicalType> {
    match precision {
        0..=18 if scale <= 18 => Some(PhysicalType::Decimal64 { precision: precision.max(1), scale }),
        0..=38 => Some(PhysicalType::Decimal128 { precision: precision.max(1), scale }),
        _ => None,
    }
}
