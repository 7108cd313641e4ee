//! Which ranges of an index hold every row that can match.
//!
//! A path is a set of key ranges of one tree (the table's own, which is ordered by its primary key, or an index'). Conditions on
//! the first columns are equalities and lists; on the next one, bounds. Whatever a range lets through is tested again, so a
//! range may be too wide and must never be too narrow.

use heliosdb_contracts::{ColumnPredicate, CompareOp, KeyRange, PredicateOp, after_prefix};
use heliosdb_types::{ColumnId, CommitTs, Datum, DatumRef, TreeRef, encode_key};

use super::entry::encode_part;
use super::keys::{Conjuncts, TableKey, TableKeys};
use crate::catalog::Relation;

/// More ranges than this are as many lookups as a scan has blocks.
const RANGES_MAX: usize = 2000;

/// Ranges of one tree.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Path {
    /// The index' name, to be shown.
    pub name: String,
    pub tree: TreeRef,
    /// Entries name rows; otherwise the tree is the table.
    pub entries: bool,
    /// Without overlap, smallest first.
    pub ranges: Vec<KeyRange>,
    /// Key columns whose values the ranges fix.
    pub fixed: usize,
    /// The last range has bounds on the column after them.
    pub bounded: bool,
    /// Each range holds one row at most.
    pub unique: bool,
}

/// A column of a tree's key, or a value computed from columns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyPart {
    pub column: ColumnId,
    pub descending: bool,
    /// `None`: the key of the table's tree, which has no NULLs.
    pub nulls_first: Option<bool>,
}

impl KeyPart {
    pub fn encode(&self, out: &mut Vec<u8>, value: DatumRef<'_>) {
        match self.nulls_first {
            Some(nulls_first) => encode_part(out, value, self.descending, nulls_first),
            None => encode_key(out, value, false),
        }
    }

    fn encoded(&self, prefix: &[u8], value: &Datum) -> Vec<u8> {
        let mut out = prefix.to_vec();
        self.encode(&mut out, value.as_ref());
        out
    }
}

/// What is known of the rows a statement wants of one table.
pub(crate) struct Wanted<'a> {
    pub relation: &'a Relation,
    pub keys: &'a TableKeys,
    /// Over bare columns.
    pub conjuncts: &'a Conjuncts,
    /// What they and what comes up while the statement runs say of columns and computed values.
    pub conditions: &'a [ColumnPredicate],
    pub snapshot: CommitTs,
}

impl<'a> Wanted<'a> {
    /// The keys that have every wanted row.
    pub fn usable(&self) -> impl Iterator<Item = &'a TableKey> + '_ {
        self.keys.keys.iter().filter(|key| {
            key.is_readable(self.snapshot) && key.covers(self.keys, self.relation, self.conjuncts, self.conditions)
        })
    }
}

/// Every path the conditions open, best guess first: more fixed columns, then bounds.
pub(crate) fn paths(wanted: &Wanted<'_>) -> Vec<Path> {
    let mut found: Vec<Path> = wanted.usable().filter_map(|key| path_of(key, wanted.conditions)).collect();
    found.sort_by_key(|path| (!path.unique, std::cmp::Reverse((path.fixed, path.bounded))));
    found
}

fn path_of(key: &TableKey, conditions: &[ColumnPredicate]) -> Option<Path> {
    let (ranges, fixed, bounded) = match ranges(&key.parts, conditions) {
        Some(found) => found,
        // A partial index has fewer rows than the table even as a whole.
        None if !key.predicate.is_empty() => (vec![KeyRange::prefix(&[])], 0, false),
        None => return None,
    };
    let unique = key.unique && fixed == key.columns;
    let ranges = if key.entries { ranges.iter().map(entry_range).collect() } else { ranges };
    Some(Path { name: key.name.clone(), tree: key.tree, entries: key.entries, ranges, fixed, bounded, unique })
}

