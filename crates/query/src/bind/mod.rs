//! SQL text to DataFusion logical plans: parsing, name resolution, PostgreSQL's typing and errors.
//!
//! Invariants: the binder is an allow-list, so AST structs are destructured completely and a field we do not implement is refused
//! by name; every relation instance has a qualifier unique in its statement, so DataFusion never sees an ambiguous name;
//! every expression is fully cast, so DataFusion's coercion finds nothing to do; a bound plan holds no snapshot and no clock
//! (`$__now` stands for it), so it can be cached.

mod aggregate;
mod binder;
mod cte;
mod dialect;
mod dml;
mod expr;
mod file;
mod from;
mod grouping;
mod index;
mod inherited_order;
mod join;
mod known_subqueries;
mod limit;
mod literals;
mod locking;
mod names;
mod order;
mod params;
mod parse;
mod plan;
mod position;
mod precedence;
mod query;
mod recheck;
mod relation;
mod rows;
mod scope;
mod select;
mod select_list;
mod series;
mod set_op;
mod subquery;
mod subscripts;
mod table_function;
mod tokens;
mod unnest;
mod values;
mod window;

#[cfg(test)]
mod test;

use std::sync::Arc;

use datafusion::logical_expr::{Expr, LogicalPlan};
use heliosdb_contracts::{ResultColumn, RowLockMode};
use heliosdb_types::{Error, Oid, Result, SqlType};
use sqlparser::ast;

use crate::catalog::{CatalogSnapshot, Column, Relation};
use crate::files::FileLooks;
use crate::func::{FuncContext, Typed};

pub use index::bind_index;
pub(crate) use locking::locked_names;
pub use names::{fold_identifier, object_name};
pub use params::placeholder;
pub use parse::{parse, parse_expression, parse_expression_tokens, parse_query, parse_tokens, position_of};
pub(crate) use tokens::take_set_columns;

use binder::Binder;

/// What binding depends on besides the text.
pub struct BindContext<'a> {
    pub catalog: Arc<CatalogSnapshot>,
    pub search_path: Vec<String>,
    /// Schemas the user may not look into.
    pub denied: Vec<Oid>,
    pub func: FuncContext,
    /// Files that were looked at for the statement.
    pub files: Arc<FileLooks>,
    /// Types the client declared for `$1`, `$2`, ...; `None` or absent: infer.
    pub parameter_types: &'a [Option<SqlType>],
}

/// A statement ready to be instantiated with parameters and run any number of times.
#[derive(Clone, Debug)]
pub struct BoundStatement {
    pub plan: LogicalPlan,
    /// `None`: no rows for the client (the plan gives one row with the count of rows written).
    pub columns: Option<Vec<ResultColumn>>,
    pub parameters: Vec<SqlType>,
    /// `SELECT`, `INSERT`, `UPDATE` or `DELETE`.
    pub tag: &'static str,
    /// Every relation named, directly or through views.
    pub relations: Vec<Oid>,
    /// (relation, attribute) of the columns it names.
    pub used: Vec<(Oid, i16)>,
    /// What is needed of them, to be checked at each execution.
    pub(crate) required: Vec<crate::access::Required>,
    /// The table the main part writes to.
    pub target: Option<Oid>,
    /// Data-modifying WITH queries, in the order they run.
    pub parts: Vec<crate::exec::WritePart>,
    /// Tables whose rows a FOR clause locks, with its strongest mode.
    pub row_locks: Vec<(Oid, RowLockMode)>,
    /// It reads files, which are looked at anew for every execution.
    pub reads_files: bool,
}

impl BoundStatement {
    /// The tables it writes to.
    pub fn targets(&self) -> impl Iterator<Item = Oid> {
        self.target.into_iter().chain(self.parts.iter().map(|part| part.target))
    }

    /// 0A000 where data-modifying WITH queries have no place.
    pub fn refuse_parts(&self, message: &str) -> Result<()> {
        match self.parts.is_empty() {
            true => Ok(()),
            false => Err(Error::invalid(heliosdb_types::SqlState::FEATURE_NOT_SUPPORTED, message)),
        }
    }

    /// `SELECT FOR UPDATE` and so on, for messages, if it locks rows.
    pub fn locking_command(&self) -> Option<String> {
        let mode = self.row_locks.iter().map(|(_, mode)| *mode).max()?;
        Some(format!("SELECT {}", locking::command_name(mode)))
    }
}

/// How deep a plan may be: what plans, runs and drops it is recursive, on stacks that hold this much.
const PLAN_DEPTH_MAX: usize = 1_000;
/// How many nodes a plan may have, counting what several share once for each: WITH queries that each name the one before
/// twice would make 2^n of them.
const PLAN_NODES_MAX: usize = 20_000;

/// Refuses plans that nobody could work with.
fn check_size(plan: &LogicalPlan) -> Result<()> {
    let mut nodes = 0;
    let mut open = vec![(plan, 1)];
    while let Some((node, depth)) = open.pop() {
        nodes += 1;
        if depth > PLAN_DEPTH_MAX || nodes > PLAN_NODES_MAX {
            return Err(parse::too_deep());
        }
        open.extend(node.inputs().into_iter().map(|input| (input, depth + 1)));
    }
    Ok(())
}

fn checked(bound: BoundStatement) -> Result<BoundStatement> {
    check_size(&bound.plan)?;
    let plan = crate::exec::settle_shared(bound.plan).map_err(plan::from_datafusion)?;
    Ok(BoundStatement { plan, ..bound })
}

/// Binds SELECT, VALUES, TABLE, INSERT, UPDATE or DELETE. `sql_text` is the text the statement was parsed from: it turns spans
/// into error positions.
pub fn bind_statement(statement: &ast::Statement, sql_text: &str, context: &BindContext<'_>) -> Result<BoundStatement> {
    parse::deep(sql_text, || bind_statement_tree(statement, sql_text, context).and_then(checked))
}

