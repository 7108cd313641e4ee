//! What a connection listens to besides its client, for as long as it lives: the server's stop, and the end of its session.
//!
//! A client is waited for once a statement, so each source is listened to once and not anew for each wait: only one that has
//! something to say is asked again.

use futures::future::{self, BoxFuture};
use futures::stream::{FuturesUnordered, StreamExt};
use heliosdb_types::Error;

use super::alarm::{Alarm, Phase};
use super::failure::shutting_down;

pub(crate) struct Vigil {
    alarm: Alarm,
    /// How far the server's stop has come, as far as was heard.
    phase: Phase,
    sources: FuturesUnordered<BoxFuture<'static, Heard>>,
}

enum Heard {
    Phase(Phase),
    Terminated(Error),
}

impl Vigil {
    /// `terminated` resolves when somebody ends the session.
    pub(crate) fn new(alarm: Alarm, terminated: BoxFuture<'static, Error>) -> Vigil {
        let sources = FuturesUnordered::new();
        sources.push(Box::pin(async { Heard::Terminated(terminated.await) }) as BoxFuture<'static, Heard>);
        let vigil = Vigil { alarm, phase: Phase::Serving, sources };
        vigil.listen_for_phase();
        vigil
    }

    fn listen_for_phase(&self) {
        let further = self.alarm.clone().further(self.phase);
        self.sources.push(Box::pin(async { Heard::Phase(further.await) }));
    }

    /// Resolves, with what the client is to be told, when the connection must end: its session was terminated, or the server's
    /// stop has come as far as `phase`. Nothing is lost when it is dropped before.
    pub(crate) async fn ended(&mut self, phase: Phase) -> Error {
        while self.phase < phase {
            match self.sources.next().await {
                Some(Heard::Terminated(error)) => return error,
                Some(Heard::Phase(now)) => {
                    self.phase = now;
                    if now < Phase::Terminating {
                        self.listen_for_phase();
                    }
                }
                None => future::pending().await,
            }
        }
        shutting_down()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use futures::FutureExt;
    use heliosdb_runtime::RealClock;
    use heliosdb_types::SqlState;
    use tokio::sync::{oneshot, watch};

    use super::*;

    fn vigil() -> (watch::Sender<Phase>, oneshot::Sender<Error>, Vigil) {
        let (stop, phase) = watch::channel(Phase::Serving);
        let (terminate, terminated) = oneshot::channel();
        let alarm = Alarm::new(phase, Arc::new(RealClock::new()), Duration::ZERO);
        let terminated = async { terminated.await.unwrap_or_else(|_| Error::internal("nobody is left")) }.boxed();
        (stop, terminate, Vigil::new(alarm, terminated))
    }

    fn heard(vigil: &mut Vigil, phase: Phase) -> Option<SqlState> {
        vigil.ended(phase).now_or_never().map(|error| error.state())
    }

    #[test]
    fn a_stop_that_is_heard_inside_a_request_counts_after_it() {
        let (stop, _terminate, mut vigil) = vigil();
        assert_eq!(heard(&mut vigil, Phase::Draining), None);
        stop.send(Phase::Draining).unwrap();
        assert_eq!(heard(&mut vigil, Phase::Terminating), None);
        assert_eq!(heard(&mut vigil, Phase::Draining), Some(shutting_down().state()));
        stop.send(Phase::Terminating).unwrap();
        assert_eq!(heard(&mut vigil, Phase::Terminating), Some(shutting_down().state()));
    }

    #[test]
    fn who_speaks_between_two_waits_is_heard_in_the_second() {
        let (_stop, terminate, mut vigil) = vigil();
        assert_eq!(heard(&mut vigil, Phase::Draining), None);
        terminate.send(Error::unavailable(SqlState::ADMIN_SHUTDOWN, "terminated")).unwrap();
        assert_eq!(heard(&mut vigil, Phase::Draining), Some(SqlState::ADMIN_SHUTDOWN));
    }

    #[test]
    fn a_server_that_is_gone_has_stopped() {
        let (stop, _terminate, mut vigil) = vigil();
        drop(stop);
        assert_eq!(heard(&mut vigil, Phase::Terminating), Some(shutting_down().state()));
    }
}
