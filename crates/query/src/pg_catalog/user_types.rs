//! User-defined types in `pg_type` and `pg_enum`.

use heliosdb_types::{Datum, Oid, Result, SqlType};

use super::table::{Rows, Source, oid, text};
use crate::catalog::UserType;

/// The rows of users' types and of their array types, in the order they were created.
pub(super) fn pg_type(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    for user_type in sorted(source) {
        let definition = &user_type.definition;
        row(rows, user_type, definition.oid, &definition.name, definition.array_oid, None)?;
        row(rows, user_type, definition.array_oid, &array_name(source, user_type), Oid(0), Some(definition.oid))?;
    }
    Ok(())
}

fn sorted<'a>(source: &Source<'a>) -> Vec<&'a UserType> {
    let mut types: Vec<&UserType> = source.facts.catalog.types.values().map(|found| &**found).collect();
    types.sort_by_key(|found| found.oid());
    types
}

/// `_name`, with more underscores where that is taken.
fn array_name(source: &Source<'_>, user_type: &UserType) -> String {
    let mut name = format!("_{}", user_type.name());
    while source.facts.catalog.type_names.contains_key(&(user_type.schema, name.clone())) {
        name.insert(0, '_');
    }
    name
}

/// An enum, or (with its `element`) the array type of one.
fn row(rows: &mut Rows, of: &UserType, own: Oid, name: &str, array: Oid, element: Option<Oid>) -> Result<()> {
    let is_array = element.is_some();
    rows.add(&[
        ("oid", oid(own)),
        ("typname", text(name)),
        ("typnamespace", oid(of.schema)),
        ("typowner", oid(of.owner)),
        ("typlen", Datum::Int16(if is_array { -1 } else { 4 })),
        ("typbyval", Datum::Bool(!is_array)),
        ("typtype", text(if is_array { "b" } else { "e" })),
        ("typcategory", text(if is_array { "A" } else { "E" })),
        ("typispreferred", Datum::Bool(false)),
        ("typisdefined", Datum::Bool(true)),
        ("typdelim", text(",")),
        ("typelem", oid(element.unwrap_or(Oid(0)))),
        ("typarray", oid(array)),
        ("typalign", text("i")),
        ("typstorage", text(if is_array { "x" } else { "p" })),
        ("typtypmod", Datum::Int32(-1)),
    ])
}

pub(super) fn pg_enum(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    for user_type in sorted(source) {
        for (label, order) in user_type.definition.labels.iter().zip(1u16..) {
            rows.add(&[
                ("oid", oid(label.oid)),
                ("enumtypid", oid(user_type.oid())),
                ("enumsortorder", Datum::Float32(f32::from(order))),
                ("enumlabel", text(&label.name)),
            ])?;
        }
    }
    Ok(())
}

/// How a column of a user's type is kept, as `pg_attribute` tells it: by value, alignment, storage.
pub(super) fn storage(sql_type: &SqlType) -> Option<(bool, char, char)> {
    sql_type.enum_type()?;
    Some(if matches!(sql_type, SqlType::Array(_)) { (false, 'i', 'x') } else { (true, 'i', 'p') })
}
