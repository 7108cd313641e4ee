//! One DataFusion function type for everything PostgreSQL's typing needs: a name, a fixed result type and a kernel.
//!
//! Two functions are the same if their keys are: the key names everything the kernel has captured (target type, time zone).
//! A call whose arguments are all literals is evaluated at once, so that the planner sees constants; if that fails the call
//! stays, and the error is raised when (and if) it is executed.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::DataType;
use datafusion::common::ScalarValue;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use heliosdb_contracts::datum_at;
use heliosdb_types::{Datum, DatumRef, Error, PhysicalType, Result};

use crate::exec::{ColumnBuilder, LongValues, check_cancelled, datum, from_datafusion, scalar_of, to_datafusion};

type Kernel = dyn Fn(&[ColumnarValue], usize) -> Result<ColumnarValue> + Send + Sync;
type Specialise = dyn Fn(&[Expr]) -> Option<Expr> + Send + Sync;

/// A scalar function; see the module.
#[derive(Clone)]
pub(crate) struct Function {
    name: String,
    key: String,
    returns: DataType,
    /// Known for functions of single values.
    arguments: Vec<PhysicalType>,
    signature: Signature,
    kernel: Arc<Kernel>,
    /// A kernel over columns that gives NULL where an argument is.
    strict: bool,
    /// It has a value wherever its arguments have.
    total: bool,
    /// It has no arguments that it fails for.
    never_fails: bool,
    /// A better expression for a call whose arguments are (partly) constants.
    specialise: Option<Arc<Specialise>>,
}

impl Function {
    /// A function over whole columns. `key` distinguishes it from others of its name.
    pub fn columnar(
        name: &str,
        key: impl Into<String>,
        returns: DataType,
        kernel: impl Fn(&[ColumnarValue], usize) -> Result<ColumnarValue> + Send + Sync + 'static,
    ) -> Function {
        Function {
            name: name.to_owned(),
            key: key.into(),
            returns,
            arguments: Vec::new(),
            signature: Signature::user_defined(Volatility::Immutable),
            kernel: Arc::new(kernel),
            strict: false,
            total: false,
            never_fails: false,
            specialise: None,
        }
    }

    /// A function over arrays of one length (literals are expanded; all-literal calls see one row).
    pub fn arrays(
        name: &str,
        key: impl Into<String>,
        returns: DataType,
        kernel: impl Fn(&[ArrayRef], usize) -> Result<ArrayRef> + Send + Sync + 'static,
    ) -> Function {
        Function::columnar(name, key, returns, move |args, rows| {
            let scalar = args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
            let rows = if scalar && !args.is_empty() { 1 } else { rows };
            let arrays = args.iter().map(|arg| arg.to_array(rows)).collect::<DataFusionResult<Vec<_>>>();
            let result = kernel(&arrays.map_err(from_datafusion)?, rows)?;
            if scalar && !args.is_empty() {
                return ScalarValue::try_from_array(&result, 0).map(ColumnarValue::Scalar).map_err(from_datafusion);
            }
            Ok(ColumnarValue::Array(result))
        })
    }

