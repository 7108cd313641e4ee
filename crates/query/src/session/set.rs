//! SET, SHOW, RESET, DISCARD.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringViewArray};
use arrow_schema::{DataType, Field, Schema};
use futures::StreamExt;
use futures::stream;
use heliosdb_contracts::{Execution, IsolationLevel, ResultColumn, RowsTag};
use heliosdb_types::{Error, Result, SqlState};
use sqlparser::ast::{
    self, ContextModifier, Expr, Set, TransactionAccessMode, TransactionIsolationLevel, TransactionMode,
};

use super::settings::{Name, PARAMETERS, check, may_set, unrecognized};
use super::transaction::State;
use super::{Parameter, Session, may_become};

impl Session {
    pub(crate) fn set(&mut self, set: &Set) -> Result<()> {
        match set {
            Set::SingleAssignment { scope, hivevar: false, variable, values } => {
                let local = scope_is_local(*scope)?;
                let name = dotted(variable);
                match setting_value(values)? {
                    Some(value) => self.set_named(&name, &value, local),
                    None => self.reset_named(&name, local),
                }
            }
            Set::SetTimeZone { local, value } => match setting_value(std::slice::from_ref(value))? {
                Some(value) if !value.eq_ignore_ascii_case("local") => self.set_named("TimeZone", &value, *local),
                _ => self.reset_named("TimeZone", *local),
            },
            Set::SetNames { charset_name, collation_name: None } => {
                self.set_named("client_encoding", &charset_name.value, false)
            }
            Set::SetNamesDefault {} => self.reset_named("client_encoding", false),
            Set::SetTransaction { modes, snapshot: None, session: false } => {
                if self.state.open().is_none_or(|transaction| !transaction.explicit) {
                    self.warning(
                        SqlState::NO_ACTIVE_SQL_TRANSACTION,
                        "SET TRANSACTION can only be used in transaction blocks",
                    );
                }
                self.set_transaction(modes)
            }
            Set::SetTransaction { modes, snapshot: None, session: true } => self.set_session_characteristics(modes),
            Set::SetTransaction { snapshot: Some(_), .. } => Err(Error::unsupported("SET TRANSACTION SNAPSHOT")),
            Set::SetRole { context_modifier, role_name } => {
                let local = scope_is_local(*context_modifier)?;
                let name = role_name.as_ref().map(crate::bind::fold_identifier);
                self.become_role("role", name.as_deref().filter(|name| *name != "none"), local)
            }
            Set::SetSessionAuthorization(authorization) => {
                let local = scope_is_local(Some(authorization.scope))?;
                let name = match &authorization.kind {
                    ast::SetSessionAuthorizationParamKind::Default => None,
                    ast::SetSessionAuthorizationParamKind::User(name) => Some(crate::bind::fold_identifier(name)),
                };
                self.become_role("session_authorization", name.as_deref(), local)
            }
            Set::SingleAssignment { hivevar: true, .. }
            | Set::ParenthesizedAssignments { .. }
            | Set::MultipleAssignments { .. }
            | Set::SetNames { collation_name: Some(_), .. }
            | Set::SetSessionParam(_) => Err(Error::unsupported("this form of SET")),
        }
    }

    fn set_session_characteristics(&mut self, modes: &[TransactionMode]) -> Result<()> {
        for mode in modes {
            match mode {
                TransactionMode::IsolationLevel(level) => {
                    self.set_named("default_transaction_isolation", level_name(*level)?, false)?;
                }
                TransactionMode::AccessMode(access) => {
                    let read_only = if *access == TransactionAccessMode::ReadOnly { "on" } else { "off" };
                    self.set_named("default_transaction_read_only", read_only, false)?;
                }
            }
        }
        Ok(())
    }

