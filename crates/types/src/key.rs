//! The key codec: `memcmp` of encoded keys is PostgreSQL's order of the values (NULLs last, `DESC` inverted).
//!
//! A value is a tag byte (0x01 value, 0x02 NULL), then its body. Bodies are prefix-free, so values of several columns
//! are simply concatenated. Integers: big-endian, sign bit flipped, each at its own width. Floats: total order with
//! -0 = 0 and NaN last. Decimals: a length-and-sign byte, then the magnitude's significant bytes (inverted if negative),
//! so that a key needs no declared width. Numeric: its own order-preserving bytes without the display scale. Text and
//! bytes: 0x00 becomes 0x00 0xFF, and 0x00 0x00 ends. Interval: total microseconds with 30-day months.
//! Descending inverts every byte, tag included.

use crate::numeric::{key_prefix_len, sort_bytes};
use crate::{Datum, DatumRef, Error, Interval, Numeric, PhysicalType, Result};

const TAG_VALUE: u8 = 0x01;
const TAG_NULL: u8 = 0x02;

/// Appends one value to a key.
///
/// Every value of a key column must have that column's physical type (decimals: its scale).
pub fn encode_key(out: &mut Vec<u8>, value: DatumRef<'_>, descending: bool) {
    let start = out.len();
    encode_ascending(out, value);
    if descending {
        out.iter_mut().skip(start).for_each(|byte| *byte = !*byte);
    }
}

fn encode_ascending(out: &mut Vec<u8>, value: DatumRef<'_>) {
    if value.is_null() {
        out.push(TAG_NULL);
        return;
    }
    out.push(TAG_VALUE);
    match value {
        DatumRef::Null => {}
        DatumRef::Bool(v) => out.push(u8::from(v)),
        DatumRef::Int16(v) => out.extend_from_slice(&flip16(v)),
        DatumRef::Int32(v) | DatumRef::Date(v) => out.extend_from_slice(&flip32(v)),
        DatumRef::Int64(v) | DatumRef::Time(v) | DatumRef::Timestamp(v) | DatumRef::TimestampTz(v) => {
            out.extend_from_slice(&flip64(v));
        }
        DatumRef::Float32(v) => {
            let canonical = if v.is_nan() { f32::NAN.abs() } else { v + 0.0 };
            let bits = canonical.to_bits();
            out.extend_from_slice(&(if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }).to_be_bytes());
        }
        DatumRef::Float64(v) => {
            let canonical = if v.is_nan() { f64::NAN.abs() } else { v + 0.0 };
            let bits = canonical.to_bits();
            out.extend_from_slice(&(if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }).to_be_bytes());
        }
        DatumRef::Decimal { unscaled, .. } => encode_i128(out, unscaled),
        DatumRef::Numeric(bytes) => out.extend_from_slice(sort_bytes(bytes)),
        DatumRef::Text(v) => encode_escaped(out, v.as_bytes()),
        DatumRef::Bytes(v) => encode_escaped(out, v),
        DatumRef::Interval(v) => out.extend_from_slice(&((v.total_micros() as u128) ^ (1 << 127)).to_be_bytes()),
        DatumRef::Uuid(v) => out.extend_from_slice(&v),
    }
}

impl Interval {
    /// The value PostgreSQL compares intervals by: months have 30 days, days 24 hours.
    pub fn total_micros(self) -> i128 {
        (i128::from(self.months) * 30 + i128::from(self.days)) * 86_400_000_000 + i128::from(self.micros)
    }
}

fn flip16(v: i16) -> [u8; 2] {
    ((v as u16) ^ (1 << 15)).to_be_bytes()
}

fn flip32(v: i32) -> [u8; 4] {
    ((v as u32) ^ (1 << 31)).to_be_bytes()
}

fn flip64(v: i64) -> [u8; 8] {
    ((v as u64) ^ (1 << 63)).to_be_bytes()
}

