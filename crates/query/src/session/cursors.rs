//! Cursors by SQL: DECLARE, FETCH, MOVE, CLOSE.
//!
//! A cursor's query runs as far as it has been fetched. Rows that went by are kept, so that it can go back: all of them for
//! SCROLL and WITH HOLD, up to a limit beyond which they fail with 53200; otherwise as many as fit a small window, and going
//! back further is refused as PostgreSQL refuses it for a query it cannot run backwards. A commit runs held cursors to
//! their end; everything else ends with its transaction, or with the savepoint it was declared after.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow_array::{RecordBatch, UInt32Array};
use arrow_select::take::take_record_batch;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use heliosdb_contracts::{Execution, ResultColumn, RowsTag};
use heliosdb_types::{CommandId, Datum, Error, Result, SqlState, SqlType};
use parking_lot::Mutex;

use super::own_syntax::{DeclareCursor, Direction};
use super::statement::{Parsed, PreparedStatement};
use super::{Running, Session};
use crate::bind::BoundStatement;
use crate::exec::{CancelFlag, from_arrow};

/// Rows kept for going back where nobody asked for it.
const WINDOW_BYTES: usize = 8 << 20;
/// Rows kept by SCROLL and WITH HOLD.
const KEPT_BYTES_MAX: usize = 256 << 20;
/// Cursors a session may have open.
const CURSORS_MAX: usize = 10_000;

/// A cursor as `pg_cursors` shows it.
#[derive(Clone, Debug)]
pub(crate) struct CursorInfo {
    pub statement: Arc<str>,
    pub hold: bool,
    pub scroll: bool,
    pub created_micros: i64,
}

/// What is shown of a session's cursors.
pub(crate) type CursorList = Arc<Mutex<BTreeMap<String, CursorInfo>>>;

