//! `lag` and `lead` by an offset of each row's own: DataFusion's take a literal only.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, new_null_array};
use arrow_schema::{DataType, FieldRef};
use arrow_select::interleave::interleave;
use datafusion::common::DataFusionError;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{LimitEffect, PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl};
use datafusion::physical_expr::PhysicalExpr;
use heliosdb_types::Error;

use crate::exec::to_datafusion;

/// Over (value, offset as bigint, default), value and default of one type.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Shift {
    lead: bool,
    signature: Signature,
}

pub(super) fn shift(lead: bool) -> Arc<WindowUDF> {
    let signature = Signature::user_defined(Volatility::Immutable);
    Arc::new(WindowUDF::new_from_impl(Shift { lead, signature }))
}

impl WindowUDFImpl for Shift {
    fn name(&self) -> &str {
        if self.lead { "lead_by" } else { "lag_by" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> DataFusionResult<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn field(&self, args: WindowUDFFieldArgs<'_>) -> DataFusionResult<FieldRef> {
        let field = args.get_input_field(0).ok_or_else(wrong_arguments)?;
        Ok(Arc::new(field.as_ref().clone().with_name(args.name()).with_nullable(true)))
    }

    fn partition_evaluator(&self, _args: PartitionEvaluatorArgs<'_>) -> DataFusionResult<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Shifted { lead: self.lead }))
    }

    fn limit_effect(&self, _args: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        LimitEffect::Unknown
    }
}

#[derive(Debug)]
struct Shifted {
    lead: bool,
}

fn wrong_arguments() -> DataFusionError {
    to_datafusion(Error::internal("a value, an offset and a default"))
}

impl PartitionEvaluator for Shifted {
    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> DataFusionResult<ArrayRef> {
        let [value, offsets, default] = values else { return Err(wrong_arguments()) };
        let offsets = offsets.as_primitive_opt::<Int64Type>().ok_or_else(wrong_arguments)?;
        let null = new_null_array(value.data_type(), 1);
        let place = |row: usize| {
            if offsets.is_null(row) {
                return (2, 0);
            }
            let by = offsets.value(row);
            let target = if self.lead { (row as i64).checked_add(by) } else { (row as i64).checked_sub(by) };
            match target.and_then(|target| usize::try_from(target).ok()).filter(|target| *target < rows) {
                Some(target) => (0, target),
                None => (1, row),
            }
        };
        let places: Vec<(usize, usize)> = (0..rows).map(place).collect();
        Ok(interleave(&[value.as_ref(), default.as_ref(), null.as_ref()], &places)?)
    }
}
