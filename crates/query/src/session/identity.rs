//! Who a session is: log-in, SET SESSION AUTHORIZATION, SET ROLE.
//!
//! Invariants: `session_authorization` and `role` are settings, so they follow transactions as all settings do; whoever they
//! name was checked when they were set; the roles in force are refreshed from every new catalog, so that losing SUPERUSER is
//! felt by the next statement.

use std::sync::Arc;

use heliosdb_contracts::ConnectRequest;
use heliosdb_types::{BranchId, Error, Oid, Result, SqlState};

use super::Session;
use super::settings::Settings;
use crate::access::Rights;
use crate::catalog::{CatalogSnapshot, Database, POSTGRES_DATABASE, Privileges, Role};
use crate::engine::Engine;

/// Finds the role and the database of a connection, and refuses who may not come in.
pub(super) fn admit(engine: &Engine, request: &ConnectRequest) -> Result<(Arc<Role>, Arc<Database>)> {
    let shared = engine.catalog(POSTGRES_DATABASE, BranchId(0))?;
    let invalid_user = |message: String| Error::invalid(SqlState::INVALID_AUTHORIZATION_SPECIFICATION, message);
    let user = shared
        .role_named(&request.user)
        .ok_or_else(|| invalid_user(format!("role \"{}\" does not exist", request.user)))?;
    if !user.can_login {
        return Err(invalid_user(format!("role \"{}\" is not permitted to log in", request.user)));
    }
    let name = &request.database;
    let database =
        shared.databases.values().find(|database| database.name == *name).ok_or_else(|| {
            Error::invalid(SqlState::INVALID_CATALOG_NAME, format!("database \"{name}\" does not exist"))
        })?;
    if database.facts.closed {
        let message = format!("database \"{name}\" is not currently accepting connections");
        return Err(Error::invalid(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message));
    }
    if !user.superuser {
        let own = engine.catalog(database.id, BranchId(0))?;
        if !Rights::of(&own, user.oid).on_database(database).contains(Privileges::CONNECT) {
            let message = format!("permission denied for database \"{name}\"");
            return Err(Error::invalid(SqlState::INSUFFICIENT_PRIVILEGE, message)
                .with_detail("User does not have CONNECT privilege."));
        }
        let sessions = engine.sessions.list();
        if sessions.len() + engine.options.sessions_reserved >= engine.options.sessions_max {
            let message = "remaining connection slots are reserved for non-replication superuser connections";
            return Err(Error::unavailable(SqlState::TOO_MANY_CONNECTIONS, message));
        }
        let too_many = |limit: Option<u32>, count: usize| limit.is_some_and(|limit| count >= limit as usize);
        let of_database = sessions.iter().filter(|session| session.database.0 == database.oid).count();
        if too_many(database.facts.connection_limit, of_database) {
            let message = format!("too many connections for database \"{name}\"");
            return Err(Error::unavailable(SqlState::TOO_MANY_CONNECTIONS, message));
        }
        let of_role = sessions.iter().filter(|session| session.user.0 == user.oid).count();
        if too_many(user.facts.connection_limit, of_role) {
            let message = format!("too many connections for role \"{}\"", user.name);
            return Err(Error::unavailable(SqlState::TOO_MANY_CONNECTIONS, message));
        }
    }
    Ok((Arc::clone(user), Arc::clone(database)))
}

