//! Measuring statements: each is counted when it has ended well, and written to the log if that was slow or asked for.
//!
//! Time is what the server spends on a statement, waits for locks and the disk included: from Execute to the last row, without
//! what passes while the client does not ask for the next one.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow_array::RecordBatch;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt};
use heliosdb_contracts::{CopyChunk, CopyFormat, CopyIn, Execution};
use heliosdb_runtime::Clock;
use heliosdb_types::{Datum, Result};
use sqlparser::ast;

use super::Session;
use super::statement::{Parsed, PreparedStatement};
use super::statement_log::Slow;
use crate::statistics::{Entry, Key, Tier, fingerprint, nth_statement};

/// A statement that is running.
pub(super) struct Meter {
    clock: Arc<dyn Clock>,
    /// When the server began to work on it, the last time.
    since: Duration,
    worked: Duration,
    rows: u64,
    tier: Tier,
    entry: Option<Arc<Entry>>,
    slow: Option<Box<Slow>>,
    failed: bool,
}

impl Meter {
    fn pause(&mut self) {
        self.worked += self.clock.monotonic().saturating_sub(self.since);
    }

    fn go_on(&mut self) {
        self.since = self.clock.monotonic();
    }

    /// Counts the statement, once.
    fn ended(&mut self) {
        if self.failed {
            return;
        }
        if let Some(entry) = self.entry.take() {
            entry.executed(self.worked, self.rows, self.tier);
        }
        if let Some(slow) = self.slow.take() {
            slow.ended(self.worked, self.rows, self.tier);
        }
    }
}

impl Session {
    /// Runs a statement and measures it. `said`: what the client wrote, if the parameters are literals of it.
    pub(super) async fn execute_metered(
        &mut self,
        prepared: &PreparedStatement,
        said: Option<&Arc<str>>,
        parameters: Vec<Datum>,
    ) -> Result<Execution> {
        let meter = self.start_meter(prepared, said, &parameters);
        let execution = self.execute_prepared(prepared, parameters).await?;
        Ok(self.metered(meter, execution))
    }

    /// A statement begins: others see it, and its log entries are prepared.
    pub(super) fn start_meter(
        &mut self,
        prepared: &PreparedStatement,
        said: Option<&Arc<str>>,
        parameters: &[Datum],
    ) -> Meter {
        let entry = self.entry_of(prepared);
        let text = said.unwrap_or(&prepared.text);
        (self.log_text, self.log_nth) = (Arc::clone(text), prepared.nth);
        self.log_ended = false;
        self.show_active(text, entry.as_ref().map(|entry| entry.key.query));
        self.log_statement(prepared, text);
        let slow = self.slow_of(prepared, text, if said.is_some() { &[] } else { parameters });
        self.counted = entry.filter(|_| !is_about_others(prepared));
        self.tier.set(Tier::Utility);
        self.tier.progress().reset();
        if self.tier.tally().is_long() {
            self.engine.statistics.usages.take(self.database.id, self.tier.tally());
        }
        let clock = Arc::clone(&self.engine.options.clock);
        let since = clock.monotonic();
        let (worked, tier) = (Duration::ZERO, Tier::Utility);
        Meter { clock, since, worked, rows: 0, tier, entry: None, slow, failed: false }
    }

    /// What a statement gives, measured to its end.
    pub(super) fn metered(&mut self, mut meter: Meter, execution: Execution) -> Execution {
        match execution {
            Execution::Rows { columns, rows, tag } => {
                Execution::Rows { columns, rows: self.metered_rows(meter, rows), tag }
            }
            Execution::Done(tag) => {
                self.has_begun(&mut meter);
                meter.rows = tag.rsplit(' ').next().and_then(|rows| rows.parse().ok()).unwrap_or(0);
                meter.ended();
                Execution::Done(tag)
            }
            Execution::Empty => Execution::Empty,
            Execution::CopyIn(sink) => {
                self.has_begun(&mut meter);
                Execution::CopyIn(Box::new(MeteredCopyIn { sink, meter }))
            }
            Execution::CopyOut { format, chunks } => {
                Execution::CopyOut { format, chunks: self.metered_rows(meter, chunks) }
            }
        }
    }

