//! Aggregates answered from what is known of their rows, without reading them, are their own.
//!
//! Of an aggregate in two stages DataFusion's rule looks for the first one below the last, for one without FILTER, and does not
//! stop where that stage has one: it goes on to an aggregate of a subquery, and its values stand for those of the one above.

use std::sync::Arc;

use datafusion::common::tree_node::TreeNode;
use datafusion::config::ConfigOptions;
use datafusion::error::Result as DfResult;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::aggregate_statistics::AggregateStatistics;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;

/// The rule, for plans in which no aggregate without groups has a FILTER.
#[derive(Debug)]
pub(super) struct GuardedStatistics(pub AggregateStatistics);

impl PhysicalOptimizerRule for GuardedStatistics {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> DfResult<Arc<dyn ExecutionPlan>> {
        let filtered = plan.exists(|node| {
            let aggregate = node.downcast_ref::<AggregateExec>();
            let filtered =
                |node: &AggregateExec| node.group_expr().is_empty() && node.filter_expr().iter().any(Option::is_some);
            Ok(aggregate.is_some_and(filtered))
        });
        match filtered? {
            true => Ok(plan),
            false => self.0.optimize(plan, config),
        }
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}
