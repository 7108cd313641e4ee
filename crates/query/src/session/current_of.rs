//! UPDATE and DELETE ... WHERE CURRENT OF: the row a cursor stands on.
//!
//! A cursor that may be asked for its row reads the primary keys of its tables too, as columns nobody is shown: of the one table
//! a plain query reads, or of those FOR UPDATE and its kin lock. WHERE CURRENT OF then means the row with that key, as it is
//! now: changed by others or by the transaction itself meanwhile, it is still the same row.

use std::sync::Arc;

use arrow_array::RecordBatch;
use heliosdb_contracts::{Execution, ResultColumn, datum_at};
use heliosdb_types::{Datum, Error, Oid, PhysicalType, Result, SqlState, SqlType, text_of};
use sqlparser::ast;

use super::Session;
use super::statement::{Parsed, PreparedStatement};
use crate::bind;
use crate::catalog::{CatalogSnapshot, Relation, RelationKind};

/// The key of a table among a cursor's columns.
#[derive(Clone, Debug)]
pub(super) struct CursorKey {
    table: Oid,
    /// Name, type and place of each of its columns.
    columns: Vec<(String, SqlType, usize)>,
}

/// What a cursor knows of the rows it stands on.
#[derive(Clone, Debug, Default)]
pub(super) struct CursorRows {
    keys: Vec<CursorKey>,
    /// Tables it reads that have no primary key.
    keyless: Vec<Oid>,
    /// It has FOR UPDATE or the like.
    locks: bool,
    /// Columns its client sees.
    pub visible: usize,
}

impl CursorRows {
    /// Of a query that stands on no table's rows.
    pub fn none(visible: usize, locks: bool) -> CursorRows {
        CursorRows { visible, locks, ..CursorRows::default() }
    }
}

/// The query with its tables' keys at the end of its list, and where; `None` if it stands on no table's rows.
pub(super) fn with_keys(
    query: &ast::Statement,
    resolve: &dyn Fn(&ast::ObjectName) -> Option<Arc<Relation>>,
) -> Option<(ast::Statement, CursorRows)> {
    let ast::Statement::Query(query) = query else { return None };
    if query.with.is_some() {
        return None;
    }
    let mut query = query.clone();
    let locks = !query.locks.is_empty();
    let wanted: Vec<Vec<String>> = query.locks.iter().map(bind::locked_names).collect();
    let ast::SetExpr::Select(select) = &mut *query.body else { return None };
    let plain = select.distinct.is_none()
        && select.having.is_none()
        && matches!(&select.group_by, ast::GroupByExpr::Expressions(exprs, _) if exprs.is_empty());
    if !plain {
        return None;
    }
    let mut factors = Vec::new();
    for item in &select.from {
        factors.push(&item.relation);
        factors.extend(item.joins.iter().map(|join| &join.relation));
    }
    if !locks && factors.len() != 1 {
        return None;
    }
    let mut rows = CursorRows { locks, ..CursorRows::default() };
    let mut hidden = Vec::new();
    for factor in factors {
        let ast::TableFactor::Table { name, alias, args: None, .. } = factor else { continue };
        let Some(relation) = resolve(name) else { continue };
        let Some(table) = relation.table().filter(|table| !table.tree.tree.is_system()) else { continue };
        let called = match alias {
            Some(alias) if alias.columns.is_empty() => alias.name.clone(),
            // Its columns have other names there.
            Some(_) => continue,
            None => ast::Ident::with_quote('"', relation.name.clone()),
        };
        let name = bind::fold_identifier(&called);
        if locks && !wanted.iter().any(|of| of.is_empty() || of.contains(&name)) {
            continue;
        }
        let Some(key) = &table.primary_key else {
            rows.keyless.push(relation.oid);
            continue;
        };
        let column = |attribute: &i16| relation.columns.iter().find(|column| column.attribute == *attribute);
        let mut columns = Vec::new();
        for column in key.attributes.iter().filter_map(column) {
            columns.push((column.name.clone(), column.sql_type.clone(), hidden.len()));
            let parts = vec![called.clone(), ast::Ident::with_quote('"', column.name.clone())];
            hidden.push(ast::SelectItem::UnnamedExpr(ast::Expr::CompoundIdentifier(parts)));
        }
        rows.keys.push(CursorKey { table: relation.oid, columns });
    }
    if rows.keys.is_empty() && rows.keyless.is_empty() {
        return None;
    }
    select.projection.extend(hidden);
    Some((ast::Statement::Query(query), rows))
}

