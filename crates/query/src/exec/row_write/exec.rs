//! The operator: reads its child to the end, writes, then gives the count or RETURNING's rows.

use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use datafusion::common::Result as DfResult;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::physical_expr::{Distribution, EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputDistributionRequirements, Partitioning, PlanProperties,
    SendableRecordBatchStream,
};
use futures::{StreamExt, TryStreamExt, stream};

use super::node::RowWriteOp;
use super::spec::WriteSpec;
use super::writer::Writer;
use crate::exec::error::to_datafusion;
use crate::exec::scope::StatementScope;

/// Writes its child's rows. One partition: a statement writes its rows in one order.
pub(crate) struct RowWriteExec {
    spec: Arc<WriteSpec>,
    input: Arc<dyn ExecutionPlan>,
    scope: Arc<StatementScope>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl RowWriteExec {
    pub(super) fn new(spec: Arc<WriteSpec>, input: Arc<dyn ExecutionPlan>, scope: Arc<StatementScope>) -> RowWriteExec {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&spec.output)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        let metrics = ExecutionPlanMetricsSet::new();
        RowWriteExec { spec, input, scope, properties: Arc::new(properties), metrics }
    }

    pub(crate) fn op(&self) -> RowWriteOp {
        self.spec.op
    }

    pub(crate) fn table(&self) -> &str {
        &self.spec.table.name
    }
}

impl fmt::Debug for RowWriteExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowWriteExec({:?})", self.spec)
    }
}

impl DisplayAs for RowWriteExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowWriteExec: {:?}", self.spec)
    }
}

impl ExecutionPlan for RowWriteExec {
    fn name(&self) -> &str {
        "RowWriteExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition])
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        let checks = self.spec.checks.iter().map(|(_, check)| check);
        for expr in self.spec.predicate.iter().chain(&self.spec.new_row).chain(checks) {
            if f(expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let input = children.pop().ok_or_else(|| DataFusionError::Internal("RowWrite needs a child".into()))?;
        Ok(Arc::new(RowWriteExec::new(Arc::clone(&self.spec), input, Arc::clone(&self.scope))))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        let input = self.input.execute(partition, Arc::clone(&context))?;
        let (spec, scope) = (Arc::clone(&self.spec), Arc::clone(&self.scope));
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let rows_written = MetricBuilder::new(&self.metrics).counter("rows_written", partition);
        let memory = MemoryConsumer::new("RowWrite").register(context.memory_pool());
        let write = async move {
            let mut input = input;
            let writer = Writer::new(Arc::clone(&spec), scope).map_err(to_datafusion)?;
            let mut writer = writer.with_memory(memory);
            while let Some(batch) = input.next().await {
                let batch = batch?;
                let _timer = baseline.elapsed_compute().timer();
                writer.batch(&batch).await.map_err(to_datafusion)?;
            }
            writer.finish().await.map_err(to_datafusion)?;
            rows_written.add(usize::try_from(writer.written).unwrap_or(usize::MAX));
            let output = writer.into_output().map_err(to_datafusion)?;
            if spec.returning {
                baseline.record_output(output.iter().map(RecordBatch::num_rows).sum());
            }
            Ok::<_, DataFusionError>(stream::iter(output.into_iter().map(Ok)))
        };
        let batches = stream::once(write).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
