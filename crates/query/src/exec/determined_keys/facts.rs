//! Which columns of a plan determine which others: by primary keys, equalities, constants, and functions of columns.
//!
//! Columns of the plan and of all below it have numbers; a column that a projection renames keeps its number, so that keys
//! which are not passed on still tell what they determine. That rows which agree in some columns agree in another means here
//! that they have the *same* value, not one that compares equal: functions of it are the same too. Of types whose equal values
//! may differ (floats, numeric without a scale, intervals) only a primary key's own columns count.

use arrow_schema::DataType;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, JoinType};
use datafusion::logical_expr::expr::Alias;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Aggregate, Distinct, Expr, ExprSchemable, Join, LogicalPlan, Operator, Projection};

use crate::exec::row_source::has_sets;

/// Rows that agree in `from` agree in `to`.
#[derive(Debug)]
struct Fact {
    from: Vec<usize>,
    to: usize,
    /// Also when rows without a partner in an outer join have NULL in all of these columns.
    survives_nulls: bool,
}

/// What is known of the columns of a plan.
#[derive(Debug, Default)]
pub(super) struct Facts {
    columns: usize,
    facts: Vec<Fact>,
}

impl Facts {
    /// The numbers of a plan's columns.
    pub fn of_plan(&mut self, plan: &LogicalPlan) -> Vec<usize> {
        match plan {
            LogicalPlan::TableScan(scan) => {
                let ids = self.fresh(plan);
                for key in scan.projected_schema.functional_dependencies().iter().filter(|key| !key.nullable) {
                    let from: Vec<usize> = key.source_indices.iter().filter_map(|at| ids.get(*at).copied()).collect();
                    for to in key.target_indices.iter().filter_map(|at| ids.get(*at)) {
                        self.facts.push(Fact { from: from.clone(), to: *to, survives_nulls: true });
                    }
                }
                scan.filters.iter().for_each(|filter| self.learn(filter, plan.schema(), &ids));
                ids
            }
            LogicalPlan::Projection(projection) => self.of_projection(projection),
            LogicalPlan::Filter(filter) => {
                let ids = self.of_plan(&filter.input);
                self.learn(&filter.predicate, filter.input.schema(), &ids);
                ids
            }
            LogicalPlan::SubqueryAlias(alias) => self.of_plan(&alias.input),
            LogicalPlan::Sort(sort) => self.of_plan(&sort.input),
            LogicalPlan::Limit(limit) => self.of_plan(&limit.input),
            LogicalPlan::Distinct(Distinct::All(input)) => self.of_plan(input),
            LogicalPlan::Window(window) => {
                let mut ids = self.of_plan(&window.input);
                let more = plan.schema().fields().len().saturating_sub(ids.len());
                ids.extend((0..more).map(|_| self.column()));
                ids
            }
            LogicalPlan::Aggregate(aggregate) => self.of_aggregate(aggregate, plan),
            LogicalPlan::Join(join) => self.of_join(join),
            _ => self.fresh(plan),
        }
    }

    /// The number of an expression over columns; a new one that they determine if it is none of them.
    pub fn of_expr(&mut self, expr: &Expr, schema: &DFSchema, ids: &[usize]) -> usize {
        match expr {
            Expr::Alias(Alias { expr, .. }) => return self.of_expr(expr, schema, ids),
            Expr::Column(column) => {
                let at = schema.maybe_index_of_column(column);
                return at.and_then(|at| ids.get(at).copied()).unwrap_or_else(|| self.column());
            }
            _ => {}
        }
        let id = self.column();
        if let Some(from) = determinants(expr, schema, ids) {
            self.facts.push(Fact { from, to: id, survives_nulls: false });
        }
        id
    }

    /// Whether rows that agree in some columns agree in another.
    pub fn determine(&self, from: &[usize], to: usize) -> bool {
        let mut known = vec![false; self.columns];
        from.iter().for_each(|id| known[*id] = true);
        loop {
            let before = known.iter().filter(|known| **known).count();
            for fact in &self.facts {
                known[fact.to] |= fact.from.iter().all(|id| known[*id]);
            }
            if known[to] {
                return true;
            }
            if known.iter().filter(|known| **known).count() == before {
                return false;
            }
        }
    }

    fn column(&mut self) -> usize {
        self.columns += 1;
        self.columns - 1
    }

    fn fresh(&mut self, plan: &LogicalPlan) -> Vec<usize> {
        plan.schema().fields().iter().map(|_| self.column()).collect()
    }