impl CursorRows {
    /// Now that the whole list is known.
    pub fn settle(&mut self, columns: &[ResultColumn]) {
        let hidden: usize = self.keys.iter().map(|key| key.columns.len()).sum();
        self.visible = columns.len().saturating_sub(hidden);
        for (_, _, at) in self.keys.iter_mut().flat_map(|key| &mut key.columns) {
            *at += self.visible;
        }
    }

    /// The key of the table's row under the cursor.
    fn key_of(&self, cursor: &str, relation: &Relation) -> Result<&CursorKey> {
        let (oid, table) = (relation.oid, &relation.name);
        let state = |message: String| Err(Error::invalid(SqlState::INVALID_CURSOR_STATE, message));
        let mut keys = self.keys.iter().filter(|key| key.table == oid);
        match (keys.next(), keys.next()) {
            (Some(_), Some(_)) => {
                state(format!("cursor \"{cursor}\" has multiple FOR UPDATE/SHARE references to table \"{table}\""))
            }
            (Some(key), None) => Ok(key),
            _ if self.keyless.contains(&oid) => {
                let error = Error::unsupported("WHERE CURRENT OF a row of a table without a primary key");
                Err(error.with_hint("Give the table a primary key that is not DEFERRABLE."))
            }
            _ if self.locks => {
                state(format!("cursor \"{cursor}\" does not have a FOR UPDATE/SHARE reference to table \"{table}\""))
            }
            _ => state(format!("cursor \"{cursor}\" is not a simply updatable scan of table \"{table}\"")),
        }
    }
}

/// The table a statement changes, and what it is called there.
fn target(statement: &ast::Statement) -> Option<(&ast::ObjectName, Option<&ast::TableAlias>)> {
    let factor = match statement {
        ast::Statement::Update(update) => &update.table.relation,
        ast::Statement::Delete(delete) => match &delete.from {
            ast::FromTable::WithFromKeyword(from) | ast::FromTable::WithoutKeyword(from) => &from.first()?.relation,
        },
        _ => return None,
    };
    match factor {
        ast::TableFactor::Table { name, alias, .. } => Some((name, alias.as_ref())),
        _ => None,
    }
}

impl Session {
    /// Columns and parameters of a statement about a cursor's row.
    pub(super) fn describe_current_of(
        &mut self,
        statement: &ast::Statement,
        outer: &PreparedStatement,
    ) -> Result<(Vec<SqlType>, Option<Vec<ResultColumn>>)> {
        self.refuse_view(statement)?;
        let plan = self.bound(&inner(statement.clone(), outer))?;
        let bound = &plan.bound;
        Ok((bound.parameters.clone(), bound.columns.clone()))
    }

