//! A stopped database, opened to be looked at: recovered in memory, over files that stay as they are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::StreamExt;
use heliosdb_contracts::{ConnectRequest, Execution, ShardClient, SqlService, SqlSession, datum_at};
use heliosdb_query::{Engine, EngineOptions, EngineService};
use heliosdb_runtime::{Clock, Disk, Entropy, Pool, RealClock, RealDisk, RealEntropy, ScratchDisk};
use heliosdb_storage::{Shard, ShardOptions, ShardParts};
use heliosdb_txn::{Participant, TxnOptions};
use heliosdb_types::{PhysicalType, Result, text_of};

use crate::exit::Failure;
use crate::node::SHARD_DIR;

const MEMORY_BYTES: u64 = 256 << 20;
const SUPERUSER: &str = "postgres";

/// The files of the one shard below a data directory, read only by agreement.
pub(crate) fn shard_files(data_dir: &Path) -> Result<Arc<dyn Disk>, Failure> {
    Ok(Arc::new(RealDisk::new(data_dir.join(SHARD_DIR)).map_err(Failure::data)?))
}

/// A database that runs on a copy of its names: nothing it does reaches the disk.
pub(crate) struct Offline {
    engine: Arc<Engine>,
    pool: Pool,
    spill: PathBuf,
}

impl Offline {
    pub(crate) fn open(files: Arc<dyn Disk>) -> Result<Offline> {
        let pool = Pool::new("offline", 2)?;
        let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
        let entropy: Arc<dyn Entropy> = Arc::new(RealEntropy);
        let parts = ShardParts {
            disk: Arc::new(ScratchDisk::new(files)),
            clock: clock.clone(),
            entropy: entropy.clone(),
            spawner: pool.spawner(),
        };
        let options = ShardOptions {
            // Nothing is to be written, and log files in memory are to be small.
            background: false,
            log_inline: true,
            log_file_bytes: 1 << 20,
            cache_bytes: MEMORY_BYTES,
            memtable_bytes: usize::MAX,
            ..ShardOptions::default()
        };
        let (shard, _) = Shard::open(parts, options)?;
        let client: Arc<dyn ShardClient> = Arc::new(Participant::new(shard, clock.clone(), TxnOptions::default()));
        let spill = std::env::temp_dir().join(format!("heliosdb-offline-{}", std::process::id()));
        let options = EngineOptions {
            analytics: pool.handle(),
            threads: 2,
            query_memory_bytes: MEMORY_BYTES as usize,
            queries_max: 2,
            spill: Arc::new(RealDisk::new(&spill)?),
            clock,
            entropy,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            sessions_max: 4,
            sessions_reserved: 0,
            prepared_bytes_max: 1 << 20,
            settings: Vec::new(),
        };
        let engine = pool.block_on(Engine::open(client, options))?;
        Ok(Offline { engine, pool, spill })
    }

    /// The databases one may connect to.
    pub(crate) fn databases(&self) -> Result<Vec<String>> {
        let rows = self.rows(SUPERUSER, "SELECT datname FROM pg_database WHERE datallowconn ORDER BY oid")?;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
    }

    /// A statement's rows in one database, as text.
    pub(crate) fn rows(&self, database: &str, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        self.pool.block_on(async {
            let request = ConnectRequest {
                user: SUPERUSER.to_owned(),
                database: database.to_owned(),
                peer: None,
                pid: 1,
                parameters: Vec::new(),
            };
            let mut session = EngineService(self.engine.clone()).connect(request).await?;
            let mut out = Vec::new();
            for statement in session.parse_script(sql)? {
                let prepared = session.prepare_script(&*statement).await?;
                let execution = session.execute(&prepared, Vec::new()).await?;
                collect(&*session, execution, &mut out).await?;
            }
            session.finish().await?;
            Ok(out)
        })
    }
}

async fn collect(session: &dyn SqlSession, execution: Execution, out: &mut Vec<Vec<Option<String>>>) -> Result<()> {
    let Execution::Rows { columns, mut rows, .. } = execution else { return Ok(()) };
    let context = session.output().text;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        for row in 0..batch.num_rows() {
            let mut values = Vec::with_capacity(columns.len());
            for (array, column) in batch.columns().iter().zip(columns.iter()) {
                let physical = column.sql_type.physical().unwrap_or(PhysicalType::Text);
                let value = datum_at(array, row, physical)?;
                values.push((!value.is_null()).then(|| text_of(value, &column.sql_type, &context)));
            }
            out.push(values);
        }
    }
    Ok(())
}

impl Drop for Offline {
    fn drop(&mut self) {
        // What queries spilled; there is hardly ever any.
        if let (Some(folder), Some(name)) = (self.spill.parent(), self.spill.file_name().and_then(|name| name.to_str()))
            && let Ok(disk) = RealDisk::new(folder)
        {
            _ = crate::node::empty(&disk, name).and_then(|()| disk.remove_dir(name));
        }
    }
}
