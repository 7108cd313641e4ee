//! The byte form: `class | u16 weight | (u16 digit + 1)* | u16 0 | u16 display scale`, big-endian.
//!
//! Class orders -infinity < negative < zero < positive < infinity < NaN; only negative and positive have a weight and
//! digits (base 10000, no zeros at either end), and those bytes are inverted for negative numbers. Everything before the
//! display scale sorts with memcmp and is prefix-free. Weight is that of the first digit plus 0x4000.

use super::digits::{Digits, Value};
use super::{NUMERIC_SCALE_MAX, Numeric, overflow};
use crate::{Error, Result};

pub(super) const CLASS_NEGATIVE_INFINITY: u8 = 0x10;
pub(super) const CLASS_NEGATIVE: u8 = 0x20;
pub(super) const CLASS_ZERO: u8 = 0x30;
pub(super) const CLASS_POSITIVE: u8 = 0x40;
pub(super) const CLASS_INFINITY: u8 = 0x50;
pub(super) const CLASS_NAN: u8 = 0x60;

const WEIGHT_BIAS: i32 = 0x4000;
/// The largest weight PostgreSQL stores: 131072 digits before the point.
const WEIGHT_MAX: i32 = 0x7FFF;

/// The bytes that order a number; NaN's for bytes that cannot be a number.
pub(crate) fn sort_bytes(bytes: &[u8]) -> &[u8] {
    match bytes.len().checked_sub(2) {
        Some(len) if len > 0 => &bytes[..len],
        _ => &[CLASS_NAN],
    }
}

/// How many bytes at the front of `bytes` are one number's sort bytes.
pub(crate) fn key_prefix_len(bytes: &[u8]) -> Option<usize> {
    let class = *bytes.first()?;
    let end = match class {
        CLASS_NEGATIVE => [0xFF, 0xFF],
        CLASS_POSITIVE => [0, 0],
        CLASS_NEGATIVE_INFINITY | CLASS_ZERO | CLASS_INFINITY | CLASS_NAN => return Some(1),
        _ => return None,
    };
    let digits = bytes.get(3..)?.chunks_exact(2).position(|digit| digit == end)?;
    Some(3 + 2 * digits + 2)
}

impl Numeric {
    /// From [`Numeric::sort_bytes`] alone: the display scale is the smallest that shows every digit.
    pub fn from_sort_bytes(bytes: &[u8]) -> Result<Numeric> {
        let mut whole = bytes.to_vec();
        whole.extend_from_slice(&[0, 0]);
        let damaged = || Error::corrupt("damaged numeric");
        match decode_checked(&whole).ok_or_else(damaged)? {
            Value::Finite(mut digits) => {
                digits.dscale = digits.min_scale();
                if digits.dscale > NUMERIC_SCALE_MAX {
                    return Err(damaged());
                }
                Numeric::from_digits(&digits)
            }
            _ => Ok(Numeric(whole.into())),
        }
    }

    /// Checks bytes from outside.
    pub fn from_bytes(bytes: &[u8]) -> Result<Numeric> {
        match decode_checked(bytes) {
            Some(_) => Ok(Numeric(bytes.into())),
            None => Err(Error::corrupt("damaged numeric")),
        }
    }
}

pub(super) fn encode(number: &Digits) -> Result<Box<[u8]>> {
    let dscale = u16::try_from(number.dscale.clamp(0, NUMERIC_SCALE_MAX)).expect("clamped");
    let mut out = Vec::with_capacity(7 + 2 * number.digits.len());
    if number.digits.is_empty() {
        out.push(CLASS_ZERO);
    } else {
        if number.weight > WEIGHT_MAX {
            return Err(overflow());
        }
        let weight = u16::try_from(number.weight + WEIGHT_BIAS).map_err(|_| overflow())?;
        let flip = if number.negative { 0xFFFF } else { 0 };
        out.push(if number.negative { CLASS_NEGATIVE } else { CLASS_POSITIVE });
        out.extend_from_slice(&(weight ^ flip).to_be_bytes());
        for digit in &number.digits {
            out.extend_from_slice(&((digit + 1) ^ flip).to_be_bytes());
        }
        out.extend_from_slice(&flip.to_be_bytes());
    }
    out.extend_from_slice(&dscale.to_be_bytes());
    Ok(out.into())
}

pub(super) fn decode(bytes: &[u8]) -> Value {
    decode_checked(bytes).unwrap_or(Value::Nan)
}

