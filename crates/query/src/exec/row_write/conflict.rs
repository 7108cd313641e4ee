//! INSERT ... ON CONFLICT, row by row.
//!
//! 1. Whoever has the row's key now is looked for without a lock. If nobody has, the key is claimed: the lock is kept only if it
//!    is still free, so nobody else can take it, and the row is inserted.
//! 2. If a row has it, that row is locked as an UPDATE locks it, and must have the key still; then it is updated from its newest
//!    version, whatever the snapshot saw. Nothing of the index is locked while the row is waited for, so an UPDATE of the key and
//!    an upsert do not wait for each other.
//! 3. Whatever changed in between begins the row again. Each turn waits for somebody else's end, so turns end.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{Field, Schema, SchemaRef};
use bytes::Bytes;
use datafusion::common::{DFSchema, Result as DfResult};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::collect;
use heliosdb_contracts::{IsolationLevel, LockedRow, RowHint, RowLockMode, RowSink};
use heliosdb_types::{ColumnId, DatumRef, Error, PhysicalType, Result, SqlState, TreeRef};

use super::node::{Arbiter, ConflictProgram, ConflictWrite};
use super::spec::{WriteSpec, evaluate};
use super::writer::{RowEncoder, Writer};
use crate::exec::arrays::array_of;
use crate::exec::error::{from_arrow, from_datafusion, to_datafusion};
use crate::exec::foreign::FirstBytes;
use crate::exec::index::ENTRY_ROW;
use crate::exec::parts::as_given;

/// [`ConflictWrite`] with physical expressions.
pub(crate) struct ConflictSpec {
    arbiters: Vec<Arbiter>,
    update: Option<UpdateSpec>,
}

struct UpdateSpec {
    predicate: Option<Arc<dyn PhysicalExpr>>,
    new_row: Vec<Arc<dyn PhysicalExpr>>,
    schema: SchemaRef,
    mode: RowLockMode,
    program: Option<(ConflictProgram, SessionState)>,
}

impl ConflictSpec {
    /// `referable`: columns whose change needs the strong row lock.
    pub(super) fn plan(
        conflict: &ConflictWrite,
        referable: &[usize],
        session: Option<&SessionState>,
        physical: impl Fn(&Expr, &DFSchema) -> DfResult<Arc<dyn PhysicalExpr>>,
    ) -> DfResult<ConflictSpec> {
        let update = match &conflict.update {
            None => None,
            Some(update) => {
                let over = |expr: &Expr| physical(expr, &update.schema);
                let new_row = update.new_row.iter().map(over).collect::<DfResult<Vec<_>>>()?;
                let kept = |at: &usize| {
                    let expr = new_row.get(*at).and_then(|expr| expr.downcast_ref::<Column>());
                    expr.is_some_and(|column| column.index() == *at)
                };
                let program = match (&update.program, session) {
                    (None, _) => None,
                    (Some(program), Some(session)) => Some((program.clone(), session.clone())),
                    (Some(_), None) => return Err(to_datafusion(Error::internal("a program without a session"))),
                };
                let mode = if referable.iter().all(kept) { RowLockMode::NoKeyUpdate } else { RowLockMode::Update };
                // By position: both halves have the same names.
                let fields = update.schema.fields().iter().map(|field| Field::new("", field.data_type().clone(), true));
                Some(UpdateSpec {
                    predicate: update.predicate.as_ref().map(over).transpose()?,
                    schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
                    new_row,
                    mode,
                    program,
                })
            }
        };
        Ok(ConflictSpec { arbiters: conflict.arbiters.clone(), update })
    }
}

/// A key the new row must not share.
struct Key {
    tree: TreeRef,
    key: Bytes,
    primary: bool,
}

/// What became of one row.
enum Turn {
    Inserted,
    Skipped,
    /// As it was updated to.
    Updated(RecordBatch),
    Again,
}

