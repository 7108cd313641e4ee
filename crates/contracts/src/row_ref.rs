//! A row's name outside storage: its tree key plus an opaque hint of where it was seen.
//!
//! Positions never leave storage in any other form: a hint may be stale (its epoch says so) and is then ignored.

use heliosdb_types::{Error, Result, SegmentId};
use serde::{Deserialize, Serialize};

/// Where a row was when it was read. Valid only while the manifest epoch is the same; otherwise the key decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RowHint {
    pub epoch: u64,
    /// 0: the memtable.
    pub segment: SegmentId,
    pub row: u32,
}

/// A decoded row reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowRef<'a> {
    pub hint: RowHint,
    pub key: &'a [u8],
}

impl<'a> RowRef<'a> {
    /// Bytes before the key.
    pub const HINT_LEN: usize = 20;

    /// Hint (20 bytes, little endian) then key: the value of a scan's hidden [`crate::ROW_REF_COLUMN`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.hint.epoch.to_le_bytes());
        out.extend_from_slice(&self.hint.segment.0.to_le_bytes());
        out.extend_from_slice(&self.hint.row.to_le_bytes());
        out.extend_from_slice(self.key);
    }

    pub fn decode(bytes: &'a [u8]) -> Result<RowRef<'a>> {
        let (hint, key) = bytes
            .split_at_checked(RowRef::HINT_LEN)
            .ok_or_else(|| Error::internal("row reference is shorter than its hint"))?;
        let u64_at = |at: usize| {
            hint.get(at..at + 8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes).expect("hint is 20 bytes")
        };
        let row = hint.get(16..20).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes).expect("hint is 20 bytes");
        Ok(RowRef { hint: RowHint { epoch: u64_at(0), segment: SegmentId(u64_at(8)), row }, key })
    }
}
