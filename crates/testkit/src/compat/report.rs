//! The page and the rates of a run.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use super::files::FileRate;
use super::random::Tally;
use crate::tidy::root;

fn rates_file() -> PathBuf {
    root().join("crates/testkit/compat/rates.txt")
}

pub fn print_files(rates: &[FileRate]) {
    for rate in rates {
        println!("{:<20} {:>4} of {:>4} as PostgreSQL", rate.name, rate.same, rate.statements);
        for sql in &rate.refused {
            println!("  refused: {}", one_line(sql));
        }
        for (sql, said) in &rate.different {
            println!("  differs: {}\n           {said}", one_line(sql));
        }
    }
}

/// Files whose rate is below the one kept.
pub fn fallen(rates: &[FileRate]) -> Vec<String> {
    let kept = std::fs::read_to_string(rates_file()).unwrap_or_default();
    let kept: BTreeMap<&str, usize> = kept
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(name, n)| Some((name, n.parse().ok()?)))
        .collect();
    let below = |rate: &&FileRate| kept.get(rate.name.as_str()).is_some_and(|least| rate.per_mille() < *least);
    rates.iter().filter(below).map(|rate| format!("{} to {} per mille", rate.name, rate.per_mille())).collect()
}

/// Writes `docs/postgres-compatibility.md` and the rates to hold.
pub fn write(rates: &[FileRate], tally: &Tally, version: &str) -> Result<(), String> {
    let mut page = format!(
        "# Compatibility with PostgreSQL\n\nWritten by `cargo xtask compat --write`: every statement of `crates/testkit/golden` on HeliosDB and on\n\
         PostgreSQL {version}, comparing column names, type OIDs, rows, command tags and SQLSTATEs, and random statements over the\n\
         supported surface (`crates/testkit/src/compat/generate`). What differs on purpose: [differences.md](differences.md).\n\n\
         | file | statements | same | refused (0A000) | different |\n|---|---|---|---|---|\n"
    );
    for rate in rates {
        let (refused, different) = (rate.refused.len(), rate.different.len());
        let _ = writeln!(page, "| {} | {} | {} | {refused} | {different} |", rate.name, rate.statements, rate.same);
    }
    let sum = |of: fn(&FileRate) -> usize| rates.iter().map(of).sum::<usize>();
    let _ = writeln!(
        page,
        "| **all** | {} | {} | {} | {} |\n\n{} random statements: {}.",
        sum(|r| r.statements),
        sum(|r| r.same),
        sum(|r| r.refused.len()),
        sum(|r| r.different.len()),
        tally.statements,
        tally.line()
    );
    list(&mut page, "Refused", rates.iter().flat_map(|rate| rate.refused.iter().map(|sql| (sql.as_str(), ""))));
    list(
        &mut page,
        "Different",
        rates.iter().flat_map(|rate| rate.different.iter().map(|(sql, said)| (sql.as_str(), said.as_str()))),
    );
    let random = tally.silent.iter().chain(&tally.errors);
    list(&mut page, "Different among the random ones, shrunk", random.map(|(sql, d)| (sql.as_str(), d.said.as_str())));
    std::fs::write(root().join("docs/postgres-compatibility.md"), page).map_err(|error| error.to_string())?;
    let kept: String = rates.iter().map(|rate| format!("{} {}\n", rate.name, rate.per_mille())).collect();
    std::fs::create_dir_all(root().join("crates/testkit/compat")).map_err(|error| error.to_string())?;
    std::fs::write(rates_file(), kept).map_err(|error| error.to_string())
}

fn list<'a>(page: &mut String, title: &str, items: impl Iterator<Item = (&'a str, &'a str)>) {
    let mut items = items.peekable();
    if items.peek().is_none() {
        return;
    }
    let _ = writeln!(page, "\n## {title}\n");
    for (sql, said) in items {
        let dash = if said.is_empty() { "" } else { ": " };
        let _ = writeln!(page, "- `{}`{dash}{}", one_line(sql).replace('`', "'"), one_line(said));
    }
}

fn one_line(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.chars().count() <= 240 { words } else { words.chars().take(239).chain(['…']).collect() }
}
