//! Sums of a column with a constant added: `sum(x + c)` is `sum(x) + c * count(x)`.
//!
//! Only where `x + c` cannot fail: `x` is an int2 that was made an int4 for the addition, and no int2 lies so near the end of int4 as
//! `c` would have to. What else may fail is the sum, which is the same number either way.

use std::sync::Arc;

use arrow_schema::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::functions_aggregate as df;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{AggregateUDF, Expr, ExprSchemable};
use heliosdb_types::{Datum, Error, PhysicalType, SqlState};

use super::super::udf::Function;
use super::super::value::int_of;
use super::exact::{ExactSum, Output};

/// A sum of `base + constant`.
#[derive(Debug)]
pub(crate) struct ShiftedSum {
    pub base: Expr,
    constant: i32,
}

impl ShiftedSum {
    /// Of an aggregate over columns of `schema`.
    pub fn of(aggregate: &Expr, schema: &DFSchema) -> Option<ShiftedSum> {
        let Expr::AggregateFunction(AggregateFunction { func, params }) = aggregate else { return None };
        let function: &dyn std::any::Any = func.inner().as_ref();
        let plain = !params.distinct && params.filter.is_none() && params.order_by.is_empty();
        let [argument] = params.args.as_slice() else { return None };
        if !plain || *function.downcast_ref::<ExactSum>()? != ExactSum::new(PhysicalType::Int32, Output::Int64) {
            return None;
        }
        let Expr::ScalarFunction(call) = argument else { return None };
        let (sum, constant) = match (call.func.name(), call.args.as_slice()) {
            ("int4_add", [sum, Expr::Literal(ScalarValue::Int32(Some(constant)), _)])
            | ("int4_add", [Expr::Literal(ScalarValue::Int32(Some(constant)), _), sum]) => (sum, *constant),
            ("int4_sub", [sum, Expr::Literal(ScalarValue::Int32(Some(constant)), _)]) => (sum, constant.checked_neg()?),
            _ => return None,
        };
        let fits = |end: i16| constant.checked_add(i32::from(end)).is_some();
        let Expr::Cast(cast) = sum else { return None };
        let narrow = *cast.field.data_type() == DataType::Int32 && cast.expr.get_type(schema).ok()? == DataType::Int16;
        (narrow && fits(i16::MIN) && fits(i16::MAX)).then(|| ShiftedSum { base: (*cast.expr).clone(), constant })
    }

    /// `sum(base)`, bigint.
    pub fn sum(&self) -> Expr {
        let sum = AggregateUDF::new_from_impl(ExactSum::new(PhysicalType::Int16, Output::Int64));
        self.call(Arc::new(sum))
    }

    pub fn count(&self) -> Expr {
        self.call(df::count::count_udaf())
    }

    fn call(&self, function: Arc<AggregateUDF>) -> Expr {
        let args = vec![self.base.clone()];
        Expr::AggregateFunction(AggregateFunction::new_udf(function, args, false, None, Vec::new(), None))
    }

    /// The sum, of what [`sum`](Self::sum) and [`count`](Self::count) give.
    pub fn whole(&self, sum: Expr, count: Expr) -> Expr {
        let constant = i128::from(self.constant);
        let key = format!("shifted_sum {constant}");
        let types = vec![PhysicalType::Int64; 2];
        let function = Function::strict("shifted_sum", key, types, PhysicalType::Int64, move |args| {
            let [sum, count] = args else { return Err(Error::internal("a sum and a count")) };
            let whole = i128::from(int_of(*sum)?) + constant * i128::from(int_of(*count)?);
            let beyond = |_| Error::invalid(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "bigint out of range");
            i64::try_from(whole).map(Datum::Int64).map_err(beyond)
        });
        function.call(vec![sum, count])
    }
}
