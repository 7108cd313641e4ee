//! Functions in FROM: those that give rows, and any scalar function as a table of one row.

use std::sync::Arc;

use arrow_schema::DataType;
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Column, ScalarValue};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};
use heliosdb_types::{Error, Result, SqlState, SqlType};
use sqlparser::ast::{self, TableFactor};

use super::binder::{Binder, BoundQuery};
use super::expr::function_arguments;
use super::file::is_file;
use super::from::{FromItem, alias_parts, refuse};
use super::names::object_name;
use super::plan::{self, Item, from_datafusion, one_row, simplify};
use super::rows::{RowsItem, unnest_calls};
use super::scope::{Clause, Scope};
use super::series;
use super::subquery::has_subquery;
use crate::func::{self, CastKind, Typed};

/// A function as a FROM item.
pub(super) struct FunctionFactor<'q> {
    name: String,
    args: Vec<&'q ast::Expr>,
    ordinality: bool,
    alias: Option<&'q ast::TableAlias>,
}

/// The function a FROM item calls; `None` for other items.
pub(super) fn function_factor(factor: &TableFactor) -> Result<Option<FunctionFactor<'_>>> {
    if is_file(factor) {
        return Ok(None);
    }
    let (name, args, ordinality, alias) = match factor {
        TableFactor::Table {
            name,
            alias,
            args: Some(ast::TableFunctionArgs { args, settings }),
            with_hints,
            version,
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_hints,
        } => {
            refuse(!with_hints.is_empty() || !index_hints.is_empty(), "hints")?;
            refuse(version.is_some(), "a table version (AS OF)")?;
            refuse(!partitions.is_empty(), "PARTITION in FROM")?;
            refuse(json_path.is_some(), "a JSON path in FROM")?;
            refuse(sample.is_some(), "TABLESAMPLE")?;
            refuse(settings.is_some(), "SETTINGS in FROM")?;
            (object_name(name)?.1, function_arguments(args)?, *with_ordinality, alias)
        }
        // Functions see the items before them with and without the word.
        TableFactor::Function { lateral: _, name, args, with_ordinality, alias } => {
            (object_name(name)?.1, function_arguments(args)?, *with_ordinality, alias)
        }
        TableFactor::UNNEST { alias, array_exprs, with_offset, with_offset_alias, with_ordinality } => {
            refuse(*with_offset || with_offset_alias.is_some(), "WITH OFFSET")?;
            ("unnest".to_owned(), array_exprs.iter().collect(), *with_ordinality, alias)
        }
        _ => return Ok(None),
    };
    Ok(Some(FunctionFactor { name, args, ordinality, alias: alias.as_ref() }))
}

