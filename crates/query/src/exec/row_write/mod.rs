//! Writing rows: one node for INSERT, UPDATE, DELETE and MERGE, with RETURNING.

mod conflict;
mod exec;
mod merge;
mod node;
mod patch;
mod planner;
mod spec;
mod verify;
mod writer;

pub(crate) use exec::RowWriteExec;
pub use node::{
    Arbiter, ConflictProgram, ConflictUpdate, ConflictWrite, MergeAction, MergeClause, RowWriteNode, RowWriteOp,
};
pub(crate) use planner::{RowWritePlanner, plan_write};
pub(crate) use spec::WriteSpec;
pub(crate) use writer::{Writer, concurrent};

#[cfg(test)]
mod row_write_test;
