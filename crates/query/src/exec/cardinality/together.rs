//! Equalities on several columns of one table, of which CREATE STATISTICS lets know how they go together.
//!
//! By the most common combinations if they were looked for, else by how far one column decides another, else by how many
//! combinations there are; as PostgreSQL does with the first two.

use std::sync::Arc;

use datafusion::logical_expr::Operator;

use super::facts::{Estimate, Source};
use super::selectivity::{Condition, compared, equal as equal_share};
use crate::catalog::Combined;

/// A column with the constant it is to equal.
struct Equal {
    /// Which condition says so.
    condition: usize,
    attribute: i16,
    key: Vec<u8>,
    /// The share of rows alone.
    share: f64,
    distinct: f64,
}

/// The share that equalities on columns with statistics of their own keep together, and which conditions these are.
pub(super) fn equal(conditions: &[&Condition], input: &Estimate) -> (f64, Vec<usize>) {
    let mut tables: Vec<(Arc<Source>, Vec<Equal>)> = Vec::new();
    for (at, condition) in conditions.iter().enumerate() {
        let Some(found) = compared(condition, input).filter(|found| found.op == Operator::Eq) else { continue };
        let (Some(profile), Some((source, attribute))) = (&found.facts.profile, &found.facts.origin) else { continue };
        if source.combined.is_empty() {
            continue;
        }
        let share = equal_share(profile, found.facts.distinct, &found.value);
        let one =
            Equal { condition: at, attribute: *attribute, key: found.value.key, share, distinct: found.facts.distinct };
        match tables.iter_mut().find(|(known, _)| Arc::ptr_eq(known, source)) {
            Some((_, all)) if all.iter().any(|other| other.attribute == one.attribute) => {}
            Some((_, all)) => all.push(one),
            None => tables.push((Arc::clone(source), vec![one])),
        }
    }
    let (mut share, mut done) = (1.0, Vec::new());
    for (source, mut all) in tables {
        while let Some(combined) = best(&source, &all) {
            let (now, rest) = all.into_iter().partition(|one| combined.attributes.contains(&one.attribute));
            all = rest;
            share *= together(combined, &now);
            done.extend(now.iter().map(|one| one.condition));
        }
    }
    (share, done)
}

/// The object that says most of the columns, if it says anything of two.
fn best<'a>(source: &'a Source, all: &[Equal]) -> Option<&'a Combined> {
    let known = |combined: &Combined| all.iter().filter(|one| combined.attributes.contains(&one.attribute)).count();
    let found = source.combined.iter().map(|combined| (known(combined), !combined.common.is_empty(), combined));
    let found = found.filter(|(count, ..)| *count >= 2).max_by_key(|(count, common, _)| (*count, *common));
    found.map(|(.., combined)| &**combined)
}

fn together(combined: &Combined, all: &[Equal]) -> f64 {
    let product: f64 = all.iter().map(|one| one.share).product();
    let least = all.iter().map(|one| one.share).fold(1.0, f64::min);
    if !combined.common.is_empty() {
        return common(combined, all, product).min(least);
    }
    if !combined.dependencies.is_empty() {
        return decided(combined, all).min(least);
    }
    let mut columns: Vec<i16> = all.iter().map(|one| one.attribute).collect();
    columns.sort_unstable();
    match combined.distinct.iter().find(|(known, _)| *known == columns) {
        // As many times more of each combination as there are fewer of them.
        Some((_, count)) => {
            let possible: f64 = all.iter().map(|one| one.distinct).product();
            (product * (possible / count.max(1.0)).max(1.0)).min(least)
        }
        None => product,
    }
}

/// The share of the common combinations that match, and of what the others may have.
fn common(combined: &Combined, all: &[Equal], product: f64) -> f64 {
    let matches = |keys: &[Option<Vec<u8>>]| {
        combined.attributes.iter().zip(keys).all(|(attribute, key)| {
            let wanted = all.iter().find(|one| one.attribute == *attribute);
            wanted.is_none_or(|wanted| key.as_ref() == Some(&wanted.key))
        })
    };
    let (mut matching, mut base, mut total) = (0.0, 0.0, 0.0);
    for one in &combined.common {
        total += one.frequency;
        if matches(&one.keys) {
            matching += one.frequency;
            base += one.base;
        }
    }
    matching + (product - base).clamp(0.0, (1.0_f64 - total).max(0.0))
}

/// By how far the columns decide each other, what is decided most first.
fn decided(combined: &Combined, all: &[Equal]) -> f64 {
    let mut open: Vec<&Equal> = all.iter().collect();
    let mut share = 1.0;
    loop {
        let has = |attribute: &i16| open.iter().any(|one| one.attribute == *attribute);
        let usable = combined.dependencies.iter().filter(|(by, of, _)| by.iter().all(has) && has(of));
        let Some((_, of, degree)) = usable.max_by(|(.., a), (.., b)| a.total_cmp(b)) else { break };
        let (of, degree) = (*of, *degree);
        share *= open.iter().find(|one| one.attribute == of).map_or(1.0, |one| degree + (1.0 - degree) * one.share);
        open.retain(|one| one.attribute != of);
    }
    share * open.iter().map(|one| one.share).product::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::KnownCombination;

    fn one(attribute: i16, key: u8, share: f64, distinct: f64) -> Equal {
        Equal { condition: 0, attribute, key: vec![key], share, distinct }
    }

    fn combined() -> Combined {
        Combined { attributes: vec![1, 2], distinct: Vec::new(), dependencies: Vec::new(), common: Vec::new() }
    }

    #[test]
    fn a_city_and_its_country_are_one_condition() {
        let both = [one(1, 7, 0.01, 100.0), one(2, 3, 0.1, 10.0)];
        let distinct = Combined { distinct: vec![(vec![1, 2], 100.0)], ..combined() };
        assert!((together(&distinct, &both) - 0.01).abs() < 1e-9);
        let decides = Combined { dependencies: vec![(vec![1], 2, 1.0)], ..combined() };
        assert!((together(&decides, &both) - 0.01).abs() < 1e-9);
        let half = Combined { dependencies: vec![(vec![1], 2, 0.5)], ..combined() };
        assert!((together(&half, &both) - 0.01 * 0.55).abs() < 1e-9);
        let pair = |city: u8, country: u8, frequency: f64, base: f64| KnownCombination {
            keys: vec![Some(vec![city]), Some(vec![country])],
            frequency,
            base,
        };
        let common = Combined { common: vec![pair(7, 3, 0.008, 0.001), pair(8, 3, 0.992, 0.1)], ..combined() };
        assert!((together(&common, &both) - 0.008).abs() < 1e-9);
        let other = [one(1, 7, 0.01, 100.0), one(2, 4, 0.1, 10.0)];
        assert!(together(&common, &other) < 1e-9, "all combinations are known, and this is none of them");
        assert!((together(&combined(), &both) - 0.001).abs() < 1e-9, "nothing is known: independent");
    }
}
