//! FROM items: tables, views, WITH queries, subqueries, functions, joins.

use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use heliosdb_types::{Error, Result};
use sqlparser::ast::{self, TableFactor};

use super::binder::{Binder, BoundQuery, alias_columns};
use super::names::{fold_identifier, object_name, object_name_span};
use super::plan::{self, from_datafusion, internal_name, one_row};
use super::scope::{Clause, Scope, ScopeColumn, ScopeRelation, column_value};
use super::table_function::function_factor;
use super::unnest::free_references;

/// A FROM item or clause: its rows and what its names mean.
pub(super) struct FromItem {
    pub plan: LogicalPlan,
    pub scope: Scope,
}

impl Binder<'_> {
    /// FROM a, b JOIN c ...; no FROM at all is one row of no columns.
    pub fn bind_from(&mut self, from: &[ast::TableWithJoins]) -> Result<FromItem> {
        let mut items = from.iter();
        let Some(first) = items.next() else {
            return Ok(FromItem { plan: one_row(), scope: Scope::default() });
        };
        let mut all = self.bind_table_with_joins(first)?;
        for item in items {
            // A function sees the items before it.
            if let Some(function) = function_factor(&item.relation)?.filter(|_| item.joins.is_empty()) {
                all = match self.bind_function_beside(all, &function, false)? {
                    Ok(joined) => joined,
                    Err((left, right)) => cross_join(left, right)?,
                };
                continue;
            }
            if has_lateral(item) {
                all = self.bind_beside(all, item)?;
                continue;
            }
            let next = self.bind_table_with_joins(item)?;
            all = cross_join(all, next)?;
        }
        Ok(all)
    }

    pub fn bind_table_with_joins(&mut self, item: &ast::TableWithJoins) -> Result<FromItem> {
        let ast::TableWithJoins { relation, joins } = item;
        let mut left = self.bind_table_factor(relation)?;
        for join in joins {
            left = self.bind_join(left, join)?;
        }
        Ok(left)
    }

    /// An item with a LATERAL subquery somewhere, which sees the items before it: its joins are made one by one behind them.
    fn bind_beside(&mut self, before: FromItem, item: &ast::TableWithJoins) -> Result<FromItem> {
        let ast::TableWithJoins { relation, joins } = item;
        let first = ast::Join {
            relation: relation.clone(),
            global: false,
            join_operator: ast::JoinOperator::CrossJoin(ast::JoinConstraint::None),
        };
        let mut all = self.bind_join(before, &first)?;
        for join in joins {
            use ast::JoinOperator::{CrossJoin, Inner, Join, Left, LeftOuter};
            // Those that do not ask what stands left of them, beyond their condition.
            let one_by_one = match &join.join_operator {
                Join(on) | Inner(on) | Left(on) | LeftOuter(on) | CrossJoin(on) => {
                    !matches!(on, ast::JoinConstraint::Using(_) | ast::JoinConstraint::Natural)
                }
                _ => false,
            };
            refuse(!one_by_one, "this kind of join beside LATERAL, after a comma")?;
            all = self.bind_join(all, join)?;
        }
        Ok(all)
    }

    /// A LATERAL subquery after the items before it: these, the subquery, and whether it uses any of them.
    pub fn bind_lateral(
        &mut self,
        left: FromItem,
        subquery: &ast::Query,
        alias: Option<&ast::TableAlias>,
    ) -> Result<(FromItem, FromItem, bool)> {
        self.refuse_locked(&alias_parts(alias)?.0.unwrap_or_default(), "a subquery in FROM")?;
        let query = self.in_level(left.scope.clone(), Clause::FromFunction, |binder| binder.bind_subquery(subquery))?;
        let own = |reference: &Expr| matches!(reference, Expr::OuterReferenceColumn(_, column) if left.plan.schema().has_column(column));
        let depends = free_references(&query.plan).iter().any(own);
        let right = self.bind_derived(query, alias, "unnamed_subquery")?;
        Ok((left, right, depends))
    }

    pub fn bind_table_factor(&mut self, factor: &TableFactor) -> Result<FromItem> {
        if let Some(function) = function_factor(factor)? {
            return self.bind_function_factor(&function);
        }
        if let Some(item) = self.bind_file_factor(factor)? {
            return Ok(item);
        }
        match factor {
            TableFactor::Table {
                name,
                alias,
                args,
                with_hints,
                version,
                with_ordinality,
                partitions,
                json_path,
                sample,
                index_hints,
            } => {
                refuse(!with_hints.is_empty(), "WITH (hints)")?;
                refuse(version.is_some(), "a table version (AS OF)")?;
                refuse(!partitions.is_empty(), "PARTITION in FROM")?;
                refuse(json_path.is_some(), "a JSON path in FROM")?;
                refuse(sample.is_some(), "TABLESAMPLE")?;
                refuse(!index_hints.is_empty(), "index hints")?;
                refuse(args.is_some(), "this call in FROM")?;
                refuse(*with_ordinality, "WITH ORDINALITY of a table")?;
                self.bind_named_relation(name, alias.as_ref())
            }
            TableFactor::Derived { lateral, subquery, alias, sample } => {
                // Without items before it there is nothing that LATERAL could add.
                let _ = lateral;
                refuse(sample.is_some(), "TABLESAMPLE")?;
                self.refuse_locked(&alias_parts(alias.as_ref())?.0.unwrap_or_default(), "a subquery in FROM")?;
                let query = self.bind_subquery(subquery)?;
                self.bind_derived(query, alias.as_ref(), "unnamed_subquery")
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                let inner = self.bind_table_with_joins(table_with_joins)?;
                match alias {
                    Some(alias) => alias_join(inner, alias),
                    None => Ok(inner),
                }
            }
            TableFactor::TableFunction { .. } => Err(Error::unsupported("TABLE(...) in FROM")),
            TableFactor::Function { .. } | TableFactor::UNNEST { .. } => {
                Err(Error::internal("functions in FROM are bound before"))
            }
            TableFactor::JsonTable { .. } | TableFactor::OpenJsonTable { .. } => Err(Error::unsupported("JSON_TABLE")),
            TableFactor::Pivot { .. } => Err(Error::unsupported("PIVOT")),
            TableFactor::Unpivot { .. } => Err(Error::unsupported("UNPIVOT")),
            TableFactor::MatchRecognize { .. } => Err(Error::unsupported("MATCH_RECOGNIZE")),
            TableFactor::XmlTable { .. } => Err(Error::unsupported("XMLTABLE")),
            TableFactor::SemanticView { .. } => Err(Error::unsupported("SEMANTIC_VIEW")),
        }
    }

    fn bind_named_relation(&mut self, name: &ast::ObjectName, alias: Option<&ast::TableAlias>) -> Result<FromItem> {
        let (schema, table) = object_name(name)?;
        if schema.is_none()
            && let Some(query) = self.cte_reference(&table, object_name_span(name))?
        {
            return self.bind_derived(query, alias, &table);
        }
        let relation = self.resolve_relation(name)?;
        self.bind_relation(&relation, schema_of(alias, schema), alias)
    }

    /// A query as a FROM item: its columns under one qualifier.
    pub fn bind_derived(
        &mut self,
        query: BoundQuery,
        alias: Option<&ast::TableAlias>,
        default_name: &str,
    ) -> Result<FromItem> {
        let (name, column_aliases) = alias_parts(alias)?;
        let name = name.unwrap_or_else(|| default_name.to_owned());
        let qualifier = self.unique_qualifier(&name);
        let names = query.columns.iter().map(|column| column.name.clone()).collect();
        let names = alias_columns(&name, names, column_aliases)?;
        let mut columns = Vec::with_capacity(names.len());
        for (column, name) in query.columns.iter().zip(names) {
            let mut value = column_value(Some(&qualifier), internal_name(&column.value), column.value.sql_type.clone());
            value.arrow = column.value.arrow.clone();
            columns.push(ScopeColumn { name, value, origin: column.origin });
        }
        let plan = plan::alias(query.plan, qualifier)?;
        let scope = Scope::of(ScopeRelation { name, schema: None, columns, table: None, row: Default::default() });
        Ok(FromItem { plan, scope })
    }
}

