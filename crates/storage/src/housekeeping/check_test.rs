//! Lies whose checksums hold: each is found, by the name of the rule it breaks.

use std::sync::Arc;

use futures::executor::block_on;
use heliosdb_contracts::{
    ColumnDescriptor, KeyedRow, ShardStore, TreeDescriptor, TreeDescriptorRef, TreeKey, WriteBatch,
};
use heliosdb_runtime::{Disk, OpenMode, SeededEntropy, SimClock, SimDisk, Spawner};
use heliosdb_types::{
    BranchId, ColumnId, CommandId, DatabaseId, DatumRef, PhysicalType, SchemaVersion, TreeId, TreeRef, encode_key,
    encode_row,
};

use super::check_dir;
use crate::manifest::{Manifest, read_current, segment_path, swap_manifest, write_manifest};
use crate::segment::{Lie, with_lie};
use crate::{Shard, ShardOptions, ShardParts};

fn descriptor() -> TreeDescriptorRef {
    let column = |id, physical| ColumnDescriptor { id: ColumnId(id), physical, nullable: true, missing: None };
    Arc::new(TreeDescriptor {
        tree: TreeRef::new(DatabaseId(1), TreeId(2000)),
        version: SchemaVersion(1),
        columns: vec![column(1, PhysicalType::Int64), column(2, PhysicalType::Text)],
        key: TreeKey::Columns(vec![ColumnId(1)]),
        sort: None,
    })
}

fn row(key: i64, text: &str) -> KeyedRow {
    let (mut encoded, mut row) = (Vec::new(), Vec::new());
    encode_key(&mut encoded, DatumRef::Int64(key), false);
    encode_row(&[PhysicalType::Int64, PhysicalType::Text], &[DatumRef::Int64(key), DatumRef::Text(text)], &mut row)
        .unwrap();
    KeyedRow { key: encoded.into(), row: row.into() }
}

/// A stopped shard: two segments of one tree, of which the second supersedes some rows of the first.
fn stopped() -> Arc<dyn Disk> {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    let parts = ShardParts {
        disk: disk.clone(),
        clock: Arc::new(SimClock::new(1_800_000_000_000_000)),
        entropy: Arc::new(SeededEntropy::new(3)),
        spawner: Spawner::threads(),
    };
    let options = ShardOptions {
        background: false,
        log_inline: true,
        log_file_bytes: 64 << 10,
        block_rows: 16,
        ..ShardOptions::default()
    };
    let (shard, _) = Shard::open(parts, options).unwrap();
    let commit = |stage: &dyn Fn(heliosdb_types::TxnId)| {
        let txn = shard.begin(BranchId(0)).unwrap();
        stage(txn);
        let appended = shard.commit(txn).unwrap();
        block_on(shard.durable(appended.lsn)).unwrap();
    };
    commit(&|txn| {
        shard.define_tree(txn, CommandId(0), descriptor()).unwrap();
        // Keys far apart, so that a filter pays.
        let rows = (0..60).map(|key| row(key * 1000, "first")).collect();
        shard.stage_inserts(txn, CommandId(1), descriptor(), rows).unwrap();
    });
    block_on(shard.checkpoint(false)).unwrap();
    commit(&|txn| {
        let updates = (10..20).map(|key| (row(key * 1000, "second"), Default::default())).collect();
        let batch = WriteBatch { descriptor: descriptor(), updates, deletes: Vec::new() };
        shard.stage_writes(txn, CommandId(0), batch).unwrap();
    });
    block_on(shard.checkpoint(false)).unwrap();
    shard.close().unwrap();
    disk
}

fn rules(disk: &Arc<dyn Disk>) -> Vec<String> {
    let mut found = check_dir(disk, &|| Ok(())).unwrap().findings;
    found.retain(|finding| !finding.harmless);
    assert!(found.iter().all(|finding| finding.file.is_some()), "{found:?}");
    let mut rules: Vec<String> = found.into_iter().map(|finding| finding.rule).collect();
    rules.dedup();
    rules
}

/// Makes another manifest count.
fn change(disk: &Arc<dyn Disk>, change: impl FnOnce(&mut Manifest)) {
    let mut manifest = read_current(disk).unwrap().unwrap();
    manifest.number += 1;
    change(&mut manifest);
    write_manifest(disk, &manifest).unwrap();
    swap_manifest(disk, &manifest).unwrap();
}

#[test]
fn lies_in_footers_are_found_by_rule() {
    for (lie, rule) in [
        (Lie::ZoneMap, "zone_maps_hold_their_values"),
        (Lie::NullCount, "zone_maps_hold_their_values"),
        (Lie::Fence, "block_fences_are_its_keys"),
        (Lie::Times, "block_times_hold_its_rows"),
        (Lie::Bloom, "bloom_holds_every_key"),
    ] {
        let disk = stopped();
        assert_eq!(rules(&disk), Vec::<String>::new());
        let first = read_current(&disk).unwrap().unwrap().segments[0].meta.id;
        let path = segment_path(first);
        let bytes = with_lie(&disk.read(&path).unwrap(), lie);
        let file = disk.open(&path, OpenMode::Write).unwrap();
        file.truncate(0).unwrap();
        file.write_at(&bytes, 0).unwrap();
        change(&disk, |manifest| {
            let meta = &mut manifest.segments[0].meta;
            (meta.file_bytes, meta.file_checksum) = (bytes.len() as u64, u64::from(crc32c::crc32c(&bytes)));
        });
        assert_eq!(rules(&disk), [rule], "{lie:?}");
    }
}

#[test]
fn lies_in_the_manifest_are_found_by_rule() {
    let disk = stopped();
    change(&disk, |manifest| manifest.segments[0].deletes = None);
    assert_eq!(rules(&disk), ["one_live_version_of_a_key"]);
    let disk = stopped();
    change(&disk, |manifest| manifest.segments[0].meta.rows += 1);
    assert_eq!(rules(&disk), ["segment_is_the_one_named"]);
    let disk = stopped();
    change(&disk, |manifest| manifest.segments[1].meta.file_checksum ^= 1);
    assert_eq!(rules(&disk), ["segment_checksum_holds"]);
    let disk = stopped();
    change(&disk, |manifest| manifest.segments[0].meta.min_ts.0 -= 1);
    assert_eq!(rules(&disk), ["segment_times_are_those_named"]);
    // One segment under two names.
    let disk = stopped();
    let (first, second) = {
        let manifest = read_current(&disk).unwrap().unwrap();
        (manifest.segments[0].clone(), manifest.segments[1].meta.id)
    };
    let bytes = disk.read(&segment_path(first.meta.id)).unwrap();
    disk.write_atomic(&segment_path(second), &bytes).unwrap();
    assert!(!rules(&disk).is_empty());
}
