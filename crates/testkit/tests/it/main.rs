//! Tests of the whole: the built server driven by real clients, and of the source tree.
//!
//! Build the server first (`cargo build -p heliosdb-server`); `cargo xtask test` does.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

mod concurrency;
mod constraints;
mod copy;
mod crash_indexes;
mod damage;
mod docs;
mod elle;
mod fence;
mod files;
mod golden;
mod housekeeping;
mod htap;
mod index_online;
mod long_haul;
mod packaging;
mod psql;
mod sessions;
mod start;
mod statements;
mod storm;
mod tidy;
mod tpcc;
mod wire;

use std::path::Path;
use std::time::Duration;

use heliosdb_testkit::peer::{Postgres, PostgresVersion};
use heliosdb_testkit::server::{Server, ServerOptions};
use tokio_postgres::{Client, SimpleQueryMessage};

/// Who answers the scripts: our server, or PostgreSQL when it is to write down what is right.
struct Oracle {
    port: u16,
    rewrites: bool,
    _ours: Option<Server>,
    _postgres: Option<Postgres>,
}

impl Oracle {
    async fn start(place: &Path) -> Oracle {
        if std::env::var_os("HELIOSDB_GOLDEN_REWRITE").is_some() {
            let version = PostgresVersion::system().unwrap();
            let postgres = Postgres::start(&version, &place.join("pg"), &[]).await.unwrap();
            return Oracle { port: postgres.port, rewrites: true, _ours: None, _postgres: Some(postgres) };
        }
        let ours = Server::start(&ServerOptions::new(place.join("data"))).await.unwrap();
        Oracle { port: ours.pg_port, rewrites: false, _ours: Some(ours), _postgres: None }
    }
}

/// The first value of a query's first row, as text.
async fn value(client: &Client, sql: &str) -> String {
    let messages = client.simple_query(sql).await.unwrap();
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    row.unwrap_or("none").to_owned()
}

/// The SQLSTATE of an error.
fn code(error: &tokio_postgres::Error) -> &str {
    error.as_db_error().map_or("", |error| error.code().code())
}

/// Whether a task waits rather than ends.
async fn blocked<T>(task: &mut tokio::task::JoinHandle<T>) -> bool {
    tokio::time::timeout(Duration::from_millis(300), task).await.is_err()
}
