//! CREATE, ALTER and DROP DATABASE.
//!
//! A database is its row, its system trees and the trees its tables name. Creating one writes the rows of an empty catalog; a template
//! with objects of its own is not copied.

use std::sync::Arc;

use heliosdb_types::{BranchId, DatabaseId, Error, Oid, Result, SqlState};

use super::not_permitted;
use crate::access::{Rights, must_be_owner};
use crate::catalog::{
    self, CatalogSnapshot, Database, DatabaseFacts, FIRST_USER_OID, Relation, Schema, TEMPLATE1_DATABASE_OID,
};
use crate::session::{DatabaseChange, RoleSpec, Session};

fn no_database(name: &str) -> Error {
    Error::invalid(SqlState::INVALID_CATALOG_NAME, format!("database \"{name}\" does not exist"))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::invalid(SqlState::INVALID_PARAMETER_VALUE, message)
}

/// Options CREATE and ALTER DATABASE share.
#[derive(Default)]
struct Options {
    owner: Option<String>,
    template: Option<String>,
    is_template: Option<bool>,
    allow_connections: Option<bool>,
    connection_limit: Option<Option<u32>>,
}

fn read_options(options: &[(String, String)], create: bool) -> Result<Options> {
    let mut read = Options::default();
    for (name, value) in options {
        let boolean = || {
            crate::session::parse_bool(value).ok_or_else(|| Error::syntax(format!("{name} requires a Boolean value")))
        };
        let only = |allowed: &[&str]| {
            let fits = value == "default" || allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(value));
            if fits { Ok(()) } else { Err(Error::unsupported(format!("{name} '{value}' of a database"))) }
        };
        match name.as_str() {
            "is_template" => read.is_template = Some(boolean()?),
            "allow_connections" => read.allow_connections = Some(boolean()?),
            "connection_limit" => {
                let limit: i64 = value.parse().map_err(|_| Error::syntax("an integer is needed"))?;
                read.connection_limit = Some(match limit {
                    -1 => None,
                    limit => {
                        Some(u32::try_from(limit).map_err(|_| invalid(format!("invalid connection limit: {limit}")))?)
                    }
                });
            }
            "owner" if create => read.owner = Some(value.clone()).filter(|value| value != "default"),
            "template" if create => read.template = Some(value.clone()).filter(|value| value != "default"),
            // There is one encoding and one order, PostgreSQL's UTF8 and C.
            "encoding" if create => only(&["UTF8", "UTF-8", "UNICODE", "6"])?,
            "lc_collate" | "lc_ctype" | "locale" if create => {
                only(&["C", "POSIX", "C.UTF-8", "C.UTF8", "en_US.UTF-8", "en_US.utf8"])?;
                if value.starts_with("en_") {
                    return Err(Error::unsupported(format!("{name} '{value}'"))
                        .with_hint("Text sorts bytewise (locale C) in every database."));
                }
            }
            "locale_provider" if create => only(&["libc"])?,
            "tablespace" if create => only(&["pg_default"])?,
            "strategy" if create => only(&["wal_log", "file_copy"])?,
            "oid" | "icu_locale" | "collation_version" if create => {
                return Err(Error::unsupported(format!("{name} of a database")));
            }
            _ => return Err(Error::syntax(format!("option \"{name}\" not recognized"))),
        }
    }
    Ok(read)
}

impl Session {
    pub(super) fn database_named(&self, catalog: &CatalogSnapshot, name: &str) -> Result<Arc<Database>> {
        catalog.databases.values().find(|database| database.name == name).cloned().ok_or_else(|| no_database(name))
    }

    fn database_to_change(&self, catalog: &CatalogSnapshot, name: &str) -> Result<Arc<Database>> {
        let database = self.database_named(catalog, name)?;
        if !Rights::of(catalog, self.user.oid).owns(database.owner) {
            return Err(must_be_owner("database", name));
        }
        Ok(database)
    }

    /// The session's database as it is now.
    pub(crate) fn own_database(&self, catalog: &CatalogSnapshot) -> Arc<Database> {
        catalog.databases.get(&self.database.oid).unwrap_or(&self.database).clone()
    }

    pub(super) async fn create_database(&mut self, name: &str, options: &[(String, String)]) -> Result<()> {
        let options = read_options(options, true)?;
        let catalog = self.catalog()?;
        let owner = match &options.owner {
            Some(owner) => self.role_of(&catalog, &RoleSpec::Named(owner.clone()))?,
            None => self.user.oid,
        };
        if !self.user.superuser && !self.user.facts.create_db {
            return Err(not_permitted("permission denied to create database"));
        }
        self.check_new_owner(&catalog, owner)?;
        let taken = || Error::invalid(SqlState::DUPLICATE_DATABASE, format!("database \"{name}\" already exists"));
        if self.database_named(&catalog, name).is_ok() {
            return Err(taken());
        }
        self.check_template(&catalog, options.template.as_deref())?;
        let mut writer = self.catalog_writer()?;
        let oid = writer.new_oid()?;
        let database = Database {
            oid,
            id: DatabaseId(oid.0),
            name: name.to_owned(),
            owner,
            facts: DatabaseFacts {
                is_template: options.is_template.unwrap_or(false),
                closed: !options.allow_connections.unwrap_or(true),
                connection_limit: options.connection_limit.flatten(),
                ..DatabaseFacts::default()
            },
        };
        if !writer.create_database(&database).await? {
            return Err(taken());
        }
        catalog::fill_database(&mut writer, database.id).await?;
        self.catalog_written(&writer);
        Ok(())
    }

