//! The common type of CASE arms, UNION columns, VALUES rows, array elements.

use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::Case;
use heliosdb_contracts::arrow_type;
use heliosdb_types::{Datum, Error, PhysicalType, Result, SqlState, SqlType};

use super::cast::{can_cast, cast, is_number, is_text, to_numeric_bytes};
use super::decimal::Operation;
use super::literal::{decimal_physical, numeric_literal};
use super::udf::Function;
use super::{CastKind, FuncContext, Typed, decimal};

/// PostgreSQL's `select_common_type`: the first type that the others become implicitly, preferred types winning; text if all
/// are unknown. 42804 `CASE types integer and text cannot be matched`.
pub fn common_type(inputs: &[&Typed], context: &str) -> Result<SqlType> {
    let mut chosen: Option<&SqlType> = None;
    for input in inputs.iter().filter(|input| !input.is_unknown()) {
        let candidate = &input.sql_type;
        let Some(current) = chosen else {
            chosen = Some(candidate);
            continue;
        };
        if same_base(current, candidate) {
            continue;
        }
        if category(current) != category(candidate) {
            let message =
                format!("{context} types {} and {} cannot be matched", base_name(current), base_name(candidate));
            return Err(Error::invalid(SqlState::DATATYPE_MISMATCH, message));
        }
        let forwards = can_cast(current, candidate, CastKind::Implicit);
        let backwards = can_cast(candidate, current, CastKind::Implicit);
        if !is_preferred(current) && forwards && !backwards {
            chosen = Some(candidate);
        }
    }
    let Some(chosen) = chosen else { return Ok(SqlType::Text) };
    // A modifier survives only if all agree on it; a literal has none.
    let agrees = |input: &&&Typed| {
        if input.is_unknown() { input.is_null_literal() } else { input.sql_type == *chosen }
    };
    let agreed = inputs.iter().filter(|input| !agrees(input)).count() == 0;
    Ok(if agreed { chosen.clone() } else { without_modifier(chosen) })
}

/// Casts all to [`common_type`]; all results have the same Arrow type too (decimals: the widest scale that fits).
pub fn unify(inputs: Vec<Typed>, context: &str, ctx: &FuncContext) -> Result<Vec<Typed>> {
    let refs: Vec<&Typed> = inputs.iter().collect();
    let target = common_type(&refs, context)?;
    let cast_all = inputs.into_iter().map(|input| {
        let from = input.sql_type.clone();
        cast(input, &target, CastKind::Implicit, ctx).map_err(|error| match error.state() {
            SqlState::DATATYPE_MISMATCH => Error::invalid(
                SqlState::CANNOT_COERCE,
                format!(
                    "{} could not convert type {} to {}",
                    convert_context(context),
                    base_name(&from),
                    base_name(&target)
                ),
            ),
            _ => error,
        })
    });
    let cast_all = cast_all.collect::<Result<Vec<_>>>()?;
    if !matches!(target, SqlType::Numeric(_)) {
        return Ok(cast_all);
    }
    // Values that will be shown keep their display scales: numeric bytes where the scales differ.
    let scales = cast_all.iter().filter(|input| !input.is_null_literal());
    let mut scales = scales.map(|input| decimal::parts(input.physical()).map(|(_, scale)| scale));
    let first = scales.next();
    let same = scales.all(|scale| Some(scale) == first) && first.is_none_or(|scale| scale.is_some());
    if same { Ok(unify_numerics(cast_all, &target)) } else { Ok(as_bytes(cast_all, &target)) }
}

/// The value itself, of which the planner knows nothing.
pub fn as_it_is(value: Expr, arrow: arrow_schema::DataType) -> Expr {
    Function::columnar("as_it_is", format!("as_it_is {arrow}"), arrow, |args, _| {
        args.first().cloned().ok_or_else(|| Error::internal("a value"))
    })
    .call(vec![value])
}

fn convert_context(context: &str) -> &str {
    if context == "CASE" { "CASE/WHEN" } else { context }
}

/// What only became numeric bytes to be shown exactly, as a decimal again where a sum is all that is asked for: a CASE whose
/// arms differ in display scale (a sum has the largest scale of its inputs anyway), and arithmetic whose declared bound passes
/// 38 digits (a sum is kept in 38 digits, and fails beyond them, with or without it).
pub(super) fn as_decimal(input: Typed) -> Typed {
    if input.physical() != PhysicalType::Numeric {
        return input;
    }
    decimal_form(&input.expr).unwrap_or(input)
}

fn decimal_form(expr: &Expr) -> Option<Typed> {
    if let Expr::Case(case) = expr {
        return case_as_decimal(case);
    }
    if let Some(([argument], [physical])) = Function::unwrap_call(expr, "to_numeric") {
        return decimal::parts(*physical).map(|_| Typed::numeric(argument.clone(), *physical));
    }
    for operation in [Operation::Add, Operation::Sub, Operation::Mul] {
        let Some(([left, right], [a, b])) = Function::unwrap_call(expr, operation.name()) else { continue };
        let side = |expr: &Expr, physical: PhysicalType| match physical {
            PhysicalType::Numeric => decimal_form(expr),
            _ => Some(Typed::numeric(expr.clone(), physical)),
        };
        let (left, right) = (side(left, *a)?, side(right, *b)?);
        let (a, b) = (left.physical(), right.physical());
        let result = operation.result(decimal::parts(a)?, decimal::parts(b)?, true)?;
        return Some(Typed::numeric(decimal::call(operation, (left.expr, a), (right.expr, b), result), result));
    }
    match Typed::numeric(expr.clone(), PhysicalType::Numeric).literal_datum()? {
        Datum::Null => super::value::null_of(&SqlType::Numeric(None)).ok(),
        Datum::Numeric(number) => {
            numeric_literal(&number).ok().filter(|typed| decimal::parts(typed.physical()).is_some())
        }
        _ => None,
    }
}

