//! The SQL engine: what all sessions share, and the door protocols come through.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use futures::FutureExt;
use futures::future::BoxFuture;
use heliosdb_contracts::{
    ConnectRequest, Credential, IsolationLevel, ReadContext, ShardClient, SqlService, SqlSession,
};
use heliosdb_runtime::{Clock, Disk, Entropy, Spawner};
use heliosdb_types::{BranchId, CommandId, CommitTs, DatabaseId, Error, Oid, Result, SqlState};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::analyze::{self, Changes};
use crate::catalog::{self, CatalogSnapshot, POSTGRES_DATABASE};
use crate::copy::Copies;
use crate::exec::{Executor, ExecutorOptions, QueryMemory, QueryQueue};
use crate::housekeeping::Backups;
use crate::index_builds::IndexBuilds;
use crate::session::{
    Channels, SequenceCache, Session, Sessions, SettingName, SharedStatements, check_setting, drop_temp,
    scram_from_text,
};
use crate::statistics::{Statistics, Usages};

/// What the engine runs with.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// The runtime queries run on, apart from the one that serves connections.
    pub analytics: Handle,
    /// Threads of that runtime: how many partitions a scan is split into.
    pub threads: usize,
    /// Memory all queries may use together before they spill.
    pub query_memory_bytes: usize,
    /// How many queries compute at once; others wait.
    pub queries_max: usize,
    /// The directory for what does not fit into that memory: nothing else is there, nothing survives.
    pub spill: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    /// The product's version, e.g. `0.1.0`.
    pub version: String,
    pub sessions_max: usize,
    /// Of those, how many only superusers may take.
    pub sessions_reserved: usize,
    /// The prepared statements a session may keep by name, by a rough measure.
    pub prepared_bytes_max: usize,
    /// Settings all sessions start with, checked.
    pub settings: Vec<(&'static str, String)>,
}

/// The engine over one shard.
pub struct Engine {
    pub(crate) shard: Arc<dyn ShardClient>,
    pub(crate) options: EngineOptions,
    pub(crate) executor: Executor,
    pub(crate) sequences: Arc<SequenceCache>,
    pub(crate) sessions: Arc<Sessions>,
    /// Who listens to what.
    pub(crate) channels: Channels,
    catalogs: Mutex<HashMap<DatabaseId, Arc<CatalogSnapshot>>>,
    pub(crate) start_micros: i64,
    pub(crate) index_builds: Arc<IndexBuilds>,
    pub(crate) copies: Arc<Copies>,
    pub(crate) backups: Arc<Backups>,
    /// Numbers of the sessions' temporary schemas.
    pub(crate) temp_numbers: AtomicU64,
    pub(crate) statistics: Statistics,
    pub(crate) shared_statements: SharedStatements,
    /// What statistics of tables know of.
    pub(crate) changes: Changes,
}

impl Engine {
    /// Opens the engine; an empty shard gets its catalog: database, superuser and schemas.
    pub async fn open(shard: Arc<dyn ShardClient>, options: EngineOptions) -> Result<Arc<Engine>> {
        catalog::bootstrap(&shard).await?;
        let executor = Executor::new(ExecutorOptions {
            spawner: Spawner::on(options.analytics.clone()),
            threads: options.threads,
            memory_bytes: options.query_memory_bytes,
            queries_max: options.queries_max,
            clock: Arc::clone(&options.clock),
            spill: Arc::clone(&options.spill),
        })?;
        let start_micros = options.clock.now_micros();
        let engine = Arc::new(Engine {
            shard,
            options,
            executor,
            sequences: Arc::default(),
            sessions: Arc::default(),
            channels: Channels::default(),
            catalogs: Mutex::default(),
            index_builds: Arc::default(),
            copies: Arc::default(),
            backups: Arc::default(),
            start_micros,
            temp_numbers: AtomicU64::new(1),
            statistics: Statistics::new(start_micros),
            shared_statements: SharedStatements::default(),
            changes: Changes::default(),
        });
        // What sessions of before a crash left behind.
        for database in engine.catalog(POSTGRES_DATABASE, BranchId(0))?.databases.values() {
            drop_temp(&engine, database.id, &|_| true).await?;
        }
        Ok(engine)
    }

