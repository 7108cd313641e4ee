//! Writing rows: one node for INSERT, UPDATE and DELETE, with RETURNING.

mod conflict;
mod exec;
mod node;
mod planner;
mod spec;
mod verify;
mod writer;

pub(crate) use exec::RowWriteExec;
pub use node::{Arbiter, ConflictUpdate, ConflictWrite, RowWriteNode, RowWriteOp};
pub(crate) use planner::{RowWritePlanner, plan_write};
pub(crate) use spec::WriteSpec;
pub(crate) use writer::{Writer, concurrent};

#[cfg(test)]
mod row_write_test;
