//! GRANT and REVOKE, roles, databases: parsed here whole, as PostgreSQL's grammar has them.

use heliosdb_types::{Error, Result, SqlState};
use sqlparser::ast;
use sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use crate::bind;

/// A role as statements name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RoleSpec {
    Named(String),
    /// CURRENT_USER, CURRENT_ROLE.
    Current,
    /// SESSION_USER.
    Session,
    Public,
}

/// One privilege of a list, perhaps on columns.
#[derive(Clone, Debug)]
pub(crate) struct PrivilegeName {
    /// The unquoted word, in upper case.
    pub word: String,
    /// As an identifier: the list may turn out to be one of roles.
    pub name: String,
    pub columns: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) enum GrantTarget {
    Relations(Vec<ast::ObjectName>),
    Sequences(Vec<ast::ObjectName>),
    Databases(Vec<String>),
    Schemas(Vec<String>),
    /// ALL TABLES, SEQUENCES or FUNCTIONS of schemas.
    AllIn(Kind, Vec<String>),
    /// Of ALTER DEFAULT PRIVILEGES: objects to come.
    Default(Kind),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tables,
    Sequences,
    Functions,
    Types,
    Schemas,
}

#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub revoke: bool,
    /// Empty: ALL.
    pub privileges: Vec<PrivilegeName>,
    /// ALL (columns).
    pub all_columns: Vec<String>,
    pub target: GrantTarget,
    pub grantees: Vec<RoleSpec>,
    /// WITH GRANT OPTION, or GRANT OPTION FOR.
    pub option: bool,
    pub cascade: bool,
    pub grantor: Option<RoleSpec>,
}

#[derive(Clone, Debug)]
pub(crate) struct GrantRoles {
    pub revoke: bool,
    pub roles: Vec<String>,
    pub members: Vec<RoleSpec>,
    /// WITH ADMIN OPTION, or ADMIN OPTION FOR.
    pub admin: bool,
    pub grantor: Option<RoleSpec>,
}

/// An option of CREATE or ALTER ROLE.
#[derive(Clone, Debug)]
pub(crate) enum RoleOption {
    Superuser(bool),
    CreateDb(bool),
    CreateRole(bool),
    Inherit(bool),
    Login(bool),
    Replication(bool),
    BypassRls(bool),
    ConnectionLimit(i64),
    Password(Option<String>),
    ValidUntil(String),
    InRole(Vec<RoleSpec>),
    /// Members; with the admin option.
    Members(Vec<RoleSpec>, bool),
}

/// SET or RESET of a role's or database's settings.
#[derive(Clone, Debug)]
pub(crate) enum SettingEdit {
    Set(Box<ast::Set>),
    FromCurrent(String),
    Reset(String),
    ResetAll,
}

#[derive(Clone, Debug)]
pub(crate) enum DatabaseChange {
    Rename(String),
    Owner(RoleSpec),
    Options(Vec<(String, String)>),
    Edit(SettingEdit),
}

#[derive(Clone, Debug)]
pub(crate) enum AccessStatement {
    /// SET ROLE, SET SESSION AUTHORIZATION and their RESET; no name is NONE or DEFAULT.
    Become {
        setting: &'static str,
        name: Option<String>,
        local: bool,
        reset: bool,
    },
    Grant(Grant),
    GrantRoles(GrantRoles),
    DefaultPrivileges {
        roles: Vec<RoleSpec>,
        schemas: Vec<String>,
        grant: Grant,
    },
    CreateRole {
        name: RoleSpec,
        options: Vec<RoleOption>,
    },
    AlterRole {
        role: RoleSpec,
        options: Vec<RoleOption>,
    },
    RenameRole {
        from: String,
        to: RoleSpec,
    },
    /// `role` None: ALL.
    EditRole {
        role: Option<RoleSpec>,
        database: Option<String>,
        edit: SettingEdit,
    },
    AlterGroup {
        group: RoleSpec,
        add: bool,
        members: Vec<RoleSpec>,
    },
    DropRole {
        roles: Vec<RoleSpec>,
        if_exists: bool,
    },
    Reassign {
        from: Vec<RoleSpec>,
        to: RoleSpec,
    },
    DropOwned {
        roles: Vec<RoleSpec>,
        cascade: bool,
    },
    CreateDatabase {
        name: String,
        options: Vec<(String, String)>,
    },
    AlterDatabase {
        name: String,
        change: DatabaseChange,
    },
    DropDatabase {
        name: String,
        if_exists: bool,
        force: bool,
    },
}

