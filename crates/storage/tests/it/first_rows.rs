//! Scans for the first rows by some column: what may hold them comes first, and what no longer can is left out.

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use futures::executor::block_on;
use heliosdb_contracts::{
    Bound, BoundValues, ColumnPredicate, CompareOp, FirstBy, PredicateOp, ReadContext, ScanRequest, ShardStore,
    TreeDescriptorRef,
};
use heliosdb_types::{ColumnId, Datum};

use crate::support::{KEY, MISSING, VALUE, World, context, widened};

/// Reads as an ORDER BY value LIMIT would: the values found, and the blocks that were read and skipped.
fn first(
    world: &World,
    context: &ReadContext,
    tree: &TreeDescriptorRef,
    by: FirstBy,
    count: usize,
) -> (Vec<i64>, u64, u64) {
    let request = ScanRequest {
        tree: tree.tree,
        projection: vec![KEY, by.column],
        predicates: vec![ColumnPredicate { column: KEY, op: PredicateOp::Compare(CompareOp::NotEq, Datum::Int64(-5)) }],
        row_refs: false,
        limit: None,
        target_partitions: 2,
        batch_rows: 10,
    };
    let scan = world.shard.scan(context, &request).unwrap();
    scan.first_by(by);
    let mut best: Vec<i64> = Vec::new();
    for partition in 0..scan.partition_count() {
        let mut reader = scan.open(partition).unwrap();
        while let Some(batch) = reader.next_batch().unwrap() {
            best.extend(batch.column(1).as_primitive::<Int64Type>().values());
            best.sort_unstable();
            if by.descending {
                best.reverse();
            }
            best.truncate(count);
            if best.len() == count {
                let worst = best.last().copied().map(Datum::Int64);
                let values =
                    if by.descending { BoundValues::Within(worst, None) } else { BoundValues::Within(None, worst) };
                scan.narrow(&Bound { column: by.column, nulls: false, values }).unwrap();
            }
        }
    }
    let counters = scan.metrics().counters();
    let counter = |name: &str| counters.iter().find(|(known, _)| *known == name).unwrap().1;
    (best, counter("blocks_read"), counter("blocks_skipped"))
}

#[test]
fn the_first_rows_are_found_by_reading_few_blocks() {
    let world = World::new(21);
    let tree = world.create(2000);
    let mut expected: Vec<i64> = Vec::new();
    let mut put = |from: i64, to: i64| {
        let mut txn = world.begin();
        for key in from..to {
            // Follows the key but for a few.
            let value = if key % 97 == 0 { key * 31 % 5000 } else { key * 2 };
            txn.put(&tree, key, value);
            expected.push(value);
        }
        txn.commit().unwrap();
    };
    put(0, 1600);
    block_on(world.shard.checkpoint(true)).unwrap();
    // Rows in memory take part.
    put(1600, 1640);
    let all = context(None, 0, &world.snapshot());
    for (descending, count) in [(true, 5), (false, 5), (true, 40), (false, 1)] {
        expected.sort_unstable();
        if descending {
            expected.reverse();
        }
        let by = FirstBy { column: VALUE, descending, nulls_first: descending };
        let (found, read, skipped) = first(&world, &all, &tree, by, count);
        assert_eq!(found, expected[..count], "{descending} {count}");
        assert!(read < 30 && skipped > 60, "{read} blocks read and {skipped} skipped of a hundred");
    }
}

#[test]
fn a_column_younger_than_its_rows_has_its_missing_value() {
    let world = World::new(22);
    let tree = world.create(2000);
    let mut txn = world.begin();
    (0..400).for_each(|key| _ = txn.put(&tree, key, key));
    txn.commit().unwrap();
    block_on(world.shard.checkpoint(true)).unwrap();
    let txn = world.begin();
    let wide = widened(&tree);
    world.shard.define_tree(txn.id, heliosdb_types::CommandId(0), wide.clone()).unwrap();
    txn.commit().unwrap();
    let mut txn = world.begin();
    (400..600).for_each(|key| _ = txn.put(&wide, key, key - 1000));
    txn.commit().unwrap();
    block_on(world.shard.checkpoint(false)).unwrap();
    let all = context(None, 0, &world.snapshot());
    let by = |descending| FirstBy { column: ColumnId(4), descending, nulls_first: false };
    let (found, _, skipped) = first(&world, &all, &wide, by(true), 3);
    assert_eq!(found, [-401, -402, -403]);
    assert!(skipped > 20, "{skipped}");
    let (found, ..) = first(&world, &all, &wide, by(false), 600);
    assert_eq!((found.len(), found[0]), (600, MISSING.min(-600)));
}

#[test]
fn bounds_of_nulls_leave_out_what_has_none() {
    let world = World::new(23);
    let tree = world.create(2000);
    let mut txn = world.begin();
    (0..160).for_each(|key| _ = txn.put(&tree, key, key));
    txn.commit().unwrap();
    let all = context(None, 0, &world.snapshot());
    let rows = |bound: Option<Bound>| {
        let request = ScanRequest {
            tree: tree.tree,
            projection: vec![KEY],
            predicates: Vec::new(),
            row_refs: false,
            limit: None,
            target_partitions: 1,
            batch_rows: 1000,
        };
        let scan = world.shard.scan(&all, &request).unwrap();
        bound.iter().for_each(|bound| scan.narrow(bound).unwrap());
        let mut reader = scan.open(0).unwrap();
        let mut rows = 0;
        while let Some(batch) = reader.next_batch().unwrap() {
            rows += batch.num_rows();
        }
        rows
    };
    let only_nulls = Bound { column: VALUE, nulls: true, values: BoundValues::None };
    let no_nulls = Bound { column: VALUE, nulls: false, values: BoundValues::Within(None, None) };
    let within =
        Bound { values: BoundValues::Within(Some(Datum::Int64(10)), Some(Datum::Int64(20))), ..no_nulls.clone() };
    let both = Bound { nulls: true, ..within.clone() };
    for checkpoint in [false, true] {
        if checkpoint {
            block_on(world.shard.checkpoint(true)).unwrap();
        }
        assert_eq!(rows(None), 160);
        assert_eq!(rows(Some(only_nulls.clone())), 0);
        assert_eq!(rows(Some(no_nulls.clone())), 160);
        assert_eq!(rows(Some(within.clone())), 11);
        assert_eq!(rows(Some(both.clone())), 11, "no row has a NULL");
    }
}
