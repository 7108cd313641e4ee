//! Committing: 1. find what each write supersedes; 2. under the commit mutex, take a timestamp and append the record;
//! 3. apply it to memory with that timestamp; 4. release. Nothing after the append may fail.
//!
//! Invariant: applied <= appended; rows carry a timestamp no snapshot has until the record is durable.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use bytes::Bytes;
use heliosdb_contracts::AppendedCommit;
use heliosdb_runtime::failpoint;
use heliosdb_types::{BranchId, CommitTs, Error, Lsn, Result, SegmentId, TreeRef, TxnId};
use heliosdb_wal::{NewRecord, RecordKind};
use roaring::RoaringBitmap;

use crate::core::Core;
use crate::large::tree_number;
use crate::log::{KIND_COMMIT, LoadedSegment, LogOp, Position, encode_ops};
use crate::memtable::{BranchTree, Generation, TreeMem, VersionId};
use crate::metrics::Counters;
use crate::segments::{Found, Segment};
use crate::shape::TreeState;
use crate::txnbuf::TxnBuffer;
use crate::version::{SegmentMap, Version};
use crate::visibility::CommitMark;

/// The version a write ends.
pub(crate) enum Target {
    /// None: an insert, or (in a replay) a row that was deleted before.
    Nothing,
    Memory {
        generation: Arc<Generation>,
        memtable: Arc<TreeMem>,
        id: VersionId,
    },
    Segment {
        segment: Arc<Segment>,
        row: u32,
    },
    /// Not a row: the segments a load adds.
    Load(Vec<Arc<Segment>>),
    /// Many rows of a segment.
    Rows(Arc<Segment>),
}

impl Core {
    pub fn commit(&self, txn: TxnId) -> Result<AppendedCommit> {
        let buffer = self.end_txn(txn).ok_or_else(|| Error::internal(format!("transaction {txn} is not open")))?;
        let mut buffer = buffer.lock();
        buffer.finish_spill()?;
        self.spill_the_rest(&mut buffer)?;
        let branch = buffer.branch;
        let masks = buffer.doomed().next().is_some() || buffer.deletes_more_than(self.options.mask_rows_min);
        let mut ops = buffer.net_ops(!masks);
        if ops.is_empty() && !masks {
            return Ok(AppendedCommit { ts: self.visibility.visible_ts(), lsn: Lsn(0) });
        }
        self.wait_for_room(ops.iter().map(LogOp::row_bytes).sum())?;
        for op in &ops {
            if let LogOp::Define(descriptor) = op {
                self.next_tree.fetch_max(tree_number(descriptor.tree) + 1, Ordering::Relaxed);
            }
        }
        // Most of the work, before others have to wait.
        buffer.rehome(&self.version.load_full())?;
        // Positions may be logged alone only while no segment can be replaced.
        let _segments_stay = masks.then(|| self.manifest.lock());
        let rows_written;
        let commit = loop {
            let version = self.version.load_full();
            check_trees(&version, branch, &ops)?;
            let targets = targets(&version, &buffer, &ops)?;
            let appended = if masks {
                let (deletes, rows) = masked(&version, &mut buffer)?;
                let mut all: Vec<LogOp> = ops.iter().cloned().chain(deletes).collect();
                self.append(&version, txn, branch, &mut all, targets.into_iter().chain(rows).collect())
            } else {
                self.append(&version, txn, branch, &mut ops, targets)
            };
            match appended {
                // A freeze or merge moved rows meanwhile: look again.
                Ok(None) => {}
                Ok(Some(commit)) => {
                    let doomed: u64 = buffer.doomed().map(|(_, _, rows)| rows.len()).sum();
                    rows_written = doomed + (ops.len() + if masks { buffer.deletes().count() } else { 0 }) as u64;
                    buffer.keep_private();
                    break commit;
                }
                Err(error) => {
                    if self.wal.check_fence().is_err() {
                        // The record's fate is unknown: its files must stay.
                        buffer.keep_private();
                    }
                    return Err(error);
                }
            }
        };
        Counters::add(&self.counters.commits, 1);
        Counters::add(&self.counters.rows_written, rows_written);
        self.poke_freezer();
        // A crash here loses a commit nobody was told of; an error would lie about one that may become durable.
        let _ = failpoint("commit.appended");
        Ok(commit)
    }

