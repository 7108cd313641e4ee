//! Large values: out of line, and nobody notices.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use bytes::Bytes;
use futures::executor::block_on;
use heliosdb_contracts::{
    ColumnDescriptor, ColumnPredicate, CompareOp, KeyRange, KeyedRow, NewestRow, PatchBatch, PredicateOp, RangeRequest,
    ReadContext, RowHint, RowSink, ScanRequest, ShardStore, TreeDescriptor, TreeDescriptorRef, TreeKey, WriteBatch,
    row_id_key,
};
use heliosdb_storage::{Shard, ShardOptions};
use heliosdb_types::{
    BranchId, ColumnId, CommandId, DatabaseId, Datum, DatumRef, PhysicalType, Result, RowLayout, RowView,
    SchemaVersion, TreeId, TreeRef, encode_key, encode_row,
};

use crate::support::{KEY, TEXT, Txn, VALUE, World, context, key_bytes, small_options};

const BLOB: ColumnId = ColumnId(4);
const INLINE: usize = 200;

type Values = BTreeMap<i64, (i64, String, Vec<u8>)>;

fn tree(number: u64) -> TreeDescriptorRef {
    let column = |id, physical| ColumnDescriptor { id, physical, nullable: true, missing: None };
    Arc::new(TreeDescriptor {
        tree: TreeRef::new(DatabaseId(1), TreeId(number)),
        version: SchemaVersion(1),
        columns: vec![
            column(KEY, PhysicalType::Int64),
            column(VALUE, PhysicalType::Int64),
            column(TEXT, PhysicalType::Text),
            column(BLOB, PhysicalType::Bytes),
        ],
        key: TreeKey::Columns(vec![KEY]),
        sort: None,
    })
}

fn world(change: impl FnOnce(&mut ShardOptions)) -> (World, TreeDescriptorRef) {
    let mut options = ShardOptions { value_inline_bytes: INLINE, value_piece_bytes: 64, ..small_options() };
    change(&mut options);
    let world = World::with(11, options);
    let tree = tree(2000);
    define(&world, &tree);
    (world, tree)
}

fn define(world: &World, tree: &TreeDescriptorRef) {
    let txn = world.begin();
    world.shard.define_tree(txn.id, CommandId(0), tree.clone()).unwrap();
    txn.commit().unwrap();
}

fn row(tree: &TreeDescriptor, key: i64, value: i64, text: &str, blob: &[u8]) -> KeyedRow {
    let values = [DatumRef::Int64(key), DatumRef::Int64(value), DatumRef::Text(text), DatumRef::Bytes(blob)];
    let mut row = Vec::new();
    encode_row(&tree.physical_types(), &values, &mut row).unwrap();
    KeyedRow { key: key_bytes(key), row: row.into() }
}

fn insert(txn: &mut Txn<'_>, tree: &TreeDescriptorRef, key: i64, value: i64, text: &str, blob: &[u8]) {
    let command = CommandId(txn.command);
    txn.command += 1;
    txn.shard.stage_inserts(txn.id, command, tree.clone(), vec![row(tree, key, value, text, blob)]).unwrap();
}

fn hint(txn: &Txn<'_>, tree: &TreeDescriptorRef, key: i64) -> RowHint {
    match txn.newest(tree, key) {
        NewestRow::Committed { hint, .. } => hint,
        _ => RowHint::default(),
    }
}

