//! Portals: statements with their parameters that Bind makes, and cursors that DECLARE makes. They share one name space,
//! so that FETCH, MOVE and CLOSE work on what the protocol made, and Describe, Execute and Close on what SQL made.
//!
//! A portal's query runs as far as its rows were asked for. A commit runs held cursors to their end; everything else ends
//! with its transaction, or with the savepoint it was made after. A portal is out of the map while it runs, so that nothing
//! it does can end it under its own feet; whoever runs it puts it back.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use futures::StreamExt;
use futures::stream;
use heliosdb_contracts::{BoundPortal, Execution, PortalRun, PortalShape, Prepared, ResultColumn, RowsTag};
use heliosdb_types::{CommandId, Datum, Error, Result, SqlState, SqlType};
use parking_lot::Mutex;

use super::current_of::CursorRows;
use super::own_syntax::{DeclareCursor, Direction, OwnStatement};
use super::portal_rows::PortalRows;
use super::statement::{Parsed, PreparedStatement};
use super::transaction::State;
use super::{Running, Session, control, prepare};
use crate::bind::BoundStatement;
use crate::exec::CancelFlag;

/// Portals a session may have.
const PORTALS_MAX: usize = 65_536;

/// A portal as `pg_cursors` shows it.
#[derive(Clone, Debug)]
pub(crate) struct CursorInfo {
    pub statement: Arc<str>,
    pub hold: bool,
    pub scroll: bool,
    pub binary: bool,
    pub created_micros: i64,
}

/// What is shown of a session's portals.
pub(crate) type CursorList = Arc<Mutex<BTreeMap<String, CursorInfo>>>;

pub(crate) struct Portal {
    columns: Option<Arc<[ResultColumn]>>,
    binary: Vec<bool>,
    state: PortalState,
    hold: bool,
    /// The command that made it; `None` once its transaction has committed.
    command: Option<CommandId>,
    bytes: usize,
    /// What WHERE CURRENT OF asks of it.
    stands_on: CursorRows,
}

enum PortalState {
    /// Not run yet.
    Bound(Arc<dyn Prepared>, Vec<Datum>),
    Open(OpenPortal),
    /// Ran and gives no rows.
    Finished,
}

struct OpenPortal {
    rows: PortalRows,
    tag: RowsTag,
    /// Stops its query, whichever statement asks for rows.
    flag: CancelFlag,
    /// While Execute asks for rows.
    running: Option<Running>,
}

/// What came of running a bound portal for the first time.
enum Opened {
    Rows(OpenPortal),
    Other(Execution),
}

impl Session {
    /// The statement inside DECLARE, to be bound.
    pub(super) fn cursor_query(declare: &DeclareCursor, outer: &PreparedStatement) -> PreparedStatement {
        let mut inner = PreparedStatement::empty(Arc::clone(&outer.text));
        inner.parsed = Some(Arc::new(Parsed::Ast(declare.query.clone())));
        inner.declared = outer.declared.clone();
        inner.parameters = outer.parameters.clone();
        inner
    }

    /// Types of the parameters in a DECLARE's query.
    pub(super) fn describe_declare(
        &mut self,
        declare: &DeclareCursor,
        outer: &PreparedStatement,
    ) -> Result<Vec<SqlType>> {
        let inner = Session::cursor_query(declare, outer);
        Ok(self.bound(&inner)?.bound.parameters.clone())
    }

    pub(super) fn describe_fetch(&self, name: &str) -> Option<Vec<ResultColumn>> {
        self.portals.get(name)?.columns.as_deref().map(<[ResultColumn]>::to_vec)
    }

