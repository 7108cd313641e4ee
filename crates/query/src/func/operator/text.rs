//! `||`.

use heliosdb_types::{Datum, DatumRef, Error, PhysicalType, Result, SqlType};

use super::super::cast::{cast, is_text};
use super::super::scalar::concat_columns;
use super::super::udf::Function;
use super::super::value::text_of_datum;
use super::super::{CastKind, FuncContext, Typed};
use super::undefined;

/// Text with anything, bytea with bytea.
pub(super) fn concat(left: Typed, right: Typed, ctx: &FuncContext) -> Result<Typed> {
    let bytea = |input: &Typed| input.sql_type == SqlType::Bytea;
    if (bytea(&left) && (bytea(&right) || right.is_unknown())) || (bytea(&right) && left.is_unknown()) {
        let left = cast(left, &SqlType::Bytea, CastKind::Implicit, ctx)?;
        let right = cast(right, &SqlType::Bytea, CastKind::Implicit, ctx)?;
        return Ok(concat_bytes(left, right));
    }
    let texty = |input: &Typed| is_text(&input.sql_type) || input.is_unknown();
    if [&left, &right].iter().any(|input| matches!(input.sql_type, SqlType::Array(_))) {
        return super::super::array::concat(left, right, ctx);
    }
    if !texty(&left) && !texty(&right) {
        return Err(undefined("||", &left, &right));
    }
    let left = cast(left, &SqlType::Text, CastKind::Assignment, ctx)?;
    let right = cast(right, &SqlType::Text, CastKind::Assignment, ctx)?;
    let types = vec![PhysicalType::Text; 2];
    let function = Function::strict("textcat", "textcat", types, PhysicalType::Text, |args| {
        let [a, b] = args else { return Err(Error::internal("two operands")) };
        Ok(Datum::Text([text_of_datum(*a)?, text_of_datum(*b)?].concat()))
    })
    .by_column(concat_columns)
    .strict_columns();
    Ok(Typed::new(function.call(vec![left.expr, right.expr]), SqlType::Text))
}

fn concat_bytes(left: Typed, right: Typed) -> Typed {
    let types = vec![PhysicalType::Bytes; 2];
    let function = Function::strict("byteacat", "byteacat", types, PhysicalType::Bytes, |args| match args {
        [DatumRef::Bytes(a), DatumRef::Bytes(b)] => Ok(Datum::Bytes([*a, *b].concat())),
        _ => Err(Error::internal("two byte strings")),
    });
    Typed::new(function.call(vec![left.expr, right.expr]), SqlType::Bytea)
}
