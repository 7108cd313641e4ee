//! A join whose keys count NULL as equal to NULL gets no keys out of conditions.
//!
//! `a = b` is not true of two NULLs, `a IS NOT DISTINCT FROM b` is. A correlated subquery becomes a join of the second kind with
//! the values it is asked for, and what is asked of its result comes down to that join as a condition: two rules of DataFusion
//! would make every equality among them a key of the join's kind, and `(SELECT s.i) = (SELECT t.i)` would hold of two NULLs.
//! Both are asked about all other joins; here an equality stays a condition.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{NullEquality, Result as DfResult};
use datafusion::logical_expr::{JoinType, LogicalPlan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

type Rule = Arc<dyn OptimizerRule + Send + Sync>;

/// Puts a guard around the rules that make keys of conditions.
pub(super) fn guarded(mut rules: Vec<Rule>) -> Vec<Rule> {
    for rule in &mut rules {
        match rule.name() {
            "extract_equijoin_predicate" => *rule = Arc::new(OneJoin(Arc::clone(rule))),
            "eliminate_cross_join" => *rule = Arc::new(ManyJoins(Arc::clone(rule))),
            _ => {}
        }
    }
    rules
}

/// Around the rule that looks at one join at a time.
#[derive(Debug)]
struct OneJoin(Rule);

impl OptimizerRule for OneJoin {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> DfResult<Transformed<LogicalPlan>> {
        if has_null_keys(&plan) { Ok(Transformed::no(plan)) } else { self.0.rewrite(plan, config) }
    }
}

/// Around the rule that puts the keys of many inner joins together; it walks the plan itself.
#[derive(Debug)]
struct ManyJoins(Rule);

impl OptimizerRule for ManyJoins {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> DfResult<Transformed<LogicalPlan>> {
        let inner = |plan: &LogicalPlan| {
            has_null_keys(plan) && matches!(plan, LogicalPlan::Join(join) if join.join_type == JoinType::Inner)
        };
        if plan.exists(|plan| Ok(inner(plan)))? {
            plan.map_children(|child| self.rewrite(child, config))
        } else {
            self.0.rewrite(plan, config)
        }
    }
}

fn has_null_keys(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Join(join) if join.null_equality == NullEquality::NullEqualsNull && !join.on.is_empty())
}
