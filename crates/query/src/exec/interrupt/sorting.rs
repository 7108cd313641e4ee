//! Sorting that can be stopped: the standard library's takes a second for millions of texts and asks nobody meanwhile.

use std::cmp::Ordering;

use heliosdb_types::Result;

/// Items sorted, or merged, between two looks whether the statement is cancelled.
const RUN: usize = 16 << 10;

/// Sorts, equal items as they were; fails with what `check` says now and then. Then items are in no order, and some may be missing.
pub(crate) fn sort_checked<T: Copy>(
    items: &mut Vec<T>,
    check: impl Fn() -> Result<()>,
    compare: impl Fn(&T, &T) -> Ordering,
) -> Result<()> {
    for run in items.chunks_mut(RUN) {
        check()?;
        run.sort_by(&compare);
    }
    let mut width = RUN;
    let mut merged = Vec::new();
    while width < items.len() {
        merged.clear();
        merged.reserve_exact(items.len());
        for pair in items.chunks(2 * width) {
            let (left, right) = pair.split_at(width.min(pair.len()));
            merge(left, right, &mut merged, &check, &compare)?;
        }
        std::mem::swap(items, &mut merged);
        width *= 2;
    }
    Ok(())
}

fn merge<T: Copy>(
    mut left: &[T],
    mut right: &[T],
    merged: &mut Vec<T>,
    check: &impl Fn() -> Result<()>,
    compare: &impl Fn(&T, &T) -> Ordering,
) -> Result<()> {
    let in_order = left.last().zip(right.first()).is_none_or(|(last, first)| compare(first, last).is_ge());
    while let ([a, after_a @ ..], [b, after_b @ ..], false) = (left, right, in_order) {
        if merged.len().is_multiple_of(RUN) {
            check()?;
        }
        if compare(b, a).is_lt() {
            merged.push(*b);
            right = after_b;
        } else {
            merged.push(*a);
            left = after_a;
        }
    }
    merged.extend_from_slice(left);
    merged.extend_from_slice(right);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use heliosdb_types::{Error, SqlState};

    use super::*;

    #[test]
    fn items_come_as_the_standard_library_sorts_them() {
        for count in [0, 1, RUN, RUN + 1, 3 * RUN, 100_000] {
            let mixed = |n: usize| (n.wrapping_mul(2_654_435_761) % 1_000, n);
            for items in [(0..count).map(mixed).collect::<Vec<_>>(), (0..count).map(|n| (n, n)).collect()] {
                let mut expected = items.clone();
                // Stable: the second part tells equal items apart.
                expected.sort_by_key(|item| item.0);
                let mut sorted = items;
                sort_checked(&mut sorted, || Ok(()), |a, b| a.0.cmp(&b.0)).unwrap();
                assert!(sorted == expected, "{count}");
            }
        }
    }

    #[test]
    fn it_is_asked_often_enough_to_stop() {
        let left = Cell::new(20);
        let check = || {
            left.set(left.get() - 1);
            match left.get() {
                0 => Err(Error::invalid(SqlState::QUERY_CANCELED, "stop")),
                _ => Ok(()),
            }
        };
        let mut items: Vec<usize> = (0..10 * RUN).rev().collect();
        assert_eq!(sort_checked(&mut items, check, Ord::cmp).unwrap_err().state(), SqlState::QUERY_CANCELED);
    }
}
