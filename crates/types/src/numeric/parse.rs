//! Text in and out, and conversions to and from Rust's numbers.

use std::fmt;
use std::ops::Neg;
use std::str::FromStr;

use super::codec::{self, split_i128};
use super::digits::{BASE_DIGITS, Digits, Value};
use super::{NUMERIC_SCALE_MAX, NUMERIC_WEIGHT_MAX, Numeric, overflow};
use crate::{Error, Result, SqlState};

impl Numeric {
    /// Reads PostgreSQL's input: digits with point and exponent, `NaN`, `Infinity`, white space around. (Other
    /// bases and underscores came with PostgreSQL 16.)
    pub fn parse(text: &str) -> Result<Numeric> {
        let trimmed = text.trim_matches(crate::text::is_space);
        parse_special(trimmed).map_or_else(|| parse_finite(trimmed, text), Ok)
    }

    pub fn from_i64(value: i64) -> Numeric {
        Numeric::from_i128(i128::from(value))
    }

    pub fn from_i128(value: i128) -> Numeric {
        Numeric(codec::encode(&split_i128(value, 0)).expect("39 digits are in range"))
    }

    /// As PostgreSQL converts float8: 15 significant digits.
    pub fn from_f64(value: f64) -> Numeric {
        Numeric::from_float(value, 15)
    }

    /// As PostgreSQL converts float4: 6 significant digits.
    pub fn from_f32(value: f32) -> Numeric {
        Numeric::from_float(f64::from(value), 6)
    }

    fn from_float(value: f64, significant: usize) -> Numeric {
        if value.is_nan() {
            return Numeric::nan();
        }
        if value.is_infinite() {
            return if value > 0.0 { Numeric::infinity() } else { Numeric::negative_infinity() };
        }
        let text = format!("{value:.*e}", significant - 1);
        let number = Numeric::parse(&text).unwrap_or_else(|_| Numeric::nan());
        // %g drops trailing zeros, so the scale is what the digits need.
        number.trim_scale().unwrap_or(number)
    }

    /// The nearest double; 22003 beyond its range.
    pub fn to_f64(&self) -> Result<f64> {
        self.to_float("double precision", f64::NAN, f64::INFINITY, |value| value.is_infinite(), |value| value == 0.0)
    }

    /// The nearest single, of the digits and not of the nearest double.
    pub fn to_f32(&self) -> Result<f32> {
        self.to_float("real", f32::NAN, f32::INFINITY, |value| value.is_infinite(), |value| value == 0.0)
    }

    fn to_float<F: FromStr + Neg<Output = F> + Copy>(
        &self,
        name: &str,
        nan: F,
        infinity: F,
        is_infinite: fn(F) -> bool,
        is_zero: fn(F) -> bool,
    ) -> Result<F> {
        match self.value() {
            Value::Nan => Ok(nan),
            Value::Infinity { negative } => Ok(if negative { -infinity } else { infinity }),
            Value::Finite(digits) => {
                let text = self.to_string();
                let value: F = text.parse().unwrap_or(nan);
                if is_infinite(value) || (is_zero(value) && !digits.is_zero()) {
                    let message = format!("\"{text}\" is out of range for type {name}");
                    return Err(Error::invalid(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message));
                }
                Ok(value)
            }
        }
    }

    /// Rounded half away from zero; `None` if not finite or out of range.
    pub fn to_i128(&self) -> Option<i128> {
        self.to_unscaled(0)
    }

    /// Rounded half away from zero; `None` if not finite or out of range.
    pub fn to_i64(&self) -> Option<i64> {
        i64::try_from(self.to_i128()?).ok()
    }
}

fn invalid(text: &str) -> Error {
    Error::invalid(SqlState::INVALID_TEXT_REPRESENTATION, format!("invalid input syntax for type numeric: \"{text}\""))
}

fn parse_special(text: &str) -> Option<Numeric> {
    let (sign, body) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (0, text),
    };
    if sign == 0 && body.eq_ignore_ascii_case("nan") {
        return Some(Numeric::nan());
    }
    let infinite = body.eq_ignore_ascii_case("infinity") || body.eq_ignore_ascii_case("inf");
    infinite.then(|| if sign < 0 { Numeric::negative_infinity() } else { Numeric::infinity() })
}

fn parse_finite(trimmed: &str, text: &str) -> Result<Numeric> {
    let (negative, body) = match trimmed.as_bytes().first() {
        Some(b'-') => (true, &trimmed[1..]),
        Some(b'+') => (false, &trimmed[1..]),
        _ => (false, trimmed),
    };
    let (mantissa, exponent) = split_exponent(body).ok_or_else(|| invalid(text))?;
    let mut number = parse_decimal(mantissa, exponent, text)?;
    number.negative = negative && !number.is_zero();
    Numeric::from_digits(&number)
}

/// An exponent beyond this overflows whatever its mantissa.
const EXPONENT_MAX: i64 = i32::MAX as i64 / 2;

fn split_exponent(body: &str) -> Option<(&str, i64)> {
    let Some(at) = body.find(['e', 'E']) else { return Some((body, 0)) };
    let exponent = &body[at + 1..];
    let (sign, digits) = match exponent.as_bytes().first()? {
        b'-' => (-1, &exponent[1..]),
        b'+' => (1, &exponent[1..]),
        _ => (1, exponent),
    };
    let value = digits_of(digits)?.iter().fold(0i64, |sum, digit| (sum * 10 + i64::from(*digit)).min(EXPONENT_MAX + 1));
    (!digits.is_empty()).then_some((&body[..at], sign * value))
}

