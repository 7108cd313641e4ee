//! Binary search in a block whose rows ascend by this column: how a key is found without decoding.

use std::cmp::Ordering;
use std::ops::Range;

use heliosdb_types::{Datum, Result};

use super::{BlockView, Body, Words};
use crate::kind::Kind;
use crate::order::{comparable_bytes, datum_bytes, datum_key, fixed_key};
use crate::packed::Packed;

impl BlockView {
    /// The rows of `range` that hold `value`, given that the rows of `range` ascend. `None` where the block cannot tell:
    /// it holds NULLs, or the value is NULL. A value of another type than the column's is an internal error.
    pub fn equal_range(&self, range: Range<usize>, value: &Datum) -> Result<Option<Range<usize>>> {
        let range = range.start.min(self.rows)..range.end.min(self.rows);
        if self.nulls.is_some() {
            return Ok(None);
        }
        if Kind::of(self.physical) == Kind::Var {
            return Ok(datum_bytes(value, self.physical)?.and_then(|bytes| self.equal_strings(range, bytes)));
        }
        let Some(key) = datum_key(value, self.physical)? else { return Ok(None) };
        Ok(match &self.body {
            Body::Frame { reference, distances } => Some(match u64::try_from(key.saturating_sub(*reference)) {
                Ok(distance) => equal_packed(distances, range, distance),
                // Below every value, or beyond what 64 bits of distance reach.
                Err(_) if key < *reference => range.start..range.start,
                Err(_) => range.end..range.end,
            }),
            Body::FixedDictionary { values, codes } => {
                search(range, |row| fixed_key(self.fixed_at(values, codes.get(row) as usize), self.physical).cmp(&key))
                    .into()
            }
            Body::PlainFixed(values) => {
                search(range, |row| fixed_key(self.fixed_at(values, row), self.physical).cmp(&key)).into()
            }
            Body::Bits(bits) => search(range, |row| i128::from(bits.value(row)).cmp(&key)).into(),
            _ => None,
        })
    }

    fn equal_strings(&self, range: Range<usize>, value: &[u8]) -> Option<Range<usize>> {
        let physical = self.physical;
        match &self.body {
            Body::VarDictionary { words, codes } => Some(equal_words(words, codes, range, value, physical)),
            Body::PlainVar { offsets, data } => Some(search(range, |row| {
                let (start, end) = offsets.bounds(row);
                comparable_bytes(data.as_slice().get(start..end).unwrap_or(&[]), physical).cmp(value)
            })),
            // A numeric's display scale, which does not count, cannot be told from its digits while compressed.
            Body::Fsst(body) if physical != heliosdb_types::PhysicalType::Numeric => {
                Some(search(range, |row| body.table.compare(body.codes(row), value)))
            }
            _ => None,
        }
    }
}

fn equal_packed(packed: &Packed, range: Range<usize>, wanted: u64) -> Range<usize> {
    search(range, |row| packed.get(row).cmp(&wanted))
}

/// Dictionaries are sorted, so the value's codes are searched for instead of the value.
fn equal_words(
    words: &Words,
    codes: &Packed,
    range: Range<usize>,
    value: &[u8],
    physical: heliosdb_types::PhysicalType,
) -> Range<usize> {
    let equal = search(0..words.len(), |index| comparable_bytes(words.get(index), physical).cmp(value));
    let (low, high) = (equal.start as u64, equal.end as u64);
    search(range, |row| match codes.get(row) {
        code if code < low => Ordering::Less,
        code if code >= high => Ordering::Greater,
        _ => Ordering::Equal,
    })
}

/// The part of an ascending range for which `compare` (the row against what is sought) gives Equal.
fn search(range: Range<usize>, compare: impl Fn(usize) -> Ordering) -> Range<usize> {
    let start = partition(range.clone(), |row| compare(row).is_lt());
    // Equal rows are few where keys are nearly unique: look a step ahead before searching the rest.
    let mut end = start;
    let mut step = 1;
    while end < range.end && compare((end + step - 1).min(range.end - 1)).is_eq() {
        end = (end + step).min(range.end);
        step *= 2;
    }
    start..partition(end..(end + step).min(range.end), |row| compare(row).is_le())
}

fn partition(range: Range<usize>, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (range.start, range.end);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_any_length_are_found() {
        let values = [1, 1, 1, 2, 4, 4, 4, 4, 4, 4, 4, 4, 4, 7, 9, 9];
        for wanted in 0..11 {
            let expected: Vec<usize> = (0..values.len()).filter(|row| values[*row] == wanted).collect();
            let found = search(0..values.len(), |row| values[row].cmp(&wanted));
            assert_eq!(found.clone().collect::<Vec<_>>(), expected, "{wanted}");
            assert_eq!(found.start, values.iter().filter(|value| **value < wanted).count());
        }
    }
}
