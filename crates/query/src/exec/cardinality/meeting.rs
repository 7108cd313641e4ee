//! Equal values of two columns: how many pairs of rows have them, and which values these are.
//!
//! Each side is its common values, as often as they were seen, and its others, spread over their bounds. Only values that both sides
//! may have meet: what is beyond the other side's least or greatest does not. Common values are matched with each other; others are
//! spread evenly over as many different values as lie where both sides have some. With everything in common this is
//! PostgreSQL's reckoning (`eqjoinsel`).

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use heliosdb_types::PhysicalType;

use super::facts::ColumnFacts;
use super::joins::Pair;
use super::selectivity::between;
use crate::catalog::{Place, Profile};

/// Common values that a joined column keeps.
const COMMON_MAX: usize = 200;
/// Bounds are a sample's, and tables change: of what seems to have no value in common, so much of what evenly spread values would have.
const LEAST_OF_EVEN: f64 = 1e-3;

/// The share of pairs of rows with equal values.
pub(super) fn equal(left: &ColumnFacts, right: &ColumnFacts) -> f64 {
    let even = (1.0 - left.null_frac) * (1.0 - right.null_frac) / left.distinct.max(right.distinct).max(1.0);
    match Meeting::of(left, right) {
        Some(meeting) => meeting.share().clamp((even * LEAST_OF_EVEN).max(1e-12), 1.0),
        None => even.clamp(1e-12, 1.0),
    }
}

/// The share of one side's rows that find any on the other, which has `other_rows` left: of each value of the other side as many as
/// have it, of all values of either side those that the other side still has.
pub(super) fn finding(own: &ColumnFacts, other: &ColumnFacts, other_rows: f64) -> f64 {
    match Meeting::of(own, other) {
        Some(meeting) => (meeting.finding() * (other_rows / other.distinct.max(1.0)).min(1.0)).clamp(0.0, 1.0),
        None => {
            let theirs = other.distinct.min(other_rows).max(1.0);
            (1.0 - own.null_frac) * theirs / own.distinct.max(other.distinct).max(1.0)
        }
    }
}

/// Which column of its input an expression is.
pub(super) fn place(expr: &Arc<dyn PhysicalExpr>) -> Option<usize> {
    expr.downcast_ref::<Column>().map(Column::index)
}

/// Has the joined columns know what an inner join left of them. `columns` are those of the left side, then of the right.
pub(super) fn meet(
    columns: &mut [ColumnFacts],
    lefts: usize,
    pairs: &[Pair],
    places: impl IntoIterator<Item = (Option<usize>, Option<usize>)>,
) {
    for (pair, (left, right)) in pairs.iter().zip(places) {
        let met = Meeting::of(&pair.left, &pair.right).and_then(|meeting| meeting.met());
        for at in [left, right.map(|at| at + lefts)].into_iter().flatten() {
            let Some(facts) = columns.get_mut(at) else { continue };
            facts.null_frac = 0.0;
            if let Some(profile) = &met {
                facts.distinct = profile.distinct;
                facts.profile = Some(Arc::clone(profile));
            }
        }
    }
}

/// Two columns beside each other.
struct Meeting<'a> {
    left: Side<'a>,
    right: Side<'a>,
    /// Common values of both: their places among the left side's and the right side's.
    matches: Vec<(usize, usize)>,
    same_type: bool,
}

/// What of a side the other may have too.
struct Side<'a> {
    profile: &'a Profile,
    /// Which common values.
    inside: Vec<bool>,
    /// The share of rows that have other values, and how many these are.
    others: f64,
    values: f64,
}

