//! CREATE TABLE.

use std::sync::Arc;

use heliosdb_types::{ColumnId, Error, Result, SchemaVersion, SqlState, TreeRef};
use sqlparser::ast::{self, Expr, HiveDistributionStyle, TableConstraint};

use super::columns::{WrittenColumn, default_text, read_column, several_primary_keys};
use super::{candidate_names, duplicate_relation, sequence};
use crate::bind;
use crate::catalog::{
    CatalogWriter, CheckConstraint, Column, PrimaryKey, Relation, RelationKind, Schema, TableInfo, describe_tree,
};
use crate::pg_catalog::quote_identifier;
use crate::session::Session;

/// PostgreSQL's limit.
const COLUMNS_MAX: usize = 1600;
const KEY_COLUMNS_MAX: usize = 32;

/// A primary key as written: its name, if any, and its columns.
type WrittenKey = (Option<String>, Vec<String>);

impl Session {
    pub(super) async fn create_table(&mut self, create: &ast::CreateTable) -> Result<()> {
        self.require_read_write("CREATE TABLE")?;
        refuse_unsupported(create)?;
        let (schema_name, name) = bind::object_name(&create.name)?;
        let schema = self.creation_schema(schema_name.as_deref(), &name)?;
        if self.catalog()?.names.contains_key(&(schema.oid, name.clone())) {
            return self.exists_already(&name, create.if_not_exists);
        }
        let written = create.columns.iter().map(|column| read_column(column, &name));
        let written = written.collect::<Result<Vec<_>>>()?;
        check_columns(&written)?;
        let (key, checks) = read_constraints(&written, &create.constraints, &name)?;
        let mut writer = self.catalog_writer()?;
        let relation = self.new_table(&writer, &schema, &name, &written, key, checks)?;
        let relation = self.with_sequences(&mut writer, &schema, relation, &written).await?;
        let relation = Arc::new(relation);
        if !writer.create_relation(&relation).await? {
            return self.exists_already(&name, create.if_not_exists);
        }
        let table = relation.table().ok_or_else(|| Error::internal("a new table is a table"))?;
        if let Some(key) = &table.primary_key
            && !writer.take_relation_name(schema.oid, &key.name, key.oid).await?
        {
            return Err(duplicate_relation(&key.name));
        }
        writer.shard.define_tree(writer.txn, writer.command, Arc::clone(&table.tree))?;
        writer.next_command();
        self.catalog_written(&writer);
        self.validate_expressions(&relation, &written)
    }

    fn exists_already(&mut self, name: &str, skip: bool) -> Result<()> {
        if !skip {
            return Err(duplicate_relation(name));
        }
        self.notice_text(SqlState::DUPLICATE_TABLE, format!("relation \"{name}\" already exists, skipping"));
        Ok(())
    }

    /// The table without the sequences of its columns.
    fn new_table(
        &mut self,
        writer: &CatalogWriter,
        schema: &Schema,
        name: &str,
        written: &[WrittenColumn],
        key: Option<WrittenKey>,
        checks: Vec<NamedCheck>,
    ) -> Result<Relation> {
        let key_columns = key.as_ref().map_or(&[][..], |(_, columns)| columns);
        let columns: Vec<Column> = written
            .iter()
            .zip(1i16..)
            .map(|(column, attribute)| Column {
                attribute,
                id: ColumnId(attribute as u32),
                name: column.name.clone(),
                sql_type: column.sql_type.clone(),
                not_null: column.not_null || key_columns.contains(&column.name),
                default: column.default.as_ref().map(|expr| default_text(expr, &column.sql_type)),
                identity: column.identity,
            })
            .collect();
        let primary_key = match key {
            None => None,
            Some((key_name, key_columns)) => {
                Some(self.new_key(writer, schema, name, &columns, key_name, &key_columns)?)
            }
        };
        let checks = name_checks(writer, name, checks)?;
        let tree = TreeRef::new(writer.database, writer.shard.allocate_tree_id()?);
        let tree = describe_tree(tree, SchemaVersion(1), &columns, primary_key.as_ref())?;
        let last = columns.len();
        Ok(Relation {
            oid: writer.new_oid()?,
            schema: schema.oid,
            name: name.to_owned(),
            owner: self.user.oid,
            columns,
            kind: RelationKind::Table(TableInfo {
                tree: Arc::new(tree),
                primary_key,
                checks,
                last_attribute: last as i16,
                last_column_id: ColumnId(last as u32),
            }),
        })
    }

