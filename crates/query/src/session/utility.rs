//! Statements run from their syntax tree: everything but SELECT, INSERT, UPDATE and DELETE.

use std::sync::Arc;

use arrow_array::RecordBatch;
use futures::TryStreamExt;
use heliosdb_contracts::{Execution, ResultColumn, datum_at};
use heliosdb_types::{Datum, Error, Numeric, PhysicalType, Result, SqlState, SqlType};
use sqlparser::ast;

use super::Session;
use super::notify::Listening;
use super::own_syntax::{OwnStatement, RelationChange};
use super::statement::{Parsed, PreparedStatement};
use crate::access::Rights;
use crate::bind;

/// `pg_checkpoint`.
const CHECKPOINT_ROLE: heliosdb_types::Oid = heliosdb_types::Oid(4544);

impl Session {
    /// Parameters and result columns of a statement without a plan.
    pub(crate) fn describe_utility(
        &mut self,
        prepared: &PreparedStatement,
    ) -> Result<(Vec<SqlType>, Option<Vec<ResultColumn>>)> {
        match prepared.parsed.as_deref() {
            Some(Parsed::Own(OwnStatement::Declare(declare))) => {
                return Ok((self.describe_declare(declare, prepared)?, None));
            }
            Some(Parsed::Own(OwnStatement::Fetch { name, direction: _, moves: false })) => {
                return Ok((Vec::new(), self.describe_fetch(name)));
            }
            Some(Parsed::Own(OwnStatement::Check(_))) => return Ok((Vec::new(), Some(Session::finding_columns()))),
            Some(Parsed::Own(OwnStatement::CurrentOf { statement, cursor: _ })) => {
                return self.describe_current_of(statement, prepared);
            }
            _ => {}
        }
        let Some(Parsed::Ast(statement)) = prepared.parsed.as_deref() else { return Ok((Vec::new(), None)) };
        match &**statement {
            ast::Statement::ShowVariable { variable } => Ok((Vec::new(), Some(Session::show_columns(variable)?))),
            ast::Statement::Explain { .. } => self.describe_explain(statement, prepared),
            ast::Statement::Execute { name: Some(name), .. } => {
                let target = self.named(&super::named::statement_name(name)?)?;
                Ok((Vec::new(), target.columns().map(<[ResultColumn]>::to_vec)))
            }
            _ => Ok((Vec::new(), None)),
        }
    }

    pub(crate) async fn execute_utility(
        &mut self,
        parsed: &Parsed,
        prepared: &PreparedStatement,
        parameters: Vec<Datum>,
    ) -> Result<Execution> {
        let explains =
            matches!(parsed, Parsed::Ast(statement) if matches!(**statement, ast::Statement::Explain { .. }));
        if let Parsed::Own(OwnStatement::Declare(declare)) = parsed {
            Box::pin(self.declare_cursor(declare, prepared, parameters)).await?;
            return Ok(Execution::Done("DECLARE CURSOR".to_owned()));
        }
        if let Parsed::Own(OwnStatement::CurrentOf { statement, cursor }) = parsed {
            return Box::pin(self.change_current_of(statement, cursor, prepared, parameters)).await;
        }
        if !parameters.is_empty() && !explains {
            return Err(Error::unsupported("parameters in a statement other than SELECT, INSERT, UPDATE or DELETE"));
        }
        let done = |tag: &str| Ok(Execution::Done(tag.to_owned()));
        // Boxed, all but what transactions begin and end with, as in `execute_prepared`.
        let statement = match parsed {
            Parsed::Own(own) => return Box::pin(self.execute_own(own, &prepared.text)).await,
            Parsed::Ast(statement) => statement,
        };
        match &**statement {
            ast::Statement::StartTransaction {
                modes,
                begin,
                transaction: _,
                modifier: None,
                statements,
                exception: None,
                has_end_keyword: false,
            } if statements.is_empty() => {
                self.begin(modes)?;
                done(if *begin { "BEGIN" } else { "START TRANSACTION" })
            }
            ast::Statement::Commit { chain, end: _, modifier: None } => Ok(Execution::Done(self.commit(*chain).await?)),
            ast::Statement::Rollback { chain, savepoint: None } => {
                self.rollback(*chain)?;
                done("ROLLBACK")
            }
            ast::Statement::Rollback { chain: false, savepoint: Some(name) } => {
                self.rollback_to_savepoint(&crate::bind::fold_identifier(name))?;
                done("ROLLBACK")
            }
            ast::Statement::Savepoint { name } => {
                self.savepoint(crate::bind::fold_identifier(name))?;
                done("SAVEPOINT")
            }
            ast::Statement::ReleaseSavepoint { name } => {
                self.release_savepoint(&crate::bind::fold_identifier(name))?;
                done("RELEASE")
            }
            ast::Statement::Set(set) => {
                self.set(set)?;
                done("SET")
            }
            ast::Statement::Reset(reset) => {
                self.reset(&reset.reset)?;
                done("RESET")
            }
            ast::Statement::ShowVariable { variable } => self.show(variable),
            ast::Statement::Lock(lock) => {
                Box::pin(self.lock_tables(lock)).await?;
                done("LOCK TABLE")
            }
            ast::Statement::Discard { object_type } => done(Box::pin(self.discard(object_type)).await?),
            ast::Statement::Prepare { name, data_types, statement } => {
                let name = crate::bind::fold_identifier(name);
                Box::pin(self.prepare_named(&name, data_types, statement, &prepared.text)).await?;
                done("PREPARE")
            }
            ast::Statement::Execute { .. } => Box::pin(self.execute_named(statement, &prepared.text)).await,
            ast::Statement::Deallocate { name, prepare: _ } => done(self.deallocate(name)?),
            ast::Statement::Explain { .. } => Box::pin(self.explain(statement, prepared, parameters)).await,
            other => Box::pin(self.define(other, prepared)).await,
        }
    }

