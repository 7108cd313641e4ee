//! EXPLAIN.

use std::sync::Arc;

use heliosdb_contracts::{Execution, ResultColumn, RowsTag};
use heliosdb_types::{Datum, Error, Oid, Result, SqlState, SqlType};
use sqlparser::ast;

use super::statement::{Parsed, PreparedStatement};
use super::{Session, set};
use crate::exec::{ExplainFormat, ExplainOptions};

/// What EXPLAIN is about.
struct Explained<'a> {
    options: ExplainOptions,
    statement: &'a ast::Statement,
}

impl Session {
    /// Parameters and result column of EXPLAIN: the statement's parameters, and text or json.
    pub(super) fn describe_explain(
        &mut self,
        statement: &ast::Statement,
        prepared: &PreparedStatement,
    ) -> Result<(Vec<SqlType>, Option<Vec<ResultColumn>>)> {
        let Explained { options, statement } = explained(statement)?;
        let parameters = match statement {
            ast::Statement::Execute { .. } => Vec::new(),
            statement => self.bound(&inner(statement, prepared)?)?.bound.parameters.clone(),
        };
        Ok((parameters, Some(vec![plan_column(options.format)])))
    }

    pub(super) async fn explain(
        &mut self,
        statement: &ast::Statement,
        prepared: &PreparedStatement,
        parameters: Vec<Datum>,
    ) -> Result<Execution> {
        let Explained { options, statement } = explained(statement)?;
        if let ast::Statement::Execute { name: Some(name), parameters: given, .. } = statement {
            let target = self.named(&super::named::statement_name(name)?)?;
            let target = target.as_any().downcast_ref::<PreparedStatement>();
            let target = target.ok_or_else(|| Error::internal("a statement of another session"))?;
            let values = self.execute_parameters(name, given, &target.parameters, &prepared.text).await?;
            return self.explain_prepared(target, values, options).await;
        }
        let inner = inner(statement, prepared)?;
        self.explain_prepared(&inner, parameters, options).await
    }

    async fn explain_prepared(
        &mut self,
        prepared: &PreparedStatement,
        parameters: Vec<Datum>,
        options: ExplainOptions,
    ) -> Result<Execution> {
        let running = self.start_cancellable();
        self.open_transaction()?;
        // Only EXPLAIN ANALYZE writes; the plan alone needs no lock.
        let (bound, scope) = if options.analyze {
            let (plan, scope) = self.bound_and_scoped(prepared, &running).await?;
            (Arc::clone(&plan.bound), scope)
        } else {
            let plan = self.bound_when_still(prepared).await?;
            let bound = Arc::clone(&plan.bound);
            self.check_privileges(&bound)?;
            let scope = self.scope(&running, &bound.relations)?;
            (bound, scope)
        };
        if bound.parameters.len() != parameters.len() {
            return Err(super::named::no_parameter(&prepared.text));
        }
        self.next_command();
        let engine = Arc::clone(&self.engine);
        let scope = super::run::with_parts(&bound, scope);
        let lines = engine
            .executor
            .explain(&bound.plan, &bound.parts, parameters, &bound.parameters, Arc::clone(&scope), options)
            .await?;
        if options.analyze && bound.targets().next().is_some() {
            self.settle_references(&scope.references).await?;
        }
        let rows = lines.into_iter().map(|line| vec![line]).collect();
        set::text_rows(vec![plan_column(options.format)], rows, RowsTag::Fixed("EXPLAIN"))
    }
}

fn plan_column(format: ExplainFormat) -> ResultColumn {
    let sql_type = if format == ExplainFormat::Json { SqlType::Json } else { SqlType::Text };
    ResultColumn { name: "QUERY PLAN".to_owned(), sql_type, table_oid: Oid(0), attribute: 0 }
}

/// The statement inside, to be bound against the whole text.
fn inner(statement: &ast::Statement, prepared: &PreparedStatement) -> Result<PreparedStatement> {
    let mut inner = PreparedStatement::empty(Arc::clone(&prepared.text));
    inner.declared.clone_from(&prepared.declared);
    inner.parsed = Some(Arc::new(Parsed::from(statement.clone())));
    if !inner.parsed.as_ref().is_some_and(|parsed| parsed.is_planned()) {
        return Err(Error::unsupported("EXPLAIN of this statement"));
    }
    Ok(inner)
}

fn explained(statement: &ast::Statement) -> Result<Explained<'_>> {
    let ast::Statement::Explain {
        describe_alias: ast::DescribeAlias::Explain,
        analyze,
        verbose,
        query_plan: false,
        estimate: false,
        statement,
        format,
        options,
    } = statement
    else {
        return Err(Error::unsupported("this form of EXPLAIN"));
    };
    let mut explain = ExplainOptions { analyze: *analyze, verbose: *verbose, ..ExplainOptions::default() };
    if let Some(format) = format {
        return Err(Error::syntax(format!("syntax error at or near \"{format}\"")));
    }
    let mut timing = None;
    for option in options.iter().flatten() {
        read_option(&mut explain, &mut timing, option)?;
    }
    let requires = |what: &str| {
        Err(Error::invalid(SqlState::INVALID_PARAMETER_VALUE, format!("EXPLAIN option {what} requires ANALYZE")))
    };
    if timing == Some(true) && !explain.analyze {
        return requires("TIMING");
    }
    explain.timing = timing.unwrap_or(true);
    Ok(Explained { options: explain, statement })
}

fn read_option(explain: &mut ExplainOptions, timing: &mut Option<bool>, option: &ast::UtilityOption) -> Result<()> {
    let name = option.name.value.to_ascii_lowercase();
    let argument = option.arg.as_ref().map(|arg| arg.to_string().trim_matches('\'').to_ascii_lowercase());
    let on = || match argument.as_deref() {
        None => Ok(true),
        Some(text) => {
            super::settings::parse_bool(text).ok_or_else(|| Error::syntax(format!("{name} requires a Boolean value")))
        }
    };
    match name.as_str() {
        "analyze" => explain.analyze = on()?,
        "verbose" => explain.verbose = on()?,
        "costs" => explain.costs = on()?,
        "timing" => *timing = Some(on()?),
        "buffers" => explain.buffers = on()?,
        "summary" => explain.summary = Some(on()?),
        "settings" | "wal" | "generic_plan" => {
            if on()? {
                return Err(Error::unsupported(format!("EXPLAIN option {}", name.to_ascii_uppercase())));
            }
        }
        "format" => {
            explain.format = match argument.as_deref() {
                Some("text") => ExplainFormat::Text,
                Some("json") => ExplainFormat::Json,
                Some("yaml") => ExplainFormat::Yaml,
                Some("xml") => return Err(Error::unsupported("EXPLAIN (FORMAT XML)")),
                other => {
                    let message =
                        format!("unrecognized value for EXPLAIN option \"format\": \"{}\"", other.unwrap_or_default());
                    return Err(Error::invalid(SqlState::INVALID_PARAMETER_VALUE, message));
                }
            }
        }
        _ => return Err(Error::syntax(format!("unrecognized EXPLAIN option \"{name}\""))),
    }
    Ok(())
}
