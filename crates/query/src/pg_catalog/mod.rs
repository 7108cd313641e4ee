//! `pg_catalog` and `information_schema`: virtual tables and functions computed from the catalog snapshot.
//!
//! Invariants: a virtual table's provider is the same in every snapshot and holds nothing; its rows are made when it is
//! scanned, from the facts the running statement carries. A table that would have to lie is left out.

mod activity;
mod comments;
mod constraints;
mod facts;
mod fixed;
mod functions;
mod grants;
mod indexes;
mod information;
mod locking;
mod objects;
mod prepared;
mod privileges;
mod relations;
mod roles;
mod segments;
mod shapes;
mod statements;
mod statistics;
mod table;
mod types;
mod user_types;
mod uuid;
mod view_text;

use std::sync::{Arc, LazyLock};

use crate::catalog::{INFORMATION_SCHEMA, PG_CATALOG, POSTGRES_ROLE, Relation};

pub use facts::Facts;
pub(crate) use facts::{quote_identifier, split_qualified};

use table::Fill;

/// Every virtual table; the same in all databases.
pub fn virtual_tables() -> &'static [Arc<Relation>] {
    static TABLES: LazyLock<Vec<Arc<Relation>>> = LazyLock::new(|| {
        let relation = |shape: &shapes::Shape| match shape.schema {
            "pg_catalog" => table::relation(shape, PG_CATALOG, POSTGRES_ROLE, pg_fill(shape.name)),
            _ => table::relation(shape, INFORMATION_SCHEMA, POSTGRES_ROLE, information_fill(shape.name)),
        };
        shapes::SHAPES.iter().map(relation).collect()
    });
    &TABLES
}

/// Who fills a table of `pg_catalog`; what we have none of stays empty.
fn pg_fill(name: &str) -> Option<Fill> {
    let fill: Fill = match name {
        "helios_progress" => activity::helios_progress,
        "helios_relations" => segments::helios_relations,
        "helios_segments" => segments::helios_segments,
        "pg_aggregate" => fixed::pg_aggregate,
        "pg_am" => objects::pg_am,
        "pg_attrdef" => relations::pg_attrdef,
        "pg_attribute" => relations::pg_attribute,
        "pg_auth_members" => roles::pg_auth_members,
        "pg_authid" => roles::pg_authid,
        "pg_cast" => fixed::pg_cast,
        "pg_class" => relations::pg_class,
        "pg_collation" => objects::pg_collation,
        "pg_constraint" => constraints::pg_constraint,
        "pg_database" => roles::pg_database,
        "pg_db_role_setting" => roles::pg_db_role_setting,
        "pg_default_acl" => roles::pg_default_acl,
        "pg_depend" => relations::pg_depend,
        "pg_description" => comments::pg_description,
        "pg_group" => roles::pg_group,
        "pg_index" => indexes::pg_index,
        "pg_indexes" => indexes::pg_indexes,
        "pg_init_privs" => roles::pg_init_privs,
        "pg_language" => objects::pg_language,
        "pg_cursors" => activity::pg_cursors,
        "pg_locks" => activity::pg_locks,
        "pg_namespace" => objects::pg_namespace,
        "pg_opclass" => fixed::pg_opclass,
        "pg_operator" => fixed::pg_operator,
        "pg_opfamily" => fixed::pg_opfamily,
        "pg_prepared_statements" => prepared::pg_prepared_statements,
        "pg_proc" => fixed::pg_proc,
        "pg_rewrite" => relations::pg_rewrite,
        "pg_roles" => roles::pg_roles,
        "pg_sequence" => relations::pg_sequence,
        "pg_sequences" => objects::pg_sequences,
        "pg_settings" => objects::pg_settings,
        "pg_shadow" => roles::pg_shadow,
        "pg_shdescription" => comments::pg_shdescription,
        "pg_stat_activity" => objects::pg_stat_activity,
        "pg_stat_all_tables" => objects::pg_stat_all_tables,
        "pg_stat_database" => objects::pg_stat_database,
        "pg_stat_progress_basebackup" => activity::pg_stat_progress_basebackup,
        "pg_stat_progress_copy" => activity::pg_stat_progress_copy,
        "pg_stat_progress_create_index" => activity::pg_stat_progress_create_index,
        "pg_stat_statements" => statements::pg_stat_statements,
        "pg_stat_statements_info" => statements::pg_stat_statements_info,
        "pg_stat_user_indexes" => objects::pg_stat_user_indexes,
        "pg_stat_user_tables" => objects::pg_stat_user_tables,
        "pg_statistic_ext" => statistics::pg_statistic_ext,
        "pg_statistic_ext_data" => statistics::pg_statistic_ext_data,
        "pg_stats" => statistics::pg_stats,
        "pg_stats_ext" => statistics::pg_stats_ext,
        "pg_tables" => objects::pg_tables,
        "pg_tablespace" => objects::pg_tablespace,
        "pg_enum" => user_types::pg_enum,
        "pg_type" => relations::pg_type,
        "pg_user" => roles::pg_user,
        "pg_views" => objects::pg_views,
        _ => return None,
    };
    Some(fill)
}

fn information_fill(name: &str) -> Option<Fill> {
    let fill: Fill = match name {
        "applicable_roles" => grants::applicable_roles,
        "character_sets" => information::character_sets,
        "check_constraints" => information::check_constraints,
        "collations" => information::collations,
        "column_privileges" => grants::column_privileges,
        "columns" => information::columns,
        "constraint_column_usage" => information::constraint_column_usage,
        "constraint_table_usage" => information::constraint_table_usage,
        "element_types" => information::element_types,
        "enabled_roles" => grants::enabled_roles,
        "information_schema_catalog_name" => information::information_schema_catalog_name,
        "key_column_usage" => information::key_column_usage,
        "referential_constraints" => information::referential_constraints,
        "role_table_grants" => grants::role_table_grants,
        "role_column_grants" => grants::role_column_grants,
        "role_usage_grants" => grants::role_usage_grants,
        "schemata" => information::schemata,
        "sequences" => information::sequences,
        "table_constraints" => information::table_constraints,
        "table_privileges" => grants::table_privileges,
        "tables" => information::tables,
        "usage_privileges" => grants::usage_privileges,
        "view_column_usage" => information::view_column_usage,
        "view_table_usage" => information::view_table_usage,
        "views" => information::views,
        _ => return None,
    };
    Some(fill)
}

/// Whether a virtual relation is a view in PostgreSQL.
pub(crate) fn shown_as_view(relation: &Relation) -> bool {
    let schema = if relation.schema == INFORMATION_SCHEMA { "information_schema" } else { "pg_catalog" };
    shapes::is_view(schema, &relation.name)
}