/// The statement, if its first words are one of ours.
pub(super) fn access_statement(cursor: &mut Cursor<'_>) -> Result<Option<AccessStatement>> {
    if let Some(statement) = become_role(*cursor)? {
        return Ok(Some(statement));
    }
    let statement = if cursor.eat("GRANT") {
        grant(cursor, false)?
    } else if cursor.eat("REVOKE") {
        grant(cursor, true)?
    } else if cursor.eat("ALTER DEFAULT PRIVILEGES") {
        default_privileges(cursor)?
    } else if cursor.eat("REASSIGN OWNED") {
        cursor.expect("BY")?;
        let from = cursor.list(role)?;
        cursor.expect("TO")?;
        AccessStatement::Reassign { from, to: role(cursor)? }
    } else if cursor.eat("DROP OWNED") {
        cursor.expect("BY")?;
        let roles = cursor.list(role)?;
        AccessStatement::DropOwned { roles, cascade: cascade(cursor) }
    } else if cursor.eat("CREATE DATABASE") {
        let name = cursor.folded()?;
        cursor.eat("WITH");
        AccessStatement::CreateDatabase { name, options: database_options(cursor)? }
    } else if cursor.eat("ALTER DATABASE") {
        alter_database(cursor)?
    } else if cursor.eat("DROP DATABASE") {
        let if_exists = cursor.eat("IF EXISTS");
        let name = cursor.folded()?;
        cursor.eat("WITH");
        let force = cursor.eat_token(&Token::LParen);
        if force {
            cursor.list(|cursor| cursor.expect("FORCE"))?;
            if !cursor.eat_token(&Token::RParen) {
                return Err(cursor.error());
            }
        }
        AccessStatement::DropDatabase { name, if_exists, force }
    } else {
        let second = cursor.word_at(1);
        let of_roles = matches!(second.as_str(), "ROLE" | "USER" | "GROUP");
        match cursor.word_at(0).as_str() {
            verb @ ("CREATE" | "ALTER" | "DROP") if of_roles => {
                cursor.advance();
                cursor.advance();
                if second == "USER" && cursor.word_at(0) == "MAPPING" {
                    return Err(Error::unsupported(format!("{verb} USER MAPPING")));
                }
                match verb {
                    "CREATE" => create_role(cursor, &second)?,
                    "ALTER" => alter_role(cursor, &second)?,
                    _ => {
                        let if_exists = cursor.eat("IF EXISTS");
                        AccessStatement::DropRole { roles: cursor.list(role)?, if_exists }
                    }
                }
            }
            _ => return Ok(None),
        }
    };
    cursor.expect_end()?;
    Ok(Some(statement))
}

/// `SET [SESSION | LOCAL] ROLE name`, `SET [SESSION | LOCAL] SESSION AUTHORIZATION name`, `RESET SESSION AUTHORIZATION`.
fn become_role(mut cursor: Cursor<'_>) -> Result<Option<AccessStatement>> {
    if cursor.eat("RESET SESSION AUTHORIZATION") {
        cursor.expect_end()?;
        let setting = "session_authorization";
        return Ok(Some(AccessStatement::Become { setting, name: None, local: false, reset: true }));
    }
    if !cursor.eat("SET") {
        return Ok(None);
    }
    let local = cursor.eat("LOCAL");
    let (setting, nobody) = if cursor.eat("SESSION AUTHORIZATION") || cursor.eat("SESSION SESSION AUTHORIZATION") {
        ("session_authorization", "DEFAULT")
    } else if cursor.eat("ROLE") || cursor.eat("SESSION ROLE") {
        ("role", "NONE")
    } else {
        return Ok(None);
    };
    if matches!(cursor.peek(), Some(Token::Eq)) || cursor.word_at(0) == "TO" {
        // `SET role = x` is a plain setting.
        return Ok(None);
    }
    let name = if cursor.eat(nobody) {
        None
    } else {
        Some(match cursor.peek() {
            Some(Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_)) => cursor.string()?,
            _ => cursor.folded()?,
        })
    };
    cursor.expect_end()?;
    Ok(Some(AccessStatement::Become { setting, name, local, reset: false }))
}

