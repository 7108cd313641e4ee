//! The writing itself, batch by batch.
//!
//! 1. Scans see earlier commands only, so input may be read while rows are written.
//! 2. A target row is locked, compared with what the snapshot saw, and written once; a row somebody else changed meanwhile is
//!    evaluated again on its newest version (READ COMMITTED) or fails the statement (REPEATABLE READ).
//! 3. An update that changes the key waits for the end of the statement, where all such rows are removed before any is
//!    added: `SET id = id + 1` needs a unique outcome, not a lucky order.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_select::filter::filter_record_batch;
use arrow_select::take::take_record_batch;
use bytes::Bytes;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_expr::expressions::{Column, Literal};
use heliosdb_contracts::{
    InsertOutcome, KeyedRow, LockedRow, RowHint, RowLockMode, RowRef, TreeDescriptorRef, WriteBatch, datum_at,
    row_id_key,
};
use heliosdb_runtime::failpoint;
use heliosdb_types::{
    DatumRef, Error, PhysicalType, Result, RowLayout, RowView, SqlState, TxnId, encode_key, encode_row,
};

use super::node::RowWriteOp;
use super::spec::{WriteSpec, evaluate};
use crate::exec::arrays::array_of;
use crate::exec::error::{from_arrow, from_datafusion};
use crate::exec::index::{IndexKeeper, Written};
use crate::exec::parameters::ParameterExpr;
use crate::exec::scope::StatementScope;

/// Room for a usual key, and for a value of a row beside its own bytes.
const KEY_BYTES: usize = 32;
const VALUE_BYTES: usize = 16;

/// Bytes a key or row kept until the statement's end takes beside its own.
pub(super) const KEPT_OVERHEAD: usize = 64;

/// A target row of UPDATE or DELETE.
pub(super) type Target = (Bytes, RowHint);

/// A version that appeared after the statement's snapshot.
pub(super) struct NewerRow {
    /// Row of the batch it replaces.
    pub at: u32,
    pub row: Bytes,
    pub descriptor: TreeDescriptorRef,
    pub hint: RowHint,
}

/// An update that gives a row another key.
pub(super) struct Moved {
    from: Target,
    to: KeyedRow,
    /// The new row again, to name it in an error.
    columns: Arc<[ArrayRef]>,
    at: usize,
}

pub(crate) struct Writer {
    pub(super) spec: Arc<WriteSpec>,
    pub(super) scope: Arc<StatementScope>,
    pub(super) txn: TxnId,
    pub(super) seen: HashSet<Bytes>,
    pub(super) moved: Vec<Moved>,
    pub(super) indexes: IndexKeeper,
    /// Rows of a table that refers to itself, with the foreign key: their parents may still come.
    pub(super) late_checks: Vec<(usize, RecordBatch, Vec<usize>)>,
    pub(crate) written: u64,
    /// RETURNING's rows; sent when every write has been made.
    pub(super) output: Vec<RecordBatch>,
    pub(super) memory: Option<MemoryReservation>,
    /// MERGE's new rows, while keys they may take are still to be given up.
    pub(super) pending: Vec<RecordBatch>,
}

impl Writer {
    pub(crate) fn new(spec: Arc<WriteSpec>, scope: Arc<StatementScope>) -> Result<Writer> {
        let txn = scope.writer()?;
        let (seen, moved, output) = (HashSet::new(), Vec::new(), Vec::new());
        let indexes = IndexKeeper::new(&spec.indexes, &spec.table, &scope, txn);
        let late_checks = Vec::new();
        Ok(Writer {
            spec,
            scope,
            txn,
            seen,
            moved,
            indexes,
            late_checks,
            written: 0,
            output,
            memory: None,
            pending: Vec::new(),
        })
    }

    /// Accounts for what the statement keeps until its end.
    pub(super) fn with_memory(mut self, memory: MemoryReservation) -> Writer {
        self.memory = Some(memory);
        self
    }

