//! Point reads: own writes, then rows read before, then memtables, then segments.

use std::sync::Arc;

use heliosdb_contracts::{RangeSink, ReadContext, RowHint, RowSink};
use heliosdb_types::{ColumnId, CommitTs, DatumRef, Result, SchemaVersion, TreeRef};
use parking_lot::Mutex;

use crate::core::{Core, with_own};
use crate::memtable::BranchTree;
use crate::row_cache::{RowBytes, RowOrigin};
use crate::segment_list::SegmentList;
use crate::segments::Segment;
use crate::shape::{Projection, TreeState};
use crate::txnbuf::{Own, TxnBuffer};
use crate::version::Version;

/// Most rows are encoded in one allocation of this.
const ROW_BYTES: usize = 256;

/// Reads of one tree's rows by key: what is the same for every key.
struct Points<'a> {
    core: &'a Core,
    context: &'a ReadContext,
    tree: BranchTree,
    projection: &'a [ColumnId],
    version: &'a Version,
    state: &'a TreeState,
    segments: &'a SegmentList,
    /// The transaction's buffer, if it has written to the tree.
    own: Option<Arc<Mutex<TxnBuffer>>>,
    /// The last row of the row cache.
    row: RowBytes,
    decoder: Decoder<'a>,
}

/// Gives encoded rows to a sink.
struct Decoder<'a> {
    state: &'a TreeState,
    projection: &'a [ColumnId],
    /// More than one is read: then it pays to find the wanted columns once.
    many: bool,
    /// Where they are in rows of the shape met last.
    places: Option<Projection>,
}

impl Core {
    pub fn get(
        &self,
        context: &ReadContext,
        tree: TreeRef,
        key: &[u8],
        projection: &[ColumnId],
        sink: &mut dyn RowSink,
    ) -> Result<bool> {
        let mut found = false;
        let mut one = |_: &[u8], values: &[DatumRef<'_>], hint| {
            found = true;
            sink.row(values, hint)
        };
        self.get_rows(context, tree, &[key], projection, &mut one)?;
        Ok(found)
    }

    /// Rows by their keys, in the order of these; keys without a row are passed over.
    pub fn get_rows(
        &self,
        context: &ReadContext,
        tree: TreeRef,
        keys: &[&[u8]],
        projection: &[ColumnId],
        sink: &mut RangeSink<'_>,
    ) -> Result<()> {
        let version = self.version.load();
        let branch_tree = (context.snapshot.branch, tree);
        let committed = || version.tree(branch_tree, context.snapshot.ts);
        let (mut own, mut own_state) = (None, None);
        if let Some(txn) = context.txn {
            let buffer = self.txn(txn)?;
            let locked = buffer.lock();
            if locked.descriptors(tree).next().is_some() {
                own_state = Some(with_own(committed().cloned(), locked.descriptors(tree))?);
            }
            own = locked.has_tree(tree).then(|| buffer.clone());
        }
        let state = match &own_state {
            Some(own) => own,
            None => committed()?,
        };
        let (tree, segments, row) = (branch_tree, version.segments(branch_tree), RowBytes::new());
        let decoder = Decoder { state, projection, many: keys.len() > 1, places: None };
        let version: &Version = &version;
        let mut points = Points { core: self, context, tree, projection, version, state, segments, own, row, decoder };
        keys.iter().try_for_each(|key| points.read(key, sink))
    }

    /// Puts a row of a segment into the row cache, and gives it back.
    fn keep_row(
        &self,
        version: &Version,
        tree: BranchTree,
        key: &[u8],
        segment: &Segment,
        (row, begin): (u32, CommitTs),
    ) -> Result<Option<(SchemaVersion, Vec<u8>)>> {
        // Not in a shape that only the reader's transaction knows, and not of a tree that is dropped by now.
        let Ok(state) = version.tree(tree, CommitTs::MAX) else { return Ok(None) };
        let shape = state.newest();
        let schema = shape.descriptor.version;
        let mut bytes = Vec::with_capacity(ROW_BYTES);
        segment.encode_row(row, shape, &mut bytes)?;
        let origin = RowOrigin { segment: segment.meta.id, row, begin, schema };
        if self.row_cache.insert(tree, key, origin, &bytes) {
            self.balance_memory();
        }
        Ok(Some((schema, bytes)))
    }
}

impl Points<'_> {
    /// Gives the row of a key to `sink`, if there is one.
    fn read(&mut self, key: &[u8], sink: &mut RangeSink<'_>) -> Result<()> {
        let Points { core, context, tree, projection, version, state, segments, .. } = *self;
        let (snapshot, epoch) = (context.snapshot.ts, version.epoch);
        let memory = RowHint { epoch, ..RowHint::default() };
        if let Some(own) = &self.own {
            let own = own.lock();
            match own.own(tree.1, key, context.command)? {
                Own::Untouched => {}
                Own::Private { segment, row } => {
                    let hint = RowHint { epoch, segment: segment.meta.id, row };
                    let newest = &state.newest().descriptor;
                    return segment.reader.read_row(row, newest, projection, &mut |values| sink(key, values, hint));
                }
                Own::Deleted => return Ok(()),
                Own::Put { row, schema } => return self.decoder.give(key, (schema, row), memory, sink),
            }
        }
        if let Some(RowOrigin { segment, row, schema, .. }) =
            core.row_cache.visible(tree, segments, key, snapshot, &mut self.row)
            // Else it was kept after this version of the tree was looked up.
            && state.shape(schema).is_ok()
        {
            return self.decoder.give(key, (schema, &self.row), RowHint { epoch, segment, row }, sink);
        }
        for generation in version.memtables() {
            let Some(memtable) = generation.tree(tree) else { continue };
            let found = memtable.visible(key, snapshot, |v| self.decoder.give(key, (v.schema, &v.row), memory, sink));
            if let Some(found) = found {
                return found;
            }
        }
        for segment in segments.holding(key) {
            let Some((row, begin)) = segment.visible(key, snapshot)? else { continue };
            let hint = RowHint { epoch, segment: segment.meta.id, row };
            // Of a row most of which is read, the rest costs little.
            let mostly = projection.len() * 2 >= state.newest().columns.len() && core.row_cache.has_room();
            if (mostly || core.row_cache.wants(tree, key))
                && let Some((schema, kept)) = core.keep_row(version, tree, key, segment, (row, begin))?
            {
                return self.decoder.give(key, (schema, &kept), hint, sink);
            }
            let newest = &state.newest().descriptor;
            return segment.reader.read_row(row, newest, projection, &mut |values| sink(key, values, hint));
        }
        Ok(())
    }
}

impl Decoder<'_> {
    fn give(
        &mut self,
        key: &[u8],
        (schema, row): (SchemaVersion, &[u8]),
        hint: RowHint,
        sink: &mut RangeSink<'_>,
    ) -> Result<()> {
        if !self.many {
            return sink(key, &self.state.row_values(schema, row, self.projection)?, hint);
        }
        let places = match &mut self.places {
            Some(places) if places.version() == schema => places,
            places => places.insert(Projection::new(self.state, schema, self.projection)?),
        };
        sink(key, &places.values(row)?, hint)
    }
}