    /// Whether one more portal may be made.
    fn portal_room(&self, name: &str, bytes: usize) -> Result<()> {
        if self.cursor_list.lock().contains_key(name) {
            return Err(Error::invalid(SqlState::DUPLICATE_CURSOR, format!("cursor \"{name}\" already exists")));
        }
        let held: usize = self.portals.values().map(|portal| portal.bytes).sum();
        let most = self.engine.options.prepared_bytes_max;
        let (state, message) = if self.portals.len() >= PORTALS_MAX {
            let message = format!("a session may have at most {PORTALS_MAX} portals and cursors");
            (SqlState::CONFIGURATION_LIMIT_EXCEEDED, message)
        } else if !self.portals.is_empty() && held.saturating_add(bytes) > most {
            (SqlState::OUT_OF_MEMORY, format!("the portals of this session need more than {most} bytes"))
        } else {
            return Ok(());
        };
        Err(Error::unavailable(state, message).with_hint("Close those that are no longer needed."))
    }

    fn keep_portal(&mut self, name: &str, portal: Portal, info: CursorInfo) {
        self.cursor_list.lock().insert(name.to_owned(), info);
        self.portals.insert(name.to_owned(), portal);
    }

    /// Bind, of a portal with a name.
    pub(super) fn make_portal(&mut self, name: &str, bound: BoundPortal) -> Result<()> {
        let BoundPortal { statement, parameters, binary, bytes } = bound;
        let prepared = of_ours(&statement)?;
        let command = match &self.state {
            State::Failed(_) if prepared.ends_transaction() => CommandId(0),
            _ => self.open_transaction()?.command,
        };
        self.portal_room(name, bytes)?;
        let info = CursorInfo {
            statement: Arc::clone(&prepared.text),
            hold: false,
            scroll: false,
            binary: false,
            created_micros: self.now_micros(),
        };
        let portal = Portal {
            columns: prepared.columns.clone(),
            binary,
            state: PortalState::Bound(statement, parameters),
            hold: false,
            command: Some(command),
            bytes,
            stands_on: CursorRows::default(),
        };
        self.keep_portal(name, portal, info);
        // A savepoint after it has a later command.
        self.next_command();
        Ok(())
    }

    pub(super) fn portal_shape(&self, name: &str) -> Option<PortalShape> {
        let portal = self.portals.get(name)?;
        Some(PortalShape { columns: portal.columns.clone(), binary: portal.binary.clone() })
    }

    pub(super) fn forget_portal(&mut self, name: &str) -> bool {
        self.cursor_list.lock().remove(name);
        self.portals.remove(name).is_some()
    }

    /// Execute: begins to run, or goes on.
    pub(super) async fn start_portal(&mut self, name: &str) -> Result<PortalRun> {
        if let State::Failed(_) = self.state {
            let ends = match self.portals.get(name).map(|portal| &portal.state) {
                Some(PortalState::Bound(prepared, _)) => of_ours(prepared)?.ends_transaction(),
                _ => false,
            };
            if !ends {
                return Err(control::failed_transaction());
            }
        }
        let Some(mut portal) = self.portals.remove(name) else { return Err(no_portal(name)) };
        let outcome = self.start_taken(name, &mut portal).await;
        // What it did may have ended its transaction, and itself.
        let lives = outcome.is_ok() && (portal.hold || matches!(self.state, State::Open(_)));
        if lives {
            self.portals.insert(name.to_owned(), portal);
        } else {
            self.cursor_list.lock().remove(name);
        }
        outcome
    }

    async fn start_taken(&mut self, name: &str, portal: &mut Portal) -> Result<PortalRun> {
        match std::mem::replace(&mut portal.state, PortalState::Finished) {
            PortalState::Bound(prepared, parameters) => match self.open_portal(&prepared, parameters).await? {
                Opened::Rows(open) => portal.state = PortalState::Open(open),
                Opened::Other(execution) => return Ok(PortalRun::Other(execution)),
            },
            state => portal.state = state,
        }
        let PortalState::Open(open) = &mut portal.state else {
            let wrong = format!("portal \"{name}\" cannot be run");
            return Err(Error::invalid(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, wrong));
        };
        self.open_transaction()?;
        open.running = Some(self.cancellable_by(open.flag.clone()));
        Ok(PortalRun::Rows(open.tag.clone()))
    }

