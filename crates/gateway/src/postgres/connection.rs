//! One connection: from its first packet to its last, message by message.
//!
//! Errors: anything wrong with a statement is reported and the session goes on; in the extended protocol everything up to
//! the next Sync is skipped. Transactions: `finish` at Sync or before the last CommandComplete of a Query, `fail` on any
//! error; portals live no longer than their transaction.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::{self, BoxFuture};
use heliosdb_contracts::{Canceller, ConnectRequest, Notification, Prepared, SqlSession, TransactionStatus};
use heliosdb_types::{Error, ErrorKind, SqlState};
use pgwire::messages::response::NotificationResponse;
use pgwire::messages::startup::{Authentication, BackendKeyData, ParameterStatus, SecretKey};

use super::alarm::{Alarm, Phase};
use super::auth::authenticate;
use super::counters::add;
use super::extended::Portal;
use super::failure::{Failure, Outcome, shutting_down, violation};
use super::frontend as message;
use super::registry::Seat;
use super::reply::{error_response, notice_response, ready_for_query};
use super::server::Shared;
use super::startup::{Opening, open};
use super::vigil::Vigil;
use super::wire::Wire;

pub(crate) struct Connection<'a> {
    pub(crate) wire: &'a mut Wire,
    pub(crate) alarm: Alarm,
    vigil: Vigil,
    pub(crate) shared: &'a Shared,
    pub(crate) session: Box<dyn SqlSession>,
    pub(crate) canceller: Arc<dyn Canceller>,
    /// The statement without a name; named ones are the session's.
    pub(crate) unnamed: Option<Arc<dyn Prepared>>,
    /// The portal without a name; named ones are the session's.
    pub(crate) portal: Option<Portal>,
    /// An extended message failed: nothing counts until Sync.
    skip_to_sync: bool,
    /// Extended messages have come without their Sync yet.
    in_batch: bool,
}

/// Serves one client to its end.
pub(crate) async fn serve_connection(wire: &mut Wire, shared: &Shared, mut alarm: Alarm) -> Outcome<()> {
    let limit = shared.environment.clock.sleep(shared.options.authentication_timeout);
    let mut waiting = alarm.clone();
    let opened = tokio::select! {
        biased;
        opened = start(wire, shared) => opened?,
        () = waiting.reached(Phase::Draining) => return Err(Failure::Fatal(shutting_down())),
        () = limit => {
            let error = Error::new(
                ErrorKind::Cancelled, SqlState::QUERY_CANCELED, "canceling authentication due to timeout");
            return Err(Failure::Fatal(error));
        }
    };
    let Some((session, seat)) = opened else { return Ok(()) };
    let canceller = session.canceller();
    seat.opened(canceller.clone());
    let mut connection = Connection {
        wire,
        alarm: alarm.clone(),
        vigil: Vigil::new(alarm.clone(), session.terminated()),
        shared,
        session,
        canceller,
        unnamed: None,
        portal: None,
        skip_to_sync: false,
        in_batch: false,
    };
    alarm.flush(connection.wire).await?;
    let ended = connection.run().await;
    // A portal's rows must be gone before its session.
    connection.portal = None;
    ended
}

/// Startup, authentication, and a session; `None` for a cancel request, which gets no answer.
async fn start(wire: &mut Wire, shared: &Shared) -> Outcome<Option<(Box<dyn SqlSession>, Seat)>> {
    let tls = shared.environment.tls.get();
    let hello = match open(wire, tls.as_deref(), &shared.counters).await? {
        Opening::Session(hello) => hello,
        Opening::Cancel { pid, secret } => {
            if shared.registry.cancel(pid, &secret) {
                add(&shared.counters.cancel_requests, 1);
            }
            return Ok(None);
        }
    };
    if let Err(failure) = authenticate(wire, tls.as_deref(), &*shared.service, &hello.user, &shared.secret).await {
        if matches!(failure, Failure::Fatal(_)) {
            add(&shared.counters.authentication_failures, 1);
            let clock = &shared.environment.clock;
            let peer = wire.peer().map(|peer| peer.ip());
            clock.sleep(shared.throttle.failed(peer, clock.monotonic(), shared.options.failure_delay)).await;
        }
        return Err(failure);
    }
    shared.throttle.succeeded(wire.peer().map(|peer| peer.ip()));
    let most = shared.options.connections_max;
    let Some(seat) = shared.registry.enter(&*shared.environment.entropy, hello.secret_len(), most) else {
        add(&shared.counters.connections_refused, 1);
        return Err(Failure::Fatal(Error::unavailable(
            SqlState::TOO_MANY_CONNECTIONS,
            "sorry, too many clients already",
        )));
    };
    let request = ConnectRequest {
        user: hello.user,
        database: hello.database,
        peer: wire.peer(),
        pid: seat.pid,
        parameters: hello.parameters,
    };
    let mut session = shared.service.connect(request).await.map_err(Failure::Fatal)?;
    wire.send(&Authentication::Ok);
    for (name, value) in session.changed_parameters() {
        wire.send(&ParameterStatus::new(name, value));
    }
    wire.send(&BackendKeyData::new(seat.pid, SecretKey::Bytes(Bytes::copy_from_slice(&seat.secret))));
    for notice in session.take_notices() {
        wire.send(&notice_response(&notice));
    }
    wire.send(&ready_for_query(session.status()));
    Ok(Some((session, seat)))
}

