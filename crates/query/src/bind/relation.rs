//! Tables, views and catalog relations by name.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::DFSchema;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{EmptyRelation, LogicalPlan, LogicalPlanBuilder};
use heliosdb_types::{Error, Result, SqlState, SqlType};
use sqlparser::ast;

use super::binder::{Binder, BoundQuery, OutputColumn, alias_columns};
use super::from::{FromItem, alias_parts};
use super::names::{object_name, object_name_span};
use super::parse::{parse_query, too_deep};
use super::plan::from_datafusion;
use super::scope::{Origin, Scope, ScopeColumn, ScopeRelation, column_value};
use super::series::is_empty;
use crate::access::denied;
use crate::catalog::{Privileges, Relation, RelationKind, ViewInfo};
use crate::exec::{HeliosTable, needs_binding};

/// How a relation and its columns (by position) are called.
struct Seen {
    name: String,
    columns: Vec<(usize, String)>,
}

const VIEW_NESTING_MAX: usize = 100;

impl Binder<'_> {
    /// A relation by name through the search path; 42P01 when there is none.
    pub fn resolve_relation(&mut self, name: &ast::ObjectName) -> Result<Arc<Relation>> {
        let (schema, table) = object_name(name)?;
        if let Some(schema) = schema.as_deref().and_then(|schema| self.context.catalog.schema_named(schema))
            && self.as_role.is_none()
            && self.context.denied.contains(&schema.oid)
        {
            return Err(self.positions.mark(denied("schema", &schema.name), object_name_span(name)));
        }
        let known = self.view_names.iter().find(|known| known.schema == schema && known.name == table);
        let found = match known {
            // Inside a view a name stands for what it stood for when the view was made.
            Some(known) => self.context.catalog.relations.get(&known.relation).cloned(),
            None => self.context.catalog.resolve(schema.as_deref(), &table, &self.search_path).cloned(),
        };
        match found {
            Some(relation) => {
                self.relations.insert(relation.oid);
                Ok(relation)
            }
            None => {
                let full = schema.map_or_else(|| table.clone(), |schema| format!("{schema}.{table}"));
                let message = format!("relation \"{full}\" does not exist");
                Err(self.error_at(object_name_span(name), SqlState::UNDEFINED_TABLE, message))
            }
        }
    }

    pub fn bind_relation(
        &mut self,
        relation: &Arc<Relation>,
        schema: Option<String>,
        alias: Option<&ast::TableAlias>,
    ) -> Result<FromItem> {
        self.require(relation, Privileges::SELECT);
        match &relation.kind {
            RelationKind::Table(_) => {
                let provider = self.table_of(relation)?;
                let name = alias_parts(alias)?.0.unwrap_or_else(|| relation.name.clone());
                let Some(lock) = self.lock_of(&name) else {
                    return self.bind_provider(relation, Arc::new(provider), schema, alias);
                };
                let item = self.bind_provider(relation, Arc::new(provider.with_row_ref()), schema, alias)?;
                let qualifier = item.plan.schema().iter().find_map(|(qualifier, _)| qualifier.cloned());
                let qualifier = qualifier.ok_or_else(|| Error::internal("a table without a qualifier"))?;
                self.note_locked(relation, qualifier, lock);
                self.require(relation, Privileges::UPDATE);
                Ok(item)
            }
            RelationKind::Virtual(_) if self.lock_of(&relation.name).is_some() => {
                Err(Error::unsupported("FOR UPDATE of a catalog relation"))
            }
            RelationKind::Virtual(table) => self.bind_provider(relation, Arc::clone(&table.provider), schema, alias),
            RelationKind::View(view) => {
                self.refuse_locked(&alias_parts(alias)?.0.unwrap_or_else(|| relation.name.clone()), "a view")?;
                let mut item = self.bind_view(relation, view, alias)?;
                for relation in &mut item.scope.relations {
                    relation.schema.clone_from(&schema);
                }
                Ok(item)
            }
            RelationKind::Sequence(_) => {
                let oid = relation.oid.0;
                let sql = format!(
                    "SELECT pg_catalog.pg_helios_sequence_last({oid}::oid::regclass) AS last_value, 0::bigint AS log_cnt, \
                     pg_catalog.pg_helios_sequence_called({oid}::oid::regclass) AS is_called"
                );
                let positions = std::mem::take(&mut self.positions);
                let bound = self.bind_subquery(&*parse_query(&sql)?);
                self.positions = positions;
                self.bind_derived(bound?, alias, &relation.name)
            }
        }
    }

    /// A scan of a provider whose columns are the relation's, in order (a hidden row reference may follow them).
    pub fn bind_provider(
        &mut self,
        relation: &Arc<Relation>,
        provider: Arc<dyn TableProvider>,
        schema: Option<String>,
        alias: Option<&ast::TableAlias>,
    ) -> Result<FromItem> {
        let (alias_name, column_aliases) = alias_parts(alias)?;
        let seen = self.seen(relation);
        let name = alias_name.unwrap_or_else(|| seen.name.clone());
        let qualifier = self.unique_qualifier(&name);
        let names = seen.columns.iter().map(|(_, name)| name.clone()).collect();
        let names = alias_columns(&name, names, column_aliases)?;
        let fields = provider.schema();
        let mut columns = Vec::with_capacity(names.len());
        for ((at, _), name) in seen.columns.into_iter().zip(names) {
            let (Some(column), Some(field)) = (relation.columns.get(at), fields.fields().get(at)) else { continue };
            let sql_type = match &column.sql_type {
                SqlType::CatalogVector(element) => SqlType::Array(element.clone()),
                other => other.clone(),
            };
            let mut value = column_value(Some(&qualifier), field.name(), sql_type);
            value.arrow = field.data_type().clone();
            let origin = Some(Origin { relation: relation.oid, attribute: column.attribute });
            columns.push(ScopeColumn { name, value, origin });
        }
        let plan = if is_empty(&provider) {
            // Nothing comes from here, and the optimiser removes what would be done with it.
            let schema = DFSchema::try_from_qualified_schema(qualifier, &fields).map_err(from_datafusion)?;
            LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema: Arc::new(schema) })
        } else {
            let plan = LogicalPlanBuilder::scan(qualifier, provider_as_source(provider), None);
            plan.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?
        };
        let schema = match alias {
            Some(_) => None,
            None => schema.or_else(|| self.context.catalog.schemas.get(&relation.schema).map(|s| s.name.clone())),
        };
        let table = Some(Arc::clone(relation));
        Ok(FromItem { plan, scope: Scope::of(ScopeRelation { name, schema, columns, table, row: Default::default() }) })
    }

    /// A view's query, bound with the search path it was created with, as a FROM item.
    fn bind_view(
        &mut self,
        relation: &Arc<Relation>,
        view: &ViewInfo,
        alias: Option<&ast::TableAlias>,
    ) -> Result<FromItem> {
        if self.expanding.contains(&relation.oid) {
            let message = format!("infinite recursion detected in rules for relation \"{}\"", relation.name);
            return Err(Error::invalid(SqlState::INVALID_OBJECT_DEFINITION, message));
        }
        if self.expanding.len() >= VIEW_NESTING_MAX {
            return Err(too_deep());
        }
        let seen = self.seen(relation);
        let query = parse_query(&view.query)?;
        let names = std::mem::replace(&mut self.view_names, Arc::from(view.names.as_slice()));
        let path = std::mem::replace(&mut self.search_path, view.search_path.clone());
        let stored = std::mem::replace(&mut self.stored, true);
        let positions = std::mem::take(&mut self.positions);
        let ctes = std::mem::take(&mut self.ctes);
        let floor = std::mem::replace(&mut self.level_floor, self.levels.len());
        self.expanding.push(relation.oid);
        let as_role = self.as_role.replace(relation.owner);
        let bound = self.bind_subquery(&query);
        self.as_role = as_role;
        self.expanding.pop();
        (self.search_path, self.positions, self.ctes, self.level_floor) = (path, positions, ctes, floor);
        (self.view_names, self.stored) = (names, stored);
        let mut bound = bound.map_err(|error| error.context(format!("view \"{}\"", relation.name)))?;
        for (column, defined) in bound.columns.iter_mut().zip(&relation.columns) {
            column.name.clone_from(&defined.name);
            column.origin = Some(Origin { relation: relation.oid, attribute: defined.attribute });
        }
        let mut columns = Vec::with_capacity(seen.columns.len());
        for (at, name) in seen.columns {
            if let Some(column) = bound.columns.get(at) {
                columns.push(OutputColumn { name, ..column.clone() });
            }
        }
        self.bind_derived(BoundQuery { plan: bound.plan, columns }, alias, &seen.name)
    }

    /// A relation as what is bound now knows it: a view keeps the names and columns there were when it was made.
    fn seen(&self, relation: &Relation) -> Seen {
        match self.view_names.iter().find(|known| known.relation == relation.oid) {
            Some(known) => {
                let place = |(attribute, name): &(i16, String)| {
                    let at = relation.columns.iter().position(|column| column.attribute == *attribute)?;
                    Some((at, name.clone()))
                };
                Seen { name: known.name.clone(), columns: known.columns.iter().filter_map(place).collect() }
            }
            None => Seen {
                name: relation.name.clone(),
                columns: relation.columns.iter().map(|column| column.name.clone()).enumerate().collect(),
            },
        }
    }
}

