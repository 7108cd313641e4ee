//! WITH queries.

use std::sync::Arc;

use arrow_schema::{Field, Schema};
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::common::Result as DfResult;
use datafusion::common::TableReference;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use heliosdb_types::{Error, Result, SqlState, SqlType};
use sqlparser::ast::{self, SetExpr, SetOperator, SetQuantifier};
use sqlparser::tokenizer::Span;

use super::binder::{Binder, BoundQuery, OutputColumn, alias_columns};
use super::dml::BoundWrite;
use super::from::{alias_parts, refuse};
use super::plan::{self, Item, from_datafusion, internal_name};
use crate::exec::{GivenTable, RowsNode, SharedNode, WritePart};
use crate::func::Typed;

/// A WITH query in scope. Its plan is copied to each place that names it.
#[derive(Clone, Debug)]
pub(super) struct Cte {
    pub name: String,
    pub query: BoundQuery,
    /// False: it modifies data and has no RETURNING.
    pub gives_rows: bool,
    /// Levels on the stack where it was defined: a column it takes from there must be one the user sees too.
    pub depth: usize,
}

impl Binder<'_> {
    /// Binds WITH and leaves its queries in scope; the caller truncates `ctes` to the length before.
    /// `query`: the one it belongs to. `top`: it is the statement's own, so its queries may modify data.
    pub fn bind_with(&mut self, with: &ast::With, query: &ast::Query, top: bool) -> Result<()> {
        let whole = query;
        let ast::With { with_token: _, recursive, cte_tables } = with;
        let first = self.ctes.len();
        for cte in cte_tables {
            let ast::Cte { alias, query, from, materialized, closing_paren_token: _ } = cte;
            refuse(from.is_some(), "FROM in WITH")?;
            let (name, column_aliases) = alias_parts(Some(alias))?;
            let name = name.unwrap_or_default();
            if self.ctes.iter().skip(first).any(|earlier| earlier.name == name) {
                let message = format!("WITH query name \"{name}\" specified more than once");
                return Err(self.error_at(alias.name.span, SqlState::DUPLICATE_ALIAS, message));
            }
            if is_write(&query.body) {
                let cte = self.bind_part(name, column_aliases, query, top, *recursive, alias.name.span)?;
                self.ctes.push(cte);
                continue;
            }
            let bound = if *recursive && names_itself(query, &name) {
                self.bind_recursive(&name, column_aliases, query)?
            } else {
                let mut bound = self.bind_subquery(query)?;
                rename(&name, &mut bound, column_aliases)?;
                bound
            };
            // Each place that names it copies its plan, and looks at all of it.
            super::check_size(&bound.plan)?;
            // What a query that nothing reads says about a parameter's type counts too.
            self.params.learn(&bound.plan)?;
            let bound = match times_named(whole, &name) {
                0 | 1 => bound,
                _ => share(bound, *materialized).map_err(from_datafusion)?,
            };
            self.ctes.push(Cte { name, query: bound, gives_rows: true, depth: self.levels.len() });
        }
        Ok(())
    }

    pub fn cte_reference(&mut self, name: &str, span: Span) -> Result<Option<BoundQuery>> {
        let Some(cte) = self.ctes.iter().rev().find(|cte| cte.name == name) else { return Ok(None) };
        if !cte.gives_rows {
            let message = format!("WITH query \"{name}\" does not have a RETURNING clause");
            return Err(self.error_at(span, SqlState::FEATURE_NOT_SUPPORTED, message));
        }
        if cte.depth < self.levels.len() && !super::unnest::free_references(&cte.query.plan).is_empty() {
            return Err(Error::unsupported("a WITH query that uses columns of an outer query inside a subquery"));
        }
        Ok(Some(cte.query.clone()))
    }

    /// `name AS (INSERT|UPDATE|DELETE ... [RETURNING ...])`: a part of the statement that runs by itself, and a scan of the rows
    /// it gives.
    fn bind_part(
        &mut self,
        name: String,
        aliases: &[ast::TableAliasColumnDef],
        query: &ast::Query,
        top: bool,
        recursive: bool,
        span: Span,
    ) -> Result<Cte> {
        if matches!(query.body.as_ref(), SetExpr::Merge(_)) {
            return Err(self.error_at(span, SqlState::FEATURE_NOT_SUPPORTED, "MERGE not supported in WITH query"));
        }
        if !top {
            let message = "WITH clause containing a data-modifying statement must be at the top level";
            return Err(self.error_at(span, SqlState::FEATURE_NOT_SUPPORTED, message));
        }
        if recursive && reads(query, &name) {
            let message = format!("recursive query \"{name}\" must not contain data-modifying statements");
            return Err(self.error_at(span, SqlState::INVALID_RECURSION, message));
        }
        let visible = self.ctes.len();
        if let Some(with) = &query.with {
            self.bind_with(with, query, false)?;
        }
        let write = self.bind_write(&query.body)?;
        self.ctes.truncate(visible);
        let BoundWrite { plan, returning, target, tag: _ } = write;
        let number = self.parts.len();
        let depth = self.levels.len();
        let Some(columns) = returning else {
            self.parts.push(WritePart { number, name: name.clone(), plan, target, schema: None, late: false });
            let query = BoundQuery { plan: plan::one_row(), columns: Vec::new() };
            return Ok(Cte { name, query, gives_rows: false, depth });
        };
        let mut given = BoundQuery { plan, columns };
        rename(&name, &mut given, aliases)?;
        let mut given = reproject(given)?;
        let fields = given.columns.iter().map(|c| Field::new(internal_name(&c.value), c.value.arrow.clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let table = Arc::new(GivenTable::new(number, Arc::clone(&schema)));
        let part_plan = std::mem::replace(&mut given.plan, plan::one_row());
        let part = WritePart { number, name: name.clone(), plan: part_plan, target, schema: Some(schema), late: false };
        self.parts.push(part);
        let scan_name = self.unique_qualifier(&name).to_string();
        let scan = LogicalPlanBuilder::scan(TableReference::bare(scan_name.clone()), provider_as_source(table), None);
        let scan = scan.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?;
        let query = reproject_scan(scan, &scan_name, &given)?;
        Ok(Cte { name, query, gives_rows: true, depth })
    }

    /// `WITH RECURSIVE name AS (anchor UNION [ALL] step)`.
    fn bind_recursive(
        &mut self,
        name: &str,
        aliases: &[ast::TableAliasColumnDef],
        query: &ast::Query,
    ) -> Result<BoundQuery> {
        let (left, right, distinct) = recursive_parts(name, query)?;
        let mut anchor = self.bind_set_operand(left)?;
        for column in &mut anchor.columns {
            column.value = as_recursive(self.settle(column.value.clone())?);
        }
        rename(name, &mut anchor, aliases)?;
        let anchor = reproject(anchor)?;

        let work_name = self.unique_qualifier(name).to_string();
        let fields = anchor
            .columns
            .iter()
            .map(|column| Field::new(internal_name(&column.value), column.value.arrow.clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let work_table = Arc::new(CteWorkTable::new(&work_name, schema));
        let scan =
            LogicalPlanBuilder::scan(TableReference::bare(work_name.clone()), provider_as_source(work_table), None);
        let scan = scan.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?;
        let reference = reproject_scan(scan, &work_name, &anchor)?;

        self.ctes.push(Cte { name: name.to_owned(), query: reference, gives_rows: true, depth: self.levels.len() });
        let step = self.bind_set_operand(right);
        self.ctes.pop();
        let step = self.coerce_recursive_step(name, &anchor, step?)?;
        let plan = LogicalPlanBuilder::new(anchor.plan).to_recursive_query(work_name, step, distinct);
        let plan = plan.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?;
        Ok(BoundQuery { plan, columns: anchor.columns })
    }

    /// The step's columns must have the anchor's types already (42804), as in PostgreSQL.
    fn coerce_recursive_step(
        &mut self,
        name: &str,
        anchor: &BoundQuery,
        step: BoundQuery,
    ) -> Result<datafusion::logical_expr::LogicalPlan> {
        if anchor.columns.len() != step.columns.len() {
            let message = "each UNION query must have the same number of columns";
            return Err(Error::syntax(message));
        }
        let mut items = Vec::with_capacity(step.columns.len());
        for (at, (to, from)) in anchor.columns.iter().zip(step.columns).enumerate() {
            let from_type = from.value.sql_type.clone();
            let kind = crate::func::CastKind::Implicit;
            let value = self.coerce(from.value, &to.value.sql_type, kind).map_err(|_| {
                let message = format!(
                    "recursive query \"{name}\" column {} has type {} in non-recursive term but type {} overall",
                    at + 1,
                    to.value.sql_type.name(),
                    from_type.name()
                );
                Error::invalid(SqlState::DATATYPE_MISMATCH, message)
                    .with_hint("Cast the output of the non-recursive term to the correct type.")
            })?;
            let value = as_recursive(value);
            items.push(Item { name: internal_name(&to.value).to_owned(), value, origin: None });
        }
        Ok(plan::project(step.plan, &items)?.plan)
    }
}

/// A numeric grows from step to step: digits the first rows have are no bound.
fn as_recursive(value: Typed) -> Typed {
    if value.sql_type == SqlType::Numeric(None) { crate::func::to_numeric_bytes(value) } else { value }
}

fn rename(name: &str, query: &mut BoundQuery, aliases: &[ast::TableAliasColumnDef]) -> Result<()> {
    let names = query.columns.iter().map(|column| column.name.clone()).collect();
    for (column, name) in query.columns.iter_mut().zip(alias_columns(name, names, aliases)?) {
        column.name = name;
    }
    Ok(())
}

/// The same columns under internal names taken from their SQL names.
fn reproject(query: BoundQuery) -> Result<BoundQuery> {
    let items: Vec<_> = query.columns.into_iter().map(as_item).collect();
    plan::project(query.plan, &items)
}

fn as_item(column: OutputColumn) -> Item {
    Item { name: column.name, value: column.value, origin: column.origin }
}

/// The working table as a query with the anchor's columns.
fn reproject_scan(
    scan: datafusion::logical_expr::LogicalPlan,
    work_name: &str,
    anchor: &BoundQuery,
) -> Result<BoundQuery> {
    let qualifier = TableReference::bare(work_name.to_owned());
    let item = |column: &OutputColumn| {
        let mut value = column.value.clone();
        let column_ref = datafusion::common::Column::new(Some(qualifier.clone()), internal_name(&column.value));
        value.expr = datafusion::logical_expr::Expr::Column(column_ref);
        Item { name: column.name.clone(), value, origin: None }
    };
    let items: Vec<_> = anchor.columns.iter().map(item).collect();
    plan::project(scan, &items)
}

fn recursive_parts<'q>(name: &str, query: &'q ast::Query) -> Result<(&'q SetExpr, &'q SetExpr, bool)> {
    let not_union = || {
        let message =
            format!("recursive query \"{name}\" does not have the form non-recursive-term UNION [ALL] recursive-term");
        Error::invalid(SqlState::INVALID_RECURSION, message)
    };
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
    refuse(with.is_some(), "WITH inside a recursive query")?;
    refuse(order_by.is_some(), "ORDER BY in a recursive query")?;
    refuse(limit_clause.is_some() || fetch.is_some(), "LIMIT in a recursive query")?;
    refuse(!locks.is_empty(), "FOR UPDATE in a recursive query")?;
    refuse(for_clause.is_some() || settings.is_some() || format_clause.is_some(), "this clause of a query")?;
    refuse(!pipe_operators.is_empty(), "|> operators")?;
    let SetExpr::SetOperation { left, op: SetOperator::Union, set_quantifier, right } = body.as_ref() else {
        return Err(not_union());
    };
    let distinct = match set_quantifier {
        SetQuantifier::All => false,
        SetQuantifier::None | SetQuantifier::Distinct => true,
        _ => return Err(Error::unsupported("UNION BY NAME")),
    };
    Ok((left, right, distinct))
}

fn is_write(body: &SetExpr) -> bool {
    matches!(body, SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_))
}

/// A query whose rows should be computed once, whatever the number of places that name it: where another run might give other
/// rows, or is not cheap. Others are better copied, for each place knows what it needs of them.
fn share(bound: BoundQuery, materialized: Option<ast::CteAsMaterialized>) -> DfResult<BoundQuery> {
    let mut copied = materialized == Some(ast::CteAsMaterialized::NotMaterialized);
    let mut dear = materialized == Some(ast::CteAsMaterialized::Materialized);
    let (mut volatile, mut limited, mut foreign) = (false, false, false);
    bound.plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            volatile |= expr.is_volatile();
            Ok(TreeNodeRecursion::Continue)
        })?;
        match node {
            LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_) | LogicalPlan::Window(_) => dear = true,
            LogicalPlan::RecursiveQuery(_) => dear = true,
            LogicalPlan::Limit(_) => limited = true,
            _ => {}
        }
        foreign |= is_foreign(node)?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    // Rows that come in an order have it for whoever names them, which is lost where they are kept.
    copied |= !volatile && !limited && is_sorted(&bound.plan);
    copied |= foreign || !super::unnest::free_references(&bound.plan).is_empty();
    match (dear || limited) && !copied || volatile && !foreign {
        true => Ok(BoundQuery { plan: SharedNode::share(bound.plan), ..bound }),
        false => Ok(bound),
    }
}

