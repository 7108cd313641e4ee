//! A shard's log: record and file format, group commit, recovery.
//!
//! Does: gives each record the next [`heliosdb_types::Lsn`], writes records in that order, syncs once per group and says
//! when they are durable; replays them after a restart; tells a torn tail (cut, reported) from damage (refused); recycles
//! files; refuses records the disk has no space for. Does not: know what a record's `ops` mean. Invariants: applied <= durable <= appended; nothing is reported
//! durable before its bytes are synced; after a failed write or sync the log is fenced for good; a file gets its name
//! only when everything before it is durable. May depend on: types, runtime.
//!
//! ```
//! use std::sync::Arc;
//! use heliosdb_runtime::{SeededEntropy, SimClock, SimDisk, Spawner};
//! use heliosdb_types::{CommitTs, Lsn};
//! use heliosdb_wal::{NewRecord, Record, RecordKind, ReplayFrom, Wal, WalConfig, WalOptions};
//!
//! let disk = Arc::new(SimDisk::new(1));
//! let config = |disk: Arc<SimDisk>| WalConfig {
//!     disk,
//!     dir: "wal".into(),
//!     options: WalOptions { file_bytes: 1 << 16, ..WalOptions::default() },
//!     clock: Arc::new(SimClock::new(0)),
//!     entropy: Arc::new(SeededEntropy::new(1)),
//!     spawner: Spawner::threads(),
//! };
//! let (wal, _) = Wal::open(config(disk.clone()), ReplayFrom::default(), &mut |_: Record| Ok(())).unwrap();
//! let lsn = wal.append(&NewRecord { commit_ts: CommitTs(5), ..NewRecord::new(RecordKind(1), b"put a") }).unwrap();
//! wal.wait_durable_blocking(lsn).unwrap();
//! let after_power_loss = Arc::new(disk.crash());
//! let mut seen = Vec::new();
//! let (wal, report) = Wal::open(config(after_power_loss), ReplayFrom::default(), &mut |record: Record| {
//!     seen.push((record.lsn, record.ops));
//!     Ok(())
//! }).unwrap();
//! assert_eq!(seen, [(Lsn(1), bytes::Bytes::from_static(b"put a"))]);
//! assert!(report.torn.is_none());
//! ```

mod file;
mod gather;
mod group;
mod options;
mod record;
mod recover;
mod reserve;
mod survey;
mod times;
mod wal;
mod writer;

pub use file::VERSION as FORMAT_VERSION;
pub use group::DurableFuture;
pub use options::{ReplayFrom, WalConfig, WalOptions};
pub use record::{NewRecord, RECORD_OPS_BYTES_MAX, Record, RecordKind};
pub use recover::{Replay, ReplayReport, TornTail};
pub use survey::{LogFile, LogProblem, LogSurvey, SurveyRange, end_of_record, survey};
pub use times::{SYNC_BOUNDS_MICROS, SyncTimes};
pub use wal::{KeptFile, LogPin, Wal};