    /// Rows of a portal that Execute has started.
    pub(super) async fn next_portal_rows(&mut self, name: &str, most: u64) -> Result<Option<RecordBatch>> {
        let Some(Portal { state: PortalState::Open(open), .. }) = self.portals.get_mut(name) else {
            return Err(no_portal(name));
        };
        let next = open.rows.next(most).await;
        match &next {
            Ok(Some(batch)) if (batch.num_rows() as u64) < most => {}
            _ => open.running = None,
        }
        next
    }

    /// Runs a bound statement: a query as far as its rows are wanted, anything else at once.
    async fn open_portal(&mut self, statement: &Arc<dyn Prepared>, parameters: Vec<Datum>) -> Result<Opened> {
        let prepared = of_ours(statement)?;
        let meter = self.start_meter(prepared, None, &parameters);
        let planned = prepared.parsed.as_ref().is_some_and(|parsed| parsed.is_planned());
        let execution = if planned {
            let running = self.start_cancellable();
            self.open_transaction()?;
            self.take_changes();
            let parameters = self.named_objects(prepared, parameters)?;
            self.await_safe_snapshot(&running).await?;
            let (plan, scope) = self.bound_and_scoped(prepared, &running).await?;
            let bound = &plan.bound;
            if bound.targets().next().is_none() && bound.columns.is_some() {
                self.next_command();
                let rows = self.run_rows(&plan, parameters, scope).await?;
                let rows = PortalRows::new(self.metered_rows(meter, rows), Some(false), false);
                let (tag, flag) = (RowsTag::Counted("SELECT"), running.flag.clone());
                return Ok(Opened::Rows(OpenPortal { rows, tag, flag, running: None }));
            }
            Box::pin(self.run_plan(&plan, parameters, scope, running)).await?
        } else {
            Box::pin(self.execute_prepared(prepared, parameters)).await?
        };
        let execution = self.metered(meter, execution);
        let Execution::Rows { columns, rows, tag } = execution else { return Ok(Opened::Other(execution)) };
        prepare::same_result(prepared.columns.as_deref().unwrap_or(&[]), &columns)?;
        let rows = PortalRows::new(rows, Some(false), false);
        Ok(Opened::Rows(OpenPortal { rows, tag, flag: CancelFlag::default(), running: None }))
    }

    pub(super) async fn declare_cursor(
        &mut self,
        declare: &DeclareCursor,
        outer: &PreparedStatement,
        parameters: Vec<Datum>,
    ) -> Result<()> {
        let DeclareCursor { name, scroll, hold, binary, query } = declare;
        if !hold {
            self.require_block("DECLARE CURSOR")?;
        }
        let inner = Session::cursor_query(declare, outer);
        self.portal_room(name, outer.text.len() + DECLARED_BYTES)?;
        let running = self.start_cancellable();
        let command = self.open_transaction()?.command;
        let keyed = self.keyed_query(query, &inner)?;
        let (inner, stands_on) = match keyed {
            Some((keyed, rows)) => (keyed, Some(rows)),
            None => (inner, None),
        };
        let (plan, scope) = self.bound_and_scoped(&inner, &running).await?;
        let bound = &plan.bound;
        let columns = bound.columns.as_deref().unwrap_or(&[]);
        let locks = bound.locking_command().is_some();
        let stands_on = stands_on.unwrap_or_else(|| CursorRows::none(columns.len(), locks));
        let columns: Arc<[ResultColumn]> = columns.iter().take(stands_on.visible).cloned().collect();
        check_locking(bound, *scroll == Some(true), *hold)?;
        if bound.targets().next().is_some() {
            let message = "DECLARE CURSOR must not contain data-modifying statements in WITH";
            return Err(Error::invalid(SqlState::FEATURE_NOT_SUPPORTED, message));
        }
        self.next_command();
        let rows = self.run_rows(&plan, parameters, scope).await?;
        let open = OpenPortal {
            rows: PortalRows::new(rows, *scroll, *hold).showing(stands_on.visible),
            tag: RowsTag::Counted("SELECT"),
            flag: running.flag.clone(),
            running: None,
        };
        let portal = Portal {
            binary: if *binary { vec![true; columns.len()] } else { Vec::new() },
            columns: Some(columns),
            state: PortalState::Open(open),
            hold: *hold,
            command: Some(command),
            bytes: outer.text.len() + DECLARED_BYTES,
            stands_on,
        };
        let info = CursorInfo {
            statement: Arc::clone(&outer.text),
            hold: *hold,
            scroll: *scroll != Some(false),
            binary: *binary,
            created_micros: self.now_micros(),
        };
        self.keep_portal(name, portal, info);
        Ok(())
    }

