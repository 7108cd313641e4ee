//! The short path: a statement about few rows that a key names, or about values it brings along, runs on the session's own task.
//!
//! Eligible is a chain of projections, filters, orders, limits, whole-table aggregates and at most one write over a single leaf:
//! literal rows, or a table whose primary key or index the filter fixes, or the first columns of one, or the first rows of a table by a
//! key, or a small table, or an inner join of such rows with a table that a key of it finds the rows of. Such a chain needs no
//! optimiser, no physical planner and no other thread. Its expressions are the same physical expressions over one small batch, its
//! writes the same writer, so both paths answer alike; whatever does not fit exactly takes the full path.
//!
//! A statement is compiled once, with [`parameters`](super::parameters) where its values will be; only if that is not possible
//! (`LIMIT $1`) each execution compiles anew with its values in place.

mod aggregate;
mod call;
mod compile;
mod found;
mod join;
mod key;
mod needed;
mod order;
mod point;
mod range;
mod shape;
mod step;

#[cfg(test)]
mod test;

use std::cell::Cell;
use std::sync::Arc;

use arrow_array::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{ColumnarValue, LogicalPlan};
use datafusion::physical_expr::PhysicalExpr;
use heliosdb_contracts::ShardClient;
use heliosdb_types::{Datum, Error, Result, SqlType};

pub(super) use self::call::CallExpr;
use self::compile::Compiler;
use self::found::FoundRows;
use self::join::JoinRows;
use self::point::Point;
use self::range::RangeRows;
use self::step::{Step, assemble};
use super::error::from_datafusion;
use super::lock_rows::Locker;
use super::parameters::{Parameters, Slots, Turn};
use super::row_write::Writer;
use super::scope::StatementScope;

/// A statement ready to run on the session's task, as often as wanted.
pub(super) struct Direct {
    leaf: Leaf,
    steps: Vec<Step>,
    parameters: Parameters,
}

enum Leaf {
    /// Evaluated when the statement runs, cell by cell.
    Rows(Vec<Vec<Arc<dyn PhysicalExpr>>>),
    Point(Point),
    /// Rows next to each other in the order of a key, if they turn out to be few.
    Range(RangeRows),
    /// Few rows an index names, known when the statement was compiled.
    Found(FoundRows),
    /// Rows of a leaf with those a key finds for each of them.
    Join(JoinRows),
}

impl Leaf {
    /// Whether it holds what a snapshot sees.
    fn is_readable(&self, scope: &StatementScope) -> bool {
        let readable_from = match self {
            Leaf::Point(point) => point.readable_from,
            Leaf::Range(range) => range.readable_from(),
            Leaf::Join(join) => return join.is_readable(scope),
            Leaf::Rows(_) | Leaf::Found(_) => return true,
        };
        scope.read.snapshot.ts >= readable_from
    }

    /// Whether its tables are as small as it is meant for.
    fn suits(&self, shard: &dyn ShardClient) -> bool {
        match self {
            Leaf::Range(range) => range.suits(shard),
            Leaf::Join(join) => join.suits(shard),
            Leaf::Rows(_) | Leaf::Point(_) | Leaf::Found(_) => true,
        }
    }
}

impl Direct {
    /// `None`: not eligible.
    pub(super) fn compile(plan: &LogicalPlan, session: &SessionState) -> Result<Option<Direct>> {
        Direct::compile_or_why(plan, session).map(std::result::Result::ok)
    }

    /// The same, or why it is not eligible.
    pub(super) fn compile_or_why(
        plan: &LogicalPlan,
        session: &SessionState,
    ) -> Result<std::result::Result<Direct, &'static str>> {
        let mut steps = Vec::new();
        let compiler = Compiler {
            session,
            slots: Slots::default(),
            joins: Cell::new(true),
            costly: Cell::new(false),
            why: Cell::new(None),
        };
        let leaf = compiler.node(plan, &mut Vec::new(), &mut steps).map_err(from_datafusion)?;
        let Some(mut leaf) = leaf else { return Ok(Err(compiler.why.get().unwrap_or("a value has no type yet"))) };
        order::sink_order(&mut leaf, &mut steps);
        if let Leaf::Range(range) = &mut leaf {
            // Compiled for one execution, it must be known how many rows there are.
            if !StatementScope::of(session.config()).map_or(true, |scope| range.settle(&scope)) {
                return Ok(Err("it may read many rows"));
            }
            if compiler.costly.get() && range.is_open() {
                return Ok(Err("it may make much of each row of a table, or take long for it"));
            }
        }
        leaf.read_only(&needed::needed_by(&steps, None));
        leaf.pick_columns(&mut steps);
        Ok(Ok(Direct { leaf, steps, parameters: compiler.slots.finish() }))
    }

    /// Whether it is about few rows, as far as that can be known without reading them.
    pub(super) fn suits(&self, shard: &dyn ShardClient) -> bool {
        self.leaf.suits(shard)
    }

    /// `None`: it is running already, or was not compiled for so old a snapshot.
    pub(super) fn take_turn(
        &self,
        parameters: &[Datum],
        types: &[SqlType],
        scope: &StatementScope,
    ) -> Result<Option<Turn>> {
        if !self.leaf.is_readable(scope) {
            return Ok(None);
        }
        self.parameters.take_turn(parameters, types, scope.now_micros)
    }

    /// `None`: it is about more rows than it was meant for, and has done nothing.
    pub(super) async fn run(&self, turn: Turn, scope: &Arc<StatementScope>) -> Result<Option<Vec<RecordBatch>>> {
        scope.cancel.check()?;
        let Some(mut batches) = self.leaf.read(&turn, scope)? else { return Ok(None) };
        for step in &self.steps {
            batches = match step {
                Step::Write(spec) => {
                    let mut writer = Writer::new(Arc::clone(spec), Arc::clone(scope))?;
                    for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
                        writer.batch(batch).await?;
                    }
                    writer.finish().await?;
                    writer.into_output()?
                }
                Step::Lock(spec) => {
                    let mut locker = Locker::new(Arc::clone(spec), Arc::clone(scope))?;
                    let mut locked = Vec::new();
                    for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
                        locked.extend(locker.batch(batch).await?);
                    }
                    locked
                }
                step => step.apply(&batches)?,
            };
        }
        batches.retain(|batch| batch.num_rows() > 0);
        Ok(Some(batches))
    }
}

fn literal_rows(rows: &[Vec<Arc<dyn PhysicalExpr>>]) -> Result<RecordBatch> {
    let nothing = assemble(Vec::new(), 1)?;
    let width = rows.first().map_or(0, Vec::len);
    let mut columns = Vec::with_capacity(width);
    for at in 0..width {
        let cell = |row: &Vec<Arc<dyn PhysicalExpr>>| {
            let expr = row.get(at).ok_or_else(|| Error::internal("VALUES rows of different widths"))?;
            match expr.evaluate(&nothing).map_err(from_datafusion)? {
                ColumnarValue::Scalar(value) => Ok(value),
                ColumnarValue::Array(array) => ScalarValue::try_from_array(&array, 0).map_err(from_datafusion),
            }
        };
        let cells = rows.iter().map(cell).collect::<Result<Vec<_>>>()?;
        columns.push(ScalarValue::iter_to_array(cells).map_err(from_datafusion)?);
    }
    assemble(columns, rows.len())
}
