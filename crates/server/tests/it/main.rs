//! The binary from outside: settings, ports, health, passwords, stopping, exit codes.
#![allow(clippy::disallowed_methods)]

mod engine;
mod process;
mod refusals;
mod running;
