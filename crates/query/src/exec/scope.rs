//! What one statement's execution knows: its shard, what it may see, when it must stop.
//!
//! The scope travels in the session configuration's extensions, so that scans and writes find it and no plan holds it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use datafusion::prelude::SessionConfig;
use heliosdb_contracts::{LockWait, ReadContext, ShardClient};
use heliosdb_types::{Error, Result, SqlState, TextContext};
use tokio::sync::Notify;

use crate::statistics::{Tally, Tier};

/// A request to stop, from any thread. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct CancelFlag(Arc<CancelState>);

#[derive(Debug, Default)]
struct CancelState {
    set: AtomicBool,
    /// The statement ran out of `statement_timeout`, not of its client's patience.
    timed_out: AtomicBool,
    /// The whole session is to end.
    terminated: AtomicBool,
    woken: Notify,
}

impl CancelFlag {
    pub fn cancel(&self) {
        self.0.set.store(true, Ordering::Release);
        self.0.woken.notify_waiters();
    }

    /// Cancels with `statement_timeout`'s message.
    pub fn time_out(&self) {
        self.0.timed_out.store(true, Ordering::Release);
        self.cancel();
    }

    /// Cancels because the session is terminated.
    pub fn terminate(&self) {
        self.0.terminated.store(true, Ordering::Release);
        self.cancel();
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.set.load(Ordering::Acquire)
    }

    /// 57014 if cancelled.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(self.error()) } else { Ok(()) }
    }

    pub fn error(&self) -> Error {
        if self.0.terminated.load(Ordering::Acquire) {
            return crate::session::terminated();
        }
        let timed_out = self.0.timed_out.load(Ordering::Acquire);
        let why = if timed_out { "statement timeout" } else { "user request" };
        Error::cancelled(format!("canceling statement due to {why}"))
    }

    /// Resolves once cancelled.
    pub async fn cancelled(&self) {
        loop {
            let woken = self.0.woken.notified();
            tokio::pin!(woken);
            // Registered before the check, so that a cancel between the two is not missed.
            woken.as_mut().enable();
            if self.is_cancelled() {
                return;
            }
            woken.await;
        }
    }
}

/// One statement's surroundings.
#[derive(Clone)]
pub struct StatementScope {
    pub shard: Arc<dyn ShardClient>,
    /// Snapshot, transaction and command of every read; writes are made by the same command.
    pub read: ReadContext,
    pub lock_wait: LockWait,
    pub cancel: CancelFlag,
    /// Statements about one row may take the short path.
    pub short_path: bool,
    /// Inner joins are made in an order drawn by it, whatever it costs: to measure how good the chosen ones are.
    pub join_order_seed: Option<u64>,
    /// What operators of this statement may hold together; `None`: all there is.
    pub memory_bytes: Option<usize>,
    /// How long to wait for others to end before it computes; `None`: as long as it takes.
    pub admission_timeout: Option<Duration>,
    /// Tables are read in the order of their rows, by one partition: frozen rows by key, then others as they were written.
    pub in_order: bool,
    /// What `now()` says: microseconds since 1970-01-01 UTC.
    pub now_micros: i64,
    /// How values are written into error details.
    pub text: Arc<TextContext>,
    /// What foreign keys leave to the session.
    pub references: Arc<crate::exec::References>,
    /// What the statement's parts share.
    pub parts: Arc<crate::exec::Parts>,
    /// What virtual tables are computed from; `None` where there is no session.
    pub facts: Option<Arc<crate::pg_catalog::Facts>>,
    pub tier: TierMark,
}

/// Where a statement runs and what it reads and writes, for whoever counts it. Cheap to clone; a session has one for all its
/// statements.
#[derive(Clone, Debug, Default)]
pub struct TierMark(Arc<Marked>);

#[derive(Debug, Default)]
struct Marked {
    tier: AtomicU8,
    queued: AtomicBool,
    tally: Tally,
    progress: ScanProgress,
}

/// How far the running statement is with the files it reads.
#[derive(Debug, Default)]
pub(crate) struct ScanProgress {
    bytes: AtomicU64,
    bytes_total: AtomicU64,
    rows: AtomicU64,
}

/// What [`ScanProgress`] says at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progressed {
    pub bytes: u64,
    pub bytes_total: u64,
    pub rows: u64,
}

impl ScanProgress {
    /// Another statement begins.
    pub fn reset(&self) {
        for count in [&self.bytes, &self.bytes_total, &self.rows] {
            count.store(0, Ordering::Relaxed);
        }
    }

    /// So many bytes are going to be read.
    pub fn plan(&self, bytes: u64) {
        self.bytes_total.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn read(&self, bytes: u64, rows: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }

    pub fn get(&self) -> Progressed {
        let [bytes, bytes_total, rows] =
            [&self.bytes, &self.bytes_total, &self.rows].map(|count| count.load(Ordering::Relaxed));
        Progressed { bytes: bytes.min(bytes_total), bytes_total, rows }
    }
}

impl TierMark {
    pub(crate) fn set(&self, tier: Tier) {
        self.0.tier.store(tier as u8, Ordering::Relaxed);
    }

    pub(crate) fn progress(&self) -> &ScanProgress {
        &self.0.progress
    }

    /// Shows the statement as one that waits to compute, until what is returned is dropped.
    pub(crate) fn queued(&self) -> Queued {
        self.0.queued.store(true, Ordering::Relaxed);
        Queued(self.clone())
    }

    pub(crate) fn is_queued(&self) -> bool {
        self.0.queued.load(Ordering::Relaxed)
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.0.tally
    }

    pub(crate) fn get(&self) -> Tier {
        match self.0.tier.load(Ordering::Relaxed) {
            tier if tier == Tier::Direct as u8 => Tier::Direct,
            tier if tier == Tier::Analytical as u8 => Tier::Analytical,
            _ => Tier::Utility,
        }
    }
}

/// A statement that waits to compute.
pub(crate) struct Queued(TierMark);

impl Drop for Queued {
    fn drop(&mut self) {
        self.0.0.queued.store(false, Ordering::Relaxed);
    }
}

impl StatementScope {
    /// The scope a session configuration carries.
    pub(crate) fn of(config: &SessionConfig) -> Result<Arc<StatementScope>> {
        config.get_extension::<StatementScope>().ok_or_else(|| Error::internal("a plan runs outside of a statement"))
    }

    /// The transaction writes belong to.
    pub(crate) fn writer(&self) -> Result<heliosdb_types::TxnId> {
        let txn = self.read.txn;
        txn.ok_or_else(|| {
            Error::invalid(SqlState::READ_ONLY_SQL_TRANSACTION, "cannot write in a read-only transaction")
        })
    }
}

impl fmt::Debug for StatementScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatementScope").field("read", &self.read).field("now_micros", &self.now_micros).finish()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_cancel_wakes_waiters_and_stays_set() {
        let flag = CancelFlag::default();
        assert!(flag.check().is_ok());
        let waiting = flag.clone();
        let mut waiter = Box::pin(async move { waiting.cancelled().await });
        assert!((&mut waiter).now_or_never().is_none());
        flag.cancel();
        assert!((&mut waiter).now_or_never().is_some());
        assert_eq!(flag.check().unwrap_err().state(), SqlState::QUERY_CANCELED);
        assert!(flag.cancelled().now_or_never().is_some(), "later waiters do not wait");
    }
}
