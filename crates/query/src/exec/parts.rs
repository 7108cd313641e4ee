//! What the parts of one statement share: a statement may write in WITH queries before, beside and after its main part.
//!
//! 1. Every part reads by the statement's one snapshot and command, so none sees what another wrote.
//! 2. What a part gives with RETURNING waits in the statement's scope under the part's number, where [`GivenTable`] finds it.
//! 3. A row is written once in a statement: whichever part comes first wins, the others pass the row over.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use bytes::Bytes;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result as DfResult;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source_as_provider;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::logical_expr::{Expr, LogicalPlan, TableType};
use datafusion::physical_plan::ExecutionPlan;
use heliosdb_types::{Error, Oid, Result, SqlState, TreeRef};
use parking_lot::Mutex;

use super::apply::ApplyNode;
use super::error::{from_arrow, from_datafusion, to_datafusion};
use super::group_numbers::GroupNumbers;
use super::row_write::RowWriteNode;
use super::scope::StatementScope;
use super::shared_rows::SharedRows;

/// Memory the keys of one statement's rows may take.
const KEY_BYTES_MAX: usize = 256 << 20;
/// Bytes a key takes in a set beside its own.
const KEY_OVERHEAD: usize = 64;

/// A data-modifying WITH query: a plan of its own.
#[derive(Clone, Debug)]
pub struct WritePart {
    /// What its rows are found by.
    pub number: usize,
    /// What WITH calls it.
    pub name: String,
    pub plan: LogicalPlan,
    /// The table written to.
    pub target: Oid,
    /// The columns of RETURNING; `None`: it gives no rows.
    pub schema: Option<SchemaRef>,
    /// Nothing reads it, so it runs when the main part has run, as PostgreSQL does.
    pub late: bool,
}

/// Shared by the writers and scans of one statement.
#[derive(Default)]
pub struct Parts {
    /// More than one part writes.
    several: bool,
    given: Mutex<HashMap<usize, Given>>,
    rows: Mutex<Rows>,
    shared: SharedRows,
    group_numbers: GroupNumbers,
}

struct Given {
    batches: Vec<RecordBatch>,
    /// Held as long as the rows are.
    _memory: Option<MemoryReservation>,
}

#[derive(Default)]
struct Rows {
    /// Rows of the snapshot that a part has updated or deleted, by the keys they had.
    touched: HashSet<(TreeRef, Bytes)>,
    /// Rows that a part has inserted, or updated to.
    made: HashSet<(TreeRef, Bytes)>,
    bytes: usize,
}

impl Rows {
    fn grow(&mut self, key: &Bytes) -> Result<()> {
        self.bytes += key.len() + KEY_OVERHEAD;
        if self.bytes <= KEY_BYTES_MAX {
            return Ok(());
        }
        Err(Error::unavailable(
            SqlState::OUT_OF_MEMORY,
            "a statement with data-modifying WITH queries writes too many rows",
        )
        .with_hint("Write fewer rows at once, or in statements of their own."))
    }
}

impl Parts {
    /// Of a statement with parts.
    pub(crate) fn several() -> Parts {
        Parts { several: true, ..Parts::default() }
    }

    /// The rows of queries that several places read.
    pub(super) fn shared(&self) -> &SharedRows {
        &self.shared
    }

    /// The numbers that groups by texts have.
    pub(super) fn group_numbers(&self) -> &GroupNumbers {
        &self.group_numbers
    }

    pub(crate) fn are_several(&self) -> bool {
        self.several
    }

    /// Notes that a row is about to be changed; false if a part has changed it.
    pub(crate) fn touch(&self, tree: TreeRef, key: &Bytes) -> Result<bool> {
        let mut rows = self.rows.lock();
        let first = rows.touched.insert((tree, key.clone()));
        if first {
            rows.grow(key)?;
        }
        Ok(first)
    }

    pub(crate) fn is_touched(&self, tree: TreeRef, key: &Bytes) -> bool {
        self.several && self.rows.lock().touched.contains(&(tree, key.clone()))
    }

    /// Notes rows as they are now.
    pub(crate) fn make(&self, tree: TreeRef, keys: &[Bytes]) -> Result<()> {
        let mut rows = self.rows.lock();
        for key in keys {
            if rows.made.insert((tree, key.clone())) {
                rows.grow(key)?;
            }
        }
        Ok(())
    }

    /// Whether a part has made the row that has this key.
    pub(crate) fn is_made(&self, tree: TreeRef, key: &Bytes) -> bool {
        self.several && self.rows.lock().made.contains(&(tree, key.clone()))
    }

