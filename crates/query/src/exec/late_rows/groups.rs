//! GROUP BY ... ORDER BY ... LIMIT: what a primary key among the keys determines is read of the groups that are left.
//!
//! `SELECT c_id, c_name, c_address, sum(...) ... GROUP BY 1, 2, 3 ORDER BY 4 DESC LIMIT 20` groups by the key, and takes the rest from
//! any row of a group (`determined_keys`). That the rest is of a table whose key is there means that twenty look-ups give it too: it
//! is neither read of all rows, nor carried through joins, nor kept with all groups.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result as DfResult};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Aggregate, Expr, Filter, LogicalPlan, Projection, Sort};

use super::node::LateColumns;
use super::{LIMIT_MAX, ROWS_FOR_ONE};
use crate::catalog::Relation;
use crate::exec::cardinality::estimate_logical;
use crate::exec::determined_keys::any_of_group_of;
use crate::exec::error::to_datafusion;
use crate::exec::row_source::{is_once, source};
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
    /// Where the aggregate gives the primary key.
    key: Vec<usize>,
    /// The calls that are left out and the table's columns they are of.
    calls: Vec<(usize, usize)>,
}

impl<'a> Late<'a> {
    /// `None`: nothing.
    fn of(aggregate: &'a Aggregate, looked: &[Column]) -> Option<Late<'a>> {
        let keys = aggregate.group_expr.len();
        let plain = aggregate.group_expr.iter().all(|key| !matches!(key, Expr::GroupingSet(_)));
        if !plain || aggregate.schema.fields().len() != keys + aggregate.aggr_expr.len() {
            return None;
        }
        // Where each column of the aggregate comes from, if from a row of a table.
        let argument = |expr: &'a Expr| any_of_group_of(expr);
        let sources = aggregate.group_expr.iter().map(Some).chain(aggregate.aggr_expr.iter().map(argument));
        let sources: Vec<Option<Stored<'a>>> =
            sources.map(|expr| expr.and_then(|expr| stored(expr, &aggregate.input))).collect();
        let mut tables: Vec<LateTable<'a>> = Vec::new();
        for (at, source) in sources.iter().enumerate().skip(keys) {
            let Some(source) = source else { continue };
            let (qualifier, field) = aggregate.schema.qualified_field(at);
            let name = Column::new(qualifier.cloned(), field.name());
            if field.data_type().primitive_width().is_some() || looked.contains(&name) {
                continue;
            }
            if let Some(table) = tables.iter_mut().find(|table| std::ptr::eq(table.scan, source.scan)) {
                table.calls.push((at, source.column));
                continue;
            }
            let once = is_once(source.scan, &aggregate.input);
            let Some(relation) = relation_of(source.scan).filter(|_| once) else { continue };
            let Some(key) = key_of(&relation, source.scan, &sources) else { continue };
            tables.push(LateTable { scan: source.scan, relation, key, calls: vec![(at, source.column)] });
        }
        // A key that is read late itself tells nothing.
        let late: Vec<usize> = tables.iter().flat_map(|table| table.calls.iter().map(|(at, _)| *at)).collect();
        tables.retain(|table| table.key.iter().all(|at| !late.contains(at)));
        (!tables.is_empty()).then_some(Late { tables })
    }

    /// Rows of the largest of the tables.
    fn live_rows(&self, scope: &StatementScope) -> u64 {
        let rows = |table: &LateTable<'_>| Some(scope.shard.tree_size(table.relation.table()?.tree.tree).rows);
        self.tables.iter().filter_map(rows).max().unwrap_or(0)
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
        let internal = || to_datafusion(heliosdb_types::Error::internal("late columns of no table"));
        self.tables.iter().try_fold(rows, |rows, table| {
            let physical = |at: usize| table.relation.columns.get(at).and_then(|column| column.sql_type.physical());
            let own = table.relation.table().ok_or_else(internal)?;
            let attributes = own.primary_key.as_ref().ok_or_else(internal)?.attributes.iter();
            let places = attributes.map(|attribute| place_of(&table.relation, *attribute));
            let mut key = Vec::with_capacity(table.key.len());
            for (at, place) in table.key.iter().zip(places) {
                let (qualifier, field) = aggregate.schema.qualified_field(*at);
                let physical = place.and_then(physical).ok_or_else(internal)?;
                key.push((Column::new(qualifier.cloned(), field.name()), physical));
            }
            let (mut columns, mut more) = (Vec::new(), Vec::new());
            for (at, column) in &table.calls {
                let stored = table.relation.columns.get(*column).ok_or_else(internal)?;
                columns.push((stored.id, physical(*column).ok_or_else(internal)?));
                let (qualifier, field) = aggregate.schema.qualified_field(*at);
                more.push((qualifier.cloned(), Arc::clone(field)));
            }
            let more = DFSchema::new_with_metadata(more, Default::default())?;
            LateColumns::over(rows, own.tree.tree, key, columns, &more)
        })
    }
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
    let provider = source_as_provider(&scan.source).ok()?;
    let table = (provider.as_ref() as &dyn std::any::Any).downcast_ref::<HeliosTable>()?;
    Some(Arc::clone(table.relation()))
}

fn place_of(relation: &Relation, attribute: i16) -> Option<usize> {
    relation.columns.iter().position(|column| column.attribute == attribute)
}

/// Where the columns of a scan's primary key are among columns that come from `sources`; `None` if one is missing.
fn key_of(relation: &Relation, scan: &LogicalPlan, sources: &[Option<Stored<'_>>]) -> Option<Vec<usize>> {
    let key = relation.table()?.primary_key.as_ref()?;
    let place = |attribute: &i16| {
        let column = place_of(relation, *attribute)?;
        sources
            .iter()
            .position(|source| source.is_some_and(|source| std::ptr::eq(source.scan, scan) && source.column == column))
    };
    key.attributes.iter().map(place).collect()
}
