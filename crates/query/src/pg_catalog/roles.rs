//! Databases and roles, as every database sees them.

use heliosdb_types::{Datum, Oid, Result};

use super::Facts;
use super::relations::acl;
use super::table::{Rows, Source, array_text, oid, text};
use crate::catalog::{
    Acl, CLASS_RELATION, CLASS_SCHEMA, DATABASE_OWNER_ROLE, FIRST_USER_OID, ObjectKind, POSTGRES_ROLE, PUBLIC_SCHEMA,
    Role, schema_facts,
};

const DEFAULT_TABLESPACE: Oid = Oid(1663);

pub(super) fn pg_database(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let mut databases: Vec<_> = source.facts.catalog.databases.values().collect();
    databases.sort_by_key(|database| database.oid);
    for database in databases {
        let limit = database.facts.connection_limit.and_then(|limit| i32::try_from(limit).ok());
        rows.add(&[
            ("oid", oid(database.oid)),
            ("datname", text(&database.name)),
            ("datdba", oid(database.owner)),
            ("encoding", Datum::Int32(6)),
            ("datlocprovider", text("c")),
            ("datistemplate", Datum::Bool(database.facts.is_template)),
            ("datallowconn", Datum::Bool(!database.facts.closed)),
            ("datconnlimit", Datum::Int32(limit.unwrap_or(-1))),
            ("dattablespace", oid(DEFAULT_TABLESPACE)),
            ("datcollate", text("C")),
            ("datctype", text("C.UTF-8")),
            ("datacl", acl(source.facts, database.facts.acl.as_ref())),
        ])?;
    }
    Ok(())
}

fn roles(facts: &Facts) -> Vec<&Role> {
    let mut roles: Vec<&Role> = facts.catalog.roles.values().map(|role| &**role).collect();
    roles.sort_by_key(|role| role.oid);
    roles
}

fn valid_until(role: &Role) -> Datum {
    role.facts.valid_until.map_or(Datum::Null, Datum::TimestampTz)
}

/// Columns pg_authid and pg_roles share.
fn role_values(role: &Role) -> Vec<(&'static str, Datum)> {
    let facts = &role.facts;
    let limit = facts.connection_limit.and_then(|limit| i32::try_from(limit).ok());
    vec![
        ("oid", oid(role.oid)),
        ("rolname", text(&role.name)),
        ("rolsuper", Datum::Bool(role.superuser)),
        ("rolinherit", Datum::Bool(!facts.no_inherit)),
        ("rolcreaterole", Datum::Bool(facts.create_role)),
        ("rolcreatedb", Datum::Bool(facts.create_db)),
        ("rolcanlogin", Datum::Bool(role.can_login)),
        ("rolreplication", Datum::Bool(facts.replication)),
        ("rolconnlimit", Datum::Int32(limit.unwrap_or(-1))),
        ("rolvaliduntil", valid_until(role)),
        ("rolbypassrls", Datum::Bool(facts.bypass_rls)),
    ]
}

pub(super) fn pg_authid(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    for role in roles(source.facts) {
        let mut values = role_values(role);
        values.push(("rolpassword", role.password.as_ref().map_or(Datum::Null, text)));
        rows.add(&values)?;
    }
    Ok(())
}

/// `{name=value,...}` of the settings a role or database has.
fn settings(values: &std::collections::BTreeMap<String, String>) -> Datum {
    if values.is_empty() {
        return Datum::Null;
    }
    text(array_text(values.iter().map(|(name, value)| format!("{name}={value}"))))
}

pub(super) fn pg_roles(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    for role in roles(source.facts) {
        let mut values = role_values(role);
        values.push(("rolpassword", text("********")));
        values.push(("rolconfig", settings(&role.facts.settings)));
        rows.add(&values)?;
    }
    Ok(())
}