/// Locks, rows that a part of the statement gives, and the rows so far of a recursive query around this one.
fn is_foreign(node: &LogicalPlan) -> DfResult<bool> {
    Ok(match node {
        LogicalPlan::Extension(extension) => {
            let node = extension.node.as_any();
            !node.is::<RowsNode>() && !node.is::<SharedNode>()
        }
        LogicalPlan::TableScan(scan) => {
            let table = source_as_provider(&scan.source)?;
            let table = table.as_ref() as &dyn std::any::Any;
            table.is::<CteWorkTable>() || table.is::<GivenTable>()
        }
        _ => false,
    })
}

/// Whether a plan's rows may be computed once for several places.
pub(super) fn can_be_kept(plan: &LogicalPlan) -> Result<bool> {
    let mut foreign = false;
    let walked = plan.apply_with_subqueries(|node| {
        foreign |= is_foreign(node)?;
        Ok(TreeNodeRecursion::Continue)
    });
    walked.map_err(plan::from_datafusion)?;
    Ok(!foreign && super::unnest::free_references(plan).is_empty())
}

fn is_sorted(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::Projection(projection) => is_sorted(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => is_sorted(&alias.input),
        LogicalPlan::Filter(filter) => is_sorted(&filter.input),
        LogicalPlan::Limit(limit) => is_sorted(&limit.input),
        _ => false,
    }
}

