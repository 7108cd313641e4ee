//! The operator.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::Result as DfResult;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_expr::{Distribution, EquivalenceProperties, OrderingRequirements, PhysicalExpr};
use datafusion::physical_plan::ExecutionPlanProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputDistributionRequirements, Partitioning, PlanProperties,
    SendableRecordBatchStream,
};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use futures::{StreamExt, TryStreamExt, stream};

use super::locker::{LockSpec, Locker, plan_locks};
use super::node::LockRowsNode;
use crate::exec::error::to_datafusion;
use crate::exec::recheck::Rechecker;
use crate::exec::scope::StatementScope;

/// Plans [`LockRowsNode`].
pub(crate) struct LockRowsPlanner;

#[async_trait]
impl ExtensionPlanner for LockRowsPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
        let (Some(node), [input]) = (node.as_any().downcast_ref::<LockRowsNode>(), physical_inputs) else {
            return Ok(None);
        };
        let mut spec = plan_locks(node, |expr, schema| planner.create_physical_expr(expr, schema, session, context))?;
        if let Some(spec) = Arc::get_mut(&mut spec) {
            spec.recheck = Rechecker::new(node.recheck.as_ref(), session);
        }
        let scope = StatementScope::of(session.config()).map_err(to_datafusion)?;
        let order = input.output_ordering().cloned().map(OrderingRequirements::from);
        Ok(Some(Arc::new(LockRowsExec::new(spec, Arc::clone(input), scope, order))))
    }
}

/// Locks its child's rows, in order, in one partition.
pub(crate) struct LockRowsExec {
    spec: Arc<LockSpec>,
    input: Arc<dyn ExecutionPlan>,
    scope: Arc<StatementScope>,
    /// ORDER BY, so that the optimiser leaves it below.
    order: Option<OrderingRequirements>,
    properties: Arc<PlanProperties>,
}

impl LockRowsExec {
    fn new(
        spec: Arc<LockSpec>,
        input: Arc<dyn ExecutionPlan>,
        scope: Arc<StatementScope>,
        order: Option<OrderingRequirements>,
    ) -> LockRowsExec {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&spec.schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        LockRowsExec { spec, input, scope, order, properties: Arc::new(properties) }
    }
}

impl fmt::Debug for LockRowsExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LockRowsExec({:?})", self.spec)
    }
}

impl DisplayAs for LockRowsExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LockRowsExec: {:?}", self.spec)
    }
}

impl ExecutionPlan for LockRowsExec {
    fn name(&self) -> &str {
        "LockRowsExec"
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

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![self.order.clone()]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        for expr in self.spec.predicate.iter().chain(&self.spec.output) {
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
        let input = children.pop().ok_or_else(|| DataFusionError::Internal("LockRows needs a child".into()))?;
        let (spec, scope) = (Arc::clone(&self.spec), Arc::clone(&self.scope));
        Ok(Arc::new(LockRowsExec::new(spec, input, scope, self.order.clone())))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let locker = Locker::new(Arc::clone(&self.spec), Arc::clone(&self.scope)).map_err(to_datafusion)?;
        let batches = stream::try_unfold((input, locker), |(mut input, mut locker)| async move {
            if locker.is_done() {
                return Ok(None);
            }
            let Some(batch) = input.next().await else { return Ok(None) };
            let locked = locker.batch(&batch?).await.map_err(to_datafusion)?;
            let batches = stream::iter(locked.into_iter().map(Ok::<_, DataFusionError>));
            Ok::<_, DataFusionError>(Some((batches, (input, locker))))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches.try_flatten())))
    }
}
