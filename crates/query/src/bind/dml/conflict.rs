//! INSERT ... ON CONFLICT.

use std::sync::Arc;

use arrow_schema::Field;
use datafusion::common::{DFSchema, TableReference};
use datafusion::logical_expr::Expr;
use heliosdb_types::{Error, Result, SqlState};
use sqlparser::ast;

use crate::bind::binder::Binder;
use crate::bind::names::{fold_identifier, object_name};
use crate::bind::params::arrow_of;
use crate::bind::plan::from_datafusion;
use crate::bind::scope::{Clause, Origin, Scope, ScopeColumn, ScopeRelation, column_value};
use crate::catalog::{Relation, TableInfo};
use crate::exec::{Arbiter, ConflictUpdate, ConflictWrite};

/// What the row proposed for insertion is called.
const EXCLUDED: &str = "excluded";

impl Binder<'_> {
    pub(super) fn bind_conflict(
        &mut self,
        relation: &Arc<Relation>,
        target_name: &str,
        on: &ast::OnInsert,
    ) -> Result<ConflictWrite> {
        let ast::OnInsert::OnConflict(ast::OnConflict { conflict_target, action }) = on else {
            return Err(Error::unsupported("ON DUPLICATE KEY UPDATE").with_hint("Use ON CONFLICT ... DO UPDATE."));
        };
        let table = relation.table().ok_or_else(|| Error::internal("an INSERT into no table"))?;
        let arbiters = match conflict_target {
            Some(target) => arbiters_of(relation, table, target)?,
            None => every_arbiter(table),
        };
        let update = match action {
            ast::OnConflictAction::DoNothing => None,
            ast::OnConflictAction::DoUpdate(_) if conflict_target.is_none() => {
                return Err(Error::syntax("ON CONFLICT DO UPDATE requires inference specification or constraint name")
                    .with_hint("For example, ON CONFLICT (column_name)."));
            }
            ast::OnConflictAction::DoUpdate(update) => {
                Some(self.bind_conflict_update(relation, target_name, update)?)
            }
        };
        Ok(ConflictWrite { arbiters, update })
    }

    fn bind_conflict_update(
        &mut self,
        relation: &Arc<Relation>,
        target_name: &str,
        update: &ast::DoUpdate,
    ) -> Result<ConflictUpdate> {
        let ast::DoUpdate { assignments, selection } = update;
        let (target, excluded) = (self.unique_qualifier(target_name), self.unique_qualifier(EXCLUDED));
        let mut scope = Scope::of(row_of(relation, target_name, &target));
        scope.extend(Scope::of(row_of(relation, EXCLUDED, &excluded)))?;
        let mut fields: Vec<(Option<TableReference>, Arc<Field>)> = Vec::new();
        for qualifier in [&target, &excluded] {
            for column in &relation.columns {
                let field = Field::new(&column.name, arrow_of(&column.sql_type), true);
                fields.push((Some(qualifier.clone()), Arc::new(field)));
            }
        }
        let schema = DFSchema::new_with_metadata(fields, Default::default()).map_err(from_datafusion)?;
        let (predicate, new_row) = self.in_level(scope, Clause::RowWhere, |binder| {
            let predicate = match selection {
                Some(condition) => Some(binder.bind_condition(condition, "WHERE")?.expr),
                None => None,
            };
            binder.level().clause = Clause::Set;
            Ok((predicate, binder.bind_assignments(relation, assignments)?))
        })?;
        use datafusion::common::tree_node::TreeNode;
        let subquery = |expr: &Expr| matches!(expr, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_));
        for expr in predicate.iter().chain(&new_row) {
            if expr.exists(|part| Ok(subquery(part))).map_err(from_datafusion)? {
                return Err(Error::unsupported("a subquery in ON CONFLICT DO UPDATE")
                    .with_hint("Compute the value in the INSERT's SELECT and use it as EXCLUDED's."));
            }
        }
        Ok(ConflictUpdate { predicate, new_row, schema: Arc::new(schema) })
    }
}

fn row_of(relation: &Arc<Relation>, name: &str, qualifier: &TableReference) -> ScopeRelation {
    let column = |column: &crate::catalog::Column| ScopeColumn {
        name: column.name.clone(),
        value: column_value(Some(qualifier), &column.name, column.sql_type.clone()),
        origin: Some(Origin { relation: relation.oid, attribute: column.attribute }),
    };
    ScopeRelation {
        name: name.to_owned(),
        schema: None,
        columns: relation.columns.iter().map(column).collect(),
        table: Some(Arc::clone(relation)),
        row: Default::default(),
    }
}

/// Everything that makes rows unique.
fn every_arbiter(table: &TableInfo) -> Vec<Arbiter> {
    let primary = table.primary_key.iter().map(|_| Arbiter::PrimaryKey);
    let indexes = table.indexes.iter().enumerate().filter(|(_, index)| index.unique);
    primary.chain(indexes.map(|(at, _)| Arbiter::Index(at))).collect()
}

fn arbiters_of(relation: &Relation, table: &TableInfo, target: &ast::ConflictTarget) -> Result<Vec<Arbiter>> {
    match target {
        ast::ConflictTarget::Columns(columns) => {
            let mut attributes = Vec::with_capacity(columns.len());
            for column in columns {
                let name = fold_identifier(column);
                let Some((_, column)) = relation.column(&name) else {
                    let message = format!("column \"{name}\" does not exist");
                    return Err(Error::invalid(SqlState::UNDEFINED_COLUMN, message));
                };
                attributes.push(column.attribute);
            }
            let same = |key: &[i16]| {
                key.iter().all(|one| attributes.contains(one)) && attributes.iter().all(|one| key.contains(one))
            };
            let mut found = Vec::new();
            if table.primary_key.as_ref().is_some_and(|key| same(&key.attributes)) {
                found.push(Arbiter::PrimaryKey);
            }
            for (at, index) in table.indexes.iter().enumerate() {
                let whole = index.unique && index.predicate.is_none() && index.state.is_valid();
                if whole && index.key_attributes().is_some_and(|key| same(&key)) {
                    found.push(Arbiter::Index(at));
                }
            }
            if found.is_empty() {
                let message = "there is no unique or exclusion constraint matching the ON CONFLICT specification";
                return Err(Error::invalid(SqlState::INVALID_COLUMN_REFERENCE, message));
            }
            Ok(found)
        }
        ast::ConflictTarget::OnConstraint(name) => {
            let (_, name) = object_name(name)?;
            if table.primary_key.as_ref().is_some_and(|key| key.name == name) {
                return Ok(vec![Arbiter::PrimaryKey]);
            }
            let named = |index: &crate::catalog::IndexInfo| index.constraint.is_some() && index.name == name;
            match table.indexes.iter().position(named) {
                Some(at) => Ok(vec![Arbiter::Index(at)]),
                None => {
                    let message = format!("constraint \"{name}\" for table \"{}\" does not exist", relation.name);
                    Err(Error::invalid(SqlState::UNDEFINED_OBJECT, message))
                }
            }
        }
    }
}
