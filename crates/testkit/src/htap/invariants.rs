//! What is equal at every commit, each asked by one statement: two figures that differ were not of one snapshot.
//!
//! The loader's first state keeps them too: every customer has paid 10.00 and owes nothing else, delivered lines cost nothing.

use tokio_postgres::Client;

use super::rows;

/// What an error says of an invariant that does not hold.
pub const BROKEN: &str = "does not hold inside one statement";

/// Name and statement; each gives two figures, or none if there is nothing to tell of.
pub const INVARIANTS: &[(&str, &str)] = &[
    (
        "sum(w_ytd) = sum(d_ytd)",
        "SELECT (SELECT sum(w_ytd) FROM warehouse), (SELECT sum(d_ytd) FROM district)",
    ),
    (
        "sum(o_ol_cnt) = count(order_line)",
        "SELECT (SELECT sum(o_ol_cnt) FROM orders), (SELECT count(*) FROM order_line)",
    ),
    (
        "sum(h_amount) = sum(w_ytd)",
        "SELECT (SELECT sum(h_amount) FROM history), (SELECT sum(w_ytd) FROM warehouse)",
    ),
    (
        "sum(c_ytd_payment) = sum(d_ytd)",
        "SELECT (SELECT sum(c_ytd_payment) FROM customer), (SELECT sum(d_ytd) FROM district)",
    ),
    (
        "sum(c_balance + c_ytd_payment) = sum(ol_amount) of what is delivered",
        "SELECT (SELECT sum(c_balance + c_ytd_payment) FROM customer),
             (SELECT sum(ol_amount) FROM order_line WHERE ol_delivery_d IS NOT NULL)",
    ),
    (
        "sum(c_payment_cnt) = count(history)",
        "SELECT (SELECT sum(c_payment_cnt) FROM customer), (SELECT count(*) FROM history)",
    ),
    (
        "max(o_id) = d_next_o_id - 1 in each district",
        "SELECT newest, d_next_o_id - 1 FROM district
         LEFT JOIN (SELECT o_w_id, o_d_id, max(o_id) AS newest FROM orders GROUP BY o_w_id, o_d_id) o
             ON o_w_id = d_w_id AND o_d_id = d_id
         WHERE newest IS NULL OR newest <> d_next_o_id - 1",
    ),
    (
        "count(new_order) = count(orders) that nobody carries",
        "SELECT (SELECT count(*) FROM new_order), (SELECT count(*) FROM orders WHERE o_carrier_id IS NULL)",
    ),
    (
        "count(orders) = sum(d_next_o_id - 1)",
        "SELECT (SELECT count(*) FROM orders), (SELECT sum(d_next_o_id - 1) FROM district)",
    ),
    (
        "undelivered lines are of undelivered orders",
        "SELECT (SELECT count(*) FROM order_line WHERE ol_delivery_d IS NULL),
             (SELECT sum(o_ol_cnt) FROM orders JOIN new_order ON no_w_id = o_w_id AND no_d_id = o_d_id AND no_o_id = o_id)",
    ),
];

/// Asks one of them, counted round and round.
pub async fn check_one(client: &Client, number: usize) -> Result<(), String> {
    let (name, sql) = INVARIANTS[number % INVARIANTS.len()];
    let found = rows(client, sql).await.map_err(|why| format!("{name}: {why}"))?;
    for row in &found {
        match &row[..] {
            [Some(one), Some(other)] if one == other => {}
            _ => return Err(format!("{name} {BROKEN}, which saw {row:?}\n{sql}")),
        }
    }
    Ok(())
}
