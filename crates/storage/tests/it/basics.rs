//! Transactions, snapshots and restarts, one thing at a time.

use std::sync::Arc;

use futures::executor::block_on;
use heliosdb_contracts::{ColumnPredicate, CompareOp, NewestRow, PredicateOp, ReadContext, ScanRequest, ShardStore};
use heliosdb_types::{BranchId, CommandId, Datum, ErrorKind, KeySet, Lsn, SequenceId};

use crate::support::*;

#[test]
fn committed_rows_are_read_and_survive_a_crash() {
    let world = World::new(1);
    let tree = world.create(2000);
    let mut txn = world.begin();
    for key in 0..100 {
        assert!(!txn.put(&tree, key, key * 10));
    }
    assert!(txn.delete(&tree, 7) && txn.put(&tree, 8, -8));
    assert_eq!(txn.rows(&tree).len(), 99);
    assert!(world.rows(&tree).is_empty(), "nothing is visible before the commit");
    txn.commit().unwrap();
    let expected: Rows = (0..100).filter(|k| *k != 7).map(|k| (k, if k == 8 { -8 } else { k * 10 })).collect();
    assert_eq!(world.rows(&tree), expected);
    let world = world.crash();
    assert_eq!(world.rows(&tree), expected);
    assert_eq!(world.get_at(&tree, 8, &world.snapshot()), Some(-8));
    assert_eq!(world.get_at(&tree, 7, &world.snapshot()), None);
}

#[test]
fn snapshots_are_stable_and_rollbacks_leave_nothing() {
    let world = World::new(2);
    let tree = world.create(2000);
    let mut txn = world.begin();
    txn.put(&tree, 1, 1);
    txn.commit().unwrap();
    let old = world.snapshot();
    let mut txn = world.begin();
    txn.put(&tree, 1, 2);
    txn.put(&tree, 2, 2);
    txn.commit().unwrap();
    let mut undone = world.begin();
    undone.put(&tree, 3, 3);
    undone.delete(&tree, 1);
    assert_eq!((undone.get(&tree, 1), undone.get(&tree, 2), undone.get(&tree, 3)), (None, Some(2), Some(3)));
    undone.rollback();
    assert_eq!(world.rows_at(&tree, &old), Rows::from([(1, 1)]));
    assert_eq!(world.get_at(&tree, 1, &old), Some(1));
    assert_eq!(world.rows(&tree), Rows::from([(1, 2), (2, 2)]));
}

#[test]
fn a_commit_is_visible_only_when_durable() {
    let world = World::new(3);
    let tree = world.create(2000);
    let mut txn = world.begin();
    txn.put(&tree, 1, 1);
    let appended = world.shard.commit(txn.id).unwrap();
    assert!(world.rows(&tree).is_empty());
    let reader = world.begin();
    match reader.newest(&tree, 1) {
        NewestRow::Committed { ts, lsn, .. } => assert_eq!((ts, lsn), (appended.ts, appended.lsn)),
        other => panic!("{other:?}"),
    }
    block_on(world.shard.durable(appended.lsn)).unwrap();
    assert_eq!(world.rows(&tree).len(), 1);
    assert!(matches!(reader.newest(&tree, 1), NewestRow::Committed { lsn: Lsn(0), .. }));
    reader.rollback();
}

#[test]
fn predicates_filter_rows_in_memory() {
    let world = World::new(4);
    let tree = world.create(2000);
    let mut txn = world.begin();
    (0..50).for_each(|key| _ = txn.put(&tree, key, key % 7));
    let predicate = |op| ColumnPredicate { column: VALUE, op: PredicateOp::Compare(op, Datum::Int64(3)) };
    let own = context(Some(txn.id), txn.command, &world.snapshot());
    let both = vec![predicate(CompareOp::GtEq), predicate(CompareOp::NotEq)];
    assert_eq!(scan(&world.shard, &own, &tree, both.clone()).len(), (0..50).filter(|k| k % 7 > 3).count());
    txn.commit().unwrap();
    let committed = context(None, 0, &world.snapshot());
    assert_eq!(scan(&world.shard, &committed, &tree, both).len(), (0..50).filter(|k| k % 7 > 3).count());
    let text = ColumnPredicate { column: TEXT, op: PredicateOp::Contains("w 4 ".into()) };
    assert_eq!(scan(&world.shard, &committed, &tree, vec![text]), Rows::from([(4, 4)]));
}

