//! pg_description and pg_shdescription: what COMMENT ON said, and what comes with every database.

use heliosdb_types::{Datum, Oid, Result};

use super::table::{Rows, Source};
use crate::catalog::{
    CLASS_DATABASE, CLASS_ROLE, CLASS_SCHEMA, CatalogSnapshot, CommentKey, PG_CATALOG, PUBLIC_SCHEMA,
};

/// What is commented on from the beginning.
const BUILT_IN: [(Oid, Oid, &str); 3] = [
    (CLASS_SCHEMA, PUBLIC_SCHEMA, "standard public schema"),
    (CLASS_SCHEMA, PG_CATALOG, "system catalog schema"),
    (CLASS_DATABASE, Oid(5), "default administrative connection database"),
];

/// Every comment, in order.
pub(super) fn comments(catalog: &CatalogSnapshot) -> Vec<(CommentKey, &str)> {
    let given = catalog.comments.iter().map(|(key, text)| (*key, text.as_str()));
    let built_in = BUILT_IN.into_iter().map(|(class, object, text)| (CommentKey { class, object, sub: 0 }, text));
    let mut all: Vec<_> = given.chain(built_in.filter(|(key, _)| !catalog.comments.contains_key(key))).collect();
    all.sort_by_key(|(key, _)| (key.class, key.object, key.sub));
    all
}

fn is_shared(key: &CommentKey) -> bool {
    matches!(key.class, CLASS_DATABASE | CLASS_ROLE)
}

fn oid(oid: Oid) -> Datum {
    Datum::Int64(i64::from(oid.0))
}

pub(super) fn pg_description(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    for (key, text) in comments(&source.facts.catalog).into_iter().filter(|(key, _)| !is_shared(key)) {
        rows.add(&[
            ("objoid", oid(key.object)),
            ("classoid", oid(key.class)),
            ("objsubid", Datum::Int32(key.sub)),
            ("description", Datum::Text(text.to_owned())),
        ])?;
    }
    Ok(())
}

pub(super) fn pg_shdescription(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    for (key, text) in comments(&source.facts.catalog).into_iter().filter(|(key, _)| is_shared(key)) {
        rows.add(&[
            ("objoid", oid(key.object)),
            ("classoid", oid(key.class)),
            ("description", Datum::Text(text.to_owned())),
        ])?;
    }
    Ok(())
}