    pub(super) fn keep(&self, bytes: usize) -> Result<()> {
        self.memory.as_ref().map_or(Ok(()), |memory| memory.try_grow(bytes).map_err(from_datafusion))
    }

    pub(crate) async fn batch(&mut self, input: &RecordBatch) -> Result<()> {
        self.scope.cancel.check()?;
        match self.spec.op {
            RowWriteOp::Insert if self.spec.conflict.is_some() => Box::pin(self.upsert(input)).await,
            RowWriteOp::Insert => self.insert(input).await,
            RowWriteOp::Update | RowWriteOp::Delete => self.change(input).await,
            RowWriteOp::Merge => Box::pin(self.merge(input)).await,
        }
    }

    async fn insert(&mut self, input: &RecordBatch) -> Result<()> {
        let spec = Arc::clone(&self.spec);
        let columns = spec.evaluate_new_row(input)?;
        let new = spec.table_batch(columns, input.num_rows())?;
        spec.verify(&new, &self.scope.text)?;
        let keys = self.insert_rows(&spec, &new).await?;
        if self.scope.parts.are_several() {
            self.scope.parts.make(spec.tree.tree, &keys)?;
        }
        self.done(&spec, new.columns().to_vec(), input)
    }

    /// Inserts verified rows with their index entries, and looks for their parents. Returns their keys.
    pub(super) async fn insert_rows(&mut self, spec: &WriteSpec, new: &RecordBatch) -> Result<Vec<Bytes>> {
        let first_id = match spec.key {
            None => self.scope.shard.allocate_row_ids(spec.tree.tree, new.num_rows() as u64)?,
            Some(_) => 0,
        };
        let encoder = RowEncoder { spec, columns: new.columns() };
        let mut rows = Vec::with_capacity(new.num_rows());
        for at in 0..new.num_rows() {
            let key = encoder.key(at)?.unwrap_or_else(|| Bytes::copy_from_slice(&row_id_key(first_id + at as u64)));
            rows.push(KeyedRow { key, row: encoder.row(at)? });
        }
        let keys: Vec<Bytes> = rows.iter().map(|row| row.key.clone()).collect();
        self.add(rows, |index| (new.columns(), index)).await?;
        self.scope.tier.tally().inserted(spec.table.oid, new.num_rows());
        let written = Written { rows: new, keys: &keys };
        self.indexes.insert(written).await?;
        self.check_parents(spec, written, None).await?;
        Ok(keys)
    }

    /// Inserts rows with new keys; `place` finds the columns of a row that turns out to be a duplicate.
    pub(super) async fn add<'a>(
        &self,
        rows: Vec<KeyedRow>,
        place: impl Fn(usize) -> (&'a [ArrayRef], usize),
    ) -> Result<()> {
        let duplicate = |index: usize| {
            let (columns, row) = place(index);
            match self.spec.duplicate(columns, row, &self.scope.text) {
                Ok(error) | Err(error) => error,
            }
        };
        if self.spec.key.is_some() {
            let mut keys = HashSet::with_capacity(rows.len());
            if let Some(index) = rows.iter().position(|row| !keys.insert(&row.key)) {
                return Err(duplicate(index));
            }
        }
        let scope = &self.scope;
        let tree = Arc::clone(&self.spec.tree);
        match scope.shard.insert(self.txn, scope.read.command, tree, rows, scope.lock_wait).await? {
            InsertOutcome::Inserted => Ok(()),
            InsertOutcome::Duplicate { index } => Err(duplicate(index)),
        }
    }

