//! Exact decimal arithmetic on 64- and 128-bit columns: PostgreSQL's result scales, precision that grows, no rounding.
//!
//! A result type is chosen so wide that no value of the operands' types can overflow it; where that passes 38 digits, results are
//! checked, or the caller computes on numeric bytes (see [`Operation::result`]).

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal64Type, Decimal128Type};
use arrow_array::{Array, ArrayRef, Decimal128Array, PrimitiveArray};
use arrow_schema::{ArrowError, DataType};
use datafusion::arrow::compute::kernels::arity::{binary, try_binary, try_unary, unary};
use datafusion::logical_expr::Expr;
use heliosdb_contracts::arrow_type;
use heliosdb_types::{Error, PhysicalType, Result, SqlState, precision_overflow, rescale};

use super::literal::decimal_physical;
use super::udf::Function;
use crate::exec::from_arrow;

/// Precision and scale of a decimal column.
pub(super) fn parts(physical: PhysicalType) -> Option<(u8, i8)> {
    match physical {
        PhysicalType::Decimal64 { precision, scale } | PhysicalType::Decimal128 { precision, scale } => {
            Some((precision, scale))
        }
        _ => None,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Add,
    Sub,
    Mul,
}

impl Operation {
    /// Of the function, on decimals and on numeric bytes alike.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Add => "numeric_add",
            Operation::Sub => "numeric_sub",
            Operation::Mul => "numeric_mul",
        }
    }

    /// The type of the results. Up to 38 digits it holds every result there can be; beyond that it is 38 digits and results
    /// are checked (if `may_fail`), as long as [`WHOLE_DIGITS_MIN`] remain before the point; `None`: numeric bytes must do it.
    pub fn result(self, (p, s): (u8, i8), (q, t): (u8, i8), may_fail: bool) -> Option<PhysicalType> {
        let (precision, scale) = self.needed((p, s), (q, t));
        let clamped = if may_fail && precision > 38 && 38 - scale >= WHOLE_DIGITS_MIN { 38 } else { precision };
        decimal_physical(u8::try_from(clamped).ok()?, i8::try_from(scale).ok()?)
    }

    /// Precision and scale that every result fits.
    fn needed(self, (p, s): (u8, i8), (q, t): (u8, i8)) -> (i32, i32) {
        let (p, s, q, t) = (i32::from(p), i32::from(s), i32::from(q), i32::from(t));
        match self {
            Operation::Mul => (p + q, s + t),
            _ => ((p - s).max(q - t) + s.max(t) + 1, s.max(t)),
        }
    }
}

/// What a sum adds up may be computed in 128 bits although its declared bound passes 38 digits, if this many digits are left
/// before the point: a value beyond them is an error (22003), as a sum beyond 38 digits is. TPC-H's
/// `sum(price * (1 - discount) * (1 + tax))` of numeric(15,2) has a bound of 47 digits and values of 12; numeric bytes would
/// make it thirty times slower.
const WHOLE_DIGITS_MIN: i32 = 24;

