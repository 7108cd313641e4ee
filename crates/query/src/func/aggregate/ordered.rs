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

use super::fold::{FoldAggregate, parts};
use crate::exec::{scalar_of, to_datafusion};

pub(super) struct OrderedAccumulator {
    function: FoldAggregate,
    /// (descending, NULLs first) of each sort key; their values follow the arguments in every batch.
    order: Vec<(bool, bool)>,
    distinct: bool,
    rows: Vec<KeptRow>,
    kept_bytes: usize,
}

struct KeptRow {
    /// Compares bytewise as the rows should be ordered.
    order: Vec<u8>,
    row: Vec<u8>,
}

impl fmt::Debug for OrderedAccumulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ordered by {} keys", self.function, self.order.len())
    }
}

impl OrderedAccumulator {
    pub fn new(function: FoldAggregate, args: &AccumulatorArgs<'_>) -> OrderedAccumulator {
        let order = args.order_bys.iter().map(|key| (key.options.descending, key.options.nulls_first)).collect();
        OrderedAccumulator { function, order, distinct: args.is_distinct, rows: Vec::new(), kept_bytes: 0 }
    }

    fn keep(&mut self, order: Vec<u8>, row: Vec<u8>) {
        self.kept_bytes += order.len() + row.len();
        self.rows.push(KeptRow { order, row });
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
        self.keep(order, row);
        Ok(())
    }

    fn finish(&mut self) -> Result<ScalarValue> {
        self.rows.sort_by(|a, b| a.order.cmp(&b.order));
        let layout = RowLayout::new(self.function.arguments());
        let mut fold = self.function.fold();
        let mut seen = HashSet::new();
        for kept in &self.rows {
            let view = RowView::new(&layout, &kept.row)?;
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
            let [order, row] = pair else { return Err(Error::internal("damaged aggregate state")) };
            self.keep(order.to_vec(), row.to_vec());
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
        size_of::<OrderedAccumulator>() + self.kept_bytes + self.rows.capacity() * size_of::<KeptRow>()
    }

    fn state(&mut self) -> DataFusionResult<Vec<ScalarValue>> {
        let mut out = Vec::with_capacity(self.kept_bytes + 8 * self.rows.len());
        for part in self.rows.iter().flat_map(|kept| [&kept.order, &kept.row]) {
            out.extend_from_slice(&(part.len() as u32).to_le_bytes());
            out.extend_from_slice(part);
        }
        Ok(vec![ScalarValue::Binary(Some(out))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DataFusionResult<()> {
        let Some(saved) = states.first() else { return Ok(()) };
        for bytes in saved.as_binary::<i32>().iter().flatten() {
            self.merge(bytes).map_err(to_datafusion)?;
        }
        Ok(())
    }
}
