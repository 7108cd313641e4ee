//! CREATE TYPE ... AS ENUM, ALTER TYPE, DROP TYPE.

use std::sync::Arc;

use heliosdb_types::{
    ENUM_LABEL_BYTES_MAX, ENUM_LABELS_MAX, EnumLabel, EnumType, Error, LabelPlace, Oid, Result, SqlState,
};
use sqlparser::ast;

use super::{LOOKS_MAX, changed_too_often, no_schema};
use crate::bind;
use crate::catalog::{CatalogSnapshot, CatalogWriter, Relation, RelationKind, Schema, UserType};
use crate::session::Session;

impl Session {
    pub(super) async fn create_type(
        &mut self,
        name: &ast::ObjectName,
        representation: Option<&ast::UserDefinedTypeRepresentation>,
    ) -> Result<()> {
        self.require_read_write("CREATE TYPE")?;
        let labels = match representation {
            Some(ast::UserDefinedTypeRepresentation::Enum { labels }) => labels,
            Some(ast::UserDefinedTypeRepresentation::Composite { .. }) => {
                return Err(Error::unsupported("a composite type"));
            }
            Some(ast::UserDefinedTypeRepresentation::Range { .. }) => return Err(Error::unsupported("a range type")),
            Some(ast::UserDefinedTypeRepresentation::SqlDefinition { .. }) | None => {
                return Err(Error::unsupported("a base type"));
            }
        };
        let (schema_name, name) = bind::object_name(name)?;
        let schema = self.creation_schema(schema_name.as_deref(), &name)?;
        let catalog = self.catalog()?;
        refuse_taken(&catalog, schema.oid, &name)?;
        if labels.len() > ENUM_LABELS_MAX {
            let message = format!("an enum can have at most {ENUM_LABELS_MAX} labels");
            return Err(Error::invalid(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
        }
        let mut writer = self.catalog_writer()?;
        let (oid, array_oid) = (writer.new_oid()?, writer.new_oid()?);
        let mut made: Vec<EnumLabel> = Vec::with_capacity(labels.len());
        let mut seen = std::collections::HashSet::new();
        for label in labels {
            let label = label_text(label)?;
            if !seen.insert(label.clone()) {
                let message = "duplicate key value violates unique constraint \"pg_enum_typid_label_index\"";
                return Err(Error::invalid(SqlState::UNIQUE_VIOLATION, message)
                    .with_detail(format!("Key (enumtypid, enumlabel)=({oid}, {label}) already exists.")));
            }
            made.push(EnumLabel { oid: writer.new_oid()?, code: EnumType::first_code(made.len()), name: label });
        }
        let definition = EnumType { oid, array_oid, schema: schema.name.clone(), qualified: false, name, labels: made };
        let new = UserType { schema: schema.oid, owner: self.user.oid, definition: Arc::new(definition) };
        if !writer.create_type(&new).await? {
            return Err(duplicate_type(new.name()));
        }
        self.catalog_written(&writer);
        Ok(())
    }

    pub(super) async fn alter_type(&mut self, alter: &ast::AlterType) -> Result<()> {
        self.require_read_write("ALTER TYPE")?;
        let ast::AlterType { name, operation } = alter;
        let (old, mut writer) = self.locked_type(name).await?;
        let mut definition = EnumType::clone(&old.definition);
        match operation {
            ast::AlterTypeOperation::Rename(ast::AlterTypeRename { new_name }) => {
                definition.name = bind::fold_identifier(new_name);
                let catalog = self.catalog()?;
                refuse_taken(&catalog, old.schema, &definition.name)?;
            }
            ast::AlterTypeOperation::AddValue(ast::AlterTypeAddValue { if_not_exists, value, position }) => {
                let label = label_text(value)?;
                if definition.labelled(&label).is_some() {
                    let message = format!("enum label \"{label}\" already exists");
                    if *if_not_exists {
                        self.notice_text(SqlState::DUPLICATE_OBJECT, format!("{message}, skipping"));
                        return Ok(());
                    }
                    return Err(Error::invalid(SqlState::DUPLICATE_OBJECT, message));
                }
                let place = match position {
                    None => LabelPlace::Last,
                    Some(ast::AlterTypeAddValuePosition::Before(next)) => {
                        LabelPlace::Before(label_position(&definition, next)?)
                    }
                    Some(ast::AlterTypeAddValuePosition::After(last)) => {
                        LabelPlace::After(label_position(&definition, last)?)
                    }
                };
                let (at, code) = definition.place(place)?;
                definition.labels.insert(at, EnumLabel { oid: writer.new_oid()?, code, name: label });
            }
            ast::AlterTypeOperation::RenameValue(ast::AlterTypeRenameValue { from, to }) => {
                let at = label_position(&definition, from)?;
                let to = label_text(to)?;
                if definition.labelled(&to).is_some() {
                    let message = format!("enum label \"{to}\" already exists");
                    return Err(Error::invalid(SqlState::DUPLICATE_OBJECT, message));
                }
                if let Some(label) = definition.labels.get_mut(at) {
                    label.name = to;
                }
            }
        }
        let new = UserType { definition: Arc::new(definition), ..UserType::clone(&old) };
        if !writer.update_type(&old, &new).await? {
            return Err(duplicate_type(new.name()));
        }
        self.catalog_written(&writer);
        Ok(())
    }

    /// ALTER TYPE ... SET SCHEMA.
    pub(crate) async fn move_type(&mut self, name: &ast::ObjectName, schema: &str) -> Result<()> {
        self.require_read_write("ALTER TYPE")?;
        let (old, mut writer) = self.locked_type(name).await?;
        let target = self.creation_schema(Some(schema), old.name())?;
        let catalog = self.catalog()?;
        if target.oid == old.schema {
            return Ok(());
        }
        if catalog.type_names.contains_key(&(target.oid, old.name().to_owned())) {
            let message = format!("type \"{}\" already exists in schema \"{schema}\"", old.name());
            return Err(Error::invalid(SqlState::DUPLICATE_OBJECT, message));
        }
        let new = UserType { schema: target.oid, ..UserType::clone(&old) };
        if !writer.update_type(&old, &new).await? {
            return Err(duplicate_type(new.name()));
        }
        self.catalog_written(&writer);
        Ok(())
    }

    /// ALTER TYPE ... OWNER TO.
    pub(crate) async fn give_type(&mut self, name: &ast::ObjectName, owner: &ast::Ident) -> Result<()> {
        self.require_read_write("ALTER TYPE")?;
        let owner = self.owner_named(owner)?;
        let (old, mut writer) = self.locked_type(name).await?;
        if !self.user.superuser {
            let catalog = self.catalog()?;
            self.check_new_owner(&catalog, owner)?;
        }
        let new = UserType { owner, ..UserType::clone(&old) };
        writer.update_type(&old, &new).await?;
        self.catalog_written(&writer);
        Ok(())
    }

    /// A type of ours by name, locked, as it is now.
    async fn locked_type(&mut self, name: &ast::ObjectName) -> Result<(Arc<UserType>, CatalogWriter)> {
        for _ in 0..LOOKS_MAX {
            let catalog = self.catalog()?;
            let found = self.type_to_change(&catalog, name)?;
            let mut writer = self.catalog_writer()?;
            let there = writer.lock_type(found.oid()).await?;
            // Somebody may have changed it before the lock was granted.
            let now = writer.catalog()?;
            if there && let Some(current) = now.types.get(&found.oid()) {
                return Ok((Arc::clone(current), writer));
            }
        }
        Err(changed_too_often("the type"))
    }

    fn type_to_change(&mut self, catalog: &CatalogSnapshot, name: &ast::ObjectName) -> Result<Arc<UserType>> {
        let (schema, type_name) = bind::object_name(name)?;
        let path = self.search_path();
        let found = catalog.type_named(schema.as_deref(), &type_name, &path).cloned();
        let found = found.ok_or_else(|| undefined_type(catalog, schema.as_deref(), &type_name))?;
        if !self.user.superuser && found.owner != self.user.oid {
            let message = format!("must be owner of type {}", found.definition.shown_name());
            return Err(Error::invalid(SqlState::INSUFFICIENT_PRIVILEGE, message));
        }
        Ok(found)
    }

    pub(super) async fn drop_types(&mut self, names: &[ast::ObjectName], if_exists: bool, cascade: bool) -> Result<()> {
        let catalog = self.catalog()?;
        let mut found: Vec<Arc<UserType>> = Vec::new();
        for name in names {
            let (schema, type_name) = bind::object_name(name)?;
            match self.type_to_change(&catalog, name) {
                // A name may stand there twice.
                Ok(one) if found.iter().any(|known| known.oid() == one.oid()) => {}
                Ok(one) => found.push(one),
                Err(error) if if_exists && error.state() != SqlState::INSUFFICIENT_PRIVILEGE => {
                    let (state, what) = match &schema {
                        Some(schema) if catalog.schema_named(schema).is_none() => {
                            (SqlState::INVALID_SCHEMA_NAME, format!("schema \"{schema}\""))
                        }
                        Some(schema) => (SqlState::UNDEFINED_OBJECT, format!("type \"{schema}.{type_name}\"")),
                        None => (SqlState::UNDEFINED_OBJECT, format!("type \"{type_name}\"")),
                    };
                    self.notice_text(state, format!("{what} does not exist, skipping"));
                }
                Err(error) => return Err(error),
            }
        }
        let mut writer = self.catalog_writer()?;
        for one in &found {
            writer.lock_type(one.oid()).await?;
        }
        // With the locks held nobody else can begin to use the types.
        let now = writer.catalog()?;
        self.catalog_written(&writer);
        for one in &found {
            let users = columns_of(&now, one.oid());
            if users.is_empty() {
                continue;
            }
            if !cascade {
                return Err(still_used(&one.definition, &users));
            }
            for (relation, column, _) in users {
                self.drop_user(&relation, &column).await?;
            }
        }
        let mut writer = self.catalog_writer()?;
        for one in &found {
            writer.drop_type(one).await?;
        }
        self.catalog_written(&writer);
        Ok(())
    }

    /// DROP SCHEMA ... RESTRICT of a schema that has types.
    pub(super) fn check_types_of(&mut self, schemas: &[Arc<Schema>], cascade: bool) -> Result<()> {
        let catalog = self.catalog()?;
        for schema in schemas {
            let mut inside: Vec<String> =
                types_in(&catalog, schema.oid).iter().map(|one| one.definition.shown_name()).collect();
            inside.sort();
            if inside.is_empty() {
                continue;
            }
            if !cascade {
                let message = format!("cannot drop schema {} because other objects depend on it", schema.name);
                let detail: Vec<String> =
                    inside.iter().map(|name| format!("type {name} depends on schema {}", schema.name)).collect();
                return Err(Error::invalid(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
                    .with_detail(detail.join("\n"))
                    .with_hint("Use DROP ... CASCADE to drop the dependent objects too."));
            }
            for name in inside {
                self.notice_text(SqlState::SUCCESSFUL_COMPLETION, format!("drop cascades to type {name}"));
            }
        }
        Ok(())
    }

    /// The types of schemas that go, with whatever columns elsewhere have them.
    pub(super) async fn drop_types_of(&mut self, schemas: &[Arc<Schema>]) -> Result<()> {
        for schema in schemas {
            let catalog = self.catalog()?;
            for one in types_in(&catalog, schema.oid) {
                let mut writer = self.catalog_writer()?;
                writer.lock_type(one.oid()).await?;
                let now = writer.catalog()?;
                self.catalog_written(&writer);
                for (relation, column, _) in columns_of(&now, one.oid()) {
                    self.drop_user(&relation, &column).await?;
                }
                let mut writer = self.catalog_writer()?;
                writer.drop_type(&one).await?;
                self.catalog_written(&writer);
            }
        }
        Ok(())
    }

    /// Drops a column of a type that goes, or the view that shows it; both may be gone already with something else.
    async fn drop_user(&mut self, relation: &Relation, column: &str) -> Result<()> {
        let catalog = self.catalog()?;
        let Some(now) = catalog.relations.get(&relation.oid).filter(|now| now.column(column).is_some()) else {
            return Ok(());
        };
        let schema = catalog.schemas.get(&now.schema).map(|schema| schema.name.as_str()).unwrap_or_default();
        let name = format!("{}.{}", quoted(schema), quoted(&now.name));
        let (notice, statement) = match now.kind {
            RelationKind::View(_) => {
                (format!("drop cascades to view {}", now.name), format!("DROP VIEW {name} CASCADE"))
            }
            _ => (
                format!("drop cascades to column {column} of table {}", now.name),
                format!("ALTER TABLE {name} DROP COLUMN {} CASCADE", quoted(column)),
            ),
        };
        self.notice_text(SqlState::SUCCESSFUL_COMPLETION, notice);
        let parsed = bind::parse(&statement)?.pop().map(|parsed| parsed.statement);
        match parsed {
            Some(ast::Statement::AlterTable(alter)) => Box::pin(self.alter_table(&alter)).await,
            Some(drop @ ast::Statement::Drop { .. }) => Box::pin(self.drop_objects(&drop)).await.map(|_| ()),
            _ => Err(Error::internal("a statement of our own does not parse")),
        }
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn types_in(catalog: &CatalogSnapshot, schema: Oid) -> Vec<Arc<UserType>> {
    catalog.types.values().filter(|one| one.schema == schema).cloned().collect()
}

/// Columns of arrays of a type, and then of the type itself, with their relations.
fn columns_of(catalog: &CatalogSnapshot, of: Oid) -> Vec<(Arc<Relation>, String, bool)> {
    let mut users = Vec::new();
    for relation in catalog.relations.values() {
        for column in &relation.columns {
            if column.sql_type.enum_type().is_some_and(|found| found.oid == of) {
                let array = column.sql_type.element().is_some();
                users.push((Arc::clone(relation), column.name.clone(), array));
            }
        }
    }
    users.sort_by_key(|(relation, column, array)| (!array, relation.oid, relation.column(column).map(|(at, _)| at)));
    users
}

fn still_used(of: &EnumType, users: &[(Arc<Relation>, String, bool)]) -> Error {
    let shown = of.shown_name();
    let lines = users.iter().map(|(relation, column, array)| {
        let brackets = if *array { "[]" } else { "" };
        match relation.kind {
            RelationKind::View(_) => format!("view {} depends on type {shown}{brackets}", relation.name),
            _ => format!("column {column} of table {} depends on type {shown}{brackets}", relation.name),
        }
    });
    let mut detail: Vec<String> = lines.collect();
    detail.dedup();
    let message = format!("cannot drop type {shown} because other objects depend on it");
    Error::invalid(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
        .with_detail(detail.join("\n"))
        .with_hint("Use DROP ... CASCADE to drop the dependent objects too.")
}

fn label_text(label: &ast::Ident) -> Result<String> {
    if label.value.len() > ENUM_LABEL_BYTES_MAX {
        return Err(Error::invalid(SqlState::INVALID_NAME, format!("invalid enum label \"{}\"", label.value))
            .with_detail(format!("Labels must be {ENUM_LABEL_BYTES_MAX} bytes or less.")));
    }
    Ok(label.value.clone())
}

fn label_position(of: &EnumType, label: &ast::Ident) -> Result<usize> {
    of.labels.iter().position(|known| known.name == label.value).ok_or_else(|| {
        let message = format!("\"{}\" is not an existing enum label", label.value);
        Error::invalid(SqlState::INVALID_PARAMETER_VALUE, message)
    })
}

/// Tables have a type of their name in PostgreSQL, so the name must be free among relations too.
fn refuse_taken(catalog: &CatalogSnapshot, schema: Oid, name: &str) -> Result<()> {
    let key = (schema, name.to_owned());
    let relation = catalog.names.get(&key).and_then(|oid| catalog.relations.get(oid));
    let row_type = relation.is_some_and(|relation| !matches!(relation.kind, RelationKind::Sequence(_)));
    if row_type || catalog.type_names.contains_key(&key) {
        return Err(duplicate_type(name));
    }
    Ok(())
}

fn duplicate_type(name: &str) -> Error {
    Error::invalid(SqlState::DUPLICATE_OBJECT, format!("type \"{name}\" already exists"))
}

fn undefined_type(catalog: &CatalogSnapshot, schema: Option<&str>, name: &str) -> Error {
    match schema {
        Some(schema) if catalog.schema_named(schema).is_none() => no_schema(schema),
        Some(schema) => Error::invalid(SqlState::UNDEFINED_OBJECT, format!("type \"{schema}.{name}\" does not exist")),
        None => Error::invalid(SqlState::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist")),
    }
}
