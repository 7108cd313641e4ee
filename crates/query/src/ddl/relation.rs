//! What ALTER does to any relation: RENAME TO, SET SCHEMA, OWNER TO, RENAME COLUMN.

use std::sync::Arc;

use heliosdb_contracts::TreeLockMode;
use heliosdb_types::{Error, Oid, Result, SqlState};
use sqlparser::ast;

use super::regclass::renamed;
use super::{
    LOOKS_MAX, changed_too_often, duplicate_relation, kind_name, no_schema, owned_sequences, undefined_relation,
};
use crate::bind;
use crate::catalog::{CatalogWriter, Relation, RelationKind, Schema};
use crate::session::{RelationChange, Session};

impl Session {
    pub(crate) async fn alter_relation(
        &mut self,
        kind: &str,
        name: &ast::ObjectName,
        if_exists: bool,
        change: &RelationChange,
    ) -> Result<()> {
        self.require_read_write(&format!("ALTER {kind}"))?;
        if kind == "INDEX" || self.names_index(kind, name)? {
            return self.alter_index(name, if_exists, change).await;
        }
        let Some(relation) = self.altered_relation(name, if_exists).await? else { return Ok(()) };
        let actual = kind_name(&relation.kind);
        let wanted = kind.to_ascii_lowercase();
        // ALTER TABLE does for all of them.
        if wanted != "table" && wanted != actual {
            let article = if wanted == "index" { "an" } else { "a" };
            let message = format!("\"{}\" is not {article} {wanted}", relation.name);
            return Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, message));
        }
        match change {
            RelationChange::Rename(new) => self.rename_relation(&relation, &bind::fold_identifier(new)).await,
            RelationChange::SetSchema(schema) => self.move_relation(&relation, &bind::fold_identifier(schema)).await,
            RelationChange::Owner(owner) => self.change_owner(&relation, owner).await,
            RelationChange::RenameColumn { from, to } => self.rename_relation_column(&relation, from, to).await,
            RelationChange::ColumnDefault => Err(Error::unsupported("a default for a view's column")),
            RelationChange::ViewOptions => Err(Error::unsupported("options of a view")),
        }
    }

    /// The relation, locked if it is a table; `None` if it may be missing and is.
    pub(super) async fn altered_relation(
        &mut self,
        name: &ast::ObjectName,
        if_exists: bool,
    ) -> Result<Option<Arc<Relation>>> {
        let running = self.start_cancellable();
        for _ in 0..LOOKS_MAX {
            let catalog = self.catalog()?;
            let (schema, relation_name) = bind::object_name(name)?;
            let path = self.search_path();
            let Some(relation) = catalog.resolve(schema.as_deref(), &relation_name, &path) else {
                let error = undefined_relation(&catalog, schema.as_deref(), &relation_name);
                if !if_exists {
                    return Err(error);
                }
                self.notice_text(SqlState::SUCCESSFUL_COMPLETION, format!("{}, skipping", error.message()));
                return Ok(None);
            };
            self.require_owner(relation)?;
            if self.lock_unchanged(relation, TreeLockMode::AccessExclusive, &running).await? {
                return Ok(Some(Arc::clone(relation)));
            }
        }
        Err(changed_too_often("the table"))
    }

    /// ALTER TABLE may name an index.
    fn names_index(&mut self, kind: &str, name: &ast::ObjectName) -> Result<bool> {
        Ok(kind == "TABLE" && self.index_to_change(name).is_ok())
    }

    pub(super) async fn rename_relation(&mut self, relation: &Arc<Relation>, new_name: &str) -> Result<()> {
        let catalog = self.catalog()?;
        let schema = schema_name(&catalog.schemas.get(&relation.schema).cloned())?;
        let renamed = Relation { name: new_name.to_owned(), ..(**relation).clone() };
        let mut writer = self.catalog_writer()?;
        if !writer.rename_relation(&relation.name, &renamed).await? {
            return Err(duplicate_relation(new_name));
        }
        if matches!(relation.kind, RelationKind::Sequence(_)) {
            rename_in_expressions(&mut writer, (&schema, Some(&relation.name)), (&schema, Some(new_name))).await?;
        }
        self.catalog_written(&writer);
        Ok(())
    }

    /// ALTER ... SET SCHEMA: a table's indexes and the sequences it owns go with it.
    async fn move_relation(&mut self, relation: &Arc<Relation>, schema: &str) -> Result<()> {
        let catalog = self.catalog()?;
        let target = catalog.schema_named(schema).cloned().ok_or_else(|| no_schema(schema))?;
        if let RelationKind::Sequence(info) = &relation.kind
            && let Some((table, _)) = info.owned_by
        {
            let table = catalog.relations.get(&table).map_or("", |table| table.name.as_str());
            let detail = format!("Sequence \"{}\" is linked to table \"{table}\".", relation.name);
            return Err(Error::invalid(
                SqlState::FEATURE_NOT_SUPPORTED,
                "cannot move an owned sequence into another schema",
            )
            .with_detail(detail));
        }
        let temporary = |name: &str| name.starts_with("pg_temp_");
        let from = schema_name(&catalog.schemas.get(&relation.schema).cloned())?;
        if temporary(&from) || temporary(schema) || schema == "pg_temp" {
            return Err(Error::invalid(
                SqlState::FEATURE_NOT_SUPPORTED,
                "cannot move objects into or out of temporary schemas",
            ));
        }
        let target = self.creation_schema(Some(&target.name), &relation.name)?;
        if target.oid == relation.schema {
            return Ok(());
        }
        let mut writer = self.catalog_writer()?;
        let mut moved = vec![Arc::clone(relation)];
        moved.extend(owned_sequences(&catalog, relation.oid));
        for relation in moved {
            move_names(&mut writer, &relation, &target).await?;
            if matches!(relation.kind, RelationKind::Sequence(_)) {
                let name = relation.name.as_str();
                rename_in_expressions(&mut writer, (&from, Some(name)), (&target.name, Some(name))).await?;
            }
        }
        self.catalog_written(&writer);
        Ok(())
    }

    pub(super) async fn change_owner(&mut self, relation: &Relation, owner: &ast::Ident) -> Result<()> {
        let catalog = self.catalog()?;
        if let RelationKind::Sequence(info) = &relation.kind
            && let Some(table) = info.owned_by.and_then(|(table, _)| catalog.relations.get(&table))
        {
            let detail = format!("Sequence \"{}\" is linked to table \"{}\".", relation.name, table.name);
            return Err(
                Error::invalid(SqlState::FEATURE_NOT_SUPPORTED, "cannot change owner of sequence").with_detail(detail)
            );
        }
        let owner = self.owner_named(owner)?;
        self.give_relation(relation, owner).await
    }

    /// Who OWNER TO names.
    pub(super) fn owner_named(&mut self, name: &ast::Ident) -> Result<Oid> {
        let folded = bind::fold_identifier(name);
        match folded.as_str() {
            "current_user" | "current_role" if name.quote_style.is_none() => Ok(self.user.oid),
            "session_user" if name.quote_style.is_none() => Ok(self.session_user.oid),
            _ => self.role_oid(&folded),
        }
    }

    async fn rename_relation_column(
        &mut self,
        relation: &Arc<Relation>,
        from: &ast::Ident,
        to: &ast::Ident,
    ) -> Result<()> {
        let renamed = match &relation.kind {
            RelationKind::Table(_) | RelationKind::View(_) => super::alter_table::renamed_column(relation, from, to)?,
            _ => {
                let message = format!("cannot rename columns of relation \"{}\"", relation.name);
                return Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, message)
                    .with_detail(format!("This operation is not supported for {}s.", kind_name(&relation.kind))));
            }
        };
        let mut writer = self.catalog_writer()?;
        writer.update_relation(&renamed).await?;
        self.catalog_written(&writer);
        Ok(())
    }
}

