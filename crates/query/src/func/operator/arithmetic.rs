//! `+ - * / % ^` and signs: operand types to a result type, numbers here, dates in `datetime`.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Float32Type, Float64Type};
use arrow_array::{ArrayRef, PrimitiveArray};
use arrow_schema::ArrowError;
use datafusion::arrow::compute::kernels::arity::try_binary;
use datafusion::logical_expr::Expr;
use heliosdb_contracts::arrow_type;
use heliosdb_types::{Datum, DatumRef, Error, PhysicalType, Result, SqlState, SqlType};

use super::super::cast::{cast, integer_to_decimal, is_integer, is_number, to_numeric_bytes};
use super::super::common::{as_it_is, category, without_modifier};
use super::super::decimal::{self, Operation};
use super::super::udf::Function;
use super::super::value::{float_of, numeric_of};
use super::super::{CastKind, FuncContext, Typed};
use super::{ambiguous, datetime, integer, undefined};
use crate::exec::from_arrow;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Power,
}

impl Arithmetic {
    pub fn symbol(self) -> &'static str {
        match self {
            Arithmetic::Add => "+",
            Arithmetic::Sub => "-",
            Arithmetic::Mul => "*",
            Arithmetic::Div => "/",
            Arithmetic::Mod => "%",
            Arithmetic::Power => "^",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Arithmetic::Add => "add",
            Arithmetic::Sub => "sub",
            Arithmetic::Mul => "mul",
            Arithmetic::Div => "div",
            Arithmetic::Mod => "mod",
            Arithmetic::Power => "power",
        }
    }
}

pub(crate) fn arithmetic(op: Arithmetic, left: Typed, right: Typed, ctx: &FuncContext) -> Result<Typed> {
    let (left, right) = settle(op, left, right, ctx)?;
    if !is_number(&left.sql_type) || !is_number(&right.sql_type) {
        return datetime::arithmetic(op, left, right, ctx);
    }
    match result_type(op, &left.sql_type, &right.sql_type) {
        Some(SqlType::Numeric(_)) => numeric(op, left, right),
        Some(sql_type @ (SqlType::Float4 | SqlType::Float8)) => {
            let left = cast(left, &sql_type, CastKind::Explicit, ctx)?;
            let right = cast(right, &sql_type, CastKind::Explicit, ctx)?;
            Ok(float(op, left, right, sql_type))
        }
        Some(sql_type) => {
            let left = cast(left, &sql_type, CastKind::Implicit, ctx)?;
            let right = cast(right, &sql_type, CastKind::Implicit, ctx)?;
            Ok(integer::call(op, left, right, sql_type))
        }
        None => Err(undefined(op.symbol(), &left, &right)),
    }
}

/// Gives an untyped literal or parameter the type PostgreSQL's operator table implies.
fn settle(op: Arithmetic, left: Typed, right: Typed, ctx: &FuncContext) -> Result<(Typed, Typed)> {
    let typed = |known: &Typed| -> Result<Option<SqlType>> {
        Ok(match (&known.sql_type, op) {
            (SqlType::Date, Arithmetic::Add) => None,
            (SqlType::Timestamp(_) | SqlType::Timestamptz(_) | SqlType::Time(_), Arithmetic::Add) => {
                Some(SqlType::Interval)
            }
            (SqlType::Interval, Arithmetic::Mul | Arithmetic::Div) => Some(SqlType::Float8),
            // There is no power of integers.
            (number, Arithmetic::Power) if is_integer(number) => Some(SqlType::Float8),
            (other, _) if matches!(category(other), 'N' | 'D' | 'T') => Some(without_modifier(other)),
            _ => None,
        })
    };
    match (left.is_unknown(), right.is_unknown()) {
        (false, false) => Ok((left, right)),
        (true, true) => Err(ambiguous(op.symbol(), &left, &right)),
        (true, false) => match typed(&right)? {
            Some(to) => Ok((cast(left, &to, CastKind::Implicit, ctx)?, right)),
            None if matches!(category(&right.sql_type), 'D' | 'T') => Err(ambiguous(op.symbol(), &left, &right)),
            None => Err(undefined(op.symbol(), &left, &right)),
        },
        (false, true) => match typed(&left)? {
            Some(to) => {
                let right = cast(right, &to, CastKind::Implicit, ctx)?;
                Ok((left, right))
            }
            None if matches!(category(&left.sql_type), 'D' | 'T') => Err(ambiguous(op.symbol(), &left, &right)),
            None => Err(undefined(op.symbol(), &left, &right)),
        },
    }
}

