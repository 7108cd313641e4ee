//! FOREIGN KEY: as written, resolved against its parent, and checked against rows that are there.

use std::sync::Arc;

use heliosdb_contracts::TreeLockMode;
use heliosdb_types::{Error, PhysicalType, Result, SqlState, text_of};
use sqlparser::ast;

use super::index::renumbered;
use super::{LOOKS_MAX, candidate_names, changed_too_often, undefined_relation};
use crate::bind;
use crate::catalog::{
    CatalogWriter, ForeignKey, IndexInfo, Privileges, ReferentialAction, Relation, RelationKind, TableInfo,
};
use crate::exec::can_refer;
use crate::pg_catalog::quote_identifier;
use crate::session::Session;

/// A foreign key as written.
#[derive(Clone, Debug)]
pub(super) struct WrittenForeignKey {
    pub name: Option<String>,
    pub columns: Vec<String>,
    pub parent: ast::ObjectName,
    /// Empty: the parent's primary key.
    pub referred: Vec<String>,
    pub on_delete: ReferentialAction,
    /// The columns ON DELETE SET NULL or DEFAULT is about; empty: all.
    pub delete_columns: Vec<String>,
    pub on_update: ReferentialAction,
    pub match_full: bool,
    pub deferrable: bool,
    pub initially_deferred: bool,
    pub not_valid: bool,
}

fn action(action: Option<&ast::ReferentialAction>) -> ReferentialAction {
    match action {
        None | Some(ast::ReferentialAction::NoAction) => ReferentialAction::NoAction,
        Some(ast::ReferentialAction::Restrict) => ReferentialAction::Restrict,
        Some(ast::ReferentialAction::Cascade) => ReferentialAction::Cascade,
        Some(ast::ReferentialAction::SetNull) => ReferentialAction::SetNull,
        Some(ast::ReferentialAction::SetDefault) => ReferentialAction::SetDefault,
    }
}

/// `beside`: the column it was written beside.
pub(super) fn read_foreign_key(
    constraint: &ast::ForeignKeyConstraint,
    beside: Option<&str>,
) -> Result<WrittenForeignKey> {
    let ast::ForeignKeyConstraint {
        name,
        index_name,
        columns,
        foreign_table,
        referred_columns,
        on_delete,
        on_update,
        match_kind,
        characteristics,
    } = constraint;
    if index_name.is_some() {
        return Err(Error::unsupported("FOREIGN KEY with an index name"));
    }
    let match_full = match match_kind {
        None | Some(ast::ConstraintReferenceMatchKind::Simple) => false,
        Some(ast::ConstraintReferenceMatchKind::Full) => true,
        Some(ast::ConstraintReferenceMatchKind::Partial) => return Err(Error::unsupported("MATCH PARTIAL")),
    };
    let (mut deferrable, mut initially_deferred) = (false, false);
    if let Some(ast::ConstraintCharacteristics { deferrable: can, initially, enforced }) = characteristics {
        if *enforced == Some(false) {
            return Err(Error::unsupported("a constraint that is NOT ENFORCED"));
        }
        initially_deferred = matches!(initially, Some(ast::DeferrableInitial::Deferred));
        if initially_deferred && *can == Some(false) {
            return Err(Error::syntax("constraint declared INITIALLY DEFERRED must be DEFERRABLE"));
        }
        deferrable = can.unwrap_or(initially_deferred);
    }
    let (parent, delete_columns) = bind::take_set_columns(foreign_table);
    Ok(WrittenForeignKey {
        name: name.as_ref().map(bind::fold_identifier),
        columns: match beside {
            Some(column) => vec![column.to_owned()],
            None => columns.iter().map(bind::fold_identifier).collect(),
        },
        parent,
        delete_columns: delete_columns.iter().map(bind::fold_identifier).collect(),
        referred: referred_columns.iter().map(bind::fold_identifier).collect(),
        on_delete: action(on_delete.as_ref()),
        on_update: action(on_update.as_ref()),
        match_full,
        deferrable,
        initially_deferred,
        not_valid: false,
    })
}

