//! Doing a merge: write the rows that anybody can still see, then swap the manifest.
//!
//! Deletes that land while it runs are carried over by row: once before the manifest is written, and once more, under the
//! commit mutex, before the new version is installed.

use std::sync::Arc;

use bytes::Bytes;
use heliosdb_hcc::Temperature;
use heliosdb_runtime::failpoint;
use heliosdb_types::{CommitTs, Error, Result};

use super::merge::{Input, Merge};
use super::{Job, Limits, SegmentView, choose};
use crate::core::Core;
use crate::dead_rows::DeadRows;
use crate::memtable::BranchTree;
use crate::metrics::Counters;
use crate::segment::CommitStamp;
use crate::segments::Segment;
use crate::shape::TreeState;
use crate::swap::Change;
use crate::tree_writer::{Place, TreeWriter};
use crate::version::Version;

/// Where the inputs' rows went: four bytes a row, for a merge may have millions.
struct RowMap {
    /// By input and row: which row of all that were written, in their order. `LEFT_OUT` for those nobody can see.
    rows: Vec<Vec<u32>>,
    /// The first row of each output.
    starts: Vec<u32>,
    written: u32,
}

const LEFT_OUT: u32 = u32::MAX;

impl RowMap {
    fn new(inputs: &[Arc<Segment>]) -> RowMap {
        let rows = inputs.iter().map(|input| vec![LEFT_OUT; input.meta.rows as usize]).collect();
        RowMap { rows, starts: Vec::new(), written: 0 }
    }

    /// Rows of inputs that went to consecutive rows of an output.
    fn note(&mut self, output: u32, origins: &[(u32, u32)]) -> Result<()> {
        while self.starts.len() <= output as usize {
            self.starts.push(self.written);
        }
        for (input, row) in origins {
            let place = self.rows.get_mut(*input as usize).and_then(|rows| rows.get_mut(*row as usize));
            *place.ok_or_else(|| Error::internal("a merged row comes from an input"))? = self.written;
            self.written = self.written.checked_add(1).ok_or_else(|| Error::internal("a merge of too many rows"))?;
        }
        Ok(())
    }

    fn place(&self, input: usize, row: u32) -> Option<Place> {
        let at = *self.rows.get(input)?.get(row as usize)?;
        if at == LEFT_OUT {
            return None;
        }
        let output = self.starts.partition_point(|start| *start <= at).checked_sub(1)?;
        Some((output as u32, at - self.starts.get(output)?))
    }
}

