//! A running server, put together: disk, shard, participant, engine, protocols.
//!
//! Start: 1. see whose the data directory is, and lock it; 2. take the ports, so that a taken one is known before the work; 3. answer health
//! checks; 4. recover; 5. open the engine; 6. refuse a public address without a password; 7. serve. Stop: in reverse, each
//! step waiting for what stands on it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use heliosdb_contracts::{Credential, ShardClient, SqlService};
use heliosdb_gateway::postgres::{Counters, Environment, Options, Server, TlsSlot, serve};
use heliosdb_query::{Engine, EngineOptions, EngineService};
use heliosdb_runtime::{
    Clock, Disk, DiskLock, Entropy, Pool, RealClock, RealDisk, RealEntropy, Task, announce_program, listen,
    raise_descriptor_limit,
};
use heliosdb_storage::{RecoveryReport, Shard, ShardOptions, ShardParts};
use heliosdb_txn::{Participant, TxnOptions};
use heliosdb_types::{Error, Result, SqlState};
use tokio::sync::watch;

use crate::config::Config;
use crate::data_dir;
use crate::exit::{ExitCode, Failure};
use crate::http::{self, Health, Probe, Stage};
use crate::http_limits::LimitedListener;
use crate::memory::{Budget, MEMTABLES, stay_within};
use crate::metrics::Encoder;

/// The one shard of a single node.
pub(crate) const SHARD_DIR: &str = "shard-0";
/// Where queries that outgrow memory put what does not fit; emptied at start.
const SPILL_DIR: &str = "tmp";
const SUPERUSER: &str = "postgres";

/// A database that is being served. Dropping it without [`Node::stop`] is a crash that loses nothing acknowledged.
pub struct Node {
    postgres: Server,
    config: Config,
    tls: TlsSlot,
    pg_address: SocketAddr,
    http_address: SocketAddr,
    health: Arc<Health>,
    http_stop: watch::Sender<bool>,
    http: Task<()>,
    database: Database,
    connections: Pool,
    _analytics: Pool,
    _memory: Task<()>,
    _lock: Box<dyn DiskLock>,
}

struct Database {
    engine: Arc<Engine>,
    participant: Arc<Participant>,
    shard: Arc<Shard>,
    recovery: RecoveryReport,
}

impl Node {
    /// Starts everything and returns once queries are served. Blocks; not to be called on a thread of an async runtime.
    pub fn start(config: Config) -> Result<Node, Failure> {
        announce_program();
        let tls = TlsSlot::default();
        if let Some(files) = &config.tls {
            tls.install(files.load().map_err(Failure::usage)?);
        }
        let (disk, lock) = data_dir::open(&config)?;
        disk.create_dir(SPILL_DIR).and_then(|()| empty(&disk, SPILL_DIR)).map_err(Failure::data)?;
        enough_descriptors(config.connections_max);
        let connections = Pool::new("connections", config.worker_threads)?;
        let analytics = Pool::giving_way("queries", config.worker_threads, config.query_niceness)?;
        let postgres_at = SocketAddr::new(config.listen, config.pg_port);
        let http_at = SocketAddr::new(config.listen, config.http_port);
        let take = |at, flag| connections.block_on(listen(at)).map_err(|error| taken(error, flag));
        let (postgres, http) = (take(postgres_at, "--pg-port")?, take(http_at, "--http-port")?);
        let address = |listener: &tokio::net::TcpListener| {
            listener.local_addr().map_err(|e| Failure::port(Error::io("learn the port taken", e)))
        };
        let (pg_address, http_address) = (address(&postgres)?, address(&http)?);

        let health = Arc::new(Health::default());
        let (http_stop, stopped) = watch::channel(false);
        let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
        let http = LimitedListener::new(http, clock.clone());
        let http = connections.spawner().task(http::serve(http, health.clone(), stopped));

        let entropy: Arc<dyn Entropy> = Arc::new(RealEntropy);
        let database = open(&config, &connections, &analytics, clock.clone(), entropy.clone())?;
        let service = EngineService(database.engine.clone());
        if !config.listen.is_loopback() {
            protected(&connections, &service)?;
            if config.tls.is_none() {
                tracing::warn!(
                    "listening on a public address without encryption: set tls.cert and tls.key, and tls.mode = require"
                );
            }
        }
        let options = Options {
            connections_max: config.connections_max,
            authentication_timeout: config.authentication_timeout,
            message_bytes_max: config.message_bytes_max,
            inbox_bytes_max: config.inbox_bytes_max,
            failure_delay: config.authentication_delay,
            ..Options::default()
        };
        let environment = Environment { spawner: connections.spawner(), clock, entropy, tls: tls.clone() };
        let postgres = serve(postgres, Arc::new(service), options, environment);
        health.watch(Arc::new(Monitor {
            engine: database.engine.clone(),
            participant: database.participant.clone(),
            shard: database.shard.clone(),
            counters: postgres.counters(),
            memory_bytes: config.memory_bytes,
        }));
        let (clock, spawner) = (RealClock::new(), connections.spawner());
        let memory = connections.spawner().task(stay_within(config.memory_bytes, Arc::new(clock), spawner));
        health.set(Stage::Serving);
        Ok(Node {
            postgres,
            config,
            tls,
            pg_address,
            http_address,
            health,
            http_stop,
            http,
            database,
            connections,
            _analytics: analytics,
            _memory: memory,
            _lock: lock,
        })
    }

