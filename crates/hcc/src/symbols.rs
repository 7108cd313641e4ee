//! FSST symbol tables: training and compressing through `fsst-rs`; expanding and comparing with our own checked loops,
//! because stored codes are not to be trusted.
#![allow(unsafe_code)]

use std::cmp::Ordering;

use fsst::Compressor;
use heliosdb_types::Result;

use crate::layout::{Reader, Writer, corrupt};

const ESCAPE: u8 = 255;

/// Writes a compressor's symbol table: `count u64 | symbols 8 bytes each | lengths 1 byte each`.
pub(crate) fn write_table(writer: &mut Writer, compressor: &Compressor) {
    let (symbols, lengths) = (compressor.symbol_table(), compressor.symbol_lengths());
    writer.u64(symbols.len() as u64);
    symbols.iter().for_each(|symbol| writer.raw(&symbol.to_u64().to_le_bytes()));
    writer.raw(lengths);
}

/// A stored symbol table. Unused codes have length 0, which expansion reports as damage.
pub(crate) struct SymbolTable {
    symbols: [[u8; 8]; 256],
    lengths: [u8; 256],
}

impl std::fmt::Debug for SymbolTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SymbolTable({} symbols)", self.lengths.iter().filter(|len| **len > 0).count())
    }
}

impl SymbolTable {
    pub(crate) fn read(reader: &mut Reader) -> Result<SymbolTable> {
        let count = reader.u64()?;
        if count > u64::from(ESCAPE) {
            return Err(corrupt("symbol table has more than 255 symbols"));
        }
        let mut table = SymbolTable { symbols: [[0; 8]; 256], lengths: [0; 256] };
        for symbol in table.symbols.iter_mut().take(count as usize) {
            *symbol = reader.u64()?.to_le_bytes();
        }
        for length in table.lengths.iter_mut().take(count as usize) {
            *length = reader.u8()?;
            if !(1..=8).contains(length) {
                return Err(corrupt("symbol length is not 1 to 8"));
            }
        }
        Ok(table)
    }

    /// Expands `codes` into `out` from `at` and returns where it stopped. `out` needs 8 spare bytes behind the result;
    /// damaged codes and a short buffer give an error.
    pub(crate) fn expand(&self, codes: &[u8], out: &mut [u8], at: usize) -> Result<usize> {
        // Eight bytes a code is the most there can be; with that much room no write needs a check.
        if out.len().checked_sub(at).is_some_and(|room| room >= codes.len() * 8) {
            self.expand_roomy(codes, out, at)
        } else {
            self.expand_checked(codes, out, at)
        }
    }

    /// `out` has eight bytes for every code behind `at`.
    fn expand_roomy(&self, codes: &[u8], out: &mut [u8], at: usize) -> Result<usize> {
        let target = out[at..].as_mut_ptr();
        let (mut len, mut known, mut index) = (0_usize, true, 0);
        while let Some(&code) = codes.get(index) {
            if code == ESCAPE {
                let Some(&byte) = codes.get(index + 1) else {
                    return Err(corrupt("compressed string ends inside an escape"));
                };
                // SAFETY: each code so far advanced `len` by at most 8, so at least 8 bytes are left.
                unsafe { target.add(len).write(byte) };
                len += 1;
                index += 2;
            } else {
                // SAFETY: as above; lengths are 8 at most.
                unsafe { target.add(len).cast::<[u8; 8]>().write(self.symbols[usize::from(code)]) };
                let length = usize::from(self.lengths[usize::from(code)]);
                known &= length != 0;
                len += length;
                index += 1;
            }
        }
        if known { Ok(at + len) } else { Err(corrupt("compressed string has an unknown symbol")) }
    }

