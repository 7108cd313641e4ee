//! What may interrupt a connection from outside: the server stopping, the client hanging up.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use heliosdb_contracts::Canceller;
use heliosdb_runtime::Clock;
use tokio::sync::watch;

use super::failure::{Failure, Outcome, shutting_down};
use super::wire::Wire;

/// How far the server's stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Serving,
    /// Idle sessions close, running statements may end.
    Draining,
    /// Running statements are cancelled.
    Terminating,
}

#[derive(Clone)]
pub(crate) struct Alarm {
    phase: watch::Receiver<Phase>,
    clock: Arc<dyn Clock>,
    cancel_grace: Duration,
}

impl Alarm {
    pub(crate) fn new(phase: watch::Receiver<Phase>, clock: Arc<dyn Clock>, cancel_grace: Duration) -> Alarm {
        Alarm { phase, clock, cancel_grace }
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Resolves when the server's stop has come as far as `phase`.
    pub(crate) async fn reached(&mut self, phase: Phase) {
        // An error means that the server itself is gone, which is as far as it gets.
        let _ = self.phase.wait_for(|now| *now >= phase).await;
    }

    /// How far the server's stop has come, as soon as that is further than `phase`.
    pub(crate) async fn further(mut self, phase: Phase) -> Phase {
        self.phase.wait_for(|now| *now > phase).await.map_or(Phase::Terminating, |now| *now)
    }

    /// Runs `work`, unless the client hangs up or the server must stop: then cancels the statement and waits, for a
    /// while, until it has noticed. Work that is ready at once costs nothing extra.
    pub(crate) async fn attend<T>(
        &mut self,
        wire: &mut Wire,
        canceller: &dyn Canceller,
        work: impl Future<Output = T>,
    ) -> Outcome<T> {
        let mut work = pin!(work);
        let failure = tokio::select! {
            biased;
            done = &mut work => return Ok(done),
            () = self.reached(Phase::Terminating) => Failure::Fatal(shutting_down()),
            () = wire.hung_up() => Failure::Gone,
        };
        canceller.cancel();
        tokio::select! {
            _ = work => {}
            () = self.clock.sleep(self.cancel_grace) => tracing::warn!("a cancelled statement did not stop in time"),
        }
        Err(failure)
    }

    /// Writes the replies gathered; gives up when the server must stop.
    pub(crate) async fn flush(&mut self, wire: &mut Wire) -> Outcome<()> {
        tokio::select! {
            biased;
            written = wire.flush() => Ok(written?),
            () = self.reached(Phase::Terminating) => Err(Failure::Gone),
        }
    }
}
