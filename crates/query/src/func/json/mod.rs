//! json and jsonb: operators, functions, and SQL values as JSON.
//!
//! Invariants: json travels as checked text, jsonb as [`heliosdb_types::Jsonb`] bytes; whatever makes either goes through
//! [`Converter`], `JsonTree` or the parser, so that no kernel writes JSON by hand that was not escaped.

mod build;
mod change;
mod convert;
mod get;
mod operator;
mod populate;
mod rows;

use heliosdb_types::{ArrayView, Datum, DatumRef, Error, Jsonb, PhysicalType, Result, SqlState, SqlType};

use super::aggregate::undefined;
use super::udf::Function;
use super::value::physical_of_type;
use super::{CastKind, FuncContext, Typed, cast};

pub(super) use convert::Converter;
pub use get::subscript_json;
pub(super) use operator::binary;
pub use populate::{RecordColumn, is_record_function, record_rows};
pub(super) use rows::{gives_rows, rows};

/// `None`: not a function of JSON.
pub(super) fn call(name: &str, args: &[Typed], ctx: &FuncContext) -> Option<Result<Typed>> {
    Some(match (name, args) {
        ("to_json" | "to_jsonb", [arg]) => build::to_json(name == "to_jsonb", arg.clone(), ctx),
        ("row_to_json" | "array_to_json", [_] | [_, _]) => build::container_to_json(name, args, ctx),
        ("json_build_object" | "jsonb_build_object", _) => build::object(name, args, ctx),
        ("json_build_array" | "jsonb_build_array", _) => build::array(name, args, ctx),
        ("json_object" | "jsonb_object", [_] | [_, _]) => build::object_of_texts(name, args, ctx),
        ("json_typeof" | "jsonb_typeof" | "json_array_length" | "jsonb_array_length", [_]) => {
            get::measure(name, args, ctx)
        }
        ("json_strip_nulls" | "jsonb_strip_nulls", [_]) => change::strip_nulls(name, args, ctx),
        ("jsonb_pretty", [_]) => change::pretty(args, ctx),
        ("jsonb_set", [_, _, _] | [_, _, _, _]) => change::set(name, args, ctx),
        ("jsonb_insert", [_, _, _] | [_, _, _, _]) => change::set(name, args, ctx),
        ("jsonb_set_lax", [_, _, _] | [_, _, _, _] | [_, _, _, _, _]) => change::set_lax(args, ctx),
        (
            "json_extract_path" | "json_extract_path_text" | "jsonb_extract_path" | "jsonb_extract_path_text",
            [_, ..],
        ) => get::extract_path(name, args, ctx),
        ("jsonb_contains" | "jsonb_exists" | "jsonb_concat" | "jsonb_delete" | "jsonb_delete_path", [a, b]) => {
            operator::by_name(name, a.clone(), b.clone(), ctx)
        }
        (
            "jsonb_path_query"
            | "jsonb_path_exists"
            | "jsonb_path_match"
            | "jsonb_path_query_array"
            | "jsonb_path_query_first",
            _,
        ) => Err(Error::unsupported(format!("{name} (jsonpath)"))),
        (
            "json_populate_record" | "jsonb_populate_record" | "json_populate_recordset" | "jsonb_populate_recordset",
            _,
        ) => Err(Error::unsupported(name)
            .with_hint("Use json_to_record or json_to_recordset with a column definition list.")),
        _ => return None,
    })
}

/// A call whose last argument is `VARIADIC array`; `None`: not a function of JSON.
pub(super) fn call_variadic(
    name: &str,
    args: &[Typed],
    element: Option<&SqlType>,
    ctx: &FuncContext,
) -> Option<Result<Typed>> {
    Some(match (name, args) {
        ("json_build_object" | "jsonb_build_object" | "json_build_array" | "jsonb_build_array", [array]) => {
            Ok(build::of_elements(name, array.clone(), element?, ctx))
        }
        (
            "json_extract_path" | "json_extract_path_text" | "jsonb_extract_path" | "jsonb_extract_path_text",
            [_, path],
        ) => get::extract_path_of(name, args, path.clone(), ctx),
        _ => return None,
    })
}

