//! CREATE TABLE AS and SELECT INTO: a table of a query's columns, then an INSERT of the query into it.

use heliosdb_contracts::Execution;
use heliosdb_types::{Error, Result, SqlState, SqlType};
use sqlparser::ast;

use super::columns::WrittenColumn;
use super::create_table::{CopiedIndexes, NewTable};
use crate::bind;
use crate::catalog::OnCommit;
use crate::session::{CachedPlan, Session, TableAs};

impl Session {
    pub(crate) async fn create_table_as(&mut self, table: &TableAs, text: &str) -> Result<Execution> {
        let made = self.make_table_as(table, text).await;
        // Files it reads are bound twice.
        self.files.clear();
        made
    }

    async fn make_table_as(&mut self, table: &TableAs, text: &str) -> Result<Execution> {
        let command = if table.into { "SELECT INTO" } else { "CREATE TABLE AS" };
        self.require_read_write(command)?;
        if table.on_commit.is_some_and(|action| action != OnCommit::Preserve) && !table.temporary {
            return Err(not_temporary());
        }
        let bound = loop {
            let binding = self.binding()?;
            match bind::bind_query(&table.query, text, &binding.context(&[])) {
                Ok(bound) => break bound,
                Err(error) => {
                    let running = self.start_cancellable();
                    Box::pin(self.look_for(error, &running)).await?;
                }
            }
        };
        let writes = !bound.parts.is_empty();
        self.check_privileges(&bound)?;
        if !bound.parameters.is_empty() {
            return Err(Error::invalid(SqlState::UNDEFINED_PARAMETER, "there is no parameter $1"));
        }
        let columns = bound.columns.unwrap_or_default();
        if table.columns.len() > columns.len() {
            return Err(Error::syntax("too many column names were specified"));
        }
        let written = columns.iter().enumerate().map(|(at, column)| {
            let name = table.columns.get(at).map_or_else(|| column.name.clone(), bind::fold_identifier);
            let sql_type = if column.sql_type == SqlType::Unknown { SqlType::Text } else { column.sql_type.clone() };
            WrittenColumn::plain(name, sql_type)
        });
        let written = written.collect::<Result<Vec<_>>>()?;
        let new = NewTable {
            name: &table.name,
            temporary: table.temporary,
            if_not_exists: table.if_not_exists,
            on_commit: table.on_commit,
            columns: written,
            constraints: &[],
            copied: CopiedIndexes::default(),
        };
        let Some(relation) = self.make_table(new).await? else { return Ok(Execution::Done(command.to_owned())) };
        if !table.with_data {
            return Ok(Execution::Done(command.to_owned()));
        }
        let name = self.qualified(&relation)?;
        let sql = format!("INSERT INTO {name} VALUES (1)");
        let mut statement = bind::parse(&sql)?.pop().ok_or_else(|| Error::internal("an INSERT of our own"))?.statement;
        let mut source = table.query.clone();
        // Only the statement's own WITH may modify data, and the INSERT is the statement now.
        let with = if writes { source.with.take() } else { None };
        if let ast::Statement::Insert(insert) = &mut statement {
            insert.source = Some(source);
        }
        if let Some(with) = with {
            let mut whole = bind::parse_query("SELECT 1")?;
            (whole.with, *whole.body) = (Some(with), ast::SetExpr::Insert(statement));
            statement = ast::Statement::Query(whole);
        }
        let (catalog, (bound, personal)) = (self.catalog()?, self.bind(&statement, text, &[])?);
        let plan = CachedPlan::new(&catalog, self.database.id, self.settings.version, bound, personal);
        let bound = &plan.bound;
        let running = self.start_cancellable();
        if !self.lock_reads(&plan, &running).await? || !self.lock_targets(bound, &running).await? {
            let message = "a table changed before it could be locked";
            return Err(Error::retry(SqlState::LOCK_NOT_AVAILABLE, message));
        }
        let scope = self.scope(&running, &bound.relations)?;
        let Execution::Done(tag) = Box::pin(self.run_plan(&plan, Vec::new(), scope, running)).await? else {
            return Err(Error::internal("an INSERT of our own gave rows"));
        };
        let written = tag.rsplit(' ').next().unwrap_or_default();
        Ok(Execution::Done(format!("SELECT {written}")))
    }
}

pub(super) fn not_temporary() -> Error {
    Error::invalid(SqlState::INVALID_TABLE_DEFINITION, "ON COMMIT can only be used on temporary tables")
}
