//! ALTER COLUMN: NOT NULL, DEFAULT, TYPE.

use heliosdb_types::{Error, Result, SqlState};
use sqlparser::ast::{self, AlterColumnOperation, Expr};

use super::Change;
use crate::bind;
use crate::catalog::Identity;
use crate::ddl::columns::default_text;
use crate::pg_catalog::quote_identifier;
use crate::session::Session;

impl Session {
    pub(super) async fn alter_column(
        &mut self,
        change: &mut Change,
        name: &str,
        op: &AlterColumnOperation,
    ) -> Result<()> {
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

    pub(super) fn set_data_type(
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
}
