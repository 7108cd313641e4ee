//! Integers and floats as text.

use std::fmt::Write;

use crate::numeric::precision_overflow;
use crate::text::is_space;
use crate::{Error, Numeric, Result, SqlState};

pub(super) fn invalid_syntax(type_name: &str, text: &str) -> Error {
    Error::invalid(
        SqlState::INVALID_TEXT_REPRESENTATION,
        format!("invalid input syntax for type {type_name}: \"{text}\""),
    )
}

fn out_of_range(type_name: &str, text: &str) -> Error {
    Error::invalid(
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        format!("value \"{text}\" is out of range for type {type_name}"),
    )
}

/// The common case: a sign and at most 18 digits.
pub(super) fn plain_integer(text: &str) -> Option<i64> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut value = 0i64;
    for byte in digits.bytes() {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(byte - b'0');
    }
    Some(if negative { -value } else { value })
}

/// Reads an integer within `min..=max`: decimal digits only, as PostgreSQL 15 does.
pub(super) fn parse_integer(text: &str, type_name: &str, min: i64, max: i64) -> Result<i64> {
    let trimmed = text.trim_matches(is_space);
    let (negative, body) = match trimmed.as_bytes().first() {
        Some(b'-') => (true, &trimmed[1..]),
        Some(b'+') => (false, &trimmed[1..]),
        _ => (false, trimmed),
    };
    let mut value = 0i128;
    for byte in body.bytes() {
        let digit = char::from(byte).to_digit(10).ok_or_else(|| invalid_syntax(type_name, text))?;
        value = (value * 10 + i128::from(digit)).min(1 << 100);
    }
    if body.is_empty() {
        return Err(invalid_syntax(type_name, text));
    }
    let value = if negative { -value } else { value };
    match i64::try_from(value) {
        Ok(value) if (min..=max).contains(&value) => Ok(value),
        _ => Err(out_of_range(type_name, text)),
    }
}

/// Strips blanks and checks that what is left is a number Rust and PostgreSQL read alike.
fn float_body<'a>(text: &'a str, type_name: &str) -> Result<&'a str> {
    let trimmed = text.trim_matches(is_space);
    let unsigned = trimmed.trim_start_matches(['+', '-']);
    let word = ["nan", "inf", "infinity"].iter().any(|word| unsigned.eq_ignore_ascii_case(word));
    let number = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    if trimmed.len() - unsigned.len() > 1 || !(word || number) {
        return Err(invalid_syntax(type_name, text));
    }
    Ok(trimmed)
}

fn float_range(type_name: &str, text: &str) -> Error {
    Error::invalid(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("\"{text}\" is out of range for type {type_name}"))
}

/// Whether the text of a number has a digit other than 0 before its exponent.
fn has_nonzero_digit(body: &str) -> bool {
    body.bytes().take_while(|b| !matches!(b, b'e' | b'E')).any(|b| (b'1'..=b'9').contains(&b))
}

fn names_infinity(body: &str) -> bool {
    body.trim_start_matches(['+', '-']).starts_with(['i', 'I'])
}

pub(super) fn parse_float8(text: &str) -> Result<f64> {
    let body = float_body(text, "double precision")?;
    let value: f64 = body.parse().map_err(|_| invalid_syntax("double precision", text))?;
    if (value.is_infinite() && !names_infinity(body)) || (value == 0.0 && has_nonzero_digit(body)) {
        return Err(float_range("double precision", text));
    }
    Ok(if value.is_nan() { f64::NAN } else { value })
}

pub(super) fn parse_float4(text: &str) -> Result<f32> {
    let body = float_body(text, "real")?;
    let value: f32 = body.parse().map_err(|_| invalid_syntax("real", text))?;
    if (value.is_infinite() && !names_infinity(body)) || (value == 0.0 && has_nonzero_digit(body)) {
        return Err(float_range("real", text));
    }
    Ok(if value.is_nan() { f32::NAN } else { value })
}

/// The unscaled value of `numeric(precision, scale)`, p <= 38: rounded, then checked.
pub(super) fn parse_decimal(text: &str, precision: u8, scale: i8) -> Result<i128> {
    if let Some(unscaled) = parse_plain_decimal(text, precision, scale) {
        return Ok(unscaled);
    }
    let number = Numeric::parse(text)?.with_typmod(u16::from(precision), i16::from(scale))?;
    if number.is_nan() {
        return Err(Error::unsupported(format!("NaN in numeric({precision},{scale})")));
    }
    number.to_unscaled(scale).ok_or_else(|| precision_overflow(u16::from(precision), i16::from(scale)))
}

