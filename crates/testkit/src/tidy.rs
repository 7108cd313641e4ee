//! Checks of the source tree itself: which crate may use which, how long files may be, whether documents name real things.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Crate -> crates of ours it may depend on, dev-dependencies included. `ARCHITECTURE.md` explains the arrows.
const ARROWS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("runtime", &["types"]),
    ("contracts", &["types"]),
    ("hcc", &["types"]),
    ("wal", &["types", "runtime"]),
    ("storage", &["types", "contracts", "hcc", "wal", "runtime"]),
    ("txn", &["types", "contracts", "runtime"]),
    ("files", &["types", "contracts", "runtime"]),
    ("query", &["types", "contracts", "runtime", "files"]),
    ("gateway", &["types", "contracts", "runtime"]),
    ("client", &["types", "runtime", "files"]),
    (
        "server",
        &["types", "runtime", "contracts", "hcc", "wal", "storage", "txn", "files", "query", "gateway", "client"],
    ),
    (
        "testkit",
        &[
            "types",
            "runtime",
            "contracts",
            "hcc",
            "wal",
            "storage",
            "txn",
            "files",
            "query",
            "gateway",
            "client",
            "server",
        ],
    ),
    ("xtask", &[]),
    ("same-features", &[]),
];

/// Only this crate may name DataFusion.
const DATAFUSION_USER: &str = "query";

/// Files over [`MAX_LINES`] today, with their length then. The list only shrinks, and so do the numbers.
const LONG_FILES: &[(&str, usize)] = &[];

/// Non-test lines a source file may have.
const MAX_LINES: usize = 1_000;

/// The workspace root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("crates/testkit is two below the root").to_owned()
}

/// Dependencies between crates that no arrow allows, and crates without arrows.
pub fn arrow_violations() -> Vec<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let mut found = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = short_name(&package["name"]);
        let Some(allowed) = arrows.get(name.as_str()) else {
            found.push(format!("crate {name} has no entry in ARROWS"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let target = dependency["name"].as_str().unwrap_or_default();
            if target.starts_with("datafusion") && name != DATAFUSION_USER {
                found.push(format!("{name} -> {target}: only {DATAFUSION_USER} may name DataFusion"));
            }
            if target.starts_with("heliosdb-") && !allowed.contains(&short_name(&dependency["name"]).as_str()) {
                found.push(format!("{name} -> {target} is not an arrow of ARCHITECTURE.md"));
            }
        }
    }
    found
}

fn short_name(name: &Value) -> String {
    name.as_str().unwrap_or_default().trim_start_matches("heliosdb-").to_owned()
}

/// Source files longer than the ratchet allows, and entries of the list that have become needless.
pub fn long_files() -> Vec<String> {
    let allowed: BTreeMap<&str, usize> = LONG_FILES.iter().copied().collect();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for path in rust_files() {
        let name = path.strip_prefix(root()).expect("below the root").to_string_lossy().replace('\\', "/");
        let lines = non_test_lines(&std::fs::read_to_string(&path).expect("a source file is readable UTF-8"));
        let limit = allowed.get(name.as_str()).copied().unwrap_or(MAX_LINES);
        if lines > limit {
            found.push(format!("{name} has {lines} non-test lines, the limit is {limit}: split it by idea"));
        }
        if allowed.contains_key(name.as_str()) {
            seen.insert(name.clone());
            if lines <= MAX_LINES {
                found.push(format!("{name} is short enough now: remove it from LONG_FILES"));
            }
        }
    }
    found.extend(
        allowed.keys().filter(|name| !seen.contains(**name)).map(|name| format!("{name} in LONG_FILES is gone")),
    );
    found
}

/// Lines before the first `#[cfg(test)]` module; a file of tests counts as none.
fn non_test_lines(text: &str) -> usize {
    text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count()
}

fn rust_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root().join("crates"), root().join("xtask")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a source folder is readable").flatten() {
            let path = entry.path();
            let test = path.file_name().is_some_and(|n| n == "tests")
                || path.to_string_lossy().ends_with("_test.rs")
                || path.file_name().is_some_and(|n| n == "tests.rs" || n == "target");
            if path.is_dir() && !test {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") && !test {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Folders of `fuzz/corpus` that no target replays, and targets that `cargo xtask fuzz` does not know.
pub fn forgotten_fuzzing() -> Vec<String> {
    let mut sources = String::new();
    let mut folders = vec![root().join("crates")];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(&folder).expect("a source folder is readable").flatten().map(|e| e.path()) {
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                sources.push_str(&std::fs::read_to_string(&path).expect("a source file is readable UTF-8"));
            }
        }
    }
    let verbs = std::fs::read_to_string(root().join("xtask/src/verbs.rs")).expect("xtask is there");
    let entries = std::fs::read_dir(root().join("fuzz/corpus")).expect("the corpus is there").flatten();
    let kept = entries.filter(|entry| entry.path().is_dir()).map(|e| e.file_name().to_string_lossy().into_owned());
    let orphans = kept
        .filter(|name| {
            !sources.contains(&format!("fn fuzz_{name}()")) || !sources.contains(&format!("fuzz(\"{name}\","))
        })
        .map(|name| format!("fuzz/corpus/{name} is replayed by no target"));
    let targets = sources.lines().filter_map(|line| line.trim().strip_prefix("fn fuzz_")?.strip_suffix("() {"));
    let unknown =
        targets.filter(|name| !verbs.contains(&format!("\"{name}\""))).map(|name| format!("xtask fuzz lacks {name}"));
    orphans.chain(unknown).collect()
}

/// `file.rs::symbol` names in `docs/paths/*.md` that do not exist, and paths over 60 lines.
pub fn stale_paths() -> Vec<String> {
    let mut found = Vec::new();
    let folder = root().join("docs/paths");
    for entry in std::fs::read_dir(&folder).expect("docs/paths exists").flatten() {
        let text = std::fs::read_to_string(entry.path()).expect("a document is readable UTF-8");
        let page = entry.file_name().to_string_lossy().into_owned();
        if text.lines().count() > 60 {
            found.push(format!("docs/paths/{page} is over 60 lines"));
        }
        let names = text.split('`').skip(1).step_by(2).filter(|name| name.contains(".rs"));
        found
            .extend(names.filter_map(|name| stale_name(name).map(|why| format!("docs/paths/{page}: `{name}`: {why}"))));
    }
    found
}

/// Why `crates/x/src/file.rs::Type::function` is stale; `None` if it is not.
fn stale_name(name: &str) -> Option<String> {
    let (file, symbols) = name.split_once("::").unwrap_or((name, ""));
    let text = match std::fs::read_to_string(root().join(file)) {
        Ok(text) => text,
        Err(_) => return Some("no such file".to_owned()),
    };
    symbols.split("::").filter(|symbol| !symbol.is_empty()).find_map(|symbol| {
        let defined = ["fn ", "struct ", "enum ", "trait ", "const ", "static ", "type ", "mod ", "impl "].iter().any(
            |keyword| {
                text.match_indices(&format!("{keyword}{symbol}")).any(|(at, hit)| ends_name(&text, at + hit.len()))
            },
        );
        (!defined).then(|| format!("no `{symbol}` in it"))
    })
}

fn ends_name(text: &str, at: usize) -> bool {
    !text[at..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
}