    /// Sets a parameter, for the session or until the transaction ends.
    pub(crate) fn set_named(&mut self, name: &str, value: &str, local: bool) -> Result<()> {
        let parameter = Name::of(name)?;
        may_set(&parameter, &self.user)?;
        let value = check(&parameter, value)?;
        if let Some(Parameter { kind: super::Kind::Role, name, .. }) = parameter.known() {
            let catalog = self.catalog()?;
            may_become(&catalog, &self.login_user, &self.session_user, name, &value)?;
        }
        match parameter.known().map(|parameter| parameter.name) {
            Some("transaction_isolation") => {
                let level = match value.as_str() {
                    "repeatable read" => TransactionIsolationLevel::RepeatableRead,
                    "serializable" => TransactionIsolationLevel::Serializable,
                    _ => TransactionIsolationLevel::ReadCommitted,
                };
                return self.set_transaction(&[TransactionMode::IsolationLevel(level)]);
            }
            Some("transaction_deferrable") => return self.set_deferrable(value == "on"),
            Some("transaction_read_only") => {
                let access =
                    if value == "on" { TransactionAccessMode::ReadOnly } else { TransactionAccessMode::ReadWrite };
                return self.set_transaction(&[TransactionMode::AccessMode(access)]);
            }
            _ => {}
        }
        if local && self.state.open().is_none_or(|transaction| !transaction.explicit) {
            self.warning(SqlState::NO_ACTIVE_SQL_TRANSACTION, "SET LOCAL can only be used in transaction blocks");
        }
        self.put_setting(&parameter, value, local)
    }

    fn reset_named(&mut self, name: &str, local: bool) -> Result<()> {
        let parameter = Name::of(name)?;
        if let Some(Parameter { kind: super::Kind::Internal, name, .. }) = parameter.known() {
            let message = format!("parameter \"{name}\" cannot be changed");
            return Err(Error::invalid(SqlState::CANT_CHANGE_RUNTIME_PARAM, message));
        }
        may_set(&parameter, &self.user)?;
        let value = self.settings_at_start.of(&parameter).unwrap_or_default().to_owned();
        self.put_setting(&parameter, value, local)
    }

    fn put_setting(&mut self, parameter: &Name, value: String, local: bool) -> Result<()> {
        self.settings.fits(parameter, &value)?;
        let transaction = self.open_transaction()?;
        if !local {
            transaction.settings_kept.give(parameter, value.clone());
        }
        self.settings.give(parameter, value);
        if parameter.as_str() == "application_name" {
            let name = self.settings.get("application_name").to_owned();
            self.seat.update(|activity| activity.application_name = name);
        }
        self.take_roles();
        Ok(())
    }

    /// Takes over what `set_config` changed while a statement ran.
    pub(crate) fn take_changes(&mut self) {
        self.take_said();
        let changes = std::mem::take(&mut *self.changes.lock());
        for change in changes {
            if let State::Open(transaction) = &mut self.state
                && !change.local
            {
                transaction.settings_kept.give(&change.name, change.value.clone());
            }
            self.settings.give(&change.name, change.value);
        }
        self.take_roles();
    }

    pub(crate) fn reset(&mut self, reset: &ast::Reset) -> Result<()> {
        match reset {
            ast::Reset::ALL => self.reset_all(),
            ast::Reset::ConfigurationParameter(name) => match name.to_string().to_ascii_lowercase().as_str() {
                "role" => self.become_role("role", None, false),
                "session authorization" | "session_authorization" => {
                    self.become_role("session_authorization", None, false)
                }
                _ => self.reset_named(&dotted(name), false),
            },
        }
    }

    fn reset_all(&mut self) -> Result<()> {
        let roles = |name: &Name| name.known().is_some_and(|parameter| matches!(parameter.kind, super::Kind::Role));
        let known = (0..PARAMETERS.len()).map(Name::Known).filter(|name| !roles(name));
        for name in known.chain(self.settings.own_names()) {
            let value = self.settings_at_start.of(&name).unwrap_or_default().to_owned();
            self.put_setting(&name, value, false)?;
        }
        Ok(())
    }

