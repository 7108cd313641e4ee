//! User-defined types: enums. Their rows, how columns refer to them, and how they change.
//!
//! A column keeps the OID of its type alone; [`resolve_columns`] puts the type itself in when the catalog is loaded, so that
//! a changed type changes nowhere else. Whoever writes a relation with such columns holds its types, so none is dropped
//! meanwhile.

use std::collections::HashMap;
use std::sync::Arc;

use heliosdb_contracts::RowLockMode;
use heliosdb_types::{Datum, EnumLabel, EnumType, Error, Oid, Result, SqlState, SqlType};
use serde::{Deserialize, Serialize};

use super::model::{CatalogSnapshot, Column, Relation};
use super::system::{TYPE_NAMES, TYPES};
use super::writer::{CatalogWriter, key_bytes, oid, text};

/// A type somebody created.
#[derive(Clone, Debug)]
pub struct UserType {
    pub schema: Oid,
    pub owner: Oid,
    pub definition: Arc<EnumType>,
}

/// What of a type is kept as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Definition {
    Enum { array_oid: Oid, labels: Vec<EnumLabel> },
}

impl UserType {
    pub fn oid(&self) -> Oid {
        self.definition.oid
    }

    pub fn name(&self) -> &str {
        &self.definition.name
    }

    pub fn sql_type(&self) -> SqlType {
        SqlType::Enum(Arc::clone(&self.definition))
    }

    fn values(&self) -> Result<[Datum; 5]> {
        let definition =
            Definition::Enum { array_oid: self.definition.array_oid, labels: self.definition.labels.clone() };
        let json = serde_json::to_string(&definition)
            .map_err(|e| Error::internal("could not write a type's definition").with_source(e))?;
        Ok([oid(self.oid()), oid(self.schema), text(self.name()), oid(self.owner), Datum::Text(json)])
    }
}

/// A row of `types`; the schema's name is added by [`name_schemas`].
pub(super) fn type_of(row: &[Datum]) -> Result<UserType> {
    let damaged = || Error::corrupt(format!("damaged row in system table \"{}\"", TYPES.name));
    let [Datum::Int64(oid), Datum::Int64(schema), Datum::Text(name), Datum::Int64(owner), Datum::Text(json)] = row
    else {
        return Err(damaged());
    };
    let number = |value: i64| u32::try_from(value).map(Oid).map_err(|_| damaged());
    let Definition::Enum { array_oid, labels } = serde_json::from_str(json).map_err(|_| damaged())?;
    let (oid, name) = (number(*oid)?, name.clone());
    let definition = Arc::new(EnumType { oid, array_oid, schema: String::new(), qualified: false, name, labels });
    Ok(UserType { schema: number(*schema)?, owner: number(*owner)?, definition })
}

/// The type with its schema's name, as messages show it.
pub(super) fn with_schema(user_type: UserType, schema: Option<&str>) -> UserType {
    let mut definition = EnumType::clone(&user_type.definition);
    definition.schema = schema.unwrap_or_default().to_owned();
    // What most sessions' search paths are; others' see to it themselves ([`CatalogSnapshot::shown_along`]).
    definition.qualified = definition.schema != "public";
    UserType { definition: Arc::new(definition), ..user_type }
}

/// Puts the types of now into columns that know only their OIDs.
pub(super) fn resolve_columns(catalog: &CatalogSnapshot, relation: &mut Relation) -> Result<()> {
    for column in &mut relation.columns {
        if column.sql_type.enum_type().is_none() {
            continue;
        }
        column.sql_type = column.sql_type.map_enums(&|of| match catalog.types.get(&of.oid) {
            Some(found) => Ok(Arc::clone(&found.definition)),
            None => Err(Error::corrupt(format!("column \"{}\" has type {}, which is not there", column.name, of.oid))),
        })?;
    }
    Ok(())
}

/// The column as the catalog keeps it.
pub(super) fn stored_column(column: &Column) -> Column {
    Column { sql_type: column.sql_type.without_labels(), ..column.clone() }
}

impl CatalogSnapshot {
    /// The type of an OID, its array type's too.
    pub fn type_of_oid(&self, oid: Oid) -> Option<SqlType> {
        if let Some(found) = self.types.get(&oid) {
            return Some(found.sql_type());
        }
        let element = self.types.values().find(|found| found.definition.array_oid == oid)?;
        Some(element.sql_type().array_of())
    }

