//! Putting values where a bound plan has placeholders: `$1`, `$2`, ... and the reserved `$__now`.
//!
//! A bound plan is cached and run many times; everything known only at execution comes in here, before optimisation, so that
//! constants fold and filters push down as if they had been written in the text.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::DataType;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan};
use heliosdb_types::{Datum, Error, PhysicalType, Result, SqlState, SqlType};

use super::apply::ApplyNode;
use super::arrays::scalar_of;
use super::error::{from_datafusion, to_datafusion};
use super::lock_rows::LockRowsNode;
use super::recheck::Recheck;
use super::row_write::RowWriteNode;
use crate::func::Function;

/// The placeholder that stands for the statement's time, a timestamptz.
pub const NOW_PLACEHOLDER: &str = "$__now";

/// A copy of `plan` with every placeholder replaced. Fails with 08P01 if a parameter is missing.
pub(crate) fn instantiate(
    plan: &LogicalPlan,
    parameters: &[Datum],
    types: &[SqlType],
    now_micros: i64,
) -> Result<LogicalPlan> {
    let mut values = HashMap::with_capacity(parameters.len() + 1);
    values.insert(NOW_PLACEHOLDER.to_owned(), now_value(now_micros));
    for (at, value) in parameters.iter().enumerate() {
        let physical = types.get(at).and_then(SqlType::physical).unwrap_or(PhysicalType::Text);
        values.insert(format!("${}", at + 1), scalar_of(physical, value.as_ref())?);
    }
    replace(plan.clone(), &values).map_err(from_datafusion)
}

fn replace(plan: LogicalPlan, values: &HashMap<String, ScalarValue>) -> DfResult<LogicalPlan> {
    let replaced = plan.transform_up_with_subqueries(|plan| {
        if let Some(apply) = apply_node(&plan) {
            let node = apply.with_template(replace(apply.template().clone(), values)?);
            return Ok(Transformed::yes(LogicalPlan::Extension(Extension { node: Arc::new(node) })));
        }
        let plan = match replace_recheck(&plan, values)? {
            Some(plan) => plan,
            None => plan,
        };
        let plan = match replace_checks(&plan, values)? {
            Some(node) => LogicalPlan::Extension(Extension { node: Arc::new(node) }),
            None => plan,
        };
        let names = NamePreserver::new(&plan);
        let replaced = plan.map_expressions(|expr| {
            if !has_placeholder(&expr)? {
                return Ok(Transformed::no(expr));
            }
            // Parents refer to this expression by its name, which must not change with its value.
            let name = names.save(&expr);
            Ok(substitute(expr, values)?.update_data(|expr| name.restore(expr)))
        })?;
        if replaced.transformed { replaced.map_data(LogicalPlan::recompute_schema) } else { Ok(replaced) }
    })?;
    Ok(replaced.data)
}

/// An Apply's template is none of its children.
fn apply_node(plan: &LogicalPlan) -> Option<&ApplyNode> {
    let LogicalPlan::Extension(extension) = plan else { return None };
    extension.node.as_any().downcast_ref::<ApplyNode>()
}

/// A plan for looking again is none of its node's children.
fn replace_recheck(plan: &LogicalPlan, values: &HashMap<String, ScalarValue>) -> DfResult<Option<LogicalPlan>> {
    let LogicalPlan::Extension(extension) = plan else { return Ok(None) };
    let replaced = |recheck: &Recheck| -> DfResult<Option<Recheck>> {
        let plan = replace(recheck.plan.as_ref().clone(), values)?;
        Ok(Some(Recheck { plan: Arc::new(plan), width: recheck.width }))
    };
    if let Some(node) = extension.node.as_any().downcast_ref::<RowWriteNode>()
        && let Some(recheck) = &node.recheck
    {
        let node = RowWriteNode { recheck: replaced(recheck)?, ..node.clone() };
        return Ok(Some(LogicalPlan::Extension(Extension { node: Arc::new(node) })));
    }
    if let Some(node) = extension.node.as_any().downcast_ref::<LockRowsNode>()
        && let Some(recheck) = &node.recheck
    {
        let node = LockRowsNode { recheck: replaced(recheck)?, ..node.clone() };
        return Ok(Some(LogicalPlan::Extension(Extension { node: Arc::new(node) })));
    }
    Ok(None)
}

