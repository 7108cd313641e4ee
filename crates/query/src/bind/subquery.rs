//! Subqueries in expressions: scalar, EXISTS, IN, ANY and ALL.
//!
//! DataFusion turns EXISTS and IN into joins only directly below a Filter, and its IN is two-valued anywhere but at the top of the
//! condition. So a condition's top-level EXISTS, IN and NOT IN go to it as they are; everywhere else IN, ANY and ALL are
//! written out over EXISTS with SQL's three values, and EXISTS outside a Filter is a count compared with zero.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{JoinType, ScalarValue, Spans};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Aggregate, Case, Distinct, Expr, ExprSchemable, FetchType, LogicalPlan, LogicalPlanBuilder, Operator, SkipType,
    Subquery, lit,
};
use heliosdb_types::{Error, Result, SqlState, SqlType};
use sqlparser::ast::{self, BinaryOperator, Spanned};

use super::aggregate::{collect_aggregates, contains_aggregate, output_column, rewrite};
use super::binder::{Binder, BoundQuery};
use super::expr::{balanced, chain_operands};
use super::from::refuse;
use super::grouping::may_be_null;
use super::plan::{self, Item, from_datafusion};
use super::unnest::{free_references, selects_grouping_sets};
use crate::func::{self, Typed};

/// Whether a condition's rows need any or every row of the subquery to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantifier {
    Any,
    All,
}

