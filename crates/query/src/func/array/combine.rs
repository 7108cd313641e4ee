//! `||`, array_append, array_prepend, array_cat.

use heliosdb_types::{ArrayBuilder, ArrayView, Datum, DatumRef, Dimension, Error, Result, SqlState, SqlType};

use super::super::{FuncContext, Typed};
use super::{Parameter, function, polymorphic, type_key, view, wrong_arguments};

/// `array || array`, `array || element`, `element || array`; an untyped literal beside an array is an array.
pub(in crate::func) fn concat(left: Typed, right: Typed, ctx: &FuncContext) -> Result<Typed> {
    let array = |side: &Typed| matches!(side.sql_type, SqlType::Array(_)) || side.is_unknown();
    let sides = (array(&left), array(&right));
    let args = [left, right];
    match sides {
        (true, true) => cat("array_cat", &args, ctx),
        (true, false) => append("array_append", &args, ctx),
        _ => prepend("array_prepend", &args, ctx),
    }
    .map_err(|error| match (error.state(), &args) {
        (SqlState::UNDEFINED_FUNCTION, [left, right]) => super::super::operator::undefined("||", left, right),
        _ => error,
    })
}

pub(super) fn append(name: &str, args: &[Typed], ctx: &FuncContext) -> Result<Typed> {
    let (element, args) = polymorphic(name, args, &[Parameter::Array, Parameter::Element], ctx)?;
    let (key, returns) = (format!("{name} {}", type_key(&element)), element.array_of());
    Ok(function(name, key, args, returns, move |values| {
        let [bytes, value] = values else { return Err(wrong_arguments("array_append")) };
        add_one(&element, view(&element, *bytes)?, *value, false)
    }))
}

pub(super) fn prepend(name: &str, args: &[Typed], ctx: &FuncContext) -> Result<Typed> {
    let (element, args) = polymorphic(name, args, &[Parameter::Element, Parameter::Array], ctx)?;
    let (key, returns) = (format!("{name} {}", type_key(&element)), element.array_of());
    Ok(function(name, key, args, returns, move |values| {
        let [value, bytes] = values else { return Err(wrong_arguments("array_prepend")) };
        add_one(&element, view(&element, *bytes)?, *value, true)
    }))
}

/// The array with one more element. NULL counts as an empty array; the lower bound stays.
fn add_one(element: &SqlType, array: Option<ArrayView<'_>>, value: DatumRef<'_>, first: bool) -> Result<Datum> {
    let mut builder = ArrayBuilder::new(element)?;
    let dimensions = array.as_ref().map_or(&[][..], ArrayView::dimensions);
    if dimensions.len() > 1 {
        return Err(Error::invalid(SqlState::DATA_EXCEPTION, "argument must be empty or one-dimensional array"));
    }
    let lower = dimensions.first().map_or(1, |dimension| dimension.lower);
    if first {
        builder.push(value)?;
    }
    for value in array.iter().flat_map(ArrayView::iter) {
        builder.push(value?.as_ref())?;
    }
    if !first {
        builder.push(value)?;
    }
    let dimension = Dimension::new(builder.len(), lower)?;
    builder.finish_as(&[dimension]).map(Datum::Bytes)
}

pub(super) fn cat(name: &str, args: &[Typed], ctx: &FuncContext) -> Result<Typed> {
    let (element, args) = polymorphic(name, args, &[Parameter::Array, Parameter::Array], ctx)?;
    let (key, returns) = (format!("{name} {}", type_key(&element)), element.array_of());
    Ok(function(name, key, args, returns, move |values| {
        let [left, right] = values else { return Err(wrong_arguments("array_cat")) };
        match (view(&element, *left)?, view(&element, *right)?) {
            (None, _) => Ok(right.to_owned()),
            (_, None) => Ok(left.to_owned()),
            (Some(a), _) if a.is_empty() => Ok(right.to_owned()),
            (_, Some(b)) if b.is_empty() => Ok(left.to_owned()),
            (Some(a), Some(b)) => {
                let dimensions = joined(a.dimensions(), b.dimensions())?;
                let mut builder = ArrayBuilder::new(&element)?;
                for value in a.iter().chain(b.iter()) {
                    builder.push(value?.as_ref())?;
                }
                builder.finish_as(&dimensions).map(Datum::Bytes)
            }
        }
    }))
}

/// The dimensions of two arrays one after the other, or of an array with one more item of its outer dimension.
fn joined(a: &[Dimension], b: &[Dimension]) -> Result<Vec<Dimension>> {
    let incompatible = |detail: String| {
        Error::invalid(SqlState::ARRAY_SUBSCRIPT_ERROR, "cannot concatenate incompatible arrays").with_detail(detail)
    };
    let inner = |dimensions: &[Dimension]| dimensions.iter().skip(1).copied().collect::<Vec<_>>();
    let grown = |dimensions: &[Dimension], by: u32| -> Result<Vec<Dimension>> {
        let mut dimensions = dimensions.to_vec();
        if let Some(first) = dimensions.first_mut() {
            *first = Dimension::new((first.length + by) as usize, first.lower)?;
        }
        Ok(dimensions)
    };
    if a.len() == b.len() {
        if inner(a) != inner(b) {
            let detail = "Arrays with differing element dimensions are not compatible for concatenation.";
            return Err(incompatible(detail.to_owned()));
        }
        return grown(a, b.first().map_or(0, |first| first.length));
    }
    let (outer, item) = if a.len() > b.len() { (a, b) } else { (b, a) };
    if outer.len() != item.len() + 1 {
        let detail = format!("Arrays of {} and {} dimensions are not compatible for concatenation.", a.len(), b.len());
        return Err(incompatible(detail));
    }
    if inner(outer) != item {
        let detail = "Arrays with differing dimensions are not compatible for concatenation.";
        return Err(incompatible(detail.to_owned()));
    }
    grown(outer, 1)
}
