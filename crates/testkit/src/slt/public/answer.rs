//! What a server said to one record, and whether that is what was expected.

use tokio_postgres::{Client, SimpleQueryMessage};

use super::Dialect;
use crate::slt::parse::{Expected, Sort};
use crate::slt::run::{check, sorted, value};

#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Of the last result there was; none for a statement without one.
    Rows(Vec<Vec<Option<String>>>),
    Refused {
        code: String,
        message: String,
    },
    /// The connection broke.
    Lost(String),
}

impl Answer {
    pub fn refused(&self) -> bool {
        !matches!(self, Answer::Rows(_))
    }
}

/// Asks in the simple protocol: every value as text.
pub async fn ask(client: &Client, sql: &str) -> Answer {
    match client.simple_query(sql).await {
        Ok(messages) => {
            let mut rows = Vec::new();
            for message in messages {
                match message {
                    SimpleQueryMessage::RowDescription(_) => rows.clear(),
                    SimpleQueryMessage::Row(row) => {
                        rows.push((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect());
                    }
                    _ => {}
                }
            }
            Answer::Rows(rows)
        }
        Err(error) => match error.as_db_error() {
            Some(db) => Answer::Refused { code: db.code().code().to_owned(), message: db.message().to_owned() },
            None => Answer::Lost(error.to_string()),
        },
    }
}

/// Whether rows are the expected ones; if not, how they differ. Rows of a query without ORDER BY may come in any order.
pub fn matches(
    rows: &[Vec<Option<String>>],
    (types, sort, expected): (&[char], Sort, &Expected),
    dialect: Dialect,
    ordered: bool,
) -> Result<(), String> {
    if dialect == Dialect::Sqlite {
        return check(&sorted(sqlite_values(rows, types)?, sort), expected);
    }
    match expected {
        Expected::Lines(lines) => {
            let ours: Vec<String> = rows.iter().map(|row| canonical_row(row)).collect();
            let theirs: Vec<String> = lines.iter().map(|line| canonical(line)).collect();
            let by_value: Vec<String> = ours_by_value(rows);
            let sorting = sort != Sort::None || !ordered;
            if equal(ours.clone(), theirs.clone(), sorting) || equal(by_value, theirs.clone(), sorting) {
                return Ok(());
            }
            let at = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
            let shown = |from: &[String]| from.get(at).cloned().unwrap_or_else(|| "nothing".to_owned());
            Err(format!(
                "row {} of {}: {} where {} of {} is expected",
                at + 1,
                rows.len(),
                shown(&ours),
                shown(&theirs),
                lines.len()
            ))
        }
        // DuckDB's hashes are of its own texts of values.
        expected => check(
            &sorted(rows.iter().map(|row| row.iter().map(|value| text(value.as_deref())).collect()).collect(), sort),
            expected,
        ),
    }
}

/// Whether two servers answered alike; sums of floats may differ in the last digits.
pub fn same(ours: &Answer, theirs: &Answer, ordered: bool) -> bool {
    match (ours, theirs) {
        (Answer::Rows(ours), Answer::Rows(theirs)) => {
            let all = |rows: &[Vec<Option<String>>]| rows.iter().map(|row| canonical_row(row)).collect::<Vec<_>>();
            equal(all(ours), all(theirs), !ordered)
        }
        _ => false,
    }
}

fn equal(mut ours: Vec<String>, mut theirs: Vec<String>, sort: bool) -> bool {
    if sort {
        ours.sort();
        theirs.sort();
    }
    ours == theirs
}

/// sqlite writes a number where an integer is wanted without its fraction, and a truth value as 0 or 1.
fn sqlite_values(rows: &[Vec<Option<String>>], types: &[char]) -> Result<Vec<Vec<String>>, String> {
    let one = |text: Option<&str>, kind: char| match (text, kind) {
        (Some("t"), 'I') => Ok("1".to_owned()),
        (Some("f"), 'I') => Ok("0".to_owned()),
        (Some(number), 'I') => value(text, kind).or_else(|why| match number.split_once('.') {
            Some((whole, rest)) if rest.chars().all(|c| c.is_ascii_digit()) => value(Some(whole), kind),
            _ => Err(why),
        }),
        _ => value(text, kind),
    };
    let row = |row: &Vec<Option<String>>| {
        if row.len() != types.len() {
            return Err(format!("{} columns where {} are expected", row.len(), types.len()));
        }
        row.iter().zip(types).map(|(text, kind)| one(text.as_deref(), *kind)).collect()
    };
    rows.iter().map(row).collect()
}

fn text(value: Option<&str>) -> String {
    match value {
        None => "NULL".to_owned(),
        Some("") => "(empty)".to_owned(),
        Some(text) => text.to_owned(),
    }
}

fn canonical_row(row: &[Option<String>]) -> String {
    canonical(&row.iter().map(|value| text(value.as_deref())).collect::<Vec<_>>().join("\t"))
}

fn ours_by_value(rows: &[Vec<Option<String>>]) -> Vec<String> {
    rows.iter().flatten().map(|value| canonical(&text(value.as_deref()))).collect()
}

/// A line in one form, whoever wrote it: blanks, truth values, numbers, brackets of arrays, timestamps.
fn canonical(line: &str) -> String {
    let line = line.replace(['{', '['], " [ ").replace(['}', ']'], " ] ").replace(',', " ");
    line.split_whitespace().map(canonical_token).collect::<Vec<_>>().join(" ")
}

fn canonical_token(token: &str) -> String {
    match token {
        "t" | "true" | "True" => return "true".to_owned(),
        "f" | "false" | "False" => return "false".to_owned(),
        _ => {}
    }
    if token.parse::<i128>().is_ok() {
        return token.strip_prefix('+').unwrap_or(token).to_owned();
    }
    if token.bytes().any(|b| b.is_ascii_digit())
        && let Ok(number) = token.parse::<f64>()
    {
        // Ten digits: the order of a sum is nobody's promise.
        return if number.fract() == 0.0 && number.abs() < 1e15 {
            format!("{number:.0}")
        } else {
            format!("{number:.9e}")
        };
    }
    if let Ok(number) = token.parse::<f64>() {
        return if number.is_nan() { "nan".to_owned() } else { format!("{number}") };
    }
    // 2020-01-01T10:00:00Z is 2020-01-01 10:00:00+00.
    let bytes = token.as_bytes();
    let (date, time) = match bytes.get(10) {
        Some(b'T') if bytes.first().is_some_and(u8::is_ascii_digit) => (Some(&token[..10]), &token[11..]),
        _ => (None, token),
    };
    if time.as_bytes().get(2) == Some(&b':') {
        let time = time.strip_suffix('Z').or(time.strip_suffix("+00:00")).or(time.strip_suffix("+00")).unwrap_or(time);
        let time = if time.contains('.') { time.trim_end_matches('0').trim_end_matches('.') } else { time };
        return date.map_or(time.to_owned(), |date| format!("{date} {time}"));
    }
    token.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[&str]) -> Vec<Option<String>> {
        values.iter().map(|value| (*value != "NULL").then(|| (*value).to_owned())).collect()
    }

    #[test]
    fn values_are_the_same_however_they_are_written() {
        for (ours, theirs) in [
            ("t", "true"),
            ("1", "1.0"),
            ("0.30000000000000004", "0.3"),
            ("{1,2,NULL}", "[1, 2, NULL]"),
            ("2020-01-01 10:00:00.5", "2020-01-01T10:00:00.500Z"),
            ("", "(empty)"),
            ("a  b", "a b"),
            ("Infinity", "inf"),
        ] {
            let expected = Expected::Lines(vec![theirs.to_owned()]);
            matches(&[row(&[ours])], (&['T'], Sort::None, &expected), Dialect::Datafusion, true).unwrap();
        }
        for (ours, theirs) in
            [("1", "2"), ("1.0001", "1"), ("a", "b"), ("NULL", "0"), ("9007199254740993", "9007199254740992")]
        {
            let expected = Expected::Lines(vec![theirs.to_owned()]);
            assert!(
                matches(&[row(&[ours])], (&['T'], Sort::None, &expected), Dialect::Duckdb, true).is_err(),
                "{ours}"
            );
        }
    }

    #[test]
    fn order_counts_where_the_query_says_so() {
        let rows = [row(&["1", "a"]), row(&["2", "b"])];
        let expected = Expected::Lines(vec!["2 b".into(), "1 a".into()]);
        assert!(matches(&rows, (&['I', 'T'], Sort::None, &expected), Dialect::Datafusion, true).is_err());
        matches(&rows, (&['I', 'T'], Sort::None, &expected), Dialect::Datafusion, false).unwrap();
        let by_value = Expected::Lines(["1", "a", "2", "b"].map(str::to_owned).to_vec());
        matches(&rows, (&['I', 'T'], Sort::None, &by_value), Dialect::Duckdb, true).unwrap();
        let (a, b) = (Answer::Rows(rows.to_vec()), Answer::Rows(rows.iter().rev().cloned().collect()));
        assert!(same(&a, &b, false) && !same(&a, &b, true));
    }

    #[test]
    fn sqlite_cuts_a_number_where_an_integer_is_wanted() {
        let expected = |text: &str| Expected::Values(vec![text.to_owned()]);
        let is = |ours: &str, theirs: &str| {
            matches(&[row(&[ours])], (&['I'], Sort::None, &expected(theirs)), Dialect::Sqlite, true)
        };
        is("-12.9", "-12").unwrap();
        is("t", "1").unwrap();
        assert!(is("12.9", "13").is_err());
        assert!(is("x", "0").is_err());
    }
}
