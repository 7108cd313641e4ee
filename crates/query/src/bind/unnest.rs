//! Correlated subqueries that DataFusion cannot turn into joins: evaluated once for every distinct combination of the outer
//! values they use (after Neumann and Kemper, "Unnesting Arbitrary Queries", BTW 2015).
//!
//! 1. The *domain* is the distinct outer values: `SELECT DISTINCT c0, ... FROM outer`.
//! 2. The subquery is rewritten to give, beside its columns, the domain row each of its rows is for: where it reads a table, the table
//!    is joined with the domain; a filter, projection or aggregate above keeps the domain's columns.
//! 3. The outer plan is joined with that on its values, NULLs being equal, and the subquery is replaced by the column.
//!
//! A subquery with `random()` or the like is for each row anew: the outer rows are numbered then, and the number is one of the values.
//! As the domain and the join must see one numbering, those rows are computed once and kept.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DataFusionError, ExprSchema, NullEquality, TableReference};
use datafusion::logical_expr::expr::{Exists, InSubquery, Sort};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Aggregate, Case, Expr, ExprSchemable, Extension, FetchType, Filter, Join, JoinType, Limit, LogicalPlan,
    LogicalPlanBuilder, Operator, Projection, SkipType, Subquery, binary_expr, lit,
};
use heliosdb_types::{Error, Result};

use super::aggregate::output_column;
use super::cte::can_be_kept;
use super::plan::{self, from_datafusion};
use super::subquery::has_subquery;
use crate::exec::{ApplyNode, RowsNode, SharedNode};

