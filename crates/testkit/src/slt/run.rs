//! Playing a script: each record against the server, each difference with its line.

use std::collections::HashMap;

use tokio_postgres::{Client, SimpleQueryMessage};

use super::parse::{Expected, Record, Script, Sort, Want};

/// What a run came to.
#[derive(Debug, Default)]
pub struct Played {
    pub records: usize,
    pub wrong: Vec<String>,
}

/// Runs a script on the server called `name` in its `skipif` and `onlyif` lines.
pub async fn run(client: &Client, script: &Script, name: &str) -> Played {
    let mut played = Played::default();
    let mut labels: HashMap<String, Vec<String>> = HashMap::new();
    for record in &script.records {
        if record.only.iter().any(|(must, other)| (other == name) != *must) {
            continue;
        }
        if record.want == Want::Halt {
            break;
        }
        played.records += 1;
        if let Err(what) = one(client, record, &mut labels).await {
            played.wrong.push(format!("line {}: {}\n{what}", record.line, record.sql));
        }
    }
    played
}

async fn one(client: &Client, record: &Record, labels: &mut HashMap<String, Vec<String>>) -> Result<(), String> {
    let outcome = client.simple_query(&record.sql).await;
    let failed = outcome.as_ref().err().map(|error| match error.as_db_error() {
        Some(db) => format!("{} {}: {}", db.severity(), db.code().code(), db.message()),
        None => format!("lost the connection: {error}"),
    });
    match (&record.want, failed) {
        (Want::Error(part), Some(said)) if said.contains(part.as_str()) => Ok(()),
        (Want::Error(part), Some(said)) => Err(format!("expected an error with {part:?}, got {said}")),
        (Want::Error(_), None) => Err("expected an error".to_owned()),
        (_, Some(said)) => Err(said),
        (Want::Rows { types, sort, label, expected }, None) => {
            let rows = rows(outcome.unwrap_or_default(), types)?;
            let values = sorted(rows, *sort);
            if let Some(label) = label
                && *labels.entry(label.clone()).or_insert_with(|| values.clone()) != values
            {
                return Err(format!("not what the query labelled {label} gave before"));
            }
            check(&values, expected)
        }
        (Want::Ok | Want::Halt, None) => Ok(()),
    }
}

/// The rows' values, written as the format has them.
fn rows(messages: Vec<SimpleQueryMessage>, types: &[char]) -> Result<Vec<Vec<String>>, String> {
    let mut all = Vec::new();
    for message in messages {
        let SimpleQueryMessage::Row(row) = message else { continue };
        if row.len() != types.len() {
            return Err(format!("{} columns where {} are expected", row.len(), types.len()));
        }
        let values = types.iter().enumerate().map(|(at, kind)| value(row.get(at), *kind));
        all.push(values.collect::<Result<Vec<_>, _>>()?);
    }
    Ok(all)
}

pub(super) fn value(text: Option<&str>, kind: char) -> Result<String, String> {
    let Some(text) = text else { return Ok("NULL".to_owned()) };
    match kind {
        'I' => text.parse::<i128>().map(|n| n.to_string()).map_err(|_| format!("{text:?} is not an integer")),
        'R' => text.parse::<f64>().map(|n| format!("{n:.3}")).map_err(|_| format!("{text:?} is not a number")),
        _ if text.is_empty() => Ok("(empty)".to_owned()),
        _ => Ok(text.chars().map(|c| if (' '..='~').contains(&c) { c } else { '@' }).collect()),
    }
}

pub(super) fn sorted(mut rows: Vec<Vec<String>>, sort: Sort) -> Vec<String> {
    if sort == Sort::Rows {
        rows.sort();
    }
    let mut values: Vec<String> = rows.into_iter().flatten().collect();
    if sort == Sort::Values {
        values.sort();
    }
    values
}

/// Whether values are the expected ones, and if not, where they part.
pub(super) fn check(values: &[String], expected: &Expected) -> Result<(), String> {
    match expected {
        Expected::Values(expected) if expected == values => Ok(()),
        Expected::Values(expected) => {
            let at = expected.iter().zip(values).take_while(|(a, b)| a == b).count();
            let shown = |from: &[String]| from.get(at).map_or("nothing", |value| value.as_str()).to_owned();
            let (wanted, found) = (shown(expected), shown(values));
            Err(format!("value {} of {} is {found}, expected {wanted} of {}", at + 1, values.len(), expected.len()))
        }
        Expected::Hash(count, hash) => {
            let found =
                format!("{:x}", md5::compute(values.iter().flat_map(|v| [v.as_str(), "\n"]).collect::<String>()));
            if *count == values.len() && *hash == found {
                return Ok(());
            }
            Err(format!("{} values hashing to {found}, expected {count} hashing to {hash}", values.len()))
        }
        Expected::Lines(_) | Expected::Unread => Err("a form of results that is not this format's own".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_the_format_has_them() {
        for (text, kind, written) in [
            (None, 'I', "NULL"),
            (Some("-7"), 'I', "-7"),
            (Some("2.5"), 'R', "2.500"),
            (Some("1e3"), 'R', "1000.000"),
            (Some(""), 'T', "(empty)"),
            (Some("a\té"), 'T', "a@@"),
        ] {
            assert_eq!(value(text, kind).unwrap(), written);
        }
        assert!(value(Some("x"), 'I').is_err());
        assert!(value(Some("x"), 'R').is_err());
    }

    #[test]
    fn results_are_compared_sorted_and_hashed() {
        let rows = || vec![vec!["b".to_owned(), "1".to_owned()], vec!["a".to_owned(), "2".to_owned()]];
        assert_eq!(sorted(rows(), Sort::None), ["b", "1", "a", "2"]);
        assert_eq!(sorted(rows(), Sort::Rows), ["a", "2", "b", "1"]);
        assert_eq!(sorted(rows(), Sort::Values), ["1", "2", "a", "b"]);
        let values = sorted(rows(), Sort::Rows);
        check(&values, &Expected::Values(values.clone())).unwrap();
        assert!(check(&values, &Expected::Values(vec!["a".into()])).unwrap_err().contains("value 2 of 4 is 2"));
        // printf 'a\n2\nb\n1\n' | md5sum
        check(&values, &Expected::Hash(4, "2e1695ff1d1cc409acae64503145e83d".into())).unwrap();
        assert!(check(&values, &Expected::Hash(3, "2e1695ff1d1cc409acae64503145e83d".into())).is_err());
    }
}
