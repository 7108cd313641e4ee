//! Which share of rows a condition keeps.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CastExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NotExpr,
};
use datafusion::physical_expr::{PhysicalExpr, split_conjunction};

use super::facts::{ColumnFacts, Estimate};
use super::{UNKNOWN_EQUAL, UNKNOWN_LESS, UNKNOWN_OTHER, UNKNOWN_RANGE, known, together};
use crate::catalog::{Place, Profile};
use crate::exec::pushdown;

/// The least share anything keeps.
const LEAST: f64 = 1e-10;

pub(super) type Condition = Arc<dyn PhysicalExpr>;

/// The rows a condition leaves, and what it says of their columns.
pub(crate) fn filtered(input: &Estimate, conditions: &[Condition]) -> Estimate {
    let conditions: Vec<&Condition> = conditions.iter().flat_map(split_conjunction).collect();
    let share = all(&conditions, input);
    let mut out = input.clone().with_rows(input.rows * share);
    for condition in conditions {
        narrow(condition, &mut out);
    }
    out
}

/// The share that one condition keeps.
pub(super) fn one(condition: &Condition, input: &Estimate) -> f64 {
    all(&split_conjunction(condition), input)
}

/// A bound on one side of a column.
#[derive(Default)]
struct Bounds {
    column: usize,
    below: Option<f64>,
    above: Option<f64>,
}

/// Two bounds of one column are one range: what is below the upper and not below the lower.
fn all(conditions: &[&Condition], input: &Estimate) -> f64 {
    let (mut share, done) = together::equal(conditions, input);
    let mut ranges = Vec::<Bounds>::new();
    for (_, condition) in conditions.iter().enumerate().filter(|(at, _)| !done.contains(at)) {
        let bound = compared(condition, input).filter(|found| is_inequality(found.op) && found.facts.profile.is_some());
        let Some(found) = bound else {
            share *= single(condition, input);
            continue;
        };
        let kept = comparison(&found);
        let at = ranges.iter().position(|range| range.column == found.column).unwrap_or_else(|| {
            ranges.push(Bounds { column: found.column, ..Bounds::default() });
            ranges.len() - 1
        });
        if let Some(range) = ranges.get_mut(at) {
            let side = match found.op {
                Operator::Lt | Operator::LtEq => &mut range.below,
                _ => &mut range.above,
            };
            *side = Some(side.map_or(kept, |other| other.min(kept)));
        }
    }
    for range in ranges {
        let nulls = input.column(range.column).map_or(0.0, |facts| facts.null_frac);
        share *= match (range.below, range.above) {
            (Some(below), Some(above)) => {
                let between = below + above + nulls - 1.0;
                if between > LEAST { between } else { narrowest(input.column(range.column)) }
            }
            (one, other) => one.or(other).unwrap_or(1.0),
        };
    }
    share.clamp(LEAST, 1.0)
}

/// Of a range too narrow to be told from none: about one value.
fn narrowest(facts: Option<&ColumnFacts>) -> f64 {
    facts.map_or(UNKNOWN_RANGE, |facts| (1.0 / facts.distinct).min(UNKNOWN_RANGE)).max(LEAST)
}

fn single(condition: &Condition, input: &Estimate) -> f64 {
    if let Some(literal) = condition.downcast_ref::<Literal>() {
        return if matches!(literal.value(), ScalarValue::Boolean(Some(true))) { 1.0 } else { LEAST };
    }
    if let Some(found) = compared(condition, input)
        && found.facts.profile.is_some()
    {
        return comparison(&found);
    }
    if let Some(binary) = condition.downcast_ref::<BinaryExpr>() {
        match binary.op() {
            Operator::And => return one(condition, input),
            Operator::Or => return either(binary, input),
            _ => {}
        }
    }
    if let Some(test) = condition.downcast_ref::<IsNullExpr>() {
        return column(test.arg(), input).map_or(UNKNOWN_EQUAL, |(_, facts)| facts.null_frac).max(LEAST);
    }
    if let Some(test) = condition.downcast_ref::<IsNotNullExpr>() {
        return column(test.arg(), input).map_or(1.0 - UNKNOWN_EQUAL, |(_, facts)| 1.0 - facts.null_frac);
    }
    if let Some(list) = condition.downcast_ref::<InListExpr>()
        && let Some(kept) = in_list(list, input)
    {
        return kept;
    }
    if let Some(kept) = known::holds(condition, input) {
        return kept;
    }
    if let Some(not) = condition.downcast_ref::<NotExpr>() {
        return (1.0 - one(not.arg(), input)).max(LEAST);
    }
    unknown(condition, input)
}