/// Columns of enclosing queries a plan uses: its outer references, but for those its own nodes resolve for subqueries inside.
pub(super) fn free_references(plan: &LogicalPlan) -> Vec<Expr> {
    let mut free = Vec::new();
    let mut add = |reference: &Expr| {
        if !free.contains(reference) {
            free.push(reference.clone());
        }
    };
    let walked = plan.apply(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                match expr {
                    Expr::OuterReferenceColumn(..) => add(expr),
                    other => {
                        if let Some(subquery) = subquery_of(other) {
                            let own =
                                |reference: &&Expr| !node.inputs().iter().any(|i| resolves(i.schema(), reference));
                            free_references(&subquery.subquery).iter().filter(own).for_each(&mut add);
                        }
                    }
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    debug_assert!(walked.is_ok());
    free
}

fn subquery_of(expr: &Expr) -> Option<&Subquery> {
    match expr {
        Expr::ScalarSubquery(subquery)
        | Expr::Exists(Exists { subquery, .. })
        | Expr::InSubquery(InSubquery { subquery, .. }) => Some(subquery),
        _ => None,
    }
}

fn resolves(schema: &DFSchema, reference: &Expr) -> bool {
    matches!(reference, Expr::OuterReferenceColumn(_, column) if schema.has_column(column))
}

/// Rewrites every subquery of a plan that is not left to DataFusion.
pub(super) fn unnest(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut rewriter = Unnester { prefix: "__domain".to_owned(), domains: 0 };
    if !mentions_correlation(&plan) {
        return Ok(plan);
    }
    rewriter.plan(plan)
}

fn mentions_correlation(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let walked = plan.apply_expressions_deep(|expr| {
        found |= subquery_of(expr).is_some_and(|subquery| !subquery.outer_ref_columns.is_empty());
    });
    walked.is_err() || found
}

/// Visits every expression node of a plan and of the subqueries inside it.
trait DeepExpressions {
    fn apply_expressions_deep(&self, visit: impl FnMut(&Expr)) -> Result<()>;
}

impl DeepExpressions for LogicalPlan {
    fn apply_expressions_deep(&self, mut visit: impl FnMut(&Expr)) -> Result<()> {
        self.apply_with_subqueries(|node| {
            node.apply_expressions(|expr| {
                expr.apply(|expr| {
                    visit(expr);
                    Ok(TreeNodeRecursion::Continue)
                })
            })
        })
        .map_err(from_datafusion)?;
        Ok(())
    }
}

struct Unnester {
    /// How their names begin.
    prefix: String,
    /// Domains made so far, to name them apart.
    domains: usize,
}

/// A join whose right side uses the rows of the left one: LATERAL. `prefix` names what is made for it, apart from all else in
/// the statement. Columns are those of the left, then of the right.
pub(super) fn lateral(
    prefix: String,
    left: LogicalPlan,
    right: &LogicalPlan,
    join_type: JoinType,
    condition: Option<Expr>,
) -> Result<LogicalPlan> {
    let mut unnester = Unnester { prefix, domains: 0 };
    let (references, further): (Vec<Expr>, Vec<Expr>) =
        free_references(right).into_iter().partition(|reference| resolves(left.schema(), reference));
    if !further.is_empty() {
        // What is run once for each row of the domain hides its references from the queries around.
        return Err(Error::unsupported("a LATERAL subquery that also uses columns of an outer query"));
    }
    let columns: Vec<Column> = left.schema().columns().into_iter().chain(right.schema().columns()).collect();
    let (left, number) = unnester.numbered(left, right)?;
    let domain = unnester.domain(&left, &references, number)?;
    let pushed = unnester.push(right, &domain)?;
    let result = unnester.next_qualifier();
    let keys = domain.own().into_iter().map(|c| Expr::Column(c.clone()).alias_qualified(Some(result.clone()), c.name));
    let own = right.schema().columns().into_iter().map(Expr::Column);
    let inner = plan::builder(pushed).project(keys.chain(own).collect::<Vec<_>>());
    let inner = inner.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?;
    let outer_keys = domain.columns.iter().map(|(outer, _)| outer.clone()).collect();
    let joined = null_safe_join(left, inner, join_type, outer_keys, domain.under(&result), condition)?;
    let joined = plan::builder(joined).project(columns.into_iter().map(Expr::Column).collect::<Vec<_>>());
    joined.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
}

fn both(guard: Option<&Expr>, condition: Expr) -> Expr {
    match guard {
        Some(guard) => guard.clone().and(condition),
        None => condition,
    }
}

/// Whether a condition may be evaluated once more, on the rows before their subqueries' values are joined.
fn usable(condition: &Expr) -> bool {
    !has_subquery(condition)
        && !condition.is_volatile()
        && !condition.exists(|node| Ok(matches!(node, Expr::OuterReferenceColumn(..)))).unwrap_or(true)
}

/// What the column is called that tells equal outer rows apart.
const NUMBER: &str = "number";

/// The distinct outer values a subquery depends on, as a plan and as a name for each.
struct Domain {
    plan: LogicalPlan,
    /// Outer column and the domain's column for it.
    columns: Vec<(Column, Column)>,
}

impl Domain {
    fn exprs(&self) -> Vec<Expr> {
        self.columns.iter().map(|(_, column)| Expr::Column(column.clone())).collect()
    }

    /// The domain's columns of the same plan under another qualifier.
    fn under(&self, qualifier: &TableReference) -> Vec<Column> {
        self.columns.iter().map(|(_, column)| Column::new(Some(qualifier.clone()), column.name.clone())).collect()
    }

    /// Whether it has a row for each outer row, however equal they are.
    fn is_numbered(&self) -> bool {
        self.columns.last().is_some_and(|(_, column)| column.name == NUMBER)
    }

    fn own(&self) -> Vec<Column> {
        self.columns.iter().map(|(_, column)| column.clone()).collect()
    }
}

impl Unnester {
    fn plan(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let rewritten = plan.transform_down_with_subqueries(|node| {
            let rewritten = match node {
                LogicalPlan::Projection(projection) => self.projection(projection),
                LogicalPlan::Filter(filter) => self.filter(filter),
                other => return Ok(Transformed::no(other)),
            };
            rewritten.map_err(crate::exec::to_datafusion)
        });
        Ok(rewritten.map_err(from_datafusion)?.data)
    }

    fn projection(&mut self, projection: Projection) -> Result<Transformed<LogicalPlan>> {
        let mut input = Arc::unwrap_or_clone(projection.input);
        let mut exprs = Vec::with_capacity(projection.expr.len());
        let mut changed = false;
        for expr in projection.expr {
            let name = expr.schema_name().to_string();
            let (plan, rewritten) = self.expression(input, expr)?;
            input = plan;
            changed |= rewritten.transformed;
            let expr = rewritten.data;
            let renamed = rewritten.transformed && expr.schema_name().to_string() != name;
            exprs.push(if renamed { expr.alias(name) } else { expr });
        }
        let plan = Projection::try_new(exprs, Arc::new(input)).map_err(from_datafusion)?;
        Ok(Transformed::new_transformed(LogicalPlan::Projection(plan), changed))
    }

    fn filter(&mut self, filter: Filter) -> Result<Transformed<LogicalPlan>> {
        let columns: Vec<Expr> = filter.input.schema().columns().into_iter().map(Expr::Column).collect();
        let (input, predicate) = self.expression(Arc::unwrap_or_clone(filter.input), filter.predicate)?;
        let filtered = Filter::try_new(predicate.data, Arc::new(input)).map_err(from_datafusion)?;
        let filtered = LogicalPlan::Filter(filtered);
        if !predicate.transformed {
            return Ok(Transformed::no(filtered));
        }
        // What the subqueries added ends here.
        let plan = plan::builder(filtered).project(columns).and_then(LogicalPlanBuilder::build);
        Ok(Transformed::yes(plan.map_err(from_datafusion)?))
    }

    /// Joins the input with what the expression's subqueries give and names their columns instead.
    fn expression(&mut self, input: LogicalPlan, expr: Expr) -> Result<(LogicalPlan, Transformed<Expr>)> {
        self.guarded(input, expr, None)
    }

    /// The same for an expression whose value matters only where `guard` is true.
    fn guarded(
        &mut self,
        input: LogicalPlan,
        expr: Expr,
        guard: Option<&Expr>,
    ) -> Result<(LogicalPlan, Transformed<Expr>)> {
        let mut input = input;
        let rewritten = expr.transform_down(|node| {
            if let Expr::Case(case @ Case { expr: None, .. }) = &node
                && has_subquery(&node)
            {
                let (plan, case) = self.case(input.clone(), case, guard).map_err(crate::exec::to_datafusion)?;
                input = plan;
                return Ok(Transformed::new(case.data, case.transformed, TreeNodeRecursion::Jump));
            }
            let correlated = subquery_of(&node).is_some_and(|subquery| !subquery.outer_ref_columns.is_empty());
            let stock = |subquery: &Subquery| {
                let volatile = is_volatile(&subquery.subquery).map_err(crate::exec::to_datafusion)?;
                Ok::<bool, DataFusionError>(!volatile && stock_can(&node, subquery, input.schema()))
            };
            if !correlated || subquery_of(&node).map(stock).transpose()?.unwrap_or(false) {
                return Ok(Transformed::no(node));
            }
            let joined = self.join_expression(&input, &node, guard).map_err(crate::exec::to_datafusion)?;
            let Some((plan, value)) = joined else { return Ok(Transformed::no(node)) };
            input = plan;
            Ok(Transformed::new(value, true, TreeNodeRecursion::Jump))
        });
        let rewritten = rewritten.map_err(from_datafusion)?;
        Ok((input, rewritten))
    }

    /// CASE: the subqueries of a branch are run only for the rows that take it.
    fn case(
        &mut self,
        mut input: LogicalPlan,
        case: &Case,
        guard: Option<&Expr>,
    ) -> Result<(LogicalPlan, Transformed<Expr>)> {
        let mut changed = false;
        let mut branches = Vec::with_capacity(case.when_then_expr.len());
        // True where no branch so far was taken.
        let mut rest = guard.cloned();
        for (when, then) in &case.when_then_expr {
            let (plan, when) = self.guarded(input, when.as_ref().clone(), rest.as_ref())?;
            let taken = usable(&when.data).then(|| both(rest.as_ref(), when.data.clone().is_true()));
            let (plan, then) = self.guarded(plan, then.as_ref().clone(), taken.as_ref().or(rest.as_ref()))?;
            input = plan;
            changed |= when.transformed || then.transformed;
            if usable(&when.data) {
                rest = Some(both(rest.as_ref(), when.data.clone().is_not_true()));
            }
            branches.push((Box::new(when.data), Box::new(then.data)));
        }
        let mut otherwise = None;
        if let Some(expr) = &case.else_expr {
            let (plan, expr) = self.guarded(input, expr.as_ref().clone(), rest.as_ref())?;
            input = plan;
            changed |= expr.transformed;
            otherwise = Some(Box::new(expr.data));
        }
        let case = Case { expr: None, when_then_expr: branches, else_expr: otherwise };
        Ok((input, Transformed::new_transformed(Expr::Case(case), changed)))
    }

    fn join_expression(
        &mut self,
        input: &LogicalPlan,
        expr: &Expr,
        guard: Option<&Expr>,
    ) -> Result<Option<(LogicalPlan, Expr)>> {
        match expr {
            Expr::ScalarSubquery(subquery) => {
                let joined = self.join_subquery(input.clone(), &subquery.subquery, false, guard)?;
                Ok(joined.map(|(plan, value)| (plan, Expr::Column(value))))
            }
            Expr::Exists(Exists { subquery, negated }) => {
                let joined = self.join_subquery(input.clone(), &subquery.subquery, true, guard)?;
                Ok(joined.map(|(plan, matched)| {
                    let matched = Expr::Column(matched);
                    (plan, if *negated { matched.is_null() } else { matched.is_not_null() })
                }))
            }
            // The binder leaves a correlated IN as it is only where unknown and false are the same.
            Expr::InSubquery(InSubquery { expr, subquery, negated: false }) => {
                let columns = subquery.subquery.schema().columns();
                let column = columns.into_iter().next().ok_or_else(|| Error::internal("IN of no column"))?;
                let left = as_outer(expr.as_ref().clone(), input.schema())?;
                let equal = plan::filter(subquery.subquery.as_ref().clone(), left.eq(Expr::Column(column)))?;
                let joined = self.join_subquery(input.clone(), &equal, true, guard)?;
                Ok(joined.map(|(plan, matched)| (plan, Expr::Column(matched).is_not_null())))
            }
            _ => Ok(None),
        }
    }

    /// `None`: the subquery depends on a query further out than this one.
    /// The outer plan with one more column: the subquery's value, or whether it has rows (true, or NULL for none).
    fn join_subquery(
        &mut self,
        outer: LogicalPlan,
        subquery: &LogicalPlan,
        exists: bool,
        guard: Option<&Expr>,
    ) -> Result<Option<(LogicalPlan, Column)>> {
        let references = free_references(subquery);
        if references.is_empty() || !references.iter().all(|reference| resolves(outer.schema(), reference)) {
            return Ok(None);
        }
        let (outer, number) = self.numbered(outer, subquery)?;
        let domain = match guard {
            Some(guard) => self.domain(&plan::filter(outer.clone(), guard.clone())?, &references, number)?,
            None => self.domain(&outer, &references, number)?,
        };
        let value = subquery.schema().columns().into_iter().next();
        let inner = self.push(subquery, &domain)?;
        // Under one qualifier, so that nothing inside can be confused with the outer query.
        let result = self.next_qualifier();
        let mut exprs: Vec<Expr> = domain
            .own()
            .into_iter()
            .map(|c| Expr::Column(c.clone()).alias_qualified(Some(result.clone()), c.name))
            .collect();
        let value = match value {
            _ if exists => lit(true),
            Some(value) => Expr::Column(value),
            None => return Err(Error::internal("a scalar subquery without a column")),
        };
        exprs.push(value.alias_qualified(Some(result.clone()), "value"));
        let mut inner = plan::builder(inner).project(exprs).map_err(from_datafusion)?;
        if exists {
            inner = inner.distinct().map_err(from_datafusion)?;
        }
        let inner = inner.build().map_err(from_datafusion)?;
        let outer_keys = domain.columns.iter().map(|(outer, _)| outer.clone()).collect();
        let joined = null_safe_join(outer, inner, JoinType::Left, outer_keys, domain.under(&result), None)?;
        Ok(Some((joined, Column::new(Some(result), "value"))))
    }

    fn next_qualifier(&mut self) -> TableReference {
        self.domains += 1;
        TableReference::bare(format!("{}_{}", self.prefix, self.domains))
    }

    /// The outer rows with a number each, if the subquery's values are not the same for equal rows.
    fn numbered(&mut self, outer: LogicalPlan, subquery: &LogicalPlan) -> Result<(LogicalPlan, Option<Column>)> {
        if !is_volatile(subquery)? || !can_be_kept(&outer)? {
            return Ok((outer, None));
        }
        let (call, name) = plan::row_number(vec![], vec![])?;
        let number = Column::new(Some(self.next_qualifier()), NUMBER);
        let columns = outer.schema().columns().into_iter().map(Expr::Column);
        let exprs: Vec<Expr> =
            columns.chain([Expr::Column(name).alias_qualified(number.relation.clone(), number.name.clone())]).collect();
        let numbered = plan::builder(outer).window([call]).and_then(|plan| plan.project(exprs));
        let numbered = numbered.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?;
        Ok((SharedNode::share(numbered), Some(number)))
    }

    fn domain(&mut self, outer: &LogicalPlan, references: &[Expr], number: Option<Column>) -> Result<Domain> {
        let qualifier = self.next_qualifier();
        let mut columns = Vec::with_capacity(references.len());
        let mut exprs = Vec::with_capacity(references.len());
        for (at, reference) in references.iter().enumerate() {
            let Expr::OuterReferenceColumn(_, column) = reference else { continue };
            let name = format!("c{at}");
            exprs.push(Expr::Column(column.clone()).alias(&name));
            columns.push((column.clone(), Column::new(Some(qualifier.clone()), name)));
        }
        if let Some(number) = number {
            exprs.push(Expr::Column(number.clone()).alias(NUMBER));
            columns.push((number, Column::new(Some(qualifier.clone()), NUMBER)));
        }
        let plan = plan::builder(outer.clone()).project(exprs).and_then(LogicalPlanBuilder::distinct);
        let plan = plan.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?;
        Ok(Domain { plan: plan::alias(plan, qualifier)?, columns })
    }

    /// The plan's rows for every row of the domain: the domain's columns, then the plan's own.
    fn push(&mut self, plan: &LogicalPlan, domain: &Domain) -> Result<LogicalPlan> {
        let for_each_row = domain.is_numbered() && is_volatile(plan)?;
        if !for_each_row && !depends(plan, domain) {
            let joined = plan::builder(domain.plan.clone()).cross_join(plan.clone());
            return joined.and_then(LogicalPlanBuilder::build).map_err(from_datafusion);
        }
        if selects_grouping_sets(plan) {
            // They have groups of their own, one of them perhaps even where there are no rows.
            return self.apply(plan, domain);
        }
        match plan {
            LogicalPlan::Filter(filter) => {
                let input = self.push(&filter.input, domain)?;
                plan::filter(input, replace(filter.predicate.clone(), domain)?)
            }
            LogicalPlan::Projection(projection) => {
                let input = self.push(&projection.input, domain)?;
                let mut exprs = domain.exprs();
                for expr in &projection.expr {
                    let replaced = replace(expr.clone(), domain)?;
                    let (relation, name) = expr.qualified_name();
                    exprs.push(if replaced == *expr {
                        replaced
                    } else {
                        replaced.unalias().alias_qualified(relation, name)
                    });
                }
                let projected = plan::builder(input).project(exprs);
                projected.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let input = self.push(&alias.input, domain)?;
                let fields = alias.input.schema().columns().into_iter().zip(plan.schema().columns());
                let own = fields.map(|(from, to)| Expr::Column(from).alias_qualified(to.relation, to.name));
                let projected = plan::builder(input).project(domain.exprs().into_iter().chain(own).collect::<Vec<_>>());
                projected.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
            }
            LogicalPlan::Aggregate(aggregate) => self.push_aggregate(aggregate, domain),
            LogicalPlan::Limit(limit) => self.push_limit(limit, domain),
            // Order without a limit means nothing inside a subquery.
            LogicalPlan::Sort(sort) => self.push(&sort.input, domain),
            LogicalPlan::Distinct(datafusion::logical_expr::Distinct::All(input)) => {
                let input = self.push(input, domain)?;
                plan::builder(input).distinct().and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
            }
            LogicalPlan::Join(join) => self.push_join(join, domain),
            LogicalPlan::Union(union) => self.push_union(&union.inputs, plan, domain),
            LogicalPlan::Extension(extension) if extension.node.as_any().is::<RowsNode>() => {
                let rows = extension.node.as_any().downcast_ref::<RowsNode>();
                let rows = rows.ok_or_else(|| Error::internal("an expansion of rows"))?;
                let input = self.push(rows.input(), domain)?;
                let lists =
                    rows.lists().iter().map(|list| replace(list.clone(), domain)).collect::<Result<Vec<_>>>()?;
                let node = rows.over(input, lists).map_err(from_datafusion)?;
                Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
            }
            other => self.apply(other, domain),
        }
    }

    /// What no rule above rewrites is run for each row of the domain.
    fn apply(&mut self, plan: &LogicalPlan, domain: &Domain) -> Result<LogicalPlan> {
        let outer = domain.columns.iter().map(|(outer, _)| outer.clone()).collect();
        let node = ApplyNode::new(domain.plan.clone(), outer, plan.clone()).map_err(from_datafusion)?;
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }

    fn push_aggregate(&mut self, aggregate: &Aggregate, domain: &Domain) -> Result<LogicalPlan> {
        let input = self.push(&aggregate.input, domain)?;
        let replaced = |exprs: &[Expr]| exprs.iter().map(|e| replace(e.clone(), domain)).collect::<Result<Vec<_>>>();
        let calls = replaced(&aggregate.aggr_expr)?;
        let mut groups = domain.exprs();
        groups.extend(replaced(&aggregate.group_expr)?);
        let empty = aggregate.group_expr.is_empty();
        let grouped = Aggregate::try_new(Arc::new(input), groups, calls.clone()).map_err(from_datafusion)?;
        let outputs: Vec<(Expr, Column)> =
            calls.iter().map(output_column).zip(aggregate.aggr_expr.iter().filter_map(name_of)).collect();
        if !empty {
            return restore_names(LogicalPlan::Aggregate(grouped), aggregate, domain, &outputs);
        }
        // One row even where nothing matched: count is 0 there, most others NULL.
        let side = self.next_qualifier();
        let mut exprs: Vec<Expr> = domain
            .own()
            .into_iter()
            .map(|c| Expr::Column(c.clone()).alias_qualified(Some(side.clone()), c.name))
            .collect();
        exprs.push(lit(true).alias_qualified(Some(side.clone()), "matched"));
        exprs.extend(
            outputs
                .iter()
                .enumerate()
                .map(|(at, (value, _))| value.clone().alias_qualified(Some(side.clone()), format!("a{at}"))),
        );
        let grouped = plan::builder(LogicalPlan::Aggregate(grouped)).project(exprs);
        let grouped = grouped.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?;
        let keys = domain.under(&side);
        let joined = null_safe_join(domain.plan.clone(), grouped, JoinType::Left, domain.own(), keys, None)?;
        let mut exprs = domain.exprs();
        for (at, ((_, name), call)) in outputs.iter().zip(&aggregate.aggr_expr).enumerate() {
            let value = Expr::Column(Column::new(Some(side.clone()), format!("a{at}")));
            let value = match empty_value(call, aggregate.input.schema())? {
                Some(default) => {
                    let unmatched = Expr::Column(Column::new(Some(side.clone()), "matched")).is_null();
                    let when = vec![(Box::new(unmatched), Box::new(default))];
                    Expr::Case(Case { expr: None, when_then_expr: when, else_expr: Some(Box::new(value)) })
                }
                None => value,
            };
            exprs.push(value.alias(&name.name));
        }
        plan::builder(joined).project(exprs).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
    }

    /// The first rows of each domain row, by position in the sort below.
    fn push_limit(&mut self, limit: &Limit, domain: &Domain) -> Result<LogicalPlan> {
        let (Ok(SkipType::Literal(skip)), Ok(FetchType::Literal(fetch))) =
            (limit.get_skip_type(), limit.get_fetch_type())
        else {
            return self.apply(&LogicalPlan::Limit(limit.clone()), domain);
        };
        let (input, order): (&LogicalPlan, Vec<Sort>) = match limit.input.as_ref() {
            LogicalPlan::Sort(sort) => (&sort.input, sort.expr.clone()),
            other => (other, Vec::new()),
        };
        let pushed = self.push(input, domain)?;
        let mut keys = Vec::with_capacity(order.len());
        for key in order {
            keys.push(Sort { expr: replace(key.expr, domain)?, ..key });
        }
        let (number, position) = plan::row_number(domain.exprs(), keys)?;
        let position = Expr::Column(position);
        let columns: Vec<Expr> = pushed.schema().columns().into_iter().map(Expr::Column).collect();
        let windowed = LogicalPlanBuilder::window_plan(pushed, [number]).map_err(from_datafusion)?;
        let mut condition = position.clone().gt(lit(skip as u64));
        if let Some(fetch) = fetch {
            condition = condition.and(position.lt_eq(lit(skip.saturating_add(fetch) as u64)));
        }
        let kept = plan::filter(windowed, condition)?;
        plan::builder(kept).project(columns).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
    }

    /// Inputs are matched by position, so each gives the domain's columns first.
    fn push_union(
        &mut self,
        inputs: &[Arc<LogicalPlan>],
        original: &LogicalPlan,
        domain: &Domain,
    ) -> Result<LogicalPlan> {
        let outputs: Vec<Column> = domain.own().into_iter().chain(original.schema().columns()).collect();
        let positional = |at: usize| format!("union:{at}");
        let mut united: Option<LogicalPlanBuilder> = None;
        for input in inputs {
            let pushed = self.push(input, domain)?;
            let columns = domain.own().into_iter().chain(input.schema().columns());
            let exprs: Vec<Expr> = columns.enumerate().map(|(at, c)| Expr::Column(c).alias(positional(at))).collect();
            let one = plan::builder(pushed).project(exprs).map_err(from_datafusion)?;
            united = Some(match united {
                None => one,
                Some(before) => before.union(one.build().map_err(from_datafusion)?).map_err(from_datafusion)?,
            });
        }
        let united = united.ok_or_else(|| Error::internal("a union of nothing"))?;
        let named = outputs.into_iter().enumerate().map(|(at, output)| {
            Expr::Column(Column::new_unqualified(positional(at))).alias_qualified(output.relation, output.name)
        });
        let named = united.project(named.collect::<Vec<_>>());
        named.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
    }

    fn push_join(&mut self, join: &Join, domain: &Domain) -> Result<LogicalPlan> {
        if !matches!(join.join_type, JoinType::Inner | JoinType::Left) {
            return self.apply(&LogicalPlan::Join(join.clone()), domain);
        }
        let mut condition = Vec::new();
        for (left, right) in &join.on {
            // A LATERAL's rows are matched with NULLs being equal.
            let op = match join.null_equality {
                NullEquality::NullEqualsNothing => Operator::Eq,
                NullEquality::NullEqualsNull => Operator::IsNotDistinctFrom,
            };
            condition.push(replace(binary_expr(left.clone(), op, right.clone()), domain)?);
        }
        if let Some(filter) = &join.filter {
            condition.push(replace(filter.clone(), domain)?);
        }
        let condition = condition.into_iter().reduce(Expr::and);
        let left = self.push(&join.left, domain)?;
        if !depends(&join.right, domain) {
            let condition = condition.unwrap_or_else(|| lit(true));
            let joined =
                plan::builder(left).join_on(Arc::unwrap_or_clone(Arc::clone(&join.right)), join.join_type, [condition]);
            return joined.and_then(LogicalPlanBuilder::build).map_err(from_datafusion);
        }
        // Both sides carry the domain: the same row of it on both, and one copy kept.
        let side = self.next_qualifier();
        let right = self.push(&join.right, domain)?;
        let own = join.right.schema().columns().into_iter().map(Expr::Column);
        let keys =
            domain.own().into_iter().map(|c| Expr::Column(c.clone()).alias_qualified(Some(side.clone()), c.name));
        let right = plan::builder(right).project(keys.chain(own).collect::<Vec<_>>());
        let right = right.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?;
        let columns: Vec<Expr> =
            left.schema().columns().into_iter().chain(join.right.schema().columns()).map(Expr::Column).collect();
        let joined = null_safe_join(left, right, join.join_type, domain.own(), domain.under(&side), condition)?;
        plan::builder(joined).project(columns).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
    }
}

/// Whether DataFusion's own rules turn the subquery into a join, and the right one: only the plainest shape is left to them, since
/// they take others for it (an aggregate or OFFSET under EXISTS) or fail late.
fn stock_can(expr: &Expr, subquery: &Subquery, outer: &DFSchema) -> bool {
    let references = free_references(&subquery.subquery);
    if !references.iter().all(|reference| resolves(outer, reference)) {
        return false;
    }
    match expr {
        Expr::ScalarSubquery(_) => is_filtered_aggregate(&subquery.subquery),
        _ => is_filtered(&subquery.subquery, false),
    }
}

/// Projections of one aggregate over everything that a filter with equalities lets through.
fn is_filtered_aggregate(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => {
            is_plain_projection(projection) && is_filtered_aggregate(&projection.input)
        }
        LogicalPlan::Aggregate(aggregate) => {
            let own = aggregate.aggr_expr.iter().all(|expr| !has_outer_reference(expr) && !has_subquery(expr));
            aggregate.group_expr.is_empty() && own && is_filtered(&aggregate.input, true)
        }
        _ => false,
    }
}

/// Projections of a filter over something uncorrelated; `equalities`: the filter's outer columns stand in equalities only.
fn is_filtered(plan: &LogicalPlan, equalities: bool) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => {
            is_plain_projection(projection) && is_filtered(&projection.input, equalities)
        }
        LogicalPlan::Filter(filter) => {
            let inputs = filter.input.schema();
            free_references(&filter.input).is_empty()
                && split_conjunction(&filter.predicate).into_iter().all(|part| {
                    !reaches_out(part, inputs) && (!equalities || !has_outer_reference(part) || is_equality(part))
                })
        }
        other => free_references(other).is_empty(),
    }
}

