//! What is guessed of one relation of a join: rows, and how many values a column has.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::Column;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, FetchType, LogicalPlan};
use heliosdb_contracts::{ColumnPredicate, ScanRequest, TableScan};
use heliosdb_types::ColumnId;

use crate::catalog::Relation;
use crate::exec::cardinality::{Estimate, estimate_logical, kept, looked};
use crate::exec::estimate;
use crate::exec::pushdown::translate;
use crate::exec::scope::StatementScope;
use crate::exec::table::HeliosTable;
use crate::files::FileTable;

/// Kept by a condition nothing is known about.
const UNKNOWN_CONDITION: f64 = 0.3;
/// Groups per row of an aggregate over unknown columns.
const GROUPS: f64 = 0.1;
/// Rows of what we cannot look into (a function, a catalog view).
const UNKNOWN_ROWS: f64 = 1000.0;

/// A relation and what is guessed of it.
pub(super) struct Facts {
    /// After its own conditions, at least one.
    pub rows: f64,
    base: Option<Base>,
    /// What ANALYZE lets know, if all its tables were analyzed; nothing else is asked then.
    pub known: Option<Estimate>,
}

/// A table beneath the relation, if it is little more than that.
struct Base {
    relation: Arc<Relation>,
    scan: Arc<dyn TableScan>,
    rows: f64,
}

impl Facts {
    /// `conditions` are the ones of the query above that name this relation only.
    pub fn of(plan: &LogicalPlan, conditions: &[Expr], scope: &StatementScope) -> Facts {
        if let Some(whole) = estimate_logical(plan, scope) {
            let left = seen(plan, conditions, &whole, scope).unwrap_or_else(|| kept(whole, conditions, plan.schema()));
            return Facts { rows: left.rows, base: None, known: Some(left) };
        }
        let mut own: Vec<Expr> = conditions.to_vec();
        let Some(relation) = base_table(plan, &mut own) else {
            let unknown = UNKNOWN_CONDITION.powi(i32::try_from(conditions.len().min(8)).unwrap_or(8));
            return Facts { rows: (rows_of(plan, scope) * unknown).max(1.0), base: None, known: None };
        };
        let Some(scan) = scan(&relation, scope) else { return Facts { rows: UNKNOWN_ROWS, base: None, known: None } };
        let (predicates, others) = translated(&own, &relation);
        let unknown = UNKNOWN_CONDITION.powi(i32::try_from(others.min(8)).unwrap_or(8));
        let rows = (estimate::rows(&*scan, &predicates) as f64 * unknown).max(1.0);
        let all = (scan.estimated_rows() as f64).max(1.0);
        Facts { rows, base: Some(Base { relation, scan, rows: all }), known: None }
    }

    /// Distinct values of a column, before conditions.
    pub fn distinct(&self, column: &Column) -> f64 {
        let Some(base) = &self.base else { return self.rows };
        if self.key_is(&[column]) {
            return base.rows;
        }
        let Some((_, found)) = base.relation.column(&column.name) else { return self.rows };
        let span = base.scan.estimated_bounds(found.id).and_then(|(low, high)| estimate::span(&low, &high));
        span.map_or(base.rows * GROUPS, |span| (span + 1.0).min(base.rows)).max(1.0)
    }

    /// Rows of the whole table, if the columns hold its primary key: each value of them finds at most one.
    pub fn rows_if_key(&self, columns: &[&Column]) -> Option<f64> {
        self.key_is(columns).then(|| self.base.as_ref().map(|base| base.rows)).flatten()
    }

    fn key_is(&self, columns: &[&Column]) -> bool {
        let Some(base) = &self.base else { return false };
        let key = base.relation.table().and_then(|table| table.primary_key.as_ref());
        key.is_some_and(|key| {
            let named = |attribute: &i16| {
                let column = base.relation.columns.iter().find(|column| column.attribute == *attribute);
                column.is_some_and(|found| columns.iter().any(|column| column.name == found.name))
            };
            !key.attributes.is_empty() && key.attributes.iter().all(named)
        })
    }
}

