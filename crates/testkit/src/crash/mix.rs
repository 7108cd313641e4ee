//! The TPC-C-like mix, made small, with kill -9 in the middle: its consistency conditions must hold after every restart.

use std::time::Duration;

use tokio_postgres::Client;

use super::check::{describe, rows};
use crate::server::Server;
use crate::tpcc::{self, Acknowledged, Kind, Mistake, Scale, Terminal, TerminalReport};

/// With more orders the tables are made anew, so that checks stay quick.
const ORDERS_MAX: i64 = 3_000;

const TABLES: &str = "customer, district, history, item, new_order, order_line, orders, stock, warehouse";

/// What the terminals know.
#[derive(Clone, Debug, Default)]
pub struct MixModel {
    acknowledged: Acknowledged,
    /// The tables are there, as far as anybody was told.
    loaded: bool,
}

impl MixModel {
    /// Takes over what a terminal did; gives how many new orders and payments were acknowledged.
    pub fn merge(&mut self, report: TerminalReport) -> u64 {
        let commits = report.kind(Kind::NewOrder).committed + report.kind(Kind::Payment).committed;
        self.acknowledged.merge(report.acknowledged);
        commits
    }
}

fn scale() -> Scale {
    Scale::small(2)
}

/// Makes the tables where they are not there or have grown too large: all of them or none.
pub async fn prepare(server: &Server, model: &mut MixModel, seed: u64) -> Result<(), String> {
    let client = server.connect().await.map_err(|error| error.to_string())?;
    let there = exists(&client).await?;
    if there {
        let orders = rows(&client, "SELECT count(*) FROM orders").await?;
        if super::check::number(&orders[0][0])? < ORDERS_MAX {
            model.loaded = true;
            return Ok(());
        }
    }
    // If this dies half-way nobody knows which of the two are there: only the conditions count then.
    *model = MixModel::default();
    client.batch_execute("BEGIN").await.map_err(|error| describe(&error))?;
    if there {
        client.batch_execute(&format!("DROP TABLE {TABLES}")).await.map_err(|error| describe(&error))?;
    }
    tpcc::load(&client, scale(), seed).await?;
    client.batch_execute("COMMIT").await.map_err(|error| describe(&error))?;
    model.loaded = true;
    Ok(())
}

async fn exists(client: &Client) -> Result<bool, String> {
    let found = rows(client, "SELECT count(*) FROM pg_class WHERE relname = 'orders_customer'").await?;
    Ok(found != [["0"]])
}

/// Works until the server is gone.
pub async fn work(client: Client, seed: u64, number: i32, level: &str) -> Result<TerminalReport, String> {
    let terminal = Terminal::new(client, scale(), seed, number, level);
    match terminal.work(Duration::from_secs(3600)).await {
        Ok(report) => Ok(report),
        Err(Mistake::Gone(report)) => Ok(*report),
        Err(Mistake::Wrong(why)) => Err(format!("terminal {number} at {level}: {why}")),
    }
}

pub async fn check(client: &Client, model: &MixModel) -> Result<(), String> {
    match exists(client).await? {
        true => tpcc::check(client, scale(), &model.acknowledged).await,
        false if model.loaded => Err("the mix's tables are gone".to_owned()),
        false => Ok(()),
    }
}