impl Connection<'_> {
    async fn run(&mut self) -> Outcome<()> {
        loop {
            // A client whose next message is always there already must not keep others from running.
            tokio::task::consume_budget().await;
            let until = if self.in_batch { Phase::Terminating } else { Phase::Draining };
            let (kind, body) = self.next_message(until).await?;
            if kind == message::TERMINATE {
                return Ok(());
            }
            if self.skip_to_sync && kind != message::SYNC {
                // Who asked to hear without Sync hears of the error too.
                if kind == message::FLUSH {
                    self.alarm.flush(self.wire).await?;
                }
                continue;
            }
            match self.handle(kind, body).await {
                Ok(()) => {}
                Err(Failure::Statement(error)) => self.failed(kind, error).await?,
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn handle(&mut self, kind: u8, body: Bytes) -> Outcome<()> {
        match kind {
            message::QUERY => self.simple_query(body).await,
            message::PARSE | message::BIND | message::DESCRIBE | message::EXECUTE | message::CLOSE => {
                self.in_batch = true;
                match kind {
                    message::PARSE => self.parse(body).await,
                    message::BIND => self.bind(body),
                    message::DESCRIBE => self.describe(body),
                    message::EXECUTE => self.execute(body).await,
                    _ => self.close(body),
                }
            }
            message::FLUSH => self.alarm.flush(self.wire).await,
            message::SYNC => self.sync().await,
            // What a client still sends of a COPY that failed.
            message::COPY_DATA | message::COPY_DONE | message::COPY_FAIL => Ok(()),
            message::FUNCTION_CALL => Err(Error::unsupported("the function call protocol").into()),
            _ => Err(Failure::Fatal(violation(format!("invalid frontend message type {kind}")))),
        }
    }

    /// The next frame; while it has not arrived, the server's stop may end the wait.
    pub(crate) async fn next_message(&mut self, until: Phase) -> Outcome<(u8, Bytes)> {
        loop {
            match self.wire.frame()? {
                Ok(frame) => return Ok(frame),
                Err(missing) => {
                    self.wire.rest();
                    // Between its requests, not inside one.
                    let idle = until == Phase::Draining;
                    let notified = if idle { self.session.notified() } else { None };
                    let limit = if idle { self.session.idle_limit() } else { None };
                    let limit = limit.map(|(limit, error)| (self.alarm.clock().sleep(limit), error));
                    tokio::select! {
                        biased;
                        filled = self.wire.fill(missing) => filled?,
                        () = when(notified) => {
                            self.send_notifications();
                            self.alarm.flush(self.wire).await?;
                        }
                        error = self.vigil.ended(until) => return Err(Failure::Fatal(error)),
                        error = too_long(limit) => return Err(Failure::Fatal(error)),
                    }
                }
            }
        }
    }

    async fn failed(&mut self, kind: u8, error: Error) -> Outcome<()> {
        self.report(&error);
        match kind {
            message::QUERY | message::FUNCTION_CALL => self.ready().await,
            _ => {
                self.skip_to_sync = true;
                Ok(())
            }
        }
    }

    /// Tells session and client that something failed.
    fn report(&mut self, error: &Error) {
        add(&self.shared.counters.statement_errors, 1);
        if error.kind() == ErrorKind::Internal {
            tracing::error!(?error, "a statement failed by a defect");
        }
        self.portal = None;
        self.session.fail(error);
        self.send_notices();
        self.wire.send(&error_response("ERROR", error));
    }

    async fn sync(&mut self) -> Outcome<()> {
        self.skip_to_sync = false;
        if self.session.status() == TransactionStatus::Idle {
            self.portal = None;
        }
        if let Err(error) = self.session.finish().await {
            self.report(&error);
        }
        self.ready().await
    }

    /// ReadyForQuery with what precedes it, and the one write.
    pub(crate) async fn ready(&mut self) -> Outcome<()> {
        self.in_batch = false;
        let status = self.session.status();
        if status == TransactionStatus::Idle {
            self.portal = None;
        }
        self.send_notices();
        for (name, value) in self.session.changed_parameters() {
            self.wire.send(&ParameterStatus::new(name, value));
        }
        self.send_notifications();
        self.wire.send(&ready_for_query(status));
        self.alarm.flush(self.wire).await
    }

    fn send_notifications(&mut self) {
        for Notification { pid, channel, payload } in self.session.take_notifications() {
            self.wire.send(&NotificationResponse::new(pid, channel.to_string(), payload.to_string()));
        }
    }

    pub(crate) fn send_notices(&mut self) {
        for notice in self.session.take_notices() {
            self.wire.send(&notice_response(&notice));
        }
    }
}

/// Resolves when it does, if it is there at all.
async fn when(event: Option<BoxFuture<'static, ()>>) {
    match event {
        Some(event) => event.await,
        None => future::pending().await,
    }
}

/// Resolves when a client has said nothing for too long, with what it is told.
async fn too_long(limit: Option<(BoxFuture<'static, ()>, Error)>) -> Error {
    match limit {
        Some((limit, error)) => {
            limit.await;
            error
        }
        None => future::pending().await,
    }
}
