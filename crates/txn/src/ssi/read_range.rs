//! The part of a tree that a scan's predicates confine it to.

use bytes::Bytes;
use heliosdb_contracts::{ColumnPredicate, CompareOp, KeyRange, PredicateOp, TreeDescriptor, TreeKey, after_prefix};
use heliosdb_types::{ColumnId, Datum, encode_key};

use super::Mark;

/// Keys a scan with these predicates can give, and perhaps more. Whoever writes outside changes nothing for the scan.
pub(crate) fn scanned(descriptor: Option<&TreeDescriptor>, predicates: &[ColumnPredicate]) -> Mark {
    let Some(TreeKey::Columns(key)) = descriptor.map(|descriptor| &descriptor.key) else { return Mark::Tree };
    let mut prefix = Vec::new();
    for (at, column) in key.iter().enumerate() {
        let Some(value) = equal(predicates, *column) else { return bounded(prefix, at, predicates, *column) };
        encode_key(&mut prefix, value.as_ref(), false);
    }
    Mark::Key(prefix.into())
}

fn equal(predicates: &[ColumnPredicate], column: ColumnId) -> Option<&Datum> {
    predicates.iter().filter(|predicate| predicate.column == column).find_map(|predicate| match &predicate.op {
        PredicateOp::Compare(CompareOp::Eq, value) => Some(value),
        PredicateOp::In(values) if values.len() == 1 => values.first(),
        _ => None,
    })
}

/// All keys that begin with `prefix` and have the next column within its comparisons.
fn bounded(prefix: Vec<u8>, fixed: usize, predicates: &[ColumnPredicate], column: ColumnId) -> Mark {
    let encoded = |value: &Datum| {
        let mut key = prefix.clone();
        encode_key(&mut key, value.as_ref(), false);
        key
    };
    let (mut lower, mut upper): (Option<Vec<u8>>, Option<Vec<u8>>) = (None, None);
    for predicate in predicates.iter().filter(|predicate| predicate.column == column) {
        match &predicate.op {
            PredicateOp::Compare(CompareOp::Gt | CompareOp::GtEq, value) => {
                lower = lower.max(Some(encoded(value)));
            }
            PredicateOp::Compare(CompareOp::Lt | CompareOp::LtEq, value) => {
                let bound = encoded(value);
                upper = Some(upper.map_or(bound.clone(), |known| known.min(bound)));
            }
            PredicateOp::In(values) => {
                let all = || values.iter().map(encoded);
                lower = lower.max(all().min());
                upper = match (upper, all().max()) {
                    (Some(known), Some(most)) => Some(known.min(most)),
                    (known, most) => known.or(most),
                };
            }
            _ => {}
        }
    }
    if fixed == 0 && lower.is_none() && upper.is_none() {
        return Mark::Tree;
    }
    let upper = upper.map_or_else(|| after_prefix(&prefix), |upper| after_prefix(&upper));
    let lower: Bytes = lower.unwrap_or(prefix).into();
    Mark::Range(KeyRange { lower, upper, reverse: false })
}

#[cfg(test)]
mod tests {
    use heliosdb_contracts::ColumnDescriptor;
    use heliosdb_types::{PhysicalType, SchemaVersion, TreeRef};

    use super::*;

    fn key(values: &[i32]) -> Vec<u8> {
        let mut out = Vec::new();
        values.iter().for_each(|value| encode_key(&mut out, Datum::Int32(*value).as_ref(), false));
        out
    }

    fn compare(column: u32, op: CompareOp, value: i32) -> ColumnPredicate {
        ColumnPredicate { column: ColumnId(column), op: PredicateOp::Compare(op, Datum::Int32(value)) }
    }

    #[test]
    fn predicates_on_the_key_confine_a_scan() {
        let column =
            |id| ColumnDescriptor { id: ColumnId(id), physical: PhysicalType::Int32, nullable: false, missing: None };
        let descriptor = TreeDescriptor {
            tree: TreeRef::default(),
            version: SchemaVersion(1),
            columns: vec![column(1), column(2), column(3)],
            key: TreeKey::Columns(vec![ColumnId(1), ColumnId(2)]),
            sort: None,
        };
        let mark = |predicates: &[ColumnPredicate]| scanned(Some(&descriptor), predicates);
        assert!(matches!(mark(&[]), Mark::Tree));
        assert!(matches!(mark(&[compare(3, CompareOp::Eq, 1)]), Mark::Tree));
        let both = [compare(2, CompareOp::Eq, 7), compare(1, CompareOp::Eq, 5)];
        assert!(matches!(mark(&both), Mark::Key(found) if found == key(&[5, 7])));
        let Mark::Range(one) = mark(&[compare(1, CompareOp::Eq, 5)]) else { panic!("a range") };
        assert!(one.contains(&key(&[5, -100])) && one.contains(&key(&[5, 100])));
        assert!(!one.contains(&key(&[4, 0])) && !one.contains(&key(&[6, 0])));
        let between = [compare(1, CompareOp::Eq, 5), compare(2, CompareOp::Gt, 1), compare(2, CompareOp::LtEq, 9)];
        let Mark::Range(range) = mark(&between) else { panic!("a range") };
        assert!(range.contains(&key(&[5, 2])) && range.contains(&key(&[5, 9])) && !range.contains(&key(&[5, 10])));
        let Mark::Range(open) = mark(&[compare(1, CompareOp::Lt, 5)]) else { panic!("a range") };
        assert!(open.contains(&key(&[-9, 0])) && open.contains(&key(&[5, 0])) && !open.contains(&key(&[6, 0])));
    }
}