    /// UPDATE and DELETE: lock, compare, re-evaluate, write.
    async fn change(&mut self, input: &RecordBatch) -> Result<()> {
        let (input, targets) = self.targets(input)?;
        if targets.is_empty() {
            return Ok(());
        }
        let keys = targets.iter().map(|(key, _)| key.clone()).collect();
        let scope = Arc::clone(&self.scope);
        let mode = self.lock_mode(&input)?;
        let locked = scope.shard.lock_rows(&scope.read, self.spec.tree.tree, keys, mode, scope.lock_wait).await?;
        if locked.len() != targets.len() {
            return Err(Error::internal("a lock request was answered for other rows"));
        }
        let mut unchanged: Vec<u32> = Vec::with_capacity(locked.len());
        let mut newer = Vec::new();
        for (at, state) in (0u32..).zip(locked) {
            match state {
                LockedRow::Unchanged => unchanged.push(at),
                LockedRow::Busy => return Err(Error::internal("a write does not skip locked rows")),
                state if scope.read.isolation.keeps_snapshot() && failpoint("write.snapshot.unchecked").is_ok() => {
                    return Err(concurrent(&state));
                }
                // Tests weaken isolation so, to see that it is noticed.
                LockedRow::Newer { .. } if failpoint("write.newest.unchecked").is_err() => unchanged.push(at),
                LockedRow::Gone => {}
                LockedRow::Newer { row, descriptor, hint } => newer.push(NewerRow { at, row, descriptor, hint }),
            }
        }
        if unchanged.len() == targets.len() {
            return self.apply(&input, &targets).await;
        }
        if !unchanged.is_empty() {
            let kept = unchanged.iter().filter_map(|&at| targets.get(at as usize).cloned()).collect::<Vec<_>>();
            self.apply(&take(&input, unchanged)?, &kept).await?;
        }
        if !newer.is_empty() {
            let (input, targets) = Box::pin(self.recheck(&input, &targets, &newer)).await?;
            self.apply(&input, &targets).await?;
        }
        Ok(())
    }

    /// PostgreSQL's rule: who deletes a row or changes a key that others may refer to excludes those who only rely on the key.
    fn lock_mode(&self, input: &RecordBatch) -> Result<RowLockMode> {
        if self.spec.op != RowWriteOp::Update {
            return Ok(RowLockMode::Update);
        }
        let (mut fixed, mut literals) = (true, Vec::new());
        for &at in &self.spec.referable {
            let expr = self.spec.new_row.get(at);
            let column = expr.and_then(|expr| expr.downcast_ref::<Column>()).map(Column::index);
            if expr.is_some_and(|expr| expr.is::<Literal>() || expr.is::<ParameterExpr>()) {
                literals.push(at);
            } else {
                fixed &= column.is_some() && column == self.spec.old_row.get(at).copied();
            }
        }
        if fixed && !literals.is_empty() {
            // `SET id = 7 ... WHERE id = 7`, as object mappers write it; a newer version of the row has the same key.
            let (new, old) = (self.spec.evaluate_new_row(input)?, self.spec.old_columns(input)?);
            let (new, old) =
                (RowEncoder { spec: &self.spec, columns: &new }, RowEncoder { spec: &self.spec, columns: &old });
            for row in 0..input.num_rows() {
                for &at in &literals {
                    let (mut before, mut after) = (Vec::new(), Vec::new());
                    encode_key(&mut before, old.value(at, row)?, false);
                    encode_key(&mut after, new.value(at, row)?, false);
                    fixed &= before == after;
                }
            }
        }
        Ok(if fixed { RowLockMode::NoKeyUpdate } else { RowLockMode::Update })
    }

    /// The rows' references, without rows that came before in the statement.
    fn targets(&mut self, input: &RecordBatch) -> Result<(RecordBatch, Vec<Target>)> {
        let column = self.spec.row_ref.and_then(|at| input.columns().get(at));
        let column = column.and_then(|column| column.as_binary_view_opt());
        let column = column.ok_or_else(|| Error::internal("a write without row references"))?;
        let mut targets = Vec::with_capacity(input.num_rows());
        let mut kept = Vec::with_capacity(input.num_rows());
        for at in 0..column.len() {
            // An outer join from the target's side leaves no reference: there is nothing to write.
            if column.is_null(at) {
                continue;
            }
            let reference = RowRef::decode(column.value(at))?;
            let key = Bytes::copy_from_slice(reference.key);
            if self.spec.targets_repeat && !self.seen.insert(key.clone()) {
                continue;
            }
            let parts = &self.scope.parts;
            if parts.are_several() && !parts.touch(self.spec.tree.tree, &key)? {
                continue;
            }
            targets.push((key, reference.hint));
            kept.push(at as u32);
        }
        if self.spec.targets_repeat {
            self.keep(targets.iter().map(|(key, _)| key.len() + KEPT_OVERHEAD).sum())?;
        }
        let input = if kept.len() == input.num_rows() { input.clone() } else { take(input, kept)? };
        Ok((input, targets))
    }

