//! Rows in key order: one sorted source per memtable, segment and the transaction's own writes, merged as they are asked for.
//!
//! A snapshot sees at most one committed version of a key, so nothing has to be compared across committed sources; a key the
//! transaction itself has written hides the committed one. Sources read ahead a little, more the longer the read goes on.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use heliosdb_contracts::{KeyRange, RangeCursor, RangeRequest, RangeSink, ReadContext, RowHint, Snapshot};
use heliosdb_types::{ColumnId, CommandId, Error, Result, SchemaVersion, SegmentId, TreeRef};
use parking_lot::Mutex;
use roaring::RoaringBitmap;

use crate::core::Core;
use crate::memtable::TreeMem;
use crate::segment::NearbyRows;
use crate::segments::Segment;
use crate::shape::{Projection, TreeState};
use crate::txnbuf::{Own, TxnBuffer};
use crate::version::Version;

const AHEAD_MIN: usize = 8;
const AHEAD_MAX: usize = 256;

/// A visible row a source has found.
struct Head {
    key: Bytes,
    place: Place,
}

enum Place {
    Row { row: Bytes, schema: SchemaVersion },
    Segment(u32),
}

enum Kind {
    Memory(Arc<TreeMem>),
    /// The transaction's own rows in its buffer.
    Own {
        /// Private segments that have sources of their own, or none to give. Rows may leave for others while the cursor is read.
        known: Vec<SegmentId>,
    },
    Segment {
        segment: Arc<Segment>,
        /// Rows of the range not looked at yet.
        rows: Range<u32>,
        /// Set for the transaction's own segments: rows it has itself replaced since.
        private: Option<RoaringBitmap>,
        nearby: Box<NearbyRows>,
    },
}

struct Source {
    kind: Kind,
    ready: VecDeque<Head>,
    /// The last key looked at.
    last: Option<Bytes>,
    done: bool,
}

struct Cursor {
    state: Arc<TreeState>,
    tree: TreeRef,
    columns: Vec<ColumnId>,
    range: KeyRange,
    snapshot: Snapshot,
    command: CommandId,
    /// The transaction's buffer, if it has written to the tree.
    own: Option<Arc<Mutex<TxnBuffer>>>,
    /// Pinned: nothing in it is deleted or moved while the cursor lives.
    version: Arc<Version>,
    sources: Vec<Source>,
    projections: Vec<Projection>,
    ahead: usize,
    /// Whether keys of segments are put together: for the sink, or to merge sources.
    keys: bool,
}

pub(crate) fn open_range(core: &Core, context: &ReadContext, request: &RangeRequest) -> Result<Box<dyn RangeCursor>> {
    let version = core.version.load_full();
    let (snapshot, branch) = (&context.snapshot, context.snapshot.branch);
    let state = core.tree_state(&version, context.txn, snapshot.ts, branch, request.tree)?;
    let tree = (branch, request.tree);
    let mut kinds = Vec::new();
    let mut own = None;
    if let Some(txn) = context.txn {
        let buffer = core.txn(txn)?;
        let locked = buffer.lock();
        if locked.has_tree(request.tree) {
            kinds.push(Kind::Own { known: locked.private_ids(request.tree).collect() });
            for (segment, hidden) in locked.private_segments(request.tree, context.command) {
                let rows = rows_of(&segment, &request.range)?;
                kinds.push(Kind::Segment { segment, rows, private: Some(hidden), nearby: Box::default() });
            }
            own = Some(buffer.clone());
        }
    }
    kinds.extend(version.memtables().filter_map(|generation| generation.tree(tree)).map(Kind::Memory));
    for segment in version.segments(tree).iter().filter(|segment| segment.meta.min_ts <= snapshot.ts) {
        let rows = rows_of(segment, &request.range)?;
        if !rows.is_empty() {
            kinds.push(Kind::Segment { segment: segment.clone(), rows, private: None, nearby: Box::default() });
        }
    }
    // A transaction's own rows hide others by key, and may become more sources.
    let keys = request.keys || kinds.len() > 1 || own.is_some();
    Ok(Box::new(Cursor {
        state,
        tree: request.tree,
        columns: request.projection.clone(),
        range: request.range.clone(),
        snapshot: snapshot.clone(),
        command: context.command,
        own,
        sources: kinds.into_iter().map(Source::new).collect(),
        version,
        projections: Vec::new(),
        ahead: AHEAD_MIN,
        keys,
    }))
}

