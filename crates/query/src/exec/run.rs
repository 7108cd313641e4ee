//! Running a bound plan: on the session's own task if it is about one row, else a task on the analytics pool drives it and a
//! bounded channel carries its batches to the session.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use datafusion::error::Result as DfResult;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, Stream, StreamExt};
use heliosdb_contracts::ShardClient;
use heliosdb_runtime::Task;
use heliosdb_types::{Datum, Error, Result, SqlType, TreeRef};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::direct::Direct;
use super::error::from_datafusion;
use super::instantiate::instantiate;
use super::join_order;
use super::kept_plan::{KeptPlan, lasting};
use super::parameters::Turn;
use super::parts::{WritePart, as_given};
use super::scope::StatementScope;
use super::state::Executor;
use crate::statistics::Tier;

/// Batches on their way to the session; a slow client stops the plan here.
const BATCHES_AHEAD: usize = 2;

/// What the driver sends. Its end is explicit, so that a driver that dies is not taken for an empty result.
enum Message {
    Batch(RecordBatch),
    Failed(Error),
    Done,
}

/// What a plan has been compiled to. Sessions share it, and a compiled statement runs once at a time: there are as many as have
/// run at once, which is about as many as there are threads.
#[derive(Default)]
pub struct Compiled {
    #[expect(clippy::vec_box, reason = "each execution takes one out and puts it back")]
    idle: Mutex<Vec<Box<Direct>>>,
    /// Whether it can be compiled at all, once that is known.
    short: OnceLock<bool>,
    /// What the optimiser made of a statement that cannot.
    optimised: Mutex<Option<Arc<KeptPlan>>>,
}

/// So many that do not run are kept.
const IDLE_MAX: usize = 16;

impl Compiled {
    pub(super) fn optimised(&self) -> Option<Arc<KeptPlan>> {
        self.optimised.lock().clone()
    }

    /// `None`: it cannot be compiled without its values.
    fn take(&self, statement: &LogicalPlan, session: &SessionState) -> Option<Taken<'_>> {
        if self.short.get() == Some(&false) {
            return None;
        }
        let idle = self.idle.lock().pop();
        // What cannot be compiled without its values says so when it is compiled with them.
        let direct = idle.or_else(|| Direct::compile(statement, session).ok().flatten().map(Box::new));
        // Whether it can be does not change.
        self.short.get_or_init(|| direct.is_some());
        direct.map(|direct| Taken { direct: Some(direct), home: self })
    }
}

/// A compiled statement, until it goes back.
struct Taken<'a> {
    direct: Option<Box<Direct>>,
    home: &'a Compiled,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut idle = self.home.idle.lock();
        if idle.len() < IDLE_MAX {
            idle.extend(self.direct.take());
        }
    }
}

impl Executor {
    /// Runs a statement about one row to its end, here and now. `None`: it is not one, or its compiled form is in use.
    pub(crate) async fn run_short(
        &self,
        compiled: &Compiled,
        statement: &LogicalPlan,
        parameters: &[Datum],
        types: &[SqlType],
        scope: &Arc<StatementScope>,
    ) -> Result<Option<Vec<RecordBatch>>> {
        let taken = if scope.short_path { compiled.take(statement, &self.template) } else { None };
        let direct = taken.as_ref().and_then(|taken| taken.direct.as_deref());
        let Some(direct) = direct.filter(|direct| direct.suits(&*scope.shard)) else { return Ok(None) };
        let Some(turn) = direct.take_turn(parameters, types, scope)? else { return Ok(None) };
        scope.tier.set(Tier::Direct);
        run_direct(direct, turn, scope).await
    }

    /// Whether a statement can be compiled to run as a short one, and its tables are as small now as it takes.
    pub(crate) fn is_short(&self, compiled: &Compiled, statement: &LogicalPlan, shard: &dyn ShardClient) -> bool {
        let taken = compiled.take(statement, &self.template);
        taken.as_ref().and_then(|taken| taken.direct.as_ref()).is_some_and(|direct| direct.suits(shard))
    }