fn role(cursor: &mut Cursor<'_>) -> Result<RoleSpec> {
    let word = cursor.word_at(0);
    let name = cursor.folded()?;
    Ok(match word.as_str() {
        "CURRENT_USER" | "CURRENT_ROLE" => RoleSpec::Current,
        "SESSION_USER" => RoleSpec::Session,
        // Quoted or not, as in PostgreSQL.
        _ if name == "public" => RoleSpec::Public,
        _ if name == "none" => {
            return Err(Error::invalid(SqlState::RESERVED_NAME, "role name \"none\" is reserved"));
        }
        _ => RoleSpec::Named(name),
    })
}

fn grantee(cursor: &mut Cursor<'_>) -> Result<RoleSpec> {
    cursor.eat("GROUP");
    role(cursor)
}

fn cascade(cursor: &mut Cursor<'_>) -> bool {
    if cursor.eat("CASCADE") {
        return true;
    }
    cursor.eat("RESTRICT");
    false
}

fn column_names(cursor: &mut Cursor<'_>) -> Result<Vec<String>> {
    if !cursor.eat_token(&Token::LParen) {
        return Ok(Vec::new());
    }
    let columns = cursor.list(Cursor::folded)?;
    if !cursor.eat_token(&Token::RParen) {
        return Err(cursor.error());
    }
    Ok(columns)
}

/// After GRANT or REVOKE: of privileges or of roles, which only the word after the list tells.
fn grant(cursor: &mut Cursor<'_>, revoke: bool) -> Result<AccessStatement> {
    let admin_for = revoke && cursor.eat("ADMIN OPTION FOR");
    let option_for = revoke && cursor.eat("GRANT OPTION FOR");
    let (mut privileges, mut all_columns) = (Vec::new(), Vec::new());
    let all = cursor.word_at(0) == "ALL" && matches!(cursor.word_at(1).as_str(), "ON" | "PRIVILEGES" | "");
    if all {
        cursor.advance();
        cursor.eat("PRIVILEGES");
        all_columns = column_names(cursor)?;
    } else {
        privileges = cursor.list(|cursor| {
            let word = cursor.word_at(0);
            let name = cursor.folded()?;
            Ok(PrivilegeName { word, name, columns: column_names(cursor)? })
        })?;
    }
    let of_roles = cursor.word_at(0) == if revoke { "FROM" } else { "TO" };
    if of_roles && !all {
        if privileges.iter().any(|privilege| !privilege.columns.is_empty()) {
            let message = "column names cannot be included in GRANT/REVOKE ROLE";
            return Err(Error::syntax(message));
        }
        cursor.advance();
        let members = cursor.list(grantee)?;
        let with_admin = !revoke && cursor.eat("WITH ADMIN OPTION");
        let grantor = granted_by(cursor)?;
        let _ = cascade(cursor);
        let roles = privileges.into_iter().map(|privilege| privilege.name).collect();
        let admin = admin_for || with_admin;
        return Ok(AccessStatement::GrantRoles(GrantRoles { revoke, roles, members, admin, grantor }));
    }
    if admin_for {
        return Err(cursor.error());
    }
    cursor.expect("ON")?;
    let target = grant_target(cursor)?;
    rest_of_grant(cursor, revoke, privileges, all_columns, target, option_for).map(AccessStatement::Grant)
}

fn rest_of_grant(
    cursor: &mut Cursor<'_>,
    revoke: bool,
    privileges: Vec<PrivilegeName>,
    all_columns: Vec<String>,
    target: GrantTarget,
    option_for: bool,
) -> Result<Grant> {
    cursor.expect(if revoke { "FROM" } else { "TO" })?;
    let grantees = cursor.list(grantee)?;
    let option = option_for || (!revoke && cursor.eat("WITH GRANT OPTION"));
    let grantor = granted_by(cursor)?;
    let cascade = revoke && cascade(cursor);
    Ok(Grant { revoke, privileges, all_columns, target, grantees, option, cascade, grantor })
}

fn granted_by(cursor: &mut Cursor<'_>) -> Result<Option<RoleSpec>> {
    if cursor.eat("GRANTED BY") { role(cursor).map(Some) } else { Ok(None) }
}

