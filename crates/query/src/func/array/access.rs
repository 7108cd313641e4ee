//! Subscripts: `a[i]`, `a[i][j]`, slices `a[l:u]`, and assigning to them.

use heliosdb_types::{
    ARRAY_DIMENSIONS_MAX, ArrayBuilder, ArrayView, Datum, DatumRef, Dimension, Error, Result, SqlState, SqlType,
    element_count, too_many_dimensions,
};

use super::super::common::without_modifier;
use super::super::{CastKind, FuncContext, Typed, cast};
use super::{function, int4, type_key, view, wrong_arguments};

/// What stands between one pair of brackets.
#[derive(Clone, Debug)]
pub enum Subscript {
    Index(Typed),
    Slice(Option<Typed>, Option<Typed>),
}

/// Which bounds of a slice are given. An index beside a slice is the slice from 1 to it.
#[derive(Clone, Copy, Debug)]
struct Given {
    lower: bool,
    upper: bool,
}

/// Subscripts as kernel arguments: an index each, or for slices the bounds that are given.
struct Prepared {
    args: Vec<Typed>,
    /// `None`: all are indexes.
    slices: Option<Vec<Given>>,
}

fn prepare(subscripts: Vec<Subscript>, ctx: &FuncContext) -> Result<Prepared> {
    if subscripts.len() > ARRAY_DIMENSIONS_MAX {
        return Err(too_many_dimensions(subscripts.len()));
    }
    let integer = |value: Typed| {
        let name = value.sql_type.name();
        cast(value, &SqlType::Int4, CastKind::Assignment, ctx).map_err(|error| match error.state() {
            SqlState::DATATYPE_MISMATCH | SqlState::CANNOT_COERCE => Error::invalid(
                SqlState::DATATYPE_MISMATCH,
                format!("array subscript must have type integer, not {name}"),
            ),
            _ => error,
        })
    };
    let sliced = subscripts.iter().any(|subscript| matches!(subscript, Subscript::Slice(..)));
    let (mut args, mut slices) = (Vec::new(), Vec::new());
    for subscript in subscripts {
        match subscript {
            Subscript::Index(index) if !sliced => args.push(integer(index)?),
            Subscript::Index(index) => {
                args.push(super::super::value::literal_of(
                    &Datum::Int32(1),
                    SqlType::Int4,
                    heliosdb_types::PhysicalType::Int32,
                )?);
                args.push(integer(index)?);
                slices.push(Given { lower: true, upper: true });
            }
            Subscript::Slice(lower, upper) => {
                slices.push(Given { lower: lower.is_some(), upper: upper.is_some() });
                for bound in [lower, upper].into_iter().flatten() {
                    args.push(integer(bound)?);
                }
            }
        }
    }
    Ok(Prepared { args, slices: sliced.then_some(slices) })
}

/// Bounds of one dimension's slice as far as they are given.
type Bounds = (Option<i32>, Option<i32>);