    pub(super) fn metered_rows<T: Counted + 'static>(
        &mut self,
        mut meter: Meter,
        rows: BoxStream<'static, Result<T>>,
    ) -> BoxStream<'static, Result<T>> {
        self.has_begun(&mut meter);
        MeteredRows { rows, meter, waiting: false }.boxed()
    }

    /// The first part of the work is done; by now it is known where the statement runs.
    fn has_begun(&mut self, meter: &mut Meter) {
        meter.pause();
        (meter.entry, meter.tier) = (self.counted.take(), self.tier.get());
    }

    /// Where the statement is counted: found by its text the first time, then kept with it.
    pub(super) fn entry_of(&self, prepared: &PreparedStatement) -> Option<Arc<Entry>> {
        prepared.parsed.as_ref()?;
        let (user, database) = (self.user.oid, self.database.oid);
        let mut kept = prepared.entry.lock();
        if let Some(entry) = &*kept
            && entry.serves(user, database)
        {
            return Some(Arc::clone(entry));
        }
        let text = nth_statement(&prepared.text, prepared.nth);
        let key = Key { user, database, query: fingerprint(text) };
        let entry = self.engine.statistics.entry(key, text);
        *kept = Some(Arc::clone(&entry));
        Some(entry)
    }
}

/// EXECUTE counts as what it runs; PREPARE and DEALLOCATE do not count, as with PostgreSQL's extension.
fn is_about_others(prepared: &PreparedStatement) -> bool {
    matches!(
        prepared.parsed.as_deref(),
        Some(Parsed::Ast(statement)) if matches!(
            **statement,
            ast::Statement::Execute { .. } | ast::Statement::Prepare { .. } | ast::Statement::Deallocate { .. }
        )
    )
}

/// How many rows a piece of a result has.
pub(super) trait Counted {
    fn rows(&self) -> u64;
}

impl Counted for RecordBatch {
    fn rows(&self) -> u64 {
        self.num_rows() as u64
    }
}

impl Counted for CopyChunk {
    fn rows(&self) -> u64 {
        self.rows
    }
}

/// A result on its way, measured. Dropped before its end it counts as far as it came: a client may want but a few rows.
struct MeteredRows<T> {
    rows: BoxStream<'static, Result<T>>,
    meter: Meter,
    /// A poll is out that has not been answered.
    waiting: bool,
}

impl<T: Counted> Stream for MeteredRows<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        if !self.waiting {
            self.meter.go_on();
            self.waiting = true;
        }
        let Poll::Ready(next) = self.rows.poll_next_unpin(context) else { return Poll::Pending };
        self.waiting = false;
        self.meter.pause();
        match &next {
            Some(Ok(piece)) => self.meter.rows += piece.rows(),
            Some(Err(_)) => self.meter.failed = true,
            None => self.meter.ended(),
        }
        Poll::Ready(next)
    }
}

impl<T> Drop for MeteredRows<T> {
    fn drop(&mut self) {
        // Given up while it worked: cancelled, or the client is gone.
        self.meter.failed |= self.waiting;
        self.meter.ended();
    }
}

/// COPY FROM STDIN, from its start to its last row.
struct MeteredCopyIn {
    sink: Box<dyn CopyIn>,
    meter: Meter,
}

impl CopyIn for MeteredCopyIn {
    fn format(&self) -> CopyFormat {
        self.sink.format()
    }

    fn data<'a>(&'a mut self, chunk: Bytes) -> BoxFuture<'a, Result<()>> {
        self.meter.go_on();
        let MeteredCopyIn { sink, meter } = self;
        async move {
            let outcome = sink.data(chunk).await;
            meter.pause();
            outcome
        }
        .boxed()
    }

    fn done(self: Box<Self>) -> BoxFuture<'static, Result<u64>> {
        let MeteredCopyIn { sink, mut meter } = *self;
        async move {
            meter.go_on();
            let copied = sink.done().await;
            meter.pause();
            match &copied {
                Ok(rows) => meter.rows = *rows,
                Err(_) => meter.failed = true,
            }
            meter.ended();
            copied
        }
        .boxed()
    }

    fn abandon(self: Box<Self>, reason: String) {
        self.sink.abandon(reason);
    }
}
