//! Calls whose last argument is `VARIADIC array`: the elements are the arguments.

use heliosdb_types::{ArrayView, Datum, DatumRef, Error, PhysicalType, Result, SqlState, SqlType, text_of};

use super::super::udf::Function;
use super::super::value::{text_literal, text_of_datum};
use super::super::{FuncContext, Typed, array, json};
use super::special::{format_text, open_parameter};
use super::{to_text, undefined, wrong_arguments};

/// A call of a function that takes any number of arguments, the last of them an array of arguments.
///
/// Errors: functions of a fixed number of arguments do not exist with an array in the last one's place (42883); functions of
/// arguments of any type want an array there (42804).
pub fn call_variadic(name: &str, args: &[Typed], ctx: &FuncContext) -> Result<Typed> {
    if let Some(error) = open_parameter(name, args) {
        return Err(error);
    }
    let element = args.last().and_then(|last| last.sql_type.element());
    let of_any = matches!(
        (name, args.len()),
        ("concat" | "num_nulls" | "num_nonnulls", 1)
            | ("json_build_array" | "jsonb_build_array" | "json_build_object" | "jsonb_build_object", 1)
            | ("concat_ws" | "format", 2)
    );
    if of_any && element.is_none() {
        return Err(Error::invalid(SqlState::DATATYPE_MISMATCH, "VARIADIC argument must be an array"));
    }
    let joined =
        |args: &[Typed]| array::call("array_to_string", args, ctx).unwrap_or_else(|| Err(undefined(name, args)));
    match (name, args, element) {
        ("concat", [array], _) => joined(&[array.clone(), text_literal("", SqlType::Text)]),
        ("concat_ws", [separator, array], _) => joined(&[array.clone(), to_text(separator.clone(), ctx)?]),
        ("format", [pattern, array], Some(element)) => format_elements(pattern, array, element, ctx),
        ("num_nulls" | "num_nonnulls", [array], Some(element)) => {
            Ok(count_elements(name == "num_nulls", array, element))
        }
        _ => json::call_variadic(name, args, element, ctx).unwrap_or_else(|| Err(undefined(name, args))),
    }
}

/// No array is no arguments.
fn format_elements(pattern: &Typed, array: &Typed, element: &SqlType, ctx: &FuncContext) -> Result<Typed> {
    let args = vec![to_text(pattern.clone(), ctx)?, array.clone()];
    let types = args.iter().map(Typed::physical).collect();
    let (element, context) = (element.clone(), ctx.text.clone());
    let key = format!("format VARIADIC {} {}", array.sql_type.name(), context.time_zone.name());
    let function = Function::values("format", key, types, PhysicalType::Text, move |values| {
        let [pattern, array] = values else { return Err(wrong_arguments("format")) };
        if pattern.is_null() {
            return Ok(Datum::Null);
        }
        let mut texts = Vec::new();
        if let DatumRef::Bytes(bytes) = array {
            for value in ArrayView::new(&element, bytes)?.iter() {
                let value = value?;
                texts.push((!value.is_null()).then(|| text_of(value.as_ref(), &element, &context)));
            }
        }
        let texts: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
        format_text(text_of_datum(*pattern)?, &texts).map(Datum::Text)
    });
    Ok(Typed::new(function.call(args.into_iter().map(|arg| arg.expr).collect()), SqlType::Text))
}

fn count_elements(nulls: bool, array: &Typed, element: &SqlType) -> Typed {
    let name = if nulls { "num_nulls" } else { "num_nonnulls" };
    let (element, key) = (element.clone(), format!("{name} VARIADIC {}", array.sql_type.name()));
    let function = Function::strict(name, key, vec![array.physical()], PhysicalType::Int32, move |values| {
        let [DatumRef::Bytes(bytes)] = values else { return Err(wrong_arguments("num_nulls")) };
        let mut count = 0;
        for value in ArrayView::new(&element, bytes)?.iter() {
            count += i32::from(value?.is_null() == nulls);
        }
        Ok(Datum::Int32(count))
    });
    Typed::new(function.call(vec![array.expr.clone()]), SqlType::Int4)
}
