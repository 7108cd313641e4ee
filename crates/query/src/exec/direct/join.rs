//! Rows of one leaf, each with the rows of a table that a key finds for it: the nested loop of `FROM lines JOIN items ON id = item`.
//!
//! The table's key is fixed by values of the outer row, which travel in slots like parameters: the inner read is the read of a
//! statement of its own, made once for each outer row. Eligible is an inner join one of whose sides a statement of its own could read
//! here, if an equality with that side fixes the first columns of a key of the other.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, UInt32Array};
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, JoinType, NullEquality, Result as DfResult, ScalarValue};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Join, LogicalPlan, Operator, Volatility};
use datafusion::physical_expr::PhysicalExpr;
use heliosdb_contracts::ShardClient;
use heliosdb_types::Result;

use super::Leaf;
use super::compile::{Compiler, Condition, simple};
use super::needed::needed_by;
use super::point::{Point, point};
use super::range::{RangeRows, range};
use super::shape::{RowShape, Rows};
use super::step::{Step, assemble, evaluate};
use crate::exec::error::{from_arrow, from_datafusion};
use crate::exec::parameters::{Turn, slot_of};
use crate::exec::places::add_places;
use crate::exec::scope::StatementScope;

/// As many outer rows are looked up for: a look-up is far less than a plan for all of them.
const OUTER_MAX: usize = 512;
/// More joined rows than this are the analytics pool's work.
const JOINED_MAX: usize = 2_048;

pub(super) struct JoinRows {
    outer: Box<Leaf>,
    steps: Vec<Step>,
    /// What goes from an outer row into which slot.
    looked_up: Vec<(usize, Arc<dyn PhysicalExpr>)>,
    inner: Inner,
    /// The outer row's columns come first.
    outer_first: bool,
    /// How many columns the side has that comes first.
    first_width: usize,
}

enum Inner {
    Point(Point),
    Range(RangeRows),
}

impl Inner {
    fn shape(&self) -> &RowShape {
        match self {
            Inner::Point(point) => point.shape(),
            Inner::Range(range) => range.shape(),
        }
    }

    fn read_into(&self, turn: &Turn, scope: &StatementScope, rows: &mut Rows<'_>) -> Result<bool> {
        match self {
            Inner::Point(point) => point.read_into(turn, scope, rows).map(|()| true),
            Inner::Range(range) => range.read_into(turn, scope, rows),
        }
    }

    fn count(&self, scope: &StatementScope, reads: usize, found: usize) {
        match self {
            Inner::Point(point) => point.count(scope, reads as i64, found),
            Inner::Range(range) => range.count(scope, reads as i64, found),
        }
    }
}

impl JoinRows {
    pub fn is_readable(&self, scope: &StatementScope) -> bool {
        let inner = match &self.inner {
            Inner::Point(point) => point.readable_from,
            Inner::Range(range) => range.readable_from(),
        };
        scope.read.snapshot.ts >= inner && self.outer.is_readable(scope)
    }

    /// Whether the outer rows are few, as far as that can be known without reading them.
    pub fn suits(&self, shard: &dyn ShardClient) -> bool {
        self.outer.suits(shard)
    }

    /// Reads what is needed of the joined rows, and for joining them.
    pub fn read_only(&mut self, needed: &BTreeSet<usize>) {
        let first: BTreeSet<usize> = needed.range(..self.first_width).copied().collect();
        let second = needed.range(self.first_width..).map(|at| at - self.first_width).collect();
        let (mut outer, inner) = if self.outer_first { (first, second) } else { (second, first) };
        match &mut self.inner {
            Inner::Point(point) => point.shape_mut().read_only(&inner),
            Inner::Range(range) => range.shape_mut().read_only(&inner),
        }
        self.looked_up.iter().for_each(|(_, expr)| add_places(expr, &mut outer));
        self.outer.read_only(&needed_by(&self.steps, Some(outer)));
    }

