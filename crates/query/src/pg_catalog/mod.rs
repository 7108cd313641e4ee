//! `pg_catalog` and `information_schema`: virtual tables and functions computed from the catalog snapshot.
//!
//! Invariants: a virtual table's provider is the same in every snapshot and holds nothing; its rows are made when it is
//! scanned, from the facts the running statement carries. A table that would have to lie is left out.

mod activity;
mod comments;
mod facts;
mod functions;
mod locking;
mod objects;
mod relations;
mod shapes;
mod table;
mod types;
mod user_types;
mod view_text;

use std::sync::{Arc, LazyLock};

use crate::catalog::{INFORMATION_SCHEMA, PG_CATALOG, POSTGRES_ROLE, Relation};

pub use facts::Facts;
pub(crate) use facts::{quote_identifier, split_qualified};

use table::Fill;

/// Every virtual table; the same in all databases.
pub fn virtual_tables() -> &'static [Arc<Relation>] {
    static TABLES: LazyLock<Vec<Arc<Relation>>> = LazyLock::new(|| {
        let pg = shapes::PG_CATALOG
            .iter()
            .map(|shape| table::relation(shape, PG_CATALOG, POSTGRES_ROLE, pg_fill(shape.name)));
        let information = shapes::INFORMATION_SCHEMA
            .iter()
            .map(|shape| table::relation(shape, INFORMATION_SCHEMA, POSTGRES_ROLE, information_fill(shape.name)));
        pg.chain(information).collect()
    });
    &TABLES
}

/// Who fills a table of `pg_catalog`; what we have none of stays empty.
fn pg_fill(name: &str) -> Option<Fill> {
    let fill: Fill = match name {
        "pg_am" => objects::pg_am,
        "pg_attrdef" => relations::pg_attrdef,
        "pg_attribute" => relations::pg_attribute,
        "pg_authid" => objects::pg_authid,
        "pg_class" => relations::pg_class,
        "pg_collation" => objects::pg_collation,
        "pg_constraint" => relations::pg_constraint,
        "pg_database" => objects::pg_database,
        "pg_description" => comments::pg_description,
        "pg_shdescription" => comments::pg_shdescription,
        "pg_depend" => relations::pg_depend,
        "pg_index" => relations::pg_index,
        "pg_indexes" => objects::pg_indexes,
        "pg_locks" => activity::pg_locks,
        "pg_language" => objects::pg_language,
        "pg_namespace" => objects::pg_namespace,
        "pg_roles" => objects::pg_roles,
        "pg_sequence" => relations::pg_sequence,
        "pg_sequences" => objects::pg_sequences,
        "pg_settings" => objects::pg_settings,
        "pg_stat_activity" => objects::pg_stat_activity,
        "pg_stat_user_tables" => objects::pg_stat_user_tables,
        "pg_tables" => objects::pg_tables,
        "pg_tablespace" => objects::pg_tablespace,
        "pg_enum" => user_types::pg_enum,
        "pg_type" => relations::pg_type,
        "pg_user" => objects::pg_user,
        "pg_views" => objects::pg_views,
        _ => return None,
    };
    Some(fill)
}

fn information_fill(name: &str) -> Option<Fill> {
    let fill: Fill = match name {
        "check_constraints" => objects::check_constraints,
        "columns" => objects::columns,
        "constraint_column_usage" => objects::constraint_column_usage,
        "key_column_usage" => objects::key_column_usage,
        "schemata" => objects::schemata,
        "sequences" => objects::information_sequences,
        "table_constraints" => objects::table_constraints,
        "tables" => objects::tables,
        "views" => objects::information_views,
        _ => return None,
    };
    Some(fill)
}

/// Whether a virtual relation is a view in PostgreSQL.
pub(crate) fn shown_as_view(relation: &Relation) -> bool {
    relation.schema == INFORMATION_SCHEMA || is_view(&relation.name)
}

/// Which tables of `pg_catalog` are views in PostgreSQL.
fn is_view(name: &str) -> bool {
    matches!(
        name,
        "pg_indexes"
            | "pg_locks"
            | "pg_matviews"
            | "pg_publication_tables"
            | "pg_roles"
            | "pg_sequences"
            | "pg_settings"
            | "pg_stat_activity"
            | "pg_stat_user_tables"
            | "pg_tables"
            | "pg_user"
            | "pg_views"
    )
}
