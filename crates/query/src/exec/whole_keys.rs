//! Groups by several keys, short decimals among them, by the decimals' unscaled numbers.
//!
//! DataFusion keeps groups of several keys column by column if it knows the types of all. A decimal of 64 bits is none that it knows,
//! and one such key makes it encode all keys of every row into bytes. The decimals of a column have one scale, so the numbers
//! without it are as good a key: the aggregate's stages get those, and a projection above gives the scale back.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal64Type, Int64Type};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, FieldRef, Schema};
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, InputOrderMode};

use super::each_node::EachNode;

/// Replaces aggregates by several keys with a short decimal among them.
pub(super) const WHOLE_KEYS: EachNode = EachNode::new("whole_keys", by_whole_keys);

/// What stands for an aggregate, if this is its last stage and it has such keys.
fn by_whole_keys(plan: &Arc<dyn ExecutionPlan>) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
    let last = plan.downcast_ref::<AggregateExec>().filter(|aggregate| has_short_decimals(aggregate));
    let Some(last) = last else { return Ok(None) };
    let whole = match last.mode() {
        AggregateMode::Single | AggregateMode::SinglePartitioned => first_stage(last)?,
        AggregateMode::Final | AggregateMode::FinalPartitioned => {
            let Some(input) = below(last.input())? else { return Ok(None) };
            stage(last, last.group_expr().clone(), input)?
        }
        _ => return Ok(None),
    };
    let whole: Arc<dyn ExecutionPlan> = Arc::new(whole);
    let (have, want) = (whole.schema(), last.schema());
    let shown = have.fields().iter().zip(want.fields()).enumerate().map(|(at, (field, wanted))| {
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), at));
        let column =
            if field.data_type() == wanted.data_type() { column } else { Rescaled::of(column, wanted.data_type()) };
        (column, wanted.name().clone())
    });
    Ok(Some(Arc::new(ProjectionExec::try_new(shown.collect::<Vec<_>>(), Arc::clone(&whole))?)))
}

/// Whether an aggregate has several keys and short decimals among them, and makes no use of the order of its rows: nothing is
/// known of the order of the numbers.
fn has_short_decimals(aggregate: &AggregateExec) -> bool {
    let keys = aggregate.group_expr();
    let schema = aggregate.schema();
    let mut kinds = schema.fields().iter().take(keys.expr().len()).map(|field| field.data_type());
    keys.is_single()
        && !keys.has_grouping_set()
        && keys.expr().len() > 1
        && *aggregate.input_order_mode() == InputOrderMode::Linear
        && kinds.any(|kind| matches!(kind, DataType::Decimal64(..)))
}

/// What brings the groups of the first stage to the last, with its stage by whole numbers; `None` if something else is there.
fn below(plan: &Arc<dyn ExecutionPlan>) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(first) = plan.downcast_ref::<AggregateExec>() {
        let fits = *first.mode() == AggregateMode::Partial && has_short_decimals(first);
        return Ok(if fits { Some(Arc::new(first_stage(first)?)) } else { None });
    }
    let passes = plan.downcast_ref::<RepartitionExec>().is_some_and(|exchange| !exchange.preserve_order())
        || plan.downcast_ref::<CoalescePartitionsExec>().is_some();
    match plan.children().as_slice() {
        [input] if passes => {
            below(input)?.map(|input| replace_children_if_necessary(Arc::clone(plan), vec![input])).transpose()
        }
        _ => Ok(None),
    }
}

/// A stage over rows as they are.
fn first_stage(aggregate: &AggregateExec) -> DfResult<AggregateExec> {
    let schema = aggregate.input().schema();
    let key = |(expr, name): &(Arc<dyn PhysicalExpr>, String)| {
        let whole = matches!(expr.data_type(&schema)?, DataType::Decimal64(..));
        let expr = if whole { Rescaled::of(Arc::clone(expr), &DataType::Int64) } else { Arc::clone(expr) };
        Ok((expr, name.clone()))
    };
    let keys = aggregate.group_expr().expr().iter().map(key).collect::<DfResult<Vec<_>>>()?;
    stage(aggregate, PhysicalGroupBy::new_single(keys), Arc::clone(aggregate.input()))
}

fn stage(aggregate: &AggregateExec, keys: PhysicalGroupBy, input: Arc<dyn ExecutionPlan>) -> DfResult<AggregateExec> {
    let (calls, filters) = (aggregate.aggr_expr().to_vec(), aggregate.filter_expr().to_vec());
    let stage = AggregateExec::try_new(*aggregate.mode(), keys, calls, filters, input, aggregate.input_schema())?;
    Ok(stage.with_limit_options(aggregate.limit_options()))
}

/// A short decimal as its unscaled number, or the other way round.
#[derive(Debug)]
pub(super) struct Rescaled {
    value: Arc<dyn PhysicalExpr>,
    kind: DataType,
}

impl Rescaled {
    fn of(value: Arc<dyn PhysicalExpr>, kind: &DataType) -> Arc<dyn PhysicalExpr> {
        Arc::new(Rescaled { value, kind: kind.clone() })
    }

    /// What has as many different values.
    pub(super) fn value(&self) -> &Arc<dyn PhysicalExpr> {
        &self.value
    }
}

impl PhysicalExpr for Rescaled {
    fn data_type(&self, _: &Schema) -> DfResult<DataType> {
        Ok(self.kind.clone())
    }

    fn nullable(&self, input: &Schema) -> DfResult<bool> {
        self.value.nullable(input)
    }

    fn return_field(&self, input: &Schema) -> DfResult<FieldRef> {
        let field = Field::clone(self.value.return_field(input)?.as_ref());
        Ok(Arc::new(field.with_data_type(self.kind.clone())))
    }

    fn evaluate(&self, batch: &RecordBatch) -> DfResult<ColumnarValue> {
        let values = self.value.evaluate(batch)?.into_array(batch.num_rows())?;
        let rescaled: ArrayRef = match (values.data_type(), &self.kind) {
            (DataType::Decimal64(..), DataType::Int64) => {
                Arc::new(values.as_primitive::<Decimal64Type>().reinterpret_cast::<Int64Type>())
            }
            (DataType::Int64, kind @ DataType::Decimal64(..)) => {
                let decimals = values.as_primitive::<Int64Type>().reinterpret_cast::<Decimal64Type>();
                Arc::new(decimals.with_data_type(kind.clone()))
            }
            (from, to) => return Err(DataFusionError::Internal(format!("a {from} has no number in a {to}"))),
        };
        Ok(ColumnarValue::Array(rescaled))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.value]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> DfResult<Arc<dyn PhysicalExpr>> {
        let value = children.pop().ok_or_else(|| DataFusionError::Internal("a number needs a value".into()))?;
        Ok(Rescaled::of(value, &self.kind))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt_sql(f)
    }
}

impl PartialEq for Rescaled {
    fn eq(&self, other: &Rescaled) -> bool {
        self.value.eq(&other.value) && self.kind == other.kind
    }
}

impl Eq for Rescaled {}

impl Hash for Rescaled {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.value.hash(state);
        self.kind.hash(state);
    }
}

impl fmt::Display for Rescaled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

#[cfg(test)]
#[path = "whole_keys_test.rs"]
mod tests;
