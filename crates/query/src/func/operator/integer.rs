//! Integer arithmetic with overflow errors, and bit operators.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Int16Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, PrimitiveArray};
use arrow_schema::ArrowError;
use datafusion::arrow::compute::kernels::arity::{try_binary, try_unary};
use datafusion::arrow::compute::kernels::numeric;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr_common::datum::apply;
use heliosdb_contracts::{arrow_type, datum_at};
use heliosdb_types::{Datum, DatumRef, Error, PhysicalType, Result, SqlState, SqlType};

use super::super::cast::{cast, is_integer};
use super::super::udf::Function;
use super::super::value::int_of;
use super::super::{CastKind, FuncContext, Typed};
use super::arithmetic::Arithmetic;
use super::{ambiguous, undefined};
use crate::exec::{from_datafusion, integer, into_array};

fn out_of_range(sql_type: &SqlType) -> Error {
    Error::invalid(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{} out of range", sql_type.name()))
}

fn physical_of(sql_type: &SqlType) -> PhysicalType {
    match sql_type {
        SqlType::Int2 => PhysicalType::Int16,
        SqlType::Int4 => PhysicalType::Int32,
        _ => PhysicalType::Int64,
    }
}

/// Both operands have the result's type.
pub(super) fn call(op: Arithmetic, left: Typed, right: Typed, sql_type: SqlType) -> Typed {
    let physical = physical_of(&sql_type);
    let name = format!("{}_{}", short_name(physical), op.name());
    let result_type = sql_type.clone();
    let function = Function::columnar(&name, name.clone(), arrow_type(physical), move |args, _| {
        let [a, b] = args else { return Err(Error::internal("two operands")) };
        if let Some(value) = compute_one(op, a, b, physical) {
            return Ok(value);
        }
        compute(op, a, b, physical).map_err(|error| match error.state() {
            SqlState::NUMERIC_VALUE_OUT_OF_RANGE => out_of_range(&result_type),
            _ => error,
        })
    });
    Typed::new(function.strict_columns().total().call(vec![left.expr, right.expr]), sql_type)
}

fn short_name(physical: PhysicalType) -> &'static str {
    match physical {
        PhysicalType::Int16 => "int2",
        PhysicalType::Int32 => "int4",
        _ => "int8",
    }
}

/// One value of each operand, without an array to be made of a constant for it. `None`: not so simple (several rows, NULL,
/// or an error).
fn compute_one(op: Arithmetic, a: &ColumnarValue, b: &ColumnarValue, physical: PhysicalType) -> Option<ColumnarValue> {
    let (x, y) = (single(a, physical)?, single(b, physical)?);
    let value = match op {
        Arithmetic::Add => x.checked_add(y)?,
        Arithmetic::Sub => x.checked_sub(y)?,
        Arithmetic::Mul => x.checked_mul(y)?,
        Arithmetic::Div => x.checked_div(y)?,
        _ if y == 0 => return None,
        _ => x.wrapping_rem(y),
    };
    let value = match physical {
        PhysicalType::Int16 => ScalarValue::Int16(Some(value.try_into().ok()?)),
        PhysicalType::Int32 => ScalarValue::Int32(Some(value.try_into().ok()?)),
        _ => ScalarValue::Int64(Some(value)),
    };
    match (a, b) {
        (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)) => Some(ColumnarValue::Scalar(value)),
        _ => into_array(ColumnarValue::Scalar(value), 1).ok().map(ColumnarValue::Array),
    }
}

/// An operand's value, if it has one and no more.
fn single(operand: &ColumnarValue, physical: PhysicalType) -> Option<i64> {
    match operand {
        ColumnarValue::Scalar(value) => integer(value),
        ColumnarValue::Array(array) if array.len() == 1 && !array.is_null(0) => {
            int_of(datum_at(array, 0, physical).ok()?).ok()
        }
        ColumnarValue::Array(_) => None,
    }
}

