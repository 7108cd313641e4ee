//! Runs of a batch put together, as long as there are enough of them.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal64Type, Decimal128Type, Int16Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, PrimitiveArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, PlanProperties};
use futures::{StreamExt, stream};

use crate::exec::above::{Above, Step};
use crate::exec::error::to_datafusion;
use crate::exec::small_batches::SmallBatches;

/// How others know the node.
pub(in crate::exec) const MERGE_RUNS: &str = "MergeRunsExec";

/// After so many rows it is known whether neighbours are equal often enough: two rows for each that is left.
const LOOK_ROWS: usize = 16 << 10;

/// The type of sums of a type that no batch's rows exceed; `None`: it is not summed here.
pub(super) fn sum_type(kind: &DataType) -> Option<DataType> {
    match kind {
        DataType::Int16 | DataType::Int32 => Some(DataType::Int64),
        DataType::Int64 => Some(DataType::Decimal128(38, 0)),
        DataType::Decimal64(_, scale) => Some(DataType::Decimal128(38, *scale)),
        _ => None,
    }
}

/// Whether neighbours of a type are compared.
pub(super) fn is_compared(kind: &DataType) -> bool {
    kind.is_primitive() || matches!(kind, DataType::Boolean | DataType::Utf8View | DataType::BinaryView)
}

/// The step above a plan: `sums` of its columns with their types, all others equal in a run.
pub(super) fn merged(plan: &Arc<dyn ExecutionPlan>, sums: Vec<(usize, DataType)>) -> Arc<dyn ExecutionPlan> {
    let schema = plan.schema();
    let field = |(at, field): (usize, &Arc<Field>)| match sums.iter().find(|(sum, _)| *sum == at) {
        Some((_, kind)) => Arc::new(Field::clone(field).with_data_type(kind.clone())),
        None => Arc::clone(field),
    };
    let fields: Vec<Arc<Field>> = schema.fields().iter().enumerate().map(field).collect();
    let runs = Runs {
        sums: sums.into_iter().map(|(at, _)| at).collect(),
        schema: Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone())),
    };
    Arc::new(Above::new(Merge { runs: Arc::new(runs), metrics: ExecutionPlanMetricsSet::new() }, Arc::clone(plan)))
}

#[derive(Debug)]
struct Merge {
    runs: Arc<Runs>,
    metrics: ExecutionPlanMetricsSet,
}

impl Step for Merge {
    const NAME: &'static str = MERGE_RUNS;
    const KEEPS_ORDER: bool = false;

    fn anew(&self) -> Merge {
        Merge { runs: Arc::clone(&self.runs), metrics: ExecutionPlanMetricsSet::new() }
    }

    fn properties(&self, input: &Arc<dyn ExecutionPlan>) -> Arc<PlanProperties> {
        let known = PlanProperties::clone(input.properties());
        Arc::new(known.with_eq_properties(EquivalenceProperties::new(Arc::clone(&self.runs.schema))))
    }

