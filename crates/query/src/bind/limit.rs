//! LIMIT, OFFSET and FETCH FIRST.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};
use heliosdb_types::{Error, Result, SqlState, SqlType};
use sqlparser::ast;

use super::binder::Binder;
use super::from::refuse;
use super::plan::{self, from_datafusion, simplify};
use super::scope::{Clause, Scope};
use super::subquery::has_subquery;
use crate::func::{self, CastKind};

/// Row counts as Int64 literals or parameters; `None`: no bound.
#[derive(Debug, Default)]
pub(super) struct Limits {
    skip: Option<Expr>,
    fetch: Option<Expr>,
}

impl Limits {
    /// OFFSET and LIMIT.
    pub fn into_parts(self) -> (Option<Expr>, Option<Expr>) {
        (self.skip, self.fetch)
    }

    pub fn apply(self, plan: LogicalPlan) -> Result<LogicalPlan> {
        if self.skip.is_none() && self.fetch.is_none() {
            return Ok(plan);
        }
        let limited = plan::builder(plan).limit_by_expr(self.skip, self.fetch);
        limited.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
    }
}

impl Binder<'_> {
    pub fn bind_limits(&mut self, clause: Option<&ast::LimitClause>, fetch: Option<&ast::Fetch>) -> Result<Limits> {
        let mut limits = Limits::default();
        match clause {
            None => {}
            Some(ast::LimitClause::LimitOffset { limit, offset, limit_by }) => {
                refuse(!limit_by.is_empty(), "LIMIT BY")?;
                if let Some(limit) = limit {
                    limits.fetch = self.bind_row_count(limit, Clause::Limit)?;
                }
                if let Some(ast::Offset { value, rows: _ }) = offset {
                    limits.skip = self.bind_row_count(value, Clause::Offset)?;
                }
            }
            Some(ast::LimitClause::OffsetCommaLimit { .. }) => {
                return Err(Error::syntax("LIMIT #,# syntax is not supported")
                    .with_hint("Use separate LIMIT and OFFSET clauses."));
            }
        }
        if let Some(ast::Fetch { with_ties, percent, quantity }) = fetch {
            refuse(*with_ties, "FETCH ... WITH TIES")?;
            refuse(*percent, "FETCH ... PERCENT")?;
            limits.fetch = match quantity {
                Some(quantity) => self.bind_row_count(quantity, Clause::Limit)?,
                None => Some(lit(1i64)),
            };
        }
        Ok(limits)
    }

    fn bind_row_count(&mut self, expr: &ast::Expr, clause: Clause) -> Result<Option<Expr>> {
        use sqlparser::ast::Spanned;
        let value = self.in_level(Scope::default(), clause, |binder| binder.bind_expr(expr))?;
        let value = func::cast(value, &SqlType::Int8, CastKind::Implicit, self.func());
        let value = self.at(expr.span(), value)?;
        refuse(has_subquery(&value.expr), "a subquery in LIMIT or OFFSET")?;
        match simplify(value.expr)? {
            Expr::Literal(ScalarValue::Int64(None), _) => Ok(None),
            Expr::Literal(ScalarValue::Int64(Some(count)), _) if count < 0 => {
                let state = match clause {
                    Clause::Offset => SqlState::INVALID_ROW_COUNT_IN_OFFSET,
                    _ => SqlState::INVALID_ROW_COUNT_IN_LIMIT,
                };
                Err(Error::invalid(state, format!("{} must not be negative", clause.name())))
            }
            other => Ok(Some(other)),
        }
    }
}