fn rows_of(segment: &Segment, range: &KeyRange) -> Result<Range<u32>> {
    let above = segment.meta.max_key.as_ref() < range.lower.as_ref();
    let below = range.upper.as_ref().is_some_and(|upper| upper <= &segment.meta.min_key);
    if above || below {
        return Ok(0..0);
    }
    segment.reader.rows_between(&range.lower, range.upper.as_deref())
}

/// What of a range comes after a key, in the range's direction.
fn after(range: &KeyRange, last: &Bytes) -> KeyRange {
    let mut rest = range.clone();
    if range.reverse {
        rest.upper = Some(last.clone());
    } else {
        rest.lower = [last, &[0][..]].concat().into();
    }
    rest
}

impl Source {
    fn new(kind: Kind) -> Source {
        Source { kind, ready: VecDeque::new(), last: None, done: false }
    }

    /// Looks for more rows if none are ready. What has to be read besides from now on is put into `more`.
    fn fill(&mut self, cursor: &Wanted<'_>, more: &mut Vec<Source>) -> Result<()> {
        while self.ready.is_empty() && !self.done {
            match &mut self.kind {
                Kind::Memory(memory) => {
                    let ready = &mut self.ready;
                    let visit = |key: &Bytes, row: &Bytes, schema| {
                        ready.push_back(Head { key: key.clone(), place: Place::Row { row: row.clone(), schema } });
                    };
                    let at = cursor.snapshot;
                    (self.last, self.done) =
                        memory.visible_range(self.last.take(), cursor.range, at, cursor.ahead, visit);
                }
                Kind::Own { known } => {
                    let Some(buffer) = cursor.own else {
                        self.done = true;
                        continue;
                    };
                    let mut buffer = buffer.lock();
                    let last = self.last.take();
                    if buffer.private_ids(cursor.tree).any(|id| !known.contains(&id)) {
                        let rest = last.as_ref().map_or_else(|| cursor.range.clone(), |last| after(cursor.range, last));
                        let mut private = buffer.private_segments(cursor.tree, cursor.command);
                        private.retain(|(segment, _)| !known.contains(&segment.meta.id));
                        for (segment, hidden) in private {
                            let rows = rows_of(&segment, &rest)?;
                            let kind = Kind::Segment { segment, rows, private: Some(hidden), nearby: Box::default() };
                            more.push(Source::new(kind));
                        }
                        *known = buffer.private_ids(cursor.tree).collect();
                    }
                    let found = buffer.own_range(cursor.tree, cursor.command, last, cursor.range, cursor.ahead)?;
                    let head = |(key, row, schema)| Head { key, place: Place::Row { row, schema } };
                    self.ready.extend(found.rows.into_iter().map(head));
                    (self.last, self.done) = (found.last, found.done);
                }
                Kind::Segment { segment, rows, private, nearby } => {
                    let some = next_rows(rows, cursor.ahead as u32, cursor.range.reverse);
                    self.done = rows.start >= rows.end;
                    let mut keys = Vec::with_capacity(some.len());
                    match cursor.keys {
                        true => nearby.keys(&segment.reader, some.clone(), &mut keys)?,
                        false => nearby.begins(&segment.reader, some.clone(), &mut keys)?,
                    }
                    let mut found = Vec::with_capacity(keys.len());
                    for (row, (key, begin)) in some.zip(keys) {
                        let visible = match private {
                            Some(hidden) => !hidden.contains(row),
                            None => {
                                segment.stamp_or(begin)? <= cursor.snapshot
                                    && !segment.deletes.is_deleted(row, cursor.snapshot)
                            }
                        };
                        if visible {
                            found.push(Head { key, place: Place::Segment(row) });
                        }
                    }
                    if cursor.range.reverse {
                        found.reverse();
                    }
                    self.ready.extend(found);
                }
            }
        }
        Ok(())
    }
}