fn either(binary: &BinaryExpr, input: &Estimate) -> f64 {
    let (a, b) = (one(binary.left(), input), one(binary.right(), input));
    // Two values of one column exclude each other.
    let same = |side: &Condition| compared(side, input).filter(|c| c.op == Operator::Eq).map(|c| c.column);
    let exclusive = same(binary.left()).is_some_and(|left| same(binary.right()) == Some(left));
    (if exclusive { a + b } else { a + b - a * b }).clamp(LEAST, 1.0)
}

fn unknown(condition: &Condition, input: &Estimate) -> f64 {
    if let Some(binary) = condition.downcast_ref::<BinaryExpr>() {
        let (left, right) = (column(binary.left(), input), column(binary.right(), input));
        let distinct = match (left, right) {
            (Some((_, a)), Some((_, b))) => Some(a.distinct.max(b.distinct)),
            (Some((_, a)), None) | (None, Some((_, a))) => Some(a.distinct),
            _ => None,
        };
        return match binary.op() {
            Operator::Eq => distinct.map_or(UNKNOWN_EQUAL, |distinct| 1.0 / distinct.max(1.0)),
            Operator::NotEq => distinct.map_or(1.0 - UNKNOWN_EQUAL, |distinct| 1.0 - 1.0 / distinct.max(1.0)).max(0.1),
            op if is_inequality(*op) => UNKNOWN_LESS,
            _ => UNKNOWN_OTHER,
        };
    }
    if let Some(like) = condition.downcast_ref::<LikeExpr>() {
        return if like.negated() { 1.0 - UNKNOWN_EQUAL } else { UNKNOWN_EQUAL };
    }
    if let Some(list) = condition.downcast_ref::<InListExpr>() {
        let kept = (UNKNOWN_EQUAL * list.list().len() as f64).min(1.0);
        return if list.negated() { 1.0 - kept } else { kept };
    }
    UNKNOWN_OTHER
}

fn is_inequality(op: Operator) -> bool {
    matches!(op, Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq)
}

/// A column of the input, perhaps cast.
pub(super) fn column<'a>(expr: &Condition, input: &'a Estimate) -> Option<(usize, &'a ColumnFacts)> {
    if let Some(column) = expr.downcast_ref::<Column>() {
        return Some((column.index(), input.column(column.index())?));
    }
    column(expr.downcast_ref::<CastExpr>()?.expr(), input)
}

/// `column op constant`.
pub(super) struct Compared<'a> {
    pub column: usize,
    pub facts: &'a ColumnFacts,
    pub op: Operator,
    pub value: Place,
}

pub(super) fn compared<'a>(condition: &Condition, input: &'a Estimate) -> Option<Compared<'a>> {
    let binary = condition.downcast_ref::<BinaryExpr>()?;
    let side = |expr: &Condition| expr.downcast_ref::<Column>().map(Column::index);
    let (column, op, constant) = match side(binary.left()) {
        Some(column) => (column, *binary.op(), binary.right()),
        None => (side(binary.right())?, binary.op().swap()?, binary.left()),
    };
    if !is_inequality(op) && !matches!(op, Operator::Eq | Operator::NotEq) {
        return None;
    }
    let facts = input.column(column)?;
    let (sql_type, physical) = facts.types.as_ref()?;
    let value = pushdown::datum(constant.downcast_ref::<Literal>()?.value(), *physical)?;
    Some(Compared { column, facts, op, value: Place::of(sql_type, value) })
}

