//! Running statements that have plans.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow_array::RecordBatch;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use heliosdb_contracts::{Execution, IsolationLevel, LockWait, ReadContext, RowsTag, TreeDescriptorRef, TreeLockMode};
use heliosdb_types::{Datum, Error, Oid, Result, SqlState, SqlType, TreeRef, TxnId};

use super::statement::{CachedPlan, PreparedStatement};
use super::transaction::State;
use super::{Running, Session, control};
use crate::access::Rights;
use crate::bind::BoundStatement;
use crate::catalog::{FIRST_USER_OID, Relation, RelationKind};
use crate::ddl::changed_too_often;
use crate::exec::{Parts, StatementScope, counted};
use crate::func;

/// How often a statement is bound again because its table changed under it, before we give up: ten seconds of steps of
/// [`Session::changed`], since on a busy machine whoever changed the table may take long to show it after it let go of its locks.
const REBINDS_MAX: usize = 10_000;

impl Session {
    pub(crate) async fn execute_prepared(
        &mut self,
        prepared: &PreparedStatement,
        parameters: Vec<Datum>,
    ) -> Result<Execution> {
        let Some(parsed) = prepared.parsed.clone() else { return Ok(Execution::Empty) };
        if matches!(self.state, State::Failed(_)) && !parsed.ends_transaction() {
            return Err(control::failed_transaction());
        }
        self.take_changes();
        if !parsed.is_planned() {
            self.statement_text = Arc::clone(&prepared.text);
            let parameters = self.named_objects(prepared, parameters)?;
            // Boxed, as whatever few statements need: what every statement carries along is copied and allocated for each.
            return Box::pin(self.execute_utility(&parsed, prepared, parameters)).await;
        }
        let parameters = self.named_objects(prepared, parameters)?;
        if parameters.len() != prepared.parameters.len() {
            return Err(Error::invalid(
                SqlState::PROTOCOL_VIOLATION,
                format!(
                    "bind message supplies {} parameters, but prepared statement requires {}",
                    parameters.len(),
                    prepared.parameters.len()
                ),
            ));
        }
        let running = self.start_cancellable();
        self.open_transaction()?;
        if self.waits_for_safe_snapshot()? {
            Box::pin(self.await_safe_snapshot(&running)).await?;
        }
        let (plan, scope) = self.bound_and_scoped(prepared, &running).await?;
        self.run_plan(&plan, parameters, scope, running).await
    }

    /// Parameters of `reg*` types that came as names: the objects they name now.
    pub(super) fn named_objects(
        &mut self,
        prepared: &PreparedStatement,
        mut parameters: Vec<Datum>,
    ) -> Result<Vec<Datum>> {
        let mut binding = None;
        for (value, sql_type) in parameters.iter_mut().zip(&prepared.parameters) {
            let (Datum::Text(name), SqlType::Reg(kind)) = (&*value, sql_type) else { continue };
            let binding = match &mut binding {
                Some(binding) => binding,
                none => none.insert(self.binding()?),
            };
            *value = func::reg_from_name(*kind, name, &binding.func)?;
        }
        Ok(parameters)
    }

    /// SERIALIZABLE READ ONLY DEFERRABLE: waits for a snapshot no concurrent writer can make fail.
    pub(crate) async fn await_safe_snapshot(&mut self, running: &Running) -> Result<()> {
        if !self.waits_for_safe_snapshot()? {
            return Ok(());
        }
        let id = self.transaction_id()?;
        let shard = Arc::clone(&self.engine.shard);
        let snapshot = tokio::select! {
            biased;
            () = running.flag.cancelled() => return Err(running.flag.error()),
            snapshot = shard.safe_snapshot(id) => snapshot?,
        };
        self.open_transaction()?.snapshot = Some(snapshot);
        Ok(())
    }

