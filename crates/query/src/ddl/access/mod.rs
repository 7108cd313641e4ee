//! GRANT, REVOKE, roles, ownership, databases.
//!
//! Every change reads the row it changes under its lock, so that two of them never lose one another's work.

mod database;
mod default_privileges;
mod grant;
mod objects;
mod owned;
mod owner;
mod roles;
mod settings;

use heliosdb_contracts::Execution;
use heliosdb_types::{Error, Oid, Result, SqlState};

use crate::catalog::{CatalogSnapshot, PUBLIC};
use crate::session::{AccessStatement, RoleSpec, Session};

impl Session {
    /// Runs one statement of this family; gives its tag.
    pub(crate) async fn run_access(&mut self, statement: &AccessStatement) -> Result<Execution> {
        let tag = match statement {
            AccessStatement::Become { setting, name, local, reset } => {
                self.become_role(setting, name.as_deref(), *local)?;
                if *reset { "RESET" } else { "SET" }
            }
            AccessStatement::Grant(grant) => {
                self.require_read_write(if grant.revoke { "REVOKE" } else { "GRANT" })?;
                self.grant(grant).await?;
                if grant.revoke { "REVOKE" } else { "GRANT" }
            }
            AccessStatement::GrantRoles(grant) => {
                self.require_read_write(if grant.revoke { "REVOKE ROLE" } else { "GRANT ROLE" })?;
                self.grant_roles(grant).await?;
                if grant.revoke { "REVOKE ROLE" } else { "GRANT ROLE" }
            }
            AccessStatement::DefaultPrivileges { roles, schemas, grant } => {
                self.require_read_write("ALTER DEFAULT PRIVILEGES")?;
                self.default_privileges(roles, schemas, grant).await?;
                "ALTER DEFAULT PRIVILEGES"
            }
            AccessStatement::CreateRole { name, options } => {
                self.require_read_write("CREATE ROLE")?;
                self.create_role(name, options).await?;
                "CREATE ROLE"
            }
            AccessStatement::AlterRole { role, options } => {
                self.require_read_write("ALTER ROLE")?;
                self.alter_role(role, options).await?;
                "ALTER ROLE"
            }
            AccessStatement::RenameRole { from, to } => {
                self.require_read_write("ALTER ROLE")?;
                self.rename_role(from, to).await?;
                "ALTER ROLE"
            }
            AccessStatement::EditRole { role, database, edit } => {
                self.require_read_write("ALTER ROLE")?;
                self.edit_role(role.as_ref(), database.as_deref(), edit).await?;
                "ALTER ROLE"
            }
            AccessStatement::AlterGroup { group, add, members } => {
                self.require_read_write("ALTER ROLE")?;
                self.alter_group(group, *add, members).await?;
                "ALTER ROLE"
            }
            AccessStatement::DropRole { roles, if_exists } => {
                self.require_read_write("DROP ROLE")?;
                self.drop_roles(roles, *if_exists).await?;
                "DROP ROLE"
            }
            AccessStatement::Reassign { from, to } => {
                self.require_read_write("REASSIGN OWNED")?;
                self.reassign_owned(from, to).await?;
                "REASSIGN OWNED"
            }
            AccessStatement::DropOwned { roles, cascade } => {
                self.require_read_write("DROP OWNED")?;
                self.drop_owned(roles, *cascade).await?;
                "DROP OWNED"
            }
            AccessStatement::CreateDatabase { name, options } => {
                self.require_no_block("CREATE DATABASE")?;
                self.require_read_write("CREATE DATABASE")?;
                self.create_database(name, options).await?;
                "CREATE DATABASE"
            }
            AccessStatement::AlterDatabase { name, change } => {
                self.require_read_write("ALTER DATABASE")?;
                self.alter_database(name, change).await?;
                "ALTER DATABASE"
            }
            AccessStatement::DropDatabase { name, if_exists, force } => {
                self.require_no_block("DROP DATABASE")?;
                self.require_read_write("DROP DATABASE")?;
                self.drop_database(name, *if_exists, *force).await?;
                "DROP DATABASE"
            }
        };
        Ok(Execution::Done(tag.to_owned()))
    }

    /// The role a statement names; 42704 if there is none.
    pub(crate) fn role_of(&self, catalog: &CatalogSnapshot, spec: &RoleSpec) -> Result<Oid> {
        match spec {
            RoleSpec::Named(name) => catalog.role_named(name).map(|role| role.oid).ok_or_else(|| no_role(name)),
            RoleSpec::Current => Ok(self.user.oid),
            RoleSpec::Session => Ok(self.session_user.oid),
            RoleSpec::Public => Err(no_role("public")),
        }
    }

    /// The same for a grantee, which may be PUBLIC.
    fn grantee_of(&self, catalog: &CatalogSnapshot, spec: &RoleSpec) -> Result<Oid> {
        match spec {
            RoleSpec::Public => Ok(PUBLIC),
            spec => self.role_of(catalog, spec),
        }
    }

    /// GRANTED BY may only repeat who grants anyway.
    fn check_grantor(&self, catalog: &CatalogSnapshot, grantor: Option<&RoleSpec>) -> Result<()> {
        match grantor {
            Some(spec) if self.role_of(catalog, spec)? != self.user.oid => {
                Err(Error::invalid(SqlState::FEATURE_NOT_SUPPORTED, "grantor must be current user"))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn require_superuser(&self, message: &str) -> Result<()> {
        if self.user.superuser { Ok(()) } else { Err(not_permitted(message)) }
    }

    fn may_create_roles(&self) -> bool {
        self.user.superuser || self.user.facts.create_role
    }
}

pub(crate) fn no_role(name: &str) -> Error {
    Error::invalid(SqlState::UNDEFINED_OBJECT, format!("role \"{name}\" does not exist"))
}

pub(crate) fn not_permitted(message: impl Into<String>) -> Error {
    Error::invalid(SqlState::INSUFFICIENT_PRIVILEGE, message)
}
