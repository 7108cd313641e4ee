//! ARRAY[...], array_fill, and arrays out of and into strings.

use heliosdb_types::{
    ArrayBuilder, Datum, DatumRef, Dimension, Error, Result, SqlState, SqlType, element_count, text_of,
    too_many_dimensions,
};

use super::super::value::text_of_datum;
use super::super::{CastKind, FuncContext, Typed, cast};
use super::{any_array, function, type_key, view, wrong_arguments};

/// `ARRAY[a, b]`. Elements that are arrays make one of one more dimension.
pub fn array_of(elements: Vec<Typed>, ctx: &FuncContext) -> Result<Typed> {
    if elements.is_empty() {
        let message = "cannot determine type of empty array";
        return Err(Error::invalid(SqlState::INDETERMINATE_DATATYPE, message)
            .with_hint("Explicitly cast to the desired type, for example ARRAY[]::integer[]."));
    }
    let elements = super::super::unify(elements, "ARRAY", ctx)?;
    let Some(first) = elements.first() else { return Err(Error::internal("an element")) };
    let sql_type = first.sql_type.array_of();
    let element = sql_type.element().cloned().ok_or_else(|| Error::internal("an array has elements"))?;
    if matches!(first.sql_type, SqlType::Array(_)) {
        let key = format!("array of arrays {}", type_key(&element));
        return Ok(function("array", key, elements, sql_type, move |values| nest(&element, values)));
    }
    let key = format!("array {}", type_key(&element));
    Ok(function("array", key, elements, sql_type, move |values| {
        let mut builder = ArrayBuilder::new(&element)?;
        values.iter().try_for_each(|value| builder.push(*value))?;
        builder.finish().map(Datum::Bytes)
    }))
}

