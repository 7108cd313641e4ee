//! `sqrt`, `exp`, `ln`, `log`, `power`: PostgreSQL's result scales, computed with guard digits and rounded once.

use std::cmp::Ordering;

use super::arith::{SIGNIFICANT_DIGITS_MIN, clamp_scale};
use super::digits::{BASE_DIGITS, Digits, Value};
use super::{NUMERIC_WEIGHT_MAX, Numeric, division_by_zero, overflow};
use crate::{Error, Result, SqlState};

const LOG10_E: f64 = std::f64::consts::LOG10_E;
const LN_10: f64 = std::f64::consts::LN_10;
/// Exponents of e beyond this over- or underflow.
const EXP_ARGUMENT_MAX: f64 = 6000.0;

impl Numeric {
    pub fn sqrt(&self) -> Result<Numeric> {
        match self.value() {
            Value::Nan | Value::Infinity { negative: false } => Ok(self.clone()),
            Value::Infinity { negative: true } => Err(negative_root()),
            Value::Finite(x) if x.negative => Err(negative_root()),
            Value::Finite(x) => {
                let result_weight = 2 * x.weight + 1;
                Numeric::from_digits(&sqrt(&x, clamp_scale(SIGNIFICANT_DIGITS_MIN - result_weight, x.dscale)))
            }
        }
    }

    /// The root rounded to a number of decimal places, once.
    pub fn sqrt_to(&self, scale: i32) -> Result<Numeric> {
        match self.value() {
            Value::Finite(x) if !x.negative => Numeric::from_digits(&sqrt(&x, scale)),
            _ => self.sqrt(),
        }
    }

    pub fn exp(&self) -> Result<Numeric> {
        match self.value() {
            Value::Nan | Value::Infinity { negative: false } => Ok(self.clone()),
            Value::Infinity { negative: true } => Ok(Numeric::zero()),
            Value::Finite(x) => {
                let weight = (to_f64(&x) * LOG10_E).clamp(-2000.0, 2000.0) as i32;
                Numeric::from_digits(&exp(&x, clamp_scale(SIGNIFICANT_DIGITS_MIN - weight, x.dscale))?)
            }
        }
    }

    /// The natural logarithm.
    pub fn ln(&self) -> Result<Numeric> {
        match self.value() {
            Value::Nan | Value::Infinity { negative: false } => Ok(self.clone()),
            _ if self.signum() <= 0 => Err(logarithm_domain(self)),
            Value::Infinity { .. } => Err(logarithm_domain(self)),
            Value::Finite(x) => {
                Numeric::from_digits(&ln(&x, clamp_scale(SIGNIFICANT_DIGITS_MIN - ln_weight(&x), x.dscale)))
            }
        }
    }

    /// `log(base, self)`.
    pub fn log(&self, base: &Numeric) -> Result<Numeric> {
        if self.is_nan() || base.is_nan() {
            return Ok(Numeric::nan());
        }
        if base.signum() <= 0 {
            return Err(logarithm_domain(base));
        }
        if self.signum() <= 0 {
            return Err(logarithm_domain(self));
        }
        match (base.value(), self.value()) {
            (Value::Finite(b), Value::Finite(x)) => {
                let (b_weight, x_weight) = (ln_weight(&b), ln_weight(&x));
                let weight = x_weight - b_weight;
                let scale = clamp_scale(SIGNIFICANT_DIGITS_MIN - weight, b.dscale.max(x.dscale));
                let (ln_x, ln_b) =
                    (ln(&x, (scale - b_weight).max(0) + 10), ln(&b, (scale + weight - b_weight).max(0) + 10));
                if ln_b.is_zero() {
                    return Err(division_by_zero());
                }
                Numeric::from_digits(&ln_x.div(&ln_b, scale))
            }
            (Value::Finite(_), _) => Ok(Numeric::infinity()),
            (_, Value::Finite(_)) => Ok(Numeric::zero()),
            _ => Ok(Numeric::nan()),
        }
    }

    pub fn log10(&self) -> Result<Numeric> {
        self.log(&Numeric::from_i64(10))
    }

    /// `self ^ exponent`.
    pub fn power(&self, exponent: &Numeric) -> Result<Numeric> {
        match (self.value(), exponent.value()) {
            (Value::Finite(base), Value::Finite(exponent)) => Numeric::from_digits(&power(&base, &exponent)?),
            _ => power_special(self, exponent),
        }
    }
}

