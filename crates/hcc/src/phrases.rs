//! Phrases: pieces of up to 16 bytes that text is cut into, and how they are learnt from a sample.
//!
//! Learning reads the sample once, cutting it by the longest phrase known so far, and joins two neighbours that were seen
//! together often enough into a phrase of their own; so frequent words, word pairs and URL parts grow out of single bytes.
//! The idea is OnPair's (Gargiulo, Venturini, "OnPair: Short Strings Compression for Fast Random Access", 2025), itself
//! Re-Pair in one pass. Every single byte is a phrase, so any bytes can be cut, and cutting never fails.

use heliosdb_types::Result;
use rustc_hash::FxHashMap;

use crate::layout::{Reader, Writer, corrupt};

/// Codes take this many bits.
pub(crate) const CODE_BITS: u8 = 12;
/// Phrases of a table, single bytes included.
const PHRASES_MAX: usize = 1 << CODE_BITS;
const BYTES: usize = 256;
/// Bytes of a phrase, so that one is copied by one store.
pub(crate) const PHRASE_MAX: usize = 16;
/// Two phrases are joined when the sample has them together once in this many bytes (and [`SEEN_MIN`] times).
const BYTES_A_JOIN: usize = 160_000;
const SEEN_MIN: u32 = 3;

fn padded(bytes: &[u8]) -> u128 {
    let mut out = [0; PHRASE_MAX];
    out.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    u128::from_le_bytes(out)
}

fn cut(value: u128, len: u32) -> u128 {
    if len >= 16 { value } else { value & ((1 << (8 * len)) - 1) }
}

/// Entries of the tables that [`Lengths`] hashes into.
const HASH_BITS: u32 = 13;

/// Which lengths may be phrases, by how a string begins: asked before phrases are looked up, since most lengths are not.
/// Strings that hash alike share an entry, so a length may be wrong, but none is missing.
struct Lengths {
    /// By the first two bytes: bit `n` for phrases of `n` bytes, 2 or 3.
    short: Vec<u8>,
    /// By a hash of the first four: bit `n - 4` for 4 to 7.
    middle: Vec<u8>,
    /// By a hash of the first eight: bit `n - 8` for 8 to 16.
    long: Vec<u16>,
}

fn hashed(bytes: u64) -> usize {
    (bytes.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - HASH_BITS)) as usize
}

impl Lengths {
    fn new() -> Lengths {
        Lengths { short: vec![0; 1 << 16], middle: vec![0; 1 << HASH_BITS], long: vec![0; 1 << HASH_BITS] }
    }

    fn places(value: u128) -> (usize, usize, usize) {
        (value as usize & 0xffff, hashed(value as u64 & 0xffff_ffff), hashed(value as u64))
    }

    fn add(&mut self, value: u128, len: u8) {
        let (short, middle, long) = Lengths::places(value);
        match len {
            ..4 => self.short.get_mut(short).into_iter().for_each(|bits| *bits |= 1 << len),
            4..8 => self.middle.get_mut(middle).into_iter().for_each(|bits| *bits |= 1 << (len - 4)),
            8.. => self.long.get_mut(long).into_iter().for_each(|bits| *bits |= 1 << (len - 8)),
        }
    }

    /// Bit `n` is set if a phrase of `n` bytes may begin `value`.
    fn of(&self, value: u128) -> u32 {
        let (short, middle, long) = Lengths::places(value);
        let short = self.short.get(short).copied().unwrap_or(0);
        let middle = self.middle.get(middle).copied().unwrap_or(0);
        let long = self.long.get(long).copied().unwrap_or(0);
        u32::from(short) | u32::from(middle) << 4 | u32::from(long) << 8
    }
}

/// A string, then zeros, so that sixteen bytes can be loaded anywhere in it.
#[derive(Default)]
pub(crate) struct Padded {
    bytes: Vec<u8>,
}

