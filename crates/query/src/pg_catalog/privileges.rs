//! `has_table_privilege` and its family, `pg_has_role`, `acldefault`.

use std::sync::Arc;

use heliosdb_types::{Datum, DatumRef, Error, Oid, PhysicalType, Result, SqlState, SqlType};

use super::Facts;
use super::functions::{Returns, typed};
use super::table::array_text;
use crate::access::Rights;
use crate::catalog::{Acl, ObjectKind, PUBLIC, Privileges, Relation, RelationKind};
use crate::func::{self, CastKind, NameLookup, Typed};

fn undefined(state: SqlState, message: String) -> Error {
    Error::invalid(state, message)
}

/// What `has_x_privilege` is asked about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Object {
    Table,
    Column,
    AnyColumn,
    Sequence,
    Database,
    Schema,
    /// What everybody may use: built-in functions, types, languages.
    Open(Privileges),
    /// What there is none of: servers, wrappers.
    None,
}

/// A call of the family, by the middle of its name; every argument is taken as text, numbers being OIDs.
pub(super) fn privilege_call(facts: &Arc<Facts>, kind: &str, args: &[Typed]) -> Result<Typed> {
    let object = match kind {
        "table" => Object::Table,
        "column" => Object::Column,
        "any_column" => Object::AnyColumn,
        "sequence" => Object::Sequence,
        "database" => Object::Database,
        "schema" => Object::Schema,
        "function" => Object::Open(Privileges::EXECUTE),
        "type" | "language" => Object::Open(Privileges::USAGE),
        "tablespace" => Object::Open(Privileges::CREATE),
        "server" | "foreign_data_wrapper" | "parameter" => Object::None,
        _ => return Err(missing(kind)),
    };
    let named = if object == Object::Column { 3 } else { 2 };
    if args.len() != named && args.len() != named + 1 {
        return Err(missing(kind));
    }
    let with_user = args.len() > named;
    call(facts, "has_privilege", args, move |facts, texts| {
        let mut texts = texts.iter();
        let role = if with_user { role_named(facts, texts.next().copied().unwrap_or(""))? } else { facts.user.oid };
        let rest: Vec<&str> = texts.copied().collect();
        let (Some(of), Some(privilege)) = (rest.first(), rest.last()) else { return Ok(None) };
        has(facts, object, role, of, rest.get(1).copied().unwrap_or(""), privilege)
    })
}

fn missing(kind: &str) -> Error {
    undefined(SqlState::UNDEFINED_FUNCTION, format!("function has_{kind}_privilege does not exist"))
}

/// A strict function of texts.
fn call(
    facts: &Arc<Facts>,
    name: &str,
    args: &[Typed],
    body: impl Fn(&Facts, &[&str]) -> Result<Option<bool>> + Send + Sync + 'static,
) -> Result<Typed> {
    let context = facts.func_context();
    let exprs = args.iter().map(|arg| {
        // An OID stays one: its name may be ambiguous where the number is not.
        let numbered = if matches!(arg.sql_type, SqlType::Reg(_)) {
            func::cast(arg.clone(), &SqlType::Oid, CastKind::Explicit, &context)?
        } else {
            arg.clone()
        };
        Ok(func::cast(numbered, &SqlType::Text, CastKind::Explicit, &context)?.expr)
    });
    let exprs = exprs.collect::<Result<Vec<_>>>()?;
    let physical = vec![PhysicalType::Text; exprs.len()];
    Ok(typed(facts, &format!("{name}/{}", args.len()), exprs, physical, Returns::Bool, false, {
        move |facts: &Facts, values: &[DatumRef<'_>]| {
            let texts = values.iter().map(|value| match value {
                DatumRef::Text(text) => Some(*text),
                _ => None,
            });
            let Some(texts) = texts.collect::<Option<Vec<&str>>>() else { return Ok(Datum::Null) };
            Ok(body(facts, &texts)?.map_or(Datum::Null, Datum::Bool))
        }
    }))
}

