//! Joins that would wait for parts of a plan that nobody asks.
//!
//! A hash join that tells its other side what can match waits, part by part, until every part has its build side. A divided join
//! drops parts of its other side: one without build rows does not look there. A join below, with nothing between that asks all
//! parts (a repartition, a gather), may wait for a part that was dropped. It counts as done where it was begun and each part has a
//! build side of its own; where all parts share one (`CollectLeft`, DataFusion 55) it does not, and steps that begin what is below
//! them when they are asked ([`spill::join`](super::spill), [`shared_rows`](super::shared_rows)) do not begin it. Such joins tell
//! their scans nothing.

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

use super::shared_rows::SHARED;

#[derive(Debug)]
pub(super) struct UnaskedParts;

impl PhysicalOptimizerRule for UnaskedParts {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> DfResult<Arc<dyn ExecutionPlan>> {
        below(plan, Asked::All)
    }

    fn name(&self) -> &str {
        "unasked_parts"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Which parts of a plan are asked for rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    All,
    /// A part may be dropped when it was begun and before it is asked, while others go on.
    Begun,
    /// It may be dropped before it is begun.
    NotBegun,
}

fn below(plan: Arc<dyn ExecutionPlan>, asked: Asked) -> DfResult<Arc<dyn ExecutionPlan>> {
    let mode = plan.downcast_ref::<HashJoinExec>().map(|join| *join.partition_mode());
    let gathers = plan.downcast_ref::<RepartitionExec>().is_some()
        || plan.downcast_ref::<CoalescePartitionsExec>().is_some()
        || plan.downcast_ref::<SortPreservingMergeExec>().is_some();
    let below_lazy = if asked == Asked::All { Asked::All } else { Asked::NotBegun };
    let side = |at: usize| match mode {
        Some(PartitionMode::Partitioned) if at == 1 => below_lazy.max(Asked::Begun),
        Some(PartitionMode::Partitioned) => below_lazy,
        Some(_) if at == 1 => below_lazy,
        // The shared build side is of one part.
        Some(_) => Asked::All,
        None if gathers => Asked::All,
        None if plan.name() == SHARED => below_lazy,
        None => asked,
    };
    let children = plan.children().into_iter().enumerate();
    let children = children.map(|(at, child)| below(Arc::clone(child), side(at))).collect::<DfResult<Vec<_>>>()?;
    let plan = replace_children_if_necessary(plan, children)?;
    match plan.downcast_ref::<HashJoinExec>() {
        Some(join) if waits_for_ever(join, asked) => HashJoinExecBuilder::from(join).reset_state().build_exec(),
        _ => Ok(plan),
    }
}

fn waits_for_ever(join: &HashJoinExec, asked: Asked) -> bool {
    let of_begun = if *join.partition_mode() == PartitionMode::CollectLeft { Asked::Begun } else { Asked::NotBegun };
    asked >= of_begun && !join.dynamic_expressions_produced().is_empty()
}

#[cfg(test)]
#[path = "unasked_parts_test.rs"]
mod tests;
