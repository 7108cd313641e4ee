//! Making statements interruptible.
//!
//! A cancelled statement answers its client at once (`exec/run.rs`); this is about the threads that compute for it. DataFusion lets
//! leaves and exchanges yield after so many batches, which is no measure of work: between two batches of a join's inputs there may
//! be thousands of its own, all dropped by its condition; an expression over large texts takes milliseconds a row. So who works looks
//! whether the statement is cancelled, and fails with 57014:
//!
//! 1. each step does when it is polled, for who loops over its batches ([`INTERRUPTIBLE`]);
//! 2. a join's condition does for each batch of pairs it is asked about, which a nested loop makes by itself as long as none
//!    of them is kept ([`CHECKED_CONDITIONS`]);
//! 3. who computes one row at a time does for each ([`check_cancelled`]), who makes long values by column for each megabyte
//!    ([`LongValues`]), who sorts for each few thousand rows ([`sort_checked`]).
//!
//! Joins yield besides, so that what else waits for their thread gets it.

mod condition;
mod long_values;
mod sorting;
mod watch;

use std::sync::Arc;

use datafusion::error::Result as DfResult;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;

pub(super) use condition::{CHECKED_CONDITIONS, unchecked};
pub(crate) use long_values::LongValues;
pub(crate) use sorting::sort_checked;
pub(super) use watch::WATCHED;
pub(crate) use watch::check_cancelled;

use super::above::Above;
use super::each_node::EachNode;
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
pub(super) const INTERRUPTIBLE: EachNode = EachNode::new("interruptible", watched);

fn watched(plan: &Arc<dyn ExecutionPlan>) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
    let plan = Arc::clone(plan);
    if JOINS.contains(&plan.name()) {
        let plan = Arc::new(CooperativeExec::new(plan));
        return Ok(Some(Arc::new(Above::new(Watch, plan))));
    }
    // A scan looks itself.
    let works = WORKERS.contains(&plan.name()) || plan.children().is_empty() && !plan.is::<HeliosScanExec>();
    Ok(works.then(|| Arc::new(Above::new(Watch, plan)) as Arc<dyn ExecutionPlan>))
}