/// The tree keys of a range of entry keys.
pub(crate) fn entry_range(range: &KeyRange) -> KeyRange {
    let open = |bytes: &[u8]| {
        let mut key = Vec::with_capacity(bytes.len() + 8);
        encode_key(&mut key, DatumRef::Bytes(bytes), false);
        // Without its end, so that it is below everything it begins.
        key.truncate(key.len().saturating_sub(2));
        key
    };
    let upper = match &range.upper {
        Some(upper) => Some(open(upper).into()),
        None => after_prefix(&open(&[])),
    };
    KeyRange { lower: open(&range.lower).into(), upper, reverse: range.reverse }
}

/// The ranges of a key that hold every row meeting the predicates, how many of its first columns they fix, and whether they have
/// bounds on the next; `None` if they say nothing of the first.
pub(crate) fn ranges(parts: &[KeyPart], predicates: &[ColumnPredicate]) -> Option<(Vec<KeyRange>, usize, bool)> {
    let mut prefixes: Vec<Vec<u8>> = vec![Vec::new()];
    let mut fixed = 0;
    for part in parts {
        let Some(values) = values_of(part, predicates).filter(|values| values.len() * prefixes.len() <= RANGES_MAX)
        else {
            break;
        };
        prefixes = prefixes.iter().flat_map(|prefix| values.iter().map(|value| part.encoded(prefix, value))).collect();
        fixed += 1;
    }
    let bounds = parts.get(fixed).map(|part| bounds(part, predicates)).unwrap_or_default();
    if fixed == 0 && bounds.is_empty() {
        return None;
    }
    let mut ranges: Vec<KeyRange> = prefixes
        .iter()
        .map(|prefix| {
            let mut range = KeyRange::prefix(prefix);
            for bound in &bounds {
                let (lower, upper) = bound.over(prefix);
                if let Some(lower) = lower.filter(|lower| *lower > range.lower) {
                    range.lower = lower;
                }
                if let Some(upper) = upper.filter(|upper| range.upper.as_ref().is_none_or(|old| upper < old)) {
                    range.upper = Some(upper);
                }
            }
            range
        })
        .collect();
    ranges.sort_by(|a, b| a.lower.cmp(&b.lower));
    ranges.dedup();
    Some((ranges, fixed, !bounds.is_empty()))
}

/// The values a column can have, if they are few.
fn values_of(part: &KeyPart, predicates: &[ColumnPredicate]) -> Option<Vec<Datum>> {
    let mut shortest: Option<Vec<Datum>> = None;
    for predicate in predicates.iter().filter(|predicate| predicate.column == part.column) {
        let values = match &predicate.op {
            PredicateOp::Compare(CompareOp::Eq, value) => vec![value.clone()],
            PredicateOp::In(values) => values.clone(),
            PredicateOp::IsNull if part.nulls_first.is_some() => vec![Datum::Null],
            _ => continue,
        };
        if shortest.as_ref().is_none_or(|known| values.len() < known.len()) {
            shortest = Some(values);
        }
    }
    shortest
}

/// One bound of a column, as bytes after the columns before it.
struct Bound {
    lower: Option<Vec<u8>>,
    /// The lower bound is behind every key that begins so.
    lower_after: bool,
    upper: Option<Vec<u8>>,
    upper_after: bool,
}

impl Bound {
    fn over(&self, prefix: &[u8]) -> (Option<bytes::Bytes>, Option<bytes::Bytes>) {
        let place = |bytes: &Option<Vec<u8>>, after: bool| {
            let mut key = prefix.to_vec();
            key.extend_from_slice(bytes.as_ref()?);
            if after { after_prefix(&key) } else { Some(key.into()) }
        };
        (place(&self.lower, self.lower_after), place(&self.upper, self.upper_after))
    }
}

