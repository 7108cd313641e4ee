//! Counters of a shard, for `/metrics` and tests.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counted since the shard was opened.
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $(pub $name: AtomicU64,)* }

        /// What a shard has done and holds, at one moment.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct ShardMetrics {
            $($(#[$doc])* pub $name: u64,)*
            /// Bytes of rows in the active memtable.
            pub memtable_bytes: u64,
            /// Frozen memtables not yet in segments.
            pub frozen_memtables: u64,
            /// Bytes of their rows.
            pub frozen_bytes: u64,
            /// Rows transactions have written and not committed yet, in memory.
            pub transaction_bytes: u64,
            pub segments: u64,
            pub segment_bytes: u64,
            /// Segments and their bytes, by level: 0 as frozen or loaded, later ones merged.
            pub tiers: Vec<(u8, u64, u64)>,
            /// The most segments any tree has.
            pub tree_segments_max: u64,
            /// Log bytes a restart would read.
            pub log_bytes: u64,
            /// Of records, since the shard was opened.
            pub log_appended_bytes: u64,
            pub log_files: u64,
            pub log_spare_files: u64,
            pub log_syncs: heliosdb_wal::SyncTimes,
            pub cache_capacity_bytes: u64,
            pub cache_hits: u64,
            pub cache_misses: u64,
            pub cache_bytes: u64,
            /// Memory of open segments: filters, fences, zone maps.
            pub segment_memory_bytes: u64,
            /// Memory of the rows of segments known to be deleted.
            pub delete_vector_bytes: u64,
            pub row_cache_hits: u64,
            pub row_cache_misses: u64,
            pub row_cache_bytes: u64,
            pub open_snapshots: u64,
            pub open_transactions: u64,
            pub fenced: bool,
        }

        impl Counters {
            pub fn read(&self) -> ShardMetrics {
                ShardMetrics { $($name: self.$name.load(Ordering::Relaxed),)* ..ShardMetrics::default() }
            }
        }
    };
}

counters! {
    commits,
    rows_written,
    rollbacks,
    freezes,
    compactions,
    /// Bytes of the segments that freezes have written.
    freeze_bytes,
    /// Rows compaction has written.
    compacted_rows,
    /// Bytes of the segments that merges have replaced, and of those they have written.
    compaction_read_bytes,
    compaction_written_bytes,
    /// Transactions that outgrew memory.
    spills,
    /// Rows that transactions deleted or replaced and remembered by position, because they were too many to remember by key.
    doomed_rows,
    /// Files that nothing named and that the start removed.
    orphans_removed,
    /// Online backups begun, and those that were read to their end.
    backups_begun,
    backups,
    backup_bytes,
    /// Times a commit waited for frozen memtables to become segments.
    backpressure_waits,
    /// How long commits have waited so, all together.
    backpressure_micros,
    /// Commits that were slowed down, so that no other has to wait, and for how long in all.
    delayed_commits,
    delay_micros,
    /// Keys whose newest version was looked for in segments: uniqueness checks and row locks.
    key_probes,
    /// Segments whose keys could hold them, so that their Bloom filters were asked.
    key_blooms,
    /// Most filters asked for one key.
    key_blooms_max,
}

impl Counters {
    pub fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }

    pub fn at_least(counter: &AtomicU64, n: u64) {
        // Looked at first: almost never raised, and reading is free.
        if counter.load(Ordering::Relaxed) < n {
            counter.fetch_max(n, Ordering::Relaxed);
        }
    }
}
