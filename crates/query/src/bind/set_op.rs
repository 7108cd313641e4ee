//! UNION, INTERSECT, EXCEPT.

use datafusion::common::{Column, JoinType, NullEquality, TableReference};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use heliosdb_types::{Error, Result, SqlState, SqlType};
use sqlparser::ast::{SelectItem, SetExpr, SetOperator, SetQuantifier, Spanned};
use sqlparser::tokenizer::Span;

use super::binder::{Binder, BoundQuery, OutputColumn};
use super::params;
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
        let (left_list, right_list) = (first_list(left), first_list(right));
        let mut left = self.bind_set_operand(left)?;
        let mut right = self.bind_set_operand(right)?;
        if left.columns.len() != right.columns.len() {
            let span = right_list.first().map_or(Span::empty(), Spanned::span);
            let message = format!("each {word} query must have the same number of columns");
            return Err(self.error_at(span, SqlState::SYNTAX_ERROR, message));
        }
        for at in 0..left.columns.len() {
            self.decide_open(&mut left, at, right.columns.get(at))?;
            self.decide_open(&mut right, at, left.columns.get(at))?;
        }
        let (left, right) = self.unify_sides(left, right, word, right_list)?;
        let columns = left.columns.clone();
        if op != SetOperator::Union || !all {
            for (at, column) in columns.iter().enumerate() {
                let span = left_list.get(at).map_or(Span::empty(), Spanned::span);
                self.at(span, func::check_comparable(&column.value, false))?;
            }
        }
        let plan = match op {
            SetOperator::Union => union(left.plan, right.plan, all, &columns)?,
            _ => self.intersect_or_except(left, right, op == SetOperator::Intersect, all)?,
        };
        Ok(BoundQuery { plan, columns })
    }

    /// A parameter alone in a select list takes the type of the other side's column; it is text beside another one.
    fn decide_open(&mut self, side: &mut BoundQuery, at: usize, other: Option<&OutputColumn>) -> Result<()> {
        let sql_type = match other.map(|other| &other.value.sql_type) {
            None | Some(SqlType::Unknown) => SqlType::Text,
            Some(known) => known.clone(),
        };
        self.decide_column(side, at, &sql_type)
    }

    /// Gives a column that is an open parameter a type.
    pub fn decide_column(&mut self, query: &mut BoundQuery, at: usize, sql_type: &SqlType) -> Result<()> {
        let Some(column) = query.columns.get_mut(at).filter(|column| column.value.is_unknown()) else { return Ok(()) };
        let id = match value_behind(&query.plan, &column.value.expr) {
            Some(Expr::Placeholder(open)) => open.id,
            Some(_) => return Ok(()),
            None => {
                // Whatever it is, nothing outside reaches it.
                query.plan = params::decide(std::mem::take(&mut query.plan), None, &SqlType::Text)?;
                return Ok(());
            }
        };
        let Typed { sql_type, arrow, .. } = params::placeholder(&id, sql_type);
        query.plan = params::decide(std::mem::take(&mut query.plan), Some(&id), &sql_type)?;
        self.params.learn(&query.plan)?;
        column.value = Typed { sql_type, arrow, ..column.value.clone() };
        Ok(())
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
                        && let Some(literal @ Expr::Literal(..)) = value_behind(plan, &side.value.expr)
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

    /// Rows of the left side that have an equal on the right, or none. Equal is what the types say (`1.0` and `1`), so the join
    /// is of sort keys, and the left's values are what comes out.
    fn intersect_or_except(
        &mut self,
        left: BoundQuery,
        right: BoundQuery,
        intersect: bool,
        all: bool,
    ) -> Result<LogicalPlan> {
        let (l, r) = (self.unique_qualifier("left"), self.unique_qualifier("right"));
        let values: Vec<Expr> = left.columns.iter().map(|column| column.value.expr.clone()).collect();
        let plan = if all { left.plan } else { one_of_each(left.plan, &left.columns)? };
        let left_side = plan::alias(keyed(plan, &left.columns, values.clone(), all)?, l.clone())?;
        let right_side = plan::alias(keyed(right.plan, &right.columns, Vec::new(), all)?, r.clone())?;
        let keys = left.columns.len() + usize::from(all);
        let keys_of = |side: &TableReference| -> Vec<Column> {
            (0..keys).map(|key| Column::new(Some(side.clone()), key_name(key))).collect()
        };
        let join_type = if intersect { JoinType::LeftSemi } else { JoinType::LeftAnti };
        let on = (keys_of(&l), keys_of(&r));
        let joined = plan::builder(left_side)
            .join_detailed(right_side, join_type, on, None, NullEquality::NullEqualsNull)
            .map_err(from_datafusion)?;
        let outputs = values.into_iter().map(|value| match value {
            Expr::Column(column) => Expr::Column(Column::new(Some(l.clone()), column.name.clone())).alias(column.name),
            other => other,
        });
        joined.project(outputs.collect::<Vec<_>>()).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
    }
}

fn key_name(key: usize) -> String {
    format!("__key_{key}")
}

/// `values`, and what decides which rows are equal; with ALL also the number of each row among its equals: the n-th on the left
/// pairs with the n-th on the right.
fn keyed(plan: LogicalPlan, columns: &[OutputColumn], mut values: Vec<Expr>, all: bool) -> Result<LogicalPlan> {
    let mut keys: Vec<Expr> = columns.iter().map(|column| func::sort_key(&column.value)).collect();
    let mut plan = plan;
    if all {
        let (number, name) = plan::row_number(keys.clone(), vec![])?;
        plan = LogicalPlanBuilder::window_plan(plan, [number]).map_err(from_datafusion)?;
        keys.push(Expr::Column(name));
    }
    values.extend(keys.into_iter().enumerate().map(|(at, key)| key.alias(key_name(at))));
    plan::builder(plan).project(values).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
}

/// The literal or parameter that a column of a select list is.
fn value_behind(plan: &LogicalPlan, column: &Expr) -> Option<Expr> {
    let Expr::Column(wanted) = column else { return None };
    match plan {
        LogicalPlan::Projection(projection) => {
            let at = projection.schema.maybe_index_of_column(wanted)?;
            let mut expr = projection.expr.get(at)?;
            while let Expr::Alias(alias) = expr {
                expr = &alias.expr;
            }
            match expr {
                Expr::Literal(..) | Expr::Placeholder(_) => Some(expr.clone()),
                Expr::Column(_) => value_behind(&projection.input, expr),
                _ => None,
            }
        }
        LogicalPlan::Sort(sort) => value_behind(&sort.input, column),
        LogicalPlan::Limit(limit) => value_behind(&limit.input, column),
        LogicalPlan::Distinct(datafusion::logical_expr::Distinct::All(input)) => value_behind(input, column),
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

fn union(left: LogicalPlan, right: LogicalPlan, all: bool, columns: &[OutputColumn]) -> Result<LogicalPlan> {
    let united = plan::builder(left).union(right).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?;
    if all {
        return Ok(united);
    }
    one_of_each(united, columns)
}

/// One row of each group of equal ones.
fn one_of_each(plan: LogicalPlan, columns: &[OutputColumn]) -> Result<LogicalPlan> {
    let (distinct, extra) = distinct_rows(plan, columns.iter().map(|column| &column.value))?;
    if !extra {
        return Ok(distinct);
    }
    let exprs = columns.iter().map(|column| column.value.expr.clone());
    plan::builder(distinct).project(exprs).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
}
