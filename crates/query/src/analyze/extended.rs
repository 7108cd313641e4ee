//! What a sample says of several columns together: different combinations, how far some columns decide another, and the most
//! common combinations, by PostgreSQL's rules.

use std::collections::HashMap;

use heliosdb_types::{Datum, SqlType, TextContext, text_of};

use super::column::{Cell, Size};
use crate::catalog::{CombinedStatistics, CommonCombination, ExtendedStatistics, StatisticsKind, order_key, type_name};

/// One of the columns an object is about.
pub(super) struct Part<'a> {
    pub attribute: i16,
    pub sql_type: &'a SqlType,
    /// In the order of the table's rows.
    pub cells: &'a [Cell],
}

/// A value as a number that equal values of its column share; 0 is NULL.
type Code = u32;

/// All subsets of `count` columns with at least two, smaller ones first, as places.
pub(super) fn combinations(count: usize) -> Vec<Vec<usize>> {
    let mut sets: Vec<Vec<usize>> = (1u32..1 << count)
        .map(|set| (0..count).filter(|at| set >> at & 1 == 1).collect())
        .filter(|places: &Vec<usize>| places.len() >= 2)
        .collect();
    sets.sort_by(|a, b| a.len().cmp(&b.len()).then(a.cmp(b)));
    sets
}

