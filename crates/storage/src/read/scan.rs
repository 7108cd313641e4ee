//! Scans: a plan bound to a snapshot and a pinned version, and partitions that take pieces of work from one queue.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use arrow_array::builder::BinaryViewBuilder;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use heliosdb_contracts::{
    BatchReader, Bound, FirstBy, ROW_REF_COLUMN, ReadContext, RowHint, RowRef, ScanMetrics, ScanRequest, TableScan,
    arrow_type,
};
use heliosdb_hcc::{Bitmap, Picked};
use heliosdb_types::{
    ColumnId, CommitTs, Datum, Error, PhysicalType, Result, SchemaVersion, SegmentId, TreeRef, compare,
};
use parking_lot::{Mutex, RwLock};
use roaring::RoaringBitmap;
use rustc_hash::FxHashMap;

use super::ahead::Ahead;
use super::order::by_best;
use super::predicate::Tally;
use super::{ColumnBound, ColumnBuilder, ColumnFilter, batch, compile};
use crate::core::Core;
use crate::dead_rows::DeadRows;
use crate::memtable::{BranchTree, Chunk, Generation};
use crate::pace::Scans;
use crate::segment::BlockScan;
use crate::segments::Segment;
use crate::shape::{Projection, TreeState};
use crate::txnbuf::{DoomedMask, Overlay};
use crate::version::Version;

/// What every partition of a scan shares.
pub(super) struct Plan {
    state: Arc<TreeState>,
    schema: SchemaRef,
    columns: Vec<ColumnId>,
    types: Vec<PhysicalType>,
    filters: Vec<ColumnFilter>,
    row_refs: bool,
    pub(super) limit: Option<usize>,
    batch_rows: usize,
    snapshot: CommitTs,
    overlay: Overlay,
    pub(super) metrics: Arc<ScanMetrics>,
    /// Pinned: nothing in it is deleted or moved while the scan lives.
    version: Arc<Version>,
    /// A single partition gives rows in this order: of segments by key, then of memtables as they were written, the
    /// transaction's own last.
    work: Vec<Work>,
    next: AtomicUsize,
    pub(super) ahead: Ahead,
    /// Another order of the work, block by block, and no work twice.
    order: OnceLock<Vec<(usize, Range<usize>)>>,
    /// What is still looked for.
    pub(super) bound: RwLock<Option<Arc<ColumnBound>>>,
    bound_tally: Arc<Tally>,
    /// What a sample leaves out.
    thinned: OnceLock<Thinned>,
    /// Told that a table of users is read.
    scans: Option<Arc<Scans>>,
}

/// One block of each `every` is read, at a place that `seed` draws; chunks of memtables count as blocks.
struct Thinned {
    every: usize,
    seed: u64,
}

impl Thinned {
    fn has(&self, block: usize) -> bool {
        let group = (block / self.every) as u64;
        let mut z = self.seed ^ group.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        block % self.every == ((z ^ (z >> 31)) % self.every as u64) as usize
    }
}

/// A piece of work small enough to balance partitions by.
pub(super) enum Work {
    /// A chunk of a memtable.
    Chunk(Arc<Chunk>, Arc<Generation>),
    /// The transaction's own rows, `from..to` of the overlay's.
    Own(usize, usize),
    /// Blocks of a segment, but for the hidden rows.
    Blocks { segment: Arc<Segment>, blocks: Range<usize>, hidden: Option<Arc<DeadRows>> },
}

/// Blocks taken at a time: enough to amortise, few enough to balance.
pub(super) const BLOCKS_PER_PIECE: usize = 4;

const OWN_ROWS: usize = 4096;

/// Rows without columns are handed out so many at a time, about, and after so many pieces of work: those above look between batches
/// whether they are still wanted.
const BARE_ROWS: usize = 65_536;
const BARE_PIECES: usize = 8;

/// Full chunks smaller than this are read row by row: they are few.
const IMAGE_ROWS_MIN: usize = 1024;

struct Scan {
    plan: Arc<Plan>,
    opened: Mutex<Vec<bool>>,
    estimated_rows: u64,
    estimated_bytes: u64,
}

