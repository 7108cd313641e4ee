//! The page and the rates of a run.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use super::files::FileRate;
use super::listed::LISTED;
use super::random::{AreaTally, KEPT_STATEMENTS, Tally};
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

/// Rates by name: files, and areas of the first random statements.
fn all_rates(rates: &[FileRate], tally: &Tally) -> Vec<(String, usize)> {
    let files = rates.iter().map(|rate| (rate.name.clone(), rate.per_mille()));
    let areas =
        tally.kept.iter().map(|(area, tally)| (format!("random/{}", area.replace(' ', "_")), tally.per_mille()));
    files.chain(areas).collect()
}

/// Known differences among the first random statements: what the rates file allows, which only shrinks.
fn known() -> (usize, usize) {
    let kept = std::fs::read_to_string(rates_file()).unwrap_or_default();
    let of = |name: &str| {
        kept.lines()
            .filter_map(|line| line.split_once(' '))
            .find(|(found, _)| *found == name)
            .and_then(|(_, n)| n.parse().ok())
    };
    (of(SILENT).unwrap_or(0), of(LOUD).unwrap_or(0))
}

const SILENT: &str = "silent_differences";
const LOUD: &str = "loud_differences";

/// What to say if a run of the first statements has more differences than are known.
pub fn more_than_known(total: &AreaTally) -> Option<String> {
    let (silent, loud) = known();
    let more = total.silent > silent as u64 || total.errors > loud as u64;
    more.then(|| {
        format!(
            "{} silent differences ({silent} known) and {} loud ones ({loud} known); repeat one with --files none --random 1 --seed N",
            total.silent, total.errors
        )
    })
}

/// What is below the rates kept.
pub fn fallen(rates: &[FileRate], tally: &Tally) -> Vec<String> {
    let kept = std::fs::read_to_string(rates_file()).unwrap_or_default();
    let kept: BTreeMap<&str, usize> = kept
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(name, n)| Some((name, n.parse().ok()?)))
        .collect();
    let all = all_rates(rates, tally).into_iter();
    let below = all.filter(|(name, rate)| kept.get(name.as_str()).is_some_and(|least| rate < least));
    below.map(|(name, rate)| format!("{name} to {rate} per mille")).collect()
}

/// Writes `docs/postgres-compatibility.md` and the rates to hold.
pub fn write(rates: &[FileRate], tally: &Tally, seed: u64, version: &str) -> Result<(), String> {
    let mut page = format!(
        "# Compatibility with PostgreSQL\n\nWritten by `cargo xtask compat --write`: every statement of `crates/testkit/golden` on HeliosDB and on\n\
         PostgreSQL {version}, comparing column names, type OIDs, rows, command tags and SQLSTATEs, and random statements over the\n\
         supported surface (`crates/testkit/src/compat/generate`), each made small where it differs. Rows count as sets where the\n\
         statement gives no order; floats may differ in their last digits. What differs on purpose: [differences.md](differences.md).\n\n\
         ## Files\n\n| file | statements | same | refused (0A000) | different |\n|---|---|---|---|---|\n"
    );
    for rate in rates {
        let (refused, different) = (rate.refused.len(), rate.different.len());
        let _ = writeln!(page, "| {} | {} | {} | {refused} | {different} |", rate.name, rate.statements, rate.same);
    }
    let sum = |of: fn(&FileRate) -> usize| rates.iter().map(of).sum::<usize>();
    let _ = writeln!(
        page,
        "| **all** | {} | {} | {} | {} |",
        sum(|r| r.statements),
        sum(|r| r.same),
        sum(|r| r.refused.len()),
        sum(|r| r.different.len()),
    );
    list(&mut page, "Refused", rates.iter().flat_map(|rate| rate.refused.iter().map(|sql| (sql.as_str(), ""))));
    list(
        &mut page,
        "Different",
        rates.iter().flat_map(|rate| rate.different.iter().map(|(sql, said)| (sql.as_str(), said.as_str()))),
    );
    random(&mut page, tally, seed);
    std::fs::write(root().join("docs/postgres-compatibility.md"), page).map_err(|error| error.to_string())?;
    let mut kept: String = all_rates(rates, tally).iter().map(|(name, rate)| format!("{name} {rate}\n")).collect();
    let first = tally.kept.values();
    let (silent, loud) = first.fold((0, 0), |(silent, loud), area| (silent + area.silent, loud + area.errors));
    let _ = write!(kept, "{SILENT} {silent}\n{LOUD} {loud}\n");
    std::fs::create_dir_all(root().join("crates/testkit/compat")).map_err(|error| error.to_string())?;
    std::fs::write(rates_file(), kept).map_err(|error| error.to_string())
}

fn random(page: &mut String, tally: &Tally, seed: u64) {
    let total = tally.total();
    let last = (seed + total.statements).saturating_sub(1);
    let _ = writeln!(
        page,
        "\n## Random statements\n\n{} statements, seeds {seed} to {last}; \"loud\" is an error of ours that PostgreSQL does not raise, \
         \"silent\" another\nanswer or an internal error. CI runs the first {KEPT_STATEMENTS} and allows no more of either than there are now.\n\n\
         | area | statements | same | as documented | refused (0A000) | loud | silent |\n|---|---|---|---|---|---|---|",
        total.statements
    );
    let areas = tally.areas.iter().map(|(name, tally)| (*name, *tally));
    for (name, tally) in areas.chain([("**all**", total)]) {
        let AreaTally { statements, same, refused, listed, errors, silent } = tally;
        let _ = writeln!(page, "| {name} | {statements} | {same} | {listed} | {refused} | {errors} | {silent} |");
    }
    let _ = writeln!(page, "\n### As documented\n");
    for listed in LISTED {
        let times = tally.listed.get(listed.name).copied().unwrap_or_default();
        let _ = writeln!(page, "- {} ({times} times): {}", listed.name, listed.why);
    }
    if !tally.refused.is_empty() {
        let _ = writeln!(page, "\n### Refused among the random ones\n");
        for (message, times) in &tally.refused {
            let _ = writeln!(page, "- {} ({times} times)", one_line(message));
        }
    }
    let different = tally.silent.iter().chain(&tally.errors);
    list(page, "Different among the random ones, shrunk", different.map(|(sql, d)| (sql.as_str(), d.said.as_str())));
}

fn list<'a>(page: &mut String, title: &str, items: impl Iterator<Item = (&'a str, &'a str)>) {
    let mut items = items.peekable();
    if items.peek().is_none() {
        return;
    }
    let _ = writeln!(page, "\n### {title}\n");
    for (sql, said) in items {
        let dash = if said.is_empty() { "" } else { ": " };
        let _ = writeln!(page, "- `{}`{dash}{}", one_line(sql).replace('`', "'"), one_line(said));
    }
}

fn one_line(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.chars().count() <= 240 { words } else { words.chars().take(239).chain(['…']).collect() }
}
