//! The order of inner joins, chosen before DataFusion's optimiser sees the plan.
//!
//! DataFusion joins in the order of FROM. Here the relations of each group of inner joins are put into the order a search
//! over estimates finds cheapest; the conditions go above them as one filter, and DataFusion's own rules make joins of that
//! in the order they find. Invariants: the answer and the output columns are the same whatever the estimates say; groups
//! of fewer than three relations, and anything but plain inner joins, stay as they are.

mod facts;
mod search;

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode as _, TreeNodeRecursion};
use datafusion::common::{Column, JoinType, NullEquality, Result as DfResult};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Filter, LogicalPlan, LogicalPlanBuilder, Operator, Projection};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;

use facts::Facts;
use search::{Edge, Graph, bit};

use super::cardinality::{Estimate, Pair, of_expression, over, pairs_selectivity};
use super::scope::StatementScope;

/// Kept by a condition between relations that is not an equality.
const UNKNOWN_EDGE: f64 = 0.3;
/// More relations than bits are left as they are.
const RELATIONS_MAX: usize = 60;

/// Values computed from a relation's columns are taken to be so many, as PostgreSQL takes them.
const UNKNOWN_DISTINCT: f64 = 200.0;

/// What must be equal, of the relation with the smaller position first.
type Equal<'a> = (&'a Expr, &'a Expr);

/// The plan with its inner joins reordered.
pub(super) fn reorder(plan: LogicalPlan, scope: &StatementScope) -> DfResult<LogicalPlan> {
    rewrite(plan, scope).map(|done| done.data)
}

fn rewrite(plan: LogicalPlan, scope: &StatementScope) -> DfResult<Transformed<LogicalPlan>> {
    let plan = plan.map_subqueries(|subquery| rewrite(subquery, scope))?.data;
    let Some(group) = Group::of(&plan) else { return plan.map_children(|child| rewrite(child, scope)) };
    let schema = Arc::clone(plan.schema());
    let mut relations = Vec::with_capacity(group.relations.len());
    for relation in group.relations {
        relations.push(rewrite(relation, scope)?.data);
    }
    let graph = graph(&relations, &group.conditions, scope);
    let order = scope.join_order_seed.map_or_else(|| graph.order(), |seed| graph.drawn(seed));
    let mut ordered: Vec<Option<LogicalPlan>> = relations.into_iter().map(Some).collect();
    let mut inputs = order.into_iter().filter_map(|at| ordered.get_mut(at)?.take());
    let Some(first) = inputs.next() else { return Ok(Transformed::no(plan)) };
    let joined = inputs.try_fold(LogicalPlanBuilder::from(first), |left, right| left.cross_join(right))?.build()?;
    let filtered = match conjunction(group.conditions) {
        Some(condition) => LogicalPlan::Filter(Filter::try_new(condition, Arc::new(joined))?),
        None => joined,
    };
    // The columns in the order they had.
    Ok(Transformed::yes(if *filtered.schema() == schema {
        filtered
    } else {
        LogicalPlan::Projection(Projection::new_from_schema(Arc::new(filtered), schema))
    }))
}

/// Relations of adjacent inner joins, and every condition between or on them.
struct Group {
    relations: Vec<LogicalPlan>,
    conditions: Vec<Expr>,
}

impl Group {
    fn of(plan: &LogicalPlan) -> Option<Group> {
        let mut group = Group { relations: Vec::new(), conditions: Vec::new() };
        let top = match plan {
            LogicalPlan::Filter(filter) => {
                group.conditions.extend(split_conjunction(&filter.predicate).into_iter().cloned());
                filter.input.as_ref()
            }
            other => other,
        };
        if !matches!(top, LogicalPlan::Join(_)) {
            return None;
        }
        group.collect(top);
        let orderable = (3..=RELATIONS_MAX).contains(&group.relations.len());
        // A condition that may answer differently each time it is asked is asked as often as before.
        let stable = group.conditions.iter().all(|condition| !condition.is_volatile());
        (orderable && stable).then_some(group)
    }

