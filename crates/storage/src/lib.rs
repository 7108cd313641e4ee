//! One shard of storage: log, memtable, segments, delete vectors, manifest; the only user of `wal`.
//!
//! Does: keeps versioned rows of trees durable, answers point reads and scans at a snapshot, freezes memory into segments,
//! merges segments, recovers. Does not: lock rows, know SQL tables, or decide what a transaction may do - the
//! participant above does. Invariants: acknowledged is durable and visible; visible <= durable <= appended, in log order;
//! a snapshot sees the same rows as long as it is held; what a manifest names exists; damage is an error that names file
//! and offset, never another answer. May depend on: contracts, hcc, wal, runtime, types.
//!
//! ```
//! use std::sync::Arc;
//! use heliosdb_contracts::ShardStore;
//! use heliosdb_runtime::{SeededEntropy, SimClock, SimDisk, Spawner};
//! use heliosdb_storage::{Shard, ShardOptions, ShardParts};
//! use heliosdb_types::BranchId;
//!
//! let parts = ShardParts {
//!     disk: Arc::new(SimDisk::new(1)),
//!     clock: Arc::new(SimClock::new(1_800_000_000_000_000)),
//!     entropy: Arc::new(SeededEntropy::new(1)),
//!     spawner: Spawner::threads(),
//! };
//! let (shard, report) = Shard::open(parts, ShardOptions::default()).unwrap();
//! assert!(report.created);
//! let txn = shard.begin(BranchId(0)).unwrap();
//! assert!(!shard.has_writes(txn));
//! shard.rollback(txn);
//! ```

mod cache;
mod codec;
mod commit;
mod compaction;
mod core;
mod dead_rows;
mod delete_vector;
mod doom;
mod freeze;
#[cfg(test)]
mod fuzz_test;
mod horizon;
mod housekeeping;
mod key_beginning;
mod large;
mod log;
mod manifest;
mod memtable;
mod metrics;
mod options;
mod pace;
mod patch;
mod read;
mod recovery;
mod row_cache;
mod segment;
mod segment_list;
mod segments;
mod shape;
mod shard;
mod spill;
mod swap;
mod tree_writer;
mod txnbuf;
mod version;
mod visibility;
mod worker;

pub use heliosdb_wal::SYNC_BOUNDS_MICROS;
pub use housekeeping::{
    FileVersion, Inspection, ManifestSummary, TreeSummary, check_dir, inspect_dir, inspect_segment,
};
pub use metrics::ShardMetrics;
pub use options::ShardOptions;
pub use recovery::{RecoveryReport, ShardParts};
pub use shard::Shard;
