//! Reading many rows: what is asked of a shard, and how the answer streams back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use heliosdb_types::{ColumnId, Datum, KeySet, Result, TreeRef};

/// Name of the hidden column a scan appends when `row_refs` is set: BinaryView of [`crate::RowRef`]s.
pub const ROW_REF_COLUMN: &str = "__row_ref";

/// A scan of one tree. Predicates are ANDed and evaluated exactly (SQL three-valued logic: NULL does not match).
#[derive(Clone, Debug)]
pub struct ScanRequest {
    pub tree: TreeRef,
    /// Output columns in order; columns absent from old rows give the descriptor's missing value.
    pub projection: Vec<ColumnId>,
    pub predicates: Vec<ColumnPredicate>,
    /// Append [`ROW_REF_COLUMN`].
    pub row_refs: bool,
    /// No more than this many rows are wanted from each partition.
    pub limit: Option<usize>,
    /// How many partitions the reader would like; work is shared among them as they ask.
    pub target_partitions: usize,
    /// Upper bound on rows of a batch; one without columns may have more.
    pub batch_rows: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ColumnPredicate {
    pub column: ColumnId,
    pub op: PredicateOp,
}

/// A test of one column. Data have the column's physical type (decimals its scale).
#[derive(Clone, Debug, PartialEq)]
pub enum PredicateOp {
    Compare(CompareOp, Datum),
    In(Vec<Datum>),
    IsNull,
    IsNotNull,
    /// `LIKE 'abc%'`
    StartsWith(String),
    /// `LIKE '%abc%'`
    Contains(String),
    /// A whole number or day that the set holds, never NULL. This one is advice: rows that fail it are left out as far as that
    /// pays, so whoever asks has to test what comes.
    Member(Arc<KeySet>),
}

/// Which rows of a scan are wanted first: of an ORDER BY with a LIMIT, its leading column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstBy {
    pub column: ColumnId,
    pub descending: bool,
    pub nulls_first: bool,
}

/// What is left to look for in a column while a scan runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    pub column: ColumnId,
    /// Rows without a value are wanted.
    pub nulls: bool,
    pub values: BoundValues,
}

/// Data have the column's physical type.
#[derive(Clone, Debug, PartialEq)]
pub enum BoundValues {
    /// Rows with a value are not wanted.
    None,
    /// From the one to the other, both included; without an end where there is none.
    Within(Option<Datum>, Option<Datum>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareOp {
    Eq,
    NotEq,
    Lt,
    LtEq,
    Gt,
    GtEq,
}

/// A scan bound to a snapshot and a pinned manifest.
pub trait TableScan: Send + Sync {
    /// Schema of every batch: the projection (fields named by column id), then the row reference if asked for.
    fn schema(&self) -> SchemaRef;

    fn partition_count(&self) -> usize;

    /// Opens one partition; each is opened at most once. Partitions may be read from different threads.
    fn open(&self, partition: usize) -> Result<Box<dyn BatchReader>>;

    /// What has been read and skipped so far.
    fn metrics(&self) -> Arc<ScanMetrics>;

    /// Rows the scan might touch, before predicates. An estimate: never answer a query with it.
    fn estimated_rows(&self) -> u64;

    /// Bytes on disk of what the scan might touch. An estimate.
    fn estimated_bytes(&self) -> u64;

    /// Smallest and largest value of a column in what the scan might touch, before predicates. An estimate: values outside
    /// may exist, and `None` means unknown.
    fn estimated_bounds(&self, _column: ColumnId) -> Option<(Datum, Datum)> {
        None
    }

    /// Reads what may hold the first rows by a column first, in whatever order the rows would come otherwise. Before a partition
    /// is opened. Advice.
    fn first_by(&self, _first: FirstBy) {}

    /// From now on rows outside of `bound` are not wanted, and are left out as far as that pays; a later bound replaces it. Advice.
    fn narrow(&self, _bound: &Bound) -> Result<()> {
        Ok(())
    }

    /// From now on gives only about one in `every` of its rows, whole blocks spread over all of them, chosen by `seed`: a sample.
    /// Before a partition is opened. False if it gives all of them.
    fn thin(&self, _every: usize, _seed: u64) -> bool {
        false
    }
}

/// Pulls batches. Reads block on local disk only.
pub trait BatchReader: Send {
    fn next_batch(&mut self) -> Result<Option<RecordBatch>>;
}

macro_rules! scan_metrics {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counters of one scan, shared by its partitions.
        #[derive(Debug, Default)]
        pub struct ScanMetrics { $($(#[$doc])* pub $name: AtomicU64,)* }

        impl ScanMetrics {
            /// Every counter with its name, for EXPLAIN ANALYZE.
            pub fn counters(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.load(Ordering::Relaxed)),)*]
            }
        }
    };
}

scan_metrics! {
    segments_read,
    /// Segments whose zone maps, keys or snapshot exclude every row.
    segments_skipped,
    blocks_read,
    blocks_skipped,
    /// Encoded bytes of the column chunks looked at, from cache or disk.
    bytes_read,
    /// Of those, bytes that came from disk.
    bytes_from_disk,
    memtable_rows,
    rows_out,
}

impl ScanMetrics {
    pub fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }
}
