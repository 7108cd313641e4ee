//! The locking itself, batch by batch.
//!
//! 1. Rows are locked in the order they come, in pieces no larger than LIMIT still wants.
//! 2. A row that is gone, or locked and to be skipped, drops out; under READ COMMITTED a newer version takes the place of the one
//!    the snapshot saw, and stays if it still meets the predicate. REPEATABLE READ fails there (40001).
//! 3. What leaves is built on durable rows only.

use std::fmt;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_schema::SchemaRef;
use arrow_select::filter::filter_record_batch;
use arrow_select::interleave::interleave;
use arrow_select::take::take_record_batch;
use bytes::Bytes;
use datafusion::common::{DFSchema, Result as DfResult, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, Expr};
use datafusion::physical_expr::PhysicalExpr;
use heliosdb_contracts::{LockPolicy, LockWait, LockedRow, RowRef, TreeDescriptorRef};
use heliosdb_types::{Datum, Error, Result, RowLayout, RowView, SqlState};

use super::node::{LockRowsNode, LockTarget};
use crate::exec::arrays::array_of;
use crate::exec::error::{from_arrow, from_datafusion, to_datafusion};
use crate::exec::recheck::Rechecker;
use crate::exec::row_write::concurrent;
use crate::exec::scope::StatementScope;

/// A [`LockRowsNode`] with physical expressions.
pub(crate) struct LockSpec {
    pub targets: Vec<LockTarget>,
    pub predicate: Option<Arc<dyn PhysicalExpr>>,
    pub recheck: Option<Arc<Rechecker>>,
    pub output: Vec<Arc<dyn PhysicalExpr>>,
    pub schema: SchemaRef,
    pub skip: usize,
    pub fetch: Option<usize>,
}

impl fmt::Debug for LockSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.targets.iter().map(|target| target.table.name.as_str()).collect();
        f.write_str(&names.join(", "))
    }
}

/// A node with physical expressions, however they are made.
pub(crate) fn plan_locks(
    node: &LockRowsNode,
    physical: impl Fn(&Expr, &DFSchema) -> DfResult<Arc<dyn PhysicalExpr>>,
) -> DfResult<Arc<LockSpec>> {
    let schema = node.input.schema();
    let output = node.output.iter().map(|expr| physical(unalias(expr), schema)).collect::<DfResult<Vec<_>>>()?;
    let count = |expr: &Option<Expr>, negative: (SqlState, &str)| -> DfResult<Option<usize>> {
        let Some(expr) = expr else { return Ok(None) };
        let empty = RecordBatch::try_new_with_options(
            Arc::new(arrow_schema::Schema::empty()),
            vec![],
            &RecordBatchOptions::new().with_row_count(Some(1)),
        )?;
        let value = match physical(expr, &DFSchema::empty())?.evaluate(&empty)? {
            ColumnarValue::Scalar(value) => value,
            ColumnarValue::Array(array) => ScalarValue::try_from_array(&array, 0)?,
        };
        match value {
            ScalarValue::Int64(None) => Ok(None),
            ScalarValue::Int64(Some(count)) => {
                let count = usize::try_from(count);
                count.map(Some).map_err(|_| to_datafusion(Error::invalid(negative.0, negative.1)))
            }
            other => Err(to_datafusion(Error::internal(format!("a row count is {other}")))),
        }
    };
    Ok(Arc::new(LockSpec {
        targets: node.targets.clone(),
        predicate: node.predicate.as_ref().map(|expr| physical(expr, schema)).transpose()?,
        recheck: None,
        output,
        schema: Arc::clone(node.schema.inner()),
        skip: count(&node.skip, (SqlState::INVALID_ROW_COUNT_IN_OFFSET, "OFFSET must not be negative"))?.unwrap_or(0),
        fetch: count(&node.fetch, (SqlState::INVALID_ROW_COUNT_IN_LIMIT, "LIMIT must not be negative"))?,
    }))
}

fn unalias(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unalias(&alias.expr),
        other => other,
    }
}

/// A version that appeared after the statement's snapshot, for a row of the batch.
struct NewerRow {
    at: u32,
    row: Bytes,
    descriptor: TreeDescriptorRef,
}

pub(crate) struct Locker {
    spec: Arc<LockSpec>,
    scope: Arc<StatementScope>,
    skip: usize,
    fetch: Option<usize>,
}

