//! TPC-H beside PostgreSQL, set up as for analytics: memory to sort and hash in, indexes on the foreign keys, vacuumed.

use std::io;
use std::path::Path;

use tokio::runtime::Handle;
use tokio::task::block_in_place;
use tokio_postgres::Client;

use super::hot::Beside;
use super::{OlapOptions, hot, load_ours};
use crate::bench::beside::{describe, query};
use crate::bench::oltp::memory_bytes;
use crate::peer::{Peer, Postgres, PostgresVersion};
use crate::server::connect;
use crate::tpch::Answer;

/// Without these, two queries with correlated subqueries take minutes.
const INDEXES: &str = "
    CREATE INDEX ON nation (n_regionkey);
    CREATE INDEX ON supplier (s_nationkey);
    CREATE INDEX ON customer (c_nationkey);
    CREATE INDEX ON partsupp (ps_suppkey);
    CREATE INDEX ON orders (o_custkey);
    CREATE INDEX ON lineitem (l_partkey, l_suppkey);
    CREATE INDEX ON lineitem (l_suppkey)";
const WORK_MEM: &str = "256MB";

pub(super) async fn run(options: &OlapOptions, data: &Path, place: &Path) -> Result<(), String> {
    let fail = |error: io::Error| error.to_string();
    let version = PostgresVersion::find(&options.work_dir.join("postgres18")).map_err(fail)?;
    let settings = [
        format!("shared_buffers={}MB", memory_bytes() / 4 / (1 << 20)),
        format!("work_mem={WORK_MEM}"),
        // Those beside the one that leads.
        format!("max_parallel_workers_per_gather={}", options.threads.saturating_sub(1)),
    ];
    let server = Postgres::start(&version, &place.join("postgres"), &settings).await.map_err(fail)?;
    let client = connect(server.port).await.map_err(|error| error.to_string())?;
    load_ours(&client, data).await?;
    client.batch_execute(INDEXES).await.map_err(|error| describe("indexes", &error))?;
    client.batch_execute("VACUUM ANALYZE").await.map_err(|error| describe("VACUUM", &error))?;
    let version = format!("PostgreSQL {} with indexes on foreign keys, work_mem {WORK_MEM}", server.version);
    let beside = Beside { version: &version, total_max: f64::INFINITY, otherwise: &[] };
    hot::run(options, data, place, &mut Connected(client), beside).await
}

/// PostgreSQL over its wire, as a peer that is waited for.
struct Connected(Client);

impl Peer for Connected {
    fn name(&self) -> &'static str {
        "PostgreSQL"
    }

    fn query(&mut self, sql: &str) -> io::Result<(Answer, f64)> {
        block_in_place(|| Handle::current().block_on(query(&self.0, sql))).map_err(io::Error::other)
    }
}