fn compute(op: Arithmetic, a: &ColumnarValue, b: &ColumnarValue, physical: PhysicalType) -> Result<ColumnarValue> {
    apply(a, b, |x, y| match op {
        Arithmetic::Add => numeric::add(x, y),
        Arithmetic::Sub => numeric::sub(x, y),
        Arithmetic::Mul => numeric::mul(x, y),
        Arithmetic::Div => numeric::div(x, y),
        _ => {
            // The smallest integer modulo -1 is 0 in PostgreSQL and an overflow in Arrow.
            let (x, y) = (x.get(), y.get());
            let rows = match (x, y) {
                ((x, false), _) => x.len(),
                (_, (y, false)) => y.len(),
                _ => 1,
            };
            if let ((x, false), (y, true)) = (x, y) {
                return remainder_of(x, y, physical);
            }
            let expand = |(array, scalar): (&dyn Array, bool)| -> std::result::Result<ArrayRef, ArrowError> {
                if !scalar || array.len() == rows {
                    return Ok(arrow_array::make_array(array.to_data()));
                }
                let indices = arrow_array::UInt32Array::from(vec![0u32; rows]);
                arrow_select::take::take(array, &indices, None)
            };
            remainder(&expand(x)?, &expand(y)?, physical)
        }
    })
    .map_err(from_datafusion)
}

/// By one divisor for all.
fn remainder_of(x: &dyn Array, y: &dyn Array, physical: PhysicalType) -> std::result::Result<ArrayRef, ArrowError> {
    fn of<T: ArrowPrimitiveType>(
        x: &dyn Array,
        y: &dyn Array,
        op: impl Fn(&PrimitiveArray<T>, T::Native) -> PrimitiveArray<T>,
    ) -> std::result::Result<ArrayRef, ArrowError> {
        let y = y.as_primitive::<T>();
        if y.is_null(0) {
            return Ok(arrow_array::new_null_array(x.data_type(), x.len()));
        }
        let (x, y) = (x.as_primitive::<T>(), y.value(0));
        if y == T::Native::default() {
            // Only values can be divided.
            return match x.null_count() == x.len() {
                true => Ok(Arc::new(x.clone())),
                false => Err(ArrowError::DivideByZero),
            };
        }
        Ok(Arc::new(op(x, y)))
    }
    match physical {
        PhysicalType::Int16 => of::<Int16Type>(x, y, |x, y| x.unary(|a| a.wrapping_rem(y))),
        PhysicalType::Int32 => of::<Int32Type>(x, y, int4_remainder),
        _ => of::<Int64Type>(x, y, |x, y| x.unary(|a| a.wrapping_rem(y))),
    }
}

/// By a divisor that is not 0, several rows a step: processors divide floats that way, and whole numbers one by one. The quotient
/// cut off is exact. If it is not whole it is at least `1 / |divisor|` from the next whole number, a part in 2^31 of itself, and
/// the float is no further from it than a part in 2^53.
fn int4_remainder(x: &PrimitiveArray<Int32Type>, divisor: i32) -> PrimitiveArray<Int32Type> {
    if divisor == -1 {
        // The quotient of the least number is none.
        return x.unary(|_| 0);
    }
    let by = f64::from(divisor);
    x.unary(|a| a.wrapping_sub(((f64::from(a) / by) as i32).wrapping_mul(divisor)))
}

fn remainder(x: &ArrayRef, y: &ArrayRef, physical: PhysicalType) -> std::result::Result<ArrayRef, ArrowError> {
    fn of<T: ArrowPrimitiveType>(
        x: &ArrayRef,
        y: &ArrayRef,
        op: impl Fn(T::Native, T::Native) -> Option<T::Native>,
    ) -> std::result::Result<ArrayRef, ArrowError> {
        let result: PrimitiveArray<T> =
            try_binary(x.as_primitive::<T>(), y.as_primitive::<T>(), |a, b| op(a, b).ok_or(ArrowError::DivideByZero))?;
        Ok(Arc::new(result))
    }
    match physical {
        PhysicalType::Int16 => of::<Int16Type>(x, y, |a, b| (b != 0).then(|| a.wrapping_rem(b))),
        PhysicalType::Int32 => of::<Int32Type>(x, y, |a, b| (b != 0).then(|| a.wrapping_rem(b))),
        _ => of::<Int64Type>(x, y, |a, b| (b != 0).then(|| a.wrapping_rem(b))),
    }
}

