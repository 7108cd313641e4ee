//! Who was granted what: the privilege views of information_schema.

use heliosdb_types::{Datum, Oid, Result};

use super::Facts;
use super::relations::sorted;
use super::table::{Rows, Source, text};
use crate::access::{Rights, relation_kind};
use crate::catalog::{Acl, DATABASE_OWNER_ROLE, ObjectKind, PUBLIC, Privileges, RelationKind};

fn yes_no(value: bool) -> Datum {
    text(if value { "YES" } else { "NO" })
}

fn role_name(facts: &Facts, role: Oid) -> Datum {
    if role == PUBLIC { text("PUBLIC") } else { text(facts.catalog.role_name(role)) }
}

/// Each privilege of a list as the views show it: those the user granted, has, or everybody has.
fn each(
    facts: &Facts,
    acl: &Acl,
    owner: Oid,
    only_roles: bool,
    mut show: impl FnMut(Datum, Datum, &'static str, Datum) -> Result<()>,
) -> Result<()> {
    let rights = Rights::of(&facts.catalog, facts.user.oid);
    for item in &acl.0 {
        let enabled = rights.acts_for(item.grantor) || (item.grantee != PUBLIC && rights.acts_for(item.grantee));
        if !(enabled || (item.grantee == PUBLIC && !only_roles)) {
            continue;
        }
        for (bit, name) in item.privileges.each() {
            // The owner may always grant on.
            let grantable = item.grantable.contains(bit) || item.grantee == owner;
            show(role_name(facts, item.grantor), role_name(facts, item.grantee), name, yes_no(grantable))?;
        }
    }
    Ok(())
}

fn tables(source: &Source<'_>, rows: &mut Rows, only_roles: bool) -> Result<()> {
    let facts = source.facts;
    for relation in sorted(&facts.catalog) {
        if matches!(relation.kind, RelationKind::Sequence(_)) {
            continue;
        }
        let default = Acl::default_of(relation_kind(relation), relation.owner);
        let acl = relation.access.acl.as_ref().unwrap_or(&default);
        let schema = facts.catalog.schemas.get(&relation.schema).map_or("", |schema| schema.name.as_str());
        each(facts, acl, relation.owner, only_roles, |grantor, grantee, privilege, grantable| {
            rows.add(&[
                ("grantor", grantor),
                ("grantee", grantee),
                ("table_catalog", text(&facts.database.name)),
                ("table_schema", text(schema)),
                ("table_name", text(&relation.name)),
                ("privilege_type", text(privilege)),
                ("is_grantable", grantable),
                ("with_hierarchy", yes_no(privilege == "SELECT")),
            ])
        })?;
    }
    Ok(())
}

pub(super) fn table_privileges(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    tables(source, rows, false)
}

pub(super) fn role_table_grants(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    tables(source, rows, true)
}

fn columns(source: &Source<'_>, rows: &mut Rows, only_roles: bool) -> Result<()> {
    let facts = source.facts;
    for relation in sorted(&facts.catalog) {
        if matches!(relation.kind, RelationKind::Sequence(_)) {
            continue;
        }
        let default = Acl::default_of(relation_kind(relation), relation.owner);
        let whole = relation.access.acl.as_ref().unwrap_or(&default);
        let schema = facts.catalog.schemas.get(&relation.schema).map_or("", |schema| schema.name.as_str());
        for column in &relation.columns {
            // A privilege on the table is one on each column.
            let mut all = Acl::default();
            let own = relation.access.columns.get(&column.attribute).map_or(&[][..], |acl| &acl.0);
            for item in whole.0.iter().chain(own) {
                let (privileges, grantable) =
                    (item.privileges & ObjectKind::Column.all(), item.grantable & ObjectKind::Column.all());
                all.grant(item.grantee, item.grantor, privileges, false);
                all.grant(item.grantee, item.grantor, grantable, true);
            }
            each(facts, &all, relation.owner, only_roles, |grantor, grantee, privilege, grantable| {
                rows.add(&[
                    ("grantor", grantor),
                    ("grantee", grantee),
                    ("table_catalog", text(&facts.database.name)),
                    ("table_schema", text(schema)),
                    ("table_name", text(&relation.name)),
                    ("column_name", text(&column.name)),
                    ("privilege_type", text(privilege)),
                    ("is_grantable", grantable),
                ])
            })?;
        }
    }
    Ok(())
}

pub(super) fn column_privileges(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    columns(source, rows, false)
}

pub(super) fn role_column_grants(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    columns(source, rows, true)
}

/// USAGE on sequences.
fn usage(source: &Source<'_>, rows: &mut Rows, only_roles: bool) -> Result<()> {
    let facts = source.facts;
    for relation in sorted(&facts.catalog) {
        if !matches!(relation.kind, RelationKind::Sequence(_)) {
            continue;
        }
        let default = Acl::default_of(ObjectKind::Sequence, relation.owner);
        let acl = relation.access.acl.as_ref().unwrap_or(&default);
        let schema = facts.catalog.schemas.get(&relation.schema).map_or("", |schema| schema.name.as_str());
        each(facts, acl, relation.owner, only_roles, |grantor, grantee, privilege, grantable| {
            if Privileges::named(privilege) != Some(Privileges::USAGE) {
                return Ok(());
            }
            rows.add(&[
                ("grantor", grantor),
                ("grantee", grantee),
                ("object_catalog", text(&facts.database.name)),
                ("object_schema", text(schema)),
                ("object_name", text(&relation.name)),
                ("object_type", text("SEQUENCE")),
                ("privilege_type", text(privilege)),
                ("is_grantable", grantable),
            ])
        })?;
    }
    Ok(())
}

pub(super) fn usage_privileges(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    usage(source, rows, false)
}

pub(super) fn role_usage_grants(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    usage(source, rows, true)
}

pub(super) fn enabled_roles(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    let rights = Rights::of(&facts.catalog, facts.user.oid);
    for role in facts.catalog.roles.values().filter(|role| rights.acts_for(role.oid)) {
        rows.add(&[("role_name", text(&role.name))])?;
    }
    Ok(())
}

pub(super) fn applicable_roles(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    let rights = Rights::of(&facts.catalog, facts.user.oid);
    for member in facts.catalog.roles.values().filter(|role| rights.acts_for(role.oid)) {
        for membership in member.facts.member_of.iter().filter(|m| m.role != DATABASE_OWNER_ROLE) {
            rows.add(&[
                ("grantee", text(&member.name)),
                ("role_name", role_name(facts, membership.role)),
                ("is_grantable", yes_no(membership.admin)),
            ])?;
        }
    }
    Ok(())
}