/// Updates the whole row, or the columns that change.
fn update(txn: &mut Txn<'_>, tree: &TreeDescriptorRef, key: i64, value: i64, text: &str, blob: &[u8]) {
    if value % 2 == 1 {
        let own = context(Some(txn.id), txn.command, &txn.shard.snapshot(BranchId(0)));
        let before = get(txn.shard, &own, tree, key).unwrap();
        let after = [DatumRef::Int64(value), DatumRef::Text(text), DatumRef::Bytes(blob)];
        let changed = [before.0 != value, before.1 != text, before.2 != blob];
        let columns: Vec<usize> = (1..4).filter(|at| changed[at - 1]).collect();
        let types: Vec<PhysicalType> = columns.iter().map(|at| tree.columns[*at].physical).collect();
        let mut row = Vec::new();
        encode_row(&types, &columns.iter().map(|at| after[at - 1]).collect::<Vec<_>>(), &mut row).unwrap();
        let rows = vec![(KeyedRow { key: key_bytes(key), row: row.into() }, hint(txn, tree, key))];
        let batch = PatchBatch { descriptor: tree.clone(), columns: columns.into(), rows };
        txn.shard.stage_patches(txn.id, CommandId(txn.command), batch).unwrap();
        txn.command += 1;
        return;
    }
    let updates = vec![(row(tree, key, value, text, blob), hint(txn, tree, key))];
    let batch = WriteBatch { descriptor: tree.clone(), updates, deletes: vec![] };
    txn.shard.stage_writes(txn.id, CommandId(txn.command), batch).unwrap();
    txn.command += 1;
}

fn delete(txn: &mut Txn<'_>, tree: &TreeDescriptorRef, key: i64) {
    let deletes = vec![(key_bytes(key), hint(txn, tree, key))];
    let batch = WriteBatch { descriptor: tree.clone(), updates: vec![], deletes };
    txn.shard.stage_writes(txn.id, CommandId(txn.command), batch).unwrap();
    txn.command += 1;
}

fn owned(values: &[DatumRef<'_>]) -> (i64, (i64, String, Vec<u8>)) {
    match values {
        [DatumRef::Int64(key), DatumRef::Int64(value), DatumRef::Text(text), DatumRef::Bytes(blob)] => {
            (*key, (*value, (*text).to_owned(), blob.to_vec()))
        }
        _ => panic!("another row: {values:?}"),
    }
}

fn request(tree: &TreeDescriptorRef, predicates: Vec<ColumnPredicate>) -> ScanRequest {
    ScanRequest {
        tree: tree.tree,
        projection: vec![KEY, VALUE, TEXT, BLOB],
        predicates,
        row_refs: false,
        limit: None,
        target_partitions: 2,
        batch_rows: 100,
    }
}

/// Everything a snapshot sees, by scan; point reads and a range read must agree.
fn read(shard: &Shard, context: &ReadContext, tree: &TreeDescriptorRef) -> Values {
    let scan = shard.scan(context, &request(tree, vec![])).unwrap();
    let mut found = Values::new();
    for partition in 0..scan.partition_count() {
        let mut reader = scan.open(partition).unwrap();
        while let Some(batch) = reader.next_batch().unwrap() {
            for at in 0..batch.num_rows() {
                let (key, value) =
                    (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_primitive::<Int64Type>());
                let text = batch.column(2).as_string_view().value(at).to_owned();
                let blob = batch.column(3).as_binary_view().value(at).to_vec();
                assert!(found.insert(key.value(at), (value.value(at), text, blob)).is_none());
            }
        }
    }
    let all = KeyRange { lower: Bytes::new(), upper: None, reverse: false };
    let wanted = RangeRequest { tree: tree.tree, range: all, projection: vec![KEY, VALUE, TEXT, BLOB], keys: true };
    let (mut cursor, mut ranged) = (shard.range(context, &wanted).unwrap(), Values::new());
    let mut keep = |_: &[u8], values: &[DatumRef<'_>], _| {
        ranged.extend([owned(values)]);
        Ok(())
    };
    while cursor.next(&mut keep).unwrap() {}
    assert_eq!(ranged, found);
    for (key, expected) in &found {
        assert_eq!(get(shard, context, tree, *key).as_ref(), Some(expected));
    }
    let mut many = Values::new();
    let mut keep = |_: &[u8], values: &[DatumRef<'_>], _| {
        many.extend([owned(values)]);
        Ok(())
    };
    let keys: Vec<Bytes> = found.keys().map(|key| key_bytes(*key)).collect();
    let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
    shard.get_rows(context, tree.tree, &keys, &[KEY, VALUE, TEXT, BLOB], &mut keep).unwrap();
    assert_eq!(many, found);
    found
}

struct One(Option<(i64, String, Vec<u8>)>);

impl RowSink for One {
    fn row(&mut self, values: &[DatumRef<'_>], _: RowHint) -> Result<()> {
        assert!(self.0.replace(owned(values).1).is_none());
        Ok(())
    }
}

fn get(shard: &Shard, context: &ReadContext, tree: &TreeDescriptorRef, key: i64) -> Option<(i64, String, Vec<u8>)> {
    let mut one = One(None);
    shard.get(context, tree.tree, &key_bytes(key), &[KEY, VALUE, TEXT, BLOB], &mut one).unwrap();
    one.0
}

fn now(world: &World, tree: &TreeDescriptorRef) -> Values {
    let found = read(&world.shard, &context(None, 0, &world.snapshot()), tree);
    // The newest rows say the same.
    let txn = world.begin();
    for (key, expected) in &found {
        let NewestRow::Committed { row, descriptor, .. } = txn.newest(tree, *key) else { panic!("no row {key}") };
        let types = descriptor.physical_types();
        let layout = RowLayout::new(&types);
        let view = RowView::new(&layout, &row).unwrap();
        let values: Vec<DatumRef<'_>> = (0..types.len()).map(|at| view.get(at).unwrap()).collect();
        assert_eq!(&owned(&values).1, expected);
    }
    txn.rollback();
    found
}

fn text(len: usize) -> String {
    let pattern = "ä€🦀 und so fort ";
    let mut text = pattern.repeat(len / pattern.len() + 1);
    text.truncate(text.floor_char_boundary(len));
    text
}

fn blob(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed)).collect()
}

