//! Where storage, transactions, query and protocols meet: traits and plain data.
//!
//! Does: [`ShardClient`] (what compute asks of a shard), [`ShardStore`] (what a shard's participant asks of its storage),
//! [`SqlService`]/[`SqlSession`] (what a protocol asks of the SQL engine), tree descriptors, scan requests, row references,
//! the mapping of physical types to Arrow. Does not: implement any of them. Invariants: nothing here names a file, a
//! pointer into storage, or DataFusion, so each trait can become a remote call; positions leave storage only as opaque
//! hints. May depend on: types, Arrow arrays.
//!
//! ```
//! use heliosdb_contracts::{RowHint, RowRef};
//! let mut bytes = Vec::new();
//! RowRef { hint: RowHint::default(), key: b"k" }.encode(&mut bytes);
//! assert_eq!(RowRef::decode(&bytes).unwrap().key, b"k");
//! ```

mod arrow_map;
pub mod binary;
mod housekeeping;
mod range;
mod row_ref;
mod scan;
mod session;
mod shard;
mod store;
mod tree;

pub use arrow_map::{arrow_type, datum_at};
pub use housekeeping::{BackupPart, BackupSource, Checked, ColumnFacts, Finding, SegmentFacts, StoredColumn};
pub use range::{KeyRange, RangeCursor, RangeRequest, RangeSink, after_prefix};
pub use row_ref::{RowHint, RowRef};
pub use scan::{
    BatchReader, Bound, BoundValues, ColumnPredicate, CompareOp, FirstBy, PredicateOp, ROW_REF_COLUMN, ScanMetrics,
    ScanRequest, TableScan,
};
pub use session::{
    BoundPortal, Canceller, ConnectRequest, CopyChunk, CopyFormat, CopyIn, Credential, Execution, Notice, Notification,
    OutputSettings, PortalRun, PortalShape, Prepared, ResultColumn, RowsTag, ScramVerifier, Script, SqlService,
    SqlSession, TransactionStatus, name_and_number,
};
pub use shard::{
    AdvisoryKey, AppendedCommit, AwaitedWriters, InsertOutcome, IsolationLevel, KeyedRow, LockInfo, LockObject,
    LockOwner, LockPolicy, LockWait, LockedRow, MaybePending, PatchBatch, ReadContext, ReadLocks, RowLockMode, RowSink,
    Savepoint, ShardClient, Snapshot, TreeLockMode, TreeSize, WriteBatch,
};
pub use store::{NewestRow, ShardStore};
pub use tree::{ColumnDescriptor, TreeDescriptor, TreeDescriptorRef, TreeKey, row_id_key};
