//! `sum` and `avg` of integers and decimals: exact in 128 bits, an error on overflow, grouped without boxing.

use std::fmt;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal64Type, Decimal128Type, Int16Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, Decimal128Array, Int64Array};
use arrow_schema::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};
use heliosdb_contracts::arrow_type;
use heliosdb_types::{Datum, Error, Numeric, PhysicalType, SqlState};

use crate::exec::{ColumnBuilder, to_datafusion};

/// What becomes of sum and count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Output {
    /// `sum(int4)`: bigint, 22003 beyond.
    Int64,
    /// `sum(numeric)`: Decimal128(38, scale).
    Decimal(i8),
    /// `avg`: numeric bytes by PostgreSQL's division rule; the inputs' scale.
    Average(i8),
}

impl Output {
    fn physical(self) -> PhysicalType {
        match self {
            Output::Int64 => PhysicalType::Int64,
            Output::Decimal(scale) => PhysicalType::Decimal128 { precision: 38, scale },
            Output::Average(_) => PhysicalType::Numeric,
        }
    }

    /// NULL for no values.
    fn value(self, sum: i128, count: i64) -> heliosdb_types::Result<Datum> {
        if count == 0 {
            return Ok(Datum::Null);
        }
        Ok(match self {
            Output::Int64 => Datum::Int64(
                i64::try_from(sum)
                    .map_err(|_| Error::invalid(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "bigint out of range"))?,
            ),
            Output::Decimal(scale) => {
                if sum.unsigned_abs() >= 10u128.pow(38) {
                    return Err(overflow());
                }
                Datum::Decimal { unscaled: sum, scale }
            }
            Output::Average(scale) => {
                Datum::Numeric(Numeric::from_unscaled(sum, scale).div(&Numeric::from_i64(count))?)
            }
        })
    }
}