/// 0x80 plus (minus, if negative) the number of magnitude bytes, then those bytes.
fn encode_i128(out: &mut Vec<u8>, v: i128) {
    let bytes = v.unsigned_abs().to_be_bytes();
    let skip = (v.unsigned_abs().leading_zeros() / 8) as usize;
    let len = (bytes.len() - skip) as u8;
    if v < 0 {
        out.push(0x80 - len);
        out.extend(bytes.iter().skip(skip).map(|byte| !byte));
    } else {
        out.push(0x80 + len);
        out.extend(bytes.iter().skip(skip));
    }
}

fn encode_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len() + 2);
    for &byte in bytes {
        out.push(byte);
        if byte == 0 {
            out.push(0xFF);
        }
    }
    out.extend_from_slice(&[0, 0]);
}

/// Whether [`decode_key`] gives back exactly the value that was encoded.
///
/// False for floats (-0 and NaN payloads), numeric (its display scale) and interval (its parts): keys hold what
/// *compares equal*, so a reader that needs the stored value must take it from the row.
pub fn key_is_exact(physical: PhysicalType) -> bool {
    use PhysicalType::{Float32, Float64, Interval, Numeric};
    !matches!(physical, Float32 | Float64 | Numeric | Interval)
}

/// Decodes an ascending key of these columns. Numeric comes back with its smallest display scale; an interval column
/// is an error (its parts are gone), as are damaged or left-over bytes.
pub fn decode_key(types: &[PhysicalType], bytes: &[u8]) -> Result<Vec<Datum>> {
    let mut reader = KeyReader::new(bytes);
    let values = types.iter().map(|&physical| reader.value(physical)).collect::<Result<Vec<_>>>()?;
    if !reader.rest.is_empty() {
        return Err(damaged("bytes left over"));
    }
    Ok(values)
}

/// The number of bytes the first key column of a key takes; used to cut a key into its columns.
pub fn key_value_len(physical: PhysicalType, bytes: &[u8]) -> Result<usize> {
    let mut reader = KeyReader::new(bytes);
    match physical {
        PhysicalType::Interval if reader.rest.first() == Some(&TAG_VALUE) => {
            reader.take(17)?;
        }
        _ => {
            reader.value(physical)?;
        }
    }
    Ok(bytes.len() - reader.rest.len())
}

/// What a bound of keys of one text or bytes column, ascending, means for the column: a key is below `bound` if and only if its value is
/// below what this gives. `None` where no value says the same.
pub fn key_bound_bytes(bound: &[u8]) -> Option<Vec<u8>> {
    let (&TAG_VALUE, mut rest) = bound.split_first()? else { return None };
    let mut value = Vec::with_capacity(rest.len());
    loop {
        // A bound without the end of its text is that of everything the text begins.
        let zero = rest.iter().position(|&byte| byte == 0).unwrap_or(rest.len());
        value.extend_from_slice(rest.get(..zero)?);
        match rest.get(zero..)? {
            [] | [0, 0] => return Some(value),
            [0, 0xFF, more @ ..] => {
                value.push(0);
                rest = more;
            }
            _ => return None,
        }
    }
}

/// Bytes of an escaped value, its end included.
fn escaped_len(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0)? + 2;
        if *bytes.get(at - 1)? == 0 {
            return Some(at);
        }
    }
}

fn damaged(what: &str) -> Error {
    Error::corrupt(format!("damaged key: {what}"))
}

/// Reads values one after the other.
pub(crate) struct KeyReader<'a> {
    rest: &'a [u8],
}