/// The common case without any allocation: sign, digits, a point, at most `scale` decimals, and it fits.
fn parse_plain_decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (negative, body) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mut value, mut decimals, mut point, mut digits) = (0u64, 0i8, false, 0u8);
    for byte in body.bytes() {
        match byte {
            b'0'..=b'9' if digits < 18 => {
                value = value * 10 + u64::from(byte - b'0');
                digits += 1;
                decimals += i8::from(point);
            }
            b'.' if !point => point = true,
            _ => return None,
        }
    }
    if digits == 0 || decimals > scale {
        return None;
    }
    let lift = 10i128.pow(u32::from((scale - decimals).unsigned_abs()));
    let unscaled = i128::from(value).checked_mul(lift)?;
    let fits = unscaled < 10i128.pow(u32::from(precision));
    fits.then_some(if negative { -unscaled } else { unscaled })
}

/// Shortest text that reads back as the same double: `1e+20`, `0.0001`, `1e-05`, `NaN`, `-Infinity`.
pub fn write_float8(value: f64, out: &mut String) {
    if put_special(value, out) {
        let bits = value.abs().to_bits();
        let parts = FloatParts::new(bits & ((1 << 52) - 1), (bits >> 52) as i64, 52, -1075);
        let shortest = inside(&parts, format!("{value:e}"), |places| format!("{value:.places$e}"));
        let even = parts.even_of_halves(&shortest).filter(|text| text.parse() == Ok(value));
        put_shortest(even.as_ref().unwrap_or(&shortest), 15, out);
    }
}

pub fn write_float4(value: f32, out: &mut String) {
    if put_special(f64::from(value), out) {
        let bits = value.abs().to_bits();
        let parts = FloatParts::new(u64::from(bits & ((1 << 23) - 1)), i64::from(bits >> 23), 23, -150);
        let shortest = inside(&parts, format!("{value:e}"), |places| format!("{value:.places$e}"));
        let even = parts.even_of_halves(&shortest).filter(|text| text.parse() == Ok(value));
        put_shortest(even.as_ref().unwrap_or(&shortest), 6, out);
    }
}

/// A float as mantissa times a power of two.
struct FloatParts {
    mantissa: u64,
    exponent: i64,
    /// The float below it is nearer than the one above.
    first_of_power: bool,
}

impl FloatParts {
    /// From the stored fraction and exponent; `fraction_bits` long, `lowest` the exponent stored as 0 stands for.
    fn new(fraction: u64, exponent: i64, fraction_bits: u32, lowest: i64) -> FloatParts {
        if exponent == 0 {
            return FloatParts { mantissa: fraction, exponent: lowest + 1, first_of_power: false };
        }
        let first_of_power = fraction == 0 && exponent > 1;
        FloatParts { mantissa: fraction | 1 << fraction_bits, exponent: lowest + exponent, first_of_power }
    }

    /// The other text of the same length where the float lies exactly between two, and `text` is the one that ends in an odd
    /// digit: PostgreSQL writes the even one.
    fn even_of_halves(&self, text: &str) -> Option<String> {
        let Decimal { digits, power } = Decimal::of(text)?;
        if digits % 2 == 0 {
            return None;
        }
        // odd * 2^(power - 1) is (2n + 1) * 5 * 10^(power - 1), half-way between n and n + 1 in the last place.
        let twos = self.mantissa.trailing_zeros();
        let odd = u128::from(self.mantissa >> twos);
        if self.exponent + i64::from(twos) != power - 1 {
            return None;
        }
        let fives = u32::try_from(power.unsigned_abs()).ok().and_then(|power| 5u128.checked_pow(power))?;
        let doubled = match power > 0 {
            true if odd % fives != 0 => return None,
            true => odd / fives,
            false => odd.checked_mul(fives)?,
        };
        let below = u64::try_from(doubled / 2).ok()?;
        let even = below + below % 2;
        if even.abs_diff(digits) != 1 {
            return None;
        }
        let (sign, exponent) = (if text.starts_with('-') { "-" } else { "" }, text.split_once('e')?.1);
        let even = even.to_string();
        let (first, rest) = even.split_at_checked(1)?;
        let point = if rest.is_empty() { "" } else { "." };
        (rest.len() == digits.to_string().len() - 1).then(|| format!("{sign}{first}{point}{rest}e{exponent}"))
    }

    /// Whether `digits * 10^power` lies exactly between this float and one beside it.
    fn is_boundary(&self, digits: u64, power: i64) -> bool {
        let m = u128::from(self.mantissa);
        let above = (2 * m + 1, self.exponent - 1);
        let below = if self.first_of_power { (4 * m - 1, self.exponent - 2) } else { (2 * m - 1, self.exponent - 1) };
        let twos = i64::from(digits.trailing_zeros());
        let odd = u128::from(digits >> digits.trailing_zeros().min(63));
        let fives = u32::try_from(power.unsigned_abs()).ok().and_then(|power| 5u128.checked_pow(power));
        [above, below].into_iter().any(|(boundary, exponent)| {
            let same = match (fives, power >= 0) {
                (Some(fives), true) => odd.checked_mul(fives) == Some(boundary),
                (Some(fives), false) => boundary.checked_mul(fives) == Some(odd),
                (None, _) => false,
            };
            same && twos + power == exponent
        })
    }
}

