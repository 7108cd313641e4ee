//! JOIN in all its forms, with USING and NATURAL.

use datafusion::logical_expr::{Case, Expr, JoinType, LogicalPlanBuilder, lit};
use heliosdb_types::{Error, Result, SqlState};
use sqlparser::ast::{self, JoinConstraint, JoinOperator, Spanned, TableFactor};

use super::binder::Binder;
use super::from::{FromItem, cross_join, refuse};
use super::names::object_name;
use super::plan::{self, from_datafusion};
use super::scope::{Clause, Found, Scope, ScopeColumn};
use super::subquery::has_subquery;
use super::table_function::function_factor;
use crate::func::{self, Typed};

impl Binder<'_> {
    pub fn bind_join(&mut self, left: FromItem, join: &ast::Join) -> Result<FromItem> {
        let ast::Join { relation, global, join_operator } = join;
        refuse(*global, "GLOBAL JOIN")?;
        let (join_type, constraint) = join_kind(join_operator)?;
        let mut depends = false;
        let (left, right) = match function_factor(relation)? {
            None if let TableFactor::Derived { lateral: true, subquery, alias, sample } = relation => {
                refuse(sample.is_some(), "TABLESAMPLE")?;
                let (left, right, uses) = self.bind_lateral(left, subquery, alias.as_ref())?;
                depends = uses;
                (left, right)
            }
            Some(function) if matches!(join_type, JoinType::Inner | JoinType::Left) => {
                let outer = join_type == JoinType::Left;
                match self.bind_function_beside(left, &function, outer)? {
                    Ok(joined) => return self.bind_join_of_function(joined, constraint, outer),
                    Err(sides) => sides,
                }
            }
            _ => (left, self.bind_table_factor(relation)?),
        };
        let (mut left, mut right) = (left, right);
        if matches!(join_type, JoinType::Left | JoinType::Full) {
            right.scope.may_be_missing();
        }
        if matches!(join_type, JoinType::Right | JoinType::Full) {
            left.scope.may_be_missing();
        }
        let checked = left.scope.check_names(&right.scope);
        self.at(relation.span(), checked)?;
        if depends {
            return self.bind_lateral_join(left, right, join_type, constraint);
        }
        match constraint {
            JoinConstraint::On(condition) => self.bind_join_on(left, right, join_type, condition),
            JoinConstraint::Using(columns) => {
                let names = columns.iter().map(own_name).collect::<Result<Vec<_>>>()?;
                self.bind_join_using(left, right, join_type, &names)
            }
            JoinConstraint::Natural => {
                let shared = |column: &&ScopeColumn| right.scope.visible.iter().any(|c| c.name == column.name);
                let names: Vec<_> =
                    left.scope.visible.iter().filter(shared).map(|column| column.name.clone()).collect();
                self.bind_join_using(left, right, join_type, &names)
            }
            JoinConstraint::None if join_type == JoinType::Inner => cross_join(left, right),
            JoinConstraint::None => Err(Error::syntax("an outer join needs ON or USING")),
        }
    }

    fn bind_lateral_join(
        &mut self,
        left: FromItem,
        right: FromItem,
        join_type: JoinType,
        constraint: &JoinConstraint,
    ) -> Result<FromItem> {
        if !matches!(join_type, JoinType::Inner | JoinType::Left) {
            let message = "The combining JOIN type must be INNER or LEFT for a LATERAL reference.";
            return Err(Error::invalid(SqlState::INVALID_COLUMN_REFERENCE, "invalid reference to FROM-clause entry")
                .with_detail(message));
        }
        let mut scope = left.scope;
        scope.extend(right.scope)?;
        let mut condition = None;
        match constraint {
            JoinConstraint::On(on) => {
                self.levels.push(super::scope::Level::new(scope, Clause::JoinOn));
                let bound = self.bind_condition(on, "JOIN/ON");
                scope = self.levels.pop().map(|level| level.scope).unwrap_or_default();
                condition = Some(bound?.expr).filter(|bound| *bound != lit(true));
            }
            JoinConstraint::None if join_type == JoinType::Inner => {}
            JoinConstraint::None => return Err(Error::syntax("an outer join needs ON or USING")),
            JoinConstraint::Using(_) | JoinConstraint::Natural => {
                return Err(Error::unsupported("USING in a join with a LATERAL subquery of its left side"));
            }
        }
        let inside = condition.as_ref().is_some_and(has_subquery);
        refuse(inside && join_type != JoinType::Inner, "a subquery in the ON clause of an outer join")?;
        let (inner, after) = if inside { (None, condition) } else { (condition, None) };
        self.computed += 1;
        let prefix = format!("__lateral_{}", self.computed);
        let mut plan = super::unnest::lateral(prefix, left.plan, &right.plan, join_type, inner)?;
        if let Some(condition) = after {
            plan = plan::filter(plan, condition)?;
        }
        Ok(FromItem { plan, scope })
    }

    /// What is left to do of a join with a function of its left side: an inner join's condition.
    fn bind_join_of_function(
        &mut self,
        joined: FromItem,
        constraint: &JoinConstraint,
        outer: bool,
    ) -> Result<FromItem> {
        match constraint {
            JoinConstraint::None if !outer => Ok(joined),
            JoinConstraint::None => Err(Error::syntax("an outer join needs ON or USING")),
            JoinConstraint::On(condition) => {
                let FromItem { plan, scope } = joined;
                self.levels.push(super::scope::Level::new(scope, Clause::JoinOn));
                let condition = self.bind_condition(condition, "JOIN/ON");
                let scope = self.levels.pop().map(|level| level.scope).unwrap_or_default();
                let condition = condition?.expr;
                if condition == lit(true) {
                    return Ok(FromItem { plan, scope });
                }
                refuse(outer, "LEFT JOIN of a function of its left side, on other than true")?;
                Ok(FromItem { plan: plan::filter(plan, condition)?, scope })
            }
            JoinConstraint::Using(_) | JoinConstraint::Natural => {
                Err(Error::unsupported("USING in a join with a function of its left side"))
            }
        }
    }

    fn bind_join_on(
        &mut self,
        left: FromItem,
        right: FromItem,
        join_type: JoinType,
        condition: &ast::Expr,
    ) -> Result<FromItem> {
        let mut scope = left.scope;
        scope.extend(right.scope)?;
        self.levels.push(super::scope::Level::new(scope, Clause::JoinOn));
        let condition_value = self.bind_condition(condition, "JOIN/ON");
        let scope = self.levels.pop().map(|level| level.scope).unwrap_or_default();
        let expr = condition_value?.expr;
        if has_subquery(&expr) {
            // Subqueries become joins below a Filter only; an inner join may as well be filtered.
            refuse(join_type != JoinType::Inner, "a subquery in the ON clause of an outer join")?;
            let plan = plan::builder(left.plan).cross_join(right.plan);
            let plan = plan.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?;
            return Ok(FromItem { plan: plan::filter(plan, expr)?, scope });
        }
        let plan = plan::builder(left.plan).join_on(right.plan, join_type, [expr]);
        let plan = plan.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?;
        Ok(FromItem { plan, scope })
    }

    fn bind_join_using(
        &mut self,
        left: FromItem,
        right: FromItem,
        join_type: JoinType,
        names: &[String],
    ) -> Result<FromItem> {
        let mut conditions = Vec::with_capacity(names.len());
        let mut merged = Vec::with_capacity(names.len());
        for name in names {
            let l = using_column(&left.scope, name, "left")?.clone();
            let r = using_column(&right.scope, name, "right")?.clone();
            self.use_column(&l);
            self.use_column(&r);
            let equal = func::binary(&ast::BinaryOperator::Eq, l.value.clone(), r.value.clone(), self.func())?;
            conditions.push(equal.expr);
            merged.push(self.merge(name, join_type, &l, &r)?);
        }
        let others = |scope: &Scope| {
            scope.visible.iter().filter(|column| !names.contains(&column.name)).cloned().collect::<Vec<_>>()
        };
        let visible = merged.into_iter().chain(others(&left.scope)).chain(others(&right.scope)).collect();
        let relations = left.scope.relations.into_iter().chain(right.scope.relations).collect();
        if conditions.is_empty() {
            conditions.push(lit(true));
        }
        let plan = plan::builder(left.plan).join_on(right.plan, join_type, conditions);
        let plan = plan.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?;
        Ok(FromItem { plan, scope: Scope { relations, visible } })
    }

    /// The one column USING shows for a pair: whichever side is never null-extended, else the first that is not null.
    fn merge(&self, name: &str, join_type: JoinType, left: &ScopeColumn, right: &ScopeColumn) -> Result<ScopeColumn> {
        let (value, origin) = match join_type {
            JoinType::Right => (right.value.clone(), right.origin),
            JoinType::Full => {
                let sides = vec![left.value.clone(), right.value.clone()];
                let mut sides = func::unify(sides, "JOIN/USING", self.func())?.into_iter();
                let (Some(l), Some(r)) = (sides.next(), sides.next()) else {
                    return Err(Error::internal("unify lost a side of USING"));
                };
                let first = Expr::IsNotNull(Box::new(l.expr.clone()));
                let when = vec![(Box::new(first), Box::new(l.expr.clone()))];
                let case = Case { expr: None, when_then_expr: when, else_expr: Some(Box::new(r.expr)) };
                (Typed { expr: Expr::Case(case), ..l }, None)
            }
            _ => (left.value.clone(), left.origin),
        };
        Ok(ScopeColumn { name: name.to_owned(), value, origin })
    }
}

