//! Running plans: DataFusion's optimiser and operators over our scans and writes.

mod above;
mod admission;
mod again;
mod apply;
mod arrays;
mod cardinality;
mod columns_first;
mod determined_keys;
mod direct;
mod doubtful_keys;
mod dynamic;
mod each_node;
mod error;
mod estimate;
mod explain;
mod explain_format;
mod filter_guard;
mod filter_names;
mod first_rows;
mod foreign;
mod group_numbers;
mod grouping_sets;
mod index;
mod instantiate;
mod interrupt;
mod join_order;
mod kept_plan;
mod key_sets;
mod late_rows;
mod lock_rows;
mod memory;
mod merge_runs;
mod null_keys;
mod order_repair;
mod outer_constants;
mod packed_keys;
mod parameters;
mod parts;
mod places;
mod pushdown;
mod recheck;
mod row_source;
mod row_write;
mod rows;
mod run;
mod run_aggregate;
mod scan;
mod scope;
mod shared_rows;
mod shifted_sums;
mod slices;
mod small_batches;
mod sort_memory;
mod spill;
mod state;
mod statistics_guard;
mod table;
mod together;
mod unasked_parts;
mod whole_keys;
mod windows;

pub use admission::QueryQueue;
pub use apply::ApplyNode;
pub(crate) use arrays::{ColumnBuilder, array_of, into_array, scalar_of};
pub(crate) use error::{from_arrow, from_datafusion, to_datafusion};
pub use explain::{ExplainFormat, ExplainOptions};
pub(crate) use foreign::{ChildEvent, ConstraintModes, ForeignSpec, ParentEvent, can_refer};
pub use foreign::{ForeignCheck, ForeignWrite, Referenced, References};
pub use index::IndexWrite;
pub(crate) use index::{BuildProgress, build as build_index, complete as complete_index};
pub(crate) use index::{
    ENTRY_ROW, TableFindings, UniqueEvent, check_unique, entry_tree, needs_binding, verify_index, verify_rows,
};
pub use instantiate::NOW_PLACEHOLDER;
pub(crate) use interrupt::{LongValues, check_cancelled, sort_checked};
pub use lock_rows::{LockRowsNode, LockTarget};
pub use memory::QueryMemory;
pub(crate) use parts::in_order;
pub use parts::{GivenTable, Parts, WritePart};
pub(crate) use pushdown::{datum, integer, translate};
pub use recheck::{Recheck, SlotNode};
pub use row_write::{
    Arbiter, ConflictProgram, ConflictUpdate, ConflictWrite, MergeAction, MergeClause, RowWriteNode, RowWriteOp,
};
pub use rows::RowsNode;
pub use run::Compiled;
pub(crate) use run::counted;
pub use scope::{CancelFlag, StatementScope, TierMark};
pub use shared_rows::SharedNode;
pub(crate) use shared_rows::settle_shared;
pub use state::{Executor, ExecutorOptions};
pub use table::HeliosTable;

#[cfg(test)]
mod exec_test;