impl<'a> Meeting<'a> {
    /// `None`: too little is known of either.
    fn of(left: &'a ColumnFacts, right: &'a ColumnFacts) -> Option<Meeting<'a>> {
        let (a, b) = (left.profile.as_deref()?, right.profile.as_deref()?);
        let same_type = left.types == right.types;
        let order = |one: &Place, other: &Place| match (one.number, other.number) {
            _ if same_type => Some(one.key.cmp(&other.key)),
            (Some(one), Some(other)) => one.partial_cmp(&other),
            _ => None,
        };
        let mut taken = vec![false; b.common.len()];
        let mut matches = Vec::new();
        for (at, (value, _)) in a.common.iter().enumerate() {
            let equal =
                |(other, taken): (&(Place, f64), &bool)| !taken && order(value, &other.0) == Some(Ordering::Equal);
            let Some(found) = b.common.iter().zip(&taken).position(equal) else { continue };
            if let Some(taken) = taken.get_mut(found) {
                *taken = true;
            }
            matches.push((at, found));
        }
        Some(Meeting {
            left: Side::of(left, a, hull(b), &order),
            right: Side::of(right, b, hull(a), &order),
            matches,
            same_type,
        })
    }

    fn share(&self) -> f64 {
        let (a, b) = (&self.left, &self.right);
        let together: f64 = self.matches.iter().map(|(at, found)| a.common(*at) * b.common(*found)).sum();
        let rest_a = a.common_inside() - self.matches.iter().map(|(at, _)| a.common(*at)).sum::<f64>();
        let rest_b = b.common_inside() - self.matches.iter().map(|(_, at)| b.common(*at)).sum::<f64>();
        // Common values of one side may be among the others of the other side; others may be equal to others.
        let from = |rest: f64, others: f64, theirs: &Side<'_>, their_rest: f64| {
            let unmatched = theirs.values + (theirs.count_inside() - self.matches.len()) as f64;
            let mut share = together;
            if theirs.values > 0.0 {
                share += rest.max(0.0) * theirs.others / theirs.values.max(1.0);
            }
            if unmatched > 0.0 {
                share += others * (theirs.others + their_rest.max(0.0)) / unmatched.max(1.0);
            }
            share
        };
        from(rest_a, a.others, b, rest_b).min(from(rest_b, b.others, a, rest_a))
    }

    /// The share of the left side's rows whose value the right side has.
    fn finding(&self) -> f64 {
        let (own, other) = (&self.left, &self.right);
        let matched: f64 = self.matches.iter().map(|(at, _)| own.common(*at)).sum();
        let alone = |side: &Side<'_>| (side.count_inside() - self.matches.len()) as f64;
        // Values that are not common on both sides: common ones of the left among the right's others, others among all.
        let rest = (own.common_inside() - matched).max(0.0);
        let of_rest = other.values / (own.values + alone(own)).max(other.values).max(1.0);
        let theirs = other.values + alone(other);
        let of_others = theirs / own.values.max(theirs).max(1.0);
        matched + rest * of_rest + own.others * of_others
    }

    /// The values that pairs of equal ones have; `None`: the sides' types have no values in common that could be compared.
    fn met(&self) -> Option<Arc<Profile>> {
        if !self.same_type {
            return None;
        }
        let (a, b) = (&self.left, &self.right);
        let (matched_a, matched_b): (Vec<usize>, Vec<usize>) = self.matches.iter().copied().unzip();
        let alone = |side: &Side<'_>, matched: &[usize], theirs: &Side<'_>| {
            let each = if theirs.values > 0.0 { theirs.others / theirs.values.max(1.0) } else { 0.0 };
            let left = side.profile.common.iter().zip(&side.inside).enumerate();
            let left = left.filter(|(at, (_, inside))| **inside && each > 0.0 && !matched.contains(at));
            left.map(|(_, ((place, share), _))| (place.clone(), share * each)).collect::<Vec<_>>()
        };
        let mut common: Vec<(Place, f64)> = alone(a, &matched_a, b);
        common.extend(alone(b, &matched_b, a));
        common.extend(self.matches.iter().filter_map(|(at, found)| {
            let (place, share) = a.profile.common.get(*at)?;
            Some((place.clone(), share * b.common(*found)))
        }));
        let values = a.values.min(b.values);
        let others = if values > 0.0 { a.others * b.others / a.values.max(b.values).max(1.0) } else { 0.0 };
        let all = others + common.iter().map(|(_, share)| share).sum::<f64>();
        if all <= 0.0 {
            return None;
        }
        common.iter_mut().for_each(|(_, share)| *share /= all);
        common.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let distinct = (values + common.len() as f64).max(1.0);
        common.truncate(COMMON_MAX);
        // The side with fewer other values says where they are.
        let (few, many) = if a.values <= b.values { (a, b) } else { (b, a) };
        let bounds = clipped(&few.profile.bounds, hull(many.profile));
        Some(Arc::new(Profile { null_frac: 0.0, width: a.profile.width, distinct, common, bounds }))
    }
}