    /// `None` when rows have moved since `seen` was loaded.
    fn append(
        &self,
        seen: &Arc<Version>,
        txn: TxnId,
        branch: BranchId,
        ops: &mut [LogOp],
        targets: Vec<Target>,
    ) -> Result<Option<AppendedCommit>> {
        let bytes = encode_ops(ops);
        let mut state = self.commit.lock();
        if !Arc::ptr_eq(&self.version.load(), seen) {
            return Ok(None);
        }
        let ops = &*ops;
        for (op, target) in ops.iter().zip(&targets) {
            verify(seen, branch, op, target)?;
        }
        let ts = self.next_ts(state.last_ts);
        assert!(ts > state.last_ts, "commit timestamps ascend");
        let record = NewRecord { branch, txn, commit_ts: ts, ..NewRecord::new(RecordKind(KIND_COMMIT), &bytes) };
        let lsn = self.wal.append(&record)?;
        state.last_ts = ts;
        apply_ops(&self.version, branch, ops, targets, ts).expect("checked before the append");
        let system = ops.iter().any(|op| op.tree().is_some_and(TreeRef::is_system));
        let deletes = ops.iter().any(|op| matches!(op, LogOp::Delete { .. } | LogOp::Mask { .. }));
        if ops.iter().any(|op| matches!(op, LogOp::AddSegments(_))) {
            state.loads.push(lsn);
        }
        self.visibility.applied(lsn, Some(CommitMark { ts, system, deletes }));
        Ok(Some(AppendedCommit { ts, lsn }))
    }
}

/// What each operation ends. May read segments; the caller's row locks keep the answers true.
fn targets(version: &Version, buffer: &TxnBuffer, ops: &[LogOp]) -> Result<Vec<Target>> {
    let branch = buffer.branch;
    let target = |op: &LogOp| match op {
        LogOp::AddSegments(loaded) => {
            let named = |segment: &&Arc<Segment>| loaded.iter().any(|load| load.meta.id == segment.meta.id);
            Ok(Target::Load(buffer.private().filter(named).cloned().collect()))
        }
        LogOp::Update { tree, key, old, .. } | LogOp::Delete { tree, key, old } => {
            live_row(version, (branch, *tree), key, *old, CommitTs::MAX)
        }
        _ => Ok(Target::Nothing),
    };
    ops.iter().map(target).collect()
}

/// The live version of a key that began before `before`.
pub(crate) fn live_row(
    version: &Version,
    tree: BranchTree,
    key: &Bytes,
    old: Position,
    before: CommitTs,
) -> Result<Target> {
    for generation in version.memtables() {
        let Some(memtable) = generation.tree(tree) else { continue };
        let found = memtable.newest(key, |id, row| (id, row.is_live() && row.begin < before));
        match found {
            Some((id, true)) => {
                let generation = generation.clone();
                return Ok(Target::Memory { generation, memtable, id });
            }
            Some((_, false)) => break,
            None => {}
        }
    }
    live_in_segments(version, tree, key, old, before)
}

/// As [`live_row`], of what is in segments.
pub(crate) fn live_in_segments(
    version: &Version,
    tree: BranchTree,
    key: &Bytes,
    old: Position,
    before: CommitTs,
) -> Result<Target> {
    if let Some(segment) = version.segment(tree, old.segment)
        && segment.is_at(old.row, key)?
        && segment.deletes.deleted_at(old.row).is_none()
        && segment.begin_of(old.row)? < before
    {
        return Ok(Target::Segment { segment: segment.clone(), row: old.row });
    }
    for segment in version.segments(tree).holding(key) {
        if let Found::Live { row, .. } = segment.newest(key, before)? {
            return Ok(Target::Segment { segment: segment.clone(), row });
        }
    }
    Ok(Target::Nothing)
}

