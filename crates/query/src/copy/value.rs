//! A field's text to a value: the common forms straight away, the rest through the type's own input function.

use std::borrow::Cow;

use heliosdb_types::{Datum, DatumRef, Error, PhysicalType, Result, SqlType, TextContext, parse_text};

use crate::func::{FuncContext, reg_from_name};

/// A value that may still point into the input.
pub(crate) enum Value<'a> {
    Ref(DatumRef<'a>),
    Owned(Datum),
}

impl Value<'_> {
    pub fn as_ref(&self) -> DatumRef<'_> {
        match self {
            Value::Ref(value) => *value,
            Value::Owned(value) => value.as_ref(),
        }
    }
}

/// How a column reads its fields.
pub(crate) struct Reader {
    sql_type: SqlType,
    physical: PhysicalType,
    /// Where the names of catalog objects are looked up.
    names: Option<FuncContext>,
}

impl Reader {
    pub fn new(sql_type: &SqlType, names: &FuncContext) -> Result<Reader> {
        let physical = sql_type.physical().ok_or_else(|| Error::internal("a column of a type without storage"))?;
        Ok(Reader { sql_type: sql_type.clone(), physical, names: Some(names.clone()) })
    }

    /// Of a type that refers to no object.
    pub fn plain(sql_type: &SqlType) -> Result<Reader> {
        let physical = sql_type.physical().ok_or_else(|| Error::internal("a column of a type without storage"))?;
        Ok(Reader { sql_type: sql_type.clone(), physical, names: None })
    }

    pub fn physical(&self) -> PhysicalType {
        self.physical
    }

    pub fn read<'a>(&self, text: &Cow<'a, str>, context: &TextContext) -> Result<Value<'a>> {
        if let Some(quick) = quick(&self.sql_type, self.physical, text) {
            return Ok(Value::Ref(quick));
        }
        if matches!(self.sql_type, SqlType::Text | SqlType::Varchar(None) | SqlType::Unknown) {
            return Ok(match text {
                Cow::Borrowed(text) => Value::Ref(DatumRef::Text(text)),
                Cow::Owned(text) => Value::Owned(Datum::Text(text.clone())),
            });
        }
        if let (SqlType::Varchar(Some(limit)), Cow::Borrowed(text)) = (&self.sql_type, text)
            && text.len() <= *limit as usize
        {
            return Ok(Value::Ref(DatumRef::Text(text)));
        }
        if let (SqlType::Char(Some(width)), Cow::Borrowed(text)) = (&self.sql_type, text)
            && let Some(value) = padded(text, *width as usize)
        {
            return Ok(value);
        }
        if let (SqlType::Reg(kind), Some(names)) = (&self.sql_type, &self.names) {
            return reg_from_name(*kind, text, names).map(Value::Owned);
        }
        parse_text(&self.sql_type, text, context).map(Value::Owned)
    }
}

/// ASCII that fits, filled up with blanks.
fn padded(text: &str, width: usize) -> Option<Value<'_>> {
    if text.len() > width || !text.is_ascii() || text.as_bytes().contains(&0) {
        return None;
    }
    if text.len() == width {
        return Some(Value::Ref(DatumRef::Text(text)));
    }
    let mut full = String::with_capacity(width);
    full.push_str(text);
    const BLANKS: &str = "                                                                ";
    while full.len() < width {
        full.push_str(BLANKS.get(..width - full.len()).unwrap_or(BLANKS));
    }
    Some(Value::Owned(Datum::Text(full)))
}