fn schema_name(schema: &Option<Arc<Schema>>) -> Result<String> {
    schema.as_ref().map(|schema| schema.name.clone()).ok_or_else(|| Error::internal("a relation without a schema"))
}

/// Gives a relation and its indexes their names in another schema.
async fn move_names(writer: &mut CatalogWriter, relation: &Relation, target: &Schema) -> Result<()> {
    let mut names = vec![(relation.name.clone(), relation.oid)];
    if let Some(table) = relation.table() {
        names.extend(table.primary_key.iter().map(|key| (key.name.clone(), key.oid)));
        names.extend(table.indexes.iter().map(|index| (index.name.clone(), index.oid)));
    }
    for (name, oid) in names {
        if !writer.take_relation_name(target.oid, &name, oid).await? {
            let message = format!("relation \"{name}\" already exists in schema \"{}\"", target.name);
            return Err(Error::invalid(SqlState::DUPLICATE_TABLE, message));
        }
        writer.release_relation_name(relation.schema, &name).await?;
    }
    writer.update_relation(&Relation { schema: target.oid, ..relation.clone() }).await
}

/// Lets every default and constraint that names a relation (or, without a name, anything in a schema) name it anew.
pub(super) async fn rename_in_expressions(
    writer: &mut CatalogWriter,
    old: (&str, Option<&str>),
    new: (&str, Option<&str>),
) -> Result<()> {
    let catalog = writer.catalog()?;
    for relation in catalog.relations.values() {
        let mut changed = None;
        for (at, column) in relation.columns.iter().enumerate() {
            let Some(text) = column.default.as_ref().and_then(|default| renamed(default, old, new)) else { continue };
            let copy = changed.get_or_insert_with(|| (**relation).clone());
            if let Some(column) = copy.columns.get_mut(at) {
                column.default = Some(text);
            }
        }
        if let Some(changed) = changed {
            writer.update_relation(&changed).await?;
        }
    }
    Ok(())
}
