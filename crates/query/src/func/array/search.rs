//! Finding, removing and replacing elements. Equal is what `IS NOT DISTINCT FROM` says: NULL finds NULL.

use heliosdb_types::{
    ArrayBuilder, ArrayView, Datum, DatumRef, Dimension, Error, Result, SqlState, SqlType, element_key,
};

use super::super::{FuncContext, Typed};
use super::{Parameter, comparable, function, int4, not_comparable, polymorphic, type_key, view, wrong_arguments};

fn searchable(
    name: &str,
    args: &[Typed],
    parameters: &[Parameter],
    ctx: &FuncContext,
) -> Result<(SqlType, Vec<Typed>)> {
    let (element, args) = polymorphic(name, args, parameters, ctx)?;
    if comparable(&element) { Ok((element, args)) } else { Err(not_comparable(&element)) }
}

/// Positions, from 0, of elements equal to the wanted one.
fn matches<'a>(
    element: &SqlType,
    array: &ArrayView<'a>,
    wanted: DatumRef<'_>,
) -> Result<impl Iterator<Item = Result<bool>> + use<'a>> {
    let wanted = element_key(element, wanted)?;
    Ok(array.keys().map(move |key| key.map(|key| key == wanted.as_deref())))
}

pub(super) fn remove(name: &str, args: &[Typed], ctx: &FuncContext) -> Result<Typed> {
    let (element, args) = searchable(name, args, &[Parameter::Array, Parameter::Element], ctx)?;
    let (key, returns) = (format!("{name} {}", type_key(&element)), element.array_of());
    Ok(function(name, key, args, returns, move |values| {
        let [bytes, wanted] = values else { return Err(wrong_arguments("array_remove")) };
        let Some(array) = view(&element, *bytes)? else { return Ok(Datum::Null) };
        if array.dimensions().len() > 1 {
            return Err(Error::invalid(
                SqlState::FEATURE_NOT_SUPPORTED,
                "removing elements from multidimensional arrays is not supported",
            ));
        }
        let mut builder = ArrayBuilder::new(&element)?;
        for (value, equal) in array.iter().zip(matches(&element, &array, *wanted)?) {
            if !equal? {
                builder.push(value?.as_ref())?;
            }
        }
        let lower = array.dimensions().first().map_or(1, |dimension| dimension.lower);
        let dimension = Dimension::new(builder.len(), lower)?;
        builder.finish_as(&[dimension]).map(Datum::Bytes)
    }))
}

pub(super) fn replace(name: &str, args: &[Typed], ctx: &FuncContext) -> Result<Typed> {
    let parameters = [Parameter::Array, Parameter::Element, Parameter::Element];
    let (element, args) = searchable(name, args, &parameters, ctx)?;
    let (key, returns) = (format!("{name} {}", type_key(&element)), element.array_of());
    Ok(function(name, key, args, returns, move |values| {
        let [bytes, wanted, new] = values else { return Err(wrong_arguments("array_replace")) };
        let Some(array) = view(&element, *bytes)? else { return Ok(Datum::Null) };
        let mut builder = ArrayBuilder::new(&element)?;
        for (value, equal) in array.iter().zip(matches(&element, &array, *wanted)?) {
            let value = value?;
            builder.push(if equal? { *new } else { value.as_ref() })?;
        }
        builder.finish_as(array.dimensions()).map(Datum::Bytes)
    }))
}

fn one_dimension(array: &ArrayView<'_>) -> Result<i32> {
    if array.dimensions().len() > 1 {
        return Err(Error::invalid(
            SqlState::FEATURE_NOT_SUPPORTED,
            "searching for elements in multidimensional arrays is not supported",
        ));
    }
    Ok(array.dimensions().first().map_or(1, |dimension| dimension.lower))
}

/// `array_position(array, element [, start])`: the first subscript, or NULL.
pub(super) fn position(name: &str, args: &[Typed], ctx: &FuncContext) -> Result<Typed> {
    let parameters = [Parameter::Array, Parameter::Element, Parameter::Int4];
    let (element, args) = searchable(name, args, &parameters, ctx)?;
    let key = format!("{name} {}", type_key(&element));
    Ok(function(name, key, args, SqlType::Int4, move |values| {
        let [bytes, wanted, start @ ..] = values else { return Err(wrong_arguments("array_position")) };
        let Some(array) = view(&element, *bytes)? else { return Ok(Datum::Null) };
        if array.dimensions().is_empty() {
            return Ok(Datum::Null);
        }
        let lower = one_dimension(&array)?;
        // A NULL is looked for only where there is one, and nobody asks from where before that.
        if wanted.is_null() && array.iter().all(|value| value.is_ok_and(|value| !value.as_ref().is_null())) {
            return Ok(Datum::Null);
        }
        let start = match start.first() {
            Some(start) => int4(*start)?
                .ok_or_else(|| Error::invalid(SqlState::NULL_VALUE_NOT_ALLOWED, "initial position must not be null"))?,
            None => lower,
        };
        for (subscript, equal) in (i64::from(lower)..).zip(matches(&element, &array, *wanted)?) {
            if equal? && subscript >= i64::from(start) {
                return Ok(Datum::Int32(subscript as i32));
            }
        }
        Ok(Datum::Null)
    }))
}

pub(super) fn positions(name: &str, args: &[Typed], ctx: &FuncContext) -> Result<Typed> {
    let (element, args) = searchable(name, args, &[Parameter::Array, Parameter::Element], ctx)?;
    let key = format!("{name} {}", type_key(&element));
    Ok(function(name, key, args, SqlType::Int4.array_of(), move |values| {
        let [bytes, wanted] = values else { return Err(wrong_arguments("array_positions")) };
        let Some(array) = view(&element, *bytes)? else { return Ok(Datum::Null) };
        let lower = one_dimension(&array)?;
        let mut found = ArrayBuilder::new(&SqlType::Int4)?;
        for (subscript, equal) in (i64::from(lower)..).zip(matches(&element, &array, *wanted)?) {
            if equal? {
                found.push(DatumRef::Int32(subscript as i32))?;
            }
        }
        found.finish().map(Datum::Bytes)
    }))
}
