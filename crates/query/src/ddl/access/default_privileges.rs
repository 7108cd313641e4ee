//! ALTER DEFAULT PRIVILEGES: what objects to come will grant.

use heliosdb_types::{Error, Oid, Result, SqlState};

use super::grant::privilege_of;
use super::not_permitted;
use crate::catalog::{Acl, DefaultAcl, ObjectKind, Privileges};
use crate::ddl::no_schema;
use crate::session::{Grant, GrantKind, GrantTarget, RoleSpec, Session};

impl Session {
    pub(super) async fn default_privileges(
        &mut self,
        roles: &[RoleSpec],
        schemas: &[String],
        grant: &Grant,
    ) -> Result<()> {
        let GrantTarget::Default(kind) = grant.target else { return Err(Error::internal("not default privileges")) };
        let kind = match kind {
            GrantKind::Tables => ObjectKind::Table,
            GrantKind::Sequences => ObjectKind::Sequence,
            GrantKind::Functions => ObjectKind::Function,
            GrantKind::Types => ObjectKind::Type,
            GrantKind::Schemas => ObjectKind::Schema,
        };
        let catalog = self.catalog()?;
        let change = self.resolved(&catalog, grant)?;
        let mut wanted = if grant.privileges.is_empty() { kind.all() } else { Privileges::NONE };
        for privilege in &grant.privileges {
            wanted = wanted | privilege_of(&privilege.word, kind)?;
        }
        if kind == ObjectKind::Schema && !schemas.is_empty() {
            let message = "cannot use IN SCHEMA clause when using GRANT/REVOKE ON SCHEMAS";
            return Err(Error::invalid(SqlState::INVALID_GRANT_OPERATION, message));
        }
        let schemas = schemas.iter().map(|name| Ok(catalog.schema_named(name).ok_or_else(|| no_schema(name))?.oid));
        let mut schemas = schemas.collect::<Result<Vec<Oid>>>()?;
        if schemas.is_empty() {
            schemas.push(Oid(0));
        }
        let owners = roles.iter().map(|spec| self.role_of(&catalog, spec));
        let mut owners = owners.collect::<Result<Vec<Oid>>>()?;
        if owners.is_empty() {
            owners.push(self.user.oid);
        }
        let database = self.database.oid;
        let mut writer = self.catalog_writer()?;
        for owner in owners {
            if !catalog.has_privileges_of(self.user.oid, owner) {
                return Err(not_permitted("permission denied to change default privileges"));
            }
            for schema in &schemas {
                let oid = writer.new_oid()?;
                writer
                    .change_role(owner, |role| {
                        let acls = &mut role.facts.default_acls;
                        let key = (database, *schema, kind);
                        let at = acls.iter().position(|acl| (acl.database, acl.schema, acl.kind) == key);
                        // In a schema the list holds additions alone; everywhere it replaces the built-in default.
                        let before = match at {
                            Some(at) => acls.remove(at),
                            None => {
                                let everywhere = *schema == Oid(0);
                                let acl = if everywhere { Acl::default_of(kind, owner) } else { Acl::default() };
                                DefaultAcl { oid, database, schema: *schema, kind, acl }
                            }
                        };
                        let mut acl = Some(before.acl.clone());
                        change.apply(&mut acl, kind, owner, owner, wanted)?;
                        let acl = acl.unwrap_or_default();
                        let nothing = match *schema {
                            Oid(0) => acl == Acl::default_of(kind, owner),
                            _ => acl.0.is_empty(),
                        };
                        if !nothing {
                            acls.push(DefaultAcl { acl, ..before });
                        }
                        Ok(())
                    })
                    .await?;
            }
        }
        self.catalog_written(&writer);
        Ok(())
    }
}
