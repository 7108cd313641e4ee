//! One SELECT: FROM, WHERE, the list, GROUP BY, HAVING, windows, DISTINCT, ORDER BY, LIMIT, in the order they take effect.

use std::collections::HashMap;

use datafusion::common::Column;
use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};
use heliosdb_types::{Error, Result, SqlState};
use sqlparser::ast::{self, Spanned};

use super::binder::{Binder, BoundQuery};
use super::from::{FromItem, refuse};
use super::grouping::Grouping;
use super::limit::Limits;
use super::names::fold_identifier;
use super::order::{OrderKey, order_items, order_parts, sort};
use super::plan::{self, Item, from_datafusion};
use super::scope::Clause;
use crate::func::{RowsCall, Typed};

/// What follows the body of a query.
#[derive(Default)]
pub(super) struct Tail<'q> {
    pub order_by: Option<&'q ast::OrderBy>,
    pub limits: Limits,
}

/// A sort key before the list is projected.
#[derive(Clone, Debug)]
pub(super) struct PendingKey {
    pub value: PendingValue,
    pub options: ast::OrderByOptions,
}

#[derive(Clone, Debug)]
pub(super) enum PendingValue {
    /// Position in the select list.
    Item(usize),
    Other(Typed),
}

/// The clauses of a SELECT, bound over its input; aggregates and windows are still calls inside the expressions.
pub(super) struct Clauses {
    pub items: Vec<Item>,
    pub grouping: Grouping,
    pub having: Option<Expr>,
    pub distinct: Distinct,
    pub keys: Vec<PendingKey>,
    /// Calls that give rows, in the order their placeholders are numbered.
    pub rows: Vec<RowsCall>,
}

#[derive(Clone, Debug)]
pub(super) enum Distinct {
    No,
    Rows,
    On(Vec<PendingValue>),
}

impl Clauses {
    /// Every expression that may hold an aggregate or window call.
    pub fn exprs_mut(&mut self) -> impl Iterator<Item = &mut Expr> {
        let on = match &mut self.distinct {
            Distinct::On(values) => values.as_mut_slice(),
            _ => &mut [],
        };
        let keys = self.keys.iter_mut().map(|key| &mut key.value);
        let others = on.iter_mut().chain(keys).filter_map(|value| match value {
            PendingValue::Item(_) => None,
            PendingValue::Other(value) => Some(&mut value.expr),
        });
        let lists = self.rows.iter_mut().map(|call| &mut call.list);
        self.items.iter_mut().map(|item| &mut item.value.expr).chain(&mut self.having).chain(others).chain(lists)
    }
}

