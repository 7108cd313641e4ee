//! Statements kept by name: PREPARE's and the extended protocol's share one name space.

use std::collections::BTreeMap;
use std::sync::Arc;

use heliosdb_contracts::{Execution, Prepared};
use heliosdb_types::{Datum, Error, Result, SqlState, SqlType};
use sqlparser::ast::{self, Spanned};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::tokenizer::{Token, Tokenizer};

use super::statement::Parsed;
use super::{PreparedStatement, Session};
use crate::bind;

/// More than any client needs: a bound on what one session holds.
const NAMES_MAX: usize = 65_536;

pub(crate) type NamedStatements = BTreeMap<String, NamedStatement>;

/// A statement kept by name.
pub(crate) struct NamedStatement {
    pub prepared: Arc<dyn Prepared>,
    pub sql: Arc<str>,
    /// By PREPARE rather than by the protocol.
    pub from_sql: bool,
    pub prepare_micros: i64,
}

fn missing(name: &str) -> Error {
    let message = format!("prepared statement \"{name}\" does not exist");
    Error::invalid(SqlState::INVALID_SQL_STATEMENT_NAME, message)
}

/// 42P02 for a text that names a parameter where there are none.
pub(crate) fn no_parameter(text: &str) -> Error {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize_with_location().unwrap_or_default();
    let found = tokens.iter().find_map(|token| match &token.token {
        Token::Placeholder(name) => Some((name.clone(), bind::position_of(token.span.start, text))),
        _ => None,
    });
    let (name, position) = found.unwrap_or_else(|| ("$1".to_owned(), None));
    let error = Error::invalid(SqlState::UNDEFINED_PARAMETER, format!("there is no parameter {name}"));
    match position {
        Some(position) => error.with_position(position),
        None => error,
    }
}

impl Session {
    pub(crate) fn keep_named(
        &mut self,
        name: &str,
        sql: &str,
        prepared: Arc<dyn Prepared>,
        from_sql: bool,
    ) -> Result<()> {
        let prepare_micros = self.now_micros();
        let mut named = self.named.lock();
        if named.contains_key(name) {
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(Error::invalid(SqlState::DUPLICATE_PREPARED_STATEMENT, message));
        }
        if named.len() >= NAMES_MAX {
            return Err(Error::unavailable(SqlState::CONFIGURATION_LIMIT_EXCEEDED, "too many prepared statements"));
        }
        // Roughly: a tree and its plan are several times their text.
        let bytes = |sql: &str| sql.len().saturating_mul(8) + 2048;
        let held: usize = named.values().map(|named| bytes(&named.sql)).sum();
        let most = self.engine.options.prepared_bytes_max;
        if !named.is_empty() && held.saturating_add(bytes(sql)) > most {
            let message = format!("the prepared statements of this session need more than {most} bytes");
            return Err(Error::unavailable(SqlState::OUT_OF_MEMORY, message)
                .with_hint("Close those that are no longer needed, for example with DEALLOCATE."));
        }
        named.insert(name.to_owned(), NamedStatement { prepared, sql: Arc::from(sql), from_sql, prepare_micros });
        Ok(())
    }

    pub(super) fn named(&self, name: &str) -> Result<Arc<dyn Prepared>> {
        self.named.lock().get(name).map(|named| Arc::clone(&named.prepared)).ok_or_else(|| missing(name))
    }

    pub(super) async fn prepare_named(
        &mut self,
        name: &str,
        data_types: &[ast::DataType],
        statement: &ast::Statement,
        text: &Arc<str>,
    ) -> Result<()> {
        if self.named.lock().contains_key(name) {
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(Error::invalid(SqlState::DUPLICATE_PREPARED_STATEMENT, message));
        }
        let names = self.binding()?.func.names;
        let declared = data_types.iter().map(|data_type| {
            let sql_type = crate::func::type_from_ast(data_type, &*names).map(Some);
            sql_type.map_err(|error| self.marked_type(error, data_type))
        });
        let declared = declared.collect::<Result<Vec<_>>>()?;
        let parsed = Parsed::from(statement.clone());
        if !parsed.is_planned() {
            return Err(Error::unsupported("PREPARE of this statement"));
        }
        let prepared =
            Box::pin(self.prepare_parsed(Some(Arc::new(parsed)), Arc::clone(text), self.log_nth, declared)).await?;
        self.keep_named(name, text, Arc::new(prepared), true)
    }

