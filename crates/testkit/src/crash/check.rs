//! After a restart: everything acknowledged is there, nothing is there by half, the money adds up.

use std::collections::BTreeMap;

use tokio_postgres::{Client, SimpleQueryMessage};

use super::model::{ACCOUNTS, OPENING_BALANCE, Transfer, WriterModel};

/// Makes the tables, unless they are there.
pub async fn prepare(client: &Client) -> Result<(), String> {
    match rows(client, "SELECT count(*) FROM ledger").await {
        Ok(_) => return Ok(()),
        Err(why) if why.contains("42P01") => {}
        Err(why) => return Err(why),
    }
    let values: Vec<String> = (0..ACCOUNTS).map(|id| format!("({id}, {OPENING_BALANCE}, 0)")).collect();
    // One transaction, so that a crash leaves all tables or none.
    let script = format!(
        "BEGIN;
         CREATE TABLE accounts (id integer PRIMARY KEY, balance bigint NOT NULL, version bigint NOT NULL);
         CREATE TABLE ledger (writer integer, number bigint, source integer NOT NULL, target integer NOT NULL,
             amount bigint NOT NULL, note text NOT NULL, PRIMARY KEY (writer, number), UNIQUE (number, writer));
         CREATE INDEX ledger_source ON ledger (source, amount DESC);
         CREATE TABLE bulk (batch bigint, item bigint, generation bigint NOT NULL, pad text, PRIMARY KEY (batch, item));
         INSERT INTO accounts VALUES {};
         COMMIT",
        values.join(", ")
    );
    client.batch_execute(&script).await.map_err(|error| describe(&error))
}

/// Compares the server's rows with the writers' models and settles what was in flight.
pub async fn check(client: &Client, models: &mut [WriterModel]) -> Result<(), String> {
    let ledger = read_ledger(client).await?;
    for (writer, model) in models.iter_mut().enumerate() {
        let actual = ledger.get(&(writer as i32)).cloned().unwrap_or_default();
        let outcome = match model.in_flight.take() {
            None if actual == model.acknowledged => Ok(actual),
            None => Err(difference(&model.acknowledged, &actual)),
            Some((number, change)) => {
                let happened = model.after(number, &change);
                if actual == happened || actual == model.acknowledged {
                    Ok(actual)
                } else {
                    Err(format!("{} (in flight: row {number}, {change:?})", difference(&model.acknowledged, &actual)))
                }
            }
        };
        model.acknowledged = outcome.map_err(|why| format!("writer {writer}: {why}"))?;
    }
    check_indexes(client, &ledger).await?;
    check_balances(client, &ledger).await
}

/// What the ledger's indexes find is what its rows say.
async fn check_indexes(client: &Client, ledger: &BTreeMap<i32, BTreeMap<i64, Transfer>>) -> Result<(), String> {
    let mut by_source: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    for transfer in ledger.values().flat_map(BTreeMap::values) {
        by_source.entry(transfer.from).or_default().push(transfer.amount);
    }
    for source in 0..ACCOUNTS {
        let mut expected = by_source.remove(&source).unwrap_or_default();
        expected.sort_unstable();
        let sql = format!("SELECT amount FROM ledger WHERE source = {source} ORDER BY amount");
        let actual = rows(client, &sql).await?.iter().map(|row| number(&row[0])).collect::<Result<Vec<_>, _>>()?;
        if actual != expected {
            return Err(format!("index on source {source} gives {actual:?}, the rows say {expected:?}"));
        }
    }
    let numbers: Vec<i64> = ledger.values().flat_map(BTreeMap::keys).copied().collect();
    for wanted in numbers.iter().step_by(numbers.len() / 20 + 1) {
        let of_writers =
            ledger.iter().filter(|(_, rows)| rows.contains_key(wanted)).map(|(writer, _)| i64::from(*writer));
        let sql = format!("SELECT writer FROM ledger WHERE number = {wanted} ORDER BY writer");
        let actual = rows(client, &sql).await?.iter().map(|row| number(&row[0])).collect::<Result<Vec<_>, _>>()?;
        if actual != of_writers.collect::<Vec<_>>() {
            return Err(format!("unique index gives writers {actual:?} for row {wanted}"));
        }
    }
    // Whoever has no entry of its own could come in twice.
    if let Some((writer, rows)) = ledger.iter().find(|(_, rows)| !rows.is_empty())
        && let Some(taken) = rows.keys().next()
    {
        let sql = format!(
            "INSERT INTO ledger VALUES ({writer}, {taken}, 0, 1, 1, '') ON CONFLICT (number, writer) DO NOTHING"
        );
        let inserted = client.execute(sql.as_str(), &[]).await.map_err(|error| describe(&error))?;
        if inserted != 0 {
            return Err(format!("row ({writer}, {taken}) came in twice"));
        }
    }
    Ok(())
}

