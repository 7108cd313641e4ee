//! Whole queries: WITH, the body, ORDER BY, LIMIT.

use heliosdb_types::{Error, Result, SqlState, SqlType};
use sqlparser::ast::{self, SetExpr};

use super::BoundStatement;
use super::binder::{Binder, BoundQuery};
use super::dml::BoundWrite;
use super::from::refuse;
use super::limit::Limits;
use super::locking::lock_wishes;
use super::order::OrderKey;
use super::plan::{self, Item};
use super::select::Tail;
use crate::func::{self, CastKind, FuncContext, Typed};

/// As the client gets a reference.
pub fn for_client(value: Typed, ctx: &FuncContext) -> Result<Typed> {
    Ok(func::reference_for_client(value, ctx))
}

impl Binder<'_> {
    pub fn bind_top_query(&mut self, query: &ast::Query) -> Result<BoundStatement> {
        self.at_top = true;
        let bound = self.bind_subquery(query)?;
        let bound = self.show_references(bound, for_client)?;
        Ok(self.statement(bound, "SELECT"))
    }

    /// A query whose rows go elsewhere: catalog references are text.
    pub fn bind_text_query(&mut self, query: &ast::Query) -> Result<BoundStatement> {
        self.at_top = true;
        let bound = self.bind_subquery(query)?;
        let as_text = |value: Typed, ctx: &FuncContext| func::cast(value, &SqlType::Text, CastKind::Explicit, ctx);
        let bound = self.show_references(bound, as_text)?;
        Ok(self.statement(bound, "SELECT"))
    }

    /// A query, or `WITH ... INSERT|UPDATE|DELETE`, which the parser takes for one.
    pub fn bind_query_statement(&mut self, query: &ast::Query) -> Result<BoundStatement> {
        let ast::Query {
            with: Some(with),
            body,
            order_by: None,
            limit_clause: None,
            fetch: None,
            locks,
            for_clause: None,
            settings: None,
            format_clause: None,
            pipe_operators,
        } = query
        else {
            return self.bind_top_query(query);
        };
        let plain = locks.is_empty() && pipe_operators.is_empty();
        match body.as_ref() {
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) if plain => {
                if with.recursive && matches!(body.as_ref(), SetExpr::Merge(_)) {
                    let message = "WITH RECURSIVE is not supported for MERGE statement";
                    return Err(Error::syntax(message));
                }
                self.bind_with(with, query, true)?;
                let write = self.bind_write(body)?;
                Ok(self.write_statement(write))
            }
            _ => self.bind_top_query(query),
        }
    }

    /// The body of a query that writes.
    pub fn bind_write(&mut self, body: &SetExpr) -> Result<BoundWrite> {
        match body {
            SetExpr::Insert(ast::Statement::Insert(insert)) => self.bind_insert(insert),
            SetExpr::Update(ast::Statement::Update(update)) => self.bind_update(update),
            SetExpr::Delete(ast::Statement::Delete(delete)) => self.bind_delete(delete),
            SetExpr::Merge(ast::Statement::Merge(merge)) => self.bind_merge(merge),
            _ => Err(Error::internal("a query that does not write")),
        }
    }

    /// Catalog references (regclass, ...) are shown as names, which only the catalog knows.
    pub fn show_references(
        &mut self,
        bound: BoundQuery,
        shown: impl Fn(Typed, &FuncContext) -> Result<Typed>,
    ) -> Result<BoundQuery> {
        if !bound.columns.iter().any(|column| matches!(column.value.sql_type, SqlType::Reg(_))) {
            return Ok(bound);
        }
        let mut items = Vec::with_capacity(bound.columns.len());
        for column in bound.columns {
            let value = match column.value.sql_type {
                SqlType::Reg(_) => shown(column.value, self.func())?,
                _ => column.value,
            };
            items.push(Item { name: column.name, value, origin: column.origin });
        }
        plan::project(bound.plan, &items)
    }

    /// A query whose column types are all decided: unknown literals are text.
    pub fn bind_subquery(&mut self, query: &ast::Query) -> Result<BoundQuery> {
        let mut bound = self.bind_query(query, false)?;
        for column in &mut bound.columns {
            if column.value.sql_type == SqlType::Unknown {
                column.value.sql_type = SqlType::Text;
            }
        }
        Ok(bound)
    }

    /// `open`: leave literals of unknown type for the caller to decide (INSERT, set operations).
    pub fn bind_query(&mut self, query: &ast::Query, open: bool) -> Result<BoundQuery> {
        let ast::Query {
            with,
            body,
            order_by,
            limit_clause,
            fetch,
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators,
        } = query;
        refuse(for_clause.is_some(), "FOR XML/JSON")?;
        refuse(settings.is_some(), "SETTINGS")?;
        refuse(format_clause.is_some(), "FORMAT")?;
        refuse(!pipe_operators.is_empty(), "|> operators")?;
        let wishes = lock_wishes(locks)?;
        let visible = self.ctes.len();
        let top = std::mem::take(&mut self.at_top);
        let outer = (std::mem::take(&mut self.lock_wishes), std::mem::take(&mut self.locked));
        if let Some(with) = with {
            self.bind_with(with, query, top)?;
        }
        let limits = self.bind_limits(limit_clause.as_ref(), fetch.as_ref())?;
        if let (Some(wish), true) = (wishes.first(), matches!(body.as_ref(), SetExpr::SetOperation { .. })) {
            return Err(wish.not_allowed("UNION/INTERSECT/EXCEPT"));
        }
        refuse(!wishes.is_empty() && !matches!(body.as_ref(), SetExpr::Select(_)), "FOR UPDATE of VALUES")?;
        self.lock_wishes = wishes;
        let bound = match body.as_ref() {
            SetExpr::Select(select) => self.bind_select(select, Tail { order_by: order_by.as_ref(), limits }, open)?,
            other => {
                let bound = self.bind_set_expr(other, open)?;
                self.order_and_limit(bound, order_by.as_ref(), limits)?
            }
        };
        self.ctes.truncate(visible);
        (self.lock_wishes, self.locked) = outer;
        Ok(bound)
    }

    /// An operand of a set operation.
    pub fn bind_set_operand(&mut self, operand: &SetExpr) -> Result<BoundQuery> {
        self.bind_set_expr(operand, true)
    }

    fn bind_set_expr(&mut self, body: &SetExpr, open: bool) -> Result<BoundQuery> {
        match body {
            SetExpr::Select(select) => self.bind_select(select, Tail::default(), open),
            SetExpr::Query(query) => self.bind_query(query, open),
            SetExpr::SetOperation { left, op, set_quantifier, right } => {
                self.bind_set_operation(left, *op, *set_quantifier, right)
            }
            SetExpr::Values(values) => self.bind_values(values),
            SetExpr::Table(table) => {
                let ast::Table { table_name, schema_name } = table.as_ref();
                let names = schema_name.iter().chain(table_name).map(ast::Ident::new).collect::<Vec<_>>();
                self.bind_table_command(ast::ObjectName::from(names))
            }
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                Err(Error::unsupported("a data-modifying statement inside a query"))
            }
        }
    }

    /// ORDER BY and LIMIT of VALUES or a set operation: only output columns can be named.
    fn order_and_limit(
        &mut self,
        bound: BoundQuery,
        order_by: Option<&ast::OrderBy>,
        limits: Limits,
    ) -> Result<BoundQuery> {
        let BoundQuery { mut plan, columns } = bound;
        if let Some(order_by) = order_by {
            let outputs: Vec<_> = columns.iter().map(|column| column.name.clone()).collect();
            let mut keys = Vec::new();
            for item in super::order::order_items(order_by)? {
                let (expr, options) = super::order::order_parts(item)?;
                let Some(at) = self.output_reference(expr, &outputs, "ORDER BY")? else {
                    use sqlparser::ast::Spanned;
                    let message = "invalid UNION/INTERSECT/EXCEPT ORDER BY clause";
                    return Err(self
                        .error_at(expr.span(), SqlState::FEATURE_NOT_SUPPORTED, message)
                        .with_detail("Only result column names can be used, not expressions or functions.")
                        .with_hint(
                            "Add the expression/function to every SELECT, or move the UNION into a FROM clause.",
                        ));
                };
                let value = columns.get(at).map(|column| column.value.clone());
                let value = value.ok_or_else(|| Error::internal("ORDER BY found a column that is not there"))?;
                keys.push(OrderKey::new(value, options));
            }
            plan = super::order::sort(plan, &keys)?;
        }
        let plan = limits.apply(plan)?;
        Ok(BoundQuery { plan, columns })
    }
}
