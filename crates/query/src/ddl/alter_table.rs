//! ALTER TABLE (and what it shares with ALTER VIEW and ALTER SEQUENCE: RENAME, OWNER TO).
//!
//! A change of columns gives the tree a new version; what older rows hold in a new column is its missing value. A change of
//! the key, of a column's type, or a default that differs from row to row rewrites the table into a new tree.

use std::sync::Arc;

use heliosdb_contracts::{ColumnDescriptor, TreeDescriptor, TreeLockMode};
use heliosdb_types::{ColumnId, Datum, Error, Oid, Result, SchemaVersion, SqlState, SqlType, TreeRef};
use sqlparser::ast::{self, AlterColumnOperation, AlterTableOperation, Expr};

use super::columns::{WrittenColumn, default_text, read_column, several_primary_keys};
use super::create_table::{Constraint, name_checks, read_constraint, refuse_system_name};
use super::view::views_over;
use super::{LOOKS_MAX, duplicate_relation, kind_name, undefined_relation};
use crate::bind;
use crate::catalog::{CatalogWriter, Column, Identity, Relation, RelationKind, Schema, TableInfo, describe_tree};
use crate::pg_catalog::quote_identifier;
use crate::session::Session;

/// A table on its way to its new shape.
struct Change {
    /// As it was when its lock was granted.
    old: Arc<Relation>,
    new: Relation,
    /// The tree's columns or their nullability changed: it needs a new version.
    reshaped: bool,
    /// Rows have to be written anew: an expression over the old row for each new column that is not copied, by attribute.
    rewrite: Option<Vec<(i16, String)>>,
    /// Conditions every row must fulfil, as SQL over the new table, with the error if one does not.
    validations: Vec<(String, Error)>,
}

impl Change {
    fn table(&self) -> Result<&TableInfo> {
        self.new.table().ok_or_else(|| Error::internal("ALTER TABLE changes tables"))
    }

    fn table_mut(&mut self) -> Result<&mut TableInfo> {
        match &mut self.new.kind {
            RelationKind::Table(table) => Ok(table),
            _ => Err(Error::internal("ALTER TABLE changes tables")),
        }
    }

    fn column_mut(&mut self, name: &str) -> Result<&mut Column> {
        let table = self.new.name.clone();
        self.new.columns.iter_mut().find(|column| column.name == name).ok_or_else(|| no_column(name, &table))
    }

    fn in_key(&self, attribute: i16) -> Result<bool> {
        Ok(self.table()?.primary_key.as_ref().is_some_and(|key| key.attributes.contains(&attribute)))
    }

    fn rewritten(&mut self) -> &mut Vec<(i16, String)> {
        self.rewrite.get_or_insert_default()
    }
}

fn no_column(name: &str, table: &str) -> Error {
    let message = format!("column \"{name}\" of relation \"{table}\" does not exist");
    Error::invalid(SqlState::UNDEFINED_COLUMN, message)
}

impl Session {
    pub(super) async fn alter_table(&mut self, alter: &ast::AlterTable) -> Result<()> {
        self.require_read_write("ALTER TABLE")?;
        let ast::AlterTable { name, if_exists, only: _, operations, location, on_cluster, table_type, end_token: _ } =
            alter;
        if location.is_some() || on_cluster.is_some() || table_type.is_some() {
            return Err(Error::unsupported("this form of ALTER TABLE"));
        }
        let Some(relation) = self.altered_relation(name, *if_exists).await? else { return Ok(()) };
        if let [AlterTableOperation::RenameTable { table_name }] = operations.as_slice() {
            let (ast::RenameTableNameKind::To(new_name) | ast::RenameTableNameKind::As(new_name)) = table_name;
            return self.rename_relation(&relation, new_name).await;
        }
        if let [AlterTableOperation::OwnerTo { new_owner }] = operations.as_slice() {
            return self.change_owner(&relation, new_owner).await;
        }
        if relation.table().is_none() {
            let message = format!("ALTER action on {} \"{}\"", kind_name(&relation.kind), relation.name);
            return Err(Error::unsupported(message));
        }
        let mut change =
            Change { new: (*relation).clone(), old: relation, reshaped: false, rewrite: None, validations: Vec::new() };
        for operation in operations {
            Box::pin(self.apply(&mut change, operation)).await?;
        }
        self.store(change).await
    }

