//! Making JSON of SQL values.

use std::borrow::Cow;

use heliosdb_types::{ArrayView, Datum, DatumRef, Error, JsonTree, Result, SqlState, SqlType, write_json_string};

use super::super::aggregate::undefined;
use super::super::common::polymorphic_unknown;
use super::super::{CastKind, FuncContext, Typed, cast};
use super::{Converter, function, implicit, invalid, text_array, texts_of, wrong_arguments};

fn settle(arg: Typed, ctx: &FuncContext) -> Result<Typed> {
    if arg.is_unknown() { cast(arg, &SqlType::Text, CastKind::Implicit, ctx) } else { Ok(arg) }
}

/// `to_json(value)` and `to_jsonb(value)`.
pub(super) fn to_json(binary: bool, arg: Typed, ctx: &FuncContext) -> Result<Typed> {
    if arg.is_unknown() {
        return Err(polymorphic_unknown());
    }
    let converter = Converter::new(&arg.sql_type, &ctx.text);
    let name = if binary { "to_jsonb" } else { "to_json" };
    let (key, returns) = (converter.key(), if binary { SqlType::Jsonb } else { SqlType::Json });
    Ok(function(name, key, vec![arg], returns, true, move |values| {
        let [value] = values else { return Err(wrong_arguments()) };
        if binary {
            return converter.tree(*value)?.encode().map(Datum::Bytes);
        }
        let mut out = String::new();
        converter.write(*value, false, &mut out)?;
        Ok(Datum::Text(out))
    }))
}

/// `row_to_json(row [, pretty])` and `array_to_json(array [, pretty])`.
pub(super) fn container_to_json(name: &str, args: &[Typed], ctx: &FuncContext) -> Result<Typed> {
    let Some(arg) = args.first() else { return Err(undefined(name, args)) };
    let fits = match name {
        "row_to_json" => matches!(arg.sql_type, SqlType::Record(_)),
        _ if arg.is_unknown() => return Err(polymorphic_unknown()),
        _ => matches!(arg.sql_type, SqlType::Array(_)),
    };
    if !fits {
        return Err(undefined(name, args));
    }
    let mut all = vec![arg.clone()];
    if args.len() > 1 {
        all.push(implicit(name, args, 1, &SqlType::Bool, ctx)?);
    }
    let converter = Converter::new(&arg.sql_type, &ctx.text);
    Ok(function(name, converter.key(), all, SqlType::Json, true, move |values| {
        let [value, pretty @ ..] = values else { return Err(wrong_arguments()) };
        let mut out = String::new();
        converter.write(*value, pretty.first() == Some(&DatumRef::Bool(true)), &mut out)?;
        Ok(Datum::Text(out))
    }))
}

/// The arguments with what makes JSON of each.
fn converters(args: &[Typed], ctx: &FuncContext) -> Result<(Vec<Typed>, Vec<Converter>, String)> {
    let args = args.iter().map(|arg| settle(arg.clone(), ctx)).collect::<Result<Vec<_>>>()?;
    let converters: Vec<Converter> = args.iter().map(|arg| Converter::new(&arg.sql_type, &ctx.text)).collect();
    let key = converters.iter().map(Converter::key).collect::<Vec<_>>().join(", ");
    Ok((args, converters, key))
}

/// `json_build_object(key, value, ...)`.
pub(super) fn object(name: &str, args: &[Typed], ctx: &FuncContext) -> Result<Typed> {
    let (args, converters, key) = converters(args, ctx)?;
    let binary = name.starts_with("jsonb");
    let returns = if binary { SqlType::Jsonb } else { SqlType::Json };
    if args.is_empty() {
        return cast(super::super::value::text_literal("{}", SqlType::Unknown), &returns, CastKind::Implicit, ctx);
    }
    let shown = name.to_owned();
    Ok(function(name, key, args, returns, false, move |values| {
        let all: Vec<_> = values.iter().copied().zip(&converters).collect();
        object_of(&shown, binary, &all)
    }))
}

