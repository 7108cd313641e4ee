//! Making statements interruptible.
//!
//! A cancelled statement answers its client at once (`exec/run.rs`); this is about the threads that compute for it. DataFusion lets
//! leaves and exchanges yield after so many batches, which is no measure of work: between two batches of a join's inputs there may
//! be thousands of its own, all dropped by its condition; an expression over large texts takes milliseconds a row. So who works looks
//! whether the statement is cancelled, and fails with 57014:
//!
//! 1. each step does when it is polled, for who loops over its batches ([`Interruptible`]);
//! 2. a join's condition does for each batch of pairs it is asked about, which a nested loop makes by itself as long as none
//!    of them is kept ([`CheckedConditions`]);
//! 3. who computes one row at a time does for each ([`check_cancelled`]).
//!
//! Joins yield besides, so that what else waits for their thread gets it.

mod condition;
mod watch;

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::error::Result as DfResult;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;

pub(super) use condition::{CheckedConditions, unchecked};
pub(super) use watch::WATCHED;
pub(crate) use watch::check_cancelled;

use super::above::Above;
use super::scan::HeliosScanExec;
use super::spill::SPILL_JOIN;
use super::windows::{COUNTED_WINDOWS, WHOLE_WINDOWS};
use watch::Watch;

const JOINS: [&str; 6] =
    ["CrossJoinExec", "HashJoinExec", "NestedLoopJoinExec", "PiecewiseMergeJoin", "SortMergeJoinExec", SPILL_JOIN];

/// What computes, or makes rows of few; besides what has no inputs.
const WORKERS: [&str; 9] = [
    "AggregateExec",
    "FilterExec",
    "PartialSortExec",
    "ProjectionExec",
    "RecursiveQueryExec",
    "SortExec",
    "UnnestExec",
    COUNTED_WINDOWS,
    WHOLE_WINDOWS,
];

/// Has steps look whether their statement is cancelled, and joins yield.
#[derive(Debug)]
pub(super) struct Interruptible;

fn watched(plan: Arc<dyn ExecutionPlan>) -> Transformed<Arc<dyn ExecutionPlan>> {
    if JOINS.contains(&plan.name()) {
        let plan = Arc::new(CooperativeExec::new(plan));
        return Transformed::yes(Arc::new(Above::new(Watch, plan)));
    }
    // A scan looks itself.
    let leaf = plan.children().is_empty() && !plan.is::<HeliosScanExec>();
    if leaf || WORKERS.contains(&plan.name()) {
        return Transformed::yes(Arc::new(Above::new(Watch, plan)));
    }
    Transformed::no(plan)
}

impl PhysicalOptimizerRule for Interruptible {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> DfResult<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| Ok(watched(plan))).map(|transformed| transformed.data)
    }

    fn name(&self) -> &str {
        "interruptible"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