pub(crate) struct Cursor {
    columns: Arc<[ResultColumn]>,
    /// `None`: run to its end.
    rows: Option<BoxStream<'static, Result<RecordBatch>>>,
    kept: VecDeque<RecordBatch>,
    kept_bytes: usize,
    /// Rows that are kept no more, and rows up to the end of what is kept.
    forgotten: i64,
    known: i64,
    /// 0: before the first row; `known` + 1: after the last.
    position: i64,
    scroll: Option<bool>,
    hold: bool,
    /// The command that declared it; `None` once its transaction has committed.
    command: Option<CommandId>,
    flag: CancelFlag,
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
        self.cursors.get(name).map(|cursor| cursor.columns.to_vec())
    }

    pub(super) async fn declare_cursor(
        &mut self,
        declare: &DeclareCursor,
        outer: &PreparedStatement,
        parameters: Vec<Datum>,
    ) -> Result<()> {
        let DeclareCursor { name, scroll, hold, query: _ } = declare;
        if !hold {
            self.require_block("DECLARE CURSOR")?;
        }
        if self.cursors.contains_key(name) {
            return Err(Error::invalid(SqlState::DUPLICATE_CURSOR, format!("cursor \"{name}\" already exists")));
        }
        if self.cursors.len() >= CURSORS_MAX {
            return Err(Error::unavailable(SqlState::CONFIGURATION_LIMIT_EXCEEDED, "too many open cursors"));
        }
        let inner = Session::cursor_query(declare, outer);
        let running = self.start_cancellable();
        let command = self.open_transaction()?.command;
        let (bound, scope) = self.bound_and_scoped(&inner, &running).await?;
        check_locking(&bound, *scroll == Some(true), *hold)?;
        if bound.targets().next().is_some() {
            let message = "DECLARE CURSOR must not contain data-modifying statements in WITH";
            return Err(Error::invalid(SqlState::FEATURE_NOT_SUPPORTED, message));
        }
        self.next_command();
        let rows = self.engine.executor.run(&bound.plan, parameters, &bound.parameters, scope);
        let cursor = Cursor {
            columns: bound.columns.as_deref().unwrap_or(&[]).into(),
            rows: Some(rows),
            kept: VecDeque::new(),
            kept_bytes: 0,
            forgotten: 0,
            known: 0,
            position: 0,
            scroll: *scroll,
            hold: *hold,
            command: Some(command),
            flag: running.flag.clone(),
        };
        let info = CursorInfo {
            statement: Arc::clone(&outer.text),
            hold: *hold,
            scroll: *scroll != Some(false),
            created_micros: self.now_micros(),
        };
        self.cursor_list.lock().insert(name.clone(), info);
        self.cursors.insert(name.clone(), cursor);
        Ok(())
    }

    pub(super) async fn fetch(&mut self, name: &str, direction: Direction, moves: bool) -> Result<Execution> {
        self.open_transaction()?;
        let Some(mut cursor) = self.cursors.remove(name) else { return Err(unknown(name)) };
        // The query listens to the flag it was started with.
        let running = self.cancellable_by(cursor.flag.clone());
        let fetched = cursor.fetch(direction).await;
        drop(running);
        let columns = Arc::clone(&cursor.columns);
        // A cursor whose query has failed is of no more use; its transaction has failed with it.
        if fetched.is_ok() {
            self.cursors.insert(name.to_owned(), cursor);
        } else {
            self.cursor_list.lock().remove(name);
        }
        let batches = fetched?;
        if moves {
            let passed: usize = batches.iter().map(RecordBatch::num_rows).sum();
            return Ok(Execution::Done(format!("MOVE {passed}")));
        }
        let rows = stream::iter(batches.into_iter().map(Ok)).boxed();
        Ok(Execution::Rows { columns, rows, tag: RowsTag::Counted("FETCH") })
    }

    /// A running statement that is stopped by an existing flag.
    fn cancellable_by(&self, flag: CancelFlag) -> Running {
        self.cancel.run(&flag);
        self.locks.statement(self.lock_wait(), flag.clone());
        let timer = self.settings.timeout("statement_timeout").map(|timeout| self.start_timer(timeout, flag.clone()));
        Running { flag, timer, slot: Arc::clone(&self.cancel) }
    }

    pub(super) fn close_cursor(&mut self, name: Option<&str>) -> Result<()> {
        match name {
            None => self.close_cursors(|_| true),
            Some(name) => {
                self.cursors.remove(name).ok_or_else(|| unknown(name))?;
                self.cursor_list.lock().remove(name);
            }
        }
        Ok(())
    }

    fn close_cursors(&mut self, which: impl Fn(&Cursor) -> bool) {
        let mut list = self.cursor_list.lock();
        self.cursors.retain(|name, cursor| {
            let closes = which(cursor);
            if closes {
                list.remove(name);
            }
            !closes
        });
    }

    /// Before a commit: held cursors run to their end.
    pub(super) async fn hold_cursors(&mut self) -> Result<()> {
        let held = |cursor: &Cursor| cursor.hold && cursor.rows.is_some();
        let names: Vec<String> = self.cursors.iter().filter(|(_, c)| held(c)).map(|(name, _)| name.clone()).collect();
        for name in names {
            let Some(mut cursor) = self.cursors.remove(&name) else { continue };
            let running = self.cancellable_by(cursor.flag.clone());
            let ended = cursor.know(i64::MAX).await;
            drop(running);
            self.cursors.insert(name, cursor);
            ended?;
        }
        Ok(())
    }

    /// The transaction has committed: what is not held ends.
    pub(super) fn cursors_after_commit(&mut self) {
        if self.cursors.is_empty() {
            return;
        }
        self.close_cursors(|cursor| !cursor.hold);
        self.cursors.values_mut().for_each(|cursor| cursor.command = None);
    }

    /// The transaction was rolled back, or part of it, from a command on.
    pub(super) fn cursors_after_rollback(&mut self, from: CommandId) {
        if !self.cursors.is_empty() {
            self.close_cursors(|cursor| cursor.command.is_some_and(|command| command >= from));
        }
    }
}

