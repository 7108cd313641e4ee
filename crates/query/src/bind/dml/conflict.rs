//! INSERT ... ON CONFLICT.

use std::sync::Arc;

use arrow_schema::{Field, Schema};
use datafusion::common::{Column, DFSchema, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, lit};
use heliosdb_types::{Error, Result, SqlState};
use sqlparser::ast;

use super::inference::deferrable_arbiter;
use crate::bind::binder::Binder;
use crate::bind::names::object_name;
use crate::bind::params::arrow_of;
use crate::bind::plan::from_datafusion;
use crate::bind::scope::{Clause, Origin, Scope, ScopeColumn, ScopeRelation, column_value};
use crate::bind::subquery::has_subquery;
use crate::bind::tokens::inference_text;
use crate::catalog::{IndexState, Relation, TableInfo};
use crate::exec::{Arbiter, ConflictProgram, ConflictUpdate, ConflictWrite, GivenTable};

/// What the row proposed for insertion is called.
const EXCLUDED: &str = "excluded";
/// Numbers under which rows wait for programs begin here; those of WITH queries are below.
const PROGRAMS: usize = 1 << 31;

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
            Some(target) => self.arbiters_of(relation, table, target)?,
            None => match table.indexes.iter().find(|index| index.deferrable.is_some()) {
                Some(index) => return Err(deferrable_arbiter(index)),
                None => every_arbiter(table),
            },
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
        let program = match predicate.iter().chain(&new_row).any(has_subquery) {
            true => Some(self.conflict_program(&schema, predicate.clone(), new_row.clone())?),
            false => None,
        };
        let (predicate, new_row) = if program.is_some() { (None, Vec::new()) } else { (predicate, new_row) };
        Ok(ConflictUpdate { predicate, new_row, schema: Arc::new(schema), program })
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
    let indexes = table.indexes.iter().filter(|index| index.unique && index.state != IndexState::Dead);
    primary.chain(indexes.map(|index| Arbiter::Index(index.oid))).collect()
}

impl Binder<'_> {
    fn arbiters_of(
        &mut self,
        relation: &Arc<Relation>,
        table: &TableInfo,
        target: &ast::ConflictTarget,
    ) -> Result<Vec<Arbiter>> {
        let name = match target {
            ast::ConflictTarget::Columns(columns) => return self.arbiters_of_columns(relation, table, columns),
            ast::ConflictTarget::OnConstraint(name) => name,
        };
        if let Some((from, text)) = inference_text(name) {
            return self.arbiters_of_text(relation, table, from, text);
        }
        let (_, name) = object_name(name)?;
        if table.primary_key.as_ref().is_some_and(|key| key.name == name) {
            return Ok(vec![Arbiter::PrimaryKey]);
        }
        let named = |index: &crate::catalog::IndexInfo| index.constraint.is_some() && index.name == name;
        match table.indexes.iter().find(|index| named(index)) {
            Some(index) if index.deferrable.is_some() => Err(deferrable_arbiter(index)),
            Some(index) => Ok(vec![Arbiter::Index(index.oid)]),
            None => {
                let message = format!("constraint \"{name}\" for table \"{}\" does not exist", relation.name);
                Err(Error::invalid(SqlState::UNDEFINED_OBJECT, message))
            }
        }
    }

    /// DO UPDATE with subqueries as a plan over the two rows, which the executor runs for each row that is there.
    fn conflict_program(
        &mut self,
        schema: &DFSchema,
        predicate: Option<Expr>,
        new_row: Vec<Expr>,
    ) -> Result<ConflictProgram> {
        self.computed += 1;
        let number = PROGRAMS + self.computed;
        let fields = schema.fields().iter().enumerate();
        let fields = fields.map(|(at, field)| Field::new(format!("c{at}"), field.data_type().clone(), true));
        let given = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let table = provider_as_source(Arc::new(GivenTable::new(number, Arc::clone(&given))));
        let qualifier = self.unique_qualifier("conflict");
        let scan = LogicalPlanBuilder::scan(qualifier.clone(), table, None);
        let named = schema.columns().into_iter().enumerate().map(|(at, column)| {
            Expr::Column(Column::new(Some(qualifier.clone()), format!("c{at}")))
                .alias_qualified(column.relation, column.name)
        });
        let rows = scan.and_then(|scan| scan.project(named.collect::<Vec<_>>())).map_err(from_datafusion)?;
        let mut values = vec![predicate.unwrap_or_else(|| lit(true)).alias("wanted")];
        values.extend(new_row.into_iter().enumerate().map(|(at, value)| value.alias(format!("v{at}"))));
        let plan = rows.project(values).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?;
        Ok(ConflictProgram { number, schema: given, plan: crate::bind::decorrelated(plan)? })
    }
}