impl Binder<'_> {
    /// A function that uses nothing of the items before it.
    pub fn bind_function_factor(&mut self, factor: &FunctionFactor<'_>) -> Result<FromItem> {
        let args = self.bind_function_factor_args(factor, Scope::default())?;
        self.function_table(factor, args)
    }

    /// A function after other items, which its arguments may use; a cross join (a left join on true when `outer`).
    /// `Err` holds `left` and the function's own item when it uses none of them.
    pub fn bind_function_beside(
        &mut self,
        left: FromItem,
        factor: &FunctionFactor<'_>,
        outer: bool,
    ) -> Result<std::result::Result<FromItem, (FromItem, FromItem)>> {
        let args = self.bind_function_factor_args(factor, left.scope.clone())?;
        let columns = |arg: &Typed| arg.expr.exists(|node| Ok(matches!(node, Expr::Column(_)))).unwrap_or(true);
        if !args.iter().any(columns) {
            let right = self.function_table(factor, args)?;
            return Ok(Err((left, right)));
        }
        if let Some(item) = self.rows_item(factor, &args)? {
            return self.join_rows(left, item, factor.alias, &factor.name, outer).map(Ok);
        }
        refuse(factor.ordinality, "WITH ORDINALITY of a function of one row")?;
        let value = func::call(&factor.name, args, self.func())?;
        let value = self.settle(value)?;
        self.join_value(left, value, factor).map(Ok)
    }

    fn bind_function_factor_args(&mut self, factor: &FunctionFactor<'_>, scope: Scope) -> Result<Vec<Typed>> {
        self.in_level(scope, Clause::FromFunction, |binder| {
            factor.args.iter().map(|arg| binder.bind_expr(arg)).collect::<Result<Vec<_>>>()
        })
    }

    fn rows_item(&mut self, factor: &FunctionFactor<'_>, args: &[Typed]) -> Result<Option<RowsItem>> {
        let ordinality = factor.ordinality;
        if factor.name == "unnest" {
            let calls = unnest_calls(args.to_vec(), self.func())?;
            let names = calls.iter().map(|_| "unnest".to_owned()).collect();
            return Ok(Some(RowsItem { calls, names, ordinality, defined: false }));
        }
        if func::is_record_function(&factor.name) {
            return self.record_item(factor, args).map(Some);
        }
        let Some(call) = func::rows(&factor.name, args, self.func()) else { return Ok(None) };
        let call = call?;
        let names = call.columns.iter().map(|column| column.name.clone()).collect();
        Ok(Some(RowsItem { calls: vec![call], names, ordinality, defined: false }))
    }

    /// A function whose columns a definition list names: `json_to_record(...) AS t (a int, b text)`.
    fn record_item(&mut self, factor: &FunctionFactor<'_>, args: &[Typed]) -> Result<RowsItem> {
        let (_, definitions) = alias_parts(factor.alias)?;
        let missing = || {
            let message = "a column definition list is required for functions returning \"record\"";
            Error::syntax(message)
        };
        let mut columns = Vec::with_capacity(definitions.len());
        for ast::TableAliasColumnDef { name, data_type } in definitions {
            let sql_type = self.type_written(data_type.as_ref().ok_or_else(missing)?)?;
            columns.push(func::RecordColumn { name: super::names::fold_identifier(name), sql_type });
        }
        if columns.is_empty() {
            return Err(missing());
        }
        let call = func::record_rows(&factor.name, args, columns, self.func())?;
        let names = call.columns.iter().map(|column| column.name.clone()).collect();
        Ok(RowsItem { calls: vec![call], names, ordinality: factor.ordinality, defined: true })
    }

    fn function_table(&mut self, factor: &FunctionFactor<'_>, args: Vec<Typed>) -> Result<FromItem> {
        if factor.name == "generate_series"
            && !factor.ordinality
            && let Some(query) = self.integer_series(&args, &factor.column_name()?)?
        {
            return self.bind_derived(query, factor.alias, &factor.name);
        }
        if let Some(item) = self.rows_item(factor, &args)? {
            let left = FromItem { plan: one_row(), scope: Scope::default() };
            return self.join_rows(left, item, factor.alias, &factor.name, false);
        }
        refuse(factor.ordinality, "WITH ORDINALITY of a function of one row")?;
        let value = func::call(&factor.name, args, self.func())?;
        let item = Item { name: factor.column_name()?, value: self.settle(value)?, origin: None };
        let query = plan::project(one_row(), &[item])?;
        self.bind_derived(query, factor.alias, &factor.name)
    }

    /// A scalar function of the items before it: one more column.
    fn join_value(&mut self, left: FromItem, value: Typed, factor: &FunctionFactor<'_>) -> Result<FromItem> {
        let name = alias_parts(factor.alias)?.0.unwrap_or_else(|| factor.name.clone());
        let names = super::binder::alias_columns(&name, vec![factor.column_name()?], alias_parts(factor.alias)?.1)?;
        let column = names.into_iter().next().ok_or_else(|| Error::internal("one column"))?;
        let qualifier = self.unique_qualifier(&name);
        let mut exprs: Vec<Expr> = left.plan.schema().columns().into_iter().map(Expr::Column).collect();
        exprs.push(value.expr.alias_qualified(Some(qualifier.clone()), &column));
        let plan =
            plan::builder(left.plan).project(exprs).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?;
        let mut shown = super::scope::column_value(Some(&qualifier), &column, value.sql_type);
        shown.arrow = value.arrow;
        let column = super::scope::ScopeColumn { name: column, value: shown, origin: None };
        let mut scope = left.scope;
        let row = super::scope::RowShape::Scalar;
        let relation = super::scope::ScopeRelation { name, schema: None, columns: vec![column], table: None, row };
        scope.extend(Scope::of(relation))?;
        Ok(FromItem { plan, scope })
    }

    /// `generate_series` of integers as a table of its own, where its bounds are known before the query runs; `None` where
    /// they are not.
    fn integer_series(&mut self, args: &[Typed], column: &str) -> Result<Option<BoundQuery>> {
        let integer =
            |arg: &Typed| matches!(arg.sql_type, SqlType::Int2 | SqlType::Int4 | SqlType::Int8 | SqlType::Unknown);
        if !(2..=3).contains(&args.len()) || !args.iter().all(integer) {
            return Ok(None);
        }
        let sql_type = func::integer_series(args)?;
        let mut bounds = Vec::with_capacity(3);
        for arg in args {
            let value = func::series_bound(arg.clone(), &sql_type, self.func())?;
            bounds.push(simplify(value.expr)?);
        }
        let step = match bounds.get(2).map(constant) {
            Some(Some(step)) => step,
            Some(None) => return Ok(None),
            None => Some(1),
        };
        if step == Some(0) {
            return Err(Error::invalid(SqlState::INVALID_PARAMETER_VALUE, "step size cannot equal zero"));
        }
        let (Some(start), Some(end)) = (bounds.first(), bounds.get(1)) else {
            return Err(Error::internal("a series without bounds"));
        };
        if bounds.iter().any(depends_on_rows) {
            return Ok(None);
        }
        let qualifier = self.unique_qualifier("generate_series");
        let value = Expr::Column(Column::new(Some(qualifier.clone()), series::VALUE));
        let (provider, condition): (Arc<dyn TableProvider>, _) = match (constant(start), constant(end), step) {
            (Some(start), Some(end), step) => (Arc::new(series::closed(start, end, step)), None),
            (_, _, Some(step @ (1 | -1))) => {
                let (least, most) = if step > 0 { (start, end) } else { (end, start) };
                let condition = value.clone().gt_eq(least.clone()).and(value.clone().lt_eq(most.clone()));
                (Arc::new(series::OpenSeries::new(step)), Some(condition))
            }
            _ => return Ok(None),
        };
        let scan = LogicalPlanBuilder::scan(qualifier, provider_as_source(provider), None);
        let mut scan = scan.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?;
        if let Some(condition) = condition {
            scan = plan::filter(scan, condition)?;
        }
        let value = Typed { expr: value, sql_type: SqlType::Int8, arrow: DataType::Int64 };
        let value = func::cast(value, &sql_type, CastKind::Explicit, self.func())?;
        plan::project(scan, &[Item { name: column.to_owned(), value, origin: None }]).map(Some)
    }
}

impl FunctionFactor<'_> {
    /// A function with one result column names it after the table alias, so `generate_series(1, 3) AS n` has column n.
    fn column_name(&self) -> Result<String> {
        Ok(alias_parts(self.alias)?.0.unwrap_or_else(|| self.name.clone()))
    }
}

/// A series whose bounds are computed from rows: columns of an outer query, subqueries.
fn depends_on_rows(expr: &Expr) -> bool {
    let outer = expr.exists(|node| Ok(matches!(node, Expr::OuterReferenceColumn(..) | Expr::Column(_))));
    outer.unwrap_or(true) || has_subquery(expr)
}

/// A bigint literal; the inner `None` is NULL, the outer one something else.
fn constant(expr: &Expr) -> Option<Option<i64>> {
    match expr {
        Expr::Literal(ScalarValue::Int64(value), _) => Some(*value),
        Expr::Literal(value, _) if value.is_null() => Some(None),
        _ => None,
    }
}
