//! Golden transcripts: `golden/<feature>/<name>.sql` is run statement by statement, what the server says is compared with
//! `<name>.out` beside it. PostgreSQL wrote the `.out` files (`HELIOSDB_GOLDEN_REWRITE=1`), so they say what is right.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use tokio_postgres::{Client, SimpleQueryMessage};

use crate::tidy::root;

/// The folder of the scripts.
pub fn folder() -> PathBuf {
    root().join("crates/testkit/golden")
}

/// The scripts whose `<feature>/<name>` contains `filter`, sorted.
pub fn scripts(filter: &str) -> Vec<PathBuf> {
    files("sql", filter)
}

/// Files below the golden folder with an ending, whose `<feature>/<name>` contains `filter`, sorted.
pub fn files(ending: &str, filter: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).expect("the golden folder is readable").flatten();
        for path in entries.map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == ending) && name(&path).contains(filter) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A file's `<feature>/<name>`, without its ending.
pub fn name(path: &Path) -> String {
    path.strip_prefix(folder()).unwrap_or(path).with_extension("").to_string_lossy().into_owned()
}

/// Statements of a script: each ends at a line that ends with a semicolon. Lines of `--` comments between are dropped.
pub fn statements(script: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut current = String::new();
    for line in script.lines() {
        if current.is_empty() && (line.trim().is_empty() || line.trim_start().starts_with("--")) {
            continue;
        }
        current.push_str(line);
        current.push('\n');
        if line.trim_end().ends_with(';') {
            all.push(std::mem::take(&mut current).trim_end().to_owned());
        }
    }
    assert!(current.trim().is_empty(), "the last statement has no semicolon: {current}");
    all
}

/// Runs a script in a schema of its own and writes down everything the server says.
pub async fn transcript(client: &Client, path: &Path) -> String {
    let script = std::fs::read_to_string(path).expect("a script is readable UTF-8");
    let mut out = String::new();
    for statement in statements(&script) {
        let _ = writeln!(out, "{statement}");
        match client.simple_query(&statement).await {
            Ok(messages) => write_messages(&mut out, messages),
            Err(error) => write_error(&mut out, &error),
        }
        out.push('\n');
    }
    out
}

pub(crate) fn write_messages(out: &mut String, messages: Vec<SimpleQueryMessage>) {
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                let names: Vec<&str> = columns.iter().map(|column| column.name()).collect();
                let _ = writeln!(out, "| {}", names.join(" | "));
            }
            SimpleQueryMessage::Row(row) => {
                let values: Vec<&str> = (0..row.len()).map(|i| row.get(i).unwrap_or("NULL")).collect();
                let _ = writeln!(out, "  {}", values.join(" | "));
            }
            SimpleQueryMessage::CommandComplete(count) => {
                let _ = writeln!(out, "ok {count}");
            }
            _ => {}
        }
    }
}

pub(crate) fn write_error(out: &mut String, error: &tokio_postgres::Error) {
    let Some(db) = error.as_db_error() else {
        let _ = writeln!(out, "LOST CONNECTION: {error}");
        return;
    };
    let _ = writeln!(out, "{} {}: {}", db.severity(), db.code().code(), db.message());
    for (name, value) in [("DETAIL", db.detail()), ("CONSTRAINT", db.constraint()), ("COLUMN", db.column())] {
        if let Some(value) = value {
            let _ = writeln!(out, "{name}: {value}");
        }
    }
    if let Some(tokio_postgres::error::ErrorPosition::Original(position)) = db.position() {
        let _ = writeln!(out, "POSITION: {position}");
    }
}

/// What we knowingly answer otherwise than PostgreSQL: blocks of our transcripts, in `golden/deviations.txt`. The list
/// only shrinks: an entry that no script produces any more fails the test.
pub fn deviations() -> String {
    std::fs::read_to_string(folder().join("deviations.txt")).unwrap_or_default()
}

/// Entries of `deviations` that no transcript contains.
pub fn needless<'a>(deviations: &'a str, transcripts: &[String]) -> Vec<&'a str> {
    let seen = |block: &str| transcripts.iter().any(|transcript| blocks(transcript).contains(&block));
    blocks(deviations).into_iter().filter(|block| !block.starts_with('#') && !seen(block)).collect()
}

/// Where two transcripts differ other than by a known deviation, statement by statement; `None` if they do not.
pub fn difference(actual: &str, expected: &str, deviations: &str) -> Option<String> {
    let (a, b): (Vec<&str>, Vec<&str>) = (blocks(actual), blocks(expected));
    let known = blocks(deviations);
    let wrong: Vec<String> = a
        .iter()
        .zip(&b)
        .filter(|(ours, theirs)| ours != theirs && !known.contains(ours))
        .map(|(ours, theirs)| format!("--- ours\n{ours}\n--- PostgreSQL\n{theirs}\n"))
        .collect();
    match (wrong.is_empty(), a.len() == b.len()) {
        (true, true) => None,
        (true, false) => Some(format!("{} statements, expected {}", a.len(), b.len())),
        (false, _) => Some(format!("{} of {} statements differ\n{}", wrong.len(), a.len(), wrong.join("\n"))),
    }
}

fn blocks(transcript: &str) -> Vec<&str> {
    transcript.split("\n\n").map(str::trim_end).filter(|block| !block.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_a_semicolon_at_the_end_of_a_line() {
        assert_eq!(statements("-- note\nSELECT 1;\n\nSELECT ';x',\n  2;\n"), ["SELECT 1;", "SELECT ';x',\n  2;"]);
    }

    #[test]
    fn scripts_lie_in_the_folder_of_their_feature_and_their_names_are_unique() {
        let all = [files("sql", ""), files("slt", "")].concat();
        let mut stems: Vec<_> = all.iter().map(|path| path.file_stem().unwrap().to_owned()).collect();
        stems.sort();
        let before = stems.len();
        stems.dedup();
        assert_eq!(stems.len(), before, "a script's schema and its rate are called by its name alone");
        for path in &all {
            assert_eq!(name(path).split('/').count(), 2, "{} is not golden/<feature>/<name>", path.display());
        }
        assert!(scripts("types/json").iter().any(|path| path.ends_with("types/json.sql")));
        assert!(scripts("types").len() > 5);
    }

    #[test]
    fn a_difference_names_its_statement() {
        assert_eq!(difference("a\nok\n\nb\nok\n", "a\nok\n\nb\nok\n", ""), None);
        assert!(difference("a\nok\n\nb\nok\n", "a\nok\n\nb\nno\n", "").unwrap().contains("1 of 2"));
        assert_eq!(difference("a\nok\n\nb\nok\n", "a\nok\n\nb\nno\n", "# why\n\nb\nok\n"), None);
        assert_eq!(needless("# why\n\nb\nok\n\nc\n", &["b\nok\n".to_owned()]), ["c"]);
    }
}