/// The type two numbers are computed in.
fn result_type(op: Arithmetic, left: &SqlType, right: &SqlType) -> Option<SqlType> {
    use SqlType::{Float4, Float8, Int2, Int4, Int8, Numeric};
    let floats = matches!(left, Float4 | Float8) || matches!(right, Float4 | Float8);
    Some(match (op, left, right) {
        (Arithmetic::Mod, ..) if floats => return None,
        (Arithmetic::Power, ..) if floats => Float8,
        (Arithmetic::Power, a, b) if is_integer(a) && is_integer(b) => Float8,
        (_, Float4, Float4) => Float4,
        _ if floats => Float8,
        (_, Numeric(_), _) | (_, _, Numeric(_)) => Numeric(None),
        (_, Int8, _) | (_, _, Int8) => Int8,
        (_, Int4, _) | (_, _, Int4) => Int4,
        _ => Int2,
    })
}

fn numeric(op: Arithmetic, left: Typed, right: Typed) -> Result<Typed> {
    let exact = match op {
        Arithmetic::Add => Some(Operation::Add),
        Arithmetic::Sub => Some(Operation::Sub),
        Arithmetic::Mul => Some(Operation::Mul),
        _ => None,
    };
    let as_decimal = |input: Typed| if is_integer(&input.sql_type) { integer_to_decimal(input) } else { Ok(input) };
    let (left, right) = (as_decimal(left)?, as_decimal(right)?);
    if let Some(operation) = exact
        && let (Some(a), Some(b)) = (decimal::parts(left.physical()), decimal::parts(right.physical()))
        && let Some(result) = operation.result(a, b, false)
    {
        let (a, b) = (left.physical(), right.physical());
        return Ok(Typed::numeric(decimal::call(operation, (left.expr, a), (right.expr, b), result), result));
    }
    let types = vec![left.physical(), right.physical()];
    let name = format!("numeric_{}", op.name());
    let function = Function::strict(&name, name.clone(), types, PhysicalType::Numeric, move |args| {
        let [a, b] = args else { return Err(Error::internal("two operands")) };
        let (a, b) = (numeric_of(*a)?, numeric_of(*b)?);
        let result = match op {
            Arithmetic::Add => a.add(&b),
            Arithmetic::Sub => a.sub(&b),
            Arithmetic::Mul => a.mul(&b),
            Arithmetic::Div => a.div(&b),
            Arithmetic::Mod => a.rem(&b),
            Arithmetic::Power => a.power(&b),
        };
        result.map(Datum::Numeric)
    });
    Ok(Typed::numeric(function.call(vec![left.expr, right.expr]), PhysicalType::Numeric))
}