impl Padded {
    fn fill(&mut self, value: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(value);
        self.bytes.extend_from_slice(&[0; PHRASE_MAX]);
    }

    fn at(&self, at: usize) -> u128 {
        let rest = self.bytes.get(at..).and_then(|rest| rest.first_chunk::<PHRASE_MAX>());
        rest.map_or(0, |bytes| u128::from_le_bytes(*bytes))
    }
}

/// Phrases to cut by.
pub(crate) struct Cutter {
    /// By code: the bytes, and how many.
    phrases: Vec<(u128, u8)>,
    codes: FxHashMap<(u128, u8), u16>,
    lengths: Lengths,
}

impl Cutter {
    fn new() -> Cutter {
        let phrases = (0..BYTES).map(|byte| (byte as u128, 1)).collect();
        Cutter { phrases, codes: FxHashMap::default(), lengths: Lengths::new() }
    }

    fn add(&mut self, value: u128, len: u8) -> u16 {
        let code = self.phrases.len() as u16;
        self.phrases.push((value, len));
        self.codes.insert((value, len), code);
        self.lengths.add(value, len);
        code
    }

    /// The longest phrase that a string begins with, of which `left` bytes (not 0) are left and these are the first, and its
    /// length.
    fn longest(&self, value: u128, left: usize) -> (u16, usize) {
        let mut lengths = self.lengths.of(value);
        if left < PHRASE_MAX {
            lengths &= (1 << (left + 1)) - 1;
        }
        while lengths != 0 {
            let len = 31 - lengths.leading_zeros();
            if let Some(code) = self.codes.get(&(cut(value, len), len as u8)) {
                return (*code, len as usize);
            }
            lengths ^= 1 << len;
        }
        ((value & 0xff) as u16, 1)
    }

    /// Learns phrases from a sample.
    pub(crate) fn learn(sample: &[&[u8]]) -> Cutter {
        let mut cutter = Cutter::new();
        let total: usize = sample.iter().map(|value| value.len()).sum();
        let enough = SEEN_MIN.max((total / BYTES_A_JOIN) as u32);
        let mut together: FxHashMap<(u16, u16), u32> = FxHashMap::default();
        let mut padded = Padded::default();
        for value in sample {
            padded.fill(value);
            let mut at = 0;
            let mut before: Option<(u16, usize)> = None;
            while at < value.len() {
                let (code, len) = cutter.longest(padded.at(at), value.len() - at);
                let mut now = (code, len);
                if let Some((left, left_len)) = before
                    && left_len + len <= PHRASE_MAX
                {
                    let seen = together.entry((left, code)).or_insert(0);
                    *seen += 1;
                    if *seen >= enough {
                        together.remove(&(left, code));
                        now = cutter.join(left, code).unwrap_or(now);
                        if cutter.phrases.len() == PHRASES_MAX {
                            return cutter;
                        }
                    }
                }
                before = Some(now);
                at += len;
            }
        }
        cutter
    }

    /// Makes a phrase of two, unless there is one.
    fn join(&mut self, left: u16, right: u16) -> Option<(u16, usize)> {
        let (head, head_len) = *self.phrases.get(usize::from(left))?;
        let (tail, tail_len) = *self.phrases.get(usize::from(right))?;
        let (value, len) = (head | tail << (8 * u32::from(head_len)), head_len + tail_len);
        if self.codes.contains_key(&(value, len)) {
            return None;
        }
        Some((self.add(value, len), usize::from(len)))
    }

    /// Appends the codes of a string; `padded` is scratch space.
    pub(crate) fn cut(&self, value: &[u8], padded: &mut Padded, out: &mut Vec<u16>) {
        padded.fill(value);
        let mut at = 0;
        while at < value.len() {
            let (code, len) = self.longest(padded.at(at), value.len() - at);
            out.push(code);
            at += len;
        }
    }

