//! From a bound plan to a chain of steps over a leaf.

use std::cell::Cell;
use std::sync::Arc;

use arrow_schema::SortOptions;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, Result as DfResult, ScalarValue};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Expr, Extension, FetchType, LogicalPlan, Operator, SkipType, Sort, TableScan, Values,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::lit as physical_lit;

use super::Leaf;
use super::aggregate::{Aggregation, is_plain};
use super::found::found_rows;
use super::point::point;
use super::range::range;
use super::step::{Projection, Step};
use crate::exec::lock_rows::{LockRowsNode, plan_locks};
use crate::exec::parameters::{Slots, read_slots, slot_of};
use crate::exec::row_write::{RowWriteNode, plan_write};
use crate::exec::scope::StatementScope;
use crate::exec::slices::makes_much;

const NEEDS_A_PLAN: &str = "an expression has a plan of its own";
/// Functions that may take a tenth of a second for one value, of numeric.
const SLOW_FOR_LONG_NUMBERS: [&str; 10] =
    ["exp", "factorial", "gcd", "lcm", "ln", "log", "log10", "pow", "power", "sqrt"];
/// More literal rows than this are the analytics pool's work.
const VALUES_ROWS_MAX: usize = 256;

pub(super) struct Compiler<'a> {
    pub session: &'a SessionState,
    pub slots: Slots,
    /// Whether rows may come from a join: what locks or writes them evaluates them again one by one.
    pub joins: Cell<bool>,
    /// Whether an expression may make much of each row or take long for it: then they must be few.
    pub costly: Cell<bool>,
    /// Why the statement is not eligible, once that is known.
    pub why: Cell<Option<&'static str>>,
}

impl Compiler<'_> {
    /// Nothing: the statement is not eligible. What was found first counts.
    pub fn refuse<T>(&self, why: &'static str) -> DfResult<Option<T>> {
        self.why.set(self.why.get().or(Some(why)));
        Ok(None)
    }

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
                let (fallible, plain): (Vec<Expr>, Vec<Expr>) =
                    rest.map(|condition| condition.expr).partition(may_fail);
                // What may fail is asked of rows only that all before it let through.
                for predicate in conjunction(plain).into_iter().chain(fallible) {
                    let Some(predicate) = self.expr(&predicate, filter.input.schema())? else { return Ok(None) };
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
                    return self.refuse("LIMIT is computed");
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
                let Some(write) = node.as_any().downcast_ref::<RowWriteNode>() else {
                    return self.refuse("it takes a plan");
                };
                self.write(write, steps)
            }
            LogicalPlan::EmptyRelation(empty) if empty.produce_one_row => Ok(Some(Leaf::Rows(vec![Vec::new()]))),
            LogicalPlan::Values(values) => self.values(values),
            LogicalPlan::TableScan(scan) => self.scan(scan, filters),
            LogicalPlan::Join(join) => self.join(join, filters, steps),
            LogicalPlan::Window(_) => self.refuse("it has window functions"),
            LogicalPlan::Union(_) => self.refuse("it puts rows of several queries together"),
            LogicalPlan::Distinct(_) => self.refuse("it has DISTINCT"),
            _ => self.refuse("it takes a plan"),
        }
    }

    fn scan(&self, scan: &TableScan, filters: &mut [Condition]) -> DfResult<Option<Leaf>> {
        if let Some(point) = point(scan, filters, self.session) {
            return Ok(Some(Leaf::Point(point)));
        }
        // Compiled for one execution, the rows are looked for now.
        let snapshot = StatementScope::of(self.session.config()).ok().map(|scope| scope.read.snapshot.ts);
        if snapshot.is_some() {
            let filters: Vec<&Expr> = filters.iter().map(|condition| &condition.expr).collect();
            if let Some(found) = found_rows(scan, &filters, self.session)? {
                return Ok(Some(Leaf::Found(found)));
            }
        }
        match range(scan, filters, snapshot) {
            Some(range) => Ok(Some(Leaf::Range(range))),
            None => self.refuse("it reads what is no table"),
        }
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
        if !node.group_expr.is_empty() {
            return self.refuse("it groups rows");
        }
        if !node.aggr_expr.iter().all(|expr| is_plain(expr, node.input.schema()) && !inner(expr).unwrap_or(true)) {
            return self.refuse("an aggregate takes rows in an order, or each value once");
        }
        let Some(leaf) = self.node(&node.input, &mut Vec::new(), steps)? else { return Ok(None) };
        let filled = node.aggr_expr.iter().map(|expr| self.slots.fill(expr)).collect::<DfResult<Option<Vec<_>>>>()?;
        let Some(filled) = filled else { return Ok(None) };
        filled.iter().for_each(|expr| self.look_at(expr));
        steps.push(Step::Aggregate(Aggregation::new(node, &filled, self.session)?));
        Ok(Some(leaf))
    }

    fn write(&self, node: &RowWriteNode, steps: &mut Vec<Step>) -> DfResult<Option<Leaf>> {
        if node.conflict_program().is_some() {
            return self.refuse(NEEDS_A_PLAN);
        }
        self.joins.set(false);
        let Some(leaf) = self.node(&node.input, &mut Vec::new(), steps)? else { return Ok(None) };
        let checks = node.checks.iter().map(|(_, check)| check);
        let generated = node.generated.iter().map(|(_, value)| value);
        let others = node.other_expressions();
        let indexed = node.indexes.iter().flat_map(|index| index.keys.iter().map(|key| &key.3).chain(&index.predicate));
        let own = node.predicate.iter().chain(&node.new_row);
        if !own.chain(checks).chain(generated).chain(indexed).chain(others).all(simple) {
            return self.refuse(NEEDS_A_PLAN);
        }
        node.new_row.iter().for_each(|expr| self.look_at(expr));
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
            return self.refuse(NEEDS_A_PLAN);
        }
        let typed = Cell::new(true);
        let spec = plan_locks(node, |expr, schema| self.physical(expr, schema, &typed))?;
        steps.push(Step::Lock(spec));
        Ok(typed.get().then_some(leaf))
    }

    fn values(&self, values: &Values) -> DfResult<Option<Leaf>> {
        if values.values.is_empty() || values.values.len() > VALUES_ROWS_MAX {
            return self.refuse("it brings many rows");
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
            return self.refuse(NEEDS_A_PLAN);
        }
        self.look_at(expr);
        let typed = Cell::new(true);
        let physical = self.physical(expr, schema, &typed)?;
        Ok(typed.get().then_some(physical))
    }

    fn look_at(&self, expr: &Expr) {
        let costly = |expr: &Expr| {
            matches!(expr, Expr::ScalarFunction(call)
                if makes_much(call.func.name()) || SLOW_FOR_LONG_NUMBERS.contains(&call.func.name()))
        };
        if expr.exists(|expr| Ok(costly(expr))).unwrap_or(true) {
            self.costly.set(true);
        }
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

/// Whether evaluating an expression can end in an error: it computes something, rather than to compare what is there.
fn may_fail(expr: &Expr) -> bool {
    use Operator::{And, Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq, Or};
    let computes = |expr: &Expr| match expr {
        Expr::ScalarFunction(_) => slot_of(expr).is_none(),
        Expr::BinaryExpr(BinaryExpr { op, .. }) => {
            !matches!(op, And | Or | Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
        }
        Expr::Cast(_) | Expr::TryCast(_) => true,
        _ => false,
    };
    expr.exists(|expr| Ok(computes(expr))).unwrap_or(true)
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
