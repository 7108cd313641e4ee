//! The documents' commands, run from the documents as they stand: who changes one changes the test.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use heliosdb_testkit::server::{binary, connect, free_port};
use heliosdb_testkit::tidy::root;

/// The fenced blocks of a document: language and text.
fn blocks(document: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(root().join(document)).unwrap();
    let mut found: Vec<(String, String)> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line.strip_prefix("```") {
            Some(language) if !inside => {
                found.push((language.to_owned(), String::new()));
                inside = true;
            }
            Some(_) => inside = false,
            None if inside => {
                let (_, block) = found.last_mut().unwrap();
                block.push_str(line);
                block.push('\n');
            }
            None => {}
        }
    }
    found
}

/// The commands of a `sh` block, without comments.
fn commands(block: &str) -> Vec<String> {
    let plain = |line: &str| line.split(" # ").next().unwrap_or_default().trim().to_owned();
    block.lines().map(plain).filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// A newcomer's folder: what `cargo build --release` would have left is there, psql finds the server by its port.
struct Folder {
    dir: tempfile::TempDir,
    pg_port: u16,
    http_port: u16,
    server: Option<Child>,
}

impl Folder {
    fn new() -> Folder {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("target/release")).unwrap();
        std::os::unix::fs::symlink(binary(), dir.path().join("target/release/heliosdb")).unwrap();
        Folder { dir, pg_port: free_port(), http_port: free_port(), server: None }
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("sh");
        let path = std::env::var("PATH").unwrap_or_default();
        let release = self.dir.path().join("target/release");
        command.args(["-ec", line]).current_dir(self.dir.path());
        command.env("PATH", format!("{}:{path}", release.display())).env("PGPORT", self.pg_port.to_string());
        command.env("HELIOSDB_PG_PORT", self.pg_port.to_string());
        command.env("HELIOSDB_HTTP_PORT", self.http_port.to_string()).env("HELIOSDB_MEMORY", "512MB");
        command.env_remove("PGPASSWORD").env("PGCONNECT_TIMEOUT", "20");
        command
    }

    /// Runs a line in the background until its server answers.
    fn start(&mut self, line: &str) {
        let mut command = self.command(&format!("exec {line}"));
        self.server = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.psql("SELECT 1").status.success() {
            let ended = self.server.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "{line}: {ended:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ctrl-C.
    #[allow(unsafe_code, reason = "kill(2) has no safe wrapper in std")]
    fn stop(&mut self) {
        let mut server = self.server.take().unwrap();
        // SAFETY: our own child, not reaped yet.
        unsafe { libc::kill(server.id() as i32, libc::SIGINT) };
        assert!(server.wait().unwrap().success());
    }

    fn run(&self, line: &str, input: &str) -> Output {
        use std::io::Write;
        let mut command = self.command(line);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    fn psql(&self, sql: &str) -> Output {
        self.run("PGPASSWORD='choose one' psql -h 127.0.0.1 -U postgres -At -v ON_ERROR_STOP=1", sql)
    }

    /// What psql prints, which must not fail.
    fn value(&self, sql: &str) -> String {
        fine(self.psql(sql), sql).trim_end().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

fn fine(output: Output, line: &str) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && !err.contains("ERROR"), "{line}\n{out}{err}");
    out.into_owned()
}

/// Blocks in order: `sh` lines are run, of them a `start` in the background; `sql` is typed into psql. What was printed.
fn follow(folder: &mut Folder, document: &str) -> String {
    let mut printed = String::new();
    for (language, block) in blocks(document) {
        match language.as_str() {
            "sh" => {
                for line in commands(&block) {
                    match line.as_str() {
                        "cargo build --release" | "psql -h 127.0.0.1 -U postgres" => {}
                        // The developer's commands have tests of their own.
                        "cargo xtask check" | "cargo xtask test" => {}
                        "cargo run --release -- start" => folder.start("target/release/heliosdb start"),
                        line if line.contains("heliosdb start") => {
                            // "Then stop it", says the page in words.
                            if folder.server.is_some() {
                                folder.stop();
                            }
                            folder.start(line);
                        }
                        // The page's host is this machine, which has the password by now.
                        line if line.contains("host=db.example.com") => {
                            let here = format!("PGHOSTADDR=127.0.0.1 PGPASSWORD='choose one' {line} -c 'SELECT 1'");
                            printed.push_str(&fine(folder.run(&here, ""), line));
                        }
                        line => printed.push_str(&fine(folder.run(line, ""), line)),
                    }
                }
            }
            "sql" => {
                // What a newcomer types at psql's prompt; the settings are for a pipe to be as strict as a reader.
                printed.push_str(&fine(folder.run("psql -h 127.0.0.1 -U postgres -v ON_ERROR_STOP=1", &block), &block));
            }
            "text" | "toml" => {}
            other => panic!("{document} has a block in {other:?}"),
        }
    }
    printed
}

#[test]
fn getting_started_can_be_followed() {
    let mut folder = Folder::new();
    let printed = follow(&mut folder, "docs/getting-started.md");
    assert!(printed.contains("CREATE TABLE") && printed.contains("INSERT 0 100000"), "{printed}");
    assert!(printed.contains("UPDATE 1") && printed.contains("COPY 2"), "{printed}");
    assert_eq!(folder.value("SELECT count(*) FROM reading"), "100002");
    assert!(printed.contains("2 rows into cities"), "{printed}");
    assert_eq!(folder.value("SELECT pg_typeof(founded), sum(area_km2) FROM cities GROUP BY 1"), "date|1739.1");
    assert!(printed.contains("COPY 100002") && printed.contains("Row Groups: 0 to read, 1 skipped"), "{printed}");
    assert_eq!(
        folder.value("SELECT max(celsius) > 29.5, count(*) > 0 FROM warm JOIN reading USING (sensor, at)"),
        "t|t"
    );
    assert!(Path::new(&folder.dir.path().join("heliosdb-data")).is_dir(), "the data is where the page says");
    // The page's last step: the password is set, the server may listen to others, and asks.
    folder.stop();
    folder.start("target/release/heliosdb start --listen 0.0.0.0");
    let refused = folder.run("psql -w -h 127.0.0.1 -U postgres -c 'SELECT 1'", "");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("password"), "{refused:?}");
    folder.stop();
}

#[test]
fn the_readme_can_be_followed() {
    let mut folder = Folder::new();
    let printed = follow(&mut folder, "README.md");
    assert!(printed.contains("COMMIT") && printed.contains("QUERY PLAN"), "{printed}");
    assert_eq!(folder.value("SELECT id, balance FROM account ORDER BY id"), "1|70.00\n2|80.00");
}

/// What operations.md says of copies, with a second server to read the dump.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_as_operations_says_is_read_back() {
    let mut folder = Folder::new();
    folder.start("heliosdb start");
    let sql = "CREATE TABLE t (id int PRIMARY KEY, v text UNIQUE, n numeric(9,2) DEFAULT 1.5 CHECK (n > 0));\n\
               CREATE VIEW w AS SELECT v FROM t WHERE id > 1;\n\
               INSERT INTO t VALUES (1, 'a'), (2, E'tab\\tand \\\\ and ''quotes'''), (3, NULL);";
    folder.value(sql);
    let dump = blocks("docs/operations.md").into_iter().map(|(_, block)| block);
    let dump =
        dump.flat_map(|block| commands(&block)).find(|line| line.starts_with("pg_dump")).expect("the page dumps");
    fine(folder.run(&dump, ""), &dump);
    let mut other = Folder::new();
    other.start("heliosdb start");
    let text = std::fs::read_to_string(folder.dir.path().join("dump.sql")).unwrap();
    fine(other.run("psql -q -h 127.0.0.1 -U postgres -v ON_ERROR_STOP=1", &text), "the dump");
    let question = "SELECT t.*, w.v FROM t LEFT JOIN w USING (v) ORDER BY id";
    assert_eq!(other.value(question), folder.value(question));
    assert!(
        connect(other.pg_port).await.unwrap().simple_query("INSERT INTO t VALUES (4, 'a')").await.is_err(),
        "UNIQUE"
    );
}

/// An authority and a certificate it signed for the page's host, in the names the page uses.
fn certificates(folder: &Folder) {
    for line in [
        "openssl req -x509 -days 30 -subj /CN=authority -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
         -keyout ca.key -out ca.crt",
        "openssl req -subj /CN=db -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout server.key -out server.csr",
        "echo 'subjectAltName=DNS:db.example.com' > ext",
        "openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt -days 30 -extfile ext",
    ] {
        let output = folder.run(line, "");
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_configuration_page_can_be_followed() {
    let mut folder = Folder::new();
    certificates(&folder);
    let printed = follow(&mut folder, "docs/configuration.md");
    assert!(printed.contains("ALTER ROLE") && printed.contains("(1 row)"), "{printed}");
    for path in words_in("docs/configuration.md", "| `/") {
        let answer = folder.run(&format!("curl -sf http://127.0.0.1:{}/{path}", folder.http_port), "");
        assert!(answer.status.success(), "/{path}");
    }
    folder.stop();
    // The file it shows is one, and its values are in force.
    let toml = blocks("docs/configuration.md").into_iter().find(|(language, _)| language == "toml").unwrap().1;
    std::fs::write(folder.dir.path().join("heliosdb.toml"), &toml).unwrap();
    let settings =
        fine(folder.run("env -u HELIOSDB_MEMORY heliosdb config print --config heliosdb.toml", ""), "config print");
    for line in toml.lines().filter(|line| !line.starts_with('#')) {
        // Sizes are printed in bytes.
        let line = line.replace("24GB", &(24_u64 << 30).to_string());
        let found = settings.lines().find(|printed| printed.starts_with(&line));
        assert!(found.is_some_and(|found| found.ends_with("# file")), "{line}\n{settings}");
    }
    // Variables for tests, and one nobody knows.
    for (variable, value) in [("HELIOSDB_STORAGE_MEMTABLE_BYTES", "1048576"), ("HELIOSDB_FAILPOINTS", "name=sleep(20)")]
    {
        assert!(std::fs::read_to_string(root().join("docs/configuration.md")).unwrap().contains(variable));
        folder.start(&format!("env {variable}='{value}' heliosdb start"));
        folder.stop();
    }
}

/// What stands between a mark and the next backtick, everywhere in a document.
fn words_in(document: &str, mark: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(document)).unwrap();
    let found: Vec<String> =
        text.split(mark).skip(1).filter_map(|rest| Some(rest.split('`').next()?.to_owned())).collect();
    assert!(!found.is_empty(), "{document} has {mark}");
    found
}

#[test]
fn the_operations_page_can_be_followed() {
    let page = "docs/operations.md";
    let mut folder = Folder::new();
    folder.start("heliosdb start");
    folder.value(
        "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 1000); CHECKPOINT; VACUUM",
    );
    let printed = follow(&mut folder, page);
    assert!(printed.contains("total_exec_time") || printed.contains("calls"), "{printed}");
    // What it calls metrics, files, functions and settings are that.
    let metrics = fine(folder.run(&format!("curl -sf http://127.0.0.1:{}/metrics", folder.http_port), ""), "metrics");
    for metric in words_in(page, "`heliosdb_") {
        assert!(metrics.contains(&format!("\nheliosdb_{metric} ")), "heliosdb_{metric}");
    }
    let data = folder.dir.path().join("heliosdb-data");
    for file in ["LOCK", "shard-0/CURRENT", "shard-0/manifest", "shard-0/segments", "shard-0/wal", "tmp"] {
        let last = file.trim_start_matches("shard-0/");
        let text = std::fs::read_to_string(root().join(page)).unwrap();
        assert!(text.contains(last) && data.join(file).exists(), "{file}");
    }
    for setting in
        ["log_min_duration_statement = '250ms'", "log_statement = 'mod'", "log_min_error_statement = 'error'"]
    {
        assert!(words_in(page, "| `").contains(&setting.to_owned()), "{setting}");
        folder
            .value(&format!("ALTER ROLE postgres SET {setting}; ALTER DATABASE postgres SET {setting}; SET {setting}"));
    }
    assert_eq!(folder.value("SELECT pg_stat_statements_reset()"), "");
    let settings = fine(folder.run("heliosdb config print", ""), "config print");
    let limits = std::fs::read_to_string(root().join(page)).unwrap();
    let limits = limits.split("\n## Limits").nth(1).unwrap().to_owned();
    for name in limits.split('`').skip(1).step_by(2).filter(|name| name.contains('_') && !name.contains(' ')) {
        assert!(settings.contains(&format!("\n{name} = ")), "{name}\n{settings}");
    }
}
