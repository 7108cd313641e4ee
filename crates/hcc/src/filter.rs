//! Predicates compiled once per scan, then evaluated on encoded blocks, on zone maps, and on single values.

use std::sync::Arc;

use memchr::memmem::Finder;

use heliosdb_types::{Datum, DatumRef, Error, KeySet, PhysicalType, Result};

use crate::kind::Kind;
use crate::order::{comparable_bytes, datum_bytes, datum_key};
use crate::stats::BlockStats;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareOp {
    Eq,
    NotEq,
    Lt,
    LtEq,
    Gt,
    GtEq,
}

/// A test of one column. Values have the column's type; NULL among them matches nothing.
#[derive(Clone, Copy, Debug)]
pub enum Predicate<'a> {
    Compare(CompareOp, &'a Datum),
    In(&'a [Datum]),
    IsNull,
    IsNotNull,
    /// `LIKE 'abc%'`, text only.
    StartsWith(&'a str),
    /// `LIKE '%abc%'`, text only.
    Contains(&'a str),
    /// Whole numbers and days only.
    Member(&'a Arc<KeySet>),
}

/// A predicate translated for one column type.
#[derive(Clone, Debug)]
pub struct Filter {
    pub(crate) physical: PhysicalType,
    pub(crate) test: Test,
}

#[derive(Clone, Debug)]
pub(crate) enum Test {
    IsNull,
    IsNotNull,
    /// The order key lies in one of these: disjoint, ascending, both ends included. None: nothing matches.
    Ranges(Vec<(i128, i128)>),
    /// The order key is in the set; only of types whose order key is the number itself.
    Member(Arc<KeySet>),
    Bytes(BytesTest),
}

#[derive(Clone, Debug)]
pub(crate) enum BytesTest {
    Compare(CompareOp, Vec<u8>),
    /// Ascending.
    In(Vec<Vec<u8>>),
    StartsWith(Vec<u8>),
    Contains(Box<Finder<'static>>),
}

impl CompareOp {
    pub(crate) fn accepts(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            CompareOp::Eq => ordering.is_eq(),
            CompareOp::NotEq => ordering.is_ne(),
            CompareOp::Lt => ordering.is_lt(),
            CompareOp::LtEq => ordering.is_le(),
            CompareOp::Gt => ordering.is_gt(),
            CompareOp::GtEq => ordering.is_ge(),
        }
    }

    fn ranges(self, key: i128) -> Vec<(i128, i128)> {
        let below = || key.checked_sub(1).map(|high| (i128::MIN, high));
        let above = || key.checked_add(1).map(|low| (low, i128::MAX));
        match self {
            CompareOp::Eq => vec![(key, key)],
            CompareOp::NotEq => below().into_iter().chain(above()).collect(),
            CompareOp::Lt => below().into_iter().collect(),
            CompareOp::LtEq => vec![(i128::MIN, key)],
            CompareOp::Gt => above().into_iter().collect(),
            CompareOp::GtEq => vec![(key, i128::MAX)],
        }
    }
}

impl BytesTest {
    /// `value` is comparable bytes.
    pub(crate) fn matches(&self, value: &[u8]) -> bool {
        match self {
            BytesTest::Compare(op, literal) => op.accepts(value.cmp(literal.as_slice())),
            BytesTest::In(list) => list.binary_search_by(|item| item.as_slice().cmp(value)).is_ok(),
            BytesTest::StartsWith(prefix) => value.starts_with(prefix),
            BytesTest::Contains(finder) => finder.find(value).is_some(),
        }
    }

    /// What it says of the empty string and of all others, if that is all it looks at.
    pub(crate) fn by_emptiness(&self) -> Option<(bool, bool)> {
        match self {
            BytesTest::Compare(op, literal) if literal.is_empty() => {
                Some((op.accepts(std::cmp::Ordering::Equal), op.accepts(std::cmp::Ordering::Greater)))
            }
            _ => None,
        }
    }

    fn may_match(&self, min: Option<&[u8]>, max: Option<&[u8]>) -> bool {
        let in_bounds = |value: &[u8]| min.is_none_or(|min| min <= value) && max.is_none_or(|max| value <= max);
        match self {
            BytesTest::Compare(CompareOp::Eq, v) => in_bounds(v),
            // Bounds that are equal are exact: a cut minimum lies below its rounded maximum.
            BytesTest::Compare(CompareOp::NotEq, v) => min.is_none() || min != max || min != Some(v.as_slice()),
            BytesTest::Compare(CompareOp::Lt, v) => min.is_none_or(|min| min < v.as_slice()),
            BytesTest::Compare(CompareOp::LtEq, v) => min.is_none_or(|min| min <= v.as_slice()),
            BytesTest::Compare(CompareOp::Gt, v) => max.is_none_or(|max| max > v.as_slice()),
            BytesTest::Compare(CompareOp::GtEq, v) => max.is_none_or(|max| max >= v.as_slice()),
            BytesTest::In(list) => list.iter().any(|v| in_bounds(v)),
            BytesTest::StartsWith(prefix) => {
                let prefix = prefix.as_slice();
                max.is_none_or(|max| max >= prefix) && min.is_none_or(|min| min <= prefix || min.starts_with(prefix))
            }
            BytesTest::Contains(_) => true,
        }
    }
}

pub(crate) fn in_ranges(ranges: &[(i128, i128)], key: i128) -> bool {
    let after = ranges.partition_point(|(low, _)| *low <= key);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, high)| key <= *high)
}

/// Whether a set has a key, which is a number of 64 bits wherever sets are asked.
pub(crate) fn member(set: &KeySet, key: i128) -> bool {
    i64::try_from(key).is_ok_and(|number| set.contains(number))
}

fn cut(key: i128) -> i64 {
    key.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

/// Sorts and joins ranges that touch.
fn normalised(mut ranges: Vec<(i128, i128)>) -> Vec<(i128, i128)> {
    ranges.sort_unstable();
    let mut out: Vec<(i128, i128)> = Vec::with_capacity(ranges.len());
    for (low, high) in ranges {
        match out.last_mut() {
            Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
            _ => out.push((low, high)),
        }
    }
    out
}

/// What is in both; each is disjoint and ascending, and so is the outcome.
fn common(a: &[(i128, i128)], b: &[(i128, i128)]) -> Vec<(i128, i128)> {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut out = Vec::new();
    while let (Some((a_low, a_high)), Some((b_low, b_high))) = (a.peek().copied(), b.peek().copied()) {
        let (low, high) = (*a_low.max(b_low), *a_high.min(b_high));
        if low <= high {
            out.push((low, high));
        }
        if a_high < b_high {
            a.next();
        } else {
            b.next();
        }
    }
    out
}

impl Filter {
    /// Translates a predicate; a value of another type than the column's is an internal error.
    pub fn compile(predicate: &Predicate<'_>, physical: PhysicalType) -> Result<Filter> {
        let test = match (predicate, Kind::of(physical)) {
            (Predicate::IsNull, _) => Test::IsNull,
            (Predicate::IsNotNull, _) => Test::IsNotNull,
            (Predicate::Compare(op, datum), Kind::Var) => match datum_bytes(datum, physical)? {
                Some(bytes) => Test::Bytes(BytesTest::Compare(*op, bytes.to_vec())),
                None => Test::Ranges(vec![]),
            },
            (Predicate::Compare(op, datum), _) => {
                Test::Ranges(datum_key(datum, physical)?.map_or_else(Vec::new, |key| op.ranges(key)))
            }
            (Predicate::In(list), Kind::Var) => {
                let mut values = Vec::with_capacity(list.len());
                for datum in *list {
                    values.extend(datum_bytes(datum, physical)?.map(<[u8]>::to_vec));
                }
                values.sort_unstable();
                values.dedup();
                Test::Bytes(BytesTest::In(values))
            }
            (Predicate::In(list), _) => {
                let mut ranges = Vec::with_capacity(list.len());
                for datum in *list {
                    ranges.extend(datum_key(datum, physical)?.map(|key| (key, key)));
                }
                Test::Ranges(normalised(ranges))
            }
            (Predicate::StartsWith(prefix), _) if physical == PhysicalType::Text => {
                Test::Bytes(BytesTest::StartsWith(prefix.as_bytes().to_vec()))
            }
            (Predicate::Contains(needle), _) if physical == PhysicalType::Text => {
                Test::Bytes(BytesTest::Contains(Box::new(Finder::new(needle.as_bytes()).into_owned())))
            }
            (Predicate::Member(set), _)
                if matches!(
                    physical,
                    PhysicalType::Int16 | PhysicalType::Int32 | PhysicalType::Int64 | PhysicalType::Date
                ) =>
            {
                Test::Member(Arc::clone(set))
            }
            _ => return Err(Error::internal(format!("{predicate:?} does not fit a column of type {physical:?}"))),
        };
        Ok(Filter { physical, test })
    }

    /// Both tests in one, so that a column is looked at once; `None` if there is no such test.
    pub fn and(&self, other: &Filter) -> Option<Filter> {
        match (&self.test, &other.test) {
            (Test::Ranges(a), Test::Ranges(b)) if self.physical == other.physical => {
                Some(Filter { physical: self.physical, test: Test::Ranges(common(a, b)) })
            }
            _ => None,
        }
    }

    /// Whether one value matches: the definition the block evaluation agrees with, for rows that are not in blocks.
    pub fn matches(&self, value: &DatumRef<'_>) -> bool {
        match (&self.test, value) {
            (Test::IsNull, value) => value.is_null(),
            (Test::IsNotNull, value) => !value.is_null(),
            (_, DatumRef::Null) => false,
            (Test::Ranges(ranges), value) => {
                datum_key(&value.to_owned(), self.physical).ok().flatten().is_some_and(|key| in_ranges(ranges, key))
            }
            (Test::Member(set), value) => set.holds(value),
            (Test::Bytes(test), DatumRef::Text(text)) => test.matches(text.as_bytes()),
            (Test::Bytes(test), DatumRef::Bytes(bytes) | DatumRef::Numeric(bytes)) => {
                test.matches(comparable_bytes(bytes, self.physical))
            }
            _ => false,
        }
    }

    /// False only if no row of a block with these statistics can match.
    pub fn may_match(&self, stats: &BlockStats) -> bool {
        if matches!(self.test, Test::IsNull) {
            return stats.null_count > 0;
        }
        if stats.null_count >= stats.rows {
            return false;
        }
        match &self.test {
            Test::IsNull | Test::IsNotNull => true,
            Test::Ranges(ranges) => {
                let (low, high) = self.key_bounds(stats);
                ranges.iter().any(|(from, to)| *from <= high && low <= *to)
            }
            Test::Member(set) => {
                let (low, high) = self.key_bounds(stats);
                set.meets(cut(low), cut(high))
            }
            Test::Bytes(test) => {
                let bound = |bound: &'_ Option<Datum>| match bound {
                    Some(datum) => datum_bytes(datum, self.physical).ok().flatten().map(<[u8]>::to_vec),
                    None => None,
                };
                test.may_match(bound(&stats.min).as_deref(), bound(&stats.max).as_deref())
            }
        }
    }

    /// True only if every row of a block with these statistics matches, so that the column need not be read.
    pub fn must_match(&self, stats: &BlockStats) -> bool {
        match &self.test {
            Test::IsNull => stats.null_count == stats.rows,
            Test::IsNotNull => stats.null_count == 0,
            Test::Ranges(ranges) => {
                let (low, high) = self.key_bounds(stats);
                stats.null_count == 0 && ranges.iter().any(|(from, to)| *from <= low && high <= *to)
            }
            Test::Member(_) | Test::Bytes(_) => false,
        }
    }

    fn key_bounds(&self, stats: &BlockStats) -> (i128, i128) {
        let key =
            |bound: &Option<Datum>| bound.as_ref().and_then(|datum| datum_key(datum, self.physical).ok().flatten());
        (key(&stats.min).unwrap_or(i128::MIN), key(&stats.max).unwrap_or(i128::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(min: Datum, max: Datum, null_count: u32) -> BlockStats {
        BlockStats { rows: 10, null_count, min: Some(min), max: Some(max) }
    }

    #[test]
    fn zone_maps_prune_and_prove() {
        let block = stats(Datum::Int32(10), Datum::Int32(20), 0);
        let filter = |op, v| Filter::compile(&Predicate::Compare(op, &Datum::Int32(v)), PhysicalType::Int32).unwrap();
        assert!(!filter(CompareOp::Gt, 20).may_match(&block));
        assert!(filter(CompareOp::GtEq, 20).may_match(&block));
        assert!(!filter(CompareOp::Eq, 9).may_match(&block));
        assert!(filter(CompareOp::LtEq, 20).must_match(&block));
        assert!(!filter(CompareOp::LtEq, 20).must_match(&BlockStats { null_count: 1, ..block.clone() }));
        assert!(!filter(CompareOp::NotEq, 5).may_match(&stats(Datum::Int32(5), Datum::Int32(5), 0)));
        let null = Filter::compile(&Predicate::Compare(CompareOp::NotEq, &Datum::Null), PhysicalType::Int32).unwrap();
        assert!(!null.may_match(&block));
    }

    #[test]
    fn tests_of_one_column_are_joined() {
        let int = |v: i32| Datum::Int32(v);
        let compile = |predicate: &Predicate<'_>| Filter::compile(predicate, PhysicalType::Int32).unwrap();
        let lists = [[int(1), int(5), int(9)].to_vec(), vec![int(5), int(6), Datum::Null], vec![]];
        let mut filters: Vec<Filter> = lists.iter().map(|list| compile(&Predicate::In(list))).collect();
        for op in [CompareOp::Eq, CompareOp::NotEq, CompareOp::Lt, CompareOp::LtEq, CompareOp::Gt, CompareOp::GtEq] {
            filters.extend([5, 7, i32::MIN].map(|v| compile(&Predicate::Compare(op, &int(v)))));
        }
        for a in &filters {
            for b in &filters {
                let both = a.and(b).unwrap();
                for value in (-1..12).chain([i32::MIN, i32::MAX]).map(DatumRef::Int32) {
                    assert_eq!(both.matches(&value), a.matches(&value) && b.matches(&value), "{a:?} {b:?} {value:?}");
                }
            }
        }
        let is_null = compile(&Predicate::IsNull);
        assert!(is_null.and(&filters[0]).is_none());
    }

    #[test]
    fn prefixes_meet_cut_bounds() {
        let block = stats(Datum::Text("carrot".into()), Datum::Text("date".into()), 0);
        let starts = |p| Filter::compile(&Predicate::StartsWith(p), PhysicalType::Text).unwrap().may_match(&block);
        assert!(starts("c") && starts("carrots") && starts("d") && starts(""));
        assert!(!starts("b") && !starts("caa") && !starts("e"));
    }

    #[test]
    fn a_value_of_another_type_is_refused() {
        let decimal = Datum::Decimal { unscaled: 5, scale: 3 };
        let column = PhysicalType::Decimal64 { precision: 10, scale: 2 };
        assert!(Filter::compile(&Predicate::Compare(CompareOp::Eq, &decimal), column).is_err());
        assert!(Filter::compile(&Predicate::StartsWith("x"), PhysicalType::Bytes).is_err());
    }
}