fn bounds(part: &KeyPart, predicates: &[ColumnPredicate]) -> Vec<Bound> {
    let mut bounds = Vec::new();
    for predicate in predicates.iter().filter(|predicate| predicate.column == part.column) {
        let (value, greater, inclusive) = match &predicate.op {
            PredicateOp::Compare(CompareOp::Gt, value) => (value, true, false),
            PredicateOp::Compare(CompareOp::GtEq, value) => (value, true, true),
            PredicateOp::Compare(CompareOp::Lt, value) => (value, false, false),
            PredicateOp::Compare(CompareOp::LtEq, value) => (value, false, true),
            PredicateOp::StartsWith(text) if !part.descending => {
                let mut bytes = part.encoded(&[], &Datum::Text(text.clone()));
                bytes.truncate(bytes.len().saturating_sub(2));
                bounds.push(Bound {
                    lower: Some(bytes.clone()),
                    lower_after: false,
                    upper: Some(bytes),
                    upper_after: true,
                });
                continue;
            }
            _ => continue,
        };
        let bytes = Some(part.encoded(&[], value));
        // Greater values have greater keys unless the column is descending.
        bounds.push(if greater != part.descending {
            Bound { lower: bytes, lower_after: !inclusive, upper: None, upper_after: false }
        } else {
            Bound { lower: None, lower_after: false, upper: bytes, upper_after: inclusive }
        });
    }
    bounds
}

#[cfg(test)]
mod tests {
    use heliosdb_types::ColumnId;

    use super::*;

    fn part(column: u32, descending: bool) -> KeyPart {
        KeyPart { column: ColumnId(column), descending, nulls_first: Some(descending) }
    }

    fn compare(column: u32, op: CompareOp, value: i32) -> ColumnPredicate {
        ColumnPredicate { column: ColumnId(column), op: PredicateOp::Compare(op, Datum::Int32(value)) }
    }

    /// Ranges hold exactly the values (of -3..=3 and NULL) that the predicates on one column keep.
    fn held(parts: &[KeyPart], predicates: &[ColumnPredicate]) -> Vec<Option<i32>> {
        let (ranges, ..) = ranges(parts, predicates).unwrap();
        let values = (-3..=3).map(|v| (Some(v), Datum::Int32(v))).chain([(None, Datum::Null)]);
        let kept = values.filter(|(_, value)| {
            let mut key = Vec::new();
            parts[0].encode(&mut key, value.as_ref());
            key.extend_from_slice(b"row");
            let tree_key = super::super::entry::tree_key(&key);
            let inside = ranges.iter().any(|range| range.contains(&key));
            assert_eq!(inside, ranges.iter().any(|range| entry_range(range).contains(&tree_key)), "{value:?}");
            inside
        });
        kept.map(|(value, _)| value).collect()
    }

    #[test]
    fn ranges_hold_what_conditions_keep() {
        use CompareOp::{Eq, Gt, GtEq, Lt, LtEq};
        for descending in [false, true] {
            let parts = [part(1, descending)];
            assert_eq!(held(&parts, &[compare(1, Eq, 2)]), [Some(2)]);
            let between = [compare(1, Gt, -2), compare(1, LtEq, 1)];
            assert_eq!(held(&parts, &between), [Some(-1), Some(0), Some(1)]);
            let other = [compare(1, GtEq, -2), compare(1, Lt, 0), compare(1, GtEq, -3)];
            assert_eq!(held(&parts, &other), [Some(-2), Some(-1)]);
            let list = vec![Datum::Int32(3), Datum::Int32(-3)];
            let list = [ColumnPredicate { column: ColumnId(1), op: PredicateOp::In(list) }];
            assert_eq!(held(&parts, &list), [Some(-3), Some(3)]);
            let null = [ColumnPredicate { column: ColumnId(1), op: PredicateOp::IsNull }];
            assert_eq!(held(&parts, &null), [None]);
        }
        let two = [part(1, false), part(2, true)];
        let (ranges, fixed, bounded) = ranges(&two, &[compare(2, Gt, 5), compare(1, Eq, 1)]).unwrap();
        assert_eq!((ranges.len(), fixed, bounded), (1, 1, true));
        assert!(super::ranges(&two, &[compare(2, Eq, 5)]).is_none(), "the first column must be known");
    }
}
