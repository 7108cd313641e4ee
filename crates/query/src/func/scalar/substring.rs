//! `substring(text from literal for literal)`, a column at a time: the usual way to call it, and one that grouping waits for.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::StringViewBuilder;
use arrow_array::cast::AsArray;
use arrow_schema::DataType;
use heliosdb_types::{Datum, Error, Result, SqlType};

use super::super::cast::is_text;
use super::super::udf::Function;
use super::super::{FuncContext, Typed};
use super::string::window;
use super::text_columns::slice;

/// `None` if an argument is of another kind; the general function takes it.
pub(super) fn call(args: &[Typed], _ctx: &FuncContext) -> Option<Result<Typed>> {
    let (input, positions) = args.split_first()?;
    if !is_text(&input.sql_type) || input.is_literal() {
        return None;
    }
    let integer = |arg: &Typed| match arg.literal_datum()? {
        Datum::Int32(value) => Some(i64::from(value)),
        _ => None,
    };
    let (from, to) = match positions {
        [start] => window(integer(start)?, None).ok()?,
        [start, length] => window(integer(start)?, Some(integer(length)?)).ok()?,
        _ => return None,
    };
    // char(n) is text without its padding.
    let padded = matches!(input.sql_type, SqlType::Char(_));
    let key = format!("substring {from} {to} {padded}");
    let function = Function::arrays("substring", key, DataType::Utf8View, move |args, rows| {
        let [array] = args else { return Err(Error::internal("one text")) };
        let mut out = StringViewBuilder::with_capacity(rows);
        let texts = array.as_string_view_opt().ok_or_else(|| Error::internal("text travels as Utf8View"))?;
        for value in texts {
            let value = if padded { value.map(|text| text.trim_end_matches(' ')) } else { value };
            out.append_option(value.map(|text| slice(text, (from, to))));
        }
        Ok(Arc::new(out.finish()) as ArrayRef)
    });
    let function = function.for_any_row();
    Some(Ok(Typed::new(function.call(vec![input.expr.clone()]), SqlType::Text)))
}

#[cfg(test)]
mod tests {
    use super::super::text_columns::slice;

    #[test]
    fn positions_are_characters() {
        assert_eq!(slice("héllo", (1, 3)), "él");
        assert_eq!(slice("hello", (1, 3)), "el");
        assert_eq!(slice("hé", (1, usize::MAX)), "é");
        assert_eq!(slice("ab", (5, 9)), "");
    }
}
