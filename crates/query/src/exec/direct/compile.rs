//! From a bound plan to a chain of steps over a leaf.

use std::cell::Cell;
use std::sync::Arc;

use arrow_schema::SortOptions;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, Result as DfResult, ScalarValue};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Aggregate, Expr, Extension, FetchType, LogicalPlan, SkipType, Sort, TableScan, Values};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::lit as physical_lit;

use super::Leaf;
use super::aggregate::{Aggregation, is_plain};
use super::found::found_rows;
use super::point::point;
use super::range::range;
use super::step::{Projection, Step};
use crate::exec::lock_rows::{LockRowsNode, plan_locks};
use crate::exec::parameters::{Slots, read_slots};
use crate::exec::row_write::{RowWriteNode, plan_write};
use crate::exec::scope::StatementScope;

/// More literal rows than this are the analytics pool's work.
const VALUES_ROWS_MAX: usize = 256;

pub(super) struct Compiler<'a> {
    pub session: &'a SessionState,
    pub slots: Slots,
    /// Whether rows may come from a join: what locks or writes them evaluates them again one by one.
    pub joins: Cell<bool>,
}

impl Compiler<'_> {
    /// Compiles a node's child, then the node. `filters` are the conditions between here and the leaf's consumer: they decide
    /// whether the leaf is one row, and the leaf marks those that its key fulfils.
    pub fn node(
        &self,
        plan: &LogicalPlan,
        filters: &mut Vec<Condition>,
        steps: &mut Vec<Step>,
    ) -> DfResult<Option<Leaf>> {
        match plan {
            LogicalPlan::SubqueryAlias(alias) => self.node(&alias.input, filters, steps),
            LogicalPlan::Filter(filter) => {
                let Some(predicate) = self.slots.fill(&filter.predicate)? else { return Ok(None) };
                let above = filters.len();
                let conditions = split_conjunction_owned(predicate).into_iter();
                filters.extend(conditions.map(|expr| Condition { expr, fulfilled: false }));
                let Some(leaf) = self.node(&filter.input, filters, steps)? else { return Ok(None) };
                let rest = filters.drain(above..).filter(|condition| !condition.fulfilled);
                if let Some(rest) = conjunction(rest.map(|condition| condition.expr)) {
                    let Some(predicate) = self.expr(&rest, filter.input.schema())? else { return Ok(None) };
                    steps.push(Step::Filter(predicate));
                }
                Ok(Some(leaf))
            }
            LogicalPlan::Projection(projection) => {
                // Conditions above a projection are over its columns, not the table's.
                let Some(leaf) = self.node(&projection.input, &mut Vec::new(), steps)? else { return Ok(None) };
                let Some(exprs) = self.exprs(&projection.expr, projection.input.schema())? else { return Ok(None) };
                steps.push(Step::Project(Projection::new(exprs)));
                Ok(Some(leaf))
            }
            LogicalPlan::Limit(limit) => {
                let Some(leaf) = self.node(&limit.input, &mut Vec::new(), steps)? else { return Ok(None) };
                let (SkipType::Literal(skip), FetchType::Literal(fetch)) =
                    (limit.get_skip_type()?, limit.get_fetch_type()?)
                else {
                    return Ok(None);
                };
                steps.push(Step::Slice { skip, fetch: fetch.unwrap_or(usize::MAX) });
                Ok(Some(leaf))
            }
            LogicalPlan::Sort(sort) => self.sort(sort, steps),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate, steps),
            LogicalPlan::Extension(Extension { node }) => {
                if let Some(lock) = node.as_any().downcast_ref::<LockRowsNode>() {
                    return self.lock(lock, steps);
                }
                let Some(write) = node.as_any().downcast_ref::<RowWriteNode>() else { return Ok(None) };
                self.write(write, steps)
            }
            LogicalPlan::EmptyRelation(empty) if empty.produce_one_row => Ok(Some(Leaf::Rows(vec![Vec::new()]))),
            LogicalPlan::Values(values) => self.values(values),
            LogicalPlan::TableScan(scan) => self.scan(scan, filters),
            LogicalPlan::Join(join) => self.join(join, filters, steps),
            _ => Ok(None),
        }
    }

    fn scan(&self, scan: &TableScan, filters: &mut [Condition]) -> DfResult<Option<Leaf>> {
        if let Some(point) = point(scan, filters, self.session) {
            return Ok(Some(Leaf::Point(point)));
        }
        // Compiled for one execution, the rows are looked for now.
        if StatementScope::of(self.session.config()).is_ok() {
            let filters: Vec<&Expr> = filters.iter().map(|condition| &condition.expr).collect();
            return Ok(found_rows(scan, &filters, self.session)?.map(Leaf::Found));
        }
        Ok(range(scan, filters).map(Leaf::Range))
    }

    fn sort(&self, sort: &Sort, steps: &mut Vec<Step>) -> DfResult<Option<Leaf>> {
        let Some(leaf) = self.node(&sort.input, &mut Vec::new(), steps)? else { return Ok(None) };
        let mut keys = Vec::with_capacity(sort.expr.len());
        for key in &sort.expr {
            let Some(expr) = self.expr(&key.expr, sort.input.schema())? else { return Ok(None) };
            keys.push((expr, SortOptions { descending: !key.asc, nulls_first: key.nulls_first }));
        }
        steps.push(Step::Sort(keys));
        steps.extend(sort.fetch.map(|fetch| Step::Slice { skip: 0, fetch }));
        Ok(Some(leaf))
    }

    fn aggregate(&self, node: &Aggregate, steps: &mut Vec<Step>) -> DfResult<Option<Leaf>> {
        let inner =
            |expr: &Expr| expr.exists(|inner| Ok(!matches!(inner, Expr::AggregateFunction(_)) && !simple_node(inner)));
        if !node.group_expr.is_empty()
            || !node.aggr_expr.iter().all(|expr| is_plain(expr, node.input.schema()) && !inner(expr).unwrap_or(true))
        {
            return Ok(None);
        }
        let Some(leaf) = self.node(&node.input, &mut Vec::new(), steps)? else { return Ok(None) };
        let filled = node.aggr_expr.iter().map(|expr| self.slots.fill(expr)).collect::<DfResult<Option<Vec<_>>>>()?;
        let Some(filled) = filled else { return Ok(None) };
        steps.push(Step::Aggregate(Aggregation::new(node, &filled, self.session)?));
        Ok(Some(leaf))
    }

    fn write(&self, node: &RowWriteNode, steps: &mut Vec<Step>) -> DfResult<Option<Leaf>> {
        if node.conflict_program().is_some() {
            return Ok(None);
        }
        self.joins.set(false);
        let Some(leaf) = self.node(&node.input, &mut Vec::new(), steps)? else { return Ok(None) };
        let checks = node.checks.iter().map(|(_, check)| check);
        let generated = node.generated.iter().map(|(_, value)| value);
        let others = node.other_expressions();
        let indexed = node.indexes.iter().flat_map(|index| index.keys.iter().map(|key| &key.3).chain(&index.predicate));
        let own = node.predicate.iter().chain(&node.new_row);
        if !own.chain(checks).chain(generated).chain(indexed).chain(others).all(simple) {
            return Ok(None);
        }
        let input = Arc::clone(node.input.schema().inner());
        let typed = Cell::new(true);
        let physical = |expr: &Expr, schema: &DFSchema| self.physical(expr, schema, &typed);
        let mut spec = plan_write(node, input, Some(self.session), physical)?;
        if let Some(spec) = Arc::get_mut(&mut spec) {
            spec.make_frugal();
        }
        steps.push(Step::Write(spec));
        Ok(typed.get().then_some(leaf))
    }

    fn lock(&self, node: &LockRowsNode, steps: &mut Vec<Step>) -> DfResult<Option<Leaf>> {
        self.joins.set(false);
        let Some(leaf) = self.node(&node.input, &mut Vec::new(), steps)? else { return Ok(None) };
        let mut counts = node.skip.iter().chain(&node.fetch);
        // How many rows is asked when the node is compiled.
        let known = counts.all(|count| !count.exists(|e| Ok(matches!(e, Expr::Placeholder(_)))).unwrap_or(true));
        if !known || !node.predicate.iter().chain(&node.output).chain(&node.skip).chain(&node.fetch).all(simple) {
            return Ok(None);
        }
        let typed = Cell::new(true);
        let spec = plan_locks(node, |expr, schema| self.physical(expr, schema, &typed))?;
        steps.push(Step::Lock(spec));
        Ok(typed.get().then_some(leaf))
    }

    fn values(&self, values: &Values) -> DfResult<Option<Leaf>> {
        if values.values.is_empty() || values.values.len() > VALUES_ROWS_MAX {
            return Ok(None);
        }
        let nothing = DFSchema::empty();
        let rows = values.values.iter().map(|row| self.exprs(row, &nothing));
        Ok(rows.collect::<DfResult<Option<Vec<_>>>>()?.map(Leaf::Rows))
    }

    fn exprs(&self, exprs: &[Expr], schema: &DFSchema) -> DfResult<Option<Vec<Arc<dyn PhysicalExpr>>>> {
        exprs.iter().map(|expr| self.expr(expr, schema)).collect()
    }

    pub fn expr(&self, expr: &Expr, schema: &DFSchema) -> DfResult<Option<Arc<dyn PhysicalExpr>>> {
        if !simple(expr) {
            return Ok(None);
        }
        let typed = Cell::new(true);
        let physical = self.physical(expr, schema, &typed)?;
        Ok(typed.get().then_some(physical))
    }

    /// An expression that reads its parameters when it is evaluated; `typed` becomes false if one has no type yet.
    fn physical(&self, expr: &Expr, schema: &DFSchema, typed: &Cell<bool>) -> DfResult<Arc<dyn PhysicalExpr>> {
        let Some(filled) = self.slots.fill(expr)? else {
            typed.set(false);
            return Ok(physical_lit(ScalarValue::Null));
        };
        read_slots(self.session.create_physical_expr(filled, schema)?)
    }
}

/// A condition on the way to a leaf.
pub(super) struct Condition {
    pub expr: Expr,
    /// Whatever the leaf gives meets it.
    pub fulfilled: bool,
}

/// Whether an expression needs nothing but its row.
pub(super) fn simple(expr: &Expr) -> bool {
    !expr.exists(|e| Ok(!simple_node(e))).unwrap_or(true)
}

/// The same of an expression without looking at its operands.
fn simple_node(expr: &Expr) -> bool {
    // A function that waits is awaited by the planner's own operator.
    let waits = matches!(expr, Expr::ScalarFunction(call) if call.func.as_async().is_some());
    let needs_a_plan = matches!(
        expr,
        Expr::AggregateFunction(_)
            | Expr::WindowFunction(_)
            | Expr::Exists(_)
            | Expr::InSubquery(_)
            | Expr::ScalarSubquery(_)
            | Expr::SetComparison(_)
            | Expr::OuterReferenceColumn(..)
            | Expr::GroupingSet(_)
            | Expr::Unnest(_)
    );
    !waits && !needs_a_plan
}
