//! Stopping a statement, or a session, from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use heliosdb_contracts::{Canceller, TransactionStatus};
use heliosdb_types::{Error, SqlState};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Session;
use crate::exec::CancelFlag;

/// What is running now and how to stop it.
#[derive(Default)]
pub(crate) struct CancelSlot {
    running: Mutex<Option<CancelFlag>>,
    terminated: AtomicBool,
    woken: Notify,
}

impl CancelSlot {
    /// A statement begins. In a session that is being terminated it does not get far.
    pub fn run(&self, flag: &CancelFlag) {
        *self.running.lock() = Some(flag.clone());
        if self.terminated.load(Ordering::Acquire) {
            flag.terminate();
        }
    }

    pub fn ended(&self) {
        *self.running.lock() = None;
    }

    /// Ends the session: its statement now, its connection next.
    pub fn terminate(&self) {
        self.terminated.store(true, Ordering::Release);
        if let Some(flag) = &*self.running.lock() {
            flag.terminate();
        }
        self.woken.notify_waiters();
    }

    async fn terminated(&self) {
        loop {
            let woken = self.woken.notified();
            tokio::pin!(woken);
            woken.as_mut().enable();
            if self.terminated.load(Ordering::Acquire) {
                return;
            }
            woken.await;
        }
    }
}

impl Canceller for CancelSlot {
    fn cancel(&self) {
        if let Some(flag) = &*self.running.lock() {
            flag.cancel();
        }
    }
}

/// What a session that is being terminated says.
pub(crate) fn terminated() -> Error {
    Error::unavailable(SqlState::ADMIN_SHUTDOWN, "terminating connection due to administrator command")
}

impl Session {
    /// Resolves when somebody has terminated the session.
    pub(super) fn when_terminated(&self) -> BoxFuture<'static, Error> {
        let slot = Arc::clone(&self.cancel);
        async move {
            slot.terminated().await;
            terminated()
        }
        .boxed()
    }

    /// For how long the client may say nothing from now on, and what ends the session then.
    pub(super) fn idle_time_left(&self) -> Option<(Duration, Error)> {
        let settings = &self.settings.parsed;
        let (timeout, state, message) = match self.session_status() {
            TransactionStatus::Idle => (
                settings.idle_session_timeout,
                SqlState::IDLE_SESSION_TIMEOUT,
                "terminating connection due to idle-session timeout",
            ),
            TransactionStatus::InTransaction | TransactionStatus::Failed => (
                settings.idle_in_transaction_timeout,
                SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
                "terminating connection due to idle-in-transaction timeout",
            ),
        };
        timeout.map(|timeout| (timeout, Error::unavailable(state, message)))
    }
}
