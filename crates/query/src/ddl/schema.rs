//! CREATE SCHEMA, ALTER SCHEMA. (DROP SCHEMA is in `drop`.)

use heliosdb_types::{Error, Oid, Result, SqlState};
use sqlparser::ast::{self, SchemaName};

use super::{is_system_schema, no_schema};
use crate::bind;
use crate::catalog::{Schema, SchemaFacts};
use crate::session::Session;

impl Session {
    pub(super) async fn create_schema(&mut self, statement: &ast::Statement) -> Result<()> {
        self.require_read_write("CREATE SCHEMA")?;
        let ast::Statement::CreateSchema {
            schema_name,
            if_not_exists,
            with: None,
            options: None,
            default_collate_spec: None,
            clone: None,
        } = statement
        else {
            return Err(Error::unsupported("CREATE SCHEMA with options"));
        };
        let (name, owner) = match schema_name {
            SchemaName::Simple(name) => (bind::object_name(name)?.1, None),
            SchemaName::UnnamedAuthorization(owner) => {
                (bind::fold_identifier(owner), Some(bind::fold_identifier(owner)))
            }
            SchemaName::NamedAuthorization(name, owner) => {
                (bind::object_name(name)?.1, Some(bind::fold_identifier(owner)))
            }
        };
        refuse_reserved(&name)?;
        let owner = match owner {
            Some(owner) => self.role_oid(&owner)?,
            None => self.user.oid,
        };
        let mut writer = self.catalog_writer()?;
        let schema = Schema { oid: writer.new_oid()?, name, owner, facts: SchemaFacts::default() };
        let exists = self.catalog()?.schema_named(&schema.name).is_some();
        if exists || !writer.create_schema(&schema).await? {
            if !*if_not_exists {
                return Err(duplicate_schema(&schema.name));
            }
            let message = format!("schema \"{}\" already exists, skipping", schema.name);
            self.notice_text(SqlState::DUPLICATE_SCHEMA, message);
        }
        self.catalog_written(&writer);
        Ok(())
    }

    pub(super) async fn alter_schema(&mut self, alter: &ast::AlterSchema) -> Result<()> {
        self.require_read_write("ALTER SCHEMA")?;
        let ast::AlterSchema { name, if_exists, operations } = alter;
        let (_, name) = bind::object_name(name)?;
        let [operation] = operations.as_slice() else { return Err(Error::unsupported("this form of ALTER SCHEMA")) };
        let catalog = self.catalog()?;
        let Some(schema) = catalog.schema_named(&name) else {
            if *if_exists {
                self.notice_text(SqlState::INVALID_SCHEMA_NAME, format!("schema \"{name}\" does not exist, skipping"));
                return Ok(());
            }
            return Err(no_schema(&name));
        };
        if is_system_schema(schema) {
            return Err(Error::invalid(
                SqlState::INSUFFICIENT_PRIVILEGE,
                format!("permission denied for schema {name}"),
            ));
        }
        match operation {
            ast::AlterSchemaOperation::Rename { name: new_name } => {
                let (_, new_name) = bind::object_name(new_name)?;
                refuse_reserved(&new_name)?;
                // Views name their relations by schema in their text.
                self.refuse_if_views_read(
                    &catalog,
                    |relation| relation.schema == schema.oid,
                    "ALTER SCHEMA ... RENAME",
                )?;
                if catalog.relations.values().any(|relation| {
                    relation.schema == schema.oid && relation.columns.iter().any(|column| column.default.is_some())
                }) {
                    return Err(Error::unsupported("ALTER SCHEMA ... RENAME of a schema with column defaults"));
                }
                let renamed = Schema { name: new_name, ..(**schema).clone() };
                let mut writer = self.catalog_writer()?;
                if !writer.rename_schema(&name, &renamed).await? {
                    return Err(duplicate_schema(&renamed.name));
                }
                self.catalog_written(&writer);
                Ok(())
            }
            other => Err(Error::unsupported(format!("ALTER SCHEMA ... {other}"))),
        }
    }

    pub(crate) fn role_oid(&mut self, name: &str) -> Result<Oid> {
        let catalog = self.catalog()?;
        catalog
            .role_named(name)
            .map(|role| role.oid)
            .ok_or_else(|| Error::invalid(SqlState::UNDEFINED_OBJECT, format!("role \"{name}\" does not exist")))
    }
}

fn refuse_reserved(name: &str) -> Result<()> {
    if name.starts_with("pg_") {
        return Err(Error::invalid(SqlState::RESERVED_NAME, format!("unacceptable schema name \"{name}\""))
            .with_detail("The prefix \"pg_\" is reserved for system schemas."));
    }
    Ok(())
}

fn duplicate_schema(name: &str) -> Error {
    Error::invalid(SqlState::DUPLICATE_SCHEMA, format!("schema \"{name}\" already exists"))
}
