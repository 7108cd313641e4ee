//! Function calls: scalar functions, aggregates, window functions.

use arrow_schema::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::functions::core::expr_fn;
use datafusion::functions_aggregate::grouping::grouping_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, Sort};
use datafusion::logical_expr::{Expr as PlanExpr, LogicalPlan};
use heliosdb_types::{Error, Result, SqlState, SqlType};
use sqlparser::ast::{self, DuplicateTreatment, Expr, FunctionArg, FunctionArgExpr, FunctionArgumentClause, Spanned};
use sqlparser::tokenizer::Span;

use super::filter;
use crate::bind::aggregate::contains_window;
use crate::bind::binder::Binder;
use crate::bind::from::refuse;
use crate::bind::names::{fold_identifier, object_name, object_name_span};
use crate::bind::scope::Clause;
use crate::bind::tokens::VARIADIC;
use crate::func::{self, CastKind, Typed, WindowCall};

/// The argument list of a call, checked field by field.
struct Arguments<'q> {
    exprs: Vec<&'q Expr>,
    star: bool,
    distinct: bool,
    order_by: &'q [ast::OrderByExpr],
    /// `name => value`.
    named: Vec<(String, &'q Expr)>,
    /// Whether the last of `exprs` is an array of arguments.
    variadic: bool,
}

