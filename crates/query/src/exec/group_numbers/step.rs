//! The steps that number rows, and that put the values in place of the numbers.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::SchemaRef;
use datafusion::common::{DataFusionError, Result as DfResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr_common::utils::evaluate_expressions_to_arrays;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, PlanProperties};
use futures::StreamExt;

use super::numbers::Numbers;
use crate::exec::above::{Above, Step, with_more_columns};

/// How others know the steps.
const NUMBER_GROUPS: &str = "NumberGroupsExec";
pub(in crate::exec) const SPELL_GROUPS: &str = "SpellGroupsExec";

/// What the numbers a step gives stand for, if it is such a step.
pub(in crate::exec) fn numbered_keys(plan: &dyn ExecutionPlan) -> Option<&[Arc<dyn PhysicalExpr>]> {
    plan.downcast_ref::<Above<Number>>().map(|above| above.step().keys.as_ref())
}

/// Adds the number of a row's keys.
#[derive(Debug)]
pub(super) struct Number {
    numbers: Arc<Numbers>,
    keys: Arc<[Arc<dyn PhysicalExpr>]>,
    schema: SchemaRef,
    metrics: ExecutionPlanMetricsSet,
}

impl Number {
    pub fn new(numbers: Arc<Numbers>, keys: Arc<[Arc<dyn PhysicalExpr>]>, schema: SchemaRef) -> Number {
        Number { numbers, keys, schema, metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl Step for Number {
    const NAME: &'static str = NUMBER_GROUPS;
    const PASSES_CONDITIONS: bool = true;

    fn anew(&self) -> Number {
        Number::new(Arc::clone(&self.numbers), Arc::clone(&self.keys), Arc::clone(&self.schema))
    }

    fn properties(&self, input: &Arc<dyn ExecutionPlan>) -> Arc<PlanProperties> {
        with_more_columns(input, &self.schema)
    }

    fn execute(
        &self,
        input: &Arc<dyn ExecutionPlan>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DfResult<SendableRecordBatchStream> {
        let keys = Arc::clone(&self.keys);
        let more = move |numbers: &Numbers, batch: &RecordBatch| {
            let keys = evaluate_expressions_to_arrays(keys.iter(), batch)?;
            Ok(vec![Arc::new(numbers.number(&keys)?) as ArrayRef])
        };
        with(more, &self.numbers, &self.schema, &self.metrics, (input, partition, context))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// Adds what a number stands for.
#[derive(Debug)]
pub(super) struct Spell {
    numbers: Arc<Numbers>,
    /// The number's place.
    number: usize,
    schema: SchemaRef,
    metrics: ExecutionPlanMetricsSet,
}

impl Spell {
    pub fn new(numbers: Arc<Numbers>, number: usize, schema: SchemaRef) -> Spell {
        Spell { numbers, number, schema, metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl Step for Spell {
    const NAME: &'static str = SPELL_GROUPS;

    fn anew(&self) -> Spell {
        Spell::new(Arc::clone(&self.numbers), self.number, Arc::clone(&self.schema))
    }

    fn properties(&self, input: &Arc<dyn ExecutionPlan>) -> Arc<PlanProperties> {
        with_more_columns(input, &self.schema)
    }

    fn execute(
        &self,
        input: &Arc<dyn ExecutionPlan>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DfResult<SendableRecordBatchStream> {
        let at = self.number;
        let more = move |numbers: &Numbers, batch: &RecordBatch| {
            let column = batch.columns().get(at).and_then(|column| column.as_primitive_opt::<Int32Type>());
            numbers.spell(column.ok_or_else(|| DataFusionError::Internal("groups without numbers".into()))?)
        };
        with(more, &self.numbers, &self.schema, &self.metrics, (input, partition, context))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// The input's rows with more columns.
fn with(
    more: impl Fn(&Numbers, &RecordBatch) -> DfResult<Vec<ArrayRef>> + Send + 'static,
    numbers: &Arc<Numbers>,
    schema: &SchemaRef,
    metrics: &ExecutionPlanMetricsSet,
    (input, partition, context): (&Arc<dyn ExecutionPlan>, usize, Arc<TaskContext>),
) -> DfResult<SendableRecordBatchStream> {
    let numbers = Arc::clone(numbers);
    let metrics = BaselineMetrics::new(metrics, partition);
    let given = Arc::clone(schema);
    let batches = input.execute(partition, context)?.map(move |batch| {
        let (batch, _timer) = (batch?, metrics.elapsed_compute().timer());
        metrics.record_output(batch.num_rows());
        let added = more(&numbers, &batch)?;
        let columns = batch.columns().iter().cloned().chain(added).collect();
        Ok(RecordBatch::try_new(Arc::clone(&given), columns)?)
    });
    Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(schema), batches)))
}
