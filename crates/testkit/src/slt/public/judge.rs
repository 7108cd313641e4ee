//! What an answer is worth, with the file's expectation and PostgreSQL's answer beside it. No I/O.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Dialect;
use super::answer::{Answer, matches, same};
use crate::slt::parse::{Record, Want};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As the file says.
    Passed,
    /// Not as the file says, but as PostgreSQL answers it.
    Postgres,
    /// Refused by us and by PostgreSQL: no SQL of ours.
    Foreign,
    /// An error of ours where there should be none.
    Refused,
    /// An answer that is neither the file's nor PostgreSQL's, or one where an error is due.
    Wrong,
    /// Such an answer, but of a table that an earlier refused statement should have made or changed.
    After,
}

/// A record that did not simply pass.
#[derive(Clone, Debug)]
pub struct Finding {
    pub line: usize,
    /// Whether it is a query; statements are counted apart.
    pub query: bool,
    pub verdict: Verdict,
    pub sql: String,
    pub why: String,
    /// A short name of the reason, counted in the list.
    pub reason: String,
}

/// What a file came to: queries are counted, statements only when they do not pass.
#[derive(Clone, Debug, Default)]
pub struct Judged {
    pub queries: usize,
    pub passed: usize,
    pub postgres: usize,
    pub foreign: usize,
    pub refused: usize,
    pub wrong: usize,
    pub after: usize,
    /// Statements that are no queries, and those of them refused.
    pub statements: usize,
    pub statements_refused: usize,
    pub findings: Vec<Finding>,
}

/// Whether an answer is what its file expects, and if not, why.
pub fn expected(record: &Record, answer: &Answer, dialect: Dialect) -> Result<(), String> {
    match (&record.want, answer) {
        (_, Answer::Lost(why)) => Err(format!("the connection broke: {why}")),
        (Want::Error(_), Answer::Refused { .. }) | (Want::Ok | Want::Halt, Answer::Rows(_)) => Ok(()),
        (Want::Error(_), _) => Err("an answer where an error is expected".to_owned()),
        (_, Answer::Refused { code, message }) => Err(format!("{code} {message}")),
        (Want::Rows { types, sort, expected, .. }, Answer::Rows(rows)) => {
            matches(rows, (types, *sort, expected), dialect, ordered(&record.sql))
        }
    }
}

/// Whether a statement says in what order its rows come: ORDER BY of its outermost query, not of one in brackets.
fn ordered(sql: &str) -> bool {
    let (mut depth, mut query, mut order) = (0usize, usize::MAX, usize::MAX);
    let sql = sql.to_ascii_lowercase().replace('(', " ( ").replace(')', " ) ");
    let mut words = sql.split_whitespace().peekable();
    while let Some(word) = words.next() {
        match word {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            "select" | "values" | "table" | "from" => query = query.min(depth),
            "order" if words.peek() == Some(&"by") => order = order.min(depth),
            _ => {}
        }
    }
    order < usize::MAX && order <= query
}

/// Judges a file's records with our answers and, where the file was played on it, PostgreSQL's.
pub fn judge(records: &[&Record], ours: &[Answer], theirs: Option<&[Answer]>, dialect: Dialect) -> Judged {
    let mut judged = Judged::default();
    let mut tainted: HashSet<String> = HashSet::new();
    let mut labels: HashMap<&str, &Answer> = HashMap::new();
    for (at, (record, answer)) in records.iter().zip(ours).enumerate() {
        let query = matches!(record.want, Want::Rows { .. });
        let theirs = theirs.and_then(|all| all.get(at));
        let mut reached = expected(record, answer, dialect);
        if let Want::Rows { label: Some(label), .. } = &record.want
            && dialect == Dialect::Sqlite
            && reached.is_ok()
            && *labels.entry(label).or_insert(answer) != answer
        {
            // Rows in another order are the same answer, where the query is sorted by the format.
            let before = labels.get(label.as_str()).copied().unwrap_or(answer);
            if !same(before, answer, false) {
                reached = Err(format!("not what the query labelled {label} gave before"));
            }
        }
        let touched = mentions(&record.sql, &tainted);
        let verdict = match (&reached, theirs) {
            (Ok(()), _) => Verdict::Passed,
            (Err(_), Some(theirs)) if answer.refused() && theirs.refused() => Verdict::Foreign,
            (Err(_), Some(theirs)) if same(answer, theirs, ordered(&record.sql)) => Verdict::Postgres,
            (Err(_), _) if answer.refused() => Verdict::Refused,
            (Err(_), _) if touched => Verdict::After,
            (Err(_), _) => Verdict::Wrong,
        };
        if answer.refused() && theirs.is_none_or(|theirs| !theirs.refused()) && !query {
            tainted.extend(target(&record.sql));
        } else if touched && !query {
            // What is made out of a table that is not what it should be, is not either.
            tainted.extend(target(&record.sql));
        }
        if query {
            judged.queries += 1;
            match verdict {
                Verdict::Passed => judged.passed += 1,
                Verdict::Postgres => judged.postgres += 1,
                Verdict::Foreign => judged.foreign += 1,
                Verdict::Refused => judged.refused += 1,
                Verdict::Wrong => judged.wrong += 1,
                Verdict::After => judged.after += 1,
            }
        } else {
            judged.statements += 1;
            judged.statements_refused += usize::from(verdict == Verdict::Refused);
            judged.wrong += usize::from(verdict == Verdict::Wrong);
        }
        if let Err(mut why) = reached {
            if let (Verdict::Wrong | Verdict::After, Some(theirs)) = (verdict, theirs) {
                why = format!("{why}\n    PostgreSQL: {}", told(theirs));
            }
            let reason = reason(verdict, answer);
            judged.findings.push(Finding { line: record.line, query, verdict, sql: record.sql.clone(), why, reason });
        }
    }
    judged
}