    /// Starts a statement and gives its batches, whose columns are the plan's by position. Dropping the stream stops the
    /// statement at its next await; a write has finished all of its writes before its first batch comes.
    pub fn run(
        &self,
        statement: &LogicalPlan,
        parameters: Vec<Datum>,
        types: &[SqlType],
        scope: Arc<StatementScope>,
    ) -> BoxStream<'static, Result<RecordBatch>> {
        self.run_compiled(&Arc::default(), statement, parameters, types, scope)
    }

    /// The same of a statement that may come again, which `compiled` is for.
    pub(crate) fn run_compiled(
        &self,
        compiled: &Arc<Compiled>,
        statement: &LogicalPlan,
        parameters: Vec<Datum>,
        types: &[SqlType],
        scope: Arc<StatementScope>,
    ) -> BoxStream<'static, Result<RecordBatch>> {
        let session = self.session(Arc::clone(&scope));
        let kept = compiled.optimised().filter(|kept| kept.fits(&scope));
        let planning = match kept {
            Some(kept) => Ok(Planning { statement: statement.clone(), optimised: Optimised::Before(kept) }),
            None => Planning::anew(compiled, statement, &parameters, types, &scope),
        };
        let planning = match planning {
            Ok(planning) => planning,
            Err(error) => return stream::once(async { Err(error) }).boxed(),
        };
        let direct = if scope.short_path { Direct::compile(&planning.statement, &session) } else { Ok(None) };
        match direct {
            Err(error) => stream::once(async { Err(error) }).boxed(),
            Ok(Some(direct)) => {
                scope.tier.set(Tier::Direct);
                stream::once(run_alone(direct, scope))
                    .flat_map(|batches| match batches {
                        Ok(batches) => stream::iter(batches.into_iter().map(Ok)).boxed(),
                        Err(error) => stream::once(async { Err(error) }).boxed(),
                    })
                    .boxed()
            }
            Ok(None) => {
                scope.tier.set(Tier::Analytical);
                self.run_planned(planning, session, scope)
            }
        }
    }

    /// The full path: optimise, plan, and run on the analytics pool.
    pub(super) fn run_planned(
        &self,
        planning: Planning,
        session: SessionState,
        scope: Arc<StatementScope>,
    ) -> BoxStream<'static, Result<RecordBatch>> {
        let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
        let watched = Arc::clone(&scope);
        let admission = Arc::clone(&self.admission);
        let driver = self.spawner.task(async move {
            let drive = async {
                let plan = planning.plan(&session, &scope).await.map_err(from_datafusion)?;
                let mut seat = admission.seat(&plan, &scope).await?;
                let mut batches = execute_stream(Arc::clone(&plan), session.task_ctx()).map_err(from_datafusion)?;
                while let Some(batch) = batches.next().await {
                    let batch = batch.map_err(from_datafusion)?;
                    if batch.num_rows() == 0 {
                        continue;
                    }
                    match sender.try_send(Message::Batch(batch)) {
                        Ok(()) => {}
                        // Others compute while the client reads.
                        Err(TrySendError::Full(batch)) => {
                            drop(seat);
                            if sender.send(batch).await.is_err() {
                                break;
                            }
                            seat = admission.seat(&plan, &scope).await?;
                        }
                        Err(TrySendError::Closed(_)) => break, // nobody listens any more
                    }
                }
                Ok(())
            };
            let outcome = tokio::select! {
                biased;
                () = scope.cancel.cancelled() => Err(scope.cancel.error()),
                outcome = drive => outcome,
            };
            let last = outcome.map_or_else(Message::Failed, |()| Message::Done);
            // The session may be gone; then nobody needs to know.
            let _ = sender.send(last).await;
        });
        let cancelled = async move {
            watched.cancel.cancelled().await;
            watched.cancel.error()
        };
        Rows { receiver, driver, cancelled: cancelled.boxed(), ended: false }.boxed()
    }

    /// Runs a data-modifying WITH query to its end; its rows wait in the scope for whoever reads them.
    pub async fn run_part(
        &self,
        part: &WritePart,
        parameters: Vec<Datum>,
        types: &[SqlType],
        scope: Arc<StatementScope>,
    ) -> Result<()> {
        let memory = self.memory("With");
        let mut rows = self.run(&part.plan, parameters, types, Arc::clone(&scope));
        let mut given = Vec::new();
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            if let Some(schema) = &part.schema {
                memory.try_grow(batch.get_array_memory_size()).map_err(from_datafusion)?;
                given.push(as_given(&batch, schema)?);
            }
        }
        scope.parts.give(part.number, given, Some(memory));
        Ok(())
    }

    /// Runs a statement that writes without RETURNING: the number of rows written.
    pub async fn run_write(
        &self,
        statement: &LogicalPlan,
        parameters: Vec<Datum>,
        types: &[SqlType],
        scope: Arc<StatementScope>,
    ) -> Result<u64> {
        let mut rows = self.run(statement, parameters, types, scope);
        let mut written = 0;
        while let Some(batch) = rows.next().await {
            written += counted(&batch?)?;
        }
        Ok(written)
    }
}