impl Binder<'_> {
    /// A condition, its top-level AND parts one by one, so that IN and EXISTS among them become joins.
    pub fn bind_filter(&mut self, expr: &ast::Expr, clause: &str) -> Result<Expr> {
        match expr {
            ast::Expr::Nested(inner) => self.bind_filter(inner, clause),
            ast::Expr::BinaryOp { left, op: op @ BinaryOperator::And, right } => {
                let parts = chain_operands(left, op, right).into_iter().map(|part| self.bind_filter(part, "AND"));
                balanced(parts.collect::<Result<Vec<_>>>()?, Expr::and)
            }
            ast::Expr::InSubquery { expr, subquery, negated } => self.bind_top_in(expr, subquery, *negated),
            ast::Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, is_some: _ } => match right.as_ref() {
                ast::Expr::Subquery(subquery) => self.bind_top_in(left, subquery, false),
                _ => Ok(self.bind_condition(expr, clause)?.expr),
            },
            ast::Expr::UnaryOp { op: ast::UnaryOperator::Not, expr: inner } => match inner.as_ref() {
                ast::Expr::InSubquery { expr, subquery, negated } => self.bind_top_in(expr, subquery, !negated),
                ast::Expr::Exists { subquery, negated } => {
                    let exists = self.bind_exists(subquery, !negated)?;
                    Ok(exists.expr)
                }
                _ => Ok(self.bind_condition(expr, clause)?.expr),
            },
            _ => Ok(self.bind_condition(expr, clause)?.expr),
        }
    }

    /// A subquery's plan with this level's columns as outer references.
    pub fn bind_inner_query(&mut self, query: &ast::Query) -> Result<BoundQuery> {
        if let Some(what) = self.levels.last().and_then(|level| level.clause.refuses_subqueries()) {
            let message = format!("cannot use subquery in {what}");
            // PostgreSQL points at the bracket before it.
            let error = self.error_at(query.span(), SqlState::FEATURE_NOT_SUPPORTED, message);
            return Err(match error.position() {
                Some(position) => error.with_position(position.saturating_sub(1).max(1)),
                None => error,
            });
        }
        self.bind_subquery(query)
    }

    pub fn bind_scalar_subquery(&mut self, query: &ast::Query) -> Result<Typed> {
        let bound = self.bind_inner_query(query)?;
        let value = self.only_column(&bound, query)?;
        let correlated = !free_references(&bound.plan).is_empty();
        // Of no row the value is NULL, which the planner does not expect of a column that never is.
        let nullable = correlated || is_nullable(&bound.plan) || one_row(&bound.plan);
        let as_it_is = single_row(&bound.plan, correlated) && nullable;
        let plan = if as_it_is { bound.plan } else { at_most_one(bound.plan, &value)? };
        Ok(Typed { expr: Expr::ScalarSubquery(subquery(plan)), ..value })
    }

    fn only_column(&self, bound: &BoundQuery, query: &ast::Query) -> Result<Typed> {
        match bound.columns.as_slice() {
            [column] => Ok(column.value.clone()),
            _ => Err(self.error_at(query.span(), SqlState::SYNTAX_ERROR, "subquery must return only one column")),
        }
    }

    pub fn bind_exists(&mut self, query: &ast::Query, negated: bool) -> Result<Typed> {
        let bound = self.bind_inner_query(query)?;
        Ok(boolean(self.exists(bound.plan, negated)?))
    }

    fn exists(&mut self, plan: LogicalPlan, negated: bool) -> Result<Expr> {
        // Parameters have their types from a select list that nobody will look at.
        self.params.learn(&plan)?;
        let plan = whether_rows(plan);
        // What does not correlate is counted once; as mark joins two of them would give columns of one name.
        let correlated = !free_references(&plan).is_empty();
        let level = self.level();
        if correlated && level.clause.is_filter() && !level.in_aggregate {
            return Ok(Expr::Exists(Exists { subquery: subquery(with_a_column(plan)?), negated }));
        }
        let count = self.row_count(plan)?;
        Ok(if negated { count.eq(lit(0i64)) } else { count.gt(lit(0i64)) })
    }

    /// How many rows a subquery has, as a scalar subquery; no more than one is counted where that is cheaper.
    fn row_count(&mut self, plan: LogicalPlan) -> Result<Expr> {
        let correlated = !free_references(&plan).is_empty();
        let plan = if correlated {
            plan
        } else {
            plan::builder(plan).limit(0, Some(1)).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?
        };
        let call = func::aggregate("count", vec![], false, None, vec![], true, self.func())?;
        Ok(self.aggregate_subquery(plan, call)?.expr)
    }

    /// One aggregate over a subquery's rows, as a scalar subquery.
    pub fn aggregate_subquery(&mut self, plan: LogicalPlan, call: Typed) -> Result<Typed> {
        let plan = one_aggregate(plan, &call, "aggregate")?;
        Ok(Typed { expr: Expr::ScalarSubquery(subquery(plan)), ..call })
    }

    /// `x [NOT] IN (SELECT ...)` at the top of a condition.
    fn bind_top_in(&mut self, left: &ast::Expr, query: &ast::Query, negated: bool) -> Result<Expr> {
        if row_parts(left).is_some() {
            return Ok(self.bind_in_subquery(left, query, negated)?.expr);
        }
        let value = self.bind_expr(left)?;
        let bound = self.bind_inner_query(query)?;
        let column = self.only_column(&bound, query)?;
        // A comparison neither side of which had to be wrapped in an operator of ours is what a hash join can do.
        let equal = func::binary(&BinaryOperator::Eq, value.clone(), column.clone(), self.func());
        let equal = self.at(left.span(), equal)?;
        let correlated = !free_references(&bound.plan).is_empty();
        let Expr::BinaryExpr(comparison) = &equal.expr else {
            return Ok(self.quantified(Quantifier::Any, &BinaryOperator::Eq, vec![value], bound, negated)?.expr);
        };
        if negated && (correlated || is_constant(&value.expr)) {
            // NOT IN is true only if no row compares equal or unknown. A constant is no key a join could look at.
            let inner = compare(outer(&value)?, &column, &BinaryOperator::Eq, self.func())?;
            let plan = plan::filter(bound.plan, Expr::IsNotFalse(Box::new(inner)))?;
            return self.exists(plan, true);
        }
        let mut compared = comparison.right.as_ref().clone();
        if negated && !func::Function::keeps_values(&comparison.left) {
            // DataFusion asks the columns in the two sides whether they may be NULL, where the left's value may be NULL although
            // its columns are not (`nullif(id, 1)`): the right one says yes for it.
            let arrow = compared.get_type(bound.plan.schema()).map_err(from_datafusion)?;
            compared = func::as_it_is(compared, arrow);
        }
        let item = Item { name: "in".into(), value: Typed { expr: compared, ..column }, origin: None };
        let plan = plan::project_as(bound.plan, &[item], vec!["in:value".into()])?.plan;
        let expr = comparison.left.clone();
        Ok(Expr::InSubquery(InSubquery { expr, subquery: subquery(plan), negated }))
    }

    /// `x [NOT] IN (SELECT ...)` anywhere.
    pub fn bind_in_subquery(&mut self, left: &ast::Expr, query: &ast::Query, negated: bool) -> Result<Typed> {
        let values = self.row_values(left)?;
        let bound = self.bind_inner_query(query)?;
        self.quantified(Quantifier::Any, &BinaryOperator::Eq, values, bound, negated)
    }

    /// `x op ANY|ALL (SELECT ...)`.
    pub fn bind_quantified(
        &mut self,
        quantifier: Quantifier,
        op: &BinaryOperator,
        left: &ast::Expr,
        query: &ast::Query,
    ) -> Result<Typed> {
        let values = self.row_values(left)?;
        let bound = self.bind_inner_query(query)?;
        if quantifier == Quantifier::Any {
            return self.quantified(quantifier, op, values, bound, false);
        }
        // x op ALL (S) is NOT (x negated-op ANY (S)).
        let opposite = negate(op).ok_or_else(|| Error::unsupported(format!("{op} ALL (subquery)")))?;
        self.quantified(Quantifier::Any, &opposite, values, bound, true)
    }

    fn row_values(&mut self, left: &ast::Expr) -> Result<Vec<Typed>> {
        match (row_parts(left), left) {
            (Some(parts), _) => parts.into_iter().map(|part| self.bind_expr(part)).collect(),
            (None, ast::Expr::Nested(inner)) => self.row_values(inner),
            (None, other) => Ok(vec![self.bind_expr(other)?]),
        }
    }

    /// True if some row compares true; else NULL if some row compares unknown; else false.
    fn quantified(
        &mut self,
        _quantifier: Quantifier,
        op: &BinaryOperator,
        values: Vec<Typed>,
        bound: BoundQuery,
        negated: bool,
    ) -> Result<Typed> {
        if values.len() != bound.columns.len() {
            let problem = if values.len() < bound.columns.len() { "many" } else { "few" };
            return Err(Error::syntax(format!("subquery has too {problem} columns")));
        }
        let mut nullable = false;
        for (value, column) in values.iter().zip(&bound.columns) {
            nullable |= self.level_value_may_be_null(value) || may_be_null(&column.value.expr, bound.plan.schema());
        }
        let (matches, unknown) = match self.beyond_extreme(op, &values, &bound)? {
            Some(beyond) => (beyond, None),
            None => {
                let comparison = self.compared(&values, &bound, op)?;
                let matches = self.exists(plan::filter(bound.plan.clone(), comparison.clone())?, false)?;
                (matches, Some(Expr::IsUnknown(Box::new(comparison))))
            }
        };
        let result = if nullable {
            let unknown = self.unknown_exists(bound, &values, unknown)?;
            let when = vec![
                (Box::new(matches), Box::new(lit(true))),
                (Box::new(unknown), Box::new(Expr::Literal(ScalarValue::Boolean(None), None))),
            ];
            Expr::Case(Case { expr: None, when_then_expr: when, else_expr: Some(Box::new(lit(false))) })
        } else {
            matches
        };
        Ok(boolean(if negated { Expr::Not(Box::new(result)) } else { result }))
    }

    /// Values of the row compared with those of a subquery's row, as a condition within the subquery.
    fn compared(&mut self, values: &[Typed], bound: &BoundQuery, op: &BinaryOperator) -> Result<Expr> {
        refuse(
            values.iter().any(|value| contains_aggregate(&value.expr)),
            "an aggregate compared with a subquery here",
        )?;
        let pairs = values.iter().zip(&bound.columns);
        let pairs =
            pairs.map(|(value, column)| Ok((outer(value)?, column.value.clone()))).collect::<Result<Vec<_>>>()?;
        match pairs.as_slice() {
            [(value, column)] => compare(value.clone(), column, op, self.func()),
            // Rows are unequal if any of their parts are, and less by the first part that is not equal.
            rows => Ok(self.compare_rows(rows, op)?.expr),
        }
    }

    /// Whether a value is greater or less than some of a subquery's, which is whether it is than their least or greatest: that is
    /// computed once, not compared with each. `None` where the subquery depends on the row or its type has no least value.
    fn beyond_extreme(&mut self, op: &BinaryOperator, values: &[Typed], bound: &BoundQuery) -> Result<Option<Expr>> {
        let extreme = match op {
            BinaryOperator::Gt | BinaryOperator::GtEq => "min",
            BinaryOperator::Lt | BinaryOperator::LtEq => "max",
            _ => return Ok(None),
        };
        let ([value], [column]) = (values, bound.columns.as_slice()) else { return Ok(None) };
        if !free_references(&bound.plan).is_empty() {
            return Ok(None);
        }
        let column = column.value.clone();
        let Ok(call) = func::aggregate(extreme, vec![column], false, None, vec![], false, self.func()) else {
            return Ok(None);
        };
        let extreme = self.aggregate_subquery(bound.plan.clone(), call)?;
        Ok(Some(Expr::IsTrue(Box::new(compare(value.clone(), &extreme, op, self.func())?))))
    }

    /// Whether some row compares unknown. For one column that is: x is NULL and there are rows, or some y is NULL; neither
    /// needs to correlate, so it works where a correlated non-equality could not be turned into a join.
    fn unknown_exists(&mut self, bound: BoundQuery, values: &[Typed], unknown: Option<Expr>) -> Result<Expr> {
        match (values, bound.columns.as_slice(), unknown) {
            ([value], [column], _) => {
                let y_null = plan::filter(bound.plan.clone(), Expr::IsNull(Box::new(column.value.expr.clone())))?;
                let x_null = Expr::IsNull(Box::new(value.expr.clone()));
                let any_row = self.exists_below(bound.plan)?;
                let null_row = self.exists_below(y_null)?;
                Ok(x_null.and(any_row).or(null_row))
            }
            (_, _, Some(unknown)) => self.exists_below(plan::filter(bound.plan, unknown)?),
            _ => Err(Error::internal("rows are compared part by part")),
        }
    }

    /// EXISTS somewhere within a condition. Where it has an outer join its rows are counted: as a mark join, its mark can lose the
    /// name that the condition knows it by.
    fn exists_below(&mut self, plan: LogicalPlan) -> Result<Expr> {
        let outer = |plan: &LogicalPlan| match plan {
            LogicalPlan::Join(join) => matches!(join.join_type, JoinType::Left | JoinType::Right | JoinType::Full),
            _ => false,
        };
        if plan.exists(|plan| Ok(outer(plan))).map_err(from_datafusion)? {
            return Ok(self.row_count(plan)?.gt(lit(0i64)));
        }
        self.exists(plan, false)
    }

    fn level_value_may_be_null(&mut self, value: &Typed) -> bool {
        match &value.expr {
            Expr::Literal(value, _) => value.is_null(),
            _ => true,
        }
    }
}

