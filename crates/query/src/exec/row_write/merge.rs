//! MERGE: what each row of the source does to the target.
//!
//! 1. A row with a target takes the first WHEN MATCHED clause whose condition holds, one without the first WHEN NOT MATCHED.
//! 2. Only a target that is to be updated or deleted is locked. If somebody else changed it meanwhile (READ COMMITTED), ON and the
//!    conditions are looked at again on its newest version: it may take another clause, or none; if it is gone, or ON holds no
//!    more, the row goes on as one that was not matched.
//! 3. No target is written twice: 21000.
//! 4. New rows are inserted at once, unless keys they may want are still to be given up by updates: then at the end.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, BooleanArray, RecordBatch};
use bytes::Bytes;
use datafusion::common::Result as DfResult;
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use heliosdb_contracts::{LockedRow, RowLockMode, RowRef};
use heliosdb_types::{Error, Result, SqlState};

use super::node::{MergeAction, MergeClause};
use super::spec::{WriteSpec, evaluate};
use super::writer::{KEPT_OVERHEAD, NewerRow, Target, Writer, concurrent, take};

/// WHEN clauses with physical expressions.
#[derive(Default)]
pub(crate) struct MergeSpec {
    clauses: Vec<ClauseSpec>,
}

struct ClauseSpec {
    matched: bool,
    condition: Option<Arc<dyn PhysicalExpr>>,
    action: ActionSpec,
}

enum ActionSpec {
    Nothing,
    Delete,
    Update { row: Vec<Arc<dyn PhysicalExpr>>, mode: RowLockMode },
    Insert { row: Vec<Arc<dyn PhysicalExpr>> },
}

impl ActionSpec {
    /// The lock a target needs; `None`: it stays as it is.
    fn mode(&self) -> Option<RowLockMode> {
        match self {
            ActionSpec::Delete => Some(RowLockMode::Update),
            ActionSpec::Update { mode, .. } => Some(*mode),
            ActionSpec::Nothing | ActionSpec::Insert { .. } => None,
        }
    }
}

impl MergeSpec {
    pub(super) fn plan(
        clauses: &[MergeClause],
        spec: &WriteSpec,
        physical: impl Fn(&Expr) -> DfResult<Arc<dyn PhysicalExpr>>,
    ) -> DfResult<MergeSpec> {
        let plan = |clause: &MergeClause| {
            let row = |row: &[Expr]| row.iter().map(&physical).collect::<DfResult<Vec<_>>>();
            let action = match &clause.action {
                MergeAction::Nothing => ActionSpec::Nothing,
                MergeAction::Delete => ActionSpec::Delete,
                MergeAction::Insert(new) => ActionSpec::Insert { row: row(new)? },
                MergeAction::Update(new) => {
                    let row = row(new)?;
                    let kept = |at: &usize| {
                        let column = row.get(*at).and_then(|expr| expr.downcast_ref::<Column>()).map(Column::index);
                        column.is_some() && column == spec.old_row.get(*at).copied()
                    };
                    let kept = spec.referable.iter().all(kept);
                    let mode = if kept { RowLockMode::NoKeyUpdate } else { RowLockMode::Update };
                    ActionSpec::Update { row, mode }
                }
            };
            let condition = clause.condition.as_ref().map(&physical).transpose()?;
            Ok(ClauseSpec { matched: clause.matched, condition, action })
        };
        Ok(MergeSpec { clauses: clauses.iter().map(plan).collect::<DfResult<_>>()? })
    }