impl Binder<'_> {
    pub fn bind_function(&mut self, call: &ast::Function) -> Result<Typed> {
        let ast::Function { name, uses_odbc_syntax, parameters, args, filter, null_treatment, over, within_group } =
            call;
        refuse(*uses_odbc_syntax, "{fn ...}")?;
        refuse(!matches!(parameters, ast::FunctionArguments::None), "parameters before a function's arguments")?;
        refuse(null_treatment.is_some(), "IGNORE/RESPECT NULLS")?;
        let span = object_name_span(name);
        let (schema, function) = object_name(name)?;
        let own = if function == func::EXPAND_ARRAY { "information_schema" } else { "pg_catalog" };
        if function == func::EXPAND_ARRAY && schema.is_none() {
            let args =
                arguments(args)?.exprs.into_iter().map(|expr| self.bind_expr(expr)).collect::<Result<Vec<_>>>()?;
            return self.at(span, Err(func::undefined(&function, &args)));
        }
        if let Some(schema) = schema
            && schema != own
        {
            return Err(self.unknown_schema(&schema, &function, span));
        }
        if let ast::FunctionArguments::Subquery(query) = args {
            return match function.as_str() {
                "array" => self.bind_array_subquery(query),
                _ => self.bind_subquery_argument(&function, query),
            };
        }
        let arguments = arguments(args)?;
        if arguments.variadic {
            let special = !within_group.is_empty() || over.is_some() || func::is_aggregate(&function);
            refuse(special, "VARIADIC in a call of an aggregate or window function")?;
        }
        if !within_group.is_empty() {
            refuse(over.is_some(), "OVER for an ordered-set aggregate")?;
            let bound = self.bind_ordered_set(&function, &arguments, within_group, filter.as_deref(), span);
            return self.at(span, bound);
        }
        if function == "grouping" {
            return self.bind_grouping(&arguments, span);
        }
        let bound = if let Some(over) = over {
            self.bind_window_call(&function, &arguments, filter.as_deref(), over, span)
        } else if func::is_aggregate(&function) {
            self.bind_aggregate_call(&function, &arguments, filter.as_deref(), span)
        } else if func::is_window(&function) {
            let message = format!("window function {function} requires an OVER clause");
            Err(self.error_at(span, SqlState::WRONG_OBJECT_TYPE, message))
        } else {
            self.bind_scalar_call(&function, &arguments, filter.is_some(), span)
        };
        self.at(span, bound)
    }

    fn unknown_schema(&self, schema: &str, function: &str, span: Span) -> Error {
        if self.context.catalog.schema_named(schema).is_some() {
            let message = format!("function {schema}.{function} does not exist");
            return self.error_at(span, SqlState::UNDEFINED_FUNCTION, message);
        }
        self.error_at(span, SqlState::INVALID_SCHEMA_NAME, format!("schema \"{schema}\" does not exist"))
    }

    /// `f((SELECT ...))` written with one pair of parentheses.
    fn bind_subquery_argument(&mut self, function: &str, query: &ast::Query) -> Result<Typed> {
        let value = self.bind_scalar_subquery(query)?;
        func::call(function, vec![value], self.func())
    }

    fn bind_scalar_call(
        &mut self,
        function: &str,
        arguments: &Arguments<'_>,
        filtered: bool,
        span: Span,
    ) -> Result<Typed> {
        let misused = |what: &str| {
            let message = format!("{what} specified, but {function} is not an aggregate function");
            Err(self.error_at(span, SqlState::WRONG_OBJECT_TYPE, message))
        };
        if arguments.distinct {
            return misused("DISTINCT");
        }
        if filtered {
            return misused("FILTER");
        }
        if !arguments.order_by.is_empty() {
            return misused("ORDER BY");
        }
        if arguments.star {
            let message = format!("{function}(*) specified, but {function} is not an aggregate function");
            return Err(self.error_at(span, SqlState::WRONG_OBJECT_TYPE, message));
        }
        if !arguments.named.is_empty() {
            return self.bind_named_call(function, arguments);
        }
        if function == "row" {
            return self.bind_row(&arguments.exprs);
        }
        let args = arguments.exprs.iter().map(|expr| self.bind_expr(expr)).collect::<Result<Vec<_>>>()?;
        let result = match function {
            "coalesce" | "greatest" | "least" | "nullif" if !arguments.variadic => self
                .bind_conditional(function, args)
                .and_then(|result| result.ok_or_else(|| Error::internal("not a conditional"))),
            _ if arguments.variadic => {
                let last = arguments.exprs.last().map_or(span, |array| array.span());
                func::call_variadic(function, &args, self.func()).map_err(|error| match error.state() {
                    SqlState::DATATYPE_MISMATCH => self.positions.mark(error, last),
                    _ => error,
                })
            }
            _ if func::gives_rows(function) => self.bind_rows_call(function, args),
            _ => func::call(function, args, self.func()),
        };
        result.map_err(|error| self.positions.blame(error, arguments.exprs.iter().copied()))
    }

    /// A call with arguments by name. Functions of ours have no parameter names but `make_interval`, whose many zeros beg for it.
    fn bind_named_call(&mut self, function: &str, arguments: &Arguments<'_>) -> Result<Typed> {
        const PARAMETERS: [&str; 7] = ["years", "months", "weeks", "days", "hours", "mins", "secs"];
        refuse(function != "make_interval", "named arguments")?;
        let mut args = arguments.exprs.iter().map(|expr| self.bind_expr(expr)).collect::<Result<Vec<_>>>()?;
        let given = args.len();
        while args.len() < PARAMETERS.len() {
            args.push(func::literal(&ast::Value::Number("0".to_owned(), false))?);
        }
        for (name, expr) in &arguments.named {
            let at = PARAMETERS.iter().position(|parameter| parameter == name).filter(|at| *at >= given);
            let value = self.bind_expr(expr)?;
            match at.and_then(|at| args.get_mut(at)) {
                Some(arg) => *arg = value,
                None => {
                    let message = format!("function {function}({name} => {}) does not exist", value.sql_type.name());
                    return Err(Error::invalid(SqlState::UNDEFINED_FUNCTION, message));
                }
            }
        }
        func::call(function, args, self.func())
    }

    /// `percentile_cont(0.5) WITHIN GROUP (ORDER BY x)`.
    fn bind_ordered_set(
        &mut self,
        function: &str,
        arguments: &Arguments<'_>,
        within_group: &[ast::OrderByExpr],
        filter: Option<&Expr>,
        span: Span,
    ) -> Result<Typed> {
        if matches!(function, "rank" | "dense_rank" | "percent_rank" | "cume_dist") {
            return Err(Error::unsupported(format!("the hypothetical-set aggregate {function}")));
        }
        self.check_aggregate_place(span)?;
        self.level().in_aggregate = true;
        let keys = self.bind_sort_keys(within_group);
        let parts = keys.and_then(|keys| Ok((keys, self.bind_aggregate_parts(arguments, filter)?)));
        self.level().in_aggregate = false;
        let (keys, (direct, _, filter)) = parts?;
        let key_types = keys.iter().map(|key| key.value.clone());
        if !func::is_ordered_set(function) || keys.len() != 1 {
            let all: Vec<Typed> = direct.into_iter().chain(key_types).collect();
            return func::call(function, all, self.func()).and_then(|_| {
                Err(Error::invalid(
                    SqlState::WRONG_OBJECT_TYPE,
                    format!("{function} is not an ordered-set aggregate, so it cannot have WITHIN GROUP"),
                ))
            });
        }
        let key = keys.into_iter().next().ok_or_else(|| Error::internal("a sort key"))?;
        refuse(
            only_outer(std::iter::once(&key.value.expr).chain(&filter)),
            "an aggregate of an outer query's columns inside a subquery",
        )?;
        let mut value = [key.value];
        filter::guard(&mut value, &mut [], filter.as_ref())?;
        let [value] = value;
        func::ordered_set(function, direct, value, !key.asc, filter, self.func())
    }

    /// Whether an aggregate may stand here.
    fn check_aggregate_place(&mut self, span: Span) -> Result<()> {
        let level = self.level();
        let (clause, nested) = (level.clause, level.in_aggregate);
        if !clause.allows_aggregates() {
            let message = match clause {
                Clause::JoinOn => "aggregate functions are not allowed in JOIN conditions".to_owned(),
                other => format!("aggregate functions are not allowed in {}", other.name()),
            };
            return Err(self.error_at(span, SqlState::GROUPING_ERROR, message));
        }
        if nested {
            let message = "aggregate function calls cannot be nested";
            return Err(self.error_at(span, SqlState::GROUPING_ERROR, message));
        }
        Ok(())
    }

    fn bind_aggregate_call(
        &mut self,
        function: &str,
        arguments: &Arguments<'_>,
        filter: Option<&Expr>,
        span: Span,
    ) -> Result<Typed> {
        self.check_aggregate_place(span)?;
        self.level().in_aggregate = true;
        let parts = self.bind_aggregate_parts(arguments, filter);
        self.level().in_aggregate = false;
        let (mut args, mut order_by, filter) = parts?;
        if arguments.distinct {
            self.check_distinct_order(arguments, &args, &order_by)?;
        }
        let windowed = args.iter().any(|arg| contains_window(&arg.expr));
        if windowed {
            let message = "aggregate function calls cannot contain window function calls";
            return Err(self.error_at(span, SqlState::GROUPING_ERROR, message));
        }
        refuse(
            only_outer(args.iter().map(|arg| &arg.expr).chain(&filter)),
            "an aggregate of an outer query's columns inside a subquery",
        )?;
        // With DISTINCT the keys are arguments as they are written.
        if !arguments.distinct || order_by.is_empty() {
            filter::guard(&mut args, &mut order_by, filter.as_ref())?;
        }
        func::aggregate(function, args, arguments.distinct, filter, order_by, arguments.star, self.func())
    }

    /// Values that are told apart by the arguments alone have no one place in an order by something else.
    fn check_distinct_order(&self, arguments: &Arguments<'_>, args: &[Typed], order_by: &[Sort]) -> Result<()> {
        let args = args.iter().map(|arg| self.settle(arg.clone()).map(|arg| func::sort_key(&arg)));
        let args = args.collect::<Result<Vec<_>>>()?;
        let Some(at) = order_by.iter().position(|key| !args.contains(&key.expr)) else { return Ok(()) };
        let span = arguments.order_by.get(at).map_or_else(Span::empty, |item| item.expr.span());
        let message = "in an aggregate with DISTINCT, ORDER BY expressions must appear in argument list";
        Err(self.error_at(span, SqlState::INVALID_COLUMN_REFERENCE, message))
    }

    #[allow(clippy::type_complexity)]
    fn bind_aggregate_parts(
        &mut self,
        arguments: &Arguments<'_>,
        filter: Option<&Expr>,
    ) -> Result<(Vec<Typed>, Vec<Sort>, Option<PlanExpr>)> {
        let args = arguments.exprs.iter().map(|expr| self.bind_expr(expr)).collect::<Result<Vec<_>>>()?;
        let order_by = self.bind_sort_expressions(arguments.order_by)?;
        let filter = match filter {
            Some(condition) => {
                let clause = std::mem::replace(&mut self.level().clause, Clause::Filter);
                let condition = self.bind_condition(condition, "FILTER");
                self.level().clause = clause;
                Some(condition?.expr)
            }
            None => None,
        };
        Ok((args, order_by, filter))
    }

    fn bind_window_call(
        &mut self,
        function: &str,
        arguments: &Arguments<'_>,
        filter: Option<&Expr>,
        over: &ast::WindowType,
        span: Span,
    ) -> Result<Typed> {
        if !func::is_aggregate(function) && !func::is_window(function) {
            let args = arguments.exprs.iter().map(|expr| self.bind_expr(expr)).collect::<Result<Vec<_>>>()?;
            func::call(function, args, self.func())?;
            let message = format!("OVER specified, but {function} is not a window function nor an aggregate function");
            return Err(self.error_at(span, SqlState::WRONG_OBJECT_TYPE, message));
        }
        let level = self.level();
        let (clause, nested, in_aggregate) = (level.clause, level.in_window, level.in_aggregate);
        if nested {
            return Err(self.error_at(span, SqlState::WINDOWING_ERROR, "window function calls cannot be nested"));
        }
        if in_aggregate {
            let message = "aggregate function calls cannot contain window function calls";
            return Err(self.error_at(span, SqlState::GROUPING_ERROR, message));
        }
        if !clause.allows_windows() {
            let message = format!("window functions are not allowed in {}", clause.name());
            return Err(self.error_at(span, SqlState::WINDOWING_ERROR, message));
        }
        refuse(!arguments.order_by.is_empty(), "ORDER BY inside a window function's arguments")?;
        if arguments.distinct {
            let message = "DISTINCT is not implemented for window functions";
            return Err(self.error_at(span, SqlState::FEATURE_NOT_SUPPORTED, message));
        }
        self.level().in_window = true;
        let parts = self.bind_aggregate_parts(arguments, filter).and_then(|parts| Ok((parts, self.bind_window(over)?)));
        self.level().in_window = false;
        let ((args, _, filter), window) = parts?;
        let call = WindowCall {
            args,
            star: arguments.star,
            distinct: false,
            filter,
            partition_by: window.partition_by,
            order_by: window.order_by,
            frame: window.frame,
        };
        func::window(function, filter::without_filter(function, call)?, self.func())
    }

    /// GROUPING(a, b): which of the arguments the row's grouping set leaves out, as bits. DataFusion resolves it.
    fn bind_grouping(&mut self, arguments: &Arguments<'_>, span: Span) -> Result<Typed> {
        let level = self.level();
        if !level.clause.allows_aggregates() || level.in_aggregate {
            let message = format!("grouping operations are not allowed in {}", level.clause.name());
            return Err(self.error_at(span, SqlState::GROUPING_ERROR, message));
        }
        // A bit of the result is for each.
        if arguments.exprs.len() > 31 {
            return Err(self.error_at(span, SqlState(*b"54023"), "GROUPING must have fewer than 32 arguments"));
        }
        self.level().in_aggregate = true;
        let args = arguments.exprs.iter().map(|expr| self.bind_expr(expr)).collect::<Result<Vec<_>>>();
        self.level().in_aggregate = false;
        let args = args?.into_iter().map(|arg| arg.expr).collect();
        let call = AggregateFunction::new_udf(grouping_udaf(), args, false, None, vec![], None);
        Ok(Typed { expr: PlanExpr::AggregateFunction(call), sql_type: SqlType::Int4, arrow: DataType::Int32 })
    }

    /// `ARRAY(SELECT ...)`: the values in the subquery's order, '{}' for no rows.
    fn bind_array_subquery(&mut self, query: &ast::Query) -> Result<Typed> {
        let (plan, column, order) = self.bind_column_subquery(query)?;
        let call = func::aggregate("array_agg", vec![column], false, None, order, false, self.func())?;
        let array = self.aggregate_subquery(plan, call)?;
        let empty = func::cast(
            func::literal(&ast::Value::SingleQuotedString("{}".to_owned()))?,
            &array.sql_type,
            CastKind::Implicit,
            self.func(),
        )?;
        let expr = expr_fn::coalesce(vec![array.expr, empty.expr]);
        Ok(Typed { expr, ..array })
    }

    /// A subquery's plan, its only column, and the order of its rows as far as its own columns give it.
    fn bind_column_subquery(&mut self, query: &ast::Query) -> Result<(LogicalPlan, Typed, Vec<Sort>)> {
        let bound = self.bind_inner_query(query)?;
        let [column] = bound.columns.as_slice() else {
            return Err(Error::syntax("subquery must return only one column"));
        };
        // Sort keys that are no output columns are projected away above the sort: go below that, where all are.
        if let LogicalPlan::Projection(projection) = &bound.plan
            && let [value] = projection.expr.as_slice()
            && let Some(order) = row_order(&projection.input)
        {
            let column = Typed { expr: value.clone().unalias(), ..column.value.clone() };
            return Ok((projection.input.as_ref().clone(), column, order));
        }
        let order = row_order(&bound.plan).unwrap_or_default();
        Ok((bound.plan, column.value.clone(), order))
    }
}

