//! Reading a tree in the order of its keys: what index scans and lookups by the first columns of a key ask for.

use bytes::Bytes;
use heliosdb_types::{ColumnId, DatumRef, Result, TreeRef};

use crate::RowHint;

/// Keys from `lower` on, up to but without `upper`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// Inclusive; empty: from the first key on.
    pub lower: Bytes,
    /// Exclusive; `None`: to the last key.
    pub upper: Option<Bytes>,
    /// From the largest key to the smallest.
    pub reverse: bool,
}

impl KeyRange {
    /// Every key that begins with `prefix`.
    pub fn prefix(prefix: &[u8]) -> KeyRange {
        KeyRange { lower: Bytes::copy_from_slice(prefix), upper: after_prefix(prefix), reverse: false }
    }

    pub fn contains(&self, key: &[u8]) -> bool {
        self.lower.as_ref() <= key && self.upper.as_ref().is_none_or(|upper| key < upper.as_ref())
    }
}

/// The smallest key greater than every key that begins with `prefix`; `None` if there is no such key.
pub fn after_prefix(prefix: &[u8]) -> Option<Bytes> {
    let kept = prefix.iter().rposition(|byte| *byte != 0xFF)?;
    let mut after = prefix.get(..=kept)?.to_vec();
    *after.last_mut()? += 1;
    Some(after.into())
}

/// A read of one tree in key order.
#[derive(Clone, Debug)]
pub struct RangeRequest {
    pub tree: TreeRef,
    pub range: KeyRange,
    /// Output columns in order.
    pub projection: Vec<ColumnId>,
    /// Whether the sink looks at keys: else it may be given empty ones.
    pub keys: bool,
}

/// Receives a row of a range read: its key, its values in projection order, and where it was.
pub type RangeSink<'a> = dyn FnMut(&[u8], &[DatumRef<'_>], RowHint) -> Result<()> + 'a;

/// A range read bound to a snapshot. Reads block on local disk only.
pub trait RangeCursor: Send {
    /// Gives the next row to `sink`; false when there are no more.
    fn next(&mut self, sink: &mut RangeSink<'_>) -> Result<bool>;

    /// Rows of segments that have not been looked at, visible or not; rows in memory are not counted.
    fn rows_ahead(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_range_ends_after_its_last_key() {
        let range = KeyRange::prefix(&[1, 0xFF]);
        assert_eq!(range.upper.as_deref(), Some(&[2][..]));
        assert!(range.contains(&[1, 0xFF]) && range.contains(&[1, 0xFF, 0xFF, 9]));
        assert!(!range.contains(&[1, 0xFE]) && !range.contains(&[2]));
        assert_eq!(KeyRange::prefix(&[0xFF, 0xFF]).upper, None);
        assert_eq!(KeyRange::prefix(&[]).upper, None);
    }
}
