//! What is done with the rows of a leaf, one step after the other.

use std::sync::{Arc, OnceLock};

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef, SortOptions};
use arrow_select::concat::concat_batches;
use arrow_select::filter::filter_record_batch;
use arrow_select::take::take_record_batch;
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::physical_expr::PhysicalExpr;
use heliosdb_types::{Error, Result};

use super::aggregate::Aggregation;
use crate::exec::arrays::into_array;
use crate::exec::error::{from_arrow, from_datafusion};
use crate::exec::lock_rows::LockSpec;
use crate::exec::row_write::WriteSpec;

pub(super) enum Step {
    Filter(Arc<dyn PhysicalExpr>),
    Project(Projection),
    Slice {
        skip: usize,
        fetch: usize,
    },
    /// By these keys, the first first.
    Sort(Vec<(Arc<dyn PhysicalExpr>, SortOptions)>),
    /// One row of all of them.
    Aggregate(Aggregation),
    Lock(Arc<LockSpec>),
    Write(Arc<WriteSpec>),
}

impl Step {
    /// Applies a step that neither writes nor locks.
    pub fn apply(&self, batches: &[RecordBatch]) -> Result<Vec<RecordBatch>> {
        match self {
            Step::Sort(keys) => sort(keys, batches),
            Step::Aggregate(aggregation) => Ok(vec![aggregation.apply(batches)?]),
            step => batches.iter().map(|batch| step.apply_to_one(batch)).collect(),
        }
    }

    fn apply_to_one(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        if batch.num_rows() == 0 {
            // Constants would give a row of their own.
            return Ok(batch.clone());
        }
        match self {
            Step::Filter(predicate) => filtered(predicate, batch),
            Step::Project(projection) => projection.apply(batch),
            Step::Slice { skip, fetch } => {
                let skip = (*skip).min(batch.num_rows());
                Ok(batch.slice(skip, (*fetch).min(batch.num_rows() - skip)))
            }
            Step::Sort(_) | Step::Aggregate(_) | Step::Write(_) | Step::Lock(_) => {
                Err(Error::internal("not a step on one batch alone"))
            }
        }
    }
}

/// Rows of all batches in an order.
fn sort(keys: &[(Arc<dyn PhysicalExpr>, SortOptions)], batches: &[RecordBatch]) -> Result<Vec<RecordBatch>> {
    let mut filled = batches.iter().filter(|batch| batch.num_rows() > 0);
    let all = match (filled.next(), filled.next()) {
        (None, _) => return Ok(Vec::new()),
        (Some(one), None) => one.clone(),
        (Some(first), Some(_)) => concat_batches(&first.schema(), batches).map_err(from_arrow)?,
    };
    if all.num_rows() == 1 {
        return Ok(vec![all]);
    }
    let columns = keys.iter().map(|(expr, _)| evaluate(expr, &all)).collect::<Result<Vec<_>>>()?;
    let fields = columns.iter().zip(keys);
    let fields = fields.map(|(column, (_, options))| SortField::new_with_options(column.data_type().clone(), *options));
    let converter = RowConverter::new(fields.collect()).map_err(from_arrow)?;
    let rows = converter.convert_columns(&columns).map_err(from_arrow)?;
    let mut order: Vec<u32> = (0..all.num_rows() as u32).collect();
    order.sort_by(|a, b| rows.row(*a as usize).cmp(&rows.row(*b as usize)));
    Ok(vec![take_record_batch(&all, &UInt32Array::from(order)).map_err(from_arrow)?])
}

/// New columns from a batch's.
pub(super) struct Projection {
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    /// What the first batch came to; types of later ones differ only where a value decides its own.
    schema: OnceLock<SchemaRef>,
}

impl Projection {
    pub fn new(exprs: Vec<Arc<dyn PhysicalExpr>>) -> Projection {
        Projection { exprs, schema: OnceLock::new() }
    }

    pub fn exprs(&self) -> &[Arc<dyn PhysicalExpr>] {
        &self.exprs
    }

    fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let columns = self.exprs.iter().map(|expr| evaluate(expr, batch)).collect::<Result<Vec<_>>>()?;
        let schema = self.schema.get_or_init(|| unnamed(columns.iter().map(|column| column.data_type().clone())));
        let same = schema.fields().iter().zip(&columns).all(|(field, column)| field.data_type() == column.data_type());
        match same {
            true => with_schema(Arc::clone(schema), columns, batch.num_rows()),
            false => assemble(columns, batch.num_rows()),
        }
    }
}

pub(super) fn evaluate(expr: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<ArrayRef> {
    let value = expr.evaluate(batch).map_err(from_datafusion)?;
    into_array(value, batch.num_rows()).map_err(from_datafusion)
}

/// The rows for which a predicate is true.
pub(super) fn filtered(predicate: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<RecordBatch> {
    let keep = evaluate(predicate, batch)?;
    let keep = keep.as_boolean_opt().ok_or_else(|| Error::internal("a filter is not boolean"))?;
    filter_record_batch(batch, keep).map_err(from_arrow)
}

/// Columns known by position only.
pub(super) fn unnamed(types: impl Iterator<Item = DataType>) -> SchemaRef {
    Arc::new(Schema::new(types.map(|data_type| Field::new("", data_type, true)).collect::<Vec<_>>()))
}

pub(super) fn assemble(columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    with_schema(unnamed(columns.iter().map(|column| column.data_type().clone())), columns, rows)
}

pub(super) fn with_schema(schema: SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &options).map_err(from_arrow)
}