    /// What a cursor knows of its rows, and the one it stands on.
    pub(super) fn cursor_row(&self, name: &str) -> Result<(&CursorRows, Option<RecordBatch>)> {
        let portal = self.portals.get(name).ok_or_else(|| unknown(name))?;
        if portal.command.is_none() {
            let message = format!("cursor \"{name}\" is held from a previous transaction");
            return Err(Error::invalid(SqlState::INVALID_CURSOR_STATE, message));
        }
        let current = match &portal.state {
            PortalState::Open(open) => open.rows.current()?,
            PortalState::Bound(..) | PortalState::Finished => None,
        };
        Ok((&portal.stands_on, current))
    }

    /// FETCH from a cursor that was declared BINARY.
    pub(super) fn fetches_binary(&self, statement: &Arc<dyn Prepared>) -> bool {
        let Ok(prepared) = of_ours(statement) else { return false };
        let Some(Parsed::Own(OwnStatement::Fetch { name, moves: false, .. })) = prepared.parsed.as_deref() else {
            return false;
        };
        self.portals.get(name).is_some_and(|portal| portal.binary.first() == Some(&true))
    }

    pub(super) async fn fetch(&mut self, name: &str, direction: Direction, moves: bool) -> Result<Execution> {
        self.open_transaction()?;
        let Some(mut portal) = self.portals.remove(name) else { return Err(unknown(name)) };
        let fetched = self.fetch_from(&mut portal, direction).await;
        // One whose query has failed is of no more use; its transaction has failed with it.
        let batches = match fetched {
            Ok(batches) => batches,
            Err(error) => {
                self.cursor_list.lock().remove(name);
                return Err(error);
            }
        };
        let columns = portal.columns.clone().unwrap_or_default();
        self.portals.insert(name.to_owned(), portal);
        if moves {
            let passed: usize = batches.iter().map(RecordBatch::num_rows).sum();
            return Ok(Execution::Done(format!("MOVE {passed}")));
        }
        let rows = stream::iter(batches.into_iter().map(Ok)).boxed();
        Ok(Execution::Rows { columns, rows, tag: RowsTag::Counted("FETCH") })
    }

    async fn fetch_from(&mut self, portal: &mut Portal, direction: Direction) -> Result<Vec<RecordBatch>> {
        match std::mem::replace(&mut portal.state, PortalState::Finished) {
            PortalState::Bound(prepared, _) if of_ours(&prepared)?.columns.is_none() => {
                return Err(Error::unsupported("FETCH from a portal whose statement returns no rows"));
            }
            PortalState::Bound(prepared, parameters) => {
                if let Opened::Rows(open) = Box::pin(self.open_portal(&prepared, parameters)).await? {
                    portal.state = PortalState::Open(open);
                }
            }
            state => portal.state = state,
        }
        let PortalState::Open(open) = &mut portal.state else {
            return Err(Error::unsupported("FETCH from a portal whose statement returns no rows"));
        };
        // The query listens to the flag it was started with.
        let _running = self.cancellable_by(open.flag.clone());
        open.rows.fetch(direction).await
    }