/// Plain integers, decimals and ISO dates; anything unusual is left to the input function.
fn quick<'a>(sql_type: &SqlType, physical: PhysicalType, text: &str) -> Option<DatumRef<'a>> {
    match (sql_type, physical) {
        (SqlType::Int4, _) => integer(text)?.try_into().ok().map(DatumRef::Int32),
        (SqlType::Int8, _) => integer(text).map(DatumRef::Int64),
        (SqlType::Int2, _) => integer(text)?.try_into().ok().map(DatumRef::Int16),
        (SqlType::Date, _) => date(text).map(DatumRef::Date),
        (_, PhysicalType::Decimal64 { precision, scale } | PhysicalType::Decimal128 { precision, scale }) => {
            decimal(text, precision, scale).map(|unscaled| DatumRef::Decimal { unscaled, scale })
        }
        _ => None,
    }
}

/// At most 18 plain digits with a sign.
fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut value = 0i64;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(if negative { -value } else { value })
}

/// Digits with at most `scale` of them after the point, so that nothing has to be rounded.
fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let scale = usize::try_from(scale).ok()?;
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = whole.len() + scale;
    if whole.is_empty() || fraction.len() > scale || digits > 18 || digits > usize::from(precision) {
        return None;
    }
    let mut value = 0i64;
    let zeros = std::iter::repeat_n(b'0', scale - fraction.len());
    for digit in whole.bytes().chain(fraction.bytes()).chain(zeros) {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(i128::from(if negative { -value } else { value }))
}

/// `YYYY-MM-DD` of a day that exists, in days since 1970-01-01.
fn date(text: &str) -> Option<i32> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *text.as_bytes() else { return None };
    let digit = |byte: u8| byte.is_ascii_digit().then(|| u32::from(byte - b'0'));
    let year = digit(y1)? * 1000 + digit(y2)? * 100 + digit(y3)? * 10 + digit(y4)?;
    let (month, day) = (digit(m1)? * 10 + digit(m2)?, digit(d1)? * 10 + digit(d2)?);
    if year == 0 {
        return None;
    }
    let date = chrono::NaiveDate::from_ymd_opt(year as i32, month, day)?;
    let epoch = chrono::NaiveDate::from_ymd_opt(1970, 1, 1)?;
    i32::try_from(date.signed_duration_since(epoch).num_days()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quick_of(sql_type: &SqlType, text: &str) -> Option<DatumRef<'static>> {
        quick(sql_type, sql_type.physical().unwrap(), text)
    }

    #[test]
    fn quick_forms_agree_with_the_input_functions() {
        let context = TextContext::default();
        let types = [
            SqlType::Int2,
            SqlType::Int4,
            SqlType::Int8,
            SqlType::Date,
            SqlType::Numeric(Some((5, 2))),
            SqlType::Numeric(Some((30, 3))),
        ];
        let texts = [
            "0",
            "-1",
            "32767",
            "32768",
            "99999999999",
            "1.5",
            "-0.01",
            "999.99",
            "1000",
            "12.345",
            "1.",
            ".5",
            "",
            "2024-02-29",
            "2023-02-29",
            "0000-01-01",
            "1970-01-01",
            "1969-12-31",
            "abc",
            "--1",
            "1-2",
        ];
        for sql_type in &types {
            for text in texts {
                if let Some(quick) = quick_of(sql_type, text) {
                    assert_eq!(
                        quick.to_owned(),
                        parse_text(sql_type, text, &context).unwrap(),
                        "{text} as {sql_type:?}"
                    );
                }
            }
        }
        for width in [1, 3, 70] {
            let sql_type = SqlType::Char(Some(width));
            for text in ["", "a", "abc", "abcd", "abc ", "é", "a\0"] {
                if let Some(value) = padded(text, width as usize) {
                    let slow = parse_text(&sql_type, text, &context).unwrap();
                    assert_eq!(value.as_ref().to_owned(), slow, "{text:?} as {sql_type:?}");
                }
            }
            assert!(padded("a", width as usize).is_some());
        }
        assert!(quick_of(&SqlType::Int4, "42").is_some());
        assert!(quick_of(&SqlType::Date, "1998-12-01").is_some());
        assert!(quick_of(&SqlType::Numeric(Some((15, 2))), "17954.55").is_some());
    }
}