fn digits_of(text: &str) -> Option<Vec<u8>> {
    text.bytes().map(|byte| byte.is_ascii_digit().then(|| byte - b'0')).collect()
}

fn parse_decimal(mantissa: &str, exponent: i64, text: &str) -> Result<Digits> {
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = digits_of(whole).ok_or_else(|| invalid(text))?;
    let fraction = digits_of(fraction).ok_or_else(|| invalid(text))?;
    digits.extend_from_slice(&fraction);
    if digits.is_empty() {
        return Err(invalid(text));
    }
    if exponent.abs() > EXPONENT_MAX {
        return Err(overflow());
    }
    let dscale = (fraction.len() as i64 - exponent).max(0);
    // The decimal point stands before digit `point`.
    let point = digits.len() as i64 - fraction.len() as i64 + exponent;
    let zeros = digits.iter().take_while(|&&digit| digit == 0).count();
    if zeros == digits.len() {
        return if dscale > i64::from(NUMERIC_SCALE_MAX) {
            Ok(Digits::zero(NUMERIC_SCALE_MAX))
        } else {
            Ok(Digits::zero(dscale as i32))
        };
    }
    if point - zeros as i64 > i64::from(NUMERIC_WEIGHT_MAX) {
        return Err(overflow());
    }
    if point < -i64::from(NUMERIC_SCALE_MAX) - 1 {
        return Ok(Digits::zero(NUMERIC_SCALE_MAX));
    }
    let mut number = group(&digits, point as i32);
    number.dscale = dscale.min(i64::from(NUMERIC_SCALE_MAX)) as i32;
    if dscale > i64::from(NUMERIC_SCALE_MAX) {
        number.round(NUMERIC_SCALE_MAX);
    }
    Ok(number)
}

/// Base-10000 digits of decimal digits whose point stands before digit `point`.
fn group(decimal: &[u8], point: i32) -> Digits {
    let weight = (point - 1).div_euclid(BASE_DIGITS);
    // Zeros in front, so that groups of four end at the point.
    let lead = ((weight + 1) * BASE_DIGITS - point) as usize;
    let mut digits = Vec::with_capacity(decimal.len() / 4 + 2);
    let mut group = 0u16;
    let mut filled = lead;
    for &digit in decimal {
        group = group * 10 + u16::from(digit);
        filled += 1;
        if filled == 4 {
            digits.push(group);
            (group, filled) = (0, 0);
        }
    }
    if filled > 0 {
        digits.push(group * 10u16.pow(4 - filled as u32));
    }
    let mut number = Digits { negative: false, weight, digits, dscale: 0 };
    number.normalize();
    number
}

impl fmt::Display for Numeric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((unscaled, scale)) = codec::small(&self.0) {
            return write_unscaled(f, unscaled, scale);
        }
        match self.value() {
            Value::Nan => f.write_str("NaN"),
            Value::Infinity { negative } => f.write_str(if negative { "-Infinity" } else { "Infinity" }),
            Value::Finite(digits) => write_digits(f, &digits),
        }
    }
}

/// Writes `unscaled * 10^-scale` with exactly `scale` decimals.
pub(crate) fn write_unscaled(out: &mut impl fmt::Write, unscaled: i128, scale: i32) -> fmt::Result {
    if unscaled < 0 {
        out.write_char('-')?;
    }
    let magnitude = unscaled.unsigned_abs();
    if scale <= 0 {
        write!(out, "{magnitude}")?;
        return if magnitude == 0 { Ok(()) } else { (scale..0).try_for_each(|_| out.write_char('0')) };
    }
    let width = scale as usize;
    match 10u128.checked_pow(scale as u32) {
        Some(unit) if magnitude <= u128::from(u64::MAX) && unit <= u128::from(u64::MAX) => {
            let (magnitude, unit) = (magnitude as u64, unit as u64);
            write!(out, "{}.{:0width$}", magnitude / unit, magnitude % unit)
        }
        Some(unit) => write!(out, "{}.{:0width$}", magnitude / unit, magnitude % unit),
        None => write!(out, "0.{magnitude:0width$}"),
    }
}

fn write_digits(f: &mut fmt::Formatter<'_>, number: &Digits) -> fmt::Result {
    let mut text = String::with_capacity(number.digits.len() * 4 + number.dscale as usize + 8);
    let digit_at = |weight: i32| -> u16 {
        usize::try_from(number.weight - weight).ok().and_then(|i| number.digits.get(i)).copied().unwrap_or(0)
    };
    if number.negative {
        text.push('-');
    }
    if number.weight < 0 {
        text.push('0');
    }
    for weight in (0..=number.weight).rev() {
        let digit = digit_at(weight);
        if weight == number.weight {
            text.push_str(&digit.to_string());
        } else {
            push_group(&mut text, digit);
        }
    }
    if number.dscale > 0 {
        text.push('.');
        let end = text.len() + number.dscale as usize;
        let mut weight = -1;
        while text.len() < end {
            push_group(&mut text, digit_at(weight));
            weight -= 1;
        }
        text.truncate(end);
    }
    f.write_str(&text)
}

fn push_group(text: &mut String, digit: u16) {
    for unit in [1000, 100, 10, 1] {
        text.push(char::from(b'0' + (digit / unit % 10) as u8));
    }
}