    /// Puts the newest versions in place of the old images and keeps the rows that still qualify.
    async fn recheck(
        &self,
        input: &RecordBatch,
        targets: &[Target],
        newer: &[NewerRow],
    ) -> Result<(RecordBatch, Vec<Target>)> {
        let before = take(input, newer.iter().map(|row| row.at).collect())?;
        let (input, targets) = self.refreshed(input, targets, newer)?;
        if let Some(rechecker) = &self.spec.recheck {
            let (columns, kept) = rechecker.run(&input, &before).await?;
            let targets = kept.iter().filter_map(|at| targets.get(*at).cloned()).collect();
            let options = RecordBatchOptions::new().with_row_count(Some(kept.len()));
            let input = RecordBatch::try_new_with_options(input.schema(), columns, &options).map_err(from_arrow)?;
            return Ok((input, targets));
        }
        let Some(qualifies) = self.qualifies(&input)? else { return Ok((input, targets)) };
        let keep = |at: usize| qualifies.is_valid(at) && qualifies.value(at);
        let targets = targets.into_iter().enumerate().filter(|(at, _)| keep(*at)).map(|(_, target)| target).collect();
        Ok((filter_record_batch(&input, &qualifies).map_err(from_arrow)?, targets))
    }

    /// What the predicate says of each row; `None`: every row qualifies.
    pub(super) fn qualifies(&self, input: &RecordBatch) -> Result<Option<BooleanArray>> {
        let Some(predicate) = &self.spec.predicate else { return Ok(None) };
        let qualifies = evaluate(predicate, input)?;
        let qualifies = qualifies.as_boolean_opt().ok_or_else(|| Error::internal("a predicate is not boolean"))?;
        Ok(Some(qualifies.clone()))
    }

    /// The rows that have newer versions, with these in place of the old images.
    pub(super) fn refreshed(
        &self,
        input: &RecordBatch,
        targets: &[Target],
        newer: &[NewerRow],
    ) -> Result<(RecordBatch, Vec<Target>)> {
        let input = take(input, newer.iter().map(|row| row.at).collect())?;
        let mut columns = input.columns().to_vec();
        for (at, place) in self.spec.old_row.iter().enumerate() {
            let fresh = self.newest_column(newer, at)?;
            let slot = columns.get_mut(*place).ok_or_else(|| Error::internal("no such input column"))?;
            *slot = fresh;
        }
        let input = RecordBatch::try_new(input.schema(), columns).map_err(from_arrow)?;
        let target = |row: &NewerRow| targets.get(row.at as usize).map(|(key, _)| (key.clone(), row.hint));
        let targets: Vec<Target> = newer.iter().filter_map(target).collect();
        Ok((input, targets))
    }

    /// Column `at` of the table in each newest version, by column id: the version may be of another shape than ours.
    fn newest_column(&self, newer: &[NewerRow], at: usize) -> Result<ArrayRef> {
        let column = self.spec.tree.columns.get(at).ok_or_else(|| Error::internal("no such column"))?;
        let mut values = Vec::with_capacity(newer.len());
        for version in newer {
            let layout = RowLayout::new(&version.descriptor.physical_types());
            let row = RowView::new(&layout, &version.row)?;
            values.push(match version.descriptor.position(column.id) {
                Some(place) if place < row.len() => row.get(place)?.to_owned(),
                _ => column.missing.clone().unwrap_or(heliosdb_types::Datum::Null),
            });
        }
        array_of(column.physical, values.iter().map(heliosdb_types::Datum::as_ref))
    }

