//! Trigonometry in degrees, exact where the result is (PostgreSQL's method: scale each branch by its value at 30, 60 or 45).

use heliosdb_types::{Datum, DatumRef, Error, Result, SqlState, TextContext};

use super::super::value::float_of;
use super::T::F8;
use super::{Overload, wrong_arguments};

pub(super) const FUNCTIONS: &[Overload] = &[
    ("sind", &[F8], F8, |a, _| of(a, |x| finite(x).map(sind))),
    ("cosd", &[F8], F8, |a, _| of(a, |x| finite(x).map(cosd))),
    ("tand", &[F8], F8, |a, _| of(a, |x| finite(x).map(tand))),
    ("cotd", &[F8], F8, |a, _| of(a, |x| finite(x).map(cotd))),
    ("asind", &[F8], F8, |a, _| of(a, |x| unit(x).map(|x| if x >= 0.0 { asind_q1(x) } else { -asind_q1(-x) }))),
    ("acosd", &[F8], F8, |a, _| of(a, |x| unit(x).map(|x| if x >= 0.0 { acosd_q1(x) } else { 90.0 + asind_q1(-x) }))),
    ("atand", &[F8], F8, |a, _| of(a, |x| Ok(x.atan() / 1f64.atan() * 45.0))),
    ("atan2d", &[F8, F8], F8, atan2d),
];

fn of(args: &[DatumRef<'_>], op: impl Fn(f64) -> Result<f64>) -> Result<Datum> {
    let x = args.first().copied().ok_or_else(|| wrong_arguments("a function of degrees")).and_then(float_of)?;
    if x.is_nan() { Ok(Datum::Float64(x)) } else { op(x).map(Datum::Float64) }
}

fn out_of_range() -> Error {
    Error::invalid(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "input is out of range")
}

fn finite(x: f64) -> Result<f64> {
    if x.is_finite() { Ok(x % 360.0) } else { Err(out_of_range()) }
}

fn unit(x: f64) -> Result<f64> {
    if (-1.0..=1.0).contains(&x) { Ok(x) } else { Err(out_of_range()) }
}

fn atan2d(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let [y, x] = args else { return Err(wrong_arguments("atan2d")) };
    Ok(Datum::Float64(float_of(*y)?.atan2(float_of(*x)?) / 1f64.atan() * 45.0))
}

/// 0 to 30 degrees.
fn sin_low(x: f64) -> f64 {
    x.to_radians().sin() / 30f64.to_radians().sin() / 2.0
}

/// 0 to 60 degrees.
fn cos_low(x: f64) -> f64 {
    1.0 - (1.0 - x.to_radians().cos()) / (1.0 - 60f64.to_radians().cos()) / 2.0
}

fn sin_q1(x: f64) -> f64 {
    if x <= 30.0 { sin_low(x) } else { cos_low(90.0 - x) }
}

fn cos_q1(x: f64) -> f64 {
    if x <= 60.0 { cos_low(x) } else { sin_low(90.0 - x) }
}

/// The angle in the first quadrant, and the signs of sine and cosine.
fn reduce(x: f64) -> (f64, f64, f64) {
    let (mut x, mut sin, mut cos) = if x < 0.0 { (-x, -1.0, 1.0) } else { (x, 1.0, 1.0) };
    if x > 180.0 {
        x = 360.0 - x;
        sin = -sin;
    }
    if x > 90.0 {
        x = 180.0 - x;
        cos = -cos;
    }
    (x, sin, cos)
}

fn sind(x: f64) -> f64 {
    let (x, sign, _) = reduce(x);
    sign * sin_q1(x)
}

fn cosd(x: f64) -> f64 {
    let (x, _, sign) = reduce(x);
    sign * cos_q1(x)
}

fn tand(x: f64) -> f64 {
    let (x, sin, cos) = reduce(x);
    // Never a negative zero.
    sin * cos * (sin_q1(x) / cos_q1(x) / (sin_q1(45.0) / cos_q1(45.0))) + 0.0
}

fn cotd(x: f64) -> f64 {
    let (x, sin, cos) = reduce(x);
    sin * cos * (cos_q1(x) / sin_q1(x) / (cos_q1(45.0) / sin_q1(45.0))) + 0.0
}

fn asind_q1(x: f64) -> f64 {
    if x <= 0.5 { x.asin() / 0.5f64.asin() * 30.0 } else { 90.0 - x.acos() / 0.5f64.acos() * 60.0 }
}

fn acosd_q1(x: f64) -> f64 {
    if x <= 0.5 { 90.0 - x.asin() / 0.5f64.asin() * 30.0 } else { x.acos() / 0.5f64.acos() * 60.0 }
}
