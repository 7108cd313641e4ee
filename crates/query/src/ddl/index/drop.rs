//! DROP INDEX.

use std::sync::Arc;

use heliosdb_contracts::TreeLockMode;
use heliosdb_types::{Error, Oid, Result, SqlState};
use sqlparser::ast;

use super::create::renumbered;
use crate::bind;
use crate::catalog::{IndexInfo, Relation};
use crate::ddl::foreign_key::{references_over, still_referenced};
use crate::ddl::{LOOKS_MAX, changed_too_often, kind_name, no_schema};
use crate::session::Session;

/// What a name means where an index is wanted.
pub(super) enum Named {
    Index(Arc<Relation>, Box<IndexInfo>),
    /// A primary key's index is its table's tree.
    PrimaryKey(Arc<Relation>),
}

impl Session {
    pub(in crate::ddl) async fn drop_indexes(
        &mut self,
        names: &[ast::ObjectName],
        if_exists: bool,
        cascade: bool,
    ) -> Result<()> {
        for name in names {
            let Some((relation, index)) = self.lock_index(name, if_exists).await? else { continue };
            self.drop_index_of(&relation, &index, cascade).await?;
        }
        Ok(())
    }

    async fn drop_index_of(&mut self, relation: &Arc<Relation>, index: &IndexInfo, cascade: bool) -> Result<()> {
        self.check_droppable(relation, index, cascade)?;
        self.remove_index(relation, index).await
    }

    /// 2BP01 if a constraint needs the index.
    pub(super) fn check_droppable(&mut self, relation: &Arc<Relation>, index: &IndexInfo, cascade: bool) -> Result<()> {
        if index.constraint.is_some() {
            let (name, table) = (&index.name, &relation.name);
            let message = format!("cannot drop index {name} because constraint {name} on table {table} requires it");
            return Err(Error::invalid(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
                .with_hint(format!("You can drop constraint {name} on table {table} instead.")));
        }
        let catalog = self.catalog()?;
        let dependents = references_over(&catalog, relation, |key| key.parent_index == index.oid);
        if !dependents.is_empty() {
            let what = format!("index {}", index.name);
            if !cascade {
                return Err(still_referenced(&what, &dependents, &what));
            }
            return Err(Error::unsupported("DROP INDEX ... CASCADE of an index that foreign keys need")
                .with_hint("Drop the foreign keys first."));
        }
        Ok(())
    }

    /// Removes an index and its tree; the table is locked.
    pub(super) async fn remove_index(&mut self, relation: &Arc<Relation>, index: &IndexInfo) -> Result<()> {
        let table = relation.table().ok_or_else(|| Error::internal("an index of no table"))?;
        let tree = table.index_tree(index);
        let mut writer = self.catalog_writer()?;
        let changed = renumbered(relation, |indexes| indexes.retain(|other| other.oid != index.oid))?;
        writer.define_relation_tree(&changed).await?;
        writer.drop_index(relation.schema, tree, &index.name).await?;
        self.catalog_written(&writer);
        Ok(())
    }

    /// An index by name with its table, which is then locked; `None` if it may be missing and is.
    pub(super) async fn lock_index(
        &mut self,
        name: &ast::ObjectName,
        if_exists: bool,
    ) -> Result<Option<(Arc<Relation>, IndexInfo)>> {
        let running = self.start_cancellable();
        for _ in 0..LOOKS_MAX {
            let (relation, index) = match self.index_named(name, if_exists)? {
                None => return Ok(None),
                Some(Named::Index(relation, index)) => (relation, index),
                Some(Named::PrimaryKey(relation)) => return Err(needed_by_constraint(&relation)),
            };
            self.require_owner(&relation)?;
            if self.lock_unchanged(&relation, TreeLockMode::AccessExclusive, &running).await? {
                return Ok(Some((relation, *index)));
            }
        }
        Err(changed_too_often("the table"))
    }

    pub(super) fn index_named(&mut self, name: &ast::ObjectName, if_exists: bool) -> Result<Option<Named>> {
        let (schema, object) = bind::object_name(name)?;
        let catalog = self.catalog()?;
        let path = self.search_path();
        let schemas: Vec<Oid> = match &schema {
            Some(schema) => vec![catalog.schema_named(schema).ok_or_else(|| no_schema(schema))?.oid],
            None => path.iter().filter_map(|name| catalog.schema_named(name)).map(|schema| schema.oid).collect(),
        };
        let found = schemas.iter().find_map(|schema| catalog.names.get(&(*schema, object.clone())));
        let Some(oid) = found else {
            let shown = schema.map_or_else(|| object.clone(), |schema| format!("{schema}.{object}"));
            let message = format!("index \"{shown}\" does not exist");
            if !if_exists {
                return Err(Error::invalid(SqlState::UNDEFINED_OBJECT, message));
            }
            self.notice_text(SqlState::SUCCESSFUL_COMPLETION, format!("{message}, skipping"));
            return Ok(None);
        };
        let table = catalog.index_tables.get(oid).and_then(|table| catalog.relations.get(table));
        let Some((relation, table)) = table.and_then(|relation| Some((relation, relation.table()?))) else {
            let kind = catalog.relations.get(oid).map_or("relation", |relation| kind_name(&relation.kind));
            let message = format!("\"{object}\" is not an index");
            let hint = format!("Use DROP {} to remove a {kind}.", kind.to_ascii_uppercase());
            return Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, message).with_hint(hint));
        };
        Ok(Some(match table.index(*oid) {
            Some(index) => Named::Index(Arc::clone(relation), Box::new(index.clone())),
            None => Named::PrimaryKey(Arc::clone(relation)),
        }))
    }
}

/// 2BP01 for a primary key's index.
pub(super) fn needed_by_constraint(relation: &Relation) -> Error {
    let key = relation.table().and_then(|table| table.primary_key.as_ref());
    let name = key.map_or("", |key| key.name.as_str());
    let table = &relation.name;
    let message = format!("cannot drop index {name} because constraint {name} on table {table} requires it");
    Error::invalid(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
        .with_hint(format!("You can drop constraint {name} on table {table} instead."))
}
