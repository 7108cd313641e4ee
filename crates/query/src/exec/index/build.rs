//! Filling a new index from the rows its table has.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use datafusion::common::DFSchema;
use heliosdb_contracts::{InsertOutcome, ROW_REF_COLUMN, RowRef, ScanRequest};
use heliosdb_types::{ColumnId, Error, Result, SqlState};

use super::entry::{IndexSpec, IndexWrite};
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

/// Puts an entry into the index for every row that `scope` sees. The index' tree is the transaction's own and the table is
/// locked against writers. Runs on the analytics pool.
pub(crate) async fn build(
    executor: &Executor,
    relation: &Arc<Relation>,
    index: &IndexWrite,
    scope: Arc<StatementScope>,
    progress: Arc<BuildProgress>,
) -> Result<()> {
    let Job { relation, spec, schema, request } = job(executor, relation, index, &scope)?;
    let task = executor.spawner.task(async move {
        let scan = scope.shard.scan(&scope.read, &request)?;
        progress.rows_total.store(scan.estimated_rows(), Ordering::Relaxed);
        for partition in 0..scan.partition_count() {
            let mut reader = scan.open(partition)?;
            while let Some(batch) = reader.next_batch()? {
                scope.cancel.check()?;
                add(&relation, &spec, &scope, &schema, &batch).await?;
                progress.rows_done.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
            }
        }
        Ok(())
    });
    task.await?
}

async fn add(
    relation: &Relation,
    spec: &IndexSpec,
    scope: &StatementScope,
    schema: &arrow_schema::SchemaRef,
    batch: &RecordBatch,
) -> Result<()> {
    let (rows, keys) = shaped(batch, schema)?;
    let (mut entries, mut places) = (Vec::with_capacity(rows.num_rows()), Vec::new());
    for (at, (entry, key)) in spec.entries(&rows)?.iter().zip(&keys).enumerate() {
        if let Some(entry) = entry {
            entries.push(entry.keyed_row(key)?);
            places.push(at);
        }
    }
    if entries.is_empty() {
        return Ok(());
    }
    let txn = scope.writer()?;
    // Of two equal entries in one batch the shard may see only the second as a duplicate; either way one is named.
    let mut seen = std::collections::HashSet::<&Bytes>::new();
    let twice = entries.iter().position(|entry| !seen.insert(&entry.key));
    let outcome = match twice {
        Some(index) => InsertOutcome::Duplicate { index },
        None => {
            let tree = Arc::clone(&spec.tree);
            scope.shard.insert(txn, scope.read.command, tree, entries, scope.lock_wait).await?
        }
    };
    let InsertOutcome::Duplicate { index } = outcome else { return Ok(()) };
    let row = places.get(index).copied().unwrap_or(0);
    Err(duplicated(relation, spec, scope, &rows, row)?)
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
