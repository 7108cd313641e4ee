//! Orders and limits that a range gives by itself: `ORDER BY b LIMIT 1` of the rows with one `a` reads one row of a key (a, b).

use datafusion::physical_expr::expressions::Column;
use heliosdb_types::ColumnId;

use super::Leaf;
use super::step::Step;
use crate::exec::index::OrderBy;

/// A column to be ordered by.
pub(super) struct OrderedBy {
    pub column: ColumnId,
    descending: bool,
    nulls_first: bool,
}

impl OrderedBy {
    pub fn of_column(&self, not_null: bool) -> OrderBy {
        OrderBy { column: self.column, descending: self.descending, nulls_first: self.nulls_first, not_null }
    }
}

/// Lets the leaf do what the first steps ask for, as far as it can.
pub(super) fn sink_order(leaf: &mut Leaf, steps: &mut Vec<Step>) {
    let Leaf::Range(range) = leaf else { return };
    // Which of the leaf's columns each column is at this step.
    let mut columns: Option<Vec<Option<ColumnId>>> = None;
    let mut at = 0;
    while let Some(step) = steps.get(at) {
        let column = |place: usize| match &columns {
            None => range.shape().column_at(place),
            Some(columns) => columns.get(place).copied().flatten(),
        };
        match step {
            Step::Project(projection) => {
                let place = |expr: &std::sync::Arc<dyn datafusion::physical_expr::PhysicalExpr>| {
                    expr.downcast_ref::<Column>().and_then(|known| column(known.index()))
                };
                columns = Some(projection.exprs().iter().map(place).collect());
                at += 1;
            }
            Step::Sort(keys) => {
                let by = keys.iter().map(|(expr, options)| {
                    let column = expr.downcast_ref::<Column>().and_then(|known| column(known.index()))?;
                    Some(OrderedBy { column, descending: options.descending, nulls_first: options.nulls_first })
                });
                let Some(order) = by.collect::<Option<Vec<_>>>() else { return };
                if !range.order_by(&order) {
                    return;
                }
                steps.remove(at);
            }
            Step::Slice { skip, fetch } => {
                if fetch.checked_add(*skip).is_some_and(|rows| range.limit(rows)) && *skip == 0 {
                    steps.remove(at);
                }
                return;
            }
            Step::Filter(_) | Step::Aggregate(_) | Step::Lock(_) | Step::Write(_) => return,
        }
    }
}