fn bind_statement_tree(
    statement: &ast::Statement,
    sql_text: &str,
    context: &BindContext<'_>,
) -> Result<BoundStatement> {
    with_inferred_parameters(context, |types| {
        let mut binder = Binder::new(context, sql_text, types);
        let bound = match statement {
            ast::Statement::Query(query) => binder.bind_query_statement(query)?,
            ast::Statement::Insert(insert) => {
                let write = binder.bind_insert(insert)?;
                binder.write_statement(write)
            }
            ast::Statement::Update(update) => {
                let write = binder.bind_update(update)?;
                binder.write_statement(write)
            }
            ast::Statement::Delete(delete) => {
                let write = binder.bind_delete(delete)?;
                binder.write_statement(write)
            }
            ast::Statement::Merge(merge) => {
                let write = binder.bind_merge(merge)?;
                binder.write_statement(write)
            }
            other => return Err(Error::unsupported(names::statement_name(other))),
        };
        let row_locks = binder.row_locks.iter().map(|(o, m)| (*o, *m)).collect();
        let bound = BoundStatement { row_locks, ..bound };
        Ok((bound, binder.into_parameter_types()))
    })
}

/// Binds a query: a view's definition, the query of COPY.
pub fn bind_query(query: &ast::Query, sql_text: &str, context: &BindContext<'_>) -> Result<BoundStatement> {
    with_inferred_parameters(context, |types| {
        let mut binder = Binder::new(context, sql_text, types);
        let bound = binder.bind_text_query(query)?;
        Ok((bound, binder.into_parameter_types()))
    })
    .and_then(checked)
}

/// Binds a column's DEFAULT and casts it to the column's type. No columns may be named in it.
pub fn bind_default(sql: &str, to: &SqlType, column: &str, context: &BindContext<'_>) -> Result<Typed> {
    let expr = parse_expression(sql)?;
    Binder::of_stored(context, sql).bind_default(&expr, to, column)
}

/// The same for an expression of the statement itself, so that errors have positions in `text`.
pub fn bind_default_of(
    expr: &ast::Expr,
    text: &str,
    to: &SqlType,
    column: &str,
    context: &BindContext<'_>,
) -> Result<Typed> {
    Binder::new(context, text, Vec::new()).bind_default(expr, to, column)
}

/// [`bind_check`] for an expression of the statement itself.
pub fn bind_check_of(
    expr: &ast::Expr,
    text: &str,
    relation: &Arc<Relation>,
    context: &BindContext<'_>,
) -> Result<Expr> {
    Binder::new(context, text, Vec::new()).bind_check(expr, relation)
}

/// [`bind_generated`] for an expression of the statement itself.
pub fn bind_generated_of(
    expr: &ast::Expr,
    text: &str,
    column: &Column,
    relation: &Arc<Relation>,
    context: &BindContext<'_>,
) -> Result<Expr> {
    Binder::new(context, text, Vec::new()).bind_generation(expr, column, relation)
}

/// Binds a CHECK condition over a table's columns, named as the table's and qualified by nothing.
pub fn bind_check(sql: &str, relation: &Arc<Relation>, context: &BindContext<'_>) -> Result<Expr> {
    let expr = parse_expression(sql)?;
    Binder::of_stored(context, sql).bind_check(&expr, relation)
}

/// Binds a generated column's expression over the table's other columns and casts it to the column's type.
pub fn bind_generated(column: &Column, relation: &Arc<Relation>, context: &BindContext<'_>) -> Result<Expr> {
    let sql = column.default.as_deref().ok_or_else(|| Error::internal("a generated column without an expression"))?;
    let expr = parse_expression(sql)?;
    Binder::of_stored(context, sql).bind_generation(&expr, column, relation)
}

/// Whether a value of one type may be assigned to a column of the other.
pub fn assignable(from: &SqlType, to: &SqlType, context: &BindContext<'_>) -> bool {
    let value = placeholder("$1", from);
    *from == SqlType::Unknown || crate::func::cast(value, to, crate::func::CastKind::Assignment, &context.func).is_ok()
}

/// A bound plan whose subqueries need no rows of the queries around them.
pub(crate) fn decorrelated(plan: LogicalPlan) -> Result<LogicalPlan> {
    unnest::unnest(plan)
}

/// Binds until every parameter's type is known: a type found at one use holds for the other uses.
fn with_inferred_parameters(
    context: &BindContext<'_>,
    mut bind: impl FnMut(Vec<Option<SqlType>>) -> Result<(BoundStatement, Vec<Option<SqlType>>)>,
) -> Result<BoundStatement> {
    let mut types = context.parameter_types.to_vec();
    loop {
        let (mut bound, used) = bind(types.clone())?;
        let mut learned = used;
        if learned.iter().any(Option::is_none) {
            params::learn(&bound.plan, &mut learned)?;
            bound.parts.iter().try_for_each(|part| params::learn(&part.plan, &mut learned))?;
        }
        if learned.len() > types.len() || learned.iter().zip(&types).any(|(new, old)| new != old) {
            types = learned;
            // A type can only go from unknown to known, so this ends; a pass that learns nothing falls through.
            continue;
        }
        bound.parameters = params::all_known(&types)?;
        bound.plan = unnest::unnest(bound.plan)?;
        for part in &mut bound.parts {
            part.plan = unnest::unnest(std::mem::take(&mut part.plan))?;
        }
        bound.parts = crate::exec::in_order(&bound.plan, bound.parts, bound.target.is_none())?;
        return Ok(bound);
    }
}