/// `-x`.
pub(super) fn negate(input: Typed) -> Typed {
    let physical = input.physical();
    let sql_type = input.sql_type.clone();
    let name = format!("{}_negate", short_name(physical));
    let function = Function::arrays(&name, name.clone(), arrow_type(physical), move |args, _| {
        let [input] = args else { return Err(Error::internal("one operand")) };
        let overflow = || ArrowError::ExternalError(Box::new(out_of_range(&sql_type)));
        let negated: std::result::Result<ArrayRef, ArrowError> = match physical {
            PhysicalType::Int16 => {
                try_unary::<Int16Type, _, Int16Type>(input.as_primitive(), |v| v.checked_neg().ok_or_else(overflow))
                    .map(|array| Arc::new(array) as ArrayRef)
            }
            PhysicalType::Int32 => {
                try_unary::<Int32Type, _, Int32Type>(input.as_primitive(), |v| v.checked_neg().ok_or_else(overflow))
                    .map(|array| Arc::new(array) as ArrayRef)
            }
            _ => try_unary::<Int64Type, _, Int64Type>(input.as_primitive(), |v| v.checked_neg().ok_or_else(overflow))
                .map(|array| Arc::new(array) as ArrayRef),
        };
        negated.map_err(crate::exec::from_arrow)
    });
    let sql_type = input.sql_type.clone();
    Typed::new(function.strict_columns().total().call(vec![input.expr]), sql_type)
}

fn wide(value: i64, physical: PhysicalType) -> Datum {
    match physical {
        PhysicalType::Int16 => Datum::Int16(value as i16),
        PhysicalType::Int32 => Datum::Int32(value as i32),
        _ => Datum::Int64(value),
    }
}

/// `& | # << >>`.
pub(super) fn bits(symbol: &'static str, left: Typed, right: Typed, ctx: &FuncContext) -> Result<Typed> {
    let shift = matches!(symbol, "<<" | ">>");
    let (left, right) = match (left.is_unknown(), right.is_unknown()) {
        (true, true) => return Err(ambiguous(symbol, &left, &right)),
        (true, false) if !is_integer(&right.sql_type) => return Err(undefined(symbol, &left, &right)),
        (false, true) if !is_integer(&left.sql_type) => return Err(undefined(symbol, &left, &right)),
        (true, false) => (cast(left, &right.sql_type.clone(), CastKind::Implicit, ctx)?, right),
        (false, true) => {
            let to = if shift { SqlType::Int4 } else { left.sql_type.clone() };
            let right = cast(right, &to, CastKind::Implicit, ctx)?;
            (left, right)
        }
        (false, false) => (left, right),
    };
    if !is_integer(&left.sql_type) || !is_integer(&right.sql_type) || (shift && right.sql_type == SqlType::Int8) {
        return Err(undefined(symbol, &left, &right));
    }
    let sql_type = if shift || physical_width(&left) >= physical_width(&right) {
        left.sql_type.clone()
    } else {
        right.sql_type.clone()
    };
    let physical = physical_of(&sql_type);
    let types = vec![left.physical(), right.physical()];
    let function = Function::strict(symbol, format!("bits {symbol}"), types, physical, move |args| {
        let [a, b] = args else { return Err(Error::internal("two operands")) };
        let (a, b) = (int_of(*a)?, int_of(*b)?);
        Ok(match symbol {
            "&" => wide(a & b, physical),
            "|" => wide(a | b, physical),
            "#" => wide(a ^ b, physical),
            _ => shifted(a, b, symbol == "<<", physical),
        })
    });
    Ok(Typed::new(function.call(vec![left.expr, right.expr]), sql_type))
}

/// Shift counts wrap at the type's width (int2 shifts as int4 does), as the machine's do for PostgreSQL.
fn shifted(a: i64, b: i64, left: bool, physical: PhysicalType) -> Datum {
    let count = b as u32;
    match (physical, left) {
        (PhysicalType::Int64, true) => Datum::Int64(a.wrapping_shl(count)),
        (PhysicalType::Int64, false) => Datum::Int64(a.wrapping_shr(count)),
        (_, true) => wide(i64::from((a as i32).wrapping_shl(count)), physical),
        (_, false) => wide(i64::from((a as i32).wrapping_shr(count)), physical),
    }
}

fn physical_width(input: &Typed) -> u8 {
    match input.physical() {
        PhysicalType::Int16 => 2,
        PhysicalType::Int32 => 4,
        _ => 8,
    }
}