fn number(text: &str) -> Option<Oid> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok().map(Oid) } else { None }
}

fn role_named(facts: &Facts, text: &str) -> Result<Oid> {
    if let Some(oid) = number(text) {
        return Ok(oid);
    }
    if text == "public" {
        return Ok(PUBLIC);
    }
    let found = facts.catalog.role_named(text);
    found
        .map(|role| role.oid)
        .ok_or_else(|| undefined(SqlState::UNDEFINED_OBJECT, format!("role \"{text}\" does not exist")))
}

/// The privileges a list names, each with whether the grant option is asked for.
fn wanted(list: &str, kind: ObjectKind) -> Result<Vec<(Privileges, bool)>> {
    list.split(',')
        .map(|word| {
            let upper = word.trim().to_ascii_uppercase();
            let (name, option) = match upper.strip_suffix(" WITH GRANT OPTION") {
                Some(name) => (name.trim(), true),
                None => (upper.as_str(), false),
            };
            let found = Privileges::named(name).filter(|privilege| kind.all().contains(*privilege));
            found.map(|privilege| (privilege, option)).ok_or_else(|| {
                undefined(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!("unrecognized privilege type: \"{}\"", word.trim()),
                )
            })
        })
        .collect()
}

fn any(wanted: &[(Privileges, bool)], granted: impl Fn(Privileges) -> bool, grantable: Privileges) -> Option<bool> {
    Some(wanted.iter().any(|(privilege, option)| granted(*privilege) && (!option || grantable.contains(*privilege))))
}

fn relation<'a>(facts: &'a Facts, text: &str) -> Result<Option<&'a Relation>> {
    let oid = match number(text) {
        Some(oid) => oid,
        None => facts.relation_oid(text)?,
    };
    let index = super::indexes::index_named(&facts.catalog, oid).map(|index| &**index.table);
    Ok(facts.catalog.relations.get(&oid).map(|relation| &**relation).or(index))
}

fn has(facts: &Facts, object: Object, role: Oid, of: &str, column: &str, list: &str) -> Result<Option<bool>> {
    let rights = Rights::of(&facts.catalog, role);
    match object {
        Object::Table | Object::Column | Object::AnyColumn | Object::Sequence => {
            let kind = match object {
                Object::Sequence => ObjectKind::Sequence,
                Object::Table => ObjectKind::Table,
                _ => ObjectKind::Column,
            };
            let wanted = wanted(list, kind)?;
            let Some(relation) = relation(facts, of)? else { return Ok(None) };
            let is_sequence = matches!(relation.kind, RelationKind::Sequence(_));
            if object == Object::Sequence && !is_sequence {
                let message = format!("\"{}\" is not a sequence", relation.name);
                return Err(undefined(SqlState::WRONG_OBJECT_TYPE, message));
            }
            let of_kind = crate::access::relation_kind(relation);
            let grantable = rights.grantable(relation.access.acl.as_ref(), of_kind, relation.owner);
            match object {
                Object::Column => {
                    let found = match column.parse::<i16>() {
                        Ok(number) => relation.columns.iter().find(|column| column.attribute == number),
                        Err(_) => relation.column(column).map(|(_, column)| column),
                    };
                    let found = found.ok_or_else(|| {
                        let message = format!("column \"{column}\" of relation \"{}\" does not exist", relation.name);
                        undefined(SqlState::UNDEFINED_COLUMN, message)
                    })?;
                    let granted = |privilege| rights.has_on_column(relation, found.attribute, privilege);
                    Ok(any(&wanted, granted, grantable))
                }
                Object::AnyColumn => {
                    Ok(any(&wanted, |privilege| rights.has_on_any_column(relation, privilege), grantable))
                }
                _ => Ok(any(&wanted, |privilege| rights.on_relation(relation).contains(privilege), grantable)),
            }
        }
        Object::Database => {
            let wanted = wanted(list, ObjectKind::Database)?;
            let mut databases = facts.catalog.databases.values();
            let found = match number(of) {
                Some(oid) => facts.catalog.databases.get(&oid),
                None => databases.find(|database| database.name == of),
            };
            if found.is_none() && number(of).is_none() {
                let message = format!("database \"{of}\" does not exist");
                return Err(undefined(SqlState::INVALID_CATALOG_NAME, message));
            }
            let Some(found) = found else { return Ok(None) };
            let granted = rights.on_database(found);
            let grantable = rights.grantable(found.facts.acl.as_ref(), ObjectKind::Database, found.owner);
            Ok(any(&wanted, |privilege| granted.contains(privilege), grantable))
        }
        Object::Schema => {
            let wanted = wanted(list, ObjectKind::Schema)?;
            let oid = match number(of) {
                Some(oid) => oid,
                None => facts.schema_oid(of)?,
            };
            let Some(found) = facts.catalog.schemas.get(&oid) else { return Ok(None) };
            let granted = rights.on_schema(found);
            let grantable = rights.grantable(found.facts.acl.as_ref(), ObjectKind::Schema, found.owner);
            Ok(any(&wanted, |privilege| granted.contains(privilege), grantable))
        }
        Object::Open(privilege) => {
            let superuser = rights.is_superuser();
            let public = privilege != Privileges::CREATE;
            let asks_option = list.to_ascii_uppercase().contains("GRANT OPTION");
            Ok(Some(superuser || (public && !asks_option)))
        }
        Object::None => Err(Error::unsupported(format!("privileges on \"{of}\""))),
    }
}