/// A statement with its values, to be planned.
pub(super) struct Planning {
    statement: LogicalPlan,
    optimised: Optimised,
}

/// Whether the optimiser has seen a statement before.
enum Optimised {
    /// It has nothing to be replaced, and this is what it became.
    Before(Arc<KeptPlan>),
    /// It reads these tables, and what it becomes is for its next execution.
    First(Vec<TreeRef>, Arc<Compiled>),
    EachTime,
}

impl From<LogicalPlan> for Planning {
    fn from(statement: LogicalPlan) -> Planning {
        Planning { statement, optimised: Optimised::EachTime }
    }
}

impl Planning {
    fn anew(
        compiled: &Arc<Compiled>,
        statement: &LogicalPlan,
        parameters: &[Datum],
        types: &[SqlType],
        scope: &StatementScope,
    ) -> Result<Planning> {
        let optimised = match lasting(statement, scope).map_err(from_datafusion)? {
            Some(tables) => Optimised::First(tables, Arc::clone(compiled)),
            None => Optimised::EachTime,
        };
        Ok(Planning { statement: instantiate(statement, parameters, types, scope.now_micros)?, optimised })
    }

    async fn plan(self, session: &SessionState, scope: &StatementScope) -> DfResult<Arc<dyn ExecutionPlan>> {
        let planner = session.query_planner();
        if let Optimised::Before(kept) = self.optimised {
            return planner.create_physical_plan(&kept.plan, session).await;
        }
        let optimised = session.optimize(&join_order::reorder(self.statement, scope)?)?;
        if let Optimised::First(tables, compiled) = self.optimised {
            let kept = KeptPlan::new(optimised.clone(), tables, scope);
            *compiled.optimised.lock() = Some(Arc::new(kept));
        }
        planner.create_physical_plan(&optimised, session).await
    }
}

/// Rows written, as a write without RETURNING reports them.
pub(crate) fn counted(batch: &RecordBatch) -> Result<u64> {
    let counts = batch.columns().first().and_then(|column| column.as_primitive_opt::<Int64Type>());
    let counts = counts.ok_or_else(|| Error::internal("a write returned no count"))?;
    Ok(counts.values().iter().map(|count| count.unsigned_abs()).sum())
}

/// A lock wait is where a short statement may have to be woken from. One that does not wait does not listen either.
async fn run_direct(direct: &Direct, turn: Turn, scope: &Arc<StatementScope>) -> Result<Option<Vec<RecordBatch>>> {
    tokio::select! {
        biased;
        outcome = direct.run(turn, scope) => outcome,
        () = scope.cancel.cancelled() => Err(scope.cancel.error()),
    }
}

/// A statement compiled with its values, for this one execution.
async fn run_alone(direct: Direct, scope: Arc<StatementScope>) -> Result<Vec<RecordBatch>> {
    let turn = direct.take_turn(&[], &[], &scope)?;
    let turn = turn.ok_or_else(|| Error::internal("a statement of one execution runs twice"))?;
    let batches = run_direct(&direct, turn, &scope).await?;
    batches.ok_or_else(|| Error::internal("rows were counted when the statement was compiled"))
}

struct Rows {
    receiver: mpsc::Receiver<Message>,
    driver: Task<()>,
    /// Answers a cancel request even while an operator computes and its task cannot look.
    cancelled: BoxFuture<'static, Error>,
    ended: bool,
}

impl Stream for Rows {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<RecordBatch>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let Poll::Ready(message) = self.receiver.poll_recv(context) else {
            let Poll::Ready(error) = self.cancelled.poll_unpin(context) else { return Poll::Pending };
            self.ended = true;
            return Poll::Ready(Some(Err(error)));
        };
        self.ended = !matches!(message, Some(Message::Batch(_)));
        Poll::Ready(match message {
            Some(Message::Batch(batch)) => Some(Ok(batch)),
            Some(Message::Failed(error)) => Some(Err(error)),
            Some(Message::Done) => None,
            None => Some(Err(Error::internal("the statement's task died"))),
        })
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