    pub(crate) async fn discard(&mut self, object: &ast::DiscardObject) -> Result<&'static str> {
        match object {
            ast::DiscardObject::ALL => {
                self.require_no_block("DISCARD ALL")?;
                self.become_role("session_authorization", None, false)?;
                self.reset_all()?;
                self.named.lock().clear();
                self.sequences.forget();
                self.close_cursor(None)?;
                self.listen(super::notify::Listening::ToNothing)?;
                self.discard_temp().await?;
                Ok("DISCARD ALL")
            }
            // Plans are bound again with their statement's next run.
            ast::DiscardObject::PLANS => {
                for named in self.named.lock().values() {
                    if let Some(prepared) = named.prepared.as_any().downcast_ref::<super::PreparedStatement>() {
                        *prepared.plan.lock() = None;
                    }
                }
                Ok("DISCARD PLANS")
            }
            ast::DiscardObject::SEQUENCES => {
                self.sequences.forget();
                Ok("DISCARD SEQUENCES")
            }
            ast::DiscardObject::TEMP => {
                self.discard_temp().await?;
                Ok("DISCARD TEMP")
            }
        }
    }

    /// A parameter as SHOW prints it.
    pub(crate) fn shown(&self, position: usize) -> String {
        let name = PARAMETERS.get(position).map_or("", |parameter| parameter.name);
        match (name, self.state.open()) {
            ("transaction_isolation", Some(transaction)) => match transaction.isolation {
                IsolationLevel::ReadCommitted => "read committed".to_owned(),
                IsolationLevel::RepeatableRead => "repeatable read".to_owned(),
                IsolationLevel::Serializable => "serializable".to_owned(),
            },
            ("transaction_deferrable", Some(transaction)) => {
                (if transaction.deferrable { "on" } else { "off" }).to_owned()
            }
            ("transaction_isolation", None) => self.settings.get("default_transaction_isolation").to_owned(),
            ("transaction_read_only", Some(transaction)) => {
                (if transaction.read_only { "on" } else { "off" }).to_owned()
            }
            ("transaction_read_only", None) => self.settings.get("default_transaction_read_only").to_owned(),
            _ => self.settings.value(position).to_owned(),
        }
    }

    pub(crate) fn show_columns(variable: &[ast::Ident]) -> Result<Vec<ResultColumn>> {
        let name = variable_name(variable);
        if name.eq_ignore_ascii_case("all") {
            return Ok(["name", "setting", "description"].map(Session::text_column).to_vec());
        }
        Ok(vec![Session::text_column(Name::of(&name)?.as_str())])
    }

    pub(crate) fn show(&mut self, variable: &[ast::Ident]) -> Result<Execution> {
        let columns = Session::show_columns(variable)?;
        let name = variable_name(variable);
        let rows: Vec<Vec<String>> = if name.eq_ignore_ascii_case("all") {
            let all = PARAMETERS.iter().enumerate();
            all.map(|(at, parameter)| vec![parameter.name.to_owned(), self.shown(at), parameter.description.to_owned()])
                .collect()
        } else {
            let value = match Name::of(&name)? {
                Name::Known(position) => self.shown(position),
                own => self.settings.of(&own).ok_or_else(|| unrecognized(own.as_str()))?.to_owned(),
            };
            vec![vec![value]]
        };
        text_rows(columns, rows, RowsTag::Fixed("SHOW"))
    }
}

/// A parameter's name as it was written, without quotes.
fn dotted(name: &ast::ObjectName) -> String {
    let words = name.0.iter().filter_map(|part| part.as_ident());
    words.map(|word| word.value.as_str()).collect::<Vec<_>>().join(".")
}

fn variable_name(variable: &[ast::Ident]) -> String {
    let words: Vec<&str> = variable.iter().map(|ident| ident.value.as_str()).collect();
    match words.join(" ").to_ascii_lowercase().as_str() {
        "transaction isolation level" => "transaction_isolation".to_owned(),
        "time zone" => "TimeZone".to_owned(),
        "session authorization" => "session_authorization".to_owned(),
        _ => words.join("."),
    }
}

