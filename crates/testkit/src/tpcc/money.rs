//! Decimals with a fixed number of places over the wire, in PostgreSQL's binary form.

use std::error::Error;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

/// Hundredths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cents(pub i64);

/// Ten-thousandths: taxes and discounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate(pub i64);

impl ToSql for Cents {
    fn to_sql(&self, _type: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        // Groups of four decimal digits, the last one the two places and two zeroes.
        let magnitude = self.0.unsigned_abs();
        let (mut whole, places) = (magnitude / 100, (magnitude % 100 * 100) as i16);
        let mut groups = vec![places];
        while whole > 0 {
            groups.push((whole % 10_000) as i16);
            whole /= 10_000;
        }
        groups.reverse();
        out.put_i16(i16::try_from(groups.len())?);
        out.put_i16(i16::try_from(groups.len())? - 2);
        out.put_u16(if self.0 < 0 { 0x4000 } else { 0 });
        out.put_i16(2);
        groups.iter().for_each(|group| out.put_i16(*group));
        Ok(IsNull::No)
    }

    fn accepts(sql_type: &Type) -> bool {
        *sql_type == Type::NUMERIC
    }

    to_sql_checked!();
}

/// The value in units of 10^-`places`.
fn read(raw: &[u8], places: i32) -> Result<i64, Box<dyn Error + Sync + Send>> {
    let mut words = raw.chunks_exact(2).map(|word| i16::from_be_bytes([word[0], word[1]]));
    let (Some(_), Some(weight), Some(sign), Some(_)) = (words.next(), words.next(), words.next(), words.next()) else {
        return Err("a numeric without a head".into());
    };
    let mut value = 0i128;
    for (at, group) in words.enumerate() {
        let exponent = 4 * (i32::from(weight) - at as i32) + places;
        value += match exponent {
            0.. => i128::from(group) * 10i128.pow(exponent.unsigned_abs()),
            _ => i128::from(group) / 10i128.pow(exponent.unsigned_abs().min(30)),
        };
    }
    match sign.cast_unsigned() {
        0 => Ok(i64::try_from(value)?),
        0x4000 => Ok(i64::try_from(-value)?),
        _ => Err("not a number".into()),
    }
}

macro_rules! readable {
    ($name:ident, $places:literal) => {
        impl<'a> FromSql<'a> for $name {
            fn from_sql(_type: &Type, raw: &'a [u8]) -> Result<$name, Box<dyn Error + Sync + Send>> {
                read(raw, $places).map($name)
            }

            fn accepts(sql_type: &Type) -> bool {
                *sql_type == Type::NUMERIC
            }
        }
    };
}

readable!(Cents, 2);
readable!(Rate, 4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cents_survive_the_wire() {
        for cents in [0, 1, 99, 100, -5, 123_456, 999_999, 1_000_000, -123_456_789_012, 10_000 * 100, 30_000_000] {
            let mut out = BytesMut::new();
            Cents(cents).to_sql(&Type::NUMERIC, &mut out).unwrap();
            assert_eq!(read(&out, 2).unwrap(), cents);
            assert_eq!(read(&out, 4).unwrap(), cents * 100);
        }
    }
}