    /// Writes rows that are locked and qualify. `targets` are theirs, row by row.
    async fn apply(&mut self, input: &RecordBatch, targets: &[Target]) -> Result<()> {
        let spec = Arc::clone(&self.spec);
        if spec.op == RowWriteOp::Delete {
            self.delete_rows(&spec, input, targets).await?;
            let columns = if spec.returning { spec.old_columns(input)? } else { Vec::new() };
            return self.done(&spec, columns, input);
        }
        let new = self.replace_rows(&spec, spec.evaluate_new_row(input)?, input, targets).await?;
        self.done(&spec, new.columns().to_vec(), input)
    }

    /// Deletes locked rows with their index entries.
    pub(super) async fn delete_rows(
        &mut self,
        spec: &WriteSpec,
        input: &RecordBatch,
        targets: &[Target],
    ) -> Result<()> {
        if spec.looks_at_old_rows() {
            let keys: Vec<Bytes> = targets.iter().map(|(key, _)| key.clone()).collect();
            let old = spec.old_batch(input)?;
            self.indexes.delete(Written { rows: &old, keys: &keys }).await?;
            for reference in &spec.referenced {
                reference.note(&self.scope, &old, None)?;
            }
        }
        self.scope.tier.tally().deleted(spec.table.oid, targets.len());
        let (descriptor, deletes) = (Arc::clone(&spec.tree), targets.to_vec());
        let batch = WriteBatch { descriptor, updates: Vec::new(), deletes };
        self.scope.shard.write(self.txn, self.scope.read.command, batch)
    }

    /// Verifies new rows and puts them in the places of locked ones.
    pub(super) async fn replace_rows(
        &mut self,
        spec: &WriteSpec,
        columns: Vec<ArrayRef>,
        input: &RecordBatch,
        targets: &[Target],
    ) -> Result<RecordBatch> {
        let new = spec.table_batch(columns, input.num_rows())?;
        match (spec.verify(&new, &self.scope.text), &spec.patch) {
            (Err(error), Some(_)) => return Err(self.violation(spec, input, targets, error)),
            (verified, _) => verified?,
        }
        let old = match spec.looks_at_old_rows() {
            true => Some(spec.old_batch(input)?),
            false => None,
        };
        self.update_rows(spec, old.as_ref(), &new, targets).await?;
        Ok(new)
    }

    /// Updates locked rows to verified ones, with their index entries. `old` are the rows before, if anything asks for them.
    pub(super) async fn update_rows(
        &mut self,
        spec: &WriteSpec,
        old: Option<&RecordBatch>,
        new: &RecordBatch,
        targets: &[Target],
    ) -> Result<()> {
        let mut batch = WriteBatch { descriptor: Arc::clone(&spec.tree), updates: Vec::new(), deletes: Vec::new() };
        let keys = match &spec.patch {
            Some(_) => targets.iter().map(|(key, _)| key.clone()).collect(),
            None => self.encode_updates(spec, new.columns(), targets, &mut batch)?,
        };
        self.scope.tier.tally().updated(spec.table.oid, targets.len());
        if self.scope.parts.are_several() {
            self.scope.parts.make(spec.tree.tree, &keys)?;
        }
        if let Some(old) = old {
            let before: Vec<Bytes> = targets.iter().map(|(key, _)| key.clone()).collect();
            let written = Written { rows: new, keys: &keys };
            let kept = self.indexes.update(Written { rows: old, keys: &before }, written)?;
            self.keep(kept)?;
            for reference in &spec.referenced {
                reference.note(&self.scope, old, Some(new))?;
            }
            self.check_parents(spec, written, Some(old)).await?;
        }
        match &spec.patch {
            Some(patch) => self.patch_rows(spec, patch, new, targets),
            None => self.scope.shard.write(self.txn, self.scope.read.command, batch),
        }
    }

