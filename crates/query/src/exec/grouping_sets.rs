//! What grouping sets leave out is not constant.
//!
//! A grouping set that leaves a key out gives NULL in its place. DataFusion derives what it knows of an aggregate's output (which
//! columns are constant, what they are ordered and partitioned by) from the input all the same, and would leave `ORDER BY a`
//! away for `WHERE a = 1 GROUP BY ROLLUP (a)`. A node above such aggregates knows nothing of its rows.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::error::Result as DfResult;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;

use super::above::{Above, Step};

/// How EXPLAIN knows the node, to leave it out.
pub(super) const REGROUPED: &str = "RegroupedExec";

/// Puts the node above aggregates by grouping sets; before any rule that makes use of what is constant.
#[derive(Debug)]
pub(super) struct ForgetKeys;

impl PhysicalOptimizerRule for ForgetKeys {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> DfResult<Arc<dyn ExecutionPlan>> {
        let wrap = |plan: Arc<dyn ExecutionPlan>| {
            Ok(match plan.downcast_ref::<AggregateExec>() {
                Some(aggregate) if !aggregate.group_expr().is_single() => {
                    Transformed::yes(Arc::new(Above::new(Regroup, plan)) as Arc<dyn ExecutionPlan>)
                }
                _ => Transformed::no(plan),
            })
        };
        plan.transform_up(wrap).map(|transformed| transformed.data)
    }

    fn name(&self) -> &str {
        "forget_keys"
    }

    fn schema_check(&self) -> bool {
        true
    }
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
