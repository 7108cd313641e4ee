//! Equal neighbours become one row before they are joined.
//!
//! Order lines joined to their orders, and summed: a scan in the order of the primary key gives the lines of one order one after the
//! other, and what the join and the sum look at of them is the same but for the amount. Their sum is joined instead of each of them:
//! a tenth of the rows to look up, and of those the steps above carry. A step above the scan puts such runs together; what it misses
//! (at the end of a batch, in another segment, in memory) is a row more and never a wrong one, since a sum of sums is the sum. The
//! side of a join that is only asked whether it has a row needs no more than one of equal rows either.
//!
//! Which sums may be taken early is in [`path`], what is done with a batch in [`step`].

mod path;
mod step;

use std::sync::Arc;

use datafusion::common::{JoinSide, JoinType, Result as DfResult};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::{ExecutionPlan, InputOrderMode};

pub(super) use self::step::MERGE_RUNS;
use crate::exec::each_node::EachNode;
use crate::func::is_exact_sum;

/// Puts the step below joins; before first stages of aggregates are chosen.
pub(super) const MERGE_RUNS_RULE: EachNode = EachNode::new("merge_runs", with_merged);

fn with_merged(plan: &Arc<dyn ExecutionPlan>) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        return summed(aggregate);
    }
    plan.downcast_ref::<HashJoinExec>().map_or(Ok(None), asked)
}

/// An aggregate whose sums are of joined rows, above sums of their runs.
fn summed(aggregate: &AggregateExec) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
    let first =
        matches!(aggregate.mode(), AggregateMode::Partial | AggregateMode::Single | AggregateMode::SinglePartitioned);
    let plain = *aggregate.input_order_mode() == InputOrderMode::Linear
        && aggregate.limit_options().is_none()
        && aggregate.dynamic_expressions_produced().is_empty();
    if !first || !plain {
        return Ok(None);
    }
    let mut sums: Vec<usize> = Vec::new();
    for call in aggregate.aggr_expr() {
        match of(call) {
            Of::Sum(at) if sums.contains(&at) => {}
            Of::Sum(at) => sums.push(at),
            Of::Any => {}
            Of::Rows => return Ok(None),
        }
    }
    // What is summed may be looked at by nothing else: neighbours differ in it.
    let keys = aggregate.group_expr().expr().iter().map(|(key, _)| Arc::clone(key));
    let filters = aggregate.filter_expr().iter().flatten().cloned();
    let others = aggregate.aggr_expr().iter().filter(|call| matches!(of(call), Of::Any));
    let mut looked = keys.chain(filters).chain(others.flat_map(|call| call.expressions()));
    if sums.is_empty() || !looked.all(|expr| path::is_blind(&expr, &sums)) {
        return Ok(None);
    }
    let Some(input) = path::below_joins(aggregate.input(), &sums)? else { return Ok(None) };
    replace_children_if_necessary(Arc::new(aggregate.clone()), vec![input]).map(Some)
}

/// What a call is of.
enum Of {
    /// The sum of a column, whose values may come summed.
    Sum(usize),
    /// The same if equal rows come once.
    Any,
    /// Each row counts.
    Rows,
}

fn of(call: &Arc<AggregateFunctionExpr>) -> Of {
    let arguments = call.expressions();
    let column = match arguments.as_slice() {
        [argument] => argument.downcast_ref::<Column>().map(Column::index),
        _ => None,
    };
    if !call.order_bys().is_empty() {
        return Of::Rows;
    }
    match (call.fun().name(), column) {
        ("min" | "max" | "any_of_group" | "bool_and" | "bool_or", _) => Of::Any,
        (_, Some(at)) if is_exact_sum(call.fun()) && !call.is_distinct() => Of::Sum(at),
        _ => Of::Rows,
    }
}

/// A join that asks one side only whether it has a row, above one row of each run there.
fn asked(join: &HashJoinExec) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
    let side = match join.join_type {
        JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => JoinSide::Right,
        JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => JoinSide::Left,
        _ => return Ok(None),
    };
    let Some(merged) = path::one_of_each(join, side)? else { return Ok(None) };
    let sides = match side {
        JoinSide::Left => vec![merged, Arc::clone(join.right())],
        _ => vec![Arc::clone(join.left()), merged],
    };
    replace_children_if_necessary(Arc::new(join.builder().build()?), sides).map(Some)
}
