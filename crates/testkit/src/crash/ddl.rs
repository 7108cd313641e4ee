//! A worker of definitions: tables made, widened and dropped, each in one transaction with rows of theirs. After a crash
//! catalog, shapes and rows must tell the same story.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_postgres::Client;

use super::check::{describe, rows};

/// A table `wide<n>`: `k` counts its rows, column `c<m>` holds `m` in each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Table {
    columns: i64,
    rows: i64,
}

#[derive(Clone, Debug, Default)]
pub struct DdlModel {
    acknowledged: BTreeMap<i64, Table>,
    /// A table and what the transaction in flight makes of it.
    in_flight: Option<(i64, Option<Table>)>,
    next: i64,
    pub commits: u64,
}

impl DdlModel {
    /// The next transaction: its script, the table it changes and what that becomes.
    fn choose(&mut self, rng: &mut StdRng) -> (String, i64, Option<Table>) {
        let known: Vec<(i64, Table)> = self.acknowledged.iter().map(|(id, table)| (*id, *table)).collect();
        if known.len() < 2 || (known.len() < 6 && rng.random_range(0..3) == 0) {
            self.next += 1;
            let id = self.next;
            let script = format!(
                "BEGIN; CREATE TABLE wide{id} (k int PRIMARY KEY, c0 int NOT NULL DEFAULT 0);
                 INSERT INTO wide{id} (k) VALUES (0), (1), (2); COMMIT"
            );
            return (script, id, Some(Table { columns: 1, rows: 3 }));
        }
        let (id, table) = known[rng.random_range(0..known.len())];
        if rng.random_range(0..4) == 0 {
            return (format!("DROP TABLE wide{id}"), id, None);
        }
        let Table { columns, rows } = table;
        let script = format!(
            "BEGIN; ALTER TABLE wide{id} ADD COLUMN c{columns} int DEFAULT {columns};
             INSERT INTO wide{id} (k) VALUES ({rows}); COMMIT"
        );
        (script, id, Some(Table { columns: columns + 1, rows: rows + 1 }))
    }

    fn settle(&mut self, id: i64, table: Option<Table>) {
        match table {
            Some(table) => self.acknowledged.insert(id, table),
            None => self.acknowledged.remove(&id),
        };
    }
}

/// Works until the server is gone; an error means that it misbehaved.
pub async fn work(client: Client, mut model: DdlModel, seed: u64) -> Result<DdlModel, String> {
    let mut rng = StdRng::seed_from_u64(seed);
    loop {
        let (script, id, after) = model.choose(&mut rng);
        model.in_flight = Some((id, after));
        match client.batch_execute(&script).await {
            Ok(()) => {
                model.settle(id, after);
                model.in_flight = None;
                model.commits += 1;
            }
            Err(error) => match error.as_db_error() {
                // It lost to another transaction: nothing of it happened.
                Some(db) if matches!(db.code().code(), "40001" | "40P01") => model.in_flight = None,
                Some(db) if db.code().code() != "57P01" && !client.is_closed() => {
                    return Err(format!("definitions, {script}: {}", describe(&error)));
                }
                _ => return Ok(model),
            },
        }
    }
}

/// Compares every table that may exist with the model and settles what was in flight.
pub async fn check(client: &Client, model: &mut DdlModel) -> Result<(), String> {
    if let Some((id, after)) = model.in_flight.take() {
        let found = read(client, id).await?;
        if found != after && found != model.acknowledged.get(&id).copied() {
            let before = model.acknowledged.get(&id);
            return Err(format!("table wide{id} was {before:?}, would have become {after:?}, but is {found:?}"));
        }
        model.settle(id, found);
    }
    for (id, table) in &model.acknowledged {
        let found = read(client, *id).await?;
        if found != Some(*table) {
            return Err(format!("table wide{id} was acknowledged as {table:?}, but is {found:?}"));
        }
    }
    let listed = rows(client, "SELECT count(*) FROM pg_class WHERE relname LIKE 'wide%' AND relkind = 'r'").await?;
    let known = model.acknowledged.len().to_string();
    if listed != [[known.as_str()]] {
        return Err(format!("the catalog lists {listed:?} tables, {known} are known"));
    }
    Ok(())
}

/// What the table is; `None` if there is none.
async fn read(client: &Client, id: i64) -> Result<Option<Table>, String> {
    let rows = match rows(client, &format!("SELECT * FROM wide{id} ORDER BY k")).await {
        Err(why) if why.contains("42P01") => return Ok(None),
        rows => rows?,
    };
    let columns = rows.first().map_or(0, |row| row.len() as i64 - 1);
    for (number, row) in rows.iter().enumerate() {
        let expected = std::iter::once(number.to_string()).chain((0..columns).map(|column| column.to_string()));
        if !row.iter().cloned().eq(expected) {
            return Err(format!("row {number} of wide{id} is {row:?}"));
        }
    }
    Ok(Some(Table { columns, rows: rows.len() as i64 }))
}