fn case_as_decimal(case: &Case) -> Option<Typed> {
    let arms = case.when_then_expr.iter().map(|(_, then)| then).chain(&case.else_expr);
    let arms = arms.map(|arm| decimal_form(arm)).collect::<Option<Vec<Typed>>>()?;
    let mut arms = unify_numerics(arms, &SqlType::Numeric(None));
    let physical = arms.first().map(Typed::physical).filter(|physical| decimal::parts(*physical).is_some())?;
    let mut case = case.clone();
    if let Some(otherwise) = &mut case.else_expr {
        **otherwise = arms.pop()?.expr;
    }
    for ((_, then), arm) in case.when_then_expr.iter_mut().zip(arms) {
        **then = arm.expr;
    }
    Some(Typed::numeric(Expr::Case(case), physical))
}

fn as_bytes(inputs: Vec<Typed>, target: &SqlType) -> Vec<Typed> {
    inputs.into_iter().map(|input| Typed { sql_type: target.clone(), ..to_numeric_bytes(input) }).collect()
}

/// One Arrow type for numerics in different forms: the narrowest decimal that holds all, else numeric bytes.
pub(super) fn unify_numerics(inputs: Vec<Typed>, target: &SqlType) -> Vec<Typed> {
    let common =
        inputs.iter().filter(|input| !input.is_null_literal()).try_fold((1u8, 0i8), |(whole, scale), input| {
            let (p, s) = decimal::parts(input.physical())?;
            Some((whole.max(p.saturating_sub(s.unsigned_abs())), scale.max(s)))
        });
    let physical = common.and_then(|(whole, scale)| decimal_physical(whole.checked_add(scale.unsigned_abs())?, scale));
    inputs
        .into_iter()
        .map(|input| {
            let from = input.physical();
            let expr = match physical {
                Some(to) if input.is_null_literal() => match datafusion::common::ScalarValue::try_from(&arrow_type(to))
                {
                    Ok(null) => datafusion::logical_expr::Expr::Literal(null, None),
                    Err(_) => decimal::widen_to(input.expr, from, to),
                },
                Some(to) => decimal::widen_to(input.expr, from, to),
                None => to_numeric_bytes(input).expr,
            };
            let arrow = arrow_type(physical.unwrap_or(PhysicalType::Numeric));
            Typed { expr, sql_type: target.clone(), arrow }
        })
        .collect()
}

fn same_base(a: &SqlType, b: &SqlType) -> bool {
    match (a, b) {
        (SqlType::Array(a), SqlType::Array(b)) => same_base(a, b),
        (SqlType::Reg(_) | SqlType::Enum(_), _) => a == b,
        _ => std::mem::discriminant(a) == std::mem::discriminant(b),
    }
}

pub(super) fn without_modifier(sql_type: &SqlType) -> SqlType {
    match sql_type {
        SqlType::Numeric(_) => SqlType::Numeric(None),
        SqlType::Varchar(_) => SqlType::Varchar(None),
        SqlType::Char(_) => SqlType::Char(None),
        SqlType::Time(_) => SqlType::Time(None),
        SqlType::Timestamp(_) => SqlType::Timestamp(None),
        SqlType::Timestamptz(_) => SqlType::Timestamptz(None),
        SqlType::Array(element) => SqlType::Array(Box::new(without_modifier(element))),
        other => other.clone(),
    }
}

/// An untyped literal where the type of the result would be its type.
pub(super) fn polymorphic_unknown() -> Error {
    let message = "could not determine polymorphic type because input has type unknown";
    Error::invalid(SqlState::DATATYPE_MISMATCH, message)
}

/// Several functions of the name would take the untyped literals.
pub(super) fn not_unique(name: &str, args: &[Typed]) -> Error {
    let types: Vec<String> = args.iter().map(|arg| base_name(&arg.sql_type)).collect();
    let message = format!("function {name}({}) is not unique", types.join(", "));
    Error::invalid(SqlState::AMBIGUOUS_FUNCTION, message)
        .with_hint("Could not choose a best candidate function. You might need to add explicit type casts.")
}

/// The type's name in messages: without length or precision.
pub(super) fn base_name(sql_type: &SqlType) -> String {
    match sql_type {
        SqlType::Char(_) => "character".into(),
        SqlType::Array(element) => format!("{}[]", base_name(element)),
        other => without_modifier(other).name(),
    }
}

/// PostgreSQL's `typcategory`.
pub(super) fn category(sql_type: &SqlType) -> char {
    match sql_type {
        SqlType::Bool => 'B',
        sql_type if is_number(sql_type) => 'N',
        SqlType::Oid | SqlType::Reg(_) => 'N',
        sql_type if is_text(sql_type) => 'S',
        SqlType::Date | SqlType::Time(_) | SqlType::Timestamp(_) | SqlType::Timestamptz(_) => 'D',
        SqlType::Interval => 'T',
        SqlType::Array(_) => 'A',
        SqlType::Enum(_) => 'E',
        SqlType::Unknown => 'X',
        SqlType::Void => 'P',
        _ => 'U',
    }
}

/// PostgreSQL's `typispreferred`.
fn is_preferred(sql_type: &SqlType) -> bool {
    matches!(
        sql_type,
        SqlType::Bool | SqlType::Float8 | SqlType::Oid | SqlType::Text | SqlType::Timestamptz(_) | SqlType::Interval
    )
}