fn comparison(found: &Compared<'_>) -> f64 {
    let Some(profile) = &found.facts.profile else { return UNKNOWN_OTHER };
    let present = 1.0 - profile.null_frac;
    let equal = equal(profile, found.facts.distinct, &found.value);
    let kept = match found.op {
        Operator::Eq => equal,
        Operator::NotEq => present - equal,
        Operator::Lt => below(profile, found.facts.distinct, &found.value, false),
        Operator::LtEq => below(profile, found.facts.distinct, &found.value, true),
        Operator::Gt => present - below(profile, found.facts.distinct, &found.value, true),
        _ => present - below(profile, found.facts.distinct, &found.value, false),
    };
    kept.clamp(LEAST, 1.0)
}

/// The share of rows with one value: as often as it was seen if it is common, else as often as the others on average.
pub(super) fn equal(profile: &Profile, distinct: f64, value: &Place) -> f64 {
    if let Some((_, share)) = profile.common.iter().find(|(place, _)| place.key == value.key) {
        return *share;
    }
    let least_common = profile.common.last().map_or(1.0, |(_, share)| *share);
    average_other(profile, distinct).min(least_common)
}

/// The share of rows of a value that is not common.
fn average_other(profile: &Profile, distinct: f64) -> f64 {
    let common: f64 = profile.common.iter().map(|(_, share)| share).sum();
    let others = (1.0 - common - profile.null_frac).max(0.0);
    (others / (distinct - profile.common.len() as f64).max(1.0)).max(LEAST)
}

/// The share of rows below a value, or not above it.
fn below(profile: &Profile, distinct: f64, value: &Place, or_equal: bool) -> f64 {
    let is_below = |place: &Place| place.key < value.key || (or_equal && place.key == value.key);
    let common: f64 = profile.common.iter().filter(|(place, _)| is_below(place)).map(|(_, share)| share).sum();
    let all_common: f64 = profile.common.iter().map(|(_, share)| share).sum();
    let others = (1.0 - all_common - profile.null_frac).max(0.0);
    let Some(mut share) = among(&profile.bounds, value) else {
        // Nothing is known of the others, if there are any.
        return common + others * UNKNOWN_LESS;
    };
    let rare = !profile.common.iter().any(|(place, _)| place.key == value.key);
    if or_equal && rare && share > 0.0 && others > 0.0 {
        share = (share + average_other(profile, distinct) / others).min(1.0);
    }
    common + others * share
}

/// Where a value is among bounds: 0 before the first, 1 behind the last.
fn among(bounds: &[Place], value: &Place) -> Option<f64> {
    let groups = bounds.len().checked_sub(1).filter(|groups| *groups > 0)?;
    let at = bounds.partition_point(|bound| bound.key < value.key);
    let Some(upper) = bounds.get(at) else { return Some(1.0) };
    let Some(lower) = at.checked_sub(1).and_then(|at| bounds.get(at)) else {
        return Some(0.0);
    };
    Some(((at - 1) as f64 + between(lower, upper, value)) / groups as f64)
}

/// Where a value is between two others: 0 at the lower, 1 at the upper.
pub(super) fn between(lower: &Place, upper: &Place, value: &Place) -> f64 {
    if let (Some(low), Some(high), Some(at)) = (lower.number, upper.number, value.number) {
        return if high > low { ((at - low) / (high - low)).clamp(0.0, 1.0) } else { 0.5 };
    }
    // By the bytes behind those they share.
    let same = lower.key.iter().zip(&upper.key).take_while(|(a, b)| a == b).count();
    let place = |key: &[u8]| {
        let digits = key.iter().skip(same).take(7).chain(std::iter::repeat(&0)).take(7);
        digits.fold(0.0, |number, digit| number * 256.0 + f64::from(*digit))
    };
    let (low, high, at) = (place(&lower.key), place(&upper.key), place(&value.key));
    if high > low { ((at - low) / (high - low)).clamp(0.0, 1.0) } else { 0.5 }
}