pub(crate) fn open_scan(core: &Core, context: &ReadContext, request: &ScanRequest) -> Result<Arc<dyn TableScan>> {
    let (snapshot, branch) = (context.snapshot.ts, context.snapshot.branch);
    let (version, own) = own_rows(core, context, request.tree)?;
    let Own { overlay, private, doomed } = own;
    let state = core.tree_state(&version, context.txn, snapshot, branch, request.tree)?;
    let types = request.projection.iter().map(|&id| {
        state.physical(id).ok_or_else(|| Error::internal(format!("tree {} has no column {id}", request.tree)))
    });
    let types = types.collect::<Result<Vec<_>>>()?;
    let mut work = Vec::new();
    let mut estimated_rows = overlay.rows.len() as u64;
    let filters = compile(&request.predicates, &state)?;
    let metrics: Arc<ScanMetrics> = Arc::default();
    let mut estimated_bytes = 0;
    let tree = (branch, request.tree);
    let mut hidden = hidden_rows(&version, tree, &overlay, snapshot)?;
    for (segment, rows) in doomed {
        *hidden.entry(segment).or_default() |= rows;
    }
    let committed = version.segments(tree).iter().map(|segment| {
        let mask = match (segment.mask(snapshot), hidden.remove(&segment.meta.id)) {
            (mask, Some(own)) => {
                let mut mask = mask.map(Arc::unwrap_or_clone).unwrap_or_default();
                mask.extend(own);
                Some(Arc::new(mask))
            }
            (mask, None) => mask,
        };
        (segment.clone(), mask)
    });
    let private = private.into_iter().map(|(segment, hidden)| (segment, Some(Arc::new(hidden.iter().collect()))));
    let mut segments: Vec<_> = committed.chain(private).collect();
    segments.sort_by(|(a, _), (b, _)| a.meta.min_key.cmp(&b.meta.min_key));
    for (segment, mask) in segments {
        let segment = &segment;
        let blocks = segment_blocks(segment, &state, &filters, snapshot);
        ScanMetrics::add(if blocks.is_empty() { &metrics.segments_skipped } else { &metrics.segments_read }, 1);
        let left_out = segment.reader.info().block_count() - blocks.len();
        ScanMetrics::add(&metrics.blocks_skipped, left_out as u64);
        if blocks.is_empty() {
            continue;
        }
        estimated_rows += u64::from(segment.meta.rows).saturating_sub(segment.deletes.count());
        estimated_bytes += segment.meta.file_bytes;
        for from in blocks.clone().step_by(BLOCKS_PER_PIECE) {
            let blocks = from..blocks.end.min(from + BLOCKS_PER_PIECE);
            work.push(Work::Blocks { segment: segment.clone(), blocks, hidden: mask.clone() });
        }
    }
    let generations: Vec<_> = version.memtables().collect();
    for generation in generations.into_iter().rev() {
        let Some(memtable) = generation.tree((branch, request.tree)) else { continue };
        estimated_rows += memtable.live_rows() as u64;
        work.extend(memtable.chunks().iter().map(|chunk| Work::Chunk(chunk.clone(), generation.clone())));
    }
    let own = overlay.rows.len();
    work.extend((0..own).step_by(OWN_ROWS).map(|from| Work::Own(from, own.min(from + OWN_ROWS))));
    let partitions = request.target_partitions.clamp(1, work.len().max(1));
    let plan = Plan {
        filters,
        schema: schema(&request.projection, &types, request.row_refs),
        columns: request.projection.clone(),
        types,
        state,
        row_refs: request.row_refs,
        limit: request.limit,
        batch_rows: request.batch_rows.max(1),
        snapshot,
        overlay,
        metrics,
        version,
        work,
        next: AtomicUsize::new(0),
        ahead: Ahead::default(),
        order: OnceLock::new(),
        bound: RwLock::new(None),
        bound_tally: Arc::new(Tally::of_advice()),
        thinned: OnceLock::new(),
        scans: (!request.tree.is_system()).then(|| core.scans.clone()),
    };
    let opened = Mutex::new(vec![false; partitions]);
    Ok(Arc::new(Scan { plan: Arc::new(plan), opened, estimated_rows, estimated_bytes }))
}

/// What a transaction's own writes mean for a scan.
#[derive(Default)]
struct Own {
    overlay: Overlay,
    private: Vec<(Arc<Segment>, RoaringBitmap)>,
    doomed: FxHashMap<SegmentId, RoaringBitmap>,
}