    /// Reads certificate, key and client authorities again; new connections use them.
    pub fn reload(&self) -> Result<()> {
        if let Some(files) = &self.config.tls {
            self.tls.install(files.load()?);
        }
        Ok(())
    }

    /// Where PostgreSQL clients connect.
    pub fn pg_address(&self) -> SocketAddr {
        self.pg_address
    }

    /// Where health checks and metrics are.
    pub fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// What the start found.
    pub fn recovery(&self) -> &RecoveryReport {
        &self.database.recovery
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.connections
    }

    /// A clean end: running statements have `grace`, then everything is put into segments and the log is closed.
    /// Blocks, as `start` does.
    pub fn stop(self, grace: Duration) -> Result<()> {
        self.health.set(Stage::Stopping);
        let left = self.connections.block_on(self.postgres.shutdown(grace));
        if left > 0 {
            tracing::warn!(connections = left, "some connections did not end and are cut off");
        }
        self.health.forget();
        let closed = self.database.shard.close();
        self.http_stop.send_replace(true);
        // Health checks that still hang are cut off with the process.
        self.connections.block_on(async {
            let clock = RealClock::new();
            tokio::select! {
                _ = self.http => {}
                () = clock.sleep(Duration::from_secs(1)) => {}
            }
        });
        closed
    }
}

/// A connection takes a descriptor, and so does a segment; few systems give enough unasked.
fn enough_descriptors(connections: usize) {
    let wanted = connections as u64 + 1024;
    match raise_descriptor_limit(wanted) {
        Some(limit) if limit < wanted => {
            tracing::warn!(
                limit,
                wanted,
                "this process may open few files; connections may be refused: raise ulimit -n"
            );
        }
        _ => {}
    }
}

/// Removes everything below a directory.
pub(crate) fn empty(disk: &dyn Disk, dir: &str) -> Result<()> {
    for name in disk.list(dir)? {
        let path = if dir.is_empty() { name } else { format!("{dir}/{name}") };
        if disk.list(&path).is_ok() {
            empty(disk, &path)?;
            disk.remove_dir(&path)?;
        } else {
            disk.remove(&path)?;
        }
    }
    Ok(())
}

fn taken(error: Error, flag: &str) -> Failure {
    let hint = error.hint().map(str::to_owned).unwrap_or_default();
    Failure::port(error.with_hint(format!("{hint} The flag is {flag}.")))
}

