//! Plays a file's records on a server, each file in a schema of its own.

use std::collections::HashMap;
use std::time::Duration;

use tokio_postgres::Client;

use super::answer::{Answer, ask};
use crate::server::connect;
use crate::slt::parse::{Record, Want};

/// A statement that takes longer is cancelled.
pub const STATEMENT_SECONDS: u64 = 30;
/// One record is played after the other: a lock that another connection has is not given back while a statement waits for it.
const LOCK_SECONDS: u64 = 2;
/// A server that does not cancel it either has hung.
const PATIENCE: Duration = Duration::from_secs(2 * STATEMENT_SECONDS);

/// Records for a server of these names, up to a `halt`.
pub fn for_server<'a>(records: &'a [Record], names: &[&str]) -> Vec<&'a Record> {
    let meant = |record: &&Record| record.only.iter().all(|(must, name)| names.contains(&name.as_str()) == *must);
    records.iter().filter(meant).take_while(|record| record.want != Want::Halt).collect()
}

/// The answers to all records. Fails if the server is gone.
pub async fn play(port: u16, schema: &str, records: &[&Record]) -> Result<Vec<Answer>, String> {
    let mut connections: HashMap<&str, Client> = HashMap::new();
    let mut answers = Vec::with_capacity(records.len());
    let first = open(port, schema).await?;
    first.batch_execute(&format!("CREATE SCHEMA {schema}")).await.map_err(|error| format!("{schema}: {error}"))?;
    connections.insert("", first);
    for record in records {
        let name = record.connection.as_str();
        if !connections.contains_key(name) {
            connections.insert(name, open(port, schema).await?);
        }
        let answer = match tokio::time::timeout(PATIENCE, ask(&connections[name], &record.sql)).await {
            Ok(answer) => answer,
            Err(_) => Answer::Lost(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        if let Answer::Lost(why) = &answer {
            let at = || format!("{why} at line {}: {}", record.line, record.sql);
            connections.insert(name, open(port, schema).await.map_err(|gone| format!("{gone} after {}", at()))?);
        }
        answers.push(answer);
    }
    drop(connections);
    sweep(port, schema).await?;
    Ok(answers)
}

async fn open(port: u16, schema: &str) -> Result<Client, String> {
    let client = connect(port).await.map_err(|error| format!("no connection: {error}"))?;
    let settings = format!(
        "SET search_path = {schema}; SET statement_timeout = '{STATEMENT_SECONDS}s'; SET lock_timeout = '{LOCK_SECONDS}s'; SET TimeZone = 'UTC'"
    );
    client.batch_execute(&settings).await.map_err(|error| format!("{settings}: {error}"))?;
    Ok(client)
}

/// Drops what the file made, other schemas of its own included.
async fn sweep(port: u16, schema: &str) -> Result<(), String> {
    let client = open(port, schema).await?;
    let made = "SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname NOT IN ('public', 'information_schema') AND nspname NOT LIKE 'pg\\_%'";
    let rows = match ask(&client, made).await {
        Answer::Rows(rows) => rows,
        Answer::Refused { code, message } => return Err(format!("{made}: {code} {message}")),
        Answer::Lost(why) => return Err(format!("{made}: {why}")),
    };
    for name in rows.into_iter().flatten().flatten() {
        // What cannot be dropped stays in nobody's way: the next file has another schema.
        let _ = client.batch_execute(&format!("DROP SCHEMA \"{}\" CASCADE", name.replace('"', "\"\""))).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_played_as_far_as_it_is_meant_for_the_server() {
        let record = |line, only: &[(bool, &str)], want| Record {
            line,
            connection: String::new(),
            only: only.iter().map(|(must, name)| (*must, (*name).to_owned())).collect(),
            sql: "SELECT 1".to_owned(),
            want,
        };
        let records = [
            record(1, &[(true, "oracle")], Want::Halt),
            record(2, &[(false, "postgresql")], Want::Ok),
            record(3, &[(true, "postgresql"), (false, "mysql")], Want::Ok),
            record(4, &[], Want::Halt),
            record(5, &[], Want::Ok),
        ];
        let lines: Vec<usize> = for_server(&records, &["postgresql"]).iter().map(|record| record.line).collect();
        assert_eq!(lines, [3]);
    }
}
