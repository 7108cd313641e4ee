//! Updates that leave columns as they are: only the others are encoded, and only what something looks at is read.
//!
//! 1. Such an update keeps the row's key, and no column is generated.
//! 2. Of indexes and foreign keys those stay that the new values may concern; what the others hold is as it was.
//! 3. A column that nothing looks at is NULL in the rows that are written. Only where a row is shown in an error, it is read after all.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Field, Schema};
use datafusion::physical_expr::expressions::Column;
use heliosdb_contracts::{KeyedRow, PatchBatch, RowHint, RowSink};
use heliosdb_types::{ColumnId, Datum, DatumRef, Error, PhysicalType, Result};

use super::node::RowWriteOp;
use super::spec::WriteSpec;
use super::writer::{Target, Writer, row_of};
use crate::exec::arrays::array_of;
use crate::exec::error::from_arrow;
use crate::exec::places::add_places;

/// The columns an update changes.
pub(crate) struct Patch {
    /// Positions in the table's columns, ascending.
    columns: Arc<[usize]>,
    types: Vec<PhysicalType>,
}

impl Patch {
    pub fn changes(&self, column: usize) -> bool {
        self.columns.binary_search(&column).is_ok()
    }
}

impl WriteSpec {
    /// For input that lacks what nothing looks at ([`WriteSpec::places`]).
    pub fn make_frugal(&mut self) {
        let nullable = |field: &Arc<Field>| Field::clone(field).with_nullable(true);
        self.output = Arc::new(Schema::new(self.output.fields().iter().map(nullable).collect::<Vec<_>>()));
        self.write_changes_only();
    }

    /// Makes an update write no more than the columns it changes, if its expressions say which these are.
    fn write_changes_only(&mut self) {
        if self.op != RowWriteOp::Update || !self.generated.is_empty() || self.recheck.is_some() {
            return;
        }
        let is_kept = |at: usize| {
            let column = self.new_row.get(at).and_then(|expr| expr.downcast_ref::<Column>()).map(Column::index);
            column.is_some() && column == self.old_row.get(at).copied()
        };
        let columns: Vec<usize> = (0..self.new_row.len()).filter(|at| !is_kept(*at)).collect();
        let moves = self.key.iter().flatten().any(|at| columns.contains(at));
        let types = columns.iter().map(|at| self.types.get(*at).copied()).collect::<Option<Vec<_>>>();
        let Some(types) = types.filter(|_| !moves && columns.len() < self.new_row.len()) else { return };
        let concerns = |places: &[usize]| places.iter().any(|at| columns.contains(at));
        self.foreign.retain(|foreign| concerns(foreign.positions()));
        self.referenced.retain(|reference| concerns(reference.positions()));
        // One that is not complete may lack the row's entry.
        let indexes = self.indexes.iter();
        let indexes =
            indexes.filter(|index| !index.info.state.is_valid() || index.places().any(|at| columns.contains(&at)));
        self.indexes = indexes.cloned().collect();
        self.patch = Some(Patch { columns: columns.into(), types });
    }

    /// The places in the input that the write looks at, where of its outcome `after` is looked at; `None`: all of them.
    pub fn places(&self, after: Option<&BTreeSet<usize>>) -> Option<BTreeSet<usize>> {
        let update = self.op == RowWriteOp::Update && self.patch.is_some();
        if !update && (self.op != RowWriteOp::Delete || self.recheck.is_some()) {
            return None;
        }
        let mut places: BTreeSet<usize> = self.row_ref.into_iter().collect();
        self.predicate.iter().for_each(|predicate| add_places(predicate, &mut places));
        // Columns of the table, as it was.
        let mut columns = BTreeSet::new();
        if let Some(patch) = &self.patch {
            patch.columns.iter().filter_map(|at| self.new_row.get(*at)).for_each(|expr| add_places(expr, &mut places));
            self.checks.iter().for_each(|(_, check)| add_places(check, &mut columns));
            columns.extend(self.foreign.iter().flat_map(|foreign| foreign.positions()));
            // Whether they change decides how the row is locked.
            columns.extend(self.referable.iter().filter(|at| patch.changes(**at)));
        }
        columns.extend(self.indexes.iter().flat_map(|index| index.places()));
        columns.extend(self.referenced.iter().flat_map(|reference| reference.positions()));
        if self.returning {
            let all = 0..self.old_row.len() + self.carried.len();
            for at in all.filter(|at| after.is_none_or(|after| after.contains(at))) {
                match at.checked_sub(self.old_row.len()) {
                    None => _ = columns.insert(at),
                    Some(at) => places.extend(self.carried.get(at)),
                }
            }
        }
        places.extend(columns.iter().filter_map(|at| self.old_row.get(*at)));
        Some(places)
    }
}

impl Writer {
    /// Stages changes of rows whose new columns are `new`.
    pub(super) fn patch_rows(
        &self,
        spec: &WriteSpec,
        patch: &Patch,
        new: &RecordBatch,
        targets: &[Target],
    ) -> Result<()> {
        let mut rows = Vec::with_capacity(targets.len());
        for (at, (key, hint)) in targets.iter().enumerate() {
            let row = row_of(&patch.types, patch.columns.iter().map(|at| new.columns().get(*at)), at)?;
            rows.push((KeyedRow { key: key.clone(), row }, *hint));
        }
        let (descriptor, columns) = (Arc::clone(&spec.tree), Arc::clone(&patch.columns));
        self.scope.shard.patch(self.txn, self.scope.read.command, PatchBatch { descriptor, columns, rows })
    }

    /// The error of new rows that do not hold, with the columns in it that were not read.
    pub(super) fn violation(&self, spec: &WriteSpec, input: &RecordBatch, targets: &[Target], error: Error) -> Error {
        let whole = || {
            let columns: Vec<ColumnId> = spec.tree.columns.iter().map(|column| column.id).collect();
            let mut rows = Vec::with_capacity(targets.len());
            for (key, _) in targets {
                self.scope.shard.newest(self.txn, spec.tree.tree, key, &columns, &mut Collect(&mut rows))?;
            }
            let mut columns = input.columns().to_vec();
            for (at, (place, physical)) in spec.old_row.iter().zip(&spec.types).enumerate() {
                let values = rows.iter().map(|row| row.get(at).map_or(DatumRef::Null, Datum::as_ref));
                let slot = columns.get_mut(*place).ok_or_else(|| Error::internal("no such input column"))?;
                *slot = array_of(*physical, values)?;
            }
            let input = RecordBatch::try_new(input.schema(), columns).map_err(from_arrow)?;
            let new = spec.table_batch(spec.evaluate_new_row(&input)?, input.num_rows())?;
            spec.verify(&new, &self.scope.text)
        };
        whole().err().unwrap_or(error)
    }
}

struct Collect<'a>(&'a mut Vec<Vec<Datum>>);

impl RowSink for Collect<'_> {
    fn row(&mut self, values: &[DatumRef<'_>], _: RowHint) -> Result<()> {
        self.0.push(values.iter().map(|value| value.to_owned()).collect());
        Ok(())
    }
}
