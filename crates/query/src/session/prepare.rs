//! Preparing: binding a statement against the catalog of now, and keeping the plan while that catalog holds.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use heliosdb_contracts::{IsolationLevel, ReadContext, ResultColumn};
use heliosdb_types::{CommandId, Error, Oid, Result, SqlState, SqlType};
use parking_lot::Mutex;
use sqlparser::ast;

use super::statement::{CachedPlan, Parsed, PreparedStatement};
use super::transaction::State;
use super::{Session, control};
use crate::access::Rights;
use crate::bind::{self, BindContext, BoundStatement};
use crate::catalog::{self, CatalogSnapshot};
use crate::files::FileLooks;
use crate::func::FuncContext;
use crate::pg_catalog::Facts;

/// What a statement is bound with.
pub(crate) struct Binding {
    pub catalog: Arc<CatalogSnapshot>,
    pub facts: Arc<Facts>,
    pub func: FuncContext,
    pub files: Arc<FileLooks>,
}

impl Binding {
    pub fn context<'a>(&self, parameter_types: &'a [Option<SqlType>]) -> BindContext<'a> {
        BindContext {
            catalog: Arc::clone(&self.catalog),
            search_path: self.facts.search_path.clone(),
            denied: self.facts.denied.clone(),
            func: self.func.clone(),
            files: Arc::clone(&self.files),
            parameter_types,
        }
    }
}

impl Session {
    /// The catalog this session sees now: the committed one, or with its own changes over it.
    pub(crate) fn catalog(&mut self) -> Result<Arc<CatalogSnapshot>> {
        let found = self.newest_catalog()?;
        self.refresh_roles(&found);
        self.hide_schemas(&found);
        Ok(self.shown_along_path(found))
    }

    /// The definitions with the names of types as the session's search path has them.
    fn shown_along_path(&mut self, catalog: Arc<CatalogSnapshot>) -> Arc<CatalogSnapshot> {
        if catalog.types.is_empty() {
            return catalog;
        }
        let path = self.search_path();
        if let Some((of, along, shown)) = &self.shown_catalog
            && Arc::ptr_eq(of, &catalog)
            && *along == path
        {
            return Arc::clone(shown);
        }
        let shown = catalog.shown_along(&path).map_or_else(|| Arc::clone(&catalog), Arc::new);
        self.shown_catalog = Some((catalog, path, Arc::clone(&shown)));
        shown
    }

    fn newest_catalog(&mut self) -> Result<Arc<CatalogSnapshot>> {
        let (database, branch) = (self.database.id, self.branch);
        let committed = self.engine.catalog(database, branch)?;
        let State::Open(transaction) = &mut self.state else { return Ok(committed) };
        let (Some(changed), Some(id)) = (transaction.catalog_changed, transaction.id) else { return Ok(committed) };
        if let Some((version, command, overlay)) = &transaction.overlay
            && (*version, *command) == (committed.version, changed)
        {
            return Ok(Arc::clone(overlay));
        }
        let context = ReadContext {
            txn: Some(id),
            command: transaction.command,
            snapshot: self.engine.shard.snapshot(branch),
            isolation: IsolationLevel::ReadCommitted,
        };
        let overlay = Arc::new(catalog::load(&*self.engine.shard, &context, database, Some(&committed))?);
        transaction.overlay = Some((committed.version, changed, Arc::clone(&overlay)));
        Ok(overlay)
    }

    /// Everything binding needs, as of now.
    pub(crate) fn binding(&mut self) -> Result<Binding> {
        let catalog = self.catalog()?;
        let text = self.text_context();
        let facts = Arc::new_cyclic(|me| Facts {
            me: me.clone(),
            text,
            sequences: Arc::clone(&self.sequences),
            engine: Arc::clone(&self.engine),
            search_path: self.search_path(),
            denied: Rights::of(&catalog, self.user.oid).denied_schemas(),
            session_user: Arc::clone(&self.session_user),
            login_user: Arc::clone(&self.login_user),
            catalog: Arc::clone(&catalog),
            user: Arc::clone(&self.user),
            database: Arc::clone(&self.database),
            settings: self.settings.clone(),
            pid: self.pid,
            peer: self.peer,
            changes: Arc::clone(&self.changes),
            locks: Arc::clone(&self.locks),
            cursors: Arc::clone(&self.cursor_list),
            listening: Arc::clone(&self.ears.channels),
            said: Arc::clone(&self.ears.said),
            named: Arc::clone(&self.named),
            personal: AtomicBool::new(false),
        });
        let read_only = self.state.open().is_some_and(|transaction| transaction.read_only);
        self.sequences.use_catalog(&catalog, self.user.oid, read_only);
        let func = facts.func_context();
        Ok(Binding { catalog, facts, func, files: Arc::clone(&self.files) })
    }

