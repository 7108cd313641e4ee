//! Identifiers and positions. A bare integer never crosses a function boundary: each idea has its own type.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $int);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

id!(/** Position in a shard's log: the sequence number of a record. Monotonic; 0 is before the first record. */ Lsn(u64));
id!(/** A shard: the unit of log, replication, placement and movement. */ ShardId(u32));
id!(/** A branch of a database. 0 is the trunk every shard starts with. */ BranchId(u32));
id!(/** A database; the first part of every tree's key. 0 holds what all databases share. */ DatabaseId(u32));
id!(/** A tree of rows inside a database. Not a table's OID: TRUNCATE gives a table a new tree. */ TreeId(u64));
id!(/** A column of a tree; never reused within the tree, so a dropped column's values stay unreadable. */ ColumnId(u32));
id!(/** A version of a tree's descriptor, counted from 1. */ SchemaVersion(u32));
id!(/** An immutable segment file; never reused within a shard. */ SegmentId(u64));
id!(/** A transaction at one shard; unique until the process ends. 0 is no transaction. */ TxnId(u64));
id!(/** A statement's place inside its transaction: a statement sees its transaction's earlier commands only. */ CommandId(u32));
id!(/** A durable SQL object identifier, as PostgreSQL's `oid`. */ Oid(u32));
id!(/** A sequence's identity at its shard. */ SequenceId(u32));

/// Commit timestamp: 52 bits of microseconds since 2000-01-01 UTC, 12 bits of counter.
///
/// Within a shard, commit timestamps and [`Lsn`]s are assigned together, so both orders agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommitTs(pub u64);

impl CommitTs {
    /// Before every commit.
    pub const ZERO: CommitTs = CommitTs(0);
    /// After every commit: the end of a row version nobody has superseded.
    pub const MAX: CommitTs = CommitTs(u64::MAX);

    /// The first timestamp of a microsecond since 2000-01-01 UTC.
    pub fn from_micros(micros: u64) -> CommitTs {
        CommitTs(micros << 12)
    }

    /// Microseconds since 2000-01-01 UTC.
    pub fn micros(self) -> u64 {
        self.0 >> 12
    }

    /// The next timestamp; used when the clock has not moved (or went back) since the last commit.
    #[must_use]
    pub fn next(self) -> CommitTs {
        CommitTs(self.0 + 1)
    }
}

impl fmt::Display for CommitTs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.micros(), self.0 & 0xfff)
    }
}

/// A tree's full name. The database comes first so that a branch, which covers one database, is a prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TreeRef {
    pub database: DatabaseId,
    pub tree: TreeId,
}

impl TreeRef {
    /// Trees below this id belong to the system catalog; a commit that touches one moves the catalog version.
    pub const FIRST_USER_TREE: TreeId = TreeId(1024);

    pub fn new(database: DatabaseId, tree: TreeId) -> TreeRef {
        TreeRef { database, tree }
    }

    pub fn is_system(self) -> bool {
        self.tree < Self::FIRST_USER_TREE
    }
}

impl fmt::Display for TreeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.database, self.tree)
    }
}
