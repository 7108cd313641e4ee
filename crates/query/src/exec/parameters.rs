//! Parameters of a statement that is compiled once and run many times.
//!
//! Where the bound plan has `$1` or `$__now`, the compiled expressions have a [`ParameterExpr`] that reads the value of the
//! running execution. All of them share one set of values, so a compiled statement runs once at a time: whoever cannot get
//! it, or the [`Turn`], compiles again for himself.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Schema};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::expr::{Placeholder, ScalarFunction};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use heliosdb_types::{Datum, Error, PhysicalType, Result, SqlType};
use parking_lot::Mutex;

use super::arrays::scalar_of;
use super::direct::CallExpr;
use super::error::{from_datafusion, to_datafusion};
use super::instantiate::{NOW_PLACEHOLDER, as_declared, missing_parameter, now_value};

/// Where a slot's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Now,
    /// The parameter at this position, from 0.
    Parameter(usize),
    /// A value of the row that rows of another table are looked up for.
    Row,
}

/// Collects the slots of a statement while it is compiled.
#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: Mutex<Vec<(Source, DataType)>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    values: Mutex<Vec<ScalarValue>>,
    taken: AtomicBool,
}

/// The parameters of a compiled statement.
#[derive(Debug)]
pub(super) struct Parameters {
    slots: Vec<(Source, DataType)>,
    shared: Arc<Shared>,
}

impl Slots {
    /// The expression with slots for placeholders; `None` if one has no type yet.
    pub fn fill(&self, expr: &Expr) -> DfResult<Option<Expr>> {
        let mut untyped = false;
        let filled = expr.clone().transform_up(|expr| {
            let Expr::Placeholder(placeholder) = &expr else { return Ok(Transformed::no(expr)) };
            match self.slot(placeholder) {
                Some(function) => {
                    let call = ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(function)), Vec::new());
                    Ok(Transformed::yes(Expr::ScalarFunction(call)))
                }
                None => {
                    untyped = true;
                    Ok(Transformed::no(expr))
                }
            }
        })?;
        Ok((!untyped).then_some(filled.data))
    }

    fn slot(&self, placeholder: &Placeholder) -> Option<SlotFunction> {
        let source = match placeholder.id.strip_prefix('$')? {
            _ if placeholder.id == NOW_PLACEHOLDER => Source::Now,
            number => Source::Parameter(number.parse::<usize>().ok()?.checked_sub(1)?),
        };
        let data_type = match (&placeholder.field, source) {
            (Some(field), _) => field.data_type().clone(),
            (None, Source::Now) => now_value(0).data_type(),
            (None, Source::Parameter(_) | Source::Row) => return None,
        };
        let mut slots = self.slots.lock();
        let known = slots.iter().position(|slot| *slot == (source, data_type.clone()));
        let slot = known.unwrap_or_else(|| {
            slots.push((source, data_type.clone()));
            slots.len() - 1
        });
        Some(SlotFunction { slot, data_type, shared: Arc::clone(&self.shared), signature: nullary() })
    }

    /// A new slot for a value of a row: set for each, while the statement runs.
    pub fn of_row(&self, data_type: DataType) -> (usize, Expr) {
        let mut slots = self.slots.lock();
        slots.push((Source::Row, data_type.clone()));
        let slot = slots.len() - 1;
        let function = SlotFunction { slot, data_type, shared: Arc::clone(&self.shared), signature: nullary() };
        let call = ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(function)), Vec::new());
        (slot, Expr::ScalarFunction(call))
    }

    pub fn finish(self) -> Parameters {
        Parameters { slots: self.slots.into_inner(), shared: self.shared }
    }
}

/// The slot a logical expression is, and its type.
pub(super) fn slot_of(expr: &Expr) -> Option<(usize, &DataType)> {
    let Expr::ScalarFunction(call) = expr else { return None };
    let inner: &dyn std::any::Any = call.func.inner().as_ref();
    inner.downcast_ref::<SlotFunction>().map(|function| (function.slot, &function.data_type))
}

/// Reads slots without a function call around, and calls functions of ours with as little.
pub(super) fn read_slots(expr: Arc<dyn PhysicalExpr>) -> DfResult<Arc<dyn PhysicalExpr>> {
    let read = expr.transform_up(|expr| {
        let Some(call) = expr.downcast_ref::<ScalarFunctionExpr>() else { return Ok(Transformed::no(expr)) };
        let inner: &dyn std::any::Any = call.fun().inner().as_ref();
        let Some(SlotFunction { slot, data_type, shared, .. }) = inner.downcast_ref::<SlotFunction>() else {
            let ours = CallExpr::of(call).map(|ours| Transformed::yes(Arc::new(ours) as Arc<dyn PhysicalExpr>));
            return Ok(ours.unwrap_or_else(|| Transformed::no(expr)));
        };
        let read = ParameterExpr { slot: *slot, data_type: data_type.clone(), shared: Arc::clone(shared) };
        Ok(Transformed::yes(Arc::new(read) as Arc<dyn PhysicalExpr>))
    })?;
    Ok(read.data)
}