fn grant_target(cursor: &mut Cursor<'_>) -> Result<GrantTarget> {
    if cursor.eat("ALL") {
        let kind = match cursor.word().as_str() {
            "TABLES" => Kind::Tables,
            "SEQUENCES" => Kind::Sequences,
            "FUNCTIONS" | "ROUTINES" | "PROCEDURES" => Kind::Functions,
            _ => return Err(cursor.error()),
        };
        cursor.advance();
        cursor.expect("IN SCHEMA")?;
        return Ok(GrantTarget::AllIn(kind, cursor.list(Cursor::folded)?));
    }
    for refused in
        ["FUNCTION", "PROCEDURE", "ROUTINE", "LANGUAGE", "TYPE", "DOMAIN", "TABLESPACE", "FOREIGN", "PARAMETER"]
    {
        // A table may have such a name: then what follows is not another name.
        if cursor.word_at(0) == refused && !matches!(cursor.word_at(1).as_str(), "" | "TO" | "FROM") {
            return Err(Error::unsupported(format!("GRANT and REVOKE ON {refused}")));
        }
    }
    if cursor.eat("LARGE OBJECT") {
        return Err(Error::unsupported("large objects"));
    }
    if cursor.eat("DATABASE") {
        return Ok(GrantTarget::Databases(cursor.list(Cursor::folded)?));
    }
    if cursor.eat("SCHEMA") {
        return Ok(GrantTarget::Schemas(cursor.list(Cursor::folded)?));
    }
    if cursor.eat("SEQUENCE") {
        return Ok(GrantTarget::Sequences(cursor.list(Cursor::name)?));
    }
    cursor.eat("TABLE");
    Ok(GrantTarget::Relations(cursor.list(Cursor::name)?))
}

fn default_privileges(cursor: &mut Cursor<'_>) -> Result<AccessStatement> {
    let (mut roles, mut schemas) = (Vec::new(), Vec::new());
    loop {
        if cursor.eat("FOR ROLE") || cursor.eat("FOR USER") {
            roles = cursor.list(role)?;
        } else if cursor.eat("IN SCHEMA") {
            schemas = cursor.list(Cursor::folded)?;
        } else {
            break;
        }
    }
    let revoke = cursor.eat("REVOKE");
    if !revoke {
        cursor.expect("GRANT")?;
    }
    let option_for = revoke && cursor.eat("GRANT OPTION FOR");
    let mut privileges = Vec::new();
    if cursor.eat("ALL") {
        cursor.eat("PRIVILEGES");
    } else {
        privileges = cursor.list(|cursor| {
            Ok(PrivilegeName { word: cursor.word_at(0), name: cursor.folded()?, columns: Vec::new() })
        })?;
    }
    cursor.expect("ON")?;
    let kind = match cursor.word_at(0).as_str() {
        "TABLES" => Kind::Tables,
        "SEQUENCES" => Kind::Sequences,
        "FUNCTIONS" | "ROUTINES" => Kind::Functions,
        "TYPES" => Kind::Types,
        "SCHEMAS" => Kind::Schemas,
        _ => return Err(cursor.error()),
    };
    cursor.advance();
    let grant = rest_of_grant(cursor, revoke, privileges, Vec::new(), GrantTarget::Default(kind), option_for)?;
    Ok(AccessStatement::DefaultPrivileges { roles, schemas, grant })
}

fn create_role(cursor: &mut Cursor<'_>, noun: &str) -> Result<AccessStatement> {
    let name = role(cursor)?;
    cursor.eat("WITH");
    let mut options = role_options(cursor, true)?;
    if noun == "USER" && !options.iter().any(|option| matches!(option, RoleOption::Login(_))) {
        options.push(RoleOption::Login(true));
    }
    Ok(AccessStatement::CreateRole { name, options })
}

fn alter_role(cursor: &mut Cursor<'_>, noun: &str) -> Result<AccessStatement> {
    let all = noun != "GROUP" && cursor.eat("ALL");
    let target = if all { None } else { Some(role(cursor)?) };
    if let Some(group) = &target
        && matches!(cursor.word_at(0).as_str(), "ADD" | "DROP")
        && cursor.word_at(1) == "USER"
    {
        let add = cursor.eat("ADD");
        cursor.advance();
        if !add {
            cursor.advance();
        }
        return Ok(AccessStatement::AlterGroup { group: group.clone(), add, members: cursor.list(role)? });
    }
    if cursor.eat("RENAME TO") {
        let Some(RoleSpec::Named(from)) = target else { return Err(cursor.error()) };
        return Ok(AccessStatement::RenameRole { from, to: role(cursor)? });
    }
    let database = if cursor.eat("IN DATABASE") { Some(cursor.folded()?) } else { None };
    if matches!(cursor.word_at(0).as_str(), "SET" | "RESET") {
        let edit = setting_edit(cursor)?;
        return Ok(AccessStatement::EditRole { role: target, database, edit });
    }
    let Some(target) = target.filter(|_| database.is_none()) else { return Err(cursor.error()) };
    cursor.eat("WITH");
    Ok(AccessStatement::AlterRole { role: target, options: role_options(cursor, false)? })
}

