//! A function's values in one partition that is there as a whole, in steps between which a cancelled statement is noticed.
//!
//! DataFusion computes a partition's values in one go, each a `ScalarValue` until the last is there: over ten million rows seconds and
//! 640 MB. Here they become an array for each [`STEP`] rows, and aggregates take in no more rows at once.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_select::concat::concat;
use datafusion::common::{Result as DfResult, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::Accumulator;
use datafusion::logical_expr::window_state::WindowFrameContext;
use datafusion::physical_expr::window::{
    PlainAggregateWindowExpr, SlidingAggregateWindowExpr, StandardWindowExpr, WindowExpr,
};

use super::calls::{is_of_all, may_have_filter};
use crate::exec::error::to_datafusion;
use crate::exec::interrupt::check_cancelled;

/// Rows between two looks at the statement.
const STEP: usize = 8192;

/// The function's value for each row of the partition.
pub(super) fn values(function: &Arc<dyn WindowExpr>, partition: &RecordBatch) -> DfResult<ArrayRef> {
    check_cancelled().map_err(to_datafusion)?;
    let any = function.as_any();
    if let Some(standard) = any.downcast_ref::<StandardWindowExpr>() {
        let mut evaluator = standard.get_standard_func_expr().create_evaluator()?;
        if evaluator.uses_window_frame() {
            let mut arguments = function.evaluate_args(partition)?;
            arguments.extend(order(function, partition)?);
            return each_row(function, partition, |frame| evaluator.evaluate(&arguments, frame));
        }
    } else if !may_have_filter(function) {
        let (aggregate, slides) = if let Some(plain) = any.downcast_ref::<PlainAggregateWindowExpr>() {
            (plain.get_aggregate_expr(), false)
        } else if let Some(sliding) = any.downcast_ref::<SlidingAggregateWindowExpr>() {
            (sliding.get_aggregate_expr(), true)
        } else {
            return function.evaluate(partition);
        };
        let arguments = function.evaluate_args(partition)?;
        if is_of_all(function) {
            let mut all = aggregate.create_accumulator()?;
            take_in(all.as_mut(), &arguments, 0..partition.num_rows())?;
            return all.evaluate()?.to_array_of_size(partition.num_rows());
        }
        let accumulator =
            if slides { aggregate.create_sliding_accumulator()? } else { aggregate.create_accumulator()? };
        let mut moving = Moving { accumulator, slides, arguments, rows: 0..0 };
        let of_none = aggregate.default_value(aggregate.field().data_type())?;
        return each_row(function, partition, |frame| moving.value(frame, &of_none));
    }
    // Its place in the order says all: one pass over the rows. Or a FILTER that nobody else can see.
    function.evaluate(partition)
}

fn order(function: &Arc<dyn WindowExpr>, partition: &RecordBatch) -> DfResult<Vec<ArrayRef>> {
    Ok(function.order_by_columns(partition)?.into_iter().map(|column| column.values).collect())
}

fn each_row(
    function: &Arc<dyn WindowExpr>,
    partition: &RecordBatch,
    mut value: impl FnMut(&Range<usize>) -> DfResult<ScalarValue>,
) -> DfResult<ArrayRef> {
    let (order, rows) = (order(function, partition)?, partition.num_rows());
    let options = function.order_by().iter().map(|key| key.options).collect();
    let mut frames = WindowFrameContext::new(Arc::clone(function.get_window_frame()), options);
    let (mut frame, mut steps) = (0..0, Vec::new());
    for from in (0..rows).step_by(STEP) {
        check_cancelled().map_err(to_datafusion)?;
        let mut values = Vec::with_capacity(STEP.min(rows - from));
        for row in from..rows.min(from + STEP) {
            frame = frames.calculate_range(&order, &frame, rows, row)?;
            values.push(value(&frame)?);
        }
        steps.push(ScalarValue::iter_to_array(values)?);
    }
    match steps.as_slice() {
        [] => Ok(arrow_array::new_empty_array(function.field()?.data_type())),
        [one] => Ok(Arc::clone(one)),
        many => Ok(concat(&many.iter().map(|step| step.as_ref()).collect::<Vec<_>>())?),
    }
}

fn slices(arguments: &[ArrayRef], rows: &Range<usize>) -> Vec<ArrayRef> {
    arguments.iter().map(|values| values.slice(rows.start, rows.len())).collect()
}

/// Some rows of a range at a time, so many that it does not take long.
fn steps(rows: Range<usize>) -> impl Iterator<Item = DfResult<Range<usize>>> {
    let end = rows.end;
    rows.step_by(STEP).map(move |from| {
        check_cancelled().map_err(to_datafusion)?;
        Ok(from..end.min(from + STEP))
    })
}

fn take_in(accumulator: &mut dyn Accumulator, arguments: &[ArrayRef], rows: Range<usize>) -> DfResult<()> {
    steps(rows).try_for_each(|rows| accumulator.update_batch(&slices(arguments, &rows?)))
}

/// An aggregate over frames that move on.
struct Moving {
    accumulator: Box<dyn Accumulator>,
    /// Whether rows can leave it.
    slides: bool,
    arguments: Vec<ArrayRef>,
    /// What it is of.
    rows: Range<usize>,
}

impl Moving {
    fn value(&mut self, frame: &Range<usize>, of_none: &ScalarValue) -> DfResult<ScalarValue> {
        if frame.start >= frame.end {
            return Ok(of_none.clone());
        }
        if frame.start < self.rows.start || frame.end < self.rows.end {
            return Err(DataFusionError::Internal(format!("a frame moves back from {:?} to {frame:?}", self.rows)));
        }
        take_in(self.accumulator.as_mut(), &self.arguments, self.rows.end..frame.end)?;
        if self.slides {
            for left in steps(self.rows.start..frame.start) {
                self.accumulator.retract_batch(&slices(&self.arguments, &left?))?;
            }
        }
        self.rows = frame.clone();
        self.accumulator.evaluate()
    }
}