impl Session {
    /// Locks the parent against changes of its keys and resolves the constraint. `child` may be the parent itself.
    pub(super) async fn new_foreign_key(
        &mut self,
        child: &Relation,
        written: &WrittenForeignKey,
        known: &[String],
    ) -> Result<ForeignKey> {
        let parent = self.lock_parent(child, &written.parent).await?;
        let writer = self.catalog_writer()?;
        let table = parent.table().ok_or_else(|| Error::internal("a parent that is no table"))?;
        let attributes = attributes_of(child, &written.columns)?;
        let referred = match written.referred.is_empty() {
            true => match &table.primary_key {
                Some(key) => key.attributes.clone(),
                None if table.indexes.iter().any(|index| index.primary) => {
                    let message =
                        format!("cannot use a deferrable primary key for referenced table \"{}\"", parent.name);
                    return Err(Error::invalid(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message));
                }
                None => {
                    let message = format!("there is no primary key for referenced table \"{}\"", parent.name);
                    return Err(Error::invalid(SqlState::UNDEFINED_OBJECT, message));
                }
            },
            false => attributes_of(&parent, &written.referred)?,
        };
        let over = |index: &IndexInfo| index.key_attributes().is_some_and(|key| same_attributes(&key, &referred));
        if unique_over(table, &referred).is_none() && table.indexes.iter().any(|i| i.deferrable.is_some() && over(i)) {
            let message = format!("cannot use a deferrable unique constraint for referenced table \"{}\"", parent.name);
            return Err(Error::invalid(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message));
        }
        let parent_index = unique_over(table, &referred).ok_or_else(|| {
            let message =
                format!("there is no unique constraint matching given keys for referenced table \"{}\"", parent.name);
            Error::invalid(SqlState::INVALID_FOREIGN_KEY, message)
        })?;
        if attributes.len() != referred.len() {
            let message = "number of referencing and referenced columns for foreign key disagree";
            return Err(Error::invalid(SqlState::INVALID_FOREIGN_KEY, message));
        }
        let name = match &written.name {
            Some(name) if known.contains(name) => {
                let message = format!("constraint \"{name}\" for relation \"{}\" already exists", child.name);
                return Err(Error::invalid(SqlState::DUPLICATE_OBJECT, message));
            }
            Some(name) => name.clone(),
            None => {
                let columns = written.columns.join("_");
                let free = |name: &String| !known.contains(name);
                candidate_names(&child.name, Some(&columns), "fkey").find(free).unwrap_or_default()
            }
        };
        check_types(child, &parent, &attributes, &referred, &name)?;
        let delete_attributes = delete_attributes(child, &written.delete_columns, &attributes)?;
        Ok(ForeignKey {
            oid: writer.new_oid()?,
            name,
            attributes,
            parent: parent.oid,
            parent_attributes: referred,
            parent_index,
            on_delete: written.on_delete,
            on_update: written.on_update,
            delete_attributes,
            match_full: written.match_full,
            deferrable: written.deferrable,
            initially_deferred: written.initially_deferred,
            validated: !written.not_valid,
        })
    }