impl Binder<'_> {
    pub fn bind_select(&mut self, select: &ast::Select, tail: Tail<'_>, open: bool) -> Result<BoundQuery> {
        let ast::Select {
            select_token: _,
            optimizer_hints,
            distinct,
            select_modifiers,
            top,
            top_before_distinct: _,
            projection,
            exclude,
            into,
            from,
            lateral_views,
            prewhere,
            selection,
            connect_by,
            group_by,
            cluster_by,
            distribute_by,
            sort_by,
            having,
            named_window,
            qualify,
            window_before_qualify: _,
            value_table_mode,
            flavor,
        } = select;
        refuse(!optimizer_hints.is_empty(), "optimizer hints")?;
        refuse(select_modifiers.as_ref().is_some_and(ast::SelectModifiers::is_any_set), "SELECT modifiers")?;
        refuse(top.is_some(), "TOP")?;
        refuse(exclude.is_some(), "EXCLUDE")?;
        refuse(into.is_some(), "SELECT INTO")?;
        refuse(!lateral_views.is_empty(), "LATERAL VIEW")?;
        refuse(prewhere.is_some(), "PREWHERE")?;
        refuse(!connect_by.is_empty(), "CONNECT BY")?;
        refuse(
            !cluster_by.is_empty() || !distribute_by.is_empty() || !sort_by.is_empty(),
            "CLUSTER/DISTRIBUTE/SORT BY",
        )?;
        refuse(qualify.is_some(), "QUALIFY")?;
        refuse(value_table_mode.is_some(), "SELECT AS STRUCT/VALUE")?;
        refuse(*flavor != ast::SelectFlavor::Standard, "FROM before SELECT")?;

        let inner = self.is_inner();
        let mut source = self.bind_from(from)?;
        self.check_lock_clauses(select, &source.plan)?;
        if inner {
            source = distinct_names(source)?;
        }
        let parts = SelectParts { distinct, projection, selection, group_by, having, named_window, open, inner };
        self.in_level(source.scope, Clause::Where, |binder| binder.bind_select_body(source.plan, parts, tail))
    }

    fn bind_select_body(
        &mut self,
        mut input: LogicalPlan,
        parts: SelectParts<'_>,
        tail: Tail<'_>,
    ) -> Result<BoundQuery> {
        self.level().windows = self.named_windows(parts.named_window)?;
        self.check_lock_names()?;
        let locked = std::mem::take(&mut self.locked);
        if !locked.is_empty() {
            let Tail { order_by, limits } = tail;
            let (selection, inner) = (parts.selection.as_ref(), parts.inner);
            return self.bind_locking_body(input, selection, locked, limits, inner, |binder| {
                binder.bind_clauses(&parts, order_by)
            });
        }
        if let Some(condition) = parts.selection {
            let condition = self.bind_filter(condition, "WHERE")?;
            let condition = if parts.inner { super::subquery::localise(condition)? } else { condition };
            input = plan::filter(input, condition)?;
        }
        let mut clauses = self.bind_clauses(&parts, tail.order_by)?;
        input = self.expand_select_rows(input, &mut clauses, true)?;
        input = self.plan_aggregates(input, &mut clauses)?;
        input = self.plan_windows(input, &mut clauses)?;
        input = self.expand_select_rows(input, &mut clauses, false)?;
        self.plan_output(input, clauses, tail.limits, parts.inner)
    }

    fn bind_clauses(&mut self, parts: &SelectParts<'_>, order_by: Option<&ast::OrderBy>) -> Result<Clauses> {
        self.level().clause = Clause::Select;
        // What DISTINCT compares has a type, also in an operand of UNION.
        let open = parts.open && !matches!(parts.distinct, Some(ast::Distinct::Distinct));
        let items = self.bind_select_list(parts.projection, open)?;
        self.level().clause = Clause::GroupBy;
        let grouping = self.bind_group_by(parts.group_by, &items)?;
        self.level().clause = Clause::Having;
        let having = match parts.having {
            Some(condition) => Some(self.bind_filter(condition, "HAVING")?),
            None => None,
        };
        self.level().clause = Clause::OrderBy;
        let outputs: Vec<_> = items.iter().map(|item| item.name.clone()).collect();
        let distinct = match parts.distinct {
            None | Some(ast::Distinct::All) => Distinct::No,
            Some(ast::Distinct::Distinct) => Distinct::Rows,
            Some(ast::Distinct::On(exprs)) => {
                let on = exprs.iter().map(|expr| self.bind_key(expr, &items, &outputs, "DISTINCT ON"));
                Distinct::On(on.collect::<Result<Vec<_>>>()?)
            }
        };
        let mut keys = Vec::new();
        if let Some(order_by) = order_by {
            for item in order_items(order_by)? {
                let (expr, options) = order_parts(item)?;
                let value = self.bind_key(expr, &items, &outputs, "ORDER BY")?;
                if matches!((&distinct, &value), (Distinct::Rows, PendingValue::Other(_))) {
                    let message = "for SELECT DISTINCT, ORDER BY expressions must appear in select list";
                    return Err(self.error_at(expr.span(), SqlState::INVALID_COLUMN_REFERENCE, message));
                }
                let sorted = match &value {
                    PendingValue::Item(at) => items.get(*at).map(|item| &item.value),
                    PendingValue::Other(value) => Some(value),
                };
                let sortable = sorted.map_or(Ok(()), |value| crate::func::check_comparable(value, true));
                self.at(expr.span(), sortable)?;
                keys.push(PendingKey { value, options: *options });
            }
        }
        let rows = std::mem::take(&mut self.level().rows);
        Ok(Clauses { items, grouping, having, distinct, keys, rows })
    }

    /// An output column by name, number or equal expression, or a new expression over the input.
    fn bind_key(&mut self, expr: &ast::Expr, items: &[Item], outputs: &[String], clause: &str) -> Result<PendingValue> {
        if let Some(at) = self.output_reference(expr, outputs, clause)? {
            self.check_unambiguous(expr, at, items, clause)?;
            return Ok(PendingValue::Item(at));
        }
        let value = self.bind_expr(expr)?;
        let value = self.settle(value);
        let value = self.at(expr.span(), value)?;
        let same = items.iter().position(|item| item.value.expr == value.expr);
        Ok(same.map_or(PendingValue::Other(value), PendingValue::Item))
    }

    /// Two output columns of one name are fine for ORDER BY only when they show the same thing.
    fn check_unambiguous(&self, expr: &ast::Expr, at: usize, items: &[Item], clause: &str) -> Result<()> {
        let (ast::Expr::Identifier(ident), Some(found)) = (expr, items.get(at)) else { return Ok(()) };
        let name = fold_identifier(ident);
        let other = items.iter().any(|item| item.name == name && item.value.expr != found.value.expr);
        if other {
            let message = format!("{clause} \"{name}\" is ambiguous");
            return Err(self.error_at(ident.span, SqlState::AMBIGUOUS_COLUMN, message));
        }
        Ok(())
    }

    /// Projects the list (and what sorting needs besides), then DISTINCT, ORDER BY and LIMIT.
    fn plan_output(&mut self, input: LogicalPlan, clauses: Clauses, limits: Limits, inner: bool) -> Result<BoundQuery> {
        let Clauses { items, distinct, keys, .. } = clauses;
        let visible = items.len();
        let mut all = items;
        let keys: Vec<_> = keys.into_iter().map(|key| (place(key.value, &mut all), key.options)).collect();
        let (distinct, on) = match distinct {
            Distinct::On(values) => {
                (false, Some(values.into_iter().map(|value| place(value, &mut all)).collect::<Vec<_>>()))
            }
            other => (matches!(other, Distinct::Rows), None),
        };
        let names = self.output_names(&all, inner);
        let projected = plan::project_as(input, &all, names)?;
        let value_at = |at: usize| projected.columns.get(at).map(|column| column.value.clone());
        let missing = || Error::internal("a sort key that was not projected");
        let mut sort_keys = Vec::with_capacity(keys.len());
        for (at, options) in &keys {
            sort_keys.push(OrderKey::new(value_at(*at).ok_or_else(missing)?, options));
        }
        let mut plan = projected.plan.clone();
        let mut first_only = on.is_some();
        if distinct {
            (plan, first_only) = distinct_rows(plan, projected.columns.iter().map(|column| &column.value))?;
        }
        if let Some(on) = on {
            let on_values = on.iter().map(|at| value_at(*at).ok_or_else(missing)).collect::<Result<Vec<_>>>()?;
            check_distinct_on(&on, &keys.iter().map(|(at, _)| *at).collect::<Vec<_>>())?;
            plan = first_of_each(plan, &on_values, &sort_keys)?;
        }
        plan = sort(plan, &sort_keys)?;
        plan = limits.apply(plan)?;
        let mut columns = projected.columns;
        if all.len() > visible || first_only {
            columns.truncate(visible);
            let exprs = columns.iter().map(|column| column.value.expr.clone());
            plan = plan::builder(plan).project(exprs).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?;
        }
        Ok(BoundQuery { plan, columns })
    }

    /// `TABLE name`.
    pub fn bind_table_command(&mut self, name: ast::ObjectName) -> Result<BoundQuery> {
        let relation = self.resolve_relation(&name)?;
        let source = self.bind_relation(&relation, None, None)?;
        let items = source.scope.visible.into_iter();
        let items: Vec<_> =
            items.map(|column| Item { name: column.name, value: column.value, origin: column.origin }).collect();
        plan::project(source.plan, &items)
    }
}

