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
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};

use self::counted::CountedWindows;
use self::whole::WholeWindows;
use super::each_node::EachNode;

/// How EXPLAIN and others know the nodes.
pub(super) const WHOLE_WINDOWS: &str = "WholeWindowsExec";
pub(super) const COUNTED_WINDOWS: &str = "CountedWindowsExec";

/// Puts the nodes where they belong.
pub(super) const BUDGET_WINDOWS: EachNode = EachNode::new("budget_windows", budgeted);

fn budgeted(plan: &Arc<dyn ExecutionPlan>) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
    Ok(if let Some(stage) = plan.downcast_ref::<WindowAggExec>() {
        Some(Arc::new(WholeWindows::new(stage.clone())?))
    } else if let Some(stage) = plan.downcast_ref::<BoundedWindowAggExec>() {
        Some(Arc::new(CountedWindows::new(stage.clone())?))
    } else {
        None
    })
}

#[cfg(test)]
#[path = "windows_test.rs"]
mod tests;