    async fn lock_parent(&mut self, child: &Relation, name: &ast::ObjectName) -> Result<Arc<Relation>> {
        let running = self.start_cancellable();
        for _ in 0..LOOKS_MAX {
            let catalog = self.catalog()?;
            let (schema, table) = bind::object_name(name)?;
            let path = self.settings.search_path(&self.user.name);
            let found = catalog.resolve(schema.as_deref(), &table, &path).cloned();
            // A table being made is not in the catalog yet.
            let itself = table == child.name
                && match (&schema, &found) {
                    (Some(schema), _) => catalog.schema_named(schema).is_some_and(|s| s.oid == child.schema),
                    (None, None) => true,
                    (None, Some(found)) => found.oid == child.oid,
                };
            if itself {
                return Ok(Arc::new(child.clone()));
            }
            let parent = found.ok_or_else(|| undefined_relation(&catalog, schema.as_deref(), &table))?;
            if parent.table().is_none() {
                let message = format!("referenced relation \"{}\" is not a table", parent.name);
                return Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, message));
            }
            self.require_privilege(&parent, Privileges::REFERENCES)?;
            if self.lock_unchanged(&parent, TreeLockMode::ShareRowExclusive, &running).await? {
                return Ok(parent);
            }
        }
        Err(changed_too_often("the table"))
    }

    /// Writers of the parents must look at the catalog again: they have children to think of, or no more.
    pub(super) async fn renumber_parents(
        &mut self,
        writer: &mut CatalogWriter,
        keys: &[ForeignKey],
        but: heliosdb_types::Oid,
    ) -> Result<()> {
        let catalog = writer.catalog()?;
        let mut parents: Vec<_> = keys.iter().map(|key| key.parent).filter(|parent| *parent != but).collect();
        parents.sort_unstable();
        parents.dedup();
        for parent in parents {
            if let Some(parent) = catalog.relations.get(&parent) {
                writer.define_relation_tree(&renumbered(parent, |_| ())?).await?;
            }
        }
        Ok(())
    }

    /// 23503 if a row of the table refers to nothing.
    pub(super) async fn validate_foreign_key(&mut self, child: &Relation, key: &ForeignKey) -> Result<()> {
        let catalog = self.catalog()?;
        let parent = catalog.relations.get(&key.parent).cloned();
        let parent = parent.ok_or_else(|| Error::internal("a foreign key to no table"))?;
        let (of_child, of_parent) = (columns(child, &key.attributes)?, columns(&parent, &key.parent_attributes)?);
        let (child_name, parent_name) = (self.qualified(child)?, self.qualified(&parent)?);
        let joined = of_child.iter().zip(&of_parent).map(|(c, p)| format!("pk.{p} = fk.{c}")).collect::<Vec<_>>();
        let all = |prefix: &str, names: &[String], test: &str, word: &str| {
            names.iter().map(|name| format!("{prefix}.{name} {test}")).collect::<Vec<_>>().join(word)
        };
        let present = match key.match_full {
            true => all("fk", &of_child, "IS NOT NULL", " OR "),
            false => all("fk", &of_child, "IS NOT NULL", " AND "),
        };
        let shown = of_child.iter().map(|name| format!("fk.{name}")).collect::<Vec<_>>().join(", ");
        let first = of_parent.first().cloned().unwrap_or_default();
        let sql = format!(
            "SELECT {shown} FROM {child_name} AS fk LEFT JOIN {parent_name} AS pk ON {} \
             WHERE pk.{first} IS NULL AND ({present}) LIMIT 1",
            joined.join(" AND ")
        );
        let (_, batches) = self.query(&sql).await?;
        let Some(found) = batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(()) };
        let context = self.text_context();
        let mut values = Vec::with_capacity(of_child.len());
        let mut nulls = false;
        for (attribute, array) in key.attributes.iter().zip(found.columns()) {
            let column = child.columns.iter().find(|column| column.attribute == *attribute);
            let column = column.ok_or_else(|| Error::internal("a foreign key without its column"))?;
            let physical = column.sql_type.physical().unwrap_or(PhysicalType::Text);
            let value = heliosdb_contracts::datum_at(array, 0, physical)?;
            nulls |= value.is_null();
            values.push(text_of(value, &column.sql_type, &context));
        }
        let message =
            format!("insert or update on table \"{}\" violates foreign key constraint \"{}\"", child.name, key.name);
        let detail = match nulls {
            true => "MATCH FULL does not allow mixing of null and nonnull key values.".to_owned(),
            false => format!(
                "Key ({})=({}) is not present in table \"{}\".",
                of_child.join(", "),
                values.join(", "),
                parent.name
            ),
        };
        Err(Error::conflict(SqlState::FOREIGN_KEY_VIOLATION, message)
            .with_detail(detail)
            .with_table(child.name.as_str())
            .with_constraint(key.name.as_str()))
    }

    /// Columns of foreign keys, here and of tables that refer here, still fit after a change of types.
    pub(super) fn recheck_key_types(&mut self, changed: &Relation) -> Result<()> {
        let catalog = self.catalog()?;
        for key in changed.table().map_or(&[][..], |table| &table.foreign_keys) {
            let parent = if key.parent == changed.oid {
                Some(changed)
            } else {
                catalog.relations.get(&key.parent).map(|p| &**p)
            };
            if let Some(parent) = parent {
                check_types(changed, parent, &key.attributes, &key.parent_attributes, &key.name)?;
            }
        }
        for (child, key) in catalog.references_to(changed.oid) {
            if child.oid != changed.oid {
                check_types(child, changed, &key.attributes, &key.parent_attributes, &key.name)?;
            }
        }
        Ok(())
    }

    /// Takes a foreign key off a table that stays, because what it refers to goes.
    pub(super) async fn remove_foreign_keys(
        &mut self,
        child: &Arc<Relation>,
        gone: impl Fn(&ForeignKey) -> bool,
    ) -> Result<()> {
        let mut changed = renumbered(child, |_| ())?;
        if let RelationKind::Table(table) = &mut changed.kind {
            table.foreign_keys.retain(|key| !gone(key));
        }
        let mut writer = self.catalog_writer()?;
        writer.define_relation_tree(&changed).await?;
        self.catalog_written(&writer);
        Ok(())
    }
}

