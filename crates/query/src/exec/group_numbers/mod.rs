//! Groups by texts of a small table that is joined to a large one: by a number for each combination of the texts.
//!
//! `SELECT i_name, i_price, count(DISTINCT supplier) FROM stock JOIN item ... GROUP BY 1, 2` compares and hashes the texts of an item for
//! each row of stock, in both stages of each of two aggregates. Here each item gets the number of its name and price before it is joined
//! ([`step::Number`]), what is above carries and groups by the number, and the texts are put in its place when the groups are
//! there ([`step::Spell`]). Equal numbers are equal texts and the other way round, since the numbers come from the table of groups that an
//! aggregate would use ([`numbers`]). Which keys are numbered is in [`keys`], how the number comes up through a plan in [`raise`].

mod keys;
mod nodes;
mod numbers;
mod raise;
mod step;

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, JoinType, Result as DfResult};
use datafusion::logical_expr::{Aggregate, LogicalPlan, Projection};

use self::keys::Keys;
pub(super) use self::nodes::GroupNumbersPlanner;
use self::nodes::{Numbering, SpellNode};
pub(crate) use self::numbers::GroupNumbers;
use self::raise::{Raised, raise};
pub(super) use self::step::{SPELL_GROUPS, numbered_keys};
use super::cardinality::estimate_logical;
use super::scope::StatementScope;

/// Fewer rows are grouped by their texts as quickly.
const ROWS_MIN: f64 = 20_000.0;
/// Rows that are grouped for each row of the table whose texts get numbers.
const ROWS_FOR_ONE: f64 = 4.0;
/// Larger tables have no numbers: theirs lie in memory.
const NUMBERED_MAX: f64 = 1_000_000.0;

/// An optimised plan whose groups are by numbers where that pays.
pub(super) fn number_groups(plan: LogicalPlan, scope: &StatementScope) -> DfResult<Transformed<LogicalPlan>> {
    plan.transform_down(|node| {
        let LogicalPlan::Aggregate(aggregate) = &node else { return Ok(Transformed::no(node)) };
        // Without functions, groups may be cut off early by a LIMIT above.
        let rows = if aggregate.aggr_expr.is_empty() { None } else { rows_into(&aggregate.input, scope) };
        let Some(rows) = rows.filter(|rows| *rows >= ROWS_MIN) else { return Ok(Transformed::no(node)) };
        Ok(match numbered(aggregate, rows, scope)? {
            Some(numbered) => Transformed::new(numbered, true, TreeNodeRecursion::Jump),
            None => Transformed::no(node),
        })
    })
}

/// An aggregate of so many rows by numbers, as far as that pays.
fn numbered(aggregate: &Aggregate, rows: f64, scope: &StatementScope) -> DfResult<Option<LogicalPlan>> {
    let worthwhile = |keys: &Keys<'_>| {
        let numbered = estimate_logical(keys.table, scope).map(|estimate| estimate.rows);
        numbered.is_some_and(|numbered| numbered <= NUMBERED_MAX && numbered * ROWS_FOR_ONE <= rows)
    };
    for keys in Keys::of(aggregate).into_iter().filter(worthwhile) {
        let numbering = Numbering::new(keys.exprs.clone());
        let Some(Raised { plan, number }) = raise(aggregate, &keys, &numbering)? else { continue };
        // Texts of another table may be left.
        let fewer = numbered(&plan, rows, scope)?.unwrap_or(LogicalPlan::Aggregate(plan));
        let fields = keys.places.iter().map(|at| {
            let (qualifier, field) = aggregate.schema.qualified_field(*at);
            (qualifier.cloned(), Arc::clone(field))
        });
        let names = DFSchema::new_with_metadata(fields.collect(), Default::default())?;
        let spelled = SpellNode::over(fewer, number, &numbering, &names)?;
        // The columns in the order they had.
        let whole = Projection::new_from_schema(Arc::new(spelled), Arc::clone(&aggregate.schema));
        return Ok(Some(LogicalPlan::Projection(whole)));
    }
    Ok(None)
}

/// The rows that are grouped in the end, before anything groups them; `None` if it is not known.
fn rows_into(plan: &LogicalPlan, scope: &StatementScope) -> Option<f64> {
    use JoinType::{LeftAnti, LeftMark, LeftSemi, RightAnti, RightMark, RightSemi};
    let input = match plan {
        LogicalPlan::Projection(projection) => &projection.input,
        LogicalPlan::SubqueryAlias(alias) => &alias.input,
        LogicalPlan::Aggregate(aggregate) => &aggregate.input,
        LogicalPlan::Join(join) if matches!(join.join_type, LeftSemi | LeftAnti | LeftMark) => &join.left,
        LogicalPlan::Join(join) if matches!(join.join_type, RightSemi | RightAnti | RightMark) => &join.right,
        _ => return estimate_logical(plan, scope).map(|estimate| estimate.rows),
    };
    rows_into(input, scope)
}
