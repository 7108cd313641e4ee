//! Scans: values in place of references, batch by batch, no more of them at a time than memory should hold.
//!
//! Tests that a reference answers as its value would run below, on encoded blocks. The others wait here for the value:
//! a long constant, or LIKE '%...%'.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{BinaryViewType, ByteViewType, StringViewType};
use arrow_array::{Array, ArrayRef, BooleanArray, GenericByteViewArray, RecordBatch};
use arrow_buffer::Buffer;
use arrow_schema::{DataType, SchemaRef};
use arrow_select::filter::filter_record_batch;
use heliosdb_contracts::{
    BatchReader, Bound, BoundValues, ColumnPredicate, FirstBy, PredicateOp, ReadContext, ScanMetrics, ScanRequest,
    TableScan, TreeDescriptorRef, datum_at,
};
use heliosdb_types::{ColumnId, Datum, Error, PhysicalType, Result, TreeRef};

use super::reference::{COMPARABLE_BYTES, REFERENCE_BYTES, Reference};
use super::{large_places, may_be_large};
use crate::core::Core;
use crate::read::{self, ColumnFilter, batch, compile};

/// A batch is cut where the values fetched for it reach this.
const BATCH_BYTES: u64 = 8 << 20;

struct Scan {
    rows: Arc<dyn TableScan>,
    shared: Arc<Shared>,
}

struct Shared {
    core: Arc<Core>,
    context: ReadContext,
    tree: TreeRef,
    descriptor: TreeDescriptorRef,
    schema: SchemaRef,
    /// Columns of the scan below that may hold references.
    places: Vec<usize>,
    /// What must hold of whole values: where the column is in the scan below, its type, and the test.
    tests: Vec<(usize, PhysicalType, ColumnFilter)>,
    /// Columns read for the tests alone are `wanted..wanted + extra` of the scan below; a row reference follows.
    wanted: usize,
    extra: usize,
    limit: Option<usize>,
}

pub(crate) fn open_scan(core: &Arc<Core>, context: &ReadContext, request: &ScanRequest) -> Result<Arc<dyn TableScan>> {
    let Some(descriptor) = core.with_large(context.snapshot.branch, context.txn, request.tree)? else {
        return read::open_scan(core, context, request);
    };
    let state = {
        let version = core.version.load();
        core.tree_state(&version, context.txn, context.snapshot.ts, context.snapshot.branch, request.tree)?
    };
    let waits =
        |predicate: &&ColumnPredicate| may_be_large(&descriptor, predicate.column) && !is_comparable(&predicate.op);
    let late: Vec<ColumnPredicate> = request.predicates.iter().filter(waits).cloned().collect();
    let mut below = request.clone();
    below.predicates.retain(|predicate| !waits(&predicate));
    let mut tests = Vec::new();
    for filter in compile(&late, &state)? {
        let at = below.projection.iter().position(|id| *id == filter.column).unwrap_or_else(|| {
            below.projection.push(filter.column);
            below.projection.len() - 1
        });
        let physical = state.physical(filter.column).ok_or_else(|| Error::internal("compiled for a known column"))?;
        tests.push((at, physical, filter));
    }
    if !tests.is_empty() {
        below.limit = None;
    }
    let rows = read::open_scan(core, context, &below)?;
    let (wanted, extra) = (request.projection.len(), below.projection.len() - request.projection.len());
    let schema = match extra {
        0 => rows.schema(),
        _ => Arc::new(rows.schema().project(&kept(wanted, extra, request.row_refs)).map_err(misfit)?),
    };
    let shared = Shared {
        core: core.clone(),
        context: context.clone(),
        tree: request.tree,
        schema,
        places: large_places(&descriptor, &below.projection),
        descriptor,
        tests,
        wanted,
        extra,
        limit: request.limit,
    };
    Ok(Arc::new(Scan { rows, shared: Arc::new(shared) }))
}