    /// A strict function of single values: NULL if any argument is.
    pub fn strict(
        name: &str,
        key: impl Into<String>,
        arguments: Vec<PhysicalType>,
        returns: PhysicalType,
        kernel: impl Fn(&[DatumRef<'_>]) -> Result<Datum> + Send + Sync + 'static,
    ) -> Function {
        Function::values(name, key, arguments, returns, move |args| {
            if args.iter().any(DatumRef::is_null) { Ok(Datum::Null) } else { kernel(args) }
        })
    }

    /// A function of single values that sees NULLs.
    pub fn values(
        name: &str,
        key: impl Into<String>,
        arguments: Vec<PhysicalType>,
        returns: PhysicalType,
        kernel: impl Fn(&[DatumRef<'_>]) -> Result<Datum> + Send + Sync + 'static,
    ) -> Function {
        let arrow = heliosdb_contracts::arrow_type(returns);
        // Argument types are part of what is captured.
        let key = format!("{}:{arguments:?}->{returns:?}", key.into());
        let (value, types, known) = (Arc::new(kernel), arguments.clone(), arguments.clone());
        let kernel = Arc::clone(&value);
        let function = Function::arrays(name, key, arrow, move |arrays, rows| {
            let mut out = ColumnBuilder::new(returns, rows);
            let (mut row_values, mut long) = (Vec::with_capacity(arrays.len()), LongValues::default());
            for row in 0..rows {
                check_cancelled()?;
                row_values.clear();
                for (array, physical) in arrays.iter().zip(&arguments) {
                    row_values.push(datum_at(array, row, *physical)?);
                }
                let value = kernel(&row_values)?;
                if let Datum::Text(text) = &value {
                    long.made(text.len())?;
                }
                out.push(value.as_ref())?;
            }
            Ok(out.finish())
        });
        let by_row = function.kernel;
        let by_value = move |args: &[ColumnarValue], rows| match constants(args, &types) {
            Some(constants) => {
                let constants: Vec<DatumRef<'_>> = constants.iter().map(Datum::as_ref).collect();
                scalar_of(returns, value(&constants)?.as_ref()).map(ColumnarValue::Scalar)
            }
            None => by_row(args, rows),
        };
        Function { arguments: known, kernel: Arc::new(by_value), ..function }
    }

    /// Takes columns at once, if any argument is one; the function of single values says what they have to give.
    pub fn by_column(
        mut self,
        columns: impl Fn(&[ColumnarValue], usize) -> Result<ArrayRef> + Send + Sync + 'static,
    ) -> Function {
        let single = self.kernel;
        self.kernel = Arc::new(move |args, rows| {
            if args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_))) {
                return single(args, rows);
            }
            columns(args, rows).map(ColumnarValue::Array)
        });
        self
    }

    /// The function, if it is one of ours.
    pub fn of(function: &ScalarUDF) -> Option<&Function> {
        let inner: &dyn std::any::Any = function.inner().as_ref();
        inner.downcast_ref::<Function>()
    }

    /// The arguments of a call of our function `name` over single values, and their types, if `expr` is such a call.
    pub fn unwrap_call<'a>(expr: &'a Expr, name: &str) -> Option<(&'a [Expr], &'a [PhysicalType])> {
        let Expr::ScalarFunction(call) = expr else { return None };
        let function = Function::of(&call.func).filter(|function| function.name == name)?;
        let known = call.args.len() == function.arguments.len();
        known.then_some((call.args.as_slice(), function.arguments.as_slice()))
    }

    /// NULL if any argument is, which the kernel need not show for columns without a type.
    pub fn strict_columns(mut self) -> Function {
        self.strict = true;
        self
    }

    /// It has a value wherever its arguments have, or fails.
    pub fn total(mut self) -> Function {
        self.total = true;
        self
    }

    /// It may be computed of rows that nobody wants.
    pub fn for_any_row(mut self) -> Function {
        self.never_fails = true;
        self
    }

    pub fn never_fails(&self) -> bool {
        self.never_fails
    }

    /// Whether an expression has a value wherever the columns in it have.
    pub fn keeps_values(expr: &Expr) -> bool {
        match expr {
            Expr::Column(_) => true,
            Expr::Literal(value, _) => !value.is_null(),
            Expr::Alias(alias) => Function::keeps_values(&alias.expr),
            Expr::ScalarFunction(call) => {
                let total = Function::of(&call.func).is_some_and(|function| function.total);
                total && call.args.iter().all(Function::keeps_values)
            }
            _ => false,
        }
    }

    /// Result may differ between calls with the same arguments (nextval, random): never folded.
    pub fn volatile(mut self) -> Function {
        self.signature = Signature::user_defined(Volatility::Volatile);
        self
    }

    /// Offers another expression for calls with constants among their arguments: asked when the call is made, and again when
    /// its parameters have got their values.
    pub fn specialised_by(mut self, specialise: impl Fn(&[Expr]) -> Option<Expr> + Send + Sync + 'static) -> Function {
        self.specialise = Some(Arc::new(specialise));
        self
    }

    /// The better expression for a call of one of our functions, if it has one.
    pub fn specialised(expr: &Expr) -> Option<Expr> {
        let Expr::ScalarFunction(call) = expr else { return None };
        Function::of(&call.func)?.specialise.as_ref()?(&call.args)
    }