struct SelectParts<'q> {
    distinct: &'q Option<ast::Distinct>,
    projection: &'q [ast::SelectItem],
    selection: &'q Option<ast::Expr>,
    group_by: &'q ast::GroupByExpr,
    having: &'q Option<ast::Expr>,
    named_window: &'q [ast::NamedWindowDefinition],
    open: bool,
    /// Inside a subquery of an enclosing query.
    inner: bool,
}

/// Renames columns of FROM whose name another column has, keeping their qualifiers.
fn distinct_names(source: FromItem) -> Result<FromItem> {
    let columns = source.plan.schema().columns();
    let names = plan::unique_names(columns.iter().map(|column| column.name.as_str()));
    if columns.iter().zip(&names).all(|(column, name)| column.name == *name) {
        return Ok(source);
    }
    let mut renamed = HashMap::new();
    let mut exprs = Vec::with_capacity(columns.len());
    for (column, name) in columns.into_iter().zip(names) {
        let to = Column::new(column.relation.clone(), name.clone());
        let from = Expr::Column(column.clone());
        // A column under an alias of its own name is another to DataFusion, which would add it once more for a correlated condition.
        exprs.push(match column.name == name {
            true => from.clone(),
            false => from.clone().alias_qualified(column.relation, name),
        });
        renamed.insert(from, Expr::Column(to));
    }
    let plan = plan::builder(source.plan).project(exprs).and_then(LogicalPlanBuilder::build);
    let mut scope = source.scope;
    let columns = scope.relations.iter_mut().flat_map(|relation| &mut relation.columns);
    for column in columns.chain(&mut scope.visible) {
        column.value.expr = super::aggregate::rewrite(std::mem::take(&mut column.value.expr), &renamed)?;
    }
    Ok(FromItem { plan: plan.map_err(from_datafusion)?, scope })
}

