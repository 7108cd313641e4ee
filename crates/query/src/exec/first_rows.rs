//! ORDER BY ... LIMIT above a scan: the scan reads first what may hold the first rows, and leaves out what cannot any more.
//!
//! The sort publishes a condition that rows still have to meet, which grows stricter with every row it takes. What it says of the
//! leading column of the order goes to the shard while the scan runs; the sort decides as before.

use std::fmt;
use std::sync::Arc;

use datafusion::common::Result as DfResult;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, IsNotNullExpr, IsNullExpr, Literal};
use datafusion::physical_expr_common::physical_expr::{snapshot_generation, snapshot_physical_expr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use heliosdb_contracts::{Bound, BoundValues, FirstBy, TableScan};
use heliosdb_types::{ColumnId, Datum, PhysicalType, Result, compare};
use parking_lot::Mutex;

use super::each_node::EachNode;
use super::error::from_datafusion;
use super::pushdown::datum;
use super::scan::HeliosScanExec;

/// A condition between the scan and the sort gathers no more rows than this before the sort sees any.
const GATHERED_ROWS: usize = 1024;

/// The rule.
pub(super) const FIRST_ROWS: EachNode = EachNode::new("first_rows", told);

/// A sort whose scan is told what rows the sort takes first.
fn told(plan: &Arc<dyn ExecutionPlan>) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
    let Some(sort) = plan.downcast_ref::<SortExec>() else { return Ok(None) };
    let filter = sort.dynamic_expressions_produced().pop().filter(|_| sort.fetch().is_some());
    let Some(filter) = filter else { return Ok(None) };
    let by = sort.expr().first();
    let Some(at) = by.expr.downcast_ref::<Column>().map(Column::index) else { return Ok(None) };
    let wish = |column, physical| FirstRowsOf {
        first: FirstBy { column, descending: by.options.descending, nulls_first: by.options.nulls_first },
        physical,
        at,
        filter: Arc::clone(&filter),
    };
    let input = wished(sort.input(), at, &wish)?;
    input.map(|input| replace_children_if_necessary(Arc::clone(plan), vec![input])).transpose()
}

/// The plan with its scan told; `None` if the column is not one of a scan of all rows.
fn wished(
    plan: &Arc<dyn ExecutionPlan>,
    at: usize,
    wish: &dyn Fn(ColumnId, PhysicalType) -> FirstRowsOf,
) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(scan) = plan.downcast_ref::<HeliosScanExec>() {
        let told = scan.stored(at).and_then(|(column, physical)| scan.with_first(wish(column, physical)));
        return Ok(told.map(|scan| Arc::new(scan) as Arc<dyn ExecutionPlan>));
    }
    let below = if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let column = projection.expr().get(at).and_then(|item| item.expr.downcast_ref::<Column>());
        column.map(Column::index)
    } else if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        match filter.projection() {
            _ if filter.fetch().is_some() => None,
            Some(kept) => kept.get(at).copied(),
            None => Some(at),
        }
    } else {
        (plan.name() == "CooperativeExec").then_some(at)
    };
    let children = plan.children();
    let (Some(below), [input]) = (below, children.as_slice()) else { return Ok(None) };
    let Some(input) = wished(input, below, wish)? else { return Ok(None) };
    let told = replace_children_if_necessary(Arc::clone(plan), vec![input])?;
    Ok(Some(match told.downcast_ref::<FilterExec>() {
        Some(filter) => Arc::new(filter.with_batch_size(GATHERED_ROWS)?),
        None => told,
    }))
}

/// What a scan has to know of the sort above it.
#[derive(Clone)]
pub(super) struct FirstRowsOf {
    pub first: FirstBy,
    physical: PhysicalType,
    /// The leading column's place in the sort's input, which `filter` is about.
    at: usize,
    filter: Arc<dyn PhysicalExpr>,
}

impl fmt::Debug for FirstRowsOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FirstRowsOf({:?})", self.first)
    }
}

/// What a scan's partitions have told the shard so far.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<u64>);

impl FirstRowsOf {
    /// Tells the shard's scan what the sort has found out since it was last told.
    pub(super) fn tell(&self, scan: &dyn TableScan, told: &Told) -> Result<()> {
        let generation = snapshot_generation(&self.filter);
        let mut last = told.0.lock();
        if *last == generation {
            return Ok(());
        }
        *last = generation;
        let now = snapshot_physical_expr(Arc::clone(&self.filter)).map_err(from_datafusion)?;
        match Implied::by(&now, self.at, self.physical) {
            Some(implied) => scan.narrow(&implied.bound(self.first.column)),
            None => Ok(()),
        }
    }
}

/// What a condition says of one column, at least.
#[derive(Debug, PartialEq)]
struct Implied {
    nulls: bool,
    values: BoundValues,
}

impl Implied {
    const NOTHING: Implied = Implied { nulls: false, values: BoundValues::None };

