//! An entry as bytes: a head of fixed size, the key, the row. In memory only, so its form is nobody else's business.

use heliosdb_types::{BranchId, CommitTs, DatabaseId, SchemaVersion, SegmentId, TreeId, TreeRef};

use super::RowOrigin;
use crate::memtable::BranchTree;

/// Lengths of row and key, whether it was used since it was last looked at, hash, row, segment, begin, tree, database, schema, branch.
const HEAD_BYTES: usize = 4 + 2 + 2 + 4 + 4 + 8 + 8 + 8 + 4 + 4 + 4;
const USED_AT: usize = 6;

/// A row with its key.
pub(super) struct Entry<'a> {
    pub hash: u32,
    pub tree: BranchTree,
    pub key: &'a [u8],
    pub origin: RowOrigin,
    pub bytes: &'a [u8],
}

impl<'a> Entry<'a> {
    pub fn byte_len(&self) -> usize {
        HEAD_BYTES + self.key.len() + self.bytes.len()
    }

    /// Appends it to `out`. The key is shorter than 64 kB, the row than 4 GB.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (branch, tree) = self.tree;
        out.extend_from_slice(&(self.bytes.len() as u32).to_le_bytes());
        out.extend_from_slice(&(self.key.len() as u16).to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&self.hash.to_le_bytes());
        out.extend_from_slice(&self.origin.row.to_le_bytes());
        out.extend_from_slice(&self.origin.segment.0.to_le_bytes());
        out.extend_from_slice(&self.origin.begin.0.to_le_bytes());
        out.extend_from_slice(&tree.tree.0.to_le_bytes());
        out.extend_from_slice(&tree.database.0.to_le_bytes());
        out.extend_from_slice(&self.origin.schema.0.to_le_bytes());
        out.extend_from_slice(&branch.0.to_le_bytes());
        out.extend_from_slice(self.key);
        out.extend_from_slice(self.bytes);
    }

    /// `bytes` begin with an entry.
    pub fn decode(bytes: &'a [u8]) -> Option<Entry<'a>> {
        let (head, rest) = bytes.split_at_checked(HEAD_BYTES)?;
        let word = |at: usize| head.get(at..).and_then(|head| head.first_chunk()).map(|word| u32::from_le_bytes(*word));
        let long = |at: usize| head.get(at..).and_then(|head| head.first_chunk()).map(|long| u64::from_le_bytes(*long));
        let (row_len, key_len) = (word(0)? as usize, word(4)? as usize & 0xffff);
        let (key, rest) = rest.split_at_checked(key_len)?;
        let origin = RowOrigin {
            row: word(12)?,
            segment: SegmentId(long(16)?),
            begin: CommitTs(long(24)?),
            schema: SchemaVersion(word(44)?),
        };
        let tree = TreeRef::new(DatabaseId(word(40)?), TreeId(long(32)?));
        Some(Entry { hash: word(8)?, tree: (BranchId(word(48)?), tree), key, origin, bytes: rest.get(..row_len)? })
    }
}

/// Whether the entry was used since this was last taken back.
pub(super) fn is_used(entry: &[u8]) -> bool {
    entry.get(USED_AT) == Some(&1)
}

pub(super) fn set_used(entry: &mut [u8], used: bool) {
    if let Some(flag) = entry.get_mut(USED_AT) {
        *flag = u8::from(used);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_what_it_was() {
        let origin =
            RowOrigin { segment: SegmentId(1 << 40), row: 3, begin: CommitTs(1 << 50), schema: SchemaVersion(5) };
        let tree = (BranchId(6), TreeRef::new(DatabaseId(7), TreeId(1 << 60)));
        let entry = Entry { hash: 0xdead_beef, tree, key: b"key", origin, bytes: b"a row" };
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        assert_eq!(bytes.len(), entry.byte_len());
        for used in [false, true, false] {
            set_used(&mut bytes, used);
            assert_eq!(is_used(&bytes), used);
            let padded = [&bytes[..], &[0xff; 20]].concat();
            let same = Entry::decode(&padded).unwrap();
            assert_eq!((same.hash, same.tree, same.key, same.origin), (entry.hash, tree, entry.key, origin));
            assert_eq!(same.bytes, entry.bytes);
        }
        assert!((0..bytes.len()).all(|len| Entry::decode(&bytes[..len]).is_none()));
    }
}
