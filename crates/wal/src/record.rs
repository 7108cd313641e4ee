//! The bytes of a record.
//!
//! Little endian, no padding, directly one after another:
//!
//! ```text
//! len u32 | crc32c u32 | lsn u64 | durable_lsn u64 | branch u32 | txn u64 | commit_ts u64 | schema_ver u32 | kind u8 | ops
//! ```
//!
//! `len` counts what follows the crc. The crc covers the file's salt, `len` and what follows the crc: the salt keeps a
//! recycled file's old records from being read as new. `lsn` is the record's sequence number: +1 each, from 1, never
//! reused. `durable_lsn` is what was known durable when the record was written; it is what proves damage to be damage.
//! After the last record of a group stand eight zero bytes, overwritten by the next.

use bytes::Bytes;
use heliosdb_types::{BranchId, CommitTs, Error, Lsn, Result, SchemaVersion, SqlState, TxnId};

/// Fixed part of a record, `len` and crc included.
pub(crate) const RECORD_HEAD: usize = 49;
/// What `len` does not count.
const PREFIX: usize = 8;
/// Zeros behind the last record of a group.
pub(crate) const TERMINATOR: usize = 8;
/// Larger transactions spill into segments and log a pointer.
pub const RECORD_OPS_BYTES_MAX: usize = 1 << 28;

const LSN_AT: usize = 8;
const DURABLE_AT: usize = 16;

/// What a record means; the user of the log decides. 0 is the log's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecordKind(pub u8);

impl RecordKind {
    /// Written at a clean end, so that everything before it is proven durable. Not replayed.
    pub(crate) const MARK: RecordKind = RecordKind(0);
}

/// A record to be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewRecord<'a> {
    pub branch: BranchId,
    pub txn: TxnId,
    pub commit_ts: CommitTs,
    pub schema: SchemaVersion,
    pub kind: RecordKind,
    pub ops: &'a [u8],
}

impl<'a> NewRecord<'a> {
    /// A record of the trunk that belongs to no transaction.
    pub fn new(kind: RecordKind, ops: &'a [u8]) -> NewRecord<'a> {
        NewRecord { branch: BranchId(0), txn: TxnId(0), commit_ts: CommitTs::ZERO, schema: SchemaVersion(0), kind, ops }
    }
}

/// A record read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub lsn: Lsn,
    pub durable_lsn: Lsn,
    pub branch: BranchId,
    pub txn: TxnId,
    pub commit_ts: CommitTs,
    pub schema: SchemaVersion,
    pub kind: RecordKind,
    pub ops: Bytes,
}

/// Appends a record to `out`, all but crc and durable LSN: [`seal`] fills them when the record's file is known.
pub(crate) fn encode(record: &NewRecord<'_>, lsn: Lsn, out: &mut Vec<u8>) -> Result<()> {
    if record.ops.len() > RECORD_OPS_BYTES_MAX {
        return Err(Error::invalid(
            SqlState::PROGRAM_LIMIT_EXCEEDED,
            format!("log record of {} bytes exceeds the limit of {RECORD_OPS_BYTES_MAX}", record.ops.len()),
        ));
    }
    let len = (RECORD_HEAD - PREFIX + record.ops.len()) as u32;
    out.reserve(RECORD_HEAD + record.ops.len());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&lsn.0.to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&record.branch.0.to_le_bytes());
    out.extend_from_slice(&record.txn.0.to_le_bytes());
    out.extend_from_slice(&record.commit_ts.0.to_le_bytes());
    out.extend_from_slice(&record.schema.0.to_le_bytes());
    out.push(record.kind.0);
    out.extend_from_slice(record.ops);
    Ok(())
}

/// Length of the encoded record at the start of `bytes`, which our own [`encode`] wrote.
pub(crate) fn encoded_len(bytes: &[u8]) -> usize {
    PREFIX + u32_at(bytes, 0).expect("an encoded record has a length") as usize
}

