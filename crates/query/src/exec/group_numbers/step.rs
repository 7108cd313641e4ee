//! The steps that number rows, and that put the values in place of the numbers.

use std::fmt;
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
    plan.downcast_ref::<Above<WithMore<Number>>>().map(|above| above.step().what.keys.as_slice())
}

/// What is computed of a batch for each of its rows.
pub(super) trait More: fmt::Debug + Send + Sync + 'static {
    const NAME: &'static str;
    /// Whether conditions on the rows may be tested before.
    const PASSES_CONDITIONS: bool = false;

    fn columns(&self, batch: &RecordBatch) -> DfResult<Vec<ArrayRef>>;
}

/// Adds the number of a row's keys.
#[derive(Debug)]
pub(super) struct Number {
    pub numbers: Arc<Numbers>,
    pub keys: Vec<Arc<dyn PhysicalExpr>>,
}

impl More for Number {
    const NAME: &'static str = NUMBER_GROUPS;
    const PASSES_CONDITIONS: bool = true;

    fn columns(&self, batch: &RecordBatch) -> DfResult<Vec<ArrayRef>> {
        let keys = evaluate_expressions_to_arrays(self.keys.iter(), batch)?;
        Ok(vec![Arc::new(self.numbers.number(&keys)?)])
    }
}

/// Adds what a number stands for.
#[derive(Debug)]
pub(super) struct Spell {
    pub numbers: Arc<Numbers>,
    /// The number's place.
    pub number: usize,
}

impl More for Spell {
    const NAME: &'static str = SPELL_GROUPS;

    fn columns(&self, batch: &RecordBatch) -> DfResult<Vec<ArrayRef>> {
        let column = batch.columns().get(self.number).and_then(|column| column.as_primitive_opt::<Int32Type>());
        self.numbers.spell(column.ok_or_else(|| DataFusionError::Internal("groups without numbers".into()))?)
    }
}

/// The step that adds them.
#[derive(Debug)]
pub(super) struct WithMore<M> {
    what: Arc<M>,
    /// The input's columns and those.
    schema: SchemaRef,
    metrics: ExecutionPlanMetricsSet,
}

impl<M> WithMore<M> {
    pub fn new(what: Arc<M>, schema: SchemaRef) -> WithMore<M> {
        WithMore { what, schema, metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl<M: More> Step for WithMore<M> {
    const NAME: &'static str = M::NAME;
    const PASSES_CONDITIONS: bool = M::PASSES_CONDITIONS;

    fn anew(&self) -> WithMore<M> {
        WithMore::new(Arc::clone(&self.what), Arc::clone(&self.schema))
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
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let (what, schema) = (Arc::clone(&self.what), Arc::clone(&self.schema));
        let batches = input.execute(partition, context)?.map(move |batch| {
            let (batch, _timer) = (batch?, metrics.elapsed_compute().timer());
            metrics.record_output(batch.num_rows());
            let columns = batch.columns().iter().cloned().chain(what.columns(&batch)?).collect();
            Ok(RecordBatch::try_new(Arc::clone(&schema), columns)?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
