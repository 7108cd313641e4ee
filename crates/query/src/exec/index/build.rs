//! Filling a new index from the rows its table has.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use datafusion::common::DFSchema;
use heliosdb_contracts::{InsertOutcome, ROW_REF_COLUMN, RowRef, ScanRequest, TableScan};
use heliosdb_types::{ColumnId, Error, Result, SqlState};

use super::entry::{IndexSpec, IndexWrite};
use super::rows::KeyedScan;
use super::sorted::{PART_BYTES, Part};
use crate::catalog::Relation;
use crate::exec::error::{from_arrow, from_datafusion};
use crate::exec::scope::StatementScope;
use crate::exec::state::Executor;
use crate::exec::table::HeliosTable;

const BATCH_ROWS: usize = 4096;

/// How far an index is, for whoever asks.
#[derive(Debug, Default)]
pub(crate) struct BuildProgress {
    pub rows_total: AtomicU64,
    pub rows_done: AtomicU64,
}

/// What is built from what.
pub(super) struct Job {
    pub relation: Arc<Relation>,
    pub spec: IndexSpec,
    /// The table's columns, all nullable.
    pub schema: SchemaRef,
    pub request: ScanRequest,
}

pub(super) fn job(
    executor: &Executor,
    relation: &Arc<Relation>,
    index: &IndexWrite,
    scope: &Arc<StatementScope>,
) -> Result<Job> {
    let table = relation.table().ok_or_else(|| Error::internal("an index of no table"))?;
    let provider = HeliosTable::new(Arc::clone(relation))?;
    let schema = datafusion::catalog::TableProvider::schema(&provider);
    // As a new row looks before it is verified: every column may be null.
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect::<Vec<_>>();
    let schema = Arc::new(arrow_schema::Schema::new(fields));
    let df_schema = DFSchema::try_from(Arc::clone(&schema)).map_err(from_datafusion)?;
    let session = executor.session(Arc::clone(scope));
    let spec =
        IndexSpec::plan(index, table, &df_schema, |expr, schema| session.create_physical_expr(expr.clone(), schema));
    let spec = spec.map_err(from_datafusion)?;
    let request = ScanRequest {
        tree: table.tree.tree,
        projection: relation.columns.iter().map(|column| column.id).collect::<Vec<ColumnId>>(),
        predicates: Vec::new(),
        row_refs: true,
        limit: None,
        target_partitions: 1,
        batch_rows: BATCH_ROWS,
    };
    Ok(Job { relation: Arc::clone(relation), spec, schema, request })
}

/// Puts an entry into the index for every row that `scope` sees, in the order of the index as far as memory allows. The index' tree
/// is the transaction's own and the table is locked against writers. Runs on the analytics pool.
pub(crate) async fn build(
    executor: &Executor,
    relation: &Arc<Relation>,
    index: &IndexWrite,
    scope: Arc<StatementScope>,
    progress: Arc<BuildProgress>,
) -> Result<()> {
    let job = job(executor, relation, index, &scope)?;
    let memory = executor.memory("CreateIndex");
    let task = executor.spawner.task(async move {
        let scan = scope.shard.scan(&scope.read, &job.request)?;
        progress.rows_total.store(scan.estimated_rows(), Ordering::Relaxed);
        let mut part = Part::default();
        for partition in 0..scan.partition_count() {
            let mut reader = scan.open(partition)?;
            while let Some(batch) = reader.next_batch()? {
                scope.cancel.check()?;
                let (rows, keys) = shaped(&batch, &job.schema)?;
                for (entry, key) in job.spec.entries(&rows)?.iter().zip(&keys) {
                    if let Some(entry) = entry {
                        part.push(entry, key);
                    }
                }
                progress.rows_done.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
                if part.size() > PART_BYTES || memory.try_resize(part.size()).is_err() {
                    put(&job, &scope, &mut part).await?;
                }
            }
        }
        put(&job, &scope, &mut part).await
    });
    task.await?
}

/// Sorts the entries and puts them.
async fn put(job: &Job, scope: &StatementScope, part: &mut Part) -> Result<()> {
    let txn = scope.writer()?;
    part.sort(|| scope.cancel.check())?;
    if let Some(row) = part.duplicate(|| scope.cancel.check())? {
        return Err(duplicate_row(job, scope, row)?);
    }
    for (chunk, rows) in part.chunks().enumerate() {
        scope.cancel.check()?;
        let tree = Arc::clone(&job.spec.tree);
        let outcome = scope.shard.insert(txn, scope.read.command, tree, rows?, scope.lock_wait).await?;
        if let InsertOutcome::Duplicate { index } = outcome {
            let row = part.row(chunk, index).unwrap_or_default();
            return Err(duplicate_row(job, scope, row)?);
        }
    }
    // Its memory goes too: another part may never come.
    *part = Part::default();
    Ok(())
}

/// 23505 for the row of a key, which is read again to say which it is.
fn duplicate_row(job: &Job, scope: &StatementScope, key: Bytes) -> Result<Error> {
    let scan = KeyedScan::new(Arc::clone(&scope.shard), &scope.read, &job.relation, &job.request, vec![key])?;
    let batch = scan.open(0)?.next_batch()?.ok_or_else(|| Error::internal("a row with an entry is gone"))?;
    let (rows, _) = shaped(&batch, &job.schema)?;
    duplicated(&job.relation, &job.spec, scope, &rows, 0)
}

/// A scan's batch as the table's columns and each row's key.
pub(super) fn shaped(batch: &RecordBatch, schema: &SchemaRef) -> Result<(RecordBatch, Vec<Bytes>)> {
    let references = batch.column_by_name(ROW_REF_COLUMN).and_then(|column| column.as_binary_view_opt());
    let references = references.ok_or_else(|| Error::internal("a scan without row references"))?;
    let columns = batch.columns().iter().take(schema.fields().len()).cloned().collect();
    let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let rows = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(from_arrow)?;
    let key = |at: usize| Ok(Bytes::copy_from_slice(RowRef::decode(references.value(at))?.key));
    let keys = (0..rows.num_rows()).map(key).collect::<Result<Vec<_>>>()?;
    Ok((rows, keys))
}

/// 23505 for a row whose columns another has.
pub(super) fn duplicated(
    relation: &Relation,
    spec: &IndexSpec,
    scope: &StatementScope,
    rows: &RecordBatch,
    row: usize,
) -> Result<Error> {
    let name = &spec.info.name;
    Ok(Error::conflict(SqlState::UNIQUE_VIOLATION, format!("could not create unique index \"{name}\""))
        .with_detail(format!("Key {} is duplicated.", spec.shown(rows, row, &scope.text)?))
        .with_table(relation.name.as_str())
        .with_constraint(name.as_str()))
}
