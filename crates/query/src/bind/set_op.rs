//! UNION, INTERSECT, EXCEPT.

use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use heliosdb_types::{Error, Result, SqlState};
use sqlparser::ast::{SelectItem, SetExpr, SetOperator, SetQuantifier, Spanned};
use sqlparser::tokenizer::Span;

use super::binder::{Binder, BoundQuery, OutputColumn};
use super::plan::{self, Item, from_datafusion};
use super::select::distinct_rows;
use crate::func::{self, CastKind, Typed};

impl Binder<'_> {
    pub fn bind_set_operation(
        &mut self,
        left: &SetExpr,
        op: SetOperator,
        quantifier: SetQuantifier,
        right: &SetExpr,
    ) -> Result<BoundQuery> {
        let all = match quantifier {
            SetQuantifier::All => true,
            SetQuantifier::None | SetQuantifier::Distinct => false,
            _ => return Err(Error::unsupported("set operations BY NAME")),
        };
        let word = match op {
            SetOperator::Union => "UNION",
            SetOperator::Intersect => "INTERSECT",
            SetOperator::Except => "EXCEPT",
            SetOperator::Minus => return Err(Error::unsupported("MINUS")),
        };
        let right_list = first_list(right);
        let left = self.bind_set_operand(left)?;
        let right = self.bind_set_operand(right)?;
        if left.columns.len() != right.columns.len() {
            let span = right_list.first().map_or(Span::empty(), Spanned::span);
            let message = format!("each {word} query must have the same number of columns");
            return Err(self.error_at(span, SqlState::SYNTAX_ERROR, message));
        }
        let (left, right) = self.unify_sides(left, right, word, right_list)?;
        let columns = left.columns.clone();
        let plan = match op {
            SetOperator::Union => union(left.plan, right.plan, all, &columns)?,
            _ => self.intersect_or_except(left.plan, right.plan, op == SetOperator::Intersect, all)?,
        };
        Ok(BoundQuery { plan, columns })
    }

    /// Both sides with the same types and internal names (the left's SQL names).
    fn unify_sides(
        &mut self,
        left: BoundQuery,
        right: BoundQuery,
        word: &str,
        right_list: &[SelectItem],
    ) -> Result<(BoundQuery, BoundQuery)> {
        let mut left_items = Vec::with_capacity(left.columns.len());
        let mut right_items = Vec::with_capacity(left.columns.len());
        let mut columns = left.columns.iter().cloned().zip(right.columns.iter().cloned()).enumerate();
        for (at, (l, r)) in columns.by_ref() {
            let unify = || {
                let sql_type = func::common_type(&[&l.value, &r.value], word)?;
                let cast = |value: Typed| {
                    let from = value.sql_type.clone();
                    self.coerce(value, &sql_type, CastKind::Implicit).map_err(|error| match error.state() {
                        SqlState::DATATYPE_MISMATCH => {
                            let message =
                                format!("{word} could not convert type {} to {}", from.name(), sql_type.name());
                            Error::invalid(SqlState::CANNOT_COERCE, message)
                        }
                        _ => error,
                    })
                };
                for (side, plan) in [(&l, &left.plan), (&r, &right.plan)] {
                    // A literal takes the column's type at once: it may be wrong though no row ever has it.
                    if side.value.is_unknown()
                        && let Some(literal) = literal_behind(plan, &side.value.expr)
                    {
                        let literal = Typed { expr: literal, ..side.value.clone() };
                        func::cast(literal, &sql_type, CastKind::Implicit, self.func())?;
                    }
                }
                func::unify(vec![cast(l.value.clone())?, cast(r.value.clone())?], word, self.func())
            };
            let span = right_list.get(at).map_or(Span::empty(), Spanned::span);
            let pair = self.at(span, unify())?;
            let [l_value, r_value] = <[Typed; 2]>::try_from(pair).map_err(|_| Error::internal("unify lost a side"))?;
            left_items.push(Item { name: l.name.clone(), value: l_value, origin: None });
            right_items.push(Item { name: l.name, value: r_value, origin: None });
        }
        Ok((plan::project(left.plan, &left_items)?, plan::project(right.plan, &right_items)?))
    }

    fn intersect_or_except(
        &mut self,
        mut left: LogicalPlan,
        mut right: LogicalPlan,
        intersect: bool,
        all: bool,
    ) -> Result<LogicalPlan> {
        let columns = left.schema().columns();
        if all {
            // The n-th copy of a row on the left pairs with the n-th on the right.
            left = number_copies(left)?;
            right = number_copies(right)?;
        }
        let (l, r) = (self.unique_qualifier("left"), self.unique_qualifier("right"));
        let (left, right) = (plan::alias(left, l.clone())?, plan::alias(right, r)?);
        let combined = if intersect {
            LogicalPlanBuilder::intersect(left, right, false)
        } else {
            LogicalPlanBuilder::except(left, right, false)
        };
        let combined = combined.map_err(from_datafusion)?;
        let outputs = columns
            .into_iter()
            .map(|column| Expr::Column(Column::new(Some(l.clone()), column.name.clone())).alias(column.name));
        let plan = LogicalPlanBuilder::new(combined).project(outputs.collect::<Vec<_>>());
        plan.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
    }
}

/// The literal that a column of a select list is.
fn literal_behind(plan: &LogicalPlan, column: &Expr) -> Option<Expr> {
    let Expr::Column(wanted) = column else { return None };
    match plan {
        LogicalPlan::Projection(projection) => {
            let at = projection.schema.maybe_index_of_column(wanted)?;
            let mut expr = projection.expr.get(at)?;
            while let Expr::Alias(alias) = expr {
                expr = &alias.expr;
            }
            match expr {
                Expr::Literal(..) => Some(expr.clone()),
                Expr::Column(_) => literal_behind(&projection.input, expr),
                _ => None,
            }
        }
        LogicalPlan::Sort(sort) => literal_behind(&sort.input, column),
        LogicalPlan::Limit(limit) => literal_behind(&limit.input, column),
        LogicalPlan::Distinct(datafusion::logical_expr::Distinct::All(input)) => literal_behind(input, column),
        _ => None,
    }
}

/// The select list an operand's columns come from, to point at.
fn first_list(operand: &SetExpr) -> &[SelectItem] {
    match operand {
        SetExpr::Select(select) => &select.projection,
        SetExpr::Query(query) => first_list(&query.body),
        SetExpr::SetOperation { right, .. } => first_list(right),
        _ => &[],
    }
}

const COPY: &str = "__copy";

fn number_copies(plan: LogicalPlan) -> Result<LogicalPlan> {
    let columns: Vec<_> = plan.schema().columns().into_iter().map(Expr::Column).collect();
    let (number, name) = plan::row_number(columns.clone(), vec![])?;
    let windowed = LogicalPlanBuilder::window_plan(plan, [number]).map_err(from_datafusion)?;
    let numbered = Expr::Column(name).alias(COPY);
    let exprs = columns.into_iter().chain([numbered]).collect::<Vec<_>>();
    plan::builder(windowed).project(exprs).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
}

fn union(left: LogicalPlan, right: LogicalPlan, all: bool, columns: &[OutputColumn]) -> Result<LogicalPlan> {
    let united = plan::builder(left).union(right).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?;
    if all {
        return Ok(united);
    }
    let (distinct, extra) = distinct_rows(united, columns.iter().map(|column| &column.value))?;
    if !extra {
        return Ok(distinct);
    }
    let exprs = columns.iter().map(|column| column.value.expr.clone());
    plan::builder(distinct).project(exprs).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
}
