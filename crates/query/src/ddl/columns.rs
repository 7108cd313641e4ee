//! Column definitions: types, defaults, identity, and the constraints written beside a column.

use heliosdb_types::{Error, Result, SqlState, SqlType};
use sqlparser::ast::{self, ColumnOption, DataType, Expr, GeneratedAs};

use super::foreign_key::{WrittenForeignKey, read_foreign_key};
use super::index::{WrittenIndex, read_deferrable, read_unique};
use crate::bind;
use crate::catalog::Identity;
use crate::func::{self, NameLookup};
use crate::session::SequenceOptions;

/// A column as it was written.
#[derive(Debug)]
pub(crate) struct WrittenColumn {
    pub name: String,
    pub sql_type: SqlType,
    pub not_null: bool,
    pub default: Option<Expr>,
    pub identity: Identity,
    /// `default` is a generation expression.
    pub generated: bool,
    /// A sequence of its own fills it: serial, or identity.
    pub sequence: Option<SequenceOptions>,
    /// PRIMARY KEY written beside it, perhaps named.
    pub primary_key: Option<Option<String>>,
    /// It is the primary key, a DEFERRABLE one: among `uniques`.
    pub late_key: bool,
    pub checks: Vec<(Option<String>, Expr)>,
    /// UNIQUE written beside it.
    pub uniques: Vec<WrittenIndex>,
    /// REFERENCES written beside it.
    pub foreign_keys: Vec<WrittenForeignKey>,
}

impl WrittenColumn {
    /// A column of a type and nothing else.
    pub fn plain(name: String, sql_type: SqlType) -> Result<WrittenColumn> {
        if sql_type.physical().is_none() {
            return Err(Error::unsupported(format!("a column of type {}", sql_type.name())));
        }
        if matches!(sql_type, SqlType::Unknown | SqlType::Void) {
            let message = format!("column \"{name}\" has pseudo-type {}", sql_type.name());
            return Err(Error::invalid(SqlState::INVALID_TABLE_DEFINITION, message));
        }
        Ok(WrittenColumn {
            name,
            sql_type,
            not_null: false,
            default: None,
            identity: Identity::No,
            generated: false,
            sequence: None,
            primary_key: None,
            late_key: false,
            checks: Vec::new(),
            uniques: Vec::new(),
            foreign_keys: Vec::new(),
        })
    }
}

/// Reads a column definition; whatever we do not implement is refused by name.
pub(crate) fn read_column(definition: &ast::ColumnDef, table: &str, names: &dyn NameLookup) -> Result<WrittenColumn> {
    let ast::ColumnDef { name, data_type, options } = definition;
    let name = bind::fold_identifier(name);
    let serial = serial_type(data_type);
    let sql_type = match &serial {
        Some(sql_type) => sql_type.clone(),
        None => func::type_from_ast(data_type, names)?,
    };
    let mut column = WrittenColumn::plain(name, sql_type)?;
    column.not_null = serial.is_some();
    column.sequence = serial.as_ref().map(|_| SequenceOptions::default());
    let mut nullable = false;
    for ast::ColumnOptionDef { name: constraint, option } in options {
        let constraint = constraint.as_ref().map(bind::fold_identifier);
        match option {
            ColumnOption::Null => nullable = true,
            ColumnOption::NotNull => column.not_null = true,
            _ => read_option(&mut column, constraint, option, table)?,
        }
    }
    if nullable && column.not_null {
        return Err(Error::syntax(format!(
            "conflicting NULL/NOT NULL declarations for column \"{}\" of table \"{table}\"",
            column.name
        )));
    }
    column.not_null |= column.primary_key.is_some() || column.late_key || column.identity != Identity::No;
    Ok(column)
}

