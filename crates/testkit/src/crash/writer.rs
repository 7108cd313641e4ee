//! One writer: small transactions until the server is gone.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_postgres::{Client, Error};

use super::model::{ACCOUNTS, Change, Transfer, WriterModel};

/// Works until an error that means the server died; returns an error only if the server misbehaved.
pub async fn work(client: Client, writer: i32, mut model: WriterModel, seed: u64) -> Result<WriterModel, String> {
    let mut rng = StdRng::seed_from_u64(seed);
    loop {
        let (number, change) = choose(&mut rng, &mut model);
        match transact(&client, writer, number, &change, &mut model).await {
            Ok(()) => model.acknowledge(),
            Err(error) if error.as_db_error().is_none() || client.is_closed() => return Ok(model),
            Err(error) => {
                let db = error.as_db_error().expect("checked above");
                // Two transfers may lock the same two accounts in opposite order.
                if !matches!(db.code().code(), "40P01" | "40001" | "57P01") {
                    return Err(format!("writer {writer}: {}: {}", db.code().code(), db.message()));
                }
                if model.in_flight.is_some() && db.code().code() != "57P01" {
                    // COMMIT itself was refused: the server says it did not happen.
                    model.in_flight = None;
                }
                if client.batch_execute("ROLLBACK").await.is_err() {
                    return Ok(model);
                }
            }
        }
    }
}

fn choose(rng: &mut StdRng, model: &mut WriterModel) -> (i64, Change) {
    let old = (!model.acknowledged.is_empty()).then(|| {
        let nth = rng.random_range(0..model.acknowledged.len());
        *model.acknowledged.keys().nth(nth).expect("nth is below the length")
    });
    match (rng.random_range(0..10), old) {
        (0..2, Some(number)) => (number, Change::Renote(note(rng))),
        (2..4, Some(number)) => (number, Change::Undo),
        _ => {
            let number = model.next;
            model.next += 1;
            let from = rng.random_range(0..ACCOUNTS);
            let to = (from + rng.random_range(1..ACCOUNTS)) % ACCOUNTS;
            (number, Change::Insert(Transfer { from, to, amount: rng.random_range(1..100), note: note(rng) }))
        }
    }
}

/// Mostly short, sometimes long enough to fill log files and blocks.
fn note(rng: &mut StdRng) -> String {
    let length = if rng.random_range(0..20) == 0 { rng.random_range(1_000..20_000) } else { rng.random_range(0..60) };
    (0..length).map(|_| char::from(rng.random_range(b'a'..=b'z'))).collect()
}

async fn transact(
    client: &Client,
    writer: i32,
    number: i64,
    change: &Change,
    model: &mut WriterModel,
) -> Result<(), Error> {
    client.batch_execute("BEGIN").await?;
    let statements = match change {
        Change::Insert(t) => vec![
            format!("INSERT INTO ledger VALUES ({writer}, {number}, {}, {}, {}, '{}')", t.from, t.to, t.amount, t.note),
            format!(
                "UPDATE accounts SET balance = balance - {}, version = version + 1 WHERE id = {}",
                t.amount, t.from
            ),
            format!("UPDATE accounts SET balance = balance + {}, version = version + 1 WHERE id = {}", t.amount, t.to),
        ],
        Change::Renote(note) => {
            vec![format!("UPDATE ledger SET note = '{note}' WHERE writer = {writer} AND number = {number}")]
        }
        Change::Undo => {
            let t = &model.acknowledged[&number];
            vec![
                format!("DELETE FROM ledger WHERE writer = {writer} AND number = {number}"),
                format!(
                    "UPDATE accounts SET balance = balance + {}, version = version + 1 WHERE id = {}",
                    t.amount, t.from
                ),
                format!(
                    "UPDATE accounts SET balance = balance - {}, version = version + 1 WHERE id = {}",
                    t.amount, t.to
                ),
            ]
        }
    };
    for statement in &statements {
        client.batch_execute(statement).await?;
    }
    // From here until the answer, nobody knows.
    model.in_flight = Some((number, change.clone()));
    client.batch_execute("COMMIT").await
}