fn decode_checked(bytes: &[u8]) -> Option<Value> {
    let (body, scale) = bytes.split_last_chunk::<2>()?;
    let dscale = i32::from(u16::from_be_bytes(*scale));
    if key_prefix_len(body)? != body.len() {
        return None;
    }
    let negative = match body.first()? {
        &CLASS_NAN => return Some(Value::Nan),
        &CLASS_INFINITY => return Some(Value::Infinity { negative: false }),
        &CLASS_NEGATIVE_INFINITY => return Some(Value::Infinity { negative: true }),
        &CLASS_ZERO => return Some(Value::Finite(Digits { negative: false, weight: 0, digits: Vec::new(), dscale })),
        class => *class == CLASS_NEGATIVE,
    };
    let (weight, digits) = raw_parts(body, negative)?;
    let digits = digits.collect::<Option<Vec<u16>>>()?;
    let ends = (*digits.first()?, *digits.last()?);
    (ends.0 != 0 && ends.1 != 0).then_some(Value::Finite(Digits { negative, weight, digits, dscale }))
}

fn raw_parts(body: &[u8], negative: bool) -> Option<(i32, impl Iterator<Item = Option<u16>>)> {
    let flip = if negative { 0xFFFF } else { 0 };
    let weight = i32::from(u16::from_be_bytes([*body.get(1)?, *body.get(2)?]) ^ flip) - WEIGHT_BIAS;
    let digits = body.get(3..body.len().checked_sub(2)?)?;
    let digits = digits.chunks_exact(2).map(move |pair| {
        let digit = (u16::from_be_bytes([pair[0], pair[1]]) ^ flip).wrapping_sub(1);
        (digit < 10_000).then_some(digit)
    });
    Some((weight, digits))
}

/// The number as `unscaled * 10^-scale` at its display scale, if that has at most 36 digits. No allocation.
pub(super) fn small(bytes: &[u8]) -> Option<(i128, i32)> {
    let (body, scale) = bytes.split_last_chunk::<2>()?;
    let dscale = i32::from(u16::from_be_bytes(*scale));
    let negative = match *body.first()? {
        CLASS_ZERO if dscale <= 36 => return Some((0, dscale)),
        CLASS_POSITIVE => false,
        CLASS_NEGATIVE => true,
        _ => return None,
    };
    let (weight, digits) = raw_parts(body, negative)?;
    if dscale > 36 || (weight + 1) * 4 + dscale > 36 || weight < -9 {
        return None;
    }
    // Digits stand at weight, weight - 1, ...; the last one that can matter is at -ceil(dscale / 4).
    let mut unscaled = 0i128;
    let mut exponent = weight + 1;
    for digit in digits {
        unscaled = unscaled.checked_mul(10_000)?.checked_add(i128::from(digit?))?;
        exponent -= 1;
        if exponent < -9 {
            return None;
        }
    }
    let shift = exponent * 4 + dscale;
    let unscaled = if shift >= 0 {
        unscaled.checked_mul(10i128.pow(shift as u32))?
    } else {
        let divisor = 10i128.pow(shift.unsigned_abs());
        if unscaled % divisor != 0 {
            return None;
        }
        unscaled / divisor
    };
    Some((if negative { -unscaled } else { unscaled }, dscale))
}

/// Weight and first digit of a finite number ((0, 0) for zero): what a quotient's scale depends on.
pub(super) fn leading(bytes: &[u8]) -> (i32, u16) {
    let lead = |negative: bool| -> Option<(i32, u16)> {
        let (weight, mut digits) = raw_parts(bytes.get(..bytes.len().checked_sub(2)?)?, negative)?;
        Some((weight, digits.next()??))
    };
    match bytes.first() {
        Some(&CLASS_POSITIVE) => lead(false).unwrap_or((0, 0)),
        Some(&CLASS_NEGATIVE) => lead(true).unwrap_or((0, 0)),
        _ => (0, 0),
    }
}

/// Digits of `unscaled * 10^-scale`.
pub(super) fn split_i128(unscaled: i128, scale: i32) -> Digits {
    let mut rest = unscaled.unsigned_abs();
    let mut digits = Vec::with_capacity(10);
    // The lowest digit group holds the last `scale % 4` decimals, moved to the group's left end.
    let partial = scale.rem_euclid(4) as u32;
    let mut position = -((scale + 3).div_euclid(4));
    if partial != 0 {
        let cut = 10u128.pow(partial);
        digits.push((rest % cut) as u16 * 10u16.pow(4 - partial));
        rest /= cut;
    }
    while rest > u128::from(u64::MAX) {
        digits.push((rest % 10_000) as u16);
        rest /= 10_000;
    }
    let mut rest = rest as u64;
    while rest > 0 {
        digits.push((rest % 10_000) as u16);
        rest /= 10_000;
    }
    position += digits.len() as i32 - 1;
    digits.reverse();
    let mut number = Digits { negative: unscaled < 0, weight: position, digits, dscale: scale.max(0) };
    number.normalize();
    number
}