/// The parts of `(a, b)` and of `ROW(a, b)`.
fn row_parts(expr: &ast::Expr) -> Option<Vec<&ast::Expr>> {
    match expr {
        ast::Expr::Tuple(parts) => Some(parts.iter().collect()),
        ast::Expr::Function(call) => {
            let [ast::ObjectNamePart::Identifier(name)] = call.name.0.as_slice() else { return None };
            let ast::FunctionArguments::List(list) = &call.args else { return None };
            if name.quote_style.is_some() || !name.value.eq_ignore_ascii_case("row") {
                return None;
            }
            let parts = list.args.iter().map(|argument| match argument {
                ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(part)) => Some(part),
                _ => None,
            });
            parts.collect()
        }
        _ => None,
    }
}

/// Whether a value has no columns, or none once it is simplified as far as it can be without knowing them.
fn is_constant(value: &Expr) -> bool {
    value.column_refs().is_empty()
        || plan::simplify(value.clone()).is_ok_and(|simplified| simplified.column_refs().is_empty())
}

/// A plan that has rows exactly when the given one has: order, duplicates and the select list do not matter.
fn whether_rows(plan: LogicalPlan) -> LogicalPlan {
    match plan {
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => whether_rows(Arc::unwrap_or_clone(sort.input)),
        projection if selects_grouping_sets(&projection) => projection,
        LogicalPlan::Projection(projection) => whether_rows(Arc::unwrap_or_clone(projection.input)),
        LogicalPlan::Distinct(Distinct::All(input)) => whether_rows(Arc::unwrap_or_clone(input)),
        LogicalPlan::Limit(limit) => {
            let all = matches!(limit.get_skip_type(), Ok(SkipType::Literal(0)));
            match limit.get_fetch_type() {
                Ok(FetchType::Literal(fetch)) if all && fetch != Some(0) => {
                    whether_rows(Arc::unwrap_or_clone(limit.input))
                }
                _ => LogicalPlan::Limit(limit),
            }
        }
        other => other,
    }
}