/// Whether a reference answers as the value it stands for.
fn is_comparable(op: &PredicateOp) -> bool {
    match op {
        PredicateOp::Compare(_, datum) => is_short(datum),
        PredicateOp::In(list) => list.iter().all(is_short),
        PredicateOp::IsNull | PredicateOp::IsNotNull | PredicateOp::Member(_) => true,
        PredicateOp::StartsWith(prefix) => prefix.len() <= COMPARABLE_BYTES,
        PredicateOp::Contains(_) => false,
    }
}

fn is_short(datum: &Datum) -> bool {
    match datum {
        Datum::Text(text) => text.len() <= COMPARABLE_BYTES,
        Datum::Bytes(bytes) => bytes.len() <= COMPARABLE_BYTES,
        _ => true,
    }
}

/// Columns of the scan below that were asked for.
fn kept(wanted: usize, extra: usize, row_refs: bool) -> Vec<usize> {
    (0..wanted).chain(row_refs.then_some(wanted + extra)).collect()
}

fn misfit(error: arrow_schema::ArrowError) -> Error {
    Error::internal(format!("columns with large values do not fit together: {error}"))
}

impl TableScan for Scan {
    fn schema(&self) -> SchemaRef {
        self.shared.schema.clone()
    }

    fn partition_count(&self) -> usize {
        self.rows.partition_count()
    }

    fn open(&self, partition: usize) -> Result<Box<dyn BatchReader>> {
        let left = self.shared.limit.unwrap_or(usize::MAX);
        let (rows, shared) = (self.rows.open(partition)?, self.shared.clone());
        Ok(Box::new(Partition { rows, shared, ready: VecDeque::new(), left }))
    }

    fn metrics(&self) -> Arc<ScanMetrics> {
        self.rows.metrics()
    }

    fn estimated_rows(&self) -> u64 {
        self.rows.estimated_rows()
    }

    fn estimated_bytes(&self) -> u64 {
        self.rows.estimated_bytes()
    }

    fn estimated_bounds(&self, column: ColumnId) -> Option<(Datum, Datum)> {
        self.rows.estimated_bounds(column)
    }

    fn first_by(&self, first: FirstBy) {
        self.rows.first_by(first);
    }

    fn narrow(&self, bound: &Bound) -> Result<()> {
        let ends = match &bound.values {
            BoundValues::None => [&None, &None],
            BoundValues::Within(low, high) => [low, high],
        };
        // A reference says how its value begins, no more.
        if may_be_large(&self.shared.descriptor, bound.column) && ends.into_iter().flatten().any(|end| !is_short(end)) {
            return Ok(());
        }
        self.rows.narrow(bound)
    }

    fn thin(&self, every: usize, seed: u64) -> bool {
        self.rows.thin(every, seed)
    }
}

struct Partition {
    rows: Box<dyn BatchReader>,
    shared: Arc<Shared>,
    /// Slices of the last batch, references still in them.
    ready: VecDeque<RecordBatch>,
    /// Rows still wanted.
    left: usize,
}

impl BatchReader for Partition {
    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        while self.left > 0 {
            let Some(slice) = self.ready.pop_front() else {
                let Some(made) = self.rows.next_batch()? else { return Ok(None) };
                self.ready = slices(made, &self.shared.places);
                continue;
            };
            let whole = self.shared.whole(&slice)?;
            let whole = whole.slice(0, whole.num_rows().min(self.left));
            if whole.num_rows() > 0 {
                self.left -= whole.num_rows();
                return Ok(Some(whole));
            }
        }
        Ok(None)
    }
}

