//! Starts that must not succeed: each with its exit code and a message that helps.

use std::process::Command;

use crate::process::{Process, heliosdb, run};

/// Fails with `code`, and the message has every one of `words`.
fn refuses(command: &mut Command, code: i32, words: &[&str]) {
    let output = run(command);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "\"{word}\" is not in: {said}");
    }
}

#[test]
fn a_data_directory_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let _server = Process::start(dir.path(), &[]);
    let mut second = heliosdb();
    second.arg("start").arg("--data-dir").arg(dir.path()).args(["--pg-port", "0", "--http-port", "0"]);
    refuses(&mut second, 3, &["another process", "--data-dir"]);
}

#[test]
fn a_port_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::start(&dir.path().join("a"), &[]);
    for (flag, other, taken) in
        [("--pg-port", "--http-port", server.pg_port), ("--http-port", "--pg-port", server.http_port)]
    {
        let mut second = heliosdb();
        second.arg("start").arg("--data-dir").arg(dir.path().join("b"));
        second.args([flag, &taken.to_string(), other, "0"]);
        refuses(&mut second, 4, &[&taken.to_string(), "another server", flag]);
    }
}

#[test]
fn a_public_address_without_a_password() {
    let dir = tempfile::tempdir().unwrap();
    let public = || {
        let mut command = heliosdb();
        command.arg("start").arg("--data-dir").arg(dir.path());
        command.args(["--listen", "0.0.0.0", "--pg-port", "0", "--http-port", "0"]);
        command
    };
    refuses(&mut public(), 6, &["no password", "ALTER ROLE postgres PASSWORD"]);
    let mut server = Process::start(dir.path(), &[]);
    server.sql("", "ALTER ROLE postgres PASSWORD 'sesame'").unwrap();
    assert_eq!(server.stop(), 0);
    let server = Process::spawn(&mut public());
    server.sql("password=sesame", "SHOW server_version").unwrap();
}

#[test]
fn wrong_settings() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("wrong.toml");
    std::fs::write(&file, "pg_prt = 1\n").unwrap();
    let start = |args: &[&str]| {
        let mut command = heliosdb();
        command.arg("start").arg("--data-dir").arg(dir.path().join("data")).args(args);
        command
    };
    refuses(&mut start(&["--memory", "lots"]), 2, &["lots", "512MB"]);
    refuses(&mut start(&["--listen", "here"]), 2, &["here", "127.0.0.1"]);
    refuses(&mut start(&["--pg-port", "70000"]), 2, &["70000"]);
    refuses(&mut start(&["--log", "a=b=c"]), 2, &["log filter"]);
    refuses(&mut start(&["--config", file.to_str().unwrap()]), 2, &["pg_prt"]);
    refuses(&mut start(&["--config", "/nowhere/x.toml"]), 2, &["/nowhere/x.toml"]);
    refuses(start(&[]).env("HELIOSDB_MEMORY", "1MB"), 2, &["128.0 MB"]);
    refuses(&mut start(&["--nonsense"]), 2, &["--nonsense"]);
    assert!(!dir.path().join("data").exists(), "nothing was made");
}

#[test]
fn a_data_directory_that_is_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, b"x").unwrap();
    refuses(heliosdb().arg("start").arg("--data-dir").arg(&file), 7, &["could not create directory"]);
}

#[test]
fn somebody_elses_directory_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let start = || {
        let mut command = heliosdb();
        command.arg("start").arg("--data-dir").arg(dir.path()).args(["--pg-port", "0", "--http-port", "0"]);
        command
    };
    let names = || {
        let mut names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    std::fs::write(dir.path().join("PG_VERSION"), "15\n").unwrap();
    refuses(&mut start(), 7, &["not a HeliosDB data directory", "PostgreSQL", "--data-dir"]);
    std::fs::rename(dir.path().join("PG_VERSION"), dir.path().join("thesis.doc")).unwrap();
    refuses(&mut start(), 7, &["not a HeliosDB data directory", "thesis.doc"]);
    assert_eq!(names(), ["thesis.doc"], "nothing was made");
    std::fs::remove_file(dir.path().join("thesis.doc")).unwrap();
    std::fs::write(dir.path().join("HELIOSDB"), "heliosdb data 99\n").unwrap();
    refuses(&mut start(), 7, &["newer HeliosDB", "format 99"]);
    assert_eq!(names(), ["HELIOSDB"]);
    std::fs::write(dir.path().join("HELIOSDB"), "heliosdb dta 1\n").unwrap();
    refuses(&mut start(), 5, &["HELIOSDB", "damaged"]);
    std::fs::remove_file(dir.path().join("HELIOSDB")).unwrap();
    let mut server = Process::spawn(&mut start());
    assert_eq!(server.stop(), 0);
    assert_eq!(std::fs::read_to_string(dir.path().join("HELIOSDB")).unwrap(), "heliosdb data 1\n");
}

#[test]
fn a_data_directory_without_permission_or_that_cannot_be_written() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    // Root may do everything; nobody may not.
    let root = std::process::Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let start = |data: &std::path::Path| {
        let program = heliosdb().get_program().to_owned();
        let mut command = match root {
            true => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
                command
            }
            false => Command::new(program),
        };
        command.arg("start").arg("--data-dir").arg(data).args(["--pg-port", "0", "--http-port", "0"]);
        command
    };
    // The program itself must be within reach of nobody.
    let reachable = matches!(run(start(dir.path()).arg("--nonsense")).status.code(), Some(2));
    if reachable {
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o500)).unwrap();
        refuses(&mut start(&data), 7, &["Permission denied", "chown"]);
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o000)).unwrap();
        refuses(&mut start(&data), 7, &["Permission denied", "chown"]);
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o700)).unwrap();
    }
    if std::path::Path::new("/proc/sys").is_dir() {
        refuses(&mut start(std::path::Path::new("/proc/sys/heliosdb")), 7, &["/proc/sys/heliosdb"]);
    }
}

#[test]
fn few_file_descriptors_refuse_some_and_recover() {
    let dir = tempfile::tempdir().unwrap();
    let program = heliosdb().get_program().to_owned();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""]).arg(program);
    command.arg("start").arg("--data-dir").arg(dir.path()).args(["--pg-port", "0", "--http-port", "0"]);
    let mut server = Process::spawn(&mut command);
    let sockets: Vec<_> =
        (0..80).map(|_| std::net::TcpStream::connect(("127.0.0.1", server.pg_port)).unwrap()).collect();
    std::thread::sleep(std::time::Duration::from_millis(300));
    drop(sockets);
    server.sql("", "CREATE TABLE t (id int)").unwrap();
    assert_eq!(server.stop(), 0);
}

#[test]
fn damaged_data() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Process::start(dir.path(), &[]);
    assert_eq!(server.stop(), 0);
    let current = dir.path().join("shard-0/CURRENT");
    let mut bytes = std::fs::read(&current).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    std::fs::write(&current, bytes).unwrap();
    refuses(
        heliosdb().arg("start").arg("--data-dir").arg(dir.path()).args(["--pg-port", "0", "--http-port", "0"]),
        5,
        &["CURRENT"],
    );
}

#[test]
fn help_and_version_are_no_errors() {
    for arg in ["--help", "--version"] {
        let output = run(heliosdb().arg(arg));
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&output.stdout).contains("heliosdb"));
    }
    let help = run(heliosdb().args(["start", "--help"]));
    let text = String::from_utf8_lossy(&help.stdout).into_owned();
    for word in ["--data-dir", "HELIOSDB_DATA_DIR", "Examples:", "Exit codes", "[default: 5432]"] {
        assert!(text.contains(word), "{word}");
    }
}
