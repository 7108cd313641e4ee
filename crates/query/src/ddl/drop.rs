//! DROP TABLE, VIEW, SEQUENCE, SCHEMA, ROLE, with what depends on them.

use std::collections::BTreeSet;
use std::sync::Arc;

use heliosdb_contracts::TreeLockMode;
use heliosdb_types::{Error, Oid, Result, SqlState};
use sqlparser::ast::{self, ObjectType};

use super::index::renumbered;
use super::statistics::{drop_statistics_of, forget_statistics};
use super::{LOOKS_MAX, changed_too_often, is_system_schema, kind_name, no_schema, owned_sequences};
use crate::access::{Rights, must_be_owner};
use crate::bind;
use crate::catalog::{
    CLASS_CONSTRAINT, CLASS_RELATION, CLASS_SCHEMA, CatalogSnapshot, CatalogWriter, CommentKey, ForeignKey, Relation,
    RelationKind, Schema,
};
use crate::session::Session;

/// What a DROP takes with it.
#[derive(Default)]
struct DropSet {
    schemas: Vec<Arc<Schema>>,
    relations: Vec<Arc<Relation>>,
    /// How many objects the statement names.
    named: usize,
    /// Of `relations`, those nobody named: they go only with CASCADE.
    cascaded: Vec<(Arc<Relation>, String)>,
}

impl Session {
    /// Gives the command tag.
    pub(super) async fn drop_objects(&mut self, statement: &ast::Statement) -> Result<String> {
        let ast::Statement::Drop {
            object_type,
            if_exists,
            names,
            cascade,
            restrict: _,
            purge: false,
            temporary: false,
            table: None,
        } = statement
        else {
            return Err(Error::unsupported("this form of DROP"));
        };
        let command = format!("DROP {object_type}");
        self.require_read_write(&command)?;
        match object_type {
            ObjectType::Index => self.drop_indexes(names, *if_exists, *cascade).await?,
            ObjectType::Table | ObjectType::View | ObjectType::Sequence | ObjectType::Schema => {
                self.drop_relations(object_type, names, *if_exists, *cascade).await?;
            }
            ObjectType::Type => self.drop_types(names, *if_exists, *cascade).await?,
            other => return Err(Error::unsupported(format!("DROP {other}"))),
        }
        Ok(command)
    }

    pub(crate) async fn drop_relations(
        &mut self,
        object_type: &ObjectType,
        names: &[ast::ObjectName],
        if_exists: bool,
        cascade: bool,
    ) -> Result<()> {
        let running = self.start_cancellable();
        for _ in 0..LOOKS_MAX {
            let notices = self.notices.len();
            let catalog = self.catalog()?;
            let mut set = DropSet::default();
            for name in names {
                self.add_named(&catalog, object_type, name, if_exists, &mut set)?;
            }
            set.named = set.schemas.len() + set.relations.len();
            add_dependents(&catalog, &mut set);
            refuse_or_tell(self, &set, cascade)?;
            let schemas = set.schemas.clone();
            self.check_types_of(&schemas, cascade)?;
            self.check_statistics_of(&schemas, cascade)?;
            let mut unchanged = true;
            let children = constraints_to(&catalog, &set);
            let relations = set.relations.iter().chain(set.cascaded.iter().map(|(relation, _)| relation));
            for relation in relations.chain(children.iter().map(|(child, _, _)| child)) {
                self.refuse_pending(relation, "DROP TABLE")?;
                unchanged &= self.lock_unchanged(relation, TreeLockMode::AccessExclusive, &running).await?;
            }
            // A definition may have changed without a tree of its own (a view), or while a lock was waited for.
            if !unchanged || self.catalog()?.generation != catalog.generation {
                self.notices.truncate(notices);
                continue;
            }
            let mut writer = self.catalog_writer()?;
            drop_statistics_of(&mut writer, &schemas).await?;
            drop_all(&mut writer, &set).await?;
            self.catalog_written(&writer);
            return self.drop_types_of(&schemas).await;
        }
        Err(changed_too_often("the catalog"))
    }