impl Binder<'_> {
    /// A table with what its indexes are over.
    fn table_of(&self, relation: &Arc<Relation>) -> Result<HeliosTable> {
        let indexes = relation.table().map_or(&[][..], |table| &table.indexes);
        let wanted = indexes.iter().filter(|index| index.state.is_valid() && needs_binding(index));
        let bound = wanted.map(|index| super::bind_index(index, relation, self.context)).collect::<Result<Vec<_>>>()?;
        Ok(HeliosTable::new(Arc::clone(relation))?.with_indexes(&bound))
    }

    /// A table's scan with its hidden row reference as the last column, for UPDATE and DELETE.
    pub fn bind_target(&mut self, relation: &Arc<Relation>, alias: Option<&ast::TableAlias>) -> Result<FromItem> {
        let provider = Arc::new(self.table_of(relation)?.with_row_ref());
        self.bind_provider(relation, provider, None, alias)
    }

    /// A statement's target: a table of ours, not a view or a catalog relation.
    pub fn writable_relation(&mut self, name: &ast::ObjectName, doing: &str) -> Result<Arc<Relation>> {
        let relation = self.resolve_relation(name)?;
        let refused = match &relation.kind {
            RelationKind::Table(_) => return Ok(relation),
            RelationKind::View(_) => Error::unsupported(format!("{doing} a view")),
            RelationKind::Sequence(_) => {
                Error::invalid(SqlState::WRONG_OBJECT_TYPE, format!("cannot change sequence \"{}\"", relation.name))
            }
            RelationKind::Virtual(_) => Error::invalid(
                SqlState::INSUFFICIENT_PRIVILEGE,
                format!("permission denied: \"{}\" is a system catalog", relation.name),
            ),
        };
        Err(self.positions.mark(refused, object_name_span(name)))
    }
}
