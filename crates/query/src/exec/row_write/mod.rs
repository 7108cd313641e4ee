//! Writing rows: one node for INSERT, UPDATE and DELETE, with RETURNING.

mod node;

pub use node::{RowWriteNode, RowWriteOp};
