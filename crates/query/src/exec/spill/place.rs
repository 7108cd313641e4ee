//! Where tests run plans: so much memory, and a folder for what it does not hold.

use std::sync::Arc;

use datafusion::execution::TaskContext;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::SessionConfig;
use heliosdb_runtime::RealDisk;

use super::SpillFiles;
use crate::exec::memory::Memory;
use crate::exec::state::seal_each_spilled_batch;

pub(in crate::exec) struct Place {
    dir: tempfile::TempDir,
    memory: Memory,
    pub context: Arc<TaskContext>,
}

impl Place {
    pub fn new(bytes: usize, batch_rows: usize) -> Place {
        let dir = tempfile::tempdir().unwrap();
        let disk = SpillFiles::new(Arc::new(RealDisk::new(dir.path()).unwrap())).manager();
        let memory = Memory::new(bytes);
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(memory.statement(None)).with_disk_manager_builder(disk);
        let mut config = SessionConfig::new().with_batch_size(batch_rows);
        seal_each_spilled_batch(&mut config);
        let context = TaskContext::default().with_runtime(runtime.build_arc().unwrap()).with_session_config(config);
        Place { dir, memory, context: Arc::new(context) }
    }

    /// Bytes of memory that somebody has.
    pub fn held(&self) -> usize {
        self.memory.in_use().held
    }

    /// Files that are there.
    pub fn files(&self) -> usize {
        std::fs::read_dir(self.dir.path()).unwrap().count()
    }
}
