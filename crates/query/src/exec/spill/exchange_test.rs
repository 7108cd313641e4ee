//! Exchanges all of whose batches go through files.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning, collect};

use super::place::Place;

const INPUTS: i64 = 4;
const BATCHES: i64 = 20;
const ROWS: i64 = 4096;

/// Inputs divided among two readers.
fn exchange() -> Arc<dyn ExecutionPlan> {
    let batch = |first: i64| {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(first..first + ROWS));
        RecordBatch::try_from_iter([("k", column)]).unwrap()
    };
    let partitions: Vec<Vec<RecordBatch>> =
        (0..INPUTS).map(|part| (0..BATCHES).map(|n| batch((part * BATCHES + n) * ROWS)).collect()).collect();
    let schema = partitions[0][0].schema();
    let rows = MemorySourceConfig::try_new_exec(&partitions, schema, None).unwrap();
    Arc::new(RepartitionExec::try_new(rows, Partitioning::Hash(vec![Arc::new(Column::new("k", 0))], 2)).unwrap())
}

#[test]
fn inputs_that_spill_at_once_do_not_wait_for_each_other() {
    let place = Place::new(1, ROWS as usize);
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_time().build().unwrap();
    for attempt in 0..40 {
        let rows = collect(exchange(), Arc::clone(&place.context));
        let rows = threads.block_on(async { tokio::time::timeout(Duration::from_secs(60), rows).await });
        let rows = rows.unwrap_or_else(|_| panic!("attempt {attempt} stands still")).unwrap();
        assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>() as i64, INPUTS * BATCHES * ROWS);
    }
    assert_eq!(place.files(), 0);
}