    /// `None`: there are too many.
    pub fn read(&self, turn: &Turn, scope: &StatementScope) -> Result<Option<RecordBatch>> {
        let Some(mut batches) = self.outer.read(turn, scope)? else { return Ok(None) };
        for step in &self.steps {
            batches = step.apply(&batches)?;
        }
        batches.retain(|batch| batch.num_rows() > 0);
        let outer = match batches.as_slice() {
            // Nothing to tell the types of its columns by, and nobody asks.
            [] => return assemble(Vec::new(), 0).map(Some),
            [one] => one.clone(),
            [first, ..] => concat_batches(&first.schema(), &batches).map_err(from_arrow)?,
        };
        let values = self.looked_up.iter().map(|(slot, expr)| Ok((*slot, evaluate(expr, &outer)?)));
        let values = values.collect::<Result<Vec<(usize, ArrayRef)>>>()?;
        let mut rows = self.inner.shape().rows(outer.num_rows());
        let mut joined: Vec<u32> = Vec::with_capacity(outer.num_rows());
        for at in 0..outer.num_rows() {
            scope.cancel.check()?;
            for (slot, array) in &values {
                turn.set(*slot, ScalarValue::try_from_array(array, at).map_err(from_datafusion)?)?;
            }
            if !self.inner.read_into(turn, scope, &mut rows)? || rows.count > JOINED_MAX {
                return Ok(None);
            }
            joined.resize(rows.count, at as u32);
        }
        self.inner.count(scope, outer.num_rows(), rows.count);
        let count = rows.count;
        let outer = take_record_batch(&outer, &UInt32Array::from(joined)).map_err(from_arrow)?;
        let inner = rows.finish()?;
        let (first, second) = if self.outer_first { (&outer, &inner) } else { (&inner, &outer) };
        assemble([first.columns(), second.columns()].concat(), count).map(Some)
    }
}

impl Leaf {
    /// What a leaf that holds no rows of others reads; `None`: too much.
    pub(super) fn read(&self, turn: &Turn, scope: &StatementScope) -> Result<Option<Vec<RecordBatch>>> {
        let batch = match self {
            Leaf::Rows(rows) => Some(super::literal_rows(rows)?),
            Leaf::Point(point) => Some(point.read(turn, scope)?),
            Leaf::Range(range) => range.read(turn, scope)?,
            Leaf::Found(found) => Some(found.read(scope)?),
            Leaf::Join(join) => join.read(turn, scope)?,
        };
        Ok(batch.map(|batch| vec![batch]))
    }
}

/// Which side of a join a condition is about.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Left,
    Right,
    Both,
    /// It names no column, or its value is another each time.
    Neither,
}

fn side_of(expr: &Expr, left: &DFSchema, right: &DFSchema) -> Side {
    if !simple(expr) || expr.exists(is_volatile).unwrap_or(true) {
        return Side::Neither;
    }
    let (mut in_left, mut in_right) = (false, false);
    for column in expr.column_refs() {
        match (left.has_column(column), right.has_column(column)) {
            (true, false) => in_left = true,
            (false, true) => in_right = true,
            _ => return Side::Neither,
        }
    }
    match (in_left, in_right) {
        (true, true) => Side::Both,
        (true, false) => Side::Left,
        (false, true) => Side::Right,
        (false, false) => Side::Neither,
    }
}

/// Slots are volatile only lest somebody take them for constants.
fn is_volatile(expr: &Expr) -> DfResult<bool> {
    let Expr::ScalarFunction(call) = expr else { return Ok(false) };
    Ok(slot_of(expr).is_none() && call.func.signature().volatility == Volatility::Volatile)
}

/// A condition, and where it came from: from above the join (its position there), or from the join itself.
struct Known {
    expr: Expr,
    above: Option<usize>,
    side: Side,
    fulfilled: bool,
}