/// The version that a scan reads, and what of it the transaction's earlier commands have changed.
fn own_rows(core: &Core, context: &ReadContext, tree: TreeRef) -> Result<(Arc<Version>, Own)> {
    let Some(txn) = context.txn else { return Ok((core.version.load_full(), Own::default())) };
    let buffer = core.txn(txn)?;
    let mut buffer = buffer.lock();
    // Positions are of one version: from here on until the buffer is read, no row is doomed in a younger one.
    let version = core.version.load_full();
    buffer.rehome(&version)?;
    let mut overlay = buffer.overlay(tree, context.command);
    let private = buffer.private_segments(tree, context.command);
    let DoomedMask { rows: doomed, keys } = buffer.doomed_mask(tree, context.command, context.snapshot.ts)?;
    overlay.hidden.extend(keys.into_iter().map(|key| (key, RowHint::default())));
    Ok((version, Own { overlay, private, doomed }))
}

/// Positions of the rows the transaction has itself replaced or deleted.
fn hidden_rows(
    version: &Version,
    tree: BranchTree,
    overlay: &Overlay,
    snapshot: CommitTs,
) -> Result<FxHashMap<SegmentId, RoaringBitmap>> {
    let mut hidden: FxHashMap<SegmentId, RoaringBitmap> = FxHashMap::default();
    for (key, hint) in &overlay.hidden {
        if let Some(segment) = version.segment(tree, hint.segment)
            && segment.is_at(hint.row, key)?
            && segment.begin_of(hint.row)? <= snapshot
        {
            hidden.entry(segment.meta.id).or_default().insert(hint.row);
            continue;
        }
        for segment in version.segments(tree).holding(key) {
            let rows = segment.reader.find(key)?;
            if !rows.is_empty() {
                hidden.entry(segment.meta.id).or_default().insert_range(rows);
            }
        }
    }
    Ok(hidden)
}

/// The blocks of a segment that may hold rows of the scan: from the first to the last that may.
fn segment_blocks(segment: &Segment, state: &TreeState, filters: &[ColumnFilter], snapshot: CommitTs) -> Range<usize> {
    if segment.meta.min_ts > snapshot {
        return 0..0;
    }
    let descriptor = &state.newest().descriptor;
    let scan = BlockScan { descriptor, projection: &[], filters, bound: None, as_of: snapshot, want_keys: false };
    let count = segment.reader.info().block_count();
    let may = |block: &usize| segment.reader.block_may_match(*block, &scan);
    match (0..count).find(may) {
        Some(first) => first..(first..count).rev().find(may).unwrap_or(first) + 1,
        None => 0..0,
    }
}

fn schema(columns: &[ColumnId], types: &[PhysicalType], row_refs: bool) -> SchemaRef {
    let mut fields: Vec<Field> = columns
        .iter()
        .zip(types)
        .map(|(id, &physical)| Field::new(id.to_string(), arrow_type(physical), true))
        .collect();
    if row_refs {
        fields.push(Field::new(ROW_REF_COLUMN, DataType::BinaryView, false));
    }
    Arc::new(Schema::new(fields))
}

impl TableScan for Scan {
    fn schema(&self) -> SchemaRef {
        self.plan.schema.clone()
    }

    fn partition_count(&self) -> usize {
        self.opened.lock().len()
    }

    fn open(&self, partition: usize) -> Result<Box<dyn BatchReader>> {
        let mut opened = self.opened.lock();
        match opened.get_mut(partition) {
            Some(taken @ false) => *taken = true,
            _ => return Err(Error::internal(format!("partition {partition} of a scan cannot be opened"))),
        }
        let left = self.plan.limit.unwrap_or(usize::MAX);
        Ok(Box::new(Partition { plan: self.plan.clone(), ready: Vec::new(), left }))
    }

    fn metrics(&self) -> Arc<ScanMetrics> {
        self.plan.metrics.clone()
    }

    fn estimated_rows(&self) -> u64 {
        self.estimated_rows
    }

    fn estimated_bytes(&self) -> u64 {
        self.estimated_bytes
    }

    fn estimated_bounds(&self, column: ColumnId) -> Option<(Datum, Datum)> {
        let mut segments: Vec<&Arc<Segment>> = Vec::new();
        for work in &self.plan.work {
            if let Work::Blocks { segment, .. } = work
                && !segments.last().is_some_and(|last| Arc::ptr_eq(last, segment))
            {
                segments.push(segment);
            }
        }
        segments.into_iter().filter_map(|segment| segment.reader.column_bounds(column)).reduce(|a, b| {
            let low = if compare(b.0.as_ref(), a.0.as_ref()).is_lt() { b.0 } else { a.0 };
            let high = if compare(b.1.as_ref(), a.1.as_ref()).is_gt() { b.1 } else { a.1 };
            (low, high)
        })
    }

