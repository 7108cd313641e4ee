//! The rows of a portal: read from its query as far as they were asked for, and kept for going back.
//!
//! Rows that went by are kept: all of them for SCROLL and WITH HOLD, up to a limit beyond which they fail with 53200;
//! otherwise as many as fit a small window, and going back further is refused as PostgreSQL refuses it for a query it
//! cannot run backwards. With NO SCROLL, as for every portal that Bind makes, none are kept.

use std::collections::VecDeque;

use arrow_array::{RecordBatch, UInt32Array};
use arrow_select::take::take_record_batch;
use futures::StreamExt;
use futures::stream::BoxStream;
use heliosdb_types::{Error, Result, SqlState};

use super::current_of::shown;
use super::own_syntax::Direction;
use crate::exec::from_arrow;

/// Rows kept for going back where nobody asked for it.
const WINDOW_BYTES: usize = 8 << 20;
/// Rows kept by SCROLL and WITH HOLD.
const KEPT_BYTES_MAX: usize = 256 << 20;

pub(super) struct PortalRows {
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
    /// Columns that are given; those after them are the cursor's own.
    visible: usize,
}

impl PortalRows {
    pub fn new(rows: BoxStream<'static, Result<RecordBatch>>, scroll: Option<bool>, hold: bool) -> PortalRows {
        PortalRows {
            rows: Some(rows),
            kept: VecDeque::new(),
            kept_bytes: 0,
            forgotten: 0,
            known: 0,
            position: 0,
            scroll,
            hold,
            visible: usize::MAX,
        }
    }

    pub fn showing(mut self, visible: usize) -> PortalRows {
        self.visible = visible;
        self
    }

    /// The row it stands on, with its hidden columns; `None` before the first and after the last.
    pub fn current(&self) -> Result<Option<RecordBatch>> {
        if self.position == 0 || self.position > self.known {
            return Ok(None);
        }
        Ok(self.whole(self.position, self.position)?.into_iter().next())
    }

    /// Runs the query to its end, keeping its rows.
    pub async fn gather(&mut self) -> Result<()> {
        self.know(i64::MAX).await
    }

    /// Some of the rows that come next, `most` at most; `None` after the last.
    pub async fn next(&mut self, most: u64) -> Result<Option<RecordBatch>> {
        let first = self.position.saturating_add(1);
        self.know(first).await?;
        if first > self.known {
            self.position = self.known + 1;
            return Ok(None);
        }
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let last = self.known.min(self.position.saturating_add(most));
        let batch = self.slice(first, last)?.into_iter().next();
        self.position += batch.as_ref().map_or(0, RecordBatch::num_rows) as i64;
        self.trim();
        Ok(batch)
    }

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

    pub async fn fetch(&mut self, direction: Direction) -> Result<Vec<RecordBatch>> {
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
        self.whole(first, last)?.into_iter().map(|batch| shown(batch, self.visible)).collect()
    }

    fn whole(&self, first: i64, last: i64) -> Result<Vec<RecordBatch>> {
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