fn unknown(name: &str) -> Error {
    Error::invalid(SqlState::INVALID_CURSOR_NAME, format!("cursor \"{name}\" does not exist"))
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

impl Cursor {
    /// Reads on until row `to` is known, or the last one.
    async fn know(&mut self, to: i64) -> Result<()> {
        while self.known < to {
            let Some(rows) = &mut self.rows else { return Ok(()) };
            let Some(batch) = rows.next().await else {
                self.rows = None;
                return Ok(());
            };
            let batch = batch?;
            self.known += batch.num_rows() as i64;
            self.kept_bytes += batch.get_array_memory_size();
            self.kept.push_back(batch);
            if self.kept_bytes > KEPT_BYTES_MAX && (self.hold || self.scroll == Some(true)) {
                let error = Error::unavailable(SqlState::OUT_OF_MEMORY, "a cursor's rows do not fit in memory");
                return Err(error.with_hint("Declare it WITHOUT HOLD and with NO SCROLL."));
            }
        }
        Ok(())
    }

    /// Forgets rows before the position that nobody is likely to ask for again.
    fn trim(&mut self) {
        if self.hold || self.scroll == Some(true) {
            return;
        }
        let window = if self.scroll == Some(false) { 0 } else { WINDOW_BYTES };
        while self.kept_bytes > window
            && let Some(first) = self.kept.front()
            && self.forgotten + (first.num_rows() as i64) < self.position
        {
            self.forgotten += first.num_rows() as i64;
            self.kept_bytes -= first.get_array_memory_size();
            self.kept.pop_front();
        }
    }

    async fn fetch(&mut self, direction: Direction) -> Result<Vec<RecordBatch>> {
        let batches = match direction {
            Direction::AllForward => self.forward(i64::MAX).await,
            Direction::AllBackward => self.backward(i64::MAX),
            Direction::Forward(0) => self.one(self.position).await,
            Direction::Forward(count) if count > 0 => self.forward(count).await,
            Direction::Forward(count) => self.backward(count.saturating_neg()),
            Direction::Relative(by) => self.one(self.position.saturating_add(by)).await,
            Direction::Absolute(number) if number >= 0 => self.one(number).await,
            Direction::Absolute(number) => {
                self.know(i64::MAX).await?;
                self.one(self.known.saturating_add(1).saturating_add(number)).await
            }
        };
        self.trim();
        batches
    }

    async fn forward(&mut self, count: i64) -> Result<Vec<RecordBatch>> {
        let wanted = self.position.saturating_add(count);
        let mut batches = Vec::new();
        // Piece by piece, so that what goes by may be forgotten.
        self.know(wanted).await?;
        let last = wanted.min(self.known);
        if last > self.position {
            batches = self.slice(self.position + 1, last)?;
        }
        self.position = if wanted > self.known { self.known + 1 } else { wanted };
        Ok(batches)
    }

    fn backward(&mut self, count: i64) -> Result<Vec<RecordBatch>> {
        self.allow_back()?;
        let wanted = self.position.saturating_sub(count);
        let (first, last) = (wanted.max(1), self.position - 1);
        let mut batches = Vec::new();
        if first <= last {
            for batch in self.slice(first, last)?.into_iter().rev() {
                let reversed: UInt32Array = (0..batch.num_rows() as u32).rev().collect();
                batches.push(take_record_batch(&batch, &reversed).map_err(from_arrow)?);
            }
        }
        self.position = wanted.max(0);
        Ok(batches)
    }

    /// Goes to a row and gives it; beyond either end nothing.
    async fn one(&mut self, number: i64) -> Result<Vec<RecordBatch>> {
        let number = number.max(0);
        self.know(number).await?;
        let number = number.min(self.known + 1);
        if number < self.position {
            self.allow_back()?;
        }
        self.position = number;
        if number == 0 || number > self.known { Ok(Vec::new()) } else { self.slice(number, number) }
    }

    fn allow_back(&self) -> Result<()> {
        if self.scroll == Some(false) {
            return Err(forward_only());
        }
        Ok(())
    }

    /// Rows `first` to `last`, which are known.
    fn slice(&self, first: i64, last: i64) -> Result<Vec<RecordBatch>> {
        if first <= self.forgotten {
            return Err(forward_only());
        }
        let mut batches = Vec::new();
        let mut before = self.forgotten;
        for batch in &self.kept {
            let rows = batch.num_rows() as i64;
            let from = (first - 1 - before).clamp(0, rows);
            let to = (last - before).clamp(0, rows);
            if from < to {
                let (from, to) = (from as usize, to as usize);
                batches.push(batch.slice(from, to - from));
            }
            before += rows;
        }
        Ok(batches)
    }
}

fn forward_only() -> Error {
    Error::invalid(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "cursor can only scan forward")
        .with_hint("Declare it with SCROLL option to enable backward scan.")
}