/// Puts a record's effects into memory. Under the commit mutex (or alone, in recovery).
pub(crate) fn apply_ops(
    current: &ArcSwap<Version>,
    branch: BranchId,
    ops: &[LogOp],
    targets: Vec<Target>,
    ts: CommitTs,
) -> Result<()> {
    let version = current.load_full();
    let mut trees = None;
    let mut segments = None;
    for (op, target) in ops.iter().zip(targets) {
        if let (LogOp::AddSegments(loaded), Target::Load(private)) = (op, &target) {
            install_load(segments.get_or_insert_with(|| (*version.segments).clone()), loaded, private, ts);
            continue;
        }
        if let (LogOp::Mask { rows, .. }, Target::Rows(segment)) = (op, &target) {
            // Verified to be live; in a replay some are deleted already.
            segment.deletes.delete_all(rows, ts);
            continue;
        }
        target.end(ts, op.tree().map_or(BranchTree::default(), |tree| (branch, tree)));
        match op {
            LogOp::Insert { tree, schema, key, row } | LogOp::Update { tree, schema, key, row, .. } => {
                let memtable = version.active.tree_or_new((branch, *tree));
                version.active.add_bytes(memtable.push(key.clone(), row.clone(), *schema, ts));
            }
            LogOp::Define(descriptor) => {
                let trees = trees.get_or_insert_with(|| (*version.trees).clone());
                let state = match trees.get(&(branch, descriptor.tree)) {
                    Some(state) => state.with(descriptor.clone())?,
                    None => TreeState::new(descriptor.clone()),
                };
                trees.insert((branch, descriptor.tree), Arc::new(state));
            }
            LogOp::Drop(tree) => {
                let trees = trees.get_or_insert_with(|| (*version.trees).clone());
                if let Some(state) = trees.get(&(branch, *tree)) {
                    let mut state = TreeState::clone(state);
                    state.dropped.get_or_insert(ts);
                    trees.insert((branch, *tree), Arc::new(state));
                }
            }
            LogOp::Delete { .. } | LogOp::AddSegments(_) | LogOp::Mask { .. } => {}
        }
    }
    if trees.is_some() || segments.is_some() {
        let trees = trees.map_or_else(|| version.trees.clone(), Arc::new);
        let segments = segments.map_or_else(|| version.segments.clone(), Arc::new);
        current.store(Arc::new(Version { trees, segments, ..Version::clone(&version) }));
    }
    Ok(())
}

/// A transaction's deletes, grouped by segment; those of rows in memory one by one. Of millions no list is made.
fn masked(version: &Version, buffer: &mut TxnBuffer) -> Result<(Vec<LogOp>, Vec<Target>)> {
    buffer.rehome(version)?;
    let mut rows: BTreeMap<SegmentId, (Arc<Segment>, RoaringBitmap)> = BTreeMap::new();
    for (tree, segment, doomed) in buffer.doomed() {
        let id = segment.meta.id;
        let segment = version.segment((buffer.branch, tree), id).cloned();
        let segment = segment.ok_or_else(|| Error::internal(format!("segment {id} of doomed rows is gone")))?;
        rows.insert(id, (segment, doomed.clone()));
    }
    let (mut ops, mut targets) = (Vec::new(), Vec::new());
    for (tree, key, old) in buffer.deletes() {
        match live_row(version, (buffer.branch, tree), key, old, CommitTs::MAX)? {
            Target::Segment { segment, row } => {
                let (_, rows) = rows.entry(segment.meta.id).or_insert_with(|| (segment, RoaringBitmap::new()));
                if !rows.insert(row) {
                    return Err(Error::internal(format!("a transaction has deleted key {key:02x?} twice")));
                }
            }
            target => {
                ops.push(LogOp::Delete { tree, key: key.clone(), old });
                targets.push(target);
            }
        }
    }
    for (id, (segment, rows)) in rows {
        ops.push(LogOp::Mask { tree: segment.meta.tree, segment: id, rows });
        targets.push(Target::Rows(segment));
    }
    Ok((ops, targets))
}

