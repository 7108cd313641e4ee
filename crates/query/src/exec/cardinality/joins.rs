//! How many pairs of rows a join keeps.

use std::sync::Arc;

use datafusion::common::JoinType;

use super::facts::{ColumnFacts, Estimate};
use super::meeting::{equal, finding};

/// What must be equal: facts of the left and of the right side.
pub(crate) struct Pair {
    pub left: ColumnFacts,
    pub right: ColumnFacts,
}

/// The share of all pairs of rows whose columns are all equal.
pub(crate) fn pairs_selectivity(pairs: &[Pair]) -> f64 {
    if let Some(share) =
        by_key(pairs, |pair| &pair.left).into_iter().chain(by_key(pairs, |pair| &pair.right)).reduce(f64::min)
    {
        return share;
    }
    pairs.iter().map(|pair| equal(&pair.left, &pair.right)).product::<f64>().clamp(1e-12, 1.0)
}

/// If the columns of one side hold a primary key of several columns: each row of the other finds one of all its rows.
fn by_key<'a>(pairs: &'a [Pair], side: impl Fn(&'a Pair) -> &'a ColumnFacts) -> Option<f64> {
    if pairs.len() < 2 {
        return None;
    }
    let origins: Vec<_> = pairs.iter().filter_map(|pair| side(pair).origin.as_ref()).collect();
    let (source, _) = origins.first()?;
    let has = |attribute: &i16| origins.iter().any(|(other, own)| Arc::ptr_eq(other, source) && own == attribute);
    (source.key.len() > 1 && source.key.iter().all(has)).then(|| 1.0 / source.rows.max(1.0))
}

/// The rows of a join. `kept` is the share of equal pairs that fulfil the join's other conditions.
pub(super) fn joined(left: &Estimate, right: &Estimate, pairs: &[Pair], kept: f64, join_type: JoinType) -> f64 {
    let inner = left.rows * right.rows * pairs_selectivity(pairs) * kept;
    let semi = |own: &Estimate, other: &Estimate, swapped: bool| {
        let share = pairs.iter().map(|pair| match swapped {
            false => finding(&pair.left, &pair.right, other.rows),
            true => finding(&pair.right, &pair.left, other.rows),
        });
        let share = share.fold(1.0, f64::min);
        // Of several found rows one has to fulfil the rest.
        let found = (inner / kept.max(1e-12) / (own.rows * share).max(1.0)).max(1.0);
        // Who finds several counts once, who finds none not at all.
        (own.rows * share * (1.0 - (1.0 - kept).max(0.0).powf(found)).clamp(0.0, 1.0)).min(inner)
    };
    match join_type {
        JoinType::Inner => inner,
        JoinType::Left => inner.max(left.rows),
        JoinType::Right => inner.max(right.rows),
        JoinType::Full => inner.max(left.rows).max(right.rows),
        JoinType::LeftSemi => semi(left, right, false),
        JoinType::RightSemi => semi(right, left, true),
        JoinType::LeftAnti => left.rows - semi(left, right, false),
        JoinType::RightAnti => right.rows - semi(right, left, true),
        JoinType::LeftMark => left.rows,
        JoinType::RightMark => right.rows,
    }
}

#[cfg(test)]
mod tests {
    use heliosdb_types::{Datum, SqlType};

    use super::super::facts::Source;
    use super::*;
    use crate::catalog::{Place, Profile};

    fn side(distinct: f64, common: &[(i32, f64)]) -> ColumnFacts {
        let common = common.iter().map(|(value, share)| (Place::of(&SqlType::Int4, Datum::Int32(*value)), *share));
        let profile = Profile { distinct, common: common.collect(), ..Profile::default() };
        ColumnFacts { profile: Some(Arc::new(profile)), distinct, ..ColumnFacts::unknown() }
    }

    fn rows(rows: f64) -> Estimate {
        Estimate { rows, columns: Vec::new() }
    }

    #[test]
    fn keys_find_one_row_and_common_values_many() {
        let pair = Pair { left: side(1000.0, &[]), right: side(100.0, &[]) };
        assert_eq!(joined(&rows(1000.0), &rows(5000.0), &[pair], 1.0, JoinType::Inner), 5000.0);
        // Half of both sides is the same value.
        let pair = Pair { left: side(101.0, &[(1, 0.5)]), right: side(101.0, &[(1, 0.5)]) };
        let found = pairs_selectivity(&[pair]);
        assert!((found - (0.25 + 0.25 / 100.0)).abs() < 1e-9, "{found}");
    }

    #[test]
    fn several_columns_of_a_key_are_one_condition() {
        let source = Arc::new(Source { rows: 800.0, key: vec![1, 2], combined: Vec::new() });
        let part = |attribute, distinct| ColumnFacts {
            distinct,
            origin: Some((Arc::clone(&source), attribute)),
            ..side(distinct, &[])
        };
        let pair = |attribute, distinct| Pair { left: side(200.0, &[]), right: part(attribute, distinct) };
        assert_eq!(pairs_selectivity(&[pair(1, 200.0), pair(2, 10.0)]), 1.0 / 800.0);
    }

    #[test]
    fn outer_and_semi_joins_keep_their_rows() {
        let pair = || Pair { left: side(1000.0, &[]), right: side(100.0, &[]) };
        let of = |join_type| joined(&rows(1000.0), &rows(100.0), &[pair()], 1.0, join_type);
        assert_eq!((of(JoinType::Left), of(JoinType::Inner)), (1000.0, 100.0));
        assert_eq!((of(JoinType::LeftSemi), of(JoinType::LeftAnti)), (100.0, 900.0));
        assert_eq!((of(JoinType::RightSemi), of(JoinType::LeftMark)), (100.0, 1000.0));
    }
}
