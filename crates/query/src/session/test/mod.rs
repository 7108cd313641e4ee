//! Whole sessions over a shard in memory, driven as the simple protocol does.

#![allow(clippy::disallowed_methods)] // a thread of the test moves its clock

mod access;
mod aggregate_memory;
mod analyze;
mod both_paths;
mod cancel;
mod chains;
mod conflicts;
mod copy;
mod ddl;
mod deferrable;
mod definitions;
mod determined_keys;
mod extended_statistics;
mod files;
mod filters;
mod foreign_keys;
mod functions;
mod fuzz;
mod group_numbers;
mod housekeeping;
mod index_paths;
mod indexes;
mod late_rows;
mod merge_runs;
mod notify;
mod portals;
mod public_finds;
mod run_aggregate;
mod settings;
mod shared;
mod shared_rows;
mod shifted_sums;
mod short_path;
mod spill;
mod statistics;
mod transactions;
mod windows;
mod with_writes;

use std::sync::Arc;

use futures::StreamExt;
use heliosdb_contracts::{ConnectRequest, Execution, Prepared, RowsTag, SqlService, SqlSession, datum_at};
use heliosdb_runtime::{Pool, RealDisk, SeededEntropy, SimClock};
use heliosdb_types::{Datum, DatumRef, PhysicalType, Result, SqlType, text_of};

use crate::engine::{Engine, EngineOptions, EngineService};
use crate::testing::MemShard;

/// Queries that may compute at once: whoever waits for another that waits for a seat would be noticed.
const SEATS: usize = 1;

/// An engine with an empty database.
pub(super) struct Server {
    pub engine: Arc<Engine>,
    pub shard: Arc<MemShard>,
    pub clock: SimClock,
    pool: Arc<Pool>,
    spill: tempfile::TempDir,
}

/// One connection.
pub(super) struct Client {
    session: Box<dyn SqlSession>,
    pool: Arc<Pool>,
}

impl Server {
    pub fn new() -> Server {
        Server::with_threads(2)
    }

    /// So many compute.
    pub fn with_threads(threads: usize) -> Server {
        let pool = Arc::new(Pool::new("session", threads).unwrap());
        let spill = tempfile::tempdir().unwrap();
        // 2024-05-17 12:30:00 UTC.
        let clock = SimClock::new(1_715_949_000_000_000);
        let options = EngineOptions {
            analytics: pool.handle(),
            threads,
            query_memory_bytes: 64 << 20,
            queries_max: SEATS,
            spill: Arc::new(RealDisk::new(spill.path()).unwrap()),
            clock: Arc::new(clock.clone()),
            entropy: Arc::new(SeededEntropy::new(7)),
            version: "0.0.0".to_owned(),
            sessions_max: 8,
            sessions_reserved: 1,
            prepared_bytes_max: 1 << 20,
            settings: Vec::new(),
        };
        let shard = Arc::<MemShard>::default();
        let engine = pool.block_on(Engine::open(Arc::<MemShard>::clone(&shard), options)).unwrap();
        Server { engine, shard, clock, pool, spill }
    }

    /// Whether all files of what memory did not hold are gone, as soon as the tasks are that read them.
    pub fn no_file_stays(&self) -> bool {
        let files = || std::fs::read_dir(self.spill.path()).unwrap().count();
        let began = std::time::Instant::now();
        while files() > 0 && began.elapsed().as_secs() < 10 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        files() == 0
    }

    pub fn client(&self) -> Client {
        self.client_as("postgres").unwrap()
    }

    pub fn client_as(&self, user: &str) -> Result<Client> {
        self.client_of(user, "postgres")
    }

    pub fn client_of(&self, user: &str, database: &str) -> Result<Client> {
        let request = ConnectRequest {
            user: user.to_owned(),
            database: database.to_owned(),
            peer: None,
            pid: 42,
            parameters: Vec::new(),
        };
        let service = EngineService(Arc::clone(&self.engine));
        let session = self.pool.block_on(service.connect(request))?;
        Ok(Client { session, pool: Arc::clone(&self.pool) })
    }
}

impl Client {
    /// Runs a script; a line per row (`a|b`, NULL as nothing) and per tag, notice or error.
    pub fn run(&mut self, script: &str) -> String {
        self.run_with_data(script, "")
    }

    /// The same; `data` is what COPY ... FROM STDIN gets.
    pub fn run_with_data(&mut self, script: &str, data: &str) -> String {
        let pool = Arc::clone(&self.pool);
        let mut out = String::new();
        let outcome = pool.block_on(self.script(script, data, &mut out));
        for notice in self.session.take_notices() {
            out.push_str(&format!("{}: {}\n", notice.severity, notice.error.message()));
        }
        if let Err(error) = outcome {
            self.session.fail(&error);
            out.push_str(&format!("ERROR {}: {}\n", error.state(), error.message()));
            for (name, text) in [("DETAIL", error.detail()), ("CONTEXT", error.traceback())] {
                if let Some(text) = text {
                    out.push_str(&format!("{name}: {text}\n"));
                }
            }
        }
        out
    }

