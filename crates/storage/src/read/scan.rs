//! Scans: a plan bound to a snapshot and a pinned version, and partitions that take pieces of work from one queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow_array::builder::BinaryViewBuilder;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use heliosdb_contracts::{
    BatchReader, ROW_REF_COLUMN, ReadContext, RowHint, RowRef, ScanMetrics, ScanRequest, TableScan, arrow_type,
};
use heliosdb_types::{ColumnId, CommitTs, Error, PhysicalType, Result, SchemaVersion};
use parking_lot::Mutex;

use super::{ColumnBuilder, ColumnFilter, batch, compile};
use crate::core::Core;
use crate::memtable::Chunk;
use crate::shape::{Projection, TreeState};
use crate::txnbuf::Overlay;
use crate::version::Version;

/// What every partition of a scan shares.
struct Plan {
    state: Arc<TreeState>,
    schema: SchemaRef,
    columns: Vec<ColumnId>,
    types: Vec<PhysicalType>,
    filters: Vec<ColumnFilter>,
    row_refs: bool,
    limit: Option<usize>,
    batch_rows: usize,
    snapshot: CommitTs,
    overlay: Overlay,
    metrics: Arc<ScanMetrics>,
    /// Pinned: nothing in it is deleted or moved while the scan lives.
    version: Arc<Version>,
    work: Vec<Work>,
    next: AtomicUsize,
}

/// A piece of work small enough to balance partitions by.
enum Work {
    /// A chunk of a memtable.
    Chunk(Arc<Chunk>),
    /// The transaction's own rows, `from..to` of the overlay's.
    Own(usize, usize),
}

const OWN_ROWS: usize = 4096;

struct Scan {
    plan: Arc<Plan>,
    opened: Mutex<Vec<bool>>,
    estimated_rows: u64,
}

pub(crate) fn open_scan(core: &Core, context: &ReadContext, request: &ScanRequest) -> Result<Arc<dyn TableScan>> {
    let version = core.version.load_full();
    let (snapshot, branch) = (context.snapshot.ts, context.snapshot.branch);
    let state = core.tree_state(&version, context.txn, snapshot, branch, request.tree)?;
    let overlay = match context.txn {
        Some(txn) => core.txn(txn)?.lock().overlay(request.tree, context.command),
        None => Overlay::default(),
    };
    let types = request.projection.iter().map(|&id| {
        state.physical(id).ok_or_else(|| Error::internal(format!("tree {} has no column {id}", request.tree)))
    });
    let types = types.collect::<Result<Vec<_>>>()?;
    let mut work = Vec::new();
    let mut estimated_rows = overlay.rows.len() as u64;
    for generation in version.memtables() {
        let Some(memtable) = generation.tree((branch, request.tree)) else { continue };
        estimated_rows += memtable.len() as u64;
        work.extend(memtable.chunks().iter().cloned().map(Work::Chunk));
    }
    let own = overlay.rows.len();
    work.extend((0..own).step_by(OWN_ROWS).map(|from| Work::Own(from, own.min(from + OWN_ROWS))));
    let partitions = request.target_partitions.clamp(1, work.len().max(1));
    let plan = Plan {
        filters: compile(&request.predicates, &state)?,
        schema: schema(&request.projection, &types, request.row_refs),
        columns: request.projection.clone(),
        types,
        state,
        row_refs: request.row_refs,
        limit: request.limit,
        batch_rows: request.batch_rows.max(1),
        snapshot,
        overlay,
        metrics: Arc::default(),
        version,
        work,
        next: AtomicUsize::new(0),
    };
    let opened = Mutex::new(vec![false; partitions]);
    Ok(Arc::new(Scan { plan: Arc::new(plan), opened, estimated_rows }))
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
        0
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
            if let Some(mut batch) = self.ready.pop() {
                if batch.num_rows() > self.left {
                    batch = batch.slice(0, self.left);
                }
                self.left -= batch.num_rows();
                ScanMetrics::add(&self.plan.metrics.rows_out, batch.num_rows() as u64);
                return Ok(Some(batch));
            }
            let at = self.plan.next.fetch_add(1, Ordering::Relaxed);
            let Some(work) = self.plan.work.get(at) else { break };
            let made = self.plan.run(work)?;
            self.hand_out(made);
        }
        Ok(None)
    }
}

impl Partition {
    /// Cuts what was made to the size asked for.
    fn hand_out(&mut self, made: Option<RecordBatch>) {
        let Some(made) = made.filter(|batch| batch.num_rows() > 0) else { return };
        let step = self.plan.batch_rows;
        let starts = (0..made.num_rows()).step_by(step);
        self.ready.extend(starts.rev().map(|from| made.slice(from, step.min(made.num_rows() - from))));
    }
}

impl Plan {
    fn run(&self, work: &Work) -> Result<Option<RecordBatch>> {
        let mut out = RowBatch::new(self);
        match work {
            Work::Chunk(chunk) => {
                for version in chunk.versions() {
                    if version.is_visible(self.snapshot) && !self.overlay.hidden.contains_key(&version.key) {
                        out.add(&version.key, &version.row, version.schema)?;
                    }
                }
                ScanMetrics::add(&self.metrics.memtable_rows, chunk.len() as u64);
            }
            Work::Own(from, to) => {
                for (key, row, schema) in &self.overlay.rows[*from..*to] {
                    out.add(key, row, *schema)?;
                }
            }
        }
        out.finish()
    }
}

/// Rows in memory on their way to a batch: filtered one by one, then built column by column.
struct RowBatch<'a> {
    plan: &'a Plan,
    /// For the shape of the last row; rows of one shape come together.
    projection: Option<Projection>,
    tested: Option<Projection>,
    builders: Vec<ColumnBuilder>,
    refs: BinaryViewBuilder,
    reference: Vec<u8>,
    rows: usize,
}

impl<'a> RowBatch<'a> {
    fn new(plan: &'a Plan) -> RowBatch<'a> {
        RowBatch {
            plan,
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
            let tested: Vec<ColumnId> = self.plan.filters.iter().map(|filter| filter.column).collect();
            self.tested = Some(Projection::new(&self.plan.state, schema, &tested)?);
            self.projection = Some(Projection::new(&self.plan.state, schema, &self.plan.columns)?);
        }
        let (Some(tested), Some(projection)) = (&self.tested, &self.projection) else { return Ok(()) };
        if !self.plan.filters.is_empty() {
            let values = tested.values(row)?;
            if !self.plan.filters.iter().zip(&values).all(|(test, value)| test.filter.matches(value)) {
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
        batch(&self.plan.schema, columns, self.rows).map(Some)
    }
}