fn overflow() -> Error {
    Error::invalid(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format")
        .with_detail("A sum of decimals is kept in 38 digits.")
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct ExactSum {
    input: PhysicalType,
    output: Output,
    signature: Signature,
}

impl ExactSum {
    pub fn new(input: PhysicalType, output: Output) -> ExactSum {
        ExactSum { input, output, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

/// Whether a function is a sum, not an average, which is exact in whatever order and takes sums in place of the values they are of:
/// in a wider type, too.
pub(crate) fn is_exact_sum(function: &AggregateUDF) -> bool {
    let function: &dyn std::any::Any = function.inner().as_ref();
    function.downcast_ref::<ExactSum>().is_some_and(|sum| !matches!(sum.output, Output::Average(_)))
}

impl fmt::Debug for ExactSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({:?})", self.name(), self.input)
    }
}

fn state_fields(name: &str) -> Vec<FieldRef> {
    vec![
        Arc::new(Field::new(format!("{name}[sum]"), DataType::Decimal128(38, 0), true)),
        Arc::new(Field::new(format!("{name}[count]"), DataType::Int64, true)),
    ]
}

impl AggregateUDFImpl for ExactSum {
    fn name(&self) -> &str {
        if matches!(self.output, Output::Average(_)) { "avg" } else { "sum" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> DataFusionResult<DataType> {
        Ok(arrow_type(self.output.physical()))
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> DataFusionResult<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> DataFusionResult<Vec<FieldRef>> {
        Ok(state_fields(args.name))
    }

    fn accumulator(&self, _args: AccumulatorArgs<'_>) -> DataFusionResult<Box<dyn Accumulator>> {
        Ok(Box::new(One { output: self.output, sum: 0, count: 0 }))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, _args: AccumulatorArgs<'_>) -> DataFusionResult<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Groups { output: self.output, sums: Vec::new(), counts: Vec::new() }))
    }
}

/// Calls `each` with every value that is not NULL. Decimals may overflow 128 bits when summed, so `each` can fail.
fn for_each_value(
    array: &ArrayRef,
    filter: Option<&BooleanArray>,
    mut each: impl FnMut(usize, i128) -> Result<(), Error>,
) -> DataFusionResult<()> {
    macro_rules! visit {
        ($arrow:ty) => {{
            let values = array.as_primitive::<$arrow>();
            if array.null_count() == 0 && filter.is_none() {
                for (row, value) in values.values().iter().enumerate() {
                    each(row, i128::from(*value)).map_err(to_datafusion)?;
                }
            } else {
                for (row, value) in values.values().iter().enumerate() {
                    let kept = filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
                    if kept && array.is_valid(row) {
                        each(row, i128::from(*value)).map_err(to_datafusion)?;
                    }
                }
            }
        }};
    }
    match array.data_type() {
        DataType::Int16 => visit!(Int16Type),
        DataType::Int32 => visit!(Int32Type),
        DataType::Int64 => visit!(Int64Type),
        DataType::Decimal64(..) => visit!(Decimal64Type),
        DataType::Decimal128(..) => visit!(Decimal128Type),
        other => return Err(to_datafusion(Error::internal(format!("exact sum of {other}")))),
    }
    Ok(())
}

fn only(values: &[ArrayRef]) -> DataFusionResult<&ArrayRef> {
    values.first().ok_or_else(|| to_datafusion(Error::internal("an aggregate of one argument")))
}

fn states(values: &[ArrayRef]) -> DataFusionResult<(&Decimal128Array, &Int64Array)> {
    match values {
        [sums, counts] => Ok((sums.as_primitive(), counts.as_primitive())),
        _ => Err(to_datafusion(Error::internal("two state columns"))),
    }
}

/// One group; also slides over window frames.
#[derive(Debug)]
struct One {
    output: Output,
    sum: i128,
    count: i64,
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        let (sum, count) = (&mut self.sum, &mut self.count);
        for_each_value(only(values)?, None, |_, value| {
            *sum = sum.checked_add(value).ok_or_else(overflow)?;
            *count += 1;
            Ok(())
        })
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        let (sum, count) = (&mut self.sum, &mut self.count);
        for_each_value(only(values)?, None, |_, value| {
            *sum = sum.checked_sub(value).ok_or_else(overflow)?;
            *count -= 1;
            Ok(())
        })
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> DataFusionResult<ScalarValue> {
        let value = self.output.value(self.sum, self.count).map_err(to_datafusion)?;
        crate::exec::scalar_of(self.output.physical(), value.as_ref()).map_err(to_datafusion)
    }

    fn state(&mut self) -> DataFusionResult<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Decimal128(Some(self.sum), 38, 0), ScalarValue::Int64(Some(self.count))])
    }

    fn merge_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        let (sums, counts) = states(values)?;
        for (sum, count) in sums.iter().zip(counts) {
            self.sum = self.sum.checked_add(sum.unwrap_or(0)).ok_or_else(|| to_datafusion(overflow()))?;
            self.count += count.unwrap_or(0);
        }
        Ok(())
    }

    fn size(&self) -> usize {
        size_of::<One>()
    }
}

struct Groups {
    output: Output,
    sums: Vec<i128>,
    counts: Vec<i64>,
}

impl Groups {
    fn grow(&mut self, groups: usize) {
        self.sums.resize(groups, 0);
        self.counts.resize(groups, 0);
    }
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        groups: usize,
    ) -> DataFusionResult<()> {
        self.grow(groups);
        let (sums, counts) = (&mut self.sums, &mut self.counts);
        for_each_value(only(values)?, filter, |row, value| {
            let group = group_indices[row];
            sums[group] = sums[group].checked_add(value).ok_or_else(overflow)?;
            counts[group] += 1;
            Ok(())
        })
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> DataFusionResult<ArrayRef> {
        let (sums, counts) = (emit_to.take_needed(&mut self.sums), emit_to.take_needed(&mut self.counts));
        let mut out = ColumnBuilder::new(self.output.physical(), sums.len());
        for (sum, count) in sums.into_iter().zip(counts) {
            let value = self.output.value(sum, count).map_err(to_datafusion)?;
            out.push(value.as_ref()).map_err(to_datafusion)?;
        }
        Ok(out.finish())
    }

    fn state(&mut self, emit_to: EmitTo) -> DataFusionResult<Vec<ArrayRef>> {
        let (sums, counts) = (emit_to.take_needed(&mut self.sums), emit_to.take_needed(&mut self.counts));
        let sums = Decimal128Array::from_iter_values(sums).with_data_type(DataType::Decimal128(38, 0));
        Ok(vec![Arc::new(sums), Arc::new(Int64Array::from(counts))])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], groups: usize) -> DataFusionResult<()> {
        self.grow(groups);
        let (sums, counts) = states(values)?;
        for ((group, sum), count) in group_indices.iter().zip(sums).zip(counts) {
            let slot = &mut self.sums[*group];
            *slot = slot.checked_add(sum.unwrap_or(0)).ok_or_else(|| to_datafusion(overflow()))?;
            self.counts[*group] += count.unwrap_or(0);
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> DataFusionResult<Vec<ArrayRef>> {
        let rows = only(values)?.len();
        let (mut sums, mut counts) = (vec![0i128; rows], vec![0i64; rows]);
        for_each_value(only(values)?, filter, |row, value| {
            (sums[row], counts[row]) = (value, 1);
            Ok(())
        })?;
        let sums = Decimal128Array::from_iter_values(sums).with_data_type(DataType::Decimal128(38, 0));
        Ok(vec![Arc::new(sums), Arc::new(Int64Array::from(counts))])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<i128>() + self.counts.capacity() * size_of::<i64>()
    }
}