/// CHECK conditions and the like are not among a RowWrite's expressions, as they are not over its input.
fn replace_checks(plan: &LogicalPlan, values: &HashMap<String, ScalarValue>) -> DfResult<Option<RowWriteNode>> {
    let LogicalPlan::Extension(extension) = plan else { return Ok(None) };
    let Some(node) = extension.node.as_any().downcast_ref::<RowWriteNode>() else { return Ok(None) };
    if node.other_expressions().next().is_none() && node.conflict_program().is_none() {
        return Ok(None);
    }
    let mut node = node.clone();
    if let Some(program) = node.conflict_program_mut() {
        *program = replace(std::mem::take(program), values)?;
    }
    for expr in node.other_expressions_mut() {
        *expr = substitute(expr.clone(), values)?.data;
    }
    Ok(Some(node))
}

pub(super) fn has_placeholder(expr: &Expr) -> DfResult<bool> {
    expr.exists(|e| Ok(matches!(e, Expr::Placeholder(_))))
}

fn substitute(expr: Expr, values: &HashMap<String, ScalarValue>) -> DfResult<Transformed<Expr>> {
    expr.transform_up(|expr| {
        let Expr::Placeholder(Placeholder { id, field }) = &expr else {
            // Arguments come before their call, so it sees their values.
            return Ok(Function::specialised(&expr).map_or(Transformed::no(expr), Transformed::yes));
        };
        let value = values.get(id).ok_or_else(|| to_datafusion(missing_parameter(id)))?;
        let value = match field {
            Some(field) => as_declared(value, field.data_type())?,
            None => value.clone(),
        };
        Ok(Transformed::yes(Expr::Literal(value, None)))
    })
}

/// What `$__now` stands for.
pub(super) fn now_value(micros: i64) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()))
}

pub(super) fn missing_parameter(placeholder: &str) -> Error {
    let message = format!("bind message supplies no value for parameter {placeholder}");
    Error::invalid(SqlState::PROTOCOL_VIOLATION, message)
}

/// The value with the type the binder gave its placeholder; a NULL takes any.
pub(super) fn as_declared(value: &ScalarValue, declared: &DataType) -> DfResult<ScalarValue> {
    if &value.data_type() == declared {
        return Ok(value.clone());
    }
    if value.is_null() {
        return ScalarValue::try_from(declared);
    }
    value.cast_to(declared)
}

#[cfg(test)]
mod tests {
    use arrow_schema::Field;
    use datafusion::logical_expr::{LogicalPlanBuilder, lit};

    use super::*;

    fn placeholder(id: &str, data_type: DataType) -> Expr {
        Expr::Placeholder(Placeholder { id: id.into(), field: Some(Arc::new(Field::new("", data_type, true))) })
    }

    #[test]
    fn parameters_and_time_become_literals_everywhere() {
        let zoned = DataType::Timestamp(arrow_schema::TimeUnit::Microsecond, Some("UTC".into()));
        let plan = LogicalPlanBuilder::empty(true)
            .project(vec![placeholder("$1", DataType::Int32).alias("a"), placeholder(NOW_PLACEHOLDER, zoned)])
            .unwrap()
            .filter(placeholder("$2", DataType::Utf8View).eq(lit(ScalarValue::Utf8View(Some("x".into())))))
            .unwrap()
            .build()
            .unwrap();
        let parameters = [Datum::Int32(7), Datum::Text("x".into())];
        let done = instantiate(&plan, &parameters, &[SqlType::Int4, SqlType::Text], 5).unwrap();
        let shown = done.display_indent().to_string();
        assert!(!shown.contains("Placeholder") && shown.contains("Int32(7) AS a"), "{shown}");
        assert!(shown.contains("TimestampMicrosecond(5"), "{shown}");
        assert_eq!(done.schema().field_names(), plan.schema().field_names());
        let missing = instantiate(&plan, &parameters[..1], &[SqlType::Int4], 5).unwrap_err();
        assert_eq!(missing.state(), SqlState::PROTOCOL_VIOLATION);
    }

    #[test]
    fn a_null_parameter_takes_the_placeholders_type() {
        let plan = LogicalPlanBuilder::empty(true).project(vec![placeholder("$1", DataType::Int64)]).unwrap();
        let done = instantiate(&plan.build().unwrap(), &[Datum::Null], &[SqlType::Int8], 0).unwrap();
        assert_eq!(done.schema().field(0).data_type(), &DataType::Int64);
    }
}
