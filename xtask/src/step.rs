//! Running commands, with their names and times.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

pub type Done = Result<(), String>;

/// The workspace root, from the environment cargo runs us in: a target folder shared by clones may hold an xtask built elsewhere.
pub fn root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&manifest).parent().expect("xtask is in the root").to_owned()
}

/// Where cargo puts what it builds.
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The server binary of a profile's folder (`debug`, `release`, `dist`, `quick`).
pub fn server_binary(profile: &str) -> PathBuf {
    target_dir().join(profile).join(format!("heliosdb{}", std::env::consts::EXE_SUFFIX))
}

pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs a command, printing it first and its time after.
pub fn run(command: &mut Command) -> Done {
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| Path::new(word).file_name().filter(|_| word == command.get_program()).unwrap_or(word))
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let line = words.join(" ");
    println!("\n$ {line}");
    let began = Instant::now();
    let status = command.status().map_err(|error| format!("{line}: {error}"))?;
    println!("[{:.1} s] {line}", began.elapsed().as_secs_f64());
    if status.success() { Ok(()) } else { Err(format!("`{line}` ended with {status}")) }
}

/// Runs `cargo <arguments>`.
pub fn run_cargo(arguments: &[&str]) -> Done {
    run(cargo().args(arguments))
}

/// What a command prints; `None` if it cannot run or fails.
pub fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).current_dir(root()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
