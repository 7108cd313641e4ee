//! Cold scans: what is read was announced before, what is not read was not, and who has all in memory announces nothing.

use futures::executor::block_on;
use heliosdb_contracts::{ColumnPredicate, CompareOp, PredicateOp, ScanRequest, ShardStore, TreeDescriptorRef};
use heliosdb_runtime::Access;
use heliosdb_storage::ShardOptions;
use heliosdb_types::{ColumnId, Datum};

use crate::support::{KEY, LARGE, TEXT, VALUE, World, context, small_options};

const ROWS: i64 = 8192;

/// A table of 128 blocks in segments, whose texts take 64 kB a block and whose numbers hardly anything, and nothing of it cached.
fn cold_world() -> (World, TreeDescriptorRef) {
    let options = ShardOptions {
        segment_rows: 1024,
        block_rows: 64,
        cache_bytes: 64 << 20,
        log_file_bytes: 1 << 20,
        ..small_options()
    };
    let world = World::with(31, options);
    let tree = world.create(2000);
    for from in (0..ROWS).step_by(1024) {
        let mut txn = world.begin();
        for key in from..from + 1024 {
            txn.put(&tree, key, LARGE + key % 100 * 2);
        }
        txn.commit().unwrap();
    }
    block_on(world.shard.checkpoint(true)).unwrap();
    world.disk.watch_reads();
    (world.restart(), tree)
}

fn scan(
    world: &World,
    tree: &TreeDescriptorRef,
    columns: &[ColumnId],
    limit: Option<usize>,
    value: Option<i64>,
) -> usize {
    let below = |value| PredicateOp::Compare(CompareOp::Eq, Datum::Int64(value));
    let request = ScanRequest {
        tree: tree.tree,
        projection: columns.to_vec(),
        predicates: value.map(|value| ColumnPredicate { column: VALUE, op: below(value) }).into_iter().collect(),
        row_refs: false,
        limit,
        target_partitions: 2,
        batch_rows: 1024,
    };
    let scan = world.shard.scan(&context(None, 0, &world.snapshot()), &request).unwrap();
    let mut rows = 0;
    for partition in 0..scan.partition_count() {
        let mut reader = scan.open(partition).unwrap();
        while let Some(batch) = reader.next_batch().unwrap() {
            rows += batch.num_rows();
        }
    }
    rows
}

fn bytes(accesses: &[Access], announced: bool) -> u64 {
    let of_kind = accesses.iter().filter(|access| access.announced == announced);
    of_kind.map(|access| access.range.end - access.range.start).sum()
}

/// Bytes of segments that were read without having been announced.
fn unannounced(accesses: &[Access]) -> u64 {
    let mut missed = 0;
    for (at, read) in accesses.iter().enumerate().filter(|(_, access)| !access.announced) {
        let said = accesses.iter().take(at).any(|said| {
            said.announced
                && said.path == read.path
                && said.range.start <= read.range.start
                && read.range.end <= said.range.end
        });
        if !said && read.path.contains("segments/") {
            missed += read.range.end - read.range.start;
        }
    }
    missed
}

#[test]
fn a_cold_scan_announces_what_it_reads_and_little_else() {
    let (world, tree) = cold_world();
    let opened = world.disk.accesses();
    assert_eq!(unannounced(&opened), 0, "of what a start reads of segments");
    assert_eq!(scan(&world, &tree, &[KEY, VALUE], None, None), ROWS as usize);
    let numbers = world.disk.accesses();
    assert_eq!(unannounced(&numbers), 0);
    let (read, announced) = (bytes(&numbers, false), bytes(&numbers, true));
    assert!(read > 0 && announced >= read && announced < read * 4, "{announced} bytes announced, {read} read");
    assert_eq!(scan(&world, &tree, &[VALUE, KEY], None, None), ROWS as usize);
    assert_eq!(world.disk.accesses(), [], "all is cached");
    assert_eq!(scan(&world, &tree, &[KEY, TEXT], None, None), ROWS as usize);
    let texts = world.disk.accesses();
    assert_eq!(unannounced(&texts), 0);
    assert!(bytes(&texts, false) > ROWS as u64 * 512 && bytes(&texts, true) < bytes(&texts, false) * 11 / 10);
}

#[test]
fn few_rows_are_not_read_ahead_for() {
    let (world, tree) = cold_world();
    world.disk.accesses();
    // From each of two partitions.
    assert_eq!(scan(&world, &tree, &[KEY, TEXT], Some(5), None), 10);
    let few = world.disk.accesses();
    assert!(bytes(&few, false) > 0);
    assert_eq!(bytes(&few, true), 0);
}

#[test]
fn values_that_filters_leave_out_are_soon_not_announced() {
    let (world, tree) = cold_world();
    world.disk.accesses();
    // Between the smallest and the largest value of each block, and none of them.
    assert_eq!(scan(&world, &tree, &[KEY, TEXT], None, Some(LARGE + 61)), 0);
    let filtered = world.disk.accesses();
    assert_eq!(unannounced(&filtered), 0);
    let texts = ROWS as u64 * 1024;
    assert!(bytes(&filtered, true) < texts / 2, "{} bytes announced", bytes(&filtered, true));
}
