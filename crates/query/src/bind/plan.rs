//! Building logical plans: thin wrappers that keep names unique and errors ours.

use std::sync::Arc;

use datafusion::common::{Column, DataFusionError, TableReference};
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::{Sort, WindowFunction};
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, SubqueryAlias, WindowFrame};
use heliosdb_types::{Error, Result};

use super::binder::{BoundQuery, OutputColumn};
use super::scope::Origin;
use crate::func::Typed;

/// A planner error here is a defect of ours unless one of our own errors travels inside.
pub(super) fn from_datafusion(error: DataFusionError) -> Error {
    crate::exec::from_datafusion(error)
}

pub(super) fn filter(input: LogicalPlan, condition: Expr) -> Result<LogicalPlan> {
    builder(input).filter(condition).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
}

pub(super) fn builder(input: LogicalPlan) -> LogicalPlanBuilder {
    LogicalPlanBuilder::new(input)
}

/// One row of no columns: FROM of a SELECT without FROM.
pub(super) fn one_row() -> LogicalPlan {
    LogicalPlan::EmptyRelation(datafusion::logical_expr::EmptyRelation {
        produce_one_row: true,
        schema: Arc::new(datafusion::common::DFSchema::empty()),
    })
}

/// A column to project: SQL name, value, origin.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub name: String,
    pub value: Typed,
    pub origin: Option<Origin>,
}

/// Projects items under unique internal names: an item's own name where it is free, `name:2` where it is not.
pub(super) fn project(input: LogicalPlan, items: &[Item]) -> Result<BoundQuery> {
    let names = unique_names(items.iter().map(|item| item.name.as_str()));
    project_as(input, items, names)
}

/// Projects items under the given internal names.
pub(super) fn project_as(input: LogicalPlan, items: &[Item], names: Vec<String>) -> Result<BoundQuery> {
    let exprs = items.iter().zip(&names).map(|(item, name)| item.value.expr.clone().alias(name));
    let plan = builder(input).project(exprs).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?;
    let columns = items.iter().zip(names).map(|(item, internal)| OutputColumn {
        name: item.name.clone(),
        value: Typed { expr: Expr::Column(Column::new_unqualified(internal)), ..item.value.clone() },
        origin: item.origin,
    });
    Ok(BoundQuery { plan, columns: columns.collect() })
}

pub(super) fn unique_names<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    let mut unique = Vec::new();
    for name in names {
        let mut candidate = name.to_owned();
        let mut count = 1;
        while !seen.insert(candidate.clone()) {
            count += 1;
            candidate = format!("{name}:{count}");
        }
        unique.push(candidate);
    }
    unique
}

/// Gives a plan's columns one qualifier.
pub(super) fn alias(input: LogicalPlan, qualifier: TableReference) -> Result<LogicalPlan> {
    SubqueryAlias::try_new(Arc::new(input), qualifier).map(LogicalPlan::SubqueryAlias).map_err(from_datafusion)
}

/// The name of an output column of the plan.
pub(super) fn internal_name(value: &Typed) -> &str {
    match &value.expr {
        Expr::Column(column) => &column.name,
        _ => "?column?",
    }
}

/// Folds an expression over no columns as far as it goes; parameters stay.
pub(super) fn simplify(expr: Expr) -> Result<Expr> {
    use datafusion::logical_expr::simplify::SimplifyContext;
    use datafusion::optimizer::simplify_expressions::ExprSimplifier;
    let context = SimplifyContext::builder().with_schema(Arc::new(datafusion::common::DFSchema::empty())).build();
    ExprSimplifier::new(context).simplify(expr).map_err(from_datafusion)
}

/// The input's columns followed by computed ones, unqualified under the given names.
pub(super) fn extend(input: LogicalPlan, computed: Vec<(Expr, String)>) -> Result<LogicalPlan> {
    if computed.is_empty() {
        return Ok(input);
    }
    let columns: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
    let exprs = columns.into_iter().chain(computed.into_iter().map(|(expr, name)| expr.alias(name)));
    builder(input).project(exprs.collect::<Vec<_>>()).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
}

/// `row_number()` of rows in `order` within `partition`: the call and the name of its result.
pub(super) fn row_number(partition: Vec<Expr>, order: Vec<Sort>) -> Result<(Expr, Column)> {
    let call = Expr::from(WindowFunction::new(row_number_udwf(), vec![]));
    // The frame means nothing to it, but the default one is refused for some sort keys.
    let call = call.partition_by(partition).order_by(order).window_frame(WindowFrame::new(None));
    let call = call.build().map_err(from_datafusion)?;
    let name = Column::new_unqualified(call.schema_name().to_string());
    Ok((call, name))
}
