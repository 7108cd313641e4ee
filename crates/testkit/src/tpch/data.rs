//! TPC-H data as CSV files, one a table, made once per scale factor and kept.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tpchgen::csv::{CustomerCsv, LineItemCsv, NationCsv, OrderCsv, PartCsv, PartSuppCsv, RegionCsv, SupplierCsv};
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};

/// The tables in loading order.
pub const TABLES: [&str; 8] = ["region", "nation", "part", "supplier", "partsupp", "customer", "orders", "lineitem"];

/// Makes `DIR/sf<scale>/<table>.csv` (no header) unless they are there, and returns that folder.
pub fn generate(dir: &Path, scale: f64) -> io::Result<PathBuf> {
    let folder = dir.join(format!("sf{scale}"));
    std::fs::create_dir_all(&folder)?;
    for table in TABLES {
        let path = folder.join(format!("{table}.csv"));
        if path.exists() {
            continue;
        }
        // A half-written file never has the final name.
        let part = folder.join(format!("{table}.csv.part"));
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&part)?);
        write_table(&mut out, table, scale)?;
        out.into_inner().map_err(|error| error.into_error())?.sync_all()?;
        std::fs::rename(part, path)?;
    }
    Ok(folder)
}

fn write_table(out: &mut impl Write, table: &str, scale: f64) -> io::Result<()> {
    match table {
        "region" => lines(out, RegionGenerator::new(scale, 1, 1).iter().map(RegionCsv::new)),
        "nation" => lines(out, NationGenerator::new(scale, 1, 1).iter().map(NationCsv::new)),
        "part" => lines(out, PartGenerator::new(scale, 1, 1).iter().map(PartCsv::new)),
        "supplier" => lines(out, SupplierGenerator::new(scale, 1, 1).iter().map(SupplierCsv::new)),
        "partsupp" => lines(out, PartSuppGenerator::new(scale, 1, 1).iter().map(PartSuppCsv::new)),
        "customer" => lines(out, CustomerGenerator::new(scale, 1, 1).iter().map(CustomerCsv::new)),
        "orders" => lines(out, OrderGenerator::new(scale, 1, 1).iter().map(OrderCsv::new)),
        "lineitem" => lines(out, LineItemGenerator::new(scale, 1, 1).iter().map(LineItemCsv::new)),
        other => Err(io::Error::other(format!("no TPC-H table {other}"))),
    }
}

fn lines(out: &mut impl Write, rows: impl Iterator<Item = impl Display>) -> io::Result<()> {
    for row in rows {
        writeln!(out, "{row}")?;
    }
    Ok(())
}