/// Arrays of the same dimensions as one of one more. NULL and empty arrays are only possible together.
fn nest(element: &SqlType, values: &[DatumRef<'_>]) -> Result<Datum> {
    let mismatch = || {
        let message = "multidimensional arrays must have array expressions with matching dimensions";
        Error::invalid(SqlState::ARRAY_SUBSCRIPT_ERROR, message)
    };
    let mut builder = ArrayBuilder::new(element)?;
    let mut inner: Option<Vec<Dimension>> = None;
    let mut empty = false;
    for value in values {
        let Some(array) = view(element, *value)?.filter(|array| !array.is_empty()) else {
            empty = true;
            continue;
        };
        match &inner {
            None => inner = Some(array.dimensions().to_vec()),
            Some(first) if first == array.dimensions() => {}
            Some(_) => return Err(mismatch()),
        }
        for value in array.iter() {
            builder.push(value?.as_ref())?;
        }
    }
    let Some(inner) = inner else { return builder.finish_as(&[]).map(Datum::Bytes) };
    if empty {
        return Err(mismatch());
    }
    let mut dimensions = vec![Dimension::of(values.len())?];
    dimensions.extend(inner);
    builder.finish_as(&dimensions).map(Datum::Bytes)
}

/// `array_fill(value, lengths [, lower bounds])`.
pub(super) fn fill(name: &str, args: &[Typed], ctx: &FuncContext) -> Result<Typed> {
    let [value, bounds @ ..] = args else { return Err(wrong_arguments(name)) };
    if value.is_unknown() {
        let message = "could not determine polymorphic type because input has type unknown";
        return Err(Error::invalid(SqlState::DATATYPE_MISMATCH, message));
    }
    let element = super::super::common::without_modifier(&value.sql_type);
    let mut all = vec![value.clone()];
    for bound in bounds {
        all.push(cast(bound.clone(), &SqlType::Int4.array_of(), CastKind::Implicit, ctx)?);
    }
    let (key, returns) = (format!("array_fill {}", type_key(&element)), element.array_of());
    if matches!(element, SqlType::Array(_)) {
        return Err(super::super::aggregate::undefined(name, args));
    }
    Ok(function(name, key, all, returns, move |values| {
        let [value, lengths, lowers @ ..] = values else { return Err(wrong_arguments("array_fill")) };
        let lengths = bound_values(*lengths, "Dimension")?;
        let lowers = match lowers.first() {
            Some(lowers) => bound_values(*lowers, "Low bound")?,
            None => vec![1; lengths.len()],
        };
        if lengths.len() > heliosdb_types::ARRAY_DIMENSIONS_MAX {
            return Err(too_many_dimensions(lengths.len()));
        }
        if lowers.len() != lengths.len() {
            return Err(Error::invalid(SqlState::ARRAY_SUBSCRIPT_ERROR, "wrong number of array subscripts")
                .with_detail("Low bound array has different size than dimensions array."));
        }
        let dimensions = lengths.iter().zip(&lowers).map(|(&length, &lower)| {
            let length = usize::try_from(length).map_err(|_| {
                Error::invalid(SqlState::PROGRAM_LIMIT_EXCEEDED, "array size exceeds the maximum allowed (134217727)")
            })?;
            Dimension::new(length, lower)
        });
        let dimensions = dimensions.collect::<Result<Vec<_>>>()?;
        let count = element_count(&dimensions)?;
        let mut builder = ArrayBuilder::new(&element)?;
        for _ in 0..count {
            builder.push(*value)?;
        }
        builder.finish_as(&dimensions).map(Datum::Bytes)
    }))
}

fn bound_values(value: DatumRef<'_>, what: &str) -> Result<Vec<i32>> {
    let Some(array) = view(&SqlType::Int4, value)? else {
        let message = "dimension array or low bound array cannot be null";
        return Err(Error::invalid(SqlState::NULL_VALUE_NOT_ALLOWED, message));
    };
    if array.dimensions().len() > 1 {
        return Err(Error::invalid(SqlState::ARRAY_SUBSCRIPT_ERROR, "wrong number of array subscripts")
            .with_detail(format!("{what} array must be one dimensional.")));
    }
    let values = array.iter().map(|value| match value?.as_ref() {
        DatumRef::Int32(value) => Ok(value),
        _ => Err(Error::invalid(SqlState::NULL_VALUE_NOT_ALLOWED, "dimension values cannot be null")),
    });
    values.collect()
}

/// `array_to_string(array, separator [, text for NULL])`.
pub(super) fn to_string(name: &str, args: &[Typed], ctx: &FuncContext) -> Result<Typed> {
    let (array, element) = any_array(name, args)?;
    let mut all = vec![array.clone()];
    for arg in args.iter().skip(1) {
        all.push(cast(arg.clone(), &SqlType::Text, CastKind::Implicit, ctx)?);
    }
    let (element, context) = (element.clone(), ctx.text.clone());
    let key = format!("{name} {} {}", type_key(&element), context.time_zone.name());
    Ok(function(name, key, all, SqlType::Text, move |values| {
        let [array, separator, null_text @ ..] = values else { return Err(wrong_arguments("array_to_string")) };
        let Some(array) = view(&element, *array)? else { return Ok(Datum::Null) };
        if separator.is_null() {
            return Ok(Datum::Null);
        }
        let separator = text_of_datum(*separator)?;
        let null_text =
            null_text.first().filter(|text| !text.is_null()).map(|text| text_of_datum(*text)).transpose()?;
        let mut out = String::new();
        let mut first = true;
        for value in array.iter() {
            let value = value?;
            let shown = match (value.is_null(), null_text) {
                (true, None) => continue,
                (true, Some(text)) => text.to_owned(),
                (false, _) => text_of(value.as_ref(), &element, &context),
            };
            if !first {
                out.push_str(separator);
            }
            first = false;
            out.push_str(&shown);
        }
        Ok(Datum::Text(out))
    }))
}

/// `string_to_array(text, separator [, text that is NULL])`. No separator: one element a character.
pub(super) fn from_string(args: &[Typed], ctx: &FuncContext) -> Result<Typed> {
    let args = args.iter().map(|arg| cast(arg.clone(), &SqlType::Text, CastKind::Implicit, ctx));
    let args = args.collect::<Result<Vec<_>>>()?;
    let name = "string_to_array";
    Ok(function(name, name.to_owned(), args, SqlType::Text.array_of(), |values| {
        let text = |at: usize| match values.get(at) {
            None | Some(DatumRef::Null) => Ok(None),
            Some(value) => text_of_datum(*value).map(Some),
        };
        let Some(whole) = text(0)? else { return Ok(Datum::Null) };
        let null_text = text(2)?;
        let mut builder = ArrayBuilder::new(&SqlType::Text)?;
        let mut push =
            |part: &str| builder.push(if Some(part) == null_text { DatumRef::Null } else { DatumRef::Text(part) });
        match text(1)? {
            _ if whole.is_empty() => {}
            None => {
                let mut buffer = [0; 4];
                whole.chars().try_for_each(|c| push(c.encode_utf8(&mut buffer)))?;
            }
            Some("") => push(whole)?,
            Some(separator) => whole.split(separator).try_for_each(push)?,
        }
        builder.finish().map(Datum::Bytes)
    }))
}