    /// A primary key over these columns, named by its author or after the table.
    pub(super) fn new_key(
        &mut self,
        writer: &CatalogWriter,
        schema: &Schema,
        table: &str,
        columns: &[Column],
        name: Option<String>,
        key_columns: &[String],
    ) -> Result<PrimaryKey> {
        let mut attributes = Vec::with_capacity(key_columns.len());
        for key_column in key_columns {
            let column = columns.iter().find(|column| column.name == *key_column).ok_or_else(|| {
                let message = format!("column \"{key_column}\" named in key does not exist");
                Error::invalid(SqlState::UNDEFINED_COLUMN, message)
            })?;
            if attributes.contains(&column.attribute) {
                let message = format!("column \"{key_column}\" appears twice in primary key constraint");
                return Err(Error::invalid(SqlState::DUPLICATE_COLUMN, message));
            }
            attributes.push(column.attribute);
        }
        if attributes.len() > KEY_COLUMNS_MAX {
            let message = format!("cannot use more than {KEY_COLUMNS_MAX} columns in an index");
            return Err(Error::invalid(SqlState::TOO_MANY_COLUMNS, message));
        }
        let catalog = self.catalog()?;
        let free = |name: &String| !catalog.names.contains_key(&(schema.oid, name.clone())) && *name != table;
        let name = match name {
            Some(name) => name,
            None => candidate_names(table, None, "pkey").find(free).unwrap_or_default(),
        };
        Ok(PrimaryKey { oid: writer.new_oid()?, name, attributes })
    }

    /// Creates the sequences of serial and identity columns and makes them the columns' defaults.
    pub(super) async fn with_sequences(
        &mut self,
        writer: &mut CatalogWriter,
        schema: &Schema,
        mut relation: Relation,
        written: &[WrittenColumn],
    ) -> Result<Relation> {
        let (table_oid, table_name, owner) = (relation.oid, relation.name.clone(), relation.owner);
        for column in &mut relation.columns {
            let written = written.iter().find(|written| written.name == column.name);
            let Some(options) = written.and_then(|written| written.sequence.as_ref()) else { continue };
            let mut info = sequence::read_options(options, &column.sql_type, writer.new_sequence_id()?)?;
            info.owned_by = Some((table_oid, column.attribute));
            let mut created = None;
            for name in candidate_names(&table_name, Some(&column.name), "seq").take(10_000) {
                let candidate = Relation {
                    oid: writer.new_oid()?,
                    schema: schema.oid,
                    name,
                    owner,
                    columns: Vec::new(),
                    kind: RelationKind::Sequence(info.clone()),
                };
                if candidate.name != table_name && writer.create_relation(&candidate).await? {
                    created = Some(candidate.name);
                    break;
                }
            }
            let name = created.ok_or_else(|| Error::internal("no name is left for a sequence"))?;
            sequence::start(&*writer.shard, &info)?;
            column.default = Some(nextval_text(&schema.name, &name));
        }
        Ok(relation)
    }

    /// Binds every default and check, so that a wrong one is refused now.
    fn validate_expressions(&mut self, relation: &Arc<Relation>, written: &[WrittenColumn]) -> Result<()> {
        let binding = self.binding()?;
        let context = binding.context(&[]);
        for column in &relation.columns {
            let from_user = written.iter().any(|written| written.name == column.name && written.default.is_some());
            if let (Some(default), true) = (&column.default, from_user) {
                bind::bind_default(default, &column.sql_type, &column.name, &context)
                    .map_err(Error::without_position)?;
            }
        }
        for check in relation.table().map_or(&[][..], |table| &table.checks) {
            bind::bind_check(&check.expression, relation, &context).map_err(Error::without_position)?;
        }
        Ok(())
    }
}

/// The default of a column fed by a sequence.
pub(super) fn nextval_text(schema: &str, sequence: &str) -> String {
    let name = format!("{}.{}", quote_identifier(schema), quote_identifier(sequence));
    format!("nextval('{}'::regclass)", name.replace('\'', "''"))
}

fn check_columns(columns: &[WrittenColumn]) -> Result<()> {
    if columns.len() > COLUMNS_MAX {
        let message = format!("tables can have at most {COLUMNS_MAX} columns");
        return Err(Error::invalid(SqlState::TOO_MANY_COLUMNS, message));
    }
    for (at, column) in columns.iter().enumerate() {
        if columns.iter().take(at).any(|before| before.name == column.name) {
            let message = format!("column \"{}\" specified more than once", column.name);
            return Err(Error::invalid(SqlState::DUPLICATE_COLUMN, message));
        }
        refuse_system_name(&column.name)?;
    }
    Ok(())
}

/// Names every PostgreSQL table has already.
pub(super) fn refuse_system_name(name: &str) -> Result<()> {
    if matches!(name, "tableoid" | "xmin" | "cmin" | "xmax" | "cmax" | "ctid") {
        let message = format!("column name \"{name}\" conflicts with a system column name");
        return Err(Error::invalid(SqlState::DUPLICATE_COLUMN, message));
    }
    if name == heliosdb_contracts::ROW_REF_COLUMN {
        let message = format!("column name \"{name}\" is reserved");
        return Err(Error::invalid(SqlState::RESERVED_NAME, message));
    }
    Ok(())
}

/// A check as written: its name, the column it stands beside, its condition.
pub(super) type NamedCheck = (Option<String>, Option<String>, Expr);

