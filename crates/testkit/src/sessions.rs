//! Scripts of several sessions: what each step answers, and which steps wait for whom.
//!
//! `sessions/<name>.steps` has a line per step, `session: SQL`. A step that waits for a lock says so, and the steps of others
//! go on; what it answers comes when it ends. PostgreSQL writes the `.out` files (`HELIOSDB_GOLDEN_REWRITE=1`).
//! `setup: SQL` runs by itself; `until: session` waits for a waiting session that will end by itself (a deadlock, a
//! timeout); `levels: a; b` runs the script once for each, in place of `{level}`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::golden::{write_error, write_messages};
use crate::server::connect;
use crate::tidy::root;

/// A step that neither ends nor waits for a lock by then is a defect.
const STEP_MAX: Duration = Duration::from_secs(60);

/// The scripts whose name contains `filter`, sorted.
pub fn scripts(filter: &str) -> Vec<PathBuf> {
    let folder = root().join("crates/testkit/sessions");
    let entries = std::fs::read_dir(folder).expect("the folder exists").flatten().map(|entry| entry.path());
    let wanted = |path: &PathBuf| {
        path.extension().is_some_and(|e| e == "steps")
            && path.file_name().is_some_and(|n| n.to_string_lossy().contains(filter))
    };
    let mut found: Vec<PathBuf> = entries.filter(wanted).collect();
    found.sort();
    found
}

struct Session {
    client: Arc<Client>,
    pid: i32,
    /// The answer of a step that waits.
    waiting: Option<JoinHandle<String>>,
}

struct Runner {
    port: u16,
    schema: String,
    control: Client,
    sessions: BTreeMap<String, Session>,
    out: String,
}

/// Runs a script at each of its levels.
pub async fn transcript(port: u16, path: &Path) -> String {
    let script = std::fs::read_to_string(path).expect("a script is readable UTF-8");
    let levels = script.lines().find_map(|line| line.strip_prefix("levels:"));
    let levels: Vec<&str> = levels.map_or(vec![""], |levels| levels.split(';').map(str::trim).collect());
    let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
    let mut out = String::new();
    for (at, level) in levels.into_iter().enumerate() {
        if !level.is_empty() {
            let _ = writeln!(out, "== {level}\n");
        }
        let control = connect(port).await.expect("the server takes connections");
        let schema = format!("sessions_{name}_{at}");
        control.batch_execute(&format!("CREATE SCHEMA {schema}; SET search_path = {schema}")).await.expect("a schema");
        let mut runner = Runner { port, schema, control, sessions: BTreeMap::new(), out: String::new() };
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (who, what) = line.split_once(':').unwrap_or_else(|| panic!("{}: {line}", path.display()));
            match who {
                "levels" => {}
                "setup" => runner.control.batch_execute(what).await.expect("the setup"),
                "until" => runner.until(what.trim()).await,
                _ => runner.step(who, &what.trim().replace("{level}", level)).await,
            }
        }
        assert!(runner.sessions.values().all(|s| s.waiting.is_none()), "{name}: a session still waits at the end");
        out.push_str(&runner.out);
    }
    out
}

impl Runner {
    async fn session(&mut self, name: &str) -> &mut Session {
        if !self.sessions.contains_key(name) {
            let client = connect(self.port).await.expect("the server takes connections");
            client.batch_execute(&format!("SET search_path = {}", self.schema)).await.expect("a search path");
            let pid = client.query_one("SELECT pg_backend_pid()", &[]).await.expect("a pid").get(0);
            self.sessions.insert(name.to_owned(), Session { client: Arc::new(client), pid, waiting: None });
        }
        self.sessions.get_mut(name).expect("it was just put there")
    }

    async fn step(&mut self, who: &str, sql: &str) {
        let _ = writeln!(self.out, "{who}: {sql}");
        let session = self.session(who).await;
        assert!(session.waiting.is_none(), "{who} waits and cannot run {sql}");
        let (client, statement) = (Arc::clone(&session.client), sql.to_owned());
        session.waiting = Some(tokio::spawn(async move {
            let mut out = String::new();
            match client.simple_query(&statement).await {
                Ok(messages) => write_messages(&mut out, messages),
                Err(error) => write_error(&mut out, &error),
            }
            // Whom a deadlock's detail names differs from run to run.
            out.lines()
                .filter(|line| !line.starts_with("DETAIL") && !line.starts_with("Process "))
                .map(|line| format!("{line}\n"))
                .collect()
        }));
        match self.settle(who).await {
            Some(answer) => self.out.push_str(&answer),
            None => self.out.push_str("waits\n"),
        }
        let others: Vec<String> = self.sessions.keys().filter(|name| *name != who).cloned().collect();
        for other in others {
            if let Some(answer) = self.settle(&other).await {
                let _ = write!(self.out, "{other} goes on:\n{answer}");
            }
        }
        self.out.push('\n');
    }

    /// The answer of a session's step once it has one; `None` while it waits for a lock (or runs nothing).
    async fn settle(&mut self, who: &str) -> Option<String> {
        let session = self.sessions.get_mut(who)?;
        let running = session.waiting.as_ref()?;
        let began = Instant::now();
        let waits = format!("SELECT count(*) FROM pg_locks WHERE pid = {} AND NOT granted", session.pid);
        while !running.is_finished() {
            let messages = self.control.simple_query(&waits).await.expect("pg_locks can be read");
            let waits = messages.iter().any(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0) != Some("0"),
                _ => false,
            });
            if waits && !running.is_finished() {
                return None;
            }
            assert!(began.elapsed() < STEP_MAX, "{who} neither ends nor waits for a lock");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let running = session.waiting.take()?;
        Some(running.await.expect("a step does not panic"))
    }

    async fn until(&mut self, who: &str) {
        let session = self.sessions.get_mut(who).expect("a session that waits");
        let running = session.waiting.take().unwrap_or_else(|| panic!("{who} does not wait"));
        let answer = tokio::time::timeout(STEP_MAX, running).await.expect("it ends by itself").expect("no panic");
        let _ = write!(self.out, "{who} goes on:\n{answer}");
        let others: Vec<String> = self.sessions.keys().filter(|name| *name != who).cloned().collect();
        for other in others {
            if let Some(answer) = self.settle(&other).await {
                let _ = write!(self.out, "{other} goes on:\n{answer}");
            }
        }
        self.out.push('\n');
    }
}
