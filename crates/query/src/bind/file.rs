//! Files in FROM: `'dir/*.parquet'`, and `read_parquet`, `read_csv` and `read_json` with options.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::LogicalPlanBuilder;
use heliosdb_files::Form;
use heliosdb_types::{Error, Result, SqlState};
use sqlparser::ast::{self, Expr, FunctionArg, FunctionArgExpr, ObjectNamePart, TableFactor, Value};

use super::binder::{Binder, alias_columns};
use super::from::{FromItem, alias_parts, refuse};
use super::names::fold_identifier;
use super::plan::from_datafusion;
use super::scope::{Scope, ScopeColumn, ScopeRelation, column_value};
use crate::files::FileRequest;

/// Whether a FROM item is files.
pub(super) fn is_file(factor: &TableFactor) -> bool {
    let TableFactor::Table { name, args, .. } = factor else { return false };
    match (name.0.as_slice(), args) {
        ([ObjectNamePart::Identifier(ident)], None) => ident.quote_style == Some('\''),
        ([ObjectNamePart::Identifier(ident)], Some(_)) => function_form(ident).is_some(),
        _ => false,
    }
}

fn function_form(name: &ast::Ident) -> Option<Form> {
    match fold_identifier(name).as_str() {
        "read_parquet" => Some(Form::Parquet),
        "read_csv" => Some(Form::Csv),
        "read_json" => Some(Form::Json),
        _ => None,
    }
}

impl Binder<'_> {
    /// A FROM item that is files; `None` for other items.
    pub fn bind_file_factor(&mut self, factor: &TableFactor) -> Result<Option<FromItem>> {
        if !is_file(factor) {
            return Ok(None);
        }
        let TableFactor::Table {
            name,
            alias,
            args,
            with_hints,
            version,
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_hints,
        } = factor
        else {
            return Ok(None);
        };
        refuse(!with_hints.is_empty() || !index_hints.is_empty(), "hints")?;
        refuse(version.is_some(), "a table version (AS OF)")?;
        refuse(!partitions.is_empty(), "PARTITION in FROM")?;
        refuse(json_path.is_some(), "a JSON path in FROM")?;
        refuse(sample.is_some(), "TABLESAMPLE")?;
        refuse(*with_ordinality, "WITH ORDINALITY of files")?;
        let Some(ObjectNamePart::Identifier(ident)) = name.0.first() else { return Ok(None) };
        let request = match args {
            None => plain(&ident.value).map_err(|error| self.positions.mark(error, ident.span))?,
            Some(ast::TableFunctionArgs { args, settings }) => {
                refuse(settings.is_some(), "SETTINGS in FROM")?;
                let form = function_form(ident).ok_or_else(|| Error::internal("another function"))?;
                with_options(&fold_identifier(ident), form, args)?
            }
        };
        self.bind_files(&request, alias.as_ref()).map(Some)
    }

    fn bind_files(&mut self, request: &FileRequest, alias: Option<&ast::TableAlias>) -> Result<FromItem> {
        let table = self.context.files.get(request)?;
        self.reads_files = true;
        let (alias_name, column_aliases) = alias_parts(alias)?;
        let name = alias_name.unwrap_or_else(|| table.name());
        self.refuse_locked(&name, "files")?;
        let qualifier = self.unique_qualifier(&name);
        let names = table.columns.iter().map(|column| column.name.clone()).collect();
        let names = alias_columns(&name, names, column_aliases)?;
        let column = |(column, name): (&heliosdb_files::FileColumn, String)| {
            let value = column_value(Some(&qualifier), &column.name, column.sql_type.clone());
            ScopeColumn { name, value, origin: None }
        };
        let columns = table.columns.iter().zip(names).map(column).collect();
        let provider: Arc<dyn TableProvider> = table;
        let plan = LogicalPlanBuilder::scan(qualifier.clone(), provider_as_source(provider), None);
        let plan = plan.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?;
        let relation = ScopeRelation { name, schema: None, columns, table: None, row: Default::default() };
        Ok(FromItem { plan, scope: Scope::of(relation) })
    }
}