    fn first_by(&self, first: FirstBy) {
        self.plan.order.get_or_init(|| by_best(&self.plan.work, &self.plan.state, first));
    }

    fn narrow(&self, bound: &Bound) -> Result<()> {
        let compiled = ColumnBound::compile(bound, &self.plan.state, self.plan.bound_tally.clone())?;
        *self.plan.bound.write() = compiled.map(Arc::new);
        Ok(())
    }

    fn thin(&self, every: usize, seed: u64) -> bool {
        // Of a few pieces a sample would be all or nothing.
        let enough = every > 1 && self.plan.work.len() * BLOCKS_PER_PIECE >= every.saturating_mul(8);
        enough && self.plan.thinned.set(Thinned { every, seed }).is_ok()
    }
}

struct Partition {
    plan: Arc<Plan>,
    /// Batches made and not yet handed out, last first.
    ready: Vec<RecordBatch>,
    /// Rows still wanted.
    left: usize,
}

impl BatchReader for Partition {
    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        while self.left > 0 {
            let ready = if self.plan.is_bare() { self.count_rows()? } else { self.ready.pop() };
            if let Some(mut batch) = ready {
                if batch.num_rows() > self.left {
                    batch = batch.slice(0, self.left);
                }
                self.left -= batch.num_rows();
                return Ok(Some(batch));
            }
            if !self.read_piece()? {
                break;
            }
        }
        Ok(None)
    }
}

impl Partition {
    /// Reads the next piece of work; false: there is none.
    fn read_piece(&mut self) -> Result<bool> {
        let plan = self.plan.clone();
        let taken = plan.next.fetch_add(1, Ordering::Relaxed);
        let Some((at, work, part)) = plan.piece(taken) else { return Ok(false) };
        plan.read_ahead(taken);
        if let Some(scans) = &plan.scans {
            scans.goes_on();
        }
        let bound = plan.bound.read().clone();
        match work {
            Work::Chunk(..) | Work::Own(..) if !plan.reads(at * BLOCKS_PER_PIECE) => {}
            Work::Blocks { segment, blocks, hidden } => {
                // In reverse, as batches are taken from the end.
                for block in part.unwrap_or(blocks).clone().rev() {
                    if !plan.reads(at * BLOCKS_PER_PIECE + (block - blocks.start)) {
                        continue;
                    }
                    let made = plan.block(segment, block, hidden.as_deref(), bound.as_deref())?;
                    self.hand_out(made);
                }
            }
            Work::Chunk(chunk, generation) => {
                let made = if chunk.is_full() && chunk.len() >= IMAGE_ROWS_MIN {
                    plan.full_chunk(chunk, generation, bound.as_deref())?
                } else {
                    plan.chunk(chunk, bound.as_deref())?
                };
                self.hand_out(made);
            }
            Work::Own(from, to) => {
                let made = plan.own(*from, *to, bound.as_deref())?;
                self.hand_out(made);
            }
        }
        Ok(true)
    }

    /// Rows without columns, of several pieces together: what a batch costs those above is then paid for many rows.
    fn count_rows(&mut self) -> Result<Option<RecordBatch>> {
        let mut rows = 0;
        for _ in 0..BARE_PIECES {
            rows += self.ready.drain(..).map(|batch| batch.num_rows()).sum::<usize>();
            if rows >= BARE_ROWS.min(self.left) || !self.read_piece()? {
                break;
            }
        }
        rows += self.ready.drain(..).map(|batch| batch.num_rows()).sum::<usize>();
        if rows == 0 { Ok(None) } else { batch(&self.plan.schema, Vec::new(), rows).map(Some) }
    }

    /// Cuts what was made to the size asked for.
    fn hand_out(&mut self, made: Option<RecordBatch>) {
        let Some(made) = made.filter(|batch| batch.num_rows() > 0) else { return };
        if self.plan.is_bare() {
            return self.ready.push(made);
        }
        let step = self.plan.batch_rows;
        let starts = (0..made.num_rows()).step_by(step);
        self.ready.extend(starts.rev().map(|from| made.slice(from, step.min(made.num_rows() - from))));
    }
}

impl Plan {
    /// Whether rows are counted only: no column of them is wanted.
    fn is_bare(&self) -> bool {
        self.columns.is_empty() && !self.row_refs
    }