fn using_column<'s>(scope: &'s Scope, name: &str, side: &str) -> Result<&'s ScopeColumn> {
    let found: Found<'s> = scope.unqualified(name);
    match found {
        Ok(Some(column)) => Ok(column),
        Ok(None) => Err(Error::invalid(
            SqlState::UNDEFINED_COLUMN,
            format!("column \"{name}\" specified in USING clause does not exist in {side} table"),
        )),
        Err(_) => Err(Error::invalid(
            SqlState::AMBIGUOUS_COLUMN,
            format!("common column name \"{name}\" appears more than once in {side} table"),
        )),
    }
}

/// A column of both sides, which is of neither.
fn own_name(name: &ast::ObjectName) -> Result<String> {
    match object_name(name)? {
        (None, name) => Ok(name),
        (Some(_), _) => Err(Error::syntax("syntax error at or near \".\"")),
    }
}

fn join_kind(operator: &JoinOperator) -> Result<(JoinType, &JoinConstraint)> {
    Ok(match operator {
        JoinOperator::Join(JoinConstraint::None) | JoinOperator::Inner(JoinConstraint::None) => {
            return Err(Error::syntax("JOIN needs ON or USING"));
        }
        JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) | JoinOperator::CrossJoin(constraint) => {
            (JoinType::Inner, constraint)
        }
        JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => (JoinType::Left, constraint),
        JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => (JoinType::Right, constraint),
        JoinOperator::FullOuter(constraint) => (JoinType::Full, constraint),
        JoinOperator::Semi(_)
        | JoinOperator::LeftSemi(_)
        | JoinOperator::RightSemi(_)
        | JoinOperator::Anti(_)
        | JoinOperator::LeftAnti(_)
        | JoinOperator::RightAnti(_) => return Err(Error::unsupported("SEMI/ANTI JOIN")),
        JoinOperator::CrossApply | JoinOperator::OuterApply => return Err(Error::unsupported("APPLY")),
        JoinOperator::AsOf { .. } => return Err(Error::unsupported("ASOF JOIN")),
        JoinOperator::StraightJoin(_) => return Err(Error::unsupported("STRAIGHT_JOIN")),
        JoinOperator::ArrayJoin | JoinOperator::LeftArrayJoin | JoinOperator::InnerArrayJoin => {
            return Err(Error::unsupported("ARRAY JOIN"));
        }
    })
}