    /// A COPY ... FROM STDIN whose data comes in parts; `watch` is called before the first and after each.
    pub fn copy_in_parts(&mut self, sql: &str, parts: &[&str], watch: &mut dyn FnMut(usize)) -> String {
        let pool = Arc::clone(&self.pool);
        let prepared = self.prepare(sql).unwrap();
        let outcome = (|| {
            let Execution::CopyIn(mut copy) = pool.block_on(self.session.execute(&prepared, Vec::new()))? else {
                panic!("{sql} takes no data")
            };
            watch(0);
            for (at, part) in parts.iter().enumerate() {
                pool.block_on(copy.data(bytes::Bytes::copy_from_slice(part.as_bytes())))?;
                watch(at + 1);
            }
            let rows = pool.block_on(copy.done())?;
            pool.block_on(self.session.finish())?;
            Ok(format!("COPY {rows}\n"))
        })();
        outcome.unwrap_or_else(|error: heliosdb_types::Error| {
            self.session.fail(&error);
            format!("ERROR {}: {}\n", error.state(), error.message())
        })
    }

    async fn script(&mut self, script: &str, data: &str, out: &mut String) -> Result<()> {
        for statement in self.session.parse_script(script)? {
            let prepared = self.session.prepare_script(&*statement).await?;
            self.execute(&prepared, Vec::new(), data, out).await?;
        }
        self.session.finish().await
    }

    async fn execute(
        &mut self,
        prepared: &Arc<dyn Prepared>,
        parameters: Vec<Datum>,
        data: &str,
        out: &mut String,
    ) -> Result<()> {
        let context = self.session.output().text;
        match self.session.execute(prepared, parameters).await? {
            Execution::Empty => {}
            Execution::Done(tag) => out.push_str(&format!("{tag}\n")),
            Execution::Rows { columns, mut rows, tag } => {
                let mut count = 0;
                while let Some(batch) = rows.next().await {
                    let batch = batch?;
                    for row in 0..batch.num_rows() {
                        let values = batch.columns().iter().zip(columns.iter()).map(|(array, column)| {
                            // Catalog references come as name, zero byte, number.
                            let reference = matches!(column.sql_type, SqlType::Reg(_));
                            let physical = column.sql_type.physical().filter(|_| !reference);
                            let value = datum_at(array, row, physical.unwrap_or(PhysicalType::Text)).unwrap();
                            if let (true, DatumRef::Text(text)) = (reference, value) {
                                return text.split('\0').next().unwrap_or_default().to_owned();
                            }
                            if value.is_null() { String::new() } else { text_of(value, &column.sql_type, &context) }
                        });
                        out.push_str(&format!("{}\n", values.collect::<Vec<_>>().join("|")));
                        count += 1;
                    }
                }
                if let RowsTag::Counted(tag @ ("INSERT 0" | "UPDATE" | "DELETE")) = tag {
                    out.push_str(&format!("{tag} {count}\n"));
                }
            }
            Execution::CopyIn(mut copy) => {
                for chunk in data.as_bytes().chunks(3) {
                    copy.data(bytes::Bytes::copy_from_slice(chunk)).await?;
                }
                out.push_str(&format!("COPY {}\n", copy.done().await?));
            }
            Execution::CopyOut { mut chunks, .. } => {
                while let Some(chunk) = chunks.next().await {
                    out.push_str(std::str::from_utf8(&chunk?.data).unwrap());
                }
            }
        }
        Ok(())
    }

    pub fn prepare(&mut self, sql: &str) -> Result<Arc<dyn Prepared>> {
        let pool = Arc::clone(&self.pool);
        pool.block_on(self.session.prepare(sql, &[]))
    }

    /// Runs a prepared statement and ends its implicit transaction.
    pub fn run_prepared(&mut self, prepared: &Arc<dyn Prepared>, parameters: Vec<Datum>) -> Result<String> {
        let pool = Arc::clone(&self.pool);
        let mut out = String::new();
        let outcome = pool.block_on(async {
            self.execute(prepared, parameters, "", &mut out).await?;
            self.session.finish().await
        });
        if let Err(error) = &outcome {
            self.session.fail(error);
        }
        outcome.map(|()| out)
    }

    pub fn status(&self) -> heliosdb_contracts::TransactionStatus {
        self.session.status()
    }

    pub fn changed_parameters(&mut self) -> Vec<(String, String)> {
        self.session.changed_parameters()
    }
}
