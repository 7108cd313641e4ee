//! ADD, DROP and RENAME CONSTRAINT.

use std::sync::Arc;

use heliosdb_contracts::TreeLockMode;
use heliosdb_types::{Error, Oid, PhysicalType, Result, SqlState, text_of};

use super::Change;
use crate::catalog::{CheckConstraint, Column, IndexInfo, Relation, Schema};
use crate::ddl::columns::several_primary_keys;
use crate::ddl::create_table::{Constraint, constraint_names, name_checks};
use crate::ddl::duplicate_relation;
use crate::ddl::foreign_key::{references_over, still_referenced};
use crate::pg_catalog::quote_identifier;
use crate::session::Session;

impl Session {
    pub(super) async fn add_constraint(
        &mut self,
        change: &mut Change,
        constraint: Constraint,
        not_valid: bool,
    ) -> Result<()> {
        let mut writer = self.catalog_writer()?;
        match constraint {
            Constraint::Check(check) => {
                let (name, column, expr) = *check;
                let known: Vec<String> = change.table()?.checks.iter().map(|check| check.name.clone()).collect();
                let name_taken = |name: &String| known.contains(name);
                if let Some(name) = name.as_ref().filter(|name| name_taken(name)) {
                    let message = format!("constraint \"{name}\" for relation \"{}\" already exists", change.new.name);
                    return Err(Error::invalid(SqlState::DUPLICATE_OBJECT, message));
                }
                let mut named = name_checks(&writer, &change.new.name, vec![(name, column, expr)])?;
                for check in &mut named {
                    check.validated = !not_valid;
                    let base = check.name.clone();
                    let mut number = 0;
                    while name_taken(&check.name) {
                        number += 1;
                        check.name = format!("{base}{number}");
                    }
                    if not_valid {
                        continue;
                    }
                    change.validations.push(violated(check, &change.new.name));
                }
                change.table_mut()?.checks.append(&mut named);
                change.reshaped = true;
            }
            Constraint::Key(_) if not_valid => {
                return Err(Error::invalid(
                    SqlState::FEATURE_NOT_SUPPORTED,
                    "PRIMARY KEY constraints cannot be marked NOT VALID",
                ));
            }
            Constraint::Unique(_) | Constraint::UsingIndex { .. } if not_valid => {
                return Err(Error::invalid(
                    SqlState::FEATURE_NOT_SUPPORTED,
                    "UNIQUE constraints cannot be marked NOT VALID",
                ));
            }
            Constraint::Foreign(mut foreign) => {
                drop(writer);
                foreign.not_valid = not_valid;
                let known = constraint_names(&change.new);
                let key = Box::pin(self.new_foreign_key(&change.new, &foreign, &known)).await?;
                if !not_valid {
                    change.foreign_validations.push(key.clone());
                }
                change.table_mut()?.foreign_keys.push(key);
                change.reshaped = true;
                return Ok(());
            }
            Constraint::Unique(unique) => {
                let keyed = change.table()?.primary_key.is_some() || change.table()?.indexes.iter().any(|i| i.primary);
                if unique.primary && keyed {
                    return Err(several_primary_keys(&change.new.name));
                }
                if unique.primary {
                    let columns: Vec<String> = unique.columns().collect();
                    for column in columns {
                        if !change.column_mut(&column)?.not_null {
                            change.column_mut(&column)?.not_null = true;
                            self.validate_not_null(change, &column, true).await?;
                        }
                    }
                }
                let index = self.new_index(&writer, &change.new, &unique, &change.index_names()?)?;
                if index.deferrable.is_some() {
                    change.unique_validations.push(index.clone());
                }
                change.add_index(index)?;
            }
            Constraint::UsingIndex { name, index, primary } => {
                drop(writer);
                return Box::pin(self.add_from_index(change, name, &index, primary)).await;
            }
            Constraint::Key((name, columns)) => {
                if change.table()?.primary_key.is_some() || change.table()?.indexes.iter().any(|i| i.primary) {
                    return Err(several_primary_keys(&change.new.name));
                }
                let catalog = writer.catalog()?;
                let schema: Arc<Schema> = catalog
                    .schemas
                    .get(&change.new.schema)
                    .cloned()
                    .ok_or_else(|| Error::internal("the table has no schema"))?;
                let (table, table_columns) = (change.new.name.clone(), change.new.columns.clone());
                let key = self.new_key(&writer, &schema, &table, &table_columns, name, &columns)?;
                if !writer.take_relation_name(schema.oid, &key.name, key.oid).await? {
                    return Err(duplicate_relation(&key.name));
                }
                for column in &columns {
                    if !change.column_mut(column)?.not_null {
                        change.column_mut(column)?.not_null = true;
                        self.validate_not_null(change, column, true).await?;
                    }
                }
                change.table_mut()?.primary_key = Some(key);
                change.rewritten();
            }
        }
        self.catalog_written(&writer);
        Ok(())
    }