/// The constraints of other tables (or, with `itself`, of the table too) that need a key of a table.
pub(super) fn references_over(
    catalog: &crate::catalog::CatalogSnapshot,
    table: &Relation,
    needs: impl Fn(&ForeignKey) -> bool,
) -> Vec<(Arc<Relation>, ForeignKey)> {
    let all = catalog.references_to(table.oid).into_iter();
    all.filter(|(_, key)| needs(key)).map(|(child, key)| (Arc::clone(child), key.clone())).collect()
}

/// 2BP01 for something foreign keys need.
pub(super) fn still_referenced(what: &str, dependents: &[(Arc<Relation>, ForeignKey)], on: &str) -> Error {
    let lines = dependents
        .iter()
        .map(|(child, key)| format!("constraint {} on table {} depends on {on}", key.name, child.name));
    Error::invalid(
        SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
        format!("cannot drop {what} because other objects depend on it"),
    )
    .with_detail(lines.collect::<Vec<_>>().join("\n"))
    .with_hint("Use DROP ... CASCADE to drop the dependent objects too.")
}

fn columns(relation: &Relation, attributes: &[i16]) -> Result<Vec<String>> {
    let name = |attribute: &i16| {
        let column = relation.columns.iter().find(|column| column.attribute == *attribute);
        let column = column.ok_or_else(|| Error::internal("a foreign key without its column"))?;
        Ok(quote_identifier(&column.name))
    };
    attributes.iter().map(name).collect()
}

fn attributes_of(relation: &Relation, names: &[String]) -> Result<Vec<i16>> {
    let mut attributes = Vec::with_capacity(names.len());
    for name in names {
        let Some((_, column)) = relation.column(name) else {
            let message = format!("column \"{name}\" referenced in foreign key constraint does not exist");
            return Err(Error::invalid(SqlState::UNDEFINED_COLUMN, message));
        };
        if attributes.contains(&column.attribute) {
            let message = format!("column \"{name}\" appears twice in foreign key constraint");
            return Err(Error::invalid(SqlState::DUPLICATE_COLUMN, message));
        }
        attributes.push(column.attribute);
    }
    Ok(attributes)
}

