//! Accepting connections, and stopping.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use heliosdb_contracts::SqlService;
use heliosdb_types::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::alarm::{Alarm, Phase};
use super::connection::serve_connection;
use super::counters::{Counters, add, subtract};
use super::failure::{Failure, shutting_down};
use super::inbox::Inbox;
use super::options::{Environment, Options};
use super::registry::Registry;
use super::reply::error_response;
use super::throttle::Throttle;
use super::wire::Wire;

/// Connections beyond the sessions allowed that may still be starting up or carry a cancel request.
const ANTEROOM: u64 = 64;
/// A pause after accept failed, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a client may take to accept its last message.
const FAREWELL: Duration = Duration::from_secs(2);

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) service: Arc<dyn SqlService>,
    pub(crate) options: Options,
    pub(crate) environment: Environment,
    pub(crate) counters: Arc<Counters>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) throttle: Throttle,
    /// From which verifiers of unknown users are made up.
    pub(crate) secret: [u8; 32],
}

/// A running server. Dropping it stops it as an emergency would: statements are cancelled, connections close.
pub struct Server {
    phase: watch::Sender<Phase>,
    active: watch::Receiver<u64>,
    counters: Arc<Counters>,
    clock: Arc<dyn heliosdb_runtime::Clock>,
    address: Option<SocketAddr>,
}

impl Server {
    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// Where it listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Stops: no new connections, idle sessions are told 57P01, running statements have `grace` before they are
    /// cancelled. Returns how many connections had to be left behind (0 unless statements ignore their cancellation).
    pub async fn shutdown(&self, grace: Duration) -> u64 {
        self.phase.send_replace(Phase::Draining);
        if !self.emptied(grace).await {
            self.phase.send_replace(Phase::Terminating);
            self.emptied(Duration::from_secs(15)).await;
        }
        *self.active.borrow()
    }

    async fn emptied(&self, within: Duration) -> bool {
        let mut active = self.active.clone();
        tokio::select! {
            biased;
            _ = active.wait_for(|n| *n == 0) => true,
            () = self.clock.sleep(within) => false,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.phase.send_replace(Phase::Terminating);
    }
}

/// Serves `listener` until the [`Server`] returned is shut down.
pub fn serve(
    listener: TcpListener,
    service: Arc<dyn SqlService>,
    options: Options,
    environment: Environment,
) -> Server {
    let (phase, phases) = watch::channel(Phase::Serving);
    let (leave, active) = watch::channel(0);
    let counters = Arc::new(Counters::default());
    let mut secret = [0; 32];
    environment.entropy.fill(&mut secret);
    let server = Server {
        phase,
        active,
        counters: counters.clone(),
        clock: environment.clock.clone(),
        address: listener.local_addr().ok(),
    };
    let spawner = environment.spawner.clone();
    let inbox = Inbox::new(options.inbox_bytes_max);
    let (registry, throttle) = (Arc::default(), Throttle::default());
    let shared = Arc::new(Shared { service, options, environment, counters, registry, inbox, throttle, secret });
    // The task ends with the phase; nobody needs to join it.
    drop(spawner.task(accept(listener, shared, phases, leave)));
    server
}

async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    phases: watch::Receiver<Phase>,
    active: watch::Sender<u64>,
) {
    let active = Arc::new(active);
    let environment = &shared.environment;
    let mut alarm = Alarm::new(phases, environment.clock.clone(), shared.options.cancel_grace);
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            biased;
            () = alarm.reached(Phase::Draining) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, _)) => {
                failing = false;
                add(&shared.counters.connections, 1);
                let most = (shared.options.connections_max as u64).saturating_add(ANTEROOM);
                if *active.borrow() >= most {
                    // So many strangers at the door that not even telling them is affordable.
                    add(&shared.counters.connections_refused, 1);
                    continue;
                }
                let guard = Active::new(active.clone(), shared.counters.clone());
                drop(environment.spawner.task(attend(socket, shared.clone(), alarm.clone(), guard)));
            }
            Err(error) => {
                // Once an episode: waiting clients make it fail again and again.
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "could not accept connections; trying again until it works");
                }
                environment.clock.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Counts a connection for as long as it lives.
struct Active(Arc<watch::Sender<u64>>, Arc<Counters>);

impl Active {
    fn new(active: Arc<watch::Sender<u64>>, counters: Arc<Counters>) -> Active {
        active.send_modify(|n| *n += 1);
        add(&counters.connections_active, 1);
        Active(active, counters)
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.send_modify(|n| *n -= 1);
        subtract(&self.1.connections_active, 1);
    }
}

/// One connection from accept to close. A panic below is our defect: it closes this connection and no other.
async fn attend(socket: TcpStream, shared: Arc<Shared>, alarm: Alarm, guard: Active) {
    let _ = socket.set_nodelay(true);
    // Without it a client whose machine has vanished would keep its session, and its locks, for ever.
    let _ = heliosdb_runtime::keep_alive(&socket);
    let mut wire = Wire::new(socket, shared.counters.clone(), shared.options.message_bytes_max, shared.inbox.clone());
    let served = AssertUnwindSafe(serve_connection(&mut wire, &shared, alarm.clone())).catch_unwind().await;
    let error = match served {
        Ok(Ok(())) => None,
        Ok(Err(Failure::Gone)) => None,
        Ok(Err(Failure::Fatal(error) | Failure::Statement(error))) => Some(error),
        Err(_) => {
            add(&shared.counters.panics, 1);
            tracing::error!("a connection ended in a panic");
            // What was being encoded is not to be trusted.
            wire.output.clear();
            Some(Error::internal("the connection's handler failed; please report this defect"))
        }
    };
    if let Some(error) = error {
        if error.state() == heliosdb_types::SqlState::PROTOCOL_VIOLATION {
            add(&shared.counters.protocol_violations, 1);
        }
        if error.state() != shutting_down().state() {
            tracing::info!(%error, state = %error.state(), "connection closed");
        }
        wire.send(&error_response("FATAL", &error));
        // Not `alarm.flush`: this is what the client is to hear even, and just, when the server stops.
        tokio::select! {
            biased;
            _ = wire.flush() => {}
            () = alarm.clock().sleep(FAREWELL) => {}
        }
    }
    // A client that takes nothing would hold up even the goodbye.
    let clock = alarm.clock();
    tokio::select! {
        biased;
        () = wire.close() => {}
        () = clock.sleep(FAREWELL) => {}
    }
    drop(guard);
}
