//! GROUP BY ... ORDER BY ... LIMIT: what a primary key among the keys determines is read of the groups that are left.
//!
//! `SELECT c_id, c_name, c_address, sum(...) ... GROUP BY 1, 2, 3 ORDER BY 4 DESC LIMIT 20` groups by the key, and takes the rest from
//! any row of a group (`determined_keys`). That the rest is of a table whose key is there means that twenty look-ups give it too: it
//! is neither read of all rows, nor carried through joins, nor kept with all groups.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result as DfResult};
use datafusion::logical_expr::{Aggregate, Expr, Filter, LogicalPlan, Projection, Sort};
use heliosdb_types::{ColumnId, PhysicalType, TreeRef};

use super::node::LateColumns;
use super::{LIMIT_MAX, ROWS_FOR_ONE};
use crate::catalog::Relation;
use crate::exec::cardinality::estimate_logical;
use crate::exec::determined_keys::any_of_group_of;
use crate::exec::row_source::{has_sets, is_once, source};
use crate::exec::scope::StatementScope;
use crate::exec::table::HeliosTable;

/// An optimised plan that reads such columns late.
pub(in crate::exec) fn read_late(plan: LogicalPlan, scope: &StatementScope) -> DfResult<Transformed<LogicalPlan>> {
    plan.transform_up(|node| match &node {
        LogicalPlan::Sort(sort) => Ok(late(sort, scope)?.map_or_else(|| Transformed::no(node), Transformed::yes)),
        _ => Ok(Transformed::no(node)),
    })
}

fn late(sort: &Sort, scope: &StatementScope) -> DfResult<Option<LogicalPlan>> {
    let Some(fetch) = sort.fetch.filter(|fetch| (1..=LIMIT_MAX).contains(fetch)) else { return Ok(None) };
    let (mut order, mut below, mut above) = (sort.expr.clone(), sort.input.as_ref(), Vec::new());
    while let Some(input) = named_anew(below) {
        // Asked once, it would be asked twice: below the sort and above it.
        if below.expressions().iter().any(Expr::is_volatile) {
            return Ok(None);
        }
        for item in &mut order {
            *item = item.with_expr(below_names(&item.expr, below, input)?);
        }
        above.push(below);
        below = input;
    }
    let (filter, below) = match below {
        LogicalPlan::Filter(filter) => (Some(filter), filter.input.as_ref()),
        other => (None, other),
    };
    let LogicalPlan::Aggregate(aggregate) = below else { return Ok(None) };
    // What the order or a condition looks at is needed before.
    let looked = order.iter().map(|item| &item.expr).chain(filter.map(|filter| &filter.predicate));
    let looked: Vec<Column> = looked.flat_map(Expr::column_refs).cloned().collect();
    let Some(plan) = Late::of(aggregate, &looked) else { return Ok(None) };
    let rows = match estimate_logical(below, scope) {
        Some(estimate) => estimate.rows,
        None => plan.live_rows(scope) as f64,
    };
    if rows < (ROWS_FOR_ONE * fetch as u64) as f64 {
        return Ok(None);
    }
    let mut fewer = LogicalPlan::Aggregate(plan.without(aggregate)?);
    if let Some(filter) = filter {
        fewer = LogicalPlan::Filter(Filter::try_new(filter.predicate.clone(), Arc::new(fewer))?);
    }
    let sorted = LogicalPlan::Sort(Sort { expr: order, input: Arc::new(fewer), fetch: sort.fetch });
    let whole = plan.over(sorted, aggregate)?;
    // The columns in the order they had.
    let whole = LogicalPlan::Projection(Projection::new_from_schema(Arc::new(whole), Arc::clone(&aggregate.schema)));
    let named = |input, node: &LogicalPlan| node.with_new_exprs(node.expressions(), vec![input]);
    above.into_iter().rev().try_fold(whole, named).map(Some)
}

/// The input of a step that gives its rows other names, or values computed of them.
fn named_anew(plan: &LogicalPlan) -> Option<&LogicalPlan> {
    match plan {
        LogicalPlan::Projection(projection) => Some(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => Some(&alias.input),
        _ => None,
    }
}

/// An expression over such a step's rows as one over its input's.
fn below_names(expr: &Expr, step: &LogicalPlan, input: &LogicalPlan) -> DfResult<Expr> {
    let below = expr.clone().transform_up(|expr| {
        let Expr::Column(column) = &expr else { return Ok(Transformed::no(expr)) };
        let at = step.schema().index_of_column(column)?;
        Ok(Transformed::yes(match step {
            LogicalPlan::Projection(projection) => match projection.expr.get(at) {
                Some(below) => below.clone().unalias_nested().data,
                None => return Ok(Transformed::no(expr)),
            },
            _ => Expr::Column(Column::from(input.schema().qualified_field(at))),
        }))
    });
    below.map(|below| below.data)
}

/// What of an aggregate is read late, table by table.
struct Late<'a> {
    tables: Vec<LateTable<'a>>,
}

struct LateTable<'a> {
    scan: &'a LogicalPlan,
    relation: Arc<Relation>,
    tree: TreeRef,
    /// Where the aggregate gives the primary key.
    key: Vec<(usize, PhysicalType)>,
    /// The calls that are left out and the table's columns they are of.
    calls: Vec<(usize, (ColumnId, PhysicalType))>,
}

