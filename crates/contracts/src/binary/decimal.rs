//! Integers and decimals as text and as PostgreSQL's binary numeric, straight from their unscaled integers.

use bytes::{BufMut, BytesMut};
use heliosdb_types::Numeric;

const PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
2021222324252627282930313233343536373839\
4041424344454647484950515253545556575859\
6061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";

/// Decimal digits of a number, right-aligned in a buffer wide enough for any u128.
struct Digits {
    buffer: [u8; 39],
    start: usize,
}

impl Digits {
    fn new(mut value: u128) -> Digits {
        let mut digits = Digits { buffer: [b'0'; 39], start: 39 };
        while value > u128::from(u64::MAX) {
            // Nineteen digits at a time, so that the slow 128-bit division runs twice at most.
            const CHUNK: u128 = 10_u128.pow(19);
            let before = digits.start;
            digits.push((value % CHUNK) as u64);
            digits.start = before - 19;
            value /= CHUNK;
        }
        digits.push(value as u64);
        digits
    }

    /// Puts digits in front; at least one.
    fn push(&mut self, mut value: u64) {
        let mut at = self.start;
        while value >= 100 {
            let pair = (value % 100) as usize * 2;
            value /= 100;
            at -= 2;
            self.buffer[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
        }
        if value >= 10 {
            let pair = value as usize * 2;
            at -= 2;
            self.buffer[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
        } else {
            at -= 1;
            self.buffer[at] = b'0' + value as u8;
        }
        self.start = at;
    }

    fn as_slice(&self) -> &[u8] {
        &self.buffer[self.start..]
    }
}

pub fn put_integer(value: i64, out: &mut BytesMut) {
    if value < 0 {
        out.put_u8(b'-');
    }
    out.extend_from_slice(Digits::new(u128::from(value.unsigned_abs())).as_slice());
}

pub fn put_unsigned(value: u64, out: &mut BytesMut) {
    out.extend_from_slice(Digits::new(u128::from(value)).as_slice());
}

/// `unscaled / 10^scale` with exactly `scale` digits after the point.
pub fn put_decimal(unscaled: i128, scale: i8, out: &mut BytesMut) {
    if unscaled < 0 {
        out.put_u8(b'-');
    }
    let digits = Digits::new(unscaled.unsigned_abs());
    let digits = digits.as_slice();
    let Ok(scale) = usize::try_from(scale) else {
        out.extend_from_slice(digits);
        if unscaled != 0 {
            out.put_bytes(b'0', usize::from(scale.unsigned_abs()));
        }
        return;
    };
    match digits.len().checked_sub(scale) {
        _ if scale == 0 => out.extend_from_slice(digits),
        None | Some(0) => {
            out.extend_from_slice(b"0.");
            out.put_bytes(b'0', scale - digits.len());
            out.extend_from_slice(digits);
        }
        Some(whole) => {
            let (whole, fraction) = digits.split_at(whole);
            out.extend_from_slice(whole);
            out.put_u8(b'.');
            out.extend_from_slice(fraction);
        }
    }
}

/// The binary form: base-10000 digits aligned at the decimal point.
pub fn put_decimal_binary(unscaled: i128, scale: i8, out: &mut BytesMut) {
    /// Below this, aligning (times 1000 at most) cannot overflow.
    const ALIGNABLE: u128 = 10_u128.pow(35);
    let magnitude = unscaled.unsigned_abs();
    let Some(places) = u32::try_from(scale).ok().filter(|_| magnitude < ALIGNABLE) else {
        let mut bytes = Vec::new();
        Numeric::from_unscaled(unscaled, scale).write_wire(&mut bytes);
        out.extend_from_slice(&bytes);
        return;
    };
    let padding = (4 - places % 4) % 4;
    let mut rest = magnitude * 10_u128.pow(padding);
    // Least significant group first.
    let mut groups = [0_u16; 10];
    let mut count = 0;
    while rest > 0 {
        groups[count] = (rest % 10_000) as u16;
        rest /= 10_000;
        count += 1;
    }
    let trailing = groups[..count].iter().take_while(|&&group| group == 0).count();
    let fraction_groups = ((places + padding) / 4) as i16;
    out.put_i16((count - trailing) as i16);
    out.put_i16(if count == 0 { 0 } else { count as i16 - fraction_groups - 1 });
    out.put_u16(if unscaled < 0 { 0x4000 } else { 0 });
    out.put_u16(places as u16);
    for &group in groups[trailing..count].iter().rev() {
        out.put_u16(group);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(unscaled: i128, scale: i8) -> String {
        let mut out = BytesMut::new();
        put_decimal(unscaled, scale, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn decimals_keep_their_scale() {
        assert_eq!(text(12345, 2), "123.45");
        assert_eq!(text(-5, 2), "-0.05");
        assert_eq!(text(0, 3), "0.000");
        assert_eq!(text(100, 2), "1.00");
        assert_eq!(text(7, 0), "7");
        assert_eq!(text(7, -2), "700");
        assert_eq!(text(10_i128.pow(19), 0), format!("1{}", "0".repeat(19)));
        assert_eq!(text(10_i128.pow(37), 37), format!("1.{}", "0".repeat(37)));
        assert_eq!(text(i128::MIN, 0), i128::MIN.to_string());
        assert_eq!(text(i128::MAX, 38), "1.70141183460469231731687303715884105727");
    }

    #[test]
    fn integers_are_written_as_the_standard_library_does() {
        for value in [0, 1, -1, 9, 10, 99, 100, 101, 12_345_678_901, i64::MIN, i64::MAX] {
            let mut out = BytesMut::new();
            put_integer(value, &mut out);
            assert_eq!(out, value.to_string());
        }
        let mut out = BytesMut::new();
        put_unsigned(u64::MAX, &mut out);
        assert_eq!(out, u64::MAX.to_string());
    }

    #[test]
    fn the_binary_form_agrees_with_numeric() {
        let values = [0, 1, 9_999, 10_000, 123_456_789, 10_i128.pow(34), 10_i128.pow(35), 10_i128.pow(38) - 1, 120_000];
        for magnitude in values {
            for unscaled in [magnitude, -magnitude] {
                for scale in 0..=38 {
                    let (mut ours, mut theirs) = (BytesMut::new(), Vec::new());
                    put_decimal_binary(unscaled, scale, &mut ours);
                    Numeric::from_unscaled(unscaled, scale).write_wire(&mut theirs);
                    assert_eq!(ours, theirs, "{unscaled} scale {scale}");
                }
            }
        }
    }
}