    /// The call, or its value if all arguments are literals.
    pub fn call(self, args: Vec<Expr>) -> Expr {
        if self.signature.volatility == Volatility::Immutable
            && let Some(value) = self.fold(&args)
        {
            return Expr::Literal(value, None);
        }
        if let Some(better) = self.specialise.as_ref().and_then(|specialise| specialise(&args)) {
            return better;
        }
        Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(self)), args))
    }

    /// Its value for each of so many rows, or one for all.
    pub fn evaluate(&self, values: Vec<ColumnarValue>, rows: usize) -> DataFusionResult<ColumnarValue> {
        // Optimiser rules try expressions on columns of no type to see whether they can only be NULL; strict ones are.
        if self.strict && values.iter().any(|value| value.data_type() == DataType::Null) {
            return ScalarValue::try_new_null(&self.returns).map(ColumnarValue::Scalar);
        }
        let values = if self.signature.volatility == Volatility::Volatile && rows != 1 {
            // Every row gets a call of its own, even where the arguments are the same.
            let arrays = values.iter().map(|value| value.to_array(rows).map(ColumnarValue::Array));
            arrays.collect::<DataFusionResult<Vec<_>>>()?
        } else {
            values
        };
        let result = (self.kernel)(&values, rows).map_err(to_datafusion)?;
        if result.data_type() != self.returns {
            let message = format!("{} gave {} for {}", self.key, result.data_type(), self.returns);
            return Err(to_datafusion(Error::internal(message)));
        }
        Ok(result)
    }

    fn fold(&self, args: &[Expr]) -> Option<ScalarValue> {
        let literal = |arg: &Expr| match arg {
            Expr::Literal(value, _) => Some(ColumnarValue::Scalar(value.clone())),
            _ => None,
        };
        let args = args.iter().map(literal).collect::<Option<Vec<_>>>()?;
        match (self.kernel)(&args, 1).ok()? {
            ColumnarValue::Scalar(value) => Some(value),
            ColumnarValue::Array(array) => ScalarValue::try_from_array(&array, 0).ok(),
        }
    }
}

/// The values of arguments that are all constants; `None` also if one is of a kind that only arrays tell.
fn constants(args: &[ColumnarValue], types: &[PhysicalType]) -> Option<Vec<Datum>> {
    let constant = |(arg, physical): (&ColumnarValue, &PhysicalType)| match arg {
        ColumnarValue::Scalar(value) if value.is_null() => Some(Datum::Null),
        ColumnarValue::Scalar(value) => datum(value, *physical),
        ColumnarValue::Array(_) => None,
    };
    let all = !args.is_empty() && args.len() == types.len();
    all.then(|| args.iter().zip(types).map(constant).collect()).flatten()
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Function) -> bool {
        self.name == other.name && self.key == other.key && self.returns == other.returns
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.key.hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Two functions of one name over the same arguments (`extract` of year and month) give columns of different names.
    fn schema_name(&self, args: &[Expr]) -> DataFusionResult<String> {
        let args = args.iter().map(|arg| arg.schema_name().to_string()).collect::<Vec<_>>().join(",");
        if self.key.is_empty() || self.key == self.name {
            return Ok(format!("{}({args})", self.name));
        }
        Ok(format!("{}[{}]({args})", self.name, self.key))
    }

    fn return_type(&self, _arg_types: &[DataType]) -> DataFusionResult<DataType> {
        Ok(self.returns.clone())
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> DataFusionResult<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        self.evaluate(args.args, args.number_rows)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use heliosdb_types::Interval;

    use super::*;

    #[test]
    fn a_call_of_constants_is_computed_once_whatever_they_are() {
        let interval = Datum::Interval(Interval { months: 1, days: 2, micros: 3 });
        for (physical, constant) in [(PhysicalType::Int64, Datum::Int64(7)), (PhysicalType::Interval, interval)] {
            let calls = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&calls);
            let function = Function::strict("same", "same", vec![physical], PhysicalType::Bool, move |_| {
                counted.fetch_add(1, Ordering::Relaxed);
                Ok(Datum::Bool(true))
            });
            let value = ColumnarValue::Scalar(scalar_of(physical, constant.as_ref()).unwrap());
            let said = function.evaluate(vec![value], 100).unwrap();
            assert!(matches!(said, ColumnarValue::Scalar(ScalarValue::Boolean(Some(true)))), "{physical:?}: {said:?}");
            assert_eq!(calls.load(Ordering::Relaxed), 1, "{physical:?}");
        }
    }
}
