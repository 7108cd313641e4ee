//! Bytes a row of TPC-H's lineitem, column by column: a ratchet. What the peers take of the same rows at scale 1 (6,001,215
//! rows) is in the names; a small scale repeats less, so meeting them here is harder.

use tpchgen::generators::LineItemGenerator;

use super::*;

const PARQUET_ZSTD3: f64 = 148.9e6 / 6_001_215.0;
const VORTEX_DEFAULT: f64 = 178.5e6 / 6_001_215.0;

const DECIMAL: PhysicalType = PhysicalType::Decimal64 { precision: 15, scale: 2 };

fn columns(rows: usize) -> Vec<(&'static str, PhysicalType, Vec<Datum>)> {
    let money = |cents: i64| Datum::Decimal { unscaled: cents.into(), scale: 2 };
    let text = |text: &str| Datum::Text(text.into());
    let names: [(&str, PhysicalType); 16] = [
        ("orderkey", PhysicalType::Int64),
        ("partkey", PhysicalType::Int64),
        ("suppkey", PhysicalType::Int64),
        ("linenumber", PhysicalType::Int32),
        ("quantity", DECIMAL),
        ("extendedprice", DECIMAL),
        ("discount", DECIMAL),
        ("tax", DECIMAL),
        ("returnflag", PhysicalType::Text),
        ("linestatus", PhysicalType::Text),
        ("shipdate", PhysicalType::Date),
        ("commitdate", PhysicalType::Date),
        ("receiptdate", PhysicalType::Date),
        ("shipinstruct", PhysicalType::Text),
        ("shipmode", PhysicalType::Text),
        ("comment", PhysicalType::Text),
    ];
    let mut columns: Vec<_> = names.iter().map(|(name, physical)| (*name, *physical, Vec::new())).collect();
    // Keys as wide as at scale 1.
    for row in LineItemGenerator::new(1.0, 1, 1).iter().take(rows) {
        let values = [
            Datum::Int64(row.l_orderkey),
            Datum::Int64(row.l_partkey),
            Datum::Int64(row.l_suppkey),
            Datum::Int32(row.l_linenumber),
            money(row.l_quantity * 100),
            money(row.l_extendedprice.0),
            money(row.l_discount.0),
            money(row.l_tax.0),
            text(row.l_returnflag),
            text(row.l_linestatus),
            Datum::Date(row.l_shipdate.to_unix_epoch()),
            Datum::Date(row.l_commitdate.to_unix_epoch()),
            Datum::Date(row.l_receiptdate.to_unix_epoch()),
            text(row.l_shipinstruct),
            text(row.l_shipmode),
            text(row.l_comment),
        ];
        columns.iter_mut().zip(values).for_each(|((_, _, column), value)| column.push(value));
    }
    columns
}

/// Bytes a row, and what took them.
fn encoded(columns: &[(&str, PhysicalType, Vec<Datum>)], temperature: Temperature) -> (f64, String) {
    let (mut total, mut report) = (0, String::new());
    let rows = columns[0].2.len();
    for (name, physical, values) in columns {
        let options = EncodeOptions { temperature, ..Default::default() };
        let mut encoder = ColumnEncoder::new(*physical, options);
        let mut bytes = 0;
        let mut used = std::collections::BTreeMap::new();
        for block in values.chunks(8192) {
            let block = encoder.encode(&array_of(block, *physical)).unwrap();
            bytes += block.bytes.len();
            *used.entry(block.encoding).or_insert(0) += 1;
        }
        bytes += encoder.finish().iter().map(Vec::len).sum::<usize>();
        report += &format!("{name:<14} {:>6.3} bytes a row {used:?}\n", bytes as f64 / rows as f64);
        total += bytes;
    }
    (total as f64 / rows as f64, report)
}

#[test]
fn lineitem_is_no_larger_than_the_peers_make_it() {
    let rows = std::env::var("HELIOSDB_SIZE_ROWS").map_or(8 * 8192, |rows| rows.parse().unwrap());
    let columns = columns(rows);
    for (temperature, most) in [(Temperature::Young, VORTEX_DEFAULT), (Temperature::Settled, PARQUET_ZSTD3 * 0.93)] {
        let (bytes, report) = encoded(&columns, temperature);
        println!("{temperature:?}: {bytes:.3} bytes a row, at most {most:.3}\n{report}");
        assert!(bytes <= most, "{temperature:?}: {bytes:.3} bytes a row, not {most:.3}\n{report}");
    }
}