/// A select list, with or without HAVING, over an aggregate by grouping sets.
pub(super) fn selects_grouping_sets(plan: &LogicalPlan) -> bool {
    let LogicalPlan::Projection(projection) = plan else { return false };
    let mut input = projection.input.as_ref();
    while let LogicalPlan::Filter(Filter { input: below, .. })
    | LogicalPlan::Projection(Projection { input: below, .. }) = input
    {
        input = below;
    }
    let LogicalPlan::Aggregate(aggregate) = input else { return false };
    aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_)))
}

fn is_plain_projection(projection: &Projection) -> bool {
    projection.expr.iter().all(|expr| !has_outer_reference(expr) && !has_subquery(expr))
}

fn has_outer_reference(expr: &Expr) -> bool {
    expr.exists(|node| Ok(matches!(node, Expr::OuterReferenceColumn(..)))).unwrap_or(true)
}

/// Whether a subquery inside an expression uses columns its input does not have.
fn reaches_out(expr: &Expr, input: &DFSchema) -> bool {
    let found = expr.exists(|node| {
        let references = subquery_of(node).map(|subquery| free_references(&subquery.subquery));
        Ok(references.into_iter().flatten().any(|reference| !resolves(input, &reference)))
    });
    found.unwrap_or(true)
}

/// `inner = outer`, either way round; `inner` is a column, cast or not: of anything computed DataFusion makes no grouping.
fn is_equality(part: &Expr) -> bool {
    let Expr::BinaryExpr(comparison) = part else { return false };
    let columns = |side: &Expr| !side.column_refs().is_empty();
    let (left, right) = (comparison.left.as_ref(), comparison.right.as_ref());
    let column = |side: &Expr| match side {
        Expr::Cast(cast) => matches!(*cast.expr, Expr::Column(_)),
        other => matches!(other, Expr::Column(_)),
    };
    let apart = |inner: &Expr, outer: &Expr| column(inner) && !columns(outer);
    comparison.op == Operator::Eq && (apart(left, right) || apart(right, left))
}

