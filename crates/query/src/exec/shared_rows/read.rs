//! One of the places that read a shared query's rows.

use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result as DfResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use futures::{StreamExt, TryStreamExt, stream};

use crate::exec::error::to_datafusion;
use crate::exec::parts::as_given;
use crate::exec::scope::StatementScope;

/// How EXPLAIN knows the node.
pub(in crate::exec) const SHARED: &str = "SharedExec";

#[derive(Debug)]
pub(super) struct SharedExec {
    number: u64,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl SharedExec {
    pub fn new(number: u64, input: Arc<dyn ExecutionPlan>) -> SharedExec {
        // The rows may be another plan's of the same query: nothing but their columns is known to be the same.
        let properties = PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        SharedExec { number, input, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl DisplayAs for SharedExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("once for all places that name it")
    }
}

impl ExecutionPlan for SharedExec {
    fn name(&self) -> &str {
        SHARED
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
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

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let input = children.pop().ok_or_else(|| DataFusionError::Internal("Shared needs a child".into()))?;
        Ok(Arc::new(SharedExec::new(self.number, input)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        let scope = StatementScope::of(context.session_config()).map_err(to_datafusion)?;
        let place = (self.number, self.input.output_partitioning().partition_count(), partition);
        let kept = scope.parts.shared().at(place, &self.input, &context);
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let (schema, own) = (self.schema(), self.schema());
        let rows = stream::once(async move {
            let rows = kept.await.map_err(DataFusionError::Shared)?;
            rows.read()
        });
        let rows = rows.try_flatten().map(move |batch| {
            let batch = as_given(&batch?, &schema).map_err(to_datafusion)?;
            metrics.record_output(batch.num_rows());
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(own, rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
