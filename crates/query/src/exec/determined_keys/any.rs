//! The value that all rows of a group have.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, UInt32Array, new_empty_array};
use arrow_schema::{DataType, Field, FieldRef};
use datafusion::common::{DFSchema, DataFusionError, Result as DfResult, ScalarValue};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, Expr, ExprSchemable, GroupsAccumulator, Signature, Volatility,
};

/// A call of it for a key that the others determine.
pub(super) fn any_of_group(key: Expr, schema: &DFSchema) -> DfResult<Expr> {
    // Its type and whether it may be NULL stay those of the key.
    let nullable = key.nullable(schema)?;
    let function =
        Arc::new(AggregateUDF::from(AnyOfGroup { signature: Signature::any(1, Volatility::Immutable), nullable }));
    Ok(Expr::AggregateFunction(AggregateFunction::new_udf(function, vec![key], false, None, Vec::new(), None)))
}

/// What such a call is of.
pub(in crate::exec) fn any_of_group_of(expr: &Expr) -> Option<&Expr> {
    let Expr::AggregateFunction(call) = expr else { return None };
    let any = (call.func.inner().as_ref() as &dyn std::any::Any).is::<AnyOfGroup>();
    call.params.args.first().filter(|_| any)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct AnyOfGroup {
    signature: Signature,
    nullable: bool,
}

impl AggregateUDFImpl for AnyOfGroup {
    fn name(&self) -> &str {
        "any_of_group"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, args: &[DataType]) -> DfResult<DataType> {
        args.first().cloned().ok_or_else(|| DataFusionError::Internal("a key".into()))
    }

    fn is_nullable(&self) -> bool {
        self.nullable
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> DfResult<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(args.name, args.return_field.data_type().clone(), true))])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> DfResult<Box<dyn Accumulator>> {
        Ok(Box::new(OneGroup { value: ScalarValue::try_from(args.return_field.data_type())?, found: false }))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> DfResult<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(AllGroups { kind: args.return_field.data_type().clone(), values: Vec::new(), groups: 0 }))
    }
}

#[derive(Debug)]
struct OneGroup {
    value: ScalarValue,
    found: bool,
}

impl Accumulator for OneGroup {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        let [values] = values else { return Err(DataFusionError::Internal("a key".into())) };
        if !self.found && !values.is_empty() {
            self.value = ScalarValue::try_from_array(values, 0)?.compacted();
            self.found = true;
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DfResult<()> {
        self.update_batch(states)
    }

    fn evaluate(&mut self) -> DfResult<ScalarValue> {
        Ok(self.value.clone())
    }

    fn state(&mut self) -> DfResult<Vec<ScalarValue>> {
        Ok(vec![self.value.clone()])
    }

    fn size(&self) -> usize {
        size_of::<OneGroup>() + self.value.size()
    }
}

/// Takes the value of a group from the batch in which the group is met first.
struct AllGroups {
    kind: DataType,
    /// Of all groups, in their order.
    values: Vec<ArrayRef>,
    groups: usize,
}

impl AllGroups {
    fn meet(&mut self, values: &[ArrayRef], group_of: &[usize], groups: usize) -> DfResult<()> {
        let [values] = values else { return Err(DataFusionError::Internal("a key".into())) };
        if groups <= self.groups {
            return Ok(());
        }
        self.values.push(of_new_groups(values, &new_groups(group_of, self.groups, groups))?);
        self.groups = groups;
        Ok(())
    }

    fn all(&mut self) -> DfResult<ArrayRef> {
        let values = std::mem::take(&mut self.values);
        let parts: Vec<&dyn Array> = values.iter().map(|part| part.as_ref()).collect();
        match parts.as_slice() {
            [] => Ok(new_empty_array(&self.kind)),
            parts => Ok(arrow_select::concat::concat(parts)?),
        }
    }
}

/// A row of each group beyond the `known` first, of a batch in which they are met. They are numbered in about the order of their rows.
pub(in crate::exec) fn new_groups(group_of: &[usize], known: usize, groups: usize) -> UInt32Array {
    let mut rows = vec![None; groups - known];
    for (row, group) in group_of.iter().enumerate() {
        if let Some(slot) = group.checked_sub(known).and_then(|new| rows.get_mut(new)) {
            slot.get_or_insert(row as u32);
        }
    }
    UInt32Array::from(rows)
}

/// The batch's values in those rows.
pub(in crate::exec) fn of_new_groups(values: &ArrayRef, rows: &UInt32Array) -> DfResult<ArrayRef> {
    Ok(compact(arrow_select::take::take(values, rows, None)?))
}

/// Without the rest of the buffers its strings came in.
fn compact(values: ArrayRef) -> ArrayRef {
    match values.data_type() {
        DataType::Utf8View => Arc::new(values.as_string_view().gc()),
        DataType::BinaryView => Arc::new(values.as_binary_view().gc()),
        _ => values,
    }
}

impl GroupsAccumulator for AllGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        _filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> DfResult<()> {
        self.meet(values, group_indices, total_num_groups)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> DfResult<()> {
        self.meet(values, group_indices, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> DfResult<ArrayRef> {
        let all = self.all()?;
        match emit_to {
            EmitTo::All => {
                self.groups = 0;
                Ok(all)
            }
            EmitTo::First(groups) => {
                self.groups = all.len().saturating_sub(groups);
                self.values.push(all.slice(groups, self.groups));
                Ok(all.slice(0, groups))
            }
        }
    }

    fn state(&mut self, emit_to: EmitTo) -> DfResult<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn convert_to_state(&self, values: &[ArrayRef], _filter: Option<&BooleanArray>) -> DfResult<Vec<ArrayRef>> {
        Ok(values.to_vec())
    }

    fn size(&self) -> usize {
        size_of::<AllGroups>() + self.values.iter().map(|part| part.get_array_memory_size()).sum::<usize>()
    }
}