    /// The relation, locked if it is a table; `None` if it may be missing and is.
    async fn altered_relation(&mut self, name: &ast::ObjectName, if_exists: bool) -> Result<Option<Arc<Relation>>> {
        let running = self.start_cancellable();
        for _ in 0..LOOKS_MAX {
            let catalog = self.catalog()?;
            let (schema, relation_name) = bind::object_name(name)?;
            let path = self.settings.search_path(&self.user.name);
            let Some(relation) = catalog.resolve(schema.as_deref(), &relation_name, &path) else {
                let error = undefined_relation(&catalog, schema.as_deref(), &relation_name);
                if !if_exists {
                    return Err(error);
                }
                self.notice_text(SqlState::SUCCESSFUL_COMPLETION, format!("{}, skipping", error.message()));
                return Ok(None);
            };
            self.require_owner(relation)?;
            if self.lock_unchanged(relation, TreeLockMode::AccessExclusive, &running).await? {
                return Ok(Some(Arc::clone(relation)));
            }
        }
        Err(Error::retry(SqlState::LOCK_NOT_AVAILABLE, "the table changed again and again before it could be locked"))
    }

    async fn apply(&mut self, change: &mut Change, operation: &AlterTableOperation) -> Result<()> {
        match operation {
            AlterTableOperation::AddColumn { column_keyword: _, if_not_exists, column_def, column_position: None } => {
                self.add_column(change, column_def, *if_not_exists).await
            }
            AlterTableOperation::DropColumn { has_column_keyword: _, column_names, if_exists, drop_behavior } => {
                let cascade = matches!(drop_behavior, Some(ast::DropBehavior::Cascade));
                for name in column_names {
                    self.drop_column(change, &bind::fold_identifier(name), *if_exists, cascade).await?;
                }
                Ok(())
            }
            AlterTableOperation::RenameColumn { old_column_name, new_column_name } => {
                self.rename_column(change, old_column_name, new_column_name)
            }
            AlterTableOperation::AddConstraint { constraint, not_valid } => {
                if *not_valid {
                    return Err(Error::unsupported("a constraint that is NOT VALID"));
                }
                self.add_constraint(change, read_constraint(constraint)?).await
            }
            AlterTableOperation::DropConstraint { if_exists, name, drop_behavior: _ } => {
                self.drop_constraint(change, &bind::fold_identifier(name), *if_exists).await
            }
            AlterTableOperation::RenameConstraint { old_name, new_name } => {
                self.rename_constraint(change, &bind::fold_identifier(old_name), bind::fold_identifier(new_name)).await
            }
            AlterTableOperation::AlterColumn { column_name, op } => {
                self.alter_column(change, &bind::fold_identifier(column_name), op).await
            }
            // There is no row-level security to switch on.
            AlterTableOperation::DisableRowLevelSecurity | AlterTableOperation::NoForceRowLevelSecurity => Ok(()),
            other => Err(Error::unsupported(format!("ALTER TABLE ... {other}"))),
        }
    }

    async fn add_column(
        &mut self,
        change: &mut Change,
        definition: &ast::ColumnDef,
        if_not_exists: bool,
    ) -> Result<()> {
        let written = read_column(definition, &change.new.name)?;
        refuse_system_name(&written.name)?;
        if change.new.column(&written.name).is_some() {
            let message = format!("column \"{}\" of relation \"{}\" already exists", written.name, change.new.name);
            if !if_not_exists {
                return Err(Error::invalid(SqlState::DUPLICATE_COLUMN, message));
            }
            self.notice_text(SqlState::DUPLICATE_COLUMN, format!("{message}, skipping"));
            return Ok(());
        }
        let table = change.table_mut()?;
        if table.last_attribute >= 1600 {
            return Err(Error::invalid(SqlState::TOO_MANY_COLUMNS, "tables can have at most 1600 columns"));
        }
        table.last_attribute += 1;
        table.last_column_id = ColumnId(table.last_column_id.0 + 1);
        let (attribute, id) = (table.last_attribute, table.last_column_id);
        change.new.columns.push(Column {
            attribute,
            id,
            name: written.name.clone(),
            sql_type: written.sql_type.clone(),
            not_null: written.not_null,
            default: written.default.as_ref().map(|expr| default_text(expr, &written.sql_type)),
            identity: written.identity,
        });
        self.fill_new_column(change, &written, attribute).await?;
        if let Some(name) = &written.primary_key {
            let key = Constraint::Key((name.clone(), vec![written.name.clone()]));
            self.add_constraint(change, key).await?;
        }
        for (name, expr) in written.checks {
            let check = Constraint::Check(Box::new((name, Some(written.name.clone()), expr)));
            self.add_constraint(change, check).await?;
        }
        change.reshaped = true;
        Ok(())
    }