/// What the conditions leave of a small table, if a scan could evaluate them all.
fn seen(plan: &LogicalPlan, conditions: &[Expr], whole: &Estimate, scope: &StatementScope) -> Option<Estimate> {
    let mut own = conditions.to_vec();
    let relation = base_table(plan, &mut own)?;
    let places: Vec<usize> = (0..relation.columns.len()).collect();
    let (predicates, others) = translated(&own, &relation);
    (others == 0 && whole.columns.len() >= places.len())
        .then(|| looked(whole, &relation, &predicates, &places, scope))
        .flatten()
}

/// The table under aliases and conditions, which are collected.
fn base_table(plan: &LogicalPlan, conditions: &mut Vec<Expr>) -> Option<Arc<Relation>> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => base_table(&alias.input, conditions),
        LogicalPlan::Filter(filter) => {
            conditions.extend(split_conjunction(&filter.predicate).into_iter().cloned());
            base_table(&filter.input, conditions)
        }
        LogicalPlan::TableScan(scan) => {
            conditions.extend(scan.filters.iter().cloned());
            HeliosTable::relation_of(scan)
        }
        _ => None,
    }
}

fn scan(relation: &Relation, scope: &StatementScope) -> Option<Arc<dyn TableScan>> {
    let request = ScanRequest {
        tree: relation.table()?.tree.tree,
        projection: Vec::new(),
        predicates: Vec::new(),
        row_refs: false,
        limit: None,
        target_partitions: 1,
        batch_rows: 1,
    };
    scope.shard.scan(&scope.read, &request).ok()
}

/// Conditions a scan understands, and how many it does not.
fn translated(conditions: &[Expr], relation: &Relation) -> (Vec<ColumnPredicate>, usize) {
    let mut found: HashMap<ColumnId, Vec<ColumnPredicate>> = HashMap::new();
    let mut others = 0;
    for condition in conditions {
        match translate(condition, relation) {
            Some(predicates) => {
                predicates.into_iter().for_each(|p| found.entry(p.column).or_default().push(p));
            }
            None => others += 1,
        }
    }
    (found.into_values().flatten().collect(), others)
}

/// Rows of any plan, roughly.
fn rows_of(plan: &LogicalPlan, scope: &StatementScope) -> f64 {
    let inputs = || plan.inputs().into_iter().map(|input| rows_of(input, scope));
    match plan {
        LogicalPlan::TableScan(found) => {
            let provider = source_as_provider(&found.source).ok();
            if let Some(files) =
                provider.as_deref().and_then(|provider| (provider as &dyn Any).downcast_ref::<FileTable>())
            {
                return files.rows as f64;
            }
            let relation = base_table(plan, &mut Vec::new());
            let scan = relation.and_then(|relation| scan(&relation, scope));
            scan.map_or(UNKNOWN_ROWS, |scan| scan.estimated_rows() as f64)
        }
        LogicalPlan::Filter(filter) => {
            let conditions = split_conjunction(&filter.predicate).len().min(8);
            rows_of(&filter.input, scope) * UNKNOWN_CONDITION.powi(i32::try_from(conditions).unwrap_or(8))
        }
        LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => 1.0,
        LogicalPlan::Aggregate(aggregate) => rows_of(&aggregate.input, scope) * GROUPS,
        LogicalPlan::Limit(limit) => match limit.get_fetch_type() {
            Ok(FetchType::Literal(Some(rows))) => (rows as f64).min(rows_of(&limit.input, scope)),
            _ => rows_of(&limit.input, scope),
        },
        LogicalPlan::Join(_) => inputs().fold(1.0, f64::max),
        LogicalPlan::Union(_) => inputs().sum(),
        LogicalPlan::Values(values) => values.values.len() as f64,
        LogicalPlan::EmptyRelation(_) => 1.0,
        _ => inputs().reduce(f64::max).unwrap_or(UNKNOWN_ROWS),
    }
}
