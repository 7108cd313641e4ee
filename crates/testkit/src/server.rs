//! A HeliosDB server in a process of its own, to be talked to, killed and started again.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio_postgres::{Client, NoTls};

/// Finds the server binary: `HELIOSDB_BIN`, or `heliosdb` beside the running test's profile folder.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("HELIOSDB_BIN") {
        return PathBuf::from(path);
    }
    let exe = std::env::current_exe().unwrap();
    let beside = exe.ancestors().map(|dir| dir.join("heliosdb")).find(|path| path.is_file());
    beside.unwrap_or_else(|| {
        panic!("no heliosdb binary above {}: run `cargo build -p heliosdb-server` first", exe.display())
    })
}

/// A port nobody listens on right now.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr()).unwrap().port()
}

/// How to start a server.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    pub data_dir: PathBuf,
    /// Extra flags of `heliosdb start`.
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
}

impl ServerOptions {
    pub fn new(data_dir: impl Into<PathBuf>) -> ServerOptions {
        ServerOptions { data_dir: data_dir.into(), args: Vec::new(), env: Vec::new() }
    }

    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> ServerOptions {
        self.args.push(arg.into());
        self
    }

    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> ServerOptions {
        self.env.push((name.into(), value.into()));
        self
    }
}

/// A running server. Dropped: killed.
pub struct Server {
    child: Child,
    pub pg_port: u16,
    pub http_port: u16,
    pub log: PathBuf,
}

/// Starts with other ports before giving up.
const STARTS_MAX: usize = 4;

impl Server {
    /// Starts a server and waits until it accepts connections.
    pub async fn start(options: &ServerOptions) -> io::Result<Server> {
        let mut tries = 0;
        loop {
            let mut server = Server::spawn(options)?;
            tries += 1;
            match server.wait_ready(Duration::from_secs(60)).await {
                Ok(()) => return Ok(server),
                // A port that was free when it was chosen may be another connection's by now.
                Err(error) if tries < STARTS_MAX && error.to_string().contains("Address already in use") => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Starts a server without waiting.
    pub fn spawn(options: &ServerOptions) -> io::Result<Server> {
        std::fs::create_dir_all(&options.data_dir)?;
        let log = options.data_dir.with_extension("log");
        let output = File::options().create(true).append(true).open(&log)?;
        let (pg_port, http_port) = (free_port(), free_port());
        let child = Command::new(binary())
            .arg("start")
            .arg("--data-dir")
            .arg(&options.data_dir)
            .args(["--listen", "127.0.0.1"])
            .args(["--pg-port", &pg_port.to_string(), "--http-port", &http_port.to_string()])
            .args(&options.args)
            .envs(options.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        Ok(Server { child, pg_port, http_port, log })
    }

    /// Waits until the server answers a connection; fails at once if the process ended.
    pub async fn wait_ready(&mut self, patience: Duration) -> io::Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait()? {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(15).collect();
                let tail: Vec<&str> = tail.into_iter().rev().collect();
                return Err(io::Error::other(format!("server ended with {status}:\n{}", tail.join("\n"))));
            }
            if self.connect().await.is_ok() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(io::Error::other(format!(
                    "server not ready after {patience:?}; log: {}",
                    self.log.display()
                )));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A connection as the default user to the default database.
    pub async fn connect(&self) -> Result<Client, tokio_postgres::Error> {
        connect(self.pg_port).await
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.pg_port).into()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// kill -9, and waits for the process to be gone.
    pub fn kill(&mut self) -> io::Result<()> {
        // A server that ended by itself (a failpoint) is as dead as one we kill.
        let _ = self.child.kill();
        self.child.wait().map(|_| ())
    }

    /// Sends a signal, e.g. `libc::SIGTERM`.
    #[allow(unsafe_code, reason = "kill(2) has no safe wrapper in std")]
    pub fn signal(&self, signal: i32) {
        // SAFETY: kill(2) on our own child's pid, which is not reaped while `self.child` lives.
        unsafe { libc::kill(self.child.id() as i32, signal) };
    }

    /// SIGTERM, and waits for a clean end.
    pub fn stop(&mut self, patience: Duration) -> io::Result<ExitStatus> {
        self.signal(libc::SIGTERM);
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                self.kill()?;
                return Err(io::Error::other(format!("server did not stop within {patience:?}")));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether the process has ended, without waiting.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// CPU seconds the process has used (user + system), from /proc.
    pub fn cpu_seconds(&self) -> f64 {
        cpu_seconds(self.child.id())
    }

    /// Memory the process holds now.
    pub fn resident_bytes(&self) -> u64 {
        proc_kilobytes(&format!("/proc/{}/status", self.child.id()), "VmRSS:").unwrap_or(0) * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A line `label N kB` of one of the kernel's files.
pub fn proc_kilobytes(path: &str, label: &str) -> Option<u64> {
    let content = std::fs::read_to_string(path).ok()?;
    content.lines().find_map(|line| line.strip_prefix(label)?.split_whitespace().next()?.parse().ok())
}

/// CPU seconds of a process, from /proc/PID/stat.
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}

/// Connects to a local server and drives the connection in the background.
pub async fn connect(port: u16) -> Result<Client, tokio_postgres::Error> {
    connect_to(port, "postgres").await
}

/// As [`connect`], to another database.
pub async fn connect_to(port: u16, database: &str) -> Result<Client, tokio_postgres::Error> {
    let config = format!("host=127.0.0.1 port={port} user=postgres dbname={database} connect_timeout=10");
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await?;
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(client)
}

/// Bytes of all files below a folder.
pub fn folder_bytes(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => folder_bytes(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}
