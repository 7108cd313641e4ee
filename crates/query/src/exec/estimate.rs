//! What a scan is guessed to return, from row counts and zone maps; only the choice of join sides depends on it.

use arrow_schema::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use heliosdb_contracts::{ColumnPredicate, CompareOp, PredicateOp, TableScan};
use heliosdb_types::{ColumnId, Datum};

use super::arrays::scalar_of;
use crate::catalog::Relation;

/// Bytes a value of variable length is counted as.
const VARIABLE_BYTES: usize = 24;
/// Kept by a predicate nothing is known about.
const UNKNOWN_EQUALITY: f64 = 0.05;
const UNKNOWN_RANGE: f64 = 0.4;
const UNKNOWN_PATTERN: f64 = 0.1;

/// Rows of a scan after its predicates, at least one.
pub(super) fn rows(scan: &dyn TableScan, predicates: &[ColumnPredicate]) -> u64 {
    // Two bounds of one column are one range, not two independent conditions.
    let mut columns: Vec<ColumnId> = predicates.iter().map(|p| p.column).collect();
    columns.sort_unstable();
    columns.dedup();
    let share = columns.into_iter().map(|column| {
        let of_column = predicates.iter().filter(|p| p.column == column).map(|p| &p.op).collect::<Vec<_>>();
        column_share(&of_column, scan.estimated_bounds(column))
    });
    ((scan.estimated_rows() as f64 * share.product::<f64>()) as u64).max(1)
}

fn column_share(ops: &[&PredicateOp], bounds: Option<(Datum, Datum)>) -> f64 {
    let span = bounds.as_ref().and_then(|(low, high)| Some((number(low)?, number(high)?)));
    let Some((low, high)) = span.filter(|(low, high)| high > low) else {
        return ops.iter().map(|op| unknown_share(op)).product();
    };
    let one = 1.0 / (high - low + 1.0);
    let (mut from, mut to, mut other) = (low, high, 1.0);
    for op in ops {
        match op {
            PredicateOp::Compare(CompareOp::Eq, _) => other *= one.max(1e-9),
            PredicateOp::In(list) => other *= (one * list.len() as f64).min(1.0),
            PredicateOp::Compare(CompareOp::Lt | CompareOp::LtEq, value) => to = number(value).unwrap_or(to).min(to),
            PredicateOp::Compare(CompareOp::Gt | CompareOp::GtEq, value) => {
                from = number(value).unwrap_or(from).max(from);
            }
            op => other *= unknown_share(op),
        }
    }
    ((to - from).max(0.0) / (high - low)).max(one) * other
}

fn unknown_share(op: &PredicateOp) -> f64 {
    match op {
        PredicateOp::Compare(CompareOp::Eq, _) => UNKNOWN_EQUALITY,
        PredicateOp::Compare(CompareOp::NotEq, _) | PredicateOp::IsNotNull => 0.95,
        PredicateOp::Compare(..) | PredicateOp::Member(_) => UNKNOWN_RANGE,
        PredicateOp::In(list) => (UNKNOWN_EQUALITY * list.len() as f64).min(0.6),
        PredicateOp::IsNull | PredicateOp::StartsWith(_) | PredicateOp::Contains(_) => UNKNOWN_PATTERN,
    }
}

/// How far apart two values of one column are, for values that have a place on a line.
pub(super) fn span(low: &Datum, high: &Datum) -> Option<f64> {
    Some((number(high)? - number(low)?).max(0.0))
}

/// A place on a line, for values that have one.
fn number(value: &Datum) -> Option<f64> {
    Some(match value {
        Datum::Int16(v) => f64::from(*v),
        Datum::Int32(v) | Datum::Date(v) => f64::from(*v),
        Datum::Int64(v) | Datum::Time(v) | Datum::Timestamp(v) | Datum::TimestampTz(v) => *v as f64,
        Datum::Float32(v) => f64::from(*v),
        Datum::Float64(v) => *v,
        // Unscaled: bounds and constants of one column share its scale.
        Datum::Decimal { unscaled, .. } => *unscaled as f64,
        _ => return None,
    })
}

/// DataFusion's statistics of a scan that returns `rows` rows: all inexact.
pub(super) fn statistics(scan: &dyn TableScan, relation: &Relation, schema: &SchemaRef, rows: usize) -> Statistics {
    let width: usize =
        schema.fields().iter().map(|field| field.data_type().primitive_width().unwrap_or(VARIABLE_BYTES)).sum();
    let mut statistics = Statistics::new_unknown(schema);
    statistics.num_rows = Precision::Inexact(rows);
    statistics.total_byte_size = Precision::Inexact(rows.saturating_mul(width.max(1)));
    let columns = schema.fields().iter().map(|field| column(scan, relation, field.name()));
    statistics.column_statistics = columns.map(Option::unwrap_or_default).collect();
    statistics
}

/// Bounds tell how many values a column can have at most, which is what join sizes are guessed from.
fn column(scan: &dyn TableScan, relation: &Relation, name: &str) -> Option<ColumnStatistics> {
    let (_, column) = relation.column(name)?;
    let physical = column.sql_type.physical()?;
    let (low, high) = scan.estimated_bounds(column.id)?;
    number(&low)?;
    let bound = |value: Datum| -> Option<Precision<ScalarValue>> {
        Some(Precision::Inexact(scalar_of(physical, value.as_ref()).ok()?))
    };
    Some(ColumnStatistics { min_value: bound(low)?, max_value: bound(high)?, ..ColumnStatistics::new_unknown() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_measured_against_the_columns_bounds() {
        let bounds = || Some((Datum::Date(0), Datum::Date(1000)));
        let at = |op, day| PredicateOp::Compare(op, Datum::Date(day));
        let share = |ops: &[PredicateOp]| column_share(&ops.iter().collect::<Vec<_>>(), bounds());
        assert!((share(&[at(CompareOp::GtEq, 100), at(CompareOp::Lt, 200)]) - 0.1).abs() < 0.001);
        assert!((share(&[at(CompareOp::Lt, 2000)]) - 1.0).abs() < 0.001);
        assert!(share(&[at(CompareOp::Gt, 2000)]) < 0.01);
        assert!(share(&[at(CompareOp::Eq, 5)]) < 0.002);
        assert!((column_share(&[&at(CompareOp::Lt, 5)], None) - UNKNOWN_RANGE).abs() < 0.001);
    }
}
