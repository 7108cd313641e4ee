//! What grouping sets leave out is not constant.
//!
//! A grouping set that leaves a key out gives NULL in its place. DataFusion derives what it knows of an aggregate's output (which
//! columns are constant, what they are ordered and partitioned by) from the input all the same, and would leave `ORDER BY a`
//! away for `WHERE a = 1 GROUP BY ROLLUP (a)`. A node above such aggregates knows nothing of its rows.

use std::sync::Arc;

use datafusion::error::Result as DfResult;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;

use super::above::{Above, Step};
use super::each_node::EachNode;

/// How EXPLAIN knows the node, to leave it out.
pub(super) const REGROUPED: &str = "RegroupedExec";

/// Puts the node above aggregates by grouping sets; before any rule that makes use of what is constant.
pub(super) const FORGET_KEYS: EachNode = EachNode::new("forget_keys", regrouped);

fn regrouped(plan: &Arc<dyn ExecutionPlan>) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
    let sets = plan.downcast_ref::<AggregateExec>().is_some_and(|aggregate| !aggregate.group_expr().is_single());
    Ok(sets.then(|| Arc::new(Above::new(Regroup, Arc::clone(plan))) as Arc<dyn ExecutionPlan>))
}

/// Its input, of which nothing is known.
#[derive(Debug)]
struct Regroup;

impl Step for Regroup {
    const NAME: &'static str = REGROUPED;
    const KEEPS_ORDER: bool = false;

    fn anew(&self) -> Regroup {
        Regroup
    }
}