/// Cuts a batch so that no slice refers to much more than [`BATCH_BYTES`].
fn slices(batch: RecordBatch, places: &[usize]) -> VecDeque<RecordBatch> {
    let mut sizes: Vec<u64> = Vec::new();
    for column in places.iter().filter_map(|at| batch.columns().get(*at)) {
        for (row, reference) in references(column) {
            sizes.resize(batch.num_rows(), 0);
            if let Some(size) = sizes.get_mut(row) {
                *size = size.saturating_add(reference.bytes);
            }
        }
    }
    let (mut slices, mut from, mut bytes) = (VecDeque::new(), 0, 0u64);
    for (row, size) in sizes.iter().enumerate() {
        if row > from && bytes.saturating_add(*size) > BATCH_BYTES {
            slices.push_back(batch.slice(from, row - from));
            (from, bytes) = (row, 0);
        }
        bytes = bytes.saturating_add(*size);
    }
    slices.push_back(batch.slice(from, batch.num_rows() - from));
    slices
}

/// Rows of a column that hold references.
fn references(column: &ArrayRef) -> Vec<(usize, Reference)> {
    match column.data_type() {
        DataType::Utf8View => references_of(column.as_string_view(), |text| text.as_bytes()),
        DataType::BinaryView => references_of(column.as_binary_view(), |bytes| bytes),
        _ => Vec::new(),
    }
}

fn references_of<T: ByteViewType>(
    array: &GenericByteViewArray<T>,
    bytes: impl Fn(&T::Native) -> &[u8],
) -> Vec<(usize, Reference)> {
    // The low half of a view's low word is the value's length.
    let long = array.views().iter().enumerate().filter(|(_, view)| **view as u32 as usize == REFERENCE_BYTES);
    let found = long.filter(|(row, _)| array.is_valid(*row));
    found.filter_map(|(row, _)| Some((row, Reference::decode(bytes(array.value(row)))?))).collect()
}

impl Shared {
    /// Values in place of references, late tests applied, columns that were not asked for left out.
    fn whole(&self, slice: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = slice.columns().to_vec();
        for at in &self.places {
            if let Some(column) = columns.get_mut(*at) {
                *column = self.whole_column(column)?;
            }
        }
        let mut whole = batch(&slice.schema(), columns, slice.num_rows())?;
        for (at, physical, test) in &self.tests {
            let column = whole.columns().get(*at).ok_or_else(|| Error::internal("a tested column is missing"))?;
            let passes = (0..whole.num_rows()).map(|row| Ok(test.filter.matches(&datum_at(column, row, *physical)?)));
            let passes = passes.collect::<Result<Vec<bool>>>()?;
            whole = filter_record_batch(&whole, &BooleanArray::from(passes)).map_err(misfit)?;
        }
        if self.extra == 0 {
            return Ok(whole);
        }
        let rows = whole.num_rows();
        let columns = kept(self.wanted, self.extra, whole.num_columns() > self.wanted + self.extra);
        let columns = columns.iter().filter_map(|at| whole.columns().get(*at).cloned()).collect();
        batch(&self.schema, columns, rows)
    }

    fn whole_column(&self, column: &ArrayRef) -> Result<ArrayRef> {
        let found = references(column);
        if found.is_empty() {
            return Ok(column.clone());
        }
        match column.data_type() {
            DataType::Utf8View => self.whole_views::<StringViewType>(column.as_string_view(), found),
            _ => self.whole_views::<BinaryViewType>(column.as_binary_view(), found),
        }
    }

    /// The array with views of the values' own buffers in place of those of references.
    fn whole_views<T: ByteViewType>(
        &self,
        array: &GenericByteViewArray<T>,
        found: Vec<(usize, Reference)>,
    ) -> Result<ArrayRef> {
        let mut views = array.views().to_vec();
        let mut buffers = array.data_buffers().to_vec();
        for (row, reference) in found {
            let value = self.core.value(&self.context, self.tree, reference)?;
            if let Some(view) = views.get_mut(row) {
                *view = arrow_array::builder::make_view(&value, buffers.len() as u32, 0);
            }
            buffers.push(Buffer::from_vec(value));
        }
        let whole = GenericByteViewArray::<T>::try_new(views.into(), buffers, array.nulls().cloned());
        whole
            .map(|array| Arc::new(array) as ArrayRef)
            .map_err(|error| Error::corrupt(format!("a large value: {error}")))
    }
}
