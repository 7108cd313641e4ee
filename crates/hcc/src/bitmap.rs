//! A set of row positions of one block, one bit a row: which rows are still selected.

use arrow_buffer::{BooleanBuffer, Buffer};

/// From so many set bits of 64 on they come in runs.
const DENSE_BITS: u32 = 40;

/// Invariant: bits at and beyond `len` are zero, so counts and words can be used as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bitmap {
    words: Vec<u64>,
    len: usize,
}

impl Bitmap {
    pub fn all_set(len: usize) -> Bitmap {
        let mut bitmap = Bitmap { words: vec![u64::MAX; len.div_ceil(64)], len };
        bitmap.trim();
        bitmap
    }

    pub fn all_clear(len: usize) -> Bitmap {
        Bitmap { words: vec![0; len.div_ceil(64)], len }
    }

    /// Bits from Arrow; offsets are handled.
    pub fn from_bits(bits: &BooleanBuffer) -> Bitmap {
        let words = bits.bit_chunks().iter_padded().take(bits.len().div_ceil(64)).collect();
        let mut bitmap = Bitmap { words, len: bits.len() };
        bitmap.trim();
        bitmap
    }

    fn trim(&mut self) {
        let used = self.len % 64;
        if used != 0
            && let Some(last) = self.words.last_mut()
        {
            *last &= (1 << used) - 1;
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn get(&self, row: usize) -> bool {
        row < self.len && self.words.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    /// Rows beyond the end are ignored.
    pub fn set(&mut self, row: usize) {
        if row < self.len
            && let Some(word) = self.words.get_mut(row / 64)
        {
            *word |= 1 << (row % 64);
        }
    }

    /// Sets a run of rows, cut to the length.
    pub fn set_range(&mut self, range: std::ops::Range<usize>) {
        let (start, end) = (range.start, range.end.min(self.len));
        if start >= end {
            return;
        }
        let (first, last) = (start / 64, (end - 1) / 64);
        for (index, word) in self.words.iter_mut().enumerate().take(last + 1).skip(first) {
            let low = if index == first { u64::MAX << (start % 64) } else { u64::MAX };
            let high = if index == last { u64::MAX >> (63 - (end - 1) % 64) } else { u64::MAX };
            *word |= low & high;
        }
    }

    pub fn clear(&mut self, row: usize) {
        if let Some(word) = self.words.get_mut(row / 64) {
            *word &= !(1 << (row % 64));
        }
    }

    pub fn clear_all(&mut self) {
        self.words.fill(0);
    }

    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub fn none(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    pub fn all(&self) -> bool {
        self.count() == self.len
    }

    /// Keeps the rows that are in both.
    pub fn and(&mut self, other: &Bitmap) {
        for (word, other) in self.words.iter_mut().zip(other.words.iter().chain(std::iter::repeat(&0))) {
            *word &= other;
        }
    }

    /// Keeps the rows that are not in `other`.
    pub fn and_not(&mut self, other: &Bitmap) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= !other;
        }
    }

    /// Adds the rows of `other` (same length).
    pub fn or(&mut self, other: &Bitmap) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
        self.trim();
    }

    /// Set rows, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(index, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                if rest == 0 {
                    return None;
                }
                let bit = rest.trailing_zeros() as usize;
                rest &= rest - 1;
                Some(index * 64 + bit)
            })
        })
    }

    /// Set rows, ascending, as [`crate::BlockView::take`] wants them.
    pub fn rows(&self) -> Vec<u32> {
        let mut rows = Vec::with_capacity(self.count());
        for (index, &word) in self.words.iter().enumerate() {
            let (mut at, mut rest) = ((index * 64) as u32, word);
            if word.count_ones() < DENSE_BITS {
                while rest != 0 {
                    rows.push(at + rest.trailing_zeros());
                    rest &= rest - 1;
                }
                continue;
            }
            // Run by run: of 64 rows few are missing.
            while rest != 0 {
                let gap = rest.trailing_zeros();
                rest >>= gap;
                let run = rest.trailing_ones();
                rows.extend(at + gap..at + gap + run);
                rest = rest.checked_shr(run).unwrap_or(0);
                at += gap + run;
            }
        }
        rows
    }

    /// The bits for Arrow.
    pub fn to_bits(&self) -> BooleanBuffer {
        BooleanBuffer::new(Buffer::from_slice_ref(&self.words), 0, self.len)
    }

    pub(crate) fn words_mut(&mut self) -> &mut [u64] {
        &mut self.words
    }

    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    /// Keeps the rows whose bit is set in `words` (same layout; missing words are zero).
    pub(crate) fn and_words(&mut self, words: &[u64]) {
        for (word, other) in self.words.iter_mut().zip(words.iter().chain(std::iter::repeat(&0))) {
            *word &= other;
        }
    }

    /// Keeps the rows whose bit is clear in `words`, which have 64 each.
    pub fn and_not_words(&mut self, words: impl IntoIterator<Item = u64>) {
        for (word, other) in self.words.iter_mut().zip(words) {
            *word &= !other;
        }
    }

    /// Drops the selected rows that fail `test`; rows already dropped are not tested.
    pub(crate) fn retain<E>(&mut self, mut test: impl FnMut(usize) -> Result<bool, E>) -> Result<(), E> {
        for (index, word) in self.words.iter_mut().enumerate() {
            let mut rest = *word;
            while rest != 0 {
                let bit = rest.trailing_zeros();
                rest &= rest - 1;
                if !test(index * 64 + bit as usize)? {
                    *word &= !(1 << bit);
                }
            }
        }
        Ok(())
    }
}

