//! What tests need beyond a Rust toolchain, a C compiler and Python 3.

mod clients;

use std::process::{Command, Stdio};

pub use clients::clients;

use crate::step::{Done, output, run};

/// rustfmt and clippy, for toolchains that came without them.
pub fn toolchain_components() -> Done {
    if output("cargo", &["fmt", "--version"]).is_some() && output("cargo", &["clippy", "--version"]).is_some() {
        return Ok(());
    }
    run(Command::new("rustup").args(["component", "add", "rustfmt", "clippy"]))
}

/// psql, pgbench and a PostgreSQL server to compare with.
pub fn postgres() -> Done {
    let server = std::fs::read_dir("/usr/lib/postgresql").is_ok_and(|mut versions| versions.next().is_some());
    if output("psql", &["--version"]).is_some() && server {
        return Ok(());
    }
    if output("apt-get", &["--version"]).is_none() {
        return Err("psql and a PostgreSQL server are needed: install PostgreSQL (15 or newer) with its client".into());
    }
    apt_install(&["postgresql", "postgresql-client"])
}

/// Installs Debian packages, as root or through sudo.
fn apt_install(packages: &[&str]) -> Done {
    let apt = |arguments: &[&str]| {
        let sudo = output("id", &["-u"]).is_some_and(|id| id.trim() != "0");
        let mut command = Command::new(if sudo { "sudo" } else { "apt-get" });
        if sudo {
            command.arg("apt-get");
        }
        run(command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null()))
    };
    apt(&["update", "-qq"])?;
    apt(&[&["install", "-y", "-qq", "--no-install-recommends"], packages].concat())
}