    /// The rows each clause takes, by clause.
    fn choose(&self, matched: bool, input: &RecordBatch) -> Result<Vec<(&ActionSpec, Vec<u32>)>> {
        let mut left: Vec<u32> = (0..).take(input.num_rows()).collect();
        let mut chosen = Vec::new();
        for clause in self.clauses.iter().filter(|clause| clause.matched == matched) {
            if left.is_empty() {
                break;
            }
            let Some(condition) = &clause.condition else {
                chosen.push((&clause.action, std::mem::take(&mut left)));
                break;
            };
            // Only what no clause before took: a condition may fail on other rows.
            let holds = evaluate(condition, &take(input, left.clone())?)?;
            let holds = holds.as_boolean_opt().ok_or_else(|| Error::internal("a condition is not boolean"))?;
            let place = left.iter().enumerate();
            let (mut taken, mut rest) = (Vec::new(), Vec::new());
            place.for_each(|(at, row)| if is_true(holds, at) { taken.push(*row) } else { rest.push(*row) });
            left = rest;
            if !taken.is_empty() {
                chosen.push((&clause.action, taken));
            }
        }
        Ok(chosen)
    }
}

fn is_true(values: &BooleanArray, at: usize) -> bool {
    values.is_valid(at) && values.value(at)
}