/// `pg_has_role([user,] role, privilege)`.
pub(super) fn has_role(facts: &Arc<Facts>, args: &[Typed]) -> Result<Typed> {
    let with_user = args.len() == 3;
    if args.len() != 2 && !with_user {
        let message = "function pg_has_role does not exist".to_owned();
        return Err(undefined(SqlState::UNDEFINED_FUNCTION, message));
    }
    call(facts, "pg_has_role", args, move |facts, texts| {
        let mut texts = texts.iter().copied();
        let member = if with_user { role_named(facts, texts.next().unwrap_or(""))? } else { facts.user.oid };
        let role = role_named(facts, texts.next().unwrap_or(""))?;
        let catalog = &facts.catalog;
        let list = texts.next().unwrap_or("");
        let mut any = false;
        for word in list.split(',') {
            any |= match word.trim().to_ascii_uppercase().as_str() {
                "USAGE" => catalog.has_privileges_of(member, role),
                "MEMBER" => catalog.is_member_of(member, role),
                "USAGE WITH GRANT OPTION"
                | "USAGE WITH ADMIN OPTION"
                | "MEMBER WITH GRANT OPTION"
                | "MEMBER WITH ADMIN OPTION" => catalog.is_admin_of(member, role),
                _ => {
                    let message = format!("unrecognized privilege type: \"{}\"", word.trim());
                    return Err(undefined(SqlState::INVALID_PARAMETER_VALUE, message));
                }
            };
        }
        Ok(Some(any))
    })
}

/// `acldefault(kind, owner)` as the text of an array.
pub(super) fn default_acl(facts: &Facts, kind: &str, owner: Oid) -> Result<Datum> {
    let kind = match kind {
        "r" => ObjectKind::Table,
        "c" => ObjectKind::Column,
        "s" => ObjectKind::Sequence,
        "d" => ObjectKind::Database,
        "n" => ObjectKind::Schema,
        "f" => ObjectKind::Function,
        "T" | "l" => ObjectKind::Type,
        // Tablespaces, wrappers and servers belong to their owner; there is nothing of the kind to ask about.
        "t" | "F" | "S" | "L" | "p" => return Ok(Datum::Text("{}".to_owned())),
        other => {
            let message = format!("unrecognized object type abbreviation: {other}");
            return Err(Error::invalid(SqlState::INVALID_PARAMETER_VALUE, message));
        }
    };
    let acl = Acl::default_of(kind, owner);
    Ok(Datum::Text(array_text(acl.texts(|role| facts.catalog.role_name(role)))))
}
