//! Binary search in ascending rows: how a key is found without decoding.

use std::cmp::Ordering;
use std::ops::Range;

/// The part of an ascending range for which `compare` (the row against what is sought) gives Equal.
pub(crate) fn search(range: Range<usize>, compare: impl Fn(usize) -> Ordering) -> Range<usize> {
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

pub(crate) fn partition(range: Range<usize>, before: impl Fn(usize) -> bool) -> usize {
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
