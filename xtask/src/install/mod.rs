//! What tests need beyond a Rust toolchain, a C compiler and Python 3.

mod clients;

use std::path::PathBuf;
use std::process::{Command, Stdio};

pub use clients::clients;

use crate::step::{Done, output, root, run};

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

/// The column formats' Python packages, in a folder of their own; says which.
pub fn format_peers() -> Result<PathBuf, String> {
    let packages = root().join(".bench/formats");
    if !packages.join("vortex").is_dir() {
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"];
        let wanted = ["duckdb==2.0.0", "pyarrow==26.0.1", "vortex-data==0.91.0"];
        run(Command::new("python3").args(pip).arg(&packages).args(wanted))?;
    }
    Ok(packages)
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