fn read_constraints(
    columns: &[WrittenColumn],
    constraints: &[TableConstraint],
    table: &str,
) -> Result<(Option<WrittenKey>, Vec<NamedCheck>)> {
    let mut key: Option<WrittenKey> = None;
    let mut checks = Vec::new();
    for column in columns {
        if let Some(name) = &column.primary_key {
            if key.is_some() {
                return Err(several_primary_keys(table));
            }
            key = Some((name.clone(), vec![column.name.clone()]));
        }
        let beside = column.checks.iter().cloned();
        checks.extend(beside.map(|(name, expr)| (name, Some(column.name.clone()), expr)));
    }
    for constraint in constraints {
        match read_constraint(constraint)? {
            Constraint::Key(_) if key.is_some() => return Err(several_primary_keys(table)),
            Constraint::Key(written) => key = Some(written),
            Constraint::Check(check) => checks.push(*check),
        }
    }
    Ok((key, checks))
}

/// A table constraint we implement.
pub(super) enum Constraint {
    Key(WrittenKey),
    Check(Box<NamedCheck>),
}

pub(super) fn read_constraint(constraint: &TableConstraint) -> Result<Constraint> {
    match constraint {
        TableConstraint::PrimaryKey(ast::PrimaryKeyConstraint {
            name,
            index_name: None,
            index_type: None,
            columns,
            index_options,
            characteristics: None,
        }) if index_options.is_empty() => {
            let columns = columns.iter().map(|column| match &column.column.expr {
                Expr::Identifier(ident) if column.operator_class.is_none() && column.column.options.asc.is_none() => {
                    Ok(bind::fold_identifier(ident))
                }
                _ => Err(Error::unsupported("an expression in a PRIMARY KEY")),
            });
            Ok(Constraint::Key((name.as_ref().map(bind::fold_identifier), columns.collect::<Result<_>>()?)))
        }
        TableConstraint::PrimaryKey(_) => Err(Error::unsupported("PRIMARY KEY with options")),
        TableConstraint::Check(ast::CheckConstraint { name, expr, enforced }) => {
            if *enforced == Some(false) {
                return Err(Error::unsupported("a constraint that is NOT ENFORCED"));
            }
            let name = name.as_ref().map(bind::fold_identifier);
            Ok(Constraint::Check(Box::new((name, None, (**expr).clone()))))
        }
        TableConstraint::Unique(_) | TableConstraint::UniqueUsingIndex(_) => {
            Err(Error::unsupported("a UNIQUE constraint"))
        }
        TableConstraint::ForeignKey(_) => Err(Error::unsupported("a FOREIGN KEY constraint")),
        TableConstraint::PrimaryKeyUsingIndex(_) => Err(Error::unsupported("PRIMARY KEY USING INDEX")),
        TableConstraint::Index(_) | TableConstraint::FulltextOrSpatial(_) => {
            Err(Error::unsupported("an index inside CREATE TABLE"))
        }
    }
}

/// Gives every check an OID and a name, as PostgreSQL picks them: after its column if it is about one only.
pub(super) fn name_checks(
    writer: &CatalogWriter,
    table: &str,
    checks: Vec<NamedCheck>,
) -> Result<Vec<CheckConstraint>> {
    let mut out: Vec<CheckConstraint> = Vec::with_capacity(checks.len());
    for (name, column, expr) in checks {
        let taken = |name: &String| out.iter().any(|check| check.name == *name);
        let name = match name {
            Some(name) if taken(&name) => {
                let message = format!("check constraint \"{name}\" already exists");
                return Err(Error::invalid(SqlState::DUPLICATE_OBJECT, message));
            }
            Some(name) => name,
            None => {
                let about = column.or_else(|| only_column(&expr));
                candidate_names(table, about.as_deref(), "check").find(|name| !taken(name)).unwrap_or_default()
            }
        };
        out.push(CheckConstraint { oid: writer.new_oid()?, name, expression: expr.to_string() });
    }
    Ok(out)
}

/// The one column an expression names, if it names exactly one.
fn only_column(expr: &Expr) -> Option<String> {
    let mut names = std::collections::BTreeSet::new();
    // The visitor cannot fail here; its result only says whether it was stopped.
    let _: std::ops::ControlFlow<()> = ast::visit_expressions(expr, |expr| {
        match expr {
            Expr::Identifier(ident) => {
                names.insert(bind::fold_identifier(ident));
            }
            Expr::CompoundIdentifier(parts) => names.extend(parts.last().map(bind::fold_identifier)),
            _ => {}
        }
        std::ops::ControlFlow::Continue(())
    });
    if names.len() == 1 { names.pop_first() } else { None }
}

/// Everything CREATE TABLE can say and we do not do. Destructured completely: a new field fails to compile.
fn refuse_unsupported(create: &ast::CreateTable) -> Result<()> {
    let ast::CreateTable {
        or_replace,
        temporary,
        external,
        dynamic,
        global,
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
        on_commit,
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
        (*temporary || global.is_some(), "CREATE TEMPORARY TABLE"),
        (on_commit.is_some(), "ON COMMIT"),
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