impl Core {
    /// Runs the next merge that pays. False if there is none.
    pub fn compact_once(&self) -> Result<bool> {
        let mut last = self.compacting.lock();
        let version = self.version.load_full();
        let mut trees: Vec<BranchTree> = version.segments.keys().copied().collect();
        trees.sort_unstable();
        // In turns: a tree that always has something due would hold up those after it.
        let next = trees.partition_point(|&tree| Some(tree) <= *last);
        trees.rotate_left(next);
        for tree in trees {
            if let Some(job) = self.choose_for(&version, tree) {
                *last = Some(tree);
                self.merge(&version, tree, &job)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn choose_for(&self, version: &Version, tree: BranchTree) -> Option<Job> {
        let horizon = self.gc_horizon();
        version.trees.get(&tree).filter(|state| state.dropped.is_none())?;
        let view = |segment: &Arc<Segment>| SegmentView {
            id: segment.meta.id,
            level: segment.meta.level,
            rows: u64::from(segment.meta.rows),
            dead_rows: segment.mask(horizon).map_or(0, |dead| dead.len()),
            settled: segment.reader.info().temperature != Temperature::Young,
            min_key: segment.meta.min_key.clone(),
            max_key: segment.meta.max_key.clone(),
        };
        let segments: Vec<SegmentView> = version.segments(tree).iter().map(view).collect();
        let limits = Limits {
            segment_rows: self.options.segment_rows as u64,
            young_max: self.options.young_segments_max,
            runs_max: self.options.merged_runs_max,
            small_max: self.options.young_segments_max,
            dead_min: self.options.block_rows as u64,
        };
        choose(&segments, limits)
    }

    fn merge(&self, version: &Version, tree: BranchTree, job: &Job) -> Result<()> {
        failpoint("compaction.begin")?;
        // What ended by now is left out, and everything that ends later is kept in the delete vectors' tails.
        let pin = self.horizon.pin_oldest(|| self.visibility.visible_ts());
        let state = version.tree(tree, CommitTs::MAX)?.clone();
        let inputs: Vec<Arc<Segment>> =
            job.inputs.iter().filter_map(|&id| version.segment(tree, id).cloned()).collect();
        let mut writer =
            TreeWriter::new(self.background_target(), tree.0, state.clone(), job.level, CommitStamp::PerRow);
        if overlap(&inputs) {
            writer = writer.among_others();
        }
        let write = || self.write_merged(&inputs, &state, pin.ts, writer);
        let (outputs, map) = self.giving_way("merge rows", write)?;
        failpoint("compaction.segments_written")?;
        let mut carried = pin.ts;
        let mut carry = |upto: CommitTs| {
            carry_deletes(&inputs, &map, &outputs, carried, upto);
            carried = upto;
        };
        let change = Change { add: outputs.clone(), remove: job.inputs.clone(), frozen: None, carry: &mut carry };
        self.swap_or_undo(change, &outputs)?;
        Counters::add(&self.counters.compactions, 1);
        let bytes = |segments: &[Arc<Segment>]| segments.iter().map(|segment| segment.meta.file_bytes).sum();
        Counters::add(&self.counters.compaction_read_bytes, bytes(&inputs));
        Counters::add(&self.counters.compaction_written_bytes, bytes(&outputs));
        let written = map.written;
        Counters::add(&self.counters.compacted_rows, written.into());
        tracing::debug!(tree = %tree.1, inputs = inputs.len(), outputs = outputs.len(), rows = written, "merged segments");
        failpoint("compaction.done")
    }

    /// The rows of `inputs` that somebody at `horizon` or later sees, as new segments.
    fn write_merged(
        &self,
        inputs: &[Arc<Segment>],
        state: &Arc<TreeState>,
        horizon: CommitTs,
        mut writer: TreeWriter,
    ) -> Result<(Vec<Arc<Segment>>, RowMap)> {
        let source = |segment: &Arc<Segment>| {
            Input::new(segment.clone(), dead_rows(segment, horizon), state.clone(), self.background_io.clone())
        };
        let mut rows = Merge::new(inputs.iter().map(source).collect(), self.options.block_rows)?;
        let mut map = RowMap::new(inputs);
        // Many more than merging waits for: it has fallen behind.
        let is_late = inputs.len() > 2 * (self.options.young_segments_max + 1);
        let mut pace = self.pace();
        while let Some(merged) = rows.next()? {
            let (segment, _) = writer.add_columns(&merged.columns, &merged.keys, &merged.begin)?;
            map.note(segment, &merged.origins)?;
            if self.stopping.load(std::sync::atomic::Ordering::Acquire) && self.options.background {
                return Err(Error::cancelled("the shard is stopping"));
            }
            pace.rest(is_late);
        }
        Ok((Segment::open_written(&self.disk, &self.cache, writer.finish()?)?, map))
    }
}

/// Rows nobody can see: deleted for every snapshot, or deleted by the very load that brought them. The latter may be
/// younger than the horizon, but another version of their key has the same timestamp.
fn dead_rows(segment: &Segment, horizon: CommitTs) -> Option<Arc<DeadRows>> {
    let dead = segment.mask(horizon);
    let Some(stamp) = segment.meta.stamp.filter(|&stamp| stamp > horizon) else { return dead };
    let later = segment.deletes.since(horizon);
    let hidden = later.iter().filter(|(ts, _)| *ts == stamp).map(|&(_, row)| row);
    let mut dead = dead.map(Arc::unwrap_or_clone).unwrap_or_default();
    dead.extend(hidden);
    Some(Arc::new(dead))
}

/// Whether keys of one lie between keys of another.
fn overlap(segments: &[Arc<Segment>]) -> bool {
    let mut ranges: Vec<(&Bytes, &Bytes)> = segments.iter().map(|s| (&s.meta.min_key, &s.meta.max_key)).collect();
    ranges.sort_unstable();
    ranges.windows(2).any(|pair| matches!(pair, [(_, last), (first, _)] if first < last))
}

/// Deletes of the inputs in `(after, upto]`, onto the outputs, in commit order.
fn carry_deletes(inputs: &[Arc<Segment>], map: &RowMap, outputs: &[Arc<Segment>], after: CommitTs, upto: CommitTs) {
    let mut deletes: Vec<(CommitTs, Place)> = Vec::new();
    for (at, input) in inputs.iter().enumerate() {
        for (ts, row) in input.deletes.since(after) {
            if ts <= upto && input.meta.stamp != Some(ts) {
                let place = map.place(at, row);
                deletes.push((ts, place.expect("a row deleted after the merge's horizon was merged")));
            }
        }
    }
    deletes.sort_unstable();
    for (ts, (segment, row)) in deletes {
        let fresh = outputs.get(segment as usize).is_some_and(|segment| segment.deletes.delete(row, ts));
        assert!(fresh, "a merged row is deleted once");
    }
}
