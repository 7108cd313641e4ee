//! Making and taking apart UUIDs: version 4 (random) and version 7 (time first, so that keys arrive nearly in order).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use heliosdb_types::datetime::timestamptz_add_interval;
use heliosdb_types::{Datum, DatumRef, Error, PhysicalType, Result, SqlType};

use super::Facts;
use crate::func::{self, CastKind, Function, Typed};

/// The smallest step between two times in version 7: a millisecond has 4096 parts there.
const STEP_NANOS: i64 = 1_000_000 / 4096 + 1;

/// The time of the last version 7 made by this process, so that each is larger than the one before.
static LAST_NANOS: AtomicI64 = AtomicI64::new(0);

/// `None`: not a function of UUIDs.
pub(super) fn call(facts: &Arc<Facts>, name: &str, args: &[Typed]) -> Option<Result<Typed>> {
    match (name, args) {
        ("gen_random_uuid" | "uuidv4", []) => Some(Ok(made(facts, name, Vec::new(), |facts, _| Ok(random(facts))))),
        ("uuidv7", []) => Some(Ok(made(facts, name, Vec::new(), |facts, _| version_7(facts, None)))),
        ("uuidv7", [shift]) => Some(shifted(facts, name, shift)),
        ("uuid_extract_version", [of]) => Some(extract(facts, name, of, SqlType::Int2, version)),
        ("uuid_extract_timestamp", [of]) => Some(extract(facts, name, of, SqlType::Timestamptz(None), timestamp)),
        _ => None,
    }
}

/// A call that gives another value for every row.
fn made(
    facts: &Arc<Facts>,
    name: &str,
    args: Vec<Typed>,
    make: impl Fn(&Facts, &[DatumRef<'_>]) -> Result<[u8; 16]> + Send + Sync + 'static,
) -> Typed {
    let captured = Arc::clone(facts);
    let types = args.iter().map(Typed::physical).collect();
    let function =
        Function::strict(name, name, types, PhysicalType::Uuid, move |values| make(&captured, values).map(Datum::Uuid));
    Typed::new(function.volatile().call(args.into_iter().map(|arg| arg.expr).collect()), SqlType::Uuid)
}

fn shifted(facts: &Arc<Facts>, name: &str, shift: &Typed) -> Result<Typed> {
    let shift = func::cast(shift.clone(), &SqlType::Interval, CastKind::Implicit, &facts.func_context())?;
    Ok(made(facts, name, vec![shift], |facts, values| match values {
        [DatumRef::Interval(shift)] => version_7(facts, Some(*shift)),
        _ => Err(Error::internal("uuidv7 of an interval")),
    }))
}

fn random(facts: &Facts) -> [u8; 16] {
    let mut bytes = [0; 16];
    facts.engine.options.entropy.fill(&mut bytes);
    marked(bytes, 4)
}

/// The version and RFC 9562's variant, put into their bits.
fn marked(mut bytes: [u8; 16], version: u8) -> [u8; 16] {
    bytes[6] = (bytes[6] & 0x0F) | (version << 4);
    bytes[8] = (bytes[8] & 0x3F) | 0x80;
    bytes
}

/// 48 bits of milliseconds since 1970, 12 bits of the millisecond's fraction, 62 random bits.
fn version_7(facts: &Facts, shift: Option<heliosdb_types::Interval>) -> Result<[u8; 16]> {
    let now = facts.engine.options.clock.now_micros().saturating_mul(1000);
    let later = |last: i64| Some(now.max(last.saturating_add(STEP_NANOS)));
    let last = LAST_NANOS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later).unwrap_or(now);
    let mut nanos = now.max(last.saturating_add(STEP_NANOS));
    if let Some(shift) = shift {
        let micros = timestamptz_add_interval(nanos / 1000, shift, facts.text.time_zone.as_ref())?;
        nanos = micros.saturating_mul(1000).saturating_add(nanos % 1000);
    }
    let mut bytes = random(facts);
    let millis = nanos.div_euclid(1_000_000) as u64;
    let fraction = (nanos.rem_euclid(1_000_000) as u64 * 4096 / 1_000_000) as u16;
    let [_, _, time @ ..] = millis.to_be_bytes();
    bytes[..6].copy_from_slice(&time);
    bytes[6..8].copy_from_slice(&fraction.to_be_bytes());
    Ok(marked(bytes, 7))
}

fn extract(facts: &Arc<Facts>, name: &str, of: &Typed, returns: SqlType, read: fn([u8; 16]) -> Datum) -> Result<Typed> {
    let of = match of.sql_type {
        SqlType::Uuid => of.clone(),
        SqlType::Unknown => func::cast(of.clone(), &SqlType::Uuid, CastKind::Implicit, &facts.func_context())?,
        _ => return Err(func::undefined(name, std::slice::from_ref(of))),
    };
    let physical = returns.physical().ok_or_else(|| Error::internal("a stored type"))?;
    let function = Function::strict(name, name, vec![PhysicalType::Uuid], physical, move |values| match values {
        [DatumRef::Uuid(bytes)] => Ok(read(*bytes)),
        _ => Err(Error::internal("a uuid")),
    });
    Ok(Typed::new(function.call(vec![of.expr]), returns))
}

/// NULL for another variant than RFC 9562's.
fn version(bytes: [u8; 16]) -> Datum {
    if bytes[8] & 0xC0 != 0x80 { Datum::Null } else { Datum::Int16(i16::from(bytes[6] >> 4)) }
}

/// The time inside versions 1 and 7; NULL for others.
fn timestamp(bytes: [u8; 16]) -> Datum {
    let [a, b, c, d, e, f, g, h, ..] = bytes;
    match version(bytes) {
        Datum::Int16(7) => {
            let millis = u64::from_be_bytes([0, 0, a, b, c, d, e, f]) as i64;
            Datum::TimestampTz(millis.saturating_mul(1000))
        }
        Datum::Int16(1) => {
            // Tenths of microseconds since 1582-10-15.
            let ticks = u64::from_be_bytes([g & 0x0F, h, e, f, a, b, c, d]) as i64;
            Datum::TimestampTz(ticks / 10 - 12_219_292_800_000_000)
        }
        _ => Datum::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_times_are_read() {
        let v7 = marked(0x0199_0000_0000_7000_8000_0000_0000_0000u128.to_be_bytes(), 7);
        assert_eq!(version(v7), Datum::Int16(7));
        assert_eq!(timestamp(v7), Datum::TimestampTz(0x0199_0000_0000 * 1000));
        // RFC 9562, A.1: C232AB00-9414-11EC-B3C8-9F6BDECED846 is 2022-02-22 19:22:22 UTC.
        let v1 = 0xC232_AB00_9414_11EC_B3C8_9F6B_DECE_D846u128.to_be_bytes();
        assert_eq!(timestamp(v1), Datum::TimestampTz(1_645_557_742_000_000));
        assert_eq!(version([0; 16]), Datum::Null);
        assert_eq!(timestamp(marked([9; 16], 4)), Datum::Null);
    }
}
