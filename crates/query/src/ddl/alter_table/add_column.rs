//! ADD COLUMN: what existing rows get in it is one value for all of them (the column's missing value), or a rewrite.

use std::sync::Arc;

use heliosdb_contracts::ColumnDescriptor;
use heliosdb_types::{ColumnId, Datum, Error, Result, SqlState, SqlType};
use sqlparser::ast;

use super::Change;
use crate::bind;
use crate::catalog::Column;
use crate::ddl::columns::{WrittenColumn, default_text, read_column};
use crate::ddl::create_table::{Constraint, refuse_system_name};
use crate::pg_catalog::quote_identifier;
use crate::session::Session;

impl Session {
    pub(super) async fn add_column(
        &mut self,
        change: &mut Change,
        definition: &ast::ColumnDef,
        if_not_exists: bool,
    ) -> Result<()> {
        let mut written = [read_column(definition, &change.new.name, &*self.binding()?.func.names)?];
        self.name_relations_in_full(&mut written)?;
        let [written] = written;
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
            generated: written.generated,
        });
        self.fill_new_column(change, &written, attribute).await?;
        if let Some(name) = &written.primary_key {
            let key = Constraint::Key((name.clone(), vec![written.name.clone()]));
            self.add_constraint(change, key, false).await?;
        }
        for (name, expr) in written.checks {
            let check = Constraint::Check(Box::new((name, Some(written.name.clone()), expr)));
            self.add_constraint(change, check, false).await?;
        }
        for foreign in written.foreign_keys {
            self.add_constraint(change, Constraint::Foreign(Box::new(foreign)), false).await?;
        }
        for unique in written.uniques {
            self.add_constraint(change, Constraint::Unique(Box::new(unique)), false).await?;
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
        if written.generated {
            // Computed for every row as it moves.
            change.rewritten();
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
    pub(super) async fn validate_not_null(&mut self, change: &Change, column: &str, not_null: bool) -> Result<()> {
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
}
