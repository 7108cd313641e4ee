//! The lists of what each public file comes to: `crates/testkit/slt/<corpus>.txt`. A file that is not in its list passes.
//!
//! A line: `path queries passed postgres foreign refused after statements-refused | reasons`, or `path out | why it is not played`.
//! `judged.txt` beside them names records whose answers may differ from both the file's and PostgreSQL's, with the reason.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::judge::{Judged, reasons};
use crate::tidy::root;

/// What a file comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Played {
        queries: usize,
        passed: usize,
        postgres: usize,
        foreign: usize,
        refused: usize,
        after: usize,
        statements_refused: usize,
        reasons: String,
    },
    /// Not played, and why.
    Out(String),
}

impl Outcome {
    pub fn of(judged: &Judged) -> Outcome {
        let all = reasons(&judged.findings);
        let mut told: Vec<String> = all.iter().take(3).map(|(reason, count)| format!("{count} x {reason}")).collect();
        let more: usize = all.iter().skip(3).map(|(_, count)| count).sum();
        if more > 0 {
            told.push(format!("{more} x others"));
        }
        Outcome::Played {
            queries: judged.queries,
            passed: judged.passed,
            postgres: judged.postgres,
            foreign: judged.foreign,
            refused: judged.refused,
            after: judged.after,
            statements_refused: judged.statements_refused,
            reasons: told.join("; "),
        }
    }

    /// Whether there is nothing to list.
    pub fn clean(&self) -> bool {
        matches!(self, Outcome::Played { reasons, .. } if reasons.is_empty())
    }

    fn line(&self, name: &str) -> String {
        match self {
            Outcome::Played { queries, passed, postgres, foreign, refused, after, statements_refused, reasons } => {
                format!(
                    "{name} {queries} {passed} {postgres} {foreign} {refused} {after} {statements_refused} | {reasons}\n"
                )
            }
            Outcome::Out(why) => format!("{name} out | {why}\n"),
        }
    }

    /// How a run is worse than this, which is listed.
    pub fn worse(&self, now: &Outcome) -> Option<String> {
        match (self, now) {
            (Outcome::Out(_), _) => None,
            (Outcome::Played { .. }, Outcome::Out(why)) => Some(format!("is not played any more: {why}")),
            (
                Outcome::Played { passed, postgres, refused, after, statements_refused, .. },
                Outcome::Played { passed: p, postgres: g, refused: r, after: a, statements_refused: s, .. },
            ) => {
                let fell = p + g < passed + postgres || r > refused || a > after || s > statements_refused;
                fell.then(|| format!("{passed}+{postgres} right, {refused} refused, {after} after, {statements_refused} statements refused are listed; now {p}+{g}, {r}, {a}, {s}"))
            }
        }
    }
}

pub fn folder() -> PathBuf {
    root().join("crates/testkit/slt")
}

/// A corpus' list.
pub fn read(corpus: &str) -> Result<BTreeMap<String, Outcome>, String> {
    let path = folder().join(format!("{corpus}.txt"));
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    parse(&text).map_err(|line| format!("{}: {line}", path.display()))
}

fn parse(text: &str) -> Result<BTreeMap<String, Outcome>, String> {
    let mut all = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (head, why) = line.split_once(" | ").ok_or(line)?;
        let words: Vec<&str> = head.split(' ').collect();
        let numbers: Vec<usize> = words.iter().skip(1).filter_map(|word| word.parse().ok()).collect();
        let outcome = match (words.as_slice(), numbers.as_slice()) {
            ([_, "out"], _) => Outcome::Out(why.to_owned()),
            ([_, _, _, _, _, _, _, _], [queries, passed, postgres, foreign, refused, after, statements_refused]) => {
                Outcome::Played {
                    queries: *queries,
                    passed: *passed,
                    postgres: *postgres,
                    foreign: *foreign,
                    refused: *refused,
                    after: *after,
                    statements_refused: *statements_refused,
                    reasons: why.to_owned(),
                }
            }
            _ => return Err(line.to_owned()),
        };
        all.insert(words[0].to_owned(), outcome);
    }
    Ok(all)
}

/// Writes a corpus' list: what was played is new, the rest stays.
pub fn write(corpus: &str, version: &str, now: &BTreeMap<String, Outcome>) -> Result<(), String> {
    let mut all = read(corpus)?;
    for (name, outcome) in now {
        if outcome.clean() {
            all.remove(name);
        } else {
            all.insert(name.clone(), outcome.clone());
        }
    }
    let mut text = format!(
        "# Files of {corpus} ({version}) that do not simply pass; written by cargo xtask slt --write, see docs/sqllogictest.md.\n# path queries passed postgres foreign refused after statements-refused | reasons\n"
    );
    text.extend(all.iter().map(|(name, outcome)| outcome.line(name)));
    std::fs::create_dir_all(folder()).map_err(|error| error.to_string())?;
    std::fs::write(folder().join(format!("{corpus}.txt")), text).map_err(|error| error.to_string())
}

/// Records that were judged by hand: `corpus path:line`, and why another answer is right.
pub fn judged_by_hand() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(folder().join("judged.txt")).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(" | ")).map(|(at, why)| (at.to_owned(), why.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(passed: usize, postgres: usize, refused: usize) -> Outcome {
        let reasons = if postgres + refused == 0 { String::new() } else { "2 x a | b; 1 x c".to_owned() };
        Outcome::Played { queries: 9, passed, postgres, foreign: 0, refused, after: 0, statements_refused: 0, reasons }
    }

    #[test]
    fn lines_are_read_as_they_are_written() {
        let all = [("a/x.test", played(7, 2, 0)), ("a/y.test", Outcome::Out("needs what is no SQL: restart".into()))];
        let text: String = all.iter().map(|(name, outcome)| outcome.line(name)).collect();
        let read = parse(&format!("# comment\n{text}")).unwrap();
        assert_eq!(read.into_iter().collect::<Vec<_>>(), all.map(|(name, outcome)| (name.to_owned(), outcome)));
        assert!(parse("a 1 2 | x\n").is_err());
    }

    #[test]
    fn only_a_worse_outcome_is_one() {
        assert_eq!(played(7, 0, 2).worse(&played(7, 2, 0)), None);
        assert_eq!(played(7, 2, 0).worse(&played(9, 0, 0)), None);
        assert!(played(7, 2, 0).worse(&played(7, 1, 1)).is_some());
        assert!(played(9, 0, 0).worse(&Outcome::Out("x".into())).is_some());
        assert_eq!(Outcome::Out("x".into()).worse(&played(0, 0, 9)), None);
        assert!(played(9, 0, 0).clean() && !played(8, 1, 0).clean());
    }

    #[test]
    fn the_lists_here_can_be_read() {
        for corpus in super::super::CORPORA {
            read(corpus.name).unwrap();
        }
    }
}
