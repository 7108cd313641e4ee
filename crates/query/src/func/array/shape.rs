//! Dimensions, bounds, sizes.

use heliosdb_types::{ArrayBuilder, Datum, Dimension, Error, Result, SqlState, SqlType};

use super::super::value::int_of;
use super::super::{CastKind, FuncContext, Typed, cast};
use super::{any_array, function, type_key, view, wrong_arguments};

/// `array_ndims`, `array_dims`, `cardinality`.
pub(super) fn measure(name: &str, args: &[Typed], _ctx: &FuncContext) -> Result<Typed> {
    let (array, element) = any_array(name, args)?;
    let (owned, element) = (name.to_owned(), element.clone());
    let returns = if name == "array_dims" { SqlType::Text } else { SqlType::Int4 };
    let key = format!("{name} {}", type_key(&element));
    Ok(function(name, key, vec![array.clone()], returns, move |values| {
        let [array] = values else { return Err(wrong_arguments(&owned)) };
        let Some(array) = view(&element, *array)? else { return Ok(Datum::Null) };
        Ok(match (owned.as_str(), array.dimensions()) {
            ("cardinality", _) => Datum::Int32(array.len() as i32),
            (_, []) => Datum::Null,
            ("array_dims", dimensions) => {
                let shown = dimensions.iter().map(|d| format!("[{}:{}]", d.lower, d.upper()));
                Datum::Text(shown.collect())
            }
            (_, dimensions) => Datum::Int32(dimensions.len() as i32),
        })
    }))
}

/// `array_length`, `array_lower`, `array_upper` of a dimension.
pub(super) fn bound(name: &str, args: &[Typed], ctx: &FuncContext) -> Result<Typed> {
    let (array, element) = any_array(name, args)?;
    let [_, dimension] = args else { return Err(wrong_arguments(name)) };
    let dimension = cast(dimension.clone(), &SqlType::Int4, CastKind::Implicit, ctx)?;
    let (owned, element) = (name.to_owned(), element.clone());
    let key = format!("{name} {}", type_key(&element));
    Ok(function(name, key, vec![array.clone(), dimension], SqlType::Int4, move |values| {
        let [array, at] = values else { return Err(wrong_arguments(&owned)) };
        let Some(array) = view(&element, *array)? else { return Ok(Datum::Null) };
        if at.is_null() {
            return Ok(Datum::Null);
        }
        let at = usize::try_from(int_of(*at)?).ok().and_then(|at| at.checked_sub(1));
        let dimension = at.and_then(|at| array.dimensions().get(at));
        Ok(dimension.map_or(Datum::Null, |dimension| {
            Datum::Int32(match owned.as_str() {
                "array_lower" => dimension.lower,
                "array_upper" => dimension.upper(),
                _ => dimension.length as i32,
            })
        }))
    }))
}

/// `trim_array(array, n)`: without the last n items of the first dimension.
pub(super) fn trim(name: &str, args: &[Typed], ctx: &FuncContext) -> Result<Typed> {
    let (array, element) = any_array(name, args)?;
    let [_, count] = args else { return Err(wrong_arguments(name)) };
    let count = cast(count.clone(), &SqlType::Int4, CastKind::Implicit, ctx)?;
    let (returns, element) = (array.sql_type.clone(), element.clone());
    let key = format!("{name} {}", type_key(&element));
    Ok(function(name, key, vec![array.clone(), count], returns, move |values| {
        let [array, count] = values else { return Err(wrong_arguments("trim_array")) };
        let Some(array) = view(&element, *array)? else { return Ok(Datum::Null) };
        if count.is_null() {
            return Ok(Datum::Null);
        }
        let first = array.dimensions().first().map_or(0, |dimension| dimension.length as usize);
        let count = usize::try_from(int_of(*count)?).ok().filter(|count| *count <= first).ok_or_else(|| {
            let message = format!("number of elements to trim must be between 0 and {first}");
            Error::invalid(SqlState::ARRAY_SUBSCRIPT_ERROR, message)
        })?;
        let mut dimensions = array.dimensions().to_vec();
        let kept = first - count;
        let items = array.len().checked_div(first).unwrap_or(0) * kept;
        let mut builder = ArrayBuilder::new(&element)?;
        for value in array.iter().take(items) {
            builder.push(value?.as_ref())?;
        }
        // What is cut is a slice, and slices start at 1.
        for dimension in &mut dimensions {
            dimension.lower = 1;
        }
        match dimensions.first_mut() {
            Some(dimension) => *dimension = Dimension::of(kept)?,
            None => return builder.finish_as(&[]).map(Datum::Bytes),
        }
        builder.finish_as(&dimensions).map(Datum::Bytes)
    }))
}
