//! Settings (data) and environment (components) of a server, apart.

use std::sync::Arc;
use std::time::Duration;

use heliosdb_runtime::{Clock, Entropy, RealClock, RealEntropy, Spawner};

use super::tls::TlsSlot;

/// Limits of a server.
#[derive(Clone, Debug)]
pub struct Options {
    /// Sessions at a time; more are refused with 53300.
    pub connections_max: usize,
    /// How long a client may take to start up and authenticate.
    pub authentication_timeout: Duration,
    /// The longest Query, Parse, Bind or CopyData message. Memory is taken as bytes arrive, not by what a length claims.
    pub message_bytes_max: usize,
    /// Messages longer than a few kilobytes, of all connections together, that have not been handled yet.
    pub inbox_bytes_max: usize,
    /// How long the answer to a first wrong password takes; each further one from the same address twice as long.
    pub failure_delay: Duration,
    /// Replies gather up to about this size before they are written; fewer at Sync, Flush and the end of a Query.
    pub flush_bytes: usize,
    /// How long a statement may take to notice that it was cancelled because its client went away.
    pub cancel_grace: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            connections_max: 1000,
            authentication_timeout: Duration::from_secs(60),
            message_bytes_max: 256 << 20,
            inbox_bytes_max: 512 << 20,
            failure_delay: Duration::from_millis(100),
            flush_bytes: 64 << 10,
            cancel_grace: Duration::from_secs(10),
        }
    }
}

/// What the server takes from outside.
#[derive(Clone)]
pub struct Environment {
    pub spawner: Spawner,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    /// Certificate and key; may be replaced at any time.
    pub tls: TlsSlot,
}

impl Environment {
    /// The machine's clock and randomness, and the runtime the caller runs on.
    pub fn real() -> Environment {
        Environment {
            spawner: Spawner::default(),
            clock: Arc::new(RealClock::new()),
            entropy: Arc::new(RealEntropy),
            tls: TlsSlot::default(),
        }
    }
}
