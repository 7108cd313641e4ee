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
