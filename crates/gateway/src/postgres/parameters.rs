//! Format codes and parameters of Bind.

use bytes::Bytes;
use heliosdb_contracts::binary::{self, utf8};
use heliosdb_types::{Datum, Error, Result, SqlState, SqlType, TextContext, parse_text};

use super::failure::violation;
use super::reply::Format;

/// One format for each of `count` values, from none (all text), one (for all) or one each. `of_what` is for errors.
pub(crate) fn formats(codes: &[i16], count: usize, of_what: &str) -> Result<Vec<Format>> {
    let read = |code: &i16| match code {
        0 => Ok(Format::Text),
        1 => Ok(Format::Binary),
        other => Err(Error::invalid(SqlState::INVALID_PARAMETER_VALUE, format!("unsupported format code: {other}"))),
    };
    match codes {
        [] => Ok(vec![Format::Text; count]),
        [one] => Ok(vec![read(one)?; count]),
        each if each.len() == count => each.iter().map(read).collect(),
        // A statement without rows may be asked for formats of none in particular.
        _ if count == 0 && of_what == "result" => Ok(Vec::new()),
        each => Err(violation(match of_what {
            "parameter" => format!("bind message has {} parameter formats but {count} parameters", each.len()),
            _ => format!("bind message has {} {of_what} formats but query has {count} columns", each.len()),
        })),
    }
}

/// Parameters by their types. As many values and formats as types (checked by the caller).
pub(crate) fn decode_parameters(
    types: &[SqlType],
    formats: &[Format],
    values: &[Option<Bytes>],
    context: &TextContext,
) -> Result<Vec<Datum>> {
    let decode =
        |(at, ((sql_type, format), value)): (usize, ((&SqlType, &Format), &Option<Bytes>))| match (value, format) {
            (None, _) => Ok(Datum::Null),
            (Some(value), Format::Text) => text_parameter(utf8(value)?, sql_type, context),
            (Some(value), Format::Binary) => {
                binary::read(value, sql_type, context, &format!("bind parameter {}", at + 1))
            }
        };
    types.iter().zip(formats).zip(values).enumerate().map(decode).collect()
}

fn text_parameter(text: &str, sql_type: &SqlType, context: &TextContext) -> Result<Datum> {
    match sql_type {
        SqlType::Text | SqlType::Varchar(None) | SqlType::Unknown => Ok(Datum::Text(text.to_owned())),
        // The session knows what is there of this name.
        SqlType::Reg(_) => Ok(Datum::Text(text.to_owned())),
        other => parse_text(other, text, context),
    }
}
