//! `min` and `max` of floats by group. DataFusion's begin a group with the largest finite value, which is less than infinity:
//! the least of infinities would be that. Else they are DataFusion's.

use std::sync::Arc;

use arrow_array::builder::PrimitiveBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Float32Type, Float64Type};
use arrow_array::{Array, ArrayRef, BooleanArray};
use arrow_schema::{DataType, FieldRef};
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, SetMonotonicity, Signature,
};

/// `min` or `max` with groups of its own.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct FloatExtreme {
    plain: Arc<AggregateUDF>,
    largest: bool,
}

impl FloatExtreme {
    pub fn new(plain: Arc<AggregateUDF>) -> FloatExtreme {
        let largest = plain.name() == "max";
        FloatExtreme { plain, largest }
    }
}

impl AggregateUDFImpl for FloatExtreme {
    fn name(&self) -> &str {
        self.plain.name()
    }

    fn signature(&self) -> &Signature {
        self.plain.signature()
    }

    fn return_type(&self, types: &[DataType]) -> DfResult<DataType> {
        self.plain.inner().return_type(types)
    }

    fn coerce_types(&self, types: &[DataType]) -> DfResult<Vec<DataType>> {
        self.plain.coerce_types(types)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> DfResult<Vec<FieldRef>> {
        self.plain.state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> DfResult<Box<dyn Accumulator>> {
        self.plain.accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> DfResult<Box<dyn Accumulator>> {
        self.plain.create_sliding_accumulator(args)
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> DfResult<Box<dyn GroupsAccumulator>> {
        Ok(match args.return_field.data_type() {
            DataType::Float32 => Box::new(Groups::<Float32Type>::new(self.largest)),
            _ => Box::new(Groups::<Float64Type>::new(self.largest)),
        })
    }

    fn is_descending(&self) -> Option<bool> {
        self.plain.is_descending()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.plain.order_sensitivity()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.plain.reverse_udf()
    }

    fn set_monotonicity(&self, kind: &DataType) -> SetMonotonicity {
        self.plain.inner().set_monotonicity(kind)
    }
}

/// The value of each group so far; none before its first.
struct Groups<T: ArrowPrimitiveType> {
    largest: bool,
    values: Vec<Option<T::Native>>,
}

/// NaN is the greatest of all and equal to itself.
fn is_greater<N: PartialOrd>(a: N, b: N) -> bool {
    #[expect(clippy::eq_op, reason = "NaN is what is not equal to itself")]
    let (a_is_nan, b_is_nan) = (a != a, b != b);
    a > b || a_is_nan && !b_is_nan
}

impl<T: ArrowPrimitiveType> Groups<T>
where
    T::Native: PartialOrd,
{
    fn new(largest: bool) -> Groups<T> {
        Groups { largest, values: Vec::new() }
    }

    fn offer(
        &mut self,
        values: &[ArrayRef],
        group_of: &[usize],
        filter: Option<&BooleanArray>,
        groups: usize,
    ) -> DfResult<()> {
        let [values] = values else { return Err(DataFusionError::Internal("one column".into())) };
        let values = values.as_primitive::<T>();
        self.values.resize(groups, None);
        for (row, group) in group_of.iter().enumerate() {
            let counts = filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            let Some(kept) = self.values.get_mut(*group).filter(|_| counts && values.is_valid(row)) else { continue };
            let value = values.value(row);
            let better = match *kept {
                None => true,
                Some(kept) if self.largest => is_greater(value, kept),
                Some(kept) => is_greater(kept, value),
            };
            if better {
                *kept = Some(value);
            }
        }
        Ok(())
    }
}

impl<T: ArrowPrimitiveType> GroupsAccumulator for Groups<T>
where
    T::Native: PartialOrd,
{
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> DfResult<()> {
        self.offer(values, group_indices, filter, total_num_groups)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> DfResult<()> {
        self.offer(values, group_indices, None, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> DfResult<ArrayRef> {
        let mut column = PrimitiveBuilder::<T>::with_capacity(self.values.len());
        emit_to.take_needed(&mut self.values).into_iter().for_each(|value| column.append_option(value));
        Ok(Arc::new(column.finish()))
    }

    fn state(&mut self, emit_to: EmitTo) -> DfResult<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> DfResult<Vec<ArrayRef>> {
        let [values] = values else { return Err(DataFusionError::Internal("one column".into())) };
        let Some(filter) = filter else { return Ok(vec![Arc::clone(values)]) };
        let values = values.as_primitive::<T>();
        let kept = (0..values.len())
            .map(|row| (filter.is_valid(row) && filter.value(row) && values.is_valid(row)).then(|| values.value(row)));
        let mut column = PrimitiveBuilder::<T>::with_capacity(values.len());
        kept.for_each(|value| column.append_option(value));
        Ok(vec![Arc::new(column.finish())])
    }

    fn size(&self) -> usize {
        self.values.capacity() * size_of::<Option<T::Native>>()
    }
}
