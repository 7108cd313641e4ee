//! The block cache: opened column blocks under one byte budget, shared by all segments of a process.
//!
//! A block is checksummed when it is read from disk and validated when it is opened; a hit costs neither.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use heliosdb_hcc::{BlockView, Shared};
use heliosdb_runtime::Canary;
use heliosdb_types::SegmentId;
use quick_cache::Weighter;
use quick_cache::sync::{Cache, DefaultLifecycle};
use rustc_hash::FxBuildHasher;

/// A column of a block of a segment. Segment ids are never reused, so entries never go stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BlockKey {
    pub segment: SegmentId,
    pub block: u32,
    pub column: u32,
}

#[derive(Clone, Debug)]
struct ByBytes;

/// The sections that the blocks of a segment's column share, and which column that is.
type SharedKey = (SegmentId, u32);

/// Opened shared sections get this part of the budget, in sixteenths: small, and behind every block that needs them.
const SHARED_SIXTEENTHS: u64 = 2;

impl Weighter<SharedKey, Arc<Shared>> for ByBytes {
    fn weight(&self, _: &SharedKey, shared: &Arc<Shared>) -> u64 {
        (shared.byte_len() + ENTRY_OVERHEAD_BYTES) as u64
    }
}

/// What an entry costs beside its bytes: the view, the map slot, the allocation.
const ENTRY_OVERHEAD_BYTES: usize = 256;

impl Weighter<BlockKey, Arc<BlockView>> for ByBytes {
    fn weight(&self, _: &BlockKey, view: &Arc<BlockView>) -> u64 {
        (view.byte_len() + ENTRY_OVERHEAD_BYTES) as u64
    }
}

/// Evicts by recency and frequency (quick_cache's CLOCK-Pro), so that one large scan does not flush what point reads use.
pub(crate) struct BlockCache {
    /// Whether readers compare bytes with their checksums.
    pub verify: bool,
    entries: Cache<BlockKey, Arc<BlockView>, ByBytes, FxBuildHasher>,
    shared: Cache<SharedKey, Arc<Shared>, ByBytes, FxBuildHasher>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// Hits and sizes, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CacheStats {
    pub hits: u64,
    pub misses: u64,
    pub bytes: u64,
    pub capacity_bytes: u64,
}

impl std::fmt::Debug for BlockCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BlockCache({} of {} bytes)", self.entries.weight(), self.entries.capacity())
    }
}

/// What is evicted when depends on hashes, so they are the same in every run: a simulation repeats to the last read.
fn cache<K: Eq + Hash, V: Clone>(items: usize, bytes: u64) -> Cache<K, V, ByBytes, FxBuildHasher>
where
    ByBytes: Weighter<K, V>,
{
    Cache::with(items, bytes, ByBytes, FxBuildHasher, DefaultLifecycle::default())
}

impl BlockCache {
    pub fn new(capacity_bytes: u64) -> Arc<BlockCache> {
        BlockCache::with_canary(capacity_bytes, None)
    }

    pub fn with_canary(capacity_bytes: u64, canary: Option<Canary>) -> Arc<BlockCache> {
        // A block of a column takes tens of kilobytes; the estimate sizes tables, it limits nothing.
        let items = usize::try_from(capacity_bytes / 32_768).unwrap_or(usize::MAX).clamp(64, 1 << 20);
        let for_shared = capacity_bytes / 16 * SHARED_SIXTEENTHS;
        Arc::new(BlockCache {
            verify: !Canary::TrustSegments.sings(canary),
            entries: cache(items, capacity_bytes - for_shared),
            shared: cache(items / 16 + 16, for_shared),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        })
    }

    pub fn get(&self, key: &BlockKey) -> Option<Arc<BlockView>> {
        let found = self.entries.get(key);
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// As `get`, for who reads by the way: it counts neither as use nor as hit or miss.
    pub fn peek(&self, key: &BlockKey) -> Option<Arc<BlockView>> {
        self.entries.peek(key)
    }

    /// Whether a chunk is here, without using it.
    pub fn holds(&self, key: &BlockKey) -> bool {
        self.entries.contains_key(key)
    }

    /// Whether a column's opened shared sections are here, without using them.
    pub fn holds_shared(&self, key: &SharedKey) -> bool {
        self.shared.contains_key(key)
    }

    /// Gives opened shared sections what they take and blocks the rest of `bytes`.
    pub fn set_capacity(&self, bytes: u64) {
        let blocks = bytes.saturating_sub(self.shared.weight());
        if blocks.abs_diff(self.entries.capacity()) > bytes / 64 {
            self.entries.set_capacity(blocks);
        }
    }

    pub fn insert(&self, key: BlockKey, view: Arc<BlockView>) {
        self.entries.insert(key, view);
    }

    pub fn shared(&self, key: &SharedKey) -> Option<Arc<Shared>> {
        self.shared.get(key)
    }

    pub fn insert_shared(&self, key: SharedKey, shared: Arc<Shared>) {
        self.shared.insert(key, shared);
    }

    /// Drops what is cached of a removed segment.
    pub fn forget(&self, segment: SegmentId) {
        self.entries.retain(|key, _| key.segment != segment);
        self.shared.retain(|(of, _), _| *of != segment);
    }

    pub fn stats(&self) -> CacheStats {
        CacheStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            bytes: self.entries.weight() + self.shared.weight(),
            capacity_bytes: self.entries.capacity() + self.shared.capacity(),
        }
    }
}
