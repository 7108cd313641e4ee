//! A worker of large transactions: batches of rows loaded, rewritten, deleted and truncated whole. With small limits each
//! of them spills to private segments, so a crash meets loads half installed. A batch is wholly there or not at all.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::SinkExt;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_postgres::{Client, Error};

use super::check::{describe, number, rows};

/// What a batch looks like: how many rows, rewritten how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    rows: i64,
    generation: i64,
}

#[derive(Clone, Debug)]
enum Work {
    Load { batch: i64, rows: i64, copy: bool },
    Rewrite(i64),
    Delete(i64),
    Truncate,
}

/// What the worker knows.
#[derive(Clone, Debug, Default)]
pub struct BulkModel {
    acknowledged: BTreeMap<i64, Batch>,
    in_flight: Option<Work>,
    next: i64,
    pub commits: u64,
}

impl BulkModel {
    fn after(&self, work: &Work) -> BTreeMap<i64, Batch> {
        let mut batches = self.acknowledged.clone();
        match *work {
            Work::Load { batch, rows, .. } => _ = batches.insert(batch, Batch { rows, generation: 0 }),
            Work::Rewrite(batch) => {
                if let Some(batch) = batches.get_mut(&batch) {
                    batch.generation += 1;
                }
            }
            Work::Delete(batch) => _ = batches.remove(&batch),
            Work::Truncate => batches.clear(),
        }
        batches
    }

    fn choose(&mut self, rng: &mut StdRng) -> Work {
        let known: Vec<i64> = self.acknowledged.keys().copied().collect();
        let pick = |rng: &mut StdRng| known[rng.random_range(0..known.len())];
        match rng.random_range(0..20) {
            0..5 if !known.is_empty() => Work::Rewrite(pick(rng)),
            5..9 if !known.is_empty() => Work::Delete(pick(rng)),
            9 => Work::Truncate,
            _ => {
                self.next += 1;
                Work::Load { batch: self.next, rows: rng.random_range(1..3000), copy: rng.random_bool(0.5) }
            }
        }
    }
}

/// Works until the server is gone; an error means that it misbehaved.
pub async fn work(client: Client, mut model: BulkModel, seed: u64) -> Result<BulkModel, String> {
    let mut rng = StdRng::seed_from_u64(seed);
    loop {
        let work = model.choose(&mut rng);
        model.in_flight = Some(work.clone());
        match perform(&client, &work).await {
            Ok(()) => {
                model.acknowledged = model.after(&work);
                model.in_flight = None;
                model.commits += 1;
            }
            Err(error) => match error.as_db_error() {
                // It lost to another transaction: nothing of it happened.
                Some(db) if matches!(db.code().code(), "40001" | "40P01") => model.in_flight = None,
                Some(db) if db.code().code() != "57P01" && !client.is_closed() => {
                    return Err(format!("bulk worker, {work:?}: {}", describe(&error)));
                }
                _ => return Ok(model),
            },
        }
    }
}

async fn perform(client: &Client, work: &Work) -> Result<(), Error> {
    let sql = match work {
        Work::Load { batch, rows, copy: true } => {
            let sink = client.copy_in("COPY bulk FROM STDIN").await?;
            futures::pin_mut!(sink);
            let text: String = (1..=*rows).map(|row| format!("{batch}\t{row}\t0\tcopied {row}\n")).collect();
            for part in text.as_bytes().chunks(20_000) {
                sink.send(Bytes::copy_from_slice(part)).await?;
            }
            return sink.finish().await.map(|_| ());
        }
        Work::Load { batch, rows, .. } => {
            format!(
                "INSERT INTO bulk SELECT {batch}, g, 0, 'inserted as one of many' FROM generate_series(1, {rows}) g"
            )
        }
        Work::Rewrite(batch) => format!("UPDATE bulk SET generation = generation + 1 WHERE batch = {batch}"),
        Work::Delete(batch) => format!("DELETE FROM bulk WHERE batch = {batch}"),
        Work::Truncate => "TRUNCATE bulk".to_owned(),
    };
    client.batch_execute(&sql).await
}

/// Compares the server's batches with the model and settles what was in flight.
pub async fn check(client: &Client, model: &mut BulkModel) -> Result<(), String> {
    let mut actual = BTreeMap::new();
    let sql = "SELECT batch, count(*), min(generation), max(generation), sum(item), count(DISTINCT item)
               FROM bulk GROUP BY batch";
    for row in rows(client, sql).await? {
        let numbers: Vec<i64> = row.iter().map(|text| number(text)).collect::<Result<_, _>>()?;
        let [batch, rows, oldest, newest, sum, distinct] = numbers[..] else { return Err(format!("odd row {row:?}")) };
        if oldest != newest || sum != rows * (rows + 1) / 2 || distinct != rows {
            return Err(format!(
                "batch {batch} is there by half: {rows} rows ({distinct} distinct) of generations {oldest} to {newest}, sum {sum}"
            ));
        }
        actual.insert(batch, Batch { rows, generation: newest });
    }
    let in_flight = model.in_flight.take();
    let happened = in_flight.as_ref().map(|work| model.after(work));
    if actual != model.acknowledged && Some(&actual) != happened.as_ref() {
        return Err(format!(
            "batches: acknowledged {:?}, in flight {in_flight:?}, but found {actual:?}",
            model.acknowledged
        ));
    }
    model.acknowledged = actual;
    Ok(())
}