    /// Writes `count u64 | length of each, 1 byte | bytes one after the other`, single bytes left out.
    pub(crate) fn write(&self, writer: &mut Writer) {
        let learnt = self.phrases.get(BYTES..).unwrap_or(&[]);
        writer.u64(learnt.len() as u64);
        learnt.iter().for_each(|(_, len)| writer.u8(*len));
        learnt.iter().for_each(|(value, len)| writer.raw(&value.to_le_bytes()[..usize::from(*len)]));
    }
}

/// Phrases to expand by.
pub(crate) struct PhraseTable {
    phrases: Vec<([u8; PHRASE_MAX], u8)>,
}

impl std::fmt::Debug for PhraseTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PhraseTable({} phrases)", self.phrases.len())
    }
}

impl PhraseTable {
    pub(crate) fn read(reader: &mut Reader) -> Result<PhraseTable> {
        let count = reader.count(PHRASES_MAX - BYTES, "too many phrases")?;
        let lengths = reader.raw(count)?;
        let mut phrases: Vec<([u8; PHRASE_MAX], u8)> = Vec::with_capacity(PHRASES_MAX);
        phrases.extend((0..BYTES).map(|byte| ((byte as u128).to_le_bytes(), 1)));
        for len in lengths.as_slice() {
            if !(1..=PHRASE_MAX).contains(&usize::from(*len)) {
                return Err(corrupt("phrase length is not 1 to 16"));
            }
            let bytes = reader.raw(usize::from(*len))?;
            phrases.push((padded(bytes.as_slice()).to_le_bytes(), *len));
        }
        // Codes that name nothing expand to nothing; so every code of 12 bits can be looked up.
        phrases.resize(PHRASES_MAX, ([0; PHRASE_MAX], 0));
        Ok(PhraseTable { phrases })
    }

    /// The phrase of a code, padded with zeros, and its length.
    pub(crate) fn get(&self, code: u16) -> ([u8; PHRASE_MAX], usize) {
        match self.phrases.get(usize::from(code)) {
            Some((bytes, len)) => (*bytes, usize::from(*len)),
            None => ([0; PHRASE_MAX], 0),
        }
    }

    /// Writes a phrase to `out` at `at` and returns its end; `out` needs 16 bytes there.
    pub(crate) fn put(&self, code: u16, out: &mut [u8], at: usize) -> Option<usize> {
        let (bytes, len) = self.phrases.get(usize::from(code))?;
        *out.get_mut(at..)?.first_chunk_mut::<PHRASE_MAX>()? = *bytes;
        Some(at + usize::from(*len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_text_is_cut_into_long_phrases_and_comes_back() {
        let text: Vec<String> = (0..4000).map(|i| format!("furiously final deposits {} sleep", i % 7)).collect();
        let sample: Vec<&[u8]> = text.iter().map(|text| text.as_bytes()).collect();
        let cutter = Cutter::learn(&sample);
        let mut writer = Writer::default();
        cutter.write(&mut writer);
        let table = PhraseTable::read(&mut Reader::new(writer.finish().into())).unwrap();
        for value in [&b"furiously final deposits 3 sleep"[..], b"", b"\x00\xff\x00", "é".as_bytes()] {
            let mut codes = Vec::new();
            cutter.cut(value, &mut Padded::default(), &mut codes);
            let mut out = vec![0; codes.len() * 16 + 16];
            let mut at = 0;
            for code in &codes {
                at = table.put(*code, &mut out, at).unwrap();
            }
            assert_eq!(&out[..at], value);
            assert!(value.len() < 30 || codes.len() < 8, "{} codes", codes.len());
        }
    }

    #[test]
    fn damaged_tables_are_errors() {
        for bytes in [vec![], vec![255; 8], [&[2, 0, 0, 0, 0, 0, 0, 0, 17, 1][..], &[7; 40]].concat()] {
            assert!(PhraseTable::read(&mut Reader::new(bytes.into())).is_err());
        }
    }
}
