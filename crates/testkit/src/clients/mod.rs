//! Real clients of every ecosystem against one server: the scripts of `crates/testkit/clients`, each in a database of its own.
//!
//! Invariants: a script takes its connection from the `PG*` variables alone, ends with status 0 only if everything it
//! checks held, and passes unchanged on PostgreSQL (`--postgres`), so that what fails here is ours to fix.

mod programs;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::peer::{Postgres, PostgresVersion};
use crate::server::{Server, ServerOptions, connect};

pub use programs::{Client, clients};

/// What to run, and where the clients were installed.
pub struct ClientOptions {
    /// Folder that `cargo xtask clients` filled: `python/`, `node/`, `rust/`.
    pub installed: PathBuf,
    /// Only clients whose name contains this.
    pub only: Option<String>,
    /// Against the system's PostgreSQL instead of the built server.
    pub postgres: bool,
}

/// How long one client may take.
const PATIENCE: Duration = Duration::from_secs(180);
const PASSWORD: &str = "correct horse";

/// Runs the clients one after the other; an error names those that failed.
pub async fn run(options: &ClientOptions) -> Result<(), String> {
    let place = tempfile::tempdir().map_err(|error| error.to_string())?;
    let target = Target::start(options.postgres, place.path()).await?;
    let chosen: Vec<Client> = clients()
        .into_iter()
        .filter(|client| options.only.as_deref().is_none_or(|only| client.name.contains(only)))
        .collect();
    let mut failed = Vec::new();
    for client in &chosen {
        let began = Instant::now();
        let outcome = run_one(client, &target, &options.installed).await;
        let seconds = began.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => println!("{:<24} ok     {seconds:>5.1} s", client.name),
            Err(error) => {
                println!("{:<24} FAILED {seconds:>5.1} s\n{error}\n", client.name);
                failed.push(client.name);
            }
        }
    }
    match (chosen.is_empty(), failed.is_empty()) {
        (true, _) => Err("no client has that name".into()),
        (false, true) => Ok(()),
        (false, false) => Err(format!("{} of {} clients failed: {}", failed.len(), chosen.len(), failed.join(", "))),
    }
}

async fn run_one(client: &Client, target: &Target, installed: &Path) -> Result<(), String> {
    let database = format!("client_{}", client.name.replace('-', "_"));
    let admin = target.admin().await?;
    admin.batch_execute(&format!("create database {database}")).await.map_err(|error| format!("{error:?}"))?;
    let log = target.folder.join(format!("{}.out", client.name));
    let output = std::fs::File::create(&log).map_err(|error| error.to_string())?;
    let mut command = (client.command)(installed);
    command
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", target.port.to_string())
        .env("PGUSER", "postgres")
        .env("PGPASSWORD", PASSWORD)
        .env("PGDATABASE", &database)
        .stdin(Stdio::null())
        .stderr(output.try_clone().map_err(|error| error.to_string())?)
        .stdout(output);
    let ended = wait(&mut command).await;
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    let tail: Vec<&str> = text.lines().rev().take(40).collect();
    let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
    ended.map_err(|error| format!("{error}\n{tail}"))?;
    if !text.lines().any(|line| line == "ok") {
        return Err(format!("it never said ok:\n{tail}"));
    }
    // What a client leaves behind (connections, locks) must not keep its database alive.
    admin.batch_execute(&format!("drop database {database} with (force)")).await.map_err(|error| format!("{error:?}"))
}

async fn wait(command: &mut Command) -> Result<(), String> {
    let mut child = command.spawn().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(format!("ended with {status}")),
            None if Instant::now() > deadline => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("not done after {PATIENCE:?}"));
            }
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// The server under test, with a password set: every client has to get through SCRAM.
struct Target {
    port: u16,
    folder: PathBuf,
    _ours: Option<Server>,
    _postgres: Option<Postgres>,
}

impl Target {
    async fn start(postgres: bool, place: &Path) -> Result<Target, String> {
        let text = |error: std::io::Error| error.to_string();
        let (mut ours, mut theirs) = (None, None);
        let port = if postgres {
            let version = PostgresVersion::system().map_err(text)?;
            let started = Postgres::start(&version, &place.join("postgres"), &[]).await.map_err(text)?;
            theirs.insert(started).port
        } else {
            let started = Server::start(&ServerOptions::new(place.join("data"))).await.map_err(text)?;
            ours.insert(started).pg_port
        };
        let target = Target { port, folder: place.to_owned(), _ours: ours, _postgres: theirs };
        let first = connect(port).await.map_err(|error| error.to_string())?;
        let set = format!("alter role postgres password '{PASSWORD}'");
        first.batch_execute(&set).await.map_err(|error| format!("{error:?}"))?;
        Ok(target)
    }

    async fn admin(&self) -> Result<tokio_postgres::Client, String> {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.port).user("postgres").dbname("postgres").password(PASSWORD);
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.map_err(|error| error.to_string())?;
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(client)
    }
}
