//! Sorting where a plan's node does not get the order it asks for.
//!
//! DataFusion plans orders over what it knows to be constant, and forgets some of it in later rewrites (a union of inputs
//! that are constant in different columns, a window over a literal): its last check then calls the plan invalid. Sorting
//! again is always right, and changes nothing where the order is there.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::error::Result as DfResult;
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

/// DataFusion's rules with this one right before the check.
pub(super) fn rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = PhysicalOptimizer::new().rules;
    let check = rules.iter().position(|rule| rule.name() == "SanityCheckPlan").unwrap_or(rules.len());
    rules.insert(check, Arc::new(RepairOrder));
    rules
}

#[derive(Debug)]
struct RepairOrder;

fn repaired(plan: Arc<dyn ExecutionPlan>) -> DfResult<Transformed<Arc<dyn ExecutionPlan>>> {
    let mut children = Vec::with_capacity(plan.children().len());
    let mut changed = false;
    for (child, required) in plan.children().into_iter().zip(plan.required_input_ordering()) {
        let required = required.map(|required| required.into_single());
        let lacks = match &required {
            Some(required) => !child.equivalence_properties().ordering_satisfy_requirement(required.clone())?,
            None => false,
        };
        match required {
            Some(required) if lacks => {
                let parts = child.output_partitioning().partition_count() > 1;
                let sort = SortExec::new(LexOrdering::from(required), Arc::clone(child));
                children.push(Arc::new(sort.with_preserve_partitioning(parts)) as Arc<dyn ExecutionPlan>);
                changed = true;
            }
            _ => children.push(Arc::clone(child)),
        }
    }
    match changed {
        true => replace_children_if_necessary(plan, children).map(Transformed::yes),
        false => Ok(Transformed::no(plan)),
    }
}

impl PhysicalOptimizerRule for RepairOrder {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> DfResult<Arc<dyn ExecutionPlan>> {
        plan.transform_up(repaired).map(|transformed| transformed.data)
    }

    fn name(&self) -> &str {
        "repair_order"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