/// What a text like `-1.25e-7` says, without its sign: `digits * 10^power`.
struct Decimal {
    digits: u64,
    power: i64,
}

impl Decimal {
    fn of(text: &str) -> Option<Decimal> {
        let (mantissa, exponent) = text.trim_start_matches('-').split_once('e')?;
        let places = mantissa.split_once('.').map_or(0, |(_, places)| places.len()) as i64;
        let digits = mantissa.replace('.', "").parse().ok()?;
        Some(Decimal { digits, power: exponent.parse::<i64>().ok()? - places })
    }
}

/// The shortest text strictly nearer to the float than to any other: one exactly between two would be read as this one where halves
/// go to the even neighbour, which PostgreSQL does not count on.
fn inside(parts: &FloatParts, shortest: String, with_places: impl Fn(usize) -> String) -> String {
    let is_boundary = |text: &str| {
        Decimal::of(text).is_some_and(|Decimal { digits, power }| digits != 0 && parts.is_boundary(digits, power))
    };
    if parts.mantissa == 0 || !is_boundary(&shortest) {
        return shortest;
    }
    let digits = shortest.bytes().take_while(|byte| *byte != b'e').filter(u8::is_ascii_digit).count();
    (digits..18).map(with_places).find(|text| !is_boundary(text)).unwrap_or(shortest)
}

/// False if the value has been written.
fn put_special(value: f64, out: &mut String) -> bool {
    let text = if value.is_nan() {
        "NaN"
    } else if value == f64::INFINITY {
        "Infinity"
    } else if value == f64::NEG_INFINITY {
        "-Infinity"
    } else {
        return true;
    };
    out.push_str(text);
    false
}

/// Lays out Rust's shortest `d.ddde-N` as C's `%g`: scientific below 1e-4 and from 10^`limit` on.
fn put_shortest(scientific: &str, limit: i32, out: &mut String) {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    out.push_str(sign);
    if !(-4..limit).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "{mantissa}e{sign}{:02}", exponent.unsigned_abs());
        return;
    }
    let digits = || mantissa.chars().filter(char::is_ascii_digit);
    if exponent < 0 {
        out.push_str("0.");
        (exponent + 1..0).for_each(|_| out.push('0'));
        out.extend(digits());
        return;
    }
    let whole = exponent as usize + 1;
    let count = digits().count();
    for (i, digit) in digits().enumerate() {
        if i == whole {
            out.push('.');
        }
        out.push(digit);
    }
    (count..whole).for_each(|_| out.push('0'));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float4(value: f32) -> String {
        let mut out = String::new();
        write_float4(value, &mut out);
        out
    }

    fn float8(value: f64) -> String {
        let mut out = String::new();
        write_float8(value, &mut out);
        out
    }

    #[test]
    fn a_text_exactly_between_two_floats_is_not_taken() {
        // 7.5e9 is half-way to the float below: PostgreSQL writes a digit more.
        assert_eq!(float4(-5e9f32 * 1.5), "-7.5000003e+09");
        assert_eq!(float4(5e9), "5e+09");
        assert_eq!(float4(16777216.0), "1.6777216e+07");
        assert_eq!(float4(0.1), "0.1");
        assert_eq!(float4(f32::MIN_POSITIVE), "1.1754944e-38");
        assert_eq!(float4(1e-45), "1e-45");
        assert_eq!(float8(1e23), "9.999999999999999e+22");
        assert_eq!(float8(9007199254740992.0), "9.007199254740992e+15");
        assert_eq!(float8(0.1 + 0.2), "0.30000000000000004");
        assert_eq!(float8(5e-324), "5e-324");
        assert_eq!(float8(-0.0), "-0");
    }

    #[test]
    #[allow(clippy::excessive_precision)] // halves between two floats
    fn half_way_between_two_texts_the_even_one_is_written() {
        assert_eq!(float4(2461366.25), "2.4613662e+06");
        assert_eq!(float4(-2461366.75), "-2.4613668e+06");
        assert_eq!(float4(2488235.75), "2.4882358e+06");
        assert_eq!(float4(2461366.125), "2.461366e+06");
        assert_eq!(float8(1125899906842624.25), "1.1258999068426242e+15");
        assert_eq!(float8(1125899906842624.75), "1.1258999068426248e+15");
        assert_eq!(float8(0.5), "0.5");
        assert_eq!(float8(2.5), "2.5");
        assert_eq!(float8(4503599627370497.5), "4.503599627370498e+15");
    }

    #[test]
    fn what_is_written_is_read_as_the_same_float() {
        let mut bits = 0x9e37_79b9_7f4a_7c15u64;
        for _ in 0..100_000 {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (small, large) = (f32::from_bits((bits >> 32) as u32), f64::from_bits(bits));
            assert!(small.is_nan() || float4(small).parse::<f32>().is_ok_and(|read| read == small), "{small:e}");
            assert!(large.is_nan() || float8(large).parse::<f64>().is_ok_and(|read| read == large), "{large:e}");
        }
    }
}
