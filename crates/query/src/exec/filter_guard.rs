//! Conditions that need no column stay above an aggregate of all rows.
//!
//! Such an aggregate gives a row even of no rows. DataFusion pushes a condition below it whose columns are all grouped by, and
//! takes one without columns for such a condition: `SELECT * FROM (SELECT count(*), 1 AS one FROM t) s WHERE one = 2` would
//! count no rows and give 0 instead of giving nothing. Its rule is asked about everything else.

use std::sync::Arc;

use datafusion::common::Result as DfResult;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::optimizer::optimizer::{ApplyOrder, Optimizer};
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::columns_first::ColumnsFirst;
use super::determined_keys::DeterminedKeys;
use super::doubtful_keys::{BELIEVERS, ForgetDoubtfulKeys};
use super::row_source::has_sets;
use super::shared_rows::SharedNode;
use super::shifted_sums::ShiftedSums;

/// DataFusion's rules with this one around the one that pushes conditions down, and before, between and after them ours.
pub(super) fn rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = Vec::new();
    for rule in Optimizer::new().rules {
        if BELIEVERS.contains(&rule.name()) {
            rules.push(Arc::new(ForgetDoubtfulKeys));
        }
        rules.push(match rule.name() {
            "push_down_filter" => Arc::new(GuardedPushDown(PushDownFilter::new())),
            _ => rule,
        });
    }
    rules.insert(0, Arc::new(ShiftedSums));
    rules.push(Arc::new(DeterminedKeys));
    rules.push(Arc::new(ColumnsFirst));
    rules
}

#[derive(Debug)]
struct GuardedPushDown(PushDownFilter);

impl OptimizerRule for GuardedPushDown {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> DfResult<Transformed<LogicalPlan>> {
        match must_stay(&plan) {
            true => Ok(Transformed::no(plan)),
            false => self.0.rewrite(plan, config),
        }
    }
}

/// Whether the plan is conditions over an aggregate that gives a row of no rows, one of them without columns.
fn must_stay(plan: &LogicalPlan) -> bool {
    let (mut plan, mut without_columns) = (plan, false);
    while let LogicalPlan::Filter(filter) = plan {
        without_columns |= split_conjunction(&filter.predicate).iter().any(|part| !part.any_column_refs());
        plan = &filter.input;
    }
    match plan {
        LogicalPlan::Aggregate(aggregate) => {
            without_columns && (aggregate.group_expr.is_empty() || has_sets(aggregate))
        }
        // What one place that reads a shared query knows is not known in the others.
        LogicalPlan::Extension(extension) => extension.node.as_any().is::<SharedNode>(),
        _ => false,
    }
}
