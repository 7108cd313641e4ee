//! Mathematical functions.

use heliosdb_types::{Datum, DatumRef, Error, Numeric, Result, SqlState, TextContext};

use super::super::operator::float_value_power;
use super::super::value::{float_of, int_of, numeric_of};
use super::T::{F4, F8, Int2, Int4, Int8, Num};
use super::{Overload, Run, wrong_arguments};
use crate::exec::check_cancelled;

pub(super) const FUNCTIONS: &[Overload] = &[
    ("abs", &[Int4], Int4, abs),
    ("abs", &[Int8], Int8, abs),
    ("abs", &[Int2], Int2, abs),
    ("abs", &[Num], Num, |a, _| numeric(a, |x| Ok(x.abs()))),
    ("abs", &[F8], F8, |a, _| float(a, |x| Ok(x.abs()))),
    ("abs", &[F4], F4, abs),
    ("ceil", &[F8], F8, CEIL),
    ("ceil", &[Num], Num, CEIL_NUMERIC),
    ("ceiling", &[F8], F8, CEIL),
    ("ceiling", &[Num], Num, CEIL_NUMERIC),
    ("floor", &[F8], F8, |a, _| float(a, |x| Ok(x.floor()))),
    ("floor", &[Num], Num, |a, _| numeric(a, Numeric::floor)),
    ("round", &[F8], F8, |a, _| float(a, |x| Ok(x.round_ties_even()))),
    ("round", &[Num], Num, |a, _| numeric(a, |x| x.round(0))),
    ("round", &[Num, Int4], Num, |a, _| places(a, Numeric::round)),
    ("trunc", &[F8], F8, |a, _| float(a, |x| Ok(x.trunc()))),
    ("trunc", &[Num], Num, |a, _| numeric(a, |x| x.trunc(0))),
    ("trunc", &[Num, Int4], Num, |a, _| places(a, Numeric::trunc)),
    ("sign", &[F8], F8, |a, _| float(a, |x| Ok(f64::from(i8::from(x > 0.0) - i8::from(x < 0.0))))),
    ("sign", &[Num], Num, |a, _| numeric(a, |x| Ok(x.sign()))),
    ("sqrt", &[F8], F8, |a, _| float(a, sqrt)),
    ("sqrt", &[Num], Num, |a, _| numeric(a, Numeric::sqrt)),
    ("cbrt", &[F8], F8, |a, _| float(a, |x| Ok(cbrt(x)))),
    ("exp", &[F8], F8, |a, _| float(a, exp)),
    ("exp", &[Num], Num, |a, _| numeric(a, Numeric::exp)),
    ("ln", &[F8], F8, |a, _| float(a, |x| logarithm(x, f64::ln))),
    ("ln", &[Num], Num, |a, _| numeric(a, Numeric::ln)),
    ("log", &[F8], F8, |a, _| float(a, |x| logarithm(x, f64::log10))),
    ("log", &[Num], Num, |a, _| numeric(a, Numeric::log10)),
    ("log", &[Num, Num], Num, |a, _| numerics(a, |base, x| x.log(base))),
    ("log10", &[F8], F8, |a, _| float(a, |x| logarithm(x, f64::log10))),
    ("log10", &[Num], Num, |a, _| numeric(a, Numeric::log10)),
    ("power", &[F8, F8], F8, |a, _| floats(a, float_value_power)),
    ("power", &[Num, Num], Num, |a, _| numerics(a, Numeric::power)),
    ("pow", &[F8, F8], F8, |a, _| floats(a, float_value_power)),
    ("pow", &[Num, Num], Num, |a, _| numerics(a, Numeric::power)),
    ("mod", &[Int4, Int4], Int4, modulo),
    ("mod", &[Int8, Int8], Int8, modulo),
    ("mod", &[Int2, Int2], Int2, modulo),
    ("mod", &[Num, Num], Num, |a, _| numerics(a, Numeric::rem)),
    ("div", &[Num, Num], Num, |a, _| numerics(a, Numeric::div_integer)),
    ("gcd", &[Int4, Int4], Int4, gcd),
    ("gcd", &[Int8, Int8], Int8, gcd),
    ("lcm", &[Int4, Int4], Int4, lcm),
    ("lcm", &[Int8, Int8], Int8, lcm),
    ("gcd", &[Num, Num], Num, |a, _| numeric_divisor(a).map(Datum::Numeric)),
    ("lcm", &[Num, Num], Num, numeric_multiple),
    ("factorial", &[Int8], Num, factorial),
    ("scale", &[Num], Int4, |a, _| {
        let x = numeric_of(one(a)?)?;
        Ok(if x.is_finite() { Datum::Int32(x.scale()) } else { Datum::Null })
    }),
    ("min_scale", &[Num], Int4, |a, _| Ok(numeric_of(one(a)?)?.min_scale().map_or(Datum::Null, Datum::Int32))),
    ("trim_scale", &[Num], Num, |a, _| numeric(a, Numeric::trim_scale)),
    ("width_bucket", &[F8, F8, F8, Int4], Int4, width_bucket),
    ("width_bucket", &[Num, Num, Num, Int4], Int4, width_bucket_numeric),
    ("pi", &[], F8, |_, _| Ok(Datum::Float64(std::f64::consts::PI))),
    ("degrees", &[F8], F8, |a, _| float(a, |x| Ok(x / (std::f64::consts::PI / 180.0)))),
    ("radians", &[F8], F8, |a, _| float(a, |x| Ok(x * (std::f64::consts::PI / 180.0)))),
    ("sin", &[F8], F8, |a, _| float(a, |x| bounded(x, x.sin()))),
    ("cos", &[F8], F8, |a, _| float(a, |x| bounded(x, x.cos()))),
    ("tan", &[F8], F8, |a, _| float(a, |x| bounded(x, x.tan()))),
    ("cot", &[F8], F8, |a, _| float(a, |x| bounded(x, 1.0 / x.tan()))),
    ("asin", &[F8], F8, |a, _| float(a, |x| unit(x, x.asin()))),
    ("acos", &[F8], F8, |a, _| float(a, |x| unit(x, x.acos()))),
    ("atan", &[F8], F8, |a, _| float(a, |x| Ok(x.atan()))),
    ("atan2", &[F8, F8], F8, |a, _| floats(a, |y, x| Ok(y.atan2(x)))),
    ("sinh", &[F8], F8, |a, _| float(a, |x| Ok(x.sinh()))),
    ("cosh", &[F8], F8, |a, _| float(a, |x| Ok(x.cosh()))),
    ("tanh", &[F8], F8, |a, _| float(a, |x| Ok(x.tanh()))),
    ("asinh", &[F8], F8, |a, _| float(a, |x| Ok(asinh(x)))),
    ("acosh", &[F8], F8, |a, _| float(a, |x| if x < 1.0 { Err(out_of_range()) } else { Ok(acosh(x)) })),
    ("atanh", &[F8], F8, |a, _| float(a, |x| unit(x, atanh(x)))),
];