impl Writer {
    pub(super) async fn merge(&mut self, input: &RecordBatch) -> Result<()> {
        let spec = Arc::clone(&self.spec);
        let column = spec.row_ref.and_then(|at| input.columns().get(at));
        let column = column.and_then(|column| column.as_binary_view_opt());
        let column = column.ok_or_else(|| Error::internal("a write without row references"))?;
        let (mut targets, mut found, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        for (at, row) in (0u32..).zip(0..column.len()) {
            if column.is_null(row) {
                missing.push(at);
                continue;
            }
            let reference = RowRef::decode(column.value(row))?;
            targets.push((Bytes::copy_from_slice(reference.key), reference.hint));
            found.push(at);
        }
        let mut unmatched = vec![take(input, missing)?];
        self.merge_matched(&spec, &take(input, found)?, &targets, &mut unmatched).await?;
        for rows in unmatched.iter().filter(|rows| rows.num_rows() > 0) {
            self.merge_unmatched(&spec, rows).await?;
        }
        Ok(())
    }

    /// Rows with targets; those that turn out to have none are added to `unmatched`.
    async fn merge_matched(
        &mut self,
        spec: &WriteSpec,
        input: &RecordBatch,
        targets: &[Target],
        unmatched: &mut Vec<RecordBatch>,
    ) -> Result<()> {
        for (action, rows) in spec.merge.choose(true, input)? {
            let Some(mode) = action.mode() else { continue };
            let (input, targets) = some_rows(input, targets, rows)?;
            let scope = Arc::clone(&self.scope);
            let keys = targets.iter().map(|(key, _)| key.clone()).collect();
            let tree = spec.tree.tree;
            let locked = scope.shard.lock_rows(&scope.read, tree, keys, mode, scope.lock_wait).await?;
            let (mut unchanged, mut gone, mut newer) = (Vec::new(), Vec::new(), Vec::new());
            for ((at, state), (key, _)) in (0u32..).zip(locked).zip(&targets) {
                // A row this statement has deleted is not gone: it must not come again.
                let own = self.seen.contains(key) || scope.parts.is_touched(tree, key);
                match state {
                    _ if own => unchanged.push(at),
                    LockedRow::Unchanged => unchanged.push(at),
                    LockedRow::Busy => return Err(Error::internal("a write does not skip locked rows")),
                    state if scope.read.isolation.keeps_snapshot() => return Err(concurrent(&state)),
                    LockedRow::Gone => gone.push(at),
                    LockedRow::Newer { row, descriptor, hint } => newer.push(NewerRow { at, row, descriptor, hint }),
                }
            }
            let (same, own) = some_rows(&input, &targets, unchanged)?;
            self.act(spec, action, &same, &own).await?;
            unmatched.push(take(&input, gone)?);
            if !newer.is_empty() {
                let (fresh, own) = self.refreshed(&input, &targets, &newer)?;
                self.merge_changed(spec, mode, &fresh, &own, unmatched).await?;
            }
        }
        Ok(())
    }

    /// Rows whose targets, locked now, have changed since the snapshot. `held`: how they are locked.
    async fn merge_changed(
        &mut self,
        spec: &WriteSpec,
        held: RowLockMode,
        input: &RecordBatch,
        targets: &[Target],
        unmatched: &mut Vec<RecordBatch>,
    ) -> Result<()> {
        let (input, targets) = match self.qualifies(input)? {
            None => (input.clone(), targets.to_vec()),
            Some(on) => {
                let (still, no_more): (Vec<u32>, Vec<u32>) =
                    (0u32..).take(input.num_rows()).partition(|at| is_true(&on, *at as usize));
                unmatched.push(take(input, no_more)?);
                some_rows(input, targets, still)?
            }
        };
        for (action, rows) in spec.merge.choose(true, &input)? {
            let Some(mode) = action.mode() else { continue };
            let (input, targets) = some_rows(&input, &targets, rows)?;
            if mode > held {
                // Nobody could change them since: they are what they are, however often one asks.
                let scope = Arc::clone(&self.scope);
                let keys = targets.iter().map(|(key, _)| key.clone()).collect();
                scope.shard.lock_rows(&scope.read, spec.tree.tree, keys, mode, scope.lock_wait).await?;
            }
            self.act(spec, action, &input, &targets).await?;
        }
        Ok(())
    }

    /// Updates or deletes locked targets.
    async fn act(
        &mut self,
        spec: &WriteSpec,
        action: &ActionSpec,
        input: &RecordBatch,
        targets: &[Target],
    ) -> Result<()> {
        if targets.is_empty() {
            return Ok(());
        }
        for (key, _) in targets {
            let parts = &self.scope.parts;
            let first = self.seen.insert(key.clone());
            if !first || (parts.are_several() && !parts.touch(spec.tree.tree, key)?) {
                let message = "MERGE command cannot affect row a second time";
                return Err(Error::invalid(SqlState::CARDINALITY_VIOLATION, message)
                    .with_hint("Ensure that not more than one source row matches any one target row."));
            }
        }
        self.keep(targets.iter().map(|(key, _)| key.len() + KEPT_OVERHEAD).sum())?;
        match action {
            ActionSpec::Delete => self.delete_rows(spec, input, targets).await?,
            ActionSpec::Update { row, .. } => {
                let columns = row.iter().map(|expr| evaluate(expr, input)).collect::<Result<Vec<_>>>()?;
                self.replace_rows(spec, columns, input, targets).await?;
            }
            ActionSpec::Nothing | ActionSpec::Insert { .. } => {
                return Err(Error::internal("a WHEN MATCHED clause without an action"));
            }
        }
        self.done(spec, Vec::new(), input)
    }

    async fn merge_unmatched(&mut self, spec: &WriteSpec, input: &RecordBatch) -> Result<()> {
        for (action, rows) in spec.merge.choose(false, input)? {
            let ActionSpec::Insert { row } = action else { continue };
            let input = take(input, rows)?;
            let columns = row.iter().map(|expr| evaluate(expr, &input)).collect::<Result<Vec<_>>>()?;
            let new = spec.table_batch(columns, input.num_rows())?;
            spec.verify(&new, &self.scope.text)?;
            if self.moved.is_empty() && !self.indexes.waits() {
                self.insert_rows(spec, &new).await?;
            } else {
                self.keep(new.get_array_memory_size())?;
                self.pending.push(new);
            }
            self.done(spec, Vec::new(), &input)?;
        }
        Ok(())
    }
}

fn some_rows(input: &RecordBatch, targets: &[Target], rows: Vec<u32>) -> Result<(RecordBatch, Vec<Target>)> {
    if rows.len() == input.num_rows() {
        return Ok((input.clone(), targets.to_vec()));
    }
    let own = rows.iter().filter_map(|at| targets.get(*at as usize).cloned()).collect();
    Ok((take(input, rows)?, own))
}
