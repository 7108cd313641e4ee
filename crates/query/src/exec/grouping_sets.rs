//! What grouping sets leave out is not constant.
//!
//! A grouping set that leaves a key out gives NULL in its place. DataFusion derives what it knows of an aggregate's output (which
//! columns are constant, what they are ordered and partitioned by) from the input all the same, and would leave `ORDER BY a`
//! away for `WHERE a = 1 GROUP BY ROLLUP (a)`. A node above such aggregates knows nothing of its rows.

use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};

/// How EXPLAIN knows the node, to leave it out.
pub(super) const REGROUPED: &str = "RegroupedExec";

/// Puts the node above aggregates by grouping sets; before any rule that makes use of what is constant.
#[derive(Debug)]
pub(super) struct ForgetKeys;

impl PhysicalOptimizerRule for ForgetKeys {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> DfResult<Arc<dyn ExecutionPlan>> {
        let wrap = |plan: Arc<dyn ExecutionPlan>| {
            Ok(match plan.downcast_ref::<AggregateExec>() {
                Some(aggregate) if !aggregate.group_expr().is_single() => {
                    Transformed::yes(Arc::new(RegroupedExec::new(plan)) as Arc<dyn ExecutionPlan>)
                }
                _ => Transformed::no(plan),
            })
        };
        plan.transform_up(wrap).map(|transformed| transformed.data)
    }

    fn name(&self) -> &str {
        "forget_keys"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Its input, of which nothing is known.
#[derive(Debug)]
struct RegroupedExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl RegroupedExec {
    fn new(input: Arc<dyn ExecutionPlan>) -> RegroupedExec {
        let known = input.properties();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            known.emission_type,
            known.boundedness,
        );
        RegroupedExec { input, properties: Arc::new(properties) }
    }
}

impl DisplayAs for RegroupedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REGROUPED)
    }
}

impl ExecutionPlan for RegroupedExec {
    fn name(&self) -> &str {
        REGROUPED
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![false]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let input = children.pop().ok_or_else(|| DataFusionError::Internal("grouping sets need a child".into()))?;
        Ok(Arc::new(RegroupedExec::new(input)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }
}
