//! Whether a decimal is less or greater than a number of any size and scale, asked of the decimal as it is: the number becomes the
//! decimal of the column's type next to it, on the side that leaves the answer what it is. So the column is neither spelt as
//! numeric bytes row by row nor hidden from storage, and a constant (a parameter, the value of a subquery) is moved once.
//!
//! Invariant: for every `d` of `numeric(p, s)`, `d < n` and `d >= n` are what they are for the least such decimal that is not less
//! than `n`, `d > n` and `d <= n` for the greatest that is not greater. Past the type's range (and for NaN, which is greater than
//! all, and the infinities) that is one unit more than any value of the type has: 39 digits at most, which 128 bits hold.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal64Type, Decimal128Type};
use arrow_array::{ArrayRef, PrimitiveArray};
use datafusion::logical_expr::{Expr, Operator};
use heliosdb_contracts::arrow_type;
use heliosdb_types::{Error, Numeric, PhysicalType, Result};

use super::super::Typed;
use super::super::cast::{integer_to_decimal, is_integer};
use super::super::decimal::parts;
use super::super::udf::Function;
use super::comparison::mirrored;

/// Which decimal stands for a number between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    NotLess,
    NotGreater,
}

impl Next {
    fn of(op: Operator) -> Option<Next> {
        match op {
            Operator::Lt | Operator::GtEq => Some(Next::NotLess),
            Operator::Gt | Operator::LtEq => Some(Next::NotGreater),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Next::NotLess => "decimal_not_less",
            Next::NotGreater => "decimal_not_greater",
        }
    }

    /// The unscaled decimal of `precision` digits for a number.
    fn decimal(self, number: &Numeric, precision: u8, scale: i8) -> i128 {
        let beyond = 10i128.pow(u32::from(precision));
        let Some(rounded) = number.to_unscaled(scale) else {
            return if number.signum() > 0 { beyond } else { -beyond };
        };
        if rounded.abs() >= beyond {
            return beyond * rounded.signum();
        }
        let difference = Numeric::from_unscaled(rounded, scale).compare(number);
        match self {
            Next::NotLess if difference.is_lt() => rounded + 1,
            Next::NotGreater if difference.is_gt() => rounded - 1,
            _ => rounded,
        }
    }
}

/// An ordering of a decimal or a whole number beside a numeric of any size; `None` for other comparisons.
pub(super) fn ordering(op: Operator, left: &Typed, right: &Typed) -> Result<Option<(Expr, Operator, Expr)>> {
    let Some(next) = Next::of(op) else { return Ok(None) };
    if let Some(decimal) = decimal_of(left, right)? {
        return Ok(next_to(&decimal, right, next).map(|moved| (decimal.expr, op, moved)));
    }
    let mirrored = mirrored(op);
    match (decimal_of(right, left)?, Next::of(mirrored)) {
        (Some(decimal), Some(next)) => Ok(next_to(&decimal, left, next).map(|moved| (decimal.expr, mirrored, moved))),
        _ => Ok(None),
    }
}

/// `side` as a decimal, if `other` is a numeric of any size.
fn decimal_of(side: &Typed, other: &Typed) -> Result<Option<Typed>> {
    if side.is_literal() || other.physical() != PhysicalType::Numeric {
        return Ok(None);
    }
    match is_integer(&side.sql_type) {
        true => integer_to_decimal(side.clone()).map(Some),
        false => Ok(parts(side.physical()).map(|_| side.clone())),
    }
}

fn next_to(decimal: &Typed, number: &Typed, next: Next) -> Option<Expr> {
    let physical = decimal.physical();
    let (precision, scale) = parts(physical).filter(|(_, scale)| *scale >= 0)?;
    let arrow = arrow_type(physical);
    let returns = arrow.clone();
    let function = Function::arrays(next.name(), format!("{} {physical:?}", next.name()), returns, move |args, _| {
        let [numbers] = args else { return Err(Error::internal("one number")) };
        let numbers = numbers.as_binary_view_opt().ok_or_else(|| Error::internal("numeric travels as BinaryView"))?;
        let moved = |bytes: &[u8]| next.decimal(&Numeric::from_bytes_unchecked(bytes), precision, scale);
        let moved = numbers.iter().map(|bytes| bytes.map(moved));
        Ok(match physical {
            // 18 digits and one unit more.
            PhysicalType::Decimal64 { .. } => {
                let moved: PrimitiveArray<Decimal64Type> = moved.map(|value| value.map(|value| value as i64)).collect();
                Arc::new(moved.with_data_type(arrow.clone())) as ArrayRef
            }
            _ => Arc::new(moved.collect::<PrimitiveArray<Decimal128Type>>().with_data_type(arrow.clone())),
        })
    });
    Some(function.strict_columns().total().for_any_row().call(vec![number.expr.clone()]))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn every_answer_is_the_numbers() {
        let numbers = [
            "0",
            "-0.00",
            "0.001",
            "-0.001",
            "0.005",
            "-0.005",
            "1.25",
            "1.249999999999999999999999999999",
            "-1.2500001",
            "9.99",
            "9.991",
            "-9.999",
            "10",
            "-10",
            "10.01",
            "1e30",
            "-1e30",
            "1e400",
            "-1e-400",
            "NaN",
            "Infinity",
            "-Infinity",
            "170141183460469231731687303715884105727",
            "99999999999999999999999999999999999999.99",
        ];
        for number in numbers.map(|text| Numeric::parse(text).unwrap()) {
            for unscaled in -999..=999 {
                let exact = Numeric::from_unscaled(unscaled, 2).compare(&number);
                let not_less = unscaled.cmp(&Next::NotLess.decimal(&number, 3, 2));
                let not_greater = unscaled.cmp(&Next::NotGreater.decimal(&number, 3, 2));
                assert_eq!(exact.is_lt(), not_less.is_lt(), "{unscaled} < {number}");
                assert_eq!(exact.is_ge(), not_less.is_ge(), "{unscaled} >= {number}");
                assert_eq!(exact.is_gt(), not_greater.is_gt(), "{unscaled} > {number}");
                assert_eq!(exact.is_le(), not_greater.is_le(), "{unscaled} <= {number}");
            }
        }
    }

    #[test]
    fn what_is_past_the_widest_type_fits_128_bits() {
        for (text, beyond) in [("1e38", 10i128.pow(38)), ("-Infinity", -(10i128.pow(38))), ("NaN", 10i128.pow(38))] {
            assert_eq!(Next::NotLess.decimal(&Numeric::parse(text).unwrap(), 38, 0), beyond);
        }
    }
}
