//! Small batches put together: what operators pay for a batch, whatever its size, is paid for thousands of rows.

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;
use heliosdb_types::Result;

use super::error::from_arrow;

/// A batch with so many rows goes on by itself.
const ROWS_ALONE: usize = 1024;
/// Smaller ones wait until they have so many together.
const ROWS_TOGETHER: usize = 4096;

/// Batches of one schema that wait for more, in order.
#[derive(Debug, Default)]
pub(super) struct SmallBatches {
    waiting: Vec<RecordBatch>,
    rows: usize,
}

impl SmallBatches {
    /// Takes a batch; gives one as soon as it is worth its price.
    pub fn push(&mut self, batch: RecordBatch) -> Result<Option<RecordBatch>> {
        self.rows += batch.num_rows();
        self.waiting.push(batch);
        let enough = if self.waiting.len() == 1 { ROWS_ALONE } else { ROWS_TOGETHER };
        if self.rows < enough { Ok(None) } else { self.finish() }
    }

    /// All that waits.
    pub fn finish(&mut self) -> Result<Option<RecordBatch>> {
        self.rows = 0;
        let waiting = std::mem::take(&mut self.waiting);
        match waiting.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one.clone())),
            many => concat_batches(many[0].schema_ref(), many).map(Some).map_err(from_arrow),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::Int32Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int32Type;
    use arrow_schema::{DataType, Field, Schema};

    use super::*;

    #[test]
    fn batches_keep_their_order_and_lose_nothing() {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int32, false)]));
        let mut next = 0;
        let mut make = |rows: i32| {
            let values = Int32Array::from_iter_values(next..next + rows);
            next += rows;
            RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(values)]).unwrap()
        };
        let mut small = SmallBatches::default();
        let mut out = Vec::new();
        for rows in [2000, 10, 0, 1000, 1000, 3000, 1, 1024, 5] {
            out.extend(small.push(make(rows)).unwrap());
        }
        out.extend(small.finish().unwrap());
        assert!(small.finish().unwrap().is_none());
        assert_eq!(out.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [2000, 5010, 1030]);
        let all = out.iter().flat_map(|batch| batch.column(0).as_primitive::<Int32Type>().values().to_vec());
        assert!(all.eq(0..8040));
    }
}
