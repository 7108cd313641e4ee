//! Comparing whole arrays: the key they order by, `@>`, `<@`, `&&`.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::BinaryViewBuilder;
use arrow_array::cast::AsArray;
use arrow_schema::DataType;
use datafusion::logical_expr::Expr;
use heliosdb_types::{ArrayView, Datum, Error, Result, SqlType, array_sort_bytes, has_residue};

use super::super::operator::undefined;
use super::super::udf::Function;
use super::super::{CastKind, FuncContext, Typed, cast};
use super::{comparable, function, not_comparable, type_key, view, wrong_arguments};

/// What an array compares and orders by: its bytes, less what equal arrays may differ in.
pub(in crate::func) fn array_key(input: &Typed) -> Expr {
    let Some(element) = input.sql_type.element().filter(|element| has_residue(element)) else {
        return input.expr.clone();
    };
    let (key, element) = (format!("array_key {}", type_key(element)), element.clone());
    let function = Function::arrays("array_key", key, DataType::BinaryView, move |args, rows| {
        let [array] = args else { return Err(Error::internal("one value")) };
        let values = array.as_binary_view_opt().ok_or_else(|| Error::internal("arrays travel as BinaryView"))?;
        let mut out = BinaryViewBuilder::with_capacity(rows);
        for value in values {
            out.append_option(value.map(|bytes| array_sort_bytes(&element, bytes)));
        }
        Ok(Arc::new(out.finish()) as ArrayRef)
    });
    function.call(vec![input.expr.clone()])
}

/// Both sides as arrays of one element type, which must be the same on both.
fn sides(symbol: &str, left: Typed, right: Typed, ctx: &FuncContext) -> Result<(SqlType, Typed, Typed)> {
    let (left, right) = match (left.sql_type.clone(), right.sql_type.clone()) {
        (array @ SqlType::Array(_), SqlType::Unknown) => (left, cast(right, &array, CastKind::Implicit, ctx)?),
        (SqlType::Unknown, array @ SqlType::Array(_)) => (cast(left, &array, CastKind::Implicit, ctx)?, right),
        _ => (left, right),
    };
    let without = super::super::common::without_modifier;
    match (left.sql_type.element(), right.sql_type.element()) {
        (Some(a), Some(b)) if without(a) == without(b) => {
            let element = a.clone();
            if comparable(&element) { Ok((element, left, right)) } else { Err(not_comparable(&element)) }
        }
        _ => Err(undefined(symbol, &left, &right)),
    }
}

/// `left @> right` (every element of right is in left) or `left <@ right`. NULL elements are in nothing.
pub(in crate::func) fn contains(symbol: &str, left: Typed, right: Typed, ctx: &FuncContext) -> Result<Typed> {
    let (element, left, right) = sides(symbol, left, right, ctx)?;
    let args = if symbol == "@>" { vec![left, right] } else { vec![right, left] };
    let key = format!("arraycontains {}", type_key(&element));
    Ok(function("arraycontains", key, args, SqlType::Bool, move |values| {
        let [whole, part] = values else { return Err(wrong_arguments("arraycontains")) };
        let (Some(whole), Some(part)) = (view(&element, *whole)?, view(&element, *part)?) else {
            return Ok(Datum::Null);
        };
        let keys = keys(&whole)?;
        for wanted in part.keys() {
            if !wanted?.is_some_and(|wanted| keys.contains(wanted)) {
                return Ok(Datum::Bool(false));
            }
        }
        Ok(Datum::Bool(true))
    }))
}

/// `left && right`: an element in common.
pub(in crate::func) fn overlaps(left: Typed, right: Typed, ctx: &FuncContext) -> Result<Typed> {
    let (element, left, right) = sides("&&", left, right, ctx)?;
    let key = format!("arrayoverlap {}", type_key(&element));
    Ok(function("arrayoverlap", key, vec![left, right], SqlType::Bool, move |values| {
        let [a, b] = values else { return Err(wrong_arguments("arrayoverlap")) };
        let (Some(a), Some(b)) = (view(&element, *a)?, view(&element, *b)?) else { return Ok(Datum::Null) };
        let keys = keys(&a)?;
        for wanted in b.keys() {
            if wanted?.is_some_and(|wanted| keys.contains(wanted)) {
                return Ok(Datum::Bool(true));
            }
        }
        Ok(Datum::Bool(false))
    }))
}

fn keys<'a>(array: &ArrayView<'a>) -> Result<HashSet<&'a [u8]>> {
    array.keys().filter_map(Result::transpose).collect()
}
