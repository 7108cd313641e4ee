//! Finding parts of JSON: `->`, `->>`, `#>`, `#>>`, subscripts, and what a value is.

use heliosdb_types::{Datum, DatumRef, Error, Jsonb, JsonbKind, Result, SqlState, SqlType, json_kind, split_json};

use super::super::aggregate::undefined;
use super::super::cast::is_integer;
use super::super::{CastKind, FuncContext, Typed, cast};
use super::{
    document, function, implicit, invalid, jsonb_of, text_array, text_of_arg, texts_of, unquoted, unquoted_json,
    wrong_arguments,
};

/// One step into a value.
enum Step<'s> {
    Key(&'s str),
    Index(i64),
    /// A path's element: a key of an object, an index of an array.
    Path(&'s str),
}

fn index_of(text: &str) -> Option<i64> {
    // As C's strtol reads it: leading blanks and a sign are fine.
    text.trim_start().parse::<i32>().ok().map(i64::from)
}

fn step<'a>(value: Jsonb<'a>, step: &Step<'_>) -> Result<Option<Jsonb<'a>>> {
    match (value.kind()?, step) {
        (JsonbKind::Object, Step::Key(key) | Step::Path(key)) => value.member(key),
        (JsonbKind::Array, Step::Index(at)) => value.element(*at),
        (JsonbKind::Array, Step::Path(text)) => match index_of(text) {
            Some(at) => value.element(at),
            None => Ok(None),
        },
        // PostgreSQL keeps a scalar as an array of one.
        (kind, Step::Index(0 | -1)) if kind != JsonbKind::Object => Ok(Some(value)),
        _ => Ok(None),
    }
}

fn step_json<'a>(text: &'a str, step: &Step<'_>) -> Result<Option<&'a str>> {
    let (kind, parts) = match json_kind(text) {
        kind @ (JsonbKind::Object | JsonbKind::Array) => (kind, split_json(text)?),
        _ => return Ok(None),
    };
    let at = match (kind, step) {
        (JsonbKind::Object, Step::Key(key) | Step::Path(key)) => {
            // Of several members of one name the last one counts.
            return Ok(parts.iter().rev().find(|part| part.key.as_deref() == Some(*key)).map(|part| part.text));
        }
        (JsonbKind::Array, Step::Index(at)) => *at,
        (JsonbKind::Array, Step::Path(text)) => match index_of(text) {
            Some(at) => at,
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    let at = if at < 0 { parts.len() as i64 + at } else { at };
    Ok(usize::try_from(at).ok().and_then(|at| parts.get(at)).map(|part| part.text))
}

/// Follows steps into a json or jsonb argument.
fn follow(document: DatumRef<'_>, steps: &[Step<'_>], as_text: bool) -> Result<Datum> {
    match document {
        DatumRef::Bytes(bytes) => {
            let mut value = Jsonb::new(bytes);
            for one in steps {
                match step(value, one)? {
                    Some(next) => value = next,
                    None => return Ok(Datum::Null),
                }
            }
            if as_text { unquoted(value) } else { Ok(Datum::Bytes(value.as_bytes().to_vec())) }
        }
        DatumRef::Text(text) => {
            let mut text = text;
            for one in steps {
                match step_json(text, one)? {
                    Some(next) => text = next,
                    None => return Ok(Datum::Null),
                }
            }
            if as_text { unquoted_json(text) } else { Ok(Datum::Text(text.to_owned())) }
        }
        _ => Err(wrong_arguments()),
    }
}

/// `->` and `->>` with a key or an index; `None` if there is no such operator.
pub(super) fn arrow(symbol: &str, left: Typed, right: Typed, ctx: &FuncContext) -> Result<Option<Typed>> {
    let as_text = symbol == "->>";
    let index = is_integer(&right.sql_type) && right.sql_type != SqlType::Int8;
    let text = right.is_unknown() || super::super::cast::is_text(&right.sql_type);
    if !index && !text {
        return Ok(None);
    }
    let right = cast(right, if index { &SqlType::Int4 } else { &SqlType::Text }, CastKind::Implicit, ctx)?;
    let returns = if as_text { SqlType::Text } else { left.sql_type.clone() };
    let family = left.sql_type.name();
    let name = match (index, as_text) {
        (true, false) => format!("{family}_array_element"),
        (true, true) => format!("{family}_array_element_text"),
        (false, false) => format!("{family}_object_field"),
        (false, true) => format!("{family}_object_field_text"),
    };
    Ok(Some(function(&name, "", vec![left, right], returns, true, move |values| match values {
        [document, DatumRef::Int32(at)] => follow(*document, &[Step::Index(i64::from(*at))], as_text),
        [document, DatumRef::Text(key)] => follow(*document, &[Step::Key(key)], as_text),
        _ => Err(wrong_arguments()),
    })))
}

/// `#>` and `#>>`.
pub(super) fn path(symbol: &str, left: Typed, right: Typed, ctx: &FuncContext) -> Result<Option<Typed>> {
    if !right.is_unknown() && right.sql_type != text_array() {
        return Ok(None);
    }
    let as_text = symbol == "#>>";
    let right = cast(right, &text_array(), CastKind::Implicit, ctx)?;
    let returns = if as_text { SqlType::Text } else { left.sql_type.clone() };
    let name = format!("{}_extract_path{}", left.sql_type.name(), if as_text { "_text" } else { "" });
    Ok(Some(function(&name, "array", vec![left, right], returns, true, move |values| {
        let [document, path] = values else { return Err(wrong_arguments()) };
        follow_path(*document, &texts_of(*path)?, as_text)
    })))
}

fn follow_path(document: DatumRef<'_>, path: &[Option<String>], as_text: bool) -> Result<Datum> {
    let steps: Option<Vec<Step<'_>>> = path.iter().map(|text| text.as_deref().map(Step::Path)).collect();
    match steps {
        Some(steps) => follow(document, &steps, as_text),
        None => Ok(Datum::Null),
    }
}

/// `json_extract_path(document, key, ...)`.
pub(super) fn extract_path(name: &str, args: &[Typed], ctx: &FuncContext) -> Result<Typed> {
    let document = document(name, args, ctx)?;
    let as_text = name.ends_with("_text");
    let returns = if as_text { SqlType::Text } else { document.sql_type.clone() };
    let mut all = vec![document];
    for at in 1..args.len() {
        all.push(implicit(name, args, at, &SqlType::Text, ctx)?);
    }
    Ok(function(name, "", all, returns, true, move |values| {
        let [document, path @ ..] = values else { return Err(wrong_arguments()) };
        let path = path.iter().map(|key| text_of_arg(*key).map(|key| Some(key.to_owned())));
        follow_path(*document, &path.collect::<Result<Vec<_>>>()?, as_text)
    }))
}

/// `json_extract_path(document, VARIADIC keys)`, which is `document #> keys`.
pub(super) fn extract_path_of(name: &str, args: &[Typed], keys: Typed, ctx: &FuncContext) -> Result<Typed> {
    let symbol = if name.ends_with("_text") { "#>>" } else { "#>" };
    path(symbol, document(name, args, ctx)?, keys, ctx)?.ok_or_else(|| undefined(name, args))
}

/// `j['a'][0]`: a key of an object or an index of an array each.
pub fn subscript_json(value: Typed, subscripts: Vec<Typed>, ctx: &FuncContext) -> Result<Typed> {
    let returns = value.sql_type.clone();
    if returns != SqlType::Jsonb {
        let message = format!("cannot subscript type {} because it does not support subscripting", returns.name());
        return Err(Error::invalid(SqlState::DATATYPE_MISMATCH, message));
    }
    let mut all = vec![value];
    for subscript in subscripts {
        let integer = is_integer(&subscript.sql_type) && subscript.sql_type != SqlType::Int8;
        let text = subscript.is_unknown() || super::super::cast::is_text(&subscript.sql_type);
        if !integer && !text {
            let message = format!("subscript type {} is not supported", subscript.sql_type.name());
            return Err(Error::invalid(SqlState::DATATYPE_MISMATCH, message)
                .with_hint("jsonb subscript must be coercible to either integer or text."));
        }
        let to = if integer { SqlType::Int4 } else { SqlType::Text };
        all.push(cast(subscript, &to, CastKind::Implicit, ctx)?);
    }
    Ok(function("jsonb_subscript", "", all, returns, true, |values| {
        let [document, subscripts @ ..] = values else { return Err(wrong_arguments()) };
        let indexes: Vec<String> = subscripts
            .iter()
            .map(|subscript| match subscript {
                DatumRef::Int32(at) => at.to_string(),
                DatumRef::Text(text) => (*text).to_owned(),
                _ => String::new(),
            })
            .collect();
        let steps: Vec<Step<'_>> = indexes.iter().map(|text| Step::Path(text)).collect();
        follow(*document, &steps, false)
    }))
}

/// `json_typeof`, `json_array_length` and their jsonb twins.
pub(super) fn measure(name: &str, args: &[Typed], ctx: &FuncContext) -> Result<Typed> {
    let document = document(name, args, ctx)?;
    if name.ends_with("typeof") {
        return Ok(function(name, "", vec![document], SqlType::Text, true, |values| match values {
            [DatumRef::Text(text)] => Ok(Datum::Text(json_kind(text).name().into())),
            [value] => Ok(Datum::Text(jsonb_of(*value)?.kind()?.name().into())),
            _ => Err(wrong_arguments()),
        }));
    }
    if args.len() != 1 {
        return Err(undefined(name, args));
    }
    Ok(function(name, "", vec![document], SqlType::Int4, true, |values| {
        let (kind, count) = match values {
            [DatumRef::Text(text)] => {
                let kind = json_kind(text);
                (kind, if kind == JsonbKind::Array { split_json(text)?.len() } else { 0 })
            }
            [value] => {
                let value = jsonb_of(*value)?;
                (value.kind()?, value.len()?)
            }
            _ => return Err(wrong_arguments()),
        };
        match kind {
            JsonbKind::Array => Ok(Datum::Int32(count as i32)),
            JsonbKind::Object => Err(invalid("cannot get array length of a non-array")),
            _ => Err(invalid("cannot get array length of a scalar")),
        }
    }))
}