impl Writer {
    pub(super) async fn upsert(&mut self, input: &RecordBatch) -> Result<()> {
        let spec = Arc::clone(&self.spec);
        let columns = spec.evaluate_new_row(input)?;
        let new = spec.table_batch(columns, input.num_rows())?;
        spec.verify(&new, &self.scope.text)?;
        for at in 0..new.num_rows() {
            let (row, from) = (new.slice(at, 1), input.slice(at, 1));
            loop {
                self.scope.cancel.check()?;
                match self.upsert_row(&spec, &row).await? {
                    Turn::Again => {}
                    Turn::Skipped => break,
                    Turn::Inserted => {
                        self.done(&spec, row.columns().to_vec(), &from)?;
                        break;
                    }
                    Turn::Updated(updated) => {
                        self.done(&spec, updated.columns().to_vec(), &from)?;
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    async fn upsert_row(&mut self, spec: &WriteSpec, row: &RecordBatch) -> Result<Turn> {
        let conflict = spec.conflict.as_ref().ok_or_else(|| Error::internal("an upsert without ON CONFLICT"))?;
        let keys = self.arbiter_keys(spec, conflict, row)?;
        for key in &keys {
            if let Some(holder) = self.holder(key)? {
                return match &conflict.update {
                    None => self.skip(spec, &holder),
                    Some(update) => self.update_holder(spec, update, key, holder, row).await,
                };
            }
        }
        let scope = Arc::clone(&self.scope);
        for key in &keys {
            if !scope.shard.claim(self.txn, key.tree, key.key.clone(), scope.lock_wait).await? {
                return Ok(Turn::Again);
            }
        }
        let inserted = self.insert_rows(spec, row).await?;
        if scope.parts.are_several() {
            scope.parts.make(spec.tree.tree, &inserted)?;
        }
        if conflict.update.is_some() {
            self.keep(inserted.iter().map(|key| key.len() + 64).sum())?;
            self.seen.extend(inserted);
        }
        Ok(Turn::Inserted)
    }

    fn arbiter_keys(&self, spec: &WriteSpec, conflict: &ConflictSpec, row: &RecordBatch) -> Result<Vec<Key>> {
        let mut keys = Vec::with_capacity(conflict.arbiters.len());
        for arbiter in &conflict.arbiters {
            match arbiter {
                Arbiter::PrimaryKey => {
                    let key = RowEncoder { spec, columns: row.columns() }.key(0)?;
                    let key = key.ok_or_else(|| Error::internal("an arbiter that is not there"))?;
                    keys.push(Key { tree: spec.tree.tree, key, primary: true });
                }
                Arbiter::Index(oid) => {
                    let index = spec
                        .indexes
                        .iter()
                        .find(|index| index.info.oid == *oid)
                        .ok_or_else(|| Error::internal("an arbiter that is not there"))?;
                    // Not in a partial index, or with a NULL: then it conflicts with nothing.
                    if let Some(Some(entry)) = index.entries(row)?.first()
                        && entry.alone
                    {
                        keys.push(Key { tree: index.tree.tree, key: entry.tree_key(&[]), primary: false });
                    }
                }
            }
        }
        Ok(keys)
    }

    /// The key of the row that has a key now.
    fn holder(&self, key: &Key) -> Result<Option<Bytes>> {
        let mut row = FirstBytes(None);
        if key.primary {
            let found = self.scope.shard.newest(self.txn, key.tree, &key.key, &[], &mut row)?;
            return Ok(found.then(|| key.key.clone()));
        }
        let found = self.scope.shard.newest(self.txn, key.tree, &key.key, &[ENTRY_ROW], &mut row)?;
        Ok(row.0.filter(|_| found))
    }

    /// DO NOTHING; under REPEATABLE READ only about a row that the snapshot sees.
    fn skip(&self, spec: &WriteSpec, holder: &Bytes) -> Result<Turn> {
        if self.scope.read.isolation != IsolationLevel::ReadCommitted {
            let mut context = self.scope.read.clone();
            // What this command has inserted counts as seen.
            context.command = heliosdb_types::CommandId(u32::MAX);
            let mut sink = FirstBytes(None);
            if !self.scope.shard.get(&context, spec.tree.tree, holder, &[], &mut sink)? {
                return Err(concurrent_update());
            }
        }
        Ok(Turn::Skipped)
    }

    /// The new row for the two rows; `None` if WHERE does not let it be updated.
    async fn updated(&self, update: &UpdateSpec, both: &RecordBatch) -> Result<Option<Vec<ArrayRef>>> {
        let is_wanted = |wanted: &ArrayRef| {
            let wanted = wanted.as_boolean_opt().ok_or_else(|| Error::internal("a predicate is not boolean"))?;
            Ok::<_, Error>(wanted.len() == 1 && wanted.is_valid(0) && wanted.value(0))
        };
        if let Some((program, session)) = &update.program {
            self.scope.parts.give(program.number, vec![as_given(both, &program.schema)?], None);
            let plan = session.create_physical_plan(&program.plan).await.map_err(from_datafusion)?;
            let batches = collect(plan, session.task_ctx()).await.map_err(from_datafusion)?;
            let row = batches.iter().find(|batch| batch.num_rows() > 0);
            let row =
                row.filter(|row| row.num_rows() == 1).ok_or_else(|| Error::internal("not one row of DO UPDATE"))?;
            let Some((wanted, new)) = row.columns().split_first() else {
                return Err(Error::internal("DO UPDATE gave no columns"));
            };
            return Ok(is_wanted(wanted)?.then(|| new.to_vec()));
        }
        if let Some(predicate) = &update.predicate
            && !is_wanted(&evaluate(predicate, both)?)?
        {
            return Ok(None);
        }
        update.new_row.iter().map(|expr| evaluate(expr, both)).collect::<Result<Vec<_>>>().map(Some)
    }

    async fn update_holder(
        &mut self,
        spec: &WriteSpec,
        update: &UpdateSpec,
        key: &Key,
        holder: Bytes,
        row: &RecordBatch,
    ) -> Result<Turn> {
        if self.seen.contains(&holder) || self.scope.parts.is_made(spec.tree.tree, &holder) {
            let message = "ON CONFLICT DO UPDATE command cannot affect row a second time";
            return Err(Error::invalid(SqlState::CARDINALITY_VIOLATION, message).with_hint(
                "Ensure that no rows proposed for insertion within the same command have duplicate constrained values.",
            ));
        }
        let scope = Arc::clone(&self.scope);
        let tree = spec.tree.tree;
        let keys = vec![holder.clone()];
        let locked = scope.shard.lock_rows(&scope.read, tree, keys, update.mode, scope.lock_wait).await?;
        match locked.first() {
            Some(LockedRow::Unchanged) => {}
            Some(LockedRow::Gone) | None => return Ok(Turn::Again),
            Some(_) if scope.read.isolation != IsolationLevel::ReadCommitted => return Err(concurrent_update()),
            Some(_) => {}
        }
        if self.holder(key)?.as_ref() != Some(&holder) {
            return Ok(Turn::Again);
        }
        let ids: Vec<ColumnId> = spec.tree.columns.iter().map(|column| column.id).collect();
        let mut there = TheRow { types: &spec.types, columns: Vec::new(), hint: RowHint::default() };
        if !scope.shard.newest(self.txn, tree, &holder, &ids, &mut there)? {
            return Ok(Turn::Again);
        }
        let TheRow { columns, hint, .. } = there;
        let both: Vec<ArrayRef> = columns.iter().chain(row.columns()).cloned().collect();
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let both = RecordBatch::try_new_with_options(Arc::clone(&update.schema), both, &options).map_err(from_arrow)?;
        let Some(new) = self.updated(update, &both).await? else { return Ok(Turn::Skipped) };
        let new = spec.table_batch(new, 1)?;
        spec.verify(&new, &scope.text)?;
        let old = RecordBatch::try_new_with_options(Arc::clone(&spec.table_schema), columns, &options);
        let old = old.map_err(from_arrow)?;
        if scope.parts.are_several() {
            scope.parts.touch(tree, &holder)?;
        }
        self.update_rows(spec, Some(&old), &new, &[(holder.clone(), hint)]).await?;
        // Later rows of the statement must meet this one under its new keys.
        self.finish_keys().await?;
        self.keep(holder.len() + 64)?;
        self.seen.insert(RowEncoder { spec, columns: new.columns() }.key(0)?.unwrap_or(holder));
        Ok(Turn::Updated(new))
    }
}

fn concurrent_update() -> Error {
    Error::retry(SqlState::SERIALIZATION_FAILURE, "could not serialize access due to concurrent update")
}

/// Takes one row as arrays.
struct TheRow<'a> {
    types: &'a [PhysicalType],
    columns: Vec<ArrayRef>,
    hint: RowHint,
}

impl RowSink for TheRow<'_> {
    fn row(&mut self, values: &[DatumRef<'_>], reference: RowHint) -> Result<()> {
        let columns = values.iter().zip(self.types).map(|(value, physical)| array_of(*physical, [*value]));
        self.columns = columns.collect::<Result<_>>()?;
        self.hint = reference;
        Ok(())
    }
}