    fn add_named(
        &mut self,
        catalog: &CatalogSnapshot,
        object_type: &ObjectType,
        name: &ast::ObjectName,
        if_exists: bool,
        set: &mut DropSet,
    ) -> Result<()> {
        let (schema_name, object) = bind::object_name(name)?;
        if *object_type == ObjectType::Schema {
            let Some(schema) = catalog.schema_named(&object) else {
                return self.missing(if_exists, no_schema(&object), &format!("schema \"{object}\""));
            };
            if is_system_schema(schema) {
                let message = format!("cannot drop schema {object} because it is required by the database system");
                return Err(Error::invalid(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message));
            }
            if !Rights::of(catalog, self.user.oid).owns(schema.owner) {
                return Err(must_be_owner("schema", &object));
            }
            set.schemas.push(Arc::clone(schema));
            return Ok(());
        }
        let kind = object_type.to_string().to_ascii_lowercase();
        if let Some(schema) = &schema_name
            && catalog.schema_named(schema).is_none()
        {
            return self.missing(if_exists, no_schema(schema), &format!("schema \"{schema}\""));
        }
        let path = self.search_path();
        let Some(relation) = catalog.resolve(schema_name.as_deref(), &object, &path) else {
            let schemas = schema_name.as_ref().map_or(path.clone(), |schema| vec![schema.clone()]);
            let mut oids = schemas.iter().filter_map(|name| catalog.schema_named(name)).map(|schema| schema.oid);
            let named = oids.find_map(|schema| catalog.names.get(&(schema, object.clone())));
            if named.is_some_and(|oid| catalog.index_tables.contains_key(oid)) {
                let message = format!("\"{object}\" is not a {kind}");
                return Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, message)
                    .with_hint("Use DROP INDEX to remove an index."));
            }
            let shown = schema_name.map_or_else(|| object.clone(), |schema| format!("{schema}.{object}"));
            let error = Error::invalid(SqlState::UNDEFINED_TABLE, format!("{kind} \"{shown}\" does not exist"));
            return self.missing(if_exists, error, &format!("{kind} \"{shown}\""));
        };
        if kind_name(&relation.kind) != kind {
            let message = format!("\"{object}\" is not a {kind}");
            let actual = kind_name(&relation.kind);
            return Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, message)
                .with_hint(format!("Use DROP {} to remove a {actual}.", actual.to_ascii_uppercase())));
        }
        // The owner of its schema may drop a relation too.
        let of_schema = catalog.schemas.get(&relation.schema).map(|schema| schema.owner);
        let rights = Rights::of(catalog, self.user.oid);
        if super::is_system_relation(relation) || !of_schema.is_some_and(|owner| rights.owns(owner)) {
            self.require_owner(relation)?;
        }
        if !set.relations.iter().any(|known| known.oid == relation.oid) {
            set.relations.push(Arc::clone(relation));
        }
        Ok(())
    }

    fn missing(&mut self, if_exists: bool, error: Error, what: &str) -> Result<()> {
        if !if_exists {
            return Err(error);
        }
        self.notice_text(SqlState::SUCCESSFUL_COMPLETION, format!("{what} does not exist, skipping"));
        Ok(())
    }
}