pub(crate) fn float_overflow() -> Error {
    Error::invalid(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow")
}

pub(crate) fn float_underflow() -> Error {
    Error::invalid(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: underflow")
}

/// One float operation with PostgreSQL's checks.
pub(crate) fn float_value(op: Arithmetic, a: f64, b: f64) -> Result<f64> {
    let result = match op {
        Arithmetic::Add => a + b,
        Arithmetic::Sub => a - b,
        Arithmetic::Mul => a * b,
        Arithmetic::Div if b == 0.0 && !a.is_nan() => {
            return Err(Error::invalid(SqlState::DIVISION_BY_ZERO, "division by zero"));
        }
        Arithmetic::Div => a / b,
        Arithmetic::Mod => a % b,
        Arithmetic::Power => return float_value_power(a, b),
    };
    if result.is_nan() {
        // Processors make negative ones, which bytes put below every number.
        return Ok(f64::NAN);
    }
    if result.is_infinite() && a.is_finite() && b.is_finite() {
        return Err(float_overflow());
    }
    let vanishes = match op {
        Arithmetic::Mul => a != 0.0 && b != 0.0,
        Arithmetic::Div => a != 0.0 && b.is_finite(),
        _ => false,
    };
    if result == 0.0 && vanishes { Err(float_underflow()) } else { Ok(result) }
}

pub(crate) fn float_value_power(a: f64, b: f64) -> Result<f64> {
    let domain = |message: &str| Error::invalid(SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION, message);
    if a == 0.0 && b < 0.0 {
        return Err(domain("zero raised to a negative power is undefined"));
    }
    if a < 0.0 && a.is_finite() && b.is_finite() && b.fract() != 0.0 {
        return Err(domain("a negative number raised to a non-integer power yields a complex result"));
    }
    let result = a.powf(b);
    if result.is_infinite() && a.is_finite() && b.is_finite() {
        return Err(float_overflow());
    }
    if result == 0.0 && a != 0.0 && a.is_finite() && b.is_finite() { Err(float_underflow()) } else { Ok(result) }
}

fn float(op: Arithmetic, left: Typed, right: Typed, sql_type: SqlType) -> Typed {
    let wide = sql_type == SqlType::Float8;
    let physical = if wide { PhysicalType::Float64 } else { PhysicalType::Float32 };
    let name = format!("{}_{}", if wide { "float8" } else { "float4" }, op.name());
    let function = Function::arrays(&name, name.clone(), arrow_type(physical), move |args, _| {
        let [a, b] = args else { return Err(Error::internal("two operands")) };
        if wide {
            float_arrays::<Float64Type>(a, b, |a, b| float_value(op, a, b))
        } else {
            float_arrays::<Float32Type>(a, b, |a, b| {
                let narrow = float_value(op, f64::from(a), f64::from(b))? as f32;
                if narrow.is_infinite() && a.is_finite() && b.is_finite() { Err(float_overflow()) } else { Ok(narrow) }
            })
        }
    });
    Typed::new(function.strict_columns().call(vec![left.expr, right.expr]), sql_type)
}

fn float_arrays<T: ArrowPrimitiveType>(
    a: &ArrayRef,
    b: &ArrayRef,
    op: impl Fn(T::Native, T::Native) -> Result<T::Native>,
) -> Result<ArrayRef> {
    let result: PrimitiveArray<T> = try_binary(a.as_primitive::<T>(), b.as_primitive::<T>(), |a, b| {
        op(a, b).map_err(|error| ArrowError::ExternalError(Box::new(error)))
    })
    .map_err(from_arrow)?;
    Ok(Arc::new(result))
}

/// `-x`.
pub(crate) fn negate(input: Typed, ctx: &FuncContext) -> Result<Typed> {
    let physical = input.physical();
    let sql_type = without_modifier(&input.sql_type);
    Ok(match &input.sql_type {
        SqlType::Unknown => {
            return Err(Error::invalid(SqlState::AMBIGUOUS_FUNCTION, "operator is not unique: - unknown")
                .with_hint("Could not choose a best candidate operator. You might need to add explicit type casts."));
        }
        integer_type if is_integer(integer_type) => integer::negate(input),
        SqlType::Numeric(_) if decimal::parts(physical).is_some() => {
            Typed::numeric(decimal::negate(input.expr, physical), physical)
        }
        SqlType::Numeric(_) => {
            let input = to_numeric_bytes(input);
            let function = Function::strict(
                "numeric_negate",
                "numeric_negate",
                vec![PhysicalType::Numeric],
                PhysicalType::Numeric,
                |args| {
                    let [value] = args else { return Err(Error::internal("one operand")) };
                    Ok(Datum::Numeric(numeric_of(*value)?.neg()))
                },
            );
            Typed::numeric(function.call(vec![input.expr]), PhysicalType::Numeric)
        }
        SqlType::Time(_) => return negate(cast(input, &SqlType::Interval, CastKind::Implicit, ctx)?, ctx),
        SqlType::Float4 | SqlType::Float8 | SqlType::Interval => {
            let function = Function::strict("negate", "negate", vec![physical], physical, |args| match args {
                [DatumRef::Float32(v)] => Ok(Datum::Float32(if v.is_nan() { f32::NAN } else { -v })),
                [DatumRef::Interval(v)] => v.checked_neg().map(Datum::Interval),
                [value] => {
                    let value = float_of(*value)?;
                    Ok(Datum::Float64(if value.is_nan() { f64::NAN } else { -value }))
                }
                _ => Err(Error::internal("one operand")),
            });
            Typed::new(function.call(vec![input.expr]), sql_type)
        }
        _ => return Err(super::undefined_prefix("-", &input)),
    })
}

/// `+x`.
pub(crate) fn plus(input: Typed, ctx: &FuncContext) -> Result<Typed> {
    if input.is_unknown() {
        return cast(input, &SqlType::Float8, CastKind::Implicit, ctx);
    }
    if !is_number(&input.sql_type) {
        return Err(super::undefined_prefix("+", &input));
    }
    match &input.expr {
        // A grouping set may have `x` and not `+x`.
        Expr::Column(_) => Ok(Typed { expr: as_it_is(input.expr, input.arrow.clone()), ..input }),
        _ => Ok(input),
    }
}
