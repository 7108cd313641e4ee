//! The operators of json and jsonb.

use heliosdb_types::{Datum, DatumRef, Error, Jsonb, JsonbKind, Result, SqlType, jsonb_contains};
use sqlparser::ast::BinaryOperator;

use super::super::cast::{is_integer, is_text};
use super::super::operator::undefined;
use super::super::{CastKind, FuncContext, Typed, cast};
use super::{change, function, get, jsonb_of, text_array, texts_of, wrong_arguments};

/// `left op right` where a side is JSON; `None` where the operator means something else.
pub(in crate::func) fn binary(
    op: &BinaryOperator,
    left: &Typed,
    right: &Typed,
    ctx: &FuncContext,
) -> Option<Result<Typed>> {
    let symbol = match op {
        BinaryOperator::Arrow => "->",
        BinaryOperator::LongArrow => "->>",
        BinaryOperator::HashArrow => "#>",
        BinaryOperator::HashLongArrow => "#>>",
        BinaryOperator::AtArrow => "@>",
        BinaryOperator::ArrowAt => "<@",
        BinaryOperator::Question => "?",
        BinaryOperator::QuestionPipe => "?|",
        BinaryOperator::QuestionAnd => "?&",
        BinaryOperator::HashMinus => "#-",
        BinaryOperator::AtQuestion => "@?",
        BinaryOperator::AtAt => "@@",
        BinaryOperator::StringConcat => "||",
        BinaryOperator::Minus => "-",
        _ => return None,
    };
    by_symbol(symbol, left.clone(), right.clone(), ctx).transpose()
}

/// `None` if there is no such operator of these types.
pub(super) fn by_symbol(symbol: &str, left: Typed, right: Typed, ctx: &FuncContext) -> Result<Option<Typed>> {
    let is_json = |side: &Typed| matches!(side.sql_type, SqlType::Json | SqlType::Jsonb);
    let is_jsonb = |side: &Typed| side.sql_type == SqlType::Jsonb;
    match symbol {
        "->" | "->>" if is_json(&left) => get::arrow(symbol, left, right, ctx),
        "#>" | "#>>" if is_json(&left) => get::path(symbol, left, right, ctx),
        "@>" | "<@" | "||" if is_jsonb(&left) || is_jsonb(&right) => {
            let fits = |side: &Typed| is_jsonb(side) || side.is_unknown();
            if !fits(&left) || !fits(&right) {
                return Ok(None);
            }
            let left = cast(left, &SqlType::Jsonb, CastKind::Implicit, ctx)?;
            let right = cast(right, &SqlType::Jsonb, CastKind::Implicit, ctx)?;
            Ok(Some(match symbol {
                "@>" => contains(left, right),
                "<@" => contains(right, left),
                _ => change::concat(left, right),
            }))
        }
        "?" if is_jsonb(&left) && (right.is_unknown() || is_text(&right.sql_type)) => {
            let right = cast(right, &SqlType::Text, CastKind::Implicit, ctx)?;
            Ok(Some(function("jsonb_exists", "", vec![left, right], SqlType::Bool, true, |values| match values {
                [value, DatumRef::Text(key)] => has_key(jsonb_of(*value)?, key).map(Datum::Bool),
                _ => Err(wrong_arguments()),
            })))
        }
        "?|" | "?&" if is_jsonb(&left) && (right.is_unknown() || right.sql_type == text_array()) => {
            let right = cast(right, &text_array(), CastKind::Implicit, ctx)?;
            let all = symbol == "?&";
            let name = if all { "jsonb_exists_all" } else { "jsonb_exists_any" };
            Ok(Some(function(name, "", vec![left, right], SqlType::Bool, true, move |values| {
                let [value, keys] = values else { return Err(wrong_arguments()) };
                for key in texts_of(*keys)?.iter().flatten() {
                    if has_key(jsonb_of(*value)?, key)? != all {
                        return Ok(Datum::Bool(!all));
                    }
                }
                Ok(Datum::Bool(all))
            })))
        }
        "#-" if is_jsonb(&left) && (right.is_unknown() || right.sql_type == text_array()) => {
            let right = cast(right, &text_array(), CastKind::Implicit, ctx)?;
            Ok(Some(change::delete_path(left, right)))
        }
        "-" if is_jsonb(&left) => {
            let to = match &right.sql_type {
                number if is_integer(number) && *number != SqlType::Int8 => SqlType::Int4,
                SqlType::Unknown => SqlType::Text,
                text if is_text(text) => SqlType::Text,
                array if *array == text_array() => text_array(),
                _ => return Ok(None),
            };
            let right = cast(right, &to, CastKind::Implicit, ctx)?;
            Ok(Some(change::delete(left, right)))
        }
        "@?" | "@@" if is_jsonb(&left) => Err(Error::unsupported(format!("the operator {symbol} (jsonpath)"))),
        _ => Ok(None),
    }
}

/// The functions behind some operators, by their names.
pub(super) fn by_name(name: &str, left: Typed, right: Typed, ctx: &FuncContext) -> Result<Typed> {
    let symbol = match name {
        "jsonb_contains" => "@>",
        "jsonb_exists" => "?",
        "jsonb_concat" => "||",
        "jsonb_delete_path" => "#-",
        _ => "-",
    };
    by_symbol(symbol, left.clone(), right.clone(), ctx)?.ok_or_else(|| undefined(symbol, &left, &right))
}

fn contains(whole: Typed, part: Typed) -> Typed {
    function("jsonb_contains", "", vec![whole, part], SqlType::Bool, true, |values| match values {
        [whole, part] => jsonb_contains(jsonb_of(*whole)?, jsonb_of(*part)?).map(Datum::Bool),
        _ => Err(wrong_arguments()),
    })
}

/// A member of an object, or a string that is an element or the value itself.
fn has_key(value: Jsonb<'_>, key: &str) -> Result<bool> {
    let is_string =
        |value: Jsonb<'_>| -> Result<bool> { Ok(value.kind()? == JsonbKind::String && value.text()? == key) };
    match value.kind()? {
        JsonbKind::Object => Ok(value.member(key)?.is_some()),
        JsonbKind::Array => {
            for element in value.elements()? {
                if is_string(element?)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        _ => is_string(value),
    }
}
