//! Functions in FROM: generate_series, and any scalar function as a table of one row.

use std::sync::Arc;

use arrow_schema::DataType;
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Column, ScalarValue, UnnestOptions};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, lit};
use heliosdb_types::{Error, PhysicalType, Result, SqlState, SqlType};
use sqlparser::ast;

use super::binder::{Binder, BoundQuery};
use super::expr::function_arguments;
use super::from::{FromItem, alias_parts, refuse};
use super::names::object_name;
use super::plan::{self, Item, from_datafusion, one_row, simplify};
use super::scope::{Clause, Scope};
use super::series;
use super::subquery::has_subquery;
use crate::func::{self, CastKind, Typed};

impl Binder<'_> {
    pub fn bind_table_function(
        &mut self,
        name: &ast::ObjectName,
        args: &[ast::FunctionArg],
        with_ordinality: bool,
        alias: Option<&ast::TableAlias>,
    ) -> Result<FromItem> {
        refuse(with_ordinality, "WITH ORDINALITY")?;
        let (_, function) = object_name(name)?;
        self.bind_rows_function(function, function_arguments(args)?, alias)
    }

    /// A function called as a FROM item, by its plain name.
    pub fn bind_rows_function(
        &mut self,
        function: String,
        args: Vec<&ast::Expr>,
        alias: Option<&ast::TableAlias>,
    ) -> Result<FromItem> {
        let values = self.in_level(Scope::default(), Clause::FromFunction, |binder| {
            args.into_iter().map(|arg| binder.bind_expr(arg)).collect::<Result<Vec<_>>>()
        })?;
        // A function with one result column names it after the table alias, so `generate_series(1, 3) AS n` has column n.
        let column = alias_parts(alias)?.0.unwrap_or_else(|| function.clone());
        let query = match function.as_str() {
            "generate_series" => self.generate_series(values, &column)?,
            "unnest" => self.unnest(values, &column)?,
            _ => {
                let value = func::call(&function, values, self.func())?;
                plan::project(one_row(), &[Item { name: column, value: self.settle(value)?, origin: None }])?
            }
        };
        self.bind_derived(query, alias, &function)
    }

    /// `unnest(array)`: a row for each element.
    fn unnest(&mut self, args: Vec<Typed>, column: &str) -> Result<BoundQuery> {
        let [array] = <[Typed; 1]>::try_from(args).map_err(|_| Error::unsupported("unnest of several arrays"))?;
        let (list, element_type) = func::element_list(array)?;
        let text =
            if element_type.physical() == Some(PhysicalType::Text) { element_type.clone() } else { SqlType::Text };
        self.unnest_list(list, text, DataType::Utf8View, &element_type, column)
    }

    /// One row for each element of a list value.
    fn unnest_list(
        &mut self,
        list: Expr,
        from: SqlType,
        arrow: DataType,
        to: &SqlType,
        column: &str,
    ) -> Result<BoundQuery> {
        // Unnesting drops a qualifier, so the name itself is unique.
        self.computed += 1;
        let element = Column::new_unqualified(format!("element:{}", self.computed));
        let plan = plan::builder(one_row()).project([list.alias(&element.name)]);
        let options = UnnestOptions::new().with_preserve_nulls(false);
        let plan = plan.and_then(|plan| plan.unnest_column_with_options(element.clone(), options));
        let plan = plan.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?;
        let value = Typed { expr: Expr::Column(element), sql_type: from, arrow };
        let value = func::cast(value, to, CastKind::Explicit, self.func())?;
        plan::project(plan, &[Item { name: column.to_owned(), value, origin: None }])
    }

    fn generate_series(&mut self, args: Vec<Typed>, column: &str) -> Result<BoundQuery> {
        if !(2..=3).contains(&args.len()) {
            return func::call("generate_series", args, self.func()).and(Err(Error::internal("no such function")));
        }
        let integer =
            |arg: &Typed| matches!(arg.sql_type, SqlType::Int2 | SqlType::Int4 | SqlType::Int8 | SqlType::Unknown);
        if !args.iter().all(integer) {
            return Err(Error::unsupported("generate_series of other than integers"));
        }
        let wide = args.iter().any(|arg| arg.sql_type == SqlType::Int8);
        let sql_type = if wide { SqlType::Int8 } else { SqlType::Int4 };
        let mut bounds = Vec::with_capacity(3);
        for arg in args {
            let value = func::cast(arg, &SqlType::Int8, CastKind::Implicit, self.func())?;
            bounds.push(simplify(value.expr)?);
        }
        let step = match bounds.get(2) {
            Some(step) => constant(step).ok_or_else(|| Error::unsupported("a step that is not a constant"))?,
            None => Some(1),
        };
        if step == Some(0) {
            return Err(Error::invalid(SqlState::INVALID_PARAMETER_VALUE, "step size cannot equal zero"));
        }
        let (Some(start), Some(end)) = (bounds.first(), bounds.get(1)) else {
            return Err(Error::internal("a series without bounds"));
        };
        if bounds.iter().any(depends_on_rows) {
            let list = func::series_list(vec![start.clone(), end.clone(), lit(ScalarValue::Int64(step))]);
            return self.unnest_list(list, SqlType::Int8, DataType::Int64, &sql_type, column);
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
            _ => return Err(Error::unsupported("generate_series with a step and bounds that are not constants")),
        };
        let scan = LogicalPlanBuilder::scan(qualifier, provider_as_source(provider), None);
        let mut scan = scan.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?;
        if let Some(condition) = condition {
            scan = plan::filter(scan, condition)?;
        }
        let value = Typed { expr: value, sql_type: SqlType::Int8, arrow: DataType::Int64 };
        let value = func::cast(value, &sql_type, CastKind::Explicit, self.func())?;
        plan::project(scan, &[Item { name: column.to_owned(), value, origin: None }])
    }
}

/// A series whose bounds are computed from rows: columns of an outer query, subqueries.
fn depends_on_rows(expr: &Expr) -> bool {
    let outer = expr.exists(|node| Ok(matches!(node, Expr::OuterReferenceColumn(..))));
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
