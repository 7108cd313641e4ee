//! Comparing two engines' answers to one query.

/// Rows of values as text; `None` is NULL.
pub type Answer = Vec<Vec<Option<String>>>;

/// Relative tolerance for numbers: engines differ in the precision of division and averages.
const TOLERANCE: f64 = 1e-6;

/// How two answers differ; empty if they agree. Rows are compared in order; where only the order differs among ties,
/// sorted rows decide.
pub fn differences(ours: &Answer, theirs: &Answer) -> Vec<String> {
    if ours.len() != theirs.len() {
        return vec![format!("{} rows, the peer has {}", ours.len(), theirs.len())];
    }
    let in_order = row_differences(ours, theirs);
    if in_order.is_empty() {
        return in_order;
    }
    let (mut a, mut b) = (ours.clone(), theirs.clone());
    a.sort_by_key(|row| sort_key(row));
    b.sort_by_key(|row| sort_key(row));
    if row_differences(&a, &b).is_empty() { Vec::new() } else { in_order }
}

fn sort_key(row: &[Option<String>]) -> Vec<String> {
    // Numbers are rounded so that the last digits of an average do not decide the order.
    row.iter()
        .map(|value| match value.as_deref().map(|text| (text, text.parse::<f64>())) {
            Some((_, Ok(number))) => format!("{number:.4e}"),
            Some((text, Err(_))) => text.trim_end().to_owned(),
            None => "\u{10ffff}".to_owned(),
        })
        .collect()
}

fn row_differences(ours: &Answer, theirs: &Answer) -> Vec<String> {
    let mut found = Vec::new();
    for (index, (a, b)) in ours.iter().zip(theirs).enumerate() {
        if a.len() != b.len() || !a.iter().zip(b).all(|(x, y)| same(x.as_deref(), y.as_deref())) {
            found.push(format!("row {index}: {a:?}, the peer has {b:?}"));
            if found.len() == 5 {
                break;
            }
        }
    }
    found
}

fn same(a: Option<&str>, b: Option<&str>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return a.is_none() && b.is_none() };
    // char(n) is blank-padded on our side, as in PostgreSQL; DuckDB has no padding.
    if a.trim_end() == b.trim_end() {
        return true;
    }
    match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(x), Ok(y)) => (x - y).abs() <= TOLERANCE * x.abs().max(y.abs()).max(1.0),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(rows: &[&[&str]]) -> Answer {
        rows.iter().map(|row| row.iter().map(|v| Some((*v).to_owned())).collect()).collect()
    }

    #[test]
    fn ties_may_come_in_any_order_but_values_may_not_differ() {
        let ours = answer(&[&["1", "a  "], &["1", "b"]]);
        assert_eq!(differences(&ours, &answer(&[&["1.0000000", "b"], &["1", "a"]])), Vec::<String>::new());
        assert_eq!(differences(&ours, &answer(&[&["1.001", "a"], &["1", "b"]])).len(), 1);
        assert_eq!(differences(&ours, &answer(&[&["1", "a"]])).len(), 1);
    }

    #[test]
    fn null_is_not_an_empty_string() {
        assert_eq!(differences(&vec![vec![None]], &answer(&[&[""]])).len(), 1);
    }
}