fn open(
    config: &Config,
    connections: &Pool,
    analytics: &Pool,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
) -> Result<Database, Failure> {
    let budget = Budget::of(config.memory_bytes);
    let disk = Arc::new(RealDisk::new(config.data_dir.join(SHARD_DIR)).map_err(Failure::data)?);
    let parts = ShardParts { disk, clock: clock.clone(), entropy: entropy.clone(), spawner: connections.spawner() };
    let options = ShardOptions {
        memtable_bytes: config.storage_memtable_bytes.unwrap_or(budget.memtable_bytes),
        frozen_max: MEMTABLES as usize - 1,
        cache_bytes: budget.cache_bytes,
        txn_spill_bytes: config.storage_txn_spill_bytes.unwrap_or(budget.txn_spill_bytes),
        background_io_rate: config.background_io_rate,
        // Between transactions and queries: what they write has to be frozen and merged at last.
        background_niceness: config.query_niceness.div_ceil(2),
        commit_delay: config.commit_delay,
        log_file_bytes: config.storage_wal_file_bytes.unwrap_or(ShardOptions::default().log_file_bytes),
        ..ShardOptions::default()
    };
    let (shard, recovery) = Shard::open(parts, options).map_err(Failure::data)?;
    if let Some(torn) = &recovery.torn_tail {
        tracing::warn!(?torn, "the log's unfinished end was cut off; nothing acknowledged was in it");
    }
    let participant = Arc::new(Participant::new(shard.clone(), clock.clone(), TxnOptions::default()));
    let client: Arc<dyn ShardClient> = participant.clone();
    let options = EngineOptions {
        analytics: analytics.handle(),
        threads: config.worker_threads,
        query_memory_bytes: budget.query_bytes,
        queries_max: config.queries_max,
        spill: Arc::new(RealDisk::new(config.data_dir.join(SPILL_DIR)).map_err(Failure::data)?),
        clock,
        entropy,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        sessions_max: config.connections_max,
        sessions_reserved: config.connections_reserved,
        prepared_bytes_max: config.held_bytes_max,
        settings: config.session_settings.clone(),
    };
    let engine = connections.block_on(Engine::open(client, options)).map_err(Failure::data)?;
    if config.autoanalyze {
        engine.analyze_automatically();
    }
    Ok(Database { engine, participant, shard, recovery })
}

/// Anybody can reach a public address; then there must be a password.
fn protected(pool: &Pool, service: &EngineService) -> Result<(), Failure> {
    match pool.block_on(service.credential(SUPERUSER)).map_err(Failure::data)? {
        Credential::Scram(_) => Ok(()),
        Credential::NoPassword | Credential::Unknown => {
            let wrong = format!("refusing to listen on a public address while user \"{SUPERUSER}\" has no password");
            let hint = format!(
                "Start without --listen, run ALTER ROLE {SUPERUSER} PASSWORD '...' with psql on this machine, then start again."
            );
            let error = Error::invalid(SqlState::INVALID_AUTHORIZATION_SPECIFICATION, wrong).with_hint(hint);
            Err(Failure { code: ExitCode::Unprotected, error })
        }
    }
}

/// The running database, as monitoring sees it.
struct Monitor {
    engine: Arc<Engine>,
    participant: Arc<Participant>,
    shard: Arc<Shard>,
    counters: Arc<Counters>,
    memory_bytes: u64,
}

impl Probe for Monitor {
    fn fenced(&self) -> bool {
        self.shard.metrics().fenced
    }

    fn collect(&self, out: &mut Encoder) {
        for (name, help, value) in self.counters.all() {
            match name {
                "connections_active" => out.gauge(name, help, value),
                _ => out.counter(name, help, value),
            }
        }
        out.gauge("sessions", "Sessions open in the engine", self.engine.session_count() as u64);
        let locks = self.participant.lock_stats();
        out.counter("lock_waits", "Lock requests that had to wait", locks.waits);
        out.gauge("lock_waiting", "Transactions waiting for a lock", locks.waiting);
        out.counter("lock_timeouts", "Lock waits that timed out", locks.timeouts);
        out.counter("deadlocks", "Deadlocks broken", locks.deadlocks);
        out.counter("lock_escalations", "Row locks replaced by a table lock", locks.escalations);
        out.gauge("row_locks", "Row locks held", locks.row_locks);
        out.gauge("memory_budget_bytes", "The memory budget", self.memory_bytes);
        let queue = self.engine.query_queue();
        out.gauge("queries_running", "Queries that compute", queue.running as u64);
        out.gauge("queries_waiting", "Queries that wait for others to end", queue.waiting as u64);
        let queries = self.engine.query_memory();
        out.gauge("query_memory_bytes", "Memory that operators of statements hold", queries.held as u64);
        out.gauge(
            "query_memory_limit_bytes",
            "What they may hold together before they write to disk",
            queries.limit as u64,
        );
        collect_shard(&self.shard.metrics(), out);
    }
}