/// Rows of text, as a finished execution.
pub(crate) fn text_rows(columns: Vec<ResultColumn>, rows: Vec<Vec<String>>, tag: RowsTag) -> Result<Execution> {
    let fields: Vec<Field> =
        (0..columns.len()).map(|at| Field::new(format!("c{at}"), DataType::Utf8View, true)).collect();
    let arrays = (0..columns.len()).map(|at| {
        let values = rows.iter().map(|row| row.get(at).map(String::as_str));
        Arc::new(values.collect::<StringViewArray>()) as ArrayRef
    });
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays.collect())
        .map_err(|error| Error::internal("could not make rows of text").with_source(error))?;
    Ok(Execution::Rows { columns: Arc::from(columns), rows: stream::iter([Ok(batch)]).boxed(), tag })
}

/// The name and the text of a plain `SET name = value`; no text is DEFAULT.
pub(crate) fn assignment(set: &Set) -> Result<(String, Option<String>)> {
    match set {
        Set::SingleAssignment { scope: None, hivevar: false, variable, values } => {
            Ok((dotted(variable), setting_value(values)?))
        }
        Set::SetTimeZone { local: false, value } => {
            Ok(("TimeZone".to_owned(), setting_value(std::slice::from_ref(value))?))
        }
        _ => Err(Error::unsupported("this form of SET for a role or database")),
    }
}

fn level_name(level: TransactionIsolationLevel) -> Result<&'static str> {
    match level {
        TransactionIsolationLevel::ReadUncommitted => Ok("read uncommitted"),
        TransactionIsolationLevel::ReadCommitted => Ok("read committed"),
        TransactionIsolationLevel::RepeatableRead => Ok("repeatable read"),
        TransactionIsolationLevel::Serializable => Ok("serializable"),
        TransactionIsolationLevel::Snapshot => Err(Error::unsupported("ISOLATION LEVEL SNAPSHOT")),
    }
}

fn scope_is_local(scope: Option<ContextModifier>) -> Result<bool> {
    match scope {
        None | Some(ContextModifier::Session) => Ok(false),
        Some(ContextModifier::Local) => Ok(true),
        Some(ContextModifier::Global) => Err(Error::unsupported("SET GLOBAL")),
    }
}

/// The text of SET's values: a list becomes `a, b`; `None` is DEFAULT.
fn setting_value(values: &[Expr]) -> Result<Option<String>> {
    if let [Expr::Identifier(ident)] = values
        && ident.quote_style.is_none()
        && ident.value.eq_ignore_ascii_case("default")
    {
        return Ok(None);
    }
    let quote = values.len() > 1;
    let parts = values.iter().map(|value| one_value(value, quote)).collect::<Result<Vec<_>>>()?;
    Ok(Some(parts.join(", ")))
}

fn one_value(value: &Expr, in_list: bool) -> Result<String> {
    Ok(match value {
        Expr::Identifier(ident) if ident.quote_style.is_some() => {
            // Kept quoted, so that a list of names reads back as it was written.
            format!("\"{}\"", ident.value.replace('"', "\"\""))
        }
        Expr::Identifier(ident) => ident.value.clone(),
        Expr::CompoundIdentifier(parts) => parts.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join("."),
        Expr::Value(value) => match &value.value {
            ast::Value::SingleQuotedString(text) | ast::Value::EscapedStringLiteral(text) => {
                let plain = text.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit());
                if in_list && !plain { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.clone() }
            }
            ast::Value::Number(number, _) => number.clone(),
            ast::Value::Boolean(value) => value.to_string(),
            other => return Err(Error::syntax(format!("syntax error at or near \"{other}\""))),
        },
        Expr::UnaryOp { op, expr } => format!("{op}{}", one_value(expr, in_list)?),
        Expr::Interval(_) => return Err(Error::unsupported("SET TIME ZONE INTERVAL")),
        other => return Err(Error::syntax(format!("syntax error at or near \"{other}\""))),
    })
}
