//! Exchanges all of whose batches go through files.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::execution::TaskContext;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning, collect};
use datafusion::prelude::SessionConfig;
use heliosdb_runtime::RealDisk;

use super::SpillFiles;
use crate::exec::memory::Memory;
use crate::exec::state::seal_each_spilled_batch;

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
    let dir = tempfile::tempdir().unwrap();
    let files = SpillFiles::new(Arc::new(RealDisk::new(dir.path()).unwrap()));
    let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Custom(Arc::new(files)));
    let runtime =
        RuntimeEnvBuilder::new().with_memory_pool(Memory::new(1).statement(None)).with_disk_manager_builder(disk);
    let mut config = SessionConfig::new().with_batch_size(ROWS as usize);
    seal_each_spilled_batch(&mut config);
    let context =
        Arc::new(TaskContext::default().with_runtime(runtime.build_arc().unwrap()).with_session_config(config));
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_time().build().unwrap();
    for attempt in 0..40 {
        let rows = collect(exchange(), Arc::clone(&context));
        let rows = threads.block_on(async { tokio::time::timeout(Duration::from_secs(60), rows).await });
        let rows = rows.unwrap_or_else(|_| panic!("attempt {attempt} stands still")).unwrap();
        assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>() as i64, INPUTS * BATCHES * ROWS);
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
