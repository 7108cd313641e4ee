//! What readers pin: one immutable view of which memtables and segments hold a shard's rows.

use std::sync::Arc;

use heliosdb_types::{CommitTs, Error, Result, SegmentId, SqlState};
use rustc_hash::FxHashMap;

use crate::memtable::{BranchTree, Generation};
use crate::segment_list::{NO_SEGMENTS, SegmentList};
use crate::segments::Segment;
use crate::shape::TreeState;

pub(crate) type TreeStates = FxHashMap<BranchTree, Arc<TreeState>>;
pub(crate) type SegmentMap = FxHashMap<BranchTree, Arc<SegmentList>>;

/// Never changed in place: commits append to its active memtable, everything else installs a new version.
#[derive(Clone)]
pub(crate) struct Version {
    /// Changes whenever rows change place: hints of another epoch may be stale.
    pub epoch: u64,
    pub trees: Arc<TreeStates>,
    pub active: Arc<Generation>,
    /// Newest first.
    pub frozen: Vec<Arc<Generation>>,
    pub segments: Arc<SegmentMap>,
}

impl Version {
    /// Memtables, newest first.
    pub fn memtables(&self) -> impl Iterator<Item = &Arc<Generation>> {
        std::iter::once(&self.active).chain(&self.frozen)
    }

    pub fn segments(&self, tree: BranchTree) -> &SegmentList {
        self.segments.get(&tree).map_or(&NO_SEGMENTS, |segments| segments)
    }

    pub fn segment(&self, tree: BranchTree, id: SegmentId) -> Option<&Arc<Segment>> {
        self.segments(tree).iter().find(|segment| segment.meta.id == id)
    }

    /// The tree as a snapshot sees it. A dropped one stays readable for snapshots before its end.
    pub fn tree(&self, tree: BranchTree, snapshot: CommitTs) -> Result<&Arc<TreeState>> {
        let found = self.trees.get(&tree).filter(|state| state.dropped.is_none_or(|end| snapshot < end));
        // The catalog names trees, and names none that is gone: a plan may still do, if the table was dropped meanwhile.
        found.ok_or_else(|| {
            let message = format!("could not open tree {}: it was dropped or never made", tree.1);
            Error::invalid(SqlState::UNDEFINED_TABLE, message)
        })
    }

    pub fn all_segments(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.segments.values().flat_map(|segments| segments.iter())
    }
}