/// What storage itself puts in place of a value: 128 bytes, a mark, three numbers.
fn lookalike() -> Vec<u8> {
    let mut bytes = vec![1; 128];
    bytes.extend_from_slice(b"\0large value\0");
    bytes.extend_from_slice(b"0000000000000001000000010000000000000040");
    bytes
}

fn settle(world: &World) {
    block_on(world.shard.checkpoint(true)).unwrap();
}

#[test]
fn values_of_every_length_come_back_from_wherever_they_are() {
    for spill in [1 << 20, 300] {
        let (mut world, tree) = world(|options| options.txn_spill_bytes = spill);
        let mut expected = Values::new();
        let mut txn = world.begin();
        for (key, len) in [0, 1, 127, 128, 181, INLINE, INLINE + 1, 1_000, 64 * 40, 20_000].into_iter().enumerate() {
            let (key, text, blob) = (key as i64, text(len), blob(len, 7));
            insert(&mut txn, &tree, key, key * 10, &text, &blob);
            expected.insert(key, (key * 10, text, blob));
        }
        insert(&mut txn, &tree, 100, 1, "short", &lookalike());
        expected.insert(100, (1, "short".to_owned(), lookalike()));
        let snapshot = world.snapshot();
        assert_eq!(read(&world.shard, &context(Some(txn.id), txn.command, &snapshot), &tree), expected, "its own");
        txn.commit().unwrap();
        assert_eq!(now(&world, &tree), expected, "in memory");
        world = world.restart();
        assert_eq!(now(&world, &tree), expected, "replayed");
        block_on(world.shard.checkpoint(false)).unwrap();
        assert_eq!(now(&world, &tree), expected, "frozen");
        settle(&world);
        world = world.crash();
        assert_eq!(now(&world, &tree), expected, "merged");
    }
}

#[test]
fn an_update_of_something_else_leaves_the_value_where_it_is() {
    let (world, tree) = world(|_| {});
    let (long, bytes) = (text(3_000), blob(5_000, 1));
    let mut txn = world.begin();
    insert(&mut txn, &tree, 1, 10, &long, &bytes);
    txn.commit().unwrap();
    for step in 0..3 {
        let before = world.shard.metrics().rows_written;
        let mut txn = world.begin();
        update(&mut txn, &tree, 1, 11 + step, &long, &bytes);
        txn.commit().unwrap();
        assert_eq!(world.shard.metrics().rows_written - before, 1, "one row and no piece was written");
        assert_eq!(now(&world, &tree), Values::from([(1, (11 + step, long.clone(), bytes.clone()))]));
        settle(&world);
    }
    // Another text of the same length is another value; the blob stays.
    let other = long.replacen("und", "UND", 1);
    let pieces = long.len().div_ceil(64) as u64;
    let before = world.shard.metrics().rows_written;
    let mut txn = world.begin();
    update(&mut txn, &tree, 1, 20, &other, &bytes);
    txn.commit().unwrap();
    assert_eq!(world.shard.metrics().rows_written - before, 1 + 2 * pieces, "a row, its new pieces, its old ones' end");
    assert_eq!(now(&world, &tree), Values::from([(1, (20, other, bytes))]));
}

