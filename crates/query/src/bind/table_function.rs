//! Functions in FROM: generate_series, and any scalar function as a table of one row.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use datafusion::common::{Column, ScalarValue};
use datafusion::datasource::provider_as_source;
use datafusion::functions_table::generate_series::{GenSeriesArgs, GenerateSeriesTable};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use heliosdb_types::{Error, Result, SqlState, SqlType};
use sqlparser::ast;

use super::binder::Binder;
use super::expr::function_arguments;
use super::from::{FromItem, alias_parts, refuse};
use super::names::object_name;
use super::plan::{self, Item, from_datafusion, one_row};
use super::scope::{Clause, Scope};
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
            bounds.push(constant_i64(value.expr)?);
        }
        let step = bounds.get(2).copied().unwrap_or(Some(1));
        if step == Some(0) {
            return Err(Error::invalid(SqlState::INVALID_PARAMETER_VALUE, "step size cannot equal zero"));
        }
        let name = "generate_series";
        let series = match (bounds.first().copied().flatten(), bounds.get(1).copied().flatten(), step) {
            (Some(start), Some(end), Some(step)) => {
                GenSeriesArgs::Int64Args { start, end, step, include_end: true, name }
            }
            _ => GenSeriesArgs::ContainsNull { name },
        };
        let schema = Arc::new(Schema::new(vec![Field::new("value", DataType::Int64, true)]));
        let provider = Arc::new(GenerateSeriesTable::new(schema, series));
        let qualifier = self.unique_qualifier("generate_series");
        let scan = LogicalPlanBuilder::scan(qualifier.clone(), provider_as_source(provider), None);
        let scan = scan.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?;
        let expr = Expr::Column(Column::new(Some(qualifier), "value"));
        let value = Typed { expr, sql_type: SqlType::Int8, arrow: DataType::Int64 };
        let value = func::cast(value, &sql_type, CastKind::Explicit, self.func())?;
        plan::project(scan, &[Item { name: column.to_owned(), value, origin: None }])
    }
}

/// The value of an expression without columns or parameters; `None` is NULL.
pub(super) fn constant_i64(expr: Expr) -> Result<Option<i64>> {
    let context = SimplifyContext::builder().with_schema(Arc::new(datafusion::common::DFSchema::empty())).build();
    let simplified = ExprSimplifier::new(context).simplify(expr).map_err(from_datafusion)?;
    match simplified {
        Expr::Literal(ScalarValue::Int64(value), _) => Ok(value),
        Expr::Literal(value, _) if value.is_null() => Ok(None),
        _ => Err(Error::unsupported("generate_series with arguments that are not constants")),
    }
}
