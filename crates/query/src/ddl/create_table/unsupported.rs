//! Everything CREATE TABLE can say and we do not do.

use heliosdb_types::{Error, Result};
use sqlparser::ast::{self, HiveDistributionStyle};

/// Destructured completely: a new field fails to compile.
pub(in crate::ddl) fn refuse_unsupported(create: &ast::CreateTable) -> Result<()> {
    let ast::CreateTable {
        or_replace,
        temporary: _,
        external,
        dynamic,
        // GLOBAL and LOCAL say nothing, as in PostgreSQL.
        global: _,
        if_not_exists: _,
        transient,
        volatile,
        iceberg,
        snapshot,
        name: _,
        columns: _,
        constraints: _,
        hive_distribution,
        hive_formats,
        table_options,
        file_format,
        location,
        query,
        without_rowid,
        like,
        clone,
        version,
        comment,
        on_commit: _,
        on_cluster,
        primary_key,
        order_by,
        partition_by,
        cluster_by,
        clustered_by,
        inherits,
        partition_of,
        for_values,
        strict,
        copy_grants,
        enable_schema_evolution,
        change_tracking,
        data_retention_time_in_days,
        max_data_extension_time_in_days,
        default_ddl_collation,
        with_aggregation_policy,
        with_row_access_policy,
        with_storage_lifecycle_policy,
        with_tags,
        external_volume,
        base_location,
        catalog,
        catalog_sync,
        storage_serialization_policy,
        target_lag,
        warehouse,
        refresh_mode,
        initialize,
        require_user,
        diststyle,
        distkey,
        sortkey,
        backup,
    } = create;
    let hive_format_set = hive_formats.as_ref().is_some_and(|format| {
        format.row_format.is_some()
            || format.serde_properties.is_some()
            || format.storage.is_some()
            || format.location.is_some()
    });
    let foreign = [
        *or_replace,
        *external,
        *dynamic,
        *transient,
        *volatile,
        *iceberg,
        *snapshot,
        !matches!(hive_distribution, HiveDistributionStyle::NONE),
        hive_format_set,
        file_format.is_some(),
        location.is_some(),
        *without_rowid,
        clone.is_some(),
        version.is_some(),
        comment.is_some(),
        on_cluster.is_some(),
        primary_key.is_some(),
        order_by.is_some(),
        cluster_by.is_some(),
        clustered_by.is_some(),
        *strict,
        *copy_grants,
        enable_schema_evolution.is_some(),
        change_tracking.is_some(),
        data_retention_time_in_days.is_some(),
        max_data_extension_time_in_days.is_some(),
        default_ddl_collation.is_some(),
        with_aggregation_policy.is_some(),
        with_row_access_policy.is_some(),
        with_storage_lifecycle_policy.is_some(),
        with_tags.is_some(),
        external_volume.is_some(),
        base_location.is_some(),
        catalog.is_some(),
        catalog_sync.is_some(),
        storage_serialization_policy.is_some(),
        target_lag.is_some(),
        warehouse.is_some(),
        refresh_mode.is_some(),
        initialize.is_some(),
        *require_user,
        diststyle.is_some(),
        distkey.is_some(),
        sortkey.is_some(),
        backup.is_some(),
    ];
    if foreign.contains(&true) {
        return Err(Error::unsupported("a CREATE TABLE clause of another database"));
    }
    let named = [
        (query.is_some(), "CREATE TABLE AS"),
        (like.is_some(), "CREATE TABLE ... LIKE"),
        (partition_by.is_some(), "PARTITION BY"),
        (partition_of.is_some() || for_values.is_some(), "PARTITION OF"),
        (inherits.is_some(), "INHERITS"),
    ];
    if let Some((_, what)) = named.iter().find(|(used, _)| *used) {
        return Err(Error::unsupported(what));
    }
    check_table_options(table_options)
}

/// `WITH (fillfactor = 100)` says what is so anyway; nothing else is understood.
fn check_table_options(options: &ast::CreateTableOptions) -> Result<()> {
    let options = match options {
        ast::CreateTableOptions::None => return Ok(()),
        ast::CreateTableOptions::With(options) => options,
        _ => return Err(Error::unsupported("a CREATE TABLE clause of another database")),
    };
    for option in options {
        let ast::SqlOption::KeyValue { key, value } = option else {
            return Err(Error::unsupported(format!("storage parameter {option}")));
        };
        let full = key.value.eq_ignore_ascii_case("fillfactor") && value.to_string() == "100";
        if !full {
            return Err(Error::unsupported(format!("storage parameter {option}")));
        }
    }
    Ok(())
}