impl<'a> KeyReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> KeyReader<'a> {
        KeyReader { rest: bytes }
    }

    /// A text without zero bytes, in place; `None` (and nothing read) for anything else.
    pub(crate) fn plain_text(&mut self) -> Result<Option<&'a str>> {
        let Some((&TAG_VALUE, body)) = self.rest.split_first() else { return Ok(None) };
        let zero = body.iter().position(|&byte| byte == 0).ok_or_else(|| damaged("no end of text"))?;
        let Some((text, [0, 0, rest @ ..])) = body.split_at_checked(zero) else { return Ok(None) };
        self.rest = rest;
        std::str::from_utf8(text).map(Some).map_err(|_| damaged("text is not UTF-8"))
    }

    /// Reads past a value and gives its bytes, tag included; `None` for NULL.
    pub(crate) fn slice(&mut self, physical: PhysicalType) -> Result<Option<&'a [u8]>> {
        let whole = self.rest;
        match self.byte()? {
            TAG_NULL => return Ok(None),
            TAG_VALUE => {}
            _ => return Err(damaged("unknown tag")),
        }
        let len = match physical {
            PhysicalType::Bool => 1,
            PhysicalType::Int16 => 2,
            PhysicalType::Int32 | PhysicalType::Date | PhysicalType::Float32 => 4,
            PhysicalType::Int64
            | PhysicalType::Time
            | PhysicalType::Timestamp
            | PhysicalType::TimestampTz
            | PhysicalType::Float64 => 8,
            PhysicalType::Interval | PhysicalType::Uuid => 16,
            PhysicalType::Numeric => key_prefix_len(self.rest).ok_or_else(|| damaged("not a numeric"))?,
            PhysicalType::Text | PhysicalType::Bytes => {
                escaped_len(self.rest).ok_or_else(|| damaged("no end of text"))?
            }
            PhysicalType::Decimal64 { .. } | PhysicalType::Decimal128 { .. } => {
                let head = self.rest.first().copied().ok_or_else(|| damaged("too short"))?;
                1 + usize::from(head.abs_diff(0x80))
            }
        };
        self.take(len)?;
        Ok(whole.get(..1 + len))
    }

    /// What [`Interval::total_micros`] of an interval was; `None` for NULL.
    pub(crate) fn interval_total(&mut self) -> Result<Option<i128>> {
        match self.byte()? {
            TAG_NULL => Ok(None),
            TAG_VALUE => Ok(Some((u128::from_be_bytes(self.array()?) ^ (1 << 127)) as i128)),
            _ => Err(damaged("unknown tag")),
        }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or_else(|| damaged("too short"))?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| damaged("too short"))
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn i32(&mut self) -> Result<i32> {
        Ok((u32::from_be_bytes(self.array()?) ^ (1 << 31)) as i32)
    }

    fn i64(&mut self) -> Result<i64> {
        Ok((u64::from_be_bytes(self.array()?) ^ (1 << 63)) as i64)
    }

    pub(crate) fn value(&mut self, physical: PhysicalType) -> Result<Datum> {
        match self.byte()? {
            TAG_NULL => return Ok(Datum::Null),
            TAG_VALUE => {}
            _ => return Err(damaged("unknown tag")),
        }
        Ok(match physical {
            PhysicalType::Bool => match self.byte()? {
                0 => Datum::Bool(false),
                1 => Datum::Bool(true),
                _ => return Err(damaged("not a boolean")),
            },
            PhysicalType::Int16 => Datum::Int16((u16::from_be_bytes(self.array()?) ^ (1 << 15)) as i16),
            PhysicalType::Int32 => Datum::Int32(self.i32()?),
            PhysicalType::Date => Datum::Date(self.i32()?),
            PhysicalType::Int64 => Datum::Int64(self.i64()?),
            PhysicalType::Time => Datum::Time(self.i64()?),
            PhysicalType::Timestamp => Datum::Timestamp(self.i64()?),
            PhysicalType::TimestampTz => Datum::TimestampTz(self.i64()?),
            PhysicalType::Float32 => {
                let bits = u32::from_be_bytes(self.array()?);
                Datum::Float32(f32::from_bits(if bits >> 31 == 1 { bits ^ (1 << 31) } else { !bits }))
            }
            PhysicalType::Float64 => {
                let bits = u64::from_be_bytes(self.array()?);
                Datum::Float64(f64::from_bits(if bits >> 63 == 1 { bits ^ (1 << 63) } else { !bits }))
            }
            PhysicalType::Decimal64 { scale, .. } | PhysicalType::Decimal128 { scale, .. } => {
                Datum::Decimal { unscaled: self.i128()?, scale }
            }
            PhysicalType::Numeric => {
                let len = key_prefix_len(self.rest).ok_or_else(|| damaged("not a numeric"))?;
                Datum::Numeric(Numeric::from_sort_bytes(self.take(len)?)?)
            }
            PhysicalType::Text => {
                Datum::Text(String::from_utf8(self.escaped()?).map_err(|_| damaged("text is not UTF-8"))?)
            }
            PhysicalType::Bytes => Datum::Bytes(self.escaped()?),
            PhysicalType::Interval => return Err(damaged("an interval cannot be read back from a key")),
            PhysicalType::Uuid => Datum::Uuid(self.array()?),
        })
    }

    fn i128(&mut self) -> Result<i128> {
        let head = self.byte()?;
        let (negative, len) = if head >= 0x80 { (false, head - 0x80) } else { (true, 0x80 - head) };
        if len > 16 {
            return Err(damaged("decimal too long"));
        }
        let magnitude = self
            .take(usize::from(len))?
            .iter()
            .fold(0u128, |sum, &byte| sum << 8 | u128::from(if negative { !byte } else { byte }));
        if negative {
            if magnitude > 1 << 127 {
                Err(damaged("decimal too large"))
            } else {
                Ok((magnitude as i128).wrapping_neg())
            }
        } else {
            i128::try_from(magnitude).map_err(|_| damaged("decimal too large"))
        }
    }

    fn escaped(&mut self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        loop {
            let zero = self.rest.iter().position(|&byte| byte == 0).ok_or_else(|| damaged("no end of text"))?;
            out.extend_from_slice(self.take(zero)?);
            match self.array::<2>()? {
                [0, 0xFF] => out.push(0),
                [0, 0] => return Ok(out),
                _ => return Err(damaged("bad escape")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{compare, rescale};

    /// A type and two values of it.
    fn pairs() -> impl Strategy<Value = (PhysicalType, Datum, Datum)> {
        fn pair<S: Strategy<Value = Datum> + Clone + 'static>(
            physical: PhysicalType,
            value: S,
        ) -> BoxedStrategy<(PhysicalType, Datum, Datum)> {
            let nullable = prop_oneof![9 => value, 1 => Just(Datum::Null)].boxed();
            (nullable.clone(), nullable).prop_map(move |(a, b)| (physical, a, b)).boxed()
        }
        let small_text = "[a\\x00\\x01é]{0,6}";
        let numeric = "-?[0-9]{1,12}(\\.[0-9]{0,9})?(e-?[0-9])?";
        let numeric = prop_oneof![
            8 => numeric.prop_map(|text| Numeric::parse(&text).unwrap()),
            1 => Just(Numeric::nan()),
            1 => Just(Numeric::infinity()),
            1 => Just(Numeric::negative_infinity()),
        ];
        let wide = prop_oneof![any::<i128>(), (-300i128..300), any::<i64>().prop_map(i128::from)];
        let interval = (-3i32..3, -90i32..90, -90_000_000_000i64..90_000_000_000)
            .prop_map(|(months, days, micros)| Datum::Interval(Interval { months, days, micros }));
        prop_oneof![
            pair(PhysicalType::Bool, any::<bool>().prop_map(Datum::Bool).boxed()),
            pair(PhysicalType::Int16, any::<i16>().prop_map(Datum::Int16).boxed()),
            pair(PhysicalType::Int32, any::<i32>().prop_map(Datum::Int32).boxed()),
            pair(PhysicalType::Int64, any::<i64>().prop_map(Datum::Int64).boxed()),
            pair(PhysicalType::Float32, any::<f32>().prop_map(Datum::Float32).boxed()),
            pair(PhysicalType::Float64, any::<f64>().prop_map(Datum::Float64).boxed()),
            pair(
                PhysicalType::Decimal128 { precision: 38, scale: 2 },
                wide.prop_map(|unscaled| Datum::Decimal { unscaled, scale: 2 }).boxed()
            ),
            pair(PhysicalType::Numeric, numeric.prop_map(Datum::Numeric).boxed()),
            pair(PhysicalType::Text, small_text.prop_map(Datum::Text).boxed()),
            pair(PhysicalType::Bytes, prop::collection::vec(0u8..3, 0..5).prop_map(Datum::Bytes).boxed()),
            pair(PhysicalType::Interval, interval.boxed()),
            pair(PhysicalType::Uuid, any::<[u8; 16]>().prop_map(Datum::Uuid).boxed()),
        ]
    }

    fn key(values: &[&Datum], descending: bool) -> Vec<u8> {
        let mut out = Vec::new();
        values.iter().for_each(|value| encode_key(&mut out, value.as_ref(), descending));
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn bytes_sort_as_values((physical, a, b) in pairs()) {
            let order = compare(a.as_ref(), b.as_ref());
            prop_assert_eq!(key(&[&a], false).cmp(&key(&[&b], false)), order);
            prop_assert_eq!(key(&[&a], true).cmp(&key(&[&b], true)), order.reverse());
            // As the first of two columns: equal values leave the decision to the second.
            let (low, high) = (Datum::Int32(1), Datum::Int32(2));
            prop_assert_eq!(key(&[&a, &low], false).cmp(&key(&[&b, &high], false)), order.then(std::cmp::Ordering::Less));
            prop_assert_eq!(key_value_len(physical, &key(&[&a, &b], false)).unwrap(), key(&[&a], false).len());
        }

        #[test]
        fn bounds_of_strings_are_values(
            value in prop::collection::vec(prop_oneof![0u8..3, Just(255)], 0..5),
            bound in prop::collection::vec(prop_oneof![2 => Just(0u8), 1 => 1u8..3, 2 => Just(255)], 0..9),
        ) {
            let bound = [&[TAG_VALUE], &bound[..]].concat();
            let exact = key(&[&Datum::Bytes(bound.clone())], false);
            prop_assert_eq!(key_bound_bytes(&exact), Some(bound.clone()));
            prop_assert_eq!(key_bound_bytes(&exact[..exact.len() - 2]), Some(bound.clone()));
            if let Some(of) = key_bound_bytes(&bound) {
                prop_assert_eq!(key(&[&Datum::Bytes(value.clone())], false) < bound, value < of);
            }
        }

        #[test]
        fn keys_decode_to_equal_values((physical, a, _) in pairs()) {
            prop_assume!(physical != PhysicalType::Interval);
            let bytes = key(&[&a], false);
            let decoded = decode_key(&[physical], &bytes).unwrap();
            prop_assert!(compare(decoded[0].as_ref(), a.as_ref()).is_eq());
            if key_is_exact(physical) {
                prop_assert_eq!(&decoded[0], &a);
            }
        }

        #[test]
        fn hostile_keys_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..40), (physical, _, _) in pairs()) {
            let _ = decode_key(&[physical, PhysicalType::Text], &bytes);
        }

        #[test]
        fn numeric_addition_agrees_on_both_paths(a in any::<i64>(), b in any::<i64>(), s in 0i8..10, t in 0i8..10) {
            // Beyond 36 digits addition leaves the i128 path; adding and removing 1e40 takes a value there and back.
            let (x, y) = (Numeric::from_unscaled(i128::from(a), s), Numeric::from_unscaled(i128::from(b), t));
            let far = Numeric::parse("1e40").unwrap();
            let slow = x.add(&far).unwrap().add(&y).unwrap().sub(&far).unwrap();
            prop_assert_eq!(x.add(&y).unwrap().to_string(), slow.to_string());
            let product = x.mul(&y).unwrap();
            let exact = i128::from(a) * i128::from(b);
            prop_assert_eq!(product.to_unscaled(s + t), Some(exact));
            prop_assert_eq!(x.to_unscaled(3), rescale(i128::from(a), i32::from(s), 3));
        }
    }

    #[test]
    fn equal_numbers_have_one_key_whatever_their_scale() {
        let (a, b) = (Numeric::parse("1.0").unwrap(), Numeric::parse("1.000").unwrap());
        assert_ne!(a, b);
        assert_eq!(key(&[&Datum::Numeric(a)], false), key(&[&Datum::Numeric(b)], false));
        assert_eq!(key(&[&Datum::Float64(0.0)], false), key(&[&Datum::Float64(-0.0)], false));
    }
}
