//! TPC-H after changes: each query over the tables as loaded and over the same tables after five rows in a hundred were updated
//! and one deleted, in turns on two servers. DuckDB gets the changes too and says whether the answers are right.

use std::path::Path;

use serde_json::{Value, json};

use super::{OlapOptions, load_ours, load_peer, start};
use crate::bench::beside::{chosen, describe, query, verdict};
use crate::bench::{history, median};
use crate::peer::{DuckDb, Peer, install_duckdb};
use crate::tpch;

/// Times the total of tables as they were loaded.
const TOTAL_MAX: f64 = 1.15;

/// A table, the expression that is spread over its rows, and a column to be changed.
const TABLES: [(&str, &str, &str); 6] = [
    ("supplier", "CAST(s_suppkey AS bigint) * 2654435761", "s_acctbal = s_acctbal + 1"),
    ("part", "CAST(p_partkey AS bigint) * 2654435761", "p_retailprice = p_retailprice + 1"),
    ("partsupp", "CAST(ps_partkey AS bigint) * 2654435761 + ps_suppkey * 40503", "ps_availqty = ps_availqty + 1"),
    ("customer", "CAST(c_custkey AS bigint) * 2654435761", "c_acctbal = c_acctbal + 1"),
    ("orders", "o_orderkey * 2654435761", "o_totalprice = o_totalprice + 1"),
    ("lineitem", "l_orderkey * 2654435761 + l_linenumber * 40503", "l_extendedprice = l_extendedprice + 1"),
];
/// Statements an update of five in a hundred rows is cut into.
const PARTS: u32 = 10;

/// The statements that change the tables, the same rows wherever they run.
fn changes() -> Vec<String> {
    let mut out = Vec::new();
    for (table, spread, set) in TABLES {
        // A prime near 2^32 spreads neighbours; then thousandths of the table.
        let part = format!("({spread}) % 4294967291 % 1000");
        let step = 50 / PARTS;
        for from in (0..PARTS).map(|at| at * step) {
            out.push(format!("UPDATE {table} SET {set} WHERE {part} >= {from} AND {part} < {}", from + step));
        }
        out.push(format!("DELETE FROM {table} WHERE {part} >= 500 AND {part} < 510"));
    }
    out
}

pub(super) async fn run(options: &OlapOptions, data: &Path, place: &Path) -> Result<(), String> {
    let packages = install_duckdb(&options.work_dir).map_err(|error| error.to_string())?;
    let fresh = start(options, &place.join("fresh")).await?;
    let changed = start(options, &place.join("changed")).await?;
    let fresh = (fresh.connect().await.map_err(|error| error.to_string())?, fresh);
    let changed = (changed.connect().await.map_err(|error| error.to_string())?, changed);
    let mut duck =
        DuckDb::open(&packages, &place.join("peer.duckdb"), options.threads).map_err(|error| error.to_string())?;
    load_peer(&mut duck, data).map_err(|error| error.to_string())?;
    for (client, _) in [&fresh, &changed] {
        load_ours(client, data).await?;
        client.batch_execute("CHECKPOINT; ANALYZE").await.map_err(|error| describe("CHECKPOINT", &error))?;
    }
    let mut rows = 0;
    for sql in changes() {
        rows += changed.0.execute(&sql, &[]).await.map_err(|error| describe(&sql, &error))?;
        duck.execute(&sql).map_err(|error| error.to_string())?;
    }
    println!("TPC-H scale {}: as loaded beside {rows} rows changed since, {} threads", options.scale, options.threads);
    let (mut wrong, mut timings) = (Vec::new(), Vec::new());
    for (name, sql) in chosen(tpch::QUERIES, &options.only) {
        let (theirs, _) = duck.query(sql).map_err(|error| format!("{name}: {error}"))?;
        let (ours, _) = query(&changed.0, sql).await.map_err(|error| format!("{name}: {error}"))?;
        wrong.extend(tpch::differences(&ours, &theirs).into_iter().map(|d| format!("{name}: {d}")));
        query(&fresh.0, sql).await.map_err(|error| format!("{name}: {error}"))?;
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for _ in 0..if options.check_only { 0 } else { options.runs } {
            before.push(query(&fresh.0, sql).await?.1);
            after.push(query(&changed.0, sql).await?.1);
        }
        timings.push((name, median(&before), median(&after)));
    }
    if !options.check_only {
        report(options, &timings, rows, wrong.len())?;
    }
    verdict("DuckDB", timings.len(), &wrong)
}

fn report(options: &OlapOptions, timings: &[(&str, f64, f64)], rows: u64, wrong: usize) -> Result<(), String> {
    println!("{:<8} {:>10} {:>10} {:>8}", "query", "loaded ms", "changed ms", "ratio");
    for (name, before, after) in timings {
        println!("{name:<8} {:>10.1} {:>10.1} {:>7.2}x", before * 1e3, after * 1e3, after / before);
    }
    let before: f64 = timings.iter().map(|(_, before, _)| before).sum();
    let after: f64 = timings.iter().map(|(_, _, after)| after).sum();
    let ratio = after / before;
    println!("{:<8} {:>10.1} {:>10.1} {ratio:>7.2}x", "total", before * 1e3, after * 1e3);
    println!("total {ratio:.2}x, must {TOTAL_MAX}x: {}", if ratio <= TOTAL_MAX { "holds" } else { "misses" });
    if !options.only.is_empty() {
        return Ok(());
    }
    let each =
        timings.iter().map(|(name, before, after)| ((*name).to_owned(), json!({"loaded": before, "changed": after})));
    let result = json!({
        "scale": options.scale, "threads": options.threads, "runs": options.runs, "changed_rows": rows,
        "total_seconds": {"loaded": before, "changed": after, "ratio": ratio},
        "queries": each.collect::<serde_json::Map<String, Value>>(), "wrong": wrong,
    });
    history::append("olap-changed", result).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_table_is_changed_in_parts_that_make_five_in_a_hundred() {
        let changes = changes();
        assert_eq!(changes.len(), TABLES.len() * (PARTS as usize + 1));
        let lineitem: Vec<&String> = changes.iter().filter(|sql| sql.contains("lineitem")).collect();
        assert!(
            lineitem[0]
                .ends_with("% 1000 >= 0 AND (l_orderkey * 2654435761 + l_linenumber * 40503) % 4294967291 % 1000 < 5")
        );
        assert!(lineitem[PARTS as usize - 1].ends_with("< 50"), "{}", lineitem[PARTS as usize - 1]);
    }
}
