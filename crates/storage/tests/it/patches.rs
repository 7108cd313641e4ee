//! Updates that leave columns as they are, of rows in every place a row can be in.

use std::sync::Arc;

use bytes::Bytes;
use futures::executor::block_on;
use heliosdb_contracts::{
    ColumnDescriptor, KeyedRow, PatchBatch, RowHint, RowSink, ShardStore, TreeDescriptor, TreeDescriptorRef, TreeKey,
};
use heliosdb_storage::ShardOptions;
use heliosdb_types::{
    BranchId, ColumnId, CommandId, DatabaseId, Datum, DatumRef, PhysicalType, Result, SchemaVersion, TreeId, TreeRef,
    encode_row,
};

use crate::support::{KEY, Txn, World, context, hint, key_bytes, small_options};

const TYPES: [PhysicalType; 6] = [
    PhysicalType::Int64,
    PhysicalType::Text,
    PhysicalType::Bool,
    PhysicalType::Decimal64 { precision: 10, scale: 2 },
    PhysicalType::Bytes,
    PhysicalType::Int16,
];

fn tree() -> TreeDescriptorRef {
    let column = |at: usize| ColumnDescriptor {
        id: ColumnId(at as u32 + 1),
        physical: TYPES[at],
        nullable: true,
        missing: None,
    };
    Arc::new(TreeDescriptor {
        tree: TreeRef::new(DatabaseId(1), TreeId(2000)),
        version: SchemaVersion(1),
        columns: (0..TYPES.len()).map(column).collect(),
        key: TreeKey::Columns(vec![KEY]),
        sort: None,
    })
}

fn wider(tree: &TreeDescriptor) -> TreeDescriptorRef {
    let mut tree = tree.clone();
    tree.version = SchemaVersion(2);
    let missing = Some(Datum::Text("added".to_owned()));
    tree.columns.push(ColumnDescriptor { id: ColumnId(7), physical: PhysicalType::Text, nullable: true, missing });
    Arc::new(tree)
}

fn values(key: i64) -> Vec<Datum> {
    vec![
        Datum::Int64(key),
        if key % 3 == 0 { Datum::Null } else { Datum::Text("t".repeat(key as usize % 17)) },
        Datum::Bool(key % 2 == 0),
        Datum::Decimal { unscaled: i128::from(key), scale: 2 },
        Datum::Bytes(vec![key as u8; key as usize % 5]),
        if key % 4 == 0 { Datum::Null } else { Datum::Int16(key as i16) },
    ]
}

fn encoded(types: &[PhysicalType], values: &[Datum]) -> Bytes {
    let mut out = Vec::new();
    encode_row(types, &values.iter().map(Datum::as_ref).collect::<Vec<_>>(), &mut out).unwrap();
    out.into()
}

fn insert(txn: &mut Txn<'_>, tree: &TreeDescriptorRef, keys: std::ops::Range<i64>) {
    let row = |key| KeyedRow { key: key_bytes(key), row: encoded(&TYPES, &values(key)) };
    txn.shard.stage_inserts(txn.id, CommandId(txn.command), tree.clone(), keys.map(row).collect()).unwrap();
    txn.command += 1;
}

fn patch(txn: &mut Txn<'_>, tree: &TreeDescriptorRef, key: i64, new: &[(usize, Datum)]) {
    let (columns, values): (Vec<usize>, Vec<Datum>) = new.iter().cloned().unzip();
    let types: Vec<PhysicalType> = columns.iter().map(|at| tree.columns[*at].physical).collect();
    let row = KeyedRow { key: key_bytes(key), row: encoded(&types, &values) };
    let rows = vec![(row, hint(&txn.newest(tree, key)))];
    let batch = PatchBatch { descriptor: tree.clone(), columns: columns.into(), rows };
    txn.shard.stage_patches(txn.id, CommandId(txn.command), batch).unwrap();
    txn.command += 1;
}

struct One(Option<Vec<Datum>>);