/// A call of a function of single values. `key` tells it from others of its name.
fn function(
    name: &str,
    key: impl Into<String>,
    args: Vec<Typed>,
    returns: SqlType,
    strict: bool,
    kernel: impl Fn(&[DatumRef<'_>]) -> Result<Datum> + Send + Sync + 'static,
) -> Typed {
    let types: Vec<PhysicalType> = args.iter().map(Typed::physical).collect();
    let physical = physical_of_type(&returns);
    let function = if strict {
        Function::strict(name, key, types, physical, kernel)
    } else {
        Function::values(name, key, types, physical, kernel)
    };
    Typed::new(function.call(args.into_iter().map(|arg| arg.expr).collect()), returns)
}

/// The argument as json or jsonb, whichever the function's name begins with; 42883 if it is another type.
fn document(name: &str, args: &[Typed], ctx: &FuncContext) -> Result<Typed> {
    let arg = args.first().ok_or_else(|| undefined(name, args))?;
    let to = if name.starts_with("jsonb") { SqlType::Jsonb } else { SqlType::Json };
    if arg.sql_type == to {
        return Ok(arg.clone());
    }
    if arg.is_unknown() { cast(arg.clone(), &to, CastKind::Implicit, ctx) } else { Err(undefined(name, args)) }
}

fn implicit(name: &str, args: &[Typed], at: usize, to: &SqlType, ctx: &FuncContext) -> Result<Typed> {
    let arg = args.get(at).ok_or_else(|| undefined(name, args))?;
    cast(arg.clone(), to, CastKind::Implicit, ctx).map_err(|error| match error.state() {
        SqlState::DATATYPE_MISMATCH => undefined(name, args),
        _ => error,
    })
}

fn text_array() -> SqlType {
    SqlType::Text.array_of()
}

fn wrong_arguments() -> Error {
    Error::internal("a JSON function got arguments of other types than planned")
}

fn invalid(message: impl Into<String>) -> Error {
    Error::invalid(SqlState::INVALID_PARAMETER_VALUE, message)
}

/// A jsonb argument's value.
fn jsonb_of(value: DatumRef<'_>) -> Result<Jsonb<'_>> {
    match value {
        DatumRef::Bytes(bytes) => Ok(Jsonb::new(bytes)),
        _ => Err(wrong_arguments()),
    }
}

fn text_of_arg(value: DatumRef<'_>) -> Result<&str> {
    match value {
        DatumRef::Text(text) => Ok(text),
        _ => Err(wrong_arguments()),
    }
}

/// The elements of a text[] argument.
fn texts_of(value: DatumRef<'_>) -> Result<Vec<Option<String>>> {
    let DatumRef::Bytes(bytes) = value else { return Err(wrong_arguments()) };
    let array = ArrayView::new(&SqlType::Text, bytes)?;
    let element = |value: Datum| match value {
        Datum::Text(text) => Ok(Some(text)),
        Datum::Null => Ok(None),
        _ => Err(wrong_arguments()),
    };
    array.iter().map(|value| element(value?.into_datum())).collect()
}

/// The same of an array of one dimension.
fn list_of_texts(value: DatumRef<'_>) -> Result<Vec<Option<String>>> {
    if let DatumRef::Bytes(bytes) = value
        && ArrayView::new(&SqlType::Text, bytes)?.dimensions().len() > 1
    {
        return Err(Error::invalid(SqlState(*b"2202E"), "wrong number of array subscripts"));
    }
    texts_of(value)
}

/// A jsonb value as its text; a string as its characters, null as NULL (what `->>` gives).
fn unquoted(value: Jsonb<'_>) -> Result<Datum> {
    use heliosdb_types::JsonbKind;
    match value.kind()? {
        JsonbKind::Null => Ok(Datum::Null),
        JsonbKind::String => Ok(Datum::Text(value.text()?.to_owned())),
        _ => {
            let mut out = String::new();
            heliosdb_types::write_jsonb(value, false, &mut out)?;
            Ok(Datum::Text(out))
        }
    }
}

/// A json value likewise.
fn unquoted_json(text: &str) -> Result<Datum> {
    use heliosdb_types::JsonbKind;
    Ok(match heliosdb_types::json_kind(text) {
        JsonbKind::Null => Datum::Null,
        JsonbKind::String => Datum::Text(heliosdb_types::unescape_json(text.trim())?.into_owned()),
        _ => Datum::Text(text.to_owned()),
    })
}
