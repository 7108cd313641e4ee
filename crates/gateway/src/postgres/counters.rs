//! What a server counts, for `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident: $help:literal),* $(,)?) => {
        /// Totals since the server began; only `connections_active` goes down.
        #[derive(Debug, Default)]
        pub struct Counters { $($(#[$doc])* pub $name: AtomicU64,)* }

        impl Counters {
            /// Every counter: name, what it means, value.
            pub fn all(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((stringify!($name), $help, self.$name.load(Ordering::Relaxed)),)*]
            }
        }
    };
}

counters! {
    connections: "Connections accepted",
    connections_active: "Connections open now",
    connections_refused: "Connections refused because too many were open",
    tls_connections: "Connections encrypted",
    tls_failures: "TLS handshakes that failed",
    authentication_failures: "Connections that failed to authenticate",
    statements: "Statements executed",
    statement_errors: "Errors reported to clients",
    rows_sent: "Rows sent to clients",
    cancel_requests: "Cancel requests that matched a session",
    protocol_violations: "Connections closed because of malformed messages",
    panics: "Connections closed by a defect",
    bytes_received: "Bytes received from clients",
    bytes_sent: "Bytes sent to clients",
}

pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

pub(crate) fn subtract(counter: &AtomicU64, n: u64) {
    counter.fetch_sub(n, Ordering::Relaxed);
}