/// Adds owned sequences, everything in dropped schemas, and views over what goes.
fn add_dependents(catalog: &CatalogSnapshot, set: &mut DropSet) {
    let mut gone: BTreeSet<Oid> = set.relations.iter().map(|relation| relation.oid).collect();
    let mut in_schemas: Vec<&Arc<Relation>> = catalog
        .relations
        .values()
        .filter(|relation| set.schemas.iter().any(|schema| schema.oid == relation.schema))
        .collect();
    in_schemas.sort_by_key(|relation| relation.oid);
    for relation in in_schemas {
        let owner = match &relation.kind {
            RelationKind::Sequence(sequence) => sequence.owned_by,
            _ => None,
        };
        // A sequence goes silently with the table that owns it.
        if owner.is_none() && gone.insert(relation.oid) {
            let schema = catalog.schemas.get(&relation.schema).map_or("", |schema| schema.name.as_str());
            set.cascaded.push((Arc::clone(relation), format!("schema {schema}")));
        }
    }
    for relation in
        set.relations.clone().into_iter().chain(set.cascaded.clone().into_iter().map(|(relation, _)| relation))
    {
        add_owned(catalog, &relation, &mut gone, set);
        add_views(catalog, &relation, &mut gone, set);
    }
}

/// Sequences a relation owns go silently with it.
fn add_owned(catalog: &CatalogSnapshot, relation: &Relation, gone: &mut BTreeSet<Oid>, set: &mut DropSet) {
    for sequence in owned_sequences(catalog, relation.oid) {
        if gone.insert(sequence.oid) {
            set.relations.push(sequence);
        }
    }
}

/// Views over a relation, each followed by those over it.
fn add_views(catalog: &CatalogSnapshot, relation: &Relation, gone: &mut BTreeSet<Oid>, set: &mut DropSet) {
    for view in super::view::views_over(catalog, relation.oid) {
        if gone.insert(view.oid) {
            set.cascaded.push((Arc::clone(&view), format!("{} {}", kind_name(&relation.kind), relation.name)));
            add_views(catalog, &view, gone, set);
        }
    }
}

/// Views over a view, with what each depends on, in the order a DROP tells of them.
pub(super) fn views_above(catalog: &CatalogSnapshot, view: &Arc<Relation>) -> Vec<(Arc<Relation>, String)> {
    let mut set = DropSet::default();
    add_views(catalog, view, &mut BTreeSet::from([view.oid]), &mut set);
    set.cascaded
}

impl Session {
    /// A relation as messages name it: with its schema unless the search path finds it.
    fn described(&mut self, relation: &Relation) -> Result<String> {
        let facts = self.binding()?.facts;
        let name = facts.shown_name(relation.oid).unwrap_or_else(|| relation.name.clone());
        Ok(format!("{} {name}", kind_name(&relation.kind)))
    }
}

