//! Joins that would wait for parts of a plan that nobody asks.
//!
//! A hash join that tells its other side what can match waits, part by part, until every part has its build side. A part that is
//! dropped unasked counts as done where each part has a build side of its own, but not where all parts share one
//! (`CollectLeft`, DataFusion 55). A divided join does drop parts: one without build rows does not look at its other side. So a
//! join of shared build rows below that side, with nothing between that asks all parts (a repartition, a gather), tells its
//! scans nothing.

use std::sync::Arc;

use datafusion::config::ConfigOptions;
use datafusion::error::Result as DfResult;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::joins::{HashJoinExec, HashJoinExecBuilder, PartitionMode};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;

#[derive(Debug)]
pub(super) struct UnaskedParts;

impl PhysicalOptimizerRule for UnaskedParts {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> DfResult<Arc<dyn ExecutionPlan>> {
        below(plan, false)
    }

    fn name(&self) -> &str {
        "unasked_parts"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// `unasked`: a part of the plan may be dropped before it is asked for rows, while others go on.
fn below(plan: Arc<dyn ExecutionPlan>, unasked: bool) -> DfResult<Arc<dyn ExecutionPlan>> {
    let join = plan.downcast_ref::<HashJoinExec>().map(|join| *join.partition_mode());
    let gathers = plan.downcast_ref::<RepartitionExec>().is_some()
        || plan.downcast_ref::<CoalescePartitionsExec>().is_some()
        || plan.downcast_ref::<SortPreservingMergeExec>().is_some();
    let side = |at: usize| match join {
        Some(PartitionMode::Partitioned) => unasked || at == 1,
        // The shared build side is of one part.
        Some(_) => unasked && at == 1,
        None => unasked && !gathers,
    };
    let children = plan.children().into_iter().enumerate();
    let children = children.map(|(at, child)| below(Arc::clone(child), side(at))).collect::<DfResult<Vec<_>>>()?;
    let plan = replace_children_if_necessary(plan, children)?;
    match plan.downcast_ref::<HashJoinExec>() {
        Some(join)
            if unasked
                && *join.partition_mode() == PartitionMode::CollectLeft
                && !join.dynamic_expressions_produced().is_empty() =>
        {
            HashJoinExecBuilder::from(join).reset_state().build_exec()
        }
        _ => Ok(plan),
    }
}