/// The order of a plan's rows, over its columns.
fn row_order(plan: &LogicalPlan) -> Option<Vec<Sort>> {
    match plan {
        LogicalPlan::Sort(sort) => Some(sort.expr.clone()),
        LogicalPlan::Limit(limit) => row_order(&limit.input),
        _ => None,
    }
}

/// Whether there are columns and all belong to outer queries.
fn only_outer<'a>(parts: impl Iterator<Item = &'a PlanExpr>) -> bool {
    let (mut inner, mut outer) = (false, false);
    for part in parts {
        let walked = part.apply(|node| {
            match node {
                PlanExpr::Column(_) => inner = true,
                PlanExpr::OuterReferenceColumn(..) => outer = true,
                _ => {}
            }
            Ok(TreeNodeRecursion::Continue)
        });
        if walked.is_err() {
            return false;
        }
    }
    outer && !inner
}

fn arguments(args: &ast::FunctionArguments) -> Result<Arguments<'_>> {
    let mut result = Arguments {
        exprs: Vec::new(),
        star: false,
        distinct: false,
        order_by: &[],
        named: Vec::new(),
        variadic: false,
    };
    let list = match args {
        ast::FunctionArguments::None => return Ok(result),
        ast::FunctionArguments::Subquery(_) => return Err(Error::internal("a subquery is not an argument list")),
        ast::FunctionArguments::List(list) => list,
    };
    let ast::FunctionArgumentList { duplicate_treatment, args, clauses } = list;
    result.distinct = matches!(duplicate_treatment, Some(DuplicateTreatment::Distinct));
    for clause in clauses {
        match clause {
            FunctionArgumentClause::OrderBy(items) => result.order_by = items,
            other => return Err(Error::unsupported(format!("{other} in a function call"))),
        }
    }
    if let [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] = args.as_slice() {
        if duplicate_treatment.is_some() || !clauses.is_empty() {
            return Err(Error::syntax("syntax error at or near \"*\""));
        }
        result.star = true;
        return Ok(result);
    }
    let (args, variadic) = match args.split_last() {
        Some((FunctionArg::Named { name, arg: FunctionArgExpr::Expr(array), operator: _ }, before))
            if name.value == VARIADIC =>
        {
            (before, Some(array))
        }
        _ => (args.as_slice(), None),
    };
    let (named, plain): (Vec<_>, Vec<_>) = args.iter().partition(|arg| matches!(arg, FunctionArg::Named { .. }));
    for arg in named {
        if let FunctionArg::Named { name, arg: FunctionArgExpr::Expr(expr), operator: _ } = arg {
            if name.value == VARIADIC {
                return Err(Error::syntax("VARIADIC must be the last argument"));
            }
            result.named.push((fold_identifier(name), expr));
        }
    }
    result.exprs = plain.into_iter().map(positional).collect::<Result<_>>()?;
    result.exprs.extend(variadic);
    result.variadic = variadic.is_some();
    Ok(result)
}

/// Positional arguments; named ones and `*` are refused.
pub(in crate::bind) fn function_arguments(args: &[FunctionArg]) -> Result<Vec<&Expr>> {
    args.iter().map(positional).collect()
}

fn positional(arg: &FunctionArg) -> Result<&Expr> {
    match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr),
        FunctionArg::Unnamed(_) => Err(Error::unsupported("* as an argument")),
        FunctionArg::Named { .. } | FunctionArg::ExprNamed { .. } => Err(Error::unsupported("named arguments")),
    }
}