/// `~x`.
pub(super) fn bit_not(input: Typed) -> Result<Typed> {
    if !is_integer(&input.sql_type) {
        return Err(super::undefined_prefix("~", &input));
    }
    let physical = input.physical();
    let function = Function::strict("bit_not", "bit_not", vec![physical], physical, |args| match args {
        [DatumRef::Int16(v)] => Ok(Datum::Int16(!v)),
        [DatumRef::Int32(v)] => Ok(Datum::Int32(!v)),
        [value] => Ok(Datum::Int64(!int_of(*value)?)),
        _ => Err(Error::internal("one operand")),
    });
    let sql_type = input.sql_type.clone();
    Ok(Typed::new(function.call(vec![input.expr]), sql_type))
}

#[cfg(test)]
mod tests {
    use arrow_array::Int32Array;

    use super::*;

    /// All pairs of what a type has at its ends and around zero, NULL among them.
    fn operands(physical: PhysicalType) -> Vec<ScalarValue> {
        let some = |value: i64| match physical {
            PhysicalType::Int16 => ScalarValue::Int16(Some(value.clamp(i16::MIN.into(), i16::MAX.into()) as i16)),
            PhysicalType::Int32 => ScalarValue::Int32(Some(value.clamp(i32::MIN.into(), i32::MAX.into()) as i32)),
            _ => ScalarValue::Int64(Some(value)),
        };
        let null = ScalarValue::try_new_null(&arrow_type(physical)).unwrap();
        [i64::MIN, i64::MIN + 1, -7, -1, 0, 1, 2, 9, i64::MAX].map(some).into_iter().chain([null]).collect()
    }

    #[test]
    fn one_value_of_each_gives_what_columns_give() {
        use Arithmetic::{Add, Div, Mod, Mul, Sub};
        let (mut simple, mut others) = (0, 0);
        for physical in [PhysicalType::Int16, PhysicalType::Int32, PhysicalType::Int64] {
            let values = operands(physical);
            for (op, a, b) in [Add, Sub, Mul, Div, Mod]
                .into_iter()
                .flat_map(|op| values.iter().flat_map(move |a| operands(physical).into_iter().map(move |b| (op, a, b))))
            {
                let shapes = |value: &ScalarValue| {
                    [ColumnarValue::Scalar(value.clone()), ColumnarValue::Array(value.to_array().unwrap())]
                };
                for a in shapes(a) {
                    for b in shapes(&b) {
                        let Some(one) = compute_one(op, &a, &b, physical) else {
                            others += 1;
                            continue;
                        };
                        simple += 1;
                        let scalar = matches!((&a, &b), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
                        assert_eq!(matches!(one, ColumnarValue::Scalar(_)), scalar);
                        let columns = compute(op, &a, &b, physical).unwrap();
                        assert_eq!(one.to_array(1).unwrap().as_ref(), columns.to_array(1).unwrap().as_ref());
                    }
                }
            }
        }
        assert!(simple > 3_000 && others > 1_000, "{simple} and {others}");
    }

    #[test]
    fn several_rows_are_not_one_value() {
        let two = ColumnarValue::Array(Arc::new(Int32Array::from(vec![1, 2])));
        let one = ColumnarValue::Scalar(ScalarValue::Int32(Some(1)));
        assert!(compute_one(Arithmetic::Add, &two, &one, PhysicalType::Int32).is_none());
    }

    #[test]
    fn remainders_of_int4_are_exact() {
        let near = |value: i32| [-2, -1, 0, 1, 2].map(|by| value.wrapping_add(by));
        let starts = [i32::MIN, -1 << 30, -10_000, 0, 10_000, 46_341, 1 << 16, 1 << 30, i32::MAX];
        let mut values: Vec<i32> = starts.into_iter().flat_map(near).collect();
        values.extend((0..10_000_u32).map(|i| i.wrapping_mul(2_654_435_761).cast_signed()));
        let divisors: Vec<i32> = values.iter().copied().filter(|value| *value != 0).take(300).collect();
        for divisor in divisors {
            // Quotients next to whole numbers, too.
            let multiples = (-3..3).flat_map(|i: i32| near(divisor.wrapping_mul(i)));
            let values: PrimitiveArray<Int32Type> = values.iter().copied().chain(multiples).map(Some).collect();
            let expected: PrimitiveArray<Int32Type> = values.unary(|a| a.wrapping_rem(divisor));
            assert_eq!(int4_remainder(&values, divisor), expected, "% {divisor}");
        }
    }
}