    async fn execute_own(&mut self, own: &OwnStatement, text: &Arc<str>) -> Result<Execution> {
        let done = |tag: &str| Ok(Execution::Done(tag.to_owned()));
        match own {
            OwnStatement::Deferrable { statement, deferrable } => match &**statement {
                ast::Statement::StartTransaction { modes, begin, .. } => {
                    self.begin(modes)?;
                    self.set_deferrable(*deferrable)?;
                    done(if *begin { "BEGIN" } else { "START TRANSACTION" })
                }
                ast::Statement::Set(set @ ast::Set::SetTransaction { session, .. }) => {
                    self.set(set)?;
                    if *session {
                        let value = if *deferrable { "on" } else { "off" };
                        self.set_named("default_transaction_deferrable", value, false)?;
                    } else {
                        self.set_deferrable(*deferrable)?;
                    }
                    done("SET")
                }
                _ => Err(Error::unsupported("DEFERRABLE here")),
            },
            OwnStatement::Declare(_) | OwnStatement::CurrentOf { .. } => {
                Err(Error::internal("what has parameters is run before"))
            }
            OwnStatement::Fetch { name, direction, moves } => self.fetch(name, *direction, *moves).await,
            OwnStatement::Close { name } => {
                self.close_cursor(name.as_deref())?;
                done(if name.is_some() { "CLOSE CURSOR" } else { "CLOSE CURSOR ALL" })
            }
            OwnStatement::Abort { chain } => {
                self.rollback(*chain)?;
                Ok(Execution::Done("ROLLBACK".to_owned()))
            }
            OwnStatement::Access(statement) => self.run_access(statement).await,
            OwnStatement::CreateSequence { temporary, if_not_exists, name, options } => {
                self.create_sequence(*temporary, *if_not_exists, name, options).await?;
                done("CREATE SEQUENCE")
            }
            OwnStatement::AlterSequence { name, if_exists, options } => {
                self.alter_sequence(name, *if_exists, options).await?;
                done("ALTER SEQUENCE")
            }
            OwnStatement::AlterRelation { kind, name, if_exists, change } => {
                self.alter_relation(kind, name, *if_exists, change).await?;
                done(&format!("ALTER {kind}"))
            }
            OwnStatement::AlterTable { name, if_exists, actions } => {
                self.alter_table_actions(name, *if_exists, actions).await?;
                done("ALTER TABLE")
            }
            OwnStatement::AlterType { name, change } => {
                match change {
                    RelationChange::SetSchema(schema) => self.move_type(name, &bind::fold_identifier(schema)).await?,
                    RelationChange::Owner(owner) => self.give_type(name, owner).await?,
                    _ => return Err(Error::internal("ALTER TYPE does nothing else here")),
                }
                done("ALTER TYPE")
            }
            OwnStatement::AlterSchema { name, new_name, owner } => {
                self.alter_schema(name, new_name.as_ref(), owner.as_ref()).await?;
                done("ALTER SCHEMA")
            }
            OwnStatement::CreateTableLike { create, likes } => {
                self.create_table_like(create, likes).await?;
                done("CREATE TABLE")
            }
            OwnStatement::TableAs(table) => self.create_table_as(table, text).await,
            OwnStatement::Comment { target, text } => {
                self.comment_on(target, text.as_deref()).await?;
                done("COMMENT")
            }
            OwnStatement::Copy(copy) => self.copy(copy, text).await,
            OwnStatement::Listen { channel } => {
                self.listen(Listening::To(channel.as_str().into()))?;
                done("LISTEN")
            }
            OwnStatement::Unlisten { channel } => {
                let channel = channel.as_deref();
                self.listen(channel.map_or(Listening::ToNothing, |channel| Listening::NoMore(channel.into())))?;
                done("UNLISTEN")
            }
            OwnStatement::Notify { channel, payload } => {
                self.notify(channel, payload)?;
                done("NOTIFY")
            }
            OwnStatement::Backup => self.backup().await,
            OwnStatement::Check(what) => self.check(what).await,
            OwnStatement::Checkpoint => {
                let catalog = self.catalog()?;
                if !Rights::of(&catalog, self.user.oid).acts_for(CHECKPOINT_ROLE) {
                    let message = "must be superuser or have privileges of pg_checkpoint to do CHECKPOINT";
                    return Err(Error::invalid(SqlState::INSUFFICIENT_PRIVILEGE, message));
                }
                self.engine.shard.checkpoint(false).await?;
                Ok(Execution::Done("CHECKPOINT".to_owned()))
            }
            OwnStatement::SetConstraints { names, deferred } => {
                self.set_constraints(names, *deferred).await?;
                Ok(Execution::Done("SET CONSTRAINTS".to_owned()))
            }
            OwnStatement::DropIndexConcurrently { names, if_exists, cascade } => {
                self.drop_index_concurrently(names, *if_exists, *cascade).await?;
                Ok(Execution::Done("DROP INDEX".to_owned()))
            }
            OwnStatement::Reindex { target, name, concurrently } => {
                self.reindex(target, name.as_ref(), *concurrently).await?;
                Ok(Execution::Done("REINDEX".to_owned()))
            }
            OwnStatement::Statistics(statement) => done(self.define_statistics(statement).await?),
            OwnStatement::Vacuum(statement) => {
                if statement.full {
                    return Err(Error::unsupported("VACUUM FULL"));
                }
                if statement.vacuum {
                    self.require_no_block(statement.command)?;
                    for (table, _) in &statement.tables {
                        self.relation_named(table)?;
                    }
                    self.engine.shard.checkpoint(true).await?;
                }
                if statement.analyze {
                    self.analyze(statement).await?;
                }
                done(statement.command)
            }
        }
    }

