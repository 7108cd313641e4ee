//! Several whole-number keys of a join as one number.
//!
//! DataFusion's hash join on one whole number looks it up in an array where the keys lie close together, and compares one column where
//! they do not. On several keys it hashes and compares each column by itself. Once the smaller side has been read, the least and the
//! greatest value of each of its keys are known: every key then is a digit, counted from the least, of one number, if that has room
//! in 63 bits. Rows of the other side with a digit outside of its column's values can match nothing and get a number that nothing has.

mod expr;

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch};
use datafusion::common::NullEquality;
use datafusion::error::Result as DfResult;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr_common::utils::evaluate_expressions_to_arrays;
use datafusion::physical_plan::joins::{HashJoinExec, HashJoinExecBuilder, PartitionMode};

use self::expr::{Digit, Side, Table, range};
pub(super) use self::expr::{PackedKey, as_value};
use super::state::ARRAY_JOIN_RANGE;

/// A place in an array of numbers or rows.
const PLACE_BYTES: usize = 4;
/// So many places of an array for each row take what a row in a hash table does.
const PLACES_OF_ROW: u64 = 16;
/// So many for each row are cleared in a third of a microsecond, if the array has no more than `ARRAY_JOIN_RANGE`.
const PLACES_OF_ROW_FEW: u64 = 1024;

/// A join whose keys are one.
pub(super) struct Packed {
    pub join: HashJoinExec,
    /// What its array will take, if it makes one.
    pub array_bytes: usize,
}

/// Whether the keys of a join may become one, once its build side is known: they are whole numbers or days, and one build serves
/// all partitions. (What a divided join tells scans finds a row's part by the keys it was divided by.)
fn may_be_packed(join: &HashJoinExec) -> DfResult<bool> {
    if join.on().len() < 2 || *join.partition_mode() != PartitionMode::CollectLeft || join.null_aware {
        return Ok(false);
    }
    let (left, right) = (join.left().schema(), join.right().schema());
    for (build, probe) in join.on() {
        let kind = build.data_type(&left)?;
        if !expr::is_packable(&kind) || kind != probe.data_type(&right)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The join with one key in place of its several, if the rows of its build side allow it.
pub(super) fn packed(join: &HashJoinExec, rows: &[RecordBatch]) -> DfResult<Option<Packed>> {
    if !may_be_packed(join)? {
        return Ok(None);
    }
    let (build, probe): (Vec<_>, Vec<_>) = join.on().iter().cloned().unzip();
    let Some(known) = Known::of(&build, rows)? else { return Ok(None) };
    // NULL that equals NULL would have to be a digit.
    if known.has_nulls && join.null_equality() == NullEquality::NullEqualsNull {
        return Ok(None);
    }
    let Some((digits, numbers)) = Digit::all(&known.ranges) else { return Ok(None) };
    let mut join = HashJoinExecBuilder::from(join).build()?;
    let table = if is_array(numbers, known.rows) { Table::Array } else { Table::Hashed };
    let build = PackedKey::new(build, Arc::clone(&digits), Side::Build, table);
    let probe = PackedKey::new(probe, digits, Side::Probe, table);
    join.on = vec![(Arc::new(build), Arc::new(probe))];
    let array_bytes = match table {
        Table::Array => (numbers as usize).saturating_add(known.rows) * PLACE_BYTES,
        Table::Hashed => 0,
    };
    Ok(Some(Packed { join, array_bytes }))
}

/// What is known of a build side's keys.
struct Known {
    /// Least and greatest of each key.
    ranges: Vec<(i64, i64)>,
    has_nulls: bool,
    rows: usize,
}

impl Known {
    /// `None` if a key has no value at all.
    fn of(keys: &[Arc<dyn PhysicalExpr>], rows: &[RecordBatch]) -> DfResult<Option<Known>> {
        let mut ranges: Vec<Option<(i64, i64)>> = vec![None; keys.len()];
        let mut known = Known { ranges: Vec::new(), has_nulls: false, rows: 0 };
        for batch in rows {
            known.rows += batch.num_rows();
            let values: Vec<ArrayRef> = evaluate_expressions_to_arrays(keys, batch)?;
            for (whole, values) in ranges.iter_mut().zip(&values) {
                known.has_nulls |= values.null_count() > 0;
                *whole = match (*whole, range(values)?) {
                    (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
                    (one, other) => one.or(other),
                };
            }
        }
        let Some(ranges) = ranges.into_iter().collect() else { return Ok(None) };
        Ok(Some(Known { ranges, ..known }))
    }
}

/// Whether an array of all numbers pays for so many rows: it takes no more than a hash table of them, or little, and not very much
/// more.
fn is_array(numbers: u64, rows: usize) -> bool {
    let places = |of_each: u64| (rows as u64).saturating_mul(of_each);
    numbers <= places(PLACES_OF_ROW) || numbers <= (ARRAY_JOIN_RANGE as u64).min(places(PLACES_OF_ROW_FEW))
}

#[cfg(test)]
#[path = "packed_keys_test.rs"]
mod tests;
