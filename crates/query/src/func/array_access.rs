//! Testing and subscripting arrays: `x = ANY (array)`, `array[i]`.

use std::sync::Arc;

use arrow_array::builder::{Int64Builder, ListBuilder, StringViewBuilder};
use arrow_schema::{DataType, Field};
use datafusion::logical_expr::Expr;
use heliosdb_contracts::datum_at;
use heliosdb_types::{Datum, DatumRef, Error, PhysicalType, Result, SqlState, SqlType};

use super::udf::Function;
use super::value::physical_of_type;
use super::{CastKind, FuncContext, Typed, array, cast};

/// `element = ANY (array)`: NULL where no element is equal but one is NULL. Elements compare by their text form, which is the
/// same for equal values of the types arrays are made of here.
pub fn equal_any(element: Typed, array: Typed, ctx: &FuncContext) -> Result<Typed> {
    let element_type = element_type(&array)?;
    let element = cast(element, &element_type, CastKind::Implicit, ctx)?;
    let element = cast(element, &SqlType::Text, CastKind::Explicit, ctx)?;
    let arguments = vec![PhysicalType::Text, PhysicalType::Text];
    let function = Function::strict("equal_any", "", arguments, PhysicalType::Bool, |args| {
        let [DatumRef::Text(element), DatumRef::Text(text)] = args else { return Err(wrong_arguments()) };
        let elements = array::parse(text)?;
        if elements.iter().flatten().any(|other| other == element) {
            return Ok(Datum::Bool(true));
        }
        Ok(if elements.iter().any(Option::is_none) { Datum::Null } else { Datum::Bool(false) })
    });
    Ok(Typed::new(function.call(vec![element.expr, array.expr]), SqlType::Bool))
}

/// `array[index]`, from 1; NULL outside.
pub fn subscript(array: Typed, index: Typed, ctx: &FuncContext) -> Result<Typed> {
    let element_type = element_type(&array)?;
    let index = cast(index, &SqlType::Int4, CastKind::Assignment, ctx)?;
    let arguments = vec![PhysicalType::Text, PhysicalType::Int32];
    let function = Function::strict("subscript", "", arguments, PhysicalType::Text, |args| {
        let [DatumRef::Text(text), DatumRef::Int32(index)] = args else { return Err(wrong_arguments()) };
        let at = usize::try_from(*index).ok().and_then(|index| index.checked_sub(1));
        let element = at.map(|at| Ok::<_, Error>(array::parse(text)?.into_iter().nth(at).flatten())).transpose()?;
        Ok(element.flatten().map_or(Datum::Null, Datum::Text))
    });
    let text = Typed::new(function.call(vec![array.expr, index.expr]), SqlType::Text);
    if physical_of_type(&element_type) == PhysicalType::Text {
        return Ok(Typed { sql_type: element_type, ..text });
    }
    cast(text, &element_type, CastKind::Explicit, ctx)
}

/// `array || array`, `array || element`, `element || array`. A NULL array adds nothing; a NULL element is one.
pub(super) fn concat(left: Typed, right: Typed, ctx: &FuncContext) -> Result<Typed> {
    let sql_type = match (&left.sql_type, &right.sql_type) {
        (SqlType::Array(_), _) => left.sql_type.clone(),
        _ => right.sql_type.clone(),
    };
    let element = element_type(if matches!(left.sql_type, SqlType::Array(_)) { &left } else { &right })?;
    let is_array = |side: &Typed| matches!(side.sql_type, SqlType::Array(_)) || side.is_unknown();
    let arrays = (is_array(&left), is_array(&right));
    let prepare = |side: Typed, array: bool| {
        if array {
            return cast(side, &sql_type, CastKind::Implicit, ctx);
        }
        cast(cast(side, &element, CastKind::Implicit, ctx)?, &SqlType::Text, CastKind::Explicit, ctx)
    };
    let args = vec![prepare(left, arrays.0)?.expr, prepare(right, arrays.1)?.expr];
    let texts = vec![PhysicalType::Text, PhysicalType::Text];
    let function = Function::values("array_cat", format!("{arrays:?}"), texts, PhysicalType::Text, move |args| {
        let mut elements = Vec::new();
        for (side, array) in args.iter().zip([arrays.0, arrays.1]) {
            match (side, array) {
                (DatumRef::Text(text), true) => elements.extend(array::parse(text)?),
                (DatumRef::Text(text), false) => elements.push(Some((*text).to_owned())),
                (_, true) => {}
                (_, false) => elements.push(None),
            }
        }
        if args.iter().zip([arrays.0, arrays.1]).all(|(side, array)| array && side.is_null()) {
            return Ok(Datum::Null);
        }
        Ok(Datum::Text(array::format(elements.iter().map(Option::as_deref))))
    });
    Ok(Typed { sql_type, ..Typed::new(function.call(args), SqlType::Text) })
}

