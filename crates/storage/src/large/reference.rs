//! What a row holds in place of a large value, in the value's own type.
//!
//! `the value's first bytes, whole characters of a text, zeros up to 128 | mark | first piece, pieces and length in hexadecimal`.
//! Comparable with short values as the value itself is; valid UTF-8 for a text, and no text a client can send: it holds zeros.

use heliosdb_types::DatumRef;

/// Bytes of the value a reference begins with, at most.
const HEAD_BYTES: usize = 128;
const MARK: &[u8; 13] = b"\0large value\0";
const TAIL_BYTES: usize = 16 + 8 + 16;
pub(super) const REFERENCE_BYTES: usize = HEAD_BYTES + MARK.len() + TAIL_BYTES;

/// A constant of at most this many bytes compares with a reference as with the value: a text's head is at most three bytes
/// shorter than it could be.
pub(super) const COMPARABLE_BYTES: usize = HEAD_BYTES - 4;

/// Where a value's pieces are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// Row id of the first piece; the others follow.
    pub first: u64,
    pub pieces: u32,
    /// Length of the value.
    pub bytes: u64,
}

impl Reference {
    /// What stands for `value` in its row. `value` is a text or bytes.
    pub fn encode(self, value: &DatumRef<'_>) -> Vec<u8> {
        let (bytes, head) = match value {
            DatumRef::Text(text) => (text.as_bytes(), text.floor_char_boundary(HEAD_BYTES)),
            DatumRef::Bytes(bytes) => (*bytes, bytes.len().min(HEAD_BYTES)),
            _ => (&[][..], 0),
        };
        let mut out = Vec::with_capacity(REFERENCE_BYTES);
        out.extend_from_slice(bytes.get(..head).unwrap_or_default());
        out.resize(HEAD_BYTES, 0);
        out.extend_from_slice(MARK);
        out.extend_from_slice(format!("{:016x}{:08x}{:016x}", self.first, self.pieces, self.bytes).as_bytes());
        out
    }

    /// `None`: an ordinary value.
    pub fn decode(bytes: &[u8]) -> Option<Reference> {
        if bytes.len() != REFERENCE_BYTES {
            return None;
        }
        let tail = bytes.get(HEAD_BYTES..)?.strip_prefix(MARK)?;
        let hex = |range: std::ops::Range<usize>| {
            let digits = std::str::from_utf8(tail.get(range)?).ok()?;
            let lower = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            u64::from_str_radix(digits, 16).ok().filter(|_| lower)
        };
        Some(Reference { first: hex(0..16)?, pieces: hex(16..24)? as u32, bytes: hex(24..40)? })
    }

    pub fn of(value: &DatumRef<'_>) -> Option<Reference> {
        variable(value).and_then(Reference::decode)
    }
}

/// The bytes of a text or of bytes.
pub(super) fn variable<'a>(value: &DatumRef<'a>) -> Option<&'a [u8]> {
    match value {
        DatumRef::Text(text) => Some(text.as_bytes()),
        DatumRef::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_round_trip_and_compare_as_their_values_do() {
        let reference = Reference { first: 77, pieces: 3, bytes: 700_001 };
        for character in ["a", "ü", "€", "🦀"] {
            let value = format!("x{}", character.repeat(400));
            let encoded = reference.encode(&DatumRef::Text(&value));
            assert!(std::str::from_utf8(&encoded).is_ok());
            assert_eq!(Reference::decode(&encoded), Some(reference));
            for len in 0..=COMPARABLE_BYTES {
                let cut = &value[..value.floor_char_boundary(len)];
                for constant in [cut.to_owned(), format!("{cut}\u{1}"), format!("{cut}z"), format!("{cut}\u{10FFFF}")] {
                    if constant.len() <= COMPARABLE_BYTES {
                        assert_eq!(encoded.as_slice().cmp(constant.as_bytes()), value.cmp(&constant), "{constant}");
                        assert_eq!(encoded.starts_with(constant.as_bytes()), value.starts_with(&constant));
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_almost_a_reference_is_none() {
        let encoded = Reference { first: 1, pieces: 1, bytes: 9 }.encode(&DatumRef::Bytes(&[7; 200]));
        assert!(Reference::decode(&encoded).is_some());
        for at in HEAD_BYTES..encoded.len() {
            for byte in [b'g', b'A', b'+', 0xff] {
                let mut other = encoded.clone();
                other[at] = byte;
                assert_eq!(Reference::decode(&other).is_some(), other == encoded, "{byte} at {at}");
            }
        }
        assert_eq!(Reference::decode(&encoded[1..]), None);
    }
}