    /// What existing rows get in a new column: one value for all of them, or a rewrite.
    async fn fill_new_column(&mut self, change: &mut Change, written: &WrittenColumn, attribute: i16) -> Result<()> {
        if written.sequence.is_some() {
            let mut writer = self.catalog_writer()?;
            let catalog = writer.catalog()?;
            let schema = catalog.schemas.get(&change.new.schema).cloned();
            let schema = schema.ok_or_else(|| Error::internal("the table has no schema"))?;
            let relation = change.new.clone();
            change.new = self.with_sequences(&mut writer, &schema, relation, std::slice::from_ref(written)).await?;
            self.catalog_written(&writer);
            let default = change.column_mut(&written.name)?.default.clone().unwrap_or_default();
            change.rewritten().push((attribute, default));
            return Ok(());
        }
        let default = change.column_mut(&written.name)?.default.clone();
        if let Some(default) = default {
            let binding = self.binding()?;
            let typed = bind::bind_default(&default, &written.sql_type, &written.name, &binding.context(&[]))
                .map_err(Error::without_position)?;
            if typed.expr.is_volatile() {
                change.rewritten().push((attribute, default));
                return Ok(());
            }
            let missing = self.evaluate_default(&default, &written.sql_type).await?;
            if missing.is_null() {
                return self.validate_not_null(change, &written.name, written.not_null).await;
            }
            return self.set_missing(change, attribute, &written.sql_type, missing);
        }
        self.validate_not_null(change, &written.name, written.not_null).await
    }

    /// A default's value with the column's length and scale applied as an assignment does.
    async fn evaluate_default(&mut self, default: &str, sql_type: &SqlType) -> Result<Datum> {
        self.evaluate(default, sql_type).await
    }

    fn set_missing(&mut self, change: &mut Change, attribute: i16, sql_type: &SqlType, value: Datum) -> Result<()> {
        let physical = sql_type.physical().ok_or_else(|| Error::internal("a column without storage"))?;
        let id = change.new.columns.iter().find(|column| column.attribute == attribute).map(|column| column.id);
        let id = id.ok_or_else(|| Error::internal("the new column is missing"))?;
        let table = change.table_mut()?;
        let mut tree = (*table.tree).clone();
        tree.columns.push(ColumnDescriptor { id, physical, nullable: true, missing: Some(value) });
        table.tree = Arc::new(tree);
        Ok(())
    }

    /// Looks for rows that have nothing in a column that must not be null: in the table as it was, since a column that is
    /// declared NOT NULL is not asked any more.
    async fn validate_not_null(&mut self, change: &Change, column: &str, not_null: bool) -> Result<()> {
        if !not_null {
            return Ok(());
        }
        let attribute = change.new.column(column).map(|(_, column)| column.attribute);
        let before = change.old.columns.iter().find(|before| Some(before.attribute) == attribute);
        let condition = match before {
            Some(before) => format!("{} IS NULL", quote_identifier(&before.name)),
            None => "true".to_owned(),
        };
        let name = self.qualified(&change.old)?;
        let (_, batches) = self.query(&format!("SELECT 1 FROM {name} WHERE {condition} LIMIT 1")).await?;
        if batches.iter().all(|batch| batch.num_rows() == 0) {
            return Ok(());
        }
        let table = &change.new.name;
        let message = format!("column \"{column}\" of relation \"{table}\" contains null values");
        Err(Error::conflict(SqlState::NOT_NULL_VIOLATION, message).with_table(table.clone()).with_column(column))
    }