/// The columns of ON DELETE SET NULL (...), which must be the constraint's.
fn delete_attributes(child: &Relation, names: &[String], key: &[i16]) -> Result<Vec<i16>> {
    let mut attributes = Vec::with_capacity(names.len());
    for name in names {
        let Some((_, column)) = child.column(name) else {
            let message = format!("column \"{name}\" referenced in foreign key constraint does not exist");
            return Err(Error::invalid(SqlState::UNDEFINED_COLUMN, message));
        };
        if !key.contains(&column.attribute) {
            let message = format!("column \"{name}\" referenced in ON DELETE SET action must be part of foreign key");
            return Err(Error::invalid(SqlState::INVALID_COLUMN_REFERENCE, message));
        }
        attributes.push(column.attribute);
    }
    Ok(attributes)
}

fn same_attributes(a: &[i16], b: &[i16]) -> bool {
    a.len() == b.len() && a.iter().all(|one| b.contains(one))
}

/// The primary key or unique index over exactly these columns.
fn unique_over(table: &TableInfo, attributes: &[i16]) -> Option<heliosdb_types::Oid> {
    let same = |key: &[i16]| key.len() == attributes.len() && key.iter().all(|one| attributes.contains(one));
    let primary = table.primary_key.as_ref().filter(|key| same(&key.attributes)).map(|key| key.oid);
    primary.or_else(|| {
        let fits = |index: &&crate::catalog::IndexInfo| {
            let whole = index.unique && index.predicate.is_none() && index.state.is_valid();
            whole && index.key_attributes().is_some_and(|key| same(&key))
        };
        table.indexes.iter().find(fits).map(|index| index.oid)
    })
}

fn check_types(child: &Relation, parent: &Relation, attributes: &[i16], referred: &[i16], name: &str) -> Result<()> {
    for (from, to) in attributes.iter().zip(referred) {
        let column = |relation: &Relation, attribute: &i16| {
            relation.columns.iter().find(|column| column.attribute == *attribute).cloned()
        };
        let (Some(from), Some(to)) = (column(child, from), column(parent, to)) else {
            return Err(Error::internal("a foreign key without its column"));
        };
        let comparable = match (from.sql_type.physical(), to.sql_type.physical()) {
            (Some(from), Some(to)) => can_refer(from, to),
            _ => false,
        };
        if !comparable {
            let message = format!("foreign key constraint \"{name}\" cannot be implemented");
            let detail = format!(
                "Key columns \"{}\" and \"{}\" are of incompatible types: {} and {}.",
                from.name,
                to.name,
                from.sql_type.name(),
                to.sql_type.name()
            );
            return Err(Error::invalid(SqlState::DATATYPE_MISMATCH, message).with_detail(detail));
        }
    }
    Ok(())
}

/// TRUNCATE of a table others refer to: 0A000, or with CASCADE the tables to be emptied too.
pub(super) fn truncated_with(
    session: &mut Session,
    relations: &[Arc<Relation>],
    cascade: bool,
) -> Result<Vec<Arc<Relation>>> {
    let catalog = session.catalog()?;
    let mut more: Vec<Arc<Relation>> = Vec::new();
    let mut at = 0;
    loop {
        let Some(parent) = relations.iter().chain(&more).nth(at).cloned() else { return Ok(more) };
        at += 1;
        for (child, _) in catalog.references_to(parent.oid) {
            if relations.iter().chain(&more).any(|known| known.oid == child.oid) {
                continue;
            }
            if !cascade {
                return Err(Error::invalid(
                    SqlState::FEATURE_NOT_SUPPORTED,
                    "cannot truncate a table referenced in a foreign key constraint",
                )
                .with_detail(format!("Table \"{}\" references \"{}\".", child.name, parent.name))
                .with_hint(format!(
                    "Truncate table \"{}\" at the same time, or use TRUNCATE ... CASCADE.",
                    child.name
                )));
            }
            session
                .notice_text(SqlState::SUCCESSFUL_COMPLETION, format!("truncate cascades to table \"{}\"", child.name));
            more.push(Arc::clone(child));
        }
    }
}
