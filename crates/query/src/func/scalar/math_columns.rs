//! Functions of numbers that work a column at a time; see [`super::text_columns`].

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Float64Type, Int16Type, Int32Type, Int64Type};
use datafusion::arrow::compute::kernels::arity::{try_unary, unary};
use datafusion::logical_expr::ColumnarValue;
use heliosdb_types::Result;

use super::super::columns::{Columns, wrong};
use super::T::{self, F8, Int2, Int4, Int8};
use super::math::integer_out_of_range;

/// The kernel over columns of a function of the tables, if it has one.
pub(super) fn kernel(name: &str, params: &[T]) -> Option<Columns> {
    let columns: Columns = match (name, params) {
        ("abs", [Int2]) => |args, _| whole::<Int16Type>(args, i16::checked_abs, "smallint"),
        ("abs", [Int4]) => |args, _| whole::<Int32Type>(args, i32::checked_abs, "integer"),
        ("abs", [Int8]) => |args, _| whole::<Int64Type>(args, i64::checked_abs, "bigint"),
        ("abs", [F8]) => |args, _| floats(args, f64::abs),
        ("ceil" | "ceiling", [F8]) => |args, _| floats(args, f64::ceil),
        ("floor", [F8]) => |args, _| floats(args, f64::floor),
        ("round", [F8]) => |args, _| floats(args, f64::round_ties_even),
        ("trunc", [F8]) => |args, _| floats(args, f64::trunc),
        _ => return None,
    };
    Some(columns)
}

fn column(args: &[ColumnarValue]) -> Result<&ArrayRef> {
    match args {
        [ColumnarValue::Array(array)] => Ok(array),
        _ => Err(wrong()),
    }
}

fn whole<T: ArrowPrimitiveType>(
    args: &[ColumnarValue],
    of: fn(T::Native) -> Option<T::Native>,
    name: &str,
) -> Result<ArrayRef> {
    let values = column(args)?.as_primitive_opt::<T>().ok_or_else(wrong)?;
    let out_of_range = || datafusion::arrow::error::ArrowError::ArithmeticOverflow(name.into());
    let out = try_unary::<T, _, T>(values, |value| of(value).ok_or_else(out_of_range));
    out.map(|out| Arc::new(out) as ArrayRef).map_err(|_| integer_out_of_range(name))
}

fn floats(args: &[ColumnarValue], of: fn(f64) -> f64) -> Result<ArrayRef> {
    let values = column(args)?.as_primitive_opt::<Float64Type>().ok_or_else(wrong)?;
    // Of the many NaNs there is one.
    let one_nan = |value: f64| if value.is_nan() { f64::NAN } else { value };
    Ok(Arc::new(unary::<Float64Type, _, Float64Type>(values, |value| one_nan(of(value)))))
}

#[cfg(test)]
mod tests {
    use heliosdb_types::{Datum, TextContext};

    use super::super::math::FUNCTIONS;
    use super::*;
    use crate::exec::array_of;

    #[test]
    fn columns_give_what_single_values_give() {
        let floats = [0.0, -0.0, 1.5, 2.5, -2.5, 0.49999999999999994, 1e300, -1e-300, f64::INFINITY, f64::NAN, -7.0];
        let whole = [0, 1, -1, 12_345, -32_767];
        let mut compared = 0;
        for (name, params, result, run) in FUNCTIONS {
            let Some(kernel) = kernel(name, params) else { continue };
            let values: Vec<Datum> = match params[0] {
                F8 => floats.iter().map(|v| Datum::Float64(*v)).collect(),
                Int2 => whole.iter().map(|v| Datum::Int16(*v)).collect(),
                Int4 => whole.iter().map(|v| Datum::Int32(i32::from(*v) * 60_000)).collect(),
                _ => whole.iter().map(|v| Datum::Int64(i64::from(*v) << 40)).collect(),
            };
            let physical = super::super::physical_of_type(&result.sql());
            let with_null: Vec<Datum> = values.iter().cloned().chain([Datum::Null]).collect();
            let array = array_of(physical, with_null.iter().map(Datum::as_ref)).unwrap();
            let expected = values.iter().map(|value| run(&[value.as_ref()], &TextContext::default()).unwrap());
            let expected: Vec<Datum> = expected.chain([Datum::Null]).collect();
            let expected = array_of(physical, expected.iter().map(Datum::as_ref)).unwrap();
            let found = kernel(&[ColumnarValue::Array(array)], with_null.len()).unwrap();
            assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{name}");
            compared += 1;
        }
        assert_eq!(compared, 9, "as many as there are kernels");
        let least = array_of(heliosdb_types::PhysicalType::Int16, [Datum::Int16(i16::MIN).as_ref()]).unwrap();
        let error = kernel("abs", &[Int2]).unwrap()(&[ColumnarValue::Array(least)], 1).unwrap_err();
        assert_eq!(error.message(), "smallint out of range");
    }
}