    pub(crate) async fn prepare_parsed(
        &mut self,
        parsed: Option<Arc<Parsed>>,
        text: Arc<str>,
        nth: usize,
        declared: Vec<Option<SqlType>>,
    ) -> Result<PreparedStatement> {
        let Some(parsed) = parsed else { return Ok(PreparedStatement::empty(text)) };
        if matches!(self.state, State::Failed(_)) && !parsed.ends_transaction() {
            return Err(control::failed_transaction());
        }
        let mut prepared = PreparedStatement {
            parsed: Some(Arc::clone(&parsed)),
            text,
            nth,
            declared,
            parameters: Vec::new(),
            columns: None,
            plan: Mutex::new(None),
            entry: Mutex::new(None),
        };
        if parsed.is_planned() {
            let plan = self.bound_when_still(&prepared).await?;
            prepared.parameters = plan.bound.parameters.clone();
            prepared.columns = plan.columns.clone();
        } else {
            let (parameters, columns) = loop {
                match self.describe_utility(&prepared) {
                    Ok(described) => break described,
                    Err(error) => {
                        let running = self.start_cancellable();
                        Box::pin(self.look_for(error, &running)).await?;
                    }
                }
            };
            self.files.clear();
            prepared.parameters = parameters;
            prepared.columns = columns.map(Arc::from);
        }
        Ok(prepared)
    }

    /// The statement's plan for the catalog and settings of now.
    pub(crate) fn bound(&mut self, prepared: &PreparedStatement) -> Result<Arc<CachedPlan>> {
        let catalog = self.catalog()?;
        let settings_version = self.settings.version;
        if let Some(cached) = &*prepared.plan.lock()
            && (cached.generation, cached.settings_version) == (catalog.generation, settings_version)
        {
            let read_only = self.state.open().is_some_and(|transaction| transaction.read_only);
            self.sequences.use_catalog(&catalog, self.user.oid, read_only);
            return Ok(Arc::clone(cached));
        }
        let Some(Parsed::Ast(statement)) = prepared.parsed.as_deref() else {
            return Err(Error::internal("a statement without a plan"));
        };
        let declared = if prepared.parameters.is_empty() {
            prepared.declared.clone()
        } else {
            // The client already encodes parameters as these.
            prepared.parameters.iter().cloned().map(Some).collect()
        };
        let began = self.engine.options.clock.monotonic();
        let (bound, personal) = self.bind(statement, &prepared.text, &declared)?;
        if let Some(columns) = &prepared.columns {
            same_result(columns, bound.columns.as_deref().unwrap_or(&[]))?;
        }
        let cached = Arc::new(CachedPlan::new(&catalog, self.database.id, settings_version, bound, personal));
        *prepared.plan.lock() = Some(Arc::clone(&cached));
        if let Some(entry) = self.entry_of(prepared) {
            entry.planned(self.engine.options.clock.monotonic().saturating_sub(began));
        }
        Ok(cached)
    }

    /// A plan, and whether it has something of this session in it.
    pub(crate) fn bind(
        &mut self,
        statement: &ast::Statement,
        text: &str,
        declared: &[Option<SqlType>],
    ) -> Result<(BoundStatement, bool)> {
        let binding = self.binding()?;
        let bound = bind::bind_statement(statement, text, &binding.context(declared))?;
        Ok((bound, binding.facts.are_personal()))
    }

    /// One text column, as SHOW and EXPLAIN give.
    pub(crate) fn text_column(name: &str) -> ResultColumn {
        ResultColumn { name: name.to_owned(), sql_type: SqlType::Text, table_oid: Oid(0), attribute: 0 }
    }

    /// Ends a command of the transaction: the next one sees what it wrote.
    pub(crate) fn next_command(&mut self) {
        if let Some(transaction) = self.state.open_mut() {
            transaction.command = CommandId(transaction.command.0 + 1);
        }
    }
}

pub(super) fn same_result(before: &[ResultColumn], now: &[ResultColumn]) -> Result<()> {
    let same = before.len() == now.len()
        && before.iter().zip(now).all(|(before, now)| before.name == now.name && before.sql_type == now.sql_type);
    if same {
        return Ok(());
    }
    Err(Error::invalid(SqlState::FEATURE_NOT_SUPPORTED, OTHER_RESULT))
}

const OTHER_RESULT: &str = "cached plan must not change result type";

pub(super) fn is_other_result(error: &Error) -> bool {
    error.state() == SqlState::FEATURE_NOT_SUPPORTED && error.message() == OTHER_RESULT
}