/// A join with rows without columns asks for the first column of them all the same.
fn with_a_column(plan: LogicalPlan) -> Result<LogicalPlan> {
    if !plan.schema().fields().is_empty() {
        return Ok(plan);
    }
    let projected = plan::builder(plan).project([lit(true).alias("row")]);
    projected.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
}

fn compare(left: Typed, column: &Typed, op: &BinaryOperator, context: &func::FuncContext) -> Result<Expr> {
    let compared = func::binary(op, left, column.clone(), context)?;
    match compared.sql_type {
        SqlType::Bool => Ok(compared.expr),
        _ => Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, "op ANY/ALL (array) requires operator to yield boolean")),
    }
}

fn negate(op: &BinaryOperator) -> Option<BinaryOperator> {
    Some(match op {
        BinaryOperator::Eq => BinaryOperator::NotEq,
        BinaryOperator::NotEq => BinaryOperator::Eq,
        BinaryOperator::Lt => BinaryOperator::GtEq,
        BinaryOperator::LtEq => BinaryOperator::Gt,
        BinaryOperator::Gt => BinaryOperator::LtEq,
        BinaryOperator::GtEq => BinaryOperator::Lt,
        _ => return None,
    })
}

/// An expression of this level as a subquery below it sees it.
pub(super) fn outer(value: &Typed) -> Result<Typed> {
    let single = matches!(value.expr, Expr::Column(_));
    let expr = value.expr.clone().transform_up(|node| {
        Ok(match node {
            Expr::Column(column) => {
                // Only a bare column's type is known here; inside an expression the type check is DataFusion's.
                let arrow = if single { value.arrow.clone() } else { DataType::Null };
                Transformed::yes(Expr::OuterReferenceColumn(Arc::new(Field::new(&column.name, arrow, true)), column))
            }
            other => Transformed::no(other),
        })
    });
    let expr = expr.map_err(from_datafusion)?.data;
    Ok(Typed { expr, ..value.clone() })
}