impl Compiler<'_> {
    pub fn join(&self, join: &Join, filters: &mut [Condition], steps: &mut Vec<Step>) -> DfResult<Option<Leaf>> {
        let plain = join.join_type == JoinType::Inner
            && !join.null_aware
            && (join.on.is_empty() || join.null_equality == NullEquality::NullEqualsNothing);
        if !plain || !self.joins.get() {
            return self.refuse("it has a join that is not an inner one of rows that are only read");
        }
        let (left, right) = (join.left.schema(), join.right.schema());
        let above = filters.iter().enumerate().map(|(at, filter)| (filter.expr.clone(), Some(at)));
        let mut all: Vec<(Expr, Option<usize>)> = above.collect();
        let on = join
            .on
            .iter()
            .map(|(l, r)| Expr::BinaryExpr(BinaryExpr::new(Box::new(l.clone()), Operator::Eq, Box::new(r.clone()))));
        for own in on.chain(join.filter.clone()) {
            let Some(own) = self.slots.fill(&own)? else { return Ok(None) };
            all.extend(split_conjunction_owned(own).into_iter().map(|expr| (expr, None)));
        }
        let known = |(expr, above): (Expr, Option<usize>)| {
            let side = side_of(&expr, left, right);
            Known { expr, above, side, fulfilled: false }
        };
        let mut known: Vec<Known> = all.into_iter().map(known).collect();
        let mut found = self.lookup(&join.left, &join.right, true, &mut known)?;
        if found.is_none() {
            known.iter_mut().for_each(|known| known.fulfilled = false);
            found = self.lookup(&join.right, &join.left, false, &mut known)?;
        }
        let Some(rows) = found else {
            // Whatever kept one of the sides from being read first.
            self.why.set(None);
            return self.refuse("it has a join, and no key finds one side's rows for few of the other's");
        };
        let mut rest = Vec::new();
        for Known { expr, above, fulfilled, .. } in known {
            match above.and_then(|at| filters.get_mut(at)) {
                Some(filter) => filter.fulfilled |= fulfilled,
                None if !fulfilled => rest.push(expr),
                None => {}
            }
        }
        if let Some(rest) = conjunction(rest) {
            let Some(predicate) = self.expr(&rest, &join.schema)? else { return Ok(None) };
            steps.push(Step::Filter(predicate));
        }
        Ok(Some(Leaf::Join(rows)))
    }

    /// Rows of `outer`, each with what a key of `inner` finds for it. Marks the conditions that are fulfilled so.
    fn lookup(
        &self,
        outer: &LogicalPlan,
        inner: &LogicalPlan,
        outer_first: bool,
        known: &mut [Known],
    ) -> DfResult<Option<JoinRows>> {
        let (outer_side, inner_side) = if outer_first { (Side::Left, Side::Right) } else { (Side::Right, Side::Left) };
        let mut table = inner;
        while let LogicalPlan::SubqueryAlias(alias) = table {
            table = &alias.input;
        }
        let LogicalPlan::TableScan(scan) = table else { return Ok(None) };
        // The conditions on the table, those with the other side as if its row were known.
        let (mut slots, mut conditions, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for (at, known) in known.iter().enumerate() {
            let expr = match known.side {
                side if side == inner_side => known.expr.clone(),
                Side::Both => match self.looked_up(&known.expr, outer.schema(), inner.schema(), &mut slots)? {
                    Some(expr) => expr,
                    None => continue,
                },
                _ => continue,
            };
            conditions.push(Condition { expr, fulfilled: false });
            places.push(at);
        }
        let for_one = StatementScope::of(self.session.config()).is_ok();
        let found = match point(scan, &mut conditions, self.session) {
            Some(point) => Some(Inner::Point(point)),
            // Compiled for one execution, it must be known how many rows there are.
            None if for_one => None,
            None => range(scan, &mut conditions, None).map(Inner::Range),
        };
        let Some(found) = found else { return Ok(None) };
        let mut joins = false;
        for (condition, at) in conditions.iter().zip(places) {
            if let Some(known) = known.get_mut(at).filter(|_| condition.fulfilled) {
                known.fulfilled = true;
                joins |= known.side == Side::Both;
            }
        }
        if !joins {
            return Ok(None);
        }
        let mut own = Vec::new();
        for known in known.iter_mut().filter(|known| known.side == outer_side) {
            own.push(Condition { expr: known.expr.clone(), fulfilled: false });
            // By the leaf, or by the filter on it.
            known.fulfilled = true;
        }
        let mut steps = Vec::new();
        let Some(mut leaf) = self.node(outer, &mut own, &mut steps)? else { return Ok(None) };
        match &mut leaf {
            Leaf::Range(_) if for_one => return Ok(None),
            Leaf::Range(range) => range.allow(OUTER_MAX),
            _ => {}
        }
        let rest = own.into_iter().filter(|condition| !condition.fulfilled).map(|condition| condition.expr);
        if let Some(rest) = conjunction(rest) {
            let Some(predicate) = self.expr(&rest, outer.schema())? else { return Ok(None) };
            steps.push(Step::Filter(predicate));
        }
        if steps.iter().any(|step| matches!(step, Step::Lock(_) | Step::Write(_))) {
            return Ok(None);
        }
        let mut looked_up = Vec::with_capacity(slots.len());
        for (slot, expr) in slots {
            let Some(expr) = self.expr(&expr, outer.schema())? else { return Ok(None) };
            looked_up.push((slot, expr));
        }
        let first_width = if outer_first { outer } else { inner }.schema().fields().len();
        Ok(Some(JoinRows { outer: Box::new(leaf), steps, looked_up, inner: found, outer_first, first_width }))
    }

    /// `column = value` with a slot for the value, if the column is of the table and the value of the other side.
    fn looked_up(
        &self,
        expr: &Expr,
        outer: &DFSchema,
        inner: &DFSchema,
        slots: &mut Vec<(usize, Expr)>,
    ) -> DfResult<Option<Expr>> {
        let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = expr else { return Ok(None) };
        let of_outer = |value: &Expr| value.column_refs().iter().all(|column| outer.has_column(column));
        let (column, value) = match (left.as_ref(), right.as_ref()) {
            (Expr::Column(column), value) if inner.has_column(column) && of_outer(value) => (left, value),
            (value, Expr::Column(column)) if inner.has_column(column) && of_outer(value) => (right, value),
            _ => return Ok(None),
        };
        let (slot, known) = self.slots.of_row(value.get_type(outer)?);
        slots.push((slot, value.clone()));
        Ok(Some(Expr::BinaryExpr(BinaryExpr::new(column.clone(), Operator::Eq, Box::new(known)))))
    }
}
