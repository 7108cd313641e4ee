//! Functions that give rows, in FROM and in the select list: their lists are computed beside the input's columns and expanded.
//!
//! In FROM a call may use the items before it (PostgreSQL's implicit LATERAL): the lists are then computed on their rows, so
//! the input is read once. In the select list the calls of a row are expanded side by side, the shorter padded with NULLs;
//! that happens after grouping and windows, unless GROUP BY names such a column.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::Column;
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, LogicalPlanBuilder};
use heliosdb_types::{Error, RecordField, Result, SqlState, SqlType};
use sqlparser::ast;

use super::aggregate::rewrite;
use super::binder::{Binder, alias_columns};
use super::from::{FromItem, alias_parts};
use super::plan::{self, from_datafusion};
use super::scope::{Clause, RowShape, ScopeColumn, ScopeRelation, column_value};
use super::select::Clauses;
use crate::exec::RowsNode;
use crate::func::{self, RowsCall, RowsColumn, Typed};

/// What one row of a FROM function is.
pub(super) struct RowsItem {
    pub calls: Vec<RowsCall>,
    /// Column names where the function, not the alias, names them.
    pub names: Vec<String>,
    pub ordinality: bool,
    /// The alias names no columns: it was a column definition list.
    pub defined: bool,
}

impl Binder<'_> {
    /// The input with the lists of `calls` expanded: a row for each element, the longest list deciding. `outer` keeps a row
    /// (of NULLs) where all are empty.
    fn expand(
        &mut self,
        input: LogicalPlan,
        calls: &[RowsCall],
        outer: bool,
    ) -> Result<(LogicalPlan, Vec<Vec<Typed>>)> {
        let mut lists = Vec::with_capacity(calls.len());
        for call in calls {
            self.computed += 1;
            lists.push((call.list.clone(), format!("rows:{}", self.computed)));
        }
        let element = |name: &String| Expr::Column(Column::new_unqualified(name));
        let values = calls.iter().zip(&lists).map(|(call, (_, name))| call.values(element(name))).collect();
        let node = RowsNode::new(input, lists, outer).map_err(from_datafusion)?;
        Ok((LogicalPlan::Extension(Extension { node: Arc::new(node) }), values))
    }

    /// A function in FROM beside the items before it; without any, `left` is one row of no columns.
    pub fn join_rows(
        &mut self,
        left: FromItem,
        item: RowsItem,
        alias: Option<&ast::TableAlias>,
        default_name: &str,
        outer: bool,
    ) -> Result<FromItem> {
        let mut calls = item.calls;
        if item.ordinality {
            calls.push(func::ordinality(calls.iter().map(|call| call.list.clone()).collect()));
        }
        let before: Vec<Expr> = left.plan.schema().columns().into_iter().map(Expr::Column).collect();
        let (plan, values) = self.expand(left.plan, &calls, outer)?;
        let (name, column_aliases) = alias_parts(alias)?;
        let column_aliases = if item.defined { &[] } else { column_aliases };
        let mut names = item.names;
        // A function with one result column names it after the table alias, so `generate_series(1, 3) AS n` has column n.
        // A column the function itself names (`value`) keeps its name.
        if let ([only], Some(name)) = (names.as_mut_slice(), &name)
            && only == default_name
        {
            only.clone_from(name);
        }
        if item.ordinality {
            names.push("ordinality".to_owned());
        }
        let name = name.unwrap_or_else(|| default_name.to_owned());
        let names = alias_columns(&name, names, column_aliases)?;
        let qualifier = self.unique_qualifier(&name);
        let mut exprs = before;
        let mut columns = Vec::with_capacity(names.len());
        let internal = plan::unique_names(names.iter().map(String::as_str));
        for ((value, internal), name) in values.into_iter().flatten().zip(internal).zip(names) {
            exprs.push(value.expr.alias_qualified(Some(qualifier.clone()), &internal));
            let value = column_value(Some(&qualifier), &internal, value.sql_type);
            columns.push(ScopeColumn { name, value, origin: None });
        }
        let plan = plan::builder(plan).project(exprs).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?;
        let mut scope = left.scope;
        let row = if columns.len() == 1 { RowShape::Scalar } else { RowShape::Columns };
        scope.extend(super::scope::Scope::of(ScopeRelation { name, schema: None, columns, table: None, row }))?;
        Ok(FromItem { plan, scope })
    }

    /// A call that gives rows, in an expression: a placeholder until the lists are expanded.
    pub fn bind_rows_call(&mut self, function: &str, args: Vec<Typed>) -> Result<Typed> {
        let level = self.level();
        if level.in_aggregate || level.in_window {
            let what = if level.in_aggregate { "aggregate" } else { "window" };
            let message = format!("{what} function calls cannot contain set-returning function calls");
            return Err(Error::invalid(SqlState::FEATURE_NOT_SUPPORTED, message)
                .with_hint("You might be able to move the set-returning function into a LATERAL FROM item."));
        }
        let clause = level.clause;
        if !matches!(clause, Clause::Select | Clause::OrderBy | Clause::GroupBy) {
            let message = format!("set-returning functions are not allowed in {}", clause.name());
            return Err(Error::invalid(SqlState::FEATURE_NOT_SUPPORTED, message));
        }
        let call =
            func::rows(function, &args, self.func()).ok_or_else(|| Error::internal("not a function of rows"))??;
        if args.iter().any(|arg| has_rows(&arg.expr)) {
            return Err(Error::unsupported("a set-returning function as an argument of another"));
        }
        let sql_type = match call.columns.as_slice() {
            [column] => column.sql_type.clone(),
            // A row of them.
            several => SqlType::Record(several.iter().map(record_field).collect()),
        };
        let level = self.level();
        let same = level.rows.iter().position(|other| other.list == call.list);
        let at = same.unwrap_or_else(|| {
            level.rows.push(call);
            level.rows.len() - 1
        });
        Ok(Typed::new(placeholder(at), sql_type))
    }

    /// The calls of the level's clauses, expanded over the input; only those that grouping needs when `grouped`.
    pub fn expand_select_rows(
        &mut self,
        input: LogicalPlan,
        clauses: &mut Clauses,
        grouped: bool,
    ) -> Result<LogicalPlan> {
        let needed: Vec<usize> = (0..clauses.rows.len())
            .filter(|at| {
                let wanted = placeholder(*at);
                let used = |expr: &Expr| mentions(expr, &wanted);
                if grouped {
                    clauses.grouping.keys.iter().chain(&clauses.grouping.exprs).any(used)
                } else {
                    clauses.exprs_mut().any(|expr| used(expr))
                }
            })
            .collect();
        if needed.is_empty() {
            return Ok(input);
        }
        let calls = needed.iter().filter_map(|at| clauses.rows.get(*at)).cloned().collect::<Vec<_>>();
        let (plan, values) = self.expand(input, &calls, false)?;
        let mut columns = HashMap::new();
        for ((at, call), values) in needed.iter().zip(&calls).zip(values) {
            let value = match <[Typed; 1]>::try_from(values) {
                Ok([only]) => only,
                Err(several) => {
                    let names = call.columns.iter().map(|column| column.name.clone());
                    // Where other calls give more rows it is NULL.
                    func::row(names.zip(several).collect(), true, self.func())?
                }
            };
            columns.insert(placeholder(*at), value.expr);
        }
        // Their arguments are done with: grouping must not look at them again.
        for at in &needed {
            if let Some(call) = clauses.rows.get_mut(*at) {
                call.list = datafusion::logical_expr::lit(true);
            }
        }
        for expr in clauses.exprs_mut() {
            *expr = rewrite(std::mem::take(expr), &columns)?;
        }
        let grouping = &mut clauses.grouping;
        let shown = grouping.shown.iter_mut().flat_map(|shown| [&mut shown.key, &mut shown.compared, &mut shown.value]);
        for expr in grouping.exprs.iter_mut().chain(&mut grouping.keys).chain(shown) {
            *expr = rewrite(std::mem::take(expr), &columns)?;
        }
        Ok(plan)
    }
}

