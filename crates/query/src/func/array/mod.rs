//! Arrays: construction, subscripts, operators and functions over `types`' one byte form of them.
//!
//! Invariants: every array expression travels as BinaryView of that form; kernels know the element type from binding and
//! never look at the bytes without it; results are limited by [`heliosdb_types::ArrayBuilder`].

mod access;
mod combine;
mod compare;
mod construct;
mod convert;
mod quantified;
mod search;
mod shape;

use heliosdb_types::{ArrayView, Datum, DatumRef, Error, PhysicalType, Result, SqlState, SqlType, has_residue};

use super::aggregate::undefined;
use super::common::{common_type, polymorphic_unknown, without_modifier};
use super::udf::Function;
use super::value::{null_of, physical_of_type, wrong_shape};
use super::{CastKind, FuncContext, Typed, cast};

pub use access::{Subscript, assign, subscript};
pub(super) use combine::concat;
pub(super) use compare::{array_key, contains, overlaps};
pub use construct::array_of;
pub(super) use convert::convert_array;
pub use quantified::quantified;

/// `None`: not a function of arrays.
pub(super) fn call(name: &str, args: &[Typed], ctx: &FuncContext) -> Option<Result<Typed>> {
    Some(match (name, args) {
        ("array_append", [_, _]) => combine::append(name, args, ctx),
        ("array_prepend", [_, _]) => combine::prepend(name, args, ctx),
        ("array_cat", [_, _]) => combine::cat(name, args, ctx),
        ("array_remove", [_, _]) => search::remove(name, args, ctx),
        ("array_replace", [_, _, _]) => search::replace(name, args, ctx),
        ("array_position", [_, _] | [_, _, _]) => search::position(name, args, ctx),
        ("array_positions", [_, _]) => search::positions(name, args, ctx),
        ("array_ndims" | "array_dims" | "cardinality", [_]) => shape::measure(name, args, ctx),
        ("array_length" | "array_upper" | "array_lower", [_, _]) => shape::bound(name, args, ctx),
        ("trim_array", [_, _]) => shape::trim(name, args, ctx),
        ("array_fill", [_, _] | [_, _, _]) => construct::fill(name, args, ctx),
        ("array_to_string", [_, _] | [_, _, _]) => construct::to_string(name, args, ctx),
        ("string_to_array", [_, _] | [_, _, _]) => construct::from_string(args, ctx),
        ("arraycontains", [a, b]) => contains("@>", a.clone(), b.clone(), ctx),
        ("arraycontained", [a, b]) => contains("<@", a.clone(), b.clone(), ctx),
        ("arrayoverlap", [a, b]) => overlaps(a.clone(), b.clone(), ctx),
        _ => return None,
    })
}

/// What tells a type apart from every other in a function's key.
pub(crate) fn type_key(sql_type: &SqlType) -> String {
    format!("{}#{}", sql_type.name(), sql_type.oid().0)
}

/// What a parameter of a polymorphic function takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parameter {
    /// An array of the common element type.
    Array,
    /// A value of the common element type.
    Element,
    Int4,
}

/// Finds the element type all arguments agree on (PostgreSQL's `anycompatible`) and casts them; 42883 if there is none.
fn polymorphic(
    name: &str,
    args: &[Typed],
    parameters: &[Parameter],
    ctx: &FuncContext,
) -> Result<(SqlType, Vec<Typed>)> {
    let missing = || undefined(name, args);
    let mut elements: Vec<Typed> = Vec::new();
    for (arg, parameter) in args.iter().zip(parameters) {
        match (parameter, &arg.sql_type) {
            (Parameter::Int4, _) | (_, SqlType::Unknown) => {}
            (Parameter::Array, SqlType::Array(element)) => elements.push(null_of(element)?),
            (Parameter::Array, _) | (Parameter::Element, SqlType::Array(_)) => return Err(missing()),
            (Parameter::Element, other) => elements.push(null_of(other)?),
        }
    }
    if elements.is_empty() {
        elements.push(null_of(&SqlType::Text)?);
    }
    let refs: Vec<&Typed> = elements.iter().collect();
    let element = without_modifier(&common_type(&refs, name).map_err(|_| missing())?);
    let array = element.array_of();
    let cast_all = args.iter().zip(parameters).map(|(arg, parameter)| {
        let to = match parameter {
            Parameter::Array => &array,
            Parameter::Element => &element,
            Parameter::Int4 => &SqlType::Int4,
        };
        cast(arg.clone(), to, CastKind::Implicit, ctx).map_err(|error| match error.state() {
            SqlState::DATATYPE_MISMATCH | SqlState::CANNOT_COERCE => missing(),
            _ => error,
        })
    });
    Ok((element.clone(), cast_all.collect::<Result<Vec<_>>>()?))
}

/// A call of a function of single values. `key` tells it from others of its name.
fn function(
    name: &str,
    key: String,
    args: Vec<Typed>,
    returns: SqlType,
    kernel: impl Fn(&[DatumRef<'_>]) -> Result<Datum> + Send + Sync + 'static,
) -> Typed {
    let types: Vec<PhysicalType> = args.iter().map(Typed::physical).collect();
    let function = Function::values(name, key, types, physical_of_type(&returns), kernel);
    Typed::new(function.call(args.into_iter().map(|arg| arg.expr).collect()), returns)
}

/// An array argument as it is: an array, or an untyped literal, which has no element type.
fn any_array<'a>(name: &str, args: &'a [Typed]) -> Result<(&'a Typed, &'a SqlType)> {
    match args.first() {
        Some(arg) if arg.is_unknown() => Err(polymorphic_unknown()),
        Some(arg) => arg.sql_type.element().map(|element| (arg, element)).ok_or_else(|| undefined(name, args)),
        None => Err(undefined(name, args)),
    }
}

/// The array a kernel got; `None` for NULL.
fn view<'a>(element: &SqlType, value: DatumRef<'a>) -> Result<Option<ArrayView<'a>>> {
    match value {
        DatumRef::Null => Ok(None),
        DatumRef::Bytes(bytes) => ArrayView::new(element, bytes).map(Some),
        other => Err(wrong_shape("an array", other)),
    }
}

fn int4(value: DatumRef<'_>) -> Result<Option<i32>> {
    match value {
        DatumRef::Null => Ok(None),
        DatumRef::Int32(value) => Ok(Some(value)),
        other => Err(wrong_shape("an integer", other)),
    }
}

fn wrong_arguments(name: &str) -> Error {
    Error::internal(format!("{name} got arguments of other types than planned"))
}

/// Elements that can be compared for equality: not json.
fn comparable(element: &SqlType) -> bool {
    has_residue(element) || super::operator::bytes_decide(element)
}

fn not_comparable(element: &SqlType) -> Error {
    let message = format!("could not identify an equality operator for type {}", element.name());
    Error::invalid(SqlState::UNDEFINED_FUNCTION, message)
}