    fn execute(
        &self,
        input: &Arc<dyn ExecutionPlan>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DfResult<SendableRecordBatchStream> {
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let run = Running {
            input: input.execute(partition, context)?,
            runs: Arc::clone(&self.runs),
            small: SmallBatches::default(),
            seen: 0,
            left: 0,
            ended: false,
        };
        let batches = stream::try_unfold(run, move |mut run| {
            let metrics = metrics.clone();
            async move {
                let batch = run.next(&metrics).await?;
                if let Some(batch) = &batch {
                    metrics.record_output(batch.num_rows());
                }
                Ok(batch.map(|batch| (batch, run)))
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.runs.schema), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

struct Running {
    input: SendableRecordBatchStream,
    runs: Arc<Runs>,
    small: SmallBatches,
    /// Rows that came, and that were left of them.
    seen: usize,
    left: usize,
    ended: bool,
}

impl Running {
    async fn next(&mut self, metrics: &BaselineMetrics) -> DfResult<Option<RecordBatch>> {
        while !self.ended {
            let Some(batch) = self.input.next().await.transpose()? else {
                self.ended = true;
                return self.small.finish().map_err(to_datafusion);
            };
            let _timer = metrics.elapsed_compute().timer();
            let pays = self.seen < LOOK_ROWS || self.left * 2 <= self.seen;
            let merged = if pays { self.runs.merge(&batch)? } else { self.runs.pass(&batch)? };
            self.seen += batch.num_rows();
            self.left += merged.num_rows();
            if let Some(batch) = self.small.push(merged).map_err(to_datafusion)? {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }
}

/// What is done with a batch.
#[derive(Debug)]
struct Runs {
    /// Columns that are summed.
    sums: Vec<usize>,
    schema: SchemaRef,
}

impl Runs {
    /// A row for each run of rows whose other columns are equal, NULL to NULL.
    fn merge(&self, batch: &RecordBatch) -> DfResult<RecordBatch> {
        let others = batch.columns().iter().enumerate().filter(|(at, _)| !self.sums.contains(at));
        let others: Vec<ArrayRef> = others.map(|(_, column)| Arc::clone(column)).collect();
        let ends: Vec<usize> =
            arrow_ord::partition::partition(&others)?.ranges().into_iter().map(|run| run.end).collect();
        if ends.len() == batch.num_rows() {
            return self.pass(batch);
        }
        let lasts = UInt32Array::from_iter_values(ends.iter().map(|end| *end as u32 - 1));
        let column = |(at, column): (usize, &ArrayRef)| match self.sums.contains(&at) {
            true => summed(column, ends.iter().copied()),
            false => Ok(arrow_select::take::take(column, &lasts, None)?),
        };
        self.batch(batch.columns().iter().enumerate().map(column).collect::<DfResult<_>>()?, ends.len())
    }

    /// Each row by itself.
    fn pass(&self, batch: &RecordBatch) -> DfResult<RecordBatch> {
        let column = |(at, column): (usize, &ArrayRef)| match self.sums.contains(&at) {
            true => summed(column, 1..=batch.num_rows()),
            false => Ok(Arc::clone(column)),
        };
        self.batch(batch.columns().iter().enumerate().map(column).collect::<DfResult<_>>()?, batch.num_rows())
    }

    fn batch(&self, columns: Vec<ArrayRef>, rows: usize) -> DfResult<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

/// The sums of runs that end before `ends`, in the type of [`sum_type`]; NULL where a run has no value.
fn summed(values: &ArrayRef, ends: impl Iterator<Item = usize>) -> DfResult<ArrayRef> {
    let sums: ArrayRef = match values.data_type() {
        DataType::Int16 => Arc::new(sums_of::<Int16Type, Int64Type>(values, ends)),
        DataType::Int32 => Arc::new(sums_of::<Int32Type, Int64Type>(values, ends)),
        DataType::Int64 => {
            let sums = sums_of::<Int64Type, Decimal128Type>(values, ends);
            Arc::new(sums.with_data_type(DataType::Decimal128(38, 0)))
        }
        DataType::Decimal64(_, scale) => {
            let sums = sums_of::<Decimal64Type, Decimal128Type>(values, ends);
            Arc::new(sums.with_data_type(DataType::Decimal128(38, *scale)))
        }
        other => return Err(DataFusionError::Internal(format!("a run's sum of {other}"))),
    };
    Ok(sums)
}

/// A batch has too few rows for its sums to leave the wider type.
fn sums_of<V, S>(values: &ArrayRef, ends: impl Iterator<Item = usize>) -> PrimitiveArray<S>
where
    V: ArrowPrimitiveType,
    S: ArrowPrimitiveType,
    S::Native: From<V::Native> + std::ops::AddAssign + Default,
{
    let values = values.as_primitive::<V>();
    let mut start = 0;
    if values.null_count() == 0 {
        return PrimitiveArray::from_iter_values(ends.map(|end| {
            let mut sum = S::Native::default();
            values.values().get(start..end).unwrap_or_default().iter().for_each(|value| sum += S::Native::from(*value));
            start = end;
            sum
        }));
    }
    ends.map(|end| {
        let mut sum: Option<S::Native> = None;
        for at in start..end {
            if values.is_valid(at) {
                *sum.get_or_insert_default() += S::Native::from(values.value(at));
            }
        }
        start = end;
        sum
    })
    .collect()
}

#[cfg(test)]
#[path = "step_test.rs"]
mod tests;