    /// `None` if it says nothing.
    fn by(expr: &Arc<dyn PhysicalExpr>, at: usize, physical: PhysicalType) -> Option<Implied> {
        let is_column = |expr: &Arc<dyn PhysicalExpr>| expr.downcast_ref::<Column>().is_some_and(|c| c.index() == at);
        if let Some(literal) = expr.downcast_ref::<Literal>() {
            let is_true = matches!(literal.value(), datafusion::common::ScalarValue::Boolean(Some(true)));
            return (!is_true).then_some(Implied::NOTHING);
        }
        if let Some(test) = expr.downcast_ref::<IsNullExpr>() {
            return is_column(test.arg()).then_some(Implied { nulls: true, values: BoundValues::None });
        }
        if let Some(test) = expr.downcast_ref::<IsNotNullExpr>() {
            return is_column(test.arg()).then_some(Implied { nulls: false, values: BoundValues::Within(None, None) });
        }
        let both = expr.downcast_ref::<BinaryExpr>()?;
        match both.op() {
            Operator::Or => Some(Implied::by(both.left(), at, physical)?.or(Implied::by(both.right(), at, physical)?)),
            // Either says enough.
            Operator::And => Implied::by(both.left(), at, physical).or_else(|| Implied::by(both.right(), at, physical)),
            op => {
                let value = both.right().downcast_ref::<Literal>().filter(|_| is_column(both.left()))?.value();
                if value.is_null() {
                    return Some(Implied::NOTHING);
                }
                let value = datum(value, physical)?;
                let values = match op {
                    Operator::Eq => BoundValues::Within(Some(value.clone()), Some(value)),
                    Operator::Gt | Operator::GtEq => BoundValues::Within(Some(value), None),
                    Operator::Lt | Operator::LtEq => BoundValues::Within(None, Some(value)),
                    _ => return None,
                };
                Some(Implied { nulls: false, values })
            }
        }
    }

    fn or(self, other: Implied) -> Implied {
        let values = match (self.values, other.values) {
            (BoundValues::None, values) | (values, BoundValues::None) => values,
            (BoundValues::Within(a, b), BoundValues::Within(c, d)) => BoundValues::Within(
                a.zip(c).map(|(a, c)| if is_less(&c, &a) { c } else { a }),
                b.zip(d).map(|(b, d)| if is_less(&b, &d) { d } else { b }),
            ),
        };
        Implied { nulls: self.nulls || other.nulls, values }
    }

    fn bound(self, column: ColumnId) -> Bound {
        Bound { column, nulls: self.nulls, values: self.values }
    }
}

fn is_less(a: &Datum, b: &Datum) -> bool {
    compare(a.as_ref(), b.as_ref()).is_lt()
}

#[cfg(test)]
mod tests {
    use datafusion::physical_expr::expressions::{is_not_null, is_null, lit};

    use super::*;

    fn implied(expr: Arc<dyn PhysicalExpr>) -> Option<Implied> {
        Implied::by(&expr, 0, PhysicalType::Int32)
    }

    #[test]
    fn the_leading_column_of_the_order_is_bounded() {
        let (a, b) = (|| Arc::new(Column::new("a", 0)) as _, || Arc::new(Column::new("b", 1)) as _);
        let join = |l, op, r| Arc::new(BinaryExpr::new(l, op, r)) as Arc<dyn PhysicalExpr>;
        let compare = |l, op, value: i32| join(l, op, lit(value));
        let or = |l, r| join(l, Operator::Or, r);
        let and = |l, r| join(l, Operator::And, r);
        let within =
            |low: Option<i32>, high: Option<i32>| BoundValues::Within(low.map(Datum::Int32), high.map(Datum::Int32));
        // ORDER BY a, b: a < 5 OR a = 5 AND b < 3
        let ascending =
            or(compare(a(), Operator::Lt, 5), and(compare(a(), Operator::Eq, 5), compare(b(), Operator::Lt, 3)));
        assert_eq!(implied(ascending), Some(Implied { nulls: false, values: within(None, Some(5)) }));
        // ORDER BY a DESC NULLS FIRST, b
        let descending = or(
            or(is_null(a()).unwrap(), compare(a(), Operator::Gt, 5)),
            and(compare(a(), Operator::Eq, 5), compare(b(), Operator::Lt, 3)),
        );
        assert_eq!(implied(descending), Some(Implied { nulls: true, values: within(Some(5), None) }));
        // All rows found so far have a NULL, and those come first.
        let null = || join(a(), Operator::Eq, lit(datafusion::common::ScalarValue::Int32(None)));
        let nulls = or(lit(false), and(or(is_null(a()).unwrap(), null()), compare(b(), Operator::Lt, 3)));
        assert_eq!(implied(nulls), Some(Implied { nulls: true, values: BoundValues::None }));
        // The same where they come last: any value is better.
        let last = or(is_not_null(a()).unwrap(), and(or(is_null(a()).unwrap(), null()), compare(b(), Operator::Lt, 3)));
        assert_eq!(implied(last), Some(Implied { nulls: true, values: within(None, None) }));
        // Nothing is known yet, or of another column.
        assert_eq!(implied(lit(true)), None);
        assert_eq!(implied(compare(b(), Operator::Lt, 3)), None);
        assert_eq!(implied(or(compare(a(), Operator::Lt, 3), compare(b(), Operator::Lt, 3))), None);
    }
}