/// The elements of an array literal; `None` is NULL.
pub fn array_elements(text: &str) -> Result<Vec<Option<String>>> {
    array::parse(text)
}

fn element_type(array: &Typed) -> Result<SqlType> {
    match &array.sql_type {
        SqlType::Array(element) => Ok(element.as_ref().clone()),
        other => Err(Error::invalid(
            SqlState::WRONG_OBJECT_TYPE,
            format!("op ANY/ALL (array) requires array on right side, not {}", other.name()),
        )),
    }
}

fn wrong_arguments() -> Error {
    Error::internal("wrong argument values of an array function")
}

/// The elements of an array as an Arrow list of their text, for unnesting, and the elements' type.
pub fn element_list(array: Typed) -> Result<(Expr, SqlType)> {
    let element_type = element_type(&array)?;
    let function = Function::arrays("element_list", "", list_of(DataType::Utf8View), |arrays, rows| {
        let mut lists = ListBuilder::new(StringViewBuilder::new());
        for row in 0..rows {
            let array = arrays.first().ok_or_else(wrong_arguments)?;
            match datum_at(array, row, PhysicalType::Text)? {
                DatumRef::Text(text) => {
                    array::parse(text)?.into_iter().for_each(|element| lists.values().append_option(element));
                    lists.append(true);
                }
                _ => lists.append(false),
            }
        }
        Ok(Arc::new(lists.finish()))
    });
    Ok((function.call(vec![array.expr]), element_type))
}

/// Longest series made as one list; longer ones are for bounds known before the query runs.
const SERIES_MAX: i128 = 10_000_000;

/// `generate_series(start, end, step)` of bigints as an Arrow list, for unnesting.
pub fn series_list(args: Vec<Expr>) -> Expr {
    let function = Function::arrays("series_list", "", list_of(DataType::Int64), |arrays, rows| {
        let mut lists = ListBuilder::new(Int64Builder::new());
        for row in 0..rows {
            let mut bounds = [None; 3];
            for (bound, array) in bounds.iter_mut().zip(arrays) {
                if let DatumRef::Int64(value) = datum_at(array, row, PhysicalType::Int64)? {
                    *bound = Some(value);
                }
            }
            let [Some(start), Some(end), Some(step)] = bounds else {
                lists.append(false);
                continue;
            };
            series(start, end, step, lists.values())?;
            lists.append(true);
        }
        Ok(Arc::new(lists.finish()))
    });
    function.call(args)
}

fn series(start: i64, end: i64, step: i64, out: &mut Int64Builder) -> Result<()> {
    if step == 0 {
        return Err(Error::invalid(SqlState::INVALID_PARAMETER_VALUE, "step size cannot equal zero"));
    }
    let length = (i128::from(end) - i128::from(start)) / i128::from(step) + 1;
    if length > SERIES_MAX {
        return Err(Error::invalid(SqlState::PROGRAM_LIMIT_EXCEEDED, "a series in a correlated subquery is too long"));
    }
    let mut value = start;
    while if step > 0 { value <= end } else { value >= end } {
        out.append_value(value);
        match value.checked_add(step) {
            Some(next) => value = next,
            None => break,
        }
    }
    Ok(())
}

fn list_of(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(element, true)))
}