fn in_list(list: &InListExpr, input: &Estimate) -> Option<f64> {
    let at = list.expr().downcast_ref::<Column>()?.index();
    let facts = input.column(at)?;
    let (profile, (sql_type, physical)) = (facts.profile.as_ref()?, facts.types.as_ref()?);
    let mut places = Vec::with_capacity(list.list().len());
    for item in list.list() {
        let value = item.downcast_ref::<Literal>()?.value();
        if !value.is_null() {
            places.push(Place::of(sql_type, pushdown::datum(value, *physical)?));
        }
    }
    places.sort_by(|a, b| a.key.cmp(&b.key));
    places.dedup_by(|a, b| a.key == b.key);
    let kept: f64 = places.iter().map(|place| equal(profile, facts.distinct, place)).sum();
    let kept = if list.negated() { 1.0 - profile.null_frac - kept } else { kept };
    Some(kept.clamp(LEAST, 1.0))
}

/// What a condition that holds says of its column: only these values, only this range, or none that is NULL.
fn narrow(condition: &Condition, out: &mut Estimate) {
    let Some(at) = known::only_column(condition) else { return };
    let narrowed = match values(condition, out) {
        Some(places) => out.column(at).map(|facts| only(places, facts)),
        None => compared(condition, out).filter(|found| is_inequality(found.op)).and_then(|found| within(&found)),
    };
    let Some(facts) = out.columns.get_mut(at) else { return };
    if let Some((profile, distinct)) = narrowed {
        facts.profile = Some(Arc::new(profile));
        facts.distinct = distinct;
    }
    if condition.downcast_ref::<IsNullExpr>().is_none() {
        facts.null_frac = 0.0;
    }
}

/// The values that equalities, a list, or alternatives of these leave of a column.
fn values(condition: &Condition, input: &Estimate) -> Option<Vec<Place>> {
    if let Some(found) = compared(condition, input) {
        return (found.op == Operator::Eq).then(|| vec![found.value]);
    }
    if let Some(either) = condition.downcast_ref::<BinaryExpr>().filter(|binary| *binary.op() == Operator::Or) {
        let mut places = values(either.left(), input)?;
        places.extend(values(either.right(), input)?);
        return Some(places);
    }
    let list = condition.downcast_ref::<InListExpr>().filter(|list| !list.negated())?;
    let (sql_type, physical) = input.column(list.expr().downcast_ref::<Column>()?.index())?.types.as_ref()?;
    let place = |item: &Condition| {
        let value = pushdown::datum(item.downcast_ref::<Literal>()?.value(), *physical)?;
        Some(Place::of(sql_type, value))
    };
    list.list().iter().map(place).collect()
}

/// A column that has only these values, each as often as it was among the others.
fn only(mut places: Vec<Place>, facts: &ColumnFacts) -> (Profile, f64) {
    places.sort_by(|a, b| a.key.cmp(&b.key));
    places.dedup_by(|a, b| a.key == b.key);
    let share = |place: &Place| facts.profile.as_ref().map_or(1.0, |profile| equal(profile, facts.distinct, place));
    let shares: Vec<f64> = places.iter().map(share).collect();
    let sum: f64 = shares.iter().sum::<f64>().max(LEAST);
    let count = places.len() as f64;
    let mut common: Vec<(Place, f64)> =
        places.into_iter().zip(shares).map(|(place, share)| (place, share / sum)).collect();
    common.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let profile = Profile { null_frac: 0.0, width: facts.width, distinct: count, common, bounds: Vec::new() };
    (profile, facts.distinct.min(count).max(1.0))
}