fn negative_root() -> Error {
    Error::invalid(SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION, "cannot take square root of a negative number")
}

fn logarithm_domain(x: &Numeric) -> Error {
    let what = if x.is_zero() { "zero" } else { "a negative number" };
    Error::invalid(SqlState::INVALID_ARGUMENT_FOR_LOG, format!("cannot take logarithm of {what}"))
}

fn power_error(message: &str) -> Error {
    Error::invalid(SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION, message)
}

/// NaN and infinity as POSIX `pow` has them.
fn power_special(base: &Numeric, exponent: &Numeric) -> Result<Numeric> {
    let one = Numeric::from_i64(1);
    if base.is_nan() {
        return Ok(if exponent.is_zero() { one } else { Numeric::nan() });
    }
    if exponent.is_nan() {
        return Ok(if base.compare(&one) == Ordering::Equal { one } else { Numeric::nan() });
    }
    if base.is_zero() && exponent.signum() < 0 {
        return Err(power_error("zero raised to a negative power is undefined"));
    }
    let odd = match exponent.value() {
        Value::Finite(digits) if !digits.is_integer() && base.signum() < 0 => {
            return Err(power_error("a negative number raised to a non-integer power yields a complex result"));
        }
        Value::Finite(digits) => is_odd(&digits),
        _ => false,
    };
    if base.compare(&one) == Ordering::Equal || exponent.is_zero() {
        return Ok(one);
    }
    if let Value::Finite(_) = base.value() {
        return Ok(match base.abs().compare(&one) {
            Ordering::Equal => one,
            bigger if (bigger == Ordering::Greater) == (exponent.signum() > 0) => Numeric::infinity(),
            _ => Numeric::zero(),
        });
    }
    Ok(match (exponent.signum() > 0, base.signum() < 0 && odd) {
        (false, _) => Numeric::zero(),
        (true, true) => Numeric::negative_infinity(),
        (true, false) => Numeric::infinity(),
    })
}

fn is_odd(integer: &Digits) -> bool {
    integer.digits.len() as i32 == integer.weight + 1 && integer.digits.last().is_some_and(|digit| digit % 2 == 1)
}

/// The nearest double, of at most 17 digits; infinite beyond its range.
fn to_f64(x: &Digits) -> f64 {
    let mantissa = x.digits.iter().take(5).fold(0.0, |sum, &digit| sum * 10_000.0 + f64::from(digit));
    let taken = x.digits.len().min(5) as i32;
    let value = mantissa * 10f64.powi((x.weight + 1 - taken).saturating_mul(BASE_DIGITS));
    if x.negative { -value } else { value }
}

/// PostgreSQL's estimate of the decimal weight of `ln(x)`, on which result scales depend.
fn ln_weight(x: &Digits) -> i32 {
    if x.is_zero() || x.negative {
        return 0;
    }
    let one = Digits::from_int(1);
    let (low, high) =
        (Digits::from_int(9).mul(&Digits::power_of_ten(-1)), Digits::from_int(11).mul(&Digits::power_of_ten(-1)));
    if x.compare(&low) != Ordering::Less && x.compare(&high) != Ordering::Greater {
        let distance = x.sub(&one);
        let first = distance.digits.first().copied().unwrap_or(0);
        return if distance.is_zero() { 0 } else { distance.weight * BASE_DIGITS + first.ilog10() as i32 };
    }
    let mut lead = f64::from(x.digits.first().copied().unwrap_or(0));
    let mut weight = x.weight * BASE_DIGITS;
    if let Some(&second) = x.digits.get(1) {
        lead = lead * 10_000.0 + f64::from(second);
        weight -= BASE_DIGITS;
    }
    (lead.ln() + f64::from(weight) * LN_10).abs().log10() as i32
}

/// The root rounded to `scale` decimals: Newton's iteration, then an exact check of the last place.
fn sqrt(x: &Digits, scale: i32) -> Digits {
    if x.is_zero() {
        return Digits::zero(scale);
    }
    let work = scale + 4;
    let half = Digits::from_int(5).mul(&Digits::power_of_ten(-1));
    // The first guess: the root of the leading digits, times a power of 100 taken out before.
    let shift = x.weight.div_euclid(2);
    let mut lead = x.clone();
    lead.weight -= 2 * shift;
    let mut root = from_f64(to_f64(&lead).sqrt());
    root.weight += shift;
    loop {
        let mut next = root.add(&x.div(&root, work)).mul(&half);
        next.round(work);
        let change = next.sub(&root);
        let settled = change.is_zero() || change.decimal_weight() < -work + 1;
        root = next;
        if settled {
            break;
        }
    }
    root.round(scale);
    settle_last_place(root, x, scale)
}