impl<'a> Side<'a> {
    fn of(
        facts: &ColumnFacts,
        profile: &'a Profile,
        other: Option<(&Place, &Place)>,
        order: &dyn Fn(&Place, &Place) -> Option<Ordering>,
    ) -> Side<'a> {
        let all: f64 = profile.common.iter().map(|(_, share)| share).sum();
        let others = (1.0 - facts.null_frac - all).max(0.0);
        let values = (facts.distinct - profile.common.len() as f64).max(0.0);
        let Some((least, greatest)) = other else {
            return Side { profile, inside: vec![true; profile.common.len()], others, values };
        };
        let inside = |place: &Place| {
            order(place, least) != Some(Ordering::Less) && order(place, greatest) != Some(Ordering::Greater)
        };
        let inside: Vec<bool> = profile.common.iter().map(|(place, _)| inside(place)).collect();
        let (Some(first), Some(last)) = (profile.bounds.first(), profile.bounds.last()) else {
            return Side { profile, inside, others, values };
        };
        let at = |place: &Place| position(&profile.bounds, place, order);
        let (Some(from), Some(to)) = (at(least), at(greatest)) else {
            return Side { profile, inside, others, values };
        };
        let share = (to - from).max(0.0);
        // Of the values, not of the rows: by how much of their span is left.
        let span = match (first.number, last.number, least.number, greatest.number) {
            (Some(first), Some(last), Some(least), Some(greatest)) if last > first => {
                let (from, to) = (least.max(first), greatest.min(last));
                let width = to - from;
                // Whole numbers cannot be more than there are between common ones.
                let between = |(place, _): &&(Place, f64)| place.number.is_some_and(|at| from <= at && at <= to);
                let common = profile.common.iter().filter(between).count() as f64;
                let most = if is_whole(facts) { (width + 1.0 - common).max(0.0) } else { f64::INFINITY };
                (values * (width / (last - first)).clamp(0.0, 1.0)).min(most)
            }
            _ => values * share,
        };
        // A share of the rows has at least one value.
        let values = if share > 0.0 { span.max(values.min(1.0)) } else { 0.0 };
        Side { profile, inside, others: others * share, values }
    }

    fn common(&self, at: usize) -> f64 {
        self.profile.common.get(at).map_or(0.0, |(_, share)| *share)
    }

    fn common_inside(&self) -> f64 {
        self.profile.common.iter().zip(&self.inside).filter(|(_, inside)| **inside).map(|((_, share), _)| share).sum()
    }

    fn count_inside(&self) -> usize {
        self.inside.iter().filter(|inside| **inside).count()
    }
}

/// The least and the greatest value known of a column.
fn hull(profile: &Profile) -> Option<(&Place, &Place)> {
    let all = || profile.common.iter().map(|(place, _)| place).chain(&profile.bounds);
    let least = all().min_by(|a, b| a.key.cmp(&b.key))?;
    let greatest = all().max_by(|a, b| a.key.cmp(&b.key))?;
    Some((least, greatest))
}

/// Bounds of what lies between two values.
fn clipped(bounds: &[Place], ends: Option<(&Place, &Place)>) -> Vec<Place> {
    let (Some((least, greatest)), Some(first), Some(last)) = (ends, bounds.first(), bounds.last()) else {
        return bounds.to_vec();
    };
    let from = if first.key < least.key { least } else { first };
    let to = if last.key > greatest.key { greatest } else { last };
    let between = bounds.iter().filter(|bound| from.key < bound.key && bound.key < to.key);
    if from.key > to.key { Vec::new() } else { [from].into_iter().chain(between).chain([to]).cloned().collect() }
}

/// Where a value is among bounds: 0 at the first or before it, 1 at the last or behind it; `None`: they cannot be compared.
fn position(bounds: &[Place], value: &Place, order: &dyn Fn(&Place, &Place) -> Option<Ordering>) -> Option<f64> {
    let groups = bounds.len().checked_sub(1).filter(|groups| *groups > 0)?;
    order(bounds.first()?, value)?;
    let at = bounds.partition_point(|bound| order(bound, value) == Some(Ordering::Less));
    let Some(upper) = bounds.get(at) else { return Some(1.0) };
    let Some(lower) = at.checked_sub(1).and_then(|at| bounds.get(at)) else { return Some(0.0) };
    Some(((at - 1) as f64 + between(lower, upper, value)) / groups as f64)
}

fn is_whole(facts: &ColumnFacts) -> bool {
    let kind = facts.types.as_ref().map(|(_, physical)| *physical);
    matches!(kind, Some(PhysicalType::Int16 | PhysicalType::Int32 | PhysicalType::Int64 | PhysicalType::Date))
}

#[cfg(test)]
mod tests {
    use heliosdb_types::{Datum, SqlType};

    use super::*;

