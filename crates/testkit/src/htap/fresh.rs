//! Freshness: what one connection was told is committed, the next statement of another one sees.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::rows;
use crate::tpcc::describe;

/// Adds a row, waits for the acknowledgement, and at once has another connection count and sum them all; for so long, and at
/// least so often. Gives the number of tries.
pub async fn freshness(writer: &Client, reader: &Client, time: Duration, least: u32) -> Result<u32, String> {
    let make = "DROP TABLE IF EXISTS freshness; CREATE TABLE freshness (n bigint PRIMARY KEY, filler text)";
    writer.batch_execute(make).await.map_err(|error| describe(&error))?;
    let began = Instant::now();
    let mut last = 0u32;
    while began.elapsed() < time || last < least {
        last += 1;
        let add = format!("INSERT INTO freshness VALUES ({last}, repeat('x', {}))", last % 100);
        writer.batch_execute(&add).await.map_err(|error| describe(&error))?;
        let sql = "SELECT count(*), max(n), sum(n), sum(length(filler)) IS NOT NULL FROM freshness";
        let seen = rows(reader, sql).await?;
        let last = u64::from(last);
        let right = [last.to_string(), last.to_string(), (last * (last + 1) / 2).to_string(), "t".to_owned()];
        let same =
            seen.len() == 1 && seen[0].iter().map(Option::as_deref).eq(right.iter().map(|text| Some(text.as_str())));
        if !same {
            return Err(format!("row {last} was acknowledged, the next statement of another connection saw {seen:?}"));
        }
    }
    Ok(last)
}
