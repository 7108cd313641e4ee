//! ALTER ROLE ... SET and ALTER DATABASE ... SET: what new sessions start with.

use std::collections::BTreeMap;

use heliosdb_types::{Error, Oid, Result};

use super::not_permitted;
use crate::access::{Rights, must_be_owner};
use crate::session::{RoleSpec, Session, SettingEdit, SettingName, check_setting, may_set, unrecognized};

/// An edit with its value checked.
enum Edit {
    Put(String, String),
    Remove(String),
    Clear,
}

impl Edit {
    fn apply(&self, settings: &mut BTreeMap<String, String>) {
        match self {
            Edit::Put(name, value) => {
                settings.insert(name.clone(), value.clone());
            }
            Edit::Remove(name) => {
                settings.remove(name);
            }
            Edit::Clear => settings.clear(),
        }
    }
}

impl Session {
    fn checked_edit(&mut self, edit: &SettingEdit) -> Result<Edit> {
        let named = |name: &str| -> Result<(SettingName, String)> {
            let parameter = SettingName::of(name)?;
            let name = parameter.as_str().to_owned();
            if matches!(&*name, "role" | "session_authorization" | "transaction_isolation" | "transaction_read_only") {
                return Err(Error::unsupported(format!("{name} as a setting of a role or database")));
            }
            may_set(&parameter, &self.user)?;
            if parameter.known().is_none() && !self.user.superuser {
                return Err(not_permitted(format!("permission denied to set parameter \"{name}\"")));
            }
            Ok((parameter, name))
        };
        Ok(match edit {
            SettingEdit::ResetAll => Edit::Clear,
            SettingEdit::Reset(name) => Edit::Remove(named(name)?.1),
            SettingEdit::FromCurrent(name) => {
                let (parameter, name) = named(name)?;
                let value = self.settings.of(&parameter).ok_or_else(|| unrecognized(&name))?.to_owned();
                Edit::Put(name, value)
            }
            SettingEdit::Set(set) => {
                let (name, value) = crate::session::assignment(set)?;
                let (parameter, name) = named(&name)?;
                match value {
                    Some(value) => Edit::Put(name, check_setting(&parameter, &value)?),
                    None => Edit::Remove(name),
                }
            }
        })
    }

    pub(super) async fn edit_role(
        &mut self,
        role: Option<&RoleSpec>,
        database: Option<&str>,
        edit: &SettingEdit,
    ) -> Result<()> {
        let catalog = self.catalog()?;
        let target = match role {
            Some(spec) => self.role_of(&catalog, spec)?,
            None => Oid(0),
        };
        let superuser = catalog.roles.get(&target).is_some_and(|role| role.superuser);
        if !self.user.superuser {
            if role.is_none() && database.is_none() {
                return Err(not_permitted("must be superuser to alter settings globally"));
            }
            if superuser {
                return Err(not_permitted("must be superuser to alter superusers"));
            }
            if role.is_some() && !self.may_create_roles() && target != self.user.oid {
                return Err(not_permitted("permission denied"));
            }
        }
        let edit = self.checked_edit(edit)?;
        match database {
            Some(name) => {
                let database = self.database_named(&catalog, name)?;
                if role.is_none() && !Rights::of(&catalog, self.user.oid).owns(database.owner) {
                    return Err(must_be_owner("database", name));
                }
                self.edit_database(database.oid, target, &edit).await
            }
            None if role.is_none() => Err(Error::unsupported("ALTER ROLE ALL SET in all databases")),
            None => {
                let mut writer = self.catalog_writer()?;
                writer
                    .change_role(target, |role| {
                        edit.apply(&mut role.facts.settings);
                        Ok(())
                    })
                    .await?;
                self.catalog_written(&writer);
                Ok(())
            }
        }
    }

    pub(super) async fn edit_database_settings(&mut self, database: Oid, edit: &SettingEdit) -> Result<()> {
        let edit = self.checked_edit(edit)?;
        self.edit_database(database, Oid(0), &edit).await
    }

    async fn edit_database(&mut self, database: Oid, role: Oid, edit: &Edit) -> Result<()> {
        let mut writer = self.catalog_writer()?;
        writer
            .change_database(database, |database| {
                let settings = database.facts.settings.entry(role).or_default();
                edit.apply(settings);
                database.facts.settings.retain(|_, settings| !settings.is_empty());
                Ok(())
            })
            .await?;
        self.catalog_written(&writer);
        Ok(())
    }
}
