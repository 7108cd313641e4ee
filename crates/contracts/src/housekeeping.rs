//! What a shard tells those who look after it: what its segments hold, whether its files are sound, and a copy of all of it.
//!
//! Plain data, so that each can be a remote call; a backup's names are its own, not those of files on some disk.

use std::fmt;

use bytes::Bytes;
use heliosdb_types::{ColumnId, CommitTs, Datum, Lsn, PhysicalType, Result, SegmentId, TreeRef};

/// A column of a segment: a table's, or one that storage keeps for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoredColumn {
    User(ColumnId),
    /// The hidden row id of a tree without a key.
    RowId,
    /// When each row was committed.
    CommitTime,
}

impl fmt::Display for StoredColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoredColumn::User(id) => write!(f, "column {id}"),
            StoredColumn::RowId => f.write_str("(row id)"),
            StoredColumn::CommitTime => f.write_str("(commit time)"),
        }
    }
}

/// One column of one segment.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnFacts {
    pub column: StoredColumn,
    pub physical: PhysicalType,
    /// Bytes in the file, what its blocks share included.
    pub stored_bytes: u64,
    /// Bytes of the same values as Arrow arrays. Of strings an estimate from some of the blocks.
    pub plain_bytes: u64,
    /// How many blocks are written in which encoding, most first.
    pub encodings: Vec<(String, u32)>,
    pub nulls: u64,
    /// Every value lies between these; long strings are cut (and rounded up). `None`: unknown, or every row is NULL.
    pub min: Option<Datum>,
    pub max: Option<Datum>,
}

/// One segment: an immutable file of a tree's rows.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentFacts {
    pub id: SegmentId,
    pub tree: TreeRef,
    /// 0: frozen or loaded; 1 and more: merged.
    pub level: u8,
    /// What its encodings were chosen for: `young`, `settled`, `cold`.
    pub temperature: &'static str,
    pub rows: u64,
    /// Of those, how many are superseded.
    pub deletes: u64,
    pub blocks: u32,
    /// Bytes of the file. What is not in columns is the bloom filter and the footer.
    pub stored_bytes: u64,
    pub bloom_bytes: u64,
    pub min_key: Bytes,
    pub max_key: Bytes,
    pub min_ts: CommitTs,
    pub max_ts: CommitTs,
    pub columns: Vec<ColumnFacts>,
}

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Nothing is lost or wrong by it: a file that the next start removes.
    pub harmless: bool,
    /// The rule that is broken, by its name.
    pub rule: String,
    /// The tree it concerns, if one.
    pub tree: Option<TreeRef>,
    /// The file, if one, as the shard's disk calls it.
    pub file: Option<String>,
    pub offset: Option<u64>,
    pub problem: String,
}

/// What a check looked at and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    pub files: u64,
    pub bytes: u64,
    pub rows: u64,
    pub findings: Vec<Finding>,
}

/// A piece of a backup, in the order they come: for each file its name and length, then its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupPart {
    File { name: String, bytes: u64 },
    Data(Bytes),
}

/// A copy of a shard as it was at one moment. While it lives, what it has yet to copy stays where it is.
pub trait BackupSource: Send {
    /// Every commit up to here is in the backup, none after.
    fn end(&self) -> (Lsn, CommitTs);

    /// Bytes of all files.
    fn bytes_total(&self) -> u64;

    /// `None`: that was all. Blocks on local disk.
    fn next_part(&mut self) -> Result<Option<BackupPart>>;
}