    /// The definitions with types named as a search path has it: with their schema where it does not find them. `None`: they
    /// are so already.
    pub fn shown_along(&self, path: &[String]) -> Option<CatalogSnapshot> {
        let qualified =
            |of: &UserType| self.type_named(None, of.name(), path).is_none_or(|found| found.oid() != of.oid());
        let differ = self.types.values().filter(|of| qualified(of) != of.definition.qualified);
        let changed: HashMap<Oid, Arc<UserType>> = differ
            .map(|of| {
                let definition = EnumType { qualified: !of.definition.qualified, ..EnumType::clone(&of.definition) };
                (of.oid(), Arc::new(UserType { definition: Arc::new(definition), ..UserType::clone(of) }))
            })
            .collect();
        if changed.is_empty() {
            return None;
        }
        let renamed = |column: &Column| column.sql_type.enum_type().is_some_and(|of| changed.contains_key(&of.oid));
        let mut shown = self.clone();
        for relation in shown.relations.values_mut().filter(|relation| relation.columns.iter().any(renamed)) {
            for column in &mut Arc::make_mut(relation).columns {
                let new = column.sql_type.map_enums(&|of| {
                    let new = changed.get(&of.oid).map_or(of, |new| &new.definition);
                    Ok::<_, std::convert::Infallible>(Arc::clone(new))
                });
                column.sql_type = match new {
                    Ok(new) => new,
                };
            }
        }
        shown.types.extend(changed);
        Some(shown)
    }

    /// A type by name; without a schema the first in the search path.
    pub fn type_named(&self, schema: Option<&str>, name: &str, path: &[String]) -> Option<&Arc<UserType>> {
        let in_schema = |schema: &str| {
            let schema = self.schema_named(schema)?.oid;
            self.types.get(self.type_names.get(&(schema, name.to_owned()))?)
        };
        match schema {
            Some(schema) => in_schema(schema),
            None => path.iter().find_map(|schema| in_schema(schema)),
        }
    }
}

impl CatalogWriter {
    /// False if the name is taken.
    pub async fn create_type(&mut self, new: &UserType) -> Result<bool> {
        if !self.hold_schema(new.schema).await? {
            return Err(Error::invalid(SqlState::INVALID_SCHEMA_NAME, "the schema was dropped concurrently"));
        }
        if !self.insert(&TYPE_NAMES, &[oid(new.schema), text(new.name()), oid(new.oid())]).await? {
            return Ok(false);
        }
        self.insert(&TYPES, &new.values()?).await
    }

    /// Locks a type against everybody else who changes or uses it in a definition; false if it is gone.
    pub async fn lock_type(&mut self, of: Oid) -> Result<bool> {
        self.lock(&TYPES, &key_bytes(&[oid(of)]), RowLockMode::Update).await
    }

    /// Replaces a type's definition; name and schema may be new ones. False if the new name is taken.
    pub async fn update_type(&mut self, old: &UserType, new: &UserType) -> Result<bool> {
        if (old.schema, old.name()) != (new.schema, new.name()) {
            if !self.hold_schema(new.schema).await? {
                return Err(Error::invalid(SqlState::INVALID_SCHEMA_NAME, "the schema was dropped concurrently"));
            }
            if !self.insert(&TYPE_NAMES, &[oid(new.schema), text(new.name()), oid(new.oid())]).await? {
                return Ok(false);
            }
            self.delete(&TYPE_NAMES, &[oid(old.schema), text(old.name())]).await?;
        }
        self.update(&TYPES, &new.values()?).await?;
        Ok(true)
    }

    pub async fn drop_type(&mut self, old: &UserType) -> Result<()> {
        self.delete(&TYPES, &[oid(old.oid())]).await?;
        self.delete(&TYPE_NAMES, &[oid(old.schema), text(old.name())]).await
    }

    /// Keeps the types of a relation's columns from being dropped until the transaction ends.
    pub(super) async fn hold_types(&mut self, relation: &Relation) -> Result<()> {
        let mut held: Vec<Oid> = Vec::new();
        for column in &relation.columns {
            let Some(of) = column.sql_type.enum_type() else { continue };
            if held.contains(&of.oid) {
                continue;
            }
            if !self.lock(&TYPES, &key_bytes(&[oid(of.oid)]), RowLockMode::Share).await? {
                let message = format!("type \"{}\" does not exist", of.name);
                return Err(Error::invalid(SqlState::UNDEFINED_OBJECT, message));
            }
            held.push(of.oid);
        }
        Ok(())
    }
}