/// The beginning of an answer.
fn told(answer: &Answer) -> String {
    match answer {
        Answer::Rows(rows) => {
            let row = |row: &Vec<Option<String>>| {
                row.iter().map(|v| v.as_deref().unwrap_or("NULL")).collect::<Vec<_>>().join(" | ")
            };
            format!("{} rows: {}", rows.len(), rows.iter().take(3).map(row).collect::<Vec<_>>().join(" // "))
        }
        Answer::Refused { code, message } => format!("{code} {message}"),
        Answer::Lost(why) => why.clone(),
    }
}

fn reason(verdict: Verdict, answer: &Answer) -> String {
    match (verdict, answer) {
        (Verdict::Foreign, _) => "PostgreSQL refuses it, too".to_owned(),
        (Verdict::Postgres, _) => "PostgreSQL answers as we do".to_owned(),
        (Verdict::After, _) => "of a table that a refused statement should have changed".to_owned(),
        (Verdict::Wrong, _) => "wrong".to_owned(),
        (_, Answer::Refused { code, message }) => format!("{code} {}", without_details(message)),
        (_, Answer::Lost(_)) => "the connection broke".to_owned(),
        (_, Answer::Rows(_)) => String::new(),
    }
}

/// A message without the numbers and long texts that make each of its kind another one.
fn without_details(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let short: String = line.chars().take(90).collect();
    short
        .split_whitespace()
        .map(|word| if word.bytes().any(|b| b.is_ascii_digit()) { "_" } else { word })
        .collect::<Vec<_>>()
        .join(" ")
}

/// The reasons of a file's findings and how often each is one, most frequent first.
pub fn reasons(findings: &[Finding]) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in findings {
        *counts.entry(&finding.reason).or_default() += 1;
    }
    let mut all: Vec<_> = counts.into_iter().map(|(reason, count)| (reason.to_owned(), count)).collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    all
}

fn words(sql: &str) -> impl Iterator<Item = String> + '_ {
    let part = |c: char| !(c.is_alphanumeric() || c == '_');
    sql.split(part).filter(|word| !word.is_empty()).map(str::to_ascii_lowercase)
}

/// The table (view, type, ...) that a statement makes or changes.
fn target(sql: &str) -> Option<String> {
    const BETWEEN: &[&str] = &[
        "or",
        "replace",
        "temp",
        "temporary",
        "unique",
        "if",
        "not",
        "exists",
        "only",
        "materialized",
        "recursive",
        "concurrently",
    ];
    const KINDS: &[&str] =
        &["table", "view", "into", "from", "update", "type", "schema", "sequence", "macro", "function", "index"];
    let mut words = words(sql);
    match words.next()?.as_str() {
        "update" => {}
        "create" | "drop" | "alter" | "insert" | "delete" | "copy" | "truncate" | "merge" | "with" => {
            words.by_ref().find(|word| KINDS.contains(&word.as_str()))?;
        }
        _ => return None,
    }
    words.find(|word| !BETWEEN.contains(&word.as_str()))
}

