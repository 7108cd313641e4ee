//! A `heliosdb` process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A command that knows nothing of the environment the tests run in.
pub fn heliosdb() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_heliosdb"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HELIOSDB_")) {
        command.env_remove(name);
    }
    command
}

/// Runs to the end, which must come soon.
pub fn run(command: &mut Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait(&mut child);
    child.wait_with_output().unwrap()
}

fn wait(child: &mut Child) -> i32 {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap_or(-1);
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("the process did not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub struct Process {
    child: Child,
    pub banner: String,
    pub pg_port: u16,
    pub http_port: u16,
}

impl Process {
    /// Starts on free ports and waits for the banner.
    pub fn start(data_dir: &Path, more: &[&str]) -> Process {
        let mut command = heliosdb();
        command.arg("start").arg("--data-dir").arg(data_dir).args(["--memory", "256MB"]);
        command.args(["--pg-port", "0", "--http-port", "0"]).args(more);
        Process::spawn(&mut command)
    }

    pub fn spawn(command: &mut Command) -> Process {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let (say, said) = mpsc::channel();
        let out = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = say.send(line);
            }
        });
        let mut banner = String::new();
        while !banner.contains("Connect with:") {
            let line = said.recv_timeout(Duration::from_secs(60)).expect("the server says how to connect");
            banner.push_str(&line);
            banner.push('\n');
        }
        let port = |label: &str| {
            let line = banner.lines().find(|line| line.trim_start().starts_with(label)).unwrap();
            let after = line.rsplit(':').find(|part| part.starts_with(|c: char| c.is_ascii_digit())).unwrap();
            after.split(' ').next().unwrap().parse().unwrap()
        };
        let (pg_port, http_port) = (port("postgresql"), port("http"));
        Process { child, banner, pg_port, http_port }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The most memory it has held at once.
    pub fn peak_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
    }

    /// The exit code.
    pub fn wait(&mut self) -> i32 {
        wait(&mut self.child)
    }

    pub fn stop(&mut self) -> i32 {
        self.signal("TERM");
        self.wait()
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Status code and body.
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut socket = TcpStream::connect(("127.0.0.1", self.http_port)).unwrap();
        write!(socket, "GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Runs statements as the superuser; the last one's first column of text.
    pub fn sql(&self, settings: &str, sql: &str) -> Result<Vec<String>, tokio_postgres::Error> {
        let settings = format!("host=127.0.0.1 port={} user=postgres {settings}", self.pg_port);
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let (client, connection) = tokio_postgres::connect(&settings, tokio_postgres::NoTls).await?;
            tokio::spawn(connection);
            let messages = client.simple_query(sql).await?;
            let text = |message: &tokio_postgres::SimpleQueryMessage| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            };
            Ok(messages.iter().filter_map(text).collect())
        })
    }
}

impl Process {
    /// A client of its own, driven in the background.
    pub async fn client(&self) -> tokio_postgres::Client {
        let settings = format!("host=127.0.0.1 port={} user=postgres", self.pg_port);
        let (client, connection) = tokio_postgres::connect(&settings, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
