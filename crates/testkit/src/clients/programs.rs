//! Which clients there are and how each is started.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tidy::root;

/// A client program; `command` gets the folder of installed packages.
pub struct Client {
    pub name: &'static str,
    pub command: fn(&Path) -> Command,
}

/// All of them, in the order of the table in `docs/clients.md`.
pub fn clients() -> Vec<Client> {
    vec![
        Client { name: "psql", command: |_| script("sh", "psql/first_hour.sh") },
        Client { name: "psycopg3", command: |installed| python(installed, "psycopg3.py") },
        Client { name: "psycopg2", command: |installed| python(installed, "psycopg2_client.py") },
        Client { name: "asyncpg", command: |installed| python(installed, "asyncpg_client.py") },
        Client { name: "wire-types", command: |installed| python(installed, "wire_types.py") },
        Client { name: "sqlalchemy-alembic", command: |installed| python(installed, "sqlalchemy_alembic.py") },
        Client { name: "django", command: |installed| python(installed, "django_site.py") },
        Client { name: "node-postgres", command: |installed| node(installed, "pg.mjs") },
        Client { name: "knex-drizzle", command: |installed| node(installed, "knex.mjs") },
        Client { name: "pgjdbc", command: |_| java("java/Jdbc.java") },
        Client { name: "go-pq", command: |_| go("go/pq.go") },
        Client { name: "tokio-postgres", command: |installed| rust(installed, "with_tokio_postgres") },
        Client { name: "sqlx", command: |installed| rust(installed, "with_sqlx") },
        Client { name: "odbc", command: |installed| python(installed, "odbc.py") },
        Client { name: "adbc", command: |installed| python(installed, "adbc.py") },
    ]
}

fn scripts() -> PathBuf {
    root().join("crates/testkit/clients")
}

fn script(program: &str, path: &str) -> Command {
    let mut command = Command::new(program);
    command.arg(scripts().join(path));
    command
}

fn python(installed: &Path, file: &str) -> Command {
    let mut command = Command::new(installed.join("python/bin/python"));
    command.arg(scripts().join("python").join(file));
    command
}

/// Packages are found from the script's folder upwards, so the script runs from where they were installed.
fn node(installed: &Path, file: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(installed.join("node").join(file));
    command
}

fn java(file: &str) -> Command {
    let mut command = Command::new("java");
    command.args(["-cp", "/usr/share/java/postgresql.jar"]).arg(scripts().join(file)).arg(every_type());
    command
}

/// Debian's package of lib/pq, without the module proxy.
fn go(file: &str) -> Command {
    let mut command = Command::new("go");
    command.arg("run").arg(scripts().join(file)).env("GO111MODULE", "off").env("GOPATH", "/usr/share/gocode");
    command
}

fn rust(installed: &Path, binary: &str) -> Command {
    let mut command = Command::new(installed.join("rust/debug").join(binary));
    command.arg(every_type());
    command
}

/// What PostgreSQL makes of values of every type.
fn every_type() -> PathBuf {
    scripts().join("python/wire_types.tsv")
}