    fn waits_for_safe_snapshot(&mut self) -> Result<bool> {
        let transaction = self.open_transaction()?;
        let waits = transaction.deferrable && transaction.read_only && transaction.snapshot.is_none();
        Ok(waits && transaction.isolation == IsolationLevel::Serializable)
    }

    /// A plan, its locks, and a snapshot the plan's catalog describes: a definition that changed in between means looking
    /// again.
    pub(crate) async fn bound_and_scoped(
        &mut self,
        prepared: &PreparedStatement,
        running: &Running,
    ) -> Result<(Arc<CachedPlan>, Arc<StatementScope>)> {
        for _ in 0..REBINDS_MAX {
            let plan = self.bound_and_locked(prepared, running).await?;
            let scope = self.scope(running, &plan.bound.relations)?;
            if self.catalog()?.generation == plan.generation {
                return Ok((plan, scope));
            }
        }
        Err(Error::retry(SqlState::LOCK_NOT_AVAILABLE, "the catalog changed again and again before the statement ran"))
    }

    /// Binds and takes the locks the plan needs; a table that changed before its lock was granted is bound again.
    pub(crate) async fn bound_and_locked(
        &mut self,
        prepared: &PreparedStatement,
        running: &Running,
    ) -> Result<Arc<CachedPlan>> {
        for _ in 0..REBINDS_MAX {
            let plan = match self.bound(prepared) {
                Ok(plan) => plan,
                Err(error) => {
                    Box::pin(self.look_for(error, running)).await?;
                    continue;
                }
            };
            if !self.lock_reads(&plan, running).await? {
                continue;
            }
            self.check_privileges(&plan.bound)?;
            if let Some(command) = plan.bound.locking_command() {
                self.require_read_write(&command)?;
                if !self.lock_row_locked(&plan.bound, running).await? {
                    continue;
                }
            }
            let unchanged = self.lock_targets(&plan.bound, running).await?;
            if unchanged {
                if plan.bound.reads_files {
                    // The next execution looks at them anew.
                    self.files.clear();
                    *prepared.plan.lock() = None;
                }
                return Ok(plan);
            }
        }
        Err(changed_too_often("the table"))
    }

    /// The statement's plan, once nobody is changing what it reads: what is prepared now must not be outdated when it runs.
    pub(super) async fn bound_when_still(&mut self, prepared: &PreparedStatement) -> Result<Arc<CachedPlan>> {
        for _ in 0..REBINDS_MAX {
            let plan = match self.bound(prepared) {
                Ok(plan) => plan,
                Err(error) => {
                    let running = self.start_cancellable();
                    Box::pin(self.look_for(error, &running)).await?;
                    continue;
                }
            };
            if plan.bound.reads_files {
                self.files.clear();
            }
            if plan.reads.is_empty() {
                return Ok(plan);
            }
            let (before, running) = (self.locks.mark(), self.start_cancellable());
            let still = self.lock_reads(&plan, &running).await;
            if self.state.open().is_none() {
                self.locks.back_to(before);
            }
            if still? {
                return Ok(plan);
            }
        }
        Err(changed_too_often("the table"))
    }

    /// Locks what a plan reads until the transaction ends; false if that took waiting, so that the plan may be outdated.
    pub(crate) async fn lock_reads(&mut self, plan: &CachedPlan, running: &Running) -> Result<bool> {
        let mut waited = false;
        for tree in plan.reads.iter() {
            if !self.locks.reads.try_lock(*tree) {
                waited |= self.lock_read(*tree, self.lock_wait(), running).await?;
            }
        }
        Ok(!waited)
    }

    /// Locks a tree for reading until the transaction ends; whether that took waiting.
    async fn lock_read(&mut self, tree: TreeRef, wait: LockWait, running: &Running) -> Result<bool> {
        let reads = Arc::clone(&self.locks.reads);
        if reads.try_lock(tree) {
            return Ok(false);
        }
        tokio::select! {
            biased;
            () = running.flag.cancelled() => return Err(running.flag.error()),
            locked = reads.lock(tree, wait) => locked?,
        }
        // Whoever changed it has released its locks but may not be visible yet.
        self.engine.shard.settle_all().await?;
        Ok(true)
    }

