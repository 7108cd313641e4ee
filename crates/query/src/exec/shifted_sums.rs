//! `sum(x + 1), sum(x + 2), ...` from one sum and one count of `x`: see [`ShiftedSum`].

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result as DfResult};
use datafusion::logical_expr::builder::project;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use crate::func::ShiftedSum;

/// Before DataFusion's rules, which take common parts out of the sums.
#[derive(Debug)]
pub(super) struct ShiftedSums;

impl OptimizerRule for ShiftedSums {
    fn name(&self) -> &str {
        "shifted_sums"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> DfResult<Transformed<LogicalPlan>> {
        match plan {
            LogicalPlan::Aggregate(aggregate) => rewritten(aggregate),
            other => Ok(Transformed::no(other)),
        }
    }
}

fn rewritten(aggregate: Aggregate) -> DfResult<Transformed<LogicalPlan>> {
    let mut sums: Vec<Option<ShiftedSum>> =
        aggregate.aggr_expr.iter().map(|call| ShiftedSum::of(call, aggregate.input.schema())).collect();
    // One alone would only be another one with a count.
    let bases: Vec<Expr> = sums.iter().flatten().map(|sum| sum.base.clone()).collect();
    let alone = |sum: &ShiftedSum| bases.iter().filter(|base| **base == sum.base).count() < 2;
    sums.iter_mut().for_each(|sum| {
        sum.take_if(|sum| alone(sum));
    });
    if sums.iter().all(Option::is_none) {
        return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
    }
    let Aggregate { input, group_expr, aggr_expr, schema, .. } = aggregate;
    let groups = schema.fields().len() - aggr_expr.len();
    let mut calls: Vec<Expr> = Vec::new();
    let mut place = |call: Expr| {
        groups
            + calls.iter().position(|known| *known == call).unwrap_or_else(|| {
                calls.push(call);
                calls.len() - 1
            })
    };
    let places: Vec<(usize, Option<usize>)> = aggr_expr
        .into_iter()
        .zip(&sums)
        .map(|(call, sum)| match sum {
            Some(sum) => (place(sum.sum()), Some(place(sum.count()))),
            None => (place(call), None),
        })
        .collect();
    let fewer = Aggregate::try_new(input, group_expr, calls)?;
    let column = |at: usize| Expr::Column(Column::from(fewer.schema.qualified_field(at)));
    let mut shown: Vec<Expr> = (0..groups).map(column).collect();
    for (at, ((sum, count), shifted)) in places.into_iter().zip(&sums).enumerate() {
        let value = match (shifted, count) {
            (Some(shifted), Some(count)) => shifted.whole(column(sum), column(count)),
            _ => column(sum),
        };
        let (qualifier, field) = schema.qualified_field(groups + at);
        shown.push(value.alias_qualified(qualifier.cloned(), field.name()));
    }
    project(LogicalPlan::Aggregate(fewer.clone()), shown).map(Transformed::yes)
}
