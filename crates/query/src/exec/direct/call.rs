//! A call of one of our functions, without what DataFusion does around each call for functions it knows nothing of.

use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Schema};
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use crate::func::Function;

/// Gives the value of a function that has no other effect.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in crate::exec) struct CallExpr {
    function: Arc<ScalarUDF>,
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    returns: DataType,
}

impl CallExpr {
    /// What stands for a call in a compiled statement; `None`: the call itself.
    pub(in crate::exec) fn of(call: &ScalarFunctionExpr) -> Option<CallExpr> {
        let function = Arc::new(call.fun().clone());
        let pure = call.fun().signature().volatility == Volatility::Immutable;
        (pure && Function::of(&function).is_some()).then(|| CallExpr {
            function,
            arguments: call.args().to_vec(),
            returns: call.return_type().clone(),
        })
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
        Ok(self.returns.clone())
    }

    fn nullable(&self, _input: &Schema) -> DfResult<bool> {
        Ok(true)
    }

    fn evaluate(&self, batch: &RecordBatch) -> DfResult<ColumnarValue> {
        let function = Function::of(&self.function);
        let function = function.ok_or_else(|| DataFusionError::Internal("a call of a foreign function".into()))?;
        let values = self.arguments.iter().map(|argument| argument.evaluate(batch)).collect::<DfResult<Vec<_>>>()?;
        function.evaluate(values, batch.num_rows())
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.arguments.iter().collect()
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> DfResult<Arc<dyn PhysicalExpr>> {
        let (function, returns) = (Arc::clone(&self.function), self.returns.clone());
        Ok(Arc::new(CallExpr { function, arguments: children, returns }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
