//! How many rows frames reach back to that begin at a distance from their row: in RANGE one between values, in GROUPS so many groups
//! of peers. What tells that is kept of the rows: values of the key, and where groups and partitions begin.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_ord::ord::make_comparator;
use datafusion::common::{Result as DfResult, ScalarValue};
use datafusion::logical_expr::{WindowFrameBound, WindowFrameUnits};
use datafusion::physical_expr::window::WindowExpr;
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_expr_common::utils::evaluate_expressions_to_arrays;

use super::calls::Calls;

/// Rows are counted from the first that came.
#[derive(Debug)]
pub(super) struct Reach {
    distances: Vec<Distance>,
    partition_by: Vec<Arc<dyn PhysicalExpr>>,
    order_by: Vec<PhysicalSortExpr>,
    rows: usize,
    partitions: Beginnings,
    groups: Beginnings,
    /// The first key's values, each batch with its first row.
    keys: VecDeque<(usize, ArrayRef)>,
}

/// How far before a row its frame begins.
#[derive(Clone, Debug, PartialEq)]
enum Distance {
    Groups(usize),
    Value(ScalarValue),
}

fn distance(call: &Arc<dyn WindowExpr>) -> Option<Distance> {
    let frame = call.get_window_frame();
    match (&frame.start_bound, frame.units) {
        (_, WindowFrameUnits::Rows) => None,
        // With the first of its row's peers.
        (WindowFrameBound::CurrentRow, _) => Some(Distance::Groups(0)),
        (WindowFrameBound::Preceding(by), _) if by.is_null() => None,
        (WindowFrameBound::Preceding(ScalarValue::UInt64(Some(by))), WindowFrameUnits::Groups) => {
            Some(Distance::Groups(usize::try_from(*by).unwrap_or(usize::MAX)))
        }
        (WindowFrameBound::Preceding(by), WindowFrameUnits::Range) => Some(Distance::Value(by.clone())),
        _ => None,
    }
}

impl Reach {
    /// `None`: no function's frame begins at such a distance.
    pub fn new(calls: &[Arc<dyn WindowExpr>]) -> Option<Reach> {
        let mut distances: Vec<Distance> = Vec::new();
        for distance in calls.iter().filter_map(distance) {
            if !distances.contains(&distance) {
                distances.push(distance);
            }
        }
        let call = calls.first().filter(|_| !distances.is_empty())?;
        Some(Reach {
            distances,
            partition_by: call.partition_by().to_vec(),
            order_by: call.order_by().to_vec(),
            rows: 0,
            partitions: Beginnings::default(),
            groups: Beginnings::default(),
            keys: VecDeque::new(),
        })
    }

    /// Takes in rows that the functions get.
    pub fn push(&mut self, batch: &RecordBatch) -> DfResult<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let partition = evaluate_expressions_to_arrays(&self.partition_by, batch)?;
        let order = self.order_by.iter().map(|key| Arc::clone(&key.expr)).collect::<Vec<_>>();
        let order = evaluate_expressions_to_arrays(&order, batch)?;
        let peers = [partition.as_slice(), order.as_slice()].concat();
        self.partitions.push(self.rows, batch.num_rows(), partition)?;
        self.groups.push(self.rows, batch.num_rows(), peers)?;
        self.keys.extend(order.first().map(|key| (self.rows, Arc::clone(key))));
        self.rows += batch.num_rows();
        Ok(())
    }

    /// Rows among the first `given` that frames of later rows may have. What those do not need is forgotten.
    pub fn back(&mut self, given: usize) -> DfResult<usize> {
        let Some(row) = given.min(self.rows).checked_sub(1) else { return Ok(0) };
        let mut first = row;
        for distance in &self.distances {
            first = first.min(match distance {
                Distance::Groups(groups) => self.groups.before(row, *groups),
                Distance::Value(by) => self.first_within(row, by)?,
            });
        }
        first = first.max(self.partitions.before(row, 0));
        self.partitions.forget(first);
        self.groups.forget(first);
        while self.keys.get(1).is_some_and(|(next, _)| *next <= first) {
            self.keys.pop_front();
        }
        Ok(row + 1 - first)
    }

    /// The first row whose key is no farther than `by` before that of `row`, in its partition.
    fn first_within(&self, row: usize, by: &ScalarValue) -> DfResult<usize> {
        let partition = self.partitions.before(row, 0);
        let (Some(key), Some((from, last))) = (self.order_by.first(), self.batch_of(row)) else { return Ok(partition) };
        let value = ScalarValue::try_from_array(last, row - from)?;
        let begin = if key.options.descending { value.add_checked(by) } else { value.sub_checked(by) };
        let begin = begin.and_then(|begin| begin.cast_to(last.data_type()));
        // NULL, or less than there is: all rows of the partition may be in the frame.
        let Some(begin) = begin.ok().filter(|begin| !begin.is_null()) else { return Ok(partition) };
        let begin = begin.to_array_of_size(1)?;
        for (from, keys) in self.keys.iter().filter(|(from, keys)| from + keys.len() > partition) {
            let compare = make_comparator(keys, &begin, key.options)?;
            let before = |at: usize| compare(at, 0) == Ordering::Less;
            let (mut low, mut high) = (partition.saturating_sub(*from), keys.len());
            while low < high {
                let middle = low.midpoint(high);
                if before(middle) { low = middle + 1 } else { high = middle }
            }
            if low < keys.len() {
                return Ok((from + low).min(row));
            }
        }
        Ok(row)
    }

    fn batch_of(&self, row: usize) -> Option<(usize, &ArrayRef)> {
        let at = self.keys.partition_point(|(from, _)| *from <= row).checked_sub(1)?;
        self.keys.get(at).map(|(from, keys)| (*from, keys))
    }
}

/// Where partitions begin, or groups of peers.
#[derive(Debug, Default)]
struct Beginnings {
    rows: VecDeque<usize>,
    /// What makes the last row one of the last group.
    last: Vec<ArrayRef>,
}

impl Beginnings {
    fn push(&mut self, from: usize, rows: usize, values: Vec<ArrayRef>) -> DfResult<()> {
        let ranges = match values.as_slice() {
            [] => std::iter::once(0..rows).collect(),
            values => arrow_ord::partition::partition(values)?.ranges(),
        };
        let goes_on = !self.rows.is_empty() && Calls::same(&self.last, &values)?;
        self.rows.extend(ranges.iter().map(|range| from + range.start).skip(usize::from(goes_on)));
        self.last = values.iter().map(|values| values.slice(rows - 1, 1)).collect();
        Ok(())
    }

    /// Where the group begins that is so many before that of a row, or the first that is known.
    fn before(&self, row: usize, groups: usize) -> usize {
        let at = self.rows.partition_point(|beginning| *beginning <= row).saturating_sub(1);
        self.rows.get(at.saturating_sub(groups)).copied().unwrap_or(0)
    }

    /// Groups that end before a row.
    fn forget(&mut self, row: usize) {
        while self.rows.get(1).is_some_and(|next| *next <= row) {
            self.rows.pop_front();
        }
    }
}