    /// A template must be there, be ours to copy, and be as empty as what we make.
    fn check_template(&self, catalog: &CatalogSnapshot, name: Option<&str>) -> Result<()> {
        let template = match name {
            Some(name) => Some(self.database_named(catalog, name).map_err(|_| {
                let message = format!("template database \"{name}\" does not exist");
                Error::invalid(SqlState::INVALID_CATALOG_NAME, message)
            })?),
            None => catalog.databases.get(&TEMPLATE1_DATABASE_OID).cloned(),
        };
        let Some(template) = template else { return Ok(()) };
        if !template.facts.is_template && !Rights::of(catalog, self.user.oid).owns(template.owner) {
            return Err(not_permitted(format!("permission denied to copy database \"{}\"", template.name)));
        }
        let own = self.engine.catalog(template.id, BranchId(0))?;
        let filled = own.relations.values().any(|relation: &Arc<Relation>| relation.oid >= FIRST_USER_OID)
            || own.schemas.values().any(|schema: &Arc<Schema>| schema.oid >= FIRST_USER_OID);
        if filled {
            return Err(Error::unsupported(format!("copying database \"{}\", which is not empty", template.name))
                .with_hint("Name template0 as the template."));
        }
        Ok(())
    }

    pub(super) async fn alter_database(&mut self, name: &str, change: &DatabaseChange) -> Result<()> {
        let catalog = self.catalog()?;
        let database = self.database_to_change(&catalog, name)?;
        match change {
            DatabaseChange::Rename(to) => {
                if !self.user.superuser && !self.user.facts.create_db {
                    return Err(not_permitted("permission denied to rename database"));
                }
                if database.oid == self.database.oid {
                    return Err(Error::unsupported("current database cannot be renamed"));
                }
                self.refuse_if_used(&database)?;
                let mut writer = self.catalog_writer()?;
                let renamed = Database { name: to.clone(), ..(*database).clone() };
                if !writer.rename_database(name, &renamed).await? {
                    let message = format!("database \"{to}\" already exists");
                    return Err(Error::invalid(SqlState::DUPLICATE_DATABASE, message));
                }
                self.catalog_written(&writer);
                Ok(())
            }
            DatabaseChange::Owner(owner) => {
                let owner = self.role_of(&catalog, owner)?;
                if owner == database.owner {
                    return Ok(());
                }
                self.check_new_owner(&catalog, owner)?;
                if !self.user.superuser && !self.user.facts.create_db {
                    return Err(not_permitted("permission denied to change owner of database"));
                }
                self.give_database(database.oid, owner).await
            }
            DatabaseChange::Options(options) => {
                let options = read_options(options, false)?;
                if options.allow_connections == Some(false) && database.oid == self.database.oid {
                    return Err(invalid("cannot disallow connections for current database"));
                }
                let mut writer = self.catalog_writer()?;
                writer
                    .change_database(database.oid, |database| {
                        let facts = &mut database.facts;
                        facts.is_template = options.is_template.unwrap_or(facts.is_template);
                        facts.closed = options.allow_connections.map_or(facts.closed, |allow| !allow);
                        facts.connection_limit = options.connection_limit.unwrap_or(facts.connection_limit);
                        Ok(())
                    })
                    .await?;
                self.catalog_written(&writer);
                Ok(())
            }
            DatabaseChange::Edit(edit) => self.edit_database_settings(database.oid, edit).await,
        }
    }

    fn refuse_if_used(&self, database: &Database) -> Result<()> {
        let sessions = self.engine.sessions.list();
        let others = sessions.iter().filter(|session| session.database.0 == database.oid).count();
        if others == 0 {
            return Ok(());
        }
        let message = format!("database \"{}\" is being accessed by other users", database.name);
        let detail = match others {
            1 => "There is 1 other session using the database.".to_owned(),
            count => format!("There are {count} other sessions using the database."),
        };
        Err(Error::invalid(SqlState::OBJECT_IN_USE, message).with_detail(detail))
    }

    pub(super) async fn drop_database(&mut self, name: &str, if_exists: bool, force: bool) -> Result<()> {
        let catalog = self.catalog()?;
        let database = match self.database_to_change(&catalog, name) {
            Err(error) if if_exists && error.state() == SqlState::INVALID_CATALOG_NAME => {
                let message = format!("database \"{name}\" does not exist, skipping");
                self.notice_text(SqlState::SUCCESSFUL_COMPLETION, message);
                return Ok(());
            }
            found => found?,
        };
        if database.facts.is_template {
            let message = "cannot drop a template database";
            return Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, message));
        }
        if database.oid == self.database.oid {
            let message = "cannot drop the currently open database";
            return Err(Error::invalid(SqlState::OBJECT_IN_USE, message));
        }
        if database.oid < FIRST_USER_OID {
            return Err(Error::unsupported(format!("dropping database \"{name}\", where roles are looked up")));
        }
        if force && self.refuse_if_used(&database).is_err() {
            return Err(Error::unsupported("DROP DATABASE ... WITH (FORCE) while sessions use the database"));
        }
        self.refuse_if_used(&database)?;
        let content = self.engine.catalog(database.id, BranchId(0))?;
        let mut writer = self.catalog_writer()?;
        writer.drop_trees(database.id, &content)?;
        for role in catalog.roles.values() {
            if role.facts.default_acls.iter().any(|acl| acl.database == database.oid) {
                let gone: Oid = database.oid;
                writer
                    .change_role(role.oid, |role| {
                        role.facts.default_acls.retain(|acl| acl.database != gone);
                        Ok(())
                    })
                    .await?;
            }
        }
        writer.drop_database(&database).await?;
        self.catalog_written(&writer);
        Ok(())
    }
}
