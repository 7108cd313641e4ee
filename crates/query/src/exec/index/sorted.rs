//! Entries of an index that is being built, put in the order of their keys: so the tree's segments hardly overlap, and a read of a
//! few keys looks into one of them.

use bytes::Bytes;
use heliosdb_contracts::KeyedRow;
use heliosdb_types::Result;

use super::entry::{Entry, keyed_row};
use crate::exec::sort_checked;

/// Bytes kept until they are sorted and put. A larger index is made of several sorted parts.
pub(super) const PART_BYTES: usize = 256 << 20;
/// Entries put at once.
const CHUNK_ROWS: usize = 4096;

/// Entries in memory, one after the other: keys, and the keys of their rows.
#[derive(Debug, Default)]
pub(super) struct Part {
    bytes: Vec<u8>,
    places: Vec<Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    start: usize,
    key: u32,
    row: u32,
}

impl Part {
    pub fn push(&mut self, entry: &Entry, row_key: &[u8]) {
        let start = self.bytes.len();
        entry.append_key(row_key, &mut self.bytes);
        let key = (self.bytes.len() - start) as u32;
        self.bytes.extend_from_slice(row_key);
        self.places.push(Place { start, key, row: row_key.len() as u32 });
    }

    /// Memory it takes.
    pub fn size(&self) -> usize {
        self.bytes.capacity() + self.places.capacity() * size_of::<Place>()
    }

    /// Fails with what `check` says now and then.
    pub fn sort(&mut self, check: impl Fn() -> Result<()>) -> Result<()> {
        let bytes = &self.bytes;
        sort_checked(&mut self.places, check, |a, b| key_at(bytes, *a).cmp(key_at(bytes, *b)))
    }

    /// Once sorted: the row of an entry whose key another one has. Fails with what `check` says now and then.
    pub fn duplicate(&self, check: impl Fn() -> Result<()>) -> Result<Option<Bytes>> {
        for (at, pair) in self.places.windows(2).enumerate() {
            if at % CHUNK_ROWS == 0 {
                check()?;
            }
            if let [a, b] = pair
                && key_at(&self.bytes, *a) == key_at(&self.bytes, *b)
            {
                return Ok(Some(self.row_of(*b)));
            }
        }
        Ok(None)
    }

    /// What is to be put, some at a time.
    pub fn chunks(&self) -> impl Iterator<Item = Result<Vec<KeyedRow>>> + '_ {
        let keyed = |place: &Place| keyed_row(key_at(&self.bytes, *place), self.row_at(*place));
        self.places.chunks(CHUNK_ROWS).map(move |chunk| chunk.iter().map(keyed).collect())
    }

    /// The row of an entry, by the chunk it was in and its place there.
    pub fn row(&self, chunk: usize, index: usize) -> Option<Bytes> {
        self.places.get(chunk * CHUNK_ROWS + index).map(|place| self.row_of(*place))
    }

    fn row_at(&self, place: Place) -> &[u8] {
        let start = place.start + place.key as usize;
        self.bytes.get(start..start + place.row as usize).unwrap_or(&[])
    }

    fn row_of(&self, place: Place) -> Bytes {
        Bytes::copy_from_slice(self.row_at(place))
    }
}

fn key_at(bytes: &[u8], place: Place) -> &[u8] {
    bytes.get(place.start..place.start + place.key as usize).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(columns: &[u8], alone: bool) -> Entry {
        Entry::new(columns.to_vec(), alone)
    }

    #[test]
    fn entries_come_in_the_order_of_keys_with_their_rows() {
        let mut part = Part::default();
        for n in 0..10_000_u32 {
            let mixed = n.wrapping_mul(2_654_435_761);
            part.push(&entry(&mixed.to_be_bytes(), n % 2 == 0), &n.to_le_bytes());
        }
        part.sort(|| Ok(())).unwrap();
        assert_eq!(part.duplicate(|| Ok(())).unwrap(), None);
        assert!(part.duplicate(|| Err(heliosdb_types::Error::cancelled("on purpose"))).is_err());
        let chunks: Vec<Vec<KeyedRow>> = part.chunks().collect::<Result<_>>().unwrap();
        assert_eq!(chunks.iter().map(Vec::len).sum::<usize>(), 10_000);
        let keys: Vec<&Bytes> = chunks.iter().flatten().map(|row| &row.key).collect();
        assert!(keys.is_sorted());
        for (at, chunk) in chunks.iter().enumerate() {
            for (index, put) in chunk.iter().enumerate() {
                let row = part.row(at, index).unwrap();
                let n = u32::from_le_bytes(row.as_ref().try_into().unwrap());
                let columns = n.wrapping_mul(2_654_435_761).to_be_bytes();
                assert_eq!(put.key, entry(&columns, n % 2 == 0).tree_key(&row));
            }
        }
    }

    #[test]
    fn equal_keys_are_noticed() {
        let mut part = Part::default();
        for (columns, row) in [([3], [1]), ([1], [2]), ([3], [3]), ([2], [4])] {
            part.push(&entry(&columns, true), &row);
        }
        part.sort(|| Ok(())).unwrap();
        assert!(matches!(part.duplicate(|| Ok(())).unwrap().as_deref(), Some([1 | 3])));
        let mut part = Part::default();
        for row in [[1], [2]] {
            part.push(&entry(&[3], false), &row);
        }
        part.sort(|| Ok(())).unwrap();
        assert_eq!(part.duplicate(|| Ok(())).unwrap(), None, "the row's key is part of the entry's");
    }
}