    fn value(number: i32) -> Place {
        Place::of(&SqlType::Int4, Datum::Int32(number))
    }

    /// Common values with their shares, and others evenly over a range.
    fn side(distinct: f64, common: &[(i32, f64)], others: Option<(i32, i32)>) -> ColumnFacts {
        let common = common.iter().map(|(number, share)| (value(*number), *share)).collect();
        let bounds = others
            .map_or_else(Vec::new, |(low, high)| (0..=10).map(|step| value(low + (high - low) * step / 10)).collect());
        let profile = Profile { distinct, common, bounds, ..Profile::default() };
        ColumnFacts {
            profile: Some(Arc::new(profile)),
            types: Some((SqlType::Int4, PhysicalType::Int32)),
            distinct,
            ..ColumnFacts::unknown()
        }
    }

    fn near(found: f64, expected: f64) {
        assert!((found / expected - 1.0).abs() < 0.05, "{found} instead of {expected}");
    }

    #[test]
    fn with_everything_in_common_the_side_with_more_values_decides() {
        near(equal(&side(1000.0, &[], Some((0, 999))), &side(100.0, &[], Some((0, 999)))), 1e-3);
        near(equal(&side(1000.0, &[], None), &side(100.0, &[(1, 0.5)], None)), 1e-3);
    }

    #[test]
    fn a_range_of_keys_finds_the_rows_that_refer_to_it() {
        // Half of the rows refer to one of three keys, the others are spread over a thousand.
        let refers = side(1000.0, &[(1, 0.3), (3, 0.1), (700, 0.1)], Some((0, 999)));
        let first_keys = side(20.0, &[], Some((0, 19)));
        // Of 20 keys each pair with equal keys is one in 20.
        near(equal(&first_keys, &refers), (0.4 + 0.5 * 0.02) / 20.0);
        let keys_without_common_ones = side(100.0, &[], Some((100, 199)));
        near(equal(&refers, &keys_without_common_ones), 0.5 * 0.1 / 100.0);
        // Nothing in common, as far as is known.
        assert!(equal(&refers, &side(100.0, &[], Some((5000, 5099)))) < 1e-5);
    }

    #[test]
    fn common_values_beside_the_others_take_none_of_their_places() {
        // Ten of a thousand numbers of which each is there as often; that the first hundred are listed says nothing.
        let listed: Vec<(i32, f64)> = (1..=100).map(|number| (number, 0.001)).collect();
        let all = side(1000.0, &listed, Some((101, 1000)));
        let some: Vec<(i32, f64)> = (0..10).map(|at| (9 + at * 100, 0.1)).collect();
        near(equal(&side(10.0, &some, None), &all), 0.001);
    }

    #[test]
    fn who_finds_any_is_told_by_the_values_that_are_there() {
        let refers = side(1000.0, &[(1, 0.3), (3, 0.1), (700, 0.1)], Some((0, 999)));
        // All values of the other side are known.
        near(finding(&refers, &side(2.0, &[(1, 0.5), (700, 0.5)], None), 2.0), 0.4);
        near(finding(&refers, &side(1000.0, &[], Some((0, 999))), 1000.0), 1.0);
        near(finding(&refers, &side(1000.0, &[], Some((0, 999))), 100.0), 0.1);
        near(finding(&side(1000.0, &[], None), &side(100.0, &[], None), 100.0), 0.1);
    }

    #[test]
    fn joined_columns_have_what_both_sides_have() {
        let refers = || side(1000.0, &[(1, 0.3), (3, 0.1), (700, 0.1)], Some((0, 999)));
        let first_keys = side(20.0, &[], Some((0, 19)));
        let mut columns = vec![first_keys.clone(), refers()];
        let pairs = [Pair { left: first_keys, right: refers() }];
        meet(&mut columns, 1, &pairs, [(Some(0), Some(0))]);
        let (key, reference) = (&columns[0], &columns[1]);
        assert!(Arc::ptr_eq(key.profile.as_ref().unwrap(), reference.profile.as_ref().unwrap()));
        let profile = key.profile.as_ref().unwrap();
        assert_eq!(profile.common.len(), 2);
        near(profile.common[0].1, 0.3 / 0.41);
        near(key.distinct, 20.0);
        // A second reference finds the common ones again: not as often as if each key had as many rows.
        near(equal(reference, &refers()), 0.3 / 0.41 * 0.3 + 0.1 / 0.41 * 0.1 + 0.01 / 0.41 * 0.01 / 18.0);
    }
}
