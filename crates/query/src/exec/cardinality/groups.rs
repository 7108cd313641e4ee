//! How many groups rows fall into.

use std::sync::Arc;

use datafusion::physical_expr::PhysicalExpr;

use super::facts::{ColumnFacts, Estimate, Source};
use super::{UNKNOWN_DISTINCT, known, selectivity};
use crate::exec::whole_keys::Rescaled;

/// Facts about what an expression gives: of its column if it is one.
pub(crate) fn of_expression(expr: &Arc<dyn PhysicalExpr>, input: &Estimate) -> ColumnFacts {
    if let Some(whole) = expr.downcast_ref::<Rescaled>() {
        return ColumnFacts { profile: None, types: None, ..of_expression(whole.value(), input) };
    }
    if let Some(column) = expr.downcast_ref::<datafusion::physical_expr::expressions::Column>() {
        return input.column(column.index()).cloned().unwrap_or_else(ColumnFacts::unknown);
    }
    if let Some((_, facts)) = selectivity::column(expr, input) {
        // Cast: other values, as many of them.
        return ColumnFacts { profile: None, types: None, ..facts.clone() };
    }
    let distinct = known::distinct(expr, input).or_else(|| {
        let at = known::only_column(expr)?;
        input.column(at).map(|facts| facts.distinct)
    });
    let unknown = ColumnFacts::unknown();
    ColumnFacts { distinct: distinct.unwrap_or(UNKNOWN_DISTINCT), ..unknown }
}

/// Different combinations of the columns among the rows.
pub(super) fn groups(columns: &[ColumnFacts], rows: f64) -> f64 {
    let mut tables: Vec<(Option<&Arc<Source>>, Vec<&ColumnFacts>)> = Vec::new();
    for column in columns {
        let source = column.origin.as_ref().map(|(source, _)| source);
        let same = |other: &Option<&Arc<Source>>| match (other, source) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        match tables.iter_mut().find(|(other, _)| same(other)) {
            Some((_, columns)) => columns.push(column),
            None => tables.push((source, vec![column])),
        }
    }
    let product: f64 = tables.iter().map(|(source, columns)| of_table(*source, columns, rows)).product();
    product.clamp(1.0, rows.max(1.0))
}

/// Of one table: no more than it has rows, and of a key's columns as many. Of columns that are none, more than a tenth of the
/// rows only if one alone has more; then as many as that many draws give.
fn of_table(source: Option<&Arc<Source>>, columns: &[&ColumnFacts], rows: f64) -> f64 {
    let with_null = |column: &&ColumnFacts| column.distinct + f64::from(u8::from(column.null_frac > 0.0));
    let product: f64 = columns.iter().map(with_null).product();
    let Some(source) = source else { return product };
    let attributes: Vec<i16> =
        columns.iter().filter_map(|column| column.origin.as_ref()).map(|(_, attribute)| *attribute).collect();
    let is_key = !source.key.is_empty() && source.key.iter().all(|attribute| attributes.contains(attribute));
    let whole = if is_key {
        source.rows
    } else {
        let (known, rest) = together(source, &attributes);
        let others = columns.iter().filter(|column| column.origin.as_ref().is_some_and(|(_, own)| rest.contains(own)));
        let product = product.min(known * others.map(with_null).product::<f64>());
        let largest = columns.iter().map(with_null).fold(1.0, f64::max);
        let counted = rest.is_empty() || columns.len() == 1;
        let most = if counted { source.rows } else { (source.rows * 0.1).max(largest).max(known) };
        product.min(most)
    };
    drawn(whole.max(1.0), source.rows, rows)
}

/// Combinations of those columns that were counted together (the largest sets first), and the columns left.
fn together(source: &Source, attributes: &[i16]) -> (f64, Vec<i16>) {
    let (mut known, mut rest) = (1.0, attributes.to_vec());
    loop {
        let all = source.combined.iter().flat_map(|combined| &combined.distinct);
        let within = all.filter(|(columns, _)| columns.iter().all(|column| rest.contains(column)));
        let Some((columns, distinct)) = within.max_by_key(|(columns, _)| columns.len()) else { return (known, rest) };
        known *= distinct;
        rest.retain(|column| !columns.contains(column));
    }
}

/// Different values among `rows` drawn from a table of `all` with `distinct` of them, as many rows each (Yao 1977, put simply).
pub(super) fn drawn(distinct: f64, all: f64, rows: f64) -> f64 {
    if rows >= all || distinct <= 1.0 {
        return distinct;
    }
    distinct * (1.0 - ((all - rows) / all).powf(all / distinct))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Combined;

    fn column(source: &Arc<Source>, attribute: i16, distinct: f64) -> ColumnFacts {
        ColumnFacts { distinct, origin: Some((Arc::clone(source), attribute)), ..ColumnFacts::unknown() }
    }

    #[test]
    fn groups_are_bounded_by_tables_keys_and_rows() {
        let orders = Arc::new(Source { rows: 1000.0, key: vec![1], combined: Vec::new() });
        let other = Arc::new(Source { rows: 50.0, key: vec![1, 2], combined: Vec::new() });
        assert_eq!(groups(&[column(&orders, 2, 5.0), column(&orders, 3, 4.0)], 1000.0), 20.0);
        assert_eq!(groups(&[column(&orders, 2, 90.0), column(&orders, 3, 70.0)], 1000.0), 100.0, "a tenth of the rows");
        assert_eq!(groups(&[column(&orders, 1, 1000.0), column(&orders, 3, 70.0)], 1000.0), 1000.0);
        assert_eq!(groups(&[column(&orders, 2, 5.0), column(&other, 3, 4.0)], 1000.0), 20.0);
        assert_eq!(groups(&[column(&orders, 2, 90.0)], 7.0), 7.0_f64.min(drawn(90.0, 1000.0, 7.0)));
        // Ten of a hundred rows with 50 values: each twice.
        assert!((drawn(50.0, 100.0, 10.0) - 9.5).abs() < 0.01);
    }

    #[test]
    fn columns_counted_together_are_no_product() {
        let counted = Combined {
            attributes: vec![2, 3],
            distinct: vec![(vec![2, 3], 120.0)],
            dependencies: Vec::new(),
            common: Vec::new(),
        };
        let places = Arc::new(Source { rows: 1000.0, key: vec![1], combined: vec![Arc::new(counted)] });
        let [city, country, noise] = [(2, 100.0), (3, 10.0), (4, 3.0)].map(|(at, count)| column(&places, at, count));
        assert_eq!(groups(&[city.clone(), country.clone()], 1000.0), 120.0);
        assert_eq!(groups(&[country.clone(), noise.clone()], 1000.0), 30.0);
        assert_eq!(groups(&[city.clone(), country.clone(), noise], 1000.0), 120.0, "not more than were counted");
        // One city left by a condition.
        assert_eq!(groups(&[ColumnFacts { distinct: 1.0, ..city }, country], 1000.0), 10.0);
    }
}