fn users(source: &Source<'_>, rows: &mut Rows, password: impl Fn(&Role) -> Datum) -> Result<()> {
    for role in roles(source.facts).into_iter().filter(|role| role.can_login) {
        rows.add(&[
            ("usename", text(&role.name)),
            ("usesysid", oid(role.oid)),
            ("usecreatedb", Datum::Bool(role.facts.create_db)),
            ("usesuper", Datum::Bool(role.superuser)),
            ("userepl", Datum::Bool(role.facts.replication)),
            ("usebypassrls", Datum::Bool(role.facts.bypass_rls)),
            ("passwd", password(role)),
            ("valuntil", valid_until(role)),
            ("useconfig", settings(&role.facts.settings)),
        ])?;
    }
    Ok(())
}

pub(super) fn pg_user(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    users(source, rows, |_| text("********"))
}

pub(super) fn pg_shadow(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    users(source, rows, |role| role.password.as_ref().map_or(Datum::Null, text))
}

pub(super) fn pg_group(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    for role in roles(source.facts).into_iter().filter(|role| !role.can_login) {
        let mut members: Vec<Oid> = source.facts.catalog.members(role.oid).map(|(member, _)| member.oid).collect();
        members.sort();
        rows.add(&[
            ("groname", text(&role.name)),
            ("grosysid", oid(role.oid)),
            ("grolist", text(array_text(members.iter().map(ToString::to_string)))),
        ])?;
    }
    Ok(())
}

pub(super) fn pg_auth_members(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    for member in roles(source.facts) {
        for membership in &member.facts.member_of {
            rows.add(&[
                ("roleid", oid(membership.role)),
                ("member", oid(member.oid)),
                ("grantor", oid(membership.grantor)),
                ("admin_option", Datum::Bool(membership.admin)),
            ])?;
        }
    }
    Ok(())
}

pub(super) fn pg_db_role_setting(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    for role in roles(source.facts).into_iter().filter(|role| !role.facts.settings.is_empty()) {
        rows.add(&[
            ("setdatabase", oid(Oid(0))),
            ("setrole", oid(role.oid)),
            ("setconfig", settings(&role.facts.settings)),
        ])?;
    }
    for database in source.facts.catalog.databases.values() {
        for (role, values) in &database.facts.settings {
            rows.add(&[("setdatabase", oid(database.oid)), ("setrole", oid(*role)), ("setconfig", settings(values))])?;
        }
    }
    Ok(())
}

/// What the system's own objects grant from the beginning, so that a dump leaves it out.
pub(super) fn pg_init_privs(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    let first = |rows: &mut Rows, class: Oid, object: Oid, grants: Option<&Acl>| {
        if grants.is_none() {
            return Ok(());
        }
        rows.add(&[
            ("objoid", oid(object)),
            ("classoid", oid(class)),
            ("privtype", text("i")),
            ("initprivs", acl(facts, grants)),
        ])
    };
    for relation in facts.catalog.relations.values().filter(|relation| relation.oid < FIRST_USER_OID) {
        first(rows, CLASS_RELATION, relation.oid, relation.access.acl.as_ref())?;
    }
    for schema in facts.catalog.schemas.values().filter(|schema| schema.oid < FIRST_USER_OID) {
        let owner = if schema.oid == PUBLIC_SCHEMA { DATABASE_OWNER_ROLE } else { POSTGRES_ROLE };
        first(rows, CLASS_SCHEMA, schema.oid, schema_facts(schema.oid, owner).acl.as_ref())?;
    }
    Ok(())
}

pub(super) fn pg_default_acl(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    for role in roles(facts) {
        for default in role.facts.default_acls.iter().filter(|acl| acl.database == facts.database.oid) {
            let letter = match default.kind {
                ObjectKind::Table | ObjectKind::Column => "r",
                ObjectKind::Sequence => "S",
                ObjectKind::Function => "f",
                ObjectKind::Type => "T",
                ObjectKind::Schema | ObjectKind::Database => "n",
            };
            rows.add(&[
                ("oid", oid(default.oid)),
                ("defaclrole", oid(role.oid)),
                ("defaclnamespace", oid(default.schema)),
                ("defaclobjtype", text(letter)),
                ("defaclacl", acl(facts, Some(&default.acl))),
            ])?;
        }
    }
    Ok(())
}