    fn of_projection(&mut self, projection: &Projection) -> Vec<usize> {
        let ids = self.of_plan(&projection.input);
        projection.expr.iter().map(|expr| self.of_expr(expr, projection.input.schema(), &ids)).collect()
    }

    fn of_aggregate(&mut self, aggregate: &Aggregate, plan: &LogicalPlan) -> Vec<usize> {
        if has_sets(aggregate) {
            return self.fresh(plan);
        }
        let input = self.of_plan(&aggregate.input);
        let keys = aggregate.group_expr.iter().map(|key| self.of_expr(key, aggregate.input.schema(), &input));
        let mut ids: Vec<usize> = keys.collect();
        let keys = ids.clone();
        for _ in keys.len()..plan.schema().fields().len() {
            let to = self.column();
            self.facts.push(Fact { from: keys.clone(), to, survives_nulls: false });
            ids.push(to);
        }
        ids
    }

    fn of_join(&mut self, join: &Join) -> Vec<usize> {
        let begin = self.facts.len();
        let mut ids = self.of_plan(&join.left);
        let middle = self.facts.len();
        let right = self.of_plan(&join.right);
        match join.join_type {
            JoinType::LeftSemi | JoinType::LeftAnti => return ids,
            JoinType::RightSemi | JoinType::RightAnti => return right,
            JoinType::LeftMark => {
                ids.push(self.column());
                return ids;
            }
            JoinType::RightMark => {
                let mut right = right;
                right.push(self.column());
                return right;
            }
            JoinType::Inner => {
                for (left_key, right_key) in &join.on {
                    let left_key = self.side(left_key, join.left.schema(), &ids);
                    let right_key = self.side(right_key, join.right.schema(), &right);
                    self.equal(left_key, right_key);
                }
            }
            JoinType::Left | JoinType::Right | JoinType::Full => {
                let nulls_left = join.join_type != JoinType::Left;
                let nulls_right = join.join_type != JoinType::Right;
                let mut at = 0;
                self.facts.retain(|fact| {
                    let gets_nulls = (begin..middle).contains(&at) && nulls_left || at >= middle && nulls_right;
                    at += 1;
                    !gets_nulls || fact.survives_nulls
                });
            }
        }
        ids.extend(right);
        if let (JoinType::Inner, Some(filter)) = (join.join_type, &join.filter) {
            self.learn(filter, &join.schema, &ids);
        }
        ids
    }

    /// A side of an equality, if being equal means being the same there.
    fn side(&mut self, expr: &Expr, schema: &DFSchema, ids: &[usize]) -> Option<usize> {
        expr.get_type(schema).is_ok_and(|kind| is_exact(&kind)).then(|| self.of_expr(expr, schema, ids))
    }

    fn equal(&mut self, left: Option<usize>, right: Option<usize>) {
        let (Some(left), Some(right)) = (left, right) else { return };
        self.facts.push(Fact { from: vec![left], to: right, survives_nulls: true });
        self.facts.push(Fact { from: vec![right], to: left, survives_nulls: true });
    }

    /// What a condition that all rows meet says.
    fn learn(&mut self, condition: &Expr, schema: &DFSchema, ids: &[usize]) {
        for part in split_conjunction(condition) {
            let Expr::BinaryExpr(part) = part else { continue };
            if part.op != Operator::Eq {
                continue;
            }
            let left = self.side(&part.left, schema, ids);
            let right = self.side(&part.right, schema, ids);
            self.equal(left, right);
        }
    }
}

/// The columns whose values make that of an expression; none if others have a say, or equal ones may differ.
fn determinants(expr: &Expr, schema: &DFSchema, ids: &[usize]) -> Option<Vec<usize>> {
    let other = |node: &Expr| {
        let subquery = matches!(node, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_));
        Ok(subquery || matches!(node, Expr::SetComparison(_) | Expr::OuterReferenceColumn(..)))
    };
    if expr.is_volatile() || expr.exists(other).unwrap_or(true) {
        return None;
    }
    let mut from = Vec::new();
    for column in expr.column_refs() {
        let at = schema.maybe_index_of_column(column)?;
        if !is_exact(schema.field(at).data_type()) {
            return None;
        }
        from.push(*ids.get(at)?);
    }
    Some(from)
}

/// Whether values that compare equal are the same.
fn is_exact(kind: &DataType) -> bool {
    use DataType::*;
    kind.is_integer() || matches!(kind, Boolean | Date32 | Time64(_) | Timestamp(..) | Decimal128(..) | Utf8View | Utf8)
}