impl Locker {
    pub fn new(spec: Arc<LockSpec>, scope: Arc<StatementScope>) -> Result<Locker> {
        scope.writer()?;
        let (skip, fetch) = (spec.skip, spec.fetch);
        Ok(Locker { spec, scope, skip, fetch })
    }

    /// LIMIT is reached.
    pub fn is_done(&self) -> bool {
        self.fetch == Some(0)
    }

    /// Locks rows of `input` until LIMIT is reached; what leaves.
    pub async fn batch(&mut self, input: &RecordBatch) -> Result<Vec<RecordBatch>> {
        let mut out = Vec::new();
        let mut at = 0;
        while at < input.num_rows() && !self.is_done() {
            self.scope.cancel.check()?;
            let left = input.num_rows() - at;
            let piece = self.fetch.map_or(left, |fetch| left.min(fetch.saturating_add(self.skip)));
            let locked = self.lock(input.slice(at, piece)).await?;
            at += piece;
            let skipped = self.skip.min(locked.num_rows());
            self.skip -= skipped;
            let rest = locked.slice(skipped, locked.num_rows() - skipped);
            if let Some(fetch) = &mut self.fetch {
                *fetch -= rest.num_rows().min(*fetch);
            }
            if rest.num_rows() > 0 {
                out.push(self.output(&rest)?);
            }
        }
        // Versions a crash could still take back must not be told of.
        if !out.is_empty() {
            self.scope.shard.settle(self.scope.writer()?).await?;
        }
        Ok(out)
    }

    fn output(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(self.spec.output.len());
        for (expr, field) in self.spec.output.iter().zip(self.spec.schema.fields()) {
            let value = expr.evaluate(batch).map_err(from_datafusion)?;
            let array = value.into_array(batch.num_rows()).map_err(from_datafusion)?;
            debug_assert_eq!(array.data_type(), field.data_type());
            columns.push(array);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.spec.schema), columns, &options).map_err(from_arrow)
    }

    /// Locks every target of every row; the rows that stay, as they are now.
    async fn lock(&self, mut batch: RecordBatch) -> Result<RecordBatch> {
        let mut changed = vec![false; batch.num_rows()];
        let mut before = batch.clone();
        for target in &self.spec.targets {
            let (kept, newer) = self.lock_target(&batch, target).await?;
            for row in &newer {
                if let Some(changed) = changed.get_mut(row.at as usize) {
                    *changed = true;
                }
            }
            if !newer.is_empty() {
                batch = renewed(&batch, target, &newer)?;
            }
            if kept.len() < batch.num_rows() {
                changed = kept.iter().filter_map(|at| changed.get(*at as usize).copied()).collect();
                let kept = UInt32Array::from(kept);
                batch = take_record_batch(&batch, &kept).map_err(from_arrow)?;
                before = take_record_batch(&before, &kept).map_err(from_arrow)?;
            }
        }
        if let Some(rechecker) = self.spec.recheck.as_ref().filter(|_| changed.contains(&true)) {
            return looked_at_again(rechecker, &batch, &before, &changed).await;
        }
        let Some(predicate) = self.spec.predicate.as_ref().filter(|_| changed.contains(&true)) else {
            return Ok(batch);
        };
        let value = predicate.evaluate(&batch).map_err(from_datafusion)?;
        let qualifies = value.into_array(batch.num_rows()).map_err(from_datafusion)?;
        let qualifies = qualifies.as_boolean_opt().ok_or_else(|| Error::internal("a predicate is not boolean"))?;
        // Rows nobody changed have met the predicate already.
        let keep = changed.iter().enumerate().map(|(at, c)| !c || (qualifies.is_valid(at) && qualifies.value(at)));
        filter_record_batch(&batch, &keep.map(Some).collect()).map_err(from_arrow)
    }

    /// Locks one target's rows: positions that stay, and those of them with a newer version.
    async fn lock_target(&self, batch: &RecordBatch, target: &LockTarget) -> Result<(Vec<u32>, Vec<NewerRow>)> {
        let scope = &self.scope;
        let column = batch.columns().get(target.row_ref).and_then(|column| column.as_binary_view_opt());
        let column = column.ok_or_else(|| Error::internal("a lock without row references"))?;
        let mut keys = Vec::with_capacity(column.len());
        for at in 0..column.len() {
            keys.push(Bytes::copy_from_slice(RowRef::decode(column.value(at))?.key));
        }
        let table = target.table.table().ok_or_else(|| Error::internal("a lock on no table"))?;
        let wait = LockWait { policy: target.policy, ..scope.lock_wait };
        let locked = scope.shard.lock_rows(&scope.read, table.tree.tree, keys, target.mode, wait).await?;
        if locked.len() != batch.num_rows() {
            return Err(Error::internal("a lock request was answered for other rows"));
        }
        let (mut kept, mut newer) = (Vec::with_capacity(locked.len()), Vec::new());
        for (at, state) in (0u32..).zip(locked) {
            match state {
                LockedRow::Unchanged => kept.push(at),
                LockedRow::Busy if target.policy == LockPolicy::SkipLocked => {}
                LockedRow::Busy => {
                    let message = format!("could not obtain lock on row in relation \"{}\"", target.table.name);
                    return Err(Error::retry(SqlState::LOCK_NOT_AVAILABLE, message));
                }
                state if scope.read.isolation.keeps_snapshot() => return Err(concurrent(&state)),
                LockedRow::Gone => {}
                LockedRow::Newer { row, descriptor, hint: _ } => {
                    kept.push(at);
                    newer.push(NewerRow { at, row, descriptor });
                }
            }
        }
        Ok((kept, newer))
    }
}

