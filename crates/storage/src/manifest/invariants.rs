//! What holds of every manifest: checked before each swap and at open, by production and simulation alike.

use heliosdb_types::{BranchId, Error, Result};
use rustc_hash::{FxHashMap, FxHashSet};

use super::Manifest;
use crate::large::tree_number;

pub(crate) fn check(manifest: &Manifest) -> Result<()> {
    match broken(manifest).first() {
        Some(name) => Err(Error::corrupt(format!("manifest {} breaks the invariant {name}", manifest.number))),
        None => Ok(()),
    }
}

/// Every invariant that does not hold, by name.
pub(crate) fn broken(manifest: &Manifest) -> Vec<&'static str> {
    let all = [
        ("log_is_replayed_from_before_what_was_captured", manifest.replay_lsn <= manifest.captured_lsn),
        ("trunk_exists_and_parents_come_first", branches_are_rooted(manifest)),
        ("segment_ids_are_unique_and_below_the_next", segment_ids_are_unique(manifest)),
        ("segments_belong_to_trees_and_branches", segments_have_owners(manifest)),
        ("segment_fences_and_stamps_are_ordered", segment_fences_are_ordered(manifest)),
        ("descriptor_versions_ascend_and_keys_stay", descriptors_ascend(manifest)),
        ("delete_files_are_below_the_next", deletes_are_known(manifest)),
        (
            "tree_ids_are_below_the_next",
            manifest.trees.iter().all(|entry| tree_number(entry.tree) < manifest.next_tree),
        ),
        ("installed_loads_are_after_the_replay_point", loads_are_recent(manifest)),
    ];
    all.into_iter().filter(|(_, holds)| !holds).map(|(name, _)| name).collect()
}

fn branches_are_rooted(manifest: &Manifest) -> bool {
    let mut seen = FxHashSet::default();
    manifest.branches.first().is_some_and(|trunk| trunk.id == BranchId(0) && trunk.parent.is_none())
        && manifest.branches.iter().all(|branch| {
            let parent_known = branch.parent.map_or(branch.id == BranchId(0), |(parent, _)| seen.contains(&parent));
            parent_known && seen.insert(branch.id)
        })
}

fn segment_ids_are_unique(manifest: &Manifest) -> bool {
    let mut seen = FxHashSet::default();
    let mut ids = manifest.segments.iter().map(|entry| entry.meta.id);
    ids.all(|id| id.0 > 0 && id.0 < manifest.next_segment && seen.insert(id))
}

fn segments_have_owners(manifest: &Manifest) -> bool {
    let trees: FxHashMap<_, _> = manifest.trees.iter().map(|entry| ((entry.branch, entry.tree), entry)).collect();
    manifest.segments.iter().all(|entry| {
        manifest.branches.iter().any(|branch| branch.id == entry.meta.branch)
            && trees
                .get(&(entry.meta.branch, entry.meta.tree))
                .is_some_and(|tree| tree.descriptors.iter().any(|d| d.version == entry.meta.schema))
    })
}

fn segment_fences_are_ordered(manifest: &Manifest) -> bool {
    manifest.segments.iter().map(|entry| &entry.meta).all(|meta| {
        meta.rows > 0
            && meta.min_key <= meta.max_key
            && meta.min_ts <= meta.max_ts
            && meta.max_ts <= manifest.last_ts
            && meta.stamp.is_none_or(|stamp| stamp == meta.min_ts && stamp == meta.max_ts)
    })
}

fn descriptors_ascend(manifest: &Manifest) -> bool {
    let mut seen = FxHashSet::default();
    manifest.trees.iter().all(|entry| {
        seen.insert((entry.branch, entry.tree))
            && !entry.descriptors.is_empty()
            && entry.descriptors.iter().all(|descriptor| descriptor.tree == entry.tree)
            && entry.descriptors.windows(2).all(|pair| pair[0].version < pair[1].version && pair[0].key == pair[1].key)
    })
}

fn deletes_are_known(manifest: &Manifest) -> bool {
    let mut places = manifest.segments.iter().filter_map(|entry| entry.deletes);
    places.all(|place| place.file < manifest.next_deletes)
}

