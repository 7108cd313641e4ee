//! Window functions within the memory that there is.
//!
//! DataFusion's two operators keep rows that no budget knows of. `WindowAggExec` keeps all of its input until it ends;
//! [`WholeWindows`] stands for it, gives each partition of PARTITION BY when it is complete, and writes the rows of one that memory
//! does not hold to a file. `BoundedWindowAggExec` keeps the rows whose frames have not ended and those that frames still reach
//! back to; it stays, and [`CountedWindows`] counts these.

mod budgeted;
mod by_row;
mod calls;
mod counted;
mod reach;
mod whole;

use std::sync::Arc;

use datafusion::common::Result as DfResult;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};

use self::counted::CountedWindows;
use self::whole::WholeWindows;

/// How EXPLAIN and others know the nodes.
pub(super) const WHOLE_WINDOWS: &str = "WholeWindowsExec";
pub(super) const COUNTED_WINDOWS: &str = "CountedWindowsExec";

/// Puts the nodes where they belong.
#[derive(Debug)]
pub(super) struct BudgetWindows;

impl PhysicalOptimizerRule for BudgetWindows {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> DfResult<Arc<dyn ExecutionPlan>> {
        let replace = |plan: Arc<dyn ExecutionPlan>| {
            Ok(if let Some(stage) = plan.downcast_ref::<WindowAggExec>() {
                Transformed::yes(Arc::new(WholeWindows::new(stage.clone())?) as Arc<dyn ExecutionPlan>)
            } else if let Some(stage) = plan.downcast_ref::<BoundedWindowAggExec>() {
                Transformed::yes(Arc::new(CountedWindows::new(stage.clone())?) as Arc<dyn ExecutionPlan>)
            } else {
                Transformed::no(plan)
            })
        };
        plan.transform_up(replace).map(|transformed| transformed.data)
    }

    fn name(&self) -> &str {
        "budget_windows"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

#[cfg(test)]
#[path = "windows_test.rs"]
mod tests;