/// Whether any of the plan's expressions may give something else each time.
pub(super) fn is_volatile(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_expressions_deep(|expr| found |= expr.is_volatile_node())?;
    Ok(found)
}

fn depends(plan: &LogicalPlan, domain: &Domain) -> bool {
    free_references(plan).iter().any(|reference| matches!(reference, Expr::OuterReferenceColumn(_, column) if domain.columns.iter().any(|(outer, _)| outer == column)))
}

/// An expression over a schema's columns as a subquery below sees it.
fn as_outer(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let outer = expr.transform_up(|node| {
        Ok(match node {
            Expr::Column(column) => {
                let field = schema.field_from_column(&column)?;
                Transformed::yes(Expr::OuterReferenceColumn(Arc::clone(field), column))
            }
            other => Transformed::no(other),
        })
    });
    Ok(outer.map_err(from_datafusion)?.data)
}

/// Outer references as the domain's columns; those of subqueries inside become references to the domain.
fn replace(expr: Expr, domain: &Domain) -> Result<Expr> {
    let columns: HashMap<&Column, &Column> = domain.columns.iter().map(|(outer, own)| (outer, own)).collect();
    let replaced = expr.transform_up(|node| {
        Ok(match node {
            Expr::OuterReferenceColumn(field, column) => match columns.get(&column) {
                Some(own) => Transformed::yes(Expr::Column((*own).clone())),
                None => Transformed::no(Expr::OuterReferenceColumn(field, column)),
            },
            Expr::ScalarSubquery(subquery) => Transformed::yes(Expr::ScalarSubquery(redirect(subquery, &columns)?)),
            Expr::Exists(Exists { subquery, negated }) => {
                Transformed::yes(Expr::Exists(Exists { subquery: redirect(subquery, &columns)?, negated }))
            }
            Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
                let subquery = redirect(subquery, &columns)?;
                Transformed::yes(Expr::InSubquery(InSubquery { expr, subquery, negated }))
            }
            other => Transformed::no(other),
        })
    });
    Ok(replaced.map_err(from_datafusion)?.data)
}

