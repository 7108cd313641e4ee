//! SIGTERM and SIGINT: the first asks for a clean end, the second for an immediate one.

use heliosdb_types::{Error, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on signals come here. Needs a runtime.
    pub(crate) fn new() -> Result<Signals> {
        let listen = |kind| signal(kind).map_err(|e| Error::io("listen for signals", e));
        Ok(Signals { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// The next one's name.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
