//! The consistency conditions (clause 3.3.2): 1 to 4 of the specification, those between payments and history, and that
//! nothing acknowledged is missing.

use tokio_postgres::{Client, SimpleQueryMessage};

use super::terminal::Acknowledged;
use super::{Scale, describe};

/// Each gives a row for every district, or warehouse, that breaks it.
const CONDITIONS: &[(&str, &str)] = &[
    (
        "1: w_ytd = sum(d_ytd)",
        "SELECT w_id, w_ytd, (SELECT sum(d_ytd) FROM district WHERE d_w_id = w_id) FROM warehouse
         WHERE w_ytd <> (SELECT sum(d_ytd) FROM district WHERE d_w_id = w_id)",
    ),
    (
        "2: d_next_o_id - 1 = max(o_id)",
        "SELECT d_w_id, d_id, d_next_o_id, newest FROM district
         LEFT JOIN (SELECT o_w_id, o_d_id, max(o_id) AS newest FROM orders GROUP BY o_w_id, o_d_id) o
             ON o_w_id = d_w_id AND o_d_id = d_id
         WHERE newest IS NULL OR d_next_o_id - 1 <> newest",
    ),
    (
        "2: d_next_o_id - 1 = max(no_o_id), where there is any",
        "SELECT d_w_id, d_id, d_next_o_id, newest FROM district
         JOIN (SELECT no_w_id, no_d_id, max(no_o_id) AS newest FROM new_order GROUP BY no_w_id, no_d_id) n
             ON no_w_id = d_w_id AND no_d_id = d_id
         WHERE d_next_o_id - 1 <> newest",
    ),
    (
        "3: max(no_o_id) - min(no_o_id) + 1 = rows",
        "SELECT no_w_id, no_d_id, min(no_o_id), max(no_o_id), count(*) FROM new_order GROUP BY no_w_id, no_d_id
         HAVING max(no_o_id) - min(no_o_id) + 1 <> count(*)",
    ),
    (
        "4: sum(o_ol_cnt) = order lines",
        "SELECT o_w_id, o_d_id, lines, found FROM
             (SELECT o_w_id, o_d_id, sum(o_ol_cnt) AS lines FROM orders GROUP BY o_w_id, o_d_id) o
         LEFT JOIN (SELECT ol_w_id, ol_d_id, count(*) AS found FROM order_line GROUP BY ol_w_id, ol_d_id) l
             ON ol_w_id = o_w_id AND ol_d_id = o_d_id
         WHERE found IS NULL OR lines <> found",
    ),
    (
        "no order is missing",
        "SELECT o_w_id, o_d_id, min(o_id), max(o_id), count(*) FROM orders GROUP BY o_w_id, o_d_id
         HAVING min(o_id) <> 1 OR max(o_id) <> count(*)",
    ),
    (
        "9: d_ytd = sum(h_amount)",
        "SELECT d_w_id, d_id, d_ytd, paid FROM district
         LEFT JOIN (SELECT h_w_id, h_d_id, sum(h_amount) AS paid FROM history GROUP BY h_w_id, h_d_id) h
             ON h_w_id = d_w_id AND h_d_id = d_id
         WHERE paid IS NULL OR d_ytd <> paid",
    ),
];

/// The first condition that does not hold, and where, is the error.
pub async fn check(client: &Client, scale: Scale, acknowledged: &Acknowledged) -> Result<(), String> {
    for (name, sql) in CONDITIONS {
        let broken = rows(client, sql).await?;
        if let Some(first) = broken.first() {
            return Err(format!("condition {name} broken at {} places, first {first:?}", broken.len()));
        }
    }
    let districts = rows(client, "SELECT d_w_id, d_id, d_next_o_id FROM district").await?;
    if districts.len() != (scale.warehouses * scale.districts) as usize {
        return Err(format!("{} districts", districts.len()));
    }
    for row in &districts {
        let [w, d, next] = numbers(row)?;
        let key = (w as i32, d as i32);
        if let Some(order) = acknowledged.orders.get(&key)
            && next <= i64::from(*order)
        {
            return Err(format!("order {order} of district {key:?} was acknowledged, the next is {next}"));
        }
    }
    let paid = "SELECT h_w_id, h_d_id, count(*) FROM history GROUP BY h_w_id, h_d_id";
    for row in &rows(client, paid).await? {
        let [w, d, found] = numbers(row)?;
        let key = (w as i32, d as i32);
        let since = found - i64::from(scale.customers);
        let known = acknowledged.payments.get(&key).copied().unwrap_or_default();
        if since < known {
            return Err(format!("{known} payments to district {key:?} were acknowledged, {since} are there"));
        }
    }
    Ok(())
}

fn numbers(row: &[String]) -> Result<[i64; 3], String> {
    let numbers: Option<Vec<i64>> = row.iter().map(|text| text.parse().ok()).collect();
    numbers.and_then(|numbers| <[i64; 3]>::try_from(numbers).ok()).ok_or_else(|| format!("odd row {row:?}"))
}

async fn rows(client: &Client, sql: &str) -> Result<Vec<Vec<String>>, String> {
    let messages = client.simple_query(sql).await.map_err(|error| format!("{sql}: {}", describe(&error)))?;
    let row = |message: SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|column| row.get(column).unwrap_or("NULL").to_owned()).collect())
        }
        _ => None,
    };
    Ok(messages.into_iter().filter_map(row).collect())
}