impl<'a> Late<'a> {
    /// `None`: nothing.
    fn of(aggregate: &'a Aggregate, looked: &[Column]) -> Option<Late<'a>> {
        let keys = aggregate.group_expr.len();
        if has_sets(aggregate) || aggregate.schema.fields().len() != keys + aggregate.aggr_expr.len() {
            return None;
        }
        // Where each column of the aggregate comes from, if from a row of a table.
        let sources = aggregate.group_expr.iter().map(Some).chain(aggregate.aggr_expr.iter().map(any_of_group_of));
        let sources: Vec<Option<Stored<'a>>> =
            sources.map(|expr| expr.and_then(|expr| stored(expr, &aggregate.input))).collect();
        let mut tables: Vec<LateTable<'a>> = Vec::new();
        for (at, source) in sources.iter().enumerate().skip(keys) {
            let Some(source) = source else { continue };
            let column = aggregate.schema.qualified_field(at);
            if column.1.data_type().primitive_width().is_some() || looked.contains(&Column::from(column)) {
                continue;
            }
            let known = tables.iter().position(|table| std::ptr::eq(table.scan, source.scan));
            let found = known.or_else(|| {
                tables.push(LateTable::of(source.scan, aggregate, &sources)?);
                Some(tables.len() - 1)
            });
            let Some(table) = found.and_then(|found| tables.get_mut(found)) else { continue };
            if let Some(stored) = stored_column(&table.relation, source.column) {
                table.calls.push((at, stored));
            }
        }
        // A key that is read late itself tells nothing.
        let late: Vec<usize> = tables.iter().flat_map(|table| table.calls.iter().map(|(at, _)| *at)).collect();
        tables.retain(|table| table.key.iter().all(|(at, _)| !late.contains(at)) && !table.calls.is_empty());
        (!tables.is_empty()).then_some(Late { tables })
    }

    /// Rows of the largest of the tables.
    fn live_rows(&self, scope: &StatementScope) -> u64 {
        self.tables.iter().map(|table| scope.shard.tree_size(table.tree).rows).max().unwrap_or(0)
    }

    /// The aggregate without what is read late.
    fn without(&self, aggregate: &Aggregate) -> DfResult<Aggregate> {
        let keys = aggregate.group_expr.len();
        let left = |at: usize| self.tables.iter().all(|table| table.calls.iter().all(|(call, _)| *call != at));
        let calls = aggregate.aggr_expr.iter().enumerate().filter(|(at, _)| left(keys + at));
        let calls = calls.map(|(_, call)| call.clone()).collect();
        Aggregate::try_new(Arc::clone(&aggregate.input), aggregate.group_expr.clone(), calls)
    }

    /// Its groups, of which `rows` are left, with that.
    fn over(&self, rows: LogicalPlan, aggregate: &Aggregate) -> DfResult<LogicalPlan> {
        let column = |at: usize| aggregate.schema.qualified_field(at);
        self.tables.iter().try_fold(rows, |rows, table| {
            let key = table.key.iter().map(|(at, physical)| (Column::from(column(*at)), *physical)).collect();
            let more = table.calls.iter().map(|(at, _)| column(*at));
            let more = more.map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field))).collect();
            let more = DFSchema::new_with_metadata(more, Default::default())?;
            let columns = table.calls.iter().map(|(_, stored)| *stored).collect();
            LateColumns::over(rows, table.tree, key, columns, &more)
        })
    }
}

impl<'a> LateTable<'a> {
    /// The table of a scan, whose columns come from `sources` among others; `None` if they do not say which of its rows it was.
    fn of(scan: &'a LogicalPlan, aggregate: &Aggregate, sources: &[Option<Stored<'_>>]) -> Option<LateTable<'a>> {
        let relation = relation_of(scan).filter(|_| is_once(scan, &aggregate.input))?;
        let table = relation.table()?;
        let part = |attribute: &i16| {
            let column = relation.columns.iter().position(|column| column.attribute == *attribute)?;
            let is_it = |source: &Stored<'_>| std::ptr::eq(source.scan, scan) && source.column == column;
            let at = sources.iter().position(|source| source.as_ref().is_some_and(is_it))?;
            Some((at, stored_column(&relation, column)?.1))
        };
        let key = table.primary_key.as_ref()?.attributes.iter().map(part).collect::<Option<_>>()?;
        let tree = table.tree.tree;
        Some(LateTable { scan, relation, tree, key, calls: Vec::new() })
    }
}

/// How a table keeps a column.
fn stored_column(relation: &Relation, at: usize) -> Option<(ColumnId, PhysicalType)> {
    let column = relation.columns.get(at)?;
    Some((column.id, column.sql_type.physical()?))
}

/// A column of a table's rows.
#[derive(Clone, Copy)]
struct Stored<'a> {
    scan: &'a LogicalPlan,
    /// Its place in the table.
    column: usize,
}

/// The table's column that an expression over a plan's rows is.
fn stored<'a>(expr: &Expr, plan: &'a LogicalPlan) -> Option<Stored<'a>> {
    let (scan, Expr::Column(column)) = source(expr, plan)? else { return None };
    let LogicalPlan::TableScan(table) = scan else { return None };
    let at = table.projected_schema.maybe_index_of_column(&column)?;
    let column = table.projection.as_ref().map_or(Some(at), |kept| kept.get(at).copied())?;
    Some(Stored { scan, column })
}

fn relation_of(scan: &LogicalPlan) -> Option<Arc<Relation>> {
    let LogicalPlan::TableScan(scan) = scan else { return None };
    HeliosTable::relation_of(scan)
}
