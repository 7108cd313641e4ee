//! Settings of a shard. Data only; components are handed to [`crate::Shard::open`].

use std::time::Duration;

use heliosdb_runtime::Canary;

/// Sizes and ages at which a shard acts. The defaults suit a server; tests use far smaller ones.
#[derive(Clone, Debug)]
pub struct ShardOptions {
    /// The active memtable is frozen when it is this large.
    pub memtable_bytes: usize,
    /// Commits wait while more than this many frozen memtables are not yet in segments.
    pub frozen_max: usize,
    /// A transaction's own rows beyond this go to private segments.
    pub txn_spill_bytes: usize,
    /// A commit that deletes more rows of segments than this logs positions, not keys.
    pub mask_rows_min: usize,
    /// A value longer than this is kept out of line...
    pub value_inline_bytes: usize,
    /// ...in pieces of this size.
    pub value_piece_bytes: usize,
    /// Budget of what is kept of segments: filters, zone maps and delete vectors of all of them, and with the rest the caches, of
    /// column blocks and of single rows.
    pub cache_bytes: u64,
    /// Most rows of a segment.
    pub segment_rows: usize,
    /// Rows of a block of a segment.
    pub block_rows: usize,
    /// Overlapping (or small) segments a tree may have as they were frozen or loaded; more are merged. 0 is taken for 1.
    pub young_segments_max: usize,
    /// Overlapping segments a tree may have of each tier made by merging. 0 is taken for 1.
    pub merged_runs_max: usize,
    /// Bytes a second that freezing and merging may read and write together; 0: no limit.
    pub background_io_rate: u64,
    /// How far freezing and merging give way to everything else when processors are short: 0 (equal shares) to 19.
    pub background_niceness: u8,
    /// What a commit waits at most for others to share its sync, while processors are short; zero: nothing.
    pub commit_delay: Duration,
    /// The memtable is frozen when replaying the log would read more than this...
    pub log_bytes_max: u64,
    /// ...or when its oldest row is older than this.
    pub log_age_max: Duration,
    /// Freeze and merge on threads of their own. Off: only `checkpoint` does, on its caller's thread (simulation).
    pub background: bool,
    /// Size of a log file.
    pub log_file_bytes: u64,
    /// The log is written by whoever waits for it, without a thread (simulation).
    pub log_inline: bool,
    /// A rule to break, in tests of tests.
    pub canary: Option<Canary>,
}

impl Default for ShardOptions {
    fn default() -> ShardOptions {
        ShardOptions {
            memtable_bytes: 64 << 20,
            frozen_max: 3,
            txn_spill_bytes: 64 << 20,
            mask_rows_min: 64 << 10,
            value_inline_bytes: 32 << 10,
            value_piece_bytes: 256 << 10,
            cache_bytes: 512 << 20,
            segment_rows: 512 << 10,
            block_rows: 8 << 10,
            young_segments_max: 8,
            merged_runs_max: 3,
            background_io_rate: 0,
            background_niceness: 0,
            commit_delay: Duration::from_micros(500),
            log_bytes_max: 512 << 20,
            log_age_max: Duration::from_secs(15 * 60),
            background: true,
            log_file_bytes: 64 << 20,
            log_inline: false,
            canary: None,
        }
    }
}

/// The row cache's part of the budget at most. Rows take several times the space their columns take in blocks, so that they get
/// the smaller part: enough for what is read again and again.
pub(crate) fn row_cache_bytes(options: &ShardOptions) -> u64 {
    options.cache_bytes / 8
}