/// Whether a data-modifying query reads `name`, beside perhaps writing to a table of that name.
fn reads(query: &ast::Query, name: &str) -> bool {
    let target = match query.body.as_ref() {
        SetExpr::Insert(ast::Statement::Insert(insert)) => insert.table.to_string(),
        SetExpr::Update(ast::Statement::Update(update)) => update.table.relation.to_string(),
        SetExpr::Delete(ast::Statement::Delete(delete)) => match &delete.from {
            ast::FromTable::WithFromKeyword(from) | ast::FromTable::WithoutKeyword(from) => {
                from.first().map(|from| from.relation.to_string()).unwrap_or_default()
            }
        },
        _ => String::new(),
    };
    let target = target.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    times_named(query, name) > usize::from(target == name)
}

/// How often a query's text names `name` as a table.
fn times_named(query: &ast::Query, name: &str) -> usize {
    let mut named = 0;
    let _: std::ops::ControlFlow<()> = ast::visit_relations(query, |relation| {
        named += usize::from(matches!(super::names::object_name(relation), Ok((None, table)) if table == name));
        std::ops::ControlFlow::Continue(())
    });
    named
}

/// Whether a query's text names `name` as a table anywhere.
fn names_itself(query: &ast::Query, name: &str) -> bool {
    let found = ast::visit_relations(query, |relation| match super::names::object_name(relation) {
        Ok((None, table)) if table == name => std::ops::ControlFlow::Break(()),
        _ => std::ops::ControlFlow::Continue(()),
    });
    found.is_break()
}
