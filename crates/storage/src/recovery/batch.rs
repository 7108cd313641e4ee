//! Records of the log, decoded: what goes from the thread that reads the log to the one that applies it.

use heliosdb_types::{BranchId, CommitTs, Error, Lsn, Result, SequenceId, TreeRef};
use heliosdb_wal::{Record, RecordKind};

use crate::log::{KIND_COMMIT, KIND_COUNTER, LogOp, decode_counter, decode_ops_into};
use crate::memtable::hash_of;

/// One record.
pub(super) enum Entry {
    /// The next so many of the batch's operations are a commit.
    Commit {
        lsn: Lsn,
        ts: CommitTs,
        ops: usize,
    },
    Counter(SequenceId, u64),
}

/// Records in their order.
#[derive(Default)]
pub(super) struct Batch {
    pub entries: Vec<Entry>,
    pub ops: Vec<LogOp>,
    /// Of each operation's key; 0 for one without.
    pub hashes: Vec<u64>,
    /// What the greatest key that is added to a tree begins with; a tree may be there more than once.
    pub greatest: Vec<(TreeRef, u64)>,
    /// Of the log.
    pub bytes: usize,
}

/// What a key is if it is a row id; otherwise nobody asks.
pub(super) fn first_bytes(key: &[u8]) -> u64 {
    key.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

impl Batch {
    pub fn add(&mut self, record: Record) -> Result<()> {
        let what = || format!("log record {}", record.lsn);
        self.bytes += record.ops.len();
        match record.kind {
            RecordKind(KIND_COUNTER) => {
                let (sequence, value) = decode_counter(&record.ops, &what())?;
                self.entries.push(Entry::Counter(sequence, value));
            }
            RecordKind(KIND_COMMIT) if record.branch != BranchId(0) => {
                return Err(Error::corrupt(format!("{} is of an unknown branch {}", what(), record.branch)));
            }
            RecordKind(KIND_COMMIT) => {
                let before = self.ops.len();
                // Names cost more than small records do, and only errors need them.
                if decode_ops_into(&mut self.ops, &record.ops, "").is_err() {
                    self.ops.truncate(before);
                    decode_ops_into(&mut self.ops, &record.ops, &what())?;
                }
                let added = self.ops.get(before..).unwrap_or_default();
                self.entries.push(Entry::Commit { lsn: record.lsn, ts: record.commit_ts, ops: added.len() });
                for op in added {
                    self.hashes.push(op.key().map_or(0, |(_, key)| hash_of(key)));
                    if let LogOp::Insert { tree, key, .. } = op {
                        note_greatest(&mut self.greatest, *tree, first_bytes(key));
                    }
                }
            }
            RecordKind(kind) => return Err(Error::corrupt(format!("{} is of unknown kind {kind}", what()))),
        }
        Ok(())
    }
}

fn note_greatest(greatest: &mut Vec<(TreeRef, u64)>, of: TreeRef, key: u64) {
    match greatest.last_mut() {
        Some((tree, greatest)) if *tree == of => *greatest = key.max(*greatest),
        _ => greatest.push((of, key)),
    }
}
