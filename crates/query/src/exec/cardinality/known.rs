//! What is asked of the values a profile knows: its common ones and the bounds of its groups, which are a sample of the others.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{Field, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;

use super::facts::{ColumnFacts, Estimate};
use crate::exec::arrays::array_of;

/// Fewer bounds say too little of the other values.
const BOUNDS_MIN: usize = 10;

/// The only column of the input an expression names.
pub(super) fn only_column(expr: &Arc<dyn PhysicalExpr>) -> Option<usize> {
    let (mut found, mut several) = (None, false);
    let _ = expr.apply(|part| {
        if let Some(column) = part.downcast_ref::<Column>() {
            several |= found.is_some_and(|found| found != column.index());
            found = Some(column.index());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found.filter(|_| !several)
}

/// The expression's value for each known value of its only column, with the share of all rows that each stands for.
fn answers(expr: &Arc<dyn PhysicalExpr>, input: &Estimate) -> Option<(ArrayRef, Vec<f64>)> {
    let facts: &ColumnFacts = input.column(only_column(expr)?)?;
    let (profile, (_, physical)) = (facts.profile.as_ref()?, facts.types.as_ref()?);
    let common: f64 = profile.common.iter().map(|(_, share)| share).sum();
    let others = (1.0 - common - profile.null_frac).max(0.0);
    if others > 0.02 && profile.bounds.len() < BOUNDS_MIN {
        return None;
    }
    let share = others / profile.bounds.len().max(1) as f64;
    let shares: Vec<f64> =
        profile.common.iter().map(|(_, share)| *share).chain(profile.bounds.iter().map(|_| share)).collect();
    let values = profile.common.iter().map(|(place, _)| place).chain(&profile.bounds);
    let array = array_of(*physical, values.map(|place| place.value.as_ref())).ok()?;
    let schema = Arc::new(Schema::new(vec![Field::new("value", array.data_type().clone(), true)]));
    let batch = RecordBatch::try_new(schema, vec![array]).ok()?;
    let first = Arc::clone(expr).transform(|part| {
        Ok(match part.downcast_ref::<Column>() {
            Some(column) => Transformed::yes(Arc::new(Column::new(column.name(), 0)) as Arc<dyn PhysicalExpr>),
            None => Transformed::no(part),
        })
    });
    let answer = first.ok()?.data.evaluate(&batch).ok()?.into_array(batch.num_rows()).ok()?;
    Some((answer, shares))
}

/// The share of rows for which a condition on one column holds.
pub(super) fn holds(expr: &Arc<dyn PhysicalExpr>, input: &Estimate) -> Option<f64> {
    let (answer, shares) = answers(expr, input)?;
    let answer = answer.as_boolean_opt()?;
    let held = |at: usize| answer.is_valid(at) && answer.value(at);
    let kept: f64 = shares.iter().enumerate().filter(|(at, _)| held(*at)).map(|(_, share)| share).sum();
    // None of the values is not none of the rows: as if half of the next value did.
    let least = shares.last().copied().unwrap_or(1.0).min(0.01) / 2.0;
    Some(kept.clamp(least.max(1e-7), 1.0))
}

/// How many different values an expression over one column has.
pub(super) fn distinct(expr: &Arc<dyn PhysicalExpr>, input: &Estimate) -> Option<f64> {
    let of_column = input.column(only_column(expr)?)?.distinct;
    let (answer, shares) = answers(expr, input)?;
    let mut hashes = vec![0u64; answer.len()];
    let state = datafusion::common::hash_utils::RandomState::default();
    datafusion::common::hash_utils::create_hashes([&answer], &state, &mut hashes).ok()?;
    let found = hashes.into_iter().collect::<HashSet<u64>>().len() as f64;
    // Nearly every value gave another: as many as the column has.
    Some(if found > 0.5 * shares.len() as f64 { of_column } else { found.min(of_column) })
}