/// A path alone: its ending says what it is.
fn plain(path: &str) -> Result<FileRequest> {
    let form = Form::of(path).ok_or_else(|| {
        let message = format!("\"{path}\" does not end like a data file");
        Error::invalid(SqlState::INVALID_PARAMETER_VALUE, message).with_hint(format!(
            "Known endings are {}. Else say what it is: read_parquet('{path}'), read_csv('{path}') or read_json('{path}').",
            Form::ENDINGS
        ))
    })?;
    Ok(FileRequest::new(path.to_owned(), form))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::invalid(SqlState::INVALID_PARAMETER_VALUE, message)
}

/// `read_csv('path', header => true, ...)`
fn with_options(function: &str, form: Form, args: &[FunctionArg]) -> Result<FileRequest> {
    let mut args = args.iter();
    let path = match args.next() {
        Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))) => text(expr),
        _ => None,
    };
    let path = path.ok_or_else(|| {
        invalid(format!("{function} needs a path as a string literal")).with_hint(format!("Write {function}('path')."))
    })?;
    let mut request = FileRequest::new(path, form);
    for arg in args {
        let (name, value) = match arg {
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), operator: _ } => {
                (fold_identifier(name), value)
            }
            FunctionArg::ExprNamed { name: Expr::Identifier(name), arg: FunctionArgExpr::Expr(value), operator: _ } => {
                (fold_identifier(name), value)
            }
            _ => {
                let error = invalid(format!("the options of {function} have names"));
                return Err(error.with_hint(format!("Write {function}('path', header => true).")));
            }
        };
        option(&mut request, function, &name, value)?;
    }
    Ok(request)
}

fn option(request: &mut FileRequest, function: &str, name: &str, value: &Expr) -> Result<()> {
    let wrong = |what: &str| invalid(format!("option \"{name}\" of {function} must be {what}"));
    match (name, request.form) {
        ("header", Form::Csv) => request.csv.header = Some(boolean(value).ok_or_else(|| wrong("true or false"))?),
        ("delim" | "delimiter" | "sep", Form::Csv) => {
            let text = text(value).ok_or_else(|| wrong("one character of one byte"))?;
            let [byte] = text.as_bytes() else { return Err(wrong("one character of one byte")) };
            if matches!(byte, b'"' | b'\n' | b'\r') {
                return Err(wrong("neither a quote nor a line's end"));
            }
            request.csv.delimiter = Some(*byte);
        }
        ("nullstr", Form::Csv) => request.csv.null = text(value).ok_or_else(|| wrong("a text"))?,
        ("all_varchar", Form::Csv | Form::Json) => {
            request.all_text = boolean(value).ok_or_else(|| wrong("true or false"))?;
        }
        ("sample_size", Form::Csv | Form::Json) => {
            request.sample = match integer(value) {
                Some(-1) => None,
                Some(rows @ 1..) => u64::try_from(rows).ok(),
                _ => return Err(wrong("a number of rows, or -1 for all")),
            };
        }
        _ => {
            let known = match request.form {
                Form::Parquet => "It has none.",
                Form::Csv => "Known are header, delim, nullstr, all_varchar and sample_size.",
                Form::Json => "Known are all_varchar and sample_size.",
            };
            return Err(invalid(format!("unrecognized option \"{name}\" of {function}")).with_hint(known));
        }
    }
    Ok(())
}

fn value_of(expr: &Expr) -> Option<&Value> {
    match expr {
        Expr::Value(value) => Some(&value.value),
        Expr::Nested(inner) => value_of(inner),
        _ => None,
    }
}

fn text(expr: &Expr) -> Option<String> {
    match value_of(expr)? {
        Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Some(text.clone()),
        _ => None,
    }
}

fn boolean(expr: &Expr) -> Option<bool> {
    match value_of(expr)? {
        Value::Boolean(value) => Some(*value),
        Value::SingleQuotedString(text) => crate::session::parse_bool(text),
        _ => None,
    }
}

fn integer(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr } => integer(expr)?.checked_neg(),
        other => match value_of(other)? {
            Value::Number(digits, _) => digits.to_string().parse().ok(),
            _ => None,
        },
    }
}
