//! Running plans: DataFusion's optimiser and operators over our scans and writes.

mod row_write;

pub use row_write::{RowWriteNode, RowWriteOp};
