//! Codes into words that all blocks of a column of a segment share: URLs, host names, user agents.
//!
//! ```text
//! block: packed codes        shared section: count u64 | length u64 | spans | bytes
//! ```
//! The words come in order of first appearance, because the list grows while blocks are written; a filter therefore keeps a
//! set of codes, not a run. A block's codes are as wide as its largest needs. One dictionary for many blocks, but an ordered
//! one: Binnig, Hildenbrand, Färber, "Dictionary-based Order-preserving String Compression", SIGMOD 2009.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_buffer::NullBuffer;
use heliosdb_types::{Error, PhysicalType, Result};
use rustc_hash::FxHashMap;

use crate::Bitmap;
use crate::arrays::views_of;
use crate::cell::{Cell, string_ref};
use crate::encoded::{Encoded, Wanted, misplaced};
use crate::encoding::dictionary::{WordList, read_codes};
use crate::encoding::plain;
use crate::filter::Test;
use crate::filtering::filter_codes;
use crate::layout::{Reader, Writer};
use crate::order::comparable_bytes;
use crate::packed::{Packed, packed_bytes, width_of, write_packed};
use crate::search::search;

/// Words of a list, and their bytes, at most: what a reader keeps in memory for a column of a segment.
pub(crate) const WORDS_MAX: usize = 1 << 16;
pub(crate) const BYTES_MAX: usize = 4 << 20;

/// The list while it grows.
#[derive(Debug, Default)]
pub(crate) struct Growing {
    places: FxHashMap<Box<[u8]>, u32>,
    bytes: Vec<u8>,
    ends: Vec<u64>,
}

/// What a block would add.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Growth {
    pub words: usize,
    pub bytes: usize,
    /// The largest code after.
    pub code_max: u64,
}

impl Growing {
    /// What these distinct words would add; `None` if there is no room for them.
    pub(crate) fn growth(&self, words: &[&[u8]]) -> Option<Growth> {
        let mut growth = Growth { words: 0, bytes: 0, code_max: 0 };
        for word in words {
            match self.places.get(*word) {
                Some(place) => growth.code_max = growth.code_max.max(u64::from(*place)),
                None => {
                    (growth.words, growth.bytes) = (growth.words + 1, growth.bytes + word.len());
                    growth.code_max = (self.ends.len() + growth.words - 1) as u64;
                }
            }
        }
        let fits = self.ends.len() + growth.words <= WORDS_MAX && self.bytes.len() + growth.bytes <= BYTES_MAX;
        fits.then_some(growth)
    }

    /// The words' codes; those not known yet are added.
    pub(crate) fn codes(&mut self, words: &[&[u8]]) -> Vec<u32> {
        let mut codes = Vec::with_capacity(words.len());
        for word in words {
            let next = self.ends.len() as u32;
            let code = *self.places.entry(Box::from(*word)).or_insert(next);
            if code == next {
                self.bytes.extend_from_slice(word);
                self.ends.push(self.bytes.len() as u64);
            }
            codes.push(code);
        }
        codes
    }

    pub(crate) fn byte_len(&self) -> usize {
        self.bytes.len() + 2 * self.ends.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(crate) fn write_section(&self, writer: &mut Writer) {
        writer.u64(self.ends.len() as u64);
        plain::write_strings(writer, &[&self.bytes], &self.ends);
    }
}

/// Bytes of the block's body.
pub(crate) fn size(growth: &Growth, rows: usize) -> usize {
    16 + packed_bytes(rows, width_of(growth.code_max))
}

/// `codes` is by distinct word, `rows` names each row's.
pub(crate) fn write(writer: &mut Writer, codes: &[u32], rows: &[u32]) {
    let max = codes.iter().copied().max().unwrap_or(0);
    write_packed(writer, rows.len(), u64::from(max), |row| u64::from(codes[rows[row] as usize]));
}

/// Reads a shared section.
pub(crate) fn read_section(reader: &mut Reader, physical: PhysicalType) -> Result<WordList> {
    let count = reader.count(WORDS_MAX, "too many shared words")?;
    let (spans, data) = plain::read_strings(reader, count, physical)?;
    let bounds = spans.decode(0..count);
    let views = views_of(&bounds, &data);
    Ok(WordList { bounds, views, data })
}

pub(crate) fn read(
    reader: &mut Reader,
    physical: PhysicalType,
    rows: usize,
    words: Arc<WordList>,
) -> Result<SharedWords> {
    let codes = read_codes(reader, rows, words.len())?;
    Ok(SharedWords { physical, rows, words, codes })
}

#[derive(Debug)]
pub(crate) struct SharedWords {
    physical: PhysicalType,
    rows: usize,
    words: Arc<WordList>,
    codes: Packed,
}

impl Encoded for SharedWords {
    fn cell<'a>(&'a self, row: usize, _: &mut Vec<u8>) -> Result<Cell<'a>> {
        Ok(Cell::Ready(string_ref(self.words.get(self.codes.get(row) as usize), self.physical)?))
    }

    fn decode(&self, range: Range<usize>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        self.words.decode(&self.codes, range, nulls, self.physical)
    }

    fn take(&self, rows: &[u32], nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        self.words.take(&self.codes, rows, nulls, self.physical)
    }

    fn filter(&self, test: &Test, selection: &mut Bitmap) -> Result<()> {
        // Words of later blocks lie beyond what this block's codes can name.
        let named = (1_usize << self.codes.width().min(31)).min(self.words.len());
        if named <= self.rows / 2 {
            filter_codes(&self.codes, &self.words.keep(test, named, self.physical)?, selection);
            return Ok(());
        }
        // More words than rows to test: test those that occur, each once.
        let Test::Bytes(test) = test else { return Err(misplaced("numbers")) };
        let mut known: Vec<Option<bool>> = vec![None; named];
        selection.retain(|row| {
            let code = self.codes.get(row) as usize;
            let passes = || test.matches(comparable_bytes(self.words.get(code), self.physical));
            Ok(known.get_mut(code).is_some_and(|known| *known.get_or_insert_with(passes)))
        })
    }

    fn equal_range(&self, range: Range<usize>, wanted: &Wanted<'_>) -> Result<Option<Range<usize>>> {
        let Wanted::Bytes(wanted) = wanted else {
            return Err(Error::internal("a number was looked for among strings"));
        };
        let word = |row| self.words.get(self.codes.get(row) as usize);
        Ok(Some(search(range, |row| comparable_bytes(word(row), self.physical).cmp(wanted))))
    }
}