    /// A setting's value as sessions keep it, or why it cannot be.
    pub fn checked_setting(name: &str, value: &str) -> Result<String> {
        check_setting(&SettingName::of(name)?, value)
    }

    /// Number of sessions connected now.
    pub fn session_count(&self) -> usize {
        self.sessions.count()
    }

    /// What all sessions of a database have counted.
    pub(crate) fn usages(&self, database: DatabaseId, oid: Oid) -> Usages {
        let mut usages = self.statistics.usages.of(database);
        for session in self.sessions.list() {
            if session.database.0 == oid {
                session.tier.tally().add_to(&mut usages);
            }
        }
        usages
    }

    /// A table has been looked at: its statistics know of all changes so far.
    pub(crate) fn analyzed(&self, database: DatabaseId, oid: Oid, table: Oid) {
        self.changes.known(database, table, analyze::changes(&self.usages(database, oid), table));
    }

    /// Queries that compute and that wait.
    pub fn query_queue(&self) -> QueryQueue {
        self.executor.queue()
    }

    /// Memory of running statements.
    pub fn query_memory(&self) -> QueryMemory {
        self.executor.memory_in_use()
    }

    /// The committed catalog of now.
    pub(crate) fn catalog(&self, database: DatabaseId, branch: BranchId) -> Result<Arc<CatalogSnapshot>> {
        loop {
            let version = self.shard.catalog_ts();
            if let Some(cached) = self.cached(database, version) {
                return Ok(cached);
            }
            let snapshot = self.shard.snapshot(branch);
            let context = ReadContext {
                txn: None,
                command: CommandId(0),
                snapshot: snapshot.clone(),
                isolation: IsolationLevel::ReadCommitted,
            };
            let before = self.catalogs.lock().get(&database).cloned();
            let loaded = Arc::new(catalog::load(&*self.shard, &context, database, before.as_deref())?);
            self.catalogs.lock().insert(database, Arc::clone(&loaded));
            if version <= snapshot.ts {
                return Ok(loaded);
            }
            // The change that moved the version is not in the snapshot yet: take another.
        }
    }

    fn cached(&self, database: DatabaseId, version: CommitTs) -> Option<Arc<CatalogSnapshot>> {
        let catalogs = self.catalogs.lock();
        catalogs.get(&database).filter(|catalog| catalog.version == version).cloned()
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("sessions", &self.session_count()).finish_non_exhaustive()
    }
}

/// The service protocols talk to. Separate from [`Engine`] because sessions hold the engine.
#[derive(Clone, Debug)]
pub struct EngineService(pub Arc<Engine>);

impl SqlService for EngineService {
    fn credential<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<Credential>> {
        async move {
            let catalog = self.0.catalog(POSTGRES_DATABASE, BranchId(0))?;
            let Some(role) = catalog.role_named(user) else { return Ok(Credential::Unknown) };
            let expired = role.facts.valid_until.is_some_and(|until| until < self.0.options.clock.now_micros());
            match &role.password {
                // As a wrong password, so that nobody learns which it is.
                Some(_) if expired => Ok(Credential::Unknown),
                None => Ok(Credential::NoPassword),
                Some(text) => scram_from_text(text)
                    .map(Credential::Scram)
                    .ok_or_else(|| Error::corrupt(format!("damaged password of role \"{user}\""))),
            }
        }
        .boxed()
    }

    fn connect(&self, request: ConnectRequest) -> BoxFuture<'_, Result<Box<dyn SqlSession>>> {
        async move {
            let engine = &self.0;
            if engine.sessions.count() >= engine.options.sessions_max {
                return Err(Error::unavailable(SqlState::TOO_MANY_CONNECTIONS, "sorry, too many clients already"));
            }
            let session = Session::connect(Arc::clone(engine), request)?;
            Ok(Box::new(session) as Box<dyn SqlSession>)
        }
        .boxed()
    }
}
