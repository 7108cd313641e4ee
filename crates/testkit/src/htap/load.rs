//! The TPC-C-like tables and those of suppliers, by COPY; or all of them from another server.

use std::fmt::Write;

use futures::{SinkExt, StreamExt};
use tokio_postgres::Client;

use crate::tpcc::{self, Random, Scale, copy, describe};

const SCHEMA: &str = include_str!("../../htap/schema.sql");

/// All twelve.
pub const TABLES: [&str; 12] = [
    "warehouse",
    "district",
    "customer",
    "history",
    "orders",
    "new_order",
    "order_line",
    "item",
    "stock",
    "region",
    "nation",
    "supplier",
];

/// Stock is of the supplier `mod(s_w_id * s_i_id, 10000)`.
const SUPPLIERS: i32 = 10_000;

const REGIONS: [&str; 5] = ["Africa", "America", "Asia", "Australia", "Europe"];

/// By region. A nation's key is the letter or digit that the states of its customers begin with.
const NATIONS: [(usize, &[&str]); 5] = [
    (
        4,
        &[
            "Germany",
            "France",
            "Italy",
            "Spain",
            "Poland",
            "Portugal",
            "Sweden",
            "Norway",
            "Finland",
            "Denmark",
            "Austria",
            "Greece",
            "Ireland",
            "Hungary",
            "Netherlands",
        ],
    ),
    (
        2,
        &[
            "Cambodia",
            "China",
            "Japan",
            "India",
            "Indonesia",
            "Thailand",
            "Vietnam",
            "Mongolia",
            "Nepal",
            "Korea",
            "Jordan",
            "Iran",
            "Iraq",
            "Turkey",
            "Malaysia",
        ],
    ),
    (
        0,
        &[
            "Egypt", "Kenya", "Ghana", "Morocco", "Mali", "Niger", "Nigeria", "Senegal", "Tunisia", "Uganda", "Zambia",
            "Ethiopia", "Algeria", "Angola",
        ],
    ),
    (
        1,
        &[
            "Argentina",
            "Brazil",
            "Canada",
            "Chile",
            "Cuba",
            "Mexico",
            "Peru",
            "United States",
            "Uruguay",
            "Venezuela",
            "Bolivia",
            "Ecuador",
            "Panama",
        ],
    ),
    (3, &["Australia", "New Zealand", "Fiji", "Samoa", "Tonga"]),
];

/// The first letters or digits a state may have, in the order of the nations.
const KEYS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Makes the tables and fills them; the same seed gives the same rows.
pub async fn load(client: &Client, scale: Scale, seed: u64) -> Result<(), String> {
    tpcc::load(client, scale, seed).await?;
    client.batch_execute(SCHEMA).await.map_err(|error| format!("schema: {}", describe(&error)))?;
    let mut r = Random::new(seed.wrapping_mul(31).wrapping_add(20), scale);
    copy(client, "region", (0..).zip(REGIONS), |(key, name): (i32, &str), out| {
        let _ = write!(out, "{key}\t{name}\t");
        r.text(20, 100, out);
        out.push('\n');
    })
    .await?;
    let nations = NATIONS.iter().flat_map(|(region, names)| names.iter().map(move |name| (*region, *name)));
    copy(client, "nation", KEYS.iter().zip(nations), |(key, (region, name)), out| {
        let _ = write!(out, "{key}\t{name}\t{region}\t");
        r.text(20, 100, out);
        out.push('\n');
    })
    .await?;
    copy(client, "supplier", 0..SUPPLIERS, |key, out| {
        let _ = write!(out, "{key}\tSupplier#{key:09}\t");
        r.text(10, 40, out);
        let nation = KEYS[r.between(0, KEYS.len() as i32 - 1) as usize];
        let _ = write!(out, "\t{nation}\t");
        r.digits(15, out);
        let cents = r.between(-99_999, 999_999);
        let _ = write!(out, "\t{}{}.{:02}\t", if cents < 0 { "-" } else { "" }, cents.abs() / 100, cents.abs() % 100);
        r.text(20, 80, out);
        out.push_str(if r.percent(2) { " bad\n" } else { "\n" });
    })
    .await
}

/// Makes the tables of `from` anew in `to`, as they are: the two then answer the same.
pub async fn copy_all(from: &Client, to: &Client) -> Result<(), String> {
    for table in TABLES {
        let fail = |error: tokio_postgres::Error| format!("copying {table}: {}", describe(&error));
        to.batch_execute(&format!("TRUNCATE {table}")).await.map_err(fail)?;
        let source = from.copy_out(&format!("COPY {table} TO STDOUT")).await.map_err(fail)?;
        let sink = to.copy_in(&format!("COPY {table} FROM STDIN")).await.map_err(fail)?;
        let (mut source, mut sink) = (std::pin::pin!(source), std::pin::pin!(sink));
        while let Some(chunk) = source.next().await {
            sink.send(chunk.map_err(fail)?).await.map_err(fail)?;
        }
        sink.finish().await.map_err(fail)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_nation() {
        assert_eq!(NATIONS.iter().map(|(_, names)| names.len()).sum::<usize>(), KEYS.len());
    }
}
