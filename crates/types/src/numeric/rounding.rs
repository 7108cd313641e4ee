//! Rounding, truncation and type modifiers.

use super::digits::{BASE, BASE_DIGITS, Digits, Value};
use super::{Numeric, codec};
use crate::{Error, Result, SqlState};

/// Places after the point that `round(x, n)` and `trunc(x, n)` can ask for; more are cut off, as are places beyond the largest weight.
const PLACES_MAX: i32 = super::NUMERIC_SCALE_MAX;

impl Digits {
    /// Rounds half away from zero to `scale` decimals (negative: tens, hundreds ...) and makes that the display scale.
    pub fn round(&mut self, scale: i32) {
        self.cut(scale, true);
    }

    /// Cuts off after `scale` decimals.
    pub fn trunc(&mut self, scale: i32) {
        self.cut(scale, false);
    }

    fn cut(&mut self, scale: i32, round: bool) {
        self.dscale = scale.max(0);
        // Decimal digits kept, counted from the first base-10000 digit's first place.
        let keep = (self.weight + 1) * BASE_DIGITS + scale;
        if keep < 0 || self.is_zero() {
            *self = Digits::zero(self.dscale);
            return;
        }
        let (whole, partial) = ((keep / BASE_DIGITS) as usize, (keep % BASE_DIGITS) as u32);
        if whole >= self.digits.len() {
            return;
        }
        let next = self.digits[whole];
        let unit = 10u16.pow(4 - partial);
        let mut carry = false;
        if partial == 0 {
            carry = round && u32::from(next) >= BASE / 2;
            self.digits.truncate(whole);
        } else {
            self.digits.truncate(whole + 1);
            let rest = next % unit;
            let mut kept = next - rest;
            if round && rest >= unit / 2 {
                kept += unit;
            }
            carry |= u32::from(kept) >= BASE;
            self.digits[whole] = if carry { kept - BASE as u16 } else { kept };
        }
        let upto = if partial == 0 { self.digits.len() } else { whole };
        for digit in self.digits[..upto].iter_mut().rev() {
            if !carry {
                break;
            }
            carry = u32::from(*digit) == BASE - 1;
            *digit = if carry { 0 } else { *digit + 1 };
        }
        if carry {
            self.digits.insert(0, 1);
            self.weight += 1;
        }
        self.normalize();
    }
}

impl Numeric {
    fn map_finite(&self, change: impl FnOnce(&mut Digits)) -> Result<Numeric> {
        match self.value() {
            Value::Finite(mut digits) => {
                change(&mut digits);
                Numeric::from_digits(&digits)
            }
            _ => Ok(self.clone()),
        }
    }

    /// `round(x, places)`: half away from zero.
    pub fn round(&self, places: i32) -> Result<Numeric> {
        self.map_finite(|digits| digits.round(places.clamp(-super::NUMERIC_WEIGHT_MAX, PLACES_MAX)))
    }

    /// `trunc(x, places)`: towards zero.
    pub fn trunc(&self, places: i32) -> Result<Numeric> {
        self.map_finite(|digits| digits.trunc(places.clamp(-super::NUMERIC_WEIGHT_MAX, PLACES_MAX)))
    }

    pub fn ceil(&self) -> Result<Numeric> {
        self.map_finite(|digits| step_to_integer(digits, false))
    }

    pub fn floor(&self) -> Result<Numeric> {
        self.map_finite(|digits| step_to_integer(digits, true))
    }

    /// Digits after the point that are needed: `min_scale(8.4100)` is 2. `None` for NaN and infinities.
    pub fn min_scale(&self) -> Option<i32> {
        match self.value() {
            Value::Finite(digits) => Some(digits.min_scale()),
            _ => None,
        }
    }

    /// `trim_scale(8.4100)` is 8.41.
    pub fn trim_scale(&self) -> Result<Numeric> {
        self.map_finite(|digits| digits.dscale = digits.min_scale())
    }

    /// Fits the value to `numeric(precision, scale)`: rounds, then checks (22003).
    pub fn with_typmod(&self, precision: u16, scale: i16) -> Result<Numeric> {
        match self.value() {
            Value::Nan => Ok(self.clone()),
            Value::Infinity { .. } => Err(field_overflow().with_detail(format!(
                "A field with precision {precision}, scale {scale} cannot hold an infinite value."
            ))),
            Value::Finite(mut digits) => {
                digits.round(i32::from(scale));
                let allowed = i32::from(precision) - i32::from(scale);
                if !digits.is_zero() && digits.decimal_weight() >= allowed {
                    return Err(precision_overflow(precision, scale));
                }
                Numeric::from_digits(&digits)
            }
        }
    }

    /// `unscaled * 10^-scale`, exact.
    pub fn from_unscaled(unscaled: i128, scale: i8) -> Numeric {
        Numeric(codec::encode(&codec::split_i128(unscaled, i32::from(scale))).expect("39 digits are in range"))
    }

    /// The unscaled value at `scale`, rounded half away from zero; `None` if not finite or beyond i128.
    pub fn to_unscaled(&self, scale: i8) -> Option<i128> {
        if let Some((unscaled, have)) = codec::small(&self.0) {
            return rescale(unscaled, have, i32::from(scale));
        }
        let Value::Finite(mut digits) = self.value() else { return None };
        digits.round(i32::from(scale));
        let mut unscaled = 0i128;
        let mut weight = digits.weight;
        for &digit in &digits.digits {
            let places = weight * BASE_DIGITS + i32::from(scale);
            let digit = i128::from(if digits.negative { -i32::from(digit) } else { i32::from(digit) });
            let part = if places >= 0 {
                digit.checked_mul(10i128.checked_pow(places.unsigned_abs())?)?
            } else {
                digit / 10i128.checked_pow(places.unsigned_abs())?
            };
            unscaled = unscaled.checked_add(part)?;
            weight -= 1;
        }
        Some(unscaled)
    }
}

/// Moves an unscaled value from one scale to another, rounding half away from zero; `None` on overflow.
pub fn rescale(unscaled: i128, from: i32, to: i32) -> Option<i128> {
    if to >= from {
        return unscaled.checked_mul(10i128.checked_pow((to - from).unsigned_abs())?);
    }
    let Some(divisor) = 10i128.checked_pow((from - to).unsigned_abs()) else { return Some(0) };
    let (quotient, remainder) = (unscaled / divisor, unscaled % divisor);
    Some(if remainder.unsigned_abs() >= divisor.unsigned_abs().div_ceil(2) {
        quotient + unscaled.signum()
    } else {
        quotient
    })
}

/// 22003 with PostgreSQL's detail: the value does not fit `numeric(precision, scale)`.
pub fn precision_overflow(precision: u16, scale: i16) -> Error {
    let digits = i32::from(precision) - i32::from(scale);
    let limit = if digits == 0 { "1".to_owned() } else { format!("10^{digits}") };
    field_overflow().with_detail(format!(
        "A field with precision {precision}, scale {scale} must round to an absolute value less than {limit}."
    ))
}

fn field_overflow() -> Error {
    Error::invalid(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow")
}

fn step_to_integer(digits: &mut Digits, down: bool) {
    let whole = digits.is_integer();
    let step = !whole && digits.negative == down;
    digits.trunc(0);
    if step {
        let one = Digits::from_int(if down { -1 } else { 1 });
        *digits = digits.add(&one);
        digits.dscale = 0;
    }
}