/// Takes the next rows off a range, from its end if `reverse`.
fn next_rows(rows: &mut Range<u32>, count: u32, reverse: bool) -> Range<u32> {
    if reverse {
        let from = rows.end.saturating_sub(count).max(rows.start);
        let some = from..rows.end;
        rows.end = from;
        some
    } else {
        let to = rows.start.saturating_add(count).min(rows.end);
        let some = rows.start..to;
        rows.start = to;
        some
    }
}

/// What sources need to know of their cursor.
struct Wanted<'a> {
    tree: TreeRef,
    range: &'a KeyRange,
    snapshot: heliosdb_types::CommitTs,
    command: CommandId,
    own: Option<&'a Arc<Mutex<TxnBuffer>>>,
    ahead: usize,
    keys: bool,
}

impl Cursor {
    /// The source with the next key.
    fn first(&mut self) -> Result<Option<usize>> {
        let wanted = Wanted {
            tree: self.tree,
            range: &self.range,
            snapshot: self.snapshot.ts,
            command: self.command,
            own: self.own.as_ref(),
            ahead: self.ahead,
            keys: self.keys,
        };
        let mut more = Vec::new();
        for source in &mut self.sources {
            source.fill(&wanted, &mut more)?;
        }
        for mut source in more {
            source.fill(&wanted, &mut Vec::new())?;
            self.sources.push(source);
        }
        let heads = self.sources.iter().enumerate().filter_map(|(at, source)| Some((at, &source.ready.front()?.key)));
        let first =
            if self.range.reverse { heads.max_by(|a, b| a.1.cmp(b.1)) } else { heads.min_by(|a, b| a.1.cmp(b.1)) };
        Ok(first.map(|(at, _)| at))
    }

    /// Whether the transaction has itself replaced or deleted a committed row.
    fn is_hidden(&self, key: &[u8]) -> Result<bool> {
        match &self.own {
            None => Ok(false),
            Some(buffer) => Ok(!matches!(buffer.lock().own(self.tree, key, self.command)?, Own::Untouched)),
        }
    }

    fn projection(&mut self, version: SchemaVersion) -> Result<&Projection> {
        let known = self.projections.iter().position(|projection| projection.version() == version);
        let at = match known {
            Some(at) => at,
            None => {
                self.projections.push(Projection::new(&self.state, version, &self.columns)?);
                self.projections.len() - 1
            }
        };
        Ok(self.projections.get(at).expect("just found or pushed"))
    }
}

impl RangeCursor for Cursor {
    fn next(&mut self, sink: &mut RangeSink<'_>) -> Result<bool> {
        loop {
            let Some(at) = self.first()? else { return Ok(false) };
            let Some(source) = self.sources.get_mut(at) else { return Ok(false) };
            let Some(head) = source.ready.pop_front() else { return Ok(false) };
            if source.ready.is_empty() {
                self.ahead = (self.ahead * 2).min(AHEAD_MAX);
            }
            let committed = match &source.kind {
                Kind::Memory(_) => true,
                Kind::Own { .. } => false,
                Kind::Segment { private, .. } => private.is_none(),
            };
            if committed && self.is_hidden(&head.key)? {
                continue;
            }
            let epoch = self.version.epoch;
            match head.place {
                Place::Row { row, schema } => {
                    let hint = RowHint { epoch, ..RowHint::default() };
                    let projection = self.projection(schema)?;
                    sink(&head.key, &projection.values(&row)?, hint)?;
                }
                Place::Segment(row) => {
                    let Some(Source { kind: Kind::Segment { segment, nearby, .. }, .. }) = self.sources.get_mut(at)
                    else {
                        return Err(Error::internal("a segment's row comes from a segment"));
                    };
                    let hint = RowHint { epoch, segment: segment.meta.id, row };
                    let newest = &self.state.newest().descriptor;
                    let mut give = |values: &[heliosdb_types::DatumRef<'_>]| sink(&head.key, values, hint);
                    nearby.read_row(&segment.reader, row, newest, &self.columns, &mut give)?;
                }
            }
            return Ok(true);
        }
    }

    fn rows_ahead(&self) -> u64 {
        let ahead = |source: &Source| match &source.kind {
            Kind::Segment { rows, .. } => rows.len() as u64,
            Kind::Memory(_) | Kind::Own { .. } => 0,
        };
        self.sources.iter().map(ahead).sum()
    }
}
