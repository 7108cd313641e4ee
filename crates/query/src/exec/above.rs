//! A node above one other, whose rows it gives: as they are, in other batches, or from somewhere else.

use std::fmt;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::config::ConfigOptions;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::filter_pushdown::{FilterDescription, FilterPushdownPhase};
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};

/// What such a node does.
pub(super) trait Step: fmt::Debug + Sized + Send + Sync + 'static {
    const NAME: &'static str;
    /// What EXPLAIN says of it.
    const SHOWN: &'static str = Self::NAME;
    /// Whether rows come in the order of the input's, and what is known of those is known of these.
    const KEEPS_ORDER: bool = true;
    /// Whether conditions on the rows may be tested below.
    const PASSES_CONDITIONS: bool = false;

    /// The same step above another input; what it has counted is not taken along.
    fn anew(&self) -> Self;

    fn emission(&self, input: EmissionType) -> EmissionType {
        input
    }

    /// What is known of the rows.
    fn properties(&self, input: &Arc<dyn ExecutionPlan>) -> Arc<PlanProperties> {
        let known = input.properties();
        match Self::KEEPS_ORDER {
            true => Arc::clone(known),
            false => Arc::new(PlanProperties::new(
                EquivalenceProperties::new(input.schema()),
                Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
                self.emission(known.emission_type),
                known.boundedness,
            )),
        }
    }

    /// The input's rows as they are, unless the step says otherwise.
    fn execute(
        &self,
        input: &Arc<dyn ExecutionPlan>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DfResult<SendableRecordBatchStream> {
        input.execute(partition, context)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        None
    }
}

/// The properties of an input's rows with further columns after those they have.
pub(super) fn with_more_columns(input: &Arc<dyn ExecutionPlan>, schema: &SchemaRef) -> Arc<PlanProperties> {
    let order = input.output_ordering().map(|order| order.to_vec());
    let equal = EquivalenceProperties::new_with_orderings(Arc::clone(schema), order);
    let partitioning = Partitioning::UnknownPartitioning(input.output_partitioning().partition_count());
    Arc::new(PlanProperties::new(equal, partitioning, input.pipeline_behavior(), input.boundedness()))
}

/// A step above its input.
#[derive(Debug)]
pub(super) struct Above<S> {
    step: S,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl<S: Step> Above<S> {
    pub fn new(step: S, input: Arc<dyn ExecutionPlan>) -> Above<S> {
        let properties = step.properties(&input);
        Above { step, input, properties }
    }

    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    pub fn step(&self) -> &S {
        &self.step
    }
}

impl<S: Step> DisplayAs for Above<S> {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(S::SHOWN)
    }
}

impl<S: Step> ExecutionPlan for Above<S> {
    fn name(&self) -> &str {
        S::NAME
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![S::KEEPS_ORDER]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn gather_filters_for_pushdown(
        &self,
        _phase: FilterPushdownPhase,
        conditions: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> DfResult<FilterDescription> {
        match S::PASSES_CONDITIONS {
            true => FilterDescription::from_children(conditions, &self.children()),
            false => Ok(FilterDescription::all_unsupported(&conditions, &self.children())),
        }
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let input = children.pop().ok_or_else(|| DataFusionError::Internal(format!("{} needs a child", S::NAME)))?;
        Ok(Arc::new(Above::new(self.step.anew(), input)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        self.step.execute(&self.input, partition, context)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.step.metrics()
    }
}