#[test]
fn advice_leaves_out_no_row_that_is_in_the_set() {
    let world = World::new(9);
    let tree = world.create(2000);
    for thousand in 0..20 {
        let mut txn = world.begin();
        (thousand * 1000..(thousand + 1) * 1000).for_each(|key| _ = txn.put(&tree, key, key % 10));
        txn.commit().unwrap();
    }
    let all = context(None, 0, &world.snapshot());
    let member = |numbers: std::ops::Range<i64>| {
        let mut set = KeySet::new(0, 10, false);
        numbers.for_each(|number| set.insert(number));
        vec![ColumnPredicate { column: VALUE, op: PredicateOp::Member(Arc::new(set)) }]
    };
    let few = scan(&world.shard, &all, &tree, member(3..4));
    assert_eq!(few, (0..20_000).filter(|key| key % 10 == 3).map(|key| (key, 3)).collect());
    let most = scan(&world.shard, &all, &tree, member(0..9));
    assert!(most.len() <= 20_000 && (0..20_000).filter(|key| key % 10 < 9).all(|key| most.contains_key(&key)));
}

#[test]
fn rows_without_columns_come_many_at_a_time_and_none_that_a_snapshot_does_not_see() {
    let world = World::new(12);
    let tree = world.create(2000);
    let mut txn = world.begin();
    (0..5000).for_each(|key| _ = txn.put(&tree, key, key % 100));
    txn.commit().unwrap();
    block_on(world.shard.checkpoint(false)).unwrap();
    let loaded = world.snapshot();
    let mut txn = world.begin();
    (0..5000).step_by(20).for_each(|key| _ = txn.put(&tree, key, -1));
    txn.commit().unwrap();
    let between = world.snapshot();
    let mut txn = world.begin();
    (0..5000).step_by(20).for_each(|key| _ = txn.put(&tree, key + 10, -2));
    (0..5000).step_by(100).for_each(|key| _ = txn.delete(&tree, key + 1));
    txn.commit().unwrap();
    let changed = world.snapshot();
    let mut open = world.begin();
    (5000..5010).for_each(|key| _ = open.put(&tree, key, 0));
    (0..30).for_each(|key| _ = open.delete(&tree, key));
    let own = context(Some(open.id), open.command, &changed);
    let below = |value| ColumnPredicate { column: VALUE, op: PredicateOp::Compare(CompareOp::Lt, Datum::Int64(value)) };
    let request = |predicates, limit| ScanRequest {
        tree: tree.tree,
        projection: vec![],
        predicates,
        row_refs: false,
        limit,
        target_partitions: 1,
        batch_rows: 10,
    };
    let sizes = |context: &ReadContext, predicates, limit| {
        batch_sizes(&world.shard, context, &request(predicates, limit)).unwrap()
    };
    for settled in [false, true] {
        let [loaded, between, changed] = [&loaded, &between, &changed].map(|at| context(None, 0, at));
        let whole = sizes(&loaded, vec![], None);
        // Of some 310 blocks of 16 rows.
        assert!(whole.iter().sum::<usize>() == 5000 && whole.len() < 40, "{whole:?}");
        assert_eq!(sizes(&changed, vec![], None).iter().sum::<usize>(), 4950);
        assert_eq!(sizes(&between, vec![], None).iter().sum::<usize>(), 5000);
        assert_eq!(sizes(&loaded, vec![below(0)], None), [0; 0]);
        assert_eq!(sizes(&between, vec![below(0)], None).iter().sum::<usize>(), 250);
        assert_eq!(sizes(&changed, vec![below(0)], None).iter().sum::<usize>(), 500);
        assert_eq!(sizes(&changed, vec![below(5)], None).iter().sum::<usize>(), 500 + 50 * 3);
        assert_eq!(sizes(&changed, vec![], Some(7)), [7]);
        assert_eq!(sizes(&changed, vec![], Some(4000)).iter().sum::<usize>(), 4000);
        // Of keys below 30 the changes left 29.
        assert_eq!(sizes(&own, vec![], None).iter().sum::<usize>(), 4950 - 29 + 10);
        if !settled {
            // What was changed goes into a segment of its own, whose rows began with two commits.
            block_on(world.shard.checkpoint(false)).unwrap();
        }
    }
    open.rollback();
}

