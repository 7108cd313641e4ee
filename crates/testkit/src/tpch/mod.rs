//! TPC-H: the schema, generated data, the 22 queries, and comparing answers.

mod answers;
mod data;

pub use answers::{Answer, differences};
pub use data::{TABLES, generate};

/// CREATE TABLE statements, in loading order; keys as the specification declares them.
pub const SCHEMA: &str = include_str!("../../tpch/schema.sql");

macro_rules! queries {
    ($($number:literal),*) => { [$((concat!("Q", $number), include_str!(concat!("../../tpch/q", $number, ".sql")))),*] };
}

/// The 22 queries with the specification's validation parameters: (name, SQL text).
pub const QUERIES: [(&str, &str); 22] = queries!(
    "01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "13", "14", "15", "16", "17", "18", "19",
    "20", "21", "22"
);
