//! PostgreSQL's binary format: `ndigits, weight, sign, dscale` and base-10000 digits, all 16-bit big-endian.

use super::digits::{BASE, Digits, Value};
use super::{NUMERIC_SCALE_MAX, Numeric};
use crate::{Error, Result, SqlState};

const SIGN_POSITIVE: u16 = 0x0000;
const SIGN_NEGATIVE: u16 = 0x4000;
const SIGN_NAN: u16 = 0xC000;
const SIGN_INFINITY: u16 = 0xD000;
const SIGN_NEGATIVE_INFINITY: u16 = 0xF000;
/// What PostgreSQL sends for the scale of infinity, which has none.
const INFINITY_SCALE: u16 = 0x20;

impl Numeric {
    /// Appends the binary wire form.
    pub fn write_wire(&self, out: &mut Vec<u8>) {
        let mut put = |value: u16| out.extend_from_slice(&value.to_be_bytes());
        let special = |sign: u16, dscale: u16| [0, 0, sign, dscale];
        match self.value() {
            Value::Nan => special(SIGN_NAN, 0).into_iter().for_each(put),
            Value::Infinity { negative } => {
                let sign = if negative { SIGN_NEGATIVE_INFINITY } else { SIGN_INFINITY };
                special(sign, INFINITY_SCALE).into_iter().for_each(put);
            }
            Value::Finite(number) => {
                put(number.digits.len() as u16);
                put(number.weight as i16 as u16);
                put(if number.negative { SIGN_NEGATIVE } else { SIGN_POSITIVE });
                put(number.dscale as u16);
                number.digits.iter().for_each(|&digit| put(digit));
            }
        }
    }

    /// Reads the binary wire form (22P03 if it is not one).
    pub fn from_wire(bytes: &[u8]) -> Result<Numeric> {
        let invalid = |what: &str| {
            Error::invalid(
                SqlState::INVALID_BINARY_REPRESENTATION,
                format!("invalid {what} in external \"numeric\" value"),
            )
        };
        let mut words = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
        let mut head = || words.next().ok_or_else(|| invalid("length"));
        let (count, weight, sign, dscale) = (head()?, head()? as i16, head()?, i32::from(head()?));
        let digits: Vec<u16> = words.collect();
        if digits.len() != usize::from(count) || !bytes.len().is_multiple_of(2) {
            return Err(invalid("length"));
        }
        match sign {
            SIGN_NAN => return Ok(Numeric::nan()),
            SIGN_INFINITY => return Ok(Numeric::infinity()),
            SIGN_NEGATIVE_INFINITY => return Ok(Numeric::negative_infinity()),
            SIGN_POSITIVE | SIGN_NEGATIVE => {}
            _ => return Err(invalid("sign")),
        }
        if dscale > NUMERIC_SCALE_MAX {
            return Err(invalid("scale"));
        }
        if digits.iter().any(|&digit| u32::from(digit) >= BASE) {
            return Err(invalid("digit"));
        }
        let mut number = Digits { negative: sign == SIGN_NEGATIVE, weight: i32::from(weight), digits, dscale };
        number.normalize();
        // Digits beyond the display scale are cut, as PostgreSQL does.
        number.trunc(dscale);
        Numeric::from_digits(&number)
    }
}
