//! A look at small tables: what their conditions really leave.
//!
//! Statistics know each column by itself. Which keys a condition on another column leaves they do not know, and a table that refers to
//! them may have most of its rows at one of them: the estimate is then wrong by as much as the reference is skewed. A table of
//! few rows is read in less time than planning takes, so its rows are looked at when a join is planned.

use heliosdb_contracts::{ColumnPredicate, IsolationLevel, ScanRequest, datum_at};
use heliosdb_types::{ColumnId, Result};

use super::facts::{ColumnFacts, Estimate};
use crate::catalog::{Place, Profile, Relation};
use crate::exec::scope::StatementScope;

/// Rows a table may have to be looked at: one batch that is read in some tens of microseconds.
const ROWS_MAX: f64 = 2048.0;
/// Columns of the result that are looked at: keys come first.
const COLUMNS_MAX: usize = 6;
/// Values known each by itself, and bounds of the others.
const COMMON_MAX: usize = 256;
const BOUNDS: usize = 100;

/// The rows that the conditions leave, and the values of their columns at `projection`; `None`: the table is too large to look, has no
/// conditions, or a look would count as a read of the whole table.
pub(crate) fn looked(
    known: &Estimate,
    relation: &Relation,
    predicates: &[ColumnPredicate],
    projection: &[usize],
    scope: &StatementScope,
) -> Option<Estimate> {
    let tree = relation.table()?.tree.tree;
    let small = scope.shard.tree_size(tree).rows as f64 <= ROWS_MAX;
    if !small || predicates.is_empty() || scope.read.isolation == IsolationLevel::Serializable {
        return None;
    }
    let wanted: Vec<(usize, ColumnId)> = projection
        .iter()
        .enumerate()
        .filter_map(|(at, place)| Some((at, relation.columns.get(*place)?.id)))
        .filter(|(at, _)| known.column(*at).is_some_and(|facts| facts.types.is_some()))
        .take(COLUMNS_MAX)
        .collect();
    let request = ScanRequest {
        tree,
        projection: wanted.iter().map(|(_, id)| *id).collect(),
        predicates: predicates.to_vec(),
        row_refs: false,
        limit: None,
        target_partitions: 1,
        batch_rows: ROWS_MAX as usize,
    };
    // Whoever runs the statement meets the error.
    let (rows, values) = read(&request, known, &wanted, scope).ok()?;
    let mut out = known.clone().with_rows(rows as f64);
    for ((at, _), values) in wanted.iter().zip(values) {
        if let Some(facts) = out.columns.get_mut(*at) {
            seen(facts, rows, values);
        }
    }
    Some(out)
}

/// How many rows there are, and of each column the values that are not NULL.
fn read(
    request: &ScanRequest,
    known: &Estimate,
    wanted: &[(usize, ColumnId)],
    scope: &StatementScope,
) -> Result<(usize, Vec<Vec<Place>>)> {
    let scan = scope.shard.scan(&scope.read, request)?;
    let (mut rows, mut values) = (0, vec![Vec::new(); wanted.len()]);
    for partition in 0..scan.partition_count() {
        let mut reader = scan.open(partition)?;
        while let Some(batch) = reader.next_batch()? {
            rows += batch.num_rows();
            for (((at, _), column), values) in wanted.iter().zip(batch.columns()).zip(&mut values) {
                let Some((sql_type, physical)) = known.column(*at).and_then(|facts| facts.types.as_ref()) else {
                    continue;
                };
                for row in 0..batch.num_rows() {
                    let value = datum_at(column, row, *physical)?;
                    if !value.is_null() {
                        values.push(Place::of(sql_type, value.to_owned()));
                    }
                }
            }
        }
    }
    Ok((rows, values))
}

/// Facts of a column from all of its values.
fn seen(facts: &mut ColumnFacts, rows: usize, mut values: Vec<Place>) {
    let count = values.len();
    values.sort_by(|a, b| a.key.cmp(&b.key));
    let mut runs: Vec<(Place, usize)> = Vec::new();
    for value in values {
        match runs.last_mut() {
            Some((last, times)) if last.key == value.key => *times += 1,
            _ => runs.push((value, 1)),
        }
    }
    let distinct = runs.len().max(1) as f64;
    let bounds = match runs.len() {
        0..=COMMON_MAX => Vec::new(),
        many => {
            (0..=BOUNDS).filter_map(|at| runs.get(at * (many - 1) / BOUNDS)).map(|(place, _)| place.clone()).collect()
        }
    };
    if runs.len() > COMMON_MAX {
        // Who is there once is no common value.
        runs.retain(|(_, times)| *times > 1);
    }
    runs.sort_by(|(_, a), (_, b)| b.cmp(a));
    runs.truncate(COMMON_MAX);
    let rows = rows.max(1) as f64;
    let null_frac = (1.0 - count as f64 / rows).clamp(0.0, 1.0);
    let common = runs.into_iter().map(|(place, times)| (place, times as f64 / rows)).collect();
    let profile = Profile { null_frac, width: facts.width, distinct, common, bounds };
    (facts.distinct, facts.null_frac, facts.profile) = (distinct, null_frac, Some(profile.into()));
}