    /// Looks for the parents of new rows; of updated ones only where they refer to something else than before.
    pub(super) async fn check_parents(
        &mut self,
        spec: &WriteSpec,
        new: Written<'_>,
        old: Option<&RecordBatch>,
    ) -> Result<()> {
        for (at, foreign) in spec.foreign.iter().enumerate() {
            let which = match old {
                Some(old) => foreign.changed(old, new.rows)?,
                None => (0..new.rows.num_rows()).collect(),
            };
            if which.is_empty() {
                continue;
            }
            if self.scope.references.modes.is_deferred(&foreign.key) {
                foreign.defer(&self.scope, new, &which, false)?;
            } else if self.scope.parts.are_several() {
                foreign.defer(&self.scope, new, &which, true)?;
            } else if foreign.to_itself() {
                self.keep(new.rows.get_array_memory_size())?;
                self.late_checks.push((at, new.rows.clone(), which));
            } else {
                Box::pin(foreign.check(&self.scope, self.txn, new.rows, &which)).await?;
            }
        }
        Ok(())
    }

    /// Returns the rows' new keys.
    fn encode_updates(
        &mut self,
        spec: &WriteSpec,
        columns: &[ArrayRef],
        targets: &[Target],
        batch: &mut WriteBatch,
    ) -> Result<Vec<Bytes>> {
        let mut keys = Vec::with_capacity(targets.len());
        let encoder = RowEncoder { spec, columns };
        let shared: Arc<[ArrayRef]> = columns.into();
        for (at, (key, hint)) in targets.iter().enumerate() {
            let row = encoder.row(at)?;
            match encoder.key(at)? {
                Some(new_key) if new_key != *key => {
                    keys.push(new_key.clone());
                    self.keep(key.len() + new_key.len() + row.len() + KEPT_OVERHEAD)?;
                    let to = KeyedRow { key: new_key, row };
                    self.moved.push(Moved { from: (key.clone(), *hint), to, columns: Arc::clone(&shared), at });
                }
                _ => {
                    keys.push(key.clone());
                    batch.updates.push((KeyedRow { key: key.clone(), row }, *hint));
                }
            }
        }
        Ok(keys)
    }

    pub(super) fn done(&mut self, spec: &WriteSpec, columns: Vec<ArrayRef>, input: &RecordBatch) -> Result<()> {
        self.written += input.num_rows() as u64;
        if spec.returning && input.num_rows() > 0 {
            let batch = spec.output_batch(columns, input)?;
            self.keep(batch.get_array_memory_size())?;
            self.output.push(batch);
        }
        Ok(())
    }

    /// Rows that change their key: the old keys go, the new ones come. A new key that another such row gave up is an
    /// update of that key; what is then still taken is a duplicate.
    pub(super) async fn finish_moves(&mut self) -> Result<()> {
        let moved = std::mem::take(&mut self.moved);
        if moved.is_empty() {
            return Ok(());
        }
        let mut given_up: HashMap<Bytes, RowHint> = moved.iter().map(|m| m.from.clone()).collect();
        let mut batch =
            WriteBatch { descriptor: Arc::clone(&self.spec.tree), updates: Vec::new(), deletes: Vec::new() };
        let (mut rows, mut places) = (Vec::new(), Vec::new());
        let mut taken = HashSet::new();
        for row in &moved {
            if !taken.insert(row.to.key.clone()) {
                return Err(self.spec.duplicate(&row.columns, row.at, &self.scope.text)?);
            }
            match given_up.remove(&row.to.key) {
                Some(hint) => batch.updates.push((row.to.clone(), hint)),
                None => {
                    rows.push(row.to.clone());
                    places.push((Arc::clone(&row.columns), row.at));
                }
            }
        }
        batch.deletes = given_up.into_iter().collect();
        self.scope.shard.write(self.txn, self.scope.read.command, batch)?;
        let place = |index: usize| places.get(index).map_or((&[][..], 0), |(columns, at)| (&columns[..], *at));
        self.add(rows, place).await
    }
}

impl Writer {
    /// Makes changes of keys that waited.
    pub(super) async fn finish_keys(&mut self) -> Result<()> {
        if !self.moved.is_empty() {
            Box::pin(self.finish_moves()).await?;
        }
        self.indexes.finish().await
    }