    /// How many rows of a block there are, if that takes no look at any of them.
    fn counted(&self, segment: &Segment, block: usize, hidden: Option<&DeadRows>) -> Option<usize> {
        let whole = self.is_bare() && self.filters.is_empty() && segment.reader.all_begun(block, self.snapshot);
        whole.then(|| {
            let range = segment.reader.block_range(block);
            range.len() - hidden.map_or(0, |hidden| hidden.count(range.clone()))
        })
    }

    /// The piece of work that is next after `taken` others: its place, and which of its blocks if not all.
    pub(super) fn piece(&self, taken: usize) -> Option<(usize, &Work, Option<&Range<usize>>)> {
        let (at, part) = match self.order.get() {
            Some(order) => order.get(taken).map(|(at, blocks)| (*at, Some(blocks)))?,
            None => (taken, None),
        };
        Some((at, self.work.get(at)?, part))
    }

    /// Whether a sample has a block; pieces count as [`BLOCKS_PER_PIECE`] of them.
    pub(super) fn reads(&self, block: usize) -> bool {
        self.thinned.get().is_none_or(|thinned| thinned.has(block))
    }

    fn chunk(&self, chunk: &Chunk, bound: Option<&ColumnBound>) -> Result<Option<RecordBatch>> {
        let mut out = RowBatch::new(self, bound);
        for version in chunk.versions() {
            if version.is_visible(self.snapshot) && !self.overlay.hidden.contains_key(&version.key) {
                out.add(&version.key, &version.row, version.schema)?;
            }
        }
        ScanMetrics::add(&self.metrics.memtable_rows, chunk.len() as u64);
        out.finish()
    }

    /// A chunk that no longer grows is read by column, as a segment's block is.
    fn full_chunk(
        &self,
        chunk: &Chunk,
        generation: &Generation,
        bound: Option<&ColumnBound>,
    ) -> Result<Option<RecordBatch>> {
        let column = |id: ColumnId| {
            let (view, bytes) = chunk.column(&self.state, id)?;
            generation.add_bytes(bytes);
            Ok::<_, Error>(view)
        };
        let mut selection = chunk.visible(self.snapshot);
        if !self.overlay.hidden.is_empty() {
            let hidden = &self.overlay.hidden;
            let rows = chunk.versions().enumerate().filter(|(_, version)| hidden.contains_key(&version.key));
            rows.for_each(|(row, _)| selection.clear(row));
        }
        ScanMetrics::add(&self.metrics.memtable_rows, chunk.len() as u64);
        if let Some(bound) = bound {
            let view = column(bound.column)?;
            if let Some(filter) = bound.of_rows(view.null_count() > 0) {
                view.filter(filter, &mut selection)?;
            }
        }
        for filter in &self.filters {
            if selection.none() {
                return Ok(None);
            }
            if !filter.tally.is_worthless() {
                column(filter.column)?.filter(&filter.filter, &mut selection)?;
            }
        }
        let rows = selection.count();
        if rows == 0 {
            return Ok(None);
        }
        let picked = Picked::of(&selection, rows);
        let mut columns = Vec::with_capacity(self.columns.len() + 1);
        for &id in &self.columns {
            columns.push(picked.read(column(id)?.as_ref())?);
        }
        if self.row_refs {
            let mut refs = BinaryViewBuilder::with_capacity(rows);
            let mut reference = Vec::new();
            let hint = RowHint { epoch: self.version.epoch, ..RowHint::default() };
            for version in selection.iter().filter_map(|row| chunk.get(row)) {
                reference.clear();
                RowRef { hint, key: &version.key }.encode(&mut reference);
                refs.append_value(&reference);
            }
            columns.push(Arc::new(refs.finish()) as ArrayRef);
        }
        ScanMetrics::add(&self.metrics.rows_out, rows as u64);
        batch(&self.schema, columns, rows).map(Some)
    }

    fn own(&self, from: usize, to: usize, bound: Option<&ColumnBound>) -> Result<Option<RecordBatch>> {
        let mut out = RowBatch::new(self, bound);
        for (key, row, schema) in self.overlay.rows.iter().take(to).skip(from) {
            out.add(key, row, *schema)?;
        }
        out.finish()
    }

    pub(super) fn block_scan<'a>(&'a self, bound: Option<&'a ColumnBound>) -> BlockScan<'a> {
        BlockScan {
            descriptor: &self.state.newest().descriptor,
            projection: &self.columns,
            filters: &self.filters,
            bound,
            as_of: self.snapshot,
            want_keys: self.row_refs,
        }
    }