impl Parameters {
    /// Puts the values of an execution in place; `None` while another one runs.
    pub fn take_turn(&self, parameters: &[Datum], types: &[SqlType], now_micros: i64) -> Result<Option<Turn>> {
        if self.shared.taken.swap(true, Ordering::AcqRel) {
            return Ok(None);
        }
        let turn = Turn(Arc::clone(&self.shared));
        let mut values = self.shared.values.lock();
        values.clear();
        for (source, declared) in &self.slots {
            let value = match *source {
                Source::Now => now_value(now_micros),
                Source::Row => ScalarValue::Null,
                Source::Parameter(at) => {
                    let physical = types.get(at).and_then(SqlType::physical).unwrap_or(PhysicalType::Text);
                    let value = parameters.get(at).ok_or_else(|| missing_parameter(&format!("${}", at + 1)))?;
                    scalar_of(physical, value.as_ref())?
                }
            };
            let fits = matches!(source, Source::Row) || value.data_type() == *declared;
            values.push(if fits { value } else { as_declared(&value, declared).map_err(from_datafusion)? });
        }
        drop(values);
        Ok(Some(turn))
    }
}

/// The right to run a compiled statement, with the values it runs with.
#[derive(Debug)]
pub(super) struct Turn(Arc<Shared>);

impl Turn {
    pub fn value(&self, slot: usize) -> Option<ScalarValue> {
        self.0.values.lock().get(slot).cloned()
    }

    /// Gives a row's slot its value.
    pub fn set(&self, slot: usize, value: ScalarValue) -> Result<()> {
        match self.0.values.lock().get_mut(slot) {
            Some(place) => *place = value,
            None => return Err(Error::internal("a row's value without its slot")),
        }
        Ok(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Release);
    }
}

fn nullary() -> Signature {
    // Volatile, lest somebody take it for a constant.
    Signature::nullary(Volatility::Volatile)
}

/// A slot among logical expressions, which know no parameters of ours.
#[derive(Clone, Debug)]
struct SlotFunction {
    slot: usize,
    data_type: DataType,
    shared: Arc<Shared>,
    signature: Signature,
}

impl PartialEq for SlotFunction {
    fn eq(&self, other: &SlotFunction) -> bool {
        self.slot == other.slot && Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for SlotFunction {}

impl Hash for SlotFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.slot.hash(state);
    }
}

impl ScalarUDFImpl for SlotFunction {
    fn name(&self) -> &str {
        "parameter"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> DfResult<DataType> {
        Ok(self.data_type.clone())
    }

    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        self.shared.read(self.slot)
    }
}

impl Shared {
    fn read(&self, slot: usize) -> DfResult<ColumnarValue> {
        let value = self.values.lock().get(slot).cloned();
        value.map(ColumnarValue::Scalar).ok_or_else(|| to_datafusion(Error::internal("a parameter without a value")))
    }
}

/// Gives the value a slot has in the running execution.
#[derive(Debug)]
pub(super) struct ParameterExpr {
    slot: usize,
    data_type: DataType,
    shared: Arc<Shared>,
}

impl PartialEq for ParameterExpr {
    fn eq(&self, other: &ParameterExpr) -> bool {
        self.slot == other.slot && Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for ParameterExpr {}

impl Hash for ParameterExpr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.slot.hash(state);
    }
}

impl fmt::Display for ParameterExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "parameter {}", self.slot)
    }
}

impl PhysicalExpr for ParameterExpr {
    fn data_type(&self, _input: &Schema) -> DfResult<DataType> {
        Ok(self.data_type.clone())
    }

    fn nullable(&self, _input: &Schema) -> DfResult<bool> {
        Ok(true)
    }

    fn evaluate(&self, _batch: &RecordBatch) -> DfResult<ColumnarValue> {
        self.shared.read(self.slot)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        Vec::new()
    }

    fn with_new_children(self: Arc<Self>, _children: Vec<Arc<dyn PhysicalExpr>>) -> DfResult<Arc<dyn PhysicalExpr>> {
        Ok(self)
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
