//! A small file system that fills up under a real server: writes fail with 53100, reads go on, space brings writes back.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::process::{Process, heliosdb};

/// A file system in memory, seen only inside a namespace that lives as long as its holder.
struct SmallDisk {
    holder: Child,
    dir: tempfile::TempDir,
}

impl SmallDisk {
    /// `None` where the system does not let us mount.
    fn new(megabytes: u64) -> Option<SmallDisk> {
        let dir = tempfile::tempdir().unwrap();
        let script = format!("mount -t tmpfs -o size={megabytes}m tmpfs \"$0\" && echo mounted && exec sleep 600");
        let mut holder = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", &script])
            .arg(dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let disk = SmallDisk { holder, dir };
        (line == "mounted\n").then_some(disk)
    }

    /// A path as seen from outside.
    fn path(&self, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(self.dir.path().strip_prefix("/").unwrap()).join(name)
    }

    fn start(&self) -> Process {
        let mut command = heliosdb();
        let program = command.get_program().to_owned();
        let target = self.holder.id().to_string();
        command = Command::new("nsenter");
        command.args(["--user", "--mount", "--preserve-credentials", "--target", &target]).arg(program);
        command.arg("start").arg("--data-dir").arg(self.dir.path().join("data")).args(["--memory", "256MB"]);
        command.args(["--pg-port", "0", "--http-port", "0"]);
        command.env("HELIOSDB_STORAGE_WAL_FILE_BYTES", (2 << 20).to_string());
        Process::spawn(&mut command)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

fn fill(path: &Path, megabytes: usize) {
    std::fs::write(path, vec![1; megabytes << 20]).unwrap();
}

/// SQLSTATE of a statement's failure; `None` when it succeeded.
fn state(server: &Process, sql: &str) -> Option<String> {
    server.sql("", sql).err().map(|error| error.code().unwrap_or_else(|| panic!("{error:?}")).code().to_owned())
}

#[test]
fn a_full_disk_refuses_writes_until_there_is_space() {
    let Some(disk) = SmallDisk::new(64) else {
        // The simulated disk's tests cover the logic; this one needs the right to mount.
        eprintln!("skipped: no right to mount a file system here");
        return;
    };
    fill(&disk.path("filler"), 36);
    let mut server = disk.start();
    server.sql("", "CREATE TABLE t (id int PRIMARY KEY, v text)").unwrap();
    // What no encoding makes small.
    let noise: Vec<String> = (0..32).map(|part| format!("md5('{part}' || i)")).collect();
    let insert = |from: i64| {
        let (noise, to) = (noise.join(" || "), from + 499);
        format!("INSERT INTO t SELECT i, {noise} FROM generate_series({from}, {to}) i")
    };
    let mut rows = 0;
    let fill_up = |server: &Process, rows: &mut i64| loop {
        assert!(*rows < 200_000, "64 MB are finite");
        match state(server, &insert(*rows)) {
            None => *rows += 500,
            Some(state) => break assert_eq!(state, "53100"),
        }
    };
    let count = |server: &Process| server.sql("", "SELECT count(*), max(id) FROM t").unwrap()[0].clone();
    fill_up(&server, &mut rows);
    assert!(rows > 0);
    for sql in [insert(rows).as_str(), "UPDATE t SET v = v || 'y'"] {
        assert_eq!(state(&server, sql).as_deref(), Some("53100"), "{sql}");
    }
    assert_eq!(count(&server), rows.to_string(), "reads go on, nothing refused has happened");
    assert_eq!(server.get("/healthz/ready").0, 200, "not fenced");
    // Stopped while full, and started again: there is what was acknowledged.
    assert_eq!(server.stop(), 0);
    std::fs::remove_file(disk.path("filler")).unwrap();
    let server = disk.start();
    assert_eq!(count(&server), rows.to_string());
    // Full again, and space while it runs.
    fill(&disk.path("filler"), 8);
    fill_up(&server, &mut rows);
    std::fs::remove_file(disk.path("filler")).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Some(state) = state(&server, &insert(rows)) {
        assert_eq!(state, "53100");
        assert!(Instant::now() < deadline, "space is back, writes are not");
        std::thread::sleep(Duration::from_millis(100));
    }
    rows += 500;
    assert_eq!(count(&server), rows.to_string());
    let (_, metrics) = server.get("/metrics");
    assert!(metrics.contains("heliosdb_fenced 0"));
}