/// Moves a root that is at most one unit off to the correctly rounded one.
fn settle_last_place(mut root: Digits, x: &Digits, scale: i32) -> Digits {
    let unit = Digits::power_of_ten(-scale);
    let half = Digits::from_int(5).mul(&Digits::power_of_ten(-scale - 1));
    let above = root.add(&half);
    if above.mul(&above).compare(x) != Ordering::Greater {
        root = root.add(&unit);
    } else {
        let below = root.sub(&half);
        if !below.negative && below.mul(&below).compare(x) == Ordering::Greater {
            root = root.sub(&unit);
        }
    }
    root.round(scale);
    root
}

fn from_f64(value: f64) -> Digits {
    match Numeric::from_f64(value).value() {
        Value::Finite(digits) => digits,
        _ => Digits::from_int(1),
    }
}

/// `e^x` rounded to `scale` decimals.
fn exp(x: &Digits, scale: i32) -> Result<Digits> {
    let value = to_f64(x);
    if value.abs() >= EXP_ARGUMENT_MAX {
        return if value > 0.0 { Err(overflow()) } else { Ok(Digits::zero(scale)) };
    }
    let weight = (value.abs() * LOG10_E) as i32 + 1;
    if value < 0.0 && weight > scale + 1 {
        return Ok(Digits::zero(scale));
    }
    // e^x = (e^(x / 2^halvings))^(2^halvings); each squaring doubles the relative error.
    let halvings = ((value.abs() / 0.01).log2().ceil()).max(0.0) as i32;
    let digits = if value < 0.0 { scale - weight } else { scale + weight };
    let work = digits.max(0) + halvings / 3 + 10;
    let reduced = x.clone().abs().div(&Digits::from_int(1 << halvings), work + 4);
    let mut sum = Digits::from_int(1).add(&reduced);
    let mut term = reduced.clone();
    let mut n = 2;
    loop {
        term = term.mul(&reduced).div(&Digits::from_int(n), work);
        if term.is_zero() {
            break;
        }
        sum = sum.add(&term);
        n += 1;
    }
    for _ in 0..halvings {
        sum = sum.mul(&sum);
        // A value of weight w needs only work - w decimals for the same relative error.
        sum.round((work - sum.decimal_weight().max(0)).max(0));
    }
    if x.negative {
        return Ok(Digits::from_int(1).div(&sum, scale));
    }
    sum.round(scale);
    Ok(sum)
}

/// `ln(x)` rounded to `scale` decimals, x > 0.
fn ln(x: &Digits, scale: i32) -> Digits {
    let one = Digits::from_int(1);
    if x.compare(&one) == Ordering::Less {
        // The reciprocal of a small number keeps its relative precision at a fixed scale.
        let inverse = one.div(x, (scale - x.decimal_weight()).max(0) + 10);
        return ln_above_one(&inverse, scale).negated();
    }
    ln_above_one(x, scale)
}

fn ln_above_one(x: &Digits, scale: i32) -> Digits {
    let one = Digits::from_int(1);
    let work = scale + 12;
    let limit = Digits::from_int(11).mul(&Digits::power_of_ten(-1));
    let (mut reduced, mut doublings) = (x.clone(), 0);
    while reduced.compare(&limit) == Ordering::Greater {
        reduced = sqrt(&reduced, work);
        doublings += 1;
    }
    // ln(y) = 2 (z + z^3/3 + z^5/5 + ...) with z = (y - 1) / (y + 1).
    let z = reduced.sub(&one).div(&reduced.add(&one), work);
    let mut square = z.mul(&z);
    square.round(work);
    let (mut sum, mut power) = (z.clone(), z);
    let mut n = 3;
    loop {
        power = power.mul(&square);
        power.round(work);
        let term = power.div(&Digits::from_int(n), work);
        if term.is_zero() {
            break;
        }
        sum = sum.add(&term);
        n += 2;
    }
    let mut result = sum.mul(&Digits::from_int(2i64 << doublings));
    result.round(scale);
    result
}