/// Makes private segments everybody's, as of `ts`.
fn install_load(segments: &mut SegmentMap, loaded: &[LoadedSegment], private: &[Arc<Segment>], ts: CommitTs) {
    for segment in private {
        let hidden = loaded.iter().find(|load| load.meta.id == segment.meta.id).map(|load| &load.hidden);
        if let Some(hidden) = hidden {
            assert!(segment.deletes.delete_all(hidden, ts), "a private segment has no deletes before its commit");
        }
        let list = segments.entry((segment.meta.branch, segment.meta.tree)).or_default();
        Arc::make_mut(list).push(segment.stamped(ts));
    }
}

impl Target {
    pub fn end(self, ts: CommitTs, tree: BranchTree) {
        match self {
            Target::Nothing | Target::Load(_) | Target::Rows(_) => {}
            Target::Memory { generation, memtable, id } => {
                assert!(memtable.finish(id, ts), "verified under the commit mutex");
                generation.ended(tree, id, ts);
            }
            Target::Segment { segment, row } => {
                assert!(segment.deletes.delete(row, ts), "verified under the commit mutex");
            }
        }
    }
}

/// Everything that could still go wrong, checked before the append.
fn verify(version: &Version, branch: BranchId, op: &LogOp, target: &Target) -> Result<()> {
    let broken = |why: &str, key: &Bytes| {
        Err(Error::internal(format!("a write of key {key:02x?} cannot be applied: {why}; was its row locked?")))
    };
    match (op, target) {
        (LogOp::Update { key, .. } | LogOp::Delete { key, .. }, Target::Nothing) => broken("its row is gone", key),
        (LogOp::Update { key, .. } | LogOp::Delete { key, .. }, Target::Memory { memtable, id, .. }) => {
            match memtable.with(*id, |row| row.is_live()) {
                Some(true) => Ok(()),
                _ => broken("its row was superseded", key),
            }
        }
        (LogOp::Update { key, .. } | LogOp::Delete { key, .. }, Target::Segment { segment, row }) => {
            match segment.deletes.deleted_at(*row) {
                None => Ok(()),
                Some(_) => broken("its row was superseded", key),
            }
        }
        (LogOp::Mask { rows, .. }, Target::Rows(segment)) if segment.deletes.any_deleted(rows) => {
            broken("some of many rows were superseded", &Bytes::new())
        }
        (LogOp::Insert { tree, key, .. }, _) => {
            let newest = version
                .memtables()
                .find_map(|generation| generation.tree((branch, *tree))?.newest(key, |_, row| row.is_live()));
            if newest == Some(true) { broken("the key exists", key) } else { Ok(()) }
        }
        _ => Ok(()),
    }
}

/// Rows go to trees that exist, in shapes that are known; shapes follow their predecessors.
fn check_trees(version: &Version, branch: BranchId, ops: &[LogOp]) -> Result<()> {
    let mut defined: rustc_hash::FxHashMap<TreeRef, TreeState> = Default::default();
    let mut known = None;
    for op in ops {
        match op {
            LogOp::Define(descriptor) => {
                let state = match defined.get(&descriptor.tree) {
                    Some(state) => state.with(descriptor.clone())?,
                    None => match version.trees.get(&(branch, descriptor.tree)) {
                        Some(state) => state.with(descriptor.clone())?,
                        None => TreeState::new(descriptor.clone()),
                    },
                };
                defined.insert(descriptor.tree, state);
            }
            LogOp::Insert { tree, schema, .. } | LogOp::Update { tree, schema, .. } => {
                if known == Some((*tree, *schema)) {
                    continue;
                }
                match defined.get(tree) {
                    Some(state) => state.shape(*schema)?,
                    None => version.tree((branch, *tree), CommitTs::MAX)?.shape(*schema)?,
                };
                known = Some((*tree, *schema));
            }
            _ => {}
        }
    }
    Ok(())
}
