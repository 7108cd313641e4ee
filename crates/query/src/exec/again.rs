//! Inputs that are read a second time.
//!
//! A nested loop whose one side does not fit into memory reads that side again from its beginning, into a file. Scans and exchanges
//! give their rows once, so what is read again is the same plan made anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::error::Result as DfResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::{replace_children_if_necessary, reset_plan_states};
use datafusion::physical_plan::joins::NestedLoopJoinExec;

use super::above::{Above, Step};
use super::each_node::EachNode;

/// How others know the node.
pub(super) const AGAIN: &str = "AgainExec";

/// Puts the node where it belongs.
pub(super) const READ_AGAIN: EachNode = EachNode::new("read_again", readable_again);

fn readable_again(plan: &Arc<dyn ExecutionPlan>) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
    let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() else { return Ok(None) };
    let left = Arc::new(Above::new(Again::default(), Arc::clone(join.left())));
    replace_children_if_necessary(Arc::clone(plan), vec![left, Arc::clone(join.right())]).map(Some)
}

/// The side of a join that is held in memory. It is one partition.
#[derive(Debug, Default)]
struct Again {
    read: AtomicBool,
}

impl Step for Again {
    const NAME: &'static str = AGAIN;

    fn anew(&self) -> Again {
        Again::default()
    }

    fn execute(
        &self,
        input: &Arc<dyn ExecutionPlan>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DfResult<SendableRecordBatchStream> {
        match self.read.swap(true, Ordering::Relaxed) {
            false => input.execute(partition, context),
            true => reset_plan_states(Arc::clone(input))?.execute(partition, context),
        }
    }
}
