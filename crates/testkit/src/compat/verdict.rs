//! Whether two servers said the same.

use super::wire::{Answer, Column};

/// Ours beside PostgreSQL's.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Same,
    /// We refuse with 0A000, and this message, what PostgreSQL does.
    Refused(String),
    /// A difference that is documented, by its name in [`super::listed`].
    Listed(&'static str),
    /// We raise an error PostgreSQL does not, or another one. Loud: the user sees it.
    Error(String),
    /// Another answer without an error. The kind that must never be.
    Silent(String),
}

pub const FIRST_USER_OID: u32 = 16384;

/// float4, float8: the last digits depend on the order of additions.
const FLOATS: [u32; 2] = [700, 701];

/// Compares; `ordered` says whether the order of rows is part of the answer.
pub fn compare(ours: &Answer, theirs: &Answer, ordered: bool) -> Verdict {
    match (&ours.error, &theirs.error) {
        (Some(a), Some(b)) if same_failure(&a.sqlstate, &b.sqlstate) => Verdict::Same,
        (Some(a), _) if a.sqlstate == "0A000" => Verdict::Refused(a.message.clone()),
        (Some(a), Some(b)) => {
            Verdict::Error(format!("ours {} {}; PostgreSQL {} {}", a.sqlstate, a.message, b.sqlstate, b.message))
        }
        (Some(a), None) => Verdict::Error(format!("ours {} {}; PostgreSQL: {}", a.sqlstate, a.message, theirs.tag)),
        (None, Some(b)) => Verdict::Silent(format!("ours {}; PostgreSQL {} {}", ours.tag, b.sqlstate, b.message)),
        (None, None) => compare_results(ours, theirs, ordered),
    }
}

/// Which of several wrong values an expression meets first is not fixed: errors of class 22 count as one.
pub fn same_failure(a: &str, b: &str) -> bool {
    a == b || (a.starts_with("22") && b.starts_with("22"))
}

fn compare_results(ours: &Answer, theirs: &Answer, ordered: bool) -> Verdict {
    // Objects of users have OIDs of their own on each server.
    let same_type = |a: u32, b: u32| a == b || (a >= FIRST_USER_OID && b >= FIRST_USER_OID);
    let same_column = |(a, b): (&Column, &Column)| a.name == b.name && same_type(a.type_oid, b.type_oid);
    if ours.columns.len() != theirs.columns.len() || !ours.columns.iter().zip(&theirs.columns).all(same_column) {
        let list = |answer: &Answer| {
            answer.columns.iter().map(|c| format!("{}:{}", c.name, c.type_oid)).collect::<Vec<_>>().join(", ")
        };
        return Verdict::Silent(format!("columns: ours {}; PostgreSQL {}", list(ours), list(theirs)));
    }
    if ours.tag != theirs.tag {
        return Verdict::Silent(format!("tag: ours {}; PostgreSQL {}", ours.tag, theirs.tag));
    }
    let (mut a, mut b): (Vec<_>, Vec<_>) = (ours.rows.iter().collect(), theirs.rows.iter().collect());
    if !ordered {
        a.sort();
        b.sort();
    }
    let oids: Vec<u32> = theirs.columns.iter().map(|column| column.type_oid).collect();
    let different = a.iter().zip(&b).find(|(x, y)| !same_row(x, y, &oids));
    match different {
        Some((x, y)) => Verdict::Silent(format!("rows: ours {}; PostgreSQL {}", show(x), show(y))),
        None => Verdict::Same,
    }
}

fn same_row(a: &[Option<String>], b: &[Option<String>], oids: &[u32]) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .zip(oids)
            .all(|((x, y), oid)| x == y || (FLOATS.contains(oid) && nearly(x.as_deref(), y.as_deref())))
}

fn nearly(a: Option<&str>, b: Option<&str>) -> bool {
    match (a.and_then(|a| a.parse::<f64>().ok()), b.and_then(|b| b.parse::<f64>().ok())) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-300),
        _ => false,
    }
}

fn show(row: &[Option<String>]) -> String {
    let cells: Vec<&str> = row.iter().map(|cell| cell.as_deref().unwrap_or("NULL")).collect();
    format!("({})", cells.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compat::wire::Failure;

    fn rows(values: &[&str], oid: u32) -> Answer {
        Answer {
            columns: vec![Column { name: "a".into(), type_oid: oid }],
            rows: values.iter().map(|value| vec![Some((*value).to_owned())]).collect(),
            tag: format!("SELECT {}", values.len()),
            error: None,
        }
    }

    fn failed(sqlstate: &str) -> Answer {
        Answer { error: Some(Failure { sqlstate: sqlstate.into(), message: "m".into() }), ..Answer::default() }
    }

    #[test]
    fn order_counts_only_where_it_was_asked_for() {
        assert_eq!(compare(&rows(&["1", "2"], 23), &rows(&["2", "1"], 23), false), Verdict::Same);
        assert!(matches!(compare(&rows(&["1", "2"], 23), &rows(&["2", "1"], 23), true), Verdict::Silent(_)));
    }

    #[test]
    fn only_floats_may_differ_in_the_last_digit() {
        assert_eq!(compare(&rows(&["0.30000000000000004"], 701), &rows(&["0.3"], 701), true), Verdict::Same);
        assert!(matches!(compare(&rows(&["0.31"], 701), &rows(&["0.3"], 701), true), Verdict::Silent(_)));
        assert!(matches!(compare(&rows(&["0.30"], 1700), &rows(&["0.3"], 1700), true), Verdict::Silent(_)));
    }

    #[test]
    fn an_answer_where_an_error_is_due_is_silent_and_a_refusal_is_not() {
        assert!(matches!(compare(&rows(&["1"], 23), &failed("22012"), true), Verdict::Silent(_)));
        assert_eq!(compare(&failed("0A000"), &rows(&["1"], 23), true), Verdict::Refused("m".into()));
        assert!(matches!(compare(&failed("XX000"), &rows(&["1"], 23), true), Verdict::Error(_)));
        assert_eq!(compare(&failed("22003"), &failed("22012"), true), Verdict::Same);
        assert!(matches!(compare(&failed("42601"), &failed("42703"), true), Verdict::Error(_)));
    }
}
