//! What an outer join may make NULL is not constant.
//!
//! DataFusion takes what is constant in, or equal to something of, either input of a join as being so in its output, also where
//! rows without a partner have NULL there: it would leave `ORDER BY found` away, and PARTITION BY it, for
//! `LEFT JOIN (SELECT id, true AS found ...)`. A node above such an input tells only what order its rows have.

use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::error::Result as DfResult;
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, PlanProperties};

use super::above::{Above, Step};
use super::each_node::EachNode;

/// How EXPLAIN knows the node, to leave it out.
pub(super) const VARYING: &str = "VaryingExec";

/// Puts the node where it belongs; before any rule that makes use of what is constant.
pub(super) const FORGET_CONSTANTS: EachNode = EachNode::new("forget_constants", forgetting);

fn forgetting(plan: &Arc<dyn ExecutionPlan>) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
    let (left, right) = match join_type(plan) {
        Some(JoinType::Left) => (false, true),
        Some(JoinType::Right) => (true, false),
        Some(JoinType::Full) => (true, true),
        _ => return Ok(None),
    };
    let knows = |input: &Arc<dyn ExecutionPlan>| input.equivalence_properties().eq_group().iter().next().is_some();
    let inputs = plan.children().into_iter().zip([left, right]);
    let inputs: Vec<_> = inputs.map(|(input, may_be_null)| (Arc::clone(input), may_be_null && knows(input))).collect();
    if !inputs.iter().any(|(_, forget)| *forget) {
        return Ok(None);
    }
    let inputs = inputs.into_iter().map(|(input, forget)| match forget {
        true => Arc::new(Above::new(Varying, input)) as Arc<dyn ExecutionPlan>,
        false => input,
    });
    replace_children_if_necessary(Arc::clone(plan), inputs.collect()).map(Some)
}

fn join_type(plan: &Arc<dyn ExecutionPlan>) -> Option<JoinType> {
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        return Some(*join.join_type());
    }
    if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        return Some(*join.join_type());
    }
    plan.downcast_ref::<SortMergeJoinExec>().map(SortMergeJoinExec::join_type)
}

/// Its input, of which only the order is known.
#[derive(Debug)]
struct Varying;

impl Step for Varying {
    const NAME: &'static str = VARYING;
    const PASSES_CONDITIONS: bool = true;

    fn anew(&self) -> Varying {
        Varying
    }

    fn properties(&self, input: &Arc<dyn ExecutionPlan>) -> Arc<PlanProperties> {
        let orders = input.equivalence_properties().oeq_class().iter().cloned();
        let known = EquivalenceProperties::new_with_orderings(input.schema(), orders);
        Arc::new(input.properties().as_ref().clone().with_eq_properties(known))
    }
}