async fn check_balances(client: &Client, ledger: &BTreeMap<i32, BTreeMap<i64, Transfer>>) -> Result<(), String> {
    let mut expected: BTreeMap<i32, i64> = (0..ACCOUNTS).map(|id| (id, OPENING_BALANCE)).collect();
    for transfer in ledger.values().flat_map(BTreeMap::values) {
        *expected.entry(transfer.from).or_default() -= transfer.amount;
        *expected.entry(transfer.to).or_default() += transfer.amount;
    }
    let mut actual = BTreeMap::new();
    for row in rows(client, "SELECT id, balance FROM accounts").await? {
        if actual.insert(number(&row[0])? as i32, number(&row[1])?).is_some() {
            return Err(format!("account {} is there twice", row[0]));
        }
    }
    if actual != expected {
        let wrong: Vec<String> = expected
            .iter()
            .filter(|(id, balance)| actual.get(id) != Some(balance))
            .map(|(id, balance)| format!("account {id}: {:?}, its transfers say {balance}", actual.get(id)))
            .collect();
        return Err(format!("a transaction is there by half: {}", wrong.join("; ")));
    }
    let sum = rows(client, "SELECT sum(balance), count(*) FROM accounts").await?;
    let whole = (i64::from(ACCOUNTS) * OPENING_BALANCE).to_string();
    if sum != [[whole.as_str(), ACCOUNTS.to_string().as_str()]] {
        return Err(format!("sum and count of balances are {sum:?}, not {whole} and {ACCOUNTS}"));
    }
    // A point read must agree with the scan.
    for (id, balance) in expected.iter().step_by(7) {
        let row = rows(client, &format!("SELECT balance FROM accounts WHERE id = {id}")).await?;
        if row != [[balance.to_string()]] {
            return Err(format!("point read of account {id} gives {row:?}, the scan {balance}"));
        }
    }
    Ok(())
}

async fn read_ledger(client: &Client) -> Result<BTreeMap<i32, BTreeMap<i64, Transfer>>, String> {
    let mut ledger: BTreeMap<i32, BTreeMap<i64, Transfer>> = BTreeMap::new();
    for row in rows(client, "SELECT writer, number, source, target, amount, note FROM ledger").await? {
        let transfer = Transfer {
            from: number(&row[2])? as i32,
            to: number(&row[3])? as i32,
            amount: number(&row[4])?,
            note: row[5].clone(),
        };
        let (writer, key) = (number(&row[0])? as i32, number(&row[1])?);
        if ledger.entry(writer).or_default().insert(key, transfer).is_some() {
            return Err(format!("ledger row ({writer}, {key}) is there twice"));
        }
    }
    Ok(ledger)
}

fn difference(expected: &BTreeMap<i64, Transfer>, actual: &BTreeMap<i64, Transfer>) -> String {
    let lost: Vec<i64> = expected.keys().filter(|key| !actual.contains_key(key)).copied().collect();
    let extra: Vec<i64> = actual.keys().filter(|key| !expected.contains_key(key)).copied().collect();
    let changed: Vec<i64> =
        expected.iter().filter(|(key, row)| actual.get(key).is_some_and(|a| a != *row)).map(|(key, _)| *key).collect();
    format!(
        "acknowledged rows lost: {lost:?}; rows nobody acknowledged: {extra:?}; rows with other contents: {changed:?}"
    )
}

pub(super) async fn rows(client: &Client, sql: &str) -> Result<Vec<Vec<String>>, String> {
    let messages = client.simple_query(sql).await.map_err(|error| format!("{sql}: {}", describe(&error)))?;
    let row = |message: SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|column| row.get(column).unwrap_or("NULL").to_owned()).collect())
        }
        _ => None,
    };
    Ok(messages.into_iter().filter_map(row).collect())
}

pub(super) fn number(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("not a number: {text}"))
}

pub(super) fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{}: {}", db.code().code(), db.message()),
        None => error.to_string(),
    }
}