#[test]
fn full_chunks_of_memory_are_read_by_column() {
    let world = World::new(7);
    let tree = world.create(2000);
    let mut txn = world.begin();
    (0..2000).for_each(|key| _ = txn.put(&tree, key, key % 11));
    txn.commit().unwrap();
    let old = world.snapshot();
    let mut txn = world.begin();
    (0..2000).step_by(4).for_each(|key| _ = txn.delete(&tree, key));
    txn.commit().unwrap();
    let small = ColumnPredicate { column: VALUE, op: PredicateOp::Compare(CompareOp::Lt, Datum::Int64(3)) };
    let text = ColumnPredicate { column: TEXT, op: PredicateOp::StartsWith("row 1".into()) };
    for _ in 0..2 {
        assert_eq!(world.rows_at(&tree, &old).len(), 2000);
        assert_eq!(world.rows(&tree).len(), 1500);
        let found = scan(&world.shard, &context(None, 0, &old), &tree, vec![small.clone(), text.clone()]);
        let expected = (0..2000i64).filter(|key| key % 11 < 3 && key.to_string().starts_with('1'));
        assert_eq!(found, expected.map(|key| (key, key % 11)).collect());
    }
}

#[test]
fn counters_and_ids_go_on_after_a_crash() {
    let world = World::new(5);
    assert_eq!(world.shard.reserve_sequence(SequenceId(9), 32).unwrap(), 0);
    assert_eq!(world.shard.reserve_sequence(SequenceId(9), 32).unwrap(), 32);
    world.shard.set_sequence(SequenceId(4), 7).unwrap();
    let tree = world.shard.allocate_tree_id().unwrap();
    world.create(tree.0);
    let world = world.crash();
    assert_eq!(world.shard.reserve_sequence(SequenceId(9), 1).unwrap(), 64);
    assert_eq!(world.shard.reserve_sequence(SequenceId(4), 1).unwrap(), 7);
    assert!(world.shard.allocate_tree_id().unwrap() > tree);
}

#[test]
fn trees_are_made_and_dropped_with_their_transaction() {
    let world = World::new(6);
    let txn = world.begin();
    let tree = descriptor(2000);
    world.shard.define_tree(txn.id, CommandId(0), tree.clone()).unwrap();
    assert!(world.shard.descriptor(None, tree.tree).is_none());
    assert_eq!(world.shard.descriptor(Some(txn.id), tree.tree), Some(tree.clone()));
    let mut txn = Txn { command: 1, ..txn };
    txn.put(&tree, 1, 1);
    assert_eq!(txn.rows(&tree).len(), 1);
    txn.commit().unwrap();
    let before = world.snapshot();
    let txn = world.begin();
    world.shard.drop_tree(txn.id, CommandId(0), tree.tree).unwrap();
    assert!(world.shard.descriptor(Some(txn.id), tree.tree).is_none());
    txn.commit().unwrap();
    assert_eq!(world.rows_at(&tree, &before).len(), 1);
    let gone = context(None, 0, &world.snapshot());
    let error = world.shard.get(&gone, tree.tree, &key_bytes(1), &[VALUE], &mut Nothing).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let world = world.crash();
    assert!(world.shard.descriptor(None, tree.tree).is_none());
    assert!(world.shard.begin(BranchId(1)).is_err());
}