    fn block(
        &self,
        segment: &Segment,
        block: usize,
        hidden: Option<&DeadRows>,
        bound: Option<&ColumnBound>,
    ) -> Result<Option<RecordBatch>> {
        if bound.is_none()
            && let Some(rows) = self.counted(segment, block, hidden)
        {
            ScanMetrics::add(&self.metrics.blocks_read, 1);
            ScanMetrics::add(&self.metrics.rows_out, rows as u64);
            return batch(&self.schema, Vec::new(), rows).map(Some);
        }
        let range = segment.reader.block_range(block);
        let mut clear_hidden = |selection: &mut Bitmap| {
            if let Some(hidden) = hidden {
                hidden.clear(range.clone(), selection);
            }
            Ok(())
        };
        let scan = self.block_scan(bound);
        let found = segment.reader.scan_block(block, &scan, &mut clear_hidden, &self.metrics)?;
        let Some(found) = found else { return Ok(None) };
        self.ahead.had_rows();
        let refs = found.keys.as_ref().map(|keys| {
            let mut refs = BinaryViewBuilder::with_capacity(found.rows);
            let mut reference = Vec::new();
            for (key, row) in keys.iter().zip(found.positions()) {
                reference.clear();
                let hint = RowHint { epoch: self.version.epoch, segment: segment.meta.id, row };
                RowRef { hint, key }.encode(&mut reference);
                refs.append_value(&reference);
            }
            Arc::new(refs.finish()) as ArrayRef
        });
        let mut columns = found.columns;
        columns.extend(refs);
        batch(&self.schema, columns, found.rows).map(Some)
    }
}

/// Rows in memory on their way to a batch: filtered one by one, then built column by column.
struct RowBatch<'a> {
    plan: &'a Plan,
    bound: Option<&'a ColumnBound>,
    /// For the shape of the last row; rows of one shape come together.
    projection: Option<Projection>,
    tested: Option<Projection>,
    builders: Vec<ColumnBuilder>,
    refs: BinaryViewBuilder,
    reference: Vec<u8>,
    rows: usize,
}

impl<'a> RowBatch<'a> {
    fn new(plan: &'a Plan, bound: Option<&'a ColumnBound>) -> RowBatch<'a> {
        RowBatch {
            plan,
            bound,
            projection: None,
            tested: None,
            builders: plan.types.iter().map(|&physical| ColumnBuilder::new(physical, 0)).collect(),
            refs: BinaryViewBuilder::new(),
            reference: Vec::new(),
            rows: 0,
        }
    }

    fn add(&mut self, key: &Bytes, row: &Bytes, schema: SchemaVersion) -> Result<()> {
        if self.projection.as_ref().is_none_or(|projection| projection.version() != schema) {
            let bound = self.bound.iter().map(|bound| bound.column);
            let tested: Vec<ColumnId> = self.plan.filters.iter().map(|filter| filter.column).chain(bound).collect();
            self.tested = Some(Projection::new(&self.plan.state, schema, &tested)?);
            self.projection = Some(Projection::new(&self.plan.state, schema, &self.plan.columns)?);
        }
        let (Some(tested), Some(projection)) = (&self.tested, &self.projection) else { return Ok(()) };
        if !self.plan.filters.is_empty() || self.bound.is_some() {
            let values = tested.values(row)?;
            let bounded = self.bound.zip(values.last()).is_none_or(|(bound, value)| bound.matches(value));
            if !bounded || !self.plan.filters.iter().zip(&values).all(|(test, value)| test.filter.matches(value)) {
                return Ok(());
            }
        }
        for (builder, value) in self.builders.iter_mut().zip(projection.values(row)?) {
            builder.append(value)?;
        }
        if self.plan.row_refs {
            self.reference.clear();
            let hint = RowHint { epoch: self.plan.version.epoch, ..RowHint::default() };
            RowRef { hint, key }.encode(&mut self.reference);
            self.refs.append_value(&self.reference);
        }
        self.rows += 1;
        Ok(())
    }

    fn finish(mut self) -> Result<Option<RecordBatch>> {
        if self.rows == 0 {
            return Ok(None);
        }
        let mut columns: Vec<ArrayRef> = self.builders.iter_mut().map(ColumnBuilder::finish).collect();
        if self.plan.row_refs {
            columns.push(Arc::new(self.refs.finish()));
        }
        ScanMetrics::add(&self.plan.metrics.rows_out, self.rows as u64);
        batch(&self.plan.schema, columns, self.rows).map(Some)
    }
}
