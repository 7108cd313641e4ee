//! Sorting where a plan's node does not get the order it asks for.
//!
//! DataFusion plans orders over what it knows to be constant, and forgets some of it in later rewrites (a union of inputs
//! that are constant in different columns, a window over a literal): its last check then calls the plan invalid. Sorting
//! again is always right, and changes nothing where the order is there.

use std::sync::Arc;

use datafusion::error::Result as DfResult;
use datafusion::physical_expr::{Distribution, LexOrdering, OrderingRequirements};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::aggregate_statistics::AggregateStatistics;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_optimizer::output_requirements::OutputRequirementExec;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use super::each_node::EachNode;
use super::grouping_sets::FORGET_KEYS;
use super::outer_constants::FORGET_CONSTANTS;
use super::row_write::RowWriteExec;
use super::statistics_guard::GuardedStatistics;

/// DataFusion's rules, and what keeps them from losing orders: some before, one right before the check.
pub(super) fn rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = PhysicalOptimizer::new().rules;
    let check = rules.iter().position(|rule| rule.name() == "SanityCheckPlan").unwrap_or(rules.len());
    rules.insert(check, Arc::new(REPAIR_ORDER));
    for rule in rules.iter_mut().filter(|rule| rule.name() == "aggregate_statistics") {
        *rule = Arc::new(GuardedStatistics(AggregateStatistics::new()));
    }
    rules.insert(0, Arc::new(FORGET_KEYS));
    rules.insert(0, Arc::new(FORGET_CONSTANTS));
    let orders = rules.iter().position(|rule| rule.name() == "EnsureRequirements").unwrap_or(0);
    rules.insert(orders, Arc::new(WANTED_ORDER));
    rules.insert(orders, Arc::new(NO_CONSTANT_SORT));
    // Before what the first rows of each partition confine is made known to scans.
    let pushdown = rules.iter().rposition(|rule| rule.name().starts_with("FilterPushdown")).unwrap_or(rules.len());
    rules.insert(pushdown, Arc::new(WHOLE_TOP_K));
    rules
}

/// The first rows of several partitions are told apart by the whole order.
///
/// DataFusion leaves out of a partition's sort what is constant in it, and lets partitions share the limit of what they have found:
/// where the constants differ (`SELECT 1, a ... UNION ALL SELECT 2, b ... ORDER BY 1 DESC, 2 LIMIT n`) rows of one partition would
/// be measured by those of another, and be missing.
const WHOLE_TOP_K: EachNode = EachNode::new("whole_top_k", whole);

fn whole(plan: &Arc<dyn ExecutionPlan>) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
    let Some(merge) = plan.downcast_ref::<SortPreservingMergeExec>() else { return Ok(None) };
    let Some(sort) = merge.input().downcast_ref::<SortExec>() else { return Ok(None) };
    if sort.fetch().is_none() || !sort.preserve_partitioning() || sort.expr() == merge.expr() {
        return Ok(None);
    }
    let whole = SortExec::new(merge.expr().clone(), Arc::clone(sort.input()));
    let whole = whole.with_fetch(sort.fetch()).with_preserve_partitioning(true);
    replace_children_if_necessary(Arc::clone(plan), vec![Arc::new(whole)]).map(Some)
}

/// A sort by nothing but constants is none: DataFusion's planning of orders takes it for a mistake of its own.
const NO_CONSTANT_SORT: EachNode = EachNode::new("no_constant_sort", unsorted);

fn unsorted(plan: &Arc<dyn ExecutionPlan>) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
    let Some(sort) = plan.downcast_ref::<SortExec>() else { return Ok(None) };
    // What is constant in each of several partitions need not be the same in all.
    if sort.properties().output_ordering().is_some() || sort.input().output_partitioning().partition_count() > 1 {
        return Ok(None);
    }
    let input = Arc::clone(sort.input());
    Ok(Some(match sort.fetch() {
        Some(fetch) => Arc::new(GlobalLimitExec::new(input, 0, Some(fetch))),
        None => input,
    }))
}

/// Rows are skipped, and written, in the order of a sort below.
///
/// DataFusion drops a sort whose keys no column above shows, unless it has a limit of its own, which `OFFSET` alone gives none; a
/// write would number its rows in any order. What says that an order is wanted is taken away again by DataFusion's own rule.
const WANTED_ORDER: EachNode = EachNode::new("wanted_order", wanting);

fn wanting(plan: &Arc<dyn ExecutionPlan>) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
    let wants = plan.is::<GlobalLimitExec>() || plan.is::<LocalLimitExec>() || plan.is::<RowWriteExec>();
    match plan.children().as_slice() {
        [input] if wants => match wanted(input)? {
            Some(input) => replace_children_if_necessary(Arc::clone(plan), vec![input]).map(Some),
            None => Ok(None),
        },
        _ => Ok(None),
    }
}

/// A plan with a requirement over the sort that its order is of.
fn wanted(plan: &Arc<dyn ExecutionPlan>) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(sort) = plan.downcast_ref::<SortExec>() {
        if sort.fetch().is_some() {
            return Ok(None);
        }
        let order = OrderingRequirements::from(sort.expr().clone());
        let single = Distribution::SinglePartition;
        return Ok(Some(Arc::new(OutputRequirementExec::new(Arc::clone(plan), Some(order), single, None))));
    }
    let as_it_comes = plan.maintains_input_order() == [true] && plan.required_input_ordering() == [None];
    match plan.children().as_slice() {
        [input] if as_it_comes => match wanted(input)? {
            Some(input) => replace_children_if_necessary(Arc::clone(plan), vec![input]).map(Some),
            None => Ok(None),
        },
        _ => Ok(None),
    }
}

const REPAIR_ORDER: EachNode = EachNode::new("repair_order", repaired);

fn repaired(plan: &Arc<dyn ExecutionPlan>) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
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
        true => replace_children_if_necessary(Arc::clone(plan), children).map(Some),
        false => Ok(None),
    }
}

/// Groups that need not all be made (`SELECT DISTINCT ... LIMIT n`) must come in no order.
///
/// DataFusion tells them so early. Where a later rewrite makes it known that a group's column is constant, which is an order,
/// it would take them for the first groups of a direction that nobody named, and fail.
pub(super) const ALL_ORDERED_GROUPS: EachNode = EachNode::new("all_ordered_groups", all_groups);

fn all_groups(plan: &Arc<dyn ExecutionPlan>) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
    let Some(aggregate) = plan.downcast_ref::<AggregateExec>() else { return Ok(None) };
    let undirected = aggregate.limit_options().is_some_and(|limit| limit.descending().is_none());
    if !undirected || aggregate.is_unordered_unfiltered_group_by_distinct() || aggregate.get_minmax_desc().is_some() {
        return Ok(None);
    }
    Ok(Some(Arc::new(aggregate.with_new_limit_options(None))))
}