fn role_options(cursor: &mut Cursor<'_>, create: bool) -> Result<Vec<RoleOption>> {
    let mut options: Vec<RoleOption> = Vec::new();
    while !cursor.is_at_end() {
        let here = cursor.error().position();
        let placed = |error: Error| match here {
            Some(position) => error.with_position(position),
            None => error,
        };
        let word = cursor.word_at(0);
        let (on, flag) = match word.strip_prefix("NO") {
            Some(rest) => (false, rest.to_owned()),
            None => (true, word.clone()),
        };
        let option = match flag.as_str() {
            "SUPERUSER" => Some(RoleOption::Superuser(on)),
            "CREATEDB" => Some(RoleOption::CreateDb(on)),
            "CREATEROLE" | "CREATEUSER" => Some(RoleOption::CreateRole(on)),
            "INHERIT" => Some(RoleOption::Inherit(on)),
            "LOGIN" => Some(RoleOption::Login(on)),
            "REPLICATION" => Some(RoleOption::Replication(on)),
            "BYPASSRLS" => Some(RoleOption::BypassRls(on)),
            _ => None,
        };
        let option = if let Some(option) = option {
            cursor.advance();
            option
        } else if cursor.eat("CONNECTION LIMIT") {
            RoleOption::ConnectionLimit(cursor.integer()?)
        } else if cursor.eat("ENCRYPTED PASSWORD") || cursor.eat("PASSWORD") {
            if cursor.eat("NULL") { RoleOption::Password(None) } else { RoleOption::Password(Some(cursor.string()?)) }
        } else if cursor.eat("UNENCRYPTED PASSWORD") {
            return Err(Error::unsupported("UNENCRYPTED PASSWORD")
                .with_hint("Remove UNENCRYPTED to store the password in encrypted form instead."));
        } else if cursor.eat("VALID UNTIL") {
            RoleOption::ValidUntil(cursor.string()?)
        } else if create && (cursor.eat("IN ROLE") || cursor.eat("IN GROUP")) {
            RoleOption::InRole(cursor.list(role)?)
        } else if create && cursor.eat("ADMIN") {
            RoleOption::Members(cursor.list(role)?, true)
        } else if (create && cursor.eat("ROLE")) || cursor.eat("USER") {
            RoleOption::Members(cursor.list(role)?, false)
        } else if create && cursor.eat("SYSID") {
            // Ignored by PostgreSQL too, with a notice; here it would be one more thing that does nothing.
            return Err(Error::unsupported("SYSID"));
        } else if !word.is_empty() {
            return Err(placed(Error::syntax(format!("unrecognized role option \"{}\"", word.to_ascii_lowercase()))));
        } else {
            return Err(cursor.error());
        };
        let same = |known: &RoleOption| match (known, &option) {
            (RoleOption::Members(_, a), RoleOption::Members(_, b)) => a == b,
            (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
        };
        if options.iter().any(same) {
            return Err(placed(Error::syntax("conflicting or redundant options")));
        }
        options.push(option);
    }
    Ok(options)
}

/// `SET name TO value`, `SET name FROM CURRENT`, `RESET name`, `RESET ALL`.
fn setting_edit(cursor: &mut Cursor<'_>) -> Result<SettingEdit> {
    if cursor.eat("RESET ALL") {
        return Ok(SettingEdit::ResetAll);
    }
    let setting = |cursor: &mut Cursor<'_>| {
        let name = cursor.name()?;
        let parts = name.0.iter().filter_map(|part| part.as_ident()).map(|ident| ident.value.clone());
        Ok::<_, Error>(parts.collect::<Vec<_>>().join("."))
    };
    if cursor.eat("RESET") {
        return Ok(SettingEdit::Reset(setting(cursor)?));
    }
    cursor.expect("SET")?;
    let mut ahead = *cursor;
    let rest = cursor.rest();
    if let Ok(name) = setting(&mut ahead)
        && ahead.eat("FROM CURRENT")
    {
        ahead.expect_end()?;
        return Ok(SettingEdit::FromCurrent(name));
    }
    let text = rest.iter().map(|token| token.token.to_string()).collect::<Vec<_>>().join(" ");
    let text = format!("SET {}", text.replace(" . ", "."));
    let parsed = bind::parse(&text).map_err(Error::without_position)?;
    match parsed.into_iter().next().map(|parsed| parsed.statement) {
        Some(ast::Statement::Set(set)) => Ok(SettingEdit::Set(Box::new(set))),
        _ => Err(Error::syntax("syntax error at or near \"SET\"")),
    }
}

