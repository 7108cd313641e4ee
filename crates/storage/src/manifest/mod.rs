//! What a shard durably is: which files hold which rows, from where the log is replayed, which shapes and counters exist.
//!
//! A manifest is one immutable, checksummed file, `manifest/<number>`; `CURRENT` names the one that counts. Nothing in a
//! manifest may be less durable than the log record that made it.

mod files;
mod format;
mod invariants;

use bytes::Bytes;
use heliosdb_contracts::TreeDescriptorRef;
use heliosdb_types::{BranchId, CommitTs, Lsn, SchemaVersion, SegmentId, SequenceId, TreeRef};

pub(crate) use files::{
    DELETES_MAGIC_1, ManifestFiles, current_text, deletes_path, load_deletes, manifest_number, manifest_path,
    read_current, read_current_unchecked, read_manifest, segment_id_of, segment_path, swap_manifest, write_deletes,
    write_manifest,
};
pub(crate) use format::{encode as encode_manifest, put_segment, read_segment};
pub(crate) use invariants::{broken as broken_invariants, check};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Manifest {
    /// Counts manifests of the shard; the file's name.
    pub number: u64,
    /// Records after this are replayed; those up to it are in segments.
    pub replay_lsn: Lsn,
    /// Newest record whose effect on shapes, counters and loads is in here.
    pub captured_lsn: Lsn,
    /// At or above every timestamp in here.
    pub last_ts: CommitTs,
    pub catalog_ts: CommitTs,
    pub next_segment: u64,
    pub next_deletes: u64,
    pub next_tree: u64,
    pub branches: Vec<Branch>,
    pub trees: Vec<TreeEntry>,
    pub segments: Vec<SegmentEntry>,
    pub counters: Vec<(SequenceId, u64)>,
    /// The next hidden row id of a tree.
    pub row_ids: Vec<(TreeRef, u64)>,
    /// Bulk loads after `replay_lsn` whose segments (or what they were merged into) are listed here already.
    pub installed_loads: Vec<Lsn>,
}

/// A branch reads its parent's rows up to the ceiling. Today there is the trunk only.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Branch {
    pub id: BranchId,
    pub parent: Option<(BranchId, CommitTs)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TreeEntry {
    pub branch: BranchId,
    pub tree: TreeRef,
    /// Every version somebody's rows may have, oldest first.
    pub descriptors: Vec<TreeDescriptorRef>,
    pub dropped: Option<CommitTs>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SegmentEntry {
    pub meta: SegmentMeta,
    pub deletes: Option<DeletesPlace>,
}

/// A segment file and what is known of it without opening it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SegmentMeta {
    pub id: SegmentId,
    pub branch: BranchId,
    pub tree: TreeRef,
    /// 0: frozen or loaded; 1: merged.
    pub level: u8,
    pub schema: SchemaVersion,
    pub rows: u32,
    pub file_bytes: u64,
    pub file_checksum: u64,
    pub min_key: Bytes,
    pub max_key: Bytes,
    pub min_ts: CommitTs,
    pub max_ts: CommitTs,
    /// All rows were committed then (a bulk load); otherwise each row says.
    pub stamp: Option<CommitTs>,
}

/// Where a segment's delete vector is: part of a file of many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeletesPlace {
    pub file: u64,
    pub offset: u64,
    pub len: u32,
    pub checksum: u32,
}

impl Manifest {
    /// Of a shard that holds nothing.
    pub fn empty() -> Manifest {
        Manifest {
            number: 0,
            replay_lsn: Lsn(0),
            captured_lsn: Lsn(0),
            last_ts: CommitTs::ZERO,
            catalog_ts: CommitTs::ZERO,
            next_segment: 1,
            next_deletes: 1,
            next_tree: TreeRef::FIRST_USER_TREE.0,
            branches: vec![Branch { id: BranchId(0), parent: None }],
            trees: Vec::new(),
            segments: Vec::new(),
            counters: Vec::new(),
            row_ids: Vec::new(),
            installed_loads: Vec::new(),
        }
    }
}

impl SegmentMeta {
    /// Whether rows of the key may be in here.
    pub fn may_hold(&self, key: &[u8]) -> bool {
        self.min_key.as_ref() <= key && key <= self.max_key.as_ref()
    }
}