/// The rows that still qualify; those that have changed as the statement's plan gives them now.
async fn looked_at_again(
    rechecker: &Rechecker,
    batch: &RecordBatch,
    before: &RecordBatch,
    changed: &[bool],
) -> Result<RecordBatch> {
    let which: Vec<u32> = (0u32..).zip(changed).filter(|(_, changed)| **changed).map(|(at, _)| at).collect();
    let places = UInt32Array::from(which.clone());
    let new = take_record_batch(batch, &places).map_err(from_arrow)?;
    let old = take_record_batch(before, &places).map_err(from_arrow)?;
    let (fresh, kept) = rechecker.run(&new, &old).await?;
    let kept: Vec<usize> = kept.iter().filter_map(|at| which.get(*at)).map(|at| *at as usize).collect();
    let mut places = Vec::with_capacity(batch.num_rows());
    for (at, changed) in changed.iter().enumerate() {
        if !changed {
            places.push((0, at));
        } else if let Some(place) = kept.iter().position(|kept| *kept == at) {
            places.push((1, place));
        }
    }
    let columns = batch.columns().iter().zip(&fresh);
    let columns = columns.map(|(old, fresh)| interleave(&[old.as_ref(), fresh.as_ref()], &places).map_err(from_arrow));
    let options = RecordBatchOptions::new().with_row_count(Some(places.len()));
    RecordBatch::try_new_with_options(batch.schema(), columns.collect::<Result<_>>()?, &options).map_err(from_arrow)
}

/// The batch with a target's newest versions in place of what the snapshot saw.
fn renewed(batch: &RecordBatch, target: &LockTarget, newer: &[NewerRow]) -> Result<RecordBatch> {
    let table = target.table.table().ok_or_else(|| Error::internal("a lock on no table"))?;
    let mut columns = batch.columns().to_vec();
    let mut places: Vec<(usize, usize)> = (0..batch.num_rows()).map(|at| (0, at)).collect();
    for (fresh, row) in newer.iter().enumerate() {
        if let Some(place) = places.get_mut(row.at as usize) {
            *place = (1, fresh);
        }
    }
    for (place, column) in target.old_row.iter().zip(&table.tree.columns) {
        let mut values: Vec<Datum> = Vec::with_capacity(newer.len());
        for version in newer {
            let layout = RowLayout::new(&version.descriptor.physical_types());
            let row = RowView::new(&layout, &version.row)?;
            values.push(match version.descriptor.position(column.id) {
                Some(at) if at < row.len() => row.get(at)?.to_owned(),
                _ => column.missing.clone().unwrap_or(Datum::Null),
            });
        }
        let fresh: ArrayRef = array_of(column.physical, values.iter().map(Datum::as_ref))?;
        let slot = columns.get_mut(*place).ok_or_else(|| Error::internal("no such input column"))?;
        *slot = interleave(&[slot.as_ref(), fresh.as_ref()], &places).map_err(from_arrow)?;
    }
    RecordBatch::try_new(batch.schema(), columns).map_err(from_arrow)
}