fn redirect(subquery: Subquery, columns: &HashMap<&Column, &Column>) -> datafusion::error::Result<Subquery> {
    let plan = Arc::unwrap_or_clone(subquery.subquery).transform_down_with_subqueries(|node| {
        node.map_expressions(|expr| {
            expr.transform_up(|expr| {
                Ok(match expr {
                    Expr::OuterReferenceColumn(field, column) => match columns.get(&column) {
                        Some(own) => {
                            // The field's name is what a projection of the reference is called.
                            let field = Arc::new(field.as_ref().clone().with_name(&own.name));
                            Transformed::yes(Expr::OuterReferenceColumn(field, (*own).clone()))
                        }
                        None => Transformed::no(Expr::OuterReferenceColumn(field, column)),
                    },
                    other => Transformed::no(other),
                })
            })
        })
    })?;
    Ok(super::subquery::subquery(plan.data))
}

/// The aggregate's own column names again, where replacing outer references changed how an expression prints.
fn restore_names(
    plan: LogicalPlan,
    original: &Aggregate,
    domain: &Domain,
    outputs: &[(Expr, Column)],
) -> Result<LogicalPlan> {
    let mut exprs = domain.exprs();
    for group in &original.group_expr {
        if let (Some(name), value) = (name_of(group), output_column(&replace(group.clone(), domain)?)) {
            exprs.push(if value == Expr::Column(name.clone()) {
                value
            } else {
                value.alias_qualified(name.relation, name.name)
            });
        }
    }
    for (value, name) in outputs {
        let same = *value == Expr::Column(name.clone());
        exprs.push(if same { value.clone() } else { value.clone().alias(&name.name) });
    }
    plan::builder(plan).project(exprs).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
}

fn name_of(expr: &Expr) -> Option<Column> {
    match output_column(expr) {
        Expr::Column(column) => Some(column),
        _ => None,
    }
}

/// An aggregate's value over no rows, where that is not NULL.
fn empty_value(call: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    let Expr::AggregateFunction(function) = call else { return Ok(None) };
    let returns = call.get_type(schema).map_err(from_datafusion)?;
    let default = function.func.default_value(&returns).map_err(from_datafusion)?;
    Ok((!default.is_null()).then(|| Expr::Literal(default, None)))
}

fn null_safe_join(
    left: LogicalPlan,
    right: LogicalPlan,
    join_type: JoinType,
    left_keys: Vec<Column>,
    right_keys: Vec<Column>,
    filter: Option<Expr>,
) -> Result<LogicalPlan> {
    let keys = (left_keys, right_keys);
    let joined = plan::builder(left).join_detailed(right, join_type, keys, filter, NullEquality::NullEqualsNull);
    joined.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
}
