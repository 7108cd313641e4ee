//! Grouping rows that come clustered: by the first column of a table's primary key.
//!
//! Segments are sorted by key, so the rows of one key come one after the other, in a batch and mostly in the whole; so do rows
//! that are joined to them. The first of an aggregate's two stages then needs no table of all groups: equal neighbours are one
//! group, and a batch's groups go on to the second stage, which puts together what was cut by the end of a batch or came later
//! (from memory, from another segment). So this is right in any order and fast in that of the key. Where the first rows say that
//! neighbours are not equal, or that the same groups come again and again, the stage is what it would have been.

mod clustered;
mod stream;

use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::{apply_expression_roots, replace_children_if_necessary};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

use self::clustered::is_clustered;
use self::stream::{Call, Runs};
use super::each_node::EachNode;

/// How EXPLAIN knows the node.
pub(super) const RUN_AGGREGATE: &str = "RunAggregateExec";

/// Replaces first stages whose rows come clustered.
pub(super) const AGGREGATE_RUNS: EachNode = EachNode::new("aggregate_runs", by_runs);

fn by_runs(plan: &Arc<dyn ExecutionPlan>) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
    let partial = plan.downcast_ref::<AggregateExec>().filter(|partial| is_clustered(partial));
    let runs = |partial: &AggregateExec| RunAggregateExec {
        input: Arc::clone(partial.input()),
        partial: partial.clone(),
        metrics: ExecutionPlanMetricsSet::new(),
    };
    Ok(partial.map(|partial| Arc::new(runs(partial)) as Arc<dyn ExecutionPlan>))
}

/// The first stage of an aggregate: the groups of each batch with their states.
#[derive(Debug)]
pub(super) struct RunAggregateExec {
    /// What it replaces, with the shape of the output.
    partial: AggregateExec,
    input: Arc<dyn ExecutionPlan>,
    metrics: ExecutionPlanMetricsSet,
}

impl RunAggregateExec {
    /// The stage it stands for.
    pub(super) fn partial(&self) -> &AggregateExec {
        &self.partial
    }
}

impl DisplayAs for RunAggregateExec {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.partial.fmt_as(t, f)?;
        f.write_str(", runs")
    }
}

impl ExecutionPlan for RunAggregateExec {
    fn name(&self) -> &str {
        RUN_AGGREGATE
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.partial.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        apply_expression_roots(self.partial.group_expr().expr().iter().map(|(expr, _)| expr), f)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let input = children.pop().ok_or_else(|| DataFusionError::Internal("an aggregate needs a child".into()))?;
        let partial: Arc<dyn ExecutionPlan> = Arc::new(self.partial.clone());
        let partial = replace_children_if_necessary(partial, vec![Arc::clone(&input)])?;
        let partial = partial.downcast_ref::<AggregateExec>().cloned();
        let partial = partial.ok_or_else(|| DataFusionError::Internal("an aggregate became something else".into()))?;
        Ok(Arc::new(RunAggregateExec { partial, input, metrics: ExecutionPlanMetricsSet::new() }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        let groups = self.partial.group_expr().expr().iter().map(|(expr, _)| Arc::clone(expr)).collect();
        let calls = self.partial.aggr_expr().iter().zip(self.partial.filter_expr());
        let calls = calls.map(|(call, filter)| Call {
            function: Arc::clone(call),
            arguments: call.expressions(),
            filter: filter.clone(),
        });
        let runs = Runs { groups, calls: calls.collect(), schema: self.partial.schema() };
        let input = self.input.execute(partition, Arc::clone(&context))?;
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        Ok(stream::run(runs, input, self.partial.clone(), context, metrics))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