/// What ALTER DATABASE ... SET and ALTER ROLE ... SET give a new session, the most specific last.
pub(super) fn settings_of(user: &Role, database: &Database) -> Vec<(String, String)> {
    let of_database = database.facts.settings.get(&Oid(0)).into_iter().flatten();
    let of_both = database.facts.settings.get(&user.oid).into_iter().flatten();
    let all = of_database.chain(&user.facts.settings).chain(of_both);
    all.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Checks a value for `role` or `session_authorization`; any other setting passes.
pub(crate) fn may_become(
    catalog: &CatalogSnapshot,
    login: &Role,
    session: &Role,
    setting: &str,
    value: &str,
) -> Result<()> {
    let named = || {
        catalog.role_named(value).ok_or_else(|| {
            Error::invalid(SqlState::INVALID_PARAMETER_VALUE, format!("role \"{value}\" does not exist"))
        })
    };
    let refused = |message: String| Err(Error::invalid(SqlState::INSUFFICIENT_PRIVILEGE, message));
    match setting {
        "role" if value != "none" => {
            let role = named()?;
            if catalog.is_member_of(session.oid, role.oid) {
                return Ok(());
            }
            refused(format!("permission denied to set role \"{value}\""))
        }
        "session_authorization" => {
            let role = named()?;
            if role.oid == login.oid || catalog.is_superuser(login.oid) {
                return Ok(());
            }
            refused(format!("permission denied to set session authorization \"{value}\""))
        }
        _ => Ok(()),
    }
}

impl Session {
    /// Takes the roles the settings name. Called whenever settings may have changed.
    pub(crate) fn take_roles(&mut self) {
        if self.roles_version == self.settings.version {
            return;
        }
        let (session, role) = (self.settings.get("session_authorization"), self.settings.get("role"));
        if (session, role) == (self.roles_from.0.as_str(), self.roles_from.1.as_str()) {
            self.roles_version = self.settings.version;
            return;
        }
        let named = (session.to_owned(), role.to_owned());
        let Ok(catalog) = self.catalog() else { return };
        let (session, role) = (&named.0, &named.1);
        if let Some(found) = catalog.role_named(session) {
            self.session_user = Arc::clone(found);
        }
        self.user = match catalog.role_named(role) {
            Some(found) if role != "none" => Arc::clone(found),
            _ => Arc::clone(&self.session_user),
        };
        self.roles_from = named;
        self.show_superuser();
    }

    /// Puts the roles as a newer catalog has them; a dropped one has no rights left.
    pub(crate) fn refresh_roles(&mut self, catalog: &CatalogSnapshot) {
        let current = |role: &Arc<Role>| match catalog.roles.get(&role.oid) {
            Some(now) => Arc::clone(now),
            None => Arc::new(Role { superuser: false, ..(**role).clone() }),
        };
        if catalog.roles.get(&self.user.oid).is_some_and(|now| Arc::ptr_eq(now, &self.user)) {
            return;
        }
        let superuser = self.user.superuser;
        (self.user, self.session_user, self.login_user) =
            (current(&self.user), current(&self.session_user), current(&self.login_user));
        if self.user.superuser != superuser {
            self.show_superuser();
        }
    }

    /// Finds out which schemas of a catalog the user may not look into.
    pub(crate) fn hide_schemas(&mut self, catalog: &CatalogSnapshot) {
        if (self.hidden.0, self.hidden.1) == (catalog.generation, self.user.oid) {
            return;
        }
        let hidden = Rights::of(catalog, self.user.oid).denied_schemas();
        let names = hidden.iter().filter_map(|oid| catalog.schemas.get(oid)).map(|schema| schema.name.clone());
        self.hidden = (catalog.generation, self.user.oid, names.collect());
    }

    fn show_superuser(&mut self) {
        let value = if self.user.superuser { "on" } else { "off" };
        for settings in self.all_settings() {
            settings.put_known("is_superuser", value);
        }
    }

    /// The settings in force, and those the transaction returns to.
    fn all_settings(&mut self) -> impl Iterator<Item = &mut Settings> {
        let transaction = self.state.open_mut();
        let kept = transaction.into_iter().flat_map(|open| [&mut open.settings_before, &mut open.settings_kept]);
        std::iter::once(&mut self.settings).chain(kept)
    }

    /// SET ROLE, SET SESSION AUTHORIZATION; `None` is NONE or DEFAULT.
    pub(crate) fn become_role(&mut self, setting: &str, name: Option<&str>, local: bool) -> Result<()> {
        match (setting, name) {
            ("session_authorization", name) => {
                let name = name.map_or_else(|| self.login_user.name.clone(), str::to_owned);
                self.set_named("session_authorization", &name, local)?;
                self.set_named("role", "none", local)
            }
            (_, name) => self.set_named("role", name.unwrap_or("none"), local),
        }
    }
}
