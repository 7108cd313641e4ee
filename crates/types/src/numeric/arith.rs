//! `+ - * / %`: each first on i128, then on digits; result scales are PostgreSQL's.

use super::digits::{BASE_DIGITS, Digits, Value};
use super::{NUMERIC_SCALE_MAX, Numeric, codec, division_by_zero};
use crate::Result;

/// Quotients and roots carry at least this many significant digits.
pub(super) const SIGNIFICANT_DIGITS_MIN: i32 = 16;
/// Scale functions choose by themselves goes no further than this.
pub(super) const DISPLAY_SCALE_MAX: i32 = 1000;

impl Numeric {
    pub fn add(&self, other: &Numeric) -> Result<Numeric> {
        if let (Some(a), Some(b)) = (codec::small(&self.0), codec::small(&other.0))
            && let Some((a, b, scale)) = align(a, b)
            && let Some(sum) = a.checked_add(b)
        {
            return Numeric::from_small(sum, scale);
        }
        match (self.value(), other.value()) {
            (Value::Finite(a), Value::Finite(b)) => Numeric::from_digits(&a.add(&b)),
            (Value::Nan, _) | (_, Value::Nan) => Ok(Numeric::nan()),
            (Value::Infinity { negative: a }, Value::Infinity { negative: b }) if a != b => Ok(Numeric::nan()),
            (Value::Infinity { .. }, _) => Ok(self.clone()),
            (_, Value::Infinity { .. }) => Ok(other.clone()),
        }
    }

    pub fn sub(&self, other: &Numeric) -> Result<Numeric> {
        self.add(&other.neg())
    }

    #[must_use]
    pub fn neg(&self) -> Numeric {
        match self.value() {
            Value::Finite(digits) => Numeric::from_digits(&digits.negated()).expect("the same digits fit"),
            Value::Infinity { negative: true } => Numeric::infinity(),
            Value::Infinity { negative: false } => Numeric::negative_infinity(),
            Value::Nan => Numeric::nan(),
        }
    }

    #[must_use]
    pub fn abs(&self) -> Numeric {
        if self.signum() < 0 { self.neg() } else { self.clone() }
    }

    /// -1, 0, 1 or NaN.
    #[must_use]
    pub fn sign(&self) -> Numeric {
        if self.is_nan() { Numeric::nan() } else { Numeric::from_i64(i64::from(self.signum())) }
    }

    pub fn mul(&self, other: &Numeric) -> Result<Numeric> {
        if let (Some((a, a_scale)), Some((b, b_scale))) = (codec::small(&self.0), codec::small(&other.0))
            && let Some(product) = a.checked_mul(b)
        {
            return Numeric::from_small(product, a_scale + b_scale);
        }
        match (self.value(), other.value()) {
            (Value::Finite(a), Value::Finite(b)) => {
                let mut product = a.mul(&b);
                if product.dscale > NUMERIC_SCALE_MAX {
                    product.round(NUMERIC_SCALE_MAX);
                }
                Numeric::from_digits(&product)
            }
            (Value::Nan, _) | (_, Value::Nan) => Ok(Numeric::nan()),
            _ => Ok(signed_infinity(self.signum() * other.signum())),
        }
    }

    /// The quotient with at least 16 significant digits and no fewer decimals than either operand.
    pub fn div(&self, other: &Numeric) -> Result<Numeric> {
        if let (Some((a, a_scale)), Some((b, b_scale))) = (codec::small(&self.0), codec::small(&other.0)) {
            if b == 0 {
                return Err(division_by_zero());
            }
            let scale = self.quotient_scale(other);
            // a / 10^as / (b / 10^bs) at `scale` is a * 10^(scale + bs - as) / b.
            let shift = (scale + b_scale - a_scale).unsigned_abs();
            let shifted = 10i128.checked_pow(shift).and_then(|power| {
                if scale + b_scale >= a_scale {
                    a.checked_mul(power).map(|a| (a, b))
                } else {
                    b.checked_mul(power).map(|b| (a, b))
                }
            });
            if let Some((a, b)) = shifted {
                let (quotient, remainder) = (a / b, a % b);
                let up = remainder.unsigned_abs() >= b.unsigned_abs() - remainder.unsigned_abs();
                let away = if (a < 0) == (b < 0) { 1 } else { -1 };
                return Numeric::from_small(if up { quotient + away } else { quotient }, scale);
            }
        }
        match (self.value(), other.value()) {
            (Value::Nan, _) | (_, Value::Nan) => Ok(Numeric::nan()),
            (_, Value::Finite(b)) if b.is_zero() => Err(division_by_zero()),
            (Value::Finite(a), Value::Finite(b)) => Numeric::from_digits(&a.div(&b, self.quotient_scale(other))),
            (Value::Infinity { .. }, Value::Infinity { .. }) => Ok(Numeric::nan()),
            (Value::Infinity { .. }, _) => Ok(signed_infinity(self.signum() * other.signum())),
            (_, Value::Infinity { .. }) => Ok(Numeric::zero()),
        }
    }

