//! Functions in FROM: generate_series, and any scalar function as a table of one row.

use std::sync::Arc;

use arrow_schema::DataType;
use datafusion::catalog::TableProvider;
use datafusion::common::{Column, ScalarValue};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};
use heliosdb_types::{Error, Result, SqlState, SqlType};
use sqlparser::ast;

use super::binder::Binder;
use super::expr::function_arguments;
use super::from::{FromItem, alias_parts, refuse};
use super::names::object_name;
use super::plan::{self, Item, from_datafusion, one_row, simplify};
use super::scope::{Clause, Scope};
use super::series;
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
        let values = self.in_level(Scope::default(), Clause::FromFunction, |binder| {
            function_arguments(args)?.into_iter().map(|arg| binder.bind_expr(arg)).collect::<Result<Vec<_>>>()
        })?;
        // A function with one result column names it after the table alias, so `generate_series(1, 3) AS n` has column n.
        let column = alias_parts(alias)?.0.unwrap_or_else(|| function.clone());
        let query = match function.as_str() {
            "generate_series" => self.generate_series(values, &column)?,
            "unnest" => return Err(Error::unsupported("unnest")),
            _ => {
                let value = func::call(&function, values, self.func())?;
                plan::project(one_row(), &[Item { name: column, value: self.settle(value)?, origin: None }])?
            }
        };
        self.bind_derived(query, alias, &function)
    }

    fn generate_series(&mut self, args: Vec<Typed>, column: &str) -> Result<super::binder::BoundQuery> {
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

/// A bigint literal; the inner `None` is NULL, the outer one something else.
fn constant(expr: &Expr) -> Option<Option<i64>> {
    match expr {
        Expr::Literal(ScalarValue::Int64(value), _) => Some(*value),
        Expr::Literal(value, _) if value.is_null() => Some(None),
        _ => None,
    }
}