    /// A running statement that is stopped by an existing flag.
    fn cancellable_by(&self, flag: CancelFlag) -> Running {
        self.cancel.run(&flag);
        self.locks.statement(self.lock_wait(), flag.clone());
        let timer = self.settings.parsed.statement_timeout.map(|timeout| self.start_timer(timeout, flag.clone()));
        Running { flag, timer, slot: Arc::clone(&self.cancel) }
    }

    pub(super) fn close_cursor(&mut self, name: Option<&str>) -> Result<()> {
        match name {
            None => self.close_portals(|_| true),
            Some(name) if self.forget_portal(name) => {}
            Some(name) => return Err(unknown(name)),
        }
        Ok(())
    }

    fn close_portals(&mut self, which: impl Fn(&Portal) -> bool) {
        let mut list = self.cursor_list.lock();
        self.portals.retain(|name, portal| {
            let closes = which(portal);
            if closes {
                list.remove(name);
            }
            !closes
        });
    }

    /// Before a commit: held cursors run to their end.
    pub(super) async fn hold_portals(&mut self) -> Result<()> {
        let held = |portal: &Portal| portal.hold && portal.command.is_some();
        let names: Vec<String> = self.portals.iter().filter(|(_, p)| held(p)).map(|(name, _)| name.clone()).collect();
        for name in names {
            let Some(mut portal) = self.portals.remove(&name) else { continue };
            let ended = match &mut portal.state {
                PortalState::Open(open) => {
                    let _running = self.cancellable_by(open.flag.clone());
                    open.rows.gather().await
                }
                PortalState::Bound(..) | PortalState::Finished => Ok(()),
            };
            self.portals.insert(name, portal);
            ended?;
        }
        Ok(())
    }

    /// The transaction has committed: what is not held ends.
    pub(super) fn portals_after_commit(&mut self) {
        if self.portals.is_empty() {
            return;
        }
        self.close_portals(|portal| !portal.hold);
        self.portals.values_mut().for_each(|portal| portal.command = None);
    }

    /// The transaction was rolled back, or part of it, from a command on.
    pub(super) fn portals_after_rollback(&mut self, from: CommandId) {
        if !self.portals.is_empty() {
            self.close_portals(|portal| portal.command.is_some_and(|command| command >= from));
        }
    }
}

/// What a cursor of DECLARE takes beside its text, its rows not counted.
const DECLARED_BYTES: usize = 512;

fn of_ours(statement: &Arc<dyn Prepared>) -> Result<&PreparedStatement> {
    let prepared = statement.as_any().downcast_ref::<PreparedStatement>();
    prepared.ok_or_else(|| Error::internal("a statement of another session"))
}

fn unknown(name: &str) -> Error {
    Error::invalid(SqlState::INVALID_CURSOR_NAME, format!("cursor \"{name}\" does not exist"))
}

fn no_portal(name: &str) -> Error {
    Error::invalid(SqlState::INVALID_CURSOR_NAME, format!("portal \"{name}\" does not exist"))
}

fn check_locking(bound: &BoundStatement, scroll: bool, hold: bool) -> Result<()> {
    let Some(command) = bound.locking_command() else { return Ok(()) };
    let what = command.strip_prefix("SELECT ").unwrap_or(&command);
    let (message, detail) = match (hold, scroll) {
        (true, _) => {
            (format!("DECLARE CURSOR WITH HOLD ... {what} is not supported"), "Holdable cursors must be READ ONLY.")
        }
        (_, true) => {
            (format!("DECLARE SCROLL CURSOR ... {what} is not supported"), "Scrollable cursors must be READ ONLY.")
        }
        _ => return Ok(()),
    };
    Err(Error::invalid(SqlState::FEATURE_NOT_SUPPORTED, message).with_detail(detail))
}