fn overflow() -> ArrowError {
    let error = Error::invalid(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format")
        .with_detail("What is summed up is kept in 38 digits.");
    ArrowError::ExternalError(Box::new(error))
}

/// Within 38 digits.
fn checked(value: Option<i128>) -> std::result::Result<i128, ArrowError> {
    value.filter(|value| value.unsigned_abs() < 10u128.pow(38)).ok_or_else(overflow)
}

/// Nearly all factors fit 64 bits, whose product cannot overflow.
fn product(a: i128, b: i128) -> Option<i128> {
    match (i64::try_from(a), i64::try_from(b)) {
        (Ok(a), Ok(b)) => Some(i128::from(a) * i128::from(b)),
        _ => a.checked_mul(b),
    }
}

/// The call of an operation on two decimal columns.
pub(super) fn call(
    operation: Operation,
    left: (Expr, PhysicalType),
    right: (Expr, PhysicalType),
    result: PhysicalType,
) -> Expr {
    let (a, b) = (left.1, right.1);
    let key = format!("{} {a:?} {b:?}", operation.name());
    let function = Function::arrays(operation.name(), key, arrow_type(result), move |args, _| {
        let [x, y] = args else { return Err(Error::internal("two operands")) };
        compute(operation, x, y, result)
    });
    function.strict_columns().call(vec![left.0, right.0])
}

fn compute(operation: Operation, x: &ArrayRef, y: &ArrayRef, result: PhysicalType) -> Result<ArrayRef> {
    let (s, t) = (scale_of(x)?, scale_of(y)?);
    let (_, scale) = parts(result).ok_or_else(|| Error::internal("a decimal result"))?;
    let arrow = arrow_type(result);
    if operation == Operation::Mul {
        return multiply(x, y, &arrow);
    }
    let sign: i64 = if operation == Operation::Sub { -1 } else { 1 };
    let lift = |from: i8| 10i128.pow(u32::from((scale - from).unsigned_abs()));
    let (lift_x, lift_y) = (lift(s), lift(t));
    if let (DataType::Decimal64(..), DataType::Decimal64(..), PhysicalType::Decimal64 { .. }) =
        (x.data_type(), y.data_type(), result)
    {
        let (lift_x, lift_y) = (lift_x as i64, lift_y as i64 * sign);
        let (x, y) = (x.as_primitive::<Decimal64Type>(), y.as_primitive::<Decimal64Type>());
        // The result type has a digit more than either operand at this scale: nothing can wrap in a valid row.
        let sum: PrimitiveArray<Decimal64Type> =
            binary(x, y, |a, b| a.wrapping_mul(lift_x).wrapping_add(b.wrapping_mul(lift_y))).map_err(from_arrow)?;
        return Ok(Arc::new(sum.with_data_type(arrow)));
    }
    let lift_y = lift_y * i128::from(sign);
    let needs_check = operation.needed(of_array(x)?, of_array(y)?).0 > 38;
    let (x, y) = (widen(x)?, widen(y)?);
    let sum: PrimitiveArray<Decimal128Type> = if needs_check {
        let add = |a: i128, b: i128| checked(a.checked_mul(lift_x).and_then(|a| a.checked_add(b.checked_mul(lift_y)?)));
        try_binary(&x, &y, add).map_err(from_arrow)?
    } else {
        binary(&x, &y, |a, b| a.wrapping_mul(lift_x).wrapping_add(b.wrapping_mul(lift_y))).map_err(from_arrow)?
    };
    narrow(sum, arrow)
}

fn multiply(x: &ArrayRef, y: &ArrayRef, arrow: &DataType) -> Result<ArrayRef> {
    if let (DataType::Decimal64(..), DataType::Decimal64(..)) = (x.data_type(), y.data_type()) {
        let (x, y) = (x.as_primitive::<Decimal64Type>(), y.as_primitive::<Decimal64Type>());
        if matches!(arrow, DataType::Decimal64(..)) {
            let product: PrimitiveArray<Decimal64Type> = binary(x, y, i64::wrapping_mul).map_err(from_arrow)?;
            return Ok(Arc::new(product.with_data_type(arrow.clone())));
        }
        let product: PrimitiveArray<Decimal128Type> =
            binary(x, y, |a, b| i128::from(a) * i128::from(b)).map_err(from_arrow)?;
        return Ok(Arc::new(product.with_data_type(arrow.clone())));
    }
    let needs_check = Operation::Mul.needed(of_array(x)?, of_array(y)?).0 > 38;
    let (x, y) = (widen(x)?, widen(y)?);
    let products: PrimitiveArray<Decimal128Type> = if needs_check {
        try_binary(&x, &y, |a, b| checked(product(a, b))).map_err(from_arrow)?
    } else {
        binary(&x, &y, i128::wrapping_mul).map_err(from_arrow)?
    };
    narrow(products, arrow.clone())
}

fn scale_of(array: &ArrayRef) -> Result<i8> {
    of_array(array).map(|(_, scale)| scale)
}

fn of_array(array: &ArrayRef) -> Result<(u8, i8)> {
    match array.data_type() {
        DataType::Decimal64(precision, scale) | DataType::Decimal128(precision, scale) => Ok((*precision, *scale)),
        other => Err(Error::internal(format!("{other} where a decimal was planned"))),
    }
}

/// A decimal column as 128-bit values at its own scale.
pub(super) fn widen(array: &ArrayRef) -> Result<Decimal128Array> {
    match array.data_type() {
        DataType::Decimal128(..) => Ok(array.as_primitive::<Decimal128Type>().clone()),
        DataType::Decimal64(_, scale) => {
            let wide: Decimal128Array = unary(array.as_primitive::<Decimal64Type>(), i128::from);
            Ok(wide.with_data_type(DataType::Decimal128(38, *scale)))
        }
        other => Err(Error::internal(format!("{other} where a decimal was planned"))),
    }
}

/// 128-bit results in the planned type (which is proven wide enough).
fn narrow(values: Decimal128Array, arrow: DataType) -> Result<ArrayRef> {
    match arrow {
        DataType::Decimal64(..) => {
            let narrow: PrimitiveArray<Decimal64Type> = unary(&values, |value| value as i64);
            Ok(Arc::new(narrow.with_data_type(arrow)))
        }
        _ => Ok(Arc::new(values.with_data_type(arrow))),
    }
}

/// To another decimal type: rounds half away from zero, fails (22003) if a value does not fit.
pub(super) fn rescale_checked(input: Expr, from: PhysicalType, to: PhysicalType) -> Expr {
    let key = format!("rescale {from:?} {to:?}");
    let function = Function::arrays("numeric", key, arrow_type(to), move |args, _| {
        let [input] = args else { return Err(Error::internal("one operand")) };
        let (from_scale, (precision, scale)) =
            (scale_of(input)?, parts(to).ok_or_else(|| Error::internal("a decimal result"))?);
        let overflow = || precision_overflow(u16::from(precision), i16::from(scale));
        let limit = 10i128.checked_pow(u32::from(precision)).unwrap_or(i128::MAX);
        let convert = |value: i128| -> std::result::Result<i128, ArrowError> {
            match rescale(value, i32::from(from_scale), i32::from(scale)) {
                Some(value) if value > -limit && value < limit => Ok(value),
                _ => Err(ArrowError::ExternalError(Box::new(overflow()))),
            }
        };
        let rescaled: Decimal128Array = try_unary(&widen(input)?, convert).map_err(from_arrow)?;
        narrow(rescaled, arrow_type(to))
    });
    function.strict_columns().call(vec![input])
}

/// Exactly the same values in a wider type (more digits before or after the point); DataFusion's own cast.
pub(super) fn widen_to(input: Expr, from: PhysicalType, to: PhysicalType) -> Expr {
    if from == to { input } else { super::cast::arrow_cast(input, to) }
}

/// `-x`.
pub(super) fn negate(input: Expr, physical: PhysicalType) -> Expr {
    let key = format!("numeric_negate {physical:?}");
    let function = Function::arrays("numeric_negate", key, arrow_type(physical), move |args, _| {
        let [input] = args else { return Err(Error::internal("one operand")) };
        let arrow = input.data_type().clone();
        if let DataType::Decimal64(..) = arrow {
            let negated: PrimitiveArray<Decimal64Type> =
                unary(input.as_primitive::<Decimal64Type>(), i64::wrapping_neg);
            return Ok(Arc::new(negated.with_data_type(arrow)) as ArrayRef);
        }
        let negated: Decimal128Array = unary(&widen(input)?, i128::wrapping_neg);
        Ok(Arc::new(negated.with_data_type(arrow)))
    });
    function.strict_columns().call(vec![input])
}
