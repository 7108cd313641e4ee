//! CREATE ROLE and ALTER ROLE: log-in names and their passwords.
//!
//! There is no GRANT: an object belongs to its owner and to superusers. Attributes that would need more are refused.

use heliosdb_types::{Error, Result, SqlState};
use sqlparser::ast::{self, AlterRoleOperation, Expr, Password, RoleOption};

use crate::bind;
use crate::catalog::{Role, RoleFacts};
use crate::session::{Session, scram_from_text, scram_to_text, scram_verifier_of};

impl Session {
    pub(super) async fn create_role(&mut self, create: &ast::CreateRole) -> Result<()> {
        self.require_read_write("CREATE ROLE")?;
        let ast::CreateRole {
            names,
            if_not_exists,
            login,
            inherit: _, // without memberships there is nothing to inherit
            bypassrls,
            password,
            superuser,
            create_db,
            create_role,
            replication,
            connection_limit,
            valid_until,
            in_role,
            in_group,
            role,
            user,
            admin,
            authorization_owner,
        } = create;
        for (option, name) in [
            (bypassrls, "BYPASSRLS"),
            (create_db, "CREATEDB"),
            (create_role, "CREATEROLE"),
            (replication, "REPLICATION"),
        ] {
            if *option == Some(true) {
                return Err(Error::unsupported(format!("CREATE ROLE ... {name}")));
            }
        }
        if connection_limit.is_some() || valid_until.is_some() || authorization_owner.is_some() || *if_not_exists {
            return Err(Error::unsupported("this form of CREATE ROLE"));
        }
        if [in_role, in_group, role, user, admin].iter().any(|members| !members.is_empty()) {
            return Err(Error::unsupported("role membership"));
        }
        self.require_superuser("permission denied to create role")?;
        let mut writer = self.catalog_writer()?;
        for name in names {
            let (_, name) = bind::object_name(name)?;
            refuse_reserved(&name)?;
            let role = Role {
                oid: writer.new_oid()?,
                name,
                superuser: superuser.unwrap_or(false),
                can_login: login.unwrap_or(false),
                password: match password {
                    Some(password) => self.password_text(password)?,
                    None => None,
                },
                facts: RoleFacts::default(),
            };
            if !writer.create_role(&role).await? {
                let message = format!("role \"{}\" already exists", role.name);
                return Err(Error::invalid(SqlState::DUPLICATE_OBJECT, message));
            }
        }
        self.catalog_written(&writer);
        Ok(())
    }

    pub(super) async fn alter_role(&mut self, name: &ast::Ident, operation: &AlterRoleOperation) -> Result<()> {
        self.require_read_write("ALTER ROLE")?;
        let options = match operation {
            AlterRoleOperation::WithOptions { options } => options,
            AlterRoleOperation::RenameRole { .. } => return Err(Error::unsupported("ALTER ROLE ... RENAME")),
            AlterRoleOperation::Set { .. } | AlterRoleOperation::Reset { .. } => {
                return Err(Error::unsupported("ALTER ROLE ... SET"));
            }
            AlterRoleOperation::AddMember { .. } | AlterRoleOperation::DropMember { .. } => {
                return Err(Error::unsupported("role membership"));
            }
        };
        let name = match bind::fold_identifier(name).as_str() {
            "current_user" | "current_role" | "session_user" => self.user.name.clone(),
            name => name.to_owned(),
        };
        let own_password =
            name == self.user.name && options.iter().all(|option| matches!(option, RoleOption::Password(_)));
        if !own_password {
            self.require_superuser("permission denied")?;
        }
        let catalog = self.catalog()?;
        let found = catalog
            .role_named(&name)
            .ok_or_else(|| Error::invalid(SqlState::UNDEFINED_OBJECT, format!("role \"{name}\" does not exist")))?;
        let mut role = (**found).clone();
        for option in options {
            match option {
                RoleOption::Login(login) => role.can_login = *login,
                RoleOption::SuperUser(superuser) => role.superuser = *superuser,
                RoleOption::Password(password) => role.password = self.password_text(password)?,
                RoleOption::Inherit(_)
                | RoleOption::BypassRLS(false)
                | RoleOption::CreateDB(false)
                | RoleOption::CreateRole(false)
                | RoleOption::Replication(false) => {}
                other => return Err(Error::unsupported(format!("ALTER ROLE ... {other}"))),
            }
        }
        if role.oid == crate::catalog::POSTGRES_ROLE && !role.superuser {
            return Err(Error::invalid(SqlState::FEATURE_NOT_SUPPORTED, "permission denied to alter role")
                .with_detail("The bootstrap user must have the SUPERUSER attribute."));
        }
        let mut writer = self.catalog_writer()?;
        writer.update_role(&role).await?;
        self.catalog_written(&writer);
        Ok(())
    }

    pub(super) fn require_superuser(&self, message: &str) -> Result<()> {
        if self.user.superuser {
            return Ok(());
        }
        Err(Error::invalid(SqlState::INSUFFICIENT_PRIVILEGE, message))
    }

    /// What is kept of a password; `None` is no password at all.
    fn password_text(&mut self, password: &Password) -> Result<Option<String>> {
        let Password::Password(expr) = password else { return Ok(None) };
        let text = match expr {
            Expr::Value(value) => match &value.value {
                ast::Value::Null => return Ok(None),
                ast::Value::SingleQuotedString(text) | ast::Value::EscapedStringLiteral(text) => text.clone(),
                other => return Err(Error::syntax(format!("syntax error at or near \"{other}\""))),
            },
            other => return Err(Error::syntax(format!("syntax error at or near \"{other}\""))),
        };
        if text.is_empty() {
            self.notice_text(SqlState::WARNING, "empty string is not a valid password, clearing password");
            return Ok(None);
        }
        if scram_from_text(&text).is_some() {
            return Ok(Some(text));
        }
        if text.len() == 35 && text.starts_with("md5") {
            return Err(Error::unsupported("an MD5 password"));
        }
        Ok(Some(scram_to_text(&scram_verifier_of(&text, &*self.engine.options.entropy)?)))
    }
}

fn refuse_reserved(name: &str) -> Result<()> {
    if name.starts_with("pg_") {
        return Err(Error::invalid(SqlState::RESERVED_NAME, format!("role name \"{name}\" is reserved"))
            .with_detail("Role names starting with \"pg_\" are reserved."));
    }
    if matches!(name, "public" | "none" | "current_user" | "session_user" | "current_role") {
        return Err(Error::invalid(SqlState::RESERVED_NAME, format!("role name \"{name}\" is reserved")));
    }
    Ok(())
}
