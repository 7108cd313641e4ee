//! CREATE, ALTER and DROP ROLE; membership.

use std::sync::Arc;

use heliosdb_types::{Error, Oid, Result, SqlState, SqlType};

use super::{no_role, not_permitted};
use crate::catalog::{
    CatalogSnapshot, DATABASE_OWNER_ROLE, FIRST_USER_OID, Membership, POSTGRES_ROLE, Role, RoleFacts,
};
use crate::session::{GrantRoles, RoleOption, RoleSpec, Session, scram_from_text, scram_to_text, scram_verifier_of};

impl Session {
    pub(super) async fn create_role(&mut self, name: &RoleSpec, options: &[RoleOption]) -> Result<()> {
        let name = new_name(name)?;
        let mut role = Role {
            oid: Oid(0),
            name: name.clone(),
            superuser: false,
            can_login: false,
            password: None,
            facts: RoleFacts::default(),
        };
        for option in options {
            self.apply_option(&mut role, option)?;
        }
        let allowed = |what: &str| Err(not_permitted(format!("must be superuser to create {what}")));
        if !self.user.superuser {
            match () {
                () if role.superuser => return allowed("superusers"),
                () if role.facts.replication => return allowed("replication users"),
                () if role.facts.bypass_rls => return allowed("bypassrls users"),
                () if !self.may_create_roles() => return Err(not_permitted("permission denied to create role")),
                () => {}
            }
        }
        refuse_reserved(&name)?;
        let catalog = self.catalog()?;
        let mut writer = self.catalog_writer()?;
        role.oid = writer.new_oid()?;
        if !writer.create_role(&role).await? {
            return Err(Error::invalid(SqlState::DUPLICATE_OBJECT, format!("role \"{name}\" already exists")));
        }
        self.catalog_written(&writer);
        for option in options {
            match option {
                RoleOption::InRole(groups) => {
                    for group in groups {
                        let group = self.role_of(&catalog, group)?;
                        self.add_member(group, role.oid, false).await?;
                    }
                }
                RoleOption::Members(members, admin) => {
                    for member in members {
                        let member = self.role_of(&catalog, member)?;
                        self.add_member(role.oid, member, *admin).await?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn apply_option(&mut self, role: &mut Role, option: &RoleOption) -> Result<()> {
        match option {
            RoleOption::Superuser(on) => role.superuser = *on,
            RoleOption::CreateDb(on) => role.facts.create_db = *on,
            RoleOption::CreateRole(on) => role.facts.create_role = *on,
            RoleOption::Inherit(on) => role.facts.no_inherit = !on,
            RoleOption::Login(on) => role.can_login = *on,
            RoleOption::Replication(on) => role.facts.replication = *on,
            RoleOption::BypassRls(on) => role.facts.bypass_rls = *on,
            RoleOption::ConnectionLimit(limit) => {
                role.facts.connection_limit = match limit {
                    -1 => None,
                    limit => Some(u32::try_from(*limit).map_err(|_| {
                        let message = format!("invalid connection limit: {limit}");
                        Error::invalid(SqlState::INVALID_PARAMETER_VALUE, message)
                    })?),
                };
            }
            RoleOption::Password(password) => role.password = self.kept_password(password.as_deref())?,
            RoleOption::ValidUntil(text) => {
                let value = heliosdb_types::parse_text(&SqlType::Timestamptz(None), text, &self.text_context())?;
                let heliosdb_types::Datum::TimestampTz(micros) = value else {
                    return Err(Error::internal("a moment of another type"));
                };
                role.facts.valid_until = Some(micros);
            }
            RoleOption::InRole(_) | RoleOption::Members(..) => {}
        }
        Ok(())
    }

    /// What is kept of a password; `None` is no password at all.
    fn kept_password(&mut self, password: Option<&str>) -> Result<Option<String>> {
        let Some(text) = password else { return Ok(None) };
        if text.is_empty() {
            self.notice_text(SqlState::WARNING, "empty string is not a valid password, clearing password");
            return Ok(None);
        }
        if scram_from_text(text).is_some() {
            return Ok(Some(text.to_owned()));
        }
        if text.len() == 35 && text.starts_with("md5") {
            return Err(Error::unsupported("an MD5 password"));
        }
        Ok(Some(scram_to_text(&scram_verifier_of(text, &*self.engine.options.entropy)?)))
    }

    pub(super) async fn alter_role(&mut self, spec: &RoleSpec, options: &[RoleOption]) -> Result<()> {
        let catalog = self.catalog()?;
        let target = self.role_of(&catalog, spec)?;
        let found = changeable(&catalog, target)?;
        let mut role = (*found).clone();
        for option in options {
            self.apply_option(&mut role, option)?;
        }
        self.may_alter(&found, &role, options)?;
        if target == POSTGRES_ROLE && !role.superuser {
            return Err(Error::invalid(SqlState::FEATURE_NOT_SUPPORTED, "permission denied to alter role")
                .with_detail("The bootstrap user must have the SUPERUSER attribute."));
        }
        let mut writer = self.catalog_writer()?;
        writer
            .change_role(target, |now| {
                // Only what the options name; memberships and the like may have changed meanwhile.
                let facts = RoleFacts {
                    member_of: std::mem::take(&mut now.facts.member_of),
                    settings: std::mem::take(&mut now.facts.settings),
                    default_acls: std::mem::take(&mut now.facts.default_acls),
                    ..role.facts.clone()
                };
                *now = Role { facts, ..role.clone() };
                Ok(())
            })
            .await?;
        self.catalog_written(&writer);
        for option in options {
            if let RoleOption::Members(members, admin) = option {
                for member in members {
                    let member = self.role_of(&catalog, member)?;
                    self.add_member(target, member, *admin).await?;
                }
            }
        }
        Ok(())
    }

    fn may_alter(&self, old: &Role, new: &Role, options: &[RoleOption]) -> Result<()> {
        if self.user.superuser {
            return Ok(());
        }
        let has = |wanted: fn(&RoleOption) -> bool| options.iter().any(wanted);
        if old.superuser || has(|option| matches!(option, RoleOption::Superuser(_))) {
            let message = "must be superuser to alter superuser roles or change superuser attribute";
            return Err(not_permitted(message));
        }
        if old.facts.replication || has(|option| matches!(option, RoleOption::Replication(_))) {
            let message = "must be superuser to alter replication roles or change replication attribute";
            return Err(not_permitted(message));
        }
        if has(|option| matches!(option, RoleOption::BypassRls(_))) {
            return Err(not_permitted("must be superuser to change bypassrls attribute"));
        }
        // Anybody may change their own password.
        let own = new.oid == self.user.oid && options.iter().all(|option| matches!(option, RoleOption::Password(_)));
        if self.may_create_roles() || own { Ok(()) } else { Err(not_permitted("permission denied")) }
    }

    pub(super) async fn rename_role(&mut self, from: &str, to: &RoleSpec) -> Result<()> {
        let catalog = self.catalog()?;
        let target = catalog.role_named(from).ok_or_else(|| no_role(from))?.oid;
        let role = changeable(&catalog, target)?;
        let to = new_name(to)?;
        if role.oid == self.session_user.oid {
            return Err(Error::unsupported("session user cannot be renamed"));
        }
        if role.oid == self.user.oid {
            return Err(Error::unsupported("current user cannot be renamed"));
        }
        refuse_reserved(&to)?;
        if role.superuser && !self.user.superuser {
            return Err(not_permitted("must be superuser to rename superusers"));
        }
        if !self.may_create_roles() {
            return Err(not_permitted("permission denied to rename role"));
        }
        let mut writer = self.catalog_writer()?;
        if !writer.rename_role(from, &Role { name: to.clone(), ..(*role).clone() }).await? {
            return Err(Error::invalid(SqlState::DUPLICATE_OBJECT, format!("role \"{to}\" already exists")));
        }
        self.catalog_written(&writer);
        Ok(())
    }

    pub(super) async fn drop_roles(&mut self, roles: &[RoleSpec], if_exists: bool) -> Result<()> {
        if !self.may_create_roles() {
            return Err(not_permitted("permission denied to drop role"));
        }
        let mut targets: Vec<Arc<Role>> = Vec::new();
        let catalog = self.catalog()?;
        for spec in roles {
            let RoleSpec::Named(name) = spec else {
                let message = "cannot use special role specifier in DROP ROLE";
                return Err(Error::invalid(SqlState::INVALID_PARAMETER_VALUE, message));
            };
            match catalog.role_named(name) {
                Some(role) => targets.push(Arc::clone(role)),
                None if if_exists => {
                    let message = format!("role \"{name}\" does not exist, skipping");
                    self.notice_text(SqlState::SUCCESSFUL_COMPLETION, message);
                }
                None => return Err(no_role(name)),
            }
        }
        for role in targets {
            self.drop_role(&role).await?;
        }
        Ok(())
    }

    async fn drop_role(&mut self, role: &Role) -> Result<()> {
        let in_use = |what: &str| Err(Error::invalid(SqlState::OBJECT_IN_USE, format!("{what} cannot be dropped")));
        if role.oid == self.user.oid {
            return in_use("current user");
        }
        if role.oid == self.session_user.oid {
            return in_use("session user");
        }
        if role.superuser && !self.user.superuser {
            return Err(not_permitted("must be superuser to drop superusers"));
        }
        let name = &role.name;
        if role.oid < FIRST_USER_OID {
            let message = format!("cannot drop role {name} because it is required by the database system");
            return Err(Error::invalid(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message));
        }
        let catalog = self.catalog()?;
        let dependents = self.dependents_of_role(&catalog, role.oid)?;
        if !dependents.is_empty() {
            let message = format!("role \"{name}\" cannot be dropped because some objects depend on it");
            return Err(
                Error::invalid(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message).with_detail(dependents.join("\n"))
            );
        }
        let mut writer = self.catalog_writer()?;
        for (member, _) in catalog.members(role.oid) {
            let group = role.oid;
            writer
                .change_role(member.oid, |member| {
                    member.facts.member_of.retain(|membership| membership.role != group);
                    Ok(())
                })
                .await?;
        }
        for database in catalog.databases.values() {
            if database.facts.settings.contains_key(&role.oid) {
                let role = role.oid;
                writer
                    .change_database(database.oid, |database| {
                        database.facts.settings.remove(&role);
                        Ok(())
                    })
                    .await?;
            }
        }
        writer.drop_role(role).await?;
        self.catalog_written(&writer);
        Ok(())
    }

    pub(super) async fn alter_group(&mut self, group: &RoleSpec, add: bool, members: &[RoleSpec]) -> Result<()> {
        let catalog = self.catalog()?;
        let group = self.role_of(&catalog, group)?;
        for member in members {
            let member = self.role_of(&catalog, member)?;
            if add {
                self.add_member(group, member, false).await?;
            } else {
                self.remove_member(group, member, false).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn grant_roles(&mut self, grant: &GrantRoles) -> Result<()> {
        let catalog = self.catalog()?;
        self.check_grantor(&catalog, grant.grantor.as_ref())?;
        for role in &grant.roles {
            let role = catalog.role_named(role).ok_or_else(|| no_role(role))?.oid;
            for member in &grant.members {
                let member = self.role_of(&catalog, member)?;
                if grant.revoke {
                    self.remove_member(role, member, grant.admin).await?;
                } else {
                    self.add_member(role, member, grant.admin).await?;
                }
            }
        }
        Ok(())
    }

    /// Superusers may change any membership, CREATEROLE any but in superusers, others with the admin option.
    fn may_change_members(&self, catalog: &CatalogSnapshot, role: &Role) -> Result<()> {
        if role.superuser && !self.user.superuser {
            return Err(not_permitted("must be superuser to alter superusers"));
        }
        if self.may_create_roles() || catalog.is_admin_of(self.user.oid, role.oid) {
            return Ok(());
        }
        Err(not_permitted(format!("must have admin option on role \"{}\"", role.name)))
    }

    async fn add_member(&mut self, role: Oid, member: Oid, admin: bool) -> Result<()> {
        let catalog = self.catalog()?;
        let missing = || Error::internal("a role that was just there");
        let group = Arc::clone(catalog.roles.get(&role).ok_or_else(missing)?);
        let joining = Arc::clone(catalog.roles.get(&member).ok_or_else(missing)?);
        self.may_change_members(&catalog, &group)?;
        if role == DATABASE_OWNER_ROLE {
            let message = "role \"pg_database_owner\" cannot have explicit members";
            return Err(Error::invalid(SqlState::INVALID_GRANT_OPERATION, message));
        }
        if member == DATABASE_OWNER_ROLE {
            let message = "role \"pg_database_owner\" cannot be a member of any role";
            return Err(Error::invalid(SqlState::INVALID_GRANT_OPERATION, message));
        }
        if member < FIRST_USER_OID && member != POSTGRES_ROLE {
            return Err(Error::unsupported(format!("memberships of the predefined role \"{}\"", joining.name)));
        }
        if catalog.roles_of(role, false).contains(&member) {
            let message = format!("role \"{}\" is a member of role \"{}\"", group.name, joining.name);
            return Err(Error::invalid(SqlState::INVALID_GRANT_OPERATION, message));
        }
        let known = joining.facts.member_of.iter().find(|membership| membership.role == role);
        if known.is_some_and(|known| known.admin || !admin) {
            let message = format!("role \"{}\" is already a member of role \"{}\"", joining.name, group.name);
            self.notice_text(SqlState::DUPLICATE_OBJECT, message);
            return Ok(());
        }
        let grantor = self.user.oid;
        let mut writer = self.catalog_writer()?;
        writer
            .change_role(member, |member| {
                member.facts.member_of.retain(|membership| membership.role != role);
                member.facts.member_of.push(Membership { role, grantor, admin });
                Ok(())
            })
            .await?;
        self.catalog_written(&writer);
        Ok(())
    }

    async fn remove_member(&mut self, role: Oid, member: Oid, admin_only: bool) -> Result<()> {
        let catalog = self.catalog()?;
        let missing = || Error::internal("a role that was just there");
        let group = Arc::clone(catalog.roles.get(&role).ok_or_else(missing)?);
        let leaving = Arc::clone(catalog.roles.get(&member).ok_or_else(missing)?);
        self.may_change_members(&catalog, &group)?;
        if !leaving.facts.member_of.iter().any(|membership| membership.role == role) {
            let message = format!("role \"{}\" is not a member of role \"{}\"", leaving.name, group.name);
            self.warning(SqlState::WARNING, message);
            return Ok(());
        }
        let mut writer = self.catalog_writer()?;
        writer
            .change_role(member, |member| {
                if !admin_only {
                    member.facts.member_of.retain(|membership| membership.role != role);
                }
                for membership in member.facts.member_of.iter_mut().filter(|membership| membership.role == role) {
                    membership.admin = false;
                }
                Ok(())
            })
            .await?;
        self.catalog_written(&writer);
        Ok(())
    }
}

fn new_name(spec: &RoleSpec) -> Result<String> {
    let reserved =
        |name: &str| Err(Error::invalid(SqlState::RESERVED_NAME, format!("{name} cannot be used as a role name here")));
    match spec {
        RoleSpec::Named(name) => Ok(name.clone()),
        RoleSpec::Public => Err(Error::invalid(SqlState::RESERVED_NAME, "role name \"public\" is reserved")),
        RoleSpec::Current => reserved("CURRENT_USER"),
        RoleSpec::Session => reserved("SESSION_USER"),
    }
}

fn refuse_reserved(name: &str) -> Result<()> {
    if name.starts_with("pg_") {
        return Err(Error::invalid(SqlState::RESERVED_NAME, format!("role name \"{name}\" is reserved"))
            .with_detail("Role names starting with \"pg_\" are reserved."));
    }
    Ok(())
}

/// A role that ALTER may change: not one of the predefined ones.
fn changeable(catalog: &CatalogSnapshot, role: Oid) -> Result<Arc<Role>> {
    let found = catalog.roles.get(&role).ok_or_else(|| Error::internal("a role that was just there"))?;
    if role < FIRST_USER_OID && role != POSTGRES_ROLE {
        return Err(Error::invalid(SqlState::RESERVED_NAME, format!("role name \"{}\" is reserved", found.name))
            .with_detail("Role names starting with \"pg_\" are reserved."));
    }
    Ok(Arc::clone(found))
}