/// Whether an item, or one joined to it, is a LATERAL subquery.
fn has_lateral(item: &ast::TableWithJoins) -> bool {
    let lateral = |factor: &TableFactor| matches!(factor, TableFactor::Derived { lateral: true, .. });
    lateral(&item.relation) || item.joins.iter().any(|join| lateral(&join.relation))
}

pub(super) fn cross_join(left: FromItem, right: FromItem) -> Result<FromItem> {
    let mut scope = left.scope;
    scope.extend(right.scope)?;
    let plan = plan::builder(left.plan).cross_join(right.plan);
    let plan = plan.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?;
    Ok(FromItem { plan, scope })
}

/// `(a JOIN b ...) AS j`: the alias hides the names inside.
fn alias_join(inner: FromItem, alias: &ast::TableAlias) -> Result<FromItem> {
    let (name, column_aliases) = alias_parts(Some(alias))?;
    let name = name.unwrap_or_default();
    let mut columns = inner.scope.visible;
    let names = columns.iter().map(|column| column.name.clone()).collect();
    for (column, name) in columns.iter_mut().zip(alias_columns(&name, names, column_aliases)?) {
        column.name = name;
    }
    let relation = ScopeRelation { name, schema: None, columns, table: None, row: Default::default() };
    Ok(FromItem { plan: inner.plan, scope: Scope::of(relation) })
}

/// The alias name, if any, and its column list.
pub(super) fn alias_parts(alias: Option<&ast::TableAlias>) -> Result<(Option<String>, &[ast::TableAliasColumnDef])> {
    let Some(ast::TableAlias { explicit: _, name, columns, at }) = alias else { return Ok((None, &[])) };
    refuse(at.is_some(), "AT in a table alias")?;
    super::names::no_text(name)?;
    Ok((Some(fold_identifier(name)), columns))
}

/// An aliased table can no longer be named with its schema.
fn schema_of(alias: Option<&ast::TableAlias>, schema: Option<String>) -> Option<String> {
    if alias.is_some() { None } else { schema }
}

pub(super) fn refuse(present: bool, what: &str) -> Result<()> {
    if present { Err(Error::unsupported(what)) } else { Ok(()) }
}