/// `in_sample` are the places of the parts in the sample; `counted`: different combinations in the whole table by such places, where more
/// than the sample was looked at.
pub(super) fn combined(
    object: &ExtendedStatistics,
    in_sample: &[usize],
    parts: &[Part<'_>],
    size: Size,
    counted: &HashMap<Vec<usize>, f64>,
    target: usize,
) -> CombinedStatistics {
    let codes: Vec<Vec<Code>> = parts.iter().map(coded).collect();
    let rows = parts.first().map_or(0, |part| part.cells.len());
    let mut found = CombinedStatistics {
        sql_types: parts.iter().map(|part| type_name(part.sql_type)).collect(),
        ..CombinedStatistics::default()
    };
    let named = |places: &[usize]| -> Vec<i16> {
        places.iter().filter_map(|at| parts.get(*at)).map(|part| part.attribute).collect()
    };
    let sets = combinations(parts.len());
    if object.kinds.contains(&StatisticsKind::Distinct) {
        for places in &sets {
            let groups = grouped(&codes, places, rows);
            let of_sample = extended(&groups, rows, size.table_rows);
            let there: Vec<usize> = places.iter().filter_map(|at| in_sample.get(*at)).copied().collect();
            let distinct = match counted.get(&there) {
                _ if size.complete => groups.len() as f64,
                counted => counted.copied().unwrap_or(of_sample),
            };
            found.distinct.push((named(places), distinct.max(groups.len() as f64).min(size.table_rows).round()));
        }
    }
    if object.kinds.contains(&StatisticsKind::Dependencies) {
        let alone = (0..parts.len()).map(|at| vec![at]);
        for by in alone.chain(sets.iter().cloned()) {
            for (decided, part) in parts.iter().enumerate().filter(|(at, _)| !by.contains(at)) {
                let degree = degree(&codes, &by, decided, rows);
                if degree > 0.0 {
                    found.dependencies.push((named(&by), part.attribute, degree));
                }
            }
        }
    }
    if object.kinds.contains(&StatisticsKind::Common) {
        found.common = common(&codes, parts, size, target);
    }
    found
}

/// Numbers for a column's values. Values too wide to be kept count as all different.
fn coded(part: &Part<'_>) -> Vec<Code> {
    let mut known: HashMap<Vec<u8>, Code> = HashMap::new();
    let mut next = 1;
    let mut code = |cell: &Cell| match cell {
        Cell::Null => 0,
        Cell::Wide(_) => {
            next += 1;
            next - 1
        }
        Cell::Value(value) => *known.entry(order_key(part.sql_type, value.as_ref())).or_insert_with(|| {
            next += 1;
            next - 1
        }),
    };
    part.cells.iter().map(&mut code).collect()
}

/// How many rows have each combination, and one of these rows.
fn grouped(codes: &[Vec<Code>], places: &[usize], rows: usize) -> HashMap<Vec<Code>, (usize, usize)> {
    let mut groups: HashMap<Vec<Code>, (usize, usize)> = HashMap::new();
    for row in 0..rows {
        let key = places.iter().map(|at| code_at(codes, *at, row)).collect();
        groups.entry(key).or_insert((0, row)).0 += 1;
    }
    groups
}

fn code_at(codes: &[Vec<Code>], column: usize, row: usize) -> Code {
    codes.get(column).and_then(|codes| codes.get(row)).copied().unwrap_or(0)
}

/// Of the whole table, by the estimator of Haas and Stokes (1998) that PostgreSQL uses.
fn extended(groups: &HashMap<Vec<Code>, (usize, usize)>, rows: usize, table_rows: f64) -> f64 {
    let (d, n) = (groups.len() as f64, rows as f64);
    let once = groups.values().filter(|(count, _)| *count == 1).count() as f64;
    let divisor = (n - once) + once * n / table_rows.max(1.0);
    if divisor <= 0.0 { d } else { (n * d / divisor).clamp(d, table_rows.max(d)) }
}

/// The share of rows whose values of `by` come with one value of `decided` only.
fn degree(codes: &[Vec<Code>], by: &[usize], decided: usize, rows: usize) -> f64 {
    let mut groups: HashMap<Vec<Code>, (usize, Option<Code>)> = HashMap::new();
    for row in 0..rows {
        let key = by.iter().map(|at| code_at(codes, *at, row)).collect();
        let value = code_at(codes, decided, row);
        let group = groups.entry(key).or_insert((0, Some(value)));
        group.0 += 1;
        if group.1 != Some(value) {
            group.1 = None;
        }
    }
    let supporting: usize = groups.values().filter(|(_, value)| value.is_some()).map(|(count, _)| count).sum();
    if rows == 0 { 0.0 } else { supporting as f64 / rows as f64 }
}

/// The most common combinations: all if there are no more than asked for, else those that came often enough to be trusted.
fn common(codes: &[Vec<Code>], parts: &[Part<'_>], size: Size, target: usize) -> Vec<CommonCombination> {
    let rows = parts.first().map_or(0, |part| part.cells.len());
    let places: Vec<usize> = (0..parts.len()).collect();
    let groups = grouped(codes, &places, rows);
    let mut counts: Vec<(usize, usize)> = groups.into_values().collect();
    counts.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    if counts.len() > target {
        let (n, table) = (rows as f64, size.table_rows.max(rows as f64));
        // The least count whose relative standard error, drawn without putting back, is below a fifth.
        let least = n * (table - n) / (table - n + 0.04 * n * (table - 1.0));
        counts.truncate(target);
        counts.retain(|(count, _)| *count as f64 >= least);
    }
    let alone: Vec<HashMap<Code, usize>> = codes
        .iter()
        .map(|codes| {
            let mut counts = HashMap::new();
            codes.iter().for_each(|code| *counts.entry(*code).or_insert(0) += 1);
            counts
        })
        .collect();
    let context = TextContext::default();
    let combination = |(count, row): (usize, usize)| {
        let mut values = Vec::with_capacity(parts.len());
        let mut base = 1.0;
        for (part, (codes, alone)) in parts.iter().zip(codes.iter().zip(&alone)) {
            values.push(match part.cells.get(row)? {
                Cell::Null => None,
                Cell::Wide(_) => return None,
                Cell::Value(value) => Some(text_of(Datum::as_ref(value), part.sql_type, &context)),
            });
            let same = codes.get(row).and_then(|code| alone.get(code)).copied().unwrap_or(0);
            base *= same as f64 / rows as f64;
        }
        Some(CommonCombination { values, frequency: count as f64 / rows as f64, base })
    };
    counts.into_iter().filter_map(combination).collect()
}

#[cfg(test)]
mod tests {
    use heliosdb_types::Oid;

    use super::*;

    fn ints(values: impl IntoIterator<Item = Option<i32>>) -> Vec<Cell> {
        values.into_iter().map(|v| v.map_or(Cell::Null, |v| Cell::Value(Datum::Int32(v)))).collect()
    }

    #[test]
    fn a_city_decides_its_country() {
        // 100 cities in 10 countries, every tenth row without a city; the third column follows nothing.
        let city = ints((0..1000).map(|n| (n % 10 != 9).then_some(n % 100)));
        let country = ints((0..1000).map(|n| Some(n % 100 / 10)));
        let noise = ints((0..1000).map(|n| Some(n * 7919 % 13)));
        let sql_type = SqlType::Int4;
        let parts: Vec<Part<'_>> = [&city, &country, &noise]
            .iter()
            .zip(1..)
            .map(|(cells, attribute)| Part { attribute, sql_type: &sql_type, cells })
            .collect();
        let object = ExtendedStatistics {
            oid: Oid(1),
            name: "s".into(),
            schema: Oid(2),
            owner: Oid(3),
            attributes: vec![1, 2, 3],
            kinds: StatisticsKind::ALL.to_vec(),
            target: None,
        };
        let size = Size { table_rows: 1000.0, complete: true, distinct: None, unique: false };
        let found = combined(&object, &[0, 1, 2], &parts, size, &HashMap::new(), 100);
        let distinct = |of: &[i16]| found.distinct.iter().find(|(columns, _)| columns == of).map(|(_, count)| *count);
        assert_eq!(distinct(&[1, 2]), Some(100.0), "90 cities, and ten countries without one");
        assert_eq!(found.distinct.len(), 4);
        let degree = |by: &[i16], of: i16| {
            found.dependencies.iter().find(|(columns, decided, _)| columns == by && *decided == of).map(|(.., d)| *d)
        };
        assert_eq!(degree(&[1], 2), Some(0.9), "where there is a city");
        assert_eq!(degree(&[2], 1), None);
        assert!(degree(&[1, 3], 2).unwrap() >= 0.9);
        let pairs = combined(&object, &[0, 1], &parts[..2], size, &HashMap::new(), 100);
        assert_eq!(pairs.common.len(), 100, "no more than asked for: all of them");
        let first = &pairs.common[0];
        assert_eq!(
            (first.values.as_slice(), first.frequency),
            (&[Some("0".to_owned()), Some("0".to_owned())][..], 0.01)
        );
        assert!((first.base - 0.01 * 0.1).abs() < 1e-9, "a city's share and a country's: {}", first.base);
        assert!(pairs.common.iter().any(|one| one.values == [None, Some("7".to_owned())]));
        let few = combined(
            &object,
            &[0, 1],
            &parts[..2],
            Size { table_rows: 1e6, complete: false, ..size },
            &HashMap::new(),
            10,
        );
        assert!(few.common.is_empty(), "ten rows of each are too few to tell which are more common");
        assert!(few.distinct[0].1 >= 100.0);
    }
}