impl RowSink for One {
    fn row(&mut self, values: &[DatumRef<'_>], _: RowHint) -> Result<()> {
        self.0 = Some(values.iter().map(|value| value.to_owned()).collect());
        Ok(())
    }
}

fn read(world: &World, txn: Option<&Txn<'_>>, tree: &TreeDescriptor, key: i64) -> Vec<Datum> {
    let columns: Vec<ColumnId> = tree.columns.iter().map(|column| column.id).collect();
    let context = context(txn.map(|txn| txn.id), txn.map_or(0, |txn| txn.command), &world.snapshot());
    let mut one = One(None);
    world.shard.get(&context, tree.tree, &key_bytes(key), &columns, &mut one).unwrap();
    one.0.expect("a row")
}

fn define(world: &World, tree: &TreeDescriptorRef) {
    let txn = world.begin();
    world.shard.define_tree(txn.id, CommandId(0), tree.clone()).unwrap();
    txn.commit().unwrap();
}

/// The row of `key` with new values in some columns.
fn with(key: i64, new: &[(usize, Datum)]) -> Vec<Datum> {
    let mut row = values(key);
    for (at, value) in new {
        row[*at] = value.clone();
    }
    row
}

fn changes() -> Vec<Vec<(usize, Datum)>> {
    vec![
        vec![(3, Datum::Decimal { unscaled: -99, scale: 2 })],
        vec![(1, Datum::Text("another text".to_owned()))],
        vec![(1, Datum::Null), (5, Datum::Int16(7))],
        vec![(2, Datum::Null), (4, Datum::Bytes(vec![0; 30]))],
        vec![],
    ]
}

/// Patches rows that `place` has put somewhere, and reads them back in the transaction, after its commit and after a crash.
fn patched_rows_are_whole(options: ShardOptions, place: impl Fn(&World, &TreeDescriptorRef)) {
    let (mut world, tree) = (World::with(5, options), tree());
    define(&world, &tree);
    let mut txn = world.begin();
    insert(&mut txn, &tree, 0..100);
    txn.commit().unwrap();
    place(&world, &tree);
    let changes = changes();
    let change = |key: i64| &changes[key as usize % changes.len()];
    let mut txn = world.begin();
    (0..100).for_each(|key| patch(&mut txn, &tree, key, change(key)));
    (0..100).for_each(|key| assert_eq!(read(&world, Some(&txn), &tree, key), with(key, change(key)), "own row {key}"));
    // Again, on what it has written itself.
    patch(&mut txn, &tree, 50, &[(5, Datum::Int16(-1))]);
    let twice = with(50, &[(3, Datum::Decimal { unscaled: -99, scale: 2 }), (5, Datum::Int16(-1))]);
    assert_eq!(read(&world, Some(&txn), &tree, 50), twice);
    assert_eq!(read(&world, None, &tree, 51), values(51), "not committed yet");
    txn.commit().unwrap();
    for _ in 0..2 {
        for key in 0..100 {
            let expected = if key == 50 { twice.clone() } else { with(key, change(key)) };
            assert_eq!(read(&world, None, &tree, key), expected, "row {key}");
        }
        world = world.crash();
    }
}

#[test]
fn rows_in_memory() {
    patched_rows_are_whole(small_options(), |_, _| {});
}

#[test]
fn rows_of_segments() {
    patched_rows_are_whole(small_options(), |world, _| block_on(world.shard.checkpoint(false)).unwrap());
    patched_rows_are_whole(small_options(), |world, _| block_on(world.shard.checkpoint(true)).unwrap());
}

#[test]
fn rows_that_were_read_before() {
    patched_rows_are_whole(small_options(), |world, tree| {
        block_on(world.shard.checkpoint(true)).unwrap();
        (0..300).for_each(|at| _ = read(world, None, tree, at % 100));
        assert!(world.shard.metrics().row_cache_hits > 0, "some rows are in the row cache");
    });
}

#[test]
fn rows_of_a_transaction_that_leaves_memory() {
    let options = ShardOptions { txn_spill_bytes: 2_000, ..small_options() };
    patched_rows_are_whole(options, |world, tree| {
        let mut txn = world.begin();
        insert(&mut txn, tree, 1000..1200);
        for key in 1000..1200 {
            patch(&mut txn, tree, key, &[(2, Datum::Bool(true)), (4, Datum::Null)]);
        }
        for key in 1000..1200 {
            let expected = with(key, &[(2, Datum::Bool(true)), (4, Datum::Null)]);
            assert_eq!(read(world, Some(&txn), tree, key), expected);
        }
        txn.rollback();
    });
}

#[test]
fn rows_older_than_a_column_get_it() {
    let (world, tree) = (World::with(5, small_options()), tree());
    define(&world, &tree);
    let mut txn = world.begin();
    insert(&mut txn, &tree, 0..20);
    txn.commit().unwrap();
    block_on(world.shard.checkpoint(false)).unwrap();
    let mut txn = world.begin();
    insert(&mut txn, &tree, 20..40);
    txn.commit().unwrap();
    let wide = wider(&tree);
    let added = Datum::Text("added".to_owned());
    let whole =
        |key: i64, new: &[(usize, Datum)]| with(key, new).into_iter().chain([added.clone()]).collect::<Vec<_>>();
    // In the transaction that adds the column, and in a later one.
    let mut txn = world.begin();
    world.shard.define_tree(txn.id, CommandId(txn.command), wide.clone()).unwrap();
    txn.command += 1;
    let new = [(2, Datum::Null)];
    (0..40).step_by(2).for_each(|key| patch(&mut txn, &wide, key, &new));
    assert_eq!(read(&world, Some(&txn), &wide, 2), whole(2, &new));
    txn.commit().unwrap();
    let mut txn = world.begin();
    (1..40).step_by(2).for_each(|key| patch(&mut txn, &wide, key, &new));
    txn.commit().unwrap();
    let world = world.crash();
    (0..40).for_each(|key| assert_eq!(read(&world, None, &wide, key), whole(key, &new)));
}

#[test]
fn a_patch_that_is_undone_leaves_the_row() {
    let (world, tree) = (World::with(5, small_options()), tree());
    define(&world, &tree);
    let mut txn = world.begin();
    insert(&mut txn, &tree, 0..2);
    txn.commit().unwrap();
    let mut txn = world.begin();
    patch(&mut txn, &tree, 1, &[(5, Datum::Int16(5))]);
    world.shard.savepoint(txn.id, CommandId(txn.command)).unwrap();
    let from = CommandId(txn.command);
    patch(&mut txn, &tree, 1, &[(2, Datum::Null)]);
    world.shard.rollback_to(txn.id, from).unwrap();
    txn.command += 1;
    assert_eq!(read(&world, Some(&txn), &tree, 1), with(1, &[(5, Datum::Int16(5))]));
    patch(&mut txn, &tree, 1, &[(1, Datum::Text("after".to_owned()))]);
    txn.commit().unwrap();
    let expected = with(1, &[(1, Datum::Text("after".to_owned())), (5, Datum::Int16(5))]);
    assert_eq!(read(&world, None, &tree, 1), expected);
    // What is not there, or was deleted by the transaction, is not updated.
    let refused = |txn: &Txn<'_>, key: i64| {
        let row = KeyedRow { key: key_bytes(key), row: encoded(&[PhysicalType::Bool], &[Datum::Null]) };
        let rows = vec![(row, RowHint::default())];
        let batch = PatchBatch { descriptor: tree.clone(), columns: Arc::from([2]), rows };
        world.shard.stage_patches(txn.id, CommandId(txn.command), batch).is_err()
    };
    let mut txn = Txn { shard: &world.shard, id: world.shard.begin(BranchId(0)).unwrap(), command: 0 };
    assert!(refused(&txn, 77));
    txn.delete(&tree, 1);
    assert!(refused(&txn, 1));
    txn.rollback();
}
