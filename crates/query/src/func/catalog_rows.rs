//! Functions of the catalog that give rows: `aclexplode`, `pg_options_to_table`, `pg_partition_ancestors`, and
//! `information_schema._pg_expandarray`, and of the session: `pg_listening_channels`.

use heliosdb_types::{ArrayView, DatumRef, Error, RegKind, Result, SqlState, SqlType};

use super::aggregate::undefined;
use super::common::without_modifier;
use super::rows::RowsCall;
use super::{CastKind, FuncContext, Typed, array, cast};
use crate::catalog::Privileges;

/// The one function of `information_schema` that clients call.
pub(crate) const EXPAND_ARRAY: &str = "_pg_expandarray";

const LISTENING: &str = "pg_listening_channels";

pub(super) fn gives_rows(name: &str) -> bool {
    matches!(name, "aclexplode" | "pg_options_to_table" | "pg_partition_ancestors" | EXPAND_ARRAY | LISTENING)
}

pub(super) fn rows(name: &str, args: &[Typed], ctx: &FuncContext) -> Option<Result<RowsCall>> {
    gives_rows(name).then(|| call(name, args, ctx))
}

fn call(name: &str, args: &[Typed], ctx: &FuncContext) -> Result<RowsCall> {
    if name == LISTENING {
        if !args.is_empty() {
            return Err(undefined(name, args));
        }
        let channels = ctx.names.listening();
        let call = RowsCall::changing(name, vec![(name, SqlType::Text)], move |_, out| {
            let channels = channels.lock().clone();
            channels.iter().try_for_each(|channel| out.row(&[DatumRef::Text(channel)]))
        });
        return Ok(call);
    }
    let [arg] = args else { return Err(undefined(name, args)) };
    if name == EXPAND_ARRAY {
        return expand_array(arg);
    }
    let class = SqlType::Reg(RegKind::Class);
    if name == "pg_partition_ancestors" {
        // Nothing is a partition.
        let table = cast(arg.clone(), &class, CastKind::Explicit, ctx)?;
        return Ok(RowsCall::new(name, name, vec![table], vec![("relid", class)], |_, _| Ok(())));
    }
    let texts = SqlType::Array(Box::new(SqlType::Text));
    let list = cast(arg.clone(), &texts, CastKind::Explicit, ctx)?;
    if name == "pg_options_to_table" {
        let columns = vec![("option_name", SqlType::Text), ("option_value", SqlType::Text)];
        return Ok(RowsCall::new(name, name, vec![list], columns, |values, out| {
            each_text(values, |option| {
                let (name, value) = option.split_once('=').unwrap_or((option, ""));
                out.row(&[DatumRef::Text(name), DatumRef::Text(value)])
            })
        }));
    }
    let columns = vec![
        ("grantor", SqlType::Oid),
        ("grantee", SqlType::Oid),
        ("privilege_type", SqlType::Text),
        ("is_grantable", SqlType::Bool),
    ];
    let names = ctx.clone();
    Ok(RowsCall::new(name, name, vec![list], columns, move |values, out| {
        each_text(values, |item| {
            let (grantee, rest) = split_role(item).ok_or_else(|| malformed(item))?;
            let (privileges, grantor) = rest.split_once('/').ok_or_else(|| malformed(item))?;
            let oid = |role: &str| -> Result<i64> {
                if role.is_empty() { Ok(0) } else { names.names.role_oid(role).map(|oid| i64::from(oid.0)) }
            };
            let (grantor, grantee) = (oid(grantor)?, oid(grantee)?);
            let mut letters = privileges.chars().peekable();
            while let Some(letter) = letters.next() {
                let grantable = letters.next_if_eq(&'*').is_some();
                let named = Privileges::NAMED.iter().find(|(_, known, _)| *known == letter);
                let (_, _, privilege) = named.ok_or_else(|| malformed(item))?;
                out.row(&[
                    DatumRef::Int64(grantor),
                    DatumRef::Int64(grantee),
                    DatumRef::Text(privilege),
                    DatumRef::Bool(grantable),
                ])?;
            }
            Ok(())
        })
    }))
}

/// The elements with their numbers, from 1 whatever the array's bounds.
fn expand_array(arg: &Typed) -> Result<RowsCall> {
    let Some(element) = arg.sql_type.element().cloned() else {
        return Err(undefined("information_schema._pg_expandarray", std::slice::from_ref(arg)));
    };
    let shown = if matches!(element, SqlType::Numeric(_)) { without_modifier(&element) } else { element.clone() };
    let key = format!("{EXPAND_ARRAY} {}", array::type_key(&element));
    let columns = vec![("x", shown), ("n", SqlType::Int4)];
    Ok(RowsCall::new(EXPAND_ARRAY, key, vec![arg.clone()], columns, move |values, out| match values {
        [DatumRef::Bytes(bytes)] => {
            let array = ArrayView::new(&element, bytes)?;
            if array.dimensions().len() > 1 {
                return Err(Error::unsupported("_pg_expandarray of an array of several dimensions"));
            }
            (1i32..).zip(array.iter()).try_for_each(|(n, value)| out.row(&[value?.as_ref(), DatumRef::Int32(n)]))
        }
        [DatumRef::Null] => Ok(()),
        _ => Err(Error::internal("an array is bytes")),
    }))
}

fn malformed(item: &str) -> Error {
    Error::invalid(SqlState::INVALID_TEXT_REPRESENTATION, format!("malformed aclitem: \"{item}\""))
}

/// The role before the `=`, which a quoted name may hold too.
fn split_role(item: &str) -> Option<(&str, &str)> {
    let start = if item.starts_with('"') { item.get(1..)?.find('"')? + 2 } else { 0 };
    let at = item.get(start..)?.find('=')? + start;
    Some((item.get(..at)?, item.get(at + 1..)?))
}

fn each_text(values: &[DatumRef<'_>], mut take: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let [DatumRef::Bytes(bytes)] = values else { return Ok(()) };
    for value in ArrayView::new(&SqlType::Text, bytes)?.iter() {
        let value = value?;
        if let DatumRef::Text(text) = value.as_ref() {
            take(text)?;
        }
    }
    Ok(())
}
