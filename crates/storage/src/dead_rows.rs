//! Which rows of a segment are dead, a bit a row: scans drop them by the word. Scans hold what commits go on changing, so it is copied
//! on write, a part at a time.

use std::ops::Range;
use std::sync::Arc;

use heliosdb_hcc::Bitmap;
use roaring::RoaringBitmap;

/// Rows of a part: a kilobyte of bits.
const PART_ROWS: usize = 8192;
const PART_WORDS: usize = PART_ROWS / 64;

type Part = [u64; PART_WORDS];

#[derive(Clone, Debug, Default)]
pub(crate) struct DeadRows {
    /// None of a part's rows is dead where it is missing.
    parts: Vec<Option<Arc<Part>>>,
    len: u64,
}

impl DeadRows {
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn contains(&self, row: u32) -> bool {
        self.word(row as usize / 64) >> (row % 64) & 1 == 1
    }

    /// Whether any of these is dead.
    pub fn contains_any(&self, rows: &RoaringBitmap) -> bool {
        !self.is_empty() && rows.iter().any(|row| self.contains(row))
    }

    /// False when it was dead already.
    pub fn insert(&mut self, row: u32) -> bool {
        let before = self.len;
        self.extend([row]);
        self.len > before
    }

    /// False when it was not dead.
    pub fn remove(&mut self, row: u32) -> bool {
        if !self.contains(row) {
            return false;
        }
        let (part, word, bit) = place(row);
        if let Some(words) = self.parts.get_mut(part).and_then(Option::as_mut).map(Arc::make_mut)
            && let Some(word) = words.get_mut(word)
        {
            *word &= !bit;
            self.len -= 1;
        }
        true
    }

    /// How many of a range are dead.
    pub fn count(&self, rows: Range<u32>) -> usize {
        let mut words = self.words(rows.clone());
        let last = words.next_back().map_or(0, |last| match rows.len() % 64 {
            0 => last,
            used => last & ((1 << used) - 1),
        });
        words.chain([last]).map(|word| word.count_ones() as usize).sum()
    }

    /// Clears the dead rows of a range in `selection`, whose first bit is the range's first row.
    pub fn clear(&self, rows: Range<u32>, selection: &mut Bitmap) {
        selection.and_not_words(self.words(rows));
    }

    /// Dead rows, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.parts.len() * PART_WORDS).flat_map(|at| {
            let mut rest = self.word(at);
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros())?;
                rest &= rest - 1;
                Some(at as u32 * 64 + bit)
            })
        })
    }

    /// As it is stored.
    pub fn to_roaring(&self) -> RoaringBitmap {
        RoaringBitmap::from_sorted_iter(self.iter()).unwrap_or_else(|_| self.iter().collect())
    }

    /// Memory it takes.
    pub fn memory_bytes(&self) -> usize {
        let held = self.parts.iter().flatten().count();
        held * size_of::<Part>() + self.parts.capacity() * size_of::<Option<Arc<Part>>>()
    }

    /// Bits of a range from its first row on, 64 at a time; those beyond its end are not cleared.
    fn words(&self, rows: Range<u32>) -> impl DoubleEndedIterator<Item = u64> + '_ {
        let (first, shift) = (rows.start as usize / 64, rows.start % 64);
        (first..first + rows.len().div_ceil(64)).map(move |at| match shift {
            0 => self.word(at),
            shift => self.word(at) >> shift | self.word(at + 1) << (64 - shift),
        })
    }

    fn word(&self, at: usize) -> u64 {
        let part = self.parts.get(at / PART_WORDS).and_then(Option::as_ref);
        part.and_then(|words| words.get(at % PART_WORDS)).copied().unwrap_or(0)
    }
}

impl Extend<u32> for DeadRows {
    fn extend<T: IntoIterator<Item = u32>>(&mut self, rows: T) {
        let mut rows = rows.into_iter().peekable();
        while let Some(&row) = rows.peek() {
            let (part, ..) = place(row);
            if self.parts.len() <= part {
                self.parts.resize(part + 1, None);
            }
            let Some(slot) = self.parts.get_mut(part) else { return };
            let words = Arc::make_mut(slot.get_or_insert_with(|| Arc::new([0; PART_WORDS])));
            while let Some(row) = rows.next_if(|row| place(*row).0 == part) {
                let (_, word, bit) = place(row);
                if let Some(word) = words.get_mut(word) {
                    self.len += u64::from(*word & bit == 0);
                    *word |= bit;
                }
            }
        }
    }
}

impl FromIterator<u32> for DeadRows {
    fn from_iter<T: IntoIterator<Item = u32>>(rows: T) -> DeadRows {
        let mut dead = DeadRows::default();
        dead.extend(rows);
        dead
    }
}

/// A row's part, its word there, and its bit.
fn place(row: u32) -> (usize, usize, u64) {
    let row = row as usize;
    (row / PART_ROWS, row % PART_ROWS / 64, 1 << (row % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_dead_until_removed() {
        let mut dead = DeadRows::default();
        let rows = [0, 1, 63, 64, 8191, 8192, 50_000, 524_287];
        assert!(rows.iter().all(|row| dead.insert(*row) && !dead.insert(*row)));
        assert_eq!((dead.len(), dead.iter().collect::<Vec<_>>()), (8, rows.to_vec()));
        assert!(rows.iter().all(|row| dead.contains(*row)) && !dead.contains(2) && !dead.contains(9_000_000));
        assert_eq!(dead.to_roaring(), RoaringBitmap::from_iter(rows));
        assert!(dead.contains_any(&RoaringBitmap::from_iter([7, 8192])));
        assert!(!dead.contains_any(&RoaringBitmap::from_iter([7, 8193, 9_000_000])));
        let held = dead.clone();
        assert!(dead.remove(8192) && !dead.remove(8192) && !dead.remove(9_000_000) && dead.insert(70));
        assert!(held.contains(8192) && !held.contains(70), "what is held does not change");
        assert_eq!((dead.len(), held.len()), (8, 8));
    }

    #[test]
    fn ranges_begin_and_end_anywhere() {
        let rows: Vec<u32> = (0..40_000).filter(|row| row * 7919 % 11 < 3 && !(9_000..25_000).contains(row)).collect();
        let dead: DeadRows = rows.iter().copied().collect();
        for range in [0..8192, 8192..16_384, 5..70, 63..64, 64..64, 8_000..9_005, 24_990..26_000, 39_990..60_000] {
            let inside = |row: &&u32| range.contains(*row);
            assert_eq!(dead.count(range.clone()), rows.iter().filter(inside).count(), "{range:?}");
            let mut left = Bitmap::all_set(range.len());
            dead.clear(range.clone(), &mut left);
            let alive: Vec<u32> = range.clone().filter(|row| rows.binary_search(row).is_err()).collect();
            assert!(left.iter().map(|row| row as u32 + range.start).eq(alive), "{range:?}");
        }
    }
}