pub(super) fn subquery(plan: LogicalPlan) -> Subquery {
    let outer_ref_columns = free_references(&plan);
    Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: Spans::new() }
}

pub(super) fn boolean(expr: Expr) -> Typed {
    Typed { expr, sql_type: SqlType::Bool, arrow: DataType::Boolean }
}

/// Whether a scalar subquery's plan cannot give two rows, in a shape DataFusion accepts.
fn single_row(plan: &LogicalPlan, correlated: bool) -> bool {
    if !correlated {
        return plan.max_rows().is_some_and(|rows| rows <= 1);
    }
    match plan {
        LogicalPlan::Projection(projection) => single_row(&projection.input, correlated),
        LogicalPlan::SubqueryAlias(alias) => single_row(&alias.input, correlated),
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::Filter(filter) => match filter.input.as_ref() {
            LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
            _ => false,
        },
        _ => false,
    }
}

fn is_nullable(plan: &LogicalPlan) -> bool {
    plan.schema().fields().first().is_none_or(|field| field.is_nullable())
}

/// Whether a plan gives a row in any case.
fn one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => one_row(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => one_row(&alias.input),
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::EmptyRelation(empty) => empty.produce_one_row,
        _ => false,
    }
}

/// The subquery's one value; 21000 when there are more.
fn at_most_one(plan: LogicalPlan, value: &Typed) -> Result<LogicalPlan> {
    one_aggregate(plan, &func::single_value(value.clone())?, plan::internal_name(value))
}