    pub(crate) fn give(&self, number: usize, batches: Vec<RecordBatch>, memory: Option<MemoryReservation>) {
        self.given.lock().insert(number, Given { batches, _memory: memory });
    }

    fn take(&self, number: usize) -> Vec<RecordBatch> {
        self.given.lock().get(&number).map(|given| given.batches.clone()).unwrap_or_default()
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("several", &self.several).finish_non_exhaustive()
    }
}

/// The rows a part has given, as a table.
#[derive(Debug)]
pub struct GivenTable {
    number: usize,
    schema: SchemaRef,
}

impl GivenTable {
    pub fn new(number: usize, schema: SchemaRef) -> GivenTable {
        GivenTable { number, schema }
    }
}

/// A part's rows under the names and nullability its readers expect.
pub(crate) fn as_given(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), batch.columns().to_vec(), &options).map_err(from_arrow)
}

#[async_trait]
impl TableProvider for GivenTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let scope = StatementScope::of(state.config()).map_err(to_datafusion)?;
        let batches = scope.parts.take(self.number);
        Ok(MemorySourceConfig::try_new_exec(&[batches], Arc::clone(&self.schema), projection.cloned())?)
    }
}

/// The parts whose rows a plan reads, anywhere in it.
pub(crate) fn parts_read(plan: &LogicalPlan) -> Result<HashSet<usize>> {
    let mut found = HashSet::new();
    collect_parts(plan, &mut found).map_err(from_datafusion)?;
    Ok(found)
}

fn collect_parts(plan: &LogicalPlan, found: &mut HashSet<usize>) -> DfResult<()> {
    plan.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::TableScan(scan) => {
                let provider = source_as_provider(&scan.source)?;
                if let Some(given) = (provider.as_ref() as &dyn std::any::Any).downcast_ref::<GivenTable>() {
                    found.insert(given.number);
                }
            }
            LogicalPlan::Extension(extension) => {
                // Neither is among the node's children.
                if let Some(apply) = extension.node.as_any().downcast_ref::<ApplyNode>() {
                    collect_parts(apply.template(), found)?;
                }
                if let Some(write) = extension.node.as_any().downcast_ref::<RowWriteNode>()
                    && let Some(program) = write.conflict_program()
                {
                    collect_parts(program, found)?;
                }
            }
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// The order parts run in: those the main part reads before it, each after what it reads itself; then those nothing reads, the
/// last first, as PostgreSQL finishes them. With `all_before` nothing is left for after the main part.
pub(crate) fn in_order(main: &LogicalPlan, parts: Vec<WritePart>, all_before: bool) -> Result<Vec<WritePart>> {
    if parts.is_empty() {
        return Ok(parts);
    }
    let reads: Vec<HashSet<usize>> = parts.iter().map(|part| parts_read(&part.plan)).collect::<Result<_>>()?;
    let mut order: Vec<usize> = Vec::with_capacity(parts.len());
    // A part reads earlier ones only, so going through them backwards ends.
    fn visit(at: usize, reads: &[HashSet<usize>], order: &mut Vec<usize>) {
        if order.contains(&at) {
            return;
        }
        let mut needed: Vec<usize> = reads.get(at).into_iter().flatten().copied().filter(|other| *other < at).collect();
        needed.sort_unstable();
        needed.into_iter().for_each(|other| visit(other, reads, order));
        order.push(at);
    }
    // A program of ON CONFLICT has its rows under a number of its own.
    let mut needed: Vec<usize> = parts_read(main)?.into_iter().filter(|at| *at < parts.len()).collect();
    needed.sort_unstable();
    needed.into_iter().for_each(|at| visit(at, &reads, &mut order));
    let before = order.len();
    (0..parts.len()).rev().for_each(|at| visit(at, &reads, &mut order));
    let mut parts: Vec<Option<WritePart>> = parts.into_iter().map(Some).collect();
    let place = |(place, at): (usize, usize)| {
        let part = parts.get_mut(at).and_then(Option::take)?;
        Some(WritePart { late: place >= before && !all_before, ..part })
    };
    let ordered: Vec<WritePart> = order.into_iter().enumerate().filter_map(place).collect();
    Ok(ordered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_written_once() {
        let parts = Parts::several();
        let (tree, key) = (TreeRef::default(), Bytes::from_static(b"k"));
        assert!(parts.touch(tree, &key).unwrap());
        assert!(!parts.touch(tree, &key).unwrap());
        assert!(parts.is_touched(tree, &key) && !parts.is_made(tree, &key));
        parts.make(tree, std::slice::from_ref(&key)).unwrap();
        assert!(parts.is_made(tree, &key));
    }
}