    /// The locks of the tables a plan writes to, and of those they refer to; false if one is no longer what the plan says.
    pub(crate) async fn lock_targets(&mut self, bound: &BoundStatement, running: &Running) -> Result<bool> {
        let mut unchanged = true;
        for target in bound.targets() {
            self.require_read_write(bound.tag)?;
            let table = self.writable_table(target)?;
            unchanged = unchanged && self.lock_unchanged(&table, TreeLockMode::RowExclusive, running).await?;
            for parent in self.parents_of(&table)? {
                unchanged = unchanged && self.lock_unchanged(&parent, TreeLockMode::RowShare, running).await?;
            }
        }
        Ok(unchanged)
    }

    /// The table locks of FOR UPDATE and its kin; false if a table is no longer what the plan says.
    async fn lock_row_locked(&mut self, bound: &BoundStatement, running: &Running) -> Result<bool> {
        for (oid, _) in &bound.row_locks {
            let relation = self.catalog()?.relations.get(oid).cloned();
            let relation = relation.ok_or_else(|| Error::internal("a locked table is not in the catalog"))?;
            if !self.lock_unchanged(&relation, TreeLockMode::RowShare, running).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn writable_table(&mut self, target: Oid) -> Result<Arc<Relation>> {
        let catalog = self.catalog()?;
        let relation =
            catalog.relations.get(&target).ok_or_else(|| Error::internal("the target is not in the catalog"))?;
        match &relation.kind {
            RelationKind::Table(table) if !table.tree.tree.is_system() => Ok(Arc::clone(relation)),
            RelationKind::Table(_) | RelationKind::Virtual(_) => Err(Error::invalid(
                SqlState::INSUFFICIENT_PRIVILEGE,
                format!("permission denied: \"{}\" is a system catalog", relation.name),
            )),
            RelationKind::View(_) => Err(Error::unsupported(format!("writing to view \"{}\"", relation.name))),
            RelationKind::Sequence(_) => Err(Error::invalid(
                SqlState::WRONG_OBJECT_TYPE,
                format!("cannot change sequence \"{}\"", relation.name),
            )),
        }
    }

    /// Locks a table; false if it is not any more what the catalog said (then the caller looks again).
    pub(crate) async fn lock_unchanged(
        &mut self,
        relation: &Relation,
        mode: TreeLockMode,
        running: &Running,
    ) -> Result<bool> {
        let wait = self.lock_wait();
        self.lock_unchanged_within(relation, mode, wait, running).await
    }

    pub(crate) async fn lock_unchanged_within(
        &mut self,
        relation: &Relation,
        mode: TreeLockMode,
        wait: LockWait,
        running: &Running,
    ) -> Result<bool> {
        let Some(table) = relation.table() else { return self.lock_view(relation, mode, wait, running).await };
        let shard = Arc::clone(&self.engine.shard);
        if mode == TreeLockMode::AccessShare {
            self.open_transaction()?;
            let waited = self.lock_read(table.tree.tree, wait, running).await?;
            let own = self.state.open().and_then(|transaction| transaction.id);
            let newest = shard.descriptor(own, table.tree.tree);
            if newest.is_some_and(|newest| newest.version == table.tree.version) {
                return Ok(!waited);
            }
            return self.changed(running).await;
        }
        let txn = self.lock_tree(table.tree.tree, mode, wait, running).await?;
        let newest = shard.descriptor(Some(txn), table.tree.tree);
        if mode >= TreeLockMode::Share {
            // Writers release their locks a moment before their rows can be seen: whoever takes the table from them is going
            // to read them.
            shard.settle_all().await?;
        }
        if newest.as_ref().is_some_and(|newest: &TreeDescriptorRef| newest.version == table.tree.version) {
            return Ok(true);
        }
        // Whoever changed it has released its locks but may not be visible yet.
        shard.settle(txn).await?;
        self.changed(running).await
    }

    /// The answer of who found something changed, after a moment in which the change may become visible.
    async fn changed(&mut self, running: &Running) -> Result<bool> {
        running.flag.check()?;
        self.engine.options.clock.sleep(std::time::Duration::from_millis(1)).await;
        Ok(false)
    }

    /// Locks a tree for the session's transaction, which it returns; a cancel ends the wait.
    async fn lock_tree(
        &mut self,
        tree: TreeRef,
        mode: TreeLockMode,
        wait: LockWait,
        running: &Running,
    ) -> Result<TxnId> {
        let (txn, shard) = (self.transaction_id()?, Arc::clone(&self.engine.shard));
        tokio::select! {
            biased;
            () = running.flag.cancelled() => Err(running.flag.error()),
            locked = shard.lock_tree(txn, tree, mode, wait) => locked.map(|()| txn),
        }
    }

    /// Locks a view; other relations without rows are not locked. False if it may have changed meanwhile.
    async fn lock_view(
        &mut self,
        relation: &Relation,
        mode: TreeLockMode,
        wait: LockWait,
        running: &Running,
    ) -> Result<bool> {
        let Some(tree) = relation.lock_tree(self.database.id) else { return Ok(true) };
        let before = self.catalog()?.generation;
        if mode == TreeLockMode::AccessShare {
            self.open_transaction()?;
            self.lock_read(tree, wait, running).await?;
        } else {
            self.lock_tree(tree, mode, wait, running).await?;
            self.engine.shard.settle_all().await?;
        }
        if self.catalog()?.generation == before {
            return Ok(true);
        }
        self.changed(running).await
    }

    /// Checks what a plan needs against the catalog of now.
    pub(crate) fn check_privileges(&mut self, bound: &BoundStatement) -> Result<()> {
        if self.user.superuser {
            return Ok(());
        }
        let catalog = self.catalog()?;
        Rights::of(&catalog, self.user.oid).check(&bound.required)
    }

    /// What the next command reads: under READ COMMITTED everything acknowledged by now.
    pub(crate) fn read_context(&mut self) -> Result<ReadContext> {
        let (branch, shard) = (self.branch, Arc::clone(&self.engine.shard));
        if self.open_transaction()?.isolation == IsolationLevel::Serializable {
            // Its reads are watched, so the shard must know it.
            self.transaction_id()?;
        }
        let transaction = self.open_transaction()?;
        transaction.queried = true;
        let snapshot = match (transaction.isolation, &transaction.snapshot) {
            (IsolationLevel::ReadCommitted, _) => shard.snapshot(branch),
            (IsolationLevel::RepeatableRead | IsolationLevel::Serializable, Some(snapshot)) => snapshot.clone(),
            (level, None) => {
                let snapshot = match (level, transaction.id) {
                    (IsolationLevel::Serializable, Some(id)) => shard.begin_serializable(id, transaction.read_only)?,
                    _ => shard.snapshot(branch),
                };
                transaction.snapshot = Some(snapshot.clone());
                snapshot
            }
        };
        Ok(ReadContext {
            txn: transaction.id,
            command: transaction.command,
            snapshot,
            isolation: transaction.isolation,
        })
    }

    /// What a plan over these relations runs in. Only virtual tables (built-in, so with small OIDs) ask for facts.
    pub(crate) fn scope(&mut self, running: &Running, relations: &[Oid]) -> Result<Arc<StatementScope>> {
        let facts = match relations.iter().any(|relation| *relation < FIRST_USER_OID) {
            true => Some(self.binding()?.facts),
            false => None,
        };
        let read = self.read_context()?;
        let modes = self.open_transaction()?.constraint_modes.clone();
        Ok(Arc::new(StatementScope {
            shard: Arc::clone(&self.engine.shard),
            read,
            lock_wait: self.lock_wait(),
            cancel: running.flag.clone(),
            short_path: self.settings.parsed.short_path,
            join_order_seed: self.settings.parsed.join_order_seed,
            memory_bytes: self.settings.parsed.query_memory,
            admission_timeout: self.settings.parsed.admission_timeout,
            in_order: false,
            now_micros: self.open_transaction()?.start_micros,
            text: self.text_context(),
            references: Arc::new(crate::exec::References::with_modes(modes)),
            parts: Arc::default(),
            facts,
            tier: self.tier.clone(),
        }))
    }

    /// A scope that sees everything acknowledged by now, whatever the isolation level: what DDL itself reads.
    pub(crate) fn newest_scope(&mut self, running: &Running) -> Result<Arc<StatementScope>> {
        let mut scope = (*self.scope(running, &[])?).clone();
        scope.read.snapshot = self.engine.shard.snapshot(self.branch);
        Ok(Arc::new(scope))
    }

    /// Runs a plan whose locks are held.
    pub(crate) async fn run_plan(
        &mut self,
        plan: &CachedPlan,
        parameters: Vec<Datum>,
        scope: Arc<StatementScope>,
        running: Running,
    ) -> Result<Execution> {
        self.next_command();
        let engine = Arc::clone(&self.engine);
        let bound = &plan.bound;
        let types = &bound.parameters;
        let scope = with_parts(bound, scope);
        if !bound.parts.is_empty() {
            Box::pin(self.run_parts(bound, &parameters, &scope, false)).await?;
        }
        let again = if bound.parts.is_empty() { Vec::new() } else { parameters.clone() };
        let references = Arc::clone(&scope.references);
        let short = match bound.parts.is_empty() {
            true => engine.executor.run_short(&plan.compiled, &bound.plan, &parameters, types, &scope).await,
            false => Ok(None),
        };
        let short = short.map_err(|error| self.named_schema(error, bound.target))?;
        let Some(columns) = plan.columns.clone() else {
            let written = match short {
                Some(batches) => batches.iter().map(counted).sum(),
                None => Box::pin(engine.executor.run_write(&bound.plan, parameters, types, Arc::clone(&scope))).await,
            };
            let written = written.map_err(|error| self.named_schema(error, bound.target))?;
            if !bound.parts.is_empty() {
                Box::pin(self.run_parts(bound, &again, &scope, true)).await?;
            }
            if !references.is_empty() {
                let settled = Box::pin(self.settle_references(&references)).await;
                settled.map_err(|error| self.named_schema(error, bound.target))?;
            }
            return Ok(Execution::Done(write_tag(bound.tag, written)));
        };
        let short = match short {
            Some(batches) if bound.target.is_none() => {
                self.settle_rows().await?;
                let rows = stream::iter(batches.into_iter().map(Ok)).boxed();
                return Ok(Execution::Rows { columns, rows, tag: RowsTag::Counted(rows_tag(bound.tag)) });
            }
            short => short,
        };
        let rows: BoxStream<'static, Result<RecordBatch>> = if bound.target.is_some() {
            // All writes are done before the first row leaves, whatever the client fetches.
            let batches: Result<Vec<RecordBatch>> = match short {
                Some(batches) => Ok(batches),
                None => engine.executor.run(&bound.plan, parameters, types, Arc::clone(&scope)).try_collect().await,
            };
            let batches = batches.map_err(|error| self.named_schema(error, bound.target))?;
            if !bound.parts.is_empty() {
                Box::pin(self.run_parts(bound, &again, &scope, true)).await?;
            }
            if !references.is_empty() {
                let settled = Box::pin(self.settle_references(&references)).await;
                settled.map_err(|error| self.named_schema(error, bound.target))?;
            }
            self.settle_rows().await?;
            drop(running);
            stream::iter(batches.into_iter().map(Ok)).boxed()
        } else {
            let running = match bound.parts.is_empty() {
                true => running,
                false => {
                    Box::pin(self.settle_references(&references))
                        .await
                        .map_err(|error| self.named_schema(error, None))?;
                    running.again()
                }
            };
            let rows = self.run_rows(plan, parameters, scope).await?;
            CancellableRows { rows, _running: running }.boxed()
        };
        Ok(Execution::Rows { columns, rows, tag: RowsTag::Counted(rows_tag(bound.tag)) })
    }

    /// Runs the data-modifying WITH queries that come before the main part, or those that come after it.
    pub(crate) async fn run_parts(
        &mut self,
        bound: &BoundStatement,
        parameters: &[Datum],
        scope: &Arc<StatementScope>,
        late: bool,
    ) -> Result<()> {
        let engine = Arc::clone(&self.engine);
        for part in bound.parts.iter().filter(|part| part.late == late) {
            let ran = engine.executor.run_part(part, parameters.to_vec(), &bound.parameters, Arc::clone(scope)).await;
            ran.map_err(|error| self.named_schema(error, Some(part.target)))?;
        }
        Ok(())
    }

    /// Constraint errors name the schema of their table, which whoever raised them did not know.
    pub(crate) fn named_schema(&mut self, error: Error, relation: Option<Oid>) -> Error {
        if error.table().is_none() || error.schema().is_some() {
            return error;
        }
        let Ok(catalog) = self.catalog() else { return error };
        let own = relation.and_then(|oid| catalog.relations.get(&oid));
        // The error may be about another table: one that refers to this one.
        let table = own.filter(|own| Some(own.name.as_str()) == error.table());
        let table =
            table.or_else(|| catalog.relations.values().find(|other| Some(other.name.as_str()) == error.table()));
        match table.and_then(|table| catalog.schemas.get(&table.schema)) {
            Some(schema) => error.with_schema(schema.name.clone()),
            None => error,
        }
    }

    /// The rows of a plan that writes nothing, settled before the first of them leaves.
    pub(super) async fn run_rows(
        &mut self,
        plan: &CachedPlan,
        parameters: Vec<Datum>,
        scope: Arc<StatementScope>,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        self.settle_rows().await?;
        let CachedPlan { bound, compiled, .. } = plan;
        Ok(self.engine.executor.run_compiled(compiled, &bound.plan, parameters, &bound.parameters, scope))
    }

    /// Inside a block rows leave before the commit: what the transaction's writes, which they may show, were built on must be
    /// durable first. A count of rows (`UPDATE 1`) does not wait: it tells nothing that survives a crash, for with what it was
    /// built on this transaction would be gone too. So rows that many transactions change are not held through an fsync.
    async fn settle_rows(&mut self) -> Result<()> {
        match self.state.open() {
            Some(transaction) if transaction.explicit => match transaction.id {
                Some(id) => self.engine.shard.settle(id).await,
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

/// The scope the parts of a statement share.
pub(crate) fn with_parts(bound: &BoundStatement, scope: Arc<StatementScope>) -> Arc<StatementScope> {
    match bound.parts.is_empty() {
        true => scope,
        false => Arc::new(StatementScope { parts: Arc::new(Parts::several()), ..(*scope).clone() }),
    }
}

fn write_tag(tag: &str, written: u64) -> String {
    let oid = if tag == "INSERT" { " 0 " } else { " " };
    match written {
        1 => [tag, oid, "1"].concat(),
        more => format!("{tag}{oid}{more}"),
    }
}

fn rows_tag(tag: &str) -> &'static str {
    match tag {
        "INSERT" => "INSERT 0",
        "UPDATE" => "UPDATE",
        "DELETE" => "DELETE",
        _ => "SELECT",
    }
}

/// Rows of a running query; cancellation and the timer live as long as they do.
struct CancellableRows {
    rows: BoxStream<'static, Result<RecordBatch>>,
    _running: Running,
}

impl Stream for CancellableRows {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<RecordBatch>>> {
        self.rows.poll_next_unpin(context)
    }
}
