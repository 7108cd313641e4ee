//! Aggregation: the Aggregate node, and the rest of the SELECT rewritten over its output.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::GroupingSet;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, when};
use heliosdb_types::{Error, Result, SqlState};
use sqlparser::tokenizer::Span;

use super::binder::Binder;
use super::grouping::Shown;
use super::inherited_order;
use super::plan::{self, from_datafusion};
use super::select::Clauses;
use super::subquery::has_subquery;
use super::unnest::is_volatile;
use crate::exec::to_datafusion;
use crate::func;

impl Binder<'_> {
    /// Puts an Aggregate over the input when the SELECT has one, and rewrites its clauses over the result.
    pub fn plan_aggregates(&mut self, mut input: LogicalPlan, clauses: &mut Clauses) -> Result<LogicalPlan> {
        let mut calls = Vec::new();
        for expr in clauses.exprs_mut() {
            collect_aggregates(expr, &mut calls)?;
        }
        if calls.is_empty() && !clauses.grouping.present && clauses.having.is_none() {
            return Ok(input);
        }
        check_grouping_calls(&calls, &clauses.grouping.keys)?;
        self.add_dependent_columns(clauses);
        let mut outputs = HashMap::new();
        let mut precomputed = grouping_of_compared(&mut calls, &clauses.grouping.shown);
        precomputed.extend(precompute(&mut input, clauses, &mut calls)?);
        if calls.is_empty() && clauses.grouping.exprs.is_empty() {
            // HAVING without anything to group: one group, whatever the aggregate.
            let count = func::aggregate("count", vec![], false, None, vec![], true, self.func())?;
            collect_aggregates(&count.expr, &mut calls)?;
        }
        for shown in &clauses.grouping.shown {
            if !calls.contains(&shown.value) {
                calls.push(shown.value.clone());
            }
        }
        // Names leave out casts, so different keys and calls may have one name: the later ones get another.
        let exprs = clauses.grouping.exprs.clone();
        let (exprs, calls, apart) = named_apart(exprs, calls);
        let named = |expr: &Expr| output_column(apart.get(expr).unwrap_or(expr));
        for key in &clauses.grouping.keys {
            let output = match clauses.grouping.shown.iter().find(|shown| shown.key == *key) {
                None => named(key),
                Some(shown) if !shown.in_sets => named(&shown.value),
                // Where a set leaves the key out, what is compared by is NULL; else it is only where the value is.
                Some(shown) => {
                    let present = named(&shown.compared).is_not_null();
                    when(present, named(&shown.value)).end().map_err(from_datafusion)?
                }
            };
            outputs.insert(key.clone(), output);
        }
        for call in &calls {
            outputs.insert(unaliased(call).clone(), output_column(call));
        }
        for (original, replaced) in precomputed {
            let output = named(&replaced);
            outputs.insert(original, output);
        }
        let (input, calls) = inherited_order::carry(input, calls)?;
        let aggregate = Aggregate::try_new(Arc::new(input), exprs, calls).map_err(from_datafusion)?;
        let plan = LogicalPlan::Aggregate(aggregate);
        let available: HashSet<Column> = plan.schema().columns().into_iter().collect();
        for expr in clauses.exprs_mut() {
            *expr = rewrite(std::mem::take(expr), &outputs)?;
            self.check_grouped(expr, &available)?;
        }
        match clauses.having.take() {
            Some(having) => plan::filter(plan, having),
            None => Ok(plan),
        }
    }

    /// Grouping by a table's whole primary key makes its other columns available: they are grouped by too. Among grouping sets
    /// the key has to be in each.
    fn add_dependent_columns(&mut self, clauses: &mut Clauses) {
        let grouping = &clauses.grouping;
        let sets = grouping.exprs.iter().any(|expr| matches!(expr, Expr::GroupingSet(_)));
        if !sets && grouping.exprs.len() != grouping.keys.len() {
            return;
        }
        let in_all_sets = |key: &Expr| {
            grouping.exprs.iter().any(|expr| match expr {
                Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => sets.iter().all(|set| set.contains(key)),
                plain => plain == key,
            })
        };
        let mut dependent = Vec::new();
        for relation in &self.level().scope.relations {
            let Some(table) = &relation.table else { continue };
            let Some(key) = table.table().and_then(|info| info.primary_key.as_ref()) else { continue };
            let grouped = |attribute: &i16| {
                let at = table.columns.iter().position(|column| column.attribute == *attribute);
                let column = at.and_then(|at| relation.columns.get(at));
                column.is_some_and(|column| match sets {
                    true => in_all_sets(&column.value.expr),
                    false => grouping.keys.contains(&column.value.expr),
                })
            };
            if !key.attributes.is_empty() && key.attributes.iter().all(grouped) {
                dependent.extend(relation.columns.iter().map(|column| column.value.expr.clone()));
            }
        }
        let used: HashSet<Expr> =
            self.level().references.iter().map(|(column, _)| Expr::Column(column.clone())).collect();
        for expr in dependent {
            if used.contains(&expr) && !clauses.grouping.keys.contains(&expr) {
                clauses.grouping.keys.push(expr.clone());
                clauses.grouping.exprs.push(expr);
            }
        }
    }

    /// 42803 when a rewritten expression still names an input column.
    fn check_grouped(&mut self, expr: &Expr, available: &HashSet<Column>) -> Result<()> {
        let mut ungrouped = None;
        let mut in_subquery = false;
        expr.apply(|node| {
            match node {
                Expr::Column(column) if !available.contains(column) => {
                    ungrouped = Some(column.clone());
                    return Ok(TreeNodeRecursion::Stop);
                }
                Expr::ScalarSubquery(subquery) => {
                    ungrouped = self.outer_ungrouped(&subquery.outer_ref_columns, available)
                }
                Expr::Exists(exists) => ungrouped = self.outer_ungrouped(&exists.subquery.outer_ref_columns, available),
                Expr::InSubquery(in_subquery) => {
                    ungrouped = self.outer_ungrouped(&in_subquery.subquery.outer_ref_columns, available);
                }
                _ => {}
            }
            in_subquery = ungrouped.is_some();
            Ok(if in_subquery { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
        .map_err(from_datafusion)?;
        match ungrouped {
            Some(column) => Err(self.ungrouped_error(&column, in_subquery)),
            None => Ok(()),
        }
    }

    /// A column of this level that a subquery uses although it is not grouped.
    fn outer_ungrouped(&self, references: &[Expr], available: &HashSet<Column>) -> Option<Column> {
        let scope = &self.levels.last()?.scope;
        references.iter().find_map(|reference| match reference {
            Expr::OuterReferenceColumn(_, column) if scope.owner(column).is_some() && !available.contains(column) => {
                Some(column.clone())
            }
            _ => None,
        })
    }

    fn ungrouped_error(&mut self, column: &Column, in_subquery: bool) -> Error {
        let level = self.level();
        let name = match level.scope.owner(column) {
            Some((relation, found)) => format!("{}.{}", relation.name, found.name),
            None => column.name.clone(),
        };
        let span = level.references.iter().find(|(reference, _)| reference == column).map_or(Span::empty(), |r| r.1);
        let message = if in_subquery {
            format!("subquery uses ungrouped column \"{name}\" from outer query")
        } else {
            format!("column \"{name}\" must appear in the GROUP BY clause or be used in an aggregate function")
        };
        self.error_at(span, SqlState::GROUPING_ERROR, message)
    }
}

/// GROUPING takes grouping expressions only.
fn check_grouping_calls(calls: &[Expr], keys: &[Expr]) -> Result<()> {
    let wrong = |call: &Expr| match call {
        Expr::AggregateFunction(call) if call.func.name() == "grouping" => {
            !call.params.args.iter().all(|arg| keys.contains(arg))
        }
        _ => false,
    };
    if calls.iter().any(wrong) {
        let message = "arguments to GROUPING must be grouping expressions of the associated query level";
        return Err(Error::invalid(SqlState::GROUPING_ERROR, message));
    }
    Ok(())
}

/// Makes GROUPING ask for what a key compares by where that is what is grouped by: what was asked and what is.
fn grouping_of_compared(calls: &mut [Expr], shown: &[Shown]) -> Vec<(Expr, Expr)> {
    let mut replaced = Vec::new();
    for call in calls {
        let original = call.clone();
        if let Expr::AggregateFunction(grouping) = call
            && grouping.func.name() == "grouping"
        {
            for arg in &mut grouping.params.args {
                if let Some(shown) = shown.iter().find(|shown| shown.key == *arg) {
                    *arg = shown.compared.clone();
                }
            }
        }
        if *call != original {
            replaced.push((original, call.clone()));
        }
    }
    replaced
}

/// Grouping expressions, calls, and how those are written that share an earlier one's name.
type NamedApart = (Vec<Expr>, Vec<Expr>, HashMap<Expr, Expr>);

fn named_apart(exprs: Vec<Expr>, calls: Vec<Expr>) -> NamedApart {
    // Columns keep their names, wherever they stand.
    let columns = exprs.iter().filter(|expr| matches!(expr, Expr::Column(_)));
    let mut seen: HashSet<String> = columns.map(|column| column.schema_name().to_string()).collect();
    let mut renamed = HashMap::new();
    let mut apart = |expr: Expr| {
        let name = expr.schema_name().to_string();
        if matches!(expr, Expr::GroupingSet(_) | Expr::Column(_)) || seen.insert(name.clone()) {
            return expr;
        }
        let mut number = 2;
        while !seen.insert(format!("{name}:{number}")) {
            number += 1;
        }
        let aliased = expr.clone().alias(format!("{name}:{number}"));
        renamed.insert(expr, aliased.clone());
        aliased
    };
    let exprs = exprs.into_iter().map(&mut apart).collect();
    let calls = calls.into_iter().map(&mut apart).collect();
    (exprs, calls, renamed)
}

fn unaliased(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => &alias.expr,
        other => other,
    }
}

/// How the Aggregate or Window node names an expression's result.
pub(super) fn output_column(expr: &Expr) -> Expr {
    match expr {
        Expr::Column(column) => Expr::Column(column.clone()),
        other => Expr::Column(Column::new_unqualified(other.schema_name().to_string())),
    }
}

/// Replaces whole subexpressions by their outputs, outermost first.
pub(super) fn rewrite(expr: Expr, outputs: &HashMap<Expr, Expr>) -> Result<Expr> {
    let replaced = expr.transform_down(|node| {
        Ok(match outputs.get(&node) {
            Some(output) => Transformed::new(output.clone(), true, TreeNodeRecursion::Jump),
            None => Transformed::no(node),
        })
    });
    Ok(replaced.map_err(from_datafusion)?.data)
}

/// Subqueries cannot stand inside an Aggregate: they are computed below it. Returns each original key or call with its replacement.
fn precompute(input: &mut LogicalPlan, clauses: &mut Clauses, calls: &mut [Expr]) -> Result<Vec<(Expr, Expr)>> {
    let mut computed: Vec<(Expr, String)> = Vec::new();
    let mut replaced = Vec::new();
    let mut lift = |expr: &mut Expr| -> Result<bool> {
        if !has_subquery(expr) {
            return Ok(false);
        }
        let lifted = std::mem::take(expr).transform_down(|node| {
            Ok(match node {
                Expr::ScalarSubquery(ref subquery) => {
                    let again = !is_volatile(&subquery.subquery).map_err(to_datafusion)?;
                    let known =
                        computed.iter().find(|(other, _)| again && *other == node).map(|(_, name)| name.clone());
                    let name = known.unwrap_or_else(|| {
                        let name = format!("__subquery_{}", computed.len());
                        computed.push((node, name.clone()));
                        name
                    });
                    Transformed::new(Expr::Column(Column::new_unqualified(name)), true, TreeNodeRecursion::Jump)
                }
                other => Transformed::no(other),
            })
        });
        *expr = lifted.map_err(from_datafusion)?.data;
        Ok(true)
    };
    for call in calls.iter_mut() {
        let original = call.clone();
        if lift(call)? {
            replaced.push((original, call.clone()));
        }
    }
    for at in 0..clauses.grouping.keys.len() {
        let Some(key) = clauses.grouping.keys.get_mut(at) else { continue };
        let original = key.clone();
        if lift(key)? {
            let key = key.clone();
            clauses.grouping.exprs.iter_mut().for_each(|expr| replace_key(expr, &original, &key));
            replaced.push((original, key));
        }
    }
    *input = plan::extend(input.clone(), computed)?;
    Ok(replaced)
}

/// Groups by another expression in the place of a key.
fn replace_key(expr: &mut Expr, key: &Expr, by: &Expr) {
    match expr {
        Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => {
            sets.iter_mut().flatten().for_each(|expr| replace_key(expr, key, by));
        }
        expr if expr == key => *expr = by.clone(),
        _ => {}
    }
}

/// Every distinct aggregate call in an expression; a windowed aggregate is not one, but its arguments may hold some.
pub(super) fn collect_aggregates(expr: &Expr, calls: &mut Vec<Expr>) -> Result<()> {
    expr.apply(|node| {
        Ok(match node {
            Expr::AggregateFunction(_) => {
                if !calls.contains(node) {
                    calls.push(node.clone());
                }
                TreeNodeRecursion::Jump
            }
            _ => TreeNodeRecursion::Continue,
        })
    })
    .map_err(from_datafusion)?;
    Ok(())
}

pub(super) fn contains_aggregate(expr: &Expr) -> bool {
    expr.exists(|node| Ok(matches!(node, Expr::AggregateFunction(_)))).unwrap_or(false)
}

pub(super) fn contains_window(expr: &Expr) -> bool {
    expr.exists(|node| Ok(matches!(node, Expr::WindowFunction(_)))).unwrap_or(false)
}