fn mentions(sql: &str, names: &HashSet<String>) -> bool {
    !names.is_empty() && words(sql).any(|word| names.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slt::parse::{Expected, Sort};

    fn record(sql: &str, want: Want) -> Record {
        Record { line: 1, connection: String::new(), only: Vec::new(), sql: sql.to_owned(), want }
    }

    fn rows(value: &str) -> Answer {
        Answer::Rows(vec![vec![Some(value.to_owned())]])
    }

    fn refused() -> Answer {
        Answer::Refused { code: "0A000".into(), message: "x is not supported".into() }
    }

    fn one() -> Want {
        let expected = Expected::Lines(vec!["1".to_owned()]);
        Want::Rows { types: vec!['I'], sort: Sort::None, label: None, expected }
    }

    #[test]
    fn each_verdict() {
        for (want, ours, theirs, verdict) in [
            (one(), rows("1"), rows("2"), Verdict::Passed),
            (one(), rows("2"), rows("2"), Verdict::Postgres),
            (one(), refused(), refused(), Verdict::Foreign),
            (one(), refused(), rows("1"), Verdict::Refused),
            (one(), rows("2"), rows("1"), Verdict::Wrong),
            (one(), rows("2"), refused(), Verdict::Wrong),
            (Want::Error(String::new()), refused(), rows("1"), Verdict::Passed),
            (Want::Error(String::new()), rows("1"), rows("1"), Verdict::Postgres),
            (Want::Error(String::new()), rows("1"), refused(), Verdict::Wrong),
            (Want::Ok, Answer::Lost("gone".into()), rows("1"), Verdict::Refused),
        ] {
            let record = record("SELECT 1", want);
            let judged = judge(&[&record], &[ours], Some(&[theirs]), Dialect::Duckdb);
            assert_eq!(judged.findings.first().map_or(Verdict::Passed, |finding| finding.verdict), verdict);
        }
    }

    #[test]
    fn what_follows_from_a_refused_statement_is_not_called_wrong() {
        let made = record("CREATE TABLE a AS SELECT 1", Want::Ok);
        let filled = record("INSERT INTO b SELECT 1", Want::Ok);
        let of_a = record("CREATE VIEW v AS SELECT * FROM b", Want::Ok);
        let (query, other) = (record("SELECT * FROM v", one()), record("SELECT * FROM c", one()));
        let records = [&made, &filled, &of_a, &query, &other];
        let ours = [rows(""), refused(), rows(""), rows("7"), rows("7")];
        let theirs = [rows(""), rows(""), rows(""), rows("1"), rows("1")];
        let judged = judge(&records, &ours, Some(&theirs), Dialect::Duckdb);
        assert_eq!((judged.queries, judged.after, judged.wrong, judged.statements_refused), (2, 1, 1, 1));
    }

    #[test]
    fn a_label_holds_two_queries_to_one_answer() {
        let want = || Want::Rows {
            types: vec!['I'],
            sort: Sort::Rows,
            label: Some("x".into()),
            expected: Expected::Hash(1, String::new()),
        };
        let mut want_one = want();
        if let Want::Rows { expected, .. } = &mut want_one {
            *expected = Expected::Values(vec!["1".into()]);
        }
        let mut want_two = want();
        if let Want::Rows { expected, .. } = &mut want_two {
            *expected = Expected::Values(vec!["2".into()]);
        }
        let (a, b) = (record("SELECT 1", want_one), record("SELECT 2", want_two));
        let judged = judge(&[&a, &b], &[rows("1"), rows("2")], None, Dialect::Sqlite);
        assert_eq!((judged.passed, judged.wrong), (1, 1));
    }

    #[test]
    fn the_outermost_query_orders() {
        for (sql, is) in [
            ("SELECT a FROM t ORDER BY a", true),
            ("(SELECT a FROM t\nORDER  BY a)", true),
            ("WITH x AS (SELECT 1) SELECT * FROM x ORDER BY 1", true),
            ("SELECT a FROM t UNION ALL (SELECT b FROM u ORDER BY 1)", false),
            ("SELECT rank() OVER (ORDER BY a) FROM t", false),
            ("SELECT order_by FROM t", false),
        ] {
            assert_eq!(ordered(sql), is, "{sql}");
        }
    }

    #[test]
    fn targets() {
        for (sql, name) in [
            ("create or replace temp table if not exists T1 (a int)", Some("t1")),
            ("INSERT INTO s VALUES (1)", Some("s")),
            ("UPDATE ONLY u SET a = 1", Some("u")),
            ("DELETE FROM d", Some("d")),
            ("SET x = 1", None),
        ] {
            assert_eq!(target(sql).as_deref(), name, "{sql}");
        }
    }
}
