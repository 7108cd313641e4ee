//! Testing and subscripting arrays: `x = ANY (array)`, `array[i]`.

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
