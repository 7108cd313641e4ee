//! Rules of the physical optimiser that replace nodes one by one.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::error::Result as DfResult;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

/// What stands for a node, if it is not to stay.
type Instead = fn(&Arc<dyn ExecutionPlan>) -> DfResult<Option<Arc<dyn ExecutionPlan>>>;

/// A rule that looks at each node of a plan when its inputs are what they will be. The plan keeps its schema.
#[derive(Clone, Copy, Debug)]
pub(super) struct EachNode {
    name: &'static str,
    instead: Instead,
}

impl EachNode {
    pub(super) const fn new(name: &'static str, instead: Instead) -> EachNode {
        EachNode { name, instead }
    }
}

impl PhysicalOptimizerRule for EachNode {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> DfResult<Arc<dyn ExecutionPlan>> {
        let replace = |node| Ok((self.instead)(&node)?.map_or_else(|| Transformed::no(node), Transformed::yes));
        plan.transform_up(replace).map(|transformed| transformed.data)
    }

    fn name(&self) -> &str {
        self.name
    }

    fn schema_check(&self) -> bool {
        true
    }
}