    fn collect(&mut self, plan: &LogicalPlan) {
        match plan {
            LogicalPlan::Join(join)
                if join.join_type == JoinType::Inner && join.null_equality == NullEquality::NullEqualsNothing =>
            {
                self.collect(&join.left);
                self.collect(&join.right);
                let equalities = join.on.iter().map(|(left, right)| left.clone().eq(right.clone()));
                self.conditions.extend(equalities);
                let others = join.filter.iter().flat_map(|filter| split_conjunction(filter)).cloned();
                self.conditions.extend(others);
            }
            other => self.relations.push(other.clone()),
        }
    }
}

/// Estimates of the relations and of the conditions between them.
fn graph(relations: &[LogicalPlan], conditions: &[Expr], scope: &StatementScope) -> Graph {
    let named: Vec<(u64, &Expr)> =
        conditions.iter().map(|condition| (names(condition, relations), condition)).collect();
    let facts: Vec<Facts> = relations
        .iter()
        .enumerate()
        .map(|(at, plan)| {
            let own = named.iter().filter(|(set, _)| *set == bit(at));
            let own: Vec<Expr> = own.map(|(_, condition)| simplified(condition, plan)).collect();
            Facts::of(plan, &own, scope)
        })
        .collect();
    let between: Vec<(u64, &Expr)> = named.into_iter().filter(|(set, _)| set.count_ones() > 1).collect();
    Graph { rows: facts.iter().map(|facts| facts.rows).collect(), edges: edges(&between, relations, &facts) }
}