/// Completes an encoded record for its file.
pub(crate) fn seal(bytes: &mut [u8], salt: u64, durable: Lsn) {
    assert!(bytes.len() >= RECORD_HEAD && encoded_len(bytes) == bytes.len(), "one whole record");
    bytes[DURABLE_AT..DURABLE_AT + 8].copy_from_slice(&durable.0.to_le_bytes());
    let crc = checksum(salt, &bytes[..4], &bytes[PREFIX..]);
    bytes[4..PREFIX].copy_from_slice(&crc.to_le_bytes());
}

fn checksum(salt: u64, len: &[u8], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), len), body)
}

/// The record that starts at `offset`, if its checksum holds, and where the next begins.
pub(crate) fn decode(file: &Bytes, offset: usize, salt: u64) -> Option<(Record, usize)> {
    let bytes = file.get(offset..)?;
    let len = u32_at(bytes, 0)? as usize;
    if !(RECORD_HEAD - PREFIX..=RECORD_HEAD - PREFIX + RECORD_OPS_BYTES_MAX).contains(&len) {
        return None;
    }
    let body = bytes.get(PREFIX..PREFIX + len)?;
    if u32_at(bytes, 4)? != checksum(salt, bytes.get(..4)?, body) {
        return None;
    }
    let end = offset + PREFIX + len;
    let record = Record {
        lsn: Lsn(u64_at(bytes, LSN_AT)?),
        durable_lsn: Lsn(u64_at(bytes, DURABLE_AT)?),
        branch: BranchId(u32_at(bytes, 24)?),
        txn: TxnId(u64_at(bytes, 28)?),
        commit_ts: CommitTs(u64_at(bytes, 36)?),
        schema: SchemaVersion(u32_at(bytes, 44)?),
        kind: RecordKind(*bytes.get(48)?),
        ops: file.slice(offset + RECORD_HEAD..end),
    };
    Some((record, end))
}

/// The LSN field of what might be a record at `offset`; no more than a hint.
pub(crate) fn lsn_field(file: &[u8], offset: usize) -> Option<Lsn> {
    u64_at(file.get(offset..)?, LSN_AT).map(Lsn)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sealed(record: &NewRecord<'_>, lsn: Lsn, salt: u64, durable: Lsn) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(record, lsn, &mut bytes).unwrap();
        seal(&mut bytes, salt, durable);
        bytes
    }

    proptest! {
        #[test]
        fn records_round_trip(
            ids in any::<(u32, u64, u64, u32, u8)>(), lsn: u64, durable: u64, salt: u64, ops: Vec<u8>, before in 0usize..20,
        ) {
            let new = NewRecord {
                branch: BranchId(ids.0), txn: TxnId(ids.1), commit_ts: CommitTs(ids.2), schema: SchemaVersion(ids.3),
                kind: RecordKind(ids.4), ops: &ops,
            };
            let mut bytes = vec![7; before];
            bytes.extend(sealed(&new, Lsn(lsn), salt, Lsn(durable)));
            let file = Bytes::from(bytes);
            let (record, end) = decode(&file, before, salt).unwrap();
            prop_assert_eq!(end, file.len());
            prop_assert_eq!(record, Record {
                lsn: Lsn(lsn), durable_lsn: Lsn(durable), branch: new.branch, txn: new.txn, commit_ts: new.commit_ts,
                schema: new.schema, kind: new.kind, ops: Bytes::from(ops),
            });
            prop_assert!(decode(&file, before, salt ^ 1).is_none(), "another salt");
        }

        #[test]
        fn any_flipped_bit_is_noticed(ops in proptest::collection::vec(any::<u8>(), 0..200), at: prop::sample::Index, bit in 0u8..8) {
            let mut bytes = sealed(&NewRecord::new(RecordKind(3), &ops), Lsn(9), 77, Lsn(8));
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(decode(&Bytes::from(bytes), 0, 77).is_none());
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>, offset in 0usize..300, salt: u64) {
            let file = Bytes::from(bytes);
            let _ = (decode(&file, offset, salt), lsn_field(&file, offset));
        }
    }

    #[test]
    fn an_oversized_record_is_refused() {
        let ops = vec![0; RECORD_OPS_BYTES_MAX + 1];
        let error = encode(&NewRecord::new(RecordKind(1), &ops), Lsn(1), &mut Vec::new()).unwrap_err();
        assert_eq!(error.state(), SqlState::PROGRAM_LIMIT_EXCEEDED);
    }
}