fn alter_database(cursor: &mut Cursor<'_>) -> Result<AccessStatement> {
    let name = cursor.folded()?;
    let change = if cursor.eat("RENAME TO") {
        DatabaseChange::Rename(cursor.folded()?)
    } else if cursor.eat("OWNER TO") {
        DatabaseChange::Owner(role(cursor)?)
    } else if cursor.eat("REFRESH COLLATION VERSION") {
        return Err(Error::unsupported("ALTER DATABASE ... REFRESH COLLATION VERSION"));
    } else if cursor.word_at(0) == "SET" && cursor.word_at(1) == "TABLESPACE" {
        return Err(Error::unsupported("tablespaces"));
    } else if matches!(cursor.word_at(0).as_str(), "SET" | "RESET") {
        DatabaseChange::Edit(setting_edit(cursor)?)
    } else {
        cursor.eat("WITH");
        DatabaseChange::Options(database_options(cursor)?)
    };
    Ok(AccessStatement::AlterDatabase { name, change })
}

/// `OWNER = x ENCODING 'UTF8' ...`: names in lower case, values as text (`default` for DEFAULT).
fn database_options(cursor: &mut Cursor<'_>) -> Result<Vec<(String, String)>> {
    let mut options: Vec<(String, String)> = Vec::new();
    while !cursor.is_at_end() {
        let name = if cursor.eat("CONNECTION LIMIT") {
            "connection_limit".to_owned()
        } else {
            let word = cursor.word_at(0);
            if word.is_empty() {
                return Err(cursor.error());
            }
            cursor.advance();
            word.to_ascii_lowercase()
        };
        cursor.eat_token(&Token::Eq);
        let value = match cursor.peek() {
            Some(Token::Number(..) | Token::Minus) => cursor.integer()?.to_string(),
            Some(Token::Word(_)) => cursor.folded()?,
            _ => cursor.string()?,
        };
        if options.iter().any(|(known, _)| *known == name) {
            return Err(Error::syntax("conflicting or redundant options"));
        }
        options.push((name, value));
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::own_syntax::{OwnStatement, Parsed, parse_script};

    fn parse(sql: &str) -> Result<AccessStatement> {
        match parse_script(sql)?.pop() {
            Some(Parsed::Own(OwnStatement::Access(statement))) => Ok(*statement),
            other => panic!("one of ours, not {other:?}"),
        }
    }

    #[test]
    fn grants_of_privileges_and_of_roles_are_told_apart() {
        let AccessStatement::Grant(grant) =
            parse("grant select (a, b), update on t, s.u to bob with grant option").unwrap()
        else {
            panic!("privileges")
        };
        assert_eq!(grant.privileges[0].columns, ["a", "b"]);
        assert!(grant.option && matches!(&grant.target, GrantTarget::Relations(names) if names.len() == 2));
        let AccessStatement::GrantRoles(roles) =
            parse("grant admins, \"Odd\" to bob, group eve with admin option").unwrap()
        else {
            panic!("roles")
        };
        assert_eq!((roles.roles, roles.admin), (vec!["admins".to_owned(), "Odd".to_owned()], true));
        let AccessStatement::Grant(grant) =
            parse("revoke grant option for all on all tables in schema x from public cascade").unwrap()
        else {
            panic!("privileges")
        };
        assert!(grant.revoke && grant.cascade && grant.option && grant.grantees == [RoleSpec::Public]);
    }

    #[test]
    fn options_are_read_once() {
        let AccessStatement::CreateRole { options, .. } =
            parse("create user x with nologin password 'p' connection limit -1 valid until '2030-01-01'").unwrap()
        else {
            panic!("a role")
        };
        assert_eq!(options.len(), 4);
        assert!(parse("create role x login nologin").is_err());
        assert!(parse("create role x frobnicate").is_err());
        let set = parse("alter role x in database d set search_path to a, \"B\", 'c'").unwrap();
        assert!(matches!(set, AccessStatement::EditRole { edit: SettingEdit::Set(_), database: Some(_), .. }));
        assert!(parse("create database d owner = bob encoding 'utf8' connection limit 5").is_ok());
        assert!(parse("drop database d with (force)").is_ok());
        assert!(parse("grant select on").is_err());
    }
}