    async fn drop_column(&mut self, change: &mut Change, name: &str, if_exists: bool, cascade: bool) -> Result<()> {
        let Some((at, column)) = change.new.column(name) else {
            let error = no_column(name, &change.new.name);
            if !if_exists {
                return Err(error);
            }
            self.notice_text(SqlState::SUCCESSFUL_COMPLETION, format!("{}, skipping", error.message()));
            return Ok(());
        };
        let column = column.clone();
        let catalog = self.catalog()?;
        // Views keep text, not columns: any view over the table may name this one.
        let views = views_over(&catalog, change.new.oid);
        if let Some(view) = views.first() {
            if cascade {
                return Err(Error::unsupported("DROP COLUMN ... CASCADE of a table with views"));
            }
            let table = &change.new.name;
            let message = format!("cannot drop column {name} of table {table} because other objects depend on it");
            return Err(Error::invalid(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
                .with_detail(format!("view {} depends on column {name} of table {table}", view.name))
                .with_hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        if change.in_key(column.attribute)? {
            self.drop_key(change).await?;
        }
        change.new.columns.remove(at);
        change.table_mut()?.checks.retain(|check| !names_column(&check.expression, name));
        if let Some(rewrite) = &mut change.rewrite {
            rewrite.retain(|(attribute, _)| *attribute != column.attribute);
        }
        let owned = catalog.relations.values().filter(|relation| {
            matches!(&relation.kind, RelationKind::Sequence(info)
                if info.owned_by == Some((change.new.oid, column.attribute)))
        });
        let owned: Vec<Arc<Relation>> = owned.cloned().collect();
        let mut writer = self.catalog_writer()?;
        for sequence in owned {
            writer.drop_relation(&sequence).await?;
        }
        self.catalog_written(&writer);
        change.reshaped = true;
        Ok(())
    }

    fn rename_column(&mut self, change: &mut Change, old: &ast::Ident, new: &ast::Ident) -> Result<()> {
        let (old, new) = (bind::fold_identifier(old), bind::fold_identifier(new));
        refuse_system_name(&new)?;
        if change.new.column(&old).is_none() {
            let message = format!("column \"{old}\" does not exist");
            return Err(Error::invalid(SqlState::UNDEFINED_COLUMN, message));
        }
        if change.new.column(&new).is_some() {
            let message = format!("column \"{new}\" of relation \"{}\" already exists", change.new.name);
            return Err(Error::invalid(SqlState::DUPLICATE_COLUMN, message));
        }
        let catalog = self.catalog()?;
        let table = change.new.oid;
        self.refuse_if_views_read(&catalog, |relation| relation.oid == table, "RENAME COLUMN")?;
        change.column_mut(&old)?.name = new.clone();
        for check in &mut change.table_mut()?.checks {
            check.expression = renamed_in(&check.expression, &old, &new)?;
        }
        Ok(())
    }

    async fn add_constraint(&mut self, change: &mut Change, constraint: Constraint) -> Result<()> {
        let mut writer = self.catalog_writer()?;
        match constraint {
            Constraint::Check(check) => {
                let (name, column, expr) = *check;
                let known: Vec<String> = change.table()?.checks.iter().map(|check| check.name.clone()).collect();
                let name_taken = |name: &String| known.contains(name);
                if let Some(name) = name.as_ref().filter(|name| name_taken(name)) {
                    let message = format!("constraint \"{name}\" for relation \"{}\" already exists", change.new.name);
                    return Err(Error::invalid(SqlState::DUPLICATE_OBJECT, message));
                }
                let mut named = name_checks(&writer, &change.new.name, vec![(name, column, expr)])?;
                for check in &mut named {
                    let base = check.name.clone();
                    let mut number = 0;
                    while name_taken(&check.name) {
                        number += 1;
                        check.name = format!("{base}{number}");
                    }
                    let message = format!(
                        "check constraint \"{}\" of relation \"{}\" is violated by some row",
                        check.name, change.new.name
                    );
                    let error = Error::conflict(SqlState::CHECK_VIOLATION, message)
                        .with_table(change.new.name.clone())
                        .with_constraint(check.name.clone());
                    change.validations.push((format!("({}) IS NOT FALSE", check.expression), error));
                }
                change.table_mut()?.checks.append(&mut named);
                change.reshaped = true;
            }
            Constraint::Key((name, columns)) => {
                if change.table()?.primary_key.is_some() {
                    return Err(several_primary_keys(&change.new.name));
                }
                let catalog = writer.catalog()?;
                let schema: Arc<Schema> = catalog
                    .schemas
                    .get(&change.new.schema)
                    .cloned()
                    .ok_or_else(|| Error::internal("the table has no schema"))?;
                let (table, table_columns) = (change.new.name.clone(), change.new.columns.clone());
                let key = self.new_key(&writer, &schema, &table, &table_columns, name, &columns)?;
                if !writer.take_relation_name(schema.oid, &key.name, key.oid).await? {
                    return Err(duplicate_relation(&key.name));
                }
                for column in &columns {
                    if !change.column_mut(column)?.not_null {
                        change.column_mut(column)?.not_null = true;
                        self.validate_not_null(change, column, true).await?;
                    }
                }
                change.table_mut()?.primary_key = Some(key);
                change.rewritten();
            }
        }
        self.catalog_written(&writer);
        Ok(())
    }

    /// Takes the primary key away: the rows move to a tree of their own row ids.
    async fn drop_key(&mut self, change: &mut Change) -> Result<()> {
        if let Some(key) = change.table_mut()?.primary_key.take() {
            let mut writer = self.catalog_writer()?;
            writer.release_relation_name(change.new.schema, &key.name).await?;
            self.catalog_written(&writer);
            change.rewritten();
        }
        Ok(())
    }

    async fn drop_constraint(&mut self, change: &mut Change, name: &str, if_exists: bool) -> Result<()> {
        let table = change.table_mut()?;
        let before = table.checks.len();
        table.checks.retain(|check| check.name != name);
        if table.checks.len() < before {
            change.reshaped = true;
            return Ok(());
        }
        if table.primary_key.as_ref().is_some_and(|key| key.name == name) {
            return self.drop_key(change).await;
        }
        let message = format!("constraint \"{name}\" of relation \"{}\" does not exist", change.new.name);
        if !if_exists {
            return Err(Error::invalid(SqlState::UNDEFINED_OBJECT, message));
        }
        self.notice_text(SqlState::SUCCESSFUL_COMPLETION, format!("{message}, skipping"));
        Ok(())
    }

    async fn rename_constraint(&mut self, change: &mut Change, old: &str, new: String) -> Result<()> {
        let schema = change.new.schema;
        let relation = change.new.name.clone();
        let table = change.table_mut()?;
        let taken = table.checks.iter().any(|check| check.name == new)
            || table.primary_key.as_ref().is_some_and(|key| key.name == new);
        if taken {
            let message = format!("constraint \"{new}\" for relation \"{relation}\" already exists");
            return Err(Error::invalid(SqlState::DUPLICATE_OBJECT, message));
        }
        if let Some(check) = table.checks.iter_mut().find(|check| check.name == old) {
            check.name = new;
            change.reshaped = true;
            return Ok(());
        }
        match &mut table.primary_key {
            Some(key) if key.name == old => {
                let mut writer = self.catalog_writer()?;
                if !writer.take_relation_name(schema, &new, key.oid).await? {
                    return Err(duplicate_relation(&new));
                }
                writer.release_relation_name(schema, old).await?;
                self.catalog_written(&writer);
                key.name = new;
                Ok(())
            }
            _ => {
                let message = format!("constraint \"{old}\" for table \"{relation}\" does not exist");
                Err(Error::invalid(SqlState::UNDEFINED_OBJECT, message))
            }
        }
    }

    async fn alter_column(&mut self, change: &mut Change, name: &str, op: &AlterColumnOperation) -> Result<()> {
        let attribute = change.column_mut(name)?.attribute;
        let in_key = change.in_key(attribute)?;
        let table = change.new.name.clone();
        let column = change.column_mut(name)?;
        let identity = column.identity != Identity::No;
        match op {
            AlterColumnOperation::SetNotNull => {
                if !column.not_null {
                    column.not_null = true;
                    change.reshaped = true;
                    self.validate_not_null(change, name, true).await?;
                }
                Ok(())
            }
            AlterColumnOperation::DropNotNull if in_key => {
                let message = format!("column \"{name}\" is in a primary key");
                Err(Error::invalid(SqlState::INVALID_TABLE_DEFINITION, message))
            }
            AlterColumnOperation::DropNotNull if identity => {
                let message = format!("column \"{name}\" of relation \"{table}\" is an identity column");
                Err(Error::syntax(message))
            }
            AlterColumnOperation::DropNotNull => {
                column.not_null = false;
                change.reshaped = true;
                Ok(())
            }
            AlterColumnOperation::SetDefault { .. } | AlterColumnOperation::DropDefault if identity => {
                let message = format!("column \"{name}\" of relation \"{table}\" is an identity column");
                Err(Error::syntax(message))
            }
            AlterColumnOperation::SetDefault { value } => {
                let text = default_text(value, &column.sql_type);
                let sql_type = column.sql_type.clone();
                column.default = Some(text.clone());
                let binding = self.binding()?;
                bind::bind_default(&text, &sql_type, name, &binding.context(&[])).map_err(Error::without_position)?;
                Ok(())
            }
            AlterColumnOperation::DropDefault => {
                column.default = None;
                Ok(())
            }
            AlterColumnOperation::SetDataType { data_type, using, had_set: _ } => {
                self.set_data_type(change, name, data_type, using.as_ref())
            }
            AlterColumnOperation::AddGenerated { .. } => Err(Error::unsupported("ALTER COLUMN ... ADD GENERATED")),
        }
    }

    fn set_data_type(
        &mut self,
        change: &mut Change,
        name: &str,
        data_type: &ast::DataType,
        using: Option<&Expr>,
    ) -> Result<()> {
        let catalog = self.catalog()?;
        let table = change.new.oid;
        self.refuse_if_views_read(&catalog, |relation| relation.oid == table, "ALTER COLUMN ... TYPE")?;
        let sql_type = crate::func::type_from_ast(data_type)?;
        if sql_type.physical().is_none() {
            return Err(Error::unsupported(format!("a column of type {}", sql_type.name())));
        }
        let column = change.column_mut(name)?;
        if column.identity != Identity::No {
            return Err(Error::unsupported("ALTER COLUMN ... TYPE of an identity column"));
        }
        let expression = match using {
            Some(expr) => format!("CAST(({expr}) AS {})", sql_type.name()),
            None => format!("CAST({} AS {})", quote_identifier(name), sql_type.name()),
        };
        column.sql_type = sql_type;
        let attribute = column.attribute;
        let default = column.default.clone();
        if let Some(default) = default {
            let sql_type = change.column_mut(name)?.sql_type.clone();
            let binding = self.binding()?;
            bind::bind_default(&default, &sql_type, name, &binding.context(&[])).map_err(Error::without_position)?;
        }
        change.rewritten().push((attribute, expression));
        Ok(())
    }

    /// Writes the new definition, moves the rows if they must move, and checks what they must fulfil.
    async fn store(&mut self, mut change: Change) -> Result<()> {
        let old = Arc::clone(&change.old);
        let old_tree = Arc::clone(&old.table().ok_or_else(|| Error::internal("ALTER TABLE changes tables"))?.tree);
        let mut writer = self.catalog_writer()?;
        let tree = if change.rewrite.is_some() {
            TreeRef::new(writer.database, writer.shard.allocate_tree_id()?)
        } else {
            old_tree.tree
        };
        let version = if change.rewrite.is_some() { SchemaVersion(1) } else { SchemaVersion(old_tree.version.0 + 1) };
        let key = change.table()?.primary_key.clone();
        let mut descriptor = describe_tree(tree, version, &change.new.columns, key.as_ref())?;
        if change.rewrite.is_none() {
            keep_missing(&mut descriptor, &change.table()?.tree);
        }
        change.table_mut()?.tree = Arc::new(descriptor);
        let new = Arc::new(change.new);
        let table = new.table().ok_or_else(|| Error::internal("ALTER TABLE changes tables"))?;
        if change.rewrite.is_some() || change.reshaped {
            writer.shard.define_tree(writer.txn, writer.command, Arc::clone(&table.tree))?;
            writer.next_command();
        } else {
            // Only the definition changed: the tree stays at its version.
            return self.store_definition(writer, &new, &old_tree).await;
        }
        writer.update_relation(&new).await?;
        self.catalog_written(&writer);
        if let Some(rewrite) = &change.rewrite {
            self.move_rows(&old, &new, rewrite).await?;
            let mut writer = self.catalog_writer()?;
            writer.shard.drop_tree(writer.txn, writer.command, old_tree.tree)?;
            writer.next_command();
            self.catalog_written(&writer);
        }
        let name = self.qualified(&new)?;
        for (condition, error) in change.validations {
            let sql = format!("SELECT 1 FROM {name} WHERE ({condition}) IS NOT TRUE LIMIT 1");
            let (_, batches) = self.query(&sql).await?;
            if batches.iter().any(|batch| batch.num_rows() > 0) {
                return Err(error);
            }
        }
        Ok(())
    }

    async fn store_definition(
        &mut self,
        mut writer: CatalogWriter,
        new: &Relation,
        tree: &Arc<TreeDescriptor>,
    ) -> Result<()> {
        let RelationKind::Table(table) = &new.kind else { return Err(Error::internal("ALTER TABLE changes tables")) };
        let table = TableInfo { tree: Arc::clone(tree), ..table.clone() };
        writer.update_relation(&Relation { kind: RelationKind::Table(table), ..new.clone() }).await?;
        self.catalog_written(&writer);
        Ok(())
    }

    /// Inserts every row of the old shape into the new one, through the engine: constraints hold as for any INSERT.
    async fn move_rows(&mut self, old: &Arc<Relation>, new: &Relation, rewrite: &[(i16, String)]) -> Result<()> {
        const OLD_SCHEMA: &str = "\u{1}alter";
        let expressions = new.columns.iter().map(|column| {
            let given = rewrite.iter().find(|(attribute, _)| *attribute == column.attribute);
            let before = old.columns.iter().find(|before| before.attribute == column.attribute);
            match (given, before) {
                (Some((_, expression)), _) => expression.clone(),
                (None, Some(before)) => quote_identifier(&before.name),
                (None, None) => "NULL".to_owned(),
            }
        });
        let expressions = expressions.collect::<Vec<_>>().join(", ");
        let mut catalog = (*self.catalog()?).clone();
        let schema = Schema { oid: Oid(1), name: OLD_SCHEMA.to_owned(), owner: old.owner };
        let hidden = Relation { oid: Oid(1), schema: Oid(1), ..(**old).clone() };
        catalog.schemas.insert(Oid(1), Arc::new(schema));
        catalog.names.insert((Oid(1), hidden.name.clone()), Oid(1));
        let old_name = quote_identifier(&hidden.name);
        catalog.relations.insert(Oid(1), Arc::new(hidden));
        let target = self.qualified(new)?;
        // Identity columns take the values they have.
        if let Some(relation) = catalog.relations.get_mut(&new.oid) {
            let mut plain = (**relation).clone();
            plain.columns.iter_mut().for_each(|column| column.identity = Identity::No);
            *relation = Arc::new(plain);
        }
        let sql = format!("INSERT INTO {target} SELECT {expressions} FROM \"{OLD_SCHEMA}\".{old_name}");
        let statement = bind::parse(&sql)?.pop().ok_or_else(|| Error::internal("an INSERT of our own"))?.statement;
        let mut binding = self.binding()?;
        binding.catalog = Arc::new(catalog);
        let bound = bind::bind_statement(&statement, &sql, &binding.context(&[])).map_err(Error::without_position)?;
        let running = self.start_cancellable();
        let scope = self.newest_scope(&running)?;
        self.next_command();
        let engine = Arc::clone(&self.engine);
        engine.executor.run_write(&bound.plan, Vec::new(), &[], scope).await?;
        Ok(())
    }

    async fn rename_relation(&mut self, relation: &Arc<Relation>, new_name: &ast::ObjectName) -> Result<()> {
        let (schema, new_name) = bind::object_name(new_name)?;
        if schema.is_some() {
            return Err(Error::syntax("syntax error at or near \".\""));
        }
        let catalog = self.catalog()?;
        let oid = relation.oid;
        self.refuse_if_views_read(&catalog, |read| read.oid == oid, "RENAME TO")?;
        if matches!(relation.kind, RelationKind::Sequence(_)) {
            return Err(Error::unsupported("ALTER SEQUENCE ... RENAME"));
        }
        let renamed = Relation { name: new_name.clone(), ..(**relation).clone() };
        let mut writer = self.catalog_writer()?;
        if !writer.rename_relation(&relation.name, &renamed).await? {
            return Err(duplicate_relation(&new_name));
        }
        self.catalog_written(&writer);
        Ok(())
    }

    async fn change_owner(&mut self, relation: &Relation, owner: &ast::Owner) -> Result<()> {
        let owner = match owner {
            ast::Owner::Ident(name) => self.role_oid(&bind::fold_identifier(name))?,
            ast::Owner::CurrentRole | ast::Owner::CurrentUser | ast::Owner::SessionUser => self.user.oid,
        };
        if owner != self.user.oid {
            self.require_superuser("permission denied to change owner")?;
        }
        let catalog = self.catalog()?;
        let mut writer = self.catalog_writer()?;
        writer.update_relation(&Relation { owner, ..relation.clone() }).await?;
        for sequence in super::owned_sequences(&catalog, relation.oid) {
            writer.update_relation(&Relation { owner, ..(*sequence).clone() }).await?;
        }
        self.catalog_written(&writer);
        Ok(())
    }
}

/// Carries over what older rows hold in columns added since.
fn keep_missing(descriptor: &mut TreeDescriptor, before: &TreeDescriptor) {
    for column in &mut descriptor.columns {
        if let Some(old) = before.columns.iter().find(|old| old.id == column.id) {
            column.missing = old.missing.clone();
        }
    }
}

fn names_column(expression: &str, name: &str) -> bool {
    let Ok(expr) = bind::parse_expression(expression) else { return false };
    let mut found = false;
    let _: std::ops::ControlFlow<()> = ast::visit_expressions(&expr, |expr| {
        found |= match expr {
            Expr::Identifier(ident) => bind::fold_identifier(ident) == name,
            Expr::CompoundIdentifier(parts) => parts.last().is_some_and(|ident| bind::fold_identifier(ident) == name),
            _ => false,
        };
        std::ops::ControlFlow::Continue(())
    });
    found
}

/// The expression with a column called something else.
fn renamed_in(expression: &str, old: &str, new: &str) -> Result<String> {
    let mut expr = bind::parse_expression(expression)?;
    let _: std::ops::ControlFlow<()> = ast::visit_expressions_mut(&mut expr, |expr| {
        let ident = match expr {
            Expr::Identifier(ident) => Some(ident),
            Expr::CompoundIdentifier(parts) => parts.last_mut(),
            _ => None,
        };
        if let Some(ident) = ident
            && bind::fold_identifier(ident) == old
        {
            *ident = ast::Ident::with_quote('"', new);
            if quote_identifier(new) == new {
                ident.quote_style = None;
            }
        }
        std::ops::ControlFlow::Continue(())
    });
    Ok(expr.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renamed_column_is_renamed_in_checks() {
        assert_eq!(renamed_in("a > 0 AND t.a < \"B\"", "a", "x").unwrap(), "x > 0 AND t.x < \"B\"");
        assert_eq!(renamed_in("a > 0", "a", "Weird").unwrap(), "\"Weird\" > 0");
        assert!(names_column("abs(a) > b", "a"));
        assert!(!names_column("abs(a) > b", "abs"));
    }
}
