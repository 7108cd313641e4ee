//! CREATE SCHEMA, ALTER SCHEMA. (DROP SCHEMA is in `drop`.)

use heliosdb_types::{Error, Oid, Result, SqlState};
use sqlparser::ast::{self, SchemaName};

use super::relation::rename_in_expressions;
use super::{is_system_schema, no_schema};
use crate::access::{Rights, denied, must_be_owner};
use crate::bind;
use crate::catalog::{Privileges, Schema, SchemaFacts};
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
        let catalog = self.catalog()?;
        if !Rights::of(&catalog, self.user.oid).on_database(&self.own_database(&catalog)).contains(Privileges::CREATE) {
            return Err(denied("database", &self.database.name));
        }
        self.check_new_owner(&catalog, owner)?;
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

    pub(crate) async fn alter_schema(
        &mut self,
        name: &ast::Ident,
        new_name: Option<&ast::Ident>,
        owner: Option<&ast::Ident>,
    ) -> Result<()> {
        self.require_read_write("ALTER SCHEMA")?;
        let name = bind::fold_identifier(name);
        let catalog = self.catalog()?;
        let schema = catalog.schema_named(&name).cloned().ok_or_else(|| no_schema(&name))?;
        if !Rights::of(&catalog, self.user.oid).owns(schema.owner) {
            return Err(must_be_owner("schema", &name));
        }
        if is_system_schema(&schema) {
            return Err(denied("schema", &name));
        }
        if let Some(new_name) = new_name {
            let new_name = bind::fold_identifier(new_name);
            refuse_reserved(&new_name)?;
            let renamed = Schema { name: new_name.clone(), ..(*schema).clone() };
            let mut writer = self.catalog_writer()?;
            if !writer.rename_schema(&name, &renamed).await? {
                return Err(duplicate_schema(&new_name));
            }
            rename_in_expressions(&mut writer, (&name, None), (&new_name, None)).await?;
            self.catalog_written(&writer);
        }
        if let Some(owner) = owner {
            let owner = self.owner_named(owner)?;
            if owner == schema.owner {
                return Ok(());
            }
            self.check_new_owner(&catalog, owner)?;
            let database = self.own_database(&catalog);
            if !Rights::of(&catalog, owner).on_database(&database).contains(Privileges::CREATE) {
                return Err(denied("database", &database.name));
            }
            self.give_schema(schema.oid, owner).await?;
        }
        Ok(())
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