struct Nothing;

impl heliosdb_contracts::RowSink for Nothing {
    fn row(
        &mut self,
        _: &[heliosdb_types::DatumRef<'_>],
        _: heliosdb_contracts::RowHint,
    ) -> heliosdb_types::Result<()> {
        panic!("no row was expected")
    }
}

#[test]
fn a_clock_set_back_changes_neither_order_nor_visibility() {
    let mut world = World::new(27);
    let tree = world.create(2000);
    let (mut newest, mut expected) = (heliosdb_types::CommitTs::ZERO, Rows::new());
    for (key, wall) in [(1, 1_800_000_000_000_000), (2, 1_700_000_000_000_000), (3, -5), (4, 1_900_000_000_000_000)] {
        world.clock.set_wall(wall);
        let before = world.snapshot();
        let mut txn = world.begin();
        txn.put(&tree, key, key);
        txn.commit().unwrap();
        let now = world.snapshot();
        assert!(now.ts > newest && now.ts > before.ts, "timestamps ascend");
        assert_eq!(world.rows_at(&tree, &before), expected, "an older snapshot does not see it");
        expected.insert(key, key);
        assert_eq!(world.rows_at(&tree, &now), expected);
        newest = now.ts;
        if key == 3 {
            // Nor does a restart trust the clock more than the log.
            world = world.crash();
            assert_eq!(world.rows(&tree), expected);
        }
    }
}

#[test]
fn rows_read_twice_come_from_the_row_cache_and_are_never_stale() {
    let world = World::new(9);
    let tree = world.create(2000);
    let put = |key, value| {
        let mut txn = world.begin();
        txn.put(&tree, key, value);
        txn.commit().unwrap();
    };
    let read = |key, snapshot: &heliosdb_contracts::Snapshot| world.get_at(&tree, key, snapshot);
    (0..20).for_each(|key| put(key, key));
    block_on(world.shard.checkpoint(false)).unwrap();
    let first = world.snapshot();
    for _ in 0..3 {
        (0..20).for_each(|key| assert_eq!(read(key, &first), Some(key)));
    }
    let hits = world.shard.metrics().row_cache_hits;
    assert!(hits >= 20, "{hits} hits of 60 reads");
    // Replaced and deleted rows: each snapshot sees its own, in memory as in the next segment and after a merge.
    put(1, 100);
    let mut txn = world.begin();
    txn.delete(&tree, 2);
    assert_eq!((txn.get(&tree, 1), txn.get(&tree, 2)), (Some(100), None), "own writes come first");
    txn.commit().unwrap();
    let second = world.snapshot();
    for step in 0..3 {
        for _ in 0..3 {
            assert_eq!((read(1, &first), read(2, &first), read(3, &first)), (Some(1), Some(2), Some(3)), "{step}");
            assert_eq!((read(1, &second), read(2, &second), read(3, &second)), (Some(100), None, Some(3)), "{step}");
        }
        block_on(world.shard.checkpoint(step > 0)).unwrap();
    }
    put(1, 200);
    block_on(world.shard.checkpoint(true)).unwrap();
    put(1, 300);
    assert_eq!((read(1, &second), read(1, &world.snapshot())), (Some(100), Some(300)));
    // What uniqueness and row locks ask finds the newest too.
    for (key, expected) in [(1, true), (2, false), (3, true)] {
        let txn = world.begin();
        let found = txn.newest(&tree, key);
        assert_eq!(matches!(found, NewestRow::Committed { .. }), expected, "{found:?}");
        txn.rollback();
    }
    // A column added later has its value in rows kept before.
    let wide = widened(&tree);
    let txn = world.begin();
    world.shard.define_tree(txn.id, CommandId(0), wide).unwrap();
    txn.commit().unwrap();
    for _ in 0..3 {
        assert_eq!(read(3, &world.snapshot()), Some(3));
    }
}
