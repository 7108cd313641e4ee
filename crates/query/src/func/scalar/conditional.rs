//! COALESCE, NULLIF, GREATEST, LEAST and the null counters.

use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::{Expr, Operator};
use heliosdb_types::{Datum, PhysicalType, Result, SqlType, compare};

use super::super::operator;
use super::super::udf::Function;
use super::super::value::null_of;
use super::super::{FuncContext, Typed, unify};

pub(super) fn coalesce(args: Vec<Typed>, ctx: &FuncContext) -> Result<Typed> {
    let mut args = unify(args, "COALESCE", ctx)?;
    if args.len() == 1 {
        return Ok(args.remove(0));
    }
    let Some(first) = args.first().cloned() else { return null_of(&SqlType::Text) };
    // A CASE evaluates later arguments only where they are needed.
    let last = args.pop().map(|arg| Box::new(arg.expr));
    let arms = args.into_iter().map(|arg| (Box::new(Expr::IsNotNull(Box::new(arg.expr.clone()))), Box::new(arg.expr)));
    let case = Case::new(None, arms.collect(), last);
    Ok(Typed { expr: Expr::Case(case), ..first })
}

/// NULL if the two are equal, else the first.
pub(super) fn nullif(left: Typed, right: Typed, ctx: &FuncContext) -> Result<Typed> {
    let left = if left.is_unknown() && right.is_unknown() {
        super::to_text(left, ctx)?
    } else if left.is_unknown() {
        super::cast(left, &right.sql_type.clone(), super::CastKind::Implicit, ctx)?
    } else {
        left
    };
    let equal = operator::compare(Operator::Eq, left.clone(), right, ctx)?;
    let null = datafusion::common::ScalarValue::try_from(&left.arrow).map_err(crate::exec::from_datafusion)?;
    let case = Case::new(
        None,
        vec![(Box::new(equal.expr), Box::new(Expr::Literal(null, None)))],
        Some(Box::new(left.expr.clone())),
    );
    Ok(Typed { expr: Expr::Case(case), ..left })
}

/// The largest (smallest) argument that is not NULL.
pub(super) fn extreme(greatest: bool, args: Vec<Typed>, ctx: &FuncContext) -> Result<Typed> {
    let name = if greatest { "greatest" } else { "least" };
    let args = unify(args, if greatest { "GREATEST" } else { "LEAST" }, ctx)?;
    let Some(first) = args.first().cloned() else { return null_of(&SqlType::Text) };
    let physical = first.physical();
    let types = args.iter().map(Typed::physical).collect();
    let function = Function::values(name, name, types, physical, move |values| {
        let present = values.iter().filter(|value| !value.is_null());
        let chosen =
            if greatest { present.max_by(|a, b| compare(**a, **b)) } else { present.min_by(|a, b| compare(**a, **b)) };
        Ok(chosen.map_or(Datum::Null, |value| value.to_owned()))
    });
    let expr = function.call(args.into_iter().map(|arg| arg.expr).collect());
    Ok(Typed { expr, ..first })
}

/// `num_nulls` and `num_nonnulls`.
pub(super) fn count_nulls(nulls: bool, args: Vec<Typed>) -> Typed {
    let name = if nulls { "num_nulls" } else { "num_nonnulls" };
    let types = args.iter().map(Typed::physical).collect();
    let function = Function::values(name, name, types, PhysicalType::Int32, move |values| {
        Ok(Datum::Int32(values.iter().filter(|value| value.is_null() == nulls).count() as i32))
    });
    Typed::new(function.call(args.into_iter().map(|arg| arg.expr).collect()), SqlType::Int4)
}