/// How many bits are set before a place, in O(1): 64 bits and their count so far are kept together.
#[derive(Debug)]
pub(crate) struct Ranks {
    /// A word, and how many bits are set before it.
    words: Vec<(u64, u32)>,
    count: u32,
}

impl Ranks {
    pub(crate) fn new(bits: &Bitmap) -> Ranks {
        let mut count = 0;
        let ranked = bits.words().iter().map(|word| {
            let before = count;
            count += word.count_ones();
            (*word, before)
        });
        let words = ranked.collect();
        Ranks { words, count }
    }

    pub(crate) fn rank(&self, place: usize) -> usize {
        match self.words.get(place / 64) {
            Some((word, before)) => *before as usize + (word & ((1 << (place % 64)) - 1)).count_ones() as usize,
            None => self.count as usize,
        }
    }

    pub(crate) fn byte_len(&self) -> usize {
        size_of_val(self.words.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_beyond_the_end_stay_zero() {
        for len in [0, 1, 63, 64, 65, 130] {
            let all = Bitmap::all_set(len);
            assert_eq!(all.count(), len);
            assert!(all.all());
            assert_eq!(all.iter().collect::<Vec<_>>(), (0..len).collect::<Vec<_>>());
            let mut none = Bitmap::all_clear(len);
            none.set(len);
            assert!(none.none());
            none.or(&all);
            assert_eq!(none, all);
        }
    }

    #[test]
    fn set_rows_are_listed_however_many_there_are() {
        for len in [0, 1, 63, 64, 65, 640, 1000] {
            for every in [1, 2, 3, 17, 64, 65, 2000] {
                let (mut few, mut most) = (Bitmap::all_clear(len), Bitmap::all_set(len));
                (0..len).step_by(every).for_each(|row| few.set(row));
                (0..len).step_by(every).for_each(|row| most.clear(row));
                for bitmap in [few, most] {
                    assert_eq!(bitmap.rows(), bitmap.iter().map(|row| row as u32).collect::<Vec<_>>());
                    assert_eq!(bitmap.rows().len(), bitmap.count());
                    assert_eq!(Bitmap::from_bits(&bitmap.to_bits()), bitmap);
                }
            }
        }
    }

    #[test]
    fn arrow_bits_with_an_offset() {
        let bits = BooleanBuffer::collect_bool(200, |i| i % 3 == 0).slice(5, 100);
        let bitmap = Bitmap::from_bits(&bits);
        assert_eq!(bitmap.rows(), (0..100).filter(|i| (i + 5) % 3 == 0).collect::<Vec<u32>>());
    }
}