/// A column on one side of a bound.
fn within(found: &Compared<'_>) -> Option<(Profile, f64)> {
    let profile = found.facts.profile.as_ref()?;
    let kept = comparison(found).max(LEAST);
    let upper = matches!(found.op, Operator::Lt | Operator::LtEq);
    let inside = |place: &&Place| if upper { place.key <= found.value.key } else { place.key >= found.value.key };
    let common: Vec<(Place, f64)> = profile
        .common
        .iter()
        .filter(|(place, _)| inside(&place))
        .map(|(place, share)| (place.clone(), (share / kept).min(1.0)))
        .collect();
    let mut bounds: Vec<Place> = profile.bounds.iter().filter(inside).cloned().collect();
    if !profile.bounds.is_empty() {
        bounds.insert(if upper { bounds.len() } else { 0 }, found.value.clone());
        bounds.dedup_by(|a, b| a.key == b.key);
    }
    // Of the values, not of the rows: by how much of their span is left, or of those that are known.
    let all = || profile.common.iter().map(|(place, _)| place).chain(&profile.bounds);
    let span = |number: fn(f64, f64) -> f64, start: f64| all().filter_map(|place| place.number).fold(start, number);
    let (low, high) = (span(f64::min, f64::INFINITY), span(f64::max, f64::NEG_INFINITY));
    let share = match found.value.number {
        Some(at) if high > low && upper => (at - low) / (high - low),
        Some(at) if high > low => (high - at) / (high - low),
        _ => all().filter(inside).count() as f64 / all().count().max(1) as f64,
    };
    let least = (common.len() as f64).max(1.0).min(found.facts.distinct);
    let distinct = (found.facts.distinct * share.clamp(0.0, 1.0)).clamp(least, found.facts.distinct.max(least));
    Some((Profile { null_frac: 0.0, width: profile.width, distinct, common, bounds }, distinct))
}

#[cfg(test)]
mod tests {
    use datafusion::physical_expr::expressions::{binary, col, in_list as in_list_of, is_null, lit};
    use heliosdb_types::{Datum, PhysicalType, SqlType};

    use super::*;

    fn place(value: i32) -> Place {
        Place::of(&SqlType::Int4, Datum::Int32(value))
    }

    /// 20 % NULL, 30 % are 7, 10 % are 1000; the others are spread evenly over 0..=400.
    fn numbers() -> Estimate {
        let profile = Profile {
            null_frac: 0.2,
            width: 4.0,
            distinct: 402.0,
            common: vec![(place(7), 0.3), (place(1000), 0.1)],
            bounds: (0..=100).map(|n| place(n * 4)).collect(),
        };
        let facts = ColumnFacts {
            profile: Some(Arc::new(profile)),
            types: Some((SqlType::Int4, PhysicalType::Int32)),
            distinct: 402.0,
            null_frac: 0.2,
            origin: None,
            width: 4.0,
        };
        let word =
            |n: i32| Place::of(&SqlType::Text, Datum::Text(format!("{}{n:03}", if n % 4 == 0 { "ab" } else { "cd" })));
        let mut words: Vec<Place> = (0..100).map(word).collect();
        words.sort_by(|a, b| a.key.cmp(&b.key));
        let profile = Profile { null_frac: 0.0, width: 6.0, distinct: 1000.0, common: Vec::new(), bounds: words };
        let text = ColumnFacts {
            profile: Some(Arc::new(profile)),
            types: Some((SqlType::Text, PhysicalType::Text)),
            distinct: 1000.0,
            ..facts.clone()
        };
        Estimate { rows: 1000.0, columns: vec![facts, text] }
    }

    fn schema() -> arrow_schema::Schema {
        use arrow_schema::{DataType, Field};
        arrow_schema::Schema::new(vec![
            Field::new("a", DataType::Int32, true),
            Field::new("b", DataType::Utf8View, true),
        ])
    }

