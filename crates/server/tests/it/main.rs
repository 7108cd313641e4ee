//! The binary from outside: settings, ports, health, passwords, stopping, exit codes.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod authority;
mod client;
mod disk_full;
mod engine;
mod large_values;
mod limits;
mod many;
mod process;
mod refusals;
mod running;
mod tls;
mod tls_client;
mod troubleshooting;
