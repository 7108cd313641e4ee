//! Tests of the whole: the built server driven by real clients, and of the source tree.
//!
//! Build the server first (`cargo build -p heliosdb-server`); `cargo xtask test` does.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

mod golden;
mod tidy;