const CEIL: Run = |a, _| float(a, |x| Ok(x.ceil()));
const CEIL_NUMERIC: Run = |a, _| numeric(a, Numeric::ceil);

fn one<'a>(args: &[DatumRef<'a>]) -> Result<DatumRef<'a>> {
    args.first().copied().ok_or_else(|| wrong_arguments("a function"))
}

fn two<'a>(args: &[DatumRef<'a>]) -> Result<(DatumRef<'a>, DatumRef<'a>)> {
    match args {
        [a, b] => Ok((*a, *b)),
        _ => Err(wrong_arguments("a function")),
    }
}

fn numeric(args: &[DatumRef<'_>], op: impl Fn(&Numeric) -> Result<Numeric>) -> Result<Datum> {
    op(&numeric_of(one(args)?)?).map(Datum::Numeric)
}

fn numerics(args: &[DatumRef<'_>], op: impl Fn(&Numeric, &Numeric) -> Result<Numeric>) -> Result<Datum> {
    let (a, b) = two(args)?;
    op(&numeric_of(a)?, &numeric_of(b)?).map(Datum::Numeric)
}

fn places(args: &[DatumRef<'_>], op: impl Fn(&Numeric, i32) -> Result<Numeric>) -> Result<Datum> {
    let (x, places) = two(args)?;
    op(&numeric_of(x)?, int_of(places)? as i32).map(Datum::Numeric)
}

fn float(args: &[DatumRef<'_>], op: impl Fn(f64) -> Result<f64>) -> Result<Datum> {
    op(float_of(one(args)?)?).map(one_nan)
}

fn floats(args: &[DatumRef<'_>], op: impl Fn(f64, f64) -> Result<f64>) -> Result<Datum> {
    let (a, b) = two(args)?;
    op(float_of(a)?, float_of(b)?).map(one_nan)
}

/// Of the many NaNs there is one.
fn one_nan(value: f64) -> Datum {
    Datum::Float64(if value.is_nan() { f64::NAN } else { value })
}

fn out_of_range() -> Error {
    Error::invalid(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "input is out of range")
}

pub(super) fn integer_out_of_range(name: &str) -> Error {
    Error::invalid(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{name} out of range"))
}

fn bounded(x: f64, result: f64) -> Result<f64> {
    if x.is_infinite() { Err(out_of_range()) } else { Ok(result) }
}

fn unit(x: f64, result: f64) -> Result<f64> {
    if (-1.0..=1.0).contains(&x) || x.is_nan() { Ok(result) } else { Err(out_of_range()) }
}

// The cube root and the inverse hyperbolic functions by the formulas of the C library PostgreSQL calls, so that they agree to the last digit.

/// Below it a function is its argument, beyond its inverse a root of `x * x + 1` is `x`.
const TINY: f64 = 1.0 / (1u64 << 28) as f64;

/// A polynomial for the mantissa, and one step of Halley's method.
fn cbrt(x: f64) -> f64 {
    if x == 0.0 || !x.is_finite() {
        return x;
    }
    // x = mantissa * 2^exponent, the mantissa from 0.5 up to 1.
    let (scaled, extra) = if x.abs() < f64::MIN_POSITIVE { (x.abs() * (1u64 << 54) as f64, 54) } else { (x.abs(), 0) };
    let exponent = (scaled.to_bits() >> 52) as i32 - 1022;
    let mantissa = f64::from_bits((scaled.to_bits() & ((1 << 52) - 1)) | (1022 << 52));
    let exponent = exponent - extra;
    let [c0, c1, c2, c3, c4, c5, c6] = CBRT_TERMS;
    let inner = c4 - (c5 - c6 * mantissa) * mantissa;
    let middle = c2 - (c3 - inner * mantissa) * mantissa;
    let u = c0 + (c1 - middle * mantissa) * mantissa;
    let cube = u * u * u;
    let factor = match exponent % 3 {
        -2 => 1.0 / ROOT_OF_FOUR,
        -1 => 1.0 / ROOT_OF_TWO,
        1 => ROOT_OF_TWO,
        2 => ROOT_OF_FOUR,
        _ => 1.0,
    };
    let root = u * (cube + 2.0 * mantissa) / (2.0 * cube + mantissa) * factor;
    let root = root * 2f64.powi(exponent / 3);
    root.copysign(x)
}

const CBRT_TERMS: [f64; 7] = [
    0.354_895_765_043_919_84,
    1.508_191_937_815_849,
    2.114_994_941_673_713,
    2.446_931_225_635_344_4,
    1.834_692_774_836_130_8,
    0.784_932_344_976_639_2,
    0.145_263_899_385_486_37,
];
/// The cube roots of 2 and 4.
const ROOT_OF_TWO: f64 = 1.259_921_049_894_873_2;
const ROOT_OF_FOUR: f64 = 1.587_401_051_968_199_6;

fn asinh(x: f64) -> f64 {
    let size = x.abs();
    let value = if size < TINY || !x.is_finite() {
        size
    } else if size > 1.0 / TINY {
        size.ln() + std::f64::consts::LN_2
    } else if size > 2.0 {
        (2.0 * size + 1.0 / ((size * size + 1.0).sqrt() + size)).ln()
    } else {
        let square = size * size;
        (size + square / (1.0 + (1.0 + square).sqrt())).ln_1p()
    };
    value.copysign(x)
}

/// Of a number of at least 1, or NaN.
fn acosh(x: f64) -> f64 {
    if !x.is_finite() {
        x
    } else if x > 1.0 / TINY {
        x.ln() + std::f64::consts::LN_2
    } else if x > 2.0 {
        (2.0 * x - 1.0 / (x + (x * x - 1.0).sqrt())).ln()
    } else {
        let above = x - 1.0;
        (above + (2.0 * above + above * above).sqrt()).ln_1p()
    }
}

fn atanh(x: f64) -> f64 {
    let size = x.abs();
    let value = if size < TINY {
        size
    } else if size < 0.5 {
        let double = size + size;
        0.5 * (double + double * size / (1.0 - size)).ln_1p()
    } else {
        0.5 * ((size + size) / (1.0 - size)).ln_1p()
    };
    value.copysign(x)
}

fn abs(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    match one(args)? {
        DatumRef::Int16(v) => v.checked_abs().map(Datum::Int16).ok_or_else(|| integer_out_of_range("smallint")),
        DatumRef::Int32(v) => v.checked_abs().map(Datum::Int32).ok_or_else(|| integer_out_of_range("integer")),
        DatumRef::Int64(v) => v.checked_abs().map(Datum::Int64).ok_or_else(|| integer_out_of_range("bigint")),
        DatumRef::Float32(v) => Ok(Datum::Float32(v.abs())),
        _ => Err(wrong_arguments("abs")),
    }
}

fn sqrt(x: f64) -> Result<f64> {
    if x < 0.0 {
        let message = "cannot take square root of a negative number";
        return Err(Error::invalid(SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION, message));
    }
    Ok(x.sqrt())
}

fn exp(x: f64) -> Result<f64> {
    let result = x.exp();
    match (result.is_infinite() && x.is_finite(), result == 0.0 && x.is_finite()) {
        (true, _) => Err(range("overflow")),
        (_, true) => Err(range("underflow")),
        _ => Ok(result),
    }
}

fn range(what: &str) -> Error {
    Error::invalid(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("value out of range: {what}"))
}

fn logarithm(x: f64, op: fn(f64) -> f64) -> Result<f64> {
    let domain =
        |what: &str| Error::invalid(SqlState::INVALID_ARGUMENT_FOR_LOG, format!("cannot take logarithm of {what}"));
    if x == 0.0 {
        return Err(domain("zero"));
    }
    if x < 0.0 { Err(domain("a negative number")) } else { Ok(op(x)) }
}

/// An integer result in the first argument's width.
fn like(sample: DatumRef<'_>, value: i128) -> Result<Datum> {
    match sample {
        DatumRef::Int16(_) => i16::try_from(value).map(Datum::Int16).map_err(|_| integer_out_of_range("smallint")),
        DatumRef::Int32(_) => i32::try_from(value).map(Datum::Int32).map_err(|_| integer_out_of_range("integer")),
        _ => i64::try_from(value).map(Datum::Int64).map_err(|_| integer_out_of_range("bigint")),
    }
}

fn modulo(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let (a, b) = two(args)?;
    let (x, y) = (i128::from(int_of(a)?), i128::from(int_of(b)?));
    if y == 0 {
        return Err(Error::invalid(SqlState::DIVISION_BY_ZERO, "division by zero"));
    }
    like(a, x % y)
}

fn greatest_divisor(mut a: i128, mut b: i128) -> i128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.abs()
}

fn gcd(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let (a, b) = two(args)?;
    like(a, greatest_divisor(i128::from(int_of(a)?), i128::from(int_of(b)?)))
}

fn lcm(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let (a, b) = two(args)?;
    let (x, y) = (i128::from(int_of(a)?), i128::from(int_of(b)?));
    let divisor = greatest_divisor(x, y);
    like(a, if divisor == 0 { 0 } else { (x / divisor * y).abs() })
}

/// The greatest common divisor, with as many digits after the point as either number.
fn numeric_divisor(args: &[DatumRef<'_>]) -> Result<Numeric> {
    let (a, b) = two(args)?;
    let (a, b) = (numeric_of(a)?, numeric_of(b)?);
    if !a.is_finite() || !b.is_finite() {
        return Numeric::parse("NaN");
    }
    let scale = a.scale().max(b.scale());
    let (mut a, mut b) = (a.abs(), b.abs());
    while !b.is_zero() {
        (a, b) = (b.clone(), a.rem(&b)?);
    }
    a.round(scale)
}

fn numeric_multiple(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let divisor = numeric_divisor(args)?;
    let (a, b) = two(args)?;
    let (a, b) = (numeric_of(a)?, numeric_of(b)?);
    if divisor.is_nan() || divisor.is_zero() {
        return Ok(Datum::Numeric(divisor));
    }
    let multiple = a.div_integer(&divisor)?.mul(&b)?.abs();
    multiple.round(a.scale().max(b.scale())).map(Datum::Numeric)
}

fn factorial(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let n = int_of(one(args)?)?;
    if n < 0 {
        let message = "factorial of a negative number is undefined";
        return Err(Error::invalid(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message));
    }
    if n > 32177 {
        return Err(Error::invalid(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format"));
    }
    product_of(2, n).map(Datum::Numeric)
}

/// The product of all integers from one to another. By halves: a long product times each of them would be made anew each time.
fn product_of(from: i64, to: i64) -> Result<Numeric> {
    if to - from < 4 {
        return (from..=to).try_fold(Numeric::from_i64(1), |product, k| product.mul(&Numeric::from_i64(k)));
    }
    check_cancelled()?;
    let middle = from + (to - from) / 2;
    product_of(from, middle)?.mul(&product_of(middle + 1, to)?)
}

fn bucket_error(message: &str) -> Error {
    Error::invalid(SqlState(*b"2201G"), message)
}

fn width_bucket(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let [x, low, high, count] = args else { return Err(wrong_arguments("width_bucket")) };
    let (x, low, high, count) = (float_of(*x)?, float_of(*low)?, float_of(*high)?, int_of(*count)?);
    if count <= 0 {
        return Err(bucket_error("count must be greater than zero"));
    }
    if x.is_nan() || low.is_nan() || high.is_nan() {
        return Err(bucket_error("operand, lower bound, and upper bound cannot be NaN"));
    }
    if low.is_infinite() || high.is_infinite() {
        return Err(bucket_error("lower and upper bounds must be finite"));
    }
    let (from, to, x) = if low < high { (low, high, x) } else { (-low, -high, -x) };
    if low == high {
        return Err(bucket_error("lower bound cannot equal upper bound"));
    }
    let bucket = if x < from {
        0
    } else if x >= to {
        count + 1
    } else {
        let count = count as f64;
        let bucket = count * (x - from) / (to - from);
        // Of bounds whose distance is no number, halves.
        let bucket =
            if bucket.is_finite() { bucket } else { count * ((x / 2.0 - from / 2.0) / (to / 2.0 - from / 2.0)) };
        (bucket + 1.0) as i64
    };
    i32::try_from(bucket).map(Datum::Int32).map_err(|_| integer_out_of_range("integer"))
}

fn width_bucket_numeric(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let [x, low, high, count] = args else { return Err(wrong_arguments("width_bucket")) };
    let (x, low, high, count) = (numeric_of(*x)?, numeric_of(*low)?, numeric_of(*high)?, int_of(*count)?);
    if count <= 0 {
        return Err(bucket_error("count must be greater than zero"));
    }
    if x.is_nan() || low.is_nan() || high.is_nan() {
        return Err(bucket_error("operand, lower bound, and upper bound cannot be NaN"));
    }
    if !low.is_finite() || !high.is_finite() {
        return Err(bucket_error("lower and upper bounds must be finite"));
    }
    if low.compare(&high).is_eq() {
        return Err(bucket_error("lower bound cannot equal upper bound"));
    }
    let (from, to, x) = if low.compare(&high).is_lt() { (low, high, x) } else { (low.neg(), high.neg(), x.neg()) };
    let bucket = if x.compare(&from).is_lt() {
        0
    } else if x.compare(&to).is_ge() {
        count + 1
    } else {
        // A rounded quotient, as PostgreSQL has it: just below the upper bound it may be the bucket after the last.
        let quotient = x.sub(&from)?.mul(&Numeric::from_i64(count))?.div(&to.sub(&from)?)?;
        quotient.floor()?.to_i64().unwrap_or(0) + 1
    };
    i32::try_from(bucket).map(Datum::Int32).map_err(|_| integer_out_of_range("integer"))
}