    /// The rows of a query of our own making.
    pub(crate) async fn query(&mut self, sql: &str) -> Result<(Vec<ResultColumn>, Vec<RecordBatch>)> {
        let query = crate::bind::parse_query(sql)?;
        let binding = self.binding()?;
        let bound = crate::bind::bind_query(&query, sql, &binding.context(&[])).map_err(Error::without_position)?;
        let running = self.start_cancellable();
        self.open_transaction()?;
        let scope = self.newest_scope(&running)?;
        let engine = Arc::clone(&self.engine);
        let rows = engine.executor.run(&bound.plan, Vec::new(), &bound.parameters, scope);
        let batches = rows.try_collect().await?;
        Ok((bound.columns.unwrap_or_default(), batches))
    }

    /// The value of an expression that names no column, cast to a type.
    pub(crate) async fn evaluate(&mut self, expression: &str, sql_type: &SqlType) -> Result<Datum> {
        let physical = sql_type.physical().ok_or_else(|| Error::internal("a value of a type without storage"))?;
        let sql = match sql_type {
            // A query shows it as a name.
            SqlType::Reg(_) => format!("SELECT CAST(CAST(({expression}) AS {}) AS oid)", sql_type.name()),
            _ => format!("SELECT CAST(({expression}) AS {})", sql_type.name()),
        };
        let (_, batches) = self.query(&sql).await?;
        let array = batches.iter().find(|batch| batch.num_rows() > 0).and_then(|batch| batch.columns().first());
        let array = array.ok_or_else(|| Error::internal("an expression without a value"))?;
        Ok(match (datum_at(array, 0, physical)?.to_owned(), physical) {
            // Constants come as decimals that are just wide enough.
            (Datum::Decimal { unscaled, scale }, PhysicalType::Numeric) => {
                Datum::Numeric(Numeric::from_unscaled(unscaled, scale))
            }
            (value, _) => value,
        })
    }
}
