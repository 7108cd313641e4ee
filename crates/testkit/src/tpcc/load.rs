//! The first population (clause 4.3.3), by COPY.

use std::fmt::Write;

use bytes::Bytes;
use futures::SinkExt;
use rand::seq::SliceRandom;
use tokio_postgres::Client;

use super::random::{Random, last_name};
use super::{INDEXES, SCHEMA, Scale, describe};

/// What is sent at a time.
const CHUNK_BYTES: usize = 1 << 16;
/// When everything that is there at the start happened.
const THEN: &str = "2026-01-01 00:00:00";

/// Makes the tables and fills them; the same seed gives the same rows.
pub async fn load(client: &Client, scale: Scale, seed: u64) -> Result<(), String> {
    client.batch_execute(SCHEMA).await.map_err(|error| format!("schema: {}", describe(&error)))?;
    let random = |table: u64| Random::new(seed.wrapping_mul(31).wrapping_add(table), scale);
    let mut r = random(1);
    copy(client, "item", 1..=scale.items, |id, out| {
        let _ = write!(out, "{id}\t{}\t", r.between(1, 10_000));
        r.text(14, 24, out);
        let _ = write!(out, "\t{}\t", money(r.between(100, 10_000)));
        r.data(out);
        out.push('\n');
    })
    .await?;
    let mut r = random(2);
    copy(client, "warehouse", 1..=scale.warehouses, |id, out| {
        let _ = write!(out, "{id}\t");
        place(&mut r, out);
        // As much as the customers' first payments.
        let _ = writeln!(out, "{}.00", scale.districts * scale.customers * 10);
    })
    .await?;
    let mut r = random(3);
    let each = (1..=scale.warehouses).flat_map(|w| (1..=scale.items).map(move |i| (w, i)));
    copy(client, "stock", each, |(w, i), out| {
        let _ = write!(out, "{w}\t{i}\t{}\t", r.between(10, 100));
        for _ in 0..10 {
            r.text(24, 24, out);
            out.push('\t');
        }
        out.push_str("0\t0\t0\t");
        r.data(out);
        out.push('\n');
    })
    .await?;
    let mut r = random(4);
    copy(client, "district", districts(scale), |(w, d), out| {
        let _ = write!(out, "{w}\t{d}\t");
        place(&mut r, out);
        let _ = writeln!(out, "{}.00\t{}", scale.customers * 10, scale.customers + 1);
    })
    .await?;
    let mut r = random(5);
    copy(client, "customer", of_districts(scale), |key, out| customer(&mut r, key, out)).await?;
    let mut r = random(6);
    copy(client, "history", of_districts(scale), |(w, d, c), out| {
        let _ = write!(out, "{c}\t{d}\t{w}\t{d}\t{w}\t{THEN}\t10.00\t");
        r.text(12, 24, out);
        out.push('\n');
    })
    .await?;
    orders(client, scale, &random).await?;
    client.batch_execute(INDEXES).await.map_err(|error| format!("indexes: {}", describe(&error)))
}

async fn orders(client: &Client, scale: Scale, random: &impl Fn(u64) -> Random) -> Result<(), String> {
    let delivered = scale.customers - scale.undelivered();
    // Two generators of the same seed: a line count is the same for the order and for its lines.
    let mut r = random(7);
    let mut counts = random(8);
    let mut buyers: Vec<i32> = (1..=scale.customers).collect();
    copy(client, "orders", of_districts(scale), |(w, d, o), out| {
        if o == 1 {
            buyers.shuffle(&mut r.rng);
        }
        let _ = write!(out, "{w}\t{d}\t{o}\t{}\t{THEN}\t", buyers[(o - 1) as usize]);
        match o <= delivered {
            true => _ = write!(out, "{}", r.between(1, 10)),
            false => out.push_str("\\N"),
        }
        let _ = writeln!(out, "\t{}\t1", counts.between(5, 15));
    })
    .await?;
    let undelivered = districts(scale).flat_map(|(w, d)| (delivered + 1..=scale.customers).map(move |o| (w, d, o)));
    copy(client, "new_order", undelivered, |(w, d, o), out| _ = writeln!(out, "{w}\t{d}\t{o}")).await?;
    let mut r = random(9);
    let mut counts = random(8);
    copy(client, "order_line", of_districts(scale), |(w, d, o), out| {
        for number in 1..=counts.between(5, 15) {
            let item = r.between(1, scale.items);
            let _ = write!(out, "{w}\t{d}\t{o}\t{number}\t{item}\t{w}\t");
            match o <= delivered {
                true => _ = write!(out, "{THEN}\t5\t0.00\t"),
                false => _ = write!(out, "\\N\t5\t{}\t", money(r.between(1, 999_999))),
            }
            r.text(24, 24, out);
            out.push('\n');
        }
    })
    .await
}

fn districts(scale: Scale) -> impl Iterator<Item = (i32, i32)> {
    (1..=scale.warehouses).flat_map(move |w| (1..=scale.districts).map(move |d| (w, d)))
}

/// A district's customers, and its first orders.
fn of_districts(scale: Scale) -> impl Iterator<Item = (i32, i32, i32)> {
    districts(scale).flat_map(move |(w, d)| (1..=scale.customers).map(move |n| (w, d, n)))
}

/// Name, address and tax of a warehouse or district.
fn place(r: &mut Random, out: &mut String) {
    r.text(6, 10, out);
    out.push('\t');
    r.address(out);
    let _ = write!(out, "0.{:04}\t", r.between(0, 2000));
}

fn customer(r: &mut Random, (w, d, c): (i32, i32, i32), out: &mut String) {
    let _ = write!(out, "{w}\t{d}\t{c}\t");
    r.text(8, 16, out);
    // Every name is there, the later customers' at random.
    let name = if c <= 1000 { last_name(c - 1) } else { r.last_name() };
    let _ = write!(out, "\tOE\t{name}\t");
    r.address(out);
    r.digits(16, out);
    let credit = if r.percent(10) { "BC" } else { "GC" };
    let discount = r.between(0, 5000);
    let _ = write!(out, "\t{THEN}\t{credit}\t50000.00\t0.{discount:04}\t-10.00\t10.00\t1\t0\t");
    r.text(300, 500, out);
    out.push('\n');
}

fn money(cents: i32) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// Copies a table's rows in, made one at a time.
pub(crate) async fn copy<K>(
    client: &Client,
    table: &str,
    keys: impl Iterator<Item = K>,
    mut row: impl FnMut(K, &mut String),
) -> Result<(), String> {
    let fail = |error: tokio_postgres::Error| format!("loading {table}: {}", describe(&error));
    let sink = client.copy_in(&format!("COPY {table} FROM STDIN")).await.map_err(fail)?;
    let mut sink = std::pin::pin!(sink);
    let mut text = String::with_capacity(2 * CHUNK_BYTES);
    for key in keys {
        row(key, &mut text);
        if text.len() >= CHUNK_BYTES {
            sink.send(Bytes::copy_from_slice(text.as_bytes())).await.map_err(fail)?;
            text.clear();
        }
    }
    if !text.is_empty() {
        sink.send(Bytes::from(text)).await.map_err(fail)?;
    }
    sink.finish().await.map_err(fail).map(|_| ())
}
