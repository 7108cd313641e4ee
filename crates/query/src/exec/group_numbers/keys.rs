//! Which keys of an aggregate are texts of one table's rows.

use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};

use crate::exec::row_source::{has_sets, is_once, source};

/// Keys that are computed of one table's rows, a text among them.
pub(super) struct Keys<'a> {
    /// The scan of the table.
    pub table: &'a LogicalPlan,
    /// Of the scan's columns.
    pub exprs: Vec<Expr>,
    /// Their places among the aggregate's keys.
    pub places: Vec<usize>,
}

impl<'a> Keys<'a> {
    /// Those of each table there is.
    pub fn of(aggregate: &'a Aggregate) -> Vec<Keys<'a>> {
        if has_sets(aggregate) {
            return Vec::new();
        }
        let mut tables: Vec<Keys<'a>> = Vec::new();
        for (at, key) in aggregate.group_expr.iter().enumerate() {
            let Some((table, expr)) = source(key, &aggregate.input) else { continue };
            match tables.iter_mut().find(|known| std::ptr::eq(known.table, table)) {
                Some(known) => {
                    known.exprs.push(expr);
                    known.places.push(at);
                }
                None => tables.push(Keys { table, exprs: vec![expr], places: vec![at] }),
            }
        }
        let has_text = |keys: &Keys<'_>| {
            let mut kinds = keys.places.iter().map(|at| aggregate.schema.field(*at).data_type());
            kinds.any(|kind| kind.primitive_width().is_none())
        };
        tables.retain(|keys| has_text(keys) && is_once(keys.table, &aggregate.input));
        tables
    }

    /// Whether an expression over a plan's rows is one of the keys.
    pub fn have(&self, expr: &Expr, plan: &LogicalPlan) -> bool {
        let found = source(expr, plan);
        found.is_some_and(|(table, expr)| std::ptr::eq(table, self.table) && self.exprs.contains(&expr))
    }
}