    /// The integer quotient, towards zero (`div(a, b)`).
    pub fn div_integer(&self, other: &Numeric) -> Result<Numeric> {
        match (self.value(), other.value()) {
            (Value::Finite(a), Value::Finite(b)) if !b.is_zero() => {
                let mut quotient = a.div_trunc(&b, 0);
                quotient.trunc(0);
                Numeric::from_digits(&quotient)
            }
            _ => self.div(other),
        }
    }

    /// The remainder of [`Numeric::div_integer`]; has the dividend's sign.
    pub fn rem(&self, other: &Numeric) -> Result<Numeric> {
        if let (Some(a), Some(b)) = (codec::small(&self.0), codec::small(&other.0))
            && let Some((a, b, scale)) = align(a, b)
        {
            if b == 0 {
                return Err(division_by_zero());
            }
            return Numeric::from_small(a.checked_rem(b).unwrap_or(0), scale);
        }
        match (self.value(), other.value()) {
            (Value::Nan, _) | (_, Value::Nan) => Ok(Numeric::nan()),
            (_, Value::Finite(b)) if b.is_zero() => Err(division_by_zero()),
            (Value::Infinity { .. }, _) => Ok(Numeric::nan()),
            (_, Value::Infinity { .. }) => Ok(self.clone()),
            (Value::Finite(a), Value::Finite(b)) => {
                let mut quotient = a.div_trunc(&b, 0);
                quotient.trunc(0);
                let mut remainder = a.sub(&quotient.mul(&b));
                remainder.dscale = a.dscale.max(b.dscale);
                Numeric::from_digits(&remainder)
            }
        }
    }

    /// PostgreSQL's `select_div_scale`: from the operands' weights, first digits and display scales.
    fn quotient_scale(&self, other: &Numeric) -> i32 {
        let (a, b) = (codec::leading(&self.0), codec::leading(&other.0));
        let weight = a.0 - b.0 - i32::from(a.1 <= b.1);
        clamp_scale(SIGNIFICANT_DIGITS_MIN - weight * BASE_DIGITS, self.scale().max(other.scale()))
    }

    pub(super) fn from_small(unscaled: i128, scale: i32) -> Result<Numeric> {
        Numeric::from_digits(&codec::split_i128(unscaled, scale))
    }
}

/// A scale a function chose, but no fewer decimals than its operands have and no more than 1000.
pub(super) fn clamp_scale(chosen: i32, operands: i32) -> i32 {
    chosen.max(operands).clamp(0, DISPLAY_SCALE_MAX)
}

fn align((a, a_scale): (i128, i32), (b, b_scale): (i128, i32)) -> Option<(i128, i128, i32)> {
    let scale = a_scale.max(b_scale);
    let lift = |value: i128, from: i32| {
        if from == scale { Some(value) } else { value.checked_mul(10i128.checked_pow((scale - from).unsigned_abs())?) }
    };
    Some((lift(a, a_scale)?, lift(b, b_scale)?, scale))
}

fn signed_infinity(sign: i32) -> Numeric {
    match sign {
        1 => Numeric::infinity(),
        -1 => Numeric::negative_infinity(),
        _ => Numeric::nan(),
    }
}

impl Digits {
    /// `10^exponent`.
    pub fn power_of_ten(exponent: i32) -> Digits {
        let weight = exponent.div_euclid(BASE_DIGITS);
        let digit = 10u16.pow(exponent.rem_euclid(BASE_DIGITS) as u32);
        Digits { negative: false, weight, digits: vec![digit], dscale: (-exponent).max(0) }
    }
}