fn loads_are_recent(manifest: &Manifest) -> bool {
    manifest.installed_loads.iter().all(|&lsn| lsn > manifest.replay_lsn && lsn <= manifest.captured_lsn)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // fixtures are files of the source tree
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use heliosdb_contracts::{TreeDescriptor, TreeKey};
    use heliosdb_runtime::{Disk, SimDisk};
    use heliosdb_types::{CommitTs, DatabaseId, ErrorKind, Lsn, SchemaVersion, SegmentId, SequenceId, TreeId, TreeRef};

    use super::super::{
        ManifestFiles, SegmentEntry, SegmentMeta, TreeEntry, read_current, swap_manifest, write_manifest,
    };
    use super::*;

    fn example() -> Manifest {
        let tree = TreeRef::new(DatabaseId(1), TreeId(1030));
        let descriptor =
            TreeDescriptor { tree, version: SchemaVersion(1), columns: vec![], key: TreeKey::RowId, sort: None };
        let meta = SegmentMeta {
            id: SegmentId(4),
            branch: BranchId(0),
            tree,
            level: 0,
            schema: SchemaVersion(1),
            rows: 3,
            file_bytes: 100,
            file_checksum: 7,
            min_key: Bytes::from_static(b"a"),
            max_key: Bytes::from_static(b"b"),
            min_ts: CommitTs(5),
            max_ts: CommitTs(6),
            stamp: None,
        };
        Manifest {
            number: 3,
            last_ts: CommitTs(9),
            captured_lsn: Lsn(12),
            replay_lsn: Lsn(10),
            next_segment: 5,
            next_tree: 1031,
            trees: vec![TreeEntry {
                branch: BranchId(0),
                tree,
                descriptors: vec![Arc::new(descriptor)],
                dropped: None,
            }],
            segments: vec![SegmentEntry { meta, deletes: None }],
            counters: vec![(SequenceId(1), 33)],
            row_ids: vec![(tree, 9)],
            installed_loads: vec![Lsn(11)],
            ..Manifest::empty()
        }
    }

    #[test]
    fn a_manifest_comes_back_and_damage_is_never_another_manifest() {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
        disk.create_dir(ManifestFiles::MANIFESTS).unwrap();
        assert!(read_current(&disk).unwrap().is_none());
        for manifest in [Manifest { number: 2, ..example() }, example()] {
            write_manifest(&disk, &manifest).unwrap();
            swap_manifest(&disk, &manifest).unwrap();
        }
        assert_eq!(read_current(&disk).unwrap().unwrap(), example());
        for path in ["manifest/0000000003", "CURRENT"] {
            let whole = disk.read(path).unwrap();
            for at in 0..whole.len() {
                let mut hostile = whole.clone();
                hostile[at] ^= 0x20;
                disk.write_atomic(path, &hostile).unwrap();
                match read_current(&disk) {
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{path} at {at}"),
                    // White space around CURRENT's words is not damage.
                    Ok(read) => assert_eq!(read.unwrap(), example(), "{path} at {at}"),
                }
            }
            disk.write_atomic(path, &whole).unwrap();
        }
    }

    /// Shards written by this version must stay readable. Rewrite with HELIOSDB_REWRITE=1 only before a release.
    #[test]
    fn a_manifest_of_format_version_1_is_read() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/manifest-v1.bin");
        if std::env::var_os("HELIOSDB_REWRITE").is_some() {
            std::fs::write(path, super::super::format::encode(&example())).unwrap();
        }
        let bytes = std::fs::read(path).unwrap();
        assert_eq!(super::super::format::decode(bytes, path).unwrap(), example());
    }

    #[test]
    fn a_manifest_of_a_newer_version_is_refused() {
        let mut bytes = super::super::format::encode(&example());
        bytes[8] = 2;
        let error = super::super::format::decode(bytes, "m").unwrap_err();
        assert!(error.message().contains("has version 2, this program knows 1"), "{error}");
    }

    #[test]
    fn broken_invariants_are_named() {
        let mut broken = example();
        broken.next_segment = 4;
        assert!(check(&broken).unwrap_err().message().contains("segment_ids_are_unique"));
        let mut broken = example();
        broken.trees.clear();
        assert!(check(&broken).unwrap_err().message().contains("segments_belong"));
        let mut broken = example();
        broken.installed_loads = vec![Lsn(10)];
        assert!(check(&broken).unwrap_err().message().contains("installed_loads"));
    }
}