    /// What waits for the last row.
    pub(crate) async fn finish(&mut self) -> Result<()> {
        self.finish_keys().await?;
        let spec = Arc::clone(&self.spec);
        for new in std::mem::take(&mut self.pending) {
            Box::pin(self.insert_rows(&spec, &new)).await?;
        }
        self.indexes.check_unique().await?;
        for (at, rows, which) in std::mem::take(&mut self.late_checks) {
            if let Some(foreign) = spec.foreign.get(at) {
                Box::pin(foreign.check(&self.scope, self.txn, &rows, &which)).await?;
            }
        }
        Ok(())
    }

    /// What the node gives: RETURNING's rows, or one row with the count.
    pub(crate) fn into_output(self) -> Result<Vec<RecordBatch>> {
        if self.spec.returning {
            return Ok(self.output);
        }
        let written = i64::try_from(self.written).map_err(|_| Error::internal("more rows than a count holds"))?;
        let count: ArrayRef = Arc::new(Int64Array::from(vec![written]));
        Ok(vec![RecordBatch::try_new(Arc::clone(&self.spec.output), vec![count]).map_err(from_arrow)?])
    }
}

/// 40001: somebody changed a row that the transaction's snapshot still shows as it was.
pub(crate) fn concurrent(state: &LockedRow) -> Error {
    let what = if matches!(state, LockedRow::Gone) { "delete" } else { "update" };
    let message = format!("could not serialize access due to concurrent {what}");
    Error::retry(SqlState::SERIALIZATION_FAILURE, message)
}

pub(super) fn take(batch: &RecordBatch, rows: Vec<u32>) -> Result<RecordBatch> {
    take_record_batch(batch, &UInt32Array::from(rows)).map_err(from_arrow)
}

/// Rows of a batch of the table's columns as storage keeps them.
pub(super) struct RowEncoder<'a> {
    pub(super) spec: &'a WriteSpec,
    pub(super) columns: &'a [ArrayRef],
}

impl<'a> RowEncoder<'a> {
    fn value(&self, column: usize, row: usize) -> Result<DatumRef<'a>> {
        let (Some(array), Some(physical)) = (self.columns.get(column), self.spec.types.get(column)) else {
            return Err(Error::internal("a row is narrower than its table"));
        };
        datum_at(array, row, *physical)
    }

    /// `None` with hidden row ids.
    pub(super) fn key(&self, row: usize) -> Result<Option<Bytes>> {
        let Some(columns) = &self.spec.key else { return Ok(None) };
        let mut key = Vec::with_capacity(KEY_BYTES);
        for &column in columns {
            encode_key(&mut key, self.value(column, row)?, false);
        }
        Ok(Some(key.into()))
    }

    pub(super) fn row(&self, row: usize) -> Result<Bytes> {
        row_of(&self.spec.types, (0..self.spec.types.len()).map(|at| self.columns.get(at)), row)
    }
}

/// Row `row` of columns of these types as storage keeps it.
pub(super) fn row_of<'a>(
    types: &[PhysicalType],
    columns: impl Iterator<Item = Option<&'a ArrayRef>>,
    row: usize,
) -> Result<Bytes> {
    let narrow = || Error::internal("a row is narrower than its table");
    let values = types.iter().zip(columns).map(|(physical, array)| datum_at(array.ok_or_else(narrow)?, row, *physical));
    let values = values.collect::<Result<Vec<_>>>()?;
    let bytes = |value: &DatumRef<'_>| match value {
        DatumRef::Text(text) => text.len() + VALUE_BYTES,
        DatumRef::Bytes(bytes) | DatumRef::Numeric(bytes) => bytes.len() + VALUE_BYTES,
        _ => VALUE_BYTES,
    };
    let mut out = Vec::with_capacity(values.iter().map(bytes).sum());
    encode_row(types, &values, &mut out)?;
    Ok(out.into())
}
