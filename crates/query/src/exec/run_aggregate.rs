//! Grouping rows that come clustered: by the first column of a table's primary key.
//!
//! Segments are sorted by key, so the rows of one key come one after the other, in a batch and mostly in the whole. The first of
//! an aggregate's two stages then needs no table of all groups: equal neighbours are one group, and a batch's groups go on to the
//! second stage, which puts together what was cut by the end of a batch or came later (from memory, from another segment). So
//! this is right in any order and fast in that of the key.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use arrow_array::{ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::SchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr_common::utils::evaluate_expressions_to_arrays;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::execution_plan::{apply_expression_roots, replace_children_if_necessary};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, InputOrderMode, PlanProperties};
use futures::{Stream, StreamExt};

use super::scan::HeliosScanExec;

/// How EXPLAIN knows the node.
pub(super) const RUN_AGGREGATE: &str = "RunAggregateExec";

/// Replaces first stages whose rows come clustered.
#[derive(Debug)]
pub(super) struct AggregateRuns;

impl PhysicalOptimizerRule for AggregateRuns {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> DfResult<Arc<dyn ExecutionPlan>> {
        let replace = |plan: Arc<dyn ExecutionPlan>| match plan.downcast_ref::<AggregateExec>() {
            Some(partial) if is_clustered(partial) => {
                let run = RunAggregateExec {
                    input: Arc::clone(partial.input()),
                    partial: partial.clone(),
                    metrics: ExecutionPlanMetricsSet::new(),
                };
                Ok(Transformed::yes(Arc::new(run) as Arc<dyn ExecutionPlan>))
            }
            _ => Ok(Transformed::no(plan)),
        };
        plan.transform_up(replace).map(|transformed| transformed.data)
    }

    fn name(&self) -> &str {
        "aggregate_runs"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether this is a first stage, one of its groups' columns the first of the primary key, and nothing about it special.
fn is_clustered(aggregate: &AggregateExec) -> bool {
    let plain = |call: &Arc<AggregateFunctionExpr>| {
        call.groups_accumulator_supported() && !call.is_distinct() && call.order_bys().is_empty()
    };
    *aggregate.mode() == AggregateMode::Partial
        && *aggregate.input_order_mode() == InputOrderMode::Linear
        && aggregate.limit_options().is_none()
        && aggregate.dynamic_expressions_produced().is_empty()
        && !aggregate.group_expr().has_grouping_set()
        && aggregate.aggr_expr().iter().all(plain)
        && aggregate.group_expr().expr().iter().any(|(expr, _)| leads_key(expr, aggregate.input()))
}

/// Whether an expression over a plan's output is the first column of the key of the table below.
fn leads_key(expr: &Arc<dyn PhysicalExpr>, plan: &Arc<dyn ExecutionPlan>) -> bool {
    let Some(column) = expr.downcast_ref::<Column>() else { return false };
    if let Some(scan) = plan.downcast_ref::<HeliosScanExec>() {
        let Some(table) = scan.relation().table() else { return false };
        let first = table.primary_key.as_ref().and_then(|key| key.attributes.first());
        let first = first.and_then(|first| scan.relation().columns.iter().find(|column| column.attribute == *first));
        return first.is_some_and(|first| scan.column_at(column.index()) == Some(first.id));
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let source = projection.expr().get(column.index());
        return source.is_some_and(|source| leads_key(&source.expr, projection.input()));
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let at = match filter.projection() {
            Some(kept) => kept.get(column.index()).copied(),
            None => Some(column.index()),
        };
        return at.is_some_and(|at| {
            let below: Arc<dyn PhysicalExpr> = Arc::new(Column::new(column.name(), at));
            leads_key(&below, filter.input())
        });
    }
    match (plan.name(), plan.children().as_slice()) {
        ("CooperativeExec" | "CoalesceBatchesExec", [input]) => leads_key(expr, input),
        _ => false,
    }
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
        Ok(Box::pin(RunStream {
            groups,
            calls: calls.collect(),
            schema: self.partial.schema(),
            input: self.input.execute(partition, context)?,
            metrics: BaselineMetrics::new(&self.metrics, partition),
        }))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// One aggregate function with its arguments.
struct Call {
    function: Arc<AggregateFunctionExpr>,
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    filter: Option<Arc<dyn PhysicalExpr>>,
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

struct RunStream {
    groups: Vec<Arc<dyn PhysicalExpr>>,
    calls: Vec<Call>,
    schema: SchemaRef,
    input: SendableRecordBatchStream,
    metrics: BaselineMetrics,
}

impl RunStream {
    fn aggregate(&self, batch: &RecordBatch) -> DfResult<RecordBatch> {
        let keys = evaluate_expressions_to_arrays(&self.groups, batch)?;
        let runs = arrow_ord::partition::partition(&keys)?.ranges();
        let mut group_of = Vec::with_capacity(batch.num_rows());
        for (group, run) in runs.iter().enumerate() {
            group_of.resize(group_of.len() + run.len(), group);
        }
        let firsts = UInt32Array::from_iter_values(runs.iter().map(|run| run.start as u32));
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for key in &keys {
            columns.push(arrow_select::take::take(key, &firsts, None)?);
        }
        for call in &self.calls {
            columns.extend(call.states(batch, &group_of, runs.len())?);
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
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
                    Some(self.aggregate(&batch))
                }
                other => other,
            };
            return self.metrics.record_poll(Poll::Ready(next));
        }
    }
}

impl RecordBatchStream for RunStream {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}
