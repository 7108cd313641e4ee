//! Tests of the whole: the built server driven by real clients, and of the source tree.
//!
//! Build the server first (`cargo build -p heliosdb-server`); `cargo xtask test` does.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

mod concurrency;
mod constraints;
mod copy;
mod damage;
mod elle;
mod fence;
mod golden;
mod psql;
mod sessions;
mod start;
mod storm;
mod tidy;
mod wire;

/// PostgreSQL runs as another user and must get through to its data.
fn open_to_all(dir: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
}
