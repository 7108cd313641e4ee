//! Groups of equal neighbours, batch by batch, where a first look says that there are enough of them.

use std::collections::HashSet;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use arrow_array::{ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::SchemaRef;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::error::Result as DfResult;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr_common::utils::evaluate_expressions_to_arrays;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::metrics::BaselineMetrics;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{Stream, StreamExt, TryStreamExt};

use crate::exec::spill::Handover;

/// Rows that the first look is at.
const LOOK_ROWS: usize = 32 << 10;

/// One aggregate function with its arguments.
pub(super) struct Call {
    pub function: Arc<AggregateFunctionExpr>,
    pub arguments: Vec<Arc<dyn PhysicalExpr>>,
    pub filter: Option<Arc<dyn PhysicalExpr>>,
}

impl Call {
    /// The states of a batch's groups.
    fn states(&self, batch: &RecordBatch, group_of: &[usize], groups: usize) -> DfResult<Vec<ArrayRef>> {
        let mut accumulator: Box<dyn GroupsAccumulator> = self.function.create_groups_accumulator()?;
        let arguments = evaluate_expressions_to_arrays(&self.arguments, batch)?;
        let filter = match &self.filter {
            Some(filter) => Some(filter.evaluate(batch)?.into_array(batch.num_rows())?),
            None => None,
        };
        let filter = filter.as_ref().map(|filter| datafusion::common::cast::as_boolean_array(filter)).transpose()?;
        accumulator.update_batch(&arguments, group_of, filter, groups)?;
        accumulator.state(EmitTo::All)
    }
}

/// What is done with a batch.
pub(super) struct Runs {
    pub groups: Vec<Arc<dyn PhysicalExpr>>,
    pub calls: Vec<Call>,
    pub schema: SchemaRef,
}

impl Runs {
    /// The runs of a batch, and their keys.
    fn of_batch(&self, batch: &RecordBatch) -> DfResult<(Vec<Range<usize>>, Vec<ArrayRef>)> {
        let keys = evaluate_expressions_to_arrays(&self.groups, batch)?;
        let runs = arrow_ord::partition::partition(&keys)?.ranges();
        let firsts = UInt32Array::from_iter_values(runs.iter().map(|run| run.start as u32));
        let keys = keys.iter().map(|key| arrow_select::take::take(key, &firsts, None));
        Ok((runs, keys.collect::<Result<_, _>>()?))
    }

    fn aggregate(&self, batch: &RecordBatch) -> DfResult<RecordBatch> {
        let (runs, mut columns) = self.of_batch(batch)?;
        let mut group_of = Vec::with_capacity(batch.num_rows());
        for (group, run) in runs.iter().enumerate() {
            group_of.resize(group_of.len() + run.len(), group);
        }
        for call in &self.calls {
            columns.extend(call.states(batch, &group_of, runs.len())?);
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    /// Whether neighbours are equal often enough, and few groups come again later: else a table of groups is worth its price.
    fn pay(&self, batches: &[RecordBatch]) -> DfResult<bool> {
        let (mut rows, mut runs, mut groups) = (0, 0, HashSet::new());
        let seed = RandomState::default();
        for batch in batches {
            let (ranges, keys) = self.of_batch(batch)?;
            let mut hashes = vec![0; ranges.len()];
            create_hashes(&keys, &seed, &mut hashes)?;
            groups.extend(hashes);
            rows += batch.num_rows();
            runs += ranges.len();
        }
        Ok(runs * 4 <= rows * 3 && groups.len() * 2 > runs)
    }
}

/// The stage's output of an input.
pub(super) fn run(
    runs: Runs,
    input: SendableRecordBatchStream,
    partial: AggregateExec,
    context: Arc<TaskContext>,
    metrics: BaselineMetrics,
) -> SendableRecordBatchStream {
    let schema = Arc::clone(&runs.schema);
    let look = async move { first_look(runs, input, &partial, context, metrics).await };
    Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::once(look).try_flatten()))
}

async fn first_look(
    runs: Runs,
    mut input: SendableRecordBatchStream,
    partial: &AggregateExec,
    context: Arc<TaskContext>,
    metrics: BaselineMetrics,
) -> DfResult<SendableRecordBatchStream> {
    let (mut seen, mut rows) = (Vec::new(), 0);
    while rows < LOOK_ROWS
        && let Some(batch) = input.next().await
    {
        let batch = batch?;
        rows += batch.num_rows();
        seen.push(batch);
    }
    let pays = runs.pay(&seen)?;
    let schema = input.schema();
    let whole = futures::stream::iter(seen.into_iter().map(Ok)).chain(input);
    let whole: SendableRecordBatchStream = Box::pin(RecordBatchStreamAdapter::new(schema, whole));
    if pays {
        return Ok(Box::pin(RunStream { runs, input: whole, metrics }));
    }
    let stage = replace_children_if_necessary(Arc::new(partial.clone()), vec![Arc::new(Handover::of(whole))])?;
    let output = stage.execute(0, context)?;
    Ok(Box::pin(Counted { output, metrics }))
}

struct RunStream {
    runs: Runs,
    input: SendableRecordBatchStream,
    metrics: BaselineMetrics,
}

impl Stream for RunStream {
    type Item = DfResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<DfResult<RecordBatch>>> {
        loop {
            let next = match ready!(self.input.poll_next_unpin(context)) {
                Some(Ok(batch)) if batch.num_rows() == 0 => continue,
                Some(Ok(batch)) => {
                    let timer = self.metrics.elapsed_compute().clone();
                    let _timer = timer.timer();
                    Some(self.runs.aggregate(&batch))
                }
                other => other,
            };
            return self.metrics.record_poll(Poll::Ready(next));
        }
    }
}

impl RecordBatchStream for RunStream {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.runs.schema)
    }
}

/// The stage it stands for, counted as this one's.
struct Counted {
    output: SendableRecordBatchStream,
    metrics: BaselineMetrics,
}

impl Stream for Counted {
    type Item = DfResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<DfResult<RecordBatch>>> {
        let next = self.output.poll_next_unpin(context);
        self.metrics.record_poll(next)
    }
}

impl RecordBatchStream for Counted {
    fn schema(&self) -> SchemaRef {
        self.output.schema()
    }
}