/// A column of a call's rows as a field of the row that `func::row` makes of them.
fn record_field(column: &RowsColumn) -> RecordField {
    let sql_type = match &column.sql_type {
        SqlType::Numeric(_) => SqlType::Numeric(None),
        other => other.clone(),
    };
    RecordField { name: column.name.clone(), sql_type }
}

/// Stands for a row of call number `at` of the level, until it is a column.
fn placeholder(at: usize) -> Expr {
    Expr::Placeholder(Placeholder { id: format!("$rows:{at}"), field: None })
}

fn mentions(expr: &Expr, wanted: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    expr.exists(|node| Ok(node == wanted)).unwrap_or(true)
}

/// Whether an expression holds a call that gives rows.
fn has_rows(expr: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    let found = expr.exists(|node| Ok(matches!(node, Expr::Placeholder(found) if found.id.starts_with("$rows:"))));
    found.unwrap_or(true)
}

/// The calls of `unnest(a, b, ...)`: one for each array.
pub(super) fn unnest_calls(args: Vec<Typed>, context: &func::FuncContext) -> Result<Vec<RowsCall>> {
    if args.is_empty() {
        return Err(func::rows("unnest", &[], context).map_or_else(
            || Error::internal("unnest"),
            |r| match r {
                Err(error) => error,
                Ok(_) => Error::internal("unnest of nothing"),
            },
        ));
    }
    let call =
        |arg: Typed| func::rows("unnest", &[arg], context).unwrap_or_else(|| Err(Error::internal("unnest gives rows")));
    args.into_iter().map(call).collect()
}