    pub(super) async fn execute_named(&mut self, statement: &ast::Statement, text: &str) -> Result<Execution> {
        let ast::Statement::Execute {
            name: Some(name),
            parameters,
            has_parentheses: _,
            immediate: false,
            into,
            using,
            output: false,
            default: false,
        } = statement
        else {
            return Err(Error::unsupported("this form of EXECUTE"));
        };
        if !into.is_empty() || !using.is_empty() {
            return Err(Error::unsupported("EXECUTE ... INTO or USING"));
        }
        let target = self.named(&statement_name(name)?)?;
        let types = target.parameters().to_vec();
        let values = self.execute_parameters(name, parameters, &types, text).await?;
        let prepared = target.as_any().downcast_ref::<PreparedStatement>();
        let prepared = prepared.ok_or_else(|| Error::internal("a statement of another session"))?;
        self.counted = self.entry_of(prepared);
        Box::pin(self.execute_prepared(prepared, values)).await
    }

    /// EXECUTE's values for a statement's parameters.
    pub(super) async fn execute_parameters(
        &mut self,
        name: &ast::ObjectName,
        parameters: &[ast::Expr],
        types: &[SqlType],
        statement: &str,
    ) -> Result<Vec<Datum>> {
        let name = statement_name(name)?;
        if parameters.len() != types.len() {
            let message = format!("wrong number of parameters for prepared statement \"{name}\"");
            return Err(Error::syntax(message).with_detail(format!(
                "Expected {} parameters but got {}.",
                types.len(),
                parameters.len()
            )));
        }
        let mut values = Vec::with_capacity(parameters.len());
        for (at, (parameter, sql_type)) in parameters.iter().zip(types).enumerate() {
            let text = parameter.to_string();
            let marked = |error: Error| match (error.position(), bind::position_of(parameter.span().start, statement)) {
                (None, Some(position)) => error.with_position(position),
                _ => error,
            };
            self.check_parameter(at, &text, sql_type).map_err(marked)?;
            values.push(self.evaluate(&text, sql_type).await.map_err(marked)?);
        }
        Ok(values)
    }

    /// A parameter is converted as an assignment would be.
    fn check_parameter(&mut self, at: usize, text: &str, to: &SqlType) -> Result<()> {
        let sql = format!("SELECT {text}");
        let binding = self.binding()?;
        let context = binding.context(&[]);
        let bound = bind::bind_query(&*bind::parse_query(&sql)?, &sql, &context).map_err(Error::without_position)?;
        let column = bound.columns.and_then(|columns| columns.into_iter().next());
        let literal = text.starts_with('\'') || text.eq_ignore_ascii_case("null");
        match column {
            Some(column) if !literal && !bind::assignable(&column.sql_type, to, &context) => {
                let from = column.sql_type.name();
                let number = at + 1;
                let message =
                    format!("parameter ${number} of type {from} cannot be coerced to the expected type {}", to.name());
                Err(Error::invalid(SqlState::DATATYPE_MISMATCH, message)
                    .with_hint("You will need to rewrite or cast the expression."))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn deallocate(&mut self, name: &ast::Ident) -> Result<&'static str> {
        if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("all") {
            self.named.lock().clear();
            return Ok("DEALLOCATE ALL");
        }
        let name = bind::fold_identifier(name);
        self.named.lock().remove(&name).map(|_| "DEALLOCATE").ok_or_else(|| missing(&name))
    }
}

/// EXECUTE's name, folded as PREPARE folded it.
pub(super) fn statement_name(name: &ast::ObjectName) -> Result<String> {
    bind::object_name(name).map(|(_, name)| name)
}