/// One edge for each pair that equalities connect, one for each other condition.
fn edges(between: &[(u64, &Expr)], relations: &[LogicalPlan], facts: &[Facts]) -> Vec<Edge> {
    let mut edges = Vec::new();
    let mut pairs: Vec<(usize, usize, Vec<Equal<'_>>)> = Vec::new();
    for (set, condition) in between {
        match equality(condition, relations) {
            Some((a, b, columns)) => match pairs.iter_mut().find(|(left, right, _)| (*left, *right) == (a, b)) {
                Some((_, _, all)) => all.push(columns),
                None => pairs.push((a, b, vec![columns])),
            },
            None => edges.push(Edge { relations: *set, selectivity: UNKNOWN_EDGE }),
        }
    }
    for (a, b, columns) in pairs {
        let (Some(left), Some(right)) = (facts.get(a), facts.get(b)) else { continue };
        if let Some(selectivity) = known_selectivity((a, left), (b, right), &columns, relations) {
            edges.push(Edge { relations: bit(a) | bit(b), selectivity });
            continue;
        }
        let of_left: Vec<&Column> = columns.iter().filter_map(|(expr, _)| column(expr)).collect();
        let of_right: Vec<&Column> = columns.iter().filter_map(|(_, expr)| column(expr)).collect();
        // Each row finds at most one row of a key; else as many as share its values.
        let key = match (left.rows_if_key(&of_left), right.rows_if_key(&of_right)) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
        let pairs_of_values = || {
            let of_each = columns.iter().map(|(a, b)| {
                let known = [column(a).map(|a| left.distinct(a)), column(b).map(|b| right.distinct(b))];
                known.into_iter().flatten().reduce(f64::max).unwrap_or(UNKNOWN_DISTINCT)
            });
            of_each.fold(1.0, |product, distinct| product * distinct).min(left.rows.max(right.rows))
        };
        let selectivity = 1.0 / key.unwrap_or_else(pairs_of_values).max(1.0);
        edges.push(Edge { relations: bit(a) | bit(b), selectivity });
    }
    edges
}

/// By what ANALYZE found about both sides.
fn known_selectivity(
    (a, left): (usize, &Facts),
    (b, right): (usize, &Facts),
    equal: &[Equal<'_>],
    relations: &[LogicalPlan],
) -> Option<f64> {
    let (left, right) = (left.known.as_ref()?, right.known.as_ref()?);
    let facts = |expr: &Expr, at: usize, estimate: &Estimate| {
        let expr = over(expr, relations.get(at)?.schema())?;
        Some(of_expression(&expr, estimate))
    };
    let pair = |(x, y): &Equal<'_>| Some(Pair { left: facts(x, a, left)?, right: facts(y, b, right)? });
    Some(pairs_selectivity(&equal.iter().map(pair).collect::<Option<Vec<_>>>()?))
}

/// `a.x = b.y`, or of what is computed from columns of a and of b, with the relation of each, the smaller position first.
fn equality<'a>(condition: &'a Expr, relations: &[LogicalPlan]) -> Option<(usize, usize, Equal<'a>)> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else { return None };
    let relation = |side: &Expr| {
        let set = names(side, relations);
        (set.count_ones() == 1).then(|| set.trailing_zeros() as usize)
    };
    let (a, b) = (relation(left)?, relation(right)?);
    let (left, right) = (left.as_ref(), right.as_ref());
    match a.cmp(&b) {
        std::cmp::Ordering::Less => Some((a, b, (left, right))),
        std::cmp::Ordering::Greater => Some((b, a, (right, left))),
        std::cmp::Ordering::Equal => None,
    }
}

fn column(expr: &Expr) -> Option<&Column> {
    match expr {
        Expr::Column(column) => Some(column),
        Expr::Cast(cast) => column(&cast.expr),
        _ => None,
    }
}

/// The relations a condition names, one bit each.
fn names(condition: &Expr, relations: &[LogicalPlan]) -> u64 {
    let mut set = 0;
    // Visiting never fails: the closure does not.
    let _ = condition.apply(|expr| {
        if let Expr::Column(column) = expr {
            let at = relations.iter().position(|plan| plan.schema().has_column(column));
            set |= at.map_or(0, bit);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    set
}

/// With its constants folded, so that a scan's estimate understands `date '1994-01-01' + interval '1 year'`.
fn simplified(condition: &Expr, plan: &LogicalPlan) -> Expr {
    let context = SimplifyContext::builder().with_schema(Arc::clone(plan.schema())).build();
    ExprSimplifier::new(context).simplify(condition.clone()).unwrap_or_else(|_| condition.clone())
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};
    use heliosdb_types::SqlType;

    use super::*;
    use crate::testing::{Bench, relation};

    #[test]
    fn equalities_of_computed_values_are_no_unknown_conditions() {
        let bench = Bench::new(relation("t", &[("id", SqlType::Int4)], &["id"]));
        let values = |name: &str, rows: i32| {
            let rows = (0..rows).map(|row| vec![lit(row)]).collect();
            LogicalPlanBuilder::values(rows).unwrap().alias(name).unwrap().build().unwrap()
        };
        let relations = [values("a", 500), values("b", 20), values("c", 300)];
        let selectivity = |condition: Expr| {
            let graph = graph(&relations, &[condition], &bench.scope(None, 0));
            let [edge] = graph.edges.as_slice() else { panic!("{} edges", graph.edges.len()) };
            (edge.relations, edge.selectivity)
        };
        let [a, b, c] = ["a", "b", "c"].map(|name| col(format!("{name}.column1")));
        assert_eq!(selectivity(a.clone().eq(b.clone())), (0b11, 1.0 / 500.0));
        assert_eq!(selectivity((a.clone() % lit(7)).eq(b.clone())), (0b11, 1.0 / 20.0));
        assert_eq!(selectivity((c.clone() + lit(1)).eq(a.clone() * lit(3))), (0b101, 1.0 / UNKNOWN_DISTINCT));
        assert_eq!(selectivity((a.clone() + b.clone()).eq(c)), (0b111, UNKNOWN_EDGE));
        assert_eq!(selectivity(a.lt(b)), (0b11, UNKNOWN_EDGE));
    }
}