    fn refuse_view(&mut self, statement: &ast::Statement) -> Result<()> {
        let Some((name, _)) = target(statement) else { return Ok(()) };
        let catalog = self.catalog()?;
        match self.named_table(&catalog, name) {
            Ok(found) if matches!(found.kind, RelationKind::View(_)) => {
                let message = "WHERE CURRENT OF on a view is not implemented";
                Err(Error::invalid(SqlState::FEATURE_NOT_SUPPORTED, message))
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn change_current_of(
        &mut self,
        statement: &ast::Statement,
        cursor: &str,
        outer: &PreparedStatement,
        parameters: Vec<Datum>,
    ) -> Result<Execution> {
        let mut statement = statement.clone();
        self.refuse_view(&statement)?;
        // What is wrong with the statement itself comes first.
        self.bound(&inner(statement.clone(), outer))?;
        let condition = {
            let catalog = self.catalog()?;
            let (name, alias) = target(&statement).ok_or_else(|| Error::unsupported("WHERE CURRENT OF here"))?;
            let relation = self.named_table(&catalog, name)?;
            let called = alias.map_or_else(|| ast::Ident::with_quote('"', relation.name.clone()), |a| a.name.clone());
            let context = self.text_context();
            let (rows, current) = self.cursor_row(cursor)?;
            let key = rows.key_of(cursor, &relation)?;
            let current = current.ok_or_else(|| {
                let message = format!("cursor \"{cursor}\" is not positioned on a row");
                Error::invalid(SqlState::INVALID_CURSOR_STATE, message)
            })?;
            let mut condition: Option<ast::Expr> = None;
            for (name, sql_type, at) in &key.columns {
                let array = current.columns().get(*at).ok_or_else(|| Error::internal("a cursor without its key"))?;
                let value = datum_at(array, 0, sql_type.physical().unwrap_or(PhysicalType::Text))?;
                let value = ast::Value::SingleQuotedString(text_of(value, sql_type, &context));
                let column = vec![called.clone(), ast::Ident::with_quote('"', name.clone())];
                let equal = ast::Expr::BinaryOp {
                    left: Box::new(ast::Expr::CompoundIdentifier(column)),
                    op: ast::BinaryOperator::Eq,
                    right: Box::new(ast::Expr::Value(value.into())),
                };
                condition = Some(match condition {
                    None => equal,
                    Some(before) => ast::Expr::BinaryOp {
                        left: Box::new(before),
                        op: ast::BinaryOperator::And,
                        right: Box::new(equal),
                    },
                });
            }
            condition
        };
        match &mut statement {
            ast::Statement::Update(update) => update.selection = condition,
            ast::Statement::Delete(delete) => delete.selection = condition,
            _ => return Err(Error::unsupported("WHERE CURRENT OF here")),
        }
        Box::pin(self.execute_prepared(&inner(statement, outer), parameters)).await
    }

    fn named_table(&self, catalog: &CatalogSnapshot, name: &ast::ObjectName) -> Result<Arc<Relation>> {
        let (schema, table) = bind::object_name(name)?;
        let path = self.settings.search_path(&self.user.name);
        let found = catalog.resolve(schema.as_deref(), &table, &path).cloned();
        found.ok_or_else(|| Error::invalid(SqlState::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist")))
    }

    /// A cursor's query with its tables' keys, if the session may read them; for queries that stand on rows.
    pub(super) fn keyed_query(
        &mut self,
        query: &ast::Statement,
        plain: &PreparedStatement,
    ) -> Result<Option<(PreparedStatement, CursorRows)>> {
        let catalog = self.catalog()?;
        let resolve = |name: &ast::ObjectName| self.named_table(&catalog, name).ok();
        let Some((query, mut rows)) = with_keys(query, &resolve) else { return Ok(None) };
        let keyed = inner(query, plain);
        // Aggregates and the like have no rows to stand on.
        let Ok(plan) = self.bound(&keyed) else { return Ok(None) };
        if self.check_privileges(&plan.bound).is_err() {
            return Ok(None);
        }
        rows.settle(plan.bound.columns.as_deref().unwrap_or(&[]));
        Ok(Some((keyed, rows)))
    }
}

fn inner(statement: ast::Statement, outer: &PreparedStatement) -> PreparedStatement {
    let mut inner = PreparedStatement::empty(Arc::clone(&outer.text));
    inner.parsed = Some(Arc::new(Parsed::Ast(Box::new(statement))));
    inner.declared = outer.declared.clone();
    inner.parameters = outer.parameters.clone();
    inner
}

/// A batch without what its client is not shown.
pub(super) fn shown(batch: RecordBatch, visible: usize) -> Result<RecordBatch> {
    if batch.num_columns() <= visible {
        return Ok(batch);
    }
    let places: Vec<usize> = (0..visible).collect();
    batch.project(&places).map_err(crate::exec::from_arrow)
}
