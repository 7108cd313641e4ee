//! Groups over a join have no keys but all they are grouped by.
//!
//! DataFusion passes on what it knows of a join's sides (`id` determines the columns of its table) and takes it, where `id` is
//! grouped by, for what determines *all* columns of the groups: `SELECT DISTINCT a.id, b.x FROM a, b ORDER BY 1, 2` would not be
//! sorted by `x`, and groups over such groups would be too few. So nothing is said of groups whose input is such a join, before
//! either rule looks at it. What determines what is found out by [`determined_keys`](super::determined_keys).

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Dependency, FunctionalDependencies, Result as DfResult};
use datafusion::logical_expr::{Aggregate, LogicalPlan};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// The rules that believe in such keys.
pub(super) const BELIEVERS: [&str; 2] = ["eliminate_duplicated_expr", "optimize_projections"];

#[derive(Debug)]
pub(super) struct ForgetDoubtfulKeys;

impl OptimizerRule for ForgetDoubtfulKeys {
    fn name(&self) -> &str {
        "forget_doubtful_keys"
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> DfResult<Transformed<LogicalPlan>> {
        // What is known of keys is no part of what the plan is: nobody has to look at it again.
        forget(plan).map(|plan| Transformed::no(plan.data))
    }
}

fn forget(plan: LogicalPlan) -> DfResult<Transformed<LogicalPlan>> {
    let plan = plan.map_subqueries(forget)?;
    let below = plan.data.map_children(forget)?;
    let (plan, changed) = (below.data, below.transformed);
    match plan {
        LogicalPlan::Aggregate(aggregate) => {
            let mut aggregate = match changed {
                true => Aggregate::try_new(aggregate.input, aggregate.group_expr, aggregate.aggr_expr)?,
                false => aggregate,
            };
            let input = aggregate.input.schema().functional_dependencies();
            let doubtful = input.iter().any(|key| key.mode == Dependency::Multi);
            let forgets = doubtful && !aggregate.schema.functional_dependencies().is_empty();
            if forgets {
                let schema = aggregate.schema.as_ref().clone();
                aggregate.schema = Arc::new(schema.with_functional_dependencies(FunctionalDependencies::empty())?);
            }
            Ok(Transformed::new_transformed(LogicalPlan::Aggregate(aggregate), changed || forgets))
        }
        other if changed => Ok(Transformed::yes(other.recompute_schema()?)),
        other => Ok(Transformed::no(other)),
    }
}
