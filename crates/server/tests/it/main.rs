//! The binary from outside: settings, ports, health, passwords, stopping, exit codes.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod engine;
mod process;
mod refusals;
mod running;