    /// UNIQUE or PRIMARY KEY USING INDEX: the index becomes the constraint's and takes its name.
    async fn add_from_index(
        &mut self,
        change: &mut Change,
        name: Option<String>,
        index: &str,
        primary: bool,
    ) -> Result<()> {
        let found = change.table()?.indexes.iter().find(|known| known.name == index).cloned();
        let Some(found) = found else {
            return Err(Error::invalid(SqlState::UNDEFINED_OBJECT, format!("index \"{index}\" does not exist")));
        };
        let refused = |what: &str, detail: &str| {
            Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, what.to_owned()).with_detail(detail.to_owned()))
        };
        if found.constraint.is_some() {
            let message = format!("index \"{index}\" is already associated with a constraint");
            return Err(Error::invalid(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message));
        }
        if !found.state.is_valid() {
            let message = format!("index \"{index}\" is not valid");
            return Err(Error::invalid(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message));
        }
        let detail = "Cannot create a primary key or unique constraint using such an index.";
        if !found.unique {
            return refused(&format!("\"{index}\" is not a unique index"), detail);
        }
        let Some(attributes) = found.key_attributes() else {
            return refused(&format!("index \"{index}\" contains expressions"), detail);
        };
        if found.predicate.is_some() {
            return refused(&format!("\"{index}\" is a partial index"), detail);
        }
        if found.keys.iter().any(|key| key.descending || key.nulls_first) {
            let message = format!("index \"{index}\" column number 1 does not have default sorting behavior");
            return refused(&message, detail);
        }
        let name = name.unwrap_or_else(|| index.to_owned());
        if name != index {
            let message =
                format!("ALTER TABLE / ADD CONSTRAINT USING INDEX will rename index \"{index}\" to \"{name}\"");
            self.notice_text(SqlState::SUCCESSFUL_COMPLETION, message);
        }
        if primary {
            // The table's own tree is keyed by its primary key, so the index is not needed any more.
            change.table_mut()?.indexes.retain(|other| other.oid != found.oid);
            change.reshaped = true;
            let columns = attributes.iter().filter_map(|attribute| {
                let column = change.new.columns.iter().find(|column| column.attribute == *attribute);
                column.map(|column| column.name.clone())
            });
            let columns = columns.collect();
            if name == index {
                let mut writer = self.catalog_writer()?;
                writer.release_relation_name(change.new.schema, index).await?;
                self.catalog_written(&writer);
                change.released.push(found.oid);
            }
            return Box::pin(self.add_constraint(change, Constraint::Key((Some(name), columns)), false)).await;
        }
        let writer = self.catalog_writer()?;
        let oid = writer.new_oid()?;
        if let Some(index) = change.table_mut()?.indexes.iter_mut().find(|other| other.oid == found.oid) {
            index.constraint = Some(oid);
            index.name = name;
        }
        change.reshaped = true;
        Ok(())
    }

    /// 23505 if two rows have the columns of a DEFERRABLE constraint.
    pub(super) async fn validate_unique(&mut self, relation: &Relation, index: &IndexInfo) -> Result<()> {
        let attributes = index.key_attributes().unwrap_or_default();
        let of = |at: &i16| relation.columns.iter().find(|column| column.attribute == *at);
        let columns: Vec<&Column> = attributes.iter().filter_map(of).collect();
        let names: Vec<String> = columns.iter().map(|column| quote_identifier(&column.name)).collect();
        let present: Vec<String> = names.iter().map(|name| format!("{name} IS NOT NULL")).collect();
        let present = if index.nulls_not_distinct { "true".to_owned() } else { present.join(" AND ") };
        let (table, list) = (self.qualified(relation)?, names.join(", "));
        let sql = format!("SELECT {list} FROM {table} WHERE {present} GROUP BY {list} HAVING count(*) > 1 LIMIT 1");
        let (_, batches) = self.query(&sql).await?;
        let Some(found) = batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(()) };
        let context = self.text_context();
        let mut values = Vec::with_capacity(columns.len());
        for (column, array) in columns.iter().zip(found.columns()) {
            let physical = column.sql_type.physical().unwrap_or(PhysicalType::Text);
            let value = heliosdb_contracts::datum_at(array, 0, physical)?;
            values.push(if value.is_null() { "null".to_owned() } else { text_of(value, &column.sql_type, &context) });
        }
        Err(Error::conflict(SqlState::UNIQUE_VIOLATION, format!("could not create unique index \"{}\"", index.name))
            .with_detail(format!("Key ({list})=({}) is duplicated.", values.join(", ")))
            .with_table(relation.name.as_str())
            .with_constraint(index.name.as_str()))
    }

    /// VALIDATE CONSTRAINT: looks at the rows NOT VALID left out.
    pub(super) fn validate_constraint(&mut self, change: &mut Change, name: &str) -> Result<()> {
        let relation = change.new.name.clone();
        let table = change.table_mut()?;
        if let Some(key) = table.foreign_keys.iter_mut().find(|key| key.name == name) {
            if !key.validated {
                key.validated = true;
                let key = key.clone();
                change.reshaped = true;
                change.foreign_validations.push(key);
            }
            return Ok(());
        }
        let Some(check) = table.checks.iter_mut().find(|check| check.name == name) else {
            let other = table.primary_key.as_ref().is_some_and(|key| key.name == name)
                || table.indexes.iter().any(|index| index.constraint.is_some() && index.name == name);
            if other {
                let message = format!(
                    "constraint \"{name}\" of relation \"{relation}\" is not a foreign key or check constraint"
                );
                return Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, message));
            }
            let message = format!("constraint \"{name}\" of relation \"{relation}\" does not exist");
            return Err(Error::invalid(SqlState::UNDEFINED_OBJECT, message));
        };
        if !check.validated {
            check.validated = true;
            let check = check.clone();
            change.reshaped = true;
            change.validations.push(violated(&check, &relation));
        }
        Ok(())
    }

    /// Takes the primary key away: the rows move to a tree of their own row ids.
    pub(super) async fn drop_key(&mut self, change: &mut Change, what: &str, cascade: bool) -> Result<()> {
        if let Some(key) = change.table()?.primary_key.clone() {
            // A column is named itself, a constraint by its index.
            let on = if what.starts_with("column ") { what.to_owned() } else { format!("index {}", key.name) };
            self.drop_references(change, key.oid, &on, what, cascade).await?;
        }
        if let Some(key) = change.table_mut()?.primary_key.take() {
            let mut writer = self.catalog_writer()?;
            writer.release_relation_name(change.new.schema, &key.name).await?;
            self.catalog_written(&writer);
            change.rewritten();
        }
        Ok(())
    }

    /// Foreign keys that need a key which goes: refused, or with CASCADE taken off their tables.
    pub(super) async fn drop_references(
        &mut self,
        change: &mut Change,
        index: Oid,
        on: &str,
        what: &str,
        cascade: bool,
    ) -> Result<()> {
        let catalog = self.catalog()?;
        let dependents = references_over(&catalog, &change.old, |key| key.parent_index == index);
        if dependents.is_empty() {
            return Ok(());
        }
        if !cascade {
            return Err(still_referenced(what, &dependents, on));
        }
        let running = self.start_cancellable();
        for (child, key) in dependents {
            let message = format!("drop cascades to constraint {} on table {}", key.name, child.name);
            self.notice_text(SqlState::SUCCESSFUL_COMPLETION, message);
            if child.oid == change.new.oid {
                change.table_mut()?.foreign_keys.retain(|other| other.oid != key.oid);
                continue;
            }
            if !self.lock_unchanged(&child, TreeLockMode::AccessExclusive, &running).await? {
                let message = "a table changed before it could be locked";
                return Err(Error::retry(SqlState::LOCK_NOT_AVAILABLE, message));
            }
            let child = self.catalog()?.relations.get(&child.oid).cloned().unwrap_or(child);
            self.remove_foreign_keys(&child, |other| other.oid == key.oid).await?;
        }
        Ok(())
    }

    pub(super) async fn drop_constraint(
        &mut self,
        change: &mut Change,
        name: &str,
        if_exists: bool,
        cascade: bool,
    ) -> Result<()> {
        let what = format!("constraint {name} on table {}", change.new.name);
        let table = change.table_mut()?;
        let before = table.checks.len();
        table.checks.retain(|check| check.name != name);
        if table.checks.len() < before {
            change.reshaped = true;
            return Ok(());
        }
        if table.primary_key.as_ref().is_some_and(|key| key.name == name) {
            return self.drop_key(change, &what, cascade).await;
        }
        let keys = change.table()?.foreign_keys.len();
        change.table_mut()?.foreign_keys.retain(|key| key.name != name);
        if change.table()?.foreign_keys.len() < keys {
            change.foreign_validations.retain(|key| key.name != name);
            change.reshaped = true;
            return Ok(());
        }
        let constraint = |index: &&IndexInfo| index.name == name && index.constraint.is_some();
        if let Some(index) = change.table()?.indexes.iter().find(constraint).map(|index| index.oid) {
            self.drop_references(change, index, &format!("index {name}"), &what, cascade).await?;
            change.table_mut()?.indexes.retain(|other| other.oid != index);
            change.reshaped = true;
            return Ok(());
        }
        let message = format!("constraint \"{name}\" of relation \"{}\" does not exist", change.new.name);
        if !if_exists {
            return Err(Error::invalid(SqlState::UNDEFINED_OBJECT, message));
        }
        self.notice_text(SqlState::SUCCESSFUL_COMPLETION, format!("{message}, skipping"));
        Ok(())
    }

    pub(super) async fn rename_constraint(&mut self, change: &mut Change, old: &str, new: String) -> Result<()> {
        let schema = change.new.schema;
        let relation = change.new.name.clone();
        let table = change.table_mut()?;
        let taken = table.checks.iter().any(|check| check.name == new)
            || table.foreign_keys.iter().any(|key| key.name == new)
            || table.indexes.iter().any(|index| index.constraint.is_some() && index.name == new)
            || table.primary_key.as_ref().is_some_and(|key| key.name == new);
        if taken {
            let message = format!("constraint \"{new}\" for relation \"{relation}\" already exists");
            return Err(Error::invalid(SqlState::DUPLICATE_OBJECT, message));
        }
        if let Some(check) = table.checks.iter_mut().find(|check| check.name == old) {
            check.name = new;
            change.reshaped = true;
            return Ok(());
        }
        if let Some(key) = table.foreign_keys.iter_mut().find(|key| key.name == old) {
            key.name = new;
            change.reshaped = true;
            return Ok(());
        }
        if let Some(index) = table.indexes.iter_mut().find(|index| index.constraint.is_some() && index.name == old) {
            index.name = new;
            change.reshaped = true;
            return Ok(());
        }
        match &mut table.primary_key {
            Some(key) if key.name == old => {
                let mut writer = self.catalog_writer()?;
                if !writer.take_relation_name(schema, &new, key.oid).await? {
                    return Err(duplicate_relation(&new));
                }
                writer.release_relation_name(schema, old).await?;
                self.catalog_written(&writer);
                key.name = new;
                Ok(())
            }
            _ => {
                let message = format!("constraint \"{old}\" for table \"{relation}\" does not exist");
                Err(Error::invalid(SqlState::UNDEFINED_OBJECT, message))
            }
        }
    }
}

/// What every row must fulfil for a check, and the error if one does not.
pub(super) fn violated(check: &CheckConstraint, table: &str) -> (String, Error) {
    let message = format!("check constraint \"{}\" of relation \"{table}\" is violated by some row", check.name);
    let error =
        Error::conflict(SqlState::CHECK_VIOLATION, message).with_table(table).with_constraint(check.name.clone());
    (format!("({}) IS NOT FALSE", check.expression), error)
}