fn power(base: &Digits, exponent: &Digits) -> Result<Digits> {
    if base.is_zero() && exponent.negative {
        return Err(power_error("zero raised to a negative power is undefined"));
    }
    if base.negative && !exponent.is_integer() {
        return Err(power_error("a negative number raised to a non-integer power yields a complex result"));
    }
    if exponent.is_integer() {
        let value = (exponent.weight <= 3).then(|| {
            exponent.digits.iter().enumerate().fold(0i64, |sum, (i, &digit)| {
                sum + i64::from(digit) * 10_000i64.pow((exponent.weight - i as i32).unsigned_abs())
            })
        });
        if let Some(n) = value.filter(|n| *n <= i64::from(i32::MAX)) {
            let scale = clamp_scale(SIGNIFICANT_DIGITS_MIN, base.dscale);
            return power_integer(base, if exponent.negative { -n } else { n }, scale);
        }
    }
    if base.is_zero() {
        return Ok(Digits::zero(SIGNIFICANT_DIGITS_MIN));
    }
    let magnitude = base.clone().abs();
    let operands = base.dscale.max(exponent.dscale);
    // As many digits as PostgreSQL's: where the result is all but a power of ten, they decide its scale.
    let rough = (8 - ln_weight(&magnitude)).max(0);
    let mut estimate = exponent.mul(&ln(&magnitude, rough));
    estimate.round(rough);
    let estimate = to_f64(&estimate);
    if estimate.abs() > EXP_ARGUMENT_MAX * 1.005 {
        return if estimate > 0.0 { Err(overflow()) } else { Ok(Digits::zero(super::arith::DISPLAY_SCALE_MAX)) };
    }
    let weight = (estimate * LOG10_E) as i32;
    let scale = clamp_scale(SIGNIFICANT_DIGITS_MIN - weight, operands);
    let ln_scale = scale + weight.max(0) + exponent.decimal_weight().max(0) + 10;
    let result = exp(&exponent.mul(&ln(&magnitude, ln_scale)), scale)?;
    Ok(if base.negative && is_odd(exponent) { result.negated() } else { result })
}

/// `base^n` by squaring, with enough significant digits for `scale` decimals of the result.
fn power_integer(base: &Digits, n: i64, scale: i32) -> Result<Digits> {
    let rounded = |mut x: Digits| {
        x.round(scale);
        x
    };
    match n {
        0 => return Ok(rounded(Digits::from_int(1))),
        1 => return Ok(rounded(base.clone())),
        -1 => return Ok(Digits::from_int(1).div(base, scale)),
        2 => return Ok(rounded(base.mul(base))),
        _ if base.is_zero() => return Ok(Digits::zero(scale)),
        _ => {}
    }
    let log10 = n as f64 * log10_abs(base);
    if log10 > f64::from(NUMERIC_WEIGHT_MAX) + 4.0 {
        return Err(overflow());
    }
    if log10 + 1.0 < -f64::from(scale) {
        return Ok(Digits::zero(scale));
    }
    let significant = (log10.ceil() as i32 + scale).max(0) + (n.unsigned_abs().ilog10() as i32) + 10;
    let keep = |mut x: Digits| {
        let decimals = significant - x.decimal_weight();
        if decimals < x.min_scale() {
            x.round(decimals);
            x.dscale = x.dscale.max(decimals);
        }
        x
    };
    let mut bits = n.unsigned_abs();
    let (mut result, mut square) = (Digits::from_int(1), base.clone());
    loop {
        if bits & 1 == 1 {
            result = keep(result.mul(&square));
        }
        bits >>= 1;
        if bits == 0 {
            break;
        }
        square = keep(square.mul(&square));
    }
    let result = if n < 0 { Digits::from_int(1).div(&result, scale) } else { rounded(result) };
    if result.weight > NUMERIC_WEIGHT_MAX / BASE_DIGITS { Err(overflow()) } else { Ok(result) }
}

fn log10_abs(x: &Digits) -> f64 {
    let lead = x.digits.iter().take(5).fold(0.0, |sum, &digit| sum * 10_000.0 + f64::from(digit));
    lead.log10() + f64::from((x.weight + 1 - x.digits.len().min(5) as i32) * BASE_DIGITS)
}