#[test]
fn snapshots_keep_old_values_and_their_space_is_given_back() {
    let (mut world, tree) = world(|_| {});
    let state = |seed: u8| -> Values {
        (0..8).map(|key| (key, (i64::from(seed), text(900 + usize::from(seed)), blob(60_000, seed)))).collect()
    };
    let mut txn = world.begin();
    for (key, (value, text, blob)) in &state(1) {
        insert(&mut txn, &tree, *key, *value, text, blob);
    }
    txn.commit().unwrap();
    let old = world.snapshot();
    settle(&world);
    let full = world.shard.metrics().segment_bytes;
    let mut txn = world.begin();
    for (key, (value, text, blob)) in &state(2) {
        update(&mut txn, &tree, *key, *value, text, blob);
    }
    txn.commit().unwrap();
    settle(&world);
    assert_eq!(read(&world.shard, &context(None, 0, &old), &tree), state(1));
    assert_eq!(now(&world, &tree), state(2));
    drop(old);
    let mut txn = world.begin();
    (1..8).for_each(|key| delete(&mut txn, &tree, key));
    txn.commit().unwrap();
    settle(&world);
    settle(&world);
    let left = world.shard.metrics().segment_bytes;
    assert!(left < full / 2, "{left} bytes are left of {full}");
    world = world.crash();
    assert_eq!(now(&world, &tree).len(), 1);
}

#[test]
fn rollbacks_take_pieces_along() {
    for spill in [1 << 20, 300] {
        let (world, tree) = world(|options| options.txn_spill_bytes = spill);
        let mut txn = world.begin();
        insert(&mut txn, &tree, 1, 1, &text(1_000), &blob(1_000, 1));
        world.shard.savepoint(txn.id, CommandId(txn.command)).unwrap();
        let from = CommandId(txn.command);
        update(&mut txn, &tree, 1, 2, &text(2_000), &blob(2_000, 2));
        insert(&mut txn, &tree, 2, 2, &text(2_000), &blob(2_000, 2));
        world.shard.rollback_to(txn.id, from).unwrap();
        let expected = Values::from([(1, (1, text(1_000), blob(1_000, 1)))]);
        let snapshot = world.snapshot();
        assert_eq!(read(&world.shard, &context(Some(txn.id), txn.command, &snapshot), &tree), expected);
        txn.commit().unwrap();
        assert_eq!(now(&world, &tree), expected);
        let mut txn = world.begin();
        delete(&mut txn, &tree, 1);
        txn.rollback();
        assert_eq!(now(&world, &tree), expected);
    }
}