fn read_option(
    column: &mut WrittenColumn,
    constraint: Option<String>,
    option: &ColumnOption,
    table: &str,
) -> Result<()> {
    match option {
        ColumnOption::Default(expr) => {
            if column.generated || column.identity != Identity::No {
                let other = if column.generated { "generation expression" } else { "identity" };
                return Err(Error::syntax(format!(
                    "both default and {other} specified for column \"{}\" of table \"{table}\"",
                    column.name
                )));
            }
            if column.default.is_some() || column.sequence.is_some() {
                return Err(Error::syntax(format!(
                    "multiple default values specified for column \"{}\" of table \"{table}\"",
                    column.name
                )));
            }
            column.default = Some(expr.clone());
        }
        ColumnOption::PrimaryKey(key) => {
            if column.primary_key.is_some() || column.uniques.iter().any(|unique| unique.primary) {
                return Err(several_primary_keys(table));
            }
            let name = constraint.or_else(|| key.name.as_ref().map(bind::fold_identifier));
            match read_deferrable(key.characteristics.as_ref())? {
                None => column.primary_key = Some(name),
                Some(deferrable) => {
                    let column_name = ast::Ident::with_quote('"', column.name.as_str());
                    column.uniques.push(WrittenIndex::late_key(name, vec![column_name], deferrable));
                    column.late_key = true;
                }
            }
        }
        ColumnOption::Check(check) => {
            if check.enforced == Some(false) {
                return Err(Error::unsupported("a constraint that is NOT ENFORCED"));
            }
            let name = constraint.or_else(|| check.name.as_ref().map(bind::fold_identifier));
            column.checks.push((name, (*check.expr).clone()));
        }
        ColumnOption::Generated {
            generated_as,
            sequence_options,
            generation_expr: None,
            generation_expr_mode: None,
            generated_keyword: _,
        } => {
            if column.default.is_some() || column.sequence.is_some() {
                return Err(Error::syntax(format!(
                    "both default and identity specified for column \"{}\" of table \"{table}\"",
                    column.name
                )));
            }
            if !matches!(column.sql_type, SqlType::Int2 | SqlType::Int4 | SqlType::Int8) {
                return Err(Error::invalid(
                    SqlState::INVALID_PARAMETER_VALUE,
                    "identity column type must be smallint, integer, or bigint",
                ));
            }
            column.identity = match generated_as {
                GeneratedAs::Always => Identity::Always,
                GeneratedAs::ByDefault => Identity::ByDefault,
                GeneratedAs::ExpStored => return Err(Error::unsupported("a generated column")),
            };
            column.sequence = Some(SequenceOptions::from_ast(sequence_options.as_deref().unwrap_or(&[]))?);
        }
        ColumnOption::Generated {
            generated_as: GeneratedAs::ExpStored,
            sequence_options: None,
            generation_expr: Some(expr),
            generation_expr_mode: Some(ast::GeneratedExpressionMode::Stored),
            generated_keyword: true,
        } => {
            let both = if column.generated {
                "multiple generation clauses"
            } else if column.identity != Identity::No {
                "both identity and generation expression"
            } else {
                "both default and generation expression"
            };
            if column.default.is_some() || column.sequence.is_some() {
                return Err(Error::syntax(format!(
                    "{both} specified for column \"{}\" of table \"{table}\"",
                    column.name
                )));
            }
            column.default = Some(expr.clone());
            column.generated = true;
        }
        ColumnOption::Generated { .. } => return Err(Error::unsupported("a generated column that is not STORED")),
        ColumnOption::Unique(unique) => {
            let unique = ast::UniqueConstraint {
                name: None,
                columns: vec![ast::IndexColumn::from(ast::Ident::with_quote('"', column.name.as_str()))],
                ..unique.clone()
            };
            let unique = read_unique(&unique)?;
            column.uniques.push(WrittenIndex { name: constraint, ..unique });
        }
        ColumnOption::ForeignKey(foreign) => {
            let foreign = read_foreign_key(foreign, Some(&column.name))?;
            column.foreign_keys.push(WrittenForeignKey { name: constraint, ..foreign });
        }
        ColumnOption::Collation(name) => {
            // The only collation there is: bytewise.
            let last = name.0.last().map(ToString::to_string).unwrap_or_default();
            if !matches!(last.trim_matches('"'), "C" | "POSIX" | "default" | "ucs_basic") {
                return Err(Error::unsupported(format!("COLLATE {name}")));
            }
        }
        other => return Err(Error::unsupported(format!("column option {other}"))),
    }
    Ok(())
}

pub(crate) fn several_primary_keys(table: &str) -> Error {
    Error::invalid(
        SqlState::INVALID_TABLE_DEFINITION,
        format!("multiple primary keys for table \"{table}\" are not allowed"),
    )
}

/// The integer type behind serial, bigserial, smallserial.
fn serial_type(data_type: &DataType) -> Option<SqlType> {
    let DataType::Custom(name, modifiers) = data_type else { return None };
    if !modifiers.is_empty() || name.0.len() != 1 {
        return None;
    }
    match name.to_string().to_ascii_lowercase().as_str() {
        "serial" | "serial4" => Some(SqlType::Int4),
        "bigserial" | "serial8" => Some(SqlType::Int8),
        "smallserial" | "serial2" => Some(SqlType::Int2),
        _ => None,
    }
}

/// A default's text as it is kept: a bare string literal says its type, as PostgreSQL shows it.
pub(crate) fn default_text(expr: &Expr, sql_type: &SqlType) -> String {
    let text = expr.to_string();
    // The type may get another name later; the column knows it anyway.
    if sql_type.enum_type().is_some() {
        return match expr {
            Expr::Cast { expr: inner, .. } if matches!(inner.as_ref(), Expr::Value(_)) => inner.to_string(),
            _ => text,
        };
    }
    match expr {
        Expr::Value(value) if matches!(value.value, ast::Value::SingleQuotedString(_)) => {
            format!("{text}::{}", without_modifier(sql_type).name())
        }
        _ => text,
    }
}

/// A column's default as PostgreSQL shows it: an enum's label with its type.
pub(crate) fn shown_default(text: &str, sql_type: &SqlType) -> String {
    let literal = text.len() > 1 && text.starts_with('\'') && text.ends_with('\'');
    match sql_type.enum_type() {
        Some(_) if literal => format!("{text}::{}", sql_type.name()),
        _ => text.to_owned(),
    }
}

/// The type without length, precision or scale.
pub(crate) fn without_modifier(sql_type: &SqlType) -> SqlType {
    match sql_type {
        SqlType::Numeric(_) => SqlType::Numeric(None),
        SqlType::Varchar(_) => SqlType::Varchar(None),
        SqlType::Char(_) => SqlType::Char(None),
        SqlType::Time(_) => SqlType::Time(None),
        SqlType::Timestamp(_) => SqlType::Timestamp(None),
        SqlType::Timestamptz(_) => SqlType::Timestamptz(None),
        other => other.clone(),
    }
}