    fn expand_checked(&self, codes: &[u8], out: &mut [u8], mut at: usize) -> Result<usize> {
        let mut codes = codes.iter();
        while let Some(&code) = codes.next() {
            if code == ESCAPE {
                let (Some(slot), Some(&byte)) = (out.get_mut(at), codes.next()) else {
                    return Err(corrupt("compressed string ends inside an escape"));
                };
                *slot = byte;
                at += 1;
            } else {
                let length = usize::from(self.lengths[usize::from(code)]);
                let Some(slot) = out.get_mut(at..at + 8).filter(|_| length != 0) else {
                    return Err(corrupt("compressed string has an unknown symbol or is longer than declared"));
                };
                slot.copy_from_slice(&self.symbols[usize::from(code)]);
                at += length;
            }
        }
        Ok(at)
    }

    /// Appends the expanded string to `out`.
    pub(crate) fn append(&self, codes: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        out.resize(start + codes.len() * 8, 0);
        let end = self.expand(codes, out, start);
        out.truncate(*end.as_ref().unwrap_or(&start));
        end.map(|_| ())
    }

    /// The pieces a compressed string consists of; an unknown code yields an empty piece.
    fn pieces<'a>(&'a self, codes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let code = *codes.get(at)?;
            if code == ESCAPE {
                at += 2;
                return codes.get(at - 1..at);
            }
            at += 1;
            let length = usize::from(self.lengths[usize::from(code)]);
            self.symbols[usize::from(code)].get(..length)
        })
    }

    /// Compares a compressed string with `other`, expanding no more than their common prefix.
    pub(crate) fn compare(&self, codes: &[u8], mut other: &[u8]) -> Ordering {
        for piece in self.pieces(codes) {
            let common = piece.len().min(other.len());
            let (head, rest) = other.split_at(common);
            match piece[..common].cmp(head) {
                Ordering::Equal if piece.len() > common => return Ordering::Greater,
                Ordering::Equal => other = rest,
                unequal => return unequal,
            }
        }
        if other.is_empty() { Ordering::Equal } else { Ordering::Less }
    }

    pub(crate) fn starts_with(&self, codes: &[u8], mut prefix: &[u8]) -> bool {
        for piece in self.pieces(codes) {
            let common = piece.len().min(prefix.len());
            if piece[..common] != prefix[..common] {
                return false;
            }
            prefix = &prefix[common..];
            if prefix.is_empty() {
                break;
            }
        }
        prefix.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::fsst::compress;

    fn table_of(compressor: &Compressor) -> SymbolTable {
        let mut writer = Writer::default();
        write_table(&mut writer, compressor);
        SymbolTable::read(&mut Reader::new(writer.finish().into())).unwrap()
    }

    #[test]
    fn compares_as_the_expanded_strings_do() {
        let words: Vec<String> =
            (0..400).map(|i| format!("furiously final deposits {}{}", i % 7, "sleep ".repeat(i % 4))).collect();
        let mut values: Vec<&[u8]> = words.iter().map(|w| w.as_bytes()).collect();
        values.extend([&b""[..], &[0xff, 0x00, 0xfe], b"\xff", b"z"]);
        let compressor = Compressor::train(&values);
        let table = table_of(&compressor);
        let compressed = compress(&compressor, &values);
        assert!(compressed.codes.len() * 2 < values.iter().map(|v| v.len()).sum());
        let mut start = 0;
        for (value, end) in values.iter().zip(&compressed.ends) {
            let codes = &compressed.codes[start..*end as usize];
            start = *end as usize;
            let mut out = b"x".to_vec();
            table.append(codes, &mut out).unwrap();
            assert_eq!(&out[1..], *value);
            for other in values.iter().step_by(7).chain([&&b"furiously"[..], &&b"furiously final deposits 3x"[..]]) {
                assert_eq!(table.compare(codes, other), value.cmp(other));
                assert_eq!(table.starts_with(codes, other), value.starts_with(other));
            }
        }
    }

    #[test]
    fn damaged_codes_are_errors() {
        let table = table_of(&Compressor::train(&vec![&b"aaaa"[..]]));
        let mut out = Vec::new();
        assert!(table.append(&[ESCAPE], &mut out).is_err());
        assert!(table.append(&[254], &mut out).is_err());
        assert!(table.expand(&[ESCAPE, b'x', ESCAPE, b'y'], &mut [0; 1], 0).is_err());
    }
}