#[test]
fn predicates_see_values_not_references() {
    let (world, tree) = world(|_| {});
    let tail = |end: &str| format!("{}{end}", "a".repeat(1_000));
    let texts = [tail("x"), tail("y"), tail("needle"), "a".repeat(90), "needle".to_owned(), "b".repeat(500)];
    let mut txn = world.begin();
    for (key, text) in texts.iter().enumerate() {
        insert(&mut txn, &tree, key as i64, 0, text, &blob(300, 3));
    }
    txn.commit().unwrap();
    let text = |text: &str| Datum::Text(text.to_owned());
    type Test<'a> = Box<dyn Fn(&str) -> bool + 'a>;
    let (x, a90, b) = (tail("x"), "a".repeat(90), "b".repeat(400));
    let cases: Vec<(PredicateOp, Test<'_>)> = vec![
        (PredicateOp::Contains("needle".to_owned()), Box::new(|t| t.contains("needle"))),
        (PredicateOp::StartsWith(tail("n")), Box::new(|t| t.starts_with(&tail("n")))),
        (PredicateOp::StartsWith("aaa".to_owned()), Box::new(|t| t.starts_with("aaa"))),
        (PredicateOp::Compare(CompareOp::Eq, text(&x)), Box::new(|t| t == x)),
        (PredicateOp::Compare(CompareOp::NotEq, text(&x)), Box::new(|t| t != x)),
        (PredicateOp::Compare(CompareOp::Gt, text(&x)), Box::new(|t| t > x.as_str())),
        (PredicateOp::Compare(CompareOp::LtEq, text(&x)), Box::new(|t| t <= x.as_str())),
        (PredicateOp::Compare(CompareOp::Gt, text(&a90)), Box::new(|t| t > a90.as_str())),
        (PredicateOp::Compare(CompareOp::LtEq, text(&a90)), Box::new(|t| t <= a90.as_str())),
        (PredicateOp::Compare(CompareOp::Lt, text(&b)), Box::new(|t| t < b.as_str())),
        (PredicateOp::In(vec![text(&x), text("needle")]), Box::new(|t| t == x || t == "needle")),
        (PredicateOp::IsNotNull, Box::new(|_| true)),
        (PredicateOp::IsNull, Box::new(|_| false)),
    ];
    for stage in ["in memory", "frozen"] {
        for (op, holds) in &cases {
            let predicate = ColumnPredicate { column: TEXT, op: op.clone() };
            // The tested column is not asked for, the row reference is.
            let wanted = ScanRequest { projection: vec![KEY, BLOB], row_refs: true, ..request(&tree, vec![predicate]) };
            let scan = world.shard.scan(&context(None, 0, &world.snapshot()), &wanted).unwrap();
            assert_eq!(scan.schema().fields().len(), 3);
            let mut keys = Vec::new();
            for partition in 0..scan.partition_count() {
                let mut reader = scan.open(partition).unwrap();
                while let Some(batch) = reader.next_batch().unwrap() {
                    assert_eq!(batch.schema(), scan.schema());
                    assert_eq!(batch.column(1).as_binary_view().value(0), blob(300, 3));
                    keys.extend(batch.column(0).as_primitive::<Int64Type>().values().iter().copied());
                }
            }
            keys.sort_unstable();
            let expected: Vec<i64> = (0..texts.len()).filter(|at| holds(&texts[*at])).map(|at| at as i64).collect();
            assert_eq!(keys, expected, "{op:?} {stage}");
        }
        settle(&world);
    }
}

#[test]
fn a_limit_counts_rows_that_pass() {
    let (world, tree) = world(|_| {});
    let mut txn = world.begin();
    for key in 0..40 {
        insert(&mut txn, &tree, key, 0, &format!("{}{}", text(500), key % 10), b"");
    }
    txn.commit().unwrap();
    let predicate = ColumnPredicate { column: TEXT, op: PredicateOp::Contains(format!("{}7", text(500))) };
    let wanted = ScanRequest { limit: Some(3), target_partitions: 1, ..request(&tree, vec![predicate]) };
    let scan = world.shard.scan(&context(None, 0, &world.snapshot()), &wanted).unwrap();
    let (mut reader, mut rows) = (scan.open(0).unwrap(), 0);
    while let Some(batch) = reader.next_batch().unwrap() {
        rows += batch.num_rows();
    }
    assert_eq!(rows, 3);
}

#[test]
fn a_batch_holds_no_more_than_a_few_megabytes_of_values() {
    let (world, tree) = world(|options| (options.value_piece_bytes, options.block_rows) = (1 << 20, 1000));
    let mut txn = world.begin();
    for key in 0..6 {
        insert(&mut txn, &tree, key, 0, "", &blob(3 << 20, key as u8));
    }
    txn.commit().unwrap();
    settle(&world);
    let scan = world.shard.scan(&context(None, 0, &world.snapshot()), &request(&tree, vec![])).unwrap();
    let (mut reader, mut rows) = (scan.open(0).unwrap(), 0);
    while let Some(batch) = reader.next_batch().unwrap() {
        assert!(batch.num_rows() <= 2, "{} values of 3 MB at once", batch.num_rows());
        rows += batch.num_rows();
    }
    assert_eq!(rows, 6);
}

