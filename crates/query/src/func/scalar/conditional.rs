//! COALESCE, NULLIF, GREATEST, LEAST and the null counters.

use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::{Expr, Operator};
use heliosdb_types::{Datum, DatumRef, Error, PhysicalType, Result, SqlState, SqlType, compare};

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
    let equal = operator::compare(Operator::Eq, left.clone(), right.clone(), ctx)?;
    // The type is that of the left operand of the `=` there is for the two.
    let left = match compared_as(&left.sql_type, &right.sql_type) {
        Some(to) => super::cast(left, &to, super::CastKind::Implicit, ctx)?,
        None => left,
    };
    let null = datafusion::common::ScalarValue::try_from(&left.arrow).map_err(crate::exec::from_datafusion)?;
    let case = Case::new(
        None,
        vec![(Box::new(equal.expr), Box::new(Expr::Literal(null, None)))],
        Some(Box::new(left.expr.clone())),
    );
    Ok(Typed { expr: Expr::Case(case), ..left })
}

/// What the left operand becomes where there is no `=` of exactly the two types.
fn compared_as(left: &SqlType, right: &SqlType) -> Option<SqlType> {
    let integer = |sql_type: &SqlType| matches!(sql_type, SqlType::Int2 | SqlType::Int4 | SqlType::Int8);
    let float = |sql_type: &SqlType| matches!(sql_type, SqlType::Float4 | SqlType::Float8);
    match (left, right) {
        (left, SqlType::Numeric(_)) if integer(left) => Some(SqlType::Numeric(None)),
        (left, right) if (integer(left) || matches!(left, SqlType::Numeric(_))) && float(right) => {
            Some(SqlType::Float8)
        }
        (SqlType::Varchar(_), _) => Some(SqlType::Text),
        (SqlType::Char(_), SqlType::Text) => Some(SqlType::Text),
        _ => None,
    }
}

/// The largest (smallest) argument that is not NULL; the first of equal ones.
pub(super) fn extreme(greatest: bool, args: Vec<Typed>, ctx: &FuncContext) -> Result<Typed> {
    let (name, shown) = if greatest { ("greatest", "GREATEST") } else { ("least", "LEAST") };
    let args = unify(args, shown, ctx)?;
    let Some(first) = args.first().cloned() else { return null_of(&SqlType::Text) };
    if first.sql_type == SqlType::Json {
        let message = "could not identify a comparison function for type json";
        return Err(Error::invalid(SqlState::UNDEFINED_FUNCTION, message));
    }
    operator::check_comparable(&first, true)?;
    let physical = first.physical();
    let count = args.len();
    let mut types: Vec<PhysicalType> = args.iter().map(Typed::physical).collect();
    // Types whose bytes do not decide bring their keys along.
    let by_keys = matches!(first.sql_type, SqlType::Jsonb | SqlType::Array(_) | SqlType::Char(None));
    let keys: Vec<Expr> = if by_keys { args.iter().map(operator::sort_key).collect() } else { Vec::new() };
    types.extend(
        keys.iter().map(|_| if matches!(first.sql_type, SqlType::Char(_)) { physical } else { PhysicalType::Bytes }),
    );
    let function = Function::values(name, name, types, physical, move |values| {
        let (values, keys) = values.split_at(count.min(values.len()));
        let keys = if keys.is_empty() { values } else { keys };
        let better =
            |a: DatumRef<'_>, b: DatumRef<'_>| if greatest { compare(a, b).is_gt() } else { compare(a, b).is_lt() };
        let present = values.iter().zip(keys).filter(|(value, _)| !value.is_null());
        let chosen = present.reduce(|best, one| if better(*one.1, *best.1) { one } else { best });
        Ok(chosen.map_or(Datum::Null, |(value, _)| value.to_owned()))
    });
    let expr = function.call(args.into_iter().map(|arg| arg.expr).chain(keys).collect());
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