fn collect_shard(shard: &heliosdb_storage::ShardMetrics, out: &mut Encoder) {
    out.counter("commits", "Transactions committed with changes", shard.commits);
    out.counter("rollbacks", "Transactions rolled back", shard.rollbacks);
    out.counter("rows_written", "Rows inserted, updated or deleted", shard.rows_written);
    out.counter("freezes", "Memtables turned into segments", shard.freezes);
    out.counter("compactions", "Merges of segments", shard.compactions);
    out.counter("compacted_rows", "Rows written by merges of segments", shard.compacted_rows);
    out.counter("spills", "Transactions that outgrew memory", shard.spills);
    out.counter("backpressure_waits", "Commits that waited for memtables to become segments", shard.backpressure_waits);
    out.counter("freeze_bytes", "Bytes of segments written from memory", shard.freeze_bytes);
    out.counter("compaction_read_bytes", "Bytes of segments that merges replaced", shard.compaction_read_bytes);
    out.counter("compaction_written_bytes", "Bytes of segments that merges wrote", shard.compaction_written_bytes);
    out.counter(
        "backpressure_microseconds",
        "Time commits waited for memtables to become segments",
        shard.backpressure_micros,
    );
    out.counter("orphan_files_removed", "Files that nothing named, removed at the start", shard.orphans_removed);
    out.counter("backups_begun", "Online backups begun", shard.backups_begun);
    out.counter("backups", "Online backups read to their end", shard.backups);
    out.counter("backup_bytes", "Bytes of files copied by backups", shard.backup_bytes);
    let tier = |value: fn(&(u8, u64, u64)) -> u64| -> Vec<_> {
        shard.tiers.iter().map(|tier| (tier.0.to_string(), value(tier))).collect()
    };
    out.gauges(
        "tier_segments",
        "Segment files by tier: 0 as frozen or loaded, later ones merged",
        "tier",
        &tier(|t| t.1),
    );
    out.gauges("tier_bytes", "Bytes of segment files by tier", "tier", &tier(|t| t.2));
    out.gauge("tree_segments_max", "Segments of the tree that has most", shard.tree_segments_max);
    out.counter("log_appended_bytes", "Bytes of log records", shard.log_appended_bytes);
    out.gauge("log_files", "Files of the log", shard.log_files);
    out.gauge("log_spare_files", "Log files that wait to be reused", shard.log_spare_files);
    let syncs = &shard.log_syncs;
    out.histogram(
        "log_sync_seconds",
        "Time to write and sync a group of log records",
        &heliosdb_storage::SYNC_BOUNDS_MICROS,
        &syncs.buckets,
        syncs.micros,
    );
    out.gauge("cache_capacity_bytes", "What the block cache may hold", shard.cache_capacity_bytes);
    out.counter(
        "delayed_commits",
        "Commits slowed down because memory for new rows was filling",
        shard.delayed_commits,
    );
    out.counter("delay_micros", "Microseconds commits were slowed down in all", shard.delay_micros);
    out.gauge("memtable_bytes", "Rows in the active memtable", shard.memtable_bytes);
    out.gauge("frozen_memtables", "Frozen memtables not yet in segments", shard.frozen_memtables);
    out.gauge("frozen_bytes", "Rows in frozen memtables", shard.frozen_bytes);
    out.gauge("transaction_bytes", "Rows written by open transactions, in memory", shard.transaction_bytes);
    out.gauge("segments", "Segment files", shard.segments);
    out.gauge("segment_bytes", "Bytes of segment files", shard.segment_bytes);
    out.gauge("log_bytes", "Log a restart would replay", shard.log_bytes);
    out.counter("cache_hits", "Blocks found in the block cache", shard.cache_hits);
    out.counter("cache_misses", "Blocks read from disk", shard.cache_misses);
    out.gauge("cache_bytes", "Bytes of the block cache", shard.cache_bytes);
    out.counter("row_cache_hits", "Rows found in the row cache", shard.row_cache_hits);
    out.counter("row_cache_misses", "Rows not found in the row cache", shard.row_cache_misses);
    out.gauge("row_cache_bytes", "Bytes of the row cache", shard.row_cache_bytes);
    out.gauge(
        "segment_memory_bytes",
        "Memory of open segments: filters, fences, zone maps",
        shard.segment_memory_bytes,
    );
    out.gauge("delete_vector_bytes", "Memory of the rows of segments known to be deleted", shard.delete_vector_bytes);
    out.counter("key_probes", "Keys looked for in segments by uniqueness checks and row locks", shard.key_probes);
    out.counter("key_blooms", "Bloom filters asked for them", shard.key_blooms);
    out.gauge("open_snapshots", "Snapshots that hold old row versions", shard.open_snapshots);
    out.gauge("open_transactions", "Transactions open at the shard", shard.open_transactions);
    out.gauge("fenced", "1 once the shard refuses writes after a failed sync", u64::from(shard.fenced));
}
