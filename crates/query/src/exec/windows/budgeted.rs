//! A node in the place of one of DataFusion's window operators: the same rows in the same order, made in another way.

use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{OrderingRequirements, PhysicalExpr};
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, Statistics, StatisticsArgs,
};

/// How the rows are made.
pub(super) trait Way: fmt::Debug + Sized + Send + Sync + 'static {
    /// The operator that it stands for.
    type Stage: ExecutionPlan + Clone;
    const NAME: &'static str;

    fn new(stage: &Self::Stage) -> DfResult<Self>;

    fn execute(
        &self,
        stage: &Self::Stage,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DfResult<SendableRecordBatchStream>;

    fn metrics(&self) -> MetricsSet;
}

/// A window operator within the budget.
#[derive(Debug)]
pub(super) struct Budgeted<W: Way> {
    /// As it was planned, with the shape of the output.
    stage: W::Stage,
    way: W,
}

impl<W: Way> Budgeted<W> {
    pub fn new(stage: W::Stage) -> DfResult<Budgeted<W>> {
        Ok(Budgeted { way: W::new(&stage)?, stage })
    }
}

impl<W: Way> DisplayAs for Budgeted<W> {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stage.fmt_as(t, f)
    }
}

impl<W: Way> ExecutionPlan for Budgeted<W> {
    fn name(&self) -> &str {
        W::NAME
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.stage.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.stage.children()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        self.stage.required_input_ordering()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        self.stage.apply_expressions(f)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> DfResult<Arc<dyn ExecutionPlan>> {
        let stage = replace_children_if_necessary(Arc::new(self.stage.clone()), children)?;
        let stage = stage.downcast_ref::<W::Stage>().cloned();
        let stage = stage.ok_or_else(|| DataFusionError::Internal("a window became something else".into()))?;
        Ok(Arc::new(Budgeted::<W>::new(stage)?))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        self.way.execute(&self.stage, partition, context)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.way.metrics())
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> DfResult<Arc<Statistics>> {
        self.stage.statistics_from_inputs(inputs, args)
    }
}