/// The bounds out of a kernel's values; `None` if one of them is NULL.
fn bounds(slices: &[Given], values: &[DatumRef<'_>]) -> Result<Option<Vec<Bounds>>> {
    let mut values = values.iter();
    let mut null = false;
    let mut next = |given: bool| -> Result<Option<i32>> {
        if !given {
            return Ok(None);
        }
        let value = int4(*values.next().ok_or_else(|| wrong_arguments("a slice"))?)?;
        null |= value.is_none();
        Ok(value)
    };
    let mut all = Vec::with_capacity(slices.len());
    for given in slices {
        all.push((next(given.lower)?, next(given.upper)?));
    }
    Ok((!null).then_some(all))
}

fn array_type(array: &Typed) -> Result<SqlType> {
    array.sql_type.element().cloned().ok_or_else(|| {
        Error::invalid(
            SqlState::DATATYPE_MISMATCH,
            format!("cannot subscript type {} because it does not support subscripting", array.sql_type.name()),
        )
    })
}

/// An element (all subscripts are indexes) or a slice. NULL, or an empty slice, outside the array.
pub fn subscript(array: Typed, subscripts: Vec<Subscript>, ctx: &FuncContext) -> Result<Typed> {
    if array.sql_type == SqlType::Name
        && let [Subscript::Index(_)] = subscripts.as_slice()
    {
        return name_byte(array, subscripts, ctx);
    }
    let element = array_type(&array)?;
    let Prepared { mut args, slices } = prepare(subscripts, ctx)?;
    args.insert(0, array);
    let Some(slices) = slices else {
        let key = format!("subscript {}", type_key(&element));
        // The elements of all numeric arrays have one form.
        let returns = if matches!(element, SqlType::Numeric(_)) { without_modifier(&element) } else { element.clone() };
        return Ok(function("subscript", key, args, returns, move |values| {
            let [array, indexes @ ..] = values else { return Err(wrong_arguments("subscript")) };
            let Some(array) = view(&element, *array)? else { return Ok(Datum::Null) };
            let indexes = indexes.iter().map(|index| int4(*index)).collect::<Result<Option<Vec<i32>>>>()?;
            let position = indexes.and_then(|indexes| array.position(&indexes));
            let found = position.map(|position| array.get(position)).transpose()?.flatten();
            Ok(found.map_or(Datum::Null, heliosdb_types::Element::into_datum))
        }));
    };
    let key = format!("slice {} {slices:?}", type_key(&element));
    let returns = element.array_of();
    Ok(function("slice", key, args, returns, move |values| {
        let [array, rest @ ..] = values else { return Err(wrong_arguments("slice")) };
        let Some(array) = view(&element, *array)? else { return Ok(Datum::Null) };
        match bounds(&slices, rest)? {
            Some(bounds) => slice(&element, &array, &bounds),
            None => Ok(Datum::Null),
        }
    }))
}

/// A name is an array of `"char"` from 0.
fn name_byte(name: Typed, subscripts: Vec<Subscript>, ctx: &FuncContext) -> Result<Typed> {
    let Prepared { mut args, .. } = prepare(subscripts, ctx)?;
    args.insert(0, name);
    Ok(function("name_byte", "name_byte".to_owned(), args, SqlType::QuotedChar, |values| {
        let [DatumRef::Text(name), index] = values else { return Ok(Datum::Null) };
        let index = int4(*index)?.and_then(|index| usize::try_from(index).ok());
        let found = index.and_then(|index| name.get(index..index + 1));
        Ok(found.map_or(Datum::Null, |found| Datum::Text(found.to_owned())))
    }))
}

/// The part of an array inside the bounds, with subscripts from 1.
fn slice(element: &SqlType, array: &ArrayView<'_>, bounds: &[Bounds]) -> Result<Datum> {
    let mut builder = ArrayBuilder::new(element)?;
    let mut ranges = Vec::with_capacity(array.dimensions().len());
    let empty = bounds.len() > array.dimensions().len();
    for (at, dimension) in array.dimensions().iter().enumerate() {
        let (lower, upper) = bounds.get(at).copied().unwrap_or((None, None));
        let lower = lower.map_or(dimension.lower, |lower| lower.max(dimension.lower));
        let upper = upper.map_or(dimension.upper(), |upper| upper.min(dimension.upper()));
        let length = i64::from(upper) - i64::from(lower) + 1;
        ranges.push(Range {
            from: (i64::from(lower) - i64::from(dimension.lower)) as usize,
            length: usize::try_from(length).unwrap_or(0),
            of: dimension.length as usize,
        });
    }
    if empty || ranges.is_empty() || ranges.iter().any(|range| range.length == 0) {
        return builder.finish_as(&[]).map(Datum::Bytes);
    }
    for (at, value) in array.iter().enumerate() {
        let value = value?;
        if inside(at, &ranges) {
            builder.push(value.as_ref())?;
        }
    }
    let dimensions = ranges.iter().map(|range| Dimension::of(range.length)).collect::<Result<Vec<_>>>()?;
    builder.finish_as(&dimensions).map(Datum::Bytes)
}

/// Offsets `from .. from + length` of a dimension of `of` items.
struct Range {
    from: usize,
    length: usize,
    of: usize,
}

/// Whether the element at a row-major position is inside all ranges.
fn inside(mut position: usize, ranges: &[Range]) -> bool {
    ranges.iter().rev().all(|range| {
        let offset = position % range.of.max(1);
        position /= range.of.max(1);
        (range.from..range.from + range.length).contains(&offset)
    })
}

/// The array with an element or a slice replaced, as UPDATE ... SET a[i] = value does.
pub fn assign(array: Typed, subscripts: Vec<Subscript>, value: Typed, ctx: &FuncContext) -> Result<Typed> {
    let element = array_type(&array)?;
    let returns = array.sql_type.clone();
    let Prepared { mut args, slices } = prepare(subscripts, ctx)?;
    let to = if slices.is_some() { returns.clone() } else { element.clone() };
    let value = cast(value, &to, CastKind::Assignment, ctx)?;
    args.splice(0..0, [array, value]);
    let key = format!("array_assign {} {slices:?}", type_key(&element));
    Ok(function("array_assign", key, args, returns, move |values| {
        let [array, value, rest @ ..] = values else { return Err(wrong_arguments("array_assign")) };
        let null_subscript = || {
            let message = "array subscript in assignment must not be null";
            Error::invalid(SqlState::NULL_VALUE_NOT_ALLOWED, message)
        };
        let view_of = view(&element, *array)?;
        match &slices {
            None => {
                let indexes = rest.iter().map(|index| int4(*index)).collect::<Result<Option<Vec<i32>>>>()?;
                set_element(&element, view_of, &indexes.ok_or_else(null_subscript)?, *value)
            }
            Some(slices) => {
                let bounds = bounds(slices, rest)?.ok_or_else(null_subscript)?;
                let Some(source) = view(&element, *value)? else { return Ok(array.to_owned()) };
                set_slice(&element, view_of, &bounds, &source)
            }
        }
    }))
}

fn wrong_count() -> Error {
    Error::invalid(SqlState::ARRAY_SUBSCRIPT_ERROR, "wrong number of array subscripts")
}

fn out_of_range() -> Error {
    Error::invalid(SqlState::ARRAY_SUBSCRIPT_ERROR, "array subscript out of range")
}

fn set_element(element: &SqlType, array: Option<ArrayView<'_>>, indexes: &[i32], value: DatumRef<'_>) -> Result<Datum> {
    let Some(array) = array.filter(|array| !array.is_empty()) else {
        let dimensions = indexes.iter().map(|&index| Dimension::new(1, index)).collect::<Result<Vec<_>>>()?;
        let mut builder = ArrayBuilder::new(element)?;
        builder.push(value)?;
        return builder.finish_as(&dimensions).map(Datum::Bytes);
    };
    match (array.dimensions(), indexes) {
        ([dimension], [index]) => {
            let mut source = ArrayBuilder::new(element)?;
            source.push(value)?;
            let source = source.finish()?;
            set_range(element, &array, *dimension, (*index, *index), &ArrayView::new(element, &source)?)
        }
        (dimensions, indexes) if dimensions.len() == indexes.len() => {
            let position = array.position(indexes).ok_or_else(out_of_range)?;
            let mut builder = ArrayBuilder::new(element)?;
            for (at, old) in array.iter().enumerate() {
                let old = old?;
                builder.push(if at == position { value } else { old.as_ref() })?;
            }
            builder.finish_as(dimensions).map(Datum::Bytes)
        }
        _ => Err(wrong_count()),
    }
}

/// Elements of a one-dimensional array replaced; it grows to hold them, with NULLs in between.
fn set_range(
    element: &SqlType,
    array: &ArrayView<'_>,
    dimension: Dimension,
    (from, to): (i32, i32),
    source: &ArrayView<'_>,
) -> Result<Datum> {
    let lower = dimension.lower.min(from);
    let upper = dimension.upper().max(to);
    let length = usize::try_from(i64::from(upper) - i64::from(lower) + 1).map_err(|_| out_of_range())?;
    let grown = Dimension::new(length, lower)?;
    let (mut old, mut new) = (array.iter(), source.iter());
    let mut builder = ArrayBuilder::new(element)?;
    for at in i64::from(lower)..=i64::from(upper) {
        let inside = (i64::from(dimension.lower)..=i64::from(dimension.upper())).contains(&at);
        let kept = if inside { old.next().transpose()? } else { None };
        if (i64::from(from)..=i64::from(to)).contains(&at) {
            let value = new.next().ok_or_else(too_small)??;
            builder.push(value.as_ref())?;
        } else {
            builder.push(kept.as_ref().map_or(DatumRef::Null, heliosdb_types::Element::as_ref))?;
        }
    }
    builder.finish_as(&[grown]).map(Datum::Bytes)
}

fn too_small() -> Error {
    Error::invalid(SqlState::ARRAY_SUBSCRIPT_ERROR, "source array too small")
}

fn inverted() -> Error {
    Error::invalid(SqlState::ARRAY_SUBSCRIPT_ERROR, "upper bound cannot be less than lower bound")
}

fn set_slice(
    element: &SqlType,
    array: Option<ArrayView<'_>>,
    bounds: &[Bounds],
    source: &ArrayView<'_>,
) -> Result<Datum> {
    let Some(array) = array.filter(|array| !array.is_empty()) else {
        let dimensions = bounds.iter().map(|bounds| match *bounds {
            (Some(lower), Some(upper)) => {
                let length = i64::from(upper) - i64::from(lower) + 1;
                Dimension::new(usize::try_from(length).ok().filter(|length| *length > 0).ok_or_else(inverted)?, lower)
            }
            _ => Err(Error::invalid(
                SqlState::ARRAY_SUBSCRIPT_ERROR,
                "array slice subscript must provide both boundaries",
            )
            .with_detail(
                "When assigning to a slice of an empty array value, slice boundaries must be fully specified.",
            )),
        });
        let dimensions = dimensions.collect::<Result<Vec<_>>>()?;
        let count = element_count(&dimensions)?;
        if source.len() < count {
            return Err(too_small());
        }
        let mut builder = ArrayBuilder::new(element)?;
        for value in source.iter().take(count) {
            builder.push(value?.as_ref())?;
        }
        return builder.finish_as(&dimensions).map(Datum::Bytes);
    };
    if bounds.len() > array.dimensions().len() {
        return Err(wrong_count());
    }
    if let ([dimension], [(lower, upper)]) = (array.dimensions(), bounds) {
        let (from, to) = (lower.unwrap_or(dimension.lower), upper.unwrap_or(dimension.upper()));
        if from > to {
            return Err(inverted());
        }
        return set_range(element, &array, *dimension, (from, to), source);
    }
    let mut ranges = Vec::with_capacity(array.dimensions().len());
    for (at, dimension) in array.dimensions().iter().enumerate() {
        let (lower, upper) = bounds.get(at).copied().unwrap_or((None, None));
        let (lower, upper) = (lower.unwrap_or(dimension.lower), upper.unwrap_or(dimension.upper()));
        if lower > upper {
            return Err(inverted());
        }
        if lower < dimension.lower || upper > dimension.upper() {
            return Err(out_of_range());
        }
        ranges.push(Range {
            from: (i64::from(lower) - i64::from(dimension.lower)) as usize,
            length: (i64::from(upper) - i64::from(lower) + 1) as usize,
            of: dimension.length as usize,
        });
    }
    let mut new = source.iter();
    let mut builder = ArrayBuilder::new(element)?;
    for (at, old) in array.iter().enumerate() {
        let old = old?;
        if inside(at, &ranges) {
            builder.push(new.next().ok_or_else(too_small)??.as_ref())?;
        } else {
            builder.push(old.as_ref())?;
        }
    }
    builder.finish_as(array.dimensions()).map(Datum::Bytes)
}