/// An object of keys and values in turns.
fn object_of(name: &str, binary: bool, values: &[(DatumRef<'_>, &Converter)]) -> Result<Datum> {
    if !values.len().is_multiple_of(2) {
        let hint = format!("The arguments of {name}() must consist of alternating keys and values.");
        return Err(invalid("argument list must have even number of elements").with_hint(hint));
    }
    let (mut members, mut out) = (Vec::with_capacity(values.len() / 2), String::from("{"));
    for (at, pair) in values.chunks_exact(2).enumerate() {
        let [(key, key_converter), (value, converter)] = pair else { return Err(wrong_arguments()) };
        if key.is_null() {
            return Err(null_key(binary, 2 * at + 1));
        }
        let key = key_converter.member_name(*key)?;
        if binary {
            members.push((Cow::Owned(key), converter.tree(*value)?));
            continue;
        }
        if at > 0 {
            out.push_str(", ");
        }
        write_json_string(&key, &mut out);
        out.push_str(" : ");
        converter.write(*value, false, &mut out)?;
    }
    if binary {
        return JsonTree::Object(members).encode().map(Datum::Bytes);
    }
    out.push('}');
    Ok(Datum::Text(out))
}

fn null_key(binary: bool, at: usize) -> Error {
    if binary {
        return invalid(format!("argument {at}: key must not be null"));
    }
    invalid(format!("argument {at} cannot be null")).with_hint("Object keys should be text.")
}

/// `json_build_array(value, ...)`.
pub(super) fn array(name: &str, args: &[Typed], ctx: &FuncContext) -> Result<Typed> {
    let (args, converters, key) = converters(args, ctx)?;
    let binary = name.starts_with("jsonb");
    let returns = if binary { SqlType::Jsonb } else { SqlType::Json };
    if args.is_empty() {
        return cast(super::super::value::text_literal("[]", SqlType::Unknown), &returns, CastKind::Implicit, ctx);
    }
    Ok(function(name, key, args, returns, false, move |values| {
        let all: Vec<_> = values.iter().copied().zip(&converters).collect();
        array_of(binary, &all)
    }))
}

fn array_of(binary: bool, values: &[(DatumRef<'_>, &Converter)]) -> Result<Datum> {
    if binary {
        let elements = values.iter().map(|(value, converter)| converter.tree(*value));
        return JsonTree::Array(elements.collect::<Result<_>>()?).encode().map(Datum::Bytes);
    }
    let mut out = String::from("[");
    for (at, (value, converter)) in values.iter().enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        converter.write(*value, false, &mut out)?;
    }
    out.push(']');
    Ok(Datum::Text(out))
}

/// `json_build_object(VARIADIC array)` and `json_build_array(VARIADIC array)`: NULL for no array.
pub(super) fn of_elements(name: &str, array: Typed, element: &SqlType, ctx: &FuncContext) -> Typed {
    let binary = name.starts_with("jsonb");
    let returns = if binary { SqlType::Jsonb } else { SqlType::Json };
    let (shown, element, converter) = (name.to_owned(), element.clone(), Converter::new(element, &ctx.text));
    let key = format!("VARIADIC {}", converter.key());
    function(name, key, vec![array], returns, true, move |values| {
        let [DatumRef::Bytes(bytes)] = values else { return Err(wrong_arguments()) };
        let elements = ArrayView::new(&element, bytes)?.iter().collect::<Result<Vec<_>>>()?;
        let all: Vec<_> = elements.iter().map(|value| (value.as_ref(), &converter)).collect();
        if shown.ends_with("object") { object_of(&shown, binary, &all) } else { array_of(binary, &all) }
    })
}

/// `json_object(keys and values)` and `json_object(keys, values)`.
pub(super) fn object_of_texts(name: &str, args: &[Typed], ctx: &FuncContext) -> Result<Typed> {
    let all = (0..args.len()).map(|at| implicit(name, args, at, &text_array(), ctx)).collect::<Result<Vec<_>>>()?;
    let binary = name.starts_with("jsonb");
    let returns = if binary { SqlType::Jsonb } else { SqlType::Json };
    let wrong = |message: &str| Error::invalid(SqlState(*b"2202E"), message.to_owned());
    Ok(function(name, "", all, returns, true, move |values| {
        let (keys, texts): (Vec<_>, Vec<_>) = match values {
            [DatumRef::Bytes(bytes)] => {
                let dimensions = heliosdb_types::ArrayView::new(&SqlType::Text, bytes)?;
                match dimensions.dimensions() {
                    [] | [_] => {}
                    [_, second] if second.length == 2 => {}
                    [_, _] => return Err(wrong("array must have two columns")),
                    _ => return Err(wrong("wrong number of array subscripts")),
                }
                let all = texts_of(DatumRef::Bytes(bytes))?;
                if all.len() % 2 != 0 {
                    return Err(wrong("array must have even number of elements"));
                }
                let pairs = all.chunks_exact(2);
                pairs.map(|pair| (pair.first().cloned().flatten(), pair.last().cloned().flatten())).unzip()
            }
            [DatumRef::Bytes(keys), DatumRef::Bytes(texts)] => {
                let dimensions =
                    |bytes| heliosdb_types::ArrayView::new(&SqlType::Text, bytes).map(|array| array.dimensions().len());
                let of_keys = dimensions(keys)?;
                if of_keys > 1 || of_keys != dimensions(texts)? {
                    return Err(wrong("wrong number of array subscripts"));
                }
                let (keys, texts) = (texts_of(DatumRef::Bytes(keys))?, texts_of(DatumRef::Bytes(texts))?);
                if keys.len() != texts.len() {
                    return Err(wrong("mismatched array dimensions"));
                }
                (keys, texts)
            }
            _ => return Err(wrong_arguments()),
        };
        let (mut members, mut out) = (Vec::with_capacity(keys.len()), String::from("{"));
        for (at, (key, text)) in keys.into_iter().zip(texts).enumerate() {
            let Some(key) = key else {
                let message = "null value not allowed for object key";
                return Err(Error::invalid(SqlState::NULL_VALUE_NOT_ALLOWED, message));
            };
            if at > 0 {
                out.push_str(", ");
            }
            write_json_string(&key, &mut out);
            out.push_str(" : ");
            match &text {
                Some(text) => write_json_string(text, &mut out),
                None => out.push_str("null"),
            }
            members.push((Cow::Owned(key), text.map_or(JsonTree::Null, |text| JsonTree::String(Cow::Owned(text)))));
        }
        out.push('}');
        if binary { JsonTree::Object(members).encode().map(Datum::Bytes) } else { Ok(Datum::Text(out)) }
    }))
}