#[test]
fn pieces_go_with_their_tree() {
    let (world, tree) = world(|_| {});
    let mut txn = world.begin();
    insert(&mut txn, &tree, 1, 1, &text(5_000), &blob(5_000, 1));
    txn.commit().unwrap();
    settle(&world);
    let size = world.shard.tree_size(tree.tree);
    assert!(size.rows == 1 && size.disk_bytes > 5_000, "{size:?}");
    assert!(world.shard.metrics().segments > 1);
    let txn = world.begin();
    world.shard.drop_tree(txn.id, CommandId(0), tree.tree).unwrap();
    txn.commit().unwrap();
    settle(&world);
    let world = world.crash();
    assert_eq!(world.shard.metrics().segments, 0);
    assert!(world.shard.allocate_tree_id().unwrap().0 < 1 << 40, "numbers of trees go on where they were");
}

#[test]
fn hidden_row_ids_go_on_after_rows_that_came_with_their_tree() {
    for spill in [1 << 20, 10] {
        let mut options = small_options();
        options.txn_spill_bytes = spill;
        let mut world = World::with(5, options);
        let tree = Arc::new(TreeDescriptor { key: TreeKey::RowId, ..TreeDescriptor::clone(&tree(2000)) });
        let txn = world.begin();
        world.shard.define_tree(txn.id, CommandId(0), tree.clone()).unwrap();
        let first = world.shard.allocate_row_ids(tree.tree, 3).unwrap();
        let rows = (0..3).map(|at| {
            let row = row(&tree, 1, 1, "", b"").row;
            KeyedRow { key: Bytes::copy_from_slice(&row_id_key(first + at)), row }
        });
        world.shard.stage_inserts(txn.id, CommandId(1), tree.clone(), rows.collect()).unwrap();
        txn.commit().unwrap();
        world = world.restart();
        assert_eq!(world.shard.allocate_row_ids(tree.tree, 1).unwrap(), first + 3);
    }
}

#[test]
fn two_transactions_may_bring_the_first_large_value() {
    let (world, tree) = world(|_| {});
    let mut a = world.begin();
    let mut b = world.begin();
    insert(&mut a, &tree, 1, 1, &text(700), &blob(700, 1));
    insert(&mut b, &tree, 2, 2, &text(800), &blob(800, 2));
    b.commit().unwrap();
    a.commit().unwrap();
    let expected = Values::from([(1, (1, text(700), blob(700, 1))), (2, (2, text(800), blob(800, 2)))]);
    assert_eq!(now(&world, &tree), expected);
    assert_eq!(now(&world.crash(), &tree), expected);
}

#[test]
fn a_key_that_looks_like_a_reference_is_none() {
    let (world, tree) = world(|_| {});
    let keyed_by_blob = Arc::new(TreeDescriptor {
        tree: TreeRef::new(DatabaseId(1), TreeId(2001)),
        key: TreeKey::Columns(vec![BLOB]),
        ..TreeDescriptor::clone(&tree)
    });
    define(&world, &keyed_by_blob);
    let mut key = Vec::new();
    encode_key(&mut key, DatumRef::Bytes(&lookalike()), false);
    let KeyedRow { row, .. } = row(&tree, 1, 2, &text(900), &lookalike());
    let txn = world.begin();
    let rows = vec![KeyedRow { key: key.into(), row }];
    txn.shard.stage_inserts(txn.id, CommandId(0), keyed_by_blob.clone(), rows).unwrap();
    txn.commit().unwrap();
    for _ in 0..2 {
        let scan = world.shard.scan(&context(None, 0, &world.snapshot()), &request(&keyed_by_blob, vec![])).unwrap();
        let batch = scan.open(0).unwrap().next_batch().unwrap().unwrap();
        assert_eq!(batch.column(2).as_string_view().value(0), text(900));
        assert_eq!(batch.column(3).as_binary_view().value(0), lookalike());
        settle(&world);
    }
}
