//! A call of one of our functions, without what DataFusion does around each call for functions it knows nothing of.

use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Schema};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{ColumnarValue, ScalarUDFImpl, Volatility};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use crate::func::Function;

/// Gives the value of a function that has no other effect.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in crate::exec) struct CallExpr {
    function: Arc<Function>,
    arguments: Vec<Arc<dyn PhysicalExpr>>,
}

impl CallExpr {
    /// What stands for a call in a compiled statement; `None`: the call itself.
    pub(in crate::exec) fn of(call: &ScalarFunctionExpr) -> Option<CallExpr> {
        let function = Function::of(call.fun())?;
        let pure = function.signature().volatility == Volatility::Immutable;
        pure.then(|| CallExpr { function: Arc::new(function.clone()), arguments: call.args().to_vec() })
    }
}

impl fmt::Display for CallExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arguments: Vec<String> = self.arguments.iter().map(ToString::to_string).collect();
        write!(f, "{}({})", self.function.name(), arguments.join(", "))
    }
}

impl PhysicalExpr for CallExpr {
    fn data_type(&self, _input: &Schema) -> DfResult<DataType> {
        self.function.return_type(&[])
    }

    fn nullable(&self, _input: &Schema) -> DfResult<bool> {
        Ok(true)
    }

    fn evaluate(&self, batch: &RecordBatch) -> DfResult<ColumnarValue> {
        let values = self.arguments.iter().map(|argument| argument.evaluate(batch)).collect::<DfResult<Vec<_>>>()?;
        self.function.evaluate(values, batch.num_rows())
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.arguments.iter().collect()
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> DfResult<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(CallExpr { function: Arc::clone(&self.function), arguments: children }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
