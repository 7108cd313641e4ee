//! Aggregates of all rows: `SELECT sum(amount) FROM lines WHERE order = 7`.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::DataType;
use datafusion::common::{DFSchema, Result as DfResult};
use datafusion::execution::session_state::SessionState;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::{AggregateFunctionExpr, LoweredAggregateBuilder};
use heliosdb_types::Result;

use super::step::{assemble, evaluate, filtered};
use crate::exec::error::from_datafusion;
use crate::exec::parameters::read_slots;

/// One row of all rows.
pub(super) struct Aggregation(Vec<One>);

struct One {
    function: Arc<AggregateFunctionExpr>,
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    filter: Option<Arc<dyn PhysicalExpr>>,
}

/// Whether an aggregate takes rows as they come, each once.
pub(super) fn is_plain(expr: &Expr, input: &DFSchema) -> bool {
    match expr {
        Expr::Alias(alias) => is_plain(&alias.expr, input),
        Expr::AggregateFunction(call) if call.params.distinct => counts_distinct(call, input),
        Expr::AggregateFunction(call) => call.params.order_by.is_empty(),
        _ => false,
    }
}

/// `count(DISTINCT value)` of values that are equal when their bytes are.
fn counts_distinct(call: &AggregateFunction, input: &DFSchema) -> bool {
    let [value] = call.params.args.as_slice() else { return false };
    let integer = value.get_type(input).is_ok_and(|t| t.is_signed_integer() || t == DataType::Date32);
    integer && call.params.order_by.is_empty() && call.func == count_udaf()
}

impl Aggregation {
    /// `exprs` are the node's aggregates, with slots where its parameters were.
    pub fn new(node: &Aggregate, exprs: &[Expr], session: &SessionState) -> DfResult<Aggregation> {
        let logical = node.input.schema();
        let one = |expr: &Expr| {
            let (props, context) = (session.execution_props(), PhysicalPlanningContext::default());
            let lowered = LoweredAggregateBuilder::new(expr, logical, logical.as_arrow(), props, &context).build()?;
            let function = lowered.aggregate;
            let arguments = function.expressions().into_iter().map(read_slots).collect::<DfResult<_>>()?;
            Ok(One { arguments, filter: lowered.filter.map(read_slots).transpose()?, function })
        };
        exprs.iter().map(one).collect::<DfResult<_>>().map(Aggregation)
    }

    /// What it looks at.
    pub fn exprs(&self) -> impl Iterator<Item = &Arc<dyn PhysicalExpr>> {
        self.0.iter().flat_map(|one| one.arguments.iter().chain(&one.filter))
    }

    pub fn apply(&self, batches: &[RecordBatch]) -> Result<RecordBatch> {
        let columns = self.0.iter().map(|one| {
            let mut accumulator = one.function.create_accumulator().map_err(from_datafusion)?;
            for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
                let kept = match &one.filter {
                    None => batch.clone(),
                    Some(filter) => filtered(filter, batch)?,
                };
                if kept.num_rows() > 0 {
                    let values = one.arguments.iter().map(|argument| evaluate(argument, &kept));
                    accumulator.update_batch(&values.collect::<Result<Vec<_>>>()?).map_err(from_datafusion)?;
                }
            }
            let value = accumulator.evaluate().map_err(from_datafusion)?;
            value.to_array_of_size(1).map_err(from_datafusion)
        });
        assemble(columns.collect::<Result<_>>()?, 1)
    }
}