    fn compare(op: Operator, value: i32) -> Condition {
        binary(col("a", &schema()).unwrap(), op, lit(value), &schema()).unwrap()
    }

    fn share(condition: Condition) -> f64 {
        one(&condition, &numbers())
    }

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 0.002, "{found} instead of {expected}");
    }

    #[test]
    fn common_values_count_as_often_as_seen_and_others_on_average() {
        near(share(compare(Operator::Eq, 7)), 0.3);
        near(share(compare(Operator::Eq, 8)), 0.4 / 400.0);
        near(share(compare(Operator::NotEq, 7)), 0.5);
        let list = in_list_of(col("a", &schema()).unwrap(), vec![lit(7), lit(1000), lit(9)], &false, &schema());
        near(share(list.unwrap()), 0.401);
        near(share(is_null(col("a", &schema()).unwrap()).unwrap()), 0.2);
    }

    #[test]
    fn ranges_go_by_the_groups() {
        // A quarter of the others, and 7.
        near(share(compare(Operator::Lt, 100)), 0.1 + 0.3);
        near(share(compare(Operator::GtEq, 300)), 0.1 + 0.1);
        near(share(compare(Operator::Lt, -5)), 0.0);
        near(share(compare(Operator::Gt, 400)), 0.1);
        let both = |low, high| {
            let (low, high) = (compare(Operator::GtEq, low), compare(Operator::Lt, high));
            share(binary(low, Operator::And, high, &schema()).unwrap())
        };
        near(both(100, 200), 0.1);
        near(both(0, 401), 0.7);
        assert!(both(150, 150) <= 0.0026, "an empty range is about one value");
    }

    #[test]
    fn conditions_are_independent_and_alternatives_add_up() {
        let a_quarter = datafusion::physical_expr::expressions::like(
            false,
            false,
            col("b", &schema()).unwrap(),
            Arc::new(Literal::new(ScalarValue::Utf8View(Some("ab%".into())))),
            &schema(),
        );
        near(share(a_quarter.unwrap()), 0.25);
        let either = binary(compare(Operator::Eq, 7), Operator::Or, compare(Operator::Eq, 1000), &schema()).unwrap();
        near(share(either), 0.4);
        let either = binary(compare(Operator::Eq, 7), Operator::Or, compare(Operator::GtEq, 300), &schema()).unwrap();
        near(share(either), 0.3 + 0.2 - 0.06);
    }

    #[test]
    fn what_is_left_knows_its_values() {
        let left = filtered(&numbers(), &[compare(Operator::Eq, 7)]);
        assert!((left.rows - 300.0).abs() < 0.1);
        assert_eq!((left.columns[0].distinct, left.columns[0].null_frac), (1.0, 0.0));
        let again = filtered(&left, &[compare(Operator::Eq, 7)]);
        assert!((again.rows - left.rows).abs() < 0.1, "the same condition again keeps all");
        let either = binary(compare(Operator::Eq, 7), Operator::Or, compare(Operator::Eq, 1000), &schema()).unwrap();
        let left = filtered(&numbers(), &[either]);
        let shares: Vec<f64> =
            left.columns[0].profile.as_ref().unwrap().common.iter().map(|(_, share)| *share).collect();
        assert_eq!(left.columns[0].distinct, 2.0);
        assert!((shares[0] - 0.75).abs() < 1e-9 && (shares[1] - 0.25).abs() < 1e-9, "{shares:?}");
        // Up to a tenth of the span, and the common value in it.
        let left = filtered(&numbers(), &[compare(Operator::LtEq, 100)]);
        let facts = &left.columns[0];
        assert!((facts.distinct - 40.2).abs() < 0.5, "{}", facts.distinct);
        assert_eq!(facts.profile.as_ref().unwrap().common.len(), 1);
        let again = filtered(&left, &[compare(Operator::LtEq, 100)]);
        assert!((again.rows - left.rows).abs() < 0.01 * left.rows, "{} and {}", again.rows, left.rows);
    }
}