/// Where a key is in the projection; a new expression is appended, hidden.
fn place(value: PendingValue, all: &mut Vec<Item>) -> usize {
    match value {
        PendingValue::Item(at) => at,
        PendingValue::Other(value) => {
            let at = all.iter().position(|item| item.value.expr == value.expr);
            at.unwrap_or_else(|| {
                all.push(Item { name: "__key".into(), value, origin: None });
                all.len() - 1
            })
        }
    }
}

/// The leading sort keys must be the DISTINCT ON expressions, in any order.
fn check_distinct_on(on: &[usize], keys: &[usize]) -> Result<()> {
    let leading = keys.iter().take_while(|key| on.contains(key)).count();
    let covered = on.iter().all(|at| keys.iter().take(leading).any(|key| key == at));
    if covered || leading == keys.len() {
        return Ok(());
    }
    let message = "SELECT DISTINCT ON expressions must match initial ORDER BY expressions";
    Err(Error::invalid(SqlState::INVALID_COLUMN_REFERENCE, message))
}

/// One row of each group of equal rows. Where bytes do not decide equality, one more column comes with it (true).
pub(super) fn distinct_rows<'a>(
    plan: LogicalPlan,
    values: impl Iterator<Item = &'a Typed>,
) -> Result<(LogicalPlan, bool)> {
    let values: Vec<Typed> = values.cloned().collect();
    values.iter().try_for_each(|value| crate::func::check_comparable(value, false))?;
    if values.iter().all(|value| crate::func::sort_key(value) == value.expr) {
        let plan = plan::builder(plan).distinct().and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?;
        return Ok((plan, false));
    }
    first_of_each(plan, &values, &[]).map(|plan| (plan, true))
}

/// The first row, by `keys`, of each group of rows equal in `on`.
fn first_of_each(input: LogicalPlan, on: &[Typed], keys: &[OrderKey]) -> Result<LogicalPlan> {
    let order: Vec<Sort> = keys.iter().map(OrderKey::sort).collect();
    let (number, name) = plan::row_number(on.iter().map(crate::func::sort_key).collect(), order)?;
    let windowed = LogicalPlanBuilder::window_plan(input, [number]).map_err(from_datafusion)?;
    plan::filter(windowed, Expr::Column(name).eq(lit(1u64)))
}
