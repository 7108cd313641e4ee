//! ALTER COLUMN: NOT NULL, DEFAULT, TYPE.

use heliosdb_types::{Error, Result, SqlState, SqlType};
use sqlparser::ast::{self, AlterColumnOperation, Expr};

use super::Change;
use crate::bind;
use crate::catalog::{Identity, RelationKind};
use crate::ddl::columns::{WrittenColumn, default_text};
use crate::ddl::view::views_using;
use crate::pg_catalog::quote_identifier;
use crate::session::{SequenceOptions, Session};

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
                let error = Error::syntax(message);
                Err(match op {
                    AlterColumnOperation::DropDefault => {
                        error.with_hint("Use ALTER TABLE ... ALTER COLUMN ... DROP IDENTITY instead.")
                    }
                    _ => error,
                })
            }
            AlterColumnOperation::SetDefault { .. } | AlterColumnOperation::DropDefault if column.generated => {
                let message = format!("column \"{name}\" of relation \"{table}\" is a generated column");
                let error = Error::syntax(message);
                Err(match op {
                    AlterColumnOperation::DropDefault => {
                        error.with_hint("Use ALTER TABLE ... ALTER COLUMN ... DROP EXPRESSION instead.")
                    }
                    _ => error,
                })
            }
            AlterColumnOperation::SetDefault { value } => {
                let mut named = [WrittenColumn::plain(name.to_owned(), column.sql_type.clone())?];
                named[0].default = Some(value.clone());
                self.name_relations_in_full(&mut named)?;
                let value = named[0].default.as_ref().unwrap_or(value);
                let column = change.column_mut(name)?;
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
                self.set_data_type(change, name, data_type, using.as_ref()).await
            }
            AlterColumnOperation::AddGenerated { .. } => Err(Error::unsupported("ALTER COLUMN ... ADD GENERATED")),
        }
    }

    async fn set_data_type(
        &mut self,
        change: &mut Change,
        name: &str,
        data_type: &ast::DataType,
        using: Option<&Expr>,
    ) -> Result<()> {
        let catalog = self.catalog()?;
        let attribute = change.column_mut(name)?.attribute;
        if let Some(view) = views_using(&catalog, change.new.oid, attribute).first() {
            return Err(Error::invalid(
                SqlState::FEATURE_NOT_SUPPORTED,
                "cannot alter type of a column used by a view or rule",
            )
            .with_detail(format!("rule _RETURN on view {} depends on column \"{name}\"", view.name)));
        }
        let generated = change.new.columns.iter().find(|column| {
            column.generated && column.default.as_ref().is_some_and(|text| super::rename::names_column(text, name))
        });
        if let Some(generated) = generated {
            return Err(Error::invalid(
                SqlState::FEATURE_NOT_SUPPORTED,
                "cannot alter type of a column used by a generated column",
            )
            .with_detail(format!("Column \"{name}\" is used by generated column \"{}\".", generated.name)));
        }
        let sql_type = crate::func::type_from_ast(data_type, &*self.binding()?.func.names)?;
        if sql_type.physical().is_none() {
            return Err(Error::unsupported(format!("a column of type {}", sql_type.name())));
        }
        let column = change.column_mut(name)?;
        if column.identity != Identity::No && !matches!(sql_type, SqlType::Int2 | SqlType::Int4 | SqlType::Int8) {
            return Err(Error::invalid(
                SqlState::INVALID_PARAMETER_VALUE,
                "identity column type must be smallint, integer, or bigint",
            ));
        }
        let before = column.sql_type.clone();
        if let (Some(_), true) = (using, column.generated) {
            let message = "cannot specify USING when altering type of generated column";
            return Err(Error::invalid(SqlState::INVALID_OBJECT_DEFINITION, message)
                .with_detail(format!("Column \"{name}\" is a generated column.")));
        }
        let source = match using {
            Some(expr) => format!("({expr})"),
            None => quote_identifier(name),
        };
        self.check_conversion(change, name, &source, using, &sql_type)?;
        // Assigned to the new column as any INSERT would: too long is an error.
        let expression = source.clone();
        let column = change.column_mut(name)?;
        column.sql_type = sql_type.clone();
        let (default, identity, generated) = (column.default.clone(), column.identity, column.generated);
        if identity != Identity::No {
            self.resize_identity(change, attribute, &sql_type).await?;
        }
        if generated {
            change.rewritten();
            return Ok(());
        }
        if let Some(default) = default {
            let binding = self.binding()?;
            bind::bind_default(&default, &sql_type, name, &binding.context(&[])).map_err(|_| {
                let message =
                    format!("default for column \"{name}\" cannot be cast automatically to type {}", sql_type.name());
                Error::invalid(SqlState::DATATYPE_MISMATCH, message)
            })?;
        }
        // Every value is as it was, and so are the rows.
        if using.is_none() && widens(&before, &sql_type) {
            change.reshaped = true;
            return Ok(());
        }
        change.rewritten().push((attribute, expression));
        Ok(())
    }

    /// Only a cast that an assignment may make is made unasked.
    fn check_conversion(
        &mut self,
        change: &Change,
        name: &str,
        source: &str,
        using: Option<&Expr>,
        to: &SqlType,
    ) -> Result<()> {
        let old = change.old.columns.iter().find(|column| column.name == name);
        let Some(old) = old.filter(|column| !column.generated) else { return Ok(()) };
        let table = self.qualified(&change.old)?;
        let sql = format!("SELECT {source} FROM {table}");
        let mut query = bind::parse_query(&sql)?;
        let binding = self.binding()?;
        // The statement's own expression, so that errors have positions.
        let bound = match using {
            Some(using) => {
                if let ast::SetExpr::Select(select) = &mut *query.body {
                    select.projection = vec![ast::SelectItem::UnnamedExpr(using.clone())];
                }
                bind::bind_query(&query, &self.statement_text, &binding.context(&[]))?
            }
            None => bind::bind_query(&query, &sql, &binding.context(&[])).map_err(Error::without_position)?,
        };
        let using = using.is_some();
        let from = bound.columns.and_then(|columns| columns.into_iter().next()).map(|column| column.sql_type);
        let from = from.unwrap_or_else(|| old.sql_type.clone());
        if bind::assignable(&from, to, &binding.context(&[])) {
            return Ok(());
        }
        let target = to.name();
        let error = if using {
            let message =
                format!("result of USING clause for column \"{name}\" cannot be cast automatically to type {target}");
            Error::invalid(SqlState::DATATYPE_MISMATCH, message).with_hint("You might need to add an explicit cast.")
        } else {
            let message = format!("column \"{name}\" cannot be cast automatically to type {target}");
            Error::invalid(SqlState::DATATYPE_MISMATCH, message)
                .with_hint(format!("You might need to specify \"USING {}::{target}\".", quote_identifier(name)))
        };
        Err(error)
    }

    /// An identity column's sequence counts in the column's type.
    async fn resize_identity(&mut self, change: &mut Change, attribute: i16, sql_type: &SqlType) -> Result<()> {
        let sequence = self.identity_sequence(&change.new, attribute)?;
        let RelationKind::Sequence(info) = &sequence.kind else { return Err(Error::internal("a sequence")) };
        let options = SequenceOptions { data_type: Some(sql_type.clone()), ..SequenceOptions::default() };
        let mut writer = self.catalog_writer()?;
        self.change_sequence(&mut writer, &sequence, &options, info.owned_by).await?;
        self.catalog_written(&writer);
        Ok(())
    }
}

/// Whether every value of one type is stored the same way as the other.
fn widens(from: &SqlType, to: &SqlType) -> bool {
    match (from, to) {
        (SqlType::Varchar(_) | SqlType::Text, SqlType::Text | SqlType::Varchar(None)) => true,
        (SqlType::Varchar(Some(before)), SqlType::Varchar(Some(after))) => after >= before,
        (from, to) => from == to,
    }
}
