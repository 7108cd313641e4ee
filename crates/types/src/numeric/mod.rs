//! Arbitrary-precision decimal numbers in an order-preserving byte form, with PostgreSQL's exact result rules.
//!
//! [`Numeric`] is its encoded bytes (module `codec`); operators decode to base-10000 digits ([`digits::Digits`]), with
//! an i128 path for operands that fit, which nearly all do. Display scale is a value's own: 1.0 and 1.00 compare equal
//! and print differently, as in PostgreSQL.

mod arith;
mod codec;
mod digits;
mod parse;
mod rounding;
mod transcendental;
mod wire;

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::{Error, Result, SqlState};

use codec::{CLASS_INFINITY, CLASS_NAN, CLASS_NEGATIVE, CLASS_NEGATIVE_INFINITY, CLASS_ZERO};
pub(crate) use codec::{key_prefix_len, sort_bytes};
use digits::{Digits, Value};
pub(crate) use parse::write_unscaled;
pub use rounding::{precision_overflow, rescale};

/// Digits after the decimal point PostgreSQL can keep.
pub const NUMERIC_SCALE_MAX: i32 = 16383;
/// Digits before the decimal point PostgreSQL can keep.
pub const NUMERIC_WEIGHT_MAX: i32 = 131_072;

/// PostgreSQL's `numeric`: exact, with display scale, NaN and infinities.
///
/// `==` and `Hash` compare representations (1.0 differs from 1.00); [`Numeric::compare`] compares values.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Numeric(Box<[u8]>);

impl Numeric {
    /// Wraps bytes this type has made before (a stored column); damaged bytes read as NaN, never panic.
    pub fn from_bytes_unchecked(bytes: &[u8]) -> Numeric {
        Numeric(bytes.into())
    }

    /// The encoded form: [`Numeric::sort_bytes`], then the display scale.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// `memcmp` order of these bytes is numeric order (NaN last); equal numbers have equal bytes whatever their scale.
    pub fn sort_bytes(&self) -> &[u8] {
        sort_bytes(&self.0)
    }

    pub fn zero() -> Numeric {
        Numeric(Box::new([CLASS_ZERO, 0, 0]))
    }

    pub fn nan() -> Numeric {
        Numeric(Box::new([CLASS_NAN, 0, 0]))
    }

    pub fn infinity() -> Numeric {
        Numeric(Box::new([CLASS_INFINITY, 0, 0]))
    }

    pub fn negative_infinity() -> Numeric {
        Numeric(Box::new([CLASS_NEGATIVE_INFINITY, 0, 0]))
    }

    fn class(&self) -> u8 {
        self.0.first().copied().unwrap_or(CLASS_NAN)
    }

    pub fn is_nan(&self) -> bool {
        matches!(self.value(), Value::Nan)
    }

    pub fn is_finite(&self) -> bool {
        matches!(self.value(), Value::Finite(_))
    }

    pub fn is_zero(&self) -> bool {
        self.class() == CLASS_ZERO
    }

    /// -1, 0 or 1; NaN counts as 1 (callers that care ask [`Numeric::is_nan`] first).
    pub fn signum(&self) -> i32 {
        match self.class() {
            CLASS_NEGATIVE | CLASS_NEGATIVE_INFINITY => -1,
            CLASS_ZERO => 0,
            _ => 1,
        }
    }

    /// Display scale: digits printed after the decimal point.
    pub fn scale(&self) -> i32 {
        match self.0.last_chunk::<2>() {
            Some(scale) => i32::from(u16::from_be_bytes(*scale)),
            None => 0,
        }
    }

    /// Numeric order; NaN equals NaN and is larger than infinity.
    pub fn compare(&self, other: &Numeric) -> Ordering {
        self.sort_bytes().cmp(other.sort_bytes())
    }

    fn value(&self) -> Value {
        codec::decode(&self.0)
    }

    fn from_digits(digits: &Digits) -> Result<Numeric> {
        codec::encode(digits).map(Numeric)
    }
}

impl std::fmt::Debug for Numeric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Numeric({self})")
    }
}

fn overflow() -> Error {
    Error::invalid(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format")
}

fn division_by_zero() -> Error {
    Error::invalid(SqlState::DIVISION_BY_ZERO, "division by zero")
}