/// An aggregate call (perhaps inside a cast) over all rows.
fn one_aggregate(plan: LogicalPlan, call: &Typed, name: &str) -> Result<LogicalPlan> {
    let mut calls = Vec::new();
    collect_aggregates(&call.expr, &mut calls)?;
    let outputs = calls.iter().map(|call| (call.clone(), output_column(call))).collect();
    let aggregate = Aggregate::try_new(Arc::new(plan), vec![], calls).map_err(from_datafusion)?;
    let value = Typed { expr: rewrite(call.expr.clone(), &outputs)?, ..call.clone() };
    let item = Item { name: name.to_owned(), value, origin: None };
    // A name of its own: the columns the subquery is joined by will stand beside it.
    let name = format!("{name}:value");
    Ok(plan::project_as(LogicalPlan::Aggregate(aggregate), &[item], vec![name])?.plan)
}

/// Replaces outer columns by inner ones they must equal: in `i = o AND i2 <> o` the second part becomes `i2 <> i`. Only
/// equalities can be pulled out of a subquery, so this makes conditions joinable that were not.
pub(super) fn localise(condition: Expr) -> Result<Expr> {
    let parts = split_conjunction_owned(condition);
    let equal = parts.iter().filter_map(outer_equality).collect::<HashMap<_, _>>();
    if equal.is_empty() {
        return Ok(conjunction(parts).unwrap_or_else(|| lit(true)));
    }
    let localised =
        parts.into_iter().map(|part| if outer_equality(&part).is_some() { Ok(part) } else { rewrite(part, &equal) });
    Ok(conjunction(localised.collect::<Result<Vec<_>>>()?).unwrap_or_else(|| lit(true)))
}

/// `inner = outer` of one type: the outer column and the inner one. Not for floats, whose zeros differ.
fn outer_equality(part: &Expr) -> Option<(Expr, Expr)> {
    let Expr::BinaryExpr(comparison) = part else { return None };
    let (outer, inner) = match (comparison.left.as_ref(), comparison.right.as_ref()) {
        (inner @ Expr::Column(_), outer @ Expr::OuterReferenceColumn(field, _))
        | (outer @ Expr::OuterReferenceColumn(field, _), inner @ Expr::Column(_))
            if !field.data_type().is_floating() =>
        {
            (outer, inner)
        }
        _ => return None,
    };
    (comparison.op == Operator::Eq).then(|| (outer.clone(), inner.clone()))
}

/// Whether an expression holds a subquery of any kind.
pub(super) fn has_subquery(expr: &Expr) -> bool {
    let found = expr.exists(|node| {
        Ok(matches!(node, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_)))
    });
    found.unwrap_or(false)
}
