//! Aggregates with their own ORDER BY: rows are kept with a key that sorts as asked, and folded when the group ends.
//!
//! The input need not come sorted, so several aggregates of one query may ask for different orders, and partial states from
//! different partitions merge into one order.

use std::collections::HashSet;
use std::fmt;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::Accumulator;
use datafusion::logical_expr::function::AccumulatorArgs;
use heliosdb_contracts::datum_at;
use heliosdb_types::{DatumRef, Error, PhysicalType, Result, RowLayout, RowView, encode_key, encode_row};

use super::fold::{FoldAggregate, parts, push_part};
use crate::exec::{check_cancelled, scalar_of, sort_checked, to_datafusion};

pub(super) struct OrderedAccumulator {
    function: FoldAggregate,
    /// (descending, NULLs first) of each sort key; their values follow the arguments in every batch.
    order: Vec<(bool, bool)>,
    distinct: bool,
    /// For each row what compares bytewise as rows should be ordered, and the row, as [`parts`] reads them: millions of rows are
    /// one allocation, which is given back at once.
    kept: Vec<u8>,
    rows: Vec<KeptRow>,
}

/// Where a row is among what is kept.
#[derive(Clone, Copy)]
struct KeptRow {
    start: usize,
    order: u32,
    row: u32,
}

/// What is before each of the two.
const LENGTH: usize = size_of::<u32>();

impl KeptRow {
    fn order(self, kept: &[u8]) -> &[u8] {
        let start = self.start + LENGTH;
        kept.get(start..start + self.order as usize).unwrap_or(&[])
    }

    fn row(self, kept: &[u8]) -> &[u8] {
        let start = self.start + LENGTH + self.order as usize + LENGTH;
        kept.get(start..start + self.row as usize).unwrap_or(&[])
    }
}

impl fmt::Debug for OrderedAccumulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ordered by {} keys", self.function, self.order.len())
    }
}

impl OrderedAccumulator {
    pub fn new(function: FoldAggregate, args: &AccumulatorArgs<'_>) -> OrderedAccumulator {
        let order = args.order_bys.iter().map(|key| (key.options.descending, key.options.nulls_first)).collect();
        OrderedAccumulator { function, order, distinct: args.is_distinct, kept: Vec::new(), rows: Vec::new() }
    }

    fn keep(&mut self, order: &[u8], row: &[u8]) {
        self.rows.push(KeptRow { start: self.kept.len(), order: order.len() as u32, row: row.len() as u32 });
        push_part(order, &mut self.kept);
        push_part(row, &mut self.kept);
    }

    fn add(&mut self, args: &[DatumRef<'_>], keys: &[DatumRef<'_>]) -> Result<()> {
        if self.function.skips(args) {
            return Ok(());
        }
        let mut order = Vec::new();
        for (value, (descending, nulls_first)) in keys.iter().zip(&self.order) {
            order.push(u8::from(value.is_null() != *nulls_first));
            if !value.is_null() {
                encode_key(&mut order, *value, *descending);
            }
        }
        let mut row = Vec::new();
        encode_row(self.function.arguments(), args, &mut row)?;
        self.keep(&order, &row);
        Ok(())
    }

    fn finish(&mut self) -> Result<ScalarValue> {
        let kept = &self.kept;
        sort_checked(&mut self.rows, check_cancelled, |a, b| a.order(kept).cmp(b.order(kept)))?;
        let layout = RowLayout::new(self.function.arguments());
        let mut fold = self.function.fold();
        let mut seen = HashSet::new();
        for place in &self.rows {
            check_cancelled()?;
            let view = RowView::new(&layout, place.row(kept))?;
            let args = (0..layout.len()).map(|i| view.get(i)).collect::<Result<Vec<_>>>()?;
            if self.distinct {
                let mut key = Vec::new();
                args.iter().for_each(|value| encode_key(&mut key, *value, false));
                if !seen.insert(key) {
                    continue;
                }
            }
            fold.add(&args)?;
        }
        scalar_of(self.function.returns(), fold.finish()?.as_ref())
    }

    fn merge(&mut self, saved: &[u8]) -> Result<()> {
        let parts = parts(saved)?;
        for pair in parts.chunks(2) {
            check_cancelled()?;
            let [order, row] = pair else { return Err(Error::internal("damaged aggregate state")) };
            self.keep(order, row);
        }
        Ok(())
    }
}

impl Accumulator for OrderedAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        let arguments = self.function.arguments().to_vec();
        let width = arguments.len();
        let rows = values.first().map_or(0, |array| array.len());
        for row in 0..rows {
            let mut value = |(at, array): (usize, &ArrayRef)| {
                // A sort key is compared, not shown, so numeric bytes and plain bytes are the same here.
                let physical = arguments.get(at).copied().unwrap_or(PhysicalType::Bytes);
                datum_at(array, row, physical).map(|v| v.to_owned())
            };
            let all = values.iter().enumerate().map(&mut value).collect::<Result<Vec<_>>>().map_err(to_datafusion)?;
            let all: Vec<DatumRef<'_>> = all.iter().map(|datum| datum.as_ref()).collect();
            let (args, keys) = all.split_at(width.min(all.len()));
            self.add(args, keys).map_err(to_datafusion)?;
        }
        Ok(())
    }

    fn evaluate(&mut self) -> DataFusionResult<ScalarValue> {
        self.finish().map_err(to_datafusion)
    }

    fn size(&self) -> usize {
        size_of::<OrderedAccumulator>() + self.kept.capacity() + self.rows.capacity() * size_of::<KeptRow>()
    }

    fn state(&mut self) -> DataFusionResult<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Binary(Some(self.kept.clone()))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DataFusionResult<()> {
        let Some(saved) = states.first() else { return Ok(()) };
        for bytes in saved.as_binary::<i32>().iter().flatten() {
            self.merge(bytes).map_err(to_datafusion)?;
        }
        Ok(())
    }
}
