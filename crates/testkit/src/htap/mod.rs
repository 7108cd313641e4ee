//! Both at once, in the manner of CH-benCHmark: the TPC-C-like writers of [`crate::tpcc`] and 22 analytical queries over the
//! same tables and three more, beside statements whose answer is known at every commit.
//!
//! Invariants: queries have a total order or their answers are compared as sets; an invariant is one statement, so that it
//! sees one snapshot; the same seed gives the same rows on any server.

mod fresh;
mod invariants;
mod load;
mod stream;

use tokio_postgres::{Client, SimpleQueryMessage};

pub use fresh::freshness;
pub use invariants::{BROKEN, INVARIANTS, check_one};
pub use load::{TABLES, copy_all, load};
pub use stream::{StreamReport, run_queries, stream};

use crate::tpcc::describe;
use crate::tpch::{Answer, differences};

macro_rules! queries {
    ($($number:literal),*) => { [$((concat!("Q", $number), include_str!(concat!("../../htap/q", $number, ".sql")))),*] };
}

/// The 22 queries: (name, SQL text).
pub const QUERIES: [(&str, &str); 22] = queries!(
    "01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "13", "14", "15", "16", "17", "18", "19",
    "20", "21", "22"
);

/// Rows of a statement as text.
async fn rows(client: &Client, sql: &str) -> Result<Answer, String> {
    let messages = client.simple_query(sql).await.map_err(|error| describe(&error))?;
    let row = |message: SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect()),
        _ => None,
    };
    Ok(messages.into_iter().filter_map(row).collect())
}

/// Asks both the 22 queries while nobody writes. Gives the queries that had no rows; the error tells every difference.
pub async fn compare(ours: &Client, peer: &Client) -> Result<Vec<&'static str>, String> {
    let (mut wrong, mut empty) = (Vec::new(), Vec::new());
    for (name, sql) in QUERIES {
        let theirs = rows(peer, sql).await.map_err(|why| format!("{name} on the peer: {why}"))?;
        match rows(ours, sql).await {
            Ok(answer) => wrong.extend(differences(&answer, &theirs).into_iter().map(|what| format!("{name}: {what}"))),
            Err(why) => wrong.push(format!("{name}: {why}")),
        }
        if theirs.is_empty() {
            empty.push(name);
        }
    }
    if wrong.is_empty() { Ok(empty) } else { Err(format!("answers differ:\n{}", wrong.join("\n"))) }
}
