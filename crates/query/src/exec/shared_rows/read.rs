//! One of the places that read a shared query's rows.

use std::sync::Arc;

use datafusion::common::{DataFusionError, Result as DfResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::{StreamExt, TryStreamExt, stream};

use crate::exec::above::Step;
use crate::exec::error::to_datafusion;
use crate::exec::parts::as_given;
use crate::exec::scope::StatementScope;

/// How EXPLAIN knows the node.
pub(in crate::exec) const SHARED: &str = "SharedExec";

#[derive(Debug)]
pub(super) struct ReadShared {
    pub number: u64,
    counted: ExecutionPlanMetricsSet,
}

impl ReadShared {
    pub fn new(number: u64) -> ReadShared {
        ReadShared { number, counted: ExecutionPlanMetricsSet::new() }
    }
}

impl Step for ReadShared {
    const NAME: &'static str = SHARED;
    const SHOWN: &'static str = "once for all places that name it";
    // The rows may be another plan's of the same query: nothing but their columns is known to be the same.
    const KEEPS_ORDER: bool = false;

    fn anew(&self) -> ReadShared {
        ReadShared::new(self.number)
    }

    fn emission(&self, _input: EmissionType) -> EmissionType {
        EmissionType::Final
    }

    fn execute(
        &self,
        input: &Arc<dyn ExecutionPlan>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DfResult<SendableRecordBatchStream> {
        let scope = StatementScope::of(context.session_config()).map_err(to_datafusion)?;
        let place = (self.number, input.output_partitioning().partition_count(), partition);
        let kept = scope.parts.shared().at(place, input, &context);
        let metrics = BaselineMetrics::new(&self.counted, partition);
        let (schema, own) = (input.schema(), input.schema());
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
        Some(self.counted.clone_inner())
    }
}