/// RESTRICT refuses dependents; CASCADE tells about them.
fn refuse_or_tell(session: &mut Session, set: &DropSet, cascade: bool) -> Result<()> {
    let catalog = session.catalog()?;
    for sequence in set.relations.iter().take(set.named) {
        if let Some(table) = super::sequence::identity_table(&catalog, sequence)
            && let RelationKind::Sequence(info) = &sequence.kind
            && !set.relations.iter().any(|relation| relation.oid == table.oid)
        {
            let column = table.columns.iter().find(|column| Some((table.oid, column.attribute)) == info.owned_by);
            let column = column.map_or("", |column| column.name.as_str());
            let (sequence, table) = (session.described(sequence)?, session.described(&table)?);
            let message = format!("cannot drop {sequence} because column {column} of {table} requires it");
            return Err(Error::invalid(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
                .with_hint(format!("You can drop column {column} of {table} instead.")));
        }
    }
    let mut defaults = Vec::new();
    for (table, attribute, sequence) in defaults_without_sequence(&catalog, set) {
        let column = table.columns.iter().find(|column| column.attribute == attribute);
        let column = column.map_or("", |column| column.name.as_str());
        let what = format!("default value for column {column} of {}", session.described(&table)?);
        defaults.push((what, session.described(&sequence)?));
    }
    let mut constraints = Vec::new();
    for (child, key, parent) in constraints_to(&catalog, set) {
        let what = format!("constraint {} on {}", key.name, session.described(&child)?);
        constraints.push((what, session.described(&parent)?));
    }
    if set.cascaded.is_empty() && defaults.is_empty() && constraints.is_empty() {
        return Ok(());
    }
    if !cascade {
        let first = match (set.schemas.first(), set.relations.first()) {
            (Some(schema), _) => format!("schema {}", schema.name),
            (None, Some(relation)) => session.described(relation)?,
            (None, None) => String::new(),
        };
        let several = set.named > 1;
        let message = if several {
            "cannot drop desired object(s) because other objects depend on them".to_owned()
        } else {
            format!("cannot drop {first} because other objects depend on it")
        };
        let on =
            set.cascaded.iter().map(|(relation, on)| Ok(format!("{} depends on {on}", session.described(relation)?)));
        let mut detail = on.collect::<Result<Vec<String>>>()?;
        detail.extend(constraints.iter().chain(&defaults).map(|(what, on)| format!("{what} depends on {on}")));
        return Err(Error::invalid(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
            .with_detail(detail.join("\n"))
            .with_hint("Use DROP ... CASCADE to drop the dependent objects too."));
    }
    let mut gone: Vec<String> = defaults.into_iter().chain(constraints).map(|(what, _)| what).collect();
    for (relation, _) in &set.cascaded {
        gone.push(session.described(relation)?);
    }
    match gone.as_slice() {
        [only] => session.notice_text(SqlState::SUCCESSFUL_COMPLETION, format!("drop cascades to {only}")),
        several => {
            let message = format!("drop cascades to {} other objects", several.len());
            let lines: Vec<String> = several.iter().map(|what| format!("drop cascades to {what}")).collect();
            session.notice(
                "NOTICE",
                Error::invalid(SqlState::SUCCESSFUL_COMPLETION, message).with_detail(lines.join("\n")),
            );
        }
    }
    Ok(())
}

/// Foreign keys that stay behind and refer to tables that go: (child, constraint, parent).
fn constraints_to(catalog: &CatalogSnapshot, set: &DropSet) -> Vec<(Arc<Relation>, ForeignKey, Arc<Relation>)> {
    let all: Vec<&Arc<Relation>> =
        set.relations.iter().chain(set.cascaded.iter().map(|(relation, _)| relation)).collect();
    let mut found = Vec::new();
    for parent in &all {
        for (child, key) in catalog.references_to(parent.oid) {
            if !all.iter().any(|gone| gone.oid == child.oid) {
                found.push((Arc::clone(child), key.clone(), Arc::clone(parent)));
            }
        }
    }
    found.sort_by_key(|(_, key, _)| key.oid);
    found
}

/// Columns that stay and whose default reads a sequence that goes: (table, attribute, sequence).
fn defaults_without_sequence(catalog: &CatalogSnapshot, set: &DropSet) -> Vec<(Arc<Relation>, i16, Arc<Relation>)> {
    let all: Vec<&Arc<Relation>> =
        set.relations.iter().chain(set.cascaded.iter().map(|(relation, _)| relation)).collect();
    let sequences: Vec<&Arc<Relation>> =
        all.iter().copied().filter(|relation| matches!(relation.kind, RelationKind::Sequence(_))).collect();
    let mut found = Vec::new();
    if sequences.is_empty() {
        return found;
    }
    let mut tables: Vec<&Arc<Relation>> = catalog.relations.values().collect();
    tables.sort_by_key(|table| table.oid);
    for table in tables.into_iter().filter(|table| !all.iter().any(|gone| gone.oid == table.oid)) {
        for column in &table.columns {
            let Some(default) = &column.default else { continue };
            for (schema, name) in super::regclass::names_in(default) {
                let schema = schema.and_then(|schema| catalog.schema_named(&schema)).map(|schema| schema.oid);
                let named = |sequence: &&&Arc<Relation>| Some(sequence.schema) == schema && sequence.name == name;
                if let Some(sequence) = sequences.iter().find(named) {
                    found.push((Arc::clone(table), column.attribute, Arc::clone(sequence)));
                }
            }
        }
    }
    found
}

/// Comments on a relation, its columns, constraints and indexes.
fn comments_on(catalog: &CatalogSnapshot, relation: &Relation) -> Vec<CommentKey> {
    if catalog.comments.is_empty() {
        return Vec::new();
    }
    let mut objects = vec![relation.oid];
    if let Some(table) = relation.table() {
        objects.extend(table.checks.iter().map(|check| check.oid));
        objects.extend(table.primary_key.iter().map(|key| key.oid));
        objects.extend(table.foreign_keys.iter().map(|key| key.oid));
        objects.extend(table.indexes.iter().flat_map(|index| std::iter::once(index.oid).chain(index.constraint)));
    }
    let about =
        |key: &&CommentKey| matches!(key.class, CLASS_RELATION | CLASS_CONSTRAINT) && objects.contains(&key.object);
    catalog.comments.keys().filter(about).copied().collect()
}

async fn drop_all(writer: &mut CatalogWriter, set: &DropSet) -> Result<()> {
    let catalog = writer.catalog()?;
    for (child, key, _) in constraints_to(&catalog, set) {
        let Some(child) = writer.catalog()?.relations.get(&child.oid).cloned() else { continue };
        let mut changed = renumbered(&child, |_| ())?;
        if let RelationKind::Table(table) = &mut changed.kind {
            table.foreign_keys.retain(|other| other.oid != key.oid);
        }
        writer.define_relation_tree(&changed).await?;
    }
    for relation in set.relations.iter().chain(set.cascaded.iter().map(|(relation, _)| relation)) {
        for comment in comments_on(&catalog, relation) {
            writer.set_comment(comment, None).await?;
        }
    }
    for schema in &set.schemas {
        writer.set_comment(CommentKey { class: CLASS_SCHEMA, object: schema.oid, sub: 0 }, None).await?;
    }
    for relation in set.relations.iter().chain(set.cascaded.iter().map(|(relation, _)| relation)) {
        if let Some(table) = relation.table() {
            if let Some(key) = &table.primary_key {
                writer.release_relation_name(relation.schema, &key.name).await?;
            }
            for extended in &table.extended {
                forget_statistics(writer, extended).await?;
            }
            for index in &table.indexes {
                writer.drop_index(relation.schema, table.index_tree(index), &index.name).await?;
            }
            writer.shard.drop_tree(writer.txn, writer.command, table.tree.tree)?;
            writer.next_command();
        }
        writer.drop_relation(relation).await?;
    }
    for (table, attribute, _) in defaults_without_sequence(&catalog, set) {
        let Some(table) = writer.catalog()?.relations.get(&table.oid).cloned() else { continue };
        let mut changed = (*table).clone();
        changed.columns.iter_mut().filter(|column| column.attribute == attribute).for_each(|c| c.default = None);
        writer.update_relation(&changed).await?;
    }
    for schema in &set.schemas {
        writer.drop_schema(schema).await?;
    }
    Ok(())
}

/// A schema with everything in it, whoever depends on it.
pub(crate) async fn drop_schema_now(
    writer: &mut CatalogWriter,
    catalog: &CatalogSnapshot,
    schema: &Arc<Schema>,
) -> Result<()> {
    let mut set = DropSet { schemas: vec![Arc::clone(schema)], ..DropSet::default() };
    add_dependents(catalog, &mut set);
    drop_all(writer, &set).await
}

impl Session {
    /// A relation and what depends on it, locks being held.
    pub(crate) async fn drop_with_dependents(&mut self, relation: &Arc<Relation>) -> Result<()> {
        let catalog = self.catalog()?;
        let mut set = DropSet { relations: vec![Arc::clone(relation)], ..DropSet::default() };
        add_dependents(&catalog, &mut set);
        let mut writer = self.catalog_writer()?;
        drop_all(&mut writer, &set).await?;
        self.catalog_written(&writer);
        Ok(())
    }
}
